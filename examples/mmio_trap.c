/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Emulated devices: a UART and a counter that exist only in this program.
 *
 * axas_map_trap marks their pages with a number of the host's own, the cookie. Each access of the
 * guest then leaves it with a data abort; the cookie names the device, the syndrome says what the
 * instruction wanted, the device model does it, and the guest goes on behind the instruction.
 *
 * The vCPU here is a structure with registers, and the aborts are made up; in a hypervisor ESR_EL2,
 * FAR_EL2 and HPFAR_EL2 come from the CPU. All else is as it would be there.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "axaddrspace.h"

#define UART    UINT64_C(0x09000000) /* guest-physical */
#define COUNTER UINT64_C(0x09010000)
#define RAM     UINT64_C(0x40000000)

/* The part of a PL011 that a guest needs to print: data and flags. */
#define UART_DATA     0x000u
#define UART_FLAGS    0x018u
#define FLAG_TX_EMPTY (1u << 7)
#define FLAG_RX_EMPTY (1u << 4)

struct vcpu {
	uint64_t x[31];
	uint64_t pc;
};

/* What the instruction that trapped wanted, free of the architecture's encoding. */
struct access {
	uint64_t offset; /* from the device's first byte */
	axas_width_t bytes;
	uint32_t is_write;
	uint64_t value; /* of a store; for a load the device's answer */
};

struct device {
	const char *name;
	axas_mmio_range_t range;
	/* Returns 0 for an access that the device has no register for. */
	uint32_t (*access)(struct access *access);
};

static uint32_t uart_access(struct access *access)
{
	if (access->bytes > 4)
		return 0;
	if (access->offset == UART_DATA && access->is_write)
		putchar((int)(access->value & 0xff));
	else if (access->offset == UART_FLAGS && !access->is_write)
		access->value = FLAG_TX_EMPTY | FLAG_RX_EMPTY;
	else
		return 0;
	return 1;
}

/* 64 bits that go up by one with each read, readable in any width that is aligned; a write sets it. */
static uint32_t counter_access(struct access *access)
{
	static uint64_t count;

	if (access->offset + access->bytes > sizeof(count) || access->offset % access->bytes != 0)
		return 0;
	if (access->is_write) {
		if (access->bytes != sizeof(count))
			return 0;
		count = access->value;
	} else {
		access->value = count++ >> access->offset * 8;
	}
	return 1;
}

/* The cookie is the index: finding the device takes no search, and no device's address twice. */
static const struct device devices[] = {
	{ "uart", { UART, AXAS_PAGE_SIZE }, uart_access },
	{ "counter", { COUNTER, AXAS_PAGE_SIZE }, counter_access },
};

#define DEVICE_COUNT (sizeof(devices) / sizeof(devices[0]))

/* ESR_EL2 of a data abort: the fields that describe the instruction (Arm ARM, ESR_EL2). */
#define ESR_DATA_ABORT   (UINT64_C(0x24) << 26)
#define ESR_IL           (UINT64_C(1) << 25)
#define ESR_ISV          (UINT64_C(1) << 24) /* what follows is valid */
#define ESR_SAS_SHIFT    22 /* log2 of the width in bytes */
#define ESR_SSE          (UINT64_C(1) << 21) /* sign-extend what was loaded */
#define ESR_SRT_SHIFT    16 /* the register; 31 is the zero register */
#define ESR_SF           (UINT64_C(1) << 15) /* 64-bit register */
#define ESR_WNR          (UINT64_C(1) << 6) /* write */
#define ESR_TRANSLATION3 UINT64_C(7) /* translation fault at level 3 */

static uint32_t reg_of(uint64_t esr)
{
	return esr >> ESR_SRT_SHIFT & 31;
}

/* Returns 0 where hardware does not describe the instruction (a pair, an update of the base, SIMD). */
static uint32_t decode(const struct vcpu *vcpu, uint64_t esr, struct access *access)
{
	if (!(esr & ESR_ISV))
		return 0;
	access->bytes = 1u << (esr >> ESR_SAS_SHIFT & 3);
	access->is_write = (esr & ESR_WNR) != 0;
	access->value = reg_of(esr) == 31 ? 0 : vcpu->x[reg_of(esr)];
	access->value &= axas_width_mask(access->bytes);
	return 1;
}

/* The guest sees what a load of this width would leave in its register. */
static void finish_load(struct vcpu *vcpu, uint64_t esr, const struct access *access)
{
	const uint64_t mask = axas_width_mask(access->bytes);
	const uint64_t sign = mask ^ mask >> 1;
	uint64_t value = access->value & mask;

	if (esr & ESR_SSE && value & sign)
		value |= ~mask;
	if (!(esr & ESR_SF))
		value &= UINT32_MAX;
	if (reg_of(esr) != 31)
		vcpu->x[reg_of(esr)] = value;
}

/* Returns 0 when the guest has to get an abort of its own for this access. */
static uint32_t emulate(axas_t *as, struct vcpu *vcpu, uint64_t esr, axas_gpa_t gpa)
{
	const struct device *device;
	struct access access;
	uint64_t cookie;

	/* Another vCPU may have had the device unmapped since the verdict: let the access fault anew. */
	if (axas_trap_cookie(as, gpa, &cookie) != AXAS_OK)
		return 1;
	if (cookie >= DEVICE_COUNT || !decode(vcpu, esr, &access))
		return 0;
	/* The first byte is the device's; with the width it is known whether the last one is. */
	device = &devices[cookie];
	if (!axas_mmio_contains(&device->range, gpa, access.bytes))
		return 0;
	access.offset = gpa - device->range.gpa;
	if (!device->access(&access))
		return 0;
	if (!access.is_write)
		finish_load(vcpu, esr, &access);
	vcpu->pc += 4;
	return 1;
}

