/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "ops.h"

#include "counts.h"

const char *const op_names[OP_KINDS] = {
	"map_linear",   "map_extents", "map_alloc lazy", "map_alloc populated",
	"map_trap",     "unmap",       "protect",        "populate",
	"discard",      "replace",     "replace lazy",   "replace populated",
	"replace trap", "fault",
};

int lost_setup(void **state)
{
	struct lost *l = calloc(1, sizeof(*l));

	assert_non_null(l);
	l->f.fc = *state;
	l->f.cfg = (axas_config_t){
		.struct_size = sizeof(l->f.cfg),
		.format = l->f.fc->format,
		.size = SPACE_SIZE,
		.vmid = 5,
	};
	l->window = 4 * GIB;
	l->window_bytes = 2 * GIB + 64 * MIB;
	host_init(&l->f.host, HOST_DIRECT_MAP, HOST_PA_BASE);
	tlb_attach(&l->tlb, &l->f.host);
	*state = l;
	return 0;
}

int lost_teardown(void **state)
{
	struct lost *l = *state;

	if (!l->finished)
		print_error("seed %llu, at: %s gpa %#llx size %#llx value %#llx flags %#x\n",
			    (unsigned long long)l->seed, op_names[l->now.kind],
			    (unsigned long long)l->now.gpa, (unsigned long long)l->now.size,
			    (unsigned long long)l->now.value, l->now.flags);
	if (l->f.as != NULL && l->finished)
		lost_destroy(l);
	tlb_detach(&l->tlb);
	/* after a failure the space is still known, by the address of its host */
	if (l->f.as != NULL)
		return 0;
	host_exit(&l->f.host);
	free(l);
	return 0;
}

void lost_create(struct lost *l, uint32_t features)
{
	l->f.cfg.features = features;
	fixture_create(&l->f);
	tlb_watch(&l->tlb, l->f.as, &l->f.cfg);
	host_check(&l->f.host);
}

void lost_destroy(struct lost *l)
{
	fixture_destroy(&l->f);
	tlb_unwatch(&l->tlb);
}

void lost_seed(struct lost *l, uint64_t seed)
{
	l->seed = seed;
	l->rng = seed * 0x9e3779b97f4a7c15ull + 1;
	memset(l->last, 0, sizeof(l->last));
	lost_below(l, 2);
}

uint64_t lost_below(struct lost *l, uint64_t bound)
{
	l->rng ^= l->rng >> 12;
	l->rng ^= l->rng << 25;
	l->rng ^= l->rng >> 27;
	return (l->rng * 0x2545f4914f6cdd1dull >> 8) % bound;
}

/* --- drawing --------------------------------------------------------------------------------- */

static axas_flags_t draw_access(struct lost *l)
{
	static const axas_flags_t access[] = { AXAS_READ, RW, RX, RWX };

	return access[lost_below(l, 4)];
}

static void draw_fresh_range(struct lost *l, struct op *op)
{
	const uint64_t kind = lost_below(l, 10);

	op->size = (1 + lost_below(l, 24)) * PAGE;
	if (kind >= 5)
		op->size = (1 + lost_below(l, 1100)) * PAGE;
	if (kind >= 7)
		op->size = (1 + lost_below(l, 3)) * 2 * MIB;
	if (kind == 9)
		op->size = GIB + lost_below(l, 3) * 2 * MIB;
	op->gpa = l->window + lost_below(l, l->window_bytes / PAGE) * PAGE;
	if (lost_below(l, 3) == 0)
		op->gpa &= ~(2 * MIB - 1);
	if (kind == 9 && lost_below(l, 3) != 0)
		op->gpa &= ~(GIB - 1);
}

