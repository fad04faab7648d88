/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One of the two archives, with a host and a space of its own, and what a call did to them. */
#ifndef DIFFERENTIAL_SIDE_H
#define DIFFERENTIAL_SIDE_H

#include <stddef.h>
#include <stdint.h>

#include "axaddrspace.h"

#define PAGE 4096ull
#define MIB  (1024ull * 1024)
#define GIB  (1024ull * MIB)

/* The functions that both archives have. */
/* clang-format off */
#define EACH_FUNCTION(X) \
	X(create) X(create_in) X(destroy) X(clear) X(set_vmid) X(base) X(size) X(levels) \
	X(root) X(contains_range) X(hw_regs) X(tables_needed) X(map_linear) X(map_extents) \
	X(map_alloc) X(map_trap) X(unmap) X(protect) X(populate) X(discard) \
	X(map_linear_some) X(map_alloc_some) X(unmap_some) X(protect_some) X(populate_some) \
	X(discard_some) X(handle_page_fault) X(trap_cookie) X(translate) X(query) \
	X(for_each) X(stats) X(audit) X(read) X(write) X(fill) X(for_each_chunk) X(read_u8) \
	X(read_u16) X(read_u32) X(read_u64) X(write_u8) X(write_u16) X(write_u32) \
	X(write_u64)
/* clang-format on */

struct engine {
	const char *name;
#define MEMBER(function) __typeof__(axas_##function) *function;
	EACH_FUNCTION(MEMBER)
#undef MEMBER
};

extern const struct engine old_engine, new_engine;

/* Where linear memory of the host lies, and whether the library can reach it is the host's kind. */
#define POOL_PA      0x1240000000ull
#define LINEAR_PA    (POOL_PA + 8 * GIB)
#define LINEAR_BYTES (6 * GIB)
#define POOL_BYTES   (8 * GIB + LINEAR_BYTES)
#define REGIONS      4u

enum host_kind { HOST_OFFSET, HOST_CALLBACK, HOST_WINDOWS };

struct region {
	uint32_t last_order; /* of the frames of one slot, and the slot's size */
	uint32_t slots, used, free_count;
	uint64_t offset;
	uint32_t *free_slots, *slot_out;
};

enum frame_event_kind { FRAME_TAKEN, FRAME_REFUSED, FRAME_BACK };

struct frame_event {
	uint8_t kind, order, purpose;
};

struct frame_events {
	struct frame_event *event;
	size_t count, room;
};

struct runs {
	axas_mapping_t *run;
	size_t count, room;
};

#define MOST_FLUSHES 64u

/* What the host was told within one call. */
struct seen {
	struct frame_events frames;
	struct runs released;
	axas_tlb_request_t flush[MOST_FLUSHES];
	uint32_t flushes;
	uint64_t cleaned[2]; /* bytes of tables, of guest frames */
	uint32_t polls;
	uint32_t blinded;
	uint64_t taken, back; /* 4 KiB units */
};

struct side {
	const struct engine *engine;
	axas_hal_t hal;
	axas_t *space;
	uint8_t *va;
	uint8_t *frame; /* a byte for each page of the pool */
	struct region region[REGIONS];
	uint64_t tables_out, guest_out; /* 4 KiB units */
	void *storage;
	axas_hpa_t *written; /* pages of linear memory */
	size_t written_count, written_room;

	/* of the script */
	int poison, linear_reachable, refuses_huge;
	uint32_t every; /* which allocation of a call fails; 0: none */
	uint32_t windows, most_windows;

	/* of the call */
	int may_write; /* into frames that it takes */
	uint32_t allocations, phase, fail_at, blind_at, translations, yield_at;
	struct seen seen;

	const char *violation;
	uint32_t drop; /* a defect that is played by the host: see differential.c */
	uint32_t dropped;
};

enum { DROP_NOTHING, DROP_FLUSH, DROP_RELEASED, DROP_TABLE };

void side_init(struct side *s, const struct engine *engine);
/* Every frame is free again and untouched. */
void side_reset(struct side *s);
void side_hal(struct side *s, enum host_kind kind, int has_released, int has_yield, int has_clean);
void side_begin(struct side *s, uint32_t phase, uint32_t fail_at, uint32_t blind_at,
		uint32_t yield_at);
/* The pages that a write changed are not zero when their frames come back. */
void side_touch(struct side *s, axas_hpa_t hpa);
void side_touch_host(struct side *s, const void *va);
int side_is_frame(const struct side *s, axas_hpa_t hpa);
void runs_add(struct runs *r, const axas_mapping_t *run);

#endif
