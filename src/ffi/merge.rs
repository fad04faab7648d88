// SPDX-License-Identifier: MIT OR Apache-2.0
use super::mapping::some;
use super::{axas_t, put, space, told};
use crate::abi::*;

/// Joins small pages to large ones: those that axas_unmap, axas_protect, AXAS_DIRTY_SPLIT or another call
/// split, and those that were mapped small. Part `merge`.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param flags AXAS_MAX_2M, AXAS_NO_HUGE_EXEC, AXAS_MERGE_COPY. The library does not remember flags that
///   limited page sizes when pages were mapped: pass them again.
/// @param merged Receives the number of tables that were replaced by one entry, with any status.
/// @return AXAS_OK, also where nothing could be merged;
///   AXAS_ERR_INVALID_INPUT: null, other bits, unaligned, size 0, overflow, outside the space;
///   AXAS_ERR_UNSUPPORTED: a space with AXAS_IO;
///   AXAS_ERR_BAD_STATE: corrupt table, or phys_to_virt returned null for a table or a page; some tables may be
///     merged;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT; some tables may be merged.
///
/// A table that lies wholly in the range is replaced by one page if its 512 entries are pages with one set of
/// permissions, memory type, owner and tag, whose frames are contiguous from an aligned address on, and if the
/// format and the flags allow that page: 4 KiB become 2 MiB, and 2 MiB 1 GiB in the same call. A table of 512
/// equal reservations, traps or notes, of any level, is replaced by one of these. AXAS_SMALL_EXEC holds. While
/// the space logs writes, pages are joined only if all are clean or all dirty. Mappings do not change, and a
/// second call finds nothing left to do.
///
/// With AXAS_MERGE_COPY, 512 pages of 4 KiB of the library's that fulfil all of this but are not contiguous are
/// copied into a frame of 2 MiB (alloc_frame of order 9), one table at a time, if alloc_frame returns one and
/// may_move allows it for each page. Their frames go to dealloc_frame. On Arm and RISC-V clean_range is called
/// for executable pages, so that the host can invalidate instruction caches.
///
/// Afterwards dealloc_frame may receive guest frames in other orders than alloc_frame returned.
///
/// Lock class: exclusive, dropped after 32 tables, or one that is copied; faults meanwhile return
/// AXAS_FAULT_RETRY. Callbacks: tlb_flush (AXAS_FLUSH_BREAK, AXAS_SCOPE_ALL) once for these tables, and
/// AXAS_FLUSH_NEW on RISC-V without Svvptc; then dealloc_frame; phys_to_virt, release_virt, clean_range, relax;
/// with AXAS_MERGE_COPY alloc_frame, may_move.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_merge(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
    flags: axas_flags_t,
    merged: *mut u64,
) -> axas_status_t {
    let mut went = 0;
    // SAFETY: 1. `merged` is null or valid for a write; 2. the handle is null or live.
    let outcome = unsafe {
        put(merged, 0).and_then(|()| {
            let outcome = self::space(space)?.merge(gpa, size, flags, &mut went, None);
            merged.write(went);
            outcome
        })
    };
    told("axas_merge", [gpa, size, flags.into()], outcome)
}

/// axas_merge in slices. Part `merge`.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param flags AXAS_MAX_2M, AXAS_NO_HUGE_EXEC, AXAS_MERGE_COPY. The library does not remember flags that
///   limited page sizes when pages were mapped: pass them again.
/// @param merged Receives the number of tables that this call replaced by one entry, with any status.
/// @param budget Most entries to visit, at least 1; a slice ends at the end of a table of 4 KiB pages.
/// @param done Receives the bytes from gpa that are done, with any status; not null.
/// @return AXAS_OK: all of it is done;
///   AXAS_ERR_AGAIN: the budget is used up or should_yield returned nonzero: continue at gpa + done (0 only
///     with AXAS_NO_WAIT);
///   AXAS_ERR_INVALID_INPUT: null, other bits, unaligned, size 0, overflow, outside the space, budget 0;
///   AXAS_ERR_UNSUPPORTED: a space with AXAS_IO;
///   AXAS_ERR_BAD_STATE: corrupt table, or phys_to_virt returned null for a table or a page; some tables may be
///     merged.
///
/// A page of 1 GiB, or a larger reservation, is made only by a call whose range and budget cover all of it:
/// call once more for the whole range; 1 GiB of 2 MiB pages is 512 entries. Otherwise as axas_merge. Callbacks:
/// also should_yield.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_merge_some(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
    flags: axas_flags_t,
    merged: *mut u64,
    budget: u64,
    done: *mut u64,
) -> axas_status_t {
    // SAFETY: the caller's promises are those asked for.
    unsafe {
        some(
            "axas_merge_some",
            |left| [gpa, size, flags.into(), left],
            space,
            budget,
            done,
            |space, slices| {
                put(merged, 0)?;
                let mut went = 0;
                let outcome = space.merge(gpa, size, flags, &mut went, Some(slices));
                merged.write(went);
                outcome
            },
        )
    }
}
