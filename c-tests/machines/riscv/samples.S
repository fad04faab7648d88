/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The sample of guest code, and the second hart's way into C. */
#include "guest.h"

	.section .rodata
	.balign	8
	.global	guest_sample
	.global	guest_sample_end
guest_sample:
	li	a0, SAMPLE_VALUE
	ret
guest_sample_end:

	.text
	/* OpenSBI enters here in HS mode with paging off. */
	.global	secondary_entry
secondary_entry:
	csrw	sie, zero
	csrw	satp, zero
	la	t0, secondary_trap
	csrw	stvec, t0
	la	sp, secondary_stack_top
	tail	secondary_main

	.balign	4
secondary_trap:
	csrr	a0, scause
	csrr	a1, sepc
	csrr	a2, stval
	tail	host_exception

	.bss
	.balign	16
	.space	16384
secondary_stack_top:
