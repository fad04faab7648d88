/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Pages change hands between two spaces: random sequences against a model of both, before CPUs that hold on to all they
 * may (tlb.h). At each flush and after each call no frame can be written by CPUs of both spaces unless it is shared;
 * what is wiped is wiped when no CPU can write to it. Allocations fail now and then, and then nothing has changed.
 */
#include "tlb.h"

#define STEPS  250u
#define PAGES  1536u
/* Linear memory that the host can reach; a frame for each page of both windows. */
#define MEMORY (HOST_PA_BASE + HOST_LINEAR)
#define FRAMES (2 * PAGES)
#define AUTO   0x80000000u /* in flags: hidden until the next access */

struct page {
	uint32_t state;
	uint32_t flags; /* permissions and tag */
	axas_hpa_t hpa;
	uint32_t note;
};

struct side {
	axas_t *as;
	struct tlb tlb;
	axas_gpa_t base;
	struct page page[PAGES], before[PAGES];
};

struct two {
	struct fixture f;
	struct side side[2];
	uint64_t rng, seed;
	uint32_t tags; /* that both spaces have */
	uint8_t shared[FRAMES]; /* with AXAS_SHARE: both may write */
	uint8_t written[FRAMES]; /* what a guest wrote last */
	uint8_t writers[FRAMES];
	int finished;
	uint32_t failed, deals[5]; /* transfers that were done, by action */
};

/* For the hook in a flush. */
static struct two *two;

static uint64_t below(uint64_t bound)
{
	two->rng ^= two->rng >> 12;
	two->rng ^= two->rng << 25;
	two->rng ^= two->rng >> 27;
	return (two->rng * 0x2545f4914f6cdd1dull >> 8) % bound;
}

static uint64_t frame_of(axas_hpa_t hpa)
{
	return (hpa - MEMORY) / PAGE;
}

/* --- what must hold at any time -------------------------------------------------------------- */

struct visit {
	uint8_t bit;
};

static void may_write(void *ctx, axas_hpa_t hpa, uint64_t size)
{
	const struct visit *v = ctx;

	for (uint64_t at = 0; at < size; at += PAGE)
		if (frame_of(hpa + at) < FRAMES)
			two->writers[frame_of(hpa + at)] |= v->bit;
}

/* A frame that is not shared has no writers in both, and what can be written to was not wiped. */
static void check_writers(void)
{
	memset(two->writers, 0, sizeof(two->writers));
	for (uint32_t s = 0; s < 2; s++)
		tlb_visit_writable(&two->side[s].tlb, may_write,
				   &(struct visit){ (uint8_t)(1u << s) });
	for (uint64_t i = 0; i < FRAMES; i++) {
		const uint8_t *memory = host_at(&two->f.host, MEMORY + i * PAGE);

		if (two->writers[i] == 3 && !two->shared[i])
			host_violation(&two->f.host, "frame %llu has two writers",
				       (unsigned long long)i);
		if (two->writers[i] != 0 && memory[PAGE - 1] != two->written[i])
			host_violation(&two->f.host, "frame %llu changes under a guest",
				       (unsigned long long)i);
	}
}

static void in_flush(struct tlb *t, const axas_tlb_request_t *q)
{
	(void)t;
	(void)q;
	check_writers();
}

/* --- the model ------------------------------------------------------------------------------- */

static int is_page(const struct page *p)
{
	return p->state == AXAS_STATE_LINEAR || p->state == AXAS_STATE_OWNED;
}

static void check_side(const struct side *s)
{
	for (uint64_t i = 0; i < PAGES;) {
		const axas_gpa_t gpa = s->base + i * PAGE;
		axas_mapping_t m;

		assert_ok(axas_query(s->as, gpa, &m));
		do {
			const struct page *p = &s->page[i];
			const axas_gpa_t at = s->base + i * PAGE;
			const struct walk r = walker_walk(&s->tlb.walker, at);

			if (m.state != p->state)
				fail_msg("gpa %#llx: state %u, not %u", (unsigned long long)at,
					 m.state, p->state);
			assert_int_equal(r.outcome == WALK_LEAF, is_page(p));
			if (p->state == AXAS_STATE_NOTE)
				assert_int_equal(m.cookie, p->note);
			if (p->state != AXAS_STATE_ABSENT)
				assert_int_equal(m.flags & AXAS_TAG_MASK, p->flags & AXAS_TAG_MASK);
			if (is_page(p) || p->state == AXAS_STATE_HIDDEN) {
				assert_int_equal(m.hpa + (at - m.gpa), p->hpa);
				assert_int_equal(space_access(m.flags), space_access(p->flags));
			}
			if (is_page(p)) {
				assert_int_equal(r.hpa, p->hpa);
				assert_int_equal(r.access, space_access(p->flags));
			}
		} while (++i < PAGES && s->base + i * PAGE < m.gpa + m.size);
	}
}

