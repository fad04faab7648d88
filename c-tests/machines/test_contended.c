/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Both CPUs fault on the same page before either has handled its fault: a barrier before the
 * access, another between the first fault and its handling. One frame is kept, and the word that
 * each guest wrote is in it.
 */
#include <stddef.h>

#include "suite.h"

#define PAGES       256
#define HUGE_FRAMES 512 /* of 4 KiB in one */
#define GPA_AREA    GIB(6)

uint64_t contended_pages;

static uint64_t round_gpa[PAGES];
static axas_hw_regs_t registers;
static struct vcpu *vcpus[CPU_COUNT];
static struct {
	uint8_t faults[PAGES];
	uint64_t bad;
	uint64_t verdicts[AXAS_FAULT_ERROR + 1];
} books[CPU_COUNT];

static uint64_t word_of(uint32_t cpu, uint32_t page)
{
	return 0x1000 * (cpu + 1) + page;
}

/* One access with both barriers; everything after the first fault goes at its own pace. */
static void contend(uint32_t cpu, uint32_t page)
{
	struct guest_exit left = { .reason = EXIT_UNKNOWN };
	axas_fault_result_t verdict;

	layer_request(vcpus[cpu], OP_WRITE, round_gpa[page] + 8 * cpu, word_of(cpu, page));
	barrier();
	for (;;) {
		layer_run(vcpus[cpu], &left);
		if (left.reason != EXIT_FAULT)
			break;
		__atomic_add_fetch(&faults_taken, 1, __ATOMIC_RELAXED);
		if (books[cpu].faults[page]++ == 0)
			barrier();
		verdict = axas_handle_page_fault(space, left.fault.gpa, left.fault.access);
		books[cpu].verdicts[verdict]++;
		if (!axas_fault_resumes(verdict))
			break;
	}
	if (left.reason != EXIT_HYPERCALL)
		books[cpu].bad++;
	if (books[cpu].faults[page] == 0)
		barrier();
}

static void all_pages(uint32_t cpu)
{
	for (uint32_t page = 0; page < PAGES; page++)
		contend(cpu, page);
}

static void load_second_cpu(void)
{
	vcpus[1] = layer_load(1, &registers);
}

static void unload_second_cpu(void)
{
	layer_unload(1);
}

static void one_page_on_second_cpu(void)
{
	contend(1, 0);
}

static void all_pages_on_second_cpu(void)
{
	load_second_cpu();
	all_pages(1);
	unload_second_cpu();
}

static void start_books(void)
{
	for (uint32_t cpu = 0; cpu < CPU_COUNT; cpu++) {
		for (uint32_t page = 0; page < PAGES; page++)
			books[cpu].faults[page] = 0;
		for (uint32_t i = 0; i <= AXAS_FAULT_ERROR; i++)
			books[cpu].verdicts[i] = 0;
		books[cpu].bad = 0;
	}
}

static uint64_t verdicts(axas_fault_result_t verdict)
{
	return books[0].verdicts[verdict] + books[1].verdicts[verdict];
}

static void check_words(uint32_t page, uint64_t *lost)
{
	axas_hpa_t hpa = 0;
	uint64_t run;

	must("translate", axas_translate(space, round_gpa[page], &hpa, &run));
	for (uint32_t cpu = 0; cpu < CPU_COUNT; cpu++) {
		if (read_host(hpa + 8 * cpu) != word_of(cpu, page))
			(*lost)++;
	}
}

static void check_verdicts(uint64_t lost)
{
	check("every access got through", books[0].bad + books[1].bad, 0);
	check("no word was lost", lost, 0);
	check("one fault per page brought a frame", verdicts(AXAS_FAULT_RESOLVED), PAGES);
	check("the other found it there",
	      verdicts(AXAS_FAULT_SPURIOUS) + verdicts(AXAS_FAULT_RETRY) >= PAGES, 1);
	for (uint32_t verdict = AXAS_FAULT_TRAP; verdict <= AXAS_FAULT_ERROR; verdict++)
		check("no other verdict", verdicts(verdict), 0);
}

/* Small frames: all pages of one area, one after the other. */
static void small_frames(void)
{
	uint64_t lost = 0;
	uint64_t both = 0;
	axas_stats_t stats;

	group("two CPUs on one page, 4 KiB");
	space_open(layer.space_size, layer.features, 0, FLUSH_HOST);
	must("registers", axas_hw_regs(space, &registers));
	for (uint32_t page = 0; page < PAGES; page++)
		round_gpa[page] = GPA_AREA + PAGE * page;
	must("lazy", axas_map_alloc(space, GPA_AREA, PAGE * PAGES, RW));
	start_books();
	vcpus[0] = guest;
	cpus_run(all_pages_on_second_cpu);
	all_pages(0);
	cpus_wait();

	for (uint32_t page = 0; page < PAGES; page++) {
		both += books[0].faults[page] && books[1].faults[page];
		check_words(page, &lost);
	}
	contended_pages += both;
	must("stats", axas_stats(space, &stats));
	check("both faulted on every page", both, PAGES);
	check_verdicts(lost);
	check("one frame per page is out", pool_frames_out(AXAS_FRAME_GUEST), PAGES);
	check("the library counts the same frames", stats.guest_frames, PAGES);
	check("and the same resolved faults", stats.faults_resolved, PAGES);
	space_close();
}

/* Huge frames: the same 2 MiB again and again, for the pool has not that many. */
static void huge_frames(void)
{
	uint64_t both = 0;
	uint64_t lost = 0;
	uint64_t wrong = 0;
	axas_stats_t stats;

	group("two CPUs on one page, huge frames");
	space_open(layer.space_size, layer.features, layer.huge_options, FLUSH_HOST);
	must("registers", axas_hw_regs(space, &registers));
	start_books();
	round_gpa[0] = GPA_AREA;
	vcpus[0] = guest;
	cpus_run(load_second_cpu);
	cpus_wait();
	for (uint32_t turn = 0; turn < PAGES; turn++) {
		must("lazy", axas_map_alloc(space, GPA_AREA, MIB(2), RW | AXAS_HUGE_FRAMES));
		books[0].faults[0] = 0;
		books[1].faults[0] = 0;
		cpus_run(one_page_on_second_cpu);
		contend(0, 0);
		cpus_wait();
		both += books[0].faults[0] && books[1].faults[0];
		check_words(0, &lost);
		must("stats", axas_stats(space, &stats));
		wrong += pool_frames_out(AXAS_FRAME_GUEST) != HUGE_FRAMES ||
			 stats.guest_frames != HUGE_FRAMES || stats.mapped_2m != 1;
		must("unmap", axas_unmap(space, GPA_AREA, MIB(2)));
	}
	cpus_run(unload_second_cpu);
	cpus_wait();
	contended_pages += both;
	check("both faulted every time", both, PAGES);
	check("one huge frame was kept, and only one", wrong, 0);
	check_verdicts(lost);
	space_close();
}

void test_contended(void)
{
	small_frames();
	huge_frames();
}
