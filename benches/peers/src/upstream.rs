// SPDX-License-Identifier: MIT OR Apache-2.0
//! `AddrSpace` of the crate axaddrspace 0.6 over page-table-generic 0.9 with an EPT entry, behind C
//! functions.

use std::ffi::c_void;

use ax_memory_addr::{PhysAddr, VirtAddr};
use axaddrspace_bench::pool;
use axaddrspace_bench::subjects::ours::pool_context;
use axaddrspace_bench::subjects::{Calls, Handle};
use axvm_types::{GuestPhysAddr, MappingFlags};
use page_table_generic::{
    FrameAllocator, MapConfig, PageTable, PageTableEntry, PagingError, TableMeta,
};
use upstream::{AddrSpace, AddrSpaceError, AddrSpaceResult, NestedPageTableOps, PageSize};

/// A plain EPT entry: permissions in 2:0, write-back, accessed and dirty set, as ours.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
struct Entry(u64);

const ADDRESS: u64 = 0xf_ffff_ffff_f000;
const LARGE: u64 = 1 << 7;
const ATTRIBUTES: u64 = 6 << 3 | 3 << 8;

impl PageTableEntry for Entry {
    type PteConfig = MappingFlags;

    fn new_page(paddr: PhysAddr, flags: MappingFlags, is_huge: bool) -> Self {
        let permissions = flags.bits() as u64 & 7;
        let huge = u64::from(is_huge) << 7;
        Self(paddr.as_usize() as u64 & ADDRESS | permissions | ATTRIBUTES | huge)
    }
    fn new_table(paddr: PhysAddr) -> Self {
        Self(paddr.as_usize() as u64 & ADDRESS | 7)
    }
    fn paddr(&self, _: bool) -> PhysAddr {
        PhysAddr::from_usize((self.0 & ADDRESS) as usize)
    }
    fn config(&self, _: bool) -> MappingFlags {
        MappingFlags::from_bits_truncate((self.0 & 7) as _)
    }
    fn present(&self) -> bool {
        self.0 & 7 != 0
    }
    fn huge(&self, is_dir: bool) -> bool {
        is_dir && self.0 & LARGE != 0
    }
    fn unused(&self) -> bool {
        self.0 == 0
    }
    fn clear(&mut self) {
        self.0 = 0;
    }
}

#[derive(Clone, Copy)]
struct Ept;

impl TableMeta for Ept {
    type P = Entry;
    const PAGE_SIZE: usize = pool::FRAME as usize;
    const LEVEL_BITS: &[usize] = &[9, 9, 9, 9];
    const MAX_BLOCK_LEVEL: usize = 3;
    fn flush(_: Option<VirtAddr>) {}
}

#[derive(Clone, Copy)]
struct Frames;

impl FrameAllocator for Frames {
    fn alloc_frame(&self) -> Option<PhysAddr> {
        // SAFETY: the pool's context; one thread uses it.
        let frame = unsafe { pool::alloc_frame(pool_context(), 0, 0) };
        (frame != u64::MAX).then(|| PhysAddr::from_usize(frame as usize))
    }
    fn dealloc_frame(&self, frame: PhysAddr) {
        // SAFETY: as above.
        unsafe { pool::dealloc_frame(pool_context(), frame.as_usize() as u64, 0, 0) }
    }
    fn phys_to_virt(&self, paddr: PhysAddr) -> *mut u8 {
        pool::reach(paddr.as_usize() as u64)
    }
}

type Engine = PageTable<Ept, Frames>;

/// The table, where the space and [`protect`] both reach it.
struct Table(*mut Engine);

impl Table {
    fn engine(&self) -> &Engine {
        // SAFETY: live as long as the space; used by one thread.
        unsafe { &*self.0 }
    }
    #[allow(clippy::mut_from_ref)] // One thread, one call at a time.
    fn engine_mut(&self) -> &mut Engine {
        // SAFETY: as above.
        unsafe { &mut *self.0 }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        // SAFETY: 1. from `create`, not used any more; 2. no CPU walks the tables.
        unsafe { Box::from_raw(self.0).destroy() }
    }
}

fn failed(_: PagingError) -> AddrSpaceError {
    AddrSpaceError::MappingState
}

fn gva(address: GuestPhysAddr) -> VirtAddr {
    VirtAddr::from_usize(address.as_usize())
}

fn page_size(bytes: usize) -> PageSize {
    match bytes {
        0x20_0000 => PageSize::Size2M,
        0x4000_0000 => PageSize::Size1G,
        _ => PageSize::Size4K,
    }
}

