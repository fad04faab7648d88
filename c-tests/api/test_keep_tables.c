/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * AXAS_KEEP_TABLES: tables that a call cuts and leaves empty stay, are a hole to everybody, and go by
 * axas_collect, by what takes their place as a whole, by clear and destroy.
 */
#include <stdio.h>

#include "fixture.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define AT           (4 * GIB)

static void create(struct fixture *f)
{
	f->cfg.options |= AXAS_KEEP_TABLES;
	fixture_create(f);
}

static axas_status_t map(struct fixture *f, axas_gpa_t gpa, uint64_t size)
{
	return axas_map_linear(f->as, gpa, LINEAR_HPA + gpa % GIB, size, RW | AXAS_NO_HUGE);
}

/* Tables besides the root. */
static uint64_t tables(const struct fixture *f)
{
	return space_sweep(f->as).table_frames - root_frames(f);
}

/* Tables from the one below the root to the one of pages. */
static uint64_t path(const struct fixture *f)
{
	return f->fc->levels - 1;
}

/* A page that came and went; its tables stand empty. */
static void come_and_go(struct fixture *f, axas_gpa_t gpa)
{
	assert_ok(map(f, gpa, PAGE));
	assert_ok(axas_unmap(f->as, gpa, PAGE));
}

static void no_memory(struct fixture *f)
{
	f->host.fail_purpose = AXAS_FRAME_TABLE;
}

static void memory_again(struct fixture *f)
{
	f->host.fail_purpose = 0;
}

/* --- what stays ------------------------------------------------------------------------------ */

static void the_next_map_of_a_page_takes_no_frame(void **state)
{
	FIXTURE(f);
	uint64_t allocations;

	create(f);
	come_and_go(f, AT);
	assert_int_equal(tables(f), path(f));
	allocations = f->host.allocations;
	no_memory(f);
	for (uint32_t i = 0; i < 200; i++) {
		const axas_gpa_t gpa = AT + i * 7919 % 512 * PAGE;

		assert_ok(map(f, gpa, PAGE));
		expect_leaf(f, gpa, PAGE, LINEAR_HPA + gpa % GIB, RW);
		assert_ok(axas_unmap(f->as, gpa, PAGE));
		expect_state(f, gpa, AXAS_STATE_ABSENT);
	}
	memory_again(f);
	assert_int_equal(f->host.allocations, allocations);
	assert_int_equal(tables(f), path(f));
}

/*
 * Two pages whose tables have one table above them in common, at each level: when one page goes, the table above
 * has an entry left. Where nobody is told of pages that go, this is done in a short way of its own.
 */
static void one_of_two_tables_that_is_kept_leaves_the_other(void **state)
{
	FIXTURE(f);

	f->host.hal.released = NULL;
	create(f);
	for (uint64_t apart = 2 * MIB; apart <= 8 * GIB; apart *= apart < GIB ? 512 : 8) {
		assert_ok(map(f, AT, PAGE));
		assert_ok(map(f, AT + apart, PAGE));
		assert_ok(axas_unmap(f->as, AT, PAGE));
		assert_ok(axas_audit(f->as));
		assert_status(AXAS_ERR_ALREADY_EXISTS, map(f, AT, 16 * GIB));
		expect_leaf(f, AT + apart, PAGE, LINEAR_HPA + apart % GIB, RW);
		assert_ok(axas_unmap(f->as, AT + apart, PAGE));
		assert_ok(axas_clear(f->as));
	}
}

static void without_the_option_tables_go_at_once(void **state)
{
	FIXTURE(f);

	come_and_go(f, AT);
	assert_int_equal(tables(f), 0);
	assert_ok(axas_collect(f->as, 0, SPACE_SIZE));
	assert_int_equal(f->host.flushes_all, 1); /* of the unmap */
}

static void tables_wholly_in_the_range_go(void **state)
{
	FIXTURE(f);

	create(f);
	/* five tables of pages, of which the range cuts the first and the last */
	assert_ok(map(f, AT + 2 * MIB, 10 * MIB));
	assert_int_equal(tables(f), path(f) - 1 + 5);
	assert_ok(axas_unmap(f->as, AT + 2 * MIB + PAGE, 10 * MIB - 2 * PAGE));
	assert_int_equal(tables(f), path(f) - 1 + 2);
	assert_ok(axas_unmap(f->as, AT + 2 * MIB, PAGE));
	assert_ok(axas_unmap(f->as, AT + 12 * MIB - PAGE, PAGE));
	assert_int_equal(tables(f), path(f) - 1 + 2);
	/* exactly what one table can map */
	assert_ok(axas_unmap(f->as, AT + 2 * MIB, 2 * MIB));
	assert_int_equal(tables(f), path(f) - 1 + 1);
	assert_ok(axas_unmap(f->as, 0, SPACE_SIZE));
	assert_int_equal(tables(f), 0);
}

/* An unmap of all of the space does not cover all that the table can map. */
static void a_table_that_reaches_beyond_the_space_stays(void **state)
{
	FIXTURE(f);

	f->cfg.base = AT + 3 * PAGE;
	f->cfg.size = 100 * PAGE;
	create(f);
	assert_ok(map(f, f->cfg.base, 100 * PAGE));
	assert_ok(axas_unmap(f->as, f->cfg.base, 100 * PAGE));
	assert_int_equal(tables(f), path(f));
	assert_ok(axas_collect(f->as, f->cfg.base, f->cfg.size));
	assert_int_equal(tables(f), 0);
}

static void frames_and_reservations_leave_tables_too(void **state)
{
	FIXTURE(f);

	create(f);
	assert_ok(axas_map_alloc(f->as, AT, 2 * PAGE, RW | AXAS_POPULATE));
	assert_ok(axas_unmap(f->as, AT, 2 * PAGE));
	assert_int_equal(f->host.guest_out, 0);
	assert_int_equal(tables(f), path(f));
	assert_ok(axas_map_trap(f->as, AT + PAGE, PAGE, 5));
	assert_ok(axas_unmap(f->as, AT + PAGE, PAGE));
	assert_ok(axas_map_alloc(f->as, AT + 9 * PAGE, PAGE, RW));
	assert_ok(axas_handle_page_fault(f->as, AT + 9 * PAGE, AXAS_READ));
	assert_ok(axas_unmap(f->as, AT + 9 * PAGE, PAGE));
	assert_int_equal(f->host.guest_out, 0);
	assert_int_equal(tables(f), path(f));
}

/* The tables of a cut stay where what remains of it goes. */
static void the_tables_of_a_split_stay(void **state)
{
	FIXTURE(f);

	create(f);
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 2 * MIB, RW));
	assert_ok(axas_unmap(f->as, AT + PAGE, 2 * MIB - PAGE));
	assert_int_equal(tables(f), path(f));
	assert_ok(axas_unmap(f->as, AT, PAGE));
	assert_int_equal(tables(f), path(f));
	no_memory(f);
	assert_ok(map(f, AT, 2 * MIB));
	memory_again(f);
	assert_int_equal(tables(f), path(f));
}

/* --- a hole to everybody --------------------------------------------------------------------- */

static uint32_t count_run(void *ctx, const axas_mapping_t *run)
{
	(void)run;
	++*(uint32_t *)ctx;
	return 1;
}

static void count_text(void *ctx, const char *text, size_t bytes)
{
	(void)text;
	*(uint32_t *)ctx += (uint32_t)bytes;
}

static void what_is_empty_is_a_hole(void **state)
{
	FIXTURE(f);
	uint32_t runs = 0, text = 0;
	uint64_t value;
	axas_hpa_t hpa;

	create(f);
	come_and_go(f, AT);
	expect_state(f, AT, AXAS_STATE_ABSENT);
	expect_state(f, AT + PAGE, AXAS_STATE_ABSENT);
	assert_status(AXAS_ERR_NOT_MAPPED, axas_translate(f->as, AT, &hpa, NULL));
	assert_status(AXAS_ERR_NOT_MAPPED, axas_trap_cookie(f->as, AT, &value));
	assert_int_equal(axas_handle_page_fault(f->as, AT, AXAS_READ), AXAS_FAULT_UNMAPPED);
	assert_status(AXAS_ERR_NOT_MAPPED, axas_protect(f->as, AT, PAGE, RW));
	assert_status(AXAS_ERR_NOT_MAPPED, axas_populate(f->as, AT, PAGE));
	assert_status(AXAS_ERR_NOT_MAPPED, axas_discard(f->as, AT, 2 * MIB));
	assert_status(AXAS_ERR_NOT_MAPPED, axas_read_u64(f->as, AT, 0, &value));
	assert_ok(axas_for_each(f->as, 0, SPACE_SIZE, count_run, &runs));
	assert_int_equal(runs, 0);
	assert_ok(axas_dump(f->as, count_text, &text));
	assert_int_equal(text, 0);
	host_forget_log(&f->host);
	assert_ok(axas_unmap(f->as, AT, PAGE));
	assert_ok(axas_unmap(f->as, AT + MIB, MIB));
	assert_int_equal(f->host.flushes, 0);
	assert_int_equal(tables(f), path(f));
	assert_ok(axas_audit(f->as));
}

/* A hole between what is mapped has the state of both sides told apart. */
static void runs_end_at_a_kept_table(void **state)
{
	FIXTURE(f);
	uint32_t runs = 0;

	create(f);
	assert_ok(axas_map_alloc(f->as, AT, 6 * MIB, RW));
	assert_ok(axas_unmap(f->as, AT + 2 * MIB, PAGE));
	assert_ok(axas_unmap(f->as, AT + 2 * MIB + PAGE, 2 * MIB - PAGE));
	assert_ok(axas_for_each(f->as, 0, SPACE_SIZE, count_run, &runs));
	assert_int_equal(runs, 2);
	assert_int_equal(tables(f), path(f));
	assert_status(AXAS_ERR_NOT_MAPPED, axas_protect(f->as, AT, 6 * MIB, AXAS_READ));
	assert_ok(axas_protect(f->as, AT, 2 * MIB, AXAS_READ));
}

/* --- what takes their place ------------------------------------------------------------------ */

struct place {
	struct fixture *f;
	axas_gpa_t gpa;
	uint32_t with_tables; /* requests to all CPUs that said that tables go */
	uint32_t leaf_came_first;
};

static void see_flush(struct host *h, const axas_tlb_request_t *request)
{
	struct place *p = h->in_flush_arg;
	const struct walker w = space_walker(p->f->as);

	if (request->scope != AXAS_SCOPE_ALL || !request->tables_removed)
		return;
	p->with_tables++;
	p->leaf_came_first += walker_walk(&w, p->gpa).outcome == WALK_LEAF;
}

static axas_status_t large_linear(struct fixture *f, uint64_t size)
{
	return axas_map_linear(f->as, AT, LINEAR_HPA, size, RW);
}

static axas_status_t large_populated(struct fixture *f, uint64_t size)
{
	return axas_map_alloc(f->as, AT, size, RW | AXAS_HUGE_FRAMES | AXAS_POPULATE);
}

static axas_status_t large_reservation(struct fixture *f, uint64_t size)
{
	return axas_map_alloc(f->as, AT, size, RW);
}

static axas_status_t large_trap(struct fixture *f, uint64_t size)
{
	return axas_map_trap(f->as, AT, size, 3);
}

