/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Pre-copy: the second CPU stays in a guest that writes at random, while this one collects which pages were written and
 * copies them, round after round. When the guest stands still and the last round is copied, the copy is what the guest
 * has. By write faults, and by dirty bits that the walker sets; once more as a negative control, where the flush does
 * nothing: then writes are lost. And with the log of pages that the CPU itself keeps (PML), where it keeps one. In an archive
 * that has the part.
 */
#include <stddef.h>

#include "suite.h"

#define GPA_AREA GIB(6)
#define ROUNDS   8u
/* Words that the guest writes between two rounds. */
#define WRITTEN  100u
/* For the control: pages that the guest uses all of between two rounds, and that a TLB can hold together. */
#define FEW      KIB(32)

#pragma weak axas_dirty_start
#pragma weak axas_dirty_clear
#pragma weak axas_dirty_collect
#pragma weak axas_dirty_get
#pragma weak axas_dirty_stop

static uint64_t copy[SCATTERED / 8];
static uint64_t bitmap[SCATTERED / PAGE / 64];
static uint64_t size, pages; /* that are logged */

/* The features under which the walker's dirty bits are used; RISC-V's cannot be left out, but must be declared. */
static uint32_t features(void)
{
	return layer.features |
	       (layer.format == AXAS_FORMAT_RISCV_GSTAGE ? (uint32_t)AXAS_FEATURE_RISCV_SVADU : 0);
}

/* Pages that were written since the last time, which are copied. */
static uint64_t copy_round(uint32_t options)
{
	uint64_t count = 0, copied = 0;

	for (uint64_t i = 0; i < (pages + 63) / 64; i++)
		bitmap[i] = 0;
	must("collect", axas_dirty_collect(space, GPA_AREA, size, bitmap, pages, options, &count));
	for (uint64_t page = 0; page < pages; page++) {
		if (!(bitmap[page / 64] >> (page % 64) & 1))
			continue;
		copied++;
		for (uint64_t at = page * PAGE; at < (page + 1) * PAGE; at += 8)
			copy[at / 8] = read_host(linear_hpa(at));
	}
	check("the pages that were reported are those of the bitmap", copied, count);
	return count;
}

static uint64_t words_that_differ(const uint64_t *expected)
{
	uint64_t differ = 0;

	for (uint64_t i = 0; i < size / 8; i++)
		differ += copy[i] != expected[i];
	return differ;
}

/* Half of the memory is small pages, the other half 2 MiB ones, which are split when the first round is over. */
static void open_area(enum flush_by flush)
{
	space_open(layer.space_size, features(), 0, flush);
	for (uint64_t at = 0; at < SCATTERED; at += 8) {
		write_host(linear_hpa(at), 0);
		copy[at / 8] = UINT64_MAX;
	}
	must("small pages",
	     axas_map_linear(space, GPA_AREA, linear_hpa(0), SCATTERED / 2, RW | AXAS_NO_HUGE));
	must("large pages", axas_map_linear(space, GPA_AREA + SCATTERED / 2,
					    linear_hpa(SCATTERED / 2), SCATTERED / 2, RW));
}

/* Copies what is written to so many bytes; how many words of the copy are wrong in the end. */
static uint64_t precopy(uint32_t how, enum flush_by flush, uint64_t bytes)
{
	uint64_t wrong;

	size = bytes;
	pages = bytes / PAGE;
	open_area(flush);
	must("start", axas_dirty_start(space, GPA_AREA, size, how | AXAS_DIRTY_ALL));
	scatter_start(GPA_AREA, size);
	check("at first all is written", copy_round(0), pages);
	for (uint32_t round = 1; round < ROUNDS; round++) {
		check("the guest goes on", scatter_goes_on(WRITTEN), 1);
		(void)copy_round(AXAS_DIRTY_SPLIT);
	}
	{
		const uint64_t *expected = scatter_stop();

		(void)copy_round(AXAS_DIRTY_SPLIT);
		wrong = words_that_differ(expected);
	}
	check("nothing was written since", copy_round(0), 0);
	check("the guest has what it wrote", scatter_lost(), 0);
	must("stop", axas_dirty_stop(space, 0, axas_size(space)));
	must("audit", axas_audit(space));
	space_close();
	return wrong;
}

