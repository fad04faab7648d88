// SPDX-License-Identifier: MIT OR Apache-2.0
//! Frames: one region of memory, touched before anything is measured, behind a direct map.

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::ptr;

use axaddrspace::abi::{AXAS_HPA_INVALID, axas_hpa_t};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};

pub const FRAME: u64 = 4096;
/// Host-physical address of the first frame.
pub const FIRST: u64 = 1 << 32;
/// Where the region is in our memory: fixed, so that every subject reaches a frame by adding a constant.
const PLACE: u64 = 0x2000_0000_0000;
/// Virtual less host-physical address.
pub const OFFSET: u64 = PLACE - FIRST;

/// A stack of free frames. What is taken first has the lowest address.
pub struct Pool {
    total: u64,
    free: UnsafeCell<Vec<u64>>,
}

impl Pool {
    /// Takes `total` frames from the system, in huge pages if it has them, as a hypervisor's direct map
    /// would be. There is one pool in a process.
    pub fn new(total: u64) -> &'static Self {
        let bytes = (total * FRAME) as usize;
        let place = ptr::without_provenance_mut(PLACE as usize);
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED_NOREPLACE;
        // SAFETY: 1. nothing is mapped there (NOREPLACE), so that nobody's memory changes; 2. the region
        // stays until the process ends.
        let region =
            unsafe { mmap_anonymous(place, bytes, ProtFlags::READ | ProtFlags::WRITE, flags) };
        assert_eq!(region.ok(), Some(place), "no place for {bytes} bytes at {PLACE:#x}");
        // SAFETY: the region is ours; a hint.
        let _ = unsafe { madvise(place, bytes, Advice::LinuxHugepage) };
        // SAFETY: the region is ours, mapped and writable.
        unsafe { ptr::write_bytes(place.cast::<u8>(), 1, bytes) };
        let pool = Box::leak(Box::new(Self { total, free: UnsafeCell::new(Vec::new()) }));
        pool.refill();
        pool
    }

    /// Frames taken and not given back.
    pub fn missing(&self) -> u64 {
        // SAFETY: no callback runs now; the pool is used by one thread.
        self.total - unsafe { &*self.free.get() }.len() as u64
    }

    /// All frames are back, in order, whoever has them.
    pub fn refill(&self) {
        // SAFETY: as above.
        let free = unsafe { &mut *self.free.get() };
        free.clear();
        free.extend((0..self.total).rev().map(|frame| FIRST + frame * FRAME));
    }

    /// Takes frames out, for a thread to have as its own.
    pub fn split_off(&self, count: usize) -> Vec<u64> {
        // SAFETY: as above.
        let free = unsafe { &mut *self.free.get() };
        free.split_off(free.len() - count)
    }

    /// The context for [`alloc_frame`] and [`dealloc_frame`].
    pub fn context(&self) -> *mut c_void {
        ptr::from_ref(self).cast_mut().cast()
    }
}

/// The `alloc_frame` of every subject.
///
/// # Safety
/// `context` is that of a pool that no other thread uses.
#[inline(never)]
pub unsafe extern "C" fn alloc_frame(context: *mut c_void, order: u32, _: u32) -> axas_hpa_t {
    // SAFETY: by the caller's promise.
    let free = unsafe { &mut *(*context.cast::<Pool>()).free.get() };
    if order != 0 {
        return AXAS_HPA_INVALID;
    }
    free.pop().unwrap_or(AXAS_HPA_INVALID)
}

/// The `dealloc_frame` of every subject.
///
/// # Safety
/// As for [`alloc_frame`].
#[inline(never)]
pub unsafe extern "C" fn dealloc_frame(
    context: *mut c_void,
    frame: axas_hpa_t,
    order: u32,
    _: u32,
) {
    // SAFETY: by the caller's promise.
    let free = unsafe { &mut *(*context.cast::<Pool>()).free.get() };
    // A guest's frames may come back in larger pieces than they were taken.
    free.extend((0..1 << order).map(|page| frame + page * FRAME));
}

thread_local! {
    static OWN: UnsafeCell<Vec<u64>> = const { UnsafeCell::new(Vec::new()) };
}

/// Gives this thread frames of its own, and returns those it had.
pub fn own(frames: Vec<u64>) -> Vec<u64> {
    // SAFETY: no reference to the thread's frames outlives a call of this module.
    OWN.with(|own| std::mem::replace(unsafe { &mut *own.get() }, frames))
}

/// As [`alloc_frame`], from the frames of the calling thread.
///
/// # Safety
/// None needed; unsafe by its type.
pub unsafe extern "C" fn alloc_own(_: *mut c_void, order: u32, _: u32) -> axas_hpa_t {
    if order != 0 {
        return AXAS_HPA_INVALID;
    }
    // SAFETY: as in `own`.
    OWN.with(|own| unsafe { &mut *own.get() }.pop().unwrap_or(AXAS_HPA_INVALID))
}

/// As [`dealloc_frame`], to the frames of the calling thread.
///
/// # Safety
/// None needed; unsafe by its type.
pub unsafe extern "C" fn dealloc_own(_: *mut c_void, frame: axas_hpa_t, order: u32, _: u32) {
    // SAFETY: as in `own`.
    let own = |own: &UnsafeCell<Vec<u64>>| {
        unsafe { &mut *own.get() }.extend((0..1 << order).map(|page| frame + page * FRAME));
    };
    OWN.with(own);
}

/// Where a frame is in our memory.
pub fn reach<T>(hpa: u64) -> *mut T {
    ptr::with_exposed_provenance_mut(hpa.wrapping_add(OFFSET) as usize)
}

/// How much of the region the system backs with huge pages, in per cent.
pub fn huge_share() -> Option<u64> {
    let maps = std::fs::read_to_string("/proc/self/smaps").ok()?;
    let region = &maps[maps.find(&format!("{PLACE:x}-"))?..];
    let kib = |name: &str| {
        let line = region.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    Some(100 * kib("AnonHugePages:")? / kib("Rss:")?.max(1))
}
