/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The logger: which event comes at which level, under which name, and what never comes. */
#include "fixture.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ERROR        1u
#define WARN         2u
#define DEBUG        4u

#define TARGET_BYTES 32u
#define TEXT_BYTES   160u

struct message {
	uint32_t level;
	char target[TARGET_BYTES];
	char text[TEXT_BYTES];
};

static struct {
	struct message message[64];
	uint32_t count;
	uint32_t odd; /* messages that are not what the header promises */
} logged;

/* The text's length, or `bytes` when there is no NUL among them. */
static size_t length(const char *text, size_t bytes)
{
	size_t n = 0;

	while (n < bytes && text[n] != '\0')
		n++;
	return n;
}

/* Asserts nothing: it is called from within the library. */
static void take(void *ctx, uint32_t level, const char *target, const char *text)
{
	struct message *m = &logged.message[logged.count % COUNT(logged.message)];
	const size_t target_length = length(target, TARGET_BYTES);
	const size_t text_length = length(text, TEXT_BYTES);

	logged.odd += ctx != &logged || level < 1 || level > 5;
	logged.odd += target_length == TARGET_BYTES || text_length == TEXT_BYTES;
	logged.odd += strncmp(target, "axaddrspace::", 13) != 0 || target_length == 13;
	for (size_t i = 0; i < text_length; i++)
		logged.odd += text[i] < ' ' || text[i] > '~';
	m->level = level;
	memcpy(m->target, target, target_length + 1);
	memcpy(m->text, text, text_length + 1);
	logged.count++;
}

static void listen(uint32_t max_level)
{
	memset(&logged, 0, sizeof(logged));
	axas_set_logger(take, &logged, max_level);
}

static void stop_listening(void)
{
	axas_set_logger(NULL, NULL, 0);
	assert_int_equal(logged.odd, 0);
}

/* --- the events ------------------------------------------------------------------------------ */

static void map(struct fixture *f)
{
	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, PAGE, RW));
}

static void map_over(struct fixture *f)
{
	assert_status(AXAS_ERR_ALREADY_EXISTS, axas_map_linear(f->as, GIB, LINEAR_HPA, PAGE, RW));
}

static void map_alloc(struct fixture *f)
{
	assert_ok(axas_map_alloc(f->as, 2 * GIB, 4 * PAGE, AXAS_READ));
}

static void map_alloc_unaligned(struct fixture *f)
{
	assert_status(AXAS_ERR_INVALID_INPUT, axas_map_alloc(f->as, 1, PAGE, RW));
}

static void map_trap(struct fixture *f)
{
	assert_ok(axas_map_trap(f->as, 3 * GIB, PAGE, 7));
}

static void map_trap_outside(struct fixture *f)
{
	assert_status(AXAS_ERR_INVALID_INPUT, axas_map_trap(f->as, SPACE_SIZE, PAGE, 7));
}

static void protect(struct fixture *f)
{
	assert_ok(axas_protect(f->as, GIB, PAGE, AXAS_READ));
}

static void protect_a_hole(struct fixture *f)
{
	assert_status(AXAS_ERR_NOT_MAPPED, axas_protect(f->as, 9 * GIB, PAGE, AXAS_READ));
}

static void populate(struct fixture *f)
{
	assert_ok(axas_populate(f->as, 2 * GIB, PAGE));
}

static void populate_without_memory(struct fixture *f)
{
	f->host.fail_at = 1;
	assert_status(AXAS_ERR_NO_MEMORY, axas_populate(f->as, 2 * GIB + PAGE, PAGE));
	f->host.fail_at = 0;
}

static void populate_with_nonsense(struct fixture *f)
{
	f->host.nonsense = HOST_GIVES_UNALIGNED;
	f->host.nonsense_purpose = AXAS_FRAME_GUEST;
	assert_status(AXAS_ERR_BAD_STATE, axas_populate(f->as, 2 * GIB + PAGE, PAGE));
	f->host.nonsense = HOST_SANE;
}

static void discard(struct fixture *f)
{
	assert_ok(axas_discard(f->as, 2 * GIB, PAGE));
}

static void discard_unaligned(struct fixture *f)
{
	assert_status(AXAS_ERR_INVALID_INPUT, axas_discard(f->as, 1, PAGE));
}

static void unmap_in_a_slice(struct fixture *f)
{
	uint64_t done;

	assert_status(AXAS_ERR_AGAIN, axas_unmap_some(f->as, 2 * GIB, 4 * PAGE, 1, &done));
}

