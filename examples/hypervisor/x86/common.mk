# SPDX-License-Identifier: MIT OR Apache-2.0
# What the two x86 machines have in common. rom.o is for the emulator that boots from a ROM.

ARCH := x86_64
CROSS := x86_64-linux-gnu-
CC_PACKAGE := $(if $(filter x86_64,$(shell uname -m)),gcc,gcc-x86-64-linux-gnu)

MACHINE_CFLAGS := -mgeneral-regs-only -mno-red-zone -fcf-protection=none
X86_OBJECTS := x86/boot.o x86/exceptions.o x86/pc.o x86/vcpu.o x86/guest_paging.o

BOCHS := bochs
BOCHS_PACKAGE := --no-install-recommends bochs bochs-term
# $(1): the CPU
RUN_BOCHS = ./x86/bochs.sh x86/bochsrc $(IMAGE) $(OBJCOPY) $(1)
