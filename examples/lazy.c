/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Lazy memory: a guest is promised 16 GiB by a host that has 160 frames of 4 KiB.
 *
 * Shows what a promise costs, who takes the frames in, what happens when there are none, and how a
 * host gets them back. The frame allocator is the host's own: two callbacks and a direct map.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "axaddrspace.h"

#define FRAMES  160u
#define PA_BASE UINT64_C(0x40000000) /* where this memory is, as the guest's page walker sees it */
#define RAM     UINT64_C(0x80000000) /* guest-physical */
#define RAM_GIB UINT64_C(16)
#define GIB     (UINT64_C(1) << 30)
#define RW      (AXAS_READ | AXAS_WRITE)

static _Alignas(AXAS_PAGE_SIZE) unsigned char memory[FRAMES][AXAS_PAGE_SIZE];
static axas_hpa_t free_frames[FRAMES];
static uint32_t free_count;

/* EPT asks for single frames only, unless a mapping wants AXAS_HUGE_FRAMES. */
static axas_hpa_t alloc_frame(void *ctx, uint32_t order, uint32_t purpose)
{
	(void)ctx;
	(void)purpose;
	return order == 0 && free_count > 0 ? free_frames[--free_count] : AXAS_HPA_INVALID;
}

static void dealloc_frame(void *ctx, axas_hpa_t frame, uint32_t order, uint32_t purpose)
{
	(void)ctx;
	(void)order;
	(void)purpose;
	free_frames[free_count++] = frame;
}

/* One CPU, and it does not run the guest: nothing to invalidate. A hypervisor sends INVEPT here. */
static void tlb_flush(void *ctx, const axas_tlb_request_t *request)
{
	(void)ctx;
	(void)request;
}

static void must(axas_status_t status, const char *what)
{
	if (status == AXAS_OK)
		return;
	fprintf(stderr, "%s: %s\n", what, axas_status_str(status));
	exit(1);
}

static axas_t *create(void)
{
	const axas_config_t cfg = {
		.struct_size = sizeof(cfg),
		.format = AXAS_FORMAT_EPT,
		.size = RAM + RAM_GIB * GIB,
	};
	const axas_hal_t hal = {
		.struct_size = sizeof(hal),
		.flags = AXAS_HAL_DIRECT_MAP,
		.alloc_frame = alloc_frame,
		.dealloc_frame = dealloc_frame,
		.direct_map_offset = (uintptr_t)memory - PA_BASE,
		.tlb_flush = tlb_flush,
	};
	axas_t *as;

	for (uint32_t i = 0; i < FRAMES; i++)
		dealloc_frame(NULL, PA_BASE + i * (uint64_t)AXAS_PAGE_SIZE, 0, AXAS_FRAME_GUEST);
	must(axas_create(&cfg, &hal, &as), "axas_create");
	return as;
}

static void show(const axas_t *as, const char *what)
{
	axas_stats_t stats;

	must(axas_stats(as, &stats), "axas_stats");
	printf("%-44s %3" PRIu64 " pages, %2" PRIu64 " tables\n", what, stats.guest_frames,
	       stats.table_frames);
}

static const char *verdict(axas_fault_result_t result)
{
	static const char *const names[] = {
		[AXAS_FAULT_RESOLVED] = "resolved",   [AXAS_FAULT_SPURIOUS] = "spurious",
		[AXAS_FAULT_RETRY] = "retry",         [AXAS_FAULT_TRAP] = "trap",
		[AXAS_FAULT_UNMAPPED] = "unmapped",   [AXAS_FAULT_DENIED] = "denied",
		[AXAS_FAULT_NO_MEMORY] = "no memory", [AXAS_FAULT_ERROR] = "error",
	};

	return result <= AXAS_FAULT_ERROR ? names[result] : "unknown";
}

static axas_fault_result_t touch(axas_t *as, axas_gpa_t gpa, axas_flags_t access)
{
	axas_fault_result_t result = axas_handle_page_fault(as, gpa, access);

	printf("  %s 0x%" PRIx64 ": %s\n", access == AXAS_READ ? "read " : "write", gpa,
	       verdict(result));
	return result;
}

/* The guest writes page after page until the host has nothing left. */
static uint64_t exhaust(axas_t *as, axas_gpa_t gpa)
{
	uint64_t pages = 0;

	while (axas_handle_page_fault(as, gpa + pages * AXAS_PAGE_SIZE, AXAS_WRITE) ==
	       AXAS_FAULT_RESOLVED)
		pages++;
	return pages;
}

int main(void)
{
	axas_t *as = create();
	uint64_t pages;

	show(as, "a new space");
	must(axas_map_alloc(as, RAM, RAM_GIB * GIB, RW), "axas_map_alloc");
	show(as, "16 GiB promised");

	/* The exit handler of a hypervisor makes this call with what the fault decoder said. */
	touch(as, RAM + 0x1234, AXAS_WRITE);
	touch(as, RAM + 15 * GIB, AXAS_READ);
	show(as, "two pages touched, far apart");
	/* Another vCPU was on its way to the same page: the frame stays, nothing is lost. */
	touch(as, RAM + 0x1238, AXAS_WRITE);
	touch(as, RAM, AXAS_EXECUTE | AXAS_READ);
	show(as, "neither took a frame");

	/* For memory that must not fault later (a DMA buffer), take the frames now: all or nothing. */
	must(axas_populate(as, RAM + GIB, 16 * AXAS_PAGE_SIZE), "axas_populate");
	show(as, "16 pages populated");

	pages = exhaust(as, RAM + 2 * GIB);
	printf("the guest wrote %" PRIu64 " pages more, then:\n", pages);
	touch(as, RAM + 2 * GIB + pages * AXAS_PAGE_SIZE, AXAS_WRITE);
	show(as, "no frame left");

	/*
	 * The host takes pages back whose contents the guest gave up, as a balloon does. They stay
	 * promised, and read as zero when they are touched again.
	 */
	must(axas_discard(as, RAM + 2 * GIB, pages * AXAS_PAGE_SIZE), "axas_discard");
	show(as, "those pages discarded");
	touch(as, RAM + 2 * GIB + pages * AXAS_PAGE_SIZE, AXAS_WRITE);
	show(as, "the guest goes on");

	axas_destroy(as);
	printf("after axas_destroy: %u of %u frames are free\n", free_count, FRAMES);
	return free_count == FRAMES ? 0 : 1;
}
