/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A hypervisor for the tests: frames with a record each, callbacks that check what they are asked,
 * and the faults a real host can have (no memory, nonsense addresses, windows instead of a map).
 *
 * Nothing in here asserts from within a callback: a jump out of one would skip frames of the
 * library. Violations are counted and the first one is kept as text; host_check() reports it.
 */
#ifndef CTESTS_HOST_H
#define CTESTS_HOST_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "axaddrspace.h"

#define PAGE 4096ull
#define MIB  (1024ull * 1024)
#define GIB  (1024ull * MIB)
#define TIB  (1024ull * GIB)

/*
 * Physical layout of the pool: one region per class of frame size, far from address zero and above
 * 4 GiB, so that neither a virtual address nor a truncated one can pass for a physical one.
 */
#define HOST_PA_BASE      0x1240000000ull
#define HOST_PA_LOW_BASE  0x40000000ull
#define HOST_REGIONS      4u
/* In the pool, and never handed out: linear memory that the host can reach. */
#define HOST_LINEAR       (2 * GIB + 256 * MIB)
#define HOST_LINEAR_BYTES (512 * MIB)

#define HOST_TLB_LOG 256u
#define HOST_RUN_LOG 256u

struct host_region {
	uint32_t first_order, last_order; /* orders served */
	uint32_t slot_order; /* what one slot of the region is */
	uint32_t slots, used; /* slots ever handed out, in slot numbers */
	uint64_t offset; /* from the pool's base */
	uint32_t *free_slots, free_count;
	uint32_t *slot_out; /* 4 KiB units of the slot that are out */
	uint8_t *taken_order; /* of the frame that the slot was last handed out as */
};

struct host_frame {
	uint8_t state; /* HOST_FRAME_* */
	uint8_t purpose;
	uint8_t order;
	uint8_t filled; /* with POISON, when it went back */
	uint8_t linked; /* a table in a space when a call began; known where frames are stocked */
	uint32_t call; /* the library call that took it */
	uint32_t reach; /* number of the last flush after which hardware could still reach it */
};

enum { HOST_FRAME_FREE, HOST_FRAME_HEAD, HOST_FRAME_BODY };

enum host_nonsense { HOST_SANE, HOST_GIVES_UNALIGNED, HOST_GIVES_TOO_HIGH };

struct host {
	axas_hal_t hal;
	uint64_t pa_base;
	uint64_t pool_bytes;
	uint8_t *va; /* the pool as the tests see it */
	uint8_t *seen; /* the pool as a walker sees it that does not snoop caches; null: as it is */
	int memfd; /* windows are further mappings of it; -1 otherwise */
	struct host_region region[HOST_REGIONS];
	struct host_frame *frame; /* one for each 4 KiB of the pool */
	pthread_mutex_t lock;

	/* balance */
	uint64_t tables_out; /* 4 KiB units, roots and handles included */
	uint64_t guest_out;
	uint64_t own_out; /* axas_frame_alloc */
	uint64_t guest_taken, guest_returned, tables_taken;
	uint64_t allocations; /* calls of alloc_frame, refused ones included */

	/* what the host is told to do */
	uint64_t fail_at; /* the n-th allocation from now on fails, once; 0: never */
	uint32_t fail_purpose; /* every allocation of this purpose fails; 0: none */
	uint32_t refuse_order; /* orders from this one on are refused; 0: none */
	enum host_nonsense nonsense; /* kind of address given instead of a frame */
	uint32_t nonsense_purpose;
	axas_hpa_t nonsense_given;
	uint32_t nonsense_returned;
	uint32_t blind; /* phys_to_virt knows no memory at all */
	uint64_t blind_at; /* it does not at the n-th call from now on, once; 0: never */
	uint32_t askew; /* it returns pointers that are not aligned */
	uint32_t poison_guest; /* fresh guest frames are dirty, so that zeroing shows */
	uint32_t watch_links; /* look for tables that were linked before they were cleaned */
	uint32_t quick; /* no walk of the tables around each call */
	uint32_t
		stocked; /* so many table frames the space may have that no table is in (axas_stock) */

	/* what the host was told */
	uint32_t flushes; /* all requests */
	uint32_t flushes_all; /* those with scope ALL */
	uint32_t epoch; /* as flushes_all, never forgotten */
	axas_tlb_request_t tlb[HOST_TLB_LOG];
	uint32_t runs;
	axas_mapping_t run[HOST_RUN_LOG];
	uint32_t cleans[3]; /* by purpose */
	uint32_t windows_opened, windows_most;

	/* called within tlb_flush, for tests that look at or block the library there */
	void (*in_flush)(struct host *h, const axas_tlb_request_t *request);
	void *in_flush_arg;
	_Atomic uint32_t relaxed;

	_Atomic uint32_t violations;
	char first_violation[256];
};

enum host_map_kind {
	HOST_DIRECT_MAP, /* offset only, no callback */
	HOST_CALLBACK, /* phys_to_virt */
	HOST_WINDOWS, /* phys_to_virt and release_virt, one page each */
};

void host_init(struct host *h, enum host_map_kind kind, uint64_t pa_base);
void host_exit(struct host *h);

/*
 * From now on walkers see of the tables what clean_range has cleaned, a line at a time. For a host
 * without windows, before the first space with AXAS_NONCOHERENT_WALK.
 */
void host_stop_snooping(struct host *h);

/* Fails the running test on the first violation of the callbacks' contract. */
void host_check(const struct host *h);
/* host_check, and every frame has come back and was left alone since. */
void host_check_balance(const struct host *h);
void host_violation(struct host *h, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The pool's memory at a physical address, or null outside the pool. */
void *host_at(const struct host *h, axas_hpa_t pa);
/* The same as a page walker of the hardware sees it. */
const void *host_seen_by_walkers(const struct host *h, axas_hpa_t pa);
/* The record of the frame that holds this address, or null outside the pool. */
struct host_frame *host_frame_at(const struct host *h, axas_hpa_t pa);
/* For space.c, at the beginning of a call: a table that can be reached. */
void host_mark_linked(void *host, axas_hpa_t pa, uint64_t bytes);
int host_is_guest_frame(const struct host *h, axas_hpa_t pa);
const axas_tlb_request_t *host_last_flush(const struct host *h);
void host_forget_log(struct host *h);

#endif
