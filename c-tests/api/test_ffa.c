/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Memory management of Arm's FF-A by axas_transfer: the table of docs/porting/hafnium.md, row by row. What a
 * partition has sent waits in a space that no CPU runs, until a borrower retrieves it. Tags are what Hafnium keeps
 * of a page's owner: bits 5 and 6 of a mode.
 */
#include "fixture.h"

#define MM_MODE_INVALID (1u << 4)
#define MM_MODE_UNOWNED (1u << 5)
#define MM_MODE_SHARED  (1u << 6)
/* The tag of a mode, in flags and among those that a page may have. */
#define FLAGS(mode)     ((axas_flags_t)((mode) >> 5) << AXAS_TAG_SHIFT)
#define ONLY(mode)      (1u << ((mode) >> 5))
#define OWNED           0u
#define BORROWED        MM_MODE_UNOWNED
#define BORROWED_SHARED (MM_MODE_UNOWNED | MM_MODE_SHARED)

/* The same address everywhere, as Hafnium has it; and linear memory that the host can wipe. */
#define AT     (4 * GIB)
#define MEMORY (HOST_PA_BASE + HOST_LINEAR)
#define SIZE   (2 * MIB + 3 * PAGE)

struct world {
	struct fixture f; /* of the owner */
	axas_t *sent;
	axas_t *borrower[2];
};

static int setup_world(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	const struct format_case *fc = *state;

	assert_non_null(w);
	w->f.fc = fc;
	w->f.cfg = (axas_config_t){
		.struct_size = sizeof(w->f.cfg),
		.format = fc->format,
		.size = SPACE_SIZE,
		.vmid = 1,
		.features = fc->features,
	};
	if (fc->format == AXAS_FORMAT_RISCV_GSTAGE)
		w->f.cfg.features |= AXAS_FEATURE_RISCV_SVRSW60T59B;
	host_init(&w->f.host, HOST_CALLBACK, HOST_PA_BASE);
	w->f.host.hides = 1;
	fixture_create(&w->f);
	w->f.cfg.vmid++;
	assert_ok(axas_create(&w->f.cfg, &w->f.host.hal, &w->sent));
	for (int i = 0; i < 2; i++) {
		w->f.cfg.vmid++;
		assert_ok(axas_create(&w->f.cfg, &w->f.host.hal, &w->borrower[i]));
	}
	assert_ok(axas_map_linear(w->f.as, AT, MEMORY, 4 * MIB, RWX));
	*state = w;
	return 0;
}

/* Nothing is on its way any more. */
static int teardown_world(void **state)
{
	struct world *w = *state;

	space_sweep(w->f.as);
	space_sweep(w->borrower[0]);
	space_sweep(w->borrower[1]);
	assert_int_equal(space_sweep(w->sent).table_frames, root_frames(&w->f));
	host_check(&w->f.host);
	axas_destroy(w->sent);
	axas_destroy(w->borrower[0]);
	axas_destroy(w->borrower[1]);
	fixture_destroy(&w->f);
	host_exit(&w->f.host);
	free(w);
	return 0;
}

#define ONE_WORLD(test, fmt)                                                        \
	{                                                                           \
#test " [" #fmt "]", test, setup_world, teardown_world, &fmt##_case \
	}
#define EACH(test) \
	ONE_WORLD(test, ept), ONE_WORLD(test, npt), ONE_WORLD(test, arm), ONE_WORLD(test, riscv)

static void expect_page(const axas_t *as, axas_gpa_t gpa, axas_flags_t access, uint32_t mode)
{
	const axas_mapping_t m = space_agree(as, gpa);

	assert_int_equal(m.state, AXAS_STATE_LINEAR);
	assert_int_equal(m.hpa + (gpa - m.gpa), MEMORY + (gpa - AT));
	assert_int_equal(space_access(m.flags), access);
	assert_int_equal(m.flags & AXAS_TAG_MASK, FLAGS(mode));
}

static void expect_nothing(const axas_t *as, axas_gpa_t gpa)
{
	assert_int_equal(space_agree(as, gpa).state, AXAS_STATE_ABSENT);
}

static void expect_lent(const axas_t *as, axas_gpa_t gpa)
{
	assert_int_equal(space_agree(as, gpa).state, AXAS_STATE_HIDDEN);
}

/* --- the rows ----------------------------------------------------------------------------------- */