/* A part of something that was there a moment ago, or what lies beside it. */
static void draw_known_range(struct lost *l, struct op *op)
{
	const struct op *in = &l->last[lost_below(l, 8)];

	if (in->size == 0 || lost_below(l, 8) == 0) {
		draw_fresh_range(l, op);
		return;
	}
	op->gpa = in->gpa + lost_below(l, in->size / PAGE) * PAGE;
	if (lost_below(l, 3) == 0 && (op->gpa & ~(2 * MIB - 1)) >= in->gpa)
		op->gpa &= ~(2 * MIB - 1);
	if (lost_below(l, 4) == 0)
		op->gpa = in->gpa;
	op->size = (1 + lost_below(l, (in->gpa + in->size - op->gpa) / PAGE)) * PAGE;
	if (lost_below(l, 3) == 0)
		op->size = in->gpa + in->size - op->gpa;
}

static void limit(struct lost *l, struct op *op, uint64_t most)
{
	if (op->size > most)
		op->size = most;
	if (op->gpa + op->size > l->window + l->window_bytes)
		op->size = l->window + l->window_bytes - op->gpa;
}

static void draw_memory(struct lost *l, struct op *op)
{
	static const axas_flags_t linear[] = { 0, 0, AXAS_NO_HUGE, AXAS_MAX_2M, AXAS_NO_HUGE_EXEC };
	static const axas_flags_t own[] = { 0, AXAS_HUGE_FRAMES, AXAS_HUGE_FRAMES | AXAS_MAX_2M };
	static const uint64_t congruent[] = { PAGE, 2 * MIB, GIB, GIB };
	const uint64_t unit = congruent[lost_below(l, 4)];

	op->flags = draw_access(l);
	if (lost_below(l, 6) == 0)
		op->flags |= AXAS_DEVICE;
	if (op->kind == OP_LINEAR || op->kind == OP_REPLACE) {
		op->flags |= linear[lost_below(l, 5)];
		op->value = LINEAR_HPA + lost_below(l, GIB / unit) * unit + op->gpa % unit;
		limit(l, op, (op->flags & AXAS_NO_HUGE) || unit == PAGE ? 6 * MIB : 2 * GIB);
	} else if (op->kind == OP_EXTENTS) {
		op->value = LINEAR_HPA + lost_below(l, 512) * PAGE;
		limit(l, op, 3 * MIB);
	} else {
		op->flags |= own[lost_below(l, 3)];
		if (op->kind == OP_POPULATED || op->kind == OP_REPLACE_POPULATED)
			limit(l, op, (op->flags & AXAS_HUGE_FRAMES) ? 5 * MIB : 40 * PAGE);
	}
	if (op->kind == OP_POPULATED || op->kind == OP_REPLACE_POPULATED)
		op->flags |= AXAS_POPULATE;
	if (op_replaces(op->kind))
		op->flags |= AXAS_REPLACE;
}

struct op op_draw(struct lost *l, enum op_kind kind)
{
	struct op op = { .kind = kind };

	if (kind <= OP_TRAP)
		draw_fresh_range(l, &op);
	else
		draw_known_range(l, &op);
	limit(l, &op, 2 * GIB);
	switch (kind) {
	case OP_TRAP:
		op.value = lost_below(l, 1ull << 32);
		break;
	case OP_REPLACE_TRAP:
		op.value = lost_below(l, 1ull << 32);
		op.flags = AXAS_REPLACE;
		break;
	case OP_PROTECT:
		op.flags = draw_access(l);
		break;
	case OP_FAULT:
		op.flags = lost_below(l, 4) == 0 ? draw_access(l) : AXAS_READ;
		op.size = PAGE;
		break;
	case OP_POPULATE:
		limit(l, &op, lost_below(l, 4) == 0 ? 5 * MIB : 40 * PAGE);
		break;
	case OP_UNMAP:
	case OP_DISCARD:
		break;
	default:
		draw_memory(l, &op);
		break;
	}
	return op;
}

struct op op_draw_any(struct lost *l)
{
	static const enum op_kind kinds[] = {
		OP_LINEAR, OP_LINEAR,   OP_EXTENTS, OP_LAZY,  OP_LAZY,    OP_POPULATED,
		OP_TRAP,   OP_UNMAP,    OP_UNMAP,   OP_FAULT, OP_PROTECT, OP_PROTECT,
		OP_FAULT,  OP_POPULATE, OP_DISCARD, OP_FAULT, OP_REPLACE,
	};
	static const enum op_kind more[] = { OP_REPLACE_LAZY, OP_REPLACE_POPULATED, OP_REPLACE_TRAP,
					     OP_REPLACE };

