// SPDX-License-Identifier: MIT OR Apache-2.0
use super::{axas_t, put, refused, space, told};
use crate::abi::*;
use crate::address_space::{AddressSpace, Slices};
use crate::error::{Error, Result};

/// Maps frames of the host: guest address gpa + k is at host address hpa + k.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param hpa First host-physical address, a multiple of 4096; above or below gpa.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param flags Permissions, at most one memory type, a tag (AXAS_TAG_MASK), and of the options AXAS_NO_HUGE,
///   AXAS_MAX_2M, AXAS_NO_HUGE_EXEC, AXAS_REPLACE.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, unknown bits, two memory types, no permission (without part `hide`), an
///     option that does not apply, unaligned, size 0, overflow, outside the space, host addresses above
///     pa_bits, with AXAS_REPLACE a frame of the library that is mapped in the range;
///   AXAS_ERR_UNSUPPORTED: permissions or memory type that the format cannot express, a tag above
///     axas_tag_bits; AXAS_REPLACE in a space with AXAS_IO (unless AXAS_FEATURE_IO_FAULTS), or in an archive
///     without AXAS_PART_REPLACE;
///   AXAS_ERR_ALREADY_EXISTS: the range is not empty, without AXAS_REPLACE;
///   AXAS_ERR_NO_MEMORY: no frames for tables, or table_quota;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// Uses the largest pages (4 KiB, 2 MiB, 1 GiB) that both addresses, the rest of the range, the features and
/// the options allow. The frames stay the host's and are never freed here. Nothing changes on error. The
/// library cannot know whether a frame is a table of this space; a guest that gets one can write its own
/// translations. The host's page allocator must rule that out; axas_audit finds it.
///
/// With part `hide` pages may have no permission: each access is AXAS_FAULT_DENIED, axas_query reports
/// AXAS_STATE_LINEAR, axas_translate returns AXAS_ERR_NOT_MAPPED where the format has no such leaf (EPT, NPT,
/// RISC-V).
///
/// AXAS_REPLACE replaces whatever is mapped, reserved or a trap in the range, atomically for vCPUs and callers:
/// a fault meanwhile returns AXAS_FAULT_RETRY; axas_translate, axas_query and the copies find the old page or
/// the new one, or wait, with the lock and without it (AXAS_HAL_TABLES_STAY_READABLE). The entry of a page of
/// the same size is exchanged: no frame is taken, and a range of such pages cannot fail for memory. Tables for
/// the rest are allocated before anything changes, never more than axas_tables_needed returns. Replaced pages
/// are flushed (AXAS_FLUSH_UNMAP, AXAS_SCOPE_ALL, once; on Arm between the old entry and the new one, as
/// break-before-make requires), then released or freed; nothing is flushed where no entry was valid. A page
/// that is mapped to the same frame again is not released.
///
/// Lock class: exclusive. Callbacks: alloc_frame, dealloc_frame, phys_to_virt, release_virt,
/// clean_range, relax; tlb_flush once, AXAS_FLUSH_NEW, on RISC-V without Svvptc; with AXAS_REPLACE also
/// those of axas_unmap.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_map_linear(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    hpa: axas_hpa_t,
    size: u64,
    flags: axas_flags_t,
) -> axas_status_t {
    // SAFETY: the handle is null or live.
    let outcome =
        unsafe { self::space(space) }.and_then(|space| space.map_linear(gpa, hpa, size, flags));
    told("axas_map_linear", [gpa, hpa, size, flags.into()], outcome)
}

/// Maps scattered frames of the host to contiguous guest addresses, all or nothing.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param extents The frames in guest-physical order; must not change during the call.
/// @param count Number of extents, not 0.
/// @param flags Permissions, at most one memory type, a tag (AXAS_TAG_MASK), and of the options AXAS_NO_HUGE,
///   AXAS_MAX_2M, AXAS_NO_HUGE_EXEC.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, unknown bits, two memory types, no permission (without part `hide`), an
///     option that does not apply, unaligned, count 0, an empty extent, overflow, outside the space, host
///     addresses above pa_bits;
///   AXAS_ERR_UNSUPPORTED: permissions or memory type that the format cannot express, a tag above axas_tag_bits;
///   AXAS_ERR_ALREADY_EXISTS: the range is not empty;
///   AXAS_ERR_NO_MEMORY: no frames for tables, or table_quota;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// Nothing changes on error. Otherwise as axas_map_linear. Lock class: exclusive. Callbacks: as
/// axas_map_linear.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_map_extents(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    extents: *const axas_extent_t,
    count: usize,
    flags: axas_flags_t,
) -> axas_status_t {
    let arguments = [gpa, count as u64, flags.into()];
    if extents.is_null() || !extents.is_aligned() || count > isize::MAX as usize / 16 {
        return refused("axas_map_extents", arguments, Error::InvalidInput);
    }
    // SAFETY: 1. not null, aligned, below `isize::MAX` bytes; 2. by the caller's promise there are
    // `count` of them and they do not change during the call.
    let extents = unsafe { core::slice::from_raw_parts(extents, count) };
    // SAFETY: the handle is null or live.
    let outcome =
        unsafe { self::space(space) }.and_then(|space| space.map_extents(gpa, extents, flags));
    told("axas_map_extents", arguments, outcome)
}

