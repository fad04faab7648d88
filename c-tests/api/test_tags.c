/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The host's tags: where they come from, what keeps them, who shows them. The walker reads them from the bits. */
#include <pthread.h>
#include <stdio.h>

#include "fixture.h"

#define AT       (4 * GIB)
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define LAST     (SPACE_SIZE - PAGE)
#define COOKIE   0xfedcba98u

static int setup_tags(void **state)
{
	struct fixture *f;

	setup_host(state);
	f = *state;
	if (f->cfg.format == AXAS_FORMAT_RISCV_GSTAGE)
		f->cfg.features |= AXAS_FEATURE_RISCV_SVRSW60T59B;
	fixture_create(f);
	return 0;
}

#define EACH_WITH_TAGS(test)                                                                \
	ONE(test, setup_tags, ept), ONE(test, setup_tags, npt), ONE(test, setup_tags, arm), \
		ONE(test, setup_tags, riscv)

static uint32_t tags(const struct fixture *f)
{
	return 1u << axas_tag_bits(f->as);
}

static void expect_tag(const struct fixture *f, axas_gpa_t gpa, uint32_t state, uint32_t tag)
{
	const axas_mapping_t m = at(f, gpa);

	assert_int_equal(m.state, state);
	assert_int_equal(tag_of(m.flags), tag);
}

struct runs {
	axas_mapping_t run[16];
	uint32_t count;
};

static uint32_t take_run(void *ctx, const axas_mapping_t *run)
{
	struct runs *r = ctx;

	assert_true(r->count < COUNT(r->run));
	r->run[r->count++] = *run;
	return 1;
}

static void archives_say_whether_they_have_them(void **state)
{
	(void)state;
	assert_int_equal(axas_parts() & AXAS_PART_TAGS, AXAS_PART_TAGS);
}

static void their_bits_are_those_that_hardware_leaves(void **state)
{
	FIXTURE(f);
	const int riscv = f->cfg.format == AXAS_FORMAT_RISCV_GSTAGE;
	axas_hw_regs_t regs;

	assert_int_equal(axas_tag_bits(f->as), riscv ? 0 : 4);
	assert_ok(axas_hw_regs(f->as, &regs));
	assert_int_equal(regs.required_state & AXAS_NEEDS_NO_PBHA,
			 f->cfg.format == AXAS_FORMAT_ARM_S2 ? AXAS_NEEDS_NO_PBHA : 0);
	if (riscv) {
		fixture_destroy(f);
		f->cfg.features |= AXAS_FEATURE_RISCV_SVRSW60T59B;
		fixture_create(f);
		assert_int_equal(axas_tag_bits(f->as), 2);
	}
	assert_int_equal(axas_tag_bits(NULL), 0);
}

static void every_map_takes_one(void **state)
{
	FIXTURE(f);

	for (uint32_t tag = 0; tag < tags(f); tag++) {
		const axas_flags_t flags = RW | TAG(tag);
		const axas_extent_t extents[] = { { LINEAR_HPA, PAGE },
						  { LINEAR_HPA + GIB, PAGE } };
		axas_gpa_t gpa = AT;

		for (uint64_t size = PAGE; size <= GIB; size *= 512, gpa += GIB) {
			assert_ok(axas_map_linear(f->as, gpa, LINEAR_HPA, size, flags));
			assert_int_equal(at(f, gpa).size, size);
			expect_tag(f, gpa, AXAS_STATE_LINEAR, tag);
		}
		assert_ok(axas_map_linear(f->as, gpa, LINEAR_HPA, PAGE, flags | AXAS_DEVICE));
		expect_tag(f, gpa, AXAS_STATE_LINEAR, tag);
		assert_ok(axas_map_extents(f->as, gpa + GIB, extents, 2, flags));
		expect_tag(f, gpa + GIB, AXAS_STATE_LINEAR, tag);
		expect_tag(f, gpa + GIB + PAGE, AXAS_STATE_LINEAR, tag);
		assert_ok(axas_map_alloc(f->as, gpa + 2 * GIB, GIB, flags | AXAS_HUGE_FRAMES));
		expect_tag(f, gpa + 2 * GIB, AXAS_STATE_RESERVED, tag);
		assert_ok(axas_map_alloc(f->as, gpa + 3 * GIB, 2 * PAGE, flags | AXAS_POPULATE));
		expect_tag(f, gpa + 3 * GIB + PAGE, AXAS_STATE_OWNED, tag);
		assert_ok(axas_map_trap_flags(f->as, gpa + 4 * GIB, GIB, COOKIE, TAG(tag)));
		expect_tag(f, gpa + 4 * GIB, AXAS_STATE_TRAP, tag);
		assert_int_equal(at(f, gpa + 4 * GIB).cookie, COOKIE);
		/* the last page of the space */
		assert_ok(axas_map_linear(f->as, LAST, LINEAR_HPA, PAGE, flags));
		expect_tag(f, LAST, AXAS_STATE_LINEAR, tag);
		space_sweep(f->as);
		assert_ok(axas_clear(f->as));
	}
}

