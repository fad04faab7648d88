/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The host's descriptor tables; plain numbers, for boot.S reads this too. */
#ifndef HYPERVISOR_X86_SELECTORS_H
#define HYPERVISOR_X86_SELECTORS_H

#define SELECTOR_CODE 0x08
#define SELECTOR_DATA 0x10
#define SELECTOR_TASK 0x18

/* Exceptions, and how far apart their entries are. */
#define VECTOR_COUNT 32
#define VECTOR_BYTES 16

#endif
