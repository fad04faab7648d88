// SPDX-License-Identifier: MIT OR Apache-2.0
//! A source of frames over regions of memory, for hosts that have no allocator: a buddy allocator.
//!
//! Free memory is blocks of `4096 << order` bytes, aligned to their size, in a tree for each order. Two
//! halves of a block are joined as soon as both are free and in one region.
//!
//! A block's record lies in its first frame, so that every frame can be handed out. Nothing is read from
//! frames that are out: whoever has one could forge a record. Therefore a block is looked up by its address
//! from the root of its order. The path is the bits of the address, the lowest first, so that no path is
//! longer than an address, and each block on it is free. Both halves of a block have the same path: the
//! search for one ends where the other belongs.
//!
//! A frame that the host gives back twice is in two trees, or in one twice: paths may then lead in a circle. So
//! every walk ends after as many steps as no sound path has; the call is refused, and frames are lost.

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

/// Orders of blocks: 4 KiB to 1 GiB.
const ORDERS: u32 = 19;
/// No block has this address.
const NIL: u64 = u64::MAX;
/// No path has as many blocks: each takes one bit of the number of a frame, which has 52.
const MOST_STEPS: u32 = 64;
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
        self.pa.wrapping_add(self.bytes) == next.pa
            && self.va.wrapping_add(self.bytes as usize) == next.va
    }

    /// Makes the record of the free block at `pa`.
    fn record(&self, pa: u64) -> Tree {
        let va: *mut Block = self.reach(pa, PAGE_SIZE)?.cast();
        // SAFETY: 1. in a region of the arena; 2. page aligned; 3. the frame is free: it is the arena's alone
        // until `Free::take` has taken the record out of its tree.
        unsafe {
            va.write(Block { pa, even: None, odd: None });
            va.as_mut()
        }
    }
}

/// The record of a free block.
struct Block {
    pa: u64,
    /// Blocks whose next bit is 0.
    even: Tree,
    /// Blocks whose next bit is 1.
    odd: Tree,
}

/// Free blocks of one order whose addresses begin with the same bits.
type Tree = Option<&'static mut Block>;

struct Free {
    places: [(usize, u64); AXAS_ARENA_REGIONS as usize],
    /// Sizes of the regions, in pages.
    pages: [u32; AXAS_ARENA_REGIONS as usize],
    /// By order.
    trees: [Tree; ORDERS as usize],
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
        let arena = place.cast::<Self>();
        // SAFETY: 1. not null, aligned, large enough (asserted above); 2. ours to write by the caller's
        // promise; 3. zeroes are a lock that is open, over no region and no block. An arena as a value
        // would be on the stack first.
        unsafe {
            place.write_bytes(0, 1);
            (&raw mut (*arena).alloc_frame).write(alloc_frame);
            (&raw mut (*arena).dealloc_frame).write(dealloc_frame);
            (&raw mut (*arena).phys_to_virt).write(phys_to_virt);
            (&raw mut (*arena).magic).write(MAGIC);
        }
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
    /// The region is memory that no other code uses while the arena does.
    pub(crate) unsafe fn add(&self, va: *mut u8, pa: u64, bytes: usize) -> Result<()> {
        let region = Region { va: va.expose_provenance(), pa, bytes: bytes as u64 };
        let aligned = is_page_aligned(region.va as u64 | pa | region.bytes);
        let wraps =
            region.va.checked_add(bytes).is_none() || pa.checked_add(region.bytes).is_none();
        if va.is_null() || !aligned || bytes == 0 || wraps {
            return Err(Error::InvalidInput);
        }
        let mut free = self.state.lock();
        if free.regions().any(|other| other.overlaps(&region)) {
            return Err(Error::AlreadyExists);
        }
        let whole = free.add(&region)?;
        free.give_run(&whole, pa, region.bytes)
    }
}

impl Free {
    /// The regions that were added.
    fn regions(&self) -> impl Iterator<Item = Region> {
        let all = self.places.iter().zip(&self.pages);
        all.map(|(&(va, pa), &pages)| Region { va, pa, bytes: bytes_of(pages) })
            .take_while(|region| region.bytes != 0)
    }

    #[inline(never)]
    fn reach(&self, pa: u64, bytes: u64) -> Option<*mut u8> {
        self.regions().find_map(|region| region.reach(pa, bytes))
    }

    /// The region that `bytes` bytes at `pa` are in.
    fn region_of(&self, pa: u64, bytes: u64) -> Option<Region> {
        self.regions().find(|region| region.reach(pa, bytes).is_some())
    }

    /// Takes a region down, as part of the one that it continues if there is one; what it is part of.
    fn add(&mut self, region: &Region) -> Result<Region> {
        let pages = u32::try_from(region.bytes / PAGE_SIZE).map_err(|_| Error::InvalidInput)?;
        for (place, before) in self.places.iter_mut().zip(&mut self.pages) {
            if *before == 0 {
                *place = (region.va, region.pa);
                *before = pages;
                return Ok(*region);
            }
            let (va, pa) = *place;
            let other = Region { va, pa, bytes: bytes_of(*before) };
            if other.is_continued_by(region)
                && let Some(sum) = before.checked_add(pages)
            {
                *before = sum;
                return Ok(Region { bytes: bytes_of(sum), ..other });
            }
        }
        Err(Error::NoMemory)
    }

