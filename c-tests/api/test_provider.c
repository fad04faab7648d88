/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Regions whose pages the host brings, in a fault or later, and takes back. */
#include "fixture.h"

#define AT       (4 * GIB)
#define PROVIDER 0xabcdu
#define MOST     64u

/* What the host answers, and what it was asked and told. */
static struct {
	struct fixture *f;
	uint32_t how;
	axas_hpa_t hpa; /* 0: what the question came with */
	uint64_t size; /* the same */
	axas_flags_t fewer; /* taken away from the flags */
	axas_flags_t more; /* put into them */
	uint32_t reserved;
	int takes; /* a frame of alloc_frame, in the place of hpa */
	int follows; /* the frame is at the distance of hpa from AT */
	uint32_t later_at; /* the n-th question from now on is put off; 0: none */

	uint32_t asked, provider, access;
	axas_gpa_t gpa;
	axas_supply_t question;

	int keeps; /* frames of evicted pages */
	uint32_t runs;
	axas_mapping_t run[MOST];
	uint32_t dirty[MOST];
	uint64_t told; /* bytes */
} host;

static uint32_t resolve(void *ctx, uint32_t provider, axas_gpa_t gpa, uint32_t access,
			axas_supply_t *answer)
{
	space_check_no_window(ctx, "resolve");
	host.asked++;
	host.provider = provider;
	host.gpa = gpa;
	host.access = access;
	host.question = *answer;
	if (host.later_at != 0 && --host.later_at == 0)
		return AXAS_RESOLVE_LATER;
	if (host.hpa != 0)
		answer->hpa = host.hpa + (host.follows ? gpa - AT : 0);
	if (host.takes)
		answer->hpa = host.f->host.hal.alloc_frame(ctx, 0, AXAS_FRAME_GUEST);
	if (host.size != 0)
		answer->size = host.size;
	answer->flags = (answer->flags & ~host.fewer) | host.more;
	answer->reserved = host.reserved;
	return host.how;
}

static uint32_t evicted(void *ctx, const axas_mapping_t *run, uint32_t dirty)
{
	struct host *h = ctx;

	space_check_no_window(h, "evicted");
	if (space_call_flushes() == 0 && !h->hides)
		host_violation(h, "evicted before any flush");
	if (host.runs < MOST) {
		host.run[host.runs] = *run;
		host.dirty[host.runs] = dirty;
	}
	host.runs++;
	host.told += run->size;
	return (uint32_t)host.keeps;
}

static int setup_provider(void **state)
{
	struct fixture *f;

	setup_host(state);
	f = *state;
	memset(&host, 0, sizeof(host));
	host.f = f;
	f->host.hal.resolve = resolve;
	f->host.hal.evicted = evicted;
	fixture_create(f);
	return 0;
}

static int setup_windows(void **state)
{
	struct fixture *f;

	setup_host(state);
	f = *state;
	memset(&host, 0, sizeof(host));
	host.f = f;
	host_exit(&f->host);
	host_init(&f->host, HOST_WINDOWS, HOST_PA_BASE);
	f->host.hal.resolve = resolve;
	f->host.hal.evicted = evicted;
	return 0;
}

static _Alignas(AXAS_STORAGE_ALIGN) uint8_t storage[AXAS_STORAGE_SIZE];

static void create_with_windows(struct fixture *f)
{
	assert_ok(axas_create_in(storage, sizeof(storage), &f->cfg, &f->host.hal, &f->as));
}

#define EACH(test)                                                      \
	ONE(test, setup_provider, ept), ONE(test, setup_provider, npt), \
		ONE(test, setup_provider, arm), ONE(test, setup_provider, riscv)
#define EACH_WINDOWS(test)                                            \
	ONE(test, setup_windows, ept), ONE(test, setup_windows, npt), \
		ONE(test, setup_windows, arm), ONE(test, setup_windows, riscv)

static axas_fault_result_t fault(struct fixture *f, axas_gpa_t gpa, axas_flags_t access)
{
	return axas_handle_page_fault(f->as, gpa, access);
}

static void answer(uint32_t how, axas_hpa_t hpa, uint64_t size)
{
	host.how = how;
	host.hpa = hpa;
	host.size = size;
}

/* A frame of the host's that looks like one of alloc_frame. */
static axas_hpa_t take(struct fixture *f, uint32_t order)
{
	const axas_hpa_t hpa = f->host.hal.alloc_frame(&f->host, order, AXAS_FRAME_GUEST);

	assert_int_not_equal(hpa, AXAS_HPA_INVALID);
	return hpa;
}

static void give_back(struct fixture *f, axas_hpa_t hpa, uint32_t order)
{
	f->host.quick = 1; /* no CPU has it */
	f->host.hal.dealloc_frame(&f->host, hpa, order, AXAS_FRAME_GUEST);
	f->host.quick = 0;
}

static void expect_provided(struct fixture *f, axas_gpa_t gpa, uint32_t provider)
{
	const axas_mapping_t m = at(f, gpa);

	assert_int_equal(m.state, AXAS_STATE_PROVIDED);
	assert_int_equal(m.cookie, provider);
}

static void archives_say_whether_they_have_it(void **state)
{
	(void)state;
	assert_int_equal(axas_parts() & AXAS_PART_PROVIDER, AXAS_PART_PROVIDER);
	assert_int_equal(axas_fault_resumes(AXAS_FAULT_WAIT), 0);
}

static void a_region_is_a_handful_of_entries(void **state)
{
	FIXTURE(f);
	axas_mapping_t m;

	assert_ok(axas_map_provider(f->as, 0, SPACE_SIZE, RWX, 65535));
	assert_int_equal(stats(f).table_frames, root_frames(f));
	m = at(f, 5 * GIB + 123);
	assert_int_equal(m.state, AXAS_STATE_PROVIDED);
	assert_int_equal(m.cookie, 65535);
	assert_int_equal(m.flags, RWX);
	assert_int_equal(m.level, 0);
	assert_ok(axas_unmap(f->as, 0, SPACE_SIZE));
	assert_ok(axas_map_provider(f->as, AT, GIB, RW | AXAS_NO_HUGE, 0));
	assert_int_equal(at(f, AT).flags, RW | AXAS_NO_HUGE);
	assert_int_equal(at(f, AT).cookie, 0);
	assert_ok(axas_map_provider(f->as, AT + GIB, GIB, RX | AXAS_MAX_2M, 1));
	assert_int_equal(at(f, AT + GIB).flags, RX | AXAS_MAX_2M);
	assert_ok(axas_map_provider(f->as, AT + 2 * GIB, GIB, RX | AXAS_NO_HUGE_EXEC, 2));
	assert_int_equal(at(f, AT + 2 * GIB).flags, RX | AXAS_NO_HUGE);
	space_sweep(f->as);
	assert_int_equal(host.asked, 0);
}

static void the_host_is_asked_with_what_it_needs_to_know(void **state)
{
	FIXTURE(f);

	host.how = AXAS_RESOLVE_LATER;
	assert_ok(axas_map_provider(f->as, AT, GIB, RW, PROVIDER));
	assert_int_equal(fault(f, AT + 5 * PAGE + 123, AXAS_WRITE), AXAS_FAULT_WAIT);
	assert_int_equal(host.asked, 1);
	assert_int_equal(host.provider, PROVIDER);
	assert_int_equal(host.gpa, AT + 5 * PAGE);
	assert_int_equal(host.access, AXAS_WRITE);
	assert_int_equal(host.question.hpa, AXAS_HPA_INVALID);
	assert_int_equal(host.question.size, PAGE);
	assert_int_equal(host.question.flags, RW);
	assert_int_equal(host.question.reserved, 0);
	/* it is asked until the page is there, and is not asked for what the region does not allow */
	assert_int_equal(fault(f, AT + 5 * PAGE, AXAS_READ), AXAS_FAULT_WAIT);
	assert_int_equal(host.asked, 2);
	assert_int_equal(fault(f, AT, AXAS_EXECUTE), AXAS_FAULT_DENIED);
	assert_int_equal(host.asked, 2);
	host.how = AXAS_RESOLVE_REFUSE;
	assert_int_equal(fault(f, AT, AXAS_READ), AXAS_FAULT_UNMAPPED);
	assert_int_equal(host.asked, 3);
	assert_int_equal(stats(f).faults_wait, 2);
	assert_int_equal(stats(f).faults_unmapped, 1);
	assert_int_equal(stats(f).faults_denied, 1);
	expect_provided(f, AT, PROVIDER);
	/* a table in the way: no larger page fits any more */
	answer(AXAS_RESOLVE_NOW, LINEAR_HPA, PAGE);
	assert_int_equal(fault(f, AT, AXAS_READ), AXAS_FAULT_RESOLVED);
	host.how = AXAS_RESOLVE_LATER;
	assert_int_equal(fault(f, AT + PAGE, AXAS_READ), AXAS_FAULT_WAIT);
	assert_int_equal(host.question.flags, RW | AXAS_NO_HUGE);
	assert_int_equal(fault(f, AT + 2 * MIB, AXAS_READ), AXAS_FAULT_WAIT);
	assert_int_equal(host.question.flags, RW | AXAS_MAX_2M);
	space_sweep(f->as);
}

