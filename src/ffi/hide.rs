// SPDX-License-Identifier: MIT OR Apache-2.0
use super::mapping::some;
use super::{axas_t, space, told};
use crate::abi::*;

/// Hides pages from the guest: what is mapped in a range stays mapped, and each access faults. Part `hide`.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param options 0, or AXAS_HIDE_AUTO.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, other options, unaligned, size 0, overflow, outside the space;
///   AXAS_ERR_UNSUPPORTED: AXAS_HIDE_AUTO in a space with AXAS_IO; an edge cuts a huge page where AXAS_IO does
///     not allow it;
///   AXAS_ERR_NO_MEMORY: an edge cuts a huge page, and there are no frames for the tables of the split;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// A hidden page keeps its frame, permissions, memory type, size and owner, and counts as mapped. axas_query
/// reports AXAS_STATE_HIDDEN with all of these, axas_translate returns AXAS_ERR_NOT_MAPPED, a fault
/// AXAS_FAULT_HIDDEN. axas_protect changes the permissions that the page will have when it is shown.
/// axas_unmap, axas_discard, AXAS_REPLACE, axas_clear and axas_destroy release or free it, without a flush.
/// Copies return AXAS_ERR_DENIED, except with AXAS_ACCESS_HOST.
///
/// With AXAS_HIDE_AUTO the first access that the permissions allow shows the page (a huge page as a whole): the
/// fault returns AXAS_FAULT_RESOLVED and takes no frame, a copy for the guest goes on; any other access is
/// AXAS_FAULT_DENIED. This tells a host which pages are used. A whole table costs one entry, a whole space
/// those of its root; the first faults then write up to 512 entries on each level. On a page that is hidden
/// already, a call without AXAS_HIDE_AUTO removes that property, and a call with it changes nothing.
///
/// Holes, reservations, traps and notes in the range are unchanged. Edges split as in axas_unmap. One tlb_flush
/// (AXAS_FLUSH_UNMAP, AXAS_SCOPE_ALL) if a valid entry changed. Nothing changes on error. Lock class:
/// exclusive. Callbacks: tlb_flush, alloc_frame, dealloc_frame, phys_to_virt, release_virt, clean_range, relax.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_hide(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
    options: u32,
) -> axas_status_t {
    // SAFETY: the handle is null or live.
    let outcome = unsafe { self::space(space) }.and_then(|space| space.hide(gpa, size, options));
    told("axas_hide", [gpa, size, options.into()], outcome)
}

/// Shows the hidden pages of a range, with their permissions, as axas_protect may have changed them. Part `hide`.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, unaligned, size 0, overflow, outside the space;
///   AXAS_ERR_NO_MEMORY: an edge cuts a huge hidden page, and there are no frames for the tables of the split;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// Everything else in the range is unchanged. Nothing changes on error. Lock class: exclusive. Callbacks:
/// alloc_frame, dealloc_frame, phys_to_virt, release_virt, clean_range, relax; tlb_flush once, AXAS_FLUSH_NEW,
/// AXAS_SCOPE_LOCAL, on RISC-V without Svvptc.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_show(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
) -> axas_status_t {
    // SAFETY: the handle is null or live.
    let outcome = unsafe { self::space(space) }.and_then(|space| space.show(gpa, size));
    told("axas_show", [gpa, size], outcome)
}

/// Stores a value of the host in a range where nothing is mapped, for example the number of the guest that a
/// page was given to. For the guest a note is a hole: AXAS_FAULT_UNMAPPED. Part `hide`.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param value axas_query returns it as cookie, with AXAS_STATE_NOTE.
/// @param flags AXAS_REPLACE, a tag (AXAS_TAG_MASK), or 0.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, other flags, unaligned, size 0, overflow, outside the space;
///   AXAS_ERR_UNSUPPORTED: a tag above axas_tag_bits, AXAS_REPLACE in a space with AXAS_IO (unless
///     AXAS_FEATURE_IO_FAULTS), or in an archive without AXAS_PART_REPLACE;
///   AXAS_ERR_ALREADY_EXISTS: the range is not empty, without AXAS_REPLACE;
///   AXAS_ERR_NO_MEMORY: no frames for tables, or table_quota;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// A range with a note is not empty for maps; axas_unmap removes notes. Edges split it as in axas_unmap. Takes
/// tables like a lazy reservation. Otherwise as axas_map_trap_flags. Lock class: exclusive. Callbacks: as
/// axas_map_trap, with AXAS_REPLACE also those of axas_unmap.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_map_note(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
    value: u32,
    flags: axas_flags_t,
) -> axas_status_t {
    // SAFETY: the handle is null or live.
    let outcome =
        unsafe { self::space(space) }.and_then(|space| space.map_note(gpa, size, value, flags));
    told("axas_map_note", [gpa, size, value.into(), flags.into()], outcome)
}

