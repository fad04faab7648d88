/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What test_cost.c counts the instructions of: everything that runs inside of counted().
 *   unmap_work unmap|unmap_and_tell FORMAT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "axaddrspace.h"

#define PAGE   4096ull
#define GIB    (1ull << 30)
#define PAGES  16384ull
#define FIRST  (4 * GIB)
#define FRAMES 256u

static unsigned char *memory;
static axas_t *space;
static axas_hal_t hal;
static uint64_t reported;

static void must(int holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "unmap_work: %s\n", what);
		exit(1);
	}
}

static axas_hpa_t alloc_frame(void *ctx, uint32_t order, uint32_t purpose)
{
	static uint64_t used;
	const uint64_t pages = 1ull << order, first = (used + pages - 1) & ~(pages - 1);

	(void)ctx;
	(void)purpose;
	if (first + pages > FRAMES)
		return AXAS_HPA_INVALID;
	used = first + pages;
	return FIRST + first * PAGE;
}

static void dealloc_frame(void *ctx, axas_hpa_t frame, uint32_t order, uint32_t purpose)
{
	(void)ctx;
	(void)frame;
	(void)order;
	(void)purpose;
}

static void tlb_flush(void *ctx, const axas_tlb_request_t *request)
{
	(void)ctx;
	(void)request;
}

static void released(void *ctx, const axas_mapping_t *run)
{
	(void)ctx;
	reported += run->size;
}

static void map_small_pages(const char *format, int is_told)
{
	static const char *const names[] = { "native", "ept", "npt", "arm", "riscv" };
	axas_config_t config = { .struct_size = sizeof(config), .size = 256 * GIB };

	while (config.format < 5 && strcmp(names[config.format], format) != 0)
		config.format++;
	must(config.format < 5, "FORMAT is one of: ept npt arm riscv");
	memory = aligned_alloc(16 * PAGE, FRAMES * PAGE);
	must(memory != NULL, "memory");
	hal = (axas_hal_t){
		.struct_size = sizeof(hal),
		.flags = AXAS_HAL_DIRECT_MAP,
		.alloc_frame = alloc_frame,
		.dealloc_frame = dealloc_frame,
		.direct_map_offset = (uint64_t)(uintptr_t)memory - FIRST,
		.tlb_flush = tlb_flush,
		.released = is_told ? released : NULL,
	};
	must(axas_create(&config, &hal, &space) == AXAS_OK, "create");
	must(axas_map_linear(space, GIB, 8 * GIB, PAGES * PAGE,
			     AXAS_READ | AXAS_WRITE | AXAS_NO_HUGE) == AXAS_OK,
	     "map");
}

static int unmap(void)
{
	return axas_unmap(space, GIB, PAGES * PAGE) == AXAS_OK;
}

/* Not inlined: its name is where the count begins. */
int counted(int (*work)(void));
__attribute__((noinline)) int counted(int (*work)(void))
{
	return work();
}

int main(int argc, char **argv)
{
	const int is_told = argc == 3 && strcmp(argv[1], "unmap_and_tell") == 0;

	must(argc == 3 && (is_told || strcmp(argv[1], "unmap") == 0), "two arguments");
	map_small_pages(argv[2], is_told);
	must(counted(unmap), "unmap");
	must(reported == (is_told ? PAGES * PAGE : 0), "what was reported");
	return 0;
}
