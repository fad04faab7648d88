/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Hunt for entries that the walker does not take: every combination of permissions, memory type,
 * page size and option, under every set of features that this CPU has. What the library accepts,
 * the guest uses; what it refuses has the documented status.
 */
#include <stddef.h>

#include "suite.h"

#define GPA_AREA GIB(3)

uint64_t encodings_taken;
uint64_t encodings_refused;

static const axas_flags_t memory_types[] = {
	0,
	AXAS_DEVICE,
	AXAS_UNCACHED,
	AXAS_WRITE_COMBINE,
	AXAS_WRITE_THROUGH,
	AXAS_DEVICE_NGNRNE,
	AXAS_DEVICE_NGRE,
	AXAS_DEVICE_GRE,
};

static const axas_flags_t options[] = {
	0, AXAS_NO_HUGE, AXAS_MAX_2M, AXAS_NO_HUGE_EXEC, AXAS_USER,
};

static const uint64_t ops[] = { OP_READ, OP_WRITE, OP_EXECUTE };

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MEMORY       (AXAS_DEVICE | AXAS_UNCACHED | 0xff00)

/* Running code from device memory is not to be tried, whatever the permissions say. */
static uint32_t is_for_running(axas_flags_t flags)
{
	return !(flags & (AXAS_DEVICE | AXAS_DEVICE_NGNRNE | AXAS_DEVICE_NGRE | AXAS_DEVICE_GRE));
}

static void use(const char *what, uint64_t op, axas_flags_t flags, uint64_t gpa, uint64_t hpa)
{
	struct outcome outcome;
	axas_mapping_t mapping;

	if (op == OP_EXECUTE) {
		if (!is_for_running(flags))
			return;
		plant_sample(hpa);
	} else {
		write_host(hpa, 0x5a5a);
	}
	guest_access_raw(guest, op, gpa, 0xa5a5, &outcome);
	if (!is_allowed(op, flags)) {
		check(what, outcome.done, 0);
		check(what, outcome.last.kind,
		      layer.tells_permission ? AXAS_KIND_PERMISSION : AXAS_KIND_TRANSLATION);
		return;
	}
	check(what, outcome.done, 1);
	check(what, outcome.faults, 0);
	if (op == OP_READ)
		check(what, outcome.value, 0x5a5a);
	else if (op == OP_EXECUTE)
		check(what, outcome.value, SAMPLE_VALUE);
	else
		check(what, read_host(hpa), 0xa5a5);
	must("query", axas_query(space, gpa, &mapping));
	check("query says the flags", mapping.flags & (RWX | MEMORY), flags & (RWX | MEMORY));
}

static void one_encoding(const char *what, axas_flags_t flags, uint64_t gpa, uint64_t hpa,
			 uint64_t size, uint32_t features)
{
	axas_status_t expected = layer_expected_status(flags, features);
	axas_status_t status = axas_map_linear(space, gpa, hpa, size, flags);
	uint64_t inside = size == GIB(1) ? linear_hpa(0) - hpa : 0;

	check(what, (uint32_t)status, (uint32_t)expected);
	if (status != AXAS_OK) {
		encodings_refused++;
		return;
	}
	encodings_taken++;
	for (size_t i = 0; i < COUNT(ops); i++)
		use(what, ops[i], flags, gpa + inside + 128 * i, hpa + inside + 128 * i);
	must("unmap", axas_unmap(space, gpa, size));
}

static void with_features(uint32_t features)
{
	/* with part hide a page may have no permission */
	const axas_flags_t fewest = (axas_parts() & AXAS_PART_HIDE) != 0;
	uint64_t gib = linear_hpa(0) & ~(GIB(1) - 1);

	space_open(layer.space_size, features, 0, FLUSH_BUILTIN);
	for (axas_flags_t permissions = fewest; permissions <= RWX; permissions++) {
		for (size_t i = 0; i < COUNT(memory_types) * COUNT(options); i++) {
			axas_flags_t flags = permissions | memory_types[i / COUNT(options)] |
					     options[i % COUNT(options)];

			one_encoding("4 KiB", flags, GPA_AREA, linear_hpa(PAGE), PAGE, features);
			one_encoding("2 MiB", flags, GPA_AREA, linear_hpa(0), MIB(2), features);
			/* With pages of 4 KiB this is 512 tables: once is enough. */
			if (flags & (AXAS_NO_HUGE | AXAS_NO_HUGE_EXEC) ||
			    !((features | layer.always_features) & AXAS_FEATURE_1G_PAGES))
				continue;
			one_encoding("1 GiB", flags, GPA_AREA, gib, GIB(1), features);
		}
	}
	space_close();
}

static void owned_memory(void)
{
	space_open_full();
	for (axas_flags_t permissions = 1; permissions <= RWX; permissions++) {
		for (size_t i = 0; i < COUNT(memory_types) * 2; i++) {
			axas_flags_t flags =
				permissions | memory_types[i / 2] | (i % 2 ? AXAS_HUGE_FRAMES : 0);
			axas_status_t status =
				axas_map_alloc(space, GPA_AREA, MIB(2), flags | AXAS_POPULATE);
			axas_hpa_t hpa = 0;
			uint64_t run;

			check("owned", (uint32_t)status,
			      (uint32_t)layer_expected_status(flags, layer.features));
			if (status != AXAS_OK) {
				encodings_refused++;
				continue;
			}
			encodings_taken++;
			must("translate", axas_translate(space, GPA_AREA + MIB(1), &hpa, &run));
			for (size_t j = 0; j < COUNT(ops); j++)
				use("owned", ops[j], flags, GPA_AREA + MIB(1), hpa);
			must("unmap", axas_unmap(space, GPA_AREA, MIB(2)));
		}
	}
	space_close();
}

void test_encodings(void)
{
	uint32_t some = layer.features;

	group("misconfiguration hunt");
	/* Every subset of the features, the empty one last. */
	for (;; some = (some - 1) & layer.features) {
		with_features(some);
		if (some == 0)
			break;
	}
	owned_memory();
}
