/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Small pages back to large ones: axas_merge. */
#include "fixture.h"

#define AT    (4 * GIB)
#define PAGES 512u

static int is_x86(const struct fixture *f)
{
	return f->fc->format == AXAS_FORMAT_EPT || f->fc->format == AXAS_FORMAT_NPT;
}

static uint64_t merge(struct fixture *f, axas_gpa_t gpa, uint64_t size, axas_flags_t flags)
{
	const uint64_t before = stats(f).merges, tables = stats(f).table_frames;
	uint64_t merged = 77;

	assert_ok(axas_merge(f->as, gpa, size, flags, &merged));
	assert_int_equal(stats(f).merges, before + merged);
	assert_int_equal(stats(f).table_frames, tables - merged);
	space_sweep(f->as);
	assert_ok(axas_audit(f->as));
	return merged;
}

static void add_table(void *ctx, uint64_t pa, uint64_t bytes)
{
	uint64_t *sum = ctx;
	const uint64_t *words = host_at((struct host *)(uintptr_t)sum[1], pa);

	sum[0] = (sum[0] ^ pa) * 0x100000001b3ull;
	for (uint64_t i = 0; i < bytes / sizeof(*words); i++)
		sum[0] = (sum[0] ^ words[i]) * 0x100000001b3ull;
}

/* Of all words of all tables, and where these are. */
static uint64_t words(const struct fixture *f)
{
	const struct walker w = space_walker(f->as);
	uint64_t sum[2] = { 0xcbf29ce484222325ull, (uintptr_t)&f->host };

	walker_visit(&w, add_table, NULL, sum);
	return sum[0];
}

static void archives_say_whether_they_have_it(void **state)
{
	(void)state;
	assert_int_equal(axas_parts() & AXAS_PART_MERGE, AXAS_PART_MERGE);
}

struct cut {
	uint64_t from, size;
};

/* Within two GiB: pages, halves, all but a page, and ranges over the boundaries of every size. */
static const struct cut cuts[] = {
	{ 0, PAGE },
	{ GIB - PAGE, PAGE },
	{ 2 * GIB - PAGE, PAGE },
	{ 5 * MIB, PAGE },
	{ PAGE, 2 * MIB - PAGE },
	{ 2 * MIB - PAGE, 2 * PAGE },
	{ 2 * MIB, 2 * MIB },
	{ 3 * MIB, 6 * MIB },
	{ PAGE, GIB - PAGE },
	{ GIB - PAGE, 2 * PAGE },
	{ GIB - 2 * MIB, 4 * MIB },
	{ GIB / 2, GIB },
	{ 0, 2 * GIB - PAGE },
};

enum kind { LINEAR, LINEAR_2M, OWNED, LAZY, TRAP, NOTE };

static void fill(struct fixture *f, enum kind kind, axas_gpa_t gpa, uint64_t size)
{
	switch (kind) {
	case LINEAR:
		assert_ok(axas_map_linear(f->as, gpa, LINEAR_HPA + gpa % (4 * GIB), size, RWX));
		return;
	case LINEAR_2M:
		assert_ok(axas_map_linear(f->as, gpa, LINEAR_HPA + gpa % (4 * GIB), size,
					  RW | AXAS_MAX_2M));
		return;
	case OWNED:
		assert_ok(axas_map_alloc(f->as, gpa, size,
					 RW | AXAS_HUGE_FRAMES | AXAS_MAX_2M | AXAS_POPULATE));
		return;
	case LAZY:
		assert_ok(axas_map_alloc(f->as, gpa, size, RW | AXAS_HUGE_FRAMES));
		return;
	case TRAP:
		assert_ok(axas_map_trap(f->as, gpa, size, 0x12345678));
		return;
	case NOTE:
		assert_ok(axas_map_note(f->as, gpa, size, 0x87654321, 0));
		return;
	}
}

/* What was cut in some way is what it was, word by word. */
static void comes_back(struct fixture *f, enum kind kind, axas_gpa_t gpa, uint64_t size)
{
	const axas_flags_t flags = kind == LINEAR_2M || kind == OWNED ? AXAS_MAX_2M : 0;
	const int is_owned = kind == OWNED;
	axas_stats_t before, after;
	uint64_t sum;

	fill(f, kind, gpa, size);
	sum = words(f);
	before = stats(f);
	for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		const uint64_t from = cuts[i].from % size;
		const uint64_t bytes = cuts[i].size <= size - from ? cuts[i].size : size - from;
		const int by_protect = kind <= LAZY && (is_owned || i % 2 == 0);

		if (by_protect) {
			assert_ok(axas_protect(f->as, gpa + from, bytes, AXAS_READ));
			assert_ok(
				axas_protect(f->as, gpa + from, bytes, kind == LINEAR ? RWX : RW));
		} else {
			assert_ok(axas_unmap(f->as, gpa + from, bytes));
			fill(f, kind, gpa + from, bytes);
		}
		(void)merge(f, gpa, size, flags);
		after = stats(f);
		assert_int_equal(after.table_frames, before.table_frames);
		assert_int_equal(after.mapped_4k, before.mapped_4k);
		assert_int_equal(after.mapped_2m, before.mapped_2m);
		assert_int_equal(after.mapped_1g, before.mapped_1g);
		assert_int_equal(after.guest_frames, before.guest_frames);
		/* what an unmap forgets of how full the tables are, no map brings back */
		if (by_protect)
			assert_int_equal(words(f), sum);
		sum = words(f);
		/* there is nothing left to do */
		f->host.flushes = 0;
		assert_int_equal(merge(f, gpa, size, flags), 0);
		assert_int_equal(f->host.flushes, 0);
	}
	assert_ok(axas_unmap(f->as, gpa, size));
}

