// SPDX-License-Identifier: MIT OR Apache-2.0
//! Address spaces: arguments checked, the lock taken, the engine put to work, the outcome counted.

#[cfg(feature = "age")]
mod age;
#[cfg(feature = "dirty")]
mod copy;
mod create;
#[cfg(feature = "dirty")]
mod dirty;
pub(crate) mod dump;
#[cfg(feature = "hide")]
mod hide;
pub(crate) mod inspect;
mod map;
mod memory;
#[cfg(feature = "merge")]
mod merge;
mod page_fault;
#[cfg(feature = "provider")]
mod provider;
#[cfg(feature = "transfer")]
mod transfer;

use core::cell::UnsafeCell;
use core::sync::atomic::Ordering;

pub use crate::hal::{Chunk, Visit};
pub use crate::npt::fault::Verdict;
pub use create::{config_regs, tables_needed};
#[cfg(feature = "dirty")]
pub(crate) use dirty::bitmap_words;
pub use map::Slices;
pub use memory::Access;
#[cfg(feature = "transfer")]
pub use transfer::Transfer;

use crate::abi::{
    AXAS_HPA_INVALID, AXAS_NO_WAIT, AXAS_STORAGE_ALIGN, AXAS_STORAGE_SIZE, axas_hw_regs_t,
};
use crate::addr::{Bits, GuestPhysAddr, GuestRange, HostPhysAddr, guest_range, is_page_aligned};
use crate::error::{Error, Result};
use crate::hal::Host;
use crate::npt::arch::with_space_format;
use crate::npt::lock::{Attempt, ExclusiveGuard, LEAST_SHARDS, Shard, SharedGuard};
use crate::npt::work::Work;
use crate::npt::{NestedPageTable, registers};

/// A guest-physical address space. Lives where the host wants it; after creation there are only shared
/// references to it, exclusiveness is a guard of its lock.
#[repr(C, align(128))]
pub struct AddressSpace {
    npt: NestedPageTable,
    /// `AXAS_CALLER_LOCKED` and the values that follow it.
    options: u32,
    /// The frame that the handle lives in if it is one of the host's, else [`NO_FRAME`].
    handle: HostPhysAddr,
    /// For whoever holds the lock alone.
    work: UnsafeCell<Work>,
}

/// In the place of a frame: there is none.
const NO_FRAME: HostPhysAddr = HostPhysAddr::new(AXAS_HPA_INVALID);

/// Bytes of a space with as few lines of its lock as there may be.
const LEAST_BYTES: usize = size_of::<AddressSpace>() + LEAST_SHARDS * size_of::<Shard>();
const _: () = assert!(LEAST_BYTES <= AXAS_STORAGE_SIZE as usize);
const _: () = assert!(align_of::<AddressSpace>() <= AXAS_STORAGE_ALIGN as usize);

impl AddressSpace {
    /// The guest-physical addresses of the space.
    pub fn range(&self) -> GuestRange {
        self.npt.range
    }

    /// First address of the space.
    pub fn base(&self) -> u64 {
        self.npt.range.start.bits()
    }

    /// Bytes of the space.
    pub fn size(&self) -> u64 {
        self.npt.range.end.bits().wrapping_sub(self.npt.range.start.bits())
    }

    /// Levels of tables.
    pub fn levels(&self) -> u32 {
        self.npt.shape.levels
    }

    /// Host-physical address of the root.
    pub fn root(&self) -> u64 {
        self.npt.root.bits()
    }

    /// Whether `[gpa, gpa + size)` lies in the space.
    pub fn contains_range(&self, gpa: u64, size: u64) -> bool {
        guest_range(gpa, size).is_ok_and(|range| self.contains(range))
    }

    /// What to load into the hardware.
    pub fn hw_regs(&self) -> axas_hw_regs_t {
        registers(self.npt.format, self.npt.root_state())
    }

    /// Changes the VMID; flushes nothing.
    pub fn set_vmid(&self, vmid: u32) -> Result<()> {
        with_space_format!(self.npt.format, F => create::check_vmid::<F>(vmid, self.npt.features))?;
        let _guard = self.exclusive()?;
        self.npt.vmid.store(vmid, Ordering::Relaxed);
        Ok(())
    }

    fn contains(&self, range: GuestRange) -> bool {
        range.start >= self.npt.range.start && range.end <= self.npt.range.end
    }

    /// A range of the space: aligned, not empty.
    #[inline(always)]
    fn checked_range(&self, gpa: u64, size: u64) -> Result<GuestRange> {
        if !self.has_range(gpa, size) {
            return Err(Error::InvalidInput);
        }
        let start = GuestPhysAddr::new(gpa);
        Ok(GuestRange { start, end: start.plus(size) })
    }

