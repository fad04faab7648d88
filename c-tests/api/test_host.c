/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The tests' own host: its frames are as awkward as they can be, and who touches memory that is
 * nobody's is caught. Each planted access runs in a process of its own.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"

#ifdef __SANITIZE_ADDRESS__
#define READS_ARE_CAUGHT 1
#else
#define READS_ARE_CAUGHT 0
#endif

static axas_hpa_t take(struct host *h, uint32_t order)
{
	const axas_hpa_t pa = h->hal.alloc_frame(h, order, AXAS_FRAME_GUEST);

	assert_true(pa != AXAS_HPA_INVALID);
	return pa;
}

static void give(struct host *h, axas_hpa_t pa, uint32_t order)
{
	h->hal.dealloc_frame(h, pa, order, AXAS_FRAME_GUEST);
}

static void frames_lie_apart_out_of_order_and_far_from_their_physical_addresses(void **state)
{
	FIXTURE(f);
	axas_hpa_t pa[128];
	uint32_t upwards = 0;

	f->host.quick = 1;
	for (uint32_t i = 0; i < 128; i++) {
		pa[i] = take(&f->host, 0);
		assert_true((uintptr_t)host_at(&f->host, pa[i]) > pa[i] + TIB);
		upwards += i > 0 && pa[i] > pa[i - 1];
		for (uint32_t j = 0; j < i; j++)
			assert_true(pa[i] + PAGE < pa[j] || pa[j] + PAGE < pa[i]);
	}
	assert_in_range(upwards, 32, 96);
	for (uint32_t i = 0; i < 128; i++)
		give(&f->host, pa[i], 0);
}

/* An access to a frame, which may go back first. */
struct plant {
	const char *name;
	int64_t offset; /* from the frame's first byte, or from its end where `past` */
	uint32_t past, returned, write, caught;
	uint32_t order;
};

static const struct plant plants[] = {
	{ "first byte", 0, 0, 0, 1, 0, 0 },
	{ "last byte", -1, 1, 0, 1, 0, 0 },
	{ "last byte, read", -1, 1, 0, 0, 0, 0 },
	{ "one past", 0, 1, 0, 1, 1, 0 },
	{ "one before", -1, 0, 0, 1, 1, 0 },
	{ "60 past", 60, 1, 0, 1, 1, 0 },
	{ "one past, read", 0, 1, 0, 0, READS_ARE_CAUGHT, 0 },
	{ "one before, read", -1, 0, 0, 0, READS_ARE_CAUGHT, 0 },
	{ "went back", 5, 0, 1, 1, 1, 0 },
	{ "went back, last byte", -1, 1, 1, 1, 1, 0 },
	{ "went back, read", 5, 0, 1, 0, READS_ARE_CAUGHT, 0 },
};

static volatile uint8_t sink;

/* Runs it in a process of its own: ended it badly, or said that something was found? */
static int is_caught(struct host *h, int (*run)(struct host *h, const void *arg), const void *arg)
{
	const pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
		signal(SIGSEGV, SIG_DFL);
		_exit(run(h, arg));
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status != 0;
}

static int touch_frame(struct host *h, const void *arg)
{
	const struct plant *p = arg;
	const axas_hpa_t pa = take(h, p->order);
	uint8_t *frame = host_at(h, pa);
	volatile uint8_t *place = frame + (p->past ? PAGE << p->order : 0) + p->offset;

	if (p->returned)
		give(h, pa, p->order);
	if (p->write)
		*place = 0xa7;
	else
		sink = *place;
	if (p->returned)
		take(h, p->order);
	else
		give(h, pa, p->order);
	return atomic_load(&h->violations) != 0;
}

static void who_touches_what_is_nobodys_is_caught(void **state)
{
	FIXTURE(f);

	f->host.quick = 1;
	for (size_t i = 0; i < sizeof(plants) / sizeof(plants[0]); i++)
		for (uint32_t order = 0; order <= 4; order += 2) {
			struct plant p = plants[i];

			p.order = order;
			if (is_caught(&f->host, touch_frame, &p) != (int)p.caught)
				fail_msg("%s, order %u: %s", p.name, order,
					 p.caught ? "was not caught" : "was caught");
		}
}

static int touch_window(struct host *h, const void *offset)
{
	const uint8_t *page = h->hal.phys_to_virt(h, take(h, 0), PAGE);

	sink = page[*(const int64_t *)offset];
	return 0;
}

static void a_window_has_nothing_on_either_side(void **state)
{
	static const int64_t offset[] = { 0, PAGE - 1, -1, PAGE };
	FIXTURE(f);

	host_exit(&f->host);
	host_init(&f->host, HOST_WINDOWS, HOST_PA_BASE);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(is_caught(&f->host, touch_window, &offset[i]), i >= 2);
}

static void phys_to_virt_knows_frames_that_are_out_and_linear_memory(void **state)
{
	FIXTURE(f);
	struct host *h = &f->host;
	axas_hpa_t pa;

	host_exit(h);
	host_init(h, HOST_CALLBACK, HOST_PA_BASE);
	h->quick = 1;
	pa = take(h, 1);
	assert_ptr_equal(h->hal.phys_to_virt(h, pa, 2 * PAGE), host_at(h, pa));
	assert_null(h->hal.phys_to_virt(h, pa, 2 * PAGE + 1));
	assert_null(h->hal.phys_to_virt(h, pa - 1, 1));
	assert_null(h->hal.phys_to_virt(h, ~0ull, 2));
	give(h, pa, 1);
	assert_null(h->hal.phys_to_virt(h, pa, 1));
	pa = HOST_PA_BASE + HOST_LINEAR;
	assert_ptr_equal(h->hal.phys_to_virt(h, pa, HOST_LINEAR_BYTES), host_at(h, pa));
	assert_null(h->hal.phys_to_virt(h, pa + 1, HOST_LINEAR_BYTES));
}

#define ON_ONE_FORMAT(test) ONE(test, setup_host, ept)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_ONE_FORMAT(frames_lie_apart_out_of_order_and_far_from_their_physical_addresses),
		ON_ONE_FORMAT(who_touches_what_is_nobodys_is_caught),
		ON_ONE_FORMAT(a_window_has_nothing_on_either_side),
		ON_ONE_FORMAT(phys_to_virt_knows_frames_that_are_out_and_linear_memory),
	};

	return cmocka_run_group_tests_name("host", tests, NULL, NULL);
}
