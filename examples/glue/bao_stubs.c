/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * As much of Bao as glue_bao.c needs to run: pages by colour, and mappings that are counted. Needs no
 * C library.
 */
#include "bao_stubs.h"

#include <tlb.h>
#ifdef RV64
#include <arch/csrs.h>
#else
#include <arch/sysregs.h>
#endif

#define POOL_PAGES 4096
#define WINDOWS    8

static _Alignas(0x200000) unsigned char pool[POOL_PAGES][PAGE_SIZE];
static bool taken[POOL_PAGES];
static struct cpu this_cpu;

struct stub_counts stub_counts;
struct bao_fault bao_fault;
size_t COLOR_NUM = 4;
size_t COLOR_SIZE = 1;

struct cpu *cpu(void)
{
	return &this_cpu;
}

/* On RISC-V Bao has all memory where it is. */
paddr_t bao_pool_base(void)
{
#ifdef RV64
	return (paddr_t)pool;
#else
	return 0x80000000;
#endif
}

static bool allowed(size_t page, colormap_t colors)
{
	return all_clrs(colors) ||
	       (colors >> ((bao_pool_base() / PAGE_SIZE + page) / COLOR_SIZE % COLOR_NUM) & 1);
}

/* The first run of free pages, with colours of those alone; aligned to its own size, and then of all colours. */
struct ppages mem_alloc_ppages(colormap_t colors, size_t num_pages, bool aligned)
{
	size_t first = 0, found = 0, page;

	if (aligned)
		colors = 0;
	for (page = 0; page < POOL_PAGES && found < num_pages; page++) {
		if (!allowed(page, colors))
			continue;
		if (taken[page] || (aligned && found == 0 && page % num_pages != 0))
			found = 0;
		else if (found++ == 0)
			first = page;
	}
	if (found < num_pages)
		return (struct ppages){ .num_pages = 0 };
	for (size_t i = first; i < page; i++)
		taken[i] |= allowed(i, colors);
	return (struct ppages){ bao_pool_base() + first * PAGE_SIZE, num_pages, colors };
}

void mem_free_ppages(struct ppages *ppages)
{
	const size_t first = (ppages->base - bao_pool_base()) / PAGE_SIZE;

	for (size_t i = 0; i < ppages->num_pages; i++) {
		if (first + i >= POOL_PAGES || !taken[first + i])
			stub_counts.mistakes++;
		else
			taken[first + i] = false;
	}
}

size_t bao_pages_taken(void)
{
	size_t pages = 0;

	for (size_t i = 0; i < POOL_PAGES; i++)
		pages += taken[i];
	return pages;
}

void *bao_pool_at(paddr_t pa)
{
	return &pool[(pa - bao_pool_base()) / PAGE_SIZE][pa % PAGE_SIZE];
}

void *mem_alloc_page(size_t num_pages, as_sec_t sec, bool phys_aligned)
{
	const struct ppages ppages = mem_alloc_ppages(0, num_pages, phys_aligned);

	(void)sec;
	/* A pointer that is INVALID_VA says no. */
	return ppages.num_pages < num_pages ? (void *)INVALID_VA : bao_pool_at(ppages.base);
}

bool mem_translate(struct addr_space *as, vaddr_t va, paddr_t *pa)
{
	(void)as;
	*pa = bao_pool_base() + (va - (vaddr_t)pool);
	return va - (vaddr_t)pool < sizeof(pool);
}

/*
 * Bao would choose an address for the window. The process has the pages mapped already, at the only
 * address they have: which windows are open is what can be looked at.
 */
vaddr_t mem_alloc_map(struct addr_space *as, as_sec_t section, struct ppages *page, vaddr_t at,
		      size_t num_pages, mem_flags_t flags)
{
	const size_t first = (page->base - bao_pool_base()) / PAGE_SIZE;

	(void)as;
	(void)section;
	(void)flags;
	if (first >= POOL_PAGES || num_pages > POOL_PAGES - first || at != INVALID_VA ||
	    num_pages != page->num_pages || page->base % PAGE_SIZE != 0)
		return INVALID_VA;
	stub_counts.windows_opened++;
	if (++stub_counts.windows_open > WINDOWS)
		stub_counts.mistakes++;
	return (vaddr_t)bao_pool_at(page->base);
}

void mem_unmap(struct addr_space *as, vaddr_t at, size_t num_pages, bool free_ppages)
{
	(void)as;
	stub_counts.mistakes +=
		(at - (vaddr_t)pool) % PAGE_SIZE != 0 || num_pages == 0 || free_ppages;
	stub_counts.windows_open--;
}

void cache_flush_range(vaddr_t base, size_t size)
{
	stub_counts.mistakes += base - (vaddr_t)pool >= sizeof(pool) || size == 0;
}

void tlb_vm_inv_all(asid_t vmid)
{
	(void)vmid;
	stub_counts.flushes++;
}

#ifdef RV64

unsigned long csrs_scause_read(void)
{
	return bao_fault.cause;
}

unsigned long csrs_stval_read(void)
{
	return bao_fault.gva;
}

unsigned long csrs_htval_read(void)
{
	return bao_fault.gpa >> 2;
}

unsigned long csrs_htinst_read(void)
{
	return 0;
}

#else

size_t parange = 2;
size_t parange_table[] = { 32, 36, 40, 42, 44, 48 };

unsigned long sysreg_esr_el2_read(void)
{
	return bao_fault.cause;
}

unsigned long sysreg_far_el2_read(void)
{
	return bao_fault.gva;
}

unsigned long sysreg_hpfar_el2_read(void)
{
	return bao_fault.gpa >> 12 << 4;
}

#endif
