/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What calls cost, in instructions. */
#include "../cost/counted.h"
#include "known.h"

/* 16,384 pages of 4 KiB with frames side by side, which are one run for the host. */
static void unmapping_costs_no_more_where_the_host_is_told(void **state)
{
	const char *format = *state;
	const uint64_t untold = instructions(COST_WORK, "unmap", format);
	const uint64_t told = instructions(COST_WORK, "unmap_and_tell", format);

	assert_right(2 * told <= 3 * untold,
		     "an unmap costs more than 1.5 times as much with released");
}

#define ONE_FORMAT(test, fmt)                                   \
	{                                                       \
#test " [" #fmt "]", test, NULL, NULL, (char[]) \
		{                                               \
#fmt                                    \
		}                                               \
	}

static const struct CMUnitTest tests[] = {
	ONE_FORMAT(unmapping_costs_no_more_where_the_host_is_told, ept),
	ONE_FORMAT(unmapping_costs_no_more_where_the_host_is_told, npt),
	ONE_FORMAT(unmapping_costs_no_more_where_the_host_is_told, arm),
	ONE_FORMAT(unmapping_costs_no_more_where_the_host_is_told, riscv),
};

KNOWN_MAIN(tests)
