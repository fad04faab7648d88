/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The sample of guest code, and the second CPU's way from real mode into C. */
#include "guest.h"

#define MSR_EFER      0xc0000080
#define DATA_SELECTOR 16

	.section .rodata
	.balign	8
	.global	guest_sample
	.global	guest_sample_end
guest_sample:
	mov	$SAMPLE_VALUE, %eax
	jmp	*%rbx
	.balign	8
guest_sample_end:

	/*
	 * second_cpu.c copies this below 1 MiB and fills in what the first CPU runs with. Its place
	 * is a multiple of 4 KiB, where the start-up interrupt lets the CPU begin with an offset of 0.
	 */
	.balign	8
	.global	trampoline
	.global	trampoline_end
	.global	trampoline_values
	.code16
trampoline:
	cli
	mov	%cs, %ax
	mov	%ax, %ds
	lgdtl	value_gdt - trampoline
	mov	value_cr4 - trampoline, %eax
	mov	%eax, %cr4
	mov	value_cr3 - trampoline, %eax
	mov	%eax, %cr3
	mov	$MSR_EFER, %ecx
	mov	value_efer - trampoline, %eax
	xor	%edx, %edx
	wrmsr
	mov	value_cr0 - trampoline, %eax
	mov	%eax, %cr0
	ljmpl	*(value_start - trampoline)

	.balign	8
trampoline_values:
value_cr0:
	.long	0
value_cr3:
	.long	0
value_cr4:
	.long	0
value_efer:
	.long	0
value_start:
	.long	0
	.word	0
value_gdt:
	.word	0
	.long	0
trampoline_end:

	.text
	.code64
	.global	secondary_entry
secondary_entry:
	mov	$DATA_SELECTOR, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	%eax, %fs
	mov	%eax, %gs
	mov	$secondary_stack_top, %esp
	call	secondary_start

	/* The kick has done its work by taking the CPU out of the guest. */
	.global	nmi_entry
nmi_entry:
	iretq

	.bss
	.balign	16
	.space	16384
secondary_stack_top:

	.section .note.GNU-stack, "", %progbits
