/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The guest: a driver for the queue, first a good one, then a bad one.
 *
 * It touches memory through the functions of guest.h alone, so that the same program runs on a CPU
 * and, on the host, on the software MMU of on_host.c.
 */
#include <stdint.h>

#include "devices.h"
#include "guest.h"
#include "layout.h"

#define PAGE         0x1000
#define QUEUE_LENGTH 8
#define DESCRIPTORS  (GPA_RAM + 0x10000)
#define AVAILABLE    (GPA_RAM + 0x11000)
#define USED         (GPA_RAM + 0x12000)
#define QUESTION     (GPA_RAM + 0x20ffc) /* across the end of a page */
#define ANSWER       (GPA_RAM + 0x30ff4)
#define RAM_END      (GPA_RAM + RAM_SIZE)
#define FAR_AWAY     0xfffffffffffffff0

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

/* The queue's memory is written 32 bits at a time. */
static void store16(uint64_t address, uint32_t value)
{
	const uint64_t word = address & ~(uint64_t)3;
	const uint32_t shift = (uint32_t)(address & 2) * 8;
	const uint32_t rest = guest_load32(word) & ~(0xffffu << shift);

	guest_store32(word, rest | (value & 0xffff) << shift);
}

static uint32_t load16(uint64_t address)
{
	return guest_load32(address & ~(uint64_t)3) >> (address & 2) * 8 & 0xffff;
}

static uint32_t word_of(const char *text)
{
	uint32_t word = 0;

	for (uint32_t i = 0; i < 4; i++)
		word |= (uint32_t)(uint8_t)text[i] << i * 8;
	return word;
}

/* Texts of this program are a multiple of four characters long. */
static void put_text(uint64_t address, const char *text)
{
	for (; *text != '\0'; text += 4, address += 4)
		guest_store32(address, word_of(text));
}

static uint64_t holds_text(uint64_t address, const char *text)
{
	for (; *text != '\0'; text += 4, address += 4) {
		if (guest_load32(address) != word_of(text))
			return 0;
	}
	return 1;
}

static void describe(uint32_t index, uint64_t address, uint32_t length, uint32_t flags,
		     uint32_t next)
{
	const uint64_t descriptor = DESCRIPTORS + index * DESCRIPTOR_BYTES;

	guest_store32(descriptor, (uint32_t)address);
	guest_store32(descriptor + 4, (uint32_t)(address >> 32));
	guest_store32(descriptor + 8, length);
	guest_store32(descriptor + 12, flags | next << 16);
}

static void set_address(uint64_t offset, uint64_t address)
{
	guest_store32(GPA_QUEUE + offset, (uint32_t)address);
	guest_store32(GPA_QUEUE + offset + 4, (uint32_t)(address >> 32));
}

static void start_queue(void)
{
	set_address(QUEUE_DESCRIPTORS, DESCRIPTORS);
	set_address(QUEUE_AVAILABLE, AVAILABLE);
	set_address(QUEUE_USED, USED);
	guest_store32(GPA_QUEUE + QUEUE_SIZE, QUEUE_LENGTH);
}

/* Submits the chain that begins at a descriptor; returns the bytes that the device wrote. */
static uint32_t submit(uint32_t head)
{
	const uint32_t number = load16(AVAILABLE + RING_INDEX);

	store16(AVAILABLE + RING_ENTRY + number % QUEUE_LENGTH * 2, head);
	store16(AVAILABLE + RING_INDEX, number + 1);
	guest_store32(GPA_QUEUE + QUEUE_KICK, 0);
	return guest_load32(USED + RING_ENTRY + number % QUEUE_LENGTH * 8 + 4);
}

static uint64_t ask(void)
{
	guest_store32(ANSWER, 0);
	put_text(QUESTION, "is there anybody");
	describe(0, QUESTION, 10, DESCRIPTOR_NEXT, 2);
	describe(2, QUESTION + 10, 6, DESCRIPTOR_NEXT, 1);
	describe(1, ANSWER, PAGE, DESCRIPTOR_WRITE, 0);
	return claim(submit(0) == 16 && holds_text(ANSWER, "IS THERE ANYBODY"),
		     "the queue answered, in my memory");
}

/* Descriptors that a device must not follow; the one at 7 is a good question. */
static uint64_t misuse(void)
{
	uint64_t failures = 0;

	describe(7, QUESTION, 16, DESCRIPTOR_NEXT, 1);
	describe(1, GPA_PROGRAM, 16, DESCRIPTOR_WRITE, 0);
	failures += claim(submit(7) == 0, "no answer into my read-only program");
	describe(1, GPA_CONSOLE, 16, DESCRIPTOR_WRITE, 0);
	failures += claim(submit(7) == 0, "no answer into a device");
	describe(1, GPA_CLOCK, 16, DESCRIPTOR_WRITE, 0);
	failures += claim(submit(7) == 0, "no answer into a device that does not exist");
	describe(1, RAM_END - 4, 16, DESCRIPTOR_WRITE, 0);
	failures += claim(submit(7) == 4, "as much of the answer as there is memory");
	describe(1, FAR_AWAY, 32, 0, 0);
	failures += claim(submit(1) == 0, "no question from beyond all addresses");
	describe(1, QUESTION, 0x80000000, 0, 0);
	failures += claim(submit(1) == 0, "no question of 2 GiB");
	describe(1, QUESTION, 1, DESCRIPTOR_NEXT, 1);
	failures += claim(submit(1) == 0, "no chain without end");
	describe(1, QUESTION, 1, DESCRIPTOR_NEXT, QUEUE_LENGTH);
	failures += claim(submit(1) == 0, "no chain out of the table");
	return failures;
}

static uint64_t first_life(void)
{
	uint64_t failures = claim(guest_load32(GPA_RAM + RAM_SIZE / 2) == 0, "RAM reads as zero");

	failures += claim(guest_load32(GPA_CLOCK + CLOCK_TICKS) == 1 &&
				  guest_load32(GPA_CLOCK + CLOCK_TICKS) == 2,
			  "the clock ticks");
	failures += claim(guest_try_write(GPA_PROGRAM, 0).refused, "my program is not for writing");
	failures += claim(guest_try_read(GPA_NOWHERE).refused, "nothing is nowhere");
	start_queue();
	failures += ask();
	failures += misuse();
	failures += ask();
	set_address(QUEUE_USED, GPA_PROGRAM);
	(void)submit(0);
	failures += claim(guest_load32(GPA_QUEUE + QUEUE_STATUS) == STATUS_BROKEN,
			  "a ring in my program breaks the queue");
	return failures;
}

static uint64_t second_life(void)
{
	uint64_t failures = claim(guest_load32(QUESTION) == 0, "a new life, and all is forgotten");

	failures += claim(guest_load32(GPA_CLOCK + CLOCK_TICKS) == 1, "the clock begins anew");
	start_queue();
	return failures + ask();
}

uint64_t guest_main(void)
{
	uint64_t failures;

	if (guest_load32(GPA_CLOCK + CLOCK_LIFE) != 0)
		return second_life();
	failures = first_life();
	if (failures == 0)
		guest_call(CALL_RESET, 0);
	return failures;
}
