// SPDX-License-Identifier: MIT OR Apache-2.0
//! What exclusive calls work with. It is in the space and not on the stack, for the stacks of many hosts are
//! small; it belongs to the call that holds the lock alone.

use super::NestedPageTable;
use super::arch::Format;
use super::edges::Edges;
use super::reap::{Batch, Reaping, Releases};
use super::stock::{Kind, Stock};
use super::sweep::Sweep;
use super::table::Broken;
use super::units::{GpaRange, Hpa, Level, PerLevel};
use crate::error::{Error, Result};

/// What failed on its way because the host did not reach a table, or gave no frame.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Failed {
    /// A map into a range that was empty; the edges in work are those from before.
    Map,
    Replacement,
}

/// What undoes it. Named by what may fail, so that a host links it with these calls only.
pub(crate) type Undo = fn(&NestedPageTable, &mut Work);

/// The memory of one exclusive call. An earlier call may have left anything in it but frames in the stock and
/// broken entries.
#[repr(C)] // What is used most is near.
pub(crate) struct Work {
    pub(crate) stock: Stock,
    pub(crate) sweep: Sweep,
    pub(super) edges: Edges,
    pub(super) broken: Broken,
    /// For a replacement that is populated: frames of 4 KiB and of 2 MiB.
    pub(crate) pages: Stock,
    pub(crate) large_pages: Stock,
    pub(super) releases: Releases,
    pub(super) path: PerLevel<Hpa>,
    pub(super) reaping: Reaping,
    pub(super) batch: Batch,
    /// The pages that a transfer takes tables for, or maps.
    #[cfg(feature = "transfer")]
    pub(super) transferred: super::transfer::Batch,
    /// Undoes what failed, before the lock is given up: in the range of the sweep, which begins.
    pub(crate) undo: Option<Undo>,
    pub(super) failed: Failed,
    /// What a map puts into its range is counted where the tables are pointed to, or some of it.
    pub(super) is_counted: bool,
}

impl Work {
    /// The frames of the size of a leaf of a level; there are none for 1 GiB.
    pub(super) fn pages_of(&mut self, level: Level) -> &mut Stock {
        if level == Level::PAGE { &mut self.pages } else { &mut self.large_pages }
    }

    /// Gives back guest frames that were taken for nothing.
    pub(crate) fn give_pages_back(&mut self, npt: &NestedPageTable) {
        self.pages.give_back(npt);
        self.large_pages.give_back(npt);
    }

    /// Leaves a range to be emptied at the end of the call, which ends with an error.
    #[cold]
    #[inline(never)]
    pub(super) fn fails_in<F: Format>(
        &mut self,
        npt: &NestedPageTable,
        failed: Failed,
        range: GpaRange,
        error: Error,
    ) -> Result<()> {
        self.undo = Some(NestedPageTable::undo_failed::<F>);
        self.failed = failed;
        self.sweep.begin(npt, range);
        Err(error)
    }

    /// Makes zeroes one in which there is nothing yet.
    ///
    /// # Safety
    /// The place is valid for a write, zeroed and aligned.
    pub(crate) unsafe fn begin(place: *mut Self) {
        // SAFETY: by the caller's promise; what is not written here may be zeroes.
        unsafe {
            (&raw mut (*place).stock).write(Stock::empty(Kind::Table));
            (&raw mut (*place).pages).write(Stock::empty(Kind::Page));
            (&raw mut (*place).large_pages).write(Stock::empty(Kind::LargePage));
            (&raw mut (*place).releases).write(Releases::none());
        }
    }
}
