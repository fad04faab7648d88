/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Accesses of the guest that the hypervisor carries out or refuses.
 *
 * Devices take the instructions 89 /r and 8B /r of 64-bit mode, with any memory operand.
 * Neither machine says how long the instruction was that a second-stage fault interrupted, so the
 * operand's bytes are counted; its address is the fault's.
 */
#include <stdint.h>

#include "layout.h"
#include "machine.h"
#include "vcpu.h"

#define OPCODE_STORE 0x89
#define OPCODE_LOAD  0x8b

#define IS_REX(byte) (((byte)&0xf0) == 0x40)
#define REX_W        0x08 /* 64 bits instead of 32 */
#define REX_R        0x04 /* registers 8 to 15 */

#define MOD(modrm) ((modrm) >> 6)
#define REG(modrm) ((uint32_t)(modrm) >> 3 & 7)
#define RM(byte)   ((byte)&7) /* of ModRM, and the base of SIB */

#define RM_SIB    4 /* a SIB byte follows */
#define RM_NONE   5 /* with MOD 0: no base, four bytes of displacement */
#define MOD_NONE  0
#define MOD_BYTE  1
#define MOD_DWORD 2

/* A move of 32 bits between memory and a general register. */
struct mov32 {
	uint32_t is_write; /* to memory */
	uint32_t register_number;
	uint32_t length; /* of the instruction, in bytes */
};

/* Beyond the program there are no instructions of the guest's own, and zero is no mov. */
static uint8_t program_byte(uint64_t gpa)
{
	uint64_t offset = gpa - GPA_PROGRAM;

	return offset < PROGRAM_SIZE ? guest_program[offset] : 0;
}

/* How many bytes ModRM, SIB and displacement take; 0 for a register operand. */
static uint32_t operand_length(uint64_t gpa)
{
	uint8_t modrm = program_byte(gpa);
	uint32_t length = 1;
	uint32_t base = RM(modrm);

	if (base == RM_SIB) {
		base = RM(program_byte(gpa + 1));
		length++;
	}
	switch (MOD(modrm)) {
	case MOD_NONE:
		return base == RM_NONE ? length + 4 : length;
	case MOD_BYTE:
		return length + 1;
	case MOD_DWORD:
		return length + 4;
	default:
		return 0;
	}
}

/* Reads the guest's program at this address; 0 when something else than such a move is there. */
static uint32_t mov32_decode(uint64_t pc, struct mov32 *mov)
{
	uint64_t gpa = pc;
	uint8_t rex = IS_REX(program_byte(gpa)) ? program_byte(gpa++) : 0;
	uint8_t opcode = program_byte(gpa++);
	uint32_t operand = operand_length(gpa);

	if ((opcode != OPCODE_STORE && opcode != OPCODE_LOAD) || rex & REX_W || operand == 0)
		return 0;
	mov->is_write = opcode == OPCODE_STORE;
	mov->register_number = REG(program_byte(gpa)) | (rex & REX_R ? 8 : 0);
	mov->length = (uint32_t)(gpa - pc) + operand;
	return 1;
}

uint32_t vcpu_decode_access(const struct vcpu *vcpu, struct guest_access *access)
{
	struct mov32 mov;

	if (!mov32_decode(vcpu->pc, &mov))
		return 0;
	access->is_write = mov.is_write;
	access->bytes = sizeof(uint32_t);
	access->value = mov.is_write ? (uint32_t)vcpu->registers[mov.register_number] : 0;
	return 1;
}

void vcpu_finish_access(struct vcpu *vcpu, const struct guest_access *access)
{
	struct mov32 mov;

	if (!mov32_decode(vcpu->pc, &mov))
		return;
	/* A load of four bytes clears the upper half of its register. */
	if (!access->is_write)
		vcpu->registers[mov.register_number] = (uint32_t)access->value;
	vcpu->pc += mov.length;
}

void vcpu_refuse(struct vcpu *vcpu, axas_fault_result_t verdict)
{
	vcpu->registers[REGISTER_RDX] = verdict;
	vcpu->pc = GPA_PROGRAM + PROGRAM_REFUSED;
}
