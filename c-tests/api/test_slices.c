/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Long work in slices, and how many tables it will take. */
#include "fixture.h"

static uint32_t yields;

static uint32_t always_yield(void *ctx)
{
	(void)ctx;
	yields++;
	return 1;
}

static void a_slice_does_no_more_than_its_budget(void **state)
{
	FIXTURE(f);
	uint64_t done = 7;

	assert_status(AXAS_ERR_AGAIN, axas_map_linear_some(f->as, GIB, LINEAR_HPA, 1000 * PAGE,
							   RW | AXAS_NO_HUGE, 100, &done));
	assert_true(done > 0 && done <= 100 * PAGE);
	assert_int_equal(space_sweep(f->as).leaves[1], done / PAGE);
	assert_ok(axas_map_linear_some(f->as, GIB + done, LINEAR_HPA + done, 1000 * PAGE - done,
				       RW | AXAS_NO_HUGE, 10000, &done));
	assert_int_equal(space_sweep(f->as).leaves[1], 1000);
	assert_status(AXAS_ERR_AGAIN,
		      axas_protect_some(f->as, GIB, 1000 * PAGE, AXAS_READ, 100, &done));
	assert_true(done > 0 && done <= 100 * PAGE);
	assert_int_equal(space_access(at(f, GIB + done - PAGE).flags), AXAS_READ);
	assert_int_equal(space_access(at(f, GIB + done).flags), RW);
	assert_status(AXAS_ERR_AGAIN, axas_unmap_some(f->as, GIB, 1000 * PAGE, 100, &done));
	assert_true(done > 0 && done <= 100 * PAGE);
	assert_int_equal(space_sweep(f->as).leaves[1], 1000 - done / PAGE);
	assert_status(AXAS_ERR_AGAIN, axas_map_alloc_some(f->as, 3 * GIB, 200 * PAGE,
							  RW | AXAS_POPULATE, 10, &done));
	assert_int_equal(f->host.guest_out, done / PAGE);
	assert_true(done > 0 && done <= 10 * PAGE);
}

static void a_budget_of_1_comes_to_the_end(void **state)
{
	FIXTURE(f);
	axas_gpa_t gpa = 0;
	uint64_t done, slices = 0;
	axas_status_t status;

	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, 40 * PAGE, RW));
	assert_ok(axas_map_alloc(f->as, 5 * GIB, 5 * PAGE, RW | AXAS_POPULATE));
	do {
		status = axas_unmap_some(f->as, gpa, SPACE_SIZE - gpa, 1, &done);
		assert_true(status == AXAS_OK || (status == AXAS_ERR_AGAIN && done > 0));
		gpa += done;
	} while (status == AXAS_ERR_AGAIN && ++slices < 10000);
	assert_ok(status);
	assert_int_equal(gpa, SPACE_SIZE);
	assert_true(slices >= 45);
	assert_int_equal(space_sweep(f->as).table_frames, 1u << f->fc->root_order);
}

static void no_budget_and_no_place_for_the_result_are_invalid(void **state)
{
	static const axas_status_t bad = AXAS_ERR_INVALID_INPUT;
	FIXTURE(f);
	uint64_t done = 77;

	assert_ok(axas_map_alloc(f->as, GIB, PAGE, RW));
	assert_status(bad, axas_map_linear_some(f->as, 0, LINEAR_HPA, PAGE, RW, 0, &done));
	assert_int_equal(done, 0);
	assert_status(bad, axas_map_linear_some(f->as, 0, LINEAR_HPA, PAGE, RW, 1, NULL));
	assert_status(bad, axas_map_alloc_some(f->as, 0, PAGE, RW, 0, &done));
	assert_status(bad, axas_map_alloc_some(f->as, 0, PAGE, RW, 1, NULL));
	assert_status(bad, axas_unmap_some(f->as, GIB, PAGE, 0, &done));
	assert_status(bad, axas_unmap_some(f->as, GIB, PAGE, 1, NULL));
	assert_status(bad, axas_protect_some(f->as, GIB, PAGE, RW, 0, &done));
	assert_status(bad, axas_protect_some(f->as, GIB, PAGE, RW, 1, NULL));
	assert_status(bad, axas_populate_some(f->as, GIB, PAGE, 0, &done));
	assert_status(bad, axas_populate_some(f->as, GIB, PAGE, 1, NULL));
	assert_status(bad, axas_discard_some(f->as, GIB, PAGE, 0, &done));
	assert_status(bad, axas_discard_some(f->as, GIB, PAGE, 1, NULL));
	assert_status(bad, axas_unmap_some(NULL, GIB, PAGE, 1, &done));
	assert_int_equal(done, 0);
	expect_state(f, GIB, AXAS_STATE_RESERVED);
}

