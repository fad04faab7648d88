// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the host gives, made safe: callbacks that are there, frames that are checked, windows that
//! close themselves, flush requests that cannot be forgotten.
//!
//! Nothing above this module calls a function pointer.

pub mod arena;
mod callback;
mod cpu;
pub(crate) mod host_frame;
mod tlb;

use core::ffi::c_void;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

pub(crate) use cpu::{native_format, native_levels, native_pa_bits, publish_tables};
pub(crate) use tlb::FlushRequest;

use arena::Arena;
use callback::callback;

use crate::abi::*;
#[cfg(feature = "merge")]
use crate::addr::GuestPhysAddr;
use crate::addr::{Bits, HostPhysAddr, PAGE_SIZE, is_page_aligned};
use crate::error::{Error, Result};
use crate::logging;
use crate::sync;

const KNOWN_FLAGS: u32 = AXAS_HAL_DIRECT_MAP
    | AXAS_HAL_DIRECT_MAP_LINEAR
    | AXAS_HAL_BUILTIN_FLUSH
    | AXAS_HAL_TABLES_STAY_READABLE
    | AXAS_HAL_BUILTIN_LOCAL;

/// Whether hosts need no direct map of all tables.
pub(crate) const HAS_WINDOWS: bool = cfg!(feature = "windows");
/// Whether hosts may have `released`.
pub(crate) const REPORTS_RELEASED: bool = cfg!(feature = "released");

/// What a frame is for, as the host hears it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Purpose {
    Table = AXAS_FRAME_TABLE,
    Guest = AXAS_FRAME_GUEST,
    Host = AXAS_FRAME_HOST,
    Root = AXAS_FRAME_ROOT,
}

type AllocFrame = unsafe extern "C" fn(*mut c_void, u32, u32) -> axas_hpa_t;
type DeallocFrame = unsafe extern "C" fn(*mut c_void, axas_hpa_t, u32, u32);
type PhysToVirt = unsafe extern "C" fn(*mut c_void, axas_hpa_t, usize) -> *mut c_void;

/// How memory is reached.
#[derive(Clone, Copy)]
enum Reach {
    /// At an offset, mod 2^64.
    Offset(u64),
    /// By asking.
    Callback(PhysToVirt),
}

/// The host's own frames are at an offset from their physical addresses.
#[derive(Clone, Copy)]
pub(crate) struct DirectMap {
    offset: u64,
}

impl DirectMap {
    /// Frames at an offset from their physical addresses.
    #[inline(always)]
    pub(crate) fn new(offset: u64) -> Self {
        Self { offset }
    }

    /// Virtual less physical addresses.
    pub(crate) fn offset(self) -> u64 {
        self.offset
    }

    /// Where a frame is.
    #[inline(always)]
    pub(crate) fn place(self, address: HostPhysAddr) -> Option<NonNull<u8>> {
        let place = address.bits().wrapping_add(self.offset) as *mut u8;
        if !HAS_WINDOWS {
            // SAFETY: `Host::take` gives a frame back that is at null.
            unsafe { core::hint::assert_unchecked(!place.is_null()) };
        }
        NonNull::new(place)
    }

    /// Whether a frame is where no pointer leads.
    fn is_null(self, frame: u64) -> bool {
        frame.wrapping_add(self.offset) == 0
    }
}

/// Whose memory a guest's page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A frame of alloc_frame.
    Library,
    /// Linear memory.
    Host,
}

