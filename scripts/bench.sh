#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# bench.sh [build]: measure the library beside its peers and the limits of the memory; the report goes to the
# terminal and, with CSV and SVG, to docs/bench. A second run with the crate axaddrspace 0.6 of crates.io as
# one peer more (benches/peers) goes to docs/bench/peers. RUNS=5: the first run so many
# times, each in docs/bench/runs, and which targets the median of them meets. With BENCH_PARTS=1 the rows of the parts
# alone, to docs/bench/parts. With BENCH_QUICK=1 the first run is done in small, to
# see that it works: the figures say nothing and go to build/bench/quick. `build` compiles for that and runs nothing.
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT"
load_toolchain
[ "$(uname -m)" = x86_64 ] || die "the benchmarks need an x86_64 host: its bare-metal archive runs in them"

scripts/build-lib.sh x86_64
PARTS=$PARTS_KNOWN scripts/build-lib.sh x86_64 build/x86_64-parts

# renamed ARCHIVE PREFIX: the archive as libaxaddrspace_PREFIX.a, its functions under names of their own beside those of
# the crate. No name that ends in .o: rustc would take the object for one of its own.
renamed() {
	rm -rf "$2.obj" names "libaxaddrspace_$2.a"
	ar p "$1" axaddrspace.o >"$2.obj"
	nm --defined-only "$2.obj" | awk -v prefix="$2_" '$2 == "T" { print $3, prefix $3 }' >names
	objcopy --redefine-syms=names "$2.obj"
	ar rcs "libaxaddrspace_$2.a" "$2.obj"
}

mkdir -p build/bench
cd build/bench
renamed ../x86_64/libaxaddrspace.a shipped
renamed ../x86_64-parts/libaxaddrspace.a parts

cd "$ROOT"
export CARGO_TARGET_DIR=$ROOT/target/bench
# As the bare-metal archive, which has no vector registers.
export RUSTFLAGS="-C no-vectorize-loops -C no-vectorize-slp"
BENCH_COMMIT=$(git describe --always --dirty --exclude '*' 2>/dev/null || echo "not known")
export BENCH_COMMIT

# measure DIRECTORY ARGUMENT...: run the workspace in DIRECTORY.
measure() {
	cd "$ROOT/$1"
	shift
	host_cargo run --quiet --release -- "$@"
}

if [ "${1:-}" = build ]; then
	cd benches
	host_cargo build --release --locked
	exit
fi
if [ -n "${BENCH_QUICK:-}" ]; then
	measure benches --quick "$ROOT/build/bench/quick"
	exit
fi
if [ -n "${BENCH_PARTS:-}" ]; then
	measure benches --parts "$ROOT/docs/bench/parts"
	exit
fi
if [ "${RUNS:-1}" -gt 1 ]; then
	rm -rf docs/bench/runs
	for ((number = 1; number <= RUNS; number++)); do
		(measure benches "$ROOT/docs/bench")
		mkdir -p docs/bench/runs/$number
		cp docs/bench/{report.md,targets.csv,figures.csv} docs/bench/runs/$number
	done
	scripts/bench-runs.py docs/bench/runs/* | tee docs/bench/runs.md
else
	(measure benches "$ROOT/docs/bench")
fi
# The one peer more takes its time.
measure benches/peers --rounds 5 "$ROOT/docs/bench/peers"

# Code, stack and instructions, beside the times.
cd "$ROOT"
{
	printf '\n```text\n$ scripts/budgets.py --all\n'
	scripts/budgets.py --all || true
	echo '```'
} | tee docs/bench/budgets.md
