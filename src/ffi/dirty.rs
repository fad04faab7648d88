// SPDX-License-Identifier: MIT OR Apache-2.0
use super::mapping::some;
use super::{axas_t, put, refused, space, told};
use crate::abi::*;
use crate::address_space::bitmap_words;
use crate::error::{Error, Result};

/// Begins to log which pages are written. Part `dirty`, as all axas_dirty_ calls.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param options AXAS_DIRTY_HARDWARE, AXAS_DIRTY_ALL, AXAS_DIRTY_SPLIT.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, other bits, unaligned, size 0, overflow, outside the space;
///   AXAS_ERR_UNSUPPORTED: AXAS_DIRTY_HARDWARE without AXAS_FEATURE_EPT_AD, AXAS_FEATURE_ARM_HAFDBS or
///     AXAS_FEATURE_RISCV_SVADU; a space with AXAS_IO;
///   AXAS_ERR_ALREADY_EXISTS: the space logs in the other way;
///   AXAS_ERR_BAD_STATE: corrupt table;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// A page is dirty unless it was made clean, and the write that makes it writable makes it dirty in the same
/// operation: no write is lost in between. The record is the page's entry; the library keeps no bitmap. The log is one of
/// the whole space; the range is what is made clean at once. With AXAS_DIRTY_ALL nothing is: that takes the same
/// short time for every size, and the first axas_dirty_collect reports everything. A second start is a
/// clear of its range.
///
/// By write faults (without AXAS_DIRTY_HARDWARE), the first write to a clean page is a fault that
/// axas_handle_page_fault answers with AXAS_FAULT_RESOLVED, without a frame. Hardware writes no
/// entry. With AXAS_DIRTY_HARDWARE hardware sets dirty bits, where the host turned that on (EPTP bit 6, VTCR_EL2.HD,
/// menvcfg.ADUE; always on NPT). On RISC-V the part decides: with AXAS_FEATURE_RISCV_SVADU hardware sets them, without it writes
/// fault. An EPT with accessed and dirty flags counts the guest's own page tables as written by each walk.
///
/// A huge page is made clean whole and dirty whole; with AXAS_DIRTY_SPLIT those in the range that is made clean become
/// pages of 4 KiB, as far as there are frames for tables. Linear device memory is neither reported nor made clean: a register must not trap.
/// What a log of an IOMMU sees the host adds with axas_dirty_mark.
///
/// Lock class: exclusive. Callbacks: tlb_flush once (AXAS_FLUSH_TIGHTEN, with hardware AXAS_FLUSH_CLEAN; AXAS_SCOPE_ALL), phys_to_virt,
/// release_virt, clean_range, relax, with AXAS_DIRTY_SPLIT alloc_frame and dealloc_frame.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_dirty_start(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
    options: u32,
) -> axas_status_t {
    // SAFETY: the handle is null or live.
    let outcome =
        unsafe { self::space(space) }.and_then(|space| space.dirty_start(gpa, size, options, None));
    told("axas_dirty_start", [gpa, size, options.into()], outcome)
}

/// Sets the bits of dirty pages.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096: that of bit 0 of the first word.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param bitmap Bit k % 64 of word k / 64 is the page at gpa + k * 4096. Bits are set and never cleared, so that
///   other records can be added up in it. Used by no other code during the call.
/// @param bits Bits that the bitmap has, at least size / 4096.
/// @param count Receives how many pages were found dirty, whether their bits were set before or not.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, a misaligned bitmap, too few bits, unaligned, size 0, overflow, outside the space;
///   AXAS_ERR_BAD_STATE: corrupt table; some bits may be set;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT; some bits may be set.
///
/// A huge page that is dirty sets the bits of all its pages. A reservation sets bits where axas_discard took pages away
/// since they were made clean: they read as zeroes now. Nothing else that has no page sets bits, nor does linear device
/// memory. Every page that was dirtied before the call is reported. A space that does not log has no clean page.
///
/// Lock class: shared, a GiB at a time. Callbacks: phys_to_virt, release_virt, relax.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_dirty_get(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
    bitmap: *mut u64,
    bits: usize,
    count: *mut u64,
) -> axas_status_t {
    let arguments = [gpa, size, bits as u64];
    // SAFETY: the caller's promises are those asked for.
    let given = unsafe { put(count, 0).and_then(|()| words(bitmap, size, bits)) };
    // SAFETY: the handle is null or live.
    let space = unsafe { self::space(space) };
    let (space, bitmap) = match (space, given) {
        (Ok(space), Ok(bitmap)) => (space, bitmap),
        _ => return refused("axas_dirty_get", arguments, Error::InvalidInput),
    };
    let mut found = 0;
    let outcome = space.dirty_get(gpa, size, bitmap, &mut found);
    // SAFETY: not null, aligned, valid for a write.
    unsafe { count.write(found) };
    told("axas_dirty_get", arguments, outcome)
}

