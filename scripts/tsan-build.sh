# SPDX-License-Identifier: MIT OR Apache-2.0
# Sourced, with programs of c-tests/stress as arguments: builds them and the library, Rust code too, under
# ThreadSanitizer, into $out.
# shellcheck shell=bash disable=SC2154

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
for program; do
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
export TSAN_OPTIONS="halt_on_error=1 exitcode=66"
