/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Seeded random sequences against a model of pages; after every step the walker, query and
 * translate agree with it where something changed, and in the end everywhere. What is checked around each call,
 * and what CPUs and devices hold on to, is looked at in the range of the call, and in one step of some everywhere.
 *
 * With RANDOM_OPERATIONS in the environment, so many operations for a format, in spaces that are mostly small,
 * from the seed RANDOM_SEED on (scripts/random.sh).
 */
#include <stdio.h>
#include <stdlib.h>

#include "kept.h"
#include "model.h"
#include "tlb.h"

/* Opening and closing a window costs two system calls. */
#define STEPS                 2000u
#define STEPS_THROUGH_WINDOWS 200u
#define STEPS_LONG            10000u
#define SHAPES                6u
#define SMALL                 (40 * MIB)
#define TRACE                 6u
#define REMEMBERED            16u

struct shape {
	uint32_t levels, features, options;
	enum host_map_kind host;
	axas_gpa_t base;
	uint64_t size;
};

struct range {
	axas_gpa_t gpa;
	uint64_t size;
};

struct random {
	struct fixture f;
	struct model m;
	uint64_t seed, rng;
	uint32_t rarely; /* one step of so many looks at everything */
	int is_long; /* a run of so many operations: ranges are mostly small */
	axas_gpa_t last_gpa; /* ranges like to touch the one before */
	uint64_t last_size;
	struct range mapped[REMEMBERED]; /* where something was mapped, lately */
	uint32_t step;
	int finished;
	struct tlb tlb; /* what CPUs may still hold */
	int replaces, collects; /* what the engine has */
	struct kept kept; /* the tables, with AXAS_KEEP_TABLES */
	uint32_t runs; /* reported before the call */
	uint32_t how; /* what the host answers that is asked for a page */
	int is_small; /* with 4 KiB */
	uint64_t evicted; /* bytes that it was told of */
	enum { AGES_NOT, AGES_BY_FAULTS, AGES_BY_HARDWARE } ages;
	char trace[TRACE][160];
	_Alignas(AXAS_STORAGE_ALIGN) uint8_t storage[AXAS_STORAGE_SIZE];
};

static uint64_t next(struct random *r)
{
	r->rng ^= r->rng >> 12;
	r->rng ^= r->rng << 25;
	r->rng ^= r->rng >> 27;
	return r->rng * 0x2545f4914f6cdd1dull;
}

static uint64_t below(struct random *r, uint64_t bound)
{
	return next(r) % bound;
}

static struct random *asked; /* by the host's callbacks */

/* Where the host has the page of an address, if it is its own. */
static axas_hpa_t own_page(axas_gpa_t gpa)
{
	return LINEAR_HPA + gpa % GIB;
}

static uint32_t resolve(void *ctx, uint32_t provider, axas_gpa_t gpa, uint32_t access,
			axas_supply_t *answer)
{
	struct random *r = asked;
	const uint64_t most = answer->flags & AXAS_NO_HUGE ? PAGE :
			      answer->flags & AXAS_MAX_2M  ? 2 * MIB :
							     GIB;

	space_check_no_window(ctx, "resolve");
	if (gpa % PAGE != 0 || (access & ~answer->flags) != 0 ||
	    model_at(&r->m, gpa)->state != AXAS_STATE_PROVIDED ||
	    model_at(&r->m, gpa)->value != provider)
		host_violation(ctx, "asked for a page that is no provider's");
	answer->size = r->is_small ? PAGE : most;
	if (r->how == AXAS_RESOLVE_NOW)
		answer->hpa = own_page(gpa & ~(answer->size - 1));
	if (r->how == AXAS_RESOLVE_GIVEN) {
		answer->size = PAGE;
		answer->hpa = r->f.host.hal.alloc_frame(ctx, 0, AXAS_FRAME_GUEST);
	}
	return r->how;
}

static uint32_t evicted(void *ctx, const axas_mapping_t *run, uint32_t dirty)
{
	space_check_no_window(ctx, "evicted");
	if (dirty != 1)
		host_violation(ctx, "a page is said to be clean where nothing is logged");
	for (uint64_t at = 0; at < run->size; at += PAGE) {
		const struct model_page *p = model_at(&asked->m, run->gpa + at);

		if (p->state != run->state || p->value != run->hpa + at ||
		    tag_of(p->flags) != tag_of(run->flags))
			host_violation(ctx, "a page is evicted that was another one");
	}
	asked->evicted += run->size;
	return 0;
}

static void trace(struct random *r, const char *what, struct range at, uint64_t value,
		  axas_flags_t flags)
{
	snprintf(r->trace[r->step % TRACE], sizeof(r->trace[0]),
		 "step %u: %s gpa %#llx size %#llx value %#llx flags %#x fail %llu", r->step, what,
		 (unsigned long long)at.gpa, (unsigned long long)at.size, (unsigned long long)value,
		 flags, (unsigned long long)r->f.host.fail_at);
}

/* The next call is for this range: what is checked around it. */
static void look_at(struct random *r, struct range at)
{
	const uint64_t size = below(r, r->rarely) == 0 ? 0 : at.size;

	space_look_at(r->f.as, at.gpa, size);
	tlb_look_at(&r->tlb, at.gpa, size);
}

/* Pages, large pages and gigabytes, often with edges that meet those of the last range. */
static struct range pick_range(struct random *r, uint64_t most)
{
	const uint64_t bytes = r->m.pages * PAGE;
	const uint64_t kind = r->is_long && below(r, 5) != 0 ? 0 : below(r, 100);
	struct range at = { .size = (1 + below(r, 40)) * PAGE };

	if (kind >= 55 && kind < 75)
		at.size = (1 + below(r, 1600)) * PAGE;
	else if (kind >= 75 && kind < 92)
		at.size = (1 + below(r, 4)) * 2 * MIB;
	else if (kind >= 92)
		at.size = GIB + below(r, 3) * 2 * MIB - below(r, 3) * PAGE;
	if (at.size > most)
		at.size = most;
	at.gpa = r->m.base + below(r, bytes / PAGE) * PAGE;
	if (below(r, 3) == 0)
		at.gpa = r->last_gpa + below(r, 2) * r->last_size;
	if (below(r, 4) == 0)
		at.gpa &= ~(2 * MIB - 1);
	if (kind >= 92 && below(r, 2) == 0)
		at.gpa &= ~(GIB - 1);
	if (at.gpa < r->m.base)
		at.gpa = r->m.base;
	if (at.gpa >= r->m.base + bytes)
		at.gpa = r->m.base + bytes - PAGE;
	if (at.size > r->m.base + bytes - at.gpa)
		at.size = r->m.base + bytes - at.gpa;
	r->last_gpa = at.gpa;
	r->last_size = at.size;
	return at;
}

/* Mostly within something that was mapped: a part, a half, or all of it. */
static struct range pick_mapped(struct random *r)
{
	const struct range in = r->mapped[below(r, REMEMBERED)];
	struct range at = in;

	if (in.size == 0 || below(r, 6) == 0)
		return pick_range(r, 4 * GIB);
	if (below(r, 4) != 0) {
		at.gpa += below(r, in.size / PAGE) * PAGE;
		if (below(r, 3) == 0 && (at.gpa & ~(2 * MIB - 1)) >= in.gpa)
			at.gpa &= ~(2 * MIB - 1);
		at.size = (1 + below(r, (in.gpa + in.size - at.gpa) / PAGE)) * PAGE;
	}
	if (below(r, r->is_long ? 8 : 2) != 0)
		at.size = (at.size - 1) % (40 * PAGE) / PAGE * PAGE + PAGE;
	r->last_gpa = at.gpa;
	r->last_size = at.size;
	return at;
}

static void remember(struct random *r, struct range at)
{
	r->mapped[below(r, REMEMBERED)] = at;
}

static axas_flags_t pick_access(struct random *r)
{
	static const axas_flags_t access[] = { AXAS_READ, RW, RX, RWX };

	return access[below(r, 4)];
}

/* Mostly none. */
static uint32_t pick_tag(struct random *r)
{
	return below(r, 3) == 0 ? (uint32_t)below(r, 1ull << axas_tag_bits(r->f.as)) : 0;
}