/// Makes pages clean whose bits are set: their next write is logged.
///
/// @param space The space.
/// @param gpa As for axas_dirty_get.
/// @param size As for axas_dirty_get.
/// @param bitmap As for axas_dirty_get, read only; null: all bits are set.
/// @param bits Bits that the bitmap has, at least size / 4096; of no account without a bitmap.
/// @param options AXAS_DIRTY_SPLIT or 0.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, other bits, a misaligned bitmap, too few bits, unaligned, size 0, overflow, outside
///     the space, a space that does not log;
///   AXAS_ERR_BAD_STATE: corrupt table; some pages may be clean;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT; some pages may be clean.
///
/// Copy the pages after the call, those whose bits you hold: a write by an old translation came before the flush in
/// this call, to a page whose bit you hold; one after it is logged.
///
/// A huge page is made clean only if all its bits are set and it lies in the range whole; else it stays
/// dirty. With AXAS_DIRTY_SPLIT it is split: one size smaller where all its bits are set, else so far that
/// exactly the pages whose bits are set become clean. Where there is no frame for a table it is as without the option:
/// the call never fails for memory, and a fault never splits. On Arm without AXAS_FEATURE_ARM_BBM2 vCPUs that touch a page
/// which is split are told AXAS_FAULT_RETRY until the flush; up to 64 are split between two flushes.
///
/// Lock class: exclusive. Callbacks: tlb_flush (AXAS_FLUSH_TIGHTEN, with hardware AXAS_FLUSH_CLEAN; AXAS_SCOPE_ALL) once, or
/// for each 64 huge pages that are split as above; without the lock, but for these: faults go on meanwhile. phys_to_virt,
/// release_virt, clean_range, relax, with AXAS_DIRTY_SPLIT alloc_frame and dealloc_frame.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_dirty_clear(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
    bitmap: *const u64,
    bits: usize,
    options: u32,
) -> axas_status_t {
    // SAFETY: 1. the caller's promise is the one asked for; 2. the handle is null or live.
    let outcome = unsafe {
        set_words(bitmap, size, bits)
            .and_then(|bitmap| self::space(space)?.dirty_clear(gpa, size, bitmap, options, None))
    };
    told("axas_dirty_clear", [gpa, size, bits as u64, options.into()], outcome)
}

/// axas_dirty_get and axas_dirty_clear of the same pages, in one walk.
///
/// @param space The space.
/// @param gpa As for axas_dirty_get.
/// @param size As for axas_dirty_get.
/// @param bitmap As for axas_dirty_get: pages whose bits were set before but which are not dirty stay as they are.
/// @param bits As for axas_dirty_get.
/// @param options As for axas_dirty_clear.
/// @param count As for axas_dirty_get.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, other bits, a misaligned bitmap, too few bits, unaligned, size 0, overflow, outside
///     the space, a space that does not log;
///   AXAS_ERR_BAD_STATE: corrupt table; some pages may be clean;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT; some pages may be clean. The bits of what was made clean are set in any case.
///
/// A huge page that stays dirty, because it does not lie in the range whole, is reported too. Otherwise as
/// axas_dirty_get and axas_dirty_clear.
///
/// Lock class: exclusive. Callbacks: as axas_dirty_clear.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_dirty_collect(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
    bitmap: *mut u64,
    bits: usize,
    options: u32,
    count: *mut u64,
) -> axas_status_t {
    let arguments = [gpa, size, bits as u64, options.into()];
    // SAFETY: the caller's promises are those asked for.
    let given = unsafe { put(count, 0).and_then(|()| words(bitmap, size, bits)) };
    // SAFETY: the handle is null or live.
    let space = unsafe { self::space(space) };
    let (space, bitmap) = match (space, given) {
        (Ok(space), Ok(bitmap)) => (space, bitmap),
        _ => return refused("axas_dirty_collect", arguments, Error::InvalidInput),
    };
    let mut found = 0;
    let outcome = space.dirty_collect(gpa, size, bitmap, options, &mut found, None);
    // SAFETY: not null, aligned, valid for a write.
    unsafe { count.write(found) };
    told("axas_dirty_collect", arguments, outcome)
}

