/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Calls in a world of two spaces: those of one of them, and transfers. */
#ifndef EXHAUST_DEALS_H
#define EXHAUST_DEALS_H

#include "parts.h"

/* Of one space, or from it to the other. */
struct deal {
	uint32_t side;
	int is_transfer, is_some;
	int is_alone; /* TAKE_BACK from a space that no longer exists */
	struct letter l; /* of a transfer: the range in the space that has the pages */
	axas_gpa_t to_gpa;
	axas_transfer_t t;
};

#define MOST_DEALS  1024u
#define DEAL_SCOPES 2u

extern axas_t *deal_space[2];

struct scope deal_scope(uint32_t i);
uint32_t deals_make(const struct scope *s, struct deal *deals);
struct outcome deal_run(const struct deal *d);
/*
 * No host does this: it would map memory that the other space has already. Pages are those before the call, of the
 * space of the call and of the other.
 */
int deal_is_doubtful(const struct deal *d, const struct pages *from, const struct pages *to);
/* Whether a transfer may end so. */
const char *deal_judge_status(const struct deal *d, const struct outcome *o,
			      const struct pages *from, const struct pages *to);
/* Does to both what a transfer says. */
void deal_apply(const struct deal *d, struct pages *from, struct pages *to, uint64_t done);
void deal_print(const struct deal *d);

#endif
