/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the space should be, as runs of pages: written from the text of the interface, without a thought
 * to tables. Holes are not runs.
 */
#ifndef EXHAUST_PAGES_H
#define EXHAUST_PAGES_H

#include "world.h"

#define MOST_RUNS 1400u
#define RWX       (AXAS_READ | AXAS_WRITE | AXAS_EXECUTE)
#define SIZES     (AXAS_HUGE_FRAMES | AXAS_MAX_2M | ANY_SIZE)
/* Of a page that was discarded: how large its frame may be is left to its past. */
#define ANY_SIZE  (1u << 31)

struct page_run {
	axas_gpa_t gpa;
	uint64_t size;
	uint64_t value; /* host address of gpa, or cookie */
	axas_flags_t flags;
	uint32_t state;
};

struct pages {
	uint32_t runs;
	struct page_run run[MOST_RUNS];
};

void pages_copy(struct pages *to, const struct pages *from);
void pages_set(struct pages *p, const struct page_run *r);
void pages_remove(struct pages *p, axas_gpa_t gpa, uint64_t size);
void pages_protect(struct pages *p, axas_gpa_t gpa, uint64_t size, axas_flags_t access);
void pages_retag(struct pages *p, axas_gpa_t gpa, uint64_t size, axas_flags_t tag);
void pages_discard(struct pages *p, axas_gpa_t gpa, uint64_t size);
/* Something stands in the range. */
int pages_overlap(const struct pages *p, axas_gpa_t gpa, uint64_t size);
/* No hole in the range. */
int pages_none_absent(const struct pages *p, axas_gpa_t gpa, uint64_t size);
/* Memory, mapped or reserved, in all of the range. */
int pages_all_memory(const struct pages *p, axas_gpa_t gpa, uint64_t size);
/* The run that covers gpa, or null. */
const struct page_run *pages_at(const struct pages *p, axas_gpa_t gpa);
uint64_t pages_count(const struct pages *p, uint32_t state);
/* Equal for equal spaces, wherever the frames are. */
uint64_t pages_digest(const struct pages *p);

#endif
