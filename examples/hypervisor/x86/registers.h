/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* General registers by the numbers that instructions give them, for arrays in that order. */
#ifndef HYPERVISOR_X86_REGISTERS_H
#define HYPERVISOR_X86_REGISTERS_H

#define REGISTER_RAX   0
#define REGISTER_RDX   2
#define REGISTER_RSP   4
#define REGISTER_RSI   6
#define REGISTER_RDI   7
#define REGISTER_COUNT 16

#endif
