/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "model.h"

#define SIZES (AXAS_HUGE_FRAMES | AXAS_MAX_2M | MODEL_ANY_SIZE)

void model_init(struct model *m, axas_gpa_t base, uint64_t size)
{
	m->base = base;
	m->pages = size / PAGE;
	m->page = calloc(m->pages, sizeof(*m->page));
	assert_non_null(m->page);
}

void model_exit(struct model *m)
{
	free(m->page);
	m->page = NULL;
}

struct model_page *model_at(const struct model *m, axas_gpa_t gpa)
{
	assert_true(gpa >= m->base && (gpa - m->base) / PAGE < m->pages);
	return &m->page[(gpa - m->base) / PAGE];
}

int model_all_absent(const struct model *m, axas_gpa_t gpa, uint64_t size)
{
	for (axas_gpa_t g = gpa; g < gpa + size; g += PAGE)
		if (model_at(m, g)->state != AXAS_STATE_ABSENT)
			return 0;
	return 1;
}

int model_all_memory(const struct model *m, axas_gpa_t gpa, uint64_t size)
{
	for (axas_gpa_t g = gpa; g < gpa + size; g += PAGE)
		if (model_at(m, g)->state == AXAS_STATE_ABSENT ||
		    model_at(m, g)->state == AXAS_STATE_TRAP ||
		    model_at(m, g)->state == AXAS_STATE_NOTE)
			return 0;
	return 1;
}

void model_set(struct model *m, const struct model_change *c)
{
	for (uint64_t at = 0; at < c->size; at += PAGE) {
		struct model_page *p = model_at(m, c->gpa + at);

		p->state = c->state;
		p->hidden = MODEL_SHOWN;
		p->is_used = 0;
		p->flags = c->flags;
		p->value = c->state == AXAS_STATE_LINEAR ? c->value + at : c->value;
	}
}

void model_protect(struct model *m, axas_gpa_t gpa, uint64_t size, axas_flags_t flags)
{
	for (axas_gpa_t g = gpa; g < gpa + size; g += PAGE) {
		struct model_page *p = model_at(m, g);

		p->flags = (p->flags & ~(axas_flags_t)RWX) | flags;
	}
}

int model_none_absent(const struct model *m, axas_gpa_t gpa, uint64_t size)
{
	for (axas_gpa_t g = gpa; g < gpa + size; g += PAGE)
		if (model_at(m, g)->state == AXAS_STATE_ABSENT)
			return 0;
	return 1;
}

void model_retag(struct model *m, axas_gpa_t gpa, uint64_t size, uint32_t tag)
{
	for (axas_gpa_t g = gpa; g < gpa + size; g += PAGE) {
		struct model_page *p = model_at(m, g);

		p->flags = (p->flags & ~(axas_flags_t)AXAS_TAG_MASK) | TAG(tag);
	}
}

void model_discard(struct model *m, axas_gpa_t gpa, uint64_t size)
{
	for (axas_gpa_t g = gpa; g < gpa + size; g += PAGE) {
		struct model_page *p = model_at(m, g);

		if (p->state != AXAS_STATE_OWNED)
			continue;
		p->state = AXAS_STATE_RESERVED;
		p->hidden = MODEL_SHOWN;
		p->flags |= MODEL_ANY_SIZE;
	}
}

static int is_page(const struct model_page *p)
{
	return p->state == AXAS_STATE_LINEAR || p->state == AXAS_STATE_OWNED;
}

void model_hide(struct model *m, axas_gpa_t gpa, uint64_t size, int is_auto)
{
	for (axas_gpa_t g = gpa; g < gpa + size; g += PAGE) {
		struct model_page *p = model_at(m, g);

		if (is_page(p) && !is_auto)
			p->hidden = MODEL_HIDDEN;
		else if (is_page(p) && p->hidden == MODEL_SHOWN)
			p->hidden = MODEL_HIDDEN_AUTO;
	}
}

void model_evict(struct model *m, axas_gpa_t gpa, uint64_t size, uint32_t provider)
{
	for (axas_gpa_t g = gpa; g < gpa + size; g += PAGE) {
		struct model_page *p = model_at(m, g);

		if (!is_page(p) || p->hidden == MODEL_HIDDEN)
			continue;
		p->state = AXAS_STATE_PROVIDED;
		p->hidden = MODEL_SHOWN;
		p->flags |= MODEL_ANY_SIZE;
		p->value = provider;
	}
}

