/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Where devices answer: ranges are compared with a byte after the other, at both ends of each space. */
#include "fixture.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int is_width(uint32_t width)
{
	return width == 1 || width == 2 || width == 4 || width == 8;
}

static void a_width_is_its_number_of_bytes(void **state)
{
	axas_width_t width;

	(void)state;
	assert_int_equal(AXAS_WIDTH_8, 1);
	assert_int_equal(AXAS_WIDTH_16, 2);
	assert_int_equal(AXAS_WIDTH_32, 4);
	assert_int_equal(AXAS_WIDTH_64, 8);
	for (uint64_t bytes = 0; bytes < 300; bytes++) {
		width = 77;
		if (!is_width((uint32_t)bytes)) {
			assert_status(AXAS_ERR_INVALID_INPUT, axas_width_from_bytes(bytes, &width));
			assert_int_equal(width, 77);
			assert_int_equal(axas_width_mask((uint32_t)bytes), 0);
			continue;
		}
		assert_ok(axas_width_from_bytes(bytes, &width));
		assert_int_equal(width, bytes);
	}
	/* what is a width only when its upper half is dropped */
	assert_status(AXAS_ERR_INVALID_INPUT, axas_width_from_bytes((1ull << 32) + 4, &width));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_width_from_bytes(UINT64_MAX, &width));
	assert_status(AXAS_ERR_INVALID_INPUT, axas_width_from_bytes(4, NULL));
	assert_int_equal(axas_width_mask(AXAS_WIDTH_8), 0xff);
	assert_int_equal(axas_width_mask(AXAS_WIDTH_16), 0xffff);
	assert_int_equal(axas_width_mask(AXAS_WIDTH_32), 0xffffffff);
	assert_int_equal(axas_width_mask(AXAS_WIDTH_64), UINT64_MAX);
	assert_int_equal(axas_width_mask(UINT32_MAX), 0);
	assert_int_equal(axas_width_mask((1u << 30) + 1), 0);
}

/* --- memory-mapped registers ----------------------------------------------------------------- */

/* Ends of the address space, of pages and of 32 bits. */
static const uint64_t places[] = {
	0,
	1,
	7,
	8,
	0xfff,
	0x1000,
	0x1001,
	0xfffffffe,
	0xffffffff,
	0x100000000,
	0x7fffffffffffffff,
	0x8000000000000000,
	0xfffffffffffff000,
	0xfffffffffffffff7,
	0xfffffffffffffff8,
	0xfffffffffffffffe,
	0xffffffffffffffff,
};

static int mmio_has_byte(const axas_mmio_range_t *r, uint64_t gpa)
{
	return gpa >= r->gpa && gpa - r->gpa < r->size;
}

static uint32_t mmio_has_access(const axas_mmio_range_t *r, uint64_t gpa, uint32_t width)
{
	if (!is_width(width))
		return 0;
	for (uint32_t i = 0; i < width; i++)
		if (gpa + i < gpa || !mmio_has_byte(r, gpa + i))
			return 0;
	return 1;
}

static void a_range_of_registers_is_not_empty_and_does_not_wrap(void **state)
{
	axas_mmio_range_t r;

	(void)state;
	for (size_t i = 0; i < COUNT(places); i++) {
		for (size_t j = 0; j < COUNT(places); j++) {
			const uint64_t gpa = places[i], size = places[j];
			const int good = size != 0 && gpa <= UINT64_MAX - (size - 1);

			memset(&r, 0xa5, sizeof(r));
			assert_status(good ? AXAS_OK : AXAS_ERR_INVALID_INPUT,
				      axas_mmio_range(gpa, size, &r));
			assert_int_equal(r.gpa, good ? gpa : 0xa5a5a5a5a5a5a5a5);
			assert_int_equal(r.size, good ? size : 0xa5a5a5a5a5a5a5a5);
		}
	}
	assert_status(AXAS_ERR_INVALID_INPUT, axas_mmio_range(0, 1, NULL));
	/* up to the last address */
	assert_ok(axas_mmio_range(UINT64_MAX, 1, &r));
	assert_int_equal(axas_mmio_contains(&r, UINT64_MAX, AXAS_WIDTH_8), 1);
	assert_int_equal(axas_mmio_contains(&r, UINT64_MAX, AXAS_WIDTH_16), 0);
	assert_status(AXAS_ERR_INVALID_INPUT, axas_mmio_range(UINT64_MAX, 2, &r));
}

