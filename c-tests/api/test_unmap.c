/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Removing: cuts, holes, splits, what goes back and after which flush. */
#include "fixture.h"

/* Everything around [from, to) is as before: same hosts, same permission, same memory type. */
static void expect_linear_around(struct fixture *f, axas_gpa_t start, axas_gpa_t end,
				 axas_gpa_t from, axas_gpa_t to, axas_flags_t flags)
{
	const axas_gpa_t probe[] = { start, from - PAGE, from - 1, to, to + PAGE, end - 1 };

	for (size_t i = 0; i < sizeof(probe) / sizeof(probe[0]); i++) {
		const axas_mapping_t m = at(f, probe[i]);

		assert_int_equal(m.state, AXAS_STATE_LINEAR);
		assert_int_equal(m.hpa + (probe[i] - m.gpa), LINEAR_HPA + probe[i]);
		assert_int_equal(m.flags, flags);
	}
	for (axas_gpa_t gpa = from; gpa < to; gpa += (to - from) / 2 + 1)
		expect_state(f, gpa, AXAS_STATE_ABSENT);
	expect_state(f, to - 1, AXAS_STATE_ABSENT);
	space_sweep(f->as);
}

static void huge_pages_are_cut_exactly(void **state)
{
	static const struct {
		axas_gpa_t from, to; /* within one page of 1 GiB at 2 GiB */
	} cut[] = {
		{ 2 * GIB + 5 * PAGE, 2 * GIB + 6 * PAGE },
		{ 2 * GIB + 2 * PAGE, 3 * GIB - 2 * PAGE },
		{ 2 * GIB + 2 * MIB, 2 * GIB + 4 * MIB },
		{ 2 * GIB + 4 * MIB - PAGE, 2 * GIB + 4 * MIB + PAGE },
		{ 2 * GIB + 512 * MIB + 3 * PAGE, 2 * GIB + 700 * MIB },
	};
	FIXTURE(f);

	f->cfg.features |=
		f->cfg.format == AXAS_FORMAT_RISCV_GSTAGE ? AXAS_FEATURE_RISCV_SVPBMT : 0;
	fixture_create(f);
	for (size_t i = 0; i < sizeof(cut) / sizeof(cut[0]); i++) {
		axas_flags_t flags;

		assert_ok(axas_map_linear(f->as, 2 * GIB, LINEAR_HPA + 2 * GIB, GIB,
					  AXAS_READ | AXAS_DEVICE));
		assert_int_equal(at(f, 2 * GIB).size, GIB);
		flags = at(f, 2 * GIB).flags;
		assert_ok(axas_unmap(f->as, cut[i].from, cut[i].to - cut[i].from));
		assert_true(space_flush_covered(cut[i].from, cut[i].to - cut[i].from));
		expect_linear_around(f, 2 * GIB, 3 * GIB, cut[i].from, cut[i].to, flags);
		assert_ok(axas_unmap(f->as, 0, SPACE_SIZE));
		assert_int_equal(space_sweep(f->as).table_frames, 1u << f->fc->root_order);
	}
}

static void a_page_of_2_mib_loses_one_page(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_linear(f->as, 4 * MIB, LINEAR_HPA, 2 * MIB, RX));
	for (uint32_t page = 0; page < 511; page += 73) {
		assert_ok(axas_unmap(f->as, 4 * MIB + page * PAGE, PAGE));
		expect_state(f, 4 * MIB + page * PAGE, AXAS_STATE_ABSENT);
		expect_leaf(f, 4 * MIB + (page + 1) * PAGE, PAGE, LINEAR_HPA + (page + 1) * PAGE,
			    RX);
	}
	assert_int_equal(space_sweep(f->as).leaves[1], 512 - 7);
}

static void the_middle_of_a_reservation_goes_and_the_rest_stays(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_alloc(f->as, GIB, 4 * GIB, RX | AXAS_HUGE_FRAMES));
	host_forget_log(&f->host);
	assert_ok(axas_unmap(f->as, 2 * GIB + MIB, GIB));
	expect_state(f, 2 * GIB + MIB, AXAS_STATE_ABSENT);
	expect_state(f, 3 * GIB + MIB - 1, AXAS_STATE_ABSENT);
	assert_int_equal(at(f, 2 * GIB + MIB - 1).flags, RX | AXAS_HUGE_FRAMES);
	assert_int_equal(at(f, 3 * GIB + MIB).flags, RX | AXAS_HUGE_FRAMES);
	assert_int_equal(f->host.flushes_all, 0);
	assert_int_equal(axas_handle_page_fault(f->as, GIB, AXAS_EXECUTE), AXAS_FAULT_RESOLVED);
	assert_int_equal(axas_handle_page_fault(f->as, 3 * GIB, AXAS_READ), AXAS_FAULT_UNMAPPED);
	space_sweep(f->as);
}

