/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The walker itself: it accepts a hand-written table of each format and refuses it with any bit
 * changed that hardware reserves, requires or gives to somebody else.
 */
#include "fixture.h"

#define TABLE_PA 0x100000000ull
#define FRAME_PA 0x200000000ull
#define TABLES   8u

struct by_hand {
	struct walker w;
	_Alignas(16384) uint64_t table[TABLES + 4][512]; /* the root may take the first four */
	uint64_t leaf[4]; /* by level, on FRAME_PA */
	uint64_t link; /* entry that points at a table, without the address */
	uint32_t address_shift; /* of the address within an entry, to the right */
	uint32_t root_tables;
};

static const void *at_hand(const void *ctx, uint64_t pa, uint64_t bytes)
{
	const struct by_hand *h = ctx;

	if (pa < TABLE_PA || pa + bytes > TABLE_PA + sizeof(h->table))
		return NULL;
	return (const uint8_t *)h->table + (pa - TABLE_PA);
}

static uint64_t entry_of(const struct by_hand *h, uint64_t bits, uint64_t pa)
{
	return bits | pa >> h->address_shift;
}

/* A chain of tables to level 1 for address 0, and one leaf at the level asked for. */
static uint64_t *build(struct by_hand *h, uint32_t leaf_level)
{
	const uint64_t empty = h->w.format == WALK_EPT ? 1ull << 63 : 0;
	uint64_t *entry = h->table[0];
	uint32_t used = h->root_tables;

	for (uint32_t t = 0; t < TABLES + 4; t++)
		for (uint32_t i = 0; i < 512; i++)
			h->table[t][i] = empty;
	for (uint32_t level = h->w.levels; level > leaf_level; level--) {
		*entry = entry_of(h, h->link, TABLE_PA + used * PAGE);
		entry = h->table[used++];
	}
	*entry = entry_of(h, h->leaf[leaf_level], FRAME_PA);
	return entry;
}

static void start(struct by_hand *h)
{
	h->w.at = at_hand;
	h->w.ctx = h;
	h->w.pa_bits = 40;
	assert_null(walker_start(&h->w));
	h->root_tables = h->w.root_entries > 512 ? (uint32_t)(h->w.root_entries / 512) : 1;
}

static struct by_hand *make(enum walk_format format)
{
	struct by_hand *h = NULL;

	assert_int_equal(posix_memalign((void **)&h, 16384, sizeof(*h)), 0);
	memset(h, 0, sizeof(*h));
	h->w.format = format;
	h->w.root_register = TABLE_PA;
	switch (format) {
	case WALK_EPT:
		h->w.root_register |= 6 | 3 << 3 | 1 << 6;
		h->w.cpu = CPU_1G_PAGES;
		h->link = 7 | 1 << 8;
		h->leaf[1] = 7 | 6 << 3 | 3 << 8 | 1ull << 53;
		h->leaf[2] = h->leaf[3] = h->leaf[1] | 1 << 7;
		break;
	case WALK_NPT:
		h->w.npt_levels = 4;
		h->w.cpu = CPU_1G_PAGES;
		h->link = 0x27;
		h->leaf[1] = 0x67 | 1ull << 53;
		h->leaf[2] = h->leaf[3] = 0xe7 | 1ull << 53;
		break;
	case WALK_ARM:
		h->w.control_register = 0x80023558;
		h->link = 3;
		h->leaf[1] = 3 | 15 << 2 | 3 << 6 | 3 << 8 | 1 << 10 | 1ull << 55 | 1ull << 57;
		h->leaf[2] = h->leaf[3] = h->leaf[1] & ~2ull;
		break;
	case WALK_RISCV:
		h->w.root_register = 8ull << 60 | TABLE_PA >> 12;
		h->w.cpu = CPU_SVRSW60T59B;
		h->link = 1;
		h->address_shift = 2;
		h->leaf[1] = h->leaf[2] = h->leaf[3] = 0xdf;
		break;
	}
	start(h);
	return h;
}

/*
 * Bits of a leaf or a table entry that may be flipped without the entry becoming illegal; and bits of a
 * leaf that allow writes, which go together.
 */