static void an_access_is_in_when_each_of_its_bytes_is(void **state)
{
	uint32_t in = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(places); i++) {
		for (size_t j = 0; j < COUNT(places); j++) {
			axas_mmio_range_t r;

			if (axas_mmio_range(places[i], places[j], &r) != AXAS_OK)
				continue;
			for (uint64_t off = 0; off < 24; off++) {
				for (uint32_t width = 0; width <= 9; width++) {
					const uint64_t at[] = { r.gpa - 12 + off,
								r.gpa + (r.size - 12) + off };

					for (size_t k = 0; k < COUNT(at); k++) {
						const uint32_t expected =
							mmio_has_access(&r, at[k], width);

						assert_int_equal(axas_mmio_contains(&r, at[k],
										    width),
								 expected);
						in += expected;
					}
				}
			}
		}
	}
	assert_true(in > 1000);
}

static void ranges_of_registers_overlap_in_a_byte(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(places); i++) {
		for (size_t j = 0; j < COUNT(places); j++) {
			for (size_t k = 0; k < COUNT(places); k++) {
				axas_mmio_range_t a, b;
				uint32_t expected;

				if (axas_mmio_range(places[i], places[j], &a) != AXAS_OK ||
				    axas_mmio_range(places[k], 8, &b) != AXAS_OK)
					continue;
				expected = 0;
				for (uint64_t byte = 0; byte < 8; byte++)
					expected |= mmio_has_byte(&a, b.gpa + byte) != 0;
				assert_int_equal(axas_mmio_overlaps(&a, &b), expected);
				assert_int_equal(axas_mmio_overlaps(&b, &a), expected);
				assert_int_equal(axas_mmio_overlaps(&a, &a), 1);
			}
		}
	}
}

/* --- ports ----------------------------------------------------------------------------------- */

static const uint16_t ports[] = { 0,     1,      2,      3,      4,      0x3f7,  0x3f8,  0x3ff,
				  0x400, 0x7fff, 0x8000, 0xfffb, 0xfffc, 0xfffd, 0xfffe, 0xffff };

static void ports_are_counted_to_the_last_one(void **state)
{
	uint32_t in = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(ports); i++) {
		for (size_t j = 0; j < COUNT(ports); j++) {
			axas_port_range_t r = { 7, 7 };
			const int good = ports[i] <= ports[j];

			assert_status(good ? AXAS_OK : AXAS_ERR_INVALID_INPUT,
				      axas_port_range(ports[i], ports[j], &r));
			assert_int_equal(r.first, good ? ports[i] : 7);
			assert_int_equal(r.last, good ? ports[j] : 7);
			for (uint32_t port = 0; good && port <= 0xffff; port++) {
				for (uint32_t width = 0; width <= 9; width++) {
					uint32_t expected = is_width(width) && width != 8;

					for (uint32_t at = port; at < port + width; at++)
						expected &= at >= r.first && at <= r.last;
					if (axas_port_contains(&r, (uint16_t)port, width) !=
					    expected)
						fail_msg("%#x-%#x, port %#x, width %u", r.first,
							 r.last, port, width);
					in += expected;
				}
				/* the middle of nowhere is all alike */
				if (port == 0x500 || port == 0x8100)
					port += 0x7000;
			}
		}
	}
	assert_true(in > 1000);
	assert_status(AXAS_ERR_INVALID_INPUT, axas_port_range(0, 0, NULL));
}

static void ranges_of_ports_overlap_in_a_port(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(ports); i++) {
		for (size_t j = i; j < COUNT(ports); j++) {
			for (size_t k = 0; k < COUNT(ports); k++) {
				axas_port_range_t a, b;
				uint32_t expected;

				assert_ok(axas_port_range(ports[i], ports[j], &a));
				assert_ok(axas_port_range(ports[k], ports[k], &b));
				expected = ports[k] >= ports[i] && ports[k] <= ports[j];
				assert_int_equal(axas_port_overlaps(&a, &b), expected);
				assert_int_equal(axas_port_overlaps(&b, &a), expected);
			}
		}
	}
}

/* --- system registers ------------------------------------------------------------------------ */

static const uint32_t encodings[] = { 0,          1,          0x10,       0xfff,      0x1000,
				      0x7fffffff, 0x80000000, 0xc0000080, 0xfffffffe, 0xffffffff };

