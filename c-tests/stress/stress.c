// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Threads that make all calls of a space at once, for ThreadSanitizer to watch (scripts/tsan.sh, scripts/soak.sh).
 * Frames come from malloc, so that a table that is used after it went back is seen.
 *
 * stress SECONDS THREADS own|caller|nobody [FORMAT [ONE_IN]]: who locks the space, of which format (ept), and one
 * allocation in how many fails (none). "nobody" breaks the promise that AXAS_CALLER_LOCKED asks for: the
 * negative control.
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
#define COOKIE      7u
#define RW          (AXAS_READ | AXAS_WRITE)

/* Each page once, tables, and what calls hold while they run. */
#define MOST_FRAMES (PAGES + 256)
/* Bytes of each page that belong to one thread: guests that race for their memory are no defect. */
#define OWN_BYTES   64u

enum lock_mode { LOCK_OWN, LOCK_CALLER, LOCK_NOBODY };

struct stress {
	axas_t *space;
	enum lock_mode mode;
	uint32_t format;
	unsigned long one_in;
	pthread_rwlock_t lock;
	atomic_bool stops;
	atomic_ulong allocations;
	atomic_ulong questions;
	atomic_long frames_out;
	atomic_ulong operations;
	atomic_ulong resolved;
	atomic_ulong surprises;
};

struct worker {
	struct stress *stress;
	uint64_t random;
	unsigned int number;
};

static void expect(struct stress *stress, int holds)
{
	if (!holds)
		atomic_fetch_add(&stress->surprises, 1);
}

