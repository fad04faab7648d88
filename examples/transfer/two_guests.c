/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Two guests on one CPU, in turns. One has a buffer, which it lends to the other or shares with it: axas_transfer
 * between their spaces. Each turn is one run of a guest's program.
 */
#include "frames.h"
#include "layout.h"
#include "machine.h"
#include "report.h"
#include "turns.h"

#define GUEST_RAM  0x200000
#define OWNER_VMID 1
#define OTHER_VMID 2

/* The owner's buffer: memory of the host's, for what is lent or shared comes back. */
static uint8_t buffer[BUFFER_SIZE] __attribute__((aligned(AXAS_PAGE_SIZE)));

/* Handed over as a device where the machine has no UART in memory. */
static uint8_t no_device[AXAS_PAGE_SIZE] __attribute__((aligned(AXAS_PAGE_SIZE)));

static axas_t *owner, *other;

static const char *const titles[TURN_COUNT] = {
	"The owner lends its buffer",
	"The other one answers in it, and gives it back",
	"The owner shares the buffer, for the other one to read",
	"The other one reads it",
	"The owner writes to it",
	"The other one reads it again, and gives it back",
	"The owner lends the buffer, wiped",
	"The other one reads it, and gives it back",
};

static _Noreturn void give_up(const char *why)
{
	report("\nBAD: %s\n", why);
	machine_exit(1);
}

static void must(axas_status_t status, const char *what)
{
	if (status != AXAS_OK)
		give_up(what);
}

/* --- the guests ------------------------------------------------------------------------------ */

/* The machine says once what both spaces are like. */
static axas_config_t config = { .struct_size = sizeof(config),
				.levels = GUEST_LEVELS,
				.size = SPACE_SIZE,
				.vmid = OWNER_VMID };
static axas_hal_t hal = { .struct_size = sizeof(hal) };

static axas_t *create(uint32_t vmid)
{
	axas_hpa_t uart = machine.uart;
	axas_t *space;

	config.vmid = vmid;
	if (uart == AXAS_HPA_INVALID)
		uart = (axas_hpa_t)(uintptr_t)no_device;
	must(axas_create(&config, &hal, &space), "axas_create");
	must(axas_map_alloc(space, GPA_RAM, GUEST_RAM, AXAS_READ | AXAS_WRITE), "RAM");
	must(axas_map_alloc(space, GPA_PROGRAM, PROGRAM_SIZE, AXAS_READ | AXAS_EXECUTE), "program");
	must(axas_write(space, GPA_PROGRAM, guest_program, PROGRAM_SIZE,
			AXAS_ACCESS_HOST | AXAS_ACCESS_CLEAN, NULL),
	     "the program's text");
	must(axas_map_trap(space, GPA_TURN, AXAS_PAGE_SIZE, 0), "the number of the turn");
	must(axas_map_linear(space, GPA_CONSOLE, uart, AXAS_PAGE_SIZE,
			     AXAS_READ | AXAS_WRITE | AXAS_DEVICE),
	     "console");
	must(machine_map(space), "machine_map");
	return space;
}

/* --- the buffer ------------------------------------------------------------------------------ */

static axas_status_t transfer(uint32_t action, axas_flags_t to_flags, uint32_t options)
{
	const axas_transfer_t deal = { .struct_size = sizeof(deal),
				       .action = action,
				       .to_flags = to_flags,
				       .options = options };

	return axas_transfer(owner, GPA_MINE, other, GPA_BORROWED, BUFFER_SIZE, &deal);
}

/* Only the owner lends and shares; either may end it. */
static axas_status_t answer_call(const axas_t *caller, uint64_t call)
{
	if (caller == owner && call == CALL_LEND)
		return transfer(AXAS_LEND, AXAS_READ | AXAS_WRITE, 0);
	if (caller == owner && call == CALL_LEND_WIPED)
		return transfer(AXAS_LEND, AXAS_READ | AXAS_WRITE, AXAS_WIPE);
	if (caller == owner && call == CALL_SHARE)
		return transfer(AXAS_SHARE, AXAS_READ, 0);
	if (call == CALL_RETURN)
		return transfer(AXAS_TAKE_BACK, 0, 0);
	return AXAS_ERR_DENIED;
}

