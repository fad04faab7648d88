/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Bounded work: calls in slices go exactly as far as they say, cost what they may, and end where
 * one call ends; the host is asked often enough whether it wants its CPU back.
 */
#include <sched.h>
#include <unistd.h>

#include "ops.h"

#define SCENARIOS 42u
#define PAST      10u

/* --- slices against one call ----------------------------------------------------------------- */

struct pair {
	struct lost *l;
	axas_t *one, *slices;
	struct runs before, after, now;
};

/* The CPUs run the space of the slices. */
static void use(struct pair *p, axas_t *as)
{
	p->l->f.as = as;
	p->l->tlb.watching = as == p->slices;
}

static void build(struct lost *l, uint64_t seed)
{
	assert_ok(axas_clear(l->f.as));
	tlb_settle(&l->tlb, 0, 0);
	lost_seed(l, seed);
	for (uint32_t i = 0; i < PAST; i++) {
		const struct op op = op_draw_any(l);

		(void)op_run(l, &op);
	}
}

/* What was mapped cannot cost more than what stands there then. */
static int fills(enum op_kind kind)
{
	return kind == OP_LINEAR || kind == OP_LAZY;
}

static int visits(enum op_kind kind)
{
	return kind == OP_UNMAP || kind == OP_PROTECT || kind == OP_DISCARD;
}

/* Where this many entries end, if they are visited one by one. */
static axas_gpa_t reach(const struct lost *l, const struct op *op, uint64_t budget)
{
	const struct walker w = space_walker(l->f.as);
	const axas_gpa_t end = op->gpa + op->size;
	axas_gpa_t at = op->gpa;

	for (uint64_t i = 0; i < budget && at < end; i++)
		at = (at | (walker_walk(&w, at).size - 1)) + 1;
	return at < end ? at : end;
}

static void in_slices(struct pair *p, const struct op *whole, uint64_t budget)
{
	struct lost *l = p->l;
	const axas_gpa_t window = l->window, end = l->window + l->window_bytes;
	struct op op = *whole;
	axas_status_t status = AXAS_ERR_AGAIN;

	runs_take(&p->before, l, window, end - window);
	while (status == AXAS_ERR_AGAIN) {
		const axas_gpa_t most = visits(op.kind) ? reach(l, &op, budget) : end;
		const axas_gpa_t first = op.gpa;
		uint64_t done;

		status = op_run_some(l, &op, budget, &done);
		if (fills(op.kind))
			assert_true(entries_in(l, op.gpa, done) <= budget);
		op = op_rest(&op, done);
		assert_true(op.gpa <= most);
		runs_take(&p->now, l, window, end - window);
		runs_same(&p->now, &p->before, window, whole->gpa - window, 0);
		runs_same(&p->now, &p->after, first, op.gpa - first, 1);
		runs_same(&p->now, &p->before, op.gpa, end - op.gpa, 0);
	}
	assert_ok(status);
	tables_same(l, p->one, p->slices);
}

/* All small budgets, then fewer and fewer. */
static void try_budgets(struct pair *p, uint64_t seed, enum op_kind kind)
{
	struct lost *l = p->l;
	axas_stats_t one, slices;
	uint64_t entries;
	struct op op;

	use(p, p->one);
	build(l, seed);
	op = op_draw(l, kind);
	entries = entries_in(l, op.gpa, op.size);
	if (op_run(l, &op) != AXAS_OK)
		return;
	entries += entries_in(l, op.gpa, op.size);
	one = stats(&l->f);
	runs_take(&p->after, l, l->window, l->window_bytes);
	use(p, p->slices);
	for (uint64_t budget = 1; budget <= entries; budget += 1 + budget * budget / 16) {
		if (entries / budget > 60)
			continue;
		build(l, seed);
		in_slices(p, &op, budget);
		slices = stats(&l->f);
		assert_int_equal(one.table_frames, slices.table_frames);
		assert_int_equal(one.guest_frames, slices.guest_frames);
		assert_int_equal(one.mapped_4k, slices.mapped_4k);
		assert_int_equal(one.mapped_2m, slices.mapped_2m);
		assert_int_equal(one.mapped_1g, slices.mapped_1g);
	}
}

