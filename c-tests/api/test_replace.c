/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * AXAS_REPLACE: one thing becomes another in one step, for vCPUs, for readers with and without the
 * lock, and for the host that runs out of memory. What went and what is told of it is in lost/.
 */
#include <sched.h>

#include "fixture.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define AT           (4 * GIB)
#define NEW_HPA      (LINEAR_HPA + 64 * GIB)

/* Congruent to the guest's address, and within the width of every space here. */
static axas_hpa_t new_hpa(axas_gpa_t gpa)
{
	return NEW_HPA + gpa % (2 * TIB);
}

static axas_hpa_t old_hpa(axas_gpa_t gpa)
{
	return LINEAR_HPA + gpa % (2 * TIB);
}

static axas_status_t to_linear(struct fixture *f, axas_gpa_t gpa, uint64_t size)
{
	return axas_map_linear(f->as, gpa, new_hpa(gpa), size, RX | AXAS_REPLACE);
}

static axas_status_t to_reserved(struct fixture *f, axas_gpa_t gpa, uint64_t size)
{
	return axas_map_alloc(f->as, gpa, size, RX | AXAS_REPLACE);
}

static axas_status_t to_populated(struct fixture *f, axas_gpa_t gpa, uint64_t size)
{
	return axas_map_alloc(f->as, gpa, size, RX | AXAS_REPLACE | AXAS_POPULATE);
}

static axas_status_t to_trap(struct fixture *f, axas_gpa_t gpa, uint64_t size)
{
	return axas_map_trap_flags(f->as, gpa, size, 0x87654321, AXAS_REPLACE);
}

static axas_status_t from_nothing(struct fixture *f, axas_gpa_t gpa, uint64_t size)
{
	(void)f;
	(void)gpa;
	(void)size;
	return AXAS_OK;
}

static axas_status_t from_linear(struct fixture *f, axas_gpa_t gpa, uint64_t size)
{
	return axas_map_linear(f->as, gpa, old_hpa(gpa), size, RW);
}

static axas_status_t from_reserved(struct fixture *f, axas_gpa_t gpa, uint64_t size)
{
	return axas_map_alloc(f->as, gpa, size, RW);
}

static axas_status_t from_populated(struct fixture *f, axas_gpa_t gpa, uint64_t size)
{
	return axas_map_alloc(f->as, gpa, size, RW | AXAS_POPULATE);
}

static axas_status_t from_trap(struct fixture *f, axas_gpa_t gpa, uint64_t size)
{
	return axas_map_trap(f->as, gpa, size, 9);
}

typedef axas_status_t (*make_fn)(struct fixture *f, axas_gpa_t gpa, uint64_t size);

static const struct {
	make_fn make;
	uint32_t state;
} olds[] = {
	{ from_nothing, AXAS_STATE_ABSENT },     { from_linear, AXAS_STATE_LINEAR },
	{ from_reserved, AXAS_STATE_RESERVED },  { from_populated, AXAS_STATE_OWNED },
	{ from_trap, AXAS_STATE_TRAP },
}, news[] = {
	{ to_linear, AXAS_STATE_LINEAR },
	{ to_reserved, AXAS_STATE_RESERVED },
	{ to_populated, AXAS_STATE_OWNED },
	{ to_trap, AXAS_STATE_TRAP },
};

static int is_mapped(uint32_t state)
{
	return state == AXAS_STATE_LINEAR || state == AXAS_STATE_OWNED;
}

static void expect_new(const struct fixture *f, axas_gpa_t gpa, uint64_t size, uint32_t state)
{
	for (axas_gpa_t end = gpa + size; gpa < end;) {
		const axas_mapping_t m = at(f, gpa);

		assert_int_equal(m.state, state);
		if (state == AXAS_STATE_TRAP)
			assert_int_equal(m.cookie, 0x87654321);
		else
			assert_int_equal(space_access(m.flags), RX);
		if (state == AXAS_STATE_LINEAR)
			assert_int_equal(m.hpa + (gpa - m.gpa), new_hpa(gpa));
		gpa = m.gpa + m.size;
	}
}

/* --- what becomes of what -------------------------------------------------------------------- */

