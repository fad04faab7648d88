# SPDX-License-Identifier: MIT OR Apache-2.0
# RISC-V HS mode on QEMU's virt machine, started by OpenSBI.

BASE := riscv
ARCH := riscv64
CROSS := riscv64-linux-gnu-
CC_PACKAGE := gcc-riscv64-linux-gnu
EMULATOR := qemu-system-riscv64
EMULATOR_PACKAGE := qemu-system-misc

# CPU/LEVELS/FEATURES: Sv39x4 and Sv48x4, without and with memory types.
CHECKS := rv64,h=true/3 rv64,h=true/4 rv64,h=true,svpbmt=true/4/svpbmt
# Of these, with the parts of the library.
PARTS_CHECKS := rv64,h=true/4
FEATURES_svpbmt := AXAS_FEATURE_RISCV_SVPBMT

# No compressed instructions: each that the hypervisor steps over has four bytes.
MACHINE_CFLAGS := -march=rv64ima_zicsr_zifencei -mabi=lp64 -mcmodel=medany -mno-relax
MACHINE_LDFLAGS := -Wl,--no-relax
BASE_OBJECTS := boot.o riscv.o
LAYER_OBJECTS := layer.o samples.o

# $(1): the CPU; $(2): the image
EMULATE = $(EMULATOR) -M virt -cpu $(1) -smp 2 -m 512 -nographic -kernel $(2)
