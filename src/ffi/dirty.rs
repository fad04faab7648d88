// SPDX-License-Identifier: MIT OR Apache-2.0
use super::mapping::some;
use super::memory::put_done;
use super::{axas_t, put, refused, space, told};
use crate::abi::*;
use crate::address_space::bitmap_words;
use crate::error::{Error, Result};

/// Starts logging which pages are written. Part `dirty`, as all axas_dirty_ calls.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param options AXAS_DIRTY_HARDWARE, AXAS_DIRTY_ALL, AXAS_DIRTY_SPLIT.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, other bits, unaligned, size 0, overflow, outside the space;
///   AXAS_ERR_UNSUPPORTED: AXAS_DIRTY_HARDWARE without AXAS_FEATURE_EPT_AD, AXAS_FEATURE_ARM_HAFDBS or
///     AXAS_FEATURE_RISCV_SVADU; a space with AXAS_IO;
///   AXAS_ERR_ALREADY_EXISTS: the space logs already, with the other setting of AXAS_DIRTY_HARDWARE;
///   AXAS_ERR_BAD_STATE: corrupt table;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// A page is dirty unless it was made clean; the store that makes an entry writable makes it dirty too, so that
/// no write is lost. The state is in the page's entry; the library keeps no bitmap. Logging is on for the whole
/// space; the range is what is made clean at once. With AXAS_DIRTY_ALL nothing is made clean: the call takes
/// the same short time for any size, and the first axas_dirty_collect reports everything. A second start clears
/// its range.
///
/// Without AXAS_DIRTY_HARDWARE the first write to a clean page faults; axas_handle_page_fault returns
/// AXAS_FAULT_RESOLVED and takes no frame; hardware writes no entry. With AXAS_DIRTY_HARDWARE hardware sets
/// dirty bits, if the host enabled that (EPTP bit 6, VTCR_EL2.HD, menvcfg.ADUE; always on NPT). On RISC-V with
/// AXAS_FEATURE_RISCV_SVADU hardware sets them without the option, too. With EPT accessed and dirty flags each
/// walk of the guest's own page tables counts as a write to them.
///
/// A huge page is clean or dirty as a whole; with AXAS_DIRTY_SPLIT those in the range that is made clean are
/// split to 4 KiB, as far as there are frames for tables. Linear device memory is neither reported nor made
/// clean, so that accesses to registers do not fault. The host adds writes of devices with axas_dirty_mark.
///
/// Lock class: exclusive. Callbacks: tlb_flush once (AXAS_FLUSH_TIGHTEN, with hardware AXAS_FLUSH_CLEAN;
/// AXAS_SCOPE_ALL), phys_to_virt, release_virt, clean_range, relax, with AXAS_DIRTY_SPLIT alloc_frame and
/// dealloc_frame.
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
/// @param bitmap Bit k % 64 of word k / 64 is the page at gpa + k * 4096. Bits are set and never cleared, so
///   that bitmaps of several calls add up. Not used by other code during the call.
/// @param bits Bits that the bitmap has, at least size / 4096.
/// @param count Receives the number of dirty pages, whether their bits were set before or not.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, a misaligned bitmap, too few bits, unaligned, size 0, overflow, outside the space;
///   AXAS_ERR_BAD_STATE: corrupt table; some bits may be set;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT; some bits may be set.
///
/// A huge page that is dirty sets the bits of all its pages. A reservation sets bits where axas_discard freed
/// pages since they were made clean: they read as zeroes now. Nothing else without a page sets bits, nor does
/// linear device memory. Every page that was dirtied before the call is reported. In a space that does not log
/// every page is dirty.
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

/// Makes the pages whose bits are set clean: the next write to each is logged.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096: that of bit 0 of the first word.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param bitmap Bit k % 64 of word k / 64 is the page at gpa + k * 4096; read only. Null: all bits are set.
/// @param bits Bits that the bitmap has, at least size / 4096; ignored without a bitmap.
/// @param options AXAS_DIRTY_SPLIT or 0.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, other bits, a misaligned bitmap, too few bits, unaligned, size 0, overflow, outside
///     the space, a space that does not log;
///   AXAS_ERR_BAD_STATE: corrupt table; some pages may be clean;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT; some pages may be clean.
///
/// Copy the pages of the bitmap after the call: a write through an old translation happens before the flush in
/// this call, and to one of these pages; a later write is logged.
///
/// A huge page is made clean only if all its bits are set and it lies in the range whole; else it stays dirty.
/// With AXAS_DIRTY_SPLIT it is split: to the next smaller size where all its bits are set, else until exactly
/// the pages whose bits are set are clean. Without a frame for a table it stays as without the option: the call
/// never fails for memory, and a fault never splits. On Arm without AXAS_FEATURE_ARM_BBM2 faults on a page that
/// is being split return AXAS_FAULT_RETRY until the flush; up to 64 are split between two flushes.
///
/// Lock class: exclusive. Callbacks: tlb_flush (AXAS_FLUSH_TIGHTEN, with hardware AXAS_FLUSH_CLEAN;
/// AXAS_SCOPE_ALL) once, or for each 64 huge pages that are split as above; called without the lock, except for
/// these, so that faults go on meanwhile. phys_to_virt, release_virt, clean_range, relax, with AXAS_DIRTY_SPLIT
/// alloc_frame and dealloc_frame.
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
/// @param gpa First guest-physical address, a multiple of 4096: that of bit 0 of the first word.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param bitmap Bit k % 64 of word k / 64 is the page at gpa + k * 4096. Bits are set and never cleared: one
///   that was set before stays set, and its page is unchanged if it is not dirty. Not used by other code
///   during the call.
/// @param bits Bits that the bitmap has, at least size / 4096.
/// @param options AXAS_DIRTY_SPLIT or 0.
/// @param count Receives the number of dirty pages, whether their bits were set before or not.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, other bits, a misaligned bitmap, too few bits, unaligned, size 0, overflow, outside
///     the space, a space that does not log;
///   AXAS_ERR_BAD_STATE: corrupt table; some pages may be clean;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT; some pages may be clean. The bits of pages that were made clean are set
///     with any status.
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

