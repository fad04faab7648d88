/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the hardware says of a fault, in the words of axas_handle_page_fault: the tables of the manuals
 * as tables here, every code and every combination of the bits that matter.
 */
#include "fixture.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define BIT(n)       (1ull << (n))

#define ALL_VALID  (AXAS_VALID_GPA | AXAS_VALID_GVA | AXAS_VALID_ACCESS)
#define ALL_ACCESS (AXAS_READ | AXAS_WRITE | AXAS_EXECUTE)

static int same(const axas_fault_t *a, const axas_fault_t *b)
{
	return a->gpa == b->gpa && a->gva == b->gva && a->access == b->access &&
	       a->kind == b->kind && a->valid == b->valid && a->level == b->level &&
	       a->reserved[0] == b->reserved[0] && a->reserved[1] == b->reserved[1];
}

static void print(const char *what, const axas_fault_t *f)
{
	print_error("%s: gpa %#llx gva %#llx access %#x kind %u valid %#x level %u\n", what,
		    (unsigned long long)f->gpa, (unsigned long long)f->gva, f->access, f->kind,
		    f->valid, f->level);
}

/* Fails with both sides when the decoder says something else. */
static void expect(const char *what, uint64_t code, const axas_fault_t *decoded,
		   const axas_fault_t *expected)
{
	if (same(decoded, expected))
		return;
	print("decoded ", decoded);
	print("expected", expected);
	fail_msg("%s %#llx", what, (unsigned long long)code);
}

/* What holds whatever was decoded. */
static axas_fault_t sane(axas_fault_t f)
{
	assert_true(f.access != 0 && (f.access & ~ALL_ACCESS) == 0);
	assert_true(f.kind >= AXAS_KIND_TRANSLATION && f.kind <= AXAS_KIND_ATOMIC);
	assert_int_equal(f.valid & ~(ALL_VALID | AXAS_IS_TABLE_WALK), 0);
	assert_true((f.valid & AXAS_VALID_GPA) || f.gpa == 0);
	assert_true((f.valid & AXAS_VALID_GVA) || f.gva == 0);
	assert_int_equal(f.reserved[0] | f.reserved[1], 0);
	return f;
}

/* --- AArch64 --------------------------------------------------------------------------------- */

#define EC_INSTRUCTION_ABORT 0x20ull
#define EC_DATA_ABORT        0x24ull
#define WNR                  BIT(6)
#define S1PTW                BIT(7)
#define CM                   BIT(8)
#define EA                   BIT(9)
#define FNV                  BIT(10)
#define ISV                  BIT(24)
#define IL                   BIT(25)

#define FAR   0xffff000012345678ull
#define HPFAR (0x40000ull << 4) /* bits 51:12 of the address from bit 4 on */

/* When HPFAR_EL2 is written. */
enum ipa { NEVER, ON_A_WALK, ALWAYS };

