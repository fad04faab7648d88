/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* axas_dump column by column, and what axas_for_each makes one run of. */
#include <stdio.h>

#include "fixture.h"

#define MOST_LINES 64
#define MOST_RUNS  64

/* A line of the dump as text, and what its columns say. */
struct line {
	char text[129];
	size_t column[5]; /* where state, permissions, memory, page size and the rest begin */
	unsigned long long start, end, value;
	char state[16], access[4], memory[16], page[8], what[8];
};

struct lines {
	struct line line[MOST_LINES];
	uint32_t count;
};

struct runs {
	axas_mapping_t run[MOST_RUNS];
	uint32_t count;
};

static void take_line(void *ctx, const char *text, size_t bytes)
{
	struct lines *l = ctx;

	assert_true(l->count < MOST_LINES);
	assert_true(bytes > 1 && bytes <= 128);
	assert_int_equal(text[bytes - 1], '\n');
	assert_null(memchr(text, '\n', bytes - 1));
	assert_int_not_equal(text[bytes - 2], ' ');
	memcpy(l->line[l->count++].text, text, bytes - 1);
}

static uint32_t take_run(void *ctx, const axas_mapping_t *run)
{
	struct runs *r = ctx;

	assert_true(r->count < MOST_RUNS);
	r->run[r->count++] = *run;
	return 1;
}

static void parse(struct line *l)
{
	int at[5] = { 0 }, filled, rest = 0;

	filled = sscanf(l->text, "0x%llx-0x%llx %n%15s %n%3s %n%15s %n%7s %n%7s %llx%n", &l->start,
			&l->end, &at[0], l->state, &at[1], l->access, &at[2], l->memory, &at[3],
			l->page, &at[4], l->what, &l->value, &rest);
	assert_true(filled == 6 || filled == 8);
	if (filled == 8)
		assert_int_equal(strlen(l->text), rest);
	for (size_t i = 0; i < 5; i++)
		l->column[i] = (size_t)at[i];
}

static struct lines dump(const axas_t *as)
{
	struct lines l = { .count = 0 };

	assert_ok(axas_dump(as, take_line, &l));
	for (uint32_t i = 0; i < l.count; i++) {
		parse(&l.line[i]);
		/* The last column is there on some lines only: its place is compared on those. */
		for (size_t c = 0; c < (l.line[i].what[0] ? 5 : 4); c++)
			for (uint32_t j = 0; j < i; j++)
				if (c < 4 || l.line[j].what[0])
					assert_int_equal(l.line[i].column[c], l.line[j].column[c]);
	}
	return l;
}

static struct runs runs_of(const axas_t *as)
{
	struct runs r = { .count = 0 };

	assert_ok(axas_for_each(as, axas_base(as), axas_size(as), take_run, &r));
	return r;
}

static const char *state_word(uint32_t state)
{
	static const char *const words[] = { "absent", "reserved", "trap", "linear", "owned" };

	assert_in_range(state, AXAS_STATE_RESERVED, AXAS_STATE_OWNED);
	return words[state];
}

static const char *memory_word(const axas_mapping_t *run)
{
	if (run->state == AXAS_STATE_TRAP)
		return "-";
	switch (run->flags & ALL_MEMORY_TYPES) {
	case 0:
		return "write-back";
	case AXAS_DEVICE:
		return "device";
	case AXAS_UNCACHED:
		return "uncached";
	case AXAS_WRITE_COMBINE:
		return "write-combine";
	case AXAS_WRITE_THROUGH:
		return "write-through";
	case AXAS_DEVICE_NGNRNE:
		return "device-nGnRnE";
	case AXAS_DEVICE_NGRE:
		return "device-nGRE";
	case AXAS_DEVICE_GRE:
		return "device-GRE";
	}
	fail_msg("two memory types at once: 0x%x", run->flags);
	return "";
}

static const char *page_word(const axas_mapping_t *run, uint64_t page)
{
	switch (run->state) {
	case AXAS_STATE_RESERVED:
		return !(run->flags & AXAS_HUGE_FRAMES) ? "4K" :
		       run->flags & AXAS_MAX_2M         ? "<=2M" :
							  "<=1G";
	case AXAS_STATE_TRAP:
		return "-";
	}
	return page == PAGE ? "4K" : page == 2 * MIB ? "2M" : page == GIB ? "1G" : "?";
}

/* Every leaf of the line has the size it names. Returns that size; 0 where there are no leaves. */
static uint64_t page_of(const axas_t *as, const struct line *l, const axas_mapping_t *run)
{
	axas_mapping_t m;
	uint64_t page = 0;

	if (run->state != AXAS_STATE_LINEAR && run->state != AXAS_STATE_OWNED)
		return 0;
	for (axas_gpa_t gpa = l->start; gpa < l->end; gpa += m.size) {
		assert_ok(axas_query(as, gpa, &m));
		assert_int_equal(m.gpa, gpa);
		assert_true(page == 0 || page == m.size);
		page = m.size;
	}
	return page;
}

static void expect_line(const axas_t *as, const struct line *l, const axas_mapping_t *run)
{
	char access[4] = "---";

	if (run->flags & AXAS_READ)
		access[0] = 'r';
	if (run->flags & AXAS_WRITE)
		access[1] = 'w';
	if (run->flags & AXAS_EXECUTE)
		access[2] = 'x';
	assert_string_equal(l->state, state_word(run->state));
	assert_string_equal(l->access, access);
	assert_string_equal(l->memory, memory_word(run));
	assert_string_equal(l->page, page_word(run, page_of(as, l, run)));
	if (run->state == AXAS_STATE_TRAP) {
		assert_string_equal(l->what, "cookie");
		assert_int_equal(l->value, run->cookie);
	} else if (run->hpa != AXAS_HPA_INVALID) {
		assert_string_equal(l->what, "hpa");
		assert_int_equal(l->value, run->hpa + (l->start - run->gpa));
	} else {
		assert_string_equal(l->what, "");
	}
}

/*
 * The lines are the runs, in order and without a gap; a run has more lines than one only where its
 * pages change their size. Returns how many lines there are.
 */
static uint32_t expect_lines_of_runs(const axas_t *as)
{
	const struct lines l = dump(as);
	const struct runs r = runs_of(as);
	uint32_t at = 0;

	for (uint32_t i = 0; i < r.count; i++) {
		const axas_mapping_t *run = &r.run[i];
		const char *page = "";

		for (axas_gpa_t gpa = run->gpa; gpa != run->gpa + run->size; at++) {
			assert_true(at < l.count);
			assert_int_equal(l.line[at].start, gpa);
			assert_true(l.line[at].end <= run->gpa + run->size);
			assert_string_not_equal(l.line[at].page, page);
			expect_line(as, &l.line[at], run);
			page = l.line[at].page;
			gpa = l.line[at].end;
		}
	}
	assert_int_equal(at, l.count);
	return at;
}

static void each_column_says_what_for_each_says(void **state)
{
	FIXTURE(f);

	assert_int_equal(expect_lines_of_runs(f->as), 0);
	/* pages of three sizes, in five lines */
	assert_ok(axas_map_linear(f->as, 2 * GIB - 2 * MIB - PAGE,
				  LINEAR_HPA + 2 * GIB - 2 * MIB - PAGE, GIB + 4 * MIB + 2 * PAGE,
				  RX));
	assert_ok(axas_map_alloc(f->as, 8 * GIB, GIB, RW));
	assert_int_equal(axas_handle_page_fault(f->as, 8 * GIB, AXAS_READ), AXAS_FAULT_RESOLVED);
	assert_ok(axas_map_alloc(f->as, 10 * GIB, 4 * MIB, RWX | AXAS_HUGE_FRAMES | AXAS_MAX_2M));
	assert_int_equal(axas_handle_page_fault(f->as, 10 * GIB, AXAS_READ), AXAS_FAULT_RESOLVED);
	assert_ok(axas_map_alloc(f->as, 12 * GIB, 2 * GIB, AXAS_READ | AXAS_HUGE_FRAMES));
	assert_ok(axas_map_trap(f->as, SPACE_SIZE - PAGE, PAGE, 0xfee1dead));
	assert_int_equal(expect_lines_of_runs(f->as), 5 + 2 + 2 + 1 + 1);
}

static void each_memory_type_has_its_name(void **state)
{
	static const axas_flags_t types[] = { 0,
					      AXAS_DEVICE,
					      AXAS_UNCACHED,
					      AXAS_WRITE_COMBINE,
					      AXAS_WRITE_THROUGH,
					      AXAS_DEVICE_NGNRNE,
					      AXAS_DEVICE_NGRE,
					      AXAS_DEVICE_GRE };
	FIXTURE(f);
	uint32_t mapped = 0;

	if (f->fc == &riscv_case) {
		fixture_destroy(f);
		f->cfg.features |= AXAS_FEATURE_RISCV_SVPBMT;
		fixture_create(f);
	}
	for (uint32_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		const axas_status_t status =
			axas_map_linear(f->as, i * GIB, LINEAR_HPA, PAGE, RW | types[i]);

		assert_true(status == AXAS_OK || status == AXAS_ERR_UNSUPPORTED);
		mapped += status == AXAS_OK;
	}
	assert_true(mapped >= 3);
	assert_int_equal(expect_lines_of_runs(f->as), mapped);
}

