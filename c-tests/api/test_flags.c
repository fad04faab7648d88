/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Every permission with every memory type: refused, or exactly so in the entry. */
#include "fixture.h"

static const axas_flags_t memory_types[] = {
	0,
	AXAS_DEVICE,
	AXAS_UNCACHED,
	AXAS_WRITE_COMBINE,
	AXAS_WRITE_THROUGH,
	AXAS_DEVICE_NGNRNE,
	AXAS_DEVICE_NGRE,
	AXAS_DEVICE_GRE,
};

static int has_permissions(const axas_config_t *cfg, axas_flags_t flags)
{
	const axas_flags_t access = space_access(flags);
	const int write_only = (access & RW) == AXAS_WRITE;

	switch (cfg->format) {
	case AXAS_FORMAT_EPT:
		return !write_only &&
		       (access != AXAS_EXECUTE || (cfg->features & AXAS_FEATURE_EPT_EXECUTE_ONLY));
	case AXAS_FORMAT_NPT:
		return (access & AXAS_READ) != 0;
	case AXAS_FORMAT_ARM_S2:
		return 1;
	default:
		return !write_only;
	}
}

static int has_memory_type(const axas_config_t *cfg, axas_flags_t flags)
{
	axas_flags_t known = AXAS_DEVICE;

	if (cfg->format == AXAS_FORMAT_EPT)
		known |= AXAS_UNCACHED | AXAS_WRITE_COMBINE | AXAS_WRITE_THROUGH;
	if (cfg->format == AXAS_FORMAT_NPT)
		known |= AXAS_UNCACHED;
	if (cfg->format == AXAS_FORMAT_ARM_S2) {
		known |= AXAS_UNCACHED | AXAS_DEVICE_NGNRNE | AXAS_DEVICE_NGRE | AXAS_DEVICE_GRE;
		if (!(cfg->features & AXAS_FEATURE_ARM_FWB))
			known |= AXAS_WRITE_THROUGH;
	}
	if (cfg->features & AXAS_FEATURE_RISCV_SVPBMT)
		known |= AXAS_UNCACHED;
	return (flags & ALL_MEMORY_TYPES & ~known) == 0;
}

/* A leaf of each size and both owners has the attributes, before and after a fault and a split. */
static void check_entries(struct fixture *f, axas_flags_t flags)
{
	const enum walk_memory memory = space_memory(f->cfg.format, f->cfg.features, flags);
	const axas_gpa_t where[] = { GIB, 2 * GIB, 2 * GIB + 2 * MIB, 3 * GIB, 4 * GIB };

	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, GIB, flags));
	assert_ok(axas_map_linear(f->as, 2 * GIB, LINEAR_HPA, 2 * MIB + PAGE, flags));
	assert_ok(axas_map_alloc(f->as, 3 * GIB, PAGE, flags));
	assert_ok(axas_map_alloc(f->as, 4 * GIB, PAGE, flags | AXAS_POPULATE));
	assert_int_equal(space_access(at(f, 3 * GIB).flags), space_access(flags));
	assert_int_equal(axas_handle_page_fault(f->as, 3 * GIB, space_access(flags)),
			 AXAS_FAULT_RESOLVED);
	for (size_t i = 0; i < sizeof(where) / sizeof(where[0]); i++) {
		const struct walk r = space_walk(f->as, where[i]);

		assert_int_equal(r.outcome, WALK_LEAF);
		assert_int_equal(r.access, space_access(flags));
		assert_int_equal(r.memory, memory);
		at(f, where[i]);
	}
	assert_ok(axas_unmap(f->as, GIB + 2 * MIB, PAGE));
	assert_int_equal(space_walk(f->as, GIB).memory, memory);
	assert_int_equal(space_walk(f->as, GIB + 3 * MIB).access, space_access(flags));
	assert_int_equal(space_walk(f->as, GIB + 3 * MIB).memory, memory);
	space_sweep(f->as);
	assert_ok(axas_clear(f->as));
}

static void check_all_flags(struct fixture *f, uint32_t features)
{
	f->cfg.features = AXAS_FEATURE_1G_PAGES | features;
	fixture_create(f);
	for (axas_flags_t access = 1; access < 8; access++) {
		for (size_t t = 0; t < sizeof(memory_types) / sizeof(memory_types[0]); t++) {
			const axas_flags_t flags = access | memory_types[t];

			if (has_permissions(&f->cfg, flags) && has_memory_type(&f->cfg, flags)) {
				check_entries(f, flags);
				continue;
			}
			assert_status(AXAS_ERR_UNSUPPORTED,
				      axas_map_linear(f->as, GIB, LINEAR_HPA, PAGE, flags));
			assert_status(AXAS_ERR_UNSUPPORTED,
				      axas_map_alloc(f->as, GIB, PAGE, flags));
			assert_status(AXAS_ERR_UNSUPPORTED,
				      axas_map_alloc(f->as, GIB, PAGE, flags | AXAS_POPULATE));
		}
	}
	fixture_destroy(f);
}

