/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "watch.h"

/* What is looked at: writes, or accesses. */
enum what { WRITES, ACCESSES };

struct watch {
	const struct letter *l;
	const struct outcome *o;
	const struct pages *was;
	struct pages *now;
	const struct tables *after;
	axas_gpa_t first, end; /* of the space */
	struct report told[2]; /* by the library, of the whole space */
};

static int is_set(const uint64_t *bits, uint64_t i)
{
	return (int)(bits[i / 64] >> i % 64 & 1);
}

/* The first bit from `i` on, before `end`, that is not as that at `i`. */
static uint64_t run_of(const uint64_t *bits, uint64_t i, uint64_t end)
{
	const uint64_t value = is_set(bits, i) ? ~0ull : 0;

	while (i < end) {
		const uint64_t other = (bits[i / 64] ^ value) >> i % 64;

		if (other != 0) {
			i += (uint64_t)__builtin_ctzll(other);
			return i < end ? i : end;
		}
		i = (i | 63) + 1;
	}
	return end;
}

/* Linear device memory is not looked at. */
static int is_looked_at(const struct page_run *r)
{
	return !(r->state == AXAS_STATE_LINEAR && (r->flags & AXAS_DEVICE));
}

static int is_visible(const struct page_run *r)
{
	return pages_is_mapped(r) && r->hidden == SHOWN &&
	       ((r->flags & RWX) != 0 || walker.format == WALK_ARM);
}

static int is_reported(enum what what, const struct page_run *r)
{
	if (!is_looked_at(r))
		return 0;
	if (what == ACCESSES)
		return is_visible(r) && !r->is_old;
	return (pages_is_mapped(r) || r->state == AXAS_STATE_RESERVED ||
		r->state == AXAS_STATE_PROVIDED) &&
	       !r->is_clean;
}

/* --- who may change what is said of a page --------------------------------------------------- */

static int cleans(const struct letter *l)
{
	switch (l->kind) {
	case DIRTY_START:
	case DIRTY_START_SOME:
		return !(l->flags & AXAS_DIRTY_ALL);
	case DIRTY_CLEAR:
	case DIRTY_CLEAR_SOME:
	case DIRTY_COLLECT:
	case DIRTY_COLLECT_SOME:
		return 1;
	default:
		return 0;
	}
}

static int makes_old(const struct letter *l)
{
	return (l->kind == AGE || l->kind == AGE_SOME) && !(l->flags & AXAS_AGE_TEST);
}

static int may_clear(enum what what, const struct letter *l)
{
	return what == WRITES ? cleans(l) : makes_old(l);
}

/* The call may set the bits of what its range cuts, and has to set those of its pages. */
static int sets(enum what what, const struct letter *l)
{
	switch (l->kind) {
	case DIRTY_STOP:
	case DIRTY_STOP_SOME:
		return what == WRITES;
	case AGE_STOP:
	case AGE_STOP_SOME:
		return what == ACCESSES;
	case DIRTY_MARK:
		return 1;
	case CPU:
		return what == ACCESSES || (l->flags & AXAS_WRITE);
	default:
		return 0;
	}
}

/* A leaf, or a hidden page: where it begins and ends. */
static axas_gpa_t entry_of(const struct tables *t, axas_gpa_t gpa, axas_gpa_t *end)
{
	uint64_t size = PAGE;

	for (uint32_t i = 0; i < t->runs; i++)
		if (gpa - t->run[i].gpa < t->run[i].size)
			size = PAGE << 9 * (t->run[i].level - 1);
	for (uint32_t i = 0; i < t->hidden_runs; i++)
		if (gpa - t->hidden[i].gpa < t->hidden[i].size)
			size = PAGE << 9 * (t->hidden[i].level - 1);
	*end = (gpa & ~(size - 1)) + size;
	return gpa & ~(size - 1);
}

/* Of a range that is not logged any more reservations are not reported, of consecutive ones from the start on neither. */
static int is_stopped(const struct watch *w, axas_gpa_t gpa, axas_gpa_t end)
{
	const struct letter *l = w->l;
	const axas_gpa_t from = w->was->set.log_stopped >= l->gpa ? w->first : l->gpa;

	return (l->kind == DIRTY_STOP || l->kind == DIRTY_STOP_SOME) &&
	       !pages_is_mapped(pages_at(w->now, gpa)) && gpa >= from && end <= l->gpa + w->o->done;
}

