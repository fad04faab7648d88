/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* translate, query, for_each, dump. */
#include "fixture.h"

static void translate_takes_any_address(void **state)
{
	static const axas_gpa_t nowhere[] = { 0,          GIB - 1,    GIB + 3 * PAGE, SPACE_SIZE,
					      1ull << 41, 1ull << 48, 1ull << 59,     ~0ull };
	FIXTURE(f);
	axas_hpa_t hpa = 77;
	uint64_t run = 78;

	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA + 5 * PAGE, 3 * PAGE, RW));
	for (size_t i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++)
		assert_status(AXAS_ERR_NOT_MAPPED, axas_translate(f->as, nowhere[i], &hpa, &run));
	assert_int_equal(hpa, 77);
	assert_int_equal(run, 78);
	assert_ok(axas_translate(f->as, GIB + 0xabc, &hpa, NULL));
	assert_int_equal(hpa, LINEAR_HPA + 5 * PAGE + 0xabc);
}

static void translate_never_takes_a_page_in(void **state)
{
	FIXTURE(f);
	axas_hpa_t hpa;

	assert_ok(axas_map_alloc(f->as, GIB, 2 * PAGE, RW));
	assert_ok(axas_map_trap(f->as, 2 * GIB, PAGE, 1));
	assert_status(AXAS_ERR_NOT_MAPPED, axas_translate(f->as, GIB, &hpa, NULL));
	assert_status(AXAS_ERR_NOT_MAPPED, axas_translate(f->as, 2 * GIB, &hpa, NULL));
	assert_int_equal(f->host.guest_taken, 0);
}

static void a_run_ends_with_the_mapping_or_where_the_host_jumps(void **state)
{
	const axas_extent_t e[] = { { LINEAR_HPA, 2 * PAGE }, { LINEAR_HPA + 9 * PAGE, PAGE } };
	FIXTURE(f);
	axas_hpa_t hpa;
	uint64_t run;

	assert_ok(axas_map_extents(f->as, GIB, e, 2, RW));
	assert_ok(axas_translate(f->as, GIB + 1, &hpa, &run));
	assert_true(run >= PAGE - 1 && run <= 2 * PAGE - 1);
	assert_ok(axas_translate(f->as, GIB + 3 * PAGE - 1, &hpa, &run));
	assert_int_equal(run, 1);
	assert_ok(axas_map_linear(f->as, 2 * GIB, LINEAR_HPA, GIB, RW));
	assert_ok(axas_translate(f->as, 2 * GIB + 5, &hpa, &run));
	assert_int_equal(run, GIB - 5);
	/* never the size of an area: the second page is not there yet */
	assert_ok(axas_map_alloc(f->as, 4 * GIB, GIB, RW));
	assert_int_equal(axas_handle_page_fault(f->as, 4 * GIB, AXAS_READ), AXAS_FAULT_RESOLVED);
	assert_ok(axas_translate(f->as, 4 * GIB + 100, &hpa, &run));
	assert_int_equal(run, PAGE - 100);
}

static void query_knows_every_state(void **state)
{
	FIXTURE(f);
	axas_mapping_t m;

	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, PAGE, RX));
	assert_ok(axas_map_alloc(f->as, GIB + PAGE, 2 * PAGE, RW));
	assert_ok(axas_map_trap(f->as, GIB + 3 * PAGE, PAGE, 0xfeed));
	assert_int_equal(axas_handle_page_fault(f->as, GIB + PAGE, AXAS_READ), AXAS_FAULT_RESOLVED);
	m = at(f, GIB + 0xfff);
	assert_int_equal(m.state, AXAS_STATE_LINEAR);
	assert_int_equal(m.gpa, GIB);
	assert_int_equal(m.hpa, LINEAR_HPA);
	assert_int_equal(m.flags, RX);
	m = at(f, GIB + PAGE + 1);
	assert_int_equal(m.state, AXAS_STATE_OWNED);
	assert_int_equal(m.flags, RW);
	m = at(f, GIB + 2 * PAGE);
	assert_int_equal(m.state, AXAS_STATE_RESERVED);
	assert_int_equal(m.flags, RW);
	m = at(f, GIB + 3 * PAGE);
	assert_int_equal(m.state, AXAS_STATE_TRAP);
	assert_int_equal(m.cookie, 0xfeed);
	assert_int_equal(m.flags, 0);
	m = at(f, GIB + 4 * PAGE);
	assert_int_equal(m.state, AXAS_STATE_ABSENT);
	assert_int_equal(m.size, PAGE);
	assert_int_equal(m.flags, 0);
}

