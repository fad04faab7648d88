/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What hypervisor and guest of this story agree on, besides ../hypervisor/layout.h. */
#ifndef PRECOPY_CELLS_H
#define PRECOPY_CELLS_H

#include "layout.h"

/* The memory that the guest uses, its stack included. */
#define MOVED_SIZE 0x400000

/* The cells that it counts in; most of its writes go to the first pages. */
#define GPA_CELLS  (GPA_RAM + 0x200000)
#define CELL_PAGES 192
#define HOT_PAGES  16

#define BURSTS       512
#define BURST_WRITES 32

/* A hypercall besides those of layout.h: a burst of writes is done. Its argument is the number of the burst. */
#define CALL_BURST 4

#endif