static void flags_reach_the_entry_or_are_refused(void **state)
{
	static const uint32_t features[5][4] = {
		[AXAS_FORMAT_EPT] = { AXAS_FEATURE_EPT_EXECUTE_ONLY, AXAS_FEATURE_EPT_AD },
		[AXAS_FORMAT_ARM_S2] = { AXAS_FEATURE_ARM_FWB,
					 AXAS_FEATURE_ARM_HAFDBS | AXAS_FEATURE_ARM_BBM2 },
		[AXAS_FORMAT_RISCV_GSTAGE] = { AXAS_FEATURE_RISCV_SVPBMT,
					       AXAS_FEATURE_RISCV_SVADU },
	};
	FIXTURE(f);

	/* the list ends with no feature at all */
	for (int i = 0; i < 4; i++)
		check_all_flags(f, features[f->cfg.format][i]);
}

/* Unknown bits come before what the format cannot do, and that before the range and what is there. */
static void unsupported_comes_between_unknown_and_range(void **state)
{
	FIXTURE(f);
	const axas_flags_t cannot =
		f->cfg.format == AXAS_FORMAT_EPT ? AXAS_WRITE : RW | AXAS_WRITE_COMBINE;
	const axas_extent_t extent = { .hpa = LINEAR_HPA, .size = PAGE };

	assert_ok(axas_map_linear(f->as, 0, LINEAR_HPA, PAGE, RW));
	for (axas_gpa_t gpa = 0; gpa < 2; gpa++) {
		assert_status(AXAS_ERR_UNSUPPORTED,
			      axas_map_linear(f->as, gpa, LINEAR_HPA + gpa, PAGE, cannot));
		assert_status(AXAS_ERR_UNSUPPORTED,
			      axas_map_linear(f->as, gpa, 0 - PAGE, 2 * PAGE, cannot));
		assert_status(AXAS_ERR_UNSUPPORTED,
			      axas_map_extents(f->as, gpa, &extent, 1, cannot));
		assert_status(AXAS_ERR_UNSUPPORTED, axas_map_alloc(f->as, gpa, 0, cannot));
		assert_status(AXAS_ERR_INVALID_INPUT,
			      axas_map_alloc(f->as, gpa, PAGE, cannot | 1u << 30));
		assert_status(AXAS_ERR_INVALID_INPUT, axas_map_linear(f->as, gpa, LINEAR_HPA, PAGE,
								      cannot | AXAS_POPULATE));
	}
	if (f->cfg.format == AXAS_FORMAT_ARM_S2)
		return; /* has every permission */
	assert_status(AXAS_ERR_UNSUPPORTED, axas_protect(f->as, 1, PAGE, AXAS_WRITE));
	assert_status(AXAS_ERR_UNSUPPORTED, axas_protect(f->as, GIB, PAGE, AXAS_WRITE));
	assert_status(AXAS_ERR_INVALID_INPUT,
		      axas_protect(f->as, 0, PAGE, AXAS_WRITE | AXAS_DEVICE));
}

static void query_names_the_memory_type_where_the_entry_can(void **state)
{
	FIXTURE(f);

	f->cfg.features |=
		f->cfg.format == AXAS_FORMAT_RISCV_GSTAGE ? AXAS_FEATURE_RISCV_SVPBMT : 0;
	fixture_create(f);
	for (size_t t = 0; t < sizeof(memory_types) / sizeof(memory_types[0]); t++) {
		const axas_flags_t flags = RW | memory_types[t];
		axas_flags_t got;

		if (!has_memory_type(&f->cfg, flags))
			continue;
		assert_ok(axas_map_alloc(f->as, GIB, PAGE, flags));
		assert_int_equal(at(f, GIB).flags, flags);
		assert_ok(axas_unmap(f->as, GIB, PAGE));
		assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, PAGE, flags));
		got = at(f, GIB).flags;
		/* x86 has one UC for both */
		if (f->cfg.format <= AXAS_FORMAT_NPT &&
		    (flags & (AXAS_DEVICE | AXAS_UNCACHED)) != 0)
			assert_true(got == (RW | AXAS_DEVICE) || got == (RW | AXAS_UNCACHED));
		else
			assert_int_equal(got, flags);
		assert_ok(axas_unmap(f->as, GIB, PAGE));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT_NO_SPACE(flags_reach_the_entry_or_are_refused),
		EACH_FORMAT(unsupported_comes_between_unknown_and_range),
		EACH_FORMAT_NO_SPACE(query_names_the_memory_type_where_the_entry_can),
	};

	return cmocka_run_group_tests_name("flags", tests, NULL, NULL);
}
