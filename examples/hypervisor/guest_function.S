/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* How a function of guest.h begins in assembly. */
	.macro	function name
	.global	\name
	.balign	16
	.type	\name, %function
\name:
	.endm
