// SPDX-License-Identifier: MIT OR Apache-2.0
//! The mapper of the `x86_64` crate over long-mode tables, behind C functions. It has no call for a range
//! but one for each page.

use std::ffi::c_void;

use axaddrspace::abi::{AXAS_HPA_INVALID, AXAS_MAX_2M, AXAS_NO_HUGE, AXAS_REPLACE};
use x86_64::structures::paging::mapper::{TranslateResult, UnmapError};
use x86_64::structures::paging::{
    FrameAllocator, Mapper, OffsetPageTable, Page, PageSize, PageTable, PageTableFlags, PhysFrame,
    Size1GiB, Size2MiB, Size4KiB, Translate,
};
use x86_64::{PhysAddr, VirtAddr};

use super::{Calls, Handle};
use crate::pool;
use crate::subjects::ours::{pool_context, tell};

struct Pool;

// SAFETY: each frame of the pool is handed out once.
unsafe impl FrameAllocator<Size4KiB> for Pool {
    fn allocate_frame(&mut self) -> Option<PhysFrame> {
        // SAFETY: the pool's context; one thread uses it.
        let frame = unsafe { pool::alloc_frame(pool_context(), 0, 0) };
        (frame != AXAS_HPA_INVALID)
            .then(|| PhysFrame::containing_address(PhysAddr::new_truncate(frame)))
    }
}

/// # Safety
/// The handle came from `create`, is live, and nobody else uses it now.
#[inline(always)]
unsafe fn mapper<'a>(handle: *const c_void) -> OffsetPageTable<'a> {
    let root = unsafe { &mut *handle.cast_mut().cast::<PageTable>() };
    unsafe { OffsetPageTable::new(root, VirtAddr::new_truncate(pool::OFFSET)) }
}

unsafe extern "C" fn create() -> Handle {
    let Some(frame) = Pool.allocate_frame() else { return std::ptr::null_mut() };
    let root = pool::reach::<PageTable>(frame.start_address().as_u64());
    // SAFETY: a frame of the pool.
    unsafe { (*root).zero() };
    root.cast()
}

/// Gives the root back; the caller refills the pool.
unsafe extern "C" fn destroy(handle: Handle) {
    let root = (handle as u64).wrapping_sub(pool::OFFSET);
    // SAFETY: the pool's context; the root came from there.
    unsafe { pool::dealloc_frame(pool_context(), root, 0, 0) }
}

fn attributes(flags: u32) -> PageTableFlags {
    let writable =
        if flags & super::WRITE != 0 { PageTableFlags::WRITABLE } else { PageTableFlags::empty() };
    PageTableFlags::PRESENT | writable
}

fn pages<S: PageSize>(gpa: u64, size: u64) -> impl Iterator<Item = Page<S>> {
    let page = |at| Page::containing_address(VirtAddr::new_truncate(at));
    (gpa..gpa + size).step_by(S::SIZE as usize).map(page)
}

// SAFETY, for each function below: the handle is live and used by one thread; no CPU walks the tables.
fn map_pages<S: PageSize>(handle: Handle, gpa: u64, hpa: u64, size: u64, flags: u32) -> i32
where
    for<'a> OffsetPageTable<'a>: Mapper<S>,
{
    let mut mapper = unsafe { mapper(handle) };
    let mut at = hpa;
    for page in pages::<S>(gpa, size) {
        let frame = PhysFrame::containing_address(PhysAddr::new_truncate(at));
        match unsafe { mapper.map_to(page, frame, attributes(flags), &mut Pool) } {
            Ok(flush) => flush.ignore(),
            Err(_) => return -1,
        }
        at += S::SIZE;
    }
    0
}

unsafe extern "C" fn map(handle: Handle, gpa: u64, hpa: u64, size: u64, flags: u32) -> i32 {
    let granules = gpa | hpa | size;
    // It has no call for it: out, and in again.
    if flags & AXAS_REPLACE != 0 && unmap_pages::<Size4KiB>(handle, gpa, size).is_err() {
        return -1;
    }
    if flags & AXAS_NO_HUGE != 0 || granules & (Size2MiB::SIZE - 1) != 0 {
        map_pages::<Size4KiB>(handle, gpa, hpa, size, flags)
    } else if flags & AXAS_MAX_2M != 0 || granules & (Size1GiB::SIZE - 1) != 0 {
        map_pages::<Size2MiB>(handle, gpa, hpa, size, flags)
    } else {
        map_pages::<Size1GiB>(handle, gpa, hpa, size, flags)
    }
}

fn unmap_pages<S: PageSize>(handle: Handle, gpa: u64, size: u64) -> Result<(), UnmapError>
where
    for<'a> OffsetPageTable<'a>: Mapper<S>,
{
    let mut mapper = unsafe { mapper(handle) };
    for page in pages::<S>(gpa, size) {
        mapper.unmap(page)?.1.ignore();
    }
    Ok(())
}

/// Tries the page sizes: the first page says at once which it is.
unsafe extern "C" fn unmap(handle: Handle, gpa: u64, size: u64) -> i32 {
    let unmapped = unmap_pages::<Size4KiB>(handle, gpa, size)
        .or_else(|_| unmap_pages::<Size2MiB>(handle, gpa, size))
        .or_else(|_| unmap_pages::<Size1GiB>(handle, gpa, size));
    if unmapped.is_ok() { 0 } else { -1 }
}

unsafe extern "C" fn unmap_telling(handle: Handle, gpa: u64, size: u64) -> i32 {
    let mut mapper = unsafe { mapper(handle) };
    for page in pages::<Size4KiB>(gpa, size) {
        match mapper.unmap(page) {
            Ok((frame, flush)) => {
                flush.ignore();
                tell(page.start_address().as_u64(), frame.start_address().as_u64());
            }
            Err(_) => return -1,
        }
    }
    0
}

unsafe extern "C" fn protect(handle: Handle, gpa: u64, size: u64, flags: u32) -> i32 {
    let mut mapper = unsafe { mapper(handle) };
    for page in pages::<Size4KiB>(gpa, size) {
        match unsafe { mapper.update_flags(page, attributes(flags)) } {
            Ok(flush) => flush.ignore(),
            Err(_) => return -1,
        }
    }
    0
}

unsafe extern "C" fn translate(
    handle: *const c_void,
    gpa: u64,
    hpa: *mut u64,
    run: *mut u64,
) -> i32 {
    match unsafe { mapper(handle) }.translate(VirtAddr::new_truncate(gpa)) {
        TranslateResult::Mapped { frame, offset, .. } => {
            // SAFETY: places of the caller's.
            unsafe {
                *hpa = frame.start_address().as_u64() + offset;
                *run = frame.size() - offset;
            }
            0
        }
        _ => -1,
    }
}

/// It knows no reservations: a fault maps.
unsafe extern "C" fn reserve(_: Handle, _: u64, _: u64, _: u32) -> i32 {
    0
}

unsafe extern "C" fn fault(handle: Handle, gpa: u64, _access: u32) -> u32 {
    let Some(frame) = Pool.allocate_frame() else { return 1 };
    let hpa = frame.start_address().as_u64();
    u32::from(map_pages::<Size4KiB>(handle, gpa & !0xfff, hpa, pool::FRAME, super::RWX) != 0)
}

pub const CALLS: Calls = Calls { create, destroy, map, unmap, protect, translate, reserve, fault };

/// Pages that go are reported.
pub const TELLING: Calls = Calls { unmap: unmap_telling, ..CALLS };
