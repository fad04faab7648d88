/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A host whose callbacks lie: no frame, a frame that is unusable, out already or out of reach, another frame's memory
 * for the one asked for, and words written to the frames of tables at any time. Every call has to end after a
 * bounded number of callbacks, with a status of the header, with all windows closed, and without touching memory of the host's that
 * is not out. With a host that has not lied BAD_STATE is wrong, and all frames come back.
 *
 * Eight bytes of configuration, then eight for each call from the front; what the callbacks do is taken from the
 * end, a byte each. Without bytes the host is honest.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "axaddrspace.h"

#define PAGE       4096ull
#define FRAMES     64u
#define POOL_PA    0x40000000ull
#define PA_BITS    44u
#define LINEAR_PA  0x8000000000ull
#define MOST_LOOKS 300000u /* of one call */
#define MOST_BYTES 65536u

void __asan_poison_memory_region(const volatile void *address, size_t bytes);
void __asan_unpoison_memory_region(const volatile void *address, size_t bytes);

static _Alignas(1 << 16) uint8_t pool[FRAMES][PAGE];
static _Alignas(AXAS_STORAGE_ALIGN) uint8_t storage[AXAS_STORAGE_SIZE];

#define MOST_CALLS 128u

struct arguments {
	uint8_t what;
	axas_flags_t flags;
	axas_gpa_t gpa;
	uint64_t size;
};

static struct {
	const uint8_t *front, *back; /* what is left of the input */
	uint8_t out[FRAMES]; /* how often a frame is out */
	int has_direct_map, has_windows, lied;
	uint32_t looks, windows;
	uint32_t calls;
	struct arguments call[MOST_CALLS];
	int64_t status[MOST_CALLS];
	axas_t *as;
} host;

static void wrong(const char *why)
{
	printf("call %u: %s\n", host.calls, why);
	for (uint32_t i = 0; i < host.calls; i++)
		printf("  %#x gpa %#" PRIx64 " size %#" PRIx64 " flags %#x: %" PRId64 "\n",
		       host.call[i].what, host.call[i].gpa, host.call[i].size, host.call[i].flags,
		       host.status[i]);
	fflush(stdout);
	abort();
}

static uint8_t take(void)
{
	return host.front < host.back ? *host.front++ : 0;
}

static uint64_t take_word(void)
{
	uint64_t word = 0;

	for (uint32_t i = 0; i < 8; i++)
		word = word << 8 | take();
	return word;
}

static uint8_t next_lie(void)
{
	return host.front < host.back ? *--host.back : 0;
}

/* --- frames ---------------------------------------------------------------------------------- */

static int all_out(uint64_t first, uint64_t count)
{
	if (first >= FRAMES || count > FRAMES - first)
		return 0;
	for (uint64_t i = first; i < first + count; i++)
		if (host.out[i] == 0)
			return 0;
	return 1;
}

/* A word of a table, or of whatever is in a frame: another bit, another entry, anything. */
static void scribble(uint8_t how)
{
	const uint32_t frame = take() % FRAMES, index = take() * 2u + how % 2;
	uint64_t *words = (uint64_t *)pool[frame];

	if (host.has_direct_map || host.out[frame] == 0)
		return;
	host.lied = 1;
	if (how % 4 == 0)
		words[index] ^= 1ull << take() % 64;
	else if (how % 4 == 1)
		words[index] = words[take() * 2];
	else if (how % 4 == 2)
		words[index] = (words[index] & ~0x3ffff000ull) | (uint64_t)take() % FRAMES << 12;
	else
		words[index] = take_word();
}

static void maybe_scribble(void)
{
	const uint8_t lie = next_lie();

	if (lie >= 240)
		scribble(lie);
}

static axas_hpa_t honest_frame(uint32_t order)
{
	const uint64_t count = order < 7 ? 1ull << order : FRAMES + 1;

	for (uint64_t i = 0; i + count <= FRAMES; i += count) {
		uint64_t used = 0;

		for (uint64_t j = i; j < i + count; j++)
			used += host.out[j];
		if (used != 0)
			continue;
		memset(&host.out[i], 1, count);
		__asan_unpoison_memory_region(pool[i], count * PAGE);
		return POOL_PA + i * PAGE;
	}
	return AXAS_HPA_INVALID;
}