static void with_replace_it_is_the_new_one(void **state)
{
	FIXTURE(f);
	const axas_flags_t replace = RW | TAG(3) | AXAS_REPLACE;

	for (uint64_t size = PAGE; size <= GIB; size *= 512) {
		assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, size, RW | TAG(1)));
		/* the same frame, another tag */
		assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, size, replace));
		expect_tag(f, AT, AXAS_STATE_LINEAR, 3);
		assert_ok(axas_map_trap_flags(f->as, AT, size, COOKIE, TAG(2) | AXAS_REPLACE));
		expect_tag(f, AT, AXAS_STATE_TRAP, 2);
		assert_ok(axas_map_alloc(f->as, AT, size, replace));
		expect_tag(f, AT, AXAS_STATE_RESERVED, 3);
		assert_ok(axas_clear(f->as));
	}
}

/*
 * What Xen keeps of a page in p2m_type_t: memory that is mapped, touched, cut, discarded, touched again and
 * unmapped is of its type all the time.
 */
static void sixteen_types_go_through_the_life_of_a_page(void **state)
{
	FIXTURE(f);

	for (uint32_t tag = 0; tag < tags(f); tag++) {
		const axas_flags_t flags = RWX | TAG(tag);

		/* the library's: 2 MiB at once, and one that is cut */
		assert_ok(axas_map_alloc(f->as, AT, 4 * MIB, flags | AXAS_HUGE_FRAMES));
		assert_int_equal(axas_handle_page_fault(f->as, AT, AXAS_WRITE),
				 AXAS_FAULT_RESOLVED);
		assert_int_equal(at(f, AT).size, 2 * MIB);
		expect_tag(f, AT, AXAS_STATE_OWNED, tag);
		assert_ok(axas_protect(f->as, AT + PAGE, PAGE, AXAS_READ));
		assert_int_equal(at(f, AT).size, PAGE);
		expect_tag(f, AT, AXAS_STATE_OWNED, tag);
		expect_tag(f, AT + PAGE, AXAS_STATE_OWNED, tag);
		expect_tag(f, AT + 2 * MIB - PAGE, AXAS_STATE_OWNED, tag);
		assert_ok(axas_discard(f->as, AT, 4 * MIB));
		expect_tag(f, AT, AXAS_STATE_RESERVED, tag);
		expect_tag(f, AT + PAGE, AXAS_STATE_RESERVED, tag);
		assert_int_equal(axas_handle_page_fault(f->as, AT + PAGE, AXAS_READ),
				 AXAS_FAULT_RESOLVED);
		expect_tag(f, AT + PAGE, AXAS_STATE_OWNED, tag);
		assert_ok(axas_populate(f->as, AT, 4 * MIB));
		expect_tag(f, AT + 2 * MIB, AXAS_STATE_OWNED, tag);
		assert_ok(axas_unmap(f->as, AT, 4 * MIB));
		/* the host's: released tells it */
		assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, GIB, flags));
		assert_ok(axas_protect(f->as, AT + PAGE, PAGE, AXAS_READ));
		f->host.runs = 0;
		assert_ok(axas_unmap(f->as, AT, GIB));
		assert_in_range(f->host.runs, 3, HOST_RUN_LOG);
		for (uint32_t i = 0; i < f->host.runs; i++)
			assert_int_equal(tag_of(f->host.run[i].flags), tag);
		space_sweep(f->as);
	}
}