/* DFSC and IFSC, ESR_EL2. A code of data aborts only is reserved in the other. */
static const struct {
	uint32_t kind, level;
	enum ipa ipa;
	int data_only;
} status_codes[64] = {
	/* address size, levels 0 to 3, -1 and -2 */
	[0x00] = { AXAS_KIND_ADDRESS_SIZE, 4, ALWAYS, 0 },
	[0x01] = { AXAS_KIND_ADDRESS_SIZE, 3, ALWAYS, 0 },
	[0x02] = { AXAS_KIND_ADDRESS_SIZE, 2, ALWAYS, 0 },
	[0x03] = { AXAS_KIND_ADDRESS_SIZE, 1, ALWAYS, 0 },
	[0x29] = { AXAS_KIND_ADDRESS_SIZE, 5, ALWAYS, 0 },
	[0x2c] = { AXAS_KIND_ADDRESS_SIZE, 6, ALWAYS, 0 },
	/* translation */
	[0x04] = { AXAS_KIND_TRANSLATION, 4, ALWAYS, 0 },
	[0x05] = { AXAS_KIND_TRANSLATION, 3, ALWAYS, 0 },
	[0x06] = { AXAS_KIND_TRANSLATION, 2, ALWAYS, 0 },
	[0x07] = { AXAS_KIND_TRANSLATION, 1, ALWAYS, 0 },
	[0x2b] = { AXAS_KIND_TRANSLATION, 5, ALWAYS, 0 },
	[0x2a] = { AXAS_KIND_TRANSLATION, 6, ALWAYS, 0 },
	/* access flag */
	[0x08] = { AXAS_KIND_ACCESS_FLAG, 4, ALWAYS, 0 },
	[0x09] = { AXAS_KIND_ACCESS_FLAG, 3, ALWAYS, 0 },
	[0x0a] = { AXAS_KIND_ACCESS_FLAG, 2, ALWAYS, 0 },
	[0x0b] = { AXAS_KIND_ACCESS_FLAG, 1, ALWAYS, 0 },
	/* permission */
	[0x0c] = { AXAS_KIND_PERMISSION, 4, ON_A_WALK, 0 },
	[0x0d] = { AXAS_KIND_PERMISSION, 3, ON_A_WALK, 0 },
	[0x0e] = { AXAS_KIND_PERMISSION, 2, ON_A_WALK, 0 },
	[0x0f] = { AXAS_KIND_PERMISSION, 1, ON_A_WALK, 0 },
	/* external abort: on the access; on a walk, levels -2, -1, 0 to 3 */
	[0x10] = { AXAS_KIND_EXTERNAL, 0, NEVER, 0 },
	[0x12] = { AXAS_KIND_EXTERNAL, 6, NEVER, 0 },
	[0x13] = { AXAS_KIND_EXTERNAL, 5, NEVER, 0 },
	[0x14] = { AXAS_KIND_EXTERNAL, 4, NEVER, 0 },
	[0x15] = { AXAS_KIND_EXTERNAL, 3, NEVER, 0 },
	[0x16] = { AXAS_KIND_EXTERNAL, 2, NEVER, 0 },
	[0x17] = { AXAS_KIND_EXTERNAL, 1, NEVER, 0 },
	/* parity or ECC error: likewise */
	[0x18] = { AXAS_KIND_EXTERNAL, 0, NEVER, 0 },
	[0x1b] = { AXAS_KIND_EXTERNAL, 5, NEVER, 0 },
	[0x1c] = { AXAS_KIND_EXTERNAL, 4, NEVER, 0 },
	[0x1d] = { AXAS_KIND_EXTERNAL, 3, NEVER, 0 },
	[0x1e] = { AXAS_KIND_EXTERNAL, 2, NEVER, 0 },
	[0x1f] = { AXAS_KIND_EXTERNAL, 1, NEVER, 0 },
	/* granule protection: on a walk, levels -2, -1, 0 to 3; on the access */
	[0x22] = { AXAS_KIND_EXTERNAL, 6, NEVER, 0 },
	[0x23] = { AXAS_KIND_EXTERNAL, 5, NEVER, 0 },
	[0x24] = { AXAS_KIND_EXTERNAL, 4, NEVER, 0 },
	[0x25] = { AXAS_KIND_EXTERNAL, 3, NEVER, 0 },
	[0x26] = { AXAS_KIND_EXTERNAL, 2, NEVER, 0 },
	[0x27] = { AXAS_KIND_EXTERNAL, 1, NEVER, 0 },
	[0x28] = { AXAS_KIND_EXTERNAL, 0, NEVER, 0 },
	/* hardware update of descriptors, exclusive or atomic access that the memory does not take */
	[0x31] = { AXAS_KIND_ATOMIC, 0, NEVER, 0 },
	[0x35] = { AXAS_KIND_ATOMIC, 0, NEVER, 1 },
	/* tag check, alignment, TLB conflict, lockdown; the rest is reserved */
	[0x11] = { AXAS_KIND_OTHER, 0, NEVER, 1 },
	[0x21] = { AXAS_KIND_OTHER, 0, NEVER, 1 },
	[0x30] = { AXAS_KIND_OTHER, 0, NEVER, 0 },
	[0x34] = { AXAS_KIND_OTHER, 0, NEVER, 1 },
};

static int is_missing(uint32_t kind)
{
	return kind == AXAS_KIND_TRANSLATION || kind == AXAS_KIND_ACCESS_FLAG ||
	       kind == AXAS_KIND_ADDRESS_SIZE;
}