static const char *name_of(uint64_t call)
{
	static const char *const names[] = {
		[CALL_LEND] = "lend",
		[CALL_LEND_WIPED] = "lend, wiped",
		[CALL_SHARE] = "share",
		[CALL_RETURN] = "give back",
	};

	return call >= CALL_LEND && call <= CALL_RETURN ? names[call] : "unknown";
}

static const char *state_of(const axas_t *space, axas_gpa_t gpa)
{
	axas_mapping_t found;

	must(axas_query(space, gpa, &found), "axas_query");
	if (found.state == AXAS_STATE_ABSENT)
		return "---";
	return found.state == AXAS_STATE_HIDDEN ? "hidden" : flags_name(found.flags);
}

/* --- a turn ---------------------------------------------------------------------------------- */

static void handle_fault(axas_t *space, struct vcpu *vcpu, const axas_fault_t *fault, uint32_t turn)
{
	struct guest_access access = { .bytes = 0 };
	axas_fault_result_t verdict;

	if (!(fault->valid & AXAS_VALID_GPA))
		give_up("a fault without an address");
	verdict = axas_handle_page_fault(space, fault->gpa, fault->access);
	if (axas_fault_resumes(verdict))
		return;
	if (verdict == AXAS_FAULT_TRAP && vcpu_decode_access(vcpu, &access) && !access.is_write) {
		access.value = turn;
		vcpu_finish_access(vcpu, &access);
		return;
	}
	if (verdict != AXAS_FAULT_HIDDEN && verdict != AXAS_FAULT_DENIED &&
	    verdict != AXAS_FAULT_UNMAPPED)
		give_up("a fault to which there is no answer");
	report("  %s of 0x%lx: %s\n", access_name(fault->access), fault->gpa,
	       verdict_name(verdict));
	vcpu_refuse(vcpu, verdict);
}

/* Returns how many of the guest's claims failed. */
static uint64_t take_turn(uint32_t turn)
{
	axas_t *space = turn % 2 == 0 ? owner : other;
	axas_hw_regs_t registers;
	struct guest_exit exit;
	struct vcpu *vcpu;

	report("%u. %s\n", turn + 1, titles[turn]);
	must(axas_hw_regs(space, &registers), "axas_hw_regs");
	vcpu = vcpu_start(&registers, GPA_PROGRAM + PROGRAM_ENTRY);
	for (;;) {
		vcpu_run(vcpu, &exit);
		if (exit.reason == EXIT_FAULT) {
			handle_fault(space, vcpu, &exit.fault, turn);
		} else if (exit.reason != EXIT_HYPERCALL) {
			give_up("an exit that nobody knows");
		} else if (exit.call == CALL_DONE) {
			vcpu_stop(vcpu);
			return exit.argument;
		} else if (exit.call == CALL_SAY) {
			console_put((char)exit.argument);
			vcpu_finish_call(vcpu);
		} else {
			must(answer_call(space, exit.call), name_of(exit.call));
			report("  %s: the owner has it %s, the other one %s\n", name_of(exit.call),
			       state_of(owner, GPA_MINE), state_of(other, GPA_BORROWED));
			vcpu_finish_call(vcpu);
		}
	}
}

static uint64_t frames_missing(uint32_t purpose)
{
	const struct frame_books *books = frames_books(purpose);

	return books->taken - books->returned;
}

void hypervisor_main(void)
{
	uint64_t failures = 0, missing;

	frames_init();
	report("\nOne buffer, and a guest at each end of it\n");
	frames_supply(&hal);
	/* The buffer is in the identity map, too: the library wipes it there. */
	hal.flags |= AXAS_HAL_DIRECT_MAP_LINEAR;
	machine_configure(&config, &hal);
	owner = create(OWNER_VMID);
	other = create(OTHER_VMID);
	must(axas_map_linear(owner, GPA_MINE, (axas_hpa_t)(uintptr_t)buffer, BUFFER_SIZE,
			     AXAS_READ | AXAS_WRITE),
	     "buffer");
	for (uint32_t turn = 0; turn < TURN_COUNT; turn++)
		failures += take_turn(turn);
	axas_destroy(other);
	axas_destroy(owner);
	missing = frames_missing(AXAS_FRAME_TABLE) + frames_missing(AXAS_FRAME_GUEST);
	report("%lu frames missing, %lu claims of the guests failed\n", missing, failures);
	machine_exit(missing != 0 || frames_mistakes() != 0 || failures != 0);
}
