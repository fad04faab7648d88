/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the suite and its guest agree on.
 *
 * The guest is one page of code: it leaves for the hypervisor, and when it is entered again at
 * its entry it does what its registers say, then leaves again with the result. Only plain
 * numbers, for the guest is assembly.
 */
#ifndef MACHINES_GUEST_H
#define MACHINES_GUEST_H

#define OP_READ            1 /* a 64-bit load */
#define OP_WRITE           2 /* a 64-bit store */
#define OP_EXECUTE         3 /* a call; what is there has to be the sample */
#define OP_ATOMIC          4 /* adds the value to the 64-bit word, gives the old one */
#define OP_READ_32         5
#define OP_WRITE_8         6
#define OP_FENCE_WALKS     7 /* drops what the guest's own walks left in the TLB */
/* The rest goes on for ever: do it, tell the mailbox, until the mailbox says stop or it faults. */
#define OP_KEEP_READING    8
#define OP_KEEP_WRITING    9
#define OP_KEEP_EXECUTING  10
/*
 * Adds 1 to a number, and stores it at a random place below the value, which is a size less 8, from the address on. What
 * is there must be a smaller number: else it leaves with that one.
 */
#define OP_KEEP_SCATTERING 11

/* Instructions between two numbers, so that the host has time to copy what was written. */
#define SCATTER_PAUSE 10000
/* The places: xorshift from SCATTER_SEED on, shifted down. */
#define SCATTER_SEED  1
#define SCATTER_SHIFT 16

/* What the sample returns. */
#define SAMPLE_VALUE 0x2a

/* The mailbox page: 64-bit words. */
#define GPA_MAILBOX   0x10010000
#define MAILBOX_LAST  0 /* what was read or written last */
#define MAILBOX_BEATS 8 /* how often */
#define MAILBOX_STOP  16

#endif
