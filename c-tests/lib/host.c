/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "guard.h"
#include "space.h"

#define WINDOW_LIMIT 16u

/* The windows that this thread has open, innermost last. */
static _Thread_local struct {
	uint8_t *page;
	size_t size;
	uint8_t *va;
} window[WINDOW_LIMIT];
static _Thread_local uint32_t windows_open;

void host_violation(struct host *h, const char *format, ...)
{
	if (atomic_fetch_add(&h->violations, 1) == 0) {
		va_list args;

		va_start(args, format);
		vsnprintf(h->first_violation, sizeof(h->first_violation), format, args);
		va_end(args);
	}
}

void host_check(const struct host *h)
{
	if (atomic_load(&h->violations) != 0)
		fail_msg("the library broke its contract with the host %u times, first: %s",
			 atomic_load(&h->violations), h->first_violation);
	if (windows_open != 0)
		fail_msg("%u windows are still open", windows_open);
}

void *host_at(const struct host *h, axas_hpa_t pa)
{
	if (pa < h->pa_base || pa - h->pa_base >= h->pool_bytes)
		return NULL;
	return h->va + (pa - h->pa_base);
}

const void *host_seen_by_walkers(const struct host *h, axas_hpa_t pa)
{
	if (h->seen == NULL || host_at(h, pa) == NULL)
		return host_at(h, pa);
	return h->seen + (pa - h->pa_base);
}

struct host_frame *host_frame_at(const struct host *h, axas_hpa_t pa)
{
	if (host_at(h, pa) == NULL)
		return NULL;
	return &h->frame[(pa - h->pa_base) / PAGE];
}

int host_is_guest_frame(const struct host *h, axas_hpa_t pa)
{
	const struct host_frame *f = host_frame_at(h, pa);

	return f != NULL && f->state != HOST_FRAME_FREE && f->purpose == AXAS_FRAME_GUEST;
}

const axas_tlb_request_t *host_last_flush(const struct host *h)
{
	assert_true(h->flushes > 0);
	return &h->tlb[(h->flushes - 1) % HOST_TLB_LOG];
}

void host_forget_log(struct host *h)
{
	h->flushes = 0;
	h->flushes_all = 0;
	h->runs = 0;
	h->cleans[AXAS_FRAME_TABLE] = 0;
	h->cleans[AXAS_FRAME_GUEST] = 0;
}

/* In the second half of its place: what lies between two frames is nobody's. */
static axas_hpa_t slot_pa(const struct host *h, const struct host_region *r, uint32_t slot)
{
	return h->pa_base + r->offset + (2 * (uint64_t)slot + 1) * (PAGE << r->slot_order);
}

/* What went back was filled, and nobody has a pointer to it. */
static int is_untouched(const struct host *h, axas_hpa_t page)
{
	return !host_frame_at(h, page)->filled || guard_is_filled(host_at(h, page), PAGE);
}

static void check_free_slots(const struct host *h, const struct host_region *r)
{
	for (uint32_t i = 0; i < r->free_count; i++) {
		const axas_hpa_t pa = slot_pa(h, r, r->free_slots[i]);

		for (uint64_t page = 0; page < 1ull << r->slot_order; page++)
			if (!is_untouched(h, pa + page * PAGE))
				fail_msg("frame %#llx was written to after it went back",
					 (unsigned long long)(pa + page * PAGE));
	}
}

void host_check_balance(const struct host *h)
{
	host_check(h);
	for (uint32_t i = 0; i < HOST_REGIONS; i++)
		check_free_slots(h, &h->region[i]);
	if (h->tables_out != 0 || h->guest_out != 0 || h->own_out != 0)
		fail_msg(
			"frames not given back: %llu of tables, %llu of the guest, %llu of the host",
			(unsigned long long)h->tables_out, (unsigned long long)h->guest_out,
			(unsigned long long)h->own_out);
}

/* A gigabyte is too much to fill each time; its first page stands for it. */
static uint64_t fill_bytes(uint32_t order)
{
	return order > 9 ? PAGE : PAGE << order;
}

