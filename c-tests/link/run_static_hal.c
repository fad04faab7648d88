/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An archive with STATIC_HAL=1 calls the functions and none of the pointers: those are there, but
 * lead nowhere.
 */
#include <stdio.h>
#include <stdlib.h>
#include "static_hal.h"

#define CHECK(what)                                                       \
	do {                                                              \
		if (!(what)) {                                            \
			printf("%s:%d: %s\n", __FILE__, __LINE__, #what); \
			exit(1);                                          \
		}                                                         \
	} while (0)

/* A pointer of any callback's type that must not be called. */
#define NOWHERE(type) ((type)(uintptr_t)1)

int main(void)
{
	struct static_host *host = &static_host;
	axas_config_t cfg = { .struct_size = sizeof(cfg), .size = UINT64_C(1) << 30 };
	axas_hal_t hal = {
		.struct_size = sizeof(hal),
		.ctx = host,
		.alloc_frame = NOWHERE(axas_alloc_frame_fn),
		.dealloc_frame = NOWHERE(axas_dealloc_frame_fn),
		.phys_to_virt = NOWHERE(axas_phys_to_virt_fn),
		.release_virt = NOWHERE(axas_release_virt_fn),
		.tlb_flush = NOWHERE(axas_tlb_flush_fn),
		.clean_range = NOWHERE(axas_clean_range_fn),
		.should_yield = NOWHERE(axas_should_yield_fn),
		.relax = NOWHERE(axas_relax_fn),
		.released = NOWHERE(axas_released_fn),
		.may_move = NOWHERE(axas_may_move_fn),
		.resolve = NOWHERE(axas_resolve_fn),
		.evicted = NOWHERE(axas_evicted_fn),
	};
	static _Alignas(AXAS_STORAGE_ALIGN) unsigned char storage[AXAS_STORAGE_SIZE];
	uint64_t done = 0;
	uint32_t word = 0;
	axas_arena_t arena;
	axas_t *as;

	cfg.format = AXAS_FORMAT_EPT;
	cfg.options = AXAS_NONCOHERENT_WALK;
	CHECK(axas_create_in(storage, sizeof(storage), &cfg, &hal, &as) == AXAS_OK);
	CHECK(axas_map_alloc(as, 0, 4096, AXAS_READ | AXAS_WRITE) == AXAS_OK);
	/* More than one slice. */
	CHECK(axas_map_linear(as, 4 << 20, 0x40000000, 4 << 20, AXAS_READ | AXAS_NO_HUGE) ==
	      AXAS_OK);
	CHECK(axas_write(as, 0, &word, sizeof(word), 0, NULL) == AXAS_OK);
	CHECK(axas_unmap_some(as, 0, 8 << 20, 4096, &done) == AXAS_OK);
	CHECK(axas_map_provider(as, 0, 4096, AXAS_READ, 1) == AXAS_OK);
	CHECK(axas_handle_page_fault(as, 0, AXAS_READ) == AXAS_FAULT_RESOLVED);
	CHECK(axas_evict(as, 0, 4096, 1) == AXAS_OK);
	axas_destroy(as);
	CHECK(host->taken > 0 && host->given == host->taken);
	CHECK(host->windows > 0 && host->closed == host->windows);
	CHECK(host->flushes > 0 && host->cleaned > 0 && host->asked > 0 && host->released > 0);
	CHECK(host->resolved == 1 && host->evicted == 1);

	CHECK(axas_arena_init(&arena) == AXAS_OK);
	CHECK(axas_arena_hal(&arena, &hal) == AXAS_ERR_UNSUPPORTED);
	printf("%u frames, %u windows, %u flushes, by name\n", host->taken, host->windows,
	       host->flushes);
	return 0;
}