/* The access of an abort that is not on a walk. */
static uint32_t arm_own_access(uint64_t esr, int is_fetch, uint32_t kind, uint32_t *known)
{
	*known = AXAS_VALID_ACCESS;
	if (is_fetch)
		return AXAS_EXECUTE;
	if (!(esr & CM) && (is_missing(kind) || kind == AXAS_KIND_PERMISSION))
		return esr & WNR ? AXAS_WRITE : AXAS_READ;
	*known = 0;
	return is_missing(kind) ? AXAS_READ : RW;
}

static axas_fault_t arm_expected(uint64_t esr)
{
	const int is_fetch = esr >> 26 == EC_INSTRUCTION_ABORT;
	const int is_walk = (esr & S1PTW) != 0, has_gva = (esr & FNV) == 0;
	const size_t status = esr & 0x3f;
	axas_fault_t f = { .kind = AXAS_KIND_OTHER };
	uint32_t known = is_missing(status_codes[status].kind) ? AXAS_VALID_ACCESS : 0;
	enum ipa ipa = NEVER;

	if (status_codes[status].kind != 0 && !(is_fetch && status_codes[status].data_only)) {
		f.kind = status_codes[status].kind;
		f.level = status_codes[status].level;
		ipa = status_codes[status].ipa;
	}
	if (is_walk)
		f.access = known ? AXAS_READ : RW;
	else
		f.access = arm_own_access(esr, is_fetch, f.kind, &known);
	f.valid = known;
	if (is_walk)
		f.valid |= AXAS_IS_TABLE_WALK;
	if (has_gva) {
		f.valid |= AXAS_VALID_GVA;
		f.gva = FAR;
	}
	/* the offset in the page is in FAR_EL2 only */
	if ((ipa == ALWAYS && (is_walk || has_gva)) || (ipa == ON_A_WALK && is_walk)) {
		f.valid |= AXAS_VALID_GPA;
		f.gpa = 0x40000000 | (is_walk ? 0 : FAR & 0xfff);
	}
	return f;
}

static void arm_aborts_of_every_status_code_and_bit(void **state)
{
	static const uint64_t classes[] = { EC_INSTRUCTION_ABORT, EC_DATA_ABORT };
	uint32_t aborts = 0;

	(void)state;
	for (size_t c = 0; c < COUNT(classes); c++) {
		for (uint64_t iss = 0; iss < BIT(11); iss++) {
			const uint64_t esr = classes[c] << 26 | iss;
			const axas_fault_t expected = arm_expected(esr);
			axas_fault_t f;

			memset(&f, 0xa5, sizeof(f));
			assert_ok(axas_fault_from_arm(esr, FAR, HPFAR, &f));
			expect("ESR_EL2", esr, &f, &expected);
			sane(f);
			aborts++;
			/* what does not matter: instruction length and syndrome, ISS2 */
			assert_ok(axas_fault_from_arm(
				esr | IL | ISV | 0xffull << 14 | 0x1full << 32, FAR, HPFAR, &f));
			expect("ESR_EL2", esr, &f, &expected);
		}
	}
	assert_int_equal(aborts, 2 * 2048);
}

static axas_fault_t arm(uint64_t class, uint64_t iss)
{
	axas_fault_t f;

	assert_ok(axas_fault_from_arm(class << 26 | IL | iss, FAR, HPFAR, &f));
	return f;
}

