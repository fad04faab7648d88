/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The guest at EL1: its MMU stays off, so its addresses are guest-physical. */
#include "guest_function.S"
#include "layout.h"

	.section .text.entry, "ax"

	/* PROGRAM_ENTRY. The stack is not in memory yet; the first push brings it. */
	.global	guest_entry
guest_entry:
	ldr	x1, =GPA_STACK_TOP
	mov	sp, x1
	b	guest_start

	/* PROGRAM_REFUSED: x1 is the verdict; x29 is the frame of the guest_try_ function. */
	.balign	16
	mov	x0, #0
	mov	sp, x29
	ldp	x29, x30, [sp], #16
	ret

	.text

guest_start:
	mov	x29, #0
	bl	guest_main
	mov	x1, x0
	mov	x0, #CALL_DONE
	bl	guest_call
1:	wfi
	b	1b

	.macro	finish_try
	mov	x1, #0
	ldp	x29, x30, [sp], #16
	ret
	.endm

	.macro	begin_try
	stp	x29, x30, [sp, #-16]!
	mov	x29, sp
	.endm

function guest_try_read
	begin_try
	ldr	x0, [x0]
	finish_try

function guest_try_write
	begin_try
	str	x1, [x0]
	finish_try

function guest_try_execute
	begin_try
	blr	x0
	finish_try

/* Plain register forms: the syndrome describes these, so the hypervisor need not fetch them. */
function guest_load32
	ldr	w0, [x0]
	ret

function guest_store32
	str	w1, [x0]
	ret

function guest_call
	hvc	#0
	ret

/* The PL011 that the hypervisor handed over: data at 0, flags at 0x18, bit 5 is "full". */
function guest_put
	ldr	x2, =GPA_CONSOLE
1:	ldr	w1, [x2, #0x18]
	tbnz	w1, #5, 1b
	str	w0, [x2]
	ret

/* 16 bytes is the smallest line that the architecture allows, so no line is missed. */
function guest_sync_code
	add	x1, x0, x1
1:	dc	cvau, x0
	ic	ivau, x0
	add	x0, x0, #16
	cmp	x0, x1
	b.lo	1b
	dsb	ish
	isb
	ret

	.balign	8
	.global	guest_sample
	.global	guest_sample_end
guest_sample:
	mov	x0, #42
	ret
guest_sample_end:
