/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "parts.h"

#include <string.h>

#define RW     (AXAS_READ | AXAS_WRITE)
#define TAG(n) ((axas_flags_t)(n) << AXAS_TAG_SHIFT)

/* The note of a letter; its halves are kept in different places. */
#define A_NOTE 0xfedc4321u
/* Numbers of providers. */
#define ONE    0xfedcu
#define OTHER  1u

/* An older archive has none of them. */
#pragma weak axas_hide
#pragma weak axas_hide_some
#pragma weak axas_show
#pragma weak axas_show_some
#pragma weak axas_map_note
#pragma weak axas_map_note_some
#pragma weak axas_stock
#pragma weak axas_dirty_start
#pragma weak axas_dirty_clear
#pragma weak axas_dirty_collect
#pragma weak axas_dirty_mark
#pragma weak axas_dirty_stop
#pragma weak axas_dirty_start_some
#pragma weak axas_dirty_clear_some
#pragma weak axas_dirty_collect_some
#pragma weak axas_dirty_stop_some
#pragma weak axas_age
#pragma weak axas_age_stop
#pragma weak axas_age_some
#pragma weak axas_age_stop_some
#pragma weak axas_merge_some
#pragma weak axas_map_provider
#pragma weak axas_supply
#pragma weak axas_evict
#pragma weak axas_evict_some

struct report reported;

int parts_are_there(uint32_t parts)
{
	return (!(parts & HIDES) || axas_hide != NULL) &&
	       (!(parts & STOCKS) || axas_stock != NULL) &&
	       (!(parts & LOGS) || axas_dirty_start != NULL) &&
	       (!(parts & AGES) || axas_age != NULL) &&
	       (!(parts & MERGES) || axas_merge_some != NULL) &&
	       (!(parts & PROVIDERS) || axas_map_provider != NULL);
}

/* --- the alphabet ---------------------------------------------------------------------------- */

struct alphabet {
	struct letter *letter;
	uint32_t count;
	uint32_t parts;
};

static struct letter *add(struct alphabet *a, enum letter_kind kind, axas_gpa_t gpa, uint64_t size,
			  axas_flags_t flags)
{
	struct letter *l = &a->letter[a->count++];

	*l = (struct letter){ .kind = kind, .flags = flags, .gpa = gpa, .size = size };
	if (kind == MAP_LINEAR || kind == MAP_LINEAR_SOME)
		l->value = LINEAR_PA + gpa;
	else if (kind == REPLACE)
		l->value = OTHER_PA + gpa;
	else if (kind == NOTE || kind == NOTE_SOME)
		l->value = A_NOTE;
	return l;
}

static void add_maps(struct alphabet *a, axas_gpa_t gpa, uint64_t size)
{
	const axas_flags_t huge = size <= 4 * PAGE ? 0 : AXAS_HUGE_FRAMES;

	add(a, MAP_LINEAR, gpa, size, RW);
	if (size > 4 * PAGE)
		add(a, MAP_LINEAR, gpa, size, RW | AXAS_NO_HUGE);
	else if (a->parts & (LOGS | AGES))
		add(a, MAP_LINEAR, gpa, size, RW | AXAS_DEVICE);
	add(a, REPLACE, gpa, size, RW | AXAS_REPLACE);
	add(a, MAP_ALLOC, gpa, size, RW | huge);
	add(a, MAP_ALLOC, gpa, size, RW | AXAS_POPULATE | huge);
	add(a, UNMAP, gpa, size, 0);
	add(a, PROTECT, gpa, size, AXAS_READ);
	add(a, PROTECT, gpa, size, RW);
	add(a, POPULATE, gpa, size, 0);
	add(a, DISCARD, gpa, size, 0);
	if (size == PAGE)
		return;
	add(a, UNMAP_SOME, gpa, size, 0);
	add(a, PROTECT_SOME, gpa, size, AXAS_READ);
	add(a, DISCARD_SOME, gpa, size, 0);
}

