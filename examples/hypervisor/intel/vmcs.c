/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* VMX root operation and the one VMCS: what the guest starts as, what a VM exit comes back to. */
#include "vmx.h"

#include "axaddrspace.h"
#include "machine.h"
#include "report.h"
#include "vcpu.h"
#include "x86/selectors.h"

#define CR0_PE  UINT64_C(0x00000001)
#define CR0_PG  UINT64_C(0x80000000)
#define CR4_PAE UINT64_C(0x20)

#define DR7_RESET    0x400
#define RFLAGS_RESET 0x2
#define NO_LINK      UINT64_MAX

/* Access rights, as in descriptors; all with limits in pages, as segments without a limit need. */
#define RIGHTS_CODE   0xa09b /* 64 bits */
#define RIGHTS_DATA   0xc093
#define RIGHTS_TASK   0x808b /* busy */
#define RIGHTS_ABSENT 0x10000

enum segment { ES, CS, SS, DS, FS, GS, LDTR, TR, SEGMENT_COUNT };

/* The CPU's own; the first word tells it which layout to use. */
static union {
	uint32_t revision;
	uint8_t bytes[AXAS_PAGE_SIZE];
} vmxon_region __attribute__((aligned(AXAS_PAGE_SIZE))),
	vmcs_region __attribute__((aligned(AXAS_PAGE_SIZE)));

static _Noreturn void give_up(const char *what, uint64_t number)
{
	report("\nBAD: %s 0x%lx\n", what, number);
	machine_exit(2);
}

void vmcs_write(enum vmcs_field field, uint64_t value)
{
	uint8_t failed;

	__asm__ volatile("vmwrite %2, %1; setna %0"
			 : "=qm"(failed)
			 : "r"((uint64_t)field), "r"(value)
			 : "cc");
	if (failed)
		give_up("VMWRITE failed, field", field);
}

uint64_t vmcs_read(enum vmcs_field field)
{
	uint64_t value;
	uint8_t failed;

	__asm__ volatile("vmread %2, %0; setna %1"
			 : "=r"(value), "=qm"(failed)
			 : "r"((uint64_t)field)
			 : "cc");
	if (failed)
		give_up("VMREAD failed, field", field);
	return value;
}

/* VMXON, VMCLEAR and VMPTRLD take the region's physical address, which is its own here. */
#define VMX_REGION(instruction, region)                              \
	do {                                                         \
		uint64_t address = (uint64_t)(uintptr_t) & (region); \
		uint8_t failed;                                      \
		__asm__ volatile(instruction " %1; setna %0"         \
				 : "=qm"(failed)                     \
				 : "m"(address)                      \
				 : "cc", "memory");                  \
		if (failed)                                          \
			give_up(instruction " failed, at", address); \
	} while (0)

static uint64_t read_cr0(void)
{
	uint64_t value;

	__asm__ volatile("mov %%cr0, %0" : "=r"(value));
	return value;
}

static uint64_t read_cr3(void)
{
	uint64_t value;

	__asm__ volatile("mov %%cr3, %0" : "=r"(value));
	return value;
}

static uint64_t read_cr4(void)
{
	uint64_t value;

	__asm__ volatile("mov %%cr4, %0" : "=r"(value));
	return value;
}

/* VMX wants some bits of CR0 and CR4 set and some clear. */
static uint64_t allowed_cr0(uint64_t cr0)
{
	return (cr0 | read_msr(MSR_VMX_CR0_FIXED0)) & read_msr(MSR_VMX_CR0_FIXED1);
}

static uint64_t allowed_cr4(uint64_t cr4)
{
	return (cr4 | read_msr(MSR_VMX_CR4_FIXED0)) & read_msr(MSR_VMX_CR4_FIXED1);
}

static void allow_vmx(void)
{
	uint64_t control = read_msr(MSR_FEATURE_CONTROL);

	if (!(control & FEATURE_CONTROL_LOCKED))
		write_msr(MSR_FEATURE_CONTROL,
			  control | FEATURE_CONTROL_LOCKED | FEATURE_CONTROL_VMX);
	else if (!(control & FEATURE_CONTROL_VMX))
		give_up("the firmware forbids VMX: IA32_FEATURE_CONTROL", control);
}