/* The same by hand, for a reader. */
static void arm_aborts_as_hosts_meet_them(void **state)
{
	axas_fault_t f = arm(EC_DATA_ABORT, 0x07);

	(void)state;
	assert_int_equal(f.kind, AXAS_KIND_TRANSLATION);
	assert_int_equal(f.access, AXAS_READ);
	assert_int_equal(f.level, 1);
	assert_int_equal(f.gpa, 0x40000678);
	assert_int_equal(f.gva, FAR);
	assert_int_equal(f.valid, ALL_VALID);
	assert_int_equal(arm(EC_DATA_ABORT, WNR | 0x05).access, AXAS_WRITE);
	assert_int_equal(arm(EC_INSTRUCTION_ABORT, 0x06).access, AXAS_EXECUTE);
	/* a walk: of a table, whatever the guest was doing */
	f = arm(EC_INSTRUCTION_ABORT, S1PTW | 0x07);
	assert_int_equal(f.access, AXAS_READ);
	assert_int_equal(f.gpa, 0x40000000);
	assert_int_equal(f.valid, ALL_VALID | AXAS_IS_TABLE_WALK);
	/* a descriptor that may not be read, or whose flags may not be updated */
	f = arm(EC_DATA_ABORT, S1PTW | 0x0f);
	assert_int_equal(f.access, RW);
	assert_int_equal(f.valid, AXAS_VALID_GPA | AXAS_VALID_GVA | AXAS_IS_TABLE_WALK);
	/* outside a walk HPFAR_EL2 is not written for a permission fault */
	f = arm(EC_DATA_ABORT, WNR | 0x0f);
	assert_int_equal(f.access, AXAS_WRITE);
	assert_int_equal(f.valid, AXAS_VALID_GVA | AXAS_VALID_ACCESS);
	/* cache maintenance reports a write and is none */
	f = arm(EC_DATA_ABORT, CM | WNR | 0x07);
	assert_int_equal(f.access, AXAS_READ);
	assert_int_equal(f.valid, AXAS_VALID_GPA | AXAS_VALID_GVA);
}

static void arm_addresses_are_not_cut_short(void **state)
{
	const uint64_t esr = EC_DATA_ABORT << 26 | 0x07;
	axas_fault_t f;

	(void)state;
	for (uint32_t bit = 0; bit < 64; bit++) {
		/* bits 3:0 are reserved; 47:4 are bits 55:12; above are reserved bits and NS */
		const uint64_t gpa = bit >= 4 && bit < 48 ? BIT(bit + 8) : 0;

		assert_ok(axas_fault_from_arm(esr, 0, BIT(bit), &f));
		assert_int_equal(f.gpa, gpa);
		/* bits 11:0 of FAR_EL2 are those of the address, the rest is not */
		assert_ok(axas_fault_from_arm(esr, BIT(bit), HPFAR, &f));
		assert_int_equal(f.gpa, 0x40000000 | (bit < 12 ? BIT(bit) : 0));
		assert_int_equal(f.gva, BIT(bit));
	}
}

static void arm_exceptions_of_another_class_are_invalid(void **state)
{
	axas_fault_t f, before;

	(void)state;
	memset(&before, 0xa5, sizeof(before));
	for (uint64_t class = 0; class < 64; class ++) {
		f = before;
		if (class == EC_INSTRUCTION_ABORT || class == EC_DATA_ABORT) {
			assert_ok(axas_fault_from_arm(class << 26 | 0x07, FAR, HPFAR, &f));
			continue;
		}
		assert_status(AXAS_ERR_INVALID_INPUT,
			      axas_fault_from_arm(class << 26 | 0x07, FAR, HPFAR, &f));
		assert_memory_equal(&f, &before, sizeof(f));
	}
	assert_status(AXAS_ERR_INVALID_INPUT, axas_fault_from_arm(EC_DATA_ABORT << 26, 0, 0, NULL));
}

/* --- AMD ------------------------------------------------------------------------------------- */

#define NPF_PRESENT  BIT(0)
#define NPF_WRITE    BIT(1)
#define NPF_USER     BIT(2)
#define NPF_RESERVED BIT(3)
#define NPF_FETCH    BIT(4)
#define NPF_RMP      BIT(31)
#define NPF_FINAL    BIT(32)
#define NPF_WALK     BIT(33)
#define NPF_ENC      BIT(34)
#define NPF_SIZEM    BIT(35)
#define NPF_VMPL     BIT(36)
#define NPF_SSS      BIT(37)

static axas_fault_t npf_expected(uint64_t code)
{
	axas_fault_t f = { .gpa = 0x12345678, .valid = AXAS_VALID_GPA | AXAS_VALID_ACCESS };

	if (code & (NPF_RMP | NPF_SIZEM | NPF_VMPL | NPF_SSS))
		f.kind = AXAS_KIND_OTHER;
	else if (code & NPF_RESERVED)
		f.kind = AXAS_KIND_MISCONFIG;
	else
		f.kind = code & NPF_PRESENT ? AXAS_KIND_PERMISSION : AXAS_KIND_TRANSLATION;
	if (code & NPF_WALK) {
		f.valid |= AXAS_IS_TABLE_WALK;
		f.access = code & NPF_WRITE ? AXAS_WRITE : AXAS_READ;
		return f;
	}
	f.access = code & NPF_WRITE ? AXAS_WRITE : 0;
	f.access |= code & NPF_FETCH ? AXAS_EXECUTE : 0;
	if (f.access == 0)
		f.access = AXAS_READ;
	return f;
}