/// Maps memory that the library allocates with alloc_frame: on the first access, or at once with AXAS_POPULATE.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param flags Permissions, at most one memory type, a tag (AXAS_TAG_MASK), and of the options AXAS_POPULATE,
///   AXAS_NO_HUGE, AXAS_MAX_2M, AXAS_HUGE_FRAMES (not with AXAS_NO_HUGE), AXAS_NO_HUGE_EXEC, AXAS_REPLACE,
///   AXAS_SKIP_ZERO.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, unknown bits, two memory types, no permission, an option that does not
///     apply, unaligned, size 0, overflow, outside the space;
///   AXAS_ERR_UNSUPPORTED: permissions or memory type that the format cannot express, a tag above
///     axas_tag_bits; in a space with AXAS_IO AXAS_REPLACE (unless AXAS_FEATURE_IO_FAULTS), or no
///     AXAS_POPULATE; AXAS_REPLACE or AXAS_POPULATE in an archive without that part;
///   AXAS_ERR_ALREADY_EXISTS: the range is not empty, without AXAS_REPLACE;
///   AXAS_ERR_NO_MEMORY: no frames for tables or memory, or table_quota;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// The guest reads zeroes (unless AXAS_NO_ZERO or AXAS_SKIP_ZERO). A lazy reservation takes no guest frames and
/// only the tables on its two edges, at most 2 * (levels - 1) besides the root, for any size. Nothing changes
/// on error; with AXAS_POPULATE a failure may have flushed.
///
/// AXAS_REPLACE as in axas_map_linear: an emulated device becomes memory and no fault meanwhile is
/// AXAS_FAULT_UNMAPPED. Frames of the library that were mapped in the range are freed after the flush, and the
/// guest finds zeroes; those of the host are released. With AXAS_POPULATE all frames are taken before the first
/// page is replaced, none larger than 2 MiB.
///
/// Lock class: exclusive. Callbacks: as axas_map_linear.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_map_alloc(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
    flags: axas_flags_t,
) -> axas_status_t {
    // SAFETY: the handle is null or live.
    let outcome = unsafe { self::space(space) }.and_then(|space| space.map_alloc(gpa, size, flags));
    told("axas_map_alloc", [gpa, size, flags.into()], outcome)
}

/// Marks an emulated device: every access faults with AXAS_FAULT_TRAP.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param cookie What axas_trap_cookie and axas_query return for it; up to 2^32 - 1: an index into a table of
///   the host, not a pointer.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, unaligned, size 0, overflow, outside the space;
///   AXAS_ERR_UNSUPPORTED: a cookie above 2^32 - 1;
///   AXAS_ERR_ALREADY_EXISTS: the range is not empty;
///   AXAS_ERR_NO_MEMORY: no frames for tables, or table_quota;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// Cookies have 32 bits on every format because an EPT entry has room for no more. The entry is not present,
/// but a CPU with the L1 terminal fault (CVE-2018-3646) may speculatively read what its cache holds at the
/// address in it. So the upper bits of that address are ones, where no memory is, and a pointer does not fit
/// into the rest. Keep the pointers in a table, as examples/glue_bao.c does.
///
/// Takes tables like a lazy reservation. Lock class: exclusive. Callbacks: as axas_map_linear, no
/// tlb_flush.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_map_trap(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
    cookie: u64,
) -> axas_status_t {
    // SAFETY: the handle is null or live.
    let outcome = unsafe { self::space(space) }.and_then(|space| space.map_trap(gpa, size, cookie));
    told("axas_map_trap", [gpa, size, cookie], outcome)
}

/// axas_map_trap with options.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param cookie What axas_trap_cookie and axas_query return for it; up to 2^32 - 1: an index into a table of
///   the host, not a pointer.
/// @param flags AXAS_REPLACE, a tag (AXAS_TAG_MASK), or 0.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, other flags, unaligned, size 0, overflow, outside the space;
///   AXAS_ERR_UNSUPPORTED: a cookie above 2^32 - 1, a tag above axas_tag_bits, AXAS_REPLACE in a space with
///     AXAS_IO (unless AXAS_FEATURE_IO_FAULTS), or in an archive without AXAS_PART_REPLACE;
///   AXAS_ERR_ALREADY_EXISTS: the range is not empty, without AXAS_REPLACE;
///   AXAS_ERR_NO_MEMORY: no frames for tables, or table_quota;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// With AXAS_REPLACE whatever is in the range becomes the trap, atomically as in axas_map_linear: memory
/// becomes an emulated device while vCPUs run, and an access finds the one or the other. Replaced pages are
/// flushed, then released or freed. Nothing changes on error.
///
/// Takes tables like a lazy reservation. Lock class: exclusive. Callbacks: as axas_map_trap, with
/// AXAS_REPLACE also those of axas_unmap.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_map_trap_flags(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
    cookie: u64,
    flags: axas_flags_t,
) -> axas_status_t {
    // SAFETY: the handle is null or live.
    let outcome = unsafe { self::space(space) }
        .and_then(|space| space.map_trap_flags(gpa, size, cookie, flags));
    told("axas_map_trap_flags", [gpa, size, cookie, flags.into()], outcome)
}

/// Removes whatever is mapped, reserved, a trap or a note in a range; holes are skipped.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096; 0 does nothing.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, unaligned, overflow, outside the space;
///   AXAS_ERR_UNSUPPORTED: an edge cuts a huge page where AXAS_IO does not allow it;
///   AXAS_ERR_NO_MEMORY: an edge cuts a huge page, a reservation, a trap or a note, and there are no frames for
///     the tables of the split (at most levels - 1 for each edge); never where both edges lie on the boundaries
///     of entries;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// An edge that cuts a huge page, a reservation, a trap or a note splits it; the rest keeps its attributes. One
/// tlb_flush (AXAS_FLUSH_UNMAP, AXAS_SCOPE_ALL) if a valid entry changed; only then guest frames and empty
/// tables are freed and released is called. With AXAS_KEEP_TABLES an empty table stays if the range covers only
/// a part of what it can map. Nothing changes on error. Lock class: exclusive. Callbacks: tlb_flush,
/// dealloc_frame, released, and where an edge cuts alloc_frame, clean_range; phys_to_virt, release_virt, relax.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_unmap(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
) -> axas_status_t {
    // SAFETY: the handle is null or live.
    let outcome = unsafe { self::space(space) }.and_then(|space| space.unmap(gpa, size));
    told("axas_unmap", [gpa, size], outcome)
}

/// Changes the permissions of what is mapped, hidden or reserved in a range.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param flags AXAS_READ, AXAS_WRITE, AXAS_EXECUTE (and AXAS_USER); any other bit is
///   AXAS_ERR_INVALID_INPUT. Memory type and options stay.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, other bits, no permission (without part `hide`), unaligned, size 0,
///     overflow, outside the space;
///   AXAS_ERR_UNSUPPORTED: permissions that the format cannot express; with AXAS_SMALL_EXEC, AXAS_EXECUTE for a
///     page larger than 4 KiB, or for a part of a page of 1 GiB that is; an edge cuts a huge page where AXAS_IO
///     does not allow it;
///   AXAS_ERR_NOT_MAPPED: a hole, a trap or a note in the range;
///   AXAS_ERR_NO_MEMORY: an edge cuts a huge page, a reservation or a trap, and there are no frames for the
///     tables of the split;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// Edges split as in axas_unmap. One tlb_flush at most: AXAS_FLUSH_TIGHTEN, AXAS_SCOPE_ALL if a valid entry
/// lost a permission; else AXAS_FLUSH_BREAK, AXAS_SCOPE_ALL if a huge page was split; else AXAS_FLUSH_RELAX,
/// AXAS_SCOPE_LOCAL if an entry gained a permission on Arm or RISC-V, AXAS_SCOPE_ALL with AXAS_IO on each
/// format.
///
/// Nothing changes on error. Lock class: exclusive. Callbacks:
/// tlb_flush, alloc_frame, dealloc_frame, phys_to_virt, release_virt, clean_range, relax.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_protect(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
    flags: axas_flags_t,
) -> axas_status_t {
    // SAFETY: the handle is null or live.
    let outcome = unsafe { self::space(space) }.and_then(|space| space.protect(gpa, size, flags));
    told("axas_protect", [gpa, size, flags.into()], outcome)
}