static void add_hiding(struct alphabet *a, axas_gpa_t gpa, uint64_t size)
{
	add(a, HIDE, gpa, size, 0);
	add(a, HIDE, gpa, size, AXAS_HIDE_AUTO);
	add(a, SHOW, gpa, size, 0);
	add(a, NOTE, gpa, size, 0);
	add(a, NOTE, gpa, size, AXAS_REPLACE);
	add(a, PROTECT, gpa, size, 0);
	if (size == PAGE)
		return;
	add(a, HIDE_SOME, gpa, size, 0);
	add(a, HIDE_SOME, gpa, size, AXAS_HIDE_AUTO);
	add(a, SHOW_SOME, gpa, size, 0);
	add(a, NOTE_SOME, gpa, size, 0);
}

static void add_tags(struct alphabet *a, axas_gpa_t gpa, uint64_t size)
{
	if (!letters_tags())
		return;
	add(a, MAP_ALLOC, gpa, size, RW | TAG(1));
	add(a, MAP_LINEAR, gpa, size, RW | TAG(2));
	if (a->parts & HIDES)
		add(a, NOTE, gpa, size, TAG(1));
	add(a, RETAG, gpa, size, TAG(2));
	if (size != PAGE)
		add(a, RETAG_SOME, gpa, size, TAG(3));
}

static void add_log(struct alphabet *a, axas_gpa_t gpa, uint64_t size)
{
	const axas_flags_t hardware = a->parts & HARDWARE ? AXAS_DIRTY_HARDWARE : 0;

	add(a, DIRTY_START, gpa, size, hardware);
	add(a, DIRTY_CLEAR, gpa, size, 0);
	add(a, DIRTY_COLLECT, gpa, size, 0);
	add(a, DIRTY_MARK, gpa, size, 0);
	add(a, DIRTY_STOP, gpa, size, 0);
	if (size == PAGE)
		return;
	add(a, DIRTY_START, gpa, size, hardware | AXAS_DIRTY_SPLIT);
	/* the first page, every second one */
	add(a, DIRTY_CLEAR, gpa, size, 0)->value = 1;
	add(a, DIRTY_CLEAR, gpa, size, AXAS_DIRTY_SPLIT)->value = 0x5555555555555555;
	add(a, DIRTY_COLLECT, gpa, size, AXAS_DIRTY_SPLIT);
	add(a, DIRTY_CLEAR_SOME, gpa, size, AXAS_DIRTY_SPLIT);
	add(a, DIRTY_COLLECT_SOME, gpa, size, 0);
	add(a, DIRTY_STOP_SOME, gpa, size, 0);
	add(a, DIRTY_START_SOME, gpa, size, hardware);
}

static void add_ages(struct alphabet *a, axas_gpa_t gpa, uint64_t size)
{
	add(a, AGE, gpa, size, 0);
	add(a, AGE, gpa, size, AXAS_AGE_NO_FLUSH);
	add(a, AGE_STOP, gpa, size, 0);
	if (size == PAGE)
		return;
	add(a, AGE, gpa, size, AXAS_AGE_TEST);
	add(a, AGE_SOME, gpa, size, 0);
	add(a, AGE_STOP_SOME, gpa, size, 0);
}

static void add_merges(struct alphabet *a, axas_gpa_t gpa, uint64_t size)
{
	if (size < 2 * MIB)
		return;
	add(a, MERGE, gpa, size, 0);
	add(a, MERGE, gpa, size, AXAS_MERGE_COPY);
	add(a, MERGE_SOME, gpa, size, 0);
}

