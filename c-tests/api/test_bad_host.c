/* Hosts that cannot reach their own frames, and tables that somebody else wrote into. */
#include "fixture.h"

/* Somewhere the host has no memory, below every width. */
#define NOWHERE 0x700000000ull

static int setup_callback_host(void **state)
{
	struct fixture *f;

	setup_host(state);
	f = *state;
	host_exit(&f->host);
	host_init(&f->host, HOST_CALLBACK, HOST_PA_BASE);
	return 0;
}

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
			assert_true(m.state <= AXAS_STATE_OWNED && m.size > 0);
		status = axas_translate(f->as, GIB, &hpa, NULL);
		assert_true(status == AXAS_OK || status == AXAS_ERR_BAD_STATE ||
			    status == AXAS_ERR_NOT_MAPPED);
		/* no access is allowed to install a frame under a word like this */
		f->host.fail_purpose = AXAS_FRAME_GUEST;
		r = axas_handle_page_fault(f->as, GIB, AXAS_WRITE);
		assert_true(r >= AXAS_FAULT_SPURIOUS && r <= AXAS_FAULT_ERROR);
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
		EACH_FORMAT_CALLBACK(a_table_that_leads_nowhere_is_a_bad_state),
		EACH_FORMAT_CALLBACK(random_words_in_an_entry_get_an_answer),
	};

	return cmocka_run_group_tests_name("bad_host", tests, NULL, NULL);
}
