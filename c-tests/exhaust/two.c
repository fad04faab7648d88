/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Small-scope exhaustion of two spaces: as exhaust.c, with calls of either space and transfers between them. No
 * frame has two writers at any request or after a call unless it is shared. See docs/testing.md.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "deals.h"
#include "judge.h"
#include "states.h"

#define MOST_FAILURES 16u

struct side {
	axas_t *as;
	struct walker walker;
	struct tables before, after;
	struct pages pages, next;
};

static struct {
	const char *format;
	uint32_t format_number;
	const struct scope *scope;
	struct deal deal[MOST_DEALS];
	uint8_t succeeded[MOST_DEALS];
	uint32_t deals;
	struct states states;
	struct side side[2];
	uint64_t transitions, failures;
	uint32_t now, now_deal, now_fail;
	int is_in_transfer;
	int is_wiped_early;
} run;

/* --- what is wrong --------------------------------------------------------------------------- */

static void tell_step(uint32_t deal, uint32_t fail)
{
	printf("  ");
	deal_print(&run.deal[deal]);
	if (fail != 0)
		printf(", allocation %u fails", fail);
	printf("\n");
}

static void wrong(const char *why)
{
	uint32_t path[MOST_DEPTH], length;

	printf("%s %s: %s\nfrom two empty spaces:\n", run.format, run.scope->name, why);
	states_path(&run.states, run.now, path, &length);
	for (uint32_t i = 0; i < length; i++)
		tell_step(run.states.node[path[i]].letter, run.states.node[path[i]].fail);
	tell_step(run.now_deal, run.now_fail);
	fflush(stdout);
	_exit(1);
}

static void crashed(int number)
{
	(void)number;
	wrong("a signal");
}

/* --- two spaces ------------------------------------------------------------------------------ */

/* The next calls, and what the host sees, are of this one. */
static void choose(uint32_t side)
{
	const struct side *s = &run.side[side], *other = &run.side[1 - side];

	space = s->as;
	walker = s->walker;
	world_side = side + 1;
	tables_hold(&s->before);
	world_other_walked = other->before.walked;
}

/* What is known of the other one, when the tables of both were read. */
static void know_other(const struct tables *t, const struct pages *p)
{
	world_other_tables = t->frames;
	world_other_guests = (uint32_t)pages_count(p, AXAS_STATE_OWNED);
}

/* The other one, and what the host saw of it. */
static void swap_sides(uint32_t side)
{
	static struct seen seen_before;

	world_copy_seen(&seen_before, &seen);
	world_copy_seen(&seen, &seen_of_other);
	world_copy_seen(&seen_of_other, &seen_before);
	choose(side);
}

static void create(void)
{
	for (uint32_t i = 0; i < 2; i++) {
		struct side *s = &run.side[i];
		axas_config_t cfg = scope_config(run.scope, run.format_number);

		cfg.vmid = i + 1;
		world_create_side(i, &cfg);
		s->as = deal_space[i] = space;
		s->walker = walker;
		tables_read(&s->before);
		pages_clear(&s->pages);
	}
}

/* --- who can write --------------------------------------------------------------------------- */

static int is_writable(const struct page_run *r)
{
	return pages_is_mapped(r) && r->hidden == SHOWN && (r->flags & AXAS_WRITE);
}

static const char *judge_writers(const struct pages *a, const struct pages *b)
{
	for (uint32_t i = 0; i < a->runs; i++)
		for (uint32_t j = 0; j < b->runs; j++) {
			const struct page_run *p = &a->run[i], *q = &b->run[j];

			if (is_writable(p) && is_writable(q) && p->value < q->value + q->size &&
			    q->value < p->value + p->size && !(p->is_shared && q->is_shared))
				return "a frame has two writers";
		}
	return NULL;
}

/* A walker of the tables found it, and could write to it. */
static int had(const struct tables *t, axas_gpa_t gpa, axas_hpa_t hpa)
{
	for (uint32_t i = 0; i < t->runs; i++)
		if (gpa - t->run[i].gpa < t->run[i].size && (t->run[i].access & WALK_W) &&
		    t->run[i].hpa + (gpa - t->run[i].gpa) == hpa)
			return 1;
	return 0;
}

