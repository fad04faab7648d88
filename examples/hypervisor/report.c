/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "report.h"

#include <stdarg.h>
#include <stddef.h>

#include "frames.h"
#include "machine.h"

struct field {
	uint32_t width;
	uint32_t left;
	char fill;
};

static void put_field(const char *text, size_t length, const struct field *field)
{
	size_t padding = length < field->width ? field->width - length : 0;

	for (size_t i = 0; i < padding && !field->left; i++)
		console_put(field->fill);
	for (size_t i = 0; i < length; i++)
		console_put(text[i]);
	for (size_t i = 0; i < padding && field->left; i++)
		console_put(' ');
}

static void put_string(const char *text, const struct field *field)
{
	size_t length = 0;

	while (text[length] != '\0')
		length++;
	put_field(text, length, field);
}

static void put_number(uint64_t number, uint32_t base, const struct field *field)
{
	char digits[20];
	size_t first = sizeof(digits);

	do {
		digits[--first] = "0123456789abcdef"[number % base];
		number /= base;
	} while (number != 0);
	put_field(&digits[first], sizeof(digits) - first, field);
}

static const char *parse_field(const char *format, struct field *field)
{
	*field = (struct field){ .fill = ' ' };
	for (;; format++) {
		if (*format == '-')
			field->left = 1;
		else if (*format == '0')
			field->fill = '0';
		else
			break;
	}
	for (; *format >= '0' && *format <= '9'; format++)
		field->width = field->width * 10 + (uint32_t)(*format - '0');
	return format;
}

void report(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	for (; *format != '\0'; format++) {
		struct field field;

		if (*format != '%') {
			console_put(*format);
			continue;
		}
		format = parse_field(format + 1, &field);
		switch (*format) {
		case 's':
			put_string(va_arg(list, const char *), &field);
			break;
		case 'c':
			console_put((char)va_arg(list, int));
			break;
		case 'u':
			put_number(va_arg(list, uint32_t), 10, &field);
			break;
		case 'l':
			format++;
			put_number(va_arg(list, uint64_t), *format == 'x' ? 16 : 10, &field);
			break;
		default:
			console_put(*format);
			break;
		}
	}
	va_end(list);
}

const char *flags_name(axas_flags_t flags)
{
	static const char *const names[8] = {
		"---", "r--", "-w-", "rw-", "--x", "r-x", "-wx", "rwx"
	};

	return names[flags & (AXAS_READ | AXAS_WRITE | AXAS_EXECUTE)];
}

const char *access_name(axas_flags_t access)
{
	switch (access) {
	case AXAS_READ:
		return "read";
	case AXAS_WRITE:
		return "write";
	case AXAS_EXECUTE:
		return "execute";
	default:
		return flags_name(access);
	}
}

const char *verdict_name(axas_fault_result_t verdict)
{
	static const char *const names[] = {
		[AXAS_FAULT_RESOLVED] = "resolved",   [AXAS_FAULT_SPURIOUS] = "spurious",
		[AXAS_FAULT_RETRY] = "retry",         [AXAS_FAULT_TRAP] = "trap",
		[AXAS_FAULT_UNMAPPED] = "unmapped",   [AXAS_FAULT_DENIED] = "denied",
		[AXAS_FAULT_NO_MEMORY] = "no memory", [AXAS_FAULT_ERROR] = "error",
		[AXAS_FAULT_HIDDEN] = "hidden",
	};

	return verdict < sizeof(names) / sizeof(names[0]) ? names[verdict] : "unknown";
}

void report_size(uint64_t bytes)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB" };
	uint64_t number = bytes >> 10;
	size_t unit = 0;

	while (number % 1024 == 0 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		number /= 1024;
		unit++;
	}
	report("%4lu %s", number, units[unit]);
}

static void write_dump(void *ctx, const char *text, size_t bytes)
{
	(void)ctx;
	for (size_t i = 0; i < bytes; i++)
		console_put(text[i]);
}

axas_status_t report_space(const axas_t *space)
{
	return axas_dump(space, write_dump, NULL);
}

void report_stats(const axas_stats_t *stats)
{
	report("  frames now   %6lu tables    %6lu guest\n", stats->table_frames,
	       stats->guest_frames);
	report("  frames ever  %6lu taken     %6lu returned\n", stats->frames_allocated,
	       stats->frames_released);
	report("  leaves now   %6lu of 4 KiB  %6lu of 2 MiB  %6lu of 1 GiB\n", stats->mapped_4k,
	       stats->mapped_2m, stats->mapped_1g);
	report("  faults       %6lu resolved  %6lu trap      %6lu unmapped   %6lu denied\n",
	       stats->faults_resolved, stats->faults_trap, stats->faults_unmapped,
	       stats->faults_denied);
	report("               %6lu spurious  %6lu retry     %6lu no memory  %6lu error\n",
	       stats->faults_spurious, stats->faults_retry, stats->faults_no_memory,
	       stats->faults_error);
	report("  TLB requests %6lu\n", stats->tlb_requests);
}

static void report_purpose(const char *name, uint32_t purpose)
{
	const struct frame_books *books = frames_books(purpose);

	report("  %-12s %6lu taken     %6lu returned  %6lu out\n", name, books->taken,
	       books->returned, books->taken - books->returned);
}

void report_books(void)
{
	report_purpose("tables", AXAS_FRAME_TABLE);
	report_purpose("guest memory", AXAS_FRAME_GUEST);
}
