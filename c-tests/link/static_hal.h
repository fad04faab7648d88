/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef STATIC_HAL_H
#define STATIC_HAL_H

#define AXAS_STATIC_HAL
#include "axaddrspace.h"

#define STATIC_HOST_FRAMES 16

/* What the callbacks were asked. */
struct static_host {
	_Alignas(AXAS_PAGE_SIZE) unsigned char frames[STATIC_HOST_FRAMES][AXAS_PAGE_SIZE];
	unsigned int taken, given, windows, closed, flushes, cleaned, asked, released, moved,
		resolved, evicted;
};

extern struct static_host static_host;

#endif
