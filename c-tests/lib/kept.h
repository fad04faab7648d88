/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Which tables there are, before a call and after it: what AXAS_KEEP_TABLES promises of those that were
 * there. It knows the rules and nothing of how the library counts.
 */
#ifndef CTESTS_KEPT_H
#define CTESTS_KEPT_H

#include "walker.h"

struct kept_table {
	uint64_t gpa; /* first address that it can map */
	uint32_t level;
	int is_empty; /* nothing in it but tables that are empty */
};

struct kept {
	struct kept_table
		*table; /* in the order of a walk, from the root down; the root is not among them */
	uint64_t count, room;
};

void kept_read(struct kept *k, const struct walker *w);
void kept_free(struct kept *k);

/* A call took everything in a range away, or put something over all of it: null, or what is wrong. */
const char *kept_removed(const struct kept *before, const struct kept *now, uint64_t gpa,
			 uint64_t size);
/* A call changed a range: only tables that lie in it whole may be gone. */
const char *kept_changed(const struct kept *before, const struct kept *now, uint64_t gpa,
			 uint64_t size);
/* axas_collect: exactly those are gone that are empty and cover a part of the range. */
const char *kept_collected(const struct kept *before, const struct kept *now, uint64_t gpa,
			   uint64_t size);

#endif
