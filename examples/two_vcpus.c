/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Two vCPUs fault on the same memory, while the host takes it away and gives it back.
 *
 * No lock of the host's is held around any of this. A fault never waits: while the host changes the
 * space its verdict is RETRY, and the vCPU simply goes back to the guest, which faults again.
 */
#define _XOPEN_SOURCE 700 /* pthread_barrier_t */
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include "axaddrspace.h"

#define RAM    UINT64_C(0x80000000)
#define PAGES  256u
#define SIZE   (PAGES * (uint64_t)AXAS_PAGE_SIZE)
#define ROUNDS 10u
#define RW     (AXAS_READ | AXAS_WRITE)

static _Alignas(AXAS_PAGE_SIZE) unsigned char memory[(PAGES + 64) * AXAS_PAGE_SIZE];

struct vcpu {
	pthread_t thread;
	axas_t *as;
	pthread_barrier_t *start;
	const atomic_uint *stop; /* null: once over the memory */
	atomic_ulong writes;
	uint64_t verdicts[AXAS_FAULT_ERROR + 1];
};

/* While a call of the host's waits for faults to end. A hypervisor answers its shootdowns here. */
static void relax(void *ctx)
{
	(void)ctx;
	sched_yield();
}

/*
 * What an exit handler does with one fault. Returns 0 when the guest cannot go on: a hypervisor
 * would inject an abort, here the script goes on to the next page.
 */
static uint32_t handle_fault(struct vcpu *vcpu, axas_gpa_t gpa)
{
	for (;;) {
		axas_fault_result_t result = axas_handle_page_fault(vcpu->as, gpa, AXAS_WRITE);

		vcpu->verdicts[result]++;
		if (result == AXAS_FAULT_RETRY)
			sched_yield(); /* or enter the guest, which comes back with the same fault */
		else
			return axas_fault_resumes(result);
	}
}

static void *run_vcpu(void *arg)
{
	struct vcpu *vcpu = arg;

	pthread_barrier_wait(vcpu->start);
	do {
		for (uint32_t page = 0; page < PAGES; page++) {
			handle_fault(vcpu, RAM + page * (uint64_t)AXAS_PAGE_SIZE);
			atomic_fetch_add(&vcpu->writes, 1);
		}
	} while (vcpu->stop != NULL && !atomic_load(vcpu->stop));
	return NULL;
}

/* Until both vCPUs have been to each page: what the host did last has been met by both. */
static void let_them_write(struct vcpu vcpus[2])
{
	for (int i = 0; i < 2; i++) {
		const unsigned long before = atomic_load(&vcpus[i].writes);

		while (atomic_load(&vcpus[i].writes) - before <= PAGES)
			sched_yield();
	}
}

/* The host takes the write permission and gives it back; takes pages, and the promise too. */
static uint32_t change(axas_t *as, struct vcpu vcpus[2])
{
	const uint64_t half = SIZE / 2;
	uint32_t failures = 0;

	for (uint32_t round = 0; round < ROUNDS; round++) {
		failures += axas_protect(as, RAM, half, AXAS_READ) != AXAS_OK;
		let_them_write(vcpus);
		failures += axas_protect(as, RAM, half, RW) != AXAS_OK;
		failures += axas_discard(as, RAM, SIZE) != AXAS_OK;
		let_them_write(vcpus);
		failures += axas_unmap(as, RAM + half, half) != AXAS_OK;
		let_them_write(vcpus);
		failures += axas_map_alloc(as, RAM + half, half, RW) != AXAS_OK;
	}
	return failures;
}

