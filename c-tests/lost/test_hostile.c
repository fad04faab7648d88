/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tables that somebody else wrote to: every call ends, with a status that the header names, and
 * touches nothing but frames that are out. The host's memory is guarded page by page: a frame that
 * is not out cannot be read, and phys_to_virt does not know it. A test that does not end is ended by
 * its CPU time.
 */
#include <stdio.h>
#include <sys/mman.h>
#include <sys/time.h>

#include "counts.h"
#include "tlb.h"

#define FRAMES     256u
#define POOL_PA    0x40000000ull
#define PA_BITS    44u
#define AT         GIB
#define SECONDS    120 /* of CPU time, for one test */
/* What every call of a space with a handful of tables can do with. */
#define MOST_LOOKS 20000u
#define FUZZED     2500u

struct hostile {
	const struct format_case *fc;
	axas_config_t cfg;
	axas_hal_t hal;
	axas_t *as;
	axas_hpa_t root;
	uint8_t *memory;
	uint8_t is_out[FRAMES];
	uint32_t wild_frees; /* frames given back that are not out */
	uint64_t looks; /* calls of phys_to_virt; from MOST_LOOKS on there is no memory */
	uint64_t rng;
	/* At one look the newest frame is written over, at another one nothing is shown. */
	uint64_t scribble_at, blind_at;
	axas_hpa_t newest;
	uint32_t odd_looks; /* at 4 KiB that are no page */
	_Alignas(AXAS_STORAGE_ALIGN) uint8_t storage[AXAS_STORAGE_SIZE];
};

static void limit_cpu_time(int seconds)
{
	const struct itimerval time = { .it_value.tv_sec = seconds };

	assert_int_equal(setitimer(ITIMER_PROF, &time, NULL), 0);
}

/* --- the host -------------------------------------------------------------------------------- */

static void open_frames(struct hostile *h, uint64_t first, uint64_t count, int is_out)
{
	memset(&h->is_out[first], is_out, count);
	assert_int_equal(mprotect(h->memory + first * PAGE, count * PAGE,
				  is_out ? PROT_READ | PROT_WRITE : PROT_NONE),
			 0);
}

static axas_hpa_t alloc_frame(void *ctx, uint32_t order, uint32_t purpose)
{
	struct hostile *h = ctx;
	const uint64_t count = 1ull << order;

	(void)purpose;
	for (uint64_t i = 0; count <= FRAMES && i + count <= FRAMES; i += count) {
		if (memchr(&h->is_out[i], 1, count) != NULL)
			continue;
		open_frames(h, i, count, 1);
		h->newest = POOL_PA + i * PAGE;
		return h->newest;
	}
	return AXAS_HPA_INVALID;
}

static void dealloc_frame(void *ctx, axas_hpa_t pa, uint32_t order, uint32_t purpose)
{
	struct hostile *h = ctx;

	(void)purpose;
	for (uint64_t i = 0; i < 1ull << order; i++) {
		const uint64_t frame = (pa - POOL_PA) / PAGE + i;

		if (pa < POOL_PA || frame >= FRAMES || !h->is_out[frame]) {
			h->wild_frees++;
			return;
		}
		open_frames(h, frame, 1, 0);
	}
}

static void *phys_to_virt(void *ctx, axas_hpa_t pa, size_t size)
{
	struct hostile *h = ctx;
	const uint64_t first = (pa - POOL_PA) / PAGE, last = (pa + size - 1 - POOL_PA) / PAGE;

	h->odd_looks += size == PAGE && pa % PAGE != 0;
	if (pa < POOL_PA || size == 0 || last >= FRAMES || h->looks++ >= MOST_LOOKS ||
	    h->looks == h->blind_at)
		return NULL;
	if (h->looks == h->scribble_at && h->is_out[(h->newest - POOL_PA) / PAGE])
		memset(h->memory + (h->newest - POOL_PA), 0x41, 2 * sizeof(uint64_t));
	for (uint64_t i = first; i <= last; i++)
		if (!h->is_out[i])
			return NULL;
	return h->memory + (pa - POOL_PA);
}

static void tlb_flush(void *ctx, const axas_tlb_request_t *request)
{
	(void)ctx;
	(void)request;
}

