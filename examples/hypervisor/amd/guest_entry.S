/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The guest in long mode: an identity map, so its addresses are guest-physical. */
#include "layout.h"

	.macro	function name
	.global	\name
	.balign	16
	.type	\name, %function
\name:
	.endm

	.section .text.entry, "ax"

	/* PROGRAM_ENTRY. */
	.global	guest_entry
guest_entry:
	jmp	guest_start

	/* PROGRAM_REFUSED: rdx is the verdict; rbp is the frame of the guest_try_ function. */
	.balign	16
	xor	%eax, %eax
	mov	%rbp, %rsp
	jmp	leave_try

	.text

	/* The stack is not in memory yet; the first push brings it. */
guest_start:
	mov	$GPA_STACK_TOP, %rsp
	call	guest_main
	mov	$CALL_DONE, %edi
	mov	%rax, %rsi
	call	guest_call
1:	hlt
	jmp	1b

	.macro	begin_try
	push	%rbp
	mov	%rsp, %rbp
	.endm

function guest_try_read
	begin_try
	mov	(%rdi), %rax
	jmp	finish_try

function guest_try_write
	begin_try
	mov	%rsi, (%rdi)
	jmp	finish_try

function guest_try_execute
	begin_try
	call	*%rdi

finish_try:
	xor	%edx, %edx
leave_try:
	pop	%rbp
	ret

/* Plain forms of four bytes: the hypervisor decodes these two, and no others. */
function guest_load32
	mov	(%rdi), %eax
	ret

function guest_store32
	mov	%esi, (%rdi)
	ret

function guest_call
	vmmcall
	ret

/* No UART lies in memory here. */
function guest_put
	movsx	%dil, %rsi
	mov	$CALL_SAY, %edi
	vmmcall
	ret

/* Instruction fetch sees the CPU's own stores; the jump to the new code is all it takes. */
function guest_sync_code
	ret

	.balign	8
	.global	guest_sample
	.global	guest_sample_end
guest_sample:
	mov	$42, %eax
	ret
	.balign	8
guest_sample_end:

	.section .note.GNU-stack, "", @progbits
