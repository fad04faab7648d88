// SPDX-License-Identifier: MIT OR Apache-2.0
use core::ffi::{c_char, c_void};

use super::{axas_t, checked, missed, put, refused, space, told, usable, written};
use crate::abi::*;
use crate::address_space::AddressSpace;
use crate::error::Error;

const TRANSLATE: &str = "axas_translate";

/// Where a guest-physical address is in host-physical memory.
///
/// @param space The space.
/// @param gpa Any guest-physical address.
/// @param hpa Receives the host-physical address; untouched after an error.
/// @param run Receives the bytes from gpa on that lie side by side in host memory, at least to the end of the
///   page (of whatever size); may be null; untouched after an error.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null;
///   AXAS_ERR_NOT_MAPPED: a hole, a reservation, a trap, a note, a hidden page, or outside the space;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT;
///   AXAS_ERR_BAD_STATE: corrupt table.
///
/// Never allocates a page. Without a lock of the host's the page may be unmapped right after. Lock class:
/// shared. Callbacks: phys_to_virt, release_virt, relax.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_translate(
    space: *const axas_t,
    gpa: axas_gpa_t,
    hpa: *mut axas_hpa_t,
    run: *mut u64,
) -> axas_status_t {
    if hpa.is_null() || !hpa.is_aligned() || !run.is_aligned() {
        return refused(TRANSLATE, [gpa], Error::InvalidInput);
    }
    // SAFETY: the handle is null or live.
    let space = match unsafe { self::space(space) } {
        Ok(space) => space,
        Err(error) => return refused(TRANSLATE, [gpa], error),
    };
    match space.translate_at_once(gpa) {
        // SAFETY: 1. `hpa` is not null, aligned and valid for a write; 2. so is `run` if not null.
        Some(found) => unsafe { put_translation(gpa, found, hpa, run) },
        // SAFETY: as above.
        None => unsafe { translate_again(space, gpa, hpa, run) },
    }
}

/// Asks again, where a look without the lock found nothing. Apart, so that the usual call saves no registers.
///
/// # Safety
/// `hpa` is valid for a write, and so is `run` if not null.
#[inline(never)]
unsafe fn translate_again(
    space: &AddressSpace,
    gpa: axas_gpa_t,
    hpa: *mut axas_hpa_t,
    run: *mut u64,
) -> axas_status_t {
    match space.translate_again(gpa) {
        // SAFETY: by the caller's promise.
        Ok(found) => unsafe { put_translation(gpa, found, hpa, run) },
        Err(error) => missed(TRANSLATE, [gpa], error),
    }
}

/// Stores where an address is, and the bytes from there on.
///
/// # Safety
/// `hpa` is valid for a write, and so is `run` if not null.
#[inline(always)]
unsafe fn put_translation(
    gpa: axas_gpa_t,
    (address, bytes): (u64, u64),
    hpa: *mut axas_hpa_t,
    run: *mut u64,
) -> axas_status_t {
    // SAFETY: by the caller's promise.
    unsafe {
        hpa.write(address);
        if !run.is_null() {
            run.write(bytes);
        }
    }
    told(TRANSLATE, [gpa, address], Ok(()))
}

/// The entry that covers an address.
///
/// @param space The space.
/// @param gpa Any guest-physical address.
/// @param mapping Receives the entry: its first address and size, clipped to the space; a hole is
///   AXAS_STATE_ABSENT with the size of the empty entry (over a table that AXAS_KEEP_TABLES kept, of one of its
///   entries or of all of it); untouched after an error.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null;
///   AXAS_ERR_NOT_MAPPED: outside the space;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT;
///   AXAS_ERR_BAD_STATE: corrupt table.
///
/// Lock class: shared. Callbacks: phys_to_virt, release_virt, relax.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_query(
    space: *const axas_t,
    gpa: axas_gpa_t,
    mapping: *mut axas_mapping_t,
) -> axas_status_t {
    // SAFETY: the handle is null or live.
    match unsafe { self::space(space) } {
        // SAFETY: `mapping` is null or valid for a write.
        Ok(space) => unsafe {
            written("axas_query", [gpa], mapping, |to| {
                space.query_and(gpa, |mapping| {
                    to.write(mapping);
                })
            })
        },
        Err(error) => refused("axas_query", [gpa], error),
    }
}

