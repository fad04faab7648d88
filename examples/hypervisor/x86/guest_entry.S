/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The guest in 64-bit mode, its addresses guest-physical by the tables of guest_paging.c.
 *
 * The machine's guest_entry.S defines HYPERCALL, the one instruction that differs, and includes
 * this. A hypercall has its number in rdi and its argument in rsi, as the C calling convention has.
 */
#include "guest_function.S"
#include "layout.h"

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

	/* The stack is not in memory yet; the call's push brings it. */
guest_start:
	movabs	$GPA_STACK_TOP, %rsp
	call	guest_main
	mov	%rax, %rsi
	mov	$CALL_DONE, %edi
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

/* Plain forms of four bytes, such as vcpu.c decodes. */
function guest_load32
	mov	(%rdi), %eax
	ret

function guest_store32
	mov	%esi, (%rdi)
	ret

function guest_call
	HYPERCALL
	ret

/* No UART lies in memory here, so the hypervisor takes each character. */
function guest_put
	movzbl	%dil, %esi
	mov	$CALL_SAY, %edi
	HYPERCALL
	ret

/* Instruction fetches see stores once a jump lies between them, and the call to the code is one. */
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

	.section .note.GNU-stack, "", %progbits