/// Makes pages dirty that were written past the space: through a pointer of the host's, by a device.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, unaligned, size 0, overflow, outside the space;
///   AXAS_ERR_BAD_STATE: corrupt table;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// Call it after the write, before anybody counts on the page to be copied. Holes, traps and reservations are skipped. Pages that the guest
/// may only read are marked, too. axas_write, axas_fill, the scalars and axas_for_each_chunk with AXAS_WRITE mark what they
/// write. Nothing happens in a space that does not log.
///
/// Lock class: shared, a GiB at a time. Callbacks: phys_to_virt, release_virt, clean_range, relax.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_dirty_mark(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
) -> axas_status_t {
    // SAFETY: the handle is null or live.
    let outcome = unsafe { self::space(space) }.and_then(|space| space.dirty_mark(gpa, size));
    told("axas_dirty_mark", [gpa, size], outcome)
}

/// Makes everything in a range dirty again: writes to it fault no more. The log ends when that was the whole space.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, unaligned, size 0, overflow, outside the space;
///   AXAS_ERR_BAD_STATE: corrupt table;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// Parts of the space one after the other, in the order of addresses from its base on, are the whole of it, unless a page was
/// made clean in between. A huge page that the range cuts becomes dirty whole. Nothing is flushed: a CPU that faults once more by an old translation is told AXAS_FAULT_SPURIOUS. Huge pages that were
/// split stay split (axas_merge). axas_clear ends a log, too.
///
/// Lock class: exclusive. Callbacks: phys_to_virt, release_virt, clean_range, relax.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_dirty_stop(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
) -> axas_status_t {
    // SAFETY: the handle is null or live.
    let outcome = unsafe { self::space(space) }.and_then(|space| space.dirty_stop(gpa, size, None));
    told("axas_dirty_stop", [gpa, size], outcome)
}

/// axas_dirty_start in slices.
///
/// @param space The space.
/// @param gpa As for axas_dirty_start.
/// @param size As for axas_dirty_start.
/// @param options As for axas_dirty_start.
/// @param budget Entries to visit before it stops, at least 1; a slice ends where a word of a bitmap does.
/// @param done Receives the bytes from gpa that are done, with AXAS_ERR_AGAIN a multiple of 64 pages; of a huge page there more
///   may be done.
/// @return AXAS_OK: all of it is done;
///   AXAS_ERR_AGAIN: the budget is used up or should_yield said so: go on at gpa + done (0 only with AXAS_NO_WAIT);
///   AXAS_ERR_INVALID_INPUT: null, other bits, unaligned, size 0, overflow, outside the space, budget 0;
///   AXAS_ERR_UNSUPPORTED: AXAS_DIRTY_HARDWARE without AXAS_FEATURE_EPT_AD, AXAS_FEATURE_ARM_HAFDBS or
///     AXAS_FEATURE_RISCV_SVADU; a space with AXAS_IO;
///   AXAS_ERR_ALREADY_EXISTS: the space logs in the other way;
///   AXAS_ERR_BAD_STATE: corrupt table.
///
/// The log begins with the first slice. Each slice of 512 entries (all of the budget without should_yield) is flushed
/// once. Otherwise as axas_dirty_start. Callbacks: also should_yield.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_dirty_start_some(
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
            "axas_dirty_start_some",
            |left| [gpa, size, options.into(), left],
            space,
            budget,
            done,
            |space, slices| space.dirty_start(gpa, size, options, Some(slices)),
        )
    }
}

/// axas_dirty_clear in slices.
///
/// @param space The space.
/// @param gpa As for axas_dirty_clear.
/// @param size As for axas_dirty_clear.
/// @param bitmap As for axas_dirty_clear.
/// @param bits As for axas_dirty_clear.
/// @param options As for axas_dirty_clear.
/// @param budget As for axas_dirty_start_some.
/// @param done As for axas_dirty_start_some: go on with the word of the bitmap at done / 4096 / 64.
/// @return AXAS_OK: all of it is done;
///   AXAS_ERR_AGAIN: the budget is used up or should_yield said so: go on at gpa + done (0 only with AXAS_NO_WAIT);
///   AXAS_ERR_INVALID_INPUT: null, other bits, a misaligned bitmap, too few bits, unaligned, size 0, overflow, outside
///     the space, a space that does not log, budget 0;
///   AXAS_ERR_BAD_STATE: corrupt table; some pages may be clean.
///
/// Otherwise as axas_dirty_clear and axas_dirty_start_some.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_dirty_clear_some(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
    bitmap: *const u64,
    bits: usize,
    options: u32,
    budget: u64,
    done: *mut u64,
) -> axas_status_t {
    // SAFETY: the caller's promises are those asked for.
    unsafe {
        some(
            "axas_dirty_clear_some",
            |left| [gpa, size, bits as u64, options.into(), left],
            space,
            budget,
            done,
            |space, slices| {
                let bitmap = set_words(bitmap, size, bits)?;
                space.dirty_clear(gpa, size, bitmap, options, Some(slices))
            },
        )
    }
}

