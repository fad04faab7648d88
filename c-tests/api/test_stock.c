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
	enum {
		LINEAR,
		EXTENTS,
		LAZY,
		TRAP,
		NOTE,
		UNMAP,
		PROTECT,
		DISCARD,
		RETAG,
		HIDE,
		SHOW,
		KINDS
	} kind;
	axas_gpa_t gpa;
	uint64_t size;
};

static struct change draw(uint64_t *random)
{
	const uint64_t units[] = { PAGE, PAGE, 2 * MIB, 2 * MIB, GIB };
	struct change c = { .kind = next(random) % KINDS };
	const uint64_t unit = units[next(random) % (c.kind == EXTENTS ? 4 : 5)];

	c.gpa = AT + next(random) % 4 * GIB + next(random) % 4 * 2 * MIB + next(random) % 3 * PAGE;
	c.size = unit * (1 + next(random) % 3) + next(random) % 2 * PAGE;
	return c;
}

static axas_status_t make(struct fixture *f, const struct change *c)
{
	const axas_hpa_t hpa = LINEAR_HPA + (c->gpa - AT);
	const axas_extent_t extents[] = { { hpa, PAGE }, { hpa + LINEAR_SIZE, c->size } };

	switch (c->kind) {
	case LINEAR:
		return axas_map_linear(f->as, c->gpa, hpa, c->size, RW);
	case EXTENTS:
		return axas_map_extents(f->as, c->gpa, extents, 2, RW);
	case LAZY:
		return axas_map_alloc(f->as, c->gpa, c->size, RW | AXAS_HUGE_FRAMES);
	case TRAP:
		return axas_map_trap(f->as, c->gpa, c->size, c->gpa >> 12);
	case NOTE:
		return axas_map_note(f->as, c->gpa, c->size, 7, 0);
	case UNMAP:
		return axas_unmap(f->as, c->gpa, c->size);
	case PROTECT:
		return axas_protect(f->as, c->gpa, c->size, c->size & MIB ? RW : AXAS_READ);
	case RETAG:
		return axas_retag(f->as, c->gpa, c->size, c->size & PAGE ? 1 : 0);
	case HIDE:
		return axas_hide(f->as, c->gpa, c->size, 0);
	case SHOW:
		return axas_show(f->as, c->gpa, c->size);
	default:
		return axas_discard(f->as, c->gpa, c->size);
	}
}

static uint32_t need(struct fixture *f, const struct change *c)
{
	uint64_t tables = 0;

	/* 4 KiB pages need most: extents may be apart by any number of them */
	if (c->kind <= NOTE)
		assert_ok(axas_tables_needed(&f->cfg, c->gpa, c->size + PAGE,
					     c->kind == EXTENTS ? RW | AXAS_NO_HUGE : RW, &tables));
	return (uint32_t)tables + CUTS(f);
}

/*
 * With alloc_frame failing all the time a change is made with the smallest stock that is enough. With each smaller one
 * it fails, and changes nothing (lib/space.c), and the stock that was promised is no smaller than the smallest.
 */
static axas_status_t make_with_least(struct fixture *f, const struct change *c, uint32_t *least)
{
	axas_status_t status;

	for (*least = 0;; ++*least) {
		assert_ok(stock(f, *least));
		f->host.fail_purpose = AXAS_FRAME_TABLE;
		status = make(f, c);
		f->host.fail_purpose = 0;
		if (status != AXAS_ERR_NO_MEMORY)
			break;
		assert_in_range(*least, 0, need(f, c) - 1);
	}
	return status;
}

static void with_the_stock_no_call_fails_for_memory(void **state)
{
	FIXTURE(f);
	uint64_t random = 88172645463325252ull;
	uint32_t done = 0, took = 0, least;

	f->cfg.features |= f->fc->format <= AXAS_FORMAT_NPT ? (uint32_t)AXAS_FEATURE_1G_PAGES : 0;
	if (f->fc->format == AXAS_FORMAT_RISCV_GSTAGE)
		f->cfg.features |= AXAS_FEATURE_RISCV_SVRSW60T59B;
	f->host.hides = 1;
	for (uint32_t script = 0; script < SCRIPTS; script++) {
		fixture_create(f);
		for (uint32_t i = 0; i < CHANGES; i++) {
			const struct change c = draw(&random);
			const axas_status_t status = make_with_least(f, &c, &least);

			assert_true(status == AXAS_OK || status == AXAS_ERR_ALREADY_EXISTS ||
				    status == AXAS_ERR_NOT_MAPPED);
			done += status == AXAS_OK;
			took += least != 0;
			/* a frame of the library's, for discards that cut it */
			if (c.kind == LAZY && status == AXAS_OK)
				assert_int_equal(axas_handle_page_fault(f->as, c.gpa, AXAS_READ),
						 AXAS_FAULT_RESOLVED);
		}
		space_sweep(f->as);
		fixture_destroy(f);
	}
	assert_in_range(done, SCRIPTS, SCRIPTS * CHANGES);
	assert_in_range(took, SCRIPTS, SCRIPTS * CHANGES);
}

