#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# asan.sh [CTEST_ARGUMENT...]: the C tests of the interface under AddressSanitizer with the Rust code
# instrumented too, for instrumenting only the C side does not see a wild access of the library.
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT"
load_toolchain

target=x86_64-unknown-linux-gnu
build=$BUILD/asan
export CARGO_TARGET_DIR=$ROOT/target/asan
# The runtime is gcc's, linked with the tests. Frames that the test host gives away are its own memory:
# leaks are found by its books.
export ASAN_OPTIONS=detect_leaks=0

RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address -Cunsafe-allow-abi-mismatch=sanitizer" \
	host_cargo rustc --release --lib --crate-type staticlib --features panic-handler --target $target
archive=$CARGO_TARGET_DIR/$target/release/libaxaddrspace.a
[ "$(nm "$archive" 2>/dev/null | grep -c ' U __asan_report')" -gt 0 ] ||
	die "the Rust code is not instrumented"
run cmake -S c-tests -B "$build" -G Ninja -DAXAS_LIBRARY="$archive" \
	-DCMAKE_C_FLAGS=-fsanitize=address -DCMAKE_EXE_LINKER_FLAGS=-fsanitize=address
run cmake --build "$build"
run ctest --test-dir "$build" --output-on-failure --no-tests=error -R '^(api|memory)\.' \
	-E '^api\.random\.' -j "$(nproc)" "$@"