static axas_status_t do_transfer(axas_t *from, axas_t *to, uint64_t size, axas_transfer_t t)
{
	t.struct_size = sizeof(t);
	return axas_transfer(from, AT, to, AT, size, &t);
}

static axas_status_t donate(struct world *w, axas_t *from, uint64_t size, axas_flags_t access)
{
	return do_transfer(from, w->sent, size,
			   (axas_transfer_t){ .action = AXAS_GIVE,
					      .from_tags = ONLY(OWNED),
					      .to_flags = access });
}

static axas_status_t retrieve_donated(struct world *w, axas_t *to, uint64_t size,
				      axas_flags_t access)
{
	return do_transfer(w->sent, to, size,
			   (axas_transfer_t){ .action = AXAS_GIVE, .to_flags = access });
}

static axas_status_t lend(struct world *w, axas_t *from, uint64_t size, axas_flags_t access,
			  uint32_t options)
{
	return do_transfer(from, w->sent, size,
			   (axas_transfer_t){ .action = AXAS_LEND,
					      .from_tags = ONLY(OWNED),
					      .to_flags = access,
					      .options = options });
}

/* By the only borrower, or by one of several. */
static axas_status_t retrieve_lent(struct world *w, axas_t *to, axas_flags_t access, int alone)
{
	return do_transfer(w->sent, to, SIZE,
			   (axas_transfer_t){ .action = alone ? AXAS_LEND : AXAS_SHARE,
					      .to_flags = access | FLAGS(BORROWED) });
}

static axas_status_t share(struct world *w, axas_t *from, uint64_t size, axas_flags_t access)
{
	return do_transfer(from, w->sent, size,
			   (axas_transfer_t){ .action = AXAS_SHARE,
					      .from_tags = ONLY(OWNED),
					      .from_flags = FLAGS(MM_MODE_SHARED),
					      .to_flags = access });
}

static axas_status_t retrieve_shared(struct world *w, axas_t *to, axas_flags_t access)
{
	return do_transfer(w->sent, to, SIZE,
			   (axas_transfer_t){ .action = AXAS_SHARE,
					      .to_flags = access | FLAGS(BORROWED_SHARED) });
}

static axas_status_t relinquish(struct world *w, axas_t *borrower, uint32_t options)
{
	return do_transfer(w->sent, borrower, SIZE,
			   (axas_transfer_t){ .action = AXAS_TAKE_BACK,
					      .to_tags = ONLY(BORROWED) | ONLY(BORROWED_SHARED),
					      .options = options });
}

static axas_status_t reclaim(struct world *w, axas_t *owner, uint64_t size, uint32_t options)
{
	return do_transfer(owner, w->sent, size,
			   (axas_transfer_t){ .action = AXAS_TAKE_BACK,
					      .from_tags = ONLY(OWNED) | ONLY(MM_MODE_SHARED),
					      .options = options });
}

static axas_status_t reclaim_donated(struct world *w, axas_t *owner, axas_flags_t access)
{
	return do_transfer(w->sent, owner, SIZE,
			   (axas_transfer_t){ .action = AXAS_GIVE, .to_flags = access });
}

static void mem_donate(void **state)
{
	struct world *w = *state;
	axas_t *owner = w->f.as, *next = w->borrower[0];

	assert_ok(donate(w, owner, SIZE, RW));
	expect_nothing(owner, AT);
	expect_nothing(owner, AT + SIZE - PAGE);
	expect_page(owner, AT + SIZE, RWX, OWNED);
	expect_nothing(next, AT);
	assert_ok(retrieve_donated(w, next, SIZE, RW));
	expect_page(next, AT, RW, OWNED);
	expect_page(next, AT + SIZE - PAGE, RW, OWNED);
	expect_nothing(next, AT + SIZE);
	/* its owner sends it on */
	assert_ok(donate(w, next, PAGE, AXAS_READ));
	assert_ok(retrieve_donated(w, w->borrower[1], PAGE, AXAS_READ));
	expect_nothing(next, AT);
	expect_page(w->borrower[1], AT, AXAS_READ, OWNED);
}

