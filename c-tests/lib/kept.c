/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "kept.h"

#include <stdlib.h>

#define MOST_LEVELS 5u

static uint64_t bytes_of(const struct kept_table *t)
{
	return 1ull << (12 + 9 * t->level);
}

static uint64_t last_of(const struct kept_table *t)
{
	return t->gpa + (bytes_of(t) - 1);
}

static uint64_t add(struct kept *k, uint64_t gpa, uint32_t level)
{
	if (k->count == k->room) {
		k->room = k->room == 0 ? 256 : 2 * k->room;
		k->table = realloc(k->table, k->room * sizeof(*k->table));
		if (k->table == NULL)
			abort();
	}
	k->table[k->count] = (struct kept_table){ .gpa = gpa, .level = level, .is_empty = 1 };
	return k->count++;
}

struct cursor {
	const uint64_t *words;
	uint64_t gpa, entries, next;
	uint64_t at; /* place of the table's record */
};

/* What stands in a table makes that and all above it be in use. */
static void note_use(struct kept *k, const struct cursor *stack, uint32_t level, uint32_t levels)
{
	for (; level < levels; level++)
		k->table[stack[level].at].is_empty = 0;
}

static int all_say(const uint64_t *words, uint64_t entries, uint64_t word)
{
	for (uint64_t i = 0; i < entries; i++)
		if (words[i] != word)
			return 0;
	return 1;
}

void kept_read(struct kept *k, const struct walker *w)
{
	struct cursor stack[MOST_LEVELS + 1];
	const uint64_t empty = walker_empty_entry(w);
	uint32_t level = w->levels;

	k->count = 0;
	stack[level] = (struct cursor){ .entries = w->root_entries };
	stack[level].words = w->at(w->ctx, w->root, w->root_entries * sizeof(uint64_t));
	while (level <= w->levels) {
		struct cursor *c = &stack[level];
		uint64_t gpa, entry, table;

		while (level > 1 && c->words != NULL && c->next < c->entries &&
		       c->words[c->next] == empty)
			c->next++;
		if (c->words == NULL || c->next == c->entries) {
			level++;
			continue;
		}
		if (level == 1) {
			if (!all_say(c->words, c->entries, empty))
				note_use(k, stack, level, w->levels);
			c->next = c->entries;
			continue;
		}
		gpa = c->gpa + (c->next << (12 + 9 * (level - 1)));
		entry = c->words[c->next++];
		if (!walker_is_table(w, level, entry, &table) &&
		    !walker_is_hidden_table(w, level, entry, &table)) {
			note_use(k, stack, level, w->levels);
			continue;
		}
		level--;
		stack[level] = (struct cursor){ .gpa = gpa, .entries = 512 };
		stack[level].words = w->at(w->ctx, table, 512 * sizeof(uint64_t));
		stack[level].at = add(k, gpa, level);
	}
}

void kept_free(struct kept *k)
{
	free(k->table);
	*k = (struct kept){ 0 };
}

/* Both are in the same order; `*i` only grows. */
static int is_there(const struct kept *k, const struct kept_table *t, uint64_t *i)
{
	while (*i < k->count && (k->table[*i].gpa < t->gpa ||
				 (k->table[*i].gpa == t->gpa && k->table[*i].level > t->level)))
		++*i;
	return *i < k->count && k->table[*i].gpa == t->gpa && k->table[*i].level == t->level;
}

static int is_within(const struct kept_table *t, uint64_t gpa, uint64_t size)
{
	return t->gpa >= gpa && last_of(t) <= gpa + (size - 1);
}

const char *kept_removed(const struct kept *before, const struct kept *now, uint64_t gpa,
			 uint64_t size)
{
	uint64_t i = 0, j = 0;

	for (uint64_t t = 0; t < before->count; t++)
		if (!is_within(&before->table[t], gpa, size) &&
		    !is_there(now, &before->table[t], &i))
			return "a table went that the range cuts";
	for (uint64_t t = 0; t < now->count; t++) {
		if (is_within(&now->table[t], gpa, size))
			return "a table stayed that the range does not cut";
		if (now->table[t].is_empty && !is_there(before, &now->table[t], &j))
			return "a table came and is empty";
	}
	return NULL;
}

const char *kept_changed(const struct kept *before, const struct kept *now, uint64_t gpa,
			 uint64_t size)
{
	uint64_t i = 0, j = 0;

	for (uint64_t t = 0; t < before->count; t++)
		if (!is_within(&before->table[t], gpa, size) &&
		    !is_there(now, &before->table[t], &i))
			return "a table went that does not lie in the range";
	for (uint64_t t = 0; t < now->count; t++)
		if (now->table[t].is_empty && !is_there(before, &now->table[t], &j))
			return "a table came and is empty";
	return NULL;
}

/* An empty one outside the range lies below it. */
static int holds_others(const struct kept *k, uint64_t at, uint64_t gpa, uint64_t size)
{
	const struct kept_table *t = &k->table[at];

	for (uint64_t i = at + 1; i < k->count && k->table[i].gpa <= last_of(t); i++)
		if (last_of(&k->table[i]) < gpa || k->table[i].gpa > gpa + (size - 1))
			return 1;
	return 0;
}

const char *kept_collected(const struct kept *before, const struct kept *now, uint64_t gpa,
			   uint64_t size)
{
	uint64_t i = 0, stayed = 0;

	for (uint64_t t = 0; t < before->count; t++) {
		const struct kept_table *table = &before->table[t];
		const int covers = last_of(table) >= gpa && table->gpa <= gpa + (size - 1);
		const int goes = table->is_empty && covers && !holds_others(before, t, gpa, size);
		const int is = is_there(now, table, &i);

		if (goes && is)
			return "an empty table of the range was not collected";
		if (!goes && !is)
			return "collect gave back a table that it must not";
		stayed += (uint64_t)is;
	}
	return stayed == now->count ? NULL : "collect made a table";
}
