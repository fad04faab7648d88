/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * How many tables: what axas_tables_needed says is what a space of its own takes, never less than
 * what one takes that is in use, and an arena of exactly that many frames will do.
 */
#include "ops.h"

#define SCENARIOS 300u

/* The flags that ask for the tables of an operation, or 0 where nobody can know them before. */
static axas_flags_t question(const struct op *op)
{
	if (op->kind == OP_TRAP)
		return AXAS_READ | AXAS_NEED_LAZY;
	if (op->kind == OP_LAZY)
		return (op->flags & RWX) | AXAS_NEED_LAZY;
	if (op->kind == OP_POPULATED)
		return op->flags & ~(axas_flags_t)AXAS_HUGE_FRAMES;
	return op->flags;
}

static struct op draw_map(struct lost *l)
{
	static const enum op_kind kinds[] = { OP_LINEAR, OP_LAZY, OP_POPULATED, OP_TRAP };
	struct op op = op_draw(l, kinds[lost_below(l, 4)]);

	op.flags &= ~(axas_flags_t)(AXAS_HUGE_FRAMES | AXAS_MAX_2M);
	if (op.kind == OP_LINEAR && !(op.flags & AXAS_NO_HUGE))
		op.value = LINEAR_HPA + lost_below(l, 4) * GIB + op.gpa % GIB;
	return op;
}

static uint64_t needed(const struct lost *l, const struct op *op)
{
	uint64_t frames = 0;

	assert_ok(axas_tables_needed(&l->f.cfg, op->gpa, op->size, question(op), &frames));
	return frames;
}

static void the_count_is_exact_for_an_empty_space(void **state)
{
	struct lost *l = *state;

	lost_create(l, l->f.cfg.format <= AXAS_FORMAT_NPT ? AXAS_FEATURE_1G_PAGES : 0);
	for (uint64_t seed = 0; seed < SCENARIOS; seed++) {
		struct op op;

		lost_seed(l, seed);
		op = draw_map(l);
		assert_ok(op_run(l, &op));
		assert_int_equal(stats(&l->f).table_frames, needed(l, &op));
		assert_ok(axas_clear(l->f.as));
	}
	l->finished = 1;
}

static void the_count_is_never_too_low_for_a_space_in_use(void **state)
{
	struct lost *l = *state;
	uint64_t counted = 0;

	lost_create(l, l->f.cfg.format <= AXAS_FORMAT_NPT ? AXAS_FEATURE_1G_PAGES : 0);
	for (uint64_t seed = 0; seed < SCENARIOS; seed++) {
		uint64_t before;
		struct op op;

		if (seed % 30 == 0)
			assert_ok(axas_clear(l->f.as));
		lost_seed(l, seed);
		op = op_draw(l, OP_UNMAP);
		(void)op_run(l, &op);
		op = draw_map(l);
		before = stats(&l->f).table_frames;
		if (op_run(l, &op) != AXAS_OK)
			continue;
		counted++;
		assert_true(stats(&l->f).table_frames - before <=
			    needed(l, &op) - (1u << l->f.fc->root_order));
	}
	assert_true(counted > SCENARIOS / 4);
	l->finished = 1;
}

static void a_quota_of_exactly_that_many_is_enough_and_never_passed(void **state)
{
	struct lost *l = *state;

	for (uint64_t seed = 0; seed < SCENARIOS / 5; seed++) {
		struct op op;
		uint64_t frames;

		l->f.cfg.table_quota = 0;
		lost_seed(l, seed);
		op = draw_map(l);
		frames = needed(l, &op);
		for (uint32_t less = 0; less < 2; less++) {
			if (frames - less < 1u << l->f.fc->root_order)
				continue;
			l->f.cfg.table_quota = (uint32_t)(frames - less);
			lost_create(l, 0);
			assert_status(less ? AXAS_ERR_NO_MEMORY : AXAS_OK, op_run(l, &op));
			assert_true(stats(&l->f).table_frames <= l->f.cfg.table_quota);
			assert_ok(axas_unmap(l->f.as, op.gpa, op.size));
			assert_int_equal(stats(&l->f).table_frames, 1u << l->f.fc->root_order);
			lost_destroy(l);
		}
	}
	l->finished = 1;
}

static void no_cpu_runs_it(void *ctx, const axas_tlb_request_t *request)
{
	(void)ctx;
	(void)request;
}

/* A space in an arena with not a frame too many; returns whether the operation worked. */
static axas_status_t in_arena(struct lost *l, const struct op *op, uint8_t *memory, uint64_t frames,
			      void *storage)
{
	axas_arena_t arena;
	axas_hal_t hal = { .struct_size = sizeof(hal), .flags = AXAS_HAL_BUILTIN_FLUSH };
	axas_status_t status;
	axas_t *as;

	if (l->f.cfg.format == AXAS_FORMAT_NPT) {
		hal.flags = 0;
		hal.tlb_flush = no_cpu_runs_it;
	}
	assert_ok(axas_arena_init(&arena));
	assert_ok(axas_arena_add(&arena, memory, 0x80000000ull, frames * PAGE));
	assert_ok(axas_arena_hal(&arena, &hal));
	if (storage != NULL)
		status = axas_create_in(storage, AXAS_STORAGE_SIZE, &l->f.cfg, &hal, &as);
	else
		status = axas_create(&l->f.cfg, &hal, &as);
	if (status != AXAS_OK)
		return status;
	if (op->kind == OP_LINEAR)
		status = axas_map_linear(as, op->gpa, op->value, op->size, op->flags);
	else if (op->kind == OP_TRAP)
		status = axas_map_trap(as, op->gpa, op->size, op->value);
	else
		status = axas_map_alloc(as, op->gpa, op->size, op->flags);
	assert_ok(axas_audit(as));
	axas_destroy(as);
	return status;
}

static void an_arena_of_exactly_that_many_frames_is_enough(void **state)
{
	static _Alignas(AXAS_STORAGE_ALIGN) uint8_t storage[AXAS_STORAGE_SIZE];
	struct lost *l = *state;
	uint8_t *memory;

	l->f.cfg.features = 0;
	assert_int_equal(posix_memalign((void **)&memory, 16 * PAGE, 16 * MIB), 0);
	for (uint64_t seed = 0; seed < SCENARIOS / 5; seed++) {
		struct op op;
		uint64_t frames, data;

		lost_seed(l, seed);
		op = draw_map(l);
		data = op.kind == OP_POPULATED ? op.size / PAGE : 0;
		frames = needed(l, &op) + data;
		if (frames * PAGE > 15 * MIB)
			continue;
		assert_ok(in_arena(l, &op, memory, frames, storage));
		assert_ok(in_arena(l, &op, memory, frames + 1, NULL));
		assert_status(AXAS_ERR_NO_MEMORY, in_arena(l, &op, memory, frames, NULL));
	}
	free(memory);
	l->finished = 1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOST_EACH_FORMAT(the_count_is_exact_for_an_empty_space),
		LOST_EACH_FORMAT(the_count_is_never_too_low_for_a_space_in_use),
		LOST_EACH_FORMAT(a_quota_of_exactly_that_many_is_enough_and_never_passed),
		LOST_EACH_FORMAT(an_arena_of_exactly_that_many_frames_is_enough),
	};

	return cmocka_run_group_tests_name("quota", tests, NULL, NULL);
}
