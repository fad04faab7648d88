#!/usr/bin/env bash
# archives.sh: the archives with options that the tests here link, in build/ARCH-OPTION.
set -euo pipefail
cd "$(dirname "$0")/../.."
for arch in x86_64 aarch64 riscv64; do
	SPLIT_SECTIONS=1 scripts/build-lib.sh $arch build/$arch-split
	STATIC_HAL=1 scripts/build-lib.sh $arch build/$arch-static-hal
done
HARDEN=1 scripts/build-lib.sh x86_64 build/x86_64-hardened
HARDEN=1 scripts/build-lib.sh aarch64 build/aarch64-hardened
# The instructions of each function are looked at: of these the names too.
DEBUG_SYMBOLS=1 HARDEN=1 scripts/build-lib.sh x86_64 build/x86_64-hardened-symbols
DEBUG_SYMBOLS=1 HARDEN=1 scripts/build-lib.sh aarch64 build/aarch64-hardened-symbols
STATIC_HAL=1 scripts/build-lib.sh host build/host-static-hal
