/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Which pages were used: axas_age and its kin, before a CPU that walks, caches and sets accessed bits. */
#include "fixture.h"

#define AT     (4 * GIB)
#define PAGES  (3 * 512u)
#define WORDS  (PAGES / 64)
#define TABLES (PAGES / 512)
#define COLD   (1ull << 59)

/* What the CPU holds: translations of pages, and of entries that point to tables of pages. */
static uint8_t held_page[PAGES], held_table[TABLES];
/* The page that it uses while it is told to forget. */
static uint64_t used_in_flush;

static int is_x86(const struct fixture *f)
{
	return f->fc->format == AXAS_FORMAT_EPT || f->fc->format == AXAS_FORMAT_NPT;
}

static uint32_t hardware_feature(const struct fixture *f)
{
	switch (f->fc->format) {
	case AXAS_FORMAT_EPT:
		return AXAS_FEATURE_EPT_AD;
	case AXAS_FORMAT_ARM_S2:
		return AXAS_FEATURE_ARM_HAF;
	case AXAS_FORMAT_RISCV_GSTAGE:
		return AXAS_FEATURE_RISCV_SVADU;
	default:
		return 0;
	}
}

static uint64_t accessed(const struct fixture *f)
{
	switch (f->fc->format) {
	case AXAS_FORMAT_EPT:
		return 1u << 8;
	case AXAS_FORMAT_NPT:
		return 1u << 5;
	case AXAS_FORMAT_ARM_S2:
		return 1u << 10;
	default:
		return 1u << 6;
	}
}

static int by_hardware(const struct fixture *f)
{
	return f->fc->format == AXAS_FORMAT_NPT || (f->cfg.features & hardware_feature(f)) != 0;
}

/* The guest reads a page of the window: by what the CPU holds, by a walk that sets bits, or by a fault. */
static void guest_reads(struct fixture *f, uint64_t page)
{
	const axas_gpa_t gpa = AT + page * PAGE;
	struct walk r = space_walk(f->as, gpa);

	if (held_page[page])
		return;
	if (r.outcome != WALK_LEAF || (!by_hardware(f) && !r.young)) {
		assert_int_equal(axas_handle_page_fault(f->as, gpa, AXAS_READ),
				 AXAS_FAULT_RESOLVED);
		r = space_walk(f->as, gpa);
	}
	if (by_hardware(f)) {
		*entry_at(f, r.level, gpa) |= accessed(f);
		/* a walk begins at the lowest entry that is held */
		for (uint32_t level = r.level + 1; is_x86(f) && level <= f->fc->levels; level++)
			if (!held_table[page / 512])
				*entry_at(f, level, gpa) |= accessed(f);
	}
	assert_int_equal(axas_handle_page_fault(f->as, gpa, AXAS_READ), AXAS_FAULT_SPURIOUS);
	assert_true(space_walk(f->as, gpa).young);
	held_page[page] = held_table[page / 512] = 1;
}

static void forget(struct host *h, const axas_tlb_request_t *q)
{
	struct fixture *f = h->in_flush_arg;

	if (used_in_flush != PAGES) {
		/* by the entry that it holds of the table, which is not read, nor marked, again */
		const uint64_t page = used_in_flush;

		used_in_flush = PAGES;
		assert_true(held_table[page / 512]);
		*entry_at(f, 1, AT + page * PAGE) |= accessed(f);
		held_page[page] = 1;
	}
	for (uint64_t i = 0; i < PAGES; i++) {
		const axas_gpa_t gpa = AT + i * PAGE;

		if (gpa < q->gpa || gpa >= q->gpa + q->size)
			continue;
		held_page[i] = 0;
		if (q->tables_removed)
			held_table[i / 512] = 0;
	}
}

static int setup_ageing(void **state)
{
	struct fixture *f;

	if (setup_host(state) != 0)
		return -1;
	f = *state;
	f->cfg.features |= hardware_feature(f);
	f->host.in_flush = forget;
	f->host.in_flush_arg = f;
	memset(held_page, 0, sizeof(held_page));
	memset(held_table, 0, sizeof(held_table));
	used_in_flush = PAGES;
	fixture_create(f);
	return 0;
}

static void without_hardware(struct fixture *f)
{
	fixture_destroy(f);
	f->cfg.features &= ~hardware_feature(f);
	fixture_create(f);
	f->host.flushes = 0;
}

static uint64_t bits_of(const uint64_t *bitmap, uint64_t first, uint64_t count)
{
	uint64_t set = 0;

	for (uint64_t i = first; i < first + count; i++)
		set += bitmap[i / 64] >> (i % 64) & 1;
	return set;
}

