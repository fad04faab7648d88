/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "letters.h"

#include "parts.h"

#include <inttypes.h>
#include <stdio.h>

#define RW     (AXAS_READ | AXAS_WRITE)
#define RX     (AXAS_READ | AXAS_EXECUTE)
#define TAG(n) ((axas_flags_t)(n) << AXAS_TAG_SHIFT)

#pragma weak axas_retag
#pragma weak axas_retag_some
#pragma weak axas_tag_bits

/* Both halves of a cookie are kept in different places. */
#define COOKIE 0x87654321ull

static const struct scope scopes[SCOPES] = {
	{
		.name = "pages",
		.group = "core",
		.share = 4,
		.points = 5,
		.point = { BOUNDARY - 2 * PAGE, BOUNDARY - PAGE, BOUNDARY, BOUNDARY + PAGE,
			   BOUNDARY + 2 * PAGE },
	},
	{
		.name = "pages, no released",
		.group = "core",
		.share = 4,
		.is_plain = 1,
		.points = 5,
		.point = { BOUNDARY - 2 * PAGE, BOUNDARY - PAGE, BOUNDARY, BOUNDARY + PAGE,
			   BOUNDARY + 2 * PAGE },
	},
	{
		.name = "pages, tables kept",
		.group = "core",
		.share = 2,
		.keeps_tables = 1,
		.points = 5,
		.point = { BOUNDARY - 2 * MIB, BOUNDARY - PAGE, BOUNDARY, BOUNDARY + PAGE,
			   BOUNDARY + 2 * MIB },
	},
	{
		.name = "tables kept, no released",
		.group = "core",
		.share = 2,
		.is_plain = 1,
		.keeps_tables = 1,
		.points = 5,
		.point = { BOUNDARY - PAGE, BOUNDARY, BOUNDARY + PAGE, BOUNDARY + 2 * MIB,
			   BOUNDARY + 2 * MIB + PAGE },
	},
	{
		.name = "2 MiB",
		.group = "core",
		.share = 4,
		.points = 6,
		.point = { BOUNDARY - 2 * MIB, BOUNDARY - 2 * MIB + PAGE, BOUNDARY - PAGE, BOUNDARY,
			   BOUNDARY + PAGE, BOUNDARY + 2 * MIB },
	},
	{
		.name = "1 GiB",
		.group = "core",
		.share = 2,
		.is_plain = 1,
		.points = 6,
		.point = { BOUNDARY - GIB - PAGE, BOUNDARY - GIB, BOUNDARY - PAGE, BOUNDARY,
			   BOUNDARY + 2 * MIB, BOUNDARY + GIB },
	},
	{
		.name = "counts",
		.group = "core",
		.share = 2,
		.points = 6,
	},
	{
		.name = "hidden pages",
		.group = "parts",
		.share = 2,
		.parts = HIDES,
		.points = 4,
		.point = { BOUNDARY - 2 * PAGE, BOUNDARY - PAGE, BOUNDARY, BOUNDARY + PAGE },
	},
	{
		.name = "hidden 2 MiB",
		.group = "parts",
		.share = 2,
		.is_plain = 1,
		.parts = HIDES | TAGS | MERGES,
		.points = 4,
		.point = { BOUNDARY - PAGE, BOUNDARY, BOUNDARY + PAGE, BOUNDARY + 2 * MIB },
	},
	{
		.name = "hidden, tables kept",
		.group = "parts",
		.share = 2,
		.keeps_tables = 1,
		.parts = HIDES,
		.points = 4,
		.point = { BOUNDARY - PAGE, BOUNDARY, BOUNDARY + PAGE, BOUNDARY + 2 * MIB },
	},
	{
		.name = "stock",
		.group = "parts",
		.share = 2,
		.parts = STOCKS | HIDES | TAGS,
		.points = 4,
		.point = { BOUNDARY - 2 * MIB, BOUNDARY - PAGE, BOUNDARY, BOUNDARY + PAGE },
	},
	{
		.name = "log by faults",
		.group = "parts",
		.share = 2,
		.parts = LOGS | HIDES,
		.points = 4,
		.point = { BOUNDARY - 2 * PAGE, BOUNDARY - PAGE, BOUNDARY, BOUNDARY + PAGE },
	},
	{
		.name = "log by hardware",
		.group = "parts",
		.share = 1,
		.parts = LOGS | HARDWARE | AGES,
		.points = 3,
		.point = { BOUNDARY - PAGE, BOUNDARY, BOUNDARY + PAGE },
	},
	{
		.name = "log, 2 MiB",
		.group = "parts",
		.share = 2,
		.parts = LOGS | MERGES,
		.points = 3,
		.point = { BOUNDARY, BOUNDARY + PAGE, BOUNDARY + 2 * MIB },
	},
	{
		.name = "ages, 2 MiB",
		.group = "parts",
		.share = 2,
		.parts = AGES | HARDWARE | HIDES | MERGES,
		.points = 3,
		.point = { BOUNDARY, BOUNDARY + PAGE, BOUNDARY + 2 * MIB },
	},
	{
		.name = "ages by faults",
		.group = "parts",
		.share = 1,
		.parts = AGES | HIDES | LOGS,
		.points = 3,
		.point = { BOUNDARY - PAGE, BOUNDARY, BOUNDARY + PAGE },
	},
	{
		.name = "providers",
		.group = "parts",
		.share = 2,
		.parts = PROVIDERS | LOGS | HIDES,
		.points = 3,
		.point = { BOUNDARY - PAGE, BOUNDARY, BOUNDARY + PAGE },
	},
	{
		.name = "providers, 2 MiB",
		.group = "parts",
		.share = 2,
		.parts = PROVIDERS | MERGES,
		.points = 3,
		.point = { BOUNDARY, BOUNDARY + PAGE, BOUNDARY + 2 * MIB },
	},
};