/* After a call: what the CPUs hold is true, nobody writes what is another's, and the model is right. */
static void settle(void)
{
	for (uint32_t s = 0; s < 2; s++)
		tlb_settle_taken_in(&two->side[s].tlb, 0, 0);
	check_writers();
	host_check(&two->f.host);
	for (uint32_t s = 0; s < 2; s++)
		check_side(&two->side[s]);
}

/* The call did what the model says, or failed for want of memory and did nothing. */
static int ends(axas_status_t status, axas_status_t expected)
{
	const int may_fail = two->f.host.fail_at != 0 || status == AXAS_ERR_NO_MEMORY;

	two->f.host.fail_at = 0;
	if (status != expected && !(may_fail && status == AXAS_ERR_NO_MEMORY))
		fail_msg("status %d, not %d", status, expected);
	two->failed += status != AXAS_OK;
	return status == AXAS_OK;
}

static void draw(uint64_t *first, uint64_t *count)
{
	*first = below(3) == 0 ? 512 * below(3) : below(PAGES);
	*count = 1 + below(below(2) ? 24 : PAGES);
	if (below(3) == 0)
		*count = 512;
	if (*count > PAGES - *first)
		*count = PAGES - *first;
}

/* Most often up to the first thing that is there. */
static void draw_hole(const struct side *s, uint64_t *first, uint64_t *count)
{
	draw(first, count);
	if (below(8) == 0)
		return;
	for (uint64_t i = 1; i < *count; i++)
		if (s->page[*first + i].state != AXAS_STATE_ABSENT)
			*count = i;
}

static axas_flags_t draw_tag(void)
{
	return below(3) == 0 ? TAG(below(two->tags + 1ull)) : 0;
}

static axas_flags_t draw_access(void)
{
	return below(3) == 0 ? AXAS_READ : RW;
}

static void fail_some(void)
{
	two->f.host.fail_at = below(4) == 0 ? 1 + below(4) : 0;
}

/* --- calls of one space ---------------------------------------------------------------------- */

static int is_used(axas_hpa_t hpa)
{
	for (uint32_t s = 0; s < 2; s++)
		for (uint64_t i = 0; i < PAGES; i++)
			if (two->side[s].page[i].hpa == hpa)
				return 1;
	return 0;
}

static void do_map(struct side *s)
{
	const axas_flags_t flags = draw_access() | draw_tag();
	const uint64_t home = (uint64_t)(s - two->side) * PAGES;
	axas_status_t expected = AXAS_OK;
	uint64_t first, count;

	draw_hole(s, &first, &count);
	for (uint64_t i = first; i < first + count; i++) {
		if (s->page[i].state != AXAS_STATE_ABSENT)
			expected = AXAS_ERR_ALREADY_EXISTS;
		else if (is_used(MEMORY + (home + i) * PAGE))
			return; /* a host does not map memory that is another's */
	}
	fail_some();
	if (!ends(axas_map_linear(s->as, s->base + first * PAGE, MEMORY + (home + first) * PAGE,
				  count * PAGE, flags),
		  expected))
		return;
	for (uint64_t i = first; i < first + count; i++)
		s->page[i] =
			(struct page){ AXAS_STATE_LINEAR, flags, MEMORY + (home + i) * PAGE, 0 };
	for (uint64_t i = first; i < first + count; i++)
		two->shared[home + i] = 0;
}

static void do_map_alloc(struct side *s)
{
	const axas_flags_t flags = draw_access() | draw_tag();
	axas_status_t expected = AXAS_OK;
	uint64_t first, count;

	draw_hole(s, &first, &count);
	for (uint64_t i = first; i < first + count; i++)
		if (s->page[i].state != AXAS_STATE_ABSENT)
			expected = AXAS_ERR_ALREADY_EXISTS;
	fail_some();
	if (!ends(axas_map_alloc(s->as, s->base + first * PAGE, count * PAGE,
				 flags | AXAS_POPULATE | AXAS_HUGE_FRAMES),
		  expected))
		return;
	for (uint64_t i = first; i < first + count; i++)
		s->page[i] =
			(struct page){ AXAS_STATE_OWNED, flags,
				       walker_walk(&s->tlb.walker, s->base + i * PAGE).hpa, 0 };
}

