/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What is refused, with which status, and how far the copy came. */
#include "ground.h"

#define HERE (GIB + PAGE)

/* One page of memory, then whatever the test puts at HERE. */
static void open_space(struct fixture *f, enum host_map_kind kind)
{
	ground_host(f, kind);
	ground_create(f);
	assert_ok(axas_map_alloc(f->as, GIB, PAGE, RWX | AXAS_POPULATE));
}

static uint32_t count_chunk(void *ctx, axas_gpa_t gpa, void *host, size_t bytes)
{
	(void)gpa;
	(void)host;
	*(uint64_t *)ctx += bytes;
	return 1;
}

/* From 10 bytes before HERE: 10 bytes are done, and the memory and buffer behind them stay. */
static void expect_short_read(struct fixture *f, axas_status_t status, uint32_t access)
{
	uint8_t buf[64];
	size_t done = 99;

	memset(guest_memory(f, HERE - 10), 0x31, 10);
	memset(buf, 0xee, sizeof(buf));
	assert_status(status, axas_read(f->as, HERE - 10, buf, sizeof(buf), access, &done));
	assert_int_equal(done, 10);
	for (size_t i = 0; i < sizeof(buf); i++)
		assert_int_equal(buf[i], i < 10 ? 0x31 : 0xee);
	done = 99;
	assert_status(status, axas_read(f->as, HERE, buf, 1, access, &done));
	assert_int_equal(done, 0);
	assert_status(status, axas_read(f->as, HERE, buf, 1, access, NULL));
	host_check(&f->host);
}

static void expect_short_write(struct fixture *f, axas_status_t status, uint32_t access)
{
	const uint8_t *before = guest_memory(f, HERE - PAGE);
	uint8_t buf[64];
	uint64_t filled = 99, visited = 0;
	size_t done = 99;

	memset(buf, 0x32, sizeof(buf));
	assert_status(status, axas_write(f->as, HERE - 10, buf, sizeof(buf), access, &done));
	assert_int_equal(done, 10);
	assert_int_equal(before[PAGE - 1], 0x32);
	assert_int_equal(before[PAGE - 10], 0x32);
	assert_int_not_equal(before[PAGE - 11], 0x32);
	assert_status(status, axas_fill(f->as, HERE - 7, 0x33, 64, access, &filled));
	assert_int_equal(filled, 7);
	assert_int_equal(before[PAGE - 7], 0x33);
	assert_int_equal(before[PAGE - 8], 0x32);
	assert_status(status, axas_for_each_chunk(f->as, HERE - 5, 64, AXAS_WRITE | access,
						  count_chunk, &visited));
	assert_int_equal(visited, 5);
	assert_status(status, axas_fill(f->as, HERE, 0x33, 1, access, NULL));
	host_check(&f->host);
}

static void a_hole_and_a_trap_are_not_mapped(void **state)
{
	FIXTURE(f);

	for
		EVERY_KIND(kind)
		{
			open_space(f, *kind);
			for (uint32_t access = 0; access <= AXAS_ACCESS_HOST;
			     access += AXAS_ACCESS_HOST) {
				expect_short_read(f, AXAS_ERR_NOT_MAPPED, access);
				expect_short_write(f, AXAS_ERR_NOT_MAPPED, access);
			}
			assert_ok(axas_map_trap(f->as, HERE, PAGE, 7));
			for (uint32_t access = 0; access <= AXAS_ACCESS_HOST;
			     access += AXAS_ACCESS_HOST) {
				expect_short_read(f, AXAS_ERR_NOT_MAPPED, access);
				expect_short_write(f, AXAS_ERR_NOT_MAPPED, access);
			}
			fixture_destroy(f);
		}
}

static void no_frame_for_a_reserved_page_is_no_memory(void **state)
{
	FIXTURE(f);
	uint8_t byte = 1;

	for
		EVERY_KIND(kind)
		{
			open_space(f, *kind);
			assert_ok(axas_map_alloc(f->as, HERE, PAGE, RWX));
			f->host.fail_purpose = AXAS_FRAME_GUEST;
			expect_short_read(f, AXAS_ERR_NO_MEMORY, 0);
			expect_short_read(f, AXAS_ERR_NO_MEMORY, AXAS_ACCESS_HOST);
			expect_short_write(f, AXAS_ERR_NO_MEMORY, 0);
			expect_state(f, HERE, AXAS_STATE_RESERVED);
			assert_true(stats(f).faults_no_memory > 0);
			f->host.fail_purpose = 0;
			assert_ok(axas_read(f->as, HERE, &byte, 1, 0, NULL));
			assert_int_equal(byte, 0);
			fixture_destroy(f);
		}
}

struct right {
	axas_flags_t flags;
	uint32_t formats; /* bit for each that has such pages */
};

