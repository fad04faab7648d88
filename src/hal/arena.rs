// SPDX-License-Identifier: MIT OR Apache-2.0
//! A source of frames over regions of memory, for hosts that have no allocator.
//!
//! Free memory is a list of pieces, runs of free frames; a piece's record lies in its first frame, so that
//! every frame can be handed out. What came back last goes out first. A request for more than one frame
//! takes the first piece that has an aligned block; if none has, the list is sorted by address,
//! neighbours are joined, and the search is made once more. Nothing is read from frames that are out.

use core::ffi::c_void;
use core::mem::{align_of, size_of};

use spin::mutex::SpinMutex;

use super::{AllocFrame, DeallocFrame, PhysToVirt};
use crate::abi::{
    AXAS_ARENA_REGIONS, AXAS_FRAME_TABLE, AXAS_HPA_INVALID, axas_arena_t, axas_hpa_t,
};
use crate::addr::{PAGE_SIZE, is_page_aligned};
use crate::error::{Error, Result};
use crate::logging;

/// End of the list: no piece has this address.
const NIL: u64 = u64::MAX;
/// Says that an arena was made ready.
const MAGIC: u64 = u64::from_le_bytes(*b"axasaren");

/// An arena in the storage of an `axas_arena_t`.
#[repr(C)]
pub(crate) struct Arena {
    magic: u64,
    state: SpinMutex<Free>,
    /// The functions at the end of this file, so that hosts without an arena do not link them.
    alloc_frame: AllocFrame,
    dealloc_frame: DeallocFrame,
    phys_to_virt: PhysToVirt,
}

const _: () = assert!(size_of::<Arena>() <= size_of::<axas_arena_t>());
const _: () = assert!(align_of::<Arena>() <= align_of::<axas_arena_t>());

#[derive(Clone, Copy)]
struct Region {
    va: usize,
    pa: u64,
    bytes: u64,
}

impl Region {
    const NONE: Self = Self { va: 0, pa: 0, bytes: 0 };

    /// The pointer to `bytes` bytes at `pa`, if they are in the region.
    fn reach(&self, pa: u64, bytes: u64) -> Option<*mut u8> {
        let offset = pa.checked_sub(self.pa)?;
        if offset.checked_add(bytes)? > self.bytes {
            return None;
        }
        Some(core::ptr::with_exposed_provenance_mut(self.va.wrapping_add(offset as usize)))
    }

    fn overlaps(&self, other: &Self) -> bool {
        let meets = |a: u64, a_bytes: u64, b: u64, b_bytes: u64| {
            a < b.saturating_add(b_bytes) && b < a.saturating_add(a_bytes)
        };
        meets(self.pa, self.bytes, other.pa, other.bytes)
            || meets(self.va as u64, self.bytes, other.va as u64, other.bytes)
    }

    fn is_continued_by(&self, next: &Self) -> bool {
        self.bytes != 0
            && self.pa.wrapping_add(self.bytes) == next.pa
            && self.va.wrapping_add(self.bytes as usize) == next.va
    }
}

/// A run of free frames.
#[derive(Clone, Copy)]
struct Piece {
    pa: u64,
    frames: u64,
    next: u64,
}

struct Free {
    regions: [Region; AXAS_ARENA_REGIONS as usize],
    first: u64,
}

impl Arena {
    /// Makes an arena ready.
    ///
    /// # Safety
    /// `place` is null or valid for a write.
    pub(crate) unsafe fn init(place: *mut axas_arena_t) -> Result<()> {
        if place.is_null() || !place.is_aligned() {
            return Err(Error::InvalidInput);
        }
        let regions = [Region::NONE; AXAS_ARENA_REGIONS as usize];
        let state = SpinMutex::new(Free { regions, first: NIL });
        let arena = Self { magic: MAGIC, alloc_frame, dealloc_frame, phys_to_virt, state };
        // SAFETY: 1. not null, aligned, large enough (asserted above); 2. ours to write by the caller's
        // promise.
        unsafe { place.cast::<Self>().write(arena) };
        Ok(())
    }

    /// The arena in a place, if one was made ready there.
    ///
    /// # Safety
    /// `place` is null or points to an `axas_arena_t` that lives while the reference does.
    pub(crate) unsafe fn at<'a>(place: *mut axas_arena_t) -> Option<&'a Self> {
        if !place.is_aligned() {
            return None;
        }
        let arena = place.cast::<Self>();
        if arena.is_null() {
            return None;
        }
        // SAFETY: 1. live by the caller's promise; 2. aligned; 3. a number, whatever the bits are.
        let magic = unsafe { (&raw const (*arena).magic).read() };
        if magic != MAGIC {
            return None;
        }
        // SAFETY: `init` made an arena there.
        unsafe { arena.as_ref() }
    }

    fn ctx(&self) -> *mut c_void {
        core::ptr::from_ref(self).cast_mut().cast()
    }

