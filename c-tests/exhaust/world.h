/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A host so small that all there is of it, and of the space, can be put back with one copy: 64 frames
 * for tables, guest frames that are numbers only (AXAS_NO_ZERO: nobody looks into them), a handle.
 */
#ifndef EXHAUST_WORLD_H
#define EXHAUST_WORLD_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>

#include "axaddrspace.h"
#include "walker.h"

#define PAGE 4096ull
#define MIB  (1024ull * 1024)
#define GIB  (1024ull * MIB)

#define TABLES   64u
#define TABLE_PA 0x1240000000ull

/* Guest frames: single pages side by side, two of 2 MiB, two of 1 GiB; those lie apart. */
#define SMALL_FRAMES 1088u
#define LARGE_FRAMES 4u
#define GUEST_PA     0x2000000000ull
#define LARGE_PA     (GUEST_PA + GIB)
#define GUEST_END    (GUEST_PA + 16 * GIB)

/* Linear memory: congruent to the guest's address modulo 1 GiB, in two places. */
#define LINEAR_PA 0x4000000000ull
#define OTHER_PA  0x5000000000ull

/* With WORLD_IS_GUARDED the library runs under AddressSanitizer: it may touch tables that are out, and no others. */
struct frames {
	uint64_t tables; /* a bit for each that is out */
	uint64_t small[SMALL_FRAMES / 64];
	uint32_t large[LARGE_FRAMES]; /* 4 KiB units that are out */
	uint32_t guest_out;
};

/* Everything that a call can change. */
struct world {
	struct frames frames;
	_Alignas(AXAS_STORAGE_ALIGN) uint8_t storage[2][AXAS_STORAGE_SIZE];
	_Alignas(16384) uint8_t table[TABLES][PAGE];
};

#define MOST_EVENTS 256u

/* What the host answers in the next call. */
struct host_answer {
	uint32_t how, is_large, is_read_only, keeps;
};

struct evicted {
	axas_mapping_t run;
	uint32_t is_dirty;
};

/* What the host saw within one call. */
struct seen {
	uint32_t flushes, flushes_all;
	int tables_removed; /* a request to all CPUs said so */
	uint32_t released_count, evicted_count;
	uint32_t asked; /* for so many pages */
	uint32_t taken; /* guest frames, 4 KiB units */
	uint32_t allocations, refused, refused_large;
	const char *violation;
	/* as many of each as there are */
	axas_tlb_request_t flush[MOST_EVENTS];
	axas_mapping_t released[MOST_EVENTS];
	struct evicted evicted[MOST_EVENTS];
};

extern struct world world;
extern struct seen seen;
extern struct host_answer host_answer;

/*
 * Where there are two spaces, one of them is `space`, walked by `walker`, and what the host saw of it is in `seen`.
 * Its number tells requests apart: it is the VMID.
 */
extern uint32_t world_side;
extern struct seen seen_of_other;
void world_copy_seen(struct seen *to, const struct seen *from);
/* Of the other: what walkers may hold of it, and the frames that it has. */
extern uint64_t world_other_walked;
extern uint32_t world_other_tables, world_other_guests;
/* Called within each request to all CPUs, with the side that it is for; or null. */
extern void (*world_in_flush)(uint32_t side);
extern axas_t *space;
extern struct walker walker;
extern int world_keeps_tables;
extern uint32_t world_features;
/* What walkers may hold when a call begins: tables, a bit for each, and frames of the guest. */
extern uint64_t world_walked;
extern int (*world_holds)(axas_hpa_t hpa, uint64_t size);

void world_create(const axas_config_t *cfg, int has_released);
/* A space beside the other one, as `space`. Linear memory, a few pages from LINEAR_PA + gpa on, can be reached. */
void world_create_side(uint32_t side, const axas_config_t *cfg);
/* Forgets what was seen. The n-th allocation of the next call fails; 0: none. */
void world_begin(uint32_t fail_at);
/* As it is now: what the next restore brings back, and what frames must not go back before a flush. */
void world_save(void);
void world_restore(void);
/* The same frames are out as when they were saved; and the tables among these are as they were. */
int world_has_same_frames(void);
/* The same frames of the guest are, and as many tables. */
int world_has_as_many_frames(void);
int world_is_unchanged(uint64_t tables);
int world_has_same_tables(uint64_t tables);
/* A guest frame that is out; `pages` of them side by side. */
int world_is_out(axas_hpa_t hpa, uint64_t pages);
/* A frame of the guest that the host gives to the library, or has back. */
axas_hpa_t world_give(uint32_t order);
void world_has_back(axas_hpa_t hpa, uint32_t order);
int world_is_guest(axas_hpa_t hpa);
/* Frames that `space` has. */
uint32_t world_tables(void);
uint32_t world_guests(void);
/* What a frame of the guest has had in it from the start, unless another one was copied there. */
uint64_t world_stamp(axas_hpa_t hpa);
void world_put_stamp(axas_hpa_t hpa, uint64_t value);
/* A run that SIGTERM asks to end says how far it came. */
extern volatile sig_atomic_t world_is_asked_to_end;
void world_end_when_asked(void);

#endif
