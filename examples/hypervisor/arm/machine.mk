# SPDX-License-Identifier: MIT OR Apache-2.0
# AArch64 EL2 on QEMU's virt machine.

ARCH := aarch64
CROSS := aarch64-linux-gnu-
CC_PACKAGE := gcc-aarch64-linux-gnu
EMULATOR := qemu-system-aarch64
EMULATOR_PACKAGE := qemu-system-arm

CPU ?= cortex-a53
LEVELS ?= 3
# 40-bit CPUs cannot start at level 0, where a walk of four levels starts.
CHECKS := cortex-a53/3 cortex-a72/3 neoverse-n1/3 max/3 max/4

MACHINE_CFLAGS := -mgeneral-regs-only -mstrict-align -mno-outline-atomics
MACHINE_OBJECTS := boot.o arm.o

# $(1): the CPU
EMULATE = $(EMULATOR) -M virt,virtualization=on -cpu $(1) -m 512 -nographic \
	-semihosting-config enable=on,target=native -kernel $(IMAGE)
