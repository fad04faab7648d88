#!/usr/bin/env bash
# header.sh write|check: make include/axaddrspace.h and link/api.sym from the Rust sources, or say whether the
# committed one still is what they make.
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT"
load_toolchain
header=include/axaddrspace.h
# The names in it, for the linker.
symbols=link/api.sym

case ${1:-} in
write)
	mkdir -p include
	run "$CBINDGEN" --quiet --config cbindgen.toml --symfile "$symbols" --output "$header"
	;;
check)
	# Not by cbindgen's --verify: it writes the new header over the stale one, and the next check
	# passes.
	fresh=$(mktemp -d)
	trap 'rm -rf "$fresh"' EXIT
	run "$CBINDGEN" --quiet --config cbindgen.toml --symfile "$fresh/symbols" --output "$fresh/header"
	for file in header symbols; do
		diff -u --label "${!file}" --label "from the Rust sources" "${!file}" "$fresh/$file" ||
			die "${!file} is not what the Rust sources make; run: make header"
	done
	;;
*) die "usage: scripts/header.sh write|check" ;;
esac
