/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The guest in 64-bit mode: rdi operation, rsi address, rdx value; the result leaves in rsi.
 * It has no stack: what it calls goes back to the address in rbx. The machine's guest.S defines
 * HYPERCALL and includes this.
 */
#include "guest.h"

	.section .text.entry, "ax"
	.global	guest_entry
guest_entry:
	mov	$GPA_MAILBOX, %ebp
	cmp	$OP_READ, %edi
	je	read
	cmp	$OP_WRITE, %edi
	je	write
	cmp	$OP_EXECUTE, %edi
	je	execute
	cmp	$OP_ATOMIC, %edi
	je	atomic
	cmp	$OP_KEEP_READING, %edi
	je	keep_reading
	cmp	$OP_KEEP_WRITING, %edi
	je	keep_writing
	cmp	$OP_KEEP_EXECUTING, %edi
	je	keep_executing
	cmp	$OP_KEEP_SCATTERING, %edi
	je	keep_scattering
	jmp	leave

read:
	mov	(%rsi), %rsi
	jmp	leave
write:
	mov	%rdx, (%rsi)
	jmp	leave
execute:
	lea	1f(%rip), %rbx
	jmp	*%rsi
1:	mov	%rax, %rsi
	jmp	leave
atomic:
	lock xadd %rdx, (%rsi)
	mov	%rdx, %rsi
	jmp	leave

	/* Tells the mailbox what is in rax; falls through when it says stop. */
	.macro	tell again
	mov	%rax, MAILBOX_LAST(%rbp)
	incq	MAILBOX_BEATS(%rbp)
	cmpq	$0, MAILBOX_STOP(%rbp)
	je	\again
	.endm

keep_reading:
	mov	(%rsi), %rax
	tell	keep_reading
	jmp	leave
keep_writing:
	xor	%eax, %eax
1:	inc	%rax
	mov	%rax, (%rsi)
	tell	1b
	jmp	leave
keep_executing:
	lea	1f(%rip), %rbx
2:	jmp	*%rsi
1:	tell	2b
	jmp	leave
keep_scattering:
	xor	%eax, %eax
	mov	$SCATTER_SEED, %ecx
1:	mov	%rcx, %r8
	shl	$13, %r8
	xor	%r8, %rcx
	mov	%rcx, %r8
	shr	$7, %r8
	xor	%r8, %rcx
	mov	%rcx, %r8
	shl	$17, %r8
	xor	%r8, %rcx
	mov	%rcx, %r8
	shr	$SCATTER_SHIFT, %r8
	and	%rdx, %r8
	inc	%rax
	mov	(%rsi, %r8), %r9
	cmp	%rax, %r9
	jae	2f
	mov	%rax, (%rsi, %r8)
	mov	$SCATTER_PAUSE, %r8d
3:	sub	$2, %r8d
	jnz	3b
	tell	1b
2:	mov	%r9, %rsi

leave:
	xor	%edi, %edi
	HYPERCALL
	jmp	guest_entry

	.section .note.GNU-stack, "", %progbits