/* Without resolve the host brings everything by axas_supply. */
static void without_resolve_every_access_waits(void **state)
{
	FIXTURE(f);

	fixture_create(f);
	assert_ok(axas_map_provider(f->as, AT, GIB, RW, PROVIDER));
	assert_int_equal(fault(f, AT, AXAS_READ), AXAS_FAULT_WAIT);
	assert_ok(axas_supply(f->as, AT, LINEAR_HPA, PAGE, RW, AXAS_RESOLVE_NOW));
	assert_int_equal(fault(f, AT, RW), AXAS_FAULT_SPURIOUS);
	expect_leaf(f, AT, PAGE, LINEAR_HPA, RW);
	assert_ok(axas_evict(f->as, AT, GIB, 7));
	expect_provided(f, AT, 7);
	space_sweep(f->as);
}

static void a_frame_of_the_hosts_is_installed(void **state)
{
	static const uint64_t sizes[] = { PAGE, 2 * MIB, GIB };
	FIXTURE(f);

	for (size_t i = 0; i < 3; i++) {
		const uint64_t marked = stats(f).faults_marked;
		const uint64_t resolved = stats(f).faults_resolved;

		assert_ok(axas_map_provider(f->as, AT, 2 * GIB, RWX | TAG(1), PROVIDER));
		answer(AXAS_RESOLVE_NOW, LINEAR_HPA, sizes[i]);
		assert_int_equal(fault(f, AT + sizes[i] - 1, RW), AXAS_FAULT_RESOLVED);
		expect_leaf(f, AT, sizes[i], LINEAR_HPA, RWX);
		assert_int_equal(tag_of(at(f, AT).flags), 1);
		assert_int_equal(stats(f).faults_marked, marked + 1);
		assert_int_equal(stats(f).faults_resolved, resolved + 1);
		assert_int_equal(stats(f).guest_frames, 0);
		assert_int_equal(fault(f, AT, RW), AXAS_FAULT_SPURIOUS);
		expect_provided(f, AT + sizes[i], PROVIDER);
		space_sweep(f->as);
		/* it goes as every linear page does */
		host_forget_log(&f->host);
		f->host.runs = 0;
		assert_ok(axas_unmap(f->as, AT, 2 * GIB));
		assert_int_equal(f->host.runs, 1);
		assert_int_equal(f->host.run[0].size, sizes[i]);
		space_sweep(f->as);
	}
	assert_int_equal(host.asked, 3);
}

static int setup_tags(void **state)
{
	struct fixture *f;

	setup_host(state);
	f = *state;
	memset(&host, 0, sizeof(host));
	host.f = f;
	f->host.hal.resolve = resolve;
	f->host.hal.evicted = evicted;
	if (f->fc->format == AXAS_FORMAT_RISCV_GSTAGE)
		f->cfg.features |= AXAS_FEATURE_RISCV_SVRSW60T59B;
	fixture_create(f);
	return 0;
}

static void a_given_frame_is_the_librarys(void **state)
{
	static const uint32_t orders[] = { 0, 9 };
	FIXTURE(f);

	for (size_t i = 0; i < 2; i++) {
		const uint64_t size = PAGE << orders[i];
		const axas_hpa_t hpa = take(f, orders[i]);
		const axas_stats_t before = stats(f);

		memset(host_at(&f->host, hpa), 0x5a, size);
		assert_ok(axas_map_provider(f->as, AT, GIB, RW, PROVIDER));
		answer(AXAS_RESOLVE_GIVEN, hpa, size);
		assert_int_equal(fault(f, AT + PAGE / 2, AXAS_READ), AXAS_FAULT_RESOLVED);
		assert_int_equal(at(f, AT).state, AXAS_STATE_OWNED);
		assert_int_equal(at(f, AT).hpa, hpa);
		assert_int_equal(at(f, AT).size, size);
		assert_int_equal(guest_memory(f, AT)[PAGE - 1], 0x5a);
		assert_int_equal(stats(f).guest_frames, size / PAGE);
		assert_true(stats(f).frames_allocated >= before.frames_allocated + size / PAGE);
		space_sweep(f->as);
		assert_ok(axas_unmap(f->as, AT, GIB));
		assert_int_equal(stats(f).guest_frames, 0);
		assert_int_equal(f->host.guest_out, 0);
	}
}

/* Populate on demand: the library's frames, zeroed. */
static void a_frame_of_alloc_frame_is_zeroed(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_provider(f->as, AT, GIB, RW, PROVIDER));
	host.how = AXAS_RESOLVE_ALLOC;
	assert_int_equal(fault(f, AT, AXAS_READ), AXAS_FAULT_RESOLVED);
	assert_int_equal(at(f, AT).state, AXAS_STATE_OWNED);
	assert_int_equal(at(f, AT).size, PAGE);
	assert_int_equal(guest_memory(f, AT)[17], 0);
	/* more than fits there is as much as does */
	host.size = GIB;
	assert_int_equal(fault(f, AT + PAGE, AXAS_READ), AXAS_FAULT_RESOLVED);
	assert_int_equal(at(f, AT + PAGE).size, PAGE);
	assert_int_equal(fault(f, AT + 2 * MIB, AXAS_READ), AXAS_FAULT_RESOLVED);
	assert_int_equal(at(f, AT + 2 * MIB).size, 2 * MIB);
	host.size = 2 * MIB;
	host.fewer = AXAS_WRITE;
	assert_int_equal(fault(f, AT + 4 * MIB, AXAS_READ), AXAS_FAULT_RESOLVED);
	assert_int_equal(at(f, AT + 4 * MIB).size, 2 * MIB);
	assert_int_equal(space_access(at(f, AT + 4 * MIB).flags), AXAS_READ);
	host.fewer = 0;
	f->host.refuse_order = 9;
	assert_int_equal(fault(f, AT + 6 * MIB, AXAS_READ), AXAS_FAULT_RESOLVED);
	assert_int_equal(at(f, AT + 6 * MIB).size, PAGE);
	f->host.refuse_order = 0;
	f->host.fail_purpose = AXAS_FRAME_GUEST;
	assert_int_equal(fault(f, AT + 8 * MIB, AXAS_READ), AXAS_FAULT_NO_MEMORY);
	f->host.fail_purpose = 0;
	assert_int_equal(stats(f).guest_frames, 3 + 2 * 512);
	assert_int_equal(stats(f).faults_marked, 0);
	space_sweep(f->as);
}

static void an_answer_may_allow_less(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_provider(f->as, AT, GIB, RWX, PROVIDER));
	answer(AXAS_RESOLVE_NOW, LINEAR_HPA, PAGE);
	host.fewer = AXAS_WRITE;
	assert_int_equal(fault(f, AT, AXAS_READ), AXAS_FAULT_RESOLVED);
	expect_leaf(f, AT, PAGE, LINEAR_HPA, RX);
	assert_int_equal(fault(f, AT, AXAS_WRITE), AXAS_FAULT_DENIED);
	assert_int_equal(host.asked, 1);
	host.follows = 1;
	assert_int_equal(fault(f, AT + PAGE, AXAS_WRITE), AXAS_FAULT_RESOLVED);
	assert_int_equal(fault(f, AT + PAGE, AXAS_WRITE), AXAS_FAULT_DENIED);
	space_sweep(f->as);
}