static uint64_t released_bytes(const struct host *h)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < h->runs; i++)
		bytes += h->run[i].size;
	return bytes;
}

/* A page on each side stays what it was. */
static void replace_between(struct fixture *f, size_t old, size_t new, uint64_t size)
{
	const axas_gpa_t gpa = AT - size / 2 / PAGE * PAGE;
	const int was_mapped = is_mapped(olds[old].state);
	uint32_t guest_out, flushes;

	assert_ok(olds[old].make(f, gpa - PAGE, size + 2 * PAGE));
	guest_out = (uint32_t)f->host.guest_out;
	host_forget_log(&f->host);
	flushes = f->host.flushes_all;
	assert_ok(news[new].make(f, gpa, size));
	flushes = f->host.flushes_all - flushes;
	if (was_mapped)
		assert_true(space_flush_covered(gpa, size));
	expect_new(f, gpa, size, news[new].state);
	expect_state(f, gpa - 1, olds[old].state);
	expect_state(f, gpa + size, olds[old].state);
	if (flushes != (uint32_t)was_mapped)
		fail_msg("state %u to %u, %llu bytes: %u requests to all CPUs", olds[old].state,
			 news[new].state, (unsigned long long)size, flushes);
	assert_int_equal(released_bytes(&f->host), olds[old].state == AXAS_STATE_LINEAR ? size : 0);
	if (olds[old].state == AXAS_STATE_OWNED && news[new].state != AXAS_STATE_OWNED)
		assert_int_equal(guest_out - f->host.guest_out, size / PAGE);
	space_sweep(f->as);
	assert_ok(axas_unmap(f->as, 0, SPACE_SIZE));
	assert_int_equal(space_sweep(f->as).table_frames, root_frames(f));
}

static void everything_becomes_everything(void **state)
{
	static const uint64_t sizes[] = { PAGE, 6 * PAGE, 2 * MIB + 2 * PAGE };
	FIXTURE(f);

	for (size_t i = 0; i < COUNT(sizes); i++)
		for (size_t old = 0; old < COUNT(olds); old++)
			for (size_t new = 0; new < COUNT(news); new ++)
				replace_between(f, old, new, sizes[i]);
}

/* What the guest wrote before is not there any more. */
static void memory_that_was_replaced_by_memory_reads_zero(void **state)
{
	FIXTURE(f);
	uint8_t *old;

	f->host.poison_guest = 1;
	assert_ok(axas_map_alloc(f->as, AT, 2 * PAGE, RW | AXAS_POPULATE));
	old = guest_memory(f, AT);
	old[5] = 0x77;
	assert_ok(axas_map_alloc(f->as, AT, 2 * PAGE, RW | AXAS_REPLACE));
	assert_int_equal(f->host.guest_out, 0);
	assert_int_equal(axas_handle_page_fault(f->as, AT, AXAS_READ), AXAS_FAULT_RESOLVED);
	assert_int_equal(guest_memory(f, AT)[5], 0);
	guest_memory(f, AT)[5] = 0x77;
	assert_ok(axas_map_alloc(f->as, AT, 2 * PAGE, RW | AXAS_REPLACE | AXAS_POPULATE));
	assert_int_equal(guest_memory(f, AT)[5], 0);
	assert_int_equal(guest_memory(f, AT + PAGE)[5], 0);
}

/* --- in place -------------------------------------------------------------------------------- */

/* No frame is asked for, none goes, and there is none to be had. */
static void a_page_of_the_same_size_is_exchanged_in_its_entry(void **state)
{
	static const uint64_t sizes[] = { PAGE, 2 * MIB, GIB };
	FIXTURE(f);

	for (size_t i = 0; i < COUNT(sizes); i++) {
		const axas_gpa_t gpa = AT + (sizes[i] == PAGE ? 3 * PAGE : 0);
		axas_stats_t before, after;

		assert_ok(axas_map_linear(f->as, gpa, old_hpa(gpa), sizes[i], RW));
		before = stats(f);
		f->host.fail_purpose = AXAS_FRAME_TABLE;
		assert_ok(to_linear(f, gpa, sizes[i]));
		f->host.fail_purpose = 0;
		after = stats(f);
		expect_leaf(f, gpa, sizes[i], new_hpa(gpa), RX);
		assert_int_equal(after.frames_allocated, before.frames_allocated);
		assert_int_equal(after.frames_released, before.frames_released);
		assert_int_equal(after.table_frames, before.table_frames);
		space_sweep(f->as);
		assert_ok(axas_unmap(f->as, gpa, sizes[i]));
	}
}