/* The pages that were used: their number, which young says too. */
static uint64_t age(struct fixture *f, axas_gpa_t gpa, uint64_t pages, uint64_t *bitmap,
		    uint32_t options)
{
	uint64_t young = ~0ull;

	memset(bitmap, 0, (pages + 63) / 64 * 8);
	assert_ok(axas_age(f->as, gpa, pages * PAGE, bitmap, pages, options, &young));
	assert_int_equal(bits_of(bitmap, 0, pages), young);
	return young;
}

static void archives_say_whether_they_have_it(void **state)
{
	(void)state;
	assert_int_equal(axas_parts() & AXAS_PART_AGE, AXAS_PART_AGE);
	assert_int_equal(axas_parts() & AXAS_PART_DIRTY, AXAS_PART_DIRTY);
}

/* Rounds of a guest that uses one page in so many: each is reported in its round and in no other. */
static void a_known_set_is_measured(struct fixture *f)
{
	uint64_t bitmap[WORDS];

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA + PAGE, PAGES * PAGE, RW));
	assert_int_equal(age(f, AT, PAGES, bitmap, 0), PAGES);
	assert_int_equal(age(f, AT, PAGES, bitmap, 0), 0);
	for (uint64_t round = 0; round < 12; round++) {
		const uint64_t every = 1 + round * round * 7, first = round % every;
		uint64_t used = 0;

		/* some rounds leave the tables at the end alone */
		for (uint64_t i = first; i < (round % 3 ? 600 : PAGES); i += every) {
			guest_reads(f, i);
			used++;
		}
		assert_int_equal(age(f, AT, PAGES, bitmap, AXAS_AGE_TEST), used);
		assert_int_equal(age(f, AT, PAGES, bitmap, 0), used);
		for (uint64_t i = 0; i < PAGES; i++)
			assert_int_equal(bits_of(bitmap, i, 1),
					 i >= first && (i - first) % every == 0 &&
						 i < (round % 3 ? 600 : PAGES));
		assert_ok(axas_audit(f->as));
		for (uint64_t i = 0; i < round % 4; i++)
			assert_int_equal(age(f, AT, PAGES, bitmap, 0), 0);
	}
	space_sweep(f->as);
}

static void hardware_says_what_was_used(void **state)
{
	FIXTURE(f);
	axas_hw_regs_t regs;

	assert_ok(axas_hw_regs(f->as, &regs));
	if (f->fc->format == AXAS_FORMAT_ARM_S2)
		assert_int_equal(regs.control_register >> 21 & 3, 1); /* HA, not HD */
	a_known_set_is_measured(f);
	assert_int_equal(stats(f).faults_marked, 0);
}

static void faults_say_what_was_used(void **state)
{
	FIXTURE(f);
	uint64_t bitmap[WORDS], young = 7;
	axas_stats_t before, after;

	without_hardware(f);
	if (f->fc->format == AXAS_FORMAT_EPT) {
		assert_status(AXAS_ERR_UNSUPPORTED,
			      axas_age(f->as, AT, PAGE, NULL, 0, AXAS_AGE_TEST, &young));
		assert_int_equal(young, 0);
		return;
	}
	a_known_set_is_measured(f);
	if (f->fc->format == AXAS_FORMAT_NPT)
		return;
	assert_true(stats(f).faults_marked > 0);
	(void)age(f, AT, PAGES, bitmap, 0);
	f->host.flushes = 0;
	before = stats(f);
	assert_int_equal(axas_handle_page_fault(f->as, AT, AXAS_WRITE), AXAS_FAULT_RESOLVED);
	assert_int_equal(axas_handle_page_fault(f->as, AT, AXAS_READ), AXAS_FAULT_SPURIOUS);
	assert_int_equal(axas_handle_page_fault(f->as, AT + PAGE, AXAS_EXECUTE), AXAS_FAULT_DENIED);
	after = stats(f);
	assert_int_equal(after.faults_marked, before.faults_marked + 1);
	assert_int_equal(after.faults_resolved, before.faults_resolved + 1);
	assert_int_equal(after.frames_allocated, before.frames_allocated);
	assert_int_equal(after.mapped_4k, before.mapped_4k);
	assert_int_equal(age(f, AT, PAGES, bitmap, 0), 1);
	assert_ok(axas_audit(f->as));
}

