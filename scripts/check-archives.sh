#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# check-archives.sh: each archive defines exactly the functions of the header, and contains no way
# into a panic: what cannot be reached is not linked.
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT"

declared=$(grep -oE '\baxas_[a-z0-9_]+\(' include/axaddrspace.h | tr -d '(' | grep -v '^axas_hal_' | sort -u)
diff <(echo "$declared") <(api_calls | sort -u) || die "the header and link/api.sym differ"
failures=0

# complain WHAT LINES: names what is wrong, if it is.
complain() {
	[ -n "$2" ] || return 0
	printf '%s:\n%s\n' "$1" "$2"
	failures=$((failures + 1))
}

for arch in host x86_64 aarch64 riscv64; do
	archive=build/$arch/libaxaddrspace.a
	[ -f "$archive" ] || die "no $archive: run make lib ARCH=$arch"
	named=build/$arch-symbols/libaxaddrspace.a
	[ -f "$named" ] || die "no $named: run DEBUG_SYMBOLS=1 scripts/build-lib.sh $arch build/$arch-symbols"
	symbols=$(nm "$archive" 2>/dev/null)
	defined=$(awk '$2 == "T" && $3 ~ /^axas_/ { print $3 }' <<<"$symbols" | sort -u)
	complain "$archive: declared in the header and of its parts, or defined, not both" \
		"$(diff <(api_calls "$(parts_of $arch)" | sort -u) <(echo "$defined") | grep "^[<>]" || true)"
	complain "$archive: a panic can be reached" \
		"$(grep -E 'panic|unwrap_failed|slice_index|rust_begin_unwind' < <(nm "$named" 2>/dev/null) || true)"
	say "$archive: $(wc -l <<<"$defined") functions"
done
[ $failures -eq 0 ] || die "$failures complaints"
