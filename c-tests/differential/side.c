/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "side.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define DECLARE(function)                                       \
	extern __typeof__(axas_##function) old_axas_##function; \
	extern __typeof__(axas_##function) new_axas_##function;
EACH_FUNCTION(DECLARE)

#define OLD(function) .function = old_axas_##function,
#define NEW(function) .function = new_axas_##function,
const struct engine old_engine = { .name = "old", EACH_FUNCTION(OLD) };
const struct engine new_engine = { .name = "new", EACH_FUNCTION(NEW) };

/* The byte of a page. */
#define PAGE_PURPOSE 3u
#define PAGE_HEAD    4u
#define PAGE_DIRTY   8u

static void *no_memory(void *p)
{
	if (p == NULL) {
		perror("memory");
		exit(2);
	}
	return p;
}

static void violation(struct side *s, const char *what)
{
	if (s->violation == NULL)
		s->violation = what;
}

/* Frames lie apart from each other, so that no two of them are a run. */
static axas_hpa_t slot_pa(const struct region *r, uint32_t slot)
{
	return POOL_PA + r->offset + (2 * (uint64_t)slot + 1) * (PAGE << r->last_order);
}

static uint8_t *byte_of(const struct side *s, axas_hpa_t pa)
{
	return &s->frame[(pa - POOL_PA) / PAGE];
}

int side_is_frame(const struct side *s, axas_hpa_t hpa)
{
	(void)s;
	return hpa >= POOL_PA && hpa < LINEAR_PA;
}

void side_touch(struct side *s, axas_hpa_t hpa)
{
	if (hpa < POOL_PA || hpa >= POOL_PA + POOL_BYTES || (*byte_of(s, hpa) & PAGE_DIRTY))
		return;
	*byte_of(s, hpa) |= PAGE_DIRTY;
	if (side_is_frame(s, hpa))
		return;
	if (s->written_count == s->written_room) {
		s->written_room = s->written_room == 0 ? 256 : 2 * s->written_room;
		s->written = no_memory(realloc(s->written, s->written_room * sizeof(*s->written)));
	}
	s->written[s->written_count++] = hpa & ~(PAGE - 1);
}

void side_touch_host(struct side *s, const void *va)
{
	side_touch(s, POOL_PA + (uint64_t)((const uint8_t *)va - s->va));
}

static void clean_page(struct side *s, axas_hpa_t pa)
{
	if (*byte_of(s, pa) & PAGE_DIRTY)
		memset(s->va + (pa - POOL_PA), 0, PAGE);
	*byte_of(s, pa) = 0;
}

static void note_frame(struct side *s, enum frame_event_kind kind, uint32_t order, uint32_t purpose)
{
	struct frame_events *f = &s->seen.frames;

	if (f->count == f->room) {
		f->room = f->room == 0 ? 256 : 2 * f->room;
		f->event = no_memory(realloc(f->event, f->room * sizeof(*f->event)));
	}
	f->event[f->count++] =
		(struct frame_event){ (uint8_t)kind, (uint8_t)order, (uint8_t)purpose };
}

static struct region *region_of_order(struct side *s, uint32_t order)
{
	for (uint32_t i = 0; i < REGIONS; i++)
		if (order <= s->region[i].last_order)
			return &s->region[i];
	return NULL;
}

static int fails(struct side *s, uint32_t order)
{
	s->allocations++;
	if (s->fail_at != 0 && s->allocations == s->fail_at)
		return 1;
	if (s->every != 0 && (s->allocations + s->phase) % s->every == 0)
		return 1;
	return s->refuses_huge && order >= 9;
}

static axas_hpa_t alloc_frame(void *ctx, uint32_t order, uint32_t purpose)
{
	struct side *s = ctx;
	struct region *r = region_of_order(s, order);
	const int guest = purpose == AXAS_FRAME_GUEST;
	uint32_t slot;
	axas_hpa_t pa;

	if (r == NULL || fails(s, order) || (r->free_count == 0 && r->used == r->slots)) {
		note_frame(s, FRAME_REFUSED, order, purpose);
		return AXAS_HPA_INVALID;
	}
	note_frame(s, FRAME_TAKEN, order, purpose);
	slot = r->free_count > 0 ? r->free_slots[--r->free_count] : r->used++;
	pa = slot_pa(r, slot);
	r->slot_out[slot] = 1u << order;
	for (uint64_t i = 0; i < 1ull << order; i++)
		*byte_of(s, pa + i * PAGE) = guest ? AXAS_FRAME_GUEST : AXAS_FRAME_TABLE;
	*byte_of(s, pa) |= PAGE_HEAD;
	if (!guest || s->poison) {
		const uint64_t bytes = order > 4 ? PAGE : PAGE << order;

		memset(s->va + (pa - POOL_PA), 0xa5, bytes);
		for (uint64_t at = 0; at < bytes; at += PAGE)
			side_touch(s, pa + at);
	}
	for (uint64_t i = 0; s->may_write && order <= 9 && i < 1ull << order; i++)
		side_touch(s, pa + i * PAGE);
	*(guest ? &s->guest_out : &s->tables_out) += 1ull << order;
	s->seen.taken += 1ull << order;
	return pa;
}

