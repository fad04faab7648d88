/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Pages that stay mapped and that no walker finds, notes, and pages without any permission. */
#include "fixture.h"

#define AT (4 * GIB)

static int setup_hides(void **state)
{
	struct fixture *f;

	setup_space(state);
	f = *state;
	f->host.hides = 1;
	return 0;
}

static int setup_callback_hides(void **state)
{
	struct fixture *f;

	setup_callback_host(state);
	f = *state;
	f->host.hides = 1;
	fixture_create(f);
	return 0;
}

#define EACH_HIDING(test)                                                                      \
	ONE(test, setup_hides, ept), ONE(test, setup_hides, npt), ONE(test, setup_hides, arm), \
		ONE(test, setup_hides, riscv)
#define EACH_CALLBACK(test)                                                         \
	ONE(test, setup_callback_hides, ept), ONE(test, setup_callback_hides, npt), \
		ONE(test, setup_callback_hides, arm), ONE(test, setup_callback_hides, riscv)

static axas_fault_result_t fault(struct fixture *f, axas_gpa_t gpa, axas_flags_t access)
{
	return axas_handle_page_fault(f->as, gpa, access);
}

static void expect_hidden(struct fixture *f, axas_gpa_t gpa, axas_hpa_t hpa, axas_flags_t flags)
{
	const axas_mapping_t m = at(f, gpa);

	assert_int_equal(m.state, AXAS_STATE_HIDDEN);
	assert_int_equal(m.hpa + (gpa - m.gpa), hpa);
	assert_int_equal(m.flags, flags);
	assert_int_equal(fault(f, gpa, AXAS_READ), AXAS_FAULT_HIDDEN);
	assert_int_equal(axas_fault_resumes(AXAS_FAULT_HIDDEN), 0);
}

static int same_balance(const struct fixture *f, const axas_stats_t *s)
{
	const axas_stats_t now = stats(f);

	return now.guest_frames == s->guest_frames && now.mapped_4k == s->mapped_4k &&
	       now.mapped_2m == s->mapped_2m && now.mapped_1g == s->mapped_1g &&
	       now.frames_allocated == s->frames_allocated &&
	       now.frames_released == s->frames_released && now.table_frames == s->table_frames;
}

static void archives_say_whether_they_have_it(void **state)
{
	(void)state;
	assert_int_equal(axas_parts() & AXAS_PART_HIDE, AXAS_PART_HIDE);
}

static void a_hidden_page_keeps_all_but_its_translation(void **state)
{
	static const uint64_t sizes[] = { PAGE, 2 * MIB, GIB };
	FIXTURE(f);

	for (size_t i = 0; i < 3; i++) {
		axas_stats_t before;

		assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, sizes[i], RX | AXAS_DEVICE));
		before = stats(f);
		host_forget_log(&f->host);
		assert_ok(axas_hide(f->as, AT, sizes[i], 0));
		assert_int_equal(f->host.flushes, 1);
		assert_int_equal(host_last_flush(&f->host)->reason, AXAS_FLUSH_UNMAP);
		assert_true(space_flush_covered(AT, sizes[i]));
		assert_int_equal(at(f, AT).size, sizes[i]);
		expect_hidden(f, AT, LINEAR_HPA, at(f, AT).flags);
		assert_int_equal(space_access(at(f, AT).flags), RX);
		expect_hidden(f, AT + sizes[i] - 1, LINEAR_HPA + sizes[i] - 1, at(f, AT).flags);
		assert_true(same_balance(f, &before));
		space_sweep(f->as);
		host_forget_log(&f->host);
		assert_ok(axas_hide(f->as, AT, sizes[i], 0));
		assert_ok(axas_show(f->as, AT, sizes[i]));
		assert_int_equal(f->host.flushes_all, 0);
		expect_leaf(f, AT, sizes[i], LINEAR_HPA, RX);
		assert_int_equal(fault(f, AT, AXAS_READ), AXAS_FAULT_SPURIOUS);
		assert_ok(axas_unmap(f->as, AT, sizes[i]));
	}
}

static void only_pages_are_hidden(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, PAGE, RW));
	assert_ok(axas_map_alloc(f->as, AT + PAGE, 2 * PAGE, RW));
	assert_ok(axas_map_trap(f->as, AT + 3 * PAGE, PAGE, 7));
	assert_ok(axas_map_note(f->as, AT + 4 * PAGE, PAGE, 9, 0));
	assert_int_equal(fault(f, AT + PAGE, RW), AXAS_FAULT_RESOLVED);
	assert_ok(axas_hide(f->as, AT - 2 * MIB, 4 * MIB, 0));
	expect_state(f, AT - PAGE, AXAS_STATE_ABSENT);
	expect_state(f, AT, AXAS_STATE_HIDDEN);
	expect_state(f, AT + PAGE, AXAS_STATE_HIDDEN);
	expect_state(f, AT + 2 * PAGE, AXAS_STATE_RESERVED);
	expect_state(f, AT + 3 * PAGE, AXAS_STATE_TRAP);
	expect_state(f, AT + 4 * PAGE, AXAS_STATE_NOTE);
	expect_state(f, AT + 5 * PAGE, AXAS_STATE_ABSENT);
	assert_int_equal(fault(f, AT + 2 * PAGE, RW), AXAS_FAULT_RESOLVED);
	space_sweep(f->as);
	assert_ok(axas_show(f->as, AT - 2 * MIB, 4 * MIB));
	expect_leaf(f, AT, PAGE, LINEAR_HPA, RW);
	expect_state(f, AT + PAGE, AXAS_STATE_OWNED);
	space_sweep(f->as);
}

