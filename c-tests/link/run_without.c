/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An archive without everything that can be left out: what asks for it is refused, and the rest does what a model
 * says that it does, with an allocator that fails now and then.
 */
#include <axaddrspace.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(what)                                                                       \
	do {                                                                              \
		if (!(what)) {                                                            \
			printf("%s:%d: %s (step %u)\n", __FILE__, __LINE__, #what, step); \
			exit(1);                                                          \
		}                                                                         \
	} while (0)

#define FRAMES 512u
#define PAGES  2048u /* of the model: 8 MiB, around a boundary of 1 GiB */
#define BASE   ((UINT64_C(1) << 30) - (UINT64_C(4) << 20))
#define STEPS  60000u

static unsigned step;

/* --- a host with a direct map ----------------------------------------------------------------- */

static _Alignas(16384) unsigned char memory[FRAMES][AXAS_PAGE_SIZE];
static unsigned char is_taken[FRAMES];
static unsigned taken, until_failure;

static const uint64_t first_frame = UINT64_C(0x40000000);

static axas_hpa_t alloc_frame(void *ctx, uint32_t order, uint32_t purpose)
{
	const unsigned count = 1u << order;

	(void)ctx;
	(void)purpose;
	if (until_failure != 0 && --until_failure == 0)
		return AXAS_HPA_INVALID;
	for (unsigned first = 0; first + count <= FRAMES; first += count) {
		unsigned busy = 0;

		for (unsigned i = 0; i < count; i++)
			busy += is_taken[first + i];
		if (busy != 0)
			continue;
		memset(&is_taken[first], 1, count);
		taken += count;
		return first_frame + (uint64_t)first * AXAS_PAGE_SIZE;
	}
	return AXAS_HPA_INVALID;
}

static void dealloc_frame(void *ctx, axas_hpa_t pa, uint32_t order, uint32_t purpose)
{
	const uint64_t first = (pa - first_frame) / AXAS_PAGE_SIZE;

	(void)ctx;
	(void)purpose;
	for (uint64_t i = first; i < first + (1u << order); i++) {
		CHECK(i < FRAMES && is_taken[i] != 0);
		is_taken[i] = 0;
		taken--;
	}
}

static void *phys_to_virt(void *ctx, axas_hpa_t pa, size_t size)
{
	(void)ctx;
	(void)size;
	return (char *)memory + (pa - first_frame);
}

static void tlb_flush(void *ctx, const axas_tlb_request_t *request)
{
	(void)ctx;
	(void)request;
}

static void released(void *ctx, const axas_mapping_t *run)
{
	(void)ctx;
	(void)run;
}

static axas_hal_t direct_hal(void)
{
	return (axas_hal_t){
		.struct_size = sizeof(axas_hal_t),
		.flags = AXAS_HAL_DIRECT_MAP,
		.direct_map_offset = (uint64_t)(uintptr_t)memory - first_frame,
		.alloc_frame = alloc_frame,
		.dealloc_frame = dealloc_frame,
		.tlb_flush = tlb_flush,
	};
}

/* --- a model ---------------------------------------------------------------------------------- */

enum kind { HOLE, LINEAR, LAZY, OWNED, TRAP };

static struct page {
	enum kind kind;
	uint32_t flags;
	uint64_t value; /* host address of a linear page, cookie of a trap */
} pages[PAGES];

static uint64_t seed = 88172645463325252u;

static unsigned draw(unsigned below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed >> 33) % below;
}

static uint64_t gpa_of(unsigned page)
{
	return BASE + (uint64_t)page * AXAS_PAGE_SIZE;
}

static int is_all(unsigned first, unsigned count, int wants_hole)
{
	for (unsigned i = first; i < first + count; i++)
		if (wants_hole != (pages[i].kind == HOLE))
			return 0;
	return 1;
}

static int has_trap(unsigned first, unsigned count)
{
	for (unsigned i = first; i < first + count; i++)
		if (pages[i].kind == TRAP)
			return 1;
	return 0;
}

