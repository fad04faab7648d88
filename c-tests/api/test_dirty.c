/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Which pages a guest wrote: axas_dirty_start and its kin. */
#include "fixture.h"

#include <sys/mman.h>
#include <unistd.h>

#define AT    (4 * GIB)
#define PAGES (3 * 512u)
#define WORDS (PAGES / 64)

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
		return AXAS_FEATURE_ARM_HAFDBS;
	case AXAS_FORMAT_RISCV_GSTAGE:
		return AXAS_FEATURE_RISCV_SVADU;
	default:
		return 0;
	}
}

/* What a CPU does that writes to a page: through, or by way of the fault. */
static axas_fault_result_t guest_writes(struct fixture *f, axas_gpa_t gpa)
{
	const struct walk r = space_walk(f->as, gpa);

	return r.outcome == WALK_LEAF && r.opens ? AXAS_FAULT_SPURIOUS :
						   axas_handle_page_fault(f->as, gpa, AXAS_WRITE);
}

static uint64_t bits_of(const uint64_t *bitmap, uint64_t first, uint64_t count)
{
	uint64_t set = 0;

	for (uint64_t i = first; i < first + count; i++)
		set += bitmap[i / 64] >> (i % 64) & 1;
	return set;
}

static void set(uint64_t *bitmap, uint64_t page)
{
	bitmap[page / 64] |= 1ull << (page % 64);
}

/* The pages that get reports in the range: their number, which count says too. */
static uint64_t dirty(struct fixture *f, axas_gpa_t gpa, uint64_t pages, uint64_t *bitmap)
{
	uint64_t count = ~0ull;

	memset(bitmap, 0, (pages + 63) / 64 * 8);
	assert_ok(axas_dirty_get(f->as, gpa, pages * PAGE, bitmap, pages, &count));
	assert_int_equal(bits_of(bitmap, 0, pages), count);
	return count;
}

static uint64_t collect(struct fixture *f, axas_gpa_t gpa, uint64_t pages, uint64_t *bitmap,
			uint32_t options)
{
	uint64_t count = ~0ull;

	memset(bitmap, 0, (pages + 63) / 64 * 8);
	assert_ok(axas_dirty_collect(f->as, gpa, pages * PAGE, bitmap, pages, options, &count));
	assert_int_equal(bits_of(bitmap, 0, pages), count);
	return count;
}

static axas_status_t start(struct fixture *f, axas_gpa_t gpa, uint64_t size, uint32_t options)
{
	return axas_dirty_start(f->as, gpa, size, options);
}

static void archives_say_whether_they_have_it(void **state)
{
	(void)state;
	assert_int_equal(axas_parts() & AXAS_PART_DIRTY, AXAS_PART_DIRTY);
}

static void without_a_log_every_page_is_dirty(void **state)
{
	FIXTURE(f);
	uint64_t bitmap[WORDS];

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 4 * MIB, RW));
	assert_ok(axas_map_linear(f->as, AT + 4 * MIB, LINEAR_HPA, 3 * PAGE, AXAS_READ));
	assert_ok(axas_map_alloc(f->as, AT + 5 * MIB, MIB, RW));
	assert_int_equal(dirty(f, AT, PAGES, bitmap), 1024 + 3);
	assert_ok(axas_dirty_mark(f->as, AT, 6 * MIB));
	assert_ok(axas_dirty_stop(f->as, 0, SPACE_SIZE));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_dirty_clear(f->as, AT, 6 * MIB, NULL, 0, 0));
}

static void a_clean_page_faults_once_at_a_write(void **state)
{
	FIXTURE(f);
	uint64_t bitmap[WORDS];
	axas_stats_t before, after;

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA + PAGE, 8 * PAGE, RWX));
	assert_ok(start(f, AT, 8 * PAGE, 0));
	assert_int_equal(f->host.flushes, 1 + (f->fc->format == AXAS_FORMAT_RISCV_GSTAGE));
	assert_int_equal(host_last_flush(&f->host)->reason, AXAS_FLUSH_TIGHTEN);
	assert_int_equal(host_last_flush(&f->host)->scope, AXAS_SCOPE_ALL);
	assert_int_equal(host_last_flush(&f->host)->gpa, AT);
	assert_int_equal(host_last_flush(&f->host)->size, 8 * PAGE);
	assert_int_equal(host_last_flush(&f->host)->level, 1);
	assert_int_equal(dirty(f, AT, 8, bitmap), 0);
	/* permissions are what they were */
	assert_int_equal(at(f, AT).flags, RWX);
	assert_int_equal(axas_handle_page_fault(f->as, AT + PAGE, AXAS_READ), AXAS_FAULT_SPURIOUS);
	assert_int_equal(axas_handle_page_fault(f->as, AT + PAGE, AXAS_EXECUTE),
			 AXAS_FAULT_SPURIOUS);
	assert_int_equal(dirty(f, AT, 8, bitmap), 0);
	before = stats(f);
	assert_int_equal(guest_writes(f, AT + 3 * PAGE), AXAS_FAULT_RESOLVED);
	assert_int_equal(guest_writes(f, AT + 3 * PAGE), AXAS_FAULT_SPURIOUS);
	assert_int_equal(axas_handle_page_fault(f->as, AT + 3 * PAGE, AXAS_WRITE),
			 AXAS_FAULT_SPURIOUS);
	after = stats(f);
	assert_int_equal(after.faults_resolved, before.faults_resolved + 1);
	assert_int_equal(after.faults_marked, before.faults_marked + 1);
	assert_int_equal(after.mapped_4k, before.mapped_4k);
	assert_int_equal(after.guest_frames, before.guest_frames);
	assert_int_equal(after.frames_allocated, before.frames_allocated);
	assert_int_equal(after.pages_cleaned, 8);
	assert_int_equal(dirty(f, AT, 8, bitmap), 1);
	assert_int_equal(bitmap[0], 1u << 3);
	assert_int_equal(collect(f, AT, 8, bitmap, 0), 1);
	assert_int_equal(bitmap[0], 1u << 3);
	assert_int_equal(host_last_flush(&f->host)->gpa, AT + 3 * PAGE);
	assert_int_equal(host_last_flush(&f->host)->size, PAGE);
	assert_int_equal(collect(f, AT, 8, bitmap, 0), 0);
	assert_int_equal(guest_writes(f, AT + 3 * PAGE), AXAS_FAULT_RESOLVED);
	space_sweep(f->as);
}