static void compare_slices(struct lost *l, uint64_t first)
{
	struct pair p = { .l = l };

	lost_create(l, 0);
	p.slices = l->f.as;
	fixture_create(&l->f);
	p.one = l->f.as;
	for (uint64_t seed = first; seed < SCENARIOS; seed += 2)
		for (uint32_t kind = 0; kind < OP_KINDS; kind++)
			if (op_has_slices((enum op_kind)kind) && (seed + kind) % 3 == 0)
				try_budgets(&p, seed, (enum op_kind)kind);
	use(&p, p.one);
	axas_destroy(p.one);
	use(&p, p.slices);
	runs_free(&p.before);
	runs_free(&p.after);
	runs_free(&p.now);
	l->finished = 1;
}

static void slices_of_any_budget_end_where_one_call_ends(void **state)
{
	compare_slices(*state, 0);
}

/* The other half of the scenarios. */
static void slices_end_where_one_call_ends_in_more_scenarios(void **state)
{
	compare_slices(*state, 1);
}

static uint32_t never_yield(void *ctx)
{
	(void)ctx;
	return 0;
}

/*
 * What a slice that ran out of memory says is done is done, and the rest is as it was. A host that can
 * be asked gets the lock back every 512 entries; what was mapped by then stays.
 */
static void a_slice_without_memory_has_done_what_it_says(void **state)
{
	struct lost *l = *state;
	struct runs before = { 0 }, now = { 0 };
	const struct op op = { OP_LINEAR, 4 * GIB + MIB, 16 * MIB, LINEAR_HPA + PAGE, RW };
	uint32_t partly = 0;

	l->f.host.hal.should_yield = never_yield;
	lost_create(l, 0);
	runs_take(&before, l, l->window, l->window_bytes);
	for (uint64_t k = 1;; k++) {
		uint64_t done;
		axas_status_t status;

		l->f.host.fail_at = k;
		status = op_run_some(l, &op, 1u << 20, &done);
		l->f.host.fail_at = 0;
		if (status == AXAS_OK)
			break;
		assert_status(AXAS_ERR_NO_MEMORY, status);
		runs_take(&now, l, l->window, l->window_bytes);
		runs_same(&now, &before, op.gpa + done, op.size - done, 0);
		assert_int_equal(now.count, done != 0);
		if (done != 0)
			assert_int_equal(now.run[0].size, done);
		partly += done != 0;
		space_sweep(l->f.as);
		assert_ok(axas_unmap(l->f.as, op.gpa, op.size));
		tlb_settle(&l->tlb, 0, 0);
	}
	assert_true(partly > 0);
	runs_free(&before);
	runs_free(&now);
	l->finished = 1;
}

/* --- the host is asked ----------------------------------------------------------------------- */

static struct {
	struct walker walker;
	uint64_t last, most, polls, stop_at;
} poll;

static uint64_t count_leaves(void)
{
	struct sweep s;

	walker_sweep(&poll.walker, &s);
	return s.leaves[1] + s.leaves[2] + s.leaves[3];
}

static uint32_t should_yield(void *ctx)
{
	const uint64_t leaves = count_leaves();
	const uint64_t changed = leaves > poll.last ? leaves - poll.last : poll.last - leaves;

	(void)ctx;
	if (changed > poll.most)
		poll.most = changed;
	poll.last = leaves;
	return ++poll.polls == poll.stop_at;
}

static void expect_polls(struct lost *l, const struct op *op)
{
	struct op rest = *op;
	uint64_t done;

	memset(&poll, 0, sizeof(poll));
	poll.walker = space_walker(l->f.as);
	poll.last = count_leaves();
	poll.stop_at = 3;
	assert_status(AXAS_ERR_AGAIN, op_run_some(l, op, 1u << 20, &done));
	assert_int_equal(poll.polls, 3);
	rest = op_rest(op, done);
	assert_ok(op_run_some(l, &rest, 1u << 20, &done));
	/* protect keeps the leaves that are counted */
	if (op->kind != OP_PROTECT)
		assert_in_range(poll.most, 1, 512);
	assert_true(poll.polls >= op->size / PAGE / 512 - 1);
}

static void the_host_is_asked_after_every_512_entries_at_the_latest(void **state)
{
	static const struct op ops[] = {
		{ OP_LINEAR, 4 * GIB, 12 * MIB, LINEAR_HPA + PAGE, RW },
		{ OP_PROTECT, 4 * GIB, 12 * MIB, 0, AXAS_READ },
		{ OP_UNMAP, 4 * GIB, 12 * MIB, 0, 0 },
		{ OP_POPULATED, 4 * GIB, 12 * MIB, 0, RW | AXAS_POPULATE },
		{ OP_DISCARD, 4 * GIB, 12 * MIB, 0, 0 },
		{ OP_POPULATE, 4 * GIB, 12 * MIB, 0, 0 },
		{ OP_UNMAP, 4 * GIB, 12 * MIB, 0, 0 },
	};
	struct lost *l = *state;

	l->f.host.hal.should_yield = should_yield;
	lost_create(l, 0);
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		expect_polls(l, &ops[i]);
	l->finished = 1;
}

