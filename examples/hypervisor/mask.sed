# SPDX-License-Identifier: MIT OR Apache-2.0
# What check.sh leaves out of the comparison.
# Where the compiler put the guest's instructions, and how much of the stack it uses.
s/pc 0x[0-9a-f]+/pc .../
s/0x01000ff[0-9a-f]{3}/0x01000ff.../
# The version, where the linker put the hypervisor's memory, and what the CPU says about widths.
s/(VTTBR_EL2|VTCR_EL2|hgatp|nCR3|EPTP) +0x[0-9a-f]+/\1 .../
s/axaddrspace [0-9.]+/axaddrspace .../
s/hpa 0x[0-9a-f]+/hpa .../
s/host addresses of [0-9]+ bits/host addresses of ... bits/
# Which pages a guest wrote between two exits depends on its compiler.
s/(round [0-9]+): [0-9]+ pages/\1: ... pages/
s/[0-9]+ pages (were copied|came|unasked|twice)/... pages \1/g
s/written to [0-9]+ pages/written to ... pages/
# As far as the CPU can.
s/by (write faults|dirty bits of the hardware)/by .../
s/ +$//
