/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "judge.h"

#include <stdlib.h>
#include <string.h>

/* --- statuses -------------------------------------------------------------------------------- */

/* A slice that ended early: what it says is done must be possible, and what stopped it true. */
static const char *judge_slice(const struct letter *l, const struct outcome *o,
			       const struct pages *p, int64_t expected)
{
	const int maps = l->kind == MAP_LINEAR_SOME || l->kind == MAP_ALLOC_SOME;

	if (o->done % PAGE != 0 || o->done > l->size)
		return "done is no part of the range";
	if (maps && expected != AXAS_OK)
		return o->status == expected && o->done == 0 ? NULL : "an overlap was not noticed";
	if (l->kind == RETAG_SOME && !pages_none_absent(p, l->gpa, o->done))
		return "a hole has a tag";
	if (l->kind != UNMAP_SOME && l->kind != COLLECT_SOME && l->kind != RETAG_SOME && !maps &&
	    o->done != 0 && !pages_all_memory(p, l->gpa, o->done))
		return "something was done to a hole or a trap";
	switch (o->status) {
	case AXAS_OK:
		return o->done == l->size && expected == AXAS_OK ? NULL : "not all of it is done";
	case AXAS_ERR_AGAIN:
		return o->done > 0 && o->done < l->size ? NULL : "a slice got nowhere";
	case AXAS_ERR_NO_MEMORY:
		return seen.refused > 0 ? NULL : "no memory, and no frame was refused";
	case AXAS_ERR_NOT_MAPPED:
		return expected == AXAS_ERR_NOT_MAPPED ? NULL : "not mapped, and all of it is";
	default:
		return "another status than it must be";
	}
}

static const char *judge_status(const struct letter *l, const struct outcome *o,
				const struct pages *p)
{
	const int64_t expected = letter_expected(l, p);
	const int64_t none =
		l->kind == FAULT ? (int64_t)AXAS_FAULT_NO_MEMORY : (int64_t)AXAS_ERR_NO_MEMORY;

	if (letter_is_some(l))
		return judge_slice(l, o, p, expected);
	if (seen.refused > 0 && expected == AXAS_OK)
		return o->status == none ? NULL : "a frame was refused, and it does not say so";
	return o->status == expected ? NULL : "another status than it must be";
}

/* --- leaves and pages ------------------------------------------------------------------------ */

static uint32_t memory_of(axas_flags_t flags)
{
	const int device = (flags & AXAS_DEVICE) != 0;

	switch (walker.format) {
	case WALK_ARM:
		return device ? MEM_NGNRE : MEM_WB;
	case WALK_RISCV:
		return MEM_PMA;
	default:
		return device ? MEM_UC : MEM_WB;
	}
}

/* Reserved pages that have a frame now are owned, if this call may have given them one. */
static const char *learn(const struct letter *l, uint64_t done, const struct tables *t,
			 struct pages *p)
{
	uint64_t learnt = 0;

	for (uint32_t i = 0; i < t->runs; i++) {
		const struct leaf_run *leaf = &t->run[i];
		uint64_t at = 0;

		while (world_is_guest(leaf->hpa) && at < leaf->size) {
			const struct page_run *r = pages_at(p, leaf->gpa + at);
			struct page_run now;

			if (r == NULL)
				return "a frame where nothing is";
			now = *r;
			now.gpa = leaf->gpa + at;
			now.size = r->gpa + r->size - now.gpa;
			if (now.size > leaf->size - at)
				now.size = leaf->size - at;
			at += now.size;
			if (r->state != AXAS_STATE_RESERVED)
				continue;
			if (l->kind == FAULT ?
				    l->gpa - now.gpa >= now.size :
				    now.gpa < l->gpa || now.gpa + now.size > l->gpa + done)
				return "a frame for a page that nobody asked for";
			if (leaf->level > 1 && !(r->flags & SIZES))
				return "a large frame where none was asked for";
			learnt += now.size;
			now.state = AXAS_STATE_OWNED;
			now.flags &= ~(axas_flags_t)SIZES;
			now.value = leaf->hpa + (now.gpa - leaf->gpa);
			pages_set(p, &now);
		}
	}
	if (l->kind == FAULT && learnt == 0)
		return "resolved, and no frame came";
	return NULL;
}

