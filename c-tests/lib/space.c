/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "space.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "counts.h"
#include "kept.h"

#define MOST_SPACES   64u
#define MOST_REQUESTS 20u /* to all CPUs: axas_merge of a gigabyte */

struct space {
	const axas_t *as;
	struct host *host;
	uint32_t features;
	uint32_t handle_frames;
	int dying;
	uint32_t options;
	enum walk_log log;
	int ages;
	struct walker walker;
};

static struct space spaces[MOST_SPACES];
static pthread_mutex_t spaces_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic uint32_t calls;

static _Thread_local struct {
	uint32_t number;
	uint32_t flushes; /* that reach all CPUs */
	uint32_t requests;
	axas_tlb_request_t request[MOST_REQUESTS];
	uint32_t levels;
} call;

uint32_t space_call_number(void)
{
	return call.number;
}

uint32_t space_call_flushes(void)
{
	return call.flushes;
}

uint32_t space_window_limit(void)
{
	return call.levels + 2;
}

void space_note_flush(struct host *h, const axas_tlb_request_t *request)
{
	if (request->scope != AXAS_SCOPE_ALL)
		return;
	if (call.requests == MOST_REQUESTS)
		host_violation(h, "more than %u flush requests in one call", MOST_REQUESTS);
	else
		call.request[call.requests++] = *request;
	call.flushes++;
}

int space_flush_covered(axas_gpa_t gpa, uint64_t size)
{
	for (uint32_t i = 0; i < call.requests; i++) {
		const axas_tlb_request_t *q = &call.request[i];

		if (q->gpa <= gpa && gpa + (size - 1) <= q->gpa + (q->size - 1))
			return 1;
	}
	return 0;
}

static struct space *find(const axas_t *as)
{
	struct space *found = NULL;

	if (as == NULL)
		return NULL;
	pthread_mutex_lock(&spaces_lock);
	for (uint32_t i = 0; i < MOST_SPACES && found == NULL; i++)
		if (spaces[i].as == as)
			found = &spaces[i];
	pthread_mutex_unlock(&spaces_lock);
	return found;
}

/* --- the walker's side ----------------------------------------------------------------------- */

static const void *pool_at(const void *ctx, uint64_t pa, uint64_t bytes)
{
	const struct host *h = ctx;

	if (host_at(h, pa) == NULL || host_at(h, pa + bytes - 1) == NULL)
		return NULL;
	return host_seen_by_walkers(h, pa);
}

static const void *pool_at_cpu(const void *ctx, uint64_t pa, uint64_t bytes)
{
	const struct host *h = ctx;

	return host_at(h, pa + bytes - 1) != NULL ? host_at(h, pa) : NULL;
}

/* Counts are for the library: what its CPU reads, also where walkers do not snoop. */
static struct wrong_count check_counts_of(const struct walker *w, uint32_t options)
{
	struct walker cpu = *w;

	cpu.at = pool_at_cpu;
	return counts_check(&cpu, (options & AXAS_KEEP_TABLES) != 0);
}

static uint32_t cpu_of_features(uint32_t features)
{
	uint32_t cpu = 0;

	cpu |= (features & AXAS_FEATURE_1G_PAGES) ? (uint32_t)CPU_1G_PAGES : 0;
	cpu |= (features & AXAS_FEATURE_EPT_EXECUTE_ONLY) ? (uint32_t)CPU_EPT_EXECUTE_ONLY : 0;
	cpu |= (features & AXAS_FEATURE_ARM_FWB) ? (uint32_t)CPU_ARM_FWB : 0;
	cpu |= (features & AXAS_FEATURE_RISCV_SVPBMT) ? (uint32_t)CPU_SVPBMT : 0;
	cpu |= (features & AXAS_FEATURE_RISCV_SVRSW60T59B) ? (uint32_t)CPU_SVRSW60T59B : 0;
	return cpu;
}

axas_status_t __real_axas_hw_regs(const axas_t *as, axas_hw_regs_t *regs);

static const char *start_walker(struct space *s)
{
	const uint64_t first = s->walker.first, last = s->walker.last;
	axas_hw_regs_t regs;

	if (__real_axas_hw_regs(s->as, &regs) != AXAS_OK)
		return "axas_hw_regs failed";
	s->walker = (struct walker){
		.format = (enum walk_format)regs.format,
		.log = s->log,
		.ages = s->ages,
		.root_register = regs.root_register,
		.control_register = regs.control_register,
		.npt_levels = regs.levels,
		.pa_bits = regs.pa_bits,
		.cpu = cpu_of_features(s->features),
		.ignores_pat = (s->options & AXAS_IGNORE_GUEST_PAT) != 0,
		.at = pool_at,
		.ctx = s->host,
		.first = first,
		.last = last,
	};
	return walker_start(&s->walker);
}

void space_look_at(const axas_t *as, axas_gpa_t gpa, uint64_t size)
{
	struct space *s = find(as);

	assert_non_null(s);
	s->walker.first = size == 0 ? 0 : gpa;
	s->walker.last = size == 0 ? 0 : gpa + (size - 1);
}

struct walker space_walker(const axas_t *as)
{
	struct space *s = find(as);
	const char *why;

	assert_non_null(s);
	why = start_walker(s);
	if (why != NULL)
		fail_msg("registers: %s", why);
	return s->walker;
}

struct walk space_walk(const axas_t *as, axas_gpa_t gpa)
{
	const struct walker w = space_walker(as);
	const struct walk r = walker_walk(&w, gpa);

	if (r.outcome == WALK_BROKEN)
		fail_msg("gpa %#llx: %s (entry %#llx, level %u)", (unsigned long long)gpa, r.why,
			 (unsigned long long)r.entry, r.level);
	return r;
}

struct reach {
	walk_table_fn fn;
	void *ctx;
	uint64_t skip;
};

static void reach_table(void *ctx, uint64_t pa, uint64_t bytes)
{
	const struct reach *r = ctx;

	if (pa != r->skip)
		r->fn(r->ctx, pa, bytes);
}

void space_visit_tables(struct host *h, walk_table_fn visit, void *ctx)
{
	for (uint32_t i = 0; i < MOST_SPACES; i++)
		if (spaces[i].as != NULL && spaces[i].host == h)
			walker_visit_tables(&spaces[i].walker, visit, visit, ctx);
}

