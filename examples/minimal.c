/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include "axaddrspace.h"

static _Alignas(AXAS_PAGE_SIZE) unsigned char memory[64 * AXAS_PAGE_SIZE];

int main(void)
{
	const axas_flags_t rwx = AXAS_READ | AXAS_WRITE | AXAS_EXECUTE;
	axas_config_t cfg = { .struct_size = sizeof(cfg), .format = AXAS_FORMAT_EPT };
	axas_hal_t hal = { .struct_size = sizeof(hal), .flags = AXAS_HAL_BUILTIN_FLUSH };
	axas_arena_t arena;
	axas_hw_regs_t regs;
	axas_hpa_t hpa;
	uint64_t run;
	axas_t *as;

	/* Tables and guest pages come from our array; its physical address is 0x40000000. */
	cfg.size = UINT64_C(4) << 30;
	if (axas_arena_init(&arena) || axas_arena_add(&arena, memory, 0x40000000, sizeof(memory)) ||
	    axas_arena_hal(&arena, &hal) || axas_create(&cfg, &hal, &as))
		return 1;
	/* 1 GiB of RAM, each page taken in when the guest first touches it; and a device. */
	if (axas_map_alloc(as, 0x80000000, UINT64_C(1) << 30, rwx) ||
	    axas_map_linear(as, 0x9000000, 0xfe000000, 0x1000,
			    AXAS_READ | AXAS_WRITE | AXAS_DEVICE))
		return 1;
	/* What an exit handler does when the guest writes to 0x80001234. */
	if (!axas_fault_resumes(axas_handle_page_fault(as, 0x80001234, AXAS_WRITE)) ||
	    axas_translate(as, 0x80001234, &hpa, &run) || axas_hw_regs(as, &regs))
		return 1;
	printf("EPTP 0x%" PRIx64 ": guest 0x80001234 is host 0x%" PRIx64 "\n", regs.root_register,
	       hpa);
	axas_destroy(as);
	return 0;
}
