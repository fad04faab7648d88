/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Cycles of calls through one of the bare-metal x86-64 archives, run as a program: the fewest of many
 * rounds, for the machine does other things too. Its callbacks are the functions of static_hal.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <x86intrin.h>
#include "static_hal.h"

#define ROUNDS 100000

static uint64_t best(axas_t *as, axas_status_t (*call)(axas_t *as))
{
	uint64_t fewest = UINT64_MAX;
	unsigned int core;

	for (int round = 0; round < ROUNDS; round++) {
		uint64_t begin = __rdtscp(&core);
		axas_status_t status = call(as);
		uint64_t cycles = __rdtscp(&core) - begin;

		if (status)
			exit(1);
		if (cycles < fewest)
			fewest = cycles;
	}
	return fewest;
}

static axas_status_t map_and_unmap(axas_t *as)
{
	axas_status_t status = axas_map_linear(as, 8192, 0x40000000, 4096, AXAS_READ);

	return status ? status : axas_unmap(as, 8192, 4096);
}

static axas_status_t fault(axas_t *as)
{
	return axas_handle_page_fault(as, 0, AXAS_READ) == AXAS_FAULT_SPURIOUS ? AXAS_OK :
										 AXAS_ERR_BAD_STATE;
}

int main(void)
{
	axas_config_t cfg = { .struct_size = sizeof(cfg), .format = AXAS_FORMAT_EPT };
	axas_hal_t hal = {
		.struct_size = sizeof(hal),
		.ctx = &static_host,
		.alloc_frame = axas_hal_alloc_frame,
		.dealloc_frame = axas_hal_dealloc_frame,
		.phys_to_virt = axas_hal_phys_to_virt,
		.tlb_flush = axas_hal_tlb_flush,
	};
	axas_t *as;

	cfg.size = UINT64_C(1) << 30;
	if (axas_create(&cfg, &hal, &as) || axas_map_linear(as, 0, 0x40000000, 4096, AXAS_READ))
		return 1;
	printf("map and unmap a page: %llu cycles, a fault on a mapped page: %llu\n",
	       (unsigned long long)best(as, map_and_unmap), (unsigned long long)best(as, fault));
	return 0;
}