static void set_all(unsigned first, unsigned count, enum kind kind, uint32_t flags, uint64_t value)
{
	for (unsigned i = 0; i < count; i++) {
		const uint64_t offset = kind == LINEAR ? (uint64_t)i * AXAS_PAGE_SIZE : 0;

		pages[first + i] = (struct page){ kind, flags, value + offset };
	}
}

static uint32_t some_permissions(void)
{
	static const uint32_t choices[] = { AXAS_READ, AXAS_READ | AXAS_WRITE,
					    AXAS_READ | AXAS_EXECUTE,
					    AXAS_READ | AXAS_WRITE | AXAS_EXECUTE };

	return choices[draw(4)];
}

static void do_map(axas_t *as, unsigned first, unsigned count)
{
	const uint64_t gpa = gpa_of(first), size = (uint64_t)count * AXAS_PAGE_SIZE;
	const uint64_t hpa = gpa + (draw(2) ? UINT64_C(0x200000000) : UINT64_C(0x200003000));
	const uint32_t flags = some_permissions(), cookie = draw(1000);
	const enum kind kind = (enum kind)(LINEAR + draw(2));
	const int is_empty = is_all(first, count, 1);
	axas_status_t status;

	if (draw(8) == 0) {
		status = axas_map_trap(as, gpa, size, cookie);
		if (status == AXAS_OK)
			set_all(first, count, TRAP, 0, cookie);
	} else if (kind == LINEAR) {
		status = axas_map_linear(as, gpa, hpa, size, flags);
		if (status == AXAS_OK)
			set_all(first, count, LINEAR, flags, hpa);
	} else {
		status = axas_map_alloc(as, gpa, size, flags);
		if (status == AXAS_OK)
			set_all(first, count, LAZY, flags, 0);
	}
	if (status != AXAS_ERR_NO_MEMORY)
		CHECK(status == (is_empty ? AXAS_OK : AXAS_ERR_ALREADY_EXISTS));
}

static void do_fault(axas_t *as, unsigned first)
{
	struct page *page = &pages[first];
	const uint32_t access = draw(2) ? AXAS_READ : AXAS_WRITE;
	const axas_fault_result_t verdict = axas_handle_page_fault(as, gpa_of(first), access);
	const int is_allowed = (page->flags & access) != 0;

	switch (page->kind) {
	case HOLE:
		CHECK(verdict == AXAS_FAULT_UNMAPPED);
		break;
	case TRAP:
		CHECK(verdict == AXAS_FAULT_TRAP);
		break;
	case LAZY:
		if (verdict == AXAS_FAULT_NO_MEMORY && is_allowed)
			break;
		CHECK(verdict == (is_allowed ? AXAS_FAULT_RESOLVED : AXAS_FAULT_DENIED));
		if (is_allowed)
			page->kind = OWNED;
		break;
	default:
		CHECK(verdict == (is_allowed ? AXAS_FAULT_SPURIOUS : AXAS_FAULT_DENIED));
	}
}

static void do_protect(axas_t *as, unsigned first, unsigned count)
{
	const uint32_t flags = some_permissions();
	const axas_status_t status =
		axas_protect(as, gpa_of(first), (uint64_t)count * AXAS_PAGE_SIZE, flags);

	if (status == AXAS_ERR_NO_MEMORY)
		return;
	if (!is_all(first, count, 0) || has_trap(first, count)) {
		CHECK(status == AXAS_ERR_NOT_MAPPED);
		return;
	}
	CHECK(status == AXAS_OK);
	for (unsigned i = first; i < first + count; i++)
		pages[i].flags = flags;
}

