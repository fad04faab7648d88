/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * writer NUMBER: a program for the guest, without a C library. It writes the pages of /tmp/memoryNUMBER, 32 MiB in
 * memory, one by one, makes /tmp/fullNUMBER, and goes on in random order, at a steady rate until there is /tmp/stop.
 * Before it writes a page, it checks that each word is what it wrote last. run.py knows what the file holds after how
 * many steps.
 */
#include <stdint.h>

#define PAGES         8192 /* a power of two */
#define WORDS         512
#define STEPS_AT_ONCE 16
#define INTERVAL_NS   5000000
#define NS_PER_S      1000000000

#define WORD_OF_STEP   UINT64_C(0x9e3779b97f4a7c15)
#define WORD_OF_INDEX  UINT64_C(0xbf58476d1ce4e5b9)
#define RANDOM_FACTOR  UINT64_C(6364136223846793005)
#define RANDOM_SUMMAND UINT64_C(1442695040888963407)
#define RANDOM_SHIFT   51 /* leaves a number of a page */

#define SYS_FTRUNCATE     46
#define SYS_FACCESSAT     48
#define SYS_OPENAT        56
#define SYS_WRITE         64
#define SYS_EXIT_GROUP    94
#define SYS_NANOSLEEP     101
#define SYS_CLOCK_GETTIME 113
#define SYS_MMAP          222

#define AT_FDCWD        (-100)
#define O_RDWR_CREAT    0102
#define PROT_READ_WRITE 3
#define MAP_SHARED      1
#define CLOCK_MONOTONIC 1
#define STDOUT          1

struct time {
	int64_t seconds;
	int64_t nanoseconds;
};

/* The step that wrote each page last. */
static uint32_t last[PAGES];

_Noreturn void writer(const uint64_t *stack);

__asm__(".global _start\n_start:\n\tmov x0, sp\n\tb writer");

static int64_t call(int64_t number, int64_t a, int64_t b, int64_t c, int64_t d, int64_t e)
{
	register int64_t x8 __asm__("x8") = number;
	register int64_t x0 __asm__("x0") = a;
	register int64_t x1 __asm__("x1") = b;
	register int64_t x2 __asm__("x2") = c;
	register int64_t x3 __asm__("x3") = d;
	register int64_t x4 __asm__("x4") = e;
	register int64_t x5 __asm__("x5") = 0;

	__asm__ volatile("svc #0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
}

static void put(const char *text)
{
	int64_t length = 0;

	while (text[length] != '\0')
		length++;
	call(SYS_WRITE, STDOUT, (intptr_t)text, length, 0, 0);
}

/* Appends to a line. Returns its new end. */
static char *append(char *end, const char *text)
{
	while (*text != '\0')
		*end++ = *text++;
	*end = '\0';
	return end;
}

static char *append_number(char *end, uint64_t number)
{
	char digits[21];
	char *first = &digits[sizeof(digits) - 1];

	*first = '\0';
	do {
		*--first = (char)('0' + number % 10);
		number /= 10;
	} while (number != 0);
	return append(end, first);
}

static _Noreturn void leave(int64_t code)
{
	for (;;)
		call(SYS_EXIT_GROUP, code, 0, 0, 0, 0);
}

static int64_t now_ns(void)
{
	struct time time;

	call(SYS_CLOCK_GETTIME, CLOCK_MONOTONIC, (intptr_t)&time, 0, 0, 0);
	return time.seconds * NS_PER_S + time.nanoseconds;
}

/* Makes a file whose name ends with the number. Returns its descriptor, or an error. */
static int64_t make_file(const char *name, char number)
{
	char path[32];
	char *end = append(path, name);

	end[0] = number;
	end[1] = '\0';
	return call(SYS_OPENAT, AT_FDCWD, (intptr_t)path, O_RDWR_CREAT, 0600, 0);
}

static volatile uint64_t *open_memory(char number)
{
	int64_t file = make_file("/tmp/memory", number);
	int64_t address;

	call(SYS_FTRUNCATE, file, PAGES * WORDS * 8, 0, 0, 0);
	address = call(SYS_MMAP, 0, PAGES * WORDS * 8, PROT_READ_WRITE, MAP_SHARED, file);
	if (address < 0) {
		put("init: writer: no memory\n");
		leave(1);
	}
	return (volatile uint64_t *)address;
}

static uint64_t word(uint64_t step, uint64_t number, uint64_t index)
{
	return (number << 32 | step) * WORD_OF_STEP + index * WORD_OF_INDEX;
}

/* Returns 1 if the page was not as it was written. */
static uint64_t write_page(volatile uint64_t *memory, uint64_t page, uint64_t step, uint64_t number)
{
	volatile uint64_t *words = memory + page * WORDS;
	uint64_t wrong = 0;

	for (uint64_t i = 0; i < WORDS; i++) {
		uint64_t expected = step < PAGES ? 0 : word(last[page], number, i);

		wrong |= words[i] != expected;
		words[i] = word(step, number, i);
	}
	last[page] = (uint32_t)step;
	return wrong;
}

static int64_t longer(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static void say(char number, uint64_t steps, uint64_t wrong, int64_t longest_ns)
{
	char line[128];
	char name[] = { number, '\0' };
	char *end = append(append(line, "init: writer "), name);

	end = append_number(append(end, ": "), steps);
	end = append_number(append(end, " pages written, "), wrong);
	end = append_number(append(end, " wrong, longest step "), (uint64_t)longest_ns / 1000);
	append(end, " us\n");
	put(line);
}

/* stack: the number of arguments, then the arguments. */
void writer(const uint64_t *stack)
{
	char number = *(const char *)stack[2];
	volatile uint64_t *memory = open_memory(number);
	uint64_t step = 0, random = (uint64_t)number, wrong = 0;
	int64_t longest = 0, before = now_ns();

	while (call(SYS_FACCESSAT, AT_FDCWD, (intptr_t) "/tmp/stop", 0, 0, 0) != 0) {
		int64_t now;

		for (int i = 0; i < STEPS_AT_ONCE; i++, step++) {
			uint64_t page = step;

			if (step == PAGES)
				make_file("/tmp/full", number);
			if (step >= PAGES) {
				random = random * RANDOM_FACTOR + RANDOM_SUMMAND;
				page = random >> RANDOM_SHIFT;
			}
			wrong += write_page(memory, page, step, (uint64_t)number);
		}
		now = now_ns();
		if (now - before < INTERVAL_NS) {
			struct time rest = { 0, INTERVAL_NS - (now - before) };

			call(SYS_NANOSLEEP, (intptr_t)&rest, 0, 0, 0, 0);
			now = now_ns();
		}
		longest = longer(longest, now - before);
		before = now;
	}
	say(number, step, wrong, longest);
	leave(wrong != 0);
}
