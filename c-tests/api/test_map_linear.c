/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Mapping the host's own frames: sizes of pages, bounds, order of checks, extents. */
#include "fixture.h"

static void expect_leaves(const struct fixture *f, uint64_t small, uint64_t mid, uint64_t large)
{
	const struct sweep s = space_sweep(f->as);

	assert_int_equal(s.leaves[1], small);
	assert_int_equal(s.leaves[2], mid);
	assert_int_equal(s.leaves[3], large);
}

static void every_byte_lands_at_its_distance(void **state)
{
	FIXTURE(f);
	const axas_gpa_t gpa = 3 * GIB - 3 * PAGE;
	const uint64_t size = GIB + 2 * MIB + 7 * PAGE;
	axas_hpa_t hpa;

	assert_ok(axas_map_linear(f->as, gpa, LINEAR_HPA + gpa, size, RW));
	for (uint64_t k = 0; k < size; k += k < 16 * PAGE ? 0x7ff : MIB + 0x321) {
		at(f, gpa + k);
		assert_ok(axas_translate(f->as, gpa + k, &hpa, NULL));
		assert_int_equal(hpa, LINEAR_HPA + gpa + k);
	}
	expect_state(f, gpa - 1, AXAS_STATE_ABSENT);
	expect_state(f, gpa + size, AXAS_STATE_ABSENT);
	assert_int_equal(f->host.guest_taken, 0);
}

static void the_host_address_may_be_below_the_guest_address(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_linear(f->as, 300 * GIB, 0, 2 * PAGE, RW));
	expect_leaf(f, 300 * GIB, PAGE, 0, RW);
	expect_leaf(f, 300 * GIB + PAGE, PAGE, PAGE, RW);
}

static void pages_are_as_large_as_both_addresses_and_the_rest_allow(void **state)
{
	FIXTURE(f);
	/* 3 pages to 2 MiB, 1 large page to 1 GiB, 2 GiB, and the same downwards. */
	const axas_gpa_t gpa = 4 * GIB - 2 * MIB - 3 * PAGE;
	const uint64_t size = 2 * GIB + 2 * (2 * MIB + 3 * PAGE);

	assert_ok(axas_map_linear(f->as, gpa, LINEAR_HPA + gpa, size, RW));
	expect_leaves(f, 6, 2, 2);
	expect_leaf(f, gpa, PAGE, LINEAR_HPA + gpa, RW);
	expect_leaf(f, 4 * GIB - 1, 2 * MIB, LINEAR_HPA + 4 * GIB - 1, RW);
	expect_leaf(f, 4 * GIB, GIB, LINEAR_HPA + 4 * GIB, RW);
	expect_leaf(f, gpa + size - 1, PAGE, LINEAR_HPA + gpa + size - 1, RW);
}

static void a_gigabyte_apart_by_2_mib_takes_2_mib_pages(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA + 2 * MIB, GIB, RW));
	expect_leaves(f, 0, 512, 0);
}

static void addresses_apart_by_a_page_take_4_kib_pages(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_linear(f->as, 2 * MIB, LINEAR_HPA + PAGE, 2 * MIB, RW));
	expect_leaves(f, 512, 0, 0);
}

static void options_bound_the_size_of_pages(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_linear(f->as, 0, LINEAR_HPA, 2 * MIB, RW | AXAS_NO_HUGE));
	expect_leaves(f, 512, 0, 0);
	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, GIB, RW | AXAS_MAX_2M));
	expect_leaves(f, 512, 512, 0);
	assert_ok(axas_map_linear(f->as, 2 * GIB, LINEAR_HPA, GIB, RW | AXAS_NO_HUGE_EXEC));
	expect_leaves(f, 512, 512, 1);
	assert_ok(axas_map_linear(f->as, 4 * GIB, LINEAR_HPA, 2 * MIB, RX | AXAS_NO_HUGE_EXEC));
	expect_leaves(f, 1024, 512, 1);
}

static void x86_without_the_feature_has_no_1_gib_pages(void **state)
{
	FIXTURE(f);
	const int x86 = f->cfg.format == AXAS_FORMAT_EPT || f->cfg.format == AXAS_FORMAT_NPT;

	f->cfg.features = 0;
	fixture_create(f);
	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, GIB, RW));
	expect_leaves(f, 0, x86 ? 512 : 0, x86 ? 0 : 1);
}

