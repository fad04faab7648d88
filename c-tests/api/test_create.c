/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Creating, configuring and destroying spaces. */
#include "fixture.h"

/* Tries a configuration; the space, if there is one, goes away again. */
static axas_status_t try(struct fixture *f, const axas_config_t *cfg, const axas_hal_t *hal)
{
	axas_t *as = (axas_t *)&f->as; /* neither null nor a space */
	const axas_status_t status = axas_create(cfg, hal, &as);

	if (status == AXAS_OK) {
		assert_non_null(as);
		axas_destroy(as);
	} else {
		assert_null(as);
	}
	host_check_balance(&f->host);
	return status;
}

static void a_space_is_what_was_asked_for(void **state)
{
	FIXTURE(f);

	f->cfg.base = 3 * GIB + 5 * PAGE;
	f->cfg.size = 7 * GIB - PAGE;
	fixture_create(f);
	assert_int_equal(axas_base(f->as), f->cfg.base);
	assert_int_equal(axas_size(f->as), f->cfg.size);
	assert_int_equal(axas_levels(f->as), f->fc->levels);
	assert_non_null(host_at(&f->host, axas_root(f->as)));
	assert_int_equal(axas_root(f->as) % (PAGE << f->fc->root_order), 0);
	assert_int_equal(space_sweep(f->as).table_frames, 1u << f->fc->root_order);
	assert_int_equal(f->host.flushes, 0);
}

static void null_pointers_are_invalid(void **state)
{
	FIXTURE(f);
	axas_t *as;

	assert_status(AXAS_ERR_INVALID_INPUT, try(f, NULL, &f->host.hal));
	assert_status(AXAS_ERR_INVALID_INPUT, try(f, &f->cfg, NULL));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_create(&f->cfg, &f->host.hal, NULL));
	assert_status(AXAS_ERR_INVALID_INPUT,
		      axas_create_in(NULL, AXAS_STORAGE_SIZE, &f->cfg, &f->host.hal, &as));
	assert_int_equal(f->host.allocations, 0);
}

static void a_null_space_gets_an_answer_everywhere(void **state)
{
	axas_hpa_t hpa;
	axas_mapping_t m;
	axas_stats_t s;
	axas_hw_regs_t regs;
	axas_extent_t extent = { .hpa = LINEAR_HPA, .size = PAGE };
	uint64_t cookie;

	(void)state;
	axas_destroy(NULL);
	assert_int_equal(axas_base(NULL), 0);
	assert_int_equal(axas_size(NULL), 0);
	assert_int_equal(axas_levels(NULL), 0);
	assert_int_equal(axas_root(NULL), AXAS_HPA_INVALID);
	assert_int_equal(axas_contains_range(NULL, 0, PAGE), 0);
	assert_status(AXAS_ERR_INVALID_INPUT, axas_clear(NULL));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_set_vmid(NULL, 1));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_hw_regs(NULL, &regs));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_map_linear(NULL, 0, LINEAR_HPA, PAGE, RW));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_map_extents(NULL, 0, &extent, 1, RW));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_map_alloc(NULL, 0, PAGE, RW));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_map_trap(NULL, 0, PAGE, 1));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_unmap(NULL, 0, PAGE));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_protect(NULL, 0, PAGE, RW));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_translate(NULL, 0, &hpa, NULL));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_query(NULL, 0, &m));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_trap_cookie(NULL, 0, &cookie));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_stats(NULL, &s));
	assert_int_equal(axas_handle_page_fault(NULL, 0, AXAS_READ), AXAS_FAULT_ERROR);
}

static void a_null_result_pointer_is_invalid(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_linear(f->as, 0, LINEAR_HPA, PAGE, RW));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_translate(f->as, 0, NULL, NULL));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_query(f->as, 0, NULL));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_trap_cookie(f->as, 0, NULL));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_stats(f->as, NULL));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_hw_regs(f->as, NULL));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_map_extents(f->as, GIB, NULL, 1, RW));
}

static void unknown_bits_and_values_are_invalid(void **state)
{
	FIXTURE(f);
	axas_config_t cfg = f->cfg;
	axas_hal_t hal = f->host.hal;

	cfg.format = AXAS_FORMAT_RISCV_GSTAGE + 1;
	assert_status(AXAS_ERR_INVALID_INPUT, try(f, &cfg, &hal));
	cfg = f->cfg;
	cfg.features = AXAS_FEATURE_IO_FAULTS << 1;
	assert_status(AXAS_ERR_INVALID_INPUT, try(f, &cfg, &hal));
	cfg = f->cfg;
	cfg.options = AXAS_IGNORE_GUEST_PAT << 1;
	assert_status(AXAS_ERR_INVALID_INPUT, try(f, &cfg, &hal));
	cfg = f->cfg;
	cfg.reserved = 1;
	assert_status(AXAS_ERR_INVALID_INPUT, try(f, &cfg, &hal));
	hal.flags |= AXAS_HAL_BUILTIN_LOCAL << 1;
	assert_status(AXAS_ERR_INVALID_INPUT, try(f, &f->cfg, &hal));
}

static void features_of_another_format_are_invalid(void **state)
{
	static const uint32_t features[] = { 0, AXAS_FEATURE_EPT_AD, 0, AXAS_FEATURE_ARM_FWB,
					     AXAS_FEATURE_RISCV_SVPBMT };
	FIXTURE(f);

	for (uint32_t format = AXAS_FORMAT_EPT; format <= AXAS_FORMAT_RISCV_GSTAGE; format++) {
		axas_config_t cfg = f->cfg;

		cfg.features |= features[format];
		assert_status(format == f->cfg.format || features[format] == 0 ?
				      AXAS_OK :
				      AXAS_ERR_INVALID_INPUT,
			      try(f, &cfg, &f->host.hal));
	}
}

static void a_short_config_is_invalid(void **state)
{
	FIXTURE(f);
	axas_config_t cfg = f->cfg;

	cfg.struct_size = 0;
	assert_status(AXAS_ERR_INVALID_INPUT, try(f, &cfg, &f->host.hal));
	cfg.struct_size = offsetof(axas_config_t, size);
	assert_status(AXAS_ERR_INVALID_INPUT, try(f, &cfg, &f->host.hal));
}

static void the_native_format_is_unsupported_on_a_hosted_build(void **state)
{
	FIXTURE(f);

	f->cfg.format = AXAS_FORMAT_NATIVE;
	f->cfg.features = 0;
	assert_status(AXAS_ERR_UNSUPPORTED, try(f, &f->cfg, &f->host.hal));
}

static void base_and_size_are_checked(void **state)
{
	static const struct {
		axas_gpa_t base;
		uint64_t size;
		axas_status_t status;
	} t[] = {
		{ 0, 0, AXAS_ERR_INVALID_INPUT },
		{ 0, PAGE - 1, AXAS_ERR_INVALID_INPUT },
		{ 0, PAGE + 1, AXAS_ERR_INVALID_INPUT },
		{ 1, PAGE, AXAS_ERR_INVALID_INPUT },
		{ PAGE / 2, PAGE, AXAS_ERR_INVALID_INPUT },
		{ 0 - PAGE, 2 * PAGE, AXAS_ERR_INVALID_INPUT },
		{ PAGE, 0 - PAGE, AXAS_ERR_UNSUPPORTED },
		{ 2 * PAGE, 0 - PAGE, AXAS_ERR_INVALID_INPUT },
		{ 0 - PAGE, PAGE, AXAS_ERR_UNSUPPORTED },
		{ 1ull << 60, PAGE, AXAS_ERR_UNSUPPORTED },
	};
	FIXTURE(f);

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		f->cfg.base = t[i].base;
		f->cfg.size = t[i].size;
		assert_status(t[i].status, try(f, &f->cfg, &f->host.hal));
	}
}

