/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Pages that change hands between two spaces. */
#include "fixture.h"

#define AT     (4 * GIB)
#define THERE  (7 * GIB)
/* Linear memory that the host can reach. */
#define MEMORY (HOST_PA_BASE + HOST_LINEAR)

struct two {
	struct fixture f; /* of the giver */
	axas_t *to;
	/* what a CPU of the giver may hold, for each page of the window that is watched */
	axas_gpa_t gpa, to_gpa;
	uint64_t pages;
	uint8_t held[1024];
	int shares;
	uint32_t flushes;
};

static struct two *two_of(void **state)
{
	return *state;
}

static void begin(struct two *t)
{
	t->f.host.hides = 1;
	fixture_create(&t->f);
	t->f.cfg.vmid = 6;
	assert_ok(axas_create(&t->f.cfg, &t->f.host.hal, &t->to));
}

static int setup_host_of_two(void **state, enum host_map_kind kind)
{
	struct two *t = calloc(1, sizeof(*t));
	const struct format_case *fc = *state;

	assert_non_null(t);
	t->f.fc = fc;
	t->f.cfg = (axas_config_t){
		.struct_size = sizeof(t->f.cfg),
		.format = fc->format,
		.size = SPACE_SIZE,
		.vmid = 5,
		.features = fc->features,
	};
	host_init(&t->f.host, kind, HOST_PA_BASE);
	*state = t;
	return 0;
}

static int setup_two(void **state)
{
	setup_host_of_two(state, HOST_CALLBACK);
	begin(two_of(state));
	return 0;
}

static int setup_two_without(void **state)
{
	return setup_host_of_two(state, HOST_CALLBACK);
}

static int teardown_two(void **state)
{
	struct two *t = two_of(state);

	axas_destroy(t->to);
	fixture_destroy(&t->f);
	host_exit(&t->f.host);
	free(t);
	return 0;
}

#define ONE_OF_TWO(test, setup, fmt)                                        \
	{                                                                   \
#test " [" #fmt "]", test, setup, teardown_two, &fmt##_case \
	}
#define EACH(test)                                                          \
	ONE_OF_TWO(test, setup_two, ept), ONE_OF_TWO(test, setup_two, npt), \
		ONE_OF_TWO(test, setup_two, arm), ONE_OF_TWO(test, setup_two, riscv)
#define EACH_WITHOUT(test)                                                                  \
	ONE_OF_TWO(test, setup_two_without, ept), ONE_OF_TWO(test, setup_two_without, npt), \
		ONE_OF_TWO(test, setup_two_without, arm),                                   \
		ONE_OF_TWO(test, setup_two_without, riscv)

static axas_transfer_t deal(uint32_t action, axas_flags_t from_flags, axas_flags_t to_flags)
{
	return (axas_transfer_t){ .struct_size = sizeof(axas_transfer_t),
				  .action = action,
				  .from_flags = from_flags,
				  .to_flags = to_flags };
}

static axas_status_t transfer(struct two *t, axas_gpa_t gpa, axas_gpa_t to_gpa, uint64_t size,
			      axas_transfer_t d)
{
	return axas_transfer(t->f.as, gpa, t->to, to_gpa, size, &d);
}

static void check_both(struct two *t)
{
	space_sweep(t->f.as);
	space_sweep(t->to);
	host_check(&t->f.host);
}

static axas_mapping_t here(struct two *t, axas_gpa_t gpa)
{
	return space_agree(t->f.as, gpa);
}

static axas_mapping_t there(struct two *t, axas_gpa_t gpa)
{
	return space_agree(t->to, gpa);
}

static void expect(axas_mapping_t m, axas_gpa_t gpa, uint32_t state, axas_hpa_t hpa,
		   axas_flags_t access)
{
	assert_int_equal(m.state, state);
	if (state == AXAS_STATE_ABSENT || state == AXAS_STATE_NOTE)
		return;
	assert_int_equal(m.hpa + (gpa - m.gpa), hpa);
	assert_int_equal(space_access(m.flags), access);
}

/* --- never two writers ----------------------------------------------------------------------- */

static void look(struct two *t)
{
	for (uint64_t i = 0; i < t->pages; i++) {
		const struct walker from = space_walker(t->f.as), to = space_walker(t->to);
		const struct walk mine = walker_walk(&from, t->gpa + i * PAGE);
		const struct walk theirs = walker_walk(&to, t->to_gpa + i * PAGE);

		if (mine.outcome == WALK_LEAF && (mine.access & WALK_W))
			t->held[i] |= 1;
		if (theirs.outcome == WALK_LEAF && (theirs.access & WALK_W))
			t->held[i] |= 2;
		if (t->held[i] == 3 && !t->shares)
			host_violation(&t->f.host, "page %llu has two writers",
				       (unsigned long long)i);
	}
}

/* What the CPUs of one space may hold goes with a request of its own. */
static void watch(struct host *h, const axas_tlb_request_t *request)
{
	struct two *t = h->in_flush_arg;
	const int is_giver = request->vmid == 5;

	look(t);
	t->flushes++;
	for (uint64_t i = 0; request->scope == AXAS_SCOPE_ALL && i < t->pages; i++) {
		const axas_gpa_t gpa = (is_giver ? t->gpa : t->to_gpa) + i * PAGE;

		if (gpa >= request->gpa && gpa - request->gpa < request->size)
			t->held[i] &= is_giver ? 2 : 1;
	}
	look(t);
}

static void watch_pages(struct two *t, axas_gpa_t gpa, axas_gpa_t to_gpa, uint64_t pages)
{
	assert_true(pages <= sizeof(t->held));
	t->gpa = gpa;
	t->to_gpa = to_gpa;
	t->pages = pages;
	t->flushes = 0;
	memset(t->held, 0, sizeof(t->held));
	t->f.host.in_flush_arg = t;
	t->f.host.in_flush = watch;
	look(t);
}

static void end_watch(struct two *t)
{
	look(t);
	t->f.host.in_flush = NULL;
	host_check(&t->f.host);
}

/* --- the four actions ------------------------------------------------------------------------- */

static const uint64_t sizes[] = { PAGE, 2 * MIB, GIB };

