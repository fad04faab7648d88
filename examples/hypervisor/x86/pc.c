/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The PC as QEMU and Bochs make it: how to speak to the person, and how to end the emulation. */
#include <stdint.h>

#include "machine.h"
#include "report.h"

/* On QEMU: the first serial port, a 16550, and a port that ends the emulation. */
#define UART_DATA        0x3f8
#define UART_LINE_STATUS 0x3fd
#define UART_EMPTY       0x20
#define DEBUG_EXIT       0xf4
#define DEBUG_EXIT_BASE  16 /* tells our codes from those of QEMU: amd/qemu.sh */

/* On Bochs: a character to the person, and a port that ends the emulation after this word. */
#define BOCHS_CONSOLE       0xe9
#define BOCHS_SHUTDOWN      0x8900
#define BOCHS_SHUTDOWN_WORD "Shutdown"

static void out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}

static void out32(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" ::"a"(value), "Nd"(port));
}

static uint8_t in8(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

/* Each emulator has one of these consoles; a status port that is not there reads as all ones. */
void console_put(char character)
{
	while (!(in8(UART_LINE_STATUS) & UART_EMPTY))
		;
	out8(UART_DATA, (uint8_t)character);
	out8(BOCHS_CONSOLE, (uint8_t)character);
}

/* QEMU stops at the first write. Bochs always ends with 1, so the code goes out as a last line. */
void machine_exit(uint32_t code)
{
	out32(DEBUG_EXIT, DEBUG_EXIT_BASE + code);
	report("exit code %u\n", code);
	for (const char *word = BOCHS_SHUTDOWN_WORD; *word != '\0'; word++)
		out8(BOCHS_SHUTDOWN, (uint8_t)*word);
	for (;;)
		__asm__ volatile("hlt");
}
