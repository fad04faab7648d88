/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What axas_audit finds: leaves over tables of the space. */
#include "fixture.h"

#define BASE GIB

/* Tables that are out, the root's pages one by one, in any order; how many. */
static size_t tables_of(const struct fixture *f, axas_hpa_t *tables, size_t most)
{
	const struct host *h = &f->host;
	size_t count = 0;

	for (uint64_t i = 0; i < h->pool_bytes / PAGE; i++) {
		const struct host_frame *frame = &h->frame[i];

		if (frame->state != HOST_FRAME_FREE && frame->purpose != AXAS_FRAME_GUEST &&
		    count < most)
			tables[count++] = h->pa_base + i * PAGE;
	}
	return count;
}

/* In storage of the caller, so that all frames of the library are tables. */
static void create(struct fixture *f)
{
	static _Alignas(AXAS_STORAGE_ALIGN) uint8_t storage[AXAS_STORAGE_SIZE];

	assert_ok(axas_create_in(storage, sizeof(storage), &f->cfg, &f->host.hal, &f->as));
}

/* A leaf over [hpa, hpa + size), for as long as the audit takes. */
static void expect_audit(struct fixture *f, axas_status_t status, axas_hpa_t hpa, uint64_t size)
{
	f->host.quick = 1; /* the walk of the tables around each call would find it first */
	assert_ok(axas_map_linear(f->as, 4 * GIB + hpa % GIB, hpa, size, RW));
	assert_status(status, axas_audit(f->as));
	assert_ok(axas_unmap(f->as, 4 * GIB + hpa % GIB, size));
	assert_ok(axas_audit(f->as));
	f->host.quick = 0;
}

static void a_page_over_any_table_is_found(void **state)
{
	static axas_hpa_t tables[64];
	FIXTURE(f);
	size_t count;

	create(f);
	assert_ok(axas_map_linear(f->as, BASE, HOST_PA_BASE + HOST_LINEAR, PAGE, RW));
	assert_ok(axas_map_alloc(f->as, 2 * BASE, 3 * PAGE, RW | AXAS_POPULATE));
	count = tables_of(f, tables, 64);
	assert_in_range(count, 3, 63);
	for (size_t i = 0; i < count; i++)
		expect_audit(f, AXAS_ERR_BAD_STATE, tables[i], PAGE);
}

static void a_large_page_over_a_table_is_found(void **state)
{
	axas_hpa_t table;
	FIXTURE(f);

	create(f);
	assert_int_equal(tables_of(f, &table, 1), 1);
	expect_audit(f, AXAS_ERR_BAD_STATE, table & ~(2 * MIB - 1), 2 * MIB);
}

static int is_table(const axas_hpa_t *tables, size_t count, axas_hpa_t hpa)
{
	while (count > 0)
		if (tables[--count] == hpa)
			return 1;
	return 0;
}

static void pages_beside_tables_are_nobodys_business(void **state)
{
	static axas_hpa_t tables[64];
	FIXTURE(f);
	size_t count;

	create(f);
	assert_ok(axas_map_linear(f->as, BASE, HOST_PA_BASE + HOST_LINEAR, PAGE, RW));
	count = tables_of(f, tables, 64);
	for (size_t i = 0; i < count; i++)
		for (uint32_t after = 0; after < 2; after++) {
			const axas_hpa_t beside = after ? tables[i] + PAGE : tables[i] - PAGE;

			if (!is_table(tables, count, beside))
				expect_audit(f, AXAS_OK, beside, PAGE);
		}
}

/* More tables apart from each other than one look takes. */
static void the_last_of_many_tables_is_found(void **state)
{
	static axas_hpa_t tables[512];
	FIXTURE(f);
	size_t count;

	create(f);
	for (uint64_t i = 0; i < 200; i++)
		assert_ok(axas_map_linear(f->as, i * GIB, HOST_PA_BASE + HOST_LINEAR, PAGE, RW));
	count = tables_of(f, tables, 512);
	assert_in_range(count, 400, 511);
	for (size_t i = 0; i < count; i += 7)
		expect_audit(f, AXAS_ERR_BAD_STATE, tables[i], PAGE);
	expect_audit(f, AXAS_ERR_BAD_STATE, tables[count - 1], PAGE);
}

static axas_phys_to_virt_fn reach_of_host;
static struct fixture *beside;
static uint32_t reached, fault_at; /* tables opened, and at which one other vCPUs fault */
static uint32_t faults;

static void *reach_and_fault(void *ctx, axas_hpa_t pa, size_t size)
{
	if (++reached == fault_at)
		for (uint32_t i = 0; i < faults; i++)
			assert_int_equal(axas_handle_page_fault(
						 beside->as, BASE + (3 + i) * 2 * MIB, AXAS_WRITE),
					 AXAS_FAULT_RESOLVED);
	return reach_of_host(ctx, pa, size);
}

static void audit_beside(struct fixture *f, uint32_t count)
{
	host_exit(&f->host);
	host_init(&f->host, HOST_CALLBACK, HOST_PA_BASE);
	f->host.quick = 1;
	reach_of_host = f->host.hal.phys_to_virt;
	f->host.hal.phys_to_virt = reach_and_fault;
	f->cfg.options |= AXAS_CALLER_LOCKED;
	beside = f;
	faults = count;
	create(f);
	for (uint32_t at = 1; at == 1 || reached >= fault_at; at++) {
		fault_at = 0;
		assert_ok(axas_clear(f->as));
		assert_ok(axas_map_alloc(f->as, BASE, GIB, RW));
		if (count == 1)
			assert_int_equal(axas_handle_page_fault(f->as, BASE, AXAS_WRITE),
					 AXAS_FAULT_RESOLVED);
		reached = 0;
		fault_at = at;
		assert_ok(axas_audit(f->as));
	}
	assert_true(fault_at > 4);
	fault_at = 0;
	fixture_destroy(f);
}

/* A table that a fault brings is no leaf over the tables beside it. */
static void a_fault_at_any_time_of_an_audit_exposes_nothing(void **state)
{
	audit_beside(*state, 1);
}

/* More tables than one look takes, where there were one or two. */
static void many_faults_at_any_time_of_an_audit_are_looked_at(void **state)
{
	audit_beside(*state, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT_NO_SPACE(a_page_over_any_table_is_found),
		EACH_FORMAT_NO_SPACE(a_large_page_over_a_table_is_found),
		EACH_FORMAT_NO_SPACE(pages_beside_tables_are_nobodys_business),
		EACH_FORMAT_NO_SPACE(the_last_of_many_tables_is_found),
		EACH_FORMAT_NO_SPACE(a_fault_at_any_time_of_an_audit_exposes_nothing),
		EACH_FORMAT_NO_SPACE(many_faults_at_any_time_of_an_audit_are_looked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
