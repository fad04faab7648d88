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
#define SIZES     (AXAS_HUGE_FRAMES | AXAS_MAX_2M | AXAS_NO_HUGE | ANY_SIZE)
/* Of a page that was discarded: how large its frame may be is left to its past. */
#define ANY_SIZE  (1u << 31)

enum hidden { SHOWN, HELD, AUTO };

struct page_run {
	axas_gpa_t gpa;
	uint64_t size;
	uint64_t value; /* host address of gpa, cookie, value of a note, number of a provider */
	axas_flags_t flags;
	uint32_t state; /* of a hidden page, what it is */
	uint8_t hidden;
	uint8_t is_clean; /* of what is logged: it is not reported */
	uint8_t is_old;
	uint8_t is_shared; /* with another space: both may write; not part of a state */
};

/* What a space remembers beside its tables. */
struct settings {
	uint32_t log; /* enum walk_log */
	uint32_t ages;
	uint32_t stock;
	axas_gpa_t log_stopped,
		ages_stopped; /* from the start to here all was made dirty, or young, since */
};

struct pages {
	struct settings set;
	uint32_t runs;
	struct page_run run[MOST_RUNS];
};

void pages_clear(struct pages *p);
void pages_copy(struct pages *to, const struct pages *from);
void pages_set(struct pages *p, const struct page_run *r);
void pages_remove(struct pages *p, axas_gpa_t gpa, uint64_t size);
/* Calls a function with each run of a range; runs are cut at its ends. */
typedef void (*pages_fn)(struct page_run *r, uint64_t value);
void pages_change(struct pages *p, axas_gpa_t gpa, uint64_t size, pages_fn fn, uint64_t value);
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
/* The run that covers gpa or the next one, or null. */
const struct page_run *pages_from(const struct pages *p, axas_gpa_t gpa);
uint64_t pages_count(const struct pages *p, uint32_t state);
uint64_t settings_digest(const struct settings *set);
int pages_is_mapped(const struct page_run *r);
/* Equal for equal spaces, wherever the frames are. */
uint64_t pages_digest(const struct pages *p);

#endif
