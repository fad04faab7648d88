#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# test.sh [quick]: run all tests, or those of the C interface on the host archive and the Rust unit tests,
# and close with one line, `N passed, N failed`. A suite that breaks before
# it can count (it does not compile, it runs nothing) counts as one failure; a skipped test counts
# as neither. What was printed is also in build/test-logs.
set -uo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT" || exit
load_toolchain

logs=$BUILD/test-logs
passed=0
failed=0
rm -rf "$logs"
mkdir -p "$logs"

# count SUITE EXIT_CODE PASSED FAILED
count() {
	local fails=$4
	if [ "$2" -ne 0 ] && [ "$fails" -eq 0 ]; then
		say "$1: ended with exit code $2 and no failed test: counted as one failure"
		fails=1
	elif [ $(($3 + fails)) -eq 0 ]; then
		say "$1: no test ran: counted as one failure"
		fails=1
	fi
	say "$1: $3 passed, $fails failed"
	passed=$((passed + $3))
	failed=$((failed + fails))
}

# rust_suite NAME ARGUMENT...: run cargo test.
rust_suite() {
	local name=$1 log=$logs/$1.txt code
	shift
	${by:-host_cargo} test --no-fail-fast "$@" 2>&1 | tee "$log"
	code=${PIPESTATUS[0]}
	# One line for each test binary: "test result: ok. 12 passed; 0 failed; 0 ignored; ..."
	# shellcheck disable=SC2046  # two numbers
	count "$name" "$code" $(awk '/^test result: / {
			for (i = 2; i <= NF; i++) {
				if ($i ~ /^passed;?$/) passed += $(i - 1)
				if ($i ~ /^failed;?$/) failed += $(i - 1)
			}
		} END { print passed + 0, failed + 0 }' "$log")
}

# attribute NAME FILE: a number out of the <testsuite> element of a JUnit report; 0 without one.
attribute() {
	local number
	number=$(grep -o "\\b$1=\"[0-9]*\"" "$2" 2>/dev/null | head -n1 | tr -dc 0-9)
	echo "${number:-0}"
}

# ctest_suite NAME COMMAND...: a command that leaves a JUnit report of ctest's.
ctest_suite() {
	local name=$1 report=$logs/$1.xml code=0 tests fails others known
	shift
	"$@" --output-junit "$report" 2>&1 | tee "$logs/$name.txt" || code=$?
	tests=$(attribute tests "$report")
	fails=$(attribute failures "$report")
	others=$(($(attribute skipped "$report") + $(attribute disabled "$report")))
	known=$(grep -c '<testcase name="known\..* status="run"' "$report" 2>/dev/null)
	count "$name" "$code" $((tests - fails - others - ${known:-0})) "$fails"
}

# build_and_test SOURCE_DIR BUILD_DIR CTEST_ARGUMENT...: configure, build, run.
build_and_test() {
	local source=$1 build=$2
	shift 2
	run cmake -S "$source" -B "$build" -G Ninja && run cmake --build "$build" &&
		run ctest --test-dir "$build" --output-on-failure --no-tests=error -j "$(nproc)" "$@"
}

# loom_suite: its last line is "loom, ...: 80 passed, 0 failed, 8 s".
loom_suite() {
	local log=$logs/loom.txt code=0
	scripts/loom.sh 2>&1 | tee "$log" || code=$?
	# shellcheck disable=SC2046  # two numbers
	count loom "$code" $(sed -n '$s/.*: \([0-9]*\) passed, \([0-9]*\) failed.*/\1 \2/p' "$log" | grep . || echo 0 0)
}

# close: the last line.
close() {
	say "$passed passed, $failed failed"
	[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
	exit
}

if [ "${1:-}" = quick ]; then
	say "The quick tests: about a minute on 2 cores"
	quick_c_tests() {
		run cmake -S c-tests -B "$BUILD/c-tests-quick" -G Ninja -DAXAS_QUICK=ON &&
			run cmake --build "$BUILD/c-tests-quick" &&
			run ctest --test-dir "$BUILD/c-tests-quick" --output-on-failure --no-tests=error -j "$(nproc)" "$@"
	}
	scripts/build-lib.sh host || count "the library for the host" 1 0 0
	ctest_suite c-tests quick_c_tests
	rust_suite rust --test suite --features std
	close
fi

say "All tests: about 15 minutes on 2 cores; what was printed is also in build/test-logs"
for arch in host x86_64 aarch64 riscv64; do
	{ scripts/build-lib.sh $arch && DEBUG_SYMBOLS=1 scripts/build-lib.sh $arch build/$arch-symbols; } ||
		count "the library for $arch" 1 0 0
done
# Compiled here: that takes longer than the test that runs it.
CARGO_TARGET_DIR=$TOOLS_TARGET host_cargo build --manifest-path tools/header/Cargo.toml ||
	count "the header's generator" 1 0 0
ctest_suite c-tests build_and_test c-tests "$BUILD/c-tests"
ctest_suite examples build_and_test examples "$BUILD/examples"
ctest_suite repo-tests build_and_test scripts/repo-tests "$BUILD/repo-tests"
loom_suite
[ "$(uname -m)" != x86_64 ] || ctest_suite asan scripts/asan.sh
rust_suite rust --features std
by=tools_cargo rust_suite axas-inspect --release \
	--manifest-path tools/axas-inspect/Cargo.toml

# Known defects. CTest counted those that did not fail as they should as failures; here it is that each ran.
scripts/expected-failures.py list
scripts/expected-failures.py ran "$logs" || count "expected failures" 1 0 0
close
