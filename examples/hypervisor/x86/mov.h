/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The form of instruction that the guest uses on devices. */
#ifndef HYPERVISOR_X86_MOV_H
#define HYPERVISOR_X86_MOV_H

#include <stdint.h>

/* Numbers of general registers in instructions, for arrays in that order. */
#define REGISTER_RAX   0
#define REGISTER_RDX   2
#define REGISTER_RSP   4
#define REGISTER_RSI   6
#define REGISTER_RDI   7
#define REGISTER_COUNT 16

/* A move of 32 bits between memory and a general register. */
struct mov32 {
	uint32_t is_write; /* to memory */
	uint32_t register_number;
	uint32_t length; /* of the instruction, in bytes */
};

/* Reads the guest's program at this address; 0 when something else than such a move is there. */
uint32_t mov32_decode(uint64_t pc, struct mov32 *mov);

#endif
