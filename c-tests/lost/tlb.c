/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "tlb.h"

#define BIT(n)          (1ull << (n))
#define BITS(high, low) ((~0ull >> (63 - (high))) & (~0ull << (low)))

/* An invalid entry that is cached, on RISC-V or by a device: no valid entry looks so. */
#define CACHED_INVALID 16ull
/* The same, wrong since an earlier call: of another CPU, or a fault. This CPU repairs it by faulting. */
#define CACHED_OLD     32ull

_Thread_local uint32_t tlb_this_cpu;

/* The library passes the host; one test runs at a time. The caches of each of its spaces. */
static struct tlb *attached[2];

uint64_t entry_size(uint32_t level)
{
	return BIT(12 + 9 * (level - 1));
}

static struct entry invalid(void)
{
	return (struct entry){ .kind = ENTRY_INVALID };
}

static struct entry valid(int is_leaf, uint64_t address, uint32_t access, uint64_t memory)
{
	return (struct entry){
		.kind = is_leaf ? ENTRY_LEAF : ENTRY_TABLE,
		.address = address,
		.access = access,
		.memory = memory,
	};
}

static uint64_t accessed(uint32_t format)
{
	return format == AXAS_FORMAT_EPT    ? BIT(8) :
	       format == AXAS_FORMAT_NPT    ? BIT(5) :
	       format == AXAS_FORMAT_ARM_S2 ? BIT(10) :
					      BIT(6);
}

static struct entry decode_valid(uint32_t format, uint32_t level, uint64_t word)
{
	const uint64_t at = word & BITS(51, 12);
	const uint32_t low = (uint32_t)word;

	if (format == AXAS_FORMAT_EPT) {
		if ((low & 7) == 0)
			return invalid();
		return valid(level == 1 || (low & BIT(7)), at, low & 7, word & BITS(5, 3));
	}
	if (!(word & 1))
		return invalid();
	if (format == AXAS_FORMAT_NPT)
		return valid(level == 1 || (low & BIT(7)), at,
			     WALK_R | (low & WALK_W) | ((word >> 63) ? 0u : (uint32_t)WALK_X),
			     word & BITS(4, 3));
	if (format == AXAS_FORMAT_ARM_S2)
		return valid(level == 1 || !(low & 2), word & BITS(47, 12),
			     ((low >> 6) & 3) | ((word & BITS(54, 53)) ? 0u : (uint32_t)WALK_X),
			     word & (BITS(5, 2) | BITS(9, 8)));
	return valid((low & 14) != 0, (word & BITS(53, 10)) << 2, (low >> 1) & 7,
		     word & BITS(62, 61));
}

struct entry entry_decode(uint32_t format, uint32_t level, uint64_t word)
{
	struct entry e = decode_valid(format, level, word);

	if (e.kind == ENTRY_LEAF || (e.kind == ENTRY_TABLE && format <= AXAS_FORMAT_NPT))
		e.young = (word & accessed(format)) != 0;
	return e;
}

/*
 * An entry as a CPU uses it that cached it: it can be written without another look at the tables where its gate is
 * open and, if hardware sets dirty bits, its dirty bit is set.
 */
static struct entry decode(const struct tlb *t, uint32_t level, uint64_t word)
{
	const uint64_t dirty = t->walker.format == WALK_EPT ? BIT(9) :
			       t->walker.format == WALK_NPT ? BIT(6) :
							      BIT(7);
	const int needs_dirty = t->walker.format == WALK_RISCV || t->walker.log == LOG_HARDWARE;
	struct entry e = entry_decode(t->walker.format, level, word);

	if (e.kind == ENTRY_LEAF && needs_dirty && !(word & dirty))
		e.access &= ~(uint32_t)WALK_W;
	return e;
}

/* What it lets through without a fault: where hardware sets dirty bits, writes to clean pages too. */
static uint32_t allows(const struct tlb *t, uint32_t level, uint64_t word)
{
	if (t->walker.log != LOG_HARDWARE)
		return decode(t, level, word).access;
	return entry_decode(t->walker.format, level, word).access |
	       (t->walker.format == WALK_ARM && word & BIT(51) ? (uint32_t)WALK_W : 0);
}

static uint32_t caches(const struct tlb *t)
{
	return TLB_CPUS + (t->has_device ? 1u : 0u);
}

/* --- the caches ------------------------------------------------------------------------------ */

static uint64_t hash(axas_gpa_t gpa, uint32_t level, uint64_t room)
{
	return (((gpa >> 12) + level) * 0x9e3779b97f4a7c15ull >> 20) % room;
}