/* CPUs of one space may hold what it had; the other one must not have it yet, or not be able to write to it. */
static void in_flush(uint32_t number)
{
	const struct deal *d = &run.deal[run.now_deal];
	const uint32_t loser = number - 1;
	const struct tables *held = &run.side[loser].before;
	const struct seen *s = number == world_side ? &seen : &seen_of_other;
	const int is_shared = d->t.action == AXAS_SHARE && d->t.from_flags == 0;

	/* the second one is for tables that pages were given from */
	if (!run.is_in_transfer || is_shared || s->flushes_all != 0)
		return;
	for (uint64_t at = 0; at < d->l.size; at += PAGE) {
		const int loses_from = loser == d->side;
		const axas_gpa_t here = (loses_from ? d->l.gpa : d->to_gpa) + at;
		const axas_gpa_t there = (loses_from ? d->to_gpa : d->l.gpa) + at;
		const struct walk w = walker_walk(&run.side[1 - loser].walker, there);

		for (uint32_t i = 0; i < held->runs; i++) {
			const struct leaf_run *r = &held->run[i];

			if (here - r->gpa >= r->size || !(r->access & WALK_W))
				continue;
			if (world_is_guest(r->hpa) && d->t.options & AXAS_WIPE && loses_from &&
			    world_stamp(r->hpa + (here - r->gpa)) == 0)
				run.is_wiped_early = 1;
			if (w.outcome == WALK_LEAF && (w.access & WALK_W) &&
			    w.hpa == r->hpa + (here - r->gpa) && !d->is_some &&
			    !had(&run.side[1 - loser].before, there, w.hpa))
				wrong("two spaces can write to a frame before the request");
		}
	}
}

/* Pages that are to be wiped are not empty; afterwards they are. */
static const char *look_at_wiped(const struct deal *d, const struct pages *pages, int is_after)
{
	for (uint64_t at = 0; at < d->l.size; at += PAGE) {
		const axas_gpa_t gpa = d->l.gpa + at;
		const struct page_run *r = pages_at(pages, gpa);

		if (r == NULL || !pages_is_mapped(r))
			continue;
		if (!is_after)
			world_put_stamp(r->value + (gpa - r->gpa), gpa);
		else if (world_stamp(r->value + (gpa - r->gpa)) != 0)
			return "a page is not wiped";
	}
	return NULL;
}

/* --- transitions ----------------------------------------------------------------------------- */

static const char *judge_side(uint32_t side)
{
	struct side *s = &run.side[side];
	const char *why = s->after.broken;

	if (why == NULL && seen.released_count != 0)
		why = "a transfer releases";
	if (why == NULL && seen.flushes_all > 2)
		why = "too many requests to all CPUs";
	if (why == NULL)
		why = judge_tables(run.scope, &s->before, &s->after, &s->next);
	return why;
}

static const char *judge_transfer(const struct deal *d, const struct outcome *o)
{
	struct side *from = &run.side[d->side], *to = &run.side[1 - d->side];
	const char *why = seen.violation != NULL ? seen.violation : seen_of_other.violation;

	if (why == NULL)
		why = deal_judge_status(d, o, &from->pages, &to->pages);
	if (why != NULL)
		return why;
	deal_apply(d, &from->next, &to->next, o->done);
	choose(1 - d->side);
	tables_read(&to->after);
	choose(d->side);
	tables_read(&from->after);
	know_other(&to->after, &to->next);
	why = judge_side(d->side);
	if (why != NULL)
		return why;
	swap_sides(1 - d->side);
	know_other(&from->after, &from->next);
	why = judge_side(1 - d->side);
	if (why == NULL && run.is_wiped_early)
		why = "pages are wiped that a CPU may still write to";
	if (why == NULL && d->t.options & AXAS_WIPE && o->done == d->l.size)
		why = look_at_wiped(d, &from->pages, 1);
	if (why == NULL && o->done == 0 &&
	    !(world_has_same_frames() && tables_same_pages(&from->before, &from->after) &&
	      tables_same_pages(&to->before, &to->after)))
		why = "it failed, and tables or frames changed";
	return why;
}

