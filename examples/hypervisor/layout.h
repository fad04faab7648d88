/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The guest's world: what hypervisor and guest agree on.
 *
 * Only plain numbers, for assembly and linker scripts read this too.
 */
#ifndef HYPERVISOR_LAYOUT_H
#define HYPERVISOR_LAYOUT_H

/*
 * Guest-physical addresses, the same on every machine. The space has 2^40 bytes, which is more than
 * one root table of the x4 and concatenated formats holds, and its last page is in use.
 */
#define SPACE_SIZE 0x10000000000

#define GPA_CONSOLE 0x09000000 /* the machine's UART, where it has one in memory */
#define GPA_ADDER   0x0a000000 /* an emulated device: every access comes to the hypervisor */
#define GPA_PROGRAM 0x10000000 /* the guest's program: read and execute, never write */
#define GPA_WINDOW  0x40000000 /* memory of the host that both sides see */
#define GPA_NOWHERE 0x70000000 /* nothing at all */
#define GPA_NOTES   0xc0000000 /* lazy memory that must not be executed */
#define GPA_RAM     0x100000000 /* lazy memory, far more than the host has */
#define GPA_LAST    0xfffffff000 /* the last page of the space, lazy too */

#define PROGRAM_SIZE 0x4000
#define WINDOW_SIZE  0x200000
#define NOTES_SIZE   0x100000
#define RAM_SIZE     0x1000000000

/* The guest's stack grows down from here; one page of it is used. */
#define GPA_STACK_TOP (GPA_RAM + 0x100000)

/* The program begins with two entry points: where it starts, and where a refused access goes on. */
#define PROGRAM_ENTRY   0
#define PROGRAM_REFUSED 16

/* Registers of the emulated adder: 32 bits wide, 4 bytes apart. */
#define ADDER_LEFT   0
#define ADDER_RIGHT  4
#define ADDER_SUM    8
#define ADDER_COOKIE 0xadde

/* Hypercalls: a number and an argument. */
#define CALL_ACT  1 /* the argument is one of the acts below, which begins now */
#define CALL_SAY  2 /* the argument is one character, on machines without a UART in memory */
#define CALL_DONE 3 /* the argument counts the guest's own checks that failed */

/* The acts of the play, in order. */
#define ACT_WAKE      0 /* begins by itself: the guest needs a stack before it can call */
#define ACT_FILL      1
#define ACT_ZERO      2
#define ACT_LAST_PAGE 3
#define ACT_CODE      4
#define ACT_OVERWRITE 5
#define ACT_NO_CODE   6
#define ACT_DEVICE    7
#define ACT_NOWHERE   8
#define ACT_WINDOW    9
#define ACT_PROTECTED 10 /* the hypervisor took the write permission of the first filled page */
#define ACT_HOLE      11 /* the hypervisor took one page out of the window */
#define ACT_UNMAPPED  12 /* the hypervisor took the filled pages */
#define ACT_COUNT     13

/* In ACT_FILL the guest fills this many pages at the start of its RAM. */
#define FILL_PAGES 6
#define FILL_SIZE  0x6000

/* In ACT_WINDOW guest and hypervisor exchange words here; the hole comes at its middle. */
#define WINDOW_QUESTION 0
#define WINDOW_ANSWER   0x1ffff8
#define WINDOW_HOLE     0x100000

#endif