static void every_cut_comes_back(void **state)
{
	FIXTURE(f);

	comes_back(f, LINEAR, AT, 2 * GIB);
	comes_back(f, LINEAR_2M, AT, 2 * GIB);
	comes_back(f, OWNED, AT, 16 * MIB);
	comes_back(f, LAZY, AT, 2 * GIB);
	comes_back(f, TRAP, AT, 2 * GIB);
	comes_back(f, NOTE, AT, 2 * GIB);
	/* the ends of the space */
	comes_back(f, LINEAR, 0, 2 * GIB);
	comes_back(f, LINEAR, SPACE_SIZE - 2 * GIB, 2 * GIB);
	comes_back(f, LAZY, 0, SPACE_SIZE);
	comes_back(f, TRAP, 0, SPACE_SIZE);
}

static void with_five_levels_too(void **state)
{
	FIXTURE(f);

	fixture_destroy(f);
	f->cfg.levels = f->fc->format == AXAS_FORMAT_ARM_S2 ? 4 : 5;
	f->cfg.pa_bits = 48;
	fixture_create(f);
	comes_back(f, LINEAR, AT, 2 * GIB);
	comes_back(f, LAZY, 0, SPACE_SIZE);
}

/* Memory that was mapped small: 4 KiB become 2 MiB become 1 GiB in one call. */
static void small_pages_become_large_ones(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, GIB, RW | AXAS_NO_HUGE));
	assert_int_equal(stats(f).mapped_4k, 512 * PAGES);
	assert_int_equal(merge(f, AT, GIB, AXAS_MAX_2M), 512);
	assert_int_equal(stats(f).mapped_2m, 512);
	expect_leaf(f, AT + 7 * PAGE, 2 * MIB, LINEAR_HPA + 7 * PAGE, RW);
	assert_int_equal(merge(f, AT, GIB, 0), 1);
	expect_leaf(f, AT, GIB, LINEAR_HPA, RW);
	assert_ok(axas_unmap(f->as, AT, GIB));
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, GIB, RW | AXAS_NO_HUGE));
	assert_int_equal(merge(f, 0, SPACE_SIZE, 0), 513);
	expect_leaf(f, AT, GIB, LINEAR_HPA, RW);
}

static void without_pages_of_a_gigabyte_there_are_none(void **state)
{
	FIXTURE(f);

	fixture_destroy(f);
	f->cfg.features &= ~(uint32_t)AXAS_FEATURE_1G_PAGES;
	fixture_create(f);
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, GIB, RW | AXAS_NO_HUGE));
	assert_int_equal(merge(f, AT, GIB, 0), is_x86(f) ? 512 : 513);
	expect_leaf(f, AT, is_x86(f) ? 2 * MIB : GIB, LINEAR_HPA, RW);
}

/* What is in the way of a merge of 2 MiB at AT, and is gone again. */
static void stays_small(struct fixture *f, axas_flags_t flags)
{
	const uint64_t sum = words(f);

	f->host.flushes = 0;
	assert_int_equal(merge(f, AT, 2 * MIB, flags), 0);
	assert_int_equal(f->host.flushes, 0);
	assert_int_equal(words(f), sum);
}

static void what_differs_stays_small(void **state)
{
	FIXTURE(f);
	const axas_gpa_t odd = AT + 300 * PAGE;

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 2 * MIB, RW | AXAS_NO_HUGE));
	assert_ok(axas_protect(f->as, odd, PAGE, AXAS_READ));
	stays_small(f, 0);
	assert_ok(axas_protect(f->as, odd, PAGE, RWX));
	stays_small(f, 0);
	assert_ok(axas_protect(f->as, odd, PAGE, RW));
	/* another frame, another memory type */
	assert_ok(axas_map_linear(f->as, odd, LINEAR_HPA, PAGE, RW | AXAS_REPLACE));
	stays_small(f, 0);
	assert_ok(axas_map_linear(f->as, odd, LINEAR_HPA + 300 * PAGE, PAGE,
				  RW | AXAS_DEVICE | AXAS_REPLACE));
	stays_small(f, 0);
	/* a hole, at either end and in the middle */
	for (uint64_t page = 0; page < PAGES; page += page == 0 ? 255 : 256) {
		assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 2 * MIB,
					  RW | AXAS_NO_HUGE | AXAS_REPLACE));
		assert_ok(axas_unmap(f->as, AT + page * PAGE, PAGE));
		stays_small(f, 0);
	}
	/* memory of the library's beside that of the host, a trap, a reservation, a hidden page */
	assert_ok(
		axas_map_linear(f->as, AT, LINEAR_HPA, 2 * MIB, RW | AXAS_NO_HUGE | AXAS_REPLACE));
	assert_ok(axas_map_alloc(f->as, odd, PAGE, RW | AXAS_POPULATE | AXAS_REPLACE));
	stays_small(f, AXAS_MERGE_COPY);
	assert_ok(axas_map_trap_flags(f->as, odd, PAGE, 1, AXAS_REPLACE));
	stays_small(f, AXAS_MERGE_COPY);
	assert_ok(axas_map_alloc(f->as, odd, PAGE, RW | AXAS_REPLACE));
	stays_small(f, AXAS_MERGE_COPY);
	assert_ok(axas_map_linear(f->as, odd, LINEAR_HPA + 300 * PAGE, PAGE, RW | AXAS_REPLACE));
	assert_ok(axas_hide(f->as, odd, PAGE, 0));
	stays_small(f, 0);
	assert_ok(axas_show(f->as, odd, PAGE));
	/* a table that is not in the range whole */
	assert_int_equal(merge(f, AT + PAGE, 8 * MIB, 0), 0);
	assert_int_equal(merge(f, 0, AT + 2 * MIB - PAGE, 0), 0);
	assert_int_equal(merge(f, AT, 2 * MIB, 0), 1);
	/* host memory that is not aligned as the guest's is */
	assert_ok(axas_unmap(f->as, AT, 2 * MIB));
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA + PAGE, 2 * MIB, RW));
	stays_small(f, AXAS_MERGE_COPY);
	/* traps and notes that differ, a trap beside a note */
	assert_ok(axas_map_trap_flags(f->as, AT, 2 * MIB, 7, AXAS_REPLACE));
	assert_ok(axas_map_trap_flags(f->as, odd, PAGE, 8, AXAS_REPLACE));
	stays_small(f, 0);
	assert_ok(axas_map_note(f->as, odd, PAGE, 7, AXAS_REPLACE));
	stays_small(f, 0);
}

