// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cutting an entry that covers more than a call is about.
//!
//! The tables that say the same in smaller entries are built off-line, with what is to happen inside
//! the range already done to them; then one store puts them in the entry's place. Where the
//! architecture asks for break-before-make, the entry is busy (invalid) from [`Splits::begin`] to
//! [`Splits::finish`], with the call's one flush in between; both cuts of one block are one split.

use core::num::NonZeroU32;

use super::Engine;
use super::arch::Format;
use super::edit::Edit;
use super::entry::{Entry, State, Way};
use super::geometry::{ENTRIES, Index, Span, entry_size, shift};
use super::unmap::Batch;
use super::walk::{Cursor, Run};
use super::work::Work;
use crate::addr::{Bits, HostPhysAddr};
use crate::error::{Error, Result};
use crate::hal::{FlushRequest, FrameList};

/// An entry that an end of the range cuts.
#[derive(Clone, Copy)]
struct CutEntry {
    /// The table that holds the entry.
    page: HostPhysAddr,
    level: NonZeroU32,
    word: u64,
    /// First address that the entry covers.
    base: u64,
    /// The table that takes the entry's place, once it is built.
    table: HostPhysAddr,
}

impl CutEntry {
    fn level(&self) -> u32 {
        self.level.get()
    }

    fn size(&self) -> u64 {
        entry_size(self.level())
    }

    fn entry<F: Format>(&self) -> Entry<F> {
        Entry::from_word(self.word)
    }

    /// The part of a range inside the entry.
    fn part(&self, start: u64, end: u64) -> (u64, u64) {
        (start.max(self.base), end.min(self.base.wrapping_add(self.size())))
    }

    /// The ends of a range that cut the entry, and not only its neighbours.
    fn cuts(&self, start: u64, end: u64) -> [Option<u64>; 2] {
        let last = self.base.wrapping_add(self.size()).wrapping_sub(1);
        [(start > self.base).then_some(start), (end <= last).then_some(end)]
    }

    /// Tables that the cuts need: on each level below, those in which a cut falls between two
    /// boundaries of the level above.
    fn tables(&self, start: u64, end: u64) -> u64 {
        let mut tables = 0_u64;
        for level in 2..=self.level() {
            let inside = |cut: &u64| cut & entry_size(level).wrapping_sub(1) != 0;
            let table = |cut: u64| cut.wrapping_shr(shift(level));
            let [head, tail] = self.cuts(start, end).map(|cut| cut.filter(inside).map(table));
            tables = tables.wrapping_add(u64::from(head.is_some()));
            tables = tables.wrapping_add(u64::from(tail.is_some() && tail != head));
        }
        tables
    }
}

/// The entries that the ends of a range cut, at most one for each, with what takes their places.
pub(crate) struct Splits {
    cuts: [Option<CutEntry>; 2],
}

impl Splits {
    pub(super) const fn none() -> Self {
        Self { cuts: [None; 2] }
    }

    /// Forgets what an earlier call cut.
    pub(super) fn clear(&mut self) {
        self.cuts = [None; 2];
    }

    /// The valid leaves that are cut.
    pub(super) fn leaves<F: Format>(&self) -> impl Iterator<Item = Entry<F>> + '_ {
        self.cuts.iter().flatten().map(CutEntry::entry).filter(|entry| entry.is_hardware_visible())
    }
}

/// The tables of the cuts while they are built: at most one for each level below each end of the range.
struct Made<'w> {
    /// Those that are left.
    tables: &'w mut FrameList,
    /// Those that were built, to go back if not all can be.
    pages: &'w mut Batch,
    count: usize,
}