static void owned_frames_go_back_as_pieces_of_a_large_one(void **state)
{
	FIXTURE(f);
	axas_mapping_t m;

	assert_ok(axas_map_alloc(f->as, 2 * MIB, 2 * MIB, RW | AXAS_HUGE_FRAMES | AXAS_POPULATE));
	m = at(f, 2 * MIB);
	assert_int_equal(m.size, 2 * MIB);
	memset(guest_memory(f, 2 * MIB), 0x5a, 2 * MIB);
	assert_ok(axas_unmap(f->as, 2 * MIB + 10 * PAGE, 3 * PAGE));
	assert_int_equal(f->host.guest_out, 512 - 3);
	assert_int_equal(at(f, 2 * MIB + 13 * PAGE).hpa, m.hpa + 13 * PAGE);
	assert_int_equal(at(f, 2 * MIB + 13 * PAGE).state, AXAS_STATE_OWNED);
	assert_int_equal(*guest_memory(f, 2 * MIB + 13 * PAGE), 0x5a);
	assert_int_equal(*guest_memory(f, 4 * MIB - 1), 0x5a);
	assert_ok(axas_unmap(f->as, 2 * MIB + 9 * PAGE, 5 * PAGE));
	assert_int_equal(f->host.guest_out, 512 - 5);
	assert_ok(axas_unmap(f->as, 2 * MIB, 2 * MIB));
	assert_int_equal(f->host.guest_out, 0);
}

static void a_frame_of_1_gib_goes_back_in_pieces(void **state)
{
	FIXTURE(f);
	axas_mapping_t m;

	f->cfg.options = AXAS_NO_ZERO;
	fixture_create(f);
	assert_ok(axas_map_alloc(f->as, GIB, GIB, RW | AXAS_HUGE_FRAMES | AXAS_POPULATE));
	m = at(f, GIB);
	assert_int_equal(m.size, GIB);
	assert_ok(axas_unmap(f->as, GIB + 5 * PAGE, 4 * MIB));
	assert_int_equal(f->host.guest_out, 262144 - 1024);
	assert_int_equal(at(f, GIB + 5 * PAGE + 4 * MIB).hpa, m.hpa + 5 * PAGE + 4 * MIB);
	assert_int_equal(at(f, 2 * GIB - 1).hpa, m.hpa + GIB - 2 * MIB);
	assert_int_equal(at(f, 2 * GIB - 1).state, AXAS_STATE_OWNED);
	assert_ok(axas_unmap(f->as, GIB, GIB));
	assert_int_equal(f->host.guest_out, 0);
}

static void holes_are_fine_and_size_0_does_nothing(void **state)
{
	FIXTURE(f);

	assert_ok(axas_unmap(f->as, 0, SPACE_SIZE));
	assert_ok(axas_unmap(f->as, 3 * PAGE, 0));
	assert_ok(axas_unmap(f->as, SPACE_SIZE - PAGE, PAGE));
	assert_int_equal(f->host.flushes, 0);
	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, PAGE, RW));
	assert_ok(axas_map_alloc(f->as, 3 * GIB, PAGE, RW));
	assert_ok(axas_unmap(f->as, PAGE, SPACE_SIZE - 2 * PAGE));
	assert_int_equal(space_sweep(f->as).table_frames, 1u << f->fc->root_order);
}

static void bad_ranges_are_invalid(void **state)
{
	static const axas_status_t bad = AXAS_ERR_INVALID_INPUT;
	FIXTURE(f);

	assert_ok(axas_map_linear(f->as, 0, LINEAR_HPA, 4 * PAGE, RW));
	assert_status(bad, axas_unmap(f->as, 1, PAGE));
	assert_status(bad, axas_unmap(f->as, 0, PAGE / 2));
	assert_status(bad, axas_unmap(f->as, 1, 0));
	assert_status(bad, axas_unmap(f->as, SPACE_SIZE, PAGE));
	assert_status(bad, axas_unmap(f->as, SPACE_SIZE - PAGE, 2 * PAGE));
	assert_status(bad, axas_unmap(f->as, 0 - PAGE, 2 * PAGE));
	assert_status(bad, axas_unmap(f->as, PAGE, 0 - PAGE));
	assert_int_equal(f->host.flushes_all, 0);
	expect_state(f, 3 * PAGE, AXAS_STATE_LINEAR);
}

