/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The host's side of the queue. All that the guest says is checked; none of it can hurt the host. */
#ifndef VM_QUEUE_H
#define VM_QUEUE_H

#include <stdint.h>

#include "axaddrspace.h"

struct queue {
	axas_t *space;
	uint64_t descriptors, available, used; /* guest-physical, from the guest */
	uint32_t size;
	uint32_t status;
	uint16_t next_available, next_used;
};

void queue_reset(struct queue *queue, axas_t *space);

/* An access to the queue's registers, 32 bits at a time; returns 0 where there is no register. */
uint32_t queue_store(struct queue *queue, uint64_t offset, uint32_t value);
uint32_t queue_load(const struct queue *queue, uint64_t offset, uint32_t *value);

#endif
