/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the log says of calls that are refused: one line each, with the function's name, the status in words
 * and the arguments. At warn where the host made the mistake, at debug where a guest's address can be the
 * reason, at error where tables are corrupt. Every function of link/api.sym has its lines here, or is named
 * among those that refuse nothing.
 */
#include <stdio.h>

#include "fixture.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ERROR        1u
#define WARN         2u
#define DEBUG        4u

static struct {
	uint32_t lines, level;
	char target[64], text[256];
} heard;

static char refused[256][32]; /* names of the functions whose refusals were seen */
static uint32_t refused_count;

static void take(void *ctx, uint32_t level, const char *target, const char *text)
{
	(void)ctx;
	heard.lines++;
	heard.level = level;
	snprintf(heard.target, sizeof(heard.target), "%s", target);
	snprintf(heard.text, sizeof(heard.text), "%s", text);
}

static void expect(uint32_t level, const char *name, axas_status_t status, const char *arguments)
{
	char text[256];

	axas_set_logger(NULL, NULL, 0);
	snprintf(text, sizeof(text), "%s: %s%s%s", name, axas_status_str(status),
		 arguments[0] == '\0' ? "" : ": ", arguments);
	assert_int_not_equal(status, AXAS_OK);
	assert_string_equal(heard.text, text);
	assert_int_equal(heard.level, level);
	assert_int_equal(heard.lines, 1);
	assert_string_equal(heard.target,
			    level == ERROR ? "axaddrspace::bad_state" : "axaddrspace::rejected");
	if (refused_count < COUNT(refused))
		snprintf(refused[refused_count++], sizeof(refused[0]), "%s", name);
}

static void listen(void)
{
	memset(&heard, 0, sizeof(heard));
	axas_set_logger(take, NULL, 5);
}

