// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Threads that let pages change hands between two spaces, in both directions at once, beside faults in both, for
 * ThreadSanitizer to watch (scripts/tsan.sh). Each page is mapped in one of the spaces at any time.
 *
 * transfers ROUNDS THREADS: calls of each thread. A lock order that depends on the direction never ends.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "axaddrspace.h"

#define PAGES       1024u
#define SPACE_BYTES ((uint64_t)PAGES * AXAS_PAGE_SIZE)
#define MAX_THREADS 16
#define RW          (AXAS_READ | AXAS_WRITE)

struct transfers {
	axas_t *space[2];
	unsigned char *memory; /* of the host's, a page for each page of the spaces */
	unsigned long rounds;
	atomic_long frames_out;
	atomic_ulong moved, refused, spurious, surprises;
};

struct worker {
	struct transfers *transfers;
	uint64_t random;
};

static axas_hpa_t alloc_frame(void *ctx, uint32_t order, uint32_t purpose)
{
	struct transfers *transfers = ctx;
	size_t bytes = (size_t)AXAS_PAGE_SIZE << order;
	void *frame = aligned_alloc(bytes, bytes);

	(void)purpose;
	if (!frame)
		return AXAS_HPA_INVALID;
	atomic_fetch_add(&transfers->frames_out, 1);
	return (axas_hpa_t)(uintptr_t)frame;
}

static void dealloc_frame(void *ctx, axas_hpa_t frame, uint32_t order, uint32_t purpose)
{
	struct transfers *transfers = ctx;

	(void)order;
	(void)purpose;
	atomic_fetch_sub(&transfers->frames_out, 1);
	free((void *)(uintptr_t)frame);
}

static void relax(void *ctx)
{
	(void)ctx;
	sched_yield();
}

static void expect(struct transfers *transfers, int holds)
{
	if (!holds)
		atomic_fetch_add(&transfers->surprises, 1);
}

static void transfer(struct transfers *transfers, axas_gpa_t gpa, uint64_t random)
{
	static const uint32_t actions[] = { AXAS_GIVE, AXAS_GIVE, AXAS_LEND, AXAS_TAKE_BACK };
	const uint64_t direction = random & 1;
	axas_transfer_t deal = { .struct_size = sizeof(deal), .action = actions[random >> 1 & 3] };
	uint64_t bytes = (1 + (random >> 8) % 4) * AXAS_PAGE_SIZE;
	axas_status_t status;

	if (deal.action != AXAS_TAKE_BACK)
		deal.to_flags = RW;
	if (deal.action == AXAS_LEND && (random >> 3 & 1))
		deal.options = AXAS_WIPE;
	if (bytes > SPACE_BYTES - gpa)
		bytes = SPACE_BYTES - gpa;
	status = axas_transfer(transfers->space[direction], gpa, transfers->space[!direction], gpa,
			       bytes, &deal);
	atomic_fetch_add(status == AXAS_OK ? &transfers->moved : &transfers->refused, 1);
	expect(transfers, status == AXAS_OK || status == AXAS_ERR_NOT_MAPPED ||
				  status == AXAS_ERR_DENIED || status == AXAS_ERR_ALREADY_EXISTS);
}

static void fault(struct transfers *transfers, axas_gpa_t gpa, uint64_t random)
{
	const axas_fault_result_t verdict =
		axas_handle_page_fault(transfers->space[random & 1], gpa, AXAS_WRITE);

	if (verdict == AXAS_FAULT_SPURIOUS)
		atomic_fetch_add(&transfers->spurious, 1);
	expect(transfers, verdict == AXAS_FAULT_SPURIOUS || verdict == AXAS_FAULT_RETRY ||
				  verdict == AXAS_FAULT_HIDDEN || verdict == AXAS_FAULT_UNMAPPED);
}

static void look(struct transfers *transfers, axas_gpa_t gpa, uint64_t random)
{
	uint64_t run;
	axas_hpa_t hpa = 0;
	const axas_status_t status = axas_translate(transfers->space[random & 1], gpa, &hpa, &run);

	expect(transfers, status == AXAS_ERR_NOT_MAPPED ||
				  (status == AXAS_OK &&
				   hpa == (axas_hpa_t)(uintptr_t)transfers->memory + gpa));
}

