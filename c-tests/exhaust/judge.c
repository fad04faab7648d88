/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "judge.h"

#include "parts.h"
#include "watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- statuses -------------------------------------------------------------------------------- */

/* A slice that ended early: what it says is done must be possible, and what stopped it true. */
static const char *judge_slice(const struct letter *l, const struct outcome *o,
			       const struct pages *p, int64_t expected)
{
	const int maps =
		l->kind == MAP_LINEAR_SOME || l->kind == MAP_ALLOC_SOME || l->kind == NOTE_SOME;
	const int memory_only =
		l->kind == PROTECT_SOME || l->kind == POPULATE_SOME || l->kind == DISCARD_SOME;

	if (o->done % PAGE != 0 || o->done > l->size)
		return "done is no part of the range";
	if (maps && expected != AXAS_OK)
		return o->status == expected && o->done == 0 ? NULL : "an overlap was not noticed";
	if (l->kind == RETAG_SOME && !pages_none_absent(p, l->gpa, o->done))
		return "a hole has a tag";
	if (memory_only && o->done != 0 && !pages_all_memory(p, l->gpa, o->done))
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
	case AXAS_ERR_ALREADY_EXISTS:
	case AXAS_ERR_INVALID_INPUT:
		return expected == o->status && o->done == 0 ? NULL :
							       "another status than it must be";
	default:
		return "another status than it must be";
	}
}