/* Hosts without zeroing have a short way for faults, all have one for pages of 4 KiB. */
static void the_short_ways_know_them(void **state)
{
	FIXTURE(f);

	fixture_destroy(f);
	f->cfg.options |= AXAS_NO_ZERO;
	fixture_create(f);
	for (uint32_t tag = 0; tag < tags(f); tag++) {
		assert_ok(axas_map_alloc(f->as, AT, 2 * PAGE, RW | TAG(tag)));
		assert_int_equal(axas_handle_page_fault(f->as, AT, AXAS_WRITE),
				 AXAS_FAULT_RESOLVED);
		assert_int_equal(axas_handle_page_fault(f->as, AT + PAGE, AXAS_WRITE),
				 AXAS_FAULT_RESOLVED);
		assert_int_equal(axas_handle_page_fault(f->as, AT + PAGE, AXAS_WRITE),
				 AXAS_FAULT_SPURIOUS);
		expect_tag(f, AT + PAGE, AXAS_STATE_OWNED, tag);
		assert_ok(
			axas_map_linear(f->as, AT, LINEAR_HPA, PAGE, RW | TAG(tag) | AXAS_REPLACE));
		assert_ok(axas_map_linear(f->as, AT + 2 * PAGE, LINEAR_HPA, PAGE, RW | TAG(tag)));
		expect_tag(f, AT, AXAS_STATE_LINEAR, tag);
		expect_tag(f, AT + 2 * PAGE, AXAS_STATE_LINEAR, tag);
		f->host.runs = 0;
		assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA + PAGE, PAGE, RW | AXAS_REPLACE));
		assert_ok(axas_unmap(f->as, AT + 2 * PAGE, PAGE));
		assert_int_equal(f->host.runs, 2);
		assert_int_equal(tag_of(f->host.run[0].flags), tag);
		assert_int_equal(tag_of(f->host.run[1].flags), tag);
		assert_ok(axas_clear(f->as));
	}
}

static void what_a_host_writes_comes_with_it(void **state)
{
	FIXTURE(f);
	const uint8_t byte = 0x5a;
	uint64_t done;

	for (uint32_t tag = 0; tag < tags(f); tag++) {
		assert_ok(axas_map_alloc(f->as, AT, 2 * MIB, RW | TAG(tag)));
		assert_ok(axas_write(f->as, AT + 5, &byte, 1, 0, &done));
		expect_tag(f, AT, AXAS_STATE_OWNED, tag);
		assert_int_equal(guest_memory(f, AT)[5], byte);
		assert_ok(axas_clear(f->as));
	}
}

static void more_bits_than_there_are_are_unsupported(void **state)
{
	FIXTURE(f);
	const axas_extent_t extent = { LINEAR_HPA, PAGE };
	const axas_status_t no = AXAS_ERR_UNSUPPORTED, bad = AXAS_ERR_INVALID_INPUT;
	uint64_t frames, done;

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, PAGE, RW));
	for (uint32_t tag = tags(f); tag < 16; tag++) {
		const axas_flags_t flags = RW | TAG(tag);

		assert_status(no, axas_map_linear(f->as, AT + GIB, LINEAR_HPA, PAGE, flags));
		assert_status(no, axas_map_linear(f->as, AT + GIB, LINEAR_HPA, GIB, flags));
		assert_status(no, axas_map_extents(f->as, AT + GIB, &extent, 1, flags));
		assert_status(no, axas_map_alloc(f->as, AT + GIB, PAGE, flags));
		assert_status(no, axas_map_trap_flags(f->as, AT + GIB, PAGE, 1, TAG(tag)));
		assert_status(no, axas_tables_needed(&f->cfg, AT, PAGE, flags, &frames));
		assert_status(no, axas_retag(f->as, AT, PAGE, tag));
		assert_status(no, axas_retag_some(f->as, AT, PAGE, tag, 1, &done));
		/* unknown bits and two memory types come before it */
		assert_status(bad, axas_map_alloc(f->as, AT + GIB, PAGE, flags | 1u << 31));
		assert_status(bad, axas_map_alloc(f->as, AT + GIB, PAGE,
						  flags | AXAS_DEVICE | AXAS_UNCACHED));
	}
	for (uint32_t tag = 0; tag < tags(f); tag++)
		assert_ok(axas_tables_needed(&f->cfg, AT, PAGE, RW | TAG(tag), &frames));
	expect_tag(f, AT, AXAS_STATE_LINEAR, 0);
}

