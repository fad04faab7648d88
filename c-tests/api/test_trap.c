/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Emulated devices. */
#include "fixture.h"

static const uint64_t cookies[] = { 0, 1, 0xffff, 0x10000, 0x12345678, 0x80000000, 0xffffffff };

#define COOKIES (sizeof(cookies) / sizeof(cookies[0]))

static void expect_trap(const struct fixture *f, axas_gpa_t gpa, uint64_t cookie)
{
	const axas_mapping_t m = at(f, gpa);
	uint64_t found = ~cookie;

	assert_int_equal(m.state, AXAS_STATE_TRAP);
	assert_int_equal(m.cookie, cookie);
	assert_int_equal(m.flags, 0);
	assert_ok(axas_trap_cookie(f->as, gpa, &found));
	assert_int_equal(found, cookie);
	assert_int_equal(axas_handle_page_fault(f->as, gpa, AXAS_READ), AXAS_FAULT_TRAP);
	assert_int_equal(axas_handle_page_fault(f->as, gpa, AXAS_WRITE), AXAS_FAULT_TRAP);
}

static void every_access_to_a_trap_is_a_trap_with_its_cookie(void **state)
{
	FIXTURE(f);

	for (size_t i = 0; i < COOKIES; i++) {
		const axas_gpa_t gpa = GIB + i * 16 * PAGE;
		uint64_t cookie = ~cookies[i];

		assert_ok(axas_map_trap(f->as, gpa, 3 * PAGE, cookies[i]));
		for (axas_flags_t access = 1; access < 8; access++)
			assert_int_equal(axas_handle_page_fault(f->as, gpa + PAGE + 3, access),
					 AXAS_FAULT_TRAP);
		assert_ok(axas_trap_cookie(f->as, gpa + 3 * PAGE - 1, &cookie));
		assert_int_equal(cookie, cookies[i]);
		assert_int_equal(at(f, gpa).state, AXAS_STATE_TRAP);
		assert_int_equal(at(f, gpa).cookie, cookies[i]);
	}
	assert_int_equal(f->host.guest_taken, 0);
}

static void cookies_have_32_bits(void **state)
{
	FIXTURE(f);

	assert_status(AXAS_ERR_UNSUPPORTED, axas_map_trap(f->as, 0, PAGE, 1ull << 32));
	assert_status(AXAS_ERR_UNSUPPORTED, axas_map_trap(f->as, 0, PAGE, ~0ull));
	expect_state(f, 0, AXAS_STATE_ABSENT);
}

static void only_a_trap_has_a_cookie(void **state)
{
	FIXTURE(f);
	uint64_t cookie = 99;

	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, PAGE, RW));
	assert_ok(axas_map_alloc(f->as, GIB + PAGE, PAGE, RW));
	assert_status(AXAS_ERR_NOT_MAPPED, axas_trap_cookie(f->as, 0, &cookie));
	assert_status(AXAS_ERR_NOT_MAPPED, axas_trap_cookie(f->as, GIB, &cookie));
	assert_status(AXAS_ERR_NOT_MAPPED, axas_trap_cookie(f->as, GIB + PAGE, &cookie));
	assert_status(AXAS_ERR_NOT_MAPPED, axas_trap_cookie(f->as, SPACE_SIZE, &cookie));
	assert_status(AXAS_ERR_NOT_MAPPED, axas_trap_cookie(f->as, ~0ull, &cookie));
	assert_int_equal(cookie, 99);
}

static void range_checks_are_those_of_every_map(void **state)
{
	static const axas_status_t bad = AXAS_ERR_INVALID_INPUT;
	FIXTURE(f);

	assert_status(bad, axas_map_trap(f->as, 1, PAGE, 1));
	assert_status(bad, axas_map_trap(f->as, 0, PAGE + 8, 1));
	assert_status(bad, axas_map_trap(f->as, 0, 0, 1));
	assert_status(bad, axas_map_trap(f->as, SPACE_SIZE, PAGE, 1));
	assert_status(bad, axas_map_trap(f->as, SPACE_SIZE - PAGE, 2 * PAGE, 1));
	assert_status(bad, axas_map_trap(f->as, 0 - PAGE, 2 * PAGE, 1));
	assert_ok(axas_map_trap(f->as, SPACE_SIZE - PAGE, PAGE, 1));
	expect_state(f, SPACE_SIZE - 1, AXAS_STATE_TRAP);
}