/* A call that returns a status. */
#define REFUSED(level, function, arguments, ...)             \
	do {                                                 \
		axas_status_t status;                        \
                                                             \
		listen();                                    \
		status = function(__VA_ARGS__);              \
		expect(level, #function, status, arguments); \
	} while (0)

/* A call that returns something else, of which one value says that it is invalid. */
#define ANSWERED(value, function, arguments, ...)                           \
	do {                                                                \
		listen();                                                   \
		assert_int_equal(function(__VA_ARGS__), value);             \
		expect(WARN, #function, AXAS_ERR_INVALID_INPUT, arguments); \
	} while (0)

static void life_cycle(struct fixture *f)
{
	static _Alignas(AXAS_STORAGE_ALIGN) uint8_t storage[AXAS_STORAGE_SIZE];
	axas_config_t cfg = f->cfg;
	axas_hw_regs_t regs;
	char arguments[128];
	uint64_t frames;
	axas_t *as;

	cfg.levels = 9;
	cfg.pa_bits = 44;
	cfg.gpa_bits = 45;
	cfg.base = 2 * GIB;
	snprintf(arguments, sizeof(arguments),
		 "0x%x 0x9 0x2c 0x2d 0x5 0x%x 0x0 0x80000000 0x8000000000", cfg.format,
		 cfg.features);
	REFUSED(WARN, axas_create, arguments, &cfg, &f->host.hal, &as);
	REFUSED(WARN, axas_create_in, arguments, storage, sizeof(storage), &cfg, &f->host.hal, &as);
	REFUSED(WARN, axas_create, "0x0 0x0 0x0 0x0 0x0 0x0 0x0 0x0 0x0", NULL, &f->host.hal, &as);
	REFUSED(WARN, axas_create_in, "0x0 0x0 0x0 0x0 0x0 0x0 0x0 0x0 0x0", storage,
		sizeof(storage), &f->cfg, &f->host.hal, NULL);
	REFUSED(WARN, axas_tables_needed, "0x1 0x1000 0x3", &f->cfg, 1, PAGE, RW, &frames);
	REFUSED(WARN, axas_tables_needed, "0x0 0x1000 0x3", &f->cfg, 0, PAGE, RW, NULL);
	REFUSED(WARN, axas_config_regs, "", NULL, &regs);
	REFUSED(WARN, axas_config_regs, "", &f->cfg, NULL);
	REFUSED(WARN, axas_clear, "", NULL);
	REFUSED(WARN, axas_set_vmid, "0x7", NULL, 7);
	if (f->cfg.format == AXAS_FORMAT_ARM_S2)
		REFUSED(WARN, axas_set_vmid, "0x100", f->as, 256);
	REFUSED(WARN, axas_hw_regs, "", NULL, &regs);
	REFUSED(WARN, axas_hw_regs, "", f->as, NULL);
	ANSWERED(0, axas_base, "", NULL);
	ANSWERED(0, axas_size, "", NULL);
	ANSWERED(0, axas_levels, "", NULL);
	ANSWERED(AXAS_HPA_INVALID, axas_root, "", NULL);
	ANSWERED(0, axas_contains_range, "0x1000 0x2000", NULL, 0x1000, 0x2000);
}

static void sources_of_frames(struct fixture *f)
{
	axas_frame_t none = { .hpa = 0x5000 }, frame;
	axas_hal_t hal = { .struct_size = sizeof(hal) };
	axas_arena_t arena;

	REFUSED(WARN, axas_arena_init, "", NULL);
	assert_ok(axas_arena_init(&arena));
	REFUSED(WARN, axas_arena_add, "0x1000 0x2001 0x3000", &arena, (void *)0x1000, 0x2001,
		0x3000);
	REFUSED(WARN, axas_arena_add, "0x1000 0x2000 0x3000", NULL, (void *)0x1000, 0x2000, 0x3000);
	REFUSED(WARN, axas_arena_hal, "", NULL, &hal);
	REFUSED(WARN, axas_arena_hal, "", &arena, NULL);
	REFUSED(WARN, axas_arena_hal_tables, "", NULL, &hal);
	REFUSED(WARN, axas_arena_hal_tables, "", &arena, NULL);
	REFUSED(WARN, axas_frame_alloc, "0x13 0x1", &f->host.hal, 19, 1, &frame);
	REFUSED(WARN, axas_frame_alloc, "0x0 0x1", NULL, 0, 1, &frame);
	f->host.fail_at = 1;
	REFUSED(WARN, axas_frame_alloc, "0x0 0x0", &f->host.hal, 0, 0, &frame);
	REFUSED(WARN, axas_frame_release, "0x5000 0x0", &f->host.hal, &none);
	REFUSED(WARN, axas_frame_release, "0x0 0x0", &f->host.hal, NULL);
	REFUSED(WARN, axas_frame_fill, "0x5000 0x0", &f->host.hal, &none, 1);
	REFUSED(WARN, axas_frame_fill, "0x0 0x0", &f->host.hal, NULL, 1);
}

static void changes(struct fixture *f)
{
	const axas_extent_t extent = { .hpa = LINEAR_HPA, .size = PAGE };
	uint64_t done, count, bitmap = 0;

	REFUSED(WARN, axas_map_linear, "0x40000000 0x8000000000 0x1000 0x3", f->as, GIB, LINEAR_HPA,
		PAGE, RW); /* something stands there */
	REFUSED(WARN, axas_map_linear, "0x1000 0x2000 0x3000 0x20000000", f->as, 0x1000, 0x2000,
		0x3000, 1u << 29);
	REFUSED(WARN, axas_map_linear, "0x1000 0x2000 0x3000 0x3", NULL, 0x1000, 0x2000, 0x3000,
		RW);
	REFUSED(WARN, axas_map_extents, "0x1000 0x1 0x10003", f->as, 0x1000, &extent, 1,
		RW | AXAS_POPULATE);
	REFUSED(WARN, axas_map_extents, "0x1000 0x1 0x3", NULL, 0x1000, &extent, 1, RW);
	REFUSED(WARN, axas_map_extents, "0x1000 0x1 0x3", f->as, 0x1000, NULL, 1, RW);
	f->host.fail_at = 1;
	REFUSED(WARN, axas_map_alloc, "0x100000000 0x1000 0x10003", f->as, 4 * GIB, PAGE,
		RW | AXAS_POPULATE);
	REFUSED(WARN, axas_map_alloc, "0x1000 0x2000 0x3", NULL, 0x1000, 0x2000, RW);
	REFUSED(WARN, axas_map_trap, "0x1000 0x2000 0x100000000", f->as, 0x1000, 0x2000,
		1ull << 32);
	REFUSED(WARN, axas_map_trap, "0x1000 0x2000 0x7", NULL, 0x1000, 0x2000, 7);
	REFUSED(WARN, axas_map_trap_flags, "0x1000 0x2000 0x7 0x1", f->as, 0x1000, 0x2000, 7,
		AXAS_READ);
	REFUSED(WARN, axas_map_trap_flags, "0x1000 0x2000 0x7 0x200000", NULL, 0x1000, 0x2000, 7,
		AXAS_REPLACE);
	REFUSED(WARN, axas_unmap, "0x1 0x2000", f->as, 1, 0x2000);
	REFUSED(WARN, axas_unmap, "0x1000 0x2000", NULL, 0x1000, 0x2000);
	REFUSED(WARN, axas_protect, "0x1000 0x2000 0x1", f->as, 0x1000, 0x2000, AXAS_READ);
	REFUSED(WARN, axas_protect, "0x1000 0x2000 0x1", NULL, 0x1000, 0x2000, AXAS_READ);
	REFUSED(WARN, axas_populate, "0x1000 0x2000", f->as, 0x1000, 0x2000);
	REFUSED(WARN, axas_populate, "0x1000 0x2000", NULL, 0x1000, 0x2000);
	REFUSED(WARN, axas_discard, "0x1000 0x2000", f->as, 0x1000, 0x2000);
	REFUSED(WARN, axas_discard, "0x1000 0x2000", NULL, 0x1000, 0x2000);
	REFUSED(WARN, axas_collect, "0x1 0x2000", f->as, 1, 0x2000);
	REFUSED(WARN, axas_collect, "0x1000 0x2000", NULL, 0x1000, 0x2000);
	REFUSED(WARN, axas_stock, "0x5", NULL, 5);
	REFUSED(WARN, axas_transfer, "0x1000 0x2000 0x3000", f->as, 0x1000, NULL, 0x2000, 0x3000,
		NULL);
	REFUSED(WARN, axas_transfer_some, "0x1000 0x2000 0x9", NULL, 0x1000, f->as, 0x2000, 0x3000,
		NULL, 9, &done);
	REFUSED(WARN, axas_hide, "0x1000 0x2000 0x2", f->as, 0x1000, 0x2000, 2);
	REFUSED(WARN, axas_show, "0x1 0x2000", f->as, 1, 0x2000);
	REFUSED(WARN, axas_map_note, "0x1000 0x2000 0x7 0x1", f->as, 0x1000, 0x2000, 7, AXAS_READ);
	REFUSED(WARN, axas_hide_some, "0x1000 0x2000 0x1 0x9", NULL, 0x1000, 0x2000, AXAS_HIDE_AUTO,
		9, &done);
	REFUSED(WARN, axas_show_some, "0x1000 0x2000 0x9", NULL, 0x1000, 0x2000, 9, &done);
	REFUSED(WARN, axas_map_note_some, "0x1000 0x2000 0x7 0x0 0x9", NULL, 0x1000, 0x2000, 7, 0,
		9, &done);
	REFUSED(WARN, axas_map_provider, "0x1000 0x2000 0x1 0x10000", f->as, 0x1000, 0x2000,
		AXAS_READ, 65536);
	REFUSED(WARN, axas_supply, "0x1000 0x2000 0x1000 0x1 0x3", f->as, 0x1000, 0x2000, 0x1000,
		AXAS_READ, AXAS_RESOLVE_ALLOC);
	REFUSED(WARN, axas_evict, "0x1000 0x2000 0x10000", f->as, 0x1000, 0x2000, 65536);
	REFUSED(WARN, axas_evict_some, "0x1000 0x2000 0x1 0x9", NULL, 0x1000, 0x2000, 1, 9, &done);
	ANSWERED(0, axas_tag_bits, "", NULL);
	REFUSED(WARN, axas_retag, "0x1000 0x2000 0x10", f->as, 0x1000, 0x2000, 16);
	REFUSED(WARN, axas_retag, "0x1000 0x2000 0x1", NULL, 0x1000, 0x2000, 1);
	REFUSED(WARN, axas_retag_some, "0x1000 0x2000 0x10 0x9", f->as, 0x1000, 0x2000, 16, 9,
		&done);
	REFUSED(WARN, axas_retag_some, "0x1000 0x2000 0x1 0x9", NULL, 0x1000, 0x2000, 1, 9, &done);
	REFUSED(WARN, axas_merge, "0x1000 0x2000 0x10000", f->as, 0x1000, 0x2000, AXAS_POPULATE,
		&done);
	REFUSED(WARN, axas_merge, "0x1000 0x2000 0x800000", NULL, 0x1000, 0x2000, AXAS_MERGE_COPY,
		&done);
	REFUSED(WARN, axas_merge, "0x1000 0x2000 0x0", f->as, 0x1000, 0x2000, 0, NULL);
	REFUSED(WARN, axas_merge_some, "0x1 0x2000 0x0 0x9", f->as, 1, 0x2000, 0, &count, 9, &done);
	REFUSED(WARN, axas_copy, "0x1000 0x2000 0x3000", f->as, 0x1000, f->as, 0x2000, 0x3000,
		&bitmap, 64, &done);
	REFUSED(WARN, axas_copy, "0x1000 0x2000 0x3000", NULL, 0x1000, f->as, 0x2000, 0x3000, NULL,
		0, NULL);
	REFUSED(WARN, axas_dirty_start, "0x1 0x2000 0x2", f->as, 1, 0x2000, AXAS_DIRTY_ALL);
	REFUSED(WARN, axas_dirty_start, "0x1000 0x2000 0x2", NULL, 0x1000, 0x2000, AXAS_DIRTY_ALL);
	REFUSED(WARN, axas_dirty_get, "0x1 0x2000 0x40", f->as, 1, 0x2000, &bitmap, 64, &done);
	REFUSED(WARN, axas_dirty_get, "0x1000 0x2000 0x1", f->as, 0x1000, 0x2000, &bitmap, 1,
		&done);
	REFUSED(WARN, axas_dirty_clear, "0x1000 0x2000 0x40 0x4", f->as, 0x1000, 0x2000, &bitmap,
		64, AXAS_DIRTY_SPLIT);
	REFUSED(WARN, axas_dirty_clear, "0x1000 0x2000 0x40 0x4", NULL, 0x1000, 0x2000, &bitmap, 64,
		AXAS_DIRTY_SPLIT);
	REFUSED(WARN, axas_dirty_collect, "0x1000 0x2000 0x40 0x4", f->as, 0x1000, 0x2000, &bitmap,
		64, AXAS_DIRTY_SPLIT, &done);
	REFUSED(WARN, axas_dirty_collect, "0x1000 0x2000 0x40 0x0", f->as, 0x1000, 0x2000, NULL, 64,
		0, &done);
	REFUSED(WARN, axas_dirty_mark, "0x1 0x2000", f->as, 1, 0x2000);
	REFUSED(WARN, axas_dirty_mark, "0x1000 0x2000", NULL, 0x1000, 0x2000);
	REFUSED(WARN, axas_dirty_stop, "0x1 0x2000", f->as, 1, 0x2000);
	REFUSED(WARN, axas_dirty_stop, "0x1000 0x2000", NULL, 0x1000, 0x2000);
	REFUSED(WARN, axas_dirty_start_some, "0x1 0x2000 0x2 0x9", f->as, 1, 0x2000, AXAS_DIRTY_ALL,
		9, &done);
	REFUSED(WARN, axas_dirty_clear_some, "0x1000 0x2000 0x40 0x4 0x9", f->as, 0x1000, 0x2000,
		&bitmap, 64, AXAS_DIRTY_SPLIT, 9, &done);
	REFUSED(WARN, axas_dirty_collect_some, "0x1000 0x2000 0x40 0x4 0x9", f->as, 0x1000, 0x2000,
		&bitmap, 64, AXAS_DIRTY_SPLIT, &count, 9, &done);
	REFUSED(WARN, axas_dirty_stop_some, "0x1 0x2000 0x9", f->as, 1, 0x2000, 9, &done);
	REFUSED(WARN, axas_age, "0x1000 0x2000 0x1 0x0", f->as, 0x1000, 0x2000, &bitmap, 1, 0,
		&done);
	REFUSED(WARN, axas_age, "0x1000 0x2000 0x40 0x3", NULL, 0x1000, 0x2000, &bitmap, 64, 3,
		&done);
	REFUSED(WARN, axas_age_some, "0x1000 0x2000 0x40 0x3 0x9", f->as, 0x1000, 0x2000, &bitmap,
		64, 3, &count, 9, &done);
	REFUSED(WARN, axas_age_stop, "0x1 0x2000", f->as, 1, 0x2000);
	REFUSED(WARN, axas_age_stop, "0x1000 0x2000", NULL, 0x1000, 0x2000);
	REFUSED(WARN, axas_age_stop_some, "0x1 0x2000 0x9", f->as, 1, 0x2000, 9, &done);
	REFUSED(WARN, axas_collect_some, "0x1 0x2000 0x9", f->as, 1, 0x2000, 9, &done);
	REFUSED(WARN, axas_collect_some, "0x1000 0x2000 0x9", NULL, 0x1000, 0x2000, 9, &done);
	REFUSED(WARN, axas_map_linear_some, "0x1000 0x2000 0x3000 0x3 0x0", f->as, 0x1000, 0x2000,
		0x3000, RW, 0, &done);
	REFUSED(WARN, axas_map_linear_some, "0x1000 0x2000 0x3000 0x3 0x9", f->as, 0x1000, 0x2000,
		0x3000, RW, 9, NULL);
	REFUSED(WARN, axas_map_alloc_some, "0x1000 0x2000 0x3 0x9", NULL, 0x1000, 0x2000, RW, 9,
		&done);
	REFUSED(WARN, axas_unmap_some, "0x1 0x2000 0x9", f->as, 1, 0x2000, 9, &done);
	REFUSED(WARN, axas_protect_some, "0x1000 0x2000 0x1 0x9", f->as, 0x1000, 0x2000, AXAS_READ,
		9, &done);
	REFUSED(WARN, axas_populate_some, "0x1000 0x2000 0x9", f->as, 0x1000, 0x2000, 9, &done);
	REFUSED(WARN, axas_discard_some, "0x1000 0x2000 0x9", f->as, 0x1000, 0x2000, 9, &done);
}

static void looks(struct fixture *f)
{
	axas_mapping_t m;
	axas_stats_t s;
	axas_hpa_t hpa;
	uint64_t cookie;

	ANSWERED(AXAS_FAULT_ERROR, axas_handle_page_fault, "0x1234 0x1", NULL, 0x1234, AXAS_READ);
	ANSWERED(AXAS_FAULT_ERROR, axas_handle_page_fault, "0x1234 0x8", f->as, 0x1234, 8);
	ANSWERED(AXAS_FAULT_ERROR, axas_handle_page_fault_at, "0x1234 0x1", NULL, 0x1234, AXAS_READ,
		 NULL);
	ANSWERED(AXAS_FAULT_ERROR, axas_handle_page_fault_at, "0x1234 0x8", f->as, 0x1234, 8, NULL);
	REFUSED(WARN, axas_translate, "0x1234", NULL, 0x1234, &hpa, NULL);
	REFUSED(WARN, axas_translate, "0x1234", f->as, 0x1234, NULL, NULL);
	REFUSED(DEBUG, axas_translate, "0x1234", f->as, 0x1234, &hpa, NULL);
	REFUSED(DEBUG, axas_translate, "0xffffffffffffffff", f->as, UINT64_MAX, &hpa, NULL);
	REFUSED(WARN, axas_query, "0x1234", NULL, 0x1234, &m);
	REFUSED(WARN, axas_query, "0x1234", f->as, 0x1234, NULL);
	REFUSED(DEBUG, axas_query, "0xffffffffffffffff", f->as, UINT64_MAX, &m);
	REFUSED(WARN, axas_trap_cookie, "0x1234", NULL, 0x1234, &cookie);
	REFUSED(WARN, axas_trap_cookie, "0x1234", f->as, 0x1234, NULL);
	REFUSED(DEBUG, axas_trap_cookie, "0x1234", f->as, 0x1234, &cookie);
	REFUSED(WARN, axas_for_each, "0x1 0x1000", f->as, 1, PAGE, (axas_run_fn)1, NULL);
	REFUSED(WARN, axas_for_each, "0x0 0x1000", f->as, 0, PAGE, NULL, NULL);
	REFUSED(WARN, axas_for_each, "0x0 0x1000", NULL, 0, PAGE, (axas_run_fn)1, NULL);
	REFUSED(WARN, axas_dump, "", NULL, (axas_write_fn)1, NULL);
	REFUSED(WARN, axas_dump, "", f->as, NULL, NULL);
	REFUSED(WARN, axas_stats, "", NULL, &s);
	REFUSED(WARN, axas_stats, "", f->as, NULL);
	REFUSED(WARN, axas_audit, "", NULL);
}

static void copies(struct fixture *f)
{
	uint64_t done, value = 0;
	uint8_t byte = 0;
	uint16_t half = 0;
	uint32_t word = 0;
	size_t bytes;

	/* the host's mistakes */
	REFUSED(WARN, axas_read, "0x1234 0x1 0x0", NULL, 0x1234, &byte, 1, 0, &bytes);
	REFUSED(WARN, axas_read, "0x1234 0x1 0x0", f->as, 0x1234, NULL, 1, 0, &bytes);
	REFUSED(WARN, axas_read, "0x1234 0x1 0x200", f->as, 0x1234, &byte, 1, AXAS_ACCESS_CLEAN,
		&bytes);
	REFUSED(WARN, axas_write, "0x1234 0x1 0x0", NULL, 0x1234, &byte, 1, 0, &bytes);
	REFUSED(WARN, axas_write, "0x1234 0x1 0x0", f->as, 0x1234, NULL, 1, 0, &bytes);
	REFUSED(WARN, axas_fill, "0x1234 0x1 0x0", NULL, 0x1234, 7, 1, 0, &done);
	REFUSED(WARN, axas_fill, "0x1234 0x1 0x1", f->as, 0x1234, 7, 1, 1, &done);
	REFUSED(WARN, axas_for_each_chunk, "0x1234 0x1 0x1", NULL, 0x1234, 1, AXAS_READ,
		(axas_chunk_fn)1, NULL);
	REFUSED(WARN, axas_for_each_chunk, "0x1234 0x1 0x1", f->as, 0x1234, 1, AXAS_READ, NULL,
		NULL);
	REFUSED(WARN, axas_for_each_chunk, "0x1234 0x1 0x0", f->as, 0x1234, 1, 0, (axas_chunk_fn)1,
		NULL);
	REFUSED(WARN, axas_read_u8, "0x1234 0x0", NULL, 0x1234, 0, &byte);
	REFUSED(WARN, axas_read_u16, "0x1234 0x0", f->as, 0x1234, 0, NULL);
	REFUSED(WARN, axas_read_u32, "0x1234 0x1", f->as, 0x1234, 1, &word);
	REFUSED(WARN, axas_read_u64, "0x1238 0x0", NULL, 0x1238, 0, &value);
	REFUSED(WARN, axas_write_u8, "0x1234 0x0", NULL, 0x1234, 0, byte);
	REFUSED(WARN, axas_write_u16, "0x1234 0x0", NULL, 0x1234, 0, half);
	REFUSED(WARN, axas_write_u32, "0x1234 0x1", f->as, 0x1234, 1, word);
	REFUSED(WARN, axas_write_u64, "0x1238 0x0", NULL, 0x1238, 0, value);
	/* where a guest's address can be the reason: a hole, no permission, the end, an odd address */
	REFUSED(DEBUG, axas_read, "0x1234 0x1 0x0", f->as, 0x1234, &byte, 1, 0, &bytes);
	REFUSED(DEBUG, axas_read, "0xfffffffffffffffc 0x8 0x0", f->as, UINT64_MAX - 3, &value, 8, 0,
		&bytes);
	REFUSED(DEBUG, axas_write, "0x80000000 0x1 0x0", f->as, 2 * GIB, &byte, 1, 0, &bytes);
	REFUSED(DEBUG, axas_fill, "0x1234 0x1 0x0", f->as, 0x1234, 7, 1, 0, &done);
	REFUSED(DEBUG, axas_for_each_chunk, "0x1234 0x1 0x1", f->as, 0x1234, 1, AXAS_READ,
		(axas_chunk_fn)1, NULL);
	REFUSED(DEBUG, axas_read_u8, "0x1234 0x0", f->as, 0x1234, 0, &byte);
	REFUSED(DEBUG, axas_read_u16, "0x1235 0x0", f->as, 0x1235, 0, &half);
	REFUSED(DEBUG, axas_read_u32, "0x1236 0x0", f->as, 0x1236, 0, &word);
	REFUSED(DEBUG, axas_read_u64, "0x1234 0x0", f->as, 0x1234, 0, &value);
	REFUSED(DEBUG, axas_write_u8, "0x80000000 0x0", f->as, 2 * GIB, 0, byte);
	REFUSED(DEBUG, axas_write_u16, "0x1235 0x0", f->as, 0x1235, 0, half);
	REFUSED(DEBUG, axas_write_u32, "0x1234 0x0", f->as, 0x1234, 0, word);
	REFUSED(DEBUG, axas_write_u64, "0x1234 0x0", f->as, 0x1234, 0, value);
}

static void decoders_and_ranges(void)
{
	axas_fault_t fault;
	axas_width_t width;
	axas_mmio_range_t mmio;
	axas_port_range_t ports;
	axas_sysreg_range_t registers;

	REFUSED(WARN, axas_fault_from_arm, "0x82000000 0x2 0x3", 0x20ull << 26 | 1ull << 25, 2, 3,
		NULL);
	REFUSED(DEBUG, axas_fault_from_arm, "0x1 0x2 0x3", 1, 2, 3, &fault);
	REFUSED(WARN, axas_fault_from_ept, "0x30 0x2 0x3", 48, 2, 3, NULL);
	REFUSED(DEBUG, axas_fault_from_ept, "0x1 0x2 0x3", 1, 2, 3, &fault);
	REFUSED(WARN, axas_fault_from_npf, "0x1 0x2", 1, 2, NULL);
	REFUSED(WARN, axas_fault_from_riscv, "0x14 0x2 0x3 0x4", 20, 2, 3, 4, NULL);
	REFUSED(DEBUG, axas_fault_from_riscv, "0x1 0x2 0x3 0x4", 1, 2, 3, 4, &fault);
	REFUSED(WARN, axas_width_from_bytes, "0x1", 1, NULL);
	REFUSED(DEBUG, axas_width_from_bytes, "0x3", 3, &width);
	REFUSED(WARN, axas_mmio_range, "0x1000 0x0", 0x1000, 0, &mmio);
	REFUSED(WARN, axas_mmio_range, "0x1000 0x1", 0x1000, 1, NULL);
	REFUSED(WARN, axas_port_range, "0x2 0x1", 2, 1, &ports);
	REFUSED(WARN, axas_port_range, "0x1 0x2", 1, 2, NULL);
	REFUSED(WARN, axas_sysreg_range, "0x2 0x1", 2, 1, &registers);
	REFUSED(WARN, axas_sysreg_range, "0x1 0x2", 1, 2, NULL);
}

static int is_refused(const char *name)
{
	/* they answer: yes, no, words, or nothing at all */
	static const char *const nothing_to_refuse[] = {
		"axas_destroy",       "axas_fault_resumes",   "axas_width_mask",
		"axas_mmio_contains", "axas_mmio_overlaps",   "axas_port_contains",
		"axas_port_overlaps", "axas_sysreg_contains", "axas_sysreg_overlaps",
		"axas_version",       "axas_parts",           "axas_status_str",
		"axas_set_logger",
	};

	for (size_t i = 0; i < COUNT(nothing_to_refuse); i++)
		if (strcmp(name, nothing_to_refuse[i]) == 0)
			return 1;
	for (uint32_t i = 0; i < refused_count; i++)
		if (strcmp(name, refused[i]) == 0)
			return 1;
	return 0;
}

static void every_refused_call_is_one_line(void **state)
{
	FIXTURE(f);
	FILE *symbols = fopen(API_SYM, "r");
	char line[64];
	uint32_t functions = 0;

	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, PAGE, RW));
	assert_ok(axas_map_alloc(f->as, 2 * GIB, PAGE, AXAS_READ));
	refused_count = 0;
	life_cycle(f);
	sources_of_frames(f);
	changes(f);
	looks(f);
	copies(f);
	decoders_and_ranges();
	assert_non_null(symbols);
	while (fgets(line, sizeof(line), symbols) != NULL) {
		line[strcspn(line, ";\n")] = '\0';
		if (strncmp(line, "axas_", 5) != 0)
			continue;
		functions++;
		if (!is_refused(line))
			fail_msg("%s has no line here", line);
	}
	fclose(symbols);
	assert_true(functions > 60);
}

/* The longest name, status and arguments fit. */
static void no_argument_is_cut_off(void **state)
{
	FIXTURE(f);
	uint64_t done;

	REFUSED(WARN, axas_map_linear_some,
		"0xffffffffffffffff 0xeeeeeeeeeeeeeeee 0xdddddddddddddddd 0xcccccccc 0xbbbbbbbbbbbbbbbb",
		f->as, UINT64_MAX, 0xeeeeeeeeeeeeeeee, 0xdddddddddddddddd, 0xcccccccc,
		0xbbbbbbbbbbbbbbbb, &done);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(every_refused_call_is_one_line),
		ONE(no_argument_is_cut_off, setup_space, arm),
	};

	return cmocka_run_group_tests_name("refusals", tests, NULL, NULL);
}