/* --- a terabyte, taken down while its guests go on ------------------------------------------- */

#define SCATTERED 400u
#define STRIDE    (TIB / SCATTERED / (2 * MIB) * (2 * MIB))

struct guests {
	struct lost *l;
	_Atomic int stop;
	_Atomic uint64_t verdicts[8];
};

static void *fault_for_ever(void *arg)
{
	struct guests *g = arg;
	uint64_t at = 12345;

	tlb_this_cpu = 1;
	while (!atomic_load(&g->stop)) {
		at = at * 6364136223846793005ull + 1442695040888963407ull;
		atomic_fetch_add(
			&g->verdicts[axas_handle_page_fault(
				g->l->f.as, (at >> 33) % SCATTERED * STRIDE + (at >> 20) % 8 * PAGE,
				AXAS_READ)],
			1);
		usleep(20);
	}
	return NULL;
}

/* However slowly the guest runs. */
static void wait_for_verdict(const struct guests *g, axas_fault_result_t verdict)
{
	while (atomic_load(&g->verdicts[verdict]) == 0)
		sched_yield();
}

static void scatter(struct lost *l)
{
	for (uint64_t i = 0; i < SCATTERED; i++) {
		const axas_gpa_t gpa = i * STRIDE;
		struct op op = { OP_LAZY, gpa, 40 * PAGE, 0, RW };

		if (i % 5 == 1)
			op = (struct op){ OP_LINEAR, gpa, 9 * PAGE, LINEAR_HPA + gpa % GIB, RW };
		else if (i % 5 == 2)
			op = (struct op){ OP_LAZY, gpa, STRIDE, 0, RW };
		else if (i % 5 == 3)
			op = (struct op){ OP_POPULATED, gpa, 8 * PAGE, 0, RW | AXAS_POPULATE };
		else if (i % 5 == 4)
			op = (struct op){ OP_TRAP, gpa, 8 * PAGE, i, 0 };
		assert_ok(op_run(l, &op));
	}
}

static void a_terabyte_goes_in_slices_while_guests_fault(void **state)
{
	struct lost *l = *state;
	struct guests g = { .l = l };
	struct op op = { OP_UNMAP, 0, TIB, 0, 0 };
	axas_status_t status = AXAS_ERR_AGAIN;
	uint64_t slices = 0;
	pthread_t guest;

	l->f.cfg.size = TIB;
	l->f.host.quick = 1;
	lost_create(l, 0);
	scatter(l);
	assert_int_equal(pthread_create(&guest, NULL, fault_for_ever, &g), 0);
	wait_for_verdict(&g, AXAS_FAULT_RESOLVED);
	while (status == AXAS_ERR_AGAIN) {
		uint64_t done;

		usleep(100);
		status = op_run_some(l, &op, 300, &done);
		op = op_rest(&op, done);
		slices++;
	}
	wait_for_verdict(&g, AXAS_FAULT_UNMAPPED);
	atomic_store(&g.stop, 1);
	pthread_join(guest, NULL);
	assert_ok(status);
	assert_true(slices > 20);
	assert_int_equal(g.verdicts[AXAS_FAULT_ERROR] + g.verdicts[AXAS_FAULT_DENIED] +
				 g.verdicts[AXAS_FAULT_NO_MEMORY],
			 0);
	l->f.host.quick = 0;
	assert_int_equal(space_sweep(l->f.as).table_frames, stats(&l->f).table_frames);
	assert_int_equal(stats(&l->f).guest_frames, 0);
	assert_int_equal(walker_walk(&l->tlb.walker, 0).level, l->tlb.walker.levels);
	tlb_forget_log(&l->tlb);
	lost_destroy(l);
	assert_int_equal(l->tlb.frames_back, 0);
	l->finished = 1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOST_EACH_FORMAT(slices_of_any_budget_end_where_one_call_ends),
		LOST_EACH_FORMAT(slices_end_where_one_call_ends_in_more_scenarios),
		LOST_EACH_FORMAT(a_slice_without_memory_has_done_what_it_says),
		LOST_EACH_FORMAT(the_host_is_asked_after_every_512_entries_at_the_latest),
		LOST_EACH_FORMAT(a_terabyte_goes_in_slices_while_guests_fault),
	};

	return cmocka_run_group_tests_name("bounded", tests, NULL, NULL);
}
