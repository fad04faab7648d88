/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Copies beside calls that take the memory away: once such a call has returned, no copy touches
 * what it took.
 */
#include <sched.h>
#include <unistd.h>

#include "ground.h"

#define PAGES  8u
#define BYTES  (PAGES * PAGE)
#define ROUNDS 20u
#define MARK   0x77 /* what copies write */
#define LEFT   0x21 /* what the host writes where no copy may write any more */

struct copier {
	pthread_t thread;
	struct fixture *f;
	_Atomic uint32_t stop;
	_Atomic uint64_t moved, refused; /* calls that got somewhere, calls that found a hole */
	axas_status_t refusal; /* what a copy may meet besides success */
	uint64_t strange;
};

static void note(struct copier *c, axas_status_t status, int all)
{
	c->strange += status != AXAS_OK && status != c->refusal;
	c->strange += (status == AXAS_OK) != all;
}

static uint32_t mark_chunk(void *ctx, axas_gpa_t gpa, void *host, size_t bytes)
{
	/* time for the other side to take it away, if that were possible */
	if (gpa == GIB)
		usleep(1);
	memset(host, MARK, bytes);
	*(uint64_t *)ctx += bytes;
	return 1;
}

static void write_each_way(struct copier *c)
{
	static const uint8_t marks[2] = { MARK, MARK };
	axas_t *as = c->f->as;
	uint64_t filled = 0, visited = 0;
	size_t written = 0;
	axas_status_t status = axas_fill(as, GIB, MARK, BYTES, 0, &filled);

	note(c, status, filled == BYTES);
	atomic_fetch_add(&c->moved, filled != 0);
	atomic_fetch_add(&c->refused, status != AXAS_OK);
	status = axas_for_each_chunk(as, GIB, BYTES, AXAS_WRITE, mark_chunk, &visited);
	note(c, status, visited == BYTES);
	status = axas_write(as, GIB + PAGE - 1, marks, 2, 0, &written);
	note(c, status, written == 2);
	status = axas_write_u64(as, GIB + PAGE, 0, MARK * 0x0101010101010101ull);
	note(c, status, status == AXAS_OK);
}

