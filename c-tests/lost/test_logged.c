/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * No write is lost: random sequences with a log, before CPUs that hold on to all they may (tlb.h). A CPU whose
 * translation says that a page may be written, and is dirty, writes without another look at the tables; so no such
 * translation is left when a call has returned that made the page clean, and a page that is made clean is reported
 * before the flush.
 */
#include "ops.h"

#define STEPS 400u
#define PAGES 3072u
#define BASE  (4 * GIB)

struct logged {
	struct lost *l;
	enum walk_log log;
	uint8_t written
		[PAGES]; /* by a guest or the host, since it was last reported and made clean */
	uint8_t zeroed[PAGES]; /* a reservation whose page was discarded since then */
	uint8_t dirty[PAGES]; /* as the walker sees it, or zeroed */
	uint64_t bitmap[PAGES / 64]; /* of the call in work */
	uint64_t wanted[PAGES / 64]; /* by a clear */
	int collects, clears;
};

static struct logged logged;

static int bit(const uint64_t *bitmap, uint64_t page)
{
	return bitmap[page / 64] >> (page % 64) & 1;
}

/* Whatever can be written by an old translation, and is clean now, is a page whose bit the host has. */
static void old_translations_are_reported(struct tlb *t, const axas_tlb_request_t *q)
{
	const struct logged *g = &logged;

	if (q->scope != AXAS_SCOPE_ALL || !(g->collects || g->clears))
		return;
	for (uint64_t i = 0; i < PAGES; i++) {
		const axas_gpa_t gpa = BASE + i * PAGE;
		const struct walk r = walker_walk(&t->walker, gpa);

		for (uint32_t cpu = 0; cpu < TLB_CPUS; cpu++)
			if (r.outcome == WALK_LEAF && !r.dirty &&
			    tlb_writes_silently(t, gpa, cpu) &&
			    !bit(g->collects ? g->bitmap : g->wanted, i))
				host_violation(t->host, "gpa %#llx is clean and was not reported",
					       (unsigned long long)gpa);
	}
}

/* What a look reports for each page. */
static void look(struct logged *g)
{
	for (uint64_t i = 0; i < PAGES; i++) {
		const struct walk r = walker_walk(&g->l->tlb.walker, BASE + i * PAGE);
		axas_mapping_t m;

		g->dirty[i] = g->zeroed[i];
		if (r.outcome != WALK_LEAF)
			continue;
		g->zeroed[i] = 0;
		assert_ok(axas_query(g->l->f.as, BASE + i * PAGE, &m));
		g->dirty[i] =
			r.dirty &&
			(m.state == AXAS_STATE_OWNED || !(m.flags & ALL_MEMORY_TYPES) ||
			 (m.flags & (AXAS_UNCACHED | AXAS_WRITE_COMBINE | AXAS_WRITE_THROUGH)));
	}
}

/* Pages that were written and are still what they were are dirty, where they can be. */
static void written_pages_are_dirty(struct logged *g)
{
	look(g);
	for (uint64_t i = 0; i < PAGES; i++)
		if (g->written[i] && !g->dirty[i])
			fail_msg("page %llu: a write is lost", (unsigned long long)i);
}

/* The entry of a page is made clean whole, or not at all. */
static int is_whole(const struct logged *g, const uint64_t *wanted, uint64_t page, uint64_t first,
		    uint64_t count)
{
	axas_mapping_t m;
	uint64_t from;

	assert_ok(axas_query(g->l->f.as, BASE + page * PAGE, &m));
	if (m.gpa < BASE + first * PAGE || m.gpa + m.size > BASE + (first + count) * PAGE)
		return 0;
	from = (m.gpa - BASE) / PAGE;
	for (uint64_t i = from; i < from + m.size / PAGE; i++)
		if (wanted != NULL && !bit(wanted, i))
			return 0;
	return 1;
}

static void settle(struct logged *g)
{
	tlb_settle_taken_in(&g->l->tlb, 0, 0);
	host_check(&g->l->f.host);
}

