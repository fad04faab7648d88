/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "compare.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const kind_names[KINDS] = {
#define TEXT(name, text, ends, what) [KIND_##name] = text,
	EACH_KIND(TEXT)
#undef TEXT
};

const char *const kind_texts[KINDS] = {
#define WHAT(name, text, ends, what) [KIND_##name] = what,
	EACH_KIND(WHAT)
#undef WHAT
};

const uint8_t kind_ends[KINDS] = {
#define ENDS(name, text, ends, what) [KIND_##name] = ends,
	EACH_KIND(ENDS)
#undef ENDS
};

void differ(struct differences *d, enum kind kind, const char *format, ...)
{
	va_list args;

	if (d->kinds & (1ull << kind))
		return;
	d->kinds |= 1ull << kind;
	va_start(args, format);
	vsnprintf(d->text[kind], sizeof(d->text[kind]), format, args);
	va_end(args);
}

static void compare_number(struct differences *d, enum kind kind, const char *what, uint64_t a,
			   uint64_t b)
{
	if (a != b)
		differ(d, kind, "%s: %#" PRIx64 " and %#" PRIx64, what, a, b);
}

/* --- requests -------------------------------------------------------------------------------- */

static uint32_t count_all(const struct seen *s)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < s->flushes && i < MOST_FLUSHES; i++)
		count += s->flush[i].scope == AXAS_SCOPE_ALL;
	return count;
}

static void compare_flushes(struct differences *d, const struct seen *a, const struct seen *b)
{
	const uint32_t all_a = count_all(a), all_b = count_all(b);

	if (all_a != 0 && all_b == 0)
		differ(d, KIND_FLUSH_MISSING, "reason %u gpa %#" PRIx64 " size %#" PRIx64,
		       a->flush[0].reason, a->flush[0].gpa, a->flush[0].size);
	else if (all_a == 0 && all_b != 0)
		differ(d, KIND_FLUSH_MORE, "reason %u gpa %#" PRIx64 " size %#" PRIx64,
		       b->flush[0].reason, b->flush[0].gpa, b->flush[0].size);
	else if (a->flushes != b->flushes)
		compare_number(d, KIND_FLUSH_COUNT, "requests", a->flushes, b->flushes);
	if (a->flushes != b->flushes)
		return;
	for (uint32_t i = 0; i < a->flushes && i < MOST_FLUSHES; i++) {
		const axas_tlb_request_t *x = &a->flush[i], *y = &b->flush[i];

		if (x->gpa != y->gpa || x->size != y->size)
			differ(d, KIND_FLUSH_RANGE,
			       "%#" PRIx64 "+%#" PRIx64 " and %#" PRIx64 "+%#" PRIx64, x->gpa,
			       x->size, y->gpa, y->size);
		compare_number(d, KIND_FLUSH_REASON, "reason", x->reason, y->reason);
		compare_number(d, KIND_FLUSH_REASON, "scope", x->scope, y->scope);
		compare_number(d, KIND_FLUSH_REASON, "vmid", x->vmid, y->vmid);
		compare_number(d, KIND_FLUSH_LEVEL, "level", x->level, y->level);
		compare_number(d, KIND_FLUSH_TABLES, "tables_removed", x->tables_removed,
			       y->tables_removed);
	}
}

/* --- runs ------------------------------------------------------------------------------------ */

static int same_run(const axas_mapping_t *a, const axas_mapping_t *b)
{
	return a->gpa == b->gpa && a->size == b->size && a->hpa == b->hpa &&
	       a->cookie == b->cookie && a->flags == b->flags && a->state == b->state;
}

static int same_runs(const struct runs *a, const struct runs *b)
{
	if (a->count != b->count)
		return 0;
	for (size_t i = 0; i < a->count; i++)
		if (!same_run(&a->run[i], &b->run[i]))
			return 0;
	return 1;
}