/// Allocates frames for all reserved pages in a range.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, unaligned, size 0, overflow, outside the space;
///   AXAS_ERR_NOT_MAPPED: a hole, a trap or a note in the range, or resolve returned AXAS_RESOLVE_REFUSE;
///   AXAS_ERR_NO_MEMORY: no frames for memory or tables, or table_quota;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT, or resolve returned AXAS_RESOLVE_LATER.
///
/// All or nothing, but for regions of axas_map_provider: of these resolve is asked page by page, with access 0,
/// after everything else in the range has its frames, and what is mapped by then stays after an error. Pages
/// that are mapped already are unchanged. Uses frames of 1 GiB and 2 MiB for reservations with
/// AXAS_HUGE_FRAMES, where range and host allow. Zeroing 1 GiB takes some 50 ms: see axas_populate_some. Lock
/// class: exclusive; while resolve is asked, shared. Callbacks: as axas_map_linear, and resolve.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_populate(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
) -> axas_status_t {
    // SAFETY: the handle is null or live.
    let outcome = unsafe { self::space(space) }.and_then(|space| space.populate(gpa, size));
    told("axas_populate", [gpa, size], outcome)
}

/// Frees the library's frames in a range; the pages stay reserved, so that the next access finds zeroes in a
/// new frame.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, unaligned, size 0, overflow, outside the space;
///   AXAS_ERR_UNSUPPORTED: an edge cuts a huge page of the library's where AXAS_IO does not allow it;
///   AXAS_ERR_NOT_MAPPED: a hole, a trap or a note in the range;
///   AXAS_ERR_NO_MEMORY: an edge cuts a huge page of the library's and there are no frames for the tables
///     of the split;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// Linear pages are unchanged. A page becomes a reservation whose largest page is the size it had, without
/// AXAS_SKIP_ZERO. Frames, and leaf tables that hold one reservation only, are freed after one tlb_flush
/// (AXAS_FLUSH_UNMAP, AXAS_SCOPE_ALL). Nothing changes on error. Lock class: exclusive. Callbacks: as
/// axas_unmap, without released.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_discard(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
) -> axas_status_t {
    // SAFETY: the handle is null or live.
    let outcome = unsafe { self::space(space) }.and_then(|space| space.discard(gpa, size));
    told("axas_discard", [gpa, size], outcome)
}

/// Frees empty tables that AXAS_KEEP_TABLES kept.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096; 0 does nothing.
/// @return AXAS_OK, also where there is nothing to free or the space keeps no tables;
///   AXAS_ERR_INVALID_INPUT: null, unaligned, overflow, outside the space;
///   AXAS_ERR_BAD_STATE: corrupt table;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// Concerns every table that covers a part of the range and is empty, with all tables below it. A table above
/// one that lies outside the range stays. For the whole space no empty table is left; for the range of an
/// axas_unmap, only tables that were empty beside it. Takes no frame. Mappings do not change: faults meanwhile
/// return AXAS_FAULT_RETRY, readers find the same as before. One tlb_flush (AXAS_FLUSH_UNMAP, AXAS_SCOPE_ALL,
/// with tables_removed) if a table is freed; the frames are freed after it. Nothing changes on error.
///
/// Lock class: exclusive. Callbacks: tlb_flush, dealloc_frame, phys_to_virt, release_virt, clean_range,
/// relax.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_collect(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
) -> axas_status_t {
    // SAFETY: the handle is null or live.
    let outcome = unsafe { self::space(space) }.and_then(|space| space.collect(gpa, size));
    told("axas_collect", [gpa, size], outcome)
}

/// Number of tag bits in a space: 4 on EPT, NPT and Arm, 2 on RISC-V with AXAS_FEATURE_RISCV_SVRSW60T59B, else
/// 0; 0 for null. With AXAS_IO 3 on EPT (VT-d uses bit 62) and 1 on Arm (the SMMU uses bits 63:60). Part
/// `tags`. No lock.
#[cfg(feature = "tags")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn axas_tag_bits(space: *const axas_t) -> u32 {
    // SAFETY: the handle is null or live.
    match unsafe { self::space(space) } {
        Ok(space) => space.tag_bits(),
        Err(error) => {
            refused("axas_tag_bits", [], error);
            0
        }
    }
}

