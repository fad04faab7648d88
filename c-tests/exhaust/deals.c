/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "deals.h"

#include <inttypes.h>
#include <stdio.h>

#define RW     (AXAS_READ | AXAS_WRITE)
/* Left where pages were given. */
#define A_NOTE 77u

axas_t *deal_space[2];

static const struct scope scopes[DEAL_SCOPES] = {
	{
		.name = "two spaces, pages",
		.group = "two",
		.share = 12,
		.parts = HIDES,
		.is_plain = 1,
		.points = 3,
		.point = { BOUNDARY - PAGE, BOUNDARY, BOUNDARY + PAGE },
	},
	{
		.name = "two spaces, 2 MiB",
		.group = "two",
		.share = 8,
		.parts = HIDES,
		.is_plain = 1,
		.points = 3,
		.point = { BOUNDARY, BOUNDARY + PAGE, BOUNDARY + 2 * MIB },
	},
};

struct scope deal_scope(uint32_t i)
{
	return scopes[i];
}

/* --- the alphabet ---------------------------------------------------------------------------- */

struct alphabet {
	struct deal *deal;
	uint32_t count;
};

static void add_call(struct alphabet *a, uint32_t side, enum letter_kind kind, axas_gpa_t gpa,
		     uint64_t size, axas_flags_t flags)
{
	struct deal *d = &a->deal[a->count++];

	*d = (struct deal){ .side = side };
	d->l = (struct letter){ .kind = kind, .flags = flags, .gpa = gpa, .size = size };
	if (kind == MAP_LINEAR)
		d->l.value = (side == 0 ? LINEAR_PA : OTHER_PA) + gpa;
	else if (kind == NOTE)
		d->l.value = A_NOTE + 1;
}

static void add_calls(struct alphabet *a, uint32_t side, axas_gpa_t gpa, uint64_t size)
{
	add_call(a, side, MAP_LINEAR, gpa, size, RW);
	add_call(a, side, MAP_ALLOC, gpa, size, RW | AXAS_POPULATE | AXAS_HUGE_FRAMES);
	add_call(a, side, UNMAP, gpa, size, 0);
	add_call(a, side, PROTECT, gpa, size, AXAS_READ);
	add_call(a, side, NOTE, gpa, size, 0);
	add_call(a, side, HIDE, gpa, size, 0);
	add_call(a, side, HIDE, gpa, size, AXAS_HIDE_AUTO);
	add_call(a, side, FAULT, gpa, PAGE, AXAS_WRITE);
}

static struct deal *add_transfer(struct alphabet *a, const struct deal *like, uint32_t action,
				 axas_flags_t from, axas_flags_t to)
{
	struct deal *d = &a->deal[a->count++];

	*d = *like;
	d->is_transfer = 1;
	d->t = (axas_transfer_t){
		.struct_size = sizeof(d->t),
		.action = action,
		.from_flags = from,
		.to_flags = to,
	};
	return d;
}

static void add_transfers(struct alphabet *a, const struct deal *d)
{
	add_transfer(a, d, AXAS_GIVE, 0, RW);
	add_transfer(a, d, AXAS_GIVE, 0, AXAS_READ)->t.note = A_NOTE;
	add_transfer(a, d, AXAS_GIVE, 0, RW)->t.options = AXAS_WIPE;
	add_transfer(a, d, AXAS_LEND, 0, RW);
	add_transfer(a, d, AXAS_LEND, 0, AXAS_READ);
	add_transfer(a, d, AXAS_LEND, 0, RW)->t.options = AXAS_WIPE;
	add_transfer(a, d, AXAS_SHARE, 0, RW);
	add_transfer(a, d, AXAS_SHARE, AXAS_READ, RW);
	add_transfer(a, d, AXAS_SHARE, 0, AXAS_READ);
	add_transfer(a, d, AXAS_TAKE_BACK, 0, 0);
	add_transfer(a, d, AXAS_TAKE_BACK, AXAS_READ, 0);
	add_transfer(a, d, AXAS_TAKE_BACK, 0, 0)->t.options = AXAS_WIPE;
	if (d->l.gpa == d->to_gpa)
		add_transfer(a, d, AXAS_TAKE_BACK, 0, 0)->is_alone = 1;
	if (d->l.size == PAGE)
		return;
	add_transfer(a, d, AXAS_GIVE, 0, RW)->is_some = 1;
	add_transfer(a, d, AXAS_LEND, 0, RW)->is_some = 1;
	add_transfer(a, d, AXAS_SHARE, 0, RW)->is_some = 1;
	add_transfer(a, d, AXAS_TAKE_BACK, 0, 0)->is_some = 1;
}

