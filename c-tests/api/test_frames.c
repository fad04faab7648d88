/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Frames of the host's own, from the same callbacks and through the same checks as the library's. */
#include "fixture.h"

#define LARGEST_ORDER 18u

static int setup_pool(void **state, enum host_map_kind kind)
{
	struct host *h = calloc(1, sizeof(*h));

	assert_non_null(h);
	host_init(h, kind, HOST_PA_BASE);
	*state = h;
	return 0;
}

static int setup_direct(void **state)
{
	return setup_pool(state, HOST_DIRECT_MAP);
}

static int setup_callback(void **state)
{
	return setup_pool(state, HOST_CALLBACK);
}

static int setup_windows(void **state)
{
	return setup_pool(state, HOST_WINDOWS);
}

static int teardown_pool(void **state)
{
	struct host *h = *state;

	host_check_balance(h);
	host_exit(h);
	free(h);
	return 0;
}

static void expect_none(const axas_frame_t *frame)
{
	assert_int_equal(frame->bytes, 0);
	assert_int_equal(frame->hpa, AXAS_HPA_INVALID);
}

static void expect_bytes(const struct host *h, const axas_frame_t *frame, uint8_t byte)
{
	const uint8_t *at = host_at(h, frame->hpa);

	for (uint64_t i = 0; i < frame->bytes; i++)
		if (at[i] != byte)
			fail_msg("byte %llu is %#x", (unsigned long long)i, at[i]);
}

/* --- what goes well -------------------------------------------------------------------------- */

static void every_order_is_aligned_and_comes_back_as_taken(void **state)
{
	struct host *h = *state;

	for (uint32_t order = 0; order <= LARGEST_ORDER; order++) {
		axas_frame_t frame = { 0 };

		assert_ok(axas_frame_alloc(&h->hal, order, 0, &frame));
		assert_int_equal(frame.bytes, PAGE << order);
		assert_int_equal(frame.order, order);
		assert_int_equal(frame.reserved, 0);
		assert_int_equal(frame.hpa % frame.bytes, 0);
		assert_int_equal(host_frame_at(h, frame.hpa)->purpose, AXAS_FRAME_HOST);
		assert_int_equal(h->own_out, 1ull << order);
		assert_ok(axas_frame_release(&h->hal, &frame));
		expect_none(&frame);
		assert_int_equal(h->own_out, 0);
	}
	assert_int_equal(h->windows_opened, 0);
}

static void a_frame_is_zero_if_asked_for_and_as_it_was_if_not(void **state)
{
	struct host *h = *state;

	for (uint32_t order = 0; order <= 9; order++) {
		axas_frame_t zeroed, dirty;
		const uint8_t *at;
		uint64_t sum = 0;

		assert_ok(axas_frame_alloc(&h->hal, order, 1, &zeroed));
		expect_bytes(h, &zeroed, 0);
		assert_ok(axas_frame_alloc(&h->hal, order, 0, &dirty));
		at = host_at(h, dirty.hpa);
		for (uint64_t i = 0; i < dirty.bytes; i++)
			sum += at[i];
		assert_int_not_equal(sum, 0);
		assert_ok(axas_frame_release(&h->hal, &dirty));
		assert_ok(axas_frame_release(&h->hal, &zeroed));
	}
	assert_int_equal(h->windows_most, h->hal.release_virt != NULL ? 1 : 0);
}

static void fill_writes_the_whole_frame_and_nothing_else(void **state)
{
	struct host *h = *state;

	for (uint32_t order = 0; order <= 4; order++) {
		axas_frame_t frame[3];

		for (int i = 0; i < 3; i++)
			assert_ok(axas_frame_alloc(&h->hal, order, 1, &frame[i]));
		assert_ok(axas_frame_fill(&h->hal, &frame[1], 0xa5));
		expect_bytes(h, &frame[0], 0);
		expect_bytes(h, &frame[1], 0xa5);
		expect_bytes(h, &frame[2], 0);
		assert_ok(axas_frame_fill(&h->hal, &frame[1], 0));
		expect_bytes(h, &frame[1], 0);
		for (int i = 0; i < 3; i++)
			assert_ok(axas_frame_release(&h->hal, &frame[i]));
	}
}

static void a_space_does_not_count_them(void **state)
{
	FIXTURE(f);
	const axas_stats_t before = stats(f);
	axas_stats_t after;
	axas_frame_t frame;

	assert_ok(axas_frame_alloc(&f->host.hal, 2, 1, &frame));
	after = stats(f);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_ok(axas_unmap(f->as, 0, GIB));
	assert_ok(axas_frame_release(&f->host.hal, &frame));
}

