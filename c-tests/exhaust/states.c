/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "states.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void states_init(struct states *s)
{
	s->node = malloc(MOST_STATES * sizeof(*s->node));
	s->hash = malloc(2 * MOST_STATES * sizeof(*s->hash));
	if (s->node == NULL || s->hash == NULL) {
		perror("states");
		exit(2);
	}
	states_clear(s);
}

void states_clear(struct states *s)
{
	s->nodes = 0;
	memset(s->hash, 0, 2 * MOST_STATES * sizeof(*s->hash));
}

static uint32_t *slot_of(const struct states *s, uint64_t tables)
{
	uint64_t at = tables % (2 * MOST_STATES);

	while (s->hash[at] != 0 && s->node[s->hash[at] - 1].tables != tables)
		at = (at + 1) % (2 * MOST_STATES);
	return &s->hash[at];
}

const struct node *states_find(const struct states *s, uint64_t tables)
{
	const uint32_t *slot = slot_of(s, tables);

	return *slot == 0 ? NULL : &s->node[*slot - 1];
}

int states_have_room(const struct states *s, uint32_t parent)
{
	return s->nodes < MOST_STATES && s->node[parent].depth + 1u < MOST_DEPTH;
}

void states_add(struct states *s, const struct node *n)
{
	struct node *new = &s->node[s->nodes];

	*new = *n;
	new->depth = (uint8_t)(s->nodes == 0 ? 0 : s->node[n->parent].depth + 1);
	*slot_of(s, n->tables) = ++s->nodes;
}

void states_path(const struct states *s, uint32_t node, uint32_t *path, uint32_t *length)
{
	*length = s->node[node].depth;
	for (uint32_t i = *length; i > 0; i--) {
		path[i - 1] = node;
		node = s->node[node].parent;
	}
}
