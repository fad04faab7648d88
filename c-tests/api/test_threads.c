/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Several CPUs in one space. */
#include <sched.h>
#include <semaphore.h>

#include "fixture.h"

#define CPUS  4u
#define PAGES 2048u

struct cpu {
	pthread_t thread;
	struct fixture *f;
	pthread_barrier_t *start;
	uint32_t number;
	uint32_t verdict[8];
	uint64_t wrong;
};

static void start_cpus(struct fixture *f, struct cpu *cpu, void *(*body)(void *))
{
	pthread_barrier_t start;

	assert_int_equal(pthread_barrier_init(&start, NULL, CPUS), 0);
	for (uint32_t i = 0; i < CPUS; i++) {
		cpu[i] = (struct cpu){ .f = f, .start = &start, .number = i };
		assert_int_equal(pthread_create(&cpu[i].thread, NULL, body, &cpu[i]), 0);
	}
	for (uint32_t i = 0; i < CPUS; i++)
		pthread_join(cpu[i].thread, NULL);
	pthread_barrier_destroy(&start);
}

static uint32_t verdicts(const struct cpu *cpu, axas_fault_result_t which)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < CPUS; i++)
		sum += cpu[i].verdict[which];
	return sum;
}

static void *fault_on_every_page(void *arg)
{
	struct cpu *cpu = arg;
	axas_t *as = cpu->f->as;

	pthread_barrier_wait(cpu->start);
	for (uint64_t page = 0; page < PAGES; page++) {
		const axas_gpa_t gpa = GIB + page * PAGE;
		axas_hpa_t first, again;

		cpu->verdict[axas_handle_page_fault(as, gpa, AXAS_WRITE) & 7]++;
		if (axas_translate(as, gpa, &first, NULL) != AXAS_OK ||
		    axas_translate(as, gpa, &again, NULL) != AXAS_OK || first != again) {
			cpu->wrong++;
			continue;
		}
		/* each CPU has a word of its own in the page: none may be lost with a frame */
		((uint64_t *)host_at(&cpu->f->host, first))[cpu->number] = page + 1;
	}
	return NULL;
}

static void contend(struct fixture *f, axas_flags_t flags, uint32_t pages_of_a_frame)
{
	struct cpu cpu[CPUS];

	assert_ok(axas_map_alloc(f->as, GIB, PAGES * PAGE, RW | flags));
	start_cpus(f, cpu, fault_on_every_page);
	for (uint32_t i = 0; i < CPUS; i++)
		assert_int_equal(cpu[i].wrong, 0);
	assert_int_equal(verdicts(cpu, AXAS_FAULT_RESOLVED), PAGES / pages_of_a_frame);
	assert_int_equal(verdicts(cpu, AXAS_FAULT_RESOLVED) + verdicts(cpu, AXAS_FAULT_SPURIOUS),
			 CPUS * PAGES);
	assert_int_equal(f->host.guest_out, PAGES);
	for (uint64_t page = 0; page < PAGES; page++) {
		const uint64_t *word = (const uint64_t *)(void *)guest_memory(f, GIB + page * PAGE);

		for (uint32_t i = 0; i < CPUS; i++)
			assert_int_equal(word[i], page + 1);
	}
	space_sweep(f->as);
	assert_int_equal(stats(f).faults_resolved, PAGES / pages_of_a_frame);
}

static void one_frame_is_kept_for_each_contended_page(void **state)
{
	FIXTURE(f);

	f->host.quick = 1;
	contend(f, 0, 1);
	f->host.quick = 0;
}

static void one_large_frame_is_kept_for_each_contended_range(void **state)
{
	FIXTURE(f);

	f->host.quick = 1;
	contend(f, AXAS_HUGE_FRAMES, 512);
	f->host.quick = 0;
}

static void one_frame_is_kept_through_windows_too(void **state)
{
	static _Alignas(AXAS_STORAGE_ALIGN) uint8_t storage[AXAS_STORAGE_SIZE];
	FIXTURE(f);

	host_exit(&f->host);
	host_init(&f->host, HOST_WINDOWS, HOST_PA_BASE);
	assert_ok(axas_create_in(storage, sizeof(storage), &f->cfg, &f->host.hal, &f->as));
	f->host.quick = 1;
	contend(f, 0, 1);
	f->host.quick = 0;
}

/* Faults, looks and range operations side by side: nothing is lost, nothing is seen half done. */
static void *mixed_work(void *arg)
{
	struct cpu *cpu = arg;
	axas_t *as = cpu->f->as;
	const axas_gpa_t own = (8 + cpu->number) * GIB;

	pthread_barrier_wait(cpu->start);
	for (uint64_t round = 0; round < 300; round++) {
		const axas_gpa_t gpa = GIB + (round * 37 % PAGES) * PAGE;
		axas_mapping_t m;
		axas_fault_result_t r = AXAS_FAULT_RETRY;

		if (cpu->number == 0 &&
		    (axas_map_linear(as, own, LINEAR_HPA, 2 * MIB, RW) != AXAS_OK ||
		     axas_unmap(as, own + PAGE, PAGE) != AXAS_OK ||
		     axas_protect(as, own + 2 * PAGE, PAGE, AXAS_READ) != AXAS_OK ||
		     axas_unmap(as, own, 2 * MIB) != AXAS_OK))
			cpu->wrong++;
		while (r == AXAS_FAULT_RETRY) {
			r = axas_handle_page_fault(as, gpa, AXAS_WRITE);
			cpu->verdict[r & 7]++;
		}
		if (!axas_fault_resumes(r) || axas_query(as, gpa, &m) != AXAS_OK ||
		    m.state != AXAS_STATE_OWNED)
			cpu->wrong++;
		if (axas_query(as, 8 * GIB + 3 * PAGE, &m) != AXAS_OK ||
		    (m.state != AXAS_STATE_ABSENT && m.state != AXAS_STATE_LINEAR))
			cpu->wrong++;
	}
	return NULL;
}

static void work_side_by_side(struct fixture *f)
{
	struct cpu cpu[CPUS];

	f->host.quick = 1;
	assert_ok(axas_map_alloc(f->as, GIB, PAGES * PAGE, RW));
	start_cpus(f, cpu, mixed_work);
	for (uint32_t i = 0; i < CPUS; i++)
		assert_int_equal(cpu[i].wrong, 0);
	assert_int_equal(verdicts(cpu, AXAS_FAULT_RESOLVED), f->host.guest_out);
	assert_int_equal(stats(f).faults_retry, verdicts(cpu, AXAS_FAULT_RETRY));
	expect_state(f, 8 * GIB, AXAS_STATE_ABSENT);
	space_sweep(f->as);
	f->host.quick = 0;
}

static void range_operations_and_faults_run_side_by_side(void **state)
{
	work_side_by_side(*state);
}

/* Readers follow tables that are being taken away; those are full of valid-looking words by then. */
static void readers_without_the_lock_never_follow_a_freed_table(void **state)
{
	FIXTURE(f);

	f->host.hal.flags |= AXAS_HAL_TABLES_STAY_READABLE;
	fixture_create(f);
	work_side_by_side(f);
}

/* One CPU sits in the flush of an unmap for as long as the test likes. */
struct stopped {
	sem_t in_flush, go;
	struct fixture *f;
	axas_status_t status;
};

static void wait_in_flush(struct host *h, const axas_tlb_request_t *request)
{
	struct stopped *s = h->in_flush_arg;

	if (request->scope != AXAS_SCOPE_ALL)
		return;
	sem_post(&s->in_flush);
	sem_wait(&s->go);
}

static void *unmap_a_page(void *arg)
{
	struct stopped *s = arg;

	s->status = axas_unmap(s->f->as, 3 * GIB, PAGE);
	return NULL;
}

