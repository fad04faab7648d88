/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Post-copy: a guest runs here while its memory is still on another machine.
 *
 * All of its RAM is a provider's (axas_map_provider). A vCPU that touches a page which is not here yet is told
 * AXAS_FAULT_WAIT and parked. One thread of the host fetches what vCPUs wait for, another one sends everything in random order;
 * both bring pages by axas_supply, often the same one.
 */
#define _XOPEN_SOURCE 700
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "axaddrspace.h"

#define RAM     UINT64_C(0x80000000)
#define PAGES   512u
#define SIZE    (PAGES * (uint64_t)AXAS_PAGE_SIZE)
#define WORDS   (AXAS_PAGE_SIZE / 8)
#define VCPUS   3u
#define PA_BASE UINT64_C(0x40000000)
#define RW      (AXAS_READ | AXAS_WRITE)

static _Alignas(AXAS_PAGE_SIZE) unsigned char memory[(PAGES + 64) * AXAS_PAGE_SIZE];
static uint64_t source[PAGES][WORDS]; /* the other machine */

static axas_hal_t hal;
static axas_t *as;
static atomic_uint wanted[PAGES]; /* set by resolve, on any CPU */
static atomic_uint wrong, waits, late, failures;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t arrival = PTHREAD_COND_INITIALIZER;
static uint32_t here, is_here[PAGES]; /* under the lock */

/* Runs inside the fault: it must not wait, so it leaves a note and says "later". */
static uint32_t resolve(void *ctx, uint32_t provider, axas_gpa_t gpa, uint32_t access,
			axas_supply_t *answer)
{
	(void)ctx;
	(void)provider;
	(void)access;
	(void)answer;
	atomic_store(&wanted[(gpa - RAM) / AXAS_PAGE_SIZE], 1);
	return AXAS_RESOLVE_LATER;
}

static void relax(void *ctx)
{
	(void)ctx;
	sched_yield();
}

/* Fetches a page from the other machine, and brings it unless somebody else did. */
static void fetch(uint32_t page)
{
	const axas_gpa_t gpa = RAM + page * (uint64_t)AXAS_PAGE_SIZE;
	const axas_hpa_t frame = hal.alloc_frame(hal.ctx, 0, AXAS_FRAME_GUEST);
	axas_status_t status;

	if (frame == AXAS_HPA_INVALID) {
		atomic_fetch_add(&failures, 1);
		return;
	}
	memcpy(&memory[frame - PA_BASE], source[page], AXAS_PAGE_SIZE);
	/* From here on it is the library's, if the library takes it. */
	status = axas_supply(as, gpa, frame, AXAS_PAGE_SIZE, RW, AXAS_RESOLVE_GIVEN);
	if (status != AXAS_OK) {
		hal.dealloc_frame(hal.ctx, frame, 0, AXAS_FRAME_GUEST);
		atomic_fetch_add(status == AXAS_ERR_ALREADY_EXISTS ? &late : &failures, 1);
		return;
	}
	pthread_mutex_lock(&lock);
	is_here[page] = 1;
	here++;
	pthread_cond_broadcast(&arrival);
	pthread_mutex_unlock(&lock);
}

static uint32_t all_here(void)
{
	uint32_t all;

	pthread_mutex_lock(&lock);
	all = here == PAGES;
	pthread_mutex_unlock(&lock);
	return all;
}

/* What vCPUs wait for comes first. */
static void *fetch_what_is_wanted(void *arg)
{
	while (!all_here()) {
		for (uint32_t page = 0; page < PAGES; page++)
			if (atomic_exchange(&wanted[page], 0))
				fetch(page);
		sched_yield();
	}
	return arg;
}

static uint32_t next(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 16;
}

/* Meanwhile all of it is sent, in random order, whether it is here already or not. */
static void *send_all(void *arg)
{
	static uint32_t order[PAGES];
	uint32_t seed = 7;

	for (uint32_t i = 0; i < PAGES; i++)
		order[i] = i;
	for (uint32_t i = PAGES - 1; i > 0; i--) {
		const uint32_t other = next(&seed) % (i + 1), page = order[i];

		order[i] = order[other];
		order[other] = page;
	}
	for (uint32_t i = 0; i < PAGES; i++) {
		fetch(order[i]);
		if (i % 8 == 0)
			sched_yield();
	}
	return arg;
}

