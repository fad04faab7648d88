/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * hot_calls.c FORMAT - the calls that have to be fast, for scripts/check-instructions.py: it runs this
 * under callgrind, which counts what runs inside of axas_ functions while a count_ function runs. What a
 * prepare_ function does is not counted, nor is the callback note_released.
 * Prints how often each count_ function did its piece of work; 0 where the library refuses the option that
 * the piece is about.
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
#define MANY   16384
#define FRAMES 12288
/* Host-physical address of the first frame. */
#define FIRST  (UINT64_C(4) << 30)

/* Of headers that do not have it yet. */
#ifndef AXAS_KEEP_TABLES
#define AXAS_KEEP_TABLES 64u
#endif

/* Of parts that an archive may not have. */
#pragma weak axas_hide
#pragma weak axas_retag
#pragma weak axas_transfer
#pragma weak axas_dirty_start
#pragma weak axas_dirty_get
#pragma weak axas_dirty_clear
#pragma weak axas_dirty_stop
#pragma weak axas_age
#pragma weak axas_map_provider
#pragma weak axas_supply
#pragma weak axas_evict

static const axas_flags_t rwx = AXAS_READ | AXAS_WRITE | AXAS_EXECUTE;

static unsigned char *memory;
static axas_hpa_t free_frames[FRAMES];
static size_t free_count;
static axas_config_t config = { .struct_size = sizeof(config), .size = UINT64_C(256) << 30 };
static axas_hal_t hal;
static axas_t *space;
/* All of it a provider's, who answers like this. */
static axas_t *provided;
static uint32_t how;
/* With AXAS_KEEP_TABLES, or null; with `released`. */
static axas_t *keeping, *telling;
static axas_t *hiding, *tagging;
static uint64_t told;

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

static void note_released(void *ctx, const axas_mapping_t *run)
{
	(void)ctx;
	told += run->size;
}

