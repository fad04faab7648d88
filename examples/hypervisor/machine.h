/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a machine provides to the portable part: boot, console, one vCPU, and an end.
 *
 * The machine's boot code sets up the host side (stack, caches, own page tables, exception vectors
 * that report and stop) and calls hypervisor_main(). All the rest is asked for from there. There is
 * one vCPU and no interrupts.
 */
#ifndef HYPERVISOR_MACHINE_H
#define HYPERVISOR_MACHINE_H

#include <stdint.h>

#include "axaddrspace.h"

struct machine {
	const char *name; /* "AArch64 EL2" */
	const char *guest_level; /* "EL1" */
	const char *root_name; /* what holds the root: "VTTBR_EL2" */
	const char *control_name; /* what describes the walk: "VTCR_EL2"; null where nothing does */
	axas_hpa_t uart; /* a UART to hand to the guest at GPA_CONSOLE, or AXAS_HPA_INVALID */
};

extern const struct machine machine;

/* One character to the person who watches. */
void console_put(char character);

/* Ends the machine; 0 says that all went as it should. */
_Noreturn void machine_exit(uint32_t code);

/* Fills in what differs between machines: format, features, and how stale translations go. */
void machine_configure(axas_config_t *config, axas_hal_t *hal);

/*
 * Maps what this machine's guest needs besides the layout, for example page tables of its own.
 * Most machines need nothing and return AXAS_OK.
 */
axas_status_t machine_map(axas_t *space);

/* The guest's program as it lies in the hypervisor's image: page aligned, PROGRAM_SIZE bytes. */
extern const uint8_t guest_program[];

enum exit_reason {
	EXIT_HYPERCALL,
	EXIT_FAULT, /* a second-stage fault, decoded by the library */
	EXIT_GONE, /* a fault whose address the guest's own tables do not know any more: it goes on */
	EXIT_UNKNOWN, /* nothing the scenario knows about: it stops */
};

struct guest_exit {
	enum exit_reason reason;
	uint64_t pc; /* the instruction that left the guest */
	uint64_t call; /* EXIT_HYPERCALL: one of CALL_* */
	uint64_t argument; /* EXIT_HYPERCALL */
	axas_fault_t fault; /* EXIT_FAULT */
	uint64_t syndrome; /* EXIT_UNKNOWN: the machine's own word about it */
};

/* A load or store by the guest that the hypervisor carries out in its place. */
struct guest_access {
	uint32_t is_write;
	uint32_t bytes;
	uint64_t value; /* from the guest for a store; for a load, what it is to get */
};

struct vcpu;

/* Loads the space's root and makes the one vCPU ready to start at this guest-physical address. */
struct vcpu *vcpu_start(const axas_hw_regs_t *registers, axas_gpa_t pc);

/* Loads the root of another space, in which the vCPU goes on. The old space may go then. */
void vcpu_load(struct vcpu *vcpu, const axas_hw_regs_t *registers);

/* Unloads the root; the guest does not run again. */
void vcpu_stop(struct vcpu *vcpu);

/* Runs the guest until it leaves. */
void vcpu_run(struct vcpu *vcpu, struct guest_exit *exit);

/* After EXIT_HYPERCALL: steps over the call. */
void vcpu_finish_call(struct vcpu *vcpu);

/* After EXIT_FAULT: what the instruction wanted; 0 if this machine cannot tell. */
uint32_t vcpu_decode_access(const struct vcpu *vcpu, struct guest_access *access);

/* After vcpu_decode_access(): gives a load its value and steps over the instruction. */
void vcpu_finish_access(struct vcpu *vcpu, const struct guest_access *access);

/* After EXIT_FAULT: the guest goes on at PROGRAM_REFUSED and finds the verdict in a register. */
void vcpu_refuse(struct vcpu *vcpu, axas_fault_result_t verdict);

/* The portable part, entered by the boot code. */
_Noreturn void hypervisor_main(void);

#endif
