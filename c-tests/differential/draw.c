/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "script.h"

#define ARRAY(a) (sizeof(a) / sizeof((a)[0]))

const char *const call_names[CALLS] = {
#define TEXT(name, text) [CALL_##name] = text,
	EACH_CALL(TEXT)
#undef TEXT
};

uint64_t below(struct script *s, uint64_t bound)
{
	s->rng ^= s->rng >> 12;
	s->rng ^= s->rng << 25;
	s->rng ^= s->rng >> 27;
	return (s->rng * 0x2545f4914f6cdd1dull >> 8) % bound;
}

/* --- spaces ---------------------------------------------------------------------------------- */

struct shape {
	uint32_t levels, features;
	axas_gpa_t base;
	uint64_t size;
};

#define TIB (1024 * GIB)

static const struct shape shapes[5][4] = {
	[AXAS_FORMAT_EPT] = {
		{ 0, AXAS_FEATURE_1G_PAGES, 0, 512 * GIB },
		{ 5, AXAS_FEATURE_1G_PAGES | AXAS_FEATURE_EPT_AD, 300 * TIB + 7 * PAGE, 64 * GIB },
		{ 4, 0, 256 * TIB - 3 * GIB + PAGE, 3 * GIB - PAGE },
		{ 4, AXAS_FEATURE_EPT_EXECUTE_ONLY | AXAS_FEATURE_1G_PAGES, 511 * GIB, 2 * GIB },
	},
	[AXAS_FORMAT_NPT] = {
		{ 0, AXAS_FEATURE_1G_PAGES, 0, 512 * GIB },
		{ 5, AXAS_FEATURE_1G_PAGES, 300 * TIB + 7 * PAGE, 64 * GIB },
		{ 4, 0, 256 * TIB - 3 * GIB, 3 * GIB },
		{ 4, AXAS_FEATURE_1G_PAGES, 511 * GIB, 2 * GIB },
	},
	[AXAS_FORMAT_ARM_S2] = {
		{ 0, 0, 0, 512 * GIB },
		{ 3, AXAS_FEATURE_ARM_FWB, 511 * GIB + 7 * PAGE, 64 * GIB },
		{ 4, AXAS_FEATURE_ARM_HAFDBS, 256 * TIB - 3 * GIB + PAGE, 3 * GIB - PAGE },
		{ 4, AXAS_FEATURE_ARM_BBM2, 511 * GIB, 2 * GIB },
	},
	[AXAS_FORMAT_RISCV_GSTAGE] = {
		{ 0, 0, 0, 512 * GIB },
		{ 4, AXAS_FEATURE_RISCV_SVPBMT, 2 * TIB - GIB + 7 * PAGE, 64 * GIB },
		{ 5, AXAS_FEATURE_RISCV_SVVPTC | AXAS_FEATURE_RISCV_SVADU, (1ull << 59) - 3 * GIB + PAGE,
		  3 * GIB - PAGE },
		{ 4, AXAS_FEATURE_RISCV_SVVPTC, 511 * GIB, 2 * GIB },
	},
};

/*
 * Something that create must refuse, or may. Left out is what is known to have changed: features that were
 * accepted without any use, and widths of 49 to 52 bits on Arm.
 */
static void spoil_space(struct script *s)
{
	const uint32_t unused = AXAS_FEATURE_ARM_XNX | AXAS_FEATURE_RISCV_SVNAPOT;

	switch (below(s, 6)) {
	case 0:
		s->cfg.features ^= (1u << below(s, 16)) & ~unused;
		break;
	case 1:
		s->cfg.levels = (uint32_t)below(s, 7);
		break;
	case 2:
		s->cfg.pa_bits = 30 + (uint32_t)below(s, 19);
		break;
	case 3:
		s->cfg.gpa_bits = 30 + (uint32_t)below(s, 30);
		break;
	case 4:
		s->cfg.vmid = (uint32_t)below(s, 1u << below(s, 20));
		break;
	default:
		s->cfg.table_quota = 1 + (uint32_t)below(s, 18);
		break;
	}
}

