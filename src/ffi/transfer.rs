// SPDX-License-Identifier: MIT OR Apache-2.0
use super::life_cycle::sized;
use super::mapping::some;
use super::{axas_t, space, told};
use crate::abi::*;
use crate::address_space::{AddressSpace, Transfer};
use crate::error::{Error, Result};

/// Reads how pages are to change hands.
///
/// # Safety
/// `asked` is null or as large as it says.
#[inline(never)]
unsafe fn read(asked: *const axas_transfer_t) -> Result<Transfer> {
    let mut transfer = axas_transfer_t::default();
    // SAFETY: the caller's promise is the one asked for.
    unsafe { sized(asked, &mut transfer, size_of::<axas_transfer_t>()) }?;
    Transfer::new(&transfer)
}

/// The other space, if there is one.
///
/// # Safety
/// The handle is null or live.
#[inline(always)]
unsafe fn other<'a>(to: *mut axas_t) -> Result<Option<&'a AddressSpace>> {
    if to.is_null() {
        return Ok(None);
    }
    // SAFETY: the handle is live.
    unsafe { space(to) }.map(Some)
}

/// Gives, lends, shares or takes back pages between two spaces, all or nothing over both. Part `transfer`,
/// which includes part `hide`.
///
/// @param from The space that has the pages.
/// @param from_gpa First guest-physical address there, a multiple of 4096.
/// @param to The other space; null with AXAS_TAKE_BACK: it no longer exists.
/// @param to_gpa First guest-physical address there, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param t The action and its values.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, struct_size too short, unknown bits or values, a member that the action does not
///     have, no permission for `to`, the same space twice, unaligned, size 0, overflow, outside one of the spaces, host
///     addresses above pa_bits of `to`;
///   AXAS_ERR_UNSUPPORTED: different formats; a tag above axas_tag_bits of its space, tags in an archive
///     without part `tags`; a cut of a page that AXAS_IO does not allow; permissions or memory type that the
///     format cannot express; memory of the library's, but with AXAS_GIVE between spaces of the same ctx and
///     dealloc_frame; with AXAS_SMALL_EXEC, AXAS_EXECUTE for a page of `from` larger than 4 KiB; AXAS_WIPE of
///     device memory, or of memory that the host cannot reach;
///   AXAS_ERR_NOT_MAPPED: a hole where a page is required;
///   AXAS_ERR_DENIED: something else where a page is required, a tag that from_tags or to_tags does not allow,
///     permissions that `from` does not have, with AXAS_TAKE_BACK another frame in `to` than in `from`, with
///     AXAS_WIPE a page of `from` that is not hidden;
///   AXAS_ERR_ALREADY_EXISTS: something other than a note in the range of `to`;
///   AXAS_ERR_NO_MEMORY: no frames for tables, or table_quota, of either space;
///   AXAS_ERR_BAD_STATE: corrupt table, alloc_frame returned an unusable address, or phys_to_virt failed for a
///     table or a page to be wiped;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT of one of the spaces.
///
/// | action | in `from`: before; after | in `to`: before; after |
/// |---|---|---|
/// | AXAS_GIVE | pages; notes with t->note, or holes | holes or notes; pages |
/// | AXAS_LEND | pages; the same hidden (axas_hide) | holes or notes; pages |
/// | AXAS_SHARE | pages; the same with from_flags | holes or notes; pages |
/// | AXAS_TAKE_BACK | pages, hidden or not; the same with from_flags, visible | the same pages; holes |
///
/// The permissions of `to` are to_flags, never more than `from` has. The memory type is that of the pages in
/// `from`, and so is their size, as far as the addresses allow. The host decides who may do what with which
/// pages. The library does not detect a lender that is destroyed before its borrowers.
///
/// First the side that loses access is changed and flushed (AXAS_FLUSH_UNMAP or AXAS_FLUSH_TIGHTEN,
/// AXAS_SCOPE_ALL, once, and with AXAS_GIVE once more if tables become empty), then AXAS_WIPE zeroes the pages,
/// then the other side gets them: at no time can both write to a page, except with AXAS_SHARE. Faults of both
/// guests may return AXAS_FAULT_RETRY meanwhile. released is called for neither space. Nothing changes in
/// either on error; where phys_to_virt fails on the way, `to` has none of the pages, and in `from` they are as
/// before or hidden.
///
/// Lock class: exclusive on both; the lock of the space with the lower handle is taken first. Callbacks, each
/// of its own space: alloc_frame, dealloc_frame, phys_to_virt, release_virt, clean_range, tlb_flush, relax.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_transfer(
    from: *mut axas_t,
    from_gpa: axas_gpa_t,
    to: *mut axas_t,
    to_gpa: axas_gpa_t,
    size: u64,
    t: *const axas_transfer_t,
) -> axas_status_t {
    // SAFETY: both handles are null or live.
    let outcome = match unsafe { (space(from), other(to)) } {
        (Ok(from), Ok(to)) => {
            // SAFETY: `t` is null or as large as it says.
            match &mut unsafe { read(t) } {
                Ok(asked) => from.transfer(from_gpa, to, to_gpa, size, asked),
                Err(error) => Err(*error),
            }
        }
        _ => Err(Error::InvalidInput),
    };
    told("axas_transfer", [from_gpa, to_gpa, size], outcome)
}