static void mem_reclaim_of_what_was_donated(void **state)
{
	struct world *w = *state;

	assert_ok(donate(w, w->f.as, SIZE, RWX));
	assert_ok(reclaim_donated(w, w->f.as, RWX));
	expect_page(w->f.as, AT, RWX, OWNED);
	expect_page(w->f.as, AT + SIZE - PAGE, RWX, OWNED);
	/* what was retrieved is gone */
	assert_ok(donate(w, w->f.as, SIZE, RWX));
	assert_ok(retrieve_donated(w, w->borrower[0], SIZE, RWX));
	assert_status(AXAS_ERR_NOT_MAPPED, reclaim_donated(w, w->f.as, RWX));
	expect_nothing(w->f.as, AT);
}

static void mem_lend(void **state)
{
	struct world *w = *state;
	axas_t *owner = w->f.as, *to = w->borrower[0];

	assert_ok(lend(w, owner, SIZE, RW, 0));
	expect_lent(owner, AT);
	expect_lent(owner, AT + SIZE - PAGE);
	expect_page(owner, AT + SIZE, RWX, OWNED);
	assert_ok(retrieve_lent(w, to, RW, 1));
	expect_page(to, AT, RW, BORROWED);
	expect_page(to, AT + SIZE - PAGE, RW, BORROWED);
	/* there is one borrower, and the owner waits for it */
	assert_status(AXAS_ERR_DENIED, retrieve_lent(w, w->borrower[1], AXAS_READ, 1));
	assert_status(AXAS_ERR_DENIED, reclaim(w, owner, SIZE, 0));
	assert_ok(relinquish(w, to, 0));
	expect_nothing(to, AT);
	assert_ok(reclaim(w, owner, SIZE, 0));
	expect_page(owner, AT, RWX, OWNED);
	expect_page(owner, AT + SIZE - PAGE, RWX, OWNED);
}

static void mem_lend_to_two(void **state)
{
	struct world *w = *state;

	assert_ok(lend(w, w->f.as, SIZE, RW, 0));
	assert_ok(retrieve_lent(w, w->borrower[0], RW, 0));
	assert_ok(retrieve_lent(w, w->borrower[1], AXAS_READ, 0));
	expect_lent(w->f.as, AT);
	expect_page(w->borrower[0], AT, RW, BORROWED);
	expect_page(w->borrower[1], AT, AXAS_READ, BORROWED);
	assert_ok(relinquish(w, w->borrower[0], 0));
	expect_nothing(w->borrower[0], AT);
	expect_page(w->borrower[1], AT, AXAS_READ, BORROWED);
	assert_ok(relinquish(w, w->borrower[1], 0));
	assert_ok(reclaim(w, w->f.as, SIZE, 0));
	expect_page(w->f.as, AT, RWX, OWNED);
}

/* FFA_MEMORY_REGION_FLAG_CLEAR: before the borrower sees it; after it has gone; before the owner sees it again. */
static void memory_is_cleared_on_its_way(void **state)
{
	struct world *w = *state;
	uint8_t *memory = host_at(&w->f.host, MEMORY);

	for (int when = 0; when < 3; when++) {
		memset(memory, 0x5a, SIZE + PAGE);
		assert_ok(lend(w, w->f.as, SIZE, RW, when == 0 ? AXAS_WIPE : 0));
		assert_int_equal(memory[0], when == 0 ? 0 : 0x5a);
		memset(memory, 0x77, SIZE);
		assert_ok(retrieve_lent(w, w->borrower[0], RW, 1));
		assert_int_equal(memory[0], 0x77);
		assert_ok(relinquish(w, w->borrower[0], when == 1 ? AXAS_WIPE : 0));
		assert_int_equal(memory[SIZE - 1], when == 1 ? 0 : 0x77);
		assert_ok(reclaim(w, w->f.as, SIZE, when == 2 ? AXAS_WIPE : 0));
		assert_int_equal(memory[SIZE - 1], when == 0 ? 0x77 : 0);
		assert_int_equal(memory[SIZE], 0x5a);
	}
}

static void mem_share(void **state)
{
	struct world *w = *state;
	axas_t *owner = w->f.as;

	assert_ok(share(w, owner, SIZE, RW));
	expect_page(owner, AT, RWX, MM_MODE_SHARED);
	expect_page(owner, AT + SIZE, RWX, OWNED);
	for (int i = 0; i < 2; i++) {
		assert_ok(retrieve_shared(w, w->borrower[i], i ? AXAS_READ : RW));
		expect_page(w->borrower[i], AT, i ? AXAS_READ : RW, BORROWED_SHARED);
	}
	assert_ok(relinquish(w, w->borrower[0], 0));
	assert_ok(relinquish(w, w->borrower[1], 0));
	expect_nothing(w->borrower[0], AT);
	expect_page(owner, AT, RWX, MM_MODE_SHARED);
	assert_ok(reclaim(w, owner, SIZE, 0));
	expect_page(owner, AT, RWX, OWNED);
	expect_page(owner, AT + SIZE - PAGE, RWX, OWNED);
}