/* A CPU that was told RESOLVED must not fault for ever by what it has cached. */
static void a_page_that_opens_is_repaired_here(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 2 * MIB, RW));
	assert_ok(start(f, AT, 2 * MIB, 0));
	f->host.flushes = 0;
	assert_int_equal(guest_writes(f, AT + PAGE), AXAS_FAULT_RESOLVED);
	assert_int_equal(f->host.flushes, is_x86(f) ? 0 : 1);
	if (!is_x86(f)) {
		assert_int_equal(host_last_flush(&f->host)->reason, AXAS_FLUSH_RELAX);
		assert_int_equal(host_last_flush(&f->host)->scope, AXAS_SCOPE_LOCAL);
		assert_int_equal(host_last_flush(&f->host)->level, 2);
		assert_int_equal(host_last_flush(&f->host)->gpa, AT);
	}
}

static void hardware_marks_pages_itself(void **state)
{
	FIXTURE(f);
	const int by_part = f->fc->format == AXAS_FORMAT_RISCV_GSTAGE;
	uint64_t bitmap[WORDS], *entry;

	if (hardware_feature(f) != 0)
		assert_status(AXAS_ERR_UNSUPPORTED, start(f, AT, 8 * PAGE, AXAS_DIRTY_HARDWARE));
	fixture_destroy(f);
	f->cfg.features |= hardware_feature(f);
	fixture_create(f);
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA + PAGE, 8 * PAGE, RW));
	assert_ok(start(f, AT, 8 * PAGE, by_part ? 0 : AXAS_DIRTY_HARDWARE));
	assert_int_equal(host_last_flush(&f->host)->reason, AXAS_FLUSH_CLEAN);
	assert_status(by_part ? AXAS_OK : AXAS_ERR_ALREADY_EXISTS, start(f, AT, 8 * PAGE, 0));
	assert_int_equal(dirty(f, AT, 8, bitmap), 0);
	/* a write needs no fault */
	assert_true(space_walk(f->as, AT + 2 * PAGE).opens);
	entry = entry_at(f, 1, AT + 2 * PAGE);
	switch (f->fc->format) {
	case AXAS_FORMAT_EPT:
		assert_int_equal(*entry & 0x202, 0x002);
		*entry |= 0x200;
		break;
	case AXAS_FORMAT_NPT:
		assert_int_equal(*entry & 0x42, 0x02);
		*entry |= 0x40;
		break;
	case AXAS_FORMAT_ARM_S2:
		assert_int_equal(*entry >> 51 & 0x51, 0x41); /* MAY_WRITE, DBM */
		assert_int_equal(*entry & 0x80, 0);
		*entry |= 0x80;
		break;
	default:
		assert_int_equal(*entry & 0x84, 0x04);
		*entry |= 0x80;
	}
	assert_int_equal(dirty(f, AT, 8, bitmap), 1);
	assert_int_equal(bitmap[0], 4);
	/* what it cannot say stays as it is: read only, and back */
	assert_ok(axas_protect(f->as, AT, 8 * PAGE, AXAS_READ));
	assert_int_equal(dirty(f, AT, 8, bitmap), 1);
	assert_false(space_walk(f->as, AT + 2 * PAGE).opens);
	assert_false(space_walk(f->as, AT + 3 * PAGE).opens);
	assert_ok(axas_protect(f->as, AT, 8 * PAGE, RW));
	assert_int_equal(dirty(f, AT, 8, bitmap), 1);
	assert_true(space_walk(f->as, AT + 3 * PAGE).opens);
	assert_int_equal(collect(f, AT, 8, bitmap, 0), 1);
	/* and a fault marks, should there be one */
	assert_int_equal(axas_handle_page_fault(f->as, AT, AXAS_WRITE), AXAS_FAULT_RESOLVED);
	assert_int_equal(collect(f, AT, 8, bitmap, 0), 1);
	space_sweep(f->as);
	assert_ok(axas_dirty_stop(f->as, 0, SPACE_SIZE));
	space_sweep(f->as);
}

static void all_are_dirty_at_first_and_nothing_is_looked_at(void **state)
{
	FIXTURE(f);
	uint64_t bitmap[WORDS];

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 6 * MIB, RW));
	f->host.flushes = 0;
	assert_ok(start(f, 0, SPACE_SIZE, AXAS_DIRTY_ALL));
	assert_int_equal(f->host.flushes, 0);
	assert_int_equal(dirty(f, AT, PAGES, bitmap), PAGES);
	assert_int_equal(collect(f, AT, PAGES, bitmap, 0), PAGES);
	assert_int_equal(collect(f, AT, PAGES, bitmap, 0), 0);
	/* another start does not make anything dirty */
	assert_ok(start(f, 0, SPACE_SIZE, AXAS_DIRTY_ALL));
	assert_int_equal(collect(f, AT, PAGES, bitmap, 0), 0);
}

static void only_pages_whose_bits_are_set_become_clean(void **state)
{
	FIXTURE(f);
	uint64_t bitmap[WORDS] = { 0 }, found[WORDS];

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA + PAGE, PAGES * PAGE, RW));
	assert_ok(start(f, AT, PAGE, AXAS_DIRTY_ALL));
	for (uint64_t i = 0; i < PAGES; i += 7)
		set(bitmap, i);
	assert_ok(axas_dirty_clear(f->as, AT, PAGES * PAGE, bitmap, PAGES, 0));
	assert_int_equal(dirty(f, AT, PAGES, found), PAGES - (PAGES + 6) / 7);
	for (uint64_t i = 0; i < WORDS; i++)
		assert_int_equal(found[i], ~bitmap[i]);
	/* bit 0 is gpa, wherever that is */
	assert_ok(axas_dirty_clear(f->as, AT + PAGE, 65 * PAGE, bitmap, 65, 0));
	assert_int_equal(dirty(f, AT + PAGE, 65, found), 65 - 9 - 10);
	assert_int_equal(dirty(f, AT + 66 * PAGE, PAGES - 66, found),
			 PAGES - 66 - ((PAGES + 6) / 7 - 10));
}