static void in_mode(const char *name, uint32_t how)
{
	axas_status_t status;

	group(name);
	space_open(layer.space_size, features(), 0, FLUSH_HOST);
	status = axas_dirty_start(space, 0, PAGE, how | AXAS_DIRTY_ALL);
	space_close();
	if (status == AXAS_ERR_UNSUPPORTED)
		return;
	must("a log", status);
	check("the copy is what the guest has", precopy(how, FLUSH_HOST, SCATTERED), 0);
	if (layer.builtin_reaches_all)
		check("the copy is what the guest has, built-in flush",
		      precopy(how, FLUSH_BUILTIN, SCATTERED), 0);
	check("without a flush writes are lost", precopy(how, FLUSH_NOTHING, FEW) != 0, 1);
}

/* Pages that the CPU's log has since the last time, as bits; how many. */
static uint64_t take_page_log(void)
{
	uint64_t count = 0, gpa;

	for (uint64_t i = 0; i < (pages + 63) / 64; i++)
		bitmap[i] = 0;
	while ((gpa = layer.page_log_take()) != UINT64_MAX) {
		const uint64_t page = (gpa - GPA_AREA) / PAGE;

		/* The guest's own tables and its mailbox are in the log too. */
		if (gpa < GPA_AREA || page >= pages)
			continue;
		bitmap[page / 64] |= UINT64_C(1) << (page % 64);
		count++;
	}
	return count;
}

/* Writes to so many pages at random; how many different ones. */
static uint64_t write_pages(uint64_t writes)
{
	static uint64_t used[SCATTERED / PAGE / 64];
	uint64_t count = 0;

	for (uint64_t i = 0; i < (pages + 63) / 64; i++)
		used[i] = 0;
	for (; writes > 0; writes--) {
		const uint64_t page = random_below(pages);
		struct outcome outcome;

		guest_access(guest, OP_WRITE, GPA_AREA + page * PAGE, random_number(), &outcome);
		check("a write while the CPU logs", outcome.done, 1);
		count += !(used[page / 64] >> (page % 64) & 1);
		used[page / 64] |= UINT64_C(1) << (page % 64);
	}
	return count;
}

/*
 * The CPU's log has each page that becomes dirty: only these are made clean. How many were written and not in the log. The
 * control makes none clean: then what is written again is not in the log.
 */
static uint64_t with_page_log(uint32_t cleans)
{
	uint64_t missed = 0;

	size = SCATTERED;
	pages = SCATTERED / PAGE;
	open_area(FLUSH_HOST);
	must("start",
	     axas_dirty_start(space, GPA_AREA, size, AXAS_DIRTY_HARDWARE | AXAS_DIRTY_SPLIT));
	check("the log begins", layer.page_log_begin(), 1);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		const uint64_t written = write_pages(WRITTEN), logged = take_page_log();
		uint64_t dirty = 0;

		missed += written - logged;
		if (!cleans)
			continue;
		must("clear", axas_dirty_clear(space, GPA_AREA, size, bitmap, pages, 0));
		must("get", axas_dirty_get(space, GPA_AREA, size, bitmap, pages, &dirty));
		check("what was in the log is all that was dirty", dirty, 0);
	}
	must("stop", axas_dirty_stop(space, 0, axas_size(space)));
	space_close();
	return missed;
}

void test_logged(void)
{
	if (!(axas_parts() & AXAS_PART_DIRTY))
		return;
	/* On RISC-V the part decides how. */
	if (layer.format != AXAS_FORMAT_RISCV_GSTAGE)
		in_mode("pre-copy by write faults", 0);
	in_mode("pre-copy by dirty bits",
		layer.format == AXAS_FORMAT_RISCV_GSTAGE ? 0 : AXAS_DIRTY_HARDWARE);
	if (layer.page_log_begin) {
		group("log of the CPU");
		check("the log has each page that is written", with_page_log(1), 0);
		check("a page that stays dirty is in it once", with_page_log(0) != 0, 1);
	}
}