static void grow(struct tlb_cpu *c)
{
	struct tlb_table **old = c->table;
	const uint64_t old_room = c->room;

	c->room = old_room == 0 ? 256 : 4 * old_room;
	c->table = calloc(c->room, sizeof(*c->table));
	if (c->table == NULL)
		abort();
	for (uint64_t i = 0; i < old_room; i++) {
		uint64_t at;

		if (old[i] == NULL)
			continue;
		at = hash(old[i]->gpa, old[i]->level, c->room);
		while (c->table[at] != NULL)
			at = (at + 1) % c->room;
		c->table[at] = old[i];
	}
	free(old);
}

static struct tlb_table *find(const struct tlb_cpu *c, axas_gpa_t gpa, uint32_t level)
{
	uint64_t at;

	if (c->room == 0)
		return NULL;
	at = hash(gpa, level, c->room);
	while (c->table[at] != NULL && (c->table[at]->gpa != gpa || c->table[at]->level != level))
		at = (at + 1) % c->room;
	return c->table[at];
}

static struct tlb_table *find_or_add(struct tlb_cpu *c, axas_gpa_t gpa, uint32_t level)
{
	struct tlb_table *t = find(c, gpa, level);
	uint64_t at;

	if (t != NULL)
		return t;
	if (2 * c->count >= c->room)
		grow(c);
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		abort();
	t->gpa = gpa;
	t->level = level;
	at = hash(gpa, level, c->room);
	while (c->table[at] != NULL)
		at = (at + 1) % c->room;
	c->table[at] = t;
	c->count++;
	return t;
}

static void empty_caches(struct tlb *t)
{
	for (uint32_t k = 0; k <= TLB_DEVICE; k++) {
		for (uint64_t i = 0; i < t->cpu[k].room; i++)
			free(t->cpu[k].table[i]);
		free(t->cpu[k].table);
		t->cpu[k] = (struct tlb_cpu){ 0 };
	}
	memset(t->held, 0, t->host->pool_bytes / PAGE * sizeof(*t->held));
}

/* Counts an entry that comes into a cache or leaves it. */
static void hold(struct tlb *t, uint32_t level, uint64_t word, uint32_t change)
{
	const struct entry e = decode(t, level, word);
	const uint64_t pages = e.kind == ENTRY_TABLE ? 1 : entry_size(level) / PAGE;

	if (e.kind == ENTRY_INVALID || host_at(t->host, e.address) == NULL)
		return;
	for (uint64_t i = 0; i < pages; i++)
		t->held[(e.address - t->host->pa_base) / PAGE + i] += change;
}

/* --- looking at the tables ------------------------------------------------------------------- */

