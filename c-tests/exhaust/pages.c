/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "pages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void pages_clear(struct pages *p)
{
	p->set = (struct settings){ 0 };
	p->runs = 0;
}

void pages_copy(struct pages *to, const struct pages *from)
{
	to->set = from->set;
	to->runs = from->runs;
	memcpy(to->run, from->run, from->runs * sizeof(from->run[0]));
}

int pages_is_mapped(const struct page_run *r)
{
	return r->state == AXAS_STATE_LINEAR || r->state == AXAS_STATE_OWNED;
}

static void make_room(struct pages *p, uint32_t at)
{
	if (p->runs == MOST_RUNS) {
		fprintf(stderr, "more than %u runs of pages\n", MOST_RUNS);
		exit(2);
	}
	memmove(&p->run[at + 1], &p->run[at], (p->runs - at) * sizeof(p->run[0]));
	p->runs++;
}

/* The first run that does not end before the address. */
static uint32_t find(const struct pages *p, axas_gpa_t gpa)
{
	uint32_t low = 0, high = p->runs;

	while (low < high) {
		const uint32_t middle = (low + high) / 2;

		if (p->run[middle].gpa + p->run[middle].size <= gpa)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* No run crosses the address afterwards. The first run that does not end before it. */
static uint32_t cut(struct pages *p, axas_gpa_t gpa)
{
	const uint32_t i = find(p, gpa);
	uint64_t head;

	if (i == p->runs || p->run[i].gpa >= gpa)
		return i;
	head = gpa - p->run[i].gpa;
	make_room(p, i);
	p->run[i].size = head;
	p->run[i + 1].gpa += head;
	p->run[i + 1].size -= head;
	if (pages_is_mapped(&p->run[i]))
		p->run[i + 1].value += head;
	return i + 1;
}

static int continues(const struct page_run *a, const struct page_run *b)
{
	return a->gpa + a->size == b->gpa && a->state == b->state && a->flags == b->flags &&
	       a->hidden == b->hidden && a->is_clean == b->is_clean && a->is_old == b->is_old &&
	       a->is_shared == b->is_shared &&
	       (pages_is_mapped(a) ? a->value + a->size : a->value) == b->value;
}

static void remove_runs(struct pages *p, uint32_t first, uint32_t last)
{
	memmove(&p->run[first], &p->run[last], (p->runs - last) * sizeof(p->run[0]));
	p->runs -= last - first;
}

/* The run and the one before it may have become one. */
static void join_before(struct pages *p, uint32_t i)
{
	if (i == 0 || i >= p->runs || !continues(&p->run[i - 1], &p->run[i]))
		return;
	p->run[i - 1].size += p->run[i].size;
	remove_runs(p, i, i + 1);
}

static void join(struct pages *p)
{
	uint32_t kept = 0;

	for (uint32_t i = 1; i < p->runs; i++) {
		if (continues(&p->run[kept], &p->run[i]))
			p->run[kept].size += p->run[i].size;
		else
			p->run[++kept] = p->run[i];
	}
	p->runs = p->runs == 0 ? 0 : kept + 1;
}

void pages_remove(struct pages *p, axas_gpa_t gpa, uint64_t size)
{
	const uint32_t first = cut(p, gpa);
	const uint32_t last = cut(p, gpa + size);

	remove_runs(p, first, last);
}

void pages_set(struct pages *p, const struct page_run *r)
{
	uint32_t at;

	if (r->size == 0)
		return;
	pages_remove(p, r->gpa, r->size);
	at = cut(p, r->gpa);
	make_room(p, at);
	p->run[at] = *r;
	/* a page does not say whether its frame was zeroed */
	if (r->state == AXAS_STATE_OWNED)
		p->run[at].flags &= ~(axas_flags_t)AXAS_SKIP_ZERO;
	join_before(p, at + 1);
	join_before(p, at);
}

void pages_change(struct pages *p, axas_gpa_t gpa, uint64_t size, pages_fn fn, uint64_t value)
{
	const uint32_t first = cut(p, gpa);
	const uint32_t last = cut(p, gpa + size);

	for (uint32_t i = first; i < last; i++)
		fn(&p->run[i], value);
	join(p);
}

static void protect(struct page_run *r, uint64_t access)
{
	/* without a permission it is not looked at, and young when it has one again */
	if (access == 0 && walker.format != WALK_ARM)
		r->is_old = 0;
	r->flags = (r->flags & ~(axas_flags_t)RWX) | (axas_flags_t)access;
}

void pages_protect(struct pages *p, axas_gpa_t gpa, uint64_t size, axas_flags_t access)
{
	pages_change(p, gpa, size, protect, access);
}

static void retag(struct page_run *r, uint64_t tag)
{
	r->flags = (r->flags & ~(axas_flags_t)AXAS_TAG_MASK) | (axas_flags_t)tag;
}

void pages_retag(struct pages *p, axas_gpa_t gpa, uint64_t size, axas_flags_t tag)
{
	pages_change(p, gpa, size, retag, tag);
}

static void discard(struct page_run *r, uint64_t is_logged)
{
	if (r->state != AXAS_STATE_OWNED)
		return;
	r->state = AXAS_STATE_RESERVED;
	r->flags |= ANY_SIZE;
	r->value = 0;
	r->hidden = SHOWN;
	r->is_clean = !is_logged;
	r->is_old = 0;
}

void pages_discard(struct pages *p, axas_gpa_t gpa, uint64_t size)
{
	pages_change(p, gpa, size, discard, p->set.log != LOG_OFF);
}

const struct page_run *pages_at(const struct pages *p, axas_gpa_t gpa)
{
	const uint32_t i = find(p, gpa);

	return i < p->runs && p->run[i].gpa <= gpa ? &p->run[i] : NULL;
}

const struct page_run *pages_from(const struct pages *p, axas_gpa_t gpa)
{
	const uint32_t i = find(p, gpa);

	return i < p->runs ? &p->run[i] : NULL;
}

int pages_overlap(const struct pages *p, axas_gpa_t gpa, uint64_t size)
{
	for (uint32_t i = 0; i < p->runs; i++)
		if (p->run[i].gpa < gpa + size && gpa < p->run[i].gpa + p->run[i].size)
			return 1;
	return 0;
}

static int all_are(const struct pages *p, axas_gpa_t gpa, uint64_t size, int or_trap)
{
	const axas_gpa_t end = gpa + size;

	while (gpa < end) {
		const struct page_run *r = pages_at(p, gpa);

		if (r == NULL ||
		    ((r->state == AXAS_STATE_TRAP || r->state == AXAS_STATE_NOTE) && !or_trap))
			return 0;
		gpa = r->gpa + r->size;
	}
	return 1;
}

int pages_all_memory(const struct pages *p, axas_gpa_t gpa, uint64_t size)
{
	return all_are(p, gpa, size, 0);
}

int pages_none_absent(const struct pages *p, axas_gpa_t gpa, uint64_t size)
{
	return all_are(p, gpa, size, 1);
}

uint64_t pages_count(const struct pages *p, uint32_t state)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < p->runs; i++)
		if (p->run[i].state == state)
			bytes += p->run[i].size;
	return bytes / PAGE;
}