static void a_mapping_of_262144_small_pages_takes_512_leaf_tables(void **state)
{
	FIXTURE(f);
	struct sweep s;

	f->host.quick = 1;
	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, GIB, RW | AXAS_NO_HUGE));
	f->host.quick = 0;
	s = space_sweep(f->as);
	assert_int_equal(s.leaves[1], 262144);
	assert_int_equal(s.tables[1], 512);
	for (uint32_t level = 2; level < axas_levels(f->as); level++)
		assert_int_equal(s.tables[level], 1);
	assert_int_equal(s.table_frames, 512 + axas_levels(f->as) - 2 + (1u << f->fc->root_order));
	assert_ok(axas_unmap(f->as, GIB, GIB));
	assert_int_equal(space_sweep(f->as).table_frames, 1u << f->fc->root_order);
}

static void checks_come_in_the_documented_order(void **state)
{
	const axas_flags_t unknown = RW | 1u << 30, nothing = 0;
	const uint64_t wide = 1ull << 60;
	const axas_gpa_t out = SPACE_SIZE;
	static const axas_status_t bad = AXAS_ERR_INVALID_INPUT;
	FIXTURE(f);

	assert_ok(axas_map_trap(f->as, 0, PAGE, 1));
	/* each has one fault more than the one below it; the first in the order decides */
	assert_status(bad, axas_map_linear(f->as, 0, LINEAR_HPA, PAGE, unknown));
	assert_status(bad, axas_map_alloc(f->as, 0, PAGE, nothing));
	assert_status(AXAS_ERR_UNSUPPORTED, axas_map_trap(f->as, 1, ~0ull, 1ull << 32));
	assert_status(bad, axas_map_linear(f->as, 0 - PAGE, LINEAR_HPA, 2 * PAGE, RW));
	assert_status(bad, axas_map_linear(f->as, 0, 0 - PAGE, 2 * PAGE, RW));
	assert_status(bad, axas_map_linear(f->as, 1, LINEAR_HPA, PAGE, RW));
	assert_status(bad, axas_map_linear(f->as, 0, LINEAR_HPA + 1, PAGE, RW));
	assert_status(bad, axas_map_linear(f->as, 0, LINEAR_HPA, PAGE + 1, RW));
	assert_status(bad, axas_map_linear(f->as, 0, LINEAR_HPA, 0, RW));
	assert_status(bad, axas_map_linear(f->as, out, LINEAR_HPA, PAGE, RW));
	assert_status(bad, axas_map_linear(f->as, out - PAGE, LINEAR_HPA, 2 * PAGE, RW));
	assert_status(bad, axas_map_linear(f->as, 0, wide, PAGE, RW));
	assert_status(AXAS_ERR_ALREADY_EXISTS, axas_map_linear(f->as, 0, LINEAR_HPA, PAGE, RW));
	/* the tenth call gets what the first got */
	for (int i = 0; i < 10; i++)
		assert_status(bad, axas_map_linear(f->as, 1, LINEAR_HPA, PAGE, RW));
}

static void each_unknown_or_foreign_flag_is_invalid(void **state)
{
	const axas_flags_t known = RWX | AXAS_USER | ALL_MEMORY_TYPES | AXAS_POPULATE |
				   AXAS_NO_HUGE | AXAS_MAX_2M | AXAS_HUGE_FRAMES |
				   AXAS_NO_HUGE_EXEC | AXAS_REPLACE | AXAS_NEED_LAZY |
				   AXAS_TAG_MASK;
	const axas_extent_t extent = { .hpa = LINEAR_HPA, .size = PAGE };
	static const axas_status_t bad = AXAS_ERR_INVALID_INPUT;
	uint64_t done;
	FIXTURE(f);

	for (uint32_t bit = 0; bit < 32; bit++) {
		const axas_flags_t flags = RW | 1u << bit;

		if (!(1u << bit & (AXAS_REPLACE | AXAS_TAG_MASK)))
			assert_status(bad, axas_map_trap_flags(f->as, 0, PAGE, 0, 1u << bit));
		if (!(known & 1u << bit)) {
			assert_status(bad, axas_map_linear(f->as, 0, LINEAR_HPA, PAGE, flags));
			assert_status(bad, axas_map_extents(f->as, 0, &extent, 1, flags));
			if (1u << bit != AXAS_SKIP_ZERO)
				assert_status(bad, axas_map_alloc(f->as, 0, PAGE, flags));
			assert_status(bad, axas_protect(f->as, 0, PAGE, flags));
		}
	}
	assert_status(bad, axas_map_linear(f->as, 0, LINEAR_HPA, PAGE, RW | AXAS_POPULATE));
	assert_status(bad, axas_map_linear(f->as, 0, LINEAR_HPA, PAGE, RW | AXAS_HUGE_FRAMES));
	assert_status(bad, axas_map_linear(f->as, 0, LINEAR_HPA, PAGE, RW | AXAS_NEED_LAZY));
	assert_status(bad, axas_map_extents(f->as, 0, &extent, 1, RW | AXAS_REPLACE));
	assert_status(bad, axas_map_extents(f->as, 0, &extent, 1, RW | AXAS_POPULATE));
	assert_status(bad, axas_map_alloc_some(f->as, 0, PAGE, RW | AXAS_REPLACE, 1, &done));
	assert_status(bad, axas_map_alloc(f->as, 0, PAGE, RW | AXAS_NEED_LAZY));
	assert_status(bad, axas_map_alloc(f->as, 0, PAGE, RW | AXAS_HUGE_FRAMES | AXAS_NO_HUGE));
	assert_status(bad, axas_map_linear(f->as, 0, LINEAR_HPA, PAGE,
					   RW | AXAS_DEVICE | AXAS_UNCACHED));
	assert_status(bad, axas_map_alloc(f->as, 0, PAGE, 0));
	assert_status(bad, axas_map_alloc(f->as, 0, PAGE, AXAS_USER | AXAS_NO_HUGE));
	assert_int_equal(space_sweep(f->as).table_frames, 1u << f->fc->root_order);
}

static void the_user_flag_has_no_effect(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_linear(f->as, 0, LINEAR_HPA, PAGE, RW | AXAS_USER));
	expect_leaf(f, 0, PAGE, LINEAR_HPA, RW);
}

static void the_last_host_page_of_the_width_can_be_mapped(void **state)
{
	FIXTURE(f);
	const axas_hpa_t end = 1ull << f->fc->pa_bits;

	assert_status(AXAS_ERR_INVALID_INPUT, axas_map_linear(f->as, 0, end, PAGE, RW));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_map_linear(f->as, 0, end - PAGE, 2 * PAGE, RW));
	assert_ok(axas_map_linear(f->as, 0, end - PAGE, PAGE, RW));
	expect_leaf(f, 0, PAGE, end - PAGE, RW);
	assert_ok(axas_map_linear(f->as, GIB, end - GIB, GIB, RW));
	expect_leaf(f, 2 * GIB - 1, GIB, end - 1, RW);
}

static void the_first_and_last_page_of_the_space_can_be_mapped(void **state)
{
	FIXTURE(f);
	const axas_gpa_t base = 5 * GIB + PAGE, end = 9 * GIB - PAGE;
	axas_mapping_t m;

	f->cfg.base = base;
	f->cfg.size = end - base;
	fixture_create(f);
	assert_status(AXAS_ERR_INVALID_INPUT,
		      axas_map_linear(f->as, base - PAGE, LINEAR_HPA, PAGE, RW));
	assert_status(AXAS_ERR_INVALID_INPUT,
		      axas_map_linear(f->as, base - PAGE, LINEAR_HPA, 2 * PAGE, RW));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_map_linear(f->as, end, LINEAR_HPA, PAGE, RW));
	assert_ok(axas_map_linear(f->as, base, LINEAR_HPA, PAGE, RW));
	assert_ok(axas_map_alloc(f->as, end - PAGE, PAGE, RW));
	assert_int_equal(axas_handle_page_fault(f->as, end - 1, AXAS_WRITE), AXAS_FAULT_RESOLVED);
	expect_leaf(f, base, PAGE, LINEAR_HPA, RW);
	expect_state(f, end - 1, AXAS_STATE_OWNED);
	assert_status(AXAS_ERR_NOT_MAPPED, axas_query(f->as, base - 1, &m));
	assert_status(AXAS_ERR_NOT_MAPPED, axas_query(f->as, end, &m));
	assert_ok(axas_unmap(f->as, base, end - base));
	space_sweep(f->as);
}

/* Width of the widest guest address of each format, on a CPU of 48 bits. */
static void the_last_page_of_the_widest_space_does_not_alias(void **state)
{
	static const uint32_t bits[] = { 0, 57, 57, 48, 59 };
	FIXTURE(f);
	const uint64_t size = 1ull << bits[f->cfg.format];
	axas_hpa_t hpa;

	f->cfg.size = size;
	f->cfg.pa_bits = 48;
	fixture_create(f);
	assert_ok(axas_map_linear(f->as, size - PAGE, LINEAR_HPA, PAGE, RW));
	assert_ok(axas_map_alloc(f->as, size / 2, PAGE, RW));
	expect_leaf(f, size - PAGE, PAGE, LINEAR_HPA, RW);
	expect_state(f, 0, AXAS_STATE_ABSENT);
	assert_status(AXAS_ERR_NOT_MAPPED, axas_translate(f->as, 2 * size - PAGE, &hpa, NULL));
	assert_status(AXAS_ERR_NOT_MAPPED, axas_translate(f->as, ~0ull, &hpa, NULL));
	assert_int_equal(axas_handle_page_fault(f->as, size + size / 2, AXAS_READ),
			 AXAS_FAULT_UNMAPPED);
	assert_int_equal(axas_handle_page_fault(f->as, 0, AXAS_READ), AXAS_FAULT_UNMAPPED);
	assert_status(AXAS_ERR_INVALID_INPUT, axas_map_linear(f->as, size, LINEAR_HPA, PAGE, RW));
	assert_int_equal(axas_handle_page_fault(f->as, size / 2, AXAS_READ), AXAS_FAULT_RESOLVED);
	space_sweep(f->as);
}

/* Sv39x4 has a root of 2048 entries: those above 511 are reached by bits 40:39 of the address. */
static void the_upper_root_entries_are_their_own(void **state)
{
	FIXTURE(f);

	f->cfg.size = 1ull << 41;
	fixture_create(f);
	for (uint64_t k = 0; k < 4; k++)
		assert_ok(axas_map_linear(f->as, k << 39, LINEAR_HPA + k * PAGE, PAGE, RW));
	for (uint64_t k = 0; k < 4; k++)
		expect_leaf(f, k << 39, PAGE, LINEAR_HPA + k * PAGE, RW);
	assert_int_equal(space_sweep(f->as).tables[1], 4);
}

static void a_map_raises_new_once_on_riscv_and_nothing_elsewhere(void **state)
{
	FIXTURE(f);
	const int riscv = f->cfg.format == AXAS_FORMAT_RISCV_GSTAGE;

	assert_ok(axas_map_linear(f->as, GIB - PAGE, LINEAR_HPA, 3 * PAGE, RW));
	assert_int_equal(f->host.flushes, riscv ? 1 : 0);
	if (!riscv)
		return;
	assert_int_equal(host_last_flush(&f->host)->reason, AXAS_FLUSH_NEW);
	assert_true(host_last_flush(&f->host)->gpa <= GIB - PAGE);
	assert_true(host_last_flush(&f->host)->gpa + host_last_flush(&f->host)->size >=
		    GIB + 2 * PAGE);
	fixture_destroy(f);
	host_forget_log(&f->host);
	f->cfg.features |= AXAS_FEATURE_RISCV_SVVPTC;
	fixture_create(f);
	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, PAGE, RW));
	assert_int_equal(f->host.flushes, 0);
}

static void extents_lie_side_by_side(void **state)
{
	static const axas_extent_t e[] = {
		{ LINEAR_HPA + 5 * PAGE, PAGE },
		{ LINEAR_HPA, 3 * PAGE },
		{ LINEAR_HPA + 2 * MIB, 2 * MIB },
	};
	FIXTURE(f);
	const axas_gpa_t gpa = GIB - 4 * PAGE;

	assert_ok(axas_map_extents(f->as, gpa, e, 3, RW));
	expect_leaf(f, gpa, PAGE, e[0].hpa, RW);
	expect_leaf(f, gpa + PAGE, PAGE, e[1].hpa, RW);
	expect_leaf(f, gpa + 3 * PAGE, PAGE, e[1].hpa + 2 * PAGE, RW);
	expect_leaf(f, GIB, 2 * MIB, e[2].hpa, RW);
	expect_leaves(f, 4, 1, 0);
	expect_state(f, GIB + 2 * MIB, AXAS_STATE_ABSENT);
}

