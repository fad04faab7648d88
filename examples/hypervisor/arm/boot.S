/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Boot, exception vectors and the world switch of EL2. */
#include "vcpu.h"

	.section .text.start, "ax"

	/* QEMU starts here at EL2 with the MMU and the caches off. */
	.global	_start
_start:
	adrp	x0, stack_top
	add	x0, x0, :lo12:stack_top
	mov	sp, x0
	adrp	x0, vectors
	add	x0, x0, :lo12:vectors
	msr	vbar_el2, x0
	isb

	adrp	x0, bss_start
	add	x0, x0, :lo12:bss_start
	adrp	x1, bss_end
	add	x1, x1, :lo12:bss_end
1:	cmp	x0, x1
	b.hs	2f
	stp	xzr, xzr, [x0], #16
	b	1b

2:	bl	host_map
	bl	mmu_on
	b	hypervisor_main

	.text

	/* From x2 to x29, as struct vcpu has them. */
	.macro	for_pairs do, vcpu
	\do	x2, x3, [\vcpu, #16]
	\do	x4, x5, [\vcpu, #32]
	\do	x6, x7, [\vcpu, #48]
	\do	x8, x9, [\vcpu, #64]
	\do	x10, x11, [\vcpu, #80]
	\do	x12, x13, [\vcpu, #96]
	\do	x14, x15, [\vcpu, #112]
	\do	x16, x17, [\vcpu, #128]
	\do	x18, x19, [\vcpu, #144]
	\do	x20, x21, [\vcpu, #160]
	\do	x22, x23, [\vcpu, #176]
	\do	x24, x25, [\vcpu, #192]
	\do	x26, x27, [\vcpu, #208]
	\do	x28, x29, [\vcpu, #224]
	.endm

	/*
	 * uint32_t guest_enter(struct vcpu *vcpu)
	 *
	 * Keeps the host's callee-saved registers on the stack and the vCPU in TPIDR_EL2; the guest's
	 * next exception comes back through guest_exit, which returns from here. 1: the exception
	 * was synchronous.
	 */
	.global	guest_enter
guest_enter:
	stp	x29, x30, [sp, #-96]!
	stp	x27, x28, [sp, #16]
	stp	x25, x26, [sp, #32]
	stp	x23, x24, [sp, #48]
	stp	x21, x22, [sp, #64]
	stp	x19, x20, [sp, #80]
	msr	tpidr_el2, x0

	ldp	x2, x3, [x0, #VCPU_PC]
	msr	elr_el2, x2
	msr	spsr_el2, x3
	for_pairs ldp, x0
	ldr	x30, [x0, #240]
	ldp	x0, x1, [x0]
	eret

	/* The guest's x0 and x1 are on the stack, x0 says what kind of exception it was. */
guest_exit:
	mrs	x1, tpidr_el2
	for_pairs stp, x1
	str	x30, [x1, #240]
	ldp	x2, x3, [sp], #16
	stp	x2, x3, [x1]
	mrs	x2, elr_el2
	mrs	x3, spsr_el2
	stp	x2, x3, [x1, #VCPU_PC]

	ldp	x27, x28, [sp, #16]
	ldp	x25, x26, [sp, #32]
	ldp	x23, x24, [sp, #48]
	ldp	x21, x22, [sp, #64]
	ldp	x19, x20, [sp, #80]
	ldp	x29, x30, [sp], #96
	ret

	.macro	from_guest synchronous
	.balign	128
	stp	x0, x1, [sp, #-16]!
	mov	x0, #\synchronous
	b	guest_exit
	.endm

	.macro	from_host
	.balign	128
	mrs	x0, esr_el2
	mrs	x1, elr_el2
	mrs	x2, far_el2
	b	host_exception
	.endm

	.balign	2048
	.global	vectors
vectors:
	.rept	8
	from_host
	.endr
	from_guest 1
	.rept	3
	from_guest 0
	.endr
	.rept	4 /* an AArch32 guest, which HCR_EL2.RW rules out */
	from_host
	.endr

	/* _Noreturn void semihosting_exit(const uint64_t block[2]): SYS_EXIT of the Arm spec. */
	.global	semihosting_exit
semihosting_exit:
	mov	x1, x0
	mov	x0, #0x18
	hlt	#0xf000
1:	wfi
	b	1b

	.bss
	.balign	16
	.space	16384
stack_top:
