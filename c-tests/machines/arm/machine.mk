# SPDX-License-Identifier: MIT OR Apache-2.0
# AArch64 EL2 on QEMU's virt machine.

BASE := arm
ARCH := aarch64
CROSS := aarch64-linux-gnu-
CC_PACKAGE := gcc-aarch64-linux-gnu
EMULATOR := qemu-system-aarch64
EMULATOR_PACKAGE := qemu-system-arm

# CPU/LEVELS: 40, 44, 48 and 52 bits of physical address; 40-bit CPUs cannot start at level 0.
CHECKS := cortex-a53/3 cortex-a72/4 neoverse-n1/4 max/3 max/4
# Of these, with the parts of the library: without accessed and dirty bits of the hardware, and with them.
PARTS_CHECKS := cortex-a53/3 max/4

MACHINE_CFLAGS := -mgeneral-regs-only -mstrict-align -mno-outline-atomics
BASE_OBJECTS := boot.o arm.o
LAYER_OBJECTS := layer.o samples.o
GUEST_LDFLAGS :=

# $(1): the CPU; $(2): the image
EMULATE = $(EMULATOR) -M virt,virtualization=on -cpu $(1) -smp 2 -m 512 -nographic \
	-semihosting-config enable=on,target=native -kernel $(2)