/// A checked copy of the host's callbacks.
///
/// SAFETY argument for every call through a pointer in it: 1. the host promised at create that the
/// callbacks may be called with these arguments, on any CPU that calls the library, until the space
/// is destroyed; 2. `ctx` is passed as the host gave it.
pub(crate) struct Host {
    ctx: *mut c_void,
    alloc_frame: AllocFrame,
    dealloc_frame: DeallocFrame,
    reach: Reach,
    /// How linear memory is reached, if it is.
    reach_linear: Option<Reach>,
    tables_stay_readable: bool,
    release_virt: axas_release_virt_fn,
    /// Where tables, roots and the handle come from.
    arena: Option<&'static Arena>,
    /// The library carries out local requests itself.
    flushes_local: bool,
    /// Where there is none, it carries out all of them.
    tlb_flush: axas_tlb_flush_fn,
    clean_range: axas_clean_range_fn,
    should_yield: axas_should_yield_fn,
    relax: axas_relax_fn,
    released: axas_released_fn,
    #[cfg(feature = "merge")]
    may_move: axas_may_move_fn,
    #[cfg(feature = "provider")]
    resolve: axas_resolve_fn,
    #[cfg(feature = "provider")]
    evicted: axas_evicted_fn,
    /// Bits that no host-physical address of a page has.
    not_a_page: u64,
    complaint: Complaint,
}

/// An answer of a callback that could not be used, until [`Host::report`] tells the log: where it comes,
/// deep in a call, there is no stack left for messages. Of several at a time one is told.
#[derive(Default)]
struct Complaint {
    about: AtomicU32,
    first: AtomicU64,
    second: AtomicU64,
}

impl Complaint {
    const ALLOC_FRAME: u32 = 1;
    const PHYS_TO_VIRT: u32 = 2;
    #[cfg(feature = "provider")]
    const RESOLVE: u32 = 3;
}

/// The arena of a HAL's tables, if there is one.
fn arena_of(hal: &axas_hal_t) -> Result<Option<&'static Arena>> {
    if hal.arena.is_null() {
        return Ok(None);
    }
    // SAFETY: not null; by the host's promise an `axas_arena_t`, which stays until the space is destroyed.
    let arena = unsafe { Arena::at(hal.arena) }.ok_or(Error::InvalidInput)?;
    if cfg!(feature = "static-hal") { Err(Error::Unsupported) } else { Ok(Some(arena)) }
}

impl Host {
    /// Takes the callbacks over if what is required is there.
    pub(crate) fn new(hal: &axas_hal_t) -> Result<Self> {
        if hal.flags & !KNOWN_FLAGS != 0 {
            return Err(Error::InvalidInput);
        }
        let direct = hal.flags & AXAS_HAL_DIRECT_MAP != 0;
        if direct && hal.direct_map_offset & (align_of::<u64>() as u64).wrapping_sub(1) != 0 {
            return Err(Error::BadState);
        }
        let reach = match hal.phys_to_virt {
            _ if direct => Reach::Offset(hal.direct_map_offset),
            Some(_) if !HAS_WINDOWS => return Err(Error::Unsupported),
            Some(phys_to_virt) => Reach::Callback(phys_to_virt),
            None => return Err(Error::InvalidInput),
        };
        let reach_linear = if direct && hal.flags & AXAS_HAL_DIRECT_MAP_LINEAR != 0 {
            Some(reach)
        } else {
            hal.phys_to_virt.map(Reach::Callback)
        };
        let (Some(alloc_frame), Some(dealloc_frame)) = (hal.alloc_frame, hal.dealloc_frame) else {
            return Err(Error::InvalidInput);
        };
        if !REPORTS_RELEASED && hal.released.is_some() {
            return Err(Error::Unsupported);
        }
        let builtin = hal.flags & AXAS_HAL_BUILTIN_FLUSH != 0;
        let builtin_local = hal.flags & AXAS_HAL_BUILTIN_LOCAL != 0;
        if builtin && builtin_local || hal.tlb_flush.is_none() && !builtin {
            return Err(Error::InvalidInput);
        }
        Ok(Self {
            ctx: hal.ctx,
            alloc_frame,
            dealloc_frame,
            reach,
            reach_linear,
            tables_stay_readable: hal.flags & AXAS_HAL_TABLES_STAY_READABLE != 0,
            release_virt: hal.release_virt,
            arena: arena_of(hal)?,
            flushes_local: builtin || builtin_local,
            tlb_flush: if builtin { None } else { hal.tlb_flush },
            clean_range: hal.clean_range,
            should_yield: hal.should_yield,
            relax: hal.relax,
            released: hal.released,
            #[cfg(feature = "merge")]
            may_move: hal.may_move,
            #[cfg(feature = "provider")]
            resolve: hal.resolve,
            #[cfg(feature = "provider")]
            evicted: hal.evicted,
            not_a_page: 0,
            complaint: Complaint::default(),
        })
    }