static uint64_t mix(uint64_t h, uint64_t word)
{
	h = (h ^ word) * 0x9e3779b97f4a7c15ull;
	return h ^ h >> 29;
}

uint64_t settings_digest(const struct settings *set)
{
	const uint64_t h =
		mix(7, (uint64_t)set->log << 33 | (uint64_t)set->ages << 32 | set->stock);

	return mix(mix(h, set->log_stopped), set->ages_stopped);
}

/* Apart from where they are. */
static int is_like(const struct page_run *a, const struct page_run *b)
{
	return a->state == b->state && (a->flags & ~SIZES) == (b->flags & ~SIZES) &&
	       a->hidden == b->hidden && a->is_clean == b->is_clean && a->is_old == b->is_old;
}

uint64_t pages_digest(const struct pages *p)
{
	const struct page_run *last = NULL;
	uint64_t h = settings_digest(&p->set), end = 0;

	for (uint32_t i = 0; i < p->runs; i++) {
		const struct page_run *r = &p->run[i];
		const int owned = r->state == AXAS_STATE_OWNED;
		const axas_flags_t flags = r->flags & ~SIZES;
		/* runs that are apart only in what does not count here are one */
		const int same =
			last != NULL && r->gpa == end && is_like(r, last) &&
			(owned || r->value == last->value + (pages_is_mapped(r) ? last->size : 0));

		if (!same) {
			h = mix(h, end);
			h = mix(h, r->gpa);
			h = mix(h, (uint64_t)flags << 32 | r->state);
			h = mix(h, owned ? 0 : r->value);
			h = mix(h,
				(uint64_t)r->hidden << 2 | (uint64_t)r->is_clean << 1 | r->is_old);
		}
		end = r->gpa + r->size;
		last = r;
	}
	return mix(h, end);
}