/* The host's pages may have no permission. */
static axas_flags_t pick_access_or_none(struct random *r)
{
	return below(r, 8) == 0 ? 0 : pick_access(r);
}

static axas_flags_t pick_flags(struct random *r)
{
	axas_flags_t flags = pick_access(r) | TAG(pick_tag(r));
	const int plain = r->f.cfg.format == AXAS_FORMAT_RISCV_GSTAGE &&
			  !(r->f.cfg.features & AXAS_FEATURE_RISCV_SVPBMT);

	if (below(r, 5) == 0)
		flags |= AXAS_DEVICE;
	else if (below(r, 5) == 0 && !plain)
		flags |= AXAS_UNCACHED;
	return flags;
}

/* The largest page that may stand at gpa in this mapping: what greedy and exact both give. */
static uint64_t best_page(const struct random *r, struct range at, axas_hpa_t hpa,
			  axas_flags_t flags, axas_gpa_t gpa)
{
	const int x86 = r->f.cfg.format <= AXAS_FORMAT_NPT;
	const uint64_t sizes[] = { GIB, 2 * MIB };

	for (int i = 0; i < 2; i++) {
		const axas_gpa_t first = gpa & ~(sizes[i] - 1);

		if ((flags & AXAS_NO_HUGE) ||
		    ((flags & AXAS_NO_HUGE_EXEC) && (flags & AXAS_EXECUTE)))
			continue;
		if (i == 0 && ((flags & AXAS_MAX_2M) ||
			       (x86 && !(r->f.cfg.features & AXAS_FEATURE_1G_PAGES))))
			continue;
		if (first < at.gpa || first + sizes[i] > at.gpa + at.size)
			continue;
		if ((hpa - at.gpa) % sizes[i] == 0)
			return sizes[i];
	}
	return PAGE;
}

/* An injected failure may end a call without memory; anything else is as the model says. */
static int happened(struct random *r, axas_status_t got, axas_status_t expected, int injected)
{
	if (injected && got == AXAS_ERR_NO_MEMORY) {
		assert_int_equal(expected, AXAS_OK);
		return 0;
	}
	if (got != expected)
		fail_msg("step %u: status %d, should be %d", r->step, got, expected);
	return got == AXAS_OK;
}

enum what {
	MAP_LINEAR,
	MAP_ALLOC,
	MAP_TRAP,
	UNMAP,
	PROTECT,
	POPULATE,
	DISCARD,
	COLLECT,
	RETAG,
	HIDE,
	SHOW,
	NOTE,
	MERGE,
	PROVIDER,
	EVICT
};

/* A call that there is whole and in slices. */
struct call {
	enum what what;
	struct range at;
	axas_hpa_t hpa;
	axas_flags_t flags;
};

/* Where a page stays that stood there, by the host's frame. */
static int stays(const struct random *r, const struct call *c, axas_gpa_t gpa)
{
	return c->what == MAP_LINEAR && model_at(&r->m, gpa)->value - gpa == c->hpa - c->at.gpa;
}

/*
 * Each of the host's pages that went is in one run, as it was; runs come in order and do not go on where the
 * one before ends. The model is the space before the call.
 */
static void check_released(const struct random *r, const struct call *c, uint64_t size)
{
	const struct host *h = &r->f.host;
	const int removes = c->what == UNMAP || c->what == EVICT || (c->flags & AXAS_REPLACE);
	const uint64_t first = r->runs;
	uint64_t told = 0, expected = 0;

	if (h->runs - first > HOST_RUN_LOG || !r->replaces)
		return;
	for (uint64_t i = first; i < h->runs; i++) {
		const axas_mapping_t *run = &h->run[i % HOST_RUN_LOG];
		const axas_mapping_t *last = i > first ? &h->run[(i - 1) % HOST_RUN_LOG] : NULL;

		assert_in_range(run->level, 1, 3);
		assert_int_equal(run->size % (PAGE << 9 * (run->level - 1)), 0);
		assert_int_equal(run->gpa % (PAGE << 9 * (run->level - 1)), 0);
		assert_true(run->gpa >= c->at.gpa && run->gpa + run->size <= c->at.gpa + size);
		if (last != NULL) {
			assert_true(last->gpa + last->size <= run->gpa);
			assert_false(c->what != EVICT && last->gpa + last->size == run->gpa &&
				     last->hpa + last->size == run->hpa &&
				     last->flags == run->flags && last->level == run->level);
		}
		for (uint64_t at = 0; at < run->size; at += PAGE) {
			const struct model_page *p = model_at(&r->m, run->gpa + at);

			assert_int_equal(p->state, AXAS_STATE_LINEAR);
			assert_int_equal(p->value, run->hpa + at);
			assert_int_equal(space_access(p->flags), space_access(run->flags));
			assert_int_equal(tag_of(p->flags), tag_of(run->flags));
			assert_false((c->flags & AXAS_REPLACE) && stays(r, c, run->gpa + at));
		}
		told += run->size;
	}
	for (axas_gpa_t gpa = c->at.gpa; removes && gpa < c->at.gpa + size; gpa += PAGE)
		expected += model_at(&r->m, gpa)->state == AXAS_STATE_LINEAR &&
					    !(c->what == EVICT &&
					      model_at(&r->m, gpa)->hidden == MODEL_HIDDEN) &&
					    !((c->flags & AXAS_REPLACE) && stays(r, c, gpa)) ?
				    PAGE :
				    0;
	assert_int_equal(told, expected);
}

/* Pages that were valid and lost something must have been named in a flush. */
static void check_flush(const struct random *r, const struct call *c, uint64_t size)
{
	const axas_flags_t kept = c->what == PROTECT ? c->flags : 0;

	if (c->what == POPULATE || c->what == COLLECT || c->what == RETAG || c->what == SHOW ||
	    c->what == MERGE || c->what == PROVIDER ||
	    ((c->what <= MAP_TRAP || c->what == NOTE) && !(c->flags & AXAS_REPLACE)))
		return;
	for (axas_gpa_t gpa = c->at.gpa; gpa < c->at.gpa + size; gpa += PAGE) {
		const struct model_page *p = model_at(&r->m, gpa);
		const int valid =
			!p->hidden && (p->state == AXAS_STATE_OWNED ||
				       (p->state == AXAS_STATE_LINEAR && c->what != DISCARD));

		if (c->what == MAP_LINEAR && valid && stays(r, c, gpa))
			continue; /* what it lost is seen by what CPUs hold */
		if (valid && (space_access(p->flags) & ~kept) && !space_flush_covered(gpa, PAGE))
			fail_msg("step %u: no flush for %#llx", r->step, (unsigned long long)gpa);
	}
}

/* What became of the tables, with AXAS_KEEP_TABLES; how many the statistics count is in space_sweep. */
static void check_kept(struct random *r, const struct call *c, uint64_t size)
{
	struct kept now = { 0 };
	const char *why = NULL;
	struct walker w;

	if (!(r->f.cfg.options & AXAS_KEEP_TABLES) || size == 0)
		return;
	w = space_walker(r->f.as);
	kept_read(&now, &w);
	if (c->what == UNMAP)
		why = kept_removed(&r->kept, &now, c->at.gpa, size);
	else if (c->what == COLLECT)
		why = kept_collected(&r->kept, &now, c->at.gpa, size);
	else
		why = kept_changed(&r->kept, &now, c->at.gpa, size);
	if (why != NULL)
		fail_msg("step %u: %s", r->step, why);
	kept_free(&r->kept);
	r->kept = now;
}

static axas_status_t call_whole(struct random *r, const struct call *c)
{
	axas_t *as = r->f.as;
	uint64_t merged;

	switch (c->what) {
	case MAP_LINEAR:
		return axas_map_linear(as, c->at.gpa, c->hpa, c->at.size, c->flags);
	case MAP_ALLOC:
		return axas_map_alloc(as, c->at.gpa, c->at.size, c->flags);
	case MAP_TRAP:
		return axas_map_trap_flags(as, c->at.gpa, c->at.size, c->hpa, c->flags);
	case UNMAP:
		return axas_unmap(as, c->at.gpa, c->at.size);
	case PROTECT:
		return axas_protect(as, c->at.gpa, c->at.size, c->flags);
	case POPULATE:
		return axas_populate(as, c->at.gpa, c->at.size);
	case DISCARD:
		return axas_discard(as, c->at.gpa, c->at.size);
	case COLLECT:
		return axas_collect(as, c->at.gpa, c->at.size);
	case RETAG:
		return axas_retag(as, c->at.gpa, c->at.size, tag_of(c->flags));
	case HIDE:
		return axas_hide(as, c->at.gpa, c->at.size, (uint32_t)c->hpa);
	case SHOW:
		return axas_show(as, c->at.gpa, c->at.size);
	case NOTE:
		return axas_map_note(as, c->at.gpa, c->at.size, (uint32_t)c->hpa, c->flags);
	case MERGE:
		return axas_merge(as, c->at.gpa, c->at.size, c->flags, &merged);
	case PROVIDER:
		return axas_map_provider(as, c->at.gpa, c->at.size, c->flags, (uint32_t)c->hpa);
	case EVICT:
		return axas_evict(as, c->at.gpa, c->at.size, (uint32_t)c->hpa);
	}
	return AXAS_ERR_BAD_STATE;
}

static axas_status_t call_slice(struct random *r, const struct call *c, uint64_t budget,
				uint64_t *done)
{
	const axas_gpa_t gpa = c->at.gpa;
	const uint64_t size = c->at.size;
	axas_t *as = r->f.as;
	uint64_t merged;

	switch (c->what) {
	case MAP_LINEAR:
		return axas_map_linear_some(as, gpa, c->hpa, size, c->flags, budget, done);
	case MAP_ALLOC:
		return axas_map_alloc_some(as, gpa, size, c->flags, budget, done);
	case UNMAP:
		return axas_unmap_some(as, gpa, size, budget, done);
	case PROTECT:
		return axas_protect_some(as, gpa, size, c->flags, budget, done);
	case POPULATE:
		return axas_populate_some(as, gpa, size, budget, done);
	case DISCARD:
		return axas_discard_some(as, gpa, size, budget, done);
	case COLLECT:
		return axas_collect_some(as, gpa, size, budget, done);
	case RETAG:
		return axas_retag_some(as, gpa, size, tag_of(c->flags), budget, done);
	case HIDE:
		return axas_hide_some(as, gpa, size, (uint32_t)c->hpa, budget, done);
	case SHOW:
		return axas_show_some(as, gpa, size, budget, done);
	case NOTE:
		return axas_map_note_some(as, gpa, size, (uint32_t)c->hpa, c->flags, budget, done);
	case MERGE:
		return axas_merge_some(as, gpa, size, c->flags, &merged, budget, done);
	case EVICT:
		return axas_evict_some(as, gpa, size, (uint32_t)c->hpa, budget, done);
	case MAP_TRAP:
	case PROVIDER:
		break;
	}
	return AXAS_ERR_BAD_STATE;
}

/* Slices of any budget end where the whole call ends, and each is a step forward. */
static axas_status_t call_in_slices(struct random *r, const struct call *whole)
{
	const uint64_t budget =
		whole->at.size <= 64 * PAGE ? 1 + below(r, 40) : 50 + below(r, 4000);
	struct call c = *whole;

	for (uint32_t slices = 0; slices < 100000; slices++) {
		uint64_t done = ~0ull;
		axas_status_t status;

		r->runs = r->f.host.runs;
		status = call_slice(r, &c, budget, &done);

		assert_true(done % PAGE == 0 && done <= c.at.size);
		check_flush(r, &c, done);
		check_released(r, &c, done);
		check_kept(r, &c, done);
		if (status != AXAS_ERR_AGAIN) {
			if (status == AXAS_OK)
				assert_int_equal(done, c.at.size);
			return status;
		}
		assert_true(done > 0 && done < c.at.size);
		c.at.gpa += done;
		c.at.size -= done;
		if (c.what == MAP_LINEAR)
			c.hpa += done;
	}
	fail_msg("step %u: no end of slices", r->step);
	return AXAS_ERR_BAD_STATE;
}

/* What devices do not allow, whatever is in the range (AXAS_IO). */
static int is_refused(const struct random *r, const struct call *c)
{
	if (!r->tlb.has_device)
		return 0;
	switch (c->what) {
	case MAP_ALLOC:
		if (!(c->flags & AXAS_POPULATE))
			return 1;
		break;
	case HIDE:
		return c->hpa == AXAS_HIDE_AUTO;
	case MERGE:
	case PROVIDER:
	case EVICT:
		return 1;
	default:
		break;
	}
	return (c->flags & AXAS_REPLACE) && !r->tlb.device_may_fault;
}

/* A leaf is cut at gpa. */
static int is_cut(const struct random *r, axas_gpa_t gpa)
{
	const struct walk leaf = space_walk(r->f.as, gpa);

	return leaf.outcome == WALK_LEAF && gpa % leaf.size != 0;
}

/* A device that neither stalls nor retries does not allow the break before the make of a cut. */
static int may_be_refused(const struct random *r, const struct call *c)
{
	return r->tlb.has_device && !r->tlb.device_may_fault && r->tlb.breaks_first &&
	       r->f.cfg.format == AXAS_FORMAT_ARM_S2 &&
	       (is_cut(r, c->at.gpa) || is_cut(r, c->at.gpa + c->at.size));
}

/* A device looks at both sides of the ends of the range, at the pages that they are in, and between. */
static void look_as_device(struct random *r, const struct range *at)
{
	const axas_gpa_t end[2] = { at->gpa, at->gpa + at->size };

	for (int i = 0; r->tlb.has_device && i < 2; i++)
		for (uint64_t size = PAGE; size <= GIB; size *= 512) {
			tlb_sight(&r->tlb, end[i] & ~(size - 1));
			tlb_sight(&r->tlb, (end[i] & ~(size - 1)) - PAGE);
			tlb_sight(&r->tlb, end[i] | (size - PAGE));
		}
	for (int i = 0; r->tlb.has_device && i < 4; i++)
		tlb_sight(&r->tlb, at->gpa + below(r, at->size / PAGE) * PAGE);
}

/* No CPU and no device misses what a call has mapped. */
static void settle_mapped(struct random *r, const struct call *c)
{
	r->tlb.expects_new = c->what == MAP_LINEAR || c->what == MAP_ALLOC || c->what == POPULATE ||
			     c->what == SHOW;
	if (c->what == POPULATE)
		tlb_settle_taken_in(&r->tlb, c->at.gpa, c->at.size);
	else if (r->tlb.expects_new)
		tlb_settle(&r->tlb, c->at.gpa, c->at.size);
	r->tlb.expects_new = 0;
}

/* Whole or, where the model expects success, in slices. */
static int call(struct random *r, const struct call *c, axas_status_t expects, int injected)
{
	const axas_status_t expected = is_refused(r, c) ? AXAS_ERR_UNSUPPORTED : expects;
	const int cuts = may_be_refused(r, c);
	const int in_slices = expected == AXAS_OK && !injected && !(c->flags & AXAS_REPLACE) &&
			      c->what != MAP_TRAP && c->what != PROVIDER && !cuts &&
			      below(r, 3) == 0;
	axas_status_t got;

	r->runs = r->f.host.runs;
	look_at(r, c->at);
	look_as_device(r, &c->at);
	if (in_slices)
		got = call_in_slices(r, c);
	else
		got = call_whole(r, c);
	tlb_end_sights(&r->tlb);
	if (got == AXAS_ERR_UNSUPPORTED && cuts)
		return 0;
	if (!happened(r, got, expected, injected)) {
		/* a populated map may have given kept tables back: lib/space.c looks which */
		if (r->f.cfg.options & AXAS_KEEP_TABLES) {
			const struct walker w = space_walker(r->f.as);

			kept_free(&r->kept);
			kept_read(&r->kept, &w);
		}
		return 0;
	}
	if (!in_slices) {
		check_flush(r, c, c->at.size);
		check_released(r, c, c->at.size);
		check_kept(r, c, c->at.size);
	}
	settle_mapped(r, c);
	return 1;
}

