/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Ageing: a guest uses a known set of pages, which axas_age reports, and nothing else. Where the walker sets no
 * accessed bits each page of the set faults once. In an archive that has the part.
 */
#include "suite.h"

/* Two tables of pages: rounds that leave one alone let it become cold, where tables can. */
#define PAGES 1024u
#define WORDS (PAGES / 64)
#define AT    GIB(1)

#pragma weak axas_age
#pragma weak axas_age_stop

static uint64_t used[WORDS];
static uint64_t used_count;

static uint64_t young(uint64_t *bitmap, uint32_t options)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < WORDS; i++)
		bitmap[i] = 0;
	must("age", axas_age(space, AT, PAGES * PAGE, bitmap, PAGES, options, &count));
	return count;
}

/* The guest reads or writes a page, for the first time in this round or not. */
static void use(uint64_t page)
{
	const uint64_t op = random_below(2) ? OP_READ : OP_WRITE;
	const uint64_t bit = UINT64_C(1) << (page % 64);
	struct outcome outcome;

	guest_access(guest, op, AT + page * PAGE + 8 * random_below(PAGE / 8), 1, &outcome);
	check("the guest uses a page", outcome.done, 1);
	used_count += !(used[page / 64] & bit);
	used[page / 64] |= bit;
}

/* A round in which the guest uses so many pages, from one on. */
static void round_of(uint64_t uses, uint64_t first)
{
	static uint64_t bitmap[WORDS];
	const uint64_t faults_before = faults_taken;
	uint64_t differences = 0;

	used_count = 0;
	for (uint32_t i = 0; i < WORDS; i++)
		used[i] = 0;
	for (uint64_t i = 0; i < uses; i++)
		use(first + random_below(PAGES - first));
	check("each page faults once, or none does", faults_taken - faults_before,
	      layer.sets_accessed ? 0 : used_count);
	check("what a look reports", young(bitmap, AXAS_AGE_TEST), used_count);
	check("what is reported", young(bitmap, 0), used_count);
	for (uint32_t i = 0; i < WORDS; i++)
		differences += bitmap[i] != used[i];
	check("words of the bitmap that differ", differences, 0);
}

void test_age(void)
{
	static uint64_t bitmap[WORDS];

	if (!(axas_parts() & AXAS_PART_AGE))
		return;
	group("ageing");
	for (uint32_t by_host = 0; by_host < 2; by_host++) {
		space_open(layer.space_size, layer.features, 0,
			   by_host ? FLUSH_HOST : FLUSH_BUILTIN);
		must("pages",
		     axas_map_linear(space, AT, linear_hpa(0), PAGES * PAGE, RW | AXAS_NO_HUGE));
		check("at first", young(bitmap, 0), PAGES);
		for (uint32_t i = 0; i < 24; i++)
			round_of(i % 4 == 3 ? 0 : 1 + random_below(60), i % 3 ? PAGES / 2 : 0);
		/* one page while everything is cold, then its neighbours */
		for (uint32_t i = 0; i < 4; i++)
			round_of(0, 0);
		round_of(1, PAGES - 1);
		round_of(40, 0);
		must("stop", axas_age_stop(space, 0, axas_size(space)));
		must("audit", axas_audit(space));
		check("in the end", young(bitmap, AXAS_AGE_TEST), PAGES);
		space_close();
	}
}
