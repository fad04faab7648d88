/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the guest sees after a change: each access before the change fills the TLB, so that one
 * after it also shows a flush that was forgotten.
 */
#include <stddef.h>

#include "suite.h"

/* Of parts: in archives that have them. */
#pragma weak axas_tag_bits
#pragma weak axas_retag
#pragma weak axas_hide
#pragma weak axas_show
#pragma weak axas_map_note
#pragma weak axas_stock

#define GPA_AREA GIB(5)
#define IN_GIB   (linear_hpa(0) & (GIB(1) - 1))

/* Linear memory at GPA_AREA in pages of this size; the offset of linear_memory in it. */
static uint64_t map_in_pages_of(uint64_t size, axas_flags_t flags)
{
	uint64_t offset = size == GIB(1) ? IN_GIB : 0;
	axas_flags_t option = size == PAGE ? AXAS_NO_HUGE : 0;

	must("map", axas_map_linear(space, GPA_AREA, linear_hpa(0) - offset,
				    size == GIB(1) ? size : MIB(4), flags | option));
	return GPA_AREA + offset;
}

static void unmap_pages_of(uint64_t size)
{
	must("unmap", axas_unmap(space, GPA_AREA, size == GIB(1) ? size : MIB(4)));
}

static void protect_all(uint64_t size)
{
	uint64_t gpa = map_in_pages_of(size, RWX);
	uint64_t bytes = size == GIB(1) ? size : MIB(4);

	subtest_memory("write before", OP_WRITE, gpa, linear_hpa(0), EXPECT_VALUE);
	subtest_memory("execute before", OP_EXECUTE, gpa + 64, linear_hpa(64), EXPECT_VALUE);
	must("read only", axas_protect(space, GPA_AREA, bytes, R));
	subtest_memory("write after protect", OP_WRITE, gpa, linear_hpa(0), EXPECT_DENIED);
	subtest_memory("atomic after protect", OP_ATOMIC, gpa, linear_hpa(0), EXPECT_DENIED);
	subtest_memory("execute after protect", OP_EXECUTE, gpa + 64, linear_hpa(64),
		       EXPECT_DENIED);
	subtest_memory("read after protect", OP_READ, gpa, linear_hpa(0), EXPECT_VALUE);
	must("all again", axas_protect(space, GPA_AREA, bytes, RWX));
	subtest_memory("write again", OP_WRITE, gpa, linear_hpa(0), EXPECT_VALUE);
	subtest_memory("execute again", OP_EXECUTE, gpa + 64, linear_hpa(64), EXPECT_VALUE);
	unmap_pages_of(size);
}

/* One page in the middle changes; its neighbours keep permissions and contents. */
static void protect_middle(uint64_t size)
{
	uint64_t gpa = map_in_pages_of(size, RW) + MIB(1);
	uint64_t hpa = linear_hpa(MIB(1));

	subtest_memory("write before", OP_WRITE, gpa, hpa, EXPECT_VALUE);
	must("one page read only", axas_protect(space, gpa, PAGE, R));
	subtest_memory("write to the page", OP_WRITE, gpa, hpa, EXPECT_DENIED);
	subtest_memory("its last word", OP_WRITE, gpa + PAGE - 8, hpa + PAGE - 8, EXPECT_DENIED);
	subtest_memory("read the page", OP_READ, gpa, hpa, EXPECT_VALUE);
	subtest_memory("write below", OP_WRITE, gpa - 8, hpa - 8, EXPECT_VALUE);
	subtest_memory("write above", OP_WRITE, gpa + PAGE, hpa + PAGE, EXPECT_VALUE);
	subtest_memory("execute above", OP_EXECUTE, gpa + PAGE, hpa + PAGE, EXPECT_DENIED);
	unmap_pages_of(size);
}