static void a_cut_trap_keeps_its_cookie_and_raises_no_flush(void **state)
{
	FIXTURE(f);
	uint64_t cookie;

	assert_ok(axas_map_trap(f->as, GIB, 3 * GIB, 0xabcd1234));
	host_forget_log(&f->host);
	assert_ok(axas_unmap(f->as, 2 * GIB + 5 * PAGE, PAGE));
	expect_state(f, 2 * GIB + 5 * PAGE, AXAS_STATE_ABSENT);
	assert_ok(axas_trap_cookie(f->as, 2 * GIB + 5 * PAGE - 1, &cookie));
	assert_int_equal(cookie, 0xabcd1234);
	assert_ok(axas_trap_cookie(f->as, 2 * GIB + 6 * PAGE, &cookie));
	assert_int_equal(cookie, 0xabcd1234);
	assert_ok(axas_trap_cookie(f->as, 4 * GIB - 1, &cookie));
	assert_int_equal(cookie, 0xabcd1234);
	/* nothing was ever valid but the tables, which are new */
	assert_int_equal(f->host.flushes_all, 0);
	space_sweep(f->as);
}

static void a_trap_of_any_size_takes_the_tables_of_its_edges_only(void **state)
{
	FIXTURE(f);
	const uint64_t root = 1u << f->fc->root_order;

	assert_ok(axas_map_trap(f->as, PAGE, SPACE_SIZE - 2 * PAGE, 3));
	assert_true(space_sweep(f->as).table_frames - root <= 2 * (axas_levels(f->as) - 1));
	expect_state(f, 0, AXAS_STATE_ABSENT);
	expect_state(f, SPACE_SIZE - PAGE, AXAS_STATE_ABSENT);
}

static void a_cookie_of_any_value_stands_at_every_level(void **state)
{
	static const uint64_t size[] = { PAGE, 2 * MIB, GIB };
	FIXTURE(f);

	for (size_t c = 0; c < COOKIES; c++)
		for (size_t s = 0; s < 3; s++) {
			assert_ok(axas_map_trap(f->as, 4 * GIB, size[s], cookies[c]));
			assert_int_equal(at(f, 4 * GIB).size, size[s]);
			expect_trap(f, 4 * GIB, cookies[c]);
			expect_trap(f, 4 * GIB + size[s] - 1, cookies[c]);
			expect_state(f, 4 * GIB + size[s], AXAS_STATE_ABSENT);
			assert_ok(axas_unmap(f->as, 4 * GIB, size[s]));
		}
}

/* An entry of 1 GiB becomes a table of 2 MiB, one of those a table of 4 KiB. */
static void a_trap_that_is_pushed_down_keeps_its_cookie_all_over(void **state)
{
	FIXTURE(f);
	const axas_gpa_t hole = 4 * GIB + 6 * MIB + 5 * PAGE;

	for (size_t c = 0; c < COOKIES; c++) {
		assert_ok(axas_map_trap(f->as, 4 * GIB, GIB, cookies[c]));
		assert_ok(axas_unmap(f->as, hole, PAGE));
		expect_state(f, hole, AXAS_STATE_ABSENT);
		assert_int_equal(at(f, 4 * GIB).size, 2 * MIB);
		for (axas_gpa_t gpa = 4 * GIB; gpa < 5 * GIB; gpa += 2 * MIB)
			expect_trap(f, gpa, cookies[c]);
		for (axas_gpa_t gpa = 4 * GIB + 6 * MIB; gpa < 4 * GIB + 8 * MIB; gpa += PAGE)
			if (gpa != hole)
				expect_trap(f, gpa, cookies[c]);
		/* what comes into the hole does not touch what is around it */
		assert_ok(axas_map_trap(f->as, hole, PAGE, ~cookies[c] & 0xffffffff));
		expect_trap(f, hole - 1, cookies[c]);
		expect_trap(f, hole, ~cookies[c] & 0xffffffff);
		expect_trap(f, hole + PAGE, cookies[c]);
		space_sweep(f->as);
		assert_ok(axas_unmap(f->as, 4 * GIB, GIB));
	}
}

