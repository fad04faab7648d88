/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * PSCI (Arm DEN 0022): vCPUs start and stop with the CPUs they have to themselves, so the guest's calls go on
 * to the machine's firmware, but for where a CPU starts and what the end is.
 */
#include "linux.h"
#include "sysreg.h"

SYSREG(mpidr_el1)

/* Without the bit of the 64-bit calling convention. */
#define PSCI_VERSION       0x84000000
#define PSCI_CPU_OFF       0x84000002
#define PSCI_CPU_ON        0x84000003
#define PSCI_AFFINITY_INFO 0x84000004
#define PSCI_MIGRATE_TYPE  0x84000006
#define PSCI_SYSTEM_OFF    0x84000008
#define PSCI_SYSTEM_RESET  0x84000009
#define PSCI_FEATURES      0x8400000a
#define SMC64              0x40000000u

#define PSCI_SUCCESS       0
#define PSCI_NOT_SUPPORTED ((uint64_t)-1)
#define PSCI_INVALID       ((uint64_t)-2)
#define PSCI_ALREADY_ON    ((uint64_t)-4)

#define MPIDR_AFFINITY 0xff00ffffff

_Noreturn void secondary_main(void);

static struct vcpu vcpus[VCPU_COUNT];
static uint32_t vcpu_is_on[VCPU_COUNT];
static uint8_t stacks[CPU_COUNT][STACK_SIZE] __attribute__((aligned(16)));
static void (*runs[CPU_COUNT])(void);

/* CPU n of QEMU's virt machine has affinity n, up to 16 of them. */
uint64_t this_cpu(void)
{
	return read_mpidr_el1() & MPIDR_AFFINITY;
}

struct vcpu *psci_boot_vcpu(void)
{
	vcpu_is_on[0] = 1;
	return &vcpus[0];
}

void secondary_main(void)
{
	runs[this_cpu()]();
	cpu_off();
}

uint64_t cpu_start(uint64_t cpu, void (*run)(void))
{
	runs[cpu] = run;
	return smc(PSCI_CPU_ON | SMC64, cpu, (uintptr_t)secondary_start,
		   (uintptr_t)stacks[cpu] + STACK_SIZE);
}

void cpu_off(void)
{
	smc(PSCI_CPU_OFF, 0, 0, 0);
	give_up("the firmware does not switch a CPU off");
}

static void run_vcpu(void)
{
	vcpu_main(&vcpus[this_cpu()]);
}

static uint64_t vcpu_on(uint64_t target, axas_gpa_t entry, uint64_t context)
{
	uint64_t status;

	target &= MPIDR_AFFINITY;
	if (target >= VCPU_COUNT)
		return PSCI_INVALID;
	if (__atomic_exchange_n(&vcpu_is_on[target], 1, __ATOMIC_ACQUIRE))
		return PSCI_ALREADY_ON;
	vcpu_reset(&vcpus[target], entry, context);
	status = cpu_start(target, run_vcpu);
	if (status != PSCI_SUCCESS)
		__atomic_store_n(&vcpu_is_on[target], 0, __ATOMIC_RELEASE);
	return status;
}

static _Noreturn void vcpu_off(void)
{
	vcpu_close();
	__atomic_store_n(&vcpu_is_on[this_cpu()], 0, __ATOMIC_RELEASE);
	cpu_off();
}

/* A vCPU that is on may be anywhere in the guest's memory, which goes with the space. */
static _Noreturn void system_off(void)
{
	for (uint64_t i = 0; i < VCPU_COUNT; i++) {
		if (i != this_cpu() && __atomic_load_n(&vcpu_is_on[i], __ATOMIC_ACQUIRE))
			give_up("the guest went off with another vCPU on");
	}
	vcpu_close();
	guest_is_off();
}

void psci_call(struct vcpu *vcpu)
{
	uint64_t function = vcpu->x[0] & UINT32_MAX;

	switch ((uint32_t)function & ~SMC64) {
	case PSCI_CPU_ON:
		vcpu->x[0] = vcpu_on(vcpu->x[1], vcpu->x[2], vcpu->x[3]);
		break;
	case PSCI_CPU_OFF:
		vcpu_off();
	case PSCI_SYSTEM_OFF:
		system_off();
	case PSCI_SYSTEM_RESET:
		give_up("the guest wants a reset, as after a panic");
	case PSCI_VERSION:
	case PSCI_AFFINITY_INFO:
	case PSCI_MIGRATE_TYPE:
	case PSCI_FEATURES:
		vcpu->x[0] = smc(function, vcpu->x[1], vcpu->x[2], vcpu->x[3]);
		break;
	default: /* CPU_SUSPEND too: the device tree has no idle states */
		vcpu->x[0] = PSCI_NOT_SUPPORTED;
		break;
	}
}
