/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "run.h"

#include <string.h>

#define BUFFER (4 * PAGE)

/* Where a frame is is the side's own matter; how far into it an address points is not. */
static axas_hpa_t common_hpa(const struct side *side, axas_hpa_t hpa, uint64_t size)
{
	if (!side_is_frame(side, hpa))
		return hpa;
	return (1ull << 63) | (hpa & ((size & -size) - 1));
}

static uint64_t hash_bytes(uint64_t h, const uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		h = (h ^ bytes[i]) * 0x100000001b3ull;
	return h;
}

axas_status_t run_create(struct side *side, const struct script *s, uint32_t fail_at)
{
	axas_status_t status;

	side->linear_reachable = s->linear_reachable;
	side->refuses_huge = s->refuses_huge;
	side->poison = !(s->cfg.options & (AXAS_FRAMES_ARE_ZEROED | AXAS_NO_ZERO));
	side->every = 0;
	side->most_windows = 7;
	side_hal(side, s->kind, s->has_released, s->has_yield, s->has_clean);
	side_begin(side, 0, fail_at, 0, 0);
	if (s->kind == HOST_WINDOWS)
		status = side->engine->create_in(side->storage, AXAS_STORAGE_SIZE, &s->cfg,
						 &side->hal, &side->space);
	else
		status = side->engine->create(&s->cfg, &side->hal, &side->space);
	if (status == AXAS_OK)
		side->most_windows = side->engine->levels(side->space) + 2;
	side->every = s->every;
	return status;
}

/* --- memory of the guest --------------------------------------------------------------------- */

static void touch_range(struct side *side, axas_gpa_t gpa, uint64_t size)
{
	const axas_gpa_t end = gpa + size;

	while (gpa < end) {
		axas_hpa_t hpa;

		side->blind_at = 0;
		if (side->engine->translate(side->space, gpa, &hpa, NULL) == AXAS_OK)
			side_touch(side, hpa);
		gpa = (gpa | (PAGE - 1)) + 1;
	}
}

struct chunks {
	struct side *side;
	struct outcome *o;
	int writes;
	uint8_t byte;
};

static uint32_t take_chunk(void *ctx, axas_gpa_t gpa, void *host, size_t bytes)
{
	struct chunks *c = ctx;

	c->o->value[0] = c->o->value[0] * 31 + gpa;
	c->o->value[1] = c->o->value[1] * 31 + bytes;
	c->o->contents = hash_bytes(c->o->contents, host, bytes);
	for (size_t at = 0; c->writes && at < bytes; at += PAGE)
		side_touch_host(c->side, (uint8_t *)host + at);
	if (c->writes)
		side_touch_host(c->side, (uint8_t *)host + bytes - 1);
	if (c->writes)
		memset(host, c->byte, bytes);
	return 1;
}

static axas_status_t scalar(struct side *side, const struct step *t, struct outcome *o)
{
	const struct engine *e = side->engine;
	axas_t *as = side->space;
	uint8_t v8 = 0;
	uint16_t v16 = 0;
	uint32_t v32 = 0;
	axas_status_t status;

	if (t->call == CALL_READ_SCALAR) {
		status = t->width == 0 ? e->read_u8(as, t->gpa, t->flags, &v8) :
			 t->width == 1 ? e->read_u16(as, t->gpa, t->flags, &v16) :
			 t->width == 2 ? e->read_u32(as, t->gpa, t->flags, &v32) :
					 e->read_u64(as, t->gpa, t->flags, &o->value[0]);
		o->value[1] = (uint64_t)v8 + v16 + v32;
		return status;
	}
	status = t->width == 0 ? e->write_u8(as, t->gpa, t->flags, (uint8_t)t->value) :
		 t->width == 1 ? e->write_u16(as, t->gpa, t->flags, (uint16_t)t->value) :
		 t->width == 2 ? e->write_u32(as, t->gpa, t->flags, (uint32_t)t->value) :
				 e->write_u64(as, t->gpa, t->flags, t->value);
	if (status == AXAS_OK)
		touch_range(side, t->gpa, 1);
	return status;
}

