/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* As plain as can be: nothing here is hot. */
#include "freestanding.h"

#include <stdint.h>

void *memset(void *destination, int value, size_t size)
{
	uint8_t *to = destination;

	for (size_t i = 0; i < size; i++)
		to[i] = (uint8_t)value;
	return destination;
}

void *memcpy(void *restrict destination, const void *restrict source, size_t size)
{
	uint8_t *to = destination;
	const uint8_t *from = source;

	for (size_t i = 0; i < size; i++)
		to[i] = from[i];
	return destination;
}

void *memmove(void *destination, const void *source, size_t size)
{
	uint8_t *to = destination;
	const uint8_t *from = source;

	if ((uintptr_t)to <= (uintptr_t)from)
		return memcpy(destination, source, size);
	for (size_t i = size; i > 0; i--)
		to[i - 1] = from[i - 1];
	return destination;
}

int memcmp(const void *left, const void *right, size_t size)
{
	const uint8_t *l = left;
	const uint8_t *r = right;

	for (size_t i = 0; i < size; i++) {
		if (l[i] != r[i])
			return l[i] - r[i];
	}
	return 0;
}
