/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * AArch64 EL2 on QEMU's virt machine: EL2's own MMU, the stage-2 registers, one vCPU at EL1.
 *
 * Register fields are those of the Arm Architecture Reference Manual (DDI 0487), chapter D.
 */
#include <stddef.h>
#include <stdint.h>

#include "layout.h"
#include "machine.h"
#include "report.h"
#include "sysreg.h"
#include "vcpu.h"

SYSREG(id_aa64mmfr0_el1)
SYSREG(mair_el2)
SYSREG(tcr_el2)
SYSREG(ttbr0_el2)
SYSREG(sctlr_el2)
SYSREG(hcr_el2)
SYSREG(vtcr_el2)
SYSREG(vttbr_el2)
SYSREG(esr_el2)
SYSREG(far_el2)
SYSREG(hpfar_el2)
SYSREG(sctlr_el1)
SYSREG(par_el1)
SYSREG(id_aa64mmfr1_el1)

/* The virt machine: devices in the first GiB, RAM from the second on. */
/* ID_AA64MMFR1_EL1.HAFDBS: access flag and dirty state. */
#define HAFDBS_MASK        0xf
#define HAFDBS_DIRTY_STATE 2

#define UART_BASE  0x09000000
#define UART_DATA  0x00
#define UART_FLAGS 0x18
#define UART_FULL  (1u << 5)

/* MAIR_EL2: attribute 0 is Normal write-back, attribute 1 is Device-nGnRE. */
#define MAIR_VALUE       0x04ff
#define BLOCK            (1u << 0)
#define BLOCK_DEVICE     (1u << 2)
#define BLOCK_AP_RES1    (1u << 6)
#define BLOCK_INNER      (3u << 8)
#define BLOCK_AF         (1u << 10)
#define BLOCK_XN         (UINT64_C(1) << 54)
#define GIB              (UINT64_C(1) << 30)
#define RAM_GIB          1
#define TCR_RES1         (1u << 31 | 1u << 23)
#define TCR_T0SZ_39_BITS 25u
#define TCR_WRITE_BACK   (1u << 8 | 1u << 10)
#define TCR_INNER        (3u << 12)
#define TCR_PS_SHIFT     16
#define PS_48_BITS       5u
#define SCTLR_EL2_RES1   0x30c50830
#define SCTLR_MMU_CACHES (1u << 0 | 1u << 2 | 1u << 12)

/*
 * HCR_EL2: a 64-bit guest behind stage 2; SMC and interrupts come here. DC makes the guest's memory
 * cacheable while its own MMU is off, so both sides see the same bytes, and it is stage 2 alone
 * that says what is device memory.
 */
#define HCR_VM     (1u << 0)
#define HCR_TO_EL2 (1u << 3 | 1u << 4 | 1u << 5 | 1u << 19)
#define HCR_DC     (1u << 12)
#define HCR_RW     (1u << 31)
#define HCR_VALUE  (HCR_VM | HCR_TO_EL2 | HCR_DC | HCR_RW)

#define SCTLR_EL1_MMU_OFF 0x30d00800
#define PSTATE_EL1H       0x3c5 /* SP_EL1, all interrupts masked */

/* ESR_EL2 */
#define ESR_CLASS(esr)        ((esr) >> 26 & 0x3f)
#define CLASS_HVC64           0x16
#define CLASS_INSTRUCTION     0x20
#define CLASS_DATA            0x24
#define ESR_IS_WRITE(esr)     ((esr) >> 6 & 1)
#define ESR_REGISTER(esr)     ((esr) >> 16 & 31)
#define ESR_SIZE(esr)         ((esr) >> 22 & 3)
#define ESR_IS_DESCRIBED(esr) ((esr) >> 24 & 1)
#define REGISTER_ZERO         31
#define INSTRUCTION_BYTES     4

#define PAR_FAILED  (1u << 0)
#define PAR_ADDRESS 0xfffffffff000

/* SYS_EXIT: "the application ends with this code". */
#define SEMIHOSTING_APPLICATION_EXIT 0x20026

const struct machine machine = {
	.name = "AArch64 EL2",
	.guest_level = "EL1",
	.root_name = "VTTBR_EL2",
	.control_name = "VTCR_EL2",
	.uart = UART_BASE,
};

static uint64_t host_table[512] __attribute__((aligned(4096)));
static struct vcpu the_vcpu;

void host_map(void);
void mmu_on(void);
_Noreturn void host_exception(uint64_t esr, uint64_t pc, uint64_t address);

static volatile uint32_t *uart(uint32_t offset)
{
	return (volatile uint32_t *)(uintptr_t)(UART_BASE + offset);
}

void console_put(char character)
{
	while (*uart(UART_FLAGS) & UART_FULL)
		;
	*uart(UART_DATA) = (uint8_t)character;
}

void machine_exit(uint32_t code)
{
	const uint64_t block[2] = { SEMIHOSTING_APPLICATION_EXIT, code };

	semihosting_exit(block);
}

/* The library's tables have to be ordinary cached memory, so EL2 runs on an identity map. */
void host_map(void)
{
	host_table[0] = BLOCK | BLOCK_DEVICE | BLOCK_AP_RES1 | BLOCK_AF | BLOCK_XN;
	host_table[RAM_GIB] = RAM_GIB * GIB | BLOCK | BLOCK_AP_RES1 | BLOCK_INNER | BLOCK_AF;
}