static void what_is_given_leaves_a_note_or_a_hole(void **state)
{
	struct two *t = two_of(state);

	for (size_t i = 0; i < 3; i++)
		for (uint32_t note = 0; note < 2; note++) {
			axas_transfer_t d = deal(AXAS_GIVE, 0, AXAS_READ);

			d.note = note * 0xfedcba98;
			assert_ok(axas_map_linear(t->f.as, AT, MEMORY,
						  sizes[i] < GIB ? sizes[i] : PAGE,
						  RX | AXAS_DEVICE));
			if (sizes[i] == GIB) {
				assert_ok(axas_unmap(t->f.as, AT, PAGE));
				assert_ok(axas_map_linear(t->f.as, AT, LINEAR_HPA, GIB,
							  RX | AXAS_DEVICE));
			}
			host_forget_log(&t->f.host);
			assert_ok(transfer(t, AT, THERE, sizes[i], d));
			assert_int_equal(t->f.host.runs, 0);
			expect(here(t, AT), AT, note ? AXAS_STATE_NOTE : AXAS_STATE_ABSENT, 0, 0);
			if (note)
				assert_int_equal(here(t, AT).cookie, d.note);
			expect(there(t, THERE), THERE, AXAS_STATE_LINEAR,
			       sizes[i] == GIB ? LINEAR_HPA : MEMORY, AXAS_READ);
			assert_int_equal(there(t, THERE).size, sizes[i]);
			assert_int_equal(there(t, THERE + sizes[i] - 1).state, AXAS_STATE_LINEAR);
			check_both(t);
			assert_ok(axas_unmap(t->f.as, AT, GIB));
			assert_ok(axas_unmap(t->to, THERE, GIB));
		}
}

static void what_is_lent_is_hidden_and_comes_back(void **state)
{
	struct two *t = two_of(state);

	assert_ok(axas_map_linear(t->f.as, AT, MEMORY, 4 * MIB, RW));
	watch_pages(t, AT, THERE, 1024);
	assert_ok(transfer(t, AT + PAGE, THERE + PAGE, 2 * MIB, deal(AXAS_LEND, 0, RW)));
	end_watch(t);
	expect(here(t, AT), AT, AXAS_STATE_LINEAR, MEMORY, RW);
	expect(here(t, AT + PAGE), AT + PAGE, AXAS_STATE_HIDDEN, MEMORY + PAGE, RW);
	expect(there(t, THERE + PAGE), THERE + PAGE, AXAS_STATE_LINEAR, MEMORY + PAGE, RW);
	expect(there(t, THERE + 2 * MIB), THERE + 2 * MIB, AXAS_STATE_LINEAR, MEMORY + 2 * MIB, RW);
	assert_int_equal(axas_handle_page_fault(t->f.as, AT + PAGE, AXAS_READ), AXAS_FAULT_HIDDEN);
	check_both(t);
	/* a page that was lent cannot be lent again, nor given */
	assert_status(AXAS_ERR_DENIED,
		      transfer(t, AT + PAGE, AT, PAGE, deal(AXAS_LEND, 0, AXAS_READ)));
	assert_status(AXAS_ERR_DENIED,
		      transfer(t, AT + PAGE, AT, PAGE, deal(AXAS_GIVE, 0, AXAS_READ)));
	watch_pages(t, AT, THERE, 1024);
	assert_ok(transfer(t, AT + PAGE, THERE + PAGE, PAGE, deal(AXAS_TAKE_BACK, 0, 0)));
	assert_ok(transfer(t, AT + 2 * PAGE, THERE + 2 * PAGE, 2 * MIB - PAGE,
			   deal(AXAS_TAKE_BACK, AXAS_READ, 0)));
	end_watch(t);
	expect(here(t, AT + PAGE), AT + PAGE, AXAS_STATE_LINEAR, MEMORY + PAGE, RW);
	expect(here(t, AT + 2 * PAGE), AT + 2 * PAGE, AXAS_STATE_LINEAR, MEMORY + 2 * PAGE,
	       AXAS_READ);
	assert_int_equal(space_sweep(t->to).table_frames, root_frames(&t->f));
	check_both(t);
}

static void what_is_shared_is_in_both(void **state)
{
	struct two *t = two_of(state);

	assert_ok(axas_map_linear(t->f.as, AT, MEMORY, 4 * MIB, RW));
	t->shares = 1;
	assert_ok(transfer(t, AT, THERE, 2 * MIB, deal(AXAS_SHARE, 0, RW)));
	expect(here(t, AT), AT, AXAS_STATE_LINEAR, MEMORY, RW);
	expect(there(t, THERE), THERE, AXAS_STATE_LINEAR, MEMORY, RW);
	/* the giver keeps less: then there is one writer, at all times */
	t->shares = 0;
	watch_pages(t, AT + 3 * MIB, THERE + 3 * MIB, 8);
	assert_ok(transfer(t, AT + 3 * MIB, THERE + 3 * MIB, 8 * PAGE,
			   deal(AXAS_SHARE, AXAS_READ, RW)));
	end_watch(t);
	expect(here(t, AT + 3 * MIB), AT + 3 * MIB, AXAS_STATE_LINEAR, MEMORY + 3 * MIB, AXAS_READ);
	expect(there(t, THERE + 3 * MIB), THERE + 3 * MIB, AXAS_STATE_LINEAR, MEMORY + 3 * MIB, RW);
	check_both(t);
	watch_pages(t, AT + 3 * MIB, THERE + 3 * MIB, 8);
	assert_ok(
		transfer(t, AT + 3 * MIB, THERE + 3 * MIB, 8 * PAGE, deal(AXAS_TAKE_BACK, RW, 0)));
	end_watch(t);
	expect(here(t, AT + 3 * MIB), AT + 3 * MIB, AXAS_STATE_LINEAR, MEMORY + 3 * MIB, RW);
	expect(there(t, THERE + 3 * MIB), THERE + 3 * MIB, AXAS_STATE_ABSENT, 0, 0);
	check_both(t);
}

static void a_giver_takes_back_what_a_destroyed_space_had(void **state)
{
	struct two *t = two_of(state);
	const axas_transfer_t back = deal(AXAS_TAKE_BACK, 0, 0);

	assert_ok(axas_map_linear(t->f.as, AT, MEMORY, 2 * MIB, RW));
	assert_ok(transfer(t, AT, THERE, 2 * MIB, deal(AXAS_LEND, 0, AXAS_READ)));
	axas_destroy(t->to);
	assert_ok(axas_transfer(t->f.as, AT, NULL, 0, 2 * MIB, &back));
	expect(here(t, AT), AT, AXAS_STATE_LINEAR, MEMORY, RW);
	assert_ok(axas_create(&t->f.cfg, &t->f.host.hal, &t->to));
	check_both(t);
}