static void draw_space(struct script *s, uint32_t format)
{
	static const uint32_t zero[] = { 0, 0, AXAS_FRAMES_ARE_ZEROED, AXAS_NO_ZERO };
	static const uint32_t more[] = {
		0, 0, 0, AXAS_CALLER_LOCKED, AXAS_NO_WAIT, AXAS_NONCOHERENT_WALK
	};
	const struct shape *shape = &shapes[format][below(s, 4)];
	const uint64_t most = 2 * GIB + 64 * MIB;

	s->kind = (enum host_kind)below(s, 3);
	s->has_released = below(s, 3) != 0;
	s->has_yield = below(s, 2) != 0;
	s->linear_reachable = below(s, 2) != 0;
	s->every = below(s, 8) == 0 ? 5 + (uint32_t)below(s, 60) : 0;
	s->cfg = (axas_config_t){
		.struct_size = sizeof(s->cfg),
		.format = format,
		.levels = shape->levels,
		.pa_bits = 48,
		.base = shape->base,
		.size = shape->size,
		.vmid = (uint32_t)below(s, 256),
		.features = shape->features,
		.options = zero[below(s, ARRAY(zero))] | more[below(s, ARRAY(more))],
		.table_quota = below(s, 6) == 0 ? 20 + (uint32_t)below(s, 60) : 0,
	};
	if (below(s, 6) == 0)
		spoil_space(s);
	s->create_fail_at = below(s, 8) == 0 ? 1 + (uint32_t)below(s, 2) : 0;
	s->has_clean = (s->cfg.options & AXAS_NONCOHERENT_WALK) || below(s, 2) == 0;
	/* the library zeroes 2 MiB in the time of a thousand calls */
	s->refuses_huge =
		!(s->cfg.options & (AXAS_FRAMES_ARE_ZEROED | AXAS_NO_ZERO)) && below(s, 64) != 0;
	s->window_bytes = shape->size < most ? shape->size : most;
	s->window = shape->base;
	if (shape->size > most && below(s, 2) == 0)
		s->window += 4 * GIB - (shape->base & (GIB - 1));
}

/* --- ranges ---------------------------------------------------------------------------------- */

static void clip(const struct script *s, struct step *t, uint64_t most)
{
	const axas_gpa_t end = s->window + s->window_bytes;

	if (t->gpa < s->window)
		t->gpa = s->window;
	if (t->gpa >= end)
		t->gpa = end - PAGE;
	if (t->size > most)
		t->size = most;
	if (t->size > end - t->gpa)
		t->size = end - t->gpa;
}

static void draw_fresh_range(struct script *s, struct step *t)
{
	const uint64_t kind = below(s, 16);

	t->size = (1 + below(s, 6)) * PAGE;
	if (kind >= 8)
		t->size = (1 + below(s, 40)) * PAGE;
	if (kind >= 12)
		t->size = (1 + below(s, 3)) * 2 * MIB;
	if (kind == 14)
		t->size = (1 + below(s, 1100)) * PAGE;
	if (kind == 15)
		t->size = GIB + below(s, 3) * 2 * MIB;
	t->gpa = s->window + below(s, s->window_bytes / PAGE) * PAGE;
	/* scripts are short: most of what happens has to happen in one place */
	if (below(s, 4) != 0)
		t->gpa = ((s->window + GIB) & ~(GIB - 1)) + (below(s, 1024) - 512) * PAGE;
	if (below(s, 3) == 0)
		t->gpa &= ~(2 * MIB - 1);
	if (kind == 15 && below(s, 3) != 0)
		t->gpa &= ~(GIB - 1);
}

/* What was mapped a moment ago, if possible of the sort that the call is for. */
static const struct step *draw_known(struct script *s, const struct step *t)
{
	const int of_memory = t->call == CALL_FAULT || t->call == CALL_POPULATE ||
			      t->call == CALL_DISCARD || t->call == CALL_POPULATE_SOME ||
			      t->call == CALL_DISCARD_SOME;
	const struct step *in = &s->last[0];

	for (uint32_t tries = 0; tries < 3; tries++) {
		in = &s->last[below(s, ARRAY(s->last))];
		if (t->call == CALL_TRAP_COOKIE ? in->call == CALL_MAP_TRAP :
						  !of_memory || in->call == CALL_MAP_ALLOC)
			break;
	}
	return in;
}

