// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Threads on one region of a provider's, for ThreadSanitizer to watch (scripts/tsan.sh): faults and copies ask for pages,
 * supplies bring them beside, evictions take them away. Pages below KEPT are brought by whoever wants to, from a source
 * that does not change: those below THROWN stay, the others are read only, and what is evicted is thrown away. From KEPT on
 * each page has one frame, which the host keeps while it is evicted. Each thread counts in a word of its own in each page.
 *
 * provided ROUNDS THREADS: calls of each thread.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "axaddrspace.h"

#define PAGES       256u
#define THROWN      64u
#define KEPT        128u
#define SPACE_BYTES ((uint64_t)PAGES * AXAS_PAGE_SIZE)
#define WORDS       (AXAS_PAGE_SIZE / 8)
#define MAX_THREADS 16
#define PROVIDER    3
#define RW          (AXAS_READ | AXAS_WRITE)

struct provided {
	axas_t *space;
	unsigned long rounds;
	_Atomic axas_hpa_t kept[PAGES]; /* the frames of evicted pages */
	atomic_long frames_out;
	atomic_ulong questions, resolved, waits, supplied, late, evicted, surprises;
};

struct worker {
	struct provided *provided;
	uint64_t random;
	unsigned int word; /* of this thread in each page */
	uint64_t count[PAGES]; /* what it wrote there */
};

static void expect(struct provided *provided, int holds)
{
	if (!holds)
		atomic_fetch_add(&provided->surprises, 1);
}

static axas_hpa_t alloc_frame(void *ctx, uint32_t order, uint32_t purpose)
{
	struct provided *provided = ctx;
	size_t bytes = (size_t)AXAS_PAGE_SIZE << order;
	void *frame = aligned_alloc(bytes, bytes);

	(void)purpose;
	if (!frame)
		return AXAS_HPA_INVALID;
	atomic_fetch_add(&provided->frames_out, 1);
	return (axas_hpa_t)(uintptr_t)frame;
}

static void dealloc_frame(void *ctx, axas_hpa_t frame, uint32_t order, uint32_t purpose)
{
	struct provided *provided = ctx;

	(void)order;
	(void)purpose;
	atomic_fetch_sub(&provided->frames_out, 1);
	free((void *)(uintptr_t)frame);
}

static void relax(void *ctx)
{
	(void)ctx;
	sched_yield();
}

static uint64_t first_word(uint64_t page, unsigned int word)
{
	return (page * WORDS + word + 1) << 32;
}

/* The page as its source has it. */
static axas_hpa_t fetch(struct provided *provided, uint64_t page)
{
	const axas_hpa_t frame = alloc_frame(provided, 0, AXAS_FRAME_GUEST);

	if (frame != AXAS_HPA_INVALID)
		for (unsigned int word = 0; word < WORDS; word++)
			((uint64_t *)(uintptr_t)frame)[word] = first_word(page, word);
	return frame;
}

/* A frame for a page; invalid where another thread has the only one. */
static axas_hpa_t frame_of(struct provided *provided, uint64_t page)
{
	if (page < KEPT)
		return fetch(provided, page);
	return atomic_exchange(&provided->kept[page], AXAS_HPA_INVALID);
}

static uint32_t resolve(void *ctx, uint32_t provider, axas_gpa_t gpa, uint32_t access,
			axas_supply_t *answer)
{
	struct provided *provided = ctx;

	sched_yield(); /* others come first */
	expect(provided, provider == PROVIDER && gpa % AXAS_PAGE_SIZE == 0 && !(access & ~RW));
	if (atomic_fetch_add(&provided->questions, 1) % 2)
		return AXAS_RESOLVE_LATER;
	answer->hpa = frame_of(provided, gpa / AXAS_PAGE_SIZE);
	return answer->hpa == AXAS_HPA_INVALID ? AXAS_RESOLVE_LATER : AXAS_RESOLVE_GIVEN;
}

static uint32_t evicted(void *ctx, const axas_mapping_t *run, uint32_t dirty)
{
	struct provided *provided = ctx;

	expect(provided, dirty == 1 && run->state == AXAS_STATE_OWNED);
	for (uint64_t offset = 0; offset < run->size; offset += AXAS_PAGE_SIZE) {
		const uint64_t page = (run->gpa + offset) / AXAS_PAGE_SIZE;

		atomic_fetch_add(&provided->evicted, 1);
		if (page < KEPT)
			dealloc_frame(ctx, run->hpa + offset, 0, AXAS_FRAME_GUEST);
		else
			atomic_store(&provided->kept[page], run->hpa + offset);
	}
	return 1;
}

static void supply(struct provided *provided, uint64_t page)
{
	const axas_hpa_t frame = frame_of(provided, page);
	axas_status_t status;

	if (frame == AXAS_HPA_INVALID)
		return;
	status = axas_supply(provided->space, page * AXAS_PAGE_SIZE, frame, AXAS_PAGE_SIZE, RW,
			     AXAS_RESOLVE_GIVEN);
	if (status != AXAS_OK)
		dealloc_frame(provided, frame, 0, AXAS_FRAME_GUEST);
	atomic_fetch_add(status == AXAS_OK ? &provided->supplied : &provided->late, 1);
	expect(provided, status == AXAS_OK || (status == AXAS_ERR_ALREADY_EXISTS && page < KEPT));
}

static void evict(struct provided *provided, uint64_t page, uint64_t random)
{
	uint64_t pages = 1 + random % 8;

	page = THROWN + page % (PAGES - THROWN);
	if (pages > PAGES - page)
		pages = PAGES - page;
	expect(provided, axas_evict(provided->space, page * AXAS_PAGE_SIZE, pages * AXAS_PAGE_SIZE,
				    PROVIDER) == AXAS_OK);
}

