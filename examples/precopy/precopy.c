/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Pre-copy with one CPU for everything: after each burst of the guest's writes the hypervisor copies some pages. What
 * was written since is copied in the next round, and so on until it is little; then the rest is copied at once, and the
 * vCPU goes on in the new space.
 */
#include <stddef.h>

#include "cells.h"
#include "frames.h"
#include "machine.h"
#include "report.h"

#define MOVED_PAGES  (MOVED_SIZE / AXAS_PAGE_SIZE)
#define BITMAP_WORDS (MOVED_PAGES / 64)

/* The bursts after which a move begins: the first by write faults, the second by the hardware's dirty bits if it has any. */
#define FIRST_MOVE  64
#define SECOND_MOVE 256

#define PAGES_AT_ONCE 16
#define FEW_PAGES     24
#define ROUNDS_MAX    16

static struct {
	axas_config_t config;
	axas_hal_t hal;
	axas_t *space, *to;
	struct vcpu *vcpu;
	uint64_t bitmap[BITMAP_WORDS];
	uint64_t rounds, pages, left;
	uint32_t moves;
} moving;

static _Noreturn void give_up(const char *why)
{
	report("\nBAD: %s\n", why);
	machine_exit(1);
}

static void must(axas_status_t status, const char *call)
{
	if (status == AXAS_OK)
		return;
	report("%s: %s\n", call, axas_status_str(status));
	give_up("a call failed");
}

/* Memory for the guest, without contents but for its program. */
static axas_t *space_create(uint32_t vmid)
{
	axas_t *space;

	moving.config.vmid = vmid;
	must(axas_create(&moving.config, &moving.hal, &space), "axas_create");
	must(axas_map_alloc(space, GPA_RAM, MOVED_SIZE, AXAS_READ | AXAS_WRITE), "axas_map_alloc");
	must(axas_map_alloc(space, GPA_PROGRAM, PROGRAM_SIZE, AXAS_READ | AXAS_EXECUTE),
	     "axas_map_alloc");
	must(axas_write(space, GPA_PROGRAM, guest_program, PROGRAM_SIZE,
			AXAS_ACCESS_HOST | AXAS_ACCESS_CLEAN, NULL),
	     "axas_write");
	must(machine_map(space), "machine_map");
	return space;
}

static axas_hw_regs_t registers_of(const axas_t *space)
{
	axas_hw_regs_t registers;

	must(axas_hw_regs(space, &registers), "axas_hw_regs");
	return registers;
}

/* The pages that were written since the last time join the bitmap. */
static void collect(void)
{
	must(axas_dirty_collect(moving.space, GPA_RAM, MOVED_SIZE, moving.bitmap, MOVED_PAGES, 0,
				&moving.left),
	     "axas_dirty_collect");
	report("  round %lu: %lu pages\n", ++moving.rounds, moving.left);
}

static void copy_page(uint64_t page)
{
	const axas_gpa_t gpa = GPA_RAM + page * AXAS_PAGE_SIZE;
	axas_hpa_t hpa;

	must(axas_translate(moving.space, gpa, &hpa, NULL), "axas_translate");
	must(axas_write(moving.to, gpa, (const void *)(uintptr_t)hpa, AXAS_PAGE_SIZE,
			AXAS_ACCESS_HOST | AXAS_ACCESS_CLEAN, NULL),
	     "axas_write");
	moving.pages++;
}

/* Copies at most so many pages of the bitmap, and takes them out of it. */
static void copy_some(uint64_t most)
{
	for (uint64_t page = 0; page < MOVED_PAGES && most != 0; page++) {
		const uint64_t bit = UINT64_C(1) << page % 64;

		if (!(moving.bitmap[page / 64] & bit))
			continue;
		copy_page(page);
		moving.bitmap[page / 64] &= ~bit;
		moving.left--;
		most--;
	}
}

/* The guest does not run while this does. */
static void change_over(void)
{
	axas_hw_regs_t registers = registers_of(moving.to);

	copy_some(MOVED_PAGES);
	vcpu_load(moving.vcpu, &registers);
	axas_destroy(moving.space);
	moving.space = moving.to;
	moving.to = NULL;
	moving.moves++;
	report("  the vCPU goes on in the new space: %lu pages were copied\n", moving.pages);
}

/* Everything is dirty at first. */
static void begin_move(uint32_t vmid, uint32_t how)
{
	axas_status_t status =
		axas_dirty_start(moving.space, GPA_RAM, MOVED_SIZE, AXAS_DIRTY_ALL | how);

	if (status == AXAS_ERR_UNSUPPORTED && how == AXAS_DIRTY_HARDWARE) {
		begin_move(vmid, 0);
		return;
	}
	must(status, "axas_dirty_start");
	report("  by %s\n",
	       how == AXAS_DIRTY_HARDWARE ? "dirty bits of the hardware" : "write faults");
	moving.to = space_create(vmid);
	moving.rounds = 0;
	moving.pages = 0;
	collect();
}

static void after_burst(uint64_t burst)
{
	if (burst == FIRST_MOVE)
		begin_move(2, 0);
	else if (burst == SECOND_MOVE && moving.moves == 1)
		begin_move(1, AXAS_DIRTY_HARDWARE);
	if (moving.to == NULL)
		return;
	copy_some(PAGES_AT_ONCE);
	if (moving.left != 0)
		return;
	collect();
	if (moving.left <= FEW_PAGES || moving.rounds == ROUNDS_MAX)
		change_over();
}

/* Returns how many cells the guest found wrong. */
static uint64_t run(void)
{
	axas_hw_regs_t registers = registers_of(moving.space);
	struct guest_exit exit;

	moving.vcpu = vcpu_start(&registers, GPA_PROGRAM + PROGRAM_ENTRY);
	for (;;) {
		vcpu_run(moving.vcpu, &exit);
		if (exit.reason == EXIT_FAULT) {
			if (!axas_fault_resumes(axas_handle_page_fault(moving.space, exit.fault.gpa,
								       exit.fault.access)))
				give_up("a fault to which there is no answer");
		} else if (exit.reason != EXIT_HYPERCALL) {
			give_up("an exit that nobody knows");
		} else if (exit.call == CALL_BURST) {
			after_burst(exit.argument);
			vcpu_finish_call(moving.vcpu);
		} else {
			vcpu_stop(moving.vcpu);
			return exit.argument;
		}
	}
}

static uint64_t frames_missing(uint32_t purpose)
{
	const struct frame_books *books = frames_books(purpose);

	return books->taken - books->returned;
}

void hypervisor_main(void)
{
	uint64_t wrong, missing;

	frames_init();
	frames_supply(&moving.hal);
	moving.hal.struct_size = sizeof(moving.hal);
	moving.config = (axas_config_t){ .struct_size = sizeof(moving.config),
					 .levels = GUEST_LEVELS,
					 .size = SPACE_SIZE,
					 .vmid = 1 };
	machine_configure(&moving.config, &moving.hal);
	report("\nPre-copy of a guest at work\n");
	moving.space = space_create(1);
	wrong = run();
	if (moving.moves != 2)
		give_up("the guest was not moved twice");
	axas_destroy(moving.space);
	missing = frames_missing(AXAS_FRAME_TABLE) + frames_missing(AXAS_FRAME_GUEST);
	report("%lu cells are wrong, %lu frames missing\n", wrong, missing);
	report("%s\n", wrong == 0 && missing == 0 && frames_mistakes() == 0 ? "GOOD" : "BAD");
	machine_exit(wrong != 0 || missing != 0 || frames_mistakes() != 0);
}
