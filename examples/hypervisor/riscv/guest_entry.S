/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The guest in VS mode: its satp stays 0, so its addresses are guest-physical. */
#include "guest_function.S"
#include "layout.h"

	.section .text.entry, "ax"

	/* PROGRAM_ENTRY. */
	.global	guest_entry
guest_entry:
	j	guest_start

	/* PROGRAM_REFUSED: a1 is the verdict; s0 is the frame of the guest_try_ function. */
	.balign	16
	li	a0, 0
	mv	sp, s0
	j	leave_try

	.text

	/* The stack is not in memory yet; the first push brings it. */
guest_start:
	li	sp, GPA_STACK_TOP
	call	guest_main
	mv	a1, a0
	li	a0, CALL_DONE
	call	guest_call
1:	wfi
	j	1b

	.macro	begin_try
	addi	sp, sp, -16
	sd	ra, 8(sp)
	sd	s0, 0(sp)
	mv	s0, sp
	.endm

function guest_try_read
	begin_try
	ld	a0, 0(a0)
	j	finish_try

function guest_try_write
	begin_try
	sd	a1, 0(a0)
	j	finish_try

function guest_try_execute
	begin_try
	jalr	a0

finish_try:
	li	a1, 0
leave_try:
	ld	s0, 0(sp)
	ld	ra, 8(sp)
	addi	sp, sp, 16
	ret

/* Plain forms of four bytes: the hypervisor decodes these two, and no others. */
function guest_load32
	lw	a0, 0(a0)
	ret

function guest_store32
	sw	a1, 0(a0)
	ret

function guest_call
	ecall
	ret

/* The 16550 that the hypervisor handed over: data at 0, line status at 5, bit 5 is "empty". */
function guest_put
	li	t0, GPA_CONSOLE
1:	lbu	t1, 5(t0)
	andi	t1, t1, 0x20
	beqz	t1, 1b
	sb	a0, 0(t0)
	ret

/* One hart, so its own fence is enough, and it names no range. */
function guest_sync_code
	fence.i
	ret

	.balign	8
	.global	guest_sample
	.global	guest_sample_end
guest_sample:
	li	a0, 42
	ret
guest_sample_end:
