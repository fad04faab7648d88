#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# qemu.sh QEMU ARGUMENT...: runs QEMU and ends with the code that the hypervisor gave.
#
# isa-debug-exit makes 2 * value + 1 of the value written to it, and amd.c writes the code plus 16.
# Every other code is QEMU's own, and 0 is what it ends with after a triple fault.
set -u

"$@"
code=$?
if [ "$code" -ge 33 ] && [ "$code" -lt 124 ] && [ $((code % 2)) -eq 1 ]; then
	exit $(((code - 33) / 2))
fi
echo "BAD: QEMU ended with code $code, and not because the hypervisor was done" >&2
exit 1
