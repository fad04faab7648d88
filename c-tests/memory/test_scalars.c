/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Single accesses of 8, 16, 32 and 64 bits. */
#include "ground.h"

#define VALUE 0x8877665544332211ull

static axas_status_t read_bits(axas_t *as, uint32_t bits, axas_gpa_t gpa, uint32_t access,
			       uint64_t *value)
{
	uint8_t v8 = (uint8_t)*value;
	uint16_t v16 = (uint16_t)*value;
	uint32_t v32 = (uint32_t)*value;
	axas_status_t status;

	if (bits == 64)
		return axas_read_u64(as, gpa, access, value);
	if (bits == 32) {
		status = axas_read_u32(as, gpa, access, &v32);
		*value = v32;
	} else if (bits == 16) {
		status = axas_read_u16(as, gpa, access, &v16);
		*value = v16;
	} else {
		status = axas_read_u8(as, gpa, access, &v8);
		*value = v8;
	}
	return status;
}

static axas_status_t write_bits(axas_t *as, uint32_t bits, axas_gpa_t gpa, uint32_t access,
				uint64_t value)
{
	if (bits == 64)
		return axas_write_u64(as, gpa, access, value);
	if (bits == 32)
		return axas_write_u32(as, gpa, access, (uint32_t)value);
	if (bits == 16)
		return axas_write_u16(as, gpa, access, (uint16_t)value);
	return axas_write_u8(as, gpa, access, (uint8_t)value);
}

static uint64_t of_width(uint64_t value, uint32_t bits)
{
	return bits == 64 ? value : value & ((1ull << bits) - 1);
}

static void a_value_comes_back_and_its_neighbours_stay(void **state)
{
	static const axas_gpa_t place[] = { AREA_LAZY, AREA_EXTENTS, AREA_POPULATED, AREA_HUGE,
					    AREA_LAZY_HUGE };
	FIXTURE(f);

	for
		EVERY_KIND(kind)
		{
			struct ground g = ground_open(f, *kind);

			for (size_t p = 0; p < sizeof(place) / sizeof(place[0]); p++) {
				for (uint32_t bits = 8; bits <= 64; bits *= 2) {
					/* the first of its page, and the last */
					const axas_gpa_t gpa[] = { place[p],
								   place[p] + PAGE - bits / 8 };

					for (size_t i = 0; i < 2; i++) {
						const uint64_t want =
							of_width(VALUE + bits + i, bits);
						uint64_t got = 0;

						assert_ok(write_bits(f->as, bits, gpa[i], 0, want));
						memcpy(ground_model(&g, gpa[i]), &want, bits / 8);
						ground_compare(&g, place[p], PAGE);
						assert_ok(read_bits(f->as, bits, gpa[i], 0, &got));
						assert_int_equal(got, want);
					}
				}
			}
			ground_close(&g);
		}
}

static void unaligned_and_null_are_invalid_and_store_nothing(void **state)
{
	FIXTURE(f);
	struct ground g = ground_open(f, HOST_CALLBACK);

	for (uint32_t bits = 16; bits <= 64; bits *= 2) {
		for (uint32_t off = 1; off < bits / 8; off++) {
			uint64_t value = of_width(VALUE, bits);

			assert_status(AXAS_ERR_INVALID_INPUT,
				      read_bits(f->as, bits, AREA_POPULATED + off, 0, &value));
			assert_int_equal(value, of_width(VALUE, bits));
			assert_status(AXAS_ERR_INVALID_INPUT,
				      write_bits(f->as, bits, AREA_POPULATED + off, 0, VALUE));
		}
	}
	assert_status(AXAS_ERR_INVALID_INPUT, axas_read_u8(f->as, GROUND, 0, NULL));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_read_u16(f->as, GROUND, 0, NULL));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_read_u32(f->as, GROUND, 0, NULL));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_read_u64(f->as, GROUND, 0, NULL));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_write_u64(NULL, GROUND, 0, 1));
	/* nothing was taken in on the way */
	assert_int_equal(stats(f).faults_resolved, 0);
	ground_close(&g);
}

/* Each refusal, at each width, and the value as it was. */
static void expect_refused(struct fixture *f, axas_gpa_t gpa, axas_status_t reads,
			   axas_status_t writes)
{
	for (uint32_t bits = 8; bits <= 64; bits *= 2) {
		uint64_t value = of_width(VALUE, bits);

		assert_status(reads, read_bits(f->as, bits, gpa, 0, &value));
		if (reads != AXAS_OK)
			assert_int_equal(value, of_width(VALUE, bits));
		assert_status(writes, write_bits(f->as, bits, gpa, 0, 0));
	}
}