static void a_hole_is_the_empty_entry_clipped_to_the_space(void **state)
{
	FIXTURE(f);
	axas_mapping_t m;

	f->cfg.base = GIB + 3 * PAGE;
	f->cfg.size = PAGE * 5;
	fixture_create(f);
	m = at(f, GIB + 4 * PAGE);
	assert_int_equal(m.state, AXAS_STATE_ABSENT);
	assert_int_equal(m.gpa, GIB + 3 * PAGE);
	assert_int_equal(m.size, 5 * PAGE);
	assert_ok(axas_map_alloc(f->as, GIB + 3 * PAGE, 5 * PAGE, RW));
	at(f, GIB + 3 * PAGE);
	at(f, GIB + 7 * PAGE);
}

/* One rule for every call that looks at an address; what is there for results stays as it was. */
static void outside_the_space_nothing_is_mapped(void **state)
{
	const axas_gpa_t base = 5 * GIB + PAGE, end = 9 * GIB - PAGE;
	const axas_gpa_t outside[] = { 0, base - 1, end, end + PAGE, SPACE_SIZE, ~0ull };
	FIXTURE(f);
	axas_mapping_t m, untouched;
	axas_hpa_t hpa = 0x11;
	uint64_t run = 0x22, cookie = 0x33;

	f->cfg.base = base;
	f->cfg.size = end - base;
	fixture_create(f);
	assert_ok(axas_map_trap(f->as, base, end - base, 7));
	memset(&m, 0x11, sizeof(m));
	untouched = m;
	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
		assert_status(AXAS_ERR_NOT_MAPPED, axas_query(f->as, outside[i], &m));
		assert_status(AXAS_ERR_NOT_MAPPED, axas_translate(f->as, outside[i], &hpa, &run));
		assert_status(AXAS_ERR_NOT_MAPPED, axas_trap_cookie(f->as, outside[i], &cookie));
		assert_int_equal(axas_handle_page_fault(f->as, outside[i], AXAS_READ),
				 AXAS_FAULT_UNMAPPED);
	}
	assert_memory_equal(&m, &untouched, sizeof(m));
	assert_int_equal(hpa, 0x11);
	assert_int_equal(run, 0x22);
	assert_int_equal(cookie, 0x33);
	expect_state(f, base, AXAS_STATE_TRAP);
	expect_state(f, end - 1, AXAS_STATE_TRAP);
}

struct runs {
	axas_mapping_t run[8];
	uint32_t count, most;
};

static uint32_t take_run(void *ctx, const axas_mapping_t *run)
{
	struct runs *r = ctx;

	assert_true(r->count < 8);
	r->run[r->count++] = *run;
	return r->count < r->most;
}

static void for_each_merges_equal_neighbours_and_leaves_out_holes(void **state)
{
	FIXTURE(f);
	struct runs r = { .most = 8 };

	/* pages of three sizes, one run */
	assert_ok(axas_map_linear(f->as, GIB - PAGE, LINEAR_HPA + GIB - PAGE, GIB + 2 * MIB, RW));
	assert_ok(axas_map_alloc(f->as, 3 * GIB, 5 * GIB + PAGE, RX));
	assert_ok(axas_map_trap(f->as, 8 * GIB + PAGE, PAGE, 7));
	assert_ok(axas_map_trap(f->as, 8 * GIB + 2 * PAGE, PAGE, 8));
	assert_ok(axas_for_each(f->as, 0, SPACE_SIZE, take_run, &r));
	assert_int_equal(r.count, 4);
	assert_int_equal(r.run[0].gpa, GIB - PAGE);
	assert_int_equal(r.run[0].size, GIB + 2 * MIB);
	assert_int_equal(r.run[0].hpa, LINEAR_HPA + GIB - PAGE);
	assert_int_equal(r.run[0].state, AXAS_STATE_LINEAR);
	assert_int_equal(r.run[0].flags, RW);
	assert_int_equal(r.run[1].gpa, 3 * GIB);
	assert_int_equal(r.run[1].size, 5 * GIB + PAGE);
	assert_int_equal(r.run[1].state, AXAS_STATE_RESERVED);
	assert_int_equal(r.run[1].hpa, AXAS_HPA_INVALID);
	assert_int_equal(r.run[2].cookie, 7);
	assert_int_equal(r.run[3].cookie, 8);
	assert_int_equal(r.run[3].size, PAGE);
	for (uint32_t i = 0; i < r.count; i++)
		assert_int_equal(r.run[i].level, 0);
}