static void unmap(struct fixture *f)
{
	assert_ok(axas_unmap(f->as, GIB, PAGE));
}

static void unmap_unaligned(struct fixture *f)
{
	assert_status(AXAS_ERR_INVALID_INPUT, axas_unmap(f->as, 1, PAGE));
}

static void translate(struct fixture *f)
{
	axas_hpa_t hpa;

	assert_ok(axas_translate(f->as, GIB + 5, &hpa, NULL));
}

static void translate_nothing(struct fixture *f)
{
	axas_hpa_t hpa;

	assert_status(AXAS_ERR_NOT_MAPPED, axas_translate(f->as, 9 * GIB, &hpa, NULL));
}

static void translate_outside(struct fixture *f)
{
	axas_hpa_t hpa;

	assert_status(AXAS_ERR_NOT_MAPPED, axas_translate(f->as, UINT64_MAX, &hpa, NULL));
}

static void translate_without_a_space(struct fixture *f)
{
	axas_hpa_t hpa;

	(void)f;
	assert_status(AXAS_ERR_INVALID_INPUT, axas_translate(NULL, 0, &hpa, NULL));
}

static void set_vmid(struct fixture *f)
{
	assert_ok(axas_set_vmid(f->as, 6));
}

static void set_vmid_too_high(struct fixture *f)
{
	assert_status(AXAS_ERR_UNSUPPORTED, axas_set_vmid(f->as, 256));
}

static void clear(struct fixture *f)
{
	assert_ok(axas_clear(f->as));
}

static void clear_without_a_space(struct fixture *f)
{
	(void)f;
	assert_status(AXAS_ERR_INVALID_INPUT, axas_clear(NULL));
}

static void create_what_cannot_be(struct fixture *f)
{
	axas_config_t cfg = f->cfg;
	axas_t *as;

	cfg.levels = 9;
	assert_status(AXAS_ERR_UNSUPPORTED, axas_create(&cfg, &f->host.hal, &as));
}

static void create_from_nothing(struct fixture *f)
{
	axas_t *as;

	assert_status(AXAS_ERR_INVALID_INPUT, axas_create(NULL, &f->host.hal, &as));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_create(&f->cfg, NULL, &as));
}

static void create_with_nonsense(struct fixture *f)
{
	axas_t *as;

	f->host.nonsense = HOST_GIVES_TOO_HIGH;
	f->host.nonsense_purpose = AXAS_FRAME_TABLE;
	assert_status(AXAS_ERR_BAD_STATE, axas_create(&f->cfg, &f->host.hal, &as));
	f->host.nonsense = HOST_SANE;
}

static void fault_resolved(struct fixture *f)
{
	assert_int_equal(axas_handle_page_fault(f->as, 2 * GIB, AXAS_READ), AXAS_FAULT_RESOLVED);
}

static void fault_spurious(struct fixture *f)
{
	assert_int_equal(axas_handle_page_fault(f->as, 2 * GIB, AXAS_READ), AXAS_FAULT_SPURIOUS);
}

static void fault_denied(struct fixture *f)
{
	assert_int_equal(axas_handle_page_fault(f->as, 2 * GIB, AXAS_WRITE), AXAS_FAULT_DENIED);
}

static void fault_trap(struct fixture *f)
{
	assert_int_equal(axas_handle_page_fault(f->as, 3 * GIB, AXAS_READ), AXAS_FAULT_TRAP);
}

static void fault_unmapped(struct fixture *f)
{
	assert_int_equal(axas_handle_page_fault(f->as, 9 * GIB, AXAS_READ), AXAS_FAULT_UNMAPPED);
	assert_int_equal(axas_handle_page_fault(f->as, UINT64_MAX, RW), AXAS_FAULT_UNMAPPED);
}

static void fault_without_memory(struct fixture *f)
{
	f->host.fail_at = 1;
	assert_int_equal(axas_handle_page_fault(f->as, 2 * GIB + PAGE, AXAS_READ),
			 AXAS_FAULT_NO_MEMORY);
	f->host.fail_at = 0;
}

static void fault_with_nonsense(struct fixture *f)
{
	f->host.nonsense = HOST_GIVES_UNALIGNED;
	f->host.nonsense_purpose = AXAS_FRAME_GUEST;
	assert_int_equal(axas_handle_page_fault(f->as, 2 * GIB + PAGE, AXAS_READ),
			 AXAS_FAULT_NO_MEMORY);
	f->host.nonsense = HOST_SANE;
}

