/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Post-copy with one CPU for everything: the vCPU goes on at once in a space without pages, and they follow from the old
 * one. Those that it waits for come on request; the others are sent in random order, whether they are there or not.
 */
#include <stddef.h>

#include "frames.h"
#include "freestanding.h"
#include "moved.h"
#include "report.h"

#define MOVED_PAGES (MOVED_SIZE / AXAS_PAGE_SIZE)

/* The burst after which the vCPU moves. */
#define MOVE 128

/* Pages sent after each burst; and, of those sent before, how many arrive before one that is requested. */
#define SENT_AT_ONCE 1
#define UNDER_WAY    3

/* Whose page is asked for. */
#define RAM_PROVIDER     1
#define PROGRAM_PROVIDER 2

static axas_t *source;
static uint8_t in_source[MOVED_PAGES]; /* the rest of RAM was never used */
static uint16_t order[MOVED_PAGES]; /* of sending */
static uint64_t pages, sent;
static uint64_t waits, on_request, unasked, late, unused;

/* Runs inside the fault: it looks up where the page is, and calls nothing of the library. */
static uint32_t resolve(void *ctx, uint32_t provider, axas_gpa_t gpa, uint32_t access,
			axas_supply_t *answer)
{
	(void)ctx;
	(void)access;
	if (provider == PROGRAM_PROVIDER) {
		answer->hpa = (axas_hpa_t)(uintptr_t)guest_program + (gpa - GPA_PROGRAM);
		return AXAS_RESOLVE_NOW;
	}
	if (in_source[(gpa - GPA_RAM) / AXAS_PAGE_SIZE])
		return AXAS_RESOLVE_LATER;
	unused++;
	return AXAS_RESOLVE_ALLOC;
}

/* A page arrives from the old space. Returns 0 if it is there already: the guest may have written to it. */
static uint32_t bring(uint64_t page)
{
	const axas_gpa_t gpa = GPA_RAM + page * AXAS_PAGE_SIZE;
	const axas_hpa_t frame = moved.hal.alloc_frame(NULL, 0, AXAS_FRAME_GUEST);
	axas_hpa_t from;
	axas_status_t status;

	if (frame == AXAS_HPA_INVALID)
		give_up("no memory");
	must(axas_translate(source, gpa, &from, NULL), "axas_translate");
	memcpy((void *)(uintptr_t)frame, (const void *)(uintptr_t)from, AXAS_PAGE_SIZE);
	status = axas_supply(moved.space, gpa, frame, AXAS_PAGE_SIZE, AXAS_READ | AXAS_WRITE,
			     AXAS_RESOLVE_GIVEN);
	if (status == AXAS_ERR_ALREADY_EXISTS) {
		moved.hal.dealloc_frame(NULL, frame, 0, AXAS_FRAME_GUEST);
		late++;
		return 0;
	}
	must(status, "axas_supply");
	return 1;
}

static void all_is_here(void)
{
	axas_destroy(source);
	source = NULL;
	report("  %lu pages came on request, %lu pages unasked, %lu pages twice\n", on_request,
	       unasked, late);
	report("4. All of it is here: the old space is gone\n");
}

static void send(uint64_t most)
{
	for (; most != 0 && sent < pages; most--)
		unasked += bring(order[sent++]);
}

/* The vCPU does not run before the page is there. */
static void fetch(axas_gpa_t gpa)
{
	if (waits++ == 0)
		report("3. Its memory follows\n");
	send(UNDER_WAY);
	on_request += bring((gpa - GPA_RAM) / AXAS_PAGE_SIZE);
}

static void shuffle(void)
{
	uint64_t state = 1;

	for (uint64_t i = pages - 1; i > 0; i--) {
		const uint16_t page = order[i];
		uint64_t other;

		state = state * 6364136223846793005u + 1442695040888963407u;
		other = (state >> 33) % (i + 1);
		order[i] = order[other];
		order[other] = page;
	}
}

/* What the old space has in RAM. It does not change any more. */
static void list_pages(void)
{
	for (uint16_t page = 0; page < MOVED_PAGES; page++) {
		axas_mapping_t found;

		must(axas_query(source, GPA_RAM + page * (uint64_t)AXAS_PAGE_SIZE, &found),
		     "axas_query");
		in_source[page] = found.state == AXAS_STATE_OWNED;
		if (in_source[page])
			order[pages++] = page;
	}
	shuffle();
}

static void move(void)
{
	axas_t *to = space_create(2);
	axas_stats_t stats;

	must(axas_map_provider(to, GPA_RAM, MOVED_SIZE, AXAS_READ | AXAS_WRITE, RAM_PROVIDER),
	     "axas_map_provider");
	must(axas_map_provider(to, GPA_PROGRAM, PROGRAM_SIZE, AXAS_READ | AXAS_EXECUTE,
			       PROGRAM_PROVIDER),
	     "axas_map_provider");
	must(axas_stats(to, &stats), "axas_stats");
	source = change_over(to);
	list_pages();
	report("  it has written to %lu pages\n", pages);
	report("2. It goes on in a space with %lu pages of its own\n", stats.guest_frames);
}

void after_burst(uint64_t burst)
{
	if (burst == MOVE)
		move();
	if (source == NULL)
		return;
	send(SENT_AT_ONCE);
	if (sent == pages)
		all_is_here();
}

void begin(void)
{
	report("\nPost-copy of a guest at work\n");
	report("1. It runs where it began\n");
	moved.hal.resolve = resolve;
	moved.fetch = fetch;
	moved.space = space_with_memory(1);
}

void finish(void)
{
	axas_stats_t stats;

	must(axas_stats(moved.space, &stats), "axas_stats");
	if (source != NULL || waits == 0 || unasked == 0 || late == 0)
		give_up("it did not come in every way");
	if (waits != stats.faults_wait || stats.guest_frames != pages + unused)
		give_up("the library counted otherwise");
	must(axas_audit(moved.space), "axas_audit");
}