/* Any distance between the two, scattered pages, notes where the pages come to. */
static void pages_of_any_shape_arrive_where_they_should(void **state)
{
	static const axas_gpa_t places[] = { THERE, THERE + PAGE, THERE + 2 * MIB,
					     THERE + 2 * MIB - 3 * PAGE, THERE + GIB - 2 * MIB };
	struct two *t = two_of(state);
	const uint64_t size = 6 * MIB;

	for (size_t p = 0; p < sizeof(places) / sizeof(places[0]); p++)
		for (uint32_t way = 0; way < 3; way++) {
			assert_ok(axas_map_linear(t->f.as, AT, MEMORY, 8 * MIB, RW));
			/* a page here and there is another one */
			for (uint64_t i = 0; way > 0 && i < 40; i++)
				assert_ok(axas_map_linear(t->f.as, AT + 3 * MIB + 2 * i * PAGE,
							  MEMORY + 16 * MIB + (41 - i) * PAGE, PAGE,
							  RW | AXAS_REPLACE));
			if (way == 2)
				assert_ok(axas_map_note(t->to, THERE, 2 * GIB, 0xabcdef, 0));
			watch_pages(t, AT + 2 * MIB, places[p] + MIB, 1024);
			assert_ok(transfer(t, AT + MIB, places[p], size, deal(AXAS_LEND, 0, RW)));
			end_watch(t);
			for (uint64_t at = 0; at < size; at += PAGE) {
				const axas_mapping_t a = here(t, AT + MIB + at);
				const axas_mapping_t b = there(t, places[p] + at);

				assert_int_equal(a.state, AXAS_STATE_HIDDEN);
				assert_int_equal(b.state, AXAS_STATE_LINEAR);
				assert_int_equal(a.hpa + (AT + MIB + at - a.gpa),
						 b.hpa + (places[p] + at - b.gpa));
				if (b.size > PAGE)
					at += b.size - PAGE;
			}
			expect(there(t, places[p] + size), 0,
			       way == 2 ? AXAS_STATE_NOTE : AXAS_STATE_ABSENT, 0, 0);
			check_both(t);
			assert_ok(
				transfer(t, AT + MIB, places[p], size, deal(AXAS_TAKE_BACK, 0, 0)));
			expect(there(t, places[p]), 0, AXAS_STATE_ABSENT, 0, 0);
			check_both(t);
			assert_ok(axas_unmap(t->f.as, AT, 8 * MIB));
			assert_ok(axas_unmap(t->to, 0, SPACE_SIZE));
		}
}

static void notes_in_tables_make_way_for_larger_pages(void **state)
{
	static const struct {
		uint64_t at, pages;
	} notes[] = { { 97, 3 }, { 0, 512 }, { 511, 2 }, { 0, 1 }, { 511, 1 } };
	static const uint32_t actions[] = { AXAS_GIVE, AXAS_LEND, AXAS_SHARE };
	struct two *t = two_of(state);

	for (size_t i = 0; i < 3 * sizeof(notes) / sizeof(notes[0]); i++) {
		const uint64_t tables = stats(&t->f).table_frames;
		axas_stats_t before, after;
		uint64_t end;

		assert_ok(axas_stats(t->to, &before));
		assert_ok(axas_map_linear(t->f.as, AT, MEMORY, 2 * MIB, RW));
		end = (notes[i / 3].at + notes[i / 3].pages) * PAGE;
		assert_ok(axas_map_note(t->to, THERE + notes[i / 3].at * PAGE,
					notes[i / 3].pages * PAGE, 9, 0));
		t->shares = actions[i % 3] == AXAS_SHARE;
		watch_pages(t, AT, THERE, 512);
		assert_ok(transfer(t, AT, THERE, 2 * MIB, deal(actions[i % 3], 0, RW)));
		end_watch(t);
		assert_int_equal(there(t, THERE).size, 2 * MIB);
		if (end > 2 * MIB)
			assert_int_equal(there(t, THERE + 2 * MIB).state, AXAS_STATE_NOTE);
		check_both(t);
		assert_ok(axas_unmap(t->to, THERE, 4 * MIB));
		assert_ok(axas_unmap(t->f.as, AT, 2 * MIB));
		assert_ok(axas_stats(t->to, &after));
		assert_int_equal(after.table_frames, before.table_frames);
		assert_int_equal(stats(&t->f).table_frames, tables);
	}
}

static void owned_pages_are_given_with_their_frames(void **state)
{
	struct two *t = two_of(state);
	axas_hpa_t first, second;
	axas_stats_t before, after;

	assert_ok(axas_map_alloc(t->f.as, AT, 2 * MIB,
				 RW | AXAS_POPULATE | AXAS_HUGE_FRAMES | AXAS_MAX_2M));
	assert_ok(axas_map_alloc(t->f.as, AT + 2 * MIB, 20 * PAGE, RW | AXAS_POPULATE));
	assert_ok(axas_map_linear(t->f.as, AT + 2 * MIB + 20 * PAGE, MEMORY, PAGE, RW));
	first = here(t, AT).hpa;
	second = here(t, AT + 2 * MIB + 3 * PAGE).hpa;
	before = stats(&t->f);
	assert_status(AXAS_ERR_UNSUPPORTED, transfer(t, AT, THERE, PAGE, deal(AXAS_LEND, 0, RW)));
	assert_status(AXAS_ERR_UNSUPPORTED, transfer(t, AT, THERE, PAGE, deal(AXAS_SHARE, 0, RW)));
	assert_ok(transfer(t, AT, THERE, 2 * MIB + 21 * PAGE, deal(AXAS_GIVE, 0, RW)));
	assert_int_equal(stats(&t->f).guest_frames, before.guest_frames - 532);
	assert_ok(axas_stats(t->to, &after));
	assert_int_equal(after.guest_frames, 532);
	expect(there(t, THERE), THERE, AXAS_STATE_OWNED, first, RW);
	expect(there(t, THERE + 2 * MIB + 3 * PAGE), THERE + 2 * MIB + 3 * PAGE, AXAS_STATE_OWNED,
	       second, RW);
	expect(there(t, THERE + 2 * MIB + 20 * PAGE), THERE + 2 * MIB + 20 * PAGE,
	       AXAS_STATE_LINEAR, MEMORY, RW);
	assert_int_equal(there(t, THERE).size, 2 * MIB);
	check_both(t);
	/* with a note, and in pieces */
	assert_ok(axas_map_alloc(t->f.as, AT, 16 * PAGE, RW | AXAS_POPULATE));
	for (uint64_t i = 0; i < 16; i += 4) {
		axas_transfer_t d = deal(AXAS_GIVE, 0, AXAS_READ);

		d.note = 77;
		assert_ok(transfer(t, AT + i * PAGE, AT + i * PAGE, 4 * PAGE, d));
		expect(here(t, AT + i * PAGE), 0, AXAS_STATE_NOTE, 0, 0);
		check_both(t);
	}
	assert_ok(axas_unmap(t->to, THERE, 4 * MIB));
	assert_ok(axas_unmap(t->to, AT, 8 * PAGE));
	assert_int_equal(t->f.host.guest_out, 8);
	check_both(t);
}