/* A frame of the library's goes, and is all that goes. */
static void a_page_of_the_library_s_is_exchanged_for_one_of_the_host_s(void **state)
{
	FIXTURE(f);
	axas_stats_t before, after;

	assert_ok(axas_map_alloc(f->as, AT, 4 * PAGE, RW | AXAS_POPULATE));
	before = stats(f);
	f->host.fail_purpose = AXAS_FRAME_TABLE;
	assert_ok(to_linear(f, AT + PAGE, PAGE));
	f->host.fail_purpose = 0;
	after = stats(f);
	assert_int_equal(after.guest_frames, before.guest_frames - 1);
	assert_int_equal(after.frames_released, before.frames_released + 1);
	assert_int_equal(after.frames_allocated, before.frames_allocated);
	assert_int_equal(after.mapped_4k, before.mapped_4k);
	space_sweep(f->as);
}

/* Over the edge of a table, in pages that are mapped, reserved and traps. */
static void a_range_of_small_entries_needs_no_memory(void **state)
{
	FIXTURE(f);
	const axas_gpa_t gpa = AT + 2 * MIB - 8 * PAGE;
	uint64_t allocations;

	assert_ok(axas_map_linear(f->as, gpa, LINEAR_HPA, 6 * PAGE, RW));
	assert_ok(axas_map_alloc(f->as, gpa + 6 * PAGE, 3 * PAGE, RW));
	assert_ok(axas_map_trap(f->as, gpa + 9 * PAGE, 7 * PAGE, 1));
	allocations = f->host.allocations;
	f->host.fail_purpose = AXAS_FRAME_TABLE;
	assert_ok(axas_map_linear(f->as, gpa, NEW_HPA + 5 * PAGE, 16 * PAGE, RW | AXAS_REPLACE));
	assert_ok(to_trap(f, gpa + PAGE, 14 * PAGE));
	assert_ok(to_reserved(f, gpa + 2 * PAGE, 12 * PAGE));
	f->host.fail_purpose = 0;
	assert_int_equal(f->host.allocations, allocations);
	expect_new(f, gpa + 2 * PAGE, 12 * PAGE, AXAS_STATE_RESERVED);
	expect_new(f, gpa + PAGE, PAGE, AXAS_STATE_TRAP);
	expect_state(f, gpa, AXAS_STATE_LINEAR);
	space_sweep(f->as);
}

/* A quota that is used up is no obstacle where nothing is needed, and is one where a table is. */
static void a_quota_that_is_used_up_refuses_only_what_needs_a_table(void **state)
{
	FIXTURE(f);
	uint32_t tables;

	fixture_create(f);
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, PAGE, RW));
	assert_ok(axas_map_linear(f->as, AT + 2 * MIB, LINEAR_HPA, 2 * MIB, RW));
	tables = (uint32_t)stats(f).table_frames;
	fixture_destroy(f);
	f->cfg.table_quota = tables;
	fixture_create(f);
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, PAGE, RW));
	assert_ok(axas_map_linear(f->as, AT + 2 * MIB, LINEAR_HPA, 2 * MIB, RW));
	assert_ok(to_linear(f, AT, PAGE));
	assert_ok(to_linear(f, AT + 2 * MIB, 2 * MIB));
	/* the cut of the large page */
	assert_status(AXAS_ERR_NO_MEMORY, to_linear(f, AT + 2 * MIB, PAGE));
	assert_status(AXAS_ERR_NO_MEMORY, to_trap(f, AT + 2 * MIB + PAGE, PAGE));
	expect_leaf(f, AT + 2 * MIB, 2 * MIB, new_hpa(AT + 2 * MIB), RX);
	/* a reservation takes the place of the large page as a whole */
	assert_ok(to_reserved(f, AT + 2 * MIB, 2 * MIB));
	assert_int_equal(stats(f).table_frames, tables);
	space_sweep(f->as);
}

