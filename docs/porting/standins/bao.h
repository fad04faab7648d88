/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the pieces of porting/bao.md need of Bao: names and types as there at commit 738e3dc50983, bodies nowhere.
 * examples/glue/bao has what the glue itself needs.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "axaddrspace.h"

typedef uintptr_t paddr_t;
typedef uintptr_t vaddr_t;
typedef unsigned long asid_t;
typedef unsigned long vmid_t;

struct ppages;
struct vm {
	vmid_t id;
};
struct vcpu {
	struct vm *vm;
};
struct cpu {
	struct vcpu *vcpu;
};
struct cpu *cpu(void);

void csrs_hgatp_write(unsigned long value);
void sysreg_vtcr_el2_write(unsigned long value);
void sysreg_vttbr_el2_write(unsigned long value);
void tlb_vm_inv_all(asid_t vmid);

/* Of examples/glue_bao.h. */
axas_hw_regs_t vm_mem_regs(const struct vm *vm);
void vm_mem_map(struct vm *vm, vaddr_t at, const struct ppages *ppages, size_t num_pages);
void vm_mem_reserve(struct vm *vm, vaddr_t at, size_t num_pages);
bool vm_mem_fault(struct vm *vm);

/* What the pieces define. */
void load_root_riscv(struct vm *vm);
void load_root_arm(struct vm *vm);
bool fault_goes_on(void);
