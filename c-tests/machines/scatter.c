/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A guest that stays on the second CPU and stores growing numbers at random places, each of which it reads first. The
 * host can tell from the last number what must be where, so that a store that is lost, or went to a frame that is not the
 * guest's any more, is seen word by word.
 */
#include <stddef.h>

#include "suite.h"

#define WORDS (SCATTERED / 8)

static axas_hw_regs_t registers;
static uint64_t area, bytes;
static uint64_t expected[WORDS];
static struct guest_exit left;
static uint32_t refused;

static uint64_t word(uint64_t offset)
{
	return __atomic_load_n(&mailbox[offset / 8], __ATOMIC_ACQUIRE);
}

static void run_guest(void)
{
	struct vcpu *vcpu = layer_load(1, &registers);

	layer_request(vcpu, OP_KEEP_SCATTERING, area, bytes - 8);
	for (;;) {
		layer_run(vcpu, &left);
		if (left.reason != EXIT_FAULT)
			break;
		__atomic_add_fetch(&faults_taken, 1, __ATOMIC_RELAXED);
		if (!axas_fault_resumes(
			    axas_handle_page_fault(space, left.fault.gpa, left.fault.access))) {
			refused = 1;
			break;
		}
	}
	layer_unload(1);
}

void scatter_start(uint64_t gpa, uint64_t size)
{
	must("registers", axas_hw_regs(space, &registers));
	area = gpa;
	bytes = size;
	refused = 0;
	for (size_t i = 0; i < PAGE / 8; i++)
		mailbox[i] = 0;
	cpus_run(run_guest);
	check("the second CPU's guest runs", scatter_goes_on(1), 1);
}

uint32_t scatter_goes_on(uint64_t words)
{
	const uint64_t goal = word(MAILBOX_BEATS) + words;

	while (word(MAILBOX_BEATS) < goal) {
		if (cpus_is_done())
			return 0;
		layer_relax();
	}
	return 1;
}

const uint64_t *scatter_stop(void)
{
	uint64_t place = SCATTER_SEED;

	__atomic_store_n(&mailbox[MAILBOX_STOP / 8], 1, __ATOMIC_RELEASE);
	cpus_wait();
	check("no access of the guest's was refused", refused, 0);
	check("the guest read what it wrote",
	      left.reason == EXIT_HYPERCALL && left.argument < word(MAILBOX_LAST), 1);
	for (size_t i = 0; i < WORDS; i++)
		expected[i] = 0;
	for (uint64_t number = 1; number <= word(MAILBOX_LAST); number++) {
		place ^= place << 13;
		place ^= place >> 7;
		place ^= place << 17;
		expected[(place >> SCATTER_SHIFT & (bytes - 8)) / 8] = number;
	}
	return expected;
}

uint64_t scatter_lost(void)
{
	uint64_t lost = 0;

	for (uint64_t at = 0; at < bytes; at += PAGE) {
		axas_hpa_t hpa = 0;

		must("translate", axas_translate(space, area + at, &hpa, NULL));
		for (uint64_t in_page = 0; in_page < PAGE; in_page += 8)
			lost += read_host(hpa + in_page) != expected[(at + in_page) / 8];
	}
	return lost;
}
