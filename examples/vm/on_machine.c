/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The VM on a CPU: one of the machines of ../hypervisor runs the guest, this answers its exits. */
#include "devices.h"
#include "frames.h"
#include "layout.h"
#include "machine.h"
#include "report.h"
#include "vm.h"

#define GUEST_VMID 1

/* Handed over as a device where the machine has no UART in memory. */
static uint8_t no_device[AXAS_PAGE_SIZE] __attribute__((aligned(AXAS_PAGE_SIZE)));

static struct vm vm;

static _Noreturn void give_up(const char *why)
{
	report("\nBAD: %s\n", why);
	machine_exit(1);
}

static struct vcpu *start(void)
{
	axas_hw_regs_t registers;

	if (axas_hw_regs(vm.space, &registers) != AXAS_OK)
		give_up("axas_hw_regs");
	return vcpu_start(&registers, GPA_PROGRAM + PROGRAM_ENTRY);
}

static void handle_fault(struct vcpu *vcpu, const axas_fault_t *fault)
{
	struct guest_access access = { .bytes = 0 };
	enum vm_next next = vm_fault(&vm, fault);

	/* An instruction that the machine cannot describe has no width, and vm_emulate refuses it. */
	if (next == VM_EMULATE) {
		(void)vcpu_decode_access(vcpu, &access);
		next = vm_emulate(&vm, fault->gpa, &access);
	}
	if (next == VM_STEP)
		vcpu_finish_access(vcpu, &access);
	else if (next == VM_REFUSE)
		vcpu_refuse(vcpu, AXAS_FAULT_DENIED);
	else if (next != VM_RESUME)
		give_up("a fault to which there is no answer");
}

/* Returns how many of the guest's claims failed. */
static uint64_t run(void)
{
	struct vcpu *vcpu = start();
	struct guest_exit exit;

	for (;;) {
		vcpu_run(vcpu, &exit);
		if (exit.reason == EXIT_FAULT) {
			handle_fault(vcpu, &exit.fault);
		} else if (exit.reason != EXIT_HYPERCALL) {
			give_up("an exit that nobody knows");
		} else if (exit.call == CALL_SAY) {
			console_put((char)exit.argument);
			vcpu_finish_call(vcpu);
		} else if (exit.call == CALL_RESET) {
			vcpu_stop(vcpu);
			if (vm_reset(&vm) != AXAS_OK)
				give_up("vm_reset");
			vcpu = start();
		} else {
			vcpu_stop(vcpu);
			return exit.argument;
		}
	}
}

void hypervisor_main(void)
{
	static struct vm_config config = {
		.space = { .struct_size = sizeof(config.space),
			   .levels = GUEST_LEVELS,
			   .size = SPACE_SIZE,
			   .vmid = GUEST_VMID },
		.hal = { .struct_size = sizeof(config.hal) },
		.image = guest_program,
		.image_bytes = PROGRAM_SIZE,
		.map_more = machine_map,
	};

	frames_init();
	frames_supply(&config.hal);
	machine_configure(&config.space, &config.hal);
	config.device = machine.uart;
	if (machine.uart == AXAS_HPA_INVALID)
		config.device = (axas_hpa_t)(uintptr_t)no_device;
	if (vm_create(&vm, &config) != AXAS_OK)
		give_up("vm_create");
	report("\nA VM and a guest at its devices\n");
	machine_exit(vm_finish(&vm, run()));
}
