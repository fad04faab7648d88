/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the hardware would make of a table, from the architecture manuals:
 *   Intel SDM volume 3, "The Extended Page Table Mechanism"
 *   AMD64 APM volume 2, "Nested Paging" and "Long-Mode Page Translation"
 *   Arm ARM (DDI 0487), "The AArch64 Virtual Memory System Architecture", stage 2, 4 KiB granule
 *   RISC-V privileged specification, "Hypervisor Extension", hgatp and Sv39x4/Sv48x4/Sv57x4
 *
 * It starts from the register values that a CPU would be loaded with and reads raw memory. It knows
 * nothing of the library, and it is stricter than hardware: what is reserved, ignored or belongs to
 * an optional feature must be zero unless software may have it.
 */
#ifndef CTESTS_WALKER_H
#define CTESTS_WALKER_H

#include <stdint.h>

enum walk_format { WALK_EPT = 1, WALK_NPT, WALK_ARM, WALK_RISCV };

/* What the CPU has, as far as it changes the meaning of an entry. */
enum {
	CPU_1G_PAGES = 1u << 0,
	CPU_EPT_EXECUTE_ONLY = 1u << 1,
	CPU_ARM_FWB = 1u << 2,
	CPU_SVPBMT = 1u << 3,
	CPU_SVRSW60T59B = 1u << 4,
};

enum walk_memory {
	MEM_WB,
	MEM_UC,
	MEM_WC,
	MEM_WT,
	MEM_NC,
	MEM_NGNRNE,
	MEM_NGNRE,
	MEM_NGRE,
	MEM_GRE,
	MEM_PMA, /* RISC-V: what the physical memory attributes say */
	MEM_IO,
};

enum { WALK_R = 1, WALK_W = 2, WALK_X = 4 };

/* How writes are logged. */
enum walk_log { LOG_OFF, LOG_FAULTS, LOG_HARDWARE };

struct walker {
	enum walk_format format;
	enum walk_log log; /* without one every leaf is dirty */
	int ages; /* without it every leaf, and each table where that has a bit for it, is young */
	uint64_t root_register; /* EPTP, nCR3, VTTBR_EL2, hgatp */
	uint64_t control_register; /* VTCR_EL2 */
	uint32_t npt_levels; /* on AMD the host's own paging mode decides */
	uint32_t pa_bits;
	uint32_t cpu;
	int ignores_pat; /* EPT: write-back leaves have IPAT, and no others */
	const void *(*at)(const void *ctx, uint64_t pa, uint64_t bytes);
	const void *ctx;
	uint64_t first,
		last; /* a visit sees what covers an address from first to last; last 0: all */
	/* derived by walker_start */
	uint32_t levels;
	uint32_t gpa_bits;
	uint64_t root;
	uint64_t root_entries;
};

enum walk_outcome { WALK_FAULT, WALK_LEAF, WALK_BROKEN };

struct walk {
	enum walk_outcome outcome;
	uint64_t hpa; /* where the address lands */
	uint64_t size; /* of the page, or of what the invalid entry covers */
	uint64_t entry; /* raw */
	uint32_t level; /* 1 = 4 KiB */
	uint32_t access; /* WALK_R | W | X: what the mapping allows */
	int opens; /* a write goes through now, without a fault */
	int dirty;
	int young;
	enum walk_memory memory;
	int is_hidden; /* a fault: the library keeps the address of a page here, which is in hpa */
	int is_provided; /* a fault: the host is asked for the page, by the number in provider */
	uint32_t provider;
	uint32_t tag; /* software's, in bits that the hardware ignores */
	const char *why; /* of a broken one */
};

/* A sweep of all tables. */
struct sweep {
	uint64_t table_frames; /* root included, in units of 4 KiB */
	uint64_t leaves[4]; /* by level, 1..3 */
	uint64_t hidden[6]; /* pages that no walker finds, by level */
	uint64_t tables[6]; /* by level, the root not counted */
	uint64_t empty_tables; /* all entries say "nothing here" */
	uint64_t broken;
	const char *why; /* of the first broken entry */
	uint64_t why_entry;
	uint32_t why_level;
};

/* Reads the registers. Returns null, or what is wrong with them. */
const char *walker_start(struct walker *w);
/* Of a table of `level` whose first entry is that of gpa, the entries [*from, *to) that a visit sees. */
void walker_seen(const struct walker *w, uint32_t level, uint64_t gpa, uint64_t entries,
		 uint64_t *from, uint64_t *to);
struct walk walker_walk(const struct walker *w, uint64_t gpa);
void walker_sweep(const struct walker *w, struct sweep *s);

/* The word of an entry that holds nothing. */
uint64_t walker_empty_entry(const struct walker *w);
/* Whether an entry of a table of `level` points to a table, and where that is. */
int walker_is_table(const struct walker *w, uint32_t level, uint64_t entry, uint64_t *table);
/* The same of one that is not valid, below which no walker is to find a page. */
int walker_is_hidden_table(const struct walker *w, uint32_t level, uint64_t entry, uint64_t *table);

/* A page that no walker is to find, and where it is. */
int walker_is_hidden_page(const struct walker *w, uint64_t entry, uint64_t *address);

/* Each table that the hardware can reach, and each leaf's memory where leaf is not null. */
typedef void (*walk_table_fn)(void *ctx, uint64_t pa, uint64_t bytes);
void walker_visit(const struct walker *w, walk_table_fn table, walk_table_fn leaf, void *ctx);
/* All tables; those that no walker finds apart. */
void walker_visit_tables(const struct walker *w, walk_table_fn table, walk_table_fn hidden,
			 void *ctx);
/* Whether an entry is as before but that a hidden table was shown, with what is in it hidden. */
int walker_is_shown(const struct walker *w, uint64_t before, uint64_t now, int is_below_hidden);
/* The memory of each page and each table that no walker finds. */
void walker_visit_hidden(const struct walker *w, walk_table_fn hidden, void *ctx);

#endif
