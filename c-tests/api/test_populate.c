/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Frames for a reservation at once, and back again. */
#include "fixture.h"

static void populate_gives_every_reserved_page_a_frame(void **state)
{
	FIXTURE(f);
	axas_hpa_t kept;

	assert_ok(axas_map_alloc(f->as, GIB, 8 * PAGE, RW));
	assert_ok(axas_map_linear(f->as, GIB + 8 * PAGE, LINEAR_HPA, PAGE, RX));
	assert_int_equal(axas_handle_page_fault(f->as, GIB + 2 * PAGE, AXAS_WRITE),
			 AXAS_FAULT_RESOLVED);
	kept = at(f, GIB + 2 * PAGE).hpa;
	*guest_memory(f, GIB + 2 * PAGE) = 0x42;
	assert_ok(axas_populate(f->as, GIB, 9 * PAGE));
	assert_int_equal(f->host.guest_out, 8);
	assert_int_equal(at(f, GIB + 2 * PAGE).hpa, kept);
	assert_int_equal(*guest_memory(f, GIB + 2 * PAGE), 0x42);
	assert_int_equal(*guest_memory(f, GIB + 7 * PAGE), 0);
	expect_leaf(f, GIB + 8 * PAGE, PAGE, LINEAR_HPA, RX);
	assert_ok(axas_populate(f->as, GIB, 9 * PAGE));
	assert_int_equal(f->host.guest_taken, 8);
	space_sweep(f->as);
}

static void discard_gives_frames_back_and_keeps_the_reservation(void **state)
{
	FIXTURE(f);
	uint64_t tables;

	assert_ok(axas_map_alloc(f->as, GIB, 8 * PAGE, RW | AXAS_POPULATE));
	assert_ok(axas_map_linear(f->as, GIB + 8 * PAGE, LINEAR_HPA, PAGE, RX));
	memset(guest_memory(f, GIB + PAGE), 0x42, PAGE);
	tables = stats(f).table_frames;
	host_forget_log(&f->host);
	assert_ok(axas_discard(f->as, GIB, 9 * PAGE));
	assert_int_equal(f->host.flushes, 1);
	assert_int_equal(host_last_flush(&f->host)->reason, AXAS_FLUSH_UNMAP);
	assert_true(space_flush_covered(GIB, 8 * PAGE));
	assert_int_equal(f->host.guest_out, 0);
	assert_int_equal(f->host.runs, 0);
	assert_int_equal(stats(f).table_frames, tables);
	assert_int_equal(at(f, GIB + PAGE).state, AXAS_STATE_RESERVED);
	assert_int_equal(at(f, GIB + PAGE).flags, RW);
	expect_leaf(f, GIB + 8 * PAGE, PAGE, LINEAR_HPA, RX);
	assert_int_equal(axas_handle_page_fault(f->as, GIB + PAGE, AXAS_READ), AXAS_FAULT_RESOLVED);
	assert_int_equal(*guest_memory(f, GIB + PAGE), 0);
}

static void a_large_frame_comes_back_as_a_large_reservation(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_alloc(f->as, 2 * MIB, 4 * MIB, RW | AXAS_HUGE_FRAMES | AXAS_POPULATE));
	assert_ok(axas_discard(f->as, 2 * MIB, 2 * MIB + PAGE));
	assert_int_equal(f->host.guest_out, 511);
	assert_int_equal(axas_handle_page_fault(f->as, 3 * MIB, AXAS_READ), AXAS_FAULT_RESOLVED);
	assert_int_equal(at(f, 3 * MIB).size, 2 * MIB);
	/* the other was cut: what comes back is one page */
	assert_int_equal(axas_handle_page_fault(f->as, 4 * MIB, AXAS_READ), AXAS_FAULT_RESOLVED);
	assert_int_equal(at(f, 4 * MIB).size, PAGE);
	assert_int_equal(f->host.guest_out, 1024);
}

static void holes_traps_and_bad_ranges_are_refused(void **state)
{
	static const axas_status_t bad = AXAS_ERR_INVALID_INPUT;
	static axas_status_t (*const calls[])(axas_t *, axas_gpa_t, uint64_t) = { axas_populate,
										  axas_discard };
	FIXTURE(f);

	assert_ok(axas_map_alloc(f->as, GIB, 4 * PAGE, RW));
	assert_ok(axas_map_trap(f->as, GIB + 4 * PAGE, PAGE, 1));
	for (int i = 0; i < 2; i++) {
		assert_status(AXAS_ERR_NOT_MAPPED, calls[i](f->as, GIB, 5 * PAGE));
		assert_status(AXAS_ERR_NOT_MAPPED, calls[i](f->as, GIB - PAGE, 2 * PAGE));
		assert_status(AXAS_ERR_NOT_MAPPED, calls[i](f->as, 0, SPACE_SIZE));
		assert_status(bad, calls[i](NULL, GIB, PAGE));
		assert_status(bad, calls[i](f->as, GIB + 1, PAGE));
		assert_status(bad, calls[i](f->as, GIB, PAGE - 1));
		assert_status(bad, calls[i](f->as, GIB, 0));
		assert_status(bad, calls[i](f->as, SPACE_SIZE, PAGE));
		assert_status(bad, calls[i](f->as, 0 - PAGE, 2 * PAGE));
	}
	assert_int_equal(f->host.guest_taken, 0);
}

