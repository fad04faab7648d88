/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * AMD SVM with nested paging on QEMU's PC: exceptions, the VMCB, one vCPU in long mode.
 *
 * Registers and bits are those of the AMD64 Architecture Programmer's Manual, volumes 2 and 3.
 */
#include <stddef.h>
#include <stdint.h>

#include "layout.h"
#include "machine.h"
#include "report.h"
#include "vcpu.h"
#include "x86/guest_paging.h"
#include "x86/mov.h"

/* On QEMU: the first serial port, a 16550, and a port that ends the emulation. */
#define UART_DATA        0x3f8
#define UART_LINE_STATUS 0x3fd
#define UART_EMPTY       0x20
#define DEBUG_EXIT       0xf4
#define DEBUG_EXIT_BASE  16 /* tells our codes from those of QEMU: qemu.sh */

/* On Bochs: a character to the person, and a port that ends the emulation after this word. */
#define BOCHS_CONSOLE       0xe9
#define BOCHS_SHUTDOWN      0x8900
#define BOCHS_SHUTDOWN_WORD "Shutdown"

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

#define EXCEPTION_COUNT  32
#define EXCEPTION_STRIDE 16
#define GATE_INTERRUPT   0x8e00
#define CODE_SELECTOR    8

struct gate {
	uint16_t offset_low;
	uint16_t selector;
	uint16_t attributes;
	uint16_t offset_middle;
	uint32_t offset_high;
	uint32_t reserved;
};

struct descriptor_table {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

struct cpuid {
	uint32_t eax, ebx, ecx, edx;
};

const struct machine machine = {
	.name = "AMD SVM",
	.guest_level = "ring 0",
	.root_name = "nCR3",
	.uart = AXAS_HPA_INVALID,
};

static struct gate idt[EXCEPTION_COUNT] __attribute__((aligned(16)));
static uint8_t host_save_area[AXAS_PAGE_SIZE] __attribute__((aligned(4096)));
static uint8_t io_permissions[3 * AXAS_PAGE_SIZE] __attribute__((aligned(4096)));
static uint8_t msr_permissions[2 * AXAS_PAGE_SIZE] __attribute__((aligned(4096)));
static struct vmcb the_vmcb __attribute__((aligned(4096)));
static struct vcpu the_vcpu;

/* The space's VMID is the guest's ASID. */
static uint32_t asid;
static uint32_t flush_is_due;

extern const uint8_t exception_entries[];
void exceptions_on(void);
_Noreturn void host_exception(uint64_t vector, uint64_t error, uint64_t pc, uint64_t address);

static void out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}

static void out32(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" ::"a"(value), "Nd"(port));
}

static uint8_t in8(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static uint64_t read_msr(uint32_t number)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(number));
	return (uint64_t)high << 32 | low;
}

static void write_msr(uint32_t number, uint64_t value)
{
	__asm__ volatile("wrmsr" ::"c"(number), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
}

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

/* Each emulator has one of these two consoles; a status port that is not there reads as all ones. */
void console_put(char character)
{
	while (!(in8(UART_LINE_STATUS) & UART_EMPTY))
		;
	out8(UART_DATA, (uint8_t)character);
	out8(BOCHS_CONSOLE, (uint8_t)character);
}

/* QEMU stops at the first write. Bochs always ends with 1, so the code goes out as a last line. */
void machine_exit(uint32_t code)
{
	out32(DEBUG_EXIT, DEBUG_EXIT_BASE + code);
	report("exit code %u\n", code);
	for (const char *word = BOCHS_SHUTDOWN_WORD; *word != '\0'; word++)
		out8(BOCHS_SHUTDOWN, (uint8_t)*word);
	for (;;)
		__asm__ volatile("hlt");
}

void exceptions_on(void)
{
	struct descriptor_table table = { sizeof(idt) - 1, (uintptr_t)idt };

	for (size_t i = 0; i < EXCEPTION_COUNT; i++) {
		uintptr_t entry = (uintptr_t)exception_entries + i * EXCEPTION_STRIDE;

		idt[i] = (struct gate){
			.offset_low = (uint16_t)entry,
			.selector = CODE_SELECTOR,
			.attributes = GATE_INTERRUPT,
			.offset_middle = (uint16_t)(entry >> 16),
			.offset_high = (uint32_t)(entry >> 32),
		};
	}
	__asm__ volatile("lidt %0" ::"m"(table) : "memory");
}

/* A fault of the hypervisor itself. */
void host_exception(uint64_t vector, uint64_t error, uint64_t pc, uint64_t address)
{
	report("\nBAD: exception %lu in the host: error 0x%lx, pc 0x%lx, address 0x%lx\n", vector,
	       error, pc, address);
	machine_exit(2);
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

axas_status_t machine_map(axas_t *space)
{
	return guest_paging_map(space);
}

static void set_controls(struct vmcb *vmcb, uint64_t nested_cr3)
{
	for (size_t i = 0; i < sizeof(io_permissions); i++)
		io_permissions[i] = 0xff;
	for (size_t i = 0; i < sizeof(msr_permissions); i++)
		msr_permissions[i] = 0xff;

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

static void set_guest_state(struct vmcb *vmcb, axas_gpa_t pc)
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
	vmcb->rip = pc;
}

struct vcpu *vcpu_start(const axas_hw_regs_t *registers, axas_gpa_t pc)
{
	write_msr(MSR_EFER, read_msr(MSR_EFER) | EFER_SVME);
	write_msr(MSR_VM_HSAVE, (uintptr_t)host_save_area);

	set_controls(&the_vmcb, registers->root_register);
	set_guest_state(&the_vmcb, pc);
	/* Whatever an earlier owner of this ASID left behind. */
	flush_is_due = 1;

	the_vcpu = (struct vcpu){ .vmcb = &the_vmcb };
	return &the_vcpu;
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
	vmcb->rax = vcpu->registers[REGISTER_RAX];
	vmcb->rsp = vcpu->registers[REGISTER_RSP];
	guest_enter(vcpu, vmcb);
	vcpu->registers[REGISTER_RAX] = vmcb->rax;
	vcpu->registers[REGISTER_RSP] = vmcb->rsp;

	exit->reason = EXIT_UNKNOWN;
	exit->pc = vmcb->rip;
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
	vcpu->vmcb->rip += VMMCALL_BYTES;
}

uint32_t vcpu_decode_access(const struct vcpu *vcpu, struct guest_access *access)
{
	struct mov32 mov;

	if (!mov32_decode(vcpu->vmcb->rip, &mov))
		return 0;
	access->is_write = mov.is_write;
	access->bytes = sizeof(uint32_t);
	access->value = mov.is_write ? (uint32_t)vcpu->registers[mov.register_number] : 0;
	return 1;
}

void vcpu_finish_access(struct vcpu *vcpu, const struct guest_access *access)
{
	struct mov32 mov;

	if (!mov32_decode(vcpu->vmcb->rip, &mov))
		return;
	/* A load of four bytes clears the upper half of its register. */
	if (!access->is_write)
		vcpu->registers[mov.register_number] = (uint32_t)access->value;
	vcpu->vmcb->rip += mov.length;
}

void vcpu_refuse(struct vcpu *vcpu, axas_fault_result_t verdict)
{
	vcpu->registers[REGISTER_RDX] = verdict;
	vcpu->vmcb->rip = GPA_PROGRAM + PROGRAM_REFUSED;
}
