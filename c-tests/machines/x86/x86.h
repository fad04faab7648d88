/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the AMD and the Intel machine share: the guest's tables, the second CPU, kicks. */
#ifndef MACHINES_X86_H
#define MACHINES_X86_H

#include <stdint.h>

#include "axaddrspace.h"

/* The guest's own tables, each address itself, up to this width: what both CPUs report. */
#define REACH_BITS       40
#define GPA_GUEST_TABLES 0x0b000000

axas_status_t guest_tables_map(axas_t *mapped);

/*
 * Shootdown. A CPU that is about to enter its guest says so, then takes the mark that a flush is
 * due. Whoever wants a flush marks all CPUs, and sends NMIs to one in its guest until that one has
 * come out and taken the mark. A CPU outside its guest takes it before it enters.
 */
uint32_t kicks_enter(uint32_t cpu);
void kicks_leave(uint32_t cpu);
void kicks_flush_here_later(void);
void kicks_flush_all(void);

uint64_t read_cr3(void);
uint64_t x86_read_msr(uint32_t number);
void x86_write_msr(uint32_t number, uint64_t value);

/* CR4 as the second CPU can take it before it has anything of its own. */
uint64_t layer_boot_cr4(uint64_t cr4);

/* From the assembly, on the second CPU's stack. */
_Noreturn void secondary_start(void);

#endif