static void owned_pages_stay_where_the_host_is_another(void **state)
{
	struct two *t = two_of(state);
	static struct host other;
	const axas_transfer_t give = deal(AXAS_GIVE, 0, RW);
	axas_t *as = NULL;

	host_init(&other, HOST_CALLBACK, HOST_PA_BASE);
	other.hides = 1;
	assert_ok(axas_create(&t->f.cfg, &other.hal, &as));
	assert_ok(axas_map_alloc(t->f.as, AT, PAGE, RW | AXAS_POPULATE));
	assert_ok(axas_map_linear(t->f.as, AT + PAGE, MEMORY, PAGE, RW));
	assert_status(AXAS_ERR_UNSUPPORTED, axas_transfer(t->f.as, AT, as, THERE, PAGE, &give));
	assert_ok(axas_transfer(t->f.as, AT + PAGE, as, THERE, PAGE, &give));
	assert_int_equal(space_agree(as, THERE).hpa, MEMORY);
	space_sweep(as);
	axas_destroy(as);
	host_check_balance(&other);
	host_exit(&other);
}

static void a_wiped_page_is_zero_when_it_arrives(void **state)
{
	struct two *t = two_of(state);
	axas_transfer_t d = deal(AXAS_LEND, 0, RW);
	uint8_t *memory = host_at(&t->f.host, MEMORY);

	d.options = AXAS_WIPE;
	assert_ok(axas_map_linear(t->f.as, AT, MEMORY, 8 * PAGE, RW));
	memset(memory, 0x5a, 8 * PAGE);
	assert_ok(transfer(t, AT + PAGE, THERE, 2 * PAGE, d));
	assert_int_equal(memory[PAGE - 1], 0x5a);
	assert_int_equal(memory[PAGE], 0);
	assert_int_equal(memory[3 * PAGE - 1], 0);
	assert_int_equal(memory[3 * PAGE], 0x5a);
	memset(memory, 0x5a, 8 * PAGE);
	d = deal(AXAS_TAKE_BACK, 0, 0);
	d.options = AXAS_WIPE;
	assert_ok(transfer(t, AT + PAGE, THERE, 2 * PAGE, d));
	assert_int_equal(memory[PAGE], 0);
	assert_int_equal(memory[3 * PAGE - 1], 0);
	/* of what the giver has, too, nothing is wiped */
	assert_ok(transfer(t, AT, THERE, PAGE, deal(AXAS_SHARE, 0, RW)));
	assert_status(AXAS_ERR_DENIED, transfer(t, AT, THERE, PAGE, d));
	assert_int_equal(memory[0], 0x5a);
	/* devices, and what the host does not reach */
	d = deal(AXAS_GIVE, 0, RW);
	d.options = AXAS_WIPE;
	assert_ok(axas_map_linear(t->f.as, GIB, MEMORY + 8 * PAGE, PAGE, RW | AXAS_DEVICE));
	assert_ok(axas_map_linear(t->f.as, 2 * GIB, LINEAR_HPA, PAGE, RW));
	if (t->f.cfg.format != AXAS_FORMAT_RISCV_GSTAGE)
		assert_status(AXAS_ERR_UNSUPPORTED, transfer(t, GIB, GIB, PAGE, d));
	assert_status(AXAS_ERR_UNSUPPORTED, transfer(t, 2 * GIB, GIB, PAGE, d));
	check_both(t);
}

/* --- what is refused -------------------------------------------------------------------------- */

static void each_status_and_nothing_changes(void **state)
{
	static const axas_status_t bad = AXAS_ERR_INVALID_INPUT;
	struct two *t = two_of(state);
	axas_transfer_t d = deal(AXAS_LEND, 0, RW);
	axas_t *as = t->f.as;

	assert_ok(axas_map_linear(as, AT, MEMORY, 2 * PAGE, RW));
	assert_ok(axas_map_alloc(as, AT + 2 * PAGE, 2 * PAGE, RW));
	assert_ok(axas_map_trap(as, AT + 4 * PAGE, PAGE, 1));
	assert_ok(axas_map_note(as, AT + 5 * PAGE, PAGE, 1, 0));
	assert_ok(axas_map_linear(as, AT + 6 * PAGE, MEMORY, PAGE, AXAS_READ));
	assert_ok(axas_map_linear(as, AT + 7 * PAGE, MEMORY, PAGE, 0));
	assert_status(AXAS_ERR_DENIED, transfer(t, AT, THERE, 3 * PAGE, d)); /* reserved */
	assert_status(AXAS_ERR_DENIED, transfer(t, AT + 4 * PAGE, THERE, PAGE, d));
	assert_status(AXAS_ERR_DENIED, transfer(t, AT + 5 * PAGE, THERE, PAGE, d));
	assert_status(AXAS_ERR_DENIED, transfer(t, AT + 6 * PAGE, THERE, PAGE, d));
	assert_status(AXAS_ERR_DENIED, transfer(t, AT + 7 * PAGE, THERE, PAGE, d));
	assert_status(AXAS_ERR_NOT_MAPPED, transfer(t, AT - PAGE, THERE, 2 * PAGE, d));
	assert_status(AXAS_ERR_DENIED,
		      transfer(t, AT, THERE, PAGE, deal(AXAS_SHARE, RWX, AXAS_READ)));
	assert_status(AXAS_ERR_DENIED, transfer(t, AT, THERE, PAGE, deal(AXAS_GIVE, 0, RWX)));
	/* something is in the way there */
	assert_ok(axas_map_trap(t->to, THERE, PAGE, 1));
	assert_ok(axas_map_alloc(t->to, THERE + PAGE, PAGE, RW));
	assert_ok(axas_map_linear(t->to, THERE + 2 * PAGE, MEMORY + PAGE, PAGE, RW));
	assert_ok(axas_map_alloc(t->to, THERE + 3 * PAGE, PAGE, RW | AXAS_POPULATE));
	for (axas_gpa_t gpa = THERE - PAGE; gpa < THERE + 4 * PAGE; gpa += PAGE)
		assert_status(AXAS_ERR_ALREADY_EXISTS, transfer(t, AT, gpa, 2 * PAGE, d));
	/* to be taken back: hidden or a page here, the same page there */
	d = deal(AXAS_TAKE_BACK, 0, 0);
	assert_ok(axas_hide(as, AT, PAGE, 0));
	assert_status(AXAS_ERR_DENIED, transfer(t, AT, THERE, PAGE, d));
	assert_status(AXAS_ERR_DENIED, transfer(t, AT, THERE + PAGE, PAGE, d));
	assert_status(AXAS_ERR_DENIED, transfer(t, AT, THERE + 2 * PAGE, PAGE, d)); /* hpa */
	assert_status(AXAS_ERR_DENIED, transfer(t, AT, THERE + 3 * PAGE, PAGE, d)); /* owned */
	assert_status(AXAS_ERR_NOT_MAPPED, transfer(t, AT, THERE + 4 * PAGE, PAGE, d));
	assert_status(AXAS_ERR_NOT_MAPPED, transfer(t, AT - PAGE, THERE + 2 * PAGE, PAGE, d));
	assert_status(AXAS_ERR_DENIED, transfer(t, AT + 4 * PAGE, THERE + 2 * PAGE, PAGE, d));
	assert_ok(transfer(t, AT + PAGE, THERE + 2 * PAGE, PAGE, d));
	/* arguments */
	d = deal(AXAS_LEND, 0, RW);
	assert_status(bad, axas_transfer(NULL, AT, t->to, THERE, PAGE, &d));
	assert_status(bad, axas_transfer(as, AT, NULL, THERE, PAGE, &d));
	assert_status(bad, axas_transfer(as, AT, t->to, THERE, PAGE, NULL));
	assert_status(bad, axas_transfer(as, AT, as, THERE, PAGE, &d));
	assert_status(bad, transfer(t, AT + 1, THERE, PAGE, d));
	assert_status(bad, transfer(t, AT, THERE + 1, PAGE, d));
	assert_status(bad, transfer(t, AT, THERE, PAGE + 1, d));
	assert_status(bad, transfer(t, AT, THERE, 0, d));
	assert_status(bad, transfer(t, SPACE_SIZE, THERE, PAGE, d));
	assert_status(bad, transfer(t, AT, SPACE_SIZE - PAGE, 2 * PAGE, d));
	assert_status(bad, transfer(t, 0 - PAGE, THERE, 2 * PAGE, d));
	assert_status(bad, transfer(t, AT, THERE, ~0ull & ~(PAGE - 1), d));
	d.struct_size -= 4;
	assert_status(bad, transfer(t, AT, THERE, PAGE, d));
	for (uint32_t action = 0; action < 8; action += action == 0 ? 5 : 1)
		assert_status(bad, transfer(t, AT, THERE, PAGE, deal(action, 0, RW)));
	assert_status(bad, transfer(t, AT, THERE, PAGE, deal(AXAS_LEND, RW, RW)));
	assert_status(bad, transfer(t, AT, THERE, PAGE, deal(AXAS_GIVE, RW, RW)));
	assert_status(bad, transfer(t, AT, THERE, PAGE, deal(AXAS_LEND, 0, 0)));
	assert_status(bad, transfer(t, AT, THERE, PAGE, deal(AXAS_TAKE_BACK, 0, RW)));
	for (uint32_t bit = 3; bit < 32; bit++) {
		const axas_status_t status = bit - 24 < 4 ? AXAS_ERR_UNSUPPORTED : bad;

		if (1u << bit == AXAS_USER || (bit - 24 < 4 && axas_tag_bits(t->f.as) != 0))
			continue;
		assert_status(status,
			      transfer(t, AT, THERE, PAGE, deal(AXAS_LEND, 0, RW | 1u << bit)));
		assert_status(status, transfer(t, AT, THERE, PAGE,
					       deal(AXAS_SHARE, AXAS_READ | 1u << bit, RW)));
	}
	for (uint32_t bit = 1; bit < 32; bit++) {
		d = deal(AXAS_LEND, 0, RW);
		d.options = 1u << bit;
		assert_status(bad, transfer(t, AT, THERE, PAGE, d));
	}
	d = deal(AXAS_SHARE, 0, RW);
	d.options = AXAS_WIPE;
	assert_status(bad, transfer(t, AT, THERE, PAGE, d));
	d = deal(AXAS_LEND, 0, RW);
	d.note = 1;
	assert_status(bad, transfer(t, AT, THERE, PAGE, d));
	d.note = 0;
	d.from_tags = 1u << 16;
	assert_status(bad, transfer(t, AT, THERE, PAGE, d));
	d.from_tags = 0;
	d.to_tags = 1u << 16;
	assert_status(bad, transfer(t, AT, THERE, PAGE, d));
	check_both(t);
}

