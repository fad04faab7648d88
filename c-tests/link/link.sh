#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# link.sh HABIT ARCH LINKER COMPILER ARCHIVE: compile the stand-in host with gcc or clang and link it with
# the archive, by GNU ld (bfd) or lld, in the manner of bao, xen, jailhouse, hafnium or a Linux module.
# Every warning is an error, every section has to be named, nothing may stay undefined.
set -euo pipefail
. "$(dirname "$0")/../../scripts/common.sh"
cd "$ROOT/c-tests/link"
habit=$1 arch=$2 linker=$3 compiler=$4 archive=$5

tools=$(binutils_of "$arch")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# need COMMAND PACKAGE
need() { have "$1" || die "no $1; run: apt-get install $2"; }

case $linker in
bfd) ld=("${tools}ld" --no-warn-rwx-segments) && need "${tools}ld" "$(binutils_package "$arch")" ;;
lld) ld=(ld.lld) && need ld.lld lld ;;
esac
case $compiler in
gcc) cc=("${tools}gcc") && need "${tools}gcc" "gcc-${arch/_/-}-linux-gnu" ;;
clang) cc=(clang "--target=$arch-none-elf") && need clang clang ;;
esac

flags=(-std=gnu11 -O2 -ffreestanding -Wall -Wextra -Werror -fno-asynchronous-unwind-tables
	-fno-stack-protector -I"$ROOT/include")
case $arch in
x86_64) flags+=(-mno-red-zone -mno-sse -mno-mmx) base=0xffffffffc0000000 ;;
aarch64) flags+=(-mgeneral-regs-only) base=0xffff000000200000 ;;
# lp64: Xen and Bao are built without floating point, and ld mixes no calling conventions.
riscv64) flags+=(-march=rv64imac -mabi=lp64 -mcmodel=medany -mno-relax -msmall-data-limit=0) base=0xffffffc000000000 ;;
esac
[ "$arch-$compiler" != aarch64-gcc ] || flags+=(-mno-outline-atomics)
case $habit in
hafnium) flags+=(-fpie -fvisibility=hidden -ffunction-sections) ;;
module) flags+=(-fno-pic -DKERNEL_HAS_MEM) ;;
*) flags+=(-fno-pic) ;;
esac
[ "$arch-$habit" = x86_64-hafnium ] || [ "$arch" != x86_64 ] || flags+=(-mcmodel=kernel)

objects=()
# compile SOURCE
compile() {
	"${cc[@]}" "${flags[@]}" -c "$1" -o "$work/${1%.*}.o"
	objects+=("$work/${1%.*}.o")
}
# What the archive has of the calls that the host makes, and has not of those that it does not make.
has=axas_create
has_not=none
case $archive in
*-partition*) flags+=(-DSTATIC_PARTITION) has=axas_create_in has_not=axas_unmap ;;
esac
compile host.c
case $archive in
*x86_64-hardened*) compile thunk.S ;;
*static-hal*) compile static_hal.c ;;
esac

strict=(--fatal-warnings --no-undefined --orphan-handling=error --build-id=none -z noexecstack
	--defsym=BASE=$base)
image=$work/image
case $habit in
bao) "${ld[@]}" "${strict[@]}" -T bao.ld "${objects[@]}" "$archive" -o "$image" ;;
xen) "${ld[@]}" "${strict[@]}" -T xen.ld "${objects[@]}" --start-group "$archive" --end-group -o "$image" ;;
jailhouse)
	# First everything into one object, as its build does with each directory.
	"${ld[@]}" -r --fatal-warnings --whole-archive "${objects[@]}" "$archive" -o "$work/built-in.o"
	"${ld[@]}" "${strict[@]}" -T bao.ld "$work/built-in.o" -o "$image"
	;;
hafnium)
	"${ld[@]}" "${strict[@]}" -pie --no-dynamic-linker -z text --gc-sections -T hafnium.ld \
		"${objects[@]}" "$archive" -o "$image"
	;;
module)
	"${ld[@]}" -r --fatal-warnings --build-id=none -T module.ld "${objects[@]}" "$archive" -o "$image"
	;;
esac

# absent WHAT LINES
absent() { [ -z "$2" ] || die "$habit, $arch, $linker, $compiler: $1: $2"; }

wanted_undefined='^$'
[ $habit != module ] || wanted_undefined='^(memcpy|memset)$'
symbols=$("${tools}nm" "$image")
absent "undefined" "$(awk '$1 == "U" { print $2 }' <<<"$symbols" | grep -Ev "$wanted_undefined" || true)"
grep -q " T $has\$" <<<"$symbols" || die "$habit, $arch, $linker, $compiler: no $has"
absent "not to be there" "$(grep " T $has_not\$" <<<"$symbols" || true)"
relocations=$("${tools}readelf" -rW "$image" | grep -oE '\bR_[A-Z0-9_]+' | sort -u || true)
case $habit-$arch in
# What the kernel's loader of each architecture can do, of what compilers make.
module-x86_64) known='_(64|32|32S|PC32|PLT32|PC64)$' ;;
module-aarch64) known='_(ABS64|PREL32|ADR_PREL_PG_HI21|ADD_ABS_LO12_NC|LDST(8|16|32|64)_ABS_LO12_NC|CALL26|JUMP26)$' ;;
module-riscv64) known='_(64|BRANCH|JAL|RVC_BRANCH|RVC_JUMP|PCREL_HI20|PCREL_LO12_[IS]|CALL|CALL_PLT|ADD32|SUB32)$' ;;
hafnium-*) known='_RELATIVE$' ;;
*) known='^$' ;;
esac
absent "relocations" "$(grep -Ev "$known" <<<"$relocations" || true)"
say "$habit, $arch, $linker, $compiler: linked"
