/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A verdict for everything a guest can do. */
#include "fixture.h"

static void the_first_access_brings_one_frame(void **state)
{
	FIXTURE(f);
	axas_mapping_t m;

	assert_ok(axas_map_alloc(f->as, GIB, 64 * GIB, RWX));
	assert_int_equal(axas_handle_page_fault(f->as, 7 * GIB + 0x123, AXAS_WRITE),
			 AXAS_FAULT_RESOLVED);
	m = at(f, 7 * GIB);
	assert_int_equal(m.state, AXAS_STATE_OWNED);
	assert_int_equal(m.size, PAGE);
	assert_int_equal(m.flags, RWX);
	assert_int_equal(f->host.guest_out, 1);
	expect_state(f, 7 * GIB + PAGE, AXAS_STATE_RESERVED);
	expect_state(f, 7 * GIB - PAGE, AXAS_STATE_RESERVED);
	space_sweep(f->as);
}

static void a_second_fault_is_spurious_and_keeps_frame_and_data(void **state)
{
	FIXTURE(f);
	axas_hpa_t hpa;

	assert_ok(axas_map_alloc(f->as, GIB, PAGE, RW));
	assert_int_equal(axas_handle_page_fault(f->as, GIB, AXAS_READ), AXAS_FAULT_RESOLVED);
	hpa = at(f, GIB).hpa;
	memcpy(guest_memory(f, GIB), "guest", 6);
	for (int i = 0; i < 5; i++)
		assert_int_equal(axas_handle_page_fault(f->as, GIB + 5, AXAS_WRITE),
				 AXAS_FAULT_SPURIOUS);
	assert_int_equal(at(f, GIB).hpa, hpa);
	assert_string_equal((const char *)guest_memory(f, GIB), "guest");
	assert_int_equal(f->host.guest_taken, 1);
}

static void access_beyond_the_permissions_is_denied(void **state)
{
	static const axas_flags_t given[] = { AXAS_READ, RW, RX, RWX };
	FIXTURE(f);

	for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
		const axas_gpa_t gpa = GIB + i * 16 * PAGE;

		assert_ok(axas_map_alloc(f->as, gpa, PAGE, given[i]));
		assert_ok(axas_map_linear(f->as, gpa + PAGE, LINEAR_HPA, PAGE, given[i]));
		assert_ok(axas_map_alloc(f->as, gpa + 2 * PAGE, PAGE, given[i] | AXAS_POPULATE));
		for (axas_flags_t access = 1; access < 8; access++) {
			const int fine = (access & ~given[i]) == 0;
			const axas_fault_result_t mapped =
				fine ? AXAS_FAULT_SPURIOUS : AXAS_FAULT_DENIED;
			const axas_fault_result_t lazy =
				at(f, gpa).state == AXAS_STATE_RESERVED && fine ?
					AXAS_FAULT_RESOLVED :
					mapped;

			assert_int_equal(axas_handle_page_fault(f->as, gpa, access), lazy);
			assert_int_equal(axas_handle_page_fault(f->as, gpa + PAGE, access), mapped);
			assert_int_equal(axas_handle_page_fault(f->as, gpa + 2 * PAGE, access),
					 mapped);
		}
	}
}

static void nothing_there_and_outside_are_unmapped(void **state)
{
	static const axas_gpa_t outside[] = { 0,          GIB - 1,    3 * GIB,    1ull << 41,
					      1ull << 48, 1ull << 57, 1ull << 63, ~0ull };
	FIXTURE(f);

	f->cfg.base = GIB;
	f->cfg.size = 2 * GIB;
	fixture_create(f);
	assert_ok(axas_map_alloc(f->as, GIB, PAGE, RW));
	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++)
		assert_int_equal(axas_handle_page_fault(f->as, outside[i], AXAS_READ),
				 AXAS_FAULT_UNMAPPED);
	assert_int_equal(axas_handle_page_fault(f->as, GIB + PAGE, AXAS_READ), AXAS_FAULT_UNMAPPED);
	assert_int_equal(f->host.guest_taken, 0);
}

static void an_access_that_is_none_is_an_error(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_alloc(f->as, GIB, PAGE, RW));
	assert_int_equal(axas_handle_page_fault(f->as, GIB, 0), AXAS_FAULT_ERROR);
	assert_int_equal(axas_handle_page_fault(f->as, GIB, AXAS_USER), AXAS_FAULT_ERROR);
	for (uint32_t bit = 3; bit < 32; bit++)
		assert_int_equal(axas_handle_page_fault(f->as, GIB, AXAS_READ | 1u << bit),
				 AXAS_FAULT_ERROR);
	assert_int_equal(f->host.guest_taken, 0);
}

static void without_memory_nothing_changes_and_a_later_try_works(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_alloc(f->as, GIB + PAGE, 64 * GIB, RW | AXAS_HUGE_FRAMES));
	f->host.fail_purpose = AXAS_FRAME_GUEST;
	for (int i = 0; i < 3; i++)
		assert_int_equal(axas_handle_page_fault(f->as, 9 * GIB, AXAS_READ),
				 AXAS_FAULT_NO_MEMORY);
	f->host.fail_purpose = AXAS_FRAME_TABLE;
	assert_int_equal(axas_handle_page_fault(f->as, 9 * GIB, AXAS_READ), AXAS_FAULT_NO_MEMORY);
	f->host.fail_purpose = 0;
	assert_int_equal(axas_handle_page_fault(f->as, 9 * GIB, AXAS_READ), AXAS_FAULT_RESOLVED);
	space_sweep(f->as);
}