/* One that is out already. */
static axas_hpa_t same_frame_again(uint32_t order)
{
	const uint64_t count = order < 7 ? 1ull << order : FRAMES + 1;
	const uint64_t first = take() % FRAMES / count * count;

	if (!all_out(first, count))
		return AXAS_HPA_INVALID;
	for (uint64_t i = first; i < first + count; i++)
		host.out[i]++;
	return POOL_PA + first * PAGE;
}

static axas_hpa_t alloc_frame(void *ctx, uint32_t order, uint32_t purpose)
{
	const uint8_t lie = next_lie();

	(void)ctx;
	(void)purpose;
	if (lie < 192)
		return honest_frame(order);
	if (lie < 224)
		return AXAS_HPA_INVALID;
	host.lied = 1;
	switch (lie % 6) {
	case 0:
		return POOL_PA + 8;
	case 1:
		return POOL_PA | 1ull << PA_BITS;
	case 2:
		return order == 0 ? 0x123 : POOL_PA + PAGE;
	case 3:
		return host.has_direct_map ? AXAS_HPA_INVALID : same_frame_again(order);
	case 4:
		return host.has_direct_map ? AXAS_HPA_INVALID :
					     (POOL_PA + (FRAMES + 8ull) * PAGE) & -(PAGE << order);
	default:
		return host.has_direct_map ? AXAS_HPA_INVALID : take_word() & -(PAGE << order);
	}
}

static void dealloc_frame(void *ctx, axas_hpa_t pa, uint32_t order, uint32_t purpose)
{
	const uint64_t first = (pa - POOL_PA) / PAGE,
		       count = order < 7 ? 1ull << order : FRAMES + 1;

	(void)ctx;
	(void)purpose;
	maybe_scribble();
	if (pa < POOL_PA || pa % PAGE != 0 || !all_out(first, count)) {
		if (!host.lied)
			wrong("a frame came back that is not out");
		return;
	}
	for (uint64_t i = first; i < first + count; i++)
		if (--host.out[i] == 0)
			__asan_poison_memory_region(pool[i], PAGE);
}

/* --- the other callbacks --------------------------------------------------------------------- */

static void *phys_to_virt(void *ctx, axas_hpa_t pa, size_t size)
{
	uint64_t first = (pa - POOL_PA) / PAGE;
	const uint8_t lie = next_lie();
	uint64_t count;

	(void)ctx;
	if (host.looks++ == MOST_LOOKS)
		wrong("a call that does not end");
	if (size == 0 || (host.has_windows && pa % PAGE + size > PAGE))
		wrong("a window over two pages");
	if (pa < POOL_PA || size > sizeof(pool))
		return NULL;
	count = (pa % PAGE + size + PAGE - 1) / PAGE;
	if (lie >= 250 && !host.has_direct_map) {
		host.lied = 1;
		first = take() % FRAMES;
	}
	if (lie >= 244 && lie < 250)
		host.lied = 1;
	if ((lie >= 244 && lie < 250) || !all_out(first, count))
		return NULL;
	host.windows += (uint32_t)host.has_windows;
	return &pool[first][pa % PAGE];
}

static void release_virt(void *ctx, void *va, size_t size)
{
	(void)ctx;
	(void)va;
	(void)size;
	if (host.windows-- == 0)
		wrong("a window is closed twice");
	maybe_scribble();
}

static void tlb_flush(void *ctx, const axas_tlb_request_t *request)
{
	(void)ctx;
	if (request->scope > AXAS_SCOPE_LOCAL || request->level > 3)
		wrong("a request that is none");
	if (host.windows != 0)
		wrong("a window is open across a request");
	maybe_scribble();
}

static void clean_range(void *ctx, void *va, size_t size, uint32_t purpose)
{
	(void)ctx;
	(void)va;
	(void)size;
	(void)purpose;
	maybe_scribble();
}

static uint32_t should_yield(void *ctx)
{
	(void)ctx;
	maybe_scribble();
	return next_lie() & 1;
}

static void relax(void *ctx)
{
	(void)ctx;
	if (host.looks++ == MOST_LOOKS)
		wrong("a call that does not end");
}

static void released(void *ctx, const axas_mapping_t *run)
{
	(void)ctx;
	(void)run;
	maybe_scribble();
}

/* --- calls ----------------------------------------------------------------------------------- */

static uint32_t see_run(void *ctx, const axas_mapping_t *run)
{
	(void)ctx;
	return run->size != 0;
}