static const char *judge_status(const struct letter *l, const struct outcome *o,
				const struct pages *p)
{
	static char text[64];
	const int64_t expected = letter_expected(l, p);
	const int64_t none =
		l->kind == FAULT ? (int64_t)AXAS_FAULT_NO_MEMORY : (int64_t)AXAS_ERR_NO_MEMORY;

	if (letter_is_some(l))
		return judge_slice(l, o, p, expected);
	if (l->kind == CPU)
		return NULL;
	/* whether a table is there, or the region takes large pages, the model does not know */
	if (l->kind == SUPPLY && l->size != PAGE)
		return NULL;
	if (l->kind == SUPPLY && o->status == AXAS_ERR_AGAIN)
		return NULL; /* the host had no frame to give */
	if (seen.refused > 0 && expected == AXAS_OK && !letter_needs_no_memory(l))
		return o->status == none ? NULL : "a frame was refused, and it does not say so";
	/* the host is asked when everything else has its frames */
	if (o->status == expected || (l->kind == POPULATE && seen.refused > 0 && o->status == none))
		return NULL;
	snprintf(text, sizeof(text), "status or verdict %d, must be %d", (int)o->status,
		 (int)expected);
	return text;
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

static void show_page(struct page_run *r, uint64_t unused)
{
	(void)unused;
	r->hidden = SHOWN;
}

/* A leaf, or a hidden page. */
struct found {
	axas_gpa_t gpa;
	uint64_t size;
	axas_hpa_t hpa;
	uint32_t level;
};

/* What the host brought, or a frame of the library's: where it was asked for, as large as it may be. */
static const char *learn_provided(const struct letter *l, const struct found *leaf,
				  const struct page_run *r, struct page_run *now)
{
	const axas_hpa_t hpa = leaf->hpa + (now->gpa - leaf->gpa);
	const int is_owned = world_is_guest(hpa);
	const uint32_t how = l->kind == SUPPLY ? l->how : host_answer.how;

	if (l->kind != FAULT && l->kind != POPULATE && l->kind != SUPPLY)
		return "a page of a provider's comes by itself";
	if (l->kind == FAULT ? l->gpa - now->gpa >= now->size :
			       now->gpa + now->size <= l->gpa || now->gpa >= l->gpa + l->size)
		return "a page of a provider's where nobody asked for one";
	if (leaf->level > 1 && (r->flags & AXAS_NO_HUGE))
		return "a page of a provider's that is too large";
	if (is_owned != (how != AXAS_RESOLVE_NOW) || (!is_owned && hpa != parts_own_page(now->gpa)))
		return "another page than the host brought";
	now->state = is_owned ? AXAS_STATE_OWNED : AXAS_STATE_LINEAR;
	now->is_clean = 0;
	now->flags &= ~(axas_flags_t)SIZES;
	if (l->kind == SUPPLY)
		now->flags &= ~(axas_flags_t)RWX | l->flags;
	else if (l->brings & BRINGS_READ)
		now->flags &= ~(axas_flags_t)(AXAS_WRITE | AXAS_EXECUTE);
	now->value = hpa;
	return NULL;
}

/* Reserved pages that have a frame now are owned, if this call may have given them one. */
static const char *learn_run(const struct letter *l, uint64_t done, const struct found *leaf,
			     struct pages *p, uint64_t *learnt)
{
	uint64_t at = 0;

	while (at < leaf->size) {
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
		if (r->state == AXAS_STATE_PROVIDED) {
			const char *why = learn_provided(l, leaf, r, &now);

			if (why != NULL)
				return why;
			*learnt += now.size;
			pages_set(p, &now);
			continue;
		}
		if (r->state != AXAS_STATE_RESERVED || !world_is_guest(leaf->hpa))
			continue;
		if (l->kind == FAULT ? l->gpa - now.gpa >= now.size :
				       now.gpa < l->gpa || now.gpa + now.size > l->gpa + done)
			return "a frame for a page that nobody asked for";
		if (leaf->level > 1 && !(r->flags & SIZES))
			return "a large frame where none was asked for";
		*learnt += now.size;
		now.state = AXAS_STATE_OWNED;
		now.is_clean = 0;
		now.flags &= ~(axas_flags_t)SIZES;
		now.value = leaf->hpa + (now.gpa - leaf->gpa);
		pages_set(p, &now);
	}
	return NULL;
}

static const char *learn(const struct letter *l, uint64_t done, const struct tables *t,
			 struct pages *p)
{
	const struct page_run *at_fault = pages_at(p, l->gpa);
	const int is_lazy = at_fault != NULL && (at_fault->state == AXAS_STATE_RESERVED ||
						 at_fault->state == AXAS_STATE_PROVIDED);
	uint64_t learnt = 0;
	const char *why = NULL;

	for (uint32_t i = 0; i < t->runs && why == NULL; i++) {
		const struct leaf_run *r = &t->run[i];

		why = learn_run(l, done, &(struct found){ r->gpa, r->size, r->hpa, r->level }, p,
				&learnt);
	}
	for (uint32_t i = 0; i < t->hidden_runs && why == NULL; i++) {
		const struct hidden_run *r = &t->hidden[i];

		why = learn_run(l, done, &(struct found){ r->gpa, r->size, r->hpa, r->level }, p,
				&learnt);
	}
	if (why == NULL && (l->kind == FAULT || l->kind == SUPPLY) && done != 0 && learnt == 0 &&
	    is_lazy)
		return "resolved, and no frame came";
	return why;
}

/* A fault has shown the page that was to show itself: all of its leaf, and no other. */
static const char *learn_shown(const struct letter *l, uint64_t done, const struct tables *t,
			       struct pages *p)
{
	const struct page_run *r = pages_at(p, l->gpa);

	if (l->kind != FAULT || done == 0 || r == NULL || r->hidden == SHOWN)
		return NULL;
	for (uint32_t i = 0; i < t->runs; i++) {
		const struct leaf_run *leaf = &t->run[i];
		const uint64_t size = PAGE << 9 * (leaf->level - 1);
		const axas_gpa_t first = l->gpa & ~(size - 1);

		if (l->gpa - leaf->gpa >= leaf->size)
			continue;
		if (r->hidden != AUTO || first < r->gpa || first + size > r->gpa + r->size)
			return "a fault shows what was not hidden";
		pages_change(p, first, size, show_page, 0);
		return NULL;
	}
	return "resolved, and the page is hidden";
}

/*
 * The library's pages that a merge has copied are elsewhere, as parts of one page of 2 MiB, with what was in them.
 * Each frame has a word that says where it was first; the first ones may link frames that went back.
 */
static const char *learn_moved(const struct letter *l, const struct tables *t, struct pages *p)
{
	if ((l->kind != MERGE && l->kind != MERGE_SOME) || !(l->flags & AXAS_MERGE_COPY))
		return NULL;
	for (uint32_t i = 0; i < t->runs; i++) {
		const struct leaf_run *leaf = &t->run[i];

		for (uint64_t at = 0; at < leaf->size && world_is_guest(leaf->hpa); at += PAGE) {
			const struct page_run *r = pages_at(p, leaf->gpa + at);
			struct page_run now;
			axas_hpa_t was;

			if (r == NULL || r->state != AXAS_STATE_OWNED || leaf->level != 2)
				break;
			was = r->value + (leaf->gpa + at - r->gpa);
			if (was == leaf->hpa + at)
				continue;
			if (world_stamp(was) != world_stamp(leaf->hpa + at))
				return "a page that was moved has other contents";
			now = *r;
			now.gpa = leaf->gpa + at;
			now.size = PAGE;
			now.value = leaf->hpa + at;
			pages_set(p, &now);
		}
	}
	return NULL;
}

/* No walker finds it: it is hidden, or has no permission where a leaf without one would not be one. */
static int is_hidden(const struct page_run *r)
{
	return r->hidden != SHOWN || (!(r->flags & RWX) && walker.format != WALK_ARM);
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

			if (r == NULL || !pages_is_mapped(r))
				return "a leaf where no memory is mapped";
			if (is_hidden(r))
				return "a page is not hidden";
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
	for (uint32_t i = 0; i < t->hidden_runs; i++)
		bytes += t->hidden[i].size;
	if (bytes / PAGE != pages_count(p, AXAS_STATE_LINEAR) + pages_count(p, AXAS_STATE_OWNED))
		return "memory without a leaf";
	return NULL;
}

/* Those that no walker finds are those that are hidden. */
static const char *same_hidden(const struct tables *t, const struct pages *p)
{
	for (uint32_t i = 0; i < t->hidden_runs; i++) {
		const struct hidden_run *hidden = &t->hidden[i];
		uint64_t at = 0;

		while (at < hidden->size) {
			const axas_gpa_t gpa = hidden->gpa + at;
			const struct page_run *r = pages_at(p, gpa);

			if (r == NULL || !pages_is_mapped(r) || !is_hidden(r))
				return "a page is hidden that nobody has hidden";
			if (r->value + (gpa - r->gpa) != hidden->hpa + at)
				return "a hidden page with another address";
			at = r->gpa + r->size - hidden->gpa;
		}
	}
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
	return pages == world_guests() ? NULL : "a guest frame is lost";
}

static const char *same_stats(const struct tables *t)
{
	axas_stats_t s;

	if (axas_stats(space, &s) != AXAS_OK)
		return "no statistics";
	if (s.table_frames != world_tables() || s.guest_frames != world_guests())
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

/* Bytes of linear pages that the host was told of, wherever that is said. */
static uint64_t released_of(axas_gpa_t gpa, axas_gpa_t end, axas_hpa_t hpa)
{
	uint64_t bytes = 0;

	for (uint32_t k = 0; k < seen.released_count; k++) {
		const axas_mapping_t *m = &seen.released[k];
		const axas_gpa_t from = m->gpa > gpa ? m->gpa : gpa;
		const axas_gpa_t to = m->gpa + m->size < end ? m->gpa + m->size : end;

		if (from < to && m->hpa - m->gpa == hpa - gpa)
			bytes += to - from;
	}
	return bytes;
}

/* Each run of pages is of one level, and as long as it can be. */
static const char *judge_runs(const struct letter *l)
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
		/* those that are evicted are released as they were reported */
		if (l->kind == EVICT || l->kind == EVICT_SOME)
			continue;
		if (last->gpa + last->size == m->gpa && last->hpa + last->size == m->hpa &&
		    last->flags == m->flags && last->level == m->level)
			return "a released run that goes on where the last one ends";
	}
	return NULL;
}