static const char *judge_call(const struct deal *d, struct outcome *o)
{
	struct side *s = &run.side[d->side], *other = &run.side[1 - d->side];
	int changed;

	if (d->l.kind == FAULT)
		o->done = o->status == AXAS_FAULT_RESOLVED ? PAGE : 0;
	if (!world_has_same_tables(other->before.used) || seen_of_other.flushes != 0)
		return "a call of one space changes the other";
	know_other(&other->before, &other->pages);
	tables_copy(&s->after, &s->before);
	return judge(run.scope, &d->l, o, &s->before, &s->after, &s->next, &changed);
}

/* Makes the call in the states that were saved. */
static void step(uint32_t deal, uint32_t fail)
{
	const struct deal *d = &run.deal[deal];
	struct outcome o;
	const char *why;

	run.now_deal = deal;
	run.now_fail = fail;
	run.is_wiped_early = 0;
	for (uint32_t i = 0; i < 2; i++)
		pages_copy(&run.side[i].next, &run.side[i].pages);
	if (d->t.options & AXAS_WIPE)
		look_at_wiped(d, &run.side[d->side].pages, 0);
	choose(d->side);
	know_other(&run.side[1 - d->side].before, &run.side[1 - d->side].pages);
	world_begin(fail);
	run.is_in_transfer = d->is_transfer;
	o = deal_run(d);
	run.is_in_transfer = 0;
	tables_copy(&run.side[1 - d->side].after, &run.side[1 - d->side].before);
	why = d->is_transfer ? judge_transfer(d, &o) : judge_call(d, &o);
	if (why == NULL)
		why = judge_writers(&run.side[0].next, &run.side[1].next);
	if (why != NULL)
		wrong(why);
}

static uint64_t digest_of(const struct tables *a, const struct tables *b)
{
	return a->digest * 3 + b->digest;
}

/* Everything that both libraries say; then both are destroyed. */
static const char *judge_both(void)
{
	const char *why = NULL;

	for (uint32_t i = 0; i < 2 && why == NULL; i++) {
		choose(i);
		know_other(&run.side[1 - i].after, &run.side[1 - i].next);
		why = judge_looks(&run.side[i].next, run.scope, 1);
	}
	for (uint32_t i = 0; i < 2 && why == NULL; i++) {
		choose(i);
		world_begin(0);
		seen.tables_removed = seen_of_other.tables_removed = 1;
		axas_destroy(space);
		why = seen.violation != NULL ? seen.violation : seen_of_other.violation;
	}
	if (why == NULL && (world.frames.tables != 0 || world.frames.guest_out != 0))
		why = "destroy does not give everything back";
	return why;
}

static void arrive(uint32_t from, uint32_t deal, uint32_t fail)
{
	const uint64_t tables = digest_of(&run.side[0].after, &run.side[1].after);
	const uint64_t pages =
		pages_digest(&run.side[0].next) * 3 + pages_digest(&run.side[1].next);
	const struct node *known = states_find(&run.states, tables);
	const char *why;

	if (known != NULL) {
		if (known->pages != pages)
			wrong("the same tables for different spaces");
		return;
	}
	if (!states_have_room(&run.states, from))
		return;
	states_add(&run.states, &(struct node){
					.parent = from,
					.letter = (uint16_t)deal,
					.fail = (uint8_t)fail,
					.tables = tables,
					.pages = pages,
				});
	why = judge_both();
	if (why != NULL)
		wrong(why);
}

static void go_to(uint32_t node)
{
	uint32_t path[MOST_DEPTH], length;

	create();
	states_path(&run.states, node, path, &length);
	for (uint32_t i = 0; i < length; i++) {
		step(run.states.node[path[i]].letter, run.states.node[path[i]].fail);
		world_save();
		for (uint32_t side = 0; side < 2; side++) {
			tables_copy(&run.side[side].before, &run.side[side].after);
			pages_copy(&run.side[side].pages, &run.side[side].next);
		}
	}
	if (digest_of(&run.side[0].before, &run.side[1].before) != run.states.node[node].tables)
		wrong("the same calls do not lead to the same state");
}