/* Widest space of each number of levels; 0 where the format has no such table. */
static uint64_t limit_of_levels(uint32_t format, uint32_t levels)
{
	static const uint32_t bits[5][7] = {
		[AXAS_FORMAT_EPT] = { [4] = 48, [5] = 57 },
		[AXAS_FORMAT_NPT] = { [4] = 48, [5] = 57 },
		[AXAS_FORMAT_ARM_S2] = { [3] = 43, [4] = 48 },
		[AXAS_FORMAT_RISCV_GSTAGE] = { [3] = 41, [4] = 50, [5] = 59 },
	};

	return bits[format][levels] == 0 ? 0 : 1ull << bits[format][levels];
}

static void each_number_of_levels_has_its_width(void **state)
{
	FIXTURE(f);

	f->cfg.pa_bits = 48;
	for (uint32_t levels = 1; levels <= 6; levels++) {
		const uint64_t limit = limit_of_levels(f->cfg.format, levels);

		f->cfg.levels = levels;
		f->cfg.base = 0;
		f->cfg.size = limit == 0 ? PAGE : limit;
		assert_status(limit == 0 ? AXAS_ERR_UNSUPPORTED : AXAS_OK,
			      try(f, &f->cfg, &f->host.hal));
		f->cfg.base = limit;
		f->cfg.size = PAGE;
		assert_status(AXAS_ERR_UNSUPPORTED, try(f, &f->cfg, &f->host.hal));
	}
}

static void the_smallest_number_of_levels_is_the_default(void **state)
{
	FIXTURE(f);
	uint64_t covered = 0;

	f->cfg.pa_bits = 48;
	for (uint32_t levels = 3; levels <= 5; levels++) {
		const uint64_t limit = limit_of_levels(f->cfg.format, levels);

		if (limit == 0)
			continue;
		f->cfg.base = covered;
		f->cfg.size = PAGE;
		fixture_create(f);
		assert_int_equal(axas_levels(f->as), levels);
		fixture_destroy(f);
		f->cfg.base = limit - PAGE;
		fixture_create(f);
		assert_int_equal(axas_levels(f->as), levels);
		fixture_destroy(f);
		covered = limit;
	}
}

static void widths_that_cannot_be_are_refused(void **state)
{
	static const uint32_t most_pa_bits[] = { 0, 52, 52, 56, 56 };
	FIXTURE(f);
	axas_config_t cfg = f->cfg;

	cfg.pa_bits = 31;
	assert_status(AXAS_ERR_INVALID_INPUT, try(f, &cfg, &f->host.hal));
	cfg.pa_bits = most_pa_bits[cfg.format] + 1;
	assert_status(AXAS_ERR_UNSUPPORTED, try(f, &cfg, &f->host.hal));
	cfg.pa_bits = most_pa_bits[cfg.format];
	assert_status(AXAS_OK, try(f, &cfg, &f->host.hal));
	cfg.gpa_bits = 38; /* the space needs 39 */
	assert_status(AXAS_ERR_UNSUPPORTED, try(f, &cfg, &f->host.hal));
	cfg.gpa_bits = 60;
	assert_status(AXAS_ERR_UNSUPPORTED, try(f, &cfg, &f->host.hal));
}

/* Every width that is accepted comes out as it is, on Arm as the next architected one below. */
static void pa_bits_are_rounded_down_on_arm_and_kept_elsewhere(void **state)
{
	static const uint32_t most[] = { 0, 52, 52, 56, 56 };
	static const uint32_t sizes[] = { 32, 36, 40, 42, 44, 48 };
	FIXTURE(f);

	host_exit(&f->host);
	host_init(&f->host, HOST_DIRECT_MAP, HOST_PA_LOW_BASE);
	f->cfg.size = GIB;
	for (uint32_t bits = 32; bits <= most[f->cfg.format]; bits++) {
		uint32_t expected = bits;
		axas_hw_regs_t regs;

		for (size_t i = 0; f->cfg.format == AXAS_FORMAT_ARM_S2 && i < 6; i++)
			if (sizes[i] <= bits)
				expected = sizes[i];
		f->cfg.pa_bits = bits;
		fixture_create(f);
		assert_ok(axas_hw_regs(f->as, &regs));
		assert_int_equal(regs.pa_bits, expected);
		fixture_destroy(f);
	}
}

