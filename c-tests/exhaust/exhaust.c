/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Small-scope exhaustion: breadth first through the states of a space of a few pages on the edges of all
 * levels; in each state every call of an alphabet is made, then with its first, second, third ...
 * allocation failing. See docs/testing.md.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "judge.h"
#include "states.h"

#define MOST_FAILURES 16u

static struct {
	const char *format;
	const struct scope *scope;
	axas_config_t cfg;
	struct letter letter[MOST_LETTERS];
	uint8_t succeeded[MOST_LETTERS];
	uint32_t letters;
	struct states states;
	uint64_t transitions, failures;
	uint32_t now, now_letter, now_fail;
	struct tables before, after;
	struct pages pages, next;
} run;

/* --- what is wrong -------------------------------------------------------------------------- */

static void tell_step(uint32_t letter, uint32_t fail)
{
	printf("  ");
	letter_print(&run.letter[letter]);
	if (fail != 0)
		printf(", allocation %u fails", fail);
	printf("\n");
}

static void wrong(const char *why)
{
	uint32_t path[MOST_DEPTH], length;

	printf("%s %s: %s\nfrom an empty space of %#" PRIx64 "+%#" PRIx64 ":\n", run.format,
	       run.scope->name, why, run.cfg.base, run.cfg.size);
	states_path(&run.states, run.now, path, &length);
	for (uint32_t i = 0; i < length; i++)
		tell_step(run.states.node[path[i]].letter, run.states.node[path[i]].fail);
	tell_step(run.now_letter, run.now_fail);
	fflush(stdout);
	_exit(1);
}

static void crashed(int number)
{
	(void)number;
	wrong("a signal");
}

/* --- transitions ----------------------------------------------------------------------------- */

/* Makes the call in the state that was saved; run.next is what the space should be after it. */
static int step(uint32_t letter, uint32_t fail)
{
	const struct letter *l = &run.letter[letter];
	struct outcome o;
	const char *why;
	int changed;

	run.now_letter = letter;
	run.now_fail = fail;
	tables_hold(&run.before);
	world_begin(fail);
	o = letter_run(l);
	if (l->kind == FAULT)
		o.done = o.status == AXAS_FAULT_RESOLVED ? PAGE : 0;
	pages_copy(&run.next, &run.pages);
	why = judge(run.scope, l, &o, &run.before, &run.after, &run.next, &changed);
	if (why != NULL)
		wrong(why);
	return changed;
}

/* What stands in the tables, and what the space remembers beside them. */
static uint64_t state_digest(const struct tables *t, const struct pages *p)
{
	return t->digest ^ settings_digest(&p->set);
}

/* The state that the last step led to: known with the same pages, or new and looked at entry by entry. */
static void arrive(uint32_t from, uint32_t letter, uint32_t fail)
{
	const uint64_t pages = pages_digest(&run.next);
	const uint64_t state = state_digest(&run.after, &run.next);
	const struct node *known = states_find(&run.states, state);
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
					.letter = (uint16_t)letter,
					.fail = (uint8_t)fail,
					.tables = state,
					.pages = pages,
				});
	why = judge_state(&run.next, run.scope, 1);
	if (why != NULL)
		wrong(why);
}

/* The state of a node, by the calls that led to it. */
static void go_to(uint32_t node)
{
	uint32_t path[MOST_DEPTH], length;

	world_create(&run.cfg, !run.scope->is_plain);
	tables_read(&run.before);
	pages_clear(&run.pages);
	states_path(&run.states, node, path, &length);
	for (uint32_t i = 0; i < length; i++) {
		step(run.states.node[path[i]].letter, run.states.node[path[i]].fail);
		world_save();
		tables_read(&run.before);
		pages_copy(&run.pages, &run.next);
	}
	if (state_digest(&run.before, &run.pages) != run.states.node[node].tables)
		wrong("the same calls do not lead to the same state");
}

static void expand(uint32_t node)
{
	run.now = 0;
	go_to(node);
	run.now = node;
	for (uint32_t i = 0; i < run.letters; i++) {
		uint32_t allocations = 0;

		for (uint32_t fail = 0; fail <= allocations && fail <= MOST_FAILURES; fail++) {
			const int changed = step(i, fail);

			if (fail == 0)
				allocations = seen.allocations;
			else
				run.failures++;
			run.transitions++;
			run.succeeded[i] |= (uint8_t)changed;
			if (changed)
				arrive(node, i, fail);
			world_restore();
		}
	}
}

/* --- scopes ---------------------------------------------------------------------------------- */

static void run_scope(const struct scope *s, uint64_t limit)
{
	const clock_t start = clock();
	uint32_t node = 0, depth, idle = 0;
	double seconds;

	run.scope = s;
	run.cfg = scope_config(s, run.cfg.format);
	world_create(&run.cfg, !s->is_plain);
	if (!scope_is_possible(s, run.cfg.format)) {
		run.transitions = 0;
		return;
	}
	run.letters = letters_make(s, run.letter);
	memset(run.succeeded, 0, sizeof(run.succeeded));
	run.transitions = 0;
	run.failures = 0;
	states_clear(&run.states);
	world_create(&run.cfg, !run.scope->is_plain);
	tables_read(&run.after);
	pages_clear(&run.next);
	states_add(&run.states, &(struct node){
					.tables = state_digest(&run.after, &run.next),
					.pages = pages_digest(&run.next),
				});
	while (node < run.states.nodes && run.transitions < limit && !world_is_asked_to_end)
		expand(node++);
	depth = run.states.node[node < run.states.nodes ? node : run.states.nodes - 1].depth;
	seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
	printf("%s %s: %" PRIu64 " transitions of %u calls in %u states, %" PRIu64
	       " with an allocation that fails; ",
	       run.format, s->name, run.transitions, run.letters, node, run.failures);
	if (node == run.states.nodes)
		printf("all states there are");
	else
		printf("all states within %u calls of the empty one", depth > 0 ? depth - 1 : 0);
	for (uint32_t i = 0; i < run.letters; i++)
		idle += run.succeeded[i] == 0;
	printf(", %u calls that never change anything, %.0f/s\n", idle,
	       (double)run.transitions / seconds);
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
	run.cfg.format = AXAS_FORMAT_EPT + i;
}

int main(int argc, char **argv)
{
	uint64_t transitions, spare = 0, total = 0;

	if (argc != 3 && argc != 4) {
		fprintf(stderr, "exhaust ept|npt|arm|riscv TRANSITIONS [core|parts]\n");
		return 2;
	}
	configure(argv[1]);
	transitions = strtoull(argv[2], NULL, 0);
	states_init(&run.states);
	signal(SIGSEGV, crashed);
	world_end_when_asked();
	for (uint32_t i = 0; i < SCOPES && !world_is_asked_to_end; i++) {
		const struct scope scope = scope_make(i, run.cfg.format);
		const uint64_t limit = spare + transitions * scope.share / 20;

		if (argc == 4 && strcmp(argv[3], scope.group) != 0 &&
		    strcmp(argv[3], scope.name) != 0)
			continue;
		run_scope(&scope, limit);
		total += run.transitions;
		spare = run.transitions < limit ? limit - run.transitions : 0;
	}
	printf("%s: %" PRIu64 " distinct transitions\n", run.format, total);
	return 0;
}
