#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# build-lib.sh ARCH [DIRECTORY]: build the library for host, x86_64, aarch64 or riscv64 and put the archive
# at build/ARCH/libaxaddrspace.a or into DIRECTORY: one object that needs nothing and shows the functions of the header
# only. From the environment (docs/linking.md):
#
#   FORMATS=LIST        entry formats, of intel-ept,amd-npt,arm-stage2,riscv-gstage
#                       (otherwise: the host's takes all, the others their own)
#   CALLS=LIST          these functions only, of those in link/api.sym, with blanks between them
#   PARTS=LIST          parts of link/parts, with blanks between them (otherwise: the host's has all, the others none)
#   WITHOUT=LIST        without these, with blanks between them: windows (for hosts with AXAS_HAL_DIRECT_MAP only),
#                       replace (AXAS_REPLACE), keep (AXAS_KEEP_TABLES)
#   LOG=0               no messages
#   SPLIT_SECTIONS=1    a section for each function
#   STATIC_HAL=1        the host's callbacks are functions found by name, not by pointer
#   HARDEN=1            x86: every indirect call through the host's __x86_indirect_thunk_r11, ENDBR64;
#                       AArch64: BTI, return addresses signed
#   DEBUG_SYMBOLS=1     the names of local symbols and the source lines of the code stay
set -euo pipefail
. "$(dirname "$0")/common.sh"

arch=${1:-host}
cd "$ROOT"
formats_of "$arch" >/dev/null
known_formats "${FORMATS:-$(formats_of "$arch")}"
export PARTS=${PARTS-$(parts_of "$arch")}
known_parts "$PARTS"
known_capabilities "${WITHOUT:-}"
# Pages that change hands are hidden.
[[ " $PARTS " != *" transfer "* || " $PARTS " == *" hide "* ]] || PARTS+=" hide"
[[ " $PARTS " != *" age "* || " $PARTS " == *" dirty "* ]] || PARTS+=" dirty"
known_calls "${CALLS:-}" "$PARTS"
load_toolchain
out=${2:-build/$arch}
features=${FORMATS:-$(formats_of "$arch")},panic-handler
[ "${LOG:-1}" = 0 ] || features+=,log
for part in $PARTS; do features+=,$part; done
for capability in $CAPABILITIES_KNOWN; do
	[[ " ${WITHOUT:-} " == *" $capability "* ]] || features+=,$capability
done
[ "${STATIC_HAL:-0}" != 1 ] || features+=,static-hal

# An archive, where a Rust program would have an rlib: it alone has link-time optimisation.
# Without page_table_multiarch, whose licence not every host can take: docs/licensing.md.
build=(rustc --release --lib --crate-type staticlib --no-default-features --features "$features")

# failed: for want of crates?
failed() {
	host_cargo tree --offline --edges normal --no-default-features --features "$features" >/dev/null 2>&1 ||
		die "the crates of Cargo.lock are not here and were not downloaded (see above); docs/offline.md says how to bring them"
	exit 1
}

# Cargo leaves every variant in the same place: one build at a time.
mkdir -p build
exec {lock}>build/.lock
flock "$lock"

if [ "$arch" = host ]; then
	[ "${HARDEN:-0}" != 1 ] || die "HARDEN=1 is for bare metal: ARCH=x86_64 or aarch64"
	host_cargo "${build[@]}" || failed
	archive=target/release/libaxaddrspace.a
else
	target=$(bare_target "$arch")
	# Position-independent: switch tables then hold offsets, so that the library also runs before its
	# host has relocated itself. The other one: no GOT for calls on x86.
	export RUSTFLAGS="${RUSTFLAGS:-} -Crelocation-model=pie -Crelro-level=off"
	if [ "${HARDEN:-0}" = 1 ]; then
		# Flags of nightly that the release compiler has too; core was compiled without them.
		export RUSTC_BOOTSTRAP=1
		case $arch in
		x86_64)
			RUSTFLAGS+=" -Zretpoline-external-thunk -Zcf-protection=full"
			RUSTFLAGS+=" -Cunsafe-allow-abi-mismatch=retpoline,retpoline-external-thunk"
			;;
		aarch64) RUSTFLAGS+=" -Zbranch-protection=bti,pac-ret" ;;
		*) die "HARDEN=1 is for x86_64 and aarch64: Rust has no such option for $arch" ;;
		esac
	fi
	# shellcheck disable=SC2086  # BARE_FLAGS is a list, most often an empty one
	bare_cargo "${build[@]}" --target "$target" ${BARE_FLAGS:-} || failed
	archive=target/$target/release/libaxaddrspace.a
fi

mkdir -p "$out"
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
scripts/prelink.sh "$arch" "$archive" "$fresh/libaxaddrspace.a"
# An archive that did not change keeps its time, so that what links it is not linked again.
cmp -s "$fresh/libaxaddrspace.a" "$out/libaxaddrspace.a" ||
	mv "$fresh/libaxaddrspace.a" "$out/libaxaddrspace.a"
say "$out/libaxaddrspace.a"
