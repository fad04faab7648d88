/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Memory that the library takes from the host: lazily, at once, in large frames. */
#include "fixture.h"

static int is_filled_with(const uint8_t *memory, uint64_t bytes, uint8_t byte)
{
	for (uint64_t i = 0; i < bytes; i++)
		if (memory[i] != byte)
			return 0;
	return 1;
}

static void a_lazy_reservation_takes_no_frame_of_the_guest(void **state)
{
	FIXTURE(f);
	axas_mapping_t m;

	assert_ok(axas_map_alloc(f->as, 3 * PAGE, 7 * GIB, RW));
	assert_int_equal(f->host.guest_taken, 0);
	for (axas_gpa_t gpa = 3 * PAGE; gpa < 3 * PAGE + 7 * GIB; gpa += 300 * MIB + PAGE) {
		m = at(f, gpa);
		assert_int_equal(m.state, AXAS_STATE_RESERVED);
		assert_int_equal(m.flags, RW);
	}
	expect_state(f, 3 * PAGE - 1, AXAS_STATE_ABSENT);
	expect_state(f, 3 * PAGE + 7 * GIB, AXAS_STATE_ABSENT);
	space_sweep(f->as);
}

static void check_64_gib(struct fixture *f, axas_gpa_t gpa)
{
	const uint64_t root = 1u << f->fc->root_order;
	uint64_t tables;

	assert_ok(axas_map_alloc(f->as, gpa, 64 * GIB, RW));
	tables = space_sweep(f->as).table_frames - root;
	if (tables > 2 * (axas_levels(f->as) - 1))
		fail_msg("%llu tables at %#llx", (unsigned long long)tables,
			 (unsigned long long)gpa);
	expect_state(f, gpa, AXAS_STATE_RESERVED);
	expect_state(f, gpa + 64 * GIB - 1, AXAS_STATE_RESERVED);
	assert_ok(axas_unmap(f->as, gpa, 64 * GIB));
	assert_int_equal(space_sweep(f->as).table_frames, root);
}

static void reserving_64_gib_takes_the_tables_of_its_edges_only(void **state)
{
	static const axas_gpa_t where[] = {
		0,
		PAGE,
		2 * MIB,
		2 * MIB - PAGE,
		GIB,
		GIB - PAGE,
		GIB + 2 * MIB,
		GIB + 2 * MIB + PAGE,
		100 * GIB + 511 * 2 * MIB + 511 * PAGE,
		SPACE_SIZE - 64 * GIB,
		SPACE_SIZE - 64 * GIB - PAGE,
	};
	FIXTURE(f);

	for (size_t i = 0; i < sizeof(where) / sizeof(where[0]); i++)
		check_64_gib(f, where[i]);
	assert_ok(axas_map_alloc(f->as, 0, 64 * GIB, RW));
	/* the root's entries are 512 GiB or 1 GiB each */
	assert_int_equal(space_sweep(f->as).table_frames - (1u << f->fc->root_order),
			 axas_levels(f->as) == 4 ? 1 : 0);
}

static void populating_takes_one_frame_for_each_page(void **state)
{
	FIXTURE(f);
	axas_hpa_t seen[16];

	f->host.poison_guest = 1;
	assert_ok(axas_map_alloc(f->as, GIB - 8 * PAGE, 16 * PAGE, RW | AXAS_POPULATE));
	assert_int_equal(f->host.guest_out, 16);
	for (uint32_t i = 0; i < 16; i++) {
		const axas_gpa_t gpa = GIB - 8 * PAGE + i * PAGE;
		const axas_mapping_t m = at(f, gpa);

		assert_int_equal(m.state, AXAS_STATE_OWNED);
		assert_int_equal(m.size, PAGE);
		seen[i] = m.hpa;
		for (uint32_t j = 0; j < i; j++)
			assert_int_not_equal(seen[j], seen[i]);
		assert_true(is_filled_with(guest_memory(f, gpa), PAGE, 0));
		assert_int_equal(axas_handle_page_fault(f->as, gpa, AXAS_WRITE),
				 AXAS_FAULT_SPURIOUS);
	}
	assert_int_equal(f->host.guest_taken, 16);
	assert_ok(axas_unmap(f->as, GIB - 8 * PAGE, 16 * PAGE));
	assert_int_equal(f->host.guest_out, 0);
}

