/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Pre-copy with one CPU for everything: after each burst of the guest's writes the hypervisor copies some pages. What
 * was written since is copied in the next round, and so on until it is little; then the rest is copied at once, and the
 * vCPU goes on in the new space.
 */
#include <stddef.h>

#include "moved.h"
#include "report.h"

#define MOVED_PAGES  (MOVED_SIZE / AXAS_PAGE_SIZE)
#define BITMAP_WORDS (MOVED_PAGES / 64)

/* The bursts after which a move begins: the first by write faults, the second by the hardware's dirty bits if it has any. */
#define FIRST_MOVE  64
#define SECOND_MOVE 256

#define PAGES_AT_ONCE 16
#define FEW_PAGES     24
#define ROUNDS_MAX    16

static axas_t *to; /* while a move is under way */
static uint64_t bitmap[BITMAP_WORDS];
static uint64_t rounds, pages, left;
static uint32_t moves;

/* The pages that were written since the last time join the bitmap. */
static void collect(void)
{
	must(axas_dirty_collect(moved.space, GPA_RAM, MOVED_SIZE, bitmap, MOVED_PAGES, 0, &left),
	     "axas_dirty_collect");
	report("  round %lu: %lu pages\n", ++rounds, left);
}

static void copy_page(uint64_t page)
{
	const axas_gpa_t gpa = GPA_RAM + page * AXAS_PAGE_SIZE;
	axas_hpa_t hpa;

	must(axas_translate(moved.space, gpa, &hpa, NULL), "axas_translate");
	must(axas_write(to, gpa, (const void *)(uintptr_t)hpa, AXAS_PAGE_SIZE,
			AXAS_ACCESS_HOST | AXAS_ACCESS_CLEAN, NULL),
	     "axas_write");
	pages++;
}

/* Copies at most so many pages of the bitmap, and takes them out of it. */
static void copy_some(uint64_t most)
{
	for (uint64_t page = 0; page < MOVED_PAGES && most != 0; page++) {
		const uint64_t bit = UINT64_C(1) << page % 64;

		if (!(bitmap[page / 64] & bit))
			continue;
		copy_page(page);
		bitmap[page / 64] &= ~bit;
		left--;
		most--;
	}
}

/* The guest does not run while this does. */
static void end_move(void)
{
	copy_some(MOVED_PAGES);
	axas_destroy(change_over(to));
	to = NULL;
	moves++;
	report("  the vCPU goes on in the new space: %lu pages were copied\n", pages);
}

/* Everything is dirty at first. */
static void begin_move(uint32_t vmid, uint32_t how)
{
	axas_status_t status =
		axas_dirty_start(moved.space, GPA_RAM, MOVED_SIZE, AXAS_DIRTY_ALL | how);

	if (status == AXAS_ERR_UNSUPPORTED && how == AXAS_DIRTY_HARDWARE) {
		begin_move(vmid, 0);
		return;
	}
	must(status, "axas_dirty_start");
	report("  by %s\n",
	       how == AXAS_DIRTY_HARDWARE ? "dirty bits of the hardware" : "write faults");
	to = space_with_memory(vmid);
	rounds = 0;
	pages = 0;
	collect();
}

void after_burst(uint64_t burst)
{
	if (burst == FIRST_MOVE)
		begin_move(2, 0);
	else if (burst == SECOND_MOVE && moves == 1)
		begin_move(1, AXAS_DIRTY_HARDWARE);
	if (to == NULL)
		return;
	copy_some(PAGES_AT_ONCE);
	if (left != 0)
		return;
	collect();
	if (left <= FEW_PAGES || rounds == ROUNDS_MAX)
		end_move();
}

void begin(void)
{
	report("\nPre-copy of a guest at work\n");
	moved.space = space_with_memory(1);
}

void finish(void)
{
	if (moves != 2)
		give_up("the guest was not moved twice");
}
