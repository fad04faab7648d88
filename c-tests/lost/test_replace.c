/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * AXAS_REPLACE: whatever stood in the range goes, as one operation: every ground, every part of it,
 * every allocation failing.
 */
#include "ops.h"

#define AT (4 * GIB)

struct ground {
	const char *name;
	struct op op[3];
	uint32_t ops;
	axas_gpa_t fault; /* 0: none */
};

static const struct ground grounds[] = {
	{ "a hole", { { OP_LINEAR, AT - MIB, MIB, LINEAR_HPA, RW } }, 1, 0 },
	{ "a reservation", { { OP_LAZY, AT, 3 * GIB, 0, RWX } }, 1, 0 },
	{ "a reservation in use", { { OP_LAZY, AT, 3 * GIB, 0, RW } }, 1, AT + GIB + 5 * PAGE },
	{ "a trap", { { OP_TRAP, AT, 3 * GIB, 0x12345678, 0 } }, 1, 0 },
	{ "small pages", { { OP_LINEAR, AT + GIB - MIB, 8 * MIB, LINEAR_HPA + PAGE, RX } }, 1, 0 },
	{ "2 MiB pages",
	  { { OP_LINEAR, AT + GIB - 2 * MIB, 8 * MIB, LINEAR_HPA + 2 * MIB, RW } },
	  1,
	  0 },
	{ "1 GiB pages", { { OP_LINEAR, AT, 3 * GIB, LINEAR_HPA + GIB, RW } }, 1, 0 },
	{ "owned frames",
	  { { OP_POPULATED, AT + GIB - 4 * PAGE, 40 * PAGE, 0, RW | AXAS_POPULATE } },
	  1,
	  0 },
	{ "owned 2 MiB frames",
	  { { OP_POPULATED, AT + GIB, 4 * MIB, 0, RW | AXAS_POPULATE | AXAS_HUGE_FRAMES } },
	  1,
	  0 },
	{ "a mixture",
	  { { OP_LINEAR, AT + GIB, 2 * MIB, LINEAR_HPA, RW },
	    { OP_TRAP, AT + GIB + 2 * MIB, PAGE, 7, 0 },
	    { OP_POPULATED, AT + GIB + 3 * MIB, 20 * PAGE, 0, RX | AXAS_POPULATE } },
	  3,
	  0 },
};

