/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the host can reach, must not reach, and has to clean. */
#include "ground.h"

static axas_phys_to_virt_fn reach_of_host;
static uint32_t asked_for_linear;

static void *count_linear(void *ctx, axas_hpa_t pa, size_t size)
{
	if (pa >= LINEAR_IN_POOL)
		asked_for_linear++;
	return reach_of_host(ctx, pa, size);
}

/* A host that is asked for linear memory through count_linear. */
static void counting_host(struct fixture *f, enum host_map_kind kind)
{
	ground_host(f, kind);
	reach_of_host = f->host.hal.phys_to_virt;
	f->host.hal.phys_to_virt = count_linear;
	asked_for_linear = 0;
}

/* From one byte before GIB + PAGE on, every call is refused after this byte. */
static void expect_refused(struct fixture *f, uint32_t access)
{
	uint8_t buf[2] = { 1, 2 };
	uint64_t filled = 9;
	size_t done = 9;

	assert_status(AXAS_ERR_UNSUPPORTED,
		      axas_read(f->as, GIB + PAGE - 1, buf, 2, access, &done));
	assert_int_equal(done, 1);
	assert_int_equal(buf[1], 2);
	assert_status(AXAS_ERR_UNSUPPORTED,
		      axas_write(f->as, GIB + PAGE - 1, buf, 2, access, &done));
	assert_int_equal(done, 1);
	assert_status(AXAS_ERR_UNSUPPORTED,
		      axas_fill(f->as, GIB + PAGE - 1, 1, 2, access, &filled));
	assert_int_equal(filled, 1);
	host_check(&f->host);
}

static void linear_device_memory_is_never_touched(void **state)
{
	static const axas_flags_t device[] = { AXAS_DEVICE, AXAS_DEVICE_NGNRNE, AXAS_DEVICE_NGRE,
					       AXAS_DEVICE_GRE };
	FIXTURE(f);
	const size_t types = f->fc->format == AXAS_FORMAT_ARM_S2 ? 4 : 1;

	for
		EVERY_KIND(kind)
		{
			for (size_t i = 0; i < types; i++) {
				if (*kind == HOST_DIRECT_MAP)
					ground_host(f, *kind);
				else
					counting_host(f, *kind);
				ground_create(f);
				memset(host_at(&f->host, LINEAR_IN_POOL), 0x66, PAGE);
				assert_ok(axas_map_alloc(f->as, GIB, PAGE, RW));
				assert_ok(axas_map_linear(f->as, GIB + PAGE, LINEAR_IN_POOL, PAGE,
							  RW | device[i]));
				asked_for_linear = 0;
				expect_refused(f, 0);
				expect_refused(f, AXAS_ACCESS_HOST);
				assert_int_equal(asked_for_linear, 0);
				assert_int_equal(*(uint8_t *)host_at(&f->host, LINEAR_IN_POOL),
						 0x66);
				fixture_destroy(f);
			}
		}
}

/* The library's own frames are memory, whatever the guest takes them for. */
static void device_memory_of_the_library_is_copied(void **state)
{
	static const axas_flags_t device[] = { AXAS_DEVICE, AXAS_DEVICE_NGNRNE, AXAS_DEVICE_NGRE,
					       AXAS_DEVICE_GRE };
	FIXTURE(f);
	const size_t types = f->fc->format == AXAS_FORMAT_ARM_S2 ? 4 : 1;

	for
		EVERY_KIND(kind)
		{
			ground_host(f, *kind);
			ground_create(f);
			for (size_t i = 0; i < types; i++) {
				uint8_t buf[8] = { 0 };
				uint32_t value = 0;

				assert_ok(axas_map_alloc(f->as, GIB, 2 * PAGE, RW | device[i]));
				assert_ok(axas_fill(f->as, GIB, 0x57, 2 * PAGE, 0, NULL));
				assert_ok(axas_read(f->as, GIB + PAGE - 4, buf, 8, 0, NULL));
				assert_int_equal(buf[0], 0x57);
				assert_int_equal(buf[7], 0x57);
				buf[7] = 0x58;
				assert_ok(axas_write(f->as, GIB + PAGE - 4, buf, 8, 0, NULL));
				assert_ok(axas_read_u32(f->as, GIB + PAGE, 0, &value));
				assert_int_equal(value, 0x58575757);
				assert_int_equal(guest_memory(f, GIB + PAGE)[3], 0x58);
				assert_ok(axas_unmap(f->as, GIB, 2 * PAGE));
			}
			fixture_destroy(f);
		}
}

