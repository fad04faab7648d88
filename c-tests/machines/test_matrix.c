/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Every kind of memory, every permission, every page size, every access, three places each. */
#include <stddef.h>

#include "suite.h"

#define GPA_AREA GIB(64)
#define PLACES   3

static const uint64_t ops[] = { OP_READ, OP_WRITE, OP_EXECUTE, OP_ATOMIC };
#define OP_COUNT (sizeof(ops) / sizeof(ops[0]))

/* Room for the sample at the end of a page. */
#define LAST_IN_PAGE (PAGE - 16)

static void linear_area(const char *what, axas_flags_t flags, uint64_t gpa, uint64_t hpa,
			uint64_t first, uint64_t bytes)
{
	const uint64_t places[PLACES] = { first, first + bytes / 2 + 8 * 5,
					  first + bytes - PAGE + LAST_IN_PAGE };

	for (size_t i = 0; i < OP_COUNT; i++) {
		for (size_t j = 0; j < PLACES; j++)
			subtest_memory(what, ops[i], gpa + places[j], hpa + places[j],
				       on_entry(ops[i], flags));
	}
}

static void linear_with(axas_flags_t flags)
{
	uint64_t hpa = linear_hpa(0);
	uint64_t in_gib = hpa & (GIB(1) - 1);
	axas_stats_t stats;

	must("map 4 KiB pages",
	     axas_map_linear(space, GPA_AREA, hpa, MIB(2), flags | AXAS_NO_HUGE));
	must("stats", axas_stats(space, &stats));
	check("512 leaves of 4 KiB, code and mailbox", stats.mapped_4k >= 514, 1);
	linear_area("linear, 4 KiB", flags, GPA_AREA, hpa, 0, MIB(2));
	must("unmap 4 KiB pages", axas_unmap(space, GPA_AREA, MIB(2)));

	must("map 2 MiB pages", axas_map_linear(space, GPA_AREA, hpa, MIB(4), flags));
	must("stats", axas_stats(space, &stats));
	check("two leaves of 2 MiB", stats.mapped_2m, 2);
	linear_area("linear, 2 MiB", flags, GPA_AREA, hpa, 0, MIB(4));
	must("unmap 2 MiB pages", axas_unmap(space, GPA_AREA, MIB(4)));

	must("map a 1 GiB page", axas_map_linear(space, GPA_AREA, hpa - in_gib, GIB(1), flags));
	must("stats", axas_stats(space, &stats));
	check("one leaf of 1 GiB", stats.mapped_1g, 1);
	linear_area("linear, 1 GiB", flags, GPA_AREA, hpa - in_gib, in_gib, MIB(4));
	must("unmap a 1 GiB page", axas_unmap(space, GPA_AREA, GIB(1)));
}

static void plant_where_it_faulted(const axas_fault_t *fault)
{
	axas_hpa_t hpa;
	uint64_t run;

	if (fault->access != X)
		return;
	must("translate what was resolved", axas_translate(space, fault->gpa, &hpa, &run));
	plant_sample(hpa);
}

/* A lazy page faults once, is zero, and never faults again for what it allows. */
static void lazy_page(const char *what, uint64_t op, axas_flags_t flags, uint64_t gpa)
{
	uint64_t value = op == OP_EXECUTE ? SAMPLE_VALUE : 0;

	if (!is_allowed(op, flags)) {
		/* Two instructions on some machines, of which the first is allowed. */
		if (op != OP_ATOMIC || (layer.atomic_absent & W))
			subtest(what, op, gpa, 0, EXPECT_REFUSED);
		return;
	}
	subtest(what, op, gpa, op == OP_WRITE ? 0x77 : value, EXPECT_RESOLVED);
	if (op == OP_WRITE)
		value = 0x77;
	subtest(what, op, gpa, value, EXPECT_VALUE);
	if (op != OP_EXECUTE)
		subtest(what, OP_READ, gpa, value, EXPECT_VALUE);
}

