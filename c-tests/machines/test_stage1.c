/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The guest's own page tables are memory like any other: here each of them faults when the guest's
 * walker first comes by, is filled like a page that was swapped out, and is later taken away.
 */
#include <stddef.h>

#include "freestanding.h"
#include "report.h"
#include "suite.h"

/* Where the tables are, guest-physical, the root at the end; virtual address and its page. */
#define GPA_TABLE(level) (GIB(2) + MIB(1) * (level))
#define GVA_DATA         (GIB(1) + MIB(6) + PAGE * 7)
#define GPA_DATA         (GIB(3) + PAGE * 11)
#define WALKS_MAX        8

static uint32_t walk_count;
static uint64_t walk_gpa[WALKS_MAX];
static uint32_t wrong_walks;

static uint64_t index_of(uint64_t gva, uint32_t level)
{
	return gva >> (12 + 9 * (level - 1)) & 511;
}

static void fill_table(uint32_t level, volatile uint64_t *table)
{
	if (level == 1)
		table[index_of(GVA_DATA, 1)] = layer_stage1_page(GPA_DATA);
	else
		table[index_of(GVA_DATA, level)] = layer_stage1_table(GPA_TABLE(level - 1));
	/* Code and mailbox stay where they are. */
	if (level == 3)
		table[0] = layer_stage1_gib(0);
	if (level == 4)
		table[0] = layer_stage1_table(GPA_TABLE(3));
}

/* Pages in what the walker wants; data pages need nothing. */
static void page_in(const axas_fault_t *fault)
{
	axas_hpa_t hpa = 0;
	uint64_t run;

	for (uint32_t level = 1; level <= layer.stage1_levels; level++) {
		if ((fault->gpa & ~(PAGE - 1)) != GPA_TABLE(level))
			continue;
		if (!(fault->valid & AXAS_IS_TABLE_WALK) ||
		    (fault->access & ~layer.walk_access) != 0)
			wrong_walks++;
		if (walk_count < WALKS_MAX)
			walk_gpa[walk_count] = GPA_TABLE(level);
		walk_count++;
		must("translate a table", axas_translate(space, GPA_TABLE(level), &hpa, &run));
		fill_table(level, (volatile uint64_t *)(uintptr_t)hpa);
		return;
	}
	if (fault->valid & AXAS_IS_TABLE_WALK)
		wrong_walks++;
}

static void use(const char *what, uint64_t op, uint64_t gva, uint64_t value, uint32_t faults)
{
	struct outcome outcome;

	guest_access(guest, op, gva, value, &outcome);
	check(what, outcome.done, 1);
	check(what, outcome.faults, faults);
	if (op == OP_READ)
		check(what, outcome.value, value);
}

/* The walk of `gva` is refused at the table of this level. */
static void refused(const char *what, uint32_t level, axas_fault_result_t verdict)
{
	struct outcome outcome;

	guest_access(guest, OP_READ, GVA_DATA, 0, &outcome);
	check(what, outcome.done, 0);
	check(what, outcome.verdict, verdict);
	check(what, outcome.last.gpa & ~(PAGE - 1), GPA_TABLE(level));
	check(what, outcome.last.valid & AXAS_IS_TABLE_WALK, AXAS_IS_TABLE_WALK);
}

static void demand_paged(void)
{
	uint32_t levels = layer.stage1_levels;

	must("tables", axas_map_alloc(space, GPA_TABLE(1), MIB(8), RW));
	must("data", axas_map_alloc(space, GPA_DATA, PAGE, RW));
	walk_count = 0;
	wrong_walks = 0;
	after_fault = page_in;
	layer_stage1_on(guest, GPA_TABLE(levels));
	use("a store through demand-paged tables", OP_WRITE, GVA_DATA, 0x1dea, levels + 1);
	check("each table faulted once", walk_count, levels);
	for (uint32_t i = 0; i < levels && i < WALKS_MAX; i++)
		check("from the root down", walk_gpa[i], GPA_TABLE(levels - i));
	check("walks are decoded as walks, accesses as accesses", wrong_walks, 0);
	use("a load, without a fault", OP_READ, GVA_DATA, 0x1dea, 0);
}

static void tables_change(void)
{
	axas_hpa_t hpa = 0;
	uint64_t run;

	for (uint32_t level = 1; level <= 2; level++) {
		must("the table goes", axas_unmap(space, GPA_TABLE(level), PAGE));
		refused("a walk into a hole", level, AXAS_FAULT_UNMAPPED);
		must("it comes back", axas_map_alloc(space, GPA_TABLE(level), PAGE, RW));
		use("the table is paged in again", OP_READ, GVA_DATA, 0x1dea, 1);
	}
	must("a trap", axas_unmap(space, GPA_TABLE(1), PAGE));
	must("a trap", axas_map_trap(space, GPA_TABLE(1), PAGE, 9));
	refused("a walk into a trap", 1, AXAS_FAULT_TRAP);
	must("a table again", axas_unmap(space, GPA_TABLE(1), PAGE));
	must("a table again", axas_map_alloc(space, GPA_TABLE(1), PAGE, RW));
	use("the table is paged in again", OP_READ, GVA_DATA, 0x1dea, 1);

	if (!layer.walk_writes) {
		must("a read-only table", axas_protect(space, GPA_TABLE(1), PAGE, R));
		use("walkers read", OP_READ, GVA_DATA, 0x1dea, 0);
	}
	must("the data goes", axas_unmap(space, GPA_DATA, PAGE));
	must("the data comes back", axas_map_alloc(space, GPA_DATA, PAGE, RW));
	use("other data at the same place", OP_READ, GVA_DATA, 0, 1);
	must("translate", axas_translate(space, GPA_DATA, &hpa, &run));
	write_host(hpa, 0xda7a);
	use("the host's word", OP_READ, GVA_DATA, 0xda7a, 0);
}

void test_stage1(void)
{
	group("the guest's own tables");
	space_open_full();
	demand_paged();
	tables_change();
	layer_stage1_off(guest);
	after_fault = NULL;
	space_close();
}
