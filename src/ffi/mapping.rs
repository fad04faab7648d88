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
///   option that does not apply, unaligned, size 0, overflow, outside the space, host addresses above pa_bits, with
///   AXAS_REPLACE a frame of the library's that stands in the range;
///   AXAS_ERR_UNSUPPORTED: permissions or memory type that the format cannot say, a tag above axas_tag_bits; AXAS_REPLACE in a space with
///   AXAS_IO;
///   AXAS_ERR_ALREADY_EXISTS: something stands in the range, without AXAS_REPLACE;
///   AXAS_ERR_NO_MEMORY: no frames for tables, or table_quota;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// Uses the largest pages (4 KiB, 2 MiB, 1 GiB) that both addresses, the rest of the range, the
/// features and the options allow. The frames stay the host's and are never freed here. Nothing
/// changes on error. Whether host memory is a table of this space a map cannot know, and a guest that gets
/// one can write its own translation: the host's page allocator answers for that. axas_audit finds it.
///
/// With part `hide` pages may have no permission: each access is AXAS_FAULT_DENIED, axas_query says
/// AXAS_STATE_LINEAR, axas_translate AXAS_ERR_NOT_MAPPED where the format has no such leaf (EPT, NPT, RISC-V).
///
/// With AXAS_REPLACE whatever stands in the range is replaced, in one operation for everybody: a fault
/// meanwhile says AXAS_FAULT_RETRY; axas_translate, axas_query and the copies find the old page or the new
/// one, or wait, with the lock and without it (AXAS_HAL_TABLES_STAY_READABLE). Where a page of the same size
/// stands, its entry is exchanged: no frame is taken, and a range of such pages cannot fail for memory. Tables
/// for the rest are taken before anything changes, never more than axas_tables_needed says. What went is
/// flushed (AXAS_FLUSH_UNMAP, AXAS_SCOPE_ALL, once; on Arm always between the old entry and the new one, as
/// break-before-make asks), then released or freed; nothing is flushed where no valid entry stood. A page
/// that comes to the same frame again is not released.
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

/// Maps scattered frames of the host side by side, all or nothing.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param extents What follows what; not changed by anybody during the call.
/// @param count Number of extents, not 0.
/// @param flags As for axas_map_linear, without AXAS_REPLACE.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, unknown bits, two memory types, no permission, an option that does not
///     apply, unaligned, count 0, an empty extent, overflow, outside the space, host addresses above
///     pa_bits;
///   AXAS_ERR_UNSUPPORTED: permissions or memory type that the format cannot say, a tag above axas_tag_bits;
///   AXAS_ERR_ALREADY_EXISTS: something stands in the range;
///   AXAS_ERR_NO_MEMORY: no frames for tables, or table_quota;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// Otherwise as axas_map_linear.
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

