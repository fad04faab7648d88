/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The second CPU stays inside the guest, in a loop on one address, while this one changes the
 * mapping. When the change has returned, the running guest must not use the old translation once
 * more. What shows that it does is data, not time: a word that the host wrote to the old frame
 * after the change, or a write of the guest's that still arrived.
 *
 * The same tests run with a flush that does nothing, and with one that forgets the other CPU: then
 * they have to see stale translations.
 */
#include <stddef.h>

#include "suite.h"

/* Of a part: in archives that have it. */
#pragma weak axas_map_provider
#pragma weak axas_evict

#define GPA_AREA      GIB(7)
#define OLD_WORD      0x01d
#define NEW_WORD      0x9e3
#define POISON        0xdeadbeef
#define WARM_UP       200 /* turns of the guest's loop before the change */
#define MANY_TURNS    100000 /* of a guest that shows nothing: it never will */
/* A TLB that is indexed by low bits holds this page and the guest's own code at the same time. */
#define RUNNER_OFFSET (3 * PAGE)
#define OTHER_HPA     linear_hpa(MIB(2))

static axas_hw_regs_t registers;
static uint64_t loop_op;
static uint64_t loop_gpa;
static uint32_t goes_on; /* a refusal is not the end: the mapping will come back */
static uint32_t ended_by_stop;
static axas_fault_t last_fault;
static axas_fault_result_t last_verdict;
static uint32_t refusals;
static uint32_t stale_is_due;
static uint64_t unclear;

static uint64_t word(uint64_t offset)
{
	return __atomic_load_n(&mailbox[offset / 8], __ATOMIC_ACQUIRE);
}

static void loop_of_second_cpu(void)
{
	struct vcpu *vcpu = layer_load(1, &registers);
	struct guest_exit left = { .reason = EXIT_UNKNOWN };

	layer_request(vcpu, loop_op, loop_gpa, 1);
	for (;;) {
		layer_run(vcpu, &left);
		if (left.reason != EXIT_FAULT)
			break;
		__atomic_add_fetch(&faults_taken, 1, __ATOMIC_RELAXED);
		last_fault = left.fault;
		last_verdict = axas_handle_page_fault(space, left.fault.gpa, left.fault.access);
		if (axas_fault_resumes(last_verdict))
			continue;
		refusals++;
		if (!goes_on || word(MAILBOX_STOP))
			break;
	}
	ended_by_stop = left.reason == EXIT_HYPERCALL;
	layer_unload(1);
}

/*
 * Waits for the guest's loop to turn this often more; 0 if it ends before. However slow the other CPU is:
 * what stops for ever is for the limit of the whole run.
 */
static uint32_t turns(uint64_t count)
{
	uint64_t goal = word(MAILBOX_BEATS) + count;

	while (word(MAILBOX_BEATS) < goal) {
		if (cpus_is_done())
			return 0;
		layer_relax();
	}
	return 1;
}

static void start_loop(uint64_t op, uint64_t gpa, uint32_t keep_going)
{
	loop_op = op;
	loop_gpa = gpa;
	goes_on = keep_going;
	ended_by_stop = 0;
	refusals = 0;
	for (size_t i = 0; i < PAGE / 8; i++)
		mailbox[i] = 0;
	cpus_run(loop_of_second_cpu);
	check("the second CPU's guest runs", turns(WARM_UP), 1);
}

static void stop_loop(void)
{
	__atomic_store_n(&mailbox[MAILBOX_STOP / 8], 1, __ATOMIC_RELEASE);
	cpus_wait();
}

/* Until the guest faults, or until it has shown that its translation is stale. */
static uint32_t is_stale(uint32_t (*shows)(void))
{
	uint64_t goal = word(MAILBOX_BEATS) + MANY_TURNS;

	while (word(MAILBOX_BEATS) < goal) {
		if (shows())
			return 1;
		if (cpus_is_done())
			return shows();
		layer_relax();
	}
	if (shows())
		return 1;
	unclear++;
	return 0;
}

static void check_stale(const char *what, uint32_t stale, axas_fault_result_t verdict)
{
	stop_loop();
	check(what, stale, stale_is_due);
	if (stale_is_due)
		return;
	check(what, ended_by_stop, 0);
	check(what, last_verdict, verdict);
	check(what, last_fault.gpa & ~(PAGE - 1), loop_gpa & ~(PAGE - 1));
	check(what, last_fault.access, access_of(loop_op, 1));
}

static uint64_t map_in_pages_of(uint64_t size, axas_flags_t flags)
{
	uint64_t offset = size == GIB(1) ? linear_hpa(0) & (GIB(1) - 1) : 0;
	axas_flags_t option = size == PAGE ? AXAS_NO_HUGE : 0;

	must("map", axas_map_linear(space, GPA_AREA, linear_hpa(0) - offset,
				    size == GIB(1) ? size : MIB(2), flags | option));
	write_host(linear_hpa(0), OLD_WORD);
	return GPA_AREA + offset;
}