/* A leaf of 2 MiB in the place of a table: the table goes, and no frame is needed. */
static void a_large_page_takes_the_place_of_a_table(void **state)
{
	FIXTURE(f);
	axas_stats_t before;
	uint32_t flushes;

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA + PAGE, 2 * MIB, RW));
	before = stats(f);
	host_forget_log(&f->host);
	flushes = f->host.flushes_all;
	assert_ok(to_linear(f, AT, 2 * MIB));
	expect_leaf(f, AT, 2 * MIB, new_hpa(AT), RX);
	assert_int_equal(stats(f).table_frames, before.table_frames - 1);
	assert_int_equal(f->host.flushes_all - flushes, 1);
	assert_int_equal(host_last_flush(&f->host)->tables_removed != 0 || f->host.flushes > 1, 1);
	space_sweep(f->as);
}

/* --- no memory ------------------------------------------------------------------------------- */

/* lib/space.c looks that nothing has changed. */
static void every_allocation_may_fail(void **state)
{
	static const uint64_t sizes[] = { PAGE, 9 * PAGE, 2 * MIB, 4 * MIB + 2 * PAGE };
	FIXTURE(f);

	for (size_t i = 0; i < COUNT(sizes); i++)
		for (size_t new = 0; new < COUNT(news); new ++) {
			const axas_gpa_t gpa = AT - (sizes[i] == 2 * MIB ? 0 : PAGE);
			axas_status_t status = AXAS_ERR_NO_MEMORY;
			uint64_t k = 0;

			assert_ok(axas_map_linear(f->as, AT - GIB, LINEAR_HPA, GIB, RW));
			assert_ok(axas_map_alloc(f->as, AT, PAGE, RW | AXAS_POPULATE));
			assert_ok(axas_map_alloc(f->as, AT + PAGE, GIB, RW | AXAS_HUGE_FRAMES));
			while (status == AXAS_ERR_NO_MEMORY) {
				const uint32_t runs = f->host.runs;

				f->host.fail_at = ++k;
				status = news[new].make(f, gpa, sizes[i]);
				f->host.fail_at = 0;
				if (status == AXAS_ERR_NO_MEMORY)
					assert_int_equal(f->host.runs, runs);
				assert_ok(axas_audit(f->as));
			}
			assert_ok(status);
			expect_new(f, gpa, sizes[i], news[new].state);
			space_sweep(f->as);
			host_forget_log(&f->host);
			assert_ok(axas_unmap(f->as, 0, SPACE_SIZE));
		}
}

/* --- what the host is told ------------------------------------------------------------------- */

static void a_frame_that_stays_is_not_released(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 6 * PAGE, RW));
	host_forget_log(&f->host);
	/* the third and fourth page stay, with other permissions; the rest becomes other frames */
	assert_ok(axas_map_linear(f->as, AT + 2 * PAGE, LINEAR_HPA + 2 * PAGE, 2 * PAGE,
				  RX | AXAS_REPLACE));
	assert_int_equal(f->host.runs, 0);
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 2 * MIB, AXAS_READ | AXAS_REPLACE));
	assert_int_equal(f->host.runs, 0);
	expect_leaf(f, AT, 2 * MIB, LINEAR_HPA, AXAS_READ);
	/* small pages of the frames of a large one */
	assert_ok(
		axas_map_linear(f->as, AT, LINEAR_HPA, 2 * MIB, RW | AXAS_REPLACE | AXAS_NO_HUGE));
	assert_int_equal(f->host.runs, 0);
	/* and a part of it, whatever the type */
	assert_ok(axas_map_linear(f->as, AT + PAGE, LINEAR_HPA + PAGE, 7 * PAGE,
				  RW | AXAS_DEVICE | AXAS_REPLACE));
	assert_int_equal(f->host.runs, 0);
	space_sweep(f->as);
}

static void a_frame_that_comes_to_another_address_is_released(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 4 * PAGE, RW));
	host_forget_log(&f->host);
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA + PAGE, 4 * PAGE, RW | AXAS_REPLACE));
	assert_int_equal(f->host.runs, 1);
	assert_int_equal(f->host.run[0].gpa, AT);
	assert_int_equal(f->host.run[0].size, 4 * PAGE);
	assert_int_equal(f->host.run[0].hpa, LINEAR_HPA);
	assert_int_equal(f->host.run[0].flags, RW);
	assert_int_equal(f->host.run[0].state, AXAS_STATE_LINEAR);
	assert_int_equal(f->host.run[0].level, 1);
}