static void an_arena_serves_them_with_nothing_else_in_the_hal(void **state)
{
	static _Alignas(PAGE) uint8_t memory[8 * PAGE];
	axas_hal_t hal = { .struct_size = sizeof(hal) };
	axas_frame_t frame, other;
	axas_arena_t arena;

	(void)state;
	memset(memory, 0xee, sizeof(memory));
	assert_ok(axas_arena_init(&arena));
	assert_ok(axas_arena_add(&arena, memory, HOST_PA_LOW_BASE, sizeof(memory)));
	assert_ok(axas_arena_hal(&arena, &hal));
	assert_ok(axas_frame_alloc(&hal, 2, 1, &frame));
	for (size_t i = 0; i < 4 * PAGE; i++)
		assert_int_equal(memory[frame.hpa - HOST_PA_LOW_BASE + i], 0);
	assert_status(AXAS_ERR_NO_MEMORY, axas_frame_alloc(&hal, 3, 0, &other));
	expect_none(&other);
	assert_ok(axas_frame_release(&hal, &frame));
	assert_ok(axas_frame_alloc(&hal, 3, 0, &other));
	assert_ok(axas_frame_release(&hal, &other));
}

/* --- a host that hands out one page for all: what is asked for, in which order ----------------- */

static struct {
	axas_hpa_t given; /* what alloc_frame returns */
	axas_hpa_t returned;
	uint32_t returned_order, returns;
	axas_hpa_t next; /* the page that is to be opened next */
	uint64_t opened, open, unreachable_from;
	uint32_t odd; /* calls that should not have been made so */
	_Alignas(PAGE) uint8_t page[PAGE];
} one_page;

static axas_hpa_t give_it(void *ctx, uint32_t order, uint32_t purpose)
{
	one_page.odd += ctx != &one_page || order > LARGEST_ORDER || purpose != AXAS_FRAME_HOST;
	return one_page.given;
}

static void take_it_back(void *ctx, axas_hpa_t frame, uint32_t order, uint32_t purpose)
{
	one_page.odd += ctx != &one_page || purpose != AXAS_FRAME_HOST || one_page.open != 0;
	one_page.returned = frame;
	one_page.returned_order = order;
	one_page.returns++;
}

static void *open_it(void *ctx, axas_hpa_t pa, size_t size)
{
	one_page.odd +=
		ctx != &one_page || pa != one_page.next || size != PAGE || one_page.open != 0;
	if (one_page.opened == one_page.unreachable_from)
		return NULL;
	one_page.next += PAGE;
	one_page.opened++;
	one_page.open++;
	return one_page.page;
}

static void close_it(void *ctx, void *va, size_t size)
{
	one_page.odd += ctx != &one_page || va != one_page.page || size != PAGE;
	one_page.open--;
}

static const axas_hal_t one_page_hal = {
	.struct_size = sizeof(one_page_hal),
	.ctx = &one_page,
	.alloc_frame = give_it,
	.dealloc_frame = take_it_back,
	.phys_to_virt = open_it,
	.release_virt = close_it,
};

static void start_one_page(axas_hpa_t given)
{
	memset(&one_page, 0, sizeof(one_page));
	one_page.given = given;
	one_page.next = given;
	one_page.returned = AXAS_HPA_INVALID;
	one_page.unreachable_from = UINT64_MAX;
}

/* The frame went back, once, as it was given. */
static void expect_back(axas_hpa_t given, uint32_t order)
{
	assert_int_equal(one_page.odd, 0);
	assert_int_equal(one_page.open, 0);
	assert_int_equal(one_page.returns, 1);
	assert_int_equal(one_page.returned, given);
	assert_int_equal(one_page.returned_order, order);
}

static void each_page_is_opened_once_and_closed_up_to_a_gigabyte(void **state)
{
	(void)state;
	for (uint32_t order = 0; order <= LARGEST_ORDER; order++) {
		axas_frame_t frame;

		start_one_page(GIB);
		assert_ok(axas_frame_alloc(&one_page_hal, order, 1, &frame));
		assert_int_equal(one_page.opened, 1ull << order);
		assert_ok(axas_frame_release(&one_page_hal, &frame));
		expect_back(GIB, order);
	}
}

static void a_page_out_of_reach_costs_the_frame_and_no_more(void **state)
{
	axas_frame_t frame;

	(void)state;
	for (uint64_t page = 0; page < 8; page++) {
		start_one_page(GIB);
		one_page.unreachable_from = page;
		assert_status(AXAS_ERR_BAD_STATE, axas_frame_alloc(&one_page_hal, 3, 1, &frame));
		expect_none(&frame);
		expect_back(GIB, 3);
	}
}

