/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

volatile sig_atomic_t world_is_asked_to_end;
struct world world;
struct seen seen;
struct host_answer host_answer;
axas_t *space;
struct walker walker;
int world_keeps_tables;
uint32_t world_features;
uint64_t world_walked;
uint32_t world_side;
struct seen seen_of_other;
uint64_t world_other_walked;
uint32_t world_other_tables, world_other_guests;
void (*world_in_flush)(uint32_t side);
int (*world_holds)(axas_hpa_t hpa, uint64_t size);

static struct world saved;
static uint32_t fail_at;

static void violation(const char *what)
{
	if (seen.violation == NULL)
		seen.violation = what;
}

#ifdef WORLD_IS_GUARDED
void __asan_poison_memory_region(const volatile void *address, size_t bytes);
void __asan_unpoison_memory_region(const volatile void *address, size_t bytes);
#define guard_close(address, bytes) __asan_poison_memory_region(address, bytes)
#define guard_open(address, bytes)  __asan_unpoison_memory_region(address, bytes)
#else
#define guard_close(address, bytes) ((void)0)
#define guard_open(address, bytes)  ((void)0)
#endif

static axas_hpa_t large_pa(uint32_t i)
{
	return LARGE_PA + (i < 2 ? i * 4 * MIB : (2 * i - 2) * GIB);
}

static uint32_t large_order(uint32_t i)
{
	return i < 2 ? 9 : 18;
}

int world_is_guest(axas_hpa_t hpa)
{
	return hpa >= GUEST_PA && hpa < GUEST_END;
}

uint32_t world_tables(void)
{
	return (uint32_t)__builtin_popcountll(world.frames.tables) - world_other_tables;
}

uint32_t world_guests(void)
{
	return world.frames.guest_out - world_other_guests;
}

/* --- frames ---------------------------------------------------------------------------------- */

static axas_hpa_t take_table(uint32_t order)
{
	const uint64_t mask = order == 0 ? 1 : (1ull << (1u << order)) - 1;

	for (uint32_t i = 0; i < TABLES; i += 1u << order) {
		if (world.frames.tables & (mask << i))
			continue;
		world.frames.tables |= mask << i;
		guard_open(world.table[i], PAGE << order);
		memset(world.table[i], 0xa5, PAGE << order);
		return TABLE_PA + i * PAGE;
	}
	return AXAS_HPA_INVALID;
}

static axas_hpa_t take_small(void)
{
	for (uint32_t i = 0; i < SMALL_FRAMES / 64; i++) {
		const uint64_t free = ~world.frames.small[i];

		if (free == 0)
			continue;
		world.frames.small[i] |= free & -free;
		return GUEST_PA + (i * 64 + (uint32_t)__builtin_ctzll(free)) * PAGE;
	}
	return AXAS_HPA_INVALID;
}

static axas_hpa_t take_large(uint32_t order)
{
	for (uint32_t i = 0; i < LARGE_FRAMES; i++) {
		if (large_order(i) != order || world.frames.large[i] != 0)
			continue;
		world.frames.large[i] = 1u << order;
		return large_pa(i);
	}
	return AXAS_HPA_INVALID;
}

static axas_hpa_t alloc_frame(void *ctx, uint32_t order, uint32_t purpose)
{
	axas_hpa_t pa = AXAS_HPA_INVALID;

	(void)ctx;
	seen.allocations++;
	if (seen.allocations == fail_at)
		;
	else if (purpose != AXAS_FRAME_GUEST)
		pa = order <= 4 ? take_table(order) : AXAS_HPA_INVALID;
	else
		pa = order == 0 ? take_small() : take_large(order);
	if (pa == AXAS_HPA_INVALID) {
		*(order >= 9 ? &seen.refused_large : &seen.refused) += 1;
		return pa;
	}
	if (purpose == AXAS_FRAME_GUEST) {
		world.frames.guest_out += 1u << order;
		seen.taken += 1u << order;
	}
	return pa;
}