static void npf_codes_of_every_bit(void **state)
{
	/* bits 6:0 and 37:31, each combination */
	(void)state;
	for (uint64_t low = 0; low < BIT(7); low++) {
		for (uint64_t high = 0; high < BIT(7); high++) {
			const uint64_t code = low | high << 31;
			const axas_fault_t expected = npf_expected(code);
			axas_fault_t f;

			memset(&f, 0xa5, sizeof(f));
			assert_ok(axas_fault_from_npf(code, 0x12345678, &f));
			expect("EXITINFO1", code, &f, &expected);
			sane(f);
		}
	}
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
	for (size_t i = 0; i < COUNT(t); i++) {
		axas_fault_t f;

		assert_ok(axas_fault_from_npf(t[i].code, 0x12345678, &f));
		assert_int_equal(f.gpa, 0x12345678);
		assert_int_equal(f.kind, t[i].kind);
		assert_int_equal(f.access, t[i].access);
		assert_int_equal(f.valid, AXAS_VALID_GPA | AXAS_VALID_ACCESS | t[i].walk);
	}
	assert_status(AXAS_ERR_INVALID_INPUT, axas_fault_from_npf(4, 0, NULL));
}

/* --- Intel ----------------------------------------------------------------------------------- */

#define EPT_VIOLATION        48u
#define EPT_MISCONFIGURATION 49u
#define EPT_LINEAR           BIT(7)
#define EPT_FINAL            BIT(8)

static axas_fault_t ept_expected(uint64_t qualification)
{
	const int allows_something = (qualification >> 3 & 7) != 0;
	axas_fault_t f = { .gpa = 0xabcd123, .valid = AXAS_VALID_GPA };

	f.kind = allows_something ? AXAS_KIND_PERMISSION : AXAS_KIND_TRANSLATION;
	if (qualification & BIT(0))
		f.access |= AXAS_READ;
	if (qualification & BIT(1))
		f.access |= AXAS_WRITE;
	if (qualification & BIT(2))
		f.access |= AXAS_EXECUTE;
	if (f.access != 0)
		f.valid |= AXAS_VALID_ACCESS;
	else
		f.access = allows_something ? ALL_ACCESS : AXAS_READ;
	/* a fetch from what may be fetched from: something else forbade it */
	if (qualification & BIT(2) && qualification & BIT(5))
		f.kind = AXAS_KIND_OTHER;
	/* bit 8 means something only with bit 7 */
	if ((qualification & EPT_LINEAR) && !(qualification & EPT_FINAL))
		f.valid |= AXAS_IS_TABLE_WALK;
	return f;
}

static void ept_qualifications_of_every_bit(void **state)
{
	/* bits 16:0: besides the access, what entries allow and the walk, what the guest's tables say, NMI
	 * blocking, shadow stacks, verification of guest paging and asynchronous accesses */
	(void)state;
	for (uint64_t qualification = 0; qualification < BIT(17); qualification++) {
		const axas_fault_t expected = ept_expected(qualification);
		axas_fault_t f;

		memset(&f, 0xa5, sizeof(f));
		assert_ok(axas_fault_from_ept(EPT_VIOLATION, qualification, 0xabcd123, &f));
		expect("qualification", qualification, &f, &expected);
		sane(f);
	}
}