static void do_unmap(struct side *s)
{
	uint64_t first, count;

	draw(&first, &count);
	fail_some();
	if (ends(axas_unmap(s->as, s->base + first * PAGE, count * PAGE), AXAS_OK))
		memset(&s->page[first], 0, count * sizeof(s->page[0]));
}

static void do_protect(struct side *s)
{
	const axas_flags_t flags = draw_access();
	axas_status_t expected = AXAS_OK;
	uint64_t first, count;

	draw(&first, &count);
	for (uint64_t i = first; i < first + count; i++) {
		const struct page *p = &s->page[i];

		if (p->state == AXAS_STATE_ABSENT || p->state == AXAS_STATE_NOTE)
			expected = AXAS_ERR_NOT_MAPPED;
		/* the host's policy: memory of two gets no more permissions */
		if (p->state == AXAS_STATE_LINEAR && (flags & ~p->flags & RW))
			return;
	}
	fail_some();
	if (!ends(axas_protect(s->as, s->base + first * PAGE, count * PAGE, flags), expected))
		return;
	for (uint64_t i = first; i < first + count; i++)
		s->page[i].flags = (s->page[i].flags & ~(axas_flags_t)RW) | flags;
}

/* Another space has the frame, too. */
static int has_two(const struct side *s, const struct page *p)
{
	const struct side *other = &two->side[s == two->side];

	for (uint64_t i = 0; i < PAGES; i++)
		if (other->page[i].hpa == p->hpa)
			return 1;
	return 0;
}

static void do_hide_or_show(struct side *s, int hides)
{
	const uint32_t options = below(2) ? (uint32_t)AXAS_HIDE_AUTO : 0;
	uint64_t first, count;

	draw(&first, &count);
	for (uint64_t i = first; i < first + count; i++)
		if (!hides && s->page[i].state == AXAS_STATE_HIDDEN && has_two(s, &s->page[i]))
			return;
	if (hides && options)
		for (uint64_t i = first; i < first + count; i++)
			if (has_two(s, &s->page[i]))
				return;
	fail_some();
	if (!ends(hides ? axas_hide(s->as, s->base + first * PAGE, count * PAGE, options) :
			  axas_show(s->as, s->base + first * PAGE, count * PAGE),
		  AXAS_OK))
		return;
	for (uint64_t i = first; i < first + count; i++) {
		struct page *p = &s->page[i];

		if (hides && is_page(p)) {
			p->note = p->state;
			p->state = AXAS_STATE_HIDDEN;
			p->flags |= options ? AUTO : 0;
		} else if (hides && !options) {
			p->flags &= ~AUTO;
		} else if (!hides && p->state == AXAS_STATE_HIDDEN) {
			p->state = p->note;
			p->flags &= ~AUTO;
		}
	}
}

static void do_note(struct side *s)
{
	const uint32_t note = 1 + (uint32_t)below(1000);
	const axas_flags_t tag = draw_tag();
	axas_status_t expected = AXAS_OK;
	uint64_t first, count;

	draw_hole(s, &first, &count);
	for (uint64_t i = first; i < first + count; i++)
		if (s->page[i].state != AXAS_STATE_ABSENT)
			expected = AXAS_ERR_ALREADY_EXISTS;
	fail_some();
	if (!ends(axas_map_note(s->as, s->base + first * PAGE, count * PAGE, note, tag), expected))
		return;
	for (uint64_t i = first; i < first + count; i++)
		s->page[i] = (struct page){ AXAS_STATE_NOTE, tag, 0, note };
}