static void a_huge_page_is_made_clean_whole_or_not_at_all(void **state)
{
	FIXTURE(f);
	uint64_t bitmap[WORDS];

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 6 * MIB, RW));
	assert_ok(start(f, AT, PAGE, 0)); /* cuts one */
	assert_int_equal(dirty(f, AT, PAGES, bitmap), PAGES);
	assert_int_equal(collect(f, AT + PAGE, PAGES - 2, bitmap, 0), PAGES - 2);
	/* the one in the middle is clean */
	assert_int_equal(dirty(f, AT, PAGES, bitmap), 1024);
	assert_int_equal(bits_of(bitmap, 512, 512), 0);
	assert_int_equal(guest_writes(f, AT + 3 * MIB), AXAS_FAULT_RESOLVED);
	assert_int_equal(dirty(f, AT, PAGES, bitmap), PAGES);
	memset(bitmap, 0xff, sizeof(bitmap));
	bitmap[9] &= ~1ull;
	assert_ok(axas_dirty_clear(f->as, AT, 6 * MIB, bitmap, PAGES, 0));
	assert_int_equal(dirty(f, AT, PAGES, bitmap), 512);
	assert_int_equal(stats(f).mapped_2m, 3);
	assert_int_equal(stats(f).splits, 0);
	space_sweep(f->as);
}

static void with_split_exactly_the_bits_become_clean(void **state)
{
	FIXTURE(f);
	uint64_t bitmap[WORDS] = { 0 }, found[WORDS];

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 6 * MIB, RW));
	assert_ok(start(f, AT, PAGE, AXAS_DIRTY_ALL));
	set(bitmap, 0);
	set(bitmap, 100);
	memset(bitmap + 16, 0xff, 64); /* all of the third one */
	f->host.flushes = 0;
	assert_ok(axas_dirty_clear(f->as, AT, 6 * MIB, bitmap, PAGES, AXAS_DIRTY_SPLIT));
	assert_int_equal(f->host.flushes, 1);
	assert_int_equal(host_last_flush(&f->host)->gpa, AT);
	assert_int_equal(host_last_flush(&f->host)->size, 6 * MIB);
	assert_int_equal(dirty(f, AT, PAGES, found), PAGES - 2 - 512);
	for (uint64_t i = 0; i < WORDS; i++)
		assert_int_equal(found[i], ~bitmap[i]);
	expect_leaf(f, AT, PAGE, LINEAR_HPA, RW);
	expect_leaf(f, AT + 2 * MIB, 2 * MIB, LINEAR_HPA + 2 * MIB, RW);
	expect_leaf(f, AT + 5 * MIB, PAGE, LINEAR_HPA + 5 * MIB, RW);
	assert_int_equal(stats(f).splits, 2);
	space_sweep(f->as);
	/* without a frame it stays dirty, and nothing fails */
	f->host.fail_purpose = AXAS_FRAME_TABLE;
	memset(bitmap, 0, sizeof(bitmap));
	set(bitmap, 513);
	assert_ok(axas_dirty_clear(f->as, AT, 6 * MIB, bitmap, PAGES, AXAS_DIRTY_SPLIT));
	assert_int_equal(dirty(f, AT + 2 * MIB, 512, found), 512);
	/* whole it becomes clean whole */
	assert_int_equal(collect(f, AT + 2 * MIB, 512, found, AXAS_DIRTY_SPLIT), 512);
	assert_int_equal(dirty(f, AT + 2 * MIB, 512, found), 0);
	expect_leaf(f, AT + 2 * MIB, 2 * MIB, LINEAR_HPA + 2 * MIB, RW);
}

static void a_gigabyte_is_split_one_size_at_a_time(void **state)
{
	FIXTURE(f);
	static uint64_t bitmap[2 * 512 * 512 / 64];
	uint64_t count = 0, tables;

	f->cfg.features |= is_x86(f) ? (uint32_t)AXAS_FEATURE_1G_PAGES : 0;
	fixture_destroy(f);
	fixture_create(f);
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 2 * GIB, RW));
	assert_ok(start(f, AT, PAGE, AXAS_DIRTY_ALL));
	assert_int_equal(collect(f, AT, 2 * 512 * 512, bitmap, AXAS_DIRTY_SPLIT), 2 * 512 * 512);
	assert_int_equal(stats(f).mapped_2m, 1024);
	assert_int_equal(guest_writes(f, AT + 5 * MIB), AXAS_FAULT_RESOLVED);
	assert_int_equal(collect(f, AT, 2 * 512 * 512, bitmap, AXAS_DIRTY_SPLIT), 512);
	assert_int_equal(stats(f).mapped_4k, 512);
	assert_int_equal(guest_writes(f, AT + 5 * MIB), AXAS_FAULT_RESOLVED);
	assert_int_equal(collect(f, AT, 2 * 512 * 512, bitmap, AXAS_DIRTY_SPLIT), 1);
	space_sweep(f->as);
	/* a start with SPLIT goes down to 4 KiB */
	tables = stats(f).table_frames;
	assert_ok(start(f, AT + GIB, 4 * MIB, AXAS_DIRTY_SPLIT));
	assert_int_equal(stats(f).table_frames, tables + 2);
	/* some bits of a gigabyte: down to them, and no further */
	assert_ok(axas_map_linear(f->as, 16 * GIB, LINEAR_HPA, GIB, RW));
	memset(bitmap, 0, sizeof(bitmap));
	set(bitmap, 512 * 7 + 3);
	tables = stats(f).table_frames;
	assert_ok(axas_dirty_clear(f->as, 16 * GIB, GIB, bitmap, 512 * 512, AXAS_DIRTY_SPLIT));
	assert_int_equal(stats(f).table_frames, tables + 2);
	memset(bitmap, 0, sizeof(bitmap));
	assert_ok(axas_dirty_get(f->as, 16 * GIB, GIB, bitmap, 512 * 512, &count));
	assert_int_equal(count, 512 * 512 - 1);
	space_sweep(f->as);
}

/* 64 blocks are invalid at most until they are flushed. */
static void many_blocks_are_split_with_few_flushes(void **state)
{
	FIXTURE(f);
	static uint64_t bitmap[512 * 512 / 64];

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, GIB, RW | AXAS_MAX_2M));
	assert_ok(start(f, AT, PAGE, AXAS_DIRTY_ALL));
	memset(bitmap, 0x11, sizeof(bitmap));
	f->host.flushes = 0;
	assert_ok(axas_dirty_clear(f->as, AT, GIB, bitmap, 512 * 512, AXAS_DIRTY_SPLIT));
	assert_int_equal(f->host.flushes, f->fc->format == AXAS_FORMAT_ARM_S2 ? 8 : 1);
	assert_int_equal(stats(f).mapped_4k, 512 * 512);
	assert_int_equal(dirty(f, AT, 512 * 512, bitmap), 512 * 512 / 4 * 3);
	space_sweep(f->as);
}

/* 64 GiB in pages of 1 GiB, of which one range of 2 MiB in a hundred is written: no others become small. */
static void only_what_is_written_becomes_small(void **state)
{
	enum { RANGES = 64 * 512, WRITTEN = RANGES / 100 };
	static uint64_t bitmap[(uint64_t)RANGES * 512 / 64];
	const uint64_t pages = RANGES * 512ull, size = pages * PAGE;
	FIXTURE(f);
	uint64_t count = 0, written = 0;
	uint32_t seed = 1;

	f->cfg.features |= is_x86(f) ? (uint32_t)AXAS_FEATURE_1G_PAGES : 0;
	fixture_destroy(f);
	fixture_create(f);
	assert_ok(axas_map_linear(f->as, 64 * GIB, LINEAR_HPA, size, RW));
	assert_int_equal(stats(f).mapped_1g, 64);
	assert_ok(start(f, 64 * GIB, size, AXAS_DIRTY_ALL));
	memset(bitmap, 0, sizeof(bitmap));
	assert_ok(
		axas_dirty_collect(f->as, 64 * GIB, size, bitmap, pages, AXAS_DIRTY_SPLIT, &count));
	assert_int_equal(count, pages);
	assert_int_equal(stats(f).mapped_2m, RANGES);
	f->host.quick = 1;
	while (written < WRITTEN) {
		seed = seed * 1664525u + 1013904223u;
		written += guest_writes(f, 64 * GIB + (seed >> 8) % pages * PAGE) ==
			   AXAS_FAULT_RESOLVED;
	}
	f->host.quick = 0;
	memset(bitmap, 0, sizeof(bitmap));
	assert_ok(
		axas_dirty_collect(f->as, 64 * GIB, size, bitmap, pages, AXAS_DIRTY_SPLIT, &count));
	assert_int_equal(count, WRITTEN * 512ull);
	assert_int_equal(stats(f).mapped_4k, WRITTEN * 512ull);
	assert_int_equal(stats(f).mapped_2m, RANGES - WRITTEN);
	/* and of what is small, a page for each write */
	f->host.quick = 1;
	for (written = 0; written < WRITTEN;) {
		seed = seed * 1664525u + 1013904223u;
		if (space_walk(f->as, 64 * GIB + (seed >> 8) % pages * PAGE).level == 1)
			written += guest_writes(f, 64 * GIB + (seed >> 8) % pages * PAGE) ==
				   AXAS_FAULT_RESOLVED;
	}
	f->host.quick = 0;
	memset(bitmap, 0, sizeof(bitmap));
	assert_ok(
		axas_dirty_collect(f->as, 64 * GIB, size, bitmap, pages, AXAS_DIRTY_SPLIT, &count));
	assert_int_equal(count, WRITTEN);
	assert_int_equal(stats(f).mapped_4k, WRITTEN * 512ull);
	space_sweep(f->as);
}

static void device_memory_is_left_alone(void **state)
{
	FIXTURE(f);
	uint64_t bitmap[WORDS];

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 2 * PAGE, RW | AXAS_DEVICE));
	assert_ok(axas_map_linear(f->as, AT + 2 * PAGE, LINEAR_HPA, 2 * PAGE, RW));
	assert_ok(axas_map_linear(f->as, AT + 2 * MIB, LINEAR_HPA, 2 * MIB, RW | AXAS_DEVICE));
	assert_int_equal(dirty(f, AT, PAGES, bitmap), 2);
	assert_ok(start(f, AT, 6 * MIB, 0));
	assert_int_equal(dirty(f, AT, PAGES, bitmap), 0);
	assert_true(space_walk(f->as, AT).opens);
	assert_true(space_walk(f->as, AT + 2 * MIB).opens);
	assert_false(space_walk(f->as, AT + 2 * PAGE).opens);
	assert_int_equal(axas_handle_page_fault(f->as, AT, AXAS_WRITE), AXAS_FAULT_SPURIOUS);
}

static void new_pages_are_dirty(void **state)
{
	FIXTURE(f);
	uint64_t bitmap[WORDS];

	assert_ok(start(f, 0, SPACE_SIZE, 0));
	assert_ok(axas_map_alloc(f->as, AT, 4 * PAGE, RW));
	assert_int_equal(dirty(f, AT, 8, bitmap), 0);
	assert_int_equal(axas_handle_page_fault(f->as, AT, AXAS_READ), AXAS_FAULT_RESOLVED);
	assert_ok(axas_populate(f->as, AT + PAGE, PAGE));
	assert_ok(axas_map_linear(f->as, AT + 4 * PAGE, LINEAR_HPA, PAGE, AXAS_READ));
	assert_int_equal(dirty(f, AT, 8, bitmap), 3);
	assert_int_equal(bitmap[0], 0x13);
	assert_int_equal(collect(f, AT, 8, bitmap, 0), 3);
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, PAGE, RW | AXAS_REPLACE));
	assert_int_equal(collect(f, AT, 8, bitmap, 0), 1);
	/* a read fault takes no mark from a page, nor puts one there */
	assert_int_equal(axas_handle_page_fault(f->as, AT, AXAS_READ), AXAS_FAULT_SPURIOUS);
	assert_int_equal(dirty(f, AT, 8, bitmap), 0);
}