static void nonsense_is_refused(void **state)
{
	FIXTURE(f);
	const axas_status_t bad = AXAS_ERR_INVALID_INPUT;
	const uint32_t numbers[] = { 16, 17, 31, 1u << 24, 1u << 31, ~0u };
	uint64_t done;

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 2 * PAGE, RW));
	for (size_t i = 0; i < COUNT(numbers); i++) {
		assert_status(bad, axas_retag(f->as, AT, PAGE, numbers[i]));
		assert_status(bad, axas_retag_some(f->as, AT, PAGE, numbers[i], 1, &done));
	}
	assert_status(bad, axas_retag(NULL, AT, PAGE, 1));
	assert_status(bad, axas_retag(f->as, AT + 1, PAGE, 1));
	assert_status(bad, axas_retag(f->as, AT, PAGE + 1, 1));
	assert_status(bad, axas_retag(f->as, AT, 0, 1));
	assert_status(bad, axas_retag(f->as, SPACE_SIZE, PAGE, 1));
	assert_status(bad, axas_retag(f->as, LAST, 2 * PAGE, 1));
	assert_status(bad, axas_retag(f->as, ~0ull - PAGE + 1, PAGE, 1));
	assert_status(bad, axas_retag(f->as, PAGE, ~0ull - PAGE + 1, 1));
	assert_status(bad, axas_retag_some(f->as, AT, PAGE, 1, 0, &done));
	assert_status(bad, axas_retag_some(f->as, AT, PAGE, 1, 1, NULL));
	/* of a new protection a tag is no part */
	assert_status(bad, axas_protect(f->as, AT, PAGE, AXAS_READ | TAG(1)));
	assert_status(bad, axas_protect_some(f->as, AT, PAGE, AXAS_READ | TAG(1), 1, &done));
	assert_status(bad, axas_map_trap_flags(f->as, AT, PAGE, 1, TAG(1) | AXAS_READ));
	expect_tag(f, AT, AXAS_STATE_LINEAR, 0);
}

static void retag_changes_the_tag_and_nothing_else(void **state)
{
	FIXTURE(f);
	const axas_hpa_t hpa = LINEAR_HPA + PAGE;
	axas_stats_t before;

	assert_ok(axas_map_linear(f->as, AT, hpa, PAGE, RW | AXAS_DEVICE | TAG(1)));
	assert_ok(axas_map_alloc(f->as, AT + PAGE, PAGE, RX | AXAS_POPULATE | TAG(1)));
	assert_ok(axas_map_alloc(f->as, AT + 2 * PAGE, 2 * MIB, RW | AXAS_HUGE_FRAMES | TAG(1)));
	assert_ok(axas_map_trap_flags(f->as, AT + 2 * PAGE + 2 * MIB, PAGE, COOKIE, TAG(1)));
	before = stats(f);
	for (uint32_t tag = 0; tag < tags(f); tag++) {
		axas_mapping_t was[4], is;
		const axas_gpa_t gpa[] = { AT, AT + PAGE, AT + 2 * MIB, AT + 2 * PAGE + 2 * MIB };

		for (int i = 0; i < 4; i++)
			was[i] = at(f, gpa[i]);
		f->host.flushes = 0;
		assert_ok(axas_retag(f->as, AT, 3 * PAGE + 2 * MIB, tag));
		assert_int_equal(f->host.flushes, 0);
		for (int i = 0; i < 4; i++) {
			is = at(f, gpa[i]);
			was[i].flags = (was[i].flags & ~(axas_flags_t)AXAS_TAG_MASK) | TAG(tag);
			assert_memory_equal(&is, &was[i], sizeof(is));
		}
	}
	before.tlb_requests = stats(f).tlb_requests;
	assert_int_equal(stats(f).table_frames, before.table_frames);
	assert_int_equal(stats(f).guest_frames, before.guest_frames);
	/* alone, too */
	assert_ok(axas_retag(f->as, AT + PAGE, PAGE, 1));
	expect_tag(f, AT + PAGE, AXAS_STATE_OWNED, 1);
	expect_tag(f, AT, AXAS_STATE_LINEAR, tags(f) - 1);
}

