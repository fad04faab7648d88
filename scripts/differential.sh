#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# differential.sh: random calls on two host archives beside each other, every answer compared
# (docs/testing.md). From the environment:
#
#   OLD=FILE NEW=FILE   the archives; otherwise NEW is build/host/libaxaddrspace.a
#   OLD_COMMIT=COMMIT   build the old archive from that commit of this repository
#   OPERATIONS=N        calls for each format (10,000,000)
#   FORMAT="ept ..."    of ept npt arm riscv (all)
#   SEED=N              of the first script (1)
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT"
need cmake objcopy nm

new=$(realpath "${NEW:-build/host/libaxaddrspace.a}")
old=${OLD:-}

# old_archive COMMIT: the archive of a commit, built in a copy of its tree.
old_archive() {
	local commit tree out
	commit=$(git rev-parse --verify "$1^{commit}")
	tree=$BUILD/differential/$commit
	out=$tree/build/old/libaxaddrspace.a
	if [ ! -f "$out" ]; then
		rm -rf "$tree"
		mkdir -p "$tree/build"
		git archive "$commit" | tar -x -C "$tree"
		cp "$TOOLCHAIN_ENV" "$tree/build/"
		env -u FORMATS -u LOG "$tree/scripts/build-lib.sh" host build/old >&2
		rm -rf "$tree/target"
	fi
	echo "$out"
}

if [ -z "$old" ]; then
	[ -n "${OLD_COMMIT:-}" ] ||
		die "say which archive is the old one: OLD=path/libaxaddrspace.a or OLD_COMMIT=commit"
	old=$(old_archive "$OLD_COMMIT")
fi
old=$(realpath "$old")

say "old: $old"
say "new: $new"
cmake -S c-tests -B build/differential/tests -G Ninja -DAXAS_QUICK=ON \
	-DAXAS_LIBRARY="$new" -DAXAS_OLD_LIBRARY="$old" >/dev/null
cmake --build build/differential/tests --target differential >/dev/null

failed=0
for format in ${FORMAT:-ept npt arm riscv}; do
	build/differential/tests/differential/differential "$format" "${OPERATIONS:-10000000}" \
		--seed "${SEED:-1}" --intended c-tests/differential/intended.txt || failed=1
done
exit "$failed"