static void answers_that_do_not_fit_are_no_memory(void **state)
{
	static const struct {
		uint32_t how;
		axas_hpa_t hpa;
		uint64_t size;
		axas_flags_t more;
		uint32_t reserved;
	} bad[] = {
		{ AXAS_RESOLVE_NOW, 0, 0, 0, 0 }, /* no address */
		{ AXAS_RESOLVE_GIVEN, 0, 0, 0, 0 },
		{ AXAS_RESOLVE_NOW, LINEAR_HPA + 1, PAGE, 0, 0 },
		{ AXAS_RESOLVE_NOW, LINEAR_HPA + PAGE, 2 * MIB, 0, 0 },
		{ AXAS_RESOLVE_NOW, 1ull << 57, PAGE, 0, 0 },
		{ AXAS_RESOLVE_NOW, ~0ull << 12, PAGE, 0, 0 },
		{ AXAS_RESOLVE_NOW, LINEAR_HPA, 1, 0, 0 },
		{ AXAS_RESOLVE_NOW, LINEAR_HPA, 2 * PAGE, 0, 0 },
		{ AXAS_RESOLVE_NOW, LINEAR_HPA, 512 * GIB, 0, 0 },
		{ AXAS_RESOLVE_NOW, LINEAR_HPA, ~0ull, 0, 0 },
		{ AXAS_RESOLVE_NOW, LINEAR_HPA, GIB, 0, 0 }, /* larger than the region's pages */
		{ AXAS_RESOLVE_NOW, LINEAR_HPA, PAGE, AXAS_WRITE, 0 },
		{ AXAS_RESOLVE_NOW, LINEAR_HPA, PAGE, AXAS_DEVICE, 0 },
		{ AXAS_RESOLVE_NOW, LINEAR_HPA, PAGE, 1u << 31, 0 },
		{ AXAS_RESOLVE_NOW, LINEAR_HPA, PAGE, 0, 1 },
		{ AXAS_RESOLVE_ALLOC, 0, 3 * PAGE, 0, 0 },
		{ AXAS_RESOLVE_ALLOC, 0, PAGE, AXAS_EXECUTE | AXAS_WRITE, 0 },
		{ AXAS_RESOLVE_REFUSE + 1, LINEAR_HPA, PAGE, 0, 0 },
		{ ~0u, LINEAR_HPA, PAGE, 0, 0 },
	};
	FIXTURE(f);

	assert_ok(axas_map_provider(f->as, AT, GIB, RX | AXAS_MAX_2M, PROVIDER));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		answer(bad[i].how, bad[i].hpa, bad[i].size);
		host.more = bad[i].more;
		host.reserved = bad[i].reserved;
		assert_int_equal(fault(f, AT + 3 * PAGE, AXAS_READ), AXAS_FAULT_NO_MEMORY);
		expect_provided(f, AT + 3 * PAGE, PROVIDER);
	}
	host.reserved = 0;
	assert_int_equal(stats(f).faults_no_memory, sizeof(bad) / sizeof(bad[0]));
	/* a frame that was given with an answer that cannot be used goes back */
	answer(AXAS_RESOLVE_GIVEN, 0, PAGE);
	host.takes = 1;
	for (uint32_t i = 0; i < 4; i++) {
		host.more = i == 0 ? AXAS_WRITE : 0;
		host.reserved = i == 1;
		f->host.fail_purpose = i == 2 ? AXAS_FRAME_TABLE : 0;
		host.size = i == 3 ? 3 * PAGE : PAGE;
		assert_int_equal(fault(f, AT, AXAS_READ), AXAS_FAULT_NO_MEMORY);
		assert_int_equal(f->host.guest_returned, i + 1);
		assert_int_equal(f->host.guest_out, 0);
	}
	f->host.fail_purpose = 0;
	space_sweep(f->as);
}

static void a_page_is_supplied_while_somebody_waits_or_not(void **state)
{
	static const uint64_t sizes[] = { PAGE, 2 * MIB, GIB };
	FIXTURE(f);

	for (size_t i = 0; i < 3; i++) {
		const uint64_t size = sizes[i];

		assert_ok(axas_map_provider(f->as, AT, 2 * GIB, RWX, PROVIDER));
		host.how = AXAS_RESOLVE_LATER;
		assert_int_equal(fault(f, AT, AXAS_READ), AXAS_FAULT_WAIT);
		assert_ok(axas_supply(f->as, AT, LINEAR_HPA, size, RX, AXAS_RESOLVE_NOW));
		expect_leaf(f, AT, size, LINEAR_HPA, RX);
		assert_int_equal(fault(f, AT, AXAS_READ), AXAS_FAULT_SPURIOUS);
		/* twice is once */
		assert_status(AXAS_ERR_ALREADY_EXISTS,
			      axas_supply(f->as, AT, LINEAR_HPA + GIB, size, RX, AXAS_RESOLVE_NOW));
		expect_leaf(f, AT, size, LINEAR_HPA, RX);
		assert_ok(axas_supply(f->as, AT + GIB, LINEAR_HPA, PAGE, RW, AXAS_RESOLVE_NOW));
		assert_status(AXAS_ERR_ALREADY_EXISTS, axas_supply(f->as, AT + GIB, LINEAR_HPA,
								   2 * MIB, RW, AXAS_RESOLVE_NOW));
		assert_status(AXAS_ERR_ALREADY_EXISTS,
			      axas_supply(f->as, AT + GIB, LINEAR_HPA, GIB, RW, AXAS_RESOLVE_NOW));
		assert_ok(axas_supply(f->as, AT + GIB + PAGE, LINEAR_HPA, PAGE, AXAS_READ,
				      AXAS_RESOLVE_NOW));
		space_sweep(f->as);
		assert_ok(axas_unmap(f->as, AT, 2 * GIB));
		assert_int_equal(stats(f).mapped_4k + stats(f).mapped_2m + stats(f).mapped_1g, 0);
	}
}

static void a_supplied_frame_may_be_given(void **state)
{
	FIXTURE(f);
	const axas_hpa_t small = take(f, 0), large = take(f, 9), late = take(f, 0);

	assert_ok(axas_map_provider(f->as, AT, GIB, RW, PROVIDER));
	assert_ok(axas_supply(f->as, AT, small, PAGE, RW, AXAS_RESOLVE_GIVEN));
	assert_ok(axas_supply(f->as, AT + 2 * MIB, large, 2 * MIB, RW, AXAS_RESOLVE_GIVEN));
	/* of what is refused the host keeps the frame */
	assert_status(AXAS_ERR_ALREADY_EXISTS,
		      axas_supply(f->as, AT, late, PAGE, RW, AXAS_RESOLVE_GIVEN));
	assert_int_equal(stats(f).guest_frames, 513);
	assert_int_equal(f->host.guest_out, 514);
	give_back(f, late, 0);
	space_sweep(f->as);
	assert_ok(axas_discard(f->as, AT, GIB));
	expect_state(f, AT, AXAS_STATE_RESERVED);
	expect_provided(f, AT + PAGE, PROVIDER);
	assert_int_equal(f->host.guest_out, 0);
	space_sweep(f->as);
}

static void what_is_not_expected_is_not_supplied(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_alloc(f->as, AT, PAGE, RW));
	assert_ok(axas_map_trap(f->as, AT + PAGE, PAGE, 1));
	assert_ok(axas_map_note(f->as, AT + 2 * PAGE, PAGE, 1, 0));
	assert_ok(axas_map_linear(f->as, AT + 3 * PAGE, LINEAR_HPA, PAGE, RW));
	assert_ok(axas_map_provider(f->as, AT + 5 * PAGE, PAGE, RX | AXAS_NO_HUGE, 1));
	for (axas_gpa_t gpa = AT; gpa < AT + 5 * PAGE; gpa += PAGE) {
		const int is_there = gpa == AT + 3 * PAGE;

		assert_status(is_there ? AXAS_ERR_ALREADY_EXISTS : AXAS_ERR_NOT_MAPPED,
			      axas_supply(f->as, gpa, LINEAR_HPA, PAGE, AXAS_READ,
					  AXAS_RESOLVE_NOW));
	}
	assert_status(AXAS_ERR_DENIED,
		      axas_supply(f->as, AT + 5 * PAGE, LINEAR_HPA, PAGE, RW, AXAS_RESOLVE_NOW));
	assert_ok(axas_map_provider(f->as, AT + 2 * MIB, 2 * MIB, RX | AXAS_NO_HUGE, 1));
	assert_status(AXAS_ERR_UNSUPPORTED,
		      axas_supply(f->as, AT + 2 * MIB, LINEAR_HPA, 2 * MIB, RX, AXAS_RESOLVE_NOW));
	assert_ok(axas_map_provider(f->as, AT + GIB, GIB, RX | AXAS_MAX_2M, 1));
	assert_status(AXAS_ERR_UNSUPPORTED,
		      axas_supply(f->as, AT + GIB, LINEAR_HPA, GIB, RX, AXAS_RESOLVE_NOW));
	assert_status(AXAS_ERR_NOT_MAPPED,
		      axas_supply(f->as, 8 * GIB, LINEAR_HPA, GIB, RX, AXAS_RESOLVE_NOW));
	if (f->fc->format != AXAS_FORMAT_ARM_S2)
		assert_status(AXAS_ERR_DENIED, axas_supply(f->as, AT + 5 * PAGE, LINEAR_HPA, PAGE,
							   AXAS_WRITE, AXAS_RESOLVE_NOW));
	space_sweep(f->as);
}