static struct host_region *region_of_order(struct host *h, uint32_t order)
{
	for (uint32_t i = 0; i < HOST_REGIONS; i++)
		if (order >= h->region[i].first_order && order <= h->region[i].last_order)
			return &h->region[i];
	return NULL;
}

static struct host_region *region_of_pa(struct host *h, axas_hpa_t pa, uint32_t *slot)
{
	for (uint32_t i = 0; i < HOST_REGIONS; i++) {
		struct host_region *r = &h->region[i];
		const uint64_t from = pa - h->pa_base - r->offset;

		if (pa - h->pa_base >= r->offset &&
		    from < (uint64_t)r->slots * 2 * (PAGE << r->slot_order)) {
			*slot = (uint32_t)(from / (2 * (PAGE << r->slot_order)));
			return r;
		}
	}
	return NULL;
}

/* Frames that are taken one after the other do not lie in that order. */
static uint32_t scattered(const struct host_region *r, uint32_t n)
{
	const uint32_t block = r->slots < 64 ? r->slots : 64;

	return n / block * block + n % block * 29 % block;
}

static axas_hpa_t take(struct host *h, uint32_t order, uint32_t purpose)
{
	struct host_region *r = region_of_order(h, order);
	uint32_t slot;
	axas_hpa_t pa;

	if (r == NULL) {
		host_violation(h, "alloc_frame: order %u", order);
		return AXAS_HPA_INVALID;
	}
	if (r->free_count > 0)
		slot = r->free_slots[--r->free_count];
	else if (r->used < r->slots)
		slot = scattered(r, r->used++);
	else
		return AXAS_HPA_INVALID;
	pa = slot_pa(h, r, slot);
	r->slot_out[slot] = 1u << order;
	r->taken_order[slot] = (uint8_t)order;
	guard_open(host_at(h, pa), PAGE << order);
	guard_surround(host_at(h, pa), PAGE << order);
	for (uint32_t i = 0; i < 1u << order; i++) {
		struct host_frame *f = host_frame_at(h, pa + i * PAGE);

		if (!is_untouched(h, pa + i * PAGE))
			host_violation(h, "frame %#llx was written to after it went back",
				       (unsigned long long)(pa + i * PAGE));
		f->filled = 0;
		f->state = i == 0 ? HOST_FRAME_HEAD : HOST_FRAME_BODY;
		f->purpose = (uint8_t)purpose;
		f->order = (uint8_t)order;
		f->call = space_call_number();
		f->linked = 0;
		f->reach = 0;
	}
	if (purpose == AXAS_FRAME_TABLE || purpose == AXAS_FRAME_ROOT) {
		h->tables_out += 1ull << order;
		h->tables_taken += 1ull << order;
	} else if (purpose == AXAS_FRAME_GUEST) {
		h->guest_out += 1ull << order;
		h->guest_taken += 1ull << order;
	} else {
		h->own_out += 1ull << order;
	}
	if (purpose != AXAS_FRAME_GUEST || h->poison_guest)
		guard_fill(host_at(h, pa), fill_bytes(order));
	if (h->seen != NULL)
		guard_fill(h->seen + (pa - h->pa_base), fill_bytes(order));
	return pa;
}

static axas_hpa_t give_nonsense(struct host *h)
{
	h->nonsense_given = h->nonsense == HOST_GIVES_UNALIGNED ? h->pa_base + 0x800 : 1ull << 60;
	return h->nonsense_given;
}

static axas_hpa_t alloc_frame(void *ctx, uint32_t order, uint32_t purpose)
{
	struct host *h = ctx;
	axas_hpa_t pa = AXAS_HPA_INVALID;

	pthread_mutex_lock(&h->lock);
	h->allocations++;
	if (purpose < AXAS_FRAME_TABLE || purpose > AXAS_FRAME_ROOT)
		host_violation(h, "alloc_frame: purpose %u", purpose);
	else if (h->fail_at != 0 && --h->fail_at == 0)
		;
	else if (purpose == h->fail_purpose)
		;
	else if (h->refuse_order != 0 && order >= h->refuse_order)
		;
	else if (h->nonsense != HOST_SANE && purpose == h->nonsense_purpose)
		pa = give_nonsense(h);
	else
		pa = take(h, order, purpose);
	pthread_mutex_unlock(&h->lock);
	return pa;
}