static axas_hpa_t alloc_frame(void *ctx, uint32_t order, uint32_t purpose)
{
	struct stress *stress = ctx;
	size_t bytes = (size_t)AXAS_PAGE_SIZE << order;
	unsigned long nth = atomic_fetch_add(&stress->allocations, 1);
	void *frame;

	if (stress->one_in && purpose != AXAS_FRAME_ROOT && nth % stress->one_in == 1)
		return AXAS_HPA_INVALID;
	frame = aligned_alloc(bytes, bytes);
	if (!frame)
		return AXAS_HPA_INVALID;
	expect(stress, atomic_fetch_add(&stress->frames_out, 1) < MOST_FRAMES);
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

/* Every answer in turn, whoever asks for what. */
static uint32_t resolve(void *ctx, uint32_t provider, axas_gpa_t gpa, uint32_t access,
			axas_supply_t *answer)
{
	struct stress *stress = ctx;
	const uint32_t how = (uint32_t)(atomic_fetch_add(&stress->questions, 1) % 5);

	expect(stress, provider == COOKIE && gpa % AXAS_PAGE_SIZE == 0 && !(access & ~RW));
	if (how == AXAS_RESOLVE_NOW)
		answer->hpa = LINEAR_HPA + gpa;
	if (how == AXAS_RESOLVE_GIVEN)
		answer->hpa = alloc_frame(ctx, 0, AXAS_FRAME_GUEST);
	return answer->hpa == AXAS_HPA_INVALID && how == AXAS_RESOLVE_GIVEN ? AXAS_RESOLVE_LATER :
									      how;
}

/* Some frames the host keeps. */
static uint32_t evicted(void *ctx, const axas_mapping_t *run, uint32_t dirty)
{
	struct stress *stress = ctx;
	const uint32_t keeps = run->state == AXAS_STATE_OWNED && run->size == AXAS_PAGE_SIZE &&
			       run->gpa / AXAS_PAGE_SIZE % 2;

	expect(stress, dirty == 1);
	if (keeps)
		dealloc_frame(ctx, run->hpa, 0, AXAS_FRAME_GUEST);
	return keeps;
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

static void fault(struct stress *stress, axas_gpa_t gpa, uint64_t random)
{
	uint32_t access = random & 1 ? AXAS_WRITE : AXAS_READ;
	axas_fault_result_t verdict;

	lock(stress, 0);
	verdict = axas_handle_page_fault(stress->space, gpa, access);
	unlock(stress);
	if (verdict == AXAS_FAULT_RESOLVED)
		atomic_fetch_add(&stress->resolved, 1);
	expect(stress, verdict != AXAS_FAULT_ERROR);
	expect(stress, verdict != AXAS_FAULT_NO_MEMORY || stress->one_in);
	expect(stress, verdict != AXAS_FAULT_RETRY || stress->mode == LOCK_OWN);
}

static void look(struct stress *stress, axas_gpa_t gpa)
{
	axas_status_t status;
	axas_mapping_t found;
	uint64_t cookie, run;
	axas_hpa_t hpa;

	lock(stress, 0);
	status = axas_translate(stress->space, gpa, &hpa, &run);
	expect(stress, status == AXAS_OK || status == AXAS_ERR_NOT_MAPPED);
	status = axas_trap_cookie(stress->space, gpa, &cookie);
	expect(stress, status == AXAS_ERR_NOT_MAPPED || (status == AXAS_OK && cookie == COOKIE));
	status = axas_query(stress->space, gpa, &found);
	unlock(stress);
	expect(stress, status == AXAS_OK);
	expect(stress, found.gpa <= gpa && gpa - found.gpa < found.size);
}

static uint32_t see_run(void *ctx, const axas_mapping_t *run)
{
	axas_gpa_t *end = ctx;
	uint32_t in_order = run->gpa >= *end;

	*end = run->gpa + run->size;
	return in_order;
}

static void see_text(void *ctx, const char *text, size_t bytes)
{
	(void)text;
	*(size_t *)ctx += bytes;
}

static void walk(struct stress *stress, axas_gpa_t gpa, uint64_t random)
{
	axas_gpa_t end = 0;
	axas_stats_t stats;
	axas_hw_regs_t regs;
	size_t bytes = 0;
	axas_status_t status;

	lock(stress, 0);
	switch (random % 5) {
	case 0:
		status = axas_for_each(stress->space, gpa, SPACE_BYTES - gpa, see_run, &end);
		break;
	case 1:
		status = axas_dump(stress->space, see_text, &bytes);
		break;
	case 2:
		status = axas_stats(stress->space, &stats);
		break;
	case 3:
		status = axas_hw_regs(stress->space, &regs);
		break;
	default:
		status = axas_audit(stress->space);
		break;
	}
	unlock(stress);
	expect(stress, status == AXAS_OK);
	expect(stress, end <= SPACE_BYTES);
}

static uint32_t see_chunk(void *ctx, axas_gpa_t gpa, void *host, size_t bytes)
{
	(void)gpa;
	memset(host, 1, bytes);
	*(uint64_t *)ctx += bytes;
	return 1;
}

/* Each thread copies bytes of its own. */
static void copy(struct worker *worker, axas_gpa_t page, uint64_t random)
{
	struct stress *stress = worker->stress;
	axas_gpa_t gpa = page + worker->number * OWN_BYTES;
	unsigned char bytes[OWN_BYTES] = { 1 };
	axas_status_t status;
	uint64_t done = 0;

	lock(stress, 0);
	switch (random % 5) {
	case 0:
		status = axas_write(stress->space, gpa, bytes, sizeof(bytes), 0, NULL);
		break;
	case 1:
		status = axas_fill(stress->space, gpa, 1, OWN_BYTES, 0, NULL);
		break;
	case 2:
		status = axas_for_each_chunk(stress->space, gpa, OWN_BYTES, RW, see_chunk, &done);
		break;
	case 3:
		status = axas_read_u64(stress->space, gpa, 0, &done);
		break;
	default:
		status = axas_read(stress->space, gpa, bytes, sizeof(bytes), 0, NULL);
		break;
	}
	unlock(stress);
	expect(stress, status == AXAS_OK || status == AXAS_ERR_NOT_MAPPED ||
			       status == AXAS_ERR_DENIED || status == AXAS_ERR_UNSUPPORTED ||
			       status == AXAS_ERR_AGAIN ||
			       (status == AXAS_ERR_NO_MEMORY && stress->one_in));
}

static void supply(struct stress *stress, axas_gpa_t gpa, uint64_t random)
{
	const uint32_t how = random & 1 ? AXAS_RESOLVE_NOW : AXAS_RESOLVE_GIVEN;
	axas_hpa_t hpa = LINEAR_HPA + gpa;
	axas_status_t status;

	if (how == AXAS_RESOLVE_GIVEN)
		hpa = alloc_frame(stress, 0, AXAS_FRAME_GUEST);
	if (hpa == AXAS_HPA_INVALID)
		return;
	lock(stress, 0);
	status = axas_supply(stress->space, gpa, hpa, AXAS_PAGE_SIZE, random & 2 ? AXAS_READ : RW,
			     how);
	unlock(stress);
	if (status != AXAS_OK && how == AXAS_RESOLVE_GIVEN)
		dealloc_frame(stress, hpa, 0, AXAS_FRAME_GUEST);
	expect(stress, status == AXAS_OK || status == AXAS_ERR_ALREADY_EXISTS ||
			       status == AXAS_ERR_NOT_MAPPED || status == AXAS_ERR_DENIED ||
			       (status == AXAS_ERR_NO_MEMORY && stress->one_in));
}

static axas_status_t change_some(struct stress *stress, uint32_t what, axas_gpa_t gpa,
				 uint64_t bytes)
{
	uint64_t budget = 1 + bytes / AXAS_PAGE_SIZE % 7, done = 0;
	axas_status_t status;

	switch (what) {
	case 0:
		status = axas_unmap_some(stress->space, gpa, bytes, budget, &done);
		break;
	case 1:
		status = axas_map_alloc_some(stress->space, gpa, bytes, RW, budget, &done);
		break;
	case 2:
		status = axas_map_linear_some(stress->space, gpa, LINEAR_HPA + gpa, bytes, RW,
					      budget, &done);
		break;
	case 3:
		status = axas_protect_some(stress->space, gpa, bytes, RW, budget, &done);
		break;
	case 4:
		status = axas_populate_some(stress->space, gpa, bytes, budget, &done);
		break;
	case 5:
		status = axas_discard_some(stress->space, gpa, bytes, budget, &done);
		break;
	case 6:
		status = axas_collect_some(stress->space, gpa, bytes, budget, &done);
		break;
	default:
		status = axas_evict_some(stress->space, gpa, bytes, COOKIE, budget, &done);
		break;
	}
	expect(stress, done <= bytes && (status != AXAS_OK || done == bytes));
	return status == AXAS_ERR_AGAIN ? AXAS_OK : status;
}

static axas_status_t change(struct stress *stress, uint32_t what, axas_gpa_t gpa, uint64_t bytes)
{
	const axas_extent_t extents[] = { { OTHER_HPA + gpa, bytes },
					  { LINEAR_HPA, AXAS_PAGE_SIZE } };

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
		return axas_map_trap_flags(stress->space, gpa, bytes, COOKIE, AXAS_REPLACE);
	case 10:
		return axas_collect(stress->space, gpa, bytes);
	case 11:
		return axas_map_alloc(stress->space, gpa, bytes, RW | AXAS_POPULATE);
	case 12:
		return axas_map_trap(stress->space, gpa, bytes, COOKIE);
	case 13:
		return axas_map_extents(stress->space, gpa, extents,
					gpa + bytes < SPACE_BYTES ? 2 : 1, AXAS_READ);
	case 14:
		return axas_set_vmid(stress->space, (uint32_t)(gpa / AXAS_PAGE_SIZE % 256));
	case 15:
		return axas_map_provider(stress->space, gpa, bytes, RW, COOKIE);
	case 16:
		return axas_evict(stress->space, gpa, bytes, COOKIE);
	default:
		return change_some(stress, what - 17, gpa, bytes);
	}
}

static void change_something(struct stress *stress, axas_gpa_t gpa, uint64_t random)
{
	uint64_t bytes = (1 + (random >> 8) % 64) * AXAS_PAGE_SIZE;
	axas_status_t status;

	if (bytes > SPACE_BYTES - gpa)
		bytes = SPACE_BYTES - gpa;
	lock(stress, 1);
	if (random % 4096 == 0)
		status = axas_clear(stress->space);
	else
		status = change(stress, (uint32_t)(random % 25), gpa, bytes);
	unlock(stress);
	/* populate: a page that the host brings later */
	expect(stress, status == AXAS_OK || status == AXAS_ERR_ALREADY_EXISTS ||
			       status == AXAS_ERR_NOT_MAPPED || status == AXAS_ERR_AGAIN ||
			       (status == AXAS_ERR_NO_MEMORY && stress->one_in));
}

static void *work(void *argument)
{
	struct worker *worker = argument;
	struct stress *stress = worker->stress;

	while (!atomic_load(&stress->stops)) {
		uint64_t random = next_random(worker);
		axas_gpa_t gpa = (random >> 32) % PAGES * AXAS_PAGE_SIZE;

		if (random % 32 < 2)
			supply(stress, gpa, random >> 5);
		else if (random % 32 < 16)
			fault(stress, gpa, random >> 5);
		else if (random % 32 < 22)
			look(stress, gpa);
		else if (random % 32 < 25)
			copy(worker, gpa, random >> 5);
		else if (random % 1024 == 31)
			walk(stress, gpa, random >> 10);
		else
			change_something(stress, gpa, random >> 5);
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
		.resolve = resolve,
		.evicted = evicted,
	};
	axas_config_t config = {
		.struct_size = sizeof(config),
		.format = stress->format,
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
		workers[started].number = started;
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
	       stats.faults_resolved < resolved;
}

/* The place of a word among words; `count` if it is none of them. */
static unsigned int choose(const char *word, const char *const *words, unsigned int count)
{
	unsigned int i = 0;

	while (i < count && strcmp(word, words[i]))
		i++;
	return i;
}

int main(int argc, char **argv)
{
	static const char *const modes[] = { "own", "caller", "nobody" };
	static const char *const formats[] = { "ept", "npt", "arm", "riscv" };
	static struct stress stress;
	unsigned int seconds, threads, mode, format;

	mode = argc > 3 ? choose(argv[3], modes, 3) : 3;
	format = argc > 4 ? choose(argv[4], formats, 4) : 0;
	if (argc > 6 || mode == 3 || format == 4) {
		fprintf(stderr,
			"usage: stress SECONDS THREADS own|caller|nobody [FORMAT [ONE_IN]]\n");
		return 2;
	}
	seconds = (unsigned int)strtoul(argv[1], NULL, 10);
	threads = (unsigned int)strtoul(argv[2], NULL, 10);
	if (!seconds || !threads || threads > MAX_THREADS)
		return 2;
	stress.mode = (enum lock_mode)mode;
	stress.format = AXAS_FORMAT_EPT + format;
	stress.one_in = argc > 5 ? strtoul(argv[5], NULL, 10) : 0;
	pthread_rwlock_init(&stress.lock, NULL);
	if (create(&stress)) {
		fprintf(stderr, "stress: no space\n");
		return 1;
	}
	return run(&stress, seconds, threads) || check(&stress);
}