/// Maps memory that the library takes from alloc_frame: lazily, or at once with AXAS_POPULATE.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param flags Permissions, at most one memory type, a tag (AXAS_TAG_MASK), and of the options AXAS_POPULATE, AXAS_NO_HUGE,
///   AXAS_MAX_2M, AXAS_HUGE_FRAMES (not with AXAS_NO_HUGE), AXAS_NO_HUGE_EXEC, AXAS_REPLACE, AXAS_SKIP_ZERO.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, unknown bits, two memory types, no permission, an option that does not
///     apply, unaligned, size 0, overflow, outside the space;
///   AXAS_ERR_UNSUPPORTED: permissions or memory type that the format cannot say, a tag above axas_tag_bits; in a space with AXAS_IO
///   AXAS_REPLACE, or no AXAS_POPULATE;
///   AXAS_ERR_ALREADY_EXISTS: something stands in the range, without AXAS_REPLACE;
///   AXAS_ERR_NO_MEMORY: no frames for tables or memory, or table_quota;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// The guest reads zeroes (unless AXAS_NO_ZERO or AXAS_SKIP_ZERO). A lazy reservation takes no guest frames and only
/// the tables on its two edges, at most 2 * (levels - 1) besides the root, whatever its size. Nothing
/// changes on error; with AXAS_POPULATE a failure may have flushed.
///
/// With AXAS_REPLACE as axas_map_linear: emulated device and memory change places without a moment in which
/// the guest is told AXAS_FAULT_UNMAPPED. Frames of the library's that stood in the range go back after the
/// flush, so that the guest finds zeroes; those of the host are released. With AXAS_POPULATE all
/// frames are taken before the first page is replaced, none larger than 2 MiB.
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
/// @param cookie What axas_trap_cookie and axas_query return for it; up to 2^32 - 1: an index into a
///   table of the host's, not a pointer.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, unaligned, size 0, overflow, outside the space;
///   AXAS_ERR_UNSUPPORTED: a cookie above 2^32 - 1;
///   AXAS_ERR_ALREADY_EXISTS: something stands in the range;
///   AXAS_ERR_NO_MEMORY: no frames for tables, or table_quota;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// Cookies have 32 bits on every format because an EPT entry has room for no more. The CPU finds the entry not
/// present, but one with the L1 terminal fault (CVE-2018-3646) may read ahead what its cache holds at the
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
/// @param cookie As for axas_map_trap.
/// @param flags AXAS_REPLACE, a tag (AXAS_TAG_MASK), or 0.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, other flags, unaligned, size 0, overflow, outside the space;
///   AXAS_ERR_UNSUPPORTED: a cookie above 2^32 - 1, a tag above axas_tag_bits, AXAS_REPLACE in a space with AXAS_IO;
///   AXAS_ERR_ALREADY_EXISTS: something stands in the range, without AXAS_REPLACE;
///   AXAS_ERR_NO_MEMORY: no frames for tables, or table_quota;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// With AXAS_REPLACE whatever stands in the range becomes the trap, in one operation for everybody as
/// axas_map_linear says: memory becomes an emulated device while vCPUs run, and an access finds the one or
/// the other. What went is flushed, then released or freed. Nothing changes on error.
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

/// Removes whatever stands in a range. Holes are fine.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096; 0 is fine and does nothing.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, unaligned, overflow, outside the space;
///   AXAS_ERR_UNSUPPORTED: an edge cuts a huge page where AXAS_IO does not allow it;
///   AXAS_ERR_NO_MEMORY: an edge cuts a huge page, a reservation or a trap, and there are no frames for
///   the tables of the split (at most levels - 1 for each edge); never where both edges lie on the
///   boundaries of entries;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// Cuts split areas and huge pages; what stays keeps its attributes. One tlb_flush (AXAS_FLUSH_UNMAP,
/// AXAS_SCOPE_ALL) if a valid entry changed; only then guest frames and empty tables go back and
/// released is called. With AXAS_KEEP_TABLES an empty table stays if the range covers only a part of what it
/// can map. Nothing changes on error. Lock class: exclusive. Callbacks: tlb_flush,
/// dealloc_frame, released, and where an edge cuts alloc_frame, clean_range; phys_to_virt,
/// release_virt, relax.
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

/// Gives what is mapped or reserved in a range new permissions.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param flags AXAS_READ, AXAS_WRITE, AXAS_EXECUTE (and AXAS_USER); any other bit is
///   AXAS_ERR_INVALID_INPUT. Memory type and options stay.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, other bits, no permission (without part `hide`), unaligned, size 0,
///     overflow, outside the space;
///   AXAS_ERR_UNSUPPORTED: permissions that the format cannot say; with AXAS_SMALL_EXEC, AXAS_EXECUTE for a
///     page larger than 4 KiB, or for such a part of a page of 1 GiB; an edge cuts a huge page where AXAS_IO
///     does not allow it;
///   AXAS_ERR_NOT_MAPPED: a hole or a trap in the range;
///   AXAS_ERR_NO_MEMORY: an edge cuts a huge page, a reservation or a trap, and there are no frames for the
///     tables of the split;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// Cuts split. One tlb_flush at most: AXAS_FLUSH_TIGHTEN, AXAS_SCOPE_ALL if a valid entry lost a
/// permission; else AXAS_FLUSH_BREAK, AXAS_SCOPE_ALL if a huge page was split; else AXAS_FLUSH_RELAX,
/// AXAS_SCOPE_LOCAL if an entry gained a permission on Arm or RISC-V, AXAS_SCOPE_ALL with AXAS_IO on each format.
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