    /// A frame of `4096 << order` bytes, or `AXAS_HPA_INVALID`.
    pub(super) fn alloc_frame(&self, order: u32) -> axas_hpa_t {
        // SAFETY: the context is an arena that is ready.
        unsafe { (self.alloc_frame)(self.ctx(), order, AXAS_FRAME_TABLE) }
    }

    /// Takes a frame back.
    pub(super) fn dealloc_frame(&self, frame: axas_hpa_t, order: u32) {
        // SAFETY: as above.
        unsafe { (self.dealloc_frame)(self.ctx(), frame, order, AXAS_FRAME_TABLE) }
    }

    /// The pointer to a page, or null.
    pub(super) fn phys_to_virt(&self, page: axas_hpa_t) -> *mut u8 {
        // SAFETY: as above.
        unsafe { (self.phys_to_virt)(self.ctx(), page, PAGE_SIZE as usize).cast() }
    }

    /// Takes a region over.
    ///
    /// # Safety
    /// The region is memory that nobody else uses while the arena does.
    pub(crate) unsafe fn add(&self, va: *mut u8, pa: u64, bytes: usize) -> Result<()> {
        let region = Region { va: va.expose_provenance(), pa, bytes: bytes as u64 };
        let aligned = is_page_aligned(region.va as u64 | pa | region.bytes);
        let wraps =
            region.va.checked_add(bytes).is_none() || pa.checked_add(region.bytes).is_none();
        if va.is_null() || !aligned || bytes == 0 || wraps {
            return Err(Error::InvalidInput);
        }
        let mut free = self.state.lock();
        if free.used().any(|other| other.overlaps(&region)) {
            return Err(Error::AlreadyExists);
        }
        if let Some(before) = free.regions.iter_mut().find(|before| before.is_continued_by(&region))
        {
            before.bytes = before.bytes.wrapping_add(region.bytes);
        } else {
            let unused = free.regions.iter_mut().find(|slot| slot.bytes == 0);
            *unused.ok_or(Error::NoMemory)? = region;
        }
        free.push(pa, region.bytes / PAGE_SIZE);
        Ok(())
    }
}

impl Free {
    /// The regions that were added; they come first.
    fn used(&self) -> impl Iterator<Item = &Region> {
        self.regions.iter().take_while(|region| region.bytes != 0)
    }

    #[inline(never)]
    fn reach(&self, pa: u64, bytes: u64) -> Option<*mut u8> {
        self.used().find_map(|region| region.reach(pa, bytes))
    }

    /// The record of the free piece at `pa`.
    fn record(&self, pa: u64) -> Option<*mut [u64; 2]> {
        self.reach(pa, PAGE_SIZE).map(|va| va.cast())
    }

    fn read(&self, pa: u64) -> Option<Piece> {
        let record = self.record(pa)?;
        // SAFETY: 1. in a region of the arena; 2. page aligned; 3. the frame is free, the lock held.
        let [frames, next] = unsafe { record.read() };
        Some(Piece { pa, frames, next })
    }

    fn write(&self, piece: Piece) {
        if let Some(record) = self.record(piece.pa) {
            // SAFETY: as in `read`.
            unsafe { record.write([piece.frames, piece.next]) };
        }
    }

    fn push(&mut self, pa: u64, frames: u64) {
        if frames != 0 {
            self.write(Piece { pa, frames, next: self.first });
            self.first = pa;
        }
    }

    fn take(&mut self, order: u32) -> Option<u64> {
        let frames = 1_u64.checked_shl(order)?;
        if let Some(pa) = self.take_first_fit(frames) {
            return Some(pa);
        }
        if frames > 1 {
            self.sort();
            self.join();
        }
        self.take_first_fit(frames)
    }

    /// Takes an aligned block out of the first piece that has one: its last, so that of one frame the
    /// piece just gets shorter.
    fn take_first_fit(&mut self, frames: u64) -> Option<u64> {
        let bytes = frames.checked_mul(PAGE_SIZE)?;
        let mut before: Option<Piece> = None;
        let mut at = self.first;
        while let Some(piece) = self.read(at) {
            let end = piece.pa.wrapping_add(piece.frames.wrapping_mul(PAGE_SIZE));
            let block = end.checked_sub(bytes).map(|last| last & !(bytes.wrapping_sub(1)));
            match block {
                Some(block) if block >= piece.pa => {
                    self.cut(piece, before, block, bytes, end);
                    return Some(block);
                }
                _ => {}
            }
            before = Some(piece);
            at = piece.next;
        }
        None
    }

    /// Takes a block out of a piece that ends at `end`.
    fn cut(&mut self, piece: Piece, before: Option<Piece>, block: u64, bytes: u64, end: u64) {
        let frames = block.wrapping_sub(piece.pa) / PAGE_SIZE;
        if frames != 0 {
            self.write(Piece { frames, ..piece });
        } else {
            match before {
                Some(before) => self.write(Piece { next: piece.next, ..before }),
                None => self.first = piece.next,
            }
        }
        let after = block.wrapping_add(bytes);
        self.push(after, end.wrapping_sub(after) / PAGE_SIZE);
    }