static axas_status_t copy(struct side *side, const struct step *t, struct outcome *o)
{
	static uint8_t buffer[BUFFER];
	struct chunks c = { side, o, (t->flags & AXAS_WRITE) != 0, (uint8_t)t->value };
	const struct engine *e = side->engine;
	size_t done = 0;
	axas_status_t status;

	switch (t->call) {
	case CALL_READ:
		status = e->read(side->space, t->gpa, buffer, t->size, t->flags, &done);
		o->contents = hash_bytes(1, buffer, done);
		break;
	case CALL_WRITE:
		memset(buffer, (int)t->value, t->size);
		for (size_t i = 0; i < t->size; i += 61)
			buffer[i] = (uint8_t)i;
		status = e->write(side->space, t->gpa, buffer, t->size, t->flags, &done);
		touch_range(side, t->gpa, done);
		break;
	case CALL_FILL:
		status = e->fill(side->space, t->gpa, (uint8_t)t->value, t->size, t->flags,
				 &o->done);
		touch_range(side, t->gpa, o->done);
		return status;
	case CALL_CHUNKS:
		return e->for_each_chunk(side->space, t->gpa, t->size, t->flags, take_chunk, &c);
	default:
		return scalar(side, t, o);
	}
	o->done = done;
	return status;
}

/* --- the calls ------------------------------------------------------------------------------- */

/* In three pieces that neither follow each other nor share an alignment. */
static axas_status_t map_extents(struct side *side, const struct step *t)
{
	const uint64_t first = t->size / PAGE / 2 * PAGE;
	const uint64_t second = (t->size - first) / PAGE / 2 * PAGE;
	const axas_extent_t e[3] = {
		{ t->value, first },
		{ t->value + GIB, second },
		{ t->value + 2 * GIB + PAGE, t->size - first - second },
	};

	if (first == 0)
		return side->engine->map_extents(side->space, t->gpa, &e[2], 1, t->flags);
	if (second == 0) {
		const axas_extent_t two[2] = { e[0], e[2] };

		return side->engine->map_extents(side->space, t->gpa, two, 2, t->flags);
	}
	return side->engine->map_extents(side->space, t->gpa, e, 3, t->flags);
}

static axas_status_t change(struct side *side, const struct step *t, struct outcome *o)
{
	const struct engine *e = side->engine;
	axas_t *as = side->space;

	switch (t->call) {
	case CALL_MAP_LINEAR:
	case CALL_REPLACE:
		return e->map_linear(as, t->gpa, t->value, t->size, t->flags);
	case CALL_MAP_EXTENTS:
		return map_extents(side, t);
	case CALL_MAP_ALLOC:
		return e->map_alloc(as, t->gpa, t->size, t->flags);
	case CALL_MAP_TRAP:
		return e->map_trap(as, t->gpa, t->size, t->value);
	case CALL_UNMAP:
		return e->unmap(as, t->gpa, t->size);
	case CALL_PROTECT:
		return e->protect(as, t->gpa, t->size, t->flags);
	case CALL_POPULATE:
		return e->populate(as, t->gpa, t->size);
	case CALL_DISCARD:
		return e->discard(as, t->gpa, t->size);
	case CALL_MAP_LINEAR_SOME:
		return e->map_linear_some(as, t->gpa, t->value, t->size, t->flags, t->budget,
					  &o->done);
	case CALL_MAP_ALLOC_SOME:
		return e->map_alloc_some(as, t->gpa, t->size, t->flags, t->budget, &o->done);
	case CALL_UNMAP_SOME:
		return e->unmap_some(as, t->gpa, t->size, t->budget, &o->done);
	case CALL_PROTECT_SOME:
		return e->protect_some(as, t->gpa, t->size, t->flags, t->budget, &o->done);
	case CALL_POPULATE_SOME:
		return e->populate_some(as, t->gpa, t->size, t->budget, &o->done);
	case CALL_DISCARD_SOME:
		return e->discard_some(as, t->gpa, t->size, t->budget, &o->done);
	case CALL_CLEAR:
		return e->clear(as);
	default:
		return e->set_vmid(as, (uint32_t)t->value);
	}
}

static uint32_t take_run(void *ctx, const axas_mapping_t *run)
{
	runs_add(ctx, run);
	return 1;
}

static void common_runs(const struct side *side, struct outcome *o)
{
	for (size_t i = 0; i < o->runs.count; i++)
		o->runs.run[i].hpa = common_hpa(side, o->runs.run[i].hpa, PAGE);
}

