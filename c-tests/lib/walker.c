/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "walker.h"

#include <stddef.h>
#include <string.h>

#define PAGE_SHIFT 12u
#define MAX_LEVELS 5u

#define BIT(n)          (1ull << (n))
/* Bits high..low, both included. */
#define BITS(high, low) ((~0ull >> (63 - (high))) & (~0ull << (low)))

enum entry_kind { ENTRY_NONE, ENTRY_TABLE, ENTRY_LEAF, ENTRY_BROKEN };

struct decoded {
	enum entry_kind kind;
	uint64_t address;
	uint32_t access;
	int opens, dirty, young;
	enum walk_memory memory;
	const char *why;
};

static uint64_t level_size(uint32_t level)
{
	return BIT(PAGE_SHIFT + 9 * (level - 1));
}

static struct decoded broken(const char *why)
{
	return (struct decoded){ .kind = ENTRY_BROKEN, .why = why };
}

static struct decoded none(void)
{
	return (struct decoded){ .kind = ENTRY_NONE };
}

/* Output addresses are below the CPU's width and aligned to what they name. */
static const char *check_address(const struct walker *w, uint64_t address, uint64_t align)
{
	if ((address >> w->pa_bits) != 0)
		return "address above the physical width";
	if (address % align != 0)
		return "address not aligned to the page size";
	return NULL;
}

static struct decoded table(const struct walker *w, uint64_t address)
{
	const char *why = check_address(w, address, BIT(PAGE_SHIFT));

	if (why != NULL)
		return broken(why);
	return (struct decoded){ .kind = ENTRY_TABLE, .address = address };
}

static struct decoded leaf(const struct walker *w, uint32_t level, uint64_t address,
			   uint32_t access, enum walk_memory memory)
{
	const char *why = check_address(w, address, level_size(level));

	if (why != NULL)
		return broken(why);
	return (struct decoded){
		.kind = ENTRY_LEAF, .address = address, .access = access, .memory = memory
	};
}

/*
 * A leaf whose mapping allows writes or not (may), whose gate lets the CPU write or not (opens), and whose page
 * is dirty or not. Without a log each page is dirty and can be written where its mapping allows it. A write that
 * makes no page dirty is lost: by faults a gate is open if the page is dirty, hardware sets the dirty bit itself.
 */
static struct decoded logged(const struct walker *w, struct decoded d, int opens, int dirty)
{
	const int may = (d.access & WALK_W) != 0;

	if (d.kind != ENTRY_LEAF)
		return d;
	d.opens = opens;
	d.dirty = dirty;
	if (w->log == LOG_OFF && !dirty)
		return broken("dirty is not preset");
	if (opens != (may && (dirty || w->log == LOG_HARDWARE)))
		return broken("the gate is open or shut and should not be");
	return d;
}

/* The same of a leaf whose page was used or not, while that is looked at. */
static struct decoded aged(const struct walker *w, struct decoded d, int young)
{
	if (d.kind != ENTRY_LEAF)
		return d;
	d.young = young;
	return w->ages || young ? d : broken("accessed is not preset");
}

/* --- Intel EPT ------------------------------------------------------------------------------- */

static struct decoded ept_invalid(uint64_t e)
{
	if (e & BIT(10))
		return broken("EPT: bit 10 is a permission where mode-based execute is on");
	if (!(e & BIT(63)))
		return broken("EPT: suppress #VE is off in an entry that is not present");
	/* L1 terminal fault: the address field must not name memory that exists. */
	if ((e & BITS(51, 12)) != 0 && (e & BITS(51, 43)) != BITS(51, 43))
		return broken("EPT: an entry that is not present names plausible memory");
	return none();
}