void vmx_on(void)
{
	uint32_t revision = (uint32_t)read_msr(MSR_VMX_BASIC) & 0x7fffffff;

	allow_vmx();
	__asm__ volatile("mov %0, %%cr0" ::"r"(allowed_cr0(read_cr0())) : "memory");
	__asm__ volatile("mov %0, %%cr4" ::"r"(allowed_cr4(read_cr4())) : "memory");
	vmxon_region.revision = revision;
	vmcs_region.revision = revision;
	VMX_REGION("vmxon", vmxon_region);
}

/* What is wanted, and what this CPU has no choice about. */
static uint32_t controls(uint32_t msr, uint32_t wanted)
{
	uint64_t allowed = read_msr(msr);
	uint32_t must_be_set = (uint32_t)allowed;
	uint32_t may_be_set = (uint32_t)(allowed >> 32);

	if (wanted & ~may_be_set)
		give_up("this CPU lacks controls, in the MSR", msr);
	return wanted | must_be_set;
}

static void write_controls(uint64_t ept_pointer)
{
	vmcs_write(VMCS_PIN_CONTROLS, controls(MSR_VMX_PIN, 0));
	vmcs_write(VMCS_PROCESSOR_CONTROLS,
		   controls(MSR_VMX_PROCESSOR, PROCESSOR_HLT_EXITING | PROCESSOR_SECONDARY));
	vmcs_write(VMCS_SECONDARY_CONTROLS, controls(MSR_VMX_SECONDARY, SECONDARY_EPT));
	vmcs_write(VMCS_EXIT_CONTROLS, controls(MSR_VMX_EXIT, EXIT_HOST_64));
	vmcs_write(VMCS_ENTRY_CONTROLS, controls(MSR_VMX_ENTRY, ENTRY_GUEST_64));
	vmcs_write(VMCS_EPT_POINTER, ept_pointer);
	vmcs_write(VMCS_LINK_POINTER, NO_LINK);

	/* The guest has no handlers: every exception of its own leaves it, page faults too. */
	vmcs_write(VMCS_EXCEPTION_BITMAP, UINT32_MAX);
	vmcs_write(VMCS_PAGE_FAULT_MASK, 0);
	vmcs_write(VMCS_PAGE_FAULT_MATCH, 0);

	vmcs_write(VMCS_CR0_MASK, 0);
	vmcs_write(VMCS_CR4_MASK, 0);
	vmcs_write(VMCS_CR3_TARGET_COUNT, 0);
	vmcs_write(VMCS_EXIT_MSR_STORE_COUNT, 0);
	vmcs_write(VMCS_EXIT_MSR_LOAD_COUNT, 0);
	vmcs_write(VMCS_ENTRY_MSR_LOAD_COUNT, 0);
	vmcs_write(VMCS_ENTRY_INTERRUPTION, 0);
}

