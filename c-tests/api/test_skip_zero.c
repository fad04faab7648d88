/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * AXAS_SKIP_ZERO: the frames of a region come as alloc_frame gave them. Everywhere else, and after a discard, the
 * guest reads zeroes, whatever the order of calls.
 */
#include "fixture.h"

#define AT   (4 * GIB)
#define SKIP AXAS_SKIP_ZERO
#define READ AXAS_READ

static int is_zero(const struct fixture *f, axas_gpa_t gpa)
{
	static const uint8_t zero[PAGE];
	const uint8_t *page = guest_memory(f, gpa);

	assert_non_null(page);
	return memcmp(page, zero, PAGE) == 0;
}

static void fault(const struct fixture *f, axas_gpa_t gpa)
{
	assert_int_equal(axas_handle_page_fault(f->as, gpa, READ), AXAS_FAULT_RESOLVED);
}

static axas_flags_t flags_at(const struct fixture *f, axas_gpa_t gpa)
{
	const axas_mapping_t m = at(f, gpa);

	assert_int_equal(m.state, AXAS_STATE_RESERVED);
	return m.flags;
}

static void frames_come_as_they_are_where_it_was_asked_for(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_alloc(f->as, AT, 4 * PAGE, RW | SKIP));
	assert_ok(axas_map_alloc(f->as, AT + 4 * PAGE, 4 * PAGE, RW));
	fault(f, AT + 3 * PAGE);
	fault(f, AT + 4 * PAGE);
	assert_false(is_zero(f, AT + 3 * PAGE));
	assert_true(is_zero(f, AT + 4 * PAGE));
	assert_ok(axas_populate(f->as, AT, 8 * PAGE));
	for (axas_gpa_t gpa = AT; gpa < AT + 8 * PAGE; gpa += PAGE)
		assert_int_equal(is_zero(f, gpa), gpa >= AT + 4 * PAGE);
	assert_ok(axas_map_alloc(f->as, AT + GIB, 2 * PAGE, RW | SKIP | AXAS_POPULATE));
	assert_false(is_zero(f, AT + GIB));
	assert_ok(axas_map_alloc(f->as, AT + GIB, 2 * PAGE, RW | AXAS_POPULATE | AXAS_REPLACE));
	assert_true(is_zero(f, AT + GIB));
	assert_ok(axas_map_alloc(f->as, AT + GIB, PAGE, RW | SKIP | AXAS_REPLACE));
	fault(f, AT + GIB);
	assert_false(is_zero(f, AT + GIB));
	assert_true(is_zero(f, AT + GIB + PAGE));
}

static void huge_frames_are_left_alone_too(void **state)
{
	const axas_flags_t flags = RW | SKIP | AXAS_HUGE_FRAMES;
	FIXTURE(f);

	assert_ok(axas_map_alloc(f->as, AT, 4 * MIB, flags));
	fault(f, AT);
	assert_int_equal(at(f, AT).size, 2 * MIB);
	assert_false(is_zero(f, AT));
	assert_ok(axas_discard(f->as, AT, 2 * MIB));
	fault(f, AT);
	assert_int_equal(at(f, AT).size, 2 * MIB);
	assert_true(is_zero(f, AT));
}

static void a_reservation_remembers_it_until_there_is_a_frame(void **state)
{
	const axas_flags_t asked = RW | SKIP | AXAS_HUGE_FRAMES | AXAS_DEVICE;
	FIXTURE(f);

	assert_ok(axas_map_alloc(f->as, AT, 4 * GIB, asked));
	assert_int_equal(flags_at(f, AT + GIB) & (asked | RWX), asked);
	assert_ok(axas_protect(f->as, AT + MIB, GIB, RX));
	assert_int_equal(flags_at(f, AT + MIB), RX | (asked & ~(axas_flags_t)RW));
	assert_ok(axas_unmap(f->as, AT + 2 * GIB + 5 * PAGE, PAGE));
	assert_int_equal(flags_at(f, AT + 2 * GIB) & SKIP, SKIP);
	assert_int_equal(flags_at(f, AT + 2 * GIB + 6 * PAGE) & SKIP, SKIP);
	/* a populate that fails leaves it as it was */
	f->host.refuse_order = 1;
	f->host.fail_at = 5;
	assert_status(AXAS_ERR_NO_MEMORY, axas_populate(f->as, AT + MIB, 16 * PAGE));
	assert_int_equal(flags_at(f, AT + MIB) & SKIP, SKIP);
	assert_int_equal(flags_at(f, AT + 2 * MIB) & SKIP, SKIP);
	fault(f, AT + MIB);
	assert_false(is_zero(f, AT + MIB));
	assert_int_equal(at(f, AT + MIB).flags & SKIP, 0);
	assert_int_equal(flags_at(f, AT + MIB + PAGE) & SKIP, SKIP);
	assert_ok(axas_audit(f->as));
}