static void a_look_changes_nothing(void **state)
{
	FIXTURE(f);
	uint64_t bitmap[WORDS], young;

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 4 * MIB, RW));
	assert_ok(axas_map_linear(f->as, AT + 4 * MIB, LINEAR_HPA, 3 * PAGE, AXAS_READ));
	assert_ok(axas_map_alloc(f->as, AT + 5 * MIB, MIB, RW));
	f->host.flushes = 0;
	assert_int_equal(age(f, AT, PAGES, bitmap, AXAS_AGE_TEST), 1024 + 3);
	assert_ok(axas_age(f->as, 0, SPACE_SIZE, NULL, 0, AXAS_AGE_TEST, &young));
	assert_int_equal(young, 1024 + 3);
	assert_int_equal(f->host.flushes, 0);
	/* a bitmap is filled up */
	memset(bitmap, 0xff, sizeof(bitmap));
	assert_ok(axas_age(f->as, AT, PAGES * PAGE, bitmap, PAGES, 0, &young));
	assert_int_equal(young, 1024 + 3);
	assert_int_equal(bits_of(bitmap, 0, PAGES), PAGES);
	assert_int_equal(f->host.flushes, 1);
	assert_int_equal(host_last_flush(&f->host)->reason, AXAS_FLUSH_CLEAN);
	assert_int_equal(host_last_flush(&f->host)->scope, AXAS_SCOPE_ALL);
	assert_int_equal(host_last_flush(&f->host)->gpa, AT);
	assert_int_equal(host_last_flush(&f->host)->size, 4 * MIB + 3 * PAGE);
	assert_int_equal(age(f, AT, PAGES, bitmap, AXAS_AGE_TEST), 0);
	/* permissions and everything else are what they were */
	expect_leaf(f, AT, 2 * MIB, LINEAR_HPA, RW);
	expect_leaf(f, AT + 4 * MIB, PAGE, LINEAR_HPA, AXAS_READ);
}

static void a_huge_page_becomes_old_whole_or_not_at_all(void **state)
{
	FIXTURE(f);
	uint64_t bitmap[WORDS];

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 6 * MIB, RW));
	assert_int_equal(age(f, AT + PAGE, PAGES - 2, bitmap, 0), PAGES - 2);
	assert_int_equal(age(f, AT, PAGES, bitmap, AXAS_AGE_TEST), 1024);
	assert_int_equal(bits_of(bitmap, 512, 512), 0);
	assert_int_equal(age(f, AT, PAGES, bitmap, 0), 1024);
	guest_reads(f, 700);
	assert_int_equal(age(f, AT + 2 * MIB, 3, bitmap, 0), 3);
	assert_int_equal(age(f, AT, PAGES, bitmap, 0), 512);
	assert_int_equal(bits_of(bitmap, 512, 512), 512);
	assert_int_equal(stats(f).mapped_2m, 3);
	assert_ok(axas_audit(f->as));
}

static void device_memory_is_left_alone(void **state)
{
	FIXTURE(f);
	uint64_t bitmap[WORDS];

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 3 * PAGE, RW | AXAS_DEVICE));
	assert_ok(axas_map_linear(f->as, AT + 3 * PAGE, LINEAR_HPA, 3 * PAGE, RW));
	assert_int_equal(age(f, AT, PAGES, bitmap, 0), 3);
	assert_int_equal(bitmap[0], 7u << 3);
	assert_true(space_walk(f->as, AT).young);
	assert_int_equal(age(f, AT, PAGES, bitmap, 0), 0);
}

/* Two rounds in which nothing is used: on x86 the tables of the window are not looked at any more. */
static void cool_down(struct fixture *f)
{
	uint64_t bitmap[WORDS];

	(void)age(f, AT, PAGES, bitmap, 0);
	assert_int_equal(age(f, AT, PAGES, bitmap, 0), 0);
	assert_int_equal(age(f, AT, PAGES, bitmap, 0), 0);
	for (uint64_t i = 0; i < TABLES && is_x86(f); i++) {
		const uint64_t *entry = entry_at(f, 2, AT + i * 2 * MIB);

		assert_int_equal(*entry & (COLD | accessed(f)), COLD);
	}
}

static void cold_tables_are_not_looked_at(void **state)
{
	FIXTURE(f);
	uint64_t bitmap[WORDS];

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA + PAGE, PAGES * PAGE, RW));
	cool_down(f);
	/* what no hardware does shows that it is so: a page is marked, and its table is not */
	*entry_at(f, 1, AT + 600 * PAGE) |= accessed(f);
	assert_int_equal(age(f, AT, PAGES, bitmap, AXAS_AGE_NO_FLUSH), is_x86(f) ? 0 : 1);
	guest_reads(f, 601);
	assert_int_equal(age(f, AT, PAGES, bitmap, 0), is_x86(f) ? 2 : 1);
	assert_int_equal(bits_of(bitmap, 601, 1), 1);
	cool_down(f);
	/* a part of a table says nothing of the whole */
	guest_reads(f, 0);
	assert_int_equal(age(f, AT, 511, bitmap, 0), 1);
	for (int i = 0; i < 3; i++)
		assert_int_equal(age(f, AT, 511, bitmap, 0), 0);
	guest_reads(f, 511);
	assert_int_equal(age(f, AT, 511, bitmap, 0), 0);
	assert_int_equal(age(f, AT, 512, bitmap, 0), 1);
}

