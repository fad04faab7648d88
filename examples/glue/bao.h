/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Stands in for the headers of Bao that glue_bao.c would include: the names and meanings that it
 * needs, declared anew. Not Bao's text, and not all of what Bao has.
 */
#ifndef GLUE_BAO_H
#define GLUE_BAO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "axaddrspace.h"

#define PAGE_SIZE    ((size_t)4096)
#define NUM_PAGES(s) (((s) + PAGE_SIZE - 1) / PAGE_SIZE)

/* core/inc/types.h */
typedef uintptr_t paddr_t;
typedef uintptr_t vaddr_t;
typedef unsigned long colormap_t;
typedef unsigned long asid_t;
#define INVALID_VA ((vaddr_t)-1)

/* platform: how many colours the last-level cache has, and how many pages one colour is wide */
#define COLOR_NUM  4
#define COLOR_SIZE 1

/* core/inc/mem.h: pages of the page pools, not mapped anywhere yet */
struct ppages {
	paddr_t base;
	size_t num_pages;
	colormap_t colors; /* 0: all */
};

typedef enum { SEC_HYP_PRIVATE, SEC_HYP_VM } as_sec_t;
typedef uint64_t mem_flags_t;
#define PTE_HYP_FLAGS       0
#define MEM_ALIGN_NOT_REQ   false
#define MEM_DONT_FREE_PAGES false

/* Bao's own address space; those of VMs are what the glue replaces */
struct addr_space;

struct cpu {
	struct addr_space *as;
};

struct cpu *cpu(void);
struct ppages mem_alloc_ppages(colormap_t colors, size_t num_pages, bool aligned);
void *mem_alloc_page(size_t num_pages, as_sec_t sec, bool phys_aligned);
bool mem_translate(struct addr_space *as, vaddr_t va, paddr_t *pa);
vaddr_t mem_alloc_map(struct addr_space *as, as_sec_t section, struct ppages *ppages, vaddr_t at,
		      size_t num_pages, mem_flags_t flags);
void mem_unmap(struct addr_space *as, vaddr_t at, size_t num_pages, bool free_ppages);
/* A macro there, which stops the CPU. */
_Noreturn void ERROR(const char *what, const char *why);

/* core/inc/emul.h */
struct emul_access {
	vaddr_t addr;
	bool write;
	size_t width;
	unsigned long reg;
};
typedef bool (*emul_handler_t)(struct emul_access *);
struct emul_mem {
	vaddr_t va_base;
	size_t size;
	emul_handler_t handler;
};

/* core/inc/vm.h, config.h: the members that the glue uses */
struct vm_mem_region {
	paddr_t base;
	size_t size;
	colormap_t colors;
	bool place_phys;
	paddr_t phys;
};
struct vm_dev_region {
	paddr_t pa;
	vaddr_t va;
	size_t size;
};
struct vm_config {
	struct {
		vaddr_t base_addr; /* in the VM */
		const void *data; /* load_addr, mapped */
		size_t size;
	} image;
	size_t region_num;
	const struct vm_mem_region *regions;
	size_t dev_num;
	const struct vm_dev_region *devs;
	colormap_t colors;
};

#define VM_EMUL_MAX 8

/* in place of struct addr_space for a VM */
struct vm_space {
	axas_t *axas;
	axas_arena_t arena;
	const struct emul_mem *emuls[VM_EMUL_MAX];
	size_t emul_num;
	_Alignas(AXAS_STORAGE_ALIGN) unsigned char storage[AXAS_STORAGE_SIZE];
};

struct vm {
	asid_t id;
	const struct vm_config *config;
	struct vm_space as;
};

/* arch/armv8/armv8-a: VTTBR_EL2 and VTCR_EL2 */
void sysreg_vttbr_el2_write(uint64_t value);
void sysreg_vtcr_el2_write(uint64_t value);

/* What glue_bao.c defines, by the names of what it takes the place of. */
void vm_mem_prot_init(struct vm *vm, const struct vm_config *config);
void vm_map_mem_region(struct vm *vm, const struct vm_mem_region *reg);
void vm_map_dev(struct vm *vm, const struct vm_dev_region *dev);
void vm_install_image(struct vm *vm);
void vm_emul_add_mem(struct vm *vm, struct emul_mem *emu);
emul_handler_t vm_emul_get_mem(struct vm *vm, vaddr_t addr);
void vcpu_arch_profile_init(struct vm *vm);

#endif
