/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The sample of guest code, and the second CPU's way into C. */
#include "guest.h"

	.section .rodata
	.balign	8
	.global	guest_sample
	.global	guest_sample_end
guest_sample:
	mov	x0, #SAMPLE_VALUE
	ret
guest_sample_end:

	.text
	/*
	 * PSCI enters here at EL2 with the MMU off and x0 = the block that layer.c filled: MAIR_EL2,
	 * TCR_EL2, TTBR0_EL2, SCTLR_EL2, VBAR_EL2.
	 */
	.global	secondary_entry
secondary_entry:
	ldp	x1, x2, [x0]
	msr	mair_el2, x1
	msr	tcr_el2, x2
	ldp	x1, x2, [x0, #16]
	msr	ttbr0_el2, x1
	ldr	x3, [x0, #32]
	msr	vbar_el2, x3
	dsb	sy
	tlbi	alle2
	ic	iallu
	dsb	sy
	isb
	msr	sctlr_el2, x2
	isb
	adrp	x0, secondary_stack_top
	add	x0, x0, :lo12:secondary_stack_top
	mov	sp, x0
	b	secondary_main

	.bss
	.balign	16
	.space	16384
secondary_stack_top:
