#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# header.sh write|check: make include/axaddrspace.h, and link/api.sym with the names in it, from the Rust
# sources, or say whether the committed ones still are what they make.
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT"
load_toolchain
header=include/axaddrspace.h
symbols=link/api.sym

# generate HEADER SYMBOLS: what the library calls (axas_hal_*) is not among its own symbols.
generate() {
	# The first time cbindgen is compiled: half a minute.
	CARGO_TARGET_DIR=$TOOLS_TARGET host_cargo run --manifest-path tools/header/Cargo.toml -- "$1" "$2"
	sed -i '/^axas_hal_/d' "$2"
	scripts/header-groups.py "$1"
}

case ${1:-} in
write)
	mkdir -p include
	generate "$header" "$symbols"
	;;
check)
	# Not by cbindgen's --verify: it writes the new header over the stale one, and the next check
	# passes.
	fresh=$(mktemp -d)
	trap 'rm -rf "$fresh"' EXIT
	generate "$fresh/header" "$fresh/symbols"
	for file in header symbols; do
		diff -u --label "${!file}" --label "from the Rust sources" "${!file}" "$fresh/$file" ||
			die "${!file} is not what the Rust sources make; run: make header"
	done
	;;
*) die "usage: scripts/header.sh write|check" ;;
esac
