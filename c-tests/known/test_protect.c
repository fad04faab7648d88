/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A protect that asks for what is there already. */
#include "known.h"

static void expect_nothing_done(const struct fixture *f, const axas_stats_t *before,
				uint64_t allocations, const char *otherwise)
{
	const axas_stats_t now = stats(f);

	assert_right(f->host.allocations == allocations, otherwise);
	assert_right(f->host.flushes == 0, otherwise);
	assert_right(now.table_frames == before->table_frames, otherwise);
	assert_right(now.mapped_2m == before->mapped_2m, otherwise);
	assert_right(now.mapped_1g == before->mapped_1g, otherwise);
}

static void a_part_keeps_its_large_page(void **state)
{
	FIXTURE(f);
	axas_stats_t before;
	uint64_t allocations;

	assert_ok(axas_map_linear(f->as, 2 * GIB, LINEAR_HPA, GIB, RW));
	assert_ok(axas_map_linear(f->as, 4 * GIB, LINEAR_HPA + 2 * GIB, 2 * MIB, RX));
	assert_ok(axas_map_alloc(f->as, 6 * GIB, 2 * MIB, RW | AXAS_HUGE_FRAMES | AXAS_POPULATE));
	before = stats(f);
	assert_int_equal(before.mapped_1g, 1);
	assert_int_equal(before.mapped_2m, 2);
	allocations = f->host.allocations;
	host_forget_log(&f->host);
	assert_ok(axas_protect(f->as, 2 * GIB + 5 * MIB, 7 * PAGE, RW));
	assert_ok(axas_protect(f->as, 4 * GIB + PAGE, PAGE, RX));
	assert_ok(axas_protect(f->as, 6 * GIB, PAGE, RW));
	expect_nothing_done(f, &before, allocations, "a large page was cut for nothing");
}

static void a_part_keeps_its_reservation(void **state)
{
	FIXTURE(f);
	axas_stats_t before;
	uint64_t allocations;

	assert_ok(axas_map_alloc(f->as, 2 * GIB, 2 * GIB, RW));
	before = stats(f);
	allocations = f->host.allocations;
	host_forget_log(&f->host);
	assert_ok(axas_protect(f->as, 2 * GIB + 5 * MIB, 7 * PAGE, RW));
	expect_nothing_done(f, &before, allocations, "a reservation was cut for nothing");
}

static const struct CMUnitTest tests[] = {
	EACH_FORMAT(a_part_keeps_its_large_page),
	EACH_FORMAT(a_part_keeps_its_reservation),
};

KNOWN_MAIN(tests)
