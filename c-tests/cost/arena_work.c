/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What test_cost.c counts the instructions of: everything that runs inside of counted().
 *   arena_work PIECES WORK   WORK is one of works[], in an arena of which every other of PIECES frames of
 *                            4 KiB is free
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "axaddrspace.h"

#define PAGE  4096ull
#define FIRST (4ull << 30)
#define MOST  16384ull
#define ORDER 9u
#define LARGE (PAGE << ORDER)

static axas_hal_t hal;
static axas_hpa_t frame, large;

static void must(int holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "arena_work: %s\n", what);
		exit(1);
	}
}

/* The pieces, and a frame of 2 MiB that is out if there is to be one. */
static void fill_arena(uint64_t pieces, int has_large)
{
	static axas_arena_t arena;
	static axas_hpa_t out[MOST];
	const size_t bytes = (size_t)((has_large ? LARGE : 0) + pieces * PAGE);
	unsigned char *memory = aligned_alloc(LARGE, (bytes + LARGE - 1) & ~(LARGE - 1));

	must(memory != NULL && pieces <= MOST, "memory");
	hal.struct_size = sizeof(hal);
	must(axas_arena_init(&arena) == AXAS_OK, "init");
	must(axas_arena_add(&arena, memory, FIRST, bytes) == AXAS_OK, "add");
	must(axas_arena_hal(&arena, &hal) == AXAS_OK, "hal");
	if (has_large)
		large = hal.alloc_frame(hal.ctx, ORDER, AXAS_FRAME_TABLE);
	for (uint64_t i = 0; i < pieces; i++)
		out[i] = hal.alloc_frame(hal.ctx, 0, AXAS_FRAME_TABLE);
	/* no two of them are neighbours */
	for (uint64_t i = 0; i < pieces; i++)
		if (out[i] / PAGE % 2 == 1)
			hal.dealloc_frame(hal.ctx, out[i], 0, AXAS_FRAME_TABLE);
}

static int take(uint32_t order)
{
	frame = hal.alloc_frame(hal.ctx, order, AXAS_FRAME_GUEST);
	return frame != AXAS_HPA_INVALID;
}

static int take_large(void)
{
	return take(ORDER);
}

static int fail_to_take_large(void)
{
	return !take(ORDER);
}

static int take_small(void)
{
	return take(0);
}

static int give_small(void)
{
	hal.dealloc_frame(hal.ctx, frame, 0, AXAS_FRAME_GUEST);
	return 1;
}

static void give_a_large_one(void)
{
	hal.dealloc_frame(hal.ctx, large, ORDER, AXAS_FRAME_TABLE);
}

static void give_a_large_one_but_for_a_page(void)
{
	for (frame = large; frame < large + LARGE - PAGE; frame += PAGE)
		give_small();
}

static const struct {
	const char *name;
	int has_large;
	void (*before)(void);
	int (*counted)(void);
} works[] = {
	{ "large", 1, give_a_large_one, take_large },
	{ "none", 0, NULL, fail_to_take_large },
	{ "small", 0, NULL, take_small },
	{ "back", 0, NULL, give_small },
	{ "join", 1, give_a_large_one_but_for_a_page, give_small },
};

/* Not inlined: its name is where the count begins. */
int counted(int (*work)(void));
__attribute__((noinline)) int counted(int (*work)(void))
{
	return work();
}

int main(int argc, char **argv)
{
	must(argc == 3, "two arguments");
	for (size_t i = 0; i < sizeof(works) / sizeof(works[0]); i++) {
		if (strcmp(argv[2], works[i].name) != 0)
			continue;
		fill_arena(strtoull(argv[1], NULL, 10), works[i].has_large);
		/* one that "back" gives back: it has gone out, and its neighbour is out */
		must(take_small(), "a frame");
		if (works[i].before != NULL)
			works[i].before();
		must(counted(works[i].counted), works[i].name);
		if (works[i].counted == give_small && works[i].has_large)
			must(take_large(), "the joined frame");
		return 0;
	}
	must(0, "WORK is one of: large none small back join");
	return 1;
}