static void a_run_says_the_level_that_its_leaves_have_in_common(void **state)
{
	FIXTURE(f);
	struct runs r = { .most = 8 };

	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, GIB, RW));
	assert_ok(axas_map_linear(f->as, 3 * GIB, LINEAR_HPA, 4 * MIB, RW));
	assert_ok(axas_map_linear(f->as, 4 * GIB, LINEAR_HPA, 4 * MIB, RW | AXAS_NO_HUGE));
	assert_ok(axas_map_linear(f->as, 5 * GIB, LINEAR_HPA, 2 * MIB + PAGE, RW));
	/* of a large page a part */
	assert_ok(axas_for_each(f->as, GIB + PAGE, 9 * GIB, take_run, &r));
	assert_int_equal(r.count, 4);
	assert_int_equal(r.run[0].level, 3);
	assert_int_equal(r.run[1].level, 2);
	assert_int_equal(r.run[2].level, 1);
	assert_int_equal(r.run[3].level, 0);
}

static void for_each_is_clipped_to_its_range_and_can_be_stopped(void **state)
{
	FIXTURE(f);
	struct runs r = { .most = 1 };

	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, GIB, RW));
	assert_ok(axas_map_trap(f->as, 2 * GIB, PAGE, 1));
	assert_ok(axas_for_each(f->as, GIB + PAGE, 4 * GIB, take_run, &r));
	assert_int_equal(r.count, 1);
	assert_int_equal(r.run[0].gpa, GIB + PAGE);
	assert_int_equal(r.run[0].size, GIB - PAGE);
	assert_int_equal(r.run[0].hpa, LINEAR_HPA + PAGE);
	assert_ok(axas_for_each(f->as, GIB, 0, take_run, &r));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_for_each(f->as, 1, PAGE, take_run, &r));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_for_each(f->as, SPACE_SIZE, PAGE, take_run, &r));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_for_each(f->as, 0, PAGE, NULL, &r));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_for_each(NULL, 0, PAGE, take_run, &r));
	assert_int_equal(r.count, 1);
}

struct text {
	char bytes[4096];
	size_t used, longest;
};

static void take_text(void *ctx, const char *text, size_t bytes)
{
	struct text *t = ctx;

	assert_true(t->used + bytes < sizeof(t->bytes));
	memcpy(t->bytes + t->used, text, bytes);
	t->used += bytes;
	t->longest = bytes > t->longest ? bytes : t->longest;
}

static void a_dump_has_a_line_for_each_run(void **state)
{
	FIXTURE(f);
	struct text empty = { .used = 0 }, full = { .used = 0 };
	uint32_t lines = 0;

	assert_ok(axas_dump(f->as, take_text, &empty));
	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, PAGE, RW));
	assert_ok(axas_map_alloc(f->as, 2 * GIB, PAGE, RW));
	assert_ok(axas_map_trap(f->as, 3 * GIB, PAGE, 0x7e57));
	assert_ok(axas_dump(f->as, take_text, &full));
	for (size_t i = 0; i < full.used; i++)
		lines += full.bytes[i] == '\n';
	for (size_t i = 0; i < empty.used; i++)
		lines -= empty.bytes[i] == '\n';
	assert_true(lines >= 3);
	assert_true(full.longest <= 128);
	assert_non_null(strstr(full.bytes, "7e57"));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_dump(NULL, take_text, &full));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_dump(f->as, NULL, &full));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(translate_takes_any_address),
		EACH_FORMAT(translate_never_takes_a_page_in),
		EACH_FORMAT(a_run_ends_with_the_mapping_or_where_the_host_jumps),
		EACH_FORMAT(query_knows_every_state),
		EACH_FORMAT_NO_SPACE(a_hole_is_the_empty_entry_clipped_to_the_space),
		EACH_FORMAT_NO_SPACE(outside_the_space_nothing_is_mapped),
		EACH_FORMAT(for_each_merges_equal_neighbours_and_leaves_out_holes),
		EACH_FORMAT(a_run_says_the_level_that_its_leaves_have_in_common),
		EACH_FORMAT(for_each_is_clipped_to_its_range_and_can_be_stopped),
		EACH_FORMAT(a_dump_has_a_line_for_each_run),
	};

	return cmocka_run_group_tests_name("look", tests, NULL, NULL);
}
