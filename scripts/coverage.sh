#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# coverage.sh: how much of src/ the tests of the host run through: the C tests on an instrumented archive, the
# Rust suite, the tests of axas-inspect. Prints a table and every line that was not reached (docs/testing.md).
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT"
load_toolchain

out=$BUILD/coverage
triple=x86_64-unknown-linux-gnu
llvm=$(rustc --print sysroot)/lib/rustlib/$triple/bin
[ -x "$llvm/llvm-cov" ] || die "llvm-cov of this Rust is missing; run: rustup component add llvm-tools"
export CARGO_TARGET_DIR=$ROOT/target/coverage
export RUSTFLAGS=-Cinstrument-coverage
rm -rf "$out/raw"
mkdir -p "$out/raw"
# What runs while it is compiled counts for nothing.
export LLVM_PROFILE_FILE=/dev/null

# The runtime that writes the profile is in the archive, but nothing in C asks for it.
host_cargo rustc --release --lib --crate-type staticlib --no-default-features \
	--features "${FORMATS_KNOWN// /,},log,panic-handler,${CAPABILITIES_KNOWN// /,},${PARTS_KNOWN// /,}" --target $triple
run cmake -S c-tests -B "$out/c-tests" -G Ninja \
	-DAXAS_LIBRARY="$CARGO_TARGET_DIR/$triple/release/libaxaddrspace.a" \
	-DCMAKE_EXE_LINKER_FLAGS=-Wl,-u,__llvm_profile_runtime >/dev/null
# Not those that look at the archive as linkers see it: this one has the runtime of the profile in it.
mapfile -t targets < <(ninja -C "$out/c-tests" -t targets all |
	sed -nE 's/^(((lost|memory)\/)?[a-z_]+): C_EXECUTABLE_LINKER.*/\1/p')
run cmake --build "$out/c-tests" --target "${targets[@]}" >/dev/null
host_cargo test --features std --test suite --no-run
host_cargo test --manifest-path tools/axas-inspect/Cargo.toml --no-run

# One file for all processes of a program: counts are added.
export LLVM_PROFILE_FILE=$out/raw/%m.profraw
run ctest --test-dir "$out/c-tests" --output-on-failure --no-tests=error -R '^(api|lost|memory)\.' \
	-j "$(nproc)"
host_cargo test --features std --test suite
host_cargo test --manifest-path tools/axas-inspect/Cargo.toml

"$llvm/llvm-profdata" merge -sparse "$out"/raw/*.profraw -o "$out/all.profdata"
# Each program has all functions of the library that it was linked with, most of them every one.
mapfile -t programs < <(
	find "$out/c-tests" -maxdepth 2 -type f -executable -name 'test_*'
	find "$CARGO_TARGET_DIR/debug/deps" -maxdepth 1 -type f -executable -name 'suite-*'
	find "$CARGO_TARGET_DIR/debug" -maxdepth 1 -type f -executable -name axas-inspect
)
objects=("${programs[0]}")
for program in "${programs[@]:1}"; do objects+=(-object "$program"); done
sources=("$ROOT"/src)
"$llvm/llvm-cov" report -instr-profile "$out/all.profdata" "${objects[@]}" -sources "${sources[@]}" \
	-show-branch-summary=false >"$out/report.txt" 2>/dev/null
"$llvm/llvm-cov" export -format=lcov -instr-profile "$out/all.profdata" "${objects[@]}" \
	-sources "${sources[@]}" >"$out/lines.lcov" 2>/dev/null
awk 'NR == 1 || /^-/ || /\.rs/ || /^TOTAL/' "$out/report.txt" | sed 's/  */ /g' | column -t
say "" "not reached:"
awk -F'[:,]' -v root="$ROOT/" '
	function flush() { if (first) print file ":" first (last > first ? "-" last : "") ; first = 0 }
	/^SF:/ { flush(); file = substr($0, 4); sub(root, "", file) }
	/^DA:/ && $3 == 0 { if (first && $2 == last + 1) last = $2; else { flush(); first = last = $2 } }
	/^DA:/ && $3 != 0 { flush() }
	END { flush() }' "$out/lines.lcov"