static void the_first_access_that_is_allowed_shows_it(void **state)
{
	static const uint64_t sizes[] = { PAGE, 2 * MIB, GIB };
	FIXTURE(f);

	for (size_t i = 0; i < 3; i++) {
		axas_stats_t before;
		uint64_t marked;

		assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, sizes[i], AXAS_READ));
		before = stats(f);
		assert_ok(axas_hide(f->as, AT, sizes[i], AXAS_HIDE_AUTO));
		expect_state(f, AT, AXAS_STATE_HIDDEN);
		host_forget_log(&f->host);
		assert_int_equal(fault(f, AT + 5, AXAS_WRITE), AXAS_FAULT_DENIED);
		expect_state(f, AT, AXAS_STATE_HIDDEN);
		marked = stats(f).faults_resolved;
		assert_int_equal(fault(f, AT + 5, AXAS_READ), AXAS_FAULT_RESOLVED);
		assert_int_equal(stats(f).faults_resolved, marked + 1);
		assert_int_equal(f->host.flushes_all, 0);
		expect_leaf(f, AT, sizes[i], LINEAR_HPA, AXAS_READ);
		assert_true(same_balance(f, &before));
		assert_int_equal(fault(f, AT, AXAS_READ), AXAS_FAULT_SPURIOUS);
		space_sweep(f->as);
		assert_ok(axas_unmap(f->as, AT, sizes[i]));
	}
	/* frames of the library's stay counted as they were */
	assert_ok(axas_map_alloc(f->as, AT, 2 * MIB,
				 RW | AXAS_POPULATE | AXAS_HUGE_FRAMES | AXAS_MAX_2M));
	assert_ok(axas_hide(f->as, AT, 2 * MIB, AXAS_HIDE_AUTO));
	assert_int_equal(fault(f, AT, RW), AXAS_FAULT_RESOLVED);
	expect_state(f, AT, AXAS_STATE_OWNED);
	space_sweep(f->as);
}

static void what_is_held_is_never_shown_by_an_access(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 3 * PAGE, RW));
	assert_ok(axas_hide(f->as, AT, PAGE, 0));
	assert_ok(axas_hide(f->as, AT + PAGE, PAGE, AXAS_HIDE_AUTO));
	/* to show itself is less than to be held */
	assert_ok(axas_hide(f->as, AT, 3 * PAGE, AXAS_HIDE_AUTO));
	assert_int_equal(fault(f, AT, AXAS_READ), AXAS_FAULT_HIDDEN);
	assert_int_equal(fault(f, AT + PAGE, AXAS_READ), AXAS_FAULT_RESOLVED);
	assert_int_equal(fault(f, AT + 2 * PAGE, AXAS_READ), AXAS_FAULT_RESOLVED);
	assert_ok(axas_hide(f->as, AT, 3 * PAGE, AXAS_HIDE_AUTO));
	assert_ok(axas_hide(f->as, AT, 3 * PAGE, 0));
	for (axas_gpa_t gpa = AT; gpa < AT + 3 * PAGE; gpa += PAGE)
		assert_int_equal(fault(f, gpa, AXAS_READ), AXAS_FAULT_HIDDEN);
	assert_int_equal(stats(f).faults_denied, 4);
}

