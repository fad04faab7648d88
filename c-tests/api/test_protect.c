/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* New permissions on what is mapped or reserved. */
#include "fixture.h"

static void permissions_change_and_nothing_else_does(void **state)
{
	FIXTURE(f);
	axas_mapping_t before, after;

	f->cfg.features |=
		f->cfg.format == AXAS_FORMAT_RISCV_GSTAGE ? AXAS_FEATURE_RISCV_SVPBMT : 0;
	fixture_create(f);
	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, GIB, RW | AXAS_UNCACHED));
	assert_ok(axas_map_alloc(f->as, 2 * GIB, 3 * PAGE, RWX | AXAS_UNCACHED));
	assert_int_equal(axas_handle_page_fault(f->as, 2 * GIB + PAGE, AXAS_WRITE),
			 AXAS_FAULT_RESOLVED);
	before = at(f, 2 * GIB + PAGE);
	memset(guest_memory(f, 2 * GIB + PAGE), 0x77, PAGE);
	assert_ok(axas_protect(f->as, GIB, GIB + 3 * PAGE, AXAS_READ));
	expect_leaf(f, 2 * GIB - 1, GIB, LINEAR_HPA + GIB - 1, AXAS_READ);
	assert_int_equal(space_walk(f->as, GIB).memory,
			 space_memory(f->cfg.format, f->cfg.features, AXAS_UNCACHED));
	after = at(f, 2 * GIB + PAGE);
	assert_int_equal(after.hpa, before.hpa);
	assert_int_equal(after.state, AXAS_STATE_OWNED);
	assert_int_equal(space_access(after.flags), AXAS_READ);
	assert_int_equal(*guest_memory(f, 2 * GIB + PAGE), 0x77);
	assert_int_equal(at(f, 2 * GIB).state, AXAS_STATE_RESERVED);
	assert_int_equal(at(f, 2 * GIB).flags, AXAS_READ | AXAS_UNCACHED);
	assert_int_equal(axas_handle_page_fault(f->as, 2 * GIB, AXAS_WRITE), AXAS_FAULT_DENIED);
	assert_int_equal(axas_handle_page_fault(f->as, 2 * GIB, AXAS_READ), AXAS_FAULT_RESOLVED);
	space_sweep(f->as);
}

static void options_of_a_reservation_stay(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_alloc(f->as, 2 * MIB, 2 * MIB, RWX | AXAS_HUGE_FRAMES | AXAS_MAX_2M));
	assert_ok(axas_protect(f->as, 2 * MIB, 2 * MIB, RW));
	assert_int_equal(at(f, 2 * MIB).flags, RW | AXAS_HUGE_FRAMES | AXAS_MAX_2M);
	assert_int_equal(axas_handle_page_fault(f->as, 3 * MIB, AXAS_WRITE), AXAS_FAULT_RESOLVED);
	assert_int_equal(at(f, 3 * MIB).size, 2 * MIB);
}

static void a_cut_splits_huge_pages_and_reservations(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, GIB, RW));
	assert_ok(axas_map_alloc(f->as, 2 * GIB, GIB, RW));
	assert_ok(axas_protect(f->as, 2 * GIB - PAGE, 2 * PAGE, AXAS_READ));
	expect_leaf(f, 2 * GIB - PAGE, PAGE, LINEAR_HPA + GIB - PAGE, AXAS_READ);
	expect_leaf(f, 2 * GIB - 2 * PAGE, PAGE, LINEAR_HPA + GIB - 2 * PAGE, RW);
	expect_leaf(f, 2 * GIB - 3 * MIB, 2 * MIB, LINEAR_HPA + GIB - 3 * MIB, RW);
	assert_int_equal(at(f, 2 * GIB).flags, AXAS_READ);
	assert_int_equal(at(f, 2 * GIB).size, PAGE);
	assert_int_equal(at(f, 2 * GIB + PAGE).flags, RW);
	space_sweep(f->as);
}

static void large_owned_frames_split_without_moving(void **state)
{
	FIXTURE(f);
	axas_mapping_t m;

	assert_ok(axas_map_alloc(f->as, 2 * MIB, 2 * MIB, RW | AXAS_HUGE_FRAMES | AXAS_POPULATE));
	m = at(f, 2 * MIB);
	memset(guest_memory(f, 2 * MIB), 0x33, 2 * MIB);
	assert_ok(axas_protect(f->as, 3 * MIB, PAGE, AXAS_READ));
	assert_int_equal(at(f, 3 * MIB).hpa, m.hpa + MIB);
	assert_int_equal(space_access(at(f, 3 * MIB).flags), AXAS_READ);
	assert_int_equal(space_access(at(f, 3 * MIB + PAGE).flags), RW);
	assert_int_equal(*guest_memory(f, 3 * MIB), 0x33);
	assert_int_equal(f->host.guest_out, 512);
	space_sweep(f->as);
}

static void a_hole_or_a_trap_in_the_range_is_not_mapped(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, 3 * PAGE, RW));
	assert_ok(axas_map_alloc(f->as, GIB + 4 * PAGE, 2 * PAGE, RW));
	assert_ok(axas_map_trap(f->as, GIB + 6 * PAGE, PAGE, 1));
	assert_status(AXAS_ERR_NOT_MAPPED, axas_protect(f->as, GIB, 6 * PAGE, AXAS_READ));
	assert_status(AXAS_ERR_NOT_MAPPED, axas_protect(f->as, GIB - PAGE, 2 * PAGE, AXAS_READ));
	assert_status(AXAS_ERR_NOT_MAPPED,
		      axas_protect(f->as, GIB + 4 * PAGE, 3 * PAGE, AXAS_READ));
	assert_status(AXAS_ERR_NOT_MAPPED, axas_protect(f->as, GIB + 6 * PAGE, PAGE, AXAS_READ));
	assert_status(AXAS_ERR_NOT_MAPPED, axas_protect(f->as, 0, SPACE_SIZE, AXAS_READ));
	assert_status(AXAS_ERR_NOT_MAPPED, axas_protect(f->as, 9 * GIB, PAGE, AXAS_READ));
	expect_leaf(f, GIB, PAGE, LINEAR_HPA, RW);
	assert_ok(axas_protect(f->as, GIB, 3 * PAGE, AXAS_READ));
	assert_ok(axas_protect(f->as, GIB + 4 * PAGE, 2 * PAGE, AXAS_READ));
}

static void only_permissions_are_taken(void **state)
{
	static const axas_flags_t foreign[] = { AXAS_DEVICE,   AXAS_UNCACHED,    AXAS_NO_HUGE,
						AXAS_POPULATE, AXAS_HUGE_FRAMES, AXAS_REPLACE };
	static const axas_status_t bad = AXAS_ERR_INVALID_INPUT;
	FIXTURE(f);

	assert_ok(axas_map_linear(f->as, 0, LINEAR_HPA, 4 * PAGE, RW));
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
		assert_status(bad, axas_protect(f->as, 0, PAGE, AXAS_READ | foreign[i]));
	assert_status(bad, axas_protect(f->as, 1, PAGE, AXAS_READ));
	assert_status(bad, axas_protect(f->as, 0, PAGE + 1, AXAS_READ));
	assert_status(bad, axas_protect(f->as, 0, 0, AXAS_READ));
	assert_status(bad, axas_protect(f->as, SPACE_SIZE, PAGE, AXAS_READ));
	assert_status(bad, axas_protect(f->as, SPACE_SIZE - PAGE, 2 * PAGE, AXAS_READ));
	assert_status(bad, axas_protect(f->as, 0 - PAGE, 2 * PAGE, AXAS_READ));
	assert_ok(axas_protect(f->as, 0, PAGE, AXAS_READ | AXAS_USER));
}

static void permissions_the_format_cannot_say_are_unsupported(void **state)
{
	FIXTURE(f);
	const int arm = f->cfg.format == AXAS_FORMAT_ARM_S2;
	const int execute_only = arm || f->cfg.format == AXAS_FORMAT_RISCV_GSTAGE;

	assert_ok(axas_map_linear(f->as, 0, LINEAR_HPA, PAGE, RWX));
	assert_status(arm ? AXAS_OK : AXAS_ERR_UNSUPPORTED,
		      axas_protect(f->as, 0, PAGE, AXAS_WRITE));
	assert_status(execute_only ? AXAS_OK : AXAS_ERR_UNSUPPORTED,
		      axas_protect(f->as, 0, PAGE, AXAS_EXECUTE));
	at(f, 0);
}

