/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* axas_hide with AXAS_HIDE_AUTO over whole tables: the entry of the table changes, and nothing below it. */
#include "fixture.h"

#define AT    (4 * GIB)
#define PAGES 40u

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

/* Two pages of 2 MiB, 40 of 4 KiB, 40 of the library's, and one of everything else. */
static void map_all_sorts(struct fixture *f)
{
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 4 * MIB, RW));
	assert_ok(axas_map_linear(f->as, AT + 4 * MIB, LINEAR_HPA + 4 * MIB, PAGES * PAGE, RX));
	assert_ok(axas_map_alloc(f->as, AT + 6 * MIB, PAGES * PAGE, RW | AXAS_POPULATE));
	assert_ok(axas_map_alloc(f->as, AT + 7 * MIB, 2 * PAGE, RW));
	assert_ok(axas_map_trap(f->as, AT + 8 * MIB, PAGE, 0x5a));
	assert_ok(axas_map_note(f->as, AT + 8 * MIB + PAGE, PAGE, 0xa5, 0));
	assert_ok(axas_map_linear(f->as, AT + 8 * MIB + 2 * PAGE, LINEAR_HPA, PAGE, RW));
	assert_ok(axas_hide(f->as, AT + 8 * MIB + 2 * PAGE, PAGE, 0));
	/* without a permission, which some formats say with a hidden page */
	assert_ok(axas_map_linear(f->as, AT + 8 * MIB + 3 * PAGE, LINEAR_HPA, PAGE, 0));
}

static void hide_all(struct fixture *f)
{
	struct walker w;
	struct sweep sw;

	host_forget_log(&f->host);
	assert_ok(axas_hide(f->as, 0, SPACE_SIZE, AXAS_HIDE_AUTO));
	assert_int_equal(f->host.flushes, 1);
	assert_int_equal(host_last_flush(&f->host)->reason, AXAS_FLUSH_UNMAP);
	assert_int_equal(host_last_flush(&f->host)->tables_removed, 1);
	assert_true(space_flush_covered(AT, 16 * MIB));
	w = space_walker(f->as);
	walker_sweep(&w, &sw);
	assert_int_equal(sw.leaves[1] + sw.leaves[2] + sw.leaves[3], 0);
}

static void expect_all_sorts_hidden(struct fixture *f)
{
	for (axas_gpa_t gpa = AT; gpa < AT + 4 * MIB + PAGES * PAGE; gpa += 7 * PAGE) {
		const axas_mapping_t m = at(f, gpa);

		assert_int_equal(m.state, AXAS_STATE_HIDDEN);
		assert_int_equal(m.size, gpa < AT + 4 * MIB ? 2 * MIB : PAGE);
		assert_int_equal(m.hpa + (gpa - m.gpa), LINEAR_HPA + (gpa - AT));
		assert_int_equal(space_access(m.flags), gpa < AT + 4 * MIB ? RW : RX);
	}
	expect_state(f, AT + 6 * MIB, AXAS_STATE_HIDDEN);
	expect_state(f, AT + 7 * MIB, AXAS_STATE_RESERVED);
	expect_state(f, AT + 8 * MIB, AXAS_STATE_TRAP);
	expect_state(f, AT + 8 * MIB + PAGE, AXAS_STATE_NOTE);
	expect_state(f, AT + 8 * MIB + 2 * PAGE, AXAS_STATE_HIDDEN);
	expect_state(f, AT + 8 * MIB + 3 * PAGE, AXAS_STATE_HIDDEN);
	expect_state(f, AT + 16 * MIB, AXAS_STATE_ABSENT);
	expect_state(f, AT - PAGE, AXAS_STATE_ABSENT);
}

static void a_space_is_hidden_by_its_root(void **state)
{
	FIXTURE(f);
	axas_stats_t before;
	struct sweep sw;

	map_all_sorts(f);
	before = stats(f);
	hide_all(f);
	expect_all_sorts_hidden(f);
	sw = space_sweep(f->as);
	assert_int_equal(sw.table_frames, before.table_frames);
	assert_int_equal(stats(f).guest_frames, before.guest_frames);
	assert_int_equal(stats(f).mapped_4k, before.mapped_4k);
	assert_int_equal(stats(f).mapped_2m, before.mapped_2m);
	/* what only looks has changed nothing, and there is nothing left to flush */
	host_forget_log(&f->host);
	assert_ok(axas_hide(f->as, 0, SPACE_SIZE, AXAS_HIDE_AUTO));
	assert_int_equal(f->host.flushes_all, 0);
	expect_all_sorts_hidden(f);
}

