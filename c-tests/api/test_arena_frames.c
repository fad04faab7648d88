/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Seeded random sequences of frames of an arena, against a model that has a mark for each page. What must
 * hold of each frame follows from the marks: whether there is one, and of which block it is a part.
 */
#include <sys/mman.h>

#include "fixture.h"

#define PAGES    2048ull /* of a shape */
#define ORDERS   12ull /* of blocks that fit in them */
#define BASE     0x60000000ull
#define STEPS    3000
#define LARGEST  18u
#define OUTSIDE  0xff
#define NO_ORDER 99u

/* A region, in pages from the first of a shape. */
struct region {
	uint32_t pa, va, pages;
};

/* Regions in the order in which an arena gets them. */
struct shape {
	const char *name;
	struct region region[AXAS_ARENA_REGIONS];
};

static const struct shape shapes[] = {
	{ "one region", { { 0, 0, 2048 } } },
	{ "on no boundary", { { 3, 3, 1500 } } },
	{ "three parts of one region", { { 5, 5, 20 }, { 25, 25, 999 }, { 1024, 1024, 512 } } },
	{ "parts from the last to the first",
	  { { 512, 512, 700 }, { 130, 130, 382 }, { 0, 0, 130 } } },
	{ "side by side, apart for the CPU", { { 0, 1024, 1024 }, { 1024, 0, 1024 } } },
	{ "side by side in the middle of a block",
	  { { 0, 0, 101 }, { 101, 1200, 300 }, { 401, 500, 623 } } },
	{ "pages",
	  { { 0, 0, 1 },
	    { 1, 9, 1 },
	    { 3, 3, 1 },
	    { 5, 5, 2 },
	    { 8, 8, 1 },
	    { 9, 20, 1 },
	    { 11, 11, 3 } } },
};

struct block {
	uint64_t page;
	uint32_t order;
};

struct pool {
	axas_arena_t arena;
	axas_hal_t hal;
	uint8_t *memory;
	uint64_t rng;
	/* of each page: the region that it is in for the arena, or OUTSIDE; where it is; whether it is out */
	uint8_t region[PAGES];
	uint32_t va[PAGES];
	uint8_t is_out[PAGES];
	/* whether the block of an order with this number is free, and all in one region */
	uint8_t is_free[ORDERS][PAGES];
	struct block out[PAGES];
	size_t outs;
};

static uint64_t below(struct pool *p, uint64_t bound)
{
	p->rng ^= p->rng >> 12;
	p->rng ^= p->rng << 25;
	p->rng ^= p->rng >> 27;
	return (p->rng * 0x2545f4914f6cdd1dull >> 16) % bound;
}

/* --- the model --------------------------------------------------------------------------------- */

static void look_at_blocks(struct pool *p)
{
	for (uint64_t i = 0; i < PAGES; i++)
		p->is_free[0][i] = p->region[i] != OUTSIDE && !p->is_out[i];
	for (uint64_t order = 1; order < ORDERS; order++)
		for (uint64_t i = 0; i < PAGES >> order; i++)
			p->is_free[order][i] =
				p->is_free[order - 1][2 * i] && p->is_free[order - 1][2 * i + 1] &&
				p->region[i << order] == p->region[(2 * i + 1) << (order - 1)];
}

/* The order of the largest free block that a page is in. */
static uint32_t order_around(const struct pool *p, uint64_t page)
{
	uint32_t order = 0;

	if (!p->is_free[0][page])
		return NO_ORDER;
	while (order + 1 < ORDERS && p->is_free[order + 1][page >> (order + 1)])
		order++;
	return order;
}

/* The order of the smallest of these blocks that has room for a frame. */
static uint32_t order_to_take_from(const struct pool *p, uint32_t order)
{
	uint32_t found = NO_ORDER;

	for (uint64_t page = 0; page < PAGES; page++) {
		const uint32_t around = order_around(p, page);

		if (around != NO_ORDER && around >= order && around < found)
			found = around;
	}
	return found;
}

/* --- frames, and what their users write to them -------------------------------------------------- */

static uint64_t *at_page(struct pool *p, uint64_t page)
{
	return (uint64_t *)(void *)(p->memory + p->va[page] * PAGE);
}

