/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the Rust crate axaddrspace shows in its own tests, said again through this interface;
 * docs/parity.md has the whole table.
 */
#include "fixture.h"

/* The crate's address space of 64 KiB, with the same addresses for all formats. */
#define BASE   0x10000ull
#define BYTES  0x10000ull
#define MIDDLE 0x18000ull

static int setup_64_kib(void **state)
{
	struct fixture *f;

	setup_host(state);
	f = *state;
	f->cfg.base = BASE;
	f->cfg.size = BYTES;
	fixture_create(f);
	return 0;
}

#define EACH_FORMAT_64_KIB(test)                                                                  \
	ONE(test, setup_64_kib, ept), ONE(test, setup_64_kib, npt), ONE(test, setup_64_kib, arm), \
		ONE(test, setup_64_kib, riscv)

static void expect_translation(const struct fixture *f, axas_gpa_t gpa, axas_hpa_t expected)
{
	axas_hpa_t hpa = ~expected;

	assert_ok(axas_translate(f->as, gpa, &hpa, NULL));
	assert_int_equal(hpa, expected);
}

static void expect_no_translation(const struct fixture *f, axas_gpa_t gpa)
{
	axas_hpa_t hpa = 77;

	assert_status(AXAS_ERR_NOT_MAPPED, axas_translate(f->as, gpa, &hpa, NULL));
	assert_int_equal(hpa, 77);
}

static void a_space_takes_its_root_and_its_handle_and_gives_them_back(void **state)
{
	FIXTURE(f);

	fixture_create(f);
	assert_int_equal(f->host.tables_taken, (1u << f->fc->root_order) + 1);
	assert_int_equal(f->host.tables_out, f->host.tables_taken);
	assert_int_equal(f->host.guest_taken, 0);
	assert_int_equal(axas_base(f->as), 0);
	assert_int_equal(axas_size(f->as), SPACE_SIZE);
	axas_destroy(f->as);
	f->as = NULL;
	assert_int_equal(f->host.tables_out, 0);
}

static void without_a_frame_for_the_root_there_is_no_space(void **state)
{
	FIXTURE(f);
	axas_t *as = NULL;

	f->host.fail_purpose = AXAS_FRAME_TABLE;
	assert_status(AXAS_ERR_NO_MEMORY, axas_create(&f->cfg, &f->host.hal, &as));
	assert_null(as);
}

static void a_range_is_contained_or_it_is_not(void **state)
{
	FIXTURE(f);

	/* all, a part, a page */
	assert_int_equal(axas_contains_range(f->as, BASE, BYTES), 1);
	assert_int_equal(axas_contains_range(f->as, MIDDLE, 0x4000), 1);
	assert_int_equal(axas_contains_range(f->as, BASE + BYTES - PAGE, PAGE), 1);
	/* before, behind, across the end, larger */
	assert_int_equal(axas_contains_range(f->as, BASE - PAGE, PAGE), 0);
	assert_int_equal(axas_contains_range(f->as, BASE + BYTES, PAGE), 0);
	assert_int_equal(axas_contains_range(f->as, MIDDLE, BYTES), 0);
	assert_int_equal(axas_contains_range(f->as, BASE - PAGE, BYTES + 2 * PAGE), 0);
}

static void a_linear_area_translates_by_its_distance(void **state)
{
	FIXTURE(f);
	const uint64_t tables = f->host.tables_out;

	assert_ok(axas_map_linear(f->as, MIDDLE, BASE, 0x8000, RW));
	for (uint64_t k = 0; k < 0x8000; k += 0x123)
		expect_translation(f, MIDDLE + k, BASE + k);
	expect_translation(f, MIDDLE + 0x7fff, BASE + 0x7fff);
	expect_no_translation(f, MIDDLE - 1);
	assert_int_equal(f->host.guest_taken, 0);
	assert_true(f->host.tables_out > tables);
	assert_ok(axas_unmap(f->as, MIDDLE, 0x8000));
	assert_int_equal(f->host.tables_out, tables);
	assert_int_equal(f->host.guest_returned, 0);
}