	if (lost_below(l, 10) == 0 && space_replaces(l->f.as))
		return op_draw(l, more[lost_below(l, sizeof(more) / sizeof(more[0]))]);
	return op_draw(l, kinds[lost_below(l, sizeof(kinds) / sizeof(kinds[0]))]);
}

/* --- running --------------------------------------------------------------------------------- */

static axas_status_t status_of(axas_fault_result_t verdict)
{
	switch (verdict) {
	case AXAS_FAULT_RESOLVED:
	case AXAS_FAULT_SPURIOUS:
		return AXAS_OK;
	case AXAS_FAULT_NO_MEMORY:
		return AXAS_ERR_NO_MEMORY;
	case AXAS_FAULT_DENIED:
		return AXAS_ERR_DENIED;
	case AXAS_FAULT_TRAP:
	case AXAS_FAULT_UNMAPPED:
		return AXAS_ERR_NOT_MAPPED;
	default:
		return AXAS_ERR_BAD_STATE;
	}
}

/* In three pieces that neither follow each other nor share an alignment. */
static axas_status_t run_extents(axas_t *as, const struct op *op)
{
	const uint64_t first = op->size / PAGE / 2 * PAGE;
	const uint64_t second = (op->size - first) / PAGE / 2 * PAGE;
	axas_extent_t e[3] = {
		{ op->value, first },
		{ op->value + GIB, second },
		{ op->value + 2 * GIB + PAGE, op->size - first - second },
	};

	if (first == 0)
		return axas_map_extents(as, op->gpa, &e[2], 1, op->flags);
	if (second == 0)
		e[1] = e[2];
	return axas_map_extents(as, op->gpa, e, second == 0 ? 2 : 3, op->flags);
}

static axas_status_t dispatch(axas_t *as, const struct op *op)
{
	switch (op->kind) {
	case OP_LINEAR:
	case OP_REPLACE:
		return axas_map_linear(as, op->gpa, op->value, op->size, op->flags);
	case OP_EXTENTS:
		return run_extents(as, op);
	case OP_LAZY:
	case OP_POPULATED:
	case OP_REPLACE_LAZY:
	case OP_REPLACE_POPULATED:
		return axas_map_alloc(as, op->gpa, op->size, op->flags);
	case OP_TRAP:
		return axas_map_trap(as, op->gpa, op->size, op->value);
	case OP_REPLACE_TRAP:
		return axas_map_trap_flags(as, op->gpa, op->size, op->value, op->flags);
	case OP_UNMAP:
		return axas_unmap(as, op->gpa, op->size);
	case OP_PROTECT:
		return axas_protect(as, op->gpa, op->size, op->flags);
	case OP_POPULATE:
		return axas_populate(as, op->gpa, op->size);
	case OP_DISCARD:
		return axas_discard(as, op->gpa, op->size);
	case OP_FAULT:
		return status_of(axas_handle_page_fault(as, op->gpa, op->flags));
	case OP_KINDS:
		break;
	}
	return AXAS_ERR_BAD_STATE;
}

/* A live page is cut at gpa by an operation that changes the part of it beside that. */
static int cuts_live_page(struct lost *l, const struct op *op, axas_gpa_t gpa)
{
	const struct walk r = space_walk(l->f.as, gpa);
	axas_mapping_t m;

	if (r.outcome != WALK_LEAF || gpa % r.size == 0)
		return 0;
	if (op->kind == OP_PROTECT)
		return r.access != space_access(op->flags);
	assert_ok(axas_query(l->f.as, gpa, &m));
	return op->kind == OP_UNMAP || (op->kind == OP_DISCARD && m.state == AXAS_STATE_OWNED);
}