/* Runs both vCPUs: once over the memory, or for as long as the host changes it. */
static uint32_t run(axas_t *as, struct vcpu vcpus[2], uint32_t (*host)(axas_t *, struct vcpu *))
{
	pthread_barrier_t start;
	atomic_uint stop = 0;
	uint32_t failures = 0;

	pthread_barrier_init(&start, NULL, 3);
	for (int i = 0; i < 2; i++) {
		vcpus[i] = (struct vcpu){ .as = as, .start = &start };
		vcpus[i].stop = host == NULL ? NULL : &stop;
		if (pthread_create(&vcpus[i].thread, NULL, run_vcpu, &vcpus[i]) != 0)
			exit(1);
	}
	pthread_barrier_wait(&start);
	if (host != NULL)
		failures = host(as, vcpus);
	atomic_store(&stop, 1);
	for (int i = 0; i < 2; i++)
		pthread_join(vcpus[i].thread, NULL);
	pthread_barrier_destroy(&start);
	return failures;
}

static uint64_t sum(const struct vcpu vcpus[2], axas_fault_result_t verdict)
{
	return vcpus[0].verdicts[verdict] + vcpus[1].verdicts[verdict];
}

static uint32_t says(uint32_t holds, const char *what)
{
	printf("%s: %s\n", what, holds ? "yes" : "NO");
	return !holds;
}

/* Every frame that is out is in use: those that lost a race went back. The handle lives in one. */
static uint32_t books_agree(const axas_stats_t *stats)
{
	return stats->frames_allocated - stats->frames_released ==
	       stats->table_frames + stats->guest_frames + 1;
}

int main(void)
{
	const axas_config_t cfg = {
		.struct_size = sizeof(cfg),
		.format = AXAS_FORMAT_EPT,
		.size = RAM + SIZE,
	};
	/* The arena has a lock of its own; callbacks of yours are called on all CPUs at once. */
	axas_hal_t hal = { .struct_size = sizeof(hal), .flags = AXAS_HAL_BUILTIN_FLUSH };
	struct vcpu vcpus[2];
	uint32_t failures = 0;
	axas_arena_t arena;
	axas_stats_t stats;
	axas_t *as;

	if (axas_arena_init(&arena) || axas_arena_add(&arena, memory, 0x40000000, sizeof(memory)) ||
	    axas_arena_hal(&arena, &hal))
		return 1;
	hal.relax = relax;
	if (axas_create(&cfg, &hal, &as) || axas_map_alloc(as, RAM, SIZE, RW))
		return 1;

	printf("both vCPUs write to the same %u pages\n", PAGES);
	failures += run(as, vcpus, NULL);
	if (axas_stats(as, &stats))
		return 1;
	failures +=
		says(sum(vcpus, AXAS_FAULT_RESOLVED) + sum(vcpus, AXAS_FAULT_SPURIOUS) == 2 * PAGES,
		     "  each write found its page, by its own fault or the other's");
	failures += says(stats.guest_frames == PAGES, "  one frame for each page");
	failures += says(books_agree(&stats), "  and none besides");

	printf("they go on while the host protects, discards, unmaps and maps, %u times\n", ROUNDS);
	failures += says(run(as, vcpus, change) == 0, "  each call of the host's succeeds");
	if (axas_stats(as, &stats))
		return 1;
	failures += says(sum(vcpus, AXAS_FAULT_DENIED) >= 2 * ROUNDS * PAGES / 2,
			 "  writes to pages without write permission are denied");
	failures += says(sum(vcpus, AXAS_FAULT_UNMAPPED) >= 2 * ROUNDS * PAGES / 2,
			 "  writes to pages that are gone meet nothing");
	failures += says(sum(vcpus, AXAS_FAULT_RESOLVED) + sum(vcpus, AXAS_FAULT_SPURIOUS) +
					 sum(vcpus, AXAS_FAULT_DENIED) +
					 sum(vcpus, AXAS_FAULT_UNMAPPED) ==
				 vcpus[0].writes + vcpus[1].writes,
			 "  the others succeed, some after a retry");
	failures += says(books_agree(&stats), "  no frame is lost");
	failures += says(axas_audit(as) == AXAS_OK, "  the tables are sound");
	/* How often they met within a call is luck: not on the standard output. */
	fprintf(stderr, "%" PRIu64 " retries\n", sum(vcpus, AXAS_FAULT_RETRY));
	axas_destroy(as);
	return failures != 0;
}
