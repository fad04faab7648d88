/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Post-copy: the guest of this CPU uses memory that is not there yet, and the other CPU brings it. First both are on the
 * same page at the same time, then each goes through all pages in a random order of its own, and pages come twice. Each word
 * arrives, and what the guest wrote stays. Then pages are taken away and come back. In an archive that has the part.
 */
#include "suite.h"

#define PAGES    512u
#define WORDS    (PAGE / 8)
#define GPA_AREA GIB(6)

/* What the host answers for a page: later, or a frame of its own; for one that was taken away, the frame that it had. */
#define LATER 1
#define GIVEN 2
#define KEPT  3

#pragma weak axas_map_provider
#pragma weak axas_supply
#pragma weak axas_evict

static axas_hal_t pool;
static uint32_t together; /* both CPUs have a frame before one of them offers it */
static uint16_t order[CPU_COUNT][PAGES];
static uint32_t is_here[PAGES];
static uint32_t uses[PAGES]; /* what the guest added */
static axas_hpa_t kept[PAGES];
static uint64_t brought, late, refused, given; /* on both CPUs */
static uint64_t waits, resolved, bad;

static uint64_t word_of(uint32_t page, uint64_t word)
{
	return (page * WORDS + word + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

/* The word that the guest uses. */
static uint64_t used_word(uint32_t page)
{
	return page * 7 % WORDS;
}

/* The page, as it comes from where the guest was before. */
static axas_hpa_t frame_with(uint32_t page)
{
	const axas_hpa_t frame = pool.alloc_frame(NULL, 0, AXAS_FRAME_GUEST);

	if (frame == AXAS_HPA_INVALID)
		return frame;
	for (uint64_t word = 0; word < WORDS; word++)
		write_host(frame + 8 * word, word_of(page, word));
	if (together)
		barrier();
	return frame;
}

static uint32_t resolve(void *ctx, uint32_t provider, axas_gpa_t gpa, uint32_t access,
			axas_supply_t *answer)
{
	const uint32_t page = (uint32_t)((gpa - GPA_AREA) / PAGE);

	(void)ctx;
	(void)access;
	if (provider == LATER)
		return AXAS_RESOLVE_LATER;
	__atomic_add_fetch(&given, 1, __ATOMIC_RELAXED);
	answer->hpa = provider == KEPT ? kept[page] : frame_with(page);
	kept[page] = 0;
	return AXAS_RESOLVE_GIVEN;
}

/* The host keeps the frames of what is taken away. */
static uint32_t keep(void *ctx, const axas_mapping_t *run, uint32_t dirty)
{
	(void)ctx;
	(void)dirty;
	for (uint64_t offset = 0; offset < run->size; offset += PAGE)
		kept[(run->gpa + offset - GPA_AREA) / PAGE] = run->hpa + offset;
	return 1;
}

static void bring(uint32_t page)
{
	const axas_hpa_t frame = frame_with(page);
	const axas_status_t status =
		axas_supply(space, GPA_AREA + page * PAGE, frame, PAGE, RW, AXAS_RESOLVE_GIVEN);

	if (status != AXAS_OK)
		pool.dealloc_frame(NULL, frame, 0, AXAS_FRAME_GUEST);
	__atomic_add_fetch(status == AXAS_OK                 ? &brought :
			   status == AXAS_ERR_ALREADY_EXISTS ? &late :
							       &refused,
			   1, __ATOMIC_RELAXED);
	__atomic_store_n(&is_here[page], 1, __ATOMIC_RELEASE);
}

/* Half of what is not there the host brings from here, too. */
static void wait_for(uint32_t page)
{
	waits++;
	if (together || page % 2) {
		bring(page);
		return;
	}
	while (!__atomic_load_n(&is_here[page], __ATOMIC_ACQUIRE))
		layer_relax();
}

/* The guest adds 1 to a word. */
static void use(uint32_t page)
{
	const uint64_t word = used_word(page);
	struct guest_exit left = { .reason = EXIT_UNKNOWN };

	accesses_made++;
	layer_request(guest, OP_ATOMIC, GPA_AREA + page * PAGE + 8 * word, 1);
	for (;;) {
		axas_fault_result_t verdict;

		layer_run(guest, &left);
		if (left.reason != EXIT_FAULT)
			break;
		__atomic_add_fetch(&faults_taken, 1, __ATOMIC_RELAXED);
		verdict = axas_handle_page_fault(space, left.fault.gpa, left.fault.access);
		resolved += verdict == AXAS_FAULT_RESOLVED;
		if (verdict == AXAS_FAULT_WAIT)
			wait_for(page);
		else if (!axas_fault_resumes(verdict))
			break;
	}
	bad += left.reason != EXIT_HYPERCALL || left.argument != word_of(page, word) + uses[page];
	uses[page]++;
}

static void use_all(void)
{
	for (uint32_t i = 0; i < PAGES; i++)
		use(order[0][i]);
}

static void bring_what_is_used(void)
{
	for (uint32_t i = 0; i < PAGES; i++)
		bring(order[0][i]);
}

static void bring_all_twice(void)
{
	for (uint32_t i = 0; i < 2 * PAGES; i++)
		bring(order[1][i % PAGES]);
}

static void shuffle(uint16_t *pages)
{
	for (uint16_t i = 0; i < PAGES; i++)
		pages[i] = i;
	for (uint32_t i = PAGES - 1; i > 0; i--) {
		const uint64_t other = random_below(i + 1);
		const uint16_t page = pages[i];

		pages[i] = pages[other];
		pages[other] = page;
	}
}

static void check_words(const char *what)
{
	uint64_t wrong = 0;

	for (uint32_t page = 0; page < PAGES; page++) {
		axas_hpa_t hpa = 0;

		must("translate", axas_translate(space, GPA_AREA + page * PAGE, &hpa, NULL));
		for (uint64_t word = 0; word < WORDS; word++)
			wrong += read_host(hpa + 8 * word) !=
				 word_of(page, word) + (word == used_word(page) ? uses[page] : 0);
	}
	check(what, wrong, 0);
	check("what the guest read was right", bad, 0);
	check("one frame for each page", pool_frames_out(AXAS_FRAME_GUEST), PAGES);
}

/* One half of the pages is answered later, the other half at once. */
static void open_area(void)
{
	resolve_with = resolve;
	evicted_with = keep;
	space_open(layer.space_size, layer.features, 0, FLUSH_HOST);
	must("later", axas_map_provider(space, GPA_AREA, PAGES / 2 * PAGE, RW, LATER));
	must("given",
	     axas_map_provider(space, GPA_AREA + PAGES / 2 * PAGE, PAGES / 2 * PAGE, RW, GIVEN));
	for (uint32_t page = 0; page < PAGES; page++) {
		is_here[page] = 0;
		uses[page] = 0;
	}
	for (uint32_t cpu = 0; cpu < CPU_COUNT; cpu++)
		shuffle(order[cpu]);
	brought = late = refused = given = waits = resolved = bad = 0;
}

static void close_area(void)
{
	axas_stats_t stats;

	must("audit", axas_audit(space));
	must("stats", axas_stats(space, &stats));
	check("each wait was counted", stats.faults_wait, waits);
	resolve_with = NULL;
	evicted_with = NULL;
	space_close();
}

static void both_on_one_page(void)
{
	group("post-copy, two CPUs on one page");
	open_area();
	together = 1;
	cpus_run(bring_what_is_used);
	use_all();
	cpus_wait();
	together = 0;
	check_words("each word came where two brought it");
	check("of two that bring a page one does", brought + resolved, PAGES);
	check("nothing else is refused", refused, 0);
	close_area();
}

static void in_random_order(void)
{
	group("post-copy, in random order");
	open_area();
	cpus_run(bring_all_twice);
	use_all();
	cpus_wait();
	check_words("each word came in random order");
	check("each page came once", brought + resolved, PAGES);
	check("what came again was refused", late >= PAGES && refused == 0, 1);

	/* What the guest does not use goes, and is there again when it does. */
	for (uint32_t page = 0; page < PAGES;) {
		const uint64_t run = 1 + random_below(8);
		const uint64_t pages = run < PAGES - page ? run : PAGES - page;

		if (random_below(2))
			must("evict",
			     axas_evict(space, GPA_AREA + page * PAGE, pages * PAGE, KEPT));
		page += (uint32_t)pages;
	}
	given = 0;
	use_all();
	check("pages were taken away", given > 0 && given < PAGES, 1);
	check_words("each word is there again");
	close_area();
}

void test_provider(void)
{
	if (!(axas_parts() & AXAS_PART_PROVIDER))
		return;
	pool_supply(&pool);
	both_on_one_page();
	in_random_order();
}