static void protect_leaves_clean_pages_clean(void **state)
{
	FIXTURE(f);
	uint64_t bitmap[WORDS];

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA + PAGE, 4 * PAGE, RW));
	assert_ok(start(f, AT, 4 * PAGE, 0));
	assert_int_equal(guest_writes(f, AT), AXAS_FAULT_RESOLVED);
	assert_ok(axas_protect(f->as, AT, 4 * PAGE, AXAS_READ));
	assert_int_equal(dirty(f, AT, 4, bitmap), 1);
	assert_int_equal(guest_writes(f, AT + PAGE), AXAS_FAULT_DENIED);
	assert_ok(axas_protect(f->as, AT, 4 * PAGE, RWX));
	assert_int_equal(dirty(f, AT, 4, bitmap), 1);
	assert_int_equal(guest_writes(f, AT), AXAS_FAULT_SPURIOUS);
	assert_int_equal(guest_writes(f, AT + PAGE), AXAS_FAULT_RESOLVED);
	assert_int_equal(dirty(f, AT, 4, bitmap), 2);
	/* what a cut makes of a clean page is clean */
	assert_ok(axas_map_linear(f->as, AT + 2 * MIB, LINEAR_HPA, 2 * MIB, RW));
	assert_ok(axas_dirty_clear(f->as, AT, 4 * MIB, NULL, 0, 0));
	assert_ok(axas_protect(f->as, AT + 2 * MIB, PAGE, AXAS_READ));
	assert_int_equal(dirty(f, AT, 1024, bitmap), 0);
	assert_int_equal(guest_writes(f, AT + 3 * MIB), AXAS_FAULT_RESOLVED);
	assert_int_equal(dirty(f, AT, 1024, bitmap), 1);
	space_sweep(f->as);
}

/* The flush that made a page clean may be under way yet: what takes its permission asks for one of its own. */
static void protect_flushes_clean_pages_too(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 2 * PAGE, RW));
	assert_ok(start(f, AT, 2 * PAGE, 0));
	host_forget_log(&f->host);
	assert_ok(axas_protect(f->as, AT, PAGE, AXAS_READ));
	assert_int_equal(f->host.flushes_all, 1);
	assert_int_equal(host_last_flush(&f->host)->reason, AXAS_FLUSH_TIGHTEN);
	assert_true(space_flush_covered(AT, PAGE));
	/* and nothing is lost or gained by the second one */
	assert_ok(axas_protect(f->as, AT, PAGE, AXAS_READ));
	assert_int_equal(f->host.flushes, 1);
}

static void what_the_host_writes_is_dirty(void **state)
{
	FIXTURE(f);
	uint64_t bitmap[WORDS], value = 7;
	size_t done;
	uint64_t filled;

	assert_ok(axas_map_alloc(f->as, AT, 64 * PAGE, RW | AXAS_POPULATE));
	assert_ok(axas_protect(f->as, AT + 32 * PAGE, 32 * PAGE, AXAS_READ));
	assert_ok(start(f, AT, 64 * PAGE, 0));
	assert_ok(axas_read(f->as, AT, &value, sizeof(value), 0, &done));
	assert_int_equal(dirty(f, AT, 64, bitmap), 0);
	assert_ok(axas_write(f->as, AT + PAGE - 4, &value, sizeof(value), 0, &done));
	assert_int_equal(dirty(f, AT, 64, bitmap), 2);
	assert_int_equal(bitmap[0], 3);
	assert_ok(axas_write_u64(f->as, AT + 5 * PAGE, 0, 9));
	assert_ok(axas_fill(f->as, AT + 7 * PAGE, 1, 3 * PAGE, 0, &filled));
	assert_int_equal(dirty(f, AT, 64, bitmap), 2 + 1 + 3);
	/* pages that the guest may only read, and a refused write marks nothing */
	assert_status(AXAS_ERR_DENIED,
		      axas_write(f->as, AT + 40 * PAGE, &value, sizeof(value), 0, &done));
	assert_int_equal(dirty(f, AT, 64, bitmap), 6);
	assert_ok(
		axas_write(f->as, AT + 40 * PAGE, &value, sizeof(value), AXAS_ACCESS_HOST, &done));
	assert_int_equal(collect(f, AT, 64, bitmap, 0), 7);
	assert_int_equal(bitmap[0], 0x3a3ull | 1ull << 40);
	assert_false(space_walk(f->as, AT + 40 * PAGE).opens);
	/* what was written by other ways */
	assert_ok(axas_dirty_mark(f->as, AT + 2 * PAGE, 2 * PAGE));
	assert_ok(axas_dirty_mark(f->as, AT + 63 * PAGE, 3 * MIB));
	assert_int_equal(dirty(f, AT, 64, bitmap), 3);
	assert_int_equal(bitmap[0], 0xcull | 1ull << 63);
	assert_int_equal(guest_writes(f, AT + 2 * PAGE), AXAS_FAULT_SPURIOUS);
	space_sweep(f->as);
}

static void a_discarded_page_is_reported_once(void **state)
{
	FIXTURE(f);
	static uint64_t bitmap[WORDS];

	assert_ok(axas_map_alloc(f->as, AT, 4 * MIB, RW));
	assert_ok(axas_populate(f->as, AT, 8 * PAGE));
	assert_ok(axas_populate(f->as, AT + 2 * MIB, 2 * MIB));
	assert_ok(start(f, AT, 4 * MIB, 0));
	assert_ok(axas_discard(f->as, AT, 4 * PAGE));
	assert_int_equal(dirty(f, AT, 1024, bitmap), 4);
	assert_int_equal(at(f, AT).flags, RW);
	/* a table of which nothing is left */
	assert_ok(axas_discard(f->as, AT + 2 * MIB, 2 * MIB));
	expect_state(f, AT + 2 * MIB, AXAS_STATE_RESERVED);
	assert_int_equal(dirty(f, AT, 1024, bitmap), 4 + 512);
	assert_int_equal(at(f, AT + 2 * MIB).size, 2 * MIB);
	/* of a large reservation a part cannot be clean */
	assert_int_equal(collect(f, AT, 513, bitmap, 0), 5);
	assert_int_equal(dirty(f, AT, 1024, bitmap), 512);
	assert_int_equal(collect(f, AT, 1024, bitmap, 0), 512);
	assert_int_equal(dirty(f, AT, 1024, bitmap), 0);
	/* a page that comes is new */
	assert_int_equal(axas_handle_page_fault(f->as, AT + PAGE, AXAS_READ), AXAS_FAULT_RESOLVED);
	assert_int_equal(dirty(f, AT, 1024, bitmap), 1);
	assert_ok(axas_discard(f->as, AT, 8 * PAGE));
	assert_int_equal(dirty(f, AT, 1024, bitmap), 5);
	assert_ok(axas_dirty_stop(f->as, AT, 4 * MIB));
	assert_int_equal(dirty(f, AT, 1024, bitmap), 0);
	space_sweep(f->as);
}

