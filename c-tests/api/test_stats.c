/* Counters. (That they count what stands in the tables is checked by every sweep.) */
#include "fixture.h"

static void every_verdict_is_counted_once(void **state)
{
	FIXTURE(f);
	axas_stats_t s;

	assert_ok(axas_map_alloc(f->as, GIB, 4 * PAGE, AXAS_READ));
	assert_ok(axas_map_trap(f->as, 2 * GIB, PAGE, 1));
	for (axas_gpa_t at = 0; at < 2 * PAGE; at += PAGE)
		assert_int_equal(axas_handle_page_fault(f->as, GIB + at, AXAS_READ),
				 AXAS_FAULT_RESOLVED);
	for (int i = 0; i < 3; i++)
		assert_int_equal(axas_handle_page_fault(f->as, GIB, AXAS_READ),
				 AXAS_FAULT_SPURIOUS);
	for (int i = 0; i < 4; i++)
		assert_int_equal(axas_handle_page_fault(f->as, 2 * GIB, AXAS_READ),
				 AXAS_FAULT_TRAP);
	for (int i = 0; i < 5; i++)
		assert_int_equal(axas_handle_page_fault(f->as, 3 * GIB, AXAS_READ),
				 AXAS_FAULT_UNMAPPED);
	for (int i = 0; i < 6; i++)
		assert_int_equal(axas_handle_page_fault(f->as, GIB, AXAS_WRITE), AXAS_FAULT_DENIED);
	f->host.fail_purpose = AXAS_FRAME_GUEST;
	for (int i = 0; i < 7; i++)
		assert_int_equal(axas_handle_page_fault(f->as, GIB + 3 * PAGE, AXAS_READ),
				 AXAS_FAULT_NO_MEMORY);
	for (int i = 0; i < 8; i++)
		assert_int_equal(axas_handle_page_fault(f->as, GIB, 0), AXAS_FAULT_ERROR);
	s = stats(f);
	assert_int_equal(s.faults_resolved, 2);
	assert_int_equal(s.faults_spurious, 3);
	assert_int_equal(s.faults_trap, 4);
	assert_int_equal(s.faults_unmapped, 5);
	assert_int_equal(s.faults_denied, 6);
	assert_int_equal(s.faults_no_memory, 7);
	assert_int_equal(s.faults_error, 8);
	assert_int_equal(s.faults_retry, 0);
	assert_int_equal(s.guest_frames, 2);
	assert_int_equal(s.mapped_4k, 2);
	for (int i = 0; i < 8; i++)
		assert_int_equal(s.reserved[i], 0);
}

static void frames_and_requests_count_what_the_host_saw(void **state)
{
	FIXTURE(f);
	const uint64_t handle = f->host.tables_out - (1u << f->fc->root_order);
	uint64_t uncounted;
	uint32_t flushes;
	axas_stats_t s;

	assert_ok(axas_map_alloc(f->as, GIB, 3 * PAGE, RW | AXAS_POPULATE));
	assert_ok(axas_map_alloc(f->as, 2 * MIB, 2 * MIB, RW | AXAS_POPULATE | AXAS_HUGE_FRAMES));
	assert_ok(axas_protect(f->as, GIB, 2 * PAGE, AXAS_READ));
	assert_ok(axas_unmap(f->as, GIB + PAGE, 2 * PAGE));
	flushes = f->host.flushes;
	s = stats(f);
	assert_int_equal(s.tlb_requests, flushes);
	/* the frame of the handle counts both ways or not at all */
	uncounted = f->host.guest_taken + f->host.tables_taken - s.frames_allocated;
	assert_true(uncounted == 0 || uncounted == handle);
	assert_int_equal(s.frames_allocated - s.frames_released,
			 s.table_frames + s.guest_frames + handle - uncounted);
	assert_int_equal(s.guest_frames, 513);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(every_verdict_is_counted_once),
		EACH_FORMAT(frames_and_requests_count_what_the_host_saw),
	};

	return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