static void tags_are_kept(void **state)
{
	FIXTURE(f);

	if (axas_tag_bits(f->as) == 0)
		return;
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 4 * MIB, RW | TAG(2)));
	assert_ok(axas_map_trap_flags(f->as, AT + 4 * MIB, 2 * MIB, 9, TAG(3)));
	for (axas_gpa_t gpa = AT; gpa < AT + 6 * MIB; gpa += 2 * MIB)
		assert_ok(axas_retag(f->as, gpa + MIB, PAGE, 1));
	assert_int_equal(merge(f, AT, 6 * MIB, 0), 0);
	assert_ok(axas_retag(f->as, AT, 2 * MIB, 2));
	assert_ok(axas_retag(f->as, AT + 5 * MIB, PAGE, 3));
	assert_int_equal(merge(f, AT, 6 * MIB, 0), 2);
	assert_int_equal(tag_of(at(f, AT).flags), 2);
	assert_int_equal(tag_of(at(f, AT + 4 * MIB).flags), 3);
	assert_int_equal(tag_of(at(f, AT + 3 * MIB).flags), 1);
	assert_int_equal(at(f, AT + 4 * MIB).size, 2 * MIB);
}

static void executable_pages_stay_small_where_they_are_to(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 2 * MIB, RX | AXAS_NO_HUGE));
	assert_ok(axas_map_linear(f->as, AT + 2 * MIB, LINEAR_HPA, 2 * MIB, RW | AXAS_NO_HUGE));
	assert_ok(axas_map_alloc(f->as, AT + 4 * MIB, 2 * MIB, RWX | AXAS_NO_HUGE));
	assert_ok(axas_populate(f->as, AT + 4 * MIB, 2 * MIB));
	stays_small(f, AXAS_NO_HUGE_EXEC);
	assert_int_equal(merge(f, AT, 6 * MIB, AXAS_NO_HUGE_EXEC | AXAS_MERGE_COPY), 1);
	expect_leaf(f, AT + 2 * MIB, 2 * MIB, LINEAR_HPA, RW);
	/* what is large and executable stays as it is: the flag makes nothing smaller */
	assert_int_equal(merge(f, AT, 6 * MIB, AXAS_MERGE_COPY), 2);
	assert_int_equal(merge(f, AT, 6 * MIB, AXAS_NO_HUGE_EXEC), 0);
	expect_leaf(f, AT, 2 * MIB, LINEAR_HPA, RX);
	/* reservations of large executable pages */
	assert_ok(axas_map_alloc(f->as, AT + 8 * MIB, 2 * MIB, RW | AXAS_HUGE_FRAMES));
	assert_ok(axas_protect(f->as, AT + 8 * MIB, PAGE, AXAS_READ));
	assert_ok(axas_protect(f->as, AT + 8 * MIB, 2 * MIB, RX));
	assert_int_equal(merge(f, AT + 8 * MIB, 2 * MIB, AXAS_NO_HUGE_EXEC), 0);
	assert_int_equal(merge(f, AT + 8 * MIB, 2 * MIB, 0), 1);
}

static void a_space_with_small_executable_pages_keeps_them(void **state)
{
	FIXTURE(f);

	fixture_destroy(f);
	f->cfg.options |= AXAS_SMALL_EXEC;
	fixture_create(f);
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 4 * MIB, RX));
	assert_ok(axas_map_alloc(f->as, AT + 4 * MIB, 2 * MIB, RWX | AXAS_POPULATE));
	assert_int_equal(merge(f, AT, 6 * MIB, AXAS_MERGE_COPY), 0);
	/* a reservation says the same at each level; its pages are small */
	assert_ok(axas_map_alloc(f->as, AT + 8 * MIB, 2 * MIB, RWX | AXAS_HUGE_FRAMES));
	assert_ok(axas_protect(f->as, AT + 8 * MIB, PAGE, AXAS_READ));
	assert_ok(axas_protect(f->as, AT + 8 * MIB, PAGE, RWX));
	assert_int_equal(merge(f, AT + 8 * MIB, 2 * MIB, 0), 1);
	assert_int_equal(axas_handle_page_fault(f->as, AT + 9 * MIB, AXAS_EXECUTE),
			 AXAS_FAULT_RESOLVED);
	assert_int_equal(at(f, AT + 9 * MIB).size, PAGE);
}

static void hidden_pages_merge_as_they_are(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 2 * MIB, RW | AXAS_NO_HUGE));
	assert_ok(axas_hide(f->as, AT, 2 * MIB, AXAS_HIDE_AUTO));
	f->host.hides = 1;
	assert_int_equal(merge(f, AT, 2 * MIB, 0), 1);
	assert_int_equal(at(f, AT).size, 2 * MIB);
	expect_state(f, AT, AXAS_STATE_HIDDEN);
	assert_int_equal(axas_handle_page_fault(f->as, AT + MIB, AXAS_WRITE), AXAS_FAULT_RESOLVED);
	expect_leaf(f, AT, 2 * MIB, LINEAR_HPA, RW);
}

