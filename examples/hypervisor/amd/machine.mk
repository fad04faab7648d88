# SPDX-License-Identifier: MIT OR Apache-2.0
# AMD SVM with nested paging on QEMU's PC, and from a ROM on Bochs' ryzen.

include x86/common.mk

CPU ?= max
# Nested tables have as many levels as the host's own: with 5 it boots with LA57.
LEVELS ?= 4
CHECKS := max/4 max/5 EPYC/4 ryzen/4

MACHINE_OBJECTS := $(X86_OBJECTS) enter.o amd.o

# $(1): the CPU
ifeq ($(CPU),ryzen)
LAYOUT := rom
MACHINE_OBJECTS += x86/rom.o
EMULATOR := $(BOCHS)
EMULATOR_PACKAGE := $(BOCHS_PACKAGE)
EMULATE = $(RUN_BOCHS)
else
EMULATOR := qemu-system-x86_64
EMULATOR_PACKAGE := qemu-system-x86
EMULATE = ./amd/qemu.sh $(EMULATOR) -cpu $(1) -m 512 -nodefaults -display none \
	-serial stdio -no-reboot -device isa-debug-exit,iobase=0xf4,iosize=0x04 -kernel $(IMAGE)
endif
