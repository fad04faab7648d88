// SPDX-License-Identifier: MIT OR Apache-2.0
//! Filling a range that is empty.

use super::arch::Format;
use super::content::{Content, Pieces};
use super::edges::{Arm, Edges};
use super::entry::{Entry, Way};
use super::stock::Stock;
use super::table::Broken;
use super::units::{ENTRIES, Gpa, GpaRange, Hpa, Index, Level, PerLevel, Span};
use super::work::{Failed, Work};
use super::{KEEPS_TABLES, NestedPageTable};
use crate::abi::AXAS_FLUSH_NEW;
use crate::error::{Error, Result};
use crate::hal::{FlushRequest, HAS_WINDOWS, publish_tables};

/// What a map of an empty range takes.
pub(super) struct Survey {
    tables: u64,
    /// Kept tables are in the range.
    has_kept: bool,
}

impl NestedPageTable {
    /// Looks that the range is empty, takes all tables that it needs, fills it.
    #[inline(always)] // The steps are not on the stack of each other.
    pub(crate) fn map<F: Format>(
        &self,
        work: &mut Work,
        content: &Content<'_, F>,
        range: GpaRange,
    ) -> Result<()> {
        if range.is_page() {
            let gpa = range.start;
            return self.put_lone_page(work, gpa, content.page(gpa));
        }
        self.prepare_map(work, content, range)?;
        match self.fill_range(work, content, range, false) {
            Some(()) => Ok(()),
            None if HAS_WINDOWS => work.fails_in::<F>(self, Failed::Map, range, Error::BadState),
            // A table is corrupt.
            None => Err(Error::BadState),
        }
    }

    /// Looks that the range is empty, takes all tables that it needs, and drops kept ones where larger entries
    /// come.
    #[inline(always)] // As `map`.
    pub(super) fn prepare_map<F: Format>(
        &self,
        work: &mut Work,
        content: &Content<'_, F>,
        range: GpaRange,
    ) -> Result<()> {
        if self.take_tables(work, content, range)? && KEEPS_TABLES {
            self.drop_covered(work, content, range).ok_or(Error::BadState)?;
        }
        Ok(())
    }

    /// Looks that the range is empty, and takes all tables that it needs; whether it has kept tables.
    #[inline(never)]
    fn take_tables<F: Format>(
        &self,
        work: &mut Work,
        content: &Content<'_, F>,
        range: GpaRange,
    ) -> Result<bool> {
        let Survey { mut tables, has_kept } = self.survey(&mut work.edges, content, range)?;
        if KEEPS_TABLES && has_kept {
            tables = self.plan_replacement(work, content, range)?;
        }
        work.stock.fill(self, tables)?;
        Ok(has_kept)
    }

    /// Flushes invalid entries that walkers may have cached.
    pub(super) fn announce<F: Format>(&self, range: GpaRange) {
        if let Some(scope) = self.features.scope_of_new::<F>() {
            self.issue::<F>(FlushRequest::new(range), AXAS_FLUSH_NEW, scope);
        }
    }

    /// That no entry of a range is occupied, and what it takes to fill it. Tables are looked into on the edges
    /// only: one between them has an occupied entry, or is kept.
    #[inline(never)]
    pub(super) fn survey<F: Format>(
        &self,
        edges: &mut Edges,
        content: &Content<'_, F>,
        range: GpaRange,
    ) -> Result<Survey> {
        let mut survey = Survey { tables: 0, has_kept: false };
        self.show_ends::<F>(range).ok_or(Error::BadState)?;
        let mut at = range.start;
        while at < range.end {
            at = self
                .find_edges::<F>(edges, &Broken::NONE, range.from(at))
                .ok_or(Error::BadState)?;
            let mut place = Some(edges.first());
            while let Some((arm, level)) = place {
                let part = edges.part(arm, level);
                if !part.is_empty() {
                    let (page, span) = (edges.page(arm, level), part.span(level));
                    if !self.is_empty::<F>(page, level, span).ok_or(Error::BadState)? {
                        return Err(Error::AlreadyExists);
                    }
                    if level > Level::PAGE {
                        survey.tables = survey.tables.saturating_add(content.tables(level, part));
                        survey.has_kept |=
                            self.keeps_tables() && self.has_table::<F>(page, level, span)?;
                    }
                }
                place = edges.after((arm, level));
            }
        }
        Ok(survey)
    }