static void add_providers(struct alphabet *a, axas_gpa_t gpa, uint64_t size)
{
	add(a, PROVIDER, gpa, size, RW)->value = ONE;
	if (size > 4 * PAGE)
		add(a, PROVIDER, gpa, size, RW | AXAS_NO_HUGE)->value = ONE;
	add(a, EVICT, gpa, size, 0)->value = OTHER;
	*add(a, EVICT, gpa, size, 0) = (struct letter){ EVICT, 0, gpa, size, ONE, 1, 0 };
	add(a, POPULATE, gpa, size, 0)->how = AXAS_RESOLVE_NOW;
	add(a, POPULATE, gpa, size, 0)->how = AXAS_RESOLVE_GIVEN;
	add(a, POPULATE, gpa, size, 0)->how = AXAS_RESOLVE_REFUSE;
	if (size != PAGE)
		add(a, EVICT_SOME, gpa, size, 0)->value = OTHER;
	for (uint32_t how = AXAS_RESOLVE_NOW; how <= AXAS_RESOLVE_GIVEN; how++) {
		if (size == PAGE || size == 2 * MIB)
			*add(a, SUPPLY, gpa, size, RW) =
				(struct letter){ SUPPLY, RW, gpa, size, 0, how, 0 };
		if (size == PAGE)
			*add(a, SUPPLY, gpa, size, AXAS_READ) =
				(struct letter){ SUPPLY, AXAS_READ, gpa, size, 0, how, 0 };
	}
}

/* A fault with each answer of the host, and one that is none. */
static void add_answers(struct alphabet *a, axas_gpa_t gpa)
{
	for (uint32_t how = AXAS_RESOLVE_NOW; how <= AXAS_RESOLVE_REFUSE + 1; how++) {
		const struct letter l = { FAULT, AXAS_READ, gpa, PAGE, 0, how, 0 };

		*add(a, FAULT, gpa, PAGE, 0) = l;
		add(a, FAULT, gpa, PAGE, AXAS_WRITE)->how = how;
		if (how > AXAS_RESOLVE_ALLOC)
			continue;
		*add(a, FAULT, gpa, PAGE, 0) = l;
		a->letter[a->count - 1].brings = BRINGS_READ;
		*add(a, FAULT, gpa, PAGE, 0) = l;
		a->letter[a->count - 1].brings = BRINGS_LARGE;
	}
}

static void add_range(struct alphabet *a, axas_gpa_t gpa, uint64_t size)
{
	add_maps(a, gpa, size);
	if (a->parts & HIDES)
		add_hiding(a, gpa, size);
	if (a->parts & TAGS)
		add_tags(a, gpa, size);
	if (a->parts & LOGS)
		add_log(a, gpa, size);
	if (a->parts & AGES)
		add_ages(a, gpa, size);
	if (a->parts & MERGES)
		add_merges(a, gpa, size);
	if (a->parts & PROVIDERS)
		add_providers(a, gpa, size);
}

/* Of the space as a whole. */
static void add_once(struct alphabet *a, axas_gpa_t gpa, uint64_t size)
{
	static const uint64_t stocks[] = { 0, 1, 3, 8 };
	const axas_flags_t hardware = a->parts & HARDWARE ? AXAS_DIRTY_HARDWARE : 0;

	for (uint32_t i = 0; i < 4 && (a->parts & STOCKS); i++)
		add(a, STOCK, gpa, size, 0)->value = stocks[i];
	if (a->parts & LOGS) {
		add(a, DIRTY_START, gpa, size, hardware | AXAS_DIRTY_ALL);
		if (hardware)
			add(a, DIRTY_START, gpa, size, AXAS_DIRTY_ALL);
	}
	add(a, CLEAR, gpa, size, 0);
}

static void add_accesses(struct alphabet *a, axas_gpa_t gpa)
{
	for (axas_flags_t access = AXAS_READ; access <= AXAS_WRITE; access++) {
		add(a, FAULT, gpa, PAGE, access);
		if (a->parts & HARDWARE)
			add(a, CPU, gpa, PAGE, access);
	}
	if (a->parts & PROVIDERS)
		add_answers(a, gpa);
}

