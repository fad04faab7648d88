/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The ready-made source of frames. */
#include "fixture.h"

#define REGION   (64 * PAGE)
#define ARENA_PA 0x50000000ull

struct arena_fixture {
	const struct format_case *fc;
	axas_arena_t arena;
	axas_hal_t hal;
	uint8_t *memory;
};

static void count_flush(void *ctx, const axas_tlb_request_t *request)
{
	(void)ctx;
	assert_true(request->reason >= AXAS_FLUSH_UNMAP);
}

static int setup_arena(void **state)
{
	struct arena_fixture *a = calloc(1, sizeof(*a));

	assert_non_null(a);
	a->fc = *state;
	assert_int_equal(posix_memalign((void **)&a->memory, 16 * PAGE, 4 * REGION), 0);
	assert_ok(axas_arena_init(&a->arena));
	a->hal.struct_size = sizeof(a->hal);
	a->hal.tlb_flush = count_flush;
	*state = a;
	return 0;
}

static int teardown_arena(void **state)
{
	struct arena_fixture *a = *state;

	free(a->memory);
	free(a);
	return 0;
}

/* Frames of this order that can be had from the arena; all go back. */
static uint32_t capacity(struct arena_fixture *a, uint32_t order)
{
	axas_hpa_t frame[512];
	uint32_t count = 0;

	while (count < 512) {
		const axas_hpa_t pa = a->hal.alloc_frame(a->hal.ctx, order, AXAS_FRAME_GUEST);

		if (pa == AXAS_HPA_INVALID)
			break;
		assert_int_equal(pa % (PAGE << order), 0);
		for (uint32_t i = 0; i < count; i++)
			assert_true(frame[i] >= pa + (PAGE << order) ||
				    pa >= frame[i] + (PAGE << order));
		frame[count++] = pa;
	}
	for (uint32_t i = 0; i < count; i++)
		a->hal.dealloc_frame(a->hal.ctx, frame[i], order, AXAS_FRAME_GUEST);
	return count;
}

static void every_frame_can_be_handed_out_again_and_again(void **state)
{
	struct arena_fixture *a = *state;

	assert_ok(axas_arena_add(&a->arena, a->memory, ARENA_PA, REGION));
	assert_ok(axas_arena_hal(&a->arena, &a->hal));
	for (int round = 0; round < 3; round++) {
		assert_int_equal(capacity(a, 0), 64);
		assert_int_equal(capacity(a, 2), 16);
		assert_int_equal(capacity(a, 4), 4);
	}
	assert_int_equal(a->hal.alloc_frame(a->hal.ctx, 9, AXAS_FRAME_GUEST), AXAS_HPA_INVALID);
}

static void phys_to_virt_knows_the_regions_only(void **state)
{
	struct arena_fixture *a = *state;
	const axas_hpa_t second = ARENA_PA + 100 * REGION;

	assert_ok(axas_arena_add(&a->arena, a->memory, ARENA_PA, REGION));
	assert_ok(axas_arena_add(&a->arena, a->memory + 2 * REGION, second, REGION));
	assert_ok(axas_arena_hal(&a->arena, &a->hal));
	assert_non_null(a->hal.phys_to_virt);
	assert_ptr_equal(a->hal.phys_to_virt(a->hal.ctx, ARENA_PA + 5, 8), a->memory + 5);
	assert_ptr_equal(a->hal.phys_to_virt(a->hal.ctx, second + REGION - 1, 1),
			 a->memory + 3 * REGION - 1);
	assert_null(a->hal.phys_to_virt(a->hal.ctx, ARENA_PA - 1, 1));
	assert_null(a->hal.phys_to_virt(a->hal.ctx, ARENA_PA + REGION, 1));
	assert_null(a->hal.phys_to_virt(a->hal.ctx, second + REGION - 1, 2));
	assert_null(a->hal.phys_to_virt(a->hal.ctx, ~0ull, 2));
	assert_int_equal(capacity(a, 0), 128);
}

