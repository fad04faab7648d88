/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One space over one host, for each format: what most tests start from. */
#ifndef CTESTS_FIXTURE_H
#define CTESTS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host.h"
#include "space.h"

#define RW  (AXAS_READ | AXAS_WRITE)
#define RWX (AXAS_READ | AXAS_WRITE | AXAS_EXECUTE)
#define RX  (AXAS_READ | AXAS_EXECUTE)

/* Linear memory: 1 GiB aligned, below 40 bits, outside every pool. */
#define LINEAR_HPA 0x8000000000ull
#define SPACE_SIZE (512 * GIB)

struct format_case {
	const char *name;
	uint32_t format;
	uint32_t features; /* that a test space declares */
	uint32_t root_order;
	uint32_t levels; /* of a space of SPACE_SIZE */
	uint32_t pa_bits; /* by default, on a hosted build */
};

extern struct format_case ept_case, npt_case, arm_case, riscv_case;

struct fixture {
	const struct format_case *fc;
	axas_config_t cfg;
	struct host host;
	axas_t *as;
	enum walk_outcome seen_in_flush; /* for hooks into tlb_flush */
};

/* A host and a configuration, no space yet. */
int setup_host(void **state);
/* The same, and the host is reached through phys_to_virt. */
int setup_callback_host(void **state);
/* And the space. */
int setup_space(void **state);
/* Destroys the space if it is there; every frame must have come back. */
int teardown(void **state);

void fixture_create(struct fixture *f);
void fixture_destroy(struct fixture *f);

/* A test for each format, by name; a test body takes `struct fixture *f` through FIXTURE. */
#define FIXTURE(f) struct fixture *f = *state
#define ONE(test, setup, fmt)                                           \
	{                                                               \
#test " [" #fmt "]", test, setup, teardown, &fmt##_case \
	}
#define EACH_FORMAT(test)                                                                      \
	ONE(test, setup_space, ept), ONE(test, setup_space, npt), ONE(test, setup_space, arm), \
		ONE(test, setup_space, riscv)
#define EACH_FORMAT_NO_SPACE(test)                                                          \
	ONE(test, setup_host, ept), ONE(test, setup_host, npt), ONE(test, setup_host, arm), \
		ONE(test, setup_host, riscv)

#define assert_ok(call)             assert_int_equal(call, AXAS_OK)
#define assert_status(status, call) assert_int_equal(call, status)

/* The entry at gpa, after the walker, query and translate agreed on it. */
axas_mapping_t at(const struct fixture *f, axas_gpa_t gpa);
void expect_state(const struct fixture *f, axas_gpa_t gpa, uint32_t state);
/* A leaf of this size, host address and permission. */
void expect_leaf(const struct fixture *f, axas_gpa_t gpa, uint64_t size, axas_hpa_t hpa,
		 axas_flags_t access);
/* The memory that the guest would see at gpa, or null if it is not in the pool. */
uint8_t *guest_memory(const struct fixture *f, axas_gpa_t gpa);
axas_stats_t stats(const struct fixture *f);
/* The entry for gpa in the table of `level`, to be read or spoiled; null if there is no such table. */
uint64_t *entry_at(const struct fixture *f, uint32_t level, axas_gpa_t gpa);
/* Frames of the root, in units of 4 KiB. */
uint64_t root_frames(const struct fixture *f);

#endif