/* Nobody has the root of a dying space loaded; what hangs below it may still be in walk caches. */
void space_visit_reachable(struct host *h, walk_table_fn reach, void *ctx)
{
	for (uint32_t i = 0; i < MOST_SPACES; i++) {
		const struct space *s = &spaces[i];
		struct reach r = { .fn = reach, .ctx = ctx, .skip = 1 };

		if (s->as == NULL || s->host != h)
			continue;
		if (s->dying)
			r.skip = s->walker.root;
		walker_visit(&s->walker, reach_table, reach_table, &r);
	}
}

/* All words of all tables, in the order of a walk, behind the address of each, its pages and whether it is hidden. */
struct snapshot {
	const struct walker *w;
	uint64_t *words;
	uint64_t count, room;
};

/* --- snapshots ------------------------------------------------------------------------------- */

struct snapshot_of {
	const struct walker *w;
	struct snapshot *s;
};

/*
 * Every call may say of a table that it was used, and that it is not cold: these are notes for the next look at
 * accesses. Leaves have bit 63 of EPT, or bit 6 of NPT, set, and bit 59 means something else in them.
 */
static uint64_t without_age(const struct walker *w, uint64_t word)
{
	const uint64_t cold = 1ull << 59;

	if (w->format == WALK_EPT && (word & 7) && !(word >> 63))
		return word & ~(cold | 1ull << 8);
	if (w->format == WALK_NPT && (word & 1) && !(word & 1u << 6))
		return word & ~(cold | 1ull << 5);
	return word;
}

static void snapshot_any(void *ctx, uint64_t pa, uint64_t bytes, uint64_t is_hidden)
{
	const struct snapshot_of *c = ctx;
	const uint64_t count = bytes / sizeof(uint64_t);
	struct snapshot *s = c->s;

	while (s->count + count + 1 > s->room) {
		s->room = s->room == 0 ? 4096 : 2 * s->room;
		s->words = realloc(s->words, s->room * sizeof(uint64_t));
		assert_non_null(s->words);
	}
	s->words[s->count++] = pa | bytes / PAGE << 1 | is_hidden;
	memcpy(&s->words[s->count], c->w->at(c->w->ctx, pa, bytes), bytes);
	for (uint64_t i = 0; i < count && c->w->ages; i++)
		s->words[s->count + i] = without_age(c->w, s->words[s->count + i]);
	s->count += count;
}

static void snapshot_table(void *ctx, uint64_t pa, uint64_t bytes)
{
	snapshot_any(ctx, pa, bytes, 0);
}

static void snapshot_hidden(void *ctx, uint64_t pa, uint64_t bytes)
{
	snapshot_any(ctx, pa, bytes, 1);
}

static void take_snapshot(const struct walker *w, struct snapshot *s)
{
	struct snapshot_of c = { .w = w, .s = s };

	s->w = w;
	walker_visit_tables(w, snapshot_table, snapshot_hidden, &c);
}

static int word_equal(const struct walker *w, uint64_t before, uint64_t now, int was_hidden,
		      int is_shown)
{
	if (before == now)
		return 1;
	if (was_hidden && !is_shown)
		return 0;
	return walker_is_shown(w, before, now, 0) ||
	       (was_hidden && walker_is_shown(w, before, now, 1));
}

/* But for hidden tables that were shown, with what is in them hidden: nobody can tell. */
static int snapshot_equal(const struct snapshot *a, const struct snapshot *b)
{
	uint64_t at = 0;

	if (a->count != b->count)
		return 0;
	while (at < a->count) {
		const uint64_t head = a->words[at], end = at + 1 + (head % PAGE >> 1) * 512;
		const int was_hidden = head & 1, is_shown = head - 1 == b->words[at];

		if (head != b->words[at] && !(was_hidden && is_shown))
			return 0;
		while (++at < end)
			if (!word_equal(a->w, a->words[at], b->words[at], was_hidden, is_shown))
				return 0;
	}
	return 1;
}

/* --- around each call ------------------------------------------------------------------------ */

struct guard {
	struct space *s;
	const char *name;
	uint64_t tables_out, guest_out;
};

/* Kept from call to call: to get and give back megabytes each time is most of the cost. */
static _Thread_local struct snapshot before, after;

static void begin_call(uint32_t levels)
{
	call.number = atomic_fetch_add(&calls, 1) + 1;
	call.flushes = 0;
	call.requests = 0;
	call.levels = levels;
}

static struct guard begin(const axas_t *as, const char *name)
{
	struct guard g = { .s = find(as), .name = name };

	begin_call(g.s != NULL ? g.s->walker.levels : 0);
	if (g.s != NULL && !g.s->host->quick) {
		before.count = 0;
		take_snapshot(&g.s->walker, &before);
		if (g.s->host->stocked != 0)
			space_visit_tables(g.s->host, host_mark_linked, g.s->host);
		if (g.s->host->hides)
			walker_visit_hidden(&g.s->walker, host_mark_hidden, g.s->host);
		g.tables_out = g.s->host->tables_out;
		g.guest_out = g.s->host->guest_out;
	}
	return g;
}

/* What is said of how full a table is, is so after every call. */
static void check_counts(const struct guard *g)
{
	const struct wrong_count wrong = check_counts_of(&g->s->walker, g->s->options);

	if (wrong.why != NULL)
		host_violation(g->s->host, "%s: %s (%llu; entry %#llx, level %u, gpa %#llx)",
			       g->name, wrong.why, (unsigned long long)wrong.occupied,
			       (unsigned long long)wrong.entry, wrong.level,
			       (unsigned long long)wrong.gpa);
}

static void end(struct guard *g, int nothing_changed)
{
	if (g->s == NULL)
		return;
	space_check_no_window(g->s->host, g->name);
	if (g->s->host->quick)
		return;
	if (nothing_changed) {
		after.count = 0;
		take_snapshot(&g->s->walker, &after);
		if (!snapshot_equal(&before, &after))
			host_violation(g->s->host, "%s changed tables and said it did not",
				       g->name);
		if (g->tables_out != g->s->host->tables_out ||
		    g->guest_out != g->s->host->guest_out)
			host_violation(g->s->host, "%s kept or lost frames and failed", g->name);
	} else {
		check_counts(g);
	}
}