void model_provided(struct model *m, const struct fixture *f, axas_gpa_t gpa, int is_owned)
{
	const struct walk r = space_walk(f->as, gpa);
	const axas_gpa_t first = gpa & ~(r.size - 1);

	assert_true(r.outcome == WALK_LEAF || r.is_hidden);
	for (uint64_t at = 0; at < r.size; at += PAGE) {
		struct model_page *p = model_at(m, first + at);

		assert_int_equal(p->state, AXAS_STATE_PROVIDED);
		assert_false(r.size > PAGE && (p->flags & AXAS_NO_HUGE));
		assert_false(r.size > 2 * MIB && (p->flags & AXAS_MAX_2M));
		p->state = is_owned ? AXAS_STATE_OWNED : AXAS_STATE_LINEAR;
		p->flags &= ~(axas_flags_t)(MODEL_ANY_SIZE | AXAS_NO_HUGE | AXAS_MAX_2M);
		p->value = (r.hpa & ~(r.size - 1)) + at;
	}
}

void model_show(struct model *m, axas_gpa_t gpa, uint64_t size)
{
	for (axas_gpa_t g = gpa; g < gpa + size; g += PAGE)
		model_at(m, g)->hidden = MODEL_SHOWN;
}

void model_shown(struct model *m, const struct fixture *f, axas_gpa_t gpa)
{
	const struct walk r = space_walk(f->as, gpa);

	assert_int_equal(r.outcome, WALK_LEAF);
	for (axas_gpa_t g = gpa & ~(r.size - 1), end = g + r.size; g < end; g += PAGE) {
		assert_int_equal(model_at(m, g)->hidden, MODEL_HIDDEN_AUTO);
		model_at(m, g)->hidden = MODEL_SHOWN;
	}
}

axas_fault_result_t model_verdict(const struct model *m, axas_gpa_t gpa, axas_flags_t access)
{
	const struct model_page *p;

	if (gpa < m->base || (gpa - m->base) / PAGE >= m->pages)
		return AXAS_FAULT_UNMAPPED;
	p = model_at(m, gpa);
	if (p->state == AXAS_STATE_ABSENT || p->state == AXAS_STATE_NOTE)
		return AXAS_FAULT_UNMAPPED;
	if (p->hidden == MODEL_HIDDEN)
		return AXAS_FAULT_HIDDEN;
	if (p->state == AXAS_STATE_TRAP)
		return AXAS_FAULT_TRAP;
	if (access & ~p->flags)
		return AXAS_FAULT_DENIED;
	if (p->state == AXAS_STATE_PROVIDED)
		return AXAS_FAULT_WAIT; /* or what the host says */
	return p->state == AXAS_STATE_RESERVED || p->hidden ? AXAS_FAULT_RESOLVED :
							      AXAS_FAULT_SPURIOUS;
}

uint64_t model_count(const struct model *m, uint32_t state)
{
	uint64_t count = 0;

	for (uint64_t i = 0; i < m->pages; i++)
		count += m->page[i].state == state;
	return count;
}

/* A frame comes with zeroes, unless it was asked for as it is. (Frames that wait in a list have links in them.) */
static void check_contents(const struct fixture *f, axas_hpa_t frame, axas_flags_t flags)
{
	const uint64_t *words = host_at(&f->host, frame);
	const uint32_t never_zeroed = AXAS_NO_ZERO | AXAS_FRAMES_ARE_ZEROED;

	if (words != NULL && f->host.poison_guest && !(f->cfg.options & never_zeroed))
		assert_int_equal(words[9] == 0, !(flags & AXAS_SKIP_ZERO));
}

