/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the stubs of both hypervisors count, for the programs that try the glue. */
#ifndef GLUE_STUBS_H
#define GLUE_STUBS_H

#include <stdbool.h>
#include <stdint.h>

struct stub_counts {
	uint64_t pages_out; /* taken and not given back */
	uint64_t pool_out; /* of these, what came from the pool of p2m pages */
	uint32_t windows_open, windows_opened;
	uint32_t flushes, flushes_local;
	uint32_t mistakes; /* something was called in a way that the hypervisor forbids */
	bool preempt; /* what the stubs answer when asked whether to make way */
};

extern struct stub_counts stub_counts;

#endif