/* Ends that lie in a huge page, of either kind and to either side. */
static void cuts_push_a_hidden_page_down(void **state)
{
	static const struct {
		axas_gpa_t gpa;
		uint64_t size;
	} cut[] = { { PAGE, PAGE },
		    { 2 * MIB - PAGE, 2 * PAGE },
		    { 4 * MIB, 2 * MIB },
		    { GIB - PAGE, PAGE },
		    { 0, PAGE } };
	FIXTURE(f);

	for (size_t i = 0; i < sizeof(cut) / sizeof(cut[0]); i++) {
		const axas_gpa_t from = AT + cut[i].gpa, to = from + cut[i].size;
		const axas_gpa_t edge[] = { AT, from - 1, from, to - 1, to, AT + GIB - 1 };

		assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, GIB, RW));
		assert_ok(axas_hide(f->as, from, to - from, 0));
		for (size_t e = 0; e < 6; e++) {
			const int is_in = edge[e] >= from && edge[e] < to;

			if (edge[e] >= AT && edge[e] < AT + GIB) {
				assert_int_equal(at(f, edge[e]).state,
						 is_in ? AXAS_STATE_HIDDEN : AXAS_STATE_LINEAR);
				assert_int_equal(at(f, edge[e]).hpa + edge[e] - at(f, edge[e]).gpa,
						 LINEAR_HPA + edge[e] - AT);
			}
		}
		assert_ok(axas_hide(f->as, AT, GIB, 0));
		assert_ok(axas_show(f->as, AT, GIB));
		space_sweep(f->as);
		assert_ok(axas_unmap(f->as, AT, GIB));

		assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, GIB, RW));
		assert_ok(axas_hide(f->as, AT, GIB, 0));
		host_forget_log(&f->host);
		assert_ok(axas_show(f->as, from, to - from));
		assert_int_equal(f->host.flushes_all, 0);
		for (size_t e = 0; e < 6; e++) {
			const int is_in = edge[e] >= from && edge[e] < to;

			if (edge[e] < AT || edge[e] >= AT + GIB)
				continue;
			assert_int_equal(at(f, edge[e]).state,
					 is_in ? AXAS_STATE_LINEAR : AXAS_STATE_HIDDEN);
			assert_int_equal(at(f, edge[e]).hpa + edge[e] - at(f, edge[e]).gpa,
					 LINEAR_HPA + edge[e] - AT);
		}
		space_sweep(f->as);
		assert_ok(axas_unmap(f->as, from, to - from));
		expect_state(f, from, AXAS_STATE_ABSENT);
		space_sweep(f->as);
		assert_ok(axas_unmap(f->as, AT, GIB));
		assert_int_equal(space_sweep(f->as).table_frames, root_frames(f));
	}
}

static void what_takes_a_hidden_page_away_flushes_nothing(void **state)
{
	FIXTURE(f);

	for (uint32_t way = 0; way < 4; way++) {
		assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 2 * MIB, RW));
		assert_ok(axas_map_alloc(f->as, AT + 2 * MIB, 16 * PAGE, RW | AXAS_POPULATE));
		assert_ok(axas_hide(f->as, AT, 4 * MIB, 0));
		host_forget_log(&f->host);
		if (way == 0)
			assert_ok(axas_unmap(f->as, AT + PAGE, 2 * MIB));
		if (way == 1)
			assert_ok(axas_map_trap_flags(f->as, AT, 2 * MIB + 16 * PAGE, 3,
						      AXAS_REPLACE));
		if (way == 2)
			assert_ok(axas_map_linear(f->as, AT + PAGE, LINEAR_HPA, 2 * MIB,
						  RW | AXAS_REPLACE));
		if (way == 3)
			assert_ok(axas_discard(f->as, AT + 2 * MIB, 8 * PAGE));
		assert_int_equal(f->host.flushes_all, 0);
		if (way < 3) {
			assert_int_equal(f->host.runs, 1);
			assert_int_equal(f->host.run[0].state, AXAS_STATE_LINEAR);
			assert_int_equal(f->host.run[0].flags, RW);
			assert_int_equal(f->host.run[0].hpa, LINEAR_HPA + (way == 1 ? 0 : PAGE));
		}
		assert_int_equal(f->host.guest_out, way == 1 ? 0 : way == 3 ? 8 : 15);
		space_sweep(f->as);
		assert_ok(axas_unmap(f->as, AT, 4 * MIB));
		assert_int_equal(f->host.guest_out, 0);
	}
	/* and so does the end of the space */
	assert_ok(axas_map_alloc(f->as, AT, 16 * PAGE, RW | AXAS_POPULATE));
	assert_ok(axas_hide(f->as, AT, 16 * PAGE, 0));
}

static void a_discarded_one_is_a_reservation_and_folds(void **state)
{
	FIXTURE(f);
	uint64_t tables;

	assert_ok(axas_map_alloc(f->as, AT, 2 * MIB, RW));
	tables = space_sweep(f->as).table_frames;
	assert_ok(axas_populate(f->as, AT, 2 * MIB));
	assert_ok(axas_hide(f->as, AT, 2 * MIB, 0));
	assert_ok(axas_populate(f->as, AT, 2 * MIB));
	expect_state(f, AT, AXAS_STATE_HIDDEN);
	assert_ok(axas_discard(f->as, AT, 2 * MIB));
	expect_state(f, AT, AXAS_STATE_RESERVED);
	assert_int_equal(space_sweep(f->as).table_frames, tables);
	assert_int_equal(fault(f, AT + PAGE, RW), AXAS_FAULT_RESOLVED);
}

static void protect_changes_what_it_will_be(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 2 * MIB, RW));
	assert_ok(axas_hide(f->as, AT, 2 * MIB, AXAS_HIDE_AUTO));
	host_forget_log(&f->host);
	assert_ok(axas_protect(f->as, AT, 2 * PAGE, AXAS_READ));
	assert_int_equal(f->host.flushes_all, 0);
	expect_state(f, AT, AXAS_STATE_HIDDEN);
	assert_int_equal(at(f, AT).flags, AXAS_READ);
	assert_int_equal(at(f, AT + 2 * PAGE).flags, RW);
	assert_int_equal(fault(f, AT, AXAS_WRITE), AXAS_FAULT_DENIED);
	assert_int_equal(fault(f, AT, AXAS_READ), AXAS_FAULT_RESOLVED);
	expect_leaf(f, AT, PAGE, LINEAR_HPA, AXAS_READ);
	assert_int_equal(fault(f, AT + 2 * PAGE, AXAS_WRITE), AXAS_FAULT_RESOLVED);
	space_sweep(f->as);
}