static uint32_t resolve(void *ctx, uint32_t provider, axas_gpa_t gpa, uint32_t access,
			axas_supply_t *answer)
{
	(void)ctx;
	(void)provider;
	(void)access;
	answer->hpa = 8 * GIB + gpa;
	return how;
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

/* A space with an option of later versions; null where it is refused. */
static axas_t *create_if_known(uint32_t option)
{
	axas_config_t with = config;
	axas_t *created = NULL;
	int32_t status;

	with.options |= option;
	status = axas_create(&with, &hal, &created);
	must(status == AXAS_OK || status == AXAS_ERR_INVALID_INPUT, "option known or refused");
	return created;
}

static void prepare_map(void)
{
	MUST(axas_create(&config, &hal, &space));
	keeping = create_if_known(AXAS_KEEP_TABLES);
	hal.released = note_released;
	MUST(axas_create(&config, &hal, &telling));
	hal.released = NULL;
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

/* The same where the tables stay: the pages are those of prepare_pair_with_kept_tables or beside them. */
static void pair_with_kept_tables(void)
{
	for (uint64_t call = 0; call < CALLS; call++) {
		const axas_gpa_t gpa = call * 37 % 128 * GIB + call * PAGE;

		MUST(axas_map_linear(keeping, gpa, 8 * GIB, PAGE, rwx));
		MUST(axas_unmap(keeping, gpa, PAGE));
	}
}

static void prepare_pair_with_kept_tables(void)
{
	if (keeping)
		pair_with_kept_tables();
}

static uint64_t count_pair_with_kept_tables(void)
{
	if (!keeping)
		return 0;
	pair_with_kept_tables();
	return CALLS;
}

/* Pages with neighbours, and pages that are alone in their tables. */
static void prepare_replace_linear_page(void)
{
	MUST(axas_map_linear(space, BASE, 8 * GIB + PAGE, PAGES * PAGE, rwx | AXAS_NO_HUGE));
}

static uint64_t replace(axas_gpa_t gpa, uint64_t call)
{
	MUST(axas_map_linear(space, gpa, 9 * GIB + call * 2 * PAGE, PAGE, rwx | AXAS_REPLACE));
	return call + 1;
}

static uint64_t replace_scattered(void)
{
	uint64_t call = 0;

	while (call < CALLS)
		call = replace(scattered(call), call);
	return call;
}

static uint64_t count_replace_linear_page(void)
{
	return replace_scattered();
}

static axas_gpa_t alone(uint64_t number)
{
	return number * 37 % 128 * GIB + number * 3 * MIB;
}

static void prepare_replace_lone_page(void)
{
	MUST(axas_unmap(space, BASE, PAGES * PAGE));
	for (uint64_t call = 0; call < CALLS; call++)
		MUST(axas_map_linear(space, alone(call), 8 * GIB, PAGE, rwx));
}

static uint64_t count_replace_lone_page(void)
{
	uint64_t call = 0;

	while (call < CALLS)
		call = replace(alone(call), call);
	return call;
}

static void prepare_replace_owned_page(void)
{
	MUST(axas_clear(space));
	MUST(axas_map_alloc(space, BASE, PAGES * PAGE, rwx | AXAS_POPULATE | AXAS_NO_HUGE));
}

static uint64_t count_replace_owned_page(void)
{
	return replace_scattered();
}

static void prepare_reserve(void)
{
	MUST(axas_unmap(space, BASE, PAGES * PAGE));
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

/* Neighbours in the guest that are neighbours in the host; or are not. */
static void map_many(axas_t *where, int contiguous)
{
	for (uint64_t page = 0; page < MANY; page++) {
		const uint64_t place = contiguous ? page : page * 2654435761u % MANY;

		MUST(axas_map_linear(where, BASE + page * PAGE, 8 * GIB + PAGE + place * PAGE, PAGE,
				     rwx));
	}
}

static uint64_t unmap_many(axas_t *where)
{
	told = 0;
	MUST(axas_unmap(where, BASE, MANY * PAGE));
	must(told == (where == telling ? MANY * PAGE : 0), "every page is released");
	return MANY;
}

static void prepare_unmap_contiguous(void)
{
	map_many(space, 1);
}

static uint64_t count_unmap_contiguous(void)
{
	return unmap_many(space);
}

static void prepare_unmap_contiguous_released(void)
{
	map_many(telling, 1);
}

static uint64_t count_unmap_contiguous_released(void)
{
	return unmap_many(telling);
}

static void prepare_unmap_scattered(void)
{
	map_many(space, 0);
}

static uint64_t count_unmap_scattered(void)
{
	return unmap_many(space);
}

static void prepare_unmap_scattered_released(void)
{
	map_many(telling, 0);
}

static uint64_t count_unmap_scattered_released(void)
{
	return unmap_many(telling);
}

/* A space of its own, for which RISC-V is told that it has bits for tags. */
static void prepare_retag(void)
{
	axas_config_t with = config;

	if (config.format == AXAS_FORMAT_RISCV_GSTAGE)
		with.features |= AXAS_FEATURE_RISCV_SVRSW60T59B;
	MUST(axas_create(&with, &hal, &tagging));
	MUST(axas_map_linear(tagging, BASE, 8 * GIB + PAGE, PAGES * PAGE, rwx | AXAS_NO_HUGE));
}

static uint64_t count_retag(void)
{
	MUST(axas_retag(tagging, BASE, PAGES * PAGE, 1));
	return PAGES;
}

/* 64 GiB in pages of 2 MiB, hidden at once, and the first access to one of them. */
static void prepare_hide_64g(void)
{
	MUST(axas_create(&config, &hal, &hiding));
	MUST(axas_map_linear(hiding, 64 * GIB, 64 * GIB, 64 * GIB, rwx | AXAS_MAX_2M));
}

static uint64_t count_hide_64g(void)
{
	MUST(axas_hide(hiding, 0, config.size, AXAS_HIDE_AUTO));
	return 1;
}

static uint64_t count_fault_in_hidden_64g(void)
{
	must(axas_handle_page_fault(hiding, 64 * GIB, AXAS_READ) == AXAS_FAULT_RESOLVED, "shown");
	return 1;
}

/* A space whose hardware sets accessed and dirty bits, if it is told that. */
static axas_t *logged;
static uint64_t bitmap[PAGES / 64];

static void prepare_dirty_get(void)
{
	static const uint32_t features[] = { 0, AXAS_FEATURE_EPT_AD, 0, AXAS_FEATURE_ARM_HAFDBS,
					     AXAS_FEATURE_RISCV_SVADU };
	axas_config_t with = config;

	with.features |= features[config.format];
	MUST(axas_create(&with, &hal, &logged));
	MUST(axas_map_linear(logged, BASE, 8 * GIB + PAGE, PAGES * PAGE, rwx | AXAS_NO_HUGE));
	MUST(axas_dirty_start(logged, BASE, PAGE,
			      AXAS_DIRTY_ALL | (config.format == AXAS_FORMAT_RISCV_GSTAGE ?
							AXAS_DIRTY_HARDWARE :
							0u)));
}

static uint64_t count_dirty_get(void)
{
	uint64_t count;

	MUST(axas_dirty_get(logged, BASE, PAGES * PAGE, bitmap, PAGES, &count));
	must(count == PAGES, "all are dirty");
	return PAGES;
}

static uint64_t clear_all(void)
{
	MUST(axas_dirty_clear(logged, BASE, PAGES * PAGE, bitmap, PAGES, 0));
	return PAGES;
}

/* By write faults; on RISC-V, as the next. */
static uint64_t count_dirty_clear(void)
{
	return clear_all();
}

static uint64_t count_dirty_get_clean(void)
{
	uint64_t count;

	MUST(axas_dirty_get(logged, BASE, PAGES * PAGE, bitmap, PAGES, &count));
	must(count == 0, "all are clean");
	return PAGES;
}

static uint64_t count_dirty_fault(void)
{
	for (uint64_t call = 0; call < CALLS; call++)
		must(axas_handle_page_fault(logged, BASE + call * PAGE, AXAS_WRITE) ==
			     AXAS_FAULT_RESOLVED,
		     "a write is logged");
	return CALLS;
}

static void prepare_dirty_clear_hardware(void)
{
	MUST(axas_dirty_stop(logged, 0, config.size));
	MUST(axas_dirty_start(logged, BASE, PAGE, AXAS_DIRTY_ALL | AXAS_DIRTY_HARDWARE));
}

static uint64_t count_dirty_clear_hardware(void)
{
	return clear_all();
}

static uint64_t count_age_hot(void)
{
	uint64_t young;

	MUST(axas_age(logged, BASE, PAGES * PAGE, bitmap, PAGES, 0, &young));
	must(young == PAGES, "all are young");
	return PAGES;
}

static uint64_t count_age_old(void)
{
	uint64_t young;

	MUST(axas_age(logged, BASE, PAGES * PAGE, bitmap, PAGES, 0, &young));
	must(young == 0, "all are old");
	return PAGES;
}

/* A GiB of small pages that nobody used for three rounds. */
static void prepare_age_cold_gib(void)
{
	uint64_t young;

	MUST(axas_map_linear(logged, 8 * GIB, 8 * GIB + PAGE, GIB, rwx | AXAS_NO_HUGE));
	for (int round = 0; round < 3; round++)
		MUST(axas_age(logged, 8 * GIB, GIB, NULL, 0, 0, &young));
}

static uint64_t count_age_cold_gib(void)
{
	uint64_t young;

	MUST(axas_age(logged, 8 * GIB, GIB, NULL, 0, 0, &young));
	must(young == 0, "all are old");
	return 1;
}

static uint64_t count_create_and_destroy(void)
{
	axas_t *other;

	MUST(axas_create(&config, &hal, &other));
	axas_destroy(other);
	return 1;
}

/* Half of the pages, so that tables are there. */
static void prepare_fault_now(void)
{
	hal.resolve = resolve;
	MUST(axas_create(&config, &hal, &provided));
	hal.resolve = NULL;
	MUST(axas_map_provider(provided, BASE, PAGES * PAGE, rwx, 1));
	for (uint64_t page = 0; page < PAGES; page += 2)
		MUST(axas_supply(provided, BASE + page * PAGE, 8 * GIB, PAGE, rwx,
				 AXAS_RESOLVE_NOW));
	how = AXAS_RESOLVE_NOW;
}

static uint64_t count_fault_now(void)
{
	for (uint64_t page = 1; page < PAGES / 2; page += 2)
		must(axas_handle_page_fault(provided, BASE + page * PAGE, AXAS_WRITE) ==
			     AXAS_FAULT_RESOLVED,
		     "the page is there now");
	return PAGES / 4;
}

static uint64_t count_fault_wait(void)
{
	how = AXAS_RESOLVE_LATER;
	for (uint64_t page = PAGES / 2 + 1; page < PAGES; page += 2)
		must(axas_handle_page_fault(provided, BASE + page * PAGE, AXAS_WRITE) ==
			     AXAS_FAULT_WAIT,
		     "the page comes later");
	return PAGES / 4;
}

static uint64_t count_supply(void)
{
	for (uint64_t page = PAGES / 2 + 1; page < PAGES; page += 2)
		MUST(axas_supply(provided, BASE + page * PAGE, 8 * GIB, PAGE, rwx,
				 AXAS_RESOLVE_NOW));
	return PAGES / 4;
}

static uint64_t count_evict(void)
{
	MUST(axas_evict(provided, BASE, PAGES * PAGE, 1));
	axas_destroy(provided);
	return PAGES;
}

#define LENT (BASE + 64 * GIB)

static axas_t *taker;

/* What is lent one page at a time, in tables that are there; and 8 times 512 pages, without tables. */
static void prepare_transfer_lend_one_page(void)
{
	MUST(axas_create(&config, &hal, &taker));
	MUST(axas_map_linear(taker, LENT + 511 * PAGE, 8 * GIB, PAGE, rwx));
	MUST(axas_map_linear(space, LENT, 8 * GIB + PAGE, 9 * 512 * PAGE, rwx | AXAS_NO_HUGE));
}

static uint64_t transfer_each(uint32_t action, axas_gpa_t from, uint64_t calls, uint64_t pages)
{
	const axas_transfer_t deal = { .struct_size = sizeof(deal),
				       .action = action,
				       .to_flags = action == AXAS_LEND ? rwx : 0 };

	for (uint64_t call = 0; call < calls; call++, from += pages * PAGE)
		MUST(axas_transfer(space, from, taker, from, pages * PAGE, &deal));
	return calls * pages;
}

static uint64_t count_transfer_lend_one_page(void)
{
	return transfer_each(AXAS_LEND, LENT, CALLS, 1);
}

static uint64_t count_transfer_take_back_one_page(void)
{
	return transfer_each(AXAS_TAKE_BACK, LENT, CALLS, 1);
}

static uint64_t count_transfer_lend_512_pages(void)
{
	return transfer_each(AXAS_LEND, LENT + 512 * PAGE, 8, 512);
}

static uint64_t count_transfer_take_back_512_pages(void)
{
	const uint64_t pages = transfer_each(AXAS_TAKE_BACK, LENT + 512 * PAGE, 8, 512);

	axas_destroy(taker);
	return pages;
}

/* In the order in which they leave the space as the next one wants it. */
static const struct {
	const char *name;
	void (*prepare)(void);
	uint64_t (*count)(void);
	uint32_t part; /* that the archive must have, or 0 */
} pieces[] = {
#define PIECE(name)                          \
	{                                    \
#name, NULL, count_##name, 0 \
	}
#define PREPARED(name)                                 \
	{                                              \
#name, prepare_##name, count_##name, 0 \
	}
#define PART(name, prepare, part)                              \
	{                                                      \
#name, prepare, count_##name, AXAS_PART_##part \
	}
	PREPARED(map),
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
	PREPARED(pair_with_kept_tables),
	PREPARED(replace_linear_page),
	PREPARED(replace_lone_page),
	PREPARED(replace_owned_page),
	PREPARED(reserve),
	PIECE(fault),
	PIECE(read_4k),
	PIECE(read_u64),
	PIECE(unmap_lazy),
	PIECE(reserve_64g_aligned),
	PIECE(give_back_64g_aligned),
	PIECE(reserve_64g_unaligned),
	PIECE(give_back_64g_unaligned),
	PREPARED(unmap_contiguous),
	PREPARED(unmap_contiguous_released),
	PREPARED(unmap_scattered),
	PREPARED(unmap_scattered_released),
	PART(retag, prepare_retag, TAGS),
	PART(hide_64g, prepare_hide_64g, HIDE),
	PART(fault_in_hidden_64g, NULL, HIDE),
	PART(dirty_get, prepare_dirty_get, DIRTY),
	PART(dirty_clear, NULL, DIRTY),
	PART(dirty_get_clean, NULL, DIRTY),
	PART(dirty_fault, NULL, DIRTY),
	PART(dirty_clear_hardware, prepare_dirty_clear_hardware, DIRTY),
	PART(age_hot, NULL, AGE),
	PART(age_old, NULL, AGE),
	PART(age_cold_gib, prepare_age_cold_gib, AGE),
	PIECE(create_and_destroy),
	PART(fault_now, prepare_fault_now, PROVIDER),
	PART(fault_wait, NULL, PROVIDER),
	PART(supply, NULL, PROVIDER),
	PART(evict, NULL, PROVIDER),
	PART(transfer_lend_one_page, prepare_transfer_lend_one_page, TRANSFER),
	PART(transfer_take_back_one_page, NULL, TRANSFER),
	PART(transfer_lend_512_pages, NULL, TRANSFER),
	PART(transfer_take_back_512_pages, NULL, TRANSFER),
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
	for (size_t piece = 0; piece < sizeof(pieces) / sizeof(pieces[0]); piece++) {
		uint64_t times;

		if (pieces[piece].part & ~axas_parts())
			continue;
		if (pieces[piece].prepare)
			pieces[piece].prepare();
		times = pieces[piece].count();
		printf("%s %" PRIu64 "\n", pieces[piece].name, times);
	}
	axas_destroy(telling);
	if (hiding)
		axas_destroy(hiding);
	if (tagging)
		axas_destroy(tagging);
	axas_destroy(logged);
	if (keeping)
		axas_destroy(keeping);
	axas_destroy(space);
	free(memory);
	return 0;
}
