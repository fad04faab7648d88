#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# link-aarch64.sh: compiles the glue for AArch64 as a hypervisor would, and links it with the archive
# and the stubs: without a C library, and with no symbol missing.
set -eu
cd "$(dirname "$0")/.."

lib=../build/aarch64/libaxaddrspace.a
out=../build/glue-aarch64
command -v aarch64-linux-gnu-gcc >/dev/null ||
	{ echo 'no aarch64-linux-gnu-gcc: apt-get install gcc-aarch64-linux-gnu' >&2; exit 1; }
[ -e $lib ] || { echo "no $lib: make lib ARCH=aarch64" >&2; exit 1; }
mkdir -p $out

# link NAME STUBS ENTRY [OPTION]
link() {
	name=$1 stubs=$2 entry=$3
	shift 3
	aarch64-linux-gnu-gcc -std=c11 -O2 -ffreestanding -fno-stack-protector -fno-pic -no-pie -static \
		-mgeneral-regs-only -mstrict-align -mno-outline-atomics -nostdlib \
		-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wcast-qual \
		-Wstrict-prototypes -Werror -Iglue -I../include "$@" \
		-Wl,-e,"$entry" -Wl,--build-id=none "$name.c" "$stubs" hypervisor/freestanding.c $lib \
		-o "$out/$name.elf"
	echo "linked: $name for AArch64"
}

# Bao's ERROR is a macro, and try_bao.c has it.
link glue_bao glue/bao_stubs.c vm_mem_prot_init -Wl,--defsym=ERROR=0
link glue_xen_arm glue/xen_stubs.c p2m_init
