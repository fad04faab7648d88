/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Copies over tables that somebody else wrote to: they say so, come as far as the tables are good,
 * close their windows and touch no memory that is not the space's. (A host with a direct map cannot
 * be asked whether it has memory at an address.)
 */
#include "ground.h"
#include "tlb.h"

/* The last 8 bytes under one table of leaves, and the first ones under the next. */
#define BAD  (GIB + 2 * MIB)
#define GOOD (BAD - 8)

/* Below every width, and no memory of the host. */
#define NOWHERE 0x700000000ull

#define RANDOM_WORDS 4000u

/* A frame that the library had and gave back. */
static axas_hpa_t gone;

static uint64_t *word_at(const struct fixture *f, uint32_t level, axas_gpa_t gpa)
{
	const struct walker w = space_walker(f->as);
	uint64_t *words = host_at(&f->host, w.root);

	for (uint32_t at = w.levels; at > level; at--) {
		const uint64_t word = words[gpa / entry_size(at) % 512];

		words = host_at(&f->host, entry_decode(f->cfg.format, at, word).address);
	}
	return &words[gpa / entry_size(level) % 512];
}

/* The entry with another address in it. */
static uint64_t pointed(const struct fixture *f, uint64_t word, axas_hpa_t pa)
{
	if (f->cfg.format == AXAS_FORMAT_RISCV_GSTAGE)
		return (word & 0x3ff) | pa >> 2;
	return (word & 0xfff0000000000fffull) | pa;
}

static uint64_t nowhere(const struct fixture *f, uint64_t word)
{
	return pointed(f, word, NOWHERE);
}

static uint64_t went_back(const struct fixture *f, uint64_t word)
{
	return pointed(f, word, gone);
}

static uint64_t beyond_the_width(const struct fixture *f, uint64_t word)
{
	return pointed(f, word, 1ull << f->fc->pa_bits);
}

static const struct {
	const char *name;
	uint32_t level;
	uint64_t (*change)(const struct fixture *f, uint64_t word);
} corruptions[] = {
	{ "a leaf leads nowhere", 1, nowhere },
	{ "a table leads nowhere", 2, nowhere },
	{ "a leaf leads to a frame that went back", 1, went_back },
	{ "a table leads to a frame that went back", 2, went_back },
	{ "a leaf beyond the width", 1, beyond_the_width },
	{ "a table beyond the width", 2, beyond_the_width },
};

static void open_space(struct fixture *f, enum host_map_kind kind)
{
	ground_host(f, kind);
	ground_create(f);
	assert_ok(axas_map_alloc(f->as, BAD - PAGE, 4 * PAGE, RW | AXAS_POPULATE));
	assert_ok(axas_map_alloc(f->as, BAD + 3 * PAGE, PAGE, RW | AXAS_POPULATE));
	gone = at(f, BAD + 3 * PAGE).hpa;
	assert_ok(axas_unmap(f->as, BAD + 3 * PAGE, PAGE));
}

struct seen {
	uint64_t bytes;
};

static uint32_t count_chunk(void *ctx, axas_gpa_t gpa, void *host, size_t bytes)
{
	struct seen *s = ctx;

	(void)gpa;
	(void)host;
	s->bytes += bytes;
	return 1;
}

static void expect_copies_end(struct fixture *f, uint32_t access)
{
	uint8_t buf[24];
	uint64_t filled = 99;
	struct seen seen = { 0 };
	size_t done = 99;

	memset(buf, 0xee, sizeof(buf));
	assert_status(AXAS_ERR_BAD_STATE, axas_read(f->as, GOOD, buf, 24, access, &done));
	assert_int_equal(done, 8);
	for (uint32_t i = 0; i < 24; i++)
		assert_int_equal(buf[i], i < 8 ? 0x11 : 0xee);
	memset(buf, 0x11, sizeof(buf));
	assert_status(AXAS_ERR_BAD_STATE, axas_write(f->as, GOOD, buf, 24, access, &done));
	assert_int_equal(done, 8);
	assert_status(AXAS_ERR_BAD_STATE, axas_fill(f->as, GOOD, 0x11, 24, access, &filled));
	assert_int_equal(filled, 8);
	assert_status(AXAS_ERR_BAD_STATE,
		      axas_for_each_chunk(f->as, GOOD, 24, RW | access, count_chunk, &seen));
	assert_int_equal(seen.bytes, 8);
	assert_status(AXAS_ERR_BAD_STATE, axas_read(f->as, BAD, buf, 1, access, &done));
	assert_int_equal(done, 0);
	host_check(&f->host);
}

