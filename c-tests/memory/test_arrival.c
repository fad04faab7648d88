/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the host writes to a reserved page comes with the page: no vCPU sees the page without it. */
#include <sched.h>

#include "ground.h"

#define BASE      (GIB + PAGE)
#define MOST      (3 * PAGE)
#define HUGE_BASE (2 * GIB)

static axas_phys_to_virt_fn reach_of_host;
static axas_alloc_frame_fn alloc_of_host;

/* What is being written, and what was seen of it meanwhile. */
static struct {
	struct fixture *f;
	axas_gpa_t gpa;
	uint64_t bytes;
	const uint8_t *written;
	uint32_t incomplete; /* times that a page was mapped without what is written to it */
	uint32_t reached; /* pages of guest frames that the library asked for */
	uint32_t faults_first; /* another vCPU's fault is to be first so many times */
	uint32_t takes_the_last; /* and takes the last frame of the host */
	uint32_t none_left;
	uint32_t waits; /* another CPU is to wait for the space alone */
	pthread_t waiter;
	uint32_t splits; /* another vCPU's fault is to get a small frame beside it, so many times */
	uint32_t remaps; /* the host is to map other memory there, so many times */
} watch;

static int is_complete(uint64_t i)
{
	const uint8_t *seen = guest_memory(watch.f, watch.gpa + i);

	return seen == NULL || *seen == watch.written[i];
}

static void *reach(void *ctx, axas_hpa_t pa, size_t size)
{
	const struct host *h = ctx;

	for (uint64_t i = 0; i < watch.bytes; i++)
		if (!is_complete(i)) {
			watch.incomplete++;
			break;
		}
	watch.reached += h->frame[(pa - h->pa_base) / PAGE].purpose == AXAS_FRAME_GUEST;
	return reach_of_host(ctx, pa, size);
}

static void *discard_elsewhere(void *arg)
{
	(void)arg;
	assert_ok(axas_discard(watch.f->as, BASE + PAGE, PAGE));
	return NULL;
}

static axas_hpa_t alloc_after_a_fault(void *ctx, uint32_t order, uint32_t purpose)
{
	if (purpose == AXAS_FRAME_GUEST && watch.faults_first) {
		watch.faults_first--;
		assert_int_equal(axas_handle_page_fault(watch.f->as, watch.gpa, AXAS_READ),
				 AXAS_FAULT_RESOLVED);
		watch.none_left = watch.takes_the_last;
	}
	if (purpose == AXAS_FRAME_GUEST && watch.waits) {
		watch.waits = 0;
		atomic_store(&watch.f->host.relaxed, 0);
		assert_int_equal(pthread_create(&watch.waiter, NULL, discard_elsewhere, NULL), 0);
		while (atomic_load(&watch.f->host.relaxed) == 0)
			sched_yield();
	}
	if (purpose == AXAS_FRAME_GUEST && watch.splits) {
		watch.splits--;
		watch.f->host.refuse_order = 1;
		assert_int_equal(axas_handle_page_fault(watch.f->as, HUGE_BASE + MIB, AXAS_READ),
				 AXAS_FAULT_RESOLVED);
		watch.f->host.refuse_order = 0;
	}
	if (purpose == AXAS_FRAME_GUEST && watch.remaps) {
		watch.remaps--;
		assert_ok(axas_unmap(watch.f->as, BASE, MOST));
		assert_ok(axas_map_alloc(watch.f->as, BASE, MOST, RW | AXAS_UNCACHED));
	}
	if (purpose == AXAS_FRAME_GUEST && watch.none_left)
		return AXAS_HPA_INVALID;
	return alloc_of_host(ctx, order, purpose);
}

static void open_space(struct fixture *f, enum host_map_kind kind)
{
	ground_host(f, kind);
	if (kind != HOST_DIRECT_MAP) {
		reach_of_host = f->host.hal.phys_to_virt;
		f->host.hal.phys_to_virt = reach;
	}
	alloc_of_host = f->host.hal.alloc_frame;
	f->host.hal.alloc_frame = alloc_after_a_fault;
	f->host.poison_guest = 1;
	memset(&watch, 0, sizeof(watch));
	watch.f = f;
	ground_create(f);
	assert_ok(axas_map_alloc(f->as, BASE, MOST, RW));
	assert_ok(axas_map_alloc(f->as, HUGE_BASE, 2 * MIB, RW | AXAS_HUGE_FRAMES));
}

static void write_watched(struct fixture *f, axas_gpa_t gpa, const uint8_t *data, size_t bytes)
{
	size_t done = 0;

	watch.gpa = gpa;
	watch.bytes = bytes;
	watch.written = data;
	watch.reached = 0;
	if (bytes == 8) {
		uint64_t value;

		memcpy(&value, data, sizeof(value));
		assert_ok(axas_write_u64(f->as, gpa, 0, value));
	} else {
		assert_ok(axas_write(f->as, gpa, data, bytes, 0, &done));
		assert_int_equal(done, bytes);
	}
	for (uint64_t i = 0; i < bytes; i++)
		assert_true(is_complete(i));
	assert_int_equal(watch.incomplete, 0);
	host_check(&f->host);
}