/* --- two spaces ------------------------------------------------------------------------------ */

struct two {
	struct fixture *f;
	axas_t *to;
	uint32_t from_frames, to_frames;
};

static axas_status_t hand_over(struct two *t, uint32_t action, const struct change *c,
			       axas_gpa_t there)
{
	const axas_transfer_t d = {
		.struct_size = sizeof(d),
		.action = action,
		.from_flags = action == AXAS_SHARE ? (axas_flags_t)AXAS_READ : 0,
		.to_flags = action == AXAS_TAKE_BACK ? 0 : (axas_flags_t)AXAS_READ,
	};
	axas_status_t status;

	assert_ok(axas_stock(t->f->as, t->from_frames));
	assert_ok(axas_stock(t->to, t->to_frames));
	t->f->host.stocked = t->from_frames + t->to_frames;
	t->f->host.fail_purpose = AXAS_FRAME_TABLE;
	status = axas_transfer(t->f->as, c->gpa, t->to, there, c->size, &d);
	t->f->host.fail_purpose = 0;
	return status;
}

/* The smallest stock of the one space, the other having all that was promised. */
static void hand_over_with_least(struct two *t, uint32_t action, const struct change *c,
				 axas_gpa_t there, int of_from)
{
	uint32_t *frames = of_from ? &t->from_frames : &t->to_frames;
	uint64_t tables = 0;
	uint32_t most;

	assert_ok(axas_tables_needed(&t->f->cfg, there, c->size, RW | AXAS_NO_HUGE, &tables));
	t->from_frames = CUTS(t->f);
	t->to_frames = (uint32_t)tables + CUTS(t->f);
	most = *frames;
	for (*frames = 0;; ++*frames) {
		const axas_status_t status = hand_over(t, action, c, there);

		if (status == AXAS_OK)
			return;
		assert_status(AXAS_ERR_NO_MEMORY, status);
		assert_in_range(*frames, 0, most - 1);
	}
}

static void with_the_stock_no_transfer_fails_for_memory(void **state)
{
	static const uint32_t actions[] = { AXAS_GIVE, AXAS_LEND, AXAS_SHARE };
	static const uint64_t units[] = { PAGE, 2 * MIB, GIB };
	FIXTURE(f);
	struct two t = { .f = f };
	uint64_t random = 1181783497276652981ull;

	f->cfg.features |= f->fc->format <= AXAS_FORMAT_NPT ? (uint32_t)AXAS_FEATURE_1G_PAGES : 0;
	f->host.hides = 1;
	for (uint32_t script = 0; script < SCRIPTS; script++) {
		const uint32_t action = actions[next(&random) % 3];
		const uint64_t unit = units[next(&random) % 3], offset = next(&random) % 512 * PAGE;
		struct change c = { .gpa = AT + offset };
		axas_gpa_t there = 7 * GIB + offset + next(&random) % 2 * PAGE;

		c.size = PAGE * (1 + next(&random) % 1200);
		f->cfg.vmid = 5;
		fixture_create(f);
		f->cfg.vmid = 6;
		assert_ok(axas_create(&f->cfg, &f->host.hal, &t.to));
		/* pages of each size, and in the other space a hole or a note that is cut */
		assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, unit == GIB ? GIB : 8 * MIB,
					  RW | (unit == PAGE    ? (axas_flags_t)AXAS_NO_HUGE :
						unit == 2 * MIB ? (axas_flags_t)AXAS_MAX_2M :
								  0)));
		if (next(&random) % 2 == 0)
			assert_ok(axas_map_note(t.to, 7 * GIB, GIB, 5, 0));
		hand_over_with_least(&t, action, &c, there, script % 2 == 0);
		/* a part of it comes back */
		if (action != AXAS_GIVE) {
			const uint64_t skip = next(&random) % (c.size / PAGE) * PAGE;

			c.gpa += skip;
			c.size -= skip;
			there += skip;
			hand_over_with_least(&t, AXAS_TAKE_BACK, &c, there, script % 4 < 2);
		}
		space_sweep(f->as);
		space_sweep(t.to);
		axas_destroy(t.to);
		fixture_destroy(f);
		f->host.stocked = 0;
	}
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
		EACH_FORMAT_NO_SPACE(with_the_stock_no_transfer_fails_for_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
