// SPDX-License-Identifier: MIT OR Apache-2.0
use super::mapping::some;
use super::{axas_t, missed, space, told};
use crate::abi::*;
use crate::error::Error;

/// Sets a range aside for pages that the host provides when they are needed: an access there calls resolve.
/// Part `provider`.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param flags Permissions that pages may have, at most one memory type, a tag (AXAS_TAG_MASK), and of the
///   options AXAS_NO_HUGE, AXAS_MAX_2M, AXAS_NO_HUGE_EXEC, which say how large they may be.
/// @param provider A number of the host's, up to 65535, for resolve and axas_query (as cookie).
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, provider above 65535, unknown bits, two memory types, no permission, an
///     option that does not apply, unaligned, size 0, overflow, outside the space;
///   AXAS_ERR_UNSUPPORTED: permissions or memory type that the format cannot express, a tag above
///     axas_tag_bits, a space with AXAS_IO (devices do not wait);
///   AXAS_ERR_ALREADY_EXISTS: the range is not empty;
///   AXAS_ERR_NO_MEMORY: no frames for tables, or table_quota;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// Takes tables like a lazy reservation. axas_query reports AXAS_STATE_PROVIDED. A fault calls resolve, which
/// returns a frame or says that the page comes later: axas_resolve_fn lists the answers. axas_populate asks for
/// every page of its range. A copy asks as an access of the guest does, and returns AXAS_ERR_AGAIN where the
/// page comes later. A page that is mapped there is linear or the library's like any other: axas_unmap,
/// axas_protect, axas_retag and AXAS_REPLACE make no difference, and axas_discard leaves a reservation of
/// axas_map_alloc. axas_evict unmaps pages and leaves a region of a provider.
///
/// Nothing changes on error. Lock class: exclusive. Callbacks: as axas_map_trap.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_map_provider(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
    flags: axas_flags_t,
    provider: u32,
) -> axas_status_t {
    // SAFETY: the handle is null or live.
    let outcome = unsafe { self::space(space) }
        .and_then(|space| space.map_provider(gpa, size, flags, provider));
    told("axas_map_provider", [gpa, size, flags.into(), provider.into()], outcome)
}

/// Maps a page in a region of axas_map_provider, whether a vCPU waits for it or not. Part `provider`.
///
/// @param space The space.
/// @param gpa Guest-physical address, a multiple of size.
/// @param hpa Host-physical address, a multiple of size.
/// @param size 4096, 2 MiB or 1 GiB.
/// @param flags Permissions, at least one; no more than the region has.
/// @param how AXAS_RESOLVE_NOW, or AXAS_RESOLVE_GIVEN: after AXAS_OK the frame is the library's.
/// @return AXAS_OK: the page is mapped; vCPUs that wait for it may resume;
///   AXAS_ERR_INVALID_INPUT: null, another how, other flags, no permission, another size, unaligned, overflow,
///     outside the space, host addresses above pa_bits;
///   AXAS_ERR_UNSUPPORTED: permissions that the format cannot express, a size above that of the region's pages
///     (axas_query says AXAS_NO_HUGE, AXAS_MAX_2M) or the format's, a space with AXAS_IO;
///   AXAS_ERR_ALREADY_EXISTS: a page is mapped there already, or, for 2 MiB and 1 GiB, a table is there: supply
///     smaller pages;
///   AXAS_ERR_NOT_MAPPED: no region of axas_map_provider is there;
///   AXAS_ERR_DENIED: a permission that the region does not have;
///   AXAS_ERR_NO_MEMORY: no frames for tables, or table_quota;
///   AXAS_ERR_BAD_STATE: corrupt table;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT, or another vCPU is unhiding a table of the page (AXAS_HIDE_AUTO).
///
/// Never replaces a frame: of two calls for a page, or a call and a fault, the first one wins. Nothing changes
/// on error, and the frame stays the host's. Runs beside faults, copies and other calls of axas_supply. The
/// page gets the region's memory type and tag. The library neither zeroes it nor cleans its cache lines: the
/// host does.
///
/// Lock class: shared. Callbacks: alloc_frame and dealloc_frame for tables, phys_to_virt, release_virt,
/// clean_range, relax; tlb_flush (AXAS_FLUSH_NEW, AXAS_SCOPE_LOCAL) on RISC-V without Svvptc.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_supply(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    hpa: axas_hpa_t,
    size: u64,
    flags: axas_flags_t,
    how: u32,
) -> axas_status_t {
    let arguments = [gpa, hpa, size, flags.into(), how.into()];
    // SAFETY: the handle is null or live.
    let outcome =
        unsafe { self::space(space) }.and_then(|space| space.supply(gpa, hpa, size, flags, how));
    match outcome {
        // Of two who bring a page one is late: that is no mistake.
        Err(Error::AlreadyExists) => missed("axas_supply", arguments, Error::AlreadyExists),
        outcome => told("axas_supply", arguments, outcome),
    }
}

