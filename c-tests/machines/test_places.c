/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Edges: of pages, of areas, of the space, of the format's width. */
#include <stddef.h>

#include "suite.h"

#define GPA_AREA GIB(8)

/* A load across two pages; the fault, where one is due, is the second page's. */
static void straddle(const char *what, uint64_t op, uint64_t gpa, uint32_t faults, uint32_t done)
{
	struct outcome outcome;

	guest_access(guest, op, gpa, 0x1122334455667788, &outcome);
	check(what, outcome.done, done);
	check(what, outcome.faults, faults);
	if (faults > 0)
		check(what, outcome.last.gpa & ~(PAGE - 1), (gpa + 8) & ~(PAGE - 1));
}

static void across_pages(void)
{
	const axas_extent_t scattered[] = { { linear_hpa(PAGE * 9), PAGE },
					    { linear_hpa(PAGE * 3), PAGE } };
	uint64_t edge = GPA_AREA + PAGE;

	must("scattered", axas_map_extents(space, GPA_AREA, scattered, 2, RW));
	write_host(linear_hpa(PAGE * 10 - 8), 0x4433221100000000);
	write_host(linear_hpa(PAGE * 3), 0x88776655);
	subtest("a load takes both halves from where they are", OP_READ, edge - 4,
		0x8877665544332211, EXPECT_VALUE);
	straddle("a store goes to both frames", OP_WRITE, edge - 4, 0, 1);
	check("low half", read_host(linear_hpa(PAGE * 10 - 8)) >> 32, 0x55667788);
	check("high half", read_host(linear_hpa(PAGE * 3)) & 0xffffffff, 0x11223344);

	must("the second page goes", axas_unmap(space, edge, PAGE));
	straddle("a load runs into a hole", OP_READ, edge - 4, 1, 0);
	must("a trap", axas_map_trap(space, edge, PAGE, 1));
	straddle("a load runs into a trap", OP_READ, edge - 4, 1, 0);
	must("no trap", axas_unmap(space, edge, PAGE));
	must("read only", axas_map_linear(space, edge, linear_hpa(0), PAGE, R));
	straddle("a store runs into a read-only page", OP_WRITE, edge - 4, 1, 0);
	straddle("a load does not", OP_READ, edge - 4, 0, 1);
	must("no area", axas_unmap(space, GPA_AREA, PAGE * 2));

	must("lazy", axas_map_alloc(space, GPA_AREA, PAGE * 2, RW));
	straddle("a store across two lazy pages brings both", OP_WRITE, edge - 4, 2, 1);
	subtest("and is there", OP_READ, edge - 4, 0x1122334455667788, EXPECT_VALUE);
	must("no area", axas_unmap(space, GPA_AREA, PAGE * 2));
}

/* Five areas side by side, each different from its neighbours: the last and the first word. */
static void across_areas(void)
{
	struct {
		uint64_t op;
		enum expected expected;
	} areas[] = {
		{ OP_READ, EXPECT_VALUE },     { OP_READ, EXPECT_TRAP },
		{ OP_WRITE, EXPECT_RESOLVED }, { OP_WRITE, EXPECT_DENIED },
		{ OP_READ, EXPECT_UNMAPPED },
	};
	uint64_t size = MIB(2) + PAGE;

	must("linear", axas_map_linear(space, GPA_AREA, linear_hpa(0), size, RW));
	must("trap", axas_map_trap(space, GPA_AREA + size, size, 2));
	must("lazy", axas_map_alloc(space, GPA_AREA + size * 2, size, RW));
	must("read only", axas_map_linear(space, GPA_AREA + size * 3, linear_hpa(0), size, R));
	write_host(linear_hpa(0), 3);
	write_host(linear_hpa(size - 8), 3);
	for (size_t i = 0; i < sizeof(areas) / sizeof(areas[0]); i++) {
		subtest("first word of an area", areas[i].op, GPA_AREA + size * i, 3,
			areas[i].expected);
		subtest("last word of an area", areas[i].op, GPA_AREA + size * (i + 1) - 8, 3,
			areas[i].expected);
	}
	subtest("first word of the lazy area, later", OP_READ, GPA_AREA + size * 2, 3,
		EXPECT_VALUE);
	subtest("the word before all", OP_READ, GPA_AREA - 8, 0, EXPECT_UNMAPPED);
	must("no areas", axas_unmap(space, GPA_AREA, size * 4));
}

