/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef GLUE_BAO_STUBS_H
#define GLUE_BAO_STUBS_H

#include "bao.h"
#include "stubs.h"

#define POOL_BASE UINT64_C(0x80000000) /* physical */

struct bao_registers {
	uint64_t vttbr, vtcr;
};

extern struct bao_registers bao_registers;

/* The page's memory, as one who has it mapped sees it. */
void *bao_pool_at(paddr_t pa);

#endif
