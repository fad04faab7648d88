#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# fuzz.sh: libFuzzer over the C interface, the decoders and the reader of dumps, under AddressSanitizer
# (docs/testing.md). From the environment:
#
#   SECONDS_EACH=N     for each target (60)
#   TARGETS="..."      of streams adversary decoders dumps (all)
#   JOBS=N             processes for each target (1)
#
# What was found worth keeping stays in build/fuzz/corpus and is gone on from; inputs that fail are in
# build/fuzz/failed, to be run again as arguments of target/fuzz/.../TARGET.
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT"
load_toolchain

known="streams adversary decoders dumps"
out=$BUILD/fuzz
triple=x86_64-unknown-linux-gnu
export CARGO_TARGET_DIR=$ROOT/target/fuzz
cargo_fuzz=$BUILD/tools/bin/cargo-fuzz
[ -x "$cargo_fuzz" ] || die "cargo-fuzz is missing; run: scripts/setup.sh fuzz"

# Sanitizers are flags of nightly that the release compiler has too. cargo-fuzz has no --locked.
export RUSTC_BOOTSTRAP=1
host_cargo metadata --format-version 1 --manifest-path fuzz/Cargo.toml >/dev/null
# Comparisons are not traced: what is compared is addresses of a few places, and it takes a third of the time.
run "$cargo_fuzz" fuzz build --fuzz-dir fuzz --no-trace-compares

# Longest inputs: 32 calls; 40 calls and what the callbacks do; five words; a dump's register and records.
declare -A most=([streams]=193 [adversary]=512 [decoders]=41 [dumps]=513)
export ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=0:malloc_context_size=2
failed=0
for target in ${TARGETS:-$known}; do
	[ -n "${most[$target]:-}" ] || misuse "TARGETS=$target is not known; some of: $known"
	mkdir -p "$out/corpus/$target" "$out/failed"
	log=$out/$target.txt
	if "$CARGO_TARGET_DIR/$triple/release/$target" "$out/corpus/$target" "fuzz/corpus/$target" \
		-max_len="${most[$target]}" -len_control=0 -reduce_inputs=0 -entropic=0 -use_counters=0 \
		-max_total_time="${SECONDS_EACH:-60}" -fork="${JOBS:-0}" -print_final_stats=1 \
		-artifact_prefix="$out/failed/$target-" >"$log" 2>&1; then
		say "ok      $target: $(grep -a '^Done ' "$log"), $(grep -a -o 'cov: [0-9]*' "$log" | tail -n1)" \
			"of $(grep -a -o -m1 '[0-9]* inline' "$log" | cut -d' ' -f1) edges"
	else
		say "FAILED  $target (see $log): $(grep -a -m1 -E 'panicked|^call |^[a-z0-9 ]*: |ERROR' "$log")"
		failed=1
	fi
done
exit $failed
