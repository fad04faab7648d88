/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Intel VMX in Bochs: one vCPU in 64-bit mode under EPT.
 *
 * The hypervisor is in VMX root operation from its first call of the library to the end: that is
 * where the library's own INVEPT may be executed.
 */
#include <stddef.h>
#include <stdint.h>

#include "layout.h"
#include "machine.h"
#include "report.h"
#include "selectors.h"
#include "vcpu.h"
#include "vmx.h"
#include "x86/guest_paging.h"
#include "x86/mov.h"

/* Bochs' own ports: a character to the person, and a word that ends the emulation. */
#define PORT_CONSOLE  0xe9
#define PORT_SHUTDOWN 0x8900

#define GATE_INTERRUPT 0x8e

struct gate {
	uint16_t offset_low, selector;
	uint8_t stack, type;
	uint16_t offset_middle;
	uint32_t offset_high, reserved;
};

const struct machine machine = {
	.name = "Intel VMX",
	.guest_level = "ring 0",
	.root_name = "EPTP",
	.uart = AXAS_HPA_INVALID,
};

static struct gate gates[VECTOR_COUNT];
static struct vcpu the_vcpu;

extern const uint8_t host_vectors[VECTOR_COUNT][VECTOR_BYTES];

void host_vectors_install(void);
_Noreturn void host_exception(uint64_t vector, uint64_t error, uint64_t pc, uint64_t address);

static void write_port(uint16_t port, char byte)
{
	__asm__ volatile("outb %0, %1" ::"a"(byte), "Nd"(port));
}

void console_put(char character)
{
	write_port(PORT_CONSOLE, character);
}

/* Bochs always ends with 1, so the code goes to run.sh as a last line. */
void machine_exit(uint32_t code)
{
	report("exit code %u\n", code);
	for (const char *word = "Shutdown"; *word != '\0'; word++)
		write_port(PORT_SHUTDOWN, *word);
	for (;;)
		__asm__ volatile("hlt");
}

void host_vectors_install(void)
{
	struct __attribute__((packed)) {
		uint16_t limit;
		uint64_t base;
	} table = { sizeof(gates) - 1, (uint64_t)(uintptr_t)gates };

	for (size_t i = 0; i < VECTOR_COUNT; i++) {
		uint64_t offset = (uint64_t)(uintptr_t)host_vectors[i];

		gates[i] = (struct gate){
			.offset_low = (uint16_t)offset,
			.selector = SELECTOR_CODE,
			.type = GATE_INTERRUPT,
			.offset_middle = (uint16_t)(offset >> 16),
			.offset_high = (uint32_t)(offset >> 32),
		};
	}
	__asm__ volatile("lidt %0" ::"m"(table));
}

/* A fault of the hypervisor itself. */
void host_exception(uint64_t vector, uint64_t error, uint64_t pc, uint64_t address)
{
	report("\nBAD: exception %lu in the hypervisor: error 0x%lx, pc 0x%lx, address 0x%lx\n",
	       vector, error, pc, address);
	machine_exit(2);
}

void machine_configure(axas_config_t *config, axas_hal_t *hal)
{
	uint64_t ept;

	vmx_on();
	ept = read_msr(MSR_VMX_EPT);
	if (ept & EPT_1G_PAGES)
		config->features |= AXAS_FEATURE_1G_PAGES;
	if (ept & EPT_EXECUTE_ONLY)
		config->features |= AXAS_FEATURE_EPT_EXECUTE_ONLY;
	if (ept & EPT_AD)
		config->features |= AXAS_FEATURE_EPT_AD;
	/* One CPU runs this space, so the library's own INVEPT reaches all of them. */
	hal->flags |= AXAS_HAL_BUILTIN_FLUSH;
}

axas_status_t machine_map(axas_t *space)
{
	return guest_paging_map(space);
}

struct vcpu *vcpu_start(const axas_hw_regs_t *registers, axas_gpa_t pc)
{
	vmcs_load(registers->root_register, GPA_GUEST_TABLES, pc);
	the_vcpu = (struct vcpu){ .pc = pc };
	return &the_vcpu;
}

void vcpu_stop(struct vcpu *vcpu)
{
	(void)vcpu;
	vmcs_unload();
}

static uint32_t decode_fault(uint32_t reason, axas_fault_t *fault)
{
	return axas_fault_from_ept(reason, vmcs_read(VMCS_EXIT_QUALIFICATION),
				   vmcs_read(VMCS_GUEST_PHYSICAL_ADDRESS), fault) == AXAS_OK &&
	       (fault->valid & AXAS_VALID_GPA) && (fault->valid & AXAS_VALID_ACCESS);
}

void vcpu_run(struct vcpu *vcpu, struct guest_exit *exit)
{
	uint32_t reason;

	vmcs_write(VMCS_GUEST_RIP, vcpu->pc);
	vmcs_write(VMCS_GUEST_RSP, vcpu->registers[REGISTER_RSP]);
	exit->reason = EXIT_UNKNOWN;
	exit->pc = vcpu->pc;
	if (!guest_enter(vcpu)) {
		exit->syndrome = vmcs_read(VMCS_INSTRUCTION_ERROR);
		return;
	}
	vcpu->pc = vmcs_read(VMCS_GUEST_RIP);
	vcpu->registers[REGISTER_RSP] = vmcs_read(VMCS_GUEST_RSP);

	reason = (uint32_t)vmcs_read(VMCS_EXIT_REASON);
	exit->pc = vcpu->pc;
	exit->syndrome = reason;
	switch (reason) {
	case EXIT_REASON_VMCALL:
		exit->reason = EXIT_HYPERCALL;
		exit->call = vcpu->registers[REGISTER_RDI];
		exit->argument = vcpu->registers[REGISTER_RSI];
		break;
	case EXIT_REASON_EPT_VIOLATION:
		if (decode_fault(reason, &exit->fault))
			exit->reason = EXIT_FAULT;
		break;
	default:
		/* A misconfigured entry too: no access of the guest's is at fault. */
		break;
	}
}

void vcpu_finish_call(struct vcpu *vcpu)
{
	vcpu->pc += vmcs_read(VMCS_EXIT_INSTRUCTION_BYTES);
}

uint32_t vcpu_decode_access(const struct vcpu *vcpu, struct guest_access *access)
{
	struct mov32 mov;

	if (!mov32_decode(vcpu->pc, &mov))
		return 0;
	access->is_write = mov.is_write;
	access->bytes = sizeof(uint32_t);
	access->value = mov.is_write ? (uint32_t)vcpu->registers[mov.register_number] : 0;
	return 1;
}

void vcpu_finish_access(struct vcpu *vcpu, const struct guest_access *access)
{
	struct mov32 mov;

	if (!mov32_decode(vcpu->pc, &mov))
		return;
	/* 32 bits into a register of 64 clear the others. */
	if (!access->is_write)
		vcpu->registers[mov.register_number] = (uint32_t)access->value;
	vcpu->pc += mov.length;
}

void vcpu_refuse(struct vcpu *vcpu, axas_fault_result_t verdict)
{
	vcpu->registers[REGISTER_RDX] = verdict;
	vcpu->pc = GPA_PROGRAM + PROGRAM_REFUSED;
}
