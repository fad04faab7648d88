/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Page tables for the guest: 64-bit mode has none of its addresses without them. */
#ifndef HYPERVISOR_X86_GUEST_PAGING_H
#define HYPERVISOR_X86_GUEST_PAGING_H

#include "axaddrspace.h"

/* Where the guest finds them; the guest's CR3. */
#define GPA_GUEST_TABLES 0x0b000000

/* Makes tables that map each address of the space to itself, and maps them into the space. */
axas_status_t guest_paging_map(axas_t *space);

#endif
