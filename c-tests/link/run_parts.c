/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An archive with one part: axas_parts says so, the functions of that part are there and work, those of others are
 * not, and what asks for others is refused. EPT.
 */
#include <axaddrspace.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#pragma weak axas_tag_bits
#pragma weak axas_retag
#pragma weak axas_handle_page_fault_at
#pragma weak axas_stock
#pragma weak axas_hide
#pragma weak axas_show
#pragma weak axas_map_note
#pragma weak axas_dirty_start
#pragma weak axas_merge
#pragma weak axas_transfer
#pragma weak axas_map_provider
#pragma weak axas_age

#define CHECK(what)                                                       \
	do {                                                              \
		if (!(what)) {                                            \
			printf("%s:%d: %s\n", __FILE__, __LINE__, #what); \
			exit(1);                                          \
		}                                                         \
	} while (0)

#define FRAMES 64u
#define PAGE   ((uint64_t)AXAS_PAGE_SIZE)
#define ALL                                                                                   \
	(AXAS_PART_TAGS | AXAS_PART_STOCK | AXAS_PART_IO | AXAS_PART_HIDE | AXAS_PART_DIRTY | \
	 AXAS_PART_MERGE | AXAS_PART_TRANSFER | AXAS_PART_PROVIDER | AXAS_PART_AGE)

static _Alignas(4096) unsigned char memory[FRAMES][AXAS_PAGE_SIZE];
static unsigned char is_taken[FRAMES];
static unsigned taken;
static int fails;

static axas_hpa_t alloc_frame(void *ctx, uint32_t order, uint32_t purpose)
{
	(void)ctx;
	(void)purpose;
	for (unsigned i = 0; order == 0 && !fails && i < FRAMES; i++)
		if (!is_taken[i]) {
			is_taken[i] = 1;
			taken++;
			return UINT64_C(0x40000000) + i * PAGE;
		}
	return AXAS_HPA_INVALID;
}

static void dealloc_frame(void *ctx, axas_hpa_t pa, uint32_t order, uint32_t purpose)
{
	(void)ctx;
	(void)order;
	(void)purpose;
	is_taken[(pa - UINT64_C(0x40000000)) / PAGE] = 0;
	taken--;
}

static void tlb_flush(void *ctx, const axas_tlb_request_t *request)
{
	(void)ctx;
	(void)request;
}

static axas_status_t create(uint32_t options, uint32_t features, axas_t **as)
{
	const axas_config_t cfg = { .struct_size = sizeof(cfg),
				    .format = AXAS_FORMAT_EPT,
				    .levels = 4,
				    .pa_bits = 44,
				    .size = UINT64_C(1) << 32,
				    .options = options,
				    .features = features };
	const axas_hal_t hal = { .struct_size = sizeof(hal),
				 .flags = AXAS_HAL_DIRECT_MAP,
				 .direct_map_offset =
					 (uint64_t)(uintptr_t)memory - UINT64_C(0x40000000),
				 .alloc_frame = alloc_frame,
				 .dealloc_frame = dealloc_frame,
				 .tlb_flush = tlb_flush };

	return axas_create(&cfg, &hal, as);
}

static void tags(axas_t *as)
{
	axas_mapping_t found;

	CHECK(axas_tag_bits(as) == 4);
	CHECK(axas_map_linear(as, 0, 0, 2 * PAGE, AXAS_READ | 5u << AXAS_TAG_SHIFT) == AXAS_OK);
	CHECK(axas_retag(as, PAGE, PAGE, 9) == AXAS_OK);
	CHECK(axas_handle_page_fault_at(as, PAGE, AXAS_WRITE, &found) == AXAS_FAULT_DENIED);
	CHECK((found.flags & AXAS_TAG_MASK) >> AXAS_TAG_SHIFT == 9);
}

static void stock(axas_t *as)
{
	CHECK(axas_stock(as, 3) == AXAS_OK);
	fails = 1;
	CHECK(axas_map_linear(as, 0, 0, PAGE, AXAS_READ) == AXAS_OK);
	CHECK(axas_map_linear(as, UINT64_C(1) << 30, 0, PAGE, AXAS_READ) == AXAS_ERR_NO_MEMORY);
	fails = 0;
}

static void hide(axas_t *as)
{
	CHECK(axas_map_linear(as, 0, 0, PAGE, AXAS_READ) == AXAS_OK);
	CHECK(axas_hide(as, 0, PAGE, 0) == AXAS_OK);
	CHECK(axas_handle_page_fault(as, 0, AXAS_READ) == AXAS_FAULT_HIDDEN);
	CHECK(axas_show(as, 0, PAGE) == AXAS_OK);
	CHECK(axas_hide(as, 0, PAGE, AXAS_HIDE_AUTO) == AXAS_OK);
	CHECK(axas_handle_page_fault(as, 0, AXAS_READ) == AXAS_FAULT_RESOLVED);
	CHECK(axas_map_note(as, PAGE, PAGE, 7, 0) == AXAS_OK);
	CHECK(axas_handle_page_fault(as, PAGE, AXAS_READ) == AXAS_FAULT_UNMAPPED);
	CHECK(axas_map_linear(as, 2 * PAGE, 0, PAGE, 0) == AXAS_OK);
}

static void io(axas_t *as)
{
	CHECK(axas_map_alloc(as, 0, PAGE, AXAS_READ) == AXAS_ERR_UNSUPPORTED);
	CHECK(axas_map_alloc(as, 0, PAGE, AXAS_READ | AXAS_POPULATE) == AXAS_OK);
}

int main(void)
{
	const uint32_t has = PART;
	const int has_io = (has & AXAS_PART_IO) != 0;
	axas_t *as;

	CHECK((axas_parts() & ALL) == has);
	CHECK((axas_retag != NULL) == ((has & AXAS_PART_TAGS) != 0));
	CHECK((axas_stock != NULL) == ((has & AXAS_PART_STOCK) != 0));
	CHECK((axas_hide != NULL) == ((has & AXAS_PART_HIDE) != 0));
	CHECK(axas_dirty_start == NULL && axas_merge == NULL && axas_transfer == NULL);
	CHECK(axas_map_provider == NULL && axas_age == NULL);
	CHECK(create(AXAS_IO, AXAS_FEATURE_IO_COHERENT, &as) ==
	      (has_io ? AXAS_OK : AXAS_ERR_UNSUPPORTED));
	CHECK((taken != 0) == has_io);
	if (!has_io)
		CHECK(create(0, 0, &as) == AXAS_OK);
	if (!(has & AXAS_PART_TAGS))
		CHECK(axas_map_linear(as, 0, 0, PAGE, AXAS_READ | 1u << AXAS_TAG_SHIFT) ==
		      AXAS_ERR_UNSUPPORTED);
	if (!(has & AXAS_PART_HIDE))
		CHECK(axas_map_linear(as, 0, 0, PAGE, 0) == AXAS_ERR_INVALID_INPUT);
	if (has & AXAS_PART_TAGS)
		tags(as);
	if (has & AXAS_PART_STOCK)
		stock(as);
	if (has & AXAS_PART_HIDE)
		hide(as);
	if (has_io)
		io(as);
	CHECK(axas_audit(as) == AXAS_OK);
	axas_destroy(as);
	CHECK(taken == 0);
	return 0;
}