/* A CPU goes on by an entry that it holds of a table, and marks the page alone, before it is told to forget. */
static void no_use_is_lost_before_the_flush(void **state)
{
	FIXTURE(f);
	uint64_t bitmap[WORDS];

	if (!is_x86(f))
		return;
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA + PAGE, PAGES * PAGE, RW));
	cool_down(f);
	guest_reads(f, 700);
	assert_int_equal(age(f, AT, PAGES, bitmap, 0), 1);
	assert_int_equal(held_table[1], 1);
	used_in_flush = 702;
	/* all are old: the mark of the table goes, and what the CPU holds of it */
	assert_int_equal(age(f, AT, PAGES, bitmap, 0), 0);
	assert_int_equal(used_in_flush, PAGES);
	assert_int_equal(held_table[1], 0);
	assert_int_equal(host_last_flush(&f->host)->tables_removed, 1);
	assert_int_equal(age(f, AT, PAGES, bitmap, 0), 1);
	assert_int_equal(bits_of(bitmap, 702, 1), 1);
	cool_down(f);
}

static void without_a_flush_tables_stay_warm(void **state)
{
	FIXTURE(f);
	uint64_t bitmap[WORDS];

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA + PAGE, PAGES * PAGE, RW));
	guest_reads(f, 5);
	f->host.flushes = 0;
	assert_int_equal(age(f, AT, PAGES, bitmap, AXAS_AGE_NO_FLUSH), PAGES);
	for (int i = 0; i < 3; i++)
		assert_int_equal(age(f, AT, PAGES, bitmap, AXAS_AGE_NO_FLUSH), 0);
	assert_int_equal(f->host.flushes, 0);
	/* missed, as the option says */
	guest_reads(f, 5);
	assert_int_equal(age(f, AT, PAGES, bitmap, AXAS_AGE_NO_FLUSH), 0);
	guest_reads(f, 6);
	assert_int_equal(age(f, AT, PAGES, bitmap, AXAS_AGE_NO_FLUSH), 1);
	if (is_x86(f))
		assert_int_equal(*entry_at(f, 2, AT) & (COLD | accessed(f)), accessed(f));
}

static void new_pages_are_young(void **state)
{
	FIXTURE(f);
	const axas_gpa_t hole = AT + 500 * PAGE;
	uint64_t bitmap[WORDS];

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA + PAGE, PAGES * PAGE, RW));
	assert_ok(axas_unmap(f->as, hole, 100 * PAGE));
	cool_down(f);
	assert_ok(axas_map_linear(f->as, hole, LINEAR_HPA, PAGE, RW));
	assert_int_equal(age(f, AT, PAGES, bitmap, 0), 1);
	cool_down(f);
	assert_ok(axas_map_linear(f->as, hole + PAGE, LINEAR_HPA, 50 * PAGE, RW));
	assert_int_equal(age(f, AT, PAGES, bitmap, 0), 50);
	cool_down(f);
	assert_ok(axas_map_linear(f->as, hole, LINEAR_HPA + 9 * PAGE, PAGE, RW | AXAS_REPLACE));
	assert_int_equal(age(f, AT, PAGES, bitmap, 0), 1);
	cool_down(f);
	assert_ok(axas_map_alloc(f->as, hole + 60 * PAGE, 20 * PAGE, RW));
	cool_down(f);
	guest_reads(f, 560);
	assert_int_equal(age(f, AT, PAGES, bitmap, 0), 1);
	cool_down(f);
	assert_ok(axas_populate(f->as, hole + 61 * PAGE, 3 * PAGE));
	assert_int_equal(age(f, AT, PAGES, bitmap, 0), 3);
	cool_down(f);
	assert_ok(axas_hide(f->as, hole + 60 * PAGE, 4 * PAGE, AXAS_HIDE_AUTO));
	assert_int_equal(age(f, AT, PAGES, bitmap, 0), 0);
	cool_down(f);
	assert_int_equal(axas_handle_page_fault(f->as, hole + 60 * PAGE, AXAS_READ),
			 AXAS_FAULT_RESOLVED);
	assert_int_equal(age(f, AT, PAGES, bitmap, 0), 1);
	cool_down(f);
	assert_ok(axas_show(f->as, hole + 61 * PAGE, 3 * PAGE));
	assert_int_equal(age(f, AT, PAGES, bitmap, 0), 3);
	cool_down(f);
	assert_ok(axas_discard(f->as, hole + 60 * PAGE, 2 * PAGE));
	assert_int_equal(age(f, AT, PAGES, bitmap, 0), 0);
	/* what changes a page leaves its age as it is */
	assert_ok(axas_protect(f->as, AT, 400 * PAGE, AXAS_READ));
	assert_ok(axas_retag(f->as, AT, PAGE, 0));
	assert_int_equal(age(f, AT, PAGES, bitmap, 0), 0);
	space_sweep(f->as);
	assert_ok(axas_audit(f->as));
}

