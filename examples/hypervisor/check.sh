#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# check.sh MACHINE CPU BUILD COMMAND...: runs the hypervisor and compares what it says.
#
# What may differ from compiler to compiler and from CPU to CPU is masked: where the guest's
# instructions lie, where the hypervisor's memory lies, and widths that the CPU reports.
set -u

machine=$1 cpu=$2 build=$3
shift 3
output=$build/output-$cpu.txt
masked=$build/masked-$cpu.txt

"$@" >"$output" 2>&1 </dev/null
code=$?

tr -d '\r' <"$output" | sed -E -f mask.sed >"$masked"

if ! diff -u "$machine/expected.txt" "$masked"; then
	echo "FAILED: $machine $cpu: not the output of $machine/expected.txt (all of it: $output)"
	exit 1
fi
if [ "$code" -ne 0 ]; then
	echo "FAILED: $machine $cpu: exit code $code (124 is the time-out)"
	exit 1
fi
echo "passed: $machine $cpu: $(grep -c 'fault ' "$output") faults, exit code 0"