/// axas_dirty_collect in slices.
///
/// @param space The space.
/// @param gpa As for axas_dirty_collect.
/// @param size As for axas_dirty_collect.
/// @param bitmap As for axas_dirty_collect; of a huge page that done cuts all bits are set.
/// @param bits As for axas_dirty_collect.
/// @param options As for axas_dirty_collect.
/// @param count As for axas_dirty_collect, of this call.
/// @param budget As for axas_dirty_start_some.
/// @param done As for axas_dirty_clear_some.
/// @return AXAS_OK: all of it is done;
///   AXAS_ERR_AGAIN: the budget is used up or should_yield said so: go on at gpa + done (0 only with AXAS_NO_WAIT);
///   AXAS_ERR_INVALID_INPUT: null, other bits, a misaligned bitmap, too few bits, unaligned, size 0, overflow, outside
///     the space, a space that does not log, budget 0;
///   AXAS_ERR_BAD_STATE: corrupt table; some pages may be clean, their bits are set.
///
/// Otherwise as axas_dirty_collect and axas_dirty_start_some.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_dirty_collect_some(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
    bitmap: *mut u64,
    bits: usize,
    options: u32,
    count: *mut u64,
    budget: u64,
    done: *mut u64,
) -> axas_status_t {
    // SAFETY: the caller's promises are those asked for.
    unsafe {
        some(
            "axas_dirty_collect_some",
            |left| [gpa, size, bits as u64, options.into(), left],
            space,
            budget,
            done,
            |space, slices| {
                put(count, 0)?;
                let bitmap = words(bitmap, size, bits)?;
                let mut found = 0;
                let outcome =
                    space.dirty_collect(gpa, size, bitmap, options, &mut found, Some(slices));
                count.write(found);
                outcome
            },
        )
    }
}

/// axas_dirty_stop in slices.
///
/// @param space The space.
/// @param gpa As for axas_dirty_stop.
/// @param size As for axas_dirty_stop.
/// @param budget As for axas_dirty_start_some, in pages of 4 KiB.
/// @param done As for axas_dirty_start_some.
/// @return AXAS_OK: all of it is done;
///   AXAS_ERR_AGAIN: the budget is used up or should_yield said so: go on at gpa + done (0 only with AXAS_NO_WAIT);
///   AXAS_ERR_INVALID_INPUT: null, unaligned, size 0, overflow, outside the space, budget 0;
///   AXAS_ERR_BAD_STATE: corrupt table.
///
/// Otherwise as axas_dirty_stop. Callbacks: also should_yield.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_dirty_stop_some(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
    budget: u64,
    done: *mut u64,
) -> axas_status_t {
    // SAFETY: the caller's promise is the one asked for.
    unsafe {
        some(
            "axas_dirty_stop_some",
            |left| [gpa, size, left],
            space,
            budget,
            done,
            |space, slices| space.dirty_stop(gpa, size, Some(slices)),
        )
    }
}

/// The words of a bitmap for a range, to be set.
///
/// # Safety
/// The bitmap is null or has so many bits, valid for reads and writes and used by no other code for as long as the
/// slice lives.
pub(super) unsafe fn words<'a>(bitmap: *mut u64, size: u64, bits: usize) -> Result<&'a mut [u64]> {
    super::usable(bitmap)?;
    let words = bitmap_words(size, bits)?;
    // SAFETY: 1. not null, aligned; 2. by the caller's promise; 3. at most 2^46 words.
    Ok(unsafe { core::slice::from_raw_parts_mut(bitmap, words) })
}

/// The words of a bitmap for a range, to be read; none without a bitmap.
///
/// # Safety
/// The bitmap is null or has so many bits, valid for reads and not changed for as long as the slice lives.
unsafe fn set_words<'a>(bitmap: *const u64, size: u64, bits: usize) -> Result<Option<&'a [u64]>> {
    if bitmap.is_null() {
        return Ok(None);
    }
    super::usable(bitmap.cast_mut())?;
    let words = bitmap_words(size, bits)?;
    // SAFETY: 1. not null, aligned; 2. by the caller's promise, as above.
    Ok(Some(unsafe { core::slice::from_raw_parts(bitmap, words) }))
}
