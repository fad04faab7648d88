/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The interface as hosts were promised it: every prototype exactly, every value, every layout. It
 * fails to compile when one changes and fails to link when the archive lacks a function.
 */
#include <stddef.h>
#include <stdio.h>

#include "axaddrspace.h"

#define HAS_TYPE(function, ...) \
	_Static_assert(_Generic(&function, __VA_ARGS__ : 1, default : 0), #function)
#define IS(name, value)   _Static_assert((name) == (value), #name)
#define IS_UNSIGNED(name) _Static_assert(_Generic((name), unsigned int : 1, default : 0), #name)
#define AFTER(type, earlier, later)                                              \
	_Static_assert(offsetof(type, earlier) + sizeof(((type *)0)->earlier) == \
			       offsetof(type, later),                            \
		       #type "." #later)
#define FIRST(type, member) _Static_assert(offsetof(type, member) == 0, #type "." #member)

/* life cycle */
HAS_TYPE(axas_create, axas_status_t (*)(const axas_config_t *, const axas_hal_t *, axas_t **));
HAS_TYPE(axas_create_in,
	 axas_status_t (*)(void *, size_t, const axas_config_t *, const axas_hal_t *, axas_t **));
HAS_TYPE(axas_destroy, void (*)(axas_t *));
HAS_TYPE(axas_clear, axas_status_t (*)(axas_t *));
HAS_TYPE(axas_set_vmid, axas_status_t (*)(axas_t *, uint32_t));
HAS_TYPE(axas_base, uint64_t (*)(const axas_t *));
HAS_TYPE(axas_size, uint64_t (*)(const axas_t *));
HAS_TYPE(axas_levels, uint32_t (*)(const axas_t *));
HAS_TYPE(axas_root, uint64_t (*)(const axas_t *));
HAS_TYPE(axas_contains_range, uint32_t (*)(const axas_t *, uint64_t, uint64_t));
HAS_TYPE(axas_hw_regs, int32_t (*)(const axas_t *, axas_hw_regs_t *));
HAS_TYPE(axas_config_regs, int32_t (*)(const axas_config_t *, axas_hw_regs_t *));
HAS_TYPE(axas_arena_init, int32_t (*)(axas_arena_t *));
HAS_TYPE(axas_arena_add, int32_t (*)(axas_arena_t *, void *, uint64_t, size_t));
HAS_TYPE(axas_arena_hal, int32_t (*)(axas_arena_t *, axas_hal_t *));
HAS_TYPE(axas_arena_hal_tables, int32_t (*)(axas_arena_t *, axas_hal_t *));
/* mapping */
HAS_TYPE(axas_map_linear, int32_t (*)(axas_t *, uint64_t, uint64_t, uint64_t, uint32_t));
HAS_TYPE(axas_map_extents,
	 int32_t (*)(axas_t *, uint64_t, const axas_extent_t *, size_t, uint32_t));
HAS_TYPE(axas_map_alloc, int32_t (*)(axas_t *, uint64_t, uint64_t, uint32_t));
HAS_TYPE(axas_map_trap, int32_t (*)(axas_t *, uint64_t, uint64_t, uint64_t));
HAS_TYPE(axas_map_trap_flags, int32_t (*)(axas_t *, uint64_t, uint64_t, uint64_t, uint32_t));
HAS_TYPE(axas_unmap, int32_t (*)(axas_t *, uint64_t, uint64_t));
HAS_TYPE(axas_protect, int32_t (*)(axas_t *, uint64_t, uint64_t, uint32_t));
HAS_TYPE(axas_populate, int32_t (*)(axas_t *, uint64_t, uint64_t));
HAS_TYPE(axas_discard, int32_t (*)(axas_t *, uint64_t, uint64_t));
HAS_TYPE(axas_collect, int32_t (*)(axas_t *, uint64_t, uint64_t));
HAS_TYPE(axas_stock, int32_t (*)(axas_t *, uint32_t));
HAS_TYPE(axas_transfer,
	 int32_t (*)(axas_t *, uint64_t, axas_t *, uint64_t, uint64_t, const axas_transfer_t *));
HAS_TYPE(axas_transfer_some, int32_t (*)(axas_t *, uint64_t, axas_t *, uint64_t, uint64_t,
					 const axas_transfer_t *, uint64_t, uint64_t *));
HAS_TYPE(axas_map_provider, int32_t (*)(axas_t *, uint64_t, uint64_t, uint32_t, uint32_t));
HAS_TYPE(axas_supply, int32_t (*)(axas_t *, uint64_t, uint64_t, uint64_t, uint32_t, uint32_t));
HAS_TYPE(axas_evict, int32_t (*)(axas_t *, uint64_t, uint64_t, uint32_t));
HAS_TYPE(axas_evict_some,
	 int32_t (*)(axas_t *, uint64_t, uint64_t, uint32_t, uint64_t, uint64_t *));
HAS_TYPE(axas_hide, int32_t (*)(axas_t *, uint64_t, uint64_t, uint32_t));
HAS_TYPE(axas_show, int32_t (*)(axas_t *, uint64_t, uint64_t));
HAS_TYPE(axas_map_note, int32_t (*)(axas_t *, uint64_t, uint64_t, uint32_t, uint32_t));
HAS_TYPE(axas_hide_some, int32_t (*)(axas_t *, uint64_t, uint64_t, uint32_t, uint64_t, uint64_t *));
HAS_TYPE(axas_show_some, int32_t (*)(axas_t *, uint64_t, uint64_t, uint64_t, uint64_t *));
HAS_TYPE(axas_map_note_some,
	 int32_t (*)(axas_t *, uint64_t, uint64_t, uint32_t, uint32_t, uint64_t, uint64_t *));
HAS_TYPE(axas_tag_bits, uint32_t (*)(const axas_t *));
HAS_TYPE(axas_retag, int32_t (*)(axas_t *, uint64_t, uint64_t, uint32_t));
HAS_TYPE(axas_retag_some,
	 int32_t (*)(axas_t *, uint64_t, uint64_t, uint32_t, uint64_t, uint64_t *));
HAS_TYPE(axas_handle_page_fault_at, uint32_t (*)(axas_t *, uint64_t, uint32_t, axas_mapping_t *));
HAS_TYPE(axas_merge, int32_t (*)(axas_t *, uint64_t, uint64_t, uint32_t, uint64_t *));
HAS_TYPE(axas_merge_some,
	 int32_t (*)(axas_t *, uint64_t, uint64_t, uint32_t, uint64_t *, uint64_t, uint64_t *));
HAS_TYPE(axas_copy, int32_t (*)(axas_t *, uint64_t, axas_t *, uint64_t, uint64_t, const uint64_t *,
				size_t, uint64_t *));
HAS_TYPE(axas_dirty_start, int32_t (*)(axas_t *, uint64_t, uint64_t, uint32_t));
HAS_TYPE(axas_dirty_get, int32_t (*)(axas_t *, uint64_t, uint64_t, uint64_t *, size_t, uint64_t *));
HAS_TYPE(axas_dirty_clear,
	 int32_t (*)(axas_t *, uint64_t, uint64_t, const uint64_t *, size_t, uint32_t));
HAS_TYPE(axas_dirty_collect,
	 int32_t (*)(axas_t *, uint64_t, uint64_t, uint64_t *, size_t, uint32_t, uint64_t *));
HAS_TYPE(axas_dirty_mark, int32_t (*)(axas_t *, uint64_t, uint64_t));
HAS_TYPE(axas_dirty_stop, int32_t (*)(axas_t *, uint64_t, uint64_t));
HAS_TYPE(axas_dirty_start_some,
	 int32_t (*)(axas_t *, uint64_t, uint64_t, uint32_t, uint64_t, uint64_t *));
HAS_TYPE(axas_dirty_clear_some, int32_t (*)(axas_t *, uint64_t, uint64_t, const uint64_t *, size_t,
					    uint32_t, uint64_t, uint64_t *));
HAS_TYPE(axas_dirty_collect_some, int32_t (*)(axas_t *, uint64_t, uint64_t, uint64_t *, size_t,
					      uint32_t, uint64_t *, uint64_t, uint64_t *));
HAS_TYPE(axas_dirty_stop_some, int32_t (*)(axas_t *, uint64_t, uint64_t, uint64_t, uint64_t *));
HAS_TYPE(axas_age,
	 int32_t (*)(axas_t *, uint64_t, uint64_t, uint64_t *, size_t, uint32_t, uint64_t *));
HAS_TYPE(axas_age_stop, int32_t (*)(axas_t *, uint64_t, uint64_t));
HAS_TYPE(axas_age_some, int32_t (*)(axas_t *, uint64_t, uint64_t, uint64_t *, size_t, uint32_t,
				    uint64_t *, uint64_t, uint64_t *));
HAS_TYPE(axas_age_stop_some, int32_t (*)(axas_t *, uint64_t, uint64_t, uint64_t, uint64_t *));
HAS_TYPE(axas_map_linear_some,
	 int32_t (*)(axas_t *, uint64_t, uint64_t, uint64_t, uint32_t, uint64_t, uint64_t *));
HAS_TYPE(axas_map_alloc_some,
	 int32_t (*)(axas_t *, uint64_t, uint64_t, uint32_t, uint64_t, uint64_t *));
HAS_TYPE(axas_unmap_some, int32_t (*)(axas_t *, uint64_t, uint64_t, uint64_t, uint64_t *));
HAS_TYPE(axas_protect_some,
	 int32_t (*)(axas_t *, uint64_t, uint64_t, uint32_t, uint64_t, uint64_t *));
HAS_TYPE(axas_populate_some, int32_t (*)(axas_t *, uint64_t, uint64_t, uint64_t, uint64_t *));
HAS_TYPE(axas_discard_some, int32_t (*)(axas_t *, uint64_t, uint64_t, uint64_t, uint64_t *));
HAS_TYPE(axas_collect_some, int32_t (*)(axas_t *, uint64_t, uint64_t, uint64_t, uint64_t *));
HAS_TYPE(axas_tables_needed,
	 int32_t (*)(const axas_config_t *, uint64_t, uint64_t, uint32_t, uint64_t *));
HAS_TYPE(axas_audit, int32_t (*)(const axas_t *));
/* faults and looking */
HAS_TYPE(axas_handle_page_fault, uint32_t (*)(axas_t *, uint64_t, uint32_t));
HAS_TYPE(axas_fault_resumes, uint32_t (*)(uint32_t));
HAS_TYPE(axas_trap_cookie, int32_t (*)(const axas_t *, uint64_t, uint64_t *));
HAS_TYPE(axas_translate, int32_t (*)(const axas_t *, uint64_t, uint64_t *, uint64_t *));
HAS_TYPE(axas_query, int32_t (*)(const axas_t *, uint64_t, axas_mapping_t *));
HAS_TYPE(axas_stats, int32_t (*)(const axas_t *, axas_stats_t *));
HAS_TYPE(axas_fault_from_arm, int32_t (*)(uint64_t, uint64_t, uint64_t, axas_fault_t *));
HAS_TYPE(axas_fault_from_ept, int32_t (*)(uint32_t, uint64_t, uint64_t, axas_fault_t *));
HAS_TYPE(axas_fault_from_npf, int32_t (*)(uint64_t, uint64_t, axas_fault_t *));
HAS_TYPE(axas_fault_from_riscv,
	 int32_t (*)(uint64_t, uint64_t, uint64_t, uint64_t, axas_fault_t *));
HAS_TYPE(axas_for_each, int32_t (*)(const axas_t *, uint64_t, uint64_t,
				    uint32_t (*)(void *, const axas_mapping_t *), void *));
HAS_TYPE(axas_dump, int32_t (*)(const axas_t *, void (*)(void *, const char *, size_t), void *));
/* where devices answer */
HAS_TYPE(axas_width_from_bytes, int32_t (*)(uint64_t, uint32_t *));
HAS_TYPE(axas_width_mask, uint64_t (*)(uint32_t));
HAS_TYPE(axas_mmio_range, int32_t (*)(uint64_t, uint64_t, axas_mmio_range_t *));
HAS_TYPE(axas_mmio_contains, uint32_t (*)(const axas_mmio_range_t *, uint64_t, uint32_t));
HAS_TYPE(axas_mmio_overlaps, uint32_t (*)(const axas_mmio_range_t *, const axas_mmio_range_t *));
HAS_TYPE(axas_port_range, int32_t (*)(uint16_t, uint16_t, axas_port_range_t *));
HAS_TYPE(axas_port_contains, uint32_t (*)(const axas_port_range_t *, uint16_t, uint32_t));
HAS_TYPE(axas_port_overlaps, uint32_t (*)(const axas_port_range_t *, const axas_port_range_t *));
HAS_TYPE(axas_sysreg_range, int32_t (*)(uint32_t, uint32_t, axas_sysreg_range_t *));
HAS_TYPE(axas_sysreg_contains, uint32_t (*)(const axas_sysreg_range_t *, uint32_t));
HAS_TYPE(axas_sysreg_overlaps,
	 uint32_t (*)(const axas_sysreg_range_t *, const axas_sysreg_range_t *));
/* frames of the host's own */
HAS_TYPE(axas_frame_alloc, int32_t (*)(const axas_hal_t *, uint32_t, uint32_t, axas_frame_t *));
HAS_TYPE(axas_frame_release, int32_t (*)(const axas_hal_t *, axas_frame_t *));
HAS_TYPE(axas_frame_fill, int32_t (*)(const axas_hal_t *, const axas_frame_t *, uint8_t));
/* around */
HAS_TYPE(axas_status_str, const char *(*)(int32_t));
HAS_TYPE(axas_version, uint32_t (*)(void));
HAS_TYPE(axas_parts, uint32_t (*)(void));
HAS_TYPE(axas_set_logger,
	 void (*)(void (*)(void *, uint32_t, const char *, const char *), void *, uint32_t));

/* values */
IS(AXAS_OK, 0);
IS(AXAS_ERR_INVALID_INPUT, -1);
IS(AXAS_ERR_ALREADY_EXISTS, -2);
IS(AXAS_ERR_NO_MEMORY, -3);
IS(AXAS_ERR_NOT_MAPPED, -4);
IS(AXAS_ERR_DENIED, -5);
IS(AXAS_ERR_UNSUPPORTED, -6);
IS(AXAS_ERR_BAD_STATE, -7);
IS(AXAS_ERR_AGAIN, -8);
IS(AXAS_FORMAT_NATIVE, 0);
IS(AXAS_FORMAT_EPT, 1);
IS(AXAS_FORMAT_NPT, 2);
IS(AXAS_FORMAT_ARM_S2, 3);
IS(AXAS_FORMAT_RISCV_GSTAGE, 4);
IS(AXAS_STATE_ABSENT, 0);
IS(AXAS_STATE_RESERVED, 1);
IS(AXAS_STATE_TRAP, 2);
IS(AXAS_STATE_LINEAR, 3);
IS(AXAS_STATE_OWNED, 4);
IS(AXAS_STATE_HIDDEN, 5);
IS(AXAS_STATE_NOTE, 6);
IS(AXAS_STATE_PROVIDED, 7);
IS(AXAS_FAULT_RESOLVED, 0);
IS(AXAS_FAULT_SPURIOUS, 1);
IS(AXAS_FAULT_RETRY, 2);
IS(AXAS_FAULT_TRAP, 3);
IS(AXAS_FAULT_UNMAPPED, 4);
IS(AXAS_FAULT_DENIED, 5);
IS(AXAS_FAULT_NO_MEMORY, 6);
IS(AXAS_FAULT_ERROR, 7);
IS(AXAS_FAULT_WAIT, 8);
IS(AXAS_FAULT_HIDDEN, 9);
IS(AXAS_HIDE_AUTO, 1);
IS(AXAS_PART_WINDOWS, 65536);
IS(AXAS_PART_REPLACE, 131072);
IS(AXAS_PART_KEEP, 262144);
IS(AXAS_PART_POPULATE, 524288);
IS(AXAS_PART_RELEASED, 1048576);
IS(AXAS_PART_HIDE, 16);
IS(AXAS_PART_TRANSFER, 32);
IS(AXAS_PART_MERGE, 64);
IS(AXAS_MERGE_COPY, 0x800000);
IS(AXAS_PART_PROVIDER, 128);
IS(AXAS_RESOLVE_LATER, 0);
IS(AXAS_RESOLVE_NOW, 1);
IS(AXAS_RESOLVE_GIVEN, 2);
IS(AXAS_RESOLVE_ALLOC, 3);
IS(AXAS_RESOLVE_REFUSE, 4);
IS(AXAS_GIVE, 1);
IS(AXAS_LEND, 2);
IS(AXAS_SHARE, 3);
IS(AXAS_TAKE_BACK, 4);
IS(AXAS_WIPE, 1);
IS(AXAS_READ, 1);
IS(AXAS_WRITE, 2);
IS(AXAS_EXECUTE, 4);
IS(AXAS_USER, 8);
IS(AXAS_DEVICE, 16);
IS(AXAS_UNCACHED, 32);
IS(AXAS_FRAME_TABLE, 1);
IS(AXAS_FRAME_GUEST, 2);
IS(AXAS_FRAME_HOST, 3);
IS(AXAS_FRAME_ROOT, 4);
IS(AXAS_WIDTH_8, 1);
IS(AXAS_WIDTH_16, 2);
IS(AXAS_WIDTH_32, 4);
IS(AXAS_WIDTH_64, 8);
IS(AXAS_HAL_DIRECT_MAP, 1);
IS(AXAS_HAL_DIRECT_MAP_LINEAR, 2);
IS(AXAS_HAL_BUILTIN_FLUSH, 4);
IS(AXAS_HAL_TABLES_STAY_READABLE, 8);
IS(AXAS_HAL_BUILTIN_LOCAL, 16);
IS(AXAS_FLUSH_UNMAP, 1);
IS(AXAS_FLUSH_TIGHTEN, 2);
IS(AXAS_FLUSH_RELAX, 3);
IS(AXAS_FLUSH_NEW, 4);
IS(AXAS_FLUSH_BREAK, 5);
IS(AXAS_FLUSH_CLEAN, 6);
IS(AXAS_DIRTY_HARDWARE, 1);
IS(AXAS_DIRTY_ALL, 2);
IS(AXAS_DIRTY_SPLIT, 4);
IS(AXAS_AGE_TEST, 1);
IS(AXAS_AGE_NO_FLUSH, 2);
IS(AXAS_FEATURE_ARM_HAF, 4096);
IS(AXAS_FEATURE_IO_DIRTY, 32768);
IS(AXAS_PART_AGE, 256);
IS(AXAS_PART_STOCK, 2);
IS(AXAS_PART_DIRTY, 8);
IS(AXAS_SCOPE_ALL, 0);
IS(AXAS_SCOPE_LOCAL, 1);
IS(AXAS_CALLER_LOCKED, 1);
IS(AXAS_FRAMES_ARE_ZEROED, 2);
IS(AXAS_NO_ZERO, 4);
IS(AXAS_NONCOHERENT_WALK, 8);
IS(AXAS_NO_WAIT, 16);
IS(AXAS_IO, 32);
IS(AXAS_KEEP_TABLES, 64);
IS(AXAS_SMALL_EXEC, 128);
IS(AXAS_IGNORE_GUEST_PAT, 256);
IS(AXAS_PART_IO, 4);
IS(AXAS_FEATURE_IO_CACHES_INVALID, 16384);
IS(AXAS_FEATURE_IO_COHERENT, 65536);
IS(AXAS_FEATURE_IO_FAULTS, 131072);
IS(AXAS_SKIP_ZERO, 0x10000000);
IS(AXAS_PART_TAGS, 1);
IS(AXAS_TAG_SHIFT, 24);
IS(AXAS_TAG_MASK, 0x0f000000);
IS(AXAS_FEATURE_RISCV_SVRSW60T59B, 8192);
IS(AXAS_NEEDS_NO_PBHA, 128);
IS(AXAS_PAGE_SIZE, 4096);
IS(AXAS_HPA_INVALID, ~0ull);
IS_UNSIGNED(AXAS_READ);
IS_UNSIGNED(AXAS_POPULATE);
IS_UNSIGNED(AXAS_FORMAT_EPT);
IS_UNSIGNED(AXAS_FAULT_ERROR);
IS_UNSIGNED(AXAS_HAL_DIRECT_MAP);
IS_UNSIGNED(AXAS_VERSION_MAJOR);

/* memory types in bits 8-15, options in bits 16-23, one bit each */
#define MEMORY_TYPES                                                                       \
	(AXAS_WRITE_COMBINE + AXAS_WRITE_THROUGH + AXAS_DEVICE_NGNRNE + AXAS_DEVICE_NGRE + \
	 AXAS_DEVICE_GRE)
#define OPTIONS                                                                              \
	(AXAS_POPULATE + AXAS_NO_HUGE + AXAS_MAX_2M + AXAS_HUGE_FRAMES + AXAS_NO_HUGE_EXEC + \
	 AXAS_REPLACE + AXAS_NEED_LAZY)
IS(MEMORY_TYPES & ~0xff00u, 0);
IS(OPTIONS & ~0xff0000u, 0);
IS(MEMORY_TYPES, AXAS_WRITE_COMBINE | AXAS_WRITE_THROUGH | AXAS_DEVICE_NGNRNE | AXAS_DEVICE_NGRE |
			 AXAS_DEVICE_GRE);
IS(OPTIONS, AXAS_POPULATE | AXAS_NO_HUGE | AXAS_MAX_2M | AXAS_HUGE_FRAMES | AXAS_NO_HUGE_EXEC |
		    AXAS_REPLACE | AXAS_NEED_LAZY);
IS(__builtin_popcount(MEMORY_TYPES), 5);
IS(__builtin_popcount(OPTIONS), 7);

/* layouts */
FIRST(axas_config_t, struct_size);
AFTER(axas_config_t, struct_size, format);
AFTER(axas_config_t, format, levels);
AFTER(axas_config_t, levels, pa_bits);
AFTER(axas_config_t, pa_bits, base);
AFTER(axas_config_t, base, size);
AFTER(axas_config_t, size, vmid);
AFTER(axas_config_t, vmid, features);
AFTER(axas_config_t, features, options);
AFTER(axas_config_t, options, table_quota);
AFTER(axas_config_t, table_quota, gpa_bits);
AFTER(axas_config_t, gpa_bits, reserved);
IS(sizeof(axas_config_t), 56);
FIRST(axas_hal_t, struct_size);
AFTER(axas_hal_t, struct_size, flags);
AFTER(axas_hal_t, flags, ctx);
AFTER(axas_hal_t, ctx, alloc_frame);
AFTER(axas_hal_t, alloc_frame, dealloc_frame);
AFTER(axas_hal_t, dealloc_frame, phys_to_virt);
AFTER(axas_hal_t, phys_to_virt, release_virt);
AFTER(axas_hal_t, release_virt, direct_map_offset);
AFTER(axas_hal_t, direct_map_offset, tlb_flush);
AFTER(axas_hal_t, tlb_flush, clean_range);
AFTER(axas_hal_t, clean_range, should_yield);
AFTER(axas_hal_t, should_yield, relax);
AFTER(axas_hal_t, relax, released);
AFTER(axas_hal_t, released, arena);
AFTER(axas_hal_t, arena, may_move);
AFTER(axas_hal_t, may_move, resolve);
AFTER(axas_hal_t, resolve, evicted);
IS(sizeof(axas_hal_t), 128);
FIRST(axas_supply_t, hpa);
AFTER(axas_supply_t, hpa, size);
AFTER(axas_supply_t, size, flags);
AFTER(axas_supply_t, flags, reserved);
IS(sizeof(axas_supply_t), 24);
FIRST(axas_tlb_request_t, gpa);
AFTER(axas_tlb_request_t, gpa, size);
AFTER(axas_tlb_request_t, size, vmid);
AFTER(axas_tlb_request_t, vmid, level);
AFTER(axas_tlb_request_t, level, tables_removed);
AFTER(axas_tlb_request_t, tables_removed, reason);
AFTER(axas_tlb_request_t, reason, scope);
AFTER(axas_tlb_request_t, scope, reserved);
IS(sizeof(axas_tlb_request_t), 40);
FIRST(axas_mapping_t, gpa);
AFTER(axas_mapping_t, gpa, size);
AFTER(axas_mapping_t, size, hpa);
AFTER(axas_mapping_t, hpa, cookie);
AFTER(axas_mapping_t, cookie, flags);
AFTER(axas_mapping_t, flags, state);
AFTER(axas_mapping_t, state, level);
AFTER(axas_mapping_t, level, reserved0);
AFTER(axas_mapping_t, reserved0, reserved);
IS(offsetof(axas_mapping_t, level), 40);
IS(sizeof(axas_mapping_t), 64);
FIRST(axas_hw_regs_t, format);
AFTER(axas_hw_regs_t, format, levels);
AFTER(axas_hw_regs_t, levels, root);
AFTER(axas_hw_regs_t, root, root_register);
AFTER(axas_hw_regs_t, root_register, control_register);
AFTER(axas_hw_regs_t, control_register, gpa_bits);
AFTER(axas_hw_regs_t, gpa_bits, pa_bits);
AFTER(axas_hw_regs_t, pa_bits, root_bytes);
AFTER(axas_hw_regs_t, root_bytes, required_state);
AFTER(axas_hw_regs_t, required_state, reserved);
IS(sizeof(axas_hw_regs_t), 80);
FIRST(axas_stats_t, table_frames);
AFTER(axas_stats_t, table_frames, guest_frames);
AFTER(axas_stats_t, guest_frames, mapped_4k);
AFTER(axas_stats_t, mapped_4k, mapped_2m);
AFTER(axas_stats_t, mapped_2m, mapped_1g);
AFTER(axas_stats_t, mapped_1g, faults_resolved);
AFTER(axas_stats_t, faults_resolved, faults_spurious);
AFTER(axas_stats_t, faults_spurious, faults_retry);
AFTER(axas_stats_t, faults_retry, faults_trap);
AFTER(axas_stats_t, faults_trap, faults_unmapped);
AFTER(axas_stats_t, faults_unmapped, faults_denied);
AFTER(axas_stats_t, faults_denied, faults_no_memory);
AFTER(axas_stats_t, faults_no_memory, faults_error);
AFTER(axas_stats_t, faults_error, tlb_requests);
AFTER(axas_stats_t, tlb_requests, frames_allocated);
AFTER(axas_stats_t, frames_allocated, frames_released);
AFTER(axas_stats_t, frames_released, faults_wait);
AFTER(axas_stats_t, faults_wait, faults_marked);
AFTER(axas_stats_t, faults_marked, pages_cleaned);
AFTER(axas_stats_t, pages_cleaned, splits);
AFTER(axas_stats_t, splits, merges);
AFTER(axas_stats_t, merges, reserved);
IS(sizeof(axas_stats_t), 24 * 8);
FIRST(axas_extent_t, hpa);
AFTER(axas_extent_t, hpa, size);
FIRST(axas_transfer_t, struct_size);
AFTER(axas_transfer_t, struct_size, action);
AFTER(axas_transfer_t, action, from_flags);
AFTER(axas_transfer_t, from_flags, to_flags);
AFTER(axas_transfer_t, to_flags, from_tags);
AFTER(axas_transfer_t, from_tags, to_tags);
AFTER(axas_transfer_t, to_tags, note);
AFTER(axas_transfer_t, note, options);
FIRST(axas_fault_t, gpa);
AFTER(axas_fault_t, gpa, gva);
AFTER(axas_fault_t, gva, access);
AFTER(axas_fault_t, access, kind);
AFTER(axas_fault_t, kind, valid);
AFTER(axas_fault_t, valid, level);
AFTER(axas_fault_t, level, reserved);

/* Addresses of all functions: the archive has to supply them. */
typedef void (*any_function)(void);
static const any_function functions[] = {
	(any_function)axas_create,
	(any_function)axas_create_in,
	(any_function)axas_destroy,
	(any_function)axas_clear,
	(any_function)axas_set_vmid,
	(any_function)axas_base,
	(any_function)axas_size,
	(any_function)axas_levels,
	(any_function)axas_root,
	(any_function)axas_contains_range,
	(any_function)axas_hw_regs,
	(any_function)axas_config_regs,
	(any_function)axas_arena_init,
	(any_function)axas_arena_add,
	(any_function)axas_arena_hal,
	(any_function)axas_arena_hal_tables,
	(any_function)axas_width_from_bytes,
	(any_function)axas_width_mask,
	(any_function)axas_mmio_range,
	(any_function)axas_mmio_contains,
	(any_function)axas_mmio_overlaps,
	(any_function)axas_port_range,
	(any_function)axas_port_contains,
	(any_function)axas_port_overlaps,
	(any_function)axas_sysreg_range,
	(any_function)axas_sysreg_contains,
	(any_function)axas_sysreg_overlaps,
	(any_function)axas_frame_alloc,
	(any_function)axas_frame_release,
	(any_function)axas_frame_fill,
	(any_function)axas_map_linear,
	(any_function)axas_map_extents,
	(any_function)axas_map_alloc,
	(any_function)axas_map_trap,
	(any_function)axas_unmap,
	(any_function)axas_protect,
	(any_function)axas_populate,
	(any_function)axas_discard,
	(any_function)axas_map_linear_some,
	(any_function)axas_map_alloc_some,
	(any_function)axas_unmap_some,
	(any_function)axas_protect_some,
	(any_function)axas_populate_some,
	(any_function)axas_discard_some,
	(any_function)axas_tables_needed,
	(any_function)axas_audit,
	(any_function)axas_handle_page_fault,
	(any_function)axas_fault_resumes,
	(any_function)axas_trap_cookie,
	(any_function)axas_translate,
	(any_function)axas_query,
	(any_function)axas_stats,
	(any_function)axas_fault_from_arm,
	(any_function)axas_fault_from_ept,
	(any_function)axas_fault_from_npf,
	(any_function)axas_fault_from_riscv,
	(any_function)axas_for_each,
	(any_function)axas_dump,
	(any_function)axas_status_str,
	(any_function)axas_version,
	(any_function)axas_parts,
	(any_function)axas_set_logger,
};

int main(void)
{
	size_t missing = 0;

	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
		missing += functions[i] == NULL;
	printf("%zu functions, %zu missing\n", sizeof(functions) / sizeof(functions[0]), missing);
	return missing != 0;
}