static void uncached_memory_is_memory(void **state)
{
	FIXTURE(f);
	uint32_t value = 0;

	f->cfg.features |=
		f->fc->format == AXAS_FORMAT_RISCV_GSTAGE ? (uint32_t)AXAS_FEATURE_RISCV_SVPBMT : 0;
	ground_host(f, HOST_CALLBACK);
	ground_create(f);
	assert_ok(axas_map_linear(f->as, GIB, LINEAR_IN_POOL, PAGE, RW | AXAS_UNCACHED));
	assert_ok(axas_map_alloc(f->as, GIB + PAGE, PAGE, RW | AXAS_UNCACHED));
	assert_ok(axas_fill(f->as, GIB + 4, 0x21, PAGE, 0, NULL));
	assert_ok(axas_read_u32(f->as, GIB + PAGE, 0, &value));
	assert_int_equal(value, 0x21212121);
	assert_int_equal(*(uint8_t *)host_at(&f->host, LINEAR_IN_POOL + 4), 0x21);
}

static void linear_memory_that_the_host_cannot_reach_is_refused(void **state)
{
	FIXTURE(f);

	for
		EVERY_KIND(kind)
		{
			if (*kind == HOST_DIRECT_MAP)
				continue;
			ground_host(f, *kind);
			ground_create(f);
			assert_ok(axas_map_alloc(f->as, GIB, PAGE, RW));
			assert_ok(axas_map_linear(f->as, GIB + PAGE, LINEAR_HPA, PAGE, RW));
			expect_refused(f, 0);
			expect_refused(f, AXAS_ACCESS_HOST);
			fixture_destroy(f);
		}
}

static void *reach_linear_only(void *ctx, axas_hpa_t pa, size_t size)
{
	struct host *h = ctx;

	(void)size;
	if (pa < LINEAR_IN_POOL)
		host_violation(h, "asked for a frame that lies in the direct map");
	asked_for_linear++;
	return host_at(h, pa);
}

static void a_direct_map_covers_linear_memory_only_where_the_host_says_so(void **state)
{
	FIXTURE(f);
	const uint8_t byte = 0x77;

	for (uint32_t asks = 0; asks < 2; asks++) {
		ground_host(f, HOST_DIRECT_MAP);
		f->host.hal.flags = AXAS_HAL_DIRECT_MAP;
		f->host.hal.phys_to_virt = asks ? reach_linear_only : NULL;
		asked_for_linear = 0;
		ground_create(f);
		assert_ok(axas_map_alloc(f->as, GIB, PAGE, RW));
		assert_ok(axas_map_linear(f->as, GIB + PAGE, LINEAR_IN_POOL, PAGE, RW));
		assert_ok(axas_write(f->as, GIB, &byte, 1, 0, NULL));
		assert_int_equal(asked_for_linear, 0);
		if (asks) {
			assert_ok(axas_write(f->as, GIB + PAGE, &byte, 1, 0, NULL));
			assert_int_equal(*(uint8_t *)host_at(&f->host, LINEAR_IN_POOL), 0x77);
			assert_int_equal(asked_for_linear, 1);
		} else {
			expect_refused(f, 0);
		}
		fixture_destroy(f);
	}
	ground_host(f, HOST_DIRECT_MAP);
	f->host.hal.phys_to_virt = reach_linear_only;
	asked_for_linear = 0;
	ground_create(f);
	assert_ok(axas_map_linear(f->as, GIB, LINEAR_IN_POOL, PAGE, RW));
	assert_ok(axas_write(f->as, GIB, &byte, 1, 0, NULL));
	assert_int_equal(asked_for_linear, 0);
}

