/* SPDX-License-Identifier: MIT OR Apache-2.0 */
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
	assert_int_equal(s.faults_wait | s.faults_marked | s.pages_cleaned | s.splits | s.merges,
			 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(s.reserved[i], 0);
}

static void requests_count_what_the_host_saw(void **state)
{
	FIXTURE(f);
	axas_stats_t s;

	assert_ok(axas_map_alloc(f->as, GIB, 3 * PAGE, RW | AXAS_POPULATE));
	assert_ok(axas_map_alloc(f->as, 2 * MIB, 2 * MIB, RW | AXAS_POPULATE | AXAS_HUGE_FRAMES));
	assert_ok(axas_protect(f->as, GIB, 2 * PAGE, AXAS_READ));
	assert_ok(axas_unmap(f->as, GIB + PAGE, 2 * PAGE));
	s = stats(f);
	assert_int_equal(s.tlb_requests, f->host.flushes);
	assert_int_equal(s.guest_frames, 513);
}

/* --- every frame that crossed a callback, in pages --------------------------------------------- */

static struct {
	axas_alloc_frame_fn alloc;
	axas_dealloc_frame_fn dealloc;
	uint64_t taken, given;
} counted;

static axas_hpa_t counted_alloc(void *ctx, uint32_t order, uint32_t purpose)
{
	const axas_hpa_t frame = counted.alloc(ctx, order, purpose);

	if (frame != AXAS_HPA_INVALID)
		counted.taken += 1ull << order;
	return frame;
}

static void counted_dealloc(void *ctx, axas_hpa_t frame, uint32_t order, uint32_t purpose)
{
	counted.given += 1ull << order;
	counted.dealloc(ctx, frame, order, purpose);
}

static void expect_counted(const struct fixture *f)
{
	const axas_stats_t s = stats(f);
	const uint64_t handle = counted.taken - counted.given - s.table_frames - s.guest_frames;

	assert_int_equal(s.frames_allocated, counted.taken);
	assert_int_equal(s.frames_released, counted.given);
	assert_true(handle <= 1);
}

static void use_all_that_takes_frames(struct fixture *f)
{
	assert_ok(axas_map_alloc(f->as, GIB, 2 * GIB, RW | AXAS_HUGE_FRAMES));
	assert_ok(axas_map_linear(f->as, 4 * GIB, LINEAR_HPA, GIB, RW));
	assert_ok(axas_map_trap(f->as, 6 * GIB + PAGE, 3 * PAGE, 1));
	expect_counted(f);
	for (axas_gpa_t gpa = GIB; gpa < GIB + 8 * MIB; gpa += MIB)
		assert_true(axas_fault_resumes(axas_handle_page_fault(f->as, gpa, AXAS_WRITE)));
	expect_counted(f);
	/* without memory, and with nonsense in place of a frame */
	f->host.fail_at = 1;
	assert_int_equal(axas_handle_page_fault(f->as, 2 * GIB, AXAS_READ), AXAS_FAULT_RESOLVED);
	f->host.fail_purpose = AXAS_FRAME_GUEST;
	assert_int_equal(axas_handle_page_fault(f->as, 2 * GIB + 4 * MIB, AXAS_READ),
			 AXAS_FAULT_NO_MEMORY);
	f->host.fail_purpose = 0;
	f->host.nonsense = HOST_GIVES_UNALIGNED;
	f->host.nonsense_purpose = AXAS_FRAME_GUEST;
	assert_int_equal(axas_handle_page_fault(f->as, 2 * GIB + 4 * MIB, AXAS_READ),
			 AXAS_FAULT_NO_MEMORY);
	f->host.nonsense_purpose = AXAS_FRAME_TABLE;
	assert_status(AXAS_ERR_BAD_STATE, axas_unmap(f->as, 4 * GIB + PAGE, PAGE));
	f->host.nonsense = HOST_SANE;
	expect_counted(f);
	assert_ok(axas_protect(f->as, GIB + PAGE, 5 * MIB, AXAS_READ));
	assert_ok(axas_populate(f->as, 2 * GIB, 4 * MIB));
	assert_ok(axas_discard(f->as, GIB, 3 * MIB));
	assert_ok(axas_unmap(f->as, 4 * GIB + PAGE, PAGE));
	expect_counted(f);
}

/* The handle's frame too; those of axas_frame_alloc belong to no space. */
static void frames_count_what_crossed_the_callbacks(void **state)
{
	static _Alignas(AXAS_STORAGE_ALIGN) uint8_t storage[AXAS_STORAGE_SIZE];
	FIXTURE(f);

	counted.alloc = f->host.hal.alloc_frame;
	counted.dealloc = f->host.hal.dealloc_frame;
	f->host.hal.alloc_frame = counted_alloc;
	f->host.hal.dealloc_frame = counted_dealloc;
	for (int in_storage = 0; in_storage < 2; in_storage++) {
		axas_frame_t own;
		uint64_t held;

		counted.taken = counted.given = 0;
		if (in_storage)
			assert_ok(axas_create_in(storage, sizeof(storage), &f->cfg, &f->host.hal,
						 &f->as));
		else
			fixture_create(f);
		assert_int_equal(stats(f).frames_allocated,
				 (1u << f->fc->root_order) + (in_storage ? 0 : 1));
		expect_counted(f);
		use_all_that_takes_frames(f);
		assert_ok(axas_clear(f->as));
		expect_counted(f);
		use_all_that_takes_frames(f);
		held = counted.taken;
		assert_ok(axas_frame_alloc(&f->host.hal, 0, 1, &own));
		assert_ok(axas_frame_release(&f->host.hal, &own));
		assert_int_equal(stats(f).frames_allocated, held);
		fixture_destroy(f);
		assert_int_equal(counted.given, counted.taken);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(every_verdict_is_counted_once),
		EACH_FORMAT(requests_count_what_the_host_saw),
		EACH_FORMAT_NO_SPACE(frames_count_what_crossed_the_callbacks),
	};

	return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
