#!/usr/bin/env bash
# archives.sh: the archives with options that the tests here link, in build/ARCH-OPTION.
set -euo pipefail
cd "$(dirname "$0")/../.."
for arch in x86_64 aarch64 riscv64; do
	SPLIT_SECTIONS=1 OUT=build/$arch-split scripts/build-lib.sh $arch
	STATIC_HAL=1 OUT=build/$arch-static-hal scripts/build-lib.sh $arch
done
HARDEN=1 OUT=build/x86_64-hardened scripts/build-lib.sh x86_64
HARDEN=1 OUT=build/aarch64-hardened scripts/build-lib.sh aarch64
STATIC_HAL=1 OUT=build/host-static-hal scripts/build-lib.sh host