/* Leaves stand exactly where memory is, with its address, permissions and type. */
static const char *same_leaves(const struct tables *t, const struct pages *p)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < t->runs; i++) {
		const struct leaf_run *leaf = &t->run[i];
		uint64_t at = 0;

		while (at < leaf->size) {
			const axas_gpa_t gpa = leaf->gpa + at;
			const struct page_run *r = pages_at(p, gpa);

			if (r == NULL ||
			    (r->state != AXAS_STATE_LINEAR && r->state != AXAS_STATE_OWNED))
				return "a leaf where no memory is mapped";
			if (r->value + (gpa - r->gpa) != leaf->hpa + at)
				return "a leaf with another address";
			if (leaf->access != (r->flags & RWX))
				return "a leaf with other permissions";
			if (leaf->tag != (r->flags & AXAS_TAG_MASK) >> AXAS_TAG_SHIFT)
				return "a leaf with another tag";
			if (leaf->memory != memory_of(r->flags))
				return "a leaf with another memory type";
			at = r->gpa + r->size - leaf->gpa;
		}
		bytes += leaf->size;
	}
	if (bytes / PAGE != pages_count(p, AXAS_STATE_LINEAR) + pages_count(p, AXAS_STATE_OWNED))
		return "memory without a leaf";
	return NULL;
}

static int by_value(const void *a, const void *b)
{
	const struct page_run *x = a, *y = b;

	return x->value < y->value ? -1 : x->value > y->value;
}

/* Every guest frame that is out is in one place, and every place has one that is out. */
static const char *same_frames(const struct pages *p)
{
	static struct page_run owned[MOST_RUNS];
	uint32_t count = 0;
	uint64_t pages = 0;

	for (uint32_t i = 0; i < p->runs; i++)
		if (p->run[i].state == AXAS_STATE_OWNED)
			owned[count++] = p->run[i];
	qsort(owned, count, sizeof(owned[0]), by_value);
	for (uint32_t i = 0; i < count; i++) {
		if (i > 0 && owned[i - 1].value + owned[i - 1].size > owned[i].value)
			return "a frame in two places";
		if (!world_is_out(owned[i].value, owned[i].size / PAGE))
			return "a frame that went back is mapped";
		pages += owned[i].size / PAGE;
	}
	return pages == world.frames.guest_out ? NULL : "a guest frame is lost";
}

static const char *same_stats(const struct tables *t)
{
	axas_stats_t s;

	if (axas_stats(space, &s) != AXAS_OK)
		return "no statistics";
	if (s.table_frames != world_tables() || s.guest_frames != world.frames.guest_out)
		return "frames are counted wrong";
	if (s.mapped_4k != t->leaves[1] || s.mapped_2m != t->leaves[2] ||
	    s.mapped_1g != t->leaves[3])
		return "leaves are counted wrong";
	return NULL;
}

/* --- requests -------------------------------------------------------------------------------- */

/* Some request names [gpa, end), leaves of this level among it. */
static int is_named(axas_gpa_t gpa, axas_gpa_t end, uint32_t level, int by_all)
{
	for (uint32_t i = 0; i < seen.flushes; i++) {
		const axas_tlb_request_t *q = &seen.flush[i];

		if (by_all && q->scope != AXAS_SCOPE_ALL)
			continue;
		if (q->gpa <= gpa && end - q->gpa <= q->size &&
		    (q->level == 0 || level == 0 || q->level == level))
			return 1;
	}
	return 0;
}

/* The run that covers gpa or the next one; `*i` only grows. */
static const struct leaf_run *run_from(const struct tables *t, uint32_t *i, axas_gpa_t gpa)
{
	while (*i < t->runs && t->run[*i].gpa + t->run[*i].size <= gpa)
		++*i;
	return *i < t->runs ? &t->run[*i] : NULL;
}

/* A part of a run in one table that is one thing in the other: a run, or nothing. */
struct piece {
	axas_gpa_t gpa, end;
	const struct leaf_run *was, *is; /* the other one may be null */
	axas_hpa_t hpa;
};

static int is_same(const struct piece *p)
{
	return p->is != NULL && p->was != NULL &&
	       p->is->hpa - p->is->gpa == p->was->hpa - p->was->gpa;
}

/* The next piece of `r`, at p->end; 0 when there is none. */
static int next_piece(struct piece *p, const struct leaf_run *r, const struct tables *other,
		      uint32_t *i, const struct leaf_run **there)
{
	const axas_gpa_t end = r->gpa + r->size;
	const struct leaf_run *o;

	p->gpa = p->end;
	if (p->gpa >= end)
		return 0;
	o = run_from(other, i, p->gpa);
	if (o == NULL || o->gpa >= end) {
		p->end = end;
		*there = NULL;
	} else if (o->gpa > p->gpa) {
		p->end = o->gpa;
		*there = NULL;
	} else {
		p->end = o->gpa + o->size < end ? o->gpa + o->size : end;
		*there = o;
	}
	p->hpa = r->hpa + (p->gpa - r->gpa);
	return 1;
}

/* CPUs may hold something of it that is not so any more. */
static int has_lost(const struct scope *s, const struct piece *p)
{
	if (!is_same(p) || p->is->memory != p->was->memory || (p->was->access & ~p->is->access))
		return 1;
	/* a block that becomes a table is broken first, but for parts with BBM level 2 */
	return walker.format == WALK_ARM && !s->is_plain && p->was->level != p->is->level;
}

/* Bytes of the piece that the host was told of, wherever that is said. */
static uint64_t released_of(const struct piece *p)
{
	uint64_t bytes = 0;

	for (uint32_t k = 0; k < seen.released_count; k++) {
		const axas_mapping_t *m = &seen.released[k];
		const axas_gpa_t from = m->gpa > p->gpa ? m->gpa : p->gpa;
		const axas_gpa_t to = m->gpa + m->size < p->end ? m->gpa + m->size : p->end;

		if (from < to && m->hpa - m->gpa == p->hpa - p->gpa)
			bytes += to - from;
	}
	return bytes;
}

/* Each run of pages is of one level, and as long as it can be. */
static const char *judge_runs(void)
{
	for (uint32_t k = 0; k < seen.released_count; k++) {
		const axas_mapping_t *m = &seen.released[k], *last = m - 1;

		if (m->level < 1 || m->level > 3 ||
		    ((m->gpa | m->hpa | m->size) & ((PAGE << 9 * (m->level - 1)) - 1)))
			return "a released run that has no such level";
		if (k == 0)
			continue;
		if (last->gpa + last->size > m->gpa)
			return "released runs out of order";
		if (last->gpa + last->size == m->gpa && last->hpa + last->size == m->hpa &&
		    last->flags == m->flags && last->level == m->level)
			return "a released run that goes on where the last one ends";
	}
	return NULL;
}

/*
 * What CPUs may hold and is not so any more was named to all of them; linear pages that went were
 * released once, those that a replace maps again where they were not at all.
 */
static const char *judge_lost(const struct scope *s, const struct letter *l,
			      const struct tables *before, const struct tables *after)
{
	uint64_t known = 0, released = 0;
	uint32_t i = 0;

	for (uint32_t b = 0; b < before->runs; b++) {
		const struct leaf_run *r = &before->run[b];
		const uint64_t mask = (PAGE << 9 * (r->level - 1)) - 1;
		struct piece p = { .end = r->gpa, .was = r };

		while (next_piece(&p, r, after, &i, &p.is)) {
			uint64_t told;

			if (has_lost(s, &p) &&
			    !is_named(p.gpa & ~mask, ((p.end - 1) | mask) + 1, r->level, 1))
				return "no request to all CPUs for what they may hold";
			if (world_is_guest(r->hpa))
				continue;
			told = released_of(&p);
			known += told;
			if (is_same(&p) ? told != 0 && (l->kind != REPLACE || letters_replace()) :
					  !s->is_plain && told != p.end - p.gpa)
				return "pages of the host are released when they go, and once";
		}
	}
	for (uint32_t k = 0; k < seen.released_count; k++)
		released += seen.released[k].size;
	return released == known ? judge_runs() : "released what was not mapped";
}

/* What became of the tables where they stay. */
static const char *judge_kept(const struct letter *l, const struct outcome *o,
			      const struct tables *before, const struct tables *after)
{
	if (!world_keeps_tables)
		return NULL;
	switch (l->kind) {
	case CLEAR:
		return after->kept.count == 0 ? NULL : "clear leaves a table";
	case UNMAP:
	case UNMAP_SOME:
		return kept_removed(&before->kept, &after->kept, l->gpa, o->done);
	case COLLECT:
	case COLLECT_SOME:
		return kept_collected(&before->kept, &after->kept, l->gpa, o->done);
	case FAULT:
		return kept_changed(&before->kept, &after->kept, l->gpa, PAGE);
	default:
		return kept_changed(&before->kept, &after->kept, l->gpa,
				    o->done != 0 ? o->done : l->size);
	}
}