static void unmap_middle(uint64_t size)
{
	uint64_t gpa = map_in_pages_of(size, RWX) + MIB(1);
	uint64_t hpa = linear_hpa(MIB(1));

	subtest_memory("read before", OP_READ, gpa, hpa, EXPECT_VALUE);
	must("a hole", axas_unmap(space, gpa, PAGE));
	subtest("read the hole", OP_READ, gpa, 0, EXPECT_UNMAPPED);
	subtest("write the hole", OP_WRITE, gpa + PAGE - 8, 0, EXPECT_UNMAPPED);
	subtest("execute the hole", OP_EXECUTE, gpa, 0, EXPECT_UNMAPPED);
	subtest_memory("read below", OP_READ, gpa - 8, hpa - 8, EXPECT_VALUE);
	subtest_memory("atomic above", OP_ATOMIC, gpa + PAGE, hpa + PAGE, EXPECT_VALUE);
	subtest_memory("execute above", OP_EXECUTE, gpa + PAGE, hpa + PAGE, EXPECT_VALUE);
	must("something else in the hole",
	     axas_map_linear(space, gpa, linear_hpa(MIB(3)), PAGE, RW));
	subtest_memory("read what fills the hole", OP_READ, gpa, linear_hpa(MIB(3)), EXPECT_VALUE);
	subtest_memory("execute what fills the hole", OP_EXECUTE, gpa, linear_hpa(MIB(3)),
		       EXPECT_DENIED);
	unmap_pages_of(size);
}

static void map_elsewhere(uint64_t size)
{
	uint64_t gpa = map_in_pages_of(size, RWX);

	write_host(linear_hpa(0), 0xa);
	write_host(linear_hpa(MIB(2)), 0xb);
	subtest("the first place", OP_READ, gpa, 0xa, EXPECT_VALUE);
	unmap_pages_of(size);
	subtest("nowhere", OP_READ, gpa, 0, EXPECT_UNMAPPED);
	must("the second place", axas_map_linear(space, gpa, linear_hpa(MIB(2)), MIB(2), RWX));
	subtest("the second place", OP_READ, gpa, 0xb, EXPECT_VALUE);
	subtest("written there", OP_WRITE, gpa, 0xc, EXPECT_VALUE);
	check("the second frame has it", read_host(linear_hpa(MIB(2))), 0xc);
	check("the first has not", read_host(linear_hpa(0)), 0xa);
	must("unmap", axas_unmap(space, gpa, MIB(2)));
	must("trap", axas_map_trap(space, gpa, PAGE, 3));
	subtest("a trap where memory was", OP_READ, gpa, 0, EXPECT_TRAP);
	must("untrap", axas_unmap(space, gpa, PAGE));
	must("lazy", axas_map_alloc(space, gpa, PAGE, RW));
	subtest("lazy memory where a trap was", OP_READ, gpa, 0, EXPECT_RESOLVED);
	must("unmap", axas_unmap(space, gpa, PAGE));
}

/* In one call, with no hole in between. */
static void replace_middle(uint64_t size)
{
	uint64_t gpa = map_in_pages_of(size, RW) + MIB(1);

	write_host(linear_hpa(MIB(1)), 0xa);
	write_host(linear_hpa(MIB(3)), 0xb);
	subtest("the first frame", OP_READ, gpa, 0xa, EXPECT_VALUE);
	must("replace", axas_map_linear(space, gpa, linear_hpa(MIB(3)), PAGE, R | AXAS_REPLACE));
	subtest("the frame that replaced it", OP_READ, gpa, 0xb, EXPECT_VALUE);
	subtest("its permissions", OP_WRITE, gpa, 0, EXPECT_DENIED);
	subtest_memory("write below", OP_WRITE, gpa - 8, linear_hpa(MIB(1) - 8), EXPECT_VALUE);
	subtest_memory("write above", OP_WRITE, gpa + PAGE, linear_hpa(MIB(1) + PAGE),
		       EXPECT_VALUE);
	unmap_pages_of(size);
}

static void populated_and_discarded(axas_flags_t option)
{
	must("reserve", axas_map_alloc(space, GPA_AREA, MIB(4), RW | option));
	must("populate", axas_populate(space, GPA_AREA, MIB(4)));
	subtest("zero, without a fault", OP_READ, GPA_AREA + MIB(3), 0, EXPECT_VALUE);
	subtest("written", OP_WRITE, GPA_AREA + MIB(3), 1, EXPECT_VALUE);
	must("discard", axas_discard(space, GPA_AREA + MIB(3), PAGE));
	subtest("zero again, with a fault", OP_READ, GPA_AREA + MIB(3), 0, EXPECT_RESOLVED);
	subtest("the page above is there", OP_READ, GPA_AREA + MIB(3) + PAGE, 0, EXPECT_VALUE);
	must("discard", axas_discard(space, GPA_AREA, MIB(4)));
	check("no frame is left", pool_frames_out(AXAS_FRAME_GUEST), 0);
	subtest("lazy again", OP_WRITE, GPA_AREA, 1, EXPECT_RESOLVED);
	must("unmap", axas_unmap(space, GPA_AREA, MIB(4)));
}