static void lazy_with(axas_flags_t flags)
{
	const uint64_t places[PLACES] = { 0, MIB(32) + LAST_IN_PAGE - 8,
					  MIB(64) - PAGE + LAST_IN_PAGE };

	after_fault = plant_where_it_faulted;
	for (size_t i = 0; i < OP_COUNT; i++) {
		must("reserve", axas_map_alloc(space, GPA_AREA, MIB(64), flags));
		for (size_t j = 0; j < PLACES; j++)
			lazy_page("lazy, 4 KiB frames", ops[i], flags, GPA_AREA + places[j]);
		must("unreserve", axas_unmap(space, GPA_AREA, MIB(64)));
	}
	after_fault = NULL;
}

/* One fault brings all of the huge frame, zero from end to end. */
static void lazy_huge(void)
{
	axas_stats_t stats;

	must("reserve", axas_map_alloc(space, GPA_AREA, MIB(4), RW | AXAS_HUGE_FRAMES));
	subtest("lazy, huge frames, first access", OP_READ, GPA_AREA + MIB(1), 0, EXPECT_RESOLVED);
	subtest("lazy, huge frames, first page", OP_READ, GPA_AREA, 0, EXPECT_VALUE);
	subtest("lazy, huge frames, last word", OP_READ, GPA_AREA + MIB(2) - 8, 0, EXPECT_VALUE);
	subtest("lazy, huge frames, write", OP_WRITE, GPA_AREA + KIB(64), 9, EXPECT_VALUE);
	subtest("lazy, huge frames, execute", OP_EXECUTE, GPA_AREA, 0, EXPECT_DENIED);
	subtest("lazy, huge frames, next frame", OP_WRITE, GPA_AREA + MIB(4) - 8, 1,
		EXPECT_RESOLVED);
	must("stats", axas_stats(space, &stats));
	check("two leaves of 2 MiB", stats.mapped_2m, 2);
	must("unreserve", axas_unmap(space, GPA_AREA, MIB(4)));
}

static void populated_with(axas_flags_t flags, axas_flags_t option)
{
	const uint64_t places[PLACES] = { 0, MIB(1) + 40, MIB(2) - PAGE + LAST_IN_PAGE };

	must("populate", axas_map_alloc(space, GPA_AREA, MIB(2), flags | option | AXAS_POPULATE));
	for (size_t i = 0; i < OP_COUNT; i++) {
		for (size_t j = 0; j < PLACES; j++) {
			axas_hpa_t hpa = 0;
			uint64_t run;

			must("translate", axas_translate(space, GPA_AREA + places[j], &hpa, &run));
			subtest_memory("populated", ops[i], GPA_AREA + places[j], hpa,
				       on_entry(ops[i], flags));
		}
	}
	must("unmap", axas_unmap(space, GPA_AREA, MIB(2)));
}

static void nothing_there(void)
{
	static const uint64_t sizes[] = { KIB(4), MIB(2), GIB(1) };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		const uint64_t places[PLACES] = { 0, sizes[i] / 2 + 64, sizes[i] - 16 };

		must("trap", axas_map_trap(space, GPA_AREA, sizes[i], 0xc00c1e));
		for (size_t j = 0; j < OP_COUNT * PLACES; j++)
			subtest("trapped", ops[j / PLACES], GPA_AREA + places[j % PLACES], 0,
				EXPECT_TRAP);
		must("untrap", axas_unmap(space, GPA_AREA, sizes[i]));
		for (size_t j = 0; j < OP_COUNT * PLACES; j++)
			subtest("absent", ops[j / PLACES], GPA_AREA + places[j % PLACES], 0,
				EXPECT_UNMAPPED);
	}
}

void test_matrix(void)
{
	group("access matrix");
	space_open_full();
	for (axas_flags_t flags = 1; flags <= RWX; flags++) {
		if (layer_expected_status(flags, layer.features) != AXAS_OK)
			continue;
		linear_with(flags);
		if (!(flags & R))
			continue;
		lazy_with(flags);
		populated_with(flags, 0);
		populated_with(flags, AXAS_HUGE_FRAMES);
	}
	lazy_huge();
	nothing_there();
	space_close();
}
