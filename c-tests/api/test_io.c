/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * AXAS_IO: an IOMMU walks the root too. What is refused, flushed and cleaned for it. (What devices see in the
 * middle of calls: lost/test_io.c.)
 */
#include "fixture.h"

#define AT          (4 * GIB)
#define COHERENT    ((uint32_t)AXAS_FEATURE_IO_COHERENT)
#define IS_NPT(f)   ((f)->fc->format == AXAS_FORMAT_NPT)
#define IS_ARM(f)   ((f)->fc->format == AXAS_FORMAT_ARM_S2)
#define IS_RISCV(f) ((f)->fc->format == AXAS_FORMAT_RISCV_GSTAGE)

/* A space that devices share. */
static void create_io(struct fixture *f, uint32_t features)
{
	f->host.has_devices = 1;
	f->cfg.options |= AXAS_IO;
	f->cfg.features = f->fc->features | features;
	fixture_create(f);
}

static void again(struct fixture *f, uint32_t features)
{
	fixture_destroy(f);
	create_io(f, features);
	host_forget_log(&f->host);
	memset(f->host.cleans, 0, sizeof(f->host.cleans));
}

static axas_status_t try(const struct fixture *f, const axas_hal_t *hal)
{
	axas_t *as;
	const axas_status_t status = axas_create(&f->cfg, hal, &as);

	if (status == AXAS_OK)
		axas_destroy(as);
	assert_int_equal(f->host.tables_out, 0);
	return status;
}

static void archives_say_whether_they_have_it(void **state)
{
	(void)state;
	assert_int_equal(axas_parts() & AXAS_PART_IO, AXAS_PART_IO);
}

static void its_features_mean_something_with_it_only(void **state)
{
	const uint32_t features[] = { AXAS_FEATURE_IO_CACHES_INVALID, AXAS_FEATURE_IO_COHERENT,
				      AXAS_FEATURE_IO_FAULTS, AXAS_FEATURE_IO_DIRTY };
	FIXTURE(f);
	axas_hw_regs_t regs;
	uint64_t frames;

	for (int i = 0; i < 4; i++) {
		f->cfg.options = 0;
		f->cfg.features = features[i];
		assert_status(AXAS_ERR_INVALID_INPUT, try(f, &f->host.hal));
		assert_status(AXAS_ERR_INVALID_INPUT, axas_config_regs(&f->cfg, &regs));
		f->cfg.options = AXAS_IO;
		assert_status(IS_NPT(f) ? AXAS_ERR_UNSUPPORTED : AXAS_OK, try(f, &f->host.hal));
		assert_status(IS_NPT(f) ? AXAS_ERR_UNSUPPORTED : AXAS_OK,
			      axas_config_regs(&f->cfg, &regs));
		assert_status(IS_NPT(f) ? AXAS_ERR_UNSUPPORTED : AXAS_OK,
			      axas_tables_needed(&f->cfg, 0, PAGE, RW, &frames));
		/* foreign bits stay so */
		f->cfg.features |= IS_ARM(f) ? AXAS_FEATURE_RISCV_SVADU : AXAS_FEATURE_ARM_BBM2;
		assert_status(AXAS_ERR_INVALID_INPUT, try(f, &f->host.hal));
		f->cfg.features = 0x40000;
		assert_status(AXAS_ERR_INVALID_INPUT, try(f, &f->host.hal));
	}
}

/* Refused before the first frame is taken. */
static void who_cannot_flush_or_clean_has_no_devices(void **state)
{
	FIXTURE(f);
	axas_hal_t hal = f->host.hal;

	f->cfg.options = AXAS_IO;
	hal.flags |= AXAS_HAL_BUILTIN_FLUSH;
	assert_status(AXAS_ERR_UNSUPPORTED, try(f, &hal));
	f->cfg.features = COHERENT;
	assert_status(AXAS_ERR_UNSUPPORTED, try(f, &hal));
	hal = f->host.hal;
	hal.clean_range = NULL;
	f->cfg.features = 0;
	assert_status(AXAS_ERR_UNSUPPORTED, try(f, &hal));
	assert_int_equal(f->host.allocations, 0);
	if (IS_NPT(f)) {
		assert_status(AXAS_ERR_UNSUPPORTED, try(f, &f->host.hal));
		assert_int_equal(f->host.allocations, 0);
		return;
	}
	f->cfg.features = COHERENT;
	assert_ok(try(f, &hal));
	hal = f->host.hal;
	hal.flags |= AXAS_HAL_BUILTIN_LOCAL;
	f->cfg.features = 0;
	assert_ok(try(f, &hal));
}

