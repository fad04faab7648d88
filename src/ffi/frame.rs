// SPDX-License-Identifier: MIT OR Apache-2.0
use super::{checked, life_cycle, put};
use crate::abi::*;
use crate::error::{Error, Result};
use crate::hal::{Host, host_frame};

/// Does something with the host behind a HAL: what no table names needs no flush.
///
/// # Safety
/// `hal` is null or as large as it says.
unsafe fn with_host<T>(hal: *const axas_hal_t, work: impl FnOnce(&Host) -> Result<T>) -> Result<T> {
    // SAFETY: the caller's promise is the one asked for.
    let mut host = unsafe { life_cycle::host(hal, true) };
    let host = host.as_mut().map_err(|error| *error)?;
    host_frame::narrow(host);
    work(host)
}

/// # Safety
/// `frame` is null or valid for reads.
unsafe fn frame<'a>(frame: *const axas_frame_t) -> Result<&'a axas_frame_t> {
    if !frame.is_aligned() {
        return Err(Error::InvalidInput);
    }
    // SAFETY: 1. aligned; 2. null or valid for reads by the caller's promise.
    unsafe { frame.as_ref() }.ok_or(Error::InvalidInput)
}

/// Allocates a frame for the host's own use: vCPU state, I/O bitmaps, rings. The library does not map it.
///
/// @param hal The host's callbacks; tlb_flush is not needed.
/// @param order The frame has `4096 << order` bytes and that alignment; at most 18 (1 GiB).
/// @param zero 1: every byte is zero; 0: the contents are as alloc_frame returned them.
/// @param frame Receives the frame; previous contents are ignored; no frame after an error.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, order above 18, zero neither 0 nor 1, a missing callback, an arena that is
///     not ready, unknown flags or a wrong struct_size in hal;
///   AXAS_ERR_UNSUPPORTED: an arena in hal with STATIC_HAL=1; a HAL without AXAS_HAL_DIRECT_MAP, or with
///     `released`, if the archive does not have that part (axas_parts);
///   AXAS_ERR_NO_MEMORY: alloc_frame has none;
///   AXAS_ERR_BAD_STATE: alloc_frame returned an unaligned or too high address, phys_to_virt null or an
///     unaligned pointer, or direct_map_offset is not a multiple of 8.
///
/// After an error every frame is freed. No lock, no space: any number of CPUs may call. Callbacks: alloc_frame
/// and dealloc_frame with AXAS_FRAME_HOST; with zero also phys_to_virt and release_virt, a page at a time, one
/// window open. The caches are not cleaned: for a reader that does not snoop them the host cleans.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_frame_alloc(
    hal: *const axas_hal_t,
    order: u32,
    zero: u32,
    frame: *mut axas_frame_t,
) -> axas_status_t {
    // SAFETY: 1. `frame` is null or valid for a write; 2. `hal` is null or as large as it says.
    let taken = unsafe { put(frame, host_frame::NO_FRAME) }
        .and_then(|()| unsafe { with_host(hal, |host| host_frame::take(host, order, zero)) });
    // SAFETY: as above.
    let outcome = taken.and_then(|taken| unsafe { put(frame, taken) });
    checked("axas_frame_alloc", [order.into(), zero.into()], outcome)
}

/// Frees a frame of axas_frame_alloc. It must not be in use.
///
/// @param hal The one that the frame came from.
/// @param frame The frame; holds none afterwards (bytes is 0, hpa AXAS_HPA_INVALID).
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, frame holds no frame (it was released before, its allocation failed, or it
///     is all zero), a missing callback, an arena that is not ready, unknown flags or a wrong struct_size in
///     hal;
///   AXAS_ERR_UNSUPPORTED: an arena in hal with STATIC_HAL=1; a HAL without AXAS_HAL_DIRECT_MAP, or with
///     `released`, if the archive does not have that part (axas_parts);
///   AXAS_ERR_BAD_STATE: direct_map_offset is not a multiple of 8.
///
/// Nothing changes on error: the frame stays allocated. A second release through a copy of frame is not
/// detected, as with free(). No lock. Callbacks: dealloc_frame with AXAS_FRAME_HOST.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_frame_release(
    hal: *const axas_hal_t,
    frame: *mut axas_frame_t,
) -> axas_status_t {
    // SAFETY: `frame` is null or valid for reads.
    let held = unsafe { self::frame(frame) };
    let arguments = held.map_or([0; 2], |held| [held.hpa, held.bytes]);
    // SAFETY: `hal` is null or as large as it says.
    let given =
        held.and_then(|held| unsafe { with_host(hal, |host| host_frame::give(host, held)) });
    // SAFETY: `frame` is valid for a write, for a frame was read from it.
    let outcome = given.and_then(|()| unsafe { put(frame, host_frame::NO_FRAME) });
    checked("axas_frame_release", arguments, outcome)
}

/// Writes one value to each byte of a frame of axas_frame_alloc.
///
/// @param hal The one that the frame came from.
/// @param frame The frame.
/// @param byte The value.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, frame holds no frame (it was released before, its allocation failed, or it
///     is all zero), a missing callback, an arena that is not ready, unknown flags or a wrong struct_size in
///     hal;
///   AXAS_ERR_UNSUPPORTED: an arena in hal with STATIC_HAL=1; a HAL without AXAS_HAL_DIRECT_MAP, or with
///     `released`, if the archive does not have that part (axas_parts);
///   AXAS_ERR_BAD_STATE: direct_map_offset is not a multiple of 8; or phys_to_virt returned null or an
///     unaligned pointer: pages before that one are filled, the frame stays allocated.
///
/// No lock; the time grows with the frame. Callbacks: phys_to_virt and release_virt, a page at a time,
/// one window open.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_frame_fill(
    hal: *const axas_hal_t,
    frame: *const axas_frame_t,
    byte: u8,
) -> axas_status_t {
    // SAFETY: `frame` is null or valid for reads.
    let held = unsafe { self::frame(frame) };
    let arguments = held.map_or([0; 2], |held| [held.hpa, held.bytes]);
    // SAFETY: `hal` is null or as large as it says.
    let outcome =
        held.and_then(|held| unsafe { with_host(hal, |host| host_frame::fill(host, held, byte)) });
    checked("axas_frame_fill", arguments, outcome)
}
