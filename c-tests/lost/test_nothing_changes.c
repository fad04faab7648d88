/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * All or nothing: in a space with a random past, each kind of call is made with its first, second,
 * third ... allocation failing, until it needs no more. After each failure every word of the tables
 * and every count of frames is as it was (lib/space.c compares them around the call), the counters
 * too, an audit finds nothing, and no CPU holds anything that is not so. Then it has memory.
 */
#include "ops.h"

#define EVERY_KIND 10u /* scenarios of each kind, for each set of features */
#define PAST       12u

static void has_a_past(struct lost *l, uint64_t seed)
{
	lost_seed(l, seed);
	for (uint32_t i = 0; i < PAST; i++) {
		const struct op op = op_draw_any(l);

		(void)op_run(l, &op);
	}
}

static void same_counters(const axas_stats_t *a, const axas_stats_t *b)
{
	assert_int_equal(a->table_frames, b->table_frames);
	assert_int_equal(a->guest_frames, b->guest_frames);
	assert_int_equal(a->mapped_4k, b->mapped_4k);
	assert_int_equal(a->mapped_2m, b->mapped_2m);
	assert_int_equal(a->mapped_1g, b->mapped_1g);
	assert_int_equal(a->frames_allocated - a->frames_released,
			 b->frames_allocated - b->frames_released);
}

/* The call that this past leads up to; the same each time. */
static struct op start_over(struct lost *l, uint64_t seed, enum op_kind kind)
{
	assert_ok(axas_clear(l->f.as));
	tlb_settle(&l->tlb, 0, 0);
	has_a_past(l, seed);
	return op_draw(l, kind);
}

/* How often it failed for want of a frame; 0 when it is no scenario. */
static uint64_t fail_each(struct lost *l, uint64_t seed, enum op_kind kind)
{
	struct op op = start_over(l, seed, kind);
	uint64_t failures = 0;

	for (uint64_t k = 1;; k++) {
		const axas_stats_t before = stats(&l->f);
		axas_status_t status;
		axas_stats_t now;
		int used_up;

		l->f.host.fail_at = k;
		status = op_run(l, &op);
		used_up = l->f.host.fail_at == 0;
		l->f.host.fail_at = 0;
		if (status == AXAS_OK) {
			if (!used_up)
				return failures;
			/* it did without a large frame */
			op = start_over(l, seed, kind);
			continue;
		}
		now = stats(&l->f);
		same_counters(&before, &now);
		assert_ok(axas_audit(l->f.as));
		if (status != AXAS_ERR_NO_MEMORY)
			return 0;
		assert_true(used_up);
		failures++;
	}
}

static void fail_every_kind(struct lost *l, uint32_t *scenarios, uint64_t *failures)
{
	uint64_t seed = 0;

	for (uint32_t kind = 0; kind < OP_KINDS; kind++)
		for (uint32_t found = 0; found < EVERY_KIND && op_is_there(l, (enum op_kind)kind);
		     seed++) {
			const uint64_t failed = fail_each(l, seed, (enum op_kind)kind);

			if (failed == 0)
				continue;
			space_sweep(l->f.as);
			found++;
			++*scenarios;
			*failures += failed;
		}
}

static void a_call_without_memory_changes_nothing_and_works_with_memory(void **state)
{
	static const uint32_t features[5][2] = {
		[AXAS_FORMAT_EPT] = { AXAS_FEATURE_1G_PAGES, AXAS_FEATURE_EPT_AD },
		[AXAS_FORMAT_NPT] = { AXAS_FEATURE_1G_PAGES, 0 },
		[AXAS_FORMAT_ARM_S2] = { 0, AXAS_FEATURE_ARM_BBM2 },
		[AXAS_FORMAT_RISCV_GSTAGE] = { 0, AXAS_FEATURE_RISCV_SVVPTC },
	};
	struct lost *l = *state;
	uint32_t scenarios = 0;
	uint64_t failures = 0;

	for (uint32_t i = 0; i < 2; i++) {
		lost_create(l, features[l->f.cfg.format][i]);
		fail_every_kind(l, &scenarios, &failures);
		lost_destroy(l);
	}
	assert_true(scenarios >= 200);
	print_message("%u scenarios, %llu failed calls\n", scenarios, (unsigned long long)failures);
	l->finished = 1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOST_EACH_FORMAT(a_call_without_memory_changes_nothing_and_works_with_memory),
	};

	return cmocka_run_group_tests_name("nothing changes", tests, NULL, NULL);
}