static void owned_memory_reads_as_zero_unless_the_host_says_otherwise(void **state)
{
	static const struct {
		uint32_t options;
		uint8_t byte; /* lowest of the poison when nobody zeroes */
	} t[] = { { 0, 0 }, { AXAS_FRAMES_ARE_ZEROED, 0xf7 }, { AXAS_NO_ZERO, 0xf7 } };
	FIXTURE(f);

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		f->cfg.options = t[i].options;
		fixture_create(f);
		assert_ok(axas_map_alloc(f->as, 0, PAGE, RW));
		assert_ok(axas_map_alloc(f->as, PAGE, PAGE, RW | AXAS_POPULATE));
		assert_ok(axas_map_alloc(f->as, 2 * MIB, 2 * MIB, RW | AXAS_HUGE_FRAMES));
		assert_int_equal(axas_handle_page_fault(f->as, 0, AXAS_READ), AXAS_FAULT_RESOLVED);
		assert_int_equal(axas_handle_page_fault(f->as, 3 * MIB, AXAS_READ),
				 AXAS_FAULT_RESOLVED);
		assert_int_equal(*guest_memory(f, 0), t[i].byte);
		assert_int_equal(*guest_memory(f, PAGE), t[i].byte);
		assert_int_equal(at(f, 2 * MIB).size, 2 * MIB);
		assert_int_equal(*guest_memory(f, 2 * MIB), t[i].byte);
		assert_int_equal(*guest_memory(f, 4 * MIB - 8), t[i].byte);
		if (t[i].byte == 0)
			assert_true(is_filled_with(guest_memory(f, 2 * MIB), 2 * MIB, 0));
		fixture_destroy(f);
	}
}

static void huge_frames_are_taken_where_the_range_allows(void **state)
{
	FIXTURE(f);
	struct sweep s;

	f->cfg.options = AXAS_NO_ZERO;
	fixture_create(f);
	assert_ok(axas_map_alloc(f->as, GIB - 2 * MIB - PAGE, GIB + 2 * (2 * MIB + PAGE),
				 RW | AXAS_HUGE_FRAMES | AXAS_POPULATE));
	s = space_sweep(f->as);
	assert_int_equal(s.leaves[1], 2);
	assert_int_equal(s.leaves[2], 2);
	assert_int_equal(s.leaves[3], 1);
	assert_int_equal(f->host.guest_out, 2 + 2 * 512 + 262144);
	at(f, GIB);
	at(f, 2 * GIB);
	assert_ok(axas_unmap(f->as, 0, SPACE_SIZE));
	assert_int_equal(f->host.guest_out, 0);
}

static void huge_frames_respect_max_2m(void **state)
{
	FIXTURE(f);

	f->cfg.options = AXAS_NO_ZERO;
	fixture_create(f);
	assert_ok(axas_map_alloc(f->as, GIB, 4 * MIB, RW | AXAS_HUGE_FRAMES | AXAS_MAX_2M));
	assert_int_equal(at(f, GIB).flags, RW | AXAS_HUGE_FRAMES | AXAS_MAX_2M);
	assert_int_equal(axas_handle_page_fault(f->as, GIB + 2 * MIB + 5, AXAS_READ),
			 AXAS_FAULT_RESOLVED);
	assert_int_equal(at(f, GIB + 2 * MIB).size, 2 * MIB);
	expect_state(f, GIB, AXAS_STATE_RESERVED);
	assert_int_equal(f->host.guest_out, 512);
}

static void a_fault_never_takes_more_than_2_mib(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_alloc(f->as, GIB, GIB, RW | AXAS_HUGE_FRAMES));
	assert_int_equal(axas_handle_page_fault(f->as, GIB + 100 * MIB, AXAS_READ),
			 AXAS_FAULT_RESOLVED);
	assert_int_equal(f->host.guest_out, 512);
	assert_int_equal(at(f, GIB + 100 * MIB).size, 2 * MIB);
}

static void no_huge_exec_keeps_executable_frames_small(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_alloc(f->as, 0, 2 * MIB, RX | AXAS_HUGE_FRAMES | AXAS_NO_HUGE_EXEC));
	assert_int_equal(axas_handle_page_fault(f->as, 0, AXAS_READ), AXAS_FAULT_RESOLVED);
	assert_int_equal(f->host.guest_out, 1);
	assert_int_equal(at(f, 0).size, PAGE);
}

static void a_host_that_refuses_huge_frames_is_asked_for_small_ones(void **state)
{
	FIXTURE(f);

	f->host.refuse_order = 9;
	assert_ok(axas_map_alloc(f->as, 2 * MIB, 2 * MIB, RW | AXAS_HUGE_FRAMES | AXAS_POPULATE));
	assert_int_equal(f->host.guest_out, 512);
	assert_int_equal(at(f, 2 * MIB).size, PAGE);
	assert_ok(axas_map_alloc(f->as, 4 * MIB, 2 * MIB, RW | AXAS_HUGE_FRAMES));
	assert_int_equal(axas_handle_page_fault(f->as, 5 * MIB, AXAS_READ), AXAS_FAULT_RESOLVED);
	assert_int_equal(f->host.guest_out, 513);
	expect_state(f, 4 * MIB, AXAS_STATE_RESERVED);
}

