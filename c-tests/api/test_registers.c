/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What to load into the hardware, and the shape of the root that goes with it. */
#include "fixture.h"

static axas_hw_regs_t registers(struct fixture *f)
{
	axas_hw_regs_t regs;

	memset(&regs, 0xa5, sizeof(regs));
	fixture_create(f);
	assert_ok(axas_hw_regs(f->as, &regs));
	assert_int_equal(regs.format, f->cfg.format);
	assert_int_equal(regs.levels, axas_levels(f->as));
	assert_int_equal(regs.root, axas_root(f->as));
	assert_int_equal(regs.reserved[0] | regs.reserved[1] | regs.reserved[2] | regs.reserved[3],
			 0);
	return regs;
}

static void the_default_registers_are_legal(void **state)
{
	FIXTURE(f);
	const axas_hw_regs_t regs = registers(f);
	const struct walker w = space_walker(f->as);

	assert_int_equal(regs.pa_bits, f->fc->pa_bits);
	assert_int_equal(regs.root_bytes, PAGE << f->fc->root_order);
	assert_int_equal(w.root, regs.root);
	assert_int_equal(w.levels, regs.levels);
	assert_true(1ull << w.gpa_bits >= SPACE_SIZE);
	if (f->cfg.format != AXAS_FORMAT_ARM_S2)
		assert_int_equal(regs.control_register, 0);
}

static void eptp_says_write_back_and_the_walk_length(void **state)
{
	FIXTURE(f);
	axas_hw_regs_t regs = registers(f);

	assert_int_equal(regs.root_register, regs.root | 6 | 3 << 3);
	fixture_destroy(f);
	f->cfg.levels = 5;
	f->cfg.features = AXAS_FEATURE_EPT_AD;
	regs = registers(f);
	assert_int_equal(regs.root_register, regs.root | 6 | 4 << 3 | 1 << 6);
}

static void ncr3_is_the_root(void **state)
{
	FIXTURE(f);
	const axas_hw_regs_t regs = registers(f);

	assert_int_equal(regs.root_register, regs.root);
	assert_int_equal(regs.required_state & AXAS_NEEDS_EFER_NXE, AXAS_NEEDS_EFER_NXE);
}

static void hgatp_has_mode_vmid_and_page_number(void **state)
{
	FIXTURE(f);

	for (uint32_t levels = 3; levels <= 5; levels++) {
		axas_hw_regs_t regs;

		f->cfg.levels = levels;
		f->cfg.vmid = 0x2345;
		regs = registers(f);
		assert_int_equal(regs.root_register,
				 (uint64_t)(levels + 5) << 60 | 0x2345ull << 44 | regs.root >> 12);
		assert_int_equal(regs.root % (16 * 1024), 0);
		assert_int_equal(regs.root_bytes, 16 * 1024);
		fixture_destroy(f);
	}
}

/* AMD SME: the C-bit is a bit of the addresses that the host gives, and of all that the library makes of them. */
static void the_c_bit_is_kept_in_tables_root_and_answers(void **state)
{
	const axas_hpa_t c_bit = 1ull << 47;
	FIXTURE(f);
	axas_hpa_t hpa;

	host_exit(&f->host);
	host_init(&f->host, HOST_DIRECT_MAP, c_bit | HOST_PA_BASE);
	fixture_create(f);
	assert_int_equal(axas_root(f->as) & c_bit, c_bit);
	assert_ok(axas_map_linear(f->as, GIB, c_bit | LINEAR_HPA, 2 * MIB, RW));
	assert_ok(axas_map_linear(f->as, 2 * GIB, LINEAR_HPA, PAGE, RW | AXAS_DEVICE));
	assert_ok(axas_map_alloc(f->as, 3 * GIB, PAGE, RW | AXAS_POPULATE));
	expect_leaf(f, GIB, 2 * MIB, c_bit | LINEAR_HPA, RW);
	expect_leaf(f, 2 * GIB, PAGE, LINEAR_HPA, RW);
	assert_ok(axas_translate(f->as, 3 * GIB, &hpa, NULL));
	assert_int_equal(hpa & c_bit, c_bit);
	assert_true(host_is_guest_frame(&f->host, hpa));
	assert_ok(axas_fill(f->as, 3 * GIB, 0xa5, PAGE, 0, NULL));
	assert_int_equal(guest_memory(f, 3 * GIB)[PAGE - 1], 0xa5);
	space_sweep(f->as);
}