static void an_unmap_over_two_traps_leaves_the_rest_of_each(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_trap(f->as, GIB, 2 * MIB, 0xaaaa0001));
	assert_ok(axas_map_trap(f->as, GIB + 2 * MIB, 2 * MIB, 0xbbbb0002));
	assert_ok(axas_unmap(f->as, GIB + 2 * MIB - 3 * PAGE, 8 * PAGE));
	expect_trap(f, GIB, 0xaaaa0001);
	expect_trap(f, GIB + 2 * MIB - 3 * PAGE - 1, 0xaaaa0001);
	for (axas_gpa_t gpa = GIB + 2 * MIB - 3 * PAGE; gpa < GIB + 2 * MIB + 5 * PAGE;
	     gpa += PAGE) {
		uint64_t cookie = 99;

		expect_state(f, gpa, AXAS_STATE_ABSENT);
		assert_status(AXAS_ERR_NOT_MAPPED, axas_trap_cookie(f->as, gpa, &cookie));
		assert_int_equal(cookie, 99);
		assert_int_equal(axas_handle_page_fault(f->as, gpa, AXAS_READ),
				 AXAS_FAULT_UNMAPPED);
	}
	expect_trap(f, GIB + 2 * MIB + 5 * PAGE, 0xbbbb0002);
	expect_trap(f, GIB + 4 * MIB - 1, 0xbbbb0002);
	/* both ends of one trap in one call, and then all that is left */
	assert_ok(axas_unmap(f->as, GIB - PAGE, 2 * PAGE));
	expect_state(f, GIB, AXAS_STATE_ABSENT);
	expect_trap(f, GIB + PAGE, 0xaaaa0001);
	assert_ok(axas_unmap(f->as, GIB, 4 * MIB));
	assert_int_equal(space_sweep(f->as).table_frames, 1u << f->fc->root_order);
}

static void a_trap_has_no_permissions_to_change_and_no_frames(void **state)
{
	static const struct {
		axas_gpa_t gpa;
		uint64_t size;
	} range[] = {
		{ GIB, 2 * MIB }, /* all of it */
		{ GIB + PAGE, PAGE }, /* within */
		{ GIB - PAGE, 2 * PAGE }, /* with the memory before it */
		{ GIB + 2 * MIB - PAGE, 2 * PAGE }, /* with the memory behind it */
		{ GIB - PAGE, 2 * MIB + 2 * PAGE },
	};
	FIXTURE(f);

	assert_ok(axas_map_linear(f->as, GIB - PAGE, LINEAR_HPA, PAGE, RWX));
	assert_ok(axas_map_trap(f->as, GIB, 2 * MIB, 0xcafe0000));
	assert_ok(axas_map_alloc(f->as, GIB + 2 * MIB, PAGE, RWX));
	for (size_t i = 0; i < sizeof(range) / sizeof(range[0]); i++) {
		assert_status(AXAS_ERR_NOT_MAPPED,
			      axas_protect(f->as, range[i].gpa, range[i].size, AXAS_READ));
		assert_status(AXAS_ERR_NOT_MAPPED,
			      axas_populate(f->as, range[i].gpa, range[i].size));
		assert_status(AXAS_ERR_NOT_MAPPED,
			      axas_discard(f->as, range[i].gpa, range[i].size));
	}
	assert_int_equal(space_access(at(f, GIB - PAGE).flags), RWX);
	assert_int_equal(space_access(at(f, GIB + 2 * MIB).flags), RWX);
	expect_state(f, GIB + 2 * MIB, AXAS_STATE_RESERVED);
	assert_int_equal(at(f, GIB).size, 2 * MIB);
	expect_trap(f, GIB, 0xcafe0000);
}

