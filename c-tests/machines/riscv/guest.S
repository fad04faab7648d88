/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The guest in VS mode: a0 operation, a1 address, a2 value; the result leaves in a1.
 * The mailbox's address is in a3 while a loop goes on.
 */
#include "guest.h"

	.section .text.entry, "ax"
	.global	guest_entry
guest_entry:
	li	a3, GPA_MAILBOX
	li	t0, OP_READ
	beq	a0, t0, read
	li	t0, OP_WRITE
	beq	a0, t0, write
	li	t0, OP_EXECUTE
	beq	a0, t0, execute
	li	t0, OP_ATOMIC
	beq	a0, t0, atomic
	li	t0, OP_KEEP_READING
	beq	a0, t0, keep_reading
	li	t0, OP_KEEP_WRITING
	beq	a0, t0, keep_writing
	li	t0, OP_KEEP_EXECUTING
	beq	a0, t0, keep_executing
	li	t0, OP_KEEP_SCATTERING
	beq	a0, t0, keep_scattering
	j	leave

read:
	ld	a1, 0(a1)
	j	leave
write:
	sd	a2, 0(a1)
	j	leave
execute:
	jalr	a1
	mv	a1, a0
	j	leave
atomic:
	amoadd.d a1, a2, (a1)
	j	leave

	/* Tells the mailbox what is in t1; falls through when it says stop. */
	.macro	tell again
	sd	t1, MAILBOX_LAST(a3)
	ld	t2, MAILBOX_BEATS(a3)
	addi	t2, t2, 1
	sd	t2, MAILBOX_BEATS(a3)
	ld	t2, MAILBOX_STOP(a3)
	beqz	t2, \again
	.endm

keep_reading:
	ld	t1, 0(a1)
	tell	keep_reading
	j	leave
keep_writing:
	li	t1, 0
1:	addi	t1, t1, 1
	sd	t1, 0(a1)
	tell	1b
	j	leave
keep_executing:
	jalr	a1
	mv	t1, a0
	tell	keep_executing
	j	leave
keep_scattering:
	li	t1, 0
	li	t3, SCATTER_SEED
1:	slli	t4, t3, 13
	xor	t3, t3, t4
	srli	t4, t3, 7
	xor	t3, t3, t4
	slli	t4, t3, 17
	xor	t3, t3, t4
	srli	t4, t3, SCATTER_SHIFT
	and	t4, t4, a2
	add	t4, t4, a1
	addi	t1, t1, 1
	ld	t5, 0(t4)
	bgeu	t5, t1, 2f
	sd	t1, 0(t4)
	li	t4, SCATTER_PAUSE
3:	addi	t4, t4, -2
	bnez	t4, 3b
	tell	1b
2:	mv	a1, t5

leave:
	li	a0, 0
	ecall
	j	guest_entry