static void lazy_changes(axas_flags_t option)
{
	uint64_t gpa = GPA_AREA + MIB(1);

	must("reserve", axas_map_alloc(space, GPA_AREA, MIB(4), RW | option));
	subtest("written", OP_WRITE, gpa, 0x55, EXPECT_RESOLVED);
	must("read only", axas_protect(space, GPA_AREA, MIB(4), R));
	subtest("the frame cannot be written", OP_WRITE, gpa, 1, EXPECT_DENIED);
	subtest("the frame has its contents", OP_READ, gpa, 0x55, EXPECT_VALUE);
	subtest("what is only reserved neither", OP_WRITE, GPA_AREA + MIB(3), 1, EXPECT_REFUSED);
	must("all again", axas_protect(space, GPA_AREA, MIB(4), RW));
	subtest("the frame can be written", OP_WRITE, gpa, 0x56, EXPECT_VALUE);
	subtest("the rest too", OP_WRITE, GPA_AREA + MIB(3), 1, EXPECT_RESOLVED);
	must("a hole", axas_unmap(space, gpa, PAGE));
	subtest("in the hole", OP_READ, gpa, 0, EXPECT_UNMAPPED);
	must("reserved again", axas_map_alloc(space, gpa, PAGE, RW));
	subtest("zero again", OP_READ, gpa, 0, EXPECT_RESOLVED);
	must("unmap", axas_unmap(space, GPA_AREA, MIB(4)));
	must("reserved as it comes",
	     axas_map_alloc(space, GPA_AREA, MIB(4), RW | AXAS_SKIP_ZERO | option));
	subtest("as the host left it", OP_READ, gpa, POOL_GARBAGE, EXPECT_RESOLVED);
	must("discard", axas_discard(space, GPA_AREA, MIB(4)));
	subtest("zero after a discard", OP_READ, gpa, 0, EXPECT_RESOLVED);
	must("unmap", axas_unmap(space, GPA_AREA, MIB(4)));
	check("every frame is back", pool_frames_out(AXAS_FRAME_GUEST), 0);
	subtest("nothing left", OP_READ, gpa, 0, EXPECT_UNMAPPED);
}

/* A leaf with any tag is one to the walker. */
static void tagged(uint64_t size)
{
	uint64_t hpa = linear_hpa(0);

	for (uint32_t tag = 0; tag >> axas_tag_bits(space) == 0; tag++) {
		uint64_t gpa = map_in_pages_of(size, RWX | tag << AXAS_TAG_SHIFT);

		subtest_memory("write with a tag", OP_WRITE, gpa, hpa, EXPECT_VALUE);
		subtest_memory("execute with a tag", OP_EXECUTE, gpa + 64, hpa + 64, EXPECT_VALUE);
		must("another tag", axas_retag(space, GPA_AREA, size == GIB(1) ? size : MIB(4),
					       (tag + 1) & ((1u << axas_tag_bits(space)) - 1)));
		subtest_memory("read with another tag", OP_READ, gpa, hpa, EXPECT_VALUE);
		unmap_pages_of(size);
	}
}

/* Pages, and the tables that they are in, are hidden and shown under a running guest. */
static void hidden(uint64_t size)
{
	uint64_t gpa = map_in_pages_of(size, RW), hpa = linear_hpa(0);
	uint64_t bytes = size == GIB(1) ? size : MIB(4);
	struct outcome outcome;

	subtest_memory("write before", OP_WRITE, gpa, hpa, EXPECT_VALUE);
	must("hide", axas_hide(space, GPA_AREA, bytes, 0));
	subtest("read what is hidden", OP_READ, gpa, 0, EXPECT_HIDDEN);
	subtest("write what is hidden", OP_WRITE, gpa, 0, EXPECT_HIDDEN);
	must("show", axas_show(space, GPA_AREA, bytes));
	subtest_memory("write what is shown", OP_WRITE, gpa, hpa, EXPECT_VALUE);
	must("hide for a while", axas_hide(space, GPA_AREA, bytes, AXAS_HIDE_AUTO));
	write_host(hpa, 0x5a);
	subtest("the first read shows it", OP_READ, gpa, 0x5a, EXPECT_RESOLVED);
	subtest_memory("the second finds it", OP_READ, gpa, hpa, EXPECT_VALUE);
	if (size == PAGE) {
		write_host(hpa + PAGE, 0x6b);
		subtest("the page beside", OP_READ, gpa + PAGE, 0x6b, EXPECT_RESOLVED);
	}
	must("hide all", axas_hide(space, 0, axas_size(space), AXAS_HIDE_AUTO));
	write_host(hpa, 0x7c);
	/* the guest's own code and the page of its orders come back besides */
	guest_access(guest, OP_READ, gpa, 0, &outcome);
	check("read in a hidden space", outcome.done, 1);
	check("what was read there", outcome.value, 0x7c);
	check("each page came with a fault", outcome.faults > 1, 1);
	subtest_memory("and then without", OP_READ, gpa, hpa, EXPECT_VALUE);
	unmap_pages_of(size);
}

