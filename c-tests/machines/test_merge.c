/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A guest on the second CPU reads and writes throughout, while this one cuts its memory into small pages and merges them
 * again: pages of the host's where they are, scattered ones of the library's by copy. No word is lost. In an archive
 * that has the part.
 */
#include <stddef.h>

#include "suite.h"

#define GPA_AREA GIB(6)
#define LARGE    MIB(2)
#define ROUNDS   24u
/* Words that the guest writes between two changes. */
#define WRITTEN  50u

#pragma weak axas_merge

/* All of a large page becomes small, by a permission that one page has for a moment. */
static void cut(uint64_t gpa)
{
	must("cut", axas_protect(space, gpa + random_below(LARGE / PAGE) * PAGE, PAGE, RWX));
	must("as before", axas_protect(space, gpa, LARGE, RW));
}

static uint64_t merge(axas_flags_t flags)
{
	uint64_t merged = 0;

	must("merge", axas_merge(space, GPA_AREA, SCATTERED, AXAS_MAX_2M | flags, &merged));
	return merged;
}

static void check_sizes(const char *what, uint64_t small, uint64_t large)
{
	axas_mapping_t run;
	uint64_t found[2] = { 0, 0 };

	for (uint64_t at = 0; at < SCATTERED; at += run.size) {
		must("query", axas_query(space, GPA_AREA + at, &run));
		if (run.size != PAGE && run.size != LARGE)
			break;
		found[run.size == LARGE]++;
	}
	check(what, found[0], small);
	check(what, found[1], large);
}

static void cut_and_merge(uint32_t rounds)
{
	for (uint32_t round = 0; round < rounds; round++) {
		cut(GPA_AREA + round % 2 * LARGE);
		check("the guest goes on in small pages", scatter_goes_on(WRITTEN), 1);
		check("a table goes", merge(0), 1);
		check("the guest goes on in large ones", scatter_goes_on(WRITTEN), 1);
	}
	check_sizes("all is large again", 0, SCATTERED / LARGE);
}

static void finish(void)
{
	(void)scatter_stop();
	check("no word is lost", scatter_lost(), 0);
	must("audit", axas_audit(space));
	space_close();
}

static void linear(enum flush_by flush)
{
	space_open(layer.space_size, layer.features, 0, flush);
	for (uint64_t at = 0; at < SCATTERED; at += 8)
		write_host(linear_hpa(at), 0);
	must("small pages",
	     axas_map_linear(space, GPA_AREA, linear_hpa(0), SCATTERED, RW | AXAS_NO_HUGE));
	scatter_start(GPA_AREA, SCATTERED);
	check("two tables go", merge(0), SCATTERED / LARGE);
	cut_and_merge(ROUNDS);
	finish();
}

/* Faults bring the pages one by one; what they left is populated, so that all are there. */
static void by_copy(enum flush_by flush)
{
	space_open(layer.space_size, layer.features, 0, flush);
	must("memory", axas_map_alloc(space, GPA_AREA, SCATTERED, RW | AXAS_NO_HUGE));
	scatter_start(GPA_AREA, SCATTERED);
	check("the guest goes on", scatter_goes_on(4 * WRITTEN), 1);
	must("the rest", axas_populate(space, GPA_AREA, SCATTERED));
	check_sizes("all is small", SCATTERED / PAGE, 0);
	check("nothing is in sequence", merge(0), 0);
	check("two tables go by copy", merge(AXAS_MERGE_COPY), SCATTERED / LARGE);
	check("the guest goes on in large pages", scatter_goes_on(WRITTEN), 1);
	check("no frame is too many", pool_frames_out(AXAS_FRAME_GUEST), SCATTERED / PAGE);
	cut_and_merge(ROUNDS / 4);
	finish();
}

void test_merge(void)
{
	if (!(axas_parts() & AXAS_PART_MERGE))
		return;
	group("merge under a running guest");
	linear(FLUSH_HOST);
	by_copy(FLUSH_HOST);
	if (layer.builtin_reaches_all) {
		linear(FLUSH_BUILTIN);
		by_copy(FLUSH_BUILTIN);
	}
}