static void the_host_address_may_be_above_the_guests_and_must_not_overflow(void **state)
{
	FIXTURE(f);
	const axas_hpa_t last = (1ull << f->fc->pa_bits) - PAGE;

	assert_ok(axas_map_linear(f->as, BASE, last, PAGE, RW));
	expect_translation(f, BASE + 5, last + 5);
	assert_status(AXAS_ERR_INVALID_INPUT, axas_map_linear(f->as, MIDDLE, last, 2 * PAGE, RW));
	assert_status(AXAS_ERR_INVALID_INPUT,
		      axas_map_linear(f->as, MIDDLE, 0 - PAGE, 2 * PAGE, RW));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_map_linear(f->as, 0 - PAGE, BASE, 2 * PAGE, RW));
	expect_no_translation(f, MIDDLE);
}

static void what_is_out_of_range_or_unaligned_or_empty_is_invalid(void **state)
{
	static const axas_status_t bad = AXAS_ERR_INVALID_INPUT;
	FIXTURE(f);

	assert_status(bad, axas_map_linear(f->as, BASE - PAGE, BASE, PAGE, RW));
	assert_status(bad, axas_map_linear(f->as, BASE + BYTES, BASE, PAGE, RW));
	assert_status(bad, axas_map_alloc(f->as, MIDDLE, BYTES, RW));
	assert_status(bad, axas_map_linear(f->as, MIDDLE + 1, BASE, PAGE, RW));
	assert_status(bad, axas_map_linear(f->as, MIDDLE, BASE + 1, PAGE, RW));
	assert_status(bad, axas_map_linear(f->as, MIDDLE, BASE, PAGE + 1, RW));
	assert_status(bad, axas_map_linear(f->as, MIDDLE, BASE, 0, RW));
	assert_status(bad, axas_map_alloc(f->as, MIDDLE, 0, RW));
	assert_ok(axas_unmap(f->as, MIDDLE, 0));
	assert_status(bad, axas_unmap(f->as, MIDDLE + 1, PAGE));
	assert_status(bad, axas_unmap(f->as, BASE - PAGE, PAGE));
}

static void two_populated_pages_have_frames_of_their_own(void **state)
{
	FIXTURE(f);
	axas_hpa_t first, second;

	assert_ok(axas_map_alloc(f->as, MIDDLE, 2 * PAGE, RW | AXAS_POPULATE));
	assert_int_equal(f->host.guest_out, 2);
	assert_ok(axas_translate(f->as, MIDDLE, &first, NULL));
	assert_ok(axas_translate(f->as, MIDDLE + PAGE, &second, NULL));
	assert_true(first / PAGE != second / PAGE);
	assert_int_equal(axas_handle_page_fault(f->as, MIDDLE, AXAS_WRITE), AXAS_FAULT_SPURIOUS);
	assert_int_equal(f->host.guest_taken, 2);
	expect_translation(f, MIDDLE, first);
	expect_no_translation(f, MIDDLE + 2 * PAGE);
}

static void a_lazy_page_comes_with_the_fault_and_not_before(void **state)
{
	FIXTURE(f);
	axas_hpa_t hpa;

	assert_ok(axas_map_alloc(f->as, MIDDLE, 4 * PAGE, RW));
	assert_int_equal(f->host.guest_taken, 0);
	for (uint64_t page = 0; page < 4; page++)
		expect_no_translation(f, MIDDLE + page * PAGE);
	assert_int_equal(axas_handle_page_fault(f->as, MIDDLE + PAGE + 0x123, AXAS_READ),
			 AXAS_FAULT_RESOLVED);
	assert_int_equal(f->host.guest_taken, 1);
	assert_ok(axas_translate(f->as, MIDDLE + PAGE, &hpa, NULL));
	expect_no_translation(f, MIDDLE);
	expect_no_translation(f, MIDDLE + 2 * PAGE);
	/* there it brought another frame, and the first was lost */
	assert_int_equal(axas_handle_page_fault(f->as, MIDDLE + PAGE, AXAS_READ),
			 AXAS_FAULT_SPURIOUS);
	assert_int_equal(f->host.guest_taken, 1);
	expect_translation(f, MIDDLE + PAGE, hpa);
}

