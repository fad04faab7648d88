/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What stands in the way of what: every kind of mapping over every other. */
#include "fixture.h"

enum kind { LINEAR, LINEAR_SMALL, LAZY, FAULTED, POPULATED, HUGE_FAULTED, TRAP, EXTENTS, KINDS };

/* Maps [gpa, gpa + size) in one of the ways there are. */
static axas_status_t map(struct fixture *f, enum kind kind, axas_gpa_t gpa, uint64_t size)
{
	const axas_extent_t e[2] = { { LINEAR_HPA + gpa, PAGE },
				     { LINEAR_HPA + gpa + PAGE, size - PAGE } };
	axas_status_t status = AXAS_ERR_UNSUPPORTED;

	switch (kind) {
	case LINEAR:
		return axas_map_linear(f->as, gpa, LINEAR_HPA + gpa, size, RW);
	case LINEAR_SMALL:
		return axas_map_linear(f->as, gpa, LINEAR_HPA + gpa, size, RW | AXAS_NO_HUGE);
	case LAZY:
		return axas_map_alloc(f->as, gpa, size, RW);
	case FAULTED:
	case HUGE_FAULTED:
		status = axas_map_alloc(f->as, gpa, size,
					kind == FAULTED ? RW : RW | AXAS_HUGE_FRAMES);
		if (status == AXAS_OK)
			assert_int_equal(axas_handle_page_fault(f->as, gpa + size / 2, AXAS_READ),
					 AXAS_FAULT_RESOLVED);
		return status;
	case POPULATED:
		return axas_map_alloc(f->as, gpa, size, RW | AXAS_POPULATE);
	case TRAP:
		return axas_map_trap(f->as, gpa, size, 7);
	case EXTENTS:
		return axas_map_extents(f->as, gpa, e, 2, RW);
	case KINDS:
		break;
	}
	return status;
}

static void no_kind_maps_over_another(void **state)
{
	static const struct {
		axas_gpa_t from, to; /* around [GIB, GIB + 4 MIB) */
	} over[] = {
		{ GIB, GIB + 4 * MIB },
		{ GIB - 2 * PAGE, GIB + PAGE },
		{ GIB + 4 * MIB - PAGE, GIB + 4 * MIB + 2 * PAGE },
		{ GIB + 2 * MIB - PAGE, GIB + 2 * MIB + PAGE },
		{ GIB - 2 * MIB, GIB + 6 * MIB },
	};
	FIXTURE(f);

	for (enum kind below = 0; below < KINDS; below++) {
		assert_ok(map(f, below, GIB, 4 * MIB));
		for (enum kind above = 0; above < KINDS; above++)
			for (size_t i = 0; i < sizeof(over) / sizeof(over[0]); i++)
				assert_status(AXAS_ERR_ALREADY_EXISTS,
					      map(f, above, over[i].from,
						  over[i].to - over[i].from));
		space_sweep(f->as);
		assert_ok(axas_unmap(f->as, GIB, 4 * MIB));
		assert_int_equal(space_sweep(f->as).table_frames, 1u << f->fc->root_order);
	}
}

static void every_kind_fits_beside_every_other(void **state)
{
	FIXTURE(f);

	for (enum kind left = 0; left < KINDS; left++) {
		for (enum kind right = 0; right < KINDS; right++) {
			const axas_gpa_t middle = GIB + 2 * MIB + 2 * PAGE;

			assert_ok(map(f, left, middle - 2 * PAGE, 2 * PAGE));
			assert_ok(map(f, right, middle, 2 * PAGE));
			at(f, middle - 1);
			at(f, middle);
			expect_state(f, middle - 2 * PAGE - 1, AXAS_STATE_ABSENT);
			expect_state(f, middle + 2 * PAGE, AXAS_STATE_ABSENT);
			assert_ok(axas_unmap(f->as, middle - 2 * PAGE, 4 * PAGE));
		}
	}
}

static void a_large_range_over_one_page_is_refused(void **state)
{
	FIXTURE(f);

	for (enum kind below = 0; below < KINDS; below++) {
		assert_ok(map(f, below, 77 * GIB + 6 * PAGE, 2 * PAGE));
		assert_status(AXAS_ERR_ALREADY_EXISTS, axas_map_alloc(f->as, 0, SPACE_SIZE, RW));
		assert_status(AXAS_ERR_ALREADY_EXISTS, axas_map_trap(f->as, 64 * GIB, 64 * GIB, 1));
		assert_status(AXAS_ERR_ALREADY_EXISTS,
			      axas_map_linear(f->as, 77 * GIB, LINEAR_HPA, GIB, RW));
		assert_ok(axas_unmap(f->as, 77 * GIB + 6 * PAGE, 2 * PAGE));
	}
	assert_ok(axas_map_alloc(f->as, 0, SPACE_SIZE, RW));
	assert_status(AXAS_ERR_ALREADY_EXISTS, axas_map_trap(f->as, 3 * GIB, PAGE, 1));
}

static void an_unmapped_hole_can_be_mapped_again(void **state)
{
	FIXTURE(f);

	for (enum kind below = 0; below < KINDS; below++) {
		for (enum kind hole = 0; hole < KINDS; hole++) {
			assert_ok(map(f, below, GIB, 4 * MIB));
			assert_ok(axas_unmap(f->as, GIB + MIB, 2 * PAGE));
			assert_ok(map(f, hole, GIB + MIB, 2 * PAGE));
			at(f, GIB + MIB);
			at(f, GIB + MIB - 1);
			at(f, GIB + MIB + 2 * PAGE);
			space_sweep(f->as);
			assert_ok(axas_clear(f->as));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(no_kind_maps_over_another),
		EACH_FORMAT(every_kind_fits_beside_every_other),
		EACH_FORMAT(a_large_range_over_one_page_is_refused),
		EACH_FORMAT(an_unmapped_hole_can_be_mapped_again),
	};

	return cmocka_run_group_tests_name("overlap", tests, NULL, NULL);
}