/* They would change nothing: a host that declares one expects what does not come. */
static void features_without_a_use_are_unsupported(void **state)
{
	static const struct {
		uint32_t format, feature;
	} unused[] = {
		{ AXAS_FORMAT_ARM_S2, AXAS_FEATURE_ARM_XNX },
		{ AXAS_FORMAT_RISCV_GSTAGE, AXAS_FEATURE_RISCV_SVNAPOT },
	};
	FIXTURE(f);

	for (size_t i = 0; i < sizeof(unused) / sizeof(unused[0]); i++) {
		const axas_status_t expected = unused[i].format == f->cfg.format ?
						       AXAS_ERR_UNSUPPORTED :
						       AXAS_ERR_INVALID_INPUT;
		axas_config_t cfg = f->cfg;
		uint64_t frames = 0x11;

		cfg.features |= unused[i].feature;
		assert_status(expected, try(f, &cfg, &f->host.hal));
		assert_status(expected, axas_tables_needed(&cfg, 0, PAGE, RW, &frames));
		assert_int_equal(frames, 0x11);
	}
}

static void every_known_hal_flag_is_accepted(void **state)
{
	FIXTURE(f);
	axas_hal_t hal = f->host.hal;

	hal.flags |= AXAS_HAL_DIRECT_MAP_LINEAR | AXAS_HAL_TABLES_STAY_READABLE;
	assert_status(AXAS_OK, try(f, &f->cfg, &hal));
}

static void each_required_callback_is_required(void **state)
{
	FIXTURE(f);
	axas_hal_t hal = f->host.hal;

	hal.alloc_frame = NULL;
	assert_status(AXAS_ERR_INVALID_INPUT, try(f, &f->cfg, &hal));
	hal = f->host.hal;
	hal.dealloc_frame = NULL;
	assert_status(AXAS_ERR_INVALID_INPUT, try(f, &f->cfg, &hal));
	hal = f->host.hal;
	hal.flags = 0;
	assert_status(AXAS_ERR_INVALID_INPUT, try(f, &f->cfg, &hal));
	hal = f->host.hal;
	hal.tlb_flush = NULL;
	assert_status(AXAS_ERR_INVALID_INPUT, try(f, &f->cfg, &hal));
	hal = f->host.hal;
	hal.clean_range = NULL;
	hal.relax = NULL;
	hal.released = NULL;
	assert_status(AXAS_OK, try(f, &f->cfg, &hal));
}

static void a_short_hal_is_invalid_where_a_required_member_is_cut_off(void **state)
{
	FIXTURE(f);
	axas_hal_t hal = f->host.hal;

	hal.struct_size = 0;
	assert_status(AXAS_ERR_INVALID_INPUT, try(f, &f->cfg, &hal));
	hal.struct_size = offsetof(axas_hal_t, dealloc_frame);
	assert_status(AXAS_ERR_INVALID_INPUT, try(f, &f->cfg, &hal));
	hal.struct_size = offsetof(axas_hal_t, tlb_flush);
	assert_status(AXAS_ERR_INVALID_INPUT, try(f, &f->cfg, &hal));
	hal.struct_size = offsetof(axas_hal_t, clean_range);
	assert_status(AXAS_OK, try(f, &f->cfg, &hal));
}

static void a_longer_hal_is_accepted_if_the_rest_is_zero(void **state)
{
	struct {
		axas_hal_t hal;
		uint64_t later[2];
	} longer;
	FIXTURE(f);

	memset(&longer, 0, sizeof(longer));
	longer.hal = f->host.hal;
	longer.hal.struct_size = sizeof(longer);
	assert_status(AXAS_OK, try(f, &f->cfg, &longer.hal));
	longer.later[1] = 1;
	assert_status(AXAS_ERR_INVALID_INPUT, try(f, &f->cfg, &longer.hal));
}

static void npt_has_no_builtin_flush(void **state)
{
	FIXTURE(f);
	axas_hal_t hal = f->host.hal;

	hal.flags |= AXAS_HAL_BUILTIN_FLUSH;
	hal.tlb_flush = NULL;
	if (f->cfg.format == AXAS_FORMAT_NPT) {
		assert_status(AXAS_ERR_UNSUPPORTED, try(f, &f->cfg, &hal));
		return;
	}
	f->host.quick = 1; /* nobody tells the host of a flush it does not make */
	assert_status(AXAS_OK, try(f, &f->cfg, &hal));
}

static void count_here(struct host *h, const axas_tlb_request_t *request)
{
	uint32_t *local = h->in_flush_arg;

	*local += request->scope != AXAS_SCOPE_ALL;
}

/* A hosted build has no instructions: what is not asked for is what they would do. */
static void local_requests_are_the_librarys_where_the_host_says_so(void **state)
{
	FIXTURE(f);
	axas_hal_t hal = f->host.hal;
	uint32_t local = 0, without;
	axas_stats_t s;

	f->host.quick = 1;
	f->host.in_flush = count_here;
	f->host.in_flush_arg = &local;
	for (uint32_t builtin = 0; builtin < 2; builtin++) {
		hal.flags |= builtin * AXAS_HAL_BUILTIN_LOCAL;
		if (builtin && f->cfg.format == AXAS_FORMAT_NPT) {
			assert_status(AXAS_ERR_UNSUPPORTED, try(f, &f->cfg, &hal));
			return;
		}
		without = local;
		host_forget_log(&f->host);
		f->host.flushes_all = 0;
		assert_ok(axas_create(&f->cfg, &hal, &f->as));
		assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, 4 * PAGE, AXAS_READ));
		assert_ok(axas_map_alloc(f->as, 2 * GIB, PAGE, RW));
		assert_int_equal(axas_handle_page_fault(f->as, 2 * GIB, AXAS_WRITE),
				 AXAS_FAULT_RESOLVED);
		assert_ok(axas_protect(f->as, GIB, PAGE, RW));
		assert_ok(axas_protect(f->as, GIB, PAGE, AXAS_READ));
		assert_ok(axas_unmap(f->as, GIB, 4 * PAGE));
		assert_ok(axas_stats(f->as, &s));
		/* those that reach all CPUs are the host's in both cases, and all are counted */
		assert_int_equal(f->host.flushes_all, 2);
		assert_int_equal(host_last_flush(&f->host)->reason, AXAS_FLUSH_UNMAP);
		if (builtin)
			assert_int_equal(local, without);
		assert_int_equal(s.tlb_requests, 2 + local);
		fixture_destroy(f);
	}
	assert_int_equal(local > 0, f->cfg.format >= AXAS_FORMAT_ARM_S2);
}

static void builtin_local_requests_need_a_host_for_the_others(void **state)
{
	FIXTURE(f);
	axas_hal_t hal = f->host.hal;

	hal.flags |= AXAS_HAL_BUILTIN_LOCAL | AXAS_HAL_BUILTIN_FLUSH;
	assert_status(AXAS_ERR_INVALID_INPUT, try(f, &f->cfg, &hal));
	hal.tlb_flush = NULL;
	assert_status(AXAS_ERR_INVALID_INPUT, try(f, &f->cfg, &hal));
	hal.flags &= ~AXAS_HAL_BUILTIN_FLUSH;
	assert_status(AXAS_ERR_INVALID_INPUT, try(f, &f->cfg, &hal));
	assert_int_equal(f->host.allocations, 0);
}

static void a_host_of_windows_needs_storage_of_its_own(void **state)
{
	static _Alignas(AXAS_STORAGE_ALIGN) uint8_t storage[AXAS_STORAGE_SIZE];
	FIXTURE(f);
	struct host h;
	axas_t *as;

	host_init(&h, HOST_WINDOWS, HOST_PA_BASE);
	assert_status(AXAS_ERR_UNSUPPORTED, axas_create(&f->cfg, &h.hal, &as));
	assert_null(as);
	memset(storage, 0xff, sizeof(storage));
	assert_ok(axas_create_in(storage, sizeof(storage), &f->cfg, &h.hal, &as));
	assert_int_equal(h.tables_out, 1u << f->fc->root_order);
	axas_destroy(as);
	host_check_balance(&h);
	host_exit(&h);
}