/* Each page of a range, which is one or more whole entries or part of one: may it be so? */
static const char *judge_cleared(const struct watch *w, enum what what, axas_gpa_t gpa,
				 axas_gpa_t end)
{
	const struct letter *l = w->l;

	if (what == WRITES && is_stopped(w, gpa, end))
		return NULL;
	if (!may_clear(what, l) || w->o->done == 0)
		return what == WRITES ? "a write is lost" : "an access is lost";
	for (axas_gpa_t next; gpa < end; gpa = next) {
		const axas_gpa_t first = entry_of(w->after, gpa, &next);
		const struct page_run *r = pages_at(w->now, gpa);

		if (first < l->gpa || next > l->gpa + l->size) {
			/* how large the entry of a reservation is, the model does not know */
			if (pages_is_mapped(r) || gpa < l->gpa || gpa >= l->gpa + l->size)
				return "what the range cuts does not stay dirty, or young";
		}
		for (axas_gpa_t at = gpa; at < next && at < end && l->value != 0; at += PAGE)
			if (what == WRITES && !parts_asks_for(l, at - l->gpa))
				return "a page was made clean that nobody asked for";
	}
	return NULL;
}

static const char *judge_set(const struct watch *w, enum what what, axas_gpa_t gpa, axas_gpa_t end)
{
	const struct letter *l = w->l;
	axas_gpa_t last;

	if (l->kind == FAULT && w->o->status == AXAS_FAULT_RESOLVED &&
	    (what == ACCESSES || (l->flags & AXAS_WRITE))) {
		if (gpa >= entry_of(w->after, l->gpa, &last) && end <= last)
			return NULL;
	}
	/* pages that are joined are young together */
	if (what == ACCESSES && (l->kind == MERGE || l->kind == MERGE_SOME))
		return NULL;
	if (!sets(what, l) || w->o->done == 0)
		return what == WRITES ? "a page is dirty that nobody wrote" :
					"a page is young that nobody used";
	if (gpa < entry_of(w->after, l->gpa, &last))
		return "a page is marked before the range";
	entry_of(w->after, l->gpa + l->size - PAGE, &last);
	return end <= last ? NULL : "a page is marked behind the range";
}

static void set_clean(struct page_run *r, uint64_t value)
{
	r->is_clean = (uint8_t)value;
}

static void set_old(struct page_run *r, uint64_t value)
{
	r->is_old = (uint8_t)value;
}

/* What the library says, page by page, is what it should say, or the call has changed it. */
static const char *learn(struct watch *w, enum what what)
{
	const uint64_t *bits = w->told[what].bits;
	const uint64_t pages = (w->end - w->first) / PAGE;
	uint64_t i = 0, count = 0;

	while (i < pages) {
		const axas_gpa_t gpa = w->first + i * PAGE;
		const struct page_run *r = pages_from(w->now, gpa);
		const int said = is_set(bits, i);
		uint64_t end = run_of(bits, i, pages);
		const char *why = NULL;
		int is;

		if (r != NULL && (r->gpa > gpa ? r->gpa : r->gpa + r->size) < w->first + end * PAGE)
			end = ((r->gpa > gpa ? r->gpa : r->gpa + r->size) - w->first) / PAGE;
		is = r != NULL && r->gpa <= gpa && is_reported(what, r);
		if (said && (r == NULL || r->gpa > gpa || !is_looked_at(r)))
			return "something is reported that is no page";
		if (said && !is)
			why = judge_set(w, what, gpa, w->first + end * PAGE);
		else if (!said && is)
			why = judge_cleared(w, what, gpa, w->first + end * PAGE);
		if (why != NULL)
			return why;
		if (said != is)
			pages_change(w->now, gpa, (end - i) * PAGE,
				     what == WRITES ? set_clean : set_old, !said);
		count += said ? end - i : 0;
		i = end;
	}
	return count == w->told[what].count ? NULL : "the pages that are reported are not counted";
}

/* What the call had to make clean, old, dirty or young is so. */
static const char *judge_done(const struct watch *w, enum what what)
{
	const struct letter *l = w->l;
	const axas_gpa_t end = l->gpa + w->o->done;
	axas_gpa_t next;

	for (axas_gpa_t gpa = l->gpa; gpa < end; gpa = next) {
		const axas_gpa_t first = entry_of(w->after, gpa, &next);
		const struct page_run *r = pages_at(w->now, gpa);
		int all = 1;

		if (r == NULL || !pages_is_mapped(r) || !is_looked_at(r))
			continue;
		if (sets(what, l) && !is_reported(what, r) && (what == WRITES || is_visible(r)))
			return "a page is not marked";
		if (!may_clear(what, l) || first < l->gpa || next > end)
			continue;
		for (axas_gpa_t at = first; at < next && all && l->value != 0; at += PAGE)
			all = what == ACCESSES || parts_asks_for(l, at - l->gpa);
		if (all && is_reported(what, r))
			return what == WRITES ? "a page is not clean" : "a page is not old";
	}
	return NULL;
}

/* --- what else there is to see --------------------------------------------------------------- */