/// Changes the tag of everything that is mapped, reserved, a trap or a note in a range. Part `tags`.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param tag The tag, 0 to 15: the number itself, not shifted as in flags.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, a tag above 15, unaligned, size 0, overflow, outside the space;
///   AXAS_ERR_UNSUPPORTED: a tag that does not fit into axas_tag_bits; an edge cuts a huge page that has
///     another tag, where AXAS_IO does not allow it;
///   AXAS_ERR_NOT_MAPPED: a hole in the range;
///   AXAS_ERR_NO_MEMORY: an edge cuts a huge page, a reservation, a trap or a note that has another tag, and
///     there are no frames for the tables of the split;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// Permissions, memory types and frames stay. Hardware ignores tags, so nothing is flushed unless a huge page
/// is split: then tlb_flush is called once (AXAS_FLUSH_BREAK, AXAS_SCOPE_ALL). Nothing changes on error. Lock
/// class: exclusive. Callbacks: tlb_flush, alloc_frame, dealloc_frame, phys_to_virt, release_virt, clean_range,
/// relax.
#[cfg(feature = "tags")]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_retag(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
    tag: u32,
) -> axas_status_t {
    // SAFETY: the handle is null or live.
    let outcome = unsafe { self::space(space) }.and_then(|space| space.retag(gpa, size, tag));
    told("axas_retag", [gpa, size, tag.into()], outcome)
}

/// Keeps table frames in the space, so that the next exclusive call cannot fail for lack of them. Part `stock`.
///
/// @param space The space.
/// @param frames Table frames that the stock has afterwards; 0 frees them all.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null;
///   AXAS_ERR_NO_MEMORY: no frames, or table_quota; the stock is as before;
///   AXAS_ERR_BAD_STATE: alloc_frame returned an unusable address, or phys_to_virt null; the stock is as before;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// Exclusive calls take tables from the stock before they ask alloc_frame. The stock is not refilled; tables
/// that a call frees go to dealloc_frame. A call that fails leaves the stock as it was. Faults never use it.
/// With axas_tables_needed for what is mapped and 2 * (levels - 1) more for the cuts at both ends of a range,
/// the next axas_map_linear, axas_map_extents, axas_map_alloc, axas_map_trap, axas_unmap, axas_protect or
/// axas_discard takes no frame for tables, so that two spaces change together, or neither. Memory of the guest
/// (AXAS_POPULATE) is extra. The frames count in table_frames and table_quota; axas_clear keeps them,
/// axas_destroy frees them.
///
/// Lock class: exclusive. Callbacks: alloc_frame, dealloc_frame, phys_to_virt, release_virt, relax.
#[cfg(feature = "stock")]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_stock(space: *mut axas_t, frames: u32) -> axas_status_t {
    // SAFETY: the handle is null or live.
    let outcome = unsafe { self::space(space) }.and_then(|space| space.set_stock(frames));
    told("axas_stock", [frames.into()], outcome)
}

/// The space of a call in slices that has done nothing yet; none without a budget.
///
/// # Safety
/// The handle is null or live; `done` is null or valid for a write.
#[inline(never)]
unsafe fn sliced<'a>(space: *mut axas_t, budget: u64, done: *mut u64) -> Option<&'a AddressSpace> {
    // SAFETY: 1. `done` is null or valid for a write; 2. the handle is null or live.
    unsafe { put(done, 0).and_then(|()| self::space(space)).ok().filter(|_| budget != 0) }
}

/// Runs the budgeted form of a call.
///
/// # Safety
/// The handle is null or live; `done` is null or valid for a write.
#[inline(always)]
pub(super) unsafe fn some<const N: usize>(
    name: &'static str,
    arguments: impl FnOnce(u64) -> [u64; N],
    space: *mut axas_t,
    budget: u64,
    done: *mut u64,
    call: impl FnOnce(&AddressSpace, &mut Slices) -> Result<()>,
) -> axas_status_t {
    let mut slices = Slices::new(budget);
    // SAFETY: 1. `done` is null or valid for a write; 2. the handle is null or live.
    let outcome = match unsafe { sliced(space, budget, done) } {
        Some(space) => {
            let outcome = call(space, &mut slices);
            // SAFETY: as above; not null, aligned.
            unsafe { done.write(slices.done) };
            outcome
        }
        None => Err(Error::InvalidInput),
    };
    // What is left of the budget, which is in memory anyway: each argument that has to survive the call
    // costs stack.
    told(name, arguments(slices.budget), outcome)
}

