/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What enter.S and intel.c both know about a vCPU. */
#ifndef HYPERVISOR_INTEL_VCPU_H
#define HYPERVISOR_INTEL_VCPU_H

#define VCPU_LAUNCHED 128

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

#include "x86/registers.h"

struct vcpu {
	uint64_t registers[REGISTER_COUNT];
	uint64_t launched; /* not 0: the VMCS went through VMLAUNCH, so VMRESUME comes next */
	uint64_t pc;
};

_Static_assert(offsetof(struct vcpu, registers) == 0, "enter.S counts from the start");
_Static_assert(offsetof(struct vcpu, launched) == VCPU_LAUNCHED, "enter.S knows this offset");

/* All but RSP and RIP, which the VMCS has. Returns 0 if there was no VM entry. */
uint32_t guest_enter(struct vcpu *vcpu);

/* Where VM exits arrive. */
void guest_exit(void);
#endif

#endif
