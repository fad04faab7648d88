/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * RISC-V HS mode on QEMU's virt machine: the G-stage registers and one vCPU in VS mode.
 *
 * The host itself runs without paging; what is cached is up to the machine's memory attributes.
 * Register fields are those of the RISC-V privileged architecture, chapter "H" Extension.
 */
#include <stddef.h>
#include <stdint.h>

#include "layout.h"
#include "machine.h"
#include "report.h"
#include "vcpu.h"

/* By number, for assemblers that do not know the hypervisor extension. */
#define CSR_HSTATUS  0x600
#define CSR_HEDELEG  0x602
#define CSR_HIDELEG  0x603
#define CSR_HTVAL    0x643
#define CSR_HTINST   0x64a
#define CSR_HGATP    0x680
#define CSR_VSSTATUS 0x200
#define CSR_VSATP    0x280
#define CSR_SCAUSE   0x142
#define CSR_STVAL    0x143

#define NAME(number) #number

#define READ_CSR(number, value) __asm__ volatile("csrr %0, " NAME(number) : "=r"(value)::"memory")
#define WRITE_CSR(number, value) \
	__asm__ volatile("csrw " NAME(number) ", %0" ::"r"((uint64_t)(value)) : "memory")

#define HSTATUS_VSXL_64 (UINT64_C(2) << 32)

#define CAUSE_VS_ECALL    10
#define CAUSE_GUEST_FETCH 20
#define CAUSE_GUEST_LOAD  21
#define CAUSE_GUEST_STORE 23
#define INSTRUCTION_BYTES 4
#define REGISTER_A0       10
#define REGISTER_A1       11

/* The virt machine's 16550 and its way to end the emulator. */
#define UART_BASE        0x10000000
#define UART_DATA        0
#define UART_LINE_STATUS 5
#define UART_EMPTY       0x20
#define FINISHER         0x100000
#define FINISHER_PASS    0x5555
#define FINISHER_FAIL    0x3333

const struct machine machine = {
	.name = "RISC-V HS",
	.guest_level = "VS",
	.root_name = "hgatp",
	.uart = UART_BASE,
};

static struct vcpu the_vcpu;

_Noreturn void host_exception(uint64_t cause, uint64_t pc, uint64_t address);

static volatile uint8_t *uart(uint32_t offset)
{
	return (volatile uint8_t *)(uintptr_t)(UART_BASE + offset);
}

void console_put(char character)
{
	while (!(*uart(UART_LINE_STATUS) & UART_EMPTY))
		;
	*uart(UART_DATA) = (uint8_t)character;
}

void machine_exit(uint32_t code)
{
	volatile uint32_t *finisher = (volatile uint32_t *)(uintptr_t)FINISHER;

	*finisher = code == 0 ? FINISHER_PASS : code << 16 | FINISHER_FAIL;
	for (;;)
		__asm__ volatile("wfi");
}

/* A fault of the hypervisor itself. */
void host_exception(uint64_t cause, uint64_t pc, uint64_t address)
{
	report("\nBAD: exception in HS mode: scause 0x%lx, pc 0x%lx, address 0x%lx\n", cause, pc,
	       address);
	machine_exit(2);
}

void machine_configure(axas_config_t *config, axas_hal_t *hal)
{
	/* One hart runs this space, so the library's own HFENCE.GVMA reaches all of them. */
	(void)config;
	hal->flags |= AXAS_HAL_BUILTIN_FLUSH;
}

axas_status_t machine_map(axas_t *space)
{
	(void)space;
	return AXAS_OK;
}

/* HFENCE.GVMA x0, x0: all guests, all addresses. */
static void fence_guests(void)
{
	__asm__ volatile("fence rw, rw\n\t.insn r 0x73, 0, 0x31, x0, x0, x0" ::: "memory");
}

struct vcpu *vcpu_start(const axas_hw_regs_t *registers, axas_gpa_t pc)
{
	/* Every trap of the guest comes here. */
	WRITE_CSR(CSR_HSTATUS, HSTATUS_VSXL_64);
	WRITE_CSR(CSR_HEDELEG, 0);
	WRITE_CSR(CSR_HIDELEG, 0);
	WRITE_CSR(CSR_VSSTATUS, 0);
	WRITE_CSR(CSR_VSATP, 0);
	WRITE_CSR(CSR_HGATP, registers->root_register);
	fence_guests();