static void each_first_access_is_seen_once(void **state)
{
	FIXTURE(f);
	uint64_t resolved;

	map_all_sorts(f);
	for (int round = 0; round < 2; round++) {
		hide_all(f);
		resolved = stats(f).faults_resolved;
		host_forget_log(&f->host);
		assert_int_equal(fault(f, AT + 2 * MIB + 5, AXAS_EXECUTE), AXAS_FAULT_DENIED);
		assert_int_equal(fault(f, AT + 2 * MIB + 5, RW), AXAS_FAULT_RESOLVED);
		assert_int_equal(fault(f, AT + 3 * MIB, RW), AXAS_FAULT_SPURIOUS);
		expect_leaf(f, AT + 2 * MIB, 2 * MIB, LINEAR_HPA + 2 * MIB, RW);
		expect_state(f, AT, AXAS_STATE_HIDDEN);
		for (uint32_t i = 0; i < PAGES; i++) {
			const axas_gpa_t linear = AT + 4 * MIB + i * 7 % PAGES * PAGE;
			const axas_gpa_t owned = AT + 6 * MIB + i * 7 % PAGES * PAGE;

			expect_state(f, linear, AXAS_STATE_HIDDEN);
			assert_int_equal(fault(f, linear, AXAS_WRITE), AXAS_FAULT_DENIED);
			assert_int_equal(fault(f, linear, RX), AXAS_FAULT_RESOLVED);
			assert_int_equal(fault(f, linear, RX), AXAS_FAULT_SPURIOUS);
			expect_state(f, owned, AXAS_STATE_HIDDEN);
			assert_int_equal(fault(f, owned, RW), AXAS_FAULT_RESOLVED);
			expect_state(f, owned, AXAS_STATE_OWNED);
		}
		expect_state(f, AT, AXAS_STATE_HIDDEN);
		assert_int_equal(stats(f).faults_resolved, resolved + 1 + 2 * PAGES);
		assert_int_equal(fault(f, AT + 8 * MIB, AXAS_READ), AXAS_FAULT_TRAP);
		assert_int_equal(fault(f, AT + 8 * MIB + PAGE, AXAS_READ), AXAS_FAULT_UNMAPPED);
		assert_int_equal(fault(f, AT + 8 * MIB + 2 * PAGE, AXAS_READ), AXAS_FAULT_HIDDEN);
		assert_int_equal(fault(f, AT + 8 * MIB + 3 * PAGE, AXAS_READ), AXAS_FAULT_DENIED);
		assert_int_equal(fault(f, AT + 16 * MIB, AXAS_READ), AXAS_FAULT_UNMAPPED);
		assert_int_equal(f->host.flushes_all, 0);
		space_sweep(f->as);
	}
	/* a reserved page comes as ever */
	hide_all(f);
	assert_int_equal(fault(f, AT + 7 * MIB, RW), AXAS_FAULT_RESOLVED);
	expect_state(f, AT + 7 * MIB, AXAS_STATE_OWNED);
	expect_state(f, AT + 7 * MIB + PAGE, AXAS_STATE_RESERVED);
	expect_state(f, AT + 6 * MIB, AXAS_STATE_HIDDEN);
	space_sweep(f->as);
}

/* What takes away or changes what is hidden, whole tables and parts of them. */
static void calls_find_what_is_below(void **state)
{
	FIXTURE(f);

	for (uint32_t way = 0; way < 8; way++) {
		map_all_sorts(f);
		hide_all(f);
		host_forget_log(&f->host);
		if (way == 0)
			assert_ok(axas_unmap(f->as, 0, SPACE_SIZE));
		if (way == 1)
			assert_ok(axas_unmap(f->as, AT + PAGE, 4 * MIB));
		if (way == 2)
			assert_ok(axas_show(f->as, AT, 5 * MIB));
		if (way == 3)
			assert_ok(axas_hide(f->as, AT, 5 * MIB, 0));
		if (way == 4)
			assert_ok(axas_protect(f->as, AT, 4 * MIB + PAGES * PAGE, AXAS_READ));
		if (way == 5)
			assert_ok(axas_discard(f->as, AT + 6 * MIB, PAGES * PAGE));
		if (way == 6)
			assert_ok(axas_map_linear(f->as, AT + 2 * MIB, LINEAR_HPA + GIB, 4 * MIB,
						  RW | AXAS_REPLACE));
		if (way == 7)
			assert_ok(axas_populate(f->as, AT, 4 * MIB));
		if (way != 6 && way != 5)
			assert_int_equal(f->host.flushes_all, 0);
		space_sweep(f->as);
		if (way == 0) {
			assert_int_equal(space_sweep(f->as).table_frames, root_frames(f));
			assert_int_equal(f->host.guest_out, 0);
			continue;
		}
		expect_state(f, AT,
			     way == 2 ? (uint32_t)AXAS_STATE_LINEAR : (uint32_t)AXAS_STATE_HIDDEN);
		if (way == 1)
			expect_state(f, AT + 4 * MIB, AXAS_STATE_ABSENT);
		if (way == 1)
			expect_state(f, AT + 4 * MIB + PAGE, AXAS_STATE_HIDDEN);
		if (way == 2)
			expect_leaf(f, AT + 4 * MIB, PAGE, LINEAR_HPA + 4 * MIB, RX);
		if (way == 3)
			assert_int_equal(fault(f, AT, RW), AXAS_FAULT_HIDDEN);
		if (way == 4)
			assert_int_equal(fault(f, AT, RW), AXAS_FAULT_DENIED);
		if (way == 5)
			expect_state(f, AT + 6 * MIB, AXAS_STATE_RESERVED);
		if (way == 6)
			expect_leaf(f, AT + 2 * MIB, 2 * MIB, LINEAR_HPA + GIB, RW);
		if (way != 6 && way != 5)
			expect_state(f, AT + 6 * MIB, AXAS_STATE_HIDDEN);
		assert_ok(axas_clear(f->as));
		assert_int_equal(space_sweep(f->as).table_frames, root_frames(f));
		assert_int_equal(f->host.guest_out, 0);
	}
	/* the end of the space gives back what is hidden */
	map_all_sorts(f);
	hide_all(f);
}

