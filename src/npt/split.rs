//! Cutting an entry that covers more than a call is about.
//!
//! The tables that say the same in smaller entries are built off-line, with what is to happen inside
//! the range already done to them; then one store puts them in the entry's place. Where the
//! architecture asks for break-before-make, the entry is busy (invalid) from [`Splits::begin`] to
//! [`Splits::finish`], with the call's one flush in between; both cuts of one block are one split.

use super::Engine;
use super::arch::Format;
use super::entry::{Entry, State};
use super::geometry::{ENTRIES, Index, Span, entry_size, shift};
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
}

impl<F: Format> CutEntry<F> {
    fn size(&self) -> u64 {
        entry_size(self.level)
    }

    /// The ends of the range that cut the entry, and not only its neighbours.
    fn cuts(&self) -> impl Iterator<Item = u64> + use<F> {
        let end = self.base.wrapping_add(self.size());
        let head = (self.start != self.base).then_some(self.start);
        let tail = (self.end != end).then_some(self.end);
        [head, tail].into_iter().flatten()
    }

    /// Tables that the cuts need: on each level below, those in which a cut falls between two
    /// boundaries of the level above.
    fn tables(&self) -> u64 {
        let mut tables = 0_u64;
        for level in 2..=self.level {
            let inside = |cut: &u64| cut & entry_size(level).wrapping_sub(1) != 0;
            let mut last = None;
            for cut in self.cuts().filter(inside) {
                let table = cut.wrapping_shr(shift(level));
                if last != Some(table) {
                    tables = tables.wrapping_add(1);
                }
                last = Some(table);
            }
        }
        tables
    }
}

/// An entry with the table that takes its place.
#[derive(Clone, Copy)]
struct Split<F> {
    cut: CutEntry<F>,
    table: HostPhysAddr,
}

/// The entries that the ends of a range cut, at most one for each, with what takes their places.
pub(crate) struct Splits<F> {
    splits: [Option<Split<F>>; 2],
}

impl<F: Format> Splits<F> {
    /// The valid leaves that are cut.
    pub(crate) fn leaves(&self) -> impl Iterator<Item = Entry<F>> + '_ {
        self.splits
            .iter()
            .flatten()
            .map(|split| split.cut.entry)
            .filter(|entry| entry.is_hardware_visible())
    }

    /// Puts the tables in place, or the first half of that where it must be broken before it is made.
    pub(crate) fn begin(&self, engine: &Engine<'_, F>, flush: &mut FlushRequest) -> Result<()> {
        for split in self.splits.iter().flatten() {
            let cut = &split.cut;
            if cut.entry.is_hardware_visible() {
                flush.add_leaf(cut.level);
                flush.cover(cut.base, cut.base.wrapping_add(cut.size()));
            }
            let entry =
                if Self::breaks(engine, cut) { Entry::busy() } else { Entry::table(split.table) };
            engine.open(cut.page)?.store(Index::of(cut.base, cut.level), entry);
        }
        Ok(())
    }

    /// The second half, after the flush.
    pub(crate) fn finish(&self, engine: &Engine<'_, F>) -> Result<()> {
        for split in self.splits.iter().flatten() {
            let cut = &split.cut;
            if Self::breaks(engine, cut) {
                let index = Index::of(cut.base, cut.level);
                engine.open(cut.page)?.store(index, Entry::table(split.table));
            }
        }
        Ok(())
    }

    fn breaks(engine: &Engine<'_, F>, cut: &CutEntry<F>) -> bool {
        cut.entry.is_hardware_visible() && F::breaks_before_make(engine.features())
    }
}

impl<F: Format> Engine<'_, F> {
    /// Builds what must take the place of the entries that `[start, end)` cuts, as far as `is_cut` has
    /// them cut; `inside` says what becomes of the pieces in the range. Changes nothing that a walker
    /// sees.
    pub(crate) fn prepare_splits(
        &self,
        start: u64,
        end: u64,
        is_cut: &impl Fn(Entry<F>) -> bool,
        inside: &impl Fn(Entry<F>, u32) -> Entry<F>,
    ) -> Result<Splits<F>> {
        let cut_at = |address| {
            let cut = self.cut_entry(address, start, end);
            cut.map(|cut| cut.filter(|cut| is_cut(cut.entry)))
        };
        let (head, mut tail) = (cut_at(start)?, cut_at(end)?);
        if let (Some(head), Some(other)) = (&head, &tail)
            && head.base == other.base
            && head.level == other.level
        {
            tail = None;
        }
        let cuts = [head, tail];
        let tables = cuts.iter().flatten().fold(0, |sum: u64, cut| sum.wrapping_add(cut.tables()));
        let list = FrameList::take(self.ledger, tables)?;
        let mut splits = [None; 2];
        for (split, cut) in splits.iter_mut().zip(cuts) {
            if let Some(cut) = cut {
                *split = Some(Split { table: self.build_split(&cut, &list, inside)?, cut });
            }
        }
        Ok(Splits { splits })
    }

    /// The entry that has an address strictly inside, if it must be split for that.
    fn cut_entry(&self, address: u64, start: u64, end: u64) -> Result<Option<CutEntry<F>>> {
        let mut level = self.levels();
        let mut page = self.root_page(address);
        loop {
            let base = address & !(entry_size(level).wrapping_sub(1));
            if address == base {
                return Ok(None);
            }
            let entry = self.open(page)?.load(Index::of(address, level));
            match entry.state(level) {
                State::Table => {
                    page = entry.address();
                    level = level.wrapping_sub(1);
                }
                State::Leaf | State::Reserved | State::Trap => {
                    let entry_end = base.wrapping_add(entry_size(level));
                    let (start, end) = (start.max(base), end.min(entry_end));
                    return Ok(Some(CutEntry { page, level, entry, base, start, end }));
                }
                State::Empty => return Ok(None),
                _ => return Err(Error::BadState),
            }
        }
    }

    /// The table, with those below it, that says what the cut entry says, but for the pieces inside.
    fn build_split(
        &self,
        cut: &CutEntry<F>,
        list: &FrameList<'_>,
        inside: &impl Fn(Entry<F>, u32) -> Entry<F>,
    ) -> Result<HostPhysAddr> {
        let below = cut.level.wrapping_sub(1);
        let top = self.pieces(cut.entry, cut.level, list)?;
        for address in cut.cuts() {
            self.cut_pieces(top, below, address, list)?;
        }
        self.visit_page(top, below, cut.start, cut.end, |table, level, span, _| {
            table.update(span, |entry| inside(entry, level));
            Ok(())
        })?;
        Ok(top)
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
            let entry = self.open(page)?.load(index);
            let below = match entry.state(level) {
                State::Table => entry.address(),
                _ => {
                    let below = self.pieces(entry, level, list)?;
                    self.open(page)?.store(index, Entry::table(below));
                    below
                }
            };
            page = below;
            level = level.wrapping_sub(1);
        }
        Ok(())
    }

    /// A table that says what an entry of `level` says.
    fn pieces(&self, entry: Entry<F>, level: u32, list: &FrameList<'_>) -> Result<HostPhysAddr> {
        let below = level.wrapping_sub(1);
        let page = list.pop()?.keep();
        let step = entry.step(entry_size(below));
        self.open(page)?.fill(Span::ALL, entry.first_piece(level), step);
        if entry.is_hardware_visible() {
            self.ledger.discount_leaves(level, 1);
            self.ledger.count_leaves(below, ENTRIES as u64);
        }
        Ok(page)
    }
}