/* A guest accesses a page; where its CPU can write, it does. */
static void guest_accesses(struct side *s)
{
	const uint64_t i = below(PAGES);
	const axas_gpa_t gpa = s->base + i * PAGE;
	const axas_flags_t access = below(4) == 0 ? AXAS_READ : AXAS_WRITE;
	struct page *p = &s->page[i];

	tlb_this_cpu = (uint32_t)below(TLB_CPUS);
	if (tlb_may_fault(&s->tlb, gpa, access)) {
		axas_fault_result_t verdict;

		tlb_faulted(&s->tlb, gpa);
		verdict = axas_handle_page_fault(s->as, gpa, access);
		if (p->state == AXAS_STATE_HIDDEN && (p->flags & AUTO) &&
		    verdict == AXAS_FAULT_RESOLVED) {
			const uint64_t pages = walker_walk(&s->tlb.walker, gpa).size / PAGE;

			for (uint64_t n = i / pages * pages; n < (i / pages + 1) * pages; n++) {
				s->page[n].state = s->page[n].note;
				s->page[n].flags &= ~AUTO;
			}
		} else if (p->state == AXAS_STATE_HIDDEN) {
			assert_true(!axas_fault_resumes(verdict) || (p->flags & AUTO));
		} else if (!is_page(p)) {
			assert_int_equal(verdict, AXAS_FAULT_UNMAPPED);
		} else if (access & ~p->flags & RW) {
			assert_int_equal(verdict, AXAS_FAULT_DENIED);
		} else {
			assert_true(axas_fault_resumes(verdict));
		}
		return;
	}
	assert_true(is_page(p));
	if (access == AXAS_WRITE && frame_of(p->hpa) < FRAMES) {
		const uint8_t value = (uint8_t)(1 + below(255));
		uint8_t *memory = host_at(&two->f.host, p->hpa);

		memory[PAGE - 1] = value;
		two->written[frame_of(p->hpa)] = value;
	}
}

/* --- transfers ------------------------------------------------------------------------------- */

static int has_tag(uint32_t set, const struct page *p)
{
	return set == 0 || p->state == AXAS_STATE_ABSENT || (set >> tag_of(p->flags) & 1);
}

/* What a page of the giver's and its place with the taker are refused for; AXAS_OK: nothing. */
static axas_status_t refusal(const axas_transfer_t *d, const struct page *p, const struct page *q)
{
	const int wipes = (d->options & AXAS_WIPE) != 0;

	if (p->state == AXAS_STATE_ABSENT)
		return AXAS_ERR_NOT_MAPPED;
	if (d->action == AXAS_TAKE_BACK) {
		const int may = wipes ? p->state == AXAS_STATE_HIDDEN && !(p->flags & AUTO) :
					is_page(p) || p->state == AXAS_STATE_HIDDEN;

		if (!may || !has_tag(d->from_tags, p))
			return AXAS_ERR_DENIED;
		if (p->state == AXAS_STATE_OWNED ||
		    (p->state == AXAS_STATE_HIDDEN && p->note == AXAS_STATE_OWNED))
			return AXAS_ERR_UNSUPPORTED;
		if (q->state == AXAS_STATE_ABSENT)
			return AXAS_ERR_NOT_MAPPED;
		return q->state == AXAS_STATE_LINEAR && has_tag(d->to_tags, q) && q->hpa == p->hpa ?
			       AXAS_OK :
			       AXAS_ERR_DENIED;
	}
	if (!is_page(p) || !has_tag(d->from_tags, p) || (d->to_flags & ~p->flags & RW) ||
	    (d->from_flags & ~p->flags & RW))
		return AXAS_ERR_DENIED;
	if (p->state == AXAS_STATE_OWNED && d->action != AXAS_GIVE)
		return AXAS_ERR_UNSUPPORTED;
	if (q->state != AXAS_STATE_ABSENT && q->state != AXAS_STATE_NOTE)
		return AXAS_ERR_ALREADY_EXISTS;
	return has_tag(d->to_tags, q) ? AXAS_OK : AXAS_ERR_DENIED;
}

static axas_transfer_t draw_deal(void)
{
	axas_transfer_t d = {
		.struct_size = sizeof(d),
		.action = AXAS_GIVE + (uint32_t)below(4),
		.to_flags = draw_access() | draw_tag(),
		.from_flags = draw_tag(),
		.from_tags = below(4) == 0 ? 1 + (uint32_t)below(two->tags + 1ull) : 0,
		.to_tags = below(6) == 0 ? 1 : 0,
	};

	if (d.action == AXAS_GIVE)
		d.note = (uint32_t)below(3);
	if (d.action == AXAS_SHARE && below(2))
		d.from_flags |= AXAS_READ;
	if (d.action == AXAS_TAKE_BACK) {
		d.to_flags = 0;
		if (below(2))
			d.from_flags |= draw_access();
	}
	if (d.action != AXAS_SHARE && below(3) == 0)
		d.options = AXAS_WIPE;
	return d;
}

