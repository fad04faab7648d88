/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Flush, then free: random sequences before CPUs that hold on to all they may (tlb.h), and that
 * these CPUs are strict: what they have to see is done to them by hand.
 */
#include "ops.h"

#define STEPS 500u

/* --- the CPUs see what they should ----------------------------------------------------------- */

static void expect_violation(struct lost *l, const char *words)
{
	struct host *h = &l->f.host;

	assert_int_not_equal(atomic_load(&h->violations), 0);
	if (strstr(h->first_violation, words) == NULL)
		fail_msg("said \"%s\" instead of \"%s\"", h->first_violation, words);
	atomic_store(&h->violations, 0);
}

/* The word of the leaf at gpa, for changes that the library would not make. */
static uint64_t *word_of(struct lost *l, axas_gpa_t gpa)
{
	const struct walker w = space_walker(l->f.as);
	const uint32_t level = walker_walk(&w, gpa).level;
	uint64_t *words = host_at(&l->f.host, w.root);
	uint64_t entries = w.root_entries;

	for (uint32_t at = w.levels;; at--) {
		uint64_t *word = &words[gpa / entry_size(at) % entries];

		if (at == level)
			return word;
		words = host_at(&l->f.host, entry_decode(l->f.cfg.format, at, *word).address);
		entries = 512;
	}
}

static const axas_tlb_request_t *request_for(axas_gpa_t gpa, uint32_t level)
{
	static axas_tlb_request_t q;

	q = (axas_tlb_request_t){
		.gpa = gpa,
		.size = PAGE,
		.vmid = 5,
		.level = level,
		.reason = AXAS_FLUSH_UNMAP,
	};
	return &q;
}

static void a_stale_translation_is_seen_until_a_flush_that_covers_it(void **state)
{
	struct lost *l = *state;
	struct host *h = &l->f.host;
	uint64_t *word, old;

	lost_create(l, 0);
	assert_ok(op_run(l, &(struct op){ OP_LINEAR, 4 * GIB, 2 * PAGE, LINEAR_HPA + PAGE, RW }));
	word = word_of(l, 4 * GIB);
	old = *word;
	*word = word_of(l, 4 * GIB + 8 * PAGE)[0];
	tlb_settle(&l->tlb, 0, 0);
	expect_violation(l, "stale translation");
	h->hal.tlb_flush(h, request_for(4 * GIB + PAGE, 1));
	tlb_settle(&l->tlb, 0, 0);
	expect_violation(l, "stale translation");
	h->hal.tlb_flush(h, request_for(4 * GIB, 2));
	tlb_settle(&l->tlb, 0, 0);
	expect_violation(l, "stale translation");
	h->hal.tlb_flush(h, request_for(4 * GIB, 1));
	tlb_settle(&l->tlb, 0, 0);
	host_check(h);
	*word = old;
	l->finished = 1;
}

static void a_local_flush_leaves_other_cpus_as_they_are(void **state)
{
	struct lost *l = *state;
	struct host *h = &l->f.host;
	axas_tlb_request_t q = *request_for(4 * GIB, 0);
	uint64_t *word, old;

	lost_create(l, 0);
	assert_ok(op_run(l, &(struct op){ OP_LINEAR, 4 * GIB, 2 * PAGE, LINEAR_HPA + PAGE, RW }));
	word = word_of(l, 4 * GIB);
	old = *word;
	*word = word_of(l, 4 * GIB + 8 * PAGE)[0];
	q.scope = AXAS_SCOPE_LOCAL;
	q.reason = AXAS_FLUSH_RELAX;
	h->hal.tlb_flush(h, &q);
	tlb_settle(&l->tlb, 0, 0);
	expect_violation(l, "CPU 1 may use a stale translation");
	*word = old;
	l->finished = 1;
}