/* Large pages that may be executed: not in a space that wants them small. */
static void small_executable_pages_hold(void **state)
{
	FIXTURE(f);

	f->cfg.options |= AXAS_SMALL_EXEC;
	f->host.hal.resolve = resolve;
	memset(&host, 0, sizeof(host));
	fixture_create(f);
	assert_ok(axas_map_provider(f->as, AT, GIB, RWX, 1));
	assert_status(AXAS_ERR_UNSUPPORTED,
		      axas_supply(f->as, AT, LINEAR_HPA, 2 * MIB, RWX, AXAS_RESOLVE_NOW));
	answer(AXAS_RESOLVE_NOW, LINEAR_HPA, 2 * MIB);
	assert_int_equal(fault(f, AT, AXAS_READ), AXAS_FAULT_NO_MEMORY);
	assert_int_equal(host.question.flags, RWX | AXAS_NO_HUGE);
	answer(AXAS_RESOLVE_NOW, LINEAR_HPA, PAGE);
	assert_int_equal(fault(f, AT, AXAS_READ), AXAS_FAULT_RESOLVED);
}

/* --- evict ------------------------------------------------------------------------------------ */

static void evicted_pages_are_a_providers_again(void **state)
{
	FIXTURE(f);
	axas_mapping_t m;

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 2 * PAGE, RX | TAG(2)));
	assert_ok(axas_map_alloc(f->as, AT + 2 * PAGE, 4 * PAGE, RW | AXAS_POPULATE));
	assert_ok(
		axas_map_linear(f->as, AT + 2 * MIB, LINEAR_HPA + 2 * MIB, 2 * MIB,
				RW | AXAS_UNCACHED * (f->fc->format != AXAS_FORMAT_RISCV_GSTAGE)));
	m = at(f, AT + 2 * MIB);
	host_forget_log(&f->host);
	f->host.runs = 0;
	assert_ok(axas_evict(f->as, AT, 4 * MIB, PROVIDER));
	assert_int_equal(f->host.flushes_all, 1);
	assert_int_equal(host_last_flush(&f->host)->reason, AXAS_FLUSH_UNMAP);
	assert_true(space_flush_covered(AT, 4 * MIB));
	assert_int_equal(host.told, 6 * PAGE + 2 * MIB);
	assert_int_equal(host.run[0].gpa, AT);
	assert_int_equal(host.run[0].size, 2 * PAGE);
	assert_int_equal(host.run[0].hpa, LINEAR_HPA);
	assert_int_equal(host.run[0].state, AXAS_STATE_LINEAR);
	assert_int_equal(host.run[0].flags, RX | TAG(2));
	assert_int_equal(host.run[0].level, 1);
	assert_int_equal(host.run[1].state, AXAS_STATE_OWNED);
	assert_int_equal(host.run[host.runs - 1].size, 2 * MIB);
	assert_int_equal(host.run[host.runs - 1].level, 2);
	for (uint32_t i = 0; i < host.runs; i++)
		assert_int_equal(host.dirty[i], 1);
	/* linear ones were released besides */
	assert_int_equal(f->host.runs, 2);
	assert_int_equal(f->host.guest_out, 0);
	expect_provided(f, AT, PROVIDER);
	expect_provided(f, AT + 5 * PAGE, PROVIDER);
	expect_state(f, AT + 6 * PAGE, AXAS_STATE_ABSENT);
	expect_provided(f, AT + 2 * MIB, PROVIDER);
	assert_int_equal(at(f, AT).flags, RX | TAG(2) | AXAS_NO_HUGE);
	assert_int_equal(at(f, AT + 2 * MIB).flags, m.flags | AXAS_MAX_2M);
	assert_int_equal(stats(f).guest_frames + stats(f).mapped_4k + stats(f).mapped_2m, 0);
	space_sweep(f->as);
	/* and come again */
	answer(AXAS_RESOLVE_NOW, LINEAR_HPA, PAGE);
	host.follows = 1;
	assert_int_equal(fault(f, AT + PAGE, AXAS_READ), AXAS_FAULT_RESOLVED);
	expect_leaf(f, AT + PAGE, PAGE, LINEAR_HPA + PAGE, RX);
	assert_int_equal(tag_of(at(f, AT + PAGE).flags), 2);
	space_sweep(f->as);
}

static void the_host_may_keep_the_frames(void **state)
{
	FIXTURE(f);
	axas_stats_t s;

	assert_ok(axas_map_alloc(f->as, AT, 40 * PAGE, RW | AXAS_POPULATE));
	assert_ok(axas_map_alloc(f->as, AT + 2 * MIB, 2 * MIB,
				 RW | AXAS_POPULATE | AXAS_HUGE_FRAMES | AXAS_MAX_2M));
	s = stats(f);
	host.keeps = 1;
	assert_ok(axas_evict(f->as, AT, 4 * MIB, 3));
	assert_int_equal(f->host.guest_out, 40 + 512);
	assert_int_equal(stats(f).guest_frames, 0);
	assert_int_equal(stats(f).frames_released, s.frames_released + 552);
	for (uint32_t i = 0; i < host.runs; i++) {
		const axas_mapping_t *run = &host.run[i];
		const uint32_t order = run->level == 1 ? 0 : 9;

		for (uint64_t done = 0; done < run->size; done += PAGE << order)
			give_back(f, run->hpa + done, order);
	}
	assert_int_equal(f->host.guest_out, 0);
	expect_provided(f, AT + 39 * PAGE, 3);
	space_sweep(f->as);
}

static void cuts_split_what_is_evicted(void **state)
{
	static const uint64_t sizes[] = { 2 * MIB, GIB };
	FIXTURE(f);

	for (size_t i = 0; i < 2; i++) {
		assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, sizes[i], RW));
		assert_ok(axas_evict(f->as, AT + 3 * PAGE, 2 * PAGE, 9));
		expect_leaf(f, AT + 2 * PAGE, PAGE, LINEAR_HPA + 2 * PAGE, RW);
		expect_provided(f, AT + 3 * PAGE, 9);
		expect_provided(f, AT + 4 * PAGE, 9);
		expect_leaf(f, AT + 5 * PAGE, PAGE, LINEAR_HPA + 5 * PAGE, RW);
		space_sweep(f->as);
		/* a large provided entry is cut, too */
		assert_ok(axas_unmap(f->as, AT, sizes[i]));
		assert_ok(axas_map_provider(f->as, AT, GIB, RW, 77));
		assert_ok(axas_unmap(f->as, AT + 8 * PAGE, PAGE));
		expect_provided(f, AT + 7 * PAGE, 77);
		expect_provided(f, AT + GIB - 1, 77);
		assert_ok(axas_protect(f->as, AT + 9 * PAGE, PAGE, AXAS_READ));
		expect_provided(f, AT + 9 * PAGE, 77);
		assert_int_equal(space_access(at(f, AT + 9 * PAGE).flags), AXAS_READ);
		assert_int_equal(space_access(at(f, AT + 10 * PAGE).flags), RW);
		space_sweep(f->as);
		assert_ok(axas_unmap(f->as, AT, GIB));
	}
}

static void only_pages_are_evicted(void **state)
{
	FIXTURE(f);

	f->host.hides = 1;
	assert_ok(axas_map_alloc(f->as, AT, PAGE, RW));
	assert_ok(axas_map_trap(f->as, AT + PAGE, PAGE, 1));
	assert_ok(axas_map_note(f->as, AT + 2 * PAGE, PAGE, 1, 0));
	assert_ok(axas_map_provider(f->as, AT + 3 * PAGE, PAGE, RW, 1));
	assert_ok(axas_map_linear(f->as, AT + 5 * PAGE, LINEAR_HPA, 2 * PAGE, RW));
	assert_ok(axas_hide(f->as, AT + 5 * PAGE, PAGE, 0));
	assert_ok(axas_hide(f->as, AT + 6 * PAGE, PAGE, AXAS_HIDE_AUTO));
	host_forget_log(&f->host);
	assert_ok(axas_evict(f->as, 0, SPACE_SIZE, 2));
	/* what shows itself was flushed when it was hidden */
	assert_int_equal(f->host.flushes_all, 0);
	assert_int_equal(host.runs, 1);
	assert_int_equal(host.run[0].gpa, AT + 6 * PAGE);
	expect_state(f, AT, AXAS_STATE_RESERVED);
	expect_state(f, AT + PAGE, AXAS_STATE_TRAP);
	expect_state(f, AT + 2 * PAGE, AXAS_STATE_NOTE);
	expect_provided(f, AT + 3 * PAGE, 1);
	expect_state(f, AT + 4 * PAGE, AXAS_STATE_ABSENT);
	expect_state(f, AT + 5 * PAGE, AXAS_STATE_HIDDEN);
	expect_provided(f, AT + 6 * PAGE, 2);
	space_sweep(f->as);
}

