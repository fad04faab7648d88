/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What boot.S and amd.c both know about a vCPU. */
#ifndef HYPERVISOR_AMD_VCPU_H
#define HYPERVISOR_AMD_VCPU_H

/* General registers by the numbers that instructions give them. */
#define REGISTER_RAX 0
#define REGISTER_RCX 1
#define REGISTER_RDX 2
#define REGISTER_RBX 3
#define REGISTER_RSP 4
#define REGISTER_RBP 5
#define REGISTER_RSI 6
#define REGISTER_RDI 7

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

#include "vmcb.h"

struct vcpu {
	uint64_t registers[16];
	struct vmcb *vmcb;
};

_Static_assert(offsetof(struct vcpu, registers) == 0, "boot.S counts from the start");

/* The guest's RAX and RSP go through the VMCB, the other registers through the vCPU. */
void guest_enter(struct vcpu *vcpu, struct vmcb *vmcb);
#endif

#endif
