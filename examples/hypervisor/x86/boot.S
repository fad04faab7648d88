/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* From 32-bit protected mode to C in 64-bit mode, and the exception entries. */
#include "x86/selectors.h"

#define CR0_PE	 (1 << 0)
#define CR0_WP	 (1 << 16)
#define CR0_PG	 (1 << 31)
#define CR4_PAE	 (1 << 5)
#define CR4_LA57 (1 << 12)

#define CPUID_FEATURES	   7
#define FEATURES_ECX_LA57 (1 << 16)

#define MSR_EFER 0xc0000080
#define EFER_LME (1 << 8)
#define EFER_NXE (1 << 11)

#define TABLE_ENTRY 0x03 /* present, writable */
#define LARGE_PAGE  0x83
#define MIB_2	    0x200000

/* AMD's nested tables have as many levels as the host's own. */
#if GUEST_LEVELS == 5
#define PAGING_BITS (CR4_PAE | CR4_LA57)
#define HOST_ROOT   host_pml5
#else
#define PAGING_BITS CR4_PAE
#define HOST_ROOT   host_pml4
#endif

	/* The start address for boot loaders that know PVH; the type is XEN_ELFNOTE_PHYS32_ENTRY. */
	.section .note.pvh, "a", @note
	.balign	4
	.long	4, 4, 18
	.asciz	"Xen"
	.long	_start

	.section .text.start, "ax"

	/* A PVH loader or rom.S comes here with flat segments; paging and interrupts are off. */
	.code32
	.global	_start
_start:
	cld
	/* Until there are handlers a fault ends the machine at once, not in what firmware left. */
	lidt	no_handlers
	mov	$bss_start, %edi
	mov	$bss_end, %ecx
	sub	%edi, %ecx
	shr	$2, %ecx
	xor	%eax, %eax
	rep stosl

#if GUEST_LEVELS == 5
	mov	$CPUID_FEATURES, %eax
	xor	%ecx, %ecx
	cpuid
	test	$FEATURES_ECX_LA57, %ecx
	jnz	1f
	ud2
1:
#endif
	mov	$PAGING_BITS, %eax
	mov	%eax, %cr4
	mov	$HOST_ROOT, %eax
	mov	%eax, %cr3
	/* NXE: on AMD the host's EFER also says what bit 63 of nested entries means. */
	mov	$MSR_EFER, %ecx
	rdmsr
	or	$(EFER_LME | EFER_NXE), %eax
	wrmsr
	/* All other bits clear: after a reset the caches are off by two of them. */
	mov	$(CR0_PE | CR0_WP | CR0_PG), %eax
	mov	%eax, %cr0
	lgdt	gdt_pointer
	ljmp	$SELECTOR_CODE, $start_64

	.code64
start_64:
	mov	$SELECTOR_DATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	%eax, %fs
	mov	%eax, %gs
	mov	$SELECTOR_TASK, %eax
	ltr	%ax
	mov	$stack_top, %esp
	call	exceptions_on
	call	hypervisor_main

	.text

	/*
	 * One entry per exception, VECTOR_BYTES apart. The CPU pushes an error code for some; the
	 * others get a zero in its place.
	 */
	.balign	VECTOR_BYTES
	.global	exception_entries
exception_entries:
	.set	vector, 0
	.rept	VECTOR_COUNT
	.balign	VECTOR_BYTES
	.if	!(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
	push	$0
	.endif
	push	$vector
	jmp	host_trap
	.set	vector, vector + 1
	.endr

host_trap:
	pop	%rdi
	pop	%rsi
	pop	%rdx
	mov	%cr2, %rcx
	and	$-16, %rsp
	call	host_exception

	.section .rodata
no_handlers:
	.word	0
	.long	0

	/* Loading the task register marks its descriptor busy, so the table has to be writable. */
	.data
	.balign	8
gdt:
	.quad	0
	.quad	0x00af9b000000ffff	/* SELECTOR_CODE: 64 bits */
	.quad	0x00cf93000000ffff	/* SELECTOR_DATA */
	.quad	0x0000890000000067, 0	/* SELECTOR_TASK: VMX wants one; nothing reads it */
gdt_end:

gdt_pointer:
	.word	gdt_end - gdt - 1
	.long	gdt

	/* An identity map of the first GiB, where all of the hypervisor is. */
	.balign	4096
#if GUEST_LEVELS == 5
host_pml5:
	.quad	host_pml4 + TABLE_ENTRY
	.fill	511, 8, 0
#endif
host_pml4:
	.quad	host_pdpt + TABLE_ENTRY
	.fill	511, 8, 0
host_pdpt:
	.quad	host_pd + TABLE_ENTRY
	.fill	511, 8, 0
host_pd:
	.set	number, 0
	.rept	512
	.quad	number * MIB_2 + LARGE_PAGE
	.set	number, number + 1
	.endr

	.bss
	.balign	16
	.space	16384
stack_top:

	.section .note.GNU-stack, "", @progbits