static void map_linear(struct random *r, int injected, axas_flags_t replace)
{
	static const uint64_t align[] = { PAGE, 2 * MIB, GIB, GIB };
	static const axas_flags_t sizes[] = { 0, 0, AXAS_NO_HUGE, AXAS_MAX_2M, AXAS_NO_HUGE_EXEC };
	const axas_flags_t attributes = below(r, 12) == 0 ? pick_flags(r) & ~RWX : pick_flags(r);
	const axas_flags_t flags = attributes | sizes[below(r, 5)] | replace;
	const uint64_t congruent = align[below(r, 4)];
	/* a gigabyte in small pages is covered elsewhere and slow here */
	const struct range at =
		pick_range(r, congruent == PAGE || (flags & AXAS_NO_HUGE) ? 16 * MIB : 2 * GIB);
	const axas_hpa_t hpa =
		LINEAR_HPA + below(r, GIB / congruent) * congruent + at.gpa % congruent;
	const axas_gpa_t probe = at.gpa + below(r, at.size);
	const axas_status_t expected = replace || model_all_absent(&r->m, at.gpa, at.size) ?
					       AXAS_OK :
					       AXAS_ERR_ALREADY_EXISTS;
	const struct call c = { MAP_LINEAR, at, hpa, flags };

	trace(r, "map_linear", at, hpa, flags);
	if (!call(r, &c, expected, injected))
		return;
	remember(r, at);
	model_set(&r->m,
		  &(struct model_change){ at.gpa, at.size, AXAS_STATE_LINEAR,
					  flags & (RWX | ALL_MEMORY_TYPES | AXAS_TAG_MASK), hpa });
	assert_int_equal(space_agree(r->f.as, probe).size, best_page(r, at, hpa, flags, probe));
}

static void do_map_linear(struct random *r, int injected)
{
	map_linear(r, injected, 0);
}

static void do_replace(struct random *r, int injected)
{
	map_linear(r, injected, AXAS_REPLACE);
}

/* Whatever was reserved has a frame now. */
static void learn_all(struct random *r, struct range at)
{
	for (axas_gpa_t gpa = at.gpa; gpa < at.gpa + at.size; gpa += PAGE)
		if (model_at(&r->m, gpa)->state == AXAS_STATE_RESERVED)
			model_learn(&r->m, &r->f, gpa);
		else if (model_at(&r->m, gpa)->state == AXAS_STATE_PROVIDED)
			model_provided(&r->m, &r->f, gpa, 0);
}

static void map_alloc(struct random *r, int injected, axas_flags_t replace)
{
	static const axas_flags_t sizes[] = { 0, AXAS_NO_HUGE, AXAS_HUGE_FRAMES,
					      AXAS_HUGE_FRAMES | AXAS_MAX_2M };
	const int populate = below(r, 4) == 0;
	const axas_flags_t zero = below(r, 3) == 0 ? (axas_flags_t)AXAS_SKIP_ZERO : 0;
	const axas_flags_t flags = pick_flags(r) | sizes[below(r, 4)] | zero;
	const struct range at = pick_range(r, populate ? 4 * MIB : 4 * GIB);
	const axas_status_t expected = replace || model_all_absent(&r->m, at.gpa, at.size) ?
					       AXAS_OK :
					       AXAS_ERR_ALREADY_EXISTS;
	const struct call c = { MAP_ALLOC, at, 0,
				flags | replace | (populate ? AXAS_POPULATE : 0) };

	trace(r, populate ? "map_alloc populated" : "map_alloc", at, 0, flags | replace);
	if (!call(r, &c, expected, injected))
		return;
	remember(r, at);
	model_set(&r->m, &(struct model_change){ at.gpa, at.size, AXAS_STATE_RESERVED,
						 flags & ~(axas_flags_t)AXAS_NO_HUGE, 0 });
	if (populate)
		learn_all(r, at);
}

static void do_map_alloc(struct random *r, int injected)
{
	map_alloc(r, injected, 0);
}

static void map_trap(struct random *r, int injected, axas_flags_t replace)
{
	const struct range at = pick_range(r, 4 * GIB);
	const uint64_t cookie = below(r, 1ull << 32);
	const axas_flags_t tag = TAG(pick_tag(r));
	const axas_status_t expected = replace || model_all_absent(&r->m, at.gpa, at.size) ?
					       AXAS_OK :
					       AXAS_ERR_ALREADY_EXISTS;
	const struct call c = { MAP_TRAP, at, cookie, replace | tag };

	trace(r, "map_trap", at, cookie, replace);
	if (!call(r, &c, expected, injected))
		return;
	if (below(r, 4) == 0)
		remember(r, at);
	model_set(&r->m, &(struct model_change){ at.gpa, at.size, AXAS_STATE_TRAP, tag, cookie });
}

static void do_map_trap(struct random *r, int injected)
{
	map_trap(r, injected, 0);
}

/* Memory becomes other memory, or a device. */
static void do_replace_otherwise(struct random *r, int injected)
{
	if (!r->replaces)
		do_replace(r, injected);
	else if (below(r, 3) == 0)
		map_trap(r, injected, AXAS_REPLACE);
	else
		map_alloc(r, injected, AXAS_REPLACE);
}

static void do_collect(struct random *r, int injected)
{
	const struct range at = below(r, 4) == 0 ? pick_range(r, 4 * GIB) : pick_mapped(r);
	const struct call c = { COLLECT, at, 0, 0 };

	if (!r->collects)
		return;
	trace(r, "collect", at, 0, 0);
	call(r, &c, AXAS_OK, injected);
}

static void do_unmap(struct random *r, int injected)
{
	const struct range at = pick_mapped(r);
	const struct call c = { UNMAP, at, 0, 0 };

	trace(r, "unmap", at, 0, 0);
	if (!call(r, &c, AXAS_OK, injected))
		return;
	model_set(&r->m, &(struct model_change){ at.gpa, at.size, AXAS_STATE_ABSENT, 0, 0 });
}

static void do_protect(struct random *r, int injected)
{
	const struct range at = pick_mapped(r);
	const axas_flags_t flags = pick_access_or_none(r);
	const axas_status_t expected =
		model_all_memory(&r->m, at.gpa, at.size) ? AXAS_OK : AXAS_ERR_NOT_MAPPED;
	const struct call c = { PROTECT, at, 0, flags };

	trace(r, "protect", at, 0, flags);
	if (call(r, &c, expected, injected))
		model_protect(&r->m, at.gpa, at.size, flags);
}

static void do_retag(struct random *r, int injected)
{
	const struct range at = pick_mapped(r);
	const axas_flags_t tag = TAG(pick_tag(r));
	const axas_status_t expected =
		model_none_absent(&r->m, at.gpa, at.size) ? AXAS_OK : AXAS_ERR_NOT_MAPPED;
	const struct call c = { RETAG, at, 0, tag };

	trace(r, "retag", at, 0, tag);
	if (call(r, &c, expected, injected))
		model_retag(&r->m, at.gpa, at.size, tag_of(tag));
}

static void do_populate(struct random *r, int injected)
{
	struct range at = pick_mapped(r);
	axas_status_t expected;
	struct call c;

	at.size = at.size > 4 * MIB ? 4 * MIB : at.size;
	expected = model_all_memory(&r->m, at.gpa, at.size) ? AXAS_OK : AXAS_ERR_NOT_MAPPED;
	c = (struct call){ POPULATE, at, 0, 0 };
	trace(r, "populate", at, 0, 0);
	r->how = AXAS_RESOLVE_NOW;
	r->is_small = below(r, 2) == 0;
	if (injected) /* what providers brought before it failed would stay */
		for (axas_gpa_t gpa = at.gpa; gpa < at.gpa + at.size; gpa += PAGE)
			if (model_at(&r->m, gpa)->state == AXAS_STATE_PROVIDED)
				return;
	if (call(r, &c, expected, injected))
		learn_all(r, at);
}

static void do_discard(struct random *r, int injected)
{
	const struct range at = pick_mapped(r);
	const axas_status_t expected =
		model_all_memory(&r->m, at.gpa, at.size) ? AXAS_OK : AXAS_ERR_NOT_MAPPED;
	const struct call c = { DISCARD, at, 0, 0 };

	trace(r, "discard", at, 0, 0);
	if (call(r, &c, expected, injected))
		model_discard(&r->m, at.gpa, at.size);
}

