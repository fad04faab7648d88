#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# prelink.sh ARCH IN OUT: make of cargo's archive one with a single object, of which the functions of
# the header (CALLS: those named in it) are the only global symbols. What they do not reach goes, and so do the names of local
# symbols, up to 158 characters each, which do not fit into Xen's symbol table; DEBUG_SYMBOLS=1 keeps them.
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT"
arch=$1
tools=$(binutils_of "$arch")
have "${tools}ld" || die "no ${tools}ld; run: apt-get install $(binutils_package "$arch")"
read -ra api <<<"${CALLS:-$(api_calls "${PARTS:-}" | tr '\n' ' ')}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
object=$work/axaddrspace.o
printf '%s\n' "${api[@]}" >"$work/api"

merge=(-T link/merge.ld)
[ "${SPLIT_SECTIONS:-0}" != 1 ] || merge=()
"${tools}ld" -r --gc-sections --strip-debug "${merge[@]}" "${api[@]/#/--undefined=}" -o "$object" "$2"
# The release build unwinds nothing; the rest is rustc's bitcode and the names of compilers.
"${tools}objcopy" --keep-global-symbols="$work/api" --wildcard --remove-section '.eh_frame*' \
	--remove-section '.llvm*' --remove-section .comment "$object"
[ "$("${tools}readelf" -h "$object" | grep -c X86-64)" -eq 0 ] || link/direct-calls.py "$object"
if [ "${DEBUG_SYMBOLS:-0}" != 1 ]; then
	"${tools}objcopy" --strip-unneeded "$object"
	# What relocations refer to stays; RISC-V's to functions too, for their linker moves code.
	"${tools}nm" --special-syms --numeric-sort "$object" | awk '$2 ~ /[a-z]/ &&
		(length($3) > 32 || $3 ~ /^_/) && !seen[$3]++ { print $3, ".Laxas." n++ }' >"$work/short"
	"${tools}objcopy" --redefine-syms="$work/short" "$object"
fi
rm -f "$3"
"${tools}ar" rcsD "$3" "$object"
