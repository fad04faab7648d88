/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the files of this story share, besides ../linux/linux.h. */
#ifndef MIGRATE_MIGRATE_H
#define MIGRATE_MIGRATE_H

#include "linux.h"

#define RAM_PAGES    (RAM_SIZE / AXAS_PAGE_SIZE)
#define BITMAP_WORDS (RAM_PAGES / 64)

/* A device of the hypervisor's own: a write begins so many moves, a read says how many are left. */
#define CONTROL_GPA 0x0b000000

/* switch.c: the vCPU of this CPU starts, in the current space. */
void vcpu_enter_space(void);

/* switch.c: the space that the vCPU of this CPU runs in; the current one, whose root it loads if it is new. */
axas_t *vcpu_space(void);

/* switch.c: what this vCPU wanted of a frozen space it gets in the next: waits for that. Returns 0 if it is not frozen. */
uint32_t vcpu_wait_if_frozen(const axas_t *space);

/* switch.c */
axas_t *current_space(void);
void switch_to(axas_t *space);

/* switch.c: vCPUs that are refused something wait from now on; null: there is none frozen. */
void announce_freeze(const axas_t *space);

/* switch.c: waits until no CPU has this space's root loaded. */
void wait_until_left(const axas_t *space);

/* migrate.c: a space as the guest expects it, without contents. */
axas_t *guest_space_create(uint32_t vmid);

/* precopy.c: begins moves on the hypervisor's own CPU; once, and at most MOVES_MAX, else nothing happens. */
void moves_begin(uint64_t count);
uint64_t moves_left(void);

/* precopy.c: prints what each move took. Returns the VMID of the current space. */
uint32_t moves_report(void);

#endif