static void do_hide(struct random *r, int injected)
{
	const struct range at = below(r, 4) == 0 ? pick_range(r, 4 * GIB) : pick_mapped(r);
	const uint32_t options = below(r, 2) ? AXAS_HIDE_AUTO : 0;
	const struct call c = { HIDE, at, options, 0 };

	trace(r, "hide", at, options, 0);
	if (call(r, &c, AXAS_OK, injected))
		model_hide(&r->m, at.gpa, at.size, options != 0);
}

static void do_show(struct random *r, int injected)
{
	const struct range at = below(r, 4) == 0 ? pick_range(r, 4 * GIB) : pick_mapped(r);
	const struct call c = { SHOW, at, 0, 0 };

	trace(r, "show", at, 0, 0);
	if (call(r, &c, AXAS_OK, injected))
		model_show(&r->m, at.gpa, at.size);
}

static void do_map_note(struct random *r, int injected)
{
	const struct range at = pick_range(r, 4 * GIB);
	const axas_flags_t replace = below(r, 4) == 0 ? AXAS_REPLACE : 0;
	const uint64_t value = below(r, 1ull << 32);
	const axas_status_t expected = replace || model_all_absent(&r->m, at.gpa, at.size) ?
					       AXAS_OK :
					       AXAS_ERR_ALREADY_EXISTS;
	const struct call c = { NOTE, at, value, replace };

	trace(r, "map_note", at, value, replace);
	if (call(r, &c, expected, injected))
		model_set(&r->m,
			  &(struct model_change){ at.gpa, at.size, AXAS_STATE_NOTE, 0, value });
}

/* Nothing changes but the sizes of pages, and with MERGE_COPY the frames of pages of 4 KiB that were the library's. */
static void do_merge(struct random *r, int injected)
{
	static const axas_flags_t flags[] = { 0, AXAS_MERGE_COPY, AXAS_MAX_2M,
					      AXAS_MERGE_COPY | AXAS_NO_HUGE_EXEC };
	struct range at = below(r, 2) == 0 ? pick_range(r, 4 * GIB) : pick_mapped(r);
	const struct call c = { MERGE, at, 0, flags[below(r, 4)] };

	trace(r, "merge", at, 0, c.flags);
	if (!call(r, &c, AXAS_OK, injected) || !(c.flags & AXAS_MERGE_COPY))
		return;
	for (axas_gpa_t gpa = at.gpa; gpa < at.gpa + at.size; gpa += PAGE) {
		struct model_page *p = model_at(&r->m, gpa);
		struct walk now;

		if (p->state != AXAS_STATE_OWNED || p->hidden)
			continue;
		now = space_walk(r->f.as, gpa);
		if (now.hpa != p->value)
			assert_int_equal(now.size, 2 * MIB);
		p->value = now.hpa;
	}
}

static void do_map_provider(struct random *r, int injected)
{
	static const axas_flags_t sizes[] = { 0, AXAS_NO_HUGE, AXAS_MAX_2M, AXAS_NO_HUGE_EXEC };
	const axas_flags_t flags = pick_flags(r), size = sizes[below(r, 4)];
	const struct range at = pick_range(r, 4 * GIB);
	const uint64_t provider = below(r, 65536);
	const int is_small =
		size == AXAS_NO_HUGE || (size == AXAS_NO_HUGE_EXEC && (flags & AXAS_EXECUTE));
	const int has_1g =
		r->f.cfg.format > AXAS_FORMAT_NPT || (r->f.cfg.features & AXAS_FEATURE_1G_PAGES);
	const axas_flags_t most = is_small                       ? AXAS_NO_HUGE :
				  size == AXAS_MAX_2M || !has_1g ? AXAS_MAX_2M :
								   0;
	const axas_status_t expected =
		model_all_absent(&r->m, at.gpa, at.size) ? AXAS_OK : AXAS_ERR_ALREADY_EXISTS;
	const struct call c = { PROVIDER, at, provider, flags | size };

	trace(r, "map_provider", at, provider, flags | size);
	if (!call(r, &c, expected, injected))
		return;
	remember(r, at);
	model_set(&r->m, &(struct model_change){ at.gpa, at.size, AXAS_STATE_PROVIDED, flags | most,
						 provider });
}

static void do_evict(struct random *r, int injected)
{
	const struct range at = below(r, 4) == 0 ? pick_range(r, 4 * GIB) : pick_mapped(r);
	const uint32_t provider = (uint32_t)below(r, 65536);
	const struct call c = { EVICT, at, provider, 0 };
	uint64_t expected = 0;

	for (axas_gpa_t gpa = at.gpa; gpa < at.gpa + at.size; gpa += PAGE) {
		const struct model_page *p = model_at(&r->m, gpa);

		expected += (p->state == AXAS_STATE_LINEAR || p->state == AXAS_STATE_OWNED) &&
					    p->hidden != MODEL_HIDDEN ?
				    PAGE :
				    0;
	}
	r->evicted = 0;
	trace(r, "evict", at, provider, 0);
	if (!call(r, &c, AXAS_OK, injected))
		return;
	assert_int_equal(r->evicted, expected);
	model_evict(&r->m, at.gpa, at.size, provider);
}

static void do_supply(struct random *r, int injected)
{
	const struct range at = pick_mapped(r);
	const axas_flags_t flags = pick_access(r);
	axas_gpa_t gpa = at.gpa;
	const struct model_page *p = model_at(&r->m, gpa);
	axas_status_t expected = AXAS_ERR_NOT_MAPPED, got;
	uint64_t size = PAGE;
	axas_mapping_t m;

	assert_ok(axas_query(r->f.as, gpa, &m));
	if (p->state == AXAS_STATE_PROVIDED) {
		const uint64_t most = m.flags & AXAS_NO_HUGE ? PAGE :
				      m.flags & AXAS_MAX_2M  ? 2 * MIB :
							       GIB;

		if (below(r, 2) == 0 && m.size >= GIB)
			size = GIB;
		else if (below(r, 2) == 0 && m.size >= 2 * MIB)
			size = 2 * MIB;
		gpa &= ~(size - 1);
		if (gpa < m.gpa || gpa + size > m.gpa + m.size)
			size = PAGE, gpa = at.gpa;
		expected = flags & ~p->flags ? AXAS_ERR_DENIED :
			   size > most       ? AXAS_ERR_UNSUPPORTED :
					       AXAS_OK;
	} else if (p->state == AXAS_STATE_LINEAR || p->state == AXAS_STATE_OWNED) {
		expected = AXAS_ERR_ALREADY_EXISTS;
	}
	if (r->tlb.has_device)
		return; /* no provider has a page there */
	trace(r, "supply", (struct range){ gpa, size }, own_page(gpa), flags);
	look_at(r, (struct range){ gpa, size });
	got = axas_supply(r->f.as, gpa, own_page(gpa), size, flags, AXAS_RESOLVE_NOW);
	if (!happened(r, got, expected, injected))
		return;
	model_provided(&r->m, &r->f, gpa, 0);
	model_protect(&r->m, gpa, size, flags);
}

/* What the host answered decides about a page of a provider's. */
static axas_fault_result_t verdict_of(const struct random *r)
{
	switch (r->how) {
	case AXAS_RESOLVE_LATER:
		return AXAS_FAULT_WAIT;
	case AXAS_RESOLVE_REFUSE:
		return AXAS_FAULT_UNMAPPED;
	case AXAS_RESOLVE_NOW:
	case AXAS_RESOLVE_GIVEN:
	case AXAS_RESOLVE_ALLOC:
		return AXAS_FAULT_RESOLVED;
	default:
		return AXAS_FAULT_NO_MEMORY;
	}
}

/* --- ageing ---------------------------------------------------------------------------------- */

/* How accesses are seen here; not at all where neither hardware nor a fault says so, or devices would be missed. */
static int can_age(const struct random *r)
{
	const uint32_t features = r->f.cfg.features;

	if (r->tlb.has_device)
		return AGES_NOT;
	switch (r->f.fc->format) {
	case AXAS_FORMAT_EPT:
		return features & AXAS_FEATURE_EPT_AD ? AGES_BY_HARDWARE : AGES_NOT;
	case AXAS_FORMAT_NPT:
		return AGES_BY_HARDWARE;
	case AXAS_FORMAT_ARM_S2:
		return features & (AXAS_FEATURE_ARM_HAF | AXAS_FEATURE_ARM_HAFDBS) ?
			       AGES_BY_HARDWARE :
			       AGES_BY_FAULTS;
	default:
		return features & AXAS_FEATURE_RISCV_SVADU ? AGES_BY_HARDWARE : AGES_BY_FAULTS;
	}
}