void model_learn(struct model *m, const struct fixture *f, axas_gpa_t gpa)
{
	const struct walk r = space_walk(f->as, gpa);
	axas_gpa_t first;

	assert_true(r.outcome == WALK_LEAF || r.is_hidden);
	first = gpa & ~(r.size - 1);
	check_contents(f, r.hpa & ~(r.size - 1), model_at(m, first)->flags);
	for (uint64_t at = 0; at < r.size; at += PAGE) {
		struct model_page *p = model_at(m, first + at);

		assert_int_equal(p->state, AXAS_STATE_RESERVED);
		if (r.size > PAGE)
			assert_true(p->flags & (AXAS_HUGE_FRAMES | MODEL_ANY_SIZE));
		if (r.size > 2 * MIB)
			assert_false(p->flags & AXAS_MAX_2M);
		p->state = AXAS_STATE_OWNED;
		p->flags &= ~(axas_flags_t)(SIZES | AXAS_SKIP_ZERO);
		p->value = (r.hpa & ~(r.size - 1)) + at;
	}
}

/* A memory type that the entry cannot tell from another is the same. */
static void same_flags(const struct fixture *f, const struct model_page *p, axas_flags_t got)
{
	const axas_flags_t want = p->flags;

	assert_int_equal(space_access(got), space_access(want));
	assert_int_equal(got & AXAS_SKIP_ZERO, want & AXAS_SKIP_ZERO);
	assert_int_equal(tag_of(got), tag_of(want));
	if (p->state == AXAS_STATE_RESERVED && !(want & MODEL_ANY_SIZE))
		assert_int_equal(got & AXAS_HUGE_FRAMES, want & AXAS_HUGE_FRAMES);
	else if (p->state != AXAS_STATE_RESERVED)
		assert_int_equal(got & SIZES, 0);
	assert_int_equal(space_memory(f->cfg.format, f->cfg.features, got),
			 space_memory(f->cfg.format, f->cfg.features, want));
}

/* One page of the entry m that query returned. */
static void same_page(const struct model *model, const struct fixture *f, const axas_mapping_t *m,
		      axas_gpa_t gpa)
{
	const struct model_page *p = model_at(model, gpa);

	const uint32_t expected = p->hidden ? AXAS_STATE_HIDDEN : p->state;

	if (expected != m->state)
		fail_msg("gpa %#llx: state %u, should be %u", (unsigned long long)gpa, m->state,
			 expected);
	if (p->state == AXAS_STATE_TRAP || p->state == AXAS_STATE_NOTE) {
		assert_int_equal(m->cookie, p->value);
		assert_int_equal(m->flags, p->flags);
	}
	if (p->state == AXAS_STATE_PROVIDED) {
		const axas_flags_t sizes =
			p->flags & MODEL_ANY_SIZE ? 0 : AXAS_NO_HUGE | AXAS_MAX_2M;

		assert_int_equal(m->cookie, p->value);
		assert_int_equal(m->flags & sizes, p->flags & sizes);
		assert_int_equal(space_access(m->flags), space_access(p->flags));
		assert_int_equal(tag_of(m->flags), tag_of(p->flags));
		assert_int_equal(space_memory(f->cfg.format, f->cfg.features, m->flags),
				 space_memory(f->cfg.format, f->cfg.features, p->flags));
	}
	if (is_page(p))
		assert_int_equal(m->hpa + (gpa - m->gpa), p->value);
	if (is_page(p) || p->state == AXAS_STATE_RESERVED)
		same_flags(f, p, m->flags);
}

axas_mapping_t model_check(const struct model *model, const struct fixture *f, axas_gpa_t gpa)
{
	const axas_mapping_t m = space_agree(f->as, gpa);

	same_page(model, f, &m, gpa & ~(PAGE - 1));
	same_page(model, f, &m, m.gpa);
	same_page(model, f, &m, m.gpa + m.size - PAGE);
	return m;
}

void model_check_all(const struct model *model, const struct fixture *f)
{
	const axas_gpa_t end = model->base + model->pages * PAGE;
	axas_gpa_t gpa = model->base;

	while (gpa < end) {
		const axas_mapping_t m = model_check(model, f, gpa);

		assert_int_equal(m.gpa, gpa);
		for (axas_gpa_t g = gpa; g < gpa + m.size; g += PAGE)
			same_page(model, f, &m, g);
		gpa += m.size;
	}
	assert_int_equal(f->host.guest_out, model_count(model, AXAS_STATE_OWNED));
	space_sweep(f->as);
}
