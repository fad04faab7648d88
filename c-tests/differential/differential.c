/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Two archives of the library make the same random calls, each on a space and a host of its own, and
 * whatever can be seen of them is compared after each call: status, results, flush requests, released
 * runs, frames, statistics, entries, contents of the guest's memory. See docs/testing.md.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "compare.h"

#define MOST_INTENDED 128u
#define SURVEY_EVERY  64u

#define AT_DESTROY ((int)SCRIPT_CALLS)
#define AT_CREATE  ((int)SCRIPT_CALLS + 1)

/* Calls and kinds with commas between them. */
struct intended {
	char calls[160], kinds[96], reason[160];
	uint64_t seen;
};

static struct {
	struct side side[2];
	struct outcome out[2];
	struct script script;
	struct differences d;
	struct intended intended[MOST_INTENDED];
	uint32_t intended_count;
	uint64_t calls, scripts, found_at;
	uint64_t succeeded[CALLS], lacked[CALLS], others[CALLS];
	uint32_t at; /* in the script */
	const char *format;
} run;

static int is_listed(const char *list, const char *word)
{
	const size_t length = strlen(word);

	for (const char *at = list; at != NULL; at = strchr(at, ',')) {
		at += *at == ',';
		if (strncmp(at, word, length) == 0 && (at[length] == ',' || at[length] == '\0'))
			return 1;
	}
	return 0;
}

static struct intended *intended_for(enum call call, uint32_t kind)
{
	for (uint32_t i = 0; i < run.intended_count; i++) {
		struct intended *in = &run.intended[i];

		if (is_listed(in->kinds, kind_names[kind]) &&
		    (strcmp(in->calls, "*") == 0 || is_listed(in->calls, call_names[call])))
			return in;
	}
	return NULL;
}

enum verdict { SAME, INTENDED, INTENDED_AND_ENDS, DIFFERENT };

static enum verdict judge(enum call call)
{
	enum verdict v = SAME;

	for (uint32_t k = 0; k < KINDS; k++) {
		struct intended *in;

		if (!(run.d.kinds & (1ull << k)))
			continue;
		in = intended_for(call, k);
		if (in == NULL)
			return DIFFERENT;
		in->seen++;
		if (kind_ends[k])
			v = INTENDED_AND_ENDS;
		else if (v == SAME)
			v = INTENDED;
	}
	return v;
}

/*
 * A call in which phys_to_virt failed may be half done: then it ends at the same place on both sides. Whether
 * both spaces are whole: else what comes after is no longer promised, and not compared.
 */
static int survey_blinded(void)
{
	struct differences *d = &run.d;

	for (int i = 0; i < 2; i++)
		run_survey(&run.side[i], &run.out[i]);
	d->kinds = 0;
	compare_runs(d, &run.out[0].runs, &run.out[1].runs);
	if (d->kinds != 0)
		differ(d, KIND_BLIND, "%.150s", d->text[KIND_RUNS]);
	d->kinds &= 1ull << KIND_BLIND;
	if (run.out[0].status != run.out[1].status || run.out[0].value[0] != run.out[1].value[0])
		differ(d, KIND_BLIND,
		       "for_each %" PRId64 " and %" PRId64 ", audit %" PRId64 " and %" PRId64,
		       run.out[0].status, run.out[1].status, (int64_t)run.out[0].value[0],
		       (int64_t)run.out[1].value[0]);
	return run.out[0].value[0] == 0 && run.out[1].value[0] == 0;
}

static void survey(void)
{
	run.d.kinds = 0;
	for (int i = 0; i < 2; i++)
		run_survey(&run.side[i], &run.out[i]);
	compare_runs(&run.d, &run.out[0].runs, &run.out[1].runs);
	for (int i = 0; i < 2; i++)
		if (run.out[i].status != AXAS_OK || run.out[i].value[0] != 0)
			differ(&run.d, KIND_VALUE, "%s: for_each %" PRId64 ", audit %" PRId64,
			       run.side[i].engine->name, run.out[i].status,
			       (int64_t)run.out[i].value[0]);
}

/*
 * Both spaces go; what does not come back is lost. A host that was blind for a moment may lose something,
 * with both archives the same.
 */
static void destroy(int blinded)
{
	const struct side *const a = &run.side[0], *const b = &run.side[1];

	run.d.kinds = 0;
	for (int i = 0; i < 2; i++) {
		struct side *s = &run.side[i];

		side_begin(s, 0, 0, 0, 0);
		s->engine->destroy(s->space);
		if (s->violation != NULL)
			differ(&run.d, KIND_HOST, "%s: %s", s->engine->name, s->violation);
		if (!blinded && s->tables_out + s->guest_out != 0)
			differ(&run.d, KIND_BALANCE,
			       "%s: %" PRIu64 " tables, %" PRIu64 " of the guest", s->engine->name,
			       s->tables_out, s->guest_out);
	}
	if (a->tables_out != b->tables_out || a->guest_out != b->guest_out)
		differ(&run.d, KIND_BLIND,
		       "lost: %" PRIu64 " and %" PRIu64 " tables, %" PRIu64 " and %" PRIu64
		       " of the guest",
		       a->tables_out, b->tables_out, a->guest_out, b->guest_out);
}