static int setup_hostile(void **state)
{
	struct hostile *h = NULL;

	assert_int_equal(posix_memalign((void **)&h, AXAS_STORAGE_ALIGN, sizeof(*h)), 0);
	memset(h, 0, sizeof(*h));
	h->fc = *state;
	h->rng = 88172645463325252ull;
	h->memory = mmap(NULL, FRAMES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(h->memory, MAP_FAILED);
	h->cfg = (axas_config_t){
		.struct_size = sizeof(h->cfg),
		.format = h->fc->format,
		.levels = 4,
		.pa_bits = PA_BITS,
		.size = 4 * GIB,
	};
	h->hal = (axas_hal_t){
		.struct_size = sizeof(h->hal),
		.ctx = h,
		.alloc_frame = alloc_frame,
		.dealloc_frame = dealloc_frame,
		.phys_to_virt = phys_to_virt,
		.tlb_flush = tlb_flush,
	};
	limit_cpu_time(SECONDS);
	*state = h;
	return 0;
}

static int teardown_hostile(void **state)
{
	struct hostile *h = *state;

	limit_cpu_time(0);
	munmap(h->memory, FRAMES * PAGE);
	free(h);
	return 0;
}

/* Something of everything, in one table of each level below the root. */
static void build(struct hostile *h)
{
	open_frames(h, 0, FRAMES, 0);
	h->wild_frees = 0;
	h->looks = 0;
	assert_ok(axas_create_in(h->storage, sizeof(h->storage), &h->cfg, &h->hal, &h->as));
	h->root = axas_root(h->as);
	assert_ok(axas_map_linear(h->as, AT, LINEAR_HPA + PAGE, 8 * PAGE, RW));
	assert_ok(axas_map_alloc(h->as, AT + 16 * PAGE, 8 * PAGE, RW | AXAS_POPULATE));
	assert_ok(axas_map_alloc(h->as, AT + 32 * PAGE, 8 * PAGE, RWX));
	assert_ok(axas_map_trap(h->as, AT + 48 * PAGE, 8 * PAGE, 0xabcdef));
	assert_ok(axas_map_linear(h->as, AT + 2 * MIB, LINEAR_HPA, 2 * MIB, RW));
	assert_ok(axas_map_alloc(h->as, AT + 4 * MIB, 4 * MIB, RW));
	assert_ok(axas_map_linear(h->as, AT + 8 * MIB, LINEAR_HPA + PAGE, 4 * PAGE, RW));
	assert_ok(axas_audit(h->as));
}

/* --- what is done to the tables -------------------------------------------------------------- */

static uint64_t *table_at(struct hostile *h, uint32_t level, axas_gpa_t gpa)
{
	uint64_t *words = phys_to_virt(h, h->root, PAGE);

	for (uint32_t at = 4; at > level; at--)
		words = phys_to_virt(
			h,
			entry_decode(h->cfg.format, at, words[gpa / entry_size(at) % 512]).address,
			PAGE);
	return words;
}

static uint64_t *word_at(struct hostile *h, uint32_t level, axas_gpa_t gpa)
{
	return &table_at(h, level, gpa)[gpa / entry_size(level) % 512];
}

static uint64_t address_mask(const struct hostile *h)
{
	return h->cfg.format == AXAS_FORMAT_RISCV_GSTAGE ? 0x3ffffffffffc00ull : 0xfffffffff000ull;
}

/* Another address in an entry. */
static void point(struct hostile *h, uint64_t *word, axas_hpa_t pa)
{
	const uint32_t shift = h->cfg.format == AXAS_FORMAT_RISCV_GSTAGE ? 2 : 0;

	*word = (*word & ~address_mask(h)) | (pa >> shift);
}

static axas_hpa_t pa_of(struct hostile *h, const void *va)
{
	return POOL_PA + ((uint64_t)((const uint8_t *)va - h->memory) & ~(PAGE - 1));
}

static void root_points_to_itself(struct hostile *h)
{
	point(h, word_at(h, 4, AT), h->root);
}

/* So many ways through that no walk of all of them ends. */
static void all_of_the_root_points_to_itself(struct hostile *h)
{
	uint64_t *words = table_at(h, 4, AT);

	for (uint32_t i = 1; i < 512; i++)
		words[i] = words[0];
	for (uint32_t i = 0; i < 512; i++)
		point(h, &words[i], h->root);
}

static void a_table_points_to_itself(struct hostile *h)
{
	point(h, word_at(h, 2, AT), pa_of(h, table_at(h, 2, AT)));
}

static void a_table_points_to_the_one_above(struct hostile *h)
{
	point(h, word_at(h, 2, AT), pa_of(h, table_at(h, 3, AT)));
}

static void the_last_level_points_to_the_root(struct hostile *h)
{
	*word_at(h, 1, AT) = *word_at(h, 4, AT);
	point(h, word_at(h, 1, AT), h->root);
}

static void a_table_hangs_twice(struct hostile *h)
{
	*word_at(h, 2, AT + 16 * MIB) = *word_at(h, 2, AT);
}

static void a_table_is_no_frame(struct hostile *h)
{
	point(h, word_at(h, 2, AT), POOL_PA + (FRAMES + 5) * PAGE);
}

static void a_table_is_a_frame_that_is_not_out(struct hostile *h)
{
	point(h, word_at(h, 2, AT), POOL_PA + (FRAMES - 1) * PAGE);
}

static void a_table_is_beyond_the_width(struct hostile *h)
{
	point(h, word_at(h, 3, AT), (1ull << PA_BITS) | POOL_PA);
}

/* The guest wrote what looks like tables into its memory. */
static void a_table_is_memory_of_the_guest(struct hostile *h)
{
	const uint64_t *own = word_at(h, 1, AT + 16 * PAGE);
	const axas_hpa_t pa = entry_decode(h->cfg.format, 1, *own).address;
	uint64_t *words = phys_to_virt(h, pa, PAGE);

	for (uint32_t i = 0; i < 512; i++)
		words[i] = *word_at(h, 2, AT);
	point(h, word_at(h, 2, AT), pa);
}

static void a_leaf_is_beyond_the_width(struct hostile *h)
{
	point(h, word_at(h, 1, AT), 1ull << PA_BITS);
}

static void a_large_leaf_is_not_aligned(struct hostile *h)
{
	point(h, word_at(h, 2, AT + 2 * MIB), LINEAR_HPA + PAGE);
}

/* Write-only on EPT and RISC-V, U/S off on NPT, the access flag off on Arm. */
static void a_leaf_has_bits_that_it_must_not(struct hostile *h)
{
	static const uint64_t flip[5] = {
		[AXAS_FORMAT_EPT] = 1,
		[AXAS_FORMAT_NPT] = 1u << 2,
		[AXAS_FORMAT_ARM_S2] = 1u << 10,
		[AXAS_FORMAT_RISCV_GSTAGE] = 1u << 1,
	};

	*word_at(h, 1, AT) ^= flip[h->cfg.format];
}

static void a_table_entry_has_bits_that_it_must_not(struct hostile *h)
{
	static const uint64_t flip[5] = {
		[AXAS_FORMAT_EPT] = 1u << 4,
		[AXAS_FORMAT_NPT] = 1u << 3,
		[AXAS_FORMAT_ARM_S2] = 1ull << 59,
		[AXAS_FORMAT_RISCV_GSTAGE] = 1u << 6,
	};

	*word_at(h, 2, AT) ^= flip[h->cfg.format];
}

/* What is said of how full the tables are, and is not so: in each there is more than that, or less. */
static void say(struct hostile *h, uint32_t level, axas_gpa_t gpa, enum count kind, uint64_t number)
{
	uint64_t *word = word_at(h, level, gpa);

	*word = count_with((enum walk_format)h->cfg.format, *word, kind, number);
}

static void a_table_in_use_is_called_empty(struct hostile *h)
{
	say(h, 2, AT, COUNT_EMPTY, 0);
}

static void a_table_of_tables_is_called_empty(struct hostile *h)
{
	say(h, 3, AT, COUNT_EMPTY, 0);
}

static void a_full_table_is_said_to_have_one_entry(struct hostile *h)
{
	say(h, 2, AT, COUNT_EXACT, 1);
}

static void a_table_is_said_to_have_many_entries(struct hostile *h)
{
	say(h, 2, AT + 8 * MIB, COUNT_EXACT, count_most((enum walk_format)h->cfg.format));
}

static void entries_apart_are_called_a_run(struct hostile *h)
{
	say(h, 2, AT, COUNT_RUN, 0);
}

static void a_leaf_stands_at_the_fourth_level(struct hostile *h)
{
	*word_at(h, 4, AT) = *word_at(h, 2, AT + 2 * MIB);
	point(h, word_at(h, 4, AT), 0);
}

static void a_table_is_empty(struct hostile *h)
{
	uint64_t *words = table_at(h, 1, AT + 8 * MIB);

	for (uint32_t i = 0; i < 512; i++)
		words[i] = words[511];
}

static void something_stands_outside_the_space(struct hostile *h)
{
	*word_at(h, 3, 8 * GIB) = *word_at(h, 1, AT + 32 * PAGE);
}

static void entries_are_in_transition(struct hostile *h)
{
	const uint32_t shift = h->cfg.format == AXAS_FORMAT_EPT ? 3 : 1;

	for (uint64_t kind = 3; kind < 8; kind++) {
		uint64_t *word = word_at(h, 1, AT + (56 + kind) * PAGE);

		*word = (*word & ~(7ull << shift)) | (kind << shift);
	}
}

static void a_leaf_claims_a_frame_that_is_not_counted(struct hostile *h)
{
	*word_at(h, 1, AT + 100 * PAGE) = *word_at(h, 1, AT + 16 * PAGE);
	point(h, word_at(h, 1, AT + 100 * PAGE), POOL_PA + (FRAMES - 2) * PAGE);
}

static const struct {
	const char *name;
	void (*corrupt)(struct hostile *h);
	int tables_count_right; /* clear and destroy cannot know: what is named is given back */
} corruptions[] = {
	{ "root points to itself", root_points_to_itself, 0 },
	{ "all of the root points to itself", all_of_the_root_points_to_itself, 0 },
	{ "a table points to itself", a_table_points_to_itself, 0 },
	{ "a table points to the one above", a_table_points_to_the_one_above, 0 },
	{ "the last level points to the root", the_last_level_points_to_the_root, 1 },
	{ "a table hangs twice", a_table_hangs_twice, 0 },
	{ "a table is no frame", a_table_is_no_frame, 1 },
	{ "a table is a frame that is not out", a_table_is_a_frame_that_is_not_out, 1 },
	{ "a table is beyond the width", a_table_is_beyond_the_width, 0 },
	{ "a table is memory of the guest", a_table_is_memory_of_the_guest, 1 },
	{ "a leaf is beyond the width", a_leaf_is_beyond_the_width, 0 },
	{ "a large leaf is not aligned", a_large_leaf_is_not_aligned, 0 },
	{ "a leaf has bits that it must not", a_leaf_has_bits_that_it_must_not, 0 },
	{ "a table entry has bits that it must not", a_table_entry_has_bits_that_it_must_not, 0 },
	{ "a table in use is called empty", a_table_in_use_is_called_empty, 0 },
	{ "a table of tables is called empty", a_table_of_tables_is_called_empty, 0 },
	{ "a full table is said to have one entry", a_full_table_is_said_to_have_one_entry, 0 },
	{ "a table is said to have many entries", a_table_is_said_to_have_many_entries, 0 },
	{ "entries apart are called a run", entries_apart_are_called_a_run, 0 },
	{ "a leaf stands at the fourth level", a_leaf_stands_at_the_fourth_level, 0 },
	{ "a table is empty", a_table_is_empty, 0 },
	{ "something stands outside the space", something_stands_outside_the_space, 0 },
	{ "entries are in transition", entries_are_in_transition, 0 },
	{ "a leaf claims a frame that is not counted", a_leaf_claims_a_frame_that_is_not_counted,
	  1 },
};

/* --- every call ------------------------------------------------------------------------------ */

static uint32_t see_run(void *ctx, const axas_mapping_t *run)
{
	(void)run;
	++*(uint64_t *)ctx;
	return 1;
}

static void see_text(void *ctx, const char *text, size_t bytes)
{
	(void)text;
	*(uint64_t *)ctx += bytes;
}

/* The n-th call; a status. Returns 1 when there is no n-th call. */
static axas_status_t nth_call(struct hostile *h, uint32_t n)
{
	const axas_gpa_t gpa = AT + (n / 16 * 37 % 80) * PAGE;
	axas_mapping_t m;
	axas_hpa_t hpa;
	uint64_t count = 0;

	switch (n) {
	case 0:
		return axas_audit(h->as);
	case 1:
		return axas_dump(h->as, see_text, &count);
	case 2:
		return axas_for_each(h->as, 0, 4 * GIB, see_run, &count);
	case 3:
		return axas_clear(h->as);
	case 4:
		return axas_unmap(h->as, 0, 4 * GIB);
	case 5:
		return axas_unmap(h->as, AT + PAGE, 10 * MIB);
	case 6:
		return axas_unmap(h->as, AT + 3 * PAGE, PAGE);
	case 7:
		return axas_protect(h->as, AT, 8 * PAGE, AXAS_READ);
	case 8:
		return axas_populate(h->as, AT + 32 * PAGE, 8 * PAGE);
	case 9:
		return axas_discard(h->as, AT + 16 * PAGE, 8 * PAGE);
	case 10:
		return axas_map_linear(h->as, AT, LINEAR_HPA, 4 * MIB, RW | AXAS_REPLACE);
	case 11:
		return axas_map_linear(h->as, AT + 60 * PAGE, LINEAR_HPA, 20 * PAGE, RW);
	case 12:
		return axas_unmap_some(h->as, 0, 4 * GIB, 5, &count);
	case 13:
		return axas_map_alloc(h->as, 2 * GIB - PAGE, GIB, RW);
	case 14:
		return axas_handle_page_fault(h->as, AT + 33 * PAGE, AXAS_READ) <=
				       AXAS_FAULT_ERROR ?
			       AXAS_OK :
			       1;
	case 15:
		return axas_discard(h->as, AT + 2 * MIB, 6 * MIB);
	case 16:
		return axas_collect(h->as, 0, 4 * GIB);
	case 17:
		return axas_collect_some(h->as, 0, 4 * GIB, 5, &count);
	case 18:
		return axas_map_alloc(h->as, AT, 4 * MIB, RW | AXAS_REPLACE);
	case 19:
		return axas_map_trap_flags(h->as, AT + 3 * PAGE, 2 * MIB, 5, AXAS_REPLACE);
	default:
		break;
	}
	if (n >= 16 * 8 + 4)
		return 1;
	if (n % 4 == 0)
		return axas_query(h->as, gpa, &m);
	if (n % 4 == 1)
		return axas_translate(h->as, gpa, &hpa, &count);
	if (n % 4 == 2)
		return axas_trap_cookie(h->as, gpa, &count);
	return axas_handle_page_fault(h->as, gpa, AXAS_WRITE) <= AXAS_FAULT_ERROR ? AXAS_OK : 1;
}

static void every_call_ends_on_tables_that_are_not_tables(void **state)
{
	struct hostile *h = *state;

	for (size_t c = 0; c < sizeof(corruptions) / sizeof(corruptions[0]); c++)
		for (uint32_t n = 0;; n++) {
			axas_status_t status;

			build(h);
			corruptions[c].corrupt(h);
			status = nth_call(h, n);
			if (status > AXAS_OK) {
				axas_destroy(h->as);
				break;
			}
			if (status < AXAS_ERR_AGAIN)
				fail_msg("%s, call %u: status %d", corruptions[c].name, n, status);
			if (n == 0 && status != AXAS_ERR_BAD_STATE)
				fail_msg("%s: the audit says %d", corruptions[c].name, status);
			if (n > 3 && n < 20)
				continue;
			axas_destroy(h->as);
			if (h->wild_frees != 0 && !corruptions[c].tables_count_right)
				fail_msg("%s, call %u: %u frames back that are not out",
					 corruptions[c].name, n, h->wild_frees);
		}
}

/* --- few tables that seem to be many --------------------------------------------------------- */

#define WIDE (256 * GIB)

/* One table of each level, and all entries of each lead to the one below: 67 million pages. */
static void build_wide(struct hostile *h)
{
	open_frames(h, 0, FRAMES, 0);
	h->looks = 0;
	h->cfg.size = WIDE;
	assert_ok(axas_create_in(h->storage, sizeof(h->storage), &h->cfg, &h->hal, &h->as));
	h->root = axas_root(h->as);
	assert_ok(axas_map_alloc(h->as, AT, PAGE, RW));
	for (uint32_t level = 1; level <= 3; level++) {
		uint64_t *words = table_at(h, level, AT);
		const uint64_t word = *word_at(h, level, AT);

		for (uint32_t i = 0; i < 512; i++)
			words[i] = word;
	}
	h->looks = 0;
}

static axas_status_t nth_wide_call(struct hostile *h, uint32_t n)
{
	uint64_t count = 0;

	switch (n) {
	case 0:
		return axas_audit(h->as);
	case 1:
		return axas_dump(h->as, see_text, &count);
	case 2:
		return axas_for_each(h->as, 0, WIDE, see_run, &count);
	case 3:
		return axas_protect(h->as, 0, WIDE, AXAS_READ);
	case 4:
		return axas_populate(h->as, 0, WIDE);
	case 5:
		return axas_discard(h->as, 0, WIDE);
	case 6:
		return axas_map_linear(h->as, PAGE, LINEAR_HPA, WIDE - 2 * PAGE, RW | AXAS_REPLACE);
	case 7:
		return axas_unmap(h->as, 0, WIDE);
	case 8:
		return axas_clear(h->as);
	case 9:
		return axas_collect(h->as, 0, WIDE);
	case 10:
		return axas_map_alloc(h->as, PAGE, WIDE - 2 * PAGE, RW | AXAS_REPLACE);
	default:
		return 1;
	}
}

/* A walk follows no more tables than there are. */
static void few_tables_that_seem_many_are_not_walked_through(void **state)
{
	struct hostile *h = *state;

	for (uint32_t n = 0;; n++) {
		axas_status_t status;

		build_wide(h);
		status = nth_wide_call(h, n);
		if (status > AXAS_OK)
			break;
		if (h->looks >= MOST_LOOKS)
			fail_msg("call %u goes through tables that are not there", n);
		assert_true(status == AXAS_OK || status == AXAS_ERR_BAD_STATE ||
			    (n > 8 && status == AXAS_ERR_UNSUPPORTED));
		if (n < 6)
			assert_status(AXAS_ERR_BAD_STATE, status);
	}
}

static uint64_t below(struct hostile *h, uint64_t bound)
{
	h->rng ^= h->rng << 13;
	h->rng ^= h->rng >> 7;
	h->rng ^= h->rng << 17;
	return (h->rng >> 11) % bound;
}

/* A bit, two bits, another entry, or anything at all, in any table. */
static void scribble(struct hostile *h)
{
	const uint32_t level = (uint32_t)(1 + below(h, 4));
	uint64_t *words = table_at(h, level, AT);
	uint64_t *word = &words[below(h, 2) == 0 ? below(h, 512) : below(h, 80)];

	switch (below(h, 5)) {
	case 0:
		*word ^= 1ull << below(h, 64);
		break;
	case 1:
		*word_at(h, level, AT) ^= (1ull << below(h, 64)) | (1ull << below(h, 64));
		break;
	case 2:
		*word = table_at(h, (uint32_t)(1 + below(h, 4)), AT)[below(h, 80)];
		break;
	case 3:
		*word = h->rng * 0x2545f4914f6cdd1dull;
		break;
	default:
		point(h, word_at(h, level, AT), POOL_PA + below(h, FRAMES) * PAGE);
		break;
	}
}

static void every_call_ends_whatever_is_written_to_the_tables(void **state)
{
	struct hostile *h = *state;
	uint32_t noticed = 0;

	for (uint32_t i = 0; i < FUZZED; i++) {
		build(h);
		scribble(h);
		noticed += axas_audit(h->as) == AXAS_ERR_BAD_STATE;
		for (uint32_t calls = 0; calls < 3; calls++) {
			const axas_status_t status = nth_call(h, (uint32_t)below(h, 44));

			assert_in_range(-status, 0, -AXAS_ERR_AGAIN);
		}
		axas_destroy(h->as);
	}
	assert_true(noticed > FUZZED / 2);
}

static void scribble_and_map(struct hostile *h, uint64_t scribble_at, uint64_t blind_at)
{
	axas_status_t status;

	build(h);
	h->scribble_at = scribble_at;
	h->blind_at = blind_at;
	h->looks = 0;
	status = axas_map_linear(h->as, 0, LINEAR_HPA, 2 * PAGE, RW);
	assert_in_range(-status, 0, -AXAS_ERR_AGAIN);
	h->scribble_at = 0;
	h->blind_at = 0;
	axas_destroy(h->as);
}

/* Frames that wait to be tables name each other: somebody writes to one, and the host is asked for pages all the same. */
static void a_waiting_frame_that_was_written_to_names_pages(void **state)
{
	struct hostile *h = *state;

	for (uint64_t scribble_at = 1; scribble_at < 40; scribble_at++)
		for (uint64_t blind_at = 0; blind_at < 40; blind_at++)
			scribble_and_map(h, scribble_at, blind_at);
	assert_int_equal(h->odd_looks, 0);
}

#define HOSTILE(test, fmt)                                                              \
	{                                                                               \
#test " [" #fmt "]", test, setup_hostile, teardown_hostile, &fmt##_case \
	}
#define HOSTILE_EACH(test) \
	HOSTILE(test, ept), HOSTILE(test, npt), HOSTILE(test, arm), HOSTILE(test, riscv)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HOSTILE_EACH(every_call_ends_on_tables_that_are_not_tables),
		HOSTILE_EACH(few_tables_that_seem_many_are_not_walked_through),
		HOSTILE_EACH(a_waiting_frame_that_was_written_to_names_pages),
		HOSTILE_EACH(every_call_ends_whatever_is_written_to_the_tables),
	};

	return cmocka_run_group_tests_name("hostile", tests, NULL, NULL);
}