static void kept_tables_stay(void **state)
{
	FIXTURE(f);

	fixture_destroy(f);
	f->cfg.options |= AXAS_KEEP_TABLES;
	fixture_create(f);
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, PAGE, RW));
	assert_ok(axas_unmap(f->as, AT, PAGE));
	assert_int_equal(merge(f, 0, SPACE_SIZE, 0), 0);
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 2 * MIB, RW | AXAS_NO_HUGE));
	assert_int_equal(merge(f, 0, SPACE_SIZE, 0), 1);
}

/* --- flushes --------------------------------------------------------------------------------- */

/* Nobody finds a table that goes, nor yet what takes its place. */
static void nothing_is_there(struct host *h, const axas_tlb_request_t *request)
{
	struct fixture *f = h->in_flush_arg;

	if (request->reason == AXAS_FLUSH_BREAK)
		f->seen_in_flush = space_walk(f->as, request->gpa + request->size - 1).outcome;
}

static void one_flush_for_32_tables(void **state)
{
	FIXTURE(f);
	const uint32_t more = f->fc->format == AXAS_FORMAT_RISCV_GSTAGE ? 2 : 1;

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, GIB, RW | AXAS_NO_HUGE));
	host_forget_log(&f->host);
	f->host.in_flush = nothing_is_there;
	f->host.in_flush_arg = f;
	f->seen_in_flush = WALK_LEAF;
	assert_int_equal(merge(f, AT, GIB, 0), 513);
	f->host.in_flush = NULL;
	assert_int_equal(f->seen_in_flush, WALK_FAULT);
	assert_int_equal(f->host.flushes, 17 * more);
	assert_int_equal(f->host.flushes_all, 17);
	for (uint32_t i = 0; i < 17; i++) {
		const axas_tlb_request_t *q = &f->host.tlb[i * more];

		assert_int_equal(q->reason, AXAS_FLUSH_BREAK);
		assert_int_equal(q->scope, AXAS_SCOPE_ALL);
		assert_int_equal(q->gpa, i < 16 ? AT + i * 64 * MIB : AT);
		assert_int_equal(q->size, i < 16 ? 64 * MIB : GIB);
		assert_int_equal(q->tables_removed, 1);
		assert_int_equal(q->level, 0);
		/* an invalid entry may be cached where it was not there for a moment */
		if (more == 2) {
			assert_int_equal(q[1].reason, AXAS_FLUSH_NEW);
			assert_int_equal(q[1].gpa, q->gpa);
			assert_int_equal(q[1].size, q->size);
		}
	}
}

/* --- logs ------------------------------------------------------------------------------------ */

static uint64_t dirty(struct fixture *f, axas_gpa_t gpa, uint64_t pages)
{
	uint64_t bitmap[4 * PAGES / 64] = { 0 }, count;

	assert_ok(axas_dirty_get(f->as, gpa, pages * PAGE, bitmap, pages, &count));
	return count;
}

static void clean_pages_merge_with_clean_ones(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 4 * MIB, RW));
	assert_ok(axas_dirty_start(f->as, AT, 4 * MIB, AXAS_DIRTY_SPLIT));
	assert_int_equal(stats(f).mapped_4k, 2 * PAGES);
	assert_int_equal(axas_handle_page_fault(f->as, AT + 2 * MIB, AXAS_WRITE),
			 AXAS_FAULT_RESOLVED);
	/* one clean, one with a dirty page */
	assert_int_equal(merge(f, AT, 4 * MIB, 0), 1);
	assert_int_equal(dirty(f, AT, 2 * PAGES), 1);
	assert_int_equal(at(f, AT).size, 2 * MIB);
	assert_int_equal(axas_handle_page_fault(f->as, AT + MIB, AXAS_READ), AXAS_FAULT_SPURIOUS);
	assert_int_equal(axas_handle_page_fault(f->as, AT + MIB, AXAS_WRITE), AXAS_FAULT_RESOLVED);
	assert_int_equal(dirty(f, AT, 2 * PAGES), PAGES + 1);
	/* all dirty */
	assert_ok(axas_dirty_mark(f->as, AT + 2 * MIB, 2 * MIB));
	assert_int_equal(merge(f, AT, 4 * MIB, 0), 1);
	assert_int_equal(dirty(f, AT, 2 * PAGES), 2 * PAGES);
	/* reservations that were discarded, and those that were not */
	assert_ok(axas_map_alloc(f->as, AT + 4 * MIB, 2 * MIB, RW | AXAS_POPULATE));
	assert_ok(axas_discard(f->as, AT + 4 * MIB, 2 * MIB - PAGE));
	assert_int_equal(merge(f, AT + 4 * MIB, 2 * MIB, 0), 0);
	assert_ok(axas_discard(f->as, AT + 4 * MIB, 2 * MIB));
	assert_int_equal(dirty(f, AT + 4 * MIB, PAGES), PAGES);
	assert_int_equal(at(f, AT + 4 * MIB).size, 2 * MIB);
	assert_ok(axas_dirty_stop(f->as, 0, SPACE_SIZE));
	assert_int_equal(dirty(f, AT, 2 * PAGES), 2 * PAGES);
}

static uint64_t *written;
static uint64_t dirty_bit;

static void hardware_writes(struct host *h, const axas_tlb_request_t *request)
{
	(void)h;
	if (request->reason == AXAS_FLUSH_BREAK)
		*written |= dirty_bit;
}

