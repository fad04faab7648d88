/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The library's messages, and its own picture of a space.
 *
 * There is one logger for all spaces. Levels: 1 error (a broken invariant, nonsense from a callback),
 * 2 warn (a call of the host's that was refused), 4 debug (everything that succeeds, and whatever a
 * guest can cause, so that no guest can flood a log kept at warn).
 */
#include <stdio.h>
#include "axaddrspace.h"

/* Runs with the space's lock held: print, do not call back. The text is good during the call. */
static void log_line(void *ctx, uint32_t level, const char *target, const char *text)
{
	static const char *const names[] = { "", "error", "warn", "info", "debug", "trace" };
	FILE *to = ctx;

	fprintf(to, "[%-5s] %s: %s\n", level < 6 ? names[level] : "?", target, text);
}

static void print(void *ctx, const char *text, size_t bytes)
{
	fwrite(text, 1, bytes, ctx);
}

int main(void)
{
	static _Alignas(AXAS_PAGE_SIZE) unsigned char memory[32 * AXAS_PAGE_SIZE];
	const axas_flags_t rw = AXAS_READ | AXAS_WRITE;
	const axas_config_t cfg = {
		.struct_size = sizeof(cfg),
		.format = AXAS_FORMAT_RISCV_GSTAGE,
		.size = UINT64_C(1) << 38,
	};
	axas_hal_t hal = { .struct_size = sizeof(hal), .flags = AXAS_HAL_BUILTIN_FLUSH };
	axas_arena_t arena;
	axas_t *as;

	/* Before the first space is made. A hypervisor in production stays at 2, warn. */
	axas_set_logger(log_line, stdout, 4);
	if (axas_arena_init(&arena) || axas_arena_add(&arena, memory, 0x80000000, sizeof(memory)) ||
	    axas_arena_hal(&arena, &hal) || axas_create(&cfg, &hal, &as))
		return 1;
	if (axas_map_alloc(as, 0x80000000, 0x40000000, rw) ||
	    axas_map_trap(as, 0x10000000, 0x1000, 7))
		return 1;
	if (!axas_fault_resumes(axas_handle_page_fault(as, 0x80001000, AXAS_WRITE)))
		return 1;

	/* Two mistakes of the host's. */
	printf("overlap: %s\n", axas_status_str(axas_map_alloc(as, 0x80000000, 0x1000, rw)));
	printf("unaligned: %s\n", axas_status_str(axas_unmap(as, 0x80000010, 0x1000)));
	/* A mistake of the guest's: no warning, whatever it does. */
	if (axas_handle_page_fault(as, 0x20000000, AXAS_READ) != AXAS_FAULT_UNMAPPED)
		return 1;

	printf("the space:\n");
	if (axas_dump(as, print, stdout))
		return 1;
	printf("the tables are %s\n", axas_audit(as) == AXAS_OK ? "sound" : "broken");
	axas_destroy(as);
	return 0;
}