/// Unmaps the pages of a range and leaves a region of axas_map_provider in their place. Part `provider`.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param provider A number of the host's, up to 65535, for resolve and axas_query (as cookie).
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, provider above 65535, unaligned, size 0, overflow, outside the space;
///   AXAS_ERR_UNSUPPORTED: a space with AXAS_IO;
///   AXAS_ERR_NO_MEMORY: an edge cuts a huge page, and there are no frames for the tables of the split;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// Concerns linear pages and pages of the library, also those hidden with AXAS_HIDE_AUTO, not those hidden
/// without it. Everything else in the range is unchanged. The region keeps permissions, memory type and tag of
/// the pages, and pages supplied later are no larger than they were. After one tlb_flush (AXAS_FLUSH_UNMAP,
/// AXAS_SCOPE_ALL) evicted is called for each run; its argument `dirty` says whether the run was written since it
/// was last made clean (axas_dirty_clear): a clean run need not be written back. Then linear pages are released;
/// the library's frames go to dealloc_frame unless evicted kept them. While the space logs writes,
/// axas_dirty_get still reports what was dirty. Tables stay.
///
/// Nothing changes on error. Lock class: exclusive. Callbacks: as axas_unmap, and evicted.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_evict(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
    provider: u32,
) -> axas_status_t {
    // SAFETY: the handle is null or live.
    let outcome = unsafe { self::space(space) }.and_then(|space| space.evict(gpa, size, provider));
    told("axas_evict", [gpa, size, provider.into()], outcome)
}

/// axas_evict in slices. Part `provider`.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param provider A number of the host's, up to 65535, for resolve and axas_query (as cookie).
/// @param budget Entries to visit or write at most, holes included; at least 1.
/// @param done Receives the bytes from gpa that are done, with any status; not null.
/// @return AXAS_OK: all of it is done;
///   AXAS_ERR_AGAIN: the budget is used up or should_yield returned nonzero: continue at gpa + done (0 only
///     with AXAS_NO_WAIT);
///   AXAS_ERR_INVALID_INPUT: null, provider above 65535, unaligned, size 0, overflow, outside the space, budget 0;
///   AXAS_ERR_UNSUPPORTED: a space with AXAS_IO;
///   AXAS_ERR_NO_MEMORY: an edge cuts a huge page, and there are no frames for the tables of the split;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address.
///
/// An error leaves [gpa, gpa + done) done and the rest as it was. should_yield is called after every 512
/// entries, without the lock. Otherwise as axas_evict.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_evict_some(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
    provider: u32,
    budget: u64,
    done: *mut u64,
) -> axas_status_t {
    // SAFETY: the caller's promise is the one asked for.
    unsafe {
        some(
            "axas_evict_some",
            |left| [gpa, size, provider.into(), left],
            space,
            budget,
            done,
            |space, slices| space.evict_some(gpa, size, provider, slices),
        )
    }
}