/* The space's host when its frames come from one; other sources are not followed. */
static struct host *host_of(const axas_hal_t *hal)
{
	struct host *h = hal != NULL ? hal->ctx : NULL;

	return h != NULL && hal->alloc_frame == h->hal.alloc_frame && hal->arena == NULL ? h : NULL;
}

static void enter(const axas_config_t *cfg, struct host *h, const axas_t *as,
		  uint64_t frames_before)
{
	struct space *s = NULL;
	const char *why;
	uint64_t root_frames;

	pthread_mutex_lock(&spaces_lock);
	for (uint32_t i = 0; i < MOST_SPACES && s == NULL; i++)
		if (spaces[i].as == NULL)
			s = &spaces[i];
	assert_non_null(s);
	*s = (struct space){ .as = as, .host = h, .features = cfg->features };
	s->options = cfg->options;
	pthread_mutex_unlock(&spaces_lock);
	why = start_walker(s);
	if (why != NULL)
		host_violation(h, "create: %s", why);
	else if (host_frame_at(h, s->walker.root)->purpose != AXAS_FRAME_ROOT)
		host_violation(h, "create: the root was not taken as one");
	root_frames = (s->walker.root_entries * sizeof(uint64_t) + PAGE - 1) / PAGE;
	s->handle_frames = (uint32_t)(h->tables_out - frames_before - root_frames);
}

axas_status_t __real_axas_create(const axas_config_t *cfg, const axas_hal_t *hal, axas_t **as);
axas_status_t __wrap_axas_create(const axas_config_t *cfg, const axas_hal_t *hal, axas_t **as);
axas_status_t __wrap_axas_create(const axas_config_t *cfg, const axas_hal_t *hal, axas_t **as)
{
	struct host *h = host_of(hal);
	const uint64_t frames = h != NULL ? h->tables_out : 0;
	axas_status_t status;

	begin_call(5);
	status = __real_axas_create(cfg, hal, as);
	if (h == NULL)
		return status;
	space_check_no_window(h, "create");
	if (status == AXAS_OK)
		enter(cfg, h, *as, frames);
	else if (h->tables_out != frames)
		host_violation(h, "create failed and kept frames");
	return status;
}

axas_status_t __real_axas_create_in(void *storage, size_t bytes, const axas_config_t *cfg,
				    const axas_hal_t *hal, axas_t **as);
axas_status_t __wrap_axas_create_in(void *storage, size_t bytes, const axas_config_t *cfg,
				    const axas_hal_t *hal, axas_t **as);
axas_status_t __wrap_axas_create_in(void *storage, size_t bytes, const axas_config_t *cfg,
				    const axas_hal_t *hal, axas_t **as)
{
	struct host *h = host_of(hal);
	const uint64_t frames = h != NULL ? h->tables_out : 0;
	axas_status_t status;

	begin_call(5);
	status = __real_axas_create_in(storage, bytes, cfg, hal, as);
	if (h == NULL)
		return status;
	space_check_no_window(h, "create_in");
	if (status == AXAS_OK)
		enter(cfg, h, *as, frames);
	else if (h->tables_out != frames)
		host_violation(h, "create_in failed and kept frames");
	return status;
}

void __real_axas_destroy(axas_t *as);
void __wrap_axas_destroy(axas_t *as);
void __wrap_axas_destroy(axas_t *as)
{
	struct guard g = begin(as, "destroy");

	if (g.s != NULL)
		g.s->dying = 1;
	__real_axas_destroy(as);
	if (g.s != NULL) {
		space_check_no_window(g.s->host, "destroy");
		g.s->as = NULL;
	}
}

