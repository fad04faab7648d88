/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Linux as the guest of the hypervisor at EL2: what the files of this story and of ../migrate share.
 *
 * Interrupt controller, timer and UART are the guest's own. The hypervisor keeps EL2, answers stage-2
 * faults and starts and stops vCPUs; each vCPU has a CPU to itself.
 */
#ifndef LINUX_LINUX_H
#define LINUX_LINUX_H

#define VCPU_COUNT 2 /* boot.py starts as many CPUs, and one more for ../migrate */
#define CPU_COUNT  (VCPU_COUNT + 1)
#define STACK_SIZE 16384

#ifndef __ASSEMBLER__
#include <stdint.h>

#include "axaddrspace.h"
#include "frames.h"
#include "vcpu.h"

#define RAM_GPA  0x40000000
#define RAM_SIZE UINT64_C(0x20000000) /* boot.py asks QEMU for a device tree with as much */

#define VMID_MAX 2

/* The story's own: runs the vCPU of this CPU, for good. */
_Noreturn void vcpu_main(struct vcpu *vcpu);

/* The story's own: the vCPU of this CPU does not run again until CPU_ON. */
void vcpu_close(void);

/* The story's own: the guest is off, and no other vCPU is on. */
_Noreturn void guest_is_off(void);

/* space.c: the story cannot go on. */
_Noreturn void give_up(const char *why);

/* space.c: gives up unless the call succeeded. */
void must(axas_status_t status, const char *call);

/* space.c: RAM that comes page by page, and the devices. VMIDs are 1 and 2. */
axas_t *space_create(uint32_t vmid);

/* space.c: kernel, initramfs and device tree, and the vCPU at the kernel's first instruction. */
void space_load(axas_t *space, struct vcpu *vcpu);

/* space.c: audits the space, destroys it, and gives up unless every frame came back. */
void space_destroy(axas_t *space, uint32_t vmid);

/* frames.c: gives the library this allocator for the space with this VMID. */
void frames_supply_vmid(axas_hal_t *hal, uint32_t vmid);

/* frames.c: how many frames of that space are out. */
uint64_t frames_out(uint32_t vmid);

/* cpu.c: what the guest may do by itself; on each CPU before its vCPU runs there. */
void cpu_open(void);

/* cpu.c: the vCPU of this CPU runs in the space with these registers. */
void cpu_load(const axas_hw_regs_t *registers);

/* cpu.c: no space is loaded on this CPU. */
void cpu_unload(void);

/* cpu.c: state of a vCPU that starts as the boot protocol and CPU_ON want it. */
void vcpu_reset(struct vcpu *vcpu, axas_gpa_t pc, uint64_t x0);

/* cpu.c: a clock that runs while the guest does, in microseconds. */
uint64_t clock_us(void);

/* psci.c: the vCPU made a call, to PSCI. */
void psci_call(struct vcpu *vcpu);

/* psci.c: the first vCPU, which runs from the start. */
struct vcpu *psci_boot_vcpu(void);

/* psci.c: vCPU n runs on CPU n. */
uint64_t this_cpu(void);

/* psci.c: a CPU that is off runs this. Returns PSCI's status, 0 for success. */
uint64_t cpu_start(uint64_t cpu, void (*run)(void));

/* psci.c: this CPU goes off. */
_Noreturn void cpu_off(void);

/* secondary.S */
void secondary_start(void);
uint64_t smc(uint64_t x0, uint64_t x1, uint64_t x2, uint64_t x3);
#endif

#endif
