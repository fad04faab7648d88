/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * ab.c [ROUNDS] - times of two archives beside each other in one process, for scripts/ab.sh. In each round
 * every piece of work is done with both archives in turn, the order changing with the round.
 * Prints the medians and the median of the rounds' ratios, which the machine's other work disturbs least.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "axaddrspace.h"

#define PAGE   UINT64_C(4096)
#define MIB    (UINT64_C(1) << 20)
#define GIB    (UINT64_C(1) << 30)
#define BASE   (2 * GIB)
/* Host less guest address: aligned to a page and to nothing larger. */
#define APART  (256 * GIB + PAGE)
#define FIRST  (4 * GIB)
#define FRAMES UINT64_C(160000)
/* Pages of a large piece of work, of a piece of one page each. */
#define PAGES  UINT64_C(65536)
#define CALLS  UINT64_C(16384)
#define MOST   101

#define EACH_FUNCTION(X) \
	X(create)        \
	X(destroy)       \
	X(map_linear) X(map_alloc) X(unmap) X(protect) X(handle_page_fault) X(translate)

struct engine {
#define MEMBER(function) __typeof__(axas_##function) *function;
	EACH_FUNCTION(MEMBER)
};

#define DECLARE(function)                                       \
	extern __typeof__(axas_##function) old_axas_##function; \
	extern __typeof__(axas_##function) new_axas_##function;
EACH_FUNCTION(DECLARE)

#define OLD(function) .function = old_axas_##function,
#define NEW(function) .function = new_axas_##function,
static const struct engine engines[2] = { { EACH_FUNCTION(OLD) }, { EACH_FUNCTION(NEW) } };

static const axas_flags_t rwx = AXAS_READ | AXAS_WRITE | AXAS_EXECUTE;

static axas_hpa_t free_frames[FRAMES];
static uint64_t free_count;
static uint64_t order[PAGES];
static axas_hal_t hal;
/* The one in use. */
static const struct engine *e;
static axas_t *space;

static axas_hpa_t alloc_frame(void *ctx, uint32_t frame_order, uint32_t purpose)
{
	(void)ctx;
	(void)purpose;
	return free_count && !frame_order ? free_frames[--free_count] : AXAS_HPA_INVALID;
}

static void dealloc_frame(void *ctx, axas_hpa_t frame, uint32_t frame_order, uint32_t purpose)
{
	(void)ctx;
	(void)purpose;
	for (uint64_t page = 0; page < UINT64_C(1) << frame_order; page++)
		free_frames[free_count++] = frame + page * PAGE;
}

static void tlb_flush(void *ctx, const axas_tlb_request_t *request)
{
	(void)ctx;
	__asm__ volatile("" : : "r"(request) : "memory");
}

static void note_released(void *ctx, const axas_mapping_t *run)
{
	(void)ctx;
	__asm__ volatile("" : : "r"(run) : "memory");
}

static void must(int holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "ab: %s\n", what);
		exit(1);
	}
}

#define MUST(call) must((call) == AXAS_OK, #call)

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static uint64_t seed;