static void a_frame_that_goes_back_too_early_is_seen(void **state)
{
	struct lost *l = *state;
	struct host *h = &l->f.host;
	uint64_t *word, old;
	axas_hpa_t frame;

	lost_create(l, 0);
	assert_ok(op_run(l, &(struct op){ OP_POPULATED, 4 * GIB, PAGE, 0, RW | AXAS_POPULATE }));
	word = word_of(l, 4 * GIB);
	old = *word;
	frame = entry_decode(l->f.cfg.format, 1, old).address;
	*word = word_of(l, 4 * GIB + 8 * PAGE)[0];
	h->hal.dealloc_frame(h, frame, 0, AXAS_FRAME_GUEST);
	expect_violation(l, "while a CPU may use it");
	*word = old;
	tlb_settle(&l->tlb, 0, 0);
	tlb_unwatch(&l->tlb);
	tlb_watch(&l->tlb, l->f.as, &l->f.cfg);
	expect_violation(l, "which is not out");
	/* the host takes it back */
	host_frame_at(h, frame)->state = HOST_FRAME_HEAD;
	h->guest_out++;
	l->finished = 1;
}

static void a_block_that_changes_without_a_break_is_seen_on_arm(void **state)
{
	struct lost *l = *state;
	const int arm = l->f.cfg.format == AXAS_FORMAT_ARM_S2;
	uint64_t *word, old;

	lost_create(l, 0);
	assert_ok(op_run(l, &(struct op){ OP_LINEAR, 4 * GIB, 2 * PAGE, LINEAR_HPA + PAGE, RW }));
	word = word_of(l, 4 * GIB);
	old = *word;
	*word = word[1];
	l->f.host.hal.tlb_flush(&l->f.host, request_for(4 * GIB, 1));
	*word = old;
	l->f.host.hal.tlb_flush(&l->f.host, request_for(4 * GIB, 1));
	if (arm)
		expect_violation(l, "no break before make");
	host_check(&l->f.host);
	l->finished = 1;
}

static void an_invalid_entry_that_is_cached_is_seen_on_riscv_without_svvptc(void **state)
{
	struct lost *l = *state;
	const int riscv = l->f.cfg.format == AXAS_FORMAT_RISCV_GSTAGE;

	for (int svvptc = 0; svvptc < 2; svvptc++) {
		uint64_t *word, empty;

		lost_create(l, svvptc && riscv ? AXAS_FEATURE_RISCV_SVVPTC : 0);
		assert_ok(op_run(l, &(struct op){ OP_LINEAR, 4 * GIB, PAGE, LINEAR_HPA, RW }));
		word = word_of(l, 4 * GIB);
		empty = word[1];
		word[1] = word[0];
		tlb_settle(&l->tlb, 4 * GIB + PAGE, PAGE);
		if (riscv && !svvptc)
			expect_violation(l, "may say that it is not");
		host_check(&l->f.host);
		tlb_unwatch(&l->tlb);
		word[1] = empty;
		lost_destroy(l);
	}
	l->finished = 1;
}

/* --- what the library does ------------------------------------------------------------------- */

/* Adds [gpa, gpa + size) of a leaf, or of leaves of one level, in the pieces that a cut makes of it. */
static void add_pieces(struct runs *went, const axas_mapping_t *in, axas_gpa_t gpa,
		       const uint64_t bytes, uint32_t level)
{
	const axas_gpa_t end = gpa + bytes;

	while (gpa < end) {
		axas_mapping_t m = *in;

		m.level = level;
		while (m.level > 1 &&
		       (gpa % entry_size(m.level) != 0 || end - gpa < entry_size(m.level)))
			m.level--;
		/* whole ones of the level up to the end, or to where a larger one begins */
		m.size = (end - gpa) & ~(entry_size(m.level) - 1);
		if (m.level < level) {
			const uint64_t larger =
				entry_size(m.level + 1) - gpa % entry_size(m.level + 1);

			m.size = larger < m.size ? larger : m.size;
		}
		m.gpa = gpa;
		m.hpa = in->hpa + (gpa - in->gpa);
		if (went->count > 0 && run_continues(&went->run[went->count - 1], &m) &&
		    went->run[went->count - 1].level == m.level)
			went->run[went->count - 1].size += m.size;
		else
			runs_append(went, &m);
		gpa += m.size;
	}
}

