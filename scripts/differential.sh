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

if [ -z "$old" ]; then
	[ -n "${OLD_COMMIT:-}" ] ||
		die "say which archive is the old one: OLD=path/libaxaddrspace.a or OLD_COMMIT=commit"
	old=$(archive_of_commit "$OLD_COMMIT" host)
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
