/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* From the ROM to C, the exception vectors, and the world switch of VMX root operation. */
#include "selectors.h"
#include "vcpu.h"

#define MSR_EFER    0xc0000080
#define EFER_LME    0x100
#define CR0_PE_PG   0x80000001
#define CR4_PAE	    0x20
#define GIGABYTE    0x40000000
#define PAGE_FLAGS  0xe3 /* present, writable, accessed, dirty, 1 GiB */
#define TABLE_FLAGS 0x23 /* present, writable, accessed */

#define VMCS_HOST_RSP 0x6c14

	.section .text.start, "ax"

	/* rom.S comes here in 32-bit protected mode, without paging. */
	.code32
	.global	_start
_start:
	mov	$CR4_PAE, %eax
	mov	%eax, %cr4
	mov	$host_map, %eax
	mov	%eax, %cr3
	mov	$MSR_EFER, %ecx
	rdmsr
	or	$EFER_LME, %eax
	wrmsr
	mov	$CR0_PE_PG, %eax
	mov	%eax, %cr0
	lgdt	gdt_pointer
	ljmp	$SELECTOR_CODE, $start64

	.code64
start64:
	mov	$SELECTOR_DATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	%eax, %fs
	mov	%eax, %gs
	mov	$SELECTOR_TASK, %eax
	ltr	%ax
	mov	$stack_top, %esp

	mov	$bss_start, %edi
	mov	$bss_end, %ecx
	sub	%edi, %ecx
	xor	%eax, %eax
	rep stosb

	call	host_vectors_install
	call	hypervisor_main

	.text

	/*
	 * Sixteen bytes for each exception: its number, and before it 0 where the CPU pushes no error
	 * code, so that all have one.
	 */
	.balign	16
	.global	host_vectors
host_vectors:
	.set	number, 0
	.rept	VECTOR_COUNT
	.balign	16
	.if	!(number == 8 || (number >= 10 && number <= 14) || number == 17 || number == 21)
	push	$0
	.endif
	push	$number
	jmp	host_vector
	.set	number, number + 1
	.endr
	.balign	16

host_vector:
	pop	%rdi
	pop	%rsi
	mov	(%rsp), %rdx
	mov	%cr2, %rcx
	and	$-16, %rsp
	call	host_exception

	.macro	for_registers do
	\do	rax, 0
	\do	rcx, 1
	\do	rdx, 2
	\do	rbx, 3
	\do	rbp, 5
	\do	rsi, 6
	\do	r8, 8
	\do	r9, 9
	\do	r10, 10
	\do	r11, 11
	\do	r12, 12
	\do	r13, 13
	\do	r14, 14
	\do	r15, 15
	.endm

	.macro	load_register name, number
	mov	8 * \number(%rdi), %\name
	.endm

	.macro	save_register name, number
	mov	%\name, 8 * \number(%rdi)
	.endm

	/*
	 * uint32_t guest_enter(struct vcpu *vcpu)
	 *
	 * Keeps the host's callee-saved registers and the vCPU on the stack, which the next VM exit
	 * finds again by the VMCS. Moves leave the flags alone, so the comparison can come first.
	 */
	.global	guest_enter
guest_enter:
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	push	%rdi
	mov	$VMCS_HOST_RSP, %eax
	vmwrite	%rsp, %rax
	cmpq	$0, VCPU_LAUNCHED(%rdi)
	for_registers load_register
	mov	8 * 7(%rdi), %rdi
	jne	1f
	vmlaunch
	jmp	2f
1:	vmresume

	/* An entry that succeeds does not come here. */
2:	pop	%rdi
	xor	%eax, %eax
	jmp	leave_guest

	.global	guest_exit
guest_exit:
	push	%rdi
	mov	8(%rsp), %rdi
	for_registers save_register
	pop	8 * 7(%rdi)
	pop	%rdi
	mov	$1, %eax
	mov	%rax, VCPU_LAUNCHED(%rdi)

leave_guest:
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret

	.section .rodata
	.balign	4096
	.global	guest_program
guest_program:
	.incbin	GUEST_BIN

	/* Loading the task register marks its descriptor busy, so the table has to be writable. */
	.data
	.balign	8
gdt:
	.quad	0
	.quad	0x00af9b000000ffff	/* SELECTOR_CODE: 64 bits */
	.quad	0x00cf93000000ffff	/* SELECTOR_DATA */
	.quad	0x0000890000000067, 0	/* SELECTOR_TASK: VM exits want one; nothing reads it */
gdt_end:

gdt_pointer:
	.word	gdt_end - gdt - 1
	.quad	gdt

	/* Four gigabytes, each at its own address. */
	.balign	4096
host_map:
	.quad	host_pages + TABLE_FLAGS
	.fill	511, 8, 0
host_pages:
	.set	page, 0
	.rept	4
	.quad	page * GIGABYTE + PAGE_FLAGS
	.set	page, page + 1
	.endr
	.fill	508, 8, 0

	.bss
	.balign	16
	.space	16384
stack_top:

	.section .note.GNU-stack, "", %progbits
