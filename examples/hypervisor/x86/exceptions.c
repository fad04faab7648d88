/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Exceptions of the hypervisor itself, of which each is the end. */
#include <stddef.h>
#include <stdint.h>

#include "machine.h"
#include "report.h"
#include "x86/cpu.h"
#include "x86/selectors.h"

#define GATE_INTERRUPT 0x8e00

struct gate {
	uint16_t offset_low;
	uint16_t selector;
	uint16_t attributes;
	uint16_t offset_middle;
	uint32_t offset_high;
	uint32_t reserved;
};

static struct gate gates[VECTOR_COUNT] __attribute__((aligned(16)));

/* In and from boot.S. */
extern const uint8_t exception_entries[VECTOR_COUNT][VECTOR_BYTES];
void exceptions_on(void);
_Noreturn void host_exception(uint64_t vector, uint64_t error, uint64_t pc, uint64_t address);

void exceptions_on(void)
{
	struct descriptor_table table = { sizeof(gates) - 1, (uintptr_t)gates };

	for (size_t i = 0; i < VECTOR_COUNT; i++) {
		uintptr_t entry = (uintptr_t)exception_entries[i];

		gates[i] = (struct gate){
			.offset_low = (uint16_t)entry,
			.selector = SELECTOR_CODE,
			.attributes = GATE_INTERRUPT,
			.offset_middle = (uint16_t)(entry >> 16),
			.offset_high = (uint32_t)(entry >> 32),
		};
	}
	__asm__ volatile("lidt %0" ::"m"(table) : "memory");
}

void host_exception(uint64_t vector, uint64_t error, uint64_t pc, uint64_t address)
{
	report("\nBAD: exception %lu in the host: error 0x%lx, pc 0x%lx, address 0x%lx\n", vector,
	       error, pc, address);
	machine_exit(2);
}