static void *let_it_go_when_somebody_waits(void *arg)
{
	struct stopped *s = arg;

	while (atomic_load(&s->f->host.relaxed) == 0)
		sched_yield();
	sem_post(&s->go);
	return NULL;
}

static pthread_t stop_in_unmap(struct fixture *f, struct stopped *s)
{
	pthread_t thread;

	f->host.quick = 1;
	s->f = f;
	assert_int_equal(sem_init(&s->in_flush, 0, 0), 0);
	assert_int_equal(sem_init(&s->go, 0, 0), 0);
	assert_ok(axas_map_linear(f->as, 3 * GIB, LINEAR_HPA, PAGE, RW));
	assert_ok(axas_map_alloc(f->as, GIB, PAGE, RW));
	f->host.in_flush_arg = s;
	f->host.in_flush = wait_in_flush;
	assert_int_equal(pthread_create(&thread, NULL, unmap_a_page, s), 0);
	sem_wait(&s->in_flush);
	return thread;
}

static void go_on(struct fixture *f, struct stopped *s, pthread_t thread)
{
	sem_post(&s->go);
	pthread_join(thread, NULL);
	assert_ok(s->status);
	f->host.in_flush = NULL;
	f->host.quick = 0;
	sem_destroy(&s->in_flush);
	sem_destroy(&s->go);
}

static void a_fault_beside_an_exclusive_call_is_told_to_retry(void **state)
{
	FIXTURE(f);
	struct stopped s;
	const pthread_t thread = stop_in_unmap(f, &s);

	for (int i = 0; i < 3; i++) {
		assert_int_equal(axas_handle_page_fault(f->as, GIB, AXAS_READ), AXAS_FAULT_RETRY);
		assert_int_equal(axas_handle_page_fault(f->as, 3 * GIB, AXAS_READ),
				 AXAS_FAULT_RETRY);
	}
	assert_int_equal(f->host.guest_taken, 0);
	go_on(f, &s, thread);
	assert_int_equal(axas_handle_page_fault(f->as, GIB, AXAS_READ), AXAS_FAULT_RESOLVED);
	assert_int_equal(axas_handle_page_fault(f->as, 3 * GIB, AXAS_READ), AXAS_FAULT_UNMAPPED);
	assert_int_equal(stats(f).faults_retry, 6);
}

static void other_calls_wait_and_say_so_through_relax(void **state)
{
	FIXTURE(f);
	struct stopped s;
	pthread_t thread = stop_in_unmap(f, &s), waker;
	axas_mapping_t m;

	assert_int_equal(pthread_create(&waker, NULL, let_it_go_when_somebody_waits, &s), 0);
	assert_ok(axas_query(f->as, 3 * GIB, &m));
	assert_int_equal(m.state, AXAS_STATE_ABSENT);
	pthread_join(waker, NULL);
	pthread_join(thread, NULL);
	assert_ok(s.status);
	assert_true(atomic_load(&f->host.relaxed) > 0);
	f->host.in_flush = NULL;
	f->host.quick = 0;
}

static void with_no_wait_other_calls_say_again(void **state)
{
	FIXTURE(f);
	struct stopped s;
	pthread_t thread;
	axas_mapping_t m;
	axas_stats_t st;
	axas_hpa_t hpa;
	uint64_t cookie;

	f->cfg.options = AXAS_NO_WAIT;
	fixture_create(f);
	thread = stop_in_unmap(f, &s);
	assert_status(AXAS_ERR_AGAIN, axas_query(f->as, GIB, &m));
	assert_status(AXAS_ERR_AGAIN, axas_translate(f->as, GIB, &hpa, NULL));
	assert_status(AXAS_ERR_AGAIN, axas_trap_cookie(f->as, GIB, &cookie));
	assert_status(AXAS_ERR_AGAIN, axas_stats(f->as, &st));
	assert_status(AXAS_ERR_AGAIN, axas_map_linear(f->as, 9 * GIB, LINEAR_HPA, PAGE, RW));
	assert_status(AXAS_ERR_AGAIN, axas_map_alloc(f->as, 9 * GIB, PAGE, RW));
	assert_status(AXAS_ERR_AGAIN, axas_map_trap(f->as, 9 * GIB, PAGE, 1));
	assert_status(AXAS_ERR_AGAIN, axas_unmap(f->as, GIB, PAGE));
	assert_status(AXAS_ERR_AGAIN, axas_protect(f->as, GIB, PAGE, AXAS_READ));
	assert_status(AXAS_ERR_AGAIN, axas_clear(f->as));
	assert_status(AXAS_ERR_AGAIN, axas_set_vmid(f->as, 9));
	/* a bad argument is bad whether anybody is busy or not */
	assert_status(AXAS_ERR_INVALID_INPUT, axas_unmap(f->as, 1, PAGE));
	assert_int_equal(axas_base(f->as), 0);
	assert_int_equal(axas_levels(f->as), f->fc->levels);
	go_on(f, &s, thread);
	expect_state(f, GIB, AXAS_STATE_RESERVED);
}

