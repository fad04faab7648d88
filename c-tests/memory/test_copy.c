/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Copies go across whatever there is, and take lazy pages in as the guest would. */
#include "ground.h"

static void a_copy_goes_across_pages_frames_and_areas(void **state)
{
	FIXTURE(f);

	for
		EVERY_KIND(kind)
		{
			struct ground g = ground_open(f, *kind);

			ground_read(&g, AREA_EXTENTS - 100, 9 * PAGE, 0);
			ground_write(&g, GROUND + 5, GROUND_BYTES - 11, 1, 0);
			ground_check(&g);
			ground_read(&g, GROUND, GROUND_BYTES, 0);
			ground_fill(&g, GROUND + 3, GROUND_BYTES - 10, 0xc3, 0);
			ground_close(&g);
		}
}

static void every_edge_is_crossed_at_every_offset(void **state)
{
	static const axas_gpa_t edge[] = {
		AREA_LAZY + PAGE,      AREA_EXTENTS,   AREA_EXTENTS + 3 * PAGE,
		AREA_POPULATED,        AREA_HUGE,      AREA_HUGE + PAGE,
		AREA_HUGE + 64 * 1024, AREA_LAZY_HUGE, AREA_LAST,
	};
	static const size_t length[] = { 1, 2, 7, 8, PAGE - 1, PAGE, PAGE + 1 };
	FIXTURE(f);
	struct ground g;
	uint8_t seed = 0;

	for
		EVERY_KIND(kind)
		{
			g = ground_open(f, *kind);
			for (size_t e = 0; e < sizeof(edge) / sizeof(edge[0]); e++) {
				for (size_t l = 0; l < sizeof(length) / sizeof(length[0]); l++) {
					const axas_gpa_t from = edge[e] - length[l] / 2;

					ground_write(&g, from, length[l], ++seed, 0);
					ground_compare(&g, edge[e] - PAGE, 2 * PAGE);
					ground_fill(&g, from - 1, length[l] + 1, seed, 0);
					ground_compare(&g, edge[e] - PAGE, 2 * PAGE);
					ground_read(&g, from - 1, length[l] + 2, 0);
				}
			}
			ground_close(&g);
		}
}

static void a_lazy_page_comes_in_once_and_reads_as_zero(void **state)
{
	FIXTURE(f);

	for
		EVERY_KIND(kind)
		{
			struct ground g = ground_open(f, *kind);
			const axas_stats_t before = stats(f);
			axas_stats_t after;

			ground_read(&g, AREA_LAZY + PAGE - 1, 2, 0);
			after = stats(f);
			assert_int_equal(after.faults_resolved - before.faults_resolved, 2);
			assert_int_equal(after.guest_frames - before.guest_frames, 2);
			expect_state(f, AREA_LAZY, AXAS_STATE_OWNED);
			expect_state(f, AREA_LAZY + PAGE, AXAS_STATE_OWNED);
			expect_state(f, AREA_LAZY + 2 * PAGE, AXAS_STATE_RESERVED);
			ground_write(&g, AREA_LAZY, 2 * PAGE, 9, 0);
			assert_int_equal(stats(f).faults_resolved, after.faults_resolved);
			ground_fill(&g, AREA_LAST + 2 * PAGE, 1, 1, 0);
			assert_int_equal(stats(f).faults_resolved, after.faults_resolved + 1);
			ground_close(&g);
		}
}

static void a_lazy_huge_frame_comes_in_whole(void **state)
{
	FIXTURE(f);
	struct ground g = ground_open(f, HOST_CALLBACK);
	const axas_stats_t before = stats(f);

	ground_write(&g, AREA_LAZY_HUGE + 5 * PAGE + 1, 3, 7, 0);
	assert_int_equal(stats(f).faults_resolved - before.faults_resolved, 1);
	assert_int_equal(stats(f).guest_frames - before.guest_frames, 512);
	assert_int_equal(at(f, AREA_LAZY_HUGE).size, 2 * MIB);
	ground_close(&g);
}