static uint32_t reads_poison(void)
{
	return word(MAILBOX_LAST) == POISON;
}

/* Unmaps the page or the whole area, so that tables go too. */
static void unmap_under_reader(const char *what, uint64_t size, uint64_t bytes)
{
	uint64_t gpa = map_in_pages_of(size, RWX);
	uint32_t stale;

	start_loop(OP_KEEP_READING, gpa, 0);
	must("unmap", axas_unmap(space, bytes > PAGE ? GPA_AREA : gpa, bytes));
	write_host(linear_hpa(0), POISON);
	stale = is_stale(reads_poison);
	check_stale(what, stale, AXAS_FAULT_UNMAPPED);
	must("unmap", axas_unmap(space, GPA_AREA, GIB(1)));
}

static uint64_t written_before;

static uint32_t writes_arrive(void)
{
	return read_host(linear_hpa(0)) != written_before;
}

static void protect_under_writer(const char *what, uint64_t size)
{
	uint64_t gpa = map_in_pages_of(size, RWX);
	uint32_t stale;

	start_loop(OP_KEEP_WRITING, gpa, 0);
	must("protect", axas_protect(space, gpa, PAGE, RX));
	written_before = read_host(linear_hpa(0));
	stale = is_stale(writes_arrive);
	check_stale(what, stale, AXAS_FAULT_DENIED);
	must("unmap", axas_unmap(space, GPA_AREA, GIB(1)));
}

static uint64_t beats_before;

/* One turn may have passed the call before the change and tell the mailbox after it. */
static uint32_t calls_go_on(void)
{
	return word(MAILBOX_BEATS) > beats_before + 1;
}

static void protect_under_runner(const char *what, uint64_t size)
{
	uint64_t gpa = map_in_pages_of(size, RWX) + RUNNER_OFFSET;
	uint32_t stale;

	plant_sample(linear_hpa(RUNNER_OFFSET));
	start_loop(OP_KEEP_EXECUTING, gpa, 0);
	must("protect", axas_protect(space, gpa, PAGE, RW));
	beats_before = word(MAILBOX_BEATS);
	stale = is_stale(calls_go_on);
	check_stale(what, stale, AXAS_FAULT_DENIED);
	must("unmap", axas_unmap(space, GPA_AREA, GIB(1)));
}

static uint32_t reads_poison_or_new(void)
{
	return word(MAILBOX_LAST) == POISON || word(MAILBOX_LAST) == NEW_WORD;
}

/* The guest meets the hole in between, or not: it has to arrive at the new frame. */
static void remap_under_reader(const char *what, uint64_t size)
{
	uint64_t gpa = map_in_pages_of(size, RWX);

	write_host(OTHER_HPA, NEW_WORD);
	start_loop(OP_KEEP_READING, gpa, 1);
	must("unmap", axas_unmap(space, gpa, PAGE));
	write_host(linear_hpa(0), POISON);
	must("map elsewhere", axas_map_linear(space, gpa, OTHER_HPA, PAGE, R));
	check("the guest arrives somewhere", is_stale(reads_poison_or_new), 1);
	check(what, reads_poison(), stale_is_due);
	stop_loop();
	must("unmap", axas_unmap(space, GPA_AREA, GIB(1)));
}

/* In one call: the guest may be told to retry, but it meets no hole. */
static void replace_under_reader(const char *what, uint64_t size)
{
	uint64_t gpa = map_in_pages_of(size, RWX);

	write_host(OTHER_HPA, NEW_WORD);
	start_loop(OP_KEEP_READING, gpa, 0);
	must("replace", axas_map_linear(space, gpa, OTHER_HPA, PAGE, R | AXAS_REPLACE));
	write_host(linear_hpa(0), POISON);
	check("the guest arrives somewhere", is_stale(reads_poison_or_new), 1);
	check(what, reads_poison(), stale_is_due);
	stop_loop();
	check("the guest was never refused", refusals, 0);
	must("unmap", axas_unmap(space, GPA_AREA, GIB(1)));
}

/* The library's frame goes back to the pool, where it is spoilt at once. */
static void discard_under_reader(void)
{
	axas_hpa_t old = 0;
	uint64_t run;

	must("reserve", axas_map_alloc(space, GPA_AREA, PAGE, RW | AXAS_POPULATE));
	must("translate", axas_translate(space, GPA_AREA, &old, &run));
	start_loop(OP_KEEP_READING, GPA_AREA, 0);
	must("discard", axas_discard(space, GPA_AREA, PAGE));
	write_host(old, POISON);
	check("the guest goes on", turns(WARM_UP), 1);
	check("a page that is discarded", reads_poison(), stale_is_due);
	stop_loop();
	must("unmap", axas_unmap(space, GPA_AREA, PAGE));
}