/* A hole with a value, and memory that is mapped in it. */
static void noted(uint64_t size)
{
	must("note", axas_map_note(space, GPA_AREA, size == GIB(1) ? size : MIB(4), 7, 0));
	subtest("read what has a note", OP_READ, GPA_AREA + PAGE, 0, EXPECT_UNMAPPED);
	must("memory in it",
	     axas_map_linear(space, GPA_AREA + PAGE, linear_hpa(PAGE), PAGE, RW | AXAS_REPLACE));
	subtest_memory("write the memory", OP_WRITE, GPA_AREA + PAGE, linear_hpa(PAGE),
		       EXPECT_VALUE);
	subtest("write beside it", OP_WRITE, GPA_AREA + 2 * PAGE, 0, EXPECT_UNMAPPED);
	unmap_pages_of(size);
}

/* A host that has no frames: tables come from the stock. */
static void stocked(uint64_t size)
{
	uint64_t gpa = map_in_pages_of(size, RW) + MIB(1), hpa = linear_hpa(MIB(1));

	must("stock", axas_stock(space, 2 * (axas_levels(space) - 1)));
	pool_refuses_tables = 1;
	subtest_memory("write before", OP_WRITE, gpa, hpa, EXPECT_VALUE);
	must("one page read only", axas_protect(space, gpa, PAGE, R));
	pool_refuses_tables = 0;
	subtest_memory("write to the page", OP_WRITE, gpa, hpa, EXPECT_DENIED);
	subtest_memory("read the page", OP_READ, gpa, hpa, EXPECT_VALUE);
	subtest_memory("write above", OP_WRITE, gpa + PAGE, hpa + PAGE, EXPECT_VALUE);
	must("no stock", axas_stock(space, 0));
	unmap_pages_of(size);
}

static uint8_t seen[MIB(4) / PAGE];

static void note_page(const axas_fault_t *fault)
{
	if (fault->gpa >= GPA_AREA && fault->gpa < GPA_AREA + MIB(4))
		seen[(fault->gpa - GPA_AREA) / PAGE] = 1;
}

/*
 * As Xen tracks what a guest uses between two set/way operations (p2m_invalidate_root): the space is hidden by its root,
 * and faults tell of each page that was used since, and of no other.
 */
static void tracked(void)
{
	uint8_t used[MIB(4) / PAGE];
	uint32_t state =
		1; /* the same accesses in each run, for there are to be as many requests */

	(void)map_in_pages_of(PAGE, RW);
	for (uint32_t round = 0; round < 6; round++) {
		uint64_t differ = 0;

		for (size_t i = 0; i < sizeof(used); i++)
			used[i] = seen[i] = 0;
		must("hide all", axas_hide(space, 0, axas_size(space), AXAS_HIDE_AUTO));
		after_fault = note_page;
		for (uint32_t i = 0; i < 10 * round; i++) {
			struct outcome outcome;
			uint32_t page;

			state = state * 1664525u + 1013904223u;
			page = (state >> 16) % sizeof(used);
			guest_access(guest, state >> 8 & 1 ? OP_READ : OP_WRITE,
				     GPA_AREA + page * PAGE, 1, &outcome);
			check("a use in a hidden space", outcome.done, 1);
			used[page] = 1;
		}
		after_fault = NULL;
		for (size_t i = 0; i < sizeof(used); i++)
			differ += used[i] != seen[i];
		check("the pages that were used are those of the faults", differ, 0);
	}
	must("show all", axas_show(space, 0, axas_size(space)));
	unmap_pages_of(PAGE);
}

