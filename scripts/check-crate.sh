#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# check-crate.sh: programs in Rust use the crate with its default features: one with std and unwinding
# panics, one without std and with a panic handler of its own.
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT"
load_toolchain
export CARGO_TARGET_DIR=$ROOT/target/consumers

host_cargo run --quiet --manifest-path tests/consumers/Cargo.toml --package program
# shellcheck disable=SC2086  # BARE_FLAGS is a list, most often an empty one
bare_cargo build --quiet --manifest-path tests/consumers/Cargo.toml --package bare \
	--target "$(bare_target x86_64)" ${BARE_FLAGS:-}
say "the crate's default features serve a program with std and one without"
