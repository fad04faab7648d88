/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Single accesses are single: whoever looks meanwhile sees all of a value or nothing of it. */
#include <sched.h>

#include "ground.h"

#define READS   10000u
#define CHANGES 20u /* of the value, that the reader must have seen */

enum side { BY_LIBRARY, BY_HOST_POINTER };

struct cell {
	struct fixture *f;
	uint32_t bits;
	axas_gpa_t gpa;
	void *host;
	enum side writer, reader;
	_Atomic uint32_t stop, failed;
};

static uint64_t all_ones(uint32_t bits)
{
	return ~0ull >> (64 - bits);
}

static void store(struct cell *c, uint64_t value)
{
	axas_t *as = c->f->as;
	axas_status_t status = AXAS_OK;

	if (c->writer == BY_HOST_POINTER && c->bits == 16)
		atomic_store((_Atomic uint16_t *)c->host, (uint16_t)value);
	else if (c->writer == BY_HOST_POINTER && c->bits == 32)
		atomic_store((_Atomic uint32_t *)c->host, (uint32_t)value);
	else if (c->writer == BY_HOST_POINTER)
		atomic_store((_Atomic uint64_t *)c->host, value);
	else if (c->bits == 16)
		status = axas_write_u16(as, c->gpa, 0, (uint16_t)value);
	else if (c->bits == 32)
		status = axas_write_u32(as, c->gpa, 0, (uint32_t)value);
	else
		status = axas_write_u64(as, c->gpa, 0, value);
	if (status != AXAS_OK)
		atomic_store(&c->failed, 1);
}

static uint64_t load(struct cell *c)
{
	axas_t *as = c->f->as;
	axas_status_t status;
	uint16_t v16 = 0;
	uint32_t v32 = 0;
	uint64_t v64 = 0;

	if (c->reader == BY_HOST_POINTER && c->bits == 16)
		return atomic_load((_Atomic uint16_t *)c->host);
	if (c->reader == BY_HOST_POINTER && c->bits == 32)
		return atomic_load((_Atomic uint32_t *)c->host);
	if (c->reader == BY_HOST_POINTER)
		return atomic_load((_Atomic uint64_t *)c->host);
	if (c->bits == 16)
		status = axas_read_u16(as, c->gpa, 0, &v16);
	else if (c->bits == 32)
		status = axas_read_u32(as, c->gpa, 0, &v32);
	else
		status = axas_read_u64(as, c->gpa, 0, &v64);
	assert_ok(status);
	return v16 | v32 | v64;
}

static void *write_ones_and_zeros(void *arg)
{
	struct cell *c = arg;

	while (!atomic_load(&c->stop)) {
		store(c, all_ones(c->bits));
		store(c, 0);
	}
	return NULL;
}

static void look_for_mixtures(struct cell *c)
{
	uint64_t last = 0, mixed = 0;
	uint32_t changes = 0;
	pthread_t writer;

	assert_int_equal(pthread_create(&writer, NULL, write_ones_and_zeros, c), 0);
	for (uint32_t i = 0; i < READS || changes < CHANGES; i++) {
		const uint64_t value = load(c);

		if (value != 0 && value != all_ones(c->bits))
			mixed = value;
		changes += value != last;
		last = value;
		if (i % 256 == 0)
			sched_yield();
	}
	atomic_store(&c->stop, 1);
	pthread_join(writer, NULL);
	assert_int_equal(atomic_load(&c->failed), 0);
	if (mixed != 0)
		fail_msg("%u bits were seen as %#llx", c->bits, (unsigned long long)mixed);
}

static void nobody_sees_half_of_a_value(void **state)
{
	static const enum side side[][2] = {
		{ BY_LIBRARY, BY_LIBRARY },
		{ BY_LIBRARY, BY_HOST_POINTER },
		{ BY_HOST_POINTER, BY_LIBRARY },
	};
	FIXTURE(f);

	ground_host(f, HOST_CALLBACK);
	f->host.quick = 1;
	ground_create(f);
	assert_ok(axas_map_alloc(f->as, GIB, PAGE, RW | AXAS_POPULATE));
	for (uint32_t bits = 16; bits <= 64; bits *= 2)
		for (size_t i = 0; i < sizeof(side) / sizeof(side[0]); i++) {
			const axas_gpa_t gpa = GIB + PAGE - bits / 8;
			struct cell c = {
				.f = f,
				.bits = bits,
				.gpa = gpa,
				.host = guest_memory(f, gpa),
				.writer = side[i][0],
				.reader = side[i][1],
			};

			look_for_mixtures(&c);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT_NO_SPACE(nobody_sees_half_of_a_value),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