/* Whether both sides have a space now; they agree on that but for a difference. */
static int create_with(uint32_t fail_at)
{
	axas_status_t status[2];

	for (int i = 0; i < 2; i++) {
		struct side *s = &run.side[i];

		status[i] = run_create(s, &run.script, fail_at);
		if (status[i] != AXAS_OK && s->tables_out + s->guest_out != 0)
			differ(&run.d, KIND_BALANCE, "%s: create failed and kept frames",
			       s->engine->name);
	}
	if (status[0] != status[1])
		differ(&run.d, KIND_STATUS, "%d and %d", status[0], status[1]);
	return status[0] == AXAS_OK && status[1] == AXAS_OK;
}

static int create(void)
{
	int created = 0;

	run.d.kinds = 0;
	for (int i = 0; i < 2; i++)
		side_reset(&run.side[i]);
	if (run.script.create_fail_at != 0)
		created = create_with(run.script.create_fail_at);
	if (!created && run.d.kinds == 0)
		created = create_with(0);
	for (int i = 0; i < 2 && created; i++) {
		struct side *s = &run.side[i];

		if (s->engine->stats(s->space, &run.out[i].after) != AXAS_OK)
			abort();
	}
	return created;
}

static void tally(const struct step *t, int64_t status)
{
	const int fault = t->call == CALL_FAULT;

	if (fault ? status <= AXAS_FAULT_SPURIOUS :
		    status == AXAS_OK || (t->call == CALL_CONTAINS && status > 0))
		run.succeeded[t->call]++;
	else if (status == (fault ? (int64_t)AXAS_FAULT_NO_MEMORY : AXAS_ERR_NO_MEMORY))
		run.lacked[t->call]++;
	else
		run.others[t->call]++;
}

/* The first call whose difference is not intended, AT_DESTROY, AT_CREATE, or -1 for none. */
static int run_script(uint32_t calls)
{
	const int created = create();
	enum verdict v = judge(CALL_CREATE);
	int blinded = 0;

	if (v == DIFFERENT)
		return AT_CREATE;
	for (run.at = 0; created && run.at < calls && v < INTENDED_AND_ENDS; run.at++) {
		const struct step *t = &run.script.step[run.at];
		struct side *const side[2] = { &run.side[0], &run.side[1] };

		if (t->gone)
			continue;
		run.calls++;
		for (int i = 0; i < 2; i++)
			run_step(side[i], &run.script, run.at, &run.out[i]);
		compare(&run.d, t, side, run.out);
		tally(t, run.out[0].status);
		blinded |= (int)(side[0]->seen.blinded | side[1]->seen.blinded);
		v = judge((enum call)t->call);
		if (v < INTENDED_AND_ENDS &&
		    (side[0]->seen.blinded != 0 || side[1]->seen.blinded != 0)) {
			const int whole = survey_blinded();

			v = judge((enum call)t->call);
			if (v != DIFFERENT && !whole)
				v = INTENDED_AND_ENDS;
		}
		if (v < INTENDED_AND_ENDS && run.at % SURVEY_EVERY == SURVEY_EVERY - 1 &&
		    !blinded) {
			survey();
			v = judge(CALL_AUDIT);
		}
		if (v == DIFFERENT)
			return (int)run.at;
	}
	if (!created)
		return -1;
	destroy(blinded);
	return judge(CALL_DESTROY) == DIFFERENT ? AT_DESTROY : -1;
}

/* --- the smallest script --------------------------------------------------------------------- */

static uint32_t shrink(void)
{
	uint32_t calls = run.at < SCRIPT_CALLS ? run.at + 1 : SCRIPT_CALLS;

	for (uint32_t chunk = calls / 2; chunk > 0; chunk /= 2) {
		for (uint32_t from = 0; from < calls; from += chunk) {
			uint8_t was[SCRIPT_CALLS];
			const uint32_t to = from + chunk < calls ? from + chunk : calls;

			for (uint32_t i = from; i < to; i++) {
				was[i] = run.script.step[i].gone;
				run.script.step[i].gone = 1;
			}
			if (run_script(calls) >= 0)
				continue;
			for (uint32_t i = from; i < to; i++)
				run.script.step[i].gone = was[i];
		}
	}
	return calls;
}

static void tell_differences(void)
{
	for (uint32_t k = 0; k < KINDS; k++)
		if (run.d.kinds & (1ull << k))
			printf("      %s (%s): %s\n", kind_names[k], kind_texts[k], run.d.text[k]);
}

static const char *call_at(int at)
{
	if (at == AT_CREATE)
		return "create";
	return at == AT_DESTROY ? "destroy" : call_names[run.script.step[at].call];
}

static void report(int at)
{
	uint32_t left = 0;

	printf("%s: the archives differ at call %" PRIu64 ", seed %" PRIu64 " call %d: %s\n",
	       run.format, run.calls, run.script.seed, at, call_at(at));
	tell_differences();
	if (at != AT_CREATE)
		left = shrink();
	printf("the smallest script with a difference that was found:\n");
	script_print(&run.script, 0, left);
	if (run_script(left) >= 0)
		tell_differences();
}

