//! Frames that go back unless somebody keeps them, and the ledger that counts them.

use core::cell::Cell;
use core::mem::ManuallyDrop;
use core::sync::atomic::{AtomicU64, Ordering};

use super::{Host, Purpose};
use crate::addr::{Bits, HostPhysAddr, PAGE_SIZE};
use crate::error::{Error, Result};
use crate::sync::{self, Defect, planted};

/// What one call takes and gives, counted on its own stack; the space adds it up at the end.
///
/// The number of table frames is the exception: the quota is a promise about every moment, so
/// that it is counted at once, for all CPUs.
pub(crate) struct Ledger<'a> {
    host: &'a Host,
    tables: &'a AtomicU64,
    quota: u64,
    /// Nobody else changes the count of tables meanwhile.
    is_alone: bool,
    /// Frames taken, in pages of 4 KiB.
    pub(crate) allocated: Cell<u64>,
    /// Frames given back, in pages of 4 KiB.
    pub(crate) released: Cell<u64>,
    /// Requests to flush.
    pub(crate) flushes: Cell<u64>,
    /// Guest frames that are mapped more than before, in pages of 4 KiB, mod 2^64.
    pub(crate) guest: Cell<u64>,
    /// Leaves that stand more than before, of levels 1 to 3, mod 2^64.
    pub(crate) leaves: [Cell<u64>; 3],
}

impl<'a> Ledger<'a> {
    /// An empty ledger over the count of table frames, which may not exceed `quota`.
    #[inline(always)]
    pub(crate) fn new(host: &'a Host, tables: &'a AtomicU64, quota: u64) -> Self {
        Self {
            host,
            tables,
            quota,
            is_alone: false,
            allocated: Cell::new(0),
            released: Cell::new(0),
            flushes: Cell::new(0),
            guest: Cell::new(0),
            leaves: [const { Cell::new(0) }; 3],
        }
    }

    /// As [`Ledger::new`], for a call that runs alone.
    #[inline(always)]
    pub(crate) fn alone(host: &'a Host, tables: &'a AtomicU64, quota: u64) -> Self {
        let mut ledger = Self::new(host, tables, quota);
        ledger.is_alone = true;
        ledger
    }

    /// The host behind the ledger.
    #[inline(always)]
    pub(crate) fn host(&self) -> &'a Host {
        self.host
    }

    /// Takes the frame of a table of `1 << order` pages within the quota.
    #[inline(never)]
    pub(crate) fn take_table(&self, order: u32) -> Result<OwnedFrame<'_>> {
        let pages = 1_u64.wrapping_shl(order);
        if self.count_tables(pages) > self.quota {
            self.count_tables(0_u64.wrapping_sub(pages));
            return Err(Error::NoMemory);
        }
        self.take(order, Purpose::Table).inspect_err(|_| {
            self.count_tables(0_u64.wrapping_sub(pages));
        })
    }

    /// Adds to the count of table frames, mod 2^64; the new count.
    fn count_tables(&self, change: u64) -> u64 {
        if self.is_alone {
            let count = self.tables.load(Ordering::Relaxed).wrapping_add(change);
            self.tables.store(count, Ordering::Relaxed);
            count
        } else {
            self.tables.fetch_add(change, Ordering::Relaxed).wrapping_add(change)
        }
    }

    /// Takes a frame for the guest.
    pub(crate) fn take_guest(&self, order: u32) -> Result<OwnedFrame<'_>> {
        self.take(order, Purpose::Guest)
    }

    #[inline(never)]
    fn take(&self, order: u32, purpose: Purpose) -> Result<OwnedFrame<'_>> {
        let address = self.host.take(order, purpose)?;
        add(&self.allocated, 1_u64.wrapping_shl(order));
        Ok(self.adopt(Frame { address, order, purpose }))
    }

    /// A frame that no entry names any more, or that none came to name.
    pub(crate) fn adopt(&self, frame: Frame) -> OwnedFrame<'_> {
        OwnedFrame { frame, ledger: self }
    }

    /// Gives a table back.
    #[inline(never)]
    pub(crate) fn give_table(&self, address: HostPhysAddr, order: u32) {
        self.count_tables(0_u64.wrapping_sub(1_u64.wrapping_shl(order)));
        self.give(address, order, Purpose::Table);
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
        add(&self.released, pages);
    }

    fn give(&self, address: HostPhysAddr, order: u32, purpose: Purpose) {
        self.host.give(address, order, purpose);
        add(&self.released, 1_u64.wrapping_shl(order));
    }

    /// Counts leaves of a level that were written.
    #[inline(always)]
    pub(crate) fn count_leaves(&self, level: u32, count: u64) {
        if let Some(leaves) = self.leaves.get(level.wrapping_sub(1) as usize) {
            add(leaves, count);
        }
    }

    /// Counts leaves of a level that are gone.
    #[inline(always)]
    pub(crate) fn discount_leaves(&self, level: u32, count: u64) {
        self.count_leaves(level, 0_u64.wrapping_sub(count));
    }

    /// Counts guest frames that became mapped, in pages of 4 KiB.
    #[inline(always)]
    pub(crate) fn count_guest(&self, pages: u64) {
        add(&self.guest, pages);
    }

    /// Counts guest frames that are no longer mapped, in pages of 4 KiB.
    #[inline(always)]
    pub(crate) fn discount_guest(&self, pages: u64) {
        add(&self.guest, 0_u64.wrapping_sub(pages));
    }

    /// Counts a request to flush.
    pub(crate) fn count_flush(&self) {
        add(&self.flushes, 1);
    }
}