    /// Narrows host-physical addresses to a width.
    pub(crate) fn set_pa_bits(&mut self, pa_bits: u32) {
        self.not_a_page = u64::MAX.wrapping_shl(pa_bits) | (PAGE_SIZE - 1);
    }

    /// Whether the library invalidates TLBs itself, this CPU's at least.
    pub(crate) fn flushes_builtin(&self) -> bool {
        self.flushes_local
    }

    /// Whether the host invalidates the TLBs of all CPUs.
    pub(crate) fn has_flush(&self) -> bool {
        self.tlb_flush.is_some()
    }

    /// Whether caches can be cleaned.
    pub(crate) fn can_clean(&self) -> bool {
        self.clean_range.is_some() || cpu::CAN_CLEAN
    }

    /// Whether all memory that a guest may have is in the direct map, so that pages side by side in host
    /// memory are reached by one pointer.
    pub(crate) fn is_flat(&self) -> bool {
        matches!((self.reach, self.reach_linear), (Reach::Offset(_), Some(Reach::Offset(_))))
    }

    /// Whether tables may be read after they went back.
    pub(crate) fn tables_stay_readable(&self) -> bool {
        self.tables_stay_readable
    }

    /// Whether tables are reached by windows.
    pub(crate) fn has_windows(&self) -> bool {
        HAS_WINDOWS && self.release_virt.is_some() && self.arena.is_none()
    }