int op_is_refused(struct lost *l, const struct op *op)
{
	if (!l->tlb.has_device)
		return 0;
	if (op->kind == OP_LAZY || op->kind == OP_REPLACE_LAZY)
		return 1;
	if (l->tlb.device_may_fault)
		return 0;
	if (op_replaces(op->kind))
		return 1;
	return l->f.cfg.format == AXAS_FORMAT_ARM_S2 && l->tlb.breaks_first &&
	       (cuts_live_page(l, op, op->gpa) || cuts_live_page(l, op, op->gpa + op->size));
}

/* Both sides of the ends, the ends of the large pages that they are in, and some pages beside and between. */
static void look_during(struct lost *l, const struct op *op)
{
	const axas_gpa_t end[2] = { op->gpa, op->gpa + op->size };

	for (int i = 0; l->tlb.has_device && i < 2; i++)
		for (uint64_t size = PAGE; size <= GIB; size *= 512) {
			const axas_gpa_t base = end[i] & ~(size - 1);

			tlb_sight(&l->tlb, base);
			tlb_sight(&l->tlb, base - PAGE);
			tlb_sight(&l->tlb, base + size - PAGE);
			tlb_sight(&l->tlb, base + lost_below(l, size / PAGE) * PAGE);
		}
	for (int i = 0; l->tlb.has_device && i < 8; i++)
		tlb_sight(&l->tlb, op->gpa + lost_below(l, op->size / PAGE) * PAGE);
}

/* What a call may leave behind and still be right. */
static void after(struct lost *l, const struct op *op, uint64_t done)
{
	tlb_end_sights(&l->tlb);
	l->tlb.expects_new = op->kind == OP_LINEAR || op->kind == OP_EXTENTS ||
			     op->kind == OP_POPULATED || op->kind == OP_POPULATE ||
			     op->kind == OP_REPLACE || op->kind == OP_REPLACE_POPULATED;
	if (op->kind == OP_POPULATE || op->kind == OP_DISCARD)
		tlb_settle_taken_in(&l->tlb, op->gpa, done);
	else
		tlb_settle(&l->tlb, op->gpa, op->kind == OP_FAULT ? 0 : done);
	host_check(&l->f.host);
	if (done != 0)
		l->last[lost_below(l, 8)] = *op;
}

axas_status_t op_run(struct lost *l, const struct op *op)
{
	axas_status_t status;
	int is_refused;

	l->now = *op;
	if (op->kind == OP_FAULT)
		tlb_faulted(&l->tlb, op->gpa);
	is_refused = op_is_refused(l, op);
	look_during(l, op);
	status = dispatch(l->f.as, op);
	if (status == AXAS_ERR_BAD_STATE || status == AXAS_ERR_INVALID_INPUT ||
	    (status == AXAS_ERR_UNSUPPORTED && !is_refused))
		fail_msg("%s: status %d", op_names[op->kind], status);
	after(l, op, status == AXAS_OK ? op->size : 0);
	if (is_refused && status == AXAS_OK)
		fail_msg("%s: not refused", op_names[op->kind]);
	return status;
}

int op_replaces(enum op_kind kind)
{
	return kind >= OP_REPLACE && kind <= OP_REPLACE_TRAP;
}

int op_is_there(struct lost *l, enum op_kind kind)
{
	return kind == OP_REPLACE || !op_replaces(kind) || space_replaces(l->f.as);
}

int op_has_slices(enum op_kind kind)
{
	return kind != OP_EXTENTS && kind != OP_TRAP && !op_replaces(kind) && kind != OP_FAULT;
}

