/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The vCPUs change from one space to the next, each when it next leaves the guest.
 *
 * No vCPU has to be stopped for that: once the memory of the old space is frozen, without permission to
 * write or to execute, a running vCPU comes to EL2 with its next instruction. One that sleeps in WFI comes
 * when it wakes. The old space has to stay until the last one is out of it.
 */
#include "migrate.h"

#include <stddef.h>

static axas_t *current;
static const axas_t *frozen;

/* Whose root the CPU of a vCPU has loaded, or is about to load; null: of none. */
static axas_t *loaded[VCPU_COUNT];

static void load(axas_t *space)
{
	axas_hw_regs_t registers;

	must(axas_hw_regs(space, &registers), "axas_hw_regs");
	cpu_load(&registers);
}

axas_t *current_space(void)
{
	return __atomic_load_n(&current, __ATOMIC_SEQ_CST);
}

void switch_to(axas_t *space)
{
	__atomic_store_n(&current, space, __ATOMIC_SEQ_CST);
}

/*
 * The mark is set before the root is loaded, and then the space has to be the current one still: else
 * wait_until_left() may have looked before there was a mark.
 */
void vcpu_enter_space(void)
{
	axas_t *space;

	do {
		space = current_space();
		__atomic_store_n(&loaded[this_cpu()], space, __ATOMIC_SEQ_CST);
	} while (current_space() != space);
	load(space);
}

/* A new space does not become an old one before this vCPU is in it: wait_until_left() waits for the mark. */
axas_t *vcpu_space(void)
{
	axas_t **mine = &loaded[this_cpu()];
	axas_t *space = current_space();

	if (*mine != space) {
		load(space);
		__atomic_store_n(mine, space, __ATOMIC_SEQ_CST);
	}
	return space;
}

void vcpu_close(void)
{
	cpu_unload();
	__atomic_store_n(&loaded[this_cpu()], NULL, __ATOMIC_SEQ_CST);
}

void announce_freeze(const axas_t *space)
{
	__atomic_store_n(&frozen, space, __ATOMIC_SEQ_CST);
}

uint32_t vcpu_wait_if_frozen(const axas_t *space)
{
	if (__atomic_load_n(&frozen, __ATOMIC_SEQ_CST) != space)
		return 0;
	while (current_space() == space)
		__asm__ volatile("yield");
	return 1;
}

void wait_until_left(const axas_t *space)
{
	for (size_t i = 0; i < VCPU_COUNT; i++) {
		while (__atomic_load_n(&loaded[i], __ATOMIC_SEQ_CST) == space)
			__asm__ volatile("yield");
	}
}