static void fault_without_an_access(struct fixture *f)
{
	assert_int_equal(axas_handle_page_fault(f->as, GIB, 0), AXAS_FAULT_ERROR);
	assert_int_equal(axas_handle_page_fault(f->as, GIB, 8), AXAS_FAULT_ERROR);
	assert_int_equal(axas_handle_page_fault(NULL, GIB, AXAS_READ), AXAS_FAULT_ERROR);
}

static void look(struct fixture *f)
{
	axas_mapping_t m;
	uint64_t cookie;

	assert_ok(axas_query(f->as, GIB, &m));
	assert_ok(axas_trap_cookie(f->as, 3 * GIB, &cookie));
}

static void look_at_nothing(struct fixture *f)
{
	uint8_t byte[8];
	uint64_t cookie;
	size_t done;

	assert_status(AXAS_ERR_NOT_MAPPED, axas_trap_cookie(f->as, 9 * GIB, &cookie));
	/* addresses of a guest's: descriptors, say */
	assert_status(AXAS_ERR_NOT_MAPPED, axas_read(f->as, 9 * GIB, byte, sizeof(byte), 0, &done));
	assert_status(AXAS_ERR_INVALID_INPUT,
		      axas_read(f->as, UINT64_MAX - 3, byte, sizeof(byte), 0, &done));
}

/* In this order on one space, each event with what it says. Level 0: nothing at all. */
static const struct {
	const char *name;
	void (*provoke)(struct fixture *f);
	uint32_t level;
	const char *target, *text; /* of its loudest message; null: of no interest */
} events[] = {
	{ "map", map, DEBUG, "call", "axas_map_linear: ok: 0x40000000 0x8000000000 0x1000 0x3" },
	{ "map over", map_over, WARN, "rejected",
	  "axas_map_linear: already exists: 0x40000000 0x8000000000 0x1000 0x3" },
	{ "map_alloc", map_alloc, DEBUG, "call", "axas_map_alloc: ok: 0x80000000 0x4000 0x1" },
	{ "map_alloc unaligned", map_alloc_unaligned, WARN, "rejected",
	  "axas_map_alloc: invalid input: 0x1 0x1000 0x3" },
	{ "map_trap", map_trap, DEBUG, "call", "axas_map_trap: ok: 0xc0000000 0x1000 0x7" },
	{ "map_trap outside", map_trap_outside, WARN, "rejected", NULL },
	{ "translate", translate, DEBUG, "call", "axas_translate: ok: 0x40000005 0x8000000005" },
	{ "translate nothing", translate_nothing, DEBUG, "rejected",
	  "axas_translate: not mapped: 0x240000000" },
	{ "translate outside", translate_outside, DEBUG, "rejected",
	  "axas_translate: not mapped: 0xffffffffffffffff" },
	{ "translate null", translate_without_a_space, WARN, "rejected",
	  "axas_translate: invalid input: 0x0" },
	{ "fault resolved", fault_resolved, DEBUG, "fault", "address, verdict: 0x80000000 0x0" },
	{ "fault spurious", fault_spurious, DEBUG, "fault", "address, verdict: 0x80000000 0x1" },
	{ "fault denied", fault_denied, DEBUG, "fault", "address, verdict: 0x80000000 0x5" },
	{ "fault trap", fault_trap, DEBUG, "fault", "address, verdict: 0xc0000000 0x3" },
	{ "fault unmapped", fault_unmapped, DEBUG, "fault",
	  "address, verdict: 0xffffffffffffffff 0x4" },
	{ "fault without memory", fault_without_memory, DEBUG, "fault",
	  "address, verdict: 0x80001000 0x6" },
	{ "fault with nonsense", fault_with_nonsense, ERROR, "hal", NULL },
	{ "fault without access", fault_without_an_access, WARN, "rejected",
	  "axas_handle_page_fault: invalid input: 0x40000000 0x1" },
	{ "look", look, 0, NULL, NULL },
	{ "look at nothing", look_at_nothing, DEBUG, "rejected",
	  "axas_read: invalid input: 0xfffffffffffffffc 0x8 0x0" },
	{ "protect", protect, DEBUG, "call", "axas_protect: ok: 0x40000000 0x1000 0x1" },
	{ "protect a hole", protect_a_hole, WARN, "rejected",
	  "axas_protect: not mapped: 0x240000000 0x1000 0x1" },
	{ "populate", populate, DEBUG, "call", "axas_populate: ok: 0x80000000 0x1000" },
	{ "populate without memory", populate_without_memory, WARN, "rejected", NULL },
	{ "populate with nonsense", populate_with_nonsense, ERROR, "bad_state",
	  "axas_populate: bad state: 0x80001000 0x1000" },
	{ "discard", discard, DEBUG, "call", "axas_discard: ok: 0x80000000 0x1000" },
	{ "discard unaligned", discard_unaligned, WARN, "rejected", NULL },
	{ "unmap in a slice", unmap_in_a_slice, DEBUG, "call",
	  "axas_unmap_some: try again: 0x80000000 0x4000 0x0" },
	{ "unmap", unmap, DEBUG, "call", "axas_unmap: ok: 0x40000000 0x1000" },
	{ "unmap unaligned", unmap_unaligned, WARN, "rejected",
	  "axas_unmap: invalid input: 0x1 0x1000" },
	{ "set_vmid", set_vmid, DEBUG, "call", "axas_set_vmid: ok: 0x6" },
	{ "set_vmid too high", set_vmid_too_high, WARN, "rejected",
	  "axas_set_vmid: unsupported: 0x100" },
	{ "clear", clear, DEBUG, "call", "axas_clear: ok" },
	{ "clear null", clear_without_a_space, WARN, "rejected", "axas_clear: invalid input" },
	{ "create", create_what_cannot_be, WARN, "rejected", NULL },
	{ "create null", create_from_nothing, WARN, "rejected", NULL },
	{ "create with nonsense", create_with_nonsense, ERROR, "bad_state", NULL },
};