static void storage_is_checked(void **state)
{
	static _Alignas(AXAS_STORAGE_ALIGN) uint8_t storage[AXAS_STORAGE_SIZE + 8];
	FIXTURE(f);
	axas_t *as;

	assert_status(AXAS_ERR_INVALID_INPUT,
		      axas_create_in(storage, AXAS_STORAGE_SIZE - 1, &f->cfg, &f->host.hal, &as));
	assert_null(as);
	assert_status(AXAS_ERR_INVALID_INPUT,
		      axas_create_in(storage + 8, AXAS_STORAGE_SIZE, &f->cfg, &f->host.hal, &as));
	assert_status(AXAS_ERR_INVALID_INPUT,
		      axas_create_in(storage, AXAS_STORAGE_SIZE, &f->cfg, &f->host.hal, NULL));
	assert_int_equal(f->host.allocations, 0);
	assert_ok(axas_create_in(storage, AXAS_STORAGE_SIZE, &f->cfg, &f->host.hal, &f->as));
}

static void a_host_without_memory_keeps_all_of_it(void **state)
{
	FIXTURE(f);
	uint64_t k;

	for (k = 1;; k++) {
		axas_status_t status;

		f->host.fail_at = k;
		status = axas_create(&f->cfg, &f->host.hal, &f->as);
		f->host.fail_at = 0;
		if (status == AXAS_OK)
			break;
		assert_status(AXAS_ERR_NO_MEMORY, status);
		host_check_balance(&f->host);
	}
	assert_int_equal(k, 3); /* root and handle */
}

static void nonsense_from_alloc_frame_is_given_back(void **state)
{
	FIXTURE(f);

	f->host.nonsense_purpose = AXAS_FRAME_TABLE;
	f->host.nonsense = HOST_GIVES_UNALIGNED;
	assert_status(AXAS_ERR_BAD_STATE, try(f, &f->cfg, &f->host.hal));
	assert_int_equal(f->host.nonsense_returned, 1);
	f->host.nonsense = HOST_GIVES_TOO_HIGH;
	assert_status(AXAS_ERR_BAD_STATE, try(f, &f->cfg, &f->host.hal));
	assert_int_equal(f->host.nonsense_returned, 2);
	f->host.nonsense = HOST_SANE;
	assert_status(AXAS_OK, try(f, &f->cfg, &f->host.hal));
}

/* Of every order, the first and only frames with that purpose; they come back as that (host.c). */
static void a_root_is_asked_for_as_one(void **state)
{
	FIXTURE(f);

	f->host.fail_purpose = AXAS_FRAME_ROOT;
	assert_status(AXAS_ERR_NO_MEMORY, try(f, &f->cfg, &f->host.hal));
	f->host.fail_purpose = 0;
	f->host.nonsense_purpose = AXAS_FRAME_ROOT;
	f->host.nonsense = HOST_GIVES_UNALIGNED;
	assert_status(AXAS_ERR_BAD_STATE, try(f, &f->cfg, &f->host.hal));
	assert_int_equal(f->host.nonsense_returned, 1);
	f->host.nonsense = HOST_SANE;
	fixture_create(f);
	assert_ok(axas_map_alloc(f->as, GIB, 2 * PAGE, RW | AXAS_POPULATE));
	for (uint64_t i = 0; i < f->host.pool_bytes / PAGE; i++) {
		const struct host_frame *frame = &f->host.frame[i];
		const uint64_t from_root = f->host.pa_base + i * PAGE - axas_root(f->as);
		const int of_root = from_root < PAGE << f->fc->root_order;

		if (frame->state != HOST_FRAME_FREE)
			assert_int_equal(frame->purpose == AXAS_FRAME_ROOT, of_root);
		if (of_root)
			assert_int_equal(frame->order, f->fc->root_order);
	}
	assert_int_equal(stats(f).table_frames, f->host.tables_out - 1); /* the handle */
}

