# SPDX-License-Identifier: MIT OR Apache-2.0
# AMD SVM with nested paging on QEMU's PC.

BASE := amd
ARCH := x86_64
CROSS := x86_64-linux-gnu-
CC_PACKAGE := $(if $(filter x86_64,$(shell uname -m)),gcc,gcc-x86-64-linux-gnu)
EMULATOR := qemu-system-x86_64
EMULATOR_PACKAGE := qemu-system-x86

# CPU/LEVELS: nested tables have as many levels as the host's own.
CHECKS := max/4 max/5
# Of these, with the parts of the library.
PARTS_CHECKS := max/4

MACHINE_CFLAGS := -m64 -mgeneral-regs-only -mno-red-zone -mcmodel=small -fcf-protection=none
BASE_OBJECTS := x86/boot.o x86/exceptions.o x86/pc.o enter.o amd.o
LAYER_OBJECTS := layer.o x86/second.o x86/second_cpu.o x86/guest_tables.o

# $(1): the CPU; $(2): the image
EMULATE = $(EXAMPLE)/amd/qemu.sh $(EMULATOR) -cpu $(1) -smp 2 -m 512 -nodefaults -display none \
	-serial stdio -no-reboot -device isa-debug-exit,iobase=0xf4,iosize=0x04 -kernel $(2)