/// axas_map_linear in slices, without AXAS_REPLACE.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param hpa First host-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param flags Permissions, at most one memory type, a tag (AXAS_TAG_MASK), and of the options AXAS_NO_HUGE,
///   AXAS_MAX_2M, AXAS_NO_HUGE_EXEC.
/// @param budget Entries to visit or write at most, holes included; at least 1.
/// @param done Receives the bytes from gpa that are done, with any status; not null.
/// @return AXAS_OK: all of it is done;
///   AXAS_ERR_AGAIN: the budget is used up or should_yield returned nonzero: continue at gpa + done (0 only
///     with AXAS_NO_WAIT);
///   AXAS_ERR_INVALID_INPUT: null, unknown bits, two memory types, no permission (without part `hide`), an
///     option that does not apply, unaligned, size 0, overflow, outside the space, host addresses above
///     pa_bits, budget 0;
///   AXAS_ERR_UNSUPPORTED: permissions or memory type that the format cannot express, a tag above axas_tag_bits;
///   AXAS_ERR_ALREADY_EXISTS: the range is not empty;
///   AXAS_ERR_NO_MEMORY: no frames for tables, or table_quota;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address.
///
/// Each call checks the whole remaining range for overlap. The result is that of one axas_map_linear. An error
/// leaves [gpa, gpa + done) as this call mapped it and the rest as it was. should_yield is called after every
/// 512 entries, without the lock. Lock class and callbacks: as axas_map_linear, and should_yield.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_map_linear_some(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    hpa: axas_hpa_t,
    size: u64,
    flags: axas_flags_t,
    budget: u64,
    done: *mut u64,
) -> axas_status_t {
    // SAFETY: the caller's promise is the one asked for.
    unsafe {
        some(
            "axas_map_linear_some",
            |left| [gpa, hpa, size, flags.into(), left],
            space,
            budget,
            done,
            |space, slices| space.map_linear_some(gpa, hpa, size, flags, slices),
        )
    }
}

/// axas_map_alloc in slices. A frame of 2 MiB or 1 GiB costs one entry, also where the host refuses it and
/// 512 smaller ones replace it.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param flags Permissions, at most one memory type, a tag (AXAS_TAG_MASK), and of the options
///   AXAS_POPULATE, AXAS_NO_HUGE, AXAS_MAX_2M, AXAS_HUGE_FRAMES (not with AXAS_NO_HUGE), AXAS_NO_HUGE_EXEC,
///   AXAS_SKIP_ZERO.
/// @param budget Entries to visit or write at most, holes included; at least 1.
/// @param done Receives the bytes from gpa that are done, with any status; not null.
/// @return AXAS_OK: all of it is done;
///   AXAS_ERR_AGAIN: the budget is used up or should_yield returned nonzero: continue at gpa + done (0 only
///     with AXAS_NO_WAIT);
///   AXAS_ERR_INVALID_INPUT: null, unknown bits, two memory types, no permission, an option that does not
///     apply, unaligned, size 0, overflow, outside the space, budget 0;
///   AXAS_ERR_UNSUPPORTED: permissions or memory type that the format cannot express, a tag above
///     axas_tag_bits; no AXAS_POPULATE in a space with AXAS_IO, AXAS_POPULATE in an archive without
///     AXAS_PART_POPULATE;
///   AXAS_ERR_ALREADY_EXISTS: the range is not empty;
///   AXAS_ERR_NO_MEMORY: no frames for tables or memory, or table_quota;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address.
///
/// Each call checks the whole remaining range for overlap; the result is that of one axas_map_alloc. An error
/// leaves [gpa, gpa + done) done and the rest as it was. should_yield is called after every 512 entries,
/// without the lock. Otherwise as axas_map_alloc.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_map_alloc_some(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
    flags: axas_flags_t,
    budget: u64,
    done: *mut u64,
) -> axas_status_t {
    // SAFETY: the caller's promise is the one asked for.
    unsafe {
        some(
            "axas_map_alloc_some",
            |left| [gpa, size, flags.into(), left],
            space,
            budget,
            done,
            |space, slices| space.map_alloc_some(gpa, size, flags, slices),
        )
    }
}