static uint32_t tag_here(struct two *t, axas_gpa_t gpa)
{
	return tag_of(here(t, gpa).flags);
}

static uint32_t tag_there(struct two *t, axas_gpa_t gpa)
{
	axas_mapping_t m;

	assert_ok(axas_query(t->to, gpa, &m));
	return tag_of(m.flags);
}

/* As FF-A's owners and borrowers are told apart: tags say what may move, and what has moved. */
static void tags_say_what_may_move_and_what_has_moved(void **state)
{
	struct two *t = two_of(state);
	axas_transfer_t d = deal(AXAS_LEND, TAG(2), RW | TAG(3));

	if (axas_tag_bits(t->f.as) == 0) {
		assert_status(AXAS_ERR_UNSUPPORTED, transfer(t, AT, THERE, PAGE, d));
		check_both(t);
		return;
	}
	assert_ok(axas_map_linear(t->f.as, AT, MEMORY, 2 * MIB, RW | TAG(1)));
	d.from_tags = 1u << 0 | 1u << 2;
	assert_status(AXAS_ERR_DENIED, transfer(t, AT, THERE, PAGE, d));
	d.from_tags = 1u << 1;
	assert_ok(transfer(t, AT, THERE, PAGE, d));
	assert_int_equal(here(t, AT).state, AXAS_STATE_HIDDEN);
	assert_int_equal(tag_here(t, AT), 2);
	assert_int_equal(tag_here(t, AT + PAGE), 1);
	assert_int_equal(tag_there(t, THERE), 3);
	check_both(t);

	d = deal(AXAS_TAKE_BACK, TAG(1), 0);
	d.from_tags = 1u << 2;
	d.to_tags = 1u << 1;
	assert_status(AXAS_ERR_DENIED, transfer(t, AT, THERE, PAGE, d));
	d.to_tags = 1u << 3;
	assert_ok(transfer(t, AT, THERE, PAGE, d));
	assert_int_equal(tag_here(t, AT), 1);
	check_both(t);

	/* a part of a huge page whose tag alone changes is cut */
	assert_ok(transfer(t, AT + MIB, THERE, 2 * PAGE, deal(AXAS_SHARE, TAG(4), RW | TAG(5))));
	assert_int_equal(tag_here(t, AT + MIB - PAGE), 1);
	assert_int_equal(tag_here(t, AT + MIB + PAGE), 4);
	assert_int_equal(tag_here(t, AT + MIB + 2 * PAGE), 1);
	assert_int_equal(tag_there(t, THERE + PAGE), 5);
	check_both(t);

	/* the note has the tag, and says that something may come here */
	d = deal(AXAS_GIVE, TAG(6), RW);
	d.note = 77;
	assert_ok(transfer(t, AT + PAGE, THERE + MIB, PAGE, d));
	assert_int_equal(here(t, AT + PAGE).state, AXAS_STATE_NOTE);
	assert_int_equal(tag_here(t, AT + PAGE), 6);
	assert_int_equal(tag_there(t, THERE + MIB), 0);
	assert_ok(axas_map_note(t->to, THERE + 2 * MIB, PAGE, 5, TAG(7)));
	d = deal(AXAS_LEND, 0, RW);
	d.to_tags = 1u << 6;
	assert_status(AXAS_ERR_DENIED, transfer(t, AT, THERE + 2 * MIB, PAGE, d));
	d.to_tags = 1u << 7;
	assert_ok(transfer(t, AT, THERE + 2 * MIB, PAGE, d));
	check_both(t);
}