/*
 * A frame that the library took in this very call was never seen by hardware when it comes straight
 * back (the loser of a race, a failed call), nor was one of the stock. Any other must have been unreachable when a flush that
 * reaches all CPUs was asked for in this call.
 */
static void check_flushed(struct host *h, axas_hpa_t pa, const struct host_frame *f)
{
	if (h->quick || f->call == space_call_number() || (h->stocked != 0 && !f->linked))
		return;
	if (space_call_flushes() == 0)
		host_violation(h, "frame %#llx came back without a flush", (unsigned long long)pa);
	else if (f->reach == h->epoch)
		host_violation(h, "frame %#llx was still linked when the flush ran",
			       (unsigned long long)pa);
}

static void give_back_slot(struct host *h, axas_hpa_t pa, uint32_t order)
{
	uint32_t slot;
	struct host_region *r = region_of_pa(h, pa, &slot);

	r->slot_out[slot] -= 1u << order;
	if (r->slot_out[slot] != 0)
		return;
	r->free_slots[r->free_count++] = slot;
	pa = slot_pa(h, r, slot);
	if (!guard_surrounds(host_at(h, pa), PAGE << r->taken_order[slot]))
		host_violation(h, "somebody wrote beside frame %#llx", (unsigned long long)pa);
}

static int may_come_back(struct host *h, axas_hpa_t pa, uint32_t order, uint32_t purpose)
{
	const struct host_frame *head = host_frame_at(h, pa);

	if (order > 18 || pa % (PAGE << order) != 0 || head == NULL) {
		host_violation(h, "dealloc_frame: %#llx order %u was never a frame",
			       (unsigned long long)pa, order);
		return 0;
	}
	if (purpose != AXAS_FRAME_GUEST &&
	    (head->state != HOST_FRAME_HEAD || head->order != order)) {
		host_violation(h, "frame %#llx of purpose %u comes back with order %u",
			       (unsigned long long)pa, purpose, order);
		return 0;
	}
	for (uint32_t i = 0; i < 1u << order; i++) {
		const struct host_frame *f = host_frame_at(h, pa + i * PAGE);

		if (f == NULL || f->state == HOST_FRAME_FREE || f->purpose != purpose) {
			host_violation(h, "dealloc_frame: %#llx is not out as purpose %u",
				       (unsigned long long)(pa + i * PAGE), purpose);
			return 0;
		}
		if (purpose != AXAS_FRAME_HOST)
			check_flushed(h, pa + i * PAGE, f);
	}
	return 1;
}

static void dealloc_frame(void *ctx, axas_hpa_t pa, uint32_t order, uint32_t purpose)
{
	struct host *h = ctx;

	pthread_mutex_lock(&h->lock);
	if (h->nonsense != HOST_SANE && pa == h->nonsense_given) {
		h->nonsense_returned++;
	} else if (may_come_back(h, pa, order, purpose)) {
		/* the first page of a large piece stands for it: the rest may never have been touched */
		const uint64_t filled = order > 4 ? 1 : 1u << order;

		guard_fill(host_at(h, pa), filled * PAGE);
		for (uint32_t i = 0; i < 1u << order; i++) {
			host_frame_at(h, pa + i * PAGE)->state = HOST_FRAME_FREE;
			host_frame_at(h, pa + i * PAGE)->filled = i < filled;
		}
		if (purpose != AXAS_FRAME_TABLE || !(h->hal.flags & AXAS_HAL_TABLES_STAY_READABLE))
			guard_close(host_at(h, pa), PAGE << order);
		if (purpose == AXAS_FRAME_TABLE || purpose == AXAS_FRAME_ROOT) {
			h->tables_out -= 1ull << order;
		} else if (purpose == AXAS_FRAME_GUEST) {
			h->guest_out -= 1ull << order;
			h->guest_returned += 1ull << order;
		} else {
			h->own_out -= 1ull << order;
		}
		give_back_slot(h, pa, order);
	}
	pthread_mutex_unlock(&h->lock);
}