/* One run for each level, in the order of addresses, whatever tables lie between. */
static void runs_are_of_one_level_and_in_order(void **state)
{
	static const struct {
		axas_gpa_t gpa;
		uint64_t size;
		uint32_t level;
	} runs[] = {
		{ GIB - 3 * PAGE, 3 * PAGE, 1 },
		{ GIB, 2 * GIB, 3 },
		{ 3 * GIB, 4 * MIB, 2 },
		{ 3 * GIB + 4 * MIB, 7 * PAGE, 1 },
	};
	FIXTURE(f);

	for (int how = 0; how < 3; how++) {
		host_forget_log(&f->host);
		assert_ok(axas_map_linear(f->as, GIB - 3 * PAGE, LINEAR_HPA + GIB - 3 * PAGE,
					  2 * GIB + 4 * MIB + 10 * PAGE, RW));
		if (how == 0)
			assert_ok(axas_unmap(f->as, GIB / 2, 3 * GIB));
		else if (how == 1)
			assert_ok(axas_map_trap_flags(f->as, GIB / 2, 3 * GIB, 1, AXAS_REPLACE));
		else
			assert_ok(axas_map_alloc(f->as, GIB / 2, 3 * GIB, RW | AXAS_REPLACE));
		assert_int_equal(f->host.runs, COUNT(runs));
		for (uint32_t i = 0; i < COUNT(runs); i++) {
			const axas_mapping_t *run = &f->host.run[i];

			assert_int_equal(run->gpa, runs[i].gpa);
			assert_int_equal(run->size, runs[i].size);
			assert_int_equal(run->level, runs[i].level);
			assert_int_equal(run->hpa, LINEAR_HPA + runs[i].gpa);
			assert_int_equal(run->flags, RW);
			assert_int_equal(run->cookie | run->reserved0 | run->reserved[0] |
						 run->reserved[1],
					 0);
		}
		assert_ok(axas_unmap(f->as, 0, SPACE_SIZE));
	}
}

/* --- other CPUs ------------------------------------------------------------------------------ */

/* What another CPU is told while the range is flushed. */
struct other_cpu {
	struct fixture *f;
	pthread_t thread;
	int is_asked;
	_Atomic int has_answered;
	axas_fault_result_t verdict;
	axas_status_t status;
	axas_mapping_t m;
};

static void *touch(void *arg)
{
	struct other_cpu *cpu = arg;

	cpu->verdict = axas_handle_page_fault(cpu->f->as, AT, AXAS_READ);
	atomic_store(&cpu->has_answered, 1);
	return NULL;
}

static void *look(void *arg)
{
	struct other_cpu *cpu = arg;

	cpu->status = axas_query(cpu->f->as, AT, &cpu->m);
	atomic_store(&cpu->has_answered, 1);
	return NULL;
}

/* Goes on when the other CPU has its answer, or waits for the lock. */
static void let_it(struct host *h, void *(*do_what)(void *))
{
	struct other_cpu *cpu = h->in_flush_arg;
	const uint32_t waits = atomic_load(&h->relaxed);

	if (cpu->is_asked)
		return;
	cpu->is_asked = 1;
	assert_int_equal(pthread_create(&cpu->thread, NULL, do_what, cpu), 0);
	while (!atomic_load(&cpu->has_answered) && atomic_load(&h->relaxed) == waits)
		sched_yield();
}

static void let_it_touch(struct host *h, const axas_tlb_request_t *request)
{
	if (request->scope == AXAS_SCOPE_ALL)
		let_it(h, touch);
}

static void let_it_look(struct host *h, const axas_tlb_request_t *request)
{
	if (request->scope == AXAS_SCOPE_ALL)
		let_it(h, look);
}

