#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# check.sh MACHINE LEVELS CPU OUT COMMAND...: runs the hypervisor and compares what it prints with
# MACHINE/expected-LEVELS.txt, but for what mask.sed leaves out.
set -u

machine=$1 levels=$2 cpu=$3 out=$4
shift 4
expected=$machine/expected-$levels.txt
printed=$out/printed-$cpu.txt
name="$machine, $cpu, $levels levels"

"$@" >"$printed" 2>&1 </dev/null
code=$?

# Firmware may speak first.
if ! tr -d '\r' <"$printed" | sed -n '/ a guest at /,$p' | sed -E -f mask.sed |
	diff -u "$expected" -; then
	echo "FAILED: $name: exit code $code, and not the output of $expected; all of it: $printed"
	exit 1
fi
if [ "$code" -ne 0 ]; then
	echo "FAILED: $name: the right output, but exit code $code"
	exit 1
fi
echo "passed: $name: $(grep -c '^  fault ' "$printed") faults, exit code 0"
