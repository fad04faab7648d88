#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# run.sh NAME LOG COMMAND...: runs the suite, reads what it printed and says it in one line. Passes
# only when the suite came to its end, every subtest passed, and nothing was left out but by ONLY.
set -u

name=$1 log=$2
shift 2
started=$(date +%s)
"$@" >"$log" 2>&1 </dev/null
code=$?
seconds=$(($(date +%s) - started))

fail()
{
	tr -d '\r' <"$log" | grep -a -A1 -E '^(FAILED|BAD)' | head -40
	echo "FAILED: $name: $1; all of it: $log"
	exit 1
}

result=$(tr -d '\r' <"$log" | grep -a '^RESULT ' | tail -1)
[ "$code" -ne 124 ] || fail "no end in time"
[ -n "$result" ] || fail "the suite did not come to its end (exit code $code)"
subtests=0 accesses=0 failures=1 faults=0 contended=0 tables=0 encodings=0 refused=0
for pair in ${result#RESULT }; do
	case $pair in
	subtests=* | accesses=* | failures=* | faults=* | contended=* | tables=* | encodings=* | refused=*)
		eval "$pair" ;;
	*) fail "unknown result $pair" ;;
	esac
done
[ "$failures" -eq 0 ] || fail "$failures of $subtests subtests failed"
[ "$code" -eq 0 ] || fail "exit code $code"
[ -n "${ONLY:-}" ] || [ "$contended" -eq 512 ] || fail "$contended of 512 pages were contended"
[ -n "${ONLY:-}" ] || [ "$tables" -ge 1000 ] || fail "only $tables random tables"
echo "passed: $name: $subtests subtests with $accesses guest accesses, $faults faults taken, $contended of 512 contended pages," \
	"$tables random tables, $encodings encodings taken and $refused refused, $seconds s"
