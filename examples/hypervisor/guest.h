/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the guest's program needs from its machine, most of it in <machine>/guest_entry.S.
 *
 * That file begins with the two entry points of layout.h: PROGRAM_ENTRY sets the stack, calls
 * guest_main() and makes CALL_DONE of what it returns; PROGRAM_REFUSED ends the guest_try_ function
 * that was under way, with the verdict as outcome.refused.
 */
#ifndef HYPERVISOR_GUEST_H
#define HYPERVISOR_GUEST_H

#include <stdint.h>

struct guest_outcome {
	uint64_t value; /* what was read, or what the code returned */
	uint64_t refused; /* not 0: the hypervisor's verdict on the access */
};

/* Accesses that may be refused. */
struct guest_outcome guest_try_read(uint64_t address);
struct guest_outcome guest_try_write(uint64_t address, uint64_t value);
struct guest_outcome guest_try_execute(uint64_t address);

/* Device accesses, of a form that the hypervisor can decode. */
uint32_t guest_load32(uint64_t address);
void guest_store32(uint64_t address, uint32_t value);

/* One hypercall. */
void guest_call(uint64_t call, uint64_t argument);

/* One character to the console. */
void guest_put(char character);

/* A function to copy, a multiple of 8 bytes that works anywhere; returns GUEST_SAMPLE_VALUE. */
extern const uint8_t guest_sample[];
extern const uint8_t guest_sample_end[];
#define GUEST_SAMPLE_VALUE 42

/* Makes code that was just written fit to be executed. */
void guest_sync_code(uint64_t address, uint64_t bytes);

uint64_t guest_main(void);

#endif