    fn has_table<F: Format>(&self, page: Hpa, level: Level, span: Span) -> Result<bool> {
        let mut index = span.first;
        match self.first_table::<F>(page, level, span, &Broken::NONE, &mut index) {
            Way::Down(_) => Ok(true),
            Way::Ends => Ok(false),
            // A table that is hidden is none in an empty range.
            Way::Hidden(_) | Way::Corrupt => Err(Error::BadState),
        }
    }

    /// Fills a range in which no entry is occupied. Where one page of the root covers it, it may be counted later.
    #[inline(never)]
    pub(super) fn fill_range<F: Format>(
        &self,
        work: &mut Work,
        content: &Content<'_, F>,
        range: GpaRange,
        is_counted_later: bool,
    ) -> Option<()> {
        let Work { edges, path, stock, is_counted, .. } = work;
        let mut pieces = content.pieces();
        let mut at = range.start;
        *is_counted = false;
        while at < range.end {
            // The survey has found them already where one page of the root covers the range.
            if edges.range != range {
                self.find_edges::<F>(edges, &Broken::NONE, range.from(at))?;
            }
            if at == range.start {
                edges.first_low = edges.lowest(Arm::Left);
            }
            at = edges.range.end;
            let mut place = Some(edges.first());
            while let Some((arm, level)) = place {
                let part = edges.part(arm, level);
                if !part.is_empty() {
                    path.set(level, edges.page(arm, level));
                    self.put(path, stock, content, &mut pieces, level, part)?;
                }
                place = edges.after((arm, level));
            }
            if !is_counted_later || edges.range != range {
                *is_counted = true;
                self.count_edges::<F>(edges)?;
            }
        }
        self.publish_entries::<F>(range, content.has_frames());
        Some(())
    }

    /// Lets walkers see what was put into a range, pages or not.
    #[inline(never)]
    pub(super) fn publish_entries<F: Format>(&self, range: GpaRange, has_pages: bool) {
        publish_tables();
        if has_pages {
            self.announce::<F>(range);
        }
    }

    /// Counts what was put into a range where the edge tables are pointed to, from the fork down: what is beside
    /// the entries of a table is occupied and counted, or was before.
    #[inline(never)]
    pub(super) fn count_edges<F: Format>(&self, edges: &Edges) -> Option<()> {
        for (arm, highest) in [(Arm::Left, edges.fork), (Arm::Right, edges.fork.down())] {
            let (pages, gpa) = (edges.pages(arm), edges.address(arm));
            let mut level = highest;
            while level >= edges.lowest(arm) {
                if let Some(span) = edges.span(arm, level) {
                    self.occupy::<F>(pages, gpa, level, span, span.count() as u64)?;
                }
                level = level.down();
            }
        }
        Some(())
    }

