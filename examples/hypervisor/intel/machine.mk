# SPDX-License-Identifier: MIT OR Apache-2.0
# Intel VMX in Bochs, for QEMU emulates no VMX.

ARCH := x86_64
CROSS := x86_64-linux-gnu-
CC_PACKAGE := $(if $(filter x86_64,$(shell uname -m)),gcc,gcc-x86-64-linux-gnu)
EMULATOR := bochs
EMULATOR_PACKAGE := --no-install-recommends bochs bochs-term

CPU ?= tigerlake
LEVELS ?= 4
CHECKS := tigerlake/4

MACHINE_CFLAGS := -mgeneral-regs-only -mno-red-zone -fcf-protection=none
MACHINE_OBJECTS := boot.o rom.o intel.o vmcs.o x86/guest_paging.o x86/mov.o

# $(1): the CPU
EMULATE = ./intel/run.sh $(IMAGE) $(OBJCOPY) $(1)