static uint64_t load(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

/* Arm: what may not change from one valid entry to another without an invalid one between. */
static void check_break(const struct tlb *t, axas_gpa_t gpa, const struct entry *old,
			const struct entry *new)
{
	const int kinds = old->kind != new->kind;
	const int differs = old->address != new->address ||
			    (old->kind == ENTRY_LEAF && old->memory != new->memory);

	if (t->walker.format != WALK_ARM || old->kind == ENTRY_INVALID)
		return;
	if ((kinds && t->breaks_first) || (!kinds && differs))
		host_violation(t->host, "gpa %#llx: no break before make", (unsigned long long)gpa);
}

/* What is linked is out, and out as what it is used for. */
static void check_out(const struct tlb *t, axas_gpa_t gpa, const struct entry *e)
{
	const struct host_frame *f = host_frame_at(t->host, e->address);
	const uint8_t purpose = e->kind == ENTRY_TABLE ? AXAS_FRAME_TABLE : AXAS_FRAME_GUEST;

	if (e->kind == ENTRY_LEAF &&
	    (f == NULL || e->address - t->host->pa_base - HOST_LINEAR < HOST_LINEAR_BYTES))
		return;
	if (f == NULL || f->state == HOST_FRAME_FREE || f->purpose != purpose)
		host_violation(t->host, "gpa %#llx leads to frame %#llx, which is not out",
			       (unsigned long long)gpa, (unsigned long long)e->address);
}

/* Invalid entries come as CACHED_INVALID. */
static void remember(struct tlb *t, struct tlb_table *c, uint32_t index, uint64_t word)
{
	const axas_gpa_t gpa = c->gpa + index * entry_size(c->level);
	const struct entry e = decode(t, c->level, word);
	uint32_t slot = 0;

	while (slot < TLB_SLOTS && c->word[slot][index] != 0) {
		struct entry old;

		if (c->word[slot][index] == word)
			return;
		old = decode(t, c->level, c->word[slot][index]);
		if (e.kind != ENTRY_INVALID)
			check_break(t, gpa, &old, &e);
		slot++;
	}
	if (e.kind != ENTRY_INVALID)
		check_out(t, gpa, &e);
	/* the oldest ones are those that go wrong */
	if (slot == TLB_SLOTS)
		hold(t, c->level, c->word[--slot][index], ~0u);
	else
		c->used++;
	c->word[slot][index] = word;
	hold(t, c->level, word, 1);
}

static void remember_table(struct tlb *t, axas_gpa_t gpa, uint32_t level, const uint64_t *words)
{
	const uint64_t valid_bits = t->walker.format == WALK_EPT ? 7 : 1;
	uint64_t from, to;

	walker_seen(&t->walker, level, gpa, 512, &from, &to);
	for (uint32_t k = 0; k < caches(t); k++) {
		const int keeps_invalid =
			k == TLB_DEVICE ? t->device_keeps_invalid : t->keeps_invalid;
		struct tlb_table *c = find_or_add(&t->cpu[k], gpa, level);

		for (uint32_t i = (uint32_t)from; i < to; i++) {
			uint64_t word = load(&words[i]);

			if (!(word & valid_bits)) {
				if (!keeps_invalid)
					continue;
				word = CACHED_INVALID;
			}
			if (word != c->word[0][i])
				remember(t, c, i, word);
		}
	}
}

/* A position in the tables: 512 entries at a time, larger roots in pieces. */
struct place {
	axas_gpa_t gpa;
	const uint64_t *words;
	uint64_t next, end;
};

static struct place place_at(struct tlb *t, axas_gpa_t gpa, uint32_t level, const uint64_t *words)
{
	struct place p = { .gpa = gpa, .words = words };

	walker_seen(&t->walker, level, gpa, 512, &p.next, &p.end);
	remember_table(t, gpa, level, words);
	return p;
}

static const uint64_t *words_at(const struct tlb *t, axas_hpa_t pa)
{
	return host_seen_by_walkers(t->host, pa);
}

static void look_below(struct tlb *t, axas_gpa_t gpa, const uint64_t *root)
{
	struct place stack[6];
	uint32_t level = t->walker.levels;

	stack[level] = place_at(t, gpa, level, root);
	while (level <= t->walker.levels) {
		struct place *p = &stack[level];
		const uint64_t at = p->gpa + p->next * entry_size(level);
		struct entry e;

		if (p->next == p->end || level == 1) {
			level++;
			continue;
		}
		e = decode(t, level, load(&p->words[p->next++]));
		if (e.kind != ENTRY_TABLE || words_at(t, e.address) == NULL)
			continue;
		level--;
		stack[level] = place_at(t, at, level, words_at(t, e.address));
	}
}

/* Every CPU caches all it can. */
static void look(struct tlb *t)
{
	const uint64_t *root = words_at(t, t->walker.root);

	if (!t->watching)
		return;
	for (uint64_t i = 0; i < t->walker.root_entries; i += 512) {
		const axas_gpa_t gpa = i * entry_size(t->walker.levels);
		const uint64_t left = t->walker.root_entries - i;
		uint64_t words[512] = { 0 }, from, to;

		walker_seen(&t->walker, t->walker.levels, gpa, left < 512 ? left : 512, &from, &to);
		for (uint64_t n = from; n < to; n++)
			words[n] = load(&root[i + n]);
		if (from < to)
			look_below(t, gpa, words);
	}
}

/* --- a device in the middle of a call -------------------------------------------------------- */

static struct tlb_found found_at(const struct tlb *t, axas_gpa_t gpa)
{
	const struct walk r = walker_walk(&t->walker, gpa);

	if (r.outcome != WALK_LEAF)
		return (struct tlb_found){ 0 };
	return (struct tlb_found){ 1, r.hpa, decode(t, r.level, r.entry).memory, r.access };
}

static int is_found(const struct tlb_found *a, const struct tlb_found *b)
{
	return a->is_leaf == b->is_leaf && a->hpa == b->hpa && a->memory == b->memory &&
	       a->access == b->access;
}

void tlb_sight(struct tlb *t, axas_gpa_t gpa)
{
	struct tlb_sight *s = &t->sight[t->sights];

	if (!t->has_device || t->sights == TLB_SIGHTS || (gpa >> t->walker.gpa_bits) != 0)
		return;
	*s = (struct tlb_sight){ .gpa = gpa, .before = found_at(t, gpa) };
	t->sights++;
}

static void look_as_device(struct tlb *t)
{
	for (uint32_t i = 0; i < t->sights; i++) {
		struct tlb_sight *s = &t->sight[i];
		const struct tlb_found now = found_at(t, s->gpa);
		const struct tlb_found *last = s->others ? &s->other : &s->before;

		if (is_found(&now, last))
			continue;
		s->had_hole |= last->is_leaf && !now.is_leaf;
		s->other = now;
		s->others++;
	}
	t->device_looks++;
}

void tlb_end_sights(struct tlb *t)
{
	look_as_device(t);
	for (uint32_t i = 0; i < t->sights; i++) {
		const struct tlb_sight *s = &t->sight[i];
		const int is_there = s->before.is_leaf && s->others && s->other.is_leaf;

		if (s->had_hole && is_there && !t->device_may_fault)
			host_violation(t->host, "gpa %#llx: a device found a hole in the middle",
				       (unsigned long long)s->gpa);
		else if (s->others > 1 && !(s->had_hole && t->device_may_fault))
			host_violation(t->host, "gpa %#llx: a device found what never was",
				       (unsigned long long)s->gpa);
	}
	t->sights = 0;
}

/* --- requests -------------------------------------------------------------------------------- */

/*
 * A leaf goes when the request covers all of it: the library promises that, and a host may go
 * through the range in steps of a page.
 */
static int goes(const struct tlb *t, uint32_t level, axas_gpa_t gpa, uint64_t word,
		const axas_tlb_request_t *q)
{
	const struct entry e = decode(t, level, word);
	const axas_gpa_t last = q->gpa + (q->size - 1);

	if (e.kind == ENTRY_TABLE)
		return q->tables_removed != 0;
	if (e.kind == ENTRY_INVALID)
		return 1;
	return (q->level == 0 || q->level == level) && q->gpa <= gpa &&
	       gpa + (entry_size(level) - 1) <= last;
}

static void forget_in(struct tlb *t, struct tlb_table *c, const axas_tlb_request_t *q)
{
	const uint64_t size = entry_size(c->level);
	const axas_gpa_t last = q->gpa + (q->size - 1);

	if (c->used == 0 || c->gpa > last || c->gpa + (512 * size - 1) < q->gpa)
		return;
	for (uint32_t i = 0; i < 512; i++) {
		const axas_gpa_t gpa = c->gpa + i * size;
		uint32_t kept = 0;

		if (gpa > last || gpa + (size - 1) < q->gpa)
			continue;
		for (uint32_t s = 0; s < TLB_SLOTS && c->word[s][i] != 0; s++) {
			const uint64_t word = c->word[s][i];

			c->word[s][i] = 0;
			if (!goes(t, c->level, gpa, word, q)) {
				c->word[kept++][i] = word;
				continue;
			}
			c->used--;
			hold(t, c->level, word, ~0u);
		}
	}
}

static void forget(struct tlb *t, const axas_tlb_request_t *q)
{
	for (uint32_t k = 0; k < caches(t); k++) {
		if (q->scope == AXAS_SCOPE_LOCAL && k != tlb_this_cpu)
			continue;
		for (uint64_t i = 0; i < t->cpu[k].room; i++)
			if (t->cpu[k].table[i] != NULL)
				forget_in(t, t->cpu[k].table[i], q);
	}
}

static void flush_one(struct tlb *t, const axas_tlb_request_t *q)
{
	pthread_mutex_lock(&t->lock);
	look_as_device(t);
	if (t->in_flush != NULL)
		t->in_flush(t, q);
	if (q->scope == AXAS_SCOPE_ALL)
		t->requests_all++;
	look(t);
	forget(t, q);
	look(t);
	t->looked = 0;
	pthread_mutex_unlock(&t->lock);
}

static void tlb_flush(void *ctx, const axas_tlb_request_t *q)
{
	uint32_t watching = 0, told = 0;

	attached[0]->host_hal.tlb_flush(ctx, q);
	/* The CPUs of the other space have not waited. */
	for (uint32_t i = 0; i < 2; i++)
		if (attached[i] != NULL && q->vmid != attached[i]->vmid)
			look(attached[i]);
	for (uint32_t i = 0; i < 2; i++) {
		struct tlb *t = attached[i];

		if (t == NULL || !t->watching)
			continue;
		watching++;
		if (q->vmid != t->vmid)
			continue;
		told++;
		flush_one(t, q);
	}
	if (watching > told && told == 0)
		host_violation(attached[0]->host, "flush of VMID %u, which no space has", q->vmid);
}

static void clean_range(void *ctx, void *va, size_t size, uint32_t purpose)
{
	attached[0]->host_hal.clean_range(ctx, va, size, purpose);
	for (uint32_t i = 0; i < 2; i++)
		if (purpose == AXAS_FRAME_TABLE && attached[i] != NULL && attached[i]->watching)
			look_as_device(attached[i]);
}

/* --- frames and runs that go back ------------------------------------------------------------ */

static void frame_goes_back(struct tlb *t, axas_hpa_t pa, uint32_t order, uint32_t purpose)
{
	pthread_mutex_lock(&t->lock);
	if (purpose == AXAS_FRAME_GUEST)
		t->frames_back += BIT(order);
	if (t->watching)
		look_as_device(t);
	if (!t->looked)
		look(t);
	t->looked = 1;
	for (uint64_t i = 0; t->watching && host_at(t->host, pa) != NULL && i < BIT(order); i++)
		if (t->held[(pa - t->host->pa_base) / PAGE + i]) {
			host_violation(t->host, "frame %#llx went back while a CPU may use it",
				       (unsigned long long)(pa + i * PAGE));
			break;
		}
	/* nobody has the root of a space loaded that ends */
	if (pa == t->walker.root)
		t->watching = 0;
	pthread_mutex_unlock(&t->lock);
}

static void dealloc_frame(void *ctx, axas_hpa_t pa, uint32_t order, uint32_t purpose)
{
	for (uint32_t i = 0; i < 2; i++)
		if (attached[i] != NULL)
			frame_goes_back(attached[i], pa, order, purpose);
	attached[0]->host_hal.dealloc_frame(ctx, pa, order, purpose);
}

static int table_may_lead_to(const struct tlb *t, const struct tlb_table *c,
			     const axas_mapping_t *run)
{
	const uint64_t size = entry_size(c->level);
	const axas_gpa_t last = run->gpa + (run->size - 1);

	if (c->gpa > last || c->gpa + (512 * size - 1) < run->gpa)
		return 0;
	for (uint32_t n = 0; n < TLB_SLOTS * 512; n++) {
		const uint64_t word = c->word[n / 512][n % 512];
		const axas_gpa_t gpa = c->gpa + (n % 512) * size;
		const struct entry e = decode(t, c->level, word);

		if (gpa + (size - 1) >= run->gpa && gpa <= last && e.kind == ENTRY_LEAF &&
		    e.address - gpa == run->hpa - run->gpa)
			return 1;
	}
	return 0;
}

/* Some CPU may use a translation of the run, as it was. */
static int may_be_used(const struct tlb *t, const axas_mapping_t *run)
{
	for (uint32_t k = 0; k < caches(t); k++)
		for (uint64_t i = 0; i < t->cpu[k].room; i++) {
			const struct tlb_table *c = t->cpu[k].table[i];

			if (c != NULL && c->used != 0 && table_may_lead_to(t, c, run))
				return 1;
		}
	return 0;
}

static void note_run(struct tlb *t, const axas_mapping_t *run)
{
	pthread_mutex_lock(&t->lock);
	if (t->watching && may_be_used(t, run))
		host_violation(t->host, "gpa %#llx was released while a CPU may use it",
			       (unsigned long long)run->gpa);
	if (t->runs == t->run_room) {
		t->run_room = t->run_room == 0 ? 256 : 2 * t->run_room;
		t->run = realloc(t->run, t->run_room * sizeof(*t->run));
		if (t->run == NULL)
			abort();
	}
	t->run[t->runs++] = *run;
	pthread_mutex_unlock(&t->lock);
}

/* It does not say of which space; where there are two, they have nothing at the same address. */
static void released(void *ctx, const axas_mapping_t *run)
{
	for (uint32_t i = 0; i < 2; i++)
		if (attached[i] != NULL)
			note_run(attached[i], run);
	attached[0]->host_hal.released(ctx, run);
}

/* --- after a call ---------------------------------------------------------------------------- */

struct settled {
	axas_gpa_t gpa, last;
	int has_range, may_grant;
	uint32_t cpu;
};

static int is_concerned(const struct settled *s, axas_gpa_t gpa, uint64_t size)
{
	return s->has_range && gpa <= s->last && gpa + (size - 1) >= s->gpa;
}

static void check_cached_invalid(const struct tlb *t, const struct settled *s, axas_gpa_t gpa,
				 uint64_t size, uint64_t *word)
{
	axas_gpa_t at = gpa;

	if (is_concerned(s, gpa, size) && s->gpa > gpa)
		at = s->gpa;
	if (walker_walk(&t->walker, at).outcome != WALK_LEAF)
		return;
	if (s->cpu == TLB_DEVICE) {
		if (t->expects_new && s->has_range && at >= s->gpa && at <= s->last)
			host_violation(t->host, "gpa %#llx is mapped, and a device may not see it",
				       (unsigned long long)at);
		return;
	}
	if (*word == CACHED_INVALID && s->cpu == tlb_this_cpu && at >= s->gpa && at <= s->last &&
	    s->has_range)
		host_violation(t->host, "gpa %#llx is mapped, and this CPU may say that it is not",
			       (unsigned long long)at);
	*word = CACHED_OLD;
}

static void check_cached_leaf(const struct tlb *t, const struct settled *s, axas_gpa_t gpa,
			      uint64_t size, const struct entry *e)
{
	const int local = s->cpu == tlb_this_cpu && is_concerned(s, gpa, size);
	const int repairs_itself = t->walker.format == WALK_EPT || t->walker.format == WALK_NPT;
	axas_gpa_t at = gpa;

	while (at <= gpa + (size - 1)) {
		const struct walk r = walker_walk(&t->walker, at);
		const struct entry now = decode(t, r.level, r.entry);

		if (r.outcome != WALK_LEAF || r.hpa != e->address + (at - gpa) ||
		    (e->access & ~now.access) || e->memory != now.memory) {
			host_violation(t->host, "gpa %#llx: CPU %u may use a stale translation",
				       (unsigned long long)at, s->cpu);
			return;
		}
		if (t->walker.ages && e->young && !now.young)
			host_violation(t->host, "gpa %#llx: CPU %u may use an old page unseen",
				       (unsigned long long)at, s->cpu);
		if (s->cpu == TLB_DEVICE && r.access != e->access)
			host_violation(t->host, "gpa %#llx: a device may miss a permission",
				       (unsigned long long)at);
		if (local && s->may_grant && !repairs_itself && at >= s->gpa && at <= s->last &&
		    now.access != e->access)
			host_violation(t->host, "gpa %#llx: this CPU may miss a permission",
				       (unsigned long long)at);
		if (t->walker.format == WALK_ARM && t->breaks_first && r.size != size)
			host_violation(t->host, "gpa %#llx: two sizes of page in one TLB",
				       (unsigned long long)at);
		at = (at | (r.size - 1)) + 1;
		if (at == 0)
			return;
	}
}

/* The 512 entries that stand at this place now, or null. */
static const uint64_t *now_at(const struct tlb *t, axas_gpa_t gpa, uint32_t level)
{
	const uint64_t *words = words_at(t, t->walker.root);

	for (uint32_t l = t->walker.levels; l > level; l--) {
		const uint64_t entries = l == t->walker.levels ? t->walker.root_entries : 512;
		const uint64_t index = gpa / entry_size(l) % entries;
		const struct entry e = decode(t, l, load(&words[index]));

		if (e.kind != ENTRY_TABLE)
			return NULL;
		words = words_at(t, e.address);
		if (words == NULL)
			return NULL;
	}
	return level == t->walker.levels ? words + gpa / entry_size(level) : words;
}

static void settle_entry(const struct tlb *t, const struct settled *s, struct tlb_table *c,
			 uint32_t index, const uint64_t *now)
{
	const axas_gpa_t gpa = c->gpa + index * entry_size(c->level);

	for (uint32_t slot = 0; slot < TLB_SLOTS && c->word[slot][index] != 0; slot++) {
		const uint64_t word = c->word[slot][index];
		const struct entry e = decode(t, c->level, word);
		struct entry is;

		if (now != NULL && word == load(&now[index]))
			continue;
		if (e.kind == ENTRY_INVALID) {
			/* most of them stay invalid */
			if (now == NULL ||
			    decode(t, c->level, load(&now[index])).kind != ENTRY_INVALID)
				check_cached_invalid(t, s, gpa, entry_size(c->level),
						     &c->word[slot][index]);
			continue;
		}
		if (e.kind == ENTRY_LEAF) {
			check_cached_leaf(t, s, gpa, entry_size(c->level), &e);
			continue;
		}
		is = now != NULL ? decode(t, c->level, load(&now[index])) : invalid();
		if (is.kind != ENTRY_TABLE || is.address != e.address)
			host_violation(t->host, "gpa %#llx: CPU %u may walk a table that went",
				       (unsigned long long)gpa, s->cpu);
		else if (t->walker.ages && e.young && !is.young)
			host_violation(t->host, "gpa %#llx: CPU %u may use an old table unseen",
				       (unsigned long long)gpa, s->cpu);
	}
}

static void settle_table(const struct tlb *t, const struct settled *s, struct tlb_table *c)
{
	uint64_t entries = 512, from, to;
	const uint64_t *now;

	if (c->level == t->walker.levels && t->walker.root_entries < 512)
		entries = t->walker.root_entries;
	walker_seen(&t->walker, c->level, c->gpa, entries, &from, &to);
	if (from >= to)
		return;
	now = now_at(t, c->gpa, c->level);
	for (uint32_t i = (uint32_t)from; i < to; i++) {
		if (c->word[0][i] == 0)
			continue;
		if (now != NULL && c->word[1][i] == 0 && c->word[0][i] == load(&now[i]))
			continue;
		settle_entry(t, s, c, i, now);
	}
}

static void settle(struct tlb *t, axas_gpa_t gpa, uint64_t size, int may_grant)
{
	struct settled s = { gpa, size == 0 ? gpa : gpa + (size - 1), size != 0, may_grant, 0 };

	pthread_mutex_lock(&t->lock);
	look(t);
	for (s.cpu = 0; t->watching && s.cpu < caches(t); s.cpu++)
		for (uint64_t i = 0; i < t->cpu[s.cpu].room; i++)
			if (t->cpu[s.cpu].table[i] != NULL && t->cpu[s.cpu].table[i]->used != 0)
				settle_table(t, &s, t->cpu[s.cpu].table[i]);
	t->looked = 0;
	pthread_mutex_unlock(&t->lock);
}

void tlb_settle(struct tlb *t, axas_gpa_t gpa, uint64_t size)
{
	settle(t, gpa, size, 1);
}

void tlb_settle_taken_in(struct tlb *t, axas_gpa_t gpa, uint64_t size)
{
	settle(t, gpa, size, 0);
}

int tlb_may_fault(struct tlb *t, axas_gpa_t gpa, axas_flags_t access)
{
	const struct walk r = walker_walk(&t->walker, gpa);
	const uint32_t now = r.opens ? r.access : r.access & ~(uint32_t)WALK_W;
	int faults = r.outcome != WALK_LEAF || (access & ~now) != 0;

	pthread_mutex_lock(&t->lock);
	for (uint32_t level = 1; level <= t->walker.levels && !faults; level++) {
		const uint64_t size = entry_size(level);
		const struct tlb_table *c =
			find(&t->cpu[tlb_this_cpu], gpa & ~(512 * size - 1), level);

		for (uint32_t s = 0; c != NULL && s < TLB_SLOTS; s++) {
			const uint64_t word = c->word[s][gpa / size % 512];
			const struct entry e = decode(t, level, word);

			if (word != 0 && e.kind != ENTRY_TABLE &&
			    (access & ~allows(t, level, word)))
				faults = 1;
		}
	}
	pthread_mutex_unlock(&t->lock);
	return faults;
}

int tlb_writes_silently(const struct tlb *t, axas_gpa_t gpa, uint32_t cpu)
{
	for (uint32_t level = 1; level <= 3; level++) {
		const uint64_t size = entry_size(level);
		const struct tlb_table *c = find(&t->cpu[cpu], gpa & ~(512 * size - 1), level);

		for (uint32_t s = 0; c != NULL && s < TLB_SLOTS; s++) {
			const uint64_t word = c->word[s][gpa / size % 512];
			const struct entry e = decode(t, level, word);

			if (word != 0 && e.kind == ENTRY_LEAF && (e.access & WALK_W))
				return 1;
		}
	}
	return 0;
}

void tlb_visit_writable(const struct tlb *t,
			void (*visit)(void *ctx, axas_hpa_t hpa, uint64_t size), void *ctx)
{
	for (uint32_t k = 0; k < TLB_CPUS; k++)
		for (uint64_t i = 0; i < t->cpu[k].room; i++) {
			const struct tlb_table *c = t->cpu[k].table[i];

			for (uint32_t n = 0; c != NULL && c->used != 0 && n < TLB_SLOTS * 512;
			     n++) {
				const uint64_t word = c->word[n / 512][n % 512];
				const struct entry e = decode(t, c->level, word);

				if (word != 0 && e.kind == ENTRY_LEAF && (e.access & WALK_W))
					visit(ctx, e.address, entry_size(c->level));
			}
		}
}

/* This CPU holds the entry of a table, or of a page, with its accessed bit. */
static int is_held_young(const struct tlb *t, axas_gpa_t gpa, uint32_t level,
			 const struct entry *now)
{
	const uint64_t size = entry_size(level);
	const struct tlb_table *c = find(&t->cpu[tlb_this_cpu], gpa & ~(512 * size - 1), level);

	for (uint32_t s = 0; c != NULL && s < TLB_SLOTS; s++) {
		const uint64_t word = c->word[s][gpa / size % 512];
		const struct entry e = decode(t, level, word);

		if (word != 0 && e.young && e.kind == now->kind && e.address == now->address)
			return 1;
	}
	return 0;
}

/* Hardware sets a bit of a word: in memory, and in what walkers see of it. */
static void set_in_memory(struct tlb *t, const uint64_t *seen, uint64_t bit)
{
	const struct host *h = t->host;
	const uint8_t *from = h->seen != NULL ? h->seen : h->va;
	const size_t at = (size_t)((const uint8_t *)seen - from);
	uint64_t both[2];

	memcpy(&both[0], h->va + at, sizeof(uint64_t));
	memcpy(&both[1], from + at, sizeof(uint64_t));
	both[0] |= bit;
	both[1] |= bit;
	memcpy(h->va + at, &both[0], sizeof(uint64_t));
	if (h->seen != NULL)
		memcpy(h->seen + at, &both[1], sizeof(uint64_t));
}

void tlb_use(struct tlb *t, axas_gpa_t gpa)
{
	const uint64_t *path[6];
	const uint64_t *words = words_at(t, t->walker.root);
	uint64_t entries = t->walker.root_entries;
	uint32_t level = t->walker.levels;
	struct entry e;

	for (;; level--) {
		path[level] = &words[gpa / entry_size(level) % entries];
		e = decode(t, level, load(path[level]));
		if (e.kind != ENTRY_TABLE)
			break;
		words = words_at(t, e.address);
		entries = 512;
	}
	/* a walk begins at the lowest entry that is held; one with a clear accessed bit is not */
	for (; level <= t->walker.levels; level++) {
		e = decode(t, level, load(path[level]));
		if (is_held_young(t, gpa, level, &e))
			return;
		if (e.kind == ENTRY_LEAF || t->walker.format <= WALK_NPT)
			set_in_memory(t, path[level], accessed(t->walker.format));
	}
}

void tlb_forget_all(struct tlb *t)
{
	pthread_mutex_lock(&t->lock);
	empty_caches(t);
	pthread_mutex_unlock(&t->lock);
}

void tlb_log(struct tlb *t, const axas_t *as)
{
	const struct walker now = space_walker(as);

	t->walker.log = now.log;
	t->walker.ages = now.ages;
}

void tlb_faulted(struct tlb *t, axas_gpa_t gpa)
{
	if (t->walker.format != WALK_EPT && t->walker.format != WALK_NPT)
		return;
	pthread_mutex_lock(&t->lock);
	for (uint32_t level = 1; level <= 3; level++) {
		const axas_tlb_request_t q = {
			.gpa = gpa & ~(entry_size(level) - 1),
			.size = entry_size(level),
			.level = level,
			.scope = AXAS_SCOPE_LOCAL,
		};

		forget(t, &q);
	}
	pthread_mutex_unlock(&t->lock);
}

void tlb_forget_log(struct tlb *t)
{
	t->runs = 0;
	t->requests_all = 0;
	t->frames_back = 0;
	host_forget_log(t->host);
}

static void start(struct tlb *t, struct host *h)
{
	memset(t, 0, sizeof(*t));
	t->host = h;
	pthread_mutex_init(&t->lock, NULL);
	t->held = calloc(h->pool_bytes / PAGE, sizeof(*t->held));
	assert_non_null(t->held);
}

void tlb_attach(struct tlb *t, struct host *h)
{
	start(t, h);
	t->host_hal = h->hal;
	h->hal.tlb_flush = tlb_flush;
	h->hal.dealloc_frame = dealloc_frame;
	h->hal.released = released;
	h->hal.clean_range = clean_range;
	attached[0] = t;
}

void tlb_attach_beside(struct tlb *t)
{
	start(t, attached[0]->host);
	attached[1] = t;
}

void tlb_watch(struct tlb *t, const axas_t *as, const axas_config_t *cfg)
{
	t->walker = space_walker(as);
	t->keeps_invalid = cfg->format == AXAS_FORMAT_RISCV_GSTAGE &&
			   !(cfg->features & AXAS_FEATURE_RISCV_SVVPTC);
	t->breaks_first = !(cfg->features & AXAS_FEATURE_ARM_BBM2);
	t->vmid = cfg->vmid;
	t->has_device = (cfg->options & AXAS_IO) != 0;
	t->device_keeps_invalid = (cfg->features & AXAS_FEATURE_IO_CACHES_INVALID) != 0;
	t->device_may_fault = (cfg->features & AXAS_FEATURE_IO_FAULTS) != 0;
	t->host->has_devices = (uint32_t)t->has_device;
	t->watching = 1;
	tlb_settle(t, 0, 0);
}

void tlb_look_at(struct tlb *t, axas_gpa_t gpa, uint64_t size)
{
	t->walker.first = size == 0 ? 0 : gpa;
	t->walker.last = size == 0 ? 0 : gpa + (size - 1);
}

void tlb_unwatch(struct tlb *t)
{
	t->watching = 0;
	empty_caches(t);
}

void tlb_detach(struct tlb *t)
{
	empty_caches(t);
	free(t->held);
	free(t->run);
	pthread_mutex_destroy(&t->lock);
	attached[t == attached[1]] = NULL;
}