static void what_is_larger_goes_over_them(void **state)
{
	static axas_status_t (*const larger[])(struct fixture *,
					       uint64_t) = { large_linear, large_populated,
							     large_reservation, large_trap };
	static const uint64_t sizes[] = { 2 * MIB, GIB };
	FIXTURE(f);

	create(f);
	for (size_t s = 0; s < COUNT(sizes); s++)
		for (size_t i = 0; i < COUNT(larger); i++) {
			struct place p = { .f = f, .gpa = AT };

			if (larger[i] == large_populated && sizes[s] == GIB)
				continue;
			come_and_go(f, AT + 5 * PAGE);
			come_and_go(f, AT + 2 * MIB);
			assert_int_equal(tables(f), path(f) + 1);
			f->host.in_flush_arg = &p;
			f->host.in_flush = see_flush;
			no_memory(f);
			assert_ok(larger[i](f, sizes[s]));
			memory_again(f);
			f->host.in_flush = NULL;
			assert_int_equal(at(f, AT).size, sizes[s]);
			assert_int_equal(p.with_tables, 1);
			assert_int_equal(p.leaf_came_first, 0);
			assert_int_equal(tables(f), sizes[s] == GIB ? path(f) - 2 : path(f));
			assert_ok(axas_unmap(f->as, 0, SPACE_SIZE));
			assert_int_equal(tables(f), 0);
		}
}

/* Small pages stand in the tables that are there; what lies between is taken away or used. */
static void a_map_over_several_uses_those_that_it_needs(void **state)
{
	FIXTURE(f);

	create(f);
	come_and_go(f, AT + 2 * MIB - PAGE);
	come_and_go(f, AT + 2 * MIB);
	come_and_go(f, AT + 4 * MIB);
	assert_int_equal(tables(f), path(f) + 2);
	no_memory(f);
	assert_ok(axas_map_linear(f->as, AT + 2 * MIB - PAGE, LINEAR_HPA + 2 * MIB - PAGE,
				  2 * MIB + 2 * PAGE, RW));
	memory_again(f);
	assert_int_equal(at(f, AT + 2 * MIB).size, 2 * MIB);
	assert_int_equal(tables(f), path(f) + 1);
	assert_ok(axas_unmap(f->as, AT, GIB));
	assert_int_equal(tables(f), path(f) - 2);
}

static void a_replace_keeps_and_goes_over_them_too(void **state)
{
	FIXTURE(f);

	create(f);
	come_and_go(f, AT);
	no_memory(f);
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, PAGE, RW | AXAS_REPLACE));
	assert_ok(axas_unmap(f->as, AT, PAGE));
	assert_int_equal(tables(f), path(f));
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 2 * MIB, RW | AXAS_REPLACE));
	memory_again(f);
	assert_int_equal(at(f, AT).size, 2 * MIB);
	assert_int_equal(tables(f), path(f) - 1);
}

/* Something stands there all the same: nothing goes. */
static void an_overlap_leaves_them(void **state)
{
	FIXTURE(f);

	create(f);
	come_and_go(f, AT);
	assert_ok(map(f, AT + 4 * MIB, PAGE));
	assert_status(AXAS_ERR_ALREADY_EXISTS, large_linear(f, 6 * MIB));
	assert_status(AXAS_ERR_ALREADY_EXISTS, large_trap(f, GIB));
	assert_int_equal(tables(f), path(f) + 1);
}

static void every_allocation_may_fail(void **state)
{
	FIXTURE(f);

	create(f);
	for (uint32_t what = 0; what < 4; what++) {
		axas_status_t status = AXAS_ERR_NO_MEMORY;

		come_and_go(f, AT + 2 * MIB);
		come_and_go(f, AT + GIB);
		for (uint64_t k = 1; status == AXAS_ERR_NO_MEMORY; k++) {
			f->host.fail_at = k;
			if (what == 0)
				status = map(f, AT + GIB - 4 * MIB, 8 * MIB);
			else if (what == 1)
				status = large_linear(f, GIB + 2 * MIB + PAGE);
			else if (what == 2)
				status = axas_map_alloc(f->as, AT + 2 * MIB - PAGE, 4 * PAGE,
							RW | AXAS_POPULATE);
			else
				status = axas_map_trap(f->as, AT + PAGE, 2 * GIB, 1);
			f->host.fail_at = 0;
			assert_ok(axas_audit(f->as));
		}
		assert_ok(status);
		space_sweep(f->as);
		assert_ok(axas_unmap(f->as, 0, SPACE_SIZE));
		assert_int_equal(tables(f), 0);
	}
}

