/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The guest's space, what is loaded into it, its faults, and the end. */
#include "linux.h"

#include <stddef.h>

#include "frames.h"
#include "machine.h"
#include "report.h"

#define GUEST_VMID 1

/* QEMU's virt machine without highmem: everything lies below 4 GiB. */
#define SPACE_SIZE 0x100000000
#define RAM_GPA    0x40000000
#define RAM_SIZE   UINT64_C(0x20000000) /* run.py asks QEMU for a device tree with as much */

/* What is the guest's as it is. No device here writes memory by itself: it would use host addresses. */
static const struct {
	axas_gpa_t gpa;
	uint64_t size;
} devices[] = {
	{ 0x08000000, 0x1000000 }, /* GICv3: distributor, redistributors */
	{ 0x09000000, 0x1000 }, /* PL011, a UART */
	{ 0x09010000, 0x1000 }, /* PL031, a clock */
	{ 0x09030000, 0x1000 }, /* PL061, the power button */
	{ 0x3f000000, 0x1000000 }, /* PCIe configuration: a host bridge alone */
};

/* What run.py has QEMU put into memory, and where the guest is to find it. */
struct blob {
	uint64_t hpa;
	axas_gpa_t gpa;
	uint64_t bytes;
};

struct blobs {
	struct blob kernel;
	struct blob initramfs;
	struct blob device_tree;
};

static const struct blobs *const blobs = (const struct blobs *)0x42000000;

static axas_t *space;
static axas_stats_t loaded; /* what was counted before the guest ran */

void give_up(const char *why)
{
	report("\nBAD: %s\n", why);
	machine_exit(1);
}

static void must(axas_status_t status, const char *call)
{
	if (status == AXAS_OK)
		return;
	report("\n%s: %s\n", call, axas_status_str(status));
	give_up("a call of the library failed");
}

static void create_space(void)
{
	axas_config_t config = {
		.struct_size = sizeof(config),
		.levels = GUEST_LEVELS,
		.size = SPACE_SIZE,
		.vmid = GUEST_VMID,
	};
	axas_hal_t hal = { .struct_size = sizeof(hal) };

	frames_init();
	frames_supply(&hal);
	machine_configure(&config, &hal);
	must(axas_create(&config, &hal, &space), "axas_create");
	must(axas_map_alloc(space, RAM_GPA, RAM_SIZE, AXAS_READ | AXAS_WRITE | AXAS_EXECUTE),
	     "axas_map_alloc");
	for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++)
		must(axas_map_linear(space, devices[i].gpa, devices[i].gpa, devices[i].size,
				     AXAS_READ | AXAS_WRITE | AXAS_DEVICE),
		     "axas_map_linear");
}

/* The guest starts with its caches off, so what it finds has to be in memory: ACCESS_CLEAN. */
static void load(const char *name, const struct blob *blob)
{
	must(axas_write(space, blob->gpa, (const void *)blob->hpa, blob->bytes, AXAS_ACCESS_CLEAN,
			NULL),
	     name);
	report("  %-12s 0x%lx, %lu KiB\n", name, blob->gpa, blob->bytes >> 10);
}

static void load_guest(void)
{
	uint64_t start = clock_us();

	load("kernel", &blobs->kernel);
	load("initramfs", &blobs->initramfs);
	load("device tree", &blobs->device_tree);
	must(axas_stats(space, &loaded), "axas_stats");
	report("  loaded in %lu ms: %lu of the %lu pages of RAM taken in\n",
	       (clock_us() - start) / 1000, loaded.guest_frames, RAM_SIZE / AXAS_PAGE_SIZE);
}

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

	must(axas_hw_regs(space, &registers), "axas_hw_regs");
	cpu_open(&registers);
	for (;;) {
		vcpu_run(vcpu, &exit);
		if (exit.reason == EXIT_HYPERCALL) {
			psci_call(vcpu);
		} else if (exit.reason == EXIT_FAULT) {
			handle_fault(&exit);
		} else {
			report("\npc 0x%lx, ESR_EL2 0x%lx\n", exit.pc, exit.syndrome);
			give_up("an exit that nobody knows");
		}
	}
}

static uint64_t frames_missing(uint32_t purpose)
{
	return frames_books(purpose)->taken - frames_books(purpose)->returned;
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
	must(axas_audit(space), "axas_audit");
	axas_destroy(space);
	report("axas_audit found nothing; axas_destroy, and the frame allocator's books\n");
	report_books();
	if (frames_missing(AXAS_FRAME_TABLE) != 0 || frames_missing(AXAS_FRAME_GUEST) != 0)
		give_up("frames are missing");
	machine_exit(0);
}

void hypervisor_main(void)
{
	axas_hw_regs_t registers;
	struct vcpu *vcpu = psci_boot_vcpu();

	if (blobs->kernel.bytes == 0)
		give_up("no kernel in memory; run.py starts this");
	create_space();
	must(axas_hw_regs(space, &registers), "axas_hw_regs");
	report("AArch64 EL2 with Linux at EL1, whose memory axaddrspace manages\n");
	report("  VTTBR_EL2 0x%016lx, VTCR_EL2 0x%016lx: %u levels, %u bits\n",
	       registers.root_register, registers.control_register, registers.levels,
	       registers.gpa_bits);
	load_guest();
	vcpu_reset(vcpu, blobs->kernel.gpa, blobs->device_tree.gpa);
	vcpu_main(vcpu);
}