/* name, parameters, arguments: a call that changes the space unless it fails. */
#define WRAP(name, parameters, arguments)                                  \
	axas_status_t __real_axas_##name parameters;                       \
	axas_status_t __wrap_axas_##name parameters;                       \
	axas_status_t __wrap_axas_##name parameters                        \
	{                                                                  \
		struct guard g = begin(as, #name);                         \
		const axas_status_t status = __real_axas_##name arguments; \
                                                                           \
		end(&g, status != AXAS_OK);                                \
		return status;                                             \
	}

/* The same for one that works in slices: an error leaves what it says is done. */
#define WRAP_SOME(name, parameters, arguments)                              \
	axas_status_t __real_axas_##name parameters;                        \
	axas_status_t __wrap_axas_##name parameters;                        \
	axas_status_t __wrap_axas_##name parameters                         \
	{                                                                   \
		struct guard g = begin(as, #name);                          \
		const axas_status_t status = __real_axas_##name arguments;  \
                                                                            \
		end(&g, status != AXAS_OK && (done == NULL || *done == 0)); \
		return status;                                              \
	}

/* The same for one that only looks. */
#define WRAP_LOOK(name, parameters, arguments)                 \
	axas_status_t __real_axas_##name parameters;           \
	axas_status_t __wrap_axas_##name parameters;           \
	axas_status_t __wrap_axas_##name parameters            \
	{                                                      \
		struct space *s = find(as);                    \
		axas_status_t status;                          \
                                                               \
		begin_call(s != NULL ? s->walker.levels : 0);  \
		status = __real_axas_##name arguments;         \
		if (s != NULL)                                 \
			space_check_no_window(s->host, #name); \
		return status;                                 \
	}

axas_status_t __real_axas_clear(axas_t *as);
axas_status_t __wrap_axas_clear(axas_t *as);
axas_status_t __wrap_axas_clear(axas_t *as)
{
	struct guard g = begin(as, "clear");
	const axas_status_t status = __real_axas_clear(as);

	if (status == AXAS_OK && g.s != NULL) {
		g.s->log = g.s->walker.log = LOG_OFF;
		g.s->ages = g.s->walker.ages = 0;
	}
	end(&g, status != AXAS_OK);
	return status;
}

/* Calls of the log fail before they change anything, but for a host that hides its tables. */
static void started(const struct guard *g, axas_status_t status, uint32_t options)
{
	const int by_part = g->s != NULL && g->s->walker.format == WALK_RISCV &&
			    (g->s->features & AXAS_FEATURE_RISCV_SVADU);

	if (g->s != NULL && (status == AXAS_OK || status == AXAS_ERR_AGAIN))
		g->s->log = g->s->walker.log =
			options & AXAS_DIRTY_HARDWARE || by_part ? LOG_HARDWARE : LOG_FAULTS;
}

axas_status_t __real_axas_dirty_start(axas_t *as, axas_gpa_t gpa, uint64_t size, uint32_t options);
axas_status_t __wrap_axas_dirty_start(axas_t *as, axas_gpa_t gpa, uint64_t size, uint32_t options);
axas_status_t __wrap_axas_dirty_start(axas_t *as, axas_gpa_t gpa, uint64_t size, uint32_t options)
{
	struct guard g = begin(as, "dirty_start");
	const axas_status_t status = __real_axas_dirty_start(as, gpa, size, options);

	started(&g, status, options);
	end(&g, status != AXAS_OK);
	return status;
}

axas_status_t __real_axas_dirty_start_some(axas_t *as, axas_gpa_t gpa, uint64_t size,
					   uint32_t options, uint64_t budget, uint64_t *done);
axas_status_t __wrap_axas_dirty_start_some(axas_t *as, axas_gpa_t gpa, uint64_t size,
					   uint32_t options, uint64_t budget, uint64_t *done);
axas_status_t __wrap_axas_dirty_start_some(axas_t *as, axas_gpa_t gpa, uint64_t size,
					   uint32_t options, uint64_t budget, uint64_t *done)
{
	struct guard g = begin(as, "dirty_start_some");
	const axas_status_t status =
		__real_axas_dirty_start_some(as, gpa, size, options, budget, done);

	started(&g, status, options);
	end(&g, status != AXAS_OK && (done == NULL || *done == 0));
	return status;
}

/* A stop over all of the space ends the log. */
axas_status_t __real_axas_dirty_stop(axas_t *as, axas_gpa_t gpa, uint64_t size);
axas_status_t __wrap_axas_dirty_stop(axas_t *as, axas_gpa_t gpa, uint64_t size);
axas_status_t __wrap_axas_dirty_stop(axas_t *as, axas_gpa_t gpa, uint64_t size)
{
	struct guard g = begin(as, "dirty_stop");
	const axas_status_t status = __real_axas_dirty_stop(as, gpa, size);

	if (status == AXAS_OK && g.s != NULL && gpa == axas_base(as) && size == axas_size(as))
		g.s->log = g.s->walker.log = LOG_OFF;
	end(&g, status != AXAS_OK);
	return status;
}

axas_status_t __real_axas_dirty_get(axas_t *as, axas_gpa_t gpa, uint64_t size, uint64_t *bitmap,
				    size_t bits, uint64_t *count);
axas_status_t __wrap_axas_dirty_get(axas_t *as, axas_gpa_t gpa, uint64_t size, uint64_t *bitmap,
				    size_t bits, uint64_t *count);
axas_status_t __wrap_axas_dirty_get(axas_t *as, axas_gpa_t gpa, uint64_t size, uint64_t *bitmap,
				    size_t bits, uint64_t *count)
{
	struct guard g = begin(as, "dirty_get");
	const axas_status_t status = __real_axas_dirty_get(as, gpa, size, bitmap, bits, count);

	end(&g, 1);
	return status;
}

WRAP(dirty_clear,
     (axas_t * as, axas_gpa_t gpa, uint64_t size, const uint64_t *bitmap, size_t bits,
      uint32_t options),
     (as, gpa, size, bitmap, bits, options))
WRAP(dirty_collect,
     (axas_t * as, axas_gpa_t gpa, uint64_t size, uint64_t *bitmap, size_t bits, uint32_t options,
      uint64_t *count),
     (as, gpa, size, bitmap, bits, options, count))
WRAP(dirty_mark, (axas_t * as, axas_gpa_t gpa, uint64_t size), (as, gpa, size))
WRAP_SOME(dirty_clear_some,
	  (axas_t * as, axas_gpa_t gpa, uint64_t size, const uint64_t *bitmap, size_t bits,
	   uint32_t options, uint64_t budget, uint64_t *done),
	  (as, gpa, size, bitmap, bits, options, budget, done))
WRAP_SOME(dirty_collect_some,
	  (axas_t * as, axas_gpa_t gpa, uint64_t size, uint64_t *bitmap, size_t bits,
	   uint32_t options, uint64_t *count, uint64_t budget, uint64_t *done),
	  (as, gpa, size, bitmap, bits, options, count, budget, done))
WRAP_SOME(dirty_stop_some,
	  (axas_t * as, axas_gpa_t gpa, uint64_t size, uint64_t budget, uint64_t *done),
	  (as, gpa, size, budget, done))
WRAP(map_linear, (axas_t * as, axas_gpa_t gpa, axas_hpa_t hpa, uint64_t size, axas_flags_t flags),
     (as, gpa, hpa, size, flags))
WRAP(map_extents,
     (axas_t * as, axas_gpa_t gpa, const axas_extent_t *extents, size_t count, axas_flags_t flags),
     (as, gpa, extents, count, flags))
/* A populated one that fails may have given back kept tables that lie in its range whole (docs/guarantees.md). */
axas_status_t __real_axas_map_alloc(axas_t *as, axas_gpa_t gpa, uint64_t size, axas_flags_t flags);
axas_status_t __wrap_axas_map_alloc(axas_t *as, axas_gpa_t gpa, uint64_t size, axas_flags_t flags);
axas_status_t __wrap_axas_map_alloc(axas_t *as, axas_gpa_t gpa, uint64_t size, axas_flags_t flags)
{
	struct guard g = begin(as, "map_alloc");
	const int may_drop_kept =
		g.s != NULL && (g.s->options & AXAS_KEEP_TABLES) && (flags & AXAS_POPULATE);
	struct kept kept_before = { 0 }, kept_after = { 0 };
	axas_status_t status;
	const char *why;

	if (may_drop_kept)
		kept_read(&kept_before, &g.s->walker);
	status = __real_axas_map_alloc(as, gpa, size, flags);
	if (may_drop_kept && status == AXAS_ERR_NO_MEMORY) {
		kept_read(&kept_after, &g.s->walker);
		why = kept_changed(&kept_before, &kept_after, gpa, size);
		if (why != NULL)
			host_violation(g.s->host, "map_alloc failed: %s", why);
		if (!g.s->host->quick && g.guest_out != g.s->host->guest_out)
			host_violation(g.s->host, "map_alloc kept or lost frames and failed");
		end(&g, 0);
	} else {
		end(&g, status != AXAS_OK);
	}
	kept_free(&kept_before);
	kept_free(&kept_after);
	return status;
}

WRAP(map_trap, (axas_t * as, axas_gpa_t gpa, uint64_t size, uint64_t cookie),
     (as, gpa, size, cookie))
WRAP(map_trap_flags,
     (axas_t * as, axas_gpa_t gpa, uint64_t size, uint64_t cookie, axas_flags_t flags),
     (as, gpa, size, cookie, flags))
WRAP(unmap, (axas_t * as, axas_gpa_t gpa, uint64_t size), (as, gpa, size))
WRAP(protect, (axas_t * as, axas_gpa_t gpa, uint64_t size, axas_flags_t flags),
     (as, gpa, size, flags))
/* What providers brought before one failed stays. */
axas_status_t __real_axas_populate(axas_t *as, axas_gpa_t gpa, uint64_t size);
axas_status_t __wrap_axas_populate(axas_t *as, axas_gpa_t gpa, uint64_t size);
axas_status_t __wrap_axas_populate(axas_t *as, axas_gpa_t gpa, uint64_t size)
{
	struct guard g = begin(as, "populate");
	const axas_status_t status = __real_axas_populate(as, gpa, size);

	end(&g, status != AXAS_OK && (g.s == NULL || g.s->host->hal.resolve == NULL));
	return status;
}

WRAP(discard, (axas_t * as, axas_gpa_t gpa, uint64_t size), (as, gpa, size))
WRAP(collect, (axas_t * as, axas_gpa_t gpa, uint64_t size), (as, gpa, size))
WRAP(stock, (axas_t * as, uint32_t frames), (as, frames))
WRAP(hide, (axas_t * as, axas_gpa_t gpa, uint64_t size, uint32_t options), (as, gpa, size, options))
WRAP(show, (axas_t * as, axas_gpa_t gpa, uint64_t size), (as, gpa, size))
WRAP(map_note, (axas_t * as, axas_gpa_t gpa, uint64_t size, uint32_t value, axas_flags_t flags),
     (as, gpa, size, value, flags))
WRAP_SOME(hide_some,
	  (axas_t * as, axas_gpa_t gpa, uint64_t size, uint32_t options, uint64_t budget,
	   uint64_t *done),
	  (as, gpa, size, options, budget, done))
WRAP_SOME(show_some, (axas_t * as, axas_gpa_t gpa, uint64_t size, uint64_t budget, uint64_t *done),
	  (as, gpa, size, budget, done))
WRAP_SOME(map_note_some,
	  (axas_t * as, axas_gpa_t gpa, uint64_t size, uint32_t value, axas_flags_t flags,
	   uint64_t budget, uint64_t *done),
	  (as, gpa, size, value, flags, budget, done))
WRAP(retag, (axas_t * as, axas_gpa_t gpa, uint64_t size, uint32_t tag), (as, gpa, size, tag))
WRAP_SOME(map_linear_some,
	  (axas_t * as, axas_gpa_t gpa, axas_hpa_t hpa, uint64_t size, axas_flags_t flags,
	   uint64_t budget, uint64_t *done),
	  (as, gpa, hpa, size, flags, budget, done))
WRAP_SOME(map_alloc_some,
	  (axas_t * as, axas_gpa_t gpa, uint64_t size, axas_flags_t flags, uint64_t budget,
	   uint64_t *done),
	  (as, gpa, size, flags, budget, done))
WRAP_SOME(unmap_some, (axas_t * as, axas_gpa_t gpa, uint64_t size, uint64_t budget, uint64_t *done),
	  (as, gpa, size, budget, done))
WRAP_SOME(protect_some,
	  (axas_t * as, axas_gpa_t gpa, uint64_t size, axas_flags_t flags, uint64_t budget,
	   uint64_t *done),
	  (as, gpa, size, flags, budget, done))
WRAP_SOME(populate_some,
	  (axas_t * as, axas_gpa_t gpa, uint64_t size, uint64_t budget, uint64_t *done),
	  (as, gpa, size, budget, done))
WRAP(map_provider,
     (axas_t * as, axas_gpa_t gpa, uint64_t size, axas_flags_t flags, uint32_t provider),
     (as, gpa, size, flags, provider))
WRAP(supply,
     (axas_t * as, axas_gpa_t gpa, axas_hpa_t hpa, uint64_t size, axas_flags_t flags, uint32_t how),
     (as, gpa, hpa, size, flags, how))
WRAP(evict, (axas_t * as, axas_gpa_t gpa, uint64_t size, uint32_t provider),
     (as, gpa, size, provider))
WRAP_SOME(evict_some,
	  (axas_t * as, axas_gpa_t gpa, uint64_t size, uint32_t provider, uint64_t budget,
	   uint64_t *done),
	  (as, gpa, size, provider, budget, done))
WRAP_SOME(discard_some,
	  (axas_t * as, axas_gpa_t gpa, uint64_t size, uint64_t budget, uint64_t *done),
	  (as, gpa, size, budget, done))
WRAP_SOME(collect_some,
	  (axas_t * as, axas_gpa_t gpa, uint64_t size, uint64_t budget, uint64_t *done),
	  (as, gpa, size, budget, done))
WRAP_SOME(retag_some,
	  (axas_t * as, axas_gpa_t gpa, uint64_t size, uint32_t tag, uint64_t budget,
	   uint64_t *done),
	  (as, gpa, size, tag, budget, done))
/* A copy reads one space and writes another. */
axas_status_t __real_axas_copy(axas_t *from, axas_gpa_t gpa, axas_t *to, axas_gpa_t to_gpa,
			       uint64_t size, const uint64_t *bitmap, size_t bits, uint64_t *done);
axas_status_t __wrap_axas_copy(axas_t *from, axas_gpa_t gpa, axas_t *to, axas_gpa_t to_gpa,
			       uint64_t size, const uint64_t *bitmap, size_t bits, uint64_t *done);
axas_status_t __wrap_axas_copy(axas_t *from, axas_gpa_t gpa, axas_t *to, axas_gpa_t to_gpa,
			       uint64_t size, const uint64_t *bitmap, size_t bits, uint64_t *done)
{
	struct guard g = begin(to, "copy");
	const axas_status_t status =
		__real_axas_copy(from, gpa, to, to_gpa, size, bitmap, bits, done);
	const struct space *other = from != to ? find(from) : NULL;

	if (other != NULL)
		space_check_no_window(other->host, "copy");
	end(&g, status == AXAS_ERR_INVALID_INPUT);
	return status;
}

WRAP(merge, (axas_t * as, axas_gpa_t gpa, uint64_t size, axas_flags_t flags, uint64_t *merged),
     (as, gpa, size, flags, merged))
WRAP_SOME(merge_some,
	  (axas_t * as, axas_gpa_t gpa, uint64_t size, axas_flags_t flags, uint64_t *merged,
	   uint64_t budget, uint64_t *done),
	  (as, gpa, size, flags, merged, budget, done))
/* The same over two spaces, of which one may be none. */
static struct guard begin_both(const axas_t *from, const axas_t *to, struct space **other)
{
	struct guard g = begin(from, "transfer");

	*other = to != from ? find(to) : NULL;
	if (g.s != NULL && *other != NULL && !g.s->host->quick) {
		take_snapshot(&(*other)->walker, &before);
		if ((*other)->host->hides)
			walker_visit_hidden(&(*other)->walker, host_mark_hidden, (*other)->host);
		if ((*other)->host != g.s->host) {
			g.tables_out += (*other)->host->tables_out;
			g.guest_out += (*other)->host->guest_out;
		}
	}
	return g;
}

static void end_both(struct guard *g, const struct space *other, int nothing_changed)
{
	uint64_t tables, guest;

	if (g->s == NULL || other == NULL) {
		end(g, nothing_changed);
		return;
	}
	space_check_no_window(g->s->host, g->name);
	space_check_no_window(other->host, g->name);
	if (g->s->host->quick)
		return;
	if (!nothing_changed) {
		const struct guard both = { .s = find(other->as), .name = g->name };

		check_counts(g);
		check_counts(&both);
		return;
	}
	after.count = 0;
	take_snapshot(&g->s->walker, &after);
	take_snapshot(&other->walker, &after);
	if (!snapshot_equal(&before, &after))
		host_violation(g->s->host, "%s changed tables and said it did not", g->name);
	tables = g->s->host->tables_out;
	guest = g->s->host->guest_out;
	if (other->host != g->s->host) {
		tables += other->host->tables_out;
		guest += other->host->guest_out;
	}
	if (g->tables_out != tables || g->guest_out != guest)
		host_violation(g->s->host, "%s kept or lost frames and failed", g->name);
}

axas_status_t __real_axas_transfer(axas_t *from, axas_gpa_t from_gpa, axas_t *to, axas_gpa_t to_gpa,
				   uint64_t size, const axas_transfer_t *t);
axas_status_t __wrap_axas_transfer(axas_t *from, axas_gpa_t from_gpa, axas_t *to, axas_gpa_t to_gpa,
				   uint64_t size, const axas_transfer_t *t);
axas_status_t __wrap_axas_transfer(axas_t *from, axas_gpa_t from_gpa, axas_t *to, axas_gpa_t to_gpa,
				   uint64_t size, const axas_transfer_t *t)
{
	struct space *other;
	struct guard g = begin_both(from, to, &other);
	const axas_status_t status = __real_axas_transfer(from, from_gpa, to, to_gpa, size, t);

	end_both(&g, other, status != AXAS_OK);
	return status;
}

axas_status_t __real_axas_transfer_some(axas_t *from, axas_gpa_t from_gpa, axas_t *to,
					axas_gpa_t to_gpa, uint64_t size, const axas_transfer_t *t,
					uint64_t budget, uint64_t *done);
axas_status_t __wrap_axas_transfer_some(axas_t *from, axas_gpa_t from_gpa, axas_t *to,
					axas_gpa_t to_gpa, uint64_t size, const axas_transfer_t *t,
					uint64_t budget, uint64_t *done);
axas_status_t __wrap_axas_transfer_some(axas_t *from, axas_gpa_t from_gpa, axas_t *to,
					axas_gpa_t to_gpa, uint64_t size, const axas_transfer_t *t,
					uint64_t budget, uint64_t *done)
{
	struct space *other;
	struct guard g = begin_both(from, to, &other);
	const axas_status_t status =
		__real_axas_transfer_some(from, from_gpa, to, to_gpa, size, t, budget, done);

	end_both(&g, other, status != AXAS_OK && (done == NULL || *done == 0));
	return status;
}

WRAP_LOOK(audit, (const axas_t *as), (as))
WRAP(set_vmid, (axas_t * as, uint32_t vmid), (as, vmid))
WRAP_LOOK(query, (const axas_t *as, axas_gpa_t gpa, axas_mapping_t *m), (as, gpa, m))
WRAP_LOOK(translate, (const axas_t *as, axas_gpa_t gpa, axas_hpa_t *hpa, uint64_t *run),
	  (as, gpa, hpa, run))
WRAP_LOOK(trap_cookie, (const axas_t *as, axas_gpa_t gpa, uint64_t *cookie), (as, gpa, cookie))
WRAP_LOOK(stats, (const axas_t *as, axas_stats_t *stats), (as, stats))
WRAP_LOOK(hw_regs, (const axas_t *as, axas_hw_regs_t *regs), (as, regs))

axas_fault_result_t __real_axas_handle_page_fault(axas_t *as, axas_gpa_t gpa, axas_flags_t access);
axas_fault_result_t __wrap_axas_handle_page_fault(axas_t *as, axas_gpa_t gpa, axas_flags_t access);
axas_fault_result_t __wrap_axas_handle_page_fault(axas_t *as, axas_gpa_t gpa, axas_flags_t access)
{
	struct guard g = begin(as, "handle_page_fault");
	const axas_fault_result_t verdict = __real_axas_handle_page_fault(as, gpa, access);

	if (g.s != NULL && call.flushes != 0)
		host_violation(g.s->host, "a fault asked for a flush that waits for other CPUs");
	end(&g, verdict != AXAS_FAULT_RESOLVED && verdict != AXAS_FAULT_RETRY);
	return verdict;
}

axas_fault_result_t __real_axas_handle_page_fault_at(axas_t *as, axas_gpa_t gpa,
						     axas_flags_t access, axas_mapping_t *found);
axas_fault_result_t __wrap_axas_handle_page_fault_at(axas_t *as, axas_gpa_t gpa,
						     axas_flags_t access, axas_mapping_t *found);
axas_fault_result_t __wrap_axas_handle_page_fault_at(axas_t *as, axas_gpa_t gpa,
						     axas_flags_t access, axas_mapping_t *found)
{
	struct guard g = begin(as, "handle_page_fault_at");
	const axas_fault_result_t verdict =
		__real_axas_handle_page_fault_at(as, gpa, access, found);

	if (g.s != NULL && call.flushes != 0)
		host_violation(g.s->host, "a fault asked for a flush that waits for other CPUs");
	end(&g, verdict != AXAS_FAULT_RESOLVED && verdict != AXAS_FAULT_RETRY);
	return verdict;
}

int space_replaces(axas_t *as)
{
	return __real_axas_map_trap_flags(as, 0, 0, 0, AXAS_REPLACE) != AXAS_ERR_UNSUPPORTED;
}

int space_collects(axas_t *as)
{
	return __real_axas_collect(as, 1, 0) != AXAS_ERR_UNSUPPORTED;
}

/* --- agreement ------------------------------------------------------------------------------- */

enum walk_memory space_memory(uint32_t format, uint32_t features, axas_flags_t flags)
{
	static const struct {
		axas_flags_t flag;
		enum walk_memory x86, arm, riscv;
	} types[] = {
		{ AXAS_DEVICE, MEM_UC, MEM_NGNRE, MEM_IO },
		{ AXAS_UNCACHED, MEM_UC, MEM_NC, MEM_NC },
		{ AXAS_WRITE_COMBINE, MEM_WC, MEM_NC, MEM_NC },
		{ AXAS_WRITE_THROUGH, MEM_WT, MEM_WT, MEM_PMA },
		{ AXAS_DEVICE_NGNRNE, MEM_UC, MEM_NGNRNE, MEM_IO },
		{ AXAS_DEVICE_NGRE, MEM_UC, MEM_NGRE, MEM_IO },
		{ AXAS_DEVICE_GRE, MEM_UC, MEM_GRE, MEM_IO },
	};
	const int riscv = format == AXAS_FORMAT_RISCV_GSTAGE;

	if (riscv && !(features & AXAS_FEATURE_RISCV_SVPBMT))
		return MEM_PMA;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (!(flags & types[i].flag))
			continue;
		if (format == AXAS_FORMAT_ARM_S2)
			return types[i].arm;
		return riscv ? types[i].riscv : types[i].x86;
	}
	return riscv ? MEM_PMA : MEM_WB;
}

uint32_t space_access(axas_flags_t flags)
{
	return flags & (AXAS_READ | AXAS_WRITE | AXAS_EXECUTE);
}

static void agree_leaf(const struct space *s, axas_gpa_t gpa, const struct walk *r,
		       const axas_mapping_t *m)
{
	uint64_t run = 0;
	axas_hpa_t hpa = 0;
	struct walk last;

	assert_true(m->state == AXAS_STATE_LINEAR || m->state == AXAS_STATE_OWNED);
	assert_int_equal(m->size, r->size);
	assert_int_equal(m->hpa + (gpa - m->gpa), r->hpa);
	assert_int_equal(space_access(m->flags), r->access);
	assert_int_equal(space_memory(s->walker.format, s->features, m->flags), r->memory);
	assert_int_equal(host_is_guest_frame(s->host, r->hpa), m->state == AXAS_STATE_OWNED);
	assert_int_equal(m->cookie, 0);
	assert_int_equal(tag_of(m->flags), r->tag);

	assert_int_equal(axas_translate(s->as, gpa, &hpa, &run), AXAS_OK);
	assert_int_equal(hpa, r->hpa);
	assert_true(run >= m->gpa + m->size - gpa);
	last = walker_walk(&s->walker, gpa + run - 1);
	assert_int_equal(last.outcome, WALK_LEAF);
	assert_int_equal(last.hpa, hpa + run - 1);
}

/* A page that no walker finds: hidden, or without any permission where the format has no such leaf. */
static void agree_hidden(const struct space *s, axas_gpa_t gpa, const struct walk *r,
			 const axas_mapping_t *m)
{
	axas_hpa_t hpa;

	if (m->state != AXAS_STATE_HIDDEN) {
		assert_true(m->state == AXAS_STATE_LINEAR || m->state == AXAS_STATE_OWNED);
		assert_int_equal(space_access(m->flags), 0);
		assert_int_equal(host_is_guest_frame(s->host, r->hpa),
				 m->state == AXAS_STATE_OWNED);
	}
	assert_int_equal(m->size, r->size);
	assert_int_equal(m->hpa + (gpa - m->gpa), r->hpa);
	assert_int_equal(m->cookie, 0);
	assert_int_equal(axas_translate(s->as, gpa, &hpa, NULL), AXAS_ERR_NOT_MAPPED);
}

axas_mapping_t space_agree(const axas_t *as, axas_gpa_t gpa)
{
	struct space *s = find(as);
	const struct walk r = space_walk(as, gpa);
	const axas_gpa_t end_of_space = axas_base(as) + (axas_size(as) - 1);
	axas_mapping_t m;
	axas_hpa_t hpa;

	memset(&m, 0xa5, sizeof(m));
	assert_int_equal(axas_query(as, gpa, &m), AXAS_OK);
	assert_true(m.gpa <= gpa && gpa - m.gpa < m.size);
	assert_int_equal(m.reserved0 | m.reserved[0] | m.reserved[1], 0);
	assert_int_equal(m.level, r.outcome == WALK_LEAF || r.is_hidden ? r.level : 0);
	if (r.outcome == WALK_LEAF) {
		agree_leaf(s, gpa, &r, &m);
	} else if (r.is_hidden) {
		agree_hidden(s, gpa, &r, &m);
	} else {
		const axas_gpa_t first = gpa & ~(r.size - 1);
		const axas_gpa_t from = first > axas_base(as) ? first : axas_base(as);
		const axas_gpa_t last = first + (r.size - 1);
		const axas_gpa_t to = last < end_of_space ? last : end_of_space;

		assert_int_equal(r.is_provided, m.state == AXAS_STATE_PROVIDED);
		if (r.is_provided)
			assert_int_equal(r.provider, m.cookie);
		assert_true(m.state == AXAS_STATE_ABSENT || m.state == AXAS_STATE_RESERVED ||
			    m.state == AXAS_STATE_TRAP || m.state == AXAS_STATE_NOTE ||
			    m.state == AXAS_STATE_PROVIDED);
		/* a hole over a table that was kept may be all of what the table can map */
		if (!(s->options & AXAS_KEEP_TABLES) || m.state != AXAS_STATE_ABSENT ||
		    m.size < to - from + 1) {
			assert_int_equal(m.gpa, from);
			assert_int_equal(m.size, to - from + 1);
		}
		assert_int_equal(m.hpa, AXAS_HPA_INVALID);
		if (m.state != AXAS_STATE_TRAP && m.state != AXAS_STATE_NOTE &&
		    m.state != AXAS_STATE_PROVIDED)
			assert_int_equal(m.cookie, 0);
		assert_int_equal(axas_translate(as, gpa, &hpa, NULL), AXAS_ERR_NOT_MAPPED);
	}
	return m;
}

/* What the spaces of a host count is what it has given them. */
static void check_balance(const struct host *h)
{
	uint64_t tables = 0, guest = 0;

	for (uint32_t i = 0; i < MOST_SPACES; i++) {
		axas_stats_t stats;

		if (spaces[i].as == NULL || spaces[i].host != h)
			continue;
		assert_int_equal(axas_stats(spaces[i].as, &stats), AXAS_OK);
		tables += stats.table_frames + spaces[i].handle_frames;
		guest += stats.guest_frames;
	}
	assert_int_equal(guest, h->guest_out);
	assert_int_equal(tables, h->tables_out);
}

struct sweep space_sweep(const axas_t *as)
{
	struct space *s = find(as);
	struct walker w = space_walker(as);
	struct wrong_count wrong;
	struct sweep sw;
	axas_stats_t stats;

	w.first = w.last = 0;
	walker_sweep(&w, &sw);
	if (sw.broken != 0)
		fail_msg("%llu broken entries, first: %s (%#llx at level %u)",
			 (unsigned long long)sw.broken, sw.why, (unsigned long long)sw.why_entry,
			 sw.why_level);
	if (!(s->options & AXAS_KEEP_TABLES))
		assert_int_equal(sw.empty_tables, 0);
	wrong = check_counts_of(&w, s->options);
	if (wrong.why != NULL)
		fail_msg("gpa %#llx: %s (entry %#llx, level %u)", (unsigned long long)wrong.gpa,
			 wrong.why, (unsigned long long)wrong.entry, wrong.level);
	assert_int_equal(axas_stats(as, &stats), AXAS_OK);
	assert_in_range(stats.table_frames, sw.table_frames, sw.table_frames + s->host->stocked);
	assert_int_equal(stats.mapped_4k, sw.leaves[1] + sw.hidden[1]);
	assert_int_equal(stats.mapped_2m, sw.leaves[2] + sw.hidden[2]);
	assert_int_equal(stats.mapped_1g, sw.leaves[3] + sw.hidden[3]);
	check_balance(s->host);
	/* through windows it is slow: once for each random sequence is enough */
	if (s->host->hal.release_virt == NULL)
		assert_int_equal(axas_audit(as), AXAS_OK);
	host_check(s->host);
	return sw;
}

/* Ageing begins with the first look that makes pages old. */
static void aged(const struct guard *g, axas_status_t status, uint32_t options)
{
	const int is_done = status == AXAS_OK || status == AXAS_ERR_AGAIN;

	if (g->s != NULL && is_done && !(options & AXAS_AGE_TEST))
		g->s->ages = g->s->walker.ages = 1;
}

axas_status_t __real_axas_age(axas_t *as, axas_gpa_t gpa, uint64_t size, uint64_t *bitmap,
			      size_t bits, uint32_t options, uint64_t *young);
axas_status_t __wrap_axas_age(axas_t *as, axas_gpa_t gpa, uint64_t size, uint64_t *bitmap,
			      size_t bits, uint32_t options, uint64_t *young);
axas_status_t __wrap_axas_age(axas_t *as, axas_gpa_t gpa, uint64_t size, uint64_t *bitmap,
			      size_t bits, uint32_t options, uint64_t *young)
{
	struct guard g = begin(as, "age");
	const axas_status_t status = __real_axas_age(as, gpa, size, bitmap, bits, options, young);

	aged(&g, status, options);
	end(&g, (status != AXAS_OK && status != AXAS_ERR_BAD_STATE) || options & AXAS_AGE_TEST);
	return status;
}

axas_status_t __real_axas_age_some(axas_t *as, axas_gpa_t gpa, uint64_t size, uint64_t *bitmap,
				   size_t bits, uint32_t options, uint64_t *young, uint64_t budget,
				   uint64_t *done);
axas_status_t __wrap_axas_age_some(axas_t *as, axas_gpa_t gpa, uint64_t size, uint64_t *bitmap,
				   size_t bits, uint32_t options, uint64_t *young, uint64_t budget,
				   uint64_t *done);
axas_status_t __wrap_axas_age_some(axas_t *as, axas_gpa_t gpa, uint64_t size, uint64_t *bitmap,
				   size_t bits, uint32_t options, uint64_t *young, uint64_t budget,
				   uint64_t *done)
{
	struct guard g = begin(as, "age_some");
	const axas_status_t status =
		__real_axas_age_some(as, gpa, size, bitmap, bits, options, young, budget, done);

	aged(&g, status, options);
	end(&g, status != AXAS_OK && (done == NULL || *done == 0));
	return status;
}

/* A stop over all of the space ends it. */
axas_status_t __real_axas_age_stop(axas_t *as, axas_gpa_t gpa, uint64_t size);
axas_status_t __wrap_axas_age_stop(axas_t *as, axas_gpa_t gpa, uint64_t size);
axas_status_t __wrap_axas_age_stop(axas_t *as, axas_gpa_t gpa, uint64_t size)
{
	struct guard g = begin(as, "age_stop");
	const axas_status_t status = __real_axas_age_stop(as, gpa, size);

	if (status == AXAS_OK && g.s != NULL && gpa == axas_base(as) && size == axas_size(as))
		g.s->ages = g.s->walker.ages = 0;
	end(&g, status != AXAS_OK);
	return status;
}

WRAP_SOME(age_stop_some,
	  (axas_t * as, axas_gpa_t gpa, uint64_t size, uint64_t budget, uint64_t *done),
	  (as, gpa, size, budget, done))
