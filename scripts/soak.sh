#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# soak.sh: all calls of a space from eight threads at once, under ThreadSanitizer, one allocation in fifty failing: of
# each format in turn, with the library's lock and with the caller's, a space for each ten seconds. From the environment:
#
#   MINUTES=N   in all (4)
#
# No space may ever hold more frames than it has pages and tables, and all are back in the end.
set -uo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT" || exit
load_toolchain

seconds=10
threads=8
one_in=50
out=$BUILD/tsan
. scripts/tsan-build.sh stress

end=$((SECONDS + ${MINUTES:-4} * 60))
rounds=0
operations=0
while :; do
	for format in ept npt arm riscv; do
		for mode in own caller; do
			log=$out/soak-$format-$mode.txt
			"$out/stress" $seconds $threads $mode $format $one_in >"$log" 2>&1 ||
				die "$format, $mode lock, round $rounds (see $log): $(tail -n1 "$log")"
			operations=$((operations + $(grep -o '^[0-9]*' "$log" | tail -n1)))
			rounds=$((rounds + 1))
			[ $SECONDS -lt $end ] || break 3
		done
	done
done
say "$rounds spaces, $operations operations of $threads threads, no report, no frame lost"
