/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Random reads, writes and fills against the bytes that should be there. */
#include <sched.h>

#include "ground.h"

#define STEPS 1500u

static uint64_t seed_now;

static uint64_t next_random(void)
{
	seed_now ^= seed_now << 13;
	seed_now ^= seed_now >> 7;
	seed_now ^= seed_now << 17;
	return seed_now;
}

/* Mostly short, at times longer than one hold of the lock; near the edges of areas more often. */
static void pick_range(axas_gpa_t *gpa, size_t *bytes)
{
	static const axas_gpa_t edge[] = { AREA_EXTENTS, AREA_POPULATED, AREA_HUGE, AREA_LAZY_HUGE,
					   AREA_LAST };
	const uint64_t most = next_random() % 8 == 0 ? 150 * 1024 : 3 * PAGE;
	uint64_t length = 1 + next_random() % most;

	if (next_random() % 2 == 0)
		*gpa = GROUND + next_random() % GROUND_BYTES;
	else
		*gpa = edge[next_random() % 5] - next_random() % (2 * PAGE);
	if (length > GROUND_END - *gpa)
		length = GROUND_END - *gpa;
	*bytes = length;
}

static void discard_some(struct ground *g)
{
	const uint64_t page = next_random() % 5;

	assert_ok(axas_discard(g->f->as, AREA_LAZY + page * PAGE, PAGE));
	memset(ground_model(g, AREA_LAZY + page * PAGE), 0, PAGE);
}

static void step(struct ground *g, uint32_t reads_as)
{
	axas_gpa_t gpa;
	size_t bytes;

	pick_range(&gpa, &bytes);
	switch (next_random() % 8) {
	case 0:
	case 1:
	case 2:
		ground_write(g, gpa, bytes, (uint8_t)next_random(),
			     next_random() % 2 ? AXAS_ACCESS_HOST : 0);
		break;
	case 3:
		ground_fill(g, gpa, bytes, (uint8_t)next_random(), 0);
		break;
	case 4:
		discard_some(g);
		break;
	default:
		ground_read(g, gpa, bytes, next_random() % 2 ? reads_as : 0);
		break;
	}
	cleaned_count = 0;
}

static void random_copies_are_what_a_model_of_bytes_says(void **state)
{
	FIXTURE(f);

	for
		EVERY_KIND(kind)
		{
			struct ground g = ground_open(f, *kind);

			seed_now = 0x1234567 + (uint64_t)*kind + f->fc->format * 100;
			f->host.quick = 1;
			for (uint32_t i = 0; i < STEPS; i++)
				step(&g, AXAS_ACCESS_EXECUTE);
			f->host.quick = 0;
			ground_close(&g);
		}
}

/* Right behind the ground, so that both are under the same tables. */
#define BESIDE       GROUND_END
#define BESIDE_BYTES (2 * MIB + 9 * PAGE)

struct mapper {
	struct fixture *f;
	_Atomic uint32_t stop, steps, rounds;
	uint32_t failed;
};

/* Tables come and go, and huge pages are split, beside the copies. */
static void *map_and_unmap(void *arg)
{
	struct mapper *m = arg;
	axas_t *as = m->f->as;

	while (!atomic_load(&m->stop)) {
		/* neither gets far ahead of the other */
		if (atomic_load(&m->rounds) > atomic_load(&m->steps)) {
			sched_yield();
			continue;
		}
		m->failed += axas_map_alloc(as, BESIDE, BESIDE_BYTES, RW) != AXAS_OK;
		m->failed += axas_populate(as, BESIDE, 3 * PAGE) != AXAS_OK;
		m->failed += axas_protect(as, BESIDE + PAGE, 2 * MIB, AXAS_READ) != AXAS_OK;
		m->failed += axas_discard(as, BESIDE, PAGE) != AXAS_OK;
		m->failed += axas_unmap(as, BESIDE, BESIDE_BYTES) != AXAS_OK;
		m->failed += axas_protect(as, AREA_HUGE + PAGE, PAGE, RW) != AXAS_OK;
		m->failed += axas_protect(as, AREA_HUGE + PAGE, PAGE, RWX) != AXAS_OK;
		atomic_fetch_add(&m->rounds, 1);
	}
	return NULL;
}

static void random_copies_are_right_beside_a_thread_that_maps(void **state)
{
	FIXTURE(f);

	for
		EVERY_KIND(kind)
		{
			struct ground g = ground_open(f, *kind);
			struct mapper m = { .f = f };
			pthread_t thread;

			seed_now = 0x7654321 + (uint64_t)*kind + f->fc->format * 100;
			f->host.quick = 1;
			assert_int_equal(pthread_create(&thread, NULL, map_and_unmap, &m), 0);
			for (uint32_t i = 0; i < STEPS / 5; i++) {
				step(&g, AXAS_ACCESS_HOST);
				atomic_fetch_add(&m.steps, 1);
				while (atomic_load(&m.rounds) < i / 4)
					sched_yield();
			}
			atomic_store(&m.stop, 1);
			pthread_join(thread, NULL);
			f->host.quick = 0;
			assert_int_equal(m.failed, 0);
			ground_close(&g);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT_NO_SPACE(random_copies_are_what_a_model_of_bytes_says),
		EACH_FORMAT_NO_SPACE(random_copies_are_right_beside_a_thread_that_maps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