static void expect_scalars_end(struct fixture *f, uint32_t access)
{
	uint64_t v64 = 5;
	uint32_t v32 = 5;
	uint16_t v16 = 5;
	uint8_t v8 = 5;

	assert_status(AXAS_ERR_BAD_STATE, axas_read_u8(f->as, BAD, access, &v8));
	assert_status(AXAS_ERR_BAD_STATE, axas_read_u16(f->as, BAD, access, &v16));
	assert_status(AXAS_ERR_BAD_STATE, axas_read_u32(f->as, BAD, access, &v32));
	assert_status(AXAS_ERR_BAD_STATE, axas_read_u64(f->as, BAD, access, &v64));
	assert_true(v8 == 5 && v16 == 5 && v32 == 5 && v64 == 5);
	assert_status(AXAS_ERR_BAD_STATE, axas_write_u8(f->as, BAD, access, 9));
	assert_status(AXAS_ERR_BAD_STATE, axas_write_u16(f->as, BAD, access, 9));
	assert_status(AXAS_ERR_BAD_STATE, axas_write_u32(f->as, BAD, access, 9));
	assert_status(AXAS_ERR_BAD_STATE, axas_write_u64(f->as, BAD, access, 9));
	host_check(&f->host);
}

/* Pages before and behind the corruption, through the host's eyes. */
static void expect_bytes(const struct fixture *f, axas_gpa_t gpa, uint64_t bytes, uint8_t byte)
{
	const uint8_t *seen = guest_memory(f, gpa);

	for (uint64_t i = 0; i < bytes; i++)
		assert_int_equal(seen[i], byte);
}

static void run_corruption(struct fixture *f, size_t c)
{
	uint64_t *word = word_at(f, corruptions[c].level, BAD);
	const uint64_t good = *word;

	assert_ok(axas_fill(f->as, BAD - PAGE, 0x33, 4 * PAGE, 0, NULL));
	assert_ok(axas_fill(f->as, GOOD, 0x11, 8, 0, NULL));
	*word = corruptions[c].change(f, good);
	assert_int_not_equal(*word, good);
	expect_copies_end(f, 0);
	expect_copies_end(f, AXAS_ACCESS_HOST);
	expect_scalars_end(f, 0);
	expect_scalars_end(f, AXAS_ACCESS_HOST);
	*word = good;
	expect_bytes(f, BAD - PAGE, PAGE - 8, 0x33);
	expect_bytes(f, GOOD, 8, 0x11);
	for (uint32_t page = 0; page < 3; page++)
		expect_bytes(f, BAD + page * PAGE, PAGE, 0x33);
	space_sweep(f->as);
}

static void a_corrupt_table_is_a_bad_state_with_a_short_count(void **state)
{
	FIXTURE(f);

	for
		EVERY_KIND(kind)
		{
			if (*kind == HOST_DIRECT_MAP)
				continue;
			open_space(f, *kind);
			for (size_t c = 0; c < sizeof(corruptions) / sizeof(corruptions[0]); c++)
				run_corruption(f, c);
			fixture_destroy(f);
		}
}

static void expect_no_copy(struct fixture *f, axas_gpa_t gpa)
{
	uint64_t value = 5, done = 9;
	uint8_t buf[8];

	assert_status(AXAS_ERR_BAD_STATE, axas_read(f->as, gpa, buf, 8, AXAS_ACCESS_HOST, NULL));
	assert_status(AXAS_ERR_BAD_STATE, axas_write(f->as, gpa, buf, 8, 0, NULL));
	assert_status(AXAS_ERR_BAD_STATE, axas_fill(f->as, gpa, 1, 8, 0, &done));
	assert_int_equal(done, 0);
	assert_status(AXAS_ERR_BAD_STATE, axas_read_u64(f->as, gpa, 0, &value));
	assert_status(AXAS_ERR_BAD_STATE, axas_write_u64(f->as, gpa, 0, 6));
	assert_int_equal(value, 5);
	host_check(&f->host);
}

