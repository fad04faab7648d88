/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Which pages the guest writes, by axas_protect: a page without permission to write is clean, and the fault of
 * its next write makes it dirty and gives the permission back.
 */
#include <stddef.h>

#include "migrate.h"

#define RAM_CLEAN (AXAS_READ | AXAS_EXECUTE)

/* A page has its bit set or is closed to writes. The lock holds both together. */
static uint64_t dirty[BITMAP_WORDS];
static const axas_t *logged; /* the space whose refused writes are noted */
static uint32_t locked;

static void lock(void)
{
	while (__atomic_exchange_n(&locked, 1, __ATOMIC_ACQUIRE))
		__asm__ volatile("yield");
}

static void unlock(void)
{
	__atomic_store_n(&locked, 0, __ATOMIC_RELEASE);
}

static void set_bits(uint64_t first, uint64_t pages)
{
	for (uint64_t page = first; page < first + pages; page++)
		__atomic_fetch_or(&dirty[page / 64], UINT64_C(1) << page % 64, __ATOMIC_RELAXED);
}

static uint32_t mark_owned(void *ctx, const axas_mapping_t *run)
{
	(void)ctx;
	if (run->state == AXAS_STATE_OWNED)
		set_bits((run->gpa - RAM_GPA) / AXAS_PAGE_SIZE, run->size / AXAS_PAGE_SIZE);
	return 1;
}

void dirty_start(axas_t *space)
{
	lock();
	logged = space;
	must(axas_protect(space, RAM_GPA, RAM_SIZE, RAM_CLEAN), "axas_protect");
	must(axas_for_each(space, RAM_GPA, RAM_SIZE, mark_owned, NULL), "axas_for_each");
	unlock();
}

/* Closes the pages of these bits, by runs: each call is a TLB flush on all CPUs. */
static void close_pages(axas_t *space, uint64_t first, uint64_t bits)
{
	while (bits != 0) {
		uint64_t start = (uint64_t)__builtin_ctzll(bits);
		uint64_t rest = ~(bits >> start);
		uint64_t pages = rest == 0 ? 64 : (uint64_t)__builtin_ctzll(rest);

		must(axas_protect(space, RAM_GPA + (first + start) * AXAS_PAGE_SIZE,
				  pages * AXAS_PAGE_SIZE, RAM_CLEAN),
		     "axas_protect");
		if (start + pages >= 64)
			break;
		bits &= ~UINT64_C(0) << (start + pages);
	}
}

static uint64_t take_bits(size_t word)
{
	return __atomic_exchange_n(&dirty[word], 0, __ATOMIC_RELAXED);
}

void dirty_collect(axas_t *space, uint64_t *bitmap)
{
	for (size_t word = 0; word < BITMAP_WORDS; word++) {
		uint64_t bits;

		lock();
		bits = take_bits(word);
		close_pages(space, word * 64, bits);
		unlock();
		bitmap[word] |= bits;
	}
}

void dirty_freeze(axas_t *space, uint64_t *bitmap)
{
	lock();
	logged = NULL;
	must(axas_protect(space, RAM_GPA, RAM_SIZE, AXAS_READ), "axas_protect");
	for (size_t word = 0; word < BITMAP_WORDS; word++)
		bitmap[word] |= take_bits(word);
	unlock();
}

uint32_t dirty_note(axas_t *space, axas_gpa_t gpa)
{
	uint64_t page = (gpa - RAM_GPA) / AXAS_PAGE_SIZE;
	uint32_t noted;

	if (gpa < RAM_GPA || page >= RAM_PAGES)
		return 0;
	lock();
	noted = logged == space;
	if (noted) {
		set_bits(page, 1);
		must(axas_protect(space, RAM_GPA + page * AXAS_PAGE_SIZE, AXAS_PAGE_SIZE,
				  RAM_FLAGS),
		     "axas_protect");
	}
	unlock();
	return noted;
}