static axas_status_t hw_regs(struct side *side, struct outcome *o)
{
	axas_hw_regs_t regs;
	const axas_status_t status = side->engine->hw_regs(side->space, &regs);
	const uint32_t shift = regs.format == AXAS_FORMAT_RISCV_GSTAGE ? 12 : 0;

	o->value[0] = regs.root_register - (regs.root >> shift);
	o->value[1] = regs.control_register;
	o->value[2] = ((uint64_t)regs.format << 32) + regs.levels + regs.gpa_bits * 64u;
	o->value[3] = ((uint64_t)regs.pa_bits << 32) + regs.root_bytes + regs.required_state;
	return status;
}

static int64_t look(struct side *side, const struct script *s, const struct step *t,
		    struct outcome *o)
{
	const struct engine *e = side->engine;
	axas_mapping_t m = { 0 };
	axas_status_t status;

	switch (t->call) {
	case CALL_FAULT:
		return e->handle_page_fault(side->space, t->gpa, t->flags);
	case CALL_TRANSLATE:
		status = e->translate(side->space, t->gpa, &o->value[0], &o->value[1]);
		o->value[0] = common_hpa(side, o->value[0], PAGE);
		return status;
	case CALL_QUERY:
		status = e->query(side->space, t->gpa, &m);
		o->value[0] = m.gpa;
		o->value[1] = m.size;
		o->value[2] = m.state;
		return status;
	case CALL_TRAP_COOKIE:
		return e->trap_cookie(side->space, t->gpa, &o->value[0]);
	case CALL_FOR_EACH:
		status = e->for_each(side->space, t->gpa, t->size, take_run, &o->runs);
		common_runs(side, o);
		return status;
	case CALL_TABLES_NEEDED:
		return e->tables_needed(&s->cfg, t->gpa, t->size, t->flags, &o->value[0]);
	case CALL_AUDIT:
		return e->audit(side->space);
	case CALL_HW_REGS:
		return hw_regs(side, o);
	default:
		o->value[0] = e->base(side->space);
		o->value[1] = e->size(side->space) + e->levels(side->space);
		return e->contains_range(side->space, t->gpa, t->size);
	}
}

static void probe(struct side *side, const struct script *s, const struct step *t,
		  struct outcome *o)
{
	const axas_gpa_t at[PROBES] = {
		t->gpa,
		t->gpa + t->size - 1,
		t->gpa - 1,
		t->gpa + t->size,
		s->window + (t->gpa * 0x9e3779b97f4a7c15ull >> 8) % s->window_bytes,
	};

	side->blind_at = 0;
	side->engine->stats(side->space, &o->after) == AXAS_OK ? 0 : memset(&o->after, 0xff, 8);
	for (uint32_t i = 0; i < PROBES; i++) {
		axas_mapping_t *m = &o->probe[i];

		memset(m, 0, sizeof(*m));
		o->hpa[i] = 0;
		o->run[i] = 0;
		o->probe_status[i] = side->engine->query(side->space, at[i], m);
		m->hpa = common_hpa(side, m->hpa, m->size);
		o->translate_status[i] =
			side->engine->translate(side->space, at[i], &o->hpa[i], &o->run[i]);
		o->hpa[i] = common_hpa(side, o->hpa[i], PAGE);
	}
}

void run_step(struct side *side, const struct script *s, uint32_t index, struct outcome *o)
{
	const struct step *t = &s->step[index];

	side_begin(side, index, t->fail_at, t->blind_at, t->yield_at);
	side->may_write =
		t->call == CALL_WRITE || t->call == CALL_FILL || t->call == CALL_WRITE_SCALAR;
	o->done = 0;
	memset(o->value, 0, sizeof(o->value));
	o->contents = 0;
	o->runs.count = 0;
	o->before = o->after;
	if (t->call < CALL_FAULT || t->call == CALL_CLEAR || t->call == CALL_SET_VMID)
		o->status = change(side, t, o);
	else if (t->call >= CALL_READ && t->call <= CALL_WRITE_SCALAR)
		o->status = copy(side, t, o);
	else
		o->status = look(side, s, t, o);
	probe(side, s, t, o);
}

void run_survey(struct side *side, struct outcome *o)
{
	o->runs.count = 0;
	o->status = side->engine->for_each(side->space, side->engine->base(side->space),
					   side->engine->size(side->space), take_run, &o->runs);
	common_runs(side, o);
	o->value[0] = (uint64_t)side->engine->audit(side->space);
}