/* A part of that, or what lies beside it. */
static void draw_known_range(struct script *s, struct step *t)
{
	const struct step *in = draw_known(s, t);

	if (in->size == 0 || below(s, 8) == 0) {
		draw_fresh_range(s, t);
		return;
	}
	t->gpa = in->gpa + below(s, in->size / PAGE) * PAGE;
	if (below(s, 3) == 0 && (t->gpa & ~(2 * MIB - 1)) >= in->gpa)
		t->gpa &= ~(2 * MIB - 1);
	if (below(s, 3) == 0)
		t->gpa = in->gpa;
	t->size = (1 + below(s, (in->gpa + in->size - t->gpa) / PAGE)) * PAGE;
	if (below(s, 3) == 0)
		t->size = in->gpa + in->size - t->gpa;
	if (below(s, 3) == 0)
		t->size = PAGE;
	if (below(s, 16) == 0)
		t->gpa += t->size;
}

/* --- flags ----------------------------------------------------------------------------------- */

static axas_flags_t draw_access(struct script *s)
{
	static const axas_flags_t access[] = {
		AXAS_READ,
		AXAS_READ | AXAS_WRITE,
		AXAS_READ | AXAS_WRITE,
		AXAS_READ | AXAS_EXECUTE,
		AXAS_READ | AXAS_WRITE | AXAS_EXECUTE,
		AXAS_EXECUTE,
	};

	return access[below(s, below(s, 16) == 0 ? 6 : 5)];
}

static axas_flags_t draw_memory_type(struct script *s)
{
	static const axas_flags_t type[] = { AXAS_UNCACHED,      AXAS_WRITE_COMBINE,
					     AXAS_WRITE_THROUGH, AXAS_DEVICE_NGNRNE,
					     AXAS_DEVICE_NGRE,   AXAS_DEVICE_GRE };

	if (below(s, 8) == 0)
		return AXAS_DEVICE;
	return below(s, 24) == 0 ? type[below(s, ARRAY(type))] : 0;
}

static void draw_linear(struct script *s, struct step *t)
{
	static const axas_flags_t sizes[] = {
		0, 0, 0, AXAS_NO_HUGE, AXAS_MAX_2M, AXAS_NO_HUGE_EXEC
	};
	static const uint64_t congruent[] = { PAGE, 2 * MIB, GIB, GIB };
	const uint64_t unit = congruent[below(s, ARRAY(congruent))];

	t->flags = draw_access(s) | draw_memory_type(s) | sizes[below(s, ARRAY(sizes))];
	t->value = LINEAR_PA + below(s, GIB / unit) * unit + t->gpa % unit;
	if ((t->flags & (AXAS_NO_HUGE | AXAS_NO_HUGE_EXEC)) || unit == PAGE)
		clip(s, t, below(s, 8) == 0 ? 6 * MIB : 60 * PAGE);
	else
		clip(s, t, 2 * GIB);
}

static void draw_own(struct script *s, struct step *t)
{
	static const axas_flags_t sizes[] = { 0,
					      0,
					      AXAS_NO_HUGE,
					      AXAS_HUGE_FRAMES,
					      AXAS_HUGE_FRAMES | AXAS_MAX_2M,
					      AXAS_NO_HUGE_EXEC };

	t->flags = draw_access(s) | draw_memory_type(s) | sizes[below(s, ARRAY(sizes))];
	if (below(s, 4) == 0) {
		t->flags |= AXAS_POPULATE;
		clip(s, t, (t->flags & AXAS_HUGE_FRAMES) && below(s, 8) == 0 ? GIB : 24 * PAGE);
	}
}

static void draw_copy(struct script *s, struct step *t)
{
	static const uint32_t how[] = {
		0, 0, 0, AXAS_ACCESS_HOST, AXAS_ACCESS_CLEAN, AXAS_ACCESS_EXECUTE
	};

	t->flags = how[below(s, ARRAY(how))];
	t->gpa += below(s, 3) == 0 ? below(s, PAGE) : 0;
	t->size = 1 + below(s, below(s, 8) == 0 ? 3 * PAGE : 64);
	t->value = below(s, 256);
	if (t->call == CALL_CHUNKS)
		t->flags =
			(t->flags & AXAS_ACCESS_HOST) | (below(s, 2) == 0 ? AXAS_READ : AXAS_WRITE);
	if (t->call == CALL_READ_SCALAR || t->call == CALL_WRITE_SCALAR) {
		t->width = (uint8_t)below(s, 4);
		t->value = below(s, 1ull << 40) * 0x10001;
		t->gpa &= below(s, 8) == 0 ? ~0ull : ~7ull;
	}
}