/* What an exit handler does with one fault. */
static void handle_fault(axas_gpa_t gpa, uint32_t access)
{
	axas_fault_result_t verdict;

	while (!axas_fault_resumes(verdict = axas_handle_page_fault(as, gpa, access))) {
		const uint32_t page = (uint32_t)((gpa - RAM) / AXAS_PAGE_SIZE);

		if (verdict != AXAS_FAULT_WAIT) {
			atomic_fetch_add(&failures, 1);
			return;
		}
		atomic_fetch_add(&waits, 1);
		pthread_mutex_lock(&lock);
		while (!is_here[page])
			pthread_cond_wait(&arrival, &lock);
		pthread_mutex_unlock(&lock);
	}
}

/* A guest that reads every word of its memory, page by page at random, and adds 1 to its own ones. */
static void *run_vcpu(void *arg)
{
	const uint32_t me = *(const uint32_t *)arg;
	uint32_t page = me;

	for (uint32_t i = 0; i < PAGES; i++) {
		page = (page * 5 + 1) % PAGES; /* each page once */
		for (uint32_t word = me; word < WORDS; word += VCPUS) {
			const axas_gpa_t gpa = RAM + page * (uint64_t)AXAS_PAGE_SIZE + word * 8;
			uint64_t value;

			handle_fault(gpa, RW);
			if (axas_read_u64(as, gpa, 0, &value) || value != source[page][word])
				atomic_fetch_add(&wrong, 1);
			if (axas_write_u64(as, gpa, 0, value + 1))
				atomic_fetch_add(&wrong, 1);
		}
	}
	return NULL;
}

static void run(void)
{
	static uint32_t number[VCPUS];
	pthread_t thread[VCPUS + 2];

	for (uint32_t i = 0; i < VCPUS + 2; i++) {
		void *(*const body)(void *) = i < VCPUS  ? run_vcpu :
					      i == VCPUS ? fetch_what_is_wanted :
							   send_all;

		if (i < VCPUS)
			number[i] = i;
		if (pthread_create(&thread[i], NULL, body, i < VCPUS ? &number[i] : NULL) != 0)
			exit(1);
	}
	for (uint32_t i = 0; i < VCPUS + 2; i++)
		pthread_join(thread[i], NULL);
}

static uint32_t says(uint32_t holds, const char *what)
{
	printf("%s: %s\n", what, holds ? "yes" : "NO");
	return !holds;
}

static uint32_t all_written(void)
{
	for (uint32_t page = 0; page < PAGES; page++)
		for (uint32_t word = 0; word < WORDS; word++) {
			uint64_t value;

			if (axas_read_u64(as, RAM + (page * (uint64_t)WORDS + word) * 8, 0,
					  &value) ||
			    value != source[page][word] + 1)
				return 0;
		}
	return 1;
}

int main(void)
{
	const axas_config_t cfg = {
		.struct_size = sizeof(cfg),
		.format = AXAS_FORMAT_EPT,
		.size = RAM + SIZE,
	};
	uint32_t bad = 0;
	axas_arena_t arena;
	axas_stats_t stats;

	hal = (axas_hal_t){ .struct_size = sizeof(hal), .flags = AXAS_HAL_BUILTIN_FLUSH };
	if (axas_arena_init(&arena) || axas_arena_add(&arena, memory, PA_BASE, sizeof(memory)) ||
	    axas_arena_hal(&arena, &hal))
		return 1;
	hal.relax = relax;
	hal.resolve = resolve;
	for (uint32_t i = 0; i < PAGES * WORDS; i++)
		source[i / WORDS][i % WORDS] = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
	if (axas_create(&cfg, &hal, &as) || axas_map_provider(as, RAM, SIZE, RW, 1))
		return 1;
	printf("%u vCPUs run in %u pages that are still elsewhere\n", VCPUS, PAGES);
	run();
	if (axas_stats(as, &stats))
		return 1;
	bad += says(atomic_load(&wrong) == 0, "  each vCPU found each word");
	bad += says(all_written(), "  and what they wrote is there");
	bad += says(stats.guest_frames == PAGES, "  each page came once");
	bad += says(atomic_load(&failures) == 0, "  nothing failed");
	bad += says(atomic_load(&waits) == stats.faults_wait, "  each wait was counted");
	bad += says(axas_audit(as) == AXAS_OK, "  the tables are sound");
	/* Who was first is luck: not on the standard output. */
	fprintf(stderr, "%u waits, %u pages came late\n", atomic_load(&waits), atomic_load(&late));
	axas_destroy(as);
	return bad != 0;
}
