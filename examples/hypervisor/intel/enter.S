/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The world switch of VMX root operation. */
#include "vcpu.h"
#include "x86/registers.S"

#define VMCS_HOST_RSP 0x6c14

	.text

	/*
	 * uint32_t guest_enter(struct vcpu *vcpu)
	 *
	 * Keeps the host's callee-saved registers and the vCPU on the stack, which the next VM exit
	 * finds again by the VMCS. Moves leave the flags alone, so the comparison can come first.
	 */
	.global	guest_enter
guest_enter:
	push_callee_saved
	push	%rdi
	mov	$VMCS_HOST_RSP, %eax
	vmwrite	%rsp, %rax
	cmpq	$0, VCPU_LAUNCHED(%rdi)
	for_registers load_register, rdi
	mov	8 * REGISTER_RAX(%rdi), %rax
	mov	8 * REGISTER_RDI(%rdi), %rdi
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
	for_registers save_register, rdi
	mov	%rax, 8 * REGISTER_RAX(%rdi)
	pop	8 * REGISTER_RDI(%rdi)
	pop	%rdi
	mov	$1, %eax
	mov	%rax, VCPU_LAUNCHED(%rdi)

leave_guest:
	pop_callee_saved
	ret

	.section .note.GNU-stack, "", @progbits
