#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# check.sh NAME EXPECTED PRINTED COMMAND...: runs the hypervisor and compares what it prints with the
# file EXPECTED, but for what mask.sed leaves out; PRINTED is where all of it goes.
set -u

name=$1 expected=$2 printed=$3
shift 3

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
echo "passed: $name: the output of $expected, exit code 0"
