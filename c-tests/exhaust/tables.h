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
};

struct tables {
	struct leaf_run run[MOST_LEAF_RUNS];
	uint32_t runs;
	uint32_t frames;
	uint64_t leaves[4]; /* by level */
	/* of all words, without the addresses of frames */
	uint64_t digest;
	struct kept kept; /* where they stay, which there are */
	const char *broken;
	axas_gpa_t broken_gpa;
};

void tables_read(struct tables *t);

#endif