static void give_table(axas_hpa_t pa, uint32_t order)
{
	const uint64_t i = (pa - TABLE_PA) / PAGE;
	const uint64_t mask = order == 0 ? 1 : (1ull << (1u << order)) - 1;

	if (pa < TABLE_PA || i >= TABLES || order > 4 || pa % (PAGE << order) != 0 ||
	    (world.frames.tables & (mask << i)) != mask << i) {
		violation("a table came back that was not out");
		return;
	}
	world.frames.tables &= ~(mask << i);
	guard_close(world.table[i], PAGE << order);
	if (((saved.frames.tables & world_walked & (mask << i)) && !seen.tables_removed) ||
	    ((saved.frames.tables & world_other_walked & (mask << i)) &&
	     !seen_of_other.tables_removed))
		violation("a table went back before a request said that tables go");
}

/* The record of a large frame that holds the address. */
static uint32_t *large_at(struct frames *f, axas_hpa_t pa)
{
	for (uint32_t i = 0; i < LARGE_FRAMES; i++)
		if (pa >= large_pa(i) && pa < large_pa(i) + (PAGE << large_order(i)))
			return &f->large[i];
	return NULL;
}

int world_is_out(axas_hpa_t hpa, uint64_t pages)
{
	const uint64_t first = (hpa - GUEST_PA) / PAGE;
	const uint32_t *large = large_at(&world.frames, hpa);

	if (large != NULL)
		return *large >= pages;
	for (uint64_t i = first; i < first + pages; i++)
		if (i >= SMALL_FRAMES || !(world.frames.small[i / 64] >> i % 64 & 1))
			return 0;
	return 1;
}

static void give_guest(axas_hpa_t pa, uint32_t order)
{
	const uint32_t pages = order <= 18 ? 1u << order : 0;
	const uint64_t i = (pa - GUEST_PA) / PAGE;
	uint32_t *large = large_at(&world.frames, pa);
	int was_out;

	if (order > 18 || pa % (PAGE << order) != 0) {
		violation("a guest frame came back in an odd piece");
		return;
	}
	if (large != NULL) {
		was_out = *large_at(&saved.frames, pa) != 0;
		if (*large < pages)
			violation("more of a large frame came back than was out");
		*large -= pages;
	} else if (i + pages <= SMALL_FRAMES && world_is_out(pa, pages)) {
		was_out = (int)(saved.frames.small[i / 64] >> i % 64 & 1);
		for (uint64_t k = i; k < i + pages; k++)
			world.frames.small[k / 64] &= ~(1ull << k % 64);
	} else {
		violation("a guest frame came back that was not out");
		return;
	}
	world.frames.guest_out -= pages;
	if (was_out && seen.flushes_all == 0 && world_holds(pa, PAGE << order))
		violation("a guest frame went back before a flush");
}

static void dealloc_frame(void *ctx, axas_hpa_t pa, uint32_t order, uint32_t purpose)
{
	(void)ctx;
	if (purpose == AXAS_FRAME_GUEST)
		give_guest(pa, order);
	else
		give_table(pa, order);
}

axas_hpa_t world_give(uint32_t order)
{
	const axas_hpa_t pa = order == 0 ? take_small() : take_large(order);

	if (pa != AXAS_HPA_INVALID)
		world.frames.guest_out += 1u << order;
	return pa;
}

void world_has_back(axas_hpa_t hpa, uint32_t order)
{
	give_guest(hpa, order);
}

/* --- the other callbacks --------------------------------------------------------------------- */

static void tlb_flush(void *ctx, const axas_tlb_request_t *q)
{
	struct seen *s = q->vmid == world_side ? &seen : &seen_of_other;

	(void)ctx;
	if (s->flushes == MOST_EVENTS) {
		violation("too many requests");
		return;
	}
	s->flush[s->flushes++] = *q;
	if (q->scope != AXAS_SCOPE_ALL)
		return;
	if (world_in_flush != NULL)
		world_in_flush(q->vmid);
	s->flushes_all++;
	s->tables_removed |= q->tables_removed != 0;
}

static void released(void *ctx, const axas_mapping_t *run)
{
	(void)ctx;
	if (seen.flushes_all == 0 && world_holds(run->hpa, run->size))
		violation("released before a flush");
	if (run->state != AXAS_STATE_LINEAR)
		violation("released what is not linear");
	if (seen.released_count == MOST_EVENTS)
		violation("too many released runs");
	else
		seen.released[seen.released_count++] = *run;
}

