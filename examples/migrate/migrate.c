/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Linux on two vCPUs, and what it wants of the hypervisor while its memory moves. */
#include "migrate.h"

#include <stddef.h>

#include "machine.h"
#include "report.h"

#define FIRST_VMID     1
#define CONTROL_COOKIE 1
#define VERDICTS       (AXAS_FAULT_ERROR + 1)

static uint64_t verdicts[VERDICTS]; /* in all spaces: the counters of one go with it */

axas_t *guest_space_create(uint32_t vmid)
{
	axas_t *space = space_create(vmid);

	must(axas_map_trap(space, CONTROL_GPA, AXAS_PAGE_SIZE, CONTROL_COOKIE), "axas_map_trap");
	return space;
}

static void control(struct vcpu *vcpu)
{
	struct guest_access access;

	if (!vcpu_decode_access(vcpu, &access))
		give_up("an instruction at the control device that the CPU does not describe");
	if (access.is_write)
		moves_begin(access.value);
	else
		access.value = moves_left();
	vcpu_finish_access(vcpu, &access);
}

static void handle_fault(struct vcpu *vcpu, axas_t *space, const struct guest_exit *exit)
{
	const axas_fault_t *fault = &exit->fault;
	axas_fault_result_t verdict;

	/* The other kinds are not about what is mapped: a broken table, a broken bus. */
	if (fault->kind != AXAS_KIND_TRANSLATION && fault->kind != AXAS_KIND_PERMISSION &&
	    fault->kind != AXAS_KIND_ACCESS_FLAG)
		give_up("a fault of a kind that stage 2 does not answer");
	verdict = axas_handle_page_fault(space, fault->gpa, fault->access);
	if (verdict < VERDICTS)
		__atomic_fetch_add(&verdicts[verdict], 1, __ATOMIC_RELAXED);
	if (axas_fault_resumes(verdict))
		return;
	if (verdict == AXAS_FAULT_TRAP) {
		control(vcpu);
	} else if (verdict != AXAS_FAULT_DENIED || !vcpu_wait_if_frozen(space)) {
		report("\npc 0x%lx, %s of 0x%lx: %s\n", exit->pc, access_name(fault->access),
		       fault->gpa, verdict_name(verdict));
		give_up("the guest is not to touch that, or there is no memory for it");
	}
}

void vcpu_main(struct vcpu *vcpu)
{
	struct guest_exit exit;

	cpu_open();
	vcpu_enter_space();
	for (;;) {
		axas_t *space = vcpu_space();

		vcpu_run(vcpu, &exit);
		if (exit.reason == EXIT_HYPERCALL) {
			psci_call(vcpu);
		} else if (exit.reason == EXIT_FAULT) {
			handle_fault(vcpu, space, &exit);
		} else if (exit.reason != EXIT_GONE) {
			report("\npc 0x%lx, ESR_EL2 0x%lx\n", exit.pc, exit.syndrome);
			give_up("an exit that nobody knows");
		}
	}
}

static void report_verdicts(void)
{
	report("  faults in all spaces:");
	for (axas_fault_result_t verdict = 0; verdict < VERDICTS; verdict++)
		report("%s %lu %s", verdict == 0 ? "" : ",", verdicts[verdict],
		       verdict_name(verdict));
	report("\n");
}

void guest_is_off(void)
{
	axas_stats_t stats;
	uint32_t vmid;

	if (moves_left() != 0)
		give_up("the guest went off while it was moved");
	report("\nThe guest is off; its moves, with the pages of each round\n");
	vmid = moves_report();
	report_verdicts();
	must(axas_stats(current_space(), &stats), "axas_stats");
	report("The last space\n");
	report_stats(&stats);
	space_destroy(current_space(), vmid);
	report("axas_audit found nothing; axas_destroy, and the frame allocator's books of all spaces\n");
	report_books();
	machine_exit(0);
}

void hypervisor_main(void)
{
	struct vcpu *vcpu = psci_boot_vcpu();

	frames_init();
	switch_to(guest_space_create(FIRST_VMID));
	space_load(current_space(), vcpu);
	vcpu_main(vcpu);
}