static void retag_over_a_hole_changes_nothing(void **state)
{
	FIXTURE(f);
	const axas_status_t hole = AXAS_ERR_NOT_MAPPED;

	assert_status(hole, axas_retag(f->as, AT, PAGE, 1));
	assert_status(hole, axas_retag(f->as, 0, SPACE_SIZE, 1));
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 8 * PAGE, RW));
	assert_ok(axas_map_linear(f->as, AT + 10 * PAGE, LINEAR_HPA, 600 * PAGE, RW));
	assert_status(hole, axas_retag(f->as, AT - PAGE, 3 * PAGE, 1));
	assert_status(hole, axas_retag(f->as, AT, 9 * PAGE, 1));
	assert_status(hole, axas_retag(f->as, AT, 11 * PAGE, 1));
	assert_status(hole, axas_retag(f->as, AT + 600 * PAGE, 11 * PAGE, 1));
	expect_tag(f, AT, AXAS_STATE_LINEAR, 0);
	/* tables that were kept are a hole */
	fixture_destroy(f);
	f->cfg.options |= AXAS_KEEP_TABLES;
	fixture_create(f);
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, PAGE, RW | TAG(1)));
	assert_ok(axas_unmap(f->as, AT, PAGE));
	assert_status(hole, axas_retag(f->as, AT, PAGE, 1));
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, PAGE, RW));
	expect_tag(f, AT, AXAS_STATE_LINEAR, 0);
}

static void retag_cuts_what_its_ends_are_in(void **state)
{
	FIXTURE(f);
	const axas_gpa_t start = AT + 2 * MIB - PAGE;
	const uint64_t size = GIB;

	for (int kind = 0; kind < 3; kind++) {
		const uint32_t states[] = { AXAS_STATE_LINEAR, AXAS_STATE_RESERVED,
					    AXAS_STATE_TRAP };

		if (kind == 0)
			assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 2 * GIB, RW | TAG(1)));
		else if (kind == 1)
			assert_ok(axas_map_alloc(f->as, AT, 2 * GIB, RW | TAG(1)));
		else
			assert_ok(axas_map_trap_flags(f->as, AT, 2 * GIB, COOKIE, TAG(1)));
		/* the tag that it has: nothing to cut */
		f->host.flushes = 0;
		assert_ok(axas_retag(f->as, start, size, 1));
		assert_int_equal(at(f, AT).size, GIB);
		assert_int_equal(f->host.flushes, 0);
		assert_ok(axas_retag(f->as, start, size, 2));
		/* a cut of what hardware may hold is flushed, once */
		assert_int_equal(f->host.flushes, kind == 0);
		if (kind == 0) {
			assert_int_equal(f->host.tlb[0].reason, AXAS_FLUSH_BREAK);
			assert_int_equal(f->host.tlb[0].scope, AXAS_SCOPE_ALL);
		}
		expect_tag(f, start - PAGE, states[kind], 1);
		expect_tag(f, start, states[kind], 2);
		expect_tag(f, AT + GIB - 2 * MIB, states[kind], 2);
		expect_tag(f, start + size - PAGE, states[kind], 2);
		expect_tag(f, start + size, states[kind], 1);
		expect_tag(f, AT + 2 * GIB - PAGE, states[kind], 1);
		space_sweep(f->as);
		assert_ok(axas_clear(f->as));
	}
}

/* Nothing changes: space.c looks after each call. */
static void every_table_of_a_cut_may_be_missing(void **state)
{
	FIXTURE(f);
	const axas_gpa_t start = AT + PAGE;
	uint64_t most = 0;

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 2 * GIB, RW));
	for (f->host.fail_at = 1;; f->host.fail_at = ++most + 1) {
		const axas_status_t status = axas_retag(f->as, start, GIB, 1);

		f->host.fail_at = 0;
		if (status == AXAS_OK)
			break;
		assert_status(AXAS_ERR_NO_MEMORY, status);
		expect_tag(f, start, AXAS_STATE_LINEAR, 0);
	}
	assert_int_equal(most, 4);
	expect_tag(f, start, AXAS_STATE_LINEAR, 1);
}