#[inline(always)]
fn add(cell: &Cell<u64>, value: u64) {
    cell.set(cell.get().wrapping_add(value));
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
            Purpose::Table => self.ledger.give_table(address, order),
            purpose => self.ledger.give(address, order, purpose),
        }
    }
}

/// Table frames taken in advance, threaded through their first words; what is left goes back.
///
/// No walker has ever seen these frames, so that the thread cannot be taken for an entry.
pub(crate) struct FrameList<'a> {
    first: Cell<Option<HostPhysAddr>>,
    /// Frames beyond those taken in advance come from the host.
    is_open: bool,
    ledger: &'a Ledger<'a>,
}

impl<'a> FrameList<'a> {
    /// Takes `count` frames or none.
    pub(crate) fn take(ledger: &'a Ledger<'a>, count: u64) -> Result<Self> {
        let list = Self { first: Cell::new(None), is_open: false, ledger };
        for _ in 0..count {
            let frame = ledger.take_table(0)?;
            list.link(frame.address())?;
            list.first.set(Some(frame.keep()));
        }
        Ok(list)
    }

    /// Takes frames when they are asked for.
    pub(crate) fn on_demand(ledger: &'a Ledger<'a>) -> Self {
        Self { first: Cell::new(None), is_open: true, ledger }
    }

    /// Writes the thread into a frame: where the next one is, with bit 0 set, or 0 for none.
    fn link(&self, frame: HostPhysAddr) -> Result<()> {
        let next = self.first.get().map_or(0, |next| next.bits() | 1);
        let window = self.ledger.host().window(frame)?;
        // SAFETY: 1. the window is open on a frame of ours that nobody else reaches; 2. it is aligned
        // for 64-bit accesses.
        unsafe { sync::write_first(window.base(), next) };
        Ok(())
    }

    /// The next frame.
    pub(crate) fn pop(&self) -> Result<OwnedFrame<'a>> {
        let address = match self.first.get() {
            Some(address) => address,
            None if self.is_open => return self.ledger.take_table(0),
            None => return Err(Error::BadState),
        };
        let window = self.ledger.host().window(address)?;
        // SAFETY: as in `link`, which wrote the word.
        let next = unsafe { sync::read_first(window.base()) };
        drop(window);
        self.first.set((next & 1 != 0).then(|| HostPhysAddr::from_bits(next & !(PAGE_SIZE - 1))));
        Ok(self.ledger.adopt(Frame { address, order: 0, purpose: Purpose::Table }))
    }
}

impl Drop for FrameList<'_> {
    fn drop(&mut self) {
        while self.first.get().is_some() && self.pop().is_ok() {}
    }
}