static void a_discard_ends_it_for_pages_that_had_a_frame(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_alloc(f->as, AT, 4 * PAGE, RW | SKIP));
	fault(f, AT);
	fault(f, AT + PAGE);
	assert_ok(axas_discard(f->as, AT, 4 * PAGE));
	assert_int_equal(flags_at(f, AT) & SKIP, 0);
	assert_int_equal(flags_at(f, AT + PAGE) & SKIP, 0);
	assert_int_equal(flags_at(f, AT + 2 * PAGE) & SKIP, SKIP);
	assert_ok(axas_populate(f->as, AT, 4 * PAGE));
	for (axas_gpa_t gpa = AT; gpa < AT + 4 * PAGE; gpa += PAGE)
		assert_int_equal(is_zero(f, gpa), gpa < AT + 2 * PAGE);
}

/* Leaf tables fold to one reservation, which says what all of its pages say. */
static void a_table_that_folds_keeps_what_its_pages_have(void **state)
{
	FIXTURE(f);
	uint64_t tables;

	for (int touched = 0; touched < 3; touched++) {
		assert_ok(axas_map_alloc(f->as, AT, 2 * MIB, RW | SKIP));
		/* makes a table where there was none */
		assert_ok(axas_unmap(f->as, AT, PAGE));
		assert_ok(axas_map_alloc(f->as, AT, PAGE, RW | SKIP));
		if (touched == 1)
			fault(f, AT + 7 * PAGE);
		if (touched == 2)
			assert_ok(axas_populate(f->as, AT, 2 * MIB));
		tables = stats(f).table_frames;
		assert_ok(axas_discard(f->as, AT, 2 * MIB));
		assert_int_equal(stats(f).table_frames, tables - (touched != 1));
		assert_int_equal(flags_at(f, AT) & SKIP, touched == 2 ? 0 : SKIP);
		assert_int_equal(flags_at(f, AT + 7 * PAGE) & SKIP, touched ? 0 : SKIP);
		assert_ok(axas_unmap(f->as, AT, 2 * MIB));
	}
}

static void a_copy_leaves_the_rest_of_the_page(void **state)
{
	const uint8_t text[5] = "word";
	FIXTURE(f);
	size_t done;

	assert_ok(axas_map_alloc(f->as, AT, PAGE, RW | SKIP));
	assert_ok(axas_map_alloc(f->as, AT + PAGE, PAGE, RW));
	for (axas_gpa_t gpa = AT; gpa < AT + 2 * PAGE; gpa += PAGE) {
		assert_ok(axas_write(f->as, gpa + 8, text, sizeof(text), 0, &done));
		assert_memory_equal(guest_memory(f, gpa) + 8, text, sizeof(text));
		memset(guest_memory(f, gpa) + 8, 0, sizeof(text));
		assert_int_equal(is_zero(f, gpa), gpa > AT);
	}
}

static struct {
	struct fixture *f;
	axas_hpa_t (*alloc)(void *ctx, uint32_t order, uint32_t purpose);
	uint32_t remaps;
} other;

/* While one CPU takes a frame for a page, another maps memory there that is to be zeroed. */
static axas_hpa_t alloc_and_remap(void *ctx, uint32_t order, uint32_t purpose)
{
	if (purpose == AXAS_FRAME_GUEST && other.remaps) {
		other.remaps--;
		assert_ok(axas_unmap(other.f->as, AT, PAGE));
		assert_ok(axas_map_alloc(other.f->as, AT, PAGE, RW));
	}
	return other.alloc(ctx, order, purpose);
}

