// SPDX-License-Identifier: MIT OR Apache-2.0
//! `PageTable64` of page_table_multiarch with an EPT entry, behind C functions.

use std::ffi::c_void;

use axaddrspace::abi::{AXAS_HPA_INVALID, AXAS_NO_HUGE, AXAS_REPLACE};
use memory_addr::{PhysAddr, VirtAddr};
use page_table_entry::{GenericPTE, MappingFlags};
use page_table_multiarch::{PageSize, PageTable64, PagingHandler, PagingMetaData};

use super::{Calls, Handle};
use crate::pool;
use crate::subjects::ours::{pool_context, tell};

/// A plain EPT entry: permissions in 2:0, write-back, accessed and dirty set, as ours.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
struct Entry(u64);

const ADDRESS: u64 = 0xf_ffff_ffff_f000;
const LARGE: u64 = 1 << 7;
const ATTRIBUTES: u64 = 6 << 3 | 3 << 8;

fn leaf(flags: MappingFlags, is_huge: bool) -> u64 {
    flags.bits() as u64 & 7 | ATTRIBUTES | u64::from(is_huge) << 7
}

impl GenericPTE for Entry {
    fn new_page(paddr: PhysAddr, flags: MappingFlags, is_huge: bool) -> Self {
        Self(paddr.as_usize() as u64 & ADDRESS | leaf(flags, is_huge))
    }
    fn new_table(paddr: PhysAddr) -> Self {
        Self(paddr.as_usize() as u64 & ADDRESS | 7)
    }
    fn paddr(&self) -> PhysAddr {
        PhysAddr::from_usize((self.0 & ADDRESS) as usize)
    }
    fn flags(&self) -> MappingFlags {
        MappingFlags::from_bits_truncate((self.0 & 7) as usize)
    }
    fn set_paddr(&mut self, paddr: PhysAddr) {
        self.0 = self.0 & !ADDRESS | paddr.as_usize() as u64;
    }
    fn set_flags(&mut self, flags: MappingFlags, is_huge: bool) {
        self.0 = self.0 & ADDRESS | leaf(flags, is_huge);
    }
    fn bits(self) -> usize {
        self.0 as usize
    }
    fn is_unused(&self) -> bool {
        self.0 == 0
    }
    fn is_present(&self) -> bool {
        self.0 & 7 != 0
    }
    fn is_huge(&self) -> bool {
        self.0 & LARGE != 0
    }
    fn clear(&mut self) {
        self.0 = 0;
    }
}

struct Pool;

impl PagingHandler for Pool {
    fn alloc_frames(_: usize, _: usize) -> Option<PhysAddr> {
        // SAFETY: the pool's context; one thread uses it.
        let frame = unsafe { pool::alloc_frame(pool_context(), 0, 0) };
        (frame != AXAS_HPA_INVALID).then(|| PhysAddr::from_usize(frame as usize))
    }
    fn dealloc_frames(paddr: PhysAddr, _: usize) {
        // SAFETY: as above.
        unsafe { pool::dealloc_frame(pool_context(), paddr.as_usize() as u64, 0, 0) }
    }
    fn phys_to_virt(paddr: PhysAddr) -> VirtAddr {
        VirtAddr::from_usize((paddr.as_usize() as u64).wrapping_add(pool::OFFSET) as usize)
    }
}

/// Guest-physical addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Gpa(usize);

impl From<usize> for Gpa {
    fn from(address: usize) -> Self {
        Self(address)
    }
}

impl From<Gpa> for usize {
    fn from(address: Gpa) -> Self {
        address.0
    }
}

struct Ept;

impl PagingMetaData for Ept {
    const LEVELS: usize = 4;
    const PA_MAX_BITS: usize = 52;
    const VA_MAX_BITS: usize = 48;
    type VirtAddr = Gpa;
    fn flush_tlb(_: Option<Gpa>) {}
}

type Table = PageTable64<Ept, Entry, Pool>;

/// # Safety
/// The handle came from `create`, is live, and nobody else uses it now.
unsafe fn table<'a>(handle: *const c_void) -> &'a mut Table {
    unsafe { &mut *handle.cast_mut().cast() }
}