/// Makes pages dirty that were written without the tables: through a pointer of the host, or by a device.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, unaligned, size 0, overflow, outside the space;
///   AXAS_ERR_BAD_STATE: corrupt table;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// Call it after the write, and before the pass that must copy the page. Holes, traps and reservations are
/// skipped. Pages that the guest may only read are marked, too. axas_write, axas_fill, the scalars and
/// axas_for_each_chunk with AXAS_WRITE mark what they write. Nothing happens in a space that does not log.
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

/// Makes everything in a range dirty again, so that writes to it do not fault. Logging ends when that was the
/// whole space.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, unaligned, size 0, overflow, outside the space;
///   AXAS_ERR_BAD_STATE: corrupt table;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// Calls for consecutive ranges from the base of the space on count as the whole, unless a page was made clean
/// in between. A huge page that the range cuts becomes dirty as a whole. A reservation that lies in the range
/// whole is not reported any more. Nothing is flushed: a write fault through an old translation returns
/// AXAS_FAULT_SPURIOUS. Huge pages that were split stay split (axas_merge). axas_clear ends logging, too.
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
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param options AXAS_DIRTY_HARDWARE, AXAS_DIRTY_ALL, AXAS_DIRTY_SPLIT.
/// @param budget Most entries to visit, at least 1; a slice ends at a word boundary of the bitmap.
/// @param done Receives the bytes from gpa that are done, with AXAS_ERR_AGAIN a multiple of 64 pages; a huge
///   page there may be done beyond that.
/// @return AXAS_OK: all of it is done;
///   AXAS_ERR_AGAIN: the budget is used up or should_yield returned nonzero: continue at gpa + done (0 only
///     with AXAS_NO_WAIT);
///   AXAS_ERR_INVALID_INPUT: null, other bits, unaligned, size 0, overflow, outside the space, budget 0;
///   AXAS_ERR_UNSUPPORTED: AXAS_DIRTY_HARDWARE without AXAS_FEATURE_EPT_AD, AXAS_FEATURE_ARM_HAFDBS or
///     AXAS_FEATURE_RISCV_SVADU; a space with AXAS_IO;
///   AXAS_ERR_ALREADY_EXISTS: the space logs already, with the other setting of AXAS_DIRTY_HARDWARE;
///   AXAS_ERR_BAD_STATE: corrupt table.
///
/// Logging starts with the first slice. Each slice of 512 entries (all of the budget without should_yield) is
/// flushed once. Otherwise as axas_dirty_start. Callbacks: also should_yield.
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
/// @param gpa First guest-physical address, a multiple of 4096: that of bit 0 of the first word.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param bitmap Bit k % 64 of word k / 64 is the page at gpa + k * 4096; read only. Null: all bits are set.
/// @param bits Bits that the bitmap has, at least size / 4096; ignored without a bitmap.
/// @param options AXAS_DIRTY_SPLIT or 0.
/// @param budget Most entries to visit, at least 1; a slice ends at a word boundary of the bitmap.
/// @param done Receives the bytes from gpa that are done, with AXAS_ERR_AGAIN a multiple of 64 pages; a huge
///   page there may be done beyond that. Continue with the word of the bitmap at done / 4096 / 64.
/// @return AXAS_OK: all of it is done;
///   AXAS_ERR_AGAIN: the budget is used up or should_yield returned nonzero: continue at gpa + done (0 only
///     with AXAS_NO_WAIT);
///   AXAS_ERR_INVALID_INPUT: null, other bits, a misaligned bitmap, too few bits, unaligned, size 0, overflow, outside
///     the space, a space that does not log, budget 0;
///   AXAS_ERR_BAD_STATE: corrupt table; some pages may be clean.
///
/// Each slice of 512 entries (all of the budget without should_yield) is flushed once. Otherwise as
/// axas_dirty_clear. Callbacks: also should_yield.
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
/// @param gpa First guest-physical address, a multiple of 4096: that of bit 0 of the first word.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param bitmap Bit k % 64 of word k / 64 is the page at gpa + k * 4096. Bits are set and never cleared: one
///   that was set before stays set, and its page is unchanged if it is not dirty. Of a huge page that done
///   cuts all bits are set. Not used by other code during the call.
/// @param bits Bits that the bitmap has, at least size / 4096.
/// @param options AXAS_DIRTY_SPLIT or 0.
/// @param count Receives the number of dirty pages that this call found, whether their bits were set before
///   or not.
/// @param budget Most entries to visit, at least 1; a slice ends at a word boundary of the bitmap.
/// @param done Receives the bytes from gpa that are done, with AXAS_ERR_AGAIN a multiple of 64 pages; a huge
///   page there may be done beyond that. Continue with the word of the bitmap at done / 4096 / 64.
/// @return AXAS_OK: all of it is done;
///   AXAS_ERR_AGAIN: the budget is used up or should_yield returned nonzero: continue at gpa + done (0 only
///     with AXAS_NO_WAIT);
///   AXAS_ERR_INVALID_INPUT: null, other bits, a misaligned bitmap, too few bits, unaligned, size 0, overflow, outside
///     the space, a space that does not log, budget 0;
///   AXAS_ERR_BAD_STATE: corrupt table; some pages may be clean, their bits are set.
///
/// Each slice of 512 entries (all of the budget without should_yield) is flushed once. Otherwise as
/// axas_dirty_collect. Callbacks: also should_yield.
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
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param budget Most pages of 4 KiB to visit, at least 1; a slice ends at a multiple of 64 pages from gpa.
/// @param done Receives the bytes from gpa that are done, with AXAS_ERR_AGAIN a multiple of 64 pages; a huge
///   page there may be done beyond that.
/// @return AXAS_OK: all of it is done;
///   AXAS_ERR_AGAIN: the budget is used up or should_yield returned nonzero: continue at gpa + done (0 only
///     with AXAS_NO_WAIT);
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