/*
 * Pages of one table around the largest number of entries that an entry for the table has software bits
 * to count: 5, 7, 8 and 2 of them, and three values that are no number.
 */
static void make_points_of_counts(struct scope *s, uint32_t format)
{
	static const uint64_t largest[] = {
		[AXAS_FORMAT_EPT] = 29,
		[AXAS_FORMAT_NPT] = 125,
		[AXAS_FORMAT_ARM_S2] = 253,
		[AXAS_FORMAT_RISCV_GSTAGE] = 3,
	};
	const uint64_t n = largest[format];
	const uint64_t pages[] = { 0, 1, n - 1, n, n + 1, n + 2 };

	for (uint32_t i = 0; i < s->points; i++)
		s->point[i] = BOUNDARY + pages[i] * PAGE;
}

struct scope scope_make(uint32_t i, uint32_t format)
{
	struct scope s = scopes[i];

	if (s.point[0] == 0)
		make_points_of_counts(&s, format);
	return s;
}

static uint32_t features(uint32_t format, int is_plain)
{
	static const uint32_t few[] = { 0, AXAS_FEATURE_1G_PAGES, AXAS_FEATURE_1G_PAGES, 0, 0 };
	static const uint32_t more[] = {
		0,
		AXAS_FEATURE_1G_PAGES | AXAS_FEATURE_EPT_AD,
		AXAS_FEATURE_1G_PAGES,
		AXAS_FEATURE_ARM_BBM2,
		AXAS_FEATURE_RISCV_SVVPTC | AXAS_FEATURE_RISCV_SVRSW60T59B,
	};

	return is_plain ? more[format] : few[format];
}

/* With which hardware sets dirty and accessed bits. */
static uint32_t hardware(uint32_t format)
{
	static const uint32_t bits[] = { 0, AXAS_FEATURE_EPT_AD, 0, AXAS_FEATURE_ARM_HAFDBS,
					 AXAS_FEATURE_RISCV_SVADU };

	return bits[format];
}

int scope_is_possible(const struct scope *s, uint32_t format)
{
	if (s->keeps_tables && !letters_collect())
		return 0;
	/* without the bits an old page of EPT does not fault; those of NPT are always there */
	if ((s->parts & AGES) && !(s->parts & HARDWARE))
		return format != AXAS_FORMAT_EPT && format != AXAS_FORMAT_NPT;
	return parts_are_there(s->parts);
}

axas_config_t scope_config(const struct scope *s, uint32_t format)
{
	return (axas_config_t){
		.struct_size = sizeof(axas_config_t),
		.format = format,
		.levels = 4,
		.pa_bits = 48,
		.base = s->point[0],
		.size = s->point[s->points - 1] - s->point[0],
		.features = features(format, s->is_plain) |
			    (s->parts & HARDWARE ? hardware(format) : 0),
		.options = AXAS_NO_ZERO | (s->keeps_tables ? (uint32_t)AXAS_KEEP_TABLES : 0),
	};
}

/* --- the alphabet ---------------------------------------------------------------------------- */

struct alphabet {
	struct letter *letter;
	uint32_t count;
};