/// axas_transfer in slices. Each is all or nothing over both spaces. Part `transfer`.
///
/// @param from The space that has the pages.
/// @param from_gpa First guest-physical address there, a multiple of 4096.
/// @param to The other space; null with AXAS_TAKE_BACK: it no longer exists.
/// @param to_gpa First guest-physical address there, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param t The action and its values.
/// @param budget Entries to visit or write at most, holes included; at least 1.
/// @param done Receives the bytes from gpa that are done, with any status; not null.
/// @return AXAS_OK: all of it is done;
///   AXAS_ERR_AGAIN: the budget is used up or should_yield returned nonzero: continue at from_gpa + done and
///     to_gpa + done (0 only with AXAS_NO_WAIT);
///   AXAS_ERR_INVALID_INPUT: null, struct_size too short, unknown bits or values, a member that the action does not
///     have, no permission for `to`, the same space twice, unaligned, size 0, overflow, outside one of the spaces, host
///     addresses above pa_bits of `to`, budget 0;
///   AXAS_ERR_UNSUPPORTED: different formats, tags, permissions, memory or cuts that one of the spaces cannot have;
///   AXAS_ERR_NOT_MAPPED: a hole where a page is required;
///   AXAS_ERR_DENIED: something else where a page is required, a tag, permissions or a frame other than t requires;
///   AXAS_ERR_ALREADY_EXISTS: something other than a note in the range of `to`;
///   AXAS_ERR_NO_MEMORY: no frames for tables, or table_quota, of either space;
///   AXAS_ERR_BAD_STATE: corrupt table, alloc_frame returned an unusable address, or phys_to_virt failed for a
///     table or a page to be wiped.
///
/// The slice that returns an error changes nothing; those before it stay. should_yield is called after every
/// 512 entries, without the locks. Otherwise as axas_transfer.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_transfer_some(
    from: *mut axas_t,
    from_gpa: axas_gpa_t,
    to: *mut axas_t,
    to_gpa: axas_gpa_t,
    size: u64,
    t: *const axas_transfer_t,
    budget: u64,
    done: *mut u64,
) -> axas_status_t {
    // SAFETY: the caller's promise is the one asked for.
    unsafe {
        some(
            "axas_transfer_some",
            |left| [from_gpa, to_gpa, left],
            from,
            budget,
            done,
            |from, slices| {
                let to = other(to)?;
                match &mut read(t) {
                    Ok(asked) => from.transfer_some(from_gpa, to, to_gpa, size, asked, slices),
                    Err(error) => Err(*error),
                }
            },
        )
    }
}
