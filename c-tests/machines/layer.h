/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a machine of the suite provides on top of machine.h of examples/hypervisor, whose boot
 * code, console, exit and vcpu_run() serve here too: a second CPU, the guest's registers, shootdown,
 * and what its walker can and cannot do.
 */
#ifndef MACHINES_LAYER_H
#define MACHINES_LAYER_H

#include <stdint.h>

#include "axaddrspace.h"
#include "machine.h"

#define CPU_COUNT      2
#define STAGE1_MAXIMUM 4

struct layer {
	uint32_t format;
	uint32_t features; /* AXAS_FEATURE_ bits that this CPU has */
	uint32_t always_features; /* those that need no declaration */
	/* Guest-physical addresses below this are taken by the walker, the emulator's bugs included. */
	uint64_t reach;
	uint64_t space_size; /* all that the format's width can say at GUEST_LEVELS */
	uint32_t root_bytes; /* of a space of that size, and its alignment */
	/* Fault reports tell a permission from a missing entry. */
	uint32_t tells_permission;
	/* Fault reports have the exact address of a fetch, not only its page. */
	uint32_t exact_fetch;
	/* AXAS_HAL_BUILTIN_FLUSH works on this format. */
	uint32_t has_builtin_flush;
	/* AXAS_HAL_BUILTIN_FLUSH reaches the other CPU too. */
	uint32_t builtin_reaches_all;
	/* What an atomic access reports where nothing is, and where only writing is missing. */
	axas_flags_t atomic_absent;
	axas_flags_t atomic_read_only;
	/* What a walk of the guest's own tables reports: at least one of these bits, no other. */
	axas_flags_t walk_access;
	uint32_t stage1_levels;
	/* AXAS_NO_ZERO where zeroing a GiB is more than the emulator does in the time of a run. */
	uint32_t huge_options;
	uint32_t walk_writes; /* the guest's walker sets bits in its tables */
	uint32_t sets_accessed; /* the walker sets accessed bits in ours, instead of a fault */
	/*
	 * The log that this CPU keeps of pages whose dirty bit it sets, for the guest that is loaded here. Null: it keeps
	 * none. The first call begins it; false without. The second takes out the address of a page; UINT64_MAX: no more.
	 */
	uint32_t (*page_log_begin)(void);
	uint64_t (*page_log_take)(void);
};

extern struct layer layer;

/* Before anything else: fills in what depends on the CPU. */
void layer_probe(void);

/* Whether a mapping with these flags is one the format can say at all. */
axas_status_t layer_expected_status(axas_flags_t flags, uint32_t features);

/*
 * Loads the space on the calling CPU; the guest of this CPU waits for its first request. Drops
 * what this CPU's TLB holds for the VMID.
 */
struct vcpu *layer_load(uint32_t cpu, const axas_hw_regs_t *registers);
void layer_unload(uint32_t cpu);

/* The address that the walker takes from the register that holds the root. */
axas_hpa_t layer_root_of(uint64_t root_register);

/* Maps what this machine's guest needs besides its code and the mailbox. */
axas_status_t layer_map(axas_t *space);

/* As vcpu_run(); what the host's own flush interrupts goes on by itself. */
void layer_run(struct vcpu *vcpu, struct guest_exit *exit);

/* The next layer_run() does this operation, from guest_entry on. */
void layer_request(struct vcpu *vcpu, uint64_t op, uint64_t address, uint64_t value);

/* The guest's own tables: 512 words a level; level 1 maps pages, the highest is the root. */
uint64_t layer_stage1_table(uint64_t gpa);
uint64_t layer_stage1_page(uint64_t gpa);
uint64_t layer_stage1_gib(uint64_t gpa);
void layer_stage1_on(struct vcpu *vcpu, uint64_t root);
void layer_stage1_off(struct vcpu *vcpu);

/* The host's own flush: this CPU, or all CPUs that run the guest, before it returns. */
void layer_flush_local(const axas_tlb_request_t *request);
void layer_flush_all(const axas_tlb_request_t *request);

/* What the host wrote here may be executed by the guest from now on. */
void layer_sync_code(void *code, uint64_t bytes);

/* Starts the other CPU in secondary_main(); 0 if it does not come. */
uint32_t layer_start_secondary(void);
_Noreturn void secondary_main(void);

/* In loops that wait for the other CPU. */
void layer_relax(void);

/* The code of the guest's sample, position independent. */
extern const uint8_t guest_sample[];
extern const uint8_t guest_sample_end[];

#endif