/* Who is not the owner alone sends nothing, by any of the three, whatever else it says. */
static void expect_no_send(struct world *w, axas_t *from, axas_status_t status, uint64_t size)
{
	assert_status(status, donate(w, from, size, AXAS_READ));
	assert_status(status, lend(w, from, size, AXAS_READ, 0));
	assert_status(status, share(w, from, size, AXAS_READ));
}

static void only_the_exclusive_owner_sends(void **state)
{
	struct world *w = *state;
	axas_t *owner = w->f.as, *to = w->borrower[0];

	expect_no_send(w, to, AXAS_ERR_NOT_MAPPED, PAGE);
	assert_ok(lend(w, owner, SIZE, RW, 0));
	expect_no_send(w, owner, AXAS_ERR_DENIED, PAGE);
	/* the first page is another one's that was sent, the last is the owner's */
	expect_no_send(w, owner, AXAS_ERR_DENIED, 4 * MIB);
	assert_ok(retrieve_lent(w, to, RW, 1));
	expect_no_send(w, to, AXAS_ERR_DENIED, PAGE);
	assert_ok(relinquish(w, to, 0));
	assert_ok(reclaim(w, owner, SIZE, 0));
	assert_ok(share(w, owner, SIZE, RW));
	expect_no_send(w, owner, AXAS_ERR_DENIED, PAGE);
	assert_ok(retrieve_shared(w, to, RW));
	expect_no_send(w, to, AXAS_ERR_DENIED, PAGE);
	/* nor has an owner anything to relinquish */
	assert_status(AXAS_ERR_DENIED, relinquish(w, owner, 0));
	expect_page(owner, AT, RWX, MM_MODE_SHARED);
	assert_ok(relinquish(w, to, 0));
	assert_status(AXAS_ERR_NOT_MAPPED, relinquish(w, to, 0));
	assert_ok(reclaim(w, owner, SIZE, 0));
	assert_status(AXAS_ERR_NOT_MAPPED, reclaim(w, owner, SIZE, 0));
	expect_page(owner, AT, RWX, OWNED);
}

static void no_permission_grows(void **state)
{
	struct world *w = *state;
	axas_t *owner = w->f.as;

	assert_ok(axas_protect(owner, AT + PAGE, PAGE, AXAS_READ));
	assert_status(AXAS_ERR_DENIED, donate(w, owner, SIZE, RW));
	assert_status(AXAS_ERR_DENIED, lend(w, owner, SIZE, RW, 0));
	assert_status(AXAS_ERR_DENIED, share(w, owner, SIZE, RW));
	expect_page(owner, AT, RWX, OWNED);
	assert_ok(lend(w, owner, SIZE, AXAS_READ, 0));
	assert_status(AXAS_ERR_DENIED, retrieve_lent(w, w->borrower[0], RW, 1));
	assert_ok(reclaim(w, owner, SIZE, 0));
	expect_page(owner, AT, RWX, OWNED);
	expect_page(owner, AT + PAGE, AXAS_READ, OWNED);
}

/* --- the table of modes ------------------------------------------------------------------------- */

/* The six states of Hafnium's mm.h, by what brings a partition into each: V, O and X say what its mode says. */
enum mode_of { OWNER, SHARER, BORROWER, SHARED_WITH, LENDER, STRANGER, MODES };

static const uint32_t modes[MODES] = {
	[OWNER] = 0, /* V O X */
	[SHARER] = MM_MODE_SHARED, /* V O !X */
	[BORROWER] = MM_MODE_UNOWNED, /* V !O X */
	[SHARED_WITH] = MM_MODE_UNOWNED | MM_MODE_SHARED, /* V !O !X */
	[LENDER] = MM_MODE_INVALID, /* !V O X */
	[STRANGER] = MM_MODE_INVALID | MM_MODE_UNOWNED | MM_MODE_SHARED, /* !V !O !X */
};

enum call { DONATE, LEND, SHARE, RELINQUISH, RECLAIM, CALLS };

