/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The start of every CPU but the first, and calls to the machine's firmware. */
#include "linux.h"

	.text

	/*
	 * Where PSCI's CPU_ON starts a CPU, at EL2 with MMU and caches off: x0 is the top of its stack.
	 * No memory is used before the MMU is on.
	 */
	.global	secondary_start
secondary_start:
	msr	daifset, #0xf
	mov	sp, x0
	adrp	x0, vectors
	add	x0, x0, :lo12:vectors
	msr	vbar_el2, x0
	msr	hcr_el2, xzr
	isb
	bl	mmu_on
	b	secondary_main

	/* uint64_t smc(uint64_t x0, uint64_t x1, uint64_t x2, uint64_t x3) */
	.global	smc
smc:
	smc	#0
	ret