/* --- options --------------------------------------------------------------------------------- */

static void check_words(const char *path, const char *list, const char *const names[],
			uint32_t count)
{
	uint32_t known = 0, words = 1;

	for (uint32_t i = 0; i < count; i++)
		known += (uint32_t)is_listed(list, names[i]);
	for (const char *at = list; *at != '\0'; at++)
		words += *at == ',';
	if (known == words)
		return;
	fprintf(stderr, "%s: an unknown word, or one twice: %s\n", path, list);
	exit(2);
}

static void read_intended(const char *path)
{
	FILE *f = fopen(path, "r");
	char line[512];

	if (f == NULL) {
		perror(path);
		exit(2);
	}
	while (fgets(line, sizeof(line), f) != NULL) {
		struct intended *in = &run.intended[run.intended_count];

		if (line[0] == '#' || line[0] == '\n')
			continue;
		if (run.intended_count == MOST_INTENDED ||
		    sscanf(line, "%159s %95s %159[^\n]", in->calls, in->kinds, in->reason) != 3) {
			fprintf(stderr, "%s: a line without calls, kinds and reason: %s", path,
				line);
			exit(2);
		}
		check_words(path, in->kinds, kind_names, KINDS);
		if (strcmp(in->calls, "*") != 0)
			check_words(path, in->calls, call_names, CALLS);
		run.intended_count++;
	}
	fclose(f);
}

static void crashed(int number)
{
	char text[128];
	const int length = snprintf(text, sizeof(text), "%s: signal %d, seed %" PRIu64 " call %u\n",
				    run.format, number, run.script.seed, run.at);

	if (write(1, text, (size_t)length) < 0)
		_exit(3);
	_exit(2);
}

static uint32_t number_of(const char *word, const char *const names[], uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (strcmp(word, names[i]) == 0)
			return i;
	fprintf(stderr, "%s is not known\n", word);
	exit(2);
}

static void usage(void)
{
	printf("differential ept|npt|arm|riscv CALLS [--seed N] [--intended FILE] "
	       "[--drop flush|released|table]\n"
	       "kinds of difference:\n");
	for (uint32_t k = 0; k < KINDS; k++)
		printf("  %-16s %s\n", kind_names[k], kind_texts[k]);
	exit(2);
}

static void summary(double seconds)
{
	printf("%s: %" PRIu64 " calls on both archives in %" PRIu64 " spaces, %.0f calls/s\n",
	       run.format, run.calls, run.scripts, (double)run.calls / seconds);
	for (uint32_t c = 0; c < CALL_CREATE; c++)
		printf("  %-16s %9" PRIu64 " done, %9" PRIu64 " without memory, %9" PRIu64
		       " otherwise\n",
		       call_names[c], run.succeeded[c], run.lacked[c], run.others[c]);
	for (uint32_t i = 0; i < run.intended_count; i++)
		printf("  intended: %s %s: %" PRIu64 " times\n", run.intended[i].calls,
		       run.intended[i].kinds, run.intended[i].seen);
}

int main(int argc, char **argv)
{
	static const char *const formats[] = { "native", "ept", "npt", "arm", "riscv" };
	static const char *const drops[] = { "nothing", "flush", "released", "table" };
	uint64_t calls, seed = 1;
	uint32_t format;
	clock_t start;
	int at = -1;

	if (argc < 3 || argc % 2 == 0)
		usage();
	run.format = argv[1];
	format = number_of(argv[1], formats, 5);
	calls = strtoull(argv[2], NULL, 0);
	side_init(&run.side[0], &old_engine);
	side_init(&run.side[1], &new_engine);
	for (int i = 3; i < argc; i += 2) {
		if (strcmp(argv[i], "--seed") == 0)
			seed = strtoull(argv[i + 1], NULL, 0);
		else if (strcmp(argv[i], "--intended") == 0)
			read_intended(argv[i + 1]);
		else if (strcmp(argv[i], "--drop") == 0)
			run.side[1].drop = number_of(argv[i + 1], drops, 4);
		else
			usage();
	}
	signal(SIGSEGV, crashed);
	signal(SIGBUS, crashed);
	start = clock();
	for (; run.calls < calls && at < 0; seed++, run.scripts++) {
		script_draw(&run.script, format, seed);
		at = run_script(SCRIPT_CALLS);
	}
	if (run.side[1].drop != DROP_NOTHING) {
		printf("%s: the planted difference was %s %" PRIu64 " calls\n", run.format,
		       at >= 0 ? "found after" : "not found in", run.calls);
		return at >= 0 ? 0 : 1;
	}
	if (at >= 0) {
		report(at);
		return 1;
	}
	/* what never succeeds is not compared */
	for (uint32_t c = 0; c < CALL_CREATE && calls >= 40000; c++)
		if (run.succeeded[c] == 0) {
			printf("%s: no %s succeeded\n", run.format, call_names[c]);
			return 1;
		}
	summary((double)(clock() - start) / CLOCKS_PER_SEC);
	return 0;
}