/* The bytes of [gpa, gpa + bytes) are zeros. */
static void expect_zeros(const struct fixture *f, axas_gpa_t gpa, uint64_t bytes)
{
	for (uint64_t i = 0; i < bytes; i++)
		if (*guest_memory(f, gpa + i) != 0)
			fail_msg("no zero at %#llx", (unsigned long long)(gpa + i));
}

static void no_vcpu_sees_a_page_without_what_was_written_to_it(void **state)
{
	static const struct {
		axas_gpa_t gpa;
		size_t bytes;
	} cases[] = {
		{ BASE + 100, 5 },     { BASE + 8, 8 }, { BASE + PAGE - 1, 2 },
		{ BASE, PAGE },        { BASE, MOST },  { HUGE_BASE + PAGE - 3, 7 },
		{ HUGE_BASE + 16, 8 },
	};
	static uint8_t data[MOST];
	FIXTURE(f);

	pattern(data, sizeof(data), 3);
	for (size_t k = 1; k < 3; k++) {
		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			const axas_gpa_t page = cases[i].gpa & ~(PAGE - 1);

			open_space(f, every_kind[k]);
			write_watched(f, cases[i].gpa, data, cases[i].bytes);
			expect_zeros(f, page, cases[i].gpa - page);
			if (cases[i].gpa >= HUGE_BASE)
				expect_zeros(f, cases[i].gpa + cases[i].bytes, 2 * PAGE);
			fixture_destroy(f);
		}
	}
}

static void a_page_that_is_written_whole_is_not_zeroed_first(void **state)
{
	static uint8_t data[PAGE];
	FIXTURE(f);
	const uint32_t cleans = f->fc->format == AXAS_FORMAT_ARM_S2;

	pattern(data, sizeof(data), 4);
	open_space(f, HOST_CALLBACK);
	cleaned_count = 0;
	write_watched(f, BASE, data, PAGE);
	/* once to write it and, where caches are cleaned, once for that */
	assert_int_equal(watch.reached, 1 + cleans);
	assert_int_equal(cleaned_count, cleans);
	/* once as well if the host wants it cleaned */
	cleaned_count = 0;
	assert_ok(axas_write(f->as, BASE + PAGE, data, PAGE, AXAS_ACCESS_CLEAN, NULL));
	assert_int_equal(cleaned_count, 1);
	fixture_destroy(f);
}

static void what_is_written_is_not_lost_to_a_fault_that_is_first(void **state)
{
	static uint8_t data[2 * PAGE];
	FIXTURE(f);

	pattern(data, sizeof(data), 5);
	/* not with windows: this thread would have two open, one for each vCPU */
	for (size_t k = 0; k < 2; k++) {
		open_space(f, every_kind[k]);
		watch.gpa = BASE;
		watch.faults_first = 1;
		assert_ok(axas_write(f->as, BASE, data, sizeof(data), 0, NULL));
		assert_int_equal(watch.faults_first, 0);
		assert_memory_equal(guest_memory(f, BASE), data, PAGE);
		assert_memory_equal(guest_memory(f, BASE + PAGE), data + PAGE, PAGE);
		assert_int_equal(stats(f).faults_resolved, 2);
		fixture_destroy(f);
	}
}

/* Between filling and installing a frame, most often. */
static void a_frame_that_meets_an_exclusive_call_is_not_lost(void **state)
{
	static uint8_t data[PAGE];
	FIXTURE(f);

	pattern(data, sizeof(data), 7);
	open_space(f, HOST_DIRECT_MAP);
	f->host.quick = 1;
	watch.waits = 1;
	assert_ok(axas_write(f->as, BASE, data, sizeof(data), 0, NULL));
	assert_int_equal(pthread_join(watch.waiter, NULL), 0);
	f->host.quick = 0;
	assert_memory_equal(guest_memory(f, BASE), data, sizeof(data));
	assert_int_equal(stats(f).frames_allocated - stats(f).frames_released,
			 f->host.tables_out + f->host.guest_out);
	fixture_destroy(f);
}

/* The frame of 2 MiB is filled before a table comes in its place. */
static void a_large_frame_beside_a_small_page_is_filled_again_as_a_small_one(void **state)
{
	static uint8_t data[PAGE];
	FIXTURE(f);

	pattern(data, sizeof(data), 8);
	open_space(f, HOST_DIRECT_MAP);
	f->host.quick = 1;
	watch.splits = 1;
	assert_ok(axas_write(f->as, HUGE_BASE, data, sizeof(data), 0, NULL));
	f->host.quick = 0;
	assert_int_equal(watch.splits, 0);
	assert_memory_equal(guest_memory(f, HUGE_BASE), data, sizeof(data));
	assert_int_equal(stats(f).guest_frames, 2);
	fixture_destroy(f);
}