/* With a log: what is clean need not be written back. */
static void the_host_learns_which_were_written(void **state)
{
	FIXTURE(f);
	uint64_t bitmap = 0, count = 0;

	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 4 * PAGE, RW));
	assert_ok(axas_dirty_start(f->as, AT, 4 * PAGE, 0));
	assert_int_equal(fault(f, AT + PAGE, AXAS_WRITE), AXAS_FAULT_RESOLVED);
	assert_ok(axas_evict(f->as, AT, 3 * PAGE, 1));
	assert_int_equal(host.runs, 3);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(host.run[i].gpa, AT + i * PAGE);
		assert_int_equal(host.dirty[i], i == 1);
	}
	assert_ok(axas_dirty_get(f->as, AT, 4 * PAGE, &bitmap, 64, &count));
	assert_int_equal(bitmap, 2);
	expect_provided(f, AT + PAGE, 1);
	/* who brings it makes it dirty; a mark that was cleared leaves the provider's number */
	assert_ok(axas_supply(f->as, AT, LINEAR_HPA, PAGE, RW, AXAS_RESOLVE_NOW));
	bitmap = 0;
	assert_ok(axas_dirty_collect(f->as, AT, 4 * PAGE, &bitmap, 64, 0, &count));
	assert_int_equal(bitmap, 3);
	expect_provided(f, AT + PAGE, 1);
	bitmap = 0;
	assert_ok(axas_dirty_get(f->as, AT, 4 * PAGE, &bitmap, 64, &count));
	assert_int_equal(bitmap, 0);
	space_sweep(f->as);
	assert_ok(axas_dirty_stop(f->as, 0, SPACE_SIZE));
	expect_provided(f, AT + PAGE, 1);
	assert_ok(axas_audit(f->as));
}

static void slices_come_out_as_one_call(void **state)
{
	FIXTURE(f);
	uint64_t done, all;

	assert_ok(axas_map_linear(f->as, AT + PAGE, LINEAR_HPA + PAGE, 8 * MIB, RW));
	for (all = 0; all < 8 * MIB; all += done) {
		const axas_status_t status =
			axas_evict_some(f->as, AT + all, 8 * MIB - all, 6, 100, &done);

		assert_true(status == AXAS_OK || (status == AXAS_ERR_AGAIN && done != 0));
	}
	assert_int_equal(host.told, 8 * MIB - PAGE);
	expect_state(f, AT, AXAS_STATE_ABSENT);
	expect_provided(f, AT + PAGE, 6);
	expect_leaf(f, AT + 8 * MIB, PAGE, LINEAR_HPA + 8 * MIB, RW);
	space_sweep(f->as);
}

/* Pages go out and come again, at random: each has its own contents afterwards. */
static void what_was_evicted_comes_back_with_its_contents(void **state)
{
	enum { PAGES = 24 };
	FIXTURE(f);
	axas_hpa_t hpa[PAGES];
	uint32_t seed = 1;

	assert_ok(axas_map_provider(f->as, AT, PAGES * PAGE, RW, PROVIDER));
	for (uint32_t i = 0; i < PAGES; i++) {
		hpa[i] = take(f, 0);
		memset(host_at(&f->host, hpa[i]), (int)(i + 1), PAGE);
	}
	host.keeps = 1;
	for (uint32_t round = 0; round < 400; round++) {
		uint32_t i;

		seed = seed * 1664525u + 1013904223u;
		i = (seed >> 16) % PAGES;
		if (at(f, AT + i * PAGE).state == AXAS_STATE_PROVIDED) {
			answer(AXAS_RESOLVE_GIVEN, hpa[i], PAGE);
			assert_int_equal(fault(f, AT + i * PAGE, RW), AXAS_FAULT_RESOLVED);
			assert_int_equal(guest_memory(f, AT + i * PAGE)[i], i + 1);
		} else {
			host.runs = 0;
			assert_ok(axas_evict(f->as, AT + i * PAGE, PAGE, PROVIDER));
			assert_int_equal(host.runs, 1);
			assert_int_equal(host.run[0].hpa, hpa[i]);
		}
	}
	assert_ok(axas_audit(f->as));
	assert_ok(axas_evict(f->as, AT, PAGES * PAGE, PROVIDER));
	for (uint32_t i = 0; i < PAGES; i++)
		give_back(f, hpa[i], 0);
}

/* --- populate and copies ------------------------------------------------------------------------ */

static void populate_asks_for_each_page(void **state)
{
	FIXTURE(f);
	uint64_t done;

	assert_ok(axas_map_provider(f->as, AT, 8 * PAGE, RW, PROVIDER));
	assert_ok(axas_map_alloc(f->as, AT + 8 * PAGE, PAGE, RW));
	answer(AXAS_RESOLVE_NOW, LINEAR_HPA, PAGE);
	host.follows = 1;
	host.later_at = 4;
	assert_status(AXAS_ERR_AGAIN, axas_populate(f->as, AT, 9 * PAGE));
	assert_int_equal(host.asked, 4);
	assert_int_equal(host.access, 0);
	expect_leaf(f, AT + 2 * PAGE, PAGE, LINEAR_HPA + 2 * PAGE, RW);
	expect_provided(f, AT + 3 * PAGE, PROVIDER);
	host.later_at = 3;
	assert_status(AXAS_ERR_AGAIN, axas_populate_some(f->as, AT, 9 * PAGE, 1000, &done));
	assert_int_equal(done, 5 * PAGE);
	host.how = AXAS_RESOLVE_REFUSE;
	assert_status(AXAS_ERR_NOT_MAPPED, axas_populate(f->as, AT, 9 * PAGE));
	host.how = 77;
	assert_status(AXAS_ERR_NO_MEMORY, axas_populate(f->as, AT, 9 * PAGE));
	host.how = AXAS_RESOLVE_NOW;
	assert_status(AXAS_ERR_AGAIN, axas_populate_some(f->as, AT, 9 * PAGE, 6, &done));
	assert_int_equal(done, 6 * PAGE);
	expect_provided(f, AT + 6 * PAGE, PROVIDER);
	assert_ok(axas_populate_some(f->as, AT, 9 * PAGE, 1000, &done));
	assert_int_equal(done, 9 * PAGE);
	expect_leaf(f, AT, PAGE, LINEAR_HPA, RW);
	expect_leaf(f, AT + 7 * PAGE, PAGE, LINEAR_HPA + 7 * PAGE, RW);
	expect_state(f, AT + 8 * PAGE, AXAS_STATE_OWNED);
	space_sweep(f->as);
	/* a large answer is a large step */
	assert_ok(axas_map_provider(f->as, AT + GIB, 6 * MIB, RW, 1));
	answer(AXAS_RESOLVE_NOW, LINEAR_HPA, 2 * MIB);
	host.asked = 0;
	assert_ok(axas_populate(f->as, AT + GIB, 6 * MIB));
	assert_int_equal(host.asked, 3);
	assert_int_equal(stats(f).mapped_2m, 3);
	space_sweep(f->as);
}

static void copies_ask_as_the_guest_would(void **state)
{
	FIXTURE(f);
	uint8_t buffer[3 * PAGE];
	uint8_t byte = 0;
	uint64_t done;
	axas_hpa_t hpa[3];

	assert_ok(axas_map_provider(f->as, AT, 4 * PAGE, RW, PROVIDER));
	for (uint32_t i = 0; i < 3; i++) {
		hpa[i] = take(f, 0);
		memset(host_at(&f->host, hpa[i]), (int)(i + 1), PAGE);
	}
	answer(AXAS_RESOLVE_GIVEN, hpa[0], PAGE);
	assert_ok(axas_read(f->as, AT + 5, buffer, 100, 0, &done));
	assert_int_equal(buffer[99], 1);
	assert_int_equal(host.access, AXAS_READ);
	host.how = AXAS_RESOLVE_LATER;
	assert_status(AXAS_ERR_AGAIN, axas_read(f->as, AT, buffer, 3 * PAGE, 0, &done));
	assert_int_equal(done, PAGE);
	memset(buffer, 0x77, sizeof(buffer));
	assert_status(AXAS_ERR_AGAIN, axas_write(f->as, AT + PAGE - 8, buffer, 100, 0, &done));
	assert_int_equal(done, 8);
	assert_status(AXAS_ERR_AGAIN, axas_read_u8(f->as, AT + PAGE, AXAS_ACCESS_HOST, &byte));
	assert_int_equal(host.access, 0);
	/* a write to a part of a page finds the rest as the host brought it */
	answer(AXAS_RESOLVE_GIVEN, hpa[1], PAGE);
	assert_ok(axas_write(f->as, AT + PAGE, buffer, 16, 0, &done));
	assert_int_equal(done, 16);
	assert_int_equal(guest_memory(f, AT + PAGE)[15], 0x77);
	assert_int_equal(guest_memory(f, AT + PAGE)[16], 2);
	answer(AXAS_RESOLVE_GIVEN, hpa[2], PAGE);
	assert_ok(axas_fill(f->as, AT + 2 * PAGE, 9, PAGE, 0, &done));
	assert_int_equal(guest_memory(f, AT + 2 * PAGE)[PAGE - 1], 9);
	host.how = AXAS_RESOLVE_REFUSE;
	assert_status(AXAS_ERR_NOT_MAPPED, axas_read_u8(f->as, AT + 3 * PAGE, 0, &byte));
	host.how = 99;
	assert_status(AXAS_ERR_NO_MEMORY, axas_read_u8(f->as, AT + 3 * PAGE, 0, &byte));
	space_sweep(f->as);
}