static void an_address_that_cannot_be_a_frame_goes_back(void **state)
{
	static const struct {
		axas_hpa_t hpa;
		uint32_t order;
	} t[] = {
		{ GIB + 1, 0 },
		{ GIB + 0x800, 0 },
		{ GIB + PAGE - 1, 0 },
		{ GIB + PAGE, 1 }, /* a page, but not one that two may start with */
		{ GIB + 2 * PAGE, 2 },
		{ GIB + 2 * MIB, LARGEST_ORDER },
		{ 1ull << 56, 0 }, /* wider than any format's */
		{ 1ull << 63, 0 },
		{ -PAGE, 0 }, /* its end is beyond 64 bits */
		{ -(2 * PAGE), 1 },
		{ -GIB, LARGEST_ORDER },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		axas_frame_t frame;

		start_one_page(t[i].hpa);
		assert_status(AXAS_ERR_BAD_STATE,
			      axas_frame_alloc(&one_page_hal, t[i].order, 1, &frame));
		expect_none(&frame);
		assert_int_equal(one_page.opened, 0);
		expect_back(t[i].hpa, t[i].order);
	}
	/* the last frame that is narrow enough */
	for (uint32_t order = 0; order <= LARGEST_ORDER; order++) {
		axas_frame_t frame;

		start_one_page((1ull << 56) - (PAGE << order));
		assert_ok(axas_frame_alloc(&one_page_hal, order, 0, &frame));
		assert_ok(axas_frame_release(&one_page_hal, &frame));
		expect_back((1ull << 56) - (PAGE << order), order);
	}
}

/* --- what goes wrong ------------------------------------------------------------------------- */

static void without_memory_there_is_no_frame(void **state)
{
	struct host *h = *state;

	for (uint32_t zero = 0; zero <= 1; zero++) {
		axas_frame_t frame;

		memset(&frame, 0xa5, sizeof(frame));
		h->fail_at = 1;
		assert_status(AXAS_ERR_NO_MEMORY, axas_frame_alloc(&h->hal, 0, zero, &frame));
		expect_none(&frame);
		assert_status(AXAS_ERR_INVALID_INPUT, axas_frame_release(&h->hal, &frame));
		assert_ok(axas_frame_alloc(&h->hal, 0, zero, &frame));
		assert_ok(axas_frame_release(&h->hal, &frame));
	}
}

static void a_host_that_cannot_reach_its_frame_is_a_bad_state(void **state)
{
	struct host *h = *state;
	axas_frame_t frame;

	h->blind = 1;
	assert_status(AXAS_ERR_BAD_STATE, axas_frame_alloc(&h->hal, 0, 1, &frame));
	expect_none(&frame);
	host_check_balance(h);
	/* what is not to be zeroed need not be reached */
	assert_ok(axas_frame_alloc(&h->hal, 0, 0, &frame));
	assert_status(AXAS_ERR_BAD_STATE, axas_frame_fill(&h->hal, &frame, 1));
	h->blind = 0;
	h->askew = 1;
	assert_status(AXAS_ERR_BAD_STATE, axas_frame_fill(&h->hal, &frame, 1));
	h->askew = 0;
	assert_ok(axas_frame_fill(&h->hal, &frame, 1));
	expect_bytes(h, &frame, 1);
	assert_ok(axas_frame_release(&h->hal, &frame));
}

static void what_holds_no_frame_is_refused_twice_and_always(void **state)
{
	struct host *h = *state;
	axas_frame_t frame, none[8];
	const uint64_t allocations = h->allocations;

	assert_ok(axas_frame_alloc(&h->hal, 1, 0, &frame));
	for (size_t i = 0; i < 8; i++)
		none[i] = frame;
	memset(&none[0], 0, sizeof(none[0]));
	memset(&none[1], 0xa5, sizeof(none[1]));
	none[2].bytes = 0;
	none[3].bytes = PAGE;
	none[4].order = 0;
	none[5].order = LARGEST_ORDER + 1;
	none[6].hpa += PAGE;
	none[7].reserved = 1;
	for (size_t i = 0; i < 8; i++) {
		assert_status(AXAS_ERR_INVALID_INPUT, axas_frame_fill(&h->hal, &none[i], 0));
		assert_status(AXAS_ERR_INVALID_INPUT, axas_frame_release(&h->hal, &none[i]));
	}
	assert_int_equal(h->own_out, 2);
	assert_ok(axas_frame_release(&h->hal, &frame));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_frame_release(&h->hal, &frame));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_frame_fill(&h->hal, &frame, 0));
	assert_int_equal(h->allocations, allocations + 1);
}

