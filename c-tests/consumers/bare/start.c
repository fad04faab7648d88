/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Starts main on a stack and ends the machine with what it returns: AArch64 and RISC-V on QEMU's virt
 * board, x86 as a process of the host's Linux without anything else in it.
 */
unsigned char stack[16384] __attribute__((aligned(16)));

#if defined(__aarch64__)
/* Semihosting SYS_EXIT with ADP_Stopped_ApplicationExit and the code. */
__asm__(".section .text.start, \"ax\"\n"
	".global _start\n"
	"_start:\n"
	"	adrp	x0, stack\n"
	"	add	x0, x0, :lo12:stack\n"
	"	add	sp, x0, #16384\n"
	"	bl	main\n"
	"	mov	x1, #0x26\n"
	"	movk	x1, #2, lsl #16\n"
	"	stp	x1, x0, [sp, #-16]!\n"
	"	mov	x1, sp\n"
	"	mov	w0, #0x18\n"
	"	hlt	#0xf000\n");
#elif defined(__riscv)
/* The board's test device: 0x5555 is success, 0x3333 failure with a code in the upper half. */
__asm__(".section .text.start, \"ax\"\n"
	".global _start\n"
	"_start:\n"
	"	la	sp, stack + 16384\n"
	"	call	main\n"
	"	li	t0, 0x100000\n"
	"	li	t1, 0x5555\n"
	"	beqz	a0, 1f\n"
	"	slli	a0, a0, 16\n"
	"	li	t1, 0x3333\n"
	"	or	t1, t1, a0\n"
	"1:	sw	t1, 0(t0)\n"
	"	j	1b\n");
#elif defined(__x86_64__)
__asm__(".section .text.start, \"ax\"\n"
	".global _start\n"
	"_start:\n"
	"	lea	stack + 16384(%rip), %rsp\n"
	"	call	main\n"
	"	mov	%eax, %edi\n"
	"	mov	$60, %eax\n"
	"	syscall\n");
#endif