static void bad_regions_are_refused(void **state)
{
	static const axas_status_t bad = AXAS_ERR_INVALID_INPUT;
	struct arena_fixture *a = *state;
	axas_arena_t *arena = &a->arena;

	assert_status(bad, axas_arena_init(NULL));
	assert_status(bad, axas_arena_add(NULL, a->memory, ARENA_PA, REGION));
	assert_status(bad, axas_arena_add(arena, NULL, ARENA_PA, REGION));
	assert_status(bad, axas_arena_add(arena, a->memory + 8, ARENA_PA, REGION));
	assert_status(bad, axas_arena_add(arena, a->memory, ARENA_PA + 8, REGION));
	assert_status(bad, axas_arena_add(arena, a->memory, ARENA_PA, 0));
	assert_status(bad, axas_arena_add(arena, a->memory, ARENA_PA, PAGE + 1));
	assert_status(bad, axas_arena_add(arena, a->memory, 0 - PAGE, 2 * PAGE));
	assert_status(bad, axas_arena_hal(NULL, &a->hal));
	assert_status(bad, axas_arena_hal(arena, NULL));
	assert_ok(axas_arena_add(arena, a->memory, ARENA_PA, REGION));
	assert_status(AXAS_ERR_ALREADY_EXISTS, axas_arena_add(arena, a->memory + 2 * REGION,
							      ARENA_PA + REGION - PAGE, REGION));
	assert_status(AXAS_ERR_ALREADY_EXISTS, axas_arena_add(arena, a->memory, ARENA_PA, REGION));
	assert_ok(axas_arena_hal(arena, &a->hal));
	assert_int_equal(capacity(a, 0), 64);
}

static void regions_are_limited_but_a_continued_one_is_free(void **state)
{
	struct arena_fixture *a = *state;

	for (uint64_t k = 0; k < AXAS_ARENA_REGIONS; k++)
		assert_ok(axas_arena_add(&a->arena, a->memory + 4 * k * PAGE,
					 ARENA_PA + 8 * k * PAGE, PAGE));
	assert_status(AXAS_ERR_NO_MEMORY, axas_arena_add(&a->arena, a->memory + 3 * REGION,
							 ARENA_PA + REGION * 100, PAGE));
	assert_ok(axas_arena_add(&a->arena, a->memory + (4 * (AXAS_ARENA_REGIONS - 1) + 1) * PAGE,
				 ARENA_PA + (8 * (AXAS_ARENA_REGIONS - 1) + 1) * PAGE, 2 * PAGE));
	assert_ok(axas_arena_hal(&a->arena, &a->hal));
	assert_int_equal(capacity(a, 0), AXAS_ARENA_REGIONS + 2);
}

/* Whichever of the two is larger. */
static void a_continued_region_is_one_to_its_end(void **state)
{
	struct arena_fixture *a = *state;
	static const size_t pages[][2] = { { 4, 12 }, { 12, 4 }, { 8, 8 } };

	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		const size_t first = pages[i][0] * PAGE, both = 16 * PAGE;

		assert_ok(axas_arena_init(&a->arena));
		assert_ok(axas_arena_add(&a->arena, a->memory, ARENA_PA, first));
		assert_ok(axas_arena_add(&a->arena, a->memory + first, ARENA_PA + first,
					 both - first));
		assert_ok(axas_arena_hal(&a->arena, &a->hal));
		assert_ptr_equal(a->hal.phys_to_virt(a->hal.ctx, ARENA_PA, both), a->memory);
		assert_ptr_equal(a->hal.phys_to_virt(a->hal.ctx, ARENA_PA + both - 1, 1),
				 a->memory + both - 1);
		assert_null(a->hal.phys_to_virt(a->hal.ctx, ARENA_PA + both, 1));
		assert_status(AXAS_ERR_ALREADY_EXISTS,
			      axas_arena_add(&a->arena, a->memory + 4 * both,
					     ARENA_PA + both - PAGE, PAGE));
		for (int round = 0; round < 2; round++)
			assert_int_equal(capacity(a, 0), 16);
		assert_int_equal(capacity(a, 4), 1);
	}
}

static void a_space_lives_on_an_arena_and_gives_all_back(void **state)
{
	struct arena_fixture *a = *state;
	axas_config_t cfg = { .struct_size = sizeof(cfg),
			      .format = a->fc->format,
			      .size = SPACE_SIZE };
	uint32_t before;
	axas_hpa_t hpa;
	axas_t *as;

	assert_ok(axas_arena_add(&a->arena, a->memory, ARENA_PA, 4 * REGION));
	assert_ok(axas_arena_hal(&a->arena, &a->hal));
	before = capacity(a, 0);
	assert_ok(axas_create(&cfg, &a->hal, &as));
	assert_true(axas_root(as) >= ARENA_PA && axas_root(as) < ARENA_PA + 4 * REGION);
	assert_ok(axas_map_alloc(as, GIB, 512 * PAGE, RW));
	for (uint64_t k = 0; k < 100; k++)
		assert_int_equal(axas_handle_page_fault(as, GIB + k * PAGE, AXAS_WRITE),
				 AXAS_FAULT_RESOLVED);
	assert_ok(axas_translate(as, GIB + 99 * PAGE, &hpa, NULL));
	assert_true(hpa >= ARENA_PA && hpa < ARENA_PA + 4 * REGION);
	/* the arena runs dry, and says so */
	assert_status(AXAS_ERR_NO_MEMORY,
		      axas_map_alloc(as, 2 * GIB, 512 * PAGE, RW | AXAS_POPULATE));
	assert_ok(axas_unmap(as, GIB, 50 * PAGE));
	axas_destroy(as);
	assert_int_equal(capacity(a, 0), before);
}