/* A CPU writes through its translation until the flush. */
static void what_hardware_marks_meanwhile_is_kept(void **state)
{
	static const uint32_t feature[] = {
		[AXAS_FORMAT_EPT] = AXAS_FEATURE_EPT_AD,
		[AXAS_FORMAT_ARM_S2] = AXAS_FEATURE_ARM_HAFDBS,
		[AXAS_FORMAT_RISCV_GSTAGE] = AXAS_FEATURE_RISCV_SVADU,
	};
	static const uint64_t bits[] = {
		[AXAS_FORMAT_EPT] = 1u << 9,
		[AXAS_FORMAT_NPT] = 1u << 6,
		[AXAS_FORMAT_ARM_S2] = 1u << 7,
		[AXAS_FORMAT_RISCV_GSTAGE] = 1u << 7,
	};
	FIXTURE(f);

	fixture_destroy(f);
	f->cfg.features |= feature[f->fc->format];
	fixture_create(f);
	dirty_bit = bits[f->fc->format];
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 4 * MIB, RW));
	assert_ok(axas_dirty_start(f->as, AT, 4 * MIB, AXAS_DIRTY_SPLIT | AXAS_DIRTY_HARDWARE));
	assert_int_equal(dirty(f, AT, 2 * PAGES), 0);
	assert_int_equal(merge(f, AT, 2 * MIB, 0), 1);
	assert_int_equal(dirty(f, AT, 2 * PAGES), 0);
	written = entry_at(f, 1, AT + 2 * MIB + 200 * PAGE);
	f->host.in_flush = hardware_writes;
	assert_int_equal(merge(f, AT + 2 * MIB, 2 * MIB, 0), 1);
	f->host.in_flush = NULL;
	assert_int_equal(dirty(f, AT, 2 * PAGES), PAGES);
	/* pages that hardware made dirty, beside others that are as new ones */
	assert_ok(axas_protect(f->as, AT, PAGE, AXAS_READ));
	assert_ok(axas_protect(f->as, AT, PAGE, RW));
	for (uint64_t page = 0; page < PAGES; page += 2)
		*entry_at(f, 1, AT + page * PAGE) |= dirty_bit;
	assert_int_equal(merge(f, AT, 2 * MIB, 0), 0);
	for (uint64_t page = 1; page < PAGES; page += 2)
		assert_ok(axas_dirty_mark(f->as, AT + page * PAGE, PAGE));
	assert_int_equal(merge(f, AT, 2 * MIB, 0), 1);
	assert_int_equal(dirty(f, AT, 2 * PAGES), 2 * PAGES);
	assert_ok(axas_dirty_stop(f->as, 0, SPACE_SIZE));
	assert_ok(axas_audit(f->as));
}

/* --- copies ---------------------------------------------------------------------------------- */

/* 2 MiB whose pages came one by one; each says where it is. */
static void scattered_pages(struct fixture *f, axas_gpa_t gpa, axas_flags_t flags)
{
	assert_ok(axas_map_alloc(f->as, gpa, 2 * MIB, flags));
	for (uint64_t page = 0; page < PAGES; page++) {
		const axas_gpa_t at = gpa + page * PAGE;

		assert_ok(axas_write_u64(f->as, at + 8 * page, AXAS_ACCESS_HOST, page + 1));
	}
}

static void expect_contents(struct fixture *f, axas_gpa_t gpa)
{
	for (uint64_t page = 0; page < PAGES; page++) {
		uint64_t value, zero;

		assert_ok(axas_read_u64(f->as, gpa + page * PAGE + 8 * page, AXAS_ACCESS_HOST,
					&value));
		assert_int_equal(value, page + 1);
		assert_ok(axas_read_u64(f->as, gpa + page * PAGE + (8 * page + 8) % PAGE,
					AXAS_ACCESS_HOST, &zero));
		assert_int_equal(zero, 0);
	}
}

static uint32_t asked, refused_page;

static uint32_t may_move(void *ctx, axas_gpa_t gpa, axas_hpa_t hpa)
{
	struct host *h = ctx;

	space_check_no_window(h, "may_move");
	if (gpa != AT + asked * PAGE || host_frame_at(h, hpa)->purpose != AXAS_FRAME_GUEST)
		host_violation(h, "may_move: gpa %#llx", (unsigned long long)gpa);
	return asked++ != refused_page;
}

static void scattered_pages_are_copied_into_a_large_frame(void **state)
{
	FIXTURE(f);
	axas_stats_t before, after;

	f->host.hal.may_move = may_move;
	f->host.poison_guest = 1;
	fixture_create(f);
	scattered_pages(f, AT, RWX);
	assert_int_equal(merge(f, AT, 2 * MIB, 0), 0);
	/* a page that is held, and no frame */
	asked = 0;
	refused_page = 300;
	assert_int_equal(merge(f, AT, 2 * MIB, AXAS_MERGE_COPY), 0);
	assert_int_equal(asked, 301);
	f->host.refuse_order = 9;
	assert_int_equal(merge(f, AT, 2 * MIB, AXAS_MERGE_COPY), 0);
	assert_int_equal(asked, 301);
	f->host.refuse_order = 0;
	/* a frame that is none */
	f->host.nonsense = HOST_GIVES_UNALIGNED;
	f->host.nonsense_purpose = AXAS_FRAME_GUEST;
	assert_int_equal(merge(f, AT, 2 * MIB, AXAS_MERGE_COPY), 0);
	assert_int_equal(f->host.nonsense_returned, 1);
	f->host.nonsense = HOST_SANE;
	asked = 0;
	refused_page = PAGES;
	before = stats(f);
	memset(f->host.cleans, 0, sizeof(f->host.cleans));
	host_forget_log(&f->host);
	assert_int_equal(merge(f, AT, 2 * MIB, AXAS_MERGE_COPY), 1);
	assert_int_equal(asked, PAGES);
	assert_int_equal(host_last_flush(&f->host)->gpa, AT);
	assert_int_equal(host_last_flush(&f->host)->size, 2 * MIB);
	assert_int_equal(f->host.flushes_all, 1);
	after = stats(f);
	assert_int_equal(after.guest_frames, before.guest_frames);
	assert_int_equal(after.mapped_4k, before.mapped_4k - PAGES);
	assert_int_equal(after.mapped_2m, before.mapped_2m + 1);
	assert_int_equal(after.frames_allocated, before.frames_allocated + PAGES);
	assert_int_equal(after.frames_released, before.frames_released + PAGES + 1);
	assert_int_equal(f->host.guest_out, PAGES);
	/* without FWB a guest with its caches off reads past them: what it wrote so is seen, too */
	assert_int_equal(f->host.cleans[AXAS_FRAME_GUEST],
			 is_x86(f)                                 ? 0 :
			 f->fc->format == AXAS_FORMAT_RISCV_GSTAGE ? PAGES :
								     2 * PAGES);
	assert_int_equal(at(f, AT).size, 2 * MIB);
	assert_int_equal(at(f, AT).state, AXAS_STATE_OWNED);
	expect_contents(f, AT);
	/* it is a page as any other */
	assert_ok(axas_discard(f->as, AT + MIB, PAGE));
	assert_ok(axas_unmap(f->as, AT, MIB));
}