/* The walker's entry at gpa: a page whose accesses are looked at. */
static int is_looked_at(const struct random *r, const struct walk *w, axas_gpa_t gpa)
{
	const axas_flags_t devices =
		AXAS_DEVICE | AXAS_DEVICE_NGNRNE | AXAS_DEVICE_NGRE | AXAS_DEVICE_GRE;

	return w->outcome == WALK_LEAF && (model_at(&r->m, gpa)->state == AXAS_STATE_OWNED ||
					   !(model_at(&r->m, gpa)->flags & devices));
}

/* The pages of a range that are young, as bits. A page that was used since it was made old is one of them. */
static uint64_t *young_pages(const struct random *r, struct range at, uint64_t *count)
{
	uint64_t *bits = calloc((at.size / PAGE + 63) / 64, sizeof(*bits));
	const struct walker w = space_walker(r->f.as);

	assert_non_null(bits);
	*count = 0;
	for (axas_gpa_t gpa = at.gpa; gpa < at.gpa + at.size;) {
		const struct walk found = walker_walk(&w, gpa);
		const axas_gpa_t end = (gpa | (found.size - 1)) + 1;
		const int is_young = is_looked_at(r, &found, gpa) && found.young;

		for (; gpa < end && gpa < at.gpa + at.size; gpa += PAGE) {
			const uint64_t page = (gpa - at.gpa) / PAGE;

			if (is_looked_at(r, &found, gpa) && model_at(&r->m, gpa)->is_used &&
			    !is_young)
				fail_msg("step %u: a use of %#llx is lost", r->step,
					 (unsigned long long)gpa);
			bits[page / 64] |= (uint64_t)is_young << (page % 64);
			*count += (uint64_t)is_young;
		}
	}
	return bits;
}

/* Pages that were reported are old, but for huge ones of which the range has a part. */
static void check_old(const struct random *r, struct range at, const uint64_t *bits)
{
	const struct walker w = space_walker(r->f.as);

	for (axas_gpa_t gpa = at.gpa; gpa < at.gpa + at.size;) {
		const uint64_t page = (gpa - at.gpa) / PAGE;
		const struct walk found = walker_walk(&w, gpa);
		const axas_gpa_t first = gpa & ~(found.size - 1), end = first + found.size;
		const int is_whole = first >= at.gpa && end <= at.gpa + at.size;
		const int was_young = (int)(bits[page / 64] >> (page % 64) & 1);

		if (is_looked_at(r, &found, gpa))
			assert_int_equal(found.young, was_young && !is_whole);
		for (; gpa < end && gpa < at.gpa + at.size; gpa += PAGE)
			if (is_whole)
				model_at(&r->m, gpa)->is_used = 0;
	}
}

static axas_status_t age(struct random *r, struct range at, uint64_t *bits, uint32_t option,
			 uint64_t *young)
{
	const uint64_t budget = at.size <= 64 * PAGE ? 1 + below(r, 40) : 50 + below(r, 4000);
	uint64_t done = 0, all = 0, count = 0;
	axas_status_t status;

	*young = 0;
	if (below(r, 2) == 0)
		return axas_age(r->f.as, at.gpa, at.size, bits, at.size / PAGE, option, young);
	do {
		status = axas_age_some(r->f.as, at.gpa + all, at.size - all, bits + all / PAGE / 64,
				       (at.size - all) / PAGE, option, &count, budget, &done);
		*young += count;
		all += done;
		assert_true(status != AXAS_ERR_AGAIN || (done > 0 && done % (64 * PAGE) == 0));
	} while (status == AXAS_ERR_AGAIN);
	return status;
}

static void do_age(struct random *r, int injected)
{
	static const uint32_t options[] = { 0, 0, 0, AXAS_AGE_TEST, AXAS_AGE_NO_FLUSH };
	const struct range at = below(r, 4) == 0 ? pick_range(r, 4 * GIB) : pick_mapped(r);
	const uint32_t option = options[below(r, 5)];
	const uint64_t words = (at.size / PAGE + 63) / 64;
	uint64_t *got = calloc(words, sizeof(*got)), *expected;
	uint64_t count, young;

	assert_non_null(got);
	trace(r, "age", at, option, 0);
	look_at(r, at);
	expected = young_pages(r, at, &count);
	if (happened(r, age(r, at, got, option, &young),
		     can_age(r) == AGES_NOT ? AXAS_ERR_UNSUPPORTED : AXAS_OK, injected)) {
		assert_int_equal(young, count);
		assert_memory_equal(got, expected, words * sizeof(*got));
		if (option != AXAS_AGE_TEST) {
			check_old(r, at, expected);
			r->ages = (unsigned)can_age(r);
			tlb_log(&r->tlb, r->f.as);
		}
		/* uses by what CPUs hold from before are missed: they have been elsewhere since */
		if (option == AXAS_AGE_NO_FLUSH)
			tlb_forget_all(&r->tlb);
	}
	free(expected);
	free(got);
}

/* Mostly of a part: ageing goes on. */
static void do_age_stop(struct random *r, int injected)
{
	const struct range all = { r->m.base, r->m.pages * PAGE };
	const struct range at = below(r, 4) == 0 ? all : pick_mapped(r);

	trace(r, "age_stop", at, 0, 0);
	look_at(r, at);
	if (!happened(r, axas_age_stop(r->f.as, at.gpa, at.size), AXAS_OK, injected))
		return;
	if (at.size == all.size)
		r->ages = AGES_NOT;
	tlb_log(&r->tlb, r->f.as);
}

/* A guest uses a page: by what its CPU holds, by a walk that sets accessed bits, or by a fault. */
static void do_use(struct random *r, int injected)
{
	const struct range at = pick_mapped(r);
	const axas_gpa_t gpa = at.gpa + below(r, at.size);
	const struct walk found = space_walk(r->f.as, gpa);

	(void)injected;
	if (r->ages == AGES_NOT || found.outcome != WALK_LEAF || found.access == 0)
		return;
	trace(r, "use", at, gpa, 0);
	look_at(r, (struct range){ gpa & ~(PAGE - 1), PAGE });
	if (r->ages == AGES_BY_HARDWARE)
		tlb_use(&r->tlb, gpa);
	else if (!found.young)
		assert_int_equal(axas_handle_page_fault(r->f.as, gpa,
							found.access & (0u - found.access)),
				 AXAS_FAULT_RESOLVED);
	assert_true(space_walk(r->f.as, gpa).young);
	model_at(&r->m, gpa)->is_used = 1;
}

/* A fault on a page that is there makes it young, where no hardware does. */
static int makes_young(const struct random *r, axas_gpa_t gpa)
{
	const struct walk found = space_walk(r->f.as, gpa);

	return r->ages == AGES_BY_FAULTS && found.outcome == WALK_LEAF && !found.young;
}

static void do_fault(struct random *r, int injected)
{
	const struct range at = pick_mapped(r);
	const axas_gpa_t gpa = at.gpa + below(r, at.size);
	const axas_flags_t access = below(r, 3) == 0 ? 1u << below(r, 3) : AXAS_READ;
	axas_fault_result_t expected = model_verdict(&r->m, gpa, access), got;
	int is_marked;

	r->how = (uint32_t)below(r, 6);
	r->is_small = below(r, 2) == 0;
	if (expected == AXAS_FAULT_WAIT)
		expected = verdict_of(r);
	is_marked = expected == AXAS_FAULT_SPURIOUS && makes_young(r, gpa);
	if (is_marked)
		expected = AXAS_FAULT_RESOLVED;
	trace(r, "fault", at, gpa, access);
	look_at(r, (struct range){ gpa & ~(PAGE - 1), PAGE });
	if (below(r, 2) == 0) {
		axas_mapping_t found, now;

		got = axas_handle_page_fault_at(r->f.as, gpa, access, &found);
		assert_ok(axas_query(r->f.as, gpa, &now));
		assert_memory_equal(&found, &now, sizeof(now));
	} else {
		got = axas_handle_page_fault(r->f.as, gpa, access);
	}
	if (injected && got == AXAS_FAULT_NO_MEMORY) {
		assert_true(expected == AXAS_FAULT_RESOLVED || expected == got);
		return;
	}
	if (got != expected)
		fail_msg("step %u: verdict %u, should be %u", r->step, got, expected);
	if (got != AXAS_FAULT_RESOLVED)
		return;
	if (is_marked) {
		assert_true(space_walk(r->f.as, gpa).young);
		model_at(&r->m, gpa)->is_used = 1;
		return;
	}
	if (model_at(&r->m, gpa)->hidden) {
		model_shown(&r->m, &r->f, gpa);
		return;
	}
	if (model_at(&r->m, gpa)->state == AXAS_STATE_PROVIDED)
		model_provided(&r->m, &r->f, gpa, r->how != AXAS_RESOLVE_NOW);
	else
		model_learn(&r->m, &r->f, gpa);
	check_kept(r, &(struct call){ POPULATE, { gpa & ~(PAGE - 1), PAGE }, 0, 0 }, PAGE);
}

