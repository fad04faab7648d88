/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A program that consumes the library, whichever way it found it. It says by its exit code on which line
 * something was not as it should be. Freestanding it is started by bare/start.c.
 */
#include "axaddrspace.h"

#define EXPECT(condition)                \
	do {                             \
		if (!(condition))        \
			return __LINE__; \
	} while (0)

static unsigned char memory[64 * AXAS_PAGE_SIZE] __attribute__((aligned(16384)));

/* Nobody runs on these tables. */
static void flush(void *ctx, const axas_tlb_request_t *request)
{
	(void)ctx;
	(void)request;
}

int main(void)
{
	axas_config_t config = { .struct_size = sizeof(config), .pa_bits = 40 };
	static axas_hal_t hal = { .struct_size = sizeof(hal), .tlb_flush = flush };
	axas_arena_t arena;
	axas_hpa_t hpa = 0;
	uint64_t run = 0;
	axas_t *as = NULL;

	EXPECT(axas_version() ==
	       (AXAS_VERSION_MAJOR << 16 | AXAS_VERSION_MINOR << 8 | AXAS_VERSION_PATCH));
	EXPECT(axas_arena_init(&arena) == AXAS_OK);
	EXPECT(axas_arena_add(&arena, memory, 0x40000000, sizeof(memory)) == AXAS_OK);
	EXPECT(axas_arena_hal(&arena, &hal) == AXAS_OK);

	/* Only an archive for bare metal knows what this CPU walks. */
	config.size = UINT64_C(4) << 30;
#if defined(__x86_64__)
	/* On AMD it would ask CR4, which a process may not read. */
	config.levels = 4;
#endif
#if __STDC_HOSTED__
	EXPECT(axas_create(&config, &hal, &as) == AXAS_ERR_UNSUPPORTED);
	config.format = AXAS_FORMAT_RISCV_GSTAGE;
#endif
	EXPECT(axas_create(&config, &hal, &as) == AXAS_OK);
	EXPECT(axas_map_linear(as, 0x10000, 0x80000000, 0x3000, AXAS_READ | AXAS_WRITE) == AXAS_OK);
	EXPECT(axas_translate(as, 0x11234, &hpa, &run) == AXAS_OK);
	EXPECT(hpa == 0x80001234 && run >= 0xdcc);
	EXPECT(axas_handle_page_fault(as, 0x9000, AXAS_READ) == AXAS_FAULT_UNMAPPED);
	axas_destroy(as);
	return 0;
}