struct runs {
	axas_mapping_t run[64];
	uint32_t count;
};

static uint32_t keep(void *ctx, const axas_mapping_t *run)
{
	struct runs *r = ctx;

	if (r->count < 64)
		r->run[r->count] = *run;
	r->count++;
	return 1;
}

static void who_looks_finds_it_hidden(void **state)
{
	FIXTURE(f);
	struct runs shown = { .count = 0 }, hidden = { .count = 0 };
	uint64_t done, cookie;
	uint32_t word = 0;

	map_all_sorts(f);
	assert_ok(axas_hide(f->as, 0, SPACE_SIZE, 0));
	assert_ok(axas_for_each(f->as, 0, SPACE_SIZE, keep, &shown));
	assert_ok(axas_clear(f->as));
	map_all_sorts(f);
	hide_all(f);
	assert_ok(axas_for_each(f->as, 0, SPACE_SIZE, keep, &hidden));
	assert_int_equal(hidden.count, shown.count);
	assert_in_range(hidden.count, 5, 64);
	for (uint32_t i = 0; i < hidden.count; i++) {
		assert_int_equal(hidden.run[i].gpa, shown.run[i].gpa);
		assert_int_equal(hidden.run[i].size, shown.run[i].size);
		assert_int_equal(hidden.run[i].state, shown.run[i].state);
		assert_int_equal(hidden.run[i].flags, shown.run[i].flags);
	}
	assert_ok(axas_trap_cookie(f->as, AT + 8 * MIB, &cookie));
	assert_int_equal(cookie, 0x5a);
	/* the host's copies are its own; those for the guest show the page */
	assert_ok(axas_fill(f->as, AT + 6 * MIB, 7, 2 * PAGE, AXAS_ACCESS_HOST, &done));
	expect_state(f, AT + 6 * MIB, AXAS_STATE_HIDDEN);
	assert_ok(axas_read_u32(f->as, AT + 6 * MIB, 0, &word));
	assert_int_equal(word, 0x07070707);
	expect_state(f, AT + 6 * MIB, AXAS_STATE_OWNED);
	expect_state(f, AT + 6 * MIB + PAGE, AXAS_STATE_HIDDEN);
	assert_ok(axas_fill(f->as, AT + 6 * MIB + PAGE, 9, PAGE, 0, &done));
	expect_state(f, AT + 6 * MIB + PAGE, AXAS_STATE_OWNED);
	space_sweep(f->as);
}

/* Parts that no table lies in whole, and slices: what is hidden is the same. */
static void ends_and_slices_come_out_as_pages_do(void **state)
{
	FIXTURE(f);
	uint64_t done, all = 0;
	uint32_t slices = 0;
	axas_status_t status;

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 8 * MIB, RW | AXAS_NO_HUGE));
	host_forget_log(&f->host);
	assert_ok(axas_hide(f->as, AT + PAGE, 8 * MIB - 2 * PAGE, AXAS_HIDE_AUTO));
	assert_int_equal(f->host.flushes, 1);
	expect_leaf(f, AT, PAGE, LINEAR_HPA, RW);
	expect_leaf(f, AT + 8 * MIB - PAGE, PAGE, LINEAR_HPA + 8 * MIB - PAGE, RW);
	for (axas_gpa_t gpa = AT + PAGE; gpa < AT + 8 * MIB - PAGE; gpa += 31 * PAGE)
		expect_state(f, gpa, AXAS_STATE_HIDDEN);
	space_sweep(f->as);
	assert_ok(axas_show(f->as, AT, 8 * MIB));
	do {
		status = axas_hide_some(f->as, AT + PAGE + all, 8 * MIB - 2 * PAGE - all,
					AXAS_HIDE_AUTO, 100, &done);
		assert_true(status == AXAS_OK || (status == AXAS_ERR_AGAIN && done != 0));
		all += done;
		slices++;
	} while (status != AXAS_OK);
	/* 511 pages at either end, and two tables between them */
	assert_int_equal(slices, 11);
	for (axas_gpa_t gpa = AT + PAGE; gpa < AT + 8 * MIB - PAGE; gpa += 31 * PAGE)
		expect_state(f, gpa, AXAS_STATE_HIDDEN);
	expect_leaf(f, AT, PAGE, LINEAR_HPA, RW);
	space_sweep(f->as);
}