/* --- giving back ----------------------------------------------------------------------------- */

static void collect_gives_back_what_covers_a_part_of_the_range(void **state)
{
	FIXTURE(f);
	const axas_tlb_request_t *q;

	create(f);
	come_and_go(f, AT);
	come_and_go(f, AT + 8 * GIB);
	assert_int_equal(tables(f), path(f) + 2);
	host_forget_log(&f->host);
	/* no table of pages is there */
	assert_ok(axas_collect(f->as, AT + GIB, GIB));
	assert_int_equal(f->host.flushes, 0);
	assert_ok(axas_collect(f->as, AT + MIB, PAGE));
	assert_int_equal(f->host.flushes, 1);
	q = host_last_flush(&f->host);
	assert_int_equal(q->reason, AXAS_FLUSH_UNMAP);
	assert_int_equal(q->scope, AXAS_SCOPE_ALL);
	assert_int_not_equal(q->tables_removed, 0);
	/* those of the other page, and what both have in common, stay */
	assert_int_equal(tables(f), path(f));
	assert_ok(axas_collect(f->as, 0, SPACE_SIZE));
	assert_int_equal(tables(f), 0);
	assert_ok(axas_collect(f->as, 0, SPACE_SIZE));
	assert_int_equal(f->host.flushes, 2);
}

static void unmap_and_collect_are_unmap_without_the_option(void **state)
{
	FIXTURE(f);
	const axas_gpa_t gpa = AT + GIB - 3 * PAGE;

	create(f);
	assert_ok(map(f, gpa, 6 * PAGE));
	assert_ok(map(f, AT, PAGE));
	assert_ok(axas_unmap(f->as, gpa, 6 * PAGE));
	assert_ok(axas_collect(f->as, gpa, 6 * PAGE));
	assert_int_equal(tables(f), path(f));
	expect_leaf(f, AT, PAGE, LINEAR_HPA, RW);
}

static void collect_leaves_what_is_in_use(void **state)
{
	FIXTURE(f);

	create(f);
	assert_ok(map(f, AT, PAGE));
	assert_ok(axas_map_alloc(f->as, AT + GIB, PAGE, RW));
	assert_ok(axas_map_trap(f->as, AT + 2 * GIB, PAGE, 1));
	come_and_go(f, AT + 2 * MIB);
	host_forget_log(&f->host);
	no_memory(f);
	assert_ok(axas_collect(f->as, 0, SPACE_SIZE));
	memory_again(f);
	assert_int_equal(f->host.flushes, 1);
	assert_int_equal(tables(f), path(f) + 4);
	expect_leaf(f, AT, PAGE, LINEAR_HPA, RW);
	expect_state(f, AT + GIB, AXAS_STATE_RESERVED);
	expect_state(f, AT + 2 * GIB, AXAS_STATE_TRAP);
	assert_ok(axas_collect(f->as, 0, SPACE_SIZE));
	assert_int_equal(f->host.flushes, 1);
}

/* A slice for each entry; each goes on, and in the end it is as after one call. */
static void collect_in_slices(void **state)
{
	FIXTURE(f);
	axas_status_t status = AXAS_ERR_AGAIN;
	axas_gpa_t gpa = 0;
	uint32_t slices = 0;

	create(f);
	for (uint64_t i = 0; i < 40; i++)
		come_and_go(f, AT + i * 2 * MIB + i * PAGE);
	assert_ok(map(f, AT + 7 * 2 * MIB, PAGE));
	while (status == AXAS_ERR_AGAIN) {
		uint64_t done = ~0ull;

		status = axas_collect_some(f->as, gpa, SPACE_SIZE - gpa, 16, &done);
		assert_true(done != 0 && done % PAGE == 0 && done <= SPACE_SIZE - gpa);
		gpa += done;
		assert_in_range(++slices, 1, 100000);
	}
	assert_ok(status);
	assert_int_equal(gpa, SPACE_SIZE);
	assert_true(slices > 2);
	assert_int_equal(tables(f), path(f));
	expect_leaf(f, AT + 7 * 2 * MIB, PAGE, LINEAR_HPA + 7 * 2 * MIB, RW);
}

