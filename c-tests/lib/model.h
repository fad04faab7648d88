/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a space should be, one record for each 4 KiB page and no cleverness: the judge of random
 * sequences. It knows the rules of the interface and nothing of tables.
 */
#ifndef CTESTS_MODEL_H
#define CTESTS_MODEL_H

#include "fixture.h"

struct model_page {
	uint64_t value; /* host address, cookie, or number of a provider */
	axas_flags_t flags; /* permissions, memory type, tag; of what is to come its sizes too */
	uint32_t state;
	enum { MODEL_SHOWN, MODEL_HIDDEN, MODEL_HIDDEN_AUTO } hidden;
	int is_used; /* and not made old since */
};

/* Flags of a page that was discarded: how large its frame may be is left to its history. */
#define MODEL_ANY_SIZE (1u << 31)

struct model {
	axas_gpa_t base;
	uint64_t pages;
	struct model_page *page;
};

struct model_change {
	axas_gpa_t gpa;
	uint64_t size;
	uint32_t state;
	axas_flags_t flags;
	uint64_t value; /* linear: host address of gpa; trap: cookie */
};

void model_init(struct model *m, axas_gpa_t base, uint64_t size);
void model_exit(struct model *m);
struct model_page *model_at(const struct model *m, axas_gpa_t gpa);

int model_all_absent(const struct model *m, axas_gpa_t gpa, uint64_t size);
int model_all_memory(const struct model *m, axas_gpa_t gpa, uint64_t size);
void model_set(struct model *m, const struct model_change *c);
void model_protect(struct model *m, axas_gpa_t gpa, uint64_t size, axas_flags_t flags);
int model_none_absent(const struct model *m, axas_gpa_t gpa, uint64_t size);
void model_retag(struct model *m, axas_gpa_t gpa, uint64_t size, uint32_t tag);
axas_fault_result_t model_verdict(const struct model *m, axas_gpa_t gpa, axas_flags_t access);
/* Pages are hidden, or shown. */
void model_hide(struct model *m, axas_gpa_t gpa, uint64_t size, int is_auto);
void model_show(struct model *m, axas_gpa_t gpa, uint64_t size);
/* A fault has shown the page at gpa: all of its entry is shown. */
void model_shown(struct model *m, const struct fixture *f, axas_gpa_t gpa);
/* A provider has brought the page at gpa, owned or not: all of its leaf. */
void model_provided(struct model *m, const struct fixture *f, axas_gpa_t gpa, int is_owned);
/* Pages that nothing holds become a provider's. */
void model_evict(struct model *m, axas_gpa_t gpa, uint64_t size, uint32_t provider);
/* Owned pages become reservations again. */
void model_discard(struct model *m, axas_gpa_t gpa, uint64_t size);
uint64_t model_count(const struct model *m, uint32_t state);

/*
 * A frame has come to gpa: the pages of its leaf change from reserved to owned. The model learns
 * the address from the walker; from then on it must stay.
 */
void model_learn(struct model *m, const struct fixture *f, axas_gpa_t gpa);

/* The space says of this address what the model says. Returns the entry. */
axas_mapping_t model_check(const struct model *m, const struct fixture *f, axas_gpa_t gpa);
/* Every page of the space. */
void model_check_all(const struct model *m, const struct fixture *f);

#endif
