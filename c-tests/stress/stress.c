// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Threads that fault, look, map, unmap, protect, populate and discard in one space at once, for
 * ThreadSanitizer to watch (scripts/tsan.sh). Frames come from malloc, so that a table that is used
 * after it went back is seen.
 *
 * stress SECONDS THREADS own|caller|nobody: who locks the space. "nobody" breaks the promise that
 * AXAS_CALLER_LOCKED asks for: the negative control.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "axaddrspace.h"

#define PAGES       1024u
#define SPACE_BYTES ((uint64_t)PAGES * AXAS_PAGE_SIZE)
#define LINEAR_HPA  0x100000000u
#define OTHER_HPA   (2 * LINEAR_HPA)
#define MAX_THREADS 16
#define RW          (AXAS_READ | AXAS_WRITE)

enum lock_mode { LOCK_OWN, LOCK_CALLER, LOCK_NOBODY };

struct stress {
	axas_t *space;
	enum lock_mode mode;
	pthread_rwlock_t lock;
	atomic_bool stops;
	atomic_long frames_out;
	atomic_ulong operations;
	atomic_ulong resolved;
	atomic_ulong surprises;
};

struct worker {
	struct stress *stress;
	uint64_t random;
};

static axas_hpa_t alloc_frame(void *ctx, uint32_t order, uint32_t purpose)
{
	struct stress *stress = ctx;
	size_t bytes = (size_t)AXAS_PAGE_SIZE << order;
	void *frame = aligned_alloc(bytes, bytes);

	(void)purpose;
	if (!frame)
		return AXAS_HPA_INVALID;
	atomic_fetch_add(&stress->frames_out, 1);
	return (axas_hpa_t)(uintptr_t)frame;
}

static void dealloc_frame(void *ctx, axas_hpa_t frame, uint32_t order, uint32_t purpose)
{
	struct stress *stress = ctx;

	(void)order;
	(void)purpose;
	atomic_fetch_sub(&stress->frames_out, 1);
	free((void *)(uintptr_t)frame);
}

static void tlb_flush(void *ctx, const axas_tlb_request_t *request)
{
	(void)ctx;
	(void)request;
}

static void relax(void *ctx)
{
	(void)ctx;
	sched_yield();
}

static uint64_t next_random(struct worker *worker)
{
	worker->random ^= worker->random << 13;
	worker->random ^= worker->random >> 7;
	worker->random ^= worker->random << 17;
	return worker->random;
}

static void lock(struct stress *stress, int exclusive)
{
	if (stress->mode != LOCK_CALLER)
		return;
	if (exclusive)
		pthread_rwlock_wrlock(&stress->lock);
	else
		pthread_rwlock_rdlock(&stress->lock);
}

static void unlock(struct stress *stress)
{
	if (stress->mode == LOCK_CALLER)
		pthread_rwlock_unlock(&stress->lock);
}

static void expect(struct stress *stress, int holds)
{
	if (!holds)
		atomic_fetch_add(&stress->surprises, 1);
}

static void fault(struct stress *stress, axas_gpa_t gpa, uint64_t random)
{
	uint32_t access = random & 1 ? AXAS_WRITE : AXAS_READ;
	axas_fault_result_t verdict;

	lock(stress, 0);
	verdict = axas_handle_page_fault(stress->space, gpa, access);
	unlock(stress);
	if (verdict == AXAS_FAULT_RESOLVED)
		atomic_fetch_add(&stress->resolved, 1);
	expect(stress, verdict != AXAS_FAULT_ERROR && verdict != AXAS_FAULT_NO_MEMORY);
	expect(stress, verdict != AXAS_FAULT_RETRY || stress->mode == LOCK_OWN);
}

static void look(struct stress *stress, axas_gpa_t gpa)
{
	axas_status_t status;
	axas_mapping_t found;
	axas_hpa_t hpa;
	uint64_t run;

	lock(stress, 0);
	status = axas_translate(stress->space, gpa, &hpa, &run);
	expect(stress, status == AXAS_OK || status == AXAS_ERR_NOT_MAPPED);
	status = axas_query(stress->space, gpa, &found);
	unlock(stress);
	expect(stress, status == AXAS_OK);
	expect(stress, found.gpa <= gpa && gpa - found.gpa < found.size);
}

static axas_status_t change(struct stress *stress, uint32_t what, axas_gpa_t gpa, uint64_t bytes)
{
	switch (what) {
	case 0:
		return axas_unmap(stress->space, gpa, bytes);
	case 1:
		return axas_map_alloc(stress->space, gpa, bytes, RW);
	case 2:
		return axas_map_linear(stress->space, gpa, LINEAR_HPA + gpa, bytes, RW);
	case 3:
		return axas_protect(stress->space, gpa, bytes, AXAS_READ);
	case 4:
		return axas_protect(stress->space, gpa, bytes, RW);
	case 5:
		return axas_populate(stress->space, gpa, bytes);
	case 6:
		return axas_discard(stress->space, gpa, bytes);
	case 7:
		return axas_map_alloc(stress->space, gpa, bytes, RW | AXAS_REPLACE);
	case 8:
		return axas_map_linear(stress->space, gpa, OTHER_HPA + gpa, bytes,
				       RW | AXAS_REPLACE);
	case 9:
		return axas_map_trap_flags(stress->space, gpa, bytes, 7, AXAS_REPLACE);
	default:
		return axas_collect(stress->space, gpa, bytes);
	}
}