static void riscv_names_the_extensions_it_uses(void **state)
{
	FIXTURE(f);

	assert_int_equal(registers(f).required_state, 0);
	fixture_destroy(f);
	f->cfg.features = AXAS_FEATURE_RISCV_SVPBMT;
	assert_int_equal(registers(f).required_state, AXAS_NEEDS_MENVCFG_PBMTE);
	fixture_destroy(f);
	f->cfg.features = AXAS_FEATURE_RISCV_SVADU;
	assert_int_equal(registers(f).required_state, AXAS_NEEDS_MENVCFG_ADUE);
}

/* Every width of guest address on every width of physical address that allows it. */
static void vtcr_and_the_root_fit_every_width(void **state)
{
	static const uint32_t widths[] = { 32, 36, 40, 42, 44, 48 };
	FIXTURE(f);

	host_exit(&f->host);
	host_init(&f->host, HOST_DIRECT_MAP, HOST_PA_LOW_BASE);
	for (size_t p = 0; p < sizeof(widths) / sizeof(widths[0]); p++) {
		for (uint32_t bits = 31; bits <= widths[p]; bits++) {
			axas_hw_regs_t regs;
			struct walker w;

			if (bits > 43 && widths[p] < 44)
				continue;
			f->cfg.pa_bits = widths[p];
			f->cfg.size = 1ull << bits;
			regs = registers(f);
			w = space_walker(f->as);
			assert_int_equal(regs.pa_bits, widths[p]);
			assert_int_equal(w.gpa_bits, regs.gpa_bits);
			assert_true(w.gpa_bits >= bits);
			assert_int_equal(w.root_entries * 8 > PAGE ? w.root_entries * 8 : PAGE,
					 regs.root_bytes);
			assert_int_equal(regs.root % regs.root_bytes, 0);
			assert_int_equal(w.levels, regs.levels);
			fixture_destroy(f);
		}
	}
}

/* T0SZ is 33 at most where a walk starts with three levels: 31 bits. */
static void the_narrowest_arm_space_has_31_bits(void **state)
{
	FIXTURE(f);

	for (uint32_t gpa_bits = 0; gpa_bits <= 31; gpa_bits += 31) {
		axas_hw_regs_t regs;

		f->cfg.size = gpa_bits == 0 ? PAGE : 2 * GIB;
		f->cfg.gpa_bits = gpa_bits;
		regs = registers(f);
		assert_int_equal(regs.gpa_bits, 31);
		assert_int_equal(regs.levels, 3);
		assert_int_equal(regs.control_register & 63, 33);
		fixture_destroy(f);
	}
}

static void vtcr_of_a_40_bit_cpu_starts_at_level_1_with_two_tables(void **state)
{
	FIXTURE(f);
	axas_hw_regs_t regs;

	f->cfg.size = 1ull << 40;
	regs = registers(f);
	assert_int_equal(regs.control_register, 0x80023558);
	assert_int_equal(regs.root_bytes, 8192);
	assert_int_equal(regs.root_register, regs.root | 5ull << 48);
}

static void physical_widths_are_rounded_down_to_architected_ones(void **state)
{
	FIXTURE(f);

	f->cfg.pa_bits = 41;
	assert_int_equal(registers(f).pa_bits, 40);
}

static void arm_widths_that_do_not_go_together_are_unsupported(void **state)
{
	FIXTURE(f);
	axas_t *as;

	f->cfg.pa_bits = 40;
	f->cfg.size = 1ull << 41;
	assert_status(AXAS_ERR_UNSUPPORTED, axas_create(&f->cfg, &f->host.hal, &as));
	f->cfg.size = 1ull << 40;
	f->cfg.levels = 4;
	assert_status(AXAS_ERR_UNSUPPORTED, axas_create(&f->cfg, &f->host.hal, &as));
	f->cfg.levels = 0;
	f->cfg.gpa_bits = 39;
	assert_status(AXAS_ERR_UNSUPPORTED, axas_create(&f->cfg, &f->host.hal, &as));
}

static void a_given_guest_width_is_used(void **state)
{
	FIXTURE(f);
	axas_hw_regs_t regs;

	f->cfg.size = GIB;
	f->cfg.gpa_bits = 40;
	regs = registers(f);
	assert_int_equal(regs.gpa_bits, 40);
	assert_int_equal(regs.control_register & 63, 24);
}