struct free_bits {
	uint64_t leaf, link, write;
};

#define RANGE(high, low) ((1ull << ((high) + 1)) - (1ull << (low)))

static const struct free_bits free_bits[] = {
	/* X, WB to WT, software, tag, suppress #VE; bit 7 of a 4 KiB leaf is ignored */
	[WALK_EPT] = { 1 << 2 | 1 << 4 | 5ull << 52 | 3ull << 55 | 9ull << 59 | 1ull << 63,
		       RANGE(56, 52), 1 << 1 | 1ull << 53 },
	/* XD, software, tag; the dirty bit of a table entry is ignored */
	[WALK_NPT] = { 5ull << 52 | 15ull << 55 | 1ull << 63, 1 << 6 | RANGE(58, 52),
		       1 << 1 | 1ull << 53 },
	/* S2AP[0], execute-never, software, tag */
	[WALK_ARM] = { 1 << 6 | 1ull << 54 | 1ull << 56 | 15ull << 59,
		       RANGE(58, 51) | RANGE(9, 2) | 1 << 11, 1 << 7 | 1ull << 57 },
	/* W, X, RSW, tag; R goes where W stays: illegal */
	[WALK_RISCV] = { 1 << 2 | 1 << 3 | 3 << 8 | 3ull << 59, 3 << 8, 1 << 2 },
};

/* Flipping one bit of a legal entry: still legal only where software may. */
static void flip_each_bit(struct by_hand *h, uint32_t level)
{
	const uint64_t size = PAGE << (9 * (level - 1));
	uint64_t *entry = build(h, level);
	const uint64_t good = *entry;

	assert_int_equal(walker_walk(&h->w, 0).outcome, WALK_LEAF);
	for (uint32_t bit = 0; bit < 64; bit++) {
		const uint64_t address_bit = (1ull << bit) << h->address_shift;
		const int in_address = (h->w.format == WALK_RISCV ? bit >= 10 && bit <= 53 :
								    bit >= 12 && bit <= 51);
		int legal = (free_bits[h->w.format].leaf >> bit & 1) != 0;
		struct walk r;

		*entry = good ^ 1ull << bit;
		if (in_address && address_bit >= size && address_bit < 1ull << h->w.pa_bits)
			legal = 1;
		r = walker_walk(&h->w, 0);
		if (h->w.format == WALK_EPT && level == 1 && bit == 7)
			legal = 1;
		/* no longer a leaf: then what it points at is not there */
		if (legal != (r.outcome == WALK_LEAF) && !(bit == 0 && r.outcome == WALK_FAULT))
			fail_msg("format %d level %u bit %u: %s", (int)h->w.format, level, bit,
				 legal ? r.why : "accepted");
	}
	*entry = good ^ free_bits[h->w.format].write;
	assert_int_equal(walker_walk(&h->w, 0).access, WALK_R | WALK_X);
	*entry = good;
}

static void flip_each_link_bit(struct by_hand *h)
{
	uint64_t good;

	build(h, 1);
	good = h->table[0][0];
	for (uint32_t bit = 1; bit < 64; bit++) {
		const int in_address = (h->w.format == WALK_RISCV ? bit >= 10 && bit <= 53 :
								    bit >= 12 && bit <= 47);
		const int legal = (free_bits[h->w.format].link >> bit & 1) != 0;
		struct walk r;

		if (in_address)
			continue;
		h->table[0][0] = good ^ 1ull << bit;
		r = walker_walk(&h->w, 0);
		if (legal != (r.outcome == WALK_LEAF))
			fail_msg("format %d link bit %u: %s", (int)h->w.format, bit,
				 legal ? r.why : "accepted");
	}
}

static void every_illegal_bit_is_seen(void **state)
{
	(void)state;
	for (enum walk_format format = WALK_EPT; format <= WALK_RISCV; format++) {
		struct by_hand *h = make(format);

		for (uint32_t level = 1; level <= 3; level++)
			flip_each_bit(h, level);
		flip_each_link_bit(h);
		free(h);
	}
}