static int may_come_back(struct side *s, axas_hpa_t pa, uint32_t order, int guest)
{
	const uint8_t purpose = guest ? AXAS_FRAME_GUEST : AXAS_FRAME_TABLE;

	if (order > 18 || pa % (PAGE << order) != 0 || !side_is_frame(s, pa))
		return 0;
	if (!guest && !(*byte_of(s, pa) & PAGE_HEAD))
		return 0;
	for (uint64_t i = 0; i < 1ull << order; i++)
		if ((*byte_of(s, pa + i * PAGE) & PAGE_PURPOSE) != purpose)
			return 0;
	return 1;
}

static void dealloc_frame(void *ctx, axas_hpa_t pa, uint32_t order, uint32_t purpose)
{
	struct side *s = ctx;
	const int guest = purpose == AXAS_FRAME_GUEST;
	uint32_t slot, i;
	struct region *r;

	if (!may_come_back(s, pa, order, guest)) {
		violation(s, "a frame came back that was not out as such");
		return;
	}
	for (i = 0; i < REGIONS - 1 && pa - POOL_PA >= s->region[i + 1].offset; i++)
		;
	r = &s->region[i];
	slot = (uint32_t)((pa - POOL_PA - r->offset) / (2 * (PAGE << r->last_order)));
	for (uint64_t at = 0; at < 1ull << order; at++)
		clean_page(s, pa + at * PAGE);
	*(guest ? &s->guest_out : &s->tables_out) -= 1ull << order;
	s->seen.back += 1ull << order;
	r->slot_out[slot] -= 1u << order;
	if (r->slot_out[slot] == 0)
		r->free_slots[r->free_count++] = slot;
	if (s->drop == DROP_TABLE && !guest && ++s->dropped % 97 == 0)
		return;
	note_frame(s, FRAME_BACK, order, purpose);
}

static void *phys_to_virt(void *ctx, axas_hpa_t pa, size_t size)
{
	struct side *s = ctx;

	if (s->blind_at != 0 && ++s->translations == s->blind_at) {
		s->seen.blinded = 1;
		return NULL;
	}
	if (pa < POOL_PA || size > POOL_BYTES || pa - POOL_PA > POOL_BYTES - size)
		return NULL;
	if (pa >= LINEAR_PA && !s->linear_reachable)
		return NULL;
	if (pa < LINEAR_PA && (*byte_of(s, pa) & PAGE_PURPOSE) == 0)
		return NULL;
	return s->va + (pa - POOL_PA);
}

static void *open_window(void *ctx, axas_hpa_t pa, size_t size)
{
	struct side *s = ctx;
	void *va = phys_to_virt(ctx, pa, size);

	if (va == NULL)
		return NULL;
	if (size > PAGE || pa / PAGE != (pa + size - 1) / PAGE || s->windows == s->most_windows)
		violation(s, "a window too many or too large");
	s->windows++;
	return va;
}

static void close_window(void *ctx, void *va, size_t size)
{
	struct side *s = ctx;

	(void)va;
	(void)size;
	if (s->windows-- == 0)
		violation(s, "a window was closed that was not open");
}

static void tlb_flush(void *ctx, const axas_tlb_request_t *request)
{
	struct side *s = ctx;

	if (s->drop == DROP_FLUSH && ++s->dropped % 97 == 0)
		return;
	if (s->seen.flushes < MOST_FLUSHES)
		s->seen.flush[s->seen.flushes] = *request;
	s->seen.flushes++;
}

static void clean_range(void *ctx, void *va, size_t size, uint32_t purpose)
{
	struct side *s = ctx;

	(void)va;
	s->seen.cleaned[purpose == AXAS_FRAME_GUEST] += size;
}