/* Up to the flush a CPU may write to a page by what it holds. */
static void write_to_the_old_page(struct host *h, const axas_tlb_request_t *request)
{
	const axas_hpa_t *old = h->in_flush_arg;

	if (request->reason == AXAS_FLUSH_BREAK)
		((uint64_t *)(void *)host_at(h, *old))[100] = 0x5a5a5a5a;
}

static void what_is_written_before_the_flush_is_copied(void **state)
{
	FIXTURE(f);
	uint64_t value;
	axas_hpa_t old;

	scattered_pages(f, AT, RW);
	old = at(f, AT + 511 * PAGE).hpa;
	f->host.in_flush_arg = &old;
	f->host.in_flush = write_to_the_old_page;
	assert_int_equal(merge(f, AT, 2 * MIB, AXAS_MERGE_COPY), 1);
	f->host.in_flush = NULL;
	assert_ok(axas_read_u64(f->as, AT + 511 * PAGE + 800, 0, &value));
	assert_int_equal(value, 0x5a5a5a5a);
}

static void a_host_with_a_shorter_hal_lets_all_pages_go(void **state)
{
	FIXTURE(f);

	f->host.hal.may_move = may_move;
	f->host.hal.struct_size = offsetof(axas_hal_t, may_move);
	fixture_create(f);
	asked = 0;
	scattered_pages(f, AT, RW);
	scattered_pages(f, AT + 2 * MIB, RW);
	assert_int_equal(merge(f, AT, 4 * MIB, AXAS_MERGE_COPY), 2);
	assert_int_equal(asked, 0);
	expect_contents(f, AT);
	expect_contents(f, AT + 2 * MIB);
}

/* Linear pages, pages with different permissions, and reserved ones are not copied. */
static void what_cannot_be_copied_stays(void **state)
{
	FIXTURE(f);

	scattered_pages(f, AT, RW);
	assert_ok(axas_protect(f->as, AT + PAGE, PAGE, AXAS_READ));
	stays_small(f, AXAS_MERGE_COPY);
	assert_ok(axas_protect(f->as, AT + PAGE, PAGE, RW));
	assert_ok(axas_discard(f->as, AT + PAGE, PAGE));
	stays_small(f, AXAS_MERGE_COPY);
	assert_int_equal(axas_handle_page_fault(f->as, AT + PAGE, AXAS_READ), AXAS_FAULT_RESOLVED);
	if (axas_tag_bits(f->as) != 0) {
		assert_ok(axas_retag(f->as, AT + PAGE, PAGE, 1));
		stays_small(f, AXAS_MERGE_COPY);
		assert_ok(axas_retag(f->as, AT + PAGE, PAGE, 0));
	}
	assert_ok(axas_dirty_start(f->as, AT, PAGE, 0));
	stays_small(f, AXAS_MERGE_COPY);
	assert_ok(axas_dirty_clear(f->as, AT, 2 * MIB, NULL, 0, 0));
	assert_int_equal(merge(f, AT, 2 * MIB, AXAS_MERGE_COPY | AXAS_MAX_2M), 1);
	assert_int_equal(dirty(f, AT, PAGES), 0);
}

static void pages_are_copied_through_windows(void **state)
{
	static _Alignas(AXAS_STORAGE_ALIGN) uint8_t storage[AXAS_STORAGE_SIZE];
	FIXTURE(f);

	host_exit(&f->host);
	host_init(&f->host, HOST_WINDOWS, HOST_PA_BASE);
	assert_ok(axas_create_in(storage, sizeof(storage), &f->cfg, &f->host.hal, &f->as));
	scattered_pages(f, AT, RW);
	assert_int_equal(merge(f, AT, 2 * MIB, AXAS_MERGE_COPY), 1);
	expect_contents(f, AT);
}

/* --- failures -------------------------------------------------------------------------------- */

