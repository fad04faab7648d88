// SPDX-License-Identifier: MIT OR Apache-2.0
//! Frames taken in advance, so that what comes after cannot fail for memory.

use super::NestedPageTable;
use super::units::{Hpa, Level};
use crate::addr::Bits;
use crate::error::{Error, Result};
use crate::hal::Purpose;
use crate::sync;
#[cfg(feature = "stock")]
use crate::sync::Ordering;

/// What frames are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Table,
    /// A guest's page of 4 KiB.
    Page,
    /// A guest's page of 2 MiB.
    LargePage,
}

impl Kind {
    fn level(self) -> Level {
        if self == Self::LargePage { Level::LARGE } else { Level::PAGE }
    }
}

/// In the place of an address: it is not known.
const UNKNOWN: Hpa = Hpa::new(u64::MAX);

/// Frames in a list that runs through themselves. Each names the two behind it, and two are named here: if the
/// host does not reach one of them for once, the others are not lost.
///
/// No walker finds these frames, so that a link cannot be taken for an entry.
pub(crate) struct Stock {
    first: Hpa,
    /// Not known where the frame that names it could not be read.
    second: Hpa,
    count: u32,
    kind: Kind,
}

impl Stock {
    /// No frames.
    pub(crate) const fn empty(kind: Kind) -> Self {
        Self { first: UNKNOWN, second: UNKNOWN, count: 0, kind }
    }

    fn take(&self, npt: &NestedPageTable) -> Result<Hpa> {
        match self.kind {
            Kind::Table => npt.take_table(),
            kind => npt.take_frame(kind.level(), Purpose::Guest),
        }
    }

    fn give(&self, npt: &NestedPageTable, frame: Hpa) {
        match self.kind {
            Kind::Table => npt.give_table(frame),
            kind => npt.give_guest(frame, kind.level()),
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.count.into()
    }

    /// Takes frames until there are `count`.
    #[inline(never)]
    pub(super) fn fill(&mut self, npt: &NestedPageTable, count: u64) -> Result<()> {
        while self.count() < count {
            let page = self.take(npt)?;
            self.push(npt, page)?;
        }
        Ok(())
    }

    /// Adds a frame that no walker finds. One that cannot be reached goes back.
    #[inline(always)] // Called by `fill`, and with the part `stock` once more.
    fn push(&mut self, npt: &NestedPageTable, page: Hpa) -> Result<()> {
        let links = [self.first, self.second].map(Hpa::bits);
        let Ok(window) = npt.host.window(page) else {
            self.give(npt, page);
            return Err(Error::BadState);
        };
        // SAFETY: 1. the window is open on a frame of ours that no other code reaches; 2. it is aligned
        // for 64-bit accesses.
        unsafe { sync::write_links(window.base(), links) };
        drop(window);
        (self.second, self.first) = (self.first, page);
        self.count = self.count.wrapping_add(1);
        Ok(())
    }

    /// The next frame. One that cannot be reached goes back.
    #[inline(never)]
    pub(super) fn pop(&mut self, npt: &NestedPageTable) -> Option<Hpa> {
        while self.count != 0 {
            let page = self.first;
            self.count = self.count.wrapping_sub(1);
            if let Ok(window) = npt.host.window(page) {
                // SAFETY: as in `push`, which wrote the words.
                let [next, behind] = unsafe { sync::read_links(window.base()) }.map(Hpa::new);
                if self.kind != Kind::Table {
                    // The guest reads no addresses of the host.
                    // SAFETY: as above.
                    unsafe { sync::write_links(window.base(), [0; 2]) };
                }
                (self.first, self.second) = (next, behind);
                return Some(page);
            }
            self.give(npt, page);
            (self.first, self.second) = (self.second, UNKNOWN);
            if self.first == UNKNOWN {
                self.count = 0;
            }
        }
        None
    }

    /// Gives back what is left.
    #[inline(always)]
    pub(crate) fn give_back(&mut self, npt: &NestedPageTable) {
        if self.count != 0 {
            self.give_down_to(npt, 0);
        }
    }

    /// Gives back frames until there are `count`.
    #[inline(never)]
    fn give_down_to(&mut self, npt: &NestedPageTable, count: u64) {
        while self.count() > count
            && let Some(page) = self.pop(npt)
        {
            self.give(npt, page);
        }
    }
}

/// Table frames that stay in the stock from call to call (`axas_stock`).
impl NestedPageTable {
    /// How many there are.
    #[inline(always)]
    pub(crate) fn stocked(&self) -> u64 {
        #[cfg(feature = "stock")]
        let stocked = self.stocked.load(Ordering::Relaxed).into();
        #[cfg(not(feature = "stock"))]
        let stocked = 0;
        stocked
    }

    /// Tables that are linked, where these are not.
    #[inline(always)]
    pub(super) fn linked_tables(&self, stock: &Stock) -> u64 {
        self.table_count().wrapping_sub(stock.count())
    }

    /// Gives back a table that the failed call which `is_undone` may have taken from the stock.
    #[inline(always)] // As `give_table`, without the part.
    pub(super) fn give_table_of(&self, stock: &mut Stock, page: Hpa, is_undone: bool) {
        if cfg!(feature = "stock") && is_undone && stock.count() < self.stocked() {
            // Where the frame cannot be reached the stock is smaller.
            let _ = stock.push(self, page);
        } else {
            self.give_table(page);
        }
    }

    /// At the end of an exclusive call: what it took and did not use goes back, what it used of the stock is
    /// not taken again.
    #[inline(always)]
    pub(crate) fn end_of_call(&self, stock: &mut Stock) {
        let stocked = self.stocked();
        if stock.count() != stocked {
            stock.give_down_to(self, stocked);
            #[cfg(feature = "stock")]
            self.stocked.store(stock.count, Ordering::Relaxed);
        }
    }

    /// Gives back what stayed in the stock.
    #[inline(always)] // Nothing, without the part.
    pub(crate) fn end_stock(&self, stock: &mut Stock) {
        if cfg!(feature = "stock") {
            stock.give_back(self);
            self.end_of_call(stock);
        }
    }

    /// Makes the stock `frames` table frames; as it was if they are not to be had.
    #[cfg(feature = "stock")]
    pub(crate) fn set_stock(&self, stock: &mut Stock, frames: u32) -> Result<()> {
        stock.fill(self, frames.into())?;
        self.stocked.store(frames, Ordering::Relaxed);
        Ok(())
    }
}