static void what_collect_refuses(void **state)
{
	FIXTURE(f);
	static const axas_status_t bad = AXAS_ERR_INVALID_INPUT;
	uint64_t done;

	create(f);
	come_and_go(f, AT);
	assert_status(bad, axas_collect(NULL, AT, PAGE));
	assert_status(bad, axas_collect(f->as, AT + 1, PAGE));
	assert_status(bad, axas_collect(f->as, AT, PAGE + 1));
	assert_status(bad, axas_collect(f->as, SPACE_SIZE, PAGE));
	assert_status(bad, axas_collect(f->as, PAGE, SPACE_SIZE));
	assert_status(bad, axas_collect(f->as, ~0ull - PAGE + 1, 2 * PAGE));
	assert_status(bad, axas_collect_some(f->as, AT, PAGE, 0, &done));
	assert_status(bad, axas_collect_some(f->as, AT, PAGE, 1, NULL));
	assert_ok(axas_collect(f->as, AT, 0));
	assert_int_equal(tables(f), path(f));
}

static void clear_gives_them_back(void **state)
{
	FIXTURE(f);

	create(f);
	come_and_go(f, AT);
	come_and_go(f, AT + 8 * GIB);
	assert_ok(axas_clear(f->as));
	assert_int_equal(tables(f), 0);
	come_and_go(f, AT);
	/* and destroy does: the balance is looked at when the test ends */
}

/* --- the quota ------------------------------------------------------------------------------- */

static void kept_tables_count_and_are_not_collected_for_lack_of_memory(void **state)
{
	FIXTURE(f);

	f->cfg.table_quota = (uint32_t)(root_frames(f) + path(f));
	create(f);
	come_and_go(f, AT);
	/* the table of pages of another 2 MiB is one too many */
	assert_status(AXAS_ERR_NO_MEMORY, map(f, AT + 2 * MIB, PAGE));
	assert_int_equal(tables(f), path(f));
	assert_int_equal(stats(f).table_frames, f->cfg.table_quota);
	assert_ok(map(f, AT, PAGE));
	assert_ok(axas_unmap(f->as, AT, PAGE));
	assert_ok(axas_collect(f->as, AT, PAGE));
	assert_ok(map(f, AT + 2 * MIB, PAGE));
	assert_int_equal(tables(f), path(f));
}

/* --- ends ------------------------------------------------------------------------------------ */

static void the_last_page_of_a_space(void **state)
{
	static const struct {
		axas_gpa_t end;
		uint32_t levels;
	} widest[5] = {
		[AXAS_FORMAT_EPT] = { 1ull << 57, 5 },
		[AXAS_FORMAT_NPT] = { 1ull << 57, 5 },
		[AXAS_FORMAT_ARM_S2] = { 1ull << 48, 4 },
		[AXAS_FORMAT_RISCV_GSTAGE] = { 1ull << 59, 5 },
	};
	FIXTURE(f);
	const axas_gpa_t last = widest[f->cfg.format].end - PAGE;

	f->cfg.levels = widest[f->cfg.format].levels;
	f->cfg.pa_bits = 48;
	f->cfg.base = last + PAGE - 4 * GIB;
	f->cfg.size = 4 * GIB;
	create(f);
	come_and_go(f, last);
	assert_int_equal(tables(f), f->cfg.levels - 1);
	no_memory(f);
	assert_ok(map(f, last, PAGE));
	memory_again(f);
	assert_ok(axas_collect(f->as, last, PAGE));
	assert_int_equal(tables(f), f->cfg.levels - 1);
	assert_ok(axas_unmap(f->as, last, PAGE));
	assert_ok(axas_collect(f->as, last, PAGE));
	assert_int_equal(tables(f), 0);
	/* with a large leaf at the very end */
	come_and_go(f, last);
	assert_ok(axas_map_linear(f->as, last + PAGE - 2 * MIB, LINEAR_HPA, 2 * MIB, RW));
	assert_int_equal(tables(f), f->cfg.levels - 2);
}

