//! Cutting an entry that covers more than a call is about.
//!
//! The tables that say the same in smaller entries are built off-line, with what is to happen inside
//! the range already done to them; then one store puts them in the entry's place. Where the
//! architecture asks for break-before-make, the entry is busy (invalid) from [`Splits::begin`] to
//! [`Splits::finish`], with the call's one flush in between; both cuts of one block are one split.

use super::Engine;
use super::arch::Format;
use super::edit::Edit;
use super::entry::{Entry, State, Way};
use super::geometry::{ENTRIES, Index, Span, entry_size, shift};
use super::walk::Cursor;
use crate::addr::HostPhysAddr;
use crate::error::{Error, Result};
use crate::hal::{FlushRequest, FrameList};

/// An entry that an address cuts.
#[derive(Clone, Copy)]
struct CutEntry<F> {
    /// The table that holds the entry.
    page: HostPhysAddr,
    level: u32,
    entry: Entry<F>,
    /// First address that the entry covers.
    base: u64,
    /// The part of the range inside the entry.
    start: u64,
    end: u64,
    /// The table that takes the entry's place, once it is built.
    table: HostPhysAddr,
}

impl<F: Format> CutEntry<F> {
    fn size(&self) -> u64 {
        entry_size(self.level)
    }

    /// The ends of the range that cut the entry, and not only its neighbours.
    fn cuts(&self) -> [Option<u64>; 2] {
        let end = self.base.wrapping_add(self.size());
        let head = (self.start != self.base).then_some(self.start);
        let tail = (self.end != end).then_some(self.end);
        [head, tail]
    }

    /// Tables that the cuts need: on each level below, those in which a cut falls between two
    /// boundaries of the level above.
    fn tables(&self) -> u64 {
        let mut tables = 0_u64;
        for level in 2..=self.level {
            let inside = |cut: &u64| cut & entry_size(level).wrapping_sub(1) != 0;
            let table = |cut: u64| cut.wrapping_shr(shift(level));
            let [head, tail] = self.cuts().map(|cut| cut.filter(inside).map(table));
            tables = tables.wrapping_add(u64::from(head.is_some()));
            tables = tables.wrapping_add(u64::from(tail.is_some() && tail != head));
        }
        tables
    }
}

/// The entries that the ends of a range cut, at most one for each, with what takes their places.
pub(super) struct Splits<F> {
    splits: [Option<CutEntry<F>>; 2],
}

impl<F: Format> Splits<F> {
    /// None.
    pub(super) fn new() -> Self {
        Self { splits: [None; 2] }
    }

    /// The valid leaves that are cut.
    pub(super) fn leaves(&self) -> impl Iterator<Item = Entry<F>> + '_ {
        self.splits
            .iter()
            .flatten()
            .map(|cut| cut.entry)
            .filter(|entry| entry.is_hardware_visible())
    }

    /// Puts the tables in place, or the first half of that where it must be broken before it is made.
    #[inline(never)]
    pub(super) fn begin(&self, engine: &Engine<'_, F>, flush: &mut FlushRequest) -> Result<()> {
        for cut in self.splits.iter().flatten() {
            if cut.entry.is_hardware_visible() {
                flush.add_leaf(cut.level);
                flush.cover(cut.base, cut.base.wrapping_add(cut.size()));
            }
            let entry =
                if Self::breaks(engine, cut) { Entry::busy() } else { Entry::table(cut.table) };
            engine.set_entry(cut.page, Index::of(cut.base, cut.level), entry)?;
        }
        Ok(())
    }

    /// The second half, after the flush.
    #[inline(never)]
    pub(super) fn finish(&self, engine: &Engine<'_, F>) -> Result<()> {
        for cut in self.splits.iter().flatten() {
            if Self::breaks(engine, cut) {
                let index = Index::of(cut.base, cut.level);
                engine.set_entry(cut.page, index, Entry::table(cut.table))?;
            }
        }
        Ok(())
    }

    fn breaks(engine: &Engine<'_, F>, cut: &CutEntry<F>) -> bool {
        cut.entry.is_hardware_visible() && F::breaks_before_make(engine.features())
    }
}

