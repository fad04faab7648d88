/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Swap: a guest with 64 pages of RAM, of which 16 are in memory and the others on a disk.
 *
 * Which pages are cold axas_hide says with AXAS_HIDE_AUTO: those that no access has shown again. axas_evict takes them
 * away, and says by the log of writes (axas_dirty_start) which have to be written to the disk first. What an access
 * needs is read from there and brought by axas_supply.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "axaddrspace.h"

#define RAM       UINT64_C(0x80000000)
#define PAGES     64u
#define PAGE      ((uint64_t)AXAS_PAGE_SIZE)
#define IN_MEMORY 16u
#define AT_ONCE   4u
#define HOT       4u
#define RW        (AXAS_READ | AXAS_WRITE)
#define PA_BASE   UINT64_C(0x40000000)

static _Alignas(AXAS_PAGE_SIZE) unsigned char memory[(IN_MEMORY + 16) * AXAS_PAGE_SIZE];
static unsigned char disk[PAGES][AXAS_PAGE_SIZE];
static uint32_t is_on_disk[PAGES];

static axas_t *as;
static axas_hal_t hal;
static uint32_t used; /* frames of the guest's */
static uint32_t hand; /* the page from which on cold ones are looked for */
static uint32_t evictions, written, read_back, hot_read_back;

/* Pages that have to be written: their frames are the host's until they are. */
static struct {
	axas_hpa_t hpa;
	uint32_t page;
} queue[PAGES];
static uint32_t queued;

static axas_alloc_frame_fn arena_alloc;
static axas_dealloc_frame_fn arena_dealloc;

static axas_hpa_t alloc_frame(void *ctx, uint32_t order, uint32_t purpose)
{
	used += purpose == AXAS_FRAME_GUEST;
	return arena_alloc(ctx, order, purpose);
}

static void dealloc_frame(void *ctx, axas_hpa_t frame, uint32_t order, uint32_t purpose)
{
	used -= purpose == AXAS_FRAME_GUEST;
	arena_dealloc(ctx, frame, order, purpose);
}

static void must(axas_status_t status)
{
	if (status == AXAS_OK)
		return;
	printf("%s\n", axas_status_str(status));
	exit(1);
}

/* Runs inside the fault: what has never been used needs no disk. */
static uint32_t resolve(void *ctx, uint32_t provider, axas_gpa_t gpa, uint32_t access,
			axas_supply_t *answer)
{
	(void)ctx;
	(void)provider;
	(void)access;
	(void)answer;
	return is_on_disk[(gpa - RAM) / PAGE] || used == IN_MEMORY ? AXAS_RESOLVE_LATER :
								     AXAS_RESOLVE_ALLOC;
}

/* Runs inside axas_evict, which is no time to wait for a disk: a page that was written is put into a queue. */
static uint32_t evicted(void *ctx, const axas_mapping_t *run, uint32_t dirty)
{
	(void)ctx;
	evictions += (uint32_t)(run->size / PAGE);
	for (uint64_t offset = 0; dirty && offset < run->size; offset += PAGE) {
		queue[queued].hpa = run->hpa + offset;
		queue[queued++].page = (uint32_t)((run->gpa + offset - RAM) / PAGE);
	}
	return dirty;
}

/* Pages that no access has shown since the last time go; if there are none, any. The others are hidden anew. */
static void make_room(void)
{
	uint32_t freed = 0;

	for (uint32_t i = 0; i < 2 * PAGES && freed < AT_ONCE; i++, hand++) {
		const axas_gpa_t gpa = RAM + hand % PAGES * PAGE;
		axas_mapping_t found;

		must(axas_query(as, gpa, &found));
		if (found.state != AXAS_STATE_HIDDEN &&
		    (found.state != AXAS_STATE_OWNED || i < PAGES))
			continue;
		must(axas_evict(as, gpa, PAGE, 1));
		freed++;
	}
	must(axas_hide(as, RAM, PAGES * PAGE, AXAS_HIDE_AUTO));
	for (; queued > 0; queued--) {
		const axas_hpa_t hpa = queue[queued - 1].hpa;
		const uint32_t page = queue[queued - 1].page;

		memcpy(disk[page], &memory[hpa - PA_BASE], AXAS_PAGE_SIZE);
		is_on_disk[page] = 1;
		written++;
		hal.dealloc_frame(hal.ctx, hpa, 0, AXAS_FRAME_GUEST);
	}
}