static void change_something(struct stress *stress, axas_gpa_t gpa, uint64_t random)
{
	uint64_t bytes = (1 + (random >> 8) % 64) * AXAS_PAGE_SIZE;
	axas_status_t status;

	if (bytes > SPACE_BYTES - gpa)
		bytes = SPACE_BYTES - gpa;
	lock(stress, 1);
	status = change(stress, (uint32_t)(random % 11), gpa, bytes);
	unlock(stress);
	expect(stress, status == AXAS_OK || status == AXAS_ERR_ALREADY_EXISTS ||
			       status == AXAS_ERR_NOT_MAPPED);
}

static void *work(void *argument)
{
	struct worker *worker = argument;
	struct stress *stress = worker->stress;

	while (!atomic_load(&stress->stops)) {
		uint64_t random = next_random(worker);
		axas_gpa_t gpa = (random >> 32) % PAGES * AXAS_PAGE_SIZE;

		if (random % 16 < 9)
			fault(stress, gpa, random >> 4);
		else if (random % 16 < 13)
			look(stress, gpa);
		else
			change_something(stress, gpa, random >> 4);
		atomic_fetch_add(&stress->operations, 1);
	}
	return NULL;
}

static axas_status_t create(struct stress *stress)
{
	axas_hal_t hal = {
		.struct_size = sizeof(hal),
		.flags = AXAS_HAL_DIRECT_MAP,
		.ctx = stress,
		.alloc_frame = alloc_frame,
		.dealloc_frame = dealloc_frame,
		.tlb_flush = tlb_flush,
		.relax = relax,
	};
	axas_config_t config = {
		.struct_size = sizeof(config),
		.format = AXAS_FORMAT_EPT,
		.pa_bits = 48,
		.size = SPACE_BYTES,
		.options = stress->mode == LOCK_OWN ? AXAS_KEEP_TABLES : AXAS_CALLER_LOCKED,
	};

	return axas_create(&config, &hal, &stress->space);
}

static int run(struct stress *stress, unsigned int seconds, unsigned int threads)
{
	struct timespec time = { .tv_sec = seconds };
	struct worker workers[MAX_THREADS];
	pthread_t ids[MAX_THREADS];
	unsigned int started = 0;

	while (started < threads) {
		workers[started].stress = stress;
		workers[started].random = 0x9e3779b97f4a7c15u * (started + 1);
		if (pthread_create(&ids[started], NULL, work, &workers[started]))
			break;
		started++;
	}
	nanosleep(&time, NULL);
	atomic_store(&stress->stops, true);
	for (unsigned int i = 0; i < started; i++)
		pthread_join(ids[i], NULL);
	return started == threads ? 0 : 1;
}

static int check(struct stress *stress)
{
	axas_stats_t stats;
	axas_status_t audited = axas_audit(stress->space);
	axas_status_t counted = axas_stats(stress->space, &stats);
	unsigned long resolved = atomic_load(&stress->resolved);
	unsigned long surprises = atomic_load(&stress->surprises);
	long lost;

	axas_destroy(stress->space);
	lost = atomic_load(&stress->frames_out);
	printf("%lu operations, %lu faults resolved (counted: %llu), %lu surprises, audit %s, "
	       "%ld frames lost\n",
	       atomic_load(&stress->operations), resolved,
	       (unsigned long long)stats.faults_resolved, surprises, axas_status_str(audited),
	       lost);
	return surprises || audited || counted || lost || !resolved ||
	       stats.faults_resolved != resolved;
}

int main(int argc, char **argv)
{
	static const char *const modes[] = { "own", "caller", "nobody" };
	static struct stress stress;
	unsigned int seconds, threads, mode = 0;

	while (argc == 4 && mode < 3 && strcmp(argv[3], modes[mode]))
		mode++;
	if (argc != 4 || mode == 3) {
		fprintf(stderr, "usage: stress SECONDS THREADS own|caller|nobody\n");
		return 2;
	}
	seconds = (unsigned int)strtoul(argv[1], NULL, 10);
	threads = (unsigned int)strtoul(argv[2], NULL, 10);
	if (!seconds || !threads || threads > MAX_THREADS)
		return 2;
	stress.mode = (enum lock_mode)mode;
	pthread_rwlock_init(&stress.lock, NULL);
	if (create(&stress)) {
		fprintf(stderr, "stress: no space\n");
		return 1;
	}
	return run(&stress, seconds, threads) || check(&stress);
}
