#!/usr/bin/env bash
# bench.sh: measure the library beside its peers and the limits of the memory; the report goes to the
# terminal and, with CSV and SVG, to docs/bench. With BENCH_QUICK=1 everything runs once over in small, to
# see that it works: the figures say nothing and go to build/bench/quick.
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT"
load_toolchain
[ "$(uname -m)" = x86_64 ] || die "the benchmarks need an x86_64 host: its bare-metal archive runs in them"

scripts/build-lib.sh x86_64

# The archive as it ships, its functions under names of their own beside those of the crate. No name that
# ends in .o: rustc would take the object for one of its own.
mkdir -p build/bench
cd build/bench
rm -rf shipped.obj names libaxaddrspace_shipped.a
ar p ../x86_64/libaxaddrspace.a axaddrspace.o >shipped.obj
nm --defined-only shipped.obj | awk '$2 == "T" { print $3, "shipped_" $3 }' >names
objcopy --redefine-syms=names shipped.obj
ar rcs libaxaddrspace_shipped.a shipped.obj

cd "$ROOT/benches"
export CARGO_TARGET_DIR=$ROOT/target/bench
# As the bare-metal archive, which has no vector registers.
export RUSTFLAGS="-C no-vectorize-loops -C no-vectorize-slp"
BENCH_COMMIT=$(git describe --always --dirty --exclude '*' 2>/dev/null || echo "not known")
export BENCH_COMMIT
if [ -n "${BENCH_QUICK:-}" ]; then
	host_cargo run --quiet --release --locked -- --quick "$ROOT/build/bench/quick"
else
	host_cargo run --quiet --release --locked -- "$ROOT/docs/bench"
fi