/*
 * The runs that a call has to report: what stood in its range and was the host's, each of one level of
 * leaves. A replace is silent of what it maps to the same frame again.
 */
static void expect_runs(struct lost *l, const struct op *op, struct runs *went)
{
	const struct walker w = space_walker(l->f.as);
	struct runs all = { 0 };

	runs_take(&all, l, op->gpa, op->size);
	went->count = 0;
	for (uint64_t i = 0; i < all.count; i++) {
		const axas_mapping_t *m = &all.run[i];
		const axas_gpa_t end = m->gpa + m->size;
		axas_gpa_t gpa = m->gpa;

		if (m->state != AXAS_STATE_LINEAR ||
		    (op->kind == OP_REPLACE && space_replaces(l->f.as) &&
		     m->hpa - m->gpa == op->value - op->gpa))
			continue;
		if (m->level != 0)
			add_pieces(went, m, m->gpa, m->size, m->level);
		while (m->level == 0 && gpa < end) {
			const struct walk leaf = walker_walk(&w, gpa);
			const axas_gpa_t next = (gpa | (leaf.size - 1)) + 1;

			add_pieces(went, m, gpa, (next < end ? next : end) - gpa, leaf.level);
			gpa = next;
		}
	}
	runs_free(&all);
}

/* Each run once, whole, in order, and no other: as long as it was, not cut where tables end. */
static void check_runs(struct lost *l, const struct op *op, struct runs *went)
{
	if (op->kind != OP_UNMAP && !op_replaces(op->kind))
		went->count = 0;
	if (l->tlb.runs != went->count)
		fail_msg("%s gpa %#llx size %#llx: %llu runs released, should be %llu",
			 op_names[op->kind], (unsigned long long)op->gpa,
			 (unsigned long long)op->size, (unsigned long long)l->tlb.runs,
			 (unsigned long long)went->count);
	for (uint64_t i = 0; i < went->count; i++) {
		const axas_mapping_t *is = &l->tlb.run[i], *was = &went->run[i];

		assert_int_equal(is->gpa, was->gpa);
		assert_int_equal(is->size, was->size);
		assert_int_equal(is->hpa, was->hpa);
		assert_int_equal(is->flags, was->flags);
		assert_int_equal(is->level, was->level);
	}
}

/* Both CPUs are guests of the space and touch it here and there. */
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
	struct runs went = { 0 };

	lost_create(l, features);
	lost_seed(l, seed);
	for (uint32_t step = 0; step < STEPS; step++) {
		const struct op op = op_draw_any(l);
		axas_status_t status;

		tlb_this_cpu = (uint32_t)lost_below(l, TLB_CPUS);
		tlb_forget_log(&l->tlb);
		expect_runs(l, &op, &went);
		l->f.host.fail_at = lost_below(l, 8) == 0 ? 1 + lost_below(l, 4) : 0;
		status = op_run(l, &op);
		l->f.host.fail_at = 0;
		if (status != AXAS_OK)
			went.count = 0;
		check_runs(l, &op, &went);
		assert_true(l->tlb.requests_all <= 1);
		for (int i = 0; i < 3; i++)
			touch(l);
		if (step % 128 == 127)
			space_sweep(l->f.as);
	}
	tlb_this_cpu = 0;
	assert_ok(axas_clear(l->f.as));
	tlb_settle(&l->tlb, 0, 0);
	host_check(&l->f.host);
	lost_destroy(l);
	runs_free(&went);
}

static void no_cpu_ever_uses_what_is_not_so_any_more(void **state)
{
	static const uint32_t features[5][2] = {
		[AXAS_FORMAT_EPT] = { AXAS_FEATURE_1G_PAGES, 0 },
		[AXAS_FORMAT_NPT] = { AXAS_FEATURE_1G_PAGES, 0 },
		[AXAS_FORMAT_ARM_S2] = { 0, AXAS_FEATURE_ARM_BBM2 },
		[AXAS_FORMAT_RISCV_GSTAGE] = { 0, AXAS_FEATURE_RISCV_SVVPTC },
	};
	struct lost *l = *state;

	for (uint32_t i = 0; i < 4; i++)
		run_sequence(l, features[l->f.cfg.format][i % 2], 1000 + i);
	l->finished = 1;
}