static void maps_find_it_in_their_way(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, PAGE, RW));
	assert_ok(axas_hide(f->as, AT, PAGE, 0));
	assert_status(AXAS_ERR_ALREADY_EXISTS, axas_map_linear(f->as, AT, LINEAR_HPA, PAGE, RW));
	assert_status(AXAS_ERR_ALREADY_EXISTS, axas_map_alloc(f->as, AT, 2 * MIB, RW));
	assert_status(AXAS_ERR_ALREADY_EXISTS, axas_map_note(f->as, AT - PAGE, 2 * PAGE, 1, 0));
	/* a frame of the library's that is hidden is still its own */
	assert_ok(axas_map_alloc(f->as, AT + PAGE, PAGE, RW | AXAS_POPULATE));
	assert_ok(axas_hide(f->as, AT + PAGE, PAGE, 0));
	assert_status(AXAS_ERR_INVALID_INPUT,
		      axas_map_linear(f->as, AT + PAGE, at(f, AT + PAGE).hpa, PAGE,
				      RW | AXAS_REPLACE));
	expect_state(f, AT + PAGE, AXAS_STATE_HIDDEN);
}

static void the_host_copies_and_the_guest_does_not(void **state)
{
	FIXTURE(f);
	uint64_t done;
	uint32_t word = 0x12345678, got = 0;

	assert_ok(axas_map_alloc(f->as, AT, 4 * PAGE, RW | AXAS_POPULATE));
	assert_ok(axas_hide(f->as, AT, 2 * PAGE, 0));
	assert_ok(axas_hide(f->as, AT + 2 * PAGE, 2 * PAGE, AXAS_HIDE_AUTO));
	assert_status(AXAS_ERR_DENIED, axas_write_u32(f->as, AT, 0, word));
	assert_status(AXAS_ERR_DENIED, axas_write(f->as, AT, &word, 4, 0, &done));
	assert_status(AXAS_ERR_DENIED, axas_fill(f->as, AT, 1, 4, 0, &done));
	assert_int_equal(done, 0);
	assert_ok(axas_write(f->as, AT, &word, 4, AXAS_ACCESS_HOST, &done));
	assert_ok(axas_read(f->as, AT, &got, 4, AXAS_ACCESS_HOST, &done));
	assert_int_equal(got, word);
	expect_state(f, AT, AXAS_STATE_HIDDEN);
	/* one that shows itself is shown, unless the host says that it is for itself */
	assert_ok(axas_fill(f->as, AT + 2 * PAGE, 7, PAGE, AXAS_ACCESS_HOST, &done));
	expect_state(f, AT + 2 * PAGE, AXAS_STATE_HIDDEN);
	assert_ok(axas_fill(f->as, AT + 2 * PAGE, 9, PAGE + 4, 0, &done));
	assert_int_equal(done, PAGE + 4);
	expect_state(f, AT + 2 * PAGE, AXAS_STATE_OWNED);
	expect_state(f, AT + 3 * PAGE, AXAS_STATE_OWNED);
	assert_int_equal(guest_memory(f, AT + 3 * PAGE)[3], 9);
	assert_int_equal(guest_memory(f, AT + 3 * PAGE)[4], 0);
	/* a copy ends where the page is held */
	assert_ok(axas_hide(f->as, AT + 3 * PAGE, PAGE, 0));
	assert_status(AXAS_ERR_DENIED, axas_fill(f->as, AT + 2 * PAGE, 1, 2 * PAGE, 0, &done));
	assert_int_equal(done, PAGE);
	/* permissions are asked for first */
	assert_ok(axas_protect(f->as, AT + 2 * PAGE, PAGE, AXAS_READ));
	assert_ok(axas_hide(f->as, AT + 2 * PAGE, PAGE, AXAS_HIDE_AUTO));
	assert_status(AXAS_ERR_DENIED, axas_write_u32(f->as, AT + 2 * PAGE, 0, word));
	expect_state(f, AT + 2 * PAGE, AXAS_STATE_HIDDEN);
	assert_ok(axas_read_u32(f->as, AT + 2 * PAGE, 0, &got));
	expect_state(f, AT + 2 * PAGE, AXAS_STATE_OWNED);
	space_sweep(f->as);
}

struct runs {
	axas_mapping_t run[8];
	uint32_t count;
};

static uint32_t keep(void *ctx, const axas_mapping_t *run)
{
	struct runs *r = ctx;

	if (r->count < 8)
		r->run[r->count] = *run;
	r->count++;
	return 1;
}