axas_status_t op_run_some(struct lost *l, const struct op *op, uint64_t budget, uint64_t *done)
{
	axas_t *as = l->f.as;
	axas_status_t status = AXAS_ERR_BAD_STATE;

	l->now = *op;
	*done = ~0ull;
	if (op->kind == OP_LINEAR)
		status = axas_map_linear_some(as, op->gpa, op->value, op->size, op->flags, budget,
					      done);
	else if (op->kind == OP_LAZY || op->kind == OP_POPULATED)
		status = axas_map_alloc_some(as, op->gpa, op->size, op->flags, budget, done);
	else if (op->kind == OP_UNMAP)
		status = axas_unmap_some(as, op->gpa, op->size, budget, done);
	else if (op->kind == OP_PROTECT)
		status = axas_protect_some(as, op->gpa, op->size, op->flags, budget, done);
	else if (op->kind == OP_POPULATE)
		status = axas_populate_some(as, op->gpa, op->size, budget, done);
	else if (op->kind == OP_DISCARD)
		status = axas_discard_some(as, op->gpa, op->size, budget, done);
	if (*done % PAGE != 0 || *done > op->size || (status == AXAS_OK && *done != op->size) ||
	    (status == AXAS_ERR_AGAIN && (*done == 0 || *done == op->size)))
		fail_msg("%s, budget %llu: status %d, done %#llx of %#llx", op_names[op->kind],
			 (unsigned long long)budget, status, (unsigned long long)*done,
			 (unsigned long long)op->size);
	after(l, op, *done);
	return status;
}

struct op op_rest(const struct op *op, uint64_t done)
{
	struct op rest = *op;

	rest.gpa += done;
	rest.size -= done;
	if (op->kind == OP_LINEAR)
		rest.value += done;
	return rest;
}

axas_fault_result_t guest_access(struct lost *l, axas_gpa_t gpa, axas_flags_t access)
{
	for (int tries = 0; tries < 3; tries++) {
		axas_fault_result_t verdict;

		if (!tlb_may_fault(&l->tlb, gpa, access))
			return AXAS_FAULT_SPURIOUS;
		tlb_faulted(&l->tlb, gpa);
		verdict = axas_handle_page_fault(l->f.as, gpa, access);
		tlb_settle(&l->tlb, 0, 0);
		host_check(&l->f.host);
		if (!axas_fault_resumes(verdict))
			return verdict;
	}
	fail_msg("gpa %#llx: a guest that is resumed faults for ever", (unsigned long long)gpa);
	return AXAS_FAULT_ERROR;
}

/* --- comparing ------------------------------------------------------------------------------- */

int run_continues(const axas_mapping_t *a, const axas_mapping_t *b)
{
	if (a->gpa + a->size != b->gpa || a->state != b->state || a->flags != b->flags ||
	    a->cookie != b->cookie)
		return 0;
	return a->hpa == AXAS_HPA_INVALID ? b->hpa == a->hpa : a->hpa + a->size == b->hpa;
}

void runs_append(struct runs *r, const axas_mapping_t *m)
{
	if (r->count == r->room) {
		r->room = r->room == 0 ? 64 : 2 * r->room;
		r->run = realloc(r->run, r->room * sizeof(*r->run));
		if (r->run == NULL)
			abort();
	}
	r->run[r->count++] = *m;
}

void runs_add(struct runs *r, const axas_mapping_t *m)
{
	if (r->count > 0 && run_continues(&r->run[r->count - 1], m))
		r->run[r->count - 1].size += m->size;
	else
		runs_append(r, m);
}

static uint32_t add_run(void *ctx, const axas_mapping_t *m)
{
	runs_add(ctx, m);
	return 1;
}

void runs_take(struct runs *r, const struct lost *l, axas_gpa_t gpa, uint64_t size)
{
	r->count = 0;
	assert_ok(axas_for_each(l->f.as, gpa, size, add_run, r));
}

void runs_free(struct runs *r)
{
	free(r->run);
	*r = (struct runs){ 0 };
}

/* The run that covers gpa, or the hole up to the next one. */
static axas_mapping_t run_at(const struct runs *r, axas_gpa_t gpa, axas_gpa_t end, uint64_t *hint)
{
	axas_mapping_t hole = { .gpa = gpa, .size = end - gpa, .hpa = AXAS_HPA_INVALID };

	while (*hint < r->count && r->run[*hint].gpa + r->run[*hint].size <= gpa)
		++*hint;
	if (*hint == r->count)
		return hole;
	if (r->run[*hint].gpa <= gpa)
		return r->run[*hint];
	if (r->run[*hint].gpa < end)
		hole.size = r->run[*hint].gpa - gpa;
	return hole;
}

