/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* AXAS_SMALL_EXEC: no executable leaf above 4 KiB, whatever the order of calls (CVE-2018-12207). */
#include "fixture.h"

#define BASE        GIB
#define LINEAR      0x4000000000ull
#define FEATURES(f) ((f)->fc->format <= AXAS_FORMAT_NPT ? (uint32_t)AXAS_FEATURE_1G_PAGES : 0)

static void create_small(struct fixture *f)
{
	f->cfg.options |= AXAS_SMALL_EXEC;
	f->cfg.features |= FEATURES(f);
	fixture_create(f);
}

/* The invariant, by the independent walker. */
static void expect_small(const struct fixture *f, axas_gpa_t gpa, uint64_t size)
{
	for (axas_gpa_t end = gpa + size; gpa < end;) {
		const axas_mapping_t m = at(f, gpa);
		const uint32_t mapped = m.state == AXAS_STATE_LINEAR || m.state == AXAS_STATE_OWNED;

		if (mapped && (m.flags & AXAS_EXECUTE) && m.size != PAGE)
			fail_msg("an executable page of %llu bytes at %#llx",
				 (unsigned long long)m.size, (unsigned long long)gpa);
		gpa = m.gpa + m.size;
	}
}

static void expect_refused(struct fixture *f, axas_gpa_t gpa, uint64_t size)
{
	const axas_mapping_t before = at(f, gpa);
	const axas_stats_t counted = stats(f);
	const uint32_t flushes = f->host.flushes;
	axas_mapping_t after;
	axas_stats_t now;

	assert_status(AXAS_ERR_UNSUPPORTED, axas_protect(f->as, gpa, size, RX));
	after = at(f, gpa);
	now = stats(f);
	assert_memory_equal(&after, &before, sizeof(after));
	assert_memory_equal(&now, &counted, sizeof(now));
	assert_int_equal(f->host.flushes, flushes);
}

static void protect_makes_no_large_page_executable(void **state)
{
	FIXTURE(f);

	create_small(f);
	assert_ok(axas_map_linear(f->as, BASE, LINEAR, 4 * MIB, RW));
	assert_int_equal(at(f, BASE).size, 2 * MIB);
	expect_refused(f, BASE, 2 * MIB);
	expect_refused(f, BASE, 4 * MIB);
	expect_refused(f, BASE + PAGE, 4 * MIB - PAGE);
	/* other permissions, and parts that become small pages, are as ever */
	assert_ok(axas_protect(f->as, BASE, 4 * MIB, AXAS_READ));
	assert_int_equal(at(f, BASE).size, 2 * MIB);
	assert_ok(axas_protect(f->as, BASE + 2 * MIB - PAGE, 2 * PAGE, RX));
	assert_int_equal(at(f, BASE + 2 * MIB).size, PAGE);
	assert_int_equal(at(f, BASE + 2 * MIB).flags & RWX, RX);
	expect_small(f, BASE, 4 * MIB);
	/* now that both are small */
	assert_ok(axas_protect(f->as, BASE, 4 * MIB, RX));
	expect_small(f, BASE, 4 * MIB);
}

static void parts_of_a_gigabyte_may_be_executable_by_small_pages_only(void **state)
{
	FIXTURE(f);

	create_small(f);
	assert_ok(axas_map_linear(f->as, BASE, LINEAR, GIB, RW));
	assert_int_equal(at(f, BASE).size, GIB);
	expect_refused(f, BASE, GIB);
	expect_refused(f, BASE + 2 * MIB, 2 * MIB);
	expect_refused(f, BASE + PAGE, 4 * MIB);
	assert_ok(axas_protect(f->as, BASE + 2 * MIB - PAGE, 2 * MIB, RX));
	expect_small(f, BASE, GIB);
}

static void a_cut_page_beside_a_reservation_is_no_large_page(void **state)
{
	FIXTURE(f);

	create_small(f);
	assert_ok(axas_map_linear(f->as, BASE, LINEAR, 2 * MIB, RW));
	assert_ok(axas_map_alloc(f->as, BASE + 2 * MIB, 2 * MIB, RW | AXAS_HUGE_FRAMES));
	assert_ok(axas_protect(f->as, BASE + MIB, 3 * MIB, RX));
	assert_int_equal(axas_handle_page_fault(f->as, BASE + 3 * MIB, AXAS_EXECUTE),
			 AXAS_FAULT_RESOLVED);
	expect_small(f, BASE, 4 * MIB);
}

static void maps_take_small_pages_where_they_are_executable(void **state)
{
	FIXTURE(f);
	axas_extent_t extent = { LINEAR + GIB, 2 * MIB };
	uint64_t needed;

	create_small(f);
	assert_ok(axas_map_linear(f->as, BASE, LINEAR, 2 * MIB, RX));
	assert_ok(axas_map_extents(f->as, BASE + 2 * MIB, &extent, 1, RX));
	assert_ok(axas_map_alloc(f->as, BASE + 4 * MIB, 2 * MIB,
				 RWX | AXAS_HUGE_FRAMES | AXAS_POPULATE));
	assert_ok(axas_map_alloc(f->as, BASE + 6 * MIB, 2 * MIB, RWX | AXAS_HUGE_FRAMES));
	assert_int_equal(axas_handle_page_fault(f->as, BASE + 6 * MIB, AXAS_WRITE),
			 AXAS_FAULT_RESOLVED);
	assert_ok(axas_map_linear(f->as, BASE + 8 * MIB, LINEAR, 2 * MIB, RW));
	assert_ok(axas_map_linear(f->as, BASE + 8 * MIB, LINEAR, 2 * MIB, RX | AXAS_REPLACE));
	expect_small(f, BASE, 10 * MIB);
	/* what is not executable stays large */
	assert_ok(axas_map_linear(f->as, BASE + 10 * MIB, LINEAR, 2 * MIB, RW));
	assert_int_equal(at(f, BASE + 10 * MIB).size, 2 * MIB);
	/* and the count of tables knows it */
	assert_ok(axas_tables_needed(&f->cfg, BASE, 2 * MIB, RX, &needed));
	f->cfg.options &= ~(uint32_t)AXAS_SMALL_EXEC;
	f->cfg.size = SPACE_SIZE;
	{
		uint64_t without;

		assert_ok(axas_tables_needed(&f->cfg, BASE, 2 * MIB, RX, &without));
		assert_int_equal(needed, without + 1);
	}
}