static void linear_memory_put_into_a_trap_leaves_the_trap_around_it(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_trap(f->as, 4 * GIB, GIB, 0xffff0001));
	assert_status(AXAS_ERR_ALREADY_EXISTS,
		      axas_map_linear(f->as, 4 * GIB + 6 * MIB, LINEAR_HPA, PAGE, RW));
	assert_status(AXAS_ERR_ALREADY_EXISTS, axas_map_trap(f->as, 4 * GIB, PAGE, 0xffff0001));
	host_forget_log(&f->host);
	assert_ok(
		axas_map_linear(f->as, 4 * GIB + 6 * MIB, LINEAR_HPA, 2 * PAGE, RW | AXAS_REPLACE));
	expect_leaf(f, 4 * GIB + 6 * MIB, PAGE, LINEAR_HPA, RW);
	expect_trap(f, 4 * GIB + 6 * MIB - 1, 0xffff0001);
	expect_trap(f, 4 * GIB + 6 * MIB + 2 * PAGE, 0xffff0001);
	expect_trap(f, 4 * GIB, 0xffff0001);
	expect_trap(f, 5 * GIB - 1, 0xffff0001);
	/* what went was nobody's memory */
	assert_int_equal(f->host.runs, 0);
	assert_ok(axas_map_linear(f->as, 4 * GIB, LINEAR_HPA, GIB, RW | AXAS_REPLACE));
	expect_leaf(f, 4 * GIB, GIB, LINEAR_HPA, RW);
	space_sweep(f->as);
}

struct runs {
	axas_mapping_t run[4];
	uint32_t count;
};

static uint32_t keep(void *ctx, const axas_mapping_t *run)
{
	struct runs *r = ctx;

	if (r->count < 4)
		r->run[r->count] = *run;
	r->count++;
	return 1;
}

static void neighbours_are_one_run_where_their_cookies_are_equal(void **state)
{
	FIXTURE(f);
	struct runs r = { .count = 0 };

	assert_ok(axas_map_trap(f->as, GIB, 2 * MIB, 0x70001));
	assert_ok(axas_map_trap(f->as, GIB + 2 * MIB, 3 * PAGE, 0x70001));
	assert_ok(axas_map_trap(f->as, GIB + 2 * MIB + 3 * PAGE, PAGE, 0x80001));
	assert_ok(axas_for_each(f->as, 0, SPACE_SIZE, keep, &r));
	assert_int_equal(r.count, 2);
	assert_int_equal(r.run[0].gpa, GIB);
	assert_int_equal(r.run[0].size, 2 * MIB + 3 * PAGE);
	assert_int_equal(r.run[0].cookie, 0x70001);
	assert_int_equal(r.run[0].hpa, AXAS_HPA_INVALID);
	assert_int_equal(r.run[1].gpa, GIB + 2 * MIB + 3 * PAGE);
	assert_int_equal(r.run[1].size, PAGE);
	assert_int_equal(r.run[1].cookie, 0x80001);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(every_access_to_a_trap_is_a_trap_with_its_cookie),
		EACH_FORMAT(cookies_have_32_bits),
		EACH_FORMAT(only_a_trap_has_a_cookie),
		EACH_FORMAT(range_checks_are_those_of_every_map),
		EACH_FORMAT(a_cut_trap_keeps_its_cookie_and_raises_no_flush),
		EACH_FORMAT(a_trap_of_any_size_takes_the_tables_of_its_edges_only),
		EACH_FORMAT(a_cookie_of_any_value_stands_at_every_level),
		EACH_FORMAT(a_trap_that_is_pushed_down_keeps_its_cookie_all_over),
		EACH_FORMAT(an_unmap_over_two_traps_leaves_the_rest_of_each),
		EACH_FORMAT(a_trap_has_no_permissions_to_change_and_no_frames),
		EACH_FORMAT(linear_memory_put_into_a_trap_leaves_the_trap_around_it),
		EACH_FORMAT(neighbours_are_one_run_where_their_cookies_are_equal),
	};

	return cmocka_run_group_tests_name("trap", tests, NULL, NULL);
}