static struct decoded ept_table(const struct walker *w, uint32_t level, uint64_t e)
{
	if (level == 1 || (e & BITS(7, 3)))
		return broken("EPT: bits 7:3 of a table entry");
	if (e & (BITS(11, 9) | BITS(63, 60) | BITS(58, 57)))
		return broken("EPT: software bits of a table entry outside 52-56 and 59");
	if (!w->ages && (!(e & BIT(8)) || (e & BIT(59))))
		return broken("EPT: a table entry says something of accesses");
	if ((e & 7) != 7)
		return broken("EPT: a table entry takes permissions away");
	return table(w, e & BITS(51, 12));
}

static struct decoded ept_decode(const struct walker *w, uint32_t level, uint64_t e)
{
	static const int memory[8] = { MEM_UC, MEM_WC, -1, -1, MEM_WT, -1, MEM_WB, -1 };
	const int type = memory[(e >> 3) & 7];
	struct decoded d;

	if ((e & 7) == 0)
		return ept_invalid(e);
	if ((e & WALK_W) && !(e & WALK_R))
		return broken("EPT: write without read");
	if ((e & 7) == WALK_X && !(w->cpu & CPU_EPT_EXECUTE_ONLY))
		return broken("EPT: execute-only without the capability");
	if (level > 1 && !(e & BIT(7)))
		return ept_table(w, level, e);
	if (level > 3 || (level == 3 && !(w->cpu & CPU_1G_PAGES)))
		return broken("EPT: page of a size this CPU has not");
	if (type < 0)
		return broken("EPT: memory type is reserved");
	if (!(e & BIT(6)) != !(w->ignores_pat && type == MEM_WB))
		return broken("EPT: IPAT is not what the space has");
	/* 57 guest-paging verification, 58 paging-write, 60 shadow stack, 61 sub-page writes */
	if (e & (BITS(11, 10) | BITS(58, 57) | BITS(61, 60)))
		return broken("EPT: bits of a leaf that have a meaning");
	d = logged(w,
		   leaf(w, level, e & BITS(51, 12),
			(uint32_t)(e & 5) | (e & BIT(53) ? (uint32_t)WALK_W : 0),
			(enum walk_memory)type),
		   (e & BIT(1)) != 0, (e & BIT(9)) != 0);
	return aged(w, d, (e & BIT(8)) != 0);
}

static const char *ept_start(struct walker *w)
{
	const uint64_t eptp = w->root_register;

	w->levels = (uint32_t)((eptp >> 3) & 7) + 1;
	w->root = eptp & BITS(51, 12);
	w->gpa_bits = PAGE_SHIFT + 9 * w->levels;
	w->root_entries = 512;
	if ((eptp & 7) != 6)
		return "EPTP: memory type is not write-back";
	if (w->levels != 4 && w->levels != 5)
		return "EPTP: walk length";
	if (eptp & (BITS(11, 7) | BITS(63, 52)))
		return "EPTP: reserved bits";
	return NULL;
}

/* --- AMD nested paging ----------------------------------------------------------------------- */

static struct decoded npt_decode(const struct walker *w, uint32_t level, uint64_t e)
{
	const uint64_t address = e & BITS(51, 12);
	uint32_t access = WALK_R;
	const uint32_t cache = (uint32_t)(e >> 3) & 3; /* PCD:PWT */
	struct decoded d;

