/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Intel in Bochs, on top of examples/hypervisor/intel. */
#include "layer.h"

#include <stddef.h>

#include "guest.h"
#include "layout.h"
#include "suite.h"
#include "vcpu.h"
#include "vmx.h"
#include "x86/x86.h"

#define CR4_VMXE          (UINT64_C(1) << 13)
#define PIN_NMI_EXITING   (1u << 3)
#define EXIT_REASON_EVENT 0
#define EXIT_INFO_FIELD   ((enum vmcs_field)0x4404)
#define EVENT_MASK        0x7ff
#define EVENT_NMI         0x202 /* type and vector */
#define INVEPT_ALL        2

/* Page-modification logging: a page of addresses, filled from its end. */
#define SECONDARY_PML (1u << 17)
#define PML_ADDRESS   ((enum vmcs_field)0x200e)
#define PML_INDEX     ((enum vmcs_field)0x0812)
#define PML_ENTRIES   512

static uint32_t page_log_begin(void);
static uint64_t page_log_take(void);

struct layer layer = {
	.format = AXAS_FORMAT_EPT,
	.root_bytes = 4096,
	.tells_permission = 1,
	.exact_fetch = 1,
	.sets_accessed = 1,
	.has_builtin_flush = 1,
	.builtin_reaches_all = 0,
	/* The manual allows both bits for a read-modify-write; Bochs sets the one. */
	.atomic_absent = AXAS_WRITE,
	.atomic_read_only = AXAS_WRITE,
	.huge_options = AXAS_NO_ZERO,
	/* With accessed and dirty bits a walk counts as a writer of the guest's tables. */
	.walk_access = AXAS_READ | AXAS_WRITE,
	.walk_writes = 1,
	/* Bochs lets the CPUs run in turns. */
	.stage1_levels = 4,
	.page_log_begin = page_log_begin,
	.page_log_take = page_log_take,
};

static struct vcpu vcpus[CPU_COUNT];
static uint32_t second_is_on;

/* vmcs.c again, with regions of its own: second_vmcs.h gives its functions these names. */
void second_vmx_on(void);
void second_vmcs_load(uint64_t ept_pointer, uint64_t cr3, uint64_t pc);
void second_vmcs_unload(void);

uint64_t layer_boot_cr4(uint64_t cr4)
{
	return cr4 & ~CR4_VMXE;
}

void layer_probe(void)
{
	uint64_t ept;

	vmx_on();
	ept = read_msr(MSR_VMX_EPT);
	if (ept & EPT_1G_PAGES)
		layer.features |= AXAS_FEATURE_1G_PAGES;
	if (ept & EPT_EXECUTE_ONLY)
		layer.features |= AXAS_FEATURE_EPT_EXECUTE_ONLY;
	if (ept & EPT_AD)
		layer.features |= AXAS_FEATURE_EPT_AD;
	layer.space_size = UINT64_C(1) << 48;
	/* The guest's own entries have no wider addresses. */
	layer.reach = UINT64_C(1) << REACH_BITS;
}

static uint64_t page_log[PML_ENTRIES] __attribute__((aligned(AXAS_PAGE_SIZE)));
/* The entry that is taken next. */
static uint64_t page_log_place;

static void page_log_empty(void)
{
	page_log_place = PML_ENTRIES - 1;
	vmcs_write(PML_INDEX, page_log_place);
}

static uint32_t page_log_begin(void)
{
	if (!(read_msr(MSR_VMX_SECONDARY) >> 32 & SECONDARY_PML))
		return 0;
	vmcs_write(PML_ADDRESS, (uintptr_t)page_log);
	page_log_empty();
	vmcs_write(VMCS_SECONDARY_CONTROLS, vmcs_read(VMCS_SECONDARY_CONTROLS) | SECONDARY_PML);
	return 1;
}

static uint64_t page_log_take(void)
{
	if (page_log_place != vmcs_read(PML_INDEX))
		return page_log[page_log_place--];
	page_log_empty();
	return UINT64_MAX;
}

axas_status_t layer_expected_status(axas_flags_t flags, uint32_t features)
{
	const axas_flags_t never = AXAS_DEVICE_NGNRNE | AXAS_DEVICE_NGRE | AXAS_DEVICE_GRE;

	if (!(flags & (AXAS_READ | AXAS_WRITE | AXAS_EXECUTE)))
		return AXAS_ERR_INVALID_INPUT;
	if (flags & never)
		return AXAS_ERR_UNSUPPORTED;
	if (flags & AXAS_READ)
		return AXAS_OK;
	if (flags & AXAS_WRITE || !(features & AXAS_FEATURE_EPT_EXECUTE_ONLY))
		return AXAS_ERR_UNSUPPORTED;
	return AXAS_OK;
}