static void ept_violations_as_hosts_meet_them(void **state)
{
	const uint64_t final = EPT_LINEAR | EPT_FINAL;
	axas_fault_t f;

	(void)state;
	assert_ok(axas_fault_from_ept(EPT_VIOLATION, final | 1 << 1, 0xabcd000, &f));
	assert_int_equal(f.kind, AXAS_KIND_TRANSLATION);
	assert_int_equal(f.access, AXAS_WRITE);
	assert_int_equal(f.gpa, 0xabcd000);
	assert_int_equal(f.valid, AXAS_VALID_GPA | AXAS_VALID_ACCESS);
	/* a fetch from what may be read only; a write to what may not be written, as seen on Bochs */
	assert_ok(axas_fault_from_ept(EPT_VIOLATION, final | 1 << 2 | 1 << 3, 0xabcd000, &f));
	assert_int_equal(f.kind, AXAS_KIND_PERMISSION);
	assert_int_equal(f.access, AXAS_EXECUTE);
	assert_ok(axas_fault_from_ept(EPT_VIOLATION, 0x1aa, 0xabcd000, &f));
	assert_int_equal(f.kind, AXAS_KIND_PERMISSION);
	assert_int_equal(f.access, AXAS_WRITE);
	/* a user fetch with mode-based execute control: supervisor code may run there (5), user code not (6) */
	assert_ok(axas_fault_from_ept(EPT_VIOLATION, final | 1 << 2 | 7 << 3, 0xabcd000, &f));
	assert_int_equal(f.kind, AXAS_KIND_OTHER);
	assert_int_equal(f.access, AXAS_EXECUTE);
	/* a walk of the guest's tables: a read, with accessed and dirty flags also a write */
	assert_ok(axas_fault_from_ept(EPT_VIOLATION, EPT_LINEAR | 1 << 0, 0xabcd000, &f));
	assert_int_equal(f.access, AXAS_READ);
	assert_int_not_equal(f.valid & AXAS_IS_TABLE_WALK, 0);
	assert_ok(axas_fault_from_ept(EPT_VIOLATION, EPT_LINEAR | 3, 0xabcd000, &f));
	assert_int_equal(f.access, RW);
	assert_int_not_equal(f.valid & AXAS_IS_TABLE_WALK, 0);
}

static void ept_exits_for_another_reason_are_invalid(void **state)
{
	axas_fault_t f, before;

	(void)state;
	memset(&before, 0xa5, sizeof(before));
	for (uint32_t reason = 0; reason < 0x10000; reason++) {
		f = before;
		if (reason == EPT_VIOLATION || reason == EPT_MISCONFIGURATION) {
			assert_ok(axas_fault_from_ept(reason, 1, 0x1000, &f));
			continue;
		}
		assert_status(AXAS_ERR_INVALID_INPUT, axas_fault_from_ept(reason, 1, 0x1000, &f));
		assert_memory_equal(&f, &before, sizeof(f));
	}
	/* enclave mode, a pending MTF exit, an exit from VMX root operation: the same reasons */
	for (uint32_t bit = 16; bit < 31; bit++) {
		assert_ok(axas_fault_from_ept(EPT_VIOLATION | 1u << bit, 1, 0x1000, &f));
		assert_ok(axas_fault_from_ept(EPT_MISCONFIGURATION | 1u << bit, 1, 0x1000, &f));
	}
	/* a VM entry that failed */
	assert_status(AXAS_ERR_INVALID_INPUT,
		      axas_fault_from_ept(EPT_VIOLATION | 1u << 31, 1, 0x1000, &f));
	assert_status(AXAS_ERR_INVALID_INPUT,
		      axas_fault_from_ept(EPT_MISCONFIGURATION | 1u << 31, 1, 0x1000, &f));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_fault_from_ept(EPT_VIOLATION, 1, 0, NULL));
}

static void an_ept_misconfiguration_has_an_address_and_no_more(void **state)
{
	const axas_fault_t expected = {
		.gpa = 0xabcd123,
		.access = AXAS_READ,
		.kind = AXAS_KIND_MISCONFIG,
		.valid = AXAS_VALID_GPA,
	};

	(void)state;
	/* the qualification is undefined */
	for (uint32_t bit = 0; bit < 64; bit++) {
		axas_fault_t f;

		assert_ok(axas_fault_from_ept(EPT_MISCONFIGURATION, BIT(bit), 0xabcd123, &f));
		expect("qualification", BIT(bit), &f, &expected);
	}
}

/* --- RISC-V ---------------------------------------------------------------------------------- */

#define CAUSE_FETCH 20ull
#define CAUSE_LOAD  21ull
#define CAUSE_STORE 23ull

static uint32_t riscv_cause(uint64_t scause)
{
	if (scause == CAUSE_FETCH)
		return AXAS_EXECUTE;
	if (scause == CAUSE_LOAD)
		return AXAS_READ;
	return scause == CAUSE_STORE ? AXAS_WRITE : 0;
}

