// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Copies beside faults, for ThreadSanitizer to watch (scripts/tsan.sh). One thread faults pages in,
 * in order, so that their frames lie side by side; the others copy across the ends of pages, through
 * one pointer. A frame holds another guest's data until the library zeroes it: a copy that reads it
 * earlier is a data race.
 *
 * copies ROUNDS THREADS
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "axaddrspace.h"

#define PAGES       8u
#define FRAMES      256u
#define MAX_THREADS 16
#define SECRET      0xee

struct copies {
	axas_t *space;
	unsigned char *frames; /* handed out in order, again and again */
	atomic_uint next;
	atomic_bool stops;
	atomic_ulong copied, refused, strange;
};

static axas_hpa_t alloc_frame(void *ctx, uint32_t order, uint32_t purpose)
{
	struct copies *copies = ctx;
	size_t bytes = (size_t)AXAS_PAGE_SIZE << order;
	unsigned char *frame;

	if (purpose != AXAS_FRAME_GUEST) {
		frame = aligned_alloc(bytes, bytes);
	} else {
		size_t slot = atomic_fetch_add_explicit(&copies->next, 1, memory_order_relaxed);

		frame = copies->frames + slot % FRAMES * AXAS_PAGE_SIZE;
		memset(frame, SECRET, AXAS_PAGE_SIZE);
	}
	return frame ? (axas_hpa_t)(uintptr_t)frame : AXAS_HPA_INVALID;
}

static void dealloc_frame(void *ctx, axas_hpa_t frame, uint32_t order, uint32_t purpose)
{
	(void)ctx;
	(void)order;
	if (purpose != AXAS_FRAME_GUEST)
		free((void *)(uintptr_t)frame);
}

static void relax(void *ctx)
{
	(void)ctx;
	sched_yield();
}

static void *copy(void *argument)
{
	struct copies *copies = argument;

	while (!atomic_load(&copies->stops)) {
		for (axas_gpa_t page = 1; page < PAGES; page++) {
			unsigned char bytes[16] = { 0 };
			size_t done = 0;
			axas_status_t status =
				axas_read(copies->space, page * AXAS_PAGE_SIZE - sizeof(bytes) / 2,
					  bytes, sizeof(bytes), AXAS_ACCESS_HOST, &done);

			if (status == AXAS_OK)
				atomic_fetch_add(&copies->copied, 1);
			else if (status == AXAS_ERR_NOT_MAPPED)
				atomic_fetch_add(&copies->refused, 1);
			else
				atomic_fetch_add(&copies->strange, 1);
			for (size_t i = 0; i < done; i++)
				if (bytes[i])
					atomic_fetch_add(&copies->strange, 1);
		}
	}
	return NULL;
}

/* Pages that are taken in once a round, in the order of their frames. */
static bool fault_in(struct copies *copies, unsigned long rounds)
{
	const uint64_t bytes = (uint64_t)PAGES * AXAS_PAGE_SIZE;

	for (unsigned long round = 0; round < rounds; round++) {
		if (axas_map_alloc(copies->space, 0, bytes, AXAS_READ | AXAS_WRITE))
			return false;
		for (axas_gpa_t page = 0; page < PAGES; page++)
			if (axas_handle_page_fault(copies->space, page * AXAS_PAGE_SIZE,
						   AXAS_WRITE) == AXAS_FAULT_ERROR)
				return false;
		if (axas_unmap(copies->space, 0, bytes))
			return false;
	}
	return true;
}

static bool create(struct copies *copies)
{
	axas_hal_t hal = {
		.struct_size = sizeof(hal),
		.flags = AXAS_HAL_DIRECT_MAP | AXAS_HAL_DIRECT_MAP_LINEAR | AXAS_HAL_BUILTIN_FLUSH,
		.ctx = copies,
		.alloc_frame = alloc_frame,
		.dealloc_frame = dealloc_frame,
		.relax = relax,
	};
	axas_config_t config = {
		.struct_size = sizeof(config),
		.format = AXAS_FORMAT_EPT,
		.pa_bits = 48,
		.size = 1u << 30,
	};

	copies->frames = aligned_alloc(AXAS_PAGE_SIZE, FRAMES * (size_t)AXAS_PAGE_SIZE);
	return copies->frames && !axas_create(&config, &hal, &copies->space);
}

int main(int argc, char **argv)
{
	static struct copies copies;
	pthread_t ids[MAX_THREADS];
	unsigned long rounds, threads, started = 0;
	bool works;

	if (argc != 3)
		return 2;
	rounds = strtoul(argv[1], NULL, 10);
	threads = strtoul(argv[2], NULL, 10);
	if (!rounds || threads < 2 || threads > MAX_THREADS || !create(&copies))
		return 2;
	while (started + 1 < threads && !pthread_create(&ids[started], NULL, copy, &copies))
		started++;
	works = fault_in(&copies, rounds);
	atomic_store(&copies.stops, true);
	for (unsigned long i = 0; i < started; i++)
		pthread_join(ids[i], NULL);
	works = works && axas_audit(copies.space) == AXAS_OK;
	axas_destroy(copies.space);
	printf("%lu rounds, %lu copies, %lu refused, %lu surprises\n", rounds,
	       atomic_load(&copies.copied), atomic_load(&copies.refused),
	       atomic_load(&copies.strange));
	return !works || started + 1 < threads || atomic_load(&copies.strange) ||
	       !atomic_load(&copies.copied);
}
