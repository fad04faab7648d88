// SPDX-License-Identifier: MIT OR Apache-2.0
//! Frames that go back unless somebody keeps them, and the ledger that counts them.

use core::mem::ManuallyDrop;
use core::sync::atomic::{AtomicU64, Ordering};

use super::{Host, Purpose};
use crate::addr::{Bits, HostPhysAddr, PAGE_SIZE};
use crate::error::{Error, Result};
use crate::sync::{self, Defect, planted};

/// What was taken and given, mod 2^64. Those who add are alone, or have counts of their own.
#[derive(Default)]
pub(crate) struct Counts {
    /// Frames taken, in pages of 4 KiB.
    pub(crate) allocated: AtomicU64,
    /// Frames given back, in pages of 4 KiB.
    pub(crate) released: AtomicU64,
    /// Requests to flush.
    pub(crate) flushes: AtomicU64,
    /// Guest frames that are mapped, in pages of 4 KiB.
    pub(crate) guest: AtomicU64,
    /// Leaves of levels 1 to 3.
    pub(crate) leaves: [AtomicU64; 3],
}

/// What a call takes and gives, and where it is counted.
///
/// The number of table frames is counted at once, for all CPUs: the quota is a promise about every moment.
pub(crate) struct Ledger<'a> {
    host: &'a Host,
    tables: &'a AtomicU64,
    quota: u64,
    counts: &'a Counts,
    /// Nobody else changes the count of tables meanwhile.
    is_alone: bool,
}

impl<'a> Ledger<'a> {
    /// A ledger over the count of table frames, which may not exceed `quota`.
    #[inline(always)]
    pub(crate) fn new(
        host: &'a Host,
        tables: &'a AtomicU64,
        quota: u64,
        counts: &'a Counts,
    ) -> Self {
        Self { host, tables, quota, counts, is_alone: false }
    }

    /// As [`Ledger::new`], for a call that runs alone.
    #[inline(always)]
    pub(crate) fn alone(
        host: &'a Host,
        tables: &'a AtomicU64,
        quota: u64,
        counts: &'a Counts,
    ) -> Self {
        Self { is_alone: true, ..Self::new(host, tables, quota, counts) }
    }

    /// Frames taken so far, in pages of 4 KiB, mod 2^64.
    pub(crate) fn allocated(&self) -> u64 {
        self.counts.allocated.load(Ordering::Relaxed)
    }

    /// The host behind the ledger.
    #[inline(always)]
    pub(crate) fn host(&self) -> &'a Host {
        self.host
    }

    /// Takes the frame of a table within the quota.
    #[inline(never)]
    pub(crate) fn take_table(&self) -> Result<OwnedFrame<'_>> {
        self.reserve_tables(1)?;
        self.take_reserved_table()
    }

    /// Takes the root of a new space, of `1 << order` pages, within the quota; without one there is no space
    /// that would count.
    pub(crate) fn take_root(&self, order: u32) -> Result<OwnedFrame<'_>> {
        self.reserve_tables(1_u64.wrapping_shl(order))?;
        self.take(order, Purpose::Root)
    }

    /// Counts table frames that are about to be taken: all of them, or none where the quota has no room. The
    /// count never passes the quota, so that nobody is refused because of somebody who is refused.
    #[inline(never)]
    pub(crate) fn reserve_tables(&self, pages: u64) -> Result<()> {
        let mut count = self.tables.load(Ordering::Relaxed);
        loop {
            let sum = count.wrapping_add(pages);
            if sum > self.quota {
                return Err(Error::NoMemory);
            }
            if self.is_alone {
                self.tables.store(sum, Ordering::Relaxed);
                return Ok(());
            }
            let relaxed = Ordering::Relaxed;
            match self.tables.compare_exchange_weak(count, sum, relaxed, relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => count = now,
            }
        }
    }

    /// Takes a table's frame that is counted already, and is no longer if there is none.
    #[inline(never)]
    pub(crate) fn take_reserved_table(&self) -> Result<OwnedFrame<'_>> {
        self.take(0, Purpose::Table).inspect_err(|_| self.discount_tables(1))
    }

    /// Takes table frames off their count.
    pub(crate) fn discount_tables(&self, pages: u64) {
        if self.is_alone {
            let count = self.tables.load(Ordering::Relaxed).wrapping_sub(pages);
            self.tables.store(count, Ordering::Relaxed);
        } else {
            self.tables.fetch_sub(pages, Ordering::Relaxed);
        }
    }

    /// Takes a frame for the guest.
    pub(crate) fn take_guest(&self, order: u32) -> Result<OwnedFrame<'_>> {
        self.take(order, Purpose::Guest)
    }

    #[inline(never)]
    fn take(&self, order: u32, purpose: Purpose) -> Result<OwnedFrame<'_>> {
        let pages = 1_u64.wrapping_shl(order);
        let address = self.host.take(order, purpose).inspect_err(|error| {
            if *error == Error::BadState {
                // What came was no frame and went back.
                add(&self.counts.allocated, pages);
                add(&self.counts.released, pages);
            }
        })?;
        add(&self.counts.allocated, pages);
        Ok(self.adopt(Frame { address, order, purpose }))
    }

    /// A frame that no entry names any more, or that none came to name.
    pub(crate) fn adopt(&self, frame: Frame) -> OwnedFrame<'_> {
        OwnedFrame { frame, ledger: self }
    }

    /// Gives a table back.
    #[inline(never)]
    pub(crate) fn give_table(&self, address: HostPhysAddr) {
        self.discount_tables(1);
        self.give(address, 0, Purpose::Table);
    }

    /// Gives a guest frame back.
    pub(crate) fn give_guest(&self, address: HostPhysAddr, order: u32) {
        self.give(address, order, Purpose::Guest);
    }

    /// Gives a guest's page back, to be counted by [`Ledger::count_released`].
    #[inline(always)]
    pub(crate) fn give_page(&self, address: HostPhysAddr) {
        self.host.give(address, 0, Purpose::Guest);
    }

    /// Counts frames that went back, in pages of 4 KiB.
    #[inline(always)]
    pub(crate) fn count_released(&self, pages: u64) {
        add(&self.counts.released, pages);
    }

    #[inline(never)]
    fn give(&self, address: HostPhysAddr, order: u32, purpose: Purpose) {
        self.host.give(address, order, purpose);
        add(&self.counts.released, 1_u64.wrapping_shl(order));
    }

    /// Counts leaves of a level that were written.
    #[inline(always)]
    pub(crate) fn count_leaves(&self, level: u32, count: u64) {
        if let Some(leaves) = self.counts.leaves.get(level.wrapping_sub(1) as usize) {
            add(leaves, count);
        }
    }

    /// Counts leaves of a level that are gone.
    #[inline(always)]
    pub(crate) fn discount_leaves(&self, level: u32, count: u64) {
        self.count_leaves(level, 0_u64.wrapping_sub(count));
    }

    /// Leaves of levels 1 to 3, as far as they are counted here.
    pub(crate) fn leaves(&self) -> [u64; 3] {
        let [small, medium, large] = &self.counts.leaves;
        [small, medium, large].map(|leaves| leaves.load(Ordering::Relaxed))
    }

    /// Puts the counts of leaves back to what they were.
    pub(crate) fn set_leaves(&self, leaves: [u64; 3]) {
        for (count, before) in self.counts.leaves.iter().zip(leaves) {
            count.store(before, Ordering::Relaxed);
        }
    }

    /// Counts guest frames that became mapped, in pages of 4 KiB.
    #[inline(always)]
    pub(crate) fn count_guest(&self, pages: u64) {
        add(&self.counts.guest, pages);
    }

    /// Counts guest frames that are no longer mapped, in pages of 4 KiB.
    #[inline(always)]
    pub(crate) fn discount_guest(&self, pages: u64) {
        add(&self.counts.guest, 0_u64.wrapping_sub(pages));
    }

    /// Counts a request to flush.
    pub(crate) fn count_flush(&self) {
        add(&self.counts.flushes, 1);
    }
}

