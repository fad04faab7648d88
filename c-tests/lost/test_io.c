/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * AXAS_IO: random sequences before CPUs and a device that neither faults nor retries (tlb.h), and that this device
 * is strict.
 */
#include "ops.h"

#define STEPS    400u
#define COHERENT ((uint32_t)AXAS_FEATURE_IO_COHERENT)
#define INVALID  ((uint32_t)AXAS_FEATURE_IO_CACHES_INVALID)
#define FAULTS   ((uint32_t)AXAS_FEATURE_IO_FAULTS)

static void create(struct lost *l, uint32_t features)
{
	l->f.cfg.options = AXAS_IO;
	lost_create(l, features);
}

/* --- the device sees what it should ---------------------------------------------------------- */

static void expect_violation(struct lost *l, const char *words)
{
	struct host *h = &l->f.host;

	assert_int_not_equal(atomic_load(&h->violations), 0);
	if (strstr(h->first_violation, words) == NULL)
		fail_msg("said \"%s\" instead of \"%s\"", h->first_violation, words);
	atomic_store(&h->violations, 0);
}

/* It says that it stalls, and does not. */
static void a_hole_in_the_middle_of_a_call_is_seen(void **state)
{
	const axas_flags_t again = RW | AXAS_REPLACE;
	struct lost *l = *state;
	axas_t *as;

	create(l, FAULTS | COHERENT);
	as = l->f.as;
	assert_ok(op_run(l, &(struct op){ OP_LINEAR, 4 * GIB, 2 * MIB, LINEAR_HPA, RW }));
	l->tlb.device_may_fault = 0;
	tlb_sight(&l->tlb, 4 * GIB);
	tlb_sight(&l->tlb, 4 * GIB + MIB);
	if (l->f.cfg.format == AXAS_FORMAT_ARM_S2)
		assert_ok(axas_protect(as, 4 * GIB + 5 * PAGE, PAGE, AXAS_READ));
	else
		assert_ok(axas_map_linear(as, 4 * GIB, LINEAR_HPA + PAGE, 2 * MIB, again));
	tlb_end_sights(&l->tlb);
	expect_violation(l, "a device found a hole");
	tlb_settle(&l->tlb, 0, 0);
	host_check(&l->f.host);
	l->finished = 1;
}

static void a_page_that_it_was_not_told_of_is_seen(void **state)
{
	struct lost *l = *state;

	create(l, COHERENT);
	l->tlb.device_keeps_invalid = 1;
	tlb_settle(&l->tlb, 0, 0);
	l->tlb.expects_new = 1;
	assert_ok(axas_map_linear(l->f.as, 4 * GIB, LINEAR_HPA, PAGE, RW));
	tlb_settle(&l->tlb, 4 * GIB, PAGE);
	expect_violation(l, "a device may not see it");
	l->finished = 1;
}

static void a_flush_of_one_cpu_does_not_reach_it(void **state)
{
	struct lost *l = *state;
	struct host *h = &l->f.host;
	const axas_tlb_request_t q = {
		.gpa = 4 * GIB,
		.size = PAGE,
		.vmid = 5,
		.reason = AXAS_FLUSH_RELAX,
		.scope = AXAS_SCOPE_LOCAL,
	};
	uint64_t *word;

	create(l, COHERENT);
	assert_ok(op_run(l, &(struct op){ OP_LINEAR, 4 * GIB, PAGE, LINEAR_HPA, AXAS_READ }));
	/* the word of a page with permission to write */
	assert_ok(op_run(l, &(struct op){ OP_LINEAR, 4 * GIB + PAGE, PAGE, LINEAR_HPA, RW }));
	word = entry_at(&l->f, 1, 4 * GIB);
	*word = word[1];
	for (tlb_this_cpu = 0; tlb_this_cpu < TLB_CPUS; tlb_this_cpu++)
		h->hal.tlb_flush(h, &q);
	tlb_this_cpu = 0;
	tlb_settle(&l->tlb, 0, 0);
	expect_violation(l, "a device may miss a permission");
	l->finished = 1;
}

/* --- what the library does ------------------------------------------------------------------- */

static void touch(struct lost *l)
{
	static const axas_flags_t access[] = { AXAS_READ, AXAS_WRITE, AXAS_EXECUTE };
	const struct op *op = &l->last[lost_below(l, 8)];

	if (op->size == 0)
		return;
	tlb_this_cpu = (uint32_t)lost_below(l, TLB_CPUS);
	(void)guest_access(l, op->gpa + lost_below(l, op->size / PAGE) * PAGE,
			   access[lost_below(l, 3)]);
}

static void run_sequence(struct lost *l, uint32_t features, uint64_t seed)
{
	uint32_t refused = 0, done = 0;

	create(l, features);
	lost_seed(l, seed);
	for (uint32_t step = 0; step < STEPS; step++) {
		const struct op op = op_draw_any(l);
		axas_status_t status;

		tlb_this_cpu = (uint32_t)lost_below(l, TLB_CPUS);
		tlb_forget_log(&l->tlb);
		l->f.host.fail_at = lost_below(l, 8) == 0 ? 1 + lost_below(l, 4) : 0;
		status = op_run(l, &op);
		l->f.host.fail_at = 0;
		refused += status == AXAS_ERR_UNSUPPORTED;
		done += status == AXAS_OK;
		/* one for what went or was split, one for what came */
		assert_true(l->tlb.requests_all <= 2);
		touch(l);
		if (step % 128 == 127)
			space_sweep(l->f.as);
	}
	tlb_this_cpu = 0;
	assert_ok(axas_clear(l->f.as));
	tlb_settle(&l->tlb, 0, 0);
	host_check(&l->f.host);
	assert_true(done > STEPS / 5 && refused > STEPS / 20);
	assert_true(l->tlb.device_looks > STEPS);
	lost_destroy(l);
}

static void a_device_sees_each_page_as_before_or_as_afterwards(void **state)
{
	struct lost *l = *state;
	const uint32_t of_format[] = {
		[AXAS_FORMAT_EPT] = AXAS_FEATURE_1G_PAGES,
		[AXAS_FORMAT_ARM_S2] = AXAS_FEATURE_ARM_BBM2,
		[AXAS_FORMAT_RISCV_GSTAGE] = AXAS_FEATURE_RISCV_SVVPTC,
	};
	const uint32_t own = of_format[l->f.cfg.format];
	const uint32_t snoops[] = { COHERENT, COHERENT | INVALID | own, COHERENT | FAULTS };
	const uint32_t looks_past[] = { 0, INVALID, own, FAULTS | INVALID };

	for (uint32_t i = 0; i < 3; i++)
		run_sequence(l, snoops[i], 2000 + i);
	tlb_detach(&l->tlb);
	host_exit(&l->f.host);
	host_init(&l->f.host, HOST_DIRECT_MAP, HOST_PA_BASE);
	host_stop_snooping(&l->f.host);
	tlb_attach(&l->tlb, &l->f.host);
	for (uint32_t i = 0; i < 4; i++)
		run_sequence(l, looks_past[i], 3000 + i);
	l->finished = 1;
}

#define EACH_SHARED(test) LOST_ONE(test, ept), LOST_ONE(test, arm), LOST_ONE(test, riscv)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_SHARED(a_hole_in_the_middle_of_a_call_is_seen),
		EACH_SHARED(a_page_that_it_was_not_told_of_is_seen),
		EACH_SHARED(a_flush_of_one_cpu_does_not_reach_it),
		EACH_SHARED(a_device_sees_each_page_as_before_or_as_afterwards),
	};

	return cmocka_run_group_tests_name("io", tests, NULL, NULL);
}
