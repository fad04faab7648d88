/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A stand-in for a hypervisor, to be linked, not run: it uses every kind of call, so that all of the
 * library comes in (STATIC_PARTITION: four calls), and supplies what small hypervisors supply: memcpy and memset, nothing else.
 */
#include "axaddrspace.h"

void host_entry(void);

static _Alignas(AXAS_PAGE_SIZE) unsigned char memory[16 * AXAS_PAGE_SIZE];

#ifndef KERNEL_HAS_MEM
void *memcpy(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);

void *memcpy(void *to, const void *from, size_t bytes)
{
	for (size_t at = 0; at < bytes; at++)
		((volatile unsigned char *)to)[at] = ((const unsigned char *)from)[at];
	return to;
}

void *memset(void *to, int value, size_t bytes)
{
	for (size_t at = 0; at < bytes; at++)
		((volatile unsigned char *)to)[at] = (unsigned char)value;
	return to;
}
#endif

#ifdef STATIC_PARTITION
/* Memory that is mapped once and never changes: an archive of four calls. */
static axas_hpa_t alloc_frame(void *ctx, uint32_t order, uint32_t purpose)
{
	static unsigned int taken;
	uint64_t bytes = (uint64_t)AXAS_PAGE_SIZE << order;

	(void)ctx;
	(void)purpose;
	taken = (unsigned int)((taken + bytes - 1) & ~(bytes - 1));
	if (taken + bytes > sizeof(memory))
		return AXAS_HPA_INVALID;
	taken += (unsigned int)bytes;
	return 0x40000000 + taken - bytes;
}

static void dealloc_frame(void *ctx, axas_hpa_t frame, uint32_t order, uint32_t purpose)
{
	(void)ctx;
	(void)frame;
	(void)order;
	(void)purpose;
}

void host_entry(void)
{
	static _Alignas(AXAS_STORAGE_ALIGN) unsigned char storage[AXAS_STORAGE_SIZE];
	static const axas_extent_t extents[] = { { 0x80000000, 1 << 21 }, { 0x90000000, 4096 } };
	axas_config_t cfg = { .struct_size = sizeof(cfg), .size = UINT64_C(4) << 30 };
	axas_hal_t hal = {
		.struct_size = sizeof(hal),
		.flags = AXAS_HAL_BUILTIN_FLUSH | AXAS_HAL_DIRECT_MAP,
		.direct_map_offset = (uint64_t)(uintptr_t)memory - 0x40000000,
		.alloc_frame = alloc_frame,
		.dealloc_frame = dealloc_frame,
	};
	axas_hw_regs_t regs;
	axas_t *as;

	if (axas_create_in(storage, sizeof(storage), &cfg, &hal, &as) || axas_hw_regs(as, &regs) ||
	    axas_map_linear(as, 0, UINT64_C(1) << 32, 1 << 30, AXAS_READ | AXAS_WRITE) ||
	    axas_map_extents(as, UINT64_C(2) << 30, extents, 2, AXAS_READ))
		return;
}
#else
static axas_arena_t arena;
/* Where a host keeps a pointer to a function of the library: an address in its data. */
axas_status_t (*const host_unmap)(axas_t *, axas_gpa_t, uint64_t) = axas_unmap;

static uint32_t count_run(void *ctx, const axas_mapping_t *run)
{
	*(uint64_t *)ctx += run->size;
	return 1;
}

static axas_status_t use(axas_t *as)
{
	uint64_t bytes = 0;
	uint32_t word = 0;
	axas_fault_t fault;
	axas_hw_regs_t regs;

	if (axas_map_alloc(as, 0, 1 << 30, AXAS_READ | AXAS_WRITE) ||
	    axas_map_linear(as, UINT64_C(2) << 30, 0, 1 << 21, AXAS_READ) ||
	    axas_map_trap(as, UINT64_C(3) << 30, 4096, 7) || axas_populate(as, 0, 4096) ||
	    axas_protect(as, 0, 4096, AXAS_READ) || axas_discard(as, 0, 4096) ||
	    axas_write(as, 0, &word, sizeof(word), 0, NULL) ||
	    axas_read(as, 0, &word, sizeof(word), 0, NULL) ||
	    axas_for_each(as, 0, 1 << 30, count_run, &bytes) || axas_hw_regs(as, &regs) ||
	    axas_audit(as) || axas_fault_from_arm(0x92000047, 0, 0, &fault) ||
	    !axas_fault_resumes(axas_handle_page_fault(as, fault.gpa, fault.access)))
		return AXAS_ERR_BAD_STATE;
	return host_unmap(as, 0, 4096);
}

void host_entry(void)
{
	axas_config_t cfg = { .struct_size = sizeof(cfg), .size = UINT64_C(4) << 30 };
	axas_hal_t hal = { .struct_size = sizeof(hal), .flags = AXAS_HAL_BUILTIN_FLUSH };
	axas_t *as;

	if (axas_arena_init(&arena) || axas_arena_add(&arena, memory, 0x40000000, sizeof(memory)) ||
	    axas_arena_hal(&arena, &hal) || axas_create(&cfg, &hal, &as))
		return;
	if (use(as) && axas_clear(as))
		return;
	axas_destroy(as);
}
#endif