/* (At an entry that is going itself, they may.) */
static void where_tables_stay_readable_nobody_who_looks_elsewhere_waits(void **state)
{
	FIXTURE(f);
	struct stopped s;
	pthread_t thread;
	axas_mapping_t m;
	axas_hpa_t hpa;
	uint64_t cookie;

	f->host.hal.flags |= AXAS_HAL_TABLES_STAY_READABLE;
	fixture_create(f);
	assert_ok(axas_map_trap(f->as, 5 * GIB, PAGE, 0x77));
	assert_ok(axas_map_linear(f->as, 6 * GIB, LINEAR_HPA, PAGE, RW));
	thread = stop_in_unmap(f, &s);
	assert_ok(axas_query(f->as, GIB, &m));
	assert_int_equal(m.state, AXAS_STATE_RESERVED);
	assert_ok(axas_trap_cookie(f->as, 5 * GIB, &cookie));
	assert_int_equal(cookie, 0x77);
	assert_ok(axas_translate(f->as, 6 * GIB + 5, &hpa, NULL));
	assert_int_equal(hpa, LINEAR_HPA + 5);
	assert_int_equal(atomic_load(&f->host.relaxed), 0);
	go_on(f, &s, thread);
}

static void without_the_lock_there_is_no_retry(void **state)
{
	FIXTURE(f);
	struct stopped s;
	pthread_t thread;

	f->cfg.options = AXAS_CALLER_LOCKED;
	fixture_create(f);
	thread = stop_in_unmap(f, &s);
	/* The host promises exclusion; that it is not asked for shows the lock is off. */
	assert_int_equal(axas_handle_page_fault(f->as, GIB, AXAS_READ), AXAS_FAULT_RESOLVED);
	go_on(f, &s, thread);
}

/* The allocator that one fault is in while another begins on another CPU, and ends. */
static struct {
	axas_hpa_t (*alloc_frame)(void *ctx, uint32_t order, uint32_t purpose);
	struct fixture *f;
	axas_gpa_t gpa;
	int has_run;
	axas_fault_result_t verdict;
} other;

static void *fault_elsewhere(void *arg)
{
	(void)arg;
	other.verdict = axas_handle_page_fault(other.f->as, other.gpa, AXAS_WRITE);
	return NULL;
}

static void run_other(void)
{
	pthread_t thread;

	if (other.has_run)
		return;
	other.has_run = 1;
	assert_int_equal(pthread_create(&thread, NULL, fault_elsewhere, NULL), 0);
	pthread_join(thread, NULL);
}

static axas_hpa_t alloc_frame_beside_other(void *ctx, uint32_t order, uint32_t purpose)
{
	if (purpose == AXAS_FRAME_TABLE)
		run_other();
	return other.alloc_frame(ctx, order, purpose);
}

