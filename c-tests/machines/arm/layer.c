/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* AArch64 on QEMU's virt machine, on top of examples/hypervisor/arm. */
#include "layer.h"

#include <stddef.h>

#include "guest.h"
#include "layout.h"
#include "suite.h"
#include "vcpu.h"

#define SYSREG(name)                                                           \
	static inline uint64_t read_##name(void)                               \
	{                                                                      \
		uint64_t value;                                                \
                                                                               \
		__asm__ volatile("mrs %0, " #name : "=r"(value)::"memory");    \
		return value;                                                  \
	}                                                                      \
	static inline void write_##name(uint64_t value)                        \
	{                                                                      \
		__asm__ volatile("msr " #name ", %0" ::"r"(value) : "memory"); \
	}

SYSREG(id_aa64mmfr0_el1)
SYSREG(id_aa64mmfr1_el1)
SYSREG(id_aa64mmfr2_el1)
SYSREG(mair_el2)
SYSREG(tcr_el2)
SYSREG(ttbr0_el2)
SYSREG(sctlr_el2)
SYSREG(vbar_el2)
SYSREG(hcr_el2)
SYSREG(mair_el1)
SYSREG(tcr_el1)
SYSREG(ttbr0_el1)
SYSREG(sctlr_el1)

/* Fields of the ID registers: Arm ARM, D19.2. */
#define PARANGE(mmfr0)   ((mmfr0)&15)
#define HAFDBS(mmfr1)    ((mmfr1)&15)
#define FWB(mmfr2)       ((mmfr2) >> 40 & 15)
#define BBM(mmfr2)       ((mmfr2) >> 52 & 15)
#define HCR_DC           (UINT64_C(1) << 12)
#define HCR_FWB          (UINT64_C(1) << 46)
#define HAFDBS_DIRTY     2
#define BBM_LEVEL_2      2
#define PARANGE_48       5
#define THREE_LEVEL_BITS 40

/* Stage 1 of the guest: 39 bits, 4 KiB, inner shareable write-back. */
#define MAIR_WRITE_BACK   0xff
#define TCR_GUEST         (25u | 1u << 8 | 1u << 10 | 3u << 12 | 1u << 23)
#define TCR_IPS_SHIFT     32
#define STAGE1_TABLE      3u
#define STAGE1_PAGE       (3u | 3u << 8 | 1u << 10)
#define STAGE1_BLOCK      (1u | 3u << 8 | 1u << 10)
#define SCTLR_MMU_CACHES  (1u << 0 | 1u << 2 | 1u << 12)
#define SCTLR_EL1_MMU_OFF 0x30d00800

#define PSCI_CPU_ON 0xc4000003

struct layer layer = {
	.format = AXAS_FORMAT_ARM_S2,
	.always_features = AXAS_FEATURE_1G_PAGES,
	.tells_permission = 1,
	.exact_fetch = 1,
	.has_builtin_flush = 1,
	.builtin_reaches_all = 1,
	/* The exclusive load comes first, and faults as one. */
	.atomic_absent = AXAS_READ,
	.atomic_read_only = AXAS_WRITE,
	.walk_access = AXAS_READ,
	.stage1_levels = 3,
};

static struct vcpu vcpus[CPU_COUNT];
static uint64_t secondary_block[5] __attribute__((aligned(64)));

void secondary_entry(void);

void layer_probe(void)
{
	static const uint32_t widths[] = { 32, 36, 40, 42, 44, 48 };
	uint64_t mmfr1 = read_id_aa64mmfr1_el1();
	uint64_t mmfr2 = read_id_aa64mmfr2_el1();
	uint64_t range = PARANGE(read_id_aa64mmfr0_el1());
	uint32_t width = widths[range < PARANGE_48 ? range : PARANGE_48];

	if (GUEST_LEVELS == 3 && width > THREE_LEVEL_BITS)
		width = THREE_LEVEL_BITS;
	layer.space_size = UINT64_C(1) << width;
	layer.reach = layer.space_size;
	/* Level 1 resolves 39 bits: a root of two tables makes 40 of it. */
	layer.root_bytes = GUEST_LEVELS == 3 && width == THREE_LEVEL_BITS ? 8192 : 4096;
	if (HAFDBS(mmfr1) >= HAFDBS_DIRTY)
		layer.features |= AXAS_FEATURE_ARM_HAFDBS;
	layer.sets_accessed = layer.features & AXAS_FEATURE_ARM_HAFDBS ? 1 : 0;
	if (FWB(mmfr2))
		layer.features |= AXAS_FEATURE_ARM_FWB;
	if (BBM(mmfr2) >= BBM_LEVEL_2)
		layer.features |= AXAS_FEATURE_ARM_BBM2;
}

axas_status_t layer_expected_status(axas_flags_t flags, uint32_t features)
{
	uint32_t has_fwb = features & AXAS_FEATURE_ARM_FWB;

	if (!(flags & (AXAS_READ | AXAS_WRITE | AXAS_EXECUTE)))
		return AXAS_ERR_INVALID_INPUT;
	/* No write-combining on Arm; FWB has no encoding for write-through. */
	if (flags & AXAS_WRITE_COMBINE || (flags & AXAS_WRITE_THROUGH && has_fwb))
		return AXAS_ERR_UNSUPPORTED;
	return AXAS_OK;
}

struct vcpu *layer_load(uint32_t cpu, const axas_hw_regs_t *registers)
{
	vcpus[cpu] = *vcpu_start(registers, GPA_PROGRAM);
	if (registers->required_state & AXAS_NEEDS_HCR_FWB)
		write_hcr_el2(read_hcr_el2() | HCR_FWB);
	__asm__ volatile("isb" ::: "memory");
	return &vcpus[cpu];
}

void layer_unload(uint32_t cpu)
{
	vcpu_stop(&vcpus[cpu]);
}

axas_status_t layer_map(axas_t *mapped)
{
	return machine_map(mapped);
}

void layer_run(struct vcpu *vcpu, struct guest_exit *exit)
{
	vcpu_run(vcpu, exit);
}

axas_hpa_t layer_root_of(uint64_t root_register)
{
	return root_register & 0xffffffffffff;
}

void layer_request(struct vcpu *vcpu, uint64_t op, uint64_t address, uint64_t value)
{
	vcpu->x[0] = op;
	vcpu->x[1] = address;
	vcpu->x[2] = value;
	vcpu->pc = GPA_PROGRAM;
}

uint64_t layer_stage1_table(uint64_t gpa)
{
	return gpa | STAGE1_TABLE;
}

uint64_t layer_stage1_page(uint64_t gpa)
{
	return gpa | STAGE1_PAGE;
}

uint64_t layer_stage1_gib(uint64_t gpa)
{
	return gpa | STAGE1_BLOCK;
}

void layer_stage1_on(struct vcpu *vcpu, uint64_t root)
{
	uint64_t range = PARANGE(read_id_aa64mmfr0_el1());

	(void)vcpu;
	write_mair_el1(MAIR_WRITE_BACK);
	write_tcr_el1(TCR_GUEST | (range < PARANGE_48 ? range : PARANGE_48) << TCR_IPS_SHIFT);
	write_ttbr0_el1(root);
	write_sctlr_el1(SCTLR_EL1_MMU_OFF | SCTLR_MMU_CACHES);
	/* Default cacheability would keep stage 1 off. */
	write_hcr_el2(read_hcr_el2() & ~HCR_DC);
	__asm__ volatile("isb\n\ttlbi vmalls12e1\n\tdsb sy\n\tisb" ::: "memory");
}

void layer_stage1_off(struct vcpu *vcpu)
{
	(void)vcpu;
	write_sctlr_el1(SCTLR_EL1_MMU_OFF);
	write_hcr_el2(read_hcr_el2() | HCR_DC);
	__asm__ volatile("isb\n\ttlbi vmalls12e1\n\tdsb sy\n\tisb" ::: "memory");
}

void layer_flush_local(const axas_tlb_request_t *request)
{
	/* QEMU 7.2 carries VMALLS12E1 to all CPUs, which would hide a shootdown that is forgotten. */
	(void)request;
	__asm__ volatile("dsb nshst\n\ttlbi alle1\n\tdsb nsh\n\tisb" ::: "memory");
}

/*
 * By address as the architecture wants it: the stage-2 entry, then whatever stage 1 combined with
 * it. The suite's VMID is loaded while it runs.
 */
void layer_flush_all(const axas_tlb_request_t *request)
{
	uint64_t end = request->gpa + request->size;

	if (request->tables_removed || request->size > MIB(2)) {
		__asm__ volatile("dsb ishst\n\ttlbi vmalls12e1is\n\tdsb ish\n\tisb" ::: "memory");
		return;
	}
	__asm__ volatile("dsb ishst" ::: "memory");
	for (uint64_t gpa = request->gpa; gpa < end; gpa += PAGE)
		__asm__ volatile("tlbi ipas2e1is, %0" ::"r"(gpa >> 12) : "memory");
	__asm__ volatile("dsb ish\n\ttlbi vmalle1is\n\tdsb ish\n\tisb" ::: "memory");
}

void layer_sync_code(void *code, uint64_t bytes)
{
	uintptr_t first = (uintptr_t)code & ~(uintptr_t)15;

	for (uintptr_t line = first; line < (uintptr_t)code + bytes; line += 16)
		__asm__ volatile("dc cvau, %0\n\tdsb ish\n\tic ivau, %0" ::"r"(line) : "memory");
	__asm__ volatile("dsb ish\n\tisb" ::: "memory");
}

uint32_t layer_start_secondary(void)
{
	register uint64_t x0 __asm__("x0") = PSCI_CPU_ON;
	register uint64_t x1 __asm__("x1") = 1; /* MPIDR of the second core */
	register uint64_t x2 __asm__("x2") = (uintptr_t)secondary_entry;
	register uint64_t x3 __asm__("x3") = (uintptr_t)secondary_block;

	secondary_block[0] = read_mair_el2();
	secondary_block[1] = read_tcr_el2();
	secondary_block[2] = read_ttbr0_el2();
	secondary_block[3] = read_sctlr_el2();
	secondary_block[4] = read_vbar_el2();
	/* It reads them with its caches off. */
	__asm__ volatile("dc civac, %0\n\tdsb sy" ::"r"(secondary_block) : "memory");
	__asm__ volatile("smc #0" : "+r"(x0) : "r"(x1), "r"(x2), "r"(x3) : "memory");
	return x0 == 0;
}

void layer_relax(void)
{
	__asm__ volatile("yield");
}
