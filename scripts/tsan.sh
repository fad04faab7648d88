#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# tsan.sh [SECONDS [THREADS]]: the C interface under ThreadSanitizer with the Rust code instrumented
# too: with the library's own lock, with the caller's, and, as a negative control, with nobody's.
set -uo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT" || exit
load_toolchain

seconds=${1:-60}
threads=${2:-4}
rounds=20000 # of copies beside faults, of transfers, and on pages of a provider
out=$BUILD/tsan
. scripts/tsan-build.sh stress copies transfers provided

failed=0
for mode in own caller; do
	if "$out/stress" "$seconds" "$threads" $mode >"$out/$mode.txt" 2>&1; then
		say "ok      $mode lock, $seconds s, $threads threads: $(tail -n1 "$out/$mode.txt")"
	else
		say "FAILED  $mode lock (see $out/$mode.txt): $(tail -n1 "$out/$mode.txt")"
		failed=1
	fi
done
if "$out/copies" "$rounds" "$threads" >"$out/copies.txt" 2>&1; then
	say "ok      copies beside faults, $threads threads: $(tail -n1 "$out/copies.txt")"
else
	say "FAILED  copies beside faults (see $out/copies.txt): $(tail -n1 "$out/copies.txt")"
	failed=1
fi
# Calls that wait for each other's locks never end.
if timeout 600 "$out/transfers" "$rounds" "$threads" >"$out/transfers.txt" 2>&1; then
	say "ok      transfers in both directions, $threads threads: $(tail -n1 "$out/transfers.txt")"
else
	say "FAILED  transfers in both directions (see $out/transfers.txt): $(tail -n1 "$out/transfers.txt")"
	failed=1
fi
if timeout 600 "$out/provided" "$rounds" 8 >"$out/provided.txt" 2>&1; then
	say "ok      supplies beside faults and evictions, 8 threads: $(tail -n1 "$out/provided.txt")"
else
	say "FAILED  supplies beside faults and evictions (see $out/provided.txt): $(tail -n1 "$out/provided.txt")"
	failed=1
fi
# Ends with the first report, most often at once.
"$out/stress" 600 "$threads" nobody >"$out/nobody.txt" 2>&1
if grep -q 'WARNING: ThreadSanitizer' "$out/nobody.txt"; then
	say "noticed nobody's lock: $(grep -m1 'WARNING: ThreadSanitizer' "$out/nobody.txt")"
else
	say "FAILED  nobody's lock was not noticed (see $out/nobody.txt)"
	failed=1
fi
exit $failed