static void what_gets_tighter_is_flushed_on_all_cpus(void **state)
{
	FIXTURE(f);
	const axas_tlb_request_t *q;

	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, 4 * MIB, RWX));
	host_forget_log(&f->host);
	assert_ok(axas_protect(f->as, GIB, 4 * MIB, RX));
	assert_int_equal(f->host.flushes, 1);
	q = host_last_flush(&f->host);
	assert_int_equal(q->reason, AXAS_FLUSH_TIGHTEN);
	assert_int_equal(q->scope, AXAS_SCOPE_ALL);
	assert_int_equal(q->vmid, 5);
	assert_true(space_flush_covered(GIB, 4 * MIB));
	/* one permission goes, another comes */
	assert_ok(axas_protect(f->as, GIB, 2 * MIB, RW));
	assert_int_equal(host_last_flush(&f->host)->scope, AXAS_SCOPE_ALL);
	assert_true(space_flush_covered(GIB, 2 * MIB));
}

static void what_gets_wider_concerns_this_cpu_at_most(void **state)
{
	FIXTURE(f);
	const int x86 = f->cfg.format <= AXAS_FORMAT_NPT;

	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, 4 * MIB, AXAS_READ));
	host_forget_log(&f->host);
	assert_ok(axas_protect(f->as, GIB, 4 * MIB, RWX));
	assert_int_equal(f->host.flushes, x86 ? 0 : 1);
	if (!x86) {
		assert_int_equal(host_last_flush(&f->host)->reason, AXAS_FLUSH_RELAX);
		assert_int_equal(host_last_flush(&f->host)->scope, AXAS_SCOPE_LOCAL);
	}
	assert_ok(axas_protect(f->as, GIB, 4 * MIB, RWX));
	assert_int_equal(f->host.flushes_all, 0);
}

static void reservations_change_without_a_flush(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_alloc(f->as, GIB, 4 * MIB, RW));
	host_forget_log(&f->host);
	assert_ok(axas_protect(f->as, GIB, 4 * MIB, AXAS_READ));
	assert_int_equal(f->host.flushes_all, 0);
	assert_int_equal(at(f, GIB + MIB).flags, AXAS_READ);
}

/* What a walker finds for the block at GIB while the flush runs. */
static void look_in_flush(struct host *h, const axas_tlb_request_t *request)
{
	struct fixture *f = h->in_flush_arg;
	const struct walker w = space_walker(f->as);

	if (request->scope == AXAS_SCOPE_ALL)
		f->seen_in_flush = walker_walk(&w, GIB).outcome;
}

/* Break-before-make: a block is invalid while its translations go, and only then a table. */
static void arm_breaks_a_block_before_it_makes_the_table(void **state)
{
	static const axas_flags_t permissions[] = { AXAS_READ, RWX };
	FIXTURE(f);

	f->host.in_flush = look_in_flush;
	f->host.in_flush_arg = f;
	for (size_t i = 0; i < 2; i++) {
		assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, GIB, RW));
		host_forget_log(&f->host);
		f->seen_in_flush = WALK_LEAF;
		assert_ok(axas_protect(f->as, GIB + MIB, PAGE, permissions[i]));
		assert_int_equal(f->host.flushes, 1);
		assert_int_equal(f->seen_in_flush, WALK_FAULT);
		assert_true(space_flush_covered(GIB, GIB));
		assert_ok(axas_unmap(f->as, GIB, GIB));
		assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, GIB, RW));
		f->seen_in_flush = WALK_LEAF;
		assert_ok(axas_unmap(f->as, GIB + 512 * MIB, PAGE));
		assert_int_equal(f->seen_in_flush, WALK_FAULT);
		assert_ok(axas_clear(f->as));
	}
	f->host.in_flush = NULL;
}

