/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What calls cost, in instructions: callgrind counts them, in a program of its own. */
#ifndef CTESTS_COUNTED_H
#define CTESTS_COUNTED_H

#include <stdio.h>
#include <unistd.h>

#include "fixture.h"

/* Instructions that `program first second` executes inside of its function counted(). */
static inline uint64_t instructions(const char *program, const char *first, const char *second)
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
			 out, program, first, second),
		1, sizeof(command) - 1);
	assert_int_equal(system(command), 0);
	file = fopen(out, "r");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, "totals: ", 8) == 0)
			count = strtoull(line + 8, NULL, 10);
	fclose(file);
	unlink(out);
	assert_true(count > 20);
	print_message("%s %s: %llu instructions\n", first, second, (unsigned long long)count);
	return count;
}

#endif