/* Parts that cache invalid entries, or permissions that grow, hear of it on this CPU at least. */
static const char *judge_gained(const struct scope *s, const struct tables *before,
				const struct tables *after)
{
	const int new_counts = walker.format == WALK_RISCV && !s->is_plain;
	const int more_counts = walker.format == WALK_RISCV || walker.format == WALK_ARM;
	uint32_t i = 0;

	for (uint32_t a = 0; a < after->runs && more_counts; a++) {
		const struct leaf_run *r = &after->run[a];
		struct piece p = { .end = r->gpa, .is = r };

		while (next_piece(&p, r, before, &i, &p.was)) {
			const int gains =
				p.was == NULL ? new_counts : (r->access & ~p.was->access) != 0;

			if (gains && !is_named(p.gpa, p.end, 0, 0))
				return "no request for what is new";
		}
	}
	return NULL;
}

static const char *judge_scopes(void)
{
	for (uint32_t i = 0; i < seen.flushes; i++) {
		const axas_tlb_request_t *q = &seen.flush[i];
		const int local = q->reason == AXAS_FLUSH_NEW || q->reason == AXAS_FLUSH_RELAX;

		if (q->scope != (local ? AXAS_SCOPE_LOCAL : AXAS_SCOPE_ALL))
			return "a request with a scope that its reason does not have";
		if (q->gpa % PAGE != 0 || q->size % PAGE != 0 || q->size == 0 || q->level > 3)
			return "a request that is none";
	}
	return NULL;
}

/* A populated map that fails may have given back tables that were kept where larger entries were to come. */
static int may_drop_kept(const struct letter *l)
{
	return world_keeps_tables && l->kind == MAP_ALLOC && (l->flags & AXAS_POPULATE) != 0;
}

/* --- a call ---------------------------------------------------------------------------------- */

static const char *judge_change(const struct scope *s, const struct letter *l,
				const struct outcome *o, const struct tables *before,
				struct tables *after, struct pages *pages)
{
	const char *why;

	tables_read(after);
	if (after->broken != NULL)
		return after->broken;
	if (after->frames != world_tables())
		return "a table is lost";
	letter_apply(l, pages, o->done);
	why = learn(l, o->done, after, pages);
	if (why == NULL)
		why = same_leaves(after, pages);
	if (why == NULL)
		why = same_frames(pages);
	if (why == NULL)
		why = same_stats(after);
	if (why == NULL)
		why = judge_lost(s, l, before, after);
	if (why == NULL)
		why = judge_gained(s, before, after);
	if (why == NULL)
		why = judge_kept(l, o, before, after);
	return why;
}

const char *judge(const struct scope *s, const struct letter *l, const struct outcome *o,
		  const struct tables *before, struct tables *after, struct pages *pages,
		  int *changed)
{
	const int did = o->done != 0 && (l->kind != FAULT || o->status == AXAS_FAULT_RESOLVED);
	const char *why = seen.violation;

	*changed = 0;
	if (why == NULL)
		why = judge_status(l, o, pages);
	if (why == NULL)
		why = judge_scopes();
	if (why != NULL)
		return why;
	if (!did) {
		if (world_is_unchanged())
			return same_stats(before);
		if (!may_drop_kept(l))
			return "it failed, and tables or frames changed";
	}
	/* a merge asks once for each size of tables */
	if (seen.flushes_all > (l->kind == MERGE ? 3u : did ? 1u : 2u))
		return "too many requests to all CPUs";
	*changed = 1;
	return judge_change(s, l, o, before, after, pages);
}

/* --- a state --------------------------------------------------------------------------------- */

static int same_flags(const struct page_run *r, axas_flags_t flags)
{
	axas_flags_t compared = RWX | AXAS_DEVICE | AXAS_SKIP_ZERO | AXAS_TAG_MASK;

	if (r->state == AXAS_STATE_TRAP)
		return flags == (r->flags & AXAS_TAG_MASK);
	if (r->state == AXAS_STATE_RESERVED && !(r->flags & ANY_SIZE))
		compared |= AXAS_HUGE_FRAMES | AXAS_MAX_2M;
	return (flags & compared) == (r->flags & compared);
}