/* Marsaglia's xorshift. */
static uint64_t draw(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static void all_frames(void)
{
	must(free_count == FRAMES, "frames are lost");
	for (uint64_t frame = 0; frame < FRAMES; frame++)
		free_frames[frame] = FIRST + (FRAMES - 1 - frame) * PAGE;
}

static void create(uint32_t options, axas_released_fn released)
{
	const axas_config_t config = {
		.struct_size = sizeof(config),
		.format = AXAS_FORMAT_EPT,
		.levels = 4,
		.pa_bits = 48,
		.size = UINT64_C(1) << 48,
		.features = AXAS_FEATURE_1G_PAGES,
		.options = options | AXAS_NO_ZERO,
	};

	hal.released = released;
	MUST(e->create(&config, &hal, &space));
}

static void map_small(void)
{
	MUST(e->map_linear(space, BASE, BASE + APART, PAGES * PAGE, rwx | AXAS_NO_HUGE));
}

static void unmap_small(void)
{
	MUST(e->unmap(space, BASE, PAGES * PAGE));
}

/* The caches are warm in the second of two passes. */
static void work_small(double *ns)
{
	create(0, NULL);
	for (int pass = 0; pass < 2; pass++) {
		const double start = now();
		double mapped, protected;

		map_small();
		mapped = now();
		MUST(e->protect(space, BASE, PAGES * PAGE, AXAS_READ | AXAS_EXECUTE));
		protected = now();
		unmap_small();
		ns[2] = (now() - protected) / (double)PAGES;
		ns[1] = (protected - mapped) / (double)PAGES;
		ns[0] = (mapped - start) / (double)PAGES;
	}
	e->destroy(space);
}

static void work_2m(double *ns)
{
	const double pages = 10 * 32768;

	create(0, NULL);
	ns[0] = ns[1] = 0;
	for (int pass = 0; pass < 10; pass++) {
		const double start = now();
		double mapped;

		MUST(e->map_linear(space, 64 * GIB, 64 * GIB + 2 * MIB, 64 * GIB,
				   rwx | AXAS_MAX_2M));
		mapped = now();
		MUST(e->unmap(space, 64 * GIB, 64 * GIB));
		ns[0] += (mapped - start) / pages;
		ns[1] += (now() - mapped) / pages;
	}
	e->destroy(space);
}

static void work_1g(double *ns)
{
	double start;

	create(0, NULL);
	start = now();
	for (int pass = 0; pass < 1000; pass++) {
		MUST(e->map_linear(space, 64 * GIB, 65 * GIB, 64 * GIB, rwx));
		MUST(e->unmap(space, 64 * GIB, 64 * GIB));
	}
	ns[0] = (now() - start) / (1000 * 64);
	e->destroy(space);
}

static void work_one_page(double *ns)
{
	double start, mapped;

	create(0, NULL);
	start = now();
	for (uint64_t page = 0; page < CALLS; page++)
		MUST(e->map_linear(space, BASE + page * PAGE, BASE + APART + page * PAGE, PAGE,
				   rwx));
	mapped = now();
	for (uint64_t page = 0; page < CALLS; page++)
		MUST(e->unmap(space, BASE + page * PAGE, PAGE));
	ns[1] = (now() - mapped) / (double)CALLS;
	ns[0] = (mapped - start) / (double)CALLS;
	e->destroy(space);
}

static void work_translate(double *ns)
{
	axas_hpa_t hpa = 0;
	uint64_t run = 0, next = 12345, sum = 0;
	double start;

	create(0, NULL);
	map_small();
	start = now();
	for (uint64_t call = 0; call < PAGES; call++) {
		MUST(e->translate(space, BASE + (next & (PAGES * PAGE - 1)), &hpa, &run));
		next = (hpa * UINT64_C(6364136223846793005) + run) >> 20;
	}
	ns[0] = (now() - start) / (double)PAGES;
	start = now();
	for (uint64_t call = 0; call < PAGES; call++) {
		MUST(e->translate(space, BASE + call * PAGE, &hpa, &run));
		sum += hpa;
	}
	ns[1] = (now() - start) / (double)PAGES;
	__asm__ volatile("" : : "r"(sum));
	unmap_small();
	e->destroy(space);
}

static void work_fault(double *ns, uint32_t options)
{
	double start;

	create(options, NULL);
	MUST(e->map_alloc(space, BASE, PAGES * PAGE, rwx));
	start = now();
	for (uint64_t page = 0; page < PAGES; page++)
		must(e->handle_page_fault(space, BASE + page * PAGE, AXAS_WRITE) ==
			     AXAS_FAULT_RESOLVED,
		     "resolved");
	ns[0] = (now() - start) / (double)PAGES;
	start = now();
	unmap_small();
	ns[1] = (now() - start) / (double)PAGES;
	e->destroy(space);
}

static void work_fault_locked(double *ns)
{
	work_fault(ns, 0);
}

static void work_fault_caller_locked(double *ns)
{
	double unmap[2];

	work_fault(unmap, AXAS_CALLER_LOCKED);
	ns[0] = unmap[0];
}

static void work_reserve(double *ns)
{
	static const uint64_t at[] = { 64 * GIB, 64 * GIB + 0x123000 };

	create(0, NULL);
	for (int way = 0; way < 2; way++) {
		const double start = now();

		for (int call = 0; call < 2000; call++) {
			MUST(e->map_alloc(space, at[way], 64 * GIB, rwx));
			MUST(e->unmap(space, at[way], 64 * GIB));
		}
		ns[way] = (now() - start) / 2000;
	}
	e->destroy(space);
}

static uint64_t page_at_random(void)
{
	return draw() & (512 * GIB - 1) & ~(PAGE - 1);
}

/* Lone pages that come and go, alone and beside 1024 others. */
static void work_pairs(double *ns)
{
	for (int way = 0; way < 2; way++) {
		axas_gpa_t kept[1024];
		int count = 0;
		double start;

		seed = UINT64_C(0x0139408dcbbf7a44);
		create(0, NULL);
		while (way && count < 1024) {
			const axas_gpa_t gpa = page_at_random();

			if (e->map_linear(space, gpa, gpa + APART, PAGE, rwx) == AXAS_OK)
				kept[count++] = gpa;
		}
		start = now();
		for (int pair = 0; pair < 20000; pair++) {
			const axas_gpa_t gpa = page_at_random();

			if (e->map_linear(space, gpa, gpa + APART, PAGE, rwx) == AXAS_OK)
				MUST(e->unmap(space, gpa, PAGE));
		}
		ns[way] = (now() - start) / 20000;
		while (count)
			MUST(e->unmap(space, kept[--count], PAGE));
		e->destroy(space);
	}
}

static void work_replace(double *ns)
{
	double start;

	create(0, NULL);
	map_small();
	start = now();
	for (uint64_t call = 0; call < CALLS; call++) {
		const axas_gpa_t gpa = BASE + order[call] * PAGE;

		MUST(e->map_linear(space, gpa, gpa + 2 * APART, PAGE, rwx | AXAS_REPLACE));
	}
	ns[0] = (now() - start) / (double)CALLS;
	unmap_small();
	e->destroy(space);
}

/* Pages of another guest's, one at a time, in a leaf table whose first page stays. */
static void work_grant(double *ns)
{
	double start;

	create(0, NULL);
	MUST(e->map_linear(space, BASE, BASE + APART, PAGE, rwx));
	start = now();
	for (uint64_t call = 0; call < CALLS; call++) {
		const axas_gpa_t gpa = BASE + (1 + order[call] % 511) * PAGE;

		MUST(e->map_linear(space, gpa, BASE + APART + order[call] * PAGE, PAGE, rwx));
		MUST(e->unmap(space, gpa, PAGE));
	}
	ns[0] = (now() - start) / (double)CALLS;
	MUST(e->unmap(space, BASE, PAGE));
	e->destroy(space);
}

static void work_released(double *ns)
{
	double start;

	create(0, note_released);
	map_small();
	start = now();
	unmap_small();
	ns[0] = (now() - start) / (double)PAGES;
	for (uint64_t page = 0; page < PAGES; page++)
		MUST(e->map_linear(space, BASE + page * PAGE, BASE + APART + order[page] * PAGE,
				   PAGE, rwx));
	start = now();
	unmap_small();
	ns[1] = (now() - start) / (double)PAGES;
	e->destroy(space);
}

static void work_create(double *ns)
{
	const double start = now();

	for (int call = 0; call < 2000; call++) {
		create(0, NULL);
		e->destroy(space);
	}
	ns[0] = (now() - start) / 2000;
}

/* Pieces of work, with the rows that each of them has. Bulk: one call for many entries. */
#define ROWS 3
static const struct {
	void (*work)(double *ns);
	struct {
		const char *name;
		int bulk;
	} rows[ROWS];
} pieces[] = {
	{ work_small,
	  { { "map 256 MiB in 4 KiB pages, page", 1 },
	    { "protect it, page", 1 },
	    { "unmap it, page", 1 } } },
	{ work_2m, { { "map 64 GiB in 2 MiB pages, page", 1 }, { "unmap it (2 MiB), page", 1 } } },
	{ work_1g, { { "map + unmap 64 GiB in 1 GiB pages, page", 1 } } },
	{ work_fault_locked,
	  { { "fault, in sequence", 0 }, { "unmap populated pages, page", 1 } } },
	{ work_fault_caller_locked, { { "fault, caller locked", 0 } } },
	{ work_one_page, { { "map one page", 0 }, { "unmap one page", 0 } } },
	{ work_replace, { { "replace one page", 0 } } },
	{ work_grant, { { "map + unmap one page beside one that stays", 0 } } },
	{ work_translate, { { "translate, dependent", 0 }, { "translate, in sequence", 0 } } },
	{ work_reserve, { { "reserve + give back 64 GiB", 0 }, { "the same unaligned", 0 } } },
	{ work_pairs, { { "map + unmap a lone page", 0 }, { "the same beside 1024 pages", 0 } } },
	{ work_released,
	  { { "unmap, released, contiguous, page", 1 },
	    { "unmap, released, scattered, page", 1 } } },
	{ work_create, { { "create + destroy", 0 } } },
};

#define PIECES (sizeof(pieces) / sizeof(pieces[0]))

/* Of the old archive, of the new one, and the ratio, by round. */
static double figures[PIECES][ROWS][3][MOST];

/* Each side three times in turn: of each row the least, for what disturbs only adds. */
static void one_round(int round)
{
	for (size_t piece = 0; piece < PIECES; piece++) {
		double least[2][ROWS];

		for (int turn = 0; turn < 6; turn++) {
			const int side = (round + turn) % 2;
			double ns[ROWS];

			e = &engines[side];
			all_frames();
			pieces[piece].work(ns);
			for (int row = 0; row < ROWS && pieces[piece].rows[row].name; row++)
				if (turn < 2 || ns[row] < least[side][row])
					least[side][row] = ns[row];
		}
		for (int row = 0; row < ROWS && pieces[piece].rows[row].name; row++) {
			figures[piece][row][0][round] = least[0][row];
			figures[piece][row][1][round] = least[1][row];
			figures[piece][row][2][round] = least[1][row] / least[0][row];
		}
	}
}

static int compare(const void *left, const void *right)
{
	const double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

static double median(double *of, int rounds)
{
	qsort(of, (size_t)rounds, sizeof(*of), compare);
	return of[rounds / 2];
}

static void report(int rounds)
{
	int above = 0, bulk = 0;

	printf("| %-44s | %9s | %9s | %5s | %-4s |\n", "ns for each", "old", "new", "ratio", "");
	printf("| %.44s | %.8s: | %.8s: | ----: | ---- |\n",
	       "----------------------------------------------", "----------", "----------");
	for (size_t piece = 0; piece < PIECES; piece++)
		for (int row = 0; row < ROWS && pieces[piece].rows[row].name; row++) {
			const int is_bulk = pieces[piece].rows[row].bulk;
			double(*of)[MOST] = figures[piece][row];
			const double ratio = median(of[2], rounds);

			bulk += is_bulk;
			above += is_bulk && ratio > 1.03;
			printf("| %-44s | %9.2f | %9.2f | %5.2f | %-4s |%s\n",
			       pieces[piece].rows[row].name, median(of[0], rounds),
			       median(of[1], rounds), ratio, is_bulk ? "bulk" : "",
			       is_bulk && ratio > 1.03 ? " above 1.03" : "");
		}
	printf("\n%d of %d bulk rows above 1.03; median of %d rounds\n", above, bulk, rounds);
}

static void prepare(void)
{
	const size_t bytes = FRAMES * PAGE;
	unsigned char *memory = mmap(NULL, bytes + 2 * MIB, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(memory != MAP_FAILED, "memory");
	memory += -(uintptr_t)memory & (2 * MIB - 1);
	/* As a hypervisor's direct map is; a hint. */
	(void)madvise(memory, bytes, MADV_HUGEPAGE);
	memset(memory, 1, bytes);
	free_count = FRAMES;
	hal = (axas_hal_t){
		.struct_size = sizeof(hal),
		.flags = AXAS_HAL_DIRECT_MAP | AXAS_HAL_TABLES_STAY_READABLE,
		.alloc_frame = alloc_frame,
		.dealloc_frame = dealloc_frame,
		.direct_map_offset = (uint64_t)(uintptr_t)memory - FIRST,
		.tlb_flush = tlb_flush,
	};
	seed = UINT64_C(0x0139408dcbbf7a44);
	for (uint64_t page = 0; page < PAGES; page++)
		order[page] = page;
	for (uint64_t last = PAGES - 1; last; last--) {
		const uint64_t other = draw() % (last + 1), page = order[last];

		order[last] = order[other];
		order[other] = page;
	}
}

int main(int argc, char **argv)
{
	const int rounds = argc > 1 ? atoi(argv[1]) : 11;

	must(rounds >= 1 && rounds <= MOST, "1 to 101 rounds");
	prepare();
	for (int round = 0; round < rounds; round++)
		one_round(round);
	report(rounds);
	return 0;
}
