/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Hosts that cannot reach their own frames, and tables that somebody else wrote into. */
#include "fixture.h"

/* Somewhere the host has no memory, below every width. */
#define NOWHERE 0x700000000ull

static void a_host_that_cannot_reach_a_frame_gets_it_back(void **state)
{
	FIXTURE(f);
	axas_t *as;

	f->host.blind = 1;
	assert_status(AXAS_ERR_BAD_STATE, axas_create(&f->cfg, &f->host.hal, &as));
	assert_null(as);
	host_check_balance(&f->host);
	f->host.blind = 0;
	f->host.askew = 1;
	assert_status(AXAS_ERR_BAD_STATE, axas_create(&f->cfg, &f->host.hal, &as));
	host_check_balance(&f->host);
	f->host.askew = 0;
	fixture_create(f);
}

static void a_host_gone_blind_is_a_bad_state_and_nothing_changes(void **state)
{
	FIXTURE(f);
	axas_mapping_t m;
	axas_hpa_t hpa;
	uint64_t cookie;

	fixture_create(f);
	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, PAGE, RW));
	assert_ok(axas_map_alloc(f->as, 2 * GIB, GIB, RW));
	f->host.blind = 1;
	assert_status(AXAS_ERR_BAD_STATE, axas_query(f->as, GIB, &m));
	assert_status(AXAS_ERR_BAD_STATE, axas_translate(f->as, GIB, &hpa, NULL));
	assert_status(AXAS_ERR_BAD_STATE, axas_trap_cookie(f->as, GIB, &cookie));
	assert_status(AXAS_ERR_BAD_STATE, axas_map_linear(f->as, 9 * GIB, LINEAR_HPA, PAGE, RW));
	assert_status(AXAS_ERR_BAD_STATE, axas_map_alloc(f->as, 9 * GIB, PAGE, RW));
	assert_status(AXAS_ERR_BAD_STATE, axas_map_alloc(f->as, 9 * GIB, PAGE, RW | AXAS_POPULATE));
	assert_status(AXAS_ERR_BAD_STATE, axas_map_trap(f->as, 9 * GIB, PAGE, 1));
	assert_status(AXAS_ERR_BAD_STATE, axas_unmap(f->as, GIB, PAGE));
	assert_status(AXAS_ERR_BAD_STATE, axas_protect(f->as, GIB, PAGE, AXAS_READ));
	assert_int_equal(axas_handle_page_fault(f->as, 2 * GIB, AXAS_READ), AXAS_FAULT_ERROR);
	f->host.blind = 0;
	expect_leaf(f, GIB, PAGE, LINEAR_HPA, RW);
	space_sweep(f->as);
}

static axas_status_t map_many(axas_t *as)
{
	return axas_map_linear(as, 3 * GIB - 2 * PAGE, LINEAR_HPA + PAGE, 2 * MIB + 5 * PAGE, RW);
}

/* Into a table that is there: beside a page at GIB. */
static axas_status_t map_scattered(axas_t *as)
{
	const axas_extent_t extents[] = {
		{ LINEAR_HPA + 9 * PAGE, PAGE },
		{ LINEAR_HPA + 7 * PAGE, 2 * PAGE },
		{ LINEAR_HPA + 3 * PAGE, PAGE },
	};

	return axas_map_extents(as, GIB + PAGE, extents, 3, RW);
}

static axas_status_t map_scattered_afar(axas_t *as)
{
	const axas_extent_t extents[] = {
		{ LINEAR_HPA + 9 * PAGE, 2 * MIB },
		{ LINEAR_HPA + GIB, 2 * MIB },
		{ LINEAR_HPA + 3 * PAGE, PAGE },
	};

	return axas_map_extents(as, 4 * GIB - 3 * MIB, extents, 3, RW);
}

static axas_status_t reserve(axas_t *as)
{
	return axas_map_alloc(as, 5 * GIB - 3 * PAGE, 2 * GIB, RW);
}

