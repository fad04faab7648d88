/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The story: make a space, run a guest in it, answer its faults, take the space down.
 *
 * Every fault of the guest has to be one that its present act expects, and at the end no frame may
 * be missing; whatever is not as it should be is said at once and counted.
 */
#include <stddef.h>

#include "axaddrspace.h"
#include "frames.h"
#include "freestanding.h"
#include "layout.h"
#include "machine.h"
#include "report.h"

#define GUEST_VMID 1
#define LOG_WARN   2

/* Faults of one kind that an act brings, and how many. */
struct expected {
	axas_fault_result_t verdict;
	axas_flags_t access;
	axas_gpa_t gpa;
	uint64_t size;
	uint32_t count;
};

struct act {
	const char *title;
	struct expected faults[2];
};

/* Places in the space, each an address and a size. */
#define PAGE    AXAS_PAGE_SIZE
#define STACK   (GPA_STACK_TOP - PAGE), PAGE
#define FILL    GPA_RAM, FILL_SIZE
#define REST    (GPA_RAM + FILL_SIZE), (RAM_SIZE - FILL_SIZE)
#define LAST    GPA_LAST, PAGE
#define PROGRAM GPA_PROGRAM, PROGRAM_SIZE
#define NOTES   GPA_NOTES, NOTES_SIZE
#define ADDER   GPA_ADDER, PAGE
#define NOWHERE GPA_NOWHERE, PAGE
#define HOLE    (GPA_WINDOW + WINDOW_HOLE), PAGE

static const struct act acts[ACT_COUNT] = {
	[ACT_WAKE] = { "wakes up; its first push needs a stack",
		       { { AXAS_FAULT_RESOLVED, AXAS_WRITE, STACK, 1 } } },
	[ACT_FILL] = { "fills pages of its RAM and reads them back",
		       { { AXAS_FAULT_RESOLVED, AXAS_WRITE, FILL, FILL_PAGES } } },
	[ACT_ZERO] = { "reads RAM that nobody wrote",
		       { { AXAS_FAULT_RESOLVED, AXAS_READ, REST, 1 } } },
	[ACT_LAST_PAGE] = { "writes to the last page of its space",
			    { { AXAS_FAULT_RESOLVED, AXAS_WRITE, LAST, 1 } } },
	[ACT_CODE] = { "copies code to RAM and runs it there",
		       { { AXAS_FAULT_RESOLVED, AXAS_WRITE, REST, 1 } } },
	[ACT_OVERWRITE] = { "writes over its own program",
			    { { AXAS_FAULT_DENIED, AXAS_WRITE, PROGRAM, 1 } } },
	[ACT_NO_CODE] = { "runs code where it may only read and write",
			  { { AXAS_FAULT_RESOLVED, AXAS_WRITE, NOTES, 1 },
			    { AXAS_FAULT_DENIED, AXAS_EXECUTE, NOTES, 1 } } },
	[ACT_DEVICE] = { "uses a device that does not exist",
			 { { AXAS_FAULT_TRAP, AXAS_WRITE, ADDER, 2 },
			   { AXAS_FAULT_TRAP, AXAS_READ, ADDER, 1 } } },
	[ACT_NOWHERE] = { "reads where nothing is",
			  { { AXAS_FAULT_UNMAPPED, AXAS_READ, NOWHERE, 1 } } },
	[ACT_WINDOW] = { "talks through memory of the host, without any fault", { { 0 } } },
	[ACT_PROTECTED] = { "finds a page read-only that it could write before",
			    { { AXAS_FAULT_DENIED, AXAS_WRITE, FILL, 1 } } },
	[ACT_HOLE] = { "finds a hole in the window",
		       { { AXAS_FAULT_UNMAPPED, AXAS_WRITE, HOLE, 1 } } },
	[ACT_UNMAPPED] = { "finds the pages gone that it had filled",
			   { { AXAS_FAULT_UNMAPPED, AXAS_READ, FILL, FILL_PAGES } } },
};

enum backing {
	CONSOLE, /* the machine's UART, handed over */
	TRAP, /* nothing: accesses are emulated */
	LINEAR, /* memory of the hypervisor's image */
	LAZY, /* frames that the library takes when the guest comes */
};

struct region {
	const char *name;
	axas_gpa_t gpa;
	uint64_t size;
	enum backing backing;
	axas_flags_t flags;
	const void *memory;
};

/* The host's end of the window, aligned so that one block maps it. */
static uint64_t window[WINDOW_SIZE / sizeof(uint64_t)] __attribute__((aligned(WINDOW_SIZE)));