static void the_pieces_of_a_page_are_as_old_as_it(void **state)
{
	FIXTURE(f);
	uint64_t bitmap[WORDS];

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 6 * MIB, RW));
	assert_int_equal(age(f, AT, PAGES, bitmap, 0), PAGES);
	guest_reads(f, 512);
	assert_ok(axas_protect(f->as, AT, PAGE, AXAS_READ));
	assert_ok(axas_unmap(f->as, AT + 2 * MIB, PAGE));
	assert_int_equal(age(f, AT, PAGES, bitmap, 0), 511);
	assert_int_equal(bits_of(bitmap, 512, 512), 511);
}

/* One page of a table, the first, the last or one between, is used before the table becomes a page. */
static void a_page_made_of_pages_is_as_young_as_the_youngest(void **state)
{
	static const uint64_t used[] = { 0, 300, 511, 512 };
	FIXTURE(f);
	uint64_t bitmap[WORDS], merged;

	for (uint32_t way = 0; way < 2; way++) {
		if (way == 1 && f->fc->format <= AXAS_FORMAT_NPT)
			break; /* where old pages do not fault hardware sets the bits */
		if (way == 1)
			without_hardware(f);
		for (size_t i = 0; i < sizeof(used) / sizeof(used[0]); i++) {
			const uint64_t expected = used[i] < 512 ? 512 : 0;

			memset(held_page, 0, sizeof(held_page));
			memset(held_table, 0, sizeof(held_table));
			assert_ok(
				axas_map_linear(f->as, AT, LINEAR_HPA, 2 * MIB, RW | AXAS_NO_HUGE));
			assert_int_equal(age(f, AT, 512, bitmap, 0), 512);
			if (used[i] < 512)
				guest_reads(f, used[i]);
			assert_ok(axas_merge(f->as, AT, 2 * MIB, 0, &merged));
			assert_int_equal(merged, 1);
			assert_int_equal(at(f, AT).size, 2 * MIB);
			assert_int_equal(age(f, AT, 512, bitmap, 0), expected);
			assert_int_equal(age(f, AT, 512, bitmap, 0), 0);
			assert_ok(axas_unmap(f->as, AT, 2 * MIB));
		}
	}
}

static void what_the_host_uses_is_young(void **state)
{
	FIXTURE(f);
	uint64_t bitmap[WORDS], done, value;
	uint8_t buffer[PAGE];

	assert_ok(axas_map_alloc(f->as, AT, PAGES * PAGE, RW | AXAS_POPULATE));
	cool_down(f);
	assert_ok(axas_read(f->as, AT + 3 * PAGE + 8, buffer, 16, 0, &done));
	assert_int_equal(age(f, AT, PAGES, bitmap, 0), 1);
	assert_int_equal(bitmap[0], 1u << 3);
	cool_down(f);
	assert_ok(axas_write(f->as, AT + 600 * PAGE - 1, buffer, 2, AXAS_ACCESS_HOST, &done));
	assert_int_equal(age(f, AT, PAGES, bitmap, 0), 2);
	assert_int_equal(bits_of(bitmap, 599, 2), 2);
	cool_down(f);
	assert_ok(axas_read_u64(f->as, AT + 8, 0, &value));
	assert_ok(axas_fill(f->as, AT + 700 * PAGE, 0, 3 * PAGE, 0, &done));
	assert_int_equal(age(f, AT, PAGES, bitmap, 0), 4);
	cool_down(f);
	/* a frame that a copy brings */
	assert_ok(axas_discard(f->as, AT + 5 * PAGE, PAGE));
	cool_down(f);
	assert_ok(axas_fill(f->as, AT + 5 * PAGE, 1, PAGE, 0, &done));
	assert_int_equal(age(f, AT, PAGES, bitmap, 0), 1);
	/* a look at the tables is no access */
	(void)at(f, AT + 9 * PAGE);
	assert_int_equal(age(f, AT, PAGES, bitmap, 0), 0);
}