static void one_flush_covers_what_went_and_names_it(void **state)
{
	FIXTURE(f);
	const axas_tlb_request_t *q;

	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, 4 * PAGE, RW));
	host_forget_log(&f->host);
	assert_ok(axas_unmap(f->as, GIB + PAGE, PAGE));
	assert_int_equal(f->host.flushes, 1);
	q = host_last_flush(&f->host);
	assert_int_equal(q->reason, AXAS_FLUSH_UNMAP);
	assert_int_equal(q->scope, AXAS_SCOPE_ALL);
	assert_int_equal(q->vmid, 5);
	assert_int_equal(q->tables_removed, 0);
	assert_true(q->level == 0 || q->level == 1);
	assert_true(space_flush_covered(GIB + PAGE, PAGE));
	assert_ok(axas_unmap(f->as, GIB, 4 * PAGE));
	assert_int_equal(f->host.flushes, 2);
	q = host_last_flush(&f->host);
	assert_int_not_equal(q->tables_removed, 0);
	assert_true(space_flush_covered(GIB, PAGE));
	assert_true(space_flush_covered(GIB + 2 * PAGE, 2 * PAGE));
}

static void a_split_is_flushed_for_the_whole_page_or_as_a_table(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, GIB, RW));
	host_forget_log(&f->host);
	assert_ok(axas_unmap(f->as, GIB + MIB, PAGE));
	assert_int_equal(f->host.flushes_all, 1);
	assert_true(space_flush_covered(GIB + MIB, PAGE));
	/* break-before-make: the translation of the whole block must have been out of use */
	if (f->cfg.format == AXAS_FORMAT_ARM_S2)
		assert_true(space_flush_covered(GIB, GIB));
}

static uint64_t released_bytes(const struct host *h)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < h->runs; i++)
		bytes += h->run[i].size;
	return bytes;
}

static void linear_runs_are_released_after_the_flush(void **state)
{
	FIXTURE(f);
	const axas_gpa_t gpa = GIB - 2 * PAGE;

	assert_ok(axas_map_linear(f->as, gpa, LINEAR_HPA + gpa, 2 * MIB + 4 * PAGE, RX));
	assert_ok(axas_map_linear(f->as, 3 * GIB, LINEAR_HPA, PAGE, RW));
	assert_ok(axas_map_alloc(f->as, 4 * GIB, 2 * PAGE, RW | AXAS_POPULATE));
	assert_ok(axas_map_trap(f->as, 5 * GIB, PAGE, 1));
	assert_ok(axas_unmap(f->as, gpa + PAGE, 10 * GIB));
	assert_int_equal(released_bytes(&f->host), 2 * MIB + 4 * PAGE);
	for (uint32_t i = 0; i < f->host.runs; i++) {
		const axas_mapping_t *run = &f->host.run[i];

		if (run->gpa == 3 * GIB) {
			assert_int_equal(run->hpa, LINEAR_HPA);
			assert_int_equal(run->flags, RW);
			continue;
		}
		assert_true(run->gpa > gpa && run->gpa + run->size <= gpa + 2 * MIB + 4 * PAGE);
		assert_int_equal(run->hpa, LINEAR_HPA + run->gpa);
		assert_int_equal(run->flags, RX);
	}
	assert_int_equal(at(f, gpa).state, AXAS_STATE_LINEAR);
}

static void without_released_linear_memory_still_goes(void **state)
{
	FIXTURE(f);

	f->host.hal.released = NULL;
	fixture_create(f);
	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, GIB + 3 * PAGE, RW));
	assert_ok(axas_unmap(f->as, GIB + PAGE, GIB));
	expect_leaf(f, GIB, PAGE, LINEAR_HPA, RW);
	expect_leaf(f, 2 * GIB + 2 * PAGE, PAGE, LINEAR_HPA + GIB + 2 * PAGE, RW);
	expect_state(f, 2 * GIB + PAGE - 1, AXAS_STATE_ABSENT);
	assert_ok(axas_unmap(f->as, 0, SPACE_SIZE));
	assert_int_equal(space_sweep(f->as).table_frames, 1u << f->fc->root_order);
}