uint32_t parts_make(const struct scope *s, struct letter *letters)
{
	struct alphabet a = { .letter = letters, .parts = s->parts };

	for (uint32_t i = 0; i < s->points; i++)
		for (uint32_t j = i + 1; j < s->points; j++)
			add_range(&a, s->point[i], s->point[j] - s->point[i]);
	for (uint32_t i = 0; i + 1 < s->points; i++) {
		add_accesses(&a, s->point[i]);
		if (s->point[i + 1] - PAGE != s->point[i])
			add_accesses(&a, s->point[i + 1] - PAGE);
	}
	add_once(&a, s->point[0], s->point[s->points - 1] - s->point[0]);
	return a.count;
}

/* --- the calls ------------------------------------------------------------------------------- */

void parts_begin(const struct letter *l)
{
	memset(&reported, 0, sizeof(reported));
	host_answer = (struct host_answer){
		.how = l->how,
		.is_large = l->brings & BRINGS_LARGE,
		.is_read_only = l->brings & BRINGS_READ,
		.keeps = l->kind == EVICT && l->how != 0,
	};
}

int parts_asks_for(const struct letter *l, uint64_t offset)
{
	return l->value == 0 || (l->value >> offset / PAGE % 64 & 1);
}

static const uint64_t *bitmap_of(const struct letter *l)
{
	static uint64_t bits[MOST_WORDS];

	for (uint32_t i = 0; i < MOST_WORDS; i++)
		bits[i] = l->value;
	return l->value == 0 ? NULL : bits;
}

/* What hardware sets in an entry that an access goes through. */
static uint64_t after_access(uint64_t entry, int is_leaf, int writes)
{
	static const uint64_t young[] = { 0, 1u << 8, 1u << 5, 1u << 10, 1u << 6 };
	static const uint64_t dirty[] = { 0, 1u << 9, 1u << 6, 1u << 7, 1u << 7 };
	const int is_x86 = walker.format <= WALK_NPT;

	if (is_leaf || is_x86)
		entry |= young[walker.format];
	if (is_leaf && writes)
		entry |= dirty[walker.format];
	return entry;
}

/* An access of the guest that does not fault. Returns whether an entry changed. */
static int access_of_cpu(const struct letter *l)
{
	const struct walk w = walker_walk(&walker, l->gpa);
	const int writes = (l->flags & AXAS_WRITE) != 0;
	axas_hpa_t at = walker.root;
	int changed = 0;

	if (w.outcome != WALK_LEAF || !(w.access & l->flags) || (writes && !w.opens))
		return 0;
	for (uint32_t level = walker.levels; level >= w.level; level--) {
		const uint64_t entries = level == walker.levels ? walker.root_entries : 512;
		const uint64_t index = (l->gpa >> (12 + 9 * (level - 1))) % entries;
		uint64_t *entry = (uint64_t *)(void *)world.table[(at - TABLE_PA) / PAGE] + index;
		const uint64_t after = after_access(*entry, level == w.level, writes);

		changed |= after != *entry;
		*entry = after;
		if (level > w.level && !walker_is_table(&walker, level, after, &at))
			return changed;
	}
	return changed;
}

axas_hpa_t parts_own_page(axas_gpa_t gpa)
{
	return OTHER_PA + gpa;
}

/* A frame that was given and is not taken stays the host's. */
static axas_status_t supply(const struct letter *l)
{
	const uint32_t order = l->size == PAGE ? 0 : 9;
	axas_hpa_t hpa = parts_own_page(l->gpa);
	axas_status_t status;

	if (l->how == AXAS_RESOLVE_GIVEN)
		hpa = world_give(order);
	if (hpa == AXAS_HPA_INVALID)
		return AXAS_ERR_AGAIN;
	status = axas_supply(space, l->gpa, hpa, l->size, l->flags, l->how);
	if (status != AXAS_OK && l->how == AXAS_RESOLVE_GIVEN)
		world_has_back(hpa, order);
	return status;
}