static void see_text(void *ctx, const char *text, size_t bytes)
{
	(void)ctx;
	(void)text;
	(void)bytes;
}

static uint32_t see_chunk(void *ctx, axas_gpa_t gpa, void *memory, size_t bytes)
{
	(void)ctx;
	(void)gpa;
	memset(memory, 0x5a, bytes);
	return 1;
}

/* Both ends of a range are on boundaries of a level, or a few bytes beside them. */
static struct arguments take_arguments(void)
{
	static const uint32_t shift[] = { 0, 0, 0, 9, 9, 18 };
	struct arguments a;
	uint8_t where;

	a.what = take();
	a.flags = take() & 7u;
	a.flags |= (axas_flags_t)(take() & 0x7fu) << 16; /* POPULATE to NEED_LAZY */
	where = take();
	if (where & 128)
		a.flags |= AXAS_DEVICE;
	a.gpa = (axas_base(host.as) & -PAGE) + (PAGE * take() << shift[where % 6]);
	a.size = PAGE * (take() + 1) << shift[where / 6 % 6];
	if (where % 32 == 31)
		a.gpa += take();
	if (where % 32 == 30)
		a.size += take();
	return a;
}

static int64_t look(const struct arguments *a)
{
	static uint8_t bytes[MOST_BYTES];
	const size_t length = (size_t)(a->size < MOST_BYTES ? a->size : MOST_BYTES);
	const uint32_t access = a->flags & 4 ? AXAS_ACCESS_HOST : 0;
	axas_mapping_t mapping;
	axas_stats_t stats;
	uint64_t value;

	switch (a->what / 32 + a->what % 2 * 8) {
	case 0:
		return axas_query(host.as, a->gpa, &mapping);
	case 1:
		return axas_translate(host.as, a->gpa, &value, &value);
	case 2:
		return axas_trap_cookie(host.as, a->gpa, &value);
	case 3:
		return axas_for_each(host.as, a->gpa, a->size, see_run, NULL);
	case 4:
		return axas_dump(host.as, see_text, NULL);
	case 5:
		return axas_stats(host.as, &stats);
	case 6:
		return axas_read(host.as, a->gpa, bytes, length, access, NULL);
	case 7:
		return axas_write(host.as, a->gpa, bytes, length, access, NULL);
	case 8:
		return axas_fill(host.as, a->gpa, 7, length, AXAS_ACCESS_CLEAN, &value);
	case 9:
		return axas_for_each_chunk(host.as, a->gpa, length, a->flags & 3, see_chunk, NULL);
	case 10:
		return axas_read_u64(host.as, a->gpa, 0, &value);
	case 11:
		return axas_write_u32(host.as, a->gpa, 0, 5);
	case 12:
		return axas_set_vmid(host.as, a->what);
	default:
		return axas_audit(host.as);
	}
}

static int64_t change_some(const struct arguments *a, uint64_t *done)
{
	const uint64_t budget = take();

	switch (a->what / 32) {
	case 0:
		return axas_map_linear_some(host.as, a->gpa, LINEAR_PA + a->gpa, a->size, a->flags,
					    budget, done);
	case 1:
		return axas_map_alloc_some(host.as, a->gpa, a->size, a->flags, budget, done);
	case 2:
		return axas_unmap_some(host.as, a->gpa, a->size, budget, done);
	case 3:
		return axas_protect_some(host.as, a->gpa, a->size, a->flags, budget, done);
	case 4:
		return axas_populate_some(host.as, a->gpa, a->size, budget, done);
	case 5:
		return axas_collect_some(host.as, a->gpa, a->size, budget, done);
	default:
		return axas_discard_some(host.as, a->gpa, a->size, budget, done);
	}
}

