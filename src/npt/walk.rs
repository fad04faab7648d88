// SPDX-License-Identifier: MIT OR Apache-2.0
//! Looking: one entry, or every entry of a range.

use super::arch::Format;
use super::entry::{Entry, State, Way};
use super::geometry::{Index, PerLevel, Span, entry_size, shift, table_size};
use super::table::{Table, read_direct};
use super::{Engine, NestedPageTable};
use crate::addr::HostPhysAddr;
use crate::error::{Error, Result};
use crate::hal::DirectMap;
use crate::sync::{Defect, Ordering, fence, planted};

/// An entry and the level of its table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<F> {
    pub(crate) entry: Entry<F>,
    pub(crate) level: u32,
}

impl<F: Format> Found<F> {
    /// First address that the entry covers.
    pub(crate) fn base(&self, gpa: u64) -> u64 {
        gpa & !(entry_size(self.level).wrapping_sub(1))
    }
}

impl NestedPageTable {
    /// The entry that covers an address of the space, never one that points to a table.
    pub(crate) fn walk<F: Format>(&self, gpa: u64) -> Result<Found<F>> {
        self.walk_to(gpa).map(|(found, _)| found)
    }

    /// As [`NestedPageTable::walk`], with the table that holds the entry. Not inlined, for
    /// `scripts/check-acquire.py`.
    #[inline(never)]
    fn walk_to<F: Format>(&self, gpa: u64) -> Result<(Found<F>, HostPhysAddr)> {
        let mut page = self.root_page(gpa);
        let mut level = self.shape.levels;
        loop {
            let table = Table::<F>::open(self.memory(), page)?;
            let entry = table.load_acquire(Index::of(gpa, level));
            match entry.way(level) {
                Way::Down(below) => {
                    page = below;
                    level = level.wrapping_sub(1);
                }
                Way::Ends if entry.state(level) != State::Corrupt => {
                    return Ok((Found { entry, level }, page));
                }
                Way::Ends | Way::Corrupt => return Err(Error::BadState),
            }
        }
    }

    /// As [`NestedPageTable::walk`], with the number of bytes from there on that look the same and, in a
    /// leaf, lie side by side in host memory: to the end of the entry, or through its neighbours of 4 KiB
    /// if `most` asks for more.
    pub(crate) fn walk_run<F: Format>(&self, gpa: u64, most: u64) -> Result<(Found<F>, u64)> {
        let (found, page) = self.walk_to::<F>(gpa)?;
        let size = entry_size(found.level);
        let bytes = size.wrapping_sub(gpa & size.wrapping_sub(1));
        if found.level > 1 || bytes >= most || !found.entry.is_hardware_visible() {
            return Ok((found, bytes));
        }
        let more =
            self.followers(page, Index::of(gpa, 1), found.entry, most.wrapping_sub(bytes))?;
        Ok((found, bytes.wrapping_add(more)))
    }

    /// Bytes of the 4 KiB leaves behind an entry of a leaf table that continue it in host memory, up to
    /// the one that completes `most`. Their contents are read through the pointer to the first page, so
    /// each entry is read with acquire: a fault on another CPU zeroes its frame before it installs it.
    /// Not inlined, for `scripts/check-acquire.py`.
    #[inline(never)]
    fn followers<F: Format>(
        &self,
        page: HostPhysAddr,
        first: Index,
        entry: Entry<F>,
        most: u64,
    ) -> Result<u64> {
        let size = entry_size(1);
        let table = Table::<F>::open(self.memory(), page)?;
        let (mut expected, mut next, mut bytes) = (entry, first.next(), 0_u64);
        while let Some(index) = next
            && bytes < most
        {
            expected = Entry::from_word(expected.word().wrapping_add(expected.step(size)));
            if !table.load_neighbour(index).same_as(expected) {
                break;
            }
            bytes = bytes.wrapping_add(size);
            next = index.next();
        }
        Ok(bytes)
    }

    /// As [`NestedPageTable::walk`], beside an exclusive call too; nothing if tables went meanwhile, the
    /// entry is in transition or corrupt, or the host's tables do not stay readable.
    ///
    /// What is read in a table is not followed unless the generation is still that of the start: it changes
    /// after tables are detached and before they go, so that the entry was one of a table that was not
    /// gone then.
    #[inline(never)]
    pub(crate) fn walk_unlocked<F: Format>(&self, gpa: u64) -> Option<Found<F>> {
        let (entry, level) = self.walk_direct(self.direct_reads?, gpa);
        (level != 0).then_some(Found { entry, level })
    }