static void an_error_leaves_what_it_says_is_done(void **state)
{
	FIXTURE(f);
	uint64_t done = 77;

	assert_ok(axas_map_alloc(f->as, GIB, 10 * PAGE, RW));
	assert_status(AXAS_ERR_ALREADY_EXISTS,
		      axas_map_linear_some(f->as, GIB - PAGE, LINEAR_HPA, 2 * PAGE, RW, 1, &done));
	assert_int_equal(done, 0);
	expect_state(f, GIB - PAGE, AXAS_STATE_ABSENT);
	assert_status(AXAS_ERR_NOT_MAPPED,
		      axas_protect_some(f->as, GIB, 11 * PAGE, AXAS_READ, 1000, &done));
	for (uint64_t at_byte = 0; at_byte < 10 * PAGE; at_byte += PAGE)
		assert_int_equal(space_access(at(f, GIB + at_byte).flags),
				 at_byte < done ? AXAS_READ : RW);
}

static void should_yield_ends_a_slice(void **state)
{
	FIXTURE(f);
	uint64_t done;

	f->host.hal.should_yield = always_yield;
	fixture_create(f);
	yields = 0;
	assert_status(AXAS_ERR_AGAIN, axas_map_linear_some(f->as, GIB, LINEAR_HPA, GIB,
							   RW | AXAS_NO_HUGE, ~0ull, &done));
	assert_true(yields > 0);
	assert_true(done > 0 && done < GIB);
	yields = 0;
	/* plain calls never stop */
	assert_ok(axas_map_linear(f->as, 3 * GIB, LINEAR_HPA, 4 * MIB, RW | AXAS_NO_HUGE));
	assert_int_equal(yields, 0);
}

static void check_need(struct fixture *f, axas_gpa_t gpa, uint64_t size, axas_flags_t flags)
{
	uint64_t frames = 0;

	assert_ok(axas_tables_needed(&f->cfg, gpa, size, flags, &frames));
	if (flags & AXAS_NEED_LAZY)
		assert_ok(axas_map_alloc(f->as, gpa, size, flags & ~(axas_flags_t)AXAS_NEED_LAZY));
	else if (flags & AXAS_POPULATE)
		assert_ok(axas_map_alloc(f->as, gpa, size, flags));
	else
		assert_ok(axas_map_linear(f->as, gpa, LINEAR_HPA + gpa % GIB, size, flags));
	assert_int_equal(space_sweep(f->as).table_frames, frames);
	assert_ok(axas_unmap(f->as, gpa, size));
}

static void tables_needed_is_exact_for_an_empty_space(void **state)
{
	static const struct {
		axas_gpa_t gpa;
		uint64_t size;
	} t[] = {
		{ 0, PAGE },
		{ GIB - PAGE, 2 * PAGE },
		{ GIB - 2 * MIB - PAGE, 3 * GIB + 2 * (2 * MIB + PAGE) },
		{ 2 * MIB, 510 * MIB },
		{ 0, 4 * GIB },
		{ SPACE_SIZE - 3 * MIB, 3 * MIB },
	};
	FIXTURE(f);

	f->host.quick = 1;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		check_need(f, t[i].gpa, t[i].size, RW);
		check_need(f, t[i].gpa, t[i].size, RW | AXAS_MAX_2M);
		check_need(f, t[i].gpa, t[i].size, RW | AXAS_NO_HUGE);
		check_need(f, t[i].gpa, t[i].size, RW | AXAS_NEED_LAZY);
		if (t[i].size <= 4 * MIB)
			check_need(f, t[i].gpa, t[i].size, RW | AXAS_POPULATE);
	}
	f->host.quick = 0;
}

static void tables_needed_refuses_what_create_and_map_refuse(void **state)
{
	static const axas_status_t bad = AXAS_ERR_INVALID_INPUT;
	FIXTURE(f);
	axas_config_t cfg = f->cfg;
	uint64_t frames = 99;

	assert_status(bad, axas_tables_needed(NULL, 0, PAGE, RW, &frames));
	assert_status(bad, axas_tables_needed(&cfg, 0, PAGE, RW, NULL));
	assert_status(bad, axas_tables_needed(&cfg, 1, PAGE, RW, &frames));
	assert_status(bad, axas_tables_needed(&cfg, 0, 0, RW, &frames));
	assert_status(bad, axas_tables_needed(&cfg, SPACE_SIZE, PAGE, RW, &frames));
	assert_status(bad, axas_tables_needed(&cfg, 0, PAGE, RW | 1u << 30, &frames));
	cfg.levels = 9;
	assert_status(AXAS_ERR_UNSUPPORTED, axas_tables_needed(&cfg, 0, PAGE, RW, &frames));
	assert_int_equal(frames, 99);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(a_slice_does_no_more_than_its_budget),
		EACH_FORMAT(a_budget_of_1_comes_to_the_end),
		EACH_FORMAT(no_budget_and_no_place_for_the_result_are_invalid),
		EACH_FORMAT(an_error_leaves_what_it_says_is_done),
		EACH_FORMAT_NO_SPACE(should_yield_ends_a_slice),
		EACH_FORMAT(tables_needed_is_exact_for_an_empty_space),
		EACH_FORMAT_NO_SPACE(tables_needed_refuses_what_create_and_map_refuse),
	};

	return cmocka_run_group_tests_name("slices", tests, NULL, NULL);
}