static int by_gpa(const void *a, const void *b)
{
	const axas_mapping_t *x = a, *y = b;

	return x->gpa < y->gpa ? -1 : x->gpa > y->gpa;
}

static int continues(const axas_mapping_t *a, const axas_mapping_t *b)
{
	return a->gpa + a->size == b->gpa && a->hpa + a->size == b->hpa && a->flags == b->flags &&
	       a->state == b->state;
}

/* In order, joined, without those that a replace maps again where they were. */
static void normal_runs(struct runs *to, const struct runs *from, const struct step *except)
{
	size_t kept = 0;

	to->count = 0;
	for (size_t i = 0; i < from->count; i++)
		if (except == NULL ||
		    from->run[i].hpa - from->run[i].gpa != except->value - except->gpa)
			runs_add(to, &from->run[i]);
	if (to->count == 0)
		return;
	qsort(to->run, to->count, sizeof(*to->run), by_gpa);
	for (size_t i = 1; i < to->count; i++) {
		if (continues(&to->run[kept], &to->run[i]))
			to->run[kept].size += to->run[i].size;
		else
			to->run[++kept] = to->run[i];
	}
	to->count = kept + 1;
}

static void tell_runs(struct differences *d, enum kind kind, const struct runs *a,
		      const struct runs *b)
{
	static const axas_mapping_t none;
	size_t i = 0;
	const axas_mapping_t *x, *y;

	while (i < a->count && i < b->count && same_run(&a->run[i], &b->run[i]))
		i++;
	x = i < a->count ? &a->run[i] : &none;
	y = i < b->count ? &b->run[i] : &none;
	differ(d, kind,
	       "%zu and %zu runs; %#" PRIx64 "+%#" PRIx64 " at %#" PRIx64 " state %u and %#" PRIx64
	       "+%#" PRIx64 " at %#" PRIx64 " state %u",
	       a->count, b->count, x->gpa, x->size, x->hpa, x->state, y->gpa, y->size, y->hpa,
	       y->state);
}

void compare_runs(struct differences *d, const struct runs *a, const struct runs *b)
{
	if (!same_runs(a, b))
		tell_runs(d, KIND_RUNS, a, b);
}

static void compare_released(struct differences *d, const struct step *t, const struct runs *a,
			     const struct runs *b)
{
	static struct runs x, y;

	if (same_runs(a, b))
		return;
	normal_runs(&x, a, NULL);
	normal_runs(&y, b, NULL);
	if (same_runs(&x, &y)) {
		tell_runs(d, KIND_RELEASED_RUNS, a, b);
		return;
	}
	normal_runs(&x, a, t->call == CALL_REPLACE ? t : NULL);
	normal_runs(&y, b, t->call == CALL_REPLACE ? t : NULL);
	tell_runs(d, same_runs(&x, &y) ? KIND_RELEASED_KEPT : KIND_RELEASED, a, b);
}

/* --- frames ---------------------------------------------------------------------------------- */

struct balance {
	uint64_t taken[2], back[2]; /* of tables, of the guest */
};

static struct balance balance_of(const struct frame_events *f)
{
	struct balance b = { 0 };

	for (size_t i = 0; i < f->count; i++) {
		const struct frame_event *e = &f->event[i];
		const int guest = e->purpose == AXAS_FRAME_GUEST;

		if (e->kind == FRAME_TAKEN)
			b.taken[guest] += 1ull << e->order;
		else if (e->kind == FRAME_BACK)
			b.back[guest] += 1ull << e->order;
	}
	return b;
}

/* Every purpose but the guest's is a table: a root may have one of its own. */
static int same_events(const struct frame_events *a, const struct frame_events *b)
{
	if (a->count != b->count)
		return 0;
	for (size_t i = 0; i < a->count; i++)
		if (a->event[i].kind != b->event[i].kind ||
		    a->event[i].order != b->event[i].order ||
		    (a->event[i].purpose == AXAS_FRAME_GUEST) !=
			    (b->event[i].purpose == AXAS_FRAME_GUEST))
			return 0;
	return 1;
}