/* The only frames that it takes are those for copies: without one nothing changes. */
static void every_allocation_may_fail(void **state)
{
	FIXTURE(f);
	uint64_t merged;

	scattered_pages(f, AT, RW);
	scattered_pages(f, AT + 2 * MIB, RW);
	for (uint64_t fail = 1; fail <= 2; fail++) {
		f->host.fail_at = fail;
		assert_ok(axas_merge(f->as, AT, 4 * MIB, AXAS_MERGE_COPY, &merged));
		assert_int_equal(f->host.fail_at, 0);
		assert_int_equal(merged, 1);
		space_sweep(f->as);
		expect_contents(f, AT);
		expect_contents(f, AT + 2 * MIB);
		assert_ok(axas_unmap(f->as, AT, 4 * MIB));
		scattered_pages(f, AT, RW);
		scattered_pages(f, AT + 2 * MIB, RW);
	}
	/* without MERGE_COPY it takes none */
	f->host.fail_at = 1;
	assert_ok(axas_merge(f->as, AT, 4 * MIB, 0, &merged));
	assert_int_equal(f->host.fail_at, 1);
	f->host.fail_at = 0;
}

/* One look at a frame after the other fails: no page is lost, no table, and the next call does the rest. */
static void a_host_blind_for_a_moment_loses_nothing(void **state)
{
	FIXTURE(f);
	uint64_t left = 0, merged;
	axas_status_t status;

	for (uint64_t look = 1; left == 0; look += look < 40 ? 1 : 97) {
		assert_in_range(look, 1, 6000);
		fixture_create(f);
		assert_ok(axas_map_linear(f->as, AT + 2 * MIB, LINEAR_HPA, 2 * MIB,
					  RW | AXAS_NO_HUGE));
		scattered_pages(f, AT, RW);
		assert_ok(axas_map_linear(f->as, AT + 4 * MIB, LINEAR_HPA, 4 * MIB,
					  RW | AXAS_NO_HUGE));
		f->host.quick = 1;
		f->host.blind_at = look;
		status = axas_merge(f->as, AT, 8 * MIB, AXAS_MERGE_COPY, &merged);
		assert_true(status == AXAS_OK || status == AXAS_ERR_BAD_STATE);
		left = f->host.blind_at;
		f->host.blind_at = 0;
		f->host.quick = 0;
		space_sweep(f->as);
		assert_ok(axas_audit(f->as));
		expect_contents(f, AT);
		expect_state(f, AT + 2 * MIB, AXAS_STATE_LINEAR);
		(void)merge(f, AT, 8 * MIB, AXAS_MERGE_COPY);
		assert_int_equal(stats(f).mapped_2m, 4);
		assert_int_equal(stats(f).mapped_4k, 0);
		expect_contents(f, AT);
		fixture_destroy(f);
	}
}

static void bad_input_changes_nothing(void **state)
{
	FIXTURE(f);
	uint64_t merged = 77, done = 77;

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 2 * MIB, RW | AXAS_NO_HUGE));
#define BAD(call) assert_status(AXAS_ERR_INVALID_INPUT, call)
	BAD(axas_merge(NULL, AT, 2 * MIB, 0, &merged));
	assert_int_equal(merged, 0);
	BAD(axas_merge(f->as, AT, 2 * MIB, 0, NULL));
	BAD(axas_merge(f->as, AT, 2 * MIB, 0, (uint64_t *)((uintptr_t)&merged + 4)));
	for (uint32_t bit = 0; bit < 32; bit++) {
		const axas_flags_t flag = 1u << bit;

		if (!(flag & (AXAS_MAX_2M | AXAS_NO_HUGE_EXEC | AXAS_MERGE_COPY)))
			BAD(axas_merge(f->as, AT, 2 * MIB, flag, &merged));
	}
	BAD(axas_merge(f->as, AT + 1, 2 * MIB, 0, &merged));
	BAD(axas_merge(f->as, AT, 2 * MIB + 1, 0, &merged));
	BAD(axas_merge(f->as, AT, 0, 0, &merged));
	BAD(axas_merge(f->as, AT, ~0ull & ~0xfffull, 0, &merged));
	BAD(axas_merge(f->as, SPACE_SIZE - PAGE, 2 * PAGE, 0, &merged));
	BAD(axas_merge(f->as, SPACE_SIZE, PAGE, 0, &merged));
	BAD(axas_merge_some(f->as, AT, 2 * MIB, 0, &merged, 0, &done));
	assert_int_equal(done, 0);
	BAD(axas_merge_some(f->as, AT, 2 * MIB, 0, NULL, 1, &done));
	BAD(axas_merge_some(f->as, AT, 2 * MIB, 0, &merged, 1, NULL));
	BAD(axas_merge_some(f->as, AT, 2 * MIB, AXAS_NO_HUGE, &merged, 1, &done));
	BAD(axas_merge_some(NULL, AT, 2 * MIB, 0, &merged, 1, &done));
#undef BAD
	assert_int_equal(stats(f).mapped_4k, PAGES);
	assert_int_equal(merge(f, AT, 2 * MIB, 0), 1);
}

static void a_space_with_devices_has_none(void **state)
{
	FIXTURE(f);
	uint64_t merged = 77, done = 77;

	if (f->fc->format == AXAS_FORMAT_NPT)
		return;
	fixture_destroy(f);
	f->host.has_devices = 1;
	f->cfg.options |= AXAS_IO;
	f->cfg.features |= AXAS_FEATURE_IO_COHERENT;
	fixture_create(f);
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 2 * MIB, RW | AXAS_NO_HUGE));
	assert_status(AXAS_ERR_UNSUPPORTED, axas_merge(f->as, AT, 2 * MIB, 0, &merged));
	assert_int_equal(merged, 0);
	assert_status(AXAS_ERR_UNSUPPORTED,
		      axas_merge_some(f->as, AT, 2 * MIB, 0, &merged, 9, &done));
	assert_int_equal(done, 0);
}

