/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The guest: adds to cells all over its memory, in an order that it can repeat; then takes away what it added.
 * A write that was lost on the way leaves a cell that is not zero.
 */
#include <stdint.h>

#include "cells.h"
#include "guest.h"

#define PAGE_CELLS 512

static uint64_t next(uint64_t state)
{
	return state * 6364136223846793005u + 1442695040888963407u;
}

/* The cell of a step: fifteen of sixteen are in the pages that are hot. */
static volatile uint64_t *cell_of(uint64_t state)
{
	const uint64_t pages = (state >> 60) != 0 ? HOT_PAGES : CELL_PAGES;
	const uint64_t page = (state >> 33) % pages, index = (state >> 20) % PAGE_CELLS;

	return (volatile uint64_t *)(GPA_CELLS + (page * PAGE_CELLS + index) * sizeof(uint64_t));
}

uint64_t guest_main(void)
{
	volatile uint64_t *cells = (volatile uint64_t *)GPA_CELLS;
	uint64_t state = 1, failures = 0;

	for (uint64_t burst = 0; burst < BURSTS; burst++) {
		for (uint64_t i = 0; i < BURST_WRITES; i++) {
			state = next(state);
			*cell_of(state) += state;
		}
		guest_call(CALL_BURST, burst);
	}
	state = 1;
	for (uint64_t i = 0; i < BURSTS * BURST_WRITES; i++) {
		state = next(state);
		*cell_of(state) -= state;
	}
	for (uint64_t i = 0; i < CELL_PAGES * PAGE_CELLS; i++)
		failures += cells[i] != 0;
	return failures;
}