static void a_stop_leaves_what_was_discarded_beside_its_range(void **state)
{
	FIXTURE(f);
	uint64_t bitmap[WORDS];

	assert_ok(axas_map_alloc(f->as, AT, 4 * MIB, RW | AXAS_POPULATE));
	assert_ok(start(f, AT, 4 * MIB, 0));
	assert_ok(axas_discard(f->as, AT, 4 * MIB));
	/* of a large reservation a part cannot be clean */
	assert_ok(axas_dirty_stop(f->as, AT + 8 * PAGE, 4 * MIB - 8 * PAGE));
	assert_int_equal(dirty(f, AT, 1024, bitmap), 512);
	/* consecutive ranges from the start on count as one */
	assert_ok(axas_dirty_stop(f->as, 0, AT + PAGE));
	assert_int_equal(dirty(f, AT, 1024, bitmap), 512);
	assert_ok(axas_dirty_stop(f->as, AT + PAGE, SPACE_SIZE - AT - PAGE));
	assert_int_equal(dirty(f, AT, 1024, bitmap), 0);
	space_sweep(f->as);
}

static void stop_opens_every_gate(void **state)
{
	FIXTURE(f);
	uint64_t bitmap[WORDS], done = 0;
	axas_gpa_t gpa = 0;
	uint32_t calls = 0;

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 6 * MIB, RW));
	assert_ok(axas_map_linear(f->as, AT + 8 * MIB, LINEAR_HPA, 100 * PAGE, AXAS_READ));
	assert_ok(start(f, AT, 16 * MIB, 0));
	f->host.flushes = 0;
	assert_ok(axas_dirty_stop(f->as, AT + 3 * MIB, PAGE));
	assert_int_equal(dirty(f, AT, PAGES, bitmap), 512);
	assert_true(space_walk(f->as, AT + 2 * MIB).opens);
	assert_false(space_walk(f->as, AT).opens);
	assert_ok(axas_dirty_stop(f->as, 0, SPACE_SIZE));
	assert_int_equal(f->host.flushes, 0);
	assert_int_equal(dirty(f, AT, PAGES, bitmap), PAGES);
	space_sweep(f->as);
	/* the log is over: it may begin in another way */
	if (f->fc->format == AXAS_FORMAT_NPT)
		assert_ok(start(f, AT, PAGE, AXAS_DIRTY_HARDWARE | AXAS_DIRTY_ALL));
	/* in slices it is, too */
	assert_status(f->fc->format == AXAS_FORMAT_NPT ? AXAS_ERR_ALREADY_EXISTS : AXAS_OK,
		      start(f, AT, 6 * MIB, 0));
	while (axas_dirty_stop_some(f->as, gpa, SPACE_SIZE - gpa, 1ull << 25, &done) ==
	       AXAS_ERR_AGAIN) {
		assert_true(done != 0 && done % (64 * PAGE) == 0);
		gpa += done;
		calls++;
	}
	assert_int_equal(calls, 3);
	assert_int_equal(gpa + done, SPACE_SIZE);
	assert_status(AXAS_ERR_INVALID_INPUT, axas_dirty_clear(f->as, AT, PAGE, NULL, 0, 0));
	/* axas_clear ends one */
	assert_ok(start(f, AT, PAGE, 0));
	assert_ok(axas_clear(f->as));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_dirty_clear(f->as, AT, PAGE, NULL, 0, 0));
}

static void slices_do_what_the_whole_does(void **state)
{
	FIXTURE(f);
	static uint64_t bitmap[4 * 512 / 64], parts[4 * 512 / 64];
	const axas_gpa_t gpa = AT + 5 * PAGE;
	const uint64_t pages = 4 * 512 - 10;
	const uint64_t budgets[] = { 1, 63, 64, 65, 200, 100000 };

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 4 * MIB, RW));
	assert_ok(axas_map_linear(f->as, AT + 4 * MIB, LINEAR_HPA + PAGE, 4 * MIB, RW));
	assert_ok(start(f, AT, PAGE, AXAS_DIRTY_ALL));
	for (size_t i = 0; i < sizeof(budgets) / sizeof(budgets[0]); i++) {
		uint64_t at = 0, done = 0, count, sum = 0;
		axas_status_t status;

		assert_ok(axas_dirty_mark(f->as, AT, 8 * MIB));
		memset(parts, 0, sizeof(parts));
		do {
			status = axas_dirty_collect_some(f->as, gpa + at, pages * PAGE - at,
							 parts + at / PAGE / 64, pages - at / PAGE,
							 0, &count, budgets[i], &done);
			assert_true(status == AXAS_OK || status == AXAS_ERR_AGAIN);
			assert_true(done != 0);
			assert_true(status == AXAS_OK || done % (64 * PAGE) == 0);
			at += done;
			sum += count;
		} while (status == AXAS_ERR_AGAIN);
		assert_int_equal(at, pages * PAGE);
		assert_int_equal(bits_of(parts, 0, pages), pages);
		assert_true(sum >= pages);
		/* a huge page at the front is cut, the others are clean */
		assert_int_equal(dirty(f, AT, 4 * 512, bitmap), 512 + 5);
		assert_ok(axas_dirty_clear_some(f->as, AT, 8 * MIB, NULL, 0, 0, ~0ull, &done));
		assert_int_equal(done, 8 * MIB);
		assert_int_equal(dirty(f, AT, 4 * 512, bitmap), 0);
	}
	space_sweep(f->as);
}