static void slices_end_where_the_whole_call_does(void **state)
{
	FIXTURE(f);
	axas_gpa_t gpa = AT;
	const axas_gpa_t end = AT + 700 * PAGE;
	uint64_t done = 0;
	uint32_t slices = 0;

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA + PAGE, 700 * PAGE, RW));
	while (axas_retag_some(f->as, gpa, end - gpa, 2, 99, &done) == AXAS_ERR_AGAIN) {
		assert_int_equal(done, 99 * PAGE);
		expect_tag(f, gpa + done - PAGE, AXAS_STATE_LINEAR, 2);
		expect_tag(f, gpa + done, AXAS_STATE_LINEAR, 0);
		gpa += done;
		slices++;
	}
	assert_int_equal(slices, 7);
	assert_int_equal(gpa + done, end);
	expect_tag(f, end - PAGE, AXAS_STATE_LINEAR, 2);
	/* a hole ends it where it is met */
	assert_ok(axas_unmap(f->as, AT + 300 * PAGE, PAGE));
	assert_status(AXAS_ERR_AGAIN, axas_retag_some(f->as, AT, 700 * PAGE, 1, 200, &done));
	assert_status(AXAS_ERR_NOT_MAPPED,
		      axas_retag_some(f->as, AT + done, 700 * PAGE - done, 1, 200, &done));
	assert_int_equal(done, 0);
	expect_tag(f, AT + 199 * PAGE, AXAS_STATE_LINEAR, 1);
	expect_tag(f, AT + 200 * PAGE, AXAS_STATE_LINEAR, 2);
}

static void runs_of_unequal_tags_are_apart(void **state)
{
	FIXTURE(f);
	struct runs seen = { 0 };

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 3 * PAGE, RW));
	assert_ok(axas_map_alloc(f->as, AT + 3 * PAGE, 3 * PAGE, RW));
	assert_ok(axas_map_trap(f->as, AT + 6 * PAGE, 3 * PAGE, COOKIE));
	for (axas_gpa_t gpa = AT + PAGE; gpa < AT + 9 * PAGE; gpa += 3 * PAGE)
		assert_ok(axas_retag(f->as, gpa, PAGE, 3));
	assert_ok(axas_for_each(f->as, AT, 9 * PAGE, take_run, &seen));
	assert_int_equal(seen.count, 9);
	for (uint32_t i = 0; i < 9; i++) {
		assert_int_equal(seen.run[i].size, PAGE);
		assert_int_equal(tag_of(seen.run[i].flags), i % 3 == 1 ? 3 : 0);
	}
	f->host.runs = 0;
	assert_ok(axas_unmap(f->as, AT, 9 * PAGE));
	assert_int_equal(f->host.runs, 3);
	assert_int_equal(tag_of(f->host.run[1].flags), 3);
}

static void take_text(void *ctx, const char *text, size_t bytes)
{
	char *all = ctx;

	strncat(all, text, bytes);
}

static void a_dump_has_them_in_its_last_column(void **state)
{
	FIXTURE(f);
	char all[1024] = "";

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 2 * PAGE, RW));
	assert_ok(axas_retag(f->as, AT + PAGE, PAGE, 2));
	assert_ok(axas_map_alloc(f->as, AT + 2 * PAGE, PAGE, RW | TAG(3)));
	assert_ok(axas_map_trap_flags(f->as, AT + 3 * PAGE, PAGE, 0x7e57, TAG(1)));
	assert_ok(axas_dump(f->as, take_text, all));
	assert_string_equal(
		all,
		"0x000100000000-0x000100001000 linear   rw- write-back    4K   hpa 0x008000000000\n"
		"0x000100001000-0x000100002000 linear   rw- write-back    4K   hpa 0x008000001000 tag 0x2\n"
		"0x000100002000-0x000100003000 reserved rw- write-back    4K   tag 0x3\n"
		"0x000100003000-0x000100004000 trap     --- -             -    cookie 0x7e57 tag 0x1\n");
}

/* A leaf table that comes down to one reservation goes; with two tags it is not one. */
static void a_discard_folds_what_has_one_tag(void **state)
{
	FIXTURE(f);
	uint64_t tables;

	for (int unequal = 0; unequal < 2; unequal++) {
		assert_ok(axas_map_alloc(f->as, AT, 2 * MIB, RW | AXAS_POPULATE | TAG(1)));
		if (unequal)
			assert_ok(axas_retag(f->as, AT + PAGE, PAGE, 2));
		tables = stats(f).table_frames;
		assert_ok(axas_discard(f->as, AT, 2 * MIB));
		assert_int_equal(stats(f).table_frames, tables - !unequal);
		expect_tag(f, AT, AXAS_STATE_RESERVED, 1);
		expect_tag(f, AT + PAGE, AXAS_STATE_RESERVED, 1u + (uint32_t)unequal);
		assert_ok(axas_clear(f->as));
	}
}

