/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What holds for every call of every test, checked around the calls themselves: the linker sends
 * the library's functions through space.c (--wrap, see CMakeLists.txt).
 *
 *  - A call that fails, and a fault that resolves nothing, leaves every word of the tables and
 *    every count of the host's frames as it was.
 *  - No frame that hardware could reach goes back before a flush that reaches all CPUs, asked for
 *    in the same call and after the frame was unlinked.
 *  - A fault raises local requests only. No window is open when a call returns.
 */
#ifndef CTESTS_SPACE_H
#define CTESTS_SPACE_H

#include "host.h"
#include "walker.h"

/* For host.c: what is known of the library call that this thread is in. */
uint32_t space_call_number(void);
uint32_t space_call_flushes(void);
uint32_t space_window_limit(void);
void space_check_no_window(struct host *h, const char *where);
void space_note_flush(struct host *h, const axas_tlb_request_t *request);
/* Tables and pages that hardware may have cached, and tables that it can walk to. */
void space_visit_reachable(struct host *h, walk_table_fn reach, void *ctx);
void space_visit_tables(struct host *h, walk_table_fn visit, void *ctx);

/* The requests of this thread's last call that reach all CPUs cover this range. */
int space_flush_covered(axas_gpa_t gpa, uint64_t size);

/* A walker that stands where a CPU would stand that runs this space. */
struct walker space_walker(const axas_t *as);
/* What is checked around each call from now on is what covers a range; size 0: all of the space. */
void space_look_at(const axas_t *as, axas_gpa_t gpa, uint64_t size);
/* The walker's answer for one address; the test fails when the table is broken there. */
struct walk space_walk(const axas_t *as, axas_gpa_t gpa);
/* query, translate and the walker agree at this address. Returns what query said. */
axas_mapping_t space_agree(const axas_t *as, axas_gpa_t gpa);
/* The whole table is legal and as small as it has to be, and the statistics count what is there. */
struct sweep space_sweep(const axas_t *as);

/* Whether the engine has AXAS_REPLACE for all maps, and axas_collect: until the second one is there. */
int space_replaces(axas_t *as);
int space_collects(axas_t *as);

/* What a flag word means on this format: the attributes a leaf must have. */
enum walk_memory space_memory(uint32_t format, uint32_t features, axas_flags_t flags);
uint32_t space_access(axas_flags_t flags);
/* The host's tag in flags, and flags with a tag. */
#define tag_of(flags) (((flags)&AXAS_TAG_MASK) >> AXAS_TAG_SHIFT)
#define TAG(tag)      ((axas_flags_t)(tag) << AXAS_TAG_SHIFT)

#define ALL_MEMORY_TYPES                                                         \
	(AXAS_DEVICE | AXAS_UNCACHED | AXAS_WRITE_COMBINE | AXAS_WRITE_THROUGH | \
	 AXAS_DEVICE_NGNRNE | AXAS_DEVICE_NGRE | AXAS_DEVICE_GRE)

#endif