static void *work(void *argument)
{
	struct worker *worker = argument;

	for (unsigned long round = 0; round < worker->transfers->rounds; round++) {
		axas_gpa_t gpa;
		uint64_t random;

		worker->random ^= worker->random << 13;
		worker->random ^= worker->random >> 7;
		worker->random ^= worker->random << 17;
		random = worker->random;
		gpa = (random >> 32) % PAGES * AXAS_PAGE_SIZE;
		if (random % 8 < 4)
			transfer(worker->transfers, gpa, random >> 3);
		else if (random % 8 < 7)
			fault(worker->transfers, gpa, random >> 3);
		else
			look(worker->transfers, gpa, random >> 3);
	}
	return NULL;
}

static int create(struct transfers *transfers)
{
	axas_hal_t hal = {
		.struct_size = sizeof(hal),
		.flags = AXAS_HAL_DIRECT_MAP | AXAS_HAL_DIRECT_MAP_LINEAR | AXAS_HAL_BUILTIN_FLUSH,
		.ctx = transfers,
		.alloc_frame = alloc_frame,
		.dealloc_frame = dealloc_frame,
		.relax = relax,
	};
	axas_config_t config = {
		.struct_size = sizeof(config),
		.format = AXAS_FORMAT_EPT,
		.pa_bits = 48,
		.size = SPACE_BYTES,
	};

	transfers->memory = aligned_alloc(AXAS_PAGE_SIZE, SPACE_BYTES);
	if (!transfers->memory)
		return 0;
	for (int i = 0; i < 2; i++)
		if (axas_create(&config, &hal, &transfers->space[i]) != AXAS_OK)
			return 0;
	return axas_map_linear(transfers->space[0], 0, (axas_hpa_t)(uintptr_t)transfers->memory,
			       SPACE_BYTES, RW) == AXAS_OK;
}

/* Each page is in one space, or hidden in one and mapped in the other. */
static void check_pages(struct transfers *transfers)
{
	for (axas_gpa_t gpa = 0; gpa < SPACE_BYTES; gpa += AXAS_PAGE_SIZE) {
		int mapped = 0;

		for (int i = 0; i < 2; i++) {
			axas_mapping_t found;

			expect(transfers, axas_query(transfers->space[i], gpa, &found) == AXAS_OK);
			mapped += found.state == AXAS_STATE_LINEAR;
		}
		expect(transfers, mapped == 1);
	}
}

int main(int argc, char **argv)
{
	static struct transfers transfers;
	struct worker workers[MAX_THREADS];
	pthread_t ids[MAX_THREADS];
	unsigned long threads, started = 0;

	if (argc != 3)
		return 2;
	transfers.rounds = strtoul(argv[1], NULL, 10);
	threads = strtoul(argv[2], NULL, 10);
	if (!transfers.rounds || threads < 2 || threads > MAX_THREADS || !create(&transfers))
		return 2;
	while (started < threads) {
		workers[started] =
			(struct worker){ &transfers, 0x9e3779b97f4a7c15u * (started + 1) };
		if (pthread_create(&ids[started], NULL, work, &workers[started]))
			break;
		started++;
	}
	for (unsigned long i = 0; i < started; i++)
		pthread_join(ids[i], NULL);
	check_pages(&transfers);
	for (int i = 0; i < 2; i++) {
		expect(&transfers, axas_audit(transfers.space[i]) == AXAS_OK);
		axas_destroy(transfers.space[i]);
	}
	printf("%lu transfers, %lu refused, %lu faults on pages that are there, %lu surprises, "
	       "%ld frames lost\n",
	       atomic_load(&transfers.moved), atomic_load(&transfers.refused),
	       atomic_load(&transfers.spurious), atomic_load(&transfers.surprises),
	       atomic_load(&transfers.frames_out));
	return started < threads || atomic_load(&transfers.surprises) ||
	       atomic_load(&transfers.frames_out) || !atomic_load(&transfers.moved);
}