/* What each call says in each state, without a record of what was sent. */
#define NOTHING AXAS_ERR_NOT_MAPPED
#define DENIED  AXAS_ERR_DENIED
static const axas_status_t says[MODES][CALLS] = {
	[OWNER] = { AXAS_OK, AXAS_OK, AXAS_OK, NOTHING, NOTHING },
	[SHARER] = { DENIED, DENIED, DENIED, DENIED, AXAS_OK },
	[BORROWER] = { DENIED, DENIED, DENIED, AXAS_OK, DENIED },
	[SHARED_WITH] = { DENIED, DENIED, DENIED, AXAS_OK, DENIED },
	[LENDER] = { DENIED, DENIED, DENIED, DENIED, AXAS_OK },
	[STRANGER] = { NOTHING, NOTHING, NOTHING, NOTHING, NOTHING },
};

/* As the glue of docs/porting/hafnium.md has it. */
static uint32_t mode_at(const axas_t *as, axas_gpa_t gpa)
{
	const axas_mapping_t m = space_agree(as, gpa);

	if (m.state == AXAS_STATE_ABSENT)
		return MM_MODE_INVALID | MM_MODE_UNOWNED | MM_MODE_SHARED;
	return (m.state == AXAS_STATE_HIDDEN ? MM_MODE_INVALID : 0) | tag_of(m.flags) << 5;
}

/* Brings a partition into a state, from the one in which the owner has all. */
static axas_t *partition_in(struct world *w, enum mode_of state)
{
	axas_t *owner = w->f.as, *other = w->borrower[0];

	switch (state) {
	case OWNER:
		return owner;
	case SHARER:
		assert_ok(share(w, owner, SIZE, RW));
		return owner;
	case BORROWER:
		assert_ok(lend(w, owner, SIZE, RW, 0));
		assert_ok(retrieve_lent(w, other, RW, 1));
		return other;
	case SHARED_WITH:
		assert_ok(share(w, owner, SIZE, RW));
		assert_ok(retrieve_shared(w, other, RW));
		return other;
	case LENDER:
		assert_ok(lend(w, owner, SIZE, RW, 0));
		return owner;
	default:
		return w->borrower[1];
	}
}

static axas_status_t calls(struct world *w, axas_t *as, enum call call)
{
	switch (call) {
	case DONATE:
		return donate(w, as, SIZE, RW);
	case LEND:
		return lend(w, as, SIZE, RW, 0);
	case SHARE:
		return share(w, as, SIZE, RW);
	case RELINQUISH:
		return relinquish(w, as, 0);
	default:
		return reclaim(w, as, SIZE, 0);
	}
}

static void each_state_allows_what_its_mode_says(void **state)
{
	/* of the one that calls, afterwards */
	static const enum mode_of after[CALLS] = { STRANGER, LENDER, SHARER, STRANGER, OWNER };
	struct world *w = *state;

	for (enum mode_of mode = OWNER; mode < MODES; mode++)
		for (enum call call = DONATE; call < CALLS; call++) {
			axas_t *as = partition_in(w, mode);
			const axas_status_t status = says[mode][call];
			const uint32_t ends = status == AXAS_OK ? modes[after[call]] : modes[mode];

			assert_int_equal(mode_at(as, AT), modes[mode]);
			assert_int_equal(mode_at(as, AT + SIZE - PAGE), modes[mode]);
			assert_status(status, calls(w, as, call));
			assert_int_equal(mode_at(as, AT), ends);
			assert_int_equal(mode_at(as, AT + SIZE - PAGE), ends);
			assert_int_equal(mode_at(w->f.as, AT + SIZE), modes[OWNER]);
			assert_ok(axas_unmap(w->sent, AT, SIZE));
			assert_ok(axas_unmap(w->borrower[0], AT, SIZE));
			assert_ok(axas_unmap(w->f.as, AT, 4 * MIB));
			assert_ok(axas_map_linear(w->f.as, AT, MEMORY, 4 * MIB, RWX));
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(mem_donate),
		EACH(mem_reclaim_of_what_was_donated),
		EACH(mem_lend),
		EACH(mem_lend_to_two),
		EACH(memory_is_cleared_on_its_way),
		EACH(mem_share),
		EACH(only_the_exclusive_owner_sends),
		EACH(no_permission_grows),
		EACH(each_state_allows_what_its_mode_says),
	};

	return cmocka_run_group_tests_name("ffa", tests, NULL, NULL);
}