static void formats_must_be_the_same(void **state)
{
	struct two *t = two_of(state);
	const axas_transfer_t d = deal(AXAS_LEND, 0, RW);
	axas_config_t cfg = t->f.cfg;
	axas_t *as = NULL;

	cfg.format = cfg.format == AXAS_FORMAT_NPT ? AXAS_FORMAT_EPT : AXAS_FORMAT_NPT;
	cfg.features = 0;
	assert_ok(axas_create(&cfg, &t->f.host.hal, &as));
	assert_ok(axas_map_linear(t->f.as, AT, MEMORY, PAGE, RW));
	assert_status(AXAS_ERR_UNSUPPORTED, axas_transfer(t->f.as, AT, as, AT, PAGE, &d));
	axas_destroy(as);
}

static void every_allocation_may_fail(void **state)
{
	static const uint32_t actions[] = { AXAS_GIVE, AXAS_LEND, AXAS_SHARE, AXAS_TAKE_BACK };
	struct two *t = two_of(state);

	t->f.cfg.options |= 0;
	begin(t);
	for (uint32_t a = 0; a < 4; a++)
		for (uint32_t way = 0; way < 2; way++) {
			const axas_gpa_t gpa = AT + PAGE, to_gpa = THERE + (way ? 3 : 1) * PAGE;
			const int back = actions[a] == AXAS_TAKE_BACK;
			axas_status_t status = AXAS_ERR_NO_MEMORY;
			uint64_t refused = 0;

			assert_ok(axas_map_linear(t->f.as, AT, LINEAR_HPA, GIB, RW));
			if (way)
				assert_ok(axas_map_note(t->to, THERE, GIB, 5, 0));
			if (back)
				assert_ok(transfer(t, AT, THERE + (way ? 2 : 0) * PAGE, 8 * MIB,
						   deal(AXAS_LEND, 0, RW)));
			for (uint64_t n = 1; status != AXAS_OK; n++) {
				axas_transfer_t d = deal(actions[a], 0, back ? 0 : AXAS_READ);

				if (actions[a] == AXAS_SHARE)
					d.from_flags = AXAS_READ;
				t->f.host.fail_at = n;
				status = transfer(t, gpa, to_gpa, 4 * MIB, d);
				t->f.host.fail_at = 0;
				if (status != AXAS_OK) {
					assert_status(AXAS_ERR_NO_MEMORY, status);
					refused++;
				}
				check_both(t);
				assert_true(n < 200);
			}
			assert_true(refused > (way && back ? 0 : 2));
			assert_ok(axas_unmap(t->f.as, AT, GIB));
			assert_ok(axas_unmap(t->to, 0, SPACE_SIZE));
			check_both(t);
		}
}

/* The taker's kept tables are there, whatever allocation fails; pages use them, or take their places. */
static void kept_tables_stay_where_a_transfer_fails(void **state)
{
	struct two *t = two_of(state);

	t->f.cfg.options |= AXAS_KEEP_TABLES;
	begin(t);
	for (uint32_t way = 0; way < 3; way++) {
		const axas_gpa_t shift = way == 1 ? PAGE : 0;
		axas_status_t status = AXAS_ERR_NO_MEMORY;
		uint64_t refused = 0;

		assert_ok(axas_map_linear(t->f.as, AT, LINEAR_HPA, GIB, RW));
		/* tables of two levels are kept; or one beside a page that stays */
		assert_ok(axas_map_linear(t->to, THERE + 2 * MIB, LINEAR_HPA, PAGE, RW));
		if (way == 2)
			assert_ok(axas_map_linear(t->to, THERE + 8 * MIB, LINEAR_HPA, PAGE, RW));
		assert_ok(axas_unmap(t->to, THERE + 2 * MIB, PAGE));
		for (uint64_t n = 1; status != AXAS_OK; n++) {
			t->f.host.fail_at = n;
			status = transfer(t, AT + shift, THERE + shift, 4 * MIB,
					  deal(AXAS_LEND, 0, RW));
			t->f.host.fail_at = 0;
			if (status != AXAS_OK) {
				assert_status(AXAS_ERR_NO_MEMORY, status);
				refused++;
			}
			check_both(t);
			assert_true(n < 20);
		}
		assert_true(refused > 0);
		assert_int_equal(there(t, THERE + 2 * MIB).size, 2 * MIB);
		assert_ok(axas_unmap(t->to, 0, SPACE_SIZE));
		assert_ok(axas_collect(t->to, 0, SPACE_SIZE));
		assert_ok(axas_unmap(t->f.as, 0, SPACE_SIZE));
		check_both(t);
	}
}

/* A range whose last page only is refused, with cuts on both sides before it; whatever allocation fails besides. */
static void expect_refusal(struct two *t, axas_status_t why, axas_gpa_t gpa, axas_gpa_t to_gpa,
			   uint64_t size, axas_transfer_t d)
{
	for (uint64_t n = 0; n < 12; n++) {
		t->f.host.fail_at = n;
		assert_status(why, transfer(t, gpa, to_gpa, size, d));
		/* it was refused before anything was taken */
		assert_int_equal(t->f.host.fail_at, n);
	}
	t->f.host.fail_at = 0;
}

