/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The vCPU's exits, and the end: no cell is wrong, no frame is missing. */
#include "moved.h"

#include <stddef.h>

#include "frames.h"
#include "report.h"

struct moved moved;

void give_up(const char *why)
{
	report("\nBAD: %s\n", why);
	machine_exit(1);
}

void must(axas_status_t status, const char *call)
{
	if (status == AXAS_OK)
		return;
	report("%s: %s\n", call, axas_status_str(status));
	give_up("a call failed");
}

axas_t *space_create(uint32_t vmid)
{
	axas_t *space;

	moved.config.vmid = vmid;
	must(axas_create(&moved.config, &moved.hal, &space), "axas_create");
	must(machine_map(space), "machine_map");
	return space;
}

axas_t *space_with_memory(uint32_t vmid)
{
	axas_t *space = space_create(vmid);

	must(axas_map_alloc(space, GPA_RAM, MOVED_SIZE, AXAS_READ | AXAS_WRITE), "axas_map_alloc");
	must(axas_map_alloc(space, GPA_PROGRAM, PROGRAM_SIZE, AXAS_READ | AXAS_EXECUTE),
	     "axas_map_alloc");
	must(axas_write(space, GPA_PROGRAM, guest_program, PROGRAM_SIZE,
			AXAS_ACCESS_HOST | AXAS_ACCESS_CLEAN, NULL),
	     "axas_write");
	return space;
}

static axas_hw_regs_t registers_of(const axas_t *space)
{
	axas_hw_regs_t registers;

	must(axas_hw_regs(space, &registers), "axas_hw_regs");
	return registers;
}

axas_t *change_over(axas_t *to)
{
	axas_t *const from = moved.space;
	const axas_hw_regs_t registers = registers_of(to);

	vcpu_load(moved.vcpu, &registers);
	moved.space = to;
	return from;
}

static void handle_fault(const axas_fault_t *fault)
{
	const axas_fault_result_t verdict =
		axas_handle_page_fault(moved.space, fault->gpa, fault->access);

	if (verdict == AXAS_FAULT_WAIT && moved.fetch != NULL)
		moved.fetch(fault->gpa);
	else if (!axas_fault_resumes(verdict))
		give_up("a fault to which there is no answer");
}

/* Returns how many cells the guest found wrong. */
static uint64_t run(void)
{
	const axas_hw_regs_t registers = registers_of(moved.space);
	struct guest_exit exit;

	moved.vcpu = vcpu_start(&registers, GPA_PROGRAM + PROGRAM_ENTRY);
	for (;;) {
		vcpu_run(moved.vcpu, &exit);
		if (exit.reason == EXIT_FAULT) {
			handle_fault(&exit.fault);
		} else if (exit.reason != EXIT_HYPERCALL) {
			give_up("an unknown exit");
		} else if (exit.call == CALL_BURST) {
			after_burst(exit.argument);
			vcpu_finish_call(moved.vcpu);
		} else {
			vcpu_stop(moved.vcpu);
			return exit.argument;
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
	uint64_t wrong, missing;

	frames_init();
	frames_supply(&moved.hal);
	moved.hal.struct_size = sizeof(moved.hal);
	moved.config = (axas_config_t){ .struct_size = sizeof(moved.config),
					.levels = GUEST_LEVELS,
					.size = SPACE_SIZE,
					.vmid = 1 };
	machine_configure(&moved.config, &moved.hal);
	begin();
	wrong = run();
	finish();
	axas_destroy(moved.space);
	missing = frames_missing(AXAS_FRAME_TABLE) + frames_missing(AXAS_FRAME_GUEST);
	report("%lu cells are wrong, %lu frames missing\n", wrong, missing);
	report("%s\n", wrong == 0 && missing == 0 && frames_mistakes() == 0 ? "GOOD" : "BAD");
	machine_exit(wrong != 0 || missing != 0 || frames_mistakes() != 0);
}
