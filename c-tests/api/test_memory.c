/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A host that runs out of memory, at every moment it can. */
#include "fixture.h"

/* Something that takes frames: what has to be there, the call, and whether it may do without. */
struct operation {
	const char *name;
	axas_status_t (*prepare)(struct fixture *f);
	axas_status_t (*run)(struct fixture *f);
};

static axas_status_t prepare_nothing(struct fixture *f)
{
	(void)f;
	return AXAS_OK;
}

static axas_status_t prepare_gigabyte(struct fixture *f)
{
	return axas_map_linear(f->as, GIB, LINEAR_HPA, GIB, RW);
}

static axas_status_t prepare_reservation(struct fixture *f)
{
	return axas_map_alloc(f->as, GIB, 64 * GIB, RW);
}

static axas_status_t prepare_large_reservation(struct fixture *f)
{
	return axas_map_alloc(f->as, GIB, 64 * GIB, RW | AXAS_HUGE_FRAMES);
}

static axas_status_t prepare_large_frames(struct fixture *f)
{
	return axas_map_alloc(f->as, GIB, 4 * MIB, RW | AXAS_HUGE_FRAMES | AXAS_POPULATE);
}

static axas_status_t prepare_trap(struct fixture *f)
{
	return axas_map_trap(f->as, GIB, 64 * GIB, 0x1234567);
}

static axas_status_t prepare_mixture(struct fixture *f)
{
	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, GIB, RW));
	assert_ok(axas_map_alloc(f->as, 2 * GIB, GIB, RW));
	assert_ok(axas_map_alloc(f->as, 3 * GIB, 4 * PAGE, RW | AXAS_POPULATE));
	return axas_map_linear(f->as, 3 * GIB + 4 * PAGE, LINEAR_HPA, 2 * MIB, RW);
}

static axas_status_t prepare_hidden(struct fixture *f)
{
	assert_ok(prepare_gigabyte(f));
	return axas_hide(f->as, GIB, GIB, 0);
}

static axas_status_t prepare_note(struct fixture *f)
{
	return axas_map_note(f->as, GIB, 64 * GIB, 0x1234567, 0);
}

static axas_status_t run_linear(struct fixture *f)
{
	return axas_map_linear(f->as, 100 * GIB - 3 * PAGE, LINEAR_HPA - 3 * PAGE,
			       GIB + 2 * MIB + 6 * PAGE, RW);
}

static axas_status_t run_extents(struct fixture *f)
{
	static const axas_extent_t e[] = {
		{ LINEAR_HPA + PAGE, 600 * PAGE },
		{ LINEAR_HPA, 700 * PAGE },
	};

	return axas_map_extents(f->as, 7 * GIB - 500 * PAGE, e, 2, RW);
}

static axas_status_t run_lazy(struct fixture *f)
{
	return axas_map_alloc(f->as, 7 * GIB - 5 * PAGE, 64 * GIB + 10 * PAGE, RW);
}

static axas_status_t run_trap(struct fixture *f)
{
	return axas_map_trap(f->as, 7 * GIB - 5 * PAGE, 64 * GIB + 10 * PAGE, 5);
}

static axas_status_t run_populate(struct fixture *f)
{
	return axas_map_alloc(f->as, 7 * GIB - 20 * PAGE, 40 * PAGE, RW | AXAS_POPULATE);
}

static axas_status_t run_populate_large(struct fixture *f)
{
	return axas_map_alloc(f->as, 7 * GIB - 5 * PAGE, 2 * MIB + 8 * PAGE,
			      RW | AXAS_POPULATE | AXAS_HUGE_FRAMES);
}

static axas_status_t run_unmap(struct fixture *f)
{
	return axas_unmap(f->as, GIB + MIB + PAGE, 3 * MIB - 3 * PAGE);
}

static axas_status_t run_unmap_wide(struct fixture *f)
{
	return axas_unmap(f->as, GIB + MIB, 2 * GIB + 3 * MIB);
}

static axas_status_t run_protect(struct fixture *f)
{
	return axas_protect(f->as, GIB + MIB + PAGE, 3 * MIB - 3 * PAGE, AXAS_READ);
}

static axas_status_t run_protect_wide(struct fixture *f)
{
	return axas_protect(f->as, GIB + MIB, 2 * GIB, AXAS_READ);
}

