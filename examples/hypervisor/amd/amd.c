/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * AMD SVM with nested paging: the VMCB and one vCPU in long mode.
 *
 * Registers and bits are those of the AMD64 Architecture Programmer's Manual, volumes 2 and 3.
 */
#include <stdint.h>

#include "freestanding.h"
#include "machine.h"
#include "report.h"
#include "vcpu.h"
#include "x86/cpu.h"
#include "x86/guest_paging.h"

/* CPUID */
#define CPUID_EXTENDED     0x80000001
#define EXTENDED_ECX_SVM   (1u << 2)
#define EXTENDED_EDX_1G    (1u << 26)
#define CPUID_SVM          0x8000000a
#define SVM_EDX_NPT        (1u << 0)
#define SVM_EDX_FLUSH_ASID (1u << 6)

#define MSR_EFER      0xc0000080
#define MSR_VM_HSAVE  0xc0010117
#define EFER_LME      (1u << 8)
#define EFER_LMA      (1u << 10)
#define EFER_SVME     (1u << 12)
#define CR0_PE_ET_WP  (1u << 0 | 1u << 4 | 1u << 16)
#define CR0_PG        (1u << 31)
#define CR4_PAE       (1u << 5)
#define PAT_AT_RESET  0x0007040600070406
#define DR6_AT_RESET  0xffff0ff0
#define DR7_AT_RESET  0x400
#define RFLAGS_ALWAYS (1u << 1)

/* Attributes of a segment as the VMCB packs them. */
#define SEGMENT_CODE_64 0x29b
#define SEGMENT_DATA    0xc93
#define SEGMENT_TSS     0x8b
#define SEGMENT_LDT     0x82

/*
 * What the guest may not do for itself. INVD would drop the host's cached writes, and VMRUN has to
 * be in here; of the rest, the guest's program does nothing but VMMCALL.
 */
#define INTERCEPT_INTERRUPTS (1u << 0 | 1u << 1) /* INTR, NMI */
#define INTERCEPT_INVD       (1u << 22)
#define INTERCEPT_HLT        (1u << 24)
#define INTERCEPT_INVLPGA    (1u << 26)
#define INTERCEPT_IO_MSR     (1u << 27 | 1u << 28)
#define INTERCEPT_SHUTDOWN   (1u << 31)
#define INTERCEPT_SVM        0x7f /* VMRUN, VMMCALL, VMLOAD, VMSAVE, STGI, CLGI, SKINIT */

#define NESTED_PAGING       1
#define TLB_FLUSH_ALL_ASIDS 1
#define TLB_FLUSH_ASID      3

#define EXIT_CODE_VMMCALL 0x81
#define EXIT_CODE_NPF     0x400
#define VMMCALL_BYTES     3

struct cpuid {
	uint32_t eax, ebx, ecx, edx;
};

const struct machine machine = {
	.name = "AMD SVM",
	.guest_level = "ring 0",
	.root_name = "nCR3",
	.uart = AXAS_HPA_INVALID,
};

static uint8_t host_save_area[AXAS_PAGE_SIZE] __attribute__((aligned(4096)));
static uint8_t io_permissions[3 * AXAS_PAGE_SIZE] __attribute__((aligned(4096)));
static uint8_t msr_permissions[2 * AXAS_PAGE_SIZE] __attribute__((aligned(4096)));
static struct vmcb the_vmcb __attribute__((aligned(4096)));
static struct vcpu the_vcpu;

/* The space's VMID is the guest's ASID. */
static uint32_t asid;
static uint32_t flush_is_due;

/* All zero for a leaf that the CPU does not have. */
static struct cpuid read_cpuid(uint32_t leaf)
{
	struct cpuid found = { 0 };
	uint32_t last = leaf & 0x80000000;

	__asm__ volatile("cpuid" : "+a"(last) : : "ebx", "ecx", "edx");
	if (leaf <= last)
		__asm__ volatile("cpuid"
				 : "=a"(found.eax), "=b"(found.ebx), "=c"(found.ecx),
				   "=d"(found.edx)
				 : "a"(leaf), "c"(0));
	return found;
}

/*
 * No instruction flushes one nested translation on all CPUs. Here one CPU runs the guest and it is
 * not in there now, so it is enough that the next VMRUN begins with a flush.
 */
static void flush_at_next_run(void *ctx, const axas_tlb_request_t *request)
{
	(void)ctx;
	(void)request;
	flush_is_due = 1;
}

void machine_configure(axas_config_t *config, axas_hal_t *hal)
{
	struct cpuid extended = read_cpuid(CPUID_EXTENDED);

	if (!(extended.ecx & EXTENDED_ECX_SVM) || !(read_cpuid(CPUID_SVM).edx & SVM_EDX_NPT)) {
		report("BAD: a CPU without SVM and nested paging\n");
		machine_exit(2);
	}
	if (extended.edx & EXTENDED_EDX_1G)
		config->features |= AXAS_FEATURE_1G_PAGES;
	asid = config->vmid;
	hal->tlb_flush = flush_at_next_run;
}