/* One page of what the library says, against what it should be. */
static const char *same_page(const struct pages *p, const axas_mapping_t *m, axas_gpa_t gpa)
{
	const struct page_run *r = pages_at(p, gpa);

	if (r == NULL)
		return m->state == AXAS_STATE_ABSENT ? NULL : "something where nothing is";
	if (m->state != r->state)
		return "another state";
	if (!same_flags(r, m->flags))
		return "other flags";
	if (r->state == AXAS_STATE_TRAP)
		return m->cookie == r->value ? NULL : "another cookie";
	if (r->state == AXAS_STATE_RESERVED)
		return m->hpa == AXAS_HPA_INVALID ? NULL : "a reservation with an address";
	return m->hpa + (gpa - m->gpa) == r->value + (gpa - r->gpa) ? NULL : "another address";
}

static const char *same_entry(const struct pages *p, const axas_mapping_t *m)
{
	const int mapped = m->state == AXAS_STATE_LINEAR || m->state == AXAS_STATE_OWNED;
	const struct walk w = walker_walk(&walker, m->gpa);
	const char *why = same_page(p, m, m->gpa);
	axas_hpa_t hpa = 0;
	uint64_t cookie = 0;
	axas_status_t status;

	if (why == NULL)
		why = same_page(p, m, m->gpa + m->size - PAGE);
	if (why != NULL)
		return why;
	if ((w.outcome == WALK_LEAF) != mapped || (mapped && w.hpa != m->hpa))
		return "the walker sees something else";
	if (mapped && w.size != m->size)
		return "a leaf of another size";
	status = axas_translate(space, m->gpa, &hpa, NULL);
	if (mapped ? status != AXAS_OK || hpa != m->hpa : status != AXAS_ERR_NOT_MAPPED)
		return "translate says something else";
	status = axas_trap_cookie(space, m->gpa, &cookie);
	if (m->state == AXAS_STATE_TRAP ? status != AXAS_OK || cookie != m->cookie :
					  status != AXAS_ERR_NOT_MAPPED)
		return "trap_cookie says something else";
	return NULL;
}

struct runs_check {
	const struct pages *pages;
	const char *why;
	uint64_t bytes;
};

static uint32_t check_run(void *ctx, const axas_mapping_t *m)
{
	struct runs_check *c = ctx;
	const axas_gpa_t end = m->gpa + m->size;

	c->bytes += m->size;
	for (axas_gpa_t gpa = m->gpa; gpa < end && c->why == NULL;) {
		const struct page_run *r = pages_at(c->pages, gpa);

		c->why = same_page(c->pages, m, gpa);
		gpa = r != NULL ? r->gpa + r->size : end;
	}
	return c->why == NULL;
}

/* Behind an entry, in what is the same run of pages: the last page of it. */
static axas_gpa_t last_of_run(const struct pages *p, axas_gpa_t gpa, axas_gpa_t end)
{
	const struct page_run *r = pages_at(p, gpa);

	for (uint32_t i = 0; i < p->runs && r == NULL; i++)
		if (p->run[i].gpa > gpa)
			return p->run[i].gpa - PAGE;
	return r != NULL ? r->gpa + r->size - PAGE : end - PAGE;
}

const char *judge_state(const struct pages *pages, const struct scope *scope, int every_entry)
{
	const axas_gpa_t end = scope->point[scope->points - 1];
	struct runs_check c = { .pages = pages };
	axas_gpa_t gpa = scope->point[0];
	uint64_t bytes = 0;

	if (axas_audit(space) != AXAS_OK)
		return "audit finds something";
	if (axas_for_each(space, gpa, end - gpa, check_run, &c) != AXAS_OK)
		return "for_each fails";
	for (uint32_t i = 0; i < pages->runs; i++)
		bytes += pages->run[i].size;
	if (c.why == NULL && c.bytes != bytes)
		return "for_each leaves something out";
	while (gpa < end && c.why == NULL) {
		axas_mapping_t m;

		if (axas_query(space, gpa, &m) != AXAS_OK || gpa - m.gpa >= m.size ||
		    (every_entry && m.gpa != gpa))
			return "query fails";
		c.why = same_entry(pages, &m);
		gpa = m.gpa + m.size;
		if (!every_entry && gpa < end && last_of_run(pages, gpa, end) > gpa)
			gpa = last_of_run(pages, gpa, end);
	}
	if (c.why != NULL)
		return c.why;
	world_begin(0);
	seen.tables_removed = 1;
	axas_destroy(space);
	if (seen.violation != NULL)
		return seen.violation;
	return world.frames.tables == 0 && world.frames.guest_out == 0 ?
		       NULL :
		       "destroy does not give everything back";
}