axas_status_t parts_run_some(const struct letter *l, uint64_t *done)
{
	const axas_gpa_t gpa = l->gpa;
	const uint64_t size = l->size;
	const size_t bits = 64 * MOST_WORDS;
	uint64_t merged;

	switch (l->kind) {
	case HIDE_SOME:
		return axas_hide_some(space, gpa, size, l->flags, 1, done);
	case SHOW_SOME:
		return axas_show_some(space, gpa, size, 1, done);
	case NOTE_SOME:
		return axas_map_note_some(space, gpa, size, (uint32_t)l->value, l->flags, 1, done);
	case DIRTY_START_SOME:
		return axas_dirty_start_some(space, gpa, size, l->flags, 1, done);
	case DIRTY_CLEAR_SOME:
		return axas_dirty_clear_some(space, gpa, size, bitmap_of(l), bits, l->flags, 1,
					     done);
	case DIRTY_COLLECT_SOME:
		return axas_dirty_collect_some(space, gpa, size, reported.bits, bits, l->flags,
					       &reported.count, 1, done);
	case DIRTY_STOP_SOME:
		return axas_dirty_stop_some(space, gpa, size, 1, done);
	case AGE_SOME:
		return axas_age_some(space, gpa, size, reported.bits, bits, l->flags,
				     &reported.count, 1, done);
	case AGE_STOP_SOME:
		return axas_age_stop_some(space, gpa, size, 1, done);
	case EVICT_SOME:
		return axas_evict_some(space, gpa, size, (uint32_t)l->value, 1, done);
	default:
		return axas_merge_some(space, gpa, size, l->flags, &merged, 1, done);
	}
}

int64_t parts_run(const struct letter *l)
{
	const axas_gpa_t gpa = l->gpa;
	const uint64_t size = l->size;
	const size_t bits = 64 * MOST_WORDS;

	switch (l->kind) {
	case HIDE:
		return axas_hide(space, gpa, size, l->flags);
	case SHOW:
		return axas_show(space, gpa, size);
	case NOTE:
		return axas_map_note(space, gpa, size, (uint32_t)l->value, l->flags);
	case STOCK:
		return axas_stock(space, (uint32_t)l->value);
	case DIRTY_START:
		return axas_dirty_start(space, gpa, size, l->flags);
	case DIRTY_CLEAR:
		return axas_dirty_clear(space, gpa, size, bitmap_of(l), bits, l->flags);
	case DIRTY_COLLECT:
		return axas_dirty_collect(space, gpa, size, reported.bits, bits, l->flags,
					  &reported.count);
	case DIRTY_MARK:
		return axas_dirty_mark(space, gpa, size);
	case DIRTY_STOP:
		return axas_dirty_stop(space, gpa, size);
	case AGE:
		return axas_age(space, gpa, size, reported.bits, bits, l->flags, &reported.count);
	case AGE_STOP:
		return axas_age_stop(space, gpa, size);
	case PROVIDER:
		return axas_map_provider(space, gpa, size, l->flags, (uint32_t)l->value);
	case EVICT:
		return axas_evict(space, gpa, size, (uint32_t)l->value);
	case SUPPLY:
		return supply(l);
	case CPU:
		return access_of_cpu(l) ? AXAS_OK : AXAS_ERR_DENIED;
	default:
		return AXAS_ERR_UNSUPPORTED;
	}
}

/* --- what they should do --------------------------------------------------------------------- */

static uint32_t mode_of(axas_flags_t options)
{
	const int by_part =
		walker.format == WALK_RISCV && (world_features & AXAS_FEATURE_RISCV_SVADU);

	return by_part || (options & AXAS_DIRTY_HARDWARE) ? LOG_HARDWARE : LOG_FAULTS;
}

static int ages_by_faults(void)
{
	return (walker.format == WALK_ARM && !(world_features & AXAS_FEATURE_ARM_HAFDBS)) ||
	       (walker.format == WALK_RISCV && !(world_features & AXAS_FEATURE_RISCV_SVADU));
}