static void a_quota_ends_the_tables_of_faults(void **state)
{
	FIXTURE(f);

	f->cfg.table_quota = (1u << f->fc->root_order) + f->fc->levels - 1;
	fixture_create(f);
	assert_ok(axas_map_alloc(f->as, 0, 64 * GIB, RW));
	assert_int_equal(axas_handle_page_fault(f->as, 0, AXAS_READ), AXAS_FAULT_RESOLVED);
	assert_int_equal(axas_handle_page_fault(f->as, 2 * MIB - 1, AXAS_READ),
			 AXAS_FAULT_RESOLVED);
	assert_int_equal(axas_handle_page_fault(f->as, 2 * MIB, AXAS_READ), AXAS_FAULT_NO_MEMORY);
	assert_int_equal(space_sweep(f->as).table_frames, f->cfg.table_quota);
	assert_status(AXAS_ERR_NO_MEMORY, axas_map_linear(f->as, 100 * GIB, LINEAR_HPA, PAGE, RW));
	assert_status(AXAS_ERR_NO_MEMORY, axas_unmap(f->as, 5 * GIB, PAGE));
}

static void nonsense_from_the_host_is_given_back(void **state)
{
	static const enum host_nonsense how[] = { HOST_GIVES_UNALIGNED, HOST_GIVES_TOO_HIGH };
	FIXTURE(f);

	assert_ok(axas_map_alloc(f->as, GIB, GIB, RW));
	for (int i = 0; i < 2; i++) {
		for (uint32_t purpose = AXAS_FRAME_TABLE; purpose <= AXAS_FRAME_GUEST; purpose++) {
			f->host.nonsense = how[i];
			f->host.nonsense_purpose = purpose;
			f->host.nonsense_returned = 0;
			assert_int_equal(axas_handle_page_fault(f->as, GIB + 5 * PAGE, AXAS_READ),
					 AXAS_FAULT_NO_MEMORY);
			assert_true(f->host.nonsense_returned >= 1);
			f->host.nonsense_returned = 0;
			assert_status(AXAS_ERR_BAD_STATE,
				      axas_map_alloc(f->as, 9 * GIB, PAGE, RW | AXAS_POPULATE));
			assert_true(f->host.nonsense_returned >= 1);
		}
		f->host.nonsense_purpose = AXAS_FRAME_TABLE;
		f->host.nonsense_returned = 0;
		assert_status(AXAS_ERR_BAD_STATE, axas_unmap(f->as, GIB + PAGE, PAGE));
		assert_status(AXAS_ERR_BAD_STATE, axas_protect(f->as, GIB + PAGE, PAGE, AXAS_READ));
		assert_status(AXAS_ERR_BAD_STATE,
			      axas_map_linear(f->as, 20 * GIB, LINEAR_HPA, PAGE, RW));
		assert_status(AXAS_ERR_BAD_STATE, axas_map_trap(f->as, 20 * GIB, PAGE, 1));
		assert_true(f->host.nonsense_returned >= 4);
		f->host.nonsense = HOST_SANE;
	}
	assert_int_equal(axas_handle_page_fault(f->as, GIB + 5 * PAGE, AXAS_READ),
			 AXAS_FAULT_RESOLVED);
}

static void three_verdicts_resume(void **state)
{
	(void)state;
	for (axas_fault_result_t r = 0; r < 20; r++) {
		const int resumes = r == AXAS_FAULT_RESOLVED || r == AXAS_FAULT_SPURIOUS ||
				    r == AXAS_FAULT_RETRY;

		assert_int_equal(axas_fault_resumes(r) != 0, resumes);
	}
}

static void a_fault_repairs_stale_entries_of_this_cpu_only(void **state)
{
	FIXTURE(f);
	const int riscv = f->cfg.format == AXAS_FORMAT_RISCV_GSTAGE;
	const int arm = f->cfg.format == AXAS_FORMAT_ARM_S2;

	assert_ok(axas_map_alloc(f->as, GIB, PAGE, RW));
	host_forget_log(&f->host);
	assert_int_equal(axas_handle_page_fault(f->as, GIB, AXAS_READ), AXAS_FAULT_RESOLVED);
	assert_int_equal(f->host.flushes, riscv ? 1 : 0);
	if (riscv)
		assert_int_equal(host_last_flush(&f->host)->reason, AXAS_FLUSH_NEW);
	host_forget_log(&f->host);
	assert_int_equal(axas_handle_page_fault(f->as, GIB, AXAS_READ), AXAS_FAULT_SPURIOUS);
	assert_int_equal(f->host.flushes > 0, riscv || arm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(the_first_access_brings_one_frame),
		EACH_FORMAT(a_second_fault_is_spurious_and_keeps_frame_and_data),
		EACH_FORMAT(access_beyond_the_permissions_is_denied),
		EACH_FORMAT_NO_SPACE(nothing_there_and_outside_are_unmapped),
		EACH_FORMAT(an_access_that_is_none_is_an_error),
		EACH_FORMAT(without_memory_nothing_changes_and_a_later_try_works),
		EACH_FORMAT_NO_SPACE(a_quota_ends_the_tables_of_faults),
		EACH_FORMAT(nonsense_from_the_host_is_given_back),
		cmocka_unit_test(three_verdicts_resume),
		EACH_FORMAT(a_fault_repairs_stale_entries_of_this_cpu_only),
	};

	return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
