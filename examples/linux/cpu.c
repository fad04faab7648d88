/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The registers of EL2 that decide what the guest may do by itself: nearly everything.
 *
 * Register fields are those of the Arm Architecture Reference Manual (DDI 0487), chapter D, and of the
 * GICv3 specification (IHI 0069).
 */
#include "linux.h"
#include "sysreg.h"

SYSREG(hcr_el2)
SYSREG(vtcr_el2)
SYSREG(vttbr_el2)
SYSREG(cptr_el2)
SYSREG(mdcr_el2)
SYSREG(hstr_el2)
SYSREG(cnthctl_el2)
SYSREG(cntvoff_el2)
SYSREG(vpidr_el2)
SYSREG(vmpidr_el2)
SYSREG(midr_el1)
SYSREG(mpidr_el1)
SYSREG(sctlr_el1)
SYSREG(cntpct_el0)
SYSREG(cntfrq_el0)
SYSREG(id_aa64pfr0_el1)
SYSREG(pmcr_el0)
/* By their encodings, which every assembler knows: ICC_SRE_EL2, ICH_HCR_EL2, ZCR_EL2. */
SYSREG(s3_4_c12_c9_5)
SYSREG(s3_4_c12_c11_0)
SYSREG(s3_4_c1_c2_0)

/*
 * HCR_EL2: a 64-bit guest behind stage 2, which has pointer authentication to itself. SMC comes here, so
 * that no CPU starts or stops unseen. Interrupts go to EL1 and WFI waits there (IMO, FMO, AMO, TWI,
 * TWE 0). DC is 0, other than in ../hypervisor: it would keep the guest's own MMU off.
 */
#define HCR_VM  (UINT64_C(1) << 0)
#define HCR_TSC (UINT64_C(1) << 19)
#define HCR_RW  (UINT64_C(1) << 31)
#define HCR_APK (UINT64_C(1) << 40)
#define HCR_API (UINT64_C(1) << 41)

/* CPTR_EL2 with E2H 0. Bit 12 is RES1; bit 8 is too where there is no SVE, else it traps SVE. */
#define CPTR_RES1      0x32ff
#define CPTR_TZ        (1u << 8)
#define PFR0_SVE(pfr0) ((pfr0) >> 32 & 15)
#define ZCR_LEN_ALL    0x1ff

#define SRE_ALL 0xf /* SRE, DFB, DIB, and Enable: EL1 uses the system registers without a trap */

#define CNTHCTL_EL1PCTEN (1u << 0)
#define CNTHCTL_EL1PCEN  (1u << 1)

#define PMCR_N(pmcr) ((pmcr) >> 11 & 31)

#define SCTLR_EL1_MMU_OFF 0x30d00800
#define PSTATE_EL1H       0x3c5 /* SP_EL1, all interrupts masked */

#define US_PER_S 1000000

static void isb(void)
{
	__asm__ volatile("isb" ::: "memory");
}

static void open_cpu_features(void)
{
	if (PFR0_SVE(read_id_aa64pfr0_el1()) != 0) {
		write_cptr_el2(CPTR_RES1);
		isb();
		write_s3_4_c1_c2_0(ZCR_LEN_ALL);
	} else {
		write_cptr_el2(CPTR_RES1 | CPTR_TZ);
	}
	write_hstr_el2(0);
	write_mdcr_el2(PMCR_N(read_pmcr_el0())); /* HPMN: all event counters are EL1's */
	write_vpidr_el2(read_midr_el1());
	write_vmpidr_el2(read_mpidr_el1());
}

static void open_timer_and_interrupts(void)
{
	write_cnthctl_el2(CNTHCTL_EL1PCTEN | CNTHCTL_EL1PCEN);
	write_cntvoff_el2(0);
	write_s3_4_c12_c9_5(SRE_ALL);
	isb();
	write_s3_4_c12_c11_0(0);
}

void cpu_open(void)
{
	write_hcr_el2(HCR_VM | HCR_TSC | HCR_RW | HCR_APK | HCR_API);
	open_cpu_features();
	open_timer_and_interrupts();
	write_sctlr_el1(SCTLR_EL1_MMU_OFF);
}

void cpu_load(const axas_hw_regs_t *registers)
{
	write_vtcr_el2(registers->control_register);
	write_vttbr_el2(registers->root_register);
	/* Whatever an earlier owner of this VMID left behind on this CPU. */
	__asm__ volatile("isb\n\ttlbi vmalls12e1\n\tdsb nsh\n\tisb" ::: "memory");
}

void cpu_unload(void)
{
	write_vttbr_el2(0);
	isb();
}

void vcpu_reset(struct vcpu *vcpu, axas_gpa_t pc, uint64_t x0)
{
	*vcpu = (struct vcpu){ .x = { x0 }, .pc = pc, .pstate = PSTATE_EL1H };
}

uint64_t clock_us(void)
{
	isb();
	return read_cntpct_el0() * US_PER_S / read_cntfrq_el0();
}