static uint32_t loudest(void)
{
	uint32_t level = 0;

	for (uint32_t i = 0; i < logged.count; i++)
		if (level == 0 || logged.message[i].level < level)
			level = logged.message[i].level;
	return level;
}

/* The last message of the loudest level: what was said of the host comes before the verdict of a fault. */
static void expect_loudest(const char *target, const char *text)
{
	const struct message *m = &logged.message[logged.count - 1];

	for (uint32_t i = 0; i < logged.count; i++)
		if (logged.message[i].level == loudest())
			m = &logged.message[i];
	assert_string_equal(m->target + strlen("axaddrspace::"), target);
	if (text != NULL)
		assert_string_equal(m->text, text);
}

static void each_event_has_its_level_and_its_name(void **state)
{
	FIXTURE(f);

	for (size_t i = 0; i < COUNT(events); i++) {
		listen(5);
		events[i].provoke(f);
		stop_listening();
		assert_true(logged.count <= COUNT(logged.message));
		if (loudest() != events[i].level)
			fail_msg("%s: level %u, not %u", events[i].name, loudest(),
				 events[i].level);
		if (logged.count > 0)
			expect_loudest(events[i].target, events[i].text);
	}
}

static void a_message_comes_at_its_level_and_above_only(void **state)
{
	FIXTURE(f);

	for (uint32_t max_level = 0; max_level <= 5; max_level++) {
		listen(max_level);
		for (size_t i = 0; i < COUNT(events); i++) {
			logged.count = 0;
			events[i].provoke(f);
			if (events[i].level <= max_level)
				assert_int_equal(loudest(), events[i].level);
			else
				assert_int_equal(logged.count, 0);
			for (uint32_t j = 0; j < logged.count; j++)
				assert_true(logged.message[j].level <= max_level);
		}
		stop_listening();
	}
}

static void a_null_callback_is_never_called(void **state)
{
	FIXTURE(f);

	memset(&logged, 0, sizeof(logged));
	axas_set_logger(NULL, &logged, 5);
	for (size_t i = 0; i < COUNT(events); i++)
		events[i].provoke(f);
	assert_int_equal(logged.count, 0);
	stop_listening();
}

/* --- corrupt tables --------------------------------------------------------------------------- */