static void the_registers_of_the_cpu_are_as_without_it(void **state)
{
	FIXTURE(f);
	axas_hw_regs_t with, without;

	assert_ok(axas_config_regs(&f->cfg, &without));
	f->cfg.options = AXAS_IO;
	assert_ok(axas_config_regs(&f->cfg, &with));
	assert_memory_equal(&with, &without, sizeof(with));
	f->cfg.options = AXAS_IO | AXAS_NONCOHERENT_WALK;
	assert_ok(axas_config_regs(&f->cfg, &with));
	f->cfg.options = AXAS_NONCOHERENT_WALK;
	assert_ok(axas_config_regs(&f->cfg, &without));
	assert_memory_equal(&with, &without, sizeof(with));
}

static void what_comes_with_faults_is_refused(void **state)
{
	static const axas_status_t no = AXAS_ERR_UNSUPPORTED;
	FIXTURE(f);
	uint64_t done;

	for (int i = 0; i < 2; i++) {
		if (i == 0)
			create_io(f, 0);
		else
			again(f, AXAS_FEATURE_IO_FAULTS);
		assert_status(no, axas_map_alloc(f->as, AT, GIB, RW));
		assert_status(no, axas_map_alloc(f->as, AT, GIB, RW | AXAS_HUGE_FRAMES));
		assert_status(no, axas_map_alloc(f->as, AT, GIB, RW | AXAS_REPLACE));
		assert_status(no, axas_map_alloc_some(f->as, AT, GIB, RW, 5, &done));
		assert_int_equal(done, 0);
		/* what is no value at all comes first, what is wrong with the range later */
		assert_status(AXAS_ERR_INVALID_INPUT,
			      axas_map_alloc(f->as, AT, GIB, RW | AXAS_NEED_LAZY));
		assert_status(no, axas_map_alloc(f->as, AT + 1, GIB, RW));
		assert_int_equal(space_sweep(f->as).table_frames, root_frames(f));
		assert_ok(
			axas_map_alloc(f->as, SPACE_SIZE - 3 * PAGE, 3 * PAGE, RW | AXAS_POPULATE));
		assert_ok(axas_map_alloc_some(f->as, AT, 3 * PAGE, RW | AXAS_POPULATE, 9, &done));
		expect_state(f, SPACE_SIZE - PAGE, AXAS_STATE_OWNED);
	}
}

static void replacements_need_devices_that_may_fault(void **state)
{
	static const axas_status_t no = AXAS_ERR_UNSUPPORTED;
	FIXTURE(f);
	axas_t *as;

	for (uint32_t coherent = 0; coherent < 2; coherent++) {
		const axas_flags_t owned = RW | AXAS_POPULATE | AXAS_REPLACE;

		create_io(f, coherent * COHERENT);
		as = f->as;
		assert_ok(axas_map_linear(as, AT, LINEAR_HPA + PAGE, 8 * PAGE, RW));
		assert_status(no, axas_map_linear(as, AT, LINEAR_HPA, PAGE, RW | AXAS_REPLACE));
		assert_status(no, axas_map_linear(as, AT, LINEAR_HPA, 3 * PAGE, RW | AXAS_REPLACE));
		/* the same frame: the short way */
		assert_status(no, axas_map_linear(as, AT, LINEAR_HPA + PAGE, PAGE,
						  AXAS_READ | AXAS_REPLACE));
		/* a hole too, and an address that is wrong besides */
		assert_status(no, axas_map_linear(as, GIB, LINEAR_HPA, PAGE, RW | AXAS_REPLACE));
		assert_status(no, axas_map_linear(as, GIB, 1, PAGE, RW | AXAS_REPLACE));
		assert_status(no, axas_map_alloc(as, AT, PAGE, owned));
		assert_status(no, axas_map_trap_flags(as, AT, PAGE, 7, AXAS_REPLACE));
		assert_ok(axas_map_trap_flags(as, GIB, PAGE, 7, 0));
		expect_leaf(f, AT, PAGE, LINEAR_HPA + PAGE, RW);

		again(f, coherent * COHERENT | AXAS_FEATURE_IO_FAULTS);
		as = f->as;
		assert_ok(axas_map_linear(as, AT, LINEAR_HPA + PAGE, 8 * PAGE, RW));
		assert_ok(axas_map_linear(as, AT, LINEAR_HPA, PAGE, RW | AXAS_REPLACE));
		expect_leaf(f, AT, PAGE, LINEAR_HPA, RW);
		assert_ok(axas_map_alloc(as, AT + PAGE, PAGE, owned));
		assert_ok(axas_map_trap_flags(as, AT + 2 * PAGE, PAGE, 7, AXAS_REPLACE));
		if (coherent == 0)
			fixture_destroy(f);
	}
}

/* A page of 2 MiB, owned, at AT; one of 1 GiB, linear, at AT + GIB. */
static void map_large(struct fixture *f)
{
	assert_ok(axas_map_alloc(f->as, AT, 2 * MIB, RW | AXAS_POPULATE | AXAS_HUGE_FRAMES));
	assert_ok(axas_map_linear(f->as, AT + GIB, LINEAR_HPA, GIB, RW));
	assert_int_equal(at(f, AT).size, 2 * MIB);
	assert_int_equal(at(f, AT + GIB).size, GIB);
}

static void cuts(struct fixture *f, axas_status_t expected)
{
	uint64_t done;

	map_large(f);
	assert_status(expected, axas_discard(f->as, AT + 2 * MIB - PAGE, PAGE));
	assert_status(expected, axas_protect(f->as, AT + GIB + 4 * MIB, PAGE, AXAS_READ));
	assert_status(expected, axas_protect(f->as, AT + GIB, 2 * MIB, AXAS_READ));
	assert_status(expected, axas_unmap(f->as, AT + PAGE, GIB));
	assert_status(expected, axas_unmap(f->as, AT - PAGE, PAGE + MIB));
	/* in slices what lies before the page that would be cut is done */
	assert_ok(axas_clear(f->as));
	map_large(f);
	assert_ok(axas_map_linear(f->as, AT - 2 * PAGE, LINEAR_HPA, 2 * PAGE, RW));
	assert_status(AXAS_ERR_AGAIN, axas_unmap_some(f->as, AT - 2 * PAGE, 5 * PAGE, 2, &done));
	assert_int_equal(done, 2 * PAGE);
	assert_status(expected, axas_unmap_some(f->as, AT, 3 * PAGE, 2, &done));
	assert_int_equal(done, expected == AXAS_OK ? 3 * PAGE : 0);
	if (expected != AXAS_OK)
		assert_int_equal(at(f, AT).size, 2 * MIB);
}

static void cuts_of_live_pages_need_a_format_that_needs_no_break(void **state)
{
	FIXTURE(f);

	create_io(f, 0);
	cuts(f, IS_ARM(f) ? AXAS_ERR_UNSUPPORTED : AXAS_OK);
	again(f, AXAS_FEATURE_IO_FAULTS);
	cuts(f, AXAS_OK);
	if (!IS_ARM(f))
		return;
	again(f, AXAS_FEATURE_ARM_BBM2);
	cuts(f, AXAS_OK);
}

static void what_cuts_no_live_page_is_allowed(void **state)
{
	FIXTURE(f);

	create_io(f, 0);
	map_large(f);
	/* whole pages, and pieces that do not change */
	assert_ok(axas_protect(f->as, AT + GIB, GIB, AXAS_READ));
	assert_ok(axas_protect(f->as, AT + GIB + PAGE, PAGE, AXAS_READ));
	assert_int_equal(at(f, AT + GIB).size, GIB);
	assert_ok(axas_discard(f->as, AT + GIB, PAGE));
	assert_ok(axas_discard(f->as, AT, 2 * MIB));
	/* a reservation, and a trap */
	assert_ok(axas_unmap(f->as, AT + PAGE, PAGE));
	expect_state(f, AT, AXAS_STATE_RESERVED);
	assert_ok(axas_map_trap(f->as, 8 * GIB, GIB, 9));
	assert_ok(axas_unmap(f->as, 8 * GIB + MIB, PAGE));
	expect_state(f, 8 * GIB, AXAS_STATE_TRAP);
	assert_ok(axas_unmap(f->as, AT, 2 * GIB));
	assert_ok(axas_clear(f->as));
}

/* Requests with this reason since the log was forgotten, and their scope. */
static uint32_t requests(const struct fixture *f, uint32_t reason, uint32_t scope)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < f->host.flushes; i++) {
		if (f->host.tlb[i].reason != reason)
			continue;
		assert_int_equal(f->host.tlb[i].scope, scope);
		count++;
	}
	return count;
}

static void permissions_that_come_are_told_to_all(void **state)
{
	FIXTURE(f);

	create_io(f, COHERENT);
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 2 * PAGE, AXAS_READ));
	host_forget_log(&f->host);
	assert_ok(axas_protect(f->as, AT, PAGE, RW));
	assert_int_equal(requests(f, AXAS_FLUSH_RELAX, AXAS_SCOPE_ALL), 1);
	assert_int_equal(f->host.tlb[0].gpa, AT);
	assert_int_equal(f->host.tlb[0].size, PAGE);
	assert_ok(axas_protect(f->as, AT, PAGE, RW));
	assert_int_equal(f->host.flushes, 1);
}

static void pages_that_come_are_told_to_all_who_may_miss_them(void **state)
{
	FIXTURE(f);
	const int riscv = f->fc->format == AXAS_FORMAT_RISCV_GSTAGE;
	const uint32_t kinds[] = { 0, AXAS_FEATURE_IO_CACHES_INVALID };

	create_io(f, 0);
	for (uint32_t i = 0; i < 4; i++) {
		const uint32_t all = i % 2;
		const uint32_t scope = all ? AXAS_SCOPE_ALL : AXAS_SCOPE_LOCAL;
		const uint32_t each = all || riscv ? 1 : 0;

		again(f, kinds[all] | (i < 2 ? 0 : COHERENT));
		assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, PAGE, RW));
		assert_int_equal(requests(f, AXAS_FLUSH_NEW, scope), each);
		assert_ok(axas_map_linear(f->as, AT + PAGE, LINEAR_HPA, PAGE, RW));
		assert_ok(axas_map_linear(f->as, AT + MIB, LINEAR_HPA, 9 * PAGE, RW));
		assert_int_equal(requests(f, AXAS_FLUSH_NEW, scope), 3 * each);
		assert_ok(axas_map_alloc(f->as, AT + GIB, 9 * PAGE, RW | AXAS_POPULATE));
		assert_int_equal(requests(f, AXAS_FLUSH_NEW, scope), 4 * each);
		assert_ok(axas_map_trap(f->as, AT + 2 * GIB, PAGE, 1));
		assert_int_equal(requests(f, AXAS_FLUSH_NEW, scope), 4 * each);
	}
}

/* A fault tells this CPU alone; devices hear of its page by a populate. */
static void faults_stay_local(void **state)
{
	FIXTURE(f);
	const uint32_t local = f->fc->format == AXAS_FORMAT_RISCV_GSTAGE ? 1 : 0;

	for (uint32_t i = 0; i < 4; i++) {
		create_io(f, AXAS_FEATURE_IO_CACHES_INVALID | (i % 2 ? COHERENT : 0));
		f->host.poison_guest = 1;
		assert_ok(axas_map_alloc(f->as, AT, 2 * PAGE, RW | AXAS_POPULATE));
		assert_ok(axas_discard(f->as, AT, 2 * PAGE));
		host_forget_log(&f->host);
		assert_int_equal(axas_handle_page_fault(f->as, AT, AXAS_WRITE),
				 AXAS_FAULT_RESOLVED);
		assert_int_equal(requests(f, AXAS_FLUSH_NEW, AXAS_SCOPE_LOCAL), local);
		assert_int_equal(f->host.flushes, local);
		host_forget_log(&f->host);
		assert_ok(axas_populate(f->as, AT, 2 * PAGE));
		assert_int_equal(requests(f, AXAS_FLUSH_NEW, AXAS_SCOPE_ALL), 1);
		fixture_destroy(f);
		/* without zeroing the short way */
		f->cfg.options = i == 1 ? AXAS_NO_ZERO : 0;
	}
	f->cfg.features = 0;
	fixture_create(f);
}