void runs_same(const struct runs *a, const struct runs *b, axas_gpa_t gpa, uint64_t size,
	       int any_frame)
{
	const axas_gpa_t end = gpa + size;
	uint64_t i = 0, j = 0;

	while (gpa < end) {
		const axas_mapping_t x = run_at(a, gpa, end, &i);
		const axas_mapping_t y = run_at(b, gpa, end, &j);
		const axas_gpa_t x_end = x.gpa + x.size, y_end = y.gpa + y.size;
		const int frames = any_frame && x.state == AXAS_STATE_OWNED;
		const int same_hpa =
			x.hpa == AXAS_HPA_INVALID ? y.hpa == x.hpa : x.hpa - x.gpa == y.hpa - y.gpa;

		if (x.state != y.state || x.flags != y.flags || x.cookie != y.cookie ||
		    (!frames && !same_hpa))
			fail_msg("gpa %#llx: state %u flags %#x, should be state %u flags %#x",
				 (unsigned long long)gpa, x.state, x.flags, y.state, y.flags);
		gpa = x_end < y_end ? x_end : y_end;
	}
}

struct twin {
	const uint64_t *a, *b;
	uint32_t next, entries;
};

/* The address is taken out of what the library places; all else has to be equal. */
static int same_word(const struct lost *l, uint32_t level, uint64_t a, uint64_t b)
{
	const struct entry x = entry_decode(l->f.cfg.format, level, a);
	const struct entry y = entry_decode(l->f.cfg.format, level, b);
	const uint32_t shift = l->f.cfg.format == AXAS_FORMAT_RISCV_GSTAGE ? 2 : 0;

	if (x.kind != y.kind)
		return 0;
	if (x.kind == ENTRY_INVALID ||
	    (x.kind == ENTRY_LEAF && host_at(&l->f.host, x.address) == NULL))
		return a == b;
	/* how much is known of a table depends on how it came to what it holds */
	if (x.kind == ENTRY_TABLE) {
		a &= ~count_mask((enum walk_format)l->f.cfg.format);
		b &= ~count_mask((enum walk_format)l->f.cfg.format);
	}
	return (a & ~(x.address >> shift)) == (b & ~(y.address >> shift));
}

void tables_same(const struct lost *l, const axas_t *a, const axas_t *b)
{
	const struct walker wa = space_walker(a), wb = space_walker(b);
	struct twin stack[6];
	uint32_t level = wa.levels;

	stack[level] = (struct twin){ host_at(&l->f.host, wa.root), host_at(&l->f.host, wb.root), 0,
				      (uint32_t)wa.root_entries };
	while (level <= wa.levels) {
		struct twin *t = &stack[level];
		const uint32_t i = t->next++;
		struct entry x, y;

		if (i == t->entries) {
			level++;
			continue;
		}
		if (!same_word(l, level, t->a[i], t->b[i]))
			fail_msg("level %u entry %u: %#llx and %#llx", level, i,
				 (unsigned long long)t->a[i], (unsigned long long)t->b[i]);
		x = entry_decode(l->f.cfg.format, level, t->a[i]);
		y = entry_decode(l->f.cfg.format, level, t->b[i]);
		if (x.kind != ENTRY_TABLE)
			continue;
		level--;
		stack[level] = (struct twin){ host_at(&l->f.host, x.address),
					      host_at(&l->f.host, y.address), 0, 512 };
	}
}

uint64_t entries_in(const struct lost *l, axas_gpa_t gpa, uint64_t size)
{
	const struct walker w = space_walker(l->f.as);
	uint64_t count = 0;

	for (axas_gpa_t at = gpa; at < gpa + size; count++)
		at = (at | (walker_walk(&w, at).size - 1)) + 1;
	return count;
}
