/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What entries that point to tables say of how full those are: axas_audit finds every value that is
 * not so, and accepts every one that is. A wrong one would make the library free a table in use.
 */
#include "counts.h"
#include "fixture.h"

#define BASE GIB

static enum walk_format format_of(const struct fixture *f)
{
	return (enum walk_format)f->cfg.format;
}

/* What the audit says of the table below an entry that says `kind` and `number` of it. */
static axas_status_t audit_with(const struct fixture *f, uint64_t *entry, enum count kind,
				uint64_t number)
{
	const uint64_t was = *entry;
	axas_status_t status;

	*entry = count_with(format_of(f), was, kind, number);
	status = axas_audit(f->as);
	*entry = was;
	return status;
}

/* All values for a table in which `number` entries are occupied, side by side or not. */
static void try_values(const struct fixture *f, uint32_t level, axas_gpa_t gpa, uint64_t number,
		       int is_run)
{
	const uint64_t most = count_most(format_of(f));
	uint64_t *entry = entry_at(f, level, gpa);

	assert_non_null(entry);
	/* A table without occupied entries has to be known as one: it counts as empty where it hangs. */
	assert_status(number == 0 ? AXAS_ERR_BAD_STATE : AXAS_OK,
		      audit_with(f, entry, COUNT_UNKNOWN, 0));
	for (uint64_t n = 1; n <= most; n++)
		if (audit_with(f, entry, COUNT_EXACT, n) !=
		    (n == number ? AXAS_OK : AXAS_ERR_BAD_STATE))
			fail_msg(
				"level %u: %llu is called %llu, and the audit does not see it right",
				level, (unsigned long long)number, (unsigned long long)n);
	assert_status(number == 0 ? AXAS_OK : AXAS_ERR_BAD_STATE,
		      audit_with(f, entry, COUNT_EMPTY, 0));
	assert_status(is_run ? AXAS_OK : AXAS_ERR_BAD_STATE, audit_with(f, entry, COUNT_RUN, 0));
	assert_ok(axas_audit(f->as));
}

static void map_page(struct fixture *f, uint64_t page)
{
	assert_ok(
		axas_map_linear(f->as, BASE + page * PAGE, LINEAR_HPA + 7 * page * PAGE, PAGE, RW));
}

static void one_page_is_one(void **state)
{
	FIXTURE(f);

	map_page(f, 9);
	try_values(f, 2, BASE, 1, 1);
	try_values(f, 3, BASE, 1, 1);
}

static void pages_side_by_side_are_a_run(void **state)
{
	FIXTURE(f);

	for (uint64_t page = 3; page < 8; page++)
		map_page(f, page);
	try_values(f, 2, BASE, 5, 1);
}

static void pages_apart_are_counted(void **state)
{
	FIXTURE(f);

	for (uint64_t page = 0; page < 512; page += 73)
		map_page(f, page);
	try_values(f, 2, BASE, 8, 0);
}

/* Reservations and traps stand in a table like pages. */
static void whatever_stands_there_counts(void **state)
{
	FIXTURE(f);

	map_page(f, 0);
	assert_ok(axas_map_alloc(f->as, BASE + 2 * PAGE, 2 * PAGE, RW));
	assert_ok(axas_map_trap(f->as, BASE + 8 * PAGE, PAGE, 5));
	try_values(f, 2, BASE, 4, 0);
	assert_ok(axas_handle_page_fault(f->as, BASE + 3 * PAGE, AXAS_READ));
	try_values(f, 2, BASE, 4, 0);
}

/* Up to the largest number that can be said, and one beyond. */
static void the_largest_number_and_one_more(void **state)
{
	FIXTURE(f);
	const uint64_t most = count_most(format_of(f));

	for (uint64_t i = 0; i < most; i++)
		map_page(f, 2 * i % 512 + (2 * i >= 512));
	try_values(f, 2, BASE, most, most == 1);
	map_page(f, 511);
	try_values(f, 2, BASE, most + 1, 0);
}

static void a_table_of_tables_is_counted_too(void **state)
{
	FIXTURE(f);

	map_page(f, 0);
	map_page(f, 512);
	map_page(f, 3 * 512);
	try_values(f, 3, BASE, 3, 0);
	try_values(f, 2, BASE + 2 * MIB, 1, 1);
}

static void a_full_table_is_a_run(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_linear(f->as, BASE, LINEAR_HPA, 2 * MIB, RW | AXAS_NO_HUGE));
	try_values(f, 2, BASE, 512, 1);
}

/* Without the option nothing is ever empty; with it the tables that are kept are. */
static void a_table_that_is_kept_is_empty(void **state)
{
	FIXTURE(f);

	f->cfg.options |= AXAS_KEEP_TABLES;
	fixture_create(f);
	map_page(f, 9);
	map_page(f, 512);
	assert_ok(axas_unmap(f->as, BASE + 9 * PAGE, PAGE));
	try_values(f, 2, BASE, 0, 0);
	/* it does not count in the table above */
	assert_int_equal(count_kind(format_of(f), *entry_at(f, 2, BASE)), COUNT_EMPTY);
	try_values(f, 3, BASE, 1, 1);
	try_values(f, 2, BASE + 2 * MIB, 1, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(one_page_is_one),
		EACH_FORMAT(pages_side_by_side_are_a_run),
		EACH_FORMAT(pages_apart_are_counted),
		EACH_FORMAT(whatever_stands_there_counts),
		EACH_FORMAT(the_largest_number_and_one_more),
		EACH_FORMAT(a_table_of_tables_is_counted_too),
		EACH_FORMAT(a_full_table_is_a_run),
		EACH_FORMAT_NO_SPACE(a_table_that_is_kept_is_empty),
	};

	return cmocka_run_group_tests_name("counts", tests, NULL, NULL);
}
