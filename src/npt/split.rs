// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cutting an entry that covers more than a call is about: a table that says the same in smaller entries takes
//! its place, before the call changes anything.
//!
//! The tables are built off-line, then linked. Where the architecture asks for break-before-make, the entry is
//! busy (invalid) until the call's one flush is done ([`NestedPageTable::mend`]); meanwhile the call finds the
//! table in [`super::table::Broken`].

use super::NestedPageTable;
use super::arch::Format;
use super::edges::{Arm, Edges};
use super::entry::{EncodedPermissions, Entry, HIDES, State};
use super::stock::Stock;
use super::table::{Broken, CutEntry};
use super::units::{ENTRIES, Gpa, GpaRange, Hpa, Level, Span};
use super::work::Work;
use crate::abi::{AXAS_FLUSH_BREAK, AXAS_SCOPE_ALL};
use crate::error::{Error, Result};
use crate::hal::{FlushRequest, HAS_WINDOWS};

/// Which entries have to be cut.
pub(super) enum Cut {
    All,
    /// Leaves with frames of the library.
    Owned,
    /// Those whose permissions change.
    Permissions(EncodedPermissions),
    /// Pages that are to be hidden, to show themselves or not.
    #[cfg(feature = "hide")]
    Pages {
        auto: bool,
    },
    /// Pages that are hidden.
    #[cfg(feature = "hide")]
    Held,
    /// Pages that are to be evicted.
    #[cfg(feature = "provider")]
    Evicted,
    /// Those whose tag changes.
    #[cfg(feature = "tags")]
    Tag(crate::flags::Tag),
}

impl Cut {
    #[inline(always)]
    fn applies<F: Format>(&self, entry: Entry<F>) -> bool {
        match self {
            Self::All => true,
            Self::Owned => entry.is_owned(),
            Self::Permissions(permissions) => {
                entry.with_permissions(*permissions) != entry
                    || permissions.hides() && entry.is_hardware_visible()
            }
            #[cfg(feature = "hide")]
            Self::Pages { auto } => entry.can_hide(*auto),
            #[cfg(feature = "hide")]
            Self::Held => entry.is_held(),
            #[cfg(feature = "provider")]
            Self::Evicted => entry.can_evict(),
            #[cfg(feature = "tags")]
            Self::Tag(tag) => entry.tag() != *tag,
        }
    }
}

impl NestedPageTable {
    /// Makes both ends of a range boundaries of entries, where entries have to be cut. Tables that are in stock are
    /// used. Nothing changes on error. The edges in work are those of the range if nothing was cut and one page of the
    /// root covers it.
    #[inline(never)]
    pub(super) fn split<F: Format>(
        &self,
        work: &mut Work,
        range: GpaRange,
        cut: &Cut,
        request: &mut FlushRequest,
    ) -> Result<()> {
        work.broken.clear();
        self.show_ends::<F>(range).ok_or(Error::BadState)?;
        let tables = self.count_cuts::<F>(&mut work.edges, range, cut).ok_or(Error::BadState)?;
        if tables == 0 {
            return Ok(());
        }
        self.check_cuts::<F>(&mut work.edges, range, cut)?;
        work.stock.fill(self, tables)?;
        let made = self
            .cut_end::<F>(work, Arm::Left, range, cut, request)
            .and_then(|()| self.cut_end::<F>(work, Arm::Right, range, cut, request));
        work.edges.forget();
        if made.is_none() {
            // Without windows what was counted can be cut.
            if HAS_WINDOWS {
                self.unlink_cuts::<F>(work, range);
            }
            return Err(Error::BadState);
        }
        if !F::breaks_before_make(self.features) {
            work.broken.clear();
        }
        Ok(())
    }

    /// Takes the tables that the cuts of a range need, if devices allow the cuts.
    #[cfg(feature = "transfer")]
    pub(super) fn stock_cuts<F: Format>(
        &self,
        work: &mut Work,
        range: GpaRange,
        cut: &Cut,
    ) -> Result<()> {
        self.check_cuts::<F>(&mut work.edges, range, cut)?;
        let tables = self.count_cuts::<F>(&mut work.edges, range, cut).ok_or(Error::BadState)?;
        work.stock.fill(self, tables)
    }

    /// How many tables the cuts take.
    #[inline(always)] // As the other steps.
    fn count_cuts<F: Format>(&self, edges: &mut Edges, range: GpaRange, cut: &Cut) -> Option<u64> {
        let (mut start, mut end) = (0, 0);
        let mut at = range.start;
        while at < range.end {
            at = self.find_edges::<F>(edges, &Broken::NONE, range.from(at))?;
            start = self.cut_level::<F>(edges, Arm::Left, cut)?.max(start);
            end = self.cut_level::<F>(edges, Arm::Right, cut)?;
        }
        Some(split_tables(range, start, end))
    }

