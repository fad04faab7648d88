// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cutting an entry that covers more than a call is about: a table that says the same in smaller entries takes
//! its place, before the call changes anything.
//!
//! The tables are built off-line, then linked. Where the architecture asks for break-before-make, the entry is
//! busy (invalid) until the call's one flush is done ([`NestedPageTable::mend`]); meanwhile the call finds the
//! table in [`super::table::Broken`].

use super::NestedPageTable;
use super::arch::Format;
use super::entry::{EncodedPermissions, Entry, Way};
use super::reap::Batch;
use super::stock::Stock;
use super::table::Broken;
use super::units::{ENTRIES, Gpa, GpaRange, Hpa, Level, PerLevel, Span};
use super::work::Work;
use crate::abi::{AXAS_FLUSH_BREAK, AXAS_SCOPE_ALL};
use crate::addr::Bits;
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

/// An entry that an end of a range cuts.
#[derive(Clone, Copy)]
pub(super) struct CutEntry {
    /// The table that has the entry.
    page: Hpa,
    /// Its level; none if nothing is cut.
    level: Option<Level>,
    word: u64,
    /// What takes its place.
    table: Hpa,
}

impl CutEntry {
    const fn number(&self) -> u32 {
        match self.level {
            Some(level) => level.get(),
            None => 0,
        }
    }
}

/// The cuts of both ends.
pub(super) type Cuts = [CutEntry; 2];

/// The tables of the cuts while they are built: at most one for each level below each end of the range.
struct Made<'w> {
    stock: &'w mut Stock,
    /// Those that were built, to go back if not all can be.
    pages: &'w mut Batch,
    count: usize,
    /// Leaves of levels 2 and 3 that are cut.
    leaves: [u64; 2],
}

impl NestedPageTable {
    /// Makes both ends of a range boundaries of entries, where entries have to be cut; the stock has `besides`
    /// tables that are for something else. Nothing changes on error.
    #[inline(never)]
    pub(super) fn split<F: Format>(
        &self,
        work: &mut Work,
        range: GpaRange,
        cut: &Cut,
        besides: u64,
        request: &mut FlushRequest,
    ) -> Result<()> {
        work.broken.clear();
        let Work { cuts, path, .. } = work;
        let [head, tail] = cuts;
        self.cut_at::<F>(path, range.start, cut, head).ok_or(Error::BadState)?;
        self.cut_at::<F>(path, range.end, cut, tail).ok_or(Error::BadState)?;
        let tables = split_tables(range, head.number(), tail.number());
        if tables == 0 {
            return Ok(());
        }
        if let (Some(level), true) = (head.level, head.page == tail.page)
            && range.start.index(level) == range.end.index(level)
        {
            tail.level = None;
        }
        work.stock.fill(self, besides.wrapping_add(tables))?;
        let Work { cuts, stock, batch, broken, .. } = work;
        let mut made = Made { stock, pages: batch, count: 0, leaves: [0; 2] };
        let [head, tail] = cuts;
        let (start, end) = (range.start, range.end);
        let outcome = self
            .build_cut::<F>(&mut made, head, start, range)
            .and_then(|()| self.build_cut::<F>(&mut made, tail, end, range))
            .and_then(|()| self.link_cut::<F>(broken, head, start, request))
            .and_then(|()| self.link_cut::<F>(broken, tail, end, request));
        let Made { count, leaves, .. } = made;
        if outcome.is_none() {
            self.unlink_cuts::<F>(work, count, range);
            return Err(Error::BadState);
        }
        let mut level = Level::LARGE;
        for cut in leaves {
            self.discount_leaves(level, cut);
            self.count_leaves(level.down(), cut.wrapping_mul(ENTRIES as u64));
            level = level.up();
        }
        Ok(())
    }

    /// The entry that an address cuts, if it has to be cut.
    #[inline(never)]
    fn cut_at<F: Format>(
        &self,
        path: &mut PerLevel<Hpa>,
        gpa: Gpa,
        cut: &Cut,
        found: &mut CutEntry,
    ) -> Option<()> {
        (found.level, found.page) = (None, Hpa::new(0));
        if let Some((level, entry)) = self.find_cut::<F>(path, &Broken::NONE, gpa)?
            && cut.applies(entry)
        {
            (found.level, found.word, found.page) = (Some(level), entry.word(), path.get(level));
        }
        Some(())
    }

