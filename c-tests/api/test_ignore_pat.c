/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* AXAS_IGNORE_GUEST_PAT: bit 6 of the leaves of write-back memory on EPT, whatever becomes of them. */
#include "fixture.h"

#define BASE GIB
#define IPAT (1ull << 6)

static int is_set(const struct fixture *f, axas_gpa_t gpa)
{
	const struct walk r = space_walk(f->as, gpa);

	assert_int_equal(r.outcome, WALK_LEAF);
	return (r.entry & IPAT) != 0;
}

static void create(struct fixture *f)
{
	f->cfg.options |= AXAS_IGNORE_GUEST_PAT;
	fixture_create(f);
}

static void only_ept_can(void **state)
{
	FIXTURE(f);
	const axas_status_t expected =
		f->cfg.format == AXAS_FORMAT_EPT ? AXAS_OK : AXAS_ERR_UNSUPPORTED;
	axas_hw_regs_t regs;
	uint64_t frames;

	f->cfg.options |= AXAS_IGNORE_GUEST_PAT;
	assert_status(expected, axas_create(&f->cfg, &f->host.hal, &f->as));
	assert_status(expected, axas_config_regs(&f->cfg, &regs));
	assert_status(expected, axas_tables_needed(&f->cfg, 0, PAGE, RW, &frames));
}

static void leaves_of_every_size_say_it(void **state)
{
	FIXTURE(f);

	create(f);
	assert_ok(axas_map_linear(f->as, BASE, LINEAR_HPA, 2 * GIB, RWX));
	assert_ok(axas_map_linear(f->as, 4 * GIB, LINEAR_HPA, 2 * MIB, RW));
	assert_ok(axas_map_linear(f->as, 5 * GIB, LINEAR_HPA + PAGE, 2 * PAGE, RX));
	assert_true(is_set(f, BASE) && is_set(f, 4 * GIB) && is_set(f, 5 * GIB));
	space_sweep(f->as);
}

static void other_memory_types_do_not(void **state)
{
	static const axas_flags_t types[] = { AXAS_DEVICE, AXAS_UNCACHED, AXAS_WRITE_COMBINE,
					      AXAS_WRITE_THROUGH };
	FIXTURE(f);

	create(f);
	for (uint64_t i = 0; i < 4; i++) {
		assert_ok(axas_map_linear(f->as, BASE + i * PAGE, LINEAR_HPA, PAGE, RW | types[i]));
		assert_false(is_set(f, BASE + i * PAGE));
	}
	space_sweep(f->as);
}

static void without_the_option_nothing_does(void **state)
{
	FIXTURE(f);

	fixture_create(f);
	assert_ok(axas_map_linear(f->as, BASE, LINEAR_HPA, 2 * MIB, RW));
	assert_ok(axas_map_alloc(f->as, 2 * BASE, PAGE, RW | AXAS_POPULATE));
	assert_false(is_set(f, BASE) || is_set(f, 2 * BASE));
}

static void the_library_s_own_pages_say_it(void **state)
{
	FIXTURE(f);
	size_t done;

	create(f);
	assert_ok(axas_map_alloc(f->as, BASE, 16 * PAGE, RW));
	assert_ok(axas_handle_page_fault(f->as, BASE, AXAS_WRITE));
	assert_ok(axas_populate(f->as, BASE + PAGE, PAGE));
	assert_ok(axas_write(f->as, BASE + 2 * PAGE, "it", 2, 0, &done));
	assert_ok(axas_map_alloc(f->as, 2 * BASE, 2 * MIB, RW | AXAS_HUGE_FRAMES | AXAS_POPULATE));
	assert_true(is_set(f, BASE) && is_set(f, BASE + PAGE) && is_set(f, BASE + 2 * PAGE) &&
		    is_set(f, 2 * BASE));
	assert_ok(axas_discard(f->as, BASE, PAGE));
	assert_ok(axas_handle_page_fault(f->as, BASE, AXAS_WRITE));
	assert_true(is_set(f, BASE));
	space_sweep(f->as);
}

/* Splits, new permissions and replacing keep it. */
static void whatever_becomes_of_a_page_keeps_it(void **state)
{
	FIXTURE(f);

	create(f);
	assert_ok(axas_map_linear(f->as, BASE, LINEAR_HPA, GIB, RW));
	assert_ok(axas_protect(f->as, BASE + 2 * MIB + PAGE, 2 * PAGE, AXAS_READ));
	assert_ok(axas_unmap(f->as, BASE + 8 * MIB + PAGE, PAGE));
	assert_true(is_set(f, BASE) && is_set(f, BASE + 2 * MIB) &&
		    is_set(f, BASE + 2 * MIB + PAGE) && is_set(f, BASE + 8 * MIB));
	assert_ok(axas_map_linear(f->as, BASE + PAGE, LINEAR_HPA, PAGE, RW | AXAS_REPLACE));
	assert_true(is_set(f, BASE + PAGE) && is_set(f, BASE));
	assert_ok(axas_map_linear(f->as, BASE + PAGE, LINEAR_HPA, PAGE,
				  RW | AXAS_DEVICE | AXAS_REPLACE));
	assert_false(is_set(f, BASE + PAGE));
	space_sweep(f->as);
}

/* What query says has no such bit, and a leaf without it is not one of the library's. */
static void audit_looks_at_it(void **state)
{
	FIXTURE(f);
	uint64_t *entry;

	create(f);
	assert_ok(axas_map_linear(f->as, BASE, LINEAR_HPA + PAGE, PAGE, RW));
	assert_int_equal(at(f, BASE).flags, RW);
	entry = entry_at(f, 1, BASE);
	*entry ^= IPAT;
	assert_status(AXAS_ERR_BAD_STATE, axas_audit(f->as));
	*entry ^= IPAT;
	assert_ok(axas_audit(f->as));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT_NO_SPACE(only_ept_can),
		ONE(leaves_of_every_size_say_it, setup_host, ept),
		ONE(other_memory_types_do_not, setup_host, ept),
		ONE(without_the_option_nothing_does, setup_host, ept),
		ONE(the_library_s_own_pages_say_it, setup_host, ept),
		ONE(whatever_becomes_of_a_page_keeps_it, setup_host, ept),
		ONE(audit_looks_at_it, setup_host, ept),
	};

	return cmocka_run_group_tests_name("ignore_pat", tests, NULL, NULL);
}
