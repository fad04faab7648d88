#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# build-tools.sh: build the commands for developers of hosts and put them into build/bin.
set -euo pipefail
. "$(dirname "$0")/common.sh"
cd "$ROOT"
load_toolchain

# Where the crates will be is known when they are there.
tools_cargo fetch --manifest-path tools/axas-inspect/Cargo.toml
tools_cargo build --release --manifest-path tools/axas-inspect/Cargo.toml
mkdir -p build/bin
install -m 755 "$TOOLS_TARGET/release/axas-inspect" build/bin/axas-inspect
say "build/bin/axas-inspect"