/* The root's first entry leads where the host has no memory. */
static void tables_that_lead_nowhere_are_errors(void **state)
{
	FIXTURE(f);
	uint64_t *entry, good;
	axas_hpa_t hpa;

	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, PAGE, RW));
	/* the entry of the root for 1 GiB: its tables begin at level 3 */
	entry = (uint64_t *)host_at(&f->host, space_walker(f->as).root) + 1;
	good = *entry;
	*entry = (good & 0xfff) | 0x700000000;
	f->host.quick = 1;
	f->host.blind = 1;
	listen(ERROR);
	assert_status(AXAS_ERR_BAD_STATE, axas_unmap(f->as, GIB, PAGE));
	expect_loudest("bad_state", "axas_unmap: bad state: 0x40000000 0x1000");
	logged.count = 0;
	assert_status(AXAS_ERR_BAD_STATE, axas_translate(f->as, GIB, &hpa, NULL));
	expect_loudest("bad_state", "axas_translate: bad state: 0x40000000");
	logged.count = 0;
	assert_int_equal(axas_handle_page_fault(f->as, GIB, AXAS_READ), AXAS_FAULT_ERROR);
	expect_loudest("bad_state", "axas_handle_page_fault: bad state: 0x40000000");
	stop_listening();
	f->host.blind = 0;
	f->host.quick = 0;
	*entry = good;
}

static int setup_callback_space(void **state)
{
	struct fixture *f;

	setup_host(state);
	f = *state;
	host_exit(&f->host);
	host_init(&f->host, HOST_CALLBACK, HOST_PA_BASE);
	fixture_create(f);
	return 0;
}

static void an_arena_that_gets_a_stranger_s_frame_says_so(void **state)
{
	static _Alignas(PAGE) uint8_t memory[PAGE];
	axas_hal_t hal = { .struct_size = sizeof(hal) };
	axas_arena_t arena;

	(void)state;
	assert_ok(axas_arena_init(&arena));
	assert_ok(axas_arena_add(&arena, memory, HOST_PA_LOW_BASE, sizeof(memory)));
	assert_ok(axas_arena_hal(&arena, &hal));
	listen(5);
	hal.dealloc_frame(hal.ctx, 0x1000, 0, AXAS_FRAME_GUEST);
	assert_int_equal(loudest(), ERROR);
	expect_loudest("arena", "not a frame of the arena: 0x1000 0x0");
	stop_listening();
}

/* The call with the most arguments, each as long as it can be. */
static void the_longest_line_is_whole(void **state)
{
	static _Alignas(AXAS_STORAGE_ALIGN) uint8_t storage[AXAS_STORAGE_SIZE];
	FIXTURE(f);
	axas_config_t cfg = f->cfg;
	axas_t *as;

	cfg.format = cfg.levels = cfg.pa_bits = cfg.gpa_bits = UINT32_MAX;
	cfg.vmid = cfg.features = cfg.options = UINT32_MAX;
	cfg.base = cfg.size = UINT64_MAX;
	listen(5);
	assert_status(AXAS_ERR_INVALID_INPUT,
		      axas_create_in(storage, sizeof(storage), &cfg, &f->host.hal, &as));
	stop_listening();
	assert_int_equal(logged.count, 1);
	assert_string_equal(logged.message[0].text,
			    "axas_create_in: invalid input: 0xffffffff 0xffffffff 0xffffffff"
			    " 0xffffffff 0xffffffff 0xffffffff 0xffffffff"
			    " 0xffffffffffffffff 0xffffffffffffffff");
}

static void what_the_host_returned_is_told_before_the_call(void **state)
{
	static const uint8_t data[8];
	FIXTURE(f);

	assert_ok(axas_map_alloc(f->as, GIB, PAGE, RW));
	f->host.nonsense = HOST_GIVES_UNALIGNED;
	f->host.nonsense_purpose = AXAS_FRAME_GUEST;
	listen(4);
	assert_status(AXAS_ERR_NO_MEMORY, axas_write(f->as, GIB, data, sizeof(data), 0, NULL));
	stop_listening();
	f->host.nonsense = HOST_SANE;
	assert_int_equal(logged.count, 2);
	assert_string_equal(logged.message[0].target, "axaddrspace::hal");
	assert_string_equal(logged.message[1].text, "axas_write: no memory: 0x40000000 0x8 0x0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ONE(the_longest_line_is_whole, setup_space, arm),
		ONE(what_the_host_returned_is_told_before_the_call, setup_space, arm),
		ONE(each_event_has_its_level_and_its_name, setup_space, arm),
		ONE(a_message_comes_at_its_level_and_above_only, setup_space, arm),
		ONE(a_null_callback_is_never_called, setup_space, arm),
		ONE(tables_that_lead_nowhere_are_errors, setup_callback_space, arm),
		cmocka_unit_test(an_arena_that_gets_a_stranger_s_frame_says_so),
	};

	return cmocka_run_group_tests_name("logging", tests, NULL, NULL);
}