static void arm_features_show_in_the_registers(void **state)
{
	FIXTURE(f);
	axas_hw_regs_t regs;

	f->cfg.features = AXAS_FEATURE_ARM_VMID16;
	f->cfg.vmid = 0xabcd;
	regs = registers(f);
	assert_int_equal(regs.control_register >> 19 & 1, 1);
	assert_int_equal(regs.root_register >> 48, 0xabcd);
	fixture_destroy(f);
	f->cfg.vmid = 5;
	f->cfg.features = AXAS_FEATURE_ARM_HAFDBS;
	regs = registers(f);
	assert_int_equal(regs.control_register >> 21 & 3, 3);
	assert_int_equal(regs.required_state, AXAS_NEEDS_VTCR_HA_HD | AXAS_NEEDS_NO_PBHA);
	fixture_destroy(f);
	f->cfg.features = AXAS_FEATURE_ARM_FWB;
	assert_int_equal(registers(f).required_state, AXAS_NEEDS_HCR_FWB | AXAS_NEEDS_NO_PBHA);
}

static void set_vmid_shows_in_the_root_register(void **state)
{
	FIXTURE(f);
	axas_hw_regs_t before = registers(f), after;
	const uint32_t shift = f->cfg.format == AXAS_FORMAT_ARM_S2 ? 48 : 44;
	const int tagged = f->cfg.format >= AXAS_FORMAT_ARM_S2;

	assert_ok(axas_set_vmid(f->as, 200));
	assert_ok(axas_hw_regs(f->as, &after));
	assert_int_equal(after.root_register - before.root_register, tagged ? 195ull << shift : 0);
}

/* What axas_config_regs and a space say of the same configuration: the same, but for the address of the root. */
static axas_status_t compare_with_space(struct fixture *f)
{
	static _Alignas(AXAS_STORAGE_ALIGN) uint8_t storage[AXAS_STORAGE_SIZE];
	const uint32_t shift = f->cfg.format == AXAS_FORMAT_RISCV_GSTAGE ? 12 : 0;
	axas_hw_regs_t regs, made, untouched;
	axas_status_t status;

	memset(&made, 0xa5, sizeof(made));
	memset(&untouched, 0xa5, sizeof(untouched));
	status = axas_config_regs(&f->cfg, &made);
	assert_status(status,
		      axas_create_in(storage, sizeof(storage), &f->cfg, &f->host.hal, &f->as));
	if (status != AXAS_OK) {
		assert_memory_equal(&made, &untouched, sizeof(made));
		return status;
	}
	assert_ok(axas_hw_regs(f->as, &regs));
	assert_int_equal(made.root, 0);
	assert_int_equal(made.root_register + (regs.root >> shift), regs.root_register);
	made.root = regs.root;
	made.root_register = regs.root_register;
	assert_memory_equal(&made, &regs, sizeof(regs));
	fixture_destroy(f);
	return status;
}

static void a_configuration_says_what_its_space_would(void **state)
{
	static const uint32_t pa_widths[] = { 0, 31, 32, 36, 40, 42, 43, 44, 48, 52, 56, 57 };
	static const uint32_t gpa_widths[] = { 0, 31, 39, 40, 42, 48, 50, 57 };
	static const uint32_t gpa_bits[] = { 0, 30, 31, 40, 44, 48 };
	uint32_t seen[2] = { 0 };
	FIXTURE(f);

	host_exit(&f->host);
	host_init(&f->host, HOST_DIRECT_MAP, HOST_PA_LOW_BASE);
	f->host.quick = 1;
	for (uint32_t levels = 0; levels <= 6; levels += levels == 0 ? 2 : 1)
		for (size_t p = 0; p < sizeof(pa_widths) / sizeof(pa_widths[0]); p++)
			for (size_t s = 1; s < sizeof(gpa_widths) / sizeof(gpa_widths[0]); s++)
				for (size_t g = 0; g < sizeof(gpa_bits) / sizeof(gpa_bits[0]);
				     g++) {
					f->cfg.levels = levels;
					f->cfg.pa_bits = pa_widths[p];
					f->cfg.size = 1ull << gpa_widths[s];
					f->cfg.gpa_bits = gpa_bits[g];
					seen[compare_with_space(f) == AXAS_OK]++;
				}
	assert_true(seen[0] > 100 && seen[1] > 100);
}