static void extents_are_all_or_nothing(void **state)
{
	const axas_extent_t good[] = { { LINEAR_HPA, PAGE }, { LINEAR_HPA + 9 * PAGE, 2 * PAGE } };
	static const axas_status_t bad = AXAS_ERR_INVALID_INPUT;
	FIXTURE(f);
	axas_extent_t e[2];

	assert_status(bad, axas_map_extents(f->as, 0, good, 0, RW));
	for (int i = 0; i < 2; i++) {
		memcpy(e, good, sizeof(e));
		e[i].hpa += 1;
		assert_status(bad, axas_map_extents(f->as, 0, e, 2, RW));
		memcpy(e, good, sizeof(e));
		e[i].size -= 1;
		assert_status(bad, axas_map_extents(f->as, 0, e, 2, RW));
		e[i].size = 0;
		assert_status(bad, axas_map_extents(f->as, 0, e, 2, RW));
		e[i].size = PAGE;
		e[i].hpa = 1ull << f->fc->pa_bits;
		assert_status(bad, axas_map_extents(f->as, 0, e, 2, RW));
		e[i].hpa = 0 - PAGE;
		e[i].size = 2 * PAGE;
		assert_status(bad, axas_map_extents(f->as, 0, e, 2, RW));
	}
	e[0].hpa = 0;
	e[0].size = 0 - PAGE;
	e[1].hpa = 0;
	e[1].size = 2 * PAGE;
	assert_status(bad, axas_map_extents(f->as, 0, e, 2, RW));
	assert_status(bad, axas_map_extents(f->as, SPACE_SIZE - 2 * PAGE, good, 2, RW));
	assert_status(bad, axas_map_extents(f->as, 1, good, 2, RW));
	assert_ok(axas_map_trap(f->as, 2 * PAGE, PAGE, 1));
	assert_status(AXAS_ERR_ALREADY_EXISTS, axas_map_extents(f->as, 0, good, 2, RW));
	assert_ok(axas_unmap(f->as, 2 * PAGE, PAGE));
	assert_ok(axas_map_extents(f->as, 0, good, 2, RW));
	expect_leaf(f, 2 * PAGE, PAGE, LINEAR_HPA + 10 * PAGE, RW);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(every_byte_lands_at_its_distance),
		EACH_FORMAT(the_host_address_may_be_below_the_guest_address),
		EACH_FORMAT(pages_are_as_large_as_both_addresses_and_the_rest_allow),
		EACH_FORMAT(a_gigabyte_apart_by_2_mib_takes_2_mib_pages),
		EACH_FORMAT(addresses_apart_by_a_page_take_4_kib_pages),
		EACH_FORMAT(options_bound_the_size_of_pages),
		EACH_FORMAT_NO_SPACE(x86_without_the_feature_has_no_1_gib_pages),
		EACH_FORMAT(a_mapping_of_262144_small_pages_takes_512_leaf_tables),
		EACH_FORMAT(checks_come_in_the_documented_order),
		EACH_FORMAT(each_unknown_or_foreign_flag_is_invalid),
		EACH_FORMAT(the_user_flag_has_no_effect),
		EACH_FORMAT(the_last_host_page_of_the_width_can_be_mapped),
		EACH_FORMAT_NO_SPACE(the_first_and_last_page_of_the_space_can_be_mapped),
		EACH_FORMAT_NO_SPACE(the_last_page_of_the_widest_space_does_not_alias),
		ONE(the_upper_root_entries_are_their_own, setup_host, riscv),
		EACH_FORMAT(a_map_raises_new_once_on_riscv_and_nothing_elsewhere),
		EACH_FORMAT(extents_lie_side_by_side),
		EACH_FORMAT(extents_are_all_or_nothing),
	};

	return cmocka_run_group_tests_name("map_linear", tests, NULL, NULL);
}
