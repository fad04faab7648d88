/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A virtual machine, as far as memory and devices go: nothing in vm.c and queue.c knows which CPU
 * the guest runs on, or whether there is one.
 *
 * Who runs the vCPU brings it here at each exit: vm_fault() first, vm_emulate() where that says so.
 */
#ifndef VM_VM_H
#define VM_VM_H

#include <stddef.h>
#include <stdint.h>

#include "axaddrspace.h"
#include "machine.h"
#include "queue.h"

struct vm_config {
	axas_config_t space;
	axas_hal_t hal;
	axas_hpa_t device; /* a page of a real device, for the guest alone, at GPA_CONSOLE */
	const void *image; /* the guest's program, for GPA_PROGRAM */
	size_t image_bytes;
	axas_status_t (*map_more)(axas_t *space); /* what this machine's guest needs besides */
};

struct vm {
	const struct vm_config *config;
	axas_t *space;
	struct queue queue;
	uint32_t ticks;
	uint32_t life;
};

enum vm_next {
	VM_RESUME, /* enter the guest at the same instruction */
	VM_EMULATE, /* find out what the instruction wants, then vm_emulate() */
	VM_STEP, /* the access is done: give a load its value, enter behind the instruction */
	VM_REFUSE, /* the guest gets an abort of its own */
	VM_STOP, /* the guest cannot go on, through no fault of its own */
};

/* Makes the space and everything in it; after an error there is nothing. */
axas_status_t vm_create(struct vm *vm, const struct vm_config *config);

/* As new, in the same space with the same root. No vCPU runs meanwhile. */
axas_status_t vm_reset(struct vm *vm);

/* No CPU has the root loaded any more. */
void vm_destroy(struct vm *vm);

/* Tells the story's end and destroys the VM; 0 when the guest was content and every frame is back. */
uint32_t vm_finish(struct vm *vm, uint64_t guest_failures);

enum vm_next vm_fault(struct vm *vm, const axas_fault_t *fault);
enum vm_next vm_emulate(struct vm *vm, axas_gpa_t gpa, struct guest_access *access);

#endif
