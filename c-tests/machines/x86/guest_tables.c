/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Page tables of 1 GiB pages for the guest, for 64-bit mode has no addresses without. Walks count as
 * writes under nested paging, and under EPT with accessed and dirty bits, hence the permissions.
 */
#include "suite.h"
#include "x86/x86.h"

#define ENTRIES     512
#define PDPT_COUNT  (1u << (REACH_BITS - 39))
#define TABLE_FLAGS 0x23 /* present, writable, accessed */
#define PAGE_FLAGS  0x63 /* and dirty */
#define PAGE_SIZE   0x80

static uint64_t tables[1 + PDPT_COUNT][ENTRIES] __attribute__((aligned(4096)));

axas_status_t guest_tables_map(axas_t *mapped)
{
	for (uint64_t i = 0; i < PDPT_COUNT; i++) {
		tables[0][i] = (GPA_GUEST_TABLES + (i + 1) * PAGE) | TABLE_FLAGS;
		for (uint64_t k = 0; k < ENTRIES; k++)
			tables[1 + i][k] = GIB(i * ENTRIES + k) | PAGE_FLAGS | PAGE_SIZE;
	}
	return axas_map_linear(mapped, GPA_GUEST_TABLES, (uintptr_t)tables, sizeof(tables), RW);
}

uint64_t layer_stage1_table(uint64_t gpa)
{
	return gpa | TABLE_FLAGS;
}

uint64_t layer_stage1_page(uint64_t gpa)
{
	return gpa | PAGE_FLAGS;
}

uint64_t layer_stage1_gib(uint64_t gpa)
{
	return gpa | PAGE_FLAGS | PAGE_SIZE;
}
