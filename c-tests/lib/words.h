/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Equal words side by side: most entries of a table are as the one before. */
#ifndef CTESTS_WORDS_H
#define CTESTS_WORDS_H

#include <stdint.h>

/* Where the words from `i` on that are like it end, at `end` at the latest. */
static inline uint64_t words_alike(const uint64_t *words, uint64_t i, uint64_t end)
{
	const uint64_t word = words[i];

	for (; i + 8 <= end; i += 8) {
		uint64_t other = 0;

		for (uint64_t k = 0; k < 8; k++)
			other |= words[i + k] ^ word;
		if (other != 0)
			break;
	}
	while (i < end && words[i] == word)
		i++;
	return i;
}

#endif