/* All of it is out, or is linear memory: of anything else the host knows nothing. */
static int is_known(struct host *h, axas_hpa_t pa, size_t size)
{
	int known = size != 0 && size <= h->pool_bytes;

	if (pa >= h->pa_base + HOST_LINEAR &&
	    pa + size <= h->pa_base + HOST_LINEAR + HOST_LINEAR_BYTES)
		return known;
	pthread_mutex_lock(&h->lock);
	for (axas_hpa_t at = pa & ~(PAGE - 1); known && at < pa + size; at += PAGE) {
		const struct host_frame *f = host_frame_at(h, at);

		known = f != NULL && f->state != HOST_FRAME_FREE;
	}
	pthread_mutex_unlock(&h->lock);
	return known;
}

static void *phys_to_virt(void *ctx, axas_hpa_t pa, size_t size)
{
	struct host *h = ctx;

	if (h->blind || !is_known(h, pa, size))
		return NULL;
	if (h->blind_at != 0 && --h->blind_at == 0)
		return NULL;
	return (uint8_t *)host_at(h, pa) + (h->askew ? 1 : 0);
}

/* The page, and a page on each side that nobody can touch. */
static uint8_t *map_window(struct host *h, axas_hpa_t pa)
{
	uint8_t *place =
		mmap(NULL, 3 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (place != MAP_FAILED &&
	    mmap(place + PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, h->memfd,
		 (off_t)((pa - h->pa_base) & ~(PAGE - 1))) != MAP_FAILED)
		return place + PAGE;
	host_violation(h, "mmap of a window");
	return NULL;
}

static void *open_window(void *ctx, axas_hpa_t pa, size_t size)
{
	struct host *h = ctx;
	uint8_t *page;

	if (!is_known(h, pa, size))
		return NULL;
	if (size == 0 || size > PAGE || pa / PAGE != (pa + size - 1) / PAGE) {
		host_violation(h, "window of %zu bytes at %#llx", size, (unsigned long long)pa);
		return NULL;
	}
	if (windows_open == space_window_limit()) {
		host_violation(h, "more than %u windows open", windows_open);
		return NULL;
	}
	page = map_window(h, pa);
	if (page == NULL)
		return NULL;
	window[windows_open].page = page;
	window[windows_open].size = size;
	window[windows_open].va = page + pa % PAGE;
	pthread_mutex_lock(&h->lock);
	h->windows_opened++;
	if (windows_open + 1 > h->windows_most)
		h->windows_most = windows_open + 1;
	pthread_mutex_unlock(&h->lock);
	return window[windows_open++].va;
}

static void close_window(void *ctx, void *va, size_t size)
{
	struct host *h = ctx;

	if (windows_open == 0 || window[windows_open - 1].va != va ||
	    window[windows_open - 1].size != size) {
		host_violation(h, "a window was closed out of order or with another size");
		return;
	}
	munmap(window[--windows_open].page - PAGE, 3 * PAGE);
}

void space_check_no_window(struct host *h, const char *where)
{
	if (windows_open != 0)
		host_violation(h, "%u windows open in %s", windows_open, where);
}

void host_mark_linked(void *host, axas_hpa_t pa, uint64_t bytes)
{
	for (uint64_t at = 0; at < bytes; at += PAGE) {
		struct host_frame *f = host_frame_at(host, pa + at);

		if (f != NULL)
			f->linked = 1;
	}
}

/* Marks what hardware can reach right now: none of it may be freed on the strength of this flush. */
static void mark_reachable(void *ctx, axas_hpa_t pa, uint64_t bytes)
{
	struct host *h = ctx;

	for (uint64_t at = 0; at < bytes; at += PAGE) {
		struct host_frame *f = host_frame_at(h, pa + at);

		if (f == NULL)
			return;
		f->reach = h->epoch;
	}
}

static void check_request(struct host *h, const axas_tlb_request_t *q)
{
	const int local = q->reason == AXAS_FLUSH_RELAX || q->reason == AXAS_FLUSH_NEW;

	if (q->reason < AXAS_FLUSH_UNMAP || q->reason > AXAS_FLUSH_CLEAN)
		host_violation(h, "tlb_flush: reason %u", q->reason);
	if (q->scope != (local ? AXAS_SCOPE_LOCAL : AXAS_SCOPE_ALL))
		host_violation(h, "tlb_flush: scope %u for reason %u", q->scope, q->reason);
	if (q->level > 3 || q->reserved != 0)
		host_violation(h, "tlb_flush: level %u reserved %u", q->level, q->reserved);
	if (q->gpa % PAGE != 0 || q->size % PAGE != 0 || q->size == 0 ||
	    q->gpa + q->size - 1 < q->gpa)
		host_violation(h, "tlb_flush: gpa %#llx size %#llx", (unsigned long long)q->gpa,
			       (unsigned long long)q->size);
}

static void tlb_flush(void *ctx, const axas_tlb_request_t *request)
{
	struct host *h = ctx;

	space_check_no_window(h, "tlb_flush");
	check_request(h, request);
	pthread_mutex_lock(&h->lock);
	h->tlb[h->flushes % HOST_TLB_LOG] = *request;
	h->flushes++;
	if (request->scope == AXAS_SCOPE_ALL) {
		h->flushes_all++;
		h->epoch++;
	}
	pthread_mutex_unlock(&h->lock);
	space_note_flush(h, request);
	if (request->scope == AXAS_SCOPE_ALL && !h->quick)
		space_visit_reachable(h, mark_reachable, h);
	if (h->in_flush != NULL)
		h->in_flush(h, request);
}

/* A table that can be reached has no line left as it came from the host. */
static void look_for_poison(void *ctx, axas_hpa_t pa, uint64_t bytes)
{
	struct host *h = ctx;
	const uint64_t *word = host_seen_by_walkers(h, pa);

	for (uint64_t i = 0; word != NULL && i < bytes / sizeof(*word); i++) {
		if (word[i] != POISON)
			continue;
		host_violation(h, "table %#llx was linked before it was cleaned",
			       (unsigned long long)pa);
		return;
	}
}

/* A cache is cleaned in lines: what shares a line with the range goes along. */
static void clean_lines(struct host *h, const void *va, size_t size)
{
	const uint64_t from = (uint64_t)((const uint8_t *)va - h->va) & ~63ull;
	const uint64_t to = ((uint64_t)((const uint8_t *)va - h->va) + size + 63) & ~63ull;

	if (to > h->pool_bytes || from >= to)
		host_violation(h, "clean_range: a table outside the host's memory");
	else
		memcpy(h->seen + from, h->va + from, to - from);
	if (h->watch_links)
		space_visit_tables(h, look_for_poison, h);
}

static void clean_range(void *ctx, void *va, size_t size, uint32_t purpose)
{
	struct host *h = ctx;

	if (va == NULL || size == 0 ||
	    (purpose != AXAS_FRAME_TABLE && purpose != AXAS_FRAME_GUEST)) {
		host_violation(h, "clean_range: size %zu purpose %u", size, purpose);
		return;
	}
	pthread_mutex_lock(&h->lock);
	h->cleans[purpose]++;
	if (h->seen != NULL && purpose == AXAS_FRAME_TABLE)
		clean_lines(h, va, size);
	pthread_mutex_unlock(&h->lock);
}

static void relax(void *ctx)
{
	struct host *h = ctx;

	atomic_fetch_add(&h->relaxed, 1);
	usleep(50);
}

static void released(void *ctx, const axas_mapping_t *run)
{
	struct host *h = ctx;

	space_check_no_window(h, "released");
	if (space_call_flushes() == 0)
		host_violation(h, "released before any flush");
	if (run->state != AXAS_STATE_LINEAR)
		host_violation(h, "released: state %u", run->state);
	h->run[h->runs++ % HOST_RUN_LOG] = *run;
}

static void region_init(struct host_region *r, uint32_t first, uint32_t last, uint32_t slots,
			uint64_t offset)
{
	r->first_order = first;
	r->last_order = last;
	r->slot_order = last;
	r->slots = slots;
	r->offset = offset;
	r->free_slots = calloc(slots, sizeof(*r->free_slots));
	r->slot_out = calloc(slots, sizeof(*r->slot_out));
	r->taken_order = calloc(slots, sizeof(*r->taken_order));
	assert_non_null(r->free_slots);
	assert_non_null(r->slot_out);
	assert_non_null(r->taken_order);
}

static void map_pool(struct host *h, enum host_map_kind kind)
{
	int flags = MAP_NORESERVE | MAP_PRIVATE | MAP_ANONYMOUS;

	h->memfd = -1;
	if (kind == HOST_WINDOWS) {
		h->memfd = memfd_create("ctests-pool", MFD_CLOEXEC);
		assert_true(h->memfd >= 0);
		assert_int_equal(ftruncate(h->memfd, (off_t)h->pool_bytes), 0);
		flags = MAP_NORESERVE | MAP_SHARED;
	}
	h->va = mmap(NULL, h->pool_bytes, PROT_READ | PROT_WRITE, flags, h->memfd, 0);
	assert_ptr_not_equal(h->va, MAP_FAILED);
}

void host_stop_snooping(struct host *h)
{
	h->seen = mmap(NULL, h->pool_bytes, PROT_READ | PROT_WRITE,
		       MAP_NORESERVE | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(h->seen, MAP_FAILED);
}

void host_init(struct host *h, enum host_map_kind kind, uint64_t pa_base)
{
	memset(h, 0, sizeof(*h));
	h->pa_base = pa_base;
	h->pool_bytes = 10 * GIB + MIB;
	map_pool(h, kind);
	region_init(&h->region[0], 0, 0, 131072, 0);
	region_init(&h->region[1], 1, 4, 64, GIB);
	region_init(&h->region[2], 5, 9, 128, GIB + 512 * MIB);
	region_init(&h->region[3], 10, 18, 4, 2 * GIB);
	h->frame = calloc(h->pool_bytes / PAGE, sizeof(*h->frame));
	assert_non_null(h->frame);
	pthread_mutex_init(&h->lock, NULL);
	h->poison_guest = 1;

	h->hal.struct_size = sizeof(h->hal);
	h->hal.ctx = h;
	h->hal.alloc_frame = alloc_frame;
	h->hal.dealloc_frame = dealloc_frame;
	h->hal.tlb_flush = tlb_flush;
	h->hal.clean_range = clean_range;
	h->hal.relax = relax;
	h->hal.released = released;
	if (kind == HOST_DIRECT_MAP) {
		h->hal.flags = AXAS_HAL_DIRECT_MAP;
		h->hal.direct_map_offset = (uint64_t)(uintptr_t)h->va - pa_base;
	} else if (kind == HOST_CALLBACK) {
		h->hal.phys_to_virt = phys_to_virt;
	} else {
		h->hal.phys_to_virt = open_window;
		h->hal.release_virt = close_window;
	}
}

/* Addresses are used again. */
static void open_region(const struct host *h, const struct host_region *r)
{
	for (uint32_t i = 0; i < r->used; i++)
		guard_open((uint8_t *)host_at(h, slot_pa(h, r, scattered(r, i))) - PAGE,
			   (PAGE << r->slot_order) + 2 * PAGE);
}

void host_exit(struct host *h)
{
	for (uint32_t i = 0; i < HOST_REGIONS; i++) {
		open_region(h, &h->region[i]);
		free(h->region[i].free_slots);
		free(h->region[i].slot_out);
		free(h->region[i].taken_order);
	}
	free(h->frame);
	munmap(h->va, h->pool_bytes);
	if (h->seen != NULL)
		munmap(h->seen, h->pool_bytes);
	if (h->memfd >= 0)
		close(h->memfd);
	pthread_mutex_destroy(&h->lock);
}