static void addresses_beyond_the_width_fault_and_do_not_wrap(void **state)
{
	static const uint32_t bits[] = { 0, 48, 48, 40, 41 };

	(void)state;
	for (enum walk_format format = WALK_EPT; format <= WALK_RISCV; format++) {
		struct by_hand *h = make(format);

		build(h, 1);
		assert_int_equal(h->w.gpa_bits, bits[format]);
		assert_int_equal(walker_walk(&h->w, 0).outcome, WALK_LEAF);
		assert_int_equal(walker_walk(&h->w, 1ull << bits[format]).outcome, WALK_FAULT);
		assert_int_equal(walker_walk(&h->w, 1ull << (bits[format] - 1)).outcome,
				 WALK_FAULT);
		free(h);
	}
}

static void leaves_say_where_and_how(void **state)
{
	(void)state;
	for (enum walk_format format = WALK_EPT; format <= WALK_RISCV; format++) {
		struct by_hand *h = make(format);

		for (uint32_t level = 1; level <= 3; level++) {
			struct walk r;

			build(h, level);
			r = walker_walk(&h->w, 0x123);
			assert_int_equal(r.hpa, FRAME_PA + 0x123);
			assert_int_equal(r.size, PAGE << (9 * (level - 1)));
			assert_int_equal(r.access, WALK_R | WALK_W | WALK_X);
			assert_int_equal(r.memory, format == WALK_RISCV ? MEM_PMA : MEM_WB);
		}
		free(h);
	}
}

static void a_sweep_counts_tables_leaves_and_empty_tables(void **state)
{
	(void)state;
	for (enum walk_format format = WALK_EPT; format <= WALK_RISCV; format++) {
		struct by_hand *h = make(format);
		uint64_t *entry = build(h, 1);
		struct sweep s;

		walker_sweep(&h->w, &s);
		assert_int_equal(s.broken, 0);
		assert_int_equal(s.leaves[1], 1);
		assert_int_equal(s.tables[1], 1);
		assert_int_equal(s.empty_tables, 0);
		assert_int_equal(s.table_frames, h->root_tables + h->w.levels - 1);
		*entry = format == WALK_EPT ? 1ull << 63 : 0;
		walker_sweep(&h->w, &s);
		assert_int_equal(s.empty_tables, 1);
		assert_int_equal(s.leaves[1], 0);
		/* a table that names itself ends at the last level */
		h->table[0][0] = entry_of(h, h->link, TABLE_PA);
		walker_sweep(&h->w, &s);
		assert_true(s.broken > 0);
		free(h);
	}
}

static void bad_registers_are_refused(void **state)
{
	static const struct {
		enum walk_format format;
		uint64_t root_flip, control;
	} t[] = {
		{ WALK_EPT, 1 << 0, 0 },       { WALK_EPT, 1 << 3, 0 },
		{ WALK_EPT, 1 << 7, 0 },       { WALK_NPT, 1 << 4, 0 },
		{ WALK_NPT, 1ull << 52, 0 },   { WALK_ARM, 1 << 12, 0x80023558 },
		{ WALK_ARM, 0, 0x80023598 },   { WALK_ARM, 0, 0x80013558 },
		{ WALK_ARM, 0, 0x80027558 },   { WALK_RISCV, 1 << 0, 0 },
		{ WALK_RISCV, 1ull << 63, 0 }, { WALK_RISCV, 1ull << 58, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct by_hand *h = make(t[i].format);

		h->w.pa_bits = 40;
		h->w.root_register ^= t[i].root_flip;
		if (t[i].control != 0)
			h->w.control_register = t[i].control;
		if (walker_start(&h->w) == NULL)
			fail_msg("registers %zu were accepted", i);
		free(h);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_illegal_bit_is_seen),
		cmocka_unit_test(addresses_beyond_the_width_fault_and_do_not_wrap),
		cmocka_unit_test(leaves_say_where_and_how),
		cmocka_unit_test(a_sweep_counts_tables_leaves_and_empty_tables),
		cmocka_unit_test(bad_registers_are_refused),
	};

	return cmocka_run_group_tests_name("walker", tests, NULL, NULL);
}