static void add(struct alphabet *a, enum letter_kind kind, axas_gpa_t gpa, uint64_t size,
		axas_flags_t flags)
{
	struct letter *l = &a->letter[a->count++];

	*l = (struct letter){ .kind = kind, .flags = flags, .gpa = gpa, .size = size };
	if (kind == MAP_LINEAR || kind == MAP_EXTENTS || kind == MAP_LINEAR_SOME)
		l->value = LINEAR_PA + gpa;
	else if (kind == REPLACE)
		l->value = OTHER_PA + gpa;
	else if (kind == MAP_TRAP || kind == REPLACE_TRAP)
		l->value = COOKIE;
}

static void add_replacing(struct alphabet *a, axas_gpa_t gpa, uint64_t size)
{
	const axas_flags_t huge = size <= 4 * PAGE ? 0 : AXAS_HUGE_FRAMES;

	/* the same frames with other permissions */
	add(a, REPLACE, gpa, size, AXAS_READ | AXAS_REPLACE);
	a->letter[a->count - 1].value = LINEAR_PA + gpa;
	add(a, REPLACE_ALLOC, gpa, size, RX | AXAS_REPLACE);
	add(a, REPLACE_ALLOC, gpa, size, RW | AXAS_REPLACE | AXAS_POPULATE | huge);
	add(a, REPLACE_TRAP, gpa, size, AXAS_REPLACE);
}

static void add_range(struct alphabet *a, axas_gpa_t gpa, uint64_t size)
{
	const int small = size <= 4 * PAGE;
	const int medium = size <= 2 * MIB + PAGE;

	add(a, MAP_LINEAR, gpa, size, RW);
	if (small)
		add(a, MAP_LINEAR, gpa, size, AXAS_READ | AXAS_DEVICE);
	else
		add(a, MAP_LINEAR, gpa, size, RW | (medium ? AXAS_NO_HUGE : AXAS_MAX_2M));
	add(a, REPLACE, gpa, size, RW | AXAS_REPLACE);
	if (letters_replace())
		add_replacing(a, gpa, size);
	if (letters_collect())
		add(a, COLLECT, gpa, size, 0);
	add(a, MAP_ALLOC, gpa, size, RW);
	add(a, MAP_ALLOC, gpa, size, small ? RX | AXAS_SKIP_ZERO : RW | AXAS_HUGE_FRAMES);
	if (small)
		add(a, MAP_ALLOC, gpa, size, RW | AXAS_POPULATE);
	else
		add(a, MAP_ALLOC, gpa, size, RW | AXAS_POPULATE | AXAS_HUGE_FRAMES);
	add(a, MAP_TRAP, gpa, size, 0);
	if (letters_tags()) {
		add(a, MAP_ALLOC, gpa, size, RW | TAG(1));
		add(a, RETAG, gpa, size, TAG(2));
	}
	add(a, UNMAP, gpa, size, 0);
	add(a, PROTECT, gpa, size, AXAS_READ);
	add(a, PROTECT, gpa, size, RW);
	add(a, POPULATE, gpa, size, 0);
	add(a, DISCARD, gpa, size, 0);
	if (!small)
		add(a, MERGE, gpa, size, 0);
	if (size == PAGE)
		return;
	add(a, MAP_EXTENTS, gpa, size, RW | (medium ? 0u : (axas_flags_t)AXAS_MAX_2M));
	add(a, MAP_LINEAR_SOME, gpa, size, RW);
	add(a, MAP_ALLOC_SOME, gpa, size, RW);
	add(a, UNMAP_SOME, gpa, size, 0);
	add(a, PROTECT_SOME, gpa, size, AXAS_READ);
	add(a, POPULATE_SOME, gpa, size, 0);
	add(a, DISCARD_SOME, gpa, size, 0);
	if (letters_tags())
		add(a, RETAG_SOME, gpa, size, TAG(3));
	if (letters_collect())
		add(a, COLLECT_SOME, gpa, size, 0);
}

uint32_t letters_make(const struct scope *s, struct letter *letters)
{
	struct alphabet a = { letters, 0 };

	if (s->parts != 0)
		return parts_make(s, letters);
	for (uint32_t i = 0; i < s->points; i++)
		for (uint32_t j = i + 1; j < s->points; j++)
			add_range(&a, s->point[i], s->point[j] - s->point[i]);
	for (uint32_t i = 0; i + 1 < s->points; i++) {
		add(&a, FAULT, s->point[i], PAGE, AXAS_READ);
		add(&a, FAULT, s->point[i], PAGE, AXAS_WRITE);
		if (s->point[i + 1] - PAGE != s->point[i])
			add(&a, FAULT, s->point[i + 1] - PAGE, PAGE, AXAS_READ);
	}
	add(&a, CLEAR, s->point[0], s->point[s->points - 1] - s->point[0], 0);
	return a.count;
}

