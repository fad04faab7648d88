/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Populate on demand, and a balloon: a guest that boots with 64 pages of RAM and may have 16 of them.
 *
 * All of its RAM is a provider's. The host answers an access with a frame of its pool as long as the guest has fewer pages than
 * it may have, and with "later" from then on: the vCPU waits. The guest's balloon driver gives pages up, which
 * axas_evict takes away: their frames serve the vCPU that waits. Pages in the balloon are refused, as if no RAM were there.
 */
#define _XOPEN_SOURCE 700
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include "axaddrspace.h"

#define RAM   UINT64_C(0x80000000)
#define PAGES 64u
#define PAGE  ((uint64_t)AXAS_PAGE_SIZE)
#define RW    (AXAS_READ | AXAS_WRITE)

static _Alignas(AXAS_PAGE_SIZE) unsigned char memory[(PAGES + 16) * AXAS_PAGE_SIZE];

static atomic_uint used, target; /* pages */
static atomic_uint in_balloon[PAGES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t change = PTHREAD_COND_INITIALIZER;
static uint32_t waiting, rounds; /* under the lock */

/* Runs inside the fault, on any CPU. */
static uint32_t resolve(void *ctx, uint32_t provider, axas_gpa_t gpa, uint32_t access,
			axas_supply_t *answer)
{
	(void)ctx;
	(void)provider;
	(void)access;
	(void)answer;
	if (atomic_load(&in_balloon[(gpa - RAM) / PAGE]))
		return AXAS_RESOLVE_REFUSE;
	return atomic_load(&used) < atomic_load(&target) ? AXAS_RESOLVE_ALLOC : AXAS_RESOLVE_LATER;
}

/* alloc_frame sees every frame that comes, dealloc_frame every one that goes. */
static axas_alloc_frame_fn arena_alloc;
static axas_dealloc_frame_fn arena_dealloc;

static axas_hpa_t alloc_frame(void *ctx, uint32_t order, uint32_t purpose)
{
	if (purpose == AXAS_FRAME_GUEST)
		atomic_fetch_add(&used, 1);
	return arena_alloc(ctx, order, purpose);
}

static void dealloc_frame(void *ctx, axas_hpa_t frame, uint32_t order, uint32_t purpose)
{
	arena_dealloc(ctx, frame, order, purpose);
	if (purpose == AXAS_FRAME_GUEST)
		atomic_fetch_sub(&used, 1);
}

static void relax(void *ctx)
{
	(void)ctx;
	sched_yield();
}

/* vCPUs that wait try again. */
static void wake(void)
{
	pthread_mutex_lock(&lock);
	rounds++;
	pthread_cond_broadcast(&change);
	pthread_mutex_unlock(&lock);
}

/* What an exit handler does with one fault. Returns the verdict that ended it. */
static axas_fault_result_t handle_fault(axas_t *as, axas_gpa_t gpa)
{
	for (;;) {
		uint32_t round;
		axas_fault_result_t verdict;

		pthread_mutex_lock(&lock);
		round = rounds;
		pthread_mutex_unlock(&lock);
		verdict = axas_handle_page_fault(as, gpa, AXAS_WRITE);
		if (verdict == AXAS_FAULT_RETRY) {
			sched_yield();
			continue;
		}
		if (verdict != AXAS_FAULT_WAIT)
			return verdict;
		pthread_mutex_lock(&lock);
		waiting++;
		while (rounds == round)
			pthread_cond_wait(&change, &lock);
		waiting--;
		pthread_mutex_unlock(&lock);
	}
}

/* The guest writes to each page outside its balloon. */
static void *run_vcpu(void *arg)
{
	for (uint32_t page = 0; page < PAGES; page++)
		if (!atomic_load(&in_balloon[page]) &&
		    !axas_fault_resumes(handle_fault(arg, RAM + page * PAGE)))
			exit(1);
	return NULL;
}

/* The guest's balloon driver gives pages up, by a hypercall. */
static void inflate(axas_t *as, uint32_t first, uint32_t count)
{
	for (uint32_t page = first; page < first + count; page++)
		atomic_store(&in_balloon[page], 1);
	if (axas_evict(as, RAM + first * PAGE, count * PAGE, 1))
		exit(1);
	wake();
}

static void until_it_waits(void)
{
	for (uint32_t waits = 0; !waits; sched_yield()) {
		pthread_mutex_lock(&lock);
		waits = waiting;
		pthread_mutex_unlock(&lock);
	}
}

static void show(const axas_t *as, const char *what)
{
	axas_stats_t stats;

	if (axas_stats(as, &stats))
		exit(1);
	printf("%-48s %2u pages of %2u\n", what, (unsigned int)stats.guest_frames,
	       atomic_load(&target));
}

int main(void)
{
	const axas_config_t cfg = {
		.struct_size = sizeof(cfg),
		.format = AXAS_FORMAT_EPT,
		.size = RAM + PAGES * PAGE,
	};
	axas_hal_t hal = { .struct_size = sizeof(hal), .flags = AXAS_HAL_BUILTIN_FLUSH };
	axas_arena_t arena;
	pthread_t vcpu;
	axas_t *as;

	if (axas_arena_init(&arena) || axas_arena_add(&arena, memory, 0x40000000, sizeof(memory)) ||
	    axas_arena_hal(&arena, &hal))
		return 1;
	arena_alloc = hal.alloc_frame;
	arena_dealloc = hal.dealloc_frame;
	hal.alloc_frame = alloc_frame;
	hal.dealloc_frame = dealloc_frame;
	hal.relax = relax;
	hal.resolve = resolve;
	atomic_store(&target, 16);
	if (axas_create(&cfg, &hal, &as) || axas_map_provider(as, RAM, PAGES * PAGE, RW, 1))
		return 1;
	show(as, "booted");

	/* It writes to all of its memory, before its balloon driver has started. */
	if (pthread_create(&vcpu, NULL, run_vcpu, as) != 0)
		return 1;
	until_it_waits();
	show(as, "as much as it may have: a vCPU waits");
	/* The driver gives up what was not touched yet, which brings nothing, and then what was. */
	inflate(as, 24, 40);
	until_it_waits();
	show(as, "40 untouched pages given up");
	inflate(as, 0, 8);
	pthread_join(vcpu, NULL);
	show(as, "8 more given up: the vCPU went on");
	printf("page 0 is %s\n", handle_fault(as, RAM) == AXAS_FAULT_UNMAPPED ? "no RAM now" : "?");

	/* The host lets it have more; the driver takes pages out of the balloon again. */
	atomic_store(&target, 20);
	for (uint32_t page = 0; page < 4; page++)
		atomic_store(&in_balloon[page], 0);
	run_vcpu(as);
	show(as, "4 taken out of the balloon");
	if (axas_audit(as) != AXAS_OK)
		return 1;
	axas_destroy(as);
	printf("after axas_destroy %u pages are in use\n", atomic_load(&used));
	return atomic_load(&used) != 0;
}