/* A frame prepared for write-back memory needs no cleaning here, one for uncached memory does. */
static void a_frame_for_memory_of_another_type_is_not_installed(void **state)
{
	static uint8_t data[PAGE];
	FIXTURE(f);

	pattern(data, sizeof(data), 9);
	f->cfg.features |= AXAS_FEATURE_ARM_FWB;
	/* without a lock another call can come in the middle of this one */
	f->cfg.options |= AXAS_CALLER_LOCKED;
	open_space(f, HOST_DIRECT_MAP);
	f->host.quick = 1;
	watch.remaps = 1;
	cleaned_count = 0;
	assert_ok(axas_write(f->as, BASE, data, sizeof(data), 0, NULL));
	f->host.quick = 0;
	assert_int_equal(watch.remaps, 0);
	assert_int_equal(cleaned_count, 1);
	assert_ptr_equal(cleaned[0].va, guest_memory(f, BASE));
	assert_memory_equal(guest_memory(f, BASE), data, sizeof(data));
	fixture_destroy(f);
}

static void what_is_written_needs_no_frame_where_a_fault_took_the_last(void **state)
{
	static const axas_gpa_t pages[] = { BASE, HUGE_BASE };
	static uint8_t data[PAGE];
	FIXTURE(f);
	size_t done = 0;

	pattern(data, sizeof(data), 6);
	for (size_t i = 0; i < 2; i++) {
		open_space(f, HOST_DIRECT_MAP);
		watch.gpa = pages[i];
		watch.faults_first = 1;
		watch.takes_the_last = 1;
		assert_ok(axas_write(f->as, pages[i], data, sizeof(data), 0, &done));
		assert_int_equal(done, sizeof(data));
		assert_memory_equal(guest_memory(f, pages[i]), data, sizeof(data));
		assert_int_equal(stats(f).faults_no_memory, 0);
		fixture_destroy(f);
	}
}

static void without_memory_nothing_is_written(void **state)
{
	static uint8_t data[2 * PAGE];
	FIXTURE(f);
	size_t done = 9;

	open_space(f, HOST_DIRECT_MAP);
	/* the first page gets its frame, the second one none */
	assert_ok(axas_write(f->as, BASE, data, 1, 0, NULL));
	f->host.fail_purpose = AXAS_FRAME_GUEST;
	assert_status(AXAS_ERR_NO_MEMORY, axas_write(f->as, BASE, data, sizeof(data), 0, &done));
	assert_int_equal(done, PAGE);
	expect_state(f, BASE + PAGE, AXAS_STATE_RESERVED);
	f->host.fail_purpose = 0;
	assert_ok(axas_write(f->as, BASE, data, sizeof(data), 0, &done));
	assert_int_equal(done, sizeof(data));
	fixture_destroy(f);
}

static void a_host_without_large_frames_gives_a_small_one(void **state)
{
	static uint8_t data[PAGE];
	FIXTURE(f);

	pattern(data, sizeof(data), 8);
	open_space(f, HOST_DIRECT_MAP);
	f->host.refuse_order = 1;
	assert_ok(axas_write(f->as, HUGE_BASE + PAGE, data, sizeof(data), 0, NULL));
	assert_memory_equal(guest_memory(f, HUGE_BASE + PAGE), data, sizeof(data));
	assert_int_equal(stats(f).guest_frames, 1);
	fixture_destroy(f);
}

/* As a guest's access, and as axas_read, says. */
static void a_frame_that_is_none_is_no_memory(void **state)
{
	static uint8_t data[PAGE];
	FIXTURE(f);

	open_space(f, HOST_DIRECT_MAP);
	f->host.nonsense = HOST_GIVES_UNALIGNED;
	f->host.nonsense_purpose = AXAS_FRAME_GUEST;
	assert_status(AXAS_ERR_NO_MEMORY, axas_read(f->as, BASE, data, 8, 0, NULL));
	assert_status(AXAS_ERR_NO_MEMORY, axas_write(f->as, BASE, data, 8, 0, NULL));
	assert_status(AXAS_ERR_NO_MEMORY, axas_write_u64(f->as, BASE, 0, 1));
	f->host.nonsense = HOST_SANE;
	assert_int_equal(stats(f).faults_no_memory, 3);
	assert_int_equal(stats(f).faults_error, 0);
	fixture_destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT_NO_SPACE(no_vcpu_sees_a_page_without_what_was_written_to_it),
		EACH_FORMAT_NO_SPACE(a_page_that_is_written_whole_is_not_zeroed_first),
		EACH_FORMAT_NO_SPACE(what_is_written_is_not_lost_to_a_fault_that_is_first),
		EACH_FORMAT_NO_SPACE(a_frame_that_meets_an_exclusive_call_is_not_lost),
		EACH_FORMAT_NO_SPACE(
			a_large_frame_beside_a_small_page_is_filled_again_as_a_small_one),
		ONE(a_frame_for_memory_of_another_type_is_not_installed, setup_host, arm),
		EACH_FORMAT_NO_SPACE(what_is_written_needs_no_frame_where_a_fault_took_the_last),
		EACH_FORMAT_NO_SPACE(a_host_without_large_frames_gives_a_small_one),
		EACH_FORMAT_NO_SPACE(a_frame_that_is_none_is_no_memory),
		EACH_FORMAT_NO_SPACE(without_memory_nothing_is_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