int letter_is_some(const struct letter *l)
{
	return l->kind >= MAP_LINEAR_SOME && l->kind < FAULT;
}

int letters_replace(void)
{
	return axas_map_trap_flags(space, 0, 0, 0, AXAS_REPLACE) != AXAS_ERR_UNSUPPORTED;
}

int letters_collect(void)
{
	return axas_collect(space, 1, 0) != AXAS_ERR_UNSUPPORTED;
}

int letters_tags(void)
{
	return axas_tag_bits != NULL && axas_tag_bits(space) >= 2;
}

/* --- the calls ------------------------------------------------------------------------------- */

static axas_status_t run_some(const struct letter *l, uint64_t *done)
{
	switch (l->kind) {
	case MAP_LINEAR_SOME:
		return axas_map_linear_some(space, l->gpa, l->value, l->size, l->flags, 1, done);
	case MAP_ALLOC_SOME:
		return axas_map_alloc_some(space, l->gpa, l->size, l->flags, 1, done);
	case UNMAP_SOME:
		return axas_unmap_some(space, l->gpa, l->size, 1, done);
	case PROTECT_SOME:
		return axas_protect_some(space, l->gpa, l->size, l->flags, 1, done);
	case POPULATE_SOME:
		return axas_populate_some(space, l->gpa, l->size, 1, done);
	case COLLECT_SOME:
		return axas_collect_some(space, l->gpa, l->size, 1, done);
	case RETAG_SOME:
		return axas_retag_some(space, l->gpa, l->size, l->flags >> AXAS_TAG_SHIFT, 1, done);
	case DISCARD_SOME:
		return axas_discard_some(space, l->gpa, l->size, 1, done);
	default:
		return parts_run_some(l, done);
	}
}

static int64_t run_whole(const struct letter *l)
{
	const axas_extent_t extents[] = {
		{ l->value, PAGE },
		{ l->value + PAGE, l->size - PAGE },
	};
	uint64_t merged;

	switch (l->kind) {
	case MAP_EXTENTS:
		return axas_map_extents(space, l->gpa, extents, 2, l->flags);
	case MAP_LINEAR:
	case REPLACE:
		return axas_map_linear(space, l->gpa, l->value, l->size, l->flags);
	case MAP_ALLOC:
	case REPLACE_ALLOC:
		return axas_map_alloc(space, l->gpa, l->size, l->flags);
	case MAP_TRAP:
		return axas_map_trap(space, l->gpa, l->size, l->value);
	case REPLACE_TRAP:
		return axas_map_trap_flags(space, l->gpa, l->size, l->value, l->flags);
	case COLLECT:
		return axas_collect(space, l->gpa, l->size);
	case RETAG:
		return axas_retag(space, l->gpa, l->size, l->flags >> AXAS_TAG_SHIFT);
	case UNMAP:
		return axas_unmap(space, l->gpa, l->size);
	case PROTECT:
		return axas_protect(space, l->gpa, l->size, l->flags);
	case POPULATE:
		return axas_populate(space, l->gpa, l->size);
	case DISCARD:
		return axas_discard(space, l->gpa, l->size);
	case CLEAR:
		return axas_clear(space);
	case MERGE:
		return axas_merge(space, l->gpa, l->size, l->flags, &merged);
	case FAULT:
		return axas_handle_page_fault(space, l->gpa, l->flags);
	default:
		return parts_run(l);
	}
}

struct outcome letter_run(const struct letter *l)
{
	struct outcome o = { 0, 0 };

	parts_begin(l);
	if (letter_is_some(l)) {
		o.done = ~0ull;
		o.status = run_some(l, &o.done);
		return o;
	}
	o.status = run_whole(l);
	o.done = o.status == AXAS_OK ? l->size : 0;
	return o;
}

/* --- what they should do --------------------------------------------------------------------- */

static int64_t expected_verdict(const struct letter *l, const struct pages *p)
{
	const struct page_run *r = pages_at(p, l->gpa);

	if (r == NULL || r->state == AXAS_STATE_NOTE)
		return AXAS_FAULT_UNMAPPED;
	if (r->hidden == HELD)
		return AXAS_FAULT_HIDDEN;
	if (r->state == AXAS_STATE_TRAP)
		return AXAS_FAULT_TRAP;
	if (l->flags & ~r->flags)
		return AXAS_FAULT_DENIED;
	if (r->state == AXAS_STATE_PROVIDED)
		return parts_verdict(l);
	if (r->state == AXAS_STATE_RESERVED || r->hidden || parts_marks(p, r, l->flags))
		return AXAS_FAULT_RESOLVED;
	return AXAS_FAULT_SPURIOUS;
}

