/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The program of both guests. It begins anew in each turn; what a guest knows from the turn before is in its memory.
 */
#include "guest.h"
#include "layout.h"
#include "turns.h"

#include "axaddrspace.h"

#define PAGE 0x1000
#define LAST (BUFFER_SIZE - 8) /* in the buffer */

static void say(const char *text)
{
	for (; *text != '\0'; text++)
		guest_put(*text);
}

/* Returns the number of failures, 0 or 1. */
static uint64_t claim(uint64_t holds, const char *what)
{
	say(guest_load32(GPA_TURN) % 2 == 0 ? "  owner: " : "  other: ");
	say(holds ? "" : "NOT SO: ");
	say(what);
	say("\n");
	return !holds;
}

/* All words of a buffer are this one. */
static uint64_t holds(uint64_t buffer, uint64_t word)
{
	for (uint64_t at = 0; at < BUFFER_SIZE; at += PAGE / 2) {
		const struct guest_outcome outcome = guest_try_read(buffer + at);

		if (outcome.refused || outcome.value != word)
			return 0;
	}
	return guest_try_read(buffer + LAST).value == word;
}

static void fill(uint64_t buffer, uint64_t word)
{
	for (uint64_t at = 0; at < BUFFER_SIZE; at += 8)
		(void)guest_try_write(buffer + at, word);
}

static uint64_t lend(void)
{
	uint64_t failures = 0;

	fill(GPA_MINE, WORD_QUESTION);
	guest_call(CALL_LEND, 0);
	failures += claim(guest_try_write(GPA_MINE, 0).refused == AXAS_FAULT_HIDDEN,
			  "I wrote to memory that I have lent, and am told so");
	return failures + claim(guest_try_read(GPA_MINE + LAST).refused == AXAS_FAULT_HIDDEN,
				"I cannot read it either");
}

static uint64_t answer(void)
{
	uint64_t failures = claim(holds(GPA_BORROWED, WORD_QUESTION), "I read the question");

	fill(GPA_BORROWED, WORD_ANSWER);
	guest_call(CALL_RETURN, 0);
	return failures + claim(guest_try_write(GPA_BORROWED, 0).refused == AXAS_FAULT_UNMAPPED,
				"what I gave back is not there any more");
}

static uint64_t share(void)
{
	uint64_t failures = claim(holds(GPA_MINE, WORD_ANSWER), "I read the answer in my memory");

	fill(GPA_MINE, WORD_QUESTION);
	guest_call(CALL_SHARE, 0);
	return failures + claim(holds(GPA_MINE, WORD_QUESTION), "what I share I still read");
}

static uint64_t read_shared(void)
{
	uint64_t failures = claim(holds(GPA_BORROWED, WORD_QUESTION), "I read what is shared");

	return failures + claim(guest_try_write(GPA_BORROWED, 0).refused == AXAS_FAULT_DENIED,
				"it is not for me to write");
}

static uint64_t change(void)
{
	fill(GPA_MINE, WORD_LATER);
	return claim(holds(GPA_MINE, WORD_LATER), "what I share I still write");
}

static uint64_t look(void)
{
	uint64_t failures =
		claim(holds(GPA_BORROWED, WORD_LATER), "I read what is new, without a call");

	guest_call(CALL_RETURN, 0);
	return failures;
}

static uint64_t secret(void)
{
	fill(GPA_MINE, WORD_QUESTION);
	guest_call(CALL_LEND_WIPED, 0);
	return claim(guest_try_write(GPA_MINE, 0).refused == AXAS_FAULT_HIDDEN,
		     "I have lent it once more");
}

static uint64_t nothing(void)
{
	uint64_t failures = claim(holds(GPA_BORROWED, 0), "I read zeros");

	guest_call(CALL_RETURN, 0);
	return failures;
}

uint64_t guest_main(void)
{
	switch (guest_load32(GPA_TURN)) {
	case TURN_LEND:
		return lend();
	case TURN_ANSWER:
		return answer();
	case TURN_SHARE:
		return share();
	case TURN_READ:
		return read_shared();
	case TURN_CHANGE:
		return change();
	case TURN_LOOK:
		return look();
	case TURN_SECRET:
		return secret();
	default:
		return nothing();
	}
}
