/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Boot, trap entry and the world switch of HS mode. */
#include "vcpu.h"

/* By number, for assemblers that do not know the hypervisor extension. */
#define CSR_HSTATUS 0x600

#define HSTATUS_TO_GUEST 0x180 /* SPV and SPVP: sret goes to VS mode */
#define SSTATUS_SPP	 0x100

#define SAVED_BYTES 112

	.section .text.start, "ax"

	/* OpenSBI starts one hart here, in HS mode with paging off. */
	.global	_start
_start:
	csrw	sie, zero
	csrw	satp, zero
	la	t0, host_trap
	csrw	stvec, t0
	la	sp, stack_top

	la	t0, bss_start
	la	t1, bss_end
1:	bgeu	t0, t1, 2f
	sd	zero, 0(t0)
	addi	t0, t0, 8
	j	1b

2:	tail	hypervisor_main

	.text

	.balign	4
host_trap:
	csrr	a0, scause
	csrr	a1, sepc
	csrr	a2, stval
	tail	host_exception

	/* All but x10, which is a0 and points to them. */
	.macro	for_registers do
	.irp	n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, \
		24, 25, 26, 27, 28, 29, 30, 31
	\do	x\n, 8 * \n(a0)
	.endr
	.endm

	/* What a C function has to leave as it was, but for sp. */
	.macro	for_saved do
	\do	ra, 0(sp)
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
	\do	s\n, 8 * \n + 8(sp)
	.endr
	.endm

	/*
	 * void guest_enter(struct vcpu *vcpu)
	 *
	 * Keeps the host's callee-saved registers on the stack and the vCPU in sscratch; the guest's
	 * next trap comes back through guest_exit, which returns from here.
	 */
	.global	guest_enter
guest_enter:
	addi	sp, sp, -SAVED_BYTES
	for_saved sd
	sd	sp, VCPU_HOST_SP(a0)
	csrw	sscratch, a0
	la	t0, guest_exit
	csrw	stvec, t0
	ld	t0, VCPU_PC(a0)
	csrw	sepc, t0
	li	t0, HSTATUS_TO_GUEST
	csrs	CSR_HSTATUS, t0
	li	t0, SSTATUS_SPP
	csrs	sstatus, t0

	for_registers ld
	ld	x10, 8 * 10(a0)
	sret

	.balign	4
guest_exit:
	csrrw	a0, sscratch, a0
	for_registers sd
	csrr	t0, sscratch
	sd	t0, 8 * 10(a0)
	csrr	t0, sepc
	sd	t0, VCPU_PC(a0)
	la	t0, host_trap
	csrw	stvec, t0

	ld	sp, VCPU_HOST_SP(a0)
	for_saved ld
	addi	sp, sp, SAVED_BYTES
	ret

	.bss
	.balign	16
	.space	16384
stack_top:
