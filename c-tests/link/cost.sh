#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# cost.sh: what the options of `make lib` cost: bytes of code of each architecture, and on an x86-64 PC
# cycles of two calls. For docs/linking.md; no test.
set -euo pipefail
. "$(dirname "$0")/../../scripts/common.sh"
cd "$ROOT"
program=$(mktemp)
trap 'rm -f "$program"' EXIT

# cost NAME ARCH OPTION...
cost() {
	local name=$1 arch=$2 out=build/cost cycles
	env "${@:3}" scripts/build-lib.sh "$arch" $out >/dev/null 2>&1
	printf '%-22s %-8s %7d bytes' "$name" "$arch" "$("$(binutils_of "$arch")size" -A \
		$out/libaxaddrspace.a | awk '/^\.text/ { bytes += $2 } END { print bytes }')"
	if [ "$arch" = x86_64 ]; then
		cc -O2 -Iinclude c-tests/link/{cost.c,static_hal.c,thunk.S} $out/libaxaddrspace.a -o "$program"
		# Some runs are slower than others as a whole: the fastest of ten.
		cycles=$(for _ in {1..10}; do "$program"; done | sort -V | head -n 1)
		printf '; %s' "$cycles"
	fi
	echo
}

for arch in x86_64 aarch64 riscv64; do
	cost "as it is" $arch LOG=1
	cost LOG=0 $arch LOG=0
	cost SPLIT_SECTIONS=1 $arch SPLIT_SECTIONS=1
	cost STATIC_HAL=1 $arch STATIC_HAL=1
	[ $arch = riscv64 ] || cost HARDEN=1 $arch HARDEN=1
	[ $arch = riscv64 ] || cost "HARDEN=1 STATIC_HAL=1" $arch HARDEN=1 STATIC_HAL=1
done