/* Logging and ageing do not disturb each other. */
static void a_log_goes_on_beside(void **state)
{
	FIXTURE(f);
	uint64_t bitmap[WORDS], count;

	for (int hardware = 0; hardware < 2; hardware++) {
		const int by_part = f->fc->format == AXAS_FORMAT_RISCV_GSTAGE;
		const int marks = hardware || by_part;

		fixture_destroy(f);
		f->cfg.features |= hardware && f->fc->format == AXAS_FORMAT_ARM_S2 ?
					   (uint32_t)AXAS_FEATURE_ARM_HAFDBS :
					   0;
		fixture_create(f);
		memset(held_page, 0, sizeof(held_page));
		memset(held_table, 0, sizeof(held_table));
		assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA + PAGE, PAGES * PAGE, RW));
		assert_ok(axas_dirty_start(f->as, AT, PAGES * PAGE,
					   hardware && !by_part ? AXAS_DIRTY_HARDWARE : 0));
		assert_int_equal(age(f, AT, PAGES, bitmap, 0), PAGES);
		assert_int_equal(host_last_flush(&f->host)->reason, AXAS_FLUSH_CLEAN);
		assert_ok(axas_dirty_get(f->as, AT, PAGES * PAGE, bitmap, PAGES, &count));
		assert_int_equal(count, 0);
		assert_int_equal(space_walk(f->as, AT).opens, marks);
		assert_int_equal(axas_handle_page_fault(f->as, AT + PAGE, AXAS_WRITE),
				 AXAS_FAULT_RESOLVED);
		guest_reads(f, 1);
		guest_reads(f, 2);
		memset(bitmap, 0, sizeof(bitmap));
		assert_ok(axas_dirty_collect(f->as, AT, PAGES * PAGE, bitmap, PAGES, 0, &count));
		assert_int_equal(count, 1);
		assert_int_equal(bitmap[0], 2);
		assert_int_equal(host_last_flush(&f->host)->reason,
				 marks ? AXAS_FLUSH_CLEAN : AXAS_FLUSH_TIGHTEN);
		assert_int_equal(age(f, AT, PAGES, bitmap, 0), 2);
		assert_int_equal(bitmap[0], 6);
		assert_ok(axas_audit(f->as));
		assert_ok(axas_dirty_stop(f->as, 0, SPACE_SIZE));
		assert_int_equal(age(f, AT, PAGES, bitmap, 0), 0);
		assert_ok(axas_dirty_start(f->as, AT, PAGE, AXAS_DIRTY_ALL));
		assert_ok(axas_age_stop(f->as, 0, SPACE_SIZE));
		assert_ok(axas_audit(f->as));
		assert_ok(axas_dirty_stop(f->as, 0, SPACE_SIZE));
		assert_ok(axas_audit(f->as));
		space_sweep(f->as);
	}
}

static void stop_makes_everything_young(void **state)
{
	FIXTURE(f);
	uint64_t bitmap[WORDS], done = 0;

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA + PAGE, PAGES * PAGE, RW));
	assert_ok(axas_map_linear(f->as, 8 * GIB, LINEAR_HPA, 4 * MIB, RW));
	assert_int_equal(age(f, 8 * GIB, 1024, bitmap, 0), 1024);
	cool_down(f);
	assert_ok(axas_age_stop(f->as, AT, 600 * PAGE));
	assert_int_equal(age(f, AT, PAGES, bitmap, 0), 600);
	assert_ok(axas_age_stop(f->as, 8 * GIB + PAGE, PAGE));
	assert_int_equal(age(f, 8 * GIB, 1024, bitmap, AXAS_AGE_TEST), 512);
	/* in parts: the space is as new behind the last one */
	assert_ok(axas_age_stop(f->as, 0, AT));
	assert_status(AXAS_ERR_AGAIN, axas_age_stop_some(f->as, AT, 4 * MIB, 100, &done));
	assert_int_equal(done, 128 * PAGE);
	assert_ok(axas_age_stop(f->as, AT + done, SPACE_SIZE - AT - done));
	assert_int_equal(age(f, AT, PAGES, bitmap, AXAS_AGE_TEST), PAGES);
	assert_ok(axas_age_stop(f->as, 0, SPACE_SIZE));
	space_sweep(f->as);
	cool_down(f);
	assert_ok(axas_clear(f->as));
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA + PAGE, PAGES * PAGE, RW));
	space_sweep(f->as);
	assert_int_equal(age(f, AT, PAGES, bitmap, 0), PAGES);
}

/* The entry of the table of a page is as the library wrote it. */
static void is_seen_by_walkers(const struct fixture *f, axas_gpa_t gpa)
{
	const uint64_t *entry = entry_at(f, 2, gpa);
	const uint64_t offset = (uint64_t)((const uint8_t *)entry - f->host.va);
	const uint64_t *seen = host_seen_by_walkers(&f->host, f->host.pa_base + offset);

	assert_int_equal(*seen, *entry);
}

/* Notes about tables are entries like others: cleaned where walkers do not snoop. */
static void walkers_that_do_not_snoop_see_that_tables_are_young(void **state)
{
	FIXTURE(f);
	uint8_t byte = 1;
	uint64_t done;

	fixture_destroy(f);
	host_stop_snooping(&f->host);
	f->cfg.options |= AXAS_NONCOHERENT_WALK;
	fixture_create(f);
	assert_ok(axas_map_alloc(f->as, AT, PAGES * PAGE, RW | AXAS_POPULATE));
	cool_down(f);
	assert_ok(axas_write(f->as, AT, &byte, 1, 0, &done));
	is_seen_by_walkers(f, AT);
	cool_down(f);
	assert_ok(axas_protect(f->as, AT, PAGE, AXAS_READ));
	is_seen_by_walkers(f, AT);
	assert_ok(axas_age_stop(f->as, 0, SPACE_SIZE));
	space_sweep(f->as);
}

