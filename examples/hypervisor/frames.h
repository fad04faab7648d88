/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Where all memory of the guest's space comes from, and the books that prove that it came back. */
#ifndef HYPERVISOR_FRAMES_H
#define HYPERVISOR_FRAMES_H

#include <stdint.h>

#include "axaddrspace.h"

/* In 4 KiB frames; taken minus returned is what is out now. */
struct frame_books {
	uint64_t taken;
	uint64_t returned;
};

/* Fills the pool with garbage, so that nothing is zero by luck. */
void frames_init(void);

/* Gives the library this allocator and the way from a frame to a pointer. */
void frames_supply(axas_hal_t *hal);

/* The books of one purpose, AXAS_FRAME_TABLE (with roots) or AXAS_FRAME_GUEST. */
const struct frame_books *frames_books(uint32_t purpose);

/* How often a frame came back that was not out, or not as it was taken. */
uint32_t frames_mistakes(void);

#endif