/* Bits 60:59 of RISC-V are reserved without Svrsw60t59b. */
static void audit_knows_the_bits_that_a_space_has(void **state)
{
	FIXTURE(f);
	const uint64_t tag = 1ull << (f->cfg.format == AXAS_FORMAT_NPT ? 58 : 59);
	uint64_t *entry;

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, PAGE, RW));
	entry = entry_at(f, 1, AT);
	*entry |= tag;
	assert_status(f->cfg.format == AXAS_FORMAT_RISCV_GSTAGE ? AXAS_ERR_BAD_STATE : AXAS_OK,
		      axas_audit(f->as));
	*entry &= ~tag;
	assert_ok(axas_audit(f->as));
}

/* --- faults that tell what they found ------------------------------------------------------ */

static void faults_at(struct fixture *f, axas_gpa_t gpa, axas_flags_t access,
		      axas_fault_result_t verdict)
{
	axas_mapping_t found, now;

	memset(&found, 0xa5, sizeof(found));
	assert_int_equal(axas_handle_page_fault_at(f->as, gpa, access, &found), verdict);
	now = at(f, gpa);
	assert_memory_equal(&found, &now, sizeof(now));
	assert_int_equal(axas_handle_page_fault_at(f->as, gpa, access, NULL),
			 verdict == AXAS_FAULT_RESOLVED ? AXAS_FAULT_SPURIOUS : verdict);
}

static void a_fault_tells_what_it_found(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 2 * MIB, AXAS_READ | TAG(1)));
	assert_ok(axas_map_alloc(f->as, AT + GIB, 4 * MIB, RW | AXAS_HUGE_FRAMES | TAG(2)));
	assert_ok(axas_map_trap_flags(f->as, AT + 2 * GIB, 2 * MIB, COOKIE, TAG(3)));
	faults_at(f, AT + 5, AXAS_READ, AXAS_FAULT_SPURIOUS);
	faults_at(f, AT + 2 * MIB - 1, AXAS_WRITE, AXAS_FAULT_DENIED);
	faults_at(f, AT + 2 * MIB, AXAS_READ, AXAS_FAULT_UNMAPPED);
	faults_at(f, 0, AXAS_READ, AXAS_FAULT_UNMAPPED);
	faults_at(f, LAST, AXAS_READ, AXAS_FAULT_UNMAPPED);
	faults_at(f, AT + 2 * GIB + 7, AXAS_WRITE, AXAS_FAULT_TRAP);
	faults_at(f, AT + GIB, AXAS_EXECUTE, AXAS_FAULT_DENIED);
	f->host.fail_purpose = AXAS_FRAME_GUEST;
	faults_at(f, AT + GIB, AXAS_READ, AXAS_FAULT_NO_MEMORY);
	f->host.fail_purpose = 0;
	faults_at(f, AT + GIB + 3, AXAS_READ, AXAS_FAULT_RESOLVED);
	f->host.refuse_order = 1;
	faults_at(f, AT + GIB + 2 * MIB + 5 * PAGE, AXAS_READ, AXAS_FAULT_RESOLVED);
	faults_at(f, AT + GIB + 2 * MIB, AXAS_READ, AXAS_FAULT_RESOLVED);
	/* every verdict is counted as one of axas_handle_page_fault: twice each here */
	assert_int_equal(stats(f).faults_trap, 2);
	assert_int_equal(stats(f).faults_resolved, 3);
	assert_int_equal(stats(f).faults_no_memory, 2);
}

static void expect_nothing(const axas_mapping_t *found)
{
	const axas_mapping_t nothing = { .hpa = AXAS_HPA_INVALID };

	assert_memory_equal(found, &nothing, sizeof(nothing));
}

