// SPDX-License-Identifier: MIT OR Apache-2.0
use core::ffi::c_void;
use core::mem::offset_of;

use super::{checked, usable};
use crate::abi::*;
use crate::error::{Error, Result};
use crate::hal::arena;

/// # Safety
/// `arena` is null or points to an `axas_arena_t` that axas_arena_init made ready.
unsafe fn ready<'a>(arena: *mut axas_arena_t) -> Result<&'a arena::Arena> {
    // SAFETY: the caller's promise is the one asked for.
    unsafe { arena::Arena::at(arena) }.ok_or(Error::InvalidInput)
}

/// # Safety
/// `hal` is null or as large as it says.
unsafe fn set_arena(hal: *mut axas_hal_t, arena: *mut axas_arena_t) -> Result<()> {
    usable(hal)?;
    // SAFETY: 1. not null, aligned; 2. every version of the structure starts with its size.
    let size = unsafe { hal.cast::<u32>().read() } as usize;
    if size < offset_of!(axas_hal_t, arena).wrapping_add(size_of::<*mut axas_arena_t>()) {
        return Err(Error::InvalidInput);
    }
    if cfg!(feature = "static-hal") {
        return Err(Error::Unsupported);
    }
    // SAFETY: the member lies inside the size.
    unsafe { (&raw mut (*hal).arena).write(arena) };
    Ok(())
}

/// Initialises an arena, empty. It must not move until its last frame is freed.
///
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null or unaligned.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_arena_init(arena: *mut axas_arena_t) -> axas_status_t {
    // SAFETY: `arena` is null or valid for a write.
    checked("axas_arena_init", [], unsafe { arena::Arena::init(arena) })
}

/// Adds a region of memory to an arena; call it for each region.
///
/// @param arena The arena.
/// @param va Where this CPU (and every CPU that uses the arena) reaches the region; a multiple of 4096.
/// @param pa The region's host-physical address; a multiple of 4096.
/// @param bytes Size, a multiple of 4096, not 0. The arena keeps its records in free frames: every
///   frame can be handed out.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, unaligned, size 0 or from 16 TiB, overflow;
///   AXAS_ERR_ALREADY_EXISTS: overlaps a region of the arena;
///   AXAS_ERR_NO_MEMORY: more than AXAS_ARENA_REGIONS regions (one that continues an earlier one joins it);
///   AXAS_ERR_BAD_STATE: a frame of the arena was given back twice.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_arena_add(
    arena: *mut axas_arena_t,
    va: *mut c_void,
    pa: axas_hpa_t,
    bytes: usize,
) -> axas_status_t {
    // SAFETY: 1. the arena is null or ready; 2. by the caller's promise the region is the arena's.
    let outcome =
        unsafe { ready(arena) }.and_then(|arena| unsafe { arena.add(va.cast(), pa, bytes) });
    checked("axas_arena_add", [va.addr() as u64, pa, bytes as u64], outcome)
}

/// Makes an arena the allocator of a HAL: sets ctx, alloc_frame, dealloc_frame and phys_to_virt, nothing else.
///
/// @param arena The arena; used by the HAL's spaces until they are destroyed.
/// @param hal The HAL to complete.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null;
///   AXAS_ERR_UNSUPPORTED: the archive was built with STATIC_HAL=1 and calls the host's functions by name.
///
/// Frames are up to 1 GiB; AXAS_HPA_INVALID if no aligned run of the size is free in one region.
///
/// phys_to_virt covers the arena's regions only: linear memory elsewhere is mapped for the guest, and copies of
/// it are AXAS_ERR_UNSUPPORTED. The arena has a spin lock of its own: where faults are handled in interrupt
/// handlers, every call that uses the arena on that CPU runs with interrupts masked.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_arena_hal(
    arena: *mut axas_arena_t,
    hal: *mut axas_hal_t,
) -> axas_status_t {
    // SAFETY: 1. the arena is null or ready; 2. `hal` is null or valid for reads and writes.
    let both =
        unsafe { ready(arena) }.and_then(|_| unsafe { hal.as_mut() }.ok_or(Error::InvalidInput));
    let outcome = both.and_then(|hal| {
        if cfg!(feature = "static-hal") {
            return Err(Error::Unsupported);
        }
        hal.ctx = arena.cast();
        hal.alloc_frame = Some(arena::alloc_frame);
        hal.dealloc_frame = Some(arena::dealloc_frame);
        hal.phys_to_virt = Some(arena::phys_to_virt);
        Ok(())
    });
    checked("axas_arena_hal", [], outcome)
}

/// Makes an arena the allocator of tables only: sets the member `arena` of a HAL. The arena allocates, frees
/// and maps frames with AXAS_FRAME_TABLE (the handle of axas_create included) and AXAS_FRAME_ROOT. ctx and the
/// callbacks are unchanged and handle the rest: frames with AXAS_FRAME_GUEST and AXAS_FRAME_HOST, linear
/// memory, and clean_range for all.
///
/// @param arena The arena; used by the HAL's spaces until they are destroyed.
/// @param hal The HAL to complete; struct_size covers the member.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, or a HAL without the member;
///   AXAS_ERR_UNSUPPORTED: the archive was built with STATIC_HAL=1 and calls the host's functions by name.
///
/// The callbacks stay required; where no space owns guest memory alloc_frame may always return
/// AXAS_HPA_INVALID. With release_virt tables need no windows, and axas_create works. With AXAS_HAL_DIRECT_MAP
/// the regions of the arena are in the direct map too, at direct_map_offset. Its lock: see axas_arena_hal.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_arena_hal_tables(
    arena: *mut axas_arena_t,
    hal: *mut axas_hal_t,
) -> axas_status_t {
    // SAFETY: 1. the arena is null or ready; 2. `hal` is null or valid for its size's bytes.
    let outcome = unsafe { ready(arena).and_then(|_| set_arena(hal, arena)) };
    checked("axas_arena_hal_tables", [], outcome)
}