/// axas_unmap in slices. For the whole space it empties a space while faults go on; axas_clear and
/// axas_destroy then find nothing below the root (with AXAS_KEEP_TABLES, after axas_collect_some: tables that
/// a slice cuts stay). Each slice of 512 entries (all of the budget without should_yield) is flushed once.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096; 0 does nothing.
/// @param budget Entries to visit or write at most, holes included; at least 1.
/// @param done Receives the bytes from gpa that are done, with any status; not null.
/// @return AXAS_OK: all of it is done;
///   AXAS_ERR_AGAIN: the budget is used up or should_yield returned nonzero: continue at gpa + done (0 only
///     with AXAS_NO_WAIT);
///   AXAS_ERR_INVALID_INPUT: null, unaligned, overflow, outside the space, budget 0;
///   AXAS_ERR_UNSUPPORTED: an edge cuts a huge page where AXAS_IO does not allow it;
///   AXAS_ERR_NO_MEMORY: an edge cuts a huge page, a reservation or a trap, and there are no frames for the
///     tables of the split;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address.
///
/// An error leaves [gpa, gpa + done) done and the rest as it was. should_yield is called after every 512
/// entries, without the lock. Otherwise as axas_unmap.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_unmap_some(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
    budget: u64,
    done: *mut u64,
) -> axas_status_t {
    // SAFETY: the caller's promise is the one asked for.
    unsafe {
        some(
            "axas_unmap_some",
            |left| [gpa, size, left],
            space,
            budget,
            done,
            |space, slices| space.unmap_some(gpa, size, slices),
        )
    }
}

/// axas_protect in slices. Holes and traps are checked for slice by slice.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param flags AXAS_READ, AXAS_WRITE, AXAS_EXECUTE (and AXAS_USER); any other bit is AXAS_ERR_INVALID_INPUT.
///   Memory type and options stay.
/// @param budget Entries to visit or write at most, holes included; at least 1.
/// @param done Receives the bytes from gpa that are done, with any status; not null.
/// @return AXAS_OK: all of it is done;
///   AXAS_ERR_AGAIN: the budget is used up or should_yield returned nonzero: continue at gpa + done (0 only
///     with AXAS_NO_WAIT);
///   AXAS_ERR_INVALID_INPUT: null, other bits, no permission (without part `hide`), unaligned, size 0,
///     overflow, outside the space, budget 0;
///   AXAS_ERR_UNSUPPORTED: permissions that the format cannot express; with AXAS_SMALL_EXEC, AXAS_EXECUTE for a
///     page larger than 4 KiB, or for a part of a page of 1 GiB that is; an edge cuts a huge page where AXAS_IO
///     does not allow it;
///   AXAS_ERR_NOT_MAPPED: a hole, a trap or a note in the range;
///   AXAS_ERR_NO_MEMORY: an edge cuts a huge page, a reservation or a trap, and there are no frames for the
///     tables of the split;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address.
///
/// An error leaves [gpa, gpa + done) done and the rest as it was. should_yield is called after every 512
/// entries, without the lock. Otherwise as axas_protect.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_protect_some(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
    flags: axas_flags_t,
    budget: u64,
    done: *mut u64,
) -> axas_status_t {
    // SAFETY: the caller's promise is the one asked for.
    unsafe {
        some(
            "axas_protect_some",
            |left| [gpa, size, flags.into(), left],
            space,
            budget,
            done,
            |space, slices| space.protect_some(gpa, size, flags, slices),
        )
    }
}

/// axas_populate in slices. Holes and traps are checked for slice by slice; frames cost as in
/// axas_map_alloc_some.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param budget Entries to visit or write at most, holes included; at least 1.
/// @param done Receives the bytes from gpa that are done, with any status; not null.
/// @return AXAS_OK: all of it is done;
///   AXAS_ERR_AGAIN: the budget is used up or should_yield returned nonzero: continue at gpa + done (0 only
///     with AXAS_NO_WAIT, or where resolve returned AXAS_RESOLVE_LATER for the first page);
///   AXAS_ERR_INVALID_INPUT: null, unaligned, size 0, overflow, outside the space, budget 0;
///   AXAS_ERR_NOT_MAPPED: a hole, a trap or a note in the range, or resolve returned AXAS_RESOLVE_REFUSE;
///   AXAS_ERR_NO_MEMORY: no frames for memory or tables, or table_quota;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address.
///
/// An error leaves [gpa, gpa + done) done and the rest as it was. should_yield is called after every 512
/// entries, without the lock. Otherwise as axas_populate.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_populate_some(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
    budget: u64,
    done: *mut u64,
) -> axas_status_t {
    // SAFETY: the caller's promise is the one asked for.
    unsafe {
        some(
            "axas_populate_some",
            |left| [gpa, size, left],
            space,
            budget,
            done,
            |space, slices| space.populate_some(gpa, size, slices),
        )
    }
}

