/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What enter.S and amd.c both know about a vCPU. */
#ifndef HYPERVISOR_AMD_VCPU_H
#define HYPERVISOR_AMD_VCPU_H

#include <stddef.h>
#include <stdint.h>

#include "vmcb.h"
#include "x86/registers.h"

struct vcpu {
	uint64_t registers[REGISTER_COUNT];
	uint64_t pc; /* the VMCB's while the guest runs */
	struct vmcb *vmcb;
};

_Static_assert(offsetof(struct vcpu, registers) == 0, "enter.S counts from the start");

/* The guest's RAX and RSP go through the VMCB, the other registers through the vCPU. */
void guest_enter(struct vcpu *vcpu, struct vmcb *vmcb);

#endif