static const struct region regions[] = {
	{ "console", GPA_CONSOLE, PAGE, CONSOLE, AXAS_READ | AXAS_WRITE | AXAS_DEVICE, NULL },
	{ "adder", ADDER, TRAP, 0, NULL },
	{ "program", PROGRAM, LINEAR, AXAS_READ | AXAS_EXECUTE, guest_program },
	{ "window", GPA_WINDOW, WINDOW_SIZE, LINEAR, AXAS_READ | AXAS_WRITE, window },
	{ "notes", NOTES, LAZY, AXAS_READ | AXAS_WRITE, NULL },
	{ "RAM", GPA_RAM, RAM_SIZE, LAZY, AXAS_READ | AXAS_WRITE | AXAS_EXECUTE, NULL },
	{ "last page", LAST, LAZY, AXAS_READ | AXAS_WRITE, NULL },
};

#define REGION_COUNT (sizeof(regions) / sizeof(regions[0]))

struct adder {
	uint32_t left;
	uint32_t right;
};

struct scenario {
	axas_t *space;
	struct vcpu *vcpu;
	uint64_t act;
	uint32_t seen[2]; /* faults of the present act, as in act.faults */
	uint32_t fault_count;
	uint32_t failures;
	struct adder adder;
};

static struct scenario scenario;

static void expect(uint32_t holds, const char *what)
{
	if (holds)
		return;
	scenario.failures++;
	report("  NOT AS EXPECTED: %s\n", what);
}

static void expect_ok(axas_status_t status, const char *call)
{
	if (status == AXAS_OK)
		return;
	scenario.failures++;
	report("  NOT AS EXPECTED: %s: %s\n", call, axas_status_str(status));
}

static uint64_t frames_out(uint32_t purpose)
{
	const struct frame_books *books = frames_books(purpose);

	return books->taken - books->returned;
}

static _Noreturn void finish(void)
{
	report("\n%s: %u expectations failed\n", scenario.failures == 0 ? "GOOD" : "BAD",
	       scenario.failures);
	machine_exit(scenario.failures != 0);
}

static const char *region_name(axas_gpa_t gpa)
{
	for (size_t i = 0; i < REGION_COUNT; i++) {
		if (gpa - regions[i].gpa < regions[i].size)
			return regions[i].name;
	}
	return "nowhere";
}

/* The library warns when a call of ours was wrong, and there is to be no such call. */
static void library_log(void *ctx, uint32_t level, const char *target, const char *text)
{
	(void)ctx;
	report("  level %u of %s: %s\n", level, target, text);
	expect(0, "a library with nothing to say");
}

static void create_space(void)
{
	axas_config_t config = {
		.struct_size = sizeof(config),
		.format = AXAS_FORMAT_NATIVE,
		.levels = GUEST_LEVELS,
		.size = SPACE_SIZE,
		.vmid = GUEST_VMID,
	};
	axas_hal_t hal = { .struct_size = sizeof(hal) };

	axas_set_logger(library_log, NULL, LOG_WARN);
	frames_init();
	frames_supply(&hal);
	machine_configure(&config, &hal);
	expect_ok(axas_create(&config, &hal, &scenario.space), "axas_create");
	if (scenario.space == NULL)
		finish();
}

static axas_status_t map_region(const struct region *region)
{
	switch (region->backing) {
	case TRAP:
		return axas_map_trap(scenario.space, region->gpa, region->size, ADDER_COOKIE);
	case LAZY:
		return axas_map_alloc(scenario.space, region->gpa, region->size, region->flags);
	case CONSOLE:
		return axas_map_linear(scenario.space, region->gpa, machine.uart, region->size,
				       region->flags);
	default:
		return axas_map_linear(scenario.space, region->gpa,
				       (axas_hpa_t)(uintptr_t)region->memory, region->size,
				       region->flags);
	}
}

static void furnish_space(void)
{
	static const char *const backing_names[] = {
		[CONSOLE] = "the machine's UART",
		[TRAP] = "emulated, every access is a fault",
		[LINEAR] = "the hypervisor's own memory",
		[LAZY] = "lazy, no frame before the guest comes",
	};

	report("\nThe guest's space\n"
	       "  address           size  may  name       tables  what it is\n");
	for (size_t i = 0; i < REGION_COUNT; i++) {
		const struct region *region = &regions[i];
		uint64_t tables = frames_out(AXAS_FRAME_TABLE);

		if (region->backing == CONSOLE && machine.uart == AXAS_HPA_INVALID)
			continue;
		expect_ok(map_region(region), region->name);
		report("  0x%010lx  ", region->gpa);
		report_size(region->size);
		report("  %s  %-9s  %6lu  %s\n", flags_name(region->flags), region->name,
		       frames_out(AXAS_FRAME_TABLE) - tables, backing_names[region->backing]);
	}
	expect_ok(machine_map(scenario.space), "machine_map");
	expect(frames_out(AXAS_FRAME_GUEST) == 0, "a reservation took no frame of guest memory");
}