static void fault(struct provided *provided, uint64_t page, uint64_t random)
{
	const axas_fault_result_t verdict = axas_handle_page_fault(
		provided->space, page * AXAS_PAGE_SIZE, random & 1 ? AXAS_WRITE : AXAS_READ);

	if (verdict == AXAS_FAULT_RESOLVED)
		atomic_fetch_add(&provided->resolved, 1);
	if (verdict == AXAS_FAULT_WAIT)
		atomic_fetch_add(&provided->waits, 1);
	expect(provided, axas_fault_resumes(verdict) || verdict == AXAS_FAULT_WAIT);
}

/* Adds 1 to a word that no other thread writes; or finds that its page comes later. */
static void count(struct worker *worker, uint64_t page)
{
	struct provided *provided = worker->provided;
	const axas_gpa_t gpa = page * AXAS_PAGE_SIZE + worker->word * 8;
	uint64_t value = 0;
	axas_status_t status = axas_read_u64(provided->space, gpa, 0, &value);

	if (status == AXAS_OK && page >= THROWN && page < KEPT) {
		expect(provided, value == first_word(page, worker->word));
		return;
	}
	if (status == AXAS_OK) {
		expect(provided, value == first_word(page, worker->word) + worker->count[page]);
		status = axas_write_u64(provided->space, gpa, 0, value + 1);
	}
	if (status == AXAS_OK)
		worker->count[page]++;
	expect(provided, status == AXAS_OK || status == AXAS_ERR_AGAIN);
}

static void *work(void *argument)
{
	struct worker *worker = argument;
	struct provided *provided = worker->provided;

	for (unsigned long round = 0; round < provided->rounds; round++) {
		uint64_t page, random;

		worker->random ^= worker->random << 13;
		worker->random ^= worker->random >> 7;
		worker->random ^= worker->random << 17;
		random = worker->random;
		/* Often where the others are, too. */
		page = random >> 60 ? round / 32 % PAGES : (random >> 32) % PAGES;
		if (random % 16 < 5)
			fault(provided, page, random >> 4);
		else if (random % 16 < 9)
			supply(provided, page);
		else if (random % 16 < 15)
			count(worker, page);
		else
			evict(provided, page, random >> 4);
	}
	return NULL;
}

static int create(struct provided *provided)
{
	axas_hal_t hal = {
		.struct_size = sizeof(hal),
		.flags = AXAS_HAL_DIRECT_MAP | AXAS_HAL_BUILTIN_FLUSH,
		.ctx = provided,
		.alloc_frame = alloc_frame,
		.dealloc_frame = dealloc_frame,
		.relax = relax,
		.resolve = resolve,
		.evicted = evicted,
	};
	axas_config_t config = {
		.struct_size = sizeof(config),
		.format = AXAS_FORMAT_EPT,
		.pa_bits = 48,
		.size = SPACE_BYTES,
	};

	for (uint64_t page = 0; page < PAGES; page++)
		provided->kept[page] = page < KEPT ? AXAS_HPA_INVALID : fetch(provided, page);
	return axas_create(&config, &hal, &provided->space) == AXAS_OK &&
	       axas_map_provider(provided->space, 0, SPACE_BYTES, RW, PROVIDER) == AXAS_OK;
}

/* Each word of each page is what its thread made of it. */
static void check_words(struct provided *provided, const struct worker *workers,
			unsigned long threads)
{
	for (uint64_t page = 0; page < PAGES; page++) {
		supply(provided, page);
		for (unsigned int word = 0; word < WORDS; word++) {
			const uint64_t added = word < threads ? workers[word].count[page] : 0;
			uint64_t value = 0;

			expect(provided,
			       axas_read_u64(provided->space, page * AXAS_PAGE_SIZE + word * 8, 0,
					     &value) == AXAS_OK);
			expect(provided, value == first_word(page, word) + added);
		}
	}
}

int main(int argc, char **argv)
{
	static struct provided provided;
	static struct worker workers[MAX_THREADS];
	pthread_t ids[MAX_THREADS];
	unsigned long threads, started = 0, raced;
	axas_stats_t stats;

	if (argc != 3)
		return 2;
	provided.rounds = strtoul(argv[1], NULL, 10);
	threads = strtoul(argv[2], NULL, 10);
	if (!provided.rounds || threads < 2 || threads > MAX_THREADS || !create(&provided))
		return 2;
	while (started < threads) {
		workers[started].provided = &provided;
		workers[started].random = 0x9e3779b97f4a7c15u * (started + 1);
		workers[started].word = (unsigned int)started;
		if (pthread_create(&ids[started], NULL, work, &workers[started]))
			break;
		started++;
	}
	for (unsigned long i = 0; i < started; i++)
		pthread_join(ids[i], NULL);
	raced = atomic_load(&provided.late);
	check_words(&provided, workers, started);
	expect(&provided, axas_stats(provided.space, &stats) == AXAS_OK &&
				  stats.guest_frames == PAGES &&
				  stats.faults_wait >= atomic_load(&provided.waits));
	expect(&provided, axas_audit(provided.space) == AXAS_OK);
	axas_destroy(provided.space);
	printf("%lu faults resolved, %lu waits, %lu supplied, %lu late, %lu evicted, %lu surprises, "
	       "%ld frames lost\n",
	       atomic_load(&provided.resolved), atomic_load(&provided.waits),
	       atomic_load(&provided.supplied), raced, atomic_load(&provided.evicted),
	       atomic_load(&provided.surprises), atomic_load(&provided.frames_out));
	return started < threads || atomic_load(&provided.surprises) ||
	       atomic_load(&provided.frames_out) || !atomic_load(&provided.resolved) ||
	       !atomic_load(&provided.waits) || !raced || !atomic_load(&provided.evicted);
}