impl NestedPageTableOps for Table {
    fn root_paddr(&self) -> PhysAddr {
        self.engine().root_paddr()
    }
    fn levels(&self) -> usize {
        4
    }
    fn alloc_frame(&self) -> Option<PhysAddr> {
        Frames.alloc_frame()
    }
    fn dealloc_frame(&self, paddr: PhysAddr) {
        Frames.dealloc_frame(paddr);
    }
    fn phys_to_virt(&self, paddr: PhysAddr) -> VirtAddr {
        VirtAddr::from_usize(Frames.phys_to_virt(paddr).addr())
    }
    fn map(
        &mut self,
        vaddr: GuestPhysAddr,
        paddr: PhysAddr,
        size: PageSize,
        flags: MappingFlags,
    ) -> AddrSpaceResult {
        let config = MapConfig {
            vaddr: gva(vaddr),
            paddr,
            size: size.into(),
            pte: flags,
            allow_huge: size.is_huge(),
            flush: false,
        };
        self.engine_mut().map(&config).map_err(failed)
    }
    fn unmap(
        &mut self,
        vaddr: GuestPhysAddr,
    ) -> AddrSpaceResult<(PhysAddr, MappingFlags, PageSize)> {
        let (paddr, flags, size) = self.engine_mut().unmap_page(gva(vaddr)).map_err(failed)?;
        Ok((paddr, flags, page_size(size)))
    }
    fn map_linear(
        &mut self,
        vaddr: GuestPhysAddr,
        paddr: PhysAddr,
        size: usize,
        flags: MappingFlags,
        allow_huge: bool,
    ) -> AddrSpaceResult {
        let mapped = self.engine_mut().map_linear_pages(gva(vaddr), paddr, size, flags, allow_huge);
        mapped.map_err(failed)
    }
    fn unmap_region(&mut self, start: GuestPhysAddr, size: usize) -> AddrSpaceResult {
        self.engine_mut().unmap(gva(start), size).map_err(failed)
    }
    /// Comes for each fault: most often nothing stands there.
    fn remap(&mut self, start: GuestPhysAddr, paddr: PhysAddr, flags: MappingFlags) -> bool {
        let page = GuestPhysAddr::from(start.as_usize() & !0xfff);
        self.map(page, paddr, PageSize::Size4K, flags).is_ok()
            || self.unmap(page).is_ok() && self.map(page, paddr, PageSize::Size4K, flags).is_ok()
    }
    fn protect_region(&mut self, start: GuestPhysAddr, size: usize, flags: MappingFlags) -> bool {
        self.engine_mut().protect_region(gva(start), size, flags).is_ok()
    }
    fn query(&self, vaddr: GuestPhysAddr) -> AddrSpaceResult<(PhysAddr, MappingFlags, PageSize)> {
        let found = self.engine().translate_with_level(gva(vaddr)).map_err(failed)?;
        let (paddr, entry, level) = found;
        Ok((paddr, entry.config(level > 1), page_size(0x1000 << (9 * (level - 1)))))
    }
}

type Space = AddrSpace<Table>;

/// # Safety
/// The handle came from `create`, is live, and nobody else uses it now.
unsafe fn space<'a>(handle: *const c_void) -> &'a mut Space {
    unsafe { &mut *handle.cast_mut().cast() }
}

fn permissions(flags: u32) -> MappingFlags {
    MappingFlags::from_bits_truncate((flags & 7) as _)
}

fn status<T, E>(outcome: Result<T, E>) -> i32 {
    if outcome.is_ok() { 0 } else { -1 }
}

unsafe extern "C" fn create() -> Handle {
    let Ok(engine) = Engine::new(Frames) else { return std::ptr::null_mut() };
    let table = Table(Box::into_raw(Box::new(engine)));
    let space = Space::new_empty(table, GuestPhysAddr::from(0), 1 << 48);
    space.map_or(std::ptr::null_mut(), |space| Box::into_raw(Box::new(space)).cast())
}

unsafe extern "C" fn destroy(handle: Handle) {
    // SAFETY: from `create`, not used any more.
    drop(unsafe { Box::from_raw(handle.cast::<Space>()) });
}

// SAFETY, for each function below: the handle is live and used by one thread.
unsafe extern "C" fn map(handle: Handle, gpa: u64, hpa: u64, size: u64, flags: u32) -> i32 {
    let (gpa, hpa) = (GuestPhysAddr::from(gpa as usize), PhysAddr::from_usize(hpa as usize));
    status(unsafe { space(handle) }.map_linear(gpa, hpa, size as usize, permissions(flags)))
}

unsafe extern "C" fn unmap(handle: Handle, gpa: u64, size: u64) -> i32 {
    status(unsafe { space(handle) }.unmap(GuestPhysAddr::from(gpa as usize), size as usize))
}

/// `AddrSpace` has no call for it: this one goes to the table below.
unsafe extern "C" fn protect(handle: Handle, gpa: u64, size: u64, flags: u32) -> i32 {
    let engine = unsafe { space(handle) }.page_table().engine_mut();
    let gpa = VirtAddr::from_usize(gpa as usize);
    status(engine.protect_region(gpa, size as usize, permissions(flags)))
}

unsafe extern "C" fn translate(
    handle: *const c_void,
    gpa: u64,
    hpa: *mut u64,
    run: *mut u64,
) -> i32 {
    match unsafe { space(handle) }.translate(GuestPhysAddr::from(gpa as usize)) {
        Some(found) => {
            // It says no run.
            // SAFETY: places of the caller's.
            unsafe {
                *hpa = found.as_usize() as u64;
                *run = pool::FRAME;
            }
            0
        }
        None => -1,
    }
}

unsafe extern "C" fn reserve(handle: Handle, gpa: u64, size: u64, flags: u32) -> i32 {
    let gpa = GuestPhysAddr::from(gpa as usize);
    status(unsafe { space(handle) }.map_alloc(gpa, size as usize, permissions(flags), false))
}

unsafe extern "C" fn fault(handle: Handle, gpa: u64, access: u32) -> u32 {
    let gpa = GuestPhysAddr::from(gpa as usize);
    u32::from(!unsafe { space(handle) }.handle_page_fault(gpa, permissions(access)))
}

pub const CALLS: Calls = Calls { create, destroy, map, unmap, protect, translate, reserve, fault };