    /// Builds the tables that take the place of an entry.
    #[inline(never)]
    fn build_cut<F: Format>(
        &self,
        made: &mut Made<'_>,
        cut: &mut CutEntry,
        at: Gpa,
        range: GpaRange,
    ) -> Option<()> {
        let Some(level) = cut.level else { return Some(()) };
        let table = self.pieces(made, Entry::<F>::from_word(cut.word), level)?;
        cut.table = table;
        let (first, behind) = (at.base(level), at.end(level));
        for gpa in [range.start, range.end] {
            if gpa > first && gpa < behind {
                self.refine::<F>(made, table, level.down(), gpa)?;
            }
        }
        Some(())
    }

    /// Cuts the pieces in a new table of a level down to where an address is a boundary.
    fn refine<F: Format>(
        &self,
        made: &mut Made<'_>,
        table: Hpa,
        level: Level,
        gpa: Gpa,
    ) -> Option<()> {
        let (mut page, mut level) = (table, level);
        while !gpa.is_aligned(level) {
            let index = gpa.index(level);
            let entry = self.entry::<F>(page, index)?;
            page = match entry.way(level.get()) {
                Way::Down(below) => below,
                _ => {
                    let below = self.pieces(made, entry, level)?;
                    self.set(page, index, Entry::<F>::full_table(below))?;
                    below
                }
            };
            level = level.down();
        }
        Some(())
    }

    /// A table that says what an entry of a level says.
    #[inline(never)]
    fn pieces<F: Format>(&self, made: &mut Made<'_>, entry: Entry<F>, level: Level) -> Option<Hpa> {
        let table = made.stock.pop(self)?;
        if let Some(page) = made.pages.get_mut(made.count) {
            *page = table.bits();
            made.count = made.count.wrapping_add(1);
        }
        if entry.is_hardware_visible()
            && let Some(leaves) = made.leaves.get_mut(level.down().down().get() as usize)
        {
            *leaves = leaves.wrapping_add(1);
        }
        let step = entry.step(level.down().size());
        self.fill(table, Span::ALL, entry.first_piece(level.get()), step)?;
        Some(table)
    }

    /// Puts entries back in their places, and gives back the tables that were built for nothing.
    #[cold]
    #[inline(never)]
    fn unlink_cuts<F: Format>(&self, work: &mut Work, count: usize, range: GpaRange) {
        for (cut, gpa) in work.cuts.iter().zip([range.start, range.end]) {
            if let Some(level) = cut.level {
                // What cannot be reached now was not reached before.
                let entry = Entry::<F>::from_word(cut.word);
                let _ = self.set(cut.page, gpa.index(level), entry);
            }
        }
        work.broken.clear();
        self.issue::<F>(FlushRequest::new(range), AXAS_FLUSH_BREAK, AXAS_SCOPE_ALL);
        for page in work.batch.iter().take(count) {
            self.give_table(Hpa::new(*page));
        }
    }

    /// Puts the tables in the place of an entry, or the first half of that where it must be broken before it is
    /// made.
    #[inline(never)]
    fn link_cut<F: Format>(
        &self,
        broken: &mut Broken,
        cut: &CutEntry,
        gpa: Gpa,
        request: &mut FlushRequest,
    ) -> Option<()> {
        let Some(level) = cut.level else { return Some(()) };
        let index = gpa.index(level);
        let is_leaf = Entry::<F>::from_word(cut.word).is_hardware_visible();
        let breaks = is_leaf && F::breaks_before_make(self.features);
        let now: Entry<F> = if breaks { Entry::busy() } else { Entry::full_table(cut.table) };
        self.set(cut.page, index, now)?;
        if breaks {
            broken.add(cut.page, index, cut.table);
        }
        if is_leaf {
            request.cover_leaf(gpa, level);
        }
        Some(())
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