static axas_status_t run_note(struct fixture *f)
{
	return axas_map_note(f->as, 7 * GIB - 5 * PAGE, 64 * GIB + 10 * PAGE, 5, 0);
}

static axas_status_t run_retag(struct fixture *f)
{
	return axas_retag(f->as, GIB + MIB + PAGE, 3 * MIB - 3 * PAGE, 1);
}

static axas_status_t run_hide(struct fixture *f)
{
	return axas_hide(f->as, GIB + MIB + PAGE, 3 * MIB - 3 * PAGE, AXAS_HIDE_AUTO);
}

static axas_status_t run_show(struct fixture *f)
{
	return axas_show(f->as, GIB + MIB + PAGE, 3 * MIB - 3 * PAGE);
}

static axas_status_t run_fault(struct fixture *f)
{
	switch (axas_handle_page_fault(f->as, 9 * GIB + 5 * MIB, AXAS_WRITE)) {
	case AXAS_FAULT_RESOLVED:
		return AXAS_OK;
	case AXAS_FAULT_NO_MEMORY:
		return AXAS_ERR_NO_MEMORY;
	default:
		return AXAS_ERR_BAD_STATE;
	}
}

static const struct operation operations[] = {
	{ "map_linear", prepare_nothing, run_linear },
	{ "map_linear beside others", prepare_mixture, run_linear },
	{ "map_extents", prepare_nothing, run_extents },
	{ "map_alloc lazy", prepare_nothing, run_lazy },
	{ "map_trap", prepare_nothing, run_trap },
	{ "map_alloc populated", prepare_nothing, run_populate },
	{ "map_alloc populated, large frames", prepare_nothing, run_populate_large },
	{ "unmap in a gigabyte", prepare_gigabyte, run_unmap },
	{ "unmap in a reservation", prepare_reservation, run_unmap },
	{ "unmap in a trap", prepare_trap, run_unmap },
	{ "unmap in large frames", prepare_large_frames, run_unmap },
	{ "unmap across a mixture", prepare_mixture, run_unmap_wide },
	{ "protect in a gigabyte", prepare_gigabyte, run_protect },
	{ "protect in a reservation", prepare_reservation, run_protect },
	{ "protect in large frames", prepare_large_frames, run_protect },
	{ "protect across a mixture", prepare_mixture, run_protect_wide },
	{ "map_note", prepare_nothing, run_note },
	{ "unmap in a note", prepare_note, run_unmap },
	{ "unmap in a hidden gigabyte", prepare_hidden, run_unmap },
	{ "protect in a hidden gigabyte", prepare_hidden, run_protect },
	{ "retag in a gigabyte", prepare_gigabyte, run_retag },
	{ "retag in a reservation", prepare_reservation, run_retag },
	{ "retag in a trap", prepare_trap, run_retag },
	{ "retag in a note", prepare_note, run_retag },
	{ "retag in a hidden gigabyte", prepare_hidden, run_retag },
	{ "hide in a gigabyte", prepare_gigabyte, run_hide },
	{ "hide in large frames", prepare_large_frames, run_hide },
	{ "show in a hidden gigabyte", prepare_hidden, run_show },
	{ "fault", prepare_reservation, run_fault },
	{ "fault, large frames", prepare_large_reservation, run_fault },
};

/*
 * The k-th allocation fails, for every k until the call needs no more: then nothing has changed
 * (the wrappers compare word by word), and the same call works with memory. A call may also do
 * without the frame, where that was a large one.
 */
static uint64_t sweep_operation(struct fixture *f, const struct operation *op)
{
	uint64_t failures = 0;

	for (uint64_t k = 1;; k++) {
		axas_status_t status;
		int used_up;

		assert_ok(op->prepare(f));
		f->host.fail_at = k;
		status = op->run(f);
		used_up = f->host.fail_at == 0;
		f->host.fail_at = 0;
		if (status != AXAS_OK) {
			if (status != AXAS_ERR_NO_MEMORY || !used_up)
				fail_msg("%s, allocation %llu: status %d", op->name,
					 (unsigned long long)k, status);
			failures++;
			assert_ok(op->run(f));
		}
		space_sweep(f->as);
		assert_ok(axas_unmap(f->as, 0, SPACE_SIZE));
		assert_int_equal(space_sweep(f->as).table_frames, 1u << f->fc->root_order);
		host_check(&f->host);
		if (!used_up)
			return failures;
	}
}