static void compare(axas_t *as, unsigned first)
{
	const struct page *page = &pages[first];
	axas_mapping_t found;
	axas_hpa_t hpa = 0;

	CHECK(axas_query(as, gpa_of(first), &found) == AXAS_OK);
	switch (page->kind) {
	case HOLE:
		CHECK(found.state == AXAS_STATE_ABSENT);
		break;
	case TRAP:
		CHECK(found.state == AXAS_STATE_TRAP && found.cookie == page->value);
		break;
	case LAZY:
		CHECK(found.state == AXAS_STATE_RESERVED);
		break;
	case LINEAR:
		CHECK(axas_translate(as, gpa_of(first), &hpa, NULL) == AXAS_OK &&
		      hpa == page->value);
		break;
	default:
		CHECK(found.state == AXAS_STATE_OWNED);
	}
	if (page->kind != HOLE && page->kind != TRAP)
		CHECK((found.flags & (AXAS_READ | AXAS_WRITE | AXAS_EXECUTE)) == page->flags);
}

static void run(uint32_t format)
{
	const axas_config_t cfg = { .struct_size = sizeof(cfg),
				    .format = format,
				    .levels = format == AXAS_FORMAT_RISCV_GSTAGE ? 3 : 4,
				    .gpa_bits = format == AXAS_FORMAT_ARM_S2 ? 44 : 0,
				    .pa_bits = 44,
				    .size = UINT64_C(4) << 30 };
	axas_hal_t hal = direct_hal();
	axas_t *as;

	until_failure = 0;
	memset(pages, 0, sizeof(pages));
	CHECK(axas_create(&cfg, &hal, &as) == AXAS_OK);
	for (step = 1; step <= STEPS; step++) {
		const unsigned most = draw(3) ? 16 : 1200;
		const unsigned first = draw(PAGES),
			       count = 1 + draw(most < PAGES - first ? most : PAGES - first);
		const uint64_t size = (uint64_t)count * AXAS_PAGE_SIZE;
		axas_status_t status;

		until_failure = draw(4) ? 0 : 1 + draw(6);
		switch (draw(8)) {
		case 0:
		case 1:
			do_map(as, first, count);
			break;
		case 2:
			status = axas_unmap(as, gpa_of(first), size);
			CHECK(status == AXAS_OK || status == AXAS_ERR_NO_MEMORY);
			if (status == AXAS_OK)
				set_all(first, count, HOLE, 0, 0);
			break;
		case 3:
			do_protect(as, first, count);
			break;
		default:
			do_fault(as, first);
		}
		until_failure = 0;
		compare(as, first);
		compare(as, first + count - 1);
		compare(as, draw(PAGES));
		if (step % 512 == 0)
			CHECK(axas_audit(as) == AXAS_OK);
	}
	axas_destroy(as);
	CHECK(taken == 0);
	printf("format %u: %u calls\n", format, STEPS);
}

