/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Calls of the parts: what they are called with, and what they do to the pages. */
#ifndef EXHAUST_PARTS_H
#define EXHAUST_PARTS_H

#include "letters.h"

#define MOST_WORDS 32u

/* What a call reported of pages. */
struct report {
	uint64_t bits[MOST_WORDS];
	uint64_t count;
};

extern struct report reported;

int parts_are_there(uint32_t parts);
uint32_t parts_make(const struct scope *s, struct letter *letters);
/* Before each call. */
void parts_begin(const struct letter *l);
int64_t parts_run(const struct letter *l);
axas_status_t parts_run_some(const struct letter *l, uint64_t *done);
int64_t parts_expected(const struct letter *l, const struct pages *p);
/* A fault makes the page dirty or young, and does nothing else. */
int parts_marks(const struct pages *p, const struct page_run *r, axas_flags_t access);
/* Of a fault in a region of a provider, by what the host answers. */
int64_t parts_verdict(const struct letter *l);
/* The status of a populate, by the same. */
int64_t parts_populates(const struct letter *l, const struct pages *p);
/* Where the host has its own page for an address, whoever brings it. */
axas_hpa_t parts_own_page(axas_gpa_t gpa);
void parts_apply(const struct letter *l, struct pages *p, uint64_t done);
/* The bitmap of a letter has the bit of the page `offset` from its address. */
int parts_asks_for(const struct letter *l, uint64_t offset);

#endif
