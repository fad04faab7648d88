/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The guest's own page tables, which map each address of the space to itself: one page map level 4
 * over page-directory-pointer tables full of 1 GiB pages.
 *
 * Bits are those of the manuals' 4-level paging. The guest's walks write to its tables, or count as
 * if they did (always under nested paging, under EPT with accessed and dirty bits), so the guest
 * needs write permission on them although these have all their bits set from the start.
 */
#include "x86/guest_paging.h"

#include <stdint.h>

#include "layout.h"
#include "machine.h"

#define ENTRY_COUNT 512
#define PAGE_BITS   30
#define TABLE_COUNT (SPACE_SIZE >> PAGE_BITS >> 9)

#define PRESENT  0x01
#define WRITABLE 0x02
#define ACCESSED 0x20
#define DIRTY    0x40
#define PAGE     0x80

static struct {
	uint64_t map[ENTRY_COUNT];
	uint64_t pages[TABLE_COUNT][ENTRY_COUNT];
} tables __attribute__((aligned(AXAS_PAGE_SIZE)));

axas_status_t machine_map(axas_t *space)
{
	for (uint64_t i = 0; i < TABLE_COUNT; i++) {
		uint64_t table = GPA_GUEST_TABLES + (i + 1) * AXAS_PAGE_SIZE;

		tables.map[i] = table | PRESENT | WRITABLE | ACCESSED;
		for (uint64_t k = 0; k < ENTRY_COUNT; k++) {
			uint64_t page = (i * ENTRY_COUNT + k) << PAGE_BITS;

			tables.pages[i][k] = page | PRESENT | WRITABLE | ACCESSED | DIRTY | PAGE;
		}
	}
	return axas_map_linear(space, GPA_GUEST_TABLES, (axas_hpa_t)(uintptr_t)&tables,
			       sizeof(tables), AXAS_READ | AXAS_WRITE);
}