    /// The host-physical address and the level of the leaf that maps an address, as
    /// [`NestedPageTable::walk_unlocked`] finds it; level 0 where it finds no leaf. Two words that stay in
    /// registers.
    #[inline(never)]
    pub(crate) fn translate_unlocked<F: Format>(&self, gpa: u64) -> (u64, u32) {
        let Some(direct) = self.direct_reads else { return (0, 0) };
        let (entry, level) = self.walk_direct::<F>(direct, gpa);
        if level == 0 || !entry.is_hardware_visible() {
            return (0, 0);
        }
        let offset = gpa & entry_size(level).wrapping_sub(1);
        (F::address(entry.word()).wrapping_add(offset), level)
    }

    /// The entry and its level, 0 where there is nothing to be said.
    #[inline(always)]
    fn walk_direct<F: Format>(&self, direct: DirectMap, gpa: u64) -> (Entry<F>, u32) {
        const NOTHING: u32 = 0;
        let generation = self.generation.load(Ordering::Acquire);
        let mut page = self.root_page(gpa);
        // One level after the other with its number known, which a loop would have to compute with.
        macro_rules! step {
            ($level:literal) => {
                let entry = read_direct(direct, page, Index::of(gpa, $level));
                if !planted(Defect::GenerationBarrier) {
                    fence(Ordering::Acquire);
                }
                let is_same = self.generation.load(Ordering::Relaxed) == generation;
                if !is_same && !planted(Defect::GenerationUnread) {
                    return (entry, NOTHING);
                }
                match entry.way($level) {
                    Way::Down(below) => page = below,
                    Way::Ends if entry.is_settled() => return (entry, $level),
                    Way::Ends | Way::Corrupt => return (entry, NOTHING),
                }
            };
        }
        let levels = self.shape.levels;
        if F::MAX_LEVELS >= 5 && levels >= 5 {
            step!(5);
        }
        if levels >= 4 {
            step!(4);
        }
        step!(3);
        step!(2);
        step!(1);
        let _ = page;
        (Entry::EMPTY, NOTHING)
    }
}

impl<F: Format> Engine<'_, F> {
    /// The table of level 1 that covers all of `[start, end)`, unless the range is as large as the table.
    #[inline(always)]
    pub(super) fn leaf_table(&self, start: u64, end: u64) -> Option<HostPhysAddr> {
        let (last, size) = (end.wrapping_sub(1), table_size(1));
        if start ^ last >= size || end.wrapping_sub(start) == size {
            return None;
        }
        self.leaf_table_of(start)
    }

    /// The table of level 1 that covers an address, if there is one and it can be reached.
    #[inline(never)]
    pub(super) fn leaf_table_of(&self, gpa: u64) -> Option<HostPhysAddr> {
        let mut page = self.npt.root_page(gpa);
        let levels = self.levels();
        macro_rules! step {
            ($level:literal) => {
                match self.open(page).ok()?.load(Index::of(gpa, $level)).way($level) {
                    Way::Down(below) => page = below,
                    Way::Ends | Way::Corrupt => return None,
                }
            };
        }
        if F::MAX_LEVELS >= 5 && levels >= 5 {
            step!(5);
        }
        if levels >= 4 {
            step!(4);
        }
        step!(3);
        step!(2);
        Some(page)
    }
}

/// Neighbouring entries of one table.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    pub(crate) page: HostPhysAddr,
    pub(crate) level: u32,
    pub(crate) span: Span,
    /// The first address of the range that they cover.
    pub(crate) gpa: u64,
    /// They are all empty; not determined in tables of level 1.
    pub(crate) is_bare: bool,
}

impl Run {
    pub(super) const NOWHERE: Self = Self {
        page: HostPhysAddr::from_usize(0),
        level: 0,
        span: Span::ALL,
        gpa: 0,
        is_bare: false,
    };

    /// The first address that an entry of it covers.
    pub(super) fn gpa_of(&self, index: Index) -> u64 {
        let distance = (index.get() as u64).wrapping_sub(self.span.first.get() as u64);
        let base = self.gpa & !(entry_size(self.level).wrapping_sub(1));
        base.wrapping_add(distance.wrapping_shl(shift(self.level)))
    }

    /// Leaves out what lies before an entry of it.
    pub(super) fn begin_at(&mut self, index: Index) {
        self.gpa = self.gpa_of(index);
        self.span.first = index;
    }
}

/// What a cursor comes to.
pub(crate) enum Step {
    /// Entries that do not point to tables.
    Entries,
    /// An entry that points to this table, to be entered or skipped before the next step.
    Table(HostPhysAddr),
    End,
}

/// Goes over all entries of a range, in the order of addresses, from table to table and not from the root
/// to each page. No window is open between two steps.
pub(crate) struct Cursor {
    path: PerLevel<HostPhysAddr>,
    top: u32,
    level: u32,
    gpa: u64,
    end: u64,
    followed: u64,
    /// What the last step came to.
    pub(crate) run: Run,
}

impl Cursor {
    /// To be begun.
    pub(crate) const fn nowhere() -> Self {
        Self {
            path: PerLevel::new(HostPhysAddr::from_usize(0)),
            top: 0,
            level: 0,
            gpa: 0,
            end: 0,
            followed: 0,
            run: Run::NOWHERE,
        }
    }