static void what_is_refused_takes_no_memory(void **state)
{
	static const uint32_t actions[] = { AXAS_GIVE, AXAS_LEND, AXAS_SHARE };
	const uint64_t size = 2 * MIB;
	const axas_gpa_t last = AT + PAGE + size - PAGE;
	struct two *t = two_of(state);
	axas_transfer_t d;

	begin(t);
	assert_ok(axas_map_linear(t->f.as, AT, MEMORY, 2 * MIB, RW));
	for (uint32_t i = 0; i < 3; i++) {
		const axas_flags_t keeps = actions[i] == AXAS_SHARE ? AXAS_READ : 0;

		d = deal(actions[i], keeps, RW);
		expect_refusal(t, AXAS_ERR_NOT_MAPPED, AT + PAGE, THERE + PAGE, size, d);
		assert_ok(axas_map_trap(t->f.as, last, PAGE, 1));
		expect_refusal(t, AXAS_ERR_DENIED, AT + PAGE, THERE + PAGE, size, d);
		assert_ok(axas_map_note(t->f.as, last, PAGE, 1, AXAS_REPLACE));
		expect_refusal(t, AXAS_ERR_DENIED, AT + PAGE, THERE + PAGE, size, d);
		assert_ok(axas_unmap(t->f.as, last, PAGE));
		assert_ok(axas_map_provider(t->f.as, last, PAGE, RW, 3));
		expect_refusal(t, AXAS_ERR_DENIED, AT + PAGE, THERE + PAGE, size, d);
		assert_ok(axas_map_linear(t->f.as, last, MEMORY, PAGE, AXAS_READ | AXAS_REPLACE));
		expect_refusal(t, AXAS_ERR_DENIED, AT + PAGE, THERE + PAGE, size, d);
		if (axas_tag_bits(t->f.as) != 0) {
			assert_ok(axas_protect(t->f.as, last, PAGE, RW));
			assert_ok(axas_retag(t->f.as, last, PAGE, 1));
			d.from_tags = 1;
			expect_refusal(t, AXAS_ERR_DENIED, AT + PAGE, THERE + PAGE, size, d);
			d.from_tags = 0;
		}
		assert_ok(axas_map_alloc(t->f.as, last, PAGE, RW | AXAS_POPULATE | AXAS_REPLACE));
		if (actions[i] != AXAS_GIVE)
			expect_refusal(t, AXAS_ERR_UNSUPPORTED, AT + PAGE, THERE + PAGE, size, d);
		/* something at the last page of the taker's range, in a page of 2 MiB of its own */
		assert_ok(axas_map_linear(t->f.as, last, MEMORY, PAGE, RW | AXAS_REPLACE));
		assert_ok(axas_map_linear(t->to, THERE + 2 * MIB, MEMORY + 4 * MIB, 2 * MIB, RW));
		expect_refusal(t, AXAS_ERR_ALREADY_EXISTS, AT + PAGE, THERE + PAGE, size, d);
		assert_ok(axas_unmap(t->to, THERE, 4 * MIB));
		assert_ok(axas_unmap(t->f.as, last, PAGE));
		check_both(t);
	}
	/* to be taken back: the last page is missing, or is another one */
	d = deal(AXAS_TAKE_BACK, AXAS_READ, 0);
	assert_ok(axas_map_linear(t->f.as, AT + 2 * MIB, MEMORY + 2 * MIB, 2 * MIB, RW));
	assert_ok(transfer(t, AT, THERE, 4 * MIB, deal(AXAS_LEND, 0, RW)));
	assert_ok(axas_unmap(t->to, THERE + 2 * MIB, PAGE));
	expect_refusal(t, AXAS_ERR_NOT_MAPPED, AT + PAGE, THERE + PAGE, size, d);
	assert_ok(axas_map_linear(t->to, THERE + 2 * MIB, MEMORY, PAGE, RW));
	expect_refusal(t, AXAS_ERR_DENIED, AT + PAGE, THERE + PAGE, size, d);
	assert_ok(
		axas_map_linear(t->to, THERE + 2 * MIB, MEMORY + 2 * MIB, PAGE, RW | AXAS_REPLACE));
	assert_ok(transfer(t, AT + PAGE, THERE + PAGE, size, d));
	check_both(t);
}

/* A host that is blind once: the taker has nothing, the giver has all, shown or hidden. */
static void a_host_blind_for_a_moment_leaves_no_page_with_two(void **state)
{
	static const uint32_t actions[] = { AXAS_GIVE, AXAS_LEND, AXAS_TAKE_BACK };
	struct two *t = two_of(state);

	begin(t);
	t->f.host.quick = 1;
	for (uint32_t a = 0; a < 3; a++) {
		const int back = actions[a] == AXAS_TAKE_BACK;
		axas_status_t status = AXAS_ERR_BAD_STATE;

		for (uint64_t n = 1; status != AXAS_OK; n++) {
			axas_transfer_t d = deal(actions[a], 0, back ? 0 : RW);
			uint64_t both = 0;

			d.options = AXAS_WIPE;
			assert_ok(axas_map_linear(t->f.as, AT, MEMORY, 12 * PAGE, RW));
			if (back)
				assert_ok(
					transfer(t, AT, THERE, 12 * PAGE, deal(AXAS_LEND, 0, RW)));
			t->f.host.blind_at = n;
			status = transfer(t, AT + PAGE, THERE + PAGE, 9 * PAGE, d);
			if (t->f.host.blind_at != 0)
				assert_status(AXAS_OK, status);
			t->f.host.blind_at = 0;
			assert_true(status == AXAS_OK || status == AXAS_ERR_BAD_STATE ||
				    status == AXAS_ERR_UNSUPPORTED);
			for (axas_gpa_t at = 0; at < 12 * PAGE; at += PAGE)
				both += here(t, AT + at).state == AXAS_STATE_LINEAR &&
					there(t, THERE + at).state == AXAS_STATE_LINEAR;
			assert_int_equal(both, 0);
			if (status != AXAS_OK)
				assert_true(here(t, AT + PAGE).state != AXAS_STATE_ABSENT ||
					    there(t, THERE + PAGE).state == AXAS_STATE_LINEAR);
			assert_ok(axas_unmap(t->f.as, 0, SPACE_SIZE));
			assert_ok(axas_unmap(t->to, 0, SPACE_SIZE));
			host_check(&t->f.host);
			assert_true(n < 2000);
		}
	}
	t->f.host.quick = 0;
	check_both(t);
}

static void slices_come_out_as_one_call(void **state)
{
	struct two *t = two_of(state);
	const axas_transfer_t lend = deal(AXAS_LEND, 0, RW), back = deal(AXAS_TAKE_BACK, 0, 0);
	uint64_t all, done = 0;
	axas_status_t status;

	assert_ok(axas_map_linear(t->f.as, AT, LINEAR_HPA, GIB, RW));
	for (all = 0; all < 6 * MIB; all += done) {
		status = axas_transfer_some(t->f.as, AT + all, t->to, THERE + PAGE + all,
					    6 * MIB - all, &lend, 100, &done);
		assert_true(status == AXAS_OK || (status == AXAS_ERR_AGAIN && done != 0));
		assert_true(done <= 100 * PAGE);
	}
	expect(there(t, THERE + PAGE), THERE + PAGE, AXAS_STATE_LINEAR, LINEAR_HPA, RW);
	expect(there(t, THERE + 6 * MIB), THERE + 6 * MIB, AXAS_STATE_LINEAR,
	       LINEAR_HPA + 6 * MIB - PAGE, RW);
	expect(here(t, AT + 6 * MIB), AT + 6 * MIB, AXAS_STATE_LINEAR, LINEAR_HPA + 6 * MIB, RW);
	check_both(t);
	for (all = 0; all < 6 * MIB; all += done) {
		status = axas_transfer_some(t->f.as, AT + all, t->to, THERE + PAGE + all,
					    6 * MIB - all, &back, 300, &done);
		assert_true(status == AXAS_OK || (status == AXAS_ERR_AGAIN && done != 0));
	}
	assert_int_equal(space_sweep(t->to).table_frames, root_frames(&t->f));
	assert_status(AXAS_ERR_INVALID_INPUT,
		      axas_transfer_some(t->f.as, AT, t->to, THERE, PAGE, &lend, 0, &done));
	assert_status(AXAS_ERR_INVALID_INPUT,
		      axas_transfer_some(t->f.as, AT, t->to, THERE, PAGE, &lend, 1, NULL));
	check_both(t);
}

#define ROUNDS 400

