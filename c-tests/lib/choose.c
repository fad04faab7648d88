/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * TEST_FORMAT=ept|npt|arm|riscv runs a part of a program's tests, and TEST_PART=K/N every N-th of those,
 * from the K-th on: so that a long program is several tests of ctest.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What cmocka_run_group_tests() expands to (linked with --wrap). */
int __real__cmocka_run_group_tests(const char *group, const struct CMUnitTest *tests, size_t count,
				   CMFixtureFunction setup, CMFixtureFunction teardown);
int __wrap__cmocka_run_group_tests(const char *group, const struct CMUnitTest *tests, size_t count,
				   CMFixtureFunction setup, CMFixtureFunction teardown);

static int ends_with(const char *name, const char *format)
{
	char suffix[16];
	size_t length;

	length = (size_t)snprintf(suffix, sizeof(suffix), " [%s]", format);
	return strlen(name) >= length && strcmp(name + strlen(name) - length, suffix) == 0;
}

/* Tests of no format go with the first one. */
static int belongs_to(const char *name, const char *format)
{
	static const char *const formats[] = { "ept", "npt", "arm", "riscv" };

	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (ends_with(name, formats[i]))
			return strcmp(format, formats[i]) == 0;
	return strcmp(format, formats[0]) == 0;
}

int __wrap__cmocka_run_group_tests(const char *group, const struct CMUnitTest *tests, size_t count,
				   CMFixtureFunction setup, CMFixtureFunction teardown)
{
	const char *format = getenv("TEST_FORMAT"), *part = getenv("TEST_PART");
	size_t found = 0, candidates = 0, first = 1, of = 1;
	struct CMUnitTest *chosen;
	int failed;

	if (format == NULL)
		return __real__cmocka_run_group_tests(group, tests, count, setup, teardown);
	if (part != NULL && (sscanf(part, "%zu/%zu", &first, &of) != 2 || first == 0 || first > of))
		return 1;
	chosen = calloc(count, sizeof(*chosen));
	if (chosen == NULL)
		return 1;
	for (size_t i = 0; i < count; i++)
		if (belongs_to(tests[i].name, format) && candidates++ % of == first - 1)
			chosen[found++] = tests[i];
	if (found == 0) {
		fprintf(stderr, "%s: no test is in this part\n", group);
		failed = 1;
	} else {
		failed = __real__cmocka_run_group_tests(group, chosen, found, setup, teardown);
	}
	free(chosen);
	return failed;
}