/* What CPUs may hold and is not so any more was named to all of them. */
static const char *judge_lost(const struct scope *s, const struct tables *before,
			      const struct tables *after)
{
	uint32_t i = 0;

	for (uint32_t b = 0; b < before->runs; b++) {
		const struct leaf_run *r = &before->run[b];
		const uint64_t mask = (PAGE << 9 * (r->level - 1)) - 1;
		struct piece p = { .end = r->gpa, .was = r };

		while (next_piece(&p, r, after, &i, &p.is))
			if (has_lost(s, &p) &&
			    !is_named(p.gpa & ~mask, ((p.end - 1) | mask) + 1, r->level, 1))
				return "no request to all CPUs for what they may hold";
	}
	return NULL;
}

/* Linear pages that went were released once; those that a replace maps again where they were not at all. */
static const char *judge_released(const struct scope *s, const struct letter *l,
				  const struct pages *was, const struct pages *now)
{
	uint64_t known = 0, released = 0;

	for (uint32_t i = 0; i < was->runs; i++) {
		const struct page_run *r = &was->run[i];
		axas_gpa_t gpa = r->gpa, end = r->gpa + r->size;

		for (axas_gpa_t next; r->state == AXAS_STATE_LINEAR && gpa < end; gpa = next) {
			const struct page_run *is = pages_from(now, gpa);
			const axas_hpa_t hpa = r->value + (gpa - r->gpa);
			int same;
			uint64_t told;

			next = is == NULL || is->gpa >= end ? end : is->gpa;
			if (is != NULL && is->gpa <= gpa)
				next = is->gpa + is->size < end ? is->gpa + is->size : end;
			same = is != NULL && is->gpa <= gpa && is->state == AXAS_STATE_LINEAR &&
			       is->value + (gpa - is->gpa) == hpa;
			told = released_of(gpa, next, hpa);
			known += told;
			if (same ? told != 0 && (l->kind != REPLACE || letters_replace()) :
				   !s->is_plain && told != next - gpa)
				return "pages of the host are released when they go, and once";
		}
	}
	for (uint32_t k = 0; k < seen.released_count; k++)
		released += seen.released[k].size;
	return released == known ? judge_runs(l) : "released what was not mapped";
}