static axas_status_t take_memory(axas_t *as)
{
	return axas_map_alloc(as, 8 * GIB - 3 * PAGE, 6 * PAGE, RW | AXAS_POPULATE);
}

static void expect_as_before(const struct fixture *f, const axas_stats_t *before)
{
	const axas_stats_t now = stats(f);

	assert_ok(axas_audit(f->as));
	assert_int_equal(now.table_frames, before->table_frames);
	assert_int_equal(now.guest_frames, before->guest_frames);
	assert_int_equal(now.mapped_4k, before->mapped_4k);
	assert_int_equal(now.mapped_2m, before->mapped_2m);
	/* and the handle */
	assert_int_equal(f->host.tables_out, before->table_frames + 1);
}

/* One look at a table after the other fails, until the call needs no more of them. */
static void a_host_blind_for_a_moment_leaves_no_map_half_done(void **state)
{
	static axas_status_t (*const maps[])(axas_t *) = {
		map_many, map_scattered, map_scattered_afar, reserve, take_memory,
	};
	FIXTURE(f);

	fixture_create(f);
	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
		uint64_t refused = 0, looks = 0, left;

		do {
			axas_stats_t before;
			axas_status_t status;

			assert_ok(axas_clear(f->as));
			assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, PAGE, RW));
			before = stats(f);
			f->host.blind_at = ++looks;
			status = maps[i](f->as);
			left = f->host.blind_at;
			f->host.blind_at = 0;
			if (status == AXAS_OK)
				continue;
			assert_status(AXAS_ERR_BAD_STATE, status);
			refused++;
			expect_as_before(f, &before);
		} while (left == 0);
		assert_true(refused > 2);
		assert_ok(axas_audit(f->as));
	}
}

/* The same where a cut is prepared: nothing that a walker sees has changed yet. */
static void a_host_blind_for_a_moment_leaves_no_cut_half_made(void **state)
{
	FIXTURE(f);
	axas_stats_t before;

	fixture_create(f);
	assert_ok(axas_map_linear(f->as, 4 * GIB, LINEAR_HPA, 2 * GIB, RW));
	before = stats(f);
	/* Two walks to what is cut, two tables taken: four looks before the first is built. */
	for (uint64_t look = 1; look <= 12; look++) {
		f->host.blind_at = look;
		assert_status(AXAS_ERR_BAD_STATE,
			      axas_unmap(f->as, 5 * GIB + PAGE, 3 * PAGE + 2 * MIB));
		assert_int_equal(f->host.blind_at, 0);
		expect_as_before(f, &before);
	}
}

/* Two pages in two tables, of the four at the end of a GiB and behind it. */
#define TWO_PAGES (5 * GIB - PAGE)

static axas_status_t replace_two_pages(axas_t *as)
{
	return axas_map_linear(as, TWO_PAGES, LINEAR_HPA + 8 * GIB + PAGE, 2 * PAGE,
			       RW | AXAS_REPLACE);
}

static axas_status_t reserve_two_pages(axas_t *as)
{
	return axas_map_alloc(as, TWO_PAGES, 2 * PAGE, RW | AXAS_REPLACE);
}

static axas_status_t trap_two_pages(axas_t *as)
{
	return axas_map_trap_flags(as, TWO_PAGES, 2 * PAGE, 7, AXAS_REPLACE);
}

static uint32_t state_at(const struct fixture *f, axas_gpa_t gpa)
{
	axas_mapping_t m;

	assert_ok(axas_query(f->as, gpa, &m));
	return m.state;
}

/* All of it is replaced, or the range is as it was, or empty; beside it nothing changes. */
static void expect_all_or_nothing(const struct fixture *f, axas_status_t status, uint32_t state)
{
	const uint32_t first = state_at(f, TWO_PAGES), second = state_at(f, TWO_PAGES + PAGE);

	assert_int_equal(first, second);
	if (status == AXAS_OK) {
		assert_int_equal(first, state);
	} else {
		assert_status(AXAS_ERR_BAD_STATE, status);
		assert_true(first == AXAS_STATE_LINEAR || first == AXAS_STATE_ABSENT);
	}
	if (first == AXAS_STATE_LINEAR && status != AXAS_OK)
		expect_leaf(f, TWO_PAGES, PAGE, LINEAR_HPA + PAGE, RW);
	expect_leaf(f, TWO_PAGES - PAGE, PAGE, LINEAR_HPA, RW);
	expect_leaf(f, TWO_PAGES + 2 * PAGE, PAGE, LINEAR_HPA + 3 * PAGE, RW);
}