static void without_an_entry_it_found_nothing(void **state)
{
	FIXTURE(f);
	const axas_gpa_t outside[] = { SPACE_SIZE, ~0ull, 1ull << 60 };
	const axas_flags_t nonsense[] = { 0, 8, AXAS_READ | AXAS_DEVICE, 1u << 31 };
	_Alignas(8) char bytes[sizeof(axas_mapping_t) + 8];
	axas_mapping_t found;

	for (size_t i = 0; i < COUNT(outside); i++) {
		memset(&found, 0xa5, sizeof(found));
		assert_int_equal(axas_handle_page_fault_at(f->as, outside[i], AXAS_READ, &found),
				 AXAS_FAULT_UNMAPPED);
		expect_nothing(&found);
	}
	for (size_t i = 0; i < COUNT(nonsense); i++) {
		memset(&found, 0xa5, sizeof(found));
		assert_int_equal(axas_handle_page_fault_at(f->as, AT, nonsense[i], &found),
				 AXAS_FAULT_ERROR);
		expect_nothing(&found);
	}
	assert_int_equal(axas_handle_page_fault_at(NULL, AT, AXAS_READ, &found), AXAS_FAULT_ERROR);
	assert_int_equal(axas_handle_page_fault_at(f->as, AT, AXAS_READ,
						   (axas_mapping_t *)(void *)(bytes + 1)),
			 AXAS_FAULT_ERROR);
	/* a corrupt table */
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, PAGE, RW));
	{
		uint64_t *const entry = entry_at(f, 1, AT), word = *entry;

		f->host.quick = 1;
		/* a hidden table, below which there is no level */
		*entry = f->cfg.format == AXAS_FORMAT_EPT ? 0x38 : 0xe;
		memset(&found, 0xa5, sizeof(found));
		assert_int_equal(axas_handle_page_fault_at(f->as, AT, AXAS_READ, &found),
				 AXAS_FAULT_ERROR);
		expect_nothing(&found);
		*entry = word;
	}
}

struct other_cpu {
	struct fixture *f;
	axas_fault_result_t verdict;
	axas_mapping_t found;
	int is_asked;
};

static void *touch(void *arg)
{
	struct other_cpu *cpu = arg;

	memset(&cpu->found, 0xa5, sizeof(cpu->found));
	cpu->verdict = axas_handle_page_fault_at(cpu->f->as, AT, AXAS_READ, &cpu->found);
	return NULL;
}

static void let_it_touch(struct host *h, const axas_tlb_request_t *request)
{
	struct other_cpu *cpu = h->in_flush_arg;
	pthread_t thread;

	(void)request;
	cpu->is_asked = 1;
	assert_int_equal(pthread_create(&thread, NULL, touch, cpu), 0);
	pthread_join(thread, NULL);
}

static void beside_an_exclusive_call_it_found_nothing(void **state)
{
	FIXTURE(f);
	struct other_cpu cpu = { .f = f };

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 2 * MIB, RW));
	f->host.in_flush_arg = &cpu;
	f->host.in_flush = let_it_touch;
	assert_ok(axas_retag(f->as, AT, PAGE, 1));
	f->host.in_flush = NULL;
	assert_true(cpu.is_asked);
	assert_int_equal(cpu.verdict, AXAS_FAULT_RETRY);
	expect_nothing(&cpu.found);
	expect_tag(f, AT, AXAS_STATE_LINEAR, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(archives_say_whether_they_have_them),
		EACH_FORMAT(their_bits_are_those_that_hardware_leaves),
		EACH_WITH_TAGS(every_map_takes_one),
		EACH_WITH_TAGS(with_replace_it_is_the_new_one),
		EACH_WITH_TAGS(sixteen_types_go_through_the_life_of_a_page),
		EACH_WITH_TAGS(the_short_ways_know_them),
		EACH_WITH_TAGS(what_a_host_writes_comes_with_it),
		EACH_WITH_TAGS(more_bits_than_there_are_are_unsupported),
		ONE(more_bits_than_there_are_are_unsupported, setup_space, riscv),
		EACH_WITH_TAGS(nonsense_is_refused),
		EACH_WITH_TAGS(retag_changes_the_tag_and_nothing_else),
		EACH_WITH_TAGS(retag_over_a_hole_changes_nothing),
		EACH_WITH_TAGS(retag_cuts_what_its_ends_are_in),
		EACH_WITH_TAGS(every_table_of_a_cut_may_be_missing),
		EACH_WITH_TAGS(slices_end_where_the_whole_call_does),
		EACH_WITH_TAGS(runs_of_unequal_tags_are_apart),
		EACH_WITH_TAGS(a_dump_has_them_in_its_last_column),
		EACH_WITH_TAGS(a_discard_folds_what_has_one_tag),
		EACH_FORMAT(audit_knows_the_bits_that_a_space_has),
		EACH_WITH_TAGS(a_fault_tells_what_it_found),
		EACH_WITH_TAGS(without_an_entry_it_found_nothing),
		EACH_WITH_TAGS(beside_an_exclusive_call_it_found_nothing),
	};

	return cmocka_run_group_tests_name("tags", tests, NULL, NULL);
}