static void expect_rights(struct fixture *f, axas_flags_t flags)
{
	uint64_t visited = 0;

	if (flags & AXAS_READ)
		assert_ok(axas_read(f->as, HERE, &visited, 1, 0, NULL));
	else
		expect_short_read(f, AXAS_ERR_DENIED, 0);
	if (flags & AXAS_EXECUTE)
		assert_ok(axas_read(f->as, HERE, &visited, 1, AXAS_ACCESS_EXECUTE, NULL));
	else
		expect_short_read(f, AXAS_ERR_DENIED, AXAS_ACCESS_EXECUTE);
	if (flags & AXAS_WRITE)
		assert_ok(axas_fill(f->as, HERE, 0, 1, 0, NULL));
	else
		expect_short_write(f, AXAS_ERR_DENIED, 0);
	if ((flags & RW) != RW)
		assert_status(AXAS_ERR_DENIED,
			      axas_for_each_chunk(f->as, HERE, 1, RW, count_chunk, &visited));
}

static void the_guests_permissions_hold_and_the_host_is_above_them(void **state)
{
	static const struct right right[] = {
		{ AXAS_READ, 0x1e }, { RW, 0x1e },         { RX, 0x1e },
		{ RWX, 0x1e },       { AXAS_WRITE, 0x08 }, { AXAS_EXECUTE, 0x18 },
	};
	FIXTURE(f);

	for (size_t i = 0; i < 2 * sizeof(right) / sizeof(right[0]); i++) {
		const struct right *r = &right[i / 2];
		const axas_flags_t populate = i % 2 ? AXAS_POPULATE : 0;
		uint8_t byte = 0x44;

		if (!(r->formats & 1u << f->fc->format))
			continue;
		open_space(f, HOST_CALLBACK);
		assert_ok(axas_map_alloc(f->as, HERE, PAGE, r->flags | populate));
		expect_rights(f, r->flags);
		assert_ok(axas_write(f->as, HERE + 9, &byte, 1, AXAS_ACCESS_HOST, NULL));
		byte = 0;
		assert_ok(axas_read(f->as, HERE + 9, &byte, 1, AXAS_ACCESS_HOST, NULL));
		assert_int_equal(byte, 0x44);
		assert_int_equal(space_access(at(f, HERE).flags), r->flags);
		fixture_destroy(f);
	}
}

static void a_denied_access_takes_no_page_in(void **state)
{
	FIXTURE(f);
	const uint8_t byte = 1;

	open_space(f, HOST_CALLBACK);
	assert_ok(axas_map_alloc(f->as, HERE, PAGE, AXAS_READ));
	assert_status(AXAS_ERR_DENIED, axas_write(f->as, HERE, &byte, 1, 0, NULL));
	expect_state(f, HERE, AXAS_STATE_RESERVED);
	assert_int_equal(f->host.guest_out, 1);
}

static void what_is_not_all_in_the_space_is_invalid(void **state)
{
	static const struct {
		axas_gpa_t gpa;
		uint64_t len;
	} range[] = {
		{ 0, 1 },
		{ GIB - 1, 2 },
		{ SPACE_SIZE - 1, 2 },
		{ SPACE_SIZE, 1 },
		{ ~0ull, 1 },
		{ ~0ull, 2 },
		{ ~0ull - 10, ~0ull },
		{ GIB, SPACE_SIZE + 1 },
		{ GIB, ~0ull },
		{ GIB, ~0ull - GIB + 1 },
	};
	FIXTURE(f);
	uint8_t byte = 0x55;

	f->cfg.base = GIB;
	f->cfg.size = SPACE_SIZE - GIB;
	open_space(f, HOST_CALLBACK);
	assert_ok(axas_map_alloc(f->as, SPACE_SIZE - PAGE, PAGE, RW));
	for (size_t i = 0; i < sizeof(range) / sizeof(range[0]); i++) {
		uint64_t filled = 7, visited = 0;
		size_t done = 7;

		assert_status(AXAS_ERR_INVALID_INPUT,
			      axas_fill(f->as, range[i].gpa, 1, range[i].len, 0, &filled));
		assert_status(AXAS_ERR_INVALID_INPUT,
			      axas_read(f->as, range[i].gpa, &byte, range[i].len, 0, &done));
		assert_int_equal(filled | done, 0);
		done = 7;
		assert_status(AXAS_ERR_INVALID_INPUT,
			      axas_write(f->as, range[i].gpa, &byte, range[i].len, 0, &done));
		assert_int_equal(done, 0);
		assert_status(AXAS_ERR_INVALID_INPUT,
			      axas_for_each_chunk(f->as, range[i].gpa, range[i].len, AXAS_READ,
						  count_chunk, &visited));
		assert_int_equal(visited, 0);
	}
	assert_int_equal(byte, 0x55);
	/* and the last byte is in it */
	assert_ok(axas_write(f->as, SPACE_SIZE - 1, &byte, 1, 0, NULL));
	assert_ok(axas_read(f->as, SPACE_SIZE - 1, &byte, 1, 0, NULL));
	assert_int_equal(*guest_memory(f, SPACE_SIZE - 1), 0x55);
	assert_int_equal(f->host.guest_out, 2);
}