static uint32_t yields(void *ctx)
{
	(void)ctx;
	return 1;
}

static void slices_do_what_the_whole_does(void **state)
{
	FIXTURE(f);
	uint64_t bitmap[WORDS], at = 0, young, total = 0, done;
	uint32_t calls = 0;

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA + PAGE, PAGES * PAGE, RW));
	f->host.flushes = 0;
	memset(bitmap, 0, sizeof(bitmap));
	for (axas_status_t status = AXAS_ERR_AGAIN; status == AXAS_ERR_AGAIN; calls++) {
		status = axas_age_some(f->as, AT + at, PAGES * PAGE - at, bitmap + at / PAGE / 64,
				       PAGES - at / PAGE, 0, &young, 100, &done);
		if (status == AXAS_ERR_AGAIN)
			assert_int_equal(done, 128 * PAGE);
		else
			assert_ok(status);
		total += young;
		at += done;
	}
	assert_int_equal(calls, PAGES / 128);
	assert_int_equal(total, PAGES);
	assert_int_equal(bits_of(bitmap, 0, PAGES), PAGES);
	assert_int_equal(f->host.flushes, calls);
	assert_int_equal(age(f, AT, PAGES, bitmap, 0), 0);
	/* a table that is cold counts as one entry */
	cool_down(f);
	if (is_x86(f)) {
		assert_ok(
			axas_age_some(f->as, AT, PAGES * PAGE, NULL, 0, 0, &young, TABLES, &done));
		assert_int_equal(done, PAGES * PAGE);
	}
	/* the host wants to do something else */
	fixture_destroy(f);
	f->host.hal.should_yield = yields;
	fixture_create(f);
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA + PAGE, PAGES * PAGE, RW));
	assert_status(AXAS_ERR_AGAIN,
		      axas_age_some(f->as, AT, PAGES * PAGE, NULL, 0, 0, &young, ~0ull, &done));
	assert_int_equal(done, 512 * PAGE);
	assert_int_equal(young, 512);
	assert_status(AXAS_ERR_AGAIN, axas_age_some(f->as, AT, PAGES * PAGE, NULL, 0, AXAS_AGE_TEST,
						    &young, ~0ull, &done));
	assert_int_equal(young, 0);
}

static void devices_take_no_faults(void **state)
{
	FIXTURE(f);
	const int has_io = f->fc->format != AXAS_FORMAT_NPT;
	uint64_t young;

	fixture_destroy(f);
	f->host.has_devices = 1;
	f->cfg.options |= AXAS_IO;
	for (int i = 0; i < 4 && has_io; i++) {
		const int hardware = i & 1, dirty = i & 2;

		f->cfg.features = f->fc->features | (hardware ? hardware_feature(f) : 0) |
				  (dirty ? (uint32_t)AXAS_FEATURE_IO_DIRTY : 0);
		fixture_create(f);
		assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 4 * PAGE, RW));
		assert_status(hardware && dirty ? AXAS_OK : AXAS_ERR_UNSUPPORTED,
			      axas_age(f->as, AT, 4 * PAGE, NULL, 0, 0, &young));
		assert_int_equal(young, hardware && dirty ? 4 : 0);
		fixture_destroy(f);
	}
	f->cfg.options = 0;
	f->cfg.features = f->fc->features;
	fixture_create(f);
}

static void bad_input_changes_nothing(void **state)
{
	FIXTURE(f);
	uint64_t bitmap[WORDS] = { 0 }, young, done;
	uint64_t *const odd = (uint64_t *)((char *)bitmap + 1);
	const uint64_t pages = 4;

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, pages * PAGE, RW));
#define REFUSES(...)                                                          \
	do {                                                                  \
		young = 7;                                                    \
		assert_status(AXAS_ERR_INVALID_INPUT, axas_age(__VA_ARGS__)); \
	} while (0)
	for (uint32_t options = 3; options != 0; options <<= 1)
		REFUSES(f->as, AT, pages * PAGE, bitmap, pages, options, &young);
	REFUSES(NULL, AT, pages * PAGE, bitmap, pages, 0, &young);
	REFUSES(f->as, AT, pages * PAGE, bitmap, pages - 1, 0, &young);
	REFUSES(f->as, AT, pages * PAGE, odd, pages, 0, &young);
	REFUSES(f->as, AT, pages * PAGE, bitmap, pages, 0, NULL);
	REFUSES(f->as, AT + 1, pages * PAGE, bitmap, pages, 0, &young);
	REFUSES(f->as, AT, pages * PAGE + 1, bitmap, pages, 0, &young);
	REFUSES(f->as, AT, 0, bitmap, pages, 0, &young);
	REFUSES(f->as, SPACE_SIZE - PAGE, 2 * PAGE, bitmap, pages, 0, &young);
	REFUSES(f->as, ~0ull & ~(PAGE - 1), 2 * PAGE, NULL, 0, 0, &young);
	assert_int_equal(young, 0);
	assert_status(AXAS_ERR_INVALID_INPUT,
		      axas_age_some(f->as, AT, pages * PAGE, NULL, 0, 0, &young, 0, &done));
	assert_status(AXAS_ERR_INVALID_INPUT,
		      axas_age_some(f->as, AT, pages * PAGE, NULL, 0, 0, NULL, 1, &done));
	assert_status(AXAS_ERR_INVALID_INPUT,
		      axas_age_some(f->as, AT, pages * PAGE, NULL, 0, 0, &young, 1, NULL));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_age_stop(f->as, AT, 1));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_age_stop(f->as, AT + 1, PAGE));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_age_stop(f->as, SPACE_SIZE, PAGE));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_age_stop_some(f->as, AT, PAGE, 0, &done));
	assert_int_equal(bitmap[0], 0);
	assert_int_equal(age(f, AT, pages, bitmap, 0), pages);
}