static int64_t change(const struct arguments *a)
{
	const axas_extent_t extents[] = { { LINEAR_PA + a->gpa, PAGE },
					  { LINEAR_PA + a->gpa + 9 * PAGE, a->size - PAGE } };
	/* the guest is given the frames of tables: audit finds it, and copies write to them */
	const int gives_tables = a->what >= 192 && !host.has_direct_map;
	const axas_hpa_t hpa = gives_tables ? POOL_PA : LINEAR_PA + a->gpa;

	host.lied |= gives_tables;
	switch (a->what % 16) {
	case 0:
	case 1:
		return axas_map_linear(host.as, a->gpa, hpa, a->size, a->flags);
	case 2:
		return axas_map_extents(host.as, a->gpa, extents, 2, a->flags);
	case 3:
	case 4:
		return axas_map_alloc(host.as, a->gpa, a->size, a->flags);
	case 5:
		return axas_map_trap_flags(host.as, a->gpa, a->size, 0x12345678, a->flags);
	case 6:
	case 7:
		return axas_unmap(host.as, a->gpa, a->size);
	case 8:
		return axas_protect(host.as, a->gpa, a->size, a->flags & 7);
	case 9:
		return axas_populate(host.as, a->gpa, a->size);
	case 10:
		return axas_discard(host.as, a->gpa, a->size);
	case 11:
		return axas_collect(host.as, a->gpa, a->size);
	default:
		return a->what == 255 ?
			       axas_clear(host.as) :
			       -(int64_t)(axas_handle_page_fault(host.as, a->gpa, a->flags & 7) >
					  AXAS_FAULT_ERROR);
	}
}

static void call(void)
{
	const struct arguments a = take_arguments();
	uint64_t done = 0;
	int64_t status;

	host.looks = 0;
	host.call[host.calls] = a;
	host.status[host.calls++] = 1;
	maybe_scribble();
	if (a.what % 16 < 14)
		status = change(&a);
	else if (a.what % 4 == 2)
		status = change_some(&a, &done);
	else
		status = look(&a);
	host.status[host.calls - 1] = status;
	if (status < AXAS_ERR_AGAIN || status > AXAS_OK)
		wrong("a status that the header does not have");
	if (status == AXAS_ERR_BAD_STATE && !host.lied)
		wrong("BAD_STATE, and the host has not lied");
	if (done > a.size)
		wrong("more is done than was asked for");
	if (host.windows != 0)
		wrong("a window is left open");
}

/* --- a host and its space -------------------------------------------------------------------- */

static axas_status_t create(void)
{
	const uint8_t kind = take(), callbacks = take(), place = take(), options = take();
	const axas_hal_t hal = {
		.struct_size = sizeof(hal),
		.flags = (kind / 4 % 3 == 0 ? AXAS_HAL_DIRECT_MAP : 0u) |
			 (callbacks & 1 ? AXAS_HAL_TABLES_STAY_READABLE : 0u),
		.alloc_frame = alloc_frame,
		.dealloc_frame = dealloc_frame,
		.phys_to_virt = phys_to_virt,
		.release_virt = kind / 4 % 3 == 2 ? release_virt : NULL,
		.direct_map_offset = (uint64_t)(uintptr_t)pool - POOL_PA,
		.tlb_flush = tlb_flush,
		.clean_range = callbacks & 2 ? clean_range : NULL,
		.should_yield = callbacks & 4 ? should_yield : NULL,
		.relax = callbacks & 8 ? relax : NULL,
		.released = callbacks & 16 ? released : NULL,
	};
	const axas_config_t cfg = {
		.struct_size = sizeof(cfg),
		.format = AXAS_FORMAT_EPT + kind % 4,
		.pa_bits = PA_BITS,
		.base = place & 1 ? (512ull << 30) - 64 * PAGE : 0,
		.size = PAGE << (place / 2 % 32 + 8),
		.features = (uint32_t)take() | (uint32_t)take() << 8,
		.options = options | (callbacks & 32 ? AXAS_IGNORE_GUEST_PAT : 0u),
		.table_quota = take(),
	};

	host.has_direct_map = kind / 4 % 3 == 0;
	host.has_windows = kind / 4 % 3 == 2;
	return axas_create_in(storage, sizeof(storage), &cfg, &hal, &host.as);
}

void fuzz_adversary(const uint8_t *data, size_t bytes)
{
	memset(&host, 0, sizeof(host));
	host.front = data;
	host.back = data + bytes;
	__asan_poison_memory_region(pool, sizeof(pool));
	if (create() == AXAS_OK) {
		while (host.front < host.back && host.calls < MOST_CALLS)
			call();
		if (!host.lied && axas_audit(host.as) == AXAS_ERR_BAD_STATE)
			wrong("audit finds something, and the host has not lied");
		host.looks = 0;
		axas_destroy(host.as);
	}
	for (uint32_t i = 0; i < FRAMES; i++)
		if (host.out[i] != 0 && !host.lied)
			wrong("a frame did not come back");
	if (host.windows != 0)
		wrong("a window is left open");
}
