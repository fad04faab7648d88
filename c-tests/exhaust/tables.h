/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What stands in the tables, read without the library: leaves in runs, counts, and a digest. */
#ifndef EXHAUST_TABLES_H
#define EXHAUST_TABLES_H

#include "kept.h"
#include "world.h"

#define MOST_LEAF_RUNS 1400u

/* Leaves side by side that differ in nothing but where they are. */
struct leaf_run {
	axas_gpa_t gpa;
	uint64_t size;
	axas_hpa_t hpa;
	uint64_t bits; /* of the entry, without the address */
	uint32_t level;
	uint32_t access; /* WALK_R, _W, _X */
	uint32_t memory;
	uint32_t tag;
	int is_dirty, is_young;
};

/* Pages side by side that no walker is to find. */
struct hidden_run {
	axas_gpa_t gpa;
	uint64_t size;
	axas_hpa_t hpa;
	uint32_t level;
};

struct tables {
	struct leaf_run run[MOST_LEAF_RUNS];
	uint32_t runs;
	struct hidden_run hidden[MOST_LEAF_RUNS];
	uint32_t hidden_runs;
	uint32_t frames;
	uint64_t used, walked; /* a bit for each frame of a table; those that walkers reach */
	uint64_t leaves[4]; /* by level, hidden pages among them */
	/* of all words, without the addresses of frames */
	uint64_t digest;
	struct kept kept; /* where they stay, which there are */
	const char *broken;
	axas_gpa_t broken_gpa;
};

void tables_read(struct tables *t);
/* But for the record of those that stay. */
void tables_copy(struct tables *to, const struct tables *from);
/* Walkers may hold what they reach in these when the next call begins. */
void tables_hold(const struct tables *t);
/* Apart from what a call may note that changes nothing: the same pages with the same bits. */
int tables_same_pages(const struct tables *a, const struct tables *b);

#endif