/* What covers the last range and what lies beside it, as far as that goes. */
static void check_range(struct random *r)
{
	const axas_gpa_t end = r->m.base + r->m.pages * PAGE;
	axas_gpa_t gpa = r->last_gpa > r->m.base ? r->last_gpa - PAGE : r->m.base;

	for (int i = 0; i < 64 && gpa < end && gpa <= r->last_gpa + r->last_size; i++) {
		const axas_mapping_t m = model_check(&r->m, &r->f, gpa);

		gpa = m.gpa + m.size;
	}
}

/* Tables of the next calls come from it; a smaller one gives frames back. */
static void do_stock(struct random *r, int injected)
{
	const uint64_t frames = below(r, 3) == 0 ? 0 : below(r, 24);
	axas_status_t got;

	trace(r, "stock", (struct range){ r->m.base, PAGE }, frames, 0);
	look_at(r, (struct range){ r->m.base, PAGE });
	got = axas_stock(r->f.as, (uint32_t)frames);
	if (happened(r, got, AXAS_OK, injected))
		r->f.host.stocked = (uint32_t)frames;
}

static void one_step(struct random *r)
{
	static void (*const operation[])(struct random *, int) = {
		do_map_linear,
		do_map_linear,
		do_map_alloc,
		do_map_alloc,
		do_map_alloc,
		do_populate,
		do_discard,
		do_replace,
		do_map_trap,
		do_unmap,
		do_unmap,
		do_protect,
		do_protect,
		do_fault,
		do_fault,
		do_fault,
		do_collect,
		do_retag,
		do_retag,
		do_replace_otherwise,
		do_replace_otherwise,
		do_hide,
		do_hide,
		do_show,
		do_map_note,
		do_map_provider,
		do_map_provider,
		do_evict,
		do_supply,
		do_supply,
		do_merge,
		do_merge,
		do_stock,
		do_age,
		do_age_stop,
		do_use,
		do_use,
	};
	const axas_gpa_t end = r->m.base + r->m.pages * PAGE;
	const int injected = below(r, 8) == 0;
	axas_gpa_t probe[8];

	if (below(r, 300) == 0) {
		space_look_at(r->f.as, 0, 0);
		assert_ok(axas_clear(r->f.as));
		model_set(&r->m, &(struct model_change){ r->m.base, r->m.pages * PAGE,
							 AXAS_STATE_ABSENT, 0, 0 });
		r->ages = AGES_NOT;
		tlb_log(&r->tlb, r->f.as);
		r->kept.count = 0;
		if (r->f.cfg.options & AXAS_KEEP_TABLES)
			space_sweep(r->f.as);
	}
	r->f.host.fail_at = injected ? 1 + below(r, 3) : 0;
	operation[below(r, sizeof(operation) / sizeof(operation[0]))](r, injected);
	r->f.host.fail_at = 0;
	tlb_settle(&r->tlb, r->last_gpa, 0);
	probe[0] = r->last_gpa;
	probe[1] = r->last_gpa + r->last_size - 1;
	probe[2] = r->last_gpa + r->last_size;
	probe[3] = r->last_gpa - 1;
	for (int i = 4; i < 8; i++)
		probe[i] = i < 6 ? r->last_gpa + below(r, r->last_size) :
				   r->m.base + below(r, r->m.pages * PAGE);
	for (int i = 0; i < 8; i++)
		if (probe[i] >= r->m.base && probe[i] < end)
			model_check(&r->m, &r->f, probe[i]);
	if (below(r, 8) == 0)
		check_range(r);
	host_check(&r->f.host);
	r->step++;
}

/* The host that does least: it scrubs its frames itself and its walkers do not snoop caches. */
#define BARE (AXAS_NO_ZERO | AXAS_NONCOHERENT_WALK)

/* In the last one devices walk the tables, of which run_sequence says more. */
static const struct shape shapes[5][SHAPES] = {
	[AXAS_FORMAT_EPT] = {
		{ 4, AXAS_FEATURE_1G_PAGES, 0, HOST_DIRECT_MAP, 0, 3 * GIB },
		{ 5, AXAS_FEATURE_1G_PAGES | AXAS_FEATURE_EPT_AD, AXAS_FRAMES_ARE_ZEROED,
		  HOST_CALLBACK, 300 * TIB + 7 * PAGE, 2 * GIB + 300 * MIB },
		{ 4, 0, BARE, HOST_DIRECT_MAP, 256 * TIB - 3 * GIB + PAGE, 3 * GIB - PAGE },
		{ 4, AXAS_FEATURE_EPT_EXECUTE_ONLY, 0, HOST_WINDOWS, GIB, 80 * MIB },
		{ 4, AXAS_FEATURE_1G_PAGES, AXAS_KEEP_TABLES | AXAS_IGNORE_GUEST_PAT,
		  HOST_DIRECT_MAP, 510 * GIB + 7 * PAGE, 3 * GIB },
		{ 4, AXAS_FEATURE_1G_PAGES, AXAS_IO, HOST_DIRECT_MAP, GIB, 3 * GIB },
	},
	[AXAS_FORMAT_NPT] = {
		{ 4, AXAS_FEATURE_1G_PAGES, 0, HOST_DIRECT_MAP, 0, 3 * GIB },
		{ 5, AXAS_FEATURE_1G_PAGES, AXAS_FRAMES_ARE_ZEROED, HOST_CALLBACK,
		  300 * TIB + 7 * PAGE, 2 * GIB + 300 * MIB },
		{ 4, 0, BARE, HOST_DIRECT_MAP, 256 * TIB - 3 * GIB, 3 * GIB },
		{ 4, 0, 0, HOST_WINDOWS, GIB, 80 * MIB },
		{ 4, AXAS_FEATURE_1G_PAGES, AXAS_KEEP_TABLES, HOST_DIRECT_MAP,
		  510 * GIB + 7 * PAGE, 3 * GIB },
	},
	[AXAS_FORMAT_ARM_S2] = {
		{ 3, 0, 0, HOST_DIRECT_MAP, 0, 3 * GIB },
		{ 3, AXAS_FEATURE_ARM_FWB, AXAS_FRAMES_ARE_ZEROED, HOST_CALLBACK,
		  511 * GIB + 7 * PAGE, 2 * GIB + 300 * MIB },
		{ 4, AXAS_FEATURE_ARM_HAFDBS, BARE, HOST_DIRECT_MAP,
		  256 * TIB - 3 * GIB + PAGE, 3 * GIB - PAGE },
		{ 3, AXAS_FEATURE_ARM_BBM2, 0, HOST_WINDOWS, GIB, 80 * MIB },
		{ 3, 0, AXAS_KEEP_TABLES, HOST_DIRECT_MAP, 510 * GIB + 7 * PAGE, 3 * GIB },
		{ 3, 0, AXAS_IO, HOST_DIRECT_MAP, GIB, 3 * GIB },
	},
	[AXAS_FORMAT_RISCV_GSTAGE] = {
		{ 3, 0, 0, HOST_DIRECT_MAP, 0, 3 * GIB },
		{ 4, AXAS_FEATURE_RISCV_SVPBMT | AXAS_FEATURE_RISCV_SVRSW60T59B,
		  AXAS_FRAMES_ARE_ZEROED, HOST_CALLBACK,
		  2 * TIB - GIB + 7 * PAGE, 2 * GIB + 300 * MIB },
		{ 5,
		  AXAS_FEATURE_RISCV_SVVPTC | AXAS_FEATURE_RISCV_SVADU |
			  AXAS_FEATURE_RISCV_SVRSW60T59B,
		  BARE, HOST_DIRECT_MAP, (1ull << 59) - 3 * GIB + PAGE, 3 * GIB - PAGE },
		{ 3, 0, 0, HOST_WINDOWS, 512 * GIB - 30 * MIB, 80 * MIB },
		{ 3, 0, AXAS_KEEP_TABLES, HOST_DIRECT_MAP, 510 * GIB + 7 * PAGE, 3 * GIB },
		{ 3, AXAS_FEATURE_RISCV_SVRSW60T59B, AXAS_IO, HOST_CALLBACK, GIB, 3 * GIB },
	},
};