/* Each kind of fault of the act has to have come exactly as often as expected. */
static void end_act(void)
{
	const struct act *act = &acts[scenario.act];

	for (size_t i = 0; i < 2; i++)
		expect(scenario.seen[i] == act->faults[i].count,
		       "the number of faults in this act");
	if (scenario.act == ACT_WINDOW)
		expect(window[WINDOW_ANSWER / 8] == window[WINDOW_QUESTION / 8] + 1,
		       "the guest's answer in the window");
}

static uint64_t blocks(void)
{
	axas_stats_t stats;

	expect_ok(axas_stats(scenario.space, &stats), "axas_stats");
	return stats.mapped_2m;
}

/* What the hypervisor does to the space before an act. */
static void change_space(void)
{
	uint64_t frames = frames_out(AXAS_FRAME_GUEST);

	switch (scenario.act) {
	case ACT_ZERO:
		expect(axas_handle_page_fault(scenario.space, GPA_RAM, AXAS_WRITE) ==
			       AXAS_FAULT_SPURIOUS,
		       "a fault on a page that is there is spurious");
		expect(frames_out(AXAS_FRAME_GUEST) == frames, "it took no frame");
		report("  a second vCPU, late on the first page: spurious, the frame stays\n");
		break;
	case ACT_PROTECTED:
		expect_ok(axas_protect(scenario.space, GPA_RAM, PAGE, AXAS_READ), "axas_protect");
		report("  axas_protect: the first page of RAM is read-only now\n");
		break;
	case ACT_HOLE:
		expect(blocks() == 1, "the window is one 2 MiB block");
		expect_ok(axas_unmap(scenario.space, HOLE), "axas_unmap");
		expect(blocks() == 0, "the block is split");
		report("  axas_unmap: one page out of the window's 2 MiB block, which splits\n");
		break;
	case ACT_UNMAPPED:
		expect_ok(axas_unmap(scenario.space, FILL), "axas_unmap");
		frames -= frames_out(AXAS_FRAME_GUEST);
		expect(frames == FILL_PAGES, "the filled pages' frames came back");
		report("  axas_unmap: the filled pages; %lu frames came back\n", frames);
		break;
	default:
		break;
	}
}

static void begin_act(uint64_t number)
{
	if (number != 0) {
		end_act();
		expect(number == scenario.act + 1 && number < ACT_COUNT, "the acts come in order");
	}
	if (number >= ACT_COUNT)
		finish();
	scenario.act = number;
	memset(scenario.seen, 0, sizeof(scenario.seen));
	report("\n%2lu. The guest %s\n", number + 1, acts[number].title);
	change_space();
}

static void check_fault(const axas_fault_t *fault, axas_fault_result_t verdict)
{
	for (size_t i = 0; i < 2; i++) {
		const struct expected *expected = &acts[scenario.act].faults[i];

		if (expected->count != 0 && expected->verdict == verdict &&
		    expected->access == fault->access &&
		    fault->gpa - expected->gpa < expected->size) {
			scenario.seen[i]++;
			return;
		}
	}
	/* Nobody knows what the guest would do next. */
	expect(0, "a fault that belongs to this act");
	finish();
}

static uint32_t *adder_operand(uint64_t offset)
{
	switch (offset) {
	case ADDER_LEFT:
		return &scenario.adder.left;
	case ADDER_RIGHT:
		return &scenario.adder.right;
	default:
		return NULL;
	}
}

/* The device: a store sets an operand, a load of the sum adds them. */
static void emulate(const axas_fault_t *fault)
{
	struct guest_access access;
	uint64_t cookie = 0;
	uint32_t *operand = adder_operand(fault->gpa - GPA_ADDER);

	expect_ok(axas_trap_cookie(scenario.space, fault->gpa, &cookie), "axas_trap_cookie");
	expect(cookie == ADDER_COOKIE, "the cookie names the adder");
	if (!vcpu_decode_access(scenario.vcpu, &access) || access.bytes != sizeof(uint32_t)) {
		expect(0, "an access that the adder understands");
		finish();
	}
	if (access.is_write && operand != NULL)
		*operand = (uint32_t)access.value;
	else if (fault->gpa - GPA_ADDER == ADDER_SUM)
		access.value = scenario.adder.left + scenario.adder.right;
	else
		access.value = 0;
	report("device 0x%lx: %s %lu\n", cookie, access.is_write ? "takes" : "gives", access.value);
	vcpu_finish_access(scenario.vcpu, &access);
}

