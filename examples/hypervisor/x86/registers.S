/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Macros for world switches. */
#include "x86/registers.h"

	/* All but RAX, RSP and RDI, which each world switch needs for itself. */
	.macro	for_registers do, array
	\do	rcx, 1, \array
	\do	rdx, 2, \array
	\do	rbx, 3, \array
	\do	rbp, 5, \array
	\do	rsi, 6, \array
	.irp	n, 8, 9, 10, 11, 12, 13, 14, 15
	\do	r\n, \n, \array
	.endr
	.endm

	.macro	load_register name, number, array
	mov	8 * \number(%\array), %\name
	.endm

	.macro	save_register name, number, array
	mov	%\name, 8 * \number(%\array)
	.endm

	/* What a C function has to leave as it was, but for RSP. */
	.macro	push_callee_saved
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	.endm

	.macro	pop_callee_saved
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	.endm