static void move_page(const axas_transfer_t *d, struct page *p, struct page *q)
{
	const axas_flags_t tag = d->from_flags & AXAS_TAG_MASK;
	const uint64_t frame = frame_of(p->hpa);

	if (d->action == AXAS_TAKE_BACK) {
		if (p->state == AXAS_STATE_HIDDEN)
			p->state = p->note;
		p->flags = tag | (d->from_flags & RW ? d->from_flags & RW : p->flags & RW);
		*q = (struct page){ 0 };
		if (frame < FRAMES)
			two->shared[frame] = 0;
	} else {
		*q = (struct page){ p->state, d->to_flags, p->hpa, 0 };
		if (d->action == AXAS_GIVE) {
			*p = (struct page){ d->note ? AXAS_STATE_NOTE : AXAS_STATE_ABSENT,
					    d->note ? tag : 0, 0, d->note };
		} else {
			p->flags = tag | (d->from_flags & RW ? d->from_flags & RW : p->flags & RW);
			if (d->action == AXAS_LEND) {
				p->note = p->state;
				p->state = AXAS_STATE_HIDDEN;
			}
		}
	}
	if (d->options & AXAS_WIPE && frame < FRAMES)
		two->written[frame] = 0;
}

/* Memory that both have already, one of them not by this deal: nothing that a host would do. */
static int is_doubtful(const struct side *from, const axas_transfer_t *d, const struct page *p)
{
	const int has = is_page(p) || p->state == AXAS_STATE_HIDDEN;

	return has && d->action != AXAS_TAKE_BACK && has_two(from, p);
}

/* The next pages from there on that such a deal is possible with. */
static void find(const struct side *from, const axas_transfer_t *d, uint64_t *first,
		 uint64_t *there)
{
	const struct side *to = &two->side[from == two->side];

	for (uint64_t n = 0; n < PAGES; n++) {
		const struct page *p = &from->page[(*first + n) % PAGES];

		for (uint64_t i = 0; p->state != AXAS_STATE_ABSENT && i < PAGES; i++)
			if (refusal(d, p, &to->page[(*there + i) % PAGES]) == AXAS_OK &&
			    !is_doubtful(from, d, p)) {
				*first = (*first + n) % PAGES;
				*there = (*there + i) % PAGES;
				return;
			}
	}
}

static void do_transfer(struct side *from)
{
	struct side *to = &two->side[from == two->side];
	const axas_transfer_t d = draw_deal();
	axas_status_t status, expected = AXAS_OK;
	uint64_t first, count, there, fits;
	uint32_t reasons = 0;

	draw(&first, &count);
	there = below(2) ? first : below(PAGES);
	if (below(8))
		find(from, &d, &first, &there);
	/* the page beside the right one is another */
	if (d.action == AXAS_TAKE_BACK && below(4) == 0 && there + 1 < PAGES) {
		there++;
		count = 1;
	}
	if (count > PAGES - first)
		count = PAGES - first;
	if (count > PAGES - there)
		count = PAGES - there;
	fits = 0;
	while (fits < count &&
	       refusal(&d, &from->page[first + fits], &to->page[there + fits]) == AXAS_OK)
		fits++;
	if (fits > 0 && below(8))
		count = fits;
	for (uint64_t i = 0; i < count; i++) {
		const axas_status_t why = refusal(&d, &from->page[first + i], &to->page[there + i]);

		if (is_doubtful(from, &d, &from->page[first + i]))
			return;
		reasons |= 1u << -why;
		if (why != AXAS_OK)
			expected = why;
	}
	for (uint64_t i = first; d.action == AXAS_SHARE && expected == AXAS_OK &&
				 !(d.from_flags & RW) && i < first + count;
	     i++)
		two->shared[frame_of(from->page[i].hpa)] = 1;
	fail_some();
	status = axas_transfer(from->as, from->base + first * PAGE, to->as, to->base + there * PAGE,
			       count * PAGE, &d);
	/* which of several reasons is said is not promised */
	if (status != AXAS_OK && expected != AXAS_OK && (reasons >> -status & 1))
		expected = status;
	if (!ends(status, expected))
		return;
	two->deals[d.action]++;
	for (uint64_t i = 0; i < count; i++)
		move_page(&d, &from->page[first + i], &to->page[there + i]);
	for (uint64_t i = there; d.options & AXAS_WIPE && i < there + count; i++) {
		const axas_hpa_t hpa = d.action == AXAS_TAKE_BACK ?
					       from->page[first + (i - there)].hpa :
					       to->page[i].hpa;
		const uint8_t *memory = host_at(&two->f.host, hpa);

		assert_int_equal(memory[PAGE - 1], 0);
	}
}

