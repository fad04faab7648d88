/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* There is no C library here; these are the four functions that a compiler expects all the same. */
#ifndef HYPERVISOR_FREESTANDING_H
#define HYPERVISOR_FREESTANDING_H

#include <stddef.h>

void *memset(void *destination, int value, size_t size);
void *memcpy(void *restrict destination, const void *restrict source, size_t size);
void *memmove(void *destination, const void *source, size_t size);
int memcmp(const void *left, const void *right, size_t size);

#endif
