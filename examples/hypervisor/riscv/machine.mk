# SPDX-License-Identifier: MIT OR Apache-2.0
# RISC-V HS mode on QEMU's virt machine, started by OpenSBI.

ARCH := riscv64
CROSS := riscv64-linux-gnu-
CC_PACKAGE := gcc-riscv64-linux-gnu
EMULATOR := qemu-system-riscv64
EMULATOR_PACKAGE := qemu-system-misc

CPU ?= rv64,h=true
# Sv39x4 and Sv48x4.
LEVELS ?= 3
CHECKS := rv64,h=true/3 rv64,h=true/4

# No compressed instructions: each that the hypervisor steps over has four bytes.
MACHINE_CFLAGS := -march=rv64ima_zicsr_zifencei -mabi=lp64 -mcmodel=medany -mno-relax
MACHINE_LDFLAGS := -Wl,--no-relax
MACHINE_OBJECTS := boot.o riscv.o

# $(1): the CPU
EMULATE = $(EMULATOR) -M virt -cpu $(1) -m 512 -nographic -kernel $(IMAGE)