static uint32_t should_yield(void *ctx)
{
	struct side *s = ctx;

	return ++s->seen.polls == s->yield_at;
}

void runs_add(struct runs *r, const axas_mapping_t *run)
{
	if (r->count == r->room) {
		r->room = r->room == 0 ? 256 : 2 * r->room;
		r->run = no_memory(realloc(r->run, r->room * sizeof(*r->run)));
	}
	r->run[r->count++] = *run;
}

static void released(void *ctx, const axas_mapping_t *run)
{
	struct side *s = ctx;

	if (s->drop != DROP_RELEASED || ++s->dropped % 97 != 0)
		runs_add(&s->seen.released, run);
}

static void region_init(struct region *r, uint32_t last_order, uint32_t slots, uint64_t offset)
{
	r->last_order = last_order;
	r->slots = slots;
	r->offset = offset;
	r->free_slots = no_memory(calloc(slots, sizeof(*r->free_slots)));
	r->slot_out = no_memory(calloc(slots, sizeof(*r->slot_out)));
}

void side_init(struct side *s, const struct engine *engine)
{
	memset(s, 0, sizeof(*s));
	s->engine = engine;
	s->va = mmap(NULL, POOL_BYTES, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (s->va == MAP_FAILED)
		no_memory(NULL);
	s->frame = no_memory(calloc(POOL_BYTES / PAGE, 1));
	s->storage = no_memory(aligned_alloc(AXAS_STORAGE_ALIGN, AXAS_STORAGE_SIZE));
	region_init(&s->region[0], 0, 32768, 0);
	region_init(&s->region[1], 4, 64, 512 * MIB);
	region_init(&s->region[2], 9, 256, GIB);
	region_init(&s->region[3], 18, 2, 4 * GIB);
}

/* Only what was out when the script ended has to be looked at. */
static void empty_region(struct side *s, struct region *r)
{
	for (uint32_t slot = 0; slot < r->used; slot++) {
		if (r->slot_out[slot] == 0)
			continue;
		for (uint64_t i = 0; i < 1ull << r->last_order; i++)
			clean_page(s, slot_pa(r, slot) + i * PAGE);
		r->slot_out[slot] = 0;
	}
	r->used = 0;
	r->free_count = 0;
}

void side_reset(struct side *s)
{
	for (uint32_t i = 0; i < REGIONS; i++)
		empty_region(s, &s->region[i]);
	while (s->written_count > 0)
		clean_page(s, s->written[--s->written_count]);
	s->tables_out = 0;
	s->guest_out = 0;
	s->windows = 0;
	s->space = NULL;
	s->violation = NULL;
}

void side_hal(struct side *s, enum host_kind kind, int has_released, int has_yield, int has_clean)
{
	s->hal = (axas_hal_t){
		/* of the interface as it was first: what came later is not supplied */
		.struct_size = offsetof(axas_hal_t, released) + sizeof(axas_released_fn),
		.ctx = s,
		.alloc_frame = alloc_frame,
		.dealloc_frame = dealloc_frame,
		.tlb_flush = tlb_flush,
		.clean_range = has_clean ? clean_range : NULL,
		.should_yield = has_yield ? should_yield : NULL,
		.released = has_released ? released : NULL,
	};
	if (kind == HOST_OFFSET) {
		s->hal.flags = AXAS_HAL_DIRECT_MAP;
		s->hal.flags |= s->linear_reachable ? AXAS_HAL_DIRECT_MAP_LINEAR : 0;
		s->hal.direct_map_offset = (uint64_t)(uintptr_t)s->va - POOL_PA;
	} else if (kind == HOST_CALLBACK) {
		s->hal.phys_to_virt = phys_to_virt;
	} else {
		s->hal.phys_to_virt = open_window;
		s->hal.release_virt = close_window;
	}
}

void side_begin(struct side *s, uint32_t phase, uint32_t fail_at, uint32_t blind_at,
		uint32_t yield_at)
{
	s->phase = phase;
	s->allocations = 0;
	s->fail_at = fail_at;
	s->blind_at = blind_at;
	s->translations = 0;
	s->yield_at = yield_at;
	s->seen.frames.count = 0;
	s->seen.released.count = 0;
	s->seen.flushes = 0;
	s->seen.cleaned[0] = 0;
	s->seen.cleaned[1] = 0;
	s->seen.polls = 0;
	s->seen.blinded = 0;
	s->seen.taken = 0;
	s->seen.back = 0;
}