/* Tables that are out, the handle left aside, are those that hang below the root, and are counted. */
static void expect_no_table_lost(const struct fixture *f)
{
	const struct walker w = space_walker(f->as);
	struct sweep s;

	walker_sweep(&w, &s);
	assert_int_equal(f->host.tables_out - 1, s.table_frames);
	assert_int_equal(stats(f).table_frames, s.table_frames);
	assert_ok(axas_audit(f->as));
}

static void a_host_blind_for_a_moment_replaces_all_or_leaves_the_range_empty(void **state)
{
	static const struct {
		axas_status_t (*call)(axas_t *);
		uint32_t state;
	} calls[] = {
		{ replace_two_pages, AXAS_STATE_LINEAR },
		{ reserve_two_pages, AXAS_STATE_RESERVED },
		{ trap_two_pages, AXAS_STATE_TRAP },
	};
	FIXTURE(f);

	f->host.quick = 1;
	f->host.hal.released = NULL;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		uint64_t looks = 0, refused = 0, left;

		do {
			axas_status_t status;

			fixture_create(f);
			assert_ok(
				axas_map_linear(f->as, TWO_PAGES - PAGE, LINEAR_HPA, 4 * PAGE, RW));
			f->host.blind_at = ++looks;
			status = calls[i].call(f->as);
			left = f->host.blind_at;
			f->host.blind_at = 0;
			expect_all_or_nothing(f, status, calls[i].state);
			expect_no_table_lost(f);
			fixture_destroy(f);
			refused += status != AXAS_OK;
			assert_true(looks < 400);
		} while (left == 0);
		assert_true(refused > 10);
	}
}

/* A map that met its quota gives the tables back that it took. */
static void a_host_blind_for_a_moment_loses_no_table_of_a_map_at_its_quota(void **state)
{
	FIXTURE(f);
	uint64_t looks = 0, left;

	f->host.quick = 1;
	f->cfg.table_quota = (1u << f->fc->root_order) + 6;
	do {
		fixture_create(f);
		assert_ok(axas_map_linear(f->as, 5 * GIB - 2 * PAGE, LINEAR_HPA, 4 * PAGE, RW));
		f->host.blind_at = ++looks;
		assert_true(map_scattered_afar(f->as) != AXAS_OK);
		left = f->host.blind_at;
		f->host.blind_at = 0;
		expect_no_table_lost(f);
		fixture_destroy(f);
		assert_true(looks < 400);
	} while (left == 0);
	assert_true(looks > 4);
}

/* The root's entry for GIB, in the host's memory. */
static uint64_t *root_entry(struct fixture *f)
{
	const struct walker w = space_walker(f->as);
	uint64_t *root = host_at(&f->host, w.root);

	return &root[GIB >> (12 + 9 * (w.levels - 1))];
}

/* A table entry of the format that points where the host has no memory. */
static uint64_t stray_table(const struct fixture *f, uint64_t good)
{
	if (f->cfg.format == AXAS_FORMAT_RISCV_GSTAGE)
		return (good & 0x3ff) | NOWHERE >> 2;
	return (good & 0xfff) | NOWHERE;
}

