#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# check-msrv.sh lib|tools: the oldest Rust that Cargo.toml names compiles what `make lib` or `make tools` does.
# It has to be there already, from rustup; otherwise it does not compile anything, and the exit code is 77. README.md
# names the same one.
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT"
oldest=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' Cargo.toml)
grep -q "Rust $oldest or later" README.md || die "README.md does not say: Rust $oldest or later"
toolchain=$(rustup toolchain list 2>/dev/null | grep -oE "^${oldest//./\\.}(\.0)?-[^ ]*") || {
	say "not checked: Rust $oldest is not here; run: rustup toolchain install --profile minimal $oldest"
	exit 77
}
case ${1:-} in
lib)
	what=(--lib --no-default-features --features "$(bare_features host),${PARTS_KNOWN// /,}")
	;;
tools)
	what=(--manifest-path tools/axas-inspect/Cargo.toml)
	;;
*) misuse "what '${1:-}' is not known; one of: lib tools" ;;
esac
CARGO_TARGET_DIR=$BUILD/msrv run rustup run "$toolchain" cargo check --locked "${what[@]}"
say "$(rustup run "$toolchain" rustc --version): compiles ${1}"
