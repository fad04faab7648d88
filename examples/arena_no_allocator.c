/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A host without an allocator and without a direct map.
 *
 * All physical memory is a file here, of which the host maps two things: a small reserve, once and
 * for good, for the arena that page tables come from; and single pages of the guest's memory, for as
 * long as the library looks at them: windows, as map_domain_page() or per-CPU mappings give them.
 */
#define _GNU_SOURCE /* memfd_create */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "axaddrspace.h"

#define PA_BASE      UINT64_C(0x80000000) /* physical memory: 16 MiB */
#define PA_SIZE      (UINT64_C(16) << 20)
#define RESERVE_SIZE (UINT64_C(64) << 10) /* its first 64 KiB are the arena's */
#define GUEST_PA     (PA_BASE + (UINT64_C(4) << 20))
#define GUEST_SIZE   (UINT64_C(8) << 20)
#define RAM          UINT64_C(0x40000000) /* guest-physical */

/* What the callbacks get as ctx. */
struct host {
	int physical;
	uint32_t opened, open, most_open;
};

static void must(axas_status_t status, const char *what)
{
	if (status == AXAS_OK)
		return;
	fprintf(stderr, "%s: %s\n", what, axas_status_str(status));
	exit(1);
}

/* The guest's memory is not the library's to take. */
static axas_hpa_t alloc_frame(void *ctx, uint32_t order, uint32_t purpose)
{
	(void)ctx;
	(void)order;
	(void)purpose;
	return AXAS_HPA_INVALID;
}

static void dealloc_frame(void *ctx, axas_hpa_t frame, uint32_t order, uint32_t purpose)
{
	(void)ctx;
	(void)frame;
	(void)order;
	(void)purpose;
}

/* Of the guest's memory, never more than one page is asked for. */
static void *phys_to_virt(void *ctx, axas_hpa_t pa, size_t size)
{
	struct host *host = ctx;
	const uint64_t in_page = pa % AXAS_PAGE_SIZE;
	unsigned char *page;

	(void)size;
	if (pa - PA_BASE >= PA_SIZE)
		return NULL; /* the host cannot reach it; only linear memory may be like that */
	page = mmap(NULL, AXAS_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, host->physical,
		    (off_t)(pa - in_page - PA_BASE));
	if (page == MAP_FAILED)
		return NULL;
	host->opened++;
	if (++host->open > host->most_open)
		host->most_open = host->open;
	return page + in_page;
}

/* Windows close in reverse order, on the CPU that opened them: a stack of slots for each CPU is enough. */
static void release_virt(void *ctx, void *va, size_t size)
{
	struct host *host = ctx;

	(void)size;
	munmap((void *)((uintptr_t)va & ~(uintptr_t)(AXAS_PAGE_SIZE - 1)), AXAS_PAGE_SIZE);
	host->open--;
}

static void host_init(struct host *host, axas_arena_t *arena)
{
	void *reserve;

	host->physical = memfd_create("physical memory", 0);
	if (host->physical < 0 || ftruncate(host->physical, (off_t)PA_SIZE) != 0)
		exit(1);
	reserve = mmap(NULL, RESERVE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, host->physical, 0);
	if (reserve == MAP_FAILED)
		exit(1);
	must(axas_arena_init(arena), "axas_arena_init");
	must(axas_arena_add(arena, reserve, PA_BASE, RESERVE_SIZE), "axas_arena_add");
}

/* How large the reserve has to be, before anything is made. */
static void size_up(const axas_config_t *cfg, axas_flags_t flags)
{
	uint64_t tables;

	must(axas_tables_needed(cfg, RAM, GUEST_SIZE, flags, &tables), "axas_tables_needed");
	printf("tables: at most %" PRIu64 " of the %" PRIu64 " frames in reserve\n", tables,
	       RESERVE_SIZE / AXAS_PAGE_SIZE);
}

static void use(axas_t *as, struct host *host, axas_flags_t flags)
{
	const char text[] = "written through a window";
	char back[sizeof(text)];
	uint64_t word = 0;
	axas_hpa_t hpa;

	must(axas_map_linear(as, RAM, GUEST_PA, GUEST_SIZE, flags), "axas_map_linear");
	printf("8 MiB mapped: %u windows opened\n", host->opened);

	must(axas_write(as, RAM + 0xffa, text, sizeof(text), 0, NULL), "axas_write");
	must(axas_read(as, RAM + 0xffa, back, sizeof(back), 0, NULL), "axas_read");
	printf("\"%s\", across two pages\n", back);
	must(axas_write_u64(as, RAM + GUEST_SIZE - 8, 0, UINT64_C(0x0123456789abcdef)),
	     "axas_write_u64");
	must(axas_translate(as, RAM + GUEST_SIZE - 8, &hpa, NULL), "axas_translate");
	if (pread(host->physical, &word, sizeof(word), (off_t)(hpa - PA_BASE)) != sizeof(word))
		exit(1);
	printf("physical 0x%" PRIx64 " holds 0x%" PRIx64 "\n", hpa, word);
	printf("windows were needed: %s; more than levels + 2 at once: %s; still open: %u\n",
	       host->opened > 0 ? "yes" : "NO",
	       host->most_open > axas_levels(as) + 2 ? "YES" : "no", host->open);
}

static uint32_t free_frames(axas_arena_t *arena)
{
	axas_hal_t hal = { .struct_size = sizeof(hal) };
	axas_hpa_t taken[RESERVE_SIZE / AXAS_PAGE_SIZE];
	uint32_t count = 0;

	must(axas_arena_hal(arena, &hal), "axas_arena_hal");
	while (count < RESERVE_SIZE / AXAS_PAGE_SIZE &&
	       (taken[count] = hal.alloc_frame(hal.ctx, 0, AXAS_FRAME_TABLE)) != AXAS_HPA_INVALID)
		count++;
	for (uint32_t i = 0; i < count; i++)
		hal.dealloc_frame(hal.ctx, taken[i], 0, AXAS_FRAME_TABLE);
	return count;
}

int main(void)
{
	/* The handle could live in the arena; here its memory is the host's own. */
	static _Alignas(AXAS_STORAGE_ALIGN) unsigned char handle[AXAS_STORAGE_SIZE];
	/* Pages of 4 KiB bound the tables from above, whatever the guest's memory is aligned to. */
	const axas_flags_t flags = AXAS_READ | AXAS_WRITE | AXAS_EXECUTE | AXAS_NO_HUGE;
	const axas_config_t cfg = {
		.struct_size = sizeof(cfg),
		.format = AXAS_FORMAT_ARM_S2,
		.size = UINT64_C(1) << 32,
		.vmid = 3,
	};
	static struct host host;
	axas_hal_t hal = {
		.struct_size = sizeof(hal),
		.flags = AXAS_HAL_BUILTIN_FLUSH,
		.ctx = &host,
		.alloc_frame = alloc_frame,
		.dealloc_frame = dealloc_frame,
		.phys_to_virt = phys_to_virt,
		.release_virt = release_virt,
	};
	axas_arena_t arena;
	axas_t *as;

	host_init(&host, &arena);
	size_up(&cfg, flags);
	must(axas_arena_hal_tables(&arena, &hal), "axas_arena_hal_tables");
	must(axas_create_in(handle, sizeof(handle), &cfg, &hal, &as), "axas_create_in");
	use(as, &host, flags);
	axas_destroy(as);
	printf("after axas_destroy: %u frames in reserve\n", free_frames(&arena));
	return host.open == 0 && free_frames(&arena) == RESERVE_SIZE / AXAS_PAGE_SIZE ? 0 : 1;
}