static void a_split_that_takes_nothing_away_is_a_break(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, GIB, RW));
	host_forget_log(&f->host);
	assert_ok(axas_protect(f->as, GIB + MIB, PAGE, RWX));
	assert_int_equal(host_last_flush(&f->host)->reason, AXAS_FLUSH_BREAK);
}

static void with_bbm_level_2_a_block_becomes_a_table_in_one_store(void **state)
{
	FIXTURE(f);

	f->cfg.features |= AXAS_FEATURE_ARM_BBM2;
	fixture_create(f);
	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, GIB, RW));
	f->host.in_flush = look_in_flush;
	f->host.in_flush_arg = f;
	f->seen_in_flush = WALK_FAULT;
	assert_ok(axas_protect(f->as, GIB + MIB, PAGE, AXAS_READ));
	assert_int_equal(f->seen_in_flush, WALK_LEAF);
	f->host.in_flush = NULL;
}

/* A protect of a part to what it has: no table, no flush, no smaller page. */
static void expect_nothing_done(const struct fixture *f, const axas_stats_t *before,
				uint64_t allocations)
{
	const axas_stats_t now = stats(f);

	assert_true(f->host.allocations == allocations);
	assert_true(f->host.flushes == 0);
	assert_true(now.table_frames == before->table_frames);
	assert_true(now.mapped_2m == before->mapped_2m);
	assert_true(now.mapped_1g == before->mapped_1g);
}

static void a_part_keeps_its_large_page(void **state)
{
	FIXTURE(f);
	axas_stats_t before;
	uint64_t allocations;

	assert_ok(axas_map_linear(f->as, 2 * GIB, LINEAR_HPA, GIB, RW));
	assert_ok(axas_map_linear(f->as, 4 * GIB, LINEAR_HPA + 2 * GIB, 2 * MIB, RX));
	assert_ok(axas_map_alloc(f->as, 6 * GIB, 2 * MIB, RW | AXAS_HUGE_FRAMES | AXAS_POPULATE));
	before = stats(f);
	assert_int_equal(before.mapped_1g, 1);
	assert_int_equal(before.mapped_2m, 2);
	allocations = f->host.allocations;
	host_forget_log(&f->host);
	assert_ok(axas_protect(f->as, 2 * GIB + 5 * MIB, 7 * PAGE, RW));
	assert_ok(axas_protect(f->as, 4 * GIB + PAGE, PAGE, RX));
	assert_ok(axas_protect(f->as, 6 * GIB, PAGE, RW));
	expect_nothing_done(f, &before, allocations);
}

static void a_part_keeps_its_reservation(void **state)
{
	FIXTURE(f);
	axas_stats_t before;
	uint64_t allocations;

	assert_ok(axas_map_alloc(f->as, 2 * GIB, 2 * GIB, RW));
	before = stats(f);
	allocations = f->host.allocations;
	host_forget_log(&f->host);
	assert_ok(axas_protect(f->as, 2 * GIB + 5 * MIB, 7 * PAGE, RW));
	expect_nothing_done(f, &before, allocations);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT_NO_SPACE(permissions_change_and_nothing_else_does),
		EACH_FORMAT(options_of_a_reservation_stay),
		EACH_FORMAT(a_cut_splits_huge_pages_and_reservations),
		EACH_FORMAT(large_owned_frames_split_without_moving),
		EACH_FORMAT(a_hole_or_a_trap_in_the_range_is_not_mapped),
		EACH_FORMAT(only_permissions_are_taken),
		EACH_FORMAT(permissions_the_format_cannot_say_are_unsupported),
		EACH_FORMAT(what_gets_tighter_is_flushed_on_all_cpus),
		EACH_FORMAT(what_gets_wider_concerns_this_cpu_at_most),
		EACH_FORMAT(reservations_change_without_a_flush),
		EACH_FORMAT(a_part_keeps_its_large_page),
		EACH_FORMAT(a_part_keeps_its_reservation),
		ONE(arm_breaks_a_block_before_it_makes_the_table, setup_space, arm),
		ONE(a_split_that_takes_nothing_away_is_a_break, setup_space, arm),
		ONE(with_bbm_level_2_a_block_becomes_a_table_in_one_store, setup_host, arm),
	};

	return cmocka_run_group_tests_name("protect", tests, NULL, NULL);
}