static void for_each_and_dump_tell_them_apart(void **state)
{
	FIXTURE(f);
	struct runs r = { .count = 0 };

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 4 * MIB, RW));
	assert_ok(axas_hide(f->as, AT + PAGE, 2 * MIB, 0));
	assert_ok(axas_map_note(f->as, AT + 4 * MIB, 3 * PAGE, 0xfedcba98, 0));
	assert_ok(axas_for_each(f->as, 0, SPACE_SIZE, keep, &r));
	assert_int_equal(r.count, 4);
	assert_int_equal(r.run[0].size, PAGE);
	assert_int_equal(r.run[1].state, AXAS_STATE_HIDDEN);
	assert_int_equal(r.run[1].size, 2 * MIB);
	assert_int_equal(r.run[1].hpa, LINEAR_HPA + PAGE);
	assert_int_equal(r.run[1].level, 1);
	assert_int_equal(r.run[2].state, AXAS_STATE_LINEAR);
	assert_int_equal(r.run[3].state, AXAS_STATE_NOTE);
	assert_int_equal(r.run[3].cookie, 0xfedcba98);
}

/* --- notes ----------------------------------------------------------------------------------- */

static void expect_note(struct fixture *f, axas_gpa_t gpa, uint32_t value)
{
	const axas_mapping_t m = at(f, gpa);
	uint64_t cookie = 5;

	assert_int_equal(m.state, AXAS_STATE_NOTE);
	assert_int_equal(m.cookie, value);
	assert_int_equal(m.flags, 0);
	assert_int_equal(fault(f, gpa, AXAS_READ), AXAS_FAULT_UNMAPPED);
	assert_status(AXAS_ERR_NOT_MAPPED, axas_trap_cookie(f->as, gpa, &cookie));
	assert_int_equal(cookie, 5);
}

static void a_note_is_a_hole_with_a_value(void **state)
{
	static const uint32_t values[] = { 0, 1, 0xffff, 0x10000, 0x80000000, 0xffffffff };
	static const uint64_t sizes[] = { PAGE, 2 * MIB, GIB };
	FIXTURE(f);

	for (size_t v = 0; v < 6; v++)
		for (size_t s = 0; s < 3; s++) {
			const axas_gpa_t gpa = AT + sizes[s];

			assert_ok(axas_map_note(f->as, gpa, sizes[s], values[v], 0));
			assert_int_equal(at(f, gpa).size, sizes[s]);
			expect_note(f, gpa, values[v]);
			expect_note(f, gpa + sizes[s] - 1, values[v]);
			assert_status(AXAS_ERR_ALREADY_EXISTS,
				      axas_map_note(f->as, gpa, PAGE, values[v], 0));
			assert_status(AXAS_ERR_NOT_MAPPED, axas_protect(f->as, gpa, PAGE, RW));
			assert_status(AXAS_ERR_NOT_MAPPED, axas_discard(f->as, gpa, PAGE));
			assert_status(AXAS_ERR_NOT_MAPPED, axas_populate(f->as, gpa, PAGE));
			host_forget_log(&f->host);
			assert_ok(axas_unmap(f->as, gpa, PAGE));
			expect_state(f, gpa, AXAS_STATE_ABSENT);
			if (sizes[s] > PAGE) {
				expect_note(f, gpa + PAGE, values[v]);
				expect_note(f, gpa + sizes[s] - 1, values[v]);
			}
			/* of a table that went */
			assert_int_equal(f->host.flushes_all, sizes[s] == PAGE);
			space_sweep(f->as);
			assert_ok(axas_unmap(f->as, AT, 4 * GIB));
		}
	assert_ok(axas_map_note(f->as, SPACE_SIZE - PAGE, PAGE, 3, 0));
	expect_note(f, SPACE_SIZE - 1, 3);
}

static void a_note_takes_the_place_of_memory(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 4 * MIB, RW));
	assert_ok(axas_map_alloc(f->as, AT + 4 * MIB, PAGE, RW | AXAS_POPULATE));
	assert_ok(axas_map_note(f->as, AT + MIB, 3 * MIB + PAGE, 42, AXAS_REPLACE));
	expect_note(f, AT + MIB, 42);
	expect_note(f, AT + 4 * MIB, 42);
	expect_leaf(f, AT, PAGE, LINEAR_HPA, RW);
	assert_int_equal(f->host.guest_out, 0);
	assert_ok(axas_map_linear(f->as, AT + MIB, LINEAR_HPA + MIB, MIB, RW | AXAS_REPLACE));
	expect_leaf(f, AT + MIB, PAGE, LINEAR_HPA + MIB, RW);
	expect_note(f, AT + 2 * MIB, 42);
	space_sweep(f->as);
}

/* --- pages without any permission ------------------------------------------------------------- */

