/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a host with retpolines has: a call through r11 that no processor predicts. */
	.text
	.globl __x86_indirect_thunk_r11
__x86_indirect_thunk_r11:
	call 1f
2:	pause
	lfence
	jmp 2b
1:	mov %r11,(%rsp)
	ret
	.section .note.GNU-stack,"",@progbits
