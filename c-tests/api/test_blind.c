/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A host that cannot reach one of its own frames for a moment. */
#include "fixture.h"

#define AT         (4 * GIB)
#define MOST_LOOKS 400u

static int setup_silent_host(void **state)
{
	struct fixture *f;

	setup_callback_host(state);
	f = *state;
	f->host.hal.released = NULL;
	return 0;
}

static axas_status_t replace_two_pages(axas_t *as)
{
	return axas_map_linear(as, AT + GIB - PAGE, LINEAR_HPA + 8 * GIB + PAGE, 2 * PAGE,
			       RW | AXAS_REPLACE);
}

static axas_status_t replace_a_hole(axas_t *as)
{
	return axas_map_linear(as, AT + 8 * GIB, LINEAR_HPA + 8 * GIB, 2 * PAGE, RW | AXAS_REPLACE);
}

static axas_status_t map_scattered(axas_t *as)
{
	const axas_extent_t extents[] = {
		{ LINEAR_HPA + 9 * PAGE, 2 * MIB },
		{ LINEAR_HPA + GIB, 2 * MIB },
		{ LINEAR_HPA + 3 * PAGE, PAGE },
	};

	return axas_map_extents(as, 8 * GIB - 3 * MIB, extents, 3, RW);
}

static axas_status_t unmap_one_page(axas_t *as)
{
	return axas_unmap(as, AT + GIB - PAGE, PAGE);
}

/* Tables that are out, the handle left aside, are those that hang below the root, and are counted. */
static void expect_no_table_lost(const struct fixture *f)
{
	const struct walker w = space_walker(f->as);
	struct sweep s;

	walker_sweep(&w, &s);
	assert_int_equal(f->host.tables_out - 1, s.table_frames);
	assert_int_equal(stats(f).table_frames, s.table_frames);
	assert_ok(axas_audit(f->as));
}

/* One look at a frame after the other fails, until the call needs no more of them. */
static void blind_at_each_look(struct fixture *f, axas_status_t (*call)(axas_t *))
{
	uint64_t left = 0;

	f->host.quick = 1;
	for (uint64_t look = 1; left == 0; look++) {
		assert_in_range(look, 1, MOST_LOOKS);
		fixture_create(f);
		assert_ok(axas_map_linear(f->as, AT + GIB - 2 * PAGE, LINEAR_HPA, 4 * PAGE, RW));
		f->host.blind_at = look;
		(void)call(f->as);
		left = f->host.blind_at;
		f->host.blind_at = 0;
		expect_no_table_lost(f);
		fixture_destroy(f);
	}
}

static void a_replace_loses_no_table(void **state)
{
	FIXTURE(f);

	blind_at_each_look(f, replace_two_pages);
}

static void a_replace_of_a_hole_loses_no_table(void **state)
{
	FIXTURE(f);

	blind_at_each_look(f, replace_a_hole);
}

static void a_map_at_its_quota_loses_no_table(void **state)
{
	FIXTURE(f);

	f->cfg.table_quota = (1u << f->fc->root_order) + 6;
	blind_at_each_look(f, map_scattered);
}

static void an_unmap_of_one_page_loses_no_table(void **state)
{
	FIXTURE(f);

	blind_at_each_look(f, unmap_one_page);
}

#define BLIND(test, fmt)                                                            \
	{                                                                           \
#test " [" #fmt "]", test, setup_silent_host, teardown, &fmt##_case \
	}
#define EACH_FORMAT_BLIND(test) \
	BLIND(test, ept), BLIND(test, npt), BLIND(test, arm), BLIND(test, riscv)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT_BLIND(a_replace_loses_no_table),
		EACH_FORMAT_BLIND(a_replace_of_a_hole_loses_no_table),
		EACH_FORMAT_BLIND(a_map_at_its_quota_loses_no_table),
		EACH_FORMAT_BLIND(an_unmap_of_one_page_loses_no_table),
	};

	return cmocka_run_group_tests_name("blind", tests, NULL, NULL);
}
