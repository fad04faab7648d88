// SPDX-License-Identifier: MIT OR Apache-2.0
use super::dirty::words;
use super::mapping::some;
use super::{axas_t, put, refused, space, told};
use crate::abi::*;
use crate::error::{Error, Result};

/// Sets the bits of pages that were used since they were last made old, and makes them old. Part `age`, as all
/// axas_age calls.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096: that of bit 0 of the first word.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param bitmap Bit k % 64 of word k / 64 is the page at gpa + k * 4096. Bits are set and never cleared. Null:
///   only the count is wanted. Not used by other code during the call.
/// @param bits Bits that the bitmap has, at least size / 4096; ignored without a bitmap.
/// @param options AXAS_AGE_TEST or AXAS_AGE_NO_FLUSH, or 0.
/// @param young Receives the number of pages of 4 KiB that were used, whether their bits were set before or
///   not.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, other bits, both options, a misaligned bitmap, too few bits, unaligned, size
///     0, overflow, outside the space;
///   AXAS_ERR_UNSUPPORTED: EPT without AXAS_FEATURE_EPT_AD, where an access to an old page does not fault (use
///     axas_hide with AXAS_HIDE_AUTO); a space with AXAS_IO, unless hardware sets accessed bits and
///     AXAS_FEATURE_IO_DIRTY is declared, for devices take no faults;
///   AXAS_ERR_BAD_STATE: corrupt table; some pages may be old, their bits are set;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT; some pages may be old, their bits are set.
///
/// The state is in the page's entry. Every page is young until the first call, and so is a page that is mapped,
/// allocated or shown later. An access makes it young: of the guest, by the accessed bit that hardware sets
/// (EPT with AXAS_FEATURE_EPT_AD, NPT, AXAS_FEATURE_ARM_HAF or AXAS_FEATURE_ARM_HAFDBS,
/// AXAS_FEATURE_RISCV_SVADU), else by a fault, for which axas_handle_page_fault returns AXAS_FAULT_RESOLVED and
/// takes no frame; of the host, by axas_read, axas_write and the other copies. Accesses through pointers of the
/// host and by devices with tables of their own are not noticed.
///
/// A huge page that is young sets the bits of all its pages, and becomes old if it lies wholly in the range.
/// Linear device memory is neither reported nor made old, nor is a reservation. A page that is hidden, or on EPT,
/// NPT and RISC-V has no permission, is not reported, whether it was used before or not; it is young when it is
/// shown, or gets a permission.
///
/// On EPT and NPT a table of 4 KiB pages none of which was used since the last call is not read: an unused GiB
/// costs 512 entries.
///
/// With AXAS_AGE_TEST no page is made old, each is read, and a budget counts pages. With AXAS_AGE_NO_FLUSH
/// nothing is flushed: an access by a translation that a CPU holds is missed.
///
/// Lock class: exclusive; with AXAS_AGE_TEST shared, a GiB at a time. Callbacks: tlb_flush (AXAS_FLUSH_CLEAN,
/// AXAS_SCOPE_ALL) once; called without the lock, except where accessed bits of tables were cleared (EPT and
/// NPT); phys_to_virt, release_virt, clean_range, relax.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_age(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
    bitmap: *mut u64,
    bits: usize,
    options: u32,
    young: *mut u64,
) -> axas_status_t {
    let arguments = [gpa, size, bits as u64, options.into()];
    // SAFETY: the caller's promises are those asked for.
    let given = unsafe { put(young, 0).and_then(|()| words_or_none(bitmap, size, bits)) };
    // SAFETY: the handle is null or live.
    let space = unsafe { self::space(space) };
    let (space, bitmap) = match (space, given) {
        (Ok(space), Ok(bitmap)) => (space, bitmap),
        _ => return refused("axas_age", arguments, Error::InvalidInput),
    };
    let mut found = 0;
    let outcome = space.age(gpa, size, bitmap, options, &mut found, None);
    // SAFETY: not null, aligned, valid for a write.
    unsafe { young.write(found) };
    told("axas_age", arguments, outcome)
}