    /// The arena that frames come from, if they do.
    fn arena_for(&self, purpose: Purpose) -> Option<&'static Arena> {
        let is_table = matches!(purpose, Purpose::Table | Purpose::Root);
        self.arena.filter(|_| is_table && cfg!(not(feature = "static-hal")))
    }

    /// Whether a frame of the library's that came from one host can go back to the other.
    #[cfg(feature = "transfer")]
    pub(crate) fn gives_to_same_as(&self, other: &Self) -> bool {
        let is_same = core::ptr::fn_addr_eq(self.dealloc_frame, other.dealloc_frame);
        is_same && self.ctx == other.ctx
    }

    /// Whether the host supplies `released`.
    pub(crate) fn wants_released(&self) -> bool {
        REPORTS_RELEASED && self.released.is_some()
    }

    /// Whether `[address, address + bytes)` is host-physical memory as far as its width goes.
    pub(crate) fn is_in_width(&self, address: u64, bytes: u64) -> bool {
        match address.checked_add(bytes.saturating_sub(1)) {
            Some(last) => self.is_page(last & !(PAGE_SIZE - 1)),
            None => false,
        }
    }

    /// Whether an address is one of a page of host-physical memory, as far as its width goes.
    #[inline(always)]
    pub(crate) fn is_page(&self, address: u64) -> bool {
        address & self.not_a_page == 0
    }

    /// Takes a frame of `4096 << order` bytes. An address that cannot be one goes back.
    pub(crate) fn take(&self, order: u32, purpose: Purpose) -> Result<HostPhysAddr> {
        let frame = match self.arena_for(purpose) {
            Some(arena) => arena.alloc_frame(order),
            None => self.alloc_frame(order, purpose),
        };
        let bytes = PAGE_SIZE.wrapping_shl(order);
        let is_unusable = !HAS_WINDOWS && self.direct_map().is_some_and(|map| map.is_null(frame));
        if frame & (bytes.wrapping_sub(1)) != 0 || !self.is_in_width(frame, bytes) || is_unusable {
            return Err(self.refuse(frame, order, purpose));
        }
        Ok(HostPhysAddr::from_bits(frame))
    }

    /// What the host answers where a frame is wanted.
    #[inline(always)]
    pub(crate) fn alloc_frame(&self, order: u32, purpose: Purpose) -> u64 {
        let alloc_frame = callback!(axas_hal_alloc_frame, self.alloc_frame);
        // SAFETY: see `Host`.
        unsafe { alloc_frame(self.ctx, order, purpose as u32) }
    }

    /// Why an answer of alloc_frame is no frame; an address that cannot be one goes back.
    #[cold]
    #[inline(never)]
    pub(crate) fn refuse(&self, frame: u64, order: u32, purpose: Purpose) -> Error {
        if frame == AXAS_HPA_INVALID {
            return Error::NoMemory;
        }
        self.complain(Complaint::ALLOC_FRAME, frame, order.into());
        self.give(HostPhysAddr::from_bits(frame), order, purpose);
        Error::BadState
    }

    /// Gives a frame back.
    pub(crate) fn give(&self, frame: HostPhysAddr, order: u32, purpose: Purpose) {
        match self.arena_for(purpose) {
            Some(arena) => arena.dealloc_frame(frame.bits(), order),
            // SAFETY: see `Host`.
            None => unsafe {
                callback!(axas_hal_dealloc_frame, self.dealloc_frame)(
                    self.ctx,
                    frame.bits(),
                    order,
                    purpose as u32,
                );
            },
        }
    }

    #[cold]
    fn complain(&self, about: u32, first: u64, second: u64) {
        if cfg!(feature = "log") {
            self.complaint.first.store(first, Ordering::Relaxed);
            self.complaint.second.store(second, Ordering::Relaxed);
            self.complaint.about.store(about, Ordering::Relaxed);
        }
    }

    /// Tells the log of an answer that could not be used, if there was one.
    #[inline(always)]
    pub(crate) fn report(&self) {
        if cfg!(feature = "log") && self.complaint.about.load(Ordering::Relaxed) != 0 {
            self.report_complaint();
        }
    }

    #[cold]
    #[inline(never)]
    fn report_complaint(&self) {
        let first = self.complaint.first.load(Ordering::Relaxed);
        let second = self.complaint.second.load(Ordering::Relaxed);
        match self.complaint.about.swap(0, Ordering::Relaxed) {
            Complaint::ALLOC_FRAME => {
                logging::error(c"axaddrspace::hal", "alloc_frame: unusable address", first, second);
            }
            Complaint::PHYS_TO_VIRT => {
                logging::error(
                    c"axaddrspace::hal",
                    "phys_to_virt: no usable pointer",
                    first,
                    second,
                );
            }
            #[cfg(feature = "provider")]
            Complaint::RESOLVE => {
                logging::error(c"axaddrspace::hal", "resolve: unusable answer", first, second);
            }
            _ => {}
        }
    }

    /// Opens a window on the page of a table at `address`.
    #[inline(always)]
    pub(crate) fn window(&self, address: HostPhysAddr) -> Result<Window<'_>> {
        match self.direct_map() {
            Some(direct) => match direct.place(address) {
                Some(base) => Ok(Window { base, host: self }),
                None => Err(Error::BadState),
            },
            None => self.mapped_window(address),
        }
    }

    /// Where tables are, if they have a fixed place.
    #[inline(always)]
    pub(crate) fn direct_map(&self) -> Option<DirectMap> {
        match self.reach {
            Reach::Offset(offset) => Some(DirectMap { offset }),
            Reach::Callback(_) if HAS_WINDOWS => None,
            // `Host::new` refused it.
            Reach::Callback(_) => Some(DirectMap { offset: 0 }),
        }
    }

    #[inline(never)]
    fn mapped_window(&self, address: HostPhysAddr) -> Result<Window<'_>> {
        let base = self.page(address, Purpose::Table).ok_or(Error::BadState)?;
        Ok(Window { base, host: self })
    }

    /// Opens a window on a page of a frame, to be closed unless the frame is an arena's. An option, so that others can
    /// hand it on without a frame of their own.
    fn page(&self, address: HostPhysAddr, purpose: Purpose) -> Option<NonNull<u8>> {
        let va = match self.arena_for(purpose) {
            // The link of a frame that waits in a list may have been written over: it need not name a page.
            _ if !is_page_aligned(address.bits()) => null_mut(),
            Some(arena) => arena.phys_to_virt(address.bits()),
            None => self.pointer(self.reach, address.bits(), PAGE_SIZE as usize),
        };
        match NonNull::new(va) {
            Some(base) if va.addr() & (align_of::<u64>().wrapping_sub(1)) == 0 => Some(base),
            Some(_) | None => {
                let _ = self.no_window(va, address);
                None
            }
        }
    }

    /// What remains to be done when a host cannot reach its own frame.
    #[cold]
    fn no_window(&self, va: *mut u8, address: HostPhysAddr) -> Error {
        self.complain(Complaint::PHYS_TO_VIRT, address.bits(), va.addr() as u64);
        if !va.is_null() {
            self.close(self.reach, va, PAGE_SIZE as usize);
        }
        Error::BadState
    }

    /// Opens a window on memory of the guest, as many of `bytes` bytes as the host lets be seen at once; none
    /// where the host cannot reach linear memory.
    #[cfg_attr(any(feature = "dirty", feature = "transfer"), inline(always))] // A copy of one word is short.
    pub(crate) fn guest_window(
        &self,
        address: u64,
        bytes: u64,
        owner: Owner,
    ) -> Result<Option<GuestWindow<'_>>> {
        let reach = match owner {
            Owner::Library => self.reach,
            Owner::Host => match self.reach_linear {
                Some(reach) => reach,
                None => return Ok(None),
            },
        };
        let in_page = PAGE_SIZE.wrapping_sub(address & (PAGE_SIZE - 1));
        let by_window = matches!(reach, Reach::Callback(_)) && self.release_virt.is_some();
        let bytes = if by_window { bytes.min(in_page) } else { bytes } as usize;
        let va = self.pointer(reach, address, bytes);
        match NonNull::new(va) {
            Some(base) => Ok(Some(GuestWindow { base, bytes, reach, host: self })),
            None if owner == Owner::Host => Ok(None),
            None => Err(self.no_window(va, HostPhysAddr::from_bits(address))),
        }
    }

    fn pointer(&self, reach: Reach, address: u64, bytes: usize) -> *mut u8 {
        match reach {
            Reach::Offset(offset) => address.wrapping_add(offset) as *mut u8,
            // SAFETY: see `Host`.
            Reach::Callback(phys_to_virt) => unsafe {
                callback!(axas_hal_phys_to_virt, phys_to_virt)(self.ctx, address, bytes).cast()
            },
        }
    }

    /// Opens a window on the page of a table where there is no direct map, to be closed by
    /// [`Host::close_page`].
    #[inline(never)]
    pub(crate) fn open_page(&self, address: HostPhysAddr) -> Option<NonNull<u8>> {
        self.page(address, Purpose::Table)
    }

    /// Closes what [`Host::open_page`] opened.
    #[inline(never)]
    pub(crate) fn close_page(&self, base: NonNull<u8>) {
        if self.has_windows() {
            self.close(self.reach, base.as_ptr(), PAGE_SIZE as usize);
        }
    }

    fn close(&self, reach: Reach, va: *mut u8, bytes: usize) {
        if let (Reach::Callback(_), Some(release_virt)) = (reach, self.release_virt) {
            // SAFETY: see `Host`; the window came from `phys_to_virt` with this size.
            unsafe { callback!(axas_hal_release_virt, release_virt)(self.ctx, va.cast(), bytes) }
        }
    }

    /// Cleans data caches over bytes of a frame.
    pub(crate) fn clean(&self, va: *mut u8, bytes: usize, purpose: Purpose) {
        match self.clean_range {
            // SAFETY: see `Host`; the bytes lie in an open window.
            Some(clean_range) => unsafe {
                callback!(axas_hal_clean_range, clean_range)(
                    self.ctx,
                    va.cast(),
                    bytes,
                    purpose as u32,
                );
            },
            None => cpu::clean(va, bytes),
        }
    }

    /// Whether the host wants to be asked.
    pub(crate) fn may_yield(&self) -> bool {
        self.should_yield.is_some()
    }

    /// Whether the host wants to do something else.
    pub(crate) fn should_yield(&self) -> bool {
        self.should_yield.is_some_and(|should_yield| {
            // SAFETY: see `Host`.
            unsafe { callback!(axas_hal_should_yield, should_yield)(self.ctx) != 0 }
        })
    }

    /// Lets time pass while another call holds the space.
    pub(crate) fn relax(&self) {
        match self.relax {
            // SAFETY: see `Host`.
            Some(relax) => unsafe { callback!(axas_hal_relax, relax)(self.ctx) },
            None => core::hint::spin_loop(),
        }
    }

    /// Tells the host of linear pages that are no longer mapped nor in any TLB.
    pub(crate) fn released(&self, run: &axas_mapping_t) {
        if let Some(released) = self.released {
            // SAFETY: see `Host`.
            unsafe { callback!(axas_hal_released, released)(self.ctx, run) }
        }
    }

    /// Whether the host lets a guest's page be moved to another frame.
    #[cfg(feature = "merge")]
    pub(crate) fn may_move(&self, gpa: GuestPhysAddr, hpa: HostPhysAddr) -> bool {
        self.may_move.is_none_or(|may_move| {
            // SAFETY: see `Host`.
            unsafe { callback!(axas_hal_may_move, may_move)(self.ctx, gpa.bits(), hpa.bits()) != 0 }
        })
    }

    /// Copies a page of the guest's, of a frame of the library's to another one.
    #[cfg(feature = "merge")]
    #[inline(never)]
    pub(crate) fn copy_page(&self, from: HostPhysAddr, to: HostPhysAddr) -> Result<()> {
        let source = self.page(from, Purpose::Guest).ok_or(Error::BadState)?;
        let copied = self.for_each_page(to, 0, |to| {
            // SAFETY: 1. windows are open on both pages, of frames of ours; 2. no entry names either, and no CPU holds
            // one that did; 3. they are distinct frames.
            unsafe { sync::copy_page(source, to) }
        });
        self.close(self.reach, source.as_ptr(), PAGE_SIZE as usize);
        copied
    }

    /// Asks the host for a page of a provider's.
    #[cfg(feature = "provider")]
    pub(crate) fn resolve(
        &self,
        provider: u16,
        gpa: u64,
        access: u32,
        answer: &mut axas_supply_t,
    ) -> u32 {
        match self.resolve {
            // SAFETY: see `Host`.
            Some(resolve) => unsafe {
                callback!(axas_hal_resolve, resolve)(self.ctx, provider.into(), gpa, access, answer)
            },
            None => AXAS_RESOLVE_LATER,
        }
    }

    /// What remains to be done when the host's answer for a page cannot be used.
    #[cfg(feature = "provider")]
    #[cold]
    pub(crate) fn complain_of_answer(&self, gpa: u64, answer: u64) {
        self.complain(Complaint::RESOLVE, gpa, answer);
    }

    /// Tells the host of pages that were evicted; whether it keeps the frames of those that were the library's.
    #[cfg(feature = "provider")]
    pub(crate) fn evicted(&self, run: &axas_mapping_t, dirty: bool) -> bool {
        self.evicted.is_some_and(|evicted| {
            // SAFETY: see `Host`.
            unsafe { callback!(axas_hal_evicted, evicted)(self.ctx, run, dirty.into()) != 0 }
        })
    }

    /// Zeroes a guest frame.
    #[inline(never)]
    pub(crate) fn zero(&self, frame: HostPhysAddr, order: u32) -> Result<()> {
        self.for_each_page(frame, order, |page| {
            // SAFETY: 1. a window is open on the page, of a frame of ours; 2. no entry names the frame
            // yet, so that no other code reaches it.
            unsafe { sync::zero_page(page) }
        })
    }

    /// Cleans a guest frame that was written through the cache.
    #[inline(never)]
    pub(crate) fn clean_frame(&self, frame: HostPhysAddr, order: u32) -> Result<()> {
        self.for_each_page(frame, order, |page| {
            self.clean(page.as_ptr(), PAGE_SIZE as usize, Purpose::Guest);
        })
    }

    fn for_each_page(
        &self,
        frame: HostPhysAddr,
        order: u32,
        visit: impl Fn(NonNull<u8>),
    ) -> Result<()> {
        for page in 0..1_u64.wrapping_shl(order) {
            let offset = page.wrapping_mul(PAGE_SIZE);
            let address = HostPhysAddr::from_bits(frame.bits().wrapping_add(offset));
            let base = self.page(address, Purpose::Guest).ok_or(Error::BadState)?;
            visit(base);
            self.close(self.reach, base.as_ptr(), PAGE_SIZE as usize);
        }
        Ok(())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.report();
    }
}