/* Leaves say what the library says of them. */
static const char *same_leaves(const struct watch *w)
{
	for (uint32_t i = 0; i < w->after->runs; i++) {
		const struct leaf_run *leaf = &w->after->run[i];
		axas_gpa_t next;

		for (axas_gpa_t gpa = leaf->gpa; gpa < leaf->gpa + leaf->size; gpa = next) {
			const struct page_run *r = pages_at(w->now, gpa);

			if (r == NULL)
				return "a leaf where no memory is mapped";
			next = r->gpa + r->size;
			if (is_looked_at(r) && leaf->is_dirty == r->is_clean)
				return "a leaf that is not as dirty as it is said to be";
			if (is_looked_at(r) && leaf->is_young == r->is_old)
				return "a leaf that is not as young as it is said to be";
			if (!is_looked_at(r) && !leaf->is_dirty)
				return "device memory is clean";
		}
	}
	return NULL;
}

/* What the call reported is what was so before it. */
static const char *judge_report(const struct watch *w, enum what what)
{
	const struct letter *l = w->l;
	uint64_t count = 0;

	for (uint64_t at = 0; at < l->size; at += PAGE) {
		const struct page_run *r = pages_at(w->was, l->gpa + at);
		const int is = r != NULL && is_reported(what, r);
		const int said = is_set(reported.bits, at / PAGE);

		count += (uint64_t)said;
		if (said && !is)
			return "a page is reported that is not dirty, or not young";
		if (!said && is && at < w->o->done)
			return "a page is not reported that was dirty, or young";
	}
	return count == reported.count ? NULL : "what is reported is not counted";
}

/* All CPUs hear of pages that are clean or old now, by a request that names each. */
static const char *judge_requests(const struct watch *w, enum what what)
{
	for (uint32_t i = 0; i < w->was->runs; i++) {
		const struct page_run *r = &w->was->run[i];
		axas_gpa_t next;

		if (!is_visible(r) || !is_reported(what, r))
			continue;
		if (what == WRITES && !(r->flags & AXAS_WRITE))
			continue;
		for (axas_gpa_t gpa = r->gpa; gpa < r->gpa + r->size; gpa = next) {
			const struct page_run *is = pages_from(w->now, gpa);
			axas_gpa_t end = r->gpa + r->size;
			int is_named = 0;

			if (is == NULL)
				break;
			next = is->gpa > gpa ? is->gpa : is->gpa + is->size;
			if (is->gpa > gpa || !is_visible(is) || is_reported(what, is))
				continue;
			end = next < end ? next : end;
			for (uint32_t k = 0; k < seen.flushes; k++)
				is_named |= seen.flush[k].scope == AXAS_SCOPE_ALL &&
					    seen.flush[k].gpa <= gpa &&
					    end - seen.flush[k].gpa <= seen.flush[k].size;
			if (!is_named)
				return "no request to all CPUs for a page that is clean or old now";
		}
	}
	return NULL;
}

static const char *judge_one(struct watch *w, enum what what)
{
	const struct letter *l = w->l;
	const int reports = what == WRITES ?
				    l->kind == DIRTY_COLLECT || l->kind == DIRTY_COLLECT_SOME :
				    l->kind == AGE || l->kind == AGE_SOME;
	const char *why = learn(w, what);

	if (why == NULL)
		why = judge_done(w, what);
	if (why == NULL && reports && w->o->done != 0)
		why = judge_report(w, what);
	if (why == NULL && !(l->flags & AXAS_AGE_NO_FLUSH && makes_old(l)))
		why = judge_requests(w, what);
	return why;
}

const char *watch_judge(const struct scope *s, const struct letter *l, const struct outcome *o,
			const struct pages *was, struct pages *now, const struct tables *after)
{
	static struct watch w;
	const char *why = NULL;
	const uint64_t size = s->point[s->points - 1] - s->point[0];

	if (!(s->parts & (LOGS | AGES)))
		return NULL;
	w = (struct watch){
		.l = l,
		.o = o,
		.was = was,
		.now = now,
		.after = after,
		.first = s->point[0],
		.end = s->point[0] + size,
	};
	if (axas_dirty_get(space, w.first, size, w.told[WRITES].bits, 64 * MOST_WORDS,
			   &w.told[WRITES].count) != AXAS_OK)
		return "what is dirty is not said";
	why = judge_one(&w, WRITES);
	if (why != NULL || !(s->parts & AGES))
		return why != NULL ? why : same_leaves(&w);
	if (axas_age(space, w.first, size, w.told[ACCESSES].bits, 64 * MOST_WORDS, AXAS_AGE_TEST,
		     &w.told[ACCESSES].count) != AXAS_OK)
		return "what is young is not said";
	why = judge_one(&w, ACCESSES);
	return why != NULL ? why : same_leaves(&w);
}
