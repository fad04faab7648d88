# SPDX-License-Identifier: MIT OR Apache-2.0
# Intel VMX in Bochs, for QEMU emulates no VMX.

BASE := intel
ARCH := x86_64
CROSS := x86_64-linux-gnu-
CC_PACKAGE := $(if $(filter x86_64,$(shell uname -m)),gcc,gcc-x86-64-linux-gnu)
EMULATOR := bochs
EMULATOR_PACKAGE := --no-install-recommends bochs bochs-term

# CPU/LEVELS
CHECKS := tigerlake/4
# Of these, with the parts of the library.
PARTS_CHECKS := tigerlake/4

MACHINE_CFLAGS := -mgeneral-regs-only -mno-red-zone -fcf-protection=none
BASE_OBJECTS := x86/boot.o x86/exceptions.o x86/pc.o x86/rom.o enter.o intel.o vmcs.o
LAYER_OBJECTS := layer.o second_vmcs.o x86/second.o x86/second_cpu.o x86/guest_tables.o

# $(1): the CPU; $(2): the image
EMULATE = $(EXAMPLE)/x86/bochs.sh intel/bochsrc $(2) $(OBJCOPY) $(1)