static void handle_fault(const struct guest_exit *exit)
{
	const axas_fault_t *fault = &exit->fault;
	uint64_t tables = frames_out(AXAS_FRAME_TABLE);
	uint64_t pages = frames_out(AXAS_FRAME_GUEST);
	axas_fault_result_t verdict;

	verdict = axas_handle_page_fault(scenario.space, fault->gpa, fault->access);
	report("  fault %2u  pc 0x%08lx  %-7s  0x%010lx  %-9s  %-8s  ", ++scenario.fault_count,
	       exit->pc, access_name(fault->access), fault->gpa, region_name(fault->gpa),
	       verdict_name(verdict));
	if (axas_fault_resumes(verdict)) {
		report("+%lu page, +%lu tables\n", frames_out(AXAS_FRAME_GUEST) - pages,
		       frames_out(AXAS_FRAME_TABLE) - tables);
	} else if (verdict == AXAS_FAULT_TRAP) {
		emulate(fault);
	} else if (verdict == AXAS_FAULT_UNMAPPED || verdict == AXAS_FAULT_DENIED) {
		report("the guest is told\n");
		vcpu_refuse(scenario.vcpu, verdict);
	} else {
		report("the end\n");
		expect(0, "a verdict to go on from");
		finish();
	}
	check_fault(fault, verdict);
}

/* Returns 0 when the guest is done. */
static uint32_t handle_call(const struct guest_exit *exit)
{
	switch (exit->call) {
	case CALL_ACT:
		begin_act(exit->argument);
		break;
	case CALL_SAY:
		console_put((char)exit->argument);
		break;
	case CALL_DONE:
		end_act();
		expect(scenario.act == ACT_COUNT - 1, "the last act was played");
		expect(exit->argument == 0, "the guest saw what it should");
		return 0;
	default:
		expect(0, "a known hypercall");
		finish();
	}
	vcpu_finish_call(scenario.vcpu);
	return 1;
}

static void run_guest(void)
{
	struct guest_exit exit;

	begin_act(ACT_WAKE);
	for (;;) {
		vcpu_run(scenario.vcpu, &exit);
		switch (exit.reason) {
		case EXIT_HYPERCALL:
			if (!handle_call(&exit))
				return;
			break;
		case EXIT_FAULT:
			handle_fault(&exit);
			break;
		default:
			report("  unknown exit, pc 0x%lx, syndrome 0x%lx\n", exit.pc,
			       exit.syndrome);
			expect(0, "an exit that the hypervisor knows");
			finish();
		}
	}
}

static void introduce(const axas_hw_regs_t *registers)
{
	uint32_t version = axas_version();

	report("\n%s with a guest at %s, whose memory axaddrspace %u.%u.%u manages\n", machine.name,
	       machine.guest_level, version >> 16, version >> 8 & 0xff, version & 0xff);
	report("  guest addresses of %u bits in %u levels, root of ", registers->gpa_bits,
	       registers->levels);
	report_size(registers->root_bytes);
	report("\n  host addresses of %u bits\n", registers->pa_bits);
	report("  %-9s 0x%016lx\n", machine.root_name, registers->root_register);
	if (machine.control_name != NULL)
		report("  %-9s 0x%016lx\n", machine.control_name, registers->control_register);
}

static void close_books(void)
{
	uint64_t out;

	report("\naxas_destroy, and the frame allocator's books\n");
	axas_destroy(scenario.space);
	report_books();
	out = frames_out(AXAS_FRAME_TABLE) + frames_out(AXAS_FRAME_GUEST);
	report("  balance: %lu frames missing\n", out);
	expect(out == 0, "every frame came back");
	expect(frames_mistakes() == 0, "frames came back as they were taken, and once");
}

void hypervisor_main(void)
{
	axas_hw_regs_t registers;
	axas_stats_t stats;

	create_space();
	expect_ok(axas_hw_regs(scenario.space, &registers), "axas_hw_regs");
	introduce(&registers);
	furnish_space();
	window[WINDOW_QUESTION / 8] = 41;

	scenario.vcpu = vcpu_start(&registers, GPA_PROGRAM + PROGRAM_ENTRY);
	run_guest();

	report("\nWhat the library counted\n");
	expect_ok(axas_stats(scenario.space, &stats), "axas_stats");
	report_stats(&stats);
	expect(stats.table_frames + 1 == frames_out(AXAS_FRAME_TABLE), "tables as in the books");
	expect(stats.guest_frames == frames_out(AXAS_FRAME_GUEST), "guest frames as in the books");
	report("\nWhat is left in the space\n");
	expect_ok(report_space(scenario.space), "axas_dump");

	vcpu_stop(scenario.vcpu);
	close_books();
	finish();
}
