/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Everything the hypervisor prints, and the words it has for the library's numbers. */
#ifndef HYPERVISOR_REPORT_H
#define HYPERVISOR_REPORT_H

#include <stdint.h>

#include "axaddrspace.h"

/* Like printf, with %s %c %u %lu %lx %%, a width, and the flags '-' and '0'. */
__attribute__((format(printf, 1, 2))) void report(const char *format, ...);

/* Three letters, as in "rw-". */
const char *flags_name(axas_flags_t flags);

/* "read", "write", "execute", or what they combine to. */
const char *access_name(axas_flags_t access);

const char *verdict_name(axas_fault_result_t verdict);

/* "  64 GiB" */
void report_size(uint64_t bytes);

/* What the space holds, as the library prints it. */
axas_status_t report_space(const axas_t *space);

/* The library's own counters. */
void report_stats(const axas_stats_t *stats);

/* The frame allocator's books, the handle's frame and the root among the tables. */
void report_books(void);

#endif