/* A range of the window in pages. */
static void draw(struct lost *l, uint64_t *first, uint64_t *count)
{
	*first = lost_below(l, 3) == 0 ? 0 : lost_below(l, PAGES);
	*count = lost_below(l, 3) == 0 ? PAGES - *first : 1 + lost_below(l, PAGES - *first);
	if (lost_below(l, 2) == 0)
		*count = PAGES - (*first &= ~511ull);
}

/* Bits at their places in the window: the library sees them from the start of the range. */
static void shift_in(uint64_t *to, const uint64_t *from, uint64_t first, uint64_t count)
{
	memset(to, 0, PAGES / 8);
	for (uint64_t i = 0; i < count; i++)
		if (bit(from, first + i))
			to[i / 64] |= 1ull << (i % 64);
}

static void do_collect(struct logged *g, int only_looks)
{
	struct lost *l = g->l;
	const uint32_t options = lost_below(l, 2) ? AXAS_DIRTY_SPLIT : 0;
	uint64_t first, count, found = 0, expected = 0;
	uint8_t can[PAGES] = { 0 };

	/* at the front, so that the bits stand where the hook in the flush looks for them */
	draw(l, &first, &count);
	if (!only_looks)
		first = 0;
	look(g);
	for (uint64_t i = first; i < first + count; i++) {
		expected += g->dirty[i];
		can[i] = options != 0 || is_whole(g, NULL, i, first, count);
	}
	memset(g->bitmap, 0, sizeof(g->bitmap));
	l->f.host.fail_at = lost_below(l, 4) == 0 ? 1 + lost_below(l, 3) : 0;
	if (only_looks) {
		assert_ok(axas_dirty_get(l->f.as, BASE + first * PAGE, count * PAGE, g->bitmap,
					 count, &found));
	} else {
		g->collects = 1;
		assert_ok(axas_dirty_collect(l->f.as, BASE, count * PAGE, g->bitmap, count, options,
					     &found));
		g->collects = 0;
	}
	settle(g);
	assert_int_equal(found, expected);
	for (uint64_t i = 0; i < count; i++)
		assert_int_equal(bit(g->bitmap, i), g->dirty[first + i]);
	for (uint64_t i = 0; i < count && !only_looks; i++) {
		const int was = g->dirty[i];
		const struct walk r = walker_walk(&l->tlb.walker, BASE + i * PAGE);

		if (r.outcome == WALK_LEAF && was) {
			if (can[i] && l->f.host.fail_at == 0)
				assert_false(r.dirty);
			if (!r.dirty)
				g->written[i] = 0;
		} else if (was) {
			g->zeroed[i] = !(options != 0 ? is_whole(g, NULL, i, 0, count) : can[i]);
		}
	}
	l->f.host.fail_at = 0;
}

static void do_clear(struct logged *g)
{
	struct lost *l = g->l;
	const uint32_t options = lost_below(l, 2) ? AXAS_DIRTY_SPLIT : 0;
	const uint64_t every = 1 + lost_below(l, 4);
	uint64_t bits[PAGES / 64];
	uint64_t first, count;

	draw(l, &first, &count);
	memset(g->wanted, 0, sizeof(g->wanted));
	for (uint64_t i = first; i < first + count; i++)
		if (lost_below(l, every) == 0)
			g->wanted[i / 64] |= 1ull << (i % 64);
	shift_in(bits, g->wanted, first, count);
	look(g);
	for (uint64_t i = first; i < first + count; i++)
		if (g->zeroed[i] && is_whole(g, g->wanted, i, first, count))
			g->dirty[i] = 2;
	g->clears = 1;
	assert_ok(
		axas_dirty_clear(l->f.as, BASE + first * PAGE, count * PAGE, bits, count, options));
	g->clears = 0;
	settle(g);
	for (uint64_t i = 0; i < PAGES; i++) {
		const struct walk r = walker_walk(&l->tlb.walker, BASE + i * PAGE);

		if (r.outcome != WALK_LEAF) {
			/* with SPLIT a reservation is cut to the bits that are set */
			if (g->zeroed[i] && bit(g->wanted, i))
				g->zeroed[i] = options == 0 && g->dirty[i] != 2;
			continue;
		}
		if (g->dirty[i] && !r.dirty) {
			/* nothing becomes clean that was not asked for */
			assert_true(bit(g->wanted, i));
			g->written[i] = 0;
		}
		if (g->dirty[i] && bit(g->wanted, i) && options != 0)
			assert_false(r.dirty);
	}
}

