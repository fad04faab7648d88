/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * CPUs that cache whatever a walker could have read, for as long as they may: each valid entry of
 * each table that could be reached, and on RISC-V without Svvptc the invalid ones too, until a
 * request of tlb_flush tells them to forget it. Each CPU has a cache of its own.
 *
 * The tables are looked at after each call, before and after each flush, and before frames go back.
 * Reported as a violation of the host:
 *  - a translation, a pointer to a table, or (on the CPU that called) an invalid entry or a missing
 *    permission that is still cached after the call and no longer true;
 *  - a frame that goes back while a CPU may hold it, or that is linked and was given back;
 *  - a run that is reported as released while a CPU may still use it;
 *  - on Arm a live entry that changes in a way that asks for an invalid one and a flush between;
 *  - while ageing goes on, a translation, or on x86 a pointer to a table, that is held with its accessed bit set where
 *    the entry has it clear: what is used by it would not be seen.
 *
 * Where the space has AXAS_IO there is a device besides, with a cache of its own, which never faults: no call repairs
 * anything for it. It also looks at some pages in the middle of each call, at each flush, each frame that goes
 * back and, where it does not snoop, each time that entries are cleaned. What it finds there is the translation from
 * before the call or that from afterwards; anything else, a hole among it, is a violation.
 */
#ifndef CTESTS_TLB_H
#define CTESTS_TLB_H

#include "fixture.h"

#define TLB_CPUS   2u
#define TLB_SLOTS  4u /* different values of one entry that one CPU holds */
#define TLB_DEVICE TLB_CPUS /* in the place of a CPU */
#define TLB_SIGHTS 40u

enum entry_kind { ENTRY_INVALID, ENTRY_TABLE, ENTRY_LEAF };

/* An entry as far as it matters to whoever cached it. */
struct entry {
	enum entry_kind kind;
	uint64_t address;
	uint32_t access;
	uint64_t memory; /* the raw bits of the memory type */
	int young; /* its accessed bit, where the format has one in such an entry */
};

struct entry entry_decode(uint32_t format, uint32_t level, uint64_t word);
uint64_t entry_size(uint32_t level);

/* 512 neighbouring entries of one level. 0: nothing cached. */
struct tlb_table {
	axas_gpa_t gpa;
	uint32_t level;
	uint32_t used; /* words that are cached */
	uint64_t word[TLB_SLOTS][512];
};

struct tlb_cpu {
	struct tlb_table **table; /* a hash table, open addressing */
	uint64_t room, count;
};

/* What a device finds at an address. */
struct tlb_found {
	int is_leaf;
	uint64_t hpa, memory;
	uint32_t access;
};

/* An address that a device looks at during a call. */
struct tlb_sight {
	axas_gpa_t gpa;
	struct tlb_found before;
	struct tlb_found other; /* the last one that was not that from before */
	uint32_t others; /* different ones in a row */
	int had_hole; /* after a translation had been there */
};

struct tlb {
	struct host *host;
	axas_hal_t host_hal;
	struct walker walker;
	int watching;
	int keeps_invalid; /* RISC-V without Svvptc */
	int breaks_first; /* Arm: a block becomes a table through an invalid entry */
	uint32_t vmid;
	pthread_mutex_t lock;
	struct tlb_cpu cpu[TLB_CPUS + 1];
	int has_device;
	int device_keeps_invalid; /* AXAS_FEATURE_IO_CACHES_INVALID */
	int device_may_fault; /* AXAS_FEATURE_IO_FAULTS */
	int expects_new; /* the call that returned tells devices of what it mapped */
	struct tlb_sight sight[TLB_SIGHTS];
	uint32_t sights;
	uint64_t device_looks;
	uint32_t *held; /* for each page of the pool, how many cached entries lead to it */
	int looked; /* since the last call or flush */
	void (*in_flush)(struct tlb *t, const axas_tlb_request_t *q); /* before a CPU forgets */

	/* what the host was told, for the tests */
	axas_mapping_t *run;
	uint64_t runs, run_room;
	uint32_t requests_all;
	uint64_t frames_back; /* guest frames, units of 4 KiB */
};

/* The CPU that this thread is. */
extern _Thread_local uint32_t tlb_this_cpu;

/* The host's callbacks go through the caches from now on; before the space is created. */
void tlb_attach(struct tlb *t, struct host *h);
/* The caches of a second space of the same host, with another VMID; it is detached first. */
void tlb_attach_beside(struct tlb *t);
void tlb_watch(struct tlb *t, const axas_t *as, const axas_config_t *cfg);
/* CPUs look from now on at what covers a range; size 0: at all of the space. */
void tlb_look_at(struct tlb *t, axas_gpa_t gpa, uint64_t size);
void tlb_unwatch(struct tlb *t);
void tlb_detach(struct tlb *t);

/* A call for this range has returned on this CPU. size 0: of no range. */
void tlb_settle(struct tlb *t, axas_gpa_t gpa, uint64_t size);
/* The same of one that gives no permission to what was mapped: another CPU's protect may have, lately. */
void tlb_settle_taken_in(struct tlb *t, axas_gpa_t gpa, uint64_t size);
/* A device looks at this page until the call that follows has returned. */
void tlb_sight(struct tlb *t, axas_gpa_t gpa);
void tlb_end_sights(struct tlb *t);
/* This CPU may use something for the access that makes it fault. */
int tlb_may_fault(struct tlb *t, axas_gpa_t gpa, axas_flags_t access);
/* A CPU may write to gpa without a look at the tables. */
int tlb_writes_silently(const struct tlb *t, axas_gpa_t gpa, uint32_t cpu);
/* The memory that CPUs may write to without a look at the tables; some of it more than once. */
void tlb_visit_writable(const struct tlb *t,
			void (*visit)(void *ctx, axas_hpa_t hpa, uint64_t size), void *ctx);
/* This CPU uses the page at gpa, and hardware sets accessed bits where what the CPU holds does not have them. */
void tlb_use(struct tlb *t, axas_gpa_t gpa);
/* All CPUs forget everything, without a request. */
void tlb_forget_all(struct tlb *t);
/* Logging or ageing began or ended. */
void tlb_log(struct tlb *t, const axas_t *as);
/* What x86 does of itself when it faults: it forgets the address on this CPU. */
void tlb_faulted(struct tlb *t, axas_gpa_t gpa);
void tlb_forget_log(struct tlb *t);

#endif