    #[inline(never)]
    fn has_range(&self, gpa: u64, size: u64) -> bool {
        let is_aligned = is_page_aligned(gpa | size) && size != 0;
        is_aligned && guest_range(gpa, size).is_ok_and(|range| self.contains(range))
    }

    fn no_wait(&self) -> bool {
        self.options & AXAS_NO_WAIT != 0
    }

    /// Holds the lock alone; none where the host does not want to wait.
    #[inline(always)]
    fn alone(&self) -> Option<Alone<'_>> {
        self.enter_alone().then_some(())?;
        Some(Alone { space: self })
    }

    /// What remains to be done when the lock was held alone.
    #[inline(never)]
    fn leave_alone(&self) {
        // SAFETY: the lock is still held, by a guard that ends here and lends its work no more.
        let work = unsafe { &mut *self.work.get() };
        if let Some(undo) = work.undo {
            undo(&self.npt, work);
            work.undo = None;
        }
        self.leave_with(work);
    }

    #[inline(always)]
    fn leave_with(&self, work: &mut Work) {
        self.npt.end_of_call(&mut work.stock);
        drop(self.npt.lock.entered());
        self.npt.host.report();
    }

    /// As [`AddressSpace::alone`], for what needs no work memory.
    #[inline(always)]
    fn exclusive(&self) -> Result<Held<'_, ExclusiveGuard<'_>>> {
        if !self.enter_alone() {
            return Err(Error::Again);
        }
        Ok(Held { guard: self.npt.lock.entered(), host: &self.npt.host })
    }

    /// Enters alone; with AXAS_NO_WAIT that may be refused.
    #[inline(never)]
    fn enter_alone(&self) -> bool {
        match self.npt.lock.try_exclusive() {
            Attempt::Alone => true,
            tried => self.enter_later(tried),
        }
    }

    #[cold]
    #[inline(never)]
    fn enter_later(&self, tried: Attempt) -> bool {
        self.npt.lock.exclusive(tried, self.no_wait(), || self.npt.host.relax())
    }

    /// Holds the lock beside other readers; with AXAS_NO_WAIT that may be refused.
    #[inline(always)]
    fn shared(&self) -> Result<Held<'_, SharedGuard<'_>>> {
        let guard = self.enter_beside().ok_or(Error::Again)?;
        Ok(Held { guard, host: &self.npt.host })
    }

    /// As [`AddressSpace::shared`], refused where it would have to wait.
    #[inline(always)]
    fn shared_at_once(&self) -> Result<Held<'_, SharedGuard<'_>>> {
        let guard = self.npt.lock.enter_shared().ok_or(Error::Again)?;
        Ok(Held { guard, host: &self.npt.host })
    }

    #[inline(never)]
    fn enter_beside(&self) -> Option<SharedGuard<'_>> {
        self.npt.lock.shared(self.no_wait(), || self.npt.host.relax())
    }
}

/// The lock, held alone, and the memory that comes with it. At the end tables that were taken for nothing go back,
/// and what the host's callbacks did wrong is told.
struct Alone<'a> {
    space: &'a AddressSpace,
}

impl<'a> Alone<'a> {
    /// Goes on with the lock of a call that needed no work memory so far.
    #[inline(always)]
    fn of(space: &'a AddressSpace, guard: Held<'_, ExclusiveGuard<'_>>) -> Self {
        core::mem::forget(guard);
        Self { space }
    }

    /// The tables of the space.
    #[inline(always)]
    fn npt(&self) -> &'a NestedPageTable {
        &self.space.npt
    }

    /// What the holder of the lock works with.
    #[inline(always)]
    fn work(&mut self) -> &mut Work {
        // SAFETY: the lock is held exclusively, and this borrows the proof of it.
        unsafe { &mut *self.space.work.get() }
    }

    /// Ends it, for a call that leaves nothing to be undone: what would be takes stack.
    #[cfg(any(feature = "dirty", feature = "merge"))]
    #[inline(always)]
    fn leave(mut self) {
        let space = self.space;
        space.leave_with(self.work());
        core::mem::forget(self);
    }
}

impl Drop for Alone<'_> {
    #[inline(always)] // By reference the guard would be in memory.
    fn drop(&mut self) {
        self.space.leave_alone();
    }
}

/// The lock, held; what the host's callbacks did wrong meanwhile is told at the end.
struct Held<'a, G> {
    #[cfg_attr(not(feature = "provider"), allow(dead_code))] // It leaves when it is dropped.
    guard: G,
    host: &'a Host,
}

impl<G> Drop for Held<'_, G> {
    #[inline(always)]
    fn drop(&mut self) {
        self.host.report();
    }
}
