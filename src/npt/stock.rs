// SPDX-License-Identifier: MIT OR Apache-2.0
//! Frames taken in advance, so that what comes after cannot fail for memory.

use super::NestedPageTable;
use super::units::{Hpa, Level};
use crate::addr::Bits;
use crate::error::{Error, Result};
use crate::hal::Purpose;
use crate::sync;

/// What frames are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Table,
    /// The guest, for leaves of a level.
    Guest(Level),
}

/// Frames in a list that runs through themselves. Each names the two behind it, and two are named here: if the
/// host does not reach one of them for once, the others are not lost.
///
/// No walker has ever seen these frames, so that a link cannot be taken for an entry.
pub(crate) struct Stock {
    kind: Kind,
    count: u64,
    first: Hpa,
    /// None where it is not known, because the frame that names it could not be read.
    second: Option<Hpa>,
}

impl Stock {
    /// No frames.
    pub(crate) const fn empty(kind: Kind) -> Self {
        Self { kind, count: 0, first: Hpa::new(0), second: None }
    }

    fn take(&self, npt: &NestedPageTable) -> Result<Hpa> {
        match self.kind {
            Kind::Table => npt.take_table(),
            Kind::Guest(level) => npt.take_frame(level, Purpose::Guest),
        }
    }

    fn give(&self, npt: &NestedPageTable, frame: Hpa) {
        match self.kind {
            Kind::Table => npt.give_table(frame),
            Kind::Guest(level) => npt.give_guest(frame, level),
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Takes frames until there are `count`.
    #[inline(never)]
    pub(super) fn fill(&mut self, npt: &NestedPageTable, count: u64) -> Result<()> {
        while self.count < count {
            let page = self.take(npt)?;
            let links = [self.first, self.second.unwrap_or(self.first)].map(Hpa::bits);
            let Ok(window) = npt.host.window(page) else {
                self.give(npt, page);
                return Err(Error::BadState);
            };
            // SAFETY: 1. the window is open on a frame of ours that nobody else reaches; 2. it is aligned
            // for 64-bit accesses.
            unsafe { sync::write_links(window.base(), links) };
            drop(window);
            (self.second, self.first) = (Some(self.first), page);
            self.count = self.count.wrapping_add(1);
        }
        Ok(())
    }

    /// The next frame. One that cannot be reached goes back.
    #[inline(never)]
    pub(super) fn pop(&mut self, npt: &NestedPageTable) -> Option<Hpa> {
        while self.count != 0 {
            let page = self.first;
            self.count = self.count.wrapping_sub(1);
            if let Ok(window) = npt.host.window(page) {
                // SAFETY: as in `fill`, which wrote the words.
                let [next, behind] = unsafe { sync::read_links(window.base()) }.map(Hpa::new);
                if self.kind != Kind::Table {
                    // The guest reads no addresses of the host.
                    // SAFETY: as above.
                    unsafe { sync::write_links(window.base(), [0; 2]) };
                }
                (self.first, self.second) = (next, Some(behind));
                return Some(page);
            }
            self.give(npt, page);
            match self.second.take() {
                Some(next) => self.first = next,
                None => self.count = 0,
            }
        }
        None
    }

    /// Gives back what is left.
    #[inline(always)]
    pub(crate) fn give_back(&mut self, npt: &NestedPageTable) {
        if self.count != 0 {
            self.give_all_back(npt);
        }
    }

    #[inline(never)]
    fn give_all_back(&mut self, npt: &NestedPageTable) {
        while let Some(page) = self.pop(npt) {
            self.give(npt, page);
        }
    }
}