static void features_and_options_of_a_configuration_count(void **state)
{
	const uint32_t format = ((struct fixture *)*state)->cfg.format;
	uint32_t all = 0;
	FIXTURE(f);

	f->host.quick = 1;
	f->cfg.vmid = format == AXAS_FORMAT_RISCV_GSTAGE ? 0x2345 : 0xab;
	for (uint32_t bit = 0; bit < 32; bit++) {
		f->cfg.features = 1u << bit;
		if (compare_with_space(f) == AXAS_OK)
			all |= 1u << bit;
	}
	assert_true(all != 0);
	f->cfg.features = all;
	assert_ok(compare_with_space(f));
	for (uint32_t bit = 0; bit < 32; bit++) {
		axas_status_t expected = AXAS_OK;

		f->cfg.options = 1u << bit;
		if ((f->cfg.options == AXAS_IGNORE_GUEST_PAT && format != AXAS_FORMAT_EPT) ||
		    (f->cfg.options == AXAS_IO && format == AXAS_FORMAT_NPT))
			expected = AXAS_ERR_UNSUPPORTED;
		else if (f->cfg.options > AXAS_IGNORE_GUEST_PAT)
			expected = AXAS_ERR_INVALID_INPUT;
		assert_int_equal(compare_with_space(f), expected);
	}
}

static void a_bad_configuration_is_refused_as_by_create(void **state)
{
	FIXTURE(f);
	const axas_config_t good = f->cfg;
	axas_hw_regs_t regs;

	assert_status(AXAS_ERR_INVALID_INPUT, axas_config_regs(NULL, &regs));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_config_regs(&good, NULL));
	f->cfg.format = AXAS_FORMAT_NATIVE;
	assert_status(AXAS_ERR_UNSUPPORTED, compare_with_space(f));
	f->cfg.format = 5;
	assert_status(AXAS_ERR_INVALID_INPUT, compare_with_space(f));
	f->cfg = good;
	f->cfg.struct_size = 8;
	assert_status(AXAS_ERR_INVALID_INPUT, compare_with_space(f));
	f->cfg = good;
	f->cfg.reserved = 1;
	assert_status(AXAS_ERR_INVALID_INPUT, compare_with_space(f));
	f->cfg = good;
	f->cfg.base = 1;
	assert_status(AXAS_ERR_INVALID_INPUT, compare_with_space(f));
	f->cfg = good;
	f->cfg.vmid = 1u << 17;
	assert_status(good.format >= AXAS_FORMAT_ARM_S2 ? AXAS_ERR_INVALID_INPUT : AXAS_OK,
		      compare_with_space(f));
	f->cfg = good;
	f->cfg.table_quota = (1u << f->fc->root_order) - 1;
	assert_status(f->cfg.table_quota != 0 ? AXAS_ERR_NO_MEMORY : AXAS_OK,
		      compare_with_space(f));
	f->cfg = good;
	f->cfg.struct_size = offsetof(axas_config_t, vmid);
	assert_ok(compare_with_space(f));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT_NO_SPACE(the_default_registers_are_legal),
		ONE(eptp_says_write_back_and_the_walk_length, setup_host, ept),
		ONE(ncr3_is_the_root, setup_host, npt),
		ONE(the_c_bit_is_kept_in_tables_root_and_answers, setup_host, npt),
		ONE(hgatp_has_mode_vmid_and_page_number, setup_host, riscv),
		ONE(riscv_names_the_extensions_it_uses, setup_host, riscv),
		ONE(vtcr_and_the_root_fit_every_width, setup_host, arm),
		ONE(the_narrowest_arm_space_has_31_bits, setup_host, arm),
		ONE(vtcr_of_a_40_bit_cpu_starts_at_level_1_with_two_tables, setup_host, arm),
		ONE(physical_widths_are_rounded_down_to_architected_ones, setup_host, arm),
		ONE(arm_widths_that_do_not_go_together_are_unsupported, setup_host, arm),
		ONE(a_given_guest_width_is_used, setup_host, arm),
		ONE(arm_features_show_in_the_registers, setup_host, arm),
		EACH_FORMAT_NO_SPACE(set_vmid_shows_in_the_root_register),
		EACH_FORMAT_NO_SPACE(a_configuration_says_what_its_space_would),
		EACH_FORMAT_NO_SPACE(features_and_options_of_a_configuration_count),
		EACH_FORMAT_NO_SPACE(a_bad_configuration_is_refused_as_by_create),
	};

	return cmocka_run_group_tests_name("registers", tests, NULL, NULL);
}