/* On each CPU, after host_map() on the first. Uses no memory before the MMU is on. */
void mmu_on(void)
{
	uint64_t width = read_id_aa64mmfr0_el1() & 15;

	if (width > PS_48_BITS)
		width = PS_48_BITS;
	write_mair_el2(MAIR_VALUE);
	write_tcr_el2(TCR_RES1 | width << TCR_PS_SHIFT | TCR_INNER | TCR_WRITE_BACK |
		      TCR_T0SZ_39_BITS);
	write_ttbr0_el2((uintptr_t)host_table);
	__asm__ volatile("dsb sy\n\ttlbi alle2\n\tic iallu\n\tdsb sy\n\tisb" ::: "memory");
	write_sctlr_el2(SCTLR_EL2_RES1 | SCTLR_MMU_CACHES);
	__asm__ volatile("isb" ::: "memory");
}

/* A fault of the hypervisor itself, or something of the guest's that has no business here. */
void host_exception(uint64_t esr, uint64_t pc, uint64_t address)
{
	report("\nBAD: exception at EL2: ESR 0x%lx, pc 0x%lx, address 0x%lx\n", esr, pc, address);
	machine_exit(2);
}

void machine_configure(axas_config_t *config, axas_hal_t *hal)
{
	/* Every ARMv8 CPU runs with these tables; some set dirty bits. TLBI reaches all CPUs. */
	if ((read_id_aa64mmfr1_el1() & HAFDBS_MASK) == HAFDBS_DIRTY_STATE)
		config->features |= AXAS_FEATURE_ARM_HAFDBS;
	hal->flags |= AXAS_HAL_BUILTIN_FLUSH;
}

axas_status_t machine_map(axas_t *space)
{
	(void)space;
	return AXAS_OK;
}

struct vcpu *vcpu_start(const axas_hw_regs_t *registers, axas_gpa_t pc)
{
	write_hcr_el2(HCR_VALUE);
	write_vtcr_el2(registers->control_register);
	write_vttbr_el2(registers->root_register);
	write_sctlr_el1(SCTLR_EL1_MMU_OFF);
	/* Whatever an earlier owner of this VMID left behind. */
	__asm__ volatile("isb\n\ttlbi vmalls12e1\n\tdsb sy\n\tisb" ::: "memory");

	the_vcpu = (struct vcpu){ .pc = pc, .pstate = PSTATE_EL1H };
	return &the_vcpu;
}

void vcpu_load(struct vcpu *vcpu, const axas_hw_regs_t *registers)
{
	(void)vcpu;
	write_vttbr_el2(registers->root_register);
	__asm__ volatile("isb\n\ttlbi vmalls12e1\n\tdsb sy\n\tisb" ::: "memory");
}

void vcpu_stop(struct vcpu *vcpu)
{
	(void)vcpu;
	__asm__ volatile("tlbi vmalls12e1\n\tdsb sy" ::: "memory");
	write_vttbr_el2(0);
	__asm__ volatile("isb" ::: "memory");
}

/*
 * For a permission fault the CPU need not say which guest-physical address it was: ask the guest's
 * stage 1 about the virtual one. Returns 0 if it has no answer, so the guest has changed its tables
 * since. PAR_EL1 is the guest's.
 */
static uint32_t find_gpa(axas_fault_t *fault)
{
	uint64_t kept, par;

	if (fault->valid & AXAS_VALID_GPA)
		return 1;
	kept = read_par_el1();
	__asm__ volatile("at s1e1r, %0\n\tisb" ::"r"(fault->gva) : "memory");
	par = read_par_el1();
	write_par_el1(kept);
	if (par & PAR_FAILED)
		return 0;
	fault->gpa = (par & PAR_ADDRESS) | (fault->gva & (AXAS_PAGE_SIZE - 1));
	fault->valid |= AXAS_VALID_GPA;
	return 1;
}

void vcpu_run(struct vcpu *vcpu, struct guest_exit *exit)
{
	uint32_t synchronous = guest_enter(vcpu);
	uint64_t esr = read_esr_el2();

	exit->reason = EXIT_UNKNOWN;
	exit->pc = vcpu->pc;
	exit->syndrome = esr;
	if (!synchronous)
		return;

	switch (ESR_CLASS(esr)) {
	case CLASS_HVC64:
		exit->reason = EXIT_HYPERCALL;
		exit->pc -= INSTRUCTION_BYTES;
		exit->call = vcpu->x[0];
		exit->argument = vcpu->x[1];
		break;
	case CLASS_INSTRUCTION:
	case CLASS_DATA:
		if (axas_fault_from_arm(esr, read_far_el2(), read_hpfar_el2(), &exit->fault) !=
		    AXAS_OK)
			break;
		if (find_gpa(&exit->fault))
			exit->reason = EXIT_FAULT;
		else if (exit->fault.kind == AXAS_KIND_PERMISSION)
			exit->reason = EXIT_GONE;
		break;
	default:
		break;
	}
}

void vcpu_finish_call(struct vcpu *vcpu)
{
	/* HVC returns behind itself. */
	(void)vcpu;
}

uint32_t vcpu_decode_access(const struct vcpu *vcpu, struct guest_access *access)
{
	uint64_t esr = read_esr_el2();
	uint64_t number = ESR_REGISTER(esr);

	if (!ESR_IS_DESCRIBED(esr))
		return 0;
	access->is_write = (uint32_t)ESR_IS_WRITE(esr);
	access->bytes = 1u << ESR_SIZE(esr);
	access->value = access->is_write && number != REGISTER_ZERO ? vcpu->x[number] : 0;
	return 1;
}

void vcpu_finish_access(struct vcpu *vcpu, const struct guest_access *access)
{
	uint64_t number = ESR_REGISTER(read_esr_el2());

	if (!access->is_write && number != REGISTER_ZERO)
		vcpu->x[number] = access->value;
	vcpu->pc += INSTRUCTION_BYTES;
}

void vcpu_refuse(struct vcpu *vcpu, axas_fault_result_t verdict)
{
	vcpu->x[1] = verdict;
	vcpu->pc = GPA_PROGRAM + PROGRAM_REFUSED;
}
