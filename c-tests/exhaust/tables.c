/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "tables.h"

#include "counts.h"
#include "words.h"

#include <string.h>

#define BIT(n)          (1ull << (n))
#define BITS(high, low) ((~0ull >> (63 - (high))) & (~0ull << (low)))

struct format {
	uint64_t valid, address; /* bits of an entry */
	uint32_t shift; /* of the address */
};

static const struct format formats[] = {
	[WALK_EPT] = { 7, BITS(51, 12), 0 },
	[WALK_NPT] = { 1, BITS(51, 12), 0 },
	[WALK_ARM] = { 1, BITS(47, 12), 0 },
	[WALK_RISCV] = { 1, BITS(53, 10), 2 },
};

static int is_leaf(uint32_t level, uint64_t word)
{
	if (level == 1)
		return 1;
	if (walker.format == WALK_ARM)
		return !(word & 2);
	if (walker.format == WALK_RISCV)
		return (word & 14) != 0;
	return (word & BIT(7)) != 0;
}

static uint64_t mix(uint64_t h, uint64_t word)
{
	h = (h ^ word) * 0x9e3779b97f4a7c15ull;
	return h ^ h >> 29;
}

static void broken(struct tables *t, axas_gpa_t gpa, const char *why)
{
	if (t->broken == NULL) {
		t->broken = why;
		t->broken_gpa = gpa;
	}
}

static void add_run(struct tables *t, const struct leaf_run *r)
{
	struct leaf_run *last = t->runs > 0 ? &t->run[t->runs - 1] : NULL;
	struct walk w;

	if (last != NULL && last->gpa + last->size == r->gpa && last->hpa + last->size == r->hpa &&
	    last->bits == r->bits && last->level == r->level) {
		last->size += r->size;
		return;
	}
	if (t->runs == MOST_LEAF_RUNS) {
		broken(t, r->gpa, "too many runs of leaves for this test");
		return;
	}
	w = walker_walk(&walker, r->gpa);
	if (w.outcome != WALK_LEAF || w.hpa != r->hpa || w.level != r->level)
		broken(t, r->gpa, w.why != NULL ? w.why : "the walker sees another leaf");
	last = &t->run[t->runs++];
	*last = *r;
	last->access = w.access;
	last->memory = (uint32_t)w.memory;
	last->tag = w.tag;
	last->is_dirty = w.dirty;
	last->is_young = w.young;
}

static void add_hidden(struct tables *t, const struct hidden_run *r)
{
	struct hidden_run *last = t->hidden_runs > 0 ? &t->hidden[t->hidden_runs - 1] : NULL;
	struct walk w;

	if (last != NULL && last->gpa + last->size == r->gpa && last->hpa + last->size == r->hpa &&
	    last->level == r->level) {
		last->size += r->size;
		return;
	}
	if (t->hidden_runs == MOST_LEAF_RUNS) {
		broken(t, r->gpa, "too many runs of hidden pages for this test");
		return;
	}
	w = walker_walk(&walker, r->gpa);
	if (w.outcome == WALK_LEAF || !w.is_hidden || w.hpa != r->hpa)
		broken(t, r->gpa, "the walker does not see that a page is hidden");
	t->hidden[t->hidden_runs++] = *r;
}

/* The leaves from entry `i` on that follow each other; where they end. */
static uint32_t read_leaves(struct tables *t, const uint64_t *words, uint32_t i, uint32_t level,
			    axas_gpa_t gpa, int is_below_hidden)
{
	const struct format *f = &formats[walker.format];
	const uint64_t size = BIT(12 + 9 * (level - 1));
	const uint64_t step = size >> f->shift;
	const uint64_t word = words[i];
	struct leaf_run r = {
		.gpa = gpa,
		.hpa = (word & f->address) << f->shift,
		.bits = word & ~f->address,
		.level = level,
	};
	uint32_t end = i + 1;

	while (end < 512 && words[end] == word + (end - i) * step)
		end++;
	r.size = (end - i) * size;
	t->leaves[level] += end - i;
	if (is_below_hidden)
		add_hidden(t, &(struct hidden_run){ gpa, r.size, r.hpa, level });
	else
		add_run(t, &r);
	/* where a frame of the host's lies is of no account */
	t->digest = mix(t->digest, r.bits ^ (world_is_guest(r.hpa) ? GUEST_PA : r.hpa));
	t->digest = mix(t->digest, end - i);
	return end;
}

struct place {
	const uint64_t *words;
	axas_gpa_t gpa;
	uint32_t next, entries, occupied;
	int is_below_hidden;
};

static struct place enter(struct tables *t, axas_hpa_t pa, axas_gpa_t gpa, uint32_t entries,
			  int is_below_hidden)
{
	struct place p = { .gpa = gpa, .entries = entries, .is_below_hidden = is_below_hidden };

	p.words = walker.at(walker.ctx, pa, entries * sizeof(uint64_t));
	if (p.words == NULL) {
		broken(t, gpa, "a table outside the host's memory");
		p.entries = 0;
		p.occupied = 1;
		return p;
	}
	for (uint64_t at = 0; at < entries * sizeof(uint64_t); at += PAGE) {
		t->used |= BIT((pa - TABLE_PA + at) / PAGE);
		t->walked |= is_below_hidden ? 0 : BIT((pa - TABLE_PA + at) / PAGE);
	}
	t->frames += (uint32_t)((entries * sizeof(uint64_t) + PAGE - 1) / PAGE);
	if (t->frames > TABLES)
		broken(t, gpa, "tables in a circle");
	return p;
}

