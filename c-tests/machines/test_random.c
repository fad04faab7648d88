/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Random tables: the guest touches random addresses, and what the walker does, value or fault and
 * its kind, has to be what axas_query said before.
 */
#include <stddef.h>

#include "report.h"
#include "suite.h"

#define TABLES         1000
#define CHANGES        10
#define TOUCHES        12
#define WINDOWS        4
#define WINDOW_SIZE    MIB(4)
#define SEEDED_PATTERN UINT64_C(0x0101010101010101)

uint64_t random_tables;

static uint64_t window[WINDOWS];

static const uint64_t ops[] = { OP_READ, OP_WRITE, OP_EXECUTE, OP_ATOMIC };

/* Far from each other, and the last as far up as the walker goes. */
static void choose_windows(void)
{
	window[0] = GIB(1) - MIB(2);
	window[1] = GIB(1) * (2 + random_below(400));
	window[2] = (random_below(layer.reach - GIB(500)) + GIB(480)) & ~(GIB(1) - 1);
	window[3] = layer.reach - WINDOW_SIZE;
}

static axas_flags_t random_permissions(void)
{
	axas_flags_t flags;

	do {
		flags = 1 + (axas_flags_t)random_below(RWX);
	} while (layer_expected_status(flags, layer.features) != AXAS_OK);
	return flags;
}

/* Sizes and places: single pages, runs of pages, 2 MiB. */
static void random_range(uint64_t *gpa, uint64_t *size)
{
	uint64_t base = window[random_below(WINDOWS)];
	uint64_t first;

	switch (random_below(3)) {
	case 0:
		*size = PAGE;
		break;
	case 1:
		*size = PAGE * (1 + random_below(64));
		break;
	default:
		*size = MIB(2);
		break;
	}
	first = random_below((WINDOW_SIZE - *size) / PAGE + 1) * PAGE;
	if (random_below(2))
		first &= ~(MIB(2) - 1);
	*gpa = base + first;
}

/* Overlaps and holes are refused often: that is as random as the rest, and changes nothing. */
static void random_change(void)
{
	axas_status_t status = AXAS_OK;
	uint64_t gpa, size, hpa;

	random_range(&gpa, &size);
	hpa = linear_hpa(size == MIB(2) ? MIB(2) * random_below(2) :
					  random_below((LINEAR_SIZE - size) / PAGE) * PAGE);
	switch (random_below(8)) {
	case 0:
	case 1:
	case 2:
		status = axas_map_linear(space, gpa, hpa, size, random_permissions());
		break;
	case 3:
		status = axas_map_alloc(space, gpa, size, random_permissions());
		break;
	case 4:
		if (size < MIB(2))
			status = axas_map_alloc(space, gpa, size,
						random_permissions() | AXAS_POPULATE);
		break;
	case 5:
		status = axas_map_trap(space, gpa, size, random_below(1 << 16));
		break;
	case 6:
		status = axas_unmap(space, gpa, size);
		break;
	default:
		status = axas_protect(space, gpa, size, random_permissions());
		break;
	}
	if (status != AXAS_OK && status != AXAS_ERR_ALREADY_EXISTS && status != AXAS_ERR_NOT_MAPPED)
		must("a random change", status);
}

static void differ(const char *what, uint64_t op, uint64_t gpa, const axas_mapping_t *mapping,
		   const struct outcome *outcome)
{
	if (!complain(what))
		return;
	report(": table %lu, %s 0x%lx: query: state %u flags 0x%lx hpa 0x%lx; walker: done %u, "
	       "value 0x%lx, kind %u, access %u at 0x%lx\n",
	       random_tables, op_name(op), gpa, mapping->state, (uint64_t)mapping->flags,
	       mapping->hpa, outcome->done, outcome->value, outcome->last.kind,
	       outcome->last.access, outcome->last.gpa);
}

static uint32_t fault_is_right(uint64_t op, uint64_t gpa, const axas_mapping_t *mapping,
			       const struct outcome *outcome)
{
	uint32_t is_leaf =
		mapping->state == AXAS_STATE_LINEAR || mapping->state == AXAS_STATE_OWNED;
	uint32_t kind =
		is_leaf && layer.tells_permission ? AXAS_KIND_PERMISSION : AXAS_KIND_TRANSLATION;

	return !outcome->done && outcome->faults == 1 && outcome->last.kind == kind &&
	       (outcome->last.gpa & ~(PAGE - 1)) == (gpa & ~(PAGE - 1)) &&
	       outcome->last.access == access_of(op, is_leaf && (mapping->flags & R));
}

static uint32_t value_is_right(uint64_t op, uint64_t hpa, uint64_t value,
			       const struct outcome *outcome)
{
	if (!outcome->done || outcome->faults != 0)
		return 0;
	switch (op) {
	case OP_WRITE:
		return read_host(hpa) == value;
	case OP_EXECUTE:
		return outcome->value == SAMPLE_VALUE;
	case OP_ATOMIC:
		return outcome->value == SEEDED_PATTERN && read_host(hpa) == SEEDED_PATTERN + value;
	default:
		return outcome->value == SEEDED_PATTERN;
	}
}

/* Half of the time the fault goes to the library: its verdict has to be what query promises. */
static uint32_t verdict_is_right(const axas_mapping_t *mapping, const axas_fault_t *fault)
{
	axas_fault_result_t verdict = axas_handle_page_fault(space, fault->gpa, fault->access);

	switch (mapping->state) {
	case AXAS_STATE_ABSENT:
		return verdict == AXAS_FAULT_UNMAPPED;
	case AXAS_STATE_TRAP:
		return verdict == AXAS_FAULT_TRAP;
	default:
		return verdict == ((mapping->flags & fault->access) == fault->access ?
					   AXAS_FAULT_RESOLVED :
					   AXAS_FAULT_DENIED);
	}
}

static void random_touch(void)
{
	uint64_t op = ops[random_below(4)];
	uint64_t value = random_number();
	uint64_t gpa, size, hpa = 0;
	struct outcome outcome;
	axas_mapping_t mapping;
	uint32_t gets_through;

	random_range(&gpa, &size);
	gpa += random_below(size / 64) * 64;
	must("query", axas_query(space, gpa, &mapping));
	gets_through = (mapping.state == AXAS_STATE_LINEAR || mapping.state == AXAS_STATE_OWNED) &&
		       is_allowed(op, mapping.flags);
	if (gets_through) {
		hpa = mapping.hpa + (gpa - mapping.gpa);
		write_host(hpa, SEEDED_PATTERN);
		if (op == OP_EXECUTE)
			plant_sample(hpa);
	}
	guest_access_raw(guest, op, gpa, value, &outcome);
	subtests++;
	if (gets_through) {
		if (!value_is_right(op, hpa, value, &outcome))
			differ("the walker refuses or reads elsewhere", op, gpa, &mapping,
			       &outcome);
		return;
	}
	if (!fault_is_right(op, gpa, &mapping, &outcome))
		differ("the walker's fault is another", op, gpa, &mapping, &outcome);
	else if (random_below(2) && !verdict_is_right(&mapping, &outcome.last))
		differ("the verdict is not what query promised", op, gpa, &mapping, &outcome);
}

void test_random(void)
{
	group("random tables");
	for (random_tables = 0; random_tables < TABLES; random_tables++) {
		choose_windows();
		space_open_full();
		for (uint32_t i = 0; i < CHANGES; i++) {
			random_change();
			if (i >= CHANGES / 2)
				random_touch();
		}
		for (uint32_t i = 0; i < TOUCHES; i++)
			random_touch();
		space_close();
	}
}