/// Calls back for each run of pages of equal state in a range, in order; holes are not runs.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096; 0 does nothing.
/// @param run Called with each run, clipped to the range; equal neighbours (same state, flags, cookie,
///   and host addresses that continue each other) are one. Returns 0 to stop. With the lock held:
///   may call no axas_ function.
/// @param ctx Passed to run.
/// @return AXAS_OK, also when stopped;
///   AXAS_ERR_INVALID_INPUT: null, unaligned, overflow, outside the space;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT;
///   AXAS_ERR_BAD_STATE: corrupt table.
///
/// Frames of AXAS_STATE_OWNED that happen to be contiguous are one run; so are leaves of different levels
/// (axas_mapping_t.level is 0 then). Lock class: shared, for the whole walk. Callbacks: phys_to_virt,
/// release_virt, relax.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_for_each(
    space: *const axas_t,
    gpa: axas_gpa_t,
    size: u64,
    run: axas_run_fn,
    ctx: *mut c_void,
) -> axas_status_t {
    let outcome = run.ok_or(Error::InvalidInput).and_then(|call| {
        // SAFETY: the handle is null or live.
        let space = unsafe { self::space(space) }?;
        space.for_each(gpa, size, &mut |mapping| {
            // SAFETY: by the caller's promise the callback takes these arguments and returns.
            unsafe { call(ctx, mapping) != 0 }
        })
    });
    checked("axas_for_each", [gpa, size], outcome)
}

/// Prints the space as a table in aligned columns, a line for each run of pages of equal state and size: range
/// (the end is the first address behind it), state, permissions, memory type, page size, and the host address,
/// the cookie of a trap, the value of a note, the number of a provider, or "not zeroed" (AXAS_SKIP_ZERO), and
/// the tag. The page size of a reservation is the largest that it may get.
///
/// @param space The space.
/// @param write Receives the text piece by piece, at most 128 bytes each. With the lock held: may call no axas_
///   function.
/// @param ctx Passed to write.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT;
///   AXAS_ERR_BAD_STATE: corrupt table.
///
/// Lock class: shared, for the whole walk. Callbacks: phys_to_virt, release_virt, relax.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_dump(
    space: *const axas_t,
    write: axas_write_fn,
    ctx: *mut c_void,
) -> axas_status_t {
    let outcome = write.ok_or(Error::InvalidInput).and_then(|call| {
        // SAFETY: the handle is null or live.
        let space = unsafe { self::space(space) }?;
        space.dump(&mut |text| {
            // SAFETY: by the caller's promise the callback takes these arguments and returns.
            unsafe { call(ctx, text.as_ptr().cast::<c_char>(), text.len()) }
        })
    });
    checked("axas_dump", [], outcome)
}

/// Counters of the space.
///
/// @param space The space.
/// @param stats Receives the counters; untouched after an error.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// Faults that run at the same moment may be counted in one member and not yet in another. Lock
/// class: shared. Callbacks: relax.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_stats(
    space: *const axas_t,
    stats: *mut axas_stats_t,
) -> axas_status_t {
    // SAFETY: 1. the handle is null or live; 2. `stats` is null or valid for a write.
    let outcome = usable(stats)
        .and_then(|()| unsafe { self::space(space) })
        .and_then(AddressSpace::stats)
        .and_then(|counters| unsafe { put(stats, counters) });
    checked("axas_stats", [], outcome)
}

/// Checks that the tables are as the library wrote them, and its counters.
///
/// @param space The space.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT;
///   AXAS_ERR_BAD_STATE: an entry that the library does not write, an address beyond pa_bits, an entry outside
///     the space, an empty table (but one that is kept with AXAS_KEEP_TABLES, whose entry says so), an entry
///     that counts the occupied entries of its table wrong, tables that point to each other, a page of the
///     guest that is a table of the space, or counts that differ.
///
/// Defence in depth, and for tests: reads every entry, and each leaf once more for every 16 runs of tables that
/// are not contiguous in host memory. The library's own lock is held exclusively; with AXAS_CALLER_LOCKED the
/// shared class is enough and counts are not compared. Callbacks: phys_to_virt, release_virt, relax.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_audit(space: *const axas_t) -> axas_status_t {
    // SAFETY: the handle is null or live.
    checked("axas_audit", [], unsafe { self::space(space) }.and_then(AddressSpace::audit))
}
