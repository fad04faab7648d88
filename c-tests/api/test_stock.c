/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * axas_stock: table frames that the space has before a call, so that the call cannot fail for want of
 * them.
 */
#include "fixture.h"

#define AT          (4 * GIB)
#define CUTS(f)     (2 * (axas_levels((f)->as) - 1))
#define SCRIPTS     200
#define CHANGES     12
#define LINEAR_SIZE (8 * GIB)

static uint64_t next(uint64_t *random)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return *random;
}

static axas_status_t stock(struct fixture *f, uint32_t frames)
{
	const axas_status_t status = axas_stock(f->as, frames);

	if (status == AXAS_OK)
		f->host.stocked = frames;
	return status;
}

/* Table frames of the space in which no table is. */
static uint64_t stocked(const struct fixture *f)
{
	return stats(f).table_frames - space_sweep(f->as).table_frames;
}

static void archives_say_whether_they_have_it(void **state)
{
	(void)state;
	assert_int_equal(axas_parts() & AXAS_PART_STOCK, AXAS_PART_STOCK);
}

static void the_stock_is_what_the_last_call_said(void **state)
{
	FIXTURE(f);
	const uint64_t out = f->host.tables_out;
	const uint32_t sizes[] = { 5, 9, 9, 2, 0, 0, 1, 300, 0 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_ok(stock(f, sizes[i]));
		assert_int_equal(f->host.tables_out, out + sizes[i]);
		assert_int_equal(stocked(f), sizes[i]);
	}
	assert_int_equal(f->host.flushes, 0);
}

static void what_a_call_uses_is_not_taken_again(void **state)
{
	FIXTURE(f);
	const uint64_t levels = axas_levels(f->as);
	uint64_t taken;

	assert_ok(stock(f, 10));
	taken = f->host.tables_taken;
	f->host.fail_purpose = AXAS_FRAME_TABLE;
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA + PAGE, PAGE, RW));
	assert_int_equal(stocked(f), 10 - (levels - 1));
	/* beside it: no table */
	assert_ok(axas_map_linear(f->as, AT + PAGE, LINEAR_HPA, PAGE, RW));
	assert_int_equal(stocked(f), 10 - (levels - 1));
	/* a call that fails uses nothing */
	assert_status(AXAS_ERR_ALREADY_EXISTS, axas_map_linear(f->as, AT, LINEAR_HPA, GIB, RW));
	assert_int_equal(stocked(f), 10 - (levels - 1));
	/* tables that go are the host's again */
	assert_ok(axas_unmap(f->as, AT, 2 * PAGE));
	assert_int_equal(stocked(f), 10 - (levels - 1));
	assert_int_equal(f->host.tables_taken, taken);
}

static void one_frame_less_fails_and_changes_nothing(void **state)
{
	FIXTURE(f);
	const axas_gpa_t gpa = AT + GIB - PAGE;
	uint64_t needed;

	assert_ok(axas_tables_needed(&f->cfg, gpa, 3 * PAGE, RW, &needed));
	needed -= root_frames(f);
	assert_ok(stock(f, (uint32_t)needed - 1));
	f->host.fail_purpose = AXAS_FRAME_TABLE;
	assert_status(AXAS_ERR_NO_MEMORY,
		      axas_map_linear(f->as, gpa, LINEAR_HPA + PAGE, 3 * PAGE, RW));
	assert_int_equal(stocked(f), needed - 1);
	f->host.fail_purpose = 0;
	assert_ok(stock(f, (uint32_t)needed));
	f->host.fail_purpose = AXAS_FRAME_TABLE;
	assert_ok(axas_map_linear(f->as, gpa, LINEAR_HPA + PAGE, 3 * PAGE, RW));
	assert_int_equal(stocked(f), 0);
}

static void a_cut_takes_its_tables_from_it(void **state)
{
	FIXTURE(f);

	f->cfg.features |= f->fc->format <= AXAS_FORMAT_NPT ? (uint32_t)AXAS_FEATURE_1G_PAGES : 0;
	fixture_create(f);
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 4 * GIB, RW));
	assert_int_equal(at(f, AT).size, GIB);
	assert_ok(stock(f, 3));
	f->host.fail_purpose = AXAS_FRAME_TABLE;
	/* two tables for each end */
	assert_status(AXAS_ERR_NO_MEMORY, axas_protect(f->as, AT + PAGE, 2 * GIB, AXAS_READ));
	assert_status(AXAS_ERR_NO_MEMORY, axas_unmap(f->as, AT + PAGE, 2 * GIB));
	assert_status(AXAS_ERR_NO_MEMORY, axas_map_linear(f->as, AT + PAGE, LINEAR_HPA + PAGE,
							  2 * GIB, RX | AXAS_REPLACE));
	assert_int_equal(stocked(f), 3);
	f->host.fail_purpose = 0;
	assert_ok(stock(f, 4));
	f->host.fail_purpose = AXAS_FRAME_TABLE;
	assert_ok(axas_protect(f->as, AT + PAGE, 2 * GIB, AXAS_READ));
	assert_int_equal(stocked(f), 0);
}