/* From the range to each point of the other space where it fits. */
static void add_places(struct alphabet *a, const struct scope *s, const struct deal *d)
{
	const axas_gpa_t end = s->point[s->points - 1];
	struct deal place = *d;

	for (uint32_t i = 0; i + 1 < s->points; i++) {
		if (s->point[i] + d->l.size > end)
			continue;
		place.to_gpa = s->point[i];
		add_transfers(a, &place);
	}
}

uint32_t deals_make(const struct scope *s, struct deal *deals)
{
	struct alphabet a = { deals, 0 };

	for (uint32_t side = 0; side < 2; side++)
		for (uint32_t i = 0; i < s->points; i++)
			for (uint32_t j = i + 1; j < s->points; j++) {
				const uint64_t size = s->point[j] - s->point[i];
				struct deal d = { .side = side };

				d.l.gpa = s->point[i];
				d.l.size = size;
				add_calls(&a, side, s->point[i], size);
				add_places(&a, s, &d);
			}
	return a.count;
}

/* --- the calls ------------------------------------------------------------------------------- */

struct outcome deal_run(const struct deal *d)
{
	axas_t *from = deal_space[d->side], *to = d->is_alone ? NULL : deal_space[1 - d->side];
	struct outcome o = { 0, 0 };

	if (!d->is_transfer) {
		o = letter_run(&d->l);
	} else if (d->is_some) {
		o.done = ~0ull;
		o.status = axas_transfer_some(from, d->l.gpa, to, d->to_gpa, d->l.size, &d->t, 1,
					      &o.done);
	} else {
		o.status = axas_transfer(from, d->l.gpa, to, d->to_gpa, d->l.size, &d->t);
		o.done = o.status == AXAS_OK ? d->l.size : 0;
	}
	return o;
}

/* Some of the memory is in these pages. */
static int has_memory(const struct pages *p, axas_hpa_t hpa, uint64_t size)
{
	for (uint32_t i = 0; i < p->runs; i++)
		if (pages_is_mapped(&p->run[i]) && p->run[i].value < hpa + size &&
		    hpa < p->run[i].value + p->run[i].size)
			return 1;
	return 0;
}

/* Pages of a range, in one space and at the same distance in another; 0 behind the last. */
struct pair {
	uint64_t at, size;
	struct page_run p, q; /* a hole has the state ABSENT */
};

static struct page_run piece_of(const struct pages *pages, axas_gpa_t gpa, uint64_t *size)
{
	const struct page_run *r = pages_from(pages, gpa);
	struct page_run piece = { .gpa = gpa, .state = AXAS_STATE_ABSENT };

	if (r != NULL && r->gpa > gpa && r->gpa - gpa < *size)
		*size = r->gpa - gpa;
	if (r == NULL || r->gpa > gpa)
		return piece;
	piece = *r;
	piece.gpa = gpa;
	if (r->gpa + r->size - gpa < *size)
		*size = r->gpa + r->size - gpa;
	if (pages_is_mapped(r))
		piece.value += gpa - r->gpa;
	return piece;
}

static int next_pair(const struct deal *d, const struct pages *from, const struct pages *to,
		     struct pair *pair)
{
	pair->at += pair->size;
	if (pair->at >= d->l.size)
		return 0;
	pair->size = d->l.size - pair->at;
	pair->p = piece_of(from, d->l.gpa + pair->at, &pair->size);
	pair->q = piece_of(to, d->to_gpa + pair->at, &pair->size);
	pair->p.size = pair->q.size = pair->size;
	return 1;
}

int deal_is_doubtful(const struct deal *d, const struct pages *from, const struct pages *to)
{
	struct pair pair = { 0 };

	if (!d->is_transfer && d->l.kind == MAP_LINEAR)
		return has_memory(from, d->l.value, d->l.size) ||
		       has_memory(to, d->l.value, d->l.size);
	if (d->is_transfer && (d->t.action != AXAS_TAKE_BACK || d->is_alone))
		while (next_pair(d, from, to, &pair))
			if (pages_is_mapped(&pair.p) && has_memory(to, pair.p.value, pair.size))
				return 1;
	/* what shows itself again is shown by the guest, whoever has it meanwhile */
	if (!d->is_transfer && d->l.kind == HIDE && d->l.flags != 0)
		for (uint32_t i = 0; i < from->runs; i++)
			if (pages_is_mapped(&from->run[i]) &&
			    has_memory(to, from->run[i].value, from->run[i].size))
				return 1;
	return 0;
}

/* --- what they should do --------------------------------------------------------------------- */

static uint32_t reason(axas_status_t status)
{
	return 1u << -status;
}