/* A huge page where the format has none. */
static void a_corrupt_table_is_told(void **state)
{
	FIXTURE(f);
	uint64_t merged = 77, *entry;

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 2 * MIB, RW | AXAS_NO_HUGE));
	entry = entry_at(f, 4, AT);
	*entry |= 0x80;
	assert_status(AXAS_ERR_BAD_STATE, axas_merge(f->as, AT, GIB, 0, &merged));
	assert_int_equal(merged, 0);
	*entry &= ~0x80ull;
	assert_int_equal(merge(f, AT, 2 * MIB, 0), 1);
}

/* --- slices ---------------------------------------------------------------------------------- */

static uint32_t yes(void *ctx)
{
	(void)ctx;
	return 1;
}

static uint64_t merge_in_slices(struct fixture *f, axas_gpa_t gpa, uint64_t size, uint64_t budget,
				axas_flags_t flags, uint64_t *calls)
{
	uint64_t at = 0, sum = 0, merged, done;
	axas_status_t status;

	*calls = 0;
	do {
		status = axas_merge_some(f->as, gpa + at, size - at, flags, &merged, budget, &done);
		assert_true(status == AXAS_OK || status == AXAS_ERR_AGAIN);
		assert_true(done != 0 && done <= size - at);
		assert_true(status == AXAS_OK || (gpa + at + done) % (2 * MIB) == 0);
		at += done;
		sum += merged;
		++*calls;
	} while (status == AXAS_ERR_AGAIN);
	assert_int_equal(at, size);
	space_sweep(f->as);
	return sum;
}

static void slices_do_what_the_whole_does(void **state)
{
	FIXTURE(f);
	const uint64_t budgets[] = { 1, 511, 512, 513, 5000, 100000000 };
	uint64_t calls, merged, done;

	for (size_t i = 0; i < sizeof(budgets) / sizeof(budgets[0]); i++) {
		const uint64_t size = 16 * MIB;

		assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, size, RW | AXAS_NO_HUGE));
		assert_int_equal(merge_in_slices(f, AT + PAGE, size, budgets[i], 0, &calls), 7);
		assert_int_equal(merge_in_slices(f, AT, size, budgets[i], 0, &calls), 1);
		assert_int_equal(stats(f).mapped_2m, 8);
		assert_ok(axas_unmap(f->as, AT, size));
	}
	/* a gigabyte takes a call that has all of it: what it leaves the next one finds */
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, GIB, RW | AXAS_NO_HUGE));
	assert_int_equal(merge_in_slices(f, AT, GIB, 512 * 100, 0, &calls), 512);
	assert_int_equal(calls, 6);
	assert_int_equal(merge_in_slices(f, AT, GIB, 512 * 100, 0, &calls), 1);
	assert_int_equal(calls, 1);
	assert_ok(axas_unmap(f->as, AT, GIB));
	/* a host that wants to do something else */
	fixture_destroy(f);
	f->host.hal.should_yield = yes;
	fixture_create(f);
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 8 * MIB, RW | AXAS_NO_HUGE));
	assert_status(AXAS_ERR_AGAIN,
		      axas_merge_some(f->as, AT, 8 * MIB, 0, &merged, 1000000, &done));
	assert_int_equal(done, 2 * MIB);
	assert_int_equal(merged, 1);
	/* a call that is not in slices does not ask it */
	assert_int_equal(merge(f, AT, 8 * MIB, 0), 3);
}

static void copies_come_one_by_one(void **state)
{
	FIXTURE(f);
	uint64_t calls;

	for (uint64_t i = 0; i < 4; i++)
		scattered_pages(f, AT + i * 2 * MIB, RW);
	assert_int_equal(merge_in_slices(f, AT, 8 * MIB, 512, AXAS_MERGE_COPY, &calls), 4);
	assert_int_equal(calls, 4);
	for (uint64_t i = 0; i < 4; i++)
		expect_contents(f, AT + i * 2 * MIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(archives_say_whether_they_have_it),
		EACH_FORMAT(every_cut_comes_back),
		EACH_FORMAT(with_five_levels_too),
		EACH_FORMAT(small_pages_become_large_ones),
		EACH_FORMAT(without_pages_of_a_gigabyte_there_are_none),
		EACH_FORMAT(what_differs_stays_small),
		EACH_FORMAT(tags_are_kept),
		EACH_FORMAT(executable_pages_stay_small_where_they_are_to),
		EACH_FORMAT(a_space_with_small_executable_pages_keeps_them),
		EACH_FORMAT(hidden_pages_merge_as_they_are),
		EACH_FORMAT(kept_tables_stay),
		EACH_FORMAT(one_flush_for_32_tables),
		EACH_FORMAT(clean_pages_merge_with_clean_ones),
		EACH_FORMAT(what_hardware_marks_meanwhile_is_kept),
		EACH_FORMAT_NO_SPACE(scattered_pages_are_copied_into_a_large_frame),
		EACH_FORMAT(what_is_written_before_the_flush_is_copied),
		EACH_FORMAT_NO_SPACE(a_host_with_a_shorter_hal_lets_all_pages_go),
		EACH_FORMAT(what_cannot_be_copied_stays),
		EACH_FORMAT_NO_SPACE(pages_are_copied_through_windows),
		EACH_FORMAT(every_allocation_may_fail),
		ONE(a_host_blind_for_a_moment_loses_nothing, setup_callback_host, ept),
		ONE(a_host_blind_for_a_moment_loses_nothing, setup_callback_host, riscv),
		EACH_FORMAT(bad_input_changes_nothing),
		EACH_FORMAT(a_space_with_devices_has_none),
		ONE(a_corrupt_table_is_told, setup_space, ept),
		ONE(a_corrupt_table_is_told, setup_space, npt),
		EACH_FORMAT(slices_do_what_the_whole_does),
		EACH_FORMAT(copies_come_one_by_one),
	};

	return cmocka_run_group_tests_name("merge", tests, NULL, NULL);
}