/// Takes frames for everything in a range that is reserved and has none yet.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, unaligned, size 0, overflow, outside the space;
///   AXAS_ERR_NOT_MAPPED: a hole or a trap in the range, or resolve refused;
///   AXAS_ERR_NO_MEMORY: no frames for memory or tables, or table_quota;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT, or resolve said AXAS_RESOLVE_LATER.
///
/// Of regions of axas_map_provider the host is asked page by page, by resolve with no access, when everything else in
/// the range has its frames; what is there by then stays after an error. Pages that are mapped already are not touched. Frames of 1 GiB and 2 MiB where the reservation was
/// made with AXAS_HUGE_FRAMES, as far as range and host allow. All or nothing. Lock class: exclusive;
/// zeroing 1 GiB takes some 50 ms: see axas_populate_some. Callbacks: as axas_map_linear.
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

/// Gives the library's frames in a range back; the reservation stays, so that the next access finds
/// zeroes in a new frame.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, unaligned, size 0, overflow, outside the space;
///   AXAS_ERR_UNSUPPORTED: an edge cuts a huge page of the library's where AXAS_IO does not allow it;
///   AXAS_ERR_NOT_MAPPED: a hole or a trap in the range;
///   AXAS_ERR_NO_MEMORY: an edge cuts a huge page of the library's and there are no frames for the tables
///     of the split;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// Linear pages are not touched. A page comes back as a reservation whose largest page is the size it
/// had, without AXAS_SKIP_ZERO. Frames, and leaf tables that come down to one reservation, go back after one tlb_flush
/// (AXAS_FLUSH_UNMAP, AXAS_SCOPE_ALL). Nothing
/// changes on error. Lock class: exclusive. Callbacks: as axas_unmap, without released.
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

/// Gives back tables that AXAS_KEEP_TABLES kept and that are empty.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096; 0 is fine and does nothing.
/// @return AXAS_OK, also where there is nothing to give back or the space keeps no tables;
///   AXAS_ERR_INVALID_INPUT: null, unaligned, overflow, outside the space;
///   AXAS_ERR_BAD_STATE: corrupt table;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// Concerns every table that covers a part of the range and in which nothing is mapped, reserved or a trap;
/// one below which a table stays, because that lies outside the range, stays too. Over all of the space no
/// empty table is left; after axas_unmap of a range, over the same range, those are left that stood empty
/// beside it. Takes no frame. Mappings do not change: faults meanwhile say AXAS_FAULT_RETRY, readers find
/// what they found before. One tlb_flush (AXAS_FLUSH_UNMAP, AXAS_SCOPE_ALL, with tables_removed) if a table
/// goes, and only then do the frames go back. Nothing changes on error.
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

/// How many bits a tag has in a space: 4 on EPT, NPT and Arm, 2 on RISC-V with AXAS_FEATURE_RISCV_SVRSW60T59B, else 0;
/// 0 for null. With AXAS_IO 3 on EPT (bit 62 is VT-d's) and 1 on Arm (bits 63:60 are the SMMU's). Part `tags`. No lock.
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

/// Gives everything in a range, be it mapped, reserved or a trap, another tag. Part `tags`.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param tag The tag, 0 to 15: the number itself, not shifted as in flags.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, a tag above 15, unaligned, size 0, overflow, outside the space;
///   AXAS_ERR_UNSUPPORTED: a tag that does not fit into axas_tag_bits;
///   AXAS_ERR_NOT_MAPPED: a hole in the range;
///   AXAS_ERR_NO_MEMORY: an edge cuts a huge page, a reservation or a trap that has another tag, and there are no
///     frames for the tables of the split;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// Permissions, memory types and frames stay. Hardware does not see tags, so that nothing is flushed but where a huge
/// page is split: then tlb_flush is called once (AXAS_FLUSH_BREAK, AXAS_SCOPE_ALL). Nothing changes on error. Lock
/// class: exclusive. Callbacks: tlb_flush, alloc_frame, dealloc_frame, phys_to_virt, release_virt, clean_range, relax.
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