static uint32_t resolve(void *ctx, uint32_t provider, axas_gpa_t gpa, uint32_t access,
			axas_supply_t *answer)
{
	const uint64_t most = answer->flags & AXAS_NO_HUGE ? PAGE :
			      answer->flags & AXAS_MAX_2M  ? 2 * MIB :
							     GIB;

	(void)ctx;
	seen.asked++;
	if (gpa % PAGE != 0 || (access & ~answer->flags) != 0 || provider > 65535 ||
	    answer->hpa != AXAS_HPA_INVALID || answer->size != PAGE)
		violation("asked for a page that cannot be");
	if (host_answer.is_large)
		answer->size = most < 2 * MIB ? most : 2 * MIB;
	if (host_answer.is_read_only)
		answer->flags &= ~(axas_flags_t)(AXAS_WRITE | AXAS_EXECUTE);
	if (host_answer.how == AXAS_RESOLVE_NOW)
		answer->hpa = OTHER_PA + (gpa & ~(answer->size - 1));
	if (host_answer.how == AXAS_RESOLVE_GIVEN) {
		answer->hpa = world_give(answer->size == PAGE ? 0 : 9);
		if (answer->hpa == AXAS_HPA_INVALID)
			return AXAS_RESOLVE_LATER;
	}
	return host_answer.how;
}

/* The host that keeps frames has them back. */
static uint32_t evicted(void *ctx, const axas_mapping_t *run, uint32_t is_dirty)
{
	const uint64_t size = PAGE << 9 * (run->level - 1);

	(void)ctx;
	if (seen.flushes_all == 0 && world_holds(run->hpa, run->size))
		violation("evicted before a flush");
	if (seen.evicted_count == MOST_EVENTS)
		violation("too many runs are evicted");
	else
		seen.evicted[seen.evicted_count++] = (struct evicted){ *run, is_dirty };
	if (!host_answer.keeps || run->state != AXAS_STATE_OWNED)
		return 0;
	for (uint64_t at = 0; at < run->size; at += size)
		world_has_back(run->hpa + at, run->level == 1 ? 0 : 9 * (run->level - 1));
	return 1;
}

static const void *table_at(const void *ctx, uint64_t pa, uint64_t bytes)
{
	(void)ctx;
	if (pa < TABLE_PA || pa - TABLE_PA + bytes > sizeof(world.table))
		return NULL;
	return &world.table[0][0] + (pa - TABLE_PA);
}

/* --- snapshots ------------------------------------------------------------------------------- */

static void copy_tables(struct world *to, const struct world *from)
{
	for (uint64_t left = from->frames.tables; left != 0; left &= left - 1) {
		const int i = __builtin_ctzll(left);

		memcpy(to->table[i], from->table[i], PAGE);
	}
	to->frames = from->frames;
	memcpy(to->storage, from->storage, sizeof(to->storage));
}

void world_save(void)
{
	copy_tables(&saved, &world);
}

void world_restore(void)
{
	copy_tables(&world, &saved);
}

int world_has_same_frames(void)
{
	return memcmp(&world.frames, &saved.frames, sizeof(world.frames)) == 0;
}

int world_has_as_many_frames(void)
{
	struct frames now = world.frames;

	now.tables = saved.frames.tables;
	return memcmp(&now, &saved.frames, sizeof(now)) == 0 &&
	       __builtin_popcountll(saved.frames.tables) ==
		       __builtin_popcountll(world.frames.tables);
}

int world_has_same_tables(uint64_t tables)
{
	for (uint64_t left = tables; left != 0; left &= left - 1) {
		const int i = __builtin_ctzll(left);

		if (memcmp(world.table[i], saved.table[i], PAGE) != 0)
			return 0;
	}
	return 1;
}

int world_is_unchanged(uint64_t tables)
{
	return world_has_same_frames() && world_has_same_tables(tables);
}

void world_copy_seen(struct seen *to, const struct seen *from)
{
	memcpy(to, from, offsetof(struct seen, flush));
	memcpy(to->flush, from->flush, from->flushes * sizeof(from->flush[0]));
	memcpy(to->released, from->released, from->released_count * sizeof(from->released[0]));
	memcpy(to->evicted, from->evicted, from->evicted_count * sizeof(from->evicted[0]));
}

static void forget(struct seen *s)
{
	memset(s, 0, offsetof(struct seen, flush));
}

void world_begin(uint32_t fail)
{
	forget(&seen);
	forget(&seen_of_other);
	fail_at = fail;
}

/* Not in the first words of a frame, where the library may link free ones. */
static uint64_t *stamp_of(axas_hpa_t hpa)
{
	return (uint64_t *)((uintptr_t)world.table + (hpa - TABLE_PA)) + 500;
}

