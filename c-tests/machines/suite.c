/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The order of the groups, the books, and the line that run.sh reads. */
#include "suite.h"

#include <stddef.h>

#include "freestanding.h"
#include "report.h"

uint64_t subtests;
uint64_t failures;

static const char *group_name = "";
static uint64_t group_subtests;

static uint64_t random_state = UINT64_C(0x9e3779b97f4a7c15);

/* Enough to see what is wrong; a broken table would fill the log. */
#define COMPLAINTS_MAX 60

uint32_t complain(const char *what)
{
	if (++failures > COMPLAINTS_MAX)
		return 0;
	report("FAILED: %s: %s", group_name, what);
	return 1;
}

void group(const char *name)
{
	if (group_name[0] != '\0')
		report("  %-34s %5lu subtests\n", group_name, subtests - group_subtests);
	group_name = name;
	group_subtests = subtests;
}

void check(const char *what, uint64_t got, uint64_t expected)
{
	subtests++;
	if (got == expected)
		return;
	if (complain(what))
		report(": got 0x%lx, expected 0x%lx\n", got, expected);
}

void must(const char *what, axas_status_t status)
{
	if (status == AXAS_OK)
		return;
	if (complain(what))
		report(": %s\n", axas_status_str(status));
}

uint64_t random_number(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

uint64_t random_below(uint64_t bound)
{
	return (random_number() >> 16) % bound;
}

uint64_t read_host(uint64_t hpa)
{
	return *(volatile uint64_t *)(uintptr_t)hpa;
}

void write_host(uint64_t hpa, uint64_t value)
{
	*(volatile uint64_t *)(uintptr_t)hpa = value;
}

uint64_t linear_hpa(uint64_t offset)
{
	return (uint64_t)(uintptr_t)linear_memory + offset;
}

void plant_sample(uint64_t hpa)
{
	size_t bytes = (size_t)(guest_sample_end - guest_sample);
	void *to = (void *)(uintptr_t)hpa;

	memcpy(to, guest_sample, bytes);
	layer_sync_code(to, bytes);
}

/* Those that walkers have a say in. */
#define PARTS                                                                                  \
	(AXAS_PART_TAGS | AXAS_PART_HIDE | AXAS_PART_DIRTY | AXAS_PART_MERGE | AXAS_PART_AGE | \
	 AXAS_PART_PROVIDER)

static void on_one_cpu(void)
{
	if (ONLY_PARTS) {
		group("parts");
		check("the archive has them", axas_parts() & PARTS, PARTS);
		test_changes();
	} else {
		test_matrix();
		test_places();
		test_changes();
		test_stage1();
		test_encodings();
		test_random();
	}
	test_age();
}

static void on_two_cpus(void)
{
	cpus_start();
	if (!ONLY_PARTS)
		test_contended();
	test_provider();
	test_logged();
	test_merge();
	test_stale();
}

void hypervisor_main(void)
{
	layer_probe();
	report("suite: %s, %u levels, features 0x%lx\n", machine.name, (uint32_t)GUEST_LEVELS,
	       (uint64_t)layer.features);

	on_one_cpu();
	/* On tables as broken as that, two CPUs would wait for each other for ever. */
	if (failures <= COMPLAINTS_MAX)
		on_two_cpus();

	group("books");
	check("no frame came back wrong", pool_mistakes(), 0);
	group("");

	report("RESULT subtests=%lu accesses=%lu failures=%lu ", subtests, accesses_made, failures);
	report("faults=%lu contended=%lu tables=%lu ", faults_taken, contended_pages,
	       random_tables);
	report("encodings=%lu refused=%lu\n", encodings_taken, encodings_refused);
	machine_exit(failures == 0 ? 0 : 1);
}
