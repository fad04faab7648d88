/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "tables.h"

#include "counts.h"

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
}

/* The leaves from entry `i` on that follow each other; where they end. */
static uint32_t read_leaves(struct tables *t, const uint64_t *words, uint32_t i, uint32_t level,
			    axas_gpa_t gpa)
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
};

static struct place enter(struct tables *t, axas_hpa_t pa, axas_gpa_t gpa, uint32_t entries)
{
	struct place p = { .gpa = gpa, .entries = entries };

	p.words = walker.at(walker.ctx, pa, entries * sizeof(uint64_t));
	if (p.words == NULL) {
		broken(t, gpa, "a table outside the host's memory");
		p.entries = 0;
		p.occupied = 1;
		return p;
	}
	t->frames += (uint32_t)((entries * sizeof(uint64_t) + PAGE - 1) / PAGE);
	if (t->frames > TABLES)
		broken(t, gpa, "tables in a circle");
	return p;
}

/* Equal words that name nothing; where they end. */
static uint32_t read_invalid(struct tables *t, struct place *p, uint32_t i)
{
	const uint64_t word = p->words[i];
	uint32_t end = i + 1;

	while (end < p->entries && p->words[end] == word)
		end++;
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
	t->frames = 0;
	memset(t->leaves, 0, sizeof(t->leaves));
	t->digest = 1;
	t->broken = NULL;
	stack[level] = enter(t, walker.root, 0, (uint32_t)walker.root_entries);
	while (level <= walker.levels && t->frames <= TABLES) {
		struct place *p = &stack[level];
		const axas_gpa_t gpa = p->gpa + ((uint64_t)p->next << (12 + 9 * (level - 1)));
		uint64_t word;

		if (p->next == p->entries) {
			if (!p->occupied && level != walker.levels && !world_keeps_tables)
				broken(t, p->gpa, "an empty table");
			t->digest = mix(t->digest, level);
			level++;
			continue;
		}
		word = p->words[p->next];
		if (!(word & f->valid)) {
			p->next = read_invalid(t, p, p->next);
			continue;
		}
		p->occupied = 1;
		if (is_leaf(level, word)) {
			p->next = read_leaves(t, p->words, p->next, level, gpa);
			continue;
		}
		p->next++;
		t->digest = mix(t->digest, word & ~f->address);
		level--;
		stack[level] = enter(t, (word & f->address) << f->shift, gpa, 512);
	}
	if (t->broken == NULL)
		check_counts(t);
	if (t->broken == NULL && world_keeps_tables)
		kept_read(&t->kept, &walker);
}