int64_t letter_expected(const struct letter *l, const struct pages *p)
{
	switch (l->kind) {
	case MAP_LINEAR:
	case MAP_EXTENTS:
	case MAP_ALLOC:
	case MAP_TRAP:
	case MAP_LINEAR_SOME:
	case MAP_ALLOC_SOME:
		return pages_overlap(p, l->gpa, l->size) ? AXAS_ERR_ALREADY_EXISTS : AXAS_OK;
	case POPULATE:
		if (!pages_all_memory(p, l->gpa, l->size))
			return AXAS_ERR_NOT_MAPPED;
		return parts_populates(l, p);
	case PROTECT:
	case DISCARD:
	case PROTECT_SOME:
	case POPULATE_SOME:
	case DISCARD_SOME:
		return pages_all_memory(p, l->gpa, l->size) ? AXAS_OK : AXAS_ERR_NOT_MAPPED;
	case RETAG:
	case RETAG_SOME:
		return pages_none_absent(p, l->gpa, l->size) ? AXAS_OK : AXAS_ERR_NOT_MAPPED;
	case FAULT:
		return expected_verdict(l, p);
	default:
		return parts_expected(l, p);
	}
}

void letter_apply(const struct letter *l, struct pages *p, uint64_t done)
{
	const axas_flags_t kept =
		RWX | AXAS_DEVICE | AXAS_HUGE_FRAMES | AXAS_MAX_2M | AXAS_SKIP_ZERO | AXAS_TAG_MASK;
	struct page_run r = { .gpa = l->gpa, .size = done, .flags = l->flags & kept };

	if (l->kind == CLEAR)
		p->set = (struct settings){ .stock = p->set.stock };

	switch (l->kind) {
	case MAP_LINEAR:
	case MAP_EXTENTS:
	case MAP_LINEAR_SOME:
	case REPLACE:
		r.state = AXAS_STATE_LINEAR;
		r.flags &= RWX | AXAS_DEVICE | AXAS_TAG_MASK;
		r.value = l->value;
		pages_set(p, &r);
		break;
	case MAP_ALLOC:
	case MAP_ALLOC_SOME:
	case REPLACE_ALLOC:
		r.state = AXAS_STATE_RESERVED;
		r.is_clean = 1;
		pages_set(p, &r);
		break;
	case MAP_TRAP:
	case REPLACE_TRAP:
		r.flags = 0;
		r.state = AXAS_STATE_TRAP;
		r.value = l->value;
		pages_set(p, &r);
		break;
	case UNMAP:
	case UNMAP_SOME:
	case CLEAR:
		pages_remove(p, l->gpa, done);
		break;
	case PROTECT:
	case PROTECT_SOME:
		pages_protect(p, l->gpa, done, l->flags);
		break;
	case RETAG:
	case RETAG_SOME:
		pages_retag(p, l->gpa, done, l->flags & AXAS_TAG_MASK);
		break;
	case DISCARD:
	case DISCARD_SOME:
		pages_discard(p, l->gpa, done);
		break;
	default:
		parts_apply(l, p, done);
		break;
	}
}

void letter_print(const struct letter *l)
{
	static const char *const names[] = {
		"map_linear",
		"map_extents",
		"map_linear (replace)",
		"map_alloc (replace)",
		"map_trap (replace)",
		"map_alloc",
		"map_trap",
		"unmap",
		"protect",
		"populate",
		"discard",
		"collect",
		"retag",
		"clear",
		"merge",
		"hide",
		"show",
		"map_note",
		"stock",
		"dirty_start",
		"dirty_clear",
		"dirty_collect",
		"dirty_mark",
		"dirty_stop",
		"age",
		"age_stop",
		"map_provider",
		"evict",
		"supply",
		"access of a CPU",
		"map_linear_some",
		"map_alloc_some",
		"unmap_some",
		"protect_some",
		"populate_some",
		"discard_some",
		"collect_some",
		"retag_some",
		"hide_some",
		"show_some",
		"map_note_some",
		"dirty_start_some",
		"dirty_clear_some",
		"dirty_collect_some",
		"dirty_stop_some",
		"age_some",
		"age_stop_some",
		"merge_some",
		"evict_some",
		"handle_page_fault",
	};

	printf("%-20s gpa %#" PRIx64 " size %#" PRIx64 " flags %#x value %#" PRIx64, names[l->kind],
	       l->gpa, l->size, l->flags, l->value);
	if (l->how != 0 || l->brings != 0)
		printf(" how %u brings %u", l->how, l->brings);
}
