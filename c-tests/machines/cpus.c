/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The second CPU: it waits for jobs. */
#include <stddef.h>

#include "report.h"
#include "suite.h"

static void (*current_job)(void);
static uint32_t is_up;
static uint32_t arrived;
static uint32_t generation;

void secondary_main(void)
{
	void (*job)(void);

	__atomic_store_n(&is_up, 1, __ATOMIC_RELEASE);
	for (;;) {
		while ((job = __atomic_load_n(&current_job, __ATOMIC_ACQUIRE)) == NULL)
			layer_relax();
		job();
		__atomic_store_n(&current_job, NULL, __ATOMIC_RELEASE);
	}
}

void cpus_start(void)
{
	if (!layer_start_secondary()) {
		report("FAILED: the second CPU does not come\n");
		machine_exit(1);
	}
	while (!__atomic_load_n(&is_up, __ATOMIC_ACQUIRE))
		layer_relax();
}

void cpus_run(void (*job)(void))
{
	__atomic_store_n(&current_job, job, __ATOMIC_RELEASE);
}

uint32_t cpus_is_done(void)
{
	return __atomic_load_n(&current_job, __ATOMIC_ACQUIRE) == NULL;
}

void cpus_wait(void)
{
	while (!cpus_is_done())
		layer_relax();
}

void barrier(void)
{
	uint32_t now = __atomic_load_n(&generation, __ATOMIC_SEQ_CST);

	if (__atomic_add_fetch(&arrived, 1, __ATOMIC_SEQ_CST) == CPU_COUNT) {
		__atomic_store_n(&arrived, 0, __ATOMIC_SEQ_CST);
		__atomic_store_n(&generation, now + 1, __ATOMIC_SEQ_CST);
		return;
	}
	while (__atomic_load_n(&generation, __ATOMIC_SEQ_CST) == now)
		layer_relax();
}
