/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Version, status strings, the logger. */
#include "fixture.h"

static struct {
	uint32_t messages[6];
	uint32_t odd;
} logged;

static void count_message(void *ctx, uint32_t level, const char *target, const char *text)
{
	if (ctx != &logged || level < 1 || level > 5 || target == NULL || text == NULL ||
	    strlen(text) == 0 || strlen(text) > 1024)
		logged.odd++;
	else
		logged.messages[level]++;
}

static uint32_t all_messages(void)
{
	uint32_t sum = 0;

	for (int level = 1; level <= 5; level++)
		sum += logged.messages[level];
	return sum;
}

static void the_archive_is_of_the_header(void **state)
{
	(void)state;
	assert_int_equal(axas_version(),
			 AXAS_VERSION_MAJOR << 16 | AXAS_VERSION_MINOR << 8 | AXAS_VERSION_PATCH);
}

static void every_status_has_words_of_its_own(void **state)
{
	(void)state;
	for (axas_status_t a = AXAS_ERR_AGAIN; a <= AXAS_OK; a++) {
		assert_true(strlen(axas_status_str(a)) > 0);
		for (axas_status_t b = AXAS_ERR_AGAIN; b < a; b++)
			assert_string_not_equal(axas_status_str(a), axas_status_str(b));
	}
	assert_non_null(axas_status_str(1));
	assert_non_null(axas_status_str(-9));
	assert_non_null(axas_status_str(INT32_MIN));
	assert_non_null(axas_status_str(INT32_MAX));
}

static void rejected_calls_are_warnings(void **state)
{
	FIXTURE(f);

	memset(&logged, 0, sizeof(logged));
	axas_set_logger(count_message, &logged, 5);
	assert_status(AXAS_ERR_INVALID_INPUT, axas_map_linear(f->as, 1, LINEAR_HPA, PAGE, RW));
	axas_set_logger(NULL, NULL, 0);
	assert_int_equal(logged.messages[2], 1);
	assert_int_equal(logged.odd, 0);
}

static void map_and_unmap_are_debug_messages(void **state)
{
	FIXTURE(f);

	memset(&logged, 0, sizeof(logged));
	axas_set_logger(count_message, &logged, 5);
	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, PAGE, RW));
	assert_true(logged.messages[4] >= 1);
	logged.messages[4] = 0;
	assert_ok(axas_unmap(f->as, GIB, PAGE));
	assert_true(logged.messages[4] >= 1);
	axas_set_logger(NULL, NULL, 0);
	assert_int_equal(logged.messages[1] + logged.messages[2], 0);
	assert_int_equal(logged.odd, 0);
}

static void nothing_a_guest_does_is_louder_than_debug(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_alloc(f->as, GIB, PAGE, AXAS_READ));
	assert_ok(axas_map_trap(f->as, 2 * GIB, PAGE, 1));
	memset(&logged, 0, sizeof(logged));
	axas_set_logger(count_message, &logged, 3);
	for (axas_gpa_t gpa = 0; gpa < 4 * GIB; gpa += GIB)
		for (int write = 0; write < 2; write++)
			assert_int_not_equal(axas_handle_page_fault(f->as, gpa,
								    write ? AXAS_WRITE : AXAS_READ),
					     AXAS_FAULT_ERROR);
	assert_int_equal(axas_handle_page_fault(f->as, ~0ull, AXAS_READ), AXAS_FAULT_UNMAPPED);
	axas_set_logger(NULL, NULL, 0);
	assert_int_equal(all_messages(), 0);
}

static void nonsense_from_the_host_is_an_error_message(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_alloc(f->as, GIB, PAGE, AXAS_READ));
	memset(&logged, 0, sizeof(logged));
	axas_set_logger(count_message, &logged, 1);
	f->host.nonsense = HOST_GIVES_UNALIGNED;
	f->host.nonsense_purpose = AXAS_FRAME_GUEST;
	assert_int_equal(axas_handle_page_fault(f->as, GIB, AXAS_READ), AXAS_FAULT_NO_MEMORY);
	f->host.nonsense = HOST_SANE;
	axas_set_logger(NULL, NULL, 0);
	assert_int_equal(logged.messages[1], 1);
}

static void the_level_bounds_what_comes(void **state)
{
	FIXTURE(f);

	memset(&logged, 0, sizeof(logged));
	axas_set_logger(count_message, &logged, 1);
	assert_status(AXAS_ERR_INVALID_INPUT, axas_map_linear(f->as, 1, LINEAR_HPA, PAGE, RW));
	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, PAGE, RW));
	axas_set_logger(count_message, &logged, 0);
	assert_status(AXAS_ERR_INVALID_INPUT, axas_map_linear(f->as, 1, LINEAR_HPA, PAGE, RW));
	axas_set_logger(NULL, NULL, 5);
	assert_status(AXAS_ERR_INVALID_INPUT, axas_map_linear(f->as, 1, LINEAR_HPA, PAGE, RW));
	assert_int_equal(all_messages(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_archive_is_of_the_header),
		cmocka_unit_test(every_status_has_words_of_its_own),
		EACH_FORMAT(rejected_calls_are_warnings),
		EACH_FORMAT(map_and_unmap_are_debug_messages),
		EACH_FORMAT(nothing_a_guest_does_is_louder_than_debug),
		EACH_FORMAT(nonsense_from_the_host_is_an_error_message),
		EACH_FORMAT(the_level_bounds_what_comes),
	};

	return cmocka_run_group_tests_name("around", tests, NULL, NULL);
}
