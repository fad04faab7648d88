#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# calls.sh: bytes of code that a host on AArch64 links for some calls alone, as the table of docs/linking.md; no
# test.
set -euo pipefail
. "$(dirname "$0")/../../scripts/common.sh"
cd "$ROOT"
out=build/calls
object=$(mktemp)
trap 'rm -f "$object"' EXIT

# row CALL...: a row for these calls, written without axas_; what they are is in `what`.
row() {
	local bytes
	aarch64-linux-gnu-ld -r --gc-sections "${@/#/--undefined=axas_}" -o "$object" $out/libaxaddrspace.a
	bytes=$(aarch64-linux-gnu-size -A "$object" | awk '/^\.text/ { bytes += $2 } END { print bytes }')
	printf '| %s | %s |\n' "$what" "$(sed -E 's/([0-9]+)([0-9]{3})$/\1,\2/' <<<"$bytes")"
}

FORMATS=arm-stage2 LOG=0 SPLIT_SECTIONS=1 scripts/build-lib.sh aarch64 $out >/dev/null 2>&1
printf '| calls | bytes |\n|---|---|\n'
for call in create_in map_linear map_alloc map_trap unmap protect populate discard collect; do
	what="\`axas_$call\`" row $call
done
what='all calls that map, unmap, protect, populate, discard, collect, clear or destroy, without slices' \
	row map_linear map_extents map_alloc map_trap map_trap_flags unmap protect populate discard collect clear destroy
what='`axas_handle_page_fault`, `axas_trap_cookie`, `axas_fault_from_arm`' \
	row handle_page_fault trap_cookie fault_from_arm
what='`axas_translate`, `axas_query`' row translate query
what='`axas_read`, `axas_write`' row read write
what='`axas_for_each`, `axas_dump`' row for_each dump
what='`axas_audit`, `axas_stats`' row audit stats
what='`axas_arena_init`, `_add`, `_hal`' row arena_init arena_add arena_hal
