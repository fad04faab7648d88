/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The memory of a VM in Bao, by the library: glue_bao.c. Bao's vm.h includes this behind its own headers;
 * struct vm has a struct vm_space `as` in place of a struct addr_space.
 */
#ifndef GLUE_BAO_H
#define GLUE_BAO_H

#include "axaddrspace.h"

#define VM_EMUL_MAX 16
#define VM_BATCH    16

struct vm;
struct emul_mem;

/*
 * RAM that is on its way into the VM, gathered for as few calls as can be. Not on Bao's stack of 4 KiB: the
 * VM's first CPU alone maps RAM.
 */
struct vm_batch {
	vaddr_t at;
	size_t size, count;
	axas_extent_t extents[VM_BATCH];
};

struct vm_space {
	axas_t *axas;
	colormap_t colors;
	struct vm_batch batch;
#ifndef RV64
	axas_arena_t arena; /* of the tables */
#endif
#ifdef VM_MEM_LAZY
	struct emul_mem *emuls[VM_EMUL_MAX];
	size_t emul_num;
#endif
	_Alignas(AXAS_STORAGE_ALIGN) unsigned char storage[AXAS_STORAGE_SIZE];
};

/* RAM of the VM at `at`: these pages, or with NULL new ones of the VM's colours. */
void vm_mem_map(struct vm *vm, vaddr_t at, const struct ppages *ppages, size_t num_pages);
/* A device; any CPU of the VM, as for the interrupt files of an IMSIC. */
void vm_mem_map_dev(struct vm *vm, vaddr_t at, paddr_t pa, size_t num_pages);
/* Copies an image from host memory into the VM's, which may start with its caches off. */
void vm_mem_copy(struct vm *vm, vaddr_t to, paddr_t from, size_t size);
/* What each CPU of the VM loads: hgatp, or VTTBR_EL2 and VTCR_EL2. */
axas_hw_regs_t vm_mem_regs(const struct vm *vm);

#ifdef VM_MEM_LAZY
/* RAM whose pages come when the VM first uses them. */
void vm_mem_reserve(struct vm *vm, vaddr_t at, size_t num_pages);
/* The guest-page fault or abort of this CPU: true when the VM goes on with the same instruction. */
bool vm_mem_fault(struct vm *vm);
#endif

#endif
