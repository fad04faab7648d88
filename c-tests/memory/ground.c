/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "ground.h"

#include "guard.h"

_Atomic uint32_t local_flushes;
struct cleaned cleaned[MOST_CLEANED];
_Atomic uint32_t cleaned_count;

const enum host_map_kind every_kind[3] = { HOST_DIRECT_MAP, HOST_CALLBACK, HOST_WINDOWS };

/* The linear pieces: in guest order, not in host order, each with red zones. */
static const struct {
	axas_gpa_t gpa;
	axas_extent_t extent;
} piece[] = {
	{ AREA_EXTENTS, { LINEAR_IN_POOL + 40 * PAGE, 3 * PAGE } },
	{ AREA_EXTENTS + 3 * PAGE, { LINEAR_IN_POOL + 10 * PAGE, 4 * PAGE } },
	{ AREA_HUGE, { LINEAR_IN_POOL + 64 * MIB, 2 * MIB } },
};
#define PIECES (sizeof(piece) / sizeof(piece[0]))

static axas_tlb_flush_fn flush_of_host;

void pattern(uint8_t *to, uint64_t bytes, uint8_t seed)
{
	uint32_t x = 2463534242u + seed;

	for (uint64_t i = 0; i < bytes; i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		to[i] = (uint8_t)(x >> 8);
	}
}

/* A copy takes in many pages, each with a local request: more than the host keeps for one call. */
static void tlb_flush(void *ctx, const axas_tlb_request_t *request)
{
	if (request->scope != AXAS_SCOPE_LOCAL) {
		flush_of_host(ctx, request);
		return;
	}
	space_check_no_window(ctx, "tlb_flush");
	atomic_fetch_add(&local_flushes, 1);
}

static void clean_range(void *ctx, void *va, size_t size, uint32_t purpose)
{
	uint32_t n;

	if (purpose != AXAS_FRAME_GUEST || va == NULL || size == 0)
		host_violation(ctx, "clean_range: size %zu purpose %u", size, purpose);
	n = atomic_fetch_add(&cleaned_count, 1);
	if (n < MOST_CLEANED)
		cleaned[n] = (struct cleaned){ .va = va, .bytes = size };
}

void ground_host(struct fixture *f, enum host_map_kind kind)
{
	host_exit(&f->host);
	host_init(&f->host, kind, HOST_PA_BASE);
	if (kind == HOST_DIRECT_MAP)
		f->host.hal.flags |= AXAS_HAL_DIRECT_MAP_LINEAR;
	flush_of_host = f->host.hal.tlb_flush;
	f->host.hal.tlb_flush = tlb_flush;
	f->host.hal.clean_range = clean_range;
	atomic_store(&local_flushes, 0);
	cleaned_count = 0;
}

void ground_create(struct fixture *f)
{
	static _Alignas(AXAS_STORAGE_ALIGN) uint8_t storage[AXAS_STORAGE_SIZE];

	assert_ok(axas_create_in(storage, sizeof(storage), &f->cfg, &f->host.hal, &f->as));
}

struct ground ground_open(struct fixture *f, enum host_map_kind kind)
{
	struct ground g = { .f = f, .model = calloc(1, GROUND_BYTES) };
	axas_extent_t extents[2] = { piece[0].extent, piece[1].extent };

