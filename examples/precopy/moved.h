/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A guest on one vCPU that is moved while it writes: what pre-copy and post-copy have in common. */
#ifndef PRECOPY_MOVED_H
#define PRECOPY_MOVED_H

#include "cells.h"
#include "machine.h"

struct moved {
	axas_config_t config;
	axas_hal_t hal;
	axas_t *space; /* where the vCPU runs */
	struct vcpu *vcpu;
	void (*fetch)(
		axas_gpa_t gpa); /* brings a page that the vCPU waits for; null: there are none */
};

extern struct moved moved;

_Noreturn void give_up(const char *why);
void must(axas_status_t status, const char *call);

/* A space without memory but what this machine's guest needs. */
axas_t *space_create(uint32_t vmid);

/* Memory for the guest, without contents but for its program. */
axas_t *space_with_memory(uint32_t vmid);

/* The vCPU goes on in this space. Returns the one where it was. */
axas_t *change_over(axas_t *to);

/* ---- the story's part ---------------------------------------------------------------------- */

/* Makes the space in which the guest begins. */
void begin(void);
/* After each burst of the guest's writes. */
void after_burst(uint64_t burst);
/* The guest has ended. */
void finish(void);

#endif
