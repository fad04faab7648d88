/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The guest's program as the hypervisor carries it: linked for its own addresses, and no symbols. */
	.section .rodata
	.balign	4096
	.global	guest_program
guest_program:
	.incbin	GUEST_BIN

	.section .note.GNU-stack, "", %progbits
