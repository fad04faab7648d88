// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cutting an entry that covers more than a call is about: a table that says the same in smaller entries takes
//! its place, before the call changes anything.
//!
//! Where the architecture asks for break-before-make, the entry is busy (invalid) until the call's one flush is
//! done ([`NestedPageTable::mend`]); meanwhile the call finds the table in [`super::table::Broken`]. What is
//! below a busy entry no walker sees, so that it can be cut further at once.

use super::NestedPageTable;
use super::arch::Format;
use super::entry::{EncodedPermissions, Entry};
use super::table::Broken;
use super::units::{ENTRIES, Gpa, GpaRange, Hpa, Level, PerLevel, Span};
use super::work::Work;
use crate::abi::AXAS_FLUSH_BREAK;
use crate::error::{Error, Result};
use crate::hal::FlushRequest;

/// Which entries have to be cut.
pub(super) enum Cut {
    All,
    /// Leaves with frames of the library.
    Owned,
    /// Those whose permissions change.
    Permissions(EncodedPermissions),
}

impl Cut {
    #[inline(always)]
    fn applies<F: Format>(&self, entry: Entry<F>) -> bool {
        match self {
            Self::All => true,
            Self::Owned => entry.is_owned(),
            Self::Permissions(permissions) => entry.with_permissions(*permissions) != entry,
        }
    }
}

impl NestedPageTable {
    /// Makes both ends of a range boundaries of entries, where entries have to be cut. If that fails all is as
    /// it was, but that one of two entries may be a table that says the same.
    #[inline(never)]
    pub(super) fn split<F: Format>(
        &self,
        work: &mut Work,
        range: GpaRange,
        cut: &Cut,
        request: &mut FlushRequest,
    ) -> Result<()> {
        work.broken = Broken::NONE;
        let start = self.cut_level::<F>(&mut work.path, range.start, cut).ok_or(Error::BadState)?;
        let end = self.cut_level::<F>(&mut work.path, range.end, cut).ok_or(Error::BadState)?;
        let tables = split_tables(range, start, end);
        if tables == 0 {
            return Ok(());
        }
        let spare = work.stock.count();
        work.stock.fill(self, spare.wrapping_add(tables))?;
        let mut outcome = Some(());
        for gpa in [range.start, range.end] {
            outcome = outcome.and_then(|()| self.split_at::<F>(work, gpa, cut, request));
        }
        if outcome.is_none() {
            self.give_up_split::<F>(work, range);
        }
        outcome.ok_or(Error::BadState)
    }

    /// The level of the entry that an address cuts; 0 where none has to be cut.
    #[inline(never)]
    fn cut_level<F: Format>(
        &self,
        path: &mut PerLevel<Hpa>,
        gpa: Gpa,
        cut: &Cut,
    ) -> Option<u32> {
        Some(match self.find_cut::<F>(path, &Broken::NONE, gpa)? {
            Some((level, entry)) if cut.applies(entry) => level.get(),
            _ => 0,
        })
    }

    /// Cuts entries down to one of which an address is a boundary.
    #[inline(never)]
    fn split_at<F: Format>(
        &self,
        work: &mut Work,
        gpa: Gpa,
        cut: &Cut,
        request: &mut FlushRequest,
    ) -> Option<()> {
        while let Some((level, entry)) = self.find_cut::<F>(&mut work.path, &work.broken, gpa)? {
            if !cut.applies(entry) {
                break;
            }
            let (page, index) = (work.path.get(level), gpa.index(level));
            let below = level.down();
            let table = work.stock.pop(self)?;
            let step = entry.step(below.size());
            if self.fill(table, Span::ALL, entry.first_piece(level.get()), step).is_none() {
                self.give_table(table);
                return None;
            }
            let is_leaf = entry.is_hardware_visible();
            // What is below a broken entry no walker sees.
            let breaks = is_leaf
                && F::breaks_before_make(self.features)
                && !self.is_below_broken(work, level);
            let now: Entry<F> = if breaks { Entry::busy() } else { Entry::full_table(table) };
            if self.set(page, index, now).is_none() {
                self.give_table(table);
                return None;
            }
            if breaks {
                work.broken.add(page, index, table);
            }
            if is_leaf {
                self.discount_leaves(level, 1);
                self.count_leaves(below, ENTRIES as u64);
                request.cover_leaf(gpa, level);
            }
        }
        Some(())
    }

    /// Whether the table of a level on the path hangs on a broken entry.
    fn is_below_broken(&self, work: &Work, level: Level) -> bool {
        let mut above = level.up();
        while above <= self.levels {
            let below = work.path.get(above.down());
            if work.broken.has_table(below) {
                return true;
            }
            above = above.up();
        }
        false
    }

    /// Makes what is broken, after the flush. What the table of such an entry lost meanwhile is not counted.
    #[inline(always)]
    pub(super) fn mend<F: Format>(&self, broken: &mut Broken) -> Option<()> {
        let mut outcome = Some(());
        while let Some((page, index, table)) = broken.take() {
            outcome = outcome.and(self.set(page, index, Entry::<F>::table(table)));
        }
        outcome
    }

    /// Puts what was cut in its place when the second cut failed.
    #[cold]
    #[inline(never)]
    fn give_up_split<F: Format>(&self, work: &mut Work, range: GpaRange) {
        let mut request = FlushRequest::new(range);
        request.add_table();
        self.issue_if::<F>(request, false, AXAS_FLUSH_BREAK);
        // Where the table cannot be reached, its entry stays busy.
        let _ = self.mend::<F>(&mut work.broken);
    }
}

/// Tables that the cuts of a range take whose ends cut entries of these levels (0: none).
fn split_tables(range: GpaRange, start: u32, end: u32) -> u64 {
    let mut tables = 0_u64;
    let mut level = Level::PAGE.up();
    while level.get() <= start.max(end) {
        let cuts = |gpa: Gpa, most: u32| level.get() <= most && !gpa.is_aligned(level);
        let (head, tail) = (cuts(range.start, start), cuts(range.end, end));
        let is_one = head && range.start.number(level) == range.end.number(level);
        tables = tables.wrapping_add(u64::from(head)).wrapping_add(u64::from(tail && !is_one));
        level = level.up();
    }
    tables
}