/* Each page of a root is one for itself. */
static void across_the_pages_of_a_root(void **state)
{
	FIXTURE(f);
	const axas_gpa_t edge = 512 * GIB;
	uint64_t each;

	f->cfg.pa_bits = 48;
	f->cfg.size = 1024 * GIB;
	if (f->cfg.format == AXAS_FORMAT_ARM_S2)
		f->cfg.levels = 3;
	create(f);
	each = axas_levels(f->as) - 1;
	assert_ok(map(f, edge - PAGE, 2 * PAGE));
	assert_ok(axas_unmap(f->as, edge - PAGE, 2 * PAGE));
	assert_int_equal(stats(f).table_frames, space_walker(f->as).root_entries / 512 + 2 * each);
	no_memory(f);
	assert_ok(map(f, edge - 2 * PAGE, 4 * PAGE));
	memory_again(f);
	assert_ok(axas_unmap(f->as, edge - 2 * PAGE, 4 * PAGE));
	assert_ok(axas_collect(f->as, edge, PAGE));
	assert_int_equal(stats(f).table_frames, space_walker(f->as).root_entries / 512 + each);
	assert_ok(axas_collect(f->as, 0, 1024 * GIB));
	assert_int_equal(stats(f).table_frames, space_walker(f->as).root_entries / 512);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT_NO_SPACE(the_next_map_of_a_page_takes_no_frame),
		EACH_FORMAT_NO_SPACE(one_of_two_tables_that_is_kept_leaves_the_other),
		EACH_FORMAT(without_the_option_tables_go_at_once),
		EACH_FORMAT_NO_SPACE(tables_wholly_in_the_range_go),
		EACH_FORMAT_NO_SPACE(a_table_that_reaches_beyond_the_space_stays),
		EACH_FORMAT_NO_SPACE(frames_and_reservations_leave_tables_too),
		EACH_FORMAT_NO_SPACE(the_tables_of_a_split_stay),
		EACH_FORMAT_NO_SPACE(what_is_empty_is_a_hole),
		EACH_FORMAT_NO_SPACE(runs_end_at_a_kept_table),
		EACH_FORMAT_NO_SPACE(what_is_larger_goes_over_them),
		EACH_FORMAT_NO_SPACE(a_map_over_several_uses_those_that_it_needs),
		EACH_FORMAT_NO_SPACE(a_replace_keeps_and_goes_over_them_too),
		EACH_FORMAT_NO_SPACE(an_overlap_leaves_them),
		EACH_FORMAT_NO_SPACE(every_allocation_may_fail),
		EACH_FORMAT_NO_SPACE(collect_gives_back_what_covers_a_part_of_the_range),
		EACH_FORMAT_NO_SPACE(unmap_and_collect_are_unmap_without_the_option),
		EACH_FORMAT_NO_SPACE(collect_leaves_what_is_in_use),
		EACH_FORMAT_NO_SPACE(collect_in_slices),
		EACH_FORMAT_NO_SPACE(what_collect_refuses),
		EACH_FORMAT_NO_SPACE(clear_gives_them_back),
		EACH_FORMAT_NO_SPACE(kept_tables_count_and_are_not_collected_for_lack_of_memory),
		EACH_FORMAT_NO_SPACE(the_last_page_of_a_space),
		EACH_FORMAT_NO_SPACE(across_the_pages_of_a_root),
	};

	return cmocka_run_group_tests_name("keep_tables", tests, NULL, NULL);
}
