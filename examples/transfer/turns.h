/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What both guests and the hypervisor know. The rest of a guest's world (RAM, program, console) is that of
 * ../hypervisor/layout.h.
 */
#ifndef TRANSFER_TURNS_H
#define TRANSFER_TURNS_H

/* A page that is trapped: a guest reads there which turn it is, and with that which of the guests it is. */
#define GPA_TURN 0x0a000000

/* The buffer, where the guest that owns it has it, and where the other one gets it. */
#define GPA_MINE     0x40000000
#define GPA_BORROWED 0x48000000
#define BUFFER_SIZE  0x4000

/* The turns, in order: even ones are the owner's, odd ones the other's. */
#define TURN_LEND    0
#define TURN_ANSWER  1
#define TURN_SHARE   2
#define TURN_READ    3
#define TURN_CHANGE  4
#define TURN_LOOK    5
#define TURN_SECRET  6
#define TURN_NOTHING 7
#define TURN_COUNT   8

/* Hypercalls besides those of layout.h; all are of the whole buffer. */
#define CALL_LEND       4
#define CALL_LEND_WIPED 5
#define CALL_SHARE      6 /* for the other guest to read */
#define CALL_RETURN     7

/* What the guests write. */
#define WORD_QUESTION 0x1122334455667788
#define WORD_ANSWER   0x8877665544332211
#define WORD_LATER    0x5a5a5a5a5a5a5a5a

#endif
