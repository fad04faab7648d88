/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Intel VMX in Bochs: one vCPU in 64-bit mode under EPT.
 *
 * The hypervisor is in VMX root operation from its first call of the library to the end: that is
 * where the library's own INVEPT may be executed.
 */
#include <stdint.h>

#include "machine.h"
#include "vcpu.h"
#include "vmx.h"
#include "x86/guest_paging.h"

const struct machine machine = {
	.name = "Intel VMX",
	.guest_level = "ring 0",
	.root_name = "EPTP",
	.uart = AXAS_HPA_INVALID,
};

static struct vcpu the_vcpu;

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

struct vcpu *vcpu_start(const axas_hw_regs_t *registers, axas_gpa_t pc)
{
	vmcs_load(registers->root_register, GPA_GUEST_TABLES, pc);
	the_vcpu = (struct vcpu){ .pc = pc };
	return &the_vcpu;
}

/* What the CPU holds of a space belongs to its EPTP. */
void vcpu_load(struct vcpu *vcpu, const axas_hw_regs_t *registers)
{
	(void)vcpu;
	vmcs_write(VMCS_EPT_POINTER, registers->root_register);
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
