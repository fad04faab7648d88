/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One Linux from its start to its end: its vCPUs, its faults. */
#include "linux.h"

#include <stddef.h>

#include "machine.h"
#include "report.h"

#define GUEST_VMID 1

static axas_t *space;
static axas_stats_t loaded; /* what was counted before the guest ran */

static void handle_fault(const struct guest_exit *exit)
{
	const axas_fault_t *fault = &exit->fault;
	axas_fault_result_t verdict;

	/* The other kinds are not about what is mapped: a broken table, a broken bus. */
	if (fault->kind != AXAS_KIND_TRANSLATION && fault->kind != AXAS_KIND_PERMISSION &&
	    fault->kind != AXAS_KIND_ACCESS_FLAG)
		give_up("a fault of a kind that stage 2 does not answer");
	verdict = axas_handle_page_fault(space, fault->gpa, fault->access);
	if (axas_fault_resumes(verdict))
		return;
	report("\npc 0x%lx, %s of 0x%lx: %s\n", exit->pc, access_name(fault->access), fault->gpa,
	       verdict_name(verdict));
	give_up("the guest is not to touch that, or there is no memory for it");
}

void vcpu_main(struct vcpu *vcpu)
{
	axas_hw_regs_t registers;
	struct guest_exit exit;

	cpu_open();
	must(axas_hw_regs(space, &registers), "axas_hw_regs");
	cpu_load(&registers);
	for (;;) {
		vcpu_run(vcpu, &exit);
		if (exit.reason == EXIT_HYPERCALL) {
			psci_call(vcpu);
		} else if (exit.reason == EXIT_FAULT) {
			handle_fault(&exit);
		} else if (exit.reason != EXIT_GONE) {
			report("\npc 0x%lx, ESR_EL2 0x%lx\n", exit.pc, exit.syndrome);
			give_up("an exit that nobody knows");
		}
	}
}

void vcpu_close(void)
{
	cpu_unload();
}

void guest_is_off(void)
{
	axas_stats_t stats;

	report("\nThe guest is off; what the library counted meanwhile\n");
	must(axas_stats(space, &stats), "axas_stats");
	/* A page that axas_write took in is counted as a fault. */
	stats.faults_resolved -= loaded.faults_resolved;
	report_stats(&stats);
	report("  %lu pages taken in by faults, %lu before\n",
	       stats.guest_frames - loaded.guest_frames, loaded.guest_frames);
	space_destroy(space, GUEST_VMID);
	report("axas_audit found nothing; axas_destroy, and the frame allocator's books\n");
	report_books();
	machine_exit(0);
}

void hypervisor_main(void)
{
	struct vcpu *vcpu = psci_boot_vcpu();

	frames_init();
	space = space_create(GUEST_VMID);
	space_load(space, vcpu);
	must(axas_stats(space, &loaded), "axas_stats");
	vcpu_main(vcpu);
}
