/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The host of an archive with STATIC_HAL=1: each callback is a function that the linker finds. */
#include "static_hal.h"

struct static_host static_host;

axas_hpa_t axas_hal_alloc_frame(void *ctx, uint32_t order, uint32_t purpose)
{
	struct static_host *host = ctx;

	(void)purpose;
	if (order || host->taken == STATIC_HOST_FRAMES)
		return AXAS_HPA_INVALID;
	return (axas_hpa_t)(uintptr_t)host->frames[host->taken++];
}

void axas_hal_dealloc_frame(void *ctx, axas_hpa_t frame, uint32_t order, uint32_t purpose)
{
	struct static_host *host = ctx;

	(void)frame;
	(void)order;
	(void)purpose;
	host->given++;
}

void *axas_hal_phys_to_virt(void *ctx, axas_hpa_t pa, size_t size)
{
	struct static_host *host = ctx;

	(void)size;
	host->windows++;
	return (void *)(uintptr_t)pa;
}

void axas_hal_release_virt(void *ctx, void *va, size_t size)
{
	struct static_host *host = ctx;

	(void)va;
	(void)size;
	host->closed++;
}

void axas_hal_tlb_flush(void *ctx, const axas_tlb_request_t *request)
{
	struct static_host *host = ctx;

	(void)request;
	host->flushes++;
}

void axas_hal_clean_range(void *ctx, void *va, size_t size, uint32_t purpose)
{
	struct static_host *host = ctx;

	(void)va;
	(void)size;
	(void)purpose;
	host->cleaned++;
}

uint32_t axas_hal_should_yield(void *ctx)
{
	struct static_host *host = ctx;

	host->asked++;
	return 0;
}

void axas_hal_relax(void *ctx)
{
	(void)ctx;
}

void axas_hal_released(void *ctx, const axas_mapping_t *run)
{
	struct static_host *host = ctx;

	(void)run;
	host->released++;
}

uint32_t axas_hal_may_move(void *ctx, axas_gpa_t gpa, axas_hpa_t hpa)
{
	struct static_host *host = ctx;

	(void)gpa;
	(void)hpa;
	host->moved++;
	return 0;
}

uint32_t axas_hal_resolve(void *ctx, uint32_t provider, axas_gpa_t gpa, uint32_t access,
			  axas_supply_t *answer)
{
	struct static_host *host = ctx;

	(void)provider;
	(void)gpa;
	(void)access;
	answer->hpa = 0x40000000;
	host->resolved++;
	return AXAS_RESOLVE_NOW;
}

uint32_t axas_hal_evicted(void *ctx, const axas_mapping_t *run, uint32_t dirty)
{
	struct static_host *host = ctx;

	(void)run;
	(void)dirty;
	host->evicted++;
	return 0;
}