/* --- calls ----------------------------------------------------------------------------------- */

static enum call draw_call(struct script *s)
{
	/* the frequency of each call */
	static const struct {
		uint8_t weight, call;
	} of[] = {
		{ 8, CALL_MAP_LINEAR },     { 8, CALL_REPLACE },
		{ 4, CALL_MAP_EXTENTS },    { 16, CALL_MAP_ALLOC },
		{ 6, CALL_MAP_TRAP },       { 14, CALL_UNMAP },
		{ 8, CALL_PROTECT },        { 5, CALL_POPULATE },
		{ 6, CALL_DISCARD },        { 3, CALL_MAP_LINEAR_SOME },
		{ 3, CALL_MAP_ALLOC_SOME }, { 5, CALL_UNMAP_SOME },
		{ 4, CALL_PROTECT_SOME },   { 3, CALL_POPULATE_SOME },
		{ 4, CALL_DISCARD_SOME },   { 20, CALL_FAULT },
		{ 1, CALL_SET_VMID },       { 3, CALL_TRANSLATE },
		{ 3, CALL_QUERY },          { 3, CALL_TRAP_COOKIE },
		{ 1, CALL_FOR_EACH },       { 4, CALL_READ },
		{ 4, CALL_WRITE },          { 2, CALL_FILL },
		{ 2, CALL_CHUNKS },         { 2, CALL_READ_SCALAR },
		{ 2, CALL_WRITE_SCALAR },   { 2, CALL_TABLES_NEEDED },
		{ 1, CALL_AUDIT },          { 1, CALL_HW_REGS },
		{ 1, CALL_CONTAINS },
	};
	uint32_t total = 0, at;
	size_t i = 0;

	if (below(s, 400) == 0)
		return CALL_CLEAR;
	for (i = 0; i < ARRAY(of); i++)
		total += of[i].weight;
	at = (uint32_t)below(s, total);
	for (i = 0; at >= of[i].weight; i++)
		at -= of[i].weight;
	return (enum call)of[i].call;
}

static void draw_values(struct script *s, struct step *t)
{
	switch (t->call) {
	case CALL_MAP_LINEAR:
	case CALL_REPLACE:
	case CALL_MAP_EXTENTS:
	case CALL_MAP_LINEAR_SOME:
		draw_linear(s, t);
		if (t->call == CALL_REPLACE)
			t->flags |= AXAS_REPLACE;
		if (t->call == CALL_MAP_EXTENTS)
			clip(s, t, 3 * MIB);
		break;
	case CALL_MAP_ALLOC:
	case CALL_MAP_ALLOC_SOME:
		draw_own(s, t);
		break;
	case CALL_MAP_TRAP:
		t->value = below(s, 1ull << 32);
		break;
	case CALL_PROTECT:
	case CALL_PROTECT_SOME:
		t->flags = draw_access(s);
		break;
	case CALL_POPULATE:
	case CALL_POPULATE_SOME:
		clip(s, t, below(s, 32) == 0 ? 2 * MIB : 24 * PAGE);
		break;
	case CALL_FAULT:
		t->flags = below(s, 3) == 0 ? draw_access(s) : AXAS_READ;
		t->gpa += below(s, 2) == 0 ? below(s, PAGE) : 0;
		break;
	case CALL_SET_VMID:
		t->value = below(s, 300);
		break;
	case CALL_TABLES_NEEDED:
		t->flags = AXAS_READ | (below(s, 2) == 0 ? AXAS_NEED_LAZY : 0u);
		break;
	default:
		if (t->call >= CALL_READ && t->call <= CALL_WRITE_SCALAR)
			draw_copy(s, t);
		break;
	}
}