static void churn_leaves_no_table_behind(void **state)
{
	FIXTURE(f);

	for (uint64_t k = 0; k < 200; k++) {
		const axas_gpa_t gpa = (k * 7919 % 500) * GIB + (k * 104729 % 1000) * PAGE;

		assert_ok(axas_map_linear(f->as, gpa, LINEAR_HPA, (1 + k % 9) * PAGE, RW));
		assert_ok(axas_unmap(f->as, gpa, (1 + k % 9) * PAGE));
		assert_int_equal(f->host.tables_out - (1u << f->fc->root_order), 1);
	}
}

/* Two mappings in one table; one goes by a cut at its edge, the other has to live on. */
static void a_table_stays_while_anything_is_in_it(void **state)
{
	FIXTURE(f);
	static const uint32_t keep[] = { 0, 1, 100, 255, 510, 511 };

	for (size_t i = 0; i < sizeof(keep) / sizeof(keep[0]); i++) {
		const axas_gpa_t kept = GIB + keep[i] * PAGE;

		assert_ok(axas_map_alloc(f->as, kept, PAGE, RW));
		if (keep[i] > 2)
			assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, 2 * PAGE, RW));
		if (keep[i] < 509)
			assert_ok(
				axas_map_linear(f->as, GIB + 510 * PAGE, LINEAR_HPA, 2 * PAGE, RW));
		assert_ok(axas_unmap(f->as, GIB - 2 * MIB, 2 * MIB + keep[i] * PAGE));
		assert_ok(axas_unmap(f->as, kept + PAGE, 4 * MIB));
		expect_state(f, kept, AXAS_STATE_RESERVED);
		assert_int_equal(space_sweep(f->as).tables[1], 1);
		assert_ok(axas_unmap(f->as, kept, PAGE));
		assert_int_equal(space_sweep(f->as).table_frames, 1u << f->fc->root_order);
	}
}

/* The neighbours of the range are empty: whoever looks no further loses the page that is left. */
static void a_page_far_from_the_cut_keeps_its_table(void **state)
{
	FIXTURE(f);

	for (uint32_t far = 20; far < 512; far += 163) {
		assert_ok(axas_map_linear(f->as, GIB + far * PAGE, LINEAR_HPA, PAGE, RX));
		assert_ok(axas_map_alloc(f->as, GIB + 5 * PAGE, PAGE, RW | AXAS_POPULATE));
		assert_ok(axas_map_linear(f->as, GIB + 3 * 2 * MIB, LINEAR_HPA, PAGE, RX));
		assert_ok(axas_unmap(f->as, GIB - PAGE, 10 * PAGE));
		expect_leaf(f, GIB + far * PAGE, PAGE, LINEAR_HPA, RX);
		assert_ok(axas_unmap(f->as, GIB, 2 * MIB));
		expect_leaf(f, GIB + 3 * 2 * MIB, PAGE, LINEAR_HPA, RX);
		assert_int_equal(space_sweep(f->as).tables[1], 1);
		assert_ok(axas_unmap(f->as, 0, SPACE_SIZE));
		assert_int_equal(space_sweep(f->as).table_frames, 1u << f->fc->root_order);
	}
}

static void expect_tables(const struct fixture *f, uint64_t tables)
{
	assert_int_equal(space_sweep(f->as).table_frames, tables);
	assert_int_equal(stats(f).table_frames, tables);
}

static void the_last_page_of_a_table_takes_it_away(void **state)
{
	FIXTURE(f);
	uint64_t none, some;

	none = stats(f).table_frames;
	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, PAGE, RW));
	some = stats(f).table_frames;
	assert_true(some > none);
	assert_ok(axas_unmap(f->as, GIB, PAGE));
	expect_tables(f, none);
	/* beside each other, and apart */
	for (axas_gpa_t apart = PAGE; apart <= 5 * PAGE; apart += 4 * PAGE) {
		assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, PAGE, RW));
		assert_ok(axas_map_linear(f->as, GIB + apart, LINEAR_HPA + 9 * PAGE, PAGE, RW));
		assert_ok(axas_unmap(f->as, GIB + apart, PAGE));
		expect_leaf(f, GIB, PAGE, LINEAR_HPA, RW);
		expect_tables(f, some);
		assert_ok(axas_unmap(f->as, GIB, PAGE));
		expect_tables(f, none);
	}
}

static void the_last_page_of_a_table_takes_it_away_where_nobody_is_told(void **state)
{
	FIXTURE(f);

	f->host.hal.released = NULL;
	fixture_create(f);
	the_last_page_of_a_table_takes_it_away(state);
}

