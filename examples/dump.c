// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * dump FORMAT DIRECTORY [log]: makes the address space of a guest over an arena, then does what a host
 * does that wants its tables looked at from outside: writes the memory that they stand in to a file
 * named after its physical address, and says with which arguments axas-inspect reads it.
 *
 * Beside it go the library's own table and figures, for comparison. With "log" writes are logged, and the guest
 * has written to two places since.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "axaddrspace.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

/* The arena, aligned so that it can give frames of 2 MiB, and where it is in physical memory. */
#define ARENA_BYTES (8 * MIB)
#define ARENA_HPA   UINT64_C(0x40000000)

static _Alignas(2 * 1024 * 1024) unsigned char memory[ARENA_BYTES];

static const struct {
	const char *name;
	uint32_t format;
} formats[] = {
	{ "ept", AXAS_FORMAT_EPT },
	{ "npt", AXAS_FORMAT_NPT },
	{ "arm-s2", AXAS_FORMAT_ARM_S2 },
	{ "riscv-gstage", AXAS_FORMAT_RISCV_GSTAGE },
};

/* No CPU runs on these tables. */
static void no_tlb(void *ctx, const axas_tlb_request_t *request)
{
	(void)ctx;
	(void)request;
}

static int fill(axas_t *as)
{
	const axas_flags_t rw = AXAS_READ | AXAS_WRITE;
	const axas_flags_t rx = AXAS_READ | AXAS_EXECUTE;
	const axas_flags_t rwx = rw | AXAS_EXECUTE;

	/* Firmware, a device of the host's, a device that is emulated: with a tag, where there are tags. */
	if (axas_map_linear(as, 0, 0xff000000, 256 * KIB, rx) ||
	    axas_map_linear(as, 0x9000000, 0xfe000000, 64 * KIB, rw | AXAS_DEVICE) ||
	    (axas_map_trap_flags(as, 0xa000000, 16 * KIB, 0x7e57, 3 << AXAS_TAG_SHIFT) &&
	     axas_map_trap(as, 0xa000000, 16 * KIB, 0x7e57)))
		return 1;
	/* A frame buffer, in pages of 2 MiB. */
	if (axas_map_linear(as, 0x10000000, 0x110000000, 16 * MIB, rw | AXAS_UNCACHED) &&
	    axas_map_linear(as, 0x10000000, 0x110000000, 16 * MIB, rw))
		return 1;
	/* RAM that is taken in when it is touched: two pages were, and a frame of 2 MiB. */
	if (axas_map_alloc(as, 0x80000000, GIB, rwx) ||
	    axas_map_alloc(as, 0xc0000000, 64 * MIB, rw | AXAS_HUGE_FRAMES | AXAS_MAX_2M))
		return 1;
	if (!axas_fault_resumes(axas_handle_page_fault(as, 0x80000000, AXAS_EXECUTE)) ||
	    !axas_fault_resumes(axas_handle_page_fault(as, 0x80345678, AXAS_WRITE)) ||
	    !axas_fault_resumes(axas_handle_page_fault(as, 0xc0000000, AXAS_WRITE)))
		return 1;
	/* RAM that the host gave whole: pages of three sizes. */
	if (axas_map_linear(as, 0x100000000 - 4 * MIB - 8 * KIB, 0x240000000 - 4 * MIB - 8 * KIB,
			    2 * GIB + 4 * MIB + 8 * KIB, rwx))
		return 1;
	/* The kernel's text in it is read-only. */
	return axas_protect(as, 0x100200000, 2 * MIB, rx) != AXAS_OK;
}

/* The part "dirty". Everything is clean, then two pages are not: one of 4 KiB and one of 2 MiB. */
static int log_writes(axas_t *as)
{
	return axas_dirty_start(as, axas_base(as), axas_size(as), 0) ||
	       !axas_fault_resumes(axas_handle_page_fault(as, 0x80345678, AXAS_WRITE)) ||
	       !axas_fault_resumes(axas_handle_page_fault(as, 0x100600000, AXAS_WRITE));
}

static FILE *create(const char *directory, const char *name)
{
	char path[1024];
	FILE *file = NULL;

	if (snprintf(path, sizeof(path), "%s/%s", directory, name) < (int)sizeof(path))
		file = fopen(path, "wb");
	if (!file)
		fprintf(stderr, "dump: cannot write %s/%s\n", directory, name);
	return file;
}

static void write_text(void *ctx, const char *text, size_t bytes)
{
	fwrite(text, 1, bytes, ctx);
}

/* The memory itself: this is all that a host has to do. */
static int write_memory(const char *directory)
{
	char name[32];
	FILE *file;
	int failed;

	snprintf(name, sizeof(name), "0x%" PRIx64 ".bin", ARENA_HPA);
	file = create(directory, name);
	if (!file)
		return 1;
	failed = fwrite(memory, 1, sizeof(memory), file) != sizeof(memory);
	return fclose(file) || failed;
}

static int write_report(const axas_t *as, const char *directory)
{
	FILE *table = create(directory, "table.txt");
	FILE *figures = create(directory, "stats.txt");
	axas_stats_t s;
	int failed = !table || !figures || axas_dump(as, write_text, table) || axas_stats(as, &s);

	if (!failed)
		fprintf(figures,
			"table_frames %" PRIu64 "\nguest_frames %" PRIu64 "\nmapped_4k %" PRIu64
			"\nmapped_2m %" PRIu64 "\nmapped_1g %" PRIu64 "\n",
			s.table_frames, s.guest_frames, s.mapped_4k, s.mapped_2m, s.mapped_1g);
	failed |= table && fclose(table);
	failed |= figures && fclose(figures);
	return failed;
}

static int print_arguments(const axas_t *as, const char *format, const char *directory)
{
	axas_hw_regs_t regs;

	if (axas_hw_regs(as, &regs))
		return 1;
	printf("--format %s --root-register 0x%" PRIx64, format, regs.root_register);
	if (regs.control_register)
		printf(" --control-register 0x%" PRIx64, regs.control_register);
	printf(" --levels %" PRIu32 " --size 0x%" PRIx64 " --memory %s\n", regs.levels,
	       axas_size(as), directory);
	return 0;
}

int main(int argc, char **argv)
{
	axas_config_t cfg = { .struct_size = sizeof(cfg),
			      .features = AXAS_FEATURE_1G_PAGES,
			      .size = 512 * GIB };
	axas_hal_t hal = { .struct_size = sizeof(hal), .tlb_flush = no_tlb };
	const char *name = NULL;
	axas_arena_t arena;
	axas_t *as;
	int failed;

	for (size_t i = 0; argc >= 3 && i < sizeof(formats) / sizeof(formats[0]); i++) {
		if (!strcmp(argv[1], formats[i].name)) {
			name = formats[i].name;
			cfg.format = formats[i].format;
		}
	}
	if (!name) {
		fprintf(stderr, "usage: dump ept|npt|arm-s2|riscv-gstage DIRECTORY [log]\n");
		return 2;
	}
	if (axas_arena_init(&arena) || axas_arena_add(&arena, memory, ARENA_HPA, ARENA_BYTES) ||
	    axas_arena_hal(&arena, &hal) || axas_create(&cfg, &hal, &as))
		return 1;
	failed = fill(as) || (argc == 4 && log_writes(as)) || write_memory(argv[2]) ||
		 write_report(as, argv[2]) || print_arguments(as, name, argv[2]);
	axas_destroy(as);
	return failed;
}
