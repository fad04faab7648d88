#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# link.sh: compiles the glue as the hypervisors would, for AArch64 and for RISC-V, and links it with the archive and the
# stubs: without a C library, and with no symbol missing.
set -eu
cd "$(dirname "$0")/.."

common="-std=c11 -O2 -ffreestanding -fno-stack-protector -fno-pic -no-pie -static -nostdlib
	-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wcast-qual -Wstrict-prototypes -Werror
	-I. -Iglue -I../include -Wl,--build-id=none"

# link ARCHITECTURE NAME STUBS ENTRY [OPTION]
link() {
	arch=$1 name=$2 stubs=$3 entry=$4
	shift 4
	case $arch in
	aarch64) options="-mgeneral-regs-only -mstrict-align -mno-outline-atomics" ;;
	riscv64) options="-march=rv64imac_zicsr -mabi=lp64 -mcmodel=medany" ;;
	esac
	lib=../build/$arch/libaxaddrspace.a
	out=../build/glue-$arch
	command -v "$arch-linux-gnu-gcc" >/dev/null ||
		{ echo "no $arch-linux-gnu-gcc: apt-get install gcc-$arch-linux-gnu" >&2; exit 1; }
	[ -e "$lib" ] || { echo "no $lib: make lib ARCH=$arch" >&2; exit 1; }
	mkdir -p "$out"
	# shellcheck disable=SC2086  # lists of options
	"$arch-linux-gnu-gcc" $common $options "$@" -Wl,-e,"$entry" "$name.c" "$stubs" \
		hypervisor/freestanding.c "$lib" -o "$out/$name.elf"
	echo "linked: $name for $arch"
}

# What Bao's console_printk does, and how a CPU stops, is try_bao.c's.
for kind in -UVM_MEM_LAZY -DVM_MEM_LAZY; do
	bao="-Iglue/bao $kind -Wl,--defsym=console_printk=0 -Wl,--defsym=standin_stop=0"
	# shellcheck disable=SC2086
	link aarch64 glue_bao glue/bao_stubs.c vm_mem_prot_init $bao
	# shellcheck disable=SC2086
	link riscv64 glue_bao glue/bao_stubs.c vm_mem_prot_init $bao -DRV64
done
link aarch64 glue_xen_arm glue/xen_stubs.c p2m_alloc_table