	if (!(e & BIT(0)))
		return none();
	if (!(e & BIT(2)))
		return broken("NPT: nested walks are user accesses, U/S is 0");
	if (e & (BITS(11, 8) | BITS(62, 60)))
		return broken("NPT: bits of an entry outside 52-59");
	if (level > 1 && !(e & BIT(7))) {
		if (!w->ages && (!(e & BIT(5)) || (e & BIT(59))))
			return broken("NPT: a table entry says something of accesses");
		if ((e & (BIT(1) | BIT(63) | BITS(4, 3))) != BIT(1))
			return broken("NPT: a table entry takes permissions away or is uncached");
		return table(w, address);
	}
	if (e & BIT(59))
		return broken("NPT: bit 59 of a leaf");
	if (level > 3 || (level == 3 && !(w->cpu & CPU_1G_PAGES)))
		return broken("NPT: page of a size this CPU has not");
	if ((level == 1 && (e & BIT(7))) || (level > 1 && (e & BIT(12))))
		return broken("NPT: PAT bit set");
	/* With the PAT of reset, entry 0 is WB and entry 3 is UC. */
	if (cache != 0 && cache != 3)
		return broken("NPT: memory type is neither WB nor UC");
	if (e & BIT(53))
		access |= WALK_W;
	if (!(e & BIT(63)))
		access |= WALK_X;
	d = logged(w, leaf(w, level, address, access, cache == 0 ? MEM_WB : MEM_UC),
		   (e & BIT(1)) != 0, (e & BIT(6)) != 0);
	return aged(w, d, (e & BIT(5)) != 0);
}

static const char *npt_start(struct walker *w)
{
	w->levels = w->npt_levels;
	w->root = w->root_register;
	w->gpa_bits = PAGE_SHIFT + 9 * w->levels;
	w->root_entries = 512;
	if (w->levels != 4 && w->levels != 5)
		return "nCR3: paging mode";
	if (w->root_register & (BITS(11, 0) | BITS(63, 52)))
		return "nCR3: reserved bits";
	return NULL;
}

/* --- AArch64 stage 2 ------------------------------------------------------------------------- */

/* Memory types by MemAttr[3:0]; -1: reserved, or a mix of inner and outer nobody asked for. */
static int arm_memory(const struct walker *w, uint32_t attr)
{
	static const int plain[16] = { MEM_NGNRNE, MEM_NGNRE, MEM_NGRE, MEM_GRE, -1,     MEM_NC,
				       -1,         -1,        -1,       -1,      MEM_WT, -1,
				       -1,         -1,        -1,       MEM_WB };
	static const int fwb[16] = { MEM_NGNRNE, MEM_NGNRE, MEM_NGRE, MEM_GRE, -1, MEM_NC,
				     MEM_WB,     -1,        -1,       -1,      -1, -1,
				     -1,         -1,        -1,       -1 };

	return (w->cpu & CPU_ARM_FWB) ? fwb[attr] : plain[attr];
}

static struct decoded arm_table(const struct walker *w, uint64_t e)
{
	if (e & BITS(63, 59))
		return broken("stage 2: upper bits of a table descriptor");
	if (e & BITS(50, 48))
		return broken("stage 2: reserved bits 50:48 of a table descriptor");
	if (e & BIT(10))
		return broken(
			"stage 2: bit 10 of a table descriptor is hardware's under FEAT_HAFT");
	return table(w, e & BITS(47, 12));
}

static struct decoded arm_decode(const struct walker *w, uint32_t level, uint64_t e)
{
	const int memory = arm_memory(w, (uint32_t)(e >> 2) & 15);
	const uint32_t share = (uint32_t)(e >> 8) & 3;
	const uint32_t xn = (uint32_t)(e >> 53) & 3;
	/* S2AP has read and write where we have; 57 is the write that the mapping allows */
	const int s2ap_write = (e & BIT(7)) != 0;
	uint32_t access = ((uint32_t)(e >> 6) & 1) | (e & BIT(57) ? (uint32_t)WALK_W : 0);
	struct decoded d;

