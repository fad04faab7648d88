#!/usr/bin/env bash
# build-lib.sh ARCH: build the library for host, x86_64, aarch64 or riscv64 and put the archive at
# build/ARCH/libaxaddrspace.a. The host's takes every entry format, the others their own.
set -euo pipefail
. "$(dirname "$0")/common.sh"

arch=${1:-host}
cd "$ROOT"

# The archive alone: with the rlib beside it cargo drops link-time optimisation without a word.
build=(rustc --release --lib --crate-type staticlib)

if [ "$arch" = host ]; then
	load_toolchain
	# Without page_table_multiarch, whose licence not every host can take: docs/licensing.md.
	host_cargo "${build[@]}" --no-default-features \
		--features intel-ept,amd-npt,arm-stage2,riscv-gstage,log
	archive=target/release/libaxaddrspace.a
else
	target=$(bare_target "$arch")
	features=$(bare_features "$arch")
	load_toolchain
	# Without this, x86 code reaches other symbols through a .got, which the linker scripts of
	# Xen and Linux require to be empty.
	[ "$arch" != x86_64 ] || export RUSTFLAGS="${RUSTFLAGS:-} -Crelro-level=off"
	# shellcheck disable=SC2086  # BARE_FLAGS is a list, most often an empty one
	bare_cargo "${build[@]}" --target "$target" --no-default-features \
		--features "$features" ${BARE_FLAGS:-}
	archive=target/$target/release/libaxaddrspace.a
fi

mkdir -p "build/$arch"
# An archive that did not change keeps its time, so that what links it is not linked again.
cmp -s "$archive" "build/$arch/libaxaddrspace.a" || cp "$archive" "build/$arch/libaxaddrspace.a"
say "build/$arch/libaxaddrspace.a"
