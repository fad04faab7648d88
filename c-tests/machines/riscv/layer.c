/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* RISC-V on QEMU's virt machine, on top of examples/hypervisor/riscv. */
#include "layer.h"

#include <stddef.h>

#include "guest.h"
#include "layout.h"
#include "suite.h"
#include "vcpu.h"

#define REGISTER_A0 10
#define REGISTER_A1 11
#define REGISTER_A2 12

/* By number, for assemblers that do not know the hypervisor extension. */
#define NAME(number) #number
#define WRITE_CSR(number, value) \
	__asm__ volatile("csrw " NAME(number) ", %0" ::"r"((uint64_t)(value)) : "memory")
#define CSR_VSATP 0x280

/* Stage 1 of the guest: Sv39, all that a leaf needs and every permission. */
#define VSATP_SV39   (UINT64_C(8) << 60)
#define STAGE1_TABLE 0x01
#define STAGE1_LEAF  0xcf /* V R W X A D */
#define PPN(address) ((address) >> 12 << 10)

/* SBI: extension in a7, function in a6. */
#define SBI_HSM                     0x48534d
#define SBI_HSM_START               0
#define SBI_RFENCE                  0x52464e43
#define SBI_REMOTE_HFENCE_GVMA_VMID 3
#define ALL_HARTS                   UINT64_MAX
#define ALL_ADDRESSES               UINT64_MAX

struct layer layer = {
	.format = AXAS_FORMAT_RISCV_GSTAGE,
	.always_features = AXAS_FEATURE_1G_PAGES,
	/* scause says what was tried, not why it failed. */
	.root_bytes = 16384,
	.tells_permission = 0,
	.exact_fetch = 1,
	.sets_accessed = 1,
	.has_builtin_flush = 1,
	.builtin_reaches_all = 0,
	.atomic_absent = AXAS_WRITE,
	.atomic_read_only = AXAS_WRITE,
	.walk_access = AXAS_READ,
	.stage1_levels = 3,
};

static struct vcpu vcpus[CPU_COUNT];

void secondary_entry(void);

void layer_probe(void)
{
	/* Extensions stand in the device tree only; OpenSBI has set menvcfg.PBMTE where Svpbmt is. */
	layer.features = DECLARED_FEATURES;
	/* Sv39x4 takes 41 bits, Sv48x4 50; QEMU 7.2 refuses every address with the top one set. */
	layer.space_size = UINT64_C(1) << (GUEST_LEVELS == 3 ? 41 : 50);
	layer.reach = layer.space_size / 2;
}

axas_status_t layer_expected_status(axas_flags_t flags, uint32_t features)
{
	const axas_flags_t never = AXAS_WRITE_COMBINE | AXAS_WRITE_THROUGH | AXAS_DEVICE_NGNRNE |
				   AXAS_DEVICE_NGRE | AXAS_DEVICE_GRE;

	if (!(flags & (AXAS_READ | AXAS_WRITE | AXAS_EXECUTE)))
		return AXAS_ERR_INVALID_INPUT;
	if (flags & never)
		return AXAS_ERR_UNSUPPORTED;
	if (flags & AXAS_UNCACHED && !(features & AXAS_FEATURE_RISCV_SVPBMT))
		return AXAS_ERR_UNSUPPORTED;
	if (flags & AXAS_WRITE && !(flags & AXAS_READ))
		return AXAS_ERR_UNSUPPORTED;
	return AXAS_OK;
}

/* HFENCE.GVMA x0, x0 and HFENCE.VVMA x0, x0: on this hart. */
static void fence_local(void)
{
	__asm__ volatile("fence rw, rw\n\t"
			 ".insn r 0x73, 0, 0x31, x0, x0, x0\n\t"
			 ".insn r 0x73, 0, 0x11, x0, x0, x0" ::
				 : "memory");
}

static int64_t sbi(uint64_t extension, uint64_t function, const uint64_t arguments[5])
{
	register uint64_t a0 __asm__("a0") = arguments[0];
	register uint64_t a1 __asm__("a1") = arguments[1];
	register uint64_t a2 __asm__("a2") = arguments[2];
	register uint64_t a3 __asm__("a3") = arguments[3];
	register uint64_t a4 __asm__("a4") = arguments[4];
	register uint64_t a6 __asm__("a6") = function;
	register uint64_t a7 __asm__("a7") = extension;

	__asm__ volatile("ecall"
			 : "+r"(a0), "+r"(a1)
			 : "r"(a2), "r"(a3), "r"(a4), "r"(a6), "r"(a7)
			 : "memory");
	return (int64_t)a0;
}

struct vcpu *layer_load(uint32_t cpu, const axas_hw_regs_t *registers)
{
	vcpus[cpu] = *vcpu_start(registers, GPA_PROGRAM);
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
	return (root_register & 0xfffffffffff) << 12;
}

void layer_request(struct vcpu *vcpu, uint64_t op, uint64_t address, uint64_t value)
{
	vcpu->x[REGISTER_A0] = op;
	vcpu->x[REGISTER_A1] = address;
	vcpu->x[REGISTER_A2] = value;
	vcpu->pc = GPA_PROGRAM;
}

uint64_t layer_stage1_table(uint64_t gpa)
{
	return PPN(gpa) | STAGE1_TABLE;
}

uint64_t layer_stage1_page(uint64_t gpa)
{
	return PPN(gpa) | STAGE1_LEAF;
}

uint64_t layer_stage1_gib(uint64_t gpa)
{
	return PPN(gpa) | STAGE1_LEAF;
}

void layer_stage1_on(struct vcpu *vcpu, uint64_t root)
{
	(void)vcpu;
	WRITE_CSR(CSR_VSATP, VSATP_SV39 | root >> 12);
	fence_local();
}

void layer_stage1_off(struct vcpu *vcpu)
{
	(void)vcpu;
	WRITE_CSR(CSR_VSATP, 0);
	fence_local();
}

void layer_flush_local(const axas_tlb_request_t *request)
{
	(void)request;
	fence_local();
}

/* The firmware carries the fence to the other hart and comes back when it is done. */
void layer_flush_all(const axas_tlb_request_t *request)
{
	const uint64_t all[5] = { 0, ALL_HARTS, 0, ALL_ADDRESSES, request->vmid };
	const uint64_t some[5] = { 0, ALL_HARTS, request->gpa, request->size, request->vmid };
	int64_t failed =
		sbi(SBI_RFENCE, SBI_REMOTE_HFENCE_GVMA_VMID, request->tables_removed ? all : some);

	must("SBI remote fence", failed ? AXAS_ERR_BAD_STATE : AXAS_OK);
	fence_local();
}

void layer_sync_code(void *code, uint64_t bytes)
{
	(void)code;
	(void)bytes;
	__asm__ volatile("fence.i" ::: "memory");
}

/*
 * The one that runs is told by the firmware's refusal to start it. So is one that the firmware has not brought
 * to rest yet, on a busy machine: it is asked again for some seconds.
 */
uint32_t layer_start_secondary(void)
{
	for (uint32_t attempt = 0; attempt < 4000000; attempt++) {
		const uint64_t hart = attempt % CPU_COUNT;
		const uint64_t arguments[5] = { hart, (uintptr_t)secondary_entry };

		if (sbi(SBI_HSM, SBI_HSM_START, arguments) == 0)
			return 1;
	}
	return 0;
}

void layer_relax(void)
{
	__asm__ volatile("" ::: "memory");
}