/* --- looking, and calls that know nothing of providers -------------------------------------------- */

struct runs {
	axas_mapping_t run[8];
	uint32_t count;
};

/* What the host has not brought is no page of zeroes: neither to copy from, nor to be left to come. */
static void a_page_to_come_is_not_copied_as_zeroes(void **state)
{
	FIXTURE(f);
	axas_t *from;
	uint64_t done = 77, one = 1, value;

	f->host.poison_guest = 1;
	host.how = AXAS_RESOLVE_ALLOC;
	assert_ok(axas_create(&f->cfg, &f->host.hal, &from));
	assert_ok(axas_map_provider(from, AT, 2 * PAGE, RW, 3));
	assert_ok(axas_map_alloc(f->as, AT, 2 * PAGE, RW));
	assert_status(AXAS_ERR_NOT_MAPPED,
		      axas_copy(from, AT, f->as, AT, 2 * PAGE, NULL, 0, &done));
	assert_int_equal(done, 0);
	assert_int_equal(host.asked, 0);
	assert_int_equal(space_agree(f->as, AT).state, AXAS_STATE_RESERVED);
	/* the first page comes, the second is not asked for */
	assert_ok(axas_write_u64(from, AT, 0, 5));
	assert_ok(axas_copy(from, AT, f->as, AT, 2 * PAGE, &one, 64, &done));
	assert_int_equal(done, 2 * PAGE);
	assert_ok(axas_read_u64(f->as, AT, 0, &value));
	assert_int_equal(value, 5);
	assert_status(AXAS_ERR_NOT_MAPPED,
		      axas_copy(from, AT, f->as, AT, 2 * PAGE, NULL, 0, &done));
	assert_int_equal(done, PAGE);
	assert_ok(axas_evict(from, AT, PAGE, 3));
	assert_status(AXAS_ERR_NOT_MAPPED, axas_copy(from, AT, f->as, AT, PAGE, NULL, 0, NULL));
	/* the other way: zeroes are written to pages that a provider would bring with something else */
	assert_ok(axas_unmap(from, AT, 2 * PAGE));
	assert_ok(axas_unmap(f->as, AT, 2 * PAGE));
	assert_ok(axas_map_alloc(from, AT, 2 * PAGE, RW));
	assert_ok(axas_map_provider(f->as, AT, 2 * PAGE, RW, 3));
	host.asked = 0;
	assert_ok(axas_copy(from, AT, f->as, AT, 2 * PAGE, NULL, 0, NULL));
	assert_int_equal(host.asked, 2);
	assert_int_equal(space_agree(f->as, AT + PAGE).state, AXAS_STATE_OWNED);
	assert_ok(axas_read_u64(f->as, AT + PAGE, 0, &value));
	assert_int_equal(value, 0);
	host.how = AXAS_RESOLVE_LATER;
	assert_ok(axas_evict(f->as, AT, 2 * PAGE, 3));
	assert_status(AXAS_ERR_AGAIN, axas_copy(from, AT, f->as, AT, PAGE, NULL, 0, NULL));
	host.how = AXAS_RESOLVE_REFUSE;
	assert_status(AXAS_ERR_NOT_MAPPED, axas_copy(from, AT, f->as, AT, PAGE, NULL, 0, NULL));
	axas_destroy(from);
}

static uint32_t keep_run(void *ctx, const axas_mapping_t *run)
{
	struct runs *r = ctx;

	if (r->count < 8)
		r->run[r->count++] = *run;
	return 1;
}

static void add_text(void *ctx, const char *text, size_t bytes)
{
	strncat(ctx, text, bytes);
}

static void runs_and_dump_tell_them_apart(void **state)
{
	FIXTURE(f);
	struct runs r = { .count = 0 };
	char text[2048] = "";

	assert_ok(axas_map_provider(f->as, AT, 4 * PAGE, RW, 1));
	assert_ok(axas_map_provider(f->as, AT + 4 * PAGE, 4 * PAGE, RW, 2));
	assert_ok(axas_map_provider(f->as, AT + 8 * PAGE, 2 * MIB, RX | AXAS_MAX_2M, 2));
	assert_ok(axas_map_alloc(f->as, AT + 4 * MIB, PAGE, RX));
	assert_ok(axas_for_each(f->as, AT, 6 * MIB, keep_run, &r));
	assert_int_equal(r.count, 4);
	assert_int_equal(r.run[0].size, 4 * PAGE);
	assert_int_equal(r.run[0].cookie, 1);
	assert_int_equal(r.run[1].cookie, 2);
	assert_int_equal(r.run[2].size, 2 * MIB);
	assert_int_equal(r.run[2].state, AXAS_STATE_PROVIDED);
	assert_ok(axas_dump(f->as, add_text, text));
	assert_non_null(strstr(text, " provided rw- write-back    <=1G provider 0x1\n"));
	assert_non_null(strstr(text, " provided r-x write-back    <=2M provider 0x2\n"));
	assert_ok(axas_audit(f->as));
}

static void tags_and_protection_stay_with_it(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_provider(f->as, AT, 2 * MIB, RW | TAG(3), PROVIDER));
	assert_int_equal(tag_of(at(f, AT).flags), 3);
	assert_ok(axas_retag(f->as, AT + PAGE, PAGE, 1));
	expect_provided(f, AT + PAGE, PROVIDER);
	assert_int_equal(tag_of(at(f, AT + PAGE).flags), 1);
	assert_ok(axas_protect(f->as, AT, 2 * MIB, AXAS_READ));
	assert_int_equal(fault(f, AT + PAGE, AXAS_WRITE), AXAS_FAULT_DENIED);
	assert_int_equal(host.asked, 0);
	answer(AXAS_RESOLVE_NOW, LINEAR_HPA, PAGE);
	assert_int_equal(fault(f, AT + PAGE, AXAS_READ), AXAS_FAULT_RESOLVED);
	expect_leaf(f, AT + PAGE, PAGE, LINEAR_HPA, AXAS_READ);
	assert_int_equal(tag_of(at(f, AT + PAGE).flags), 1);
	/* hide and transfer leave it alone */
	f->host.hides = 1;
	assert_ok(axas_hide(f->as, AT, 2 * MIB, 0));
	expect_provided(f, AT, PROVIDER);
	assert_ok(axas_show(f->as, AT, 2 * MIB));
	/* maps find it in their way, and replace it */
	assert_status(AXAS_ERR_ALREADY_EXISTS, axas_map_linear(f->as, AT, LINEAR_HPA, PAGE, RW));
	assert_status(AXAS_ERR_ALREADY_EXISTS, axas_map_provider(f->as, AT, PAGE, RW, 1));
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, PAGE, RW | AXAS_REPLACE));
	expect_leaf(f, AT, PAGE, LINEAR_HPA, RW);
	space_sweep(f->as);
	assert_ok(axas_clear(f->as));
	expect_state(f, AT, AXAS_STATE_ABSENT);
	assert_status(AXAS_ERR_NOT_MAPPED, axas_populate(f->as, AT, PAGE));
}

/* A leaf table of reservations does not fold over a provider's. */
static void discard_keeps_providers_apart(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_provider(f->as, AT, PAGE, RW | AXAS_NO_HUGE, PROVIDER));
	assert_ok(axas_map_alloc(f->as, AT + PAGE, 2 * MIB - PAGE, RW | AXAS_POPULATE));
	assert_ok(axas_discard(f->as, AT, 2 * MIB));
	expect_provided(f, AT, PROVIDER);
	expect_state(f, AT + PAGE, AXAS_STATE_RESERVED);
	assert_int_equal(f->host.guest_out, 0);
	space_sweep(f->as);
}

static void what_is_transferred_is_a_page(void **state)
{
	FIXTURE(f);
	axas_t *other;
	axas_transfer_t t = { .struct_size = sizeof(t),
			      .action = AXAS_SHARE,
			      .to_flags = AXAS_READ };

	assert_ok(axas_create(&f->cfg, &f->host.hal, &other));
	assert_ok(axas_map_provider(f->as, AT, PAGE, RW, PROVIDER));
	assert_status(AXAS_ERR_DENIED, axas_transfer(f->as, AT, other, AT, PAGE, &t));
	assert_ok(axas_map_linear(f->as, AT + PAGE, LINEAR_HPA, PAGE, RW));
	assert_ok(axas_map_provider(other, AT, PAGE, RW, PROVIDER));
	assert_status(AXAS_ERR_ALREADY_EXISTS,
		      axas_transfer(f->as, AT + PAGE, other, AT, PAGE, &t));
	axas_destroy(other);
}