impl<F: Format> Engine<'_, F> {
    /// Puts the tables in place, or the first half of that where it must be broken before it is made.
    #[inline(never)]
    pub(super) fn begin_splits(&self, splits: &Splits, flush: &mut FlushRequest) -> Result<()> {
        for cut in splits.cuts.iter().flatten() {
            if cut.entry::<F>().is_hardware_visible() {
                flush.add_leaf(cut.level());
                flush.cover(cut.base, cut.base.wrapping_add(cut.size()));
            }
            let entry = if self.breaks(cut) { Entry::busy() } else { Entry::table(cut.table) };
            self.set_entry(cut.page, Index::of(cut.base, cut.level()), entry)?;
        }
        Ok(())
    }

    /// The second half, after the flush.
    #[inline(never)]
    pub(super) fn finish_splits(&self, splits: &Splits) -> Result<()> {
        for cut in splits.cuts.iter().flatten().filter(|cut| self.breaks(cut)) {
            let index = Index::of(cut.base, cut.level());
            self.set_entry(cut.page, index, Entry::table(cut.table))?;
        }
        Ok(())
    }

    fn breaks(&self, cut: &CutEntry) -> bool {
        cut.entry::<F>().is_hardware_visible() && F::breaks_before_make(self.features())
    }

    /// Builds what must take the place of the entries that `[start, end)` cuts, with the work's edit done to
    /// the pieces in the range. Changes nothing that a walker sees.
    #[inline(never)]
    pub(super) fn prepare_splits(&self, work: &mut Work, start: u64, end: u64) -> Result<()> {
        let Work { edit, splits, cursor, tables, batch, .. } = work;
        splits.clear();
        let [head, tail] = &mut splits.cuts;
        self.find_cut(head, start, edit)?;
        self.find_cut(tail, end, edit)?;
        if let (Some(first), Some(second)) = (&head, &tail)
            && (first.base, first.level) == (second.base, second.level)
        {
            *tail = None;
        }
        let cuts = splits.cuts.iter().flatten();
        let spare = tables.count();
        let needed = cuts.fold(spare, |sum: u64, cut| sum.wrapping_add(cut.tables(start, end)));
        if needed == spare {
            return Ok(());
        }
        tables.fill(self.ledger, needed)?;
        let leaves = self.ledger.leaves();
        let mut made = Made { tables, pages: batch, count: 0 };
        let built = self.build_splits(splits, &mut made, cursor, edit, start, end);
        if built.is_err() {
            for page in made.pages.iter().take(made.count) {
                self.ledger.give_table(HostPhysAddr::from_bits(*page));
            }
            self.ledger.set_leaves(leaves);
        }
        built
    }

    #[inline(always)]
    fn build_splits(
        &self,
        splits: &mut Splits,
        made: &mut Made<'_>,
        cursor: &mut Cursor,
        edit: &Edit,
        start: u64,
        end: u64,
    ) -> Result<()> {
        for cut in splits.cuts.iter_mut().flatten() {
            cut.table = self.pieces(cut.entry(), cut.level(), made)?;
            self.split_at(cut, start, made)?;
            self.split_at(cut, end, made)?;
            let (start, end) = cut.part(start, end);
            cursor.begin_within(cut.table, cut.level().wrapping_sub(1), start, end);
            while cursor.next(self)? {
                let Run { page, level, span, .. } = cursor.run;
                self.edit(page, level, span, edit)?;
            }
        }
        Ok(())
    }

    /// Finds the entry that has an address strictly inside, if it must be split for that.
    #[inline(never)]
    fn find_cut(&self, cut: &mut Option<CutEntry>, address: u64, edit: &Edit) -> Result<()> {
        *cut = None;
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
                    if self.changes(entry, edit) {
                        let (word, table) = (entry.word(), page);
                        *cut = NonZeroU32::new(level).map(|level| CutEntry {
                            page,
                            level,
                            word,
                            base,
                            table,
                        });
                    }
                    Ok(())
                }
                State::Empty => Ok(()),
                _ => Err(Error::BadState),
            };
        }
    }

    /// Whether an edit changes the pieces of an entry.
    fn changes(&self, entry: Entry<F>, edit: &Edit) -> bool {
        match edit {
            // Nothing but frames of the library.
            Edit::Discard => entry.is_owned(),
            Edit::Protect(protection) => entry.with_permissions(protection.encoded) != entry,
            Edit::Detach { .. } | Edit::Publish => true,
        }
    }

    /// Splits the pieces of an entry that an end of the range cuts, down to where it is a boundary.
    #[inline(never)]
    fn split_at(&self, cut: &CutEntry, address: u64, made: &mut Made<'_>) -> Result<()> {
        if address <= cut.base || address.wrapping_sub(cut.base) >= cut.size() {
            return Ok(());
        }
        let mut page = cut.table;
        let mut level = cut.level().wrapping_sub(1);
        while address & entry_size(level).wrapping_sub(1) != 0 {
            let index = Index::of(address, level);
            let entry = self.entry(page, index)?;
            page = match entry.way(level) {
                Way::Down(below) => below,
                _ => {
                    let below = self.pieces(entry, level, made)?;
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
    fn pieces(&self, entry: Entry<F>, level: u32, made: &mut Made<'_>) -> Result<HostPhysAddr> {
        let below = level.wrapping_sub(1);
        let frame = made.tables.pop(self.ledger)?;
        let step = entry.step(entry_size(below));
        self.open(frame.address())?.fill(Span::ALL, entry.first_piece(level), step);
        let page = frame.keep();
        if let Some(slot) = made.pages.get_mut(made.count) {
            *slot = page.bits();
            made.count = made.count.wrapping_add(1);
        }
        if entry.is_hardware_visible() {
            self.ledger.discount_leaves(level, 1);
            self.ledger.count_leaves(below, ENTRIES as u64);
        }
        Ok(page)
    }
}