static void faults_are_handled_for_reserved_memory_and_nothing_else(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_alloc(f->as, BASE, PAGE, AXAS_READ));
	assert_ok(axas_map_linear(f->as, BASE + PAGE, BASE, PAGE, AXAS_READ));
	assert_ok(axas_map_alloc(f->as, BASE + 2 * PAGE, PAGE, RW));
	assert_int_equal(axas_handle_page_fault(f->as, BASE - 1, AXAS_READ), AXAS_FAULT_UNMAPPED);
	assert_int_equal(axas_handle_page_fault(f->as, BASE + BYTES, AXAS_READ),
			 AXAS_FAULT_UNMAPPED);
	assert_int_equal(axas_handle_page_fault(f->as, MIDDLE, AXAS_READ), AXAS_FAULT_UNMAPPED);
	assert_int_equal(axas_handle_page_fault(f->as, BASE, AXAS_WRITE), AXAS_FAULT_DENIED);
	assert_int_equal(axas_handle_page_fault(f->as, BASE + PAGE, AXAS_WRITE), AXAS_FAULT_DENIED);
	/* the entry allows it: a stale TLB entry, for instance */
	assert_int_equal(axas_handle_page_fault(f->as, BASE + PAGE, AXAS_READ),
			 AXAS_FAULT_SPURIOUS);
	f->host.fail_purpose = AXAS_FRAME_GUEST;
	assert_int_equal(axas_handle_page_fault(f->as, BASE + 2 * PAGE, AXAS_WRITE),
			 AXAS_FAULT_NO_MEMORY);
	f->host.fail_purpose = 0;
	assert_int_equal(f->host.guest_taken, 0);
	assert_int_equal(axas_handle_page_fault(f->as, BASE + 2 * PAGE + 0xfff, AXAS_WRITE),
			 AXAS_FAULT_RESOLVED);
	assert_int_equal(f->host.guest_taken, 1);
}

static void what_is_unmapped_or_cleared_is_gone(void **state)
{
	FIXTURE(f);
	const uint64_t tables = f->host.tables_out;

	assert_ok(axas_map_alloc(f->as, BASE, 4 * PAGE, RW | AXAS_POPULATE));
	assert_ok(axas_map_linear(f->as, MIDDLE, BASE, 2 * PAGE, RW));
	/* a cut in the middle, with pages that stay on both sides; over a hole; twice */
	assert_ok(axas_unmap(f->as, BASE + PAGE, 2 * PAGE));
	assert_int_equal(f->host.guest_out, 2);
	expect_no_translation(f, BASE + PAGE);
	expect_state(f, BASE, AXAS_STATE_OWNED);
	expect_state(f, BASE + 3 * PAGE, AXAS_STATE_OWNED);
	assert_ok(axas_unmap(f->as, BASE + PAGE, 3 * PAGE));
	assert_ok(axas_unmap(f->as, BASE + PAGE, 3 * PAGE));
	assert_int_equal(f->host.guest_out, 1);
	for (uint32_t i = 0; i < 2; i++) {
		assert_ok(axas_clear(f->as));
		expect_no_translation(f, BASE);
		expect_no_translation(f, MIDDLE);
		assert_int_equal(f->host.guest_out, 0);
		assert_int_equal(f->host.tables_out, tables);
	}
	assert_ok(axas_map_linear(f->as, MIDDLE, BASE, PAGE, RW));
	expect_translation(f, MIDDLE, BASE);
}

static void translate_says_nothing_of_what_is_not_there_or_outside(void **state)
{
	FIXTURE(f);

	expect_no_translation(f, MIDDLE);
	expect_no_translation(f, BASE - 1);
	expect_no_translation(f, BASE + BYTES);
	expect_no_translation(f, ~0ull);
}

struct pieces {
	size_t bytes[4];
	uint32_t count;
};

static uint32_t keep_piece(void *ctx, axas_gpa_t gpa, void *host, size_t bytes)
{
	struct pieces *p = ctx;

	(void)gpa;
	memset(host, 0x5a, bytes);
	if (p->count < 4)
		p->bytes[p->count] = bytes;
	p->count++;
	return 1;
}