static void windows_are_closed_whatever_happens(void **state)
{
	FIXTURE(f);
	struct ground g = ground_open(f, HOST_WINDOWS);
	uint32_t opened = f->host.windows_opened;
	size_t done;

	/* more bytes than a window has, out of a page that is larger; then into the hole behind all */
	ground_read(&g, AREA_HUGE + 100, 5 * PAGE, 0);
	assert_true(f->host.windows_opened - opened >= 6);
	assert_status(AXAS_ERR_NOT_MAPPED, axas_read(f->as, GROUND_END - 10, g.buf, 11, 0, &done));
	assert_int_equal(done, 10);
	host_check(&f->host);
	ground_close(&g);
}

/* Each byte that was written was cleaned where it lies, and no other. */
static void expect_cleaned(const struct fixture *f, axas_gpa_t gpa, uint64_t bytes)
{
	uint64_t sum = 0;

	assert_true(cleaned_count <= MOST_CLEANED);
	for (uint32_t i = 0; i < cleaned_count; i++)
		sum += cleaned[i].bytes;
	assert_int_equal(sum, bytes);
	for (uint64_t at_byte = 0; at_byte < bytes; at_byte++) {
		const uint8_t *va = guest_memory(f, gpa + at_byte);
		uint32_t times = 0;

		for (uint32_t i = 0; i < cleaned_count; i++)
			times += va >= cleaned[i].va && va < cleaned[i].va + cleaned[i].bytes;
		assert_int_equal(times, 1);
	}
	cleaned_count = 0;
}

static uint32_t visit(void *ctx, axas_gpa_t gpa, void *host, size_t bytes)
{
	(void)ctx;
	(void)gpa;
	(void)host;
	(void)bytes;
	return 1;
}

static void what_is_written_with_clean_is_cleaned_and_nothing_else(void **state)
{
	const axas_gpa_t from = AREA_EXTENTS + 2 * PAGE + 17;
	const size_t bytes = 6 * PAGE + 5;
	FIXTURE(f);

	for
		EVERY_KIND(kind)
		{
			struct ground g = ground_open(f, *kind);

			if (*kind == HOST_WINDOWS) {
				/* windows are elsewhere for the test: how much was cleaned is to be seen */
				ground_write(&g, from, bytes, 1, AXAS_ACCESS_CLEAN);
				for (uint32_t i = 1; i < cleaned_count; i++)
					cleaned[0].bytes += cleaned[i].bytes;
				assert_int_equal(cleaned[0].bytes, bytes);
				ground_close(&g);
				continue;
			}
			ground_write(&g, from, bytes, 1, 0);
			ground_fill(&g, from, bytes, 2, AXAS_ACCESS_HOST);
			ground_read(&g, from, bytes, 0);
			assert_int_equal(cleaned_count, 0);
			ground_write(&g, from, bytes, 3, AXAS_ACCESS_CLEAN);
			expect_cleaned(f, from, bytes);
			ground_fill(&g, from, bytes, 4, AXAS_ACCESS_CLEAN | AXAS_ACCESS_HOST);
			expect_cleaned(f, from, bytes);
			assert_ok(axas_for_each_chunk(f->as, from, bytes,
						      AXAS_WRITE | AXAS_ACCESS_CLEAN, visit, NULL));
			expect_cleaned(f, from, bytes);
			ground_compare(&g, from, 2);
			memset(ground_model(&g, from + 7), 0, 4);
			assert_ok(axas_write_u32(f->as, from + 7, AXAS_ACCESS_CLEAN, 0));
			expect_cleaned(f, from + 7, 4);
			ground_close(&g);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT_NO_SPACE(linear_device_memory_is_never_touched),
		EACH_FORMAT_NO_SPACE(device_memory_of_the_library_is_copied),
		EACH_FORMAT_NO_SPACE(uncached_memory_is_memory),
		EACH_FORMAT_NO_SPACE(linear_memory_that_the_host_cannot_reach_is_refused),
		EACH_FORMAT_NO_SPACE(a_direct_map_covers_linear_memory_only_where_the_host_says_so),
		EACH_FORMAT_NO_SPACE(windows_are_closed_whatever_happens),
		EACH_FORMAT_NO_SPACE(what_is_written_with_clean_is_cleaned_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