/* --- what is refused ------------------------------------------------------------------------------ */

static void nonsense_is_refused(void **state)
{
	static const axas_status_t bad = AXAS_ERR_INVALID_INPUT;
	static const axas_flags_t known = RWX | AXAS_USER | ALL_MEMORY_TYPES | AXAS_TAG_MASK |
					  AXAS_NO_HUGE | AXAS_MAX_2M | AXAS_NO_HUGE_EXEC;
	FIXTURE(f);
	const struct {
		axas_gpa_t gpa;
		uint64_t size;
	} range[] = { { 1, PAGE },
		      { 0, PAGE + 1 },
		      { 0, 0 },
		      { SPACE_SIZE, PAGE },
		      { SPACE_SIZE - PAGE, 2 * PAGE },
		      { 0 - PAGE, 2 * PAGE },
		      { ~0ull, ~0ull } };
	uint64_t done;

	for (size_t i = 0; i < sizeof(range) / sizeof(range[0]); i++) {
		const axas_gpa_t gpa = range[i].gpa;
		const uint64_t size = range[i].size;

		assert_status(bad, axas_map_provider(f->as, gpa, size, RW, 1));
		assert_status(bad, axas_evict(f->as, gpa, size, 1));
		assert_status(bad, axas_evict_some(f->as, gpa, size, 1, 9, &done));
		if (size != PAGE || gpa % PAGE != 0 || gpa >= SPACE_SIZE)
			assert_status(bad, axas_supply(f->as, gpa, LINEAR_HPA, size, RW,
						       AXAS_RESOLVE_NOW));
	}
	assert_status(bad, axas_map_provider(NULL, 0, PAGE, RW, 1));
	assert_status(bad, axas_map_provider(f->as, 0, PAGE, RW, 65536));
	assert_status(bad, axas_map_provider(f->as, 0, PAGE, RW, ~0u));
	assert_status(bad, axas_map_provider(f->as, 0, PAGE, 0, 1));
	assert_status(bad, axas_map_provider(f->as, 0, PAGE, RW | AXAS_DEVICE | AXAS_UNCACHED, 1));
	for (uint32_t bit = 0; bit < 32; bit++)
		if (!(1u << bit & known))
			assert_status(bad, axas_map_provider(f->as, 0, PAGE, RW | 1u << bit, 1));
	if (f->fc->format != AXAS_FORMAT_ARM_S2)
		assert_status(AXAS_ERR_UNSUPPORTED,
			      axas_map_provider(f->as, 0, PAGE, AXAS_WRITE, 1));
	assert_status(bad, axas_supply(NULL, 0, LINEAR_HPA, PAGE, RW, AXAS_RESOLVE_NOW));
	assert_status(bad, axas_supply(f->as, 0, LINEAR_HPA, PAGE, 0, AXAS_RESOLVE_NOW));
	assert_status(bad, axas_supply(f->as, 0, LINEAR_HPA + 1, PAGE, RW, AXAS_RESOLVE_NOW));
	assert_status(bad, axas_supply(f->as, PAGE, LINEAR_HPA, 2 * MIB, RW, AXAS_RESOLVE_NOW));
	assert_status(bad, axas_supply(f->as, 0, LINEAR_HPA + PAGE, 2 * MIB, RW, AXAS_RESOLVE_NOW));
	assert_status(bad, axas_supply(f->as, 0, 1ull << 57, PAGE, RW, AXAS_RESOLVE_NOW));
	for (uint32_t how = 0; how < 8; how++)
		if (how != AXAS_RESOLVE_NOW && how != AXAS_RESOLVE_GIVEN)
			assert_status(bad, axas_supply(f->as, 0, LINEAR_HPA, PAGE, RW, how));
	for (uint32_t bit = 4; bit < 32; bit++)
		assert_status(bad, axas_supply(f->as, 0, LINEAR_HPA, PAGE, RW | 1u << bit,
					       AXAS_RESOLVE_NOW));
	assert_status(bad, axas_evict(NULL, 0, PAGE, 1));
	assert_status(bad, axas_evict(f->as, 0, PAGE, 65536));
	assert_status(bad, axas_evict_some(f->as, 0, PAGE, 1, 0, &done));
	assert_status(bad, axas_evict_some(f->as, 0, PAGE, 1, 1, NULL));
	assert_int_equal(space_sweep(f->as).table_frames, root_frames(f));
	/* the last page of the space */
	assert_ok(axas_map_provider(f->as, SPACE_SIZE - PAGE, PAGE, RW, 65535));
	assert_ok(axas_supply(f->as, SPACE_SIZE - PAGE, LINEAR_HPA, PAGE, RW, AXAS_RESOLVE_NOW));
	expect_leaf(f, SPACE_SIZE - 1, PAGE, LINEAR_HPA + PAGE - 1, RW);
	assert_ok(axas_evict(f->as, SPACE_SIZE - PAGE, PAGE, 65535));
	expect_provided(f, SPACE_SIZE - 1, 65535);
	space_sweep(f->as);
}

/* Devices do not wait. */
static void a_space_with_an_iommu_has_none(void **state)
{
	FIXTURE(f);
	uint64_t done;

	if (f->fc->format == AXAS_FORMAT_NPT) {
		fixture_create(f);
		return;
	}
	f->cfg.options |= AXAS_IO;
	f->cfg.features |= AXAS_FEATURE_IO_COHERENT;
	fixture_create(f);
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, PAGE, RW));
	assert_status(AXAS_ERR_UNSUPPORTED, axas_map_provider(f->as, 0, PAGE, RW, 1));
	assert_status(AXAS_ERR_UNSUPPORTED, axas_evict(f->as, AT, PAGE, 1));
	assert_status(AXAS_ERR_UNSUPPORTED, axas_evict_some(f->as, AT, PAGE, 1, 9, &done));
	assert_status(AXAS_ERR_UNSUPPORTED,
		      axas_supply(f->as, 0, LINEAR_HPA, PAGE, RW, AXAS_RESOLVE_NOW));
	expect_leaf(f, AT, PAGE, LINEAR_HPA, RW);
}

/* Each allocation, and each window, fails in turn; nothing is open when the host is asked. */
static void nothing_changes_without_memory(void **state)
{
	FIXTURE(f);

	create_with_windows(f);
	for (uint32_t call = 0; call < 6; call++) {
		for (uint64_t n = 1;; n++) {
			axas_status_t status = AXAS_OK;

			assert_ok(call == 0 ? AXAS_OK :
				  call == 1 ? axas_map_linear(f->as, AT, LINEAR_HPA, GIB, RW) :
					      axas_map_provider(f->as, AT, GIB, RW, PROVIDER));
			host.hpa = LINEAR_HPA;
			host.size = PAGE;
			host.how = call == 2 ? AXAS_RESOLVE_NOW : AXAS_RESOLVE_ALLOC;
			host.takes = call == 4;
			if (call == 4)
				host.how = AXAS_RESOLVE_GIVEN;
			f->host.fail_at = n;
			if (call == 0)
				status = axas_map_provider(f->as, AT + PAGE, GIB, RW, PROVIDER);
			else if (call == 1)
				status = axas_evict(f->as, AT + PAGE, GIB - 3 * PAGE, PROVIDER);
			else if (call == 5)
				status = axas_supply(f->as, AT + PAGE, LINEAR_HPA, PAGE, RW,
						     AXAS_RESOLVE_NOW);
			else if (fault(f, AT + PAGE, RW) == AXAS_FAULT_NO_MEMORY)
				status = AXAS_ERR_NO_MEMORY;
			f->host.fail_at = 0;
			space_sweep(f->as);
			assert_ok(axas_unmap(f->as, 0, SPACE_SIZE));
			if (status == AXAS_OK)
				break;
			assert_status(AXAS_ERR_NO_MEMORY, status);
			assert_int_equal(f->host.guest_out, 0);
			assert_true(n < 50);
		}
	}
	host_check(&f->host);
}

/* What the host answers, and what comes of it: the page, the verdict or status, and the counters. */
struct outcome {
	uint32_t verdict;
	axas_mapping_t found;
	axas_stats_t stats;
};