impl<F: Format> Engine<'_, F> {
    /// Builds what must take the place of the entries that `[start, end)` cuts, with the edit done to the
    /// pieces in the range. Changes nothing that a walker sees.
    #[inline(never)]
    pub(super) fn prepare_splits(
        &self,
        splits: &mut Splits<F>,
        start: u64,
        end: u64,
        edit: &Edit<F>,
    ) -> Result<()> {
        let [head, tail] = &mut splits.splits;
        self.find_cut(head, start, start, end, edit)?;
        self.find_cut(tail, end, start, end, edit)?;
        if let (Some(first), Some(second)) = (&head, &tail)
            && (first.base, first.level) == (second.base, second.level)
        {
            *tail = None;
        }
        let cuts = [head, tail];
        let needed = |sum: u64, cut: &CutEntry<F>| sum.wrapping_add(cut.tables());
        let tables = cuts.iter().filter_map(|cut| cut.as_ref()).fold(0, needed);
        if tables == 0 {
            return Ok(());
        }
        let list = FrameList::take(self.ledger, tables)?;
        for cut in cuts.into_iter().flatten() {
            self.build_split(cut, &list, edit)?;
        }
        Ok(())
    }

    /// Finds the entry that has an address strictly inside, if it must be split for that.
    #[inline(never)]
    fn find_cut(
        &self,
        found: &mut Option<CutEntry<F>>,
        address: u64,
        start: u64,
        end: u64,
        edit: &Edit<F>,
    ) -> Result<()> {
        let mut level = self.levels();
        let mut page = self.npt.root_page(address);
        loop {
            let base = address & !(entry_size(level).wrapping_sub(1));
            if address == base {
                return Ok(());
            }
            let entry = self.entry(page, Index::of(address, level))?;
            if let Way::Down(below) = entry.way(level) {
                page = below;
                level = level.wrapping_sub(1);
                continue;
            }
            return match entry.state(level) {
                State::Leaf | State::Reserved | State::Trap => {
                    let entry_end = base.wrapping_add(entry_size(level));
                    let (start, end) = (start.max(base), end.min(entry_end));
                    // Discarding changes nothing but frames of the library.
                    if !matches!(edit, Edit::Discard) || entry.is_owned() {
                        *found =
                            Some(CutEntry { page, level, entry, base, start, end, table: page });
                    }
                    Ok(())
                }
                State::Empty => Ok(()),
                _ => Err(Error::BadState),
            };
        }
    }

    /// The table, with those below it, that says what the cut entry says, but for the pieces inside.
    #[inline(never)]
    fn build_split(
        &self,
        cut: &mut CutEntry<F>,
        list: &FrameList<'_>,
        edit: &Edit<F>,
    ) -> Result<()> {
        let below = cut.level.wrapping_sub(1);
        let top = self.pieces(cut.entry, cut.level, list)?;
        for address in cut.cuts().into_iter().flatten() {
            self.cut_pieces(top, below, address, list)?;
        }
        let mut cursor = Cursor::within(top, below, cut.start, cut.end);
        while let Some(run) = cursor.next(self)? {
            self.edit(run.page, run.level, run.span, edit)?;
        }
        cut.table = top;
        Ok(())
    }

    /// Splits the pieces that an address cuts, down to where it is a boundary.
    fn cut_pieces(
        &self,
        top: HostPhysAddr,
        top_level: u32,
        address: u64,
        list: &FrameList<'_>,
    ) -> Result<()> {
        let mut page = top;
        let mut level = top_level;
        while address & entry_size(level).wrapping_sub(1) != 0 {
            let index = Index::of(address, level);
            let entry = self.entry(page, index)?;
            page = match entry.way(level) {
                Way::Down(below) => below,
                _ => {
                    let below = self.pieces(entry, level, list)?;
                    self.set_entry(page, index, Entry::table(below))?;
                    below
                }
            };
            level = level.wrapping_sub(1);
        }
        Ok(())
    }

    /// A table that says what an entry of `level` says.
    #[inline(never)]
    fn pieces(&self, entry: Entry<F>, level: u32, list: &FrameList<'_>) -> Result<HostPhysAddr> {
        let below = level.wrapping_sub(1);
        let page = list.pop()?.keep();
        let step = entry.step(entry_size(below));
        self.fill_entries(page, Span::ALL, entry.first_piece(level), step)?;
        if entry.is_hardware_visible() {
            self.ledger.discount_leaves(level, 1);
            self.ledger.count_leaves(below, ENTRIES as u64);
        }
        Ok(page)
    }
}
