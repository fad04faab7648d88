/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* axas_for_each_chunk: the pieces, their order and their size. */
#include "ground.h"

struct visits {
	const struct ground *g;
	axas_gpa_t next;
	uint64_t bytes, count, largest;
	uint64_t stop_after; /* chunks; 0: never */
	int wrong;
};

/* No assertion in here: the library is on the stack. */
static uint32_t look(void *ctx, axas_gpa_t gpa, void *host, size_t bytes)
{
	struct visits *v = ctx;

	if (gpa != v->next || bytes == 0 || memcmp(host, ground_model(v->g, gpa), bytes) != 0)
		v->wrong = 1;
	v->next = gpa + bytes;
	v->bytes += bytes;
	v->count++;
	v->largest = bytes > v->largest ? bytes : v->largest;
	return v->count != v->stop_after;
}

static void chunks_come_in_order_and_cover_all(void **state)
{
	FIXTURE(f);

	for
		EVERY_KIND(kind)
		{
			struct ground g = ground_open(f, *kind);
			struct visits v = { .g = &g, .next = GROUND + 3 };

			ground_write(&g, GROUND, GROUND_BYTES, 5, 0);
			assert_ok(axas_for_each_chunk(f->as, GROUND + 3, GROUND_BYTES - 5,
						      AXAS_READ, look, &v));
			assert_int_equal(v.wrong, 0);
			assert_int_equal(v.bytes, GROUND_BYTES - 5);
			/* a huge page comes in the largest pieces there are, unless windows are smaller */
			assert_int_equal(v.largest, *kind == HOST_WINDOWS ? PAGE : 64 * 1024);
			ground_close(&g);
		}
}

static void a_chunk_lies_in_memory_that_the_host_has_side_by_side(void **state)
{
	FIXTURE(f);
	struct ground g = ground_open(f, HOST_CALLBACK);
	struct visits v = { .g = &g, .next = AREA_EXTENTS + 2 * PAGE };

	/* between the two extents the host addresses go backwards */
	assert_ok(axas_for_each_chunk(f->as, AREA_EXTENTS + 2 * PAGE, 2 * PAGE, RW, look, &v));
	assert_int_equal(v.wrong, 0);
	assert_int_equal(v.count, 2);
	ground_close(&g);
}

static void a_chunk_can_be_the_last(void **state)
{
	FIXTURE(f);

	for
		EVERY_KIND(kind)
		{
			struct ground g = ground_open(f, *kind);
			struct visits v = { .g = &g, .next = AREA_LAZY, .stop_after = 2 };

			assert_ok(axas_for_each_chunk(f->as, AREA_LAZY, 5 * PAGE, AXAS_READ, look,
						      &v));
			host_check(&f->host);
			assert_int_equal(v.wrong, 0);
			assert_int_equal(v.count, 2);
			/* and nothing behind it was taken in */
			expect_state(f, AREA_LAZY + PAGE, AXAS_STATE_OWNED);
			expect_state(f, AREA_LAZY + 2 * PAGE, AXAS_STATE_RESERVED);
			ground_close(&g);
		}
}

static uint32_t scribble(void *ctx, axas_gpa_t gpa, void *host, size_t bytes)
{
	(void)gpa;
	memset(host, *(const uint8_t *)ctx, bytes);
	return 1;
}

static void what_is_written_through_a_chunk_is_the_guests(void **state)
{
	FIXTURE(f);

	for
		EVERY_KIND(kind)
		{
			struct ground g = ground_open(f, *kind);
			uint8_t byte = 0x9c;

			assert_ok(axas_for_each_chunk(f->as, GROUND + 1, GROUND_BYTES - 2,
						      AXAS_WRITE, scribble, &byte));
			memset(ground_model(&g, GROUND + 1), byte, GROUND_BYTES - 2);
			ground_close(&g);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT_NO_SPACE(chunks_come_in_order_and_cover_all),
		EACH_FORMAT_NO_SPACE(a_chunk_lies_in_memory_that_the_host_has_side_by_side),
		EACH_FORMAT_NO_SPACE(a_chunk_can_be_the_last),
		EACH_FORMAT_NO_SPACE(what_is_written_through_a_chunk_is_the_guests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
