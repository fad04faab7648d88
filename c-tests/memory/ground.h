/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A guest's memory of every kind side by side, and what should be in it byte by byte. The frames
 * and the linear pieces are out of order in the host's memory, with red zones around each.
 */
#ifndef CTESTS_MEMORY_GROUND_H
#define CTESTS_MEMORY_GROUND_H

#include "fixture.h"

#define LINEAR_IN_POOL (HOST_PA_BASE + HOST_LINEAR)

/* The areas, each next to the one before it. */
#define AREA_LAZY      (4 * GIB + 2 * MIB - 16 * PAGE)
#define AREA_EXTENTS   (AREA_LAZY + 5 * PAGE)
#define AREA_POPULATED (AREA_EXTENTS + 7 * PAGE)
#define AREA_HUGE      (AREA_POPULATED + 4 * PAGE)
#define AREA_LAZY_HUGE (AREA_HUGE + 2 * MIB)
#define AREA_LAST      (AREA_LAZY_HUGE + 2 * MIB)
#define GROUND         AREA_LAZY
#define GROUND_END     (AREA_LAST + 3 * PAGE)
#define GROUND_BYTES   (GROUND_END - GROUND)

struct cleaned {
	const uint8_t *va;
	size_t bytes;
};

#define MOST_CLEANED 1024u

struct ground {
	struct fixture *f;
	uint8_t *model; /* GROUND_BYTES */
	uint8_t *buf; /* GROUND_BYTES and a page, for tests */
};

/* Requests of the local class that came since ground_host. */
extern _Atomic uint32_t local_flushes;
/* What clean_range was asked to clean of guest memory since the count was last set to 0. */
extern struct cleaned cleaned[MOST_CLEANED];
extern _Atomic uint32_t cleaned_count; /* may be more than fit */

extern const enum host_map_kind every_kind[3];
#define EVERY_KIND(kind) \
	(const enum host_map_kind *kind = every_kind; kind != every_kind + 3; kind++)

/* A fresh host of this kind that reaches linear memory too. */
void ground_host(struct fixture *f, enum host_map_kind kind);
void ground_create(struct fixture *f);
/* Both, and the areas. */
struct ground ground_open(struct fixture *f, enum host_map_kind kind);
void ground_close(struct ground *g);

/* The model's byte at gpa. */
uint8_t *ground_model(const struct ground *g, axas_gpa_t gpa);
/* The guest sees what the model says in these bytes; pages without a frame count as zeros. */
void ground_compare(const struct ground *g, axas_gpa_t gpa, uint64_t bytes);
/* All of it, and nothing around it has changed. */
void ground_check(const struct ground *g);

/* Through the library and on the model; all of it must succeed. */
void ground_write(struct ground *g, axas_gpa_t gpa, size_t bytes, uint8_t seed, uint32_t access);
void ground_fill(struct ground *g, axas_gpa_t gpa, uint64_t bytes, uint8_t byte, uint32_t access);
/* Reads and compares with the model. */
void ground_read(struct ground *g, axas_gpa_t gpa, size_t bytes, uint32_t access);

/* Bytes that repeat neither by page nor by 64 KiB. */
void pattern(uint8_t *to, uint64_t bytes, uint8_t seed);

#endif