/// Keeps table frames in the space, so that the next exclusive call cannot fail for want of them. Part `stock`.
///
/// @param space The space.
/// @param frames Table frames that the space is to have in stock; 0 gives all of them back.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null;
///   AXAS_ERR_NO_MEMORY: no frames, or table_quota; the stock is as before;
///   AXAS_ERR_BAD_STATE: alloc_frame returned an unusable address, or phys_to_virt null; the stock is as before;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// Exclusive calls take tables from the stock before they ask alloc_frame. What they used of it is not taken
/// again; tables that they give back go to dealloc_frame. Faults never use it. With axas_tables_needed for what is
/// mapped and 2 * (levels - 1) more for the cuts at both ends of a range, the next axas_map_linear,
/// axas_map_extents, axas_map_alloc, axas_map_trap, axas_unmap, axas_protect or axas_discard takes no frame for
/// tables: two spaces change together, or neither. Memory of the guest (AXAS_POPULATE) is not in it. The frames count in
/// table_frames and table_quota; axas_clear leaves them, axas_destroy gives them back.
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
/// @param flags As for axas_map_linear, without AXAS_REPLACE.
/// @param budget Entries to visit or write at most, holes included; at least 1.
/// @param done Takes the bytes from gpa that are done, whatever the status; never null.
/// @return AXAS_OK: all of it is done;
///   AXAS_ERR_AGAIN: the budget is used up or should_yield said so: go on at gpa + done (0 only with
///     AXAS_NO_WAIT);
///   AXAS_ERR_INVALID_INPUT: null, unknown bits, two memory types, no permission, an option that does not
///     apply, unaligned, size 0, overflow, outside the space, host addresses above pa_bits, budget 0;
///   AXAS_ERR_UNSUPPORTED: permissions or memory type that the format cannot say, a tag above axas_tag_bits;
///   AXAS_ERR_ALREADY_EXISTS: something stands in the range;
///   AXAS_ERR_NO_MEMORY: no frames for tables, or table_quota;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address.
///
/// Overlap is checked for the whole rest. The space comes out as after one call of axas_map_linear. An
/// error leaves [gpa, gpa + done) as this call mapped it and the rest as it was. should_yield is asked
/// after every 512 entries, the lock given up between. Lock class and callbacks: as axas_map_linear, and
/// should_yield.
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

/// axas_map_alloc in slices. A frame of 2 MiB or 1 GiB costs one entry, also where the host refuses it
/// and 512 smaller ones take its place. Otherwise as axas_map_linear_some.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param flags As for axas_map_alloc, without AXAS_REPLACE.
/// @param budget As for axas_map_linear_some.
/// @param done As for axas_map_linear_some.
/// @return AXAS_OK: all of it is done;
///   AXAS_ERR_AGAIN: the budget is used up or should_yield said so: go on at gpa + done (0 only with
///     AXAS_NO_WAIT);
///   AXAS_ERR_INVALID_INPUT: null, unknown bits, two memory types, no permission, an option that does not
///     apply, unaligned, size 0, overflow, outside the space, budget 0;
///   AXAS_ERR_UNSUPPORTED: permissions or memory type that the format cannot say, a tag above axas_tag_bits; no AXAS_POPULATE in a space
///     with AXAS_IO;
///   AXAS_ERR_ALREADY_EXISTS: something stands in the range;
///   AXAS_ERR_NO_MEMORY: no frames for tables or memory, or table_quota;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address.
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

/// axas_unmap in slices: over all of a space it takes the space down while faults go on; axas_clear and
/// axas_destroy then find nothing below the root (with AXAS_KEEP_TABLES, after axas_collect_some: tables that
/// a slice cuts stay). Each slice of 512 entries (all of the budget without
/// should_yield) is flushed once. Otherwise as axas_map_linear_some.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096; 0 is fine and does nothing.
/// @param budget As for axas_map_linear_some.
/// @param done As for axas_map_linear_some.
/// @return AXAS_OK: all of it is done;
///   AXAS_ERR_AGAIN: the budget is used up or should_yield said so: go on at gpa + done (0 only with
///     AXAS_NO_WAIT);
///   AXAS_ERR_INVALID_INPUT: null, unaligned, overflow, outside the space, budget 0;
///   AXAS_ERR_UNSUPPORTED: an edge cuts a huge page where AXAS_IO does not allow it;
///   AXAS_ERR_NO_MEMORY: an edge cuts a huge page, a reservation or a trap, and there are no frames for the
///     tables of the split;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address.
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

