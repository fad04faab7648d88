# SPDX-License-Identifier: MIT OR Apache-2.0
# Intel VMX in Bochs, for QEMU emulates no VMX.

include x86/common.mk

CPU ?= tigerlake
LEVELS ?= 4
CHECKS := tigerlake/4

MACHINE_OBJECTS := $(X86_OBJECTS) x86/rom.o enter.o intel.o vmcs.o
EMULATOR := $(BOCHS)
EMULATOR_PACKAGE := $(BOCHS_PACKAGE)
EMULATE = $(RUN_BOCHS)
