/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The space under test: made, loaded, and taken down with its books balanced. */
#include <stddef.h>

#include "suite.h"

#define VMID 5

axas_t *space;
struct vcpu *guest;
uint64_t flush_requests;
uint64_t flush_requests_local;
axas_resolve_fn resolve_with;
axas_evicted_fn evicted_with;

static uint64_t mailbox_page[AXAS_PAGE_SIZE / 8] __attribute__((aligned(4096)));
uint64_t *const mailbox = mailbox_page;

static void flush_by_host(void *ctx, const axas_tlb_request_t *request)
{
	(void)ctx;
	flush_requests++;
	if (request->scope == AXAS_SCOPE_LOCAL) {
		flush_requests_local++;
		layer_flush_local(request);
	} else {
		layer_flush_all(request);
	}
}

static void flush_nothing(void *ctx, const axas_tlb_request_t *request)
{
	(void)ctx;
	(void)request;
	flush_requests++;
}

static void flush_here_only(void *ctx, const axas_tlb_request_t *request)
{
	(void)ctx;
	flush_requests++;
	layer_flush_local(request);
}

/* Not every walker looks at the alignment of its root, but every architecture asks for it. */
static void look_at_root(const axas_hw_regs_t *registers)
{
	uint32_t is_full = axas_size(space) == layer.space_size;

	if (registers->root != axas_root(space) || registers->root % registers->root_bytes != 0 ||
	    (is_full && registers->root_bytes != layer.root_bytes))
		must("a root of the right size and alignment", AXAS_ERR_BAD_STATE);
}

/* What a configuration says without a space, for this CPU's format too: all but where the root is. */
static void look_at_config(axas_config_t config, const axas_hw_regs_t *registers)
{
	const uint32_t formats[] = { config.format, AXAS_FORMAT_NATIVE };

	for (uint32_t i = 0; i < 2; i++) {
		axas_hw_regs_t made;

		config.format = formats[i];
		must("axas_config_regs", axas_config_regs(&config, &made));
		if (made.root != 0 || made.format != registers->format ||
		    made.levels != registers->levels || made.pa_bits != registers->pa_bits ||
		    made.gpa_bits != registers->gpa_bits ||
		    made.root_bytes != registers->root_bytes ||
		    made.control_register != registers->control_register ||
		    made.required_state != registers->required_state ||
		    layer_root_of(made.root_register) != 0 ||
		    layer_root_of(registers->root_register - made.root_register) != registers->root)
			must("the values of a configuration", AXAS_ERR_BAD_STATE);
	}
}

void space_open(uint64_t size, uint32_t features, uint32_t options, enum flush_by flush)
{
	axas_config_t config = {
		.struct_size = sizeof(config),
		.format = layer.format,
		.levels = GUEST_LEVELS,
		.size = size,
		.vmid = VMID,
		.features = features,
		.options = options,
	};
	axas_hal_t hal = {
		.struct_size = sizeof(hal),
		.resolve = resolve_with,
		.evicted = evicted_with,
	};
	axas_hw_regs_t registers;
	axas_status_t status;

	pool_supply(&hal);
	if (flush == FLUSH_SHARED)
		hal.flags |= AXAS_HAL_BUILTIN_LOCAL;
	if (flush == FLUSH_BUILTIN && layer.has_builtin_flush)
		hal.flags |= AXAS_HAL_BUILTIN_FLUSH;
	else if (flush == FLUSH_NOTHING)
		hal.tlb_flush = flush_nothing;
	else if (flush == FLUSH_HERE_ONLY)
		hal.tlb_flush = flush_here_only;
	else
		hal.tlb_flush = flush_by_host;

	status = axas_create(&config, &hal, &space);
	if (status == AXAS_OK)
		status = axas_hw_regs(space, &registers);
	if (status != AXAS_OK) {
		must("a space", status);
		machine_exit(1);
	}
	look_at_root(&registers);
	look_at_config(config, &registers);
	must("the guest's code",
	     axas_map_linear(space, GPA_CODE, (uintptr_t)guest_program, PAGE, RX));
	must("the mailbox", axas_map_linear(space, GPA_MAILBOX, (uintptr_t)mailbox_page, PAGE, RW));
	must("what this machine's guest needs", layer_map(space));
	guest = layer_load(0, &registers);
}

void space_open_full(void)
{
	space_open(layer.space_size, layer.features, 0, FLUSH_BUILTIN);
}

void space_close(void)
{
	layer_unload(0);
	axas_destroy(space);
	space = NULL;
	check("all table frames came back", pool_frames_out(AXAS_FRAME_TABLE), 0);
	check("the root came back as one", pool_frames_out(AXAS_FRAME_ROOT), 0);
	check("all guest frames came back", pool_frames_out(AXAS_FRAME_GUEST), 0);
}
