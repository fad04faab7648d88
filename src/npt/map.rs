// SPDX-License-Identifier: MIT OR Apache-2.0
//! Filling a range in which nothing stands.

use super::Engine;
use super::arch::Format;
use super::content::{Content, Entries};
use super::entry::{Entry, Way};
use super::geometry::{ENTRIES, Index, PerLevel, Span, shift, table_size};
use super::operation::Operation;
use super::walk::{Cursor, Run, end_of};
use super::work::Work;
use crate::abi::{AXAS_FLUSH_NEW, AXAS_SCOPE_LOCAL};
use crate::addr::HostPhysAddr;
use crate::error::{Error, Result};
use crate::hal::{FlushRequest, FrameList, publish_tables};

/// The tables from the root down to the one in work.
pub(crate) struct Path {
    pages: PerLevel<HostPhysAddr>,
    /// Bit `level`: the table is new and not linked yet; its entries beyond those written are not
    /// initialised.
    fresh: u32,
    /// Bit `level`: something stands in the new table.
    written: u32,
}

impl Path {
    pub(super) const fn new() -> Self {
        Self { pages: PerLevel::new(HostPhysAddr::from_usize(0)), fresh: 0, written: 0 }
    }

    pub(super) fn get(&self, level: u32) -> HostPhysAddr {
        self.pages.get(level)
    }

    pub(super) fn set(&mut self, level: u32, page: HostPhysAddr) {
        self.pages.set(level, page);
    }

    fn is_fresh(&self, level: u32) -> bool {
        self.fresh & bit(level) != 0
    }
}

const fn bit(level: u32) -> u32 {
    1_u32.wrapping_shl(level)
}