static void parts(uint64_t size)
{
	if (axas_parts() & AXAS_PART_TAGS)
		tagged(size);
	if (axas_parts() & AXAS_PART_HIDE)
		hidden(size), noted(size);
	if (axas_parts() & AXAS_PART_HIDE && size == PAGE)
		tracked();
	if (axas_parts() & AXAS_PART_STOCK)
		stocked(size);
}

/*
 * A root for devices too: there is no device here, but CPUs walk it. Devices that may find a hole for a moment
 * allow most changes.
 */
static void for_devices(void)
{
	static const uint64_t sizes[] = { KIB(4), MIB(2), GIB(1) };
	const uint32_t io = AXAS_FEATURE_IO_FAULTS | AXAS_FEATURE_IO_COHERENT;

	/* no device walks tables of NPT */
	if (!(axas_parts() & AXAS_PART_IO) || layer.format == AXAS_FORMAT_NPT)
		return;
	group("changes, before devices");
	space_open(layer.space_size, layer.features | io, AXAS_IO, FLUSH_HOST);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		protect_all(sizes[i]);
		protect_middle(sizes[i]);
		unmap_middle(sizes[i]);
		replace_middle(sizes[i]);
		if (axas_parts() & AXAS_PART_TAGS)
			tagged(sizes[i]);
	}
	must("lazy memory is refused",
	     axas_map_alloc(space, GPA_AREA, PAGE, RW) == AXAS_ERR_UNSUPPORTED ?
		     AXAS_OK :
		     AXAS_ERR_BAD_STATE);
	must("populated", axas_map_alloc(space, GPA_AREA, MIB(4), RW | AXAS_POPULATE));
	subtest("zero, without a fault", OP_READ, GPA_AREA + MIB(3), 0, EXPECT_VALUE);
	must("unmap", axas_unmap(space, GPA_AREA, MIB(4)));
	space_close();
}

static void cleared(void)
{
	axas_hw_regs_t registers;

	must("lazy", axas_map_alloc(space, GPA_AREA, PAGE, RW));
	subtest("there before clear", OP_WRITE, GPA_AREA, 1, EXPECT_RESOLVED);
	must("clear", axas_clear(space));
	must("the guest's code again",
	     axas_map_linear(space, GPA_CODE, (uintptr_t)guest_program, PAGE, RX));
	must("what this machine's guest needs", layer_map(space));
	must("registers", axas_hw_regs(space, &registers));
	guest = layer_load(0, &registers);
	subtest("gone after clear", OP_READ, GPA_AREA, 0, EXPECT_UNMAPPED);
	subtest("the mailbox too", OP_READ, GPA_MAILBOX, 0, EXPECT_UNMAPPED);
}

/* Returns the requests that there were, whoever carried them out. */
static uint64_t all_changes(enum flush_by flush)
{
	axas_stats_t stats;
	static const uint64_t sizes[] = { KIB(4), MIB(2), GIB(1) };

	space_open(layer.space_size, layer.features, 0, flush);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		protect_all(sizes[i]);
		protect_middle(sizes[i]);
		unmap_middle(sizes[i]);
		map_elsewhere(sizes[i]);
		replace_middle(sizes[i]);
		parts(sizes[i]);
	}
	lazy_changes(0);
	lazy_changes(AXAS_HUGE_FRAMES);
	populated_and_discarded(0);
	populated_and_discarded(AXAS_HUGE_FRAMES);
	cleared();
	must("stats", axas_stats(space, &stats));
	space_close();
	return stats.tlb_requests + 1; /* that of axas_destroy */
}

void test_changes(void)
{
	uint64_t requests, local;

	for_devices();

	if (layer.has_builtin_flush) {
		group("changes, built-in flush");
		all_changes(FLUSH_BUILTIN);
	}
	group("changes, the host's flush");
	flush_requests = 0;
	flush_requests_local = 0;
	requests = all_changes(FLUSH_HOST);
	check("each request came to the host", requests, flush_requests);
	check("the host's flush was asked", flush_requests > 20, 1);
	if (!layer.has_builtin_flush)
		return;
	group("changes, the library's flush here, the host's for all");
	local = flush_requests_local;
	flush_requests = 0;
	flush_requests_local = 0;
	check("as many requests", all_changes(FLUSH_SHARED), requests);
	check("no local one came to the host", flush_requests_local, 0);
	check("all others did", flush_requests, requests - local);
}