static void columns_stand_in_line_in_the_widest_spaces(void **state)
{
	FIXTURE(f);
	axas_hw_regs_t regs;

	f->cfg.levels = f->fc == &arm_case ? 4 : 5;
	f->cfg.pa_bits = f->fc == &arm_case ? 48 : 52;
	f->cfg.gpa_bits = f->fc == &arm_case ? 48 : f->fc == &riscv_case ? 59 : 57;
	f->cfg.size = UINT64_C(1) << f->cfg.gpa_bits;
	fixture_create(f);
	assert_ok(axas_hw_regs(f->as, &regs));
	assert_int_equal(regs.gpa_bits, f->cfg.gpa_bits);
	assert_ok(axas_map_linear(f->as, 0, (UINT64_C(1) << f->cfg.pa_bits) - PAGE, PAGE, RW));
	assert_ok(axas_map_alloc(f->as, GIB, PAGE, RW));
	assert_ok(axas_map_linear(f->as, f->cfg.size - PAGE, LINEAR_HPA, PAGE, RW));
	assert_int_equal(expect_lines_of_runs(f->as), 3);
}

/* Two neighbours of 2 MiB at GIB, and whether they are one run. */
static void expect_runs(struct fixture *f, uint32_t count)
{
	const struct runs r = runs_of(f->as);

	assert_int_equal(r.count, count);
	assert_int_equal(r.run[0].gpa, GIB);
	assert_int_equal(r.run[0].size, count == 1 ? 4 * MIB : 2 * MIB);
	assert_int_equal(r.run[count - 1].gpa + r.run[count - 1].size, GIB + 4 * MIB);
	expect_lines_of_runs(f->as);
	assert_ok(axas_clear(f->as));
}

static void neighbours_are_one_run_when_all_is_equal(void **state)
{
	const axas_gpa_t second = GIB + 2 * MIB;
	FIXTURE(f);

	/* linear: host addresses that go on, by whatever calls and pages */
	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, 2 * MIB, RW | AXAS_NO_HUGE));
	assert_ok(axas_map_linear(f->as, second, LINEAR_HPA + 2 * MIB, 2 * MIB, RW));
	expect_runs(f, 1);
	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, 2 * MIB, RW));
	assert_ok(axas_map_linear(f->as, second, LINEAR_HPA + 4 * MIB, 2 * MIB, RW));
	expect_runs(f, 2);
	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, 2 * MIB, RW));
	assert_ok(axas_map_linear(f->as, second, LINEAR_HPA, 2 * MIB, RW));
	expect_runs(f, 2);
	/* permissions, memory type */
	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, 4 * MIB, RW));
	assert_ok(axas_protect(f->as, second, 2 * MIB, AXAS_READ));
	expect_runs(f, 2);
	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, 2 * MIB, RW));
	assert_ok(axas_map_linear(f->as, second, LINEAR_HPA + 2 * MIB, 2 * MIB, RW | AXAS_DEVICE));
	expect_runs(f, 2);
	/* reservations: the largest page too */
	assert_ok(axas_map_alloc(f->as, GIB, 2 * MIB, RX));
	assert_ok(axas_map_alloc(f->as, second, 2 * MIB, RX));
	expect_runs(f, 1);
	assert_ok(axas_map_alloc(f->as, GIB, 2 * MIB, RX));
	assert_ok(axas_map_alloc(f->as, second, 2 * MIB, RX | AXAS_HUGE_FRAMES));
	expect_runs(f, 2);
	/* traps by their cookie */
	assert_ok(axas_map_trap(f->as, GIB, 2 * MIB, 7));
	assert_ok(axas_map_trap(f->as, second, 2 * MIB, 7));
	expect_runs(f, 1);
	assert_ok(axas_map_trap(f->as, GIB, 2 * MIB, 7));
	assert_ok(axas_map_trap(f->as, second, 2 * MIB, 8));
	expect_runs(f, 2);
	/* states */
	assert_ok(axas_map_linear(f->as, GIB, LINEAR_HPA, 2 * MIB, RX));
	assert_ok(axas_map_alloc(f->as, second, 2 * MIB, RX));
	expect_runs(f, 2);
}

static void a_hole_ends_a_run(void **state)
{
	FIXTURE(f);
	struct runs r;

	assert_ok(axas_map_alloc(f->as, GIB - PAGE, 3 * PAGE, RW));
	assert_ok(axas_unmap(f->as, GIB, PAGE));
	r = runs_of(f->as);
	assert_int_equal(r.count, 2);
	assert_int_equal(r.run[0].size, PAGE);
	assert_int_equal(r.run[1].gpa, GIB + PAGE);
	assert_int_equal(expect_lines_of_runs(f->as), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_FORMAT(each_column_says_what_for_each_says),
		EACH_FORMAT(each_memory_type_has_its_name),
		EACH_FORMAT_NO_SPACE(columns_stand_in_line_in_the_widest_spaces),
		EACH_FORMAT(neighbours_are_one_run_when_all_is_equal),
		EACH_FORMAT(a_hole_ends_a_run),
	};

	return cmocka_run_group_tests_name("dump", tests, NULL, NULL);
}