fn permissions(flags: u32) -> MappingFlags {
    MappingFlags::from_bits_truncate(flags as usize & 7)
}

unsafe extern "C" fn create() -> Handle {
    Table::try_new().map_or(std::ptr::null_mut(), |table| Box::into_raw(Box::new(table)).cast())
}

unsafe extern "C" fn destroy(handle: Handle) {
    // SAFETY: from `create`, not used any more.
    drop(unsafe { Box::from_raw(handle.cast::<Table>()) });
}

// SAFETY, for each function below: the handle is live and used by one thread.
unsafe extern "C" fn map(handle: Handle, gpa: u64, hpa: u64, size: u64, flags: u32) -> i32 {
    let distance = hpa.wrapping_sub(gpa) as usize;
    let target = |at: Gpa| PhysAddr::from_usize(at.0.wrapping_add(distance));
    let huge = flags & AXAS_NO_HUGE == 0;
    let mut cursor = unsafe { table(handle) }.cursor();
    // What a caller with one page would call.
    let mapped = if flags & AXAS_REPLACE != 0 {
        let target = PhysAddr::from_usize(hpa as usize);
        cursor.remap(Gpa(gpa as usize), target, permissions(flags)).map(drop)
    } else if size == pool::FRAME {
        let target = PhysAddr::from_usize(hpa as usize);
        cursor.map(Gpa(gpa as usize), target, PageSize::Size4K, permissions(flags))
    } else {
        cursor.map_region(Gpa(gpa as usize), target, size as usize, permissions(flags), huge)
    };
    if mapped.is_ok() { 0 } else { -1 }
}

unsafe extern "C" fn unmap(handle: Handle, gpa: u64, size: u64) -> i32 {
    let mut cursor = unsafe { table(handle) }.cursor();
    let unmapped = if size == pool::FRAME {
        cursor.unmap(Gpa(gpa as usize)).map(drop)
    } else {
        cursor.unmap_region(Gpa(gpa as usize), size as usize)
    };
    if unmapped.is_ok() { 0 } else { -1 }
}

/// Page by page, for the addresses: the call for a range says none.
unsafe extern "C" fn unmap_telling(handle: Handle, gpa: u64, size: u64) -> i32 {
    let mut cursor = unsafe { table(handle) }.cursor();
    for page in (gpa..gpa + size).step_by(pool::FRAME as usize) {
        match cursor.unmap(Gpa(page as usize)) {
            Ok((hpa, ..)) => tell(page, hpa.as_usize() as u64),
            Err(_) => return -1,
        }
    }
    0
}

unsafe extern "C" fn protect(handle: Handle, gpa: u64, size: u64, flags: u32) -> i32 {
    let mut cursor = unsafe { table(handle) }.cursor();
    let protected = cursor.protect_region(Gpa(gpa as usize), size as usize, permissions(flags));
    if protected.is_ok() { 0 } else { -1 }
}

unsafe extern "C" fn translate(
    handle: *const c_void,
    gpa: u64,
    hpa: *mut u64,
    run: *mut u64,
) -> i32 {
    match unsafe { table(handle) }.query(Gpa(gpa as usize)) {
        Ok((found, _, size)) => {
            let found = found.as_usize() as u64;
            let size = size as u64;
            // SAFETY: places of the caller's.
            unsafe {
                *hpa = found;
                *run = size - (found & (size - 1));
            }
            0
        }
        Err(_) => -1,
    }
}

/// It knows no reservations: a fault maps.
unsafe extern "C" fn reserve(_: Handle, _: u64, _: u64, _: u32) -> i32 {
    0
}

unsafe extern "C" fn fault(handle: Handle, gpa: u64, _access: u32) -> u32 {
    let Some(frame) = Pool::alloc_frame() else { return 1 };
    let flags = permissions(super::RWX);
    let page = Gpa(gpa as usize & !0xfff);
    let mapped = unsafe { table(handle) }.cursor().map(page, frame, PageSize::Size4K, flags);
    u32::from(mapped.is_err())
}

pub const CALLS: Calls = Calls { create, destroy, map, unmap, protect, translate, reserve, fault };

/// Pages that go are reported.
pub const TELLING: Calls = Calls { unmap: unmap_telling, ..CALLS };