    /// Over a range of the space.
    pub(crate) fn over<F: Format>(engine: &Engine<'_, F>, start: u64, end: u64) -> Self {
        let mut cursor = Self::nowhere();
        cursor.begin(engine, start, end);
        cursor
    }

    /// Begins anew, over a range of the space.
    pub(crate) fn begin<F: Format>(&mut self, engine: &Engine<'_, F>, start: u64, end: u64) {
        self.begin_at(engine.levels(), start, end);
    }

    /// Begins anew, over a range that lies in one table of a level below the root's.
    pub(crate) fn begin_within(&mut self, page: HostPhysAddr, top: u32, start: u64, end: u64) {
        self.path.set(top, page);
        self.begin_at(top, start, end);
    }

    fn begin_at(&mut self, top: u32, start: u64, end: u64) {
        (self.top, self.level, self.gpa, self.end, self.followed) = (top, top, start, end, 0);
    }

    /// Where the next step begins: behind what the last one came to, unless that was a table.
    pub(crate) fn gpa(&self) -> u64 {
        self.gpa
    }

    /// Comes to the next entries that do not point to tables, if there are more; tables are entered.
    #[inline(always)]
    pub(crate) fn next<F: Format>(&mut self, engine: &Engine<'_, F>) -> Result<bool> {
        Ok(!matches!(self.go_on(engine, true)?, Step::End))
    }

    /// Comes to the next part of the range.
    #[inline(always)]
    pub(crate) fn step<F: Format>(&mut self, engine: &Engine<'_, F>) -> Result<Step> {
        self.go_on(engine, false)
    }

    /// Comes to the next part of the range, or to the next that is not a table and `enters` those.
    #[inline(never)]
    fn go_on<F: Format>(&mut self, engine: &Engine<'_, F>, enters: bool) -> Result<Step> {
        loop {
            match self.look(engine)? {
                Step::Table(table) if enters => self.enter(engine, table)?,
                step => return Ok(step),
            }
        }
    }

    #[inline(always)]
    fn look<F: Format>(&mut self, engine: &Engine<'_, F>) -> Result<Step> {
        if self.gpa >= self.end {
            return Ok(Step::End);
        }
        let (level, gpa) = (self.level, self.gpa);
        let page =
            if level == engine.levels() { engine.npt.root_page(gpa) } else { self.path.get(level) };
        let mut stop = end_of(gpa, table_size(level)).min(self.end);
        let mut span = Span::covering(gpa, stop, level);
        let (first, is_bare) =
            if level > 1 { engine.first_table(page, level, span)? } else { (None, false) };
        if let Some((index, table)) = first {
            let Some(last) = index.previous().filter(|last| *last >= span.first) else {
                self.run = Run { page, level, span: Span::one(index), gpa, is_bare };
                return Ok(Step::Table(table));
            };
            span.last = last;
            let size = entry_size(level);
            let count = (span.count() as u64).wrapping_mul(size);
            stop = (gpa & !(size.wrapping_sub(1))).wrapping_add(count);
        }
        self.run = Run { page, level, span, gpa, is_bare };
        self.advance(stop);
        Ok(Step::Entries)
    }

    /// Goes on in a table that the entry points to to which the last step came.
    pub(crate) fn enter<F: Format>(
        &mut self,
        engine: &Engine<'_, F>,
        table: HostPhysAddr,
    ) -> Result<()> {
        self.enter_at(engine, self.run.gpa, table)
    }

    /// As [`Cursor::enter`], for the entry of the last run that covers an address.
    pub(crate) fn enter_at<F: Format>(
        &mut self,
        engine: &Engine<'_, F>,
        gpa: u64,
        table: HostPhysAddr,
    ) -> Result<()> {
        self.followed = self.followed.wrapping_add(1);
        engine.check_followed(self.followed)?;
        self.path.set(self.run.level, self.run.page);
        self.level = self.run.level.wrapping_sub(1);
        self.path.set(self.level, table);
        self.gpa = gpa;
        Ok(())
    }

    /// Goes on behind the table that the last step came to.
    pub(crate) fn skip(&mut self) {
        self.advance(end_of(self.run.gpa, entry_size(self.run.level)));
    }

    /// Goes on at an address where entries of the table in work end.
    fn advance(&mut self, gpa: u64) {
        self.gpa = gpa;
        while self.level < self.top && gpa & table_size(self.level).wrapping_sub(1) == 0 {
            self.level = self.level.wrapping_add(1);
        }
    }
}

/// Where the piece of `size` bytes ends that covers an address.
#[inline(always)]
pub(super) const fn end_of(gpa: u64, size: u64) -> u64 {
    (gpa | size.wrapping_sub(1)).wrapping_add(1)
}