	if (!(e & BIT(0)))
		return none();
	if (level > 1 && (e & BIT(1)))
		return arm_table(w, e);
	if (level == 1 && !(e & BIT(1)))
		return broken("stage 2: type 01 at the last level");
	if (level > 3)
		return broken("stage 2: block at level 0");
	if (memory < 0)
		return broken("stage 2: MemAttr");
	if (share == 1)
		return broken("stage 2: shareability is reserved");
	if ((memory == MEM_WB || memory == MEM_WT) && share != 3)
		return broken("stage 2: cacheable memory is not inner shareable");
	/* 11 FnXS, 48-50 reserved, 51 DBM, 52 contiguous, 58 AssuredOnly; 59-62 are PBHA only where HWU is set */
	if (e & (BIT(11) | BIT(52) | BITS(50, 48) | BIT(63) | BIT(58)))
		return broken("stage 2: bits of a leaf outside 55-57 and 59-62");
	/* DBM: hardware opens the gate, where the host has turned that on */
	if ((e & BIT(51)) && (w->log != LOG_HARDWARE || !(e & BIT(57))))
		return broken("stage 2: DBM");
	/* 55 is NS in Realms alone */
	if (w->log == LOG_OFF && !(e & BIT(55)))
		return broken("stage 2: bit 55 is not set");
	if (xn & 1)
		return broken("stage 2: execute differs between EL0 and EL1");
	if (xn == 0)
		access |= WALK_X;
	d = logged(w, leaf(w, level, e & BITS(47, 12), access, (enum walk_memory)memory),
		   s2ap_write || (e & BIT(51)), s2ap_write || (e & BIT(55)));
	return aged(w, d, (e & BIT(10)) != 0);
}

static const char *arm_start(struct walker *w)
{
	static const uint32_t ps_bits[8] = { 32, 36, 40, 42, 44, 48, 0, 0 };
	const uint64_t vtcr = w->control_register;
	const uint32_t t0sz = (uint32_t)(vtcr & 63);
	const uint32_t sl0 = (uint32_t)(vtcr >> 6) & 3;
	const uint32_t ps = ps_bits[(vtcr >> 16) & 7];
	uint32_t below_root;

	if (sl0 > 2)
		return "VTCR: SL0 is reserved";
	if (vtcr & BITS(28, 25))
		return "VTCR: HWU59 to HWU62, bits 62:59 of a leaf are the hardware's";
	if (((vtcr >> 14) & 3) != 0)
		return "VTCR: granule is not 4 KiB";
	w->levels = sl0 + 2;
	w->gpa_bits = 64 - t0sz;
	below_root = PAGE_SHIFT + 9 * (w->levels - 1);
	if (ps == 0 || ps > w->pa_bits)
		return "VTCR: PS above what the CPU has";
	w->pa_bits = ps;
	if (w->gpa_bits > ps)
		return "VTCR: input size above the output size";
	if (sl0 == 2 && ps < 44)
		return "VTCR: start at level 0 needs 44 bits of physical address";
	/* 1 to 16 tables side by side; a root of less than 2 entries would start a level lower. */
	if (w->gpa_bits <= below_root || w->gpa_bits > below_root + 9 + 4)
		return "VTCR: SL0 does not go with T0SZ";
	w->root_entries = BIT(w->gpa_bits - below_root);
	w->root = w->root_register & BITS(47, 1);
	if (w->root_register & BIT(0))
		return "VTTBR: CnP set";
	return NULL;
}

/* --- RISC-V G-stage -------------------------------------------------------------------------- */

static struct decoded riscv_decode(const struct walker *w, uint32_t level, uint64_t e)
{
	static const enum walk_memory memory[4] = { MEM_PMA, MEM_NC, MEM_IO, MEM_PMA };
	const uint32_t access = (uint32_t)(e >> 1) & 7;
	const uint32_t pbmt = (uint32_t)(e >> 61) & 3;
	const uint64_t address = (e & BITS(53, 10)) << 2;
	struct decoded d;

