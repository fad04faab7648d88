/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The frame pool: one byte per frame, first fit from where the last search ended, and a lock, for
 * both CPUs fault at once. A frame that comes back twice, or as what it was not, is a mistake.
 */
#include <stddef.h>

#include "freestanding.h"
#include "suite.h"

#define FRAME_COUNT 5120
#define ORDER_MAX   9

#define OWNER_NONE                  0
#define OWNER_FIRST(purpose, order) ((uint8_t)((purpose) << 4 | (order)))
#define OWNER_REST                  0xff

uint8_t linear_memory[LINEAR_SIZE] __attribute__((aligned(2 << 20)));
static uint8_t pool[FRAME_COUNT * AXAS_PAGE_SIZE] __attribute__((aligned(2 << 20)));
static uint8_t owner[FRAME_COUNT];
static uint64_t taken[AXAS_FRAME_ROOT + 1];
static uint64_t returned[AXAS_FRAME_ROOT + 1];
static uint32_t mistakes;
static size_t search_from;
static uint32_t lock_word;
uint32_t pool_refuses_tables;

static void lock(void)
{
	while (__atomic_exchange_n(&lock_word, 1, __ATOMIC_ACQUIRE))
		layer_relax();
}

static void unlock(void)
{
	__atomic_store_n(&lock_word, 0, __ATOMIC_RELEASE);
}

static uint32_t is_free(size_t first, size_t count)
{
	for (size_t i = first; i < first + count; i++) {
		if (owner[i] != OWNER_NONE)
			return 0;
	}
	return 1;
}

static size_t find_free(size_t count)
{
	size_t first = (search_from + count - 1) / count * count;

	for (size_t tried = 0; tried < FRAME_COUNT; tried += count, first += count) {
		if (first + count > FRAME_COUNT)
			first = 0;
		if (is_free(first, count))
			return first;
	}
	return FRAME_COUNT;
}

/* Nothing is zero by luck; one word per line is enough to notice. */
static void spoil(size_t first, size_t count)
{
	for (size_t at = first * PAGE; at < (first + count) * PAGE; at += 64)
		*(volatile uint64_t *)(void *)&pool[at] = POOL_GARBAGE;
}

static axas_hpa_t alloc_frame(void *ctx, uint32_t order, uint32_t purpose)
{
	size_t count = (size_t)1 << order;
	size_t first;

	(void)ctx;
	if (order > ORDER_MAX || (pool_refuses_tables && purpose == AXAS_FRAME_TABLE))
		return AXAS_HPA_INVALID;
	lock();
	first = find_free(count);
	if (first != FRAME_COUNT) {
		memset(&owner[first], OWNER_REST, count);
		owner[first] = OWNER_FIRST(purpose, order);
		taken[purpose] += count;
		search_from = first + count;
		spoil(first, count);
	}
	unlock();
	return first == FRAME_COUNT ? AXAS_HPA_INVALID : (axas_hpa_t)(uintptr_t)&pool[first * PAGE];
}

/* Guest memory may come back in other pieces than it was taken in, each frame once. */
static uint32_t may_return(size_t first, size_t count, uint32_t order, uint32_t purpose)
{
	if (purpose != AXAS_FRAME_GUEST)
		return owner[first] == OWNER_FIRST(purpose, order);
	for (size_t i = first; i < first + count; i++) {
		if (owner[i] == OWNER_NONE)
			return 0;
	}
	return 1;
}

static void dealloc_frame(void *ctx, axas_hpa_t frame, uint32_t order, uint32_t purpose)
{
	size_t count = (size_t)1 << order;
	size_t first = (size_t)(frame - (uintptr_t)pool) / PAGE;

	(void)ctx;
	lock();
	if (frame < (uintptr_t)pool || frame % (PAGE << order) != 0 || order > ORDER_MAX ||
	    first + count > FRAME_COUNT || !may_return(first, count, order, purpose)) {
		mistakes++;
	} else {
		spoil(first, count);
		memset(&owner[first], OWNER_NONE, count);
		returned[purpose] += count;
	}
	unlock();
}

void pool_supply(axas_hal_t *hal)
{
	/* All machines run on an identity map. */
	hal->flags |= AXAS_HAL_DIRECT_MAP | AXAS_HAL_DIRECT_MAP_LINEAR;
	hal->direct_map_offset = 0;
	hal->alloc_frame = alloc_frame;
	hal->dealloc_frame = dealloc_frame;
}

uint64_t pool_frames_out(uint32_t purpose)
{
	return taken[purpose] - returned[purpose];
}

uint64_t pool_taken(uint32_t purpose)
{
	return taken[purpose];
}

uint32_t pool_mistakes(void)
{
	return mistakes;
}