	g.buf = calloc(1, GROUND_BYTES + PAGE);
	assert_non_null(g.model);
	assert_non_null(g.buf);
	ground_host(f, kind);
	ground_create(f);
	for (size_t i = 0; i < PIECES; i++) {
		const axas_extent_t *e = &piece[i].extent;
		uint8_t *va = host_at(&f->host, e->hpa);

		guard_surround(va, e->size);
		pattern(va, e->size, (uint8_t)i);
		memcpy(ground_model(&g, piece[i].gpa), va, e->size);
	}
	assert_ok(axas_map_alloc(f->as, AREA_LAZY, 5 * PAGE, RWX));
	assert_ok(axas_map_extents(f->as, AREA_EXTENTS, extents, 2, RWX));
	assert_ok(axas_map_alloc(f->as, AREA_POPULATED, 4 * PAGE, RWX | AXAS_POPULATE));
	assert_ok(axas_map_linear(f->as, AREA_HUGE, piece[2].extent.hpa, 2 * MIB, RWX));
	assert_ok(axas_map_alloc(f->as, AREA_LAZY_HUGE, 2 * MIB, RWX | AXAS_HUGE_FRAMES));
	assert_ok(axas_map_alloc(f->as, AREA_LAST, 3 * PAGE, RWX));
	assert_int_equal(at(f, AREA_HUGE).size, 2 * MIB);
	cleaned_count = 0;
	return g;
}

void ground_close(struct ground *g)
{
	ground_check(g);
	space_sweep(g->f->as);
	fixture_destroy(g->f);
	for (size_t i = 0; i < PIECES; i++)
		guard_open((uint8_t *)host_at(&g->f->host, piece[i].extent.hpa) - PAGE,
			   piece[i].extent.size + 2 * PAGE);
	free(g->model);
	free(g->buf);
}

uint8_t *ground_model(const struct ground *g, axas_gpa_t gpa)
{
	return g->model + (gpa - GROUND);
}

void ground_compare(const struct ground *g, axas_gpa_t gpa, uint64_t bytes)
{
	static const uint8_t zeros[PAGE];

	for (uint64_t done = 0, step; done < bytes; done += step) {
		const axas_gpa_t from = gpa + done;
		const uint8_t *seen = guest_memory(g->f, from);
		const uint64_t rest = PAGE - from % PAGE;

		step = rest < bytes - done ? rest : bytes - done;
		if (memcmp(seen != NULL ? seen : zeros, ground_model(g, from), step) != 0)
			fail_msg("the guest's memory differs in the page at %#llx",
				 (unsigned long long)(from & ~(PAGE - 1)));
	}
}

void ground_check(const struct ground *g)
{
	host_check(&g->f->host);
	ground_compare(g, GROUND, GROUND_BYTES);
	for (size_t i = 0; i < PIECES; i++)
		if (!guard_surrounds(host_at(&g->f->host, piece[i].extent.hpa),
				     piece[i].extent.size))
			fail_msg("somebody wrote beside the linear memory at %#llx",
				 (unsigned long long)piece[i].extent.hpa);
}

void ground_write(struct ground *g, axas_gpa_t gpa, size_t bytes, uint8_t seed, uint32_t access)
{
	size_t done = ~(size_t)0;

	pattern(g->buf, bytes, seed);
	memcpy(ground_model(g, gpa), g->buf, bytes);
	assert_ok(axas_write(g->f->as, gpa, g->buf, bytes, access, &done));
	assert_int_equal(done, bytes);
	host_check(&g->f->host);
}

void ground_fill(struct ground *g, axas_gpa_t gpa, uint64_t bytes, uint8_t byte, uint32_t access)
{
	uint64_t done = ~0ull;

	memset(ground_model(g, gpa), byte, bytes);
	assert_ok(axas_fill(g->f->as, gpa, byte, bytes, access, &done));
	assert_int_equal(done, bytes);
	host_check(&g->f->host);
}

void ground_read(struct ground *g, axas_gpa_t gpa, size_t bytes, uint32_t access)
{
	size_t done = ~(size_t)0;

	/* one byte on each side of the buffer that must stay */
	memset(g->buf, 0xee, bytes + 2);
	assert_ok(axas_read(g->f->as, gpa, g->buf + 1, bytes, access, &done));
	assert_int_equal(done, bytes);
	assert_int_equal(g->buf[0], 0xee);
	assert_int_equal(g->buf[bytes + 1], 0xee);
	assert_memory_equal(g->buf + 1, ground_model(g, gpa), bytes);
	host_check(&g->f->host);
}