/* The exit handler for data and instruction aborts. */
static void handle_abort(axas_t *as, struct vcpu *vcpu, uint64_t esr, uint64_t far, uint64_t hpfar)
{
	axas_fault_t fault;
	axas_fault_result_t result = AXAS_FAULT_ERROR;

	if (axas_fault_from_arm(esr, far, hpfar, &fault) == AXAS_OK &&
	    fault.valid & AXAS_VALID_GPA && fault.kind <= AXAS_KIND_ACCESS_FLAG)
		result = axas_handle_page_fault(as, fault.gpa, fault.access);
	if (axas_fault_resumes(result))
		return;
	if (result == AXAS_FAULT_TRAP && emulate(as, vcpu, esr, fault.gpa))
		return;
	printf("  the guest gets an abort of its own: %s of 0x%" PRIx64 "\n",
	       fault.access & AXAS_WRITE ? "write" : "read", fault.gpa);
	vcpu->pc += 4; /* stands for: the vCPU goes on at its exception vector */
}

/* What CPU and guest would do: one load or store of `1 << log2` bytes with register x<reg>. */
static void guest_access(axas_t *as, struct vcpu *vcpu, axas_gpa_t gpa, uint32_t log2, uint32_t reg,
			 uint64_t bits)
{
	const uint64_t esr = ESR_DATA_ABORT | ESR_IL | bits | (uint64_t)log2 << ESR_SAS_SHIFT |
			     (uint64_t)reg << ESR_SRT_SHIFT | ESR_TRANSLATION3;

	handle_abort(as, vcpu, esr, gpa, gpa >> 12 << 4);
}

static void guest_print(axas_t *as, struct vcpu *vcpu, const char *text)
{
	for (; *text != '\0'; text++) {
		do
			guest_access(as, vcpu, UART + UART_FLAGS, 2, 1, ESR_ISV);
		while (!(vcpu->x[1] & FLAG_TX_EMPTY));
		vcpu->x[0] = (uint8_t)*text;
		guest_access(as, vcpu, UART + UART_DATA, 0, 0, ESR_ISV | ESR_WNR);
	}
}

static void run(axas_t *as)
{
	struct vcpu vcpu = { .pc = RAM };

	guest_print(as, &vcpu, "hello from a guest without a UART\n");

	vcpu.x[2] = UINT64_C(0x11223344556677fe);
	guest_access(as, &vcpu, COUNTER, 3, 2, ESR_ISV | ESR_WNR | ESR_SF);
	guest_access(as, &vcpu, COUNTER, 3, 3, ESR_ISV | ESR_SF);
	printf("  ldr   x3 = 0x%" PRIx64 "\n", vcpu.x[3]);
	guest_access(as, &vcpu, COUNTER, 0, 4, ESR_ISV);
	printf("  ldrb  w4 = 0x%" PRIx64 "\n", vcpu.x[4]);
	vcpu.x[2] = 0xfe;
	guest_access(as, &vcpu, COUNTER, 3, 2, ESR_ISV | ESR_WNR | ESR_SF);
	guest_access(as, &vcpu, COUNTER, 0, 5, ESR_ISV | ESR_SSE | ESR_SF);
	printf("  ldrsb x5 = 0x%" PRIx64 "\n", vcpu.x[5]);
	guest_access(as, &vcpu, COUNTER, 2, 31, ESR_ISV);
	guest_access(as, &vcpu, COUNTER, 1, 6, ESR_ISV);
	printf("  ldrh  w6 = 0x%" PRIx64 ", after a load that nobody looked at\n", vcpu.x[6]);

	guest_access(as, &vcpu, COUNTER, 2, 7, ESR_ISV | ESR_WNR); /* it takes 64 bits only */
	guest_access(as, &vcpu, UART + 0x800, 2, 7, ESR_ISV); /* no such register */
	guest_access(as, &vcpu, UART + AXAS_PAGE_SIZE - 2, 2, 7, ESR_ISV); /* half of it */
	guest_access(as, &vcpu, UART, 2, 0, ESR_WNR); /* the CPU does not describe it */
	guest_access(as, &vcpu, UART + AXAS_PAGE_SIZE, 2, 0, ESR_ISV); /* beside the device */
}

int main(void)
{
	static _Alignas(AXAS_PAGE_SIZE) unsigned char memory[16 * AXAS_PAGE_SIZE];
	const axas_config_t cfg = {
		.struct_size = sizeof(cfg),
		.format = AXAS_FORMAT_ARM_S2,
		.size = UINT64_C(1) << 32,
		.vmid = 1,
	};
	axas_hal_t hal = { .struct_size = sizeof(hal), .flags = AXAS_HAL_BUILTIN_FLUSH };
	axas_arena_t arena;
	axas_stats_t stats;
	axas_t *as;

	if (axas_arena_init(&arena) || axas_arena_add(&arena, memory, 0x40000000, sizeof(memory)) ||
	    axas_arena_hal(&arena, &hal) || axas_create(&cfg, &hal, &as))
		return 1;
	for (size_t i = 0; i < DEVICE_COUNT; i++) {
		const axas_mmio_range_t *range = &devices[i].range;

		if (axas_map_trap(as, range->gpa, range->size, i))
			return 1;
		printf("%-7s at 0x%08" PRIx64 ", cookie %zu\n", devices[i].name, range->gpa, i);
	}
	run(as);
	if (axas_stats(as, &stats))
		return 1;
	printf("%" PRIu64 " traps, %" PRIu64 " unmapped, %" PRIu64 " frames of guest memory\n",
	       stats.faults_trap, stats.faults_unmapped, stats.guest_frames);
	axas_destroy(as);
	return 0;
}