static void a_reservation_that_becomes_executable_gets_small_frames(void **state)
{
	FIXTURE(f);

	create_small(f);
	for (uint32_t populated = 0; populated < 2; populated++) {
		const axas_gpa_t gpa = BASE + populated * 2 * MIB;

		assert_ok(axas_map_alloc(f->as, gpa, 2 * MIB, RW | AXAS_HUGE_FRAMES));
		if (populated) {
			/* a large page, given back: its reservation asks for one of its size */
			assert_ok(axas_populate(f->as, gpa, 2 * MIB));
			assert_int_equal(at(f, gpa).size, 2 * MIB);
			expect_refused(f, gpa, 2 * MIB);
			assert_ok(axas_discard(f->as, gpa, 2 * MIB));
		}
		assert_ok(axas_protect(f->as, gpa, 2 * MIB, RWX));
		assert_int_equal(axas_handle_page_fault(f->as, gpa, AXAS_EXECUTE),
				 AXAS_FAULT_RESOLVED);
		assert_ok(axas_write_u8(f->as, gpa + MIB, 0, 7));
		expect_small(f, gpa, 2 * MIB);
		assert_ok(axas_populate(f->as, gpa, 2 * MIB));
		expect_small(f, gpa, 2 * MIB);
	}
}

static void slices_stop_before_the_large_page(void **state)
{
	FIXTURE(f);
	axas_status_t status;
	uint64_t done = 0;

	create_small(f);
	assert_ok(axas_map_linear(f->as, BASE, LINEAR, 2 * MIB, RW | AXAS_NO_HUGE));
	assert_ok(axas_map_linear(f->as, BASE + 2 * MIB, LINEAR + 2 * MIB, 2 * MIB, RW));
	for (axas_gpa_t gpa = BASE; (status = axas_protect_some(f->as, gpa, BASE + 4 * MIB - gpa,
								RX, 100, &done)) == AXAS_ERR_AGAIN;
	     gpa += done)
		expect_small(f, BASE, 4 * MIB);
	assert_int_equal(status, AXAS_ERR_UNSUPPORTED);
	assert_int_equal(at(f, BASE + 2 * MIB).flags & RWX, RW);
	assert_int_equal(at(f, BASE + MIB).flags & RWX, RX);
	expect_small(f, BASE, 4 * MIB);
}

static axas_status_t change(axas_t *as, uint64_t random, axas_gpa_t gpa, uint64_t size)
{
	static const axas_flags_t access[] = { AXAS_READ, RW, RX, RWX };
	const axas_flags_t flags = access[random / 8 % 4];

	switch (random % 7) {
	case 0:
		return axas_map_linear(as, gpa, LINEAR + gpa, size, flags | AXAS_REPLACE);
	case 1:
		return axas_map_alloc(as, gpa, size, flags | AXAS_HUGE_FRAMES);
	case 2:
		return axas_populate(as, gpa, size);
	case 3:
		return axas_discard(as, gpa, size);
	case 4:
		return axas_unmap(as, gpa, size);
	case 5:
		return axas_handle_page_fault(as, gpa, AXAS_READ) == AXAS_FAULT_ERROR;
	default:
		return axas_protect(as, gpa, size, flags);
	}
}

static void no_order_of_calls_makes_a_large_page_executable(void **state)
{
	static const uint64_t pages[] = { 1, 3, 512, 700, 1024 };
	FIXTURE(f);
	uint64_t random = 88172645463325252ull;
	uint32_t refused = 0;

	create_small(f);
	for (uint32_t round = 0; round < 600; round++) {
		axas_status_t status;

		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		status = change(f->as, random >> 32,
				BASE + random % 8 * MIB + (random >> 8) % 2 * PAGE,
				pages[(random >> 16) % 5] * PAGE);
		refused += status == AXAS_ERR_UNSUPPORTED;
		assert_in_set((uint32_t)status,
			      ((const unsigned long[]){ AXAS_OK, (uint32_t)AXAS_ERR_UNSUPPORTED,
							(uint32_t)AXAS_ERR_NOT_MAPPED,
							(uint32_t)AXAS_ERR_ALREADY_EXISTS }),
			      4);
		expect_small(f, BASE, 12 * MIB);
	}
	assert_in_range(refused, 1, 300);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT_NO_SPACE(protect_makes_no_large_page_executable),
		EACH_FORMAT_NO_SPACE(parts_of_a_gigabyte_may_be_executable_by_small_pages_only),
		EACH_FORMAT_NO_SPACE(a_cut_page_beside_a_reservation_is_no_large_page),
		EACH_FORMAT_NO_SPACE(maps_take_small_pages_where_they_are_executable),
		EACH_FORMAT_NO_SPACE(a_reservation_that_becomes_executable_gets_small_frames),
		EACH_FORMAT_NO_SPACE(slices_stop_before_the_large_page),
		EACH_FORMAT_NO_SPACE(no_order_of_calls_makes_a_large_page_executable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