    /// The level of the entry that an end of the edges' range cuts, if it has to be cut; else 0.
    #[inline(never)]
    pub(super) fn cut_level<F: Format>(&self, edges: &Edges, arm: Arm, cut: &Cut) -> Option<u32> {
        let level = edges.lowest(arm);
        if edges.end(arm).is_aligned(level) {
            return Some(0);
        }
        let entry = self.entry::<F>(edges.page(arm, level), edges.cut(arm, level))?;
        match entry.state(level.get()) {
            State::Empty => Some(0),
            State::Note | State::Hidden if !HIDES => None,
            State::Leaf | State::Reserved | State::Trap | State::Note | State::Hidden => {
                Some(if cut.applies(entry) { level.get() } else { 0 })
            }
            _ => None,
        }
    }

    /// Cuts the entry that an end of a range is in, if it has to be cut: builds the tables that take its place and
    /// links them, or breaks the entry where it must be broken before they are linked.
    #[inline(never)]
    fn cut_end<F: Format>(
        &self,
        work: &mut Work,
        arm: Arm,
        range: GpaRange,
        cut: &Cut,
        request: &mut FlushRequest,
    ) -> Option<()> {
        let Work { edges, broken, stock, .. } = work;
        let top = self.levels.up();
        let part = if arm == Arm::Left { range } else { range.part(range.last(), top) };
        self.find_edges::<F>(edges, broken, part)?;
        let gpa = edges.end(arm);
        let level = Level::new(self.cut_level::<F>(edges, arm, cut)?);
        if level < Level::PAGE {
            return Some(());
        }
        let (page, index) = (edges.page(arm, level), edges.cut(arm, level));
        let entry = self.entry::<F>(page, index)?;
        let table = self.pieces(stock, entry, level)?;
        broken.add(CutEntry { page, index, level, word: entry.word(), table, gpa });
        let (mut lowest, mut below) = (table, level.down());
        while !gpa.is_aligned(below) {
            let index = gpa.index(below);
            let piece = self.entry::<F>(lowest, index)?;
            let table = self.pieces(stock, piece, below)?;
            if self.set(lowest, index, Entry::<F>::full_table(table)).is_none() {
                self.give_pieces(entry, table, below);
                return None;
            }
            (lowest, below) = (table, below.down());
        }
        let breaks = F::breaks_before_make(self.features);
        let new = if breaks { Entry::busy() } else { Entry::<F>::full_table(table) };
        #[cfg(feature = "dirty")]
        if self.is_live() && entry.is_hardware_visible() {
            self.put_live(page, index, entry, new, table, level.down())?;
        } else {
            self.set(page, index, new)?;
        }
        #[cfg(not(feature = "dirty"))]
        self.set(page, index, new)?;
        if entry.is_hardware_visible() {
            request.cover_leaf(gpa, level);
        }
        Some(())
    }

    /// A table that says what an entry of a level says.
    #[inline(never)]
    pub(super) fn pieces<F: Format>(
        &self,
        stock: &mut Stock,
        entry: Entry<F>,
        level: Level,
    ) -> Option<Hpa> {
        let table = stock.pop(self)?;
        let below = level.down();
        let step = entry.step(below.size());
        if entry.is_page() {
            self.discount_leaves(level, 1);
            self.count_leaves(below, ENTRIES as u64);
        }
        let filled = self.fill(table, Span::ALL, entry.first_piece(level.get()), step);
        if filled.is_none() {
            self.give_pieces(entry, table, level);
        }
        filled.map(|()| table)
    }

    /// Gives back the table that says what an entry of a level says.
    #[cold]
    #[inline(never)]
    pub(super) fn give_pieces<F: Format>(&self, entry: Entry<F>, table: Hpa, level: Level) {
        if entry.is_page() {
            self.discount_leaves(level.down(), ENTRIES as u64);
            self.count_leaves(level, 1);
        }
        self.give_table(table);
    }

    /// Puts entries back in their places, and gives back the tables that were built for nothing.
    #[cold]
    #[inline(never)]
    fn unlink_cuts<F: Format>(&self, work: &mut Work, range: GpaRange) {
        for CutEntry { page, index, word, .. } in work.broken.all() {
            let entry = Entry::<F>::from_word(*word);
            // Hardware may have marked it since it was read.
            let entry = match entry.is_hardware_visible() {
                true if self.marks_writes() => entry.dirtied(),
                true if self.is_live() => entry.used(),
                _ => entry,
            };
            // What cannot be reached now was not reached before.
            let _ = self.set(*page, *index, entry);
        }
        self.issue::<F>(FlushRequest::new(range), AXAS_FLUSH_BREAK, AXAS_SCOPE_ALL);
        while let Some(CutEntry { level, word, table, gpa, .. }) = work.broken.take() {
            let entry = Entry::<F>::from_word(word);
            let (path, below) = (&mut work.path, level.down());
            path.set(below, table);
            let found = self.descend::<F>(path, &Broken::NONE, below, Level::PAGE, gpa);
            let mut lowest = found.unwrap_or(below);
            while lowest < level {
                self.give_pieces(entry, path.get(lowest), lowest.up());
                lowest = lowest.up();
            }
        }
    }

    /// Makes what is broken, after the flush. What the table of such an entry lost meanwhile is not counted.
    #[inline(always)]
    pub(super) fn mend<F: Format>(&self, broken: &mut Broken) -> Option<()> {
        let mut outcome = Some(());
        while let Some(CutEntry { page, index, table, .. }) = broken.take() {
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