/* As the record of a free block would be. */
static void forge(struct pool *p, const struct block *block)
{
	for (uint64_t i = 0; i < 1ull << block->order; i++) {
		uint64_t *words = at_page(p, block->page + i);

		words[0] = BASE + (block->page + i) * PAGE;
		words[1] = words[2] = 0;
		words[3] = ~words[0];
	}
}

static void expect_forged(struct pool *p, const struct block *block)
{
	for (uint64_t i = 0; i < 1ull << block->order; i++) {
		const uint64_t *words = at_page(p, block->page + i);

		assert_int_equal(words[0], BASE + (block->page + i) * PAGE);
		assert_int_equal(words[1] | words[2], 0);
		assert_int_equal(words[3], ~words[0]);
	}
}

static void take(struct pool *p, uint32_t order)
{
	const axas_hpa_t pa = p->hal.alloc_frame(p->hal.ctx, order, AXAS_FRAME_GUEST);
	struct block block = { .page = (pa - BASE) / PAGE, .order = order };
	uint32_t from;

	look_at_blocks(p);
	from = order_to_take_from(p, order);
	if (from == NO_ORDER) {
		assert_int_equal(pa, AXAS_HPA_INVALID);
		return;
	}
	assert_int_equal(pa % (PAGE << order), 0);
	assert_in_range(pa, BASE, BASE + PAGES * PAGE - 1);
	assert_true(p->is_free[order][block.page >> order]);
	assert_int_equal(order_around(p, block.page), from);
	memset(p->is_out + block.page, 1, 1ull << order);
	forge(p, &block);
	p->out[p->outs++] = block;
}

/* As a whole, or in pieces, as guest frames are. */
static void give(struct pool *p, size_t index, int in_pieces)
{
	struct block block = p->out[index];

	if (in_pieces && block.order > 0) {
		const uint64_t half = 1ull << --block.order;

		p->out[index] = block;
		p->out[p->outs++] = (struct block){ block.page + half, block.order };
		give(p, index, (int)below(p, 2));
		return;
	}
	expect_forged(p, &block);
	p->out[index] = p->out[--p->outs];
	memset(p->is_out + block.page, 0, 1ull << block.order);
	p->hal.dealloc_frame(p->hal.ctx, BASE + block.page * PAGE, block.order, AXAS_FRAME_GUEST);
}

/* --- the tests ------------------------------------------------------------------------------- */

static void add_regions(struct pool *p, const struct shape *shape)
{
	assert_ok(axas_arena_init(&p->arena));
	memset(p->region, OUTSIDE, sizeof(p->region));
	memset(p->is_out, 0, sizeof(p->is_out));
	for (uint8_t k = 0; shape->region[k].pages != 0; k++) {
		const struct region *r = &shape->region[k];
		const struct region *before = k > 0 ? r - 1 : r;
		const int continues =
			before->pa + before->pages == r->pa && before->va + before->pages == r->va;

		assert_ok(axas_arena_add(&p->arena, p->memory + r->va * PAGE, BASE + r->pa * PAGE,
					 r->pages * PAGE));
		for (uint32_t i = 0; i < r->pages; i++) {
			p->region[r->pa + i] = continues ? p->region[before->pa] : k;
			p->va[r->pa + i] = r->va + i;
		}
	}
	assert_ok(axas_arena_hal(&p->arena, &p->hal));
}

static void frames_of_mixed_orders_come_from_the_smallest_blocks(void **state)
{
	struct pool *p = calloc(1, sizeof(*p));

	(void)state;
	assert_non_null(p);
	p->memory = aligned_alloc(PAGE, PAGES * PAGE);
	assert_non_null(p->memory);
	p->hal.struct_size = sizeof(p->hal);
	p->rng = 0x9e3779b97f4a7c15ull;
	for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++) {
		print_message("%s\n", shapes[s].name);
		add_regions(p, &shapes[s]);
		for (int step = 0; step < STEPS; step++) {
			/* times at which more comes back than goes out, and the other way round */
			const uint64_t takes = step / 300 % 2 == 0 ? 7 : 3;

			if (below(p, 10) < takes)
				take(p, (uint32_t)below(p, below(p, ORDERS + 1) + 1));
			else if (p->outs > 0)
				give(p, below(p, p->outs), (int)below(p, 2));
		}
		while (p->outs > 0)
			give(p, below(p, p->outs), 0);
		/* all is joined: each of the largest blocks can be had at once, in the order of their size */
		for (uint32_t order = ORDERS; order-- > 0;)
			for (look_at_blocks(p); order_to_take_from(p, order) != NO_ORDER;)
				take(p, order);
		while (p->outs > 0)
			give(p, p->outs - 1, 0);
	}
	free(p->memory);
	free(p);
}

