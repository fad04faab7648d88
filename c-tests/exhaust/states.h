/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The states that were found, each by the calls that led to it. */
#ifndef EXHAUST_STATES_H
#define EXHAUST_STATES_H

#include <stdint.h>

#define MOST_STATES (1u << 20)
#define MOST_DEPTH  64u

struct node {
	uint32_t parent;
	uint16_t letter;
	uint8_t fail, depth;
	uint64_t tables, pages; /* digests */
};

struct states {
	struct node *node;
	uint32_t nodes;
	uint32_t *hash; /* node + 1, or 0 */
};

void states_init(struct states *s);
void states_clear(struct states *s);
/* The state with these tables, or null. */
const struct node *states_find(const struct states *s, uint64_t tables);
/* Whether there is room for one more behind this one. */
int states_have_room(const struct states *s, uint32_t parent);
void states_add(struct states *s, const struct node *n);
/* The nodes on the way from the first one. */
void states_path(const struct states *s, uint32_t node, uint32_t *path, uint32_t *length);

#endif