/* The pseudoinstructions of a VS-stage walk; 0 for all else. */
static uint32_t riscv_walk(uint64_t htinst)
{
	static const struct {
		uint64_t htinst;
		uint32_t access;
	} t[] = {
		{ 0x2000, AXAS_READ },
		{ 0x2020, AXAS_WRITE },
		{ 0x3000, AXAS_READ },
		{ 0x3020, AXAS_WRITE },
	};

	for (size_t i = 0; i < COUNT(t); i++)
		if (t[i].htinst == htinst)
			return t[i].access;
	return 0;
}

static axas_fault_t riscv_expected(uint64_t scause, uint64_t stval, uint64_t htval, uint64_t htinst)
{
	const uint32_t walk = riscv_walk(htinst);
	/* bits 1:0 of what describes an instruction are 01 or 11; of a pseudoinstruction, 00 */
	const int is_own = (htinst & 1) != 0 || (htinst == 0 && htval != 0);
	axas_fault_t f = { .gva = stval, .kind = AXAS_KIND_TRANSLATION, .valid = AXAS_VALID_GVA };

	f.access = walk ? walk : riscv_cause(scause);
	if (walk || is_own)
		f.valid |= AXAS_VALID_ACCESS;
	if (walk)
		f.valid |= AXAS_IS_TABLE_WALK;
	if (htval != 0) {
		f.valid |= AXAS_VALID_GPA;
		f.gpa = htval * 4 + (is_own ? stval % 4 : 0);
	}
	return f;
}

static void riscv_faults_of_every_htinst(void **state)
{
	static const uint64_t causes[] = { CAUSE_FETCH, CAUSE_LOAD, CAUSE_STORE };
	static const uint64_t stvals[] = { 0, 0x7003, 0xffffffff80001002 };
	static const uint64_t htvals[] = { 0, 1, 0x80000000 >> 2, (BIT(59) - 4) >> 2 };

	(void)state;
	for (uint64_t n = 0; n < 4 * 0x4000; n++) {
		for (size_t j = 0; j < COUNT(htvals); j++) {
			const uint64_t scause = causes[n % 3], stval = stvals[n / 3 % 3];
			const uint64_t htinst = n < 0x4000 ? n : n * 0x10001;
			const axas_fault_t expected =
				riscv_expected(scause, stval, htvals[j], htinst);
			axas_fault_t f;

			memset(&f, 0xa5, sizeof(f));
			assert_ok(axas_fault_from_riscv(scause, stval, htvals[j], htinst, &f));
			expect("htinst", htinst, &f, &expected);
			sane(f);
		}
	}
}

static void riscv_faults_as_hosts_meet_them(void **state)
{
	axas_fault_t f;

	(void)state;
	assert_ok(axas_fault_from_riscv(CAUSE_LOAD, 0x7003, 0x80000000 >> 2, 0, &f));
	assert_int_equal(f.access, AXAS_READ);
	assert_int_equal(f.gpa, 0x80000003);
	assert_int_equal(f.gva, 0x7003);
	assert_int_equal(f.kind, AXAS_KIND_TRANSLATION);
	assert_int_equal(f.valid, ALL_VALID);
	/* lw a0, 2(a1), transformed: the same, also as a compressed instruction */
	assert_ok(axas_fault_from_riscv(CAUSE_LOAD, 0x7003, 0x80000000 >> 2, 0x2503, &f));
	assert_int_equal(f.gpa, 0x80000003);
	assert_int_equal(f.valid, ALL_VALID);
	assert_ok(axas_fault_from_riscv(CAUSE_LOAD, 0x7003, 0x80000000 >> 2, 0x2501, &f));
	assert_int_equal(f.valid, ALL_VALID);
	/* the access of a walk is in htinst, whatever the guest was doing; it has no offset */
	assert_ok(axas_fault_from_riscv(CAUSE_FETCH, 0x7002, 0x80000000 >> 2, 0x3000, &f));
	assert_int_equal(f.access, AXAS_READ);
	assert_int_equal(f.gpa, 0x80000000);
	assert_int_equal(f.valid, ALL_VALID | AXAS_IS_TABLE_WALK);
	assert_ok(axas_fault_from_riscv(CAUSE_LOAD, 0x7000, 0x80000000 >> 2, 0x3020, &f));
	assert_int_equal(f.access, AXAS_WRITE);
	/* a hart that supplies nothing: the access may be one of a walk */
	assert_ok(axas_fault_from_riscv(CAUSE_STORE, 0x7003, 0, 0, &f));
	assert_int_equal(f.access, AXAS_WRITE);
	assert_int_equal(f.gpa, 0);
	assert_int_equal(f.valid, AXAS_VALID_GVA);
}