static void replace_beside(struct fixture *f, make_fn make, uint64_t size,
			   void (*hook)(struct host *, const axas_tlb_request_t *),
			   struct other_cpu *cpu)
{
	*cpu = (struct other_cpu){ .f = f };
	f->host.in_flush_arg = cpu;
	f->host.in_flush = hook;
	assert_ok(make(f, AT, size));
	f->host.in_flush = NULL;
	assert_true(cpu->is_asked);
	pthread_join(cpu->thread, NULL);
}

static void a_vcpu_that_faults_in_between_is_told_to_retry(void **state)
{
	static const uint64_t sizes[] = { PAGE, 2 * MIB, GIB };
	FIXTURE(f);

	for (size_t i = 0; i < COUNT(sizes); i++)
		for (size_t new = 0; new < COUNT(news); new ++) {
			struct other_cpu cpu;

			if (new == 2 && sizes[i] == GIB)
				continue;
			assert_ok(from_linear(f, AT, sizes[i]));
			replace_beside(f, news[new].make, sizes[i], let_it_touch, &cpu);
			assert_int_equal(cpu.verdict, AXAS_FAULT_RETRY);
			assert_ok(axas_unmap(f->as, AT, sizes[i]));
		}
}

/* A reader that waits, or does without the lock: the one or the other, never a hole. */
static void a_reader_in_between_finds_the_old_or_the_new(void **state)
{
	static const uint64_t sizes[] = { PAGE, 2 * MIB, GIB };
	FIXTURE(f);

	for (int unlocked = 0; unlocked < 2; unlocked++) {
		if (unlocked) {
			f->host.hal.flags |= AXAS_HAL_TABLES_STAY_READABLE;
			f->host.hal.released = NULL;
		}
		fixture_create(f);
		for (size_t i = 0; i < COUNT(sizes); i++)
			for (size_t new = 0; new < COUNT(news); new ++) {
				struct other_cpu cpu;

				if (new == 2 && sizes[i] == GIB)
					continue;
				assert_ok(from_linear(f, AT, sizes[i]));
				replace_beside(f, news[new].make, sizes[i], let_it_look, &cpu);
				assert_ok(cpu.status);
				if (cpu.m.state == AXAS_STATE_LINEAR && cpu.m.hpa != new_hpa(AT))
					assert_int_equal(cpu.m.hpa, old_hpa(AT));
				else
					assert_int_equal(cpu.m.state, news[new].state);
				assert_ok(axas_unmap(f->as, AT, sizes[i]));
			}
		fixture_destroy(f);
	}
}

#define ROUNDS 20000u

/* Two readers beside a page that is one thing or the other, and never nothing. */
struct stress {
	struct fixture *f;
	make_fn one, other;
	_Atomic uint32_t ready, done;
	_Atomic uint64_t holes, looks;
};

static void *read_on(void *arg)
{
	struct stress *s = arg;
	uint64_t holes = 0, looks = 0;

	atomic_fetch_add(&s->ready, 1);
	do {
		axas_mapping_t m = { .state = AXAS_STATE_ABSENT };
		axas_hpa_t hpa = 0;
		const axas_status_t queried = axas_query(s->f->as, AT, &m);
		const axas_status_t translated = axas_translate(s->f->as, AT, &hpa, NULL);

		holes += queried != AXAS_OK || m.state == AXAS_STATE_ABSENT;
		if (s->one == to_linear)
			holes += translated != AXAS_OK;
		if (m.state == AXAS_STATE_LINEAR)
			holes += m.hpa != new_hpa(AT) && m.hpa != old_hpa(AT);
		if (translated == AXAS_OK)
			holes += hpa != new_hpa(AT) && hpa != old_hpa(AT);
		looks++;
	} while (!atomic_load(&s->done));
	atomic_fetch_add(&s->holes, holes);
	atomic_fetch_add(&s->looks, looks);
	return NULL;
}

static axas_status_t back_to_linear(struct fixture *f, axas_gpa_t gpa, uint64_t size)
{
	return axas_map_linear(f->as, gpa, old_hpa(gpa), size, RW | AXAS_REPLACE);
}

