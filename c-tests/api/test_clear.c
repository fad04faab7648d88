/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Clearing, destroying, using again. */
#include "fixture.h"

/* Some of everything, of every size. */
static void fill_space(struct fixture *f)
{
	assert_ok(axas_map_linear(f->as, GIB - 3 * PAGE, LINEAR_HPA + GIB - 3 * PAGE,
				  GIB + 2 * MIB + 4 * PAGE, RW));
	assert_ok(axas_map_alloc(f->as, 5 * GIB + PAGE, 64 * GIB, RW));
	assert_ok(axas_map_alloc(f->as, 100 * GIB, 8 * PAGE, RX | AXAS_POPULATE));
	assert_ok(axas_map_alloc(f->as, 110 * GIB, 4 * MIB, RW | AXAS_HUGE_FRAMES));
	assert_ok(axas_map_trap(f->as, 200 * GIB - PAGE, 2 * PAGE, 9));
	assert_ok(axas_map_linear(f->as, SPACE_SIZE - PAGE, 0, PAGE, AXAS_READ));
	for (uint64_t k = 0; k < 40; k++)
		assert_int_equal(axas_handle_page_fault(f->as, 5 * GIB + PAGE + k * 33 * MIB,
							AXAS_WRITE),
				 AXAS_FAULT_RESOLVED);
	assert_int_equal(axas_handle_page_fault(f->as, 110 * GIB, AXAS_READ), AXAS_FAULT_RESOLVED);
	space_sweep(f->as);
}

static void destroy_gives_everything_back(void **state)
{
	FIXTURE(f);

	fill_space(f);
	fixture_destroy(f); /* checks the balance */
	assert_int_equal(f->host.guest_taken, f->host.guest_returned);
	assert_true(f->host.flushes_all > 0);
}

static void clear_leaves_a_new_space(void **state)
{
	FIXTURE(f);

	for (int round = 0; round < 3; round++) {
		const uint64_t taken = stats(f).frames_allocated;

		fill_space(f);
		host_forget_log(&f->host);
		assert_ok(axas_clear(f->as));
		assert_true(f->host.flushes_all >= 1);
		assert_true(space_flush_covered(0, SPACE_SIZE));
		assert_int_not_equal(host_last_flush(&f->host)->tables_removed, 0);
		assert_int_equal(f->host.guest_out, 0);
		assert_int_equal(space_sweep(f->as).table_frames, 1u << f->fc->root_order);
		expect_state(f, GIB, AXAS_STATE_ABSENT);
		/* counters go on */
		assert_true(stats(f).frames_allocated > taken);
		assert_true(f->host.runs > 0);
	}
}

static void clearing_an_empty_space_flushes_and_succeeds(void **state)
{
	FIXTURE(f);
	const axas_hpa_t root = axas_root(f->as);

	for (uint32_t i = 1; i <= 3; i++) {
		assert_ok(axas_clear(f->as));
		assert_int_equal(f->host.flushes_all, i);
		assert_int_equal(axas_root(f->as), root);
	}
}

static void clear_needs_no_memory(void **state)
{
	FIXTURE(f);

	fill_space(f);
	f->host.fail_purpose = AXAS_FRAME_TABLE;
	assert_ok(axas_clear(f->as));
	f->host.fail_purpose = 0;
	fill_space(f);
}

static void linear_memory_is_released_by_clear_and_destroy(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, GIB, RW));
	host_forget_log(&f->host);
	assert_ok(axas_clear(f->as));
	assert_int_equal(f->host.runs, 1);
	assert_int_equal(f->host.run[0].gpa, GIB);
	assert_int_equal(f->host.run[0].size, GIB);
	assert_int_equal(f->host.run[0].hpa, LINEAR_HPA);
	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, GIB, RW));
	fixture_destroy(f);
	assert_int_equal(f->host.runs, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(destroy_gives_everything_back),
		EACH_FORMAT(clear_leaves_a_new_space),
		EACH_FORMAT(clearing_an_empty_space_flushes_and_succeeds),
		EACH_FORMAT(clear_needs_no_memory),
		EACH_FORMAT(linear_memory_is_released_by_clear_and_destroy),
	};

	return cmocka_run_group_tests_name("clear", tests, NULL, NULL);
}