int parts_marks(const struct pages *p, const struct page_run *r, axas_flags_t access)
{
	const int writes = p->set.log != LOG_OFF && (access & AXAS_WRITE) && r->is_clean;

	return pages_is_mapped(r) && (writes || (ages_by_faults() && r->is_old));
}

int64_t parts_verdict(const struct letter *l)
{
	switch (l->how) {
	case AXAS_RESOLVE_LATER:
		return AXAS_FAULT_WAIT;
	case AXAS_RESOLVE_REFUSE:
		return AXAS_FAULT_UNMAPPED;
	case AXAS_RESOLVE_NOW:
	case AXAS_RESOLVE_GIVEN:
	case AXAS_RESOLVE_ALLOC:
		return AXAS_FAULT_RESOLVED;
	default:
		return AXAS_FAULT_NO_MEMORY;
	}
}

int64_t parts_populates(const struct letter *l, const struct pages *p)
{
	for (uint32_t i = 0; i < p->runs; i++) {
		const struct page_run *r = &p->run[i];

		if (r->state != AXAS_STATE_PROVIDED || r->gpa >= l->gpa + l->size ||
		    r->gpa + r->size <= l->gpa)
			continue;
		return l->how == AXAS_RESOLVE_LATER  ? AXAS_ERR_AGAIN :
		       l->how == AXAS_RESOLVE_REFUSE ? AXAS_ERR_NOT_MAPPED :
						       AXAS_OK;
	}
	return AXAS_OK;
}

/* Of a page of 4 KiB; larger ones are judged by what became of them. */
static int64_t expects_supply(const struct letter *l, const struct pages *p)
{
	const struct page_run *r = pages_at(p, l->gpa);

	if (r != NULL && pages_is_mapped(r))
		return AXAS_ERR_ALREADY_EXISTS;
	if (r == NULL || r->state != AXAS_STATE_PROVIDED)
		return AXAS_ERR_NOT_MAPPED;
	return l->flags & ~r->flags & (axas_flags_t)RWX ? AXAS_ERR_DENIED : AXAS_OK;
}

int64_t parts_expected(const struct letter *l, const struct pages *p)
{
	switch (l->kind) {
	case NOTE:
		if (l->flags & AXAS_REPLACE)
			return AXAS_OK;
		/* fallthrough */
	case NOTE_SOME:
		return pages_overlap(p, l->gpa, l->size) ? AXAS_ERR_ALREADY_EXISTS : AXAS_OK;
	case PROVIDER:
		return pages_overlap(p, l->gpa, l->size) ? AXAS_ERR_ALREADY_EXISTS : AXAS_OK;
	case SUPPLY:
		return expects_supply(l, p);
	case DIRTY_START:
	case DIRTY_START_SOME:
		return p->set.log != LOG_OFF && p->set.log != mode_of(l->flags) ?
			       AXAS_ERR_ALREADY_EXISTS :
			       AXAS_OK;
	case DIRTY_CLEAR:
	case DIRTY_COLLECT:
	case DIRTY_CLEAR_SOME:
	case DIRTY_COLLECT_SOME:
		return p->set.log == LOG_OFF ? AXAS_ERR_INVALID_INPUT : AXAS_OK;
	default:
		return AXAS_OK;
	}
}

int letter_needs_no_memory(const struct letter *l)
{
	return (l->kind >= DIRTY_START && l->kind <= AGE_STOP) ||
	       (l->kind >= DIRTY_START_SOME && l->kind <= AGE_STOP_SOME) || l->kind == MERGE ||
	       l->kind == MERGE_SOME;
}

static void hide(struct page_run *r, uint64_t options)
{
	if (!pages_is_mapped(r))
		return;
	r->is_old = 0;
	if (!(options & AXAS_HIDE_AUTO))
		r->hidden = HELD;
	else if (r->hidden == SHOWN)
		r->hidden = AUTO;
}

static void show(struct page_run *r, uint64_t unused)
{
	(void)unused;
	r->hidden = SHOWN;
}