static void write_host(void)
{
	struct descriptor_table gdt, idt;

	__asm__ volatile("sgdt %0" : "=m"(gdt));
	__asm__ volatile("sidt %0" : "=m"(idt));
	vmcs_write(VMCS_HOST_CR0, read_cr0());
	vmcs_write(VMCS_HOST_CR3, read_cr3());
	vmcs_write(VMCS_HOST_CR4, read_cr4());
	vmcs_write(VMCS_HOST_CS_SELECTOR, SELECTOR_CODE);
	vmcs_write(VMCS_HOST_SS_SELECTOR, SELECTOR_DATA);
	vmcs_write(VMCS_HOST_DS_SELECTOR, SELECTOR_DATA);
	vmcs_write(VMCS_HOST_ES_SELECTOR, SELECTOR_DATA);
	vmcs_write(VMCS_HOST_FS_SELECTOR, SELECTOR_DATA);
	vmcs_write(VMCS_HOST_GS_SELECTOR, SELECTOR_DATA);
	vmcs_write(VMCS_HOST_TR_SELECTOR, SELECTOR_TASK);
	vmcs_write(VMCS_HOST_FS_BASE, 0);
	vmcs_write(VMCS_HOST_GS_BASE, 0);
	vmcs_write(VMCS_HOST_TR_BASE, 0);
	vmcs_write(VMCS_HOST_GDTR_BASE, gdt.base);
	vmcs_write(VMCS_HOST_IDTR_BASE, idt.base);
	vmcs_write(VMCS_HOST_SYSENTER_CS, 0);
	vmcs_write(VMCS_HOST_SYSENTER_ESP, 0);
	vmcs_write(VMCS_HOST_SYSENTER_EIP, 0);
	vmcs_write(VMCS_HOST_RIP, (uint64_t)(uintptr_t)guest_exit);
}

static void write_segment(enum segment segment, uint32_t rights)
{
	vmcs_write(VMCS_GUEST_ES_SELECTOR + 2 * segment, 0);
	vmcs_write(VMCS_GUEST_ES_LIMIT + 2 * segment, UINT32_MAX);
	vmcs_write(VMCS_GUEST_ES_RIGHTS + 2 * segment, rights);
	vmcs_write(VMCS_GUEST_ES_BASE + 2 * segment, 0);
}

/* 64-bit mode, with nothing but the registers that it cannot do without. */
static void write_guest(uint64_t cr3, uint64_t pc)
{
	static const uint32_t rights[SEGMENT_COUNT] = {
		[ES] = RIGHTS_ABSENT,   [CS] = RIGHTS_CODE,   [SS] = RIGHTS_DATA,
		[DS] = RIGHTS_ABSENT,   [FS] = RIGHTS_ABSENT, [GS] = RIGHTS_ABSENT,
		[LDTR] = RIGHTS_ABSENT, [TR] = RIGHTS_TASK,
	};

	for (enum segment segment = ES; segment < SEGMENT_COUNT; segment++)
		write_segment(segment, rights[segment]);
	vmcs_write(VMCS_GUEST_CR0, allowed_cr0(CR0_PE | CR0_PG));
	vmcs_write(VMCS_GUEST_CR3, cr3);
	vmcs_write(VMCS_GUEST_CR4, allowed_cr4(CR4_PAE));
	vmcs_write(VMCS_GUEST_RSP, 0);
	vmcs_write(VMCS_GUEST_RIP, pc);
	vmcs_write(VMCS_GUEST_RFLAGS, RFLAGS_RESET);
	vmcs_write(VMCS_GUEST_DR7, DR7_RESET);
	vmcs_write(VMCS_GUEST_DEBUGCTL, 0);
	vmcs_write(VMCS_GUEST_GDTR_BASE, 0);
	vmcs_write(VMCS_GUEST_GDTR_LIMIT, 0);
	vmcs_write(VMCS_GUEST_IDTR_BASE, 0);
	vmcs_write(VMCS_GUEST_IDTR_LIMIT, 0);
	vmcs_write(VMCS_GUEST_INTERRUPTIBILITY, 0);
	vmcs_write(VMCS_GUEST_ACTIVITY, 0);
	vmcs_write(VMCS_GUEST_PENDING_DEBUG, 0);
	vmcs_write(VMCS_GUEST_SYSENTER_CS, 0);
	vmcs_write(VMCS_GUEST_SYSENTER_ESP, 0);
	vmcs_write(VMCS_GUEST_SYSENTER_EIP, 0);
}

void vmcs_load(uint64_t ept_pointer, uint64_t cr3, uint64_t pc)
{
	VMX_REGION("vmclear", vmcs_region);
	VMX_REGION("vmptrld", vmcs_region);
	write_controls(ept_pointer);
	write_host();
	write_guest(cr3, pc);
}

void vmcs_unload(void)
{
	VMX_REGION("vmclear", vmcs_region);
}
