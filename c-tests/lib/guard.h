/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Memory that is nobody's: red zones around the host's frames, and frames that are not out. It is
 * full of poison, so that what was written to it is found later. Under AddressSanitizer it is
 * closed too: whoever touches it, the library as well, is stopped on the spot.
 */
#ifndef CTESTS_GUARD_H
#define CTESTS_GUARD_H

#include <stdint.h>

/*
 * Read as an entry this is valid and writable in all four formats, and it points at the pool: a
 * library or a walker that follows a stale pointer lands in memory it does not own.
 */
#define POISON 0x00000012400004f7ull

void guard_fill(void *va, uint64_t bytes);
int guard_is_filled(const void *va, uint64_t bytes);

void guard_close(void *va, uint64_t bytes);
void guard_open(void *va, uint64_t bytes);

/* Makes the red zones; a page on each side of the frame must be nobody's. */
void guard_surround(uint8_t *frame, uint64_t bytes);
int guard_surrounds(const uint8_t *frame, uint64_t bytes);

#endif
