/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "vm.h"

#include "devices.h"
#include "frames.h"
#include "layout.h"
#include "report.h"

struct device {
	axas_gpa_t gpa;
	/* Returns 0 for an access that the device has no register for. */
	uint32_t (*access)(struct vm *vm, uint64_t offset, struct guest_access *access);
};

static uint32_t clock_access(struct vm *vm, uint64_t offset, struct guest_access *access)
{
	if (access->is_write)
		return 0;
	if (offset == CLOCK_TICKS)
		access->value = ++vm->ticks;
	else if (offset == CLOCK_LIFE)
		access->value = vm->life;
	else
		return 0;
	return 1;
}

static uint32_t queue_access(struct vm *vm, uint64_t offset, struct guest_access *access)
{
	uint32_t value = (uint32_t)access->value;

	if (access->is_write)
		return queue_store(&vm->queue, offset, value);
	if (!queue_load(&vm->queue, offset, &value))
		return 0;
	access->value = value;
	return 1;
}

/* A page each, trapped with the index as cookie. */
static const struct device devices[] = {
	{ GPA_CLOCK, clock_access },
	{ GPA_QUEUE, queue_access },
};

#define DEVICE_COUNT (sizeof(devices) / sizeof(devices[0]))

static axas_status_t map_devices(struct vm *vm)
{
	axas_status_t status = AXAS_OK;

	for (size_t i = 0; i < DEVICE_COUNT && status == AXAS_OK; i++)
		status = axas_map_trap(vm->space, devices[i].gpa, AXAS_PAGE_SIZE, i);
	if (status != AXAS_OK)
		return status;
	return axas_map_linear(vm->space, GPA_CONSOLE, vm->config->device, AXAS_PAGE_SIZE,
			       AXAS_READ | AXAS_WRITE | AXAS_DEVICE);
}

/*
 * Nothing is taken in yet but what the image fills. It lies where the guest itself may not write,
 * and the guest may run it with its caches off.
 */
static axas_status_t map_memory(struct vm *vm)
{
	const struct vm_config *config = vm->config;
	axas_status_t status;

	status =
		axas_map_alloc(vm->space, GPA_RAM, RAM_SIZE, AXAS_READ | AXAS_WRITE | AXAS_EXECUTE);
	if (status == AXAS_OK)
		status = axas_map_alloc(vm->space, GPA_PROGRAM, PROGRAM_SIZE,
					AXAS_READ | AXAS_EXECUTE);
	if (status != AXAS_OK)
		return status;
	return axas_write(vm->space, GPA_PROGRAM, config->image, config->image_bytes,
			  AXAS_ACCESS_HOST | AXAS_ACCESS_CLEAN, NULL);
}

static axas_status_t furnish(struct vm *vm)
{
	axas_status_t status = map_devices(vm);

	if (status == AXAS_OK)
		status = map_memory(vm);
	if (status == AXAS_OK && vm->config->map_more != NULL)
		status = vm->config->map_more(vm->space);
	vm->ticks = 0;
	queue_reset(&vm->queue, vm->space);
	return status;
}

axas_status_t vm_create(struct vm *vm, const struct vm_config *config)
{
	axas_status_t status;

	*vm = (struct vm){ .config = config };
	status = axas_create(&config->space, &config->hal, &vm->space);
	if (status == AXAS_OK)
		status = furnish(vm);
	if (status != AXAS_OK)
		vm_destroy(vm);
	return status;
}

axas_status_t vm_reset(struct vm *vm)
{
	axas_status_t status = axas_clear(vm->space);

	vm->life++;
	return status == AXAS_OK ? furnish(vm) : status;
}

void vm_destroy(struct vm *vm)
{
	axas_destroy(vm->space);
	vm->space = NULL;
}

static uint64_t frames_missing(uint32_t purpose)
{
	const struct frame_books *books = frames_books(purpose);

	return books->taken - books->returned;
}

uint32_t vm_finish(struct vm *vm, uint64_t guest_failures)
{
	axas_stats_t stats;
	uint64_t missing;

	if (axas_stats(vm->space, &stats) == AXAS_OK)
		report("%lu accesses emulated, %lu to nowhere, %lu denied\n", stats.faults_trap,
		       stats.faults_unmapped, stats.faults_denied);
	vm_destroy(vm);
	missing = frames_missing(AXAS_FRAME_TABLE) + frames_missing(AXAS_FRAME_GUEST);
	report("%lu frames missing, %lu claims of the guest failed\n", missing, guest_failures);
	return missing != 0 || frames_mistakes() != 0 || guest_failures != 0;
}

enum vm_next vm_fault(struct vm *vm, const axas_fault_t *fault)
{
	axas_fault_result_t verdict;

	/* The other kinds are not about what is mapped: a broken table, a broken bus. */
	if (!(fault->valid & AXAS_VALID_GPA) ||
	    (fault->kind != AXAS_KIND_TRANSLATION && fault->kind != AXAS_KIND_PERMISSION &&
	     fault->kind != AXAS_KIND_ACCESS_FLAG))
		return VM_STOP;
	verdict = axas_handle_page_fault(vm->space, fault->gpa, fault->access);
	if (axas_fault_resumes(verdict))
		return VM_RESUME;
	switch (verdict) {
	case AXAS_FAULT_TRAP:
		return VM_EMULATE;
	case AXAS_FAULT_UNMAPPED:
	case AXAS_FAULT_DENIED:
		report("  %s of 0x%lx: %s\n", access_name(fault->access), fault->gpa,
		       verdict_name(verdict));
		return VM_REFUSE;
	default:
		/* AXAS_FAULT_NO_MEMORY: a host with more than one VM would find memory and resume. */
		return VM_STOP;
	}
}

enum vm_next vm_emulate(struct vm *vm, axas_gpa_t gpa, struct guest_access *access)
{
	const uint64_t offset = gpa % AXAS_PAGE_SIZE;
	uint64_t cookie;

	/* No trap there any more: the verdict was overtaken, and the access may fault anew. */
	if (axas_trap_cookie(vm->space, gpa, &cookie) != AXAS_OK)
		return VM_RESUME;
	if (cookie >= DEVICE_COUNT || access->bytes != sizeof(uint32_t) ||
	    !devices[cookie].access(vm, offset, access)) {
		report("  device %lu has no such register: 0x%lx\n", cookie, offset);
		return VM_REFUSE;
	}
	return VM_STEP;
}