/* The quota has room for one table more. One fault needs two, the other needs one and gets it. */
static void a_fault_that_the_quota_refuses_refuses_no_other(void **state)
{
	FIXTURE(f);
	uint64_t tables;

	assert_ok(axas_map_alloc(f->as, 4 * GIB, GIB, RW));
	assert_ok(axas_map_alloc(f->as, 6 * GIB, 2 * MIB, RW));
	tables = stats(f).table_frames;
	axas_destroy(f->as);
	f->cfg.table_quota = (uint32_t)tables + 1;
	other.alloc_frame = f->host.hal.alloc_frame;
	f->host.hal.alloc_frame = alloc_frame_beside_other;
	other.has_run = 1;
	fixture_create(f);
	assert_ok(axas_map_alloc(f->as, 4 * GIB, GIB, RW));
	assert_ok(axas_map_alloc(f->as, 6 * GIB, 2 * MIB, RW));
	other.has_run = 0;
	other.f = f;
	other.gpa = 6 * GIB;
	/* or the snapshot around the first would find what the second did */
	f->host.quick = 1;
	assert_int_equal(axas_handle_page_fault(f->as, 4 * GIB, AXAS_WRITE), AXAS_FAULT_NO_MEMORY);
	run_other();
	f->host.quick = 0;
	assert_int_equal(other.verdict, AXAS_FAULT_RESOLVED);
	assert_int_equal(space_sweep(f->as).table_frames, f->cfg.table_quota);
}

/*
 * Two pages of one reservation: while one fault takes its frames, the other brings the table for both. The
 * first one's table goes back, and what is said of the one that stays is so.
 */
static void a_fault_that_comes_second_leaves_the_count_of_the_first(void **state)
{
	FIXTURE(f);

	other.alloc_frame = f->host.hal.alloc_frame;
	f->host.hal.alloc_frame = alloc_frame_beside_other;
	other.has_run = 1;
	fixture_create(f);
	assert_ok(axas_map_alloc(f->as, 4 * GIB, GIB, RW));
	other.has_run = 0;
	other.f = f;
	other.gpa = 4 * GIB + PAGE;
	f->host.quick = 1;
	assert_int_equal(axas_handle_page_fault(f->as, 4 * GIB, AXAS_WRITE), AXAS_FAULT_RESOLVED);
	f->host.quick = 0;
	assert_int_equal(other.verdict, AXAS_FAULT_RESOLVED);
	assert_ok(axas_audit(f->as));
	space_sweep(f->as);
	/* the table of 4 KiB pages goes when its last page does, not before */
	assert_ok(axas_unmap(f->as, 4 * GIB + 2 * PAGE, GIB - 2 * PAGE));
	assert_ok(axas_unmap(f->as, 4 * GIB, PAGE));
	expect_state(f, 4 * GIB + PAGE, AXAS_STATE_OWNED);
	assert_ok(axas_unmap(f->as, 4 * GIB + PAGE, PAGE));
	assert_int_equal(stats(f).table_frames, root_frames(f));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(one_frame_is_kept_for_each_contended_page),
		EACH_FORMAT(one_large_frame_is_kept_for_each_contended_range),
		EACH_FORMAT_NO_SPACE(one_frame_is_kept_through_windows_too),
		EACH_FORMAT(range_operations_and_faults_run_side_by_side),
		EACH_FORMAT_NO_SPACE(readers_without_the_lock_never_follow_a_freed_table),
		EACH_FORMAT_NO_SPACE(where_tables_stay_readable_nobody_who_looks_elsewhere_waits),
		EACH_FORMAT(a_fault_that_the_quota_refuses_refuses_no_other),
		EACH_FORMAT_NO_SPACE(a_fault_that_comes_second_leaves_the_count_of_the_first),
		EACH_FORMAT(a_fault_beside_an_exclusive_call_is_told_to_retry),
		EACH_FORMAT(other_calls_wait_and_say_so_through_relax),
		EACH_FORMAT_NO_SPACE(with_no_wait_other_calls_say_again),
		EACH_FORMAT_NO_SPACE(without_the_lock_there_is_no_retry),
	};

	return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
