/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Tests of defects that are known: each fails, and is in ../expected-failures.txt. */
#ifndef CTESTS_KNOWN_H
#define CTESTS_KNOWN_H

#include "fixture.h"

/*
 * The assertion that fails while the defect is there, and says what the list quotes. Any other that
 * fails is a failure that nobody expects.
 */
#define assert_right(holds, otherwise)             \
	do {                                       \
		if (!(holds))                      \
			fail_msg("%s", otherwise); \
	} while (0)

/* Runs the one test that the command line names: `test [format]`. */
#define KNOWN_MAIN(tests)                                                       \
	int main(int argc, char **argv)                                         \
	{                                                                       \
		if (argc != 2)                                                  \
			return 2;                                               \
		cmocka_set_test_filter(argv[1]);                                \
		return cmocka_run_group_tests_name("known", tests, NULL, NULL); \
	}

#endif