/* The word of the leaf at gpa. */
static uint64_t *word_of(struct lost *l, axas_gpa_t gpa)
{
	const struct walker *w = &l->tlb.walker;
	const uint32_t level = walker_walk(w, gpa).level;
	uint64_t *words = host_at(&l->f.host, w->root);
	uint64_t entries = w->root_entries;

	for (uint32_t at = w->levels;; at--) {
		uint64_t *word = &words[gpa / entry_size(at) % entries];

		if (at == level)
			return word;
		words = host_at(&l->f.host, entry_decode(l->f.cfg.format, at, *word).address);
		entries = 512;
	}
}

/* A merge makes no page dirty or clean, and loses no reservation's mark. */
static void do_merge(struct logged *g)
{
	struct lost *l = g->l;
	uint64_t first, count, merged;
	uint8_t before[PAGES];

	draw(l, &first, &count);
	look(g);
	memcpy(before, g->dirty, sizeof(before));
	assert_ok(axas_merge(l->f.as, BASE + first * PAGE, count * PAGE,
			     lost_below(l, 2) ? (axas_flags_t)AXAS_MERGE_COPY : 0, &merged));
	settle(g);
	look(g);
	assert_memory_equal(before, g->dirty, sizeof(before));
}

static void guest_writes(struct logged *g)
{
	struct lost *l = g->l;
	const uint64_t page = lost_below(l, PAGES);
	const axas_gpa_t gpa = BASE + page * PAGE;
	struct walk r;

	tlb_this_cpu = (uint32_t)lost_below(l, TLB_CPUS);
	if (guest_access(l, gpa, AXAS_WRITE) != AXAS_FAULT_SPURIOUS)
		return;
	/* the CPU has what it needs: it writes, and hardware sets the dirty bit unless its translation has it */
	r = space_walk(l->f.as, gpa);
	assert_int_equal(r.outcome, WALK_LEAF);
	if (g->log == LOG_HARDWARE && !tlb_writes_silently(&l->tlb, gpa, tlb_this_cpu)) {
		static const uint64_t set[] = {
			[WALK_EPT] = 1u << 9,
			[WALK_NPT] = 1u << 6,
			[WALK_ARM] = 1u << 7,
			[WALK_RISCV] = 1u << 7,
		};

		*word_of(l, gpa) |= set[l->tlb.walker.format];
		settle(g);
		r = space_walk(l->f.as, gpa);
	}
	if (!r.dirty)
		fail_msg("page %llu: a write that makes nothing dirty", (unsigned long long)page);
	look(g);
	g->written[page] = g->dirty[page];
}

static void host_writes(struct logged *g)
{
	struct lost *l = g->l;
	const uint64_t page = lost_below(l, PAGES);
	const uint64_t pages = 1 + lost_below(l, PAGES - page < 4 ? PAGES - page : 4);
	const axas_gpa_t gpa = BASE + page * PAGE;
	uint64_t done = 0;

	look(g); /* a call that is checked comes before one that is not */
	if (lost_below(l, 3) == 0) {
		assert_ok(axas_dirty_mark(l->f.as, gpa, pages * PAGE));
		done = pages * PAGE;
	} else {
		const axas_status_t status =
			axas_fill(l->f.as, gpa, 0, pages * PAGE,
				  lost_below(l, 2) ? (uint32_t)AXAS_ACCESS_HOST : 0, &done);

		assert_true(status == AXAS_OK || status == AXAS_ERR_DENIED ||
			    status == AXAS_ERR_NOT_MAPPED || status == AXAS_ERR_UNSUPPORTED);
	}
	settle(g);
	look(g);
	for (uint64_t i = page; i < page + done / PAGE; i++) {
		const struct walk r = walker_walk(&l->tlb.walker, BASE + i * PAGE);

		if (r.outcome == WALK_LEAF) {
			assert_true(r.dirty);
			g->written[i] = g->dirty[i];
		}
	}
}

