/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef GLUE_BAO_STUBS_H
#define GLUE_BAO_STUBS_H

#include <config.h>

#include "stubs.h"

/* What the guest did last: scause, stval, htval and htinst, or ESR_EL2, FAR_EL2 and HPFAR_EL2. */
struct bao_fault {
	unsigned long cause, gva, gpa;
};

extern struct bao_fault bao_fault;

/* Physical address of the pools; the page's memory, as one who has it mapped sees it. */
paddr_t bao_pool_base(void);
void *bao_pool_at(paddr_t pa);
size_t bao_pages_taken(void);

#endif