    /// Fills a part of a range, from the table of level `top` on the path down. A new table is reachable when
    /// all its entries are initialised.
    #[inline(never)]
    pub(super) fn put<F: Format>(
        &self,
        path: &mut PerLevel<Hpa>,
        stock: &mut Stock,
        content: &Content<'_, F>,
        pieces: &mut Pieces<'_>,
        top: Level,
        part: GpaRange,
    ) -> Option<()> {
        let (mut gpa, mut level) = (part.start, top);
        loop {
            let piece = pieces.at(gpa);
            let (page, index) = (path.get(level), gpa.index(level));
            let left = part.end.min(piece.end).minus(gpa).wrapping_shr(level.shift());
            let fits = level <= piece.largest && gpa.is_aligned(level);
            let count = if fits { left.min(index.rest()) } else { 0 };
            if count != 0 {
                let entry = content.entry(piece, gpa, level);
                self.fill(page, Span::of(index, count), entry, content.step(level))?;
                if content.has_frames() {
                    self.count_leaves(level, count);
                }
                gpa = gpa.plus(count.wrapping_shl(level.shift()));
            } else {
                let below = level.down();
                let child = part.from(gpa).part(gpa, level);
                let touched = Entry::<F>::occupancy_of(child.span(below).count() as u64);
                let entry = self.entry::<F>(page, index)?;
                if let Way::Down(table) = entry.way(level.get()) {
                    if entry.occupancy() == Entry::<F>::KEPT {
                        self.set(page, index, entry.with_occupancy(touched))?;
                    }
                    path.set(below, table);
                    level = below;
                    continue;
                }
                let table = stock.pop(self)?;
                let is_whole = below <= piece.largest
                    && child.size() == below.table_size()
                    && child.end <= piece.end;
                let (occupancy, first, step) = if is_whole {
                    (Entry::<F>::RUN, content.entry(piece, gpa, below), content.step(below))
                } else if cfg!(feature = "transfer") && !entry.is_empty() {
                    // A note, of which another batch takes the rest.
                    (Entry::<F>::RUN, entry, 0)
                } else {
                    // Empty, or busy as the entry is.
                    (touched, entry, 0)
                };
                let link = Entry::table(table).with_occupancy(occupancy);
                if self.link_new(page, index, link, first, step).is_none() {
                    self.give_table(table);
                    return None;
                }
                if is_whole {
                    if content.has_frames() {
                        self.count_leaves(below, ENTRIES as u64);
                    }
                    gpa = child.end;
                } else {
                    path.set(below, table);
                    level = below;
                    continue;
                }
            }
            if gpa >= part.end {
                return Some(());
            }
            while level < top && gpa.is_aligned(level.up()) {
                level = level.up();
            }
        }
    }

    /// Initialises a new table and points an entry to it.
    #[inline(never)]
    fn link_new<F: Format>(
        &self,
        page: Hpa,
        index: Index,
        link: Entry<F>,
        first: Entry<F>,
        step: u64,
    ) -> Option<()> {
        if step == 0 {
            self.fill_unseen(link.address(), first)?;
        } else {
            self.fill(link.address(), Span::ALL, first, step)?;
        }
        self.set(page, index, link)
    }

    /// Counts `added` entries of a span, all of which is occupied now, where their table is pointed to. A
    /// table that was kept counts in its parent again. The pages are those from the root to the table, on the
    /// way to an address.
    #[inline(never)]
    pub(super) fn occupy<F: Format>(
        &self,
        pages: &PerLevel<Hpa>,
        gpa: Gpa,
        level: Level,
        span: Span,
        added: u64,
    ) -> Option<()> {
        let (mut level, mut span, mut added) = (level, span, added);
        while level < self.levels {
            let (page, index) = (pages.get(level.up()), gpa.index(level.up()));
            let entry = self.entry::<F>(page, index)?;
            let before = if entry.is_hardware_visible() { entry.occupancy() } else { 0 };
            let sum = before.wrapping_add(added);
            let after = if before == Entry::<F>::KEPT {
                Entry::<F>::occupancy_of(added)
            } else if before == Entry::<F>::RUN {
                let touches = added < span.count() as u64
                    || self.neighbours::<F>(pages.get(level), level, span)? != 0;
                if touches { before } else { Entry::<F>::UNKNOWN }
            } else if before == Entry::<F>::UNKNOWN || sum > Entry::<F>::MOST {
                Entry::<F>::UNKNOWN
            } else {
                sum
            };
            if after != before {
                self.set(page, index, entry.with_occupancy(after))?;
            }
            if before != Entry::<F>::KEPT {
                return Some(());
            }
            (level, span, added) = (level.up(), Span::one(index), 1);
        }
        super::add(&self.root_entries, added);
        Some(())
    }
}