/* Wherever the host does not reach a table, nothing is lost and the fault says so. */
static void a_table_out_of_reach_stays_hidden(void **state)
{
	FIXTURE(f);
	uint64_t n;

	map_all_sorts(f);
	for (n = 1; n < 30; n++) {
		axas_fault_result_t verdict;

		hide_all(f);
		f->host.blind_at = n;
		verdict = fault(f, AT + 4 * MIB, RX);
		if (f->host.blind_at != 0) {
			assert_int_equal(verdict, AXAS_FAULT_RESOLVED);
			break;
		}
		assert_int_equal(verdict, AXAS_FAULT_ERROR);
		expect_all_sorts_hidden(f);
		space_sweep(f->as);
		assert_int_equal(fault(f, AT + 4 * MIB, RX), AXAS_FAULT_RESOLVED);
	}
	assert_in_range(n, 3, 29);
	f->host.blind_at = 0;
	space_sweep(f->as);
}

/* While one fault shows a table, the others come again, and who looks finds everything. */
static void a_table_that_a_fault_shows_is_left_to_it(void **state)
{
	static const uint32_t claim[] = { 0, 62, 59, 63, 63 };
	FIXTURE(f);
	uint64_t *entry;

	map_all_sorts(f);
	assert_ok(axas_hide(f->as, AT, GIB, AXAS_HIDE_AUTO));
	entry = entry_at(f, 3, AT);
	f->host.quick = 1;
	*entry ^= 1ull << claim[f->cfg.format];
	assert_int_equal(fault(f, AT, AXAS_READ), AXAS_FAULT_RETRY);
	assert_int_equal(at(f, AT).state, AXAS_STATE_HIDDEN);
	assert_ok(axas_audit(f->as));
	*entry ^= 1ull << claim[f->cfg.format];
	f->host.quick = 0;
	assert_int_equal(fault(f, AT, AXAS_READ), AXAS_FAULT_RESOLVED);
	space_sweep(f->as);
}

/* A kept table has nothing to hide: it is a hole, is given back, and asks for no flush. */
static void a_table_that_is_kept_is_not_hidden(void **state)
{
	FIXTURE(f);
	uint64_t tables;

	axas_destroy(f->as);
	f->cfg.options |= AXAS_KEEP_TABLES;
	fixture_create(f);
	assert_ok(axas_map_linear(f->as, AT + 2 * MIB, LINEAR_HPA, PAGE, RW));
	assert_ok(axas_unmap(f->as, AT + 2 * MIB, PAGE));
	tables = stats(f).table_frames;
	host_forget_log(&f->host);
	assert_ok(axas_hide(f->as, AT, 4 * MIB, AXAS_HIDE_AUTO));
	assert_ok(axas_hide(f->as, 0, SPACE_SIZE, AXAS_HIDE_AUTO));
	assert_int_equal(f->host.flushes_all, 0);
	expect_state(f, AT + 2 * MIB, AXAS_STATE_ABSENT);
	assert_int_equal(fault(f, AT + 2 * MIB, AXAS_READ), AXAS_FAULT_UNMAPPED);
	assert_int_equal(space_sweep(f->as).table_frames, tables);
	assert_ok(axas_collect(f->as, 0, SPACE_SIZE));
	assert_int_equal(space_sweep(f->as).table_frames, root_frames(f));
	assert_ok(axas_map_linear(f->as, AT + 2 * MIB, LINEAR_HPA, PAGE, RW));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_HIDING(a_space_is_hidden_by_its_root),
		EACH_HIDING(each_first_access_is_seen_once),
		EACH_HIDING(calls_find_what_is_below),
		EACH_HIDING(who_looks_finds_it_hidden),
		EACH_HIDING(ends_and_slices_come_out_as_pages_do),
		EACH_HIDING(a_table_that_a_fault_shows_is_left_to_it),
		EACH_HIDING(a_table_that_is_kept_is_not_hidden),
		EACH_CALLBACK(a_table_out_of_reach_stays_hidden),
	};

	return cmocka_run_group_tests_name("hide_tables", tests, NULL, NULL);
}
