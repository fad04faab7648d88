/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What must not depend on how much there is, or on who is told of it. */
#include "counted.h"

/* A frame of 2 MiB, beside few free ones of 4 KiB and beside many, where there is one and where there is not. */
static void a_large_frame_of_the_arena_costs_the_same_beside_many_small_ones(void **state)
{
	static const char *const kinds[] = { "large", "none" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		const uint64_t few = instructions(ARENA_WORK, "64", kinds[i]);
		const uint64_t many = instructions(ARENA_WORK, "16384", kinds[i]);

		assert_true(many <= few + few / 10);
	}
}

/*
 * A frame of 4 KiB that goes out or comes back, without a join or with one of each order up to 2 MiB: the
 * way to it is as long as the number of free frames has bits.
 */
static void small_frames_of_the_arena_cost_little_more_beside_many(void **state)
{
	static const char *const kinds[] = { "small", "back", "join" };

	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const uint64_t few = instructions(ARENA_WORK, "64", kinds[i]);
		const uint64_t many = instructions(ARENA_WORK, "16384", kinds[i]);

		assert_true(many <= 2 * few);
		assert_true(many <= 2000);
	}
}

/* 16,384 pages of 4 KiB with frames side by side, which are one run for the host. */
static void unmapping_costs_little_more_where_the_host_is_told(void **state)
{
	const char *format = *state;
	const uint64_t untold = instructions(UNMAP_WORK, "unmap", format);
	const uint64_t told = instructions(UNMAP_WORK, "unmap_and_tell", format);

	assert_true(2 * told <= 3 * untold);
}

#define FOR_FORMAT(test, fmt)                                   \
	{                                                       \
#test " [" #fmt "]", test, NULL, NULL, (char[]) \
		{                                               \
#fmt                                    \
		}                                               \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FOR_FORMAT(unmapping_costs_little_more_where_the_host_is_told, ept),
		FOR_FORMAT(unmapping_costs_little_more_where_the_host_is_told, npt),
		FOR_FORMAT(unmapping_costs_little_more_where_the_host_is_told, arm),
		FOR_FORMAT(unmapping_costs_little_more_where_the_host_is_told, riscv),
		cmocka_unit_test(a_large_frame_of_the_arena_costs_the_same_beside_many_small_ones),
		cmocka_unit_test(small_frames_of_the_arena_cost_little_more_beside_many),
	};

	return cmocka_run_group_tests_name("cost", tests, NULL, NULL);
}