static void a_frame_that_was_not_zeroed_is_not_installed_where_it_should_be(void **state)
{
	const uint8_t text[5] = "word";
	FIXTURE(f);
	size_t done;

	other.f = f;
	other.alloc = f->host.hal.alloc_frame;
	other.remaps = 1;
	f->host.hal.alloc_frame = alloc_and_remap;
	f->host.quick = 1;
	/* without a lock another call can come in the middle of this one */
	f->cfg.options = AXAS_CALLER_LOCKED;
	fixture_create(f);
	assert_ok(axas_map_alloc(f->as, AT, PAGE, RW | SKIP));
	assert_ok(axas_write(f->as, AT + 8, text, sizeof(text), 0, &done));
	assert_int_equal(other.remaps, 0);
	assert_memory_equal(guest_memory(f, AT) + 8, text, sizeof(text));
	memset(guest_memory(f, AT) + 8, 0, sizeof(text));
	assert_true(is_zero(f, AT));
}

static uint32_t count_run(void *ctx, const axas_mapping_t *run)
{
	struct {
		uint32_t runs, skips;
	} *seen = ctx;

	seen->runs++;
	seen->skips += (run->flags & SKIP) != 0;
	return 1;
}

static void runs_that_differ_in_it_are_told_apart(void **state)
{
	FIXTURE(f);
	struct {
		uint32_t runs, skips;
	} seen = { 0, 0 };

	assert_ok(axas_map_alloc(f->as, AT, 4 * PAGE, RW | SKIP));
	assert_ok(axas_map_alloc(f->as, AT + 4 * PAGE, 4 * PAGE, RW));
	assert_ok(axas_for_each(f->as, 0, SPACE_SIZE, count_run, &seen));
	assert_int_equal(seen.runs, 2);
	assert_int_equal(seen.skips, 1);
}

static void take_text(void *ctx, const char *text, size_t bytes)
{
	char *all = ctx;
	const size_t length = strlen(all);

	assert_true(length + bytes < 1024);
	memcpy(all + length, text, bytes);
	all[length + bytes] = '\0';
}

static void a_dump_says_it(void **state)
{
	char text[1024] = "";
	FIXTURE(f);

	assert_ok(axas_map_alloc(f->as, AT, 4 * PAGE, RW | SKIP));
	assert_ok(axas_map_alloc(f->as, AT + 4 * PAGE, 4 * PAGE, RW));
	fault(f, AT);
	assert_ok(axas_dump(f->as, take_text, text));
	assert_non_null(strstr(text, "reserved rw- write-back    4K   not zeroed\n"));
	assert_non_null(strstr(text, "reserved rw- write-back    4K\n"));
	assert_null(strstr(strstr(text, "not zeroed") + 1, "not zeroed"));
}

static void it_is_for_map_alloc_only(void **state)
{
	static const axas_status_t bad = AXAS_ERR_INVALID_INPUT;
	const axas_extent_t extent = { LINEAR_HPA, PAGE };
	FIXTURE(f);
	uint64_t done;

	assert_status(bad, axas_map_linear(f->as, AT, LINEAR_HPA, PAGE, RW | SKIP));
	assert_status(bad, axas_map_linear(f->as, AT, LINEAR_HPA, MIB, RW | SKIP));
	assert_status(bad, axas_map_linear_some(f->as, AT, LINEAR_HPA, MIB, RW | SKIP, 1, &done));
	assert_status(bad, axas_map_extents(f->as, AT, &extent, 1, RW | SKIP));
	assert_status(bad, axas_map_trap_flags(f->as, AT, PAGE, 1, SKIP));
	assert_status(bad, axas_protect(f->as, AT, PAGE, RW | SKIP));
	assert_status(bad, axas_map_alloc(f->as, AT, PAGE, SKIP));
	assert_ok(axas_map_alloc_some(f->as, AT, PAGE, RW | SKIP, 1, &done));
	assert_int_equal(flags_at(f, AT) & SKIP, SKIP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(frames_come_as_they_are_where_it_was_asked_for),
		EACH_FORMAT(huge_frames_are_left_alone_too),
		EACH_FORMAT(a_reservation_remembers_it_until_there_is_a_frame),
		EACH_FORMAT(a_discard_ends_it_for_pages_that_had_a_frame),
		EACH_FORMAT(a_table_that_folds_keeps_what_its_pages_have),
		EACH_FORMAT(a_copy_leaves_the_rest_of_the_page),
		EACH_FORMAT_NO_SPACE(
			a_frame_that_was_not_zeroed_is_not_installed_where_it_should_be),
		EACH_FORMAT(runs_that_differ_in_it_are_told_apart),
		EACH_FORMAT(a_dump_says_it),
		EACH_FORMAT(it_is_for_map_alloc_only),
	};

	return cmocka_run_group_tests_name("skip_zero", tests, NULL, NULL);
}