struct party {
	struct two *t;
	int is_second;
	uint32_t lent;
};

static void *lend_and_take_back(void *arg)
{
	struct party *p = arg;
	axas_t *from = p->is_second ? p->t->to : p->t->f.as;
	axas_t *to = p->is_second ? p->t->f.as : p->t->to;
	const axas_gpa_t gpa = p->is_second ? GIB : 2 * GIB;
	const axas_transfer_t lend = deal(AXAS_LEND, 0, RW), back = deal(AXAS_TAKE_BACK, 0, 0);

	for (uint32_t i = 0; i < ROUNDS; i++)
		if (axas_transfer(from, gpa, to, gpa + 64 * GIB, 8 * PAGE, &lend) == AXAS_OK &&
		    axas_transfer(from, gpa, to, gpa + 64 * GIB, 8 * PAGE, &back) == AXAS_OK)
			p->lent++;
	return NULL;
}

/* Each waits for the lower handle first: with another order both would wait for ever. */
static void two_that_lend_to_each_other_wait_for_each_other(void **state)
{
	struct two *t = two_of(state);
	struct party party[2] = { { .t = t }, { .t = t, .is_second = 1 } };
	pthread_t thread[2];

	assert_ok(axas_map_linear(t->f.as, 2 * GIB, MEMORY, 8 * PAGE, RW));
	assert_ok(axas_map_linear(t->to, GIB, MEMORY + MIB, 8 * PAGE, RW));
	t->f.host.quick = 1;
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, lend_and_take_back, &party[i]),
				 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	t->f.host.quick = 0;
	assert_int_equal(party[0].lent, ROUNDS);
	assert_int_equal(party[1].lent, ROUNDS);
	check_both(t);
}

/* --- a space that is busy ---------------------------------------------------------------------- */

/* While a call holds one space: what a transfer says, and whether it holds the other one afterwards. */
struct busy {
	struct two *t;
	axas_t *idle;
	axas_status_t status, back, some, other;
	uint64_t done;
};

static void *transfer_beside(void *arg)
{
	struct busy *b = arg;
	const axas_transfer_t lend = deal(AXAS_LEND, 0, RW), back = deal(AXAS_TAKE_BACK, 0, 0);
	axas_t *from = b->t->f.as, *to = b->t->to;

	b->status = axas_transfer(from, AT, to, THERE, PAGE, &lend);
	b->back = axas_transfer(from, AT, to, THERE, PAGE, &back);
	b->some = axas_transfer_some(from, AT, to, THERE, PAGE, &lend, 1, &b->done);
	b->other = axas_protect(b->idle, 8 * GIB, PAGE, AXAS_READ);
	return NULL;
}

static void transfer_in_flush(struct host *h, const axas_tlb_request_t *request)
{
	struct busy *b = h->in_flush_arg;
	pthread_t thread;

	if (request->gpa != 9 * GIB)
		return;
	assert_int_equal(pthread_create(&thread, NULL, transfer_beside, b), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

/* The first of the two that is refused, or the second, whose first is given up again. */
static void with_no_wait_a_busy_space_is_told_and_the_other_left(void **state)
{
	struct two *t = two_of(state);

	t->f.cfg.options |= AXAS_NO_WAIT;
	begin(t);
	for (int i = 0; i < 2; i++) {
		axas_t *held = i ? t->to : t->f.as;
		struct busy b = { .t = t, .idle = i ? t->f.as : t->to, .done = 7 };

		assert_ok(axas_map_linear(t->f.as, AT, MEMORY, PAGE, RW));
		assert_ok(axas_map_linear(held, 9 * GIB, MEMORY + PAGE, PAGE, RW));
		assert_ok(axas_map_linear(b.idle, 8 * GIB, MEMORY + 2 * PAGE, PAGE, RW));
		t->f.host.quick = 1;
		t->f.host.in_flush_arg = &b;
		t->f.host.in_flush = transfer_in_flush;
		assert_ok(axas_unmap(held, 9 * GIB, PAGE));
		t->f.host.in_flush = NULL;
		t->f.host.quick = 0;
		assert_status(AXAS_ERR_AGAIN, b.status);
		assert_status(AXAS_ERR_AGAIN, b.back);
		assert_status(AXAS_ERR_AGAIN, b.some);
		assert_int_equal(b.done, 0);
		assert_ok(b.other);
		expect(here(t, AT), AT, AXAS_STATE_LINEAR, MEMORY, RW);
		expect(there(t, THERE), THERE, AXAS_STATE_ABSENT, 0, 0);
		/* and when it is not busy any more */
		assert_ok(transfer(t, AT, THERE, PAGE, deal(AXAS_LEND, 0, RW)));
		assert_ok(transfer(t, AT, THERE, PAGE, deal(AXAS_TAKE_BACK, 0, 0)));
		assert_ok(axas_unmap(t->f.as, AT, PAGE));
		assert_ok(axas_unmap(b.idle, 8 * GIB, PAGE));
		check_both(t);
	}
}

static void the_last_page_of_both_spaces_moves(void **state)
{
	struct two *t = two_of(state);
	const axas_gpa_t last = SPACE_SIZE - PAGE;

	assert_ok(axas_map_linear(t->f.as, last, MEMORY, PAGE, RW));
	assert_ok(transfer(t, last, last, PAGE, deal(AXAS_GIVE, 0, RW)));
	expect(here(t, last), last, AXAS_STATE_ABSENT, 0, 0);
	expect(there(t, last), last, AXAS_STATE_LINEAR, MEMORY, RW);
	check_both(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(what_is_given_leaves_a_note_or_a_hole),
		EACH(what_is_lent_is_hidden_and_comes_back),
		EACH(what_is_shared_is_in_both),
		EACH(a_giver_takes_back_what_a_destroyed_space_had),
		EACH(pages_of_any_shape_arrive_where_they_should),
		EACH(notes_in_tables_make_way_for_larger_pages),
		EACH(owned_pages_are_given_with_their_frames),
		EACH(owned_pages_stay_where_the_host_is_another),
		EACH(a_wiped_page_is_zero_when_it_arrives),
		EACH(each_status_and_nothing_changes),
		EACH(tags_say_what_may_move_and_what_has_moved),
		EACH(formats_must_be_the_same),
		EACH_WITHOUT(every_allocation_may_fail),
		EACH_WITHOUT(kept_tables_stay_where_a_transfer_fails),
		EACH_WITHOUT(what_is_refused_takes_no_memory),
		EACH_WITHOUT(a_host_blind_for_a_moment_leaves_no_page_with_two),
		EACH(slices_come_out_as_one_call),
		EACH(two_that_lend_to_each_other_wait_for_each_other),
		EACH_WITHOUT(with_no_wait_a_busy_space_is_told_and_the_other_left),
		EACH(the_last_page_of_both_spaces_moves),
	};

	return cmocka_run_group_tests_name("transfer", tests, NULL, NULL);
}
