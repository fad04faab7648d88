/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Stands in for the headers of Bao that glue_bao.c includes: the functions, types and members that it uses,
 * declared anew as Bao has them at commit 738e3dc50983, in its vm.h and what that includes. Not Bao's text,
 * and not all of what Bao has. RV64 is its macro for 64-bit RISC-V; otherwise it is Armv8-A.
 */
#ifndef STANDIN_BAO_VM_H
#define STANDIN_BAO_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SIZE        (0x1000)
#define ALIGN(value, to) ((((value) + (to)-1) / (to)) * (to))
#define NUM_PAGES(size)  (ALIGN(size, PAGE_SIZE) / PAGE_SIZE)
#define min(a, b)        (((a) < (b)) ? (a) : (b))

typedef uintptr_t paddr_t;
typedef uintptr_t vaddr_t;
#define INVALID_VA (~(vaddr_t)0)
typedef unsigned long asid_t;
typedef unsigned long vmid_t;
typedef unsigned long colormap_t;

/* Takes printf's formats; a statement with its own semicolon, after which the CPU stops. */
void console_printk(const char *fmt, ...);
void standin_stop(void);
#define ERROR(...)                   \
	console_printk(__VA_ARGS__); \
	while (true) {               \
		standin_stop();      \
	};

/* Caches and their colours. */
extern size_t COLOR_NUM;
extern size_t COLOR_SIZE;
void cache_flush_range(vaddr_t base, size_t size);

/* Pages of the pools, mapped or not; colours 0 means all. */
struct ppages {
	paddr_t base;
	size_t num_pages;
	colormap_t colors;
};

static inline struct ppages mem_ppages_get(paddr_t base, size_t num_pages)
{
	return (struct ppages){ .base = base, .num_pages = num_pages };
}

static inline bool all_clrs(colormap_t colors)
{
	const colormap_t all = ((colormap_t)1 << COLOR_NUM) - 1;

	return (colors & all) == 0 || (colors & all) == all;
}

typedef enum { SEC_HYP_GLOBAL, SEC_HYP_IMAGE, SEC_HYP_PRIVATE, SEC_HYP_VM } as_sec_t;
typedef uint64_t pte_t;
typedef pte_t mem_flags_t;
#define PTE_HYP_FLAGS       ((mem_flags_t)1)
#define MEM_ALIGN_REQ       (true)
#define MEM_ALIGN_NOT_REQ   (false)
#define MEM_DONT_FREE_PAGES (false)

struct addr_space {
	colormap_t colors;
	asid_t id;
};

/* INVALID_VA, as a pointer, where there is no memory. */
void *mem_alloc_page(size_t num_pages, as_sec_t sec, bool phys_aligned);
/* No pages where there is no memory; num_pages says so. */
struct ppages mem_alloc_ppages(colormap_t colors, size_t num_pages, bool aligned);
/* Static in Bao; the port gives it this prototype. */
void mem_free_ppages(struct ppages *ppages);
vaddr_t mem_alloc_map(struct addr_space *as, as_sec_t section, struct ppages *page, vaddr_t at,
		      size_t num_pages, mem_flags_t flags);
void mem_unmap(struct addr_space *as, vaddr_t at, size_t num_pages, bool free_ppages);
bool mem_translate(struct addr_space *as, vaddr_t va, paddr_t *pa);

struct cpu {
	struct addr_space as;
};
struct cpu *cpu(void);

#ifdef RV64
#define CPU_EXT_SVPBMT         1
#define CPU_HAS_EXTENSION(ext) ((ext) == 1)
#else
extern size_t parange;
extern size_t parange_table[];
#endif

struct emul_access {
	vaddr_t addr;
	bool write;
	size_t width;
	unsigned long reg;
};
typedef bool (*emul_handler_t)(struct emul_access *);
struct emul_mem {
	void *node;
	vaddr_t va_base;
	size_t size;
	emul_handler_t handler;
};

/* What a VM is to have. */
struct vm_mem_region {
	paddr_t base;
	size_t size;
	colormap_t colors;
	struct {
		bool place_phys;
		paddr_t phys;
	};
};
struct vm_dev_region {
	paddr_t pa;
	vaddr_t va;
	size_t size;
};
struct vm_platform {
	size_t cpu_num;
	size_t region_num;
	struct vm_mem_region *regions;
	size_t ipc_num;
	size_t dev_num;
	struct vm_dev_region *devs;
	size_t remio_dev_num;
};

/* Included by the port, as vm_space is. */
#include "glue_bao.h"

struct vm {
	vmid_t id;
	const struct vm_config *config;
	struct vm_space as;
};

void vm_mem_prot_init(struct vm *vm, const struct vm_config *config);
void vm_emul_add_mem(struct vm *vm, struct emul_mem *emu);
emul_handler_t vm_emul_get_mem(struct vm *vm, vaddr_t addr);

#endif
