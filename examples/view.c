/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A view (Xen's altp2m): a second space over the guest's memory, in which a tool sees each write to one page.
 *
 * All of the view is a provider's. What a vCPU that runs in it needs the exit handler takes in in the main space, and brings to
 * the view with the view's permissions. Before the main space loses a page the view does.
 */
#include <stdio.h>
#include <stdlib.h>
#include "axaddrspace.h"

#define RAM     UINT64_C(0x80000000)
#define PAGES   8u
#define PAGE    ((uint64_t)AXAS_PAGE_SIZE)
#define WATCHED (RAM + 5 * PAGE)
#define RWX     (AXAS_READ | AXAS_WRITE | AXAS_EXECUTE)
#define READ_X  (AXAS_READ | AXAS_EXECUTE)

static _Alignas(AXAS_PAGE_SIZE) unsigned char memory[64 * AXAS_PAGE_SIZE];
static axas_t *main_space, *view;
static uint32_t is_watched = 1;

static void must(axas_status_t status)
{
	if (status == AXAS_OK)
		return;
	printf("%s\n", axas_status_str(status));
	exit(1);
}

/* Runs inside a fault of the view, and may call nothing of the library: the exit handler asks the main space. */
static uint32_t resolve(void *ctx, uint32_t provider, axas_gpa_t gpa, uint32_t access,
			axas_supply_t *answer)
{
	(void)ctx;
	(void)provider;
	(void)gpa;
	(void)access;
	(void)answer;
	return AXAS_RESOLVE_LATER;
}

/* Brings a page of the main space to the view; the verdict where there is none. */
static axas_fault_result_t bring(axas_gpa_t gpa, uint32_t access)
{
	const axas_gpa_t page = gpa / PAGE * PAGE;
	const axas_fault_result_t verdict = axas_handle_page_fault(main_space, gpa, access);
	axas_mapping_t found;
	axas_flags_t flags;
	axas_status_t status;

	if (!axas_fault_resumes(verdict))
		return verdict;
	must(axas_query(main_space, page, &found));
	flags = found.flags & (page == WATCHED && is_watched ? READ_X : RWX);
	status = axas_supply(view, page, found.hpa + (page - found.gpa), PAGE, flags,
			     AXAS_RESOLVE_NOW);
	if (status != AXAS_ERR_ALREADY_EXISTS) /* another vCPU was first */
		must(status);
	printf(" brought,");
	return AXAS_FAULT_RESOLVED;
}

/* What an exit handler does with one fault in the view. Returns the verdict that ended it. */
static axas_fault_result_t handle_fault(axas_gpa_t gpa, uint32_t access)
{
	for (;;) {
		axas_fault_result_t verdict = axas_handle_page_fault(view, gpa, access);

		if (verdict == AXAS_FAULT_WAIT)
			verdict = bring(gpa, access);
		if (!axas_fault_resumes(verdict) || verdict == AXAS_FAULT_SPURIOUS)
			return verdict;
	}
}

/* A write of the guest's, whose vCPU runs in the view. */
static void guest_writes(axas_gpa_t gpa, uint64_t value)
{
	printf("write of %#llx:", (unsigned long long)gpa);
	switch (handle_fault(gpa, AXAS_WRITE)) {
	case AXAS_FAULT_SPURIOUS:
		printf(" done\n");
		must(axas_write_u64(view, gpa, 0, value));
		break;
	case AXAS_FAULT_DENIED:
		/* A vCPU would do this one instruction in the main space. */
		printf(" seen by the tool\n");
		must(axas_write_u64(main_space, gpa, 0, value));
		break;
	default:
		printf(" refused\n");
	}
}

static uint32_t reads(axas_t *space, axas_gpa_t gpa, uint64_t value)
{
	uint64_t found = 0;

	must(axas_read_u64(space, gpa, AXAS_ACCESS_HOST, &found));
	return found == value;
}

static uint32_t says(uint32_t holds, const char *what)
{
	printf("%s: %s\n", what, holds ? "yes" : "NO");
	return !holds;
}

int main(void)
{
	axas_config_t cfg = {
		.struct_size = sizeof(cfg),
		.format = AXAS_FORMAT_EPT,
		.size = RAM + (PAGES + 1) * PAGE,
	};
	axas_hal_t hal = { .struct_size = sizeof(hal), .flags = AXAS_HAL_BUILTIN_FLUSH };
	uint32_t bad = 0;
	axas_arena_t arena;

	if (axas_arena_init(&arena) || axas_arena_add(&arena, memory, 0x40000000, sizeof(memory)) ||
	    axas_arena_hal(&arena, &hal))
		return 1;
	must(axas_create(&cfg, &hal, &main_space));
	must(axas_map_alloc(main_space, RAM, PAGES * PAGE, RWX));
	hal.resolve = resolve;
	must(axas_create(&cfg, &hal, &view));
	must(axas_map_provider(view, 0, cfg.size, RWX, 1));

	guest_writes(RAM, 1);
	guest_writes(RAM + 8, 2);
	guest_writes(WATCHED, 3);
	guest_writes(WATCHED, 4);
	guest_writes(RAM + PAGES * PAGE, 5);
	bad += says(reads(main_space, RAM + 8, 2) && reads(view, WATCHED, 4),
		    "both spaces have what was written");

	/* The guest's balloon gives a page up: the view loses it first. */
	must(axas_evict(view, RAM, PAGE, 1));
	must(axas_discard(main_space, RAM, PAGE));
	guest_writes(RAM, 6);
	bad += says(reads(main_space, RAM, 6) && reads(main_space, RAM + 8, 0),
		    "what comes in its place is a new page");

	is_watched = 0;
	must(axas_protect(view, WATCHED, PAGE, RWX));
	guest_writes(WATCHED, 7);
	axas_destroy(view);
	bad += says(reads(main_space, WATCHED, 7), "the pages are still the main space's");
	axas_destroy(main_space);
	return bad != 0;
}