/* All that pages and their places may be refused for; which of several is said is not promised. */
static uint32_t refusals(const struct deal *d, const struct page_run *p, const struct page_run *q)
{
	const axas_transfer_t *t = &d->t;
	const int takes_back = t->action == AXAS_TAKE_BACK;
	const int wipes = (t->options & AXAS_WIPE) != 0;
	const int has_page = pages_is_mapped(p);
	uint32_t reasons = 0;

	if (p->state == AXAS_STATE_ABSENT)
		reasons |= reason(AXAS_ERR_NOT_MAPPED);
	else if (!has_page || (takes_back ? wipes && p->hidden != HELD : p->hidden != SHOWN))
		reasons |= reason(AXAS_ERR_DENIED);
	if (has_page && !takes_back && ((t->to_flags | t->from_flags) & ~p->flags & RW))
		reasons |= reason(AXAS_ERR_DENIED);
	if (p->state == AXAS_STATE_OWNED && t->action != AXAS_GIVE)
		reasons |= reason(AXAS_ERR_UNSUPPORTED);
	if (!takes_back) {
		if (q->state != AXAS_STATE_ABSENT && q->state != AXAS_STATE_NOTE)
			reasons |= reason(AXAS_ERR_ALREADY_EXISTS);
	} else if (!d->is_alone) {
		if (q->state == AXAS_STATE_ABSENT)
			reasons |= reason(AXAS_ERR_NOT_MAPPED);
		else if (q->state != AXAS_STATE_LINEAR || q->hidden != SHOWN ||
			 q->value != p->value || !has_page)
			reasons |= reason(AXAS_ERR_DENIED);
	}
	return reasons;
}

const char *deal_judge_status(const struct deal *d, const struct outcome *o,
			      const struct pages *from, const struct pages *to)
{
	struct pair pair = { 0 };
	uint64_t fits = 0;
	uint32_t reasons = 0;

	while (next_pair(d, from, to, &pair)) {
		reasons |= refusals(d, &pair.p, &pair.q);
		if (reasons == 0)
			fits = pair.at + pair.size;
	}
	if (o->done > d->l.size || o->done % PAGE != 0 || o->done > fits)
		return "more was done than is possible";
	if (!d->is_some && o->done != (o->status == AXAS_OK ? d->l.size : 0))
		return "a part is done";
	switch (o->status) {
	case AXAS_OK:
		return o->done == d->l.size && seen.refused == 0 ? NULL : "not all of it is done";
	case AXAS_ERR_AGAIN:
		return d->is_some && o->done != 0 && o->done < d->l.size ? NULL :
									   "a slice got nowhere";
	case AXAS_ERR_NO_MEMORY:
		return seen.refused > 0 ? NULL : "no memory, and no frame was refused";
	default:
		return o->status < 0 && o->status > -32 && (reasons >> -o->status & 1) ?
			       NULL :
			       "another status than it must be";
	}
}

void deal_apply(const struct deal *d, struct pages *from, struct pages *to, uint64_t done)
{
	struct pair pair = { 0 };

	while (next_pair(d, from, to, &pair) && pair.at < done) {
		const axas_transfer_t *t = &d->t;
		struct page_run p = pair.p, q = pair.p;

		if (p.size > done - pair.at)
			p.size = q.size = done - pair.at;
		q.gpa = d->to_gpa + pair.at;
		q.flags = t->to_flags;
		q.hidden = SHOWN;
		if (t->from_flags & RW)
			p.flags = t->from_flags & RW;
		p.hidden = t->action == AXAS_LEND ? HELD : SHOWN;
		p.is_shared = q.is_shared = t->action == AXAS_SHARE;
		if (t->action == AXAS_GIVE && t->note != 0)
			p = (struct page_run){ .gpa = p.gpa,
					       .size = p.size,
					       .value = t->note,
					       .state = AXAS_STATE_NOTE };
		else if (t->action == AXAS_GIVE)
			p.state = AXAS_STATE_ABSENT;
		if (p.state == AXAS_STATE_ABSENT)
			pages_remove(from, p.gpa, p.size);
		else
			pages_set(from, &p);
		if (t->action == AXAS_TAKE_BACK && !d->is_alone)
			pages_remove(to, q.gpa, q.size);
		else if (t->action != AXAS_TAKE_BACK)
			pages_set(to, &q);
	}
}

void deal_print(const struct deal *d)
{
	static const char *const names[] = { "", "give", "lend", "share", "take back" };

	printf("space %u ", d->side);
	if (!d->is_transfer) {
		letter_print(&d->l);
		return;
	}
	printf("%s%s gpa %#" PRIx64 " size %#" PRIx64, names[d->t.action],
	       d->is_some ? " (some)" : "", d->l.gpa, d->l.size);
	if (d->is_alone)
		printf(" alone");
	else
		printf(" to %#" PRIx64, d->to_gpa);
	printf(" flags %#x, %#x note %u options %u", d->t.from_flags, d->t.to_flags, d->t.note,
	       d->t.options);
}
