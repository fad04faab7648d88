/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Reading and writing a guest's memory from the host: loading an image, buffers of a virtual device,
 * an instruction to emulate.
 *
 * The addresses come from the guest, so none of them can be trusted; every call checks range,
 * permission and kind of memory page by page, and says how far it got.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "axaddrspace.h"

#define PAGE    ((uint64_t)AXAS_PAGE_SIZE)
#define PROGRAM UINT64_C(0x10000000) /* guest-physical: 4 pages, read and execute */
#define RAM     UINT64_C(0x40000000) /* 1 MiB, lazy */
#define MMIO    UINT64_C(0x50000000) /* a real device, handed to the guest */

static _Alignas(AXAS_PAGE_SIZE) unsigned char memory[64 * AXAS_PAGE_SIZE];
static size_t cleaned;

static void must(axas_status_t status, const char *what)
{
	if (status == AXAS_OK)
		return;
	fprintf(stderr, "%s: %s\n", what, axas_status_str(status));
	exit(1);
}

/* Bare-metal AArch64 builds do this themselves if the host has no such callback. */
static void clean_range(void *ctx, void *va, size_t size, uint32_t purpose)
{
	(void)ctx;
	(void)va;
	if (purpose == AXAS_FRAME_GUEST)
		cleaned += size;
}

static axas_t *create(axas_arena_t *arena)
{
	const axas_config_t cfg = {
		.struct_size = sizeof(cfg),
		.format = AXAS_FORMAT_EPT,
		.size = UINT64_C(1) << 32,
	};
	axas_hal_t hal = {
		.struct_size = sizeof(hal),
		.flags = AXAS_HAL_BUILTIN_FLUSH,
		.clean_range = clean_range,
	};
	axas_hpa_t registers;
	axas_t *as;

	must(axas_arena_init(arena), "axas_arena_init");
	must(axas_arena_add(arena, memory, 0x40000000, sizeof(memory)), "axas_arena_add");
	must(axas_arena_hal(arena, &hal), "axas_arena_hal");
	registers = hal.alloc_frame(hal.ctx, 0, AXAS_FRAME_GUEST); /* stand for a device's */
	must(axas_create(&cfg, &hal, &as), "axas_create");
	must(axas_map_alloc(as, PROGRAM, 4 * PAGE, AXAS_READ | AXAS_EXECUTE), "program");
	must(axas_map_alloc(as, RAM, 256 * PAGE, AXAS_READ | AXAS_WRITE), "RAM");
	/* The host could reach these registers; a guest must not be able to make it do so. */
	must(axas_map_linear(as, MMIO, registers, PAGE, AXAS_READ | AXAS_WRITE | AXAS_DEVICE),
	     "MMIO");
	return as;
}

static void report(const char *what, axas_status_t status, size_t done)
{
	printf("%-44s %zu bytes, %s\n", what, done, axas_status_str(status));
}

/* Gathers what a request consists of; the pointer is good until it returns. */
static uint32_t gather(void *ctx, axas_gpa_t gpa, void *host, size_t bytes)
{
	uint64_t *sum = ctx;
	const unsigned char *byte = host;

	printf("  piece of %zu bytes at 0x%" PRIx64 "\n", bytes, gpa);
	for (size_t i = 0; i < bytes; i++)
		*sum += byte[i];
	return 1;
}

static void load_image(axas_t *as)
{
	static unsigned char image[2 * AXAS_PAGE_SIZE + 100];
	size_t done;
	axas_status_t status;

	memset(image, 0xd5, sizeof(image));
	status = axas_write(as, PROGRAM, image, sizeof(image), 0, &done);
	report("load the program as the guest could", status, done);
	/* The host may write where the guest may not, and leaves nothing of it in a cache. */
	status = axas_write(as, PROGRAM, image, sizeof(image), AXAS_ACCESS_HOST | AXAS_ACCESS_CLEAN,
			    &done);
	report("load the program as the host", status, done);
	printf("  caches cleaned of %zu bytes\n", cleaned);
}

static void copy(axas_t *as)
{
	char text[] = "a text across the end of a page";
	char back[sizeof(text)];
	uint64_t filled, sum = 0;
	size_t done;

	/* Nobody has touched these pages: they are taken in as for the guest. */
	must(axas_write(as, RAM + PAGE - 10, text, sizeof(text), 0, &done), "axas_write");
	must(axas_read(as, RAM + PAGE - 10, back, sizeof(back), 0, NULL), "axas_read");
	printf("written and read back: \"%s\"\n", back);

	must(axas_fill(as, RAM + 2 * PAGE - 1, 1, PAGE + 2, 0, &filled), "axas_fill");
	must(axas_for_each_chunk(as, RAM + 2 * PAGE - 1, PAGE + 2, AXAS_READ, gather, &sum),
	     "axas_for_each_chunk");
	printf("%" PRIu64 " bytes filled with 1, their sum is %" PRIu64 "\n", filled, sum);
}

/* Words that guest and host share: one single access each, so never half a value. */
static void share(axas_t *as)
{
	uint16_t index = 0;
	uint32_t instruction = 0;

	must(axas_write_u16(as, RAM + 2, 0, 513), "axas_write_u16");
	must(axas_read_u16(as, RAM + 2, 0, &index), "axas_read_u16");
	must(axas_read_u32(as, PROGRAM + 4, AXAS_ACCESS_EXECUTE, &instruction), "axas_read_u32");
	printf("index %u, instruction 0x%" PRIx32 "\n", index, instruction);
	printf("instruction in RAM: %s\n",
	       axas_status_str(axas_read_u32(as, RAM, AXAS_ACCESS_EXECUTE, &instruction)));
	printf("index at an odd address: %s\n",
	       axas_status_str(axas_read_u16(as, RAM + 3, 0, &index)));
}

/* What a hostile guest may put into a descriptor. */
static void refuse(axas_t *as)
{
	static unsigned char buf[2 * AXAS_PAGE_SIZE];
	size_t done;
	axas_status_t status;

	status = axas_read(as, RAM + 255 * PAGE, buf, sizeof(buf), 0, &done);
	report("a buffer that reaches beyond RAM", status, done);
	status = axas_write(as, MMIO, buf, 4, 0, &done);
	report("a buffer that is a real device", status, done);
	status = axas_write(as, PROGRAM, buf, 4, 0, &done);
	report("a buffer that is the program", status, done);
	status = axas_read(as, 0, buf, 1, 0, &done);
	report("a buffer where nothing is", status, done);
	status = axas_read(as, UINT64_MAX - 1, buf, 4, 0, &done);
	report("a buffer that goes round the end", status, done);
}

int main(void)
{
	axas_arena_t arena;
	axas_stats_t stats;
	axas_t *as = create(&arena);

	load_image(as);
	copy(as);
	share(as);
	refuse(as);
	must(axas_stats(as, &stats), "axas_stats");
	printf("%" PRIu64 " pages taken in\n", stats.guest_frames);
	axas_destroy(as);
	return 0;
}
