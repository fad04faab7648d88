/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * As much of Bao as glue_bao.c needs to run: pages by colour, and mappings that are counted. Needs no
 * C library.
 */
#include "bao.h"

#include "bao_stubs.h"

#define POOL_PAGES 512
#define WINDOWS    8

static _Alignas(4096) unsigned char pool[POOL_PAGES][4096];
static bool taken[POOL_PAGES];
static struct cpu this_cpu;

struct stub_counts stub_counts;
struct bao_registers bao_registers;

struct cpu *cpu(void)
{
	return &this_cpu;
}

static bool allowed(size_t page, colormap_t colors)
{
	return colors == 0 || (colors >> (page / COLOR_SIZE % COLOR_NUM) & 1);
}

/* The first run of free pages of these colours, as Bao's pools find it. */
struct ppages mem_alloc_ppages(colormap_t colors, size_t num_pages, bool aligned)
{
	size_t first = 0, found = 0, page;

	(void)aligned;
	for (page = 0; page < POOL_PAGES && found < num_pages; page++) {
		if (!allowed(page, colors))
			continue;
		if (taken[page])
			found = 0;
		else if (found++ == 0)
			first = page;
	}
	if (found < num_pages)
		return (struct ppages){ .num_pages = 0 };
	for (size_t i = first; i < page; i++)
		taken[i] |= allowed(i, colors);
	return (struct ppages){ POOL_BASE + first * PAGE_SIZE, num_pages, colors };
}

void *bao_pool_at(paddr_t pa)
{
	return pool[(pa - POOL_BASE) / PAGE_SIZE];
}

void *mem_alloc_page(size_t num_pages, as_sec_t sec, bool phys_aligned)
{
	struct ppages ppages = mem_alloc_ppages(0, num_pages, phys_aligned);

	(void)sec;
	return ppages.num_pages < num_pages ? NULL : bao_pool_at(ppages.base);
}

bool mem_translate(struct addr_space *as, vaddr_t va, paddr_t *pa)
{
	(void)as;
	*pa = POOL_BASE + (va - (vaddr_t)pool);
	return va - (vaddr_t)pool < sizeof(pool);
}

/*
 * Bao would choose an address for the window. The process has the page mapped already, at the only
 * address it has: which windows are open is what can be looked at.
 */
vaddr_t mem_alloc_map(struct addr_space *as, as_sec_t section, struct ppages *ppages, vaddr_t at,
		      size_t num_pages, mem_flags_t flags)
{
	(void)as;
	(void)section;
	(void)flags;
	if (ppages->base - POOL_BASE >= sizeof(pool) || at != INVALID_VA || num_pages != 1)
		return INVALID_VA;
	stub_counts.windows_opened++;
	if (++stub_counts.windows_open > WINDOWS)
		stub_counts.mistakes++;
	return (vaddr_t)bao_pool_at(ppages->base);
}

void mem_unmap(struct addr_space *as, vaddr_t at, size_t num_pages, bool free_ppages)
{
	(void)as;
	stub_counts.mistakes +=
		(at - (vaddr_t)pool) % PAGE_SIZE != 0 || num_pages != 1 || free_ppages;
	stub_counts.windows_open--;
}

void sysreg_vttbr_el2_write(uint64_t value)
{
	bao_registers.vttbr = value;
}

void sysreg_vtcr_el2_write(uint64_t value)
{
	bao_registers.vtcr = value;
}