static void a_table_that_leads_nowhere_is_a_bad_state(void **state)
{
	FIXTURE(f);
	axas_mapping_t m;
	axas_hpa_t hpa;
	uint64_t *entry, good;

	fixture_create(f);
	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, PAGE, RW));
	entry = root_entry(f);
	good = *entry;
	*entry = stray_table(f, good);
	f->host.quick = 1;
	assert_status(AXAS_ERR_BAD_STATE, axas_query(f->as, GIB, &m));
	assert_status(AXAS_ERR_BAD_STATE, axas_translate(f->as, GIB, &hpa, NULL));
	assert_status(AXAS_ERR_BAD_STATE, axas_map_alloc(f->as, GIB + PAGE, PAGE, RW));
	assert_status(AXAS_ERR_BAD_STATE, axas_unmap(f->as, GIB, PAGE));
	assert_status(AXAS_ERR_BAD_STATE, axas_protect(f->as, GIB, PAGE, AXAS_READ));
	assert_int_equal(axas_handle_page_fault(f->as, GIB, AXAS_READ), AXAS_FAULT_ERROR);
	assert_int_equal(*entry, stray_table(f, good));
	*entry = good;
	f->host.quick = 0;
	expect_leaf(f, GIB, PAGE, LINEAR_HPA, RW);
	space_sweep(f->as);
}

/* Whatever word stands in an entry, every call comes back with an answer that it documents. */
static void random_words_in_an_entry_get_an_answer(void **state)
{
	FIXTURE(f);
	uint64_t rng = 88172645463325252ull;
	uint64_t *entry, good;

	fixture_create(f);
	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, PAGE, RW));
	entry = root_entry(f);
	good = *entry;
	f->host.quick = 1;
	for (int i = 0; i < 20000; i++) {
		axas_mapping_t m;
		axas_hpa_t hpa;
		axas_fault_result_t r;
		axas_status_t status;

		rng ^= rng << 13;
		rng ^= rng >> 7;
		rng ^= rng << 17;
		*entry = rng;
		status = axas_query(f->as, GIB, &m);
		assert_true(status == AXAS_OK || status == AXAS_ERR_BAD_STATE);
		if (status == AXAS_OK)
			assert_true(m.state <= AXAS_STATE_PROVIDED && m.size > 0);
		status = axas_translate(f->as, GIB, &hpa, NULL);
		assert_true(status == AXAS_OK || status == AXAS_ERR_BAD_STATE ||
			    status == AXAS_ERR_NOT_MAPPED);
		/* no access is allowed to install a frame under a word like this */
		f->host.fail_purpose = AXAS_FRAME_GUEST;
		r = axas_handle_page_fault(f->as, GIB, AXAS_WRITE);
		/* but a hidden page may be shown */
		assert_true(r >= AXAS_FAULT_SPURIOUS ? r <= AXAS_FAULT_HIDDEN :
						       m.state == AXAS_STATE_HIDDEN);
		f->host.fail_purpose = 0;
	}
	*entry = good;
	f->host.quick = 0;
	expect_leaf(f, GIB, PAGE, LINEAR_HPA, RW);
}

#define EACH_FORMAT_CALLBACK(test)                                                \
	ONE(test, setup_callback_host, ept), ONE(test, setup_callback_host, npt), \
		ONE(test, setup_callback_host, arm), ONE(test, setup_callback_host, riscv)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT_CALLBACK(a_host_that_cannot_reach_a_frame_gets_it_back),
		EACH_FORMAT_CALLBACK(a_host_gone_blind_is_a_bad_state_and_nothing_changes),
		EACH_FORMAT_CALLBACK(a_host_blind_for_a_moment_leaves_no_map_half_done),
		EACH_FORMAT_CALLBACK(a_host_blind_for_a_moment_leaves_no_cut_half_made),
		EACH_FORMAT_CALLBACK(
			a_host_blind_for_a_moment_replaces_all_or_leaves_the_range_empty),
		EACH_FORMAT_CALLBACK(
			a_host_blind_for_a_moment_loses_no_table_of_a_map_at_its_quota),
		EACH_FORMAT_CALLBACK(a_table_that_leads_nowhere_is_a_bad_state),
		EACH_FORMAT_CALLBACK(random_words_in_an_entry_get_an_answer),
	};

	return cmocka_run_group_tests_name("bad_host", tests, NULL, NULL);
}