static void is_refused(void)
{
	axas_config_t cfg = { .struct_size = sizeof(cfg),
			      .format = AXAS_FORMAT_EPT,
			      .levels = 4,
			      .pa_bits = 44,
			      .size = UINT64_C(1) << 30 };
	const uint32_t of_devices[] = { 0, AXAS_FEATURE_IO_COHERENT, AXAS_FEATURE_IO_CACHES_INVALID,
					AXAS_FEATURE_IO_FAULTS, AXAS_FEATURE_IO_DIRTY };
	const uint32_t tag = 1u << AXAS_TAG_SHIFT;
	const axas_extent_t extent = { 0x1000, 0x1000 };
	axas_mapping_t found;
	uint64_t tables = 0;
	axas_hal_t hal = direct_hal();
	axas_hw_regs_t regs;
	axas_t *as;

	CHECK((axas_parts() & (AXAS_PART_WINDOWS | AXAS_PART_REPLACE | AXAS_PART_KEEP |
			       AXAS_PART_POPULATE | AXAS_PART_RELEASED)) == 0);
	hal.released = released;
	CHECK(axas_create(&cfg, &hal, &as) == AXAS_ERR_UNSUPPORTED);
	hal = direct_hal();
	hal.flags = 0;
	hal.phys_to_virt = phys_to_virt;
	CHECK(axas_create(&cfg, &hal, &as) == AXAS_ERR_UNSUPPORTED);
	hal = direct_hal();
	cfg.options = AXAS_KEEP_TABLES;
	CHECK(axas_create(&cfg, &hal, &as) == AXAS_ERR_UNSUPPORTED);
	/* Options and features of parts, without which a device would walk tables that are not made for it. */
	CHECK((axas_parts() & (AXAS_PART_TAGS | AXAS_PART_STOCK | AXAS_PART_IO | AXAS_PART_HIDE)) ==
	      0);
	cfg.options = AXAS_IO;
	for (unsigned i = 0; i < sizeof(of_devices) / sizeof(of_devices[0]); i++) {
		cfg.features = of_devices[i];
		CHECK(axas_create(&cfg, &hal, &as) == AXAS_ERR_UNSUPPORTED);
		CHECK(axas_config_regs(&cfg, &regs) == AXAS_ERR_UNSUPPORTED);
		CHECK(axas_tables_needed(&cfg, 0, 0x1000, AXAS_READ, &tables) ==
		      AXAS_ERR_UNSUPPORTED);
	}
	cfg.options = 0;
	cfg.features = 0;
	/* The first frame would be at virtual address 0. */
	hal.direct_map_offset = 0 - first_frame;
	CHECK(axas_create(&cfg, &hal, &as) == AXAS_ERR_BAD_STATE);
	CHECK(taken == 0);
	hal = direct_hal();
	CHECK(axas_create(&cfg, &hal, &as) == AXAS_OK);
	CHECK(axas_map_linear(as, 0, 0x1000, 0x1000, AXAS_READ | AXAS_REPLACE) ==
	      AXAS_ERR_UNSUPPORTED);
	CHECK(axas_map_linear(as, 0, 0x2000, 0x2000, AXAS_READ | AXAS_REPLACE) ==
	      AXAS_ERR_UNSUPPORTED);
	CHECK(axas_map_trap_flags(as, 0, 0x1000, 1, AXAS_REPLACE) == AXAS_ERR_UNSUPPORTED);
	CHECK(axas_map_alloc(as, 0, 0x1000, AXAS_READ | AXAS_REPLACE) == AXAS_ERR_UNSUPPORTED);
	CHECK(axas_map_alloc(as, 0, 0x1000, AXAS_READ | AXAS_POPULATE) == AXAS_ERR_UNSUPPORTED);
	/* A tag, and a page without permissions. */
	CHECK(axas_map_linear(as, 0, 0x1000, 0x1000, AXAS_READ | tag) == AXAS_ERR_UNSUPPORTED);
	CHECK(axas_map_linear(as, 0, 0x2000, 0x2000, AXAS_READ | tag) == AXAS_ERR_UNSUPPORTED);
	CHECK(axas_map_extents(as, 0, &extent, 1, AXAS_READ | tag) == AXAS_ERR_UNSUPPORTED);
	CHECK(axas_map_alloc(as, 0, 0x1000, AXAS_READ | tag) == AXAS_ERR_UNSUPPORTED);
	CHECK(axas_map_trap_flags(as, 0, 0x1000, 1, tag) == AXAS_ERR_UNSUPPORTED);
	CHECK(axas_tables_needed(&cfg, 0, 0x1000, AXAS_READ | tag, &tables) ==
	      AXAS_ERR_UNSUPPORTED);
	CHECK(axas_map_linear(as, 0, 0x1000, 0x1000, 0) == AXAS_ERR_INVALID_INPUT);
	CHECK(axas_query(as, 0, &found) == AXAS_OK && found.state == AXAS_STATE_ABSENT);
	CHECK(taken == 2);
	axas_destroy(as);
	CHECK(taken == 0);
}

int main(void)
{
	is_refused();
	run(AXAS_FORMAT_EPT);
	run(AXAS_FORMAT_NPT);
	run(AXAS_FORMAT_ARM_S2);
	run(AXAS_FORMAT_RISCV_GSTAGE);
	return 0;
}