static void compare_frames(struct differences *d, const struct seen *a, const struct seen *b)
{
	static const enum kind outstanding[2] = { KIND_FRAMES_TABLES, KIND_FRAMES_GUEST };
	struct balance x, y;
	int taken = 0, left = 0;

	if (same_events(&a->frames, &b->frames))
		return;
	x = balance_of(&a->frames);
	y = balance_of(&b->frames);
	for (int i = 0; i < 2; i++) {
		taken |= x.taken[i] != y.taken[i] || x.back[i] != y.back[i];
		if (x.taken[i] - x.back[i] == y.taken[i] - y.back[i])
			continue;
		left = 1;
		differ(d, outstanding[i],
		       "%" PRIu64 " taken, %" PRIu64 " back and %" PRIu64 " taken, %" PRIu64
		       " back",
		       x.taken[i], x.back[i], y.taken[i], y.back[i]);
	}
	if (!left)
		differ(d, taken ? KIND_FRAMES_TAKEN : KIND_FRAMES_ORDER,
		       "tables: %" PRIu64 " and %" PRIu64 " taken, guest: %" PRIu64 " and %" PRIu64,
		       x.taken[0], y.taken[0], x.taken[1], y.taken[1]);
}

/* --- statistics ------------------------------------------------------------------------------ */

static void compare_stats(struct differences *d, const struct outcome *a, const struct outcome *b)
{
	const axas_stats_t *x = &a->after, *y = &b->after;
	const uint64_t *const fx = &x->faults_resolved, *const fy = &y->faults_resolved;
	const uint64_t *const bx = &a->before.faults_resolved, *const by =
								       &b->before.faults_resolved;

	compare_number(d, KIND_STATS_NOW, "table_frames", x->table_frames, y->table_frames);
	compare_number(d, KIND_STATS_NOW, "guest_frames", x->guest_frames, y->guest_frames);
	compare_number(d, KIND_STATS_NOW, "mapped_4k", x->mapped_4k, y->mapped_4k);
	compare_number(d, KIND_STATS_NOW, "mapped_2m", x->mapped_2m, y->mapped_2m);
	compare_number(d, KIND_STATS_NOW, "mapped_1g", x->mapped_1g, y->mapped_1g);
	for (size_t i = 0; i < 8; i++)
		compare_number(d, KIND_STATS_FAULTS, "faults", fx[i] - bx[i], fy[i] - by[i]);
}

static void check_count(struct differences *d, const struct side *s, const char *what,
			uint64_t counted, uint64_t seen)
{
	if (counted != seen)
		differ(d, KIND_STATS_OWN, "%s: %s counts %" PRIu64 ", the host saw %" PRIu64,
		       s->engine->name, what, counted, seen);
}

/* What one side counts is what its host saw. */
static void check_stats(struct differences *d, const struct side *s, const struct outcome *o)
{
	const axas_stats_t *x = &o->before, *y = &o->after;

	if (s->drop != DROP_NOTHING)
		return;
	check_count(d, s, "tlb_requests", y->tlb_requests - x->tlb_requests, s->seen.flushes);
	check_count(d, s, "frames_allocated", y->frames_allocated - x->frames_allocated,
		    s->seen.taken);
	check_count(d, s, "frames_released", y->frames_released - x->frames_released, s->seen.back);
}

/* --- all ------------------------------------------------------------------------------------- */