/* A page that is hidden, tagged or given other permissions is as dirty as it was. */
static void what_is_not_about_writes_leaves_dirt_as_it_is(void **state)
{
	FIXTURE(f);
	const uint32_t hardware = hardware_feature(f) != 0 && f->cfg.features & hardware_feature(f);
	uint64_t bitmap[1];
	size_t done;

	assert_ok(axas_map_alloc(f->as, AT, 4 * PAGE, RW | AXAS_POPULATE));
	assert_ok(start(f, AT, 4 * PAGE, hardware ? AXAS_DIRTY_HARDWARE : 0));
	assert_int_equal(dirty(f, AT, 4, bitmap), 0);
	assert_ok(axas_dirty_mark(f->as, AT + PAGE, PAGE));
	for (int i = 0; i < 2; i++) {
		/* hidden again: one that shows itself, then one that does not */
		assert_ok(axas_hide(f->as, AT, 3 * PAGE, i ? 0 : AXAS_HIDE_AUTO));
		assert_int_equal(dirty(f, AT, 4, bitmap), 1);
		assert_int_equal(bitmap[0], 2);
		assert_ok(axas_protect(f->as, AT, 3 * PAGE, AXAS_READ));
		assert_ok(axas_protect(f->as, AT, 3 * PAGE, RW));
		assert_ok(axas_audit(f->as));
		assert_int_equal(dirty(f, AT, 4, bitmap), 1);
	}
	assert_ok(axas_write(f->as, AT + 2 * PAGE, "x", 1, AXAS_ACCESS_HOST, &done));
	assert_int_equal(dirty(f, AT, 4, bitmap), 2);
	assert_int_equal(bitmap[0], 6);
	/* what is collected is clean, hidden or not */
	assert_int_equal(collect(f, AT, 4, bitmap, 0), 2);
	assert_int_equal(dirty(f, AT, 4, bitmap), 0);
	assert_ok(axas_show(f->as, AT, 3 * PAGE));
	assert_int_equal(dirty(f, AT, 4, bitmap), 0);
	if (axas_tag_bits(f->as) != 0) {
		assert_ok(axas_retag(f->as, AT, 4 * PAGE, 1));
		assert_int_equal(dirty(f, AT, 4, bitmap), 0);
	}
	assert_ok(axas_protect(f->as, AT, 4 * PAGE, 0));
	assert_ok(axas_audit(f->as));
	assert_int_equal(dirty(f, AT, 4, bitmap), 0);
	assert_ok(axas_protect(f->as, AT, 4 * PAGE, RW));
	assert_int_equal(dirty(f, AT, 4, bitmap), 0);
	if (!hardware)
		assert_int_equal(guest_writes(f, AT), AXAS_FAULT_RESOLVED);
	/* a hidden page is dirty again when the log ends */
	assert_ok(axas_hide(f->as, AT + PAGE, PAGE, 0));
	assert_ok(axas_dirty_stop(f->as, 0, SPACE_SIZE));
	assert_ok(axas_audit(f->as));
	assert_int_equal(dirty(f, AT, 4, bitmap), 4);
	assert_ok(axas_show(f->as, AT + PAGE, PAGE));
	assert_int_equal(dirty(f, AT, 4, bitmap), 4);
}

/* One fault is enough, in a table that is hidden whole and of a huge page. */
static void a_write_that_shows_a_clean_page_makes_it_dirty(void **state)
{
	static const axas_flags_t sizes[] = { AXAS_NO_HUGE, 0 };
	FIXTURE(f);
	uint64_t bitmap[WORDS];

	for (int i = 0; i < 2; i++) {
		assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 2 * MIB, RW | sizes[i]));
		assert_ok(start(f, AT, 2 * MIB, 0));
		assert_ok(axas_hide(f->as, AT, 2 * MIB, AXAS_HIDE_AUTO));
		assert_int_equal(axas_handle_page_fault(f->as, AT, AXAS_READ), AXAS_FAULT_RESOLVED);
		assert_int_equal(dirty(f, AT, 512, bitmap), 0);
		assert_ok(axas_hide(f->as, AT, 2 * MIB, AXAS_HIDE_AUTO));
		assert_int_equal(axas_handle_page_fault(f->as, AT, AXAS_WRITE),
				 AXAS_FAULT_RESOLVED);
		assert_int_equal(axas_handle_page_fault(f->as, AT, AXAS_WRITE),
				 AXAS_FAULT_SPURIOUS);
		assert_int_equal(dirty(f, AT, 512, bitmap), at(f, AT).size / PAGE);
		assert_ok(axas_audit(f->as));
		assert_ok(axas_dirty_stop(f->as, 0, SPACE_SIZE));
		assert_ok(axas_unmap(f->as, AT, 2 * MIB));
	}
}

static void bad_input_changes_nothing(void **state)
{
	FIXTURE(f);
	uint64_t bitmap[WORDS] = { 0 }, count = 77, done = 77;
	uint64_t *askew = (uint64_t *)((uintptr_t)bitmap + 4);

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 2 * MIB, RW));
	assert_ok(start(f, AT, PAGE, AXAS_DIRTY_ALL));
#define BAD(call) assert_status(AXAS_ERR_INVALID_INPUT, call)
	BAD(axas_dirty_start(NULL, AT, PAGE, 0));
	BAD(start(f, AT, PAGE, 8));
	BAD(start(f, AT, PAGE, 0x80000000u));
	BAD(start(f, AT + 1, PAGE, AXAS_DIRTY_ALL));
	BAD(start(f, AT, 0, 0));
	BAD(start(f, AT, ~0ull & ~0xfffull, 0));
	BAD(start(f, SPACE_SIZE - PAGE, 2 * PAGE, 0));
	BAD(axas_dirty_get(NULL, AT, PAGE, bitmap, 64, &count));
	assert_int_equal(count, 0);
	BAD(axas_dirty_get(f->as, AT, PAGE, NULL, 64, &count));
	BAD(axas_dirty_get(f->as, AT, PAGE, askew, 64, &count));
	BAD(axas_dirty_get(f->as, AT, PAGE, bitmap, 64, NULL));
	BAD(axas_dirty_get(f->as, AT, 65 * PAGE, bitmap, 64, &count));
	BAD(axas_dirty_get(f->as, AT + 8, PAGE, bitmap, 64, &count));
	BAD(axas_dirty_get(f->as, AT, 0, bitmap, 64, &count));
	BAD(axas_dirty_get(f->as, SPACE_SIZE, PAGE, bitmap, 64, &count));
	BAD(axas_dirty_clear(NULL, AT, PAGE, NULL, 0, 0));
	BAD(axas_dirty_clear(f->as, AT, PAGE, bitmap, 0, 0));
	BAD(axas_dirty_clear(f->as, AT, PAGE, askew, 64, 0));
	BAD(axas_dirty_clear(f->as, AT, PAGE, NULL, 0, AXAS_DIRTY_HARDWARE));
	BAD(axas_dirty_clear(f->as, AT, PAGE, NULL, 0, AXAS_DIRTY_ALL));
	BAD(axas_dirty_clear(f->as, AT, 7, NULL, 0, 0));
	BAD(axas_dirty_collect(NULL, AT, PAGE, bitmap, 64, 0, &count));
	BAD(axas_dirty_collect(f->as, AT, PAGE, bitmap, 0, 0, &count));
	BAD(axas_dirty_collect(f->as, AT, PAGE, NULL, 64, 0, &count));
	BAD(axas_dirty_collect(f->as, AT, PAGE, bitmap, 64, AXAS_DIRTY_ALL, &count));
	BAD(axas_dirty_collect(f->as, AT, PAGE, bitmap, 64, 0, NULL));
	BAD(axas_dirty_mark(NULL, AT, PAGE));
	BAD(axas_dirty_mark(f->as, AT, PAGE + 1));
	BAD(axas_dirty_mark(f->as, SPACE_SIZE, PAGE));
	BAD(axas_dirty_stop(NULL, AT, PAGE));
	BAD(axas_dirty_stop(f->as, AT, 0));
	BAD(axas_dirty_start_some(f->as, AT, PAGE, 0, 0, &done));
	assert_int_equal(done, 0);
	BAD(axas_dirty_start_some(f->as, AT, PAGE, 0, 1, NULL));
	BAD(axas_dirty_clear_some(f->as, AT, PAGE, bitmap, 0, 0, 1, &done));
	BAD(axas_dirty_collect_some(f->as, AT, PAGE, bitmap, 64, 0, &count, 0, &done));
	BAD(axas_dirty_collect_some(f->as, AT, PAGE, bitmap, 64, 0, NULL, 1, &done));
	BAD(axas_dirty_stop_some(f->as, AT, PAGE, 0, &done));
