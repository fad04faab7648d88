/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What is not an expected failure: scripts/expected-failures.py must refuse all of these but the first. */
#include <signal.h>
#include <unistd.h>

#include "known.h"

#define TEXT "this is expected"

static void fails_as_expected(void **state)
{
	(void)state;
	assert_right(1 > 2, TEXT);
}

static void passes(void **state)
{
	(void)state;
	assert_right(2 > 1, TEXT);
}

static void passes_and_says_it_failed(void **state)
{
	(void)state;
	print_error("ERROR: " TEXT "\n");
}

static void fails_elsewhere(void **state)
{
	(void)state;
	assert_int_equal(1, 2);
}

/* cmocka takes the signal and reports a test that failed. */
static void crashes(void **state)
{
	(void)state;
	print_error("ERROR: " TEXT "\n");
	raise(SIGSEGV);
}

static void is_killed(void **state)
{
	(void)state;
	print_error("ERROR: " TEXT "\n");
	raise(SIGKILL);
}

static void ends_early(void **state)
{
	(void)state;
	print_error("ERROR: " TEXT "\n");
	exit(1);
}

static int cannot_be_set_up(void **state)
{
	(void)state;
	print_error("ERROR: " TEXT "\n");
	return -1;
}

static int fails_to_clean_up(void **state)
{
	(void)state;
	assert_right(1 > 2, TEXT);
	return 0;
}

static void is_not_set_up(void **state)
{
	(void)state;
}

static void is_not_cleaned_up(void **state)
{
	(void)state;
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(fails_as_expected),
	cmocka_unit_test(passes),
	cmocka_unit_test(passes_and_says_it_failed),
	cmocka_unit_test(fails_elsewhere),
	cmocka_unit_test(crashes),
	cmocka_unit_test(is_killed),
	cmocka_unit_test(ends_early),
	cmocka_unit_test_setup(is_not_set_up, cannot_be_set_up),
	cmocka_unit_test_teardown(is_not_cleaned_up, fails_to_clean_up),
};

KNOWN_MAIN(tests)
