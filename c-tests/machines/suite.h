/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The portable part of the machine suite: spaces, guest accesses, checks and their books. */
#ifndef MACHINES_SUITE_H
#define MACHINES_SUITE_H

#include <stdint.h>

#include "axaddrspace.h"
#include "guest.h"
#include "layer.h"

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

#define PAGE ((uint64_t)AXAS_PAGE_SIZE)
#define R    AXAS_READ
#define W    AXAS_WRITE
#define X    AXAS_EXECUTE
#define RW   (AXAS_READ | AXAS_WRITE)
#define RX   (AXAS_READ | AXAS_EXECUTE)
#define RWX  (AXAS_READ | AXAS_WRITE | AXAS_EXECUTE)

/* The program of examples/hypervisor's layout; one page of it here. */
#define GPA_CODE 0x10000000

/* ---- frames.c: all memory ---------------------------------------------------------------- */

/* Host memory to map linearly: LINEAR_SIZE bytes, aligned to 2 MiB. */
#define LINEAR_SIZE MIB(4)
extern uint8_t linear_memory[];

/* Zero if the pool has as many frames as at boot and none came back wrong. */
uint64_t pool_frames_out(uint32_t purpose);
uint32_t pool_mistakes(void);
uint64_t pool_taken(uint32_t purpose);
void pool_supply(axas_hal_t *hal);
/* No table frames while it is not 0. */
extern uint32_t pool_refuses_tables;
/* What is in frames that nobody has written to. */
#define POOL_GARBAGE UINT64_C(0xa5a5a5a5a5a5a5a5)

/* ---- space.c: a space under test ---------------------------------------------------------- */

enum flush_by {
	FLUSH_BUILTIN, /* the library's own, where it has one */
	FLUSH_HOST, /* the tlb_flush callback, with shootdown */
	FLUSH_SHARED, /* the library's own for this CPU, the callback for all */
	/* The negative controls: callbacks that do nothing, or only what this CPU needs. */
	FLUSH_NOTHING,
	FLUSH_HERE_ONLY,
};

extern axas_t *space;
extern struct vcpu *guest; /* of the first CPU */

/* Makes the space, maps the guest's code and mailbox, loads it on this CPU. */
void space_open(uint64_t size, uint32_t features, uint32_t options, enum flush_by flush);
/* The host's answers about pages of providers, from the next space_open() on; null: none. */
extern axas_resolve_fn resolve_with;
extern axas_evicted_fn evicted_with;
/* As above for everything that the width can say, with the features that the CPU has. */
void space_open_full(void);
/* Unloads and destroys; a subtest of its own: every frame came back. */
void space_close(void);

extern uint64_t flush_requests; /* that the host's callback got */
extern uint64_t flush_requests_local; /* those of them that are for this CPU */
extern uint64_t *const mailbox;

/* ---- access.c: guest accesses with an expected outcome ------------------------------------ */

struct outcome {
	uint32_t done; /* the guest reported a result */
	uint64_t value;
	uint32_t faults;
	axas_fault_t first; /* fault */
	axas_fault_t last;
	axas_fault_result_t verdict; /* of the last one */
	uint64_t syndrome; /* when neither a result nor a fault came */
};

/* Lets the guest do it; every fault goes through the library until it refuses. */
void guest_access(struct vcpu *vcpu, uint64_t op, uint64_t gpa, uint64_t value,
		  struct outcome *outcome);
/* Stops at the first fault, which the library does not see. */
void guest_access_raw(struct vcpu *vcpu, uint64_t op, uint64_t gpa, uint64_t value,
		      struct outcome *outcome);
/* Called after each resolved fault, before the guest goes on; null for nothing. */
extern void (*after_fault)(const axas_fault_t *fault);

extern uint64_t accesses_made;
extern uint64_t faults_taken;

enum expected {
	EXPECT_VALUE, /* done, without a fault */
	EXPECT_RESOLVED, /* done, after one fault that the library resolved */
	EXPECT_TRAP,
	EXPECT_UNMAPPED,
	EXPECT_DENIED, /* by an entry that is there and lets the guest read */
	EXPECT_UNREADABLE, /* by an entry that is there and does not */
	EXPECT_REFUSED, /* by a reservation, before anything is there */
	EXPECT_HIDDEN, /* axas_hide holds the page */
};

/*
 * One subtest: the access, its outcome, and for a fault what the decoder said about it. For
 * OP_READ, OP_ATOMIC and OP_EXECUTE that get through, `value` is what has to come back; OP_WRITE
 * writes it.
 */
void subtest(const char *what, uint64_t op, uint64_t gpa, uint64_t value, enum expected expected);
/* What the first fault of an operation says; atomic ones differ where the guest can read. */
axas_flags_t access_of(uint64_t op, uint32_t is_readable);
/*
 * As subtest(), on memory whose host address is known: puts in place what has to be read or run,
 * and looks at what was written.
 */
void subtest_memory(const char *what, uint64_t op, uint64_t gpa, uint64_t hpa,
		    enum expected expected);
/* Whether a mapping with these flags lets the operation through. */
uint32_t is_allowed(uint64_t op, axas_flags_t flags);
/* What comes of the operation on a valid entry with these flags. */
enum expected on_entry(uint64_t op, axas_flags_t flags);

const char *op_name(uint64_t op);

/* ---- suite.c: books ------------------------------------------------------------------------ */

extern uint64_t subtests;
extern uint64_t failures;

/* The group that subtests are reported under. */
void group(const char *name);
/* One subtest that is no access: prints what and both numbers when they differ. */
void check(const char *what, uint64_t got, uint64_t expected);
/* A status that has to be AXAS_OK; no subtest unless it is not. */
void must(const char *what, axas_status_t status);
/* A failure; 0 when there were so many that nobody wants to read the details. */
uint32_t complain(const char *what);

/* xorshift: the same numbers in each run. */
uint64_t random_number(void);
uint64_t random_below(uint64_t bound);

uint64_t read_host(uint64_t hpa);
void write_host(uint64_t hpa, uint64_t value);
/* Puts the sample at a host address. */
void plant_sample(uint64_t hpa);
uint64_t linear_hpa(uint64_t offset);

/* ---- cpus.c: the second CPU ----------------------------------------------------------------- */

void cpus_start(void);
/* Runs the job on the second CPU; cpus_wait() returns when it has ended. */
void cpus_run(void (*job)(void));
void cpus_wait(void);
uint32_t cpus_is_done(void);
void barrier(void);

/* ---- scatter.c: a guest at work on the second CPU --------------------------------------------- */

/* The most memory that it reads and writes at random: what linear_memory has. */
#define SCATTERED LINEAR_SIZE

/* Starts it on memory that is zero, of a size that is a power of 2; it goes on until it is stopped. */
void scatter_start(uint64_t gpa, uint64_t size);
/* Waits until it has written so many words more; 0 if it does not go on. */
uint32_t scatter_goes_on(uint64_t words);
/* Stops it, and says what is in its memory now. */
const uint64_t *scatter_stop(void);
/* Words that differ between that and what the space has there. */
uint64_t scatter_lost(void);

/* ---- the groups ---------------------------------------------------------------------------- */

void test_matrix(void);
void test_places(void);
void test_changes(void);
void test_stage1(void);
void test_encodings(void);
void test_random(void);
void test_age(void);
void test_contended(void);
void test_logged(void);
void test_merge(void);
void test_provider(void);
void test_stale(void);

extern uint64_t contended_pages;
extern uint64_t random_tables;
extern uint64_t encodings_taken;
extern uint64_t encodings_refused;

#endif