/// Copies the contents of pages from one space to another: those whose bits are set, as by axas_dirty_collect.
/// Part `dirty`.
///
/// @param from The space to read.
/// @param gpa First guest-physical address there, a multiple of 4096.
/// @param to The space to write; not `from`.
/// @param to_gpa First guest-physical address there, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param bitmap A bit for each page from gpa on, read only; null: all pages.
/// @param bits Bits that the bitmap has, at least size / 4096; ignored without a bitmap.
/// @param done Receives the bytes from gpa that are done, with any status; may be null.
/// @return AXAS_OK: all of it;
///   AXAS_ERR_INVALID_INPUT: null, the same space twice, a misaligned bitmap, too few bits, unaligned, size 0,
///     overflow, outside one of the spaces;
///   AXAS_ERR_NOT_MAPPED: a hole, a trap or a note in either, where a bit is set, a page of `from` that its
///     provider has not brought, or resolve of `to` returned AXAS_RESOLVE_REFUSE;
///   AXAS_ERR_NO_MEMORY: no frame for a reserved page of `to`, its table_quota, or an unusable answer of its
///     resolve;
///   AXAS_ERR_UNSUPPORTED: linear DEVICE memory, or linear memory that the host cannot reach;
///   AXAS_ERR_BAD_STATE: corrupt table, or phys_to_virt returned null for a frame of alloc_frame;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT of one of the spaces, or resolve of `to` returned AXAS_RESOLVE_LATER.
///
/// Permissions are ignored in both, as with AXAS_ACCESS_HOST; formats may differ. A reserved page of `to` gets
/// its frame together with its contents; a frame that is written whole is not zeroed first. A reserved page of
/// `from` reads as zeroes, and a reserved page of `to` then stays reserved. resolve of `from` is not asked.
/// Pages of `to` become dirty. The guest of `from` may write meanwhile: where that space logs, the page is
/// dirty again. What was copied before an error stays.
///
/// Lock class: shared on both, dropped at least every 64 KiB; the call waits for neither while it holds the
/// other. Callbacks, each of its own space: of `from` phys_to_virt, release_virt, relax; of `to` as axas_write
/// with AXAS_ACCESS_CLEAN, on EPT and NPT without clean_range.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_copy(
    from: *mut axas_t,
    gpa: axas_gpa_t,
    to: *mut axas_t,
    to_gpa: axas_gpa_t,
    size: u64,
    bitmap: *const u64,
    bits: usize,
    done: *mut u64,
) -> axas_status_t {
    // SAFETY: 1. `done` is null or valid for a write; 2. the handles are null or live; 3. the caller's promise of the bitmap is
    // the one asked for.
    let outcome = unsafe {
        put_done(done, 0).and_then(|()| {
            let bitmap = set_words(bitmap, size, bits)?;
            let (outcome, copied) = space(from)?.copy_to(gpa, space(to)?, to_gpa, size, bitmap);
            put_done(done, copied).and(outcome)
        })
    };
    told("axas_copy", [gpa, to_gpa, size], outcome)
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