/* Above this, code and mailbox are out of the way; below, single pages are. */
#define FIRST_POWER 30

/*
 * A page at each power of two and the one before it: every index of every level changes somewhere,
 * and an index that is masked makes two of them one.
 */
static void powers_of_two(void)
{
	uint32_t count = 0;

	for (uint64_t edge = UINT64_C(1) << FIRST_POWER; edge < layer.reach; edge <<= 1) {
		uint64_t size = edge * 2 > layer.reach ? PAGE : PAGE * 2;

		must("a page on both sides", axas_map_alloc(space, edge - PAGE, size, RW));
		subtest("below a power of two", OP_WRITE, edge - 8, edge - 8, EXPECT_RESOLVED);
		subtest("at a power of two", OP_WRITE, edge, edge, EXPECT_RESOLVED);
		count++;
	}
	for (uint64_t edge = UINT64_C(1) << FIRST_POWER; edge < layer.reach; edge <<= 1) {
		subtest("still there below", OP_READ, edge - 8, edge - 8, EXPECT_VALUE);
		subtest("still there at", OP_READ, edge, edge, EXPECT_VALUE);
		subtest("nothing behind", OP_READ, edge + PAGE, 0, EXPECT_UNMAPPED);
	}
	check("the width has that many powers", count > 8, 1);
}

static void ends_of_the_width(void)
{
	uint64_t last = layer.reach - PAGE;
	axas_mapping_t mapping;

	must("the first page", axas_map_linear(space, 0, linear_hpa(0), PAGE, RWX));
	subtest_memory("the first word there is", OP_READ, 0, linear_hpa(0), EXPECT_VALUE);
	subtest_memory("code at address zero", OP_EXECUTE, 0, linear_hpa(0), EXPECT_VALUE);
	must("the last page", axas_map_alloc(space, last, PAGE, RW));
	subtest("the last word there is", OP_WRITE, layer.reach - 8, 4, EXPECT_RESOLVED);
	subtest("the last page", OP_READ, last, 0, EXPECT_VALUE);
	subtest("the page before", OP_READ, last - 8, 0, EXPECT_UNMAPPED);
	if (layer.reach == layer.space_size)
		return;
	/* The emulator takes no access here: the library's own word is all there is. */
	last = layer.space_size - PAGE;
	must("the very last page", axas_map_alloc(space, last, PAGE, RW));
	check("a fault there is resolved", axas_handle_page_fault(space, last, W),
	      AXAS_FAULT_RESOLVED);
	must("query", axas_query(space, last, &mapping));
	check("it is owned", mapping.state, AXAS_STATE_OWNED);
}

static void ends_of_a_small_space(void)
{
	uint64_t size = MIB(512) + PAGE;

	space_open(size, layer.features, 0, FLUSH_BUILTIN);
	must("lazy up to the end", axas_map_alloc(space, size - MIB(4), MIB(4), RW));
	subtest("last word of the space", OP_WRITE, size - 8, 1, EXPECT_RESOLVED);
	subtest("first word behind the space", OP_READ, size, 0, EXPECT_UNMAPPED);
	subtest("far behind the space", OP_WRITE, MIB(1023), 0, EXPECT_UNMAPPED);
	check("nothing can be mapped there", (uint32_t)axas_map_alloc(space, size, PAGE, RW),
	      (uint32_t)AXAS_ERR_INVALID_INPUT);
	space_close();
}

void test_places(void)
{
	group("edges");
	space_open_full();
	across_pages();
	across_areas();
	powers_of_two();
	ends_of_the_width();
	space_close();
	ends_of_a_small_space();
}