static void frames_are_cleaned_where_the_guest_may_bypass_caches(void **state)
{
	FIXTURE(f);
	const int arm = f->cfg.format == AXAS_FORMAT_ARM_S2;

	f->cfg.features |=
		f->cfg.format == AXAS_FORMAT_RISCV_GSTAGE ? AXAS_FEATURE_RISCV_SVPBMT : 0;
	fixture_create(f);
	assert_ok(axas_map_alloc(f->as, 0, PAGE, RW | AXAS_POPULATE));
	assert_int_equal(f->host.cleans[AXAS_FRAME_GUEST] > 0, arm);
	assert_ok(axas_map_alloc(f->as, PAGE, PAGE, RW | AXAS_UNCACHED | AXAS_POPULATE));
	assert_true(f->host.cleans[AXAS_FRAME_GUEST] > 0);
	host_forget_log(&f->host);
	assert_ok(axas_map_alloc(f->as, 2 * PAGE, PAGE, RW | AXAS_UNCACHED));
	assert_int_equal(f->host.cleans[AXAS_FRAME_GUEST], 0);
	assert_int_equal(axas_handle_page_fault(f->as, 2 * PAGE, AXAS_READ), AXAS_FAULT_RESOLVED);
	assert_true(f->host.cleans[AXAS_FRAME_GUEST] > 0);
	assert_int_equal(f->host.cleans[AXAS_FRAME_TABLE], 0);
	fixture_destroy(f);
	host_forget_log(&f->host);
	assert_int_equal(f->host.cleans[AXAS_FRAME_TABLE], 0);
}

/* (That every line is cleaned is seen by the walker in the random sequences too.) */
static void a_walker_that_does_not_snoop_sees_every_entry(void **state)
{
	FIXTURE(f);

	host_stop_snooping(&f->host);
	f->host.watch_links = 1;
	f->cfg.options = AXAS_NONCOHERENT_WALK;
	fixture_create(f);
	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, GIB + 3 * PAGE, RW));
	assert_ok(axas_map_alloc(f->as, 3 * GIB, GIB, RW));
	assert_int_equal(axas_handle_page_fault(f->as, 3 * GIB + MIB, AXAS_READ),
			 AXAS_FAULT_RESOLVED);
	/* before anything else cleans the same line */
	expect_state(f, 3 * GIB + MIB, AXAS_STATE_OWNED);
	assert_ok(axas_unmap(f->as, GIB + MIB, PAGE));
	assert_ok(axas_protect(f->as, 2 * GIB, PAGE, AXAS_READ));
	at(f, GIB);
	at(f, GIB + MIB);
	at(f, 2 * GIB);
	at(f, 2 * GIB + 3 * PAGE);
	at(f, 3 * GIB + MIB);
	at(f, 3 * GIB + MIB + PAGE);
	space_sweep(f->as);
}

static void range_checks_are_those_of_every_map(void **state)
{
	static const axas_flags_t how[] = { RW, RW | AXAS_POPULATE };
	static const axas_status_t bad = AXAS_ERR_INVALID_INPUT;
	FIXTURE(f);

	for (int i = 0; i < 2; i++) {
		assert_status(bad, axas_map_alloc(f->as, 1, PAGE, how[i]));
		assert_status(bad, axas_map_alloc(f->as, 0, PAGE - 1, how[i]));
		assert_status(bad, axas_map_alloc(f->as, 0, 0, how[i]));
		assert_status(bad, axas_map_alloc(f->as, SPACE_SIZE, PAGE, how[i]));
		assert_status(bad, axas_map_alloc(f->as, SPACE_SIZE - PAGE, 2 * PAGE, how[i]));
		assert_status(bad, axas_map_alloc(f->as, 0 - PAGE, 2 * PAGE, how[i]));
		assert_status(bad, axas_map_alloc(f->as, PAGE, 0 - PAGE, how[i]));
		assert_status(bad, axas_map_alloc(f->as, 0 - PAGE, PAGE, how[i]));
		assert_ok(axas_map_alloc(f->as, SPACE_SIZE - PAGE, PAGE, how[i]));
		assert_ok(axas_unmap(f->as, SPACE_SIZE - PAGE, PAGE));
	}
	assert_int_equal(space_sweep(f->as).table_frames, 1u << f->fc->root_order);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(a_lazy_reservation_takes_no_frame_of_the_guest),
		EACH_FORMAT(reserving_64_gib_takes_the_tables_of_its_edges_only),
		EACH_FORMAT(populating_takes_one_frame_for_each_page),
		EACH_FORMAT_NO_SPACE(owned_memory_reads_as_zero_unless_the_host_says_otherwise),
		EACH_FORMAT_NO_SPACE(huge_frames_are_taken_where_the_range_allows),
		EACH_FORMAT_NO_SPACE(huge_frames_respect_max_2m),
		EACH_FORMAT(a_fault_never_takes_more_than_2_mib),
		EACH_FORMAT(no_huge_exec_keeps_executable_frames_small),
		EACH_FORMAT(a_host_that_refuses_huge_frames_is_asked_for_small_ones),
		EACH_FORMAT_NO_SPACE(frames_are_cleaned_where_the_guest_may_bypass_caches),
		EACH_FORMAT_NO_SPACE(a_walker_that_does_not_snoop_sees_every_entry),
		EACH_FORMAT(range_checks_are_those_of_every_map),
	};

	return cmocka_run_group_tests_name("map_alloc", tests, NULL, NULL);
}
