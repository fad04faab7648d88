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
rounds=20000 # of copies beside faults
out=$BUILD/tsan
target=x86_64-unknown-linux-gnu
have gcc || die "gcc is missing; run: apt-get install gcc"
export CARGO_TARGET_DIR=$ROOT/target/tsan
mkdir -p "$out"

# The standard library comes without instrumentation; core's atomics are compiled with ours.
RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer" \
	host_cargo rustc --release --lib --crate-type staticlib --features panic-handler --target $target ||
	die "the library does not compile with ThreadSanitizer"
# Rust's runtime, for gcc's own does not know all that Rust calls.
runtime=$(find "$(rustc --print sysroot)/lib/rustlib/$target/lib" -name 'librustc*_rt.tsan.a' | head -n1)
[ -n "$runtime" ] || die "this Rust has no ThreadSanitizer runtime; run: rustup toolchain install stable"
archive=$CARGO_TARGET_DIR/$target/release/libaxaddrspace.a
for program in stress copies; do
	run gcc -std=c11 -D_POSIX_C_SOURCE=200809L -O1 -g -fsanitize=thread -fPIE -Wall -Wextra -Wpedantic \
		-Wconversion -Wsign-conversion -Wshadow -Wcast-qual -Wstrict-prototypes -Werror -Iinclude \
		-c "c-tests/stress/$program.c" -o "$out/$program.o" || die "$program.c does not compile"
	run gcc -pie "$out/$program.o" "$archive" -Wl,--whole-archive "$runtime" -Wl,--no-whole-archive \
		-rdynamic -pthread -ldl -lrt -lm -lresolv -lstdc++ -lgcc_s -o "$out/$program" ||
		die "$program does not link"
done

# Without the calls of instrumented Rust code in it the archive would show nothing.
calls=$(nm "$archive" 2>/dev/null | grep -c ' U __tsan_atomic64')
[ "$calls" -gt 0 ] || die "the Rust code is not instrumented"

failed=0
export TSAN_OPTIONS="halt_on_error=1 exitcode=66"
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
# Ends with the first report, most often at once.
"$out/stress" 600 "$threads" nobody >"$out/nobody.txt" 2>&1
if grep -q 'WARNING: ThreadSanitizer' "$out/nobody.txt"; then
	say "noticed nobody's lock: $(grep -m1 'WARNING: ThreadSanitizer' "$out/nobody.txt")"
else
	say "FAILED  nobody's lock was not noticed (see $out/nobody.txt)"
	failed=1
fi
exit $failed