/*
 * 3.5 GiB that begin in the middle of a block of 1 GiB, with both halves of one of 2 GiB in them; all but what
 * the arena writes is never touched.
 */
static void the_largest_frame_is_1_gib(void **state)
{
	const uint64_t bytes = 7 * GIB / 2, pa = 7 * GIB / 2;
	uint8_t *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	axas_hal_t hal = { .struct_size = sizeof(hal) };
	axas_hpa_t frame[4], small;
	axas_arena_t arena;

	(void)state;
	assert_true(memory != MAP_FAILED);
	assert_ok(axas_arena_init(&arena));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_arena_add(&arena, memory, GIB, GIB << 14));
	assert_ok(axas_arena_add(&arena, memory, pa, bytes));
	assert_ok(axas_arena_hal(&arena, &hal));
	for (int round = 0; round < 2; round++) {
		for (uint32_t order = LARGEST + 1; order < 70; order++)
			assert_int_equal(hal.alloc_frame(hal.ctx, order, AXAS_FRAME_GUEST),
					 AXAS_HPA_INVALID);
		for (int i = 0; i < 4; i++) {
			frame[i] = hal.alloc_frame(hal.ctx, LARGEST, AXAS_FRAME_GUEST);
			assert_int_equal(frame[i] == AXAS_HPA_INVALID, i == 3);
			assert_true(i == 3 || frame[i] % GIB == 0);
		}
		hal.dealloc_frame(hal.ctx, frame[2], LARGEST, AXAS_FRAME_GUEST);
		hal.dealloc_frame(hal.ctx, frame[1], LARGEST, AXAS_FRAME_GUEST);
		/* as one page and the rest in pieces */
		for (uint32_t order = 0; order < LARGEST; order++)
			hal.dealloc_frame(hal.ctx, frame[0] + (PAGE << order), order,
					  AXAS_FRAME_GUEST);
		hal.dealloc_frame(hal.ctx, frame[0], 0, AXAS_FRAME_GUEST);
		/* none of them is cut while there is less */
		small = hal.alloc_frame(hal.ctx, 0, AXAS_FRAME_GUEST);
		assert_true(small < 4 * GIB);
		hal.dealloc_frame(hal.ctx, small, 0, AXAS_FRAME_GUEST);
	}
	assert_int_equal(munmap(memory, bytes), 0);
}

static uint32_t complaints;

static void count_complaint(void *ctx, uint32_t level, const char *target, const char *text)
{
	static const char says[] = "not a frame of the arena:";

	(void)ctx;
	assert_int_equal(level, 1);
	assert_string_equal(target, "axaddrspace::arena");
	assert_int_equal(strncmp(text, says, sizeof(says) - 1), 0);
	complaints++;
}

static void what_is_no_frame_of_the_arena_is_not_taken(void **state)
{
	static const struct {
		uint64_t offset;
		uint32_t order;
	} foreign[] = {
		{ 64 * PAGE, 0 }, { 0 - PAGE, 0 },  { 8, 0 },           { PAGE, 1 },
		{ 60 * PAGE, 3 }, { 32 * PAGE, 6 }, { 0, LARGEST + 1 }, { 0, 64 },
	};
	axas_hal_t hal = { .struct_size = sizeof(hal) };
	uint8_t *memory = aligned_alloc(PAGE, 64 * PAGE);
	axas_arena_t arena;

	(void)state;
	assert_non_null(memory);
	assert_ok(axas_arena_init(&arena));
	assert_ok(axas_arena_add(&arena, memory, BASE, 64 * PAGE));
	assert_ok(axas_arena_hal(&arena, &hal));
	assert_int_equal(hal.alloc_frame(hal.ctx, 6, AXAS_FRAME_GUEST), BASE);
	axas_set_logger(count_complaint, NULL, 5);
	for (uint32_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
		hal.dealloc_frame(hal.ctx, BASE + foreign[i].offset, foreign[i].order,
				  AXAS_FRAME_GUEST);
		assert_int_equal(complaints, i + 1);
		assert_int_equal(hal.alloc_frame(hal.ctx, 0, AXAS_FRAME_GUEST), AXAS_HPA_INVALID);
	}
	hal.dealloc_frame(hal.ctx, BASE, 6, AXAS_FRAME_GUEST);
	assert_int_equal(hal.alloc_frame(hal.ctx, 6, AXAS_FRAME_GUEST), BASE);
	axas_set_logger(NULL, NULL, 0);
	free(memory);
}