/* Devices that snoop or not, keep what is not there or not, and may find nothing for a moment or not. */
static const uint32_t devices[] = {
	AXAS_FEATURE_IO_COHERENT,
	0,
	AXAS_FEATURE_IO_COHERENT | AXAS_FEATURE_IO_CACHES_INVALID,
	AXAS_FEATURE_IO_FAULTS,
	AXAS_FEATURE_IO_COHERENT | AXAS_FEATURE_IO_FAULTS | AXAS_FEATURE_IO_CACHES_INVALID,
};

static int setup_random(void **state)
{
	struct random *r = NULL;

	assert_int_equal(posix_memalign((void **)&r, AXAS_STORAGE_ALIGN, sizeof(*r)), 0);
	memset(r, 0, sizeof(*r));
	r->f.fc = *state;
	*state = r;
	return 0;
}

static int teardown_random(void **state)
{
	struct random *r = *state;

	for (uint32_t i = 1; !r->finished && i <= TRACE; i++)
		print_error("seed %llu %s\n", (unsigned long long)r->seed,
			    r->trace[(r->step + i) % TRACE]);
	free(r);
	return 0;
}

/* A space of a shape; most of a long run are small, at the one or at the other end of it. */
static void configure(struct random *r, const struct shape *shape, uint64_t seed)
{
	axas_config_t *cfg = &r->f.cfg;

	*cfg = (axas_config_t){
		.struct_size = sizeof(*cfg),
		.format = r->f.fc->format,
		.levels = shape->levels,
		.pa_bits = 48,
		.base = shape->base,
		.size = shape->size,
		.features = shape->features,
		.options = shape->options,
	};
	if (cfg->options & AXAS_IO)
		cfg->features |= devices[seed % (sizeof(devices) / sizeof(devices[0]))];
	if (r->is_long && seed % 16 != 0) {
		cfg->size = SMALL;
		cfg->base += seed % 2 == 0 ? 0 : shape->size - SMALL;
	}
}

static void start(struct random *r, const struct shape *shape, uint64_t seed)
{
	struct fixture *f = &r->f;

	configure(r, shape, seed);
	host_init(&f->host, shape->host, HOST_PA_BASE);
	f->host.hides = 1;
	f->host.hal.resolve = resolve;
	f->host.hal.evicted = evicted;
	asked = r;
	tlb_attach(&r->tlb, &f->host);
	if (shape->options & AXAS_NONCOHERENT_WALK ||
	    (shape->options & AXAS_IO && !(f->cfg.features & AXAS_FEATURE_IO_COHERENT)))
		host_stop_snooping(&f->host);
	if (shape->host == HOST_WINDOWS)
		assert_ok(axas_create_in(r->storage, sizeof(r->storage), &f->cfg, &f->host.hal,
					 &f->as));
	else
		fixture_create(f);
	tlb_watch(&r->tlb, f->as, &f->cfg);
	r->replaces = space_replaces(f->as);
	r->collects = space_collects(f->as);
	if (!r->collects)
		f->cfg.options &= ~(uint32_t)AXAS_KEEP_TABLES;
	model_init(&r->m, f->cfg.base, f->cfg.size);
	r->last_gpa = f->cfg.base;
	r->last_size = PAGE;
	r->ages = AGES_NOT;
	memset(r->mapped, 0, sizeof(r->mapped));
}

/* Returns the operations. */
static uint32_t run_sequence(struct random *r, uint32_t index, uint64_t seed)
{
	const struct shape *shape = &shapes[r->f.fc->format][index];
	const uint32_t steps = shape->host == HOST_WINDOWS ? STEPS_THROUGH_WINDOWS :
			       r->is_long                  ? STEPS_LONG :
							     STEPS;
	struct fixture *f = &r->f;

	r->seed = seed;
	r->rng = (seed * SHAPES + index) * 0x9e3779b97f4a7c15ull + 1;
	start(r, shape, seed);
	for (r->step = 0; r->step < steps;) {
		one_step(r);
		if (r->step % 1024 == 0)
			model_check_all(&r->m, f);
	}
	model_check_all(&r->m, f);
	assert_ok(axas_audit(f->as));
	space_look_at(f->as, 0, 0);
	tlb_look_at(&r->tlb, 0, 0);
	fixture_destroy(f);
	kept_free(&r->kept);
	tlb_unwatch(&r->tlb);
	tlb_detach(&r->tlb);
	model_exit(&r->m);
	host_exit(&f->host);
	return steps;
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
	const char *value = getenv(name);

	return value == NULL ? otherwise : strtoull(value, NULL, 0);
}

static void run_shape(void **state, uint32_t index)
{
	/* of a thousand operations of a long run; those through windows are slow */
	static const uint32_t share[SHAPES] = { 290, 252, 250, 2, 103, 103 };
	const uint64_t operations = from_environment("RANDOM_OPERATIONS", 0);
	const uint64_t first = from_environment("RANDOM_SEED", 1);
	struct random *r = *state;
	/* no device walks tables of NPT */
	const uint64_t whole = r->f.fc->format == AXAS_FORMAT_NPT ? 897 : 1000;
	uint64_t seed = first, done = 0;

	r->is_long = operations != 0;
	r->rarely = r->is_long ? 256 : 8;
	while (r->is_long ? done == 0 || done < operations * share[index] / whole :
			    seed < first + 2)
		done += run_sequence(r, index, seed++);
	if (r->is_long)
		print_message("%llu operations, seeds %llu to %llu\n", (unsigned long long)done,
			      (unsigned long long)first, (unsigned long long)seed - 1);
	r->finished = 1;
}

static void random_sequences_agree_over_a_direct_map(void **state)
{
	run_shape(state, 0);
}

static void random_sequences_agree_over_a_callback(void **state)
{
	run_shape(state, 1);
}

static void random_sequences_agree_at_the_ends_of_the_width(void **state)
{
	run_shape(state, 2);
}

static void random_sequences_agree_through_windows(void **state)
{
	run_shape(state, 3);
}

static void random_sequences_agree_with_tables_kept(void **state)
{
	run_shape(state, 4);
}

static void random_sequences_agree_before_devices(void **state)
{
	run_shape(state, 5);
}

#define RANDOM_ONE(test, fmt)                                                         \
	{                                                                             \
#test " [" #fmt "]", test, setup_random, teardown_random, &fmt##_case \
	}
#define EACH_FORMAT_RANDOM(test) \
	RANDOM_ONE(test, ept), RANDOM_ONE(test, npt), RANDOM_ONE(test, arm), RANDOM_ONE(test, riscv)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT_RANDOM(random_sequences_agree_over_a_direct_map),
		EACH_FORMAT_RANDOM(random_sequences_agree_over_a_callback),
		EACH_FORMAT_RANDOM(random_sequences_agree_at_the_ends_of_the_width),
		EACH_FORMAT_RANDOM(random_sequences_agree_through_windows),
		EACH_FORMAT_RANDOM(random_sequences_agree_with_tables_kept),
		RANDOM_ONE(random_sequences_agree_before_devices, ept),
		RANDOM_ONE(random_sequences_agree_before_devices, arm),
		RANDOM_ONE(random_sequences_agree_before_devices, riscv),
	};

	return cmocka_run_group_tests_name("random", tests, NULL, NULL);
}
