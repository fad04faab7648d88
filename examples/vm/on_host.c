/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The VM on the host: a vCPU whose instructions are calls of the functions below, and whose MMU is
 * this file's own. It reads the tables as hardware would (Intel SDM vol. 3C, "The Extended Page Table
 * Mechanism"), keeps no translation, and leaves the guest with an exit reason and a qualification.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "devices.h"
#include "frames.h"
#include "guest.h"
#include "layout.h"
#include "report.h"
#include "vm.h"

#define EPT_VIOLATION 48
#define EPT_ADDRESS   0x000ffffffffff000
#define EPT_LARGE     (1u << 7)
#define EPT_MAY       7u /* read, write, execute, as AXAS_READ and so on */

/* Exit qualification: bits 2:0 what was wanted, 5:3 what the tables allow, 8 not a table walk. */
#define MAY_SHIFT  3
#define NOT_A_WALK (1u << 8)

/* A real device on the host's bus: what is written to it appears on the screen. */
#define UART_PA 0xfe000000

static struct vm vm;
static uint32_t reset_wanted;

void console_put(char character)
{
	putchar(character);
}

/* Returns what the guest may do at this address, and where it is. */
static uint32_t walk(axas_hpa_t root, axas_gpa_t gpa, axas_hpa_t *hpa)
{
	axas_hpa_t table = root & EPT_ADDRESS;
	uint32_t may = EPT_MAY;

	for (uint32_t shift = 39;; shift -= 9) {
		const uint64_t *entries = (const uint64_t *)(uintptr_t)table;
		const uint64_t entry = entries[gpa >> shift & 511];
		const uint64_t offset = gpa & ((UINT64_C(1) << shift) - 1);

		may &= (uint32_t)entry;
		if (may == 0)
			return 0;
		table = entry & EPT_ADDRESS;
		if (shift == 12 || (entry & EPT_LARGE)) {
			*hpa = (table & ~((UINT64_C(1) << shift) - 1)) + offset;
			return may;
		}
	}
}

/* One load or store on the bus. */
static void bus(axas_hpa_t hpa, struct guest_access *access)
{
	if (hpa == UART_PA) {
		console_put((char)access->value);
	} else if (access->bytes == sizeof(uint32_t)) {
		volatile uint32_t *word = (volatile uint32_t *)(uintptr_t)hpa;

		if (access->is_write)
			*word = (uint32_t)access->value;
		else
			access->value = *word;
	} else {
		volatile uint64_t *word = (volatile uint64_t *)(uintptr_t)hpa;

		if (access->is_write)
			*word = access->value;
		else
			access->value = *word;
	}
}

/* Runs one instruction of the guest to its end; returns 0 when it was refused. */
static uint32_t execute(axas_gpa_t gpa, struct guest_access *access)
{
	const uint32_t wanted = access->is_write ? AXAS_WRITE : AXAS_READ;

	for (;;) {
		enum vm_next next = VM_STOP;
		axas_hw_regs_t registers;
		axas_fault_t fault;
		axas_hpa_t hpa;
		uint32_t may;

		if (axas_hw_regs(vm.space, &registers) != AXAS_OK)
			exit(1);
		may = walk(registers.root_register, gpa, &hpa);
		if (may & wanted) {
			bus(hpa, access);
			return 1;
		}
		if (axas_fault_from_ept(EPT_VIOLATION, wanted | may << MAY_SHIFT | NOT_A_WALK, gpa,
					&fault) == AXAS_OK)
			next = vm_fault(&vm, &fault);
		if (next == VM_EMULATE)
			next = vm_emulate(&vm, gpa, access);
		if (next == VM_STEP || next == VM_REFUSE)
			return next == VM_STEP;
		if (next != VM_RESUME)
			exit(1);
	}
}

/* The instructions. */

uint32_t guest_load32(uint64_t address)
{
	struct guest_access access = { .bytes = sizeof(uint32_t) };

	return execute(address, &access) ? (uint32_t)access.value : 0;
}

void guest_store32(uint64_t address, uint32_t value)
{
	struct guest_access access = { 1, sizeof(value), value };

	(void)execute(address, &access);
}

struct guest_outcome guest_try_read(uint64_t address)
{
	struct guest_access access = { .bytes = sizeof(uint64_t) };
	uint32_t done = execute(address, &access);

	return (struct guest_outcome){ access.value, !done };
}

struct guest_outcome guest_try_write(uint64_t address, uint64_t value)
{
	struct guest_access access = { 1, sizeof(value), value };
	uint32_t done = execute(address, &access);

	return (struct guest_outcome){ 0, !done };
}

void guest_put(char character)
{
	guest_store32(GPA_CONSOLE, (uint8_t)character);
}

void guest_call(uint64_t call, uint64_t argument)
{
	(void)argument;
	reset_wanted = call == CALL_RESET;
}

/* A CPU would begin at the image's first byte; here the guest's code is linked to the host's. */
static uint64_t run(void)
{
	uint64_t failures = guest_main();

	if (!reset_wanted)
		return failures;
	if (vm_reset(&vm) != AXAS_OK)
		exit(1);
	return failures + guest_main();
}

/* One vCPU without a TLB: there is never a stale translation. */
static void tlb_flush(void *ctx, const axas_tlb_request_t *request)
{
	(void)ctx;
	(void)request;
}

int main(void)
{
	static const char image[] = "a program that nobody fetches";
	static struct vm_config config = {
		.space = { .struct_size = sizeof(config.space),
			   .format = AXAS_FORMAT_EPT,
			   .levels = 4,
			   .size = SPACE_SIZE },
		.hal = { .struct_size = sizeof(config.hal), .tlb_flush = tlb_flush },
		.device = UART_PA,
		.image = image,
		.image_bytes = sizeof(image),
	};

	frames_init();
	frames_supply(&config.hal);
	if (vm_create(&vm, &config) != AXAS_OK)
		return 1;
	report("A VM and a guest at its devices\n");
	return (int)vm_finish(&vm, run());
}
