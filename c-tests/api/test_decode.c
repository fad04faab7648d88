/* What the hardware says of a fault, in the words of axas_handle_page_fault. */
#include "fixture.h"

#define INSTRUCTION_ABORT (0x20ull << 26 | 1ull << 25)
#define DATA_ABORT        (0x24ull << 26 | 1ull << 25)
#define WNR               (1ull << 6)
#define S1PTW             (1ull << 7)
#define FNV               (1ull << 10)

static axas_fault_t arm(uint64_t esr)
{
	axas_fault_t f;

	memset(&f, 0xa5, sizeof(f));
	/* HPFAR holds bits 51:12 of the address from its bit 4 on */
	assert_ok(axas_fault_from_arm(esr, 0xffff000012345678, 0x40000ull << 4, &f));
	assert_int_equal(f.reserved[0] | f.reserved[1], 0);
	return f;
}

static void arm_aborts_have_address_and_access(void **state)
{
	axas_fault_t f = arm(DATA_ABORT | 0x07);

	(void)state;
	assert_int_equal(f.kind, AXAS_KIND_TRANSLATION);
	assert_int_equal(f.access, AXAS_READ);
	assert_int_equal(f.level, 1);
	assert_int_equal(f.gpa, 0x40000678);
	assert_int_equal(f.gva, 0xffff000012345678);
	assert_int_equal(f.valid, AXAS_VALID_GPA | AXAS_VALID_GVA | AXAS_VALID_ACCESS);
	f = arm(DATA_ABORT | WNR | 0x05);
	assert_int_equal(f.access, AXAS_WRITE);
	assert_int_equal(f.level, 3);
	f = arm(INSTRUCTION_ABORT | 0x06);
	assert_int_equal(f.access, AXAS_EXECUTE);
	assert_int_equal(f.level, 2);
}

static void arm_status_codes_are_kinds(void **state)
{
	(void)state;
	assert_int_equal(arm(DATA_ABORT | 0x00).kind, AXAS_KIND_ADDRESS_SIZE);
	assert_int_equal(arm(DATA_ABORT | 0x0b).kind, AXAS_KIND_ACCESS_FLAG);
	assert_int_equal(arm(DATA_ABORT | 0x0f).kind, AXAS_KIND_PERMISSION);
	assert_int_equal(arm(DATA_ABORT | 0x10).kind, AXAS_KIND_EXTERNAL);
	assert_int_equal(arm(DATA_ABORT | 0x21).kind, AXAS_KIND_OTHER);
}

static void arm_table_walks_are_told_apart(void **state)
{
	axas_fault_t f = arm(DATA_ABORT | S1PTW | 0x07);

	(void)state;
	assert_int_not_equal(f.valid & AXAS_IS_TABLE_WALK, 0);
	assert_int_not_equal(f.valid & AXAS_VALID_GPA, 0);
	assert_int_equal(f.access, AXAS_READ);
	f = arm(INSTRUCTION_ABORT | S1PTW | 0x07);
	assert_int_not_equal(f.valid & AXAS_IS_TABLE_WALK, 0);
	assert_int_equal(f.access, AXAS_READ);
}

static void arm_says_what_it_does_not_know(void **state)
{
	(void)state;
	assert_int_equal(arm(DATA_ABORT | FNV | 0x07).valid & AXAS_VALID_GVA, 0);
	/* a permission fault outside a walk need not fill HPFAR_EL2 */
	assert_int_equal(arm(DATA_ABORT | WNR | 0x0f).valid & AXAS_VALID_GPA, 0);
}

static void arm_exceptions_of_another_class_are_invalid(void **state)
{
	static const uint64_t classes[] = { 0x00, 0x16, 0x21, 0x25, 0x3c };
	axas_fault_t f;

	(void)state;
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		assert_status(AXAS_ERR_INVALID_INPUT,
			      axas_fault_from_arm(classes[i] << 26 | 0x07, 0, 0, &f));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_fault_from_arm(DATA_ABORT, 0, 0, NULL));
}

static void npf_codes_as_seen_on_the_emulator(void **state)
{
	static const struct {
		uint64_t code;
		uint32_t access, kind, walk;
	} t[] = {
		{ 0x100000004, AXAS_READ, AXAS_KIND_TRANSLATION, 0 },
		{ 0x100000006, AXAS_WRITE, AXAS_KIND_TRANSLATION, 0 },
		{ 0x100000014, AXAS_EXECUTE, AXAS_KIND_TRANSLATION, 0 },
		{ 0x100000007, AXAS_WRITE, AXAS_KIND_PERMISSION, 0 },
		{ 0x100000015, AXAS_EXECUTE, AXAS_KIND_PERMISSION, 0 },
		{ 0x10000000d, AXAS_READ, AXAS_KIND_MISCONFIG, 0 },
		{ 0x200000006, AXAS_WRITE, AXAS_KIND_TRANSLATION, AXAS_IS_TABLE_WALK },
		{ 0x200000007, AXAS_WRITE, AXAS_KIND_PERMISSION, AXAS_IS_TABLE_WALK },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		axas_fault_t f;

		assert_ok(axas_fault_from_npf(t[i].code, 0x12345678, &f));
		assert_int_equal(f.gpa, 0x12345678);
		assert_int_equal(f.kind, t[i].kind);
		assert_int_equal(f.access, t[i].access);
		assert_int_equal(f.valid & AXAS_IS_TABLE_WALK, t[i].walk);
		assert_int_not_equal(f.valid & AXAS_VALID_GPA, 0);
		assert_int_equal(f.valid & AXAS_VALID_GVA, 0);
	}
	assert_status(AXAS_ERR_INVALID_INPUT, axas_fault_from_npf(4, 0, NULL));
}

static void ept_qualifications_follow_the_manual(void **state)
{
	const uint64_t linear = 1 << 7 | 1 << 8; /* a linear address, and its final translation */
	axas_fault_t f;

	(void)state;
	assert_ok(axas_fault_from_ept(48, linear | 1 << 1, 0xabcd000, &f));
	assert_int_equal(f.kind, AXAS_KIND_TRANSLATION);
	assert_int_equal(f.access, AXAS_WRITE);
	assert_int_equal(f.gpa, 0xabcd000);
	assert_int_equal(f.valid & AXAS_IS_TABLE_WALK, 0);
	assert_ok(axas_fault_from_ept(48, linear | 1 << 2 | 1 << 3, 0xabcd000, &f));
	assert_int_equal(f.kind, AXAS_KIND_PERMISSION);
	assert_int_equal(f.access, AXAS_EXECUTE);
	assert_ok(axas_fault_from_ept(48, 1 << 7 | 1 << 0, 0xabcd000, &f));
	assert_int_not_equal(f.valid & AXAS_IS_TABLE_WALK, 0);
	assert_int_equal(f.access, AXAS_READ);
	assert_ok(axas_fault_from_ept(49, 0, 0xabcd000, &f));
	assert_int_equal(f.kind, AXAS_KIND_MISCONFIG);
	assert_status(AXAS_ERR_INVALID_INPUT, axas_fault_from_ept(47, 1, 0, &f));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_fault_from_ept(48, 1, 0, NULL));
}

static void riscv_causes_and_walks_are_told_apart(void **state)
{
	axas_fault_t f;

	(void)state;
	assert_ok(axas_fault_from_riscv(21, 0x7003, 0x80000000 >> 2, 0, &f));
	assert_int_equal(f.access, AXAS_READ);
	assert_int_equal(f.gpa, 0x80000003);
	assert_int_equal(f.gva, 0x7003);
	assert_int_equal(f.kind, AXAS_KIND_TRANSLATION);
	assert_ok(axas_fault_from_riscv(23, 0x7000, 0x80000000 >> 2, 0, &f));
	assert_int_equal(f.access, AXAS_WRITE);
	assert_ok(axas_fault_from_riscv(20, 0x7000, 0x80000000 >> 2, 0, &f));
	assert_int_equal(f.access, AXAS_EXECUTE);
	/* the access of a walk is in htinst, whatever the guest was doing */
	assert_ok(axas_fault_from_riscv(20, 0x7000, 0x80000000 >> 2, 0x3000, &f));
	assert_int_equal(f.access, AXAS_READ);
	assert_int_not_equal(f.valid & AXAS_IS_TABLE_WALK, 0);
	assert_ok(axas_fault_from_riscv(21, 0x7000, 0x80000000 >> 2, 0x3020, &f));
	assert_int_equal(f.access, AXAS_WRITE);
	assert_status(AXAS_ERR_INVALID_INPUT, axas_fault_from_riscv(22, 0, 0, 0, &f));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_fault_from_riscv(21, 0, 0, 0, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arm_aborts_have_address_and_access),
		cmocka_unit_test(arm_status_codes_are_kinds),
		cmocka_unit_test(arm_table_walks_are_told_apart),
		cmocka_unit_test(arm_says_what_it_does_not_know),
		cmocka_unit_test(arm_exceptions_of_another_class_are_invalid),
		cmocka_unit_test(npf_codes_as_seen_on_the_emulator),
		cmocka_unit_test(ept_qualifications_follow_the_manual),
		cmocka_unit_test(riscv_causes_and_walks_are_told_apart),
	};

	return cmocka_run_group_tests_name("decode", tests, NULL, NULL);
}
