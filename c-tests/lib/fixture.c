/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "fixture.h"

struct format_case ept_case = {
	.name = "EPT",
	.format = AXAS_FORMAT_EPT,
	.features = AXAS_FEATURE_1G_PAGES,
	.levels = 4,
	.pa_bits = 48,
};

struct format_case npt_case = {
	.name = "NPT",
	.format = AXAS_FORMAT_NPT,
	.features = AXAS_FEATURE_1G_PAGES,
	.levels = 4,
	.pa_bits = 48,
};

struct format_case arm_case = {
	.name = "Arm stage 2",
	.format = AXAS_FORMAT_ARM_S2,
	.features = AXAS_FEATURE_1G_PAGES,
	.levels = 3,
	.pa_bits = 40,
};

struct format_case riscv_case = {
	.name = "RISC-V G-stage",
	.format = AXAS_FORMAT_RISCV_GSTAGE,
	.features = AXAS_FEATURE_1G_PAGES,
	.root_order = 2,
	.levels = 3,
	.pa_bits = 56,
};

int setup_host(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->fc = *state;
	f->cfg = (axas_config_t){
		.struct_size = sizeof(f->cfg),
		.format = f->fc->format,
		.size = SPACE_SIZE,
		.vmid = 5,
		.features = f->fc->features,
	};
	host_init(&f->host, HOST_DIRECT_MAP, HOST_PA_BASE);
	*state = f;
	return 0;
}

int setup_callback_host(void **state)
{
	struct fixture *f;

	setup_host(state);
	f = *state;
	host_exit(&f->host);
	host_init(&f->host, HOST_CALLBACK, HOST_PA_BASE);
	return 0;
}

int setup_space(void **state)
{
	setup_host(state);
	fixture_create(*state);
	return 0;
}

void fixture_create(struct fixture *f)
{
	assert_ok(axas_create(&f->cfg, &f->host.hal, &f->as));
	assert_non_null(f->as);
}

void fixture_destroy(struct fixture *f)
{
	axas_destroy(f->as);
	f->as = NULL;
	host_check_balance(&f->host);
}

int teardown(void **state)
{
	struct fixture *f = *state;

	fixture_destroy(f);
	host_exit(&f->host);
	free(f);
	return 0;
}

axas_mapping_t at(const struct fixture *f, axas_gpa_t gpa)
{
	return space_agree(f->as, gpa);
}

void expect_state(const struct fixture *f, axas_gpa_t gpa, uint32_t state)
{
	assert_int_equal(at(f, gpa).state, state);
}

void expect_leaf(const struct fixture *f, axas_gpa_t gpa, uint64_t size, axas_hpa_t hpa,
		 axas_flags_t access)
{
	const axas_mapping_t m = at(f, gpa);

	assert_int_equal(m.state, AXAS_STATE_LINEAR);
	assert_int_equal(m.size, size);
	assert_int_equal(m.hpa + (gpa - m.gpa), hpa);
	assert_int_equal(space_access(m.flags), access);
}

uint8_t *guest_memory(const struct fixture *f, axas_gpa_t gpa)
{
	const struct walk r = space_walk(f->as, gpa);

	return r.outcome == WALK_LEAF ? host_at(&f->host, r.hpa) : NULL;
}

axas_stats_t stats(const struct fixture *f)
{
	axas_stats_t s;

	assert_ok(axas_stats(f->as, &s));
	return s;
}

uint64_t *entry_at(const struct fixture *f, uint32_t level, axas_gpa_t gpa)
{
	const struct walker w = space_walker(f->as);
	uint64_t table = w.root, entries = w.root_entries;

	for (uint32_t at = w.levels;; at--) {
		const uint64_t index = (gpa >> (12 + 9 * (at - 1))) % entries;
		uint64_t *words = host_at(&f->host, table);

		if (at == level)
			return &words[index];
		if (!walker_is_table(&w, at, words[index], &table))
			return NULL;
		entries = 512;
	}
}

uint64_t root_frames(const struct fixture *f)
{
	return 1ull << f->fc->root_order;
}