static void replace_puts_linear_memory_over_anything(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, GIB, RW));
	assert_ok(axas_map_alloc(f->as, 2 * GIB, 8 * PAGE, RW | AXAS_POPULATE));
	assert_ok(axas_map_alloc(f->as, 2 * GIB + 8 * PAGE, GIB, RW));
	assert_ok(axas_map_trap(f->as, 4 * GIB, PAGE, 1));
	host_forget_log(&f->host);
	assert_ok(axas_map_linear(f->as, 2 * GIB - 2 * PAGE, LINEAR_HPA + 8 * GIB - 2 * PAGE,
				  3 * GIB, RX | AXAS_REPLACE));
	assert_int_equal(f->host.guest_out, 0);
	assert_true(space_flush_covered(2 * GIB - 2 * PAGE, 10 * PAGE));
	assert_int_equal(f->host.run[0].gpa, 2 * GIB - 2 * PAGE);
	assert_int_equal(f->host.run[0].size, 2 * PAGE);
	expect_leaf(f, 2 * GIB - 3 * PAGE, PAGE, LINEAR_HPA + GIB - 3 * PAGE, RW);
	expect_leaf(f, 2 * GIB - PAGE, PAGE, LINEAR_HPA + 8 * GIB - PAGE, RX);
	expect_leaf(f, 2 * GIB, GIB, LINEAR_HPA + 8 * GIB, RX);
	expect_leaf(f, 4 * GIB, 2 * MIB, LINEAR_HPA + 10 * GIB, RX);
	space_sweep(f->as);
}

static void an_audit_sees_a_word_that_the_library_did_not_write(void **state)
{
	FIXTURE(f);
	struct walker w;
	uint64_t *root, good;

	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, PAGE, RW));
	assert_ok(axas_audit(f->as));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_audit(NULL));
	w = space_walker(f->as);
	root = host_at(&f->host, w.root);
	root += GIB >> (12 + 9 * (w.levels - 1));
	good = *root;
	/* the table is not there any more: the counts differ */
	*root = f->cfg.format == AXAS_FORMAT_EPT ? 1ull << 63 : 0;
	assert_status(AXAS_ERR_BAD_STATE, axas_audit(f->as));
	/* it names itself */
	*root = f->cfg.format == AXAS_FORMAT_RISCV_GSTAGE ? (good & 0x3ff) | w.root >> 2 :
							    (good & 0xfff) | w.root;
	assert_status(AXAS_ERR_BAD_STATE, axas_audit(f->as));
	*root = good;
	assert_ok(axas_audit(f->as));
}

/* Its frame would go back to the host and be mapped. */
static void no_page_is_replaced_by_a_frame_that_it_owns(void **state)
{
	FIXTURE(f);
	const axas_flags_t how = RX | AXAS_REPLACE;
	const axas_gpa_t large_gpa = GIB + 2 * MIB;
	axas_hpa_t first, second, third, large;

	assert_ok(axas_map_alloc(f->as, GIB, 4 * PAGE, RW | AXAS_POPULATE));
	assert_ok(axas_map_alloc(f->as, large_gpa, 2 * MIB, RW | AXAS_POPULATE | AXAS_HUGE_FRAMES));
	first = at(f, GIB).hpa;
	second = at(f, GIB + PAGE).hpa;
	third = at(f, GIB + 2 * PAGE).hpa;
	large = at(f, large_gpa).hpa;
	assert_int_equal(stats(f).mapped_2m, 1);
	{
		const struct {
			axas_gpa_t gpa;
			axas_hpa_t hpa;
			uint64_t size;
		} refused[] = {
			{ GIB, first, PAGE },
			/* the frame of another page that goes */
			{ GIB, third, 3 * PAGE },
			{ GIB, first - 2 * PAGE, 3 * PAGE },
			/* a large one, whole and in part */
			{ large_gpa, large, 2 * MIB },
			{ large_gpa + 7 * PAGE, large + 7 * PAGE, PAGE },
			{ GIB, large - 2 * MIB, 4 * MIB },
		};

		for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
			host_forget_log(&f->host);
			assert_status(AXAS_ERR_INVALID_INPUT,
				      axas_map_linear(f->as, refused[i].gpa, refused[i].hpa,
						      refused[i].size, how));
			assert_int_equal(f->host.flushes, 0);
		}
	}
	/* the frames on both sides of it are others */
	assert_ok(axas_map_linear(f->as, GIB + PAGE, second + PAGE, PAGE, how));
	assert_ok(axas_map_linear(f->as, GIB + PAGE, second - PAGE, PAGE, how));
	assert_ok(axas_map_linear(f->as, GIB + 2 * PAGE, third - PAGE, PAGE, how));
	expect_leaf(f, GIB + 2 * PAGE, PAGE, third - PAGE, RX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(populate_gives_every_reserved_page_a_frame),
		EACH_FORMAT(discard_gives_frames_back_and_keeps_the_reservation),
		EACH_FORMAT(a_large_frame_comes_back_as_a_large_reservation),
		EACH_FORMAT(holes_traps_and_bad_ranges_are_refused),
		EACH_FORMAT(replace_puts_linear_memory_over_anything),
		EACH_FORMAT(no_page_is_replaced_by_a_frame_that_it_owns),
		EACH_FORMAT(an_audit_sees_a_word_that_the_library_did_not_write),
	};

	return cmocka_run_group_tests_name("populate", tests, NULL, NULL);
}