static void *copy_all_the_time(void *arg)
{
	struct copier *c = arg;
	static _Thread_local uint8_t buf[BYTES];
	axas_stats_t s;

	/* tells the host's records how many windows this space may have open on this thread */
	if (axas_stats(c->f->as, &s) != AXAS_OK)
		c->strange++;
	while (axas_fill(c->f->as, GIB, MARK, 1, 0, NULL) == AXAS_ERR_NOT_MAPPED)
		sched_yield();
	while (!atomic_load(&c->stop)) {
		size_t done = 0;
		axas_status_t status;

		write_each_way(c);
		status = axas_read(c->f->as, GIB, buf, BYTES, 0, &done);
		note(c, status, done == BYTES);
		/* a frame that went back is poison, and a new one is zero until it is filled */
		for (size_t i = 0; i < done; i++)
			c->strange += buf[i] != 0 && buf[i] != MARK && buf[i] != LEFT;
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

/* Host memory in which copies have no business any more. */
static void expect_left_alone(struct copier *c, axas_hpa_t hpa, const _Atomic uint64_t *count)
{
	uint8_t *memory = host_at(&c->f->host, hpa);

	memset(memory, LEFT, PAGE);
	wait_for_change(count);
	wait_for_change(count);
	for (uint32_t i = 0; i < PAGE; i++)
		if (memory[i] != LEFT)
			fail_msg("a copy wrote to memory that was taken from the guest");
}

static void unmap_and_map(struct copier *c, uint32_t round)
{
	axas_t *as = c->f->as;

	assert_ok(axas_map_alloc(as, GIB, BYTES, round % 2 ? RW : RW | AXAS_POPULATE));
	wait_for_change(&c->moved);
	assert_ok(axas_unmap(as, GIB, BYTES));
	if (round % 8 == 0)
		wait_for_change(&c->refused);
}

static void discard(struct copier *c, uint32_t round)
{
	if (round == 0)
		assert_ok(axas_map_alloc(c->f->as, GIB, BYTES, RW));
	wait_for_change(&c->moved);
	assert_ok(axas_discard(c->f->as, GIB, BYTES));
}

static void forbid_and_allow(struct copier *c, uint32_t round)
{
	axas_t *as = c->f->as;
	axas_mapping_t m;

	if (round == 0)
		assert_ok(axas_map_alloc(as, GIB, BYTES, RW | AXAS_POPULATE));
	wait_for_change(&c->moved);
	assert_ok(axas_protect(as, GIB, BYTES, AXAS_READ));
	assert_ok(axas_query(as, GIB, &m));
	expect_left_alone(c, m.hpa, &c->refused);
	assert_ok(axas_protect(as, GIB, BYTES, RW));
}

static void unmap_linear(struct copier *c, uint32_t round)
{
	axas_t *as = c->f->as;

	(void)round;
	assert_ok(axas_map_linear(as, GIB, LINEAR_IN_POOL, BYTES, RW));
	wait_for_change(&c->moved);
	assert_ok(axas_unmap(as, GIB, BYTES));
	expect_left_alone(c, LINEAR_IN_POOL, &c->refused);
}

static void put_other_memory_there(struct copier *c, uint32_t round)
{
	const axas_hpa_t now = LINEAR_IN_POOL + round % 2 * BYTES;
	const axas_hpa_t before = LINEAR_IN_POOL + (round + 1) % 2 * BYTES;

	assert_ok(axas_map_linear(c->f->as, GIB, now, BYTES, RW | AXAS_REPLACE));
	wait_for_change(&c->moved);
	expect_left_alone(c, before, &c->moved);
}

static void take_under_copies(struct fixture *f, enum host_map_kind kind, axas_status_t refusal,
			      void (*take)(struct copier *c, uint32_t round))
{
	struct copier c = { .f = f, .refusal = refusal };

	ground_host(f, kind);
	f->host.poison_guest = 0;
	f->host.quick = 1;
	ground_create(f);
	assert_int_equal(pthread_create(&c.thread, NULL, copy_all_the_time, &c), 0);
	for (uint32_t round = 0; round < ROUNDS; round++)
		take(&c, round);
	atomic_store(&c.stop, 1);
	pthread_join(c.thread, NULL);
	host_check(&f->host);
	assert_int_equal(c.strange, 0);
	f->host.quick = 0;
	fixture_destroy(f);
}

static void no_copy_uses_frames_that_were_unmapped(void **state)
{
	FIXTURE(f);

	for
		EVERY_KIND(kind)
	take_under_copies(f, *kind, AXAS_ERR_NOT_MAPPED, unmap_and_map);
}

static void no_copy_uses_frames_that_were_discarded(void **state)
{
	FIXTURE(f);

	for
		EVERY_KIND(kind)
	take_under_copies(f, *kind, AXAS_OK, discard);
}

static void no_copy_writes_where_it_is_forbidden_now(void **state)
{
	FIXTURE(f);

	for
		EVERY_KIND(kind)
	take_under_copies(f, *kind, AXAS_ERR_DENIED, forbid_and_allow);
}

static void no_copy_uses_linear_memory_that_was_unmapped(void **state)
{
	FIXTURE(f);

	for
		EVERY_KIND(kind)
	take_under_copies(f, *kind, AXAS_ERR_NOT_MAPPED, unmap_linear);
}

static void no_copy_uses_linear_memory_that_was_replaced(void **state)
{
	FIXTURE(f);

	for
		EVERY_KIND(kind)
	take_under_copies(f, *kind, AXAS_ERR_NOT_MAPPED, put_other_memory_there);
}

struct meeting {
	struct fixture *f;
	pthread_t thread;
	axas_gpa_t gpa; /* GIB is unmapped meanwhile, GIB + PAGE stays */
	axas_status_t status;
	size_t done;
	_Atomic uint32_t returned;
	uint32_t returned_in_flush;
};

static void *read_meanwhile(void *arg)
{
	struct meeting *m = arg;
	uint8_t buf[2];

	m->status = axas_read(m->f->as, m->gpa, buf, sizeof(buf), 0, &m->done);
	atomic_store(&m->returned, 1);
	return NULL;
}

/* The space is held exclusively now: a copy returns, or it waits and says so through relax. */
static void meet_in_flush(struct host *h, const axas_tlb_request_t *request)
{
	struct meeting *m = h->in_flush_arg;

	(void)request;
	h->in_flush = NULL;
	if (pthread_create(&m->thread, NULL, read_meanwhile, m) != 0)
		host_violation(h, "no thread");
	while (!atomic_load(&m->returned) && atomic_load(&h->relaxed) == 0)
		sched_yield();
	m->returned_in_flush = atomic_load(&m->returned);
}

static void meet(struct meeting *m, uint32_t options)
{
	struct fixture *f = m->f;

	f->cfg.options = options;
	ground_host(f, HOST_CALLBACK);
	ground_create(f);
	assert_ok(axas_map_alloc(f->as, GIB, 2 * PAGE, RW | AXAS_POPULATE));
	m->done = 99;
	f->host.in_flush = meet_in_flush;
	f->host.in_flush_arg = m;
	assert_ok(axas_unmap(f->as, GIB, PAGE));
	pthread_join(m->thread, NULL);
	assert_int_equal(m->done, m->status == AXAS_OK ? 2 : 0);
	host_check(&f->host);
}

static void a_copy_waits_for_an_unmap_and_finds_a_hole(void **state)
{
	FIXTURE(f);
	struct meeting m = { .f = f, .gpa = GIB };

	meet(&m, 0);
	assert_int_equal(m.returned_in_flush, 0);
	assert_int_equal(m.status, AXAS_ERR_NOT_MAPPED);
}

static void a_copy_that_may_not_wait_says_again(void **state)
{
	FIXTURE(f);
	struct meeting m = { .f = f, .gpa = GIB };

	meet(&m, AXAS_NO_WAIT);
	assert_int_equal(m.returned_in_flush, 1);
	assert_int_equal(m.status, AXAS_ERR_AGAIN);
}

static void a_copy_under_the_callers_lock_waits_for_nobody(void **state)
{
	FIXTURE(f);
	struct meeting m = { .f = f, .gpa = GIB + PAGE };

	/* the host promises exclusion; that it is not asked for shows that the lock is off */
	meet(&m, AXAS_CALLER_LOCKED);
	assert_int_equal(m.returned_in_flush, 1);
	assert_int_equal(m.status, AXAS_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT_NO_SPACE(no_copy_uses_frames_that_were_unmapped),
		EACH_FORMAT_NO_SPACE(no_copy_uses_frames_that_were_discarded),
		EACH_FORMAT_NO_SPACE(no_copy_writes_where_it_is_forbidden_now),
		EACH_FORMAT_NO_SPACE(no_copy_uses_linear_memory_that_was_unmapped),
		EACH_FORMAT_NO_SPACE(no_copy_uses_linear_memory_that_was_replaced),
		EACH_FORMAT_NO_SPACE(a_copy_waits_for_an_unmap_and_finds_a_hole),
		EACH_FORMAT_NO_SPACE(a_copy_that_may_not_wait_says_again),
		EACH_FORMAT_NO_SPACE(a_copy_under_the_callers_lock_waits_for_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
