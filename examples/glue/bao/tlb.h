/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Stands in for Bao's tlb.h: see vm.h here. */
#ifndef STANDIN_BAO_TLB_H
#define STANDIN_BAO_TLB_H

#include <vm.h>

/* On every CPU; RISC-V by SBI. */
void tlb_vm_inv_all(asid_t vmid);

#endif
