/* Copies beside calls that take the memory away. */
#include <sched.h>
#include <unistd.h>

#include "ground.h"

#define PAGES  8u
#define BYTES  (PAGES * PAGE)
#define ROUNDS 120u
#define MARK   0x77

struct copier {
	pthread_t thread;
	struct fixture *f;
	_Atomic uint32_t stop;
	_Atomic uint64_t moved, refused; /* calls that got somewhere, calls that found a hole */
	uint64_t strange;
};

static int may_be(axas_status_t status)
{
	return status == AXAS_OK || status == AXAS_ERR_NOT_MAPPED;
}

static void *copy_all_the_time(void *arg)
{
	struct copier *c = arg;
	static _Thread_local uint8_t buf[BYTES];
	axas_stats_t s;

	/* tells the host's records how many windows this space may have open on this thread */
	if (axas_stats(c->f->as, &s) != AXAS_OK)
		c->strange++;
	while (!atomic_load(&c->stop)) {
		uint64_t filled = 0;
		size_t done = 0;
		axas_status_t status = axas_fill(c->f->as, GIB, MARK, BYTES, 0, &filled);

		c->strange += !may_be(status) || (status == AXAS_OK) != (filled == BYTES);
		atomic_fetch_add(&c->moved, filled != 0);
		atomic_fetch_add(&c->refused, status != AXAS_OK);
		status = axas_read(c->f->as, GIB, buf, BYTES, 0, &done);
		c->strange += !may_be(status) || (status == AXAS_OK) != (done == BYTES);
		/* a frame that went back is poison, and a new one is zero until it is filled */
		for (size_t i = 0; i < done; i++)
			c->strange += buf[i] != 0 && buf[i] != MARK;
	}
	return NULL;
}

/* Both sides get their turn, or nothing is tested; ctest ends a wait that has no end. */
static void wait_for_change(const _Atomic uint64_t *count)
{
	const uint64_t before = atomic_load(count);

	while (atomic_load(count) == before)
		sched_yield();
}

static void unmap_under_copies(struct fixture *f, enum host_map_kind kind)
{
	struct copier c = { .f = f };

	ground_host(f, kind);
	f->host.hal.clean_range = NULL;
	f->host.poison_guest = 0;
	f->host.quick = 1;
	ground_create(f);
	assert_int_equal(pthread_create(&c.thread, NULL, copy_all_the_time, &c), 0);
	for (uint32_t i = 0; i < ROUNDS; i++) {
		assert_ok(axas_map_alloc(f->as, GIB, BYTES, i % 2 ? RW : RW | AXAS_POPULATE));
		wait_for_change(&c.moved);
		assert_ok(axas_unmap(f->as, GIB, BYTES));
		if (i % 8 == 0)
			wait_for_change(&c.refused);
	}
	atomic_store(&c.stop, 1);
	pthread_join(c.thread, NULL);
	host_check(&f->host);
	assert_int_equal(c.strange, 0);
	f->host.quick = 0;
	fixture_destroy(f);
}

static void a_copy_never_uses_memory_that_went_back(void **state)
{
	FIXTURE(f);

	for
		EVERY_KIND(kind)
	unmap_under_copies(f, *kind);
}

struct meeting {
	struct fixture *f;
	pthread_t thread;
	axas_status_t status;
	size_t done;
	_Atomic uint32_t returned;
	uint32_t returned_in_flush;
};

static void *read_meanwhile(void *arg)
{
	struct meeting *m = arg;
	uint8_t buf[2];

	m->status = axas_read(m->f->as, GIB, buf, sizeof(buf), 0, &m->done);
	atomic_store(&m->returned, 1);
	return NULL;
}

/* The space is held exclusively now: a copy is refused, or waits. */
static void meet_in_flush(struct host *h, const axas_tlb_request_t *request)
{
	struct meeting *m = h->in_flush_arg;

	(void)request;
	h->in_flush = NULL;
	if (pthread_create(&m->thread, NULL, read_meanwhile, m) != 0)
		host_violation(h, "no thread");
	for (uint32_t i = 0; i < 200 && !atomic_load(&m->returned); i++)
		usleep(100);
	m->returned_in_flush = atomic_load(&m->returned);
}

static void meet(struct meeting *m, uint32_t options)
{
	struct fixture *f = m->f;

	f->cfg.options = options;
	ground_host(f, HOST_CALLBACK);
	ground_create(f);
	assert_ok(axas_map_alloc(f->as, GIB, PAGE, RW | AXAS_POPULATE));
	m->done = 99;
	f->host.in_flush = meet_in_flush;
	f->host.in_flush_arg = m;
	assert_ok(axas_unmap(f->as, GIB, PAGE));
	pthread_join(m->thread, NULL);
	assert_int_equal(m->done, 0);
	host_check(&f->host);
}

static void a_copy_waits_for_an_unmap_and_finds_a_hole(void **state)
{
	FIXTURE(f);
	struct meeting m = { .f = f };

	meet(&m, 0);
	assert_int_equal(m.returned_in_flush, 0);
	assert_int_equal(m.status, AXAS_ERR_NOT_MAPPED);
}

static void a_copy_that_may_not_wait_says_again(void **state)
{
	FIXTURE(f);
	struct meeting m = { .f = f };

	meet(&m, AXAS_NO_WAIT);
	assert_int_equal(m.returned_in_flush, 1);
	assert_int_equal(m.status, AXAS_ERR_AGAIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT_NO_SPACE(a_copy_never_uses_memory_that_went_back),
		EACH_FORMAT_NO_SPACE(a_copy_waits_for_an_unmap_and_finds_a_hole),
		EACH_FORMAT_NO_SPACE(a_copy_that_may_not_wait_says_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