    /// Gives a run of frames of a region to the trees, in blocks as large as they can be.
    fn give_run(&mut self, region: &Region, pa: u64, bytes: u64) -> Result<()> {
        let mut pa = pa;
        let end = pa.wrapping_add(bytes);
        while let Some(most) = (end.wrapping_sub(pa) / PAGE_SIZE).checked_ilog2() {
            let order = most.min((pa / PAGE_SIZE).trailing_zeros()).min(ORDERS.wrapping_sub(1));
            self.give(region, pa, order)?;
            pa = pa.wrapping_add(size_of_order(order));
        }
        Ok(())
    }

    /// Gives a block of a region to the trees, joined with its other half if that is free, and so on.
    fn give(&mut self, region: &Region, pa: u64, order: u32) -> Result<()> {
        let mut pa = pa;
        let orders = (0_u32..).zip(&mut self.trees);
        for (order, tree) in orders.skip(order as usize) {
            let size = size_of_order(order);
            let both = pa & !size;
            let may_join = order.wrapping_add(1) < ORDERS
                && region.reach(both, size.wrapping_mul(2)).is_some();
            let place = find(tree, order, pa, if may_join { pa ^ size } else { NIL })?;
            match place {
                None => {
                    *place = region.record(pa);
                    break;
                }
                Some(block) if block.pa == pa => return Err(Error::BadState),
                Some(_) => remove(place)?,
            }
            pa = both;
        }
        Ok(())
    }

    /// Takes a frame back, if it is one of a region.
    fn take_back(&mut self, frame: u64, order: u32) -> Result<()> {
        let bytes = size_of_order(order);
        if order >= ORDERS || frame & bytes.wrapping_sub(1) != 0 {
            return Err(Error::InvalidInput);
        }
        let region = self.region_of(frame, bytes).ok_or(Error::InvalidInput)?;
        self.give(&region, frame, order)
    }

    /// Takes a block from the smallest order that has one, its upper half as often as it is too large.
    fn take(&mut self, order: u32) -> Result<u64> {
        let orders = (0_u32..).zip(&mut self.trees);
        let (mut found, tree) =
            orders.skip(order as usize).find(|(_, tree)| tree.is_some()).ok_or(Error::NoMemory)?;
        let mut pa = take_last(tree)?.ok_or(Error::BadState)?.pa;
        let bytes = size_of_order(found);
        let region = self.region_of(pa, bytes).filter(|_| pa & bytes.wrapping_sub(1) == 0);
        let region = region.ok_or(Error::BadState)?;
        while found > order {
            found = found.wrapping_sub(1);
            let tree = self.trees.get_mut(found as usize).ok_or(Error::BadState)?;
            *find(tree, found, pa, NIL)? = region.record(pa);
            pa = pa.wrapping_add(size_of_order(found));
        }
        Ok(pa)
    }
}

fn bytes_of(pages: u32) -> u64 {
    u64::from(pages).wrapping_mul(PAGE_SIZE)
}

fn size_of_order(order: u32) -> u64 {
    PAGE_SIZE.wrapping_shl(order)
}

/// Goes down a tree, at each block to the side that `side` says, to the odd one for true. Ends where `side`
/// says nothing, or no block is.
fn descend(tree: &mut Tree, mut side: impl FnMut(&Block) -> Option<bool>) -> Result<&mut Tree> {
    let mut place = tree;
    for _ in 0..MOST_STEPS {
        let Some(is_odd) = place.as_deref().and_then(&mut side) else { return Ok(place) };
        if let Some(block) = place {
            place = if is_odd { &mut block.odd } else { &mut block.even };
        }
    }
    Err(Error::BadState)
}

/// The place of the block at `wanted`; if there is none, the empty one for a block at `pa`, or the place of that. Both
/// are halves of one block.
fn find(tree: &mut Tree, order: u32, pa: u64, wanted: u64) -> Result<&mut Tree> {
    let mut bits = (pa / PAGE_SIZE) >> order;
    descend(tree, |block| {
        bits >>= 1;
        (block.pa != wanted && block.pa != pa).then_some(bits & 1 == 1)
    })
}

/// Takes out a block that has none below it.
fn take_last(tree: &mut Tree) -> Result<Tree> {
    let last = descend(tree, |block| {
        if block.even.is_some() { Some(false) } else { block.odd.is_some().then_some(true) }
    })?;
    Ok(last.take())
}

/// Takes the first block out of a tree; one that has none below it comes in its place.
fn remove(tree: &mut Tree) -> Result<()> {
    let last = take_last(tree)?;
    if let Some(last) = last
        && let Some(block) = tree.take()
    {
        last.even = block.even.take();
        last.odd = block.odd.take();
        *tree = Some(last);
    }
    Ok(())
}

/// For the log.
const CORRUPT: &str = "a frame was given back twice, others may be lost:";

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
    let taken = arena.map_or(Err(Error::InvalidInput), |arena| arena.state.lock().take(order));
    if taken == Err(Error::BadState) {
        logging::error(c"axaddrspace::arena", CORRUPT, 0, u64::from(order));
    }
    taken.unwrap_or(AXAS_HPA_INVALID)
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
    let taken = arena.state.lock().take_back(frame, order);
    if let Err(error) = taken {
        let text = if error == Error::BadState { CORRUPT } else { "not a frame of the arena:" };
        logging::error(c"axaddrspace::arena", text, frame, u64::from(order));
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
