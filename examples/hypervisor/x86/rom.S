/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * In place of a BIOS: from the reset vector to 32-bit protected mode, and the image into RAM.
 *
 * image.ld lays this at the end of the ROM and the image at its start. The code segment begins at
 * REAL_BASE after a reset, whatever CS says, and addresses count from there until the far jump.
 */
#define REAL_BASE   0xffff0000
#define CODE32	    0x08
#define DATA32	    0x10
#define CR0_PE	    0x01

	.section .rom, "ax"

	.code16
rom_start:
	cli
	lgdtl	%cs:(rom_gdt_pointer - REAL_BASE)
	mov	%cr0, %eax
	or	$CR0_PE, %al
	mov	%eax, %cr0
	ljmpl	$CODE32, $rom_start32

	.code32
rom_start32:
	mov	$DATA32, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	cld
	mov	$image_in_rom, %esi
	mov	$image_start, %edi
	mov	$image_bytes, %ecx
	rep movsb
	mov	$_start, %eax
	jmp	*%eax

	.balign	8
rom_gdt:
	.quad	0
	.quad	0x00cf9b000000ffff	/* CODE32 */
	.quad	0x00cf93000000ffff	/* DATA32 */
rom_gdt_end:

rom_gdt_pointer:
	.word	rom_gdt_end - rom_gdt - 1
	.long	rom_gdt

	.section .reset, "ax"

	.code16
	jmp	rom_start

	.section .note.GNU-stack, "", %progbits
