/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What an entry that points to a table says of it, in bits that are software's and that no walker
 * reads: how many entries of the table are occupied. A wrong count makes the library free a table
 * that is in use, so that it is checked after every call.
 *
 *   EPT 56:52, NPT 58:52, AArch64 58:51, RISC-V 9:8. With MOST all ones: 0 is not known, 1 to MOST - 2 so
 *   many, MOST - 1 none (with AXAS_KEEP_TABLES only), MOST all that are occupied stand side by side.
 *
 * An entry is occupied unless it is the empty one, or points to a table that its count calls empty.
 */
#ifndef CTESTS_COUNTS_H
#define CTESTS_COUNTS_H

#include "walker.h"

enum count { COUNT_UNKNOWN, COUNT_EXACT, COUNT_EMPTY, COUNT_RUN };

/* The largest number that a count can be exact about. */
uint64_t count_most(enum walk_format format);
enum count count_kind(enum walk_format format, uint64_t entry);
/* The number of an exact one. */
uint64_t count_number(enum walk_format format, uint64_t entry);
/* The entry with another count; `number` is for COUNT_EXACT. */
uint64_t count_with(enum walk_format format, uint64_t entry, enum count kind, uint64_t number);
/* The bits of an entry that are the count. */
uint64_t count_mask(enum walk_format format);

struct occupied {
	uint64_t number;
	int is_run; /* side by side, and there is at least one */
};

/* What stands in a table of `level`. */
struct occupied count_occupied(const struct walker *w, uint32_t level, const uint64_t *words,
			       uint64_t entries);

struct wrong_count {
	const char *why; /* null: none */
	uint64_t gpa, entry;
	uint32_t level; /* of the table that the entry stands in */
	uint64_t occupied;
};

/* The first count of all tables that is not so. */
struct wrong_count counts_check(const struct walker *w, int keeps_tables);

#endif