static void expect_closed(struct fixture *f, axas_gpa_t gpa, uint32_t page_state, axas_hpa_t hpa)
{
	const axas_mapping_t m = at(f, gpa);

	assert_int_equal(m.state, page_state);
	assert_int_equal(space_access(m.flags), 0);
	assert_int_equal(m.hpa + (gpa - m.gpa), hpa);
	for (axas_flags_t access = 1; access < 8; access++)
		assert_int_equal(fault(f, gpa, access), AXAS_FAULT_DENIED);
}

static void a_page_may_have_no_permission(void **state)
{
	static const uint64_t sizes[] = { PAGE, 2 * MIB, GIB };
	FIXTURE(f);
	const axas_extent_t extents[] = { { LINEAR_HPA + PAGE, PAGE }, { LINEAR_HPA, PAGE } };

	for (size_t i = 0; i < 3; i++) {
		assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, sizes[i], AXAS_DEVICE));
		expect_closed(f, AT, AXAS_STATE_LINEAR, LINEAR_HPA);
		expect_closed(f, AT + sizes[i] - 1, AXAS_STATE_LINEAR, LINEAR_HPA + sizes[i] - 1);
		assert_int_equal(at(f, AT).size, sizes[i]);
		space_sweep(f->as);
		host_forget_log(&f->host);
		assert_ok(axas_protect(f->as, AT, sizes[i], RW));
		assert_int_equal(f->host.flushes_all, 0);
		expect_leaf(f, AT, sizes[i], LINEAR_HPA, RW);
		assert_true((at(f, AT).flags & ALL_MEMORY_TYPES) != 0 ||
			    f->cfg.format == AXAS_FORMAT_RISCV_GSTAGE);
		assert_int_equal(fault(f, AT, RW), AXAS_FAULT_SPURIOUS);
		assert_ok(axas_protect(f->as, AT, sizes[i], 0));
		assert_int_equal(f->host.flushes_all, 1);
		assert_int_equal(host_last_flush(&f->host)->reason, AXAS_FLUSH_TIGHTEN);
		expect_closed(f, AT, AXAS_STATE_LINEAR, LINEAR_HPA);
		assert_ok(axas_unmap(f->as, AT + sizes[i] - PAGE, PAGE));
		if (sizes[i] > PAGE)
			expect_closed(f, AT, AXAS_STATE_LINEAR, LINEAR_HPA);
		space_sweep(f->as);
		assert_ok(axas_unmap(f->as, AT, sizes[i]));
	}
	/* a part of a page that may be read and executed, which NPT says with no bit */
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 2 * MIB, RX));
	assert_ok(axas_protect(f->as, AT + PAGE, PAGE, 0));
	expect_leaf(f, AT, PAGE, LINEAR_HPA, RX);
	expect_closed(f, AT + PAGE, AXAS_STATE_LINEAR, LINEAR_HPA + PAGE);
	expect_leaf(f, AT + 2 * PAGE, PAGE, LINEAR_HPA + 2 * PAGE, RX);
	assert_ok(axas_unmap(f->as, AT, 2 * MIB));
	assert_ok(axas_map_extents(f->as, AT, extents, 2, 0));
	expect_closed(f, AT, AXAS_STATE_LINEAR, LINEAR_HPA + PAGE);
	expect_closed(f, AT + PAGE, AXAS_STATE_LINEAR, LINEAR_HPA);
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 2 * PAGE, RW | AXAS_REPLACE));
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 2 * PAGE, AXAS_REPLACE));
	expect_closed(f, AT, AXAS_STATE_LINEAR, LINEAR_HPA);
	assert_status(AXAS_ERR_INVALID_INPUT, axas_map_alloc(f->as, GIB, PAGE, 0));
}

static void memory_of_the_librarys_may_have_none(void **state)
{
	FIXTURE(f);
	axas_hpa_t hpa;
	uint64_t done;

	assert_ok(axas_map_alloc(f->as, AT, 4 * PAGE, RW));
	assert_ok(axas_populate(f->as, AT, PAGE));
	hpa = at(f, AT).hpa;
	assert_ok(axas_protect(f->as, AT, 3 * PAGE, 0));
	expect_closed(f, AT, AXAS_STATE_OWNED, hpa);
	assert_int_equal(fault(f, AT + PAGE, AXAS_READ), AXAS_FAULT_DENIED);
	assert_ok(axas_populate(f->as, AT, 2 * PAGE));
	expect_closed(f, AT + PAGE, AXAS_STATE_OWNED, at(f, AT + PAGE).hpa);
	assert_status(AXAS_ERR_DENIED, axas_fill(f->as, AT, 3, PAGE, 0, &done));
	assert_ok(axas_fill(f->as, AT, 3, 3 * PAGE, AXAS_ACCESS_HOST, &done));
	expect_closed(f, AT + 2 * PAGE, AXAS_STATE_OWNED, at(f, AT + 2 * PAGE).hpa);
	space_sweep(f->as);
	/* hidden besides, and shown: it still has none */
	assert_ok(axas_hide(f->as, AT, PAGE, AXAS_HIDE_AUTO));
	expect_state(f, AT, AXAS_STATE_HIDDEN);
	assert_int_equal(fault(f, AT, AXAS_READ), AXAS_FAULT_DENIED);
	assert_ok(axas_protect(f->as, AT, 3 * PAGE, RW));
	expect_state(f, AT, AXAS_STATE_HIDDEN);
	assert_ok(axas_protect(f->as, AT, PAGE, 0));
	expect_state(f, AT, AXAS_STATE_HIDDEN);
	assert_ok(axas_show(f->as, AT, 3 * PAGE));
	expect_closed(f, AT, AXAS_STATE_OWNED, hpa);
	assert_ok(axas_protect(f->as, AT, PAGE, RW));
	assert_int_equal(guest_memory(f, AT)[PAGE - 1], 3);
	assert_int_equal(guest_memory(f, AT + 2 * PAGE)[PAGE - 1], 3);
	assert_ok(axas_protect(f->as, AT, PAGE, 0));
	assert_ok(axas_discard(f->as, AT, 4 * PAGE));
	expect_state(f, AT, AXAS_STATE_RESERVED);
	assert_int_equal(fault(f, AT, AXAS_READ), AXAS_FAULT_DENIED);
	space_sweep(f->as);
}