/* --- sequences ------------------------------------------------------------------------------- */

static void step(void)
{
	struct side *s = &two->side[below(2)];

	tlb_this_cpu = (uint32_t)below(TLB_CPUS);
	switch (below(16)) {
	case 0:
	case 1:
	case 2:
		do_map(s);
		break;
	case 3:
		do_map_alloc(s);
		break;
	case 4:
		do_unmap(s);
		break;
	case 5:
		do_protect(s);
		break;
	case 6:
		do_hide_or_show(s, (int)below(2));
		break;
	case 7:
		do_note(s);
		break;
	case 8:
	case 9:
		for (int i = 0; i < 32; i++)
			guest_accesses(&two->side[below(2)]);
		break;
	default:
		do_transfer(s);
	}
	settle();
}

static int setup(void **state)
{
	const struct format_case *fc = *state;

	two = calloc(1, sizeof(*two));
	assert_non_null(two);
	two->f.fc = fc;
	host_init(&two->f.host, HOST_CALLBACK, HOST_PA_BASE);
	two->f.host.hides = 1;
	tlb_attach(&two->side[0].tlb, &two->f.host);
	tlb_attach_beside(&two->side[1].tlb);
	*state = two;
	return 0;
}

static int teardown_two(void **state)
{
	(void)state;
	if (!two->finished)
		print_error("seed %llu\n", (unsigned long long)two->seed);
	for (uint32_t s = 2; s-- > 0;)
		tlb_detach(&two->side[s].tlb);
	/* after a failure the spaces are still known, by the address of their host */
	if (!two->finished)
		return 0;
	host_exit(&two->f.host);
	free(two);
	return 0;
}

static void run_sequence(uint64_t seed, uint32_t features)
{
	const struct format_case *fc = two->f.fc;

	two->seed = seed;
	two->rng = seed * 0x9e3779b97f4a7c15ull + 1;
	memset(two->shared, 0, sizeof(two->shared));
	for (uint32_t i = 0; i < 2; i++) {
		struct side *s = &two->side[i];
		const axas_config_t cfg = {
			.struct_size = sizeof(cfg),
			.format = fc->format,
			.size = SPACE_SIZE,
			.vmid = 5 + i,
			.features = fc->features | features,
		};

		memset(s->page, 0, sizeof(s->page));
		s->base = (4 + 3 * i) * GIB;
		assert_ok(axas_create(&cfg, &two->f.host.hal, &s->as));
		tlb_watch(&s->tlb, s->as, &cfg);
		s->tlb.in_flush = in_flush;
		two->tags = (1u << axas_tag_bits(s->as)) - 1;
	}
	for (uint32_t i = 0; i < STEPS; i++)
		step();
	for (uint32_t i = 0; i < 2; i++) {
		space_sweep(two->side[i].as);
		two->side[i].tlb.in_flush = NULL;
	}
	for (uint32_t i = 0; i < 2; i++) {
		axas_destroy(two->side[i].as);
		tlb_unwatch(&two->side[i].tlb);
	}
	host_check_balance(&two->f.host);
}

static void a_frame_has_one_writer(void **state)
{
	const uint32_t format = two->f.fc->format;

	(void)state;
	for (uint32_t i = 0; i < 4; i++)
		run_sequence(9000 + i,
			     format == AXAS_FORMAT_ARM_S2 && i % 2 ? AXAS_FEATURE_ARM_BBM2 : 0);
	assert_true(two->failed > 200);
	for (uint32_t action = AXAS_GIVE; action <= AXAS_TAKE_BACK; action++)
		if (two->deals[action] < 20)
			fail_msg("%u transfers of kind %u", two->deals[action], action);
	tlb_this_cpu = 0;
	two->finished = 1;
}

#define TWO_ON(fmt)                                                                               \
	{                                                                                         \
		"a_frame_has_one_writer [" #fmt "]", a_frame_has_one_writer, setup, teardown_two, \
			&fmt##_case                                                               \
	}

int main(void)
{
	const struct CMUnitTest tests[] = { TWO_ON(ept), TWO_ON(npt), TWO_ON(arm), TWO_ON(riscv) };

	return cmocka_run_group_tests_name("two", tests, NULL, NULL);
}