impl<F: Format> Engine<'_, F> {
    /// Looks that the range is empty, takes all tables that it needs, fills it. On error the work says how
    /// far it is filled.
    #[inline(always)]
    pub(super) fn map(
        &self,
        work: &mut Work,
        operation: &Operation<'_>,
        start: u64,
        end: u64,
    ) -> Result<()> {
        let table = self.leaf_table(start, end);
        if table.is_none() {
            let tables = self.survey(&mut work.cursor, operation, start, end)?;
            work.tables.fill(self.ledger, tables)?;
        }
        self.fill(work, table, operation, start, end)?;
        publish_tables();
        if !matches!(
            operation,
            Operation::Reserve(_) | Operation::MapPopulated(_) | Operation::Trap { .. }
        ) {
            self.announce(start, end);
        }
        Ok(())
    }

    /// Flushes invalid entries that walkers may have cached.
    pub(super) fn announce(&self, start: u64, end: u64) {
        if F::caches_invalid(self.features()) {
            self.issue(FlushRequest::new(start, end), AXAS_FLUSH_NEW, AXAS_SCOPE_LOCAL);
        }
    }

    /// That nothing stands in the range, and how many tables the operation needs for it. Tables are looked
    /// into on the edges only: in one between them something stands.
    #[inline(never)]
    pub(super) fn survey(
        &self,
        cursor: &mut Cursor,
        operation: &Operation<'_>,
        start: u64,
        end: u64,
    ) -> Result<u64> {
        let content = Content::<F>::of(operation, start);
        let mut tables = 0_u64;
        cursor.begin(self, start, end);
        while cursor.next(self)? {
            let Run { page, level, span, gpa, is_bare } = cursor.run;
            if !is_bare && (level > 1 || !self.is_empty(page, span)?) {
                return Err(Error::AlreadyExists);
            }
            tables = tables.saturating_add(content.tables(level, gpa, cursor.gpa()));
        }
        Ok(tables)
    }

    /// Fills a range that is empty, or one of a table of level 1 that is there.
    #[inline(never)]
    fn fill(
        &self,
        work: &mut Work,
        table: Option<HostPhysAddr>,
        operation: &Operation<'_>,
        start: u64,
        end: u64,
    ) -> Result<()> {
        let mut content = Content::of(operation, start);
        match table {
            Some(table) => self.fill_leaf_table(work, table, start, end, &mut content),
            None => self.fill_tables(work, start, end, &mut content),
        }
    }

    /// Fills entries of a table that is there.
    #[inline(always)]
    fn fill_leaf_table(
        &self,
        work: &mut Work,
        table: HostPhysAddr,
        start: u64,
        end: u64,
        content: &mut Content<'_, F>,
    ) -> Result<()> {
        if !self.is_empty(table, Span::covering(start, end, 1))? {
            return Err(Error::AlreadyExists);
        }
        let mut gpa = start;
        while gpa < end {
            let entries = content.next(self, 1, gpa, end, ENTRIES)?.ok_or(Error::BadState)?;
            gpa = gpa.wrapping_add(self.put(table, 1, gpa, &entries)?);
            work.filled = gpa;
        }
        Ok(())
    }

    /// Fills a range in which nothing stands. New tables are linked when they are complete, lower ones
    /// first.
    #[inline(always)]
    fn fill_tables(
        &self,
        work: &mut Work,
        start: u64,
        end: u64,
        content: &mut Content<'_, F>,
    ) -> Result<()> {
        let Work { path, tables, filled, .. } = work;
        let top = self.levels();
        (path.fresh, path.written) = (0, 0);
        let mut level = top;
        let mut gpa = start;
        while gpa < end {
            if level == top {
                path.set(top, self.npt.root_page(gpa));
            }
            let step = self.fill_step(path, level, gpa, end, content).and_then(|bytes| {
                if bytes == 0 {
                    self.go_below(path, level, gpa, end, tables)?
                }
                Ok(bytes)
            });
            match step {
                Err(error) => {
                    // What was not reached is empty, what was is linked, to be removed like anything else.
                    *filled = gpa;
                    let cleared = self.clear_rest(path, level, gpa);
                    return cleared.and(self.link_rest(path, level, gpa)).and(Err(error));
                }
                Ok(0) => {
                    level = level.wrapping_sub(1);
                    continue;
                }
                Ok(bytes) => {
                    path.written |= bit(level);
                    gpa = gpa.wrapping_add(bytes);
                }
            }
            while level < top && (gpa >= end || gpa & table_size(level).wrapping_sub(1) == 0) {
                let last = gpa.wrapping_sub(1);
                if let Err(error) = self.link(path, level, last) {
                    *filled = gpa;
                    return self.link_rest(path, level, last).and(Err(error));
                }
                level = level.wrapping_add(1);
            }
        }
        Ok(())
    }

    /// Writes the entries that go into the table of `level`; how many bytes they cover, 0 if what comes
    /// next must go into the table below.
    #[inline(always)]
    fn fill_step(
        &self,
        path: &Path,
        level: u32,
        gpa: u64,
        end: u64,
        content: &mut Content<'_, F>,
    ) -> Result<u64> {
        let most = ENTRIES.saturating_sub(Index::of(gpa, level).get());
        let Some(entries) = content.next(self, level, gpa, end, most)? else {
            return Ok(0);
        };
        self.put(path.get(level), level, gpa, &entries)
    }

    /// Writes entries from the one that covers an address on, and counts what became leaves; how many bytes
    /// they cover.
    #[inline(always)]
    fn put(&self, page: HostPhysAddr, level: u32, gpa: u64, entries: &Entries<F>) -> Result<u64> {
        let count = entries.count as u64;
        let bytes = count.wrapping_shl(shift(level));
        let span = Span::covering(gpa, gpa.wrapping_add(bytes), level);
        self.fill_entries(page, span, entries.first, entries.step)?;
        if entries.first.is_hardware_visible() {
            self.ledger.count_leaves(level, count);
        }
        Ok(bytes)
    }

    /// Adds the table below the entry of an address to the path, a new one if there is none.
    #[inline(never)]
    fn go_below(
        &self,
        path: &mut Path,
        level: u32,
        gpa: u64,
        end: u64,
        tables: &mut FrameList,
    ) -> Result<()> {
        let below = level.wrapping_sub(1);
        let mut existing = None;
        if !path.is_fresh(level) {
            let entry = self.entry(path.get(level), Index::of(gpa, level))?;
            match entry.way(level) {
                Way::Down(table) => existing = Some(table),
                Way::Ends if entry.is_empty() => {}
                Way::Ends | Way::Corrupt => return Err(Error::BadState),
            }
        }
        let page = match existing {
            Some(page) => page,
            None => {
                let frame = tables.pop(self.ledger)?;
                let stop = end.min(end_of(gpa, table_size(below)));
                self.clear_outside(frame.address(), Span::covering(gpa, stop, below))?;
                path.fresh |= bit(below);
                frame.keep()
            }
        };
        path.written &= !bit(below);
        path.set(below, page);
        Ok(())
    }

    /// Empties the entries of a new table outside a span.
    #[inline(never)]
    fn clear_outside(&self, page: HostPhysAddr, span: Span) -> Result<()> {
        const FEW: usize = 128;
        if span.count() < FEW {
            // One stretch is sooner written than the two around it.
            return self.fill_unseen(page, Span::ALL, Entry::EMPTY);
        }
        if let Some(last) = span.first.previous() {
            self.fill_unseen(page, Span { first: Index::FIRST, last }, Entry::EMPTY)?;
        }
        if let Some(first) = span.last.next() {
            self.fill_unseen(page, Span { first, last: Index::LAST }, Entry::EMPTY)?;
        }
        Ok(())
    }

    /// Leaves a table that covers `gpa`: a new one is linked, or goes back if nothing stands in it.
    #[inline(never)]
    fn link(&self, path: &mut Path, level: u32, gpa: u64) -> Result<()> {
        if !path.is_fresh(level) {
            return Ok(());
        }
        let page = path.get(level);
        if path.written & bit(level) == 0 {
            self.ledger.give_table(page);
        } else {
            let above = level.wrapping_add(1);
            self.set_entry(path.get(above), Index::of(gpa, above), Entry::table(page))?;
            path.written |= bit(above);
        }
        path.fresh &= !bit(level);
        Ok(())
    }

    /// Links the tables from `level` up that cover `gpa`; what comes behind them is empty.
    #[cold]
    #[inline(never)]
    fn link_rest(&self, path: &mut Path, level: u32, gpa: u64) -> Result<()> {
        let mut outcome = Ok(());
        for level in level..self.levels() {
            outcome = outcome.and(self.clear_rest(path, level.wrapping_add(1), gpa));
            outcome = outcome.and(self.link(path, level, gpa));
        }
        outcome
    }

    /// Empties a new table from the entry of `gpa` on.
    #[cold]
    #[inline(never)]
    fn clear_rest(&self, path: &Path, level: u32, gpa: u64) -> Result<()> {
        if path.is_fresh(level) {
            let rest = Span { first: Index::of(gpa, level), last: Index::LAST };
            self.fill_unseen(path.get(level), rest, Entry::EMPTY)?;
        }
        Ok(())
    }
}