static void the_ends_of_the_space(void **state)
{
	FIXTURE(f);
	const axas_gpa_t last = SPACE_SIZE - PAGE;
	uint64_t bitmap[1] = { 0 }, young;

	assert_ok(axas_map_linear(f->as, last, LINEAR_HPA, PAGE, RW));
	assert_ok(axas_map_linear(f->as, 0, LINEAR_HPA, PAGE, RW));
	assert_ok(axas_age(f->as, 0, SPACE_SIZE, NULL, 0, 0, &young));
	assert_int_equal(young, 2);
	for (int i = 0; i < 3; i++) {
		assert_ok(axas_age(f->as, 0, SPACE_SIZE, NULL, 0, 0, &young));
		assert_int_equal(young, 0);
	}
	assert_ok(axas_age_stop(f->as, last, PAGE));
	assert_ok(axas_age(f->as, last, PAGE, bitmap, 1, 0, &young));
	assert_int_equal(young, 1);
	assert_int_equal(bitmap[0], 1);
}

/* What was seen before a table that is damaged is told, and nothing is lost afterwards. */
static void a_damaged_table_ends_the_call(void **state)
{
	FIXTURE(f);
	const axas_gpa_t far = 600 * GIB;
	uint64_t bitmap[1], *entry, young;

	if (!is_x86(f))
		return;
	fixture_destroy(f);
	f->cfg.size = 1024 * GIB;
	fixture_create(f);
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA + PAGE, 3 * PAGE, RW));
	assert_ok(axas_map_linear(f->as, far, LINEAR_HPA + PAGE, 3 * PAGE, RW));
	entry = entry_at(f, 4, far);
	*entry |= 1u << 7;
	f->host.flushes = 0;
	assert_status(AXAS_ERR_BAD_STATE, axas_age(f->as, 0, f->cfg.size, NULL, 0, 0, &young));
	assert_int_equal(young, 3);
	assert_int_equal(f->host.flushes, 1);
	assert_status(AXAS_ERR_BAD_STATE, axas_age_stop(f->as, far, PAGE));
	*entry &= ~(1ull << 7);
	assert_int_equal(age(f, AT, 3, bitmap, 0), 0);
	assert_int_equal(age(f, far, 3, bitmap, 0), 3);
}

#define AGED(test)                                                                                \
	ONE(test, setup_ageing, ept), ONE(test, setup_ageing, npt), ONE(test, setup_ageing, arm), \
		ONE(test, setup_ageing, riscv)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(archives_say_whether_they_have_it),
		AGED(hardware_says_what_was_used),
		AGED(faults_say_what_was_used),
		AGED(a_look_changes_nothing),
		AGED(a_huge_page_becomes_old_whole_or_not_at_all),
		AGED(device_memory_is_left_alone),
		AGED(cold_tables_are_not_looked_at),
		AGED(no_use_is_lost_before_the_flush),
		AGED(without_a_flush_tables_stay_warm),
		AGED(new_pages_are_young),
		AGED(the_pieces_of_a_page_are_as_old_as_it),
		AGED(a_page_made_of_pages_is_as_young_as_the_youngest),
		AGED(what_the_host_uses_is_young),
		AGED(a_log_goes_on_beside),
		AGED(stop_makes_everything_young),
		AGED(walkers_that_do_not_snoop_see_that_tables_are_young),
		AGED(slices_do_what_the_whole_does),
		AGED(devices_take_no_faults),
		AGED(bad_input_changes_nothing),
		AGED(the_ends_of_the_space),
		AGED(a_damaged_table_ends_the_call),
	};

	return cmocka_run_group_tests_name("age", tests, NULL, NULL);
}