/* Parts of the ground: whole entries, their middles, their ends, and more than there is. */
static const struct op parts[] = {
	{ OP_REPLACE, AT + GIB, PAGE, LINEAR_HPA + 7 * PAGE, AXAS_READ | AXAS_REPLACE },
	{ OP_REPLACE, AT + GIB + 5 * PAGE, 9 * PAGE, LINEAR_HPA + 5 * PAGE, RWX | AXAS_REPLACE },
	{ OP_REPLACE, AT + GIB, 2 * MIB, LINEAR_HPA + 6 * MIB, RW | AXAS_REPLACE },
	{ OP_REPLACE, AT + GIB + 2 * MIB - PAGE, 2 * MIB, LINEAR_HPA + PAGE, RW | AXAS_REPLACE },
	{ OP_REPLACE, AT + GIB, GIB, LINEAR_HPA + 2 * GIB, RW | AXAS_REPLACE },
	{ OP_REPLACE, AT + GIB - MIB, 5 * MIB, LINEAR_HPA + MIB, RX | AXAS_REPLACE },
	{ OP_REPLACE, AT, 3 * GIB, LINEAR_HPA, RW | AXAS_REPLACE | AXAS_MAX_2M },
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void lay(struct lost *l, const struct ground *g)
{
	assert_ok(axas_clear(l->f.as));
	tlb_settle(&l->tlb, 0, 0);
	for (uint32_t i = 0; i < g->ops; i++)
		assert_ok(op_run(l, &g->op[i]));
	if (g->fault != 0)
		assert_ok(op_run(l, &(struct op){ OP_FAULT, g->fault, PAGE, 0, AXAS_WRITE }));
}

/* Of what stood there: what the host is told of, for it does not come to the same frame again. */
static uint64_t bytes_to_tell(const struct lost *l, const struct runs *r, const struct op *op)
{
	uint64_t bytes = 0;

	for (uint64_t i = 0; i < r->count; i++)
		if (r->run[i].state == AXAS_STATE_LINEAR &&
		    (r->run[i].hpa - r->run[i].gpa != op->value - op->gpa ||
		     !space_replaces(l->f.as)))
			bytes += r->run[i].size;
	return bytes;
}

static uint64_t bytes_of(const struct runs *r, uint32_t state)
{
	uint64_t bytes = 0;

	for (uint64_t i = 0; i < r->count; i++)
		if (r->run[i].state == state)
			bytes += r->run[i].size;
	return bytes;
}

/* Around the range nothing changed, in it there is what was asked for, and what went was told. */
static void check_replaced(struct lost *l, const struct op *op, const struct runs *before)
{
	const axas_gpa_t end = op->gpa + op->size;
	struct runs now = { 0 }, in = { 0 };

	runs_take(&now, l, l->window, l->window_bytes);
	runs_same(&now, before, l->window, op->gpa - l->window, 0);
	runs_same(&now, before, end, l->window + l->window_bytes - end, 0);
	runs_take(&in, l, op->gpa, op->size);
	assert_int_equal(in.count, 1);
	assert_int_equal(in.run[0].state, AXAS_STATE_LINEAR);
	assert_int_equal(in.run[0].size, op->size);
	assert_int_equal(in.run[0].hpa, op->value);
	assert_int_equal(space_access(in.run[0].flags), space_access(op->flags));
	/* in as few runs as there can be */
	for (uint64_t i = 1; i < l->tlb.runs; i++)
		assert_false(run_continues(&l->tlb.run[i - 1], &l->tlb.run[i]) &&
			     l->tlb.run[i - 1].level == l->tlb.run[i].level);
	runs_free(&now);
	runs_free(&in);
}

static void replace(struct lost *l, const struct ground *g, const struct op *op)
{
	struct runs before = { 0 }, went = { 0 };
	axas_status_t status = AXAS_ERR_NO_MEMORY;
	uint64_t host_bytes = 0, own_bytes, told = 0;

	lay(l, g);
	runs_take(&before, l, l->window, l->window_bytes);
	runs_take(&went, l, op->gpa, op->size);
	host_bytes = bytes_to_tell(l, &went, op);
	own_bytes = bytes_of(&went, AXAS_STATE_OWNED);
	for (uint64_t k = 1; status != AXAS_OK; k++) {
		tlb_forget_log(&l->tlb);
		l->f.host.fail_at = k;
		status = op_run(l, op);
		l->f.host.fail_at = 0;
		if (status == AXAS_OK)
			break;
		assert_status(AXAS_ERR_NO_MEMORY, status);
		assert_int_equal(l->tlb.requests_all, 0);
		assert_int_equal(l->tlb.runs, 0);
		assert_ok(axas_audit(l->f.as));
	}
	check_replaced(l, op, &before);
	for (uint64_t i = 0; i < l->tlb.runs; i++)
		told += l->tlb.run[i].size;
	assert_int_equal(told, host_bytes);
	assert_int_equal(l->tlb.frames_back, own_bytes / PAGE);
	/* a table that goes is told of too, whatever stood in it */
	assert_in_range(l->tlb.requests_all, host_bytes + own_bytes != 0, 1);
	space_sweep(l->f.as);
	runs_free(&before);
	runs_free(&went);
}

static void whatever_stood_there_is_replaced_or_nothing_is(void **state)
{
	static const uint32_t features[5][2] = {
		[AXAS_FORMAT_EPT] = { AXAS_FEATURE_1G_PAGES, 0 },
		[AXAS_FORMAT_NPT] = { AXAS_FEATURE_1G_PAGES, 0 },
		[AXAS_FORMAT_ARM_S2] = { 0, AXAS_FEATURE_ARM_BBM2 },
		[AXAS_FORMAT_RISCV_GSTAGE] = { 0, AXAS_FEATURE_RISCV_SVVPTC },
	};
	struct lost *l = *state;

	l->window = 3 * GIB;
	l->window_bytes = 6 * GIB;
	for (uint32_t i = 0; i < 2; i++) {
		lost_create(l, features[l->f.cfg.format][i]);
		for (size_t g = 0; g < COUNT(grounds); g++)
			for (size_t p = 0; p < COUNT(parts); p++)
				replace(l, &grounds[g], &parts[p]);
		lost_destroy(l);
	}
	l->finished = 1;
}

static void neither_extents_nor_slices_replace(void **state)
{
	struct lost *l = *state;
	const axas_extent_t e = { LINEAR_HPA, PAGE };
	uint64_t done;

	lost_create(l, 0);
	assert_status(AXAS_ERR_INVALID_INPUT,
		      axas_map_extents(l->f.as, AT, &e, 1, RW | AXAS_REPLACE));
	assert_status(AXAS_ERR_INVALID_INPUT,
		      axas_map_alloc_some(l->f.as, AT, PAGE, RW | AXAS_REPLACE, 1, &done));
	assert_status(AXAS_ERR_INVALID_INPUT,
		      axas_map_trap_flags(l->f.as, AT, PAGE, 7, AXAS_REPLACE | AXAS_NO_HUGE));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_map_linear_some(l->f.as, AT, LINEAR_HPA, PAGE,
								   RW | AXAS_REPLACE, 1, &done));
	l->finished = 1;
}

/* Requests and registers carry the new number from then on. */
static void a_new_vmid_is_in_requests_and_registers(void **state)
{
	struct lost *l = *state;
	axas_hw_regs_t old, new;

	lost_create(l, 0);
	assert_ok(op_run(l, &(struct op){ OP_LINEAR, AT, 8 * MIB, LINEAR_HPA, RW }));
	assert_ok(axas_hw_regs(l->f.as, &old));
	tlb_forget_log(&l->tlb);
	assert_ok(axas_set_vmid(l->f.as, 77));
	assert_int_equal(l->f.host.flushes, 0);
	l->tlb.vmid = 77;
	assert_ok(axas_hw_regs(l->f.as, &new));
	if (l->f.cfg.format == AXAS_FORMAT_ARM_S2)
		assert_int_equal(new.root_register ^ old.root_register, (77ull ^ 5) << 48);
	else if (l->f.cfg.format == AXAS_FORMAT_RISCV_GSTAGE)
		assert_int_equal(new.root_register ^ old.root_register, (77ull ^ 5) << 44);
	else
		assert_int_equal(new.root_register, old.root_register);
	assert_ok(op_run(l, &(struct op){ OP_UNMAP, AT, PAGE, 0, 0 }));
	assert_int_equal(host_last_flush(&l->f.host)->vmid, 77);
	l->finished = 1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOST_EACH_FORMAT(whatever_stood_there_is_replaced_or_nothing_is),
		LOST_EACH_FORMAT(neither_extents_nor_slices_replace),
		LOST_EACH_FORMAT(a_new_vmid_is_in_requests_and_registers),
	};

	return cmocka_run_group_tests_name("replace", tests, NULL, NULL);
}