static void system_registers_are_counted_to_the_last_one(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(encodings); i++) {
		for (size_t j = 0; j < COUNT(encodings); j++) {
			axas_sysreg_range_t a = { 7, 7 }, b;
			const int good = encodings[i] <= encodings[j];

			assert_status(good ? AXAS_OK : AXAS_ERR_INVALID_INPUT,
				      axas_sysreg_range(encodings[i], encodings[j], &a));
			assert_int_equal(a.first, good ? encodings[i] : 7);
			assert_int_equal(a.last, good ? encodings[j] : 7);
			for (size_t k = 0; good && k < COUNT(encodings); k++) {
				const uint32_t in = k >= i && k <= j;

				assert_int_equal(axas_sysreg_contains(&a, encodings[k]), in);
				assert_ok(axas_sysreg_range(encodings[k], encodings[k], &b));
				assert_int_equal(axas_sysreg_overlaps(&a, &b), in);
				assert_int_equal(axas_sysreg_overlaps(&b, &a), in);
			}
		}
	}
	assert_status(AXAS_ERR_INVALID_INPUT, axas_sysreg_range(0, 0, NULL));
}

/* --- ranges that no constructor made ---------------------------------------------------------- */

static void a_range_that_cannot_be_holds_nothing(void **state)
{
	const axas_mmio_range_t empty = { 0x1000, 0 }, wraps = { UINT64_MAX - 3, 8 };
	const axas_mmio_range_t all = { 0, UINT64_MAX };
	const axas_port_range_t no_ports = { 8, 7 }, all_ports = { 0, 0xffff };
	const axas_sysreg_range_t no_registers = { 8, 7 }, all_registers = { 0, UINT32_MAX };

	(void)state;
	assert_int_equal(axas_mmio_contains(&empty, 0x1000, AXAS_WIDTH_8), 0);
	assert_int_equal(axas_mmio_overlaps(&empty, &all), 0);
	assert_int_equal(axas_mmio_overlaps(&all, &empty), 0);
	assert_int_equal(axas_mmio_contains(&wraps, UINT64_MAX - 3, AXAS_WIDTH_32), 0);
	assert_int_equal(axas_mmio_contains(&wraps, 0, AXAS_WIDTH_32), 0);
	assert_int_equal(axas_mmio_overlaps(&wraps, &all), 0);
	assert_int_equal(axas_mmio_overlaps(&wraps, &wraps), 0);
	assert_int_equal(axas_port_contains(&no_ports, 8, AXAS_WIDTH_8), 0);
	assert_int_equal(axas_port_overlaps(&no_ports, &all_ports), 0);
	assert_int_equal(axas_port_overlaps(&all_ports, &no_ports), 0);
	assert_int_equal(axas_sysreg_contains(&no_registers, 8), 0);
	assert_int_equal(axas_sysreg_overlaps(&no_registers, &all_registers), 0);
	assert_int_equal(axas_sysreg_overlaps(&all_registers, &no_registers), 0);
}

static void null_holds_nothing(void **state)
{
	const axas_mmio_range_t mmio = { 0, UINT64_MAX };
	const axas_port_range_t port = { 0, 0xffff };
	const axas_sysreg_range_t sysreg = { 0, UINT32_MAX };

	(void)state;
	assert_int_equal(axas_mmio_contains(NULL, 0, AXAS_WIDTH_8), 0);
	assert_int_equal(axas_mmio_overlaps(NULL, &mmio), 0);
	assert_int_equal(axas_mmio_overlaps(&mmio, NULL), 0);
	assert_int_equal(axas_port_contains(NULL, 0, AXAS_WIDTH_8), 0);
	assert_int_equal(axas_port_overlaps(NULL, &port), 0);
	assert_int_equal(axas_port_overlaps(&port, NULL), 0);
	assert_int_equal(axas_sysreg_contains(NULL, 0), 0);
	assert_int_equal(axas_sysreg_overlaps(NULL, &sysreg), 0);
	assert_int_equal(axas_sysreg_overlaps(&sysreg, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_width_is_its_number_of_bytes),
		cmocka_unit_test(a_range_of_registers_is_not_empty_and_does_not_wrap),
		cmocka_unit_test(an_access_is_in_when_each_of_its_bytes_is),
		cmocka_unit_test(ranges_of_registers_overlap_in_a_byte),
		cmocka_unit_test(ports_are_counted_to_the_last_one),
		cmocka_unit_test(ranges_of_ports_overlap_in_a_port),
		cmocka_unit_test(system_registers_are_counted_to_the_last_one),
		cmocka_unit_test(a_range_that_cannot_be_holds_nothing),
		cmocka_unit_test(null_holds_nothing),
	};

	return cmocka_run_group_tests_name("device", tests, NULL, NULL);
}