static void a_root_is_cleaned_as_a_table(void **state)
{
	FIXTURE(f);

	host_stop_snooping(&f->host);
	f->cfg.options |= AXAS_NONCOHERENT_WALK;
	fixture_create(f);
	assert_true(f->host.cleans[AXAS_FRAME_TABLE] >= 1u << f->fc->root_order);
}

static void a_quota_below_the_root_is_no_memory(void **state)
{
	const uint32_t root_frames = 1;
	FIXTURE(f);

	f->cfg.table_quota = root_frames << f->fc->root_order;
	assert_status(AXAS_OK, try(f, &f->cfg, &f->host.hal));
	f->cfg.table_quota -= 1;
	if (f->cfg.table_quota != 0)
		assert_status(AXAS_ERR_NO_MEMORY, try(f, &f->cfg, &f->host.hal));
}

/* The largest VMID that is fine, and what one more gets. */
static void vmids_are_bounded(void **state)
{
	FIXTURE(f);

	f->cfg.vmid = f->cfg.format == AXAS_FORMAT_ARM_S2 ? 255 : 16383;
	assert_status(AXAS_OK, try(f, &f->cfg, &f->host.hal));
	f->cfg.vmid++;
	if (f->cfg.format == AXAS_FORMAT_RISCV_GSTAGE)
		assert_status(AXAS_ERR_INVALID_INPUT, try(f, &f->cfg, &f->host.hal));
	if (f->cfg.format != AXAS_FORMAT_ARM_S2)
		return;
	assert_status(AXAS_ERR_UNSUPPORTED, try(f, &f->cfg, &f->host.hal));
	f->cfg.features |= AXAS_FEATURE_ARM_VMID16;
	f->cfg.vmid = 65535;
	assert_status(AXAS_OK, try(f, &f->cfg, &f->host.hal));
	f->cfg.vmid++;
	assert_status(AXAS_ERR_INVALID_INPUT, try(f, &f->cfg, &f->host.hal));
}

static void contains_range_knows_both_ends(void **state)
{
	FIXTURE(f);
	const axas_gpa_t base = GIB, end = 3 * GIB;

	f->cfg.base = base;
	f->cfg.size = end - base;
	fixture_create(f);
	assert_int_not_equal(axas_contains_range(f->as, base, end - base), 0);
	assert_int_not_equal(axas_contains_range(f->as, base, 1), 0);
	assert_int_not_equal(axas_contains_range(f->as, end - PAGE, PAGE), 0);
	assert_int_not_equal(axas_contains_range(f->as, end - 1, 1), 0);
	assert_int_not_equal(axas_contains_range(f->as, end, 0), 0);
	assert_int_equal(axas_contains_range(f->as, base - 1, 1), 0);
	assert_int_equal(axas_contains_range(f->as, base - PAGE, 2 * PAGE), 0);
	assert_int_equal(axas_contains_range(f->as, end - PAGE, PAGE + 1), 0);
	assert_int_equal(axas_contains_range(f->as, end, 1), 0);
	assert_int_equal(axas_contains_range(f->as, end + 1, 0), 0);
	assert_int_equal(axas_contains_range(f->as, base - PAGE, end - base + 2 * PAGE), 0);
	assert_int_equal(axas_contains_range(f->as, 0 - PAGE, 2 * GIB), 0);
	assert_int_equal(axas_contains_range(f->as, base, ~0ull), 0);
}

static void two_spaces_share_a_host_and_nothing_else(void **state)
{
	FIXTURE(f);
	axas_hpa_t hpa;
	axas_t *other;

	f->cfg.vmid = 6;
	assert_ok(axas_create(&f->cfg, &f->host.hal, &other));
	assert_int_not_equal(axas_root(f->as), axas_root(other));
	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, PAGE, RW));
	assert_status(AXAS_ERR_NOT_MAPPED, axas_translate(other, GIB, &hpa, NULL));
	assert_ok(axas_map_linear(other, GIB, LINEAR_HPA + PAGE, PAGE, RW));
	axas_destroy(other);
	assert_ok(axas_translate(f->as, GIB, &hpa, NULL));
	assert_int_equal(hpa, LINEAR_HPA);
}

