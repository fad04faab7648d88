#!/usr/bin/env bash
# header.sh write|check: make include/axaddrspace.h from the Rust sources, or say whether the
# committed one still is what they make.
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT"
load_toolchain
header=include/axaddrspace.h

case ${1:-} in
write)
	mkdir -p include
	run "$CBINDGEN" --quiet --config cbindgen.toml --output "$header"
	;;
check)
	# Not by cbindgen's --verify: it writes the new header over the stale one, and the next check
	# passes.
	fresh=$(mktemp)
	trap 'rm -f "$fresh"' EXIT
	run "$CBINDGEN" --quiet --config cbindgen.toml --output "$fresh"
	diff -u --label "$header" --label "from the Rust sources" "$header" "$fresh" ||
		die "$header is not what the Rust sources make; run: make header"
	;;
*) die "usage: scripts/header.sh write|check" ;;
esac