static void stress(struct fixture *f, make_fn one, make_fn other, uint64_t size)
{
	struct stress s = { .f = f, .one = one, .other = other };
	pthread_t thread[2];

	f->host.quick = 1;
	assert_ok(from_linear(f, AT, size));
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, read_on, &s), 0);
	while (atomic_load(&s.ready) < 2)
		sched_yield();
	for (uint32_t i = 0; i < ROUNDS / 2; i++) {
		assert_ok(one(f, AT, size));
		assert_ok(other(f, AT, size));
	}
	atomic_store(&s.done, 1);
	for (size_t i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	assert_true(s.looks >= 2);
	assert_int_equal(s.holes, 0);
	assert_ok(axas_unmap(f->as, AT, size));
	f->host.quick = 0;
}

static void readers_without_the_lock_never_find_a_hole(void **state)
{
	FIXTURE(f);

	f->host.hal.flags |= AXAS_HAL_TABLES_STAY_READABLE;
	f->host.hal.released = NULL;
	fixture_create(f);
	stress(f, to_linear, back_to_linear, PAGE);
	stress(f, to_linear, back_to_linear, 2 * MIB);
	stress(f, to_trap, back_to_linear, PAGE);
	stress(f, to_reserved, back_to_linear, 2 * MIB);
}

/* --- ends ------------------------------------------------------------------------------------ */

static void the_last_page_of_a_space(void **state)
{
	static const struct {
		axas_gpa_t end;
		uint32_t levels;
	} widest[5] = {
		[AXAS_FORMAT_EPT] = { 1ull << 57, 5 },
		[AXAS_FORMAT_NPT] = { 1ull << 57, 5 },
		[AXAS_FORMAT_ARM_S2] = { 1ull << 48, 4 },
		[AXAS_FORMAT_RISCV_GSTAGE] = { 1ull << 59, 5 },
	};
	FIXTURE(f);
	const axas_gpa_t end = widest[f->cfg.format].end;

	f->cfg.levels = widest[f->cfg.format].levels;
	f->cfg.pa_bits = 48;
	f->cfg.base = end - 4 * GIB;
	f->cfg.size = 4 * GIB;
	fixture_create(f);
	for (size_t old = 0; old < COUNT(olds); old++)
		for (size_t new = 0; new < COUNT(news); new ++) {
			assert_ok(olds[old].make(f, end - 2 * PAGE, 2 * PAGE));
			assert_ok(news[new].make(f, end - PAGE, PAGE));
			expect_new(f, end - PAGE, PAGE, news[new].state);
			expect_state(f, end - 2 * PAGE, olds[old].state);
			space_sweep(f->as);
			assert_ok(axas_unmap(f->as, end - 4 * GIB, 4 * GIB));
		}
	assert_status(AXAS_ERR_INVALID_INPUT, to_trap(f, end - PAGE, 2 * PAGE));
}

/* A range over the edge of two pages of the root. */
static void across_the_pages_of_a_root(void **state)
{
	FIXTURE(f);
	const axas_gpa_t edge = 512 * GIB;

	if (f->cfg.format <= AXAS_FORMAT_NPT)
		f->cfg.levels = 4; /* one page; the edge is that of two of its entries */
	f->cfg.pa_bits = 48;
	f->cfg.size = 1024 * GIB;
	fixture_create(f);
	for (size_t old = 0; old < COUNT(olds); old++)
		for (size_t new = 0; new < COUNT(news); new ++) {
			assert_ok(olds[old].make(f, edge - 3 * PAGE, 6 * PAGE));
			assert_ok(news[new].make(f, edge - PAGE, 2 * PAGE));
			expect_new(f, edge - PAGE, 2 * PAGE, news[new].state);
			expect_state(f, edge - 2 * PAGE, olds[old].state);
			expect_state(f, edge + PAGE, olds[old].state);
			space_sweep(f->as);
			assert_ok(axas_unmap(f->as, 0, 1024 * GIB));
		}
	assert_ok(axas_map_linear(f->as, edge - GIB, LINEAR_HPA, 2 * GIB, RW));
	assert_ok(to_reserved(f, 0, 1024 * GIB));
	expect_state(f, edge, AXAS_STATE_RESERVED);
	expect_state(f, 0, AXAS_STATE_RESERVED);
	space_sweep(f->as);
}

/* --- what is refused ------------------------------------------------------------------------- */