static void with_all_parts(struct fixture *f)
{
	f->host.hides = 1;
	if (f->fc->format == AXAS_FORMAT_RISCV_GSTAGE)
		f->cfg.features |= AXAS_FEATURE_RISCV_SVRSW60T59B;
}

static void every_allocation_may_fail_and_nothing_changes(void **state)
{
	FIXTURE(f);

	with_all_parts(f);
	fixture_create(f);
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
		if (sweep_operation(f, &operations[i]) == 0)
			fail_msg("%s never failed", operations[i].name);
}

static void the_same_through_windows(void **state)
{
	static _Alignas(AXAS_STORAGE_ALIGN) uint8_t storage[AXAS_STORAGE_SIZE];
	FIXTURE(f);

	host_exit(&f->host);
	host_init(&f->host, HOST_WINDOWS, HOST_PA_BASE);
	with_all_parts(f);
	assert_ok(axas_create_in(storage, sizeof(storage), &f->cfg, &f->host.hal, &f->as));
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
		assert_true(sweep_operation(f, &operations[i]) > 0);
	assert_true(f->host.windows_opened > 0);
}

/* An unmap whose ends lie on the boundaries of entries takes no memory. */
static void an_unmap_along_entries_needs_no_memory(void **state)
{
	FIXTURE(f);

	assert_ok(prepare_mixture(f));
	f->host.fail_purpose = AXAS_FRAME_TABLE;
	assert_ok(axas_unmap(f->as, GIB, GIB));
	assert_ok(axas_unmap(f->as, 3 * GIB + PAGE, 2 * PAGE));
	assert_ok(axas_unmap(f->as, 0, SPACE_SIZE));
	assert_int_equal(space_sweep(f->as).table_frames, 1u << f->fc->root_order);
}

static void check_table_counts(struct fixture *f, const struct operation *op)
{
	uint32_t needed;

	f->cfg.table_quota = 0;
	fixture_create(f);
	assert_ok(op->run(f));
	needed = (uint32_t)stats(f).table_frames;
	fixture_destroy(f);
	for (uint32_t quota = 1u << f->fc->root_order; quota <= needed; quota++) {
		f->cfg.table_quota = quota;
		fixture_create(f);
		assert_status(quota == needed ? AXAS_OK : AXAS_ERR_NO_MEMORY, op->run(f));
		assert_true(stats(f).table_frames <= quota);
		fixture_destroy(f);
	}
}

static void a_quota_of_what_is_needed_is_enough_and_one_less_is_not(void **state)
{
	FIXTURE(f);

	with_all_parts(f);
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
		if (operations[i].prepare == prepare_nothing)
			check_table_counts(f, &operations[i]);
}

static void a_cut_takes_at_most_levels_minus_1_tables_for_each_edge(void **state)
{
	FIXTURE(f);

	with_all_parts(f);
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
		uint64_t taken;

		if (operations[i].run != run_unmap && operations[i].run != run_unmap_wide)
			continue;
		assert_ok(operations[i].prepare(f));
		taken = f->host.tables_taken;
		assert_ok(operations[i].run(f));
		assert_true(f->host.tables_taken - taken <= 2 * (axas_levels(f->as) - 1));
		assert_ok(axas_clear(f->as));
	}
}

static void a_failed_call_asks_for_no_flush(void **state)
{
	FIXTURE(f);

	assert_ok(prepare_mixture(f));
	host_forget_log(&f->host);
	f->host.fail_purpose = AXAS_FRAME_TABLE;
	assert_status(AXAS_ERR_NO_MEMORY, run_unmap_wide(f));
	assert_status(AXAS_ERR_NO_MEMORY, run_protect_wide(f));
	assert_status(AXAS_ERR_NO_MEMORY, run_linear(f));
	assert_int_equal(f->host.flushes, 0);
	assert_int_equal(f->host.runs, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT_NO_SPACE(every_allocation_may_fail_and_nothing_changes),
		EACH_FORMAT_NO_SPACE(the_same_through_windows),
		EACH_FORMAT(an_unmap_along_entries_needs_no_memory),
		EACH_FORMAT_NO_SPACE(a_quota_of_what_is_needed_is_enough_and_one_less_is_not),
		EACH_FORMAT(a_cut_takes_at_most_levels_minus_1_tables_for_each_edge),
		EACH_FORMAT(a_failed_call_asks_for_no_flush),
	};

	return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