/// axas_discard in slices. Holes and traps are checked for slice by slice.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param budget Entries to visit or write at most, holes included; at least 1.
/// @param done Receives the bytes from gpa that are done, with any status; not null.
/// @return AXAS_OK: all of it is done;
///   AXAS_ERR_AGAIN: the budget is used up or should_yield returned nonzero: continue at gpa + done (0 only
///     with AXAS_NO_WAIT);
///   AXAS_ERR_INVALID_INPUT: null, unaligned, size 0, overflow, outside the space, budget 0;
///   AXAS_ERR_UNSUPPORTED: an edge cuts a huge page of the library's where AXAS_IO does not allow it;
///   AXAS_ERR_NOT_MAPPED: a hole, a trap or a note in the range;
///   AXAS_ERR_NO_MEMORY: an edge cuts a huge page of the library's and there are no frames for the tables
///     of the split;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address.
///
/// An error leaves [gpa, gpa + done) done and the rest as it was. should_yield is called after every 512
/// entries, without the lock. Otherwise as axas_discard.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_discard_some(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
    budget: u64,
    done: *mut u64,
) -> axas_status_t {
    // SAFETY: the caller's promise is the one asked for.
    unsafe {
        some(
            "axas_discard_some",
            |left| [gpa, size, left],
            space,
            budget,
            done,
            |space, slices| space.discard_some(gpa, size, slices),
        )
    }
}

/// axas_collect in slices. A table that more than one slice covers is freed by the last of them.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096; 0 does nothing.
/// @param budget Entries to visit or write at most, holes included; at least 1.
/// @param done Receives the bytes from gpa that are done, with any status; not null.
/// @return AXAS_OK: all of it is done;
///   AXAS_ERR_AGAIN: the budget is used up or should_yield returned nonzero: continue at gpa + done (0 only
///     with AXAS_NO_WAIT);
///   AXAS_ERR_INVALID_INPUT: null, unaligned, overflow, outside the space, budget 0;
///   AXAS_ERR_BAD_STATE: corrupt table.
///
/// Each slice of 512 entries (all of the budget without should_yield) is flushed once. An error leaves [gpa,
/// gpa + done) done and the rest as it was. should_yield is called after every 512 entries, without the lock.
/// Otherwise as axas_collect.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_collect_some(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
    budget: u64,
    done: *mut u64,
) -> axas_status_t {
    // SAFETY: the caller's promise is the one asked for.
    unsafe {
        some(
            "axas_collect_some",
            |left| [gpa, size, left],
            space,
            budget,
            done,
            |space, slices| space.collect_some(gpa, size, slices),
        )
    }
}

/// axas_retag in slices. Holes are checked for slice by slice.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param tag The tag, 0 to 15: the number itself, not shifted as in flags.
/// @param budget Entries to visit or write at most, holes included; at least 1.
/// @param done Receives the bytes from gpa that are done, with any status; not null.
/// @return AXAS_OK: all of it is done;
///   AXAS_ERR_AGAIN: the budget is used up or should_yield returned nonzero: continue at gpa + done (0 only
///     with AXAS_NO_WAIT);
///   AXAS_ERR_INVALID_INPUT: null, a tag above 15, unaligned, size 0, overflow, outside the space, budget 0;
///   AXAS_ERR_UNSUPPORTED: a tag that does not fit into axas_tag_bits; an edge cuts a huge page that has
///     another tag, where AXAS_IO does not allow it;
///   AXAS_ERR_NOT_MAPPED: a hole in the range;
///   AXAS_ERR_NO_MEMORY: an edge cuts a huge page, a reservation, a trap or a note that has another tag, and
///     there are no frames for the tables of the split;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address.
///
/// An error leaves [gpa, gpa + done) done and the rest as it was. should_yield is called after every 512
/// entries, without the lock. Otherwise as axas_retag.
#[cfg(feature = "tags")]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_retag_some(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
    tag: u32,
    budget: u64,
    done: *mut u64,
) -> axas_status_t {
    // SAFETY: the caller's promise is the one asked for.
    unsafe {
        some(
            "axas_retag_some",
            |left| [gpa, size, tag.into(), left],
            space,
            budget,
            done,
            |space, slices| space.retag_some(gpa, size, tag, slices),
        )
    }
}
