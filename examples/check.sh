#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# check.sh EXPECTED PROGRAM: runs the program and compares what it prints with the file; its exit
# code has to be 0.
set -u

printed=$(mktemp) || exit
trap 'rm -f "$printed"' EXIT

"$2" >"$printed"
code=$?
if ! diff -u "$1" "$printed"; then
	echo "FAILED: not the output of $1; exit code $code"
	exit 1
fi
if [ "$code" -ne 0 ]; then
	echo "FAILED: the right output, but exit code $code"
	exit 1
fi