static void the_vmid_in_requests_follows_set_vmid(void **state)
{
	FIXTURE(f);

	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, 2 * PAGE, RW));
	assert_ok(axas_unmap(f->as, GIB, PAGE));
	assert_int_equal(host_last_flush(&f->host)->vmid, 5);
	assert_ok(axas_set_vmid(f->as, 77));
	assert_ok(axas_unmap(f->as, GIB + PAGE, PAGE));
	assert_int_equal(host_last_flush(&f->host)->vmid, 77);
	if (f->cfg.format == AXAS_FORMAT_RISCV_GSTAGE)
		assert_status(AXAS_ERR_INVALID_INPUT, axas_set_vmid(f->as, 16384));
	if (f->cfg.format == AXAS_FORMAT_ARM_S2)
		assert_status(AXAS_ERR_UNSUPPORTED, axas_set_vmid(f->as, 256));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT_NO_SPACE(a_space_is_what_was_asked_for),
		EACH_FORMAT_NO_SPACE(null_pointers_are_invalid),
		cmocka_unit_test(a_null_space_gets_an_answer_everywhere),
		EACH_FORMAT(a_null_result_pointer_is_invalid),
		EACH_FORMAT_NO_SPACE(unknown_bits_and_values_are_invalid),
		EACH_FORMAT_NO_SPACE(features_of_another_format_are_invalid),
		EACH_FORMAT_NO_SPACE(a_short_config_is_invalid),
		ONE(the_native_format_is_unsupported_on_a_hosted_build, setup_host, ept),
		EACH_FORMAT_NO_SPACE(base_and_size_are_checked),
		EACH_FORMAT_NO_SPACE(each_number_of_levels_has_its_width),
		EACH_FORMAT_NO_SPACE(the_smallest_number_of_levels_is_the_default),
		EACH_FORMAT_NO_SPACE(widths_that_cannot_be_are_refused),
		EACH_FORMAT_NO_SPACE(pa_bits_are_rounded_down_on_arm_and_kept_elsewhere),
		EACH_FORMAT_NO_SPACE(features_without_a_use_are_unsupported),
		EACH_FORMAT_NO_SPACE(every_known_hal_flag_is_accepted),
		EACH_FORMAT_NO_SPACE(each_required_callback_is_required),
		EACH_FORMAT_NO_SPACE(a_short_hal_is_invalid_where_a_required_member_is_cut_off),
		EACH_FORMAT_NO_SPACE(a_longer_hal_is_accepted_if_the_rest_is_zero),
		EACH_FORMAT_NO_SPACE(npt_has_no_builtin_flush),
		EACH_FORMAT_NO_SPACE(local_requests_are_the_librarys_where_the_host_says_so),
		EACH_FORMAT_NO_SPACE(builtin_local_requests_need_a_host_for_the_others),
		EACH_FORMAT_NO_SPACE(a_root_is_asked_for_as_one),
		EACH_FORMAT_NO_SPACE(a_root_is_cleaned_as_a_table),
		EACH_FORMAT_NO_SPACE(a_host_of_windows_needs_storage_of_its_own),
		EACH_FORMAT_NO_SPACE(storage_is_checked),
		EACH_FORMAT_NO_SPACE(a_host_without_memory_keeps_all_of_it),
		EACH_FORMAT_NO_SPACE(nonsense_from_alloc_frame_is_given_back),
		EACH_FORMAT_NO_SPACE(a_quota_below_the_root_is_no_memory),
		EACH_FORMAT_NO_SPACE(vmids_are_bounded),
		EACH_FORMAT_NO_SPACE(contains_range_knows_both_ends),
		EACH_FORMAT(two_spaces_share_a_host_and_nothing_else),
		EACH_FORMAT(the_vmid_in_requests_follows_set_vmid),
	};

	return cmocka_run_group_tests_name("create", tests, NULL, NULL);
}