/* Something that a call must refuse, or may. */
static void spoil(struct script *s, struct step *t)
{
	switch (below(s, 8)) {
	case 0:
		t->gpa += 1 + below(s, PAGE - 1);
		break;
	case 1:
		t->size += 1 + below(s, PAGE - 1);
		break;
	case 2:
		t->size = 0;
		break;
	case 3:
		t->flags ^= 1u << below(s, 31);
		break;
	case 4:
		t->gpa = below(s, 1ull << 56) << below(s, 9);
		break;
	case 5:
		/* a host whose linear memory is all at an offset has no other */
		if (s->kind != HOST_OFFSET || !s->linear_reachable)
			t->value ^= 1ull << below(s, 64);
		break;
	case 6:
		t->budget = 0;
		break;
	default:
		t->size = ~0ull - below(s, 2 * PAGE);
		break;
	}
}

static int is_large_copy(const struct step *t)
{
	return t->call >= CALL_READ && t->call <= CALL_CHUNKS && t->size > 4 * PAGE;
}

static void draw_step(struct script *s, struct step *t)
{
	*t = (struct step){ .call = (uint8_t)draw_call(s) };
	if (t->call <= CALL_MAP_TRAP || t->call == CALL_MAP_LINEAR_SOME ||
	    t->call == CALL_MAP_ALLOC_SOME)
		draw_fresh_range(s, t);
	else
		draw_known_range(s, t);
	clip(s, t, 2 * GIB);
	draw_values(s, t);
	t->budget = 1 + below(s, below(s, 2) == 0 ? 8 : 600);
	t->yield_at = (uint8_t)below(s, 4);
	if (below(s, 6) == 0)
		t->fail_at = (uint16_t)(1 + below(s, below(s, 2) == 0 ? 2 : 12));
	if (s->kind != HOST_OFFSET && below(s, 100) == 0)
		t->blind_at = (uint16_t)(1 + below(s, 24));
	if (t->size != 0 && t->call < CALL_UNMAP)
		s->last[below(s, ARRAY(s->last))] = *t;
	if (below(s, 32) == 0)
		spoil(s, t);
	/* buffers have an end */
	if (is_large_copy(t))
		t->size = t->size % (4 * PAGE);
}

void script_draw(struct script *s, uint32_t format, uint64_t seed)
{
	memset(s, 0, sizeof(*s));
	s->seed = seed;
	s->rng = seed * 0x9e3779b97f4a7c15ull + 0x1234567;
	below(s, 2);
	below(s, 2);
	draw_space(s, format);
	for (uint32_t i = 0; i < SCRIPT_CALLS; i++)
		draw_step(s, &s->step[i]);
}

void script_print(const struct script *s, uint32_t from, uint32_t to)
{
	static const char *const kinds[] = { "offset", "callback", "windows" };

	printf("space: format %u levels %u base %#" PRIx64 " size %#" PRIx64
	       " features %#x options %#x "
	       "quota %u vmid %u; host: %s%s%s%s%s%s\n",
	       s->cfg.format, s->cfg.levels, s->cfg.base, s->cfg.size, s->cfg.features,
	       s->cfg.options, s->cfg.table_quota, s->cfg.vmid, kinds[s->kind],
	       s->has_released ? " released" : "", s->has_yield ? " should_yield" : "",
	       s->has_clean ? " clean_range" : "", s->linear_reachable ? " reaches linear" : "",
	       s->refuses_huge ? " refuses huge" : "");
	if (s->every != 0)
		printf("every %u-th allocation fails, counted from the number of the call\n",
		       s->every);
	for (uint32_t i = from; i < to; i++) {
		const struct step *t = &s->step[i];

		if (t->gone)
			continue;
		printf("%5u %-16s gpa %#" PRIx64 " size %#" PRIx64 " flags %#x value %#" PRIx64, i,
		       call_names[t->call], t->gpa, t->size, t->flags, t->value);
		if (t->call >= CALL_MAP_LINEAR_SOME && t->call <= CALL_DISCARD_SOME)
			printf(" budget %" PRIu64 " yield %u", t->budget, t->yield_at);
		if (t->fail_at != 0)
			printf(", allocation %u fails", t->fail_at);
		if (t->blind_at != 0)
			printf(", translation %u fails", t->blind_at);
		printf("\n");
	}
}
