# SPDX-License-Identifier: MIT OR Apache-2.0
# AMD SVM with nested paging on QEMU's PC, and the same image on Bochs' ryzen.

ARCH := x86_64
CROSS := x86_64-linux-gnu-
CC_PACKAGE := $(if $(filter x86_64,$(shell uname -m)),gcc,gcc-x86-64-linux-gnu)

CPU ?= max
# Nested tables have as many levels as the host's own: with 5 it boots with LA57.
LEVELS ?= 4
CHECKS := max/4 max/5 EPYC/4 ryzen/4

MACHINE_CFLAGS := -m64 -mgeneral-regs-only -mno-red-zone -mcmodel=small -fcf-protection=none
MACHINE_OBJECTS := boot.o rom.o amd.o x86/guest_paging.o x86/mov.o

# $(1): the CPU
ifeq ($(CPU),ryzen)
EMULATOR := bochs
EMULATOR_PACKAGE := --no-install-recommends bochs bochs-term
EMULATE = ./amd/bochs.sh $(IMAGE) $(OBJCOPY) $(1)
else
EMULATOR := qemu-system-x86_64
EMULATOR_PACKAGE := qemu-system-x86
EMULATE = ./amd/qemu.sh $(EMULATOR) -cpu $(1) -m 512 -nodefaults -display none \
	-serial stdio -no-reboot -device isa-debug-exit,iobase=0xf4,iosize=0x04 -kernel $(IMAGE)
endif