    /// Sorts the list by address: merges runs of 1, 2, 4, ... pieces until one is left.
    fn sort(&mut self) {
        let mut width = 1_u64;
        loop {
            let mut rest = self.first;
            let mut tail = NIL;
            self.first = NIL;
            let mut merges = 0_u64;
            while rest != NIL {
                merges = merges.wrapping_add(1);
                let (left, after_left) = self.split(rest, width);
                let (right, after_right) = self.split(after_left, width);
                rest = after_right;
                tail = self.merge(left, right, tail);
            }
            if merges <= 1 {
                return;
            }
            width = width.saturating_mul(2);
        }
    }

    /// Cuts the list at `from` after `count` pieces: the first of them and what follows.
    fn split(&self, from: u64, count: u64) -> (u64, u64) {
        let mut at = from;
        for place in 1..=count {
            let Some(piece) = self.read(at) else { break };
            if place == count {
                self.write(Piece { next: NIL, ..piece });
                return (from, piece.next);
            }
            at = piece.next;
        }
        (from, NIL)
    }

    /// Appends two sorted lists, merged, behind `tail`; the new tail.
    fn merge(&mut self, left: u64, right: u64, tail: u64) -> u64 {
        let (mut left, mut right, mut tail) = (left, right, tail);
        while left != NIL || right != NIL {
            let at = left.min(right);
            let Some(piece) = self.read(at) else {
                return tail;
            };
            if at == left {
                left = piece.next;
            } else {
                right = piece.next;
            }
            match self.read(tail) {
                Some(last) => self.write(Piece { next: at, ..last }),
                None => self.first = at,
            }
            tail = at;
        }
        tail
    }

    /// Regions may meet in physical addresses and not in virtual ones.
    fn in_one_region(&self, piece: &Piece, next: &Piece) -> bool {
        let frames = piece.frames.wrapping_add(next.frames);
        self.reach(piece.pa, frames.wrapping_mul(PAGE_SIZE)).is_some()
    }

    /// Joins neighbours of a sorted list.
    fn join(&mut self) {
        let mut at = self.first;
        while let Some(piece) = self.read(at) {
            let end = piece.pa.wrapping_add(piece.frames.wrapping_mul(PAGE_SIZE));
            match self.read(piece.next) {
                Some(next) if next.pa == end && self.in_one_region(&piece, &next) => {
                    let frames = piece.frames.wrapping_add(next.frames);
                    self.write(Piece { frames, next: next.next, ..piece });
                }
                _ => at = piece.next,
            }
        }
    }
}

/// # Safety
/// `ctx` is an arena that axas_arena_init made ready.
unsafe fn of<'a>(ctx: *mut c_void) -> Option<&'a Arena> {
    // SAFETY: the caller's promise is the one asked for.
    unsafe { Arena::at(ctx.cast()) }
}

/// alloc_frame of an arena.
///
/// # Safety
/// `ctx` is an arena that axas_arena_init made ready.
pub(crate) unsafe extern "C" fn alloc_frame(
    ctx: *mut c_void,
    order: u32,
    _purpose: u32,
) -> axas_hpa_t {
    // SAFETY: the caller's promise is the one asked for.
    let arena = unsafe { of(ctx) };
    arena.and_then(|arena| arena.state.lock().take(order)).unwrap_or(AXAS_HPA_INVALID)
}

/// dealloc_frame of an arena.
///
/// # Safety
/// `ctx` is an arena that axas_arena_init made ready.
pub(crate) unsafe extern "C" fn dealloc_frame(
    ctx: *mut c_void,
    frame: axas_hpa_t,
    order: u32,
    _purpose: u32,
) {
    // SAFETY: the caller's promise is the one asked for.
    let Some(arena) = (unsafe { of(ctx) }) else {
        return;
    };
    let mut free = arena.state.lock();
    let frames = 1_u64.wrapping_shl(order);
    match free.reach(frame, frames.wrapping_mul(PAGE_SIZE)) {
        Some(_) if is_page_aligned(frame) => free.push(frame, frames),
        _ => logging::error(
            c"axaddrspace::arena",
            "not a frame of the arena:",
            frame,
            u64::from(order),
        ),
    }
}

/// phys_to_virt of an arena.
///
/// # Safety
/// `ctx` is an arena that axas_arena_init made ready.
pub(crate) unsafe extern "C" fn phys_to_virt(
    ctx: *mut c_void,
    pa: axas_hpa_t,
    size: usize,
) -> *mut c_void {
    // SAFETY: the caller's promise is the one asked for.
    let arena = unsafe { of(ctx) };
    arena
        .and_then(|arena| arena.state.lock().reach(pa, size as u64))
        .map_or(core::ptr::null_mut(), <*mut u8>::cast)
}