/* It may be a table's pointer that somebody made a leaf of: its last bits are the address of a page. */
static void a_large_leaf_at_the_address_of_a_page_is_a_bad_state(void **state)
{
	FIXTURE(f);

	for
		EVERY_KIND(kind)
		{
			uint64_t good, *word;

			ground_host(f, *kind);
			ground_create(f);
			assert_ok(axas_map_linear(f->as, GIB, LINEAR_IN_POOL, 2 * MIB, RW));
			assert_ok(axas_map_linear(f->as, 2 * GIB, LINEAR_HPA, GIB, RW));
			word = word_at(f, 2, GIB);
			good = *word;
			for (axas_hpa_t off = PAGE; off < 2 * MIB; off *= 2) {
				*word = pointed(f, good, LINEAR_IN_POOL + off);
				expect_no_copy(f, GIB);
				expect_no_copy(f, GIB + MIB + 8);
			}
			*word = good;
			word = word_at(f, 3, 2 * GIB);
			good = *word;
			for (axas_hpa_t off = PAGE; off < GIB; off *= 2) {
				*word = pointed(f, good, LINEAR_HPA + off);
				expect_no_copy(f, 2 * GIB + 16);
			}
			*word = good;
			assert_ok(axas_fill(f->as, GIB, 0x21, 2 * MIB, 0, NULL));
			fixture_destroy(f);
		}
}

/* Of a leaf, and none of its address: with another frame of the space in it no copy can know. */
static uint64_t with_a_bit_changed(const struct fixture *f, uint64_t word, uint32_t random)
{
	const int riscv = f->cfg.format == AXAS_FORMAT_RISCV_GSTAGE;
	const uint32_t first = riscv ? 54 : 52, low = riscv ? 10 : 12;
	const uint32_t n = random % (low + 64 - first);

	return word ^ 1ull << (n < low ? n : first + n - low);
}

static axas_status_t copy_somehow(struct fixture *f, uint64_t random)
{
	const uint32_t access = random & 8 ? (uint32_t)AXAS_ACCESS_HOST : 0;
	struct seen seen = { 0 };
	uint8_t buf[64];
	uint64_t value;

	switch (random & 7) {
	case 0:
	case 1:
		return axas_read(f->as, GOOD, buf, sizeof(buf), access, NULL);
	case 2:
		memset(buf, 0x33, sizeof(buf));
		return axas_write(f->as, GOOD, buf, sizeof(buf), access, NULL);
	case 3:
		return axas_fill(f->as, GOOD, 0x33, 2 * PAGE, access, NULL);
	case 4:
		return axas_for_each_chunk(f->as, GOOD, PAGE, RW | access, count_chunk, &seen);
	case 5:
		return axas_write_u32(f->as, BAD + 4, access, 0x33333333);
	default:
		return axas_read_u64(f->as, BAD + 8, access, &value);
	}
}

static void whatever_stands_in_an_entry_a_copy_has_an_answer(void **state)
{
	FIXTURE(f);
	uint64_t rng = 88172645463325252ull;
	uint32_t seen[-AXAS_ERR_AGAIN + 1] = { 0 };

	open_space(f, HOST_WINDOWS);
	assert_ok(axas_fill(f->as, BAD - PAGE, 0x33, 4 * PAGE, 0, NULL));
	/* a word that is a reservation must not take a frame in: nobody would give it back */
	f->host.fail_purpose = AXAS_FRAME_GUEST;
	for (uint32_t i = 0; i < RANDOM_WORDS; i++) {
		uint64_t *word = word_at(f, 1 + i % 2, BAD);
		const uint64_t good = *word;
		axas_status_t status;

		rng ^= rng << 13;
		rng ^= rng >> 7;
		rng ^= rng << 17;
		*word = i % 4 == 0 ? with_a_bit_changed(f, good, (uint32_t)(rng >> 32)) : rng;
		status = copy_somehow(f, rng);
		*word = good;
		assert_in_range(-status, 0, -AXAS_ERR_AGAIN);
		seen[-status]++;
		host_check(&f->host);
	}
	f->host.fail_purpose = 0;
	assert_true(seen[-AXAS_ERR_BAD_STATE] > RANDOM_WORDS / 8);
	assert_int_equal(seen[-AXAS_ERR_INVALID_INPUT], 0);
	/* of words that are a provider's region, for which the host has no resolve */
	assert_in_range(seen[-AXAS_ERR_AGAIN], 0, RANDOM_WORDS / 8);
	for (uint32_t page = 0; page < 4; page++)
		expect_bytes(f, BAD - PAGE + page * PAGE, PAGE, 0x33);
	space_sweep(f->as);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT_NO_SPACE(a_corrupt_table_is_a_bad_state_with_a_short_count),
		EACH_FORMAT_NO_SPACE(a_large_leaf_at_the_address_of_a_page_is_a_bad_state),
		EACH_FORMAT_NO_SPACE(whatever_stands_in_an_entry_a_copy_has_an_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