/* A page that is large and hidden must not come back executable where there must be none. */
static void small_executable_pages_hold_for_hidden_ones(void **state)
{
	FIXTURE(f);

	f->cfg.options |= AXAS_SMALL_EXEC;
	f->host.hides = 1;
	fixture_create(f);
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 2 * MIB, RW));
	assert_ok(axas_hide(f->as, AT, 2 * MIB, 0));
	assert_status(AXAS_ERR_UNSUPPORTED, axas_protect(f->as, AT, 2 * MIB, RWX));
	assert_ok(axas_map_linear(f->as, AT + 2 * MIB, LINEAR_HPA, 2 * MIB, 0));
	assert_status(AXAS_ERR_UNSUPPORTED, axas_protect(f->as, AT + 2 * MIB, 2 * MIB, RX));
}

/* --- what is refused -------------------------------------------------------------------------- */

static void nonsense_is_refused(void **state)
{
	static const axas_status_t bad = AXAS_ERR_INVALID_INPUT;
	FIXTURE(f);
	const struct {
		axas_gpa_t gpa;
		uint64_t size;
	} range[] = { { 1, PAGE },
		      { 0, PAGE + 1 },
		      { 0, 0 },
		      { SPACE_SIZE, PAGE },
		      { SPACE_SIZE - PAGE, 2 * PAGE },
		      { 0 - PAGE, 2 * PAGE },
		      { ~0ull, ~0ull } };
	uint64_t done;

	for (size_t i = 0; i < sizeof(range) / sizeof(range[0]); i++) {
		const axas_gpa_t gpa = range[i].gpa;
		const uint64_t size = range[i].size;

		assert_status(bad, axas_hide(f->as, gpa, size, 0));
		assert_status(bad, axas_show(f->as, gpa, size));
		assert_status(bad, axas_map_note(f->as, gpa, size, 1, 0));
		assert_status(bad, axas_hide_some(f->as, gpa, size, 0, 9, &done));
		assert_status(bad, axas_show_some(f->as, gpa, size, 9, &done));
		assert_status(bad, axas_map_note_some(f->as, gpa, size, 1, 0, 9, &done));
	}
	for (uint32_t bit = 1; bit < 32; bit++)
		assert_status(bad, axas_hide(f->as, 0, PAGE, 1u << bit));
	for (uint32_t bit = 0; bit < 32; bit++)
		if (bit - 24 > 3 && 1u << bit != AXAS_REPLACE)
			assert_status(bad, axas_map_note(f->as, 0, PAGE, 1, 1u << bit));
	assert_status(bad, axas_map_note_some(f->as, 0, PAGE, 1, AXAS_REPLACE, 9, &done));
	for (uint32_t tag = 1; tag < 16; tag++) {
		assert_status(AXAS_ERR_UNSUPPORTED, axas_map_note(f->as, 0, PAGE, 1, tag << 24));
		assert_status(AXAS_ERR_UNSUPPORTED,
			      axas_map_note_some(f->as, 0, PAGE, 1, tag << 24, 9, &done));
	}
	assert_status(bad, axas_hide(NULL, 0, PAGE, 0));
	assert_status(bad, axas_show(NULL, 0, PAGE));
	assert_status(bad, axas_map_note(NULL, 0, PAGE, 1, 0));
	assert_status(bad, axas_hide_some(f->as, 0, PAGE, 0, 0, &done));
	assert_status(bad, axas_show_some(f->as, 0, PAGE, 0, &done));
	assert_status(bad, axas_map_note_some(f->as, 0, PAGE, 1, 0, 1, NULL));
	assert_int_equal(space_sweep(f->as).table_frames, root_frames(f));
	/* the last page of the space */
	assert_ok(axas_map_linear(f->as, SPACE_SIZE - PAGE, LINEAR_HPA, PAGE, RW));
	assert_ok(axas_hide(f->as, SPACE_SIZE - PAGE, PAGE, 0));
	expect_hidden(f, SPACE_SIZE - 1, LINEAR_HPA + PAGE - 1, RW);
	assert_ok(axas_show(f->as, 0, SPACE_SIZE));
	expect_leaf(f, SPACE_SIZE - 1, PAGE, LINEAR_HPA + PAGE - 1, RW);
}

