/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "counts.h"

#include <stddef.h>

#include "words.h"

#define MOST_LEVELS 5u

struct place {
	uint32_t shift, bits;
};

static struct place place_of(enum walk_format format)
{
	static const struct place places[] = {
		[WALK_EPT] = { 52, 5 },
		[WALK_NPT] = { 52, 7 },
		[WALK_ARM] = { 51, 8 },
		[WALK_RISCV] = { 8, 2 },
	};

	return places[format];
}

static uint64_t all_ones(enum walk_format format)
{
	return (1ull << place_of(format).bits) - 1;
}

uint64_t count_mask(enum walk_format format)
{
	return all_ones(format) << place_of(format).shift;
}

uint64_t count_most(enum walk_format format)
{
	return all_ones(format) - 2;
}

uint64_t count_number(enum walk_format format, uint64_t entry)
{
	return (entry & count_mask(format)) >> place_of(format).shift;
}

enum count count_kind(enum walk_format format, uint64_t entry)
{
	const uint64_t value = count_number(format, entry);

	if (value == 0)
		return COUNT_UNKNOWN;
	if (value == all_ones(format))
		return COUNT_RUN;
	return value == all_ones(format) - 1 ? COUNT_EMPTY : COUNT_EXACT;
}

uint64_t count_with(enum walk_format format, uint64_t entry, enum count kind, uint64_t number)
{
	uint64_t value = 0;

	if (kind == COUNT_EXACT)
		value = number;
	else if (kind == COUNT_EMPTY)
		value = all_ones(format) - 1;
	else if (kind == COUNT_RUN)
		value = all_ones(format);
	return (entry & ~count_mask(format)) | value << place_of(format).shift;
}

/* An entry that is not the empty one. */
static int is_occupied(const struct walker *w, uint32_t level, uint64_t entry)
{
	uint64_t table;

	return level == 1 || !walker_is_table(w, level, entry, &table) ||
	       count_kind(w->format, entry) != COUNT_EMPTY;
}

struct occupied count_occupied(const struct walker *w, uint32_t level, const uint64_t *words,
			       uint64_t entries)
{
	const uint64_t empty = walker_empty_entry(w);
	struct occupied o = { 0, 0 };
	uint64_t runs = 0;
	int last = 0;

	for (uint64_t i = 0, end; i < entries; i = end) {
		const int is = words[i] != empty && is_occupied(w, level, words[i]);

		end = words_alike(words, i, entries);
		o.number += is ? end - i : 0;
		runs += is && !last;
		last = is;
	}
	o.is_run = runs == 1;
	return o;
}

/* What an entry of a table of `level` says of the table below it. */
static const char *check_entry(const struct walker *w, uint32_t level, uint64_t entry,
			       const uint64_t *below, int keeps_tables, uint64_t *occupied)
{
	const enum count kind = count_kind(w->format, entry);
	struct occupied o;

	if (kind == COUNT_UNKNOWN)
		return NULL;
	o = count_occupied(w, level - 1, below, 512);
	*occupied = o.number;
	if (kind == COUNT_EMPTY && !keeps_tables)
		return "a table is called empty, and the space keeps none";
	if (kind == COUNT_EMPTY)
		return o.number == 0 ? NULL : "a table is called empty and is not";
	if (kind == COUNT_RUN)
		return o.is_run ? NULL : "what is in a table does not stand side by side";
	if (count_number(w->format, entry) < o.number)
		return "more is in a table than it is said to have";
	return count_number(w->format, entry) == o.number ?
		       NULL :
		       "less is in a table than it is said to have";
}

/* An entry of a hidden table, whose count is in the bits of what such an entry carries, as one of a table. */
static uint64_t as_shown(enum walk_format format, uint64_t entry)
{
	uint64_t value = entry >> 4;

	if (format == WALK_EPT)
		value = (entry >> 6 & 15) | (entry >> 11 & 1) << 4;
	return (value & all_ones(format)) << place_of(format).shift;
}

struct cursor {
	const uint64_t *words;
	uint64_t gpa, next, end;
};

static struct cursor enter(const struct walker *w, uint32_t level, uint64_t gpa,
			   const uint64_t *words, uint64_t entries)
{
	struct cursor c = { .words = words, .gpa = gpa };

	walker_seen(w, level, gpa, entries, &c.next, &c.end);
	return c;
}

struct wrong_count counts_check(const struct walker *w, int keeps_tables)
{
	const uint64_t empty = walker_empty_entry(w);
	struct cursor stack[MOST_LEVELS + 1];
	struct wrong_count wrong = { .why = NULL };
	uint32_t level = w->levels;

	stack[level] =
		enter(w, level, 0, w->at(w->ctx, w->root, w->root_entries * sizeof(uint64_t)),
		      w->root_entries);
	while (level <= w->levels) {
		struct cursor *c = &stack[level];
		const uint64_t *below;
		uint64_t gpa, entry, table;

		if (level > 1 && c->words != NULL && c->next < c->end && c->words[c->next] == empty)
			c->next = words_alike(c->words, c->next, c->end);
		/* nothing points to a table from the last level */
		if (level == 1 || c->words == NULL || c->next == c->end) {
			level++;
			continue;
		}
		gpa = c->gpa + (c->next << (12 + 9 * (level - 1)));
		entry = c->words[c->next++];
		if (walker_is_hidden_table(w, level, entry, &table))
			entry = as_shown(w->format, entry);
		else if (!walker_is_table(w, level, entry, &table))
			continue;
		below = w->at(w->ctx, table, 512 * sizeof(uint64_t));
		if (below != NULL)
			wrong.why =
				check_entry(w, level, entry, below, keeps_tables, &wrong.occupied);
		if (wrong.why != NULL) {
			wrong.gpa = gpa;
			wrong.entry = entry;
			wrong.level = level;
			return wrong;
		}
		level--;
		stack[level] = enter(w, level, gpa, below, 512);
	}
	return wrong;
}
