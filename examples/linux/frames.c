/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The frames of ../hypervisor/frames.h from an arena of the library, over memory behind the hypervisor's
 * image: a Linux takes in more than that allocator is made for, and on two CPUs.
 */
#include "frames.h"

#include "freestanding.h"
#include "linux.h"

#define POOL_HPA  0x50000000
#define POOL_SIZE 0x30000000 /* to the end of the RAM that boot.py gives the machine */
#define GARBAGE   0xa5

static axas_arena_t arena;
static axas_hal_t arena_hal = { .struct_size = sizeof(arena_hal) };
static struct frame_books books[AXAS_FRAME_GUEST + 1];
static uint64_t out[VMID_MAX + 1]; /* frames of the space with this VMID that did not come back */

/* A root is a table. */
static struct frame_books *book_of(uint32_t purpose)
{
	return &books[purpose == AXAS_FRAME_GUEST ? AXAS_FRAME_GUEST : AXAS_FRAME_TABLE];
}

/* ctx is the element of out[] of the space. */
static axas_hpa_t alloc_frame(void *ctx, uint32_t order, uint32_t purpose)
{
	axas_hpa_t frame = arena_hal.alloc_frame(arena_hal.ctx, order, purpose);

	if (frame == AXAS_HPA_INVALID)
		return frame;
	__atomic_fetch_add(&book_of(purpose)->taken, UINT64_C(1) << order, __ATOMIC_RELAXED);
	__atomic_fetch_add((uint64_t *)ctx, UINT64_C(1) << order, __ATOMIC_RELAXED);
	return frame;
}

static void dealloc_frame(void *ctx, axas_hpa_t frame, uint32_t order, uint32_t purpose)
{
	/* A CPU that still walks a table which went back is to be noticed. */
	if (purpose != AXAS_FRAME_GUEST)
		memset((void *)frame, GARBAGE, (size_t)AXAS_PAGE_SIZE << order);
	arena_hal.dealloc_frame(arena_hal.ctx, frame, order, purpose);
	__atomic_fetch_add(&book_of(purpose)->returned, UINT64_C(1) << order, __ATOMIC_RELAXED);
	__atomic_fetch_sub((uint64_t *)ctx, UINT64_C(1) << order, __ATOMIC_RELAXED);
}

void frames_init(void)
{
	if (axas_arena_init(&arena) != AXAS_OK ||
	    axas_arena_add(&arena, (void *)POOL_HPA, POOL_HPA, POOL_SIZE) != AXAS_OK ||
	    axas_arena_hal(&arena, &arena_hal) != AXAS_OK)
		give_up("no memory for frames");
}

void frames_supply_vmid(axas_hal_t *hal, uint32_t vmid)
{
	/* EL2 runs on an identity map. */
	hal->flags |= AXAS_HAL_DIRECT_MAP;
	hal->ctx = &out[vmid];
	hal->alloc_frame = alloc_frame;
	hal->dealloc_frame = dealloc_frame;
}

uint64_t frames_out(uint32_t vmid)
{
	return __atomic_load_n(&out[vmid], __ATOMIC_RELAXED);
}

const struct frame_books *frames_books(uint32_t purpose)
{
	return book_of(purpose);
}