#[inline(always)]
fn add(count: &AtomicU64, change: u64) {
    count.store(count.load(Ordering::Relaxed).wrapping_add(change), Ordering::Relaxed);
}

/// A frame of the host's.
#[derive(Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) address: HostPhysAddr,
    pub(crate) order: u32,
    pub(crate) purpose: Purpose,
}

/// A frame that no entry names yet; it goes back unless it is kept.
pub(crate) struct OwnedFrame<'a> {
    frame: Frame,
    ledger: &'a Ledger<'a>,
}

impl OwnedFrame<'_> {
    pub(crate) fn address(&self) -> HostPhysAddr {
        self.frame.address
    }

    /// An entry names the frame now: it goes back when that entry goes.
    pub(crate) fn keep(self) -> HostPhysAddr {
        self.release().address
    }

    /// Leaves it to the caller whether the frame goes back, by way of [`Ledger::adopt`].
    pub(crate) fn release(self) -> Frame {
        ManuallyDrop::new(self).frame
    }
}

impl Drop for OwnedFrame<'_> {
    fn drop(&mut self) {
        let Frame { address, order, purpose } = self.frame;
        match purpose {
            Purpose::Table if planted(Defect::TableKept) => {}
            Purpose::Guest if planted(Defect::FrameKept) => {}
            Purpose::Table => self.ledger.give_table(address),
            purpose => self.ledger.give(address, order, purpose),
        }
    }
}

/// Table frames taken in advance, threaded through their first words.
///
/// No walker has ever seen these frames, so that the thread cannot be taken for an entry.
pub(crate) struct FrameList {
    first: Option<HostPhysAddr>,
    count: u64,
}

impl FrameList {
    /// No frames.
    pub(crate) const fn empty() -> Self {
        Self { first: None, count: 0 }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Takes frames until there are `count`.
    pub(crate) fn fill(&mut self, ledger: &Ledger<'_>, count: u64) -> Result<()> {
        while self.count < count {
            let frame = ledger.take_table()?;
            let next = self.first.map_or(0, |next| next.bits() | 1);
            let window = ledger.host().window(frame.address())?;
            // SAFETY: 1. the window is open on a frame of ours that nobody else reaches; 2. it is aligned
            // for 64-bit accesses.
            unsafe { sync::write_first(window.base(), next) };
            drop(window);
            self.first = Some(frame.keep());
            self.count = self.count.wrapping_add(1);
        }
        Ok(())
    }

    /// The next frame.
    pub(crate) fn pop<'a>(&mut self, ledger: &'a Ledger<'_>) -> Result<OwnedFrame<'a>> {
        let address = self.first.ok_or(Error::BadState)?;
        let window = ledger.host().window(address)?;
        // SAFETY: as in `fill`, which wrote the word: where the next one is, with bit 0 set, or 0 for none.
        let next = unsafe { sync::read_first(window.base()) };
        drop(window);
        self.first = (next & 1 != 0).then(|| HostPhysAddr::from_bits(next & !(PAGE_SIZE - 1)));
        self.count = self.count.wrapping_sub(1);
        Ok(ledger.adopt(Frame { address, order: 0, purpose: Purpose::Table }))
    }

    /// Gives back what is left.
    pub(crate) fn give_back(&mut self, ledger: &Ledger<'_>) {
        while self.first.is_some() && self.pop(ledger).is_ok() {}
        *self = Self::empty();
    }
}