static void evict(struct page_run *r, uint64_t provider_and_log)
{
	if (!pages_is_mapped(r) || r->hidden == HELD)
		return;
	r->state = AXAS_STATE_PROVIDED;
	r->flags |= ANY_SIZE;
	r->value = provider_and_log >> 1;
	r->hidden = SHOWN;
	r->is_old = 0;
	/* what was dirty is reported on, in a log */
	if (!(provider_and_log & 1))
		r->is_clean = 1;
}

/* Without a log each page is dirty. */
static void forget_clean(struct page_run *r, uint64_t unused)
{
	(void)unused;
	if (pages_is_mapped(r))
		r->is_clean = 0;
}

static void forget_old(struct page_run *r, uint64_t unused)
{
	(void)unused;
	r->is_old = 0;
}

/* Calls for consecutive ranges from the start on count as one. Whether that is all of the space now. */
static int is_all_stopped(axas_gpa_t *stopped, axas_gpa_t gpa, uint64_t done)
{
	const axas_gpa_t first = axas_base(space), end = first + axas_size(space);
	const axas_gpa_t before = *stopped > first ? *stopped : first;

	if (gpa > before || gpa + done <= before)
		return 0;
	*stopped = gpa + done;
	return *stopped >= end;
}

static void apply_settings(const struct letter *l, struct pages *p, uint64_t done)
{
	const axas_gpa_t first = axas_base(space);
	struct settings *set = &p->set;

	switch (l->kind) {
	case STOCK:
		set->stock = (uint32_t)l->value;
		break;
	case DIRTY_START:
	case DIRTY_START_SOME:
		if (set->log == LOG_OFF || !(l->flags & AXAS_DIRTY_ALL))
			set->log_stopped = 0;
		set->log = mode_of(l->flags);
		break;
	case DIRTY_CLEAR:
	case DIRTY_COLLECT:
	case DIRTY_CLEAR_SOME:
	case DIRTY_COLLECT_SOME:
		set->log_stopped = 0;
		break;
	case DIRTY_STOP:
	case DIRTY_STOP_SOME:
		if (set->log == LOG_OFF || !is_all_stopped(&set->log_stopped, l->gpa, done))
			break;
		set->log = LOG_OFF;
		set->log_stopped = 0;
		pages_change(p, first, axas_size(space), forget_clean, 0);
		break;
	case AGE:
	case AGE_SOME:
		if (l->flags & AXAS_AGE_TEST)
			break;
		set->ages = 1;
		set->ages_stopped = 0;
		break;
	case AGE_STOP:
	case AGE_STOP_SOME:
		if (!set->ages || !is_all_stopped(&set->ages_stopped, l->gpa, done))
			break;
		set->ages = 0;
		set->ages_stopped = 0;
		pages_change(p, first, axas_size(space), forget_old, 0);
		break;
	default:
		break;
	}
}

void parts_apply(const struct letter *l, struct pages *p, uint64_t done)
{
	struct page_run r = { .gpa = l->gpa, .size = done, .value = l->value };

	switch (l->kind) {
	case HIDE:
	case HIDE_SOME:
		pages_change(p, l->gpa, done, hide, l->flags);
		break;
	case SHOW:
	case SHOW_SOME:
		pages_change(p, l->gpa, done, show, 0);
		break;
	case NOTE:
	case NOTE_SOME:
		r.state = AXAS_STATE_NOTE;
		r.flags = l->flags & AXAS_TAG_MASK;
		pages_set(p, &r);
		break;
	case PROVIDER:
		r.state = AXAS_STATE_PROVIDED;
		r.flags = l->flags;
		r.is_clean = 1;
		pages_set(p, &r);
		break;
	case EVICT:
	case EVICT_SOME:
		pages_change(p, l->gpa, done, evict, l->value << 1 | (p->set.log != LOG_OFF));
		break;
	default:
		apply_settings(l, p, done);
		break;
	}
}