static void what_a_copy_is_refused_a_scalar_is_refused(void **state)
{
	FIXTURE(f);
	uint64_t value = VALUE;

	ground_host(f, HOST_CALLBACK);
	ground_create(f);
	assert_ok(axas_map_trap(f->as, GIB, PAGE, 1));
	assert_ok(axas_map_alloc(f->as, GIB + PAGE, PAGE, AXAS_READ));
	assert_ok(axas_map_linear(f->as, GIB + 2 * PAGE, LINEAR_IN_POOL, PAGE, RW | AXAS_DEVICE));
	assert_ok(axas_map_linear(f->as, GIB + 3 * PAGE, LINEAR_HPA, PAGE, RW));
	assert_ok(axas_map_alloc(f->as, GIB + 4 * PAGE, PAGE, RW));
	expect_refused(f, 0, AXAS_ERR_NOT_MAPPED, AXAS_ERR_NOT_MAPPED);
	expect_refused(f, GIB, AXAS_ERR_NOT_MAPPED, AXAS_ERR_NOT_MAPPED);
	expect_refused(f, GIB + PAGE, AXAS_OK, AXAS_ERR_DENIED);
	expect_refused(f, GIB + 2 * PAGE, AXAS_ERR_UNSUPPORTED, AXAS_ERR_UNSUPPORTED);
	expect_refused(f, GIB + 3 * PAGE, AXAS_ERR_UNSUPPORTED, AXAS_ERR_UNSUPPORTED);
	expect_refused(f, SPACE_SIZE, AXAS_ERR_INVALID_INPUT, AXAS_ERR_INVALID_INPUT);
	expect_refused(f, ~7ull, AXAS_ERR_INVALID_INPUT, AXAS_ERR_INVALID_INPUT);
	f->host.fail_purpose = AXAS_FRAME_GUEST;
	expect_refused(f, GIB + 4 * PAGE, AXAS_ERR_NO_MEMORY, AXAS_ERR_NO_MEMORY);
	f->host.fail_purpose = 0;
	assert_status(AXAS_ERR_DENIED,
		      axas_read_u64(f->as, GIB + PAGE, AXAS_ACCESS_EXECUTE, &value));
	assert_ok(axas_write_u64(f->as, GIB + PAGE, AXAS_ACCESS_HOST, VALUE));
	assert_ok(axas_read_u64(f->as, GIB + PAGE, AXAS_ACCESS_HOST, &value));
	assert_int_equal(value, VALUE);
	host_check(&f->host);
}

static void the_last_bytes_of_the_space_are_there(void **state)
{
	FIXTURE(f);
	uint64_t value = 0;

	ground_host(f, HOST_CALLBACK);
	ground_create(f);
	assert_ok(axas_map_alloc(f->as, SPACE_SIZE - PAGE, PAGE, RW));
	assert_ok(axas_write_u64(f->as, SPACE_SIZE - 8, 0, VALUE));
	assert_ok(axas_read_u64(f->as, SPACE_SIZE - 8, 0, &value));
	assert_int_equal(value, VALUE);
}

static void a_host_that_loses_the_alignment_is_found_out(void **state)
{
	FIXTURE(f);
	uint64_t value = VALUE;

	ground_host(f, HOST_CALLBACK);
	ground_create(f);
	assert_ok(axas_map_linear(f->as, GIB, LINEAR_IN_POOL, PAGE, RW));
	f->host.askew = 1;
	assert_true(axas_read_u64(f->as, GIB, 0, &value) == AXAS_ERR_BAD_STATE);
	f->host.askew = 0;
	assert_int_equal(value, VALUE);
	assert_ok(axas_read_u64(f->as, GIB, 0, &value));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT_NO_SPACE(a_value_comes_back_and_its_neighbours_stay),
		EACH_FORMAT_NO_SPACE(unaligned_and_null_are_invalid_and_store_nothing),
		EACH_FORMAT_NO_SPACE(what_a_copy_is_refused_a_scalar_is_refused),
		EACH_FORMAT_NO_SPACE(the_last_bytes_of_the_space_are_there),
		EACH_FORMAT_NO_SPACE(a_host_that_loses_the_alignment_is_found_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