static void expand(uint32_t node)
{
	run.now = 0;
	go_to(node);
	run.now = node;
	for (uint32_t i = 0; i < run.deals; i++) {
		const struct deal *d = &run.deal[i];
		uint32_t allocations = 0;

		if (deal_is_doubtful(d, &run.side[d->side].pages, &run.side[1 - d->side].pages))
			continue;
		for (uint32_t fail = 0; fail <= allocations && fail <= MOST_FAILURES; fail++) {
			step(i, fail);
			if (fail == 0)
				allocations = seen.allocations + seen_of_other.allocations;
			else
				run.failures++;
			run.transitions++;
			if (digest_of(&run.side[0].after, &run.side[1].after) !=
			    run.states.node[node].tables) {
				run.succeeded[i] = 1;
				arrive(node, i, fail);
			}
			world_restore();
		}
	}
}

/* --- scopes ---------------------------------------------------------------------------------- */

static void run_scope(const struct scope *s, uint64_t limit)
{
	const clock_t start = clock();
	uint32_t node = 0, depth, idle = 0;

	run.scope = s;
	run.deals = deals_make(s, run.deal);
	memset(run.succeeded, 0, sizeof(run.succeeded));
	run.transitions = 0;
	run.failures = 0;
	states_clear(&run.states);
	create();
	for (uint32_t i = 0; i < 2; i++)
		pages_copy(&run.side[i].next, &run.side[i].pages);
	states_add(&run.states,
		   &(struct node){
			   .tables = digest_of(&run.side[0].before, &run.side[1].before),
			   .pages = pages_digest(&run.side[0].next) * 3 +
				    pages_digest(&run.side[1].next),
		   });
	while (node < run.states.nodes && run.transitions < limit && !world_is_asked_to_end)
		expand(node++);
	depth = run.states.node[node < run.states.nodes ? node : run.states.nodes - 1].depth;
	for (uint32_t i = 0; i < run.deals; i++)
		idle += run.succeeded[i] == 0;
	printf("%s %s: %" PRIu64 " transitions of %u calls in %u states, %" PRIu64
	       " with an allocation that fails; ",
	       run.format, s->name, run.transitions, run.deals, node, run.failures);
	if (node == run.states.nodes)
		printf("all states there are");
	else
		printf("all states within %u calls of the empty ones", depth > 0 ? depth - 1 : 0);
	printf(", %u calls that never change anything, %.0f/s\n", idle,
	       (double)run.transitions / ((double)(clock() - start) / CLOCKS_PER_SEC));
	fflush(stdout);
}

static void configure(const char *name)
{
	static const char *const names[] = { "ept", "npt", "arm", "riscv" };
	uint32_t i = 0;

	while (i < 4 && strcmp(name, names[i]) != 0)
		i++;
	if (i == 4) {
		fprintf(stderr, "%s is no format: ept, npt, arm, riscv\n", name);
		exit(2);
	}
	run.format = names[i];
	run.format_number = AXAS_FORMAT_EPT + i;
}

int main(int argc, char **argv)
{
	uint64_t transitions, total = 0;

	if (argc != 3) {
		fprintf(stderr, "exhaust_two ept|npt|arm|riscv TRANSITIONS\n");
		return 2;
	}
	configure(argv[1]);
	transitions = strtoull(argv[2], NULL, 0);
	states_init(&run.states);
	signal(SIGSEGV, crashed);
	world_end_when_asked();
	world_in_flush = in_flush;
	for (uint32_t i = 0; i < DEAL_SCOPES && !world_is_asked_to_end; i++) {
		const struct scope scope = deal_scope(i);

		run_scope(&scope, transitions * scope.share / 20);
		total += run.transitions;
	}
	printf("%s two spaces: %" PRIu64 " distinct transitions\n", run.format, total);
	return 0;
}