static void count_any_complaint(void *ctx, uint32_t level, const char *target, const char *text)
{
	(void)ctx;
	(void)text;
	assert_int_equal(level, 1);
	assert_string_equal(target, "axaddrspace::arena");
	complaints++;
}

/* Blocks of an arena whose frames go back as often as chance wants; none is written to, so that records stay records. */
static void frames_that_go_back_twice_end_no_call(void **state)
{
	static struct pool pool;
	struct pool *p = &pool;
	axas_hal_t hal = { .struct_size = sizeof(hal) };
	uint8_t *memory = aligned_alloc(PAGE, PAGES * PAGE);

	(void)state;
	assert_non_null(memory);
	p->rng = 0x5eed;
	for (uint32_t round = 0; round < 300; round++) {
		assert_ok(axas_arena_init(&p->arena));
		assert_ok(axas_arena_add(&p->arena, memory, BASE, PAGES * PAGE));
		assert_ok(axas_arena_hal(&p->arena, &hal));
		complaints = 0;
		axas_set_logger(count_any_complaint, NULL, 5);
		for (uint32_t step = 0; step < STEPS; step++) {
			const uint32_t order = (uint32_t)below(p, 4);
			const uint64_t page = below(p, 256 >> order) << order;

			if (below(p, 2)) {
				hal.dealloc_frame(hal.ctx, BASE + page * PAGE, order,
						  AXAS_FRAME_GUEST);
				continue;
			}
			const axas_hpa_t frame = hal.alloc_frame(hal.ctx, order, AXAS_FRAME_GUEST);

			if (frame != AXAS_HPA_INVALID) {
				assert_in_range(frame, BASE, BASE + PAGES * PAGE - 1);
				assert_int_equal(frame % (PAGE << order), 0);
			}
		}
		axas_set_logger(NULL, NULL, 0);
		assert_true(complaints > 0);
	}
	free(memory);
}

/* What is refused at once changes nothing. */
static void a_free_block_is_not_taken_again(void **state)
{
	axas_hal_t hal = { .struct_size = sizeof(hal) };
	uint8_t *memory = aligned_alloc(PAGE, 4 * PAGE);
	axas_arena_t arena;

	(void)state;
	assert_non_null(memory);
	assert_ok(axas_arena_init(&arena));
	assert_ok(axas_arena_add(&arena, memory, BASE, 4 * PAGE));
	assert_ok(axas_arena_hal(&arena, &hal));
	complaints = 0;
	axas_set_logger(count_any_complaint, NULL, 5);
	assert_int_equal(hal.alloc_frame(hal.ctx, 2, AXAS_FRAME_GUEST), BASE);
	for (uint32_t time = 0; time < 3; time++) {
		hal.dealloc_frame(hal.ctx, BASE + 2 * PAGE, 0, AXAS_FRAME_GUEST);
		assert_int_equal(complaints, time);
	}
	assert_int_equal(hal.alloc_frame(hal.ctx, 0, AXAS_FRAME_GUEST), BASE + 2 * PAGE);
	assert_int_equal(hal.alloc_frame(hal.ctx, 0, AXAS_FRAME_GUEST), AXAS_HPA_INVALID);
	axas_set_logger(NULL, NULL, 0);
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_of_mixed_orders_come_from_the_smallest_blocks),
		cmocka_unit_test(the_largest_frame_is_1_gib),
		cmocka_unit_test(what_is_no_frame_of_the_arena_is_not_taken),
		cmocka_unit_test(frames_that_go_back_twice_end_no_call),
		cmocka_unit_test(a_free_block_is_not_taken_again),
	};

	return cmocka_run_group_tests_name("arena_frames", tests, NULL, NULL);
}