#undef BAD
	assert_int_equal(bitmap[0], 0);
	assert_int_equal(dirty(f, AT, 512, bitmap), 512);
}

/* The first and the last page that a space has. */
static void the_ends_of_the_space(void **state)
{
	FIXTURE(f);
	uint64_t bitmap[1] = { 0 }, count;
	const axas_gpa_t ends[] = { 0, SPACE_SIZE - PAGE };

	for (int i = 0; i < 2; i++) {
		assert_ok(axas_map_linear(f->as, ends[i], LINEAR_HPA, PAGE, RW));
		assert_ok(start(f, ends[i], PAGE, 0));
		assert_int_equal(dirty(f, ends[i], 1, bitmap), 0);
		assert_int_equal(guest_writes(f, ends[i]), AXAS_FAULT_RESOLVED);
		assert_ok(axas_dirty_collect(f->as, ends[i], PAGE, bitmap, 1, 0, &count));
		assert_int_equal(count, 1);
		assert_ok(axas_dirty_mark(f->as, ends[i], PAGE));
		assert_int_equal(dirty(f, ends[i], 1, bitmap), 1);
	}
	assert_ok(axas_dirty_stop(f->as, 0, SPACE_SIZE));
}

/* A bitmap of half a gigabyte in which all of each 2 MiB is the same memory. */
static void more_pages_than_32_bits_count_are_counted(void **state)
{
	FIXTURE(f);
	const uint64_t pages = (1ull << 32) + 1, part = 2 * MIB, bytes = 512 * MIB + part;
	const int memory = memfd_create("bitmap", 0);
	uint64_t count = 0;
	uint8_t *bitmap;

	f->host.quick = 1;
	f->cfg.levels = 5;
	f->cfg.size = 1ull << 56;
	fixture_create(f);
	assert_ok(start(f, 0, f->cfg.size, AXAS_DIRTY_ALL));
	/* one entry, whose pages read otherwise than before */
	assert_ok(axas_map_alloc(f->as, 256 * TIB, 256 * TIB, RW | AXAS_REPLACE));
	assert_true(memory >= 0 && ftruncate(memory, (off_t)part) == 0);
	bitmap = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_true(bitmap != MAP_FAILED);
	for (uint64_t at = 0; at < bytes; at += part)
		assert_true(mmap(bitmap + at, part, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
				 memory, 0) != MAP_FAILED);
	assert_ok(axas_dirty_collect(f->as, 256 * TIB, pages * PAGE, (uint64_t *)(void *)bitmap,
				     pages, 0, &count));
	assert_int_equal(count, pages);
	munmap(bitmap, bytes);
	close(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(archives_say_whether_they_have_it),
		EACH_FORMAT(without_a_log_every_page_is_dirty),
		EACH_FORMAT(a_clean_page_faults_once_at_a_write),
		EACH_FORMAT(a_page_that_opens_is_repaired_here),
		EACH_FORMAT(hardware_marks_pages_itself),
		EACH_FORMAT(all_are_dirty_at_first_and_nothing_is_looked_at),
		EACH_FORMAT(only_pages_whose_bits_are_set_become_clean),
		EACH_FORMAT(a_huge_page_is_made_clean_whole_or_not_at_all),
		EACH_FORMAT(with_split_exactly_the_bits_become_clean),
		EACH_FORMAT(a_gigabyte_is_split_one_size_at_a_time),
		EACH_FORMAT(many_blocks_are_split_with_few_flushes),
		EACH_FORMAT(only_what_is_written_becomes_small),
		EACH_FORMAT(device_memory_is_left_alone),
		EACH_FORMAT(new_pages_are_dirty),
		EACH_FORMAT(protect_leaves_clean_pages_clean),
		EACH_FORMAT(protect_flushes_clean_pages_too),
		EACH_FORMAT(what_the_host_writes_is_dirty),
		EACH_FORMAT(a_discarded_page_is_reported_once),
		EACH_FORMAT(a_stop_leaves_what_was_discarded_beside_its_range),
		EACH_FORMAT(stop_opens_every_gate),
		EACH_FORMAT(slices_do_what_the_whole_does),
		EACH_FORMAT(what_is_not_about_writes_leaves_dirt_as_it_is),
		EACH_FORMAT(a_write_that_shows_a_clean_page_makes_it_dirty),
		EACH_FORMAT(bad_input_changes_nothing),
		EACH_FORMAT(the_ends_of_the_space),
		ONE(more_pages_than_32_bits_count_are_counted, setup_host, ept),
		ONE(more_pages_than_32_bits_count_are_counted, setup_host, riscv),
	};

	return cmocka_run_group_tests_name("dirty", tests, NULL, NULL);
}