static void a_replace_with_cuts_takes_all_its_tables_from_it(void **state)
{
	FIXTURE(f);
	const axas_gpa_t gpa = AT + 2 * MIB - PAGE;

	/*
	 * Pages in the place of 2 MiB leaves: a table for each of the four. The cuts make the first and
	 * the last of them.
	 */
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 8 * MIB, RW));
	for (uint32_t frames = 0; frames <= 4; frames++) {
		f->host.fail_purpose = 0;
		assert_ok(stock(f, frames));
		f->host.fail_purpose = AXAS_FRAME_TABLE;
		assert_status(frames < 4 ? AXAS_ERR_NO_MEMORY : AXAS_OK,
			      axas_map_linear(f->as, gpa, LINEAR_HPA + GIB, 6 * MIB,
					      RX | AXAS_REPLACE));
		assert_int_equal(stocked(f), frames % 4);
	}
}

static void faults_do_not_use_it(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_alloc(f->as, AT, GIB, RW));
	assert_ok(stock(f, 8));
	f->host.fail_purpose = AXAS_FRAME_TABLE;
	assert_int_equal(axas_handle_page_fault(f->as, AT, AXAS_WRITE), AXAS_FAULT_NO_MEMORY);
	assert_int_equal(stocked(f), 8);
	/* populate is no fault */
	assert_ok(axas_populate(f->as, AT, PAGE));
	assert_int_equal(stocked(f), 6);
}

static void clear_leaves_it_and_destroy_gives_it_back(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 3 * PAGE, RW));
	assert_ok(stock(f, 7));
	assert_ok(axas_clear(f->as));
	assert_int_equal(stocked(f), 7);
	assert_ok(axas_audit(f->as));
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 3 * PAGE, RW));
	/* the teardown looks that every frame is back */
}

static void every_allocation_of_it_may_fail(void **state)
{
	FIXTURE(f);

	fixture_create(f);
	assert_ok(stock(f, 2));
	for (uint64_t at_call = 1; at_call <= 6; at_call++) {
		f->host.fail_at = at_call;
		assert_status(AXAS_ERR_NO_MEMORY, axas_stock(f->as, 8));
		f->host.fail_at = 0;
		assert_int_equal(stocked(f), 2);
		f->host.blind_at = at_call;
		assert_status(AXAS_ERR_BAD_STATE, axas_stock(f->as, 8));
		f->host.blind_at = 0;
		assert_int_equal(stocked(f), 2);
	}
	assert_ok(stock(f, 8));
}

static void a_populated_map_that_fails_leaves_it(void **state)
{
	FIXTURE(f);

	fixture_create(f);
	for (uint32_t frames = 0; frames < 8; frames++)
		for (uint64_t at_call = 1;; at_call++) {
			axas_status_t status;

			assert_ok(stock(f, frames));
			f->host.fail_at = at_call;
			status = axas_map_alloc(f->as, AT, 2 * PAGE, RW | AXAS_POPULATE);
			f->host.fail_at = 0;
			assert_ok(axas_audit(f->as));
			if (status == AXAS_OK) {
				assert_ok(axas_unmap(f->as, AT, 2 * PAGE));
				break;
			}
			assert_status(AXAS_ERR_NO_MEMORY, status);
			assert_int_equal(stocked(f), frames);
		}
}

/* Tables for the pages below a large reservation. */
static void a_populate_that_fails_leaves_it(void **state)
{
	FIXTURE(f);

	for (uint32_t frames = 0; frames < 4; frames++)
		for (uint64_t at_call = 1; at_call < 1000; at_call += at_call < 4 ? 1 : 341) {
			fixture_create(f);
			assert_ok(axas_map_alloc(f->as, AT, 4 * MIB, RW));
			assert_ok(stock(f, frames));
			f->host.fail_at = at_call;
			assert_status(AXAS_ERR_NO_MEMORY, axas_populate(f->as, AT, 4 * MIB));
			assert_int_equal(stocked(f), frames);
			f->host.fail_at = at_call;
			assert_status(AXAS_ERR_NO_MEMORY,
				      axas_map_alloc(f->as, AT + GIB, 4 * MIB, RW | AXAS_POPULATE));
			f->host.fail_at = 0;
			assert_int_equal(stocked(f), frames);
			fixture_destroy(f);
		}
	fixture_create(f);
}

static void nonsense_is_refused(void **state)
{
	FIXTURE(f);

	assert_status(AXAS_ERR_INVALID_INPUT, axas_stock(NULL, 1));
	f->cfg.table_quota = (uint32_t)(1 << f->fc->root_order) + 4;
	fixture_create(f);
	assert_status(AXAS_ERR_NO_MEMORY, axas_stock(f->as, 0xffffffff));
	assert_status(AXAS_ERR_NO_MEMORY, axas_stock(f->as, 5));
	assert_int_equal(stocked(f), 0);
	assert_ok(stock(f, 4));
	/* the quota is used up: of the stock a map may take, of the host it may not */
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, PAGE, RW));
	assert_ok(stock(f, 0));
}

