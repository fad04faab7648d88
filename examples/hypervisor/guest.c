/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The guest: an ordinary program that knows nothing of second-stage tables.
 *
 * It runs alone on its machine, from read-only memory, with a stack in RAM and no other data. It
 * announces each act, does it, and says what it saw.
 */
#include <stdint.h>

#include "guest.h"
#include "layout.h"

#define PAGE_SIZE  4096
#define FILL_VALUE 0x1000

/* Code goes somewhere in RAM that nothing else uses, and so does the page nobody wrote. */
#define GPA_ZERO (GPA_RAM + RAM_SIZE / 2)
#define GPA_CODE (GPA_RAM + 0x200000)

static void say(const char *text)
{
	for (; *text != '\0'; text++)
		guest_put(*text);
}

/* Says whether something was as it should be; returns the number of failures, 0 or 1. */
static uint64_t claim(uint64_t holds, const char *what)
{
	say(holds ? "  guest: " : "  guest: NOT SO: ");
	say(what);
	say("\n");
	return !holds;
}

static void begin(uint64_t act)
{
	guest_call(CALL_ACT, act);
}

static uint64_t load(uint64_t address)
{
	return *(volatile uint64_t *)address;
}

static void store(uint64_t address, uint64_t value)
{
	*(volatile uint64_t *)address = value;
}

static uint64_t fill_pages(void)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < FILL_PAGES; i++)
		store(GPA_RAM + i * PAGE_SIZE, FILL_VALUE + i);
	for (uint64_t i = 0; i < FILL_PAGES; i++)
		sum += load(GPA_RAM + i * PAGE_SIZE) == FILL_VALUE + i;
	return claim(sum == FILL_PAGES, "each page holds what I wrote to it");
}

static uint64_t read_zeroes(void)
{
	uint64_t bits = 0;

	for (uint64_t offset = 0; offset < PAGE_SIZE; offset += sizeof(uint64_t))
		bits |= load(GPA_ZERO + offset);
	return claim(bits == 0, "all of the page reads as zero");
}

static uint64_t use_last_page(void)
{
	uint64_t last = GPA_LAST + PAGE_SIZE - sizeof(uint64_t);

	store(last, FILL_VALUE);
	return claim(load(last) == FILL_VALUE, "the last word of the space is mine");
}

static void copy_code(uint64_t to)
{
	uint64_t from = (uint64_t)guest_sample;
	uint64_t bytes = (uint64_t)guest_sample_end - from;

	for (uint64_t offset = 0; offset < bytes; offset += sizeof(uint64_t))
		store(to + offset, load(from + offset));
	guest_sync_code(to, bytes);
}

static uint64_t run_copy(void)
{
	struct guest_outcome outcome;

	copy_code(GPA_CODE);
	outcome = guest_try_execute(GPA_CODE);
	return claim(!outcome.refused && outcome.value == GUEST_SAMPLE_VALUE,
		     "the copied code ran and gave 42");
}

static uint64_t overwrite_program(void)
{
	uint64_t before = load(GPA_PROGRAM);
	struct guest_outcome outcome = guest_try_write(GPA_PROGRAM, ~before);

	return claim(outcome.refused && load(GPA_PROGRAM) == before,
		     "refused, and my program is as it was");
}

static uint64_t run_notes(void)
{
	struct guest_outcome outcome;

	copy_code(GPA_NOTES);
	outcome = guest_try_execute(GPA_NOTES);
	return claim(outcome.refused != 0, "refused: notes are not for running");
}

static uint64_t use_adder(void)
{
	guest_store32(GPA_ADDER + ADDER_LEFT, 19);
	guest_store32(GPA_ADDER + ADDER_RIGHT, 23);
	return claim(guest_load32(GPA_ADDER + ADDER_SUM) == 42, "the device says 19 + 23 is 42");
}

static uint64_t read_nowhere(void)
{
	return claim(guest_try_read(GPA_NOWHERE).refused != 0, "refused: nothing is there");
}

static uint64_t use_window(void)
{
	uint64_t question = load(GPA_WINDOW + WINDOW_QUESTION);

	store(GPA_WINDOW + WINDOW_ANSWER, question + 1);
	return claim(question == 41, "the host left me 41, I left it one more");
}

static uint64_t write_protected(void)
{
	struct guest_outcome outcome = guest_try_write(GPA_RAM, 0);

	return claim(outcome.refused && load(GPA_RAM) == FILL_VALUE,
		     "refused, and what I had written can still be read");
}

static uint64_t find_hole(void)
{
	uint64_t hole = GPA_WINDOW + WINDOW_HOLE;
	uint64_t failures;

	failures = claim(guest_try_write(hole, 1).refused != 0, "refused: a page is missing");
	store(hole - sizeof(uint64_t), 1);
	store(hole + PAGE_SIZE, 2);
	failures += claim(load(hole - sizeof(uint64_t)) == 1 && load(hole + PAGE_SIZE) == 2 &&
				  load(GPA_WINDOW + WINDOW_ANSWER) == 42,
			  "the pages on both sides of it are there, and the old words");
	return failures;
}

static uint64_t find_pages_gone(void)
{
	uint64_t refused = 0;

	for (uint64_t i = 0; i < FILL_PAGES; i++)
		refused += guest_try_read(GPA_RAM + i * PAGE_SIZE).refused != 0;
	return claim(refused == FILL_PAGES, "refused, each of them");
}

/*
 * What the hypervisor takes away next is used once more just before, so that a translation that it
 * forgot to invalidate is still there to be used.
 */
static void use_before(uint64_t act, uint64_t address, uint64_t pages)
{
	for (uint64_t i = 0; i < pages; i++)
		store(address + i * PAGE_SIZE, FILL_VALUE + i);
	begin(act);
}

/* The acts of layout.h, in order. Returns how often the guest saw something else. */
uint64_t guest_main(void)
{
	uint64_t failures = claim(1, "hello, I have a stack");

	begin(ACT_FILL);
	failures += fill_pages();
	begin(ACT_ZERO);
	failures += read_zeroes();
	begin(ACT_LAST_PAGE);
	failures += use_last_page();
	begin(ACT_CODE);
	failures += run_copy();
	begin(ACT_OVERWRITE);
	failures += overwrite_program();
	begin(ACT_NO_CODE);
	failures += run_notes();
	begin(ACT_DEVICE);
	failures += use_adder();
	begin(ACT_NOWHERE);
	failures += read_nowhere();
	begin(ACT_WINDOW);
	failures += use_window();
	use_before(ACT_PROTECTED, GPA_RAM, 1);
	failures += write_protected();
	use_before(ACT_HOLE, GPA_WINDOW + WINDOW_HOLE, 1);
	failures += find_hole();
	use_before(ACT_UNMAPPED, GPA_RAM + PAGE_SIZE, FILL_PAGES - 1);
	failures += find_pages_gone();
	return failures;
}
