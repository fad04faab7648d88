/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What calls cost, in instructions: callgrind counts them, in a program of its own. */
#include <stdio.h>
#include <unistd.h>

#include "known.h"

/* Instructions of a piece of work of cost_work.c. */
static uint64_t instructions(const char *work, const char *format)
{
	char out[] = "/tmp/axas-cost-XXXXXX", command[4096], line[256];
	uint64_t count = 0;
	FILE *file;
	const int fd = mkstemp(out);

	assert_true(fd >= 0);
	close(fd);
	assert_in_range(
		snprintf(command, sizeof(command),
			 "valgrind -q --tool=callgrind --collect-atstart=no "
			 "--toggle-collect=counted --callgrind-out-file='%s' '%s' %s %s >&2",
			 out, COST_WORK, work, format),
		1, sizeof(command) - 1);
	assert_int_equal(system(command), 0);
	file = fopen(out, "r");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, "totals: ", 8) == 0)
			count = strtoull(line + 8, NULL, 10);
	fclose(file);
	unlink(out);
	assert_true(count > 100);
	print_message("%s %s: %llu instructions\n", work, format, (unsigned long long)count);
	return count;
}

/* 16,384 pages of 4 KiB with frames side by side, which are one run for the host. */
static void unmapping_costs_no_more_where_the_host_is_told(void **state)
{
	const char *format = *state;
	const uint64_t untold = instructions("unmap", format);
	const uint64_t told = instructions("unmap_and_tell", format);

	assert_right(2 * told <= 3 * untold,
		     "an unmap costs more than 1.5 times as much with released");
}

/* A frame of 2 MiB, beside few free ones of 4 KiB and beside many, where there is one and where there is not. */
static void a_large_frame_of_the_arena_costs_the_same_beside_many_small_ones(void **state)
{
	static const char *const kinds[] = { "large", "none" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		const uint64_t few = instructions("64", kinds[i]);
		const uint64_t many = instructions("16384", kinds[i]);

		assert_right(many <= 2 * few,
			     "an arena goes through its small pieces for a large frame");
	}
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
	cmocka_unit_test(a_large_frame_of_the_arena_costs_the_same_beside_many_small_ones),
};

KNOWN_MAIN(tests)