static void null_and_unknown_values_are_invalid(void **state)
{
	struct host *h = *state;
	axas_frame_t frame, other;
	const uint64_t allocations = h->allocations;

	assert_status(AXAS_ERR_INVALID_INPUT, axas_frame_alloc(NULL, 0, 0, &frame));
	expect_none(&frame);
	assert_status(AXAS_ERR_INVALID_INPUT, axas_frame_alloc(&h->hal, 0, 0, NULL));
	assert_status(AXAS_ERR_INVALID_INPUT,
		      axas_frame_alloc(&h->hal, LARGEST_ORDER + 1, 0, &frame));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_frame_alloc(&h->hal, 64, 0, &frame));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_frame_alloc(&h->hal, UINT32_MAX, 0, &frame));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_frame_alloc(&h->hal, 0, 2, &frame));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_frame_alloc(&h->hal, 0, UINT32_MAX, &frame));
	expect_none(&frame);
	assert_int_equal(h->allocations, allocations);

	assert_ok(axas_frame_alloc(&h->hal, 0, 0, &frame));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_frame_fill(NULL, &frame, 0));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_frame_fill(&h->hal, NULL, 0));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_frame_release(NULL, &frame));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_frame_release(&h->hal, NULL));
	assert_int_equal(h->own_out, 1);
	other = frame;
	assert_ok(axas_frame_release(&h->hal, &other));
}

static void a_hal_without_its_frame_callbacks_is_invalid(void **state)
{
	struct host *h = *state;
	axas_hal_t lacking[6];
	axas_frame_t frame;

	for (size_t i = 0; i < 6; i++)
		lacking[i] = h->hal;
	lacking[0].alloc_frame = NULL;
	lacking[1].dealloc_frame = NULL;
	lacking[2].phys_to_virt = NULL;
	lacking[3].flags |= 1u << 30;
	lacking[4].struct_size = 0;
	lacking[5].struct_size = offsetof(axas_hal_t, dealloc_frame);
	assert_ok(axas_frame_alloc(&h->hal, 0, 0, &frame));
	for (size_t i = 0; i < 6; i++) {
		axas_frame_t none;

		assert_status(AXAS_ERR_INVALID_INPUT, axas_frame_alloc(&lacking[i], 0, 0, &none));
		expect_none(&none);
		assert_status(AXAS_ERR_INVALID_INPUT, axas_frame_fill(&lacking[i], &frame, 0));
		assert_status(AXAS_ERR_INVALID_INPUT, axas_frame_release(&lacking[i], &frame));
	}
	assert_int_equal(h->own_out, 1);
	/* no table names such a frame: there is nothing to flush */
	lacking[0] = h->hal;
	lacking[0].flags |= AXAS_HAL_BUILTIN_LOCAL;
	lacking[0].tlb_flush = NULL;
	assert_ok(axas_frame_fill(&lacking[0], &frame, 0));
	assert_ok(axas_frame_release(&lacking[0], &frame));
}

/* clang-format off */
#define ON(kind, test) { #test " [" #kind "]", test, setup_##kind, teardown_pool, NULL }
/* clang-format on */
#define ON_EACH(test) ON(direct, test), ON(callback, test), ON(windows, test)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_EACH(every_order_is_aligned_and_comes_back_as_taken),
		ON_EACH(a_frame_is_zero_if_asked_for_and_as_it_was_if_not),
		ON_EACH(fill_writes_the_whole_frame_and_nothing_else),
		ON_EACH(without_memory_there_is_no_frame),
		ON(callback, a_host_that_cannot_reach_its_frame_is_a_bad_state),
		ON_EACH(what_holds_no_frame_is_refused_twice_and_always),
		ON_EACH(null_and_unknown_values_are_invalid),
		ON(callback, a_hal_without_its_frame_callbacks_is_invalid),
		ONE(a_space_does_not_count_them, setup_space, arm),
		cmocka_unit_test(an_arena_serves_them_with_nothing_else_in_the_hal),
		cmocka_unit_test(each_page_is_opened_once_and_closed_up_to_a_gigabyte),
		cmocka_unit_test(a_page_out_of_reach_costs_the_frame_and_no_more),
		cmocka_unit_test(an_address_that_cannot_be_a_frame_goes_back),
	};

	return cmocka_run_group_tests_name("frames", tests, NULL, NULL);
}