	if (!(e & BIT(0)))
		return none();
	if (e & (BITS(58, 54) | BIT(63) | BIT(5)))
		return broken("G-stage: reserved bits, N or G");
	if ((e & BITS(60, 59)) && (access == 0 || !(w->cpu & CPU_SVRSW60T59B)))
		return broken("G-stage: bits 60:59");
	if (access == 0) {
		if (level == 1)
			return broken("G-stage: table pointer at the last level");
		if ((e & (BIT(4) | BITS(7, 6))) || pbmt != 0)
			return broken("G-stage: U, A, D or PBMT of a table pointer");
		return table(w, address);
	}
	if ((access & WALK_W) && !(access & WALK_R))
		return broken("G-stage: write without read");
	if (!(e & BIT(4)))
		return broken("G-stage: guest accesses are user accesses, U is 0");
	if (pbmt == 3 || (pbmt != 0 && !(w->cpu & CPU_SVPBMT)))
		return broken("G-stage: PBMT");
	if (level > 3)
		return broken("G-stage: page larger than 1 GiB");
	d = logged(w, leaf(w, level, address, access, memory[pbmt]),
		   (access & WALK_W) && ((e & BIT(7)) || w->log == LOG_HARDWARE),
		   (e & BIT(7)) != 0);
	return aged(w, d, (e & BIT(6)) != 0);
}

static const char *riscv_start(struct walker *w)
{
	const uint64_t mode = w->root_register >> 60;

	if (mode < 8 || mode > 10)
		return "hgatp: mode";
	if (w->root_register & BITS(59, 58))
		return "hgatp: reserved bits";
	w->levels = (uint32_t)mode - 5;
	w->root = (w->root_register & BITS(43, 0)) << PAGE_SHIFT;
	w->root_entries = 2048;
	w->gpa_bits = PAGE_SHIFT + 9 * w->levels + 2;
	return NULL;
}

/* --- all ------------------------------------------------------------------------------------- */

const char *walker_start(struct walker *w)
{
	static const char *(*const start[])(struct walker *) = {
		[WALK_EPT] = ept_start,
		[WALK_NPT] = npt_start,
		[WALK_ARM] = arm_start,
		[WALK_RISCV] = riscv_start,
	};
	const char *why = start[w->format](w);
	uint64_t bytes;

	if (why != NULL)
		return why;
	bytes = w->root_entries * sizeof(uint64_t);
	/* A root is aligned to its size; hardware ignores the low bits and walks elsewhere. */
	if (w->root % (bytes < BIT(PAGE_SHIFT) ? BIT(PAGE_SHIFT) : bytes) != 0)
		return "root is not aligned to its size";
	if ((w->root >> w->pa_bits) != 0)
		return "root above the physical width";
	if (w->at(w->ctx, w->root, bytes) == NULL)
		return "root is not in the host's memory";
	return NULL;
}

static struct decoded decode(const struct walker *w, uint32_t level, uint64_t e)
{
	switch (w->format) {
	case WALK_EPT:
		return ept_decode(w, level, e);
	case WALK_NPT:
		return npt_decode(w, level, e);
	case WALK_ARM:
		return arm_decode(w, level, e);
	case WALK_RISCV:
		return riscv_decode(w, level, e);
	}
	return broken("format");
}

/* The tag in a leaf. */
static uint32_t tag_of(const struct walker *w, uint64_t e)
{
	switch (w->format) {
	case WALK_EPT:
		return (uint32_t)(((e >> 55) & 3) | ((e >> 59) & 1) << 2 | ((e >> 62) & 1) << 3);
	case WALK_NPT:
		return (uint32_t)(e >> 55) & 15;
	case WALK_ARM:
		return (uint32_t)(e >> 59) & 15;
	case WALK_RISCV:
		return (uint32_t)(e >> 59) & 3;
	}
	return 0;
}

static uint64_t read_entry(const uint64_t *entries, uint64_t index)
{
	return __atomic_load_n(&entries[index], __ATOMIC_ACQUIRE);
}

static int is_hidden(const struct walker *w, uint64_t e, uint64_t *address);
static int is_hidden_table(const struct walker *w, uint64_t e, uint64_t *address);
static int is_provided(const struct walker *w, uint64_t e);

struct walk walker_walk(const struct walker *w, uint64_t gpa)
{
	struct walk r = { .outcome = WALK_FAULT };
	uint64_t at = w->root;
	uint64_t entries = w->root_entries;
	int is_below_hidden = 0;