/* Others of the same huge page change: the guest goes on, with the same memory. */
static void split_under_writer(const char *what, uint64_t size)
{
	uint64_t gpa = map_in_pages_of(size, RW);

	start_loop(OP_KEEP_WRITING, gpa, 0);
	must("a hole elsewhere", axas_unmap(space, gpa + MIB(1), PAGE));
	check(what, turns(WARM_UP), 1);
	must("a read-only page elsewhere", axas_protect(space, gpa + PAGE, PAGE, R));
	check(what, turns(WARM_UP), 1);
	must("the hole is filled", axas_map_linear(space, gpa + MIB(1), OTHER_HPA, PAGE, RW));
	check(what, turns(WARM_UP), 1);
	stop_loop();
	check(what, ended_by_stop, 1);
	check("the guest was never refused", refusals, 0);
	check("its last word is in the frame", read_host(linear_hpa(0)), word(MAILBOX_LAST));
	must("unmap", axas_unmap(space, GPA_AREA, GIB(1)));
}

static uint32_t answer_now(void *ctx, uint32_t provider, axas_gpa_t gpa, uint32_t access,
			   axas_supply_t *answer)
{
	(void)ctx;
	(void)provider;
	(void)gpa;
	(void)access;
	answer->hpa = linear_hpa(0);
	return AXAS_RESOLVE_NOW;
}

static uint32_t written_when_told;

/* Told of a page that is taken away: from now on its frame must not change, and the guest faults again and again. */
static uint32_t watch_frame(void *ctx, const axas_mapping_t *run, uint32_t dirty)
{
	const uint64_t goal = __atomic_load_n(&faults_taken, __ATOMIC_RELAXED) + 10;

	(void)ctx;
	(void)run;
	(void)dirty;
	written_before = read_host(linear_hpa(0));
	while (!writes_arrive() && __atomic_load_n(&faults_taken, __ATOMIC_RELAXED) < goal)
		layer_relax();
	written_when_told = writes_arrive();
	return 0;
}

static void evict_under_writer(void)
{
	must("a provider's page", axas_map_provider(space, GPA_AREA, PAGE, RW, 1));
	must("populate", axas_populate(space, GPA_AREA, PAGE));
	start_loop(OP_KEEP_WRITING, GPA_AREA, 0);
	must("evict", axas_evict(space, GPA_AREA, PAGE, 1));
	check("a page that is evicted", written_when_told, stale_is_due);
	check("the guest goes on", turns(WARM_UP), 1);
	stop_loop();
	check("the guest was never refused", refusals, 0);
	check("its last word is in the frame", read_host(linear_hpa(0)), word(MAILBOX_LAST));
	must("unmap", axas_unmap(space, GPA_AREA, PAGE));
}

static void changes_under_guest(void)
{
	static const uint64_t sizes[] = { KIB(4), MIB(2), GIB(1) };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint64_t size = sizes[i];

		unmap_under_reader("one page is unmapped", size, PAGE);
		unmap_under_reader("all is unmapped", size, size == GIB(1) ? size : MIB(2));
		protect_under_writer("writing is forbidden", size);
		protect_under_runner("execution is forbidden", size);
		remap_under_reader("the page moves", size);
		replace_under_reader("the page is replaced", size);
		if (!stale_is_due && size != KIB(4))
			split_under_writer("the huge page is split", size);
	}
	discard_under_reader();
	if (axas_parts() & AXAS_PART_PROVIDER)
		evict_under_writer();
}

static void with_flush(const char *name, enum flush_by flush)
{
	group(name);
	resolve_with = answer_now;
	evicted_with = watch_frame;
	space_open(layer.space_size, layer.features, 0, flush);
	must("registers", axas_hw_regs(space, &registers));
	stale_is_due = flush == FLUSH_NOTHING || flush == FLUSH_HERE_ONLY;
	flush_requests = 0;
	changes_under_guest();
	if (flush != FLUSH_BUILTIN)
		check("the callback was asked", flush_requests > 15, 1);
	check("no guest went on and showed nothing", unclear, 0);
	space_close();
}

void test_stale(void)
{
	if (layer.builtin_reaches_all)
		with_flush("running guest, built-in flush", FLUSH_BUILTIN);
	with_flush("running guest, the host's flush", FLUSH_HOST);
	if (layer.has_builtin_flush)
		with_flush("running guest, the library's flush here, the host's for all",
			   FLUSH_SHARED);
	with_flush("negative control: no flush", FLUSH_NOTHING);
	with_flush("negative control: no shootdown", FLUSH_HERE_ONLY);
}
