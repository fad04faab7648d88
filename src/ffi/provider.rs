// SPDX-License-Identifier: MIT OR Apache-2.0
use super::mapping::some;
use super::{axas_t, missed, space, told};
use crate::abi::*;
use crate::error::Error;

/// Sets a range aside for pages that the host provides when they are needed: an access there asks the host's
/// resolve. Part `provider`.
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
/// Takes tables as a lazy reservation of axas_map_alloc. axas_query reports AXAS_STATE_PROVIDED. To a fault the
/// host's resolve answers with a frame, now or later: axas_resolve_fn has what it may say. axas_populate asks
/// for every page of its range. A copy asks as the guest would, and is AXAS_ERR_AGAIN where the page comes
/// later. What is mapped there is linear or the library's as any other page: axas_unmap, axas_protect,
/// axas_retag and AXAS_REPLACE know no difference, axas_discard leaves a reservation of axas_map_alloc behind.
/// axas_evict makes pages a provider's again.
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

/// Brings a page of a provider's, whether somebody waits for it or not. Part `provider`.
///
/// @param space The space.
/// @param gpa Guest-physical address, a multiple of size.
/// @param hpa Host-physical address, a multiple of size.
/// @param size 4096, 2 MiB or 1 GiB.
/// @param flags Permissions, at least one; no more than the region has.
/// @param how AXAS_RESOLVE_NOW, or AXAS_RESOLVE_GIVEN: after AXAS_OK the frame is the library's.
/// @return AXAS_OK: it is mapped, vCPUs that wait go on;
///   AXAS_ERR_INVALID_INPUT: null, another how, other flags, no permission, another size, unaligned, overflow,
///     outside the space, host addresses above pa_bits;
///   AXAS_ERR_UNSUPPORTED: permissions that the format cannot express, a size above that of the region's pages
///     (axas_query says AXAS_NO_HUGE, AXAS_MAX_2M) or the format's, a space with AXAS_IO;
///   AXAS_ERR_ALREADY_EXISTS: a page is there already, or, for 2 MiB and 1 GiB, a table: then it is supplied in
///     smaller pieces;
///   AXAS_ERR_NOT_MAPPED: no provider's page is expected there;
///   AXAS_ERR_DENIED: a permission that the region does not have;
///   AXAS_ERR_NO_MEMORY: no frames for tables, or table_quota;
///   AXAS_ERR_BAD_STATE: corrupt table;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT, or another vCPU is unhiding a table of the page (AXAS_HIDE_AUTO).
///
/// Never replaces a frame: of two calls, or a call and a fault, one is first. After an error nothing has
/// changed and the frame stays the host's. Runs beside faults, copies and itself. A page has the region's
/// memory type and tag; what it holds is the host's business, caches included.
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

/// Takes the pages of a range away: a provider's come in their place. Part `provider`.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param provider As for axas_map_provider.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, provider above 65535, unaligned, size 0, overflow, outside the space;
///   AXAS_ERR_UNSUPPORTED: a space with AXAS_IO;
///   AXAS_ERR_NO_MEMORY: an edge cuts a huge page, and there are no frames for the tables of the split;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// Concerns linear pages and pages of the library, also hidden ones that show themselves (AXAS_HIDE_AUTO); not
/// what axas_hide holds otherwise. Everything else in the range is left as it is. The pages keep permissions,
/// memory type and tag; those that come in their place are no larger. After one tlb_flush (AXAS_FLUSH_UNMAP,
/// AXAS_SCOPE_ALL), evicted is called for each run, with whether it was written since it was last made clean
/// (axas_dirty_clear): what is clean need not be written back. Then linear pages are released, the library's
/// frames go to dealloc_frame unless evicted kept them. While writes are logged axas_dirty_get goes on to
/// report what was dirty. Tables stay.
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

/// axas_evict in slices. Otherwise as axas_map_linear_some. Part `provider`.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param provider As for axas_map_provider.
/// @param budget As for axas_map_linear_some.
/// @param done As for axas_map_linear_some.
/// @return AXAS_OK: all of it is done;
///   AXAS_ERR_AGAIN: the budget is used up or should_yield returned nonzero: continue at gpa + done (0 only
///     with AXAS_NO_WAIT);
///   AXAS_ERR_INVALID_INPUT: null, provider above 65535, unaligned, size 0, overflow, outside the space, budget 0;
///   AXAS_ERR_UNSUPPORTED: a space with AXAS_IO;
///   AXAS_ERR_NO_MEMORY: an edge cuts a huge page, and there are no frames for the tables of the split;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address.
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