/// axas_protect in slices. Holes and traps are checked for slice by slice. Otherwise as
/// axas_map_linear_some.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param flags As for axas_protect.
/// @param budget As for axas_map_linear_some.
/// @param done As for axas_map_linear_some.
/// @return AXAS_OK: all of it is done;
///   AXAS_ERR_AGAIN: the budget is used up or should_yield said so: go on at gpa + done (0 only with
///     AXAS_NO_WAIT);
///   AXAS_ERR_INVALID_INPUT: null, other bits, no permission, unaligned, size 0, overflow, outside the
///     space, budget 0;
///   AXAS_ERR_UNSUPPORTED: permissions that the format cannot say; with AXAS_SMALL_EXEC, AXAS_EXECUTE for a
///     page larger than 4 KiB, or for such a part of a page of 1 GiB; an edge cuts a huge page where AXAS_IO
///     does not allow it;
///   AXAS_ERR_NOT_MAPPED: a hole or a trap in the range;
///   AXAS_ERR_NO_MEMORY: an edge cuts a huge page, a reservation or a trap, and there are no frames for the
///     tables of the split;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address.
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
/// axas_map_alloc_some. Otherwise as axas_map_linear_some.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param budget As for axas_map_linear_some.
/// @param done As for axas_map_linear_some.
/// @return AXAS_OK: all of it is done;
///   AXAS_ERR_AGAIN: the budget is used up or should_yield said so: go on at gpa + done (0 only with
///     AXAS_NO_WAIT, or where resolve said AXAS_RESOLVE_LATER of the first page);
///   AXAS_ERR_INVALID_INPUT: null, unaligned, size 0, overflow, outside the space, budget 0;
///   AXAS_ERR_NOT_MAPPED: a hole or a trap in the range, or resolve refused;
///   AXAS_ERR_NO_MEMORY: no frames for memory or tables, or table_quota;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address.
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

/// axas_discard in slices. Holes and traps are checked for slice by slice. Otherwise as
/// axas_map_linear_some.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param budget As for axas_map_linear_some.
/// @param done As for axas_map_linear_some.
/// @return AXAS_OK: all of it is done;
///   AXAS_ERR_AGAIN: the budget is used up or should_yield said so: go on at gpa + done (0 only with
///     AXAS_NO_WAIT);
///   AXAS_ERR_INVALID_INPUT: null, unaligned, size 0, overflow, outside the space, budget 0;
///   AXAS_ERR_UNSUPPORTED: an edge cuts a huge page of the library's where AXAS_IO does not allow it;
///   AXAS_ERR_NOT_MAPPED: a hole or a trap in the range;
///   AXAS_ERR_NO_MEMORY: an edge cuts a huge page of the library's and there are no frames for the tables
///     of the split;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address.
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

/// axas_collect in slices. A table that more than one slice covers goes with the last of them. Otherwise as
/// axas_unmap_some.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096; 0 is fine and does nothing.
/// @param budget As for axas_map_linear_some.
/// @param done As for axas_map_linear_some.
/// @return AXAS_OK: all of it is done;
///   AXAS_ERR_AGAIN: the budget is used up or should_yield said so: go on at gpa + done (0 only with
///     AXAS_NO_WAIT);
///   AXAS_ERR_INVALID_INPUT: null, unaligned, overflow, outside the space, budget 0;
///   AXAS_ERR_BAD_STATE: corrupt table.
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

/// axas_retag in slices. Holes are checked for slice by slice. Otherwise as axas_map_linear_some.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param tag As for axas_retag.
/// @param budget As for axas_map_linear_some.
/// @param done As for axas_map_linear_some.
/// @return AXAS_OK: all of it is done;
///   AXAS_ERR_AGAIN: the budget is used up or should_yield said so: go on at gpa + done (0 only with
///     AXAS_NO_WAIT);
///   AXAS_ERR_INVALID_INPUT: null, a tag above 15, unaligned, size 0, overflow, outside the space, budget 0;
///   AXAS_ERR_UNSUPPORTED: a tag that does not fit into axas_tag_bits;
///   AXAS_ERR_NOT_MAPPED: a hole in the range;
///   AXAS_ERR_NO_MEMORY: an edge cuts a huge page, a reservation or a trap that has another tag, and there are no
///     frames for the tables of the split;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address.
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
