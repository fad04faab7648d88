/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Random calls as data, so that they can be repeated and left out. */
#ifndef DIFFERENTIAL_SCRIPT_H
#define DIFFERENTIAL_SCRIPT_H

#include "side.h"

#define SCRIPT_CALLS 256u

/* Those up to DISCARD_SOME change a range. */
/* clang-format off */
#define EACH_CALL(X) \
	X(MAP_LINEAR, "map_linear") X(REPLACE, "replace") X(MAP_EXTENTS, "map_extents") \
	X(MAP_ALLOC, "map_alloc") X(MAP_TRAP, "map_trap") X(UNMAP, "unmap") \
	X(PROTECT, "protect") X(POPULATE, "populate") X(DISCARD, "discard") \
	X(MAP_LINEAR_SOME, "map_linear_some") X(MAP_ALLOC_SOME, "map_alloc_some") \
	X(UNMAP_SOME, "unmap_some") X(PROTECT_SOME, "protect_some") \
	X(POPULATE_SOME, "populate_some") X(DISCARD_SOME, "discard_some") X(FAULT, "fault") \
	X(CLEAR, "clear") X(SET_VMID, "set_vmid") X(TRANSLATE, "translate") \
	X(QUERY, "query") X(TRAP_COOKIE, "trap_cookie") X(FOR_EACH, "for_each") \
	X(READ, "read") X(WRITE, "write") X(FILL, "fill") X(CHUNKS, "for_each_chunk") \
	X(READ_SCALAR, "read_u") X(WRITE_SCALAR, "write_u") \
	X(TABLES_NEEDED, "tables_needed") X(AUDIT, "audit") X(HW_REGS, "hw_regs") \
	X(CONTAINS, "contains_range") X(CREATE, "create") X(DESTROY, "destroy")
/* clang-format on */

enum call {
#define NAME(name, text) CALL_##name,
	EACH_CALL(NAME)
#undef NAME
		CALLS
};

extern const char *const call_names[CALLS];

struct step {
	uint8_t call;
	uint8_t width; /* of a scalar: its logarithm */
	uint8_t yield_at; /* should_yield says so the n-th time */
	uint8_t gone; /* left out by shrinking */
	uint16_t fail_at, blind_at; /* allocation, translation that fails; 0: none */
	uint32_t flags; /* of a fault or a copy: the access */
	axas_gpa_t gpa;
	uint64_t size, value, budget;
};

struct script {
	uint64_t seed, rng;
	axas_config_t cfg;
	enum host_kind kind;
	int has_released, has_yield, has_clean, linear_reachable, refuses_huge;
	uint32_t every;
	uint32_t create_fail_at; /* before it is created with memory */
	axas_gpa_t window;
	uint64_t window_bytes;
	struct step last[8]; /* where something is */
	struct step step[SCRIPT_CALLS];
};

uint64_t below(struct script *s, uint64_t bound);
void script_draw(struct script *s, uint32_t format, uint64_t seed);
void script_print(const struct script *s, uint32_t from, uint32_t to);

#endif