static void read_from_disk(uint32_t page)
{
	const axas_hpa_t frame = hal.alloc_frame(hal.ctx, 0, AXAS_FRAME_GUEST);
	const uint64_t all = 1;

	if (frame == AXAS_HPA_INVALID)
		exit(1);
	memcpy(&memory[frame - PA_BASE], disk[page], AXAS_PAGE_SIZE);
	must(axas_supply(as, RAM + page * PAGE, frame, PAGE, RW, AXAS_RESOLVE_GIVEN));
	/* It is as on the disk: what it says at its next eviction is whether it was written since. */
	must(axas_dirty_clear(as, RAM + page * PAGE, PAGE, &all, 1, 0));
	read_back++;
	hot_read_back += page < HOT;
}

/* What an exit handler does with one fault. */
static void handle_fault(uint32_t page, uint32_t access)
{
	axas_fault_result_t verdict;

	while (!axas_fault_resumes(verdict =
					   axas_handle_page_fault(as, RAM + page * PAGE, access))) {
		if (verdict != AXAS_FAULT_WAIT)
			exit(1);
		if (used == IN_MEMORY)
			make_room();
		if (is_on_disk[page])
			read_from_disk(page);
	}
}

static void guest_writes(uint32_t page, uint64_t value)
{
	handle_fault(page, AXAS_WRITE);
	must(axas_write_u64(as, RAM + page * PAGE, 0, value));
}

static uint64_t guest_reads(uint32_t page)
{
	uint64_t value;

	handle_fault(page, AXAS_READ);
	must(axas_read_u64(as, RAM + page * PAGE, 0, &value));
	return value;
}

static void show(const char *what)
{
	printf("%-44s %2u in memory, %3u evicted, %2u written, %3u read back\n", what, used,
	       evictions, written, read_back);
	evictions = written = read_back = 0;
}

int main(void)
{
	const axas_config_t cfg = {
		.struct_size = sizeof(cfg),
		.format = AXAS_FORMAT_EPT,
		.size = RAM + PAGES * PAGE,
	};
	uint32_t wrong = 0;
	axas_arena_t arena;

	hal = (axas_hal_t){ .struct_size = sizeof(hal), .flags = AXAS_HAL_BUILTIN_FLUSH };
	if (axas_arena_init(&arena) || axas_arena_add(&arena, memory, PA_BASE, sizeof(memory)) ||
	    axas_arena_hal(&arena, &hal))
		return 1;
	arena_alloc = hal.alloc_frame;
	arena_dealloc = hal.dealloc_frame;
	hal.alloc_frame = alloc_frame;
	hal.dealloc_frame = dealloc_frame;
	hal.resolve = resolve;
	hal.evicted = evicted;
	must(axas_create(&cfg, &hal, &as));
	must(axas_map_provider(as, RAM, PAGES * PAGE, RW, 1));
	must(axas_dirty_start(as, RAM, PAGES * PAGE, 0));

	for (uint32_t page = 0; page < PAGES; page++)
		guest_writes(page, page + 100);
	show("each page is written");
	for (uint32_t page = 0; page < PAGES; page++)
		wrong += guest_reads(page) != page + 100;
	show("each page is read: no copy is written twice");
	hot_read_back = 0;
	for (uint32_t i = 0; i < 10 * PAGES; i++) {
		wrong += guest_reads(i % HOT) != i % HOT + 100;
		if (i % 10 == 0)
			wrong += guest_reads(i / 10) != i / 10 + 100;
	}
	show("4 pages are read all the time, others once");
	printf("  the 4 were read back %u times\n", hot_read_back);
	guest_writes(PAGES / 2, 7);
	for (uint32_t page = 0; page < PAGES; page++)
		wrong += guest_reads(page) != (page == PAGES / 2 ? 7 : page + 100);
	show("one page is written, then each is read");
	printf("%u words are wrong\n", wrong);
	must(axas_audit(as));
	axas_destroy(as);
	printf("after axas_destroy %u frames are in use\n", used);
	return wrong != 0 || used != 0;
}