/* A host whose own memory and the arena's lie apart: it reaches no frame of the arena. */
static void tables_alone_come_from_an_arena(void **state)
{
	static const enum host_map_kind kinds[] = { HOST_CALLBACK, HOST_WINDOWS };
	struct arena_fixture *a = *state;
	axas_config_t cfg = { .struct_size = sizeof(cfg),
			      .format = a->fc->format,
			      .size = SPACE_SIZE };
	const uint32_t root_frames = 1u << a->fc->root_order;
	uint32_t before, word;
	struct host h;

	assert_ok(axas_arena_add(&a->arena, a->memory, ARENA_PA, REGION));
	assert_ok(axas_arena_hal(&a->arena, &a->hal));
	before = capacity(a, 0);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		axas_hal_t hal;
		axas_frame_t frame;
		axas_stats_t s;
		axas_hpa_t hpa;
		axas_t *as;

		host_init(&h, kinds[i], HOST_PA_BASE);
		hal = h.hal;
		assert_ok(axas_arena_hal_tables(&a->arena, &hal));
		assert_ptr_equal(hal.arena, &a->arena);
		assert_memory_equal(&hal, &h.hal, offsetof(axas_hal_t, arena));

		assert_ok(axas_create(&cfg, &hal, &as));
		assert_int_equal(axas_root(as) - ARENA_PA < REGION, 1);
		assert_int_equal(capacity(a, 0), before - root_frames - 1);
		assert_ok(axas_map_alloc(as, GIB, 512 * PAGE, RW));
		for (uint64_t k = 0; k < 10; k++)
			assert_int_equal(axas_handle_page_fault(as, GIB + k * PAGE, AXAS_WRITE),
					 AXAS_FAULT_RESOLVED);
		assert_ok(axas_translate(as, GIB + 9 * PAGE, &hpa, NULL));
		assert_true(host_is_guest_frame(&h, hpa));
		assert_ok(axas_map_linear(as, 2 * GIB, h.pa_base + HOST_LINEAR, 4 * PAGE, RW));
		assert_ok(axas_write_u32(as, 2 * GIB + PAGE, AXAS_ACCESS_HOST, 0x1234));
		assert_ok(axas_write_u32(as, GIB, 0, 0x5678));
		assert_ok(axas_read_u32(as, 2 * GIB + PAGE, 0, &word));
		assert_int_equal(word, 0x1234);
		assert_ok(axas_audit(as));
		assert_ok(axas_stats(as, &s));
		assert_int_equal(h.tables_out, 0);
		assert_int_equal(h.guest_out, 10);
		assert_int_equal(s.guest_frames, 10);
		assert_int_equal(capacity(a, 0), before - s.table_frames - 1);

		/* frames of the host's own are its own */
		assert_ok(axas_frame_alloc(&hal, 1, 1, &frame));
		assert_int_equal(host_frame_at(&h, frame.hpa)->purpose, AXAS_FRAME_HOST);
		assert_ok(axas_frame_release(&hal, &frame));

		/* the host has no memory left, then the arena has none */
		h.fail_purpose = AXAS_FRAME_GUEST;
		assert_int_equal(axas_handle_page_fault(as, GIB + 20 * PAGE, AXAS_WRITE),
				 AXAS_FAULT_NO_MEMORY);
		h.fail_purpose = 0;
		assert_status(AXAS_ERR_NO_MEMORY, axas_map_linear(as, 4 * GIB, 4 * GIB,
								  66 * 2 * MIB, RW | AXAS_NO_HUGE));
		assert_int_equal(capacity(a, 0), before - s.table_frames - 1);
		assert_ok(axas_unmap(as, GIB, 5 * PAGE));
		axas_destroy(as);
		assert_int_equal(capacity(a, 0), before);
		host_check_balance(&h);
		host_exit(&h);
	}
}

