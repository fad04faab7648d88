/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A replace as others see it: vCPUs, readers, the host's references. */
#include <sched.h>

#include "fixture.h"

#define AT      (4 * GIB)
#define NEW_HPA (LINEAR_HPA + 8 * GIB)

/* What another CPU finds while the range is flushed: asked once, answered whenever it can be. */
struct other_cpu {
	struct fixture *f;
	pthread_t thread;
	int is_asked;
	_Atomic int has_answered;
	axas_status_t translated, queried;
	axas_fault_result_t verdict;
	axas_hpa_t hpa;
	axas_mapping_t m;
};

static void *look(void *arg)
{
	struct other_cpu *cpu = arg;

	cpu->translated = axas_translate(cpu->f->as, AT, &cpu->hpa, NULL);
	cpu->queried = axas_query(cpu->f->as, AT, &cpu->m);
	atomic_store(&cpu->has_answered, 1);
	return NULL;
}

static void *touch(void *arg)
{
	struct other_cpu *cpu = arg;

	cpu->verdict = axas_handle_page_fault(cpu->f->as, AT, AXAS_READ);
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

static void let_it_look(struct host *h, const axas_tlb_request_t *request)
{
	if (request->scope == AXAS_SCOPE_ALL)
		let_it(h, look);
}

static void let_it_touch(struct host *h, const axas_tlb_request_t *request)
{
	if (request->scope == AXAS_SCOPE_ALL)
		let_it(h, touch);
}

static axas_status_t replace(struct fixture *f, struct other_cpu *cpu, axas_hpa_t hpa,
			     uint64_t size)
{
	axas_status_t status;

	*cpu = (struct other_cpu){ .f = f };
	f->host.in_flush_arg = cpu;
	status = axas_map_linear(f->as, AT, hpa, size, RW | AXAS_REPLACE);
	assert_true(cpu->is_asked);
	pthread_join(cpu->thread, NULL);
	return status;
}

/* Where readers take no lock they find the old page, or the new one, or wait. */
static void readers_without_the_lock_find_a_page(void **state)
{
	static const uint64_t sizes[] = { PAGE, 2 * MIB };
	FIXTURE(f);

	f->host.hal.flags |= AXAS_HAL_TABLES_STAY_READABLE;
	f->host.hal.released = NULL;
	fixture_create(f);
	for (size_t i = 0; i < 2; i++) {
		struct other_cpu cpu;

		assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, sizes[i], RW));
		assert_ok(axas_map_linear(f->as, AT + sizes[i], LINEAR_HPA + GIB, sizes[i], RW));
		f->host.in_flush = let_it_look;
		assert_ok(replace(f, &cpu, NEW_HPA, sizes[i]));
		f->host.in_flush = NULL;
		assert_ok(cpu.translated);
		assert_true(cpu.hpa == LINEAR_HPA || cpu.hpa == NEW_HPA);
		assert_ok(cpu.queried);
		assert_int_equal(cpu.m.state, AXAS_STATE_LINEAR);
		assert_true(cpu.m.hpa == LINEAR_HPA || cpu.m.hpa == NEW_HPA);
		assert_ok(axas_unmap(f->as, AT, 2 * sizes[i]));
	}
}

static void a_device_becomes_memory_and_nobody_is_told_of_a_hole(void **state)
{
	FIXTURE(f);
	struct other_cpu cpu = { .f = f };

	assert_ok(axas_map_trap(f->as, AT, 2 * MIB, 7));
	assert_ok(axas_map_alloc(f->as, AT, 2 * MIB, RW | AXAS_REPLACE));
	assert_int_equal(axas_handle_page_fault(f->as, AT, AXAS_READ), AXAS_FAULT_RESOLVED);
	/* the page that has come goes again, and is flushed */
	f->host.in_flush = let_it_touch;
	f->host.in_flush_arg = &cpu;
	assert_ok(axas_map_alloc(f->as, AT, 2 * MIB, RX | AXAS_REPLACE));
	f->host.in_flush = NULL;
	assert_true(cpu.is_asked);
	pthread_join(cpu.thread, NULL);
	assert_int_equal(cpu.verdict, AXAS_FAULT_RETRY);
	assert_int_equal(axas_handle_page_fault(f->as, AT, AXAS_EXECUTE), AXAS_FAULT_RESOLVED);
}

/* The same frames with other permissions: the host drops no reference. */
static void released_is_silent_for_a_frame_that_stays(void **state)
{
	FIXTURE(f);
	uint64_t told = 0;

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 3 * PAGE, RW));
	host_forget_log(&f->host);
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 3 * PAGE, RX | AXAS_REPLACE));
	for (uint32_t i = 0; i < f->host.runs; i++)
		told += f->host.run[i].size;
	assert_int_equal(told, 0);
	/* at another address the frame has gone */
	host_forget_log(&f->host);
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA + PAGE, 2 * PAGE, RX | AXAS_REPLACE));
	for (uint32_t i = 0; i < f->host.runs; i++)
		told += f->host.run[i].size;
	assert_int_equal(told, 2 * PAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT_NO_SPACE(readers_without_the_lock_find_a_page),
		EACH_FORMAT(a_device_becomes_memory_and_nobody_is_told_of_a_hole),
		EACH_FORMAT(released_is_silent_for_a_frame_that_stays),
	};

	return cmocka_run_group_tests_name("replace_seen", tests, NULL, NULL);
}
