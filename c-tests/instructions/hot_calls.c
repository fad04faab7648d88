/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * hot_calls.c FORMAT - the calls that have to be fast, for scripts/check-instructions.py: it runs this
 * under callgrind, which counts what runs inside of axas_ functions while a count_ function runs.
 * Prints how often each count_ function did its piece of work.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "axaddrspace.h"

#define PAGE   UINT64_C(4096)
#define MIB    (UINT64_C(1) << 20)
#define GIB    (UINT64_C(1) << 30)
#define BASE   (2 * GIB)
#define PAGES  4096
#define CALLS  256
#define FRAMES 12288
/* Host-physical address of the first frame. */
#define FIRST  (UINT64_C(4) << 30)

static const axas_flags_t rwx = AXAS_READ | AXAS_WRITE | AXAS_EXECUTE;

static unsigned char *memory;
static axas_hpa_t free_frames[FRAMES];
static size_t free_count;
static axas_config_t config = { .struct_size = sizeof(config), .size = UINT64_C(256) << 30 };
static axas_hal_t hal;
static axas_t *space;

static axas_hpa_t alloc_frame(void *ctx, uint32_t order, uint32_t purpose)
{
	static uint32_t used;

	(void)ctx;
	(void)purpose;
	/* The roots of RISC-V: never given to anybody else. */
	if (order) {
		used += 4;
		return FIRST + (FRAMES + used - 4) * PAGE;
	}
	return free_count ? free_frames[--free_count] : AXAS_HPA_INVALID;
}

static void dealloc_frame(void *ctx, axas_hpa_t frame, uint32_t order, uint32_t purpose)
{
	(void)ctx;
	(void)purpose;
	if (frame >= FIRST + FRAMES * PAGE)
		return;
	for (uint64_t page = 0; page < UINT64_C(1) << order; page++)
		free_frames[free_count++] = frame + page * PAGE;
}

static void tlb_flush(void *ctx, const axas_tlb_request_t *request)
{
	(void)ctx;
	(void)request;
}

/* What must hold, or the counts mean nothing. */
static void must(int holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "hot_calls: %s\n", what);
		exit(1);
	}
}

#define MUST(call) must((call) == AXAS_OK, #call)

/* Every other page from BASE on, in no order that a cache would like. */
static axas_gpa_t scattered(uint64_t number)
{
	return BASE + number * 2654435761u % PAGES * PAGE;
}

static uint64_t count_map(void)
{
	MUST(axas_map_linear(space, BASE, 8 * GIB + PAGE, PAGES * PAGE, rwx | AXAS_NO_HUGE));
	return PAGES;
}

static uint64_t count_translate(void)
{
	axas_hpa_t hpa;
	uint64_t run;

	for (uint64_t call = 0; call < CALLS; call++)
		MUST(axas_translate(space, scattered(call), &hpa, &run));
	return CALLS;
}

static uint64_t count_query(void)
{
	axas_mapping_t mapping;

	for (uint64_t call = 0; call < CALLS; call++)
		MUST(axas_query(space, scattered(call), &mapping));
	return CALLS;
}

static uint64_t count_spurious_fault(void)
{
	for (uint64_t call = 0; call < CALLS; call++)
		must(axas_handle_page_fault(space, scattered(call), AXAS_WRITE) ==
			     AXAS_FAULT_SPURIOUS,
		     "spurious");
	return CALLS;
}

static uint64_t count_protect(void)
{
	MUST(axas_protect(space, BASE, PAGES * PAGE, AXAS_READ));
	return PAGES;
}

static uint64_t count_unmap(void)
{
	MUST(axas_unmap(space, BASE, PAGES * PAGE));
	return PAGES;
}

static uint64_t count_map_2m(void)
{
	MUST(axas_map_linear(space, 8 * GIB, 32 * GIB + 2 * MIB, 8 * GIB, rwx | AXAS_MAX_2M));
	return 8 * GIB / (2 * MIB);
}

static uint64_t count_unmap_2m(void)
{
	MUST(axas_unmap(space, 8 * GIB, 8 * GIB));
	return 8 * GIB / (2 * MIB);
}

static uint64_t count_map_one_page(void)
{
	for (uint64_t call = 0; call < CALLS; call++)
		MUST(axas_map_linear(space, BASE + call * PAGE, 8 * GIB + call * PAGE, PAGE, rwx));
	return CALLS;
}

static uint64_t count_unmap_one_page(void)
{
	for (uint64_t call = 0; call < CALLS; call++)
		MUST(axas_unmap(space, BASE + call * PAGE, PAGE));
	return CALLS;
}

/* A table of each level comes and goes with every pair. */
static uint64_t count_map_and_unmap_far_page(void)
{
	for (uint64_t call = 0; call < CALLS; call++) {
		const axas_gpa_t gpa = call * 37 % 128 * GIB + call * PAGE;

		MUST(axas_map_linear(space, gpa, 8 * GIB, PAGE, rwx));
		MUST(axas_unmap(space, gpa, PAGE));
	}
	return CALLS;
}

