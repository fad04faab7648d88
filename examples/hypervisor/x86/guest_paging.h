/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Page tables for the guest: 64-bit mode has none of its addresses without them. */
#ifndef HYPERVISOR_X86_GUEST_PAGING_H
#define HYPERVISOR_X86_GUEST_PAGING_H

/* Where the guest finds them; the guest's CR3. machine_map() puts them there. */
#define GPA_GUEST_TABLES 0x0b000000

#endif