/// A page of a table that this CPU reaches until the value is dropped.
pub(crate) struct Window<'h> {
    base: NonNull<u8>,
    host: &'h Host,
}

impl Window<'_> {
    /// The page's first byte, aligned for 64-bit accesses.
    #[inline(always)]
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }
}

impl Drop for Window<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if HAS_WINDOWS && self.host.release_virt.is_some() {
            self.host.close_page(self.base);
        }
    }
}

/// Bytes of a guest's memory that this CPU reaches until the value is dropped. The guest may change them
/// at any time.
pub(crate) struct GuestWindow<'h> {
    base: NonNull<u8>,
    bytes: usize,
    reach: Reach,
    host: &'h Host,
}

impl GuestWindow<'_> {
    /// The first byte.
    pub(crate) fn base(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// How many there are.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Cleans data caches over all of it.
    pub(crate) fn clean(&self) {
        self.host.clean(self.base(), self.bytes, Purpose::Guest);
    }

    /// Zeroes all of it.
    ///
    /// # Safety
    /// No other code reaches the memory.
    #[cfg(feature = "transfer")]
    pub(crate) unsafe fn zero(&self) {
        // SAFETY: 1. the window is open on so many bytes; 2. by the caller's promise.
        unsafe { self.base.as_ptr().write_bytes(0, self.bytes) }
    }
}

impl Drop for GuestWindow<'_> {
    fn drop(&mut self) {
        self.host.close(self.reach, self.base.as_ptr(), self.bytes);
    }
}

/// A piece of a guest's memory that the host reaches while it looks at it.
pub struct Chunk<'a> {
    window: GuestWindow<'a>,
    /// First guest-physical address.
    pub gpa: u64,
}

impl<'a> Chunk<'a> {
    /// The memory at `gpa` behind a window.
    pub(crate) fn new(window: GuestWindow<'a>, gpa: u64) -> Self {
        Self { window, gpa }
    }

    /// The first byte. The guest may change what is behind it at any time.
    pub fn host(&self) -> *mut u8 {
        self.window.base()
    }

    /// How many bytes there are.
    pub fn bytes(&self) -> usize {
        self.window.bytes()
    }

    /// Cleans data caches over all of it.
    pub(crate) fn clean(&self) {
        self.window.clean();
    }
}

/// Does something with a chunk; whether to go on.
pub type Visit<'v> = dyn FnMut(&Chunk<'_>) -> Result<bool> + 'v;