	/* Beyond the input width there is no entry at all: a fault, never a wrapped index. */
	if ((gpa >> w->gpa_bits) != 0)
		return r;
	for (r.level = w->levels; r.level > 0; r.level--) {
		const uint64_t index = (gpa >> (PAGE_SHIFT + 9 * (r.level - 1))) % entries;
		const uint64_t *t = w->at(w->ctx, at, entries * sizeof(uint64_t));
		struct decoded d;

		if (t == NULL) {
			r.outcome = WALK_BROKEN;
			r.why = "table outside the host's memory";
			return r;
		}
		r.entry = read_entry(t, index);
		r.size = level_size(r.level);
		d = decode(w, r.level, r.entry);
		if (d.kind == ENTRY_TABLE) {
			at = d.address;
			entries = 512;
			continue;
		}
		if (d.kind == ENTRY_NONE && r.level > 1 && is_hidden_table(w, r.entry, &at)) {
			entries = 512;
			is_below_hidden = 1;
			continue;
		}
		r.why = d.why;
		if (d.kind == ENTRY_BROKEN)
			r.outcome = WALK_BROKEN;
		if (d.kind == ENTRY_NONE && is_hidden(w, r.entry, &at)) {
			r.is_hidden = 1;
			r.hpa = at + (gpa & (r.size - 1));
			if (check_address(w, at, r.size) != NULL) {
				r.outcome = WALK_BROKEN;
				r.why = "a hidden page at no address of one";
			}
		} else if (d.kind == ENTRY_NONE && is_provided(w, r.entry)) {
			r.is_provided = 1;
			r.provider = (uint32_t)(at >> 12);
		}
		if (d.kind == ENTRY_LEAF && is_below_hidden) {
			r.is_hidden = 1;
			r.hpa = d.address + (gpa & (r.size - 1));
		} else if (d.kind == ENTRY_LEAF) {
			r.outcome = WALK_LEAF;
			r.hpa = d.address + (gpa & (r.size - 1));
			r.access = d.access;
			r.opens = d.opens;
			r.dirty = d.dirty;
			r.young = d.young;
			r.memory = d.memory;
			r.tag = tag_of(w, r.entry);
		}
		return r;
	}
	r.outcome = WALK_BROKEN;
	r.why = "no leaf at the last level";
	return r;
}

struct cursor {
	uint64_t pa, gpa;
	const uint64_t *table;
	uint64_t entries;
	uint64_t next, end; /* of those that are visited */
	uint32_t occupied;
	int is_below_hidden;
};

int walker_is_table(const struct walker *w, uint32_t level, uint64_t entry, uint64_t *table)
{
	const struct decoded d = decode(w, level, entry);

	*table = d.address;
	return d.kind == ENTRY_TABLE;
}

/* The kind of an entry that is not valid, and the address that the library keeps in some. */
static uint32_t invalid_kind(const struct walker *w, uint64_t e, uint64_t *address)
{
	static const uint32_t kind_shift[] = {
		[WALK_EPT] = 3, [WALK_NPT] = 1, [WALK_ARM] = 1, [WALK_RISCV] = 1
	};

	if (w->format == WALK_EPT)
		*address = ~e & BITS(51, 12);
	else if (w->format == WALK_NPT)
		*address = e & BITS(51, 12);
	else if (w->format == WALK_ARM)
		*address = e & BITS(47, 12);
	else
		*address = (e & BITS(53, 10)) << 2;
	return (uint32_t)(e >> kind_shift[w->format]) & 7;
}

/* A page that no walker is to find. */
static int is_hidden(const struct walker *w, uint64_t e, uint64_t *address)
{
	return invalid_kind(w, e, address) == 5;
}

/* A table in which no walker is to find a page. */
static int is_hidden_table(const struct walker *w, uint64_t e, uint64_t *address)
{
	return invalid_kind(w, e, address) == 7;
}