struct vcpu *layer_load(uint32_t cpu, const axas_hw_regs_t *registers)
{
	if (cpu == 0) {
		vcpus[0] = *vcpu_start(registers, GPA_PROGRAM);
	} else {
		if (!second_is_on)
			second_vmx_on();
		second_is_on = 1;
		second_vmcs_load(registers->root_register, GPA_GUEST_TABLES, GPA_PROGRAM);
		vcpus[1] = (struct vcpu){ .pc = GPA_PROGRAM };
	}
	vmcs_write(VMCS_GUEST_CR3, GPA_GUEST_TABLES);
	vmcs_write(VMCS_PIN_CONTROLS, vmcs_read(VMCS_PIN_CONTROLS) | PIN_NMI_EXITING);
	kicks_flush_here_later();
	return &vcpus[cpu];
}

void layer_unload(uint32_t cpu)
{
	if (cpu == 0)
		vcpu_stop(&vcpus[0]);
	else
		second_vmcs_unload();
}

static void flush_translations(void)
{
	const uint64_t descriptor[2] = { 0, 0 };

	__asm__ volatile("invept %0, %1" ::"m"(descriptor), "r"((uint64_t)INVEPT_ALL)
			 : "cc", "memory");
}

static uint32_t was_kicked(uint32_t reason)
{
	if (reason != EXIT_REASON_EVENT || (vmcs_read(EXIT_INFO_FIELD) & EVENT_MASK) != EVENT_NMI)
		return 0;
	/*
	 * The exit left NMIs blocked, here and in the state of the guest, which never had one: the
	 * handler's IRET lets the next one in.
	 */
	__asm__ volatile("int $2" ::: "memory");
	vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, 0);
	return 1;
}

/* Returns the exit reason, or 0 with the VM-instruction error if there was no entry. */
static uint32_t enter(struct vcpu *vcpu, uint64_t *error)
{
	uint32_t cpu = (uint32_t)(vcpu - vcpus);
	uint32_t entered;
	uint32_t reason;

	*error = 0;
	do {
		vmcs_write(VMCS_GUEST_RIP, vcpu->pc);
		if (kicks_enter(cpu))
			flush_translations();
		entered = guest_enter(vcpu);
		kicks_leave(cpu);
		if (!entered) {
			*error = vmcs_read(VMCS_INSTRUCTION_ERROR);
			return 0;
		}
		vcpu->pc = vmcs_read(VMCS_GUEST_RIP);
		reason = (uint32_t)vmcs_read(VMCS_EXIT_REASON);
	} while (was_kicked(reason));
	return reason;
}

void layer_run(struct vcpu *vcpu, struct guest_exit *exit)
{
	uint64_t error;
	uint32_t reason = enter(vcpu, &error);

	*exit = (struct guest_exit){
		.reason = EXIT_UNKNOWN,
		.pc = vcpu->pc,
		.syndrome = error << 32 | reason,
	};
	if (reason == EXIT_REASON_VMCALL) {
		exit->reason = EXIT_HYPERCALL;
		exit->argument = vcpu->registers[REGISTER_RSI];
	} else if (axas_fault_from_ept(reason, vmcs_read(VMCS_EXIT_QUALIFICATION),
				       vmcs_read(VMCS_GUEST_PHYSICAL_ADDRESS),
				       &exit->fault) == AXAS_OK) {
		exit->reason = EXIT_FAULT;
	}
}

axas_hpa_t layer_root_of(uint64_t root_register)
{
	return root_register & ~(PAGE - 1);
}

void layer_request(struct vcpu *vcpu, uint64_t op, uint64_t address, uint64_t value)
{
	vcpu->registers[REGISTER_RDI] = op;
	vcpu->registers[REGISTER_RSI] = address;
	vcpu->registers[REGISTER_RDX] = value;
	vcpu->pc = GPA_PROGRAM;
}

void layer_stage1_on(struct vcpu *vcpu, uint64_t root)
{
	/* VM entry drops what was combined from the guest's tables, for there are no VPIDs. */
	(void)vcpu;
	vmcs_write(VMCS_GUEST_CR3, root);
}

void layer_stage1_off(struct vcpu *vcpu)
{
	(void)vcpu;
	vmcs_write(VMCS_GUEST_CR3, GPA_GUEST_TABLES);
}

void layer_flush_local(const axas_tlb_request_t *request)
{
	(void)request;
	flush_translations();
}

void layer_flush_all(const axas_tlb_request_t *request)
{
	(void)request;
	flush_translations();
	kicks_flush_all();
}