/// axas_hide in slices. Part `hide`.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param options 0, or AXAS_HIDE_AUTO.
/// @param budget Entries to visit or write at most, holes included; at least 1.
/// @param done Receives the bytes from gpa that are done, with any status; not null.
/// @return AXAS_OK: all of it is done;
///   AXAS_ERR_AGAIN: the budget is used up or should_yield returned nonzero: continue at gpa + done (0 only
///     with AXAS_NO_WAIT);
///   AXAS_ERR_INVALID_INPUT: null, other options, unaligned, size 0, overflow, outside the space, budget 0;
///   AXAS_ERR_UNSUPPORTED: AXAS_HIDE_AUTO in a space with AXAS_IO; an edge cuts a huge page where AXAS_IO does
///     not allow it;
///   AXAS_ERR_NO_MEMORY: an edge cuts a huge page, and there are no frames for the tables of the split;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address.
///
/// An error leaves [gpa, gpa + done) done and the rest as it was. should_yield is called after every 512
/// entries, without the lock. Otherwise as axas_hide.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_hide_some(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
    options: u32,
    budget: u64,
    done: *mut u64,
) -> axas_status_t {
    // SAFETY: the caller's promise is the one asked for.
    unsafe {
        some(
            "axas_hide_some",
            |left| [gpa, size, options.into(), left],
            space,
            budget,
            done,
            |space, slices| space.hide_some(gpa, size, options, slices),
        )
    }
}

/// axas_show in slices. Part `hide`.
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
///   AXAS_ERR_NO_MEMORY: an edge cuts a huge hidden page, and there are no frames for the tables of the split;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address.
///
/// An error leaves [gpa, gpa + done) done and the rest as it was. should_yield is called after every 512
/// entries, without the lock. Otherwise as axas_show.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_show_some(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
    budget: u64,
    done: *mut u64,
) -> axas_status_t {
    // SAFETY: the caller's promise is the one asked for.
    unsafe {
        some(
            "axas_show_some",
            |left| [gpa, size, left],
            space,
            budget,
            done,
            |space, slices| space.show_some(gpa, size, slices),
        )
    }
}

/// axas_map_note in slices, without AXAS_REPLACE. Part `hide`.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param value axas_query returns it as cookie, with AXAS_STATE_NOTE.
/// @param flags A tag (AXAS_TAG_MASK) or 0.
/// @param budget Entries to visit or write at most, holes included; at least 1.
/// @param done Receives the bytes from gpa that are done, with any status; not null.
/// @return AXAS_OK: all of it is done;
///   AXAS_ERR_AGAIN: the budget is used up or should_yield returned nonzero: continue at gpa + done (0 only
///     with AXAS_NO_WAIT);
///   AXAS_ERR_INVALID_INPUT: null, other flags, unaligned, size 0, overflow, outside the space, budget 0;
///   AXAS_ERR_UNSUPPORTED: a tag above axas_tag_bits;
///   AXAS_ERR_ALREADY_EXISTS: the range is not empty;
///   AXAS_ERR_NO_MEMORY: no frames for tables, or table_quota;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address.
///
/// Each call checks the whole remaining range for overlap; the result is that of one axas_map_note. An error
/// leaves [gpa, gpa + done) done and the rest as it was. should_yield is called after every 512 entries,
/// without the lock. Otherwise as axas_map_note.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_map_note_some(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
    value: u32,
    flags: axas_flags_t,
    budget: u64,
    done: *mut u64,
) -> axas_status_t {
    // SAFETY: the caller's promise is the one asked for.
    unsafe {
        some(
            "axas_map_note_some",
            |left| [gpa, size, value.into(), flags.into(), left],
            space,
            budget,
            done,
            |space, slices| space.map_note_some(gpa, size, value, flags, slices),
        )
    }
}