static void nothing_is_done_with_nothing(void **state)
{
	FIXTURE(f);
	uint64_t filled = 7, visited = 0;
	size_t done = 7;

	open_space(f, HOST_CALLBACK);
	assert_ok(axas_map_alloc(f->as, HERE, PAGE, AXAS_READ));
	assert_ok(axas_read(f->as, HERE, NULL, 0, 0, &done));
	assert_int_equal(done, 0);
	done = 7;
	assert_ok(axas_write(f->as, HERE, NULL, 0, 0, &done));
	assert_int_equal(done, 0);
	assert_ok(axas_fill(f->as, HERE, 1, 0, 0, &filled));
	assert_int_equal(filled, 0);
	assert_ok(axas_for_each_chunk(f->as, HERE, 0, AXAS_READ, count_chunk, &visited));
	assert_int_equal(visited, 0);
	assert_ok(axas_read(f->as, HERE, NULL, 0, 0, NULL));
	expect_state(f, HERE, AXAS_STATE_RESERVED);
}

static void null_is_invalid(void **state)
{
	static const axas_status_t bad = AXAS_ERR_INVALID_INPUT;
	FIXTURE(f);
	uint64_t filled = 7;
	size_t done = 7;
	uint8_t byte = 1;

	open_space(f, HOST_CALLBACK);
	assert_status(bad, axas_read(f->as, GIB, NULL, 1, 0, &done));
	assert_int_equal(done, 0);
	done = 7;
	assert_status(bad, axas_write(f->as, GIB, NULL, 1, 0, &done));
	assert_int_equal(done, 0);
	done = 7;
	assert_status(bad, axas_read(NULL, GIB, &byte, 1, 0, &done));
	assert_int_equal(done, 0);
	assert_status(bad, axas_write(NULL, GIB, &byte, 1, 0, NULL));
	assert_status(bad, axas_fill(NULL, GIB, 1, 1, 0, &filled));
	assert_int_equal(filled, 0);
	assert_status(bad, axas_for_each_chunk(f->as, GIB, 1, AXAS_READ, NULL, NULL));
	assert_status(bad, axas_for_each_chunk(NULL, GIB, 1, AXAS_READ, count_chunk, &filled));
}

static void senseless_access_bits_are_invalid(void **state)
{
	static const axas_status_t bad = AXAS_ERR_INVALID_INPUT;
	static const uint32_t reads[] = { AXAS_ACCESS_HOST, AXAS_ACCESS_EXECUTE };
	static const uint32_t writes[] = { AXAS_ACCESS_HOST, AXAS_ACCESS_CLEAN };
	FIXTURE(f);

	open_space(f, HOST_CALLBACK);
	for (uint32_t bit = 0; bit < 32; bit++) {
		const uint32_t access = 1u << bit;
		const int read_ok = access == reads[0] || access == reads[1];
		const int write_ok = access == writes[0] || access == writes[1];
		const int chunk_ok = access == AXAS_WRITE || read_ok;
		uint64_t visited = 0;
		uint8_t byte = 1;

		assert_status(read_ok ? AXAS_OK : bad,
			      axas_read(f->as, GIB, &byte, 1, access, NULL));
		assert_status(read_ok ? AXAS_OK : bad, axas_read_u8(f->as, GIB, access, &byte));
		assert_status(write_ok ? AXAS_OK : bad,
			      axas_write(f->as, GIB, &byte, 1, access, NULL));
		assert_status(write_ok ? AXAS_OK : bad, axas_fill(f->as, GIB, 1, 1, access, NULL));
		assert_status(write_ok ? AXAS_OK : bad, axas_write_u8(f->as, GIB, access, 1));
		if (access != AXAS_READ)
			assert_status(chunk_ok ? AXAS_OK : bad,
				      axas_for_each_chunk(f->as, GIB, 1, AXAS_READ | access,
							  count_chunk, &visited));
		if (access != AXAS_READ && access != AXAS_WRITE)
			assert_status(bad, axas_for_each_chunk(f->as, GIB, 1, access, count_chunk,
							       &visited));
	}
	assert_status(bad, axas_for_each_chunk(f->as, GIB, 1, 0, count_chunk, f));
	assert_status(bad,
		      axas_for_each_chunk(f->as, GIB, 1, RW | AXAS_ACCESS_EXECUTE, count_chunk, f));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT_NO_SPACE(a_hole_and_a_trap_are_not_mapped),
		EACH_FORMAT_NO_SPACE(no_frame_for_a_reserved_page_is_no_memory),
		EACH_FORMAT_NO_SPACE(the_guests_permissions_hold_and_the_host_is_above_them),
		EACH_FORMAT_NO_SPACE(a_denied_access_takes_no_page_in),
		EACH_FORMAT_NO_SPACE(what_is_not_all_in_the_space_is_invalid),
		EACH_FORMAT_NO_SPACE(nothing_is_done_with_nothing),
		EACH_FORMAT_NO_SPACE(null_is_invalid),
		EACH_FORMAT_NO_SPACE(senseless_access_bits_are_invalid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
