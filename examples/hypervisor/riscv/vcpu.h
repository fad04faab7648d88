/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What boot.S and riscv.c both know about a vCPU. */
#ifndef HYPERVISOR_RISCV_VCPU_H
#define HYPERVISOR_RISCV_VCPU_H

#define VCPU_PC      256
#define VCPU_HOST_SP 264

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

struct vcpu {
	uint64_t x[32];
	uint64_t pc;
	uint64_t host_sp;
};

_Static_assert(offsetof(struct vcpu, x) == 0, "boot.S counts from the start");
_Static_assert(offsetof(struct vcpu, pc) == VCPU_PC, "boot.S knows this offset");
_Static_assert(offsetof(struct vcpu, host_sp) == VCPU_HOST_SP, "boot.S knows this offset");

void guest_enter(struct vcpu *vcpu);
#endif

#endif