/* What `released` was told last is all that it was told. */
static void expect_told(struct fixture *f, axas_gpa_t gpa, axas_hpa_t hpa, axas_flags_t flags)
{
	const axas_mapping_t *run = &f->host.run[0];

	assert_int_equal(f->host.runs, 1);
	assert_int_equal(run->gpa, gpa);
	assert_int_equal(run->size, PAGE);
	assert_int_equal(run->hpa, hpa);
	assert_int_equal(run->cookie, 0);
	assert_int_equal(run->flags, flags);
	assert_int_equal(run->level, 1);
	assert_int_equal(run->reserved0, 0);
	assert_int_equal(run->reserved[0] | run->reserved[1], 0);
	host_forget_log(&f->host);
}

/* One page whose table is there goes by a way of its own. */
static void a_page_that_goes_alone_is_told_as_it_was(void **state)
{
	FIXTURE(f);
	const axas_gpa_t gpa = SPACE_SIZE - 2 * PAGE;
	static const axas_flags_t kinds[] = { AXAS_READ, RW, RX, AXAS_READ | AXAS_DEVICE };

	/* neighbours keep the table */
	assert_ok(axas_map_linear(f->as, gpa - PAGE, LINEAR_HPA, PAGE, RW));
	assert_ok(axas_map_linear(f->as, gpa + PAGE, LINEAR_HPA + 9 * PAGE, PAGE, RW));
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		axas_flags_t flags;

		/* nothing is replaced */
		assert_ok(axas_map_linear(f->as, gpa, LINEAR_HPA + 3 * PAGE, PAGE,
					  kinds[i] | AXAS_REPLACE));
		assert_int_equal(f->host.runs, 0);
		flags = at(f, gpa).flags;
		/* another frame */
		assert_ok(axas_map_linear(f->as, gpa, LINEAR_HPA + 5 * PAGE, PAGE,
					  RX | AXAS_REPLACE));
		assert_true(space_flush_covered(gpa, PAGE));
		expect_told(f, gpa, LINEAR_HPA + 3 * PAGE, flags);
		/* the same frame, otherwise */
		assert_ok(axas_map_linear(f->as, gpa, LINEAR_HPA + 5 * PAGE, PAGE,
					  kinds[i] | AXAS_REPLACE));
		assert_int_equal(f->host.runs, 0);
		expect_leaf(f, gpa, PAGE, LINEAR_HPA + 5 * PAGE, kinds[i] & (RW | RX));
		assert_ok(axas_unmap(f->as, gpa, PAGE));
		assert_true(space_flush_covered(gpa, PAGE));
		expect_told(f, gpa, LINEAR_HPA + 5 * PAGE, flags);
		assert_ok(axas_unmap(f->as, gpa, PAGE));
		assert_int_equal(f->host.runs, 0);
		space_sweep(f->as);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT_NO_SPACE(huge_pages_are_cut_exactly),
		EACH_FORMAT(a_page_of_2_mib_loses_one_page),
		EACH_FORMAT(the_middle_of_a_reservation_goes_and_the_rest_stays),
		EACH_FORMAT(owned_frames_go_back_as_pieces_of_a_large_one),
		EACH_FORMAT_NO_SPACE(a_frame_of_1_gib_goes_back_in_pieces),
		EACH_FORMAT(holes_are_fine_and_size_0_does_nothing),
		EACH_FORMAT(bad_ranges_are_invalid),
		EACH_FORMAT(one_flush_covers_what_went_and_names_it),
		EACH_FORMAT(a_split_is_flushed_for_the_whole_page_or_as_a_table),
		EACH_FORMAT(linear_runs_are_released_after_the_flush),
		EACH_FORMAT_NO_SPACE(without_released_linear_memory_still_goes),
		EACH_FORMAT(churn_leaves_no_table_behind),
		EACH_FORMAT(a_table_stays_while_anything_is_in_it),
		EACH_FORMAT(a_page_far_from_the_cut_keeps_its_table),
		EACH_FORMAT(the_last_page_of_a_table_takes_it_away),
		EACH_FORMAT_NO_SPACE(the_last_page_of_a_table_takes_it_away_where_nobody_is_told),
		EACH_FORMAT(a_page_that_goes_alone_is_told_as_it_was),
	};

	return cmocka_run_group_tests_name("unmap", tests, NULL, NULL);
}
