/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Streams of calls in the spaces of c-tests/exhaust, each call judged against the model there. Where exhaustion
 * sees every short sequence of calls over a few ranges, these are up to 32 calls over any ranges.
 *
 * A byte for format and space, then six bytes for each call.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "judge.h"

#define MOST_CALLS 32u
#define FORMATS    4u
#define UNIT_LARGE (2 * MIB)

struct alphabet {
	struct scope scope;
	axas_config_t cfg;
	struct letter letter[MOST_LETTERS];
	uint32_t letters; /* 0: not made yet */
};

static struct {
	const struct alphabet *alphabet;
	struct letter call[MOST_CALLS];
	uint32_t fail[MOST_CALLS];
	uint32_t calls;
	struct tables table[2];
	struct pages pages;
} run;

static void wrong(const char *why)
{
	const axas_config_t *cfg = &run.alphabet->cfg;

	printf("%s: %s\nformat %u, from an empty space of %#" PRIx64 "+%#" PRIx64 ":\n",
	       run.alphabet->scope.name, why, cfg->format, cfg->base, cfg->size);
	for (uint32_t i = 0; i < run.calls; i++) {
		printf("  ");
		letter_print(&run.call[i]);
		if (run.fail[i] != 0)
			printf(", allocation %u fails", run.fail[i]);
		printf("\n");
	}
	fflush(stdout);
	abort();
}

static const struct alphabet *choose(uint8_t byte)
{
	static struct alphabet alphabets[FORMATS][SCOPES];
	struct alphabet *a = &alphabets[byte % FORMATS][byte / FORMATS % SCOPES];
	const uint32_t format = AXAS_FORMAT_EPT + byte % FORMATS;

	if (a->letters == 0) {
		a->scope = scope_make(byte / FORMATS % SCOPES, format);
		a->cfg = scope_config(&a->scope, format);
	}
	world_create(&a->cfg, !a->scope.is_plain);
	if (a->letters == 0 && !scope_is_possible(&a->scope, format))
		return choose(byte % FORMATS);
	if (a->letters == 0)
		a->letters = letters_make(&a->scope, a->letter);
	return a;
}

/* The same call over another range: it begins near a point, or on a boundary of 2 MiB near it. */
static void move(struct letter *l, const struct scope *s, uint8_t how, uint8_t from, uint8_t length)
{
	const axas_gpa_t first = s->point[0], end = s->point[s->points - 1];
	const uint64_t unit = how & 2 ? UNIT_LARGE : PAGE;
	const axas_gpa_t gpa =
		s->point[how / 4 % s->points] / unit * unit + (uint64_t)(int8_t)from * unit;
	uint64_t size = (length + 1) * unit;

	if (gpa < first || gpa >= end || l->kind == CLEAR || l->kind == STOCK ||
	    l->kind == SUPPLY || l->kind == CPU)
		return;
	if (size > end - gpa)
		size = end - gpa;
	if (l->kind == FAULT || (l->kind == MAP_EXTENTS && size == PAGE))
		size = l->kind == FAULT ? PAGE : l->size;
	if (size > end - gpa)
		return;
	if (l->kind == MAP_LINEAR || l->kind == MAP_EXTENTS || l->kind == REPLACE ||
	    l->kind == MAP_LINEAR_SOME)
		l->value += gpa - l->gpa;
	l->gpa = gpa;
	l->size = size;
}

static void decode(const uint8_t *bytes, struct letter *l, uint32_t *fail)
{
	const struct alphabet *a = run.alphabet;

	*l = a->letter[(bytes[0] | (uint32_t)bytes[1] << 8) % a->letters];
	if (bytes[2] & 1)
		move(l, &a->scope, bytes[2], bytes[3], bytes[4]);
	/* Most calls have memory. */
	*fail = bytes[5] < 64 ? bytes[5] : 0;
}

static void call(uint32_t i, struct tables **before, struct tables **after)
{
	const struct letter *l = &run.call[i];
	struct tables *was = *before;
	struct outcome o;
	const char *why;
	int changed;

	tables_hold(was);
	world_begin(run.fail[i]);
	o = letter_run(l);
	if (l->kind == FAULT)
		o.done = o.status == AXAS_FAULT_RESOLVED ? PAGE : 0;
	why = judge(&run.alphabet->scope, l, &o, was, *after, &run.pages, &changed);
	if (why != NULL)
		wrong(why);
	if (!changed)
		return;
	world_save();
	*before = *after;
	*after = was;
}

void fuzz_stream(const uint8_t *data, size_t bytes)
{
	struct tables *before = &run.table[0], *after = &run.table[1];
	const char *why;

	if (bytes == 0)
		return;
	run.calls = 0;
	run.alphabet = choose(data[0]);
	pages_clear(&run.pages);
	tables_read(before);
	for (size_t at = 1; at + 6 <= bytes && run.calls < MOST_CALLS; at += 6) {
		decode(&data[at], &run.call[run.calls], &run.fail[run.calls]);
		run.calls++;
		call(run.calls - 1, &before, &after);
	}
	why = judge_state(&run.pages, &run.alphabet->scope, 0);
	if (why != NULL)
		wrong(why);
}