static int is_valid(const struct walker *w, uint64_t entry)
{
	return (entry & (w->format == WALK_EPT ? 7 : 1)) != 0;
}

/* The address in an entry, valid or not. */
static uint64_t any_address(const struct walker *w, uint64_t entry)
{
	uint64_t address;

	invalid_kind(w, is_valid(w, entry) && w->format == WALK_EPT ? ~entry : entry, &address);
	return address;
}

int walker_is_shown(const struct walker *w, uint64_t before, uint64_t now, int is_below_hidden)
{
	const uint64_t hidden = is_below_hidden ? now : before;
	const uint64_t other = is_below_hidden ? before : now;
	uint64_t address;
	const uint32_t kind = invalid_kind(w, hidden, &address);
	/* a page without any permission, which is hidden besides */
	const int is_page = is_below_hidden && kind == 5;
	const int was_page = is_valid(w, other) || is_hidden(w, other, &address);

	return !is_valid(w, hidden) && any_address(w, other) == any_address(w, hidden) &&
	       (is_page ? was_page : kind == 7 && is_valid(w, other));
}

int walker_is_hidden_table(const struct walker *w, uint32_t level, uint64_t entry, uint64_t *table)
{
	const struct decoded d = decode(w, level, entry);

	return d.kind == ENTRY_NONE && level > 1 && is_hidden_table(w, entry, table);
}

int walker_is_hidden_page(const struct walker *w, uint64_t entry, uint64_t *address)
{
	return !is_valid(w, entry) && is_hidden(w, entry, address);
}

/* A reservation, kind 1, whose payload has bit 9: the host's number is in the address field. */
static int is_provided(const struct walker *w, uint64_t e)
{
	static const uint32_t bit[] = {
		[WALK_EPT] = 56, [WALK_NPT] = 53, [WALK_ARM] = 57, [WALK_RISCV] = 57
	};
	const uint32_t kind = w->format == WALK_EPT ? 3 : 1;

	return (e >> kind & 7) == 1 && (e & BIT(bit[w->format])) != 0;
}

uint64_t walker_empty_entry(const struct walker *w)
{
	return w->format == WALK_EPT ? BIT(63) : 0;
}

struct visitor {
	struct sweep *sweep;
	walk_table_fn table, leaf, hidden, hidden_table;
	void *ctx;
};

void walker_seen(const struct walker *w, uint32_t level, uint64_t gpa, uint64_t entries,
		 uint64_t *from, uint64_t *to)
{
	const uint64_t size = level_size(level);

	*from = w->first > gpa ? (w->first - gpa) / size : 0;
	*to = entries;
	if (w->last == 0)
		return;
	if (*from > entries || w->last < gpa)
		*from = *to = 0;
	else if ((w->last - gpa) / size < entries)
		*to = (w->last - gpa) / size + 1;
}

static void note_broken(struct sweep *s, const char *why, uint64_t entry, uint32_t level)
{
	if (s == NULL)
		return;
	if (s->broken++ == 0) {
		s->why = why;
		s->why_entry = entry;
		s->why_level = level;
	}
}

static void enter_table(const struct walker *w, const struct visitor *v, struct cursor *c,
			uint32_t level)
{
	const uint64_t bytes = c->entries * sizeof(uint64_t);
	const uint64_t frames = bytes < BIT(PAGE_SHIFT) ? 1 : bytes >> PAGE_SHIFT;

	c->table = w->at(w->ctx, c->pa, bytes);
	walker_seen(w, level, c->gpa, c->entries, &c->next, &c->end);
	if (c->table == NULL) {
		note_broken(v->sweep, "table outside the host's memory", c->pa, level);
		c->next = c->end;
		c->occupied = 1;
		return;
	}
	if (c->is_below_hidden && v->hidden_table != NULL)
		v->hidden_table(v->ctx, c->pa, frames << PAGE_SHIFT);
	if (!c->is_below_hidden && v->table != NULL)
		v->table(v->ctx, c->pa, frames << PAGE_SHIFT);
	if (v->sweep != NULL) {
		v->sweep->table_frames += frames;
		if (level != w->levels)
			v->sweep->tables[level]++;
	}
	/* Whoever wants tables only need not look at leaves one by one. */
	if (level == 1 && v->sweep == NULL && v->leaf == NULL && v->hidden == NULL)
		c->next = c->end;
}