static void riscv_addresses_are_not_cut_short(void **state)
{
	(void)state;
	for (uint32_t bit = 0; bit < 64; bit++) {
		axas_fault_t f;

		assert_ok(axas_fault_from_riscv(CAUSE_LOAD, 3, BIT(bit), 0, &f));
		assert_int_equal(f.gpa, bit < 62 ? BIT(bit + 2) | 3 : 0);
		assert_int_equal(f.valid & AXAS_VALID_GPA, bit < 62 ? AXAS_VALID_GPA : 0);
	}
}

static void riscv_traps_of_another_cause_are_invalid(void **state)
{
	axas_fault_t f, before;

	(void)state;
	memset(&before, 0xa5, sizeof(before));
	for (uint64_t cause = 0; cause < 256; cause++) {
		const uint64_t odd[] = { cause, cause | BIT(63), cause | BIT(32), cause | BIT(8) };

		for (size_t i = 0; i < COUNT(odd); i++) {
			f = before;
			if (i == 0 && riscv_cause(cause) != 0) {
				assert_ok(axas_fault_from_riscv(cause, 0, 1, 0, &f));
				continue;
			}
			assert_status(AXAS_ERR_INVALID_INPUT,
				      axas_fault_from_riscv(odd[i], 0, 1, 0, &f));
			assert_memory_equal(&f, &before, sizeof(f));
		}
	}
	assert_status(AXAS_ERR_INVALID_INPUT, axas_fault_from_riscv(CAUSE_LOAD, 0, 1, 0, NULL));
}

/* --- guesses --------------------------------------------------------------------------------- */

/*
 * An access that is not known: handled as the decoder guesses it, a guest gets on or is denied, and does
 * not fault for ever.
 */
static void a_guess_leads_somewhere(void **state)
{
	FIXTURE(f);
	axas_fault_t fault;

	/* a page that was never touched, read-only */
	assert_ok(axas_map_alloc(f->as, 0x40000000, PAGE, AXAS_READ));
	fault = arm(EC_DATA_ABORT, CM | WNR | 0x07);
	assert_int_equal(fault.valid & AXAS_VALID_ACCESS, 0);
	assert_int_equal(axas_handle_page_fault(f->as, fault.gpa, fault.access),
			 AXAS_FAULT_RESOLVED);
	/* the walk could read it; so what was forbidden was to write */
	fault = arm(EC_DATA_ABORT, S1PTW | 0x0f);
	assert_int_equal(fault.valid & AXAS_VALID_ACCESS, 0);
	assert_int_equal(axas_handle_page_fault(f->as, fault.gpa, fault.access), AXAS_FAULT_DENIED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arm_aborts_of_every_status_code_and_bit),
		cmocka_unit_test(arm_aborts_as_hosts_meet_them),
		cmocka_unit_test(arm_addresses_are_not_cut_short),
		cmocka_unit_test(arm_exceptions_of_another_class_are_invalid),
		cmocka_unit_test(npf_codes_of_every_bit),
		cmocka_unit_test(npf_codes_as_seen_on_the_emulator),
		cmocka_unit_test(ept_qualifications_of_every_bit),
		cmocka_unit_test(ept_violations_as_hosts_meet_them),
		cmocka_unit_test(ept_exits_for_another_reason_are_invalid),
		cmocka_unit_test(an_ept_misconfiguration_has_an_address_and_no_more),
		cmocka_unit_test(riscv_faults_of_every_htinst),
		cmocka_unit_test(riscv_faults_as_hosts_meet_them),
		cmocka_unit_test(riscv_addresses_are_not_cut_short),
		cmocka_unit_test(riscv_traps_of_another_cause_are_invalid),
		ONE(a_guess_leads_somewhere, setup_space, arm),
	};

	return cmocka_run_group_tests_name("decode", tests, NULL, NULL);
}
