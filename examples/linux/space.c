/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A space for the guest, and what is loaded into it. */
#include <stddef.h>

#include "linux.h"
#include "machine.h"
#include "report.h"

/* QEMU's virt machine without highmem: everything lies below 4 GiB. */
#define SPACE_SIZE 0x100000000

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

/* What boot.py has QEMU put into memory, and where the guest is to find it. */
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

void give_up(const char *why)
{
	report("\nBAD: %s\n", why);
	machine_exit(1);
}

void must(axas_status_t status, const char *call)
{
	if (status == AXAS_OK)
		return;
	report("\n%s: %s\n", call, axas_status_str(status));
	give_up("a call of the library failed");
}

axas_t *space_create(uint32_t vmid)
{
	axas_config_t config = {
		.struct_size = sizeof(config),
		.levels = GUEST_LEVELS,
		.size = SPACE_SIZE,
		.vmid = vmid,
	};
	axas_hal_t hal = { .struct_size = sizeof(hal) };
	axas_t *space;

	frames_supply_vmid(&hal, vmid);
	machine_configure(&config, &hal);
	must(axas_create(&config, &hal, &space), "axas_create");
	must(axas_map_alloc(space, RAM_GPA, RAM_SIZE, AXAS_READ | AXAS_WRITE | AXAS_EXECUTE),
	     "axas_map_alloc");
	for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++)
		must(axas_map_linear(space, devices[i].gpa, devices[i].gpa, devices[i].size,
				     AXAS_READ | AXAS_WRITE | AXAS_DEVICE),
		     "axas_map_linear");
	return space;
}

/* The guest starts with its caches off, so what it finds has to be in memory: ACCESS_CLEAN. */
static void load(axas_t *space, const char *name, const struct blob *blob)
{
	must(axas_write(space, blob->gpa, (const void *)blob->hpa, blob->bytes, AXAS_ACCESS_CLEAN,
			NULL),
	     name);
	report("  %-12s 0x%lx, %lu KiB\n", name, blob->gpa, blob->bytes >> 10);
}

void space_load(axas_t *space, struct vcpu *vcpu)
{
	uint64_t start = clock_us();
	axas_hw_regs_t registers;
	axas_stats_t stats;

	if (blobs->kernel.bytes == 0)
		give_up("no kernel in memory; run.py starts this");
	must(axas_hw_regs(space, &registers), "axas_hw_regs");
	report("AArch64 EL2 with Linux at EL1, whose memory axaddrspace manages\n");
	report("  VTTBR_EL2 0x%016lx, VTCR_EL2 0x%016lx: %u levels, %u bits\n",
	       registers.root_register, registers.control_register, registers.levels,
	       registers.gpa_bits);
	load(space, "kernel", &blobs->kernel);
	load(space, "initramfs", &blobs->initramfs);
	load(space, "device tree", &blobs->device_tree);
	must(axas_stats(space, &stats), "axas_stats");
	report("  loaded in %lu ms: %lu of the %lu pages of RAM taken in\n",
	       (clock_us() - start) / 1000, stats.guest_frames, RAM_SIZE / AXAS_PAGE_SIZE);
	vcpu_reset(vcpu, blobs->kernel.gpa, blobs->device_tree.gpa);
}

void space_destroy(axas_t *space, uint32_t vmid)
{
	must(axas_audit(space), "axas_audit");
	axas_destroy(space);
	if (frames_out(vmid) != 0)
		give_up("frames are missing");
}
