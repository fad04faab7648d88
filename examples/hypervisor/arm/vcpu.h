/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What boot.S and arm.c both know about a vCPU. */
#ifndef HYPERVISOR_ARM_VCPU_H
#define HYPERVISOR_ARM_VCPU_H

#define VCPU_PC 248

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

struct vcpu {
	uint64_t x[31];
	uint64_t pc;
	uint64_t pstate;
};

_Static_assert(offsetof(struct vcpu, x) == 0, "boot.S counts from the start");
_Static_assert(offsetof(struct vcpu, pc) == VCPU_PC, "boot.S knows this offset");
_Static_assert(offsetof(struct vcpu, pstate) == VCPU_PC + 8, "boot.S loads both as a pair");

uint32_t guest_enter(struct vcpu *vcpu);
_Noreturn void semihosting_exit(const uint64_t block[2]);
#endif

#endif
