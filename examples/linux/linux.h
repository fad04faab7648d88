/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Linux as the guest of the hypervisor at EL2: what the files of this story share.
 *
 * Interrupt controller, timer and UART are the guest's own. The hypervisor keeps EL2, answers stage-2
 * faults and starts and stops vCPUs; each vCPU has a CPU to itself.
 */
#ifndef LINUX_LINUX_H
#define LINUX_LINUX_H

#define VCPU_COUNT 2 /* run.py starts as many CPUs */
#define STACK_SIZE 16384

#ifndef __ASSEMBLER__
#include <stdint.h>

#include "axaddrspace.h"
#include "vcpu.h"

/* linux.c: loads the space and runs the vCPU of this CPU, for good. */
_Noreturn void vcpu_main(struct vcpu *vcpu);

/* linux.c: the guest is off, and no other vCPU is on. */
_Noreturn void guest_is_off(void);

/* linux.c: the story cannot go on. */
_Noreturn void give_up(const char *why);

/* cpu.c: what the guest may do by itself, and its space; on each CPU before its vCPU runs there. */
void cpu_open(const axas_hw_regs_t *registers);

/* cpu.c: the vCPU of this CPU does not run again. */
void cpu_close(void);

/* cpu.c: state of a vCPU that starts as the boot protocol and CPU_ON want it. */
void vcpu_reset(struct vcpu *vcpu, axas_gpa_t pc, uint64_t x0);

/* cpu.c: a clock that runs while the guest does, in microseconds. */
uint64_t clock_us(void);

/* psci.c: the vCPU made a call, to PSCI. */
void psci_call(struct vcpu *vcpu);

/* psci.c: the first vCPU, which runs from the start. */
struct vcpu *psci_boot_vcpu(void);

/* secondary.S */
void secondary_start(void);
uint64_t smc(uint64_t x0, uint64_t x1, uint64_t x2, uint64_t x3);
#endif

#endif