/// Makes everything in a range young, so that no access faults because its page is old. Ageing ends when that
/// was the whole space.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, unaligned, size 0, overflow, outside the space;
///   AXAS_ERR_BAD_STATE: corrupt table;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// Calls for consecutive ranges from the base of the space on count as the whole, unless axas_age was called in
/// between. A huge page that the range cuts becomes young as a whole. Nothing is flushed. axas_clear ends
/// ageing, too.
///
/// Lock class: exclusive. Callbacks: phys_to_virt, release_virt, clean_range, relax.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_age_stop(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
) -> axas_status_t {
    // SAFETY: the handle is null or live.
    let outcome = unsafe { self::space(space) }.and_then(|space| space.age_stop(gpa, size, None));
    told("axas_age_stop", [gpa, size], outcome)
}

/// axas_age in slices.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096: that of bit 0 of the first word.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param bitmap Bit k % 64 of word k / 64 is the page at gpa + k * 4096. Bits are set and never cleared; of
///   a huge page that done cuts all are. Null: only the count is wanted. Not used by other code during the
///   call.
/// @param bits Bits that the bitmap has, at least size / 4096; ignored without a bitmap.
/// @param options AXAS_AGE_TEST or AXAS_AGE_NO_FLUSH, or 0.
/// @param young Receives the number of pages of 4 KiB that this call found used, whether their bits were set
///   before or not.
/// @param budget Most entries to visit, at least 1; a slice ends at a word boundary of the bitmap.
/// @param done Receives the bytes from gpa that are done, with AXAS_ERR_AGAIN a multiple of 64 pages: continue
///   with the word of the bitmap at done / 4096 / 64.
/// @return AXAS_OK: all of it is done;
///   AXAS_ERR_AGAIN: the budget is used up or should_yield returned nonzero: continue at gpa + done (0 only
///     with AXAS_NO_WAIT);
///   AXAS_ERR_INVALID_INPUT: null, other bits, both options, a misaligned bitmap, too few bits, unaligned, size
///     0, overflow, outside the space, budget 0;
///   AXAS_ERR_UNSUPPORTED: EPT without AXAS_FEATURE_EPT_AD; a space with AXAS_IO, unless hardware sets accessed
///     bits and AXAS_FEATURE_IO_DIRTY is declared;
///   AXAS_ERR_BAD_STATE: corrupt table; some pages may be old, their bits are set.
///
/// Each slice of 512 entries (all of the budget without should_yield) is flushed once. A table that is not read
/// counts as one entry. Otherwise as axas_age. Callbacks: also should_yield.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_age_some(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
    bitmap: *mut u64,
    bits: usize,
    options: u32,
    young: *mut u64,
    budget: u64,
    done: *mut u64,
) -> axas_status_t {
    // SAFETY: the caller's promise is the one asked for.
    unsafe {
        some(
            "axas_age_some",
            |left| [gpa, size, bits as u64, options.into(), left],
            space,
            budget,
            done,
            |space, slices| {
                put(young, 0)?;
                let bitmap = words_or_none(bitmap, size, bits)?;
                let mut found = 0;
                let outcome = space.age(gpa, size, bitmap, options, &mut found, Some(slices));
                young.write(found);
                outcome
            },
        )
    }
}

/// axas_age_stop in slices.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param budget Most pages of 4 KiB to visit, at least 1; a slice ends at a multiple of 64 pages from gpa.
/// @param done Receives the bytes from gpa that are done, with AXAS_ERR_AGAIN a multiple of 64 pages.
/// @return AXAS_OK: all of it is done;
///   AXAS_ERR_AGAIN: the budget is used up or should_yield returned nonzero: continue at gpa + done (0 only
///     with AXAS_NO_WAIT);
///   AXAS_ERR_INVALID_INPUT: null, unaligned, size 0, overflow, outside the space, budget 0;
///   AXAS_ERR_BAD_STATE: corrupt table.
///
/// Otherwise as axas_age_stop. Callbacks: also should_yield.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_age_stop_some(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
    budget: u64,
    done: *mut u64,
) -> axas_status_t {
    // SAFETY: the caller's promise is the one asked for.
    unsafe {
        some(
            "axas_age_stop_some",
            |left| [gpa, size, left],
            space,
            budget,
            done,
            |space, slices| space.age_stop(gpa, size, Some(slices)),
        )
    }
}

/// The words of a bitmap for a range, to be set; none without a bitmap.
///
/// # Safety
/// As for [`words`].
unsafe fn words_or_none<'a>(
    bitmap: *mut u64,
    size: u64,
    bits: usize,
) -> Result<Option<&'a mut [u64]>> {
    if bitmap.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise is the one asked for.
    unsafe { words(bitmap, size, bits) }.map(Some)
}
