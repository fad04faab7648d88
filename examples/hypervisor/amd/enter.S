/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The world switch of SVM. */
#include "x86/registers.S"

	.text

	/*
	 * void guest_enter(struct vcpu *vcpu, struct vmcb *vmcb)
	 *
	 * VMRUN comes back behind itself with the host's RSP and RAX. What VMLOAD and VMSAVE would
	 * switch stays as it is: neither side uses FS, GS, a task, an LDT or SYSCALL.
	 */
	.global	guest_enter
guest_enter:
	push_callee_saved
	push	%rdi
	mov	%rsi, %rax

	for_registers load_register, rdi
	mov	8 * REGISTER_RDI(%rdi), %rdi
	clgi
	vmrun	%rax
	stgi

	pop	%rax
	for_registers save_register, rax
	mov	%rdi, 8 * REGISTER_RDI(%rax)
	pop_callee_saved
	ret

	.section .note.GNU-stack, "", @progbits