static void a_buffer_over_two_pages_comes_in_two_pieces(void **state)
{
	FIXTURE(f);
	struct pieces p = { .count = 0 };

	assert_ok(axas_map_alloc(f->as, MIDDLE, 2 * PAGE, RW | AXAS_POPULATE));
	assert_ok(axas_for_each_chunk(f->as, MIDDLE + PAGE - 0x100, 0x300, RW, keep_piece, &p));
	assert_int_equal(p.count, 2);
	assert_int_equal(p.bytes[0], 0x100);
	assert_int_equal(p.bytes[1], 0x200);
	assert_int_equal(*guest_memory(f, MIDDLE + PAGE - 1), 0x5a);
	assert_int_equal(*guest_memory(f, MIDDLE + PAGE), 0x5a);
	p.count = 0;
	assert_ok(axas_for_each_chunk(f->as, MIDDLE, 0, RW, keep_piece, &p));
	assert_status(AXAS_ERR_NOT_MAPPED,
		      axas_for_each_chunk(f->as, BASE, 16, RW, keep_piece, &p));
	assert_status(AXAS_ERR_INVALID_INPUT,
		      axas_for_each_chunk(f->as, BASE + BYTES, 16, RW, keep_piece, &p));
	assert_int_equal(p.count, 0);
	/* longer than the area: what there is, and a status */
	assert_status(AXAS_ERR_NOT_MAPPED,
		      axas_for_each_chunk(f->as, MIDDLE + PAGE, 2 * PAGE, RW, keep_piece, &p));
	assert_int_equal(p.count, 1);
	assert_int_equal(p.bytes[0], PAGE);
}

static void the_limit_of_a_translation_is_what_the_host_has_side_by_side(void **state)
{
	FIXTURE(f);
	axas_hpa_t hpa;
	uint64_t run;

	assert_ok(axas_map_linear(f->as, MIDDLE, BASE, 4 * PAGE, RW));
	assert_ok(axas_translate(f->as, MIDDLE + 0x10, &hpa, &run));
	assert_int_equal(hpa, BASE + 0x10);
	assert_in_range(run, PAGE - 0x10, 4 * PAGE - 0x10);
	/* there it was the area's size, though the frames lie apart */
	assert_ok(axas_map_alloc(f->as, BASE, 4 * PAGE, RW | AXAS_POPULATE));
	assert_ok(axas_translate(f->as, BASE + 0x10, &hpa, &run));
	assert_int_equal(run, PAGE - 0x10);
}

static void sixteen_bytes_go_across_a_page_and_no_further_than_the_area(void **state)
{
	static const uint8_t text[] = "sixteen bytes ..";
	FIXTURE(f);
	uint8_t back[16] = { 0 };
	size_t done = 99;

	assert_ok(axas_map_alloc(f->as, MIDDLE, 2 * PAGE, RW | AXAS_POPULATE));
	assert_ok(axas_write(f->as, MIDDLE + PAGE - 8, text, 16, 0, &done));
	assert_int_equal(done, 16);
	assert_ok(axas_read(f->as, MIDDLE + PAGE - 8, back, 16, 0, &done));
	assert_memory_equal(back, text, 16);
	assert_memory_equal(guest_memory(f, MIDDLE + PAGE - 8), text, 8);
	assert_memory_equal(guest_memory(f, MIDDLE + PAGE), text + 8, 8);
	assert_status(AXAS_ERR_NOT_MAPPED,
		      axas_write(f->as, MIDDLE + 2 * PAGE - 8, text, 16, 0, &done));
	assert_int_equal(done, 8);
	assert_ok(axas_write(f->as, MIDDLE, NULL, 0, 0, &done));
	assert_int_equal(done, 0);
}