static const struct {
	uint32_t how;
	axas_hpa_t hpa;
	uint64_t size;
	axas_flags_t fewer, more;
	uint32_t reserved;
} answers[] = {
	{ AXAS_RESOLVE_NOW, LINEAR_HPA, 0, 0, 0, 0 },
	{ AXAS_RESOLVE_NOW, LINEAR_HPA + PAGE, PAGE, AXAS_WRITE, 0, 0 },
	{ AXAS_RESOLVE_NOW, LINEAR_HPA, PAGE, AXAS_NO_HUGE, 0, 0 },
	{ AXAS_RESOLVE_NOW, LINEAR_HPA, 0, RW, 0, 0 },
	{ AXAS_RESOLVE_NOW, LINEAR_HPA, 0, AXAS_READ, 0, 0 },
	{ AXAS_RESOLVE_NOW, LINEAR_HPA, 0, 0, AXAS_EXECUTE, 0 },
	{ AXAS_RESOLVE_NOW, LINEAR_HPA, 0, 0, AXAS_DEVICE, 0 },
	{ AXAS_RESOLVE_NOW, LINEAR_HPA, 0, 0, 0, 1 },
	{ AXAS_RESOLVE_NOW, LINEAR_HPA + 8, 0, 0, 0, 0 },
	{ AXAS_RESOLVE_NOW, 1ull << 57, 0, 0, 0, 0 },
	{ AXAS_RESOLVE_NOW, LINEAR_HPA, 2 * MIB, 0, 0, 0 },
	{ AXAS_RESOLVE_NOW, 0, 0, 0, 0, 0 }, /* no address */
	{ AXAS_RESOLVE_LATER, LINEAR_HPA, 0, 0, 0, 0 },
	{ AXAS_RESOLVE_REFUSE, LINEAR_HPA, 0, 0, 0, 0 },
	{ AXAS_RESOLVE_GIVEN, 1, 0, 0, 0, 0 }, /* 1: a frame of alloc_frame */
	{ AXAS_RESOLVE_GIVEN, 1, 0, AXAS_WRITE, 0, 0 },
	{ AXAS_RESOLVE_GIVEN, 1, 0, 0, AXAS_EXECUTE, 0 },
	{ AXAS_RESOLVE_ALLOC, 0, 0, 0, 0, 0 },
	{ AXAS_RESOLVE_ALLOC, 0, GIB, AXAS_WRITE, 0, 0 },
	{ AXAS_RESOLVE_ALLOC, 0, 3 * PAGE, 0, 0, 0 },
	{ AXAS_RESOLVE_REFUSE + 1, LINEAR_HPA, 0, 0, 0, 0 },
};

#define ANSWERS  (sizeof(answers) / sizeof(answers[0]))
#define SUPPLIES 8
#define OUTCOMES (4 * ANSWERS + SUPPLIES)

static void note(struct outcome *outcome, struct fixture *f, axas_gpa_t gpa, uint32_t verdict)
{
	outcome->verdict = verdict;
	outcome->found = at(f, gpa);
	/* Which of the library's frames it is does not matter. */
	if (outcome->found.state == AXAS_STATE_OWNED)
		outcome->found.hpa = 0;
	outcome->stats = stats(f);
}

static void supply_some(struct fixture *f, struct outcome *outcome)
{
	const axas_hpa_t given = take(f, 0);
	const struct {
		axas_gpa_t gpa;
		axas_hpa_t hpa;
		axas_flags_t flags;
		uint32_t how;
	} all[SUPPLIES] = {
		{ AT + PAGE, LINEAR_HPA, RW, AXAS_RESOLVE_NOW },
		{ AT + PAGE, LINEAR_HPA, RW, AXAS_RESOLVE_NOW },
		{ AT + 2 * PAGE, LINEAR_HPA, RWX, AXAS_RESOLVE_NOW },
		{ AT + 2 * PAGE, LINEAR_HPA, AXAS_READ, AXAS_RESOLVE_NOW },
		{ AT + 3 * PAGE, LINEAR_HPA, AXAS_WRITE, AXAS_RESOLVE_NOW },
		{ AT + 4 * PAGE, given, RW, AXAS_RESOLVE_GIVEN },
		{ AT + GIB + PAGE, LINEAR_HPA, RW, AXAS_RESOLVE_NOW },
		{ AT + 2 * GIB, LINEAR_HPA, RW, AXAS_RESOLVE_NOW },
	};

	for (size_t i = 0; i < SUPPLIES; i++) {
		const axas_status_t status =
			axas_supply(f->as, all[i].gpa, all[i].hpa, PAGE, all[i].flags, all[i].how);

		note(&outcome[i], f, all[i].gpa, (uint32_t)status);
	}
}

/* Every answer where a table is there, and every kind of page brought by a call. */
static void answer_all(struct fixture *f, struct outcome *outcome)
{
	static const axas_flags_t kinds[] = { RW, RW | AXAS_DEVICE };
	static const axas_flags_t accesses[] = { AXAS_READ, AXAS_WRITE };

	fixture_create(f);
	for (uint64_t kind = 0; kind < 2; kind++) {
		const axas_gpa_t base = AT + kind * GIB;

		assert_ok(axas_map_provider(f->as, base, GIB, kinds[kind], PROVIDER));
		assert_ok(axas_supply(f->as, base, LINEAR_HPA, PAGE, RW, AXAS_RESOLVE_NOW));
		for (uint64_t i = 0; i < 2 * ANSWERS; i++) {
			const axas_gpa_t gpa = base + (i + 8) * PAGE;

			answer(answers[i / 2].how, answers[i / 2].hpa, answers[i / 2].size);
			host.takes = host.hpa == 1;
			host.fewer = answers[i / 2].fewer;
			host.more = answers[i / 2].more;
			host.reserved = answers[i / 2].reserved;
			note(outcome++, f, gpa, fault(f, gpa, accesses[i % 2]));
		}
	}
	host.takes = 0;
	supply_some(f, outcome);
	space_sweep(f->as);
	assert_int_equal(stats(f).guest_frames, f->host.guest_out);
}

/* Where frames need not be zeroed faults have a shorter way. */
static void each_way_of_a_fault_says_the_same(void **state)
{
	static struct outcome outcomes[2][OUTCOMES];
	FIXTURE(f);

	memset(&host, 0, sizeof(host));
	memset(outcomes, 0, sizeof(outcomes));
	host.f = f;
	f->host.hal.resolve = resolve;
	f->host.hal.evicted = evicted;
	for (size_t i = 0; i < 2; i++) {
		f->cfg.options |= i != 0 ? AXAS_NO_ZERO : 0;
		answer_all(f, outcomes[i]);
		if (i == 0)
			fixture_destroy(f);
	}
	for (size_t i = 0; i < OUTCOMES; i++)
		assert_memory_equal(&outcomes[0][i], &outcomes[1][i], sizeof(outcomes[0][i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(archives_say_whether_they_have_it),
		EACH(a_region_is_a_handful_of_entries),
		EACH(the_host_is_asked_with_what_it_needs_to_know),
		EACH_FORMAT_NO_SPACE(without_resolve_every_access_waits),
		ONE(a_frame_of_the_hosts_is_installed, setup_tags, ept),
		ONE(a_frame_of_the_hosts_is_installed, setup_tags, npt),
		ONE(a_frame_of_the_hosts_is_installed, setup_tags, arm),
		ONE(a_frame_of_the_hosts_is_installed, setup_tags, riscv),
		EACH(a_given_frame_is_the_librarys),
		EACH(a_frame_of_alloc_frame_is_zeroed),
		EACH(an_answer_may_allow_less),
		EACH(answers_that_do_not_fit_are_no_memory),
		EACH(a_page_is_supplied_while_somebody_waits_or_not),
		EACH(a_supplied_frame_may_be_given),
		EACH(what_is_not_expected_is_not_supplied),
		EACH_FORMAT_NO_SPACE(small_executable_pages_hold),
		ONE(evicted_pages_are_a_providers_again, setup_tags, ept),
		ONE(evicted_pages_are_a_providers_again, setup_tags, npt),
		ONE(evicted_pages_are_a_providers_again, setup_tags, arm),
		ONE(evicted_pages_are_a_providers_again, setup_tags, riscv),
		EACH(the_host_may_keep_the_frames),
		EACH(cuts_split_what_is_evicted),
		EACH(only_pages_are_evicted),
		EACH(the_host_learns_which_were_written),
		EACH(slices_come_out_as_one_call),
		EACH(what_was_evicted_comes_back_with_its_contents),
		EACH(populate_asks_for_each_page),
		EACH(copies_ask_as_the_guest_would),
		EACH(a_page_to_come_is_not_copied_as_zeroes),
		EACH(runs_and_dump_tell_them_apart),
		ONE(tags_and_protection_stay_with_it, setup_tags, ept),
		ONE(tags_and_protection_stay_with_it, setup_tags, npt),
		ONE(tags_and_protection_stay_with_it, setup_tags, arm),
		ONE(tags_and_protection_stay_with_it, setup_tags, riscv),
		EACH(discard_keeps_providers_apart),
		EACH(what_is_transferred_is_a_page),
		EACH(nonsense_is_refused),
		EACH_FORMAT_NO_SPACE(a_space_with_an_iommu_has_none),
		EACH_FORMAT_NO_SPACE(each_way_of_a_fault_says_the_same),
		EACH_WINDOWS(nothing_changes_without_memory),
	};

	return cmocka_run_group_tests_name("provider", tests, NULL, NULL);
}