	the_vcpu = (struct vcpu){ .pc = pc };
	return &the_vcpu;
}

void vcpu_load(struct vcpu *vcpu, const axas_hw_regs_t *registers)
{
	(void)vcpu;
	WRITE_CSR(CSR_HGATP, registers->root_register);
	fence_guests();
}

void vcpu_stop(struct vcpu *vcpu)
{
	(void)vcpu;
	WRITE_CSR(CSR_HGATP, 0);
	fence_guests();
}

static uint32_t decode_fault(uint64_t cause, axas_fault_t *fault)
{
	uint64_t stval, htval, htinst;

	READ_CSR(CSR_STVAL, stval);
	READ_CSR(CSR_HTVAL, htval);
	READ_CSR(CSR_HTINST, htinst);
	return axas_fault_from_riscv(cause, stval, htval, htinst, fault) == AXAS_OK &&
	       (fault->valid & AXAS_VALID_GPA);
}

void vcpu_run(struct vcpu *vcpu, struct guest_exit *exit)
{
	uint64_t cause;

	guest_enter(vcpu);
	READ_CSR(CSR_SCAUSE, cause);

	exit->reason = EXIT_UNKNOWN;
	exit->pc = vcpu->pc;
	exit->syndrome = cause;
	switch (cause) {
	case CAUSE_VS_ECALL:
		exit->reason = EXIT_HYPERCALL;
		exit->call = vcpu->x[REGISTER_A0];
		exit->argument = vcpu->x[REGISTER_A1];
		break;
	case CAUSE_GUEST_FETCH:
	case CAUSE_GUEST_LOAD:
	case CAUSE_GUEST_STORE:
		if (decode_fault(cause, &exit->fault))
			exit->reason = EXIT_FAULT;
		break;
	default:
		break;
	}
}

void vcpu_finish_call(struct vcpu *vcpu)
{
	vcpu->pc += INSTRUCTION_BYTES;
}

/*
 * htinst may be zero, so the instruction is read from the program itself. LW and SW are all that
 * the guest uses on devices: opcode in 6:0, width in 14:12, destination in 11:7, source in 24:20.
 */
#define LW                  0x2003
#define SW                  0x2023
#define FORM(instruction)   ((instruction)&0x707f)
#define REGISTER_TO(word)   ((word) >> 7 & 31)
#define REGISTER_FROM(word) ((word) >> 20 & 31)

static uint32_t instruction_of(const struct vcpu *vcpu)
{
	uint64_t offset = vcpu->pc - GPA_PROGRAM;
	uint32_t word = 0;

	if (offset > PROGRAM_SIZE - INSTRUCTION_BYTES)
		return 0;
	for (uint64_t i = INSTRUCTION_BYTES; i > 0; i--)
		word = word << 8 | guest_program[offset + i - 1];
	return word;
}

uint32_t vcpu_decode_access(const struct vcpu *vcpu, struct guest_access *access)
{
	uint32_t word = instruction_of(vcpu);

	if (FORM(word) != LW && FORM(word) != SW)
		return 0;
	access->is_write = FORM(word) == SW;
	access->bytes = sizeof(uint32_t);
	access->value = access->is_write ? (uint32_t)vcpu->x[REGISTER_FROM(word)] : 0;
	return 1;
}

void vcpu_finish_access(struct vcpu *vcpu, const struct guest_access *access)
{
	uint32_t number = REGISTER_TO(instruction_of(vcpu));

	if (!access->is_write && number != 0)
		vcpu->x[number] = (uint64_t)(int64_t)(int32_t)access->value;
	vcpu->pc += INSTRUCTION_BYTES;
}

void vcpu_refuse(struct vcpu *vcpu, axas_fault_result_t verdict)
{
	vcpu->x[REGISTER_A1] = verdict;
	vcpu->pc = GPA_PROGRAM + PROGRAM_REFUSED;
}