static void two_guests_share_what_both_map_and_nothing_else(void **state)
{
	FIXTURE(f);
	const axas_hpa_t shared = HOST_PA_BASE + HOST_LINEAR;
	axas_t *other;
	uint32_t value = 0;

	host_exit(&f->host);
	host_init(&f->host, HOST_CALLBACK, HOST_PA_BASE);
	f->cfg.base = BASE;
	f->cfg.size = BYTES;
	fixture_create(f);
	f->cfg.vmid++;
	assert_ok(axas_create(&f->cfg, &f->host.hal, &other));
	assert_ok(axas_map_alloc(f->as, BASE, PAGE, RW));
	assert_ok(axas_map_alloc(other, BASE, PAGE, RW));
	assert_ok(axas_write_u32(f->as, BASE, 0, 1));
	assert_ok(axas_read_u32(other, BASE, 0, &value));
	assert_int_equal(value, 0);
	/* at run time, at different guest addresses, the second one may only read */
	assert_ok(axas_map_linear(f->as, MIDDLE, shared, PAGE, RW));
	assert_ok(axas_map_linear(other, MIDDLE + PAGE, shared, PAGE, AXAS_READ));
	assert_ok(axas_write_u32(f->as, MIDDLE + 4, 0, 0x12345678));
	assert_ok(axas_read_u32(other, MIDDLE + PAGE + 4, 0, &value));
	assert_int_equal(value, 0x12345678);
	assert_status(AXAS_ERR_DENIED, axas_write_u32(other, MIDDLE + PAGE + 4, 0, 0));
	assert_ok(axas_unmap(other, MIDDLE + PAGE, PAGE));
	assert_status(AXAS_ERR_NOT_MAPPED, axas_read_u32(other, MIDDLE + PAGE, 0, &value));
	assert_ok(axas_read_u32(f->as, MIDDLE + 4, 0, &value));
	axas_destroy(other);
}

static void a_passthrough_window_can_have_holes_that_trap(void **state)
{
	FIXTURE(f);
	const axas_flags_t device = RW | AXAS_DEVICE;
	uint64_t cookie;

	assert_ok(axas_map_linear(f->as, BASE, 0xfe000000, 4 * PAGE, device));
	assert_ok(axas_unmap(f->as, BASE + PAGE, PAGE));
	assert_ok(axas_map_trap(f->as, BASE + PAGE, PAGE, 42));
	expect_translation(f, BASE + PAGE - 1, 0xfe000fff);
	expect_translation(f, BASE + 2 * PAGE, 0xfe002000);
	assert_int_equal(axas_handle_page_fault(f->as, BASE + PAGE, AXAS_WRITE), AXAS_FAULT_TRAP);
	assert_ok(axas_trap_cookie(f->as, BASE + PAGE, &cookie));
	assert_int_equal(cookie, 42);
}

static uint64_t below(uint64_t *rng, uint64_t bound)
{
	*rng ^= *rng << 13;
	*rng ^= *rng >> 7;
	*rng ^= *rng << 17;
	return (*rng >> 11) % bound;
}

static void two_thousand_maps_and_unmaps_leave_no_frame(void **state)
{
	FIXTURE(f);
	const uint64_t tables = f->host.tables_out;
	uint64_t rng = 0x2545f4914f6cdd1d;
	uint32_t mapped = 0;

	for (uint32_t i = 0; i < 2048; i++) {
		const axas_gpa_t gpa = below(&rng, 64) * 512 * MIB + below(&rng, 600) * PAGE;
		const uint64_t size = (1 + below(&rng, 700)) * PAGE;

		if (below(&rng, 2) == 0)
			assert_ok(axas_unmap(f->as, gpa, size));
		else if (below(&rng, 4) != 0)
			mapped +=
				axas_map_linear(f->as, gpa, LINEAR_HPA + gpa, size, RW) == AXAS_OK;
		else
			mapped +=
				axas_map_alloc(f->as, gpa, 3 * PAGE, RW | AXAS_POPULATE) == AXAS_OK;
	}
	assert_true(mapped > 500);
	assert_ok(axas_unmap(f->as, 0, SPACE_SIZE));
	assert_int_equal(f->host.tables_out, tables);
	assert_int_equal(f->host.guest_out, 0);
}

/* Sv39x4 ends at 2^41, Sv48x4 at 2^50; nothing above comes out as something below. */
static void nothing_above_the_width_of_the_root_comes_out_below_it(void **state)
{
	FIXTURE(f);
	static const uint32_t bits[] = { 41, 50 };

	for (uint32_t i = 0; i < 2; i++) {
		const uint64_t end = 1ull << bits[i];

		f->cfg.levels = 3 + i;
		f->cfg.size = end + PAGE;
		assert_status(AXAS_ERR_UNSUPPORTED, axas_create(&f->cfg, &f->host.hal, &f->as));
		f->cfg.size = end;
		fixture_create(f);
		assert_status(AXAS_ERR_INVALID_INPUT,
			      axas_map_linear(f->as, end, LINEAR_HPA, PAGE, RW));
		/* one page for each 2 bits that the root is wider */
		for (uint64_t k = 0; k < 4; k++)
			assert_ok(axas_map_linear(f->as, k * (end / 4), LINEAR_HPA + k * PAGE, PAGE,
						  RW));
		for (uint64_t k = 0; k < 4; k++)
			expect_translation(f, k * (end / 4), LINEAR_HPA + k * PAGE);
		expect_no_translation(f, end);
		assert_int_equal(axas_handle_page_fault(f->as, end, AXAS_READ),
				 AXAS_FAULT_UNMAPPED);
		fixture_destroy(f);
	}
}

