/* Emulated devices. */
#include "fixture.h"

static void every_access_to_a_trap_is_a_trap_with_its_cookie(void **state)
{
	static const uint64_t cookies[] = { 0,          1,          0xffff,    0x10000,
					    0x12345678, 0x80000000, 0xffffffff };
	FIXTURE(f);

	for (size_t i = 0; i < sizeof(cookies) / sizeof(cookies[0]); i++) {
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(every_access_to_a_trap_is_a_trap_with_its_cookie),
		EACH_FORMAT(cookies_have_32_bits),
		EACH_FORMAT(only_a_trap_has_a_cookie),
		EACH_FORMAT(range_checks_are_those_of_every_map),
		EACH_FORMAT(a_cut_trap_keeps_its_cookie_and_raises_no_flush),
		EACH_FORMAT(a_trap_of_any_size_takes_the_tables_of_its_edges_only),
	};

	return cmocka_run_group_tests_name("trap", tests, NULL, NULL);
}
