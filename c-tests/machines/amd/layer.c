/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* AMD on QEMU's PC, on top of examples/hypervisor/amd. */
#include "layer.h"

#include <stddef.h>

#include "guest.h"
#include "layout.h"
#include "suite.h"
#include "vcpu.h"
#include "x86/x86.h"

#define CPUID_EXTENDED  0x80000001
#define EXTENDED_EDX_1G (1u << 26)
#define MSR_VM_HSAVE    0xc0010117

#define ASID                5
#define TLB_FLUSH_ALL_ASIDS 1
#define EXIT_CODE_NMI       0x61
#define EXIT_CODE_VMMCALL   0x81
#define EXIT_CODE_NPF       0x400
#define PLAIN_RFLAGS        2

struct layer layer = {
	.format = AXAS_FORMAT_NPT,
	.root_bytes = 4096,
	.tells_permission = 1,
	.exact_fetch = 1,
	.sets_accessed = 1,
	/* No instruction reaches a guest-physical address on all CPUs. */
	.has_builtin_flush = 0,
	.atomic_absent = AXAS_WRITE,
	.atomic_read_only = AXAS_WRITE,
	/* The walker counts as a writer of the guest's tables. */
	.walk_access = AXAS_WRITE,
	.walk_writes = 1,
	.stage1_levels = 4,
};

static struct vcpu vcpus[CPU_COUNT];
static struct vmcb vmcbs[CPU_COUNT] __attribute__((aligned(4096)));
static uint8_t save_areas[CPU_COUNT][AXAS_PAGE_SIZE] __attribute__((aligned(4096)));

uint64_t layer_boot_cr4(uint64_t cr4)
{
	return cr4;
}

void layer_probe(void)
{
	uint32_t eax = CPUID_EXTENDED, ebx, ecx = 0, edx;

	__asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
	if (edx & EXTENDED_EDX_1G)
		layer.features |= AXAS_FEATURE_1G_PAGES;
	layer.space_size = UINT64_C(1) << (GUEST_LEVELS == 4 ? 48 : 52);
	/* The guest's own entries have no wider addresses. */
	layer.reach = UINT64_C(1) << REACH_BITS;
}

axas_status_t layer_expected_status(axas_flags_t flags, uint32_t features)
{
	const axas_flags_t never = AXAS_WRITE_COMBINE | AXAS_WRITE_THROUGH | AXAS_DEVICE_NGNRNE |
				   AXAS_DEVICE_NGRE | AXAS_DEVICE_GRE;

	(void)features;
	if (!(flags & (AXAS_READ | AXAS_WRITE | AXAS_EXECUTE)))
		return AXAS_ERR_INVALID_INPUT;
	if (flags & never || !(flags & AXAS_READ))
		return AXAS_ERR_UNSUPPORTED;
	return AXAS_OK;
}

struct vcpu *layer_load(uint32_t cpu, const axas_hw_regs_t *registers)
{
	vmcbs[cpu] = *vcpu_start(registers, GPA_PROGRAM)->vmcb;
	vmcbs[cpu].asid = ASID;
	vmcbs[cpu].cr3 = GPA_GUEST_TABLES;
	vcpus[cpu] = (struct vcpu){ .vmcb = &vmcbs[cpu] };
	x86_write_msr(MSR_VM_HSAVE, (uintptr_t)save_areas[cpu]);
	kicks_flush_here_later();
	return &vcpus[cpu];
}

void layer_unload(uint32_t cpu)
{
	vcpu_stop(&vcpus[cpu]);
}

static void enter(struct vcpu *vcpu)
{
	struct vmcb *vmcb = vcpu->vmcb;
	uint32_t cpu = (uint32_t)(vcpu - vcpus);

	do {
		vmcb->tlb_control = kicks_enter(cpu) ? TLB_FLUSH_ALL_ASIDS : 0;
		vmcb->rax = vcpu->registers[REGISTER_RAX];
		vmcb->rsp = vcpu->registers[REGISTER_RSP];
		guest_enter(vcpu, vmcb);
		kicks_leave(cpu);
		vcpu->registers[REGISTER_RAX] = vmcb->rax;
		vcpu->registers[REGISTER_RSP] = vmcb->rsp;
	} while (vmcb->exit_code == EXIT_CODE_NMI);
}

void layer_run(struct vcpu *vcpu, struct guest_exit *exit)
{
	struct vmcb *vmcb = vcpu->vmcb;

	enter(vcpu);
	*exit = (struct guest_exit){
		.reason = EXIT_UNKNOWN,
		.pc = vmcb->rip,
		.syndrome = vmcb->exit_code,
	};
	if (vmcb->exit_code == EXIT_CODE_VMMCALL) {
		exit->reason = EXIT_HYPERCALL;
		exit->argument = vcpu->registers[REGISTER_RSI];
	} else if (vmcb->exit_code == EXIT_CODE_NPF &&
		   axas_fault_from_npf(vmcb->exit_info_1, vmcb->exit_info_2, &exit->fault) ==
			   AXAS_OK) {
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
	vcpu->vmcb->rip = GPA_PROGRAM;
	vcpu->vmcb->rflags = PLAIN_RFLAGS;
}

void layer_stage1_on(struct vcpu *vcpu, uint64_t root)
{
	vcpu->vmcb->cr3 = root;
	kicks_flush_here_later();
}

void layer_stage1_off(struct vcpu *vcpu)
{
	vcpu->vmcb->cr3 = GPA_GUEST_TABLES;
	kicks_flush_here_later();
}

void layer_flush_local(const axas_tlb_request_t *request)
{
	(void)request;
	kicks_flush_here_later();
}

void layer_flush_all(const axas_tlb_request_t *request)
{
	(void)request;
	kicks_flush_all();
}