/* Of each page that was evicted the host was told once, as it was, and whether it was dirty. */
static const char *judge_evicted(const struct letter *l, const struct outcome *o,
				 const struct pages *was)
{
	uint64_t told = 0, pages = 0;

	for (uint32_t k = 0; k < seen.evicted_count; k++) {
		const axas_mapping_t *m = &seen.evicted[k].run;
		axas_gpa_t next;

		for (axas_gpa_t gpa = m->gpa; gpa < m->gpa + m->size; gpa = next) {
			const struct page_run *r = pages_at(was, gpa);

			if (r == NULL || r->state != m->state || r->hidden == HELD ||
			    r->value + (gpa - r->gpa) != m->hpa + (gpa - m->gpa))
				return "evicted what was not so";
			if (seen.evicted[k].is_dirty != !r->is_clean)
				return "evicted what was dirty as clean, or the other way";
			next = r->gpa + r->size;
		}
		told += m->size;
	}
	if (l->kind != EVICT && l->kind != EVICT_SOME)
		return told == 0 ? NULL : "another call evicts";
	for (uint64_t at = 0; at < o->done; at += PAGE) {
		const struct page_run *r = pages_at(was, l->gpa + at);

		pages += r != NULL && pages_is_mapped(r) && r->hidden != HELD;
	}
	return told == pages * PAGE ? NULL : "not each page is evicted once";
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
	case MERGE:
	case MERGE_SOME:
		return NULL;
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

/* --- a call ---------------------------------------------------------------------------------- */

/* Tables are taken from the stock, by calls that run alone, and nothing is put there but by its own call. */
static const char *judge_stock(const struct letter *l, const struct tables *after,
			       struct pages *pages)
{
	const uint32_t stock = world_tables() - after->frames;

	if (world_tables() < after->frames || stock > pages->set.stock)
		return "a table is lost";
	if (stock < pages->set.stock && (l->kind == FAULT || l->kind == STOCK))
		return "the stock is not what it must be";
	pages->set.stock = stock;
	return NULL;
}

const char *judge_tables(const struct scope *s, const struct tables *before,
			 const struct tables *after, const struct pages *pages)
{
	const char *why = same_leaves(after, pages);

	if (why == NULL)
		why = same_hidden(after, pages);
	if (why == NULL)
		why = same_frames(pages);
	if (why == NULL)
		why = same_stats(after);
	if (why == NULL)
		why = judge_lost(s, before, after);
	if (why == NULL)
		why = judge_gained(s, before, after);
	return why != NULL ? why : judge_scopes();
}

static const char *judge_change(const struct scope *s, const struct letter *l,
				const struct outcome *o, const struct tables *before,
				struct tables *after, struct pages *pages)
{
	static struct pages was;
	const char *why;

	pages_copy(&was, pages);
	if (o->done != 0)
		letter_apply(l, pages, o->done);
	walker.log = (enum walk_log)pages->set.log;
	walker.ages = (int)pages->set.ages;
	tables_read(after);
	why = after->broken;
	if (why == NULL)
		why = judge_stock(l, after, pages);
	if (why == NULL)
		why = learn(l, l->kind == POPULATE && seen.asked != 0 ? l->size : o->done, after,
			    pages);
	if (why == NULL)
		why = learn_shown(l, o->done, after, pages);
	if (why == NULL)
		why = learn_moved(l, after, pages);
	if (why == NULL)
		why = judge_tables(s, before, after, pages);
	if (why == NULL)
		why = judge_released(s, l, &was, pages);
	if (why == NULL)
		why = judge_evicted(l, o, &was);
	if (why == NULL)
		why = judge_kept(l, o, before, after);
	if (why == NULL)
		why = watch_judge(s, l, o, &was, pages, after);
	return why;
}

/*
 * It failed, and words of tables changed. A populated map may have given back tables that were kept where larger
 * entries were to come; a hidden table may be shown, with what is in it hidden, and a cold one forgotten to be so.
 */
static const char *judge_failed(const struct scope *s, const struct letter *l,
				const struct tables *before, const struct tables *after)
{
	if (world_keeps_tables && l->kind == MAP_ALLOC && (l->flags & AXAS_POPULATE) != 0)
		return NULL;
	if ((s->parts & (HIDES | AGES)) && world_has_same_frames() &&
	    tables_same_pages(before, after))
		return NULL;
	/* what providers brought before it failed stays */
	if (l->kind == POPULATE && seen.asked != 0)
		return NULL;
	/* which tables are in the stock is of no account */
	if ((s->parts & STOCKS) && world_has_as_many_frames() && tables_same_pages(before, after))
		return NULL;
	return "it failed, and tables or frames changed";
}

/* Requests to all CPUs that the call may make. */
static uint32_t most_flushes(const struct letter *l, int did)
{
	if (l->kind == MERGE || l->kind == MERGE_SOME)
		return 3; /* one for each size of tables */
	if (l->kind == FAULT || l->kind == CPU)
		return 0;
	return did ? 1 : 2;
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
	if (why == NULL && seen.flushes_all > most_flushes(l, did))
		why = "too many requests to all CPUs";
	if (why != NULL)
		return why;
	if (!did && world_is_unchanged(before->used))
		return same_stats(before);
	*changed = 1;
	why = judge_change(s, l, o, before, after, pages);
	if (why == NULL && !did)
		why = judge_failed(s, l, before, after);
	return why;
}

/* --- a state --------------------------------------------------------------------------------- */

static int same_flags(const struct page_run *r, axas_flags_t flags)
{
	axas_flags_t compared = RWX | AXAS_DEVICE | AXAS_SKIP_ZERO | AXAS_TAG_MASK;

	if (r->state == AXAS_STATE_TRAP || r->state == AXAS_STATE_NOTE)
		return flags == (r->flags & AXAS_TAG_MASK);
	if (r->state == AXAS_STATE_RESERVED && !(r->flags & ANY_SIZE))
		compared |= AXAS_HUGE_FRAMES | AXAS_MAX_2M;
	if (r->state == AXAS_STATE_PROVIDED && !(r->flags & ANY_SIZE))
		compared |= AXAS_NO_HUGE | AXAS_MAX_2M;
	return (flags & compared) == (r->flags & compared);
}

/* One page of what the library says, against what it should be. */
static const char *same_page(const struct pages *p, const axas_mapping_t *m, axas_gpa_t gpa)
{
	const struct page_run *r = pages_at(p, gpa);

	if (r == NULL)
		return m->state == AXAS_STATE_ABSENT ? NULL : "something where nothing is";
	if (m->state != (r->hidden != SHOWN ? AXAS_STATE_HIDDEN : r->state))
		return "another state";
	if (!same_flags(r, m->flags))
		return "other flags";
	if (r->state == AXAS_STATE_TRAP || r->state == AXAS_STATE_NOTE)
		return m->cookie == r->value ? NULL : "another cookie";
	if (r->state == AXAS_STATE_PROVIDED && m->cookie != r->value)
		return "another provider";
	if (r->state == AXAS_STATE_RESERVED || r->state == AXAS_STATE_PROVIDED)
		return m->hpa == AXAS_HPA_INVALID ? NULL : "a reservation with an address";
	return m->hpa + (gpa - m->gpa) == r->value + (gpa - r->gpa) ? NULL : "another address";
}

static const char *same_entry(const struct pages *p, const axas_mapping_t *m)
{
	const struct page_run *r = pages_at(p, m->gpa);
	const int mapped = r != NULL && pages_is_mapped(r) && !is_hidden(r);
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
	if (w.is_provided != (m->state == AXAS_STATE_PROVIDED) ||
	    (w.is_provided && w.provider != m->cookie))
		return "the walker sees another provider";
	if ((mapped || w.is_hidden) && w.size != m->size)
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

const char *judge_looks(const struct pages *pages, const struct scope *scope, int every_entry)
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
	return c.why;
}

const char *judge_state(const struct pages *pages, const struct scope *scope, int every_entry)
{
	const char *why = judge_looks(pages, scope, every_entry);

	if (why != NULL)
		return why;
	world_begin(0);
	seen.tables_removed = 1;
	axas_destroy(space);
	if (seen.violation != NULL)
		return seen.violation;
	return world.frames.tables == 0 && world.frames.guest_out == 0 ?
		       NULL :
		       "destroy does not give everything back";
}