static void the_host_takes_lazy_pages_in_too(void **state)
{
	FIXTURE(f);
	struct ground g = ground_open(f, HOST_CALLBACK);

	ground_read(&g, AREA_LAZY, PAGE, AXAS_ACCESS_HOST);
	ground_write(&g, AREA_LAZY + PAGE, PAGE, 3, AXAS_ACCESS_HOST);
	ground_read(&g, AREA_LAZY + 2 * PAGE, PAGE, AXAS_ACCESS_EXECUTE);
	expect_state(f, AREA_LAZY + 2 * PAGE, AXAS_STATE_OWNED);
	expect_state(f, AREA_LAZY + 3 * PAGE, AXAS_STATE_RESERVED);
	assert_int_equal(stats(f).faults_resolved, 3);
	ground_close(&g);
}

/* Without waiting, and without a lock of the library's: alone, a copy comes to its end. */
static void the_lock_makes_no_difference_to_what_is_copied(void **state)
{
	static const uint32_t options[] = { AXAS_CALLER_LOCKED, AXAS_NO_WAIT };
	FIXTURE(f);

	for (size_t i = 0; i < 6; i++) {
		struct ground g;
		uint64_t value = 0;

		f->cfg.options = options[i % 2];
		g = ground_open(f, every_kind[i / 2]);
		ground_write(&g, GROUND + 5, GROUND_BYTES - 11, 1, 0);
		ground_fill(&g, AREA_LAZY + 1, 6 * PAGE, 0xc3, AXAS_ACCESS_HOST);
		ground_read(&g, GROUND, GROUND_BYTES, AXAS_ACCESS_EXECUTE);
		assert_ok(axas_write_u64(f->as, AREA_LAST + 2 * PAGE, 0, 0x1122334455667788));
		assert_ok(axas_read_u64(f->as, AREA_LAST + 2 * PAGE, 0, &value));
		assert_int_equal(value, 0x1122334455667788);
		memcpy(ground_model(&g, AREA_LAST + 2 * PAGE), &value, sizeof(value));
		ground_close(&g);
	}
}

static void spaces_do_not_see_each_other(void **state)
{
	FIXTURE(f);
	axas_t *other = NULL;
	uint8_t byte = 0;

	ground_host(f, HOST_CALLBACK);
	ground_create(f);
	f->cfg.vmid = 6;
	assert_ok(axas_create(&f->cfg, &f->host.hal, &other));
	assert_ok(axas_map_alloc(f->as, GIB, 2 * PAGE, RW));
	assert_ok(axas_map_alloc(other, GIB, PAGE, RW));
	assert_ok(axas_fill(f->as, GIB, 0x11, PAGE, 0, NULL));
	assert_ok(axas_read_u8(other, GIB, 0, &byte));
	assert_int_equal(byte, 0);
	assert_ok(axas_fill(other, GIB, 0x22, PAGE, 0, NULL));
	assert_ok(axas_read_u8(f->as, GIB + PAGE - 1, 0, &byte));
	assert_int_equal(byte, 0x11);
	assert_status(AXAS_ERR_NOT_MAPPED, axas_read_u8(other, GIB + PAGE, 0, &byte));
	axas_destroy(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT_NO_SPACE(a_copy_goes_across_pages_frames_and_areas),
		EACH_FORMAT_NO_SPACE(every_edge_is_crossed_at_every_offset),
		EACH_FORMAT_NO_SPACE(a_lazy_page_comes_in_once_and_reads_as_zero),
		EACH_FORMAT_NO_SPACE(a_lazy_huge_frame_comes_in_whole),
		EACH_FORMAT_NO_SPACE(the_host_takes_lazy_pages_in_too),
		EACH_FORMAT_NO_SPACE(the_lock_makes_no_difference_to_what_is_copied),
		EACH_FORMAT_NO_SPACE(spaces_do_not_see_each_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
