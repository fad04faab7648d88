/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The guest at EL1: x0 operation, x1 address, x2 value; the result leaves in x1.
 * The mailbox's address is in x3 while a loop goes on.
 */
#include "guest.h"

	.section .text.entry, "ax"
	.global	guest_entry
guest_entry:
	ldr	x3, =GPA_MAILBOX
	cmp	x0, #OP_READ
	b.eq	read
	cmp	x0, #OP_WRITE
	b.eq	write
	cmp	x0, #OP_EXECUTE
	b.eq	execute
	cmp	x0, #OP_ATOMIC
	b.eq	atomic
	cmp	x0, #OP_KEEP_READING
	b.eq	keep_reading
	cmp	x0, #OP_KEEP_WRITING
	b.eq	keep_writing
	cmp	x0, #OP_KEEP_EXECUTING
	b.eq	keep_executing
	cmp	x0, #OP_KEEP_SCATTERING
	b.eq	keep_scattering
	b	leave

read:
	ldr	x1, [x1]
	b	leave
write:
	str	x2, [x1]
	b	leave
execute:
	blr	x1
	mov	x1, x0
	b	leave
atomic:
	ldxr	x4, [x1]
	add	x5, x4, x2
	stxr	w6, x5, [x1]
	cbnz	w6, atomic
	mov	x1, x4
	b	leave

	/* Tells the mailbox what is in x4; falls through when it says stop. */
	.macro	tell again
	str	x4, [x3, #MAILBOX_LAST]
	ldr	x5, [x3, #MAILBOX_BEATS]
	add	x5, x5, #1
	str	x5, [x3, #MAILBOX_BEATS]
	ldr	x5, [x3, #MAILBOX_STOP]
	cbz	x5, \again
	.endm

keep_reading:
	ldr	x4, [x1]
	tell	keep_reading
	b	leave
keep_writing:
	mov	x4, #0
1:	add	x4, x4, #1
	str	x4, [x1]
	tell	1b
	b	leave
keep_executing:
	mov	x7, x1
1:	blr	x7
	mov	x4, x0
	tell	1b
	b	leave
keep_scattering:
	mov	x4, #0
	mov	x7, #SCATTER_SEED
1:	eor	x7, x7, x7, lsl #13
	eor	x7, x7, x7, lsr #7
	eor	x7, x7, x7, lsl #17
	and	x6, x2, x7, lsr #SCATTER_SHIFT
	add	x6, x6, x1
	add	x4, x4, #1
	ldr	x8, [x6]
	cmp	x8, x4
	b.hs	2f
	str	x4, [x6]
	mov	x9, #SCATTER_PAUSE
3:	subs	x9, x9, #2
	b.ne	3b
	tell	1b
2:	mov	x1, x8

leave:
	mov	x0, #0
	hvc	#0
	b	guest_entry

	.pool
