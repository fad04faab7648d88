/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Pages of one space copied to another: axas_copy. */
#include "fixture.h"

#define AT    (4 * GIB)
#define TO    (6 * GIB)
#define PAGES 600u

/* Two spaces of one host; `is_swapped`: the one with the higher handle is read. */
struct pair {
	axas_t *from, *to;
};

static struct pair create_pair(struct fixture *f, int is_swapped)
{
	struct pair p;
	axas_t *other;

	fixture_create(f);
	assert_ok(axas_create(&f->cfg, &f->host.hal, &other));
	if ((f->as < other) == !is_swapped)
		p = (struct pair){ f->as, other };
	else
		p = (struct pair){ other, f->as };
	return p;
}

static void destroy_pair(struct fixture *f, struct pair p)
{
	axas_destroy(f->as == p.from ? p.to : p.from);
	fixture_destroy(f);
}

static void expect_word(axas_t *as, axas_gpa_t gpa, uint64_t expected)
{
	uint64_t value;

	assert_ok(axas_read_u64(as, gpa, AXAS_ACCESS_HOST, &value));
	assert_int_equal(value, expected);
}

/* Each page says which it is, at its beginning and at its end. */
static void write_pages(axas_t *as, axas_gpa_t gpa, uint64_t pages, uint64_t salt)
{
	for (uint64_t page = 0; page < pages; page++) {
		assert_ok(axas_write_u64(as, gpa + page * PAGE, AXAS_ACCESS_HOST, salt + page));
		assert_ok(axas_write_u64(as, gpa + page * PAGE + PAGE - 8, AXAS_ACCESS_HOST,
					 salt + ~page));
	}
}

static void expect_page(axas_t *as, axas_gpa_t gpa, uint64_t page, uint64_t salt)
{
	expect_word(as, gpa + page * PAGE, salt + page);
	expect_word(as, gpa + page * PAGE + 8, 0);
	expect_word(as, gpa + page * PAGE + PAGE - 8, salt + ~page);
}

static axas_mapping_t query(axas_t *as, axas_gpa_t gpa)
{
	return space_agree(as, gpa);
}

static void all_pages(void **state)
{
	FIXTURE(f);

	f->host.poison_guest = 1;
	for (int is_swapped = 0; is_swapped < 2; is_swapped++) {
		const struct pair p = create_pair(f, is_swapped);
		const uint64_t taken = f->host.guest_taken;
		uint64_t done = 77;
		axas_stats_t s;

		assert_ok(axas_map_alloc(p.from, AT, PAGES * PAGE, RW));
		assert_ok(axas_map_alloc(p.to, TO, PAGES * PAGE, AXAS_READ));
		write_pages(p.from, AT, PAGES, 1000);
		assert_ok(axas_copy(p.from, AT, p.to, TO, PAGES * PAGE, NULL, 0, &done));
		assert_int_equal(done, PAGES * PAGE);
		for (uint64_t page = 0; page < PAGES; page++)
			expect_page(p.to, TO, page, 1000);
		assert_int_equal(f->host.guest_taken, taken + 2 * PAGES);
		/* again: what is there is written over */
		write_pages(p.from, AT, PAGES, 5000);
		assert_ok(axas_copy(p.from, AT, p.to, TO, PAGES * PAGE, NULL, 0, NULL));
		for (uint64_t page = 0; page < PAGES; page++)
			expect_page(p.to, TO, page, 5000);
		assert_int_equal(f->host.guest_taken, taken + 2 * PAGES);
		assert_ok(axas_stats(p.to, &s));
		assert_int_equal(s.guest_frames, PAGES);
		assert_int_equal(s.faults_resolved, PAGES);
		space_sweep(p.to);
		space_sweep(p.from);
		destroy_pair(f, p);
	}
	fixture_create(f);
}

static void only_pages_whose_bits_are_set(void **state)
{
	FIXTURE(f);
	const struct pair p = create_pair(f, 0);
	uint64_t bitmap[(PAGES + 63) / 64] = { 0 }, done, count = 0;

	assert_ok(axas_map_alloc(p.from, AT, PAGES * PAGE, RW));
	assert_ok(axas_map_alloc(p.to, TO, PAGES * PAGE, RW));
	write_pages(p.from, AT, PAGES, 1000);
	for (uint64_t page = 0; page < PAGES; page++)
		if (page % 7 == 0 || (page > 60 && page < 200) || page >= PAGES - 2) {
			bitmap[page / 64] |= 1ull << (page % 64);
			count++;
		}
	assert_ok(axas_copy(p.from, AT, p.to, TO, PAGES * PAGE, bitmap, PAGES, &done));
	assert_int_equal(done, PAGES * PAGE);
	for (uint64_t page = 0; page < PAGES; page++) {
		const int is_set = bitmap[page / 64] >> (page % 64) & 1;

		assert_int_equal(query(p.to, TO + page * PAGE).state,
				 is_set ? AXAS_STATE_OWNED : AXAS_STATE_RESERVED);
		if (is_set)
			expect_page(p.to, TO, page, 1000);
	}
	/* no bit, no page: not even a hole is looked at */
	memset(bitmap, 0, sizeof(bitmap));
	assert_ok(axas_copy(p.from, 0, p.to, 0, PAGES * PAGE, bitmap, PAGES, &done));
	assert_int_equal(done, PAGES * PAGE);
	destroy_pair(f, p);
	fixture_create(f);
}

/* Large pages on either side or on both, side by side or not. */
static void pages_of_every_size(void **state)
{
	static const axas_flags_t flags[] = { RW, RW | AXAS_HUGE_FRAMES };
	FIXTURE(f);

	f->host.poison_guest = 1;
	for (uint32_t i = 0; i < 4; i++) {
		const struct pair p = create_pair(f, i % 2);
		const axas_gpa_t to = i < 2 ? TO : TO + 3 * PAGE;

		assert_ok(axas_map_alloc(p.from, AT, 4 * MIB, flags[i % 2]));
		assert_ok(axas_map_alloc(p.to, TO, 6 * MIB, flags[i / 2]));
		write_pages(p.from, AT, 1024, 70);
		assert_ok(axas_copy(p.from, AT, p.to, to, 4 * MIB, NULL, 0, NULL));
		for (uint64_t page = 0; page < 1024; page++)
			expect_page(p.to, to, page, 70);
		/* a large frame of which a part was copied: the rest is zero */
		expect_word(p.to, TO + 4 * MIB + 4 * PAGE, 0);
		destroy_pair(f, p);
	}
	fixture_create(f);
}

/* A guest that has few pages stays one; a page that came to the other one meanwhile is zeroed. */
static void reserved_pages_read_as_zeroes(void **state)
{
	FIXTURE(f);
	const struct pair p = create_pair(f, 0);
	uint64_t taken;

	f->host.poison_guest = 1;
	assert_ok(axas_map_alloc(p.from, 0, SPACE_SIZE, RW));
	assert_ok(axas_map_alloc(p.to, 0, SPACE_SIZE, RW));
	write_pages(p.from, AT, 1, 5);
	write_pages(p.to, AT + PAGE, 1, 6);
	taken = f->host.guest_taken;
	assert_ok(axas_copy(p.from, 0, p.to, 0, SPACE_SIZE, NULL, 0, NULL));
	assert_int_equal(f->host.guest_taken, taken + 1);
	expect_page(p.to, AT, 0, 5);
	expect_word(p.to, AT + PAGE, 0);
	expect_word(p.to, AT + 2 * PAGE - 8, 0);
	/* frames that are not zeroed do not read as zeroes */
	assert_ok(
		axas_map_alloc(p.to, AT + 2 * PAGE, 2 * PAGE, RW | AXAS_SKIP_ZERO | AXAS_REPLACE));
	assert_ok(axas_copy(p.from, AT + 2 * PAGE, p.to, AT + 2 * PAGE, 2 * PAGE, NULL, 0, NULL));
	expect_word(p.to, AT + 2 * PAGE + 72, 0);
	expect_word(p.to, AT + 4 * PAGE - 8, 0);
	destroy_pair(f, p);
	fixture_create(f);
}

static void what_is_copied_is_dirty(void **state)
{
	FIXTURE(f);
	const struct pair p = create_pair(f, 0);
	uint64_t bitmap = 0, count;

	assert_ok(axas_map_alloc(p.from, AT, 8 * PAGE, RW | AXAS_POPULATE));
	assert_ok(axas_map_alloc(p.to, TO, 8 * PAGE, AXAS_READ | AXAS_POPULATE));
	assert_ok(axas_dirty_start(p.from, AT, 8 * PAGE, 0));
	assert_ok(axas_dirty_start(p.to, TO, 8 * PAGE, 0));
	write_pages(p.from, AT + 3 * PAGE, 2, 9);
	assert_ok(axas_dirty_collect(p.from, AT, 8 * PAGE, &bitmap, 8, 0, &count));
	assert_int_equal(bitmap, 0x18);
	assert_ok(axas_copy(p.from, AT, p.to, TO, 8 * PAGE, &bitmap, 8, NULL));
	bitmap = 0;
	assert_ok(axas_dirty_get(p.to, TO, 8 * PAGE, &bitmap, 64, &count));
	assert_int_equal(bitmap, 0x18);
	/* reading marks nothing */
	bitmap = 0;
	assert_ok(axas_dirty_get(p.from, AT, 8 * PAGE, &bitmap, 64, &count));
	assert_int_equal(bitmap, 0);
	expect_page(p.to, TO + 3 * PAGE, 0, 9);
	destroy_pair(f, p);
	fixture_create(f);
}

static void each_status(void **state)
{
	FIXTURE(f);
	const struct pair p = create_pair(f, 0);
	uint64_t bitmap[2] = { 3, 0 }, done = 77;
	uint64_t *askew = (uint64_t *)((uintptr_t)bitmap + 4);

	assert_ok(axas_map_alloc(p.from, AT, 4 * PAGE, RW));
	assert_ok(axas_map_alloc(p.to, TO, 8 * PAGE, RW));
	write_pages(p.from, AT, 4, 3);
#define COPY(from, gpa, to, to_gpa, size, bitmap, bits) \
	axas_copy(from, gpa, to, to_gpa, size, bitmap, bits, &done)
#define BAD(...) assert_status(AXAS_ERR_INVALID_INPUT, COPY(__VA_ARGS__))
	BAD(NULL, AT, p.to, TO, PAGE, NULL, 0);
	assert_int_equal(done, 0);
	BAD(p.from, AT, NULL, TO, PAGE, NULL, 0);
	BAD(p.from, AT, p.from, TO, PAGE, NULL, 0);
	BAD(p.from, AT + 8, p.to, TO, PAGE, NULL, 0);
	BAD(p.from, AT, p.to, TO + 8, PAGE, NULL, 0);
	BAD(p.from, AT, p.to, TO, PAGE + 8, NULL, 0);
	BAD(p.from, AT, p.to, TO, 0, NULL, 0);
	BAD(p.from, AT, p.to, TO, ~0xfffull, NULL, 0);
	BAD(p.from, SPACE_SIZE - PAGE, p.to, TO, 2 * PAGE, NULL, 0);
	BAD(p.from, AT, p.to, SPACE_SIZE - PAGE, 2 * PAGE, NULL, 0);
	BAD(p.from, AT, p.to, TO, 65 * PAGE, bitmap, 64);
	BAD(p.from, AT, p.to, TO, PAGE, askew, 64);
	assert_status(AXAS_ERR_INVALID_INPUT, axas_copy(p.from, AT, p.to, TO, PAGE, NULL, 0,
							(uint64_t *)((uintptr_t)&done + 4)));
	/* a hole or a trap behind what is there, on either side */
	assert_status(AXAS_ERR_NOT_MAPPED, COPY(p.from, AT, p.to, TO, 5 * PAGE, NULL, 0));
	assert_int_equal(done, 4 * PAGE);
	expect_page(p.to, TO, 3, 3);
	assert_ok(axas_map_trap(p.from, AT + 4 * PAGE, PAGE, 1));
	assert_status(AXAS_ERR_NOT_MAPPED, COPY(p.from, AT, p.to, TO, 5 * PAGE, NULL, 0));
	assert_int_equal(done, 4 * PAGE);
	assert_status(AXAS_ERR_NOT_MAPPED,
		      COPY(p.from, AT, p.to, TO + 6 * PAGE, 4 * PAGE, NULL, 0));
	assert_int_equal(done, 2 * PAGE);
	/* device memory, and memory that the host does not reach */
	assert_ok(axas_map_linear(p.from, AT + 8 * PAGE, LINEAR_HPA, PAGE, RW | AXAS_DEVICE));
	assert_status(AXAS_ERR_UNSUPPORTED, COPY(p.from, AT + 8 * PAGE, p.to, TO, PAGE, NULL, 0));
	assert_ok(axas_map_linear(p.to, TO + 8 * PAGE, LINEAR_HPA, PAGE, RW | AXAS_DEVICE));
	assert_status(AXAS_ERR_UNSUPPORTED, COPY(p.from, AT, p.to, TO + 8 * PAGE, PAGE, NULL, 0));
	assert_int_equal(done, 0);
	/* a page that is hidden is read and written; formats may differ, permissions are of no account */
	assert_ok(axas_protect(p.from, AT, PAGE, AXAS_READ));
	assert_ok(axas_hide(p.from, AT, PAGE, 0));
	assert_ok(axas_hide(p.to, TO, PAGE, 0));
	f->host.hides = 1;
	write_pages(p.from, AT, 1, 99);
	assert_ok(COPY(p.from, AT, p.to, TO, PAGE, NULL, 0));
	expect_page(p.to, TO, 0, 99);
	destroy_pair(f, p);
	fixture_create(f);
#undef BAD
#undef COPY
}

static void every_allocation_may_fail(void **state)
{
	FIXTURE(f);
	const struct pair p = create_pair(f, 0);
	uint64_t done = 0, calls = 0;
	axas_status_t status;

	assert_ok(axas_map_alloc(p.from, AT, 6 * PAGE, RW));
	assert_ok(axas_map_alloc(p.to, 0, 4 * GIB, RW));
	write_pages(p.from, AT, 6, 3);
	for (uint64_t at = 0; at < 6 * PAGE; at += done) {
		f->host.fail_at = 2;
		status = axas_copy(p.from, AT + at, p.to, GIB + at, 6 * PAGE - at, NULL, 0, &done);
		if (f->host.fail_at == 0)
			assert_status(AXAS_ERR_NO_MEMORY, status);
		else
			assert_ok(status);
		f->host.fail_at = 0;
		space_sweep(p.to);
		if (done == 0) {
			/* tables are what is missing */
			assert_in_range(++calls, 1, 4);
			assert_ok(axas_populate(p.to, GIB + at, PAGE));
		}
	}
	for (uint64_t page = 0; page < 6; page++)
		expect_page(p.to, GIB, page, 3);
	destroy_pair(f, p);
	fixture_create(f);
}

static void through_windows(void **state)
{
	static _Alignas(AXAS_STORAGE_ALIGN) uint8_t storage[2][AXAS_STORAGE_SIZE];
	FIXTURE(f);
	axas_t *other;

	host_exit(&f->host);
	host_init(&f->host, HOST_WINDOWS, HOST_PA_BASE);
	for (int i = 0; i < 2; i++) {
		assert_ok(axas_create_in(storage[i], sizeof(storage[i]), &f->cfg, &f->host.hal,
					 &f->as));
		assert_ok(axas_create_in(storage[!i], sizeof(storage[!i]), &f->cfg, &f->host.hal,
					 &other));
		assert_ok(axas_map_alloc(f->as, AT, 20 * PAGE, RW));
		assert_ok(axas_map_alloc(other, TO, 20 * PAGE, RW));
		write_pages(f->as, AT, 20, 3);
		assert_ok(axas_copy(f->as, AT, other, TO, 20 * PAGE, NULL, 0, NULL));
		for (uint64_t page = 0; page < 20; page++)
			expect_page(other, TO, page, 3);
		axas_destroy(other);
		if (i == 0)
			axas_destroy(f->as);
	}
}

/* A guest whose caches are off finds what was copied: pages that were there, and those that the copy took in. */
static void what_is_copied_is_cleaned_where_caches_may_be_off(void **state)
{
	FIXTURE(f);
	const uint32_t is_x86 =
		f->cfg.format == AXAS_FORMAT_EPT || f->cfg.format == AXAS_FORMAT_NPT;
	const struct pair p = create_pair(f, 0);

	assert_ok(axas_map_alloc(p.from, AT, 40 * PAGE, RW | AXAS_NO_HUGE | AXAS_POPULATE));
	assert_ok(axas_map_alloc(p.to, TO, 20 * PAGE, RW | AXAS_NO_HUGE | AXAS_POPULATE));
	assert_ok(axas_map_alloc(p.to, TO + 20 * PAGE, 20 * PAGE, RW | AXAS_NO_HUGE));
	write_pages(p.from, AT, 40, 9);
	for (uint32_t half = 0; half < 2; half++) {
		host_forget_log(&f->host);
		assert_ok(axas_copy(p.from, AT + half * 20 * PAGE, p.to, TO + half * 20 * PAGE,
				    20 * PAGE, NULL, 0, NULL));
		assert_int_equal(f->host.cleans[AXAS_FRAME_GUEST], is_x86 ? 0 : 20);
	}
	destroy_pair(f, p);
	fixture_create(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT_NO_SPACE(what_is_copied_is_cleaned_where_caches_may_be_off),
		EACH_FORMAT_NO_SPACE(all_pages),
		EACH_FORMAT_NO_SPACE(only_pages_whose_bits_are_set),
		EACH_FORMAT_NO_SPACE(pages_of_every_size),
		EACH_FORMAT_NO_SPACE(reserved_pages_read_as_zeroes),
		EACH_FORMAT_NO_SPACE(what_is_copied_is_dirty),
		EACH_FORMAT_NO_SPACE(each_status),
		EACH_FORMAT_NO_SPACE(every_allocation_may_fail),
		EACH_FORMAT_NO_SPACE(through_windows),
	};

	return cmocka_run_group_tests_name("copies", tests, NULL, NULL);
}
