/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A frame allocator of the plainest kind: one byte per frame says who has it.
 *
 * First fit is slow and good enough here. The byte also holds what the frame was taken as, so that
 * a frame that comes back twice, or as something else, is noticed and not believed.
 */
#include "frames.h"

#include <stddef.h>

#include "freestanding.h"

#define FRAME_COUNT 1024
#define GARBAGE     0xa5

#define OWNER_NONE                  0
/* The first frame of a piece: purpose and order. The others of the piece: OWNER_REST. */
#define OWNER_FIRST(purpose, order) ((uint8_t)((purpose) << 4 | (order)))
#define OWNER_REST                  0xff

/* Concatenated and x4 roots are the largest pieces that this space asks for. */
#define ORDER_MAX 4

static uint8_t pool[FRAME_COUNT][AXAS_PAGE_SIZE] __attribute__((aligned(4096 << ORDER_MAX)));
static uint8_t owner[FRAME_COUNT];
static struct frame_books books[AXAS_FRAME_GUEST + 1];
static uint32_t mistakes;

/* A root is a table. */
static struct frame_books *book_of(uint32_t purpose)
{
	return &books[purpose == AXAS_FRAME_GUEST ? AXAS_FRAME_GUEST : AXAS_FRAME_TABLE];
}

static uint32_t is_free(size_t first, size_t count)
{
	for (size_t i = first; i < first + count; i++) {
		if (owner[i] != OWNER_NONE)
			return 0;
	}
	return 1;
}

static axas_hpa_t alloc_frame(void *ctx, uint32_t order, uint32_t purpose)
{
	(void)ctx;
	if (order > ORDER_MAX)
		return AXAS_HPA_INVALID;

	size_t count = (size_t)1 << order;

	for (size_t first = 0; first < FRAME_COUNT; first += count) {
		if (!is_free(first, count))
			continue;
		memset(&owner[first], OWNER_REST, count);
		owner[first] = OWNER_FIRST(purpose, order);
		book_of(purpose)->taken += count;
		return (axas_hpa_t)(uintptr_t)pool[first];
	}
	return AXAS_HPA_INVALID;
}

static void dealloc_frame(void *ctx, axas_hpa_t frame, uint32_t order, uint32_t purpose)
{
	(void)ctx;

	size_t count = (size_t)1 << order;
	size_t first = (size_t)(frame - (uintptr_t)pool) / AXAS_PAGE_SIZE;

	if (first >= FRAME_COUNT || frame % AXAS_PAGE_SIZE != 0 ||
	    owner[first] != OWNER_FIRST(purpose, order)) {
		mistakes++;
		return;
	}
	memset(pool[first], GARBAGE, count * AXAS_PAGE_SIZE);
	memset(&owner[first], OWNER_NONE, count);
	book_of(purpose)->returned += count;
}

void frames_init(void)
{
	memset(pool, GARBAGE, sizeof(pool));
}

void frames_supply(axas_hal_t *hal)
{
	/* The hypervisor runs on an identity map, so a frame's address is its pointer. */
	hal->flags |= AXAS_HAL_DIRECT_MAP;
	hal->direct_map_offset = 0;
	hal->alloc_frame = alloc_frame;
	hal->dealloc_frame = dealloc_frame;
}

const struct frame_books *frames_books(uint32_t purpose)
{
	return book_of(purpose);
}

uint32_t frames_mistakes(void)
{
	return mistakes;
}
