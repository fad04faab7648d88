/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "guard.h"

#include "host.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

#define RED_ZONE 64u

/* These two may touch what is closed. */
__attribute__((no_sanitize("address"))) void guard_fill(void *va, uint64_t bytes)
{
	uint64_t *word = va;

	for (uint64_t i = 0; i < bytes / sizeof(*word); i++)
		word[i] = POISON;
}

__attribute__((no_sanitize("address"))) int guard_is_filled(const void *va, uint64_t bytes)
{
	const uint64_t *word = va;

	for (uint64_t i = 0; i < bytes / sizeof(*word); i++)
		if (word[i] != POISON)
			return 0;
	return 1;
}

void guard_close(void *va, uint64_t bytes)
{
#ifdef __SANITIZE_ADDRESS__
	__asan_poison_memory_region(va, bytes);
#else
	(void)va;
	(void)bytes;
#endif
}

void guard_open(void *va, uint64_t bytes)
{
#ifdef __SANITIZE_ADDRESS__
	__asan_unpoison_memory_region(va, bytes);
#else
	(void)va;
	(void)bytes;
#endif
}

void guard_surround(uint8_t *frame, uint64_t bytes)
{
	guard_fill(frame - RED_ZONE, RED_ZONE);
	guard_fill(frame + bytes, RED_ZONE);
	guard_close(frame - PAGE, PAGE);
	guard_close(frame + bytes, PAGE);
}

int guard_surrounds(const uint8_t *frame, uint64_t bytes)
{
	return guard_is_filled(frame - RED_ZONE, RED_ZONE) &&
	       guard_is_filled(frame + bytes, RED_ZONE);
}