static void set_controls(struct vmcb *vmcb, uint64_t nested_cr3)
{
	/* A set bit takes a permission away. */
	memset(io_permissions, 0xff, sizeof(io_permissions));
	memset(msr_permissions, 0xff, sizeof(msr_permissions));

	/* The guest has no handlers: each of its exceptions is the end. */
	vmcb->intercept_exceptions = UINT32_MAX;
	vmcb->intercept_instructions = INTERCEPT_INTERRUPTS | INTERCEPT_INVD | INTERCEPT_HLT |
				       INTERCEPT_INVLPGA | INTERCEPT_IO_MSR | INTERCEPT_SHUTDOWN;
	vmcb->intercept_svm = INTERCEPT_SVM;
	vmcb->io_permissions = (uintptr_t)io_permissions;
	vmcb->msr_permissions = (uintptr_t)msr_permissions;
	vmcb->asid = asid;
	vmcb->nested_control = NESTED_PAGING;
	vmcb->nested_cr3 = nested_cr3;
}

static void set_guest_state(struct vmcb *vmcb)
{
	const struct vmcb_segment data = { .attributes = SEGMENT_DATA, .limit = UINT32_MAX };

	vmcb->cs = (struct vmcb_segment){ .attributes = SEGMENT_CODE_64, .limit = UINT32_MAX };
	vmcb->ss = data;
	vmcb->ds = data;
	vmcb->es = data;
	vmcb->fs = data;
	vmcb->gs = data;
	vmcb->tr = (struct vmcb_segment){ .attributes = SEGMENT_TSS };
	vmcb->ldtr = (struct vmcb_segment){ .attributes = SEGMENT_LDT };
	vmcb->efer = EFER_SVME | EFER_LME | EFER_LMA;
	vmcb->cr0 = CR0_PE_ET_WP | CR0_PG;
	vmcb->cr3 = GPA_GUEST_TABLES;
	vmcb->cr4 = CR4_PAE;
	vmcb->dr6 = DR6_AT_RESET;
	vmcb->dr7 = DR7_AT_RESET;
	vmcb->pat = PAT_AT_RESET;
	vmcb->rflags = RFLAGS_ALWAYS;
}

struct vcpu *vcpu_start(const axas_hw_regs_t *registers, axas_gpa_t pc)
{
	write_msr(MSR_EFER, read_msr(MSR_EFER) | EFER_SVME);
	write_msr(MSR_VM_HSAVE, (uintptr_t)host_save_area);

	set_controls(&the_vmcb, registers->root_register);
	set_guest_state(&the_vmcb);
	/* Whatever an earlier owner of this ASID left behind. */
	flush_is_due = 1;

	the_vcpu = (struct vcpu){ .pc = pc, .vmcb = &the_vmcb };
	return &the_vcpu;
}

/* The ASID stays: what it holds of the old space goes with the next VMRUN. */
void vcpu_load(struct vcpu *vcpu, const axas_hw_regs_t *registers)
{
	vcpu->vmcb->nested_cr3 = registers->root_register;
	flush_is_due = 1;
}

void vcpu_stop(struct vcpu *vcpu)
{
	/* The CPU has the root loaded only between VMRUN and the exit. */
	vcpu->vmcb->nested_cr3 = 0;
	write_msr(MSR_EFER, read_msr(MSR_EFER) & ~(uint64_t)EFER_SVME);
}

static uint32_t flush_command(void)
{
	if (!flush_is_due)
		return 0;
	flush_is_due = 0;
	return read_cpuid(CPUID_SVM).edx & SVM_EDX_FLUSH_ASID ? TLB_FLUSH_ASID :
								TLB_FLUSH_ALL_ASIDS;
}

void vcpu_run(struct vcpu *vcpu, struct guest_exit *exit)
{
	struct vmcb *vmcb = vcpu->vmcb;

	vmcb->tlb_control = flush_command();
	vmcb->rip = vcpu->pc;
	vmcb->rax = vcpu->registers[REGISTER_RAX];
	vmcb->rsp = vcpu->registers[REGISTER_RSP];
	guest_enter(vcpu, vmcb);
	vcpu->pc = vmcb->rip;
	vcpu->registers[REGISTER_RAX] = vmcb->rax;
	vcpu->registers[REGISTER_RSP] = vmcb->rsp;

	exit->reason = EXIT_UNKNOWN;
	exit->pc = vcpu->pc;
	exit->syndrome = vmcb->exit_code;
	switch (vmcb->exit_code) {
	case EXIT_CODE_VMMCALL:
		exit->reason = EXIT_HYPERCALL;
		exit->call = vcpu->registers[REGISTER_RDI];
		exit->argument = vcpu->registers[REGISTER_RSI];
		break;
	case EXIT_CODE_NPF:
		if (axas_fault_from_npf(vmcb->exit_info_1, vmcb->exit_info_2, &exit->fault) ==
			    AXAS_OK &&
		    (exit->fault.valid & AXAS_VALID_GPA))
			exit->reason = EXIT_FAULT;
		break;
	default:
		break;
	}
}

void vcpu_finish_call(struct vcpu *vcpu)
{
	vcpu->pc += VMMCALL_BYTES;
}