static void every_entry_is_cleaned_for_walkers_that_do_not_snoop(void **state)
{
	FIXTURE(f);
	const uint32_t bbm = IS_ARM(f) ? AXAS_FEATURE_ARM_BBM2 : 0;

	host_stop_snooping(&f->host);
	f->host.watch_links = 1;
	f->cfg.options = AXAS_KEEP_TABLES;
	create_io(f, bbm);
	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, GIB + 3 * PAGE, RW));
	assert_ok(axas_map_linear(f->as, 3 * GIB, LINEAR_HPA, PAGE, RW));
	assert_ok(axas_map_linear(f->as, 3 * GIB + PAGE, LINEAR_HPA, PAGE, RW));
	expect_leaf(f, 3 * GIB + PAGE, PAGE, LINEAR_HPA, RW);
	assert_ok(axas_map_alloc(f->as, AT, 3 * PAGE, RW | AXAS_POPULATE));
	expect_state(f, AT, AXAS_STATE_OWNED);
	assert_ok(axas_discard(f->as, AT, 3 * PAGE));
	expect_state(f, AT, AXAS_STATE_RESERVED);
	assert_int_equal(axas_handle_page_fault(f->as, AT, AXAS_READ), AXAS_FAULT_RESOLVED);
	expect_state(f, AT, AXAS_STATE_OWNED);
	assert_ok(axas_unmap(f->as, GIB + MIB, PAGE));
	expect_state(f, GIB + MIB, AXAS_STATE_ABSENT);
	assert_ok(axas_protect(f->as, 2 * GIB, PAGE, AXAS_READ));
	expect_leaf(f, 2 * GIB, PAGE, LINEAR_HPA + GIB, AXAS_READ);
	assert_ok(axas_unmap(f->as, 3 * GIB, PAGE));
	expect_state(f, 3 * GIB, AXAS_STATE_ABSENT);
	at(f, GIB);
	at(f, 2 * GIB + 3 * PAGE);
	space_sweep(f->as);
}

/* A device that looks past the caches must not find what the frame held before. */
static void guest_frames_are_cleaned_when_they_were_zeroed(void **state)
{
	FIXTURE(f);
	const axas_flags_t flags = RW | AXAS_POPULATE;
	uint8_t byte = 1;
	size_t done;

	create_io(f, 0);
	assert_ok(axas_map_alloc(f->as, AT, 3 * PAGE, flags));
	assert_int_equal(f->host.cleans[AXAS_FRAME_GUEST], 3);
	assert_ok(axas_discard(f->as, AT, 2 * PAGE));
	assert_int_equal(axas_handle_page_fault(f->as, AT, AXAS_READ), AXAS_FAULT_RESOLVED);
	assert_int_equal(f->host.cleans[AXAS_FRAME_GUEST], 4);
	assert_ok(axas_write(f->as, AT + PAGE, &byte, 1, 0, &done));
	assert_int_equal(f->host.cleans[AXAS_FRAME_GUEST], 5);

	again(f, COHERENT);
	assert_ok(axas_map_alloc(f->as, AT, 3 * PAGE, flags));
	assert_int_equal(f->host.cleans[AXAS_FRAME_GUEST], IS_ARM(f) ? 3 : 0);
	assert_int_equal(f->host.cleans[AXAS_FRAME_TABLE], 0);
}

/* The SMMU has bits 63:60 of Arm's leaves, VT-d bit 62 of EPT's. */
static void tags_have_the_bits_that_devices_ignore_too(void **state)
{
	FIXTURE(f);

	create_io(f, IS_RISCV(f) ? AXAS_FEATURE_RISCV_SVRSW60T59B : 0);
	for (uint32_t tag = 0; tag < 16; tag++) {
		const uint32_t bits = IS_ARM(f) ? 1 : IS_RISCV(f) ? 2 : 3;
		const axas_status_t want = tag >> bits ? AXAS_ERR_UNSUPPORTED : AXAS_OK;

		assert_int_equal(axas_tag_bits(f->as), bits);
		assert_status(want, axas_map_linear(f->as, AT, LINEAR_HPA, PAGE,
						    RW | tag << AXAS_TAG_SHIFT));
		assert_ok(axas_unmap(f->as, AT, PAGE));
		assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, PAGE, RW));
		assert_status(want, axas_retag(f->as, AT, PAGE, tag));
		assert_ok(axas_unmap(f->as, AT, PAGE));
	}
}

static void writes_of_devices_would_be_missed_in_a_log(void **state)
{
	FIXTURE(f);

	create_io(f, 0);
	assert_status(AXAS_ERR_UNSUPPORTED, axas_dirty_start(f->as, AT, PAGE, 0));
	assert_status(AXAS_ERR_UNSUPPORTED, axas_dirty_start(f->as, AT, PAGE, AXAS_DIRTY_ALL));
	assert_status(AXAS_ERR_UNSUPPORTED, axas_dirty_start(f->as, AT, PAGE, AXAS_DIRTY_HARDWARE));
}

static void pages_are_hidden_but_do_not_show_themselves(void **state)
{
	FIXTURE(f);
	uint64_t done;

	create_io(f, 0);
	assert_ok(axas_map_linear(f->as, AT, LINEAR_HPA, 2 * PAGE, RW));
	assert_status(AXAS_ERR_UNSUPPORTED, axas_hide(f->as, AT, PAGE, AXAS_HIDE_AUTO));
	assert_status(AXAS_ERR_UNSUPPORTED,
		      axas_hide_some(f->as, AT, PAGE, AXAS_HIDE_AUTO, 9, &done));
	assert_ok(axas_hide(f->as, AT, PAGE, 0));
	assert_int_equal(axas_handle_page_fault(f->as, AT, AXAS_READ), AXAS_FAULT_HIDDEN);
	assert_ok(axas_show(f->as, AT, PAGE));
	assert_status(AXAS_ERR_UNSUPPORTED, axas_map_note(f->as, AT, PAGE, 1, AXAS_REPLACE));
	assert_ok(axas_map_note(f->as, AT + 2 * PAGE, PAGE, 1, 0));
}

#define EACH_SHARED(test) \
	ONE(test, setup_host, ept), ONE(test, setup_host, arm), ONE(test, setup_host, riscv)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(archives_say_whether_they_have_it),
		EACH_FORMAT_NO_SPACE(its_features_mean_something_with_it_only),
		EACH_FORMAT_NO_SPACE(who_cannot_flush_or_clean_has_no_devices),
		EACH_SHARED(the_registers_of_the_cpu_are_as_without_it),
		EACH_SHARED(what_comes_with_faults_is_refused),
		EACH_SHARED(replacements_need_devices_that_may_fault),
		EACH_SHARED(cuts_of_live_pages_need_a_format_that_needs_no_break),
		EACH_SHARED(what_cuts_no_live_page_is_allowed),
		EACH_SHARED(permissions_that_come_are_told_to_all),
		EACH_SHARED(pages_that_come_are_told_to_all_who_may_miss_them),
		EACH_SHARED(faults_stay_local),
		EACH_SHARED(every_entry_is_cleaned_for_walkers_that_do_not_snoop),
		EACH_SHARED(guest_frames_are_cleaned_when_they_were_zeroed),
		EACH_SHARED(tags_have_the_bits_that_devices_ignore_too),
		EACH_SHARED(writes_of_devices_would_be_missed_in_a_log),
		EACH_SHARED(pages_are_hidden_but_do_not_show_themselves),
	};

	return cmocka_run_group_tests_name("io", tests, NULL, NULL);
}