/* A change at random; what it needs in tables beyond the cuts comes from axas_tables_needed. */
struct change {
	uint32_t kind;
	axas_gpa_t gpa;
	uint64_t size;
};

static struct change draw(uint64_t *random)
{
	const uint64_t units[] = { PAGE, PAGE, 2 * MIB, 2 * MIB, GIB };
	const uint64_t unit = units[next(random) % 5];
	struct change c = { .kind = (uint32_t)(next(random) % 7) };

	c.gpa = AT + next(random) % 4 * GIB + next(random) % 4 * 2 * MIB + next(random) % 3 * PAGE;
	c.size = unit * (1 + next(random) % 3) + next(random) % 2 * PAGE;
	return c;
}

static axas_status_t make(struct fixture *f, const struct change *c)
{
	const axas_hpa_t hpa = LINEAR_HPA + (c->gpa - AT);
	const axas_extent_t extents[] = { { hpa, PAGE }, { hpa + LINEAR_SIZE, c->size } };

	switch (c->kind) {
	case 0:
		return axas_map_linear(f->as, c->gpa, hpa, c->size, RW);
	case 1:
		return axas_map_extents(f->as, c->gpa, extents, 2, RW);
	case 2:
		return axas_map_alloc(f->as, c->gpa, c->size, RW);
	case 3:
		return axas_map_trap(f->as, c->gpa, c->size, c->gpa >> 12);
	case 4:
		return axas_unmap(f->as, c->gpa, c->size);
	case 5:
		return axas_protect(f->as, c->gpa, c->size, c->size & MIB ? RW : AXAS_READ);
	default:
		return axas_discard(f->as, c->gpa, c->size);
	}
}

static uint32_t need(struct fixture *f, const struct change *c)
{
	uint64_t tables = 0;

	/* 4 KiB pages need most: extents may be apart by any number of them */
	if (c->kind < 4)
		assert_ok(axas_tables_needed(&f->cfg, c->gpa, c->size + PAGE,
					     c->kind == 1 ? RW | AXAS_NO_HUGE : RW, &tables));
	return (uint32_t)tables + CUTS(f);
}

static void with_the_stock_no_call_fails_for_memory(void **state)
{
	FIXTURE(f);
	uint64_t random = 88172645463325252ull;
	uint32_t done = 0;

	f->cfg.features |= f->fc->format <= AXAS_FORMAT_NPT ? (uint32_t)AXAS_FEATURE_1G_PAGES : 0;
	for (uint32_t script = 0; script < SCRIPTS; script++) {
		fixture_create(f);
		f->host.quick = 1;
		for (uint32_t i = 0; i < CHANGES; i++) {
			const struct change c = draw(&random);
			axas_status_t status;

			assert_ok(stock(f, need(f, &c)));
			f->host.fail_purpose = AXAS_FRAME_TABLE;
			status = make(f, &c);
			f->host.fail_purpose = 0;
			assert_true(status == AXAS_OK || status == AXAS_ERR_ALREADY_EXISTS ||
				    status == AXAS_ERR_NOT_MAPPED);
			done += status == AXAS_OK;
		}
		/* an audit of spaces so large takes far longer than the calls */
		space_sweep(f->as);
		fixture_destroy(f);
	}
	assert_in_range(done, SCRIPTS, SCRIPTS * CHANGES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(archives_say_whether_they_have_it),
		EACH_FORMAT(the_stock_is_what_the_last_call_said),
		EACH_FORMAT(what_a_call_uses_is_not_taken_again),
		EACH_FORMAT(one_frame_less_fails_and_changes_nothing),
		EACH_FORMAT_NO_SPACE(a_cut_takes_its_tables_from_it),
		EACH_FORMAT(a_replace_with_cuts_takes_all_its_tables_from_it),
		EACH_FORMAT(faults_do_not_use_it),
		EACH_FORMAT(clear_leaves_it_and_destroy_gives_it_back),
		ONE(every_allocation_of_it_may_fail, setup_callback_host, ept),
		ONE(every_allocation_of_it_may_fail, setup_callback_host, npt),
		ONE(every_allocation_of_it_may_fail, setup_callback_host, arm),
		ONE(every_allocation_of_it_may_fail, setup_callback_host, riscv),
		EACH_FORMAT_NO_SPACE(a_populated_map_that_fails_leaves_it),
		EACH_FORMAT_NO_SPACE(a_populate_that_fails_leaves_it),
		EACH_FORMAT_NO_SPACE(nonsense_is_refused),
		EACH_FORMAT_NO_SPACE(with_the_stock_no_call_fails_for_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