static void a_gigabyte_of_small_pages_goes_with_one_request(void **state)
{
	static const axas_flags_t kinds[] = { RW | AXAS_NO_HUGE, RW | AXAS_POPULATE };
	struct lost *l = *state;

	lost_create(l, 0);
	l->f.host.quick = 1;
	for (int own = 0; own < 2; own++) {
		const uint64_t size = own ? GIB / 4 : GIB;
		axas_stats_t before;
		axas_status_t status;

		if (own)
			status = axas_map_alloc(l->f.as, 4 * GIB, size, kinds[own]);
		else
			status = axas_map_linear(l->f.as, 4 * GIB, LINEAR_HPA, size, kinds[own]);
		assert_ok(status);
		tlb_settle(&l->tlb, 0, 0);
		before = stats(&l->f);
		assert_int_equal(before.mapped_4k, size / PAGE);
		tlb_forget_log(&l->tlb);
		assert_ok(axas_unmap(l->f.as, 4 * GIB, size));
		tlb_settle(&l->tlb, 4 * GIB, size);
		assert_int_equal(l->tlb.requests_all, 1);
		assert_int_equal(stats(&l->f).tlb_requests, before.tlb_requests + 1);
		assert_int_equal(host_last_flush(&l->f.host)->gpa, 4 * GIB);
		assert_int_equal(host_last_flush(&l->f.host)->size, size);
		assert_int_equal(l->tlb.runs, own ? 0 : 1);
		assert_int_equal(l->tlb.frames_back, own ? size / PAGE : 0);
		if (!own)
			assert_int_equal(l->tlb.run[0].size, GIB);
		host_check(&l->f.host);
	}
	l->finished = 1;
}

/* An unmap in slices asks once for each slice, and says once of each page that it is free. */
static void slices_are_flushed_once_each(void **state)
{
	const struct op whole = { OP_UNMAP, 4 * GIB, 64 * MIB, 0, 0 };
	struct lost *l = *state;
	struct op op = whole;
	axas_status_t status = AXAS_ERR_AGAIN;
	struct runs went = { 0 };
	uint32_t slices = 0;

	lost_create(l, 0);
	assert_ok(op_run(l, &(struct op){ OP_LINEAR, 4 * GIB, 64 * MIB, LINEAR_HPA + PAGE, RW }));
	tlb_forget_log(&l->tlb);
	while (status == AXAS_ERR_AGAIN) {
		uint64_t done;

		status = op_run_some(l, &op, 600, &done);
		op = op_rest(&op, done);
		assert_int_equal(l->tlb.requests_all, ++slices);
	}
	assert_ok(status);
	assert_int_equal(slices, (64 * MIB / PAGE + 599) / 600);
	for (uint64_t i = 0; i < l->tlb.runs; i++)
		runs_add(&went, &l->tlb.run[i]);
	assert_int_equal(went.count, 1);
	assert_int_equal(went.run[0].size, 64 * MIB);
	assert_int_equal(went.run[0].gpa, 4 * GIB);
	runs_free(&went);
	l->finished = 1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOST_EACH_FORMAT(a_stale_translation_is_seen_until_a_flush_that_covers_it),
		LOST_EACH_FORMAT(a_local_flush_leaves_other_cpus_as_they_are),
		LOST_EACH_FORMAT(a_frame_that_goes_back_too_early_is_seen),
		LOST_EACH_FORMAT(a_block_that_changes_without_a_break_is_seen_on_arm),
		LOST_EACH_FORMAT(an_invalid_entry_that_is_cached_is_seen_on_riscv_without_svvptc),
		LOST_EACH_FORMAT(no_cpu_ever_uses_what_is_not_so_any_more),
		LOST_EACH_FORMAT(a_gigabyte_of_small_pages_goes_with_one_request),
		LOST_EACH_FORMAT(slices_are_flushed_once_each),
	};

	return cmocka_run_group_tests_name("flush", tests, NULL, NULL);
}