uint64_t world_stamp(axas_hpa_t hpa)
{
	return *stamp_of(hpa);
}

void world_put_stamp(axas_hpa_t hpa, uint64_t value)
{
	*stamp_of(hpa) = value;
}

/* Memory for guest frames, as far from their addresses as tables are: the library may link free ones. */
static void back_guest_frames(void)
{
	static int has_memory;
	uint8_t *place = (uint8_t *)((uintptr_t)world.table + (GUEST_PA - TABLE_PA));

	if (has_memory)
		return;
	if (mmap(place, GUEST_END - GUEST_PA, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
		 0) != place) {
		perror("memory for guest frames");
		exit(2);
	}
	for (uint32_t i = 0; i < SMALL_FRAMES; i++)
		*stamp_of(GUEST_PA + i * PAGE) = GUEST_PA + i * PAGE;
	for (axas_hpa_t pa = LARGE_PA; pa < LARGE_PA + 8 * MIB; pa += PAGE)
		*stamp_of(pa) = pa;
	has_memory = 1;
}

static void create(uint32_t side, const axas_config_t *cfg, int has_released, uint32_t flags)
{
	const axas_hal_t hal = {
		.struct_size = sizeof(axas_hal_t),
		.flags = AXAS_HAL_DIRECT_MAP | flags,
		.alloc_frame = alloc_frame,
		.dealloc_frame = dealloc_frame,
		.direct_map_offset = (uint64_t)(uintptr_t)world.table - TABLE_PA,
		.tlb_flush = tlb_flush,
		.released = has_released ? released : NULL,
		.resolve = resolve,
		.evicted = evicted,
	};
	axas_hw_regs_t regs;
	const char *why = "create";

	world_begin(0);
	if (axas_create_in(world.storage[side], sizeof(world.storage[side]), cfg, &hal, &space) ==
		    AXAS_OK &&
	    axas_hw_regs(space, &regs) == AXAS_OK) {
		walker = (struct walker){
			.format = (enum walk_format)regs.format,
			.root_register = regs.root_register,
			.control_register = regs.control_register,
			.npt_levels = regs.levels,
			.pa_bits = regs.pa_bits,
			.cpu = CPU_1G_PAGES | CPU_SVRSW60T59B,
			.at = table_at,
		};
		why = walker_start(&walker);
	}
	if (why != NULL) {
		fprintf(stderr, "no space: %s\n", why);
		exit(2);
	}
}

static void begin_world(const axas_config_t *cfg)
{
	back_guest_frames();
	world_side = 0;
	world_features = cfg->features;
	world_keeps_tables = (cfg->options & AXAS_KEEP_TABLES) != 0;
	world_other_walked = 0;
	world_other_tables = world_other_guests = 0;
	memset(&world.frames, 0, sizeof(world.frames));
	memset(&saved.frames, 0, sizeof(saved.frames));
	guard_close(world.table, sizeof(world.table));
}

void world_create(const axas_config_t *cfg, int has_released)
{
	begin_world(cfg);
	create(0, cfg, has_released, 0);
	world_save();
}

/* Linear memory that can be reached: up to 2 MiB on both sides of the boundary, for each side of its own. */
static void back_linear_memory(axas_gpa_t gpa)
{
	static const axas_hpa_t places[] = { LINEAR_PA, OTHER_PA };
	static int has_memory;

	for (uint32_t i = 0; i < 2 && !has_memory; i++) {
		uint8_t *place = (uint8_t *)((uintptr_t)world.table +
					     (places[i] + gpa - 2 * MIB - TABLE_PA));

		if (mmap(place, 4 * MIB, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
			 0) != place) {
			perror("memory for linear pages");
			exit(2);
		}
	}
	has_memory = 1;
}

void world_create_side(uint32_t side, const axas_config_t *cfg)
{
	if (side == 0) {
		begin_world(cfg);
		back_linear_memory((cfg->base + 2 * MIB - 1) & ~(2 * MIB - 1));
	}
	world_side = cfg->vmid;
	create(side, cfg, 0, AXAS_HAL_DIRECT_MAP_LINEAR);
	world_save();
}

static void ask_to_end(int number)
{
	(void)number;
	world_is_asked_to_end = 1;
}

void world_end_when_asked(void)
{
	signal(SIGTERM, ask_to_end);
}