static void compare_probes(struct differences *d, const struct outcome *a, const struct outcome *b)
{
	for (uint32_t i = 0; i < PROBES; i++) {
		const axas_mapping_t *x = &a->probe[i], *y = &b->probe[i];

		if (a->probe_status[i] != AXAS_OK && b->probe_status[i] != AXAS_OK)
			compare_number(d, KIND_QUERY_ERROR, "status", (uint64_t)a->probe_status[i],
				       (uint64_t)b->probe_status[i]);
		else if (a->probe_status[i] != b->probe_status[i] || !same_run(x, y))
			differ(d, KIND_QUERY,
			       "status %d %#" PRIx64 "+%#" PRIx64 " at %#" PRIx64
			       " state %u flags %#x and status %d %#" PRIx64 "+%#" PRIx64
			       " at %#" PRIx64 " state %u flags %#x",
			       a->probe_status[i], x->gpa, x->size, x->hpa, x->state, x->flags,
			       b->probe_status[i], y->gpa, y->size, y->hpa, y->state, y->flags);
		compare_number(d, KIND_TRANSLATE, "status", (uint64_t)a->translate_status[i],
			       (uint64_t)b->translate_status[i]);
		compare_number(d, KIND_TRANSLATE, "hpa", a->hpa[i], b->hpa[i]);
		compare_number(d, KIND_TRANSLATE, "run", a->run[i], b->run[i]);
	}
}

static int lacked_memory(const struct step *t, const struct outcome *o)
{
	return o->status ==
	       (t->call == CALL_FAULT ? (int64_t)AXAS_FAULT_NO_MEMORY : AXAS_ERR_NO_MEMORY);
}

static enum kind kind_of_status(const struct step *t, const struct outcome *a,
				const struct outcome *b)
{
	if (lacked_memory(t, a) != lacked_memory(t, b))
		return KIND_MEMORY;
	return a->status < 0 && b->status < 0 && a->status != AXAS_ERR_AGAIN &&
			       b->status != AXAS_ERR_AGAIN ?
		       KIND_ERROR :
		       KIND_STATUS;
}

/* All that differs is one kind: where phys_to_virt failed, or one side did nothing. */
static void join(struct differences *d, enum kind kind)
{
	char text[sizeof(d->text[0])];
	const int first = __builtin_ctzll(d->kinds);

	snprintf(text, sizeof(text), "%s: %.150s", kind_names[first], d->text[first]);
	d->kinds = 0;
	differ(d, kind, "%s", text);
}

void compare(struct differences *d, const struct step *t, struct side *const side[2],
	     const struct outcome out[2])
{
	const struct outcome *a = &out[0], *b = &out[1];
	const struct seen *x = &side[0]->seen, *y = &side[1]->seen;

	d->kinds = 0;
	if (a->status != b->status)
		differ(d, kind_of_status(t, a, b), "%" PRId64 " and %" PRId64, a->status,
		       b->status);
	compare_number(d, KIND_DONE, "done", a->done, b->done);
	for (int i = 0; i < 4; i++)
		compare_number(d, KIND_VALUE, "value", a->value[i], b->value[i]);
	compare_number(d, KIND_CONTENTS, "digest", a->contents, b->contents);
	compare_runs(d, &a->runs, &b->runs);
	compare_flushes(d, x, y);
	compare_released(d, t, &x->released, &y->released);
	compare_frames(d, x, y);
	compare_number(d, KIND_CLEAN_TABLES, "bytes", x->cleaned[0], y->cleaned[0]);
	compare_number(d, KIND_CLEAN_GUEST, "bytes", x->cleaned[1], y->cleaned[1]);
	compare_number(d, KIND_POLLS, "polls", x->polls, y->polls);
	compare_stats(d, a, b);
	compare_probes(d, a, b);
	if (d->kinds & (1ull << KIND_STATUS | 1ull << KIND_MEMORY))
		join(d, kind_of_status(t, a, b));
	for (int i = 0; i < 2; i++)
		check_stats(d, side[i], &out[i]);
	if ((x->blinded || y->blinded) && d->kinds != 0)
		join(d, KIND_BLIND);
	for (int i = 0; i < 2; i++) {
		if (side[i]->violation != NULL)
			differ(d, KIND_HOST, "%s: %s", side[i]->engine->name, side[i]->violation);
		if (side[i]->windows != 0)
			differ(d, KIND_HOST, "%s: a window stays open", side[i]->engine->name);
	}
}