static void see_leaf(const struct visitor *v, const struct decoded *d, uint32_t level)
{
	if (v->sweep != NULL)
		v->sweep->leaves[level]++;
	if (v->leaf != NULL)
		v->leaf(v->ctx, d->address, level_size(level));
}

static void see_hidden(const struct visitor *v, uint64_t address, uint32_t level)
{
	if (v->sweep != NULL)
		v->sweep->hidden[level]++;
	if (v->hidden != NULL)
		v->hidden(v->ctx, address, level_size(level));
}

/* One stack of cursors instead of recursion, so that a loop in the tables ends at the bottom. */
static void visit(const struct walker *w, const struct visitor *v)
{
	struct cursor stack[MAX_LEVELS + 1];
	uint32_t level = w->levels;
	uint64_t address;

	stack[level] = (struct cursor){ .pa = w->root, .entries = w->root_entries };
	enter_table(w, v, &stack[level], level);
	while (level <= w->levels) {
		struct cursor *c = &stack[level];
		struct decoded d;
		uint64_t e, gpa;
		int is_below;

		if (c->next == c->end) {
			if (!c->occupied && level != w->levels && v->sweep != NULL)
				v->sweep->empty_tables++;
			level++;
			continue;
		}
		gpa = c->gpa + c->next * level_size(level);
		e = read_entry(c->table, c->next++);
		if (e == walker_empty_entry(w))
			continue;
		c->occupied = 1;
		d = decode(w, level, e);
		if (d.kind == ENTRY_BROKEN)
			note_broken(v->sweep, d.why, e, level);
		else if (d.kind == ENTRY_LEAF && c->is_below_hidden)
			see_hidden(v, d.address, level);
		else if (d.kind == ENTRY_LEAF)
			see_leaf(v, &d, level);
		else if (d.kind == ENTRY_NONE && is_hidden(w, e, &address))
			see_hidden(v, address, level);
		is_below = c->is_below_hidden;
		if (walker_is_hidden_table(w, level, e, &address)) {
			d = (struct decoded){ .kind = ENTRY_TABLE, .address = address };
			is_below = 1;
		}
		if (d.kind == ENTRY_TABLE) {
			level--;
			stack[level] = (struct cursor){ .pa = d.address,
							.gpa = gpa,
							.entries = 512,
							.is_below_hidden = is_below };
			enter_table(w, v, &stack[level], level);
		}
	}
}

void walker_sweep(const struct walker *w, struct sweep *s)
{
	const struct visitor v = { .sweep = s };
	struct walker all = *w;

	memset(s, 0, sizeof(*s));
	all.last = 0;
	visit(&all, &v);
}

void walker_visit(const struct walker *w, walk_table_fn table_fn, walk_table_fn leaf_fn, void *ctx)
{
	const struct visitor v = { .table = table_fn, .leaf = leaf_fn, .ctx = ctx };

	visit(w, &v);
}

void walker_visit_tables(const struct walker *w, walk_table_fn table_fn, walk_table_fn hidden,
			 void *ctx)
{
	const struct visitor v = { .table = table_fn, .hidden_table = hidden, .ctx = ctx };

	visit(w, &v);
}

void walker_visit_hidden(const struct walker *w, walk_table_fn hidden, void *ctx)
{
	const struct visitor v = { .hidden = hidden, .hidden_table = hidden, .ctx = ctx };

	visit(w, &v);
}