static void a_cut_without_memory_changes_nothing(void **state)
{
	FIXTURE(f);

	for (uint32_t call = 0; call < 4; call++) {
		assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, GIB, RW));
		if (call & 1)
			assert_ok(axas_hide(f->as, AT, GIB, AXAS_HIDE_AUTO));
		for (uint64_t n = 1;; n++) {
			const axas_gpa_t gpa = AT + 3 * PAGE;
			axas_status_t status;

			f->host.fail_at = call < 2 ? n : 0;
			f->host.blind_at = call < 2 ? 0 : n;
			status = call & 1 ? axas_show(f->as, gpa, 6 * MIB) :
					    axas_hide(f->as, gpa, 6 * MIB, 0);
			f->host.fail_at = 0;
			if (f->host.blind_at == 0 && call >= 2 && status != AXAS_OK) {
				/* where a table is not reached, pages may be as before or as asked for */
				assert_status(AXAS_ERR_BAD_STATE, status);
			} else if (status != AXAS_OK) {
				assert_status(AXAS_ERR_NO_MEMORY, status);
				assert_int_equal(at(f, AT).size, GIB);
			}
			f->host.blind_at = 0;
			if (status == AXAS_OK)
				break;
			assert_true(n < 100);
			if (call >= 2)
				break;
		}
		space_sweep(f->as);
		assert_ok(axas_unmap(f->as, AT, GIB));
	}
}

static void slices_come_out_as_one_call(void **state)
{
	FIXTURE(f);
	uint64_t done, all = 0;
	axas_status_t status;

	assert_ok(axas_map_linear(f->as, AT + PAGE, LINEAR_HPA + PAGE, 8 * MIB, RW));
	do {
		status = axas_hide_some(f->as, AT + all, 8 * MIB - all, 0, 100, &done);
		assert_true(status == AXAS_OK || (status == AXAS_ERR_AGAIN && done != 0));
		all += done;
	} while (status != AXAS_OK);
	assert_int_equal(all, 8 * MIB);
	expect_hidden(f, AT + PAGE, LINEAR_HPA + PAGE, RW);
	expect_hidden(f, AT + 8 * MIB - PAGE, LINEAR_HPA + 8 * MIB - PAGE, RW);
	expect_leaf(f, AT + 8 * MIB, PAGE, LINEAR_HPA + 8 * MIB, RW);
	for (all = 0; all < 8 * MIB; all += done) {
		status = axas_show_some(f->as, AT + all, 8 * MIB - all, 64, &done);
		assert_true(status == AXAS_OK || (status == AXAS_ERR_AGAIN && done != 0));
	}
	expect_leaf(f, AT + 4 * MIB, 2 * MIB, LINEAR_HPA + 4 * MIB, RW);
	for (all = 0; all < 8 * MIB; all += done) {
		status = axas_map_note_some(f->as, 2 * GIB + all, 8 * MIB - all, 77, 0, 1, &done);
		assert_true(status == AXAS_OK || (status == AXAS_ERR_AGAIN && done != 0));
	}
	expect_note(f, 2 * GIB + 8 * MIB - 1, 77);
	assert_int_equal(at(f, 2 * GIB).size, 2 * MIB);
	space_sweep(f->as);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(archives_say_whether_they_have_it),
		EACH_HIDING(a_hidden_page_keeps_all_but_its_translation),
		EACH_HIDING(only_pages_are_hidden),
		EACH_HIDING(the_first_access_that_is_allowed_shows_it),
		EACH_HIDING(what_is_held_is_never_shown_by_an_access),
		EACH_HIDING(cuts_push_a_hidden_page_down),
		EACH_HIDING(what_takes_a_hidden_page_away_flushes_nothing),
		EACH_HIDING(a_discarded_one_is_a_reservation_and_folds),
		EACH_HIDING(protect_changes_what_it_will_be),
		EACH_HIDING(maps_find_it_in_their_way),
		EACH_HIDING(the_host_copies_and_the_guest_does_not),
		EACH_HIDING(for_each_and_dump_tell_them_apart),
		EACH_HIDING(a_note_is_a_hole_with_a_value),
		EACH_HIDING(a_note_takes_the_place_of_memory),
		EACH_HIDING(a_page_may_have_no_permission),
		EACH_HIDING(memory_of_the_librarys_may_have_none),
		EACH_FORMAT_NO_SPACE(small_executable_pages_hold_for_hidden_ones),
		EACH_HIDING(nonsense_is_refused),
		EACH_CALLBACK(a_cut_without_memory_changes_nothing),
		EACH_HIDING(slices_come_out_as_one_call),
	};

	return cmocka_run_group_tests_name("hide", tests, NULL, NULL);
}
