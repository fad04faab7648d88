/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Pre-copy, on a CPU of the hypervisor's own: the guest's memory is copied while it runs, then what was written
 * meanwhile, and so on, until that is little. Then its memory is frozen, the rest copied, and the vCPUs go on in
 * the new space. After the last move its pages are merged.
 */
#include <stddef.h>

#include "migrate.h"
#include "report.h"

#define MOVES_MAX 64

/* When it is time to stop: few pages, or a guest that writes as fast as this copies. */
#define FEW_PAGES  64
#define ROUNDS_MAX 8

struct move {
	uint32_t rounds;
	uint64_t pages[ROUNDS_MAX];
	uint64_t last_pages; /* copied while the guest could not write */
	uint64_t frozen_us;
	uint64_t left_us; /* from the freeze until the last vCPU was out of the old space */
	uint64_t all_us;
};

/* The pages of a round in each 2 MiB of RAM, of the move under way or the last; then those of the freeze. */
#define BLOCK_WORDS 8
#define BLOCKS      (BITMAP_WORDS / BLOCK_WORDS)

static uint16_t heat[ROUNDS_MAX + 1][BLOCKS];

static struct move moves[MOVES_MAX];

/* After the last move. */
static struct {
	axas_stats_t before;
	axas_stats_t after;
	uint64_t merged;
	uint64_t us;
} merge;

static uint64_t begun;
static uint64_t done;
static uint32_t vmid = 1;
static uint64_t bitmap[BITMAP_WORDS];

/* The pages of the bitmap, which is empty then. Returns how many. */
static uint64_t copy_pages(axas_t *from, axas_t *to, uint32_t round)
{
	uint64_t pages = 0;

	must(axas_copy(from, RAM_GPA, to, RAM_GPA, RAM_SIZE, bitmap, RAM_PAGES, NULL), "axas_copy");
	for (size_t word = 0; word < BITMAP_WORDS; word++) {
		uint16_t *block = &heat[round][word / BLOCK_WORDS];

		if (word % BLOCK_WORDS == 0)
			*block = 0;
		for (; bitmap[word] != 0; bitmap[word] &= bitmap[word] - 1) {
			(*block)++;
			pages++;
		}
	}
	return pages;
}

/* The pages that were written since the last time join the bitmap. Returns how many. */
static uint64_t collect(axas_t *space)
{
	uint64_t pages;

	must(axas_dirty_collect(space, RAM_GPA, RAM_SIZE, bitmap, RAM_PAGES, 0, &pages),
	     "axas_dirty_collect");
	return pages;
}

/* Leaves the bits of the few pages that are not worth a round of their own. */
static void copy_while_running(axas_t *from, axas_t *to, struct move *move)
{
	must(axas_dirty_start(from, RAM_GPA, RAM_SIZE, AXAS_DIRTY_ALL), "axas_dirty_start");
	while (collect(from) >= FEW_PAGES && move->rounds < ROUNDS_MAX) {
		move->pages[move->rounds] = copy_pages(from, to, move->rounds);
		move->rounds++;
	}
}

/*
 * When this returns, no vCPU writes any more, nor fetches: each that runs is refused its next instruction.
 */
static void freeze(axas_t *space)
{
	announce_freeze(space);
	must(axas_protect(space, RAM_GPA, RAM_SIZE, AXAS_READ), "axas_protect");
	(void)collect(space);
}

static void move_guest(struct move *move)
{
	uint64_t start = clock_us();
	axas_t *from = current_space();
	axas_t *to = guest_space_create(VMID_MAX + 1 - vmid);
	uint64_t frozen;

	copy_while_running(from, to, move);
	frozen = clock_us();
	freeze(from);
	move->last_pages = copy_pages(from, to, move->rounds);
	switch_to(to);
	move->frozen_us = clock_us() - frozen;
	wait_until_left(from);
	move->left_us = clock_us() - frozen;
	announce_freeze(NULL);
	space_destroy(from, vmid);
	vmid = VMID_MAX + 1 - vmid;
	move->all_us = clock_us() - start;
}

/* What came page by page becomes large pages where all of 2 MiB came, while the guest runs. */
static void merge_guest(axas_t *space)
{
	uint64_t start = clock_us();

	must(axas_stats(space, &merge.before), "axas_stats");
	must(axas_merge(space, RAM_GPA, RAM_SIZE, AXAS_MERGE_COPY, &merge.merged), "axas_merge");
	must(axas_stats(space, &merge.after), "axas_stats");
	merge.us = clock_us() - start;
}

/* On the hypervisor's own CPU. */
static void move_guest_often(void)
{
	for (uint64_t i = 0; i < begun; i++) {
		move_guest(&moves[i]);
		if (i + 1 == begun)
			merge_guest(current_space());
		__atomic_fetch_add(&done, 1, __ATOMIC_RELEASE);
	}
}

void moves_begin(uint64_t count)
{
	uint64_t none = 0;

	if (count > MOVES_MAX || !__atomic_compare_exchange_n(&begun, &none, count, 0,
							      __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return;
	if (count != 0 && cpu_start(VCPU_COUNT, move_guest_often) != 0)
		give_up("the hypervisor's own CPU does not start");
}

uint64_t moves_left(void)
{
	return begun - __atomic_load_n(&done, __ATOMIC_ACQUIRE);
}

static void report_move(uint64_t number, const struct move *move)
{
	report("  move %2lu: ", number);
	for (uint32_t round = 0; round < move->rounds; round++)
		report("%lu ", move->pages[round]);
	report("pages; frozen %lu in %lu us, last vCPU after %lu us, %lu ms in all\n",
	       move->last_pages, move->frozen_us, move->left_us, move->all_us / 1000);
}

/* Lines for run.py: a round, and the pages written in each 2 MiB. */
static void report_heat(const struct move *move)
{
	for (uint32_t round = 0; round <= move->rounds; round++) {
		report("[round %u]", round + 1);
		for (size_t block = 0; block < BLOCKS; block++)
			report(" %u", (uint32_t)heat[round][block]);
		report("\n");
	}
}

uint32_t moves_report(void)
{
	for (uint64_t i = 0; i < done; i++)
		report_move(i + 1, &moves[i]);
	if (done != 0) {
		report("  merged %lu tables in %lu us: pages of 4 KiB %lu before and %lu after, of 2 MiB %lu and %lu\n",
		       merge.merged, merge.us, merge.before.mapped_4k, merge.after.mapped_4k,
		       merge.before.mapped_2m, merge.after.mapped_2m);
		report_heat(&moves[done - 1]);
	}
	return vmid;
}