/* Its regions are in the direct map, as all frames are. */
static void tables_of_an_arena_are_read_through_a_direct_map(void **state)
{
	struct arena_fixture *a = *state;
	axas_config_t cfg = { .struct_size = sizeof(cfg),
			      .format = a->fc->format,
			      .size = SPACE_SIZE };
	struct host h;
	axas_hal_t hal;
	axas_hpa_t pa;
	axas_t *as;

	host_init(&h, HOST_DIRECT_MAP, HOST_PA_BASE);
	pa = h.pa_base + HOST_LINEAR;
	assert_ok(axas_arena_add(&a->arena, host_at(&h, pa), pa, REGION));
	hal = h.hal;
	hal.flags |= AXAS_HAL_TABLES_STAY_READABLE;
	assert_ok(axas_arena_hal_tables(&a->arena, &hal));
	assert_ok(axas_create(&cfg, &hal, &as));
	assert_int_equal(axas_root(as) - pa < REGION, 1);
	assert_ok(axas_map_alloc(as, GIB, 16 * PAGE, RW | AXAS_POPULATE));
	assert_ok(axas_translate(as, GIB, &pa, NULL));
	assert_true(host_is_guest_frame(&h, pa));
	assert_int_equal(h.tables_out, 0);
	assert_int_equal(h.guest_out, 16);
	assert_ok(axas_audit(as));
	axas_destroy(as);
	host_check_balance(&h);
	host_exit(&h);
}

static void a_hal_has_no_arena_that_is_not_ready(void **state)
{
	static const axas_status_t bad = AXAS_ERR_INVALID_INPUT;
	struct arena_fixture *a = *state;
	axas_config_t cfg = { .struct_size = sizeof(cfg),
			      .format = a->fc->format,
			      .size = SPACE_SIZE };
	axas_arena_t rubbish;
	axas_hal_t hal;
	struct host h;
	axas_t *as;

	memset(&rubbish, 0xa5, sizeof(rubbish));
	host_init(&h, HOST_CALLBACK, HOST_PA_BASE);
	hal = h.hal;
	assert_status(bad, axas_arena_hal_tables(NULL, &hal));
	assert_status(bad, axas_arena_hal_tables(&a->arena, NULL));
	assert_status(bad, axas_arena_hal_tables(&rubbish, &hal));
	assert_null(hal.arena);
	hal.arena = &rubbish;
	assert_status(bad, axas_create(&cfg, &hal, &as));
	hal.arena = (axas_arena_t *)((uint8_t *)&a->arena + 1);
	assert_status(bad, axas_create(&cfg, &hal, &as));
	/* an older host's: what lies behind its struct is not a member */
	hal.struct_size = offsetof(axas_hal_t, arena);
	assert_ok(axas_create(&cfg, &hal, &as));
	assert_int_equal(h.tables_out, (1u << a->fc->root_order) + 1);
	axas_destroy(as);
	assert_status(bad, axas_arena_hal_tables(&a->arena, &hal));
	assert_ptr_not_equal(hal.arena, &a->arena);
	/* without frames in the arena there is no space */
	hal = h.hal;
	assert_ok(axas_arena_hal_tables(&a->arena, &hal));
	assert_status(AXAS_ERR_NO_MEMORY, axas_create(&cfg, &hal, &as));
	host_check_balance(&h);
	host_exit(&h);
}

#define EACH_FORMAT_ARENA(test) \
	ARENA(test, ept), ARENA(test, npt), ARENA(test, arm), ARENA(test, riscv)
#define ARENA(test, fmt)                                                            \
	{                                                                           \
#test " [" #fmt "]", test, setup_arena, teardown_arena, &fmt##_case \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ARENA(every_frame_can_be_handed_out_again_and_again, ept),
		ARENA(phys_to_virt_knows_the_regions_only, ept),
		ARENA(bad_regions_are_refused, ept),
		ARENA(regions_are_limited_but_a_continued_one_is_free, ept),
		ARENA(a_continued_region_is_one_to_its_end, ept),
		EACH_FORMAT_ARENA(a_space_lives_on_an_arena_and_gives_all_back),
		EACH_FORMAT_ARENA(tables_alone_come_from_an_arena),
		EACH_FORMAT_ARENA(tables_of_an_arena_are_read_through_a_direct_map),
		ARENA(a_hal_has_no_arena_that_is_not_ready, riscv),
	};

	return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