static void any_op(struct logged *g)
{
	struct lost *l = g->l;
	const struct op op = op_draw_any(l);
	uint8_t owned[PAGES] = { 0 };
	axas_status_t status;

	for (uint64_t i = 0; i < PAGES; i++) {
		axas_mapping_t m;

		assert_ok(axas_query(l->f.as, BASE + i * PAGE, &m));
		owned[i] = m.state == AXAS_STATE_OWNED;
	}
	tlb_this_cpu = (uint32_t)lost_below(l, TLB_CPUS);
	l->f.host.fail_at = lost_below(l, 8) == 0 ? 1 + lost_below(l, 4) : 0;
	status = op_run(l, &op);
	l->f.host.fail_at = 0;
	for (uint64_t i = 0; i < PAGES && status == AXAS_OK; i++) {
		const axas_gpa_t gpa = BASE + i * PAGE;

		if (gpa < op.gpa || gpa - op.gpa >= op.size)
			continue;
		if (op.kind == OP_DISCARD && owned[i]) {
			g->zeroed[i] = 1;
			g->written[i] = 0;
		}
		if (op.kind == OP_UNMAP || op_replaces(op.kind))
			g->written[i] = g->zeroed[i] = 0;
		if (op.kind == OP_REPLACE_LAZY)
			g->zeroed[i] = 1;
	}
}

static void run_sequence(struct lost *l, uint32_t features, uint32_t options, uint64_t seed)
{
	struct logged *g = &logged;

	*g = (struct logged){ .l = l };
	lost_create(l, features);
	l->tlb.in_flush = old_translations_are_reported;
	lost_seed(l, seed);
	for (int i = 0; i < 8; i++)
		any_op(g);
	assert_ok(axas_dirty_start(l->f.as, BASE, PAGES * PAGE, options));
	memset(g->written, 0, sizeof(g->written));
	memset(g->zeroed, 0, sizeof(g->zeroed));
	tlb_log(&l->tlb, l->f.as);
	g->log = l->tlb.walker.log;
	settle(g);
	for (uint32_t step = 0; step < STEPS; step++) {
		switch (lost_below(l, 9)) {
		case 0:
			do_collect(g, 0);
			break;
		case 1:
			do_collect(g, 1);
			break;
		case 2:
			do_clear(g);
			break;
		case 3:
			host_writes(g);
			break;
		case 8:
			do_merge(g);
			break;
		case 4:
		case 5:
			for (int i = 0; i < 4; i++)
				guest_writes(g);
			break;
		default:
			any_op(g);
		}
		written_pages_are_dirty(g);
		if (step % 128 == 127)
			space_sweep(l->f.as);
	}
	assert_ok(axas_dirty_stop(l->f.as, 0, SPACE_SIZE));
	tlb_log(&l->tlb, l->f.as);
	settle(g);
	space_sweep(l->f.as);
	tlb_this_cpu = 0;
	l->tlb.in_flush = NULL;
	lost_destroy(l);
}

static void no_write_is_lost(void **state)
{
	static const uint32_t hardware[5] = {
		[AXAS_FORMAT_EPT] = AXAS_FEATURE_EPT_AD,
		[AXAS_FORMAT_ARM_S2] = AXAS_FEATURE_ARM_HAFDBS,
		[AXAS_FORMAT_RISCV_GSTAGE] = AXAS_FEATURE_RISCV_SVADU,
	};
	struct lost *l = *state;
	const uint32_t format = l->f.cfg.format;
	const uint32_t more = format == AXAS_FORMAT_ARM_S2 ? AXAS_FEATURE_ARM_BBM2 : 0;

	l->window = BASE;
	l->window_bytes = PAGES * PAGE;
	for (uint32_t i = 0; i < 8; i++) {
		const uint32_t by_hardware = i % 2;
		const uint32_t features = (by_hardware ? hardware[format] : 0) | (i & 4 ? more : 0);

		run_sequence(l, features,
			     (by_hardware ? AXAS_DIRTY_HARDWARE : 0) |
				     (i & 2 ? AXAS_DIRTY_ALL : 0) | (i == 4 ? AXAS_DIRTY_SPLIT : 0),
			     4000 + i);
	}
	l->finished = 1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOST_EACH_FORMAT(no_write_is_lost),
	};

	return cmocka_run_group_tests_name("logged", tests, NULL, NULL);
}