static uint64_t count_reserve(void)
{
	MUST(axas_map_alloc(space, BASE, PAGES * PAGE, rwx));
	return 1;
}

static uint64_t count_fault(void)
{
	for (uint64_t page = 0; page < PAGES; page++)
		must(axas_handle_page_fault(space, BASE + page * PAGE, AXAS_WRITE) ==
			     AXAS_FAULT_RESOLVED,
		     "resolved");
	return PAGES;
}

static uint64_t count_read_4k(void)
{
	static unsigned char buffer[4096];

	for (uint64_t call = 0; call < CALLS; call++)
		MUST(axas_read(space, scattered(call), buffer, sizeof(buffer), 0, NULL));
	return CALLS;
}

static uint64_t count_read_u64(void)
{
	uint64_t value;

	for (uint64_t call = 0; call < CALLS; call++)
		MUST(axas_read_u64(space, scattered(call), 0, &value));
	return CALLS;
}

static uint64_t count_unmap_lazy(void)
{
	MUST(axas_unmap(space, BASE, PAGES * PAGE));
	return PAGES;
}

static uint64_t count_reserve_64g_aligned(void)
{
	MUST(axas_map_alloc(space, 64 * GIB, 64 * GIB, rwx));
	return 1;
}

static uint64_t count_give_back_64g_aligned(void)
{
	MUST(axas_unmap(space, 64 * GIB, 64 * GIB));
	return 1;
}

static uint64_t count_reserve_64g_unaligned(void)
{
	MUST(axas_map_alloc(space, 64 * GIB + 0x123000, 64 * GIB, rwx));
	return 1;
}

static uint64_t count_give_back_64g_unaligned(void)
{
	MUST(axas_unmap(space, 64 * GIB + 0x123000, 64 * GIB));
	return 1;
}

static uint64_t count_create_and_destroy(void)
{
	axas_t *other;

	MUST(axas_create(&config, &hal, &other));
	axas_destroy(other);
	return 1;
}

/* In the order in which they leave the space as the next one wants it. */
static const struct {
	const char *name;
	uint64_t (*count)(void);
} pieces[] = {
#define PIECE(name)                 \
	{                           \
#name, count_##name \
	}
	PIECE(map),
	PIECE(translate),
	PIECE(query),
	PIECE(spurious_fault),
	PIECE(protect),
	PIECE(unmap),
	PIECE(map_2m),
	PIECE(unmap_2m),
	PIECE(map_one_page),
	PIECE(unmap_one_page),
	PIECE(map_and_unmap_far_page),
	PIECE(reserve),
	PIECE(fault),
	PIECE(read_4k),
	PIECE(read_u64),
	PIECE(unmap_lazy),
	PIECE(reserve_64g_aligned),
	PIECE(give_back_64g_aligned),
	PIECE(reserve_64g_unaligned),
	PIECE(give_back_64g_unaligned),
	PIECE(create_and_destroy),
};

static uint32_t format(const char *name)
{
	static const char *const names[] = { "native", "ept", "npt", "arm", "riscv" };

	for (uint32_t value = AXAS_FORMAT_EPT; value <= AXAS_FORMAT_RISCV_GSTAGE; value++)
		if (strcmp(name, names[value]) == 0)
			return value;
	must(0, "FORMAT is one of: ept npt arm riscv");
	return 0;
}

int main(int argc, char **argv)
{
	must(argc == 2, "one argument: ept, npt, arm or riscv");
	/* Room for the few frames of higher order; aligned as the largest of them. */
	memory = aligned_alloc(16 * PAGE, (FRAMES + 64) * PAGE);
	must(memory != NULL, "memory");
	for (size_t frame = 0; frame < FRAMES; frame++)
		free_frames[free_count++] = FIRST + (FRAMES - 1 - frame) * PAGE;
	config.format = format(argv[1]);
	config.levels = 4;
	config.pa_bits = 44;
	hal = (axas_hal_t){
		.struct_size = sizeof(hal),
		.flags = AXAS_HAL_DIRECT_MAP | AXAS_HAL_TABLES_STAY_READABLE,
		.alloc_frame = alloc_frame,
		.dealloc_frame = dealloc_frame,
		.direct_map_offset = (uint64_t)(uintptr_t)memory - FIRST,
		.tlb_flush = tlb_flush,
	};
	config.options = AXAS_NO_ZERO;
	MUST(axas_create(&config, &hal, &space));
	for (size_t piece = 0; piece < sizeof(pieces) / sizeof(pieces[0]); piece++) {
		const uint64_t times = pieces[piece].count();

		printf("%s %" PRIu64 "\n", pieces[piece].name, times);
	}
	axas_destroy(space);
	free(memory);
	return 0;
}