static void flush_nothing(void *ctx, const axas_tlb_request_t *request)
{
	(void)ctx;
	(void)request;
}

/* The crate's test host: 64 KiB at physical 0x1000. */
static void a_pool_of_64_kib_at_0x1000_is_enough_for_a_small_space(void **state)
{
	static _Alignas(16384) uint8_t memory[16384 + 0x10000];
	FIXTURE(f);
	axas_arena_t arena;
	axas_hal_t hal = { .struct_size = sizeof(hal), .tlb_flush = flush_nothing };
	axas_t *as;
	uint32_t pages = 0;

	f->cfg.base = BASE;
	f->cfg.size = BYTES;
	assert_ok(axas_arena_init(&arena));
	assert_ok(axas_arena_add(&arena, memory + 0x1000, 0x1000, 0x10000));
	assert_ok(axas_arena_hal(&arena, &hal));
	for (uint32_t round = 0; round < 3; round++) {
		assert_ok(axas_create(&f->cfg, &hal, &as));
		assert_ok(axas_map_alloc(as, BASE, BYTES, RW));
		for (pages = 0; pages < 16; pages++)
			if (axas_handle_page_fault(as, BASE + pages * PAGE, AXAS_WRITE) !=
			    AXAS_FAULT_RESOLVED)
				break;
		/* 16 pages: handle, root, tables; what is left is the guest's, and then no more */
		assert_in_range(pages, 6, 12);
		assert_int_equal(axas_handle_page_fault(as, BASE + pages * PAGE, AXAS_WRITE),
				 AXAS_FAULT_NO_MEMORY);
		axas_destroy(as);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT_NO_SPACE(a_space_takes_its_root_and_its_handle_and_gives_them_back),
		EACH_FORMAT_NO_SPACE(without_a_frame_for_the_root_there_is_no_space),
		EACH_FORMAT_64_KIB(a_range_is_contained_or_it_is_not),
		EACH_FORMAT_64_KIB(a_linear_area_translates_by_its_distance),
		EACH_FORMAT_64_KIB(the_host_address_may_be_above_the_guests_and_must_not_overflow),
		EACH_FORMAT_64_KIB(what_is_out_of_range_or_unaligned_or_empty_is_invalid),
		EACH_FORMAT_64_KIB(two_populated_pages_have_frames_of_their_own),
		EACH_FORMAT_64_KIB(a_lazy_page_comes_with_the_fault_and_not_before),
		EACH_FORMAT_64_KIB(faults_are_handled_for_reserved_memory_and_nothing_else),
		EACH_FORMAT_64_KIB(what_is_unmapped_or_cleared_is_gone),
		EACH_FORMAT_64_KIB(translate_says_nothing_of_what_is_not_there_or_outside),
		EACH_FORMAT_64_KIB(a_buffer_over_two_pages_comes_in_two_pieces),
		EACH_FORMAT_64_KIB(the_limit_of_a_translation_is_what_the_host_has_side_by_side),
		EACH_FORMAT_64_KIB(sixteen_bytes_go_across_a_page_and_no_further_than_the_area),
		EACH_FORMAT_NO_SPACE(two_guests_share_what_both_map_and_nothing_else),
		EACH_FORMAT_64_KIB(a_passthrough_window_can_have_holes_that_trap),
		EACH_FORMAT(two_thousand_maps_and_unmaps_leave_no_frame),
		ONE(nothing_above_the_width_of_the_root_comes_out_below_it, setup_host, riscv),
		EACH_FORMAT_NO_SPACE(a_pool_of_64_kib_at_0x1000_is_enough_for_a_small_space),
	};

	return cmocka_run_group_tests_name("parity", tests, NULL, NULL);
}