static void a_frame_of_the_library_s_own_cannot_take_its_own_place(void **state)
{
	FIXTURE(f);
	axas_hpa_t hpa;

	assert_ok(axas_map_alloc(f->as, AT, 2 * PAGE, RW | AXAS_POPULATE));
	assert_ok(axas_translate(f->as, AT, &hpa, NULL));
	assert_status(AXAS_ERR_INVALID_INPUT,
		      axas_map_linear(f->as, AT, hpa, PAGE, RW | AXAS_REPLACE));
	expect_state(f, AT, AXAS_STATE_OWNED);
}

static void a_small_exec_space_stays_small(void **state)
{
	FIXTURE(f);

	f->cfg.options |= AXAS_SMALL_EXEC;
	fixture_create(f);
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 2 * MIB, RW));
	assert_int_equal(at(f, AT).size, 2 * MIB);
	assert_ok(to_linear(f, AT, 2 * MIB));
	assert_int_equal(at(f, AT).size, PAGE);
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 2 * MIB, RW | AXAS_REPLACE));
	assert_int_equal(at(f, AT).size, 2 * MIB);
}

static void the_order_of_checks_is_that_of_other_calls(void **state)
{
	FIXTURE(f);
	const axas_flags_t replace = AXAS_REPLACE;

	assert_ok(from_linear(f, AT, PAGE));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_map_trap_flags(NULL, AT, PAGE, 1, replace));
	assert_status(AXAS_ERR_INVALID_INPUT,
		      axas_map_trap_flags(f->as, AT, PAGE, 1ull << 32, AXAS_READ));
	assert_status(AXAS_ERR_UNSUPPORTED,
		      axas_map_trap_flags(f->as, AT + 1, PAGE, 1ull << 32, replace));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_map_trap_flags(f->as, AT + 1, PAGE, 1, replace));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_map_trap_flags(f->as, AT, 0, 1, replace));
	assert_status(AXAS_ERR_INVALID_INPUT,
		      axas_map_trap_flags(f->as, SPACE_SIZE, PAGE, 1, replace));
	assert_status(AXAS_ERR_ALREADY_EXISTS, axas_map_trap_flags(f->as, AT, PAGE, 1, 0));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_map_alloc(f->as, AT + 1, PAGE, RW | replace));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_map_alloc(f->as, AT, PAGE, replace));
	expect_leaf(f, AT, PAGE, old_hpa(AT), RW);
	assert_ok(axas_map_trap_flags(f->as, AT + PAGE, PAGE, 1, 0));
	expect_state(f, AT + PAGE, AXAS_STATE_TRAP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(everything_becomes_everything),
		EACH_FORMAT(memory_that_was_replaced_by_memory_reads_zero),
		EACH_FORMAT(a_page_of_the_same_size_is_exchanged_in_its_entry),
		EACH_FORMAT(a_page_of_the_library_s_is_exchanged_for_one_of_the_host_s),
		EACH_FORMAT(a_range_of_small_entries_needs_no_memory),
		EACH_FORMAT_NO_SPACE(a_quota_that_is_used_up_refuses_only_what_needs_a_table),
		EACH_FORMAT(a_large_page_takes_the_place_of_a_table),
		EACH_FORMAT(every_allocation_may_fail),
		EACH_FORMAT(a_frame_that_stays_is_not_released),
		EACH_FORMAT(a_frame_that_comes_to_another_address_is_released),
		EACH_FORMAT(runs_are_of_one_level_and_in_order),
		EACH_FORMAT(a_vcpu_that_faults_in_between_is_told_to_retry),
		EACH_FORMAT_NO_SPACE(a_reader_in_between_finds_the_old_or_the_new),
		EACH_FORMAT_NO_SPACE(readers_without_the_lock_never_find_a_hole),
		EACH_FORMAT_NO_SPACE(the_last_page_of_a_space),
		EACH_FORMAT_NO_SPACE(across_the_pages_of_a_root),
		EACH_FORMAT(a_frame_of_the_library_s_own_cannot_take_its_own_place),
		EACH_FORMAT_NO_SPACE(a_small_exec_space_stays_small),
		EACH_FORMAT(the_order_of_checks_is_that_of_other_calls),
	};

	return cmocka_run_group_tests_name("replace", tests, NULL, NULL);
}
