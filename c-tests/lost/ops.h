/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Every operation that changes a space as data, so that it can be drawn, repeated and cut up. */
#ifndef CTESTS_OPS_H
#define CTESTS_OPS_H

#include "tlb.h"

enum op_kind {
	OP_LINEAR,
	OP_EXTENTS,
	OP_LAZY,
	OP_POPULATED,
	OP_TRAP,
	OP_UNMAP,
	OP_PROTECT,
	OP_POPULATE,
	OP_DISCARD,
	OP_REPLACE,
	OP_REPLACE_LAZY,
	OP_REPLACE_POPULATED,
	OP_REPLACE_TRAP,
	OP_FAULT,
	OP_KINDS,
};

extern const char *const op_names[OP_KINDS];

struct op {
	enum op_kind kind;
	axas_gpa_t gpa;
	uint64_t size;
	uint64_t value; /* host address, or cookie */
	axas_flags_t flags; /* of a fault: the access */
};

/* A space under watch, and where its random operations come from. */
struct lost {
	struct fixture f;
	struct tlb tlb;
	uint64_t rng;
	axas_gpa_t window; /* random ranges lie in [window, window + window_bytes) */
	uint64_t window_bytes;
	struct op last[8];
	uint64_t seed; /* said when a test fails */
	struct op now;
	int finished;
};

int lost_setup(void **state);
int lost_teardown(void **state);
void lost_create(struct lost *l, uint32_t features);
void lost_destroy(struct lost *l);
void lost_seed(struct lost *l, uint64_t seed);
uint64_t lost_below(struct lost *l, uint64_t bound);

/* Some likely and some unlikely range, flags that the format has. May fail when it is run. */
struct op op_draw(struct lost *l, enum op_kind kind);
struct op op_draw_any(struct lost *l);

/* Runs it; then no CPU holds what is not so any more, and the host has seen no violation. */
axas_status_t op_run(struct lost *l, const struct op *op);
/* What devices do not allow (AXAS_IO). */
int op_is_refused(struct lost *l, const struct op *op);
/* Whether it can be done at all. */
int op_is_there(struct lost *l, enum op_kind kind);
int op_replaces(enum op_kind kind);
/* The same in one slice, for those that have one. */
int op_has_slices(enum op_kind kind);
axas_status_t op_run_some(struct lost *l, const struct op *op, uint64_t budget, uint64_t *done);
/* What is left of it after a slice. */
struct op op_rest(const struct op *op, uint64_t done);

/* A guest on this CPU accesses gpa until it can, or until the verdict says that it never will. */
axas_fault_result_t guest_access(struct lost *l, axas_gpa_t gpa, axas_flags_t access);

/* The runs of a range, as axas_for_each says. */
struct runs {
	axas_mapping_t *run;
	uint64_t count, room;
};

void runs_take(struct runs *r, const struct lost *l, axas_gpa_t gpa, uint64_t size);
/* b says of what follows a what a says, the level of the leaves aside. */
int run_continues(const axas_mapping_t *a, const axas_mapping_t *b);
void runs_append(struct runs *r, const axas_mapping_t *m);
/* Adds to the last one where it continues that. */
void runs_add(struct runs *r, const axas_mapping_t *m);
void runs_free(struct runs *r);
/* Fails unless both say the same of a range; owned frames may be others where `any_frame`. */
void runs_same(const struct runs *a, const struct runs *b, axas_gpa_t gpa, uint64_t size,
	       int any_frame);

/* Fails unless the tables are the same but for where tables and the library's frames are. */
void tables_same(const struct lost *l, const axas_t *a, const axas_t *b);
/* Entries that are not tables in a range, those that it cuts included. */
uint64_t entries_in(const struct lost *l, axas_gpa_t gpa, uint64_t size);

#define LOST_ONE(test, fmt)                                                       \
	{                                                                         \
#test " [" #fmt "]", test, lost_setup, lost_teardown, &fmt##_case \
	}
#define LOST_EACH_FORMAT(test) \
	LOST_ONE(test, ept), LOST_ONE(test, npt), LOST_ONE(test, arm), LOST_ONE(test, riscv)

#endif