static void read_hidden(struct tables *t, uint64_t word, axas_hpa_t hpa, uint32_t level,
			axas_gpa_t gpa)
{
	const struct hidden_run r = { gpa, BIT(12 + 9 * (level - 1)), hpa, level };

	add_hidden(t, &r);
	if (level <= 3)
		t->leaves[level]++;
	t->digest = mix(t->digest, word & ~formats[walker.format].address);
	t->digest = mix(t->digest, world_is_guest(hpa) ? GUEST_PA : hpa);
}

/* Equal words that name nothing, or one that names a hidden page; where they end. */
static uint32_t read_invalid(struct tables *t, struct place *p, uint32_t i, uint32_t level,
			     axas_gpa_t gpa)
{
	const uint64_t word = p->words[i];
	uint32_t end = i + 1;
	axas_hpa_t hpa;

	if (walker_is_hidden_page(&walker, word, &hpa)) {
		p->occupied = 1;
		read_hidden(t, word, hpa, level, gpa);
		return end;
	}
	end = (uint32_t)words_alike(p->words, i, p->entries);
	t->digest = mix(mix(t->digest, word), end - i);
	p->occupied |= word != (walker.format == WALK_EPT ? BIT(63) : 0);
	return end;
}

static void check_counts(struct tables *t)
{
	const struct wrong_count wrong = counts_check(&walker, world_keeps_tables);

	if (wrong.why != NULL)
		broken(t, wrong.gpa, wrong.why);
}

void tables_read(struct tables *t)
{
	const struct format *f = &formats[walker.format];
	struct place stack[7];
	uint32_t level = walker.levels;

	t->runs = 0;
	t->hidden_runs = 0;
	t->frames = 0;
	t->used = 0;
	t->walked = 0;
	memset(t->leaves, 0, sizeof(t->leaves));
	t->digest = 1;
	t->broken = NULL;
	stack[level] = enter(t, walker.root, 0, (uint32_t)walker.root_entries, 0);
	while (level <= walker.levels && t->frames <= TABLES) {
		struct place *p = &stack[level];
		const axas_gpa_t gpa = p->gpa + ((uint64_t)p->next << (12 + 9 * (level - 1)));
		uint64_t word, table;
		int is_below_hidden;

		if (p->next == p->entries) {
			if (!p->occupied && level != walker.levels && !world_keeps_tables)
				broken(t, p->gpa, "an empty table");
			t->digest = mix(t->digest, level);
			level++;
			continue;
		}
		word = p->words[p->next];
		is_below_hidden = p->is_below_hidden;
		table = (word & f->address) << f->shift;
		if (walker_is_hidden_table(&walker, level, word, &table)) {
			is_below_hidden = 1;
		} else if (!(word & f->valid)) {
			p->next = read_invalid(t, p, p->next, level, gpa);
			continue;
		} else if (is_leaf(level, word)) {
			p->occupied = 1;
			p->next = read_leaves(t, p->words, p->next, level, gpa, is_below_hidden);
			continue;
		}
		p->occupied = 1;
		p->next++;
		t->digest = mix(t->digest, word & ~f->address);
		level--;
		stack[level] = enter(t, table, gpa, 512, is_below_hidden);
	}
	if (t->broken == NULL)
		check_counts(t);
	if (t->broken == NULL && world_keeps_tables)
		kept_read(&t->kept, &walker);
}

void tables_copy(struct tables *to, const struct tables *from)
{
	to->runs = from->runs;
	memcpy(to->run, from->run, from->runs * sizeof(from->run[0]));
	to->hidden_runs = from->hidden_runs;
	memcpy(to->hidden, from->hidden, from->hidden_runs * sizeof(from->hidden[0]));
	to->frames = from->frames;
	to->used = from->used;
	to->walked = from->walked;
	memcpy(to->leaves, from->leaves, sizeof(to->leaves));
	to->digest = from->digest;
	to->broken = from->broken;
	to->broken_gpa = from->broken_gpa;
}

int tables_same_pages(const struct tables *a, const struct tables *b)
{
	if (a->runs != b->runs || a->hidden_runs != b->hidden_runs)
		return 0;
	for (uint32_t i = 0; i < a->runs; i++)
		if (memcmp(&a->run[i], &b->run[i], sizeof(a->run[0])) != 0)
			return 0;
	for (uint32_t i = 0; i < a->hidden_runs; i++) {
		const struct hidden_run *x = &a->hidden[i], *y = &b->hidden[i];

		if (x->gpa != y->gpa || x->size != y->size || x->hpa != y->hpa ||
		    x->level != y->level)
			return 0;
	}
	return 1;
}

static const struct tables *held;

static int holds(axas_hpa_t hpa, uint64_t size)
{
	for (uint32_t i = 0; i < held->runs; i++)
		if (hpa < held->run[i].hpa + held->run[i].size && held->run[i].hpa < hpa + size)
			return 1;
	return 0;
}

void tables_hold(const struct tables *t)
{
	held = t;
	world_walked = t->walked;
	world_holds = holds;
}
