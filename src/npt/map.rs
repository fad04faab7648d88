//! Filling a range in which nothing stands.

use super::Engine;
use super::arch::Format;
use super::content::{Content, Extents, Linear};
use super::edges::{EdgeTable, Edges, Side};
use super::entry::{Entry, Reservation, State, Way};
use super::geometry::{ENTRIES, Index, PerLevel, Span, fresh_tables, shift, table_size};
use super::unmap::{Flush, Releases};
use super::walk::end_of;
use crate::abi::{AXAS_FLUSH_NEW, AXAS_SCOPE_LOCAL, axas_extent_t};
use crate::addr::HostPhysAddr;
use crate::error::{Error, Result};
use crate::flags::Attributes;
use crate::hal::{FrameList, publish_tables};

/// What a fill starts from: a page of a table and what stands in the range.
pub(super) struct Ground<F> {
    pub(super) page: HostPhysAddr,
    pub(super) level: u32,
    /// The entry that the range holds everywhere, at whatever level.
    pub(super) entry: Entry<F>,
}

impl<F: Format> Ground<F> {
    fn is_at(&self, entry: Entry<F>) -> bool {
        entry == self.entry || entry.is_empty() && self.entry.is_empty()
    }
}

/// Where a fill stands: the tables from the root's page down to the one in work.
struct Path {
    pages: PerLevel<HostPhysAddr>,
    /// The address at which each table was entered.
    entered: PerLevel<u64>,
    /// Bit `level`: the table is new and not linked yet; its entries beyond those written are not
    /// initialised.
    fresh: u32,
    /// Bit `level`: something stands in the new table.
    written: u32,
}

const fn bit(level: u32) -> u32 {
    1_u32.wrapping_shl(level)
}

impl<'a, F: Format> Engine<'a, F> {
    /// Maps frames of the host.
    pub(crate) fn map_linear(
        &self,
        start: u64,
        end: u64,
        distance: u64,
        attributes: Attributes,
        most_level: u32,
    ) -> Result<()> {
        self.map(start, end, Content::Linear(Linear::new(distance, attributes, most_level)))
    }

    /// Maps frames of the host in the place of whatever stands in the range. The tables are taken for an
    /// empty range, before anything changes; between what went and what comes the range is flushed, as
    /// break-before-make asks.
    #[inline(never)]
    pub(crate) fn replace_linear(
        &self,
        start: u64,
        end: u64,
        distance: u64,
        attributes: Attributes,
        most_level: u32,
    ) -> Result<()> {
        let linear = Linear::new(distance, attributes, most_level);
        let tables = fresh_tables(self.levels(), start, end, linear.leaf_level);
        let list = FrameList::take(self.ledger, tables)?;
        self.unmap(start, end, Flush::IfNeeded)?;
        self.fill_from(start, end, &list, Content::Linear(linear))?;
        self.announce_new(start, end);
        Ok(())
    }

    /// Maps scattered frames of the host.
    pub(crate) fn map_extents(
        &self,
        start: u64,
        end: u64,
        extents: &[axas_extent_t],
        attributes: Attributes,
        most_level: u32,
    ) -> Result<()> {
        let extents = Extents::new(start, extents, attributes, most_level);
        self.map(start, end, Content::Extents(extents))
    }

    /// Sets memory aside.
    pub(crate) fn reserve(&self, start: u64, end: u64, reservation: Reservation) -> Result<()> {
        self.fill_empty(start, end, Content::Same(Entry::reserved(reservation)))
    }

    /// Marks an emulated device.
    pub(crate) fn trap(&self, start: u64, end: u64, cookie: u32) -> Result<()> {
        self.fill_empty(start, end, Content::Same(Entry::trap(cookie)))
    }

    /// That nothing stands in a range.
    pub(crate) fn check_empty(&self, start: u64, end: u64) -> Result<()> {
        self.survey(start, end, &Content::Same(Entry::EMPTY)).map(|_| ())
    }

    /// Walkers that keep invalid entries hear of new ones.
    pub(super) fn announce_new(&self, start: u64, end: u64) {
        if F::caches_invalid(self.features()) {
            self.issue(self.flush_request(start, end), AXAS_FLUSH_NEW, AXAS_SCOPE_LOCAL);
        }
    }

    #[inline(never)]
    fn map(&self, start: u64, end: u64, content: Content<'_, F>) -> Result<()> {
        self.fill_empty(start, end, content)?;
        self.announce_new(start, end);
        Ok(())
    }

    /// Looks that the range is empty, takes all tables that it needs, fills it.
    #[inline(never)]
    fn fill_empty(&self, start: u64, end: u64, mut content: Content<'_, F>) -> Result<()> {
        if let Some(table) = self.leaf_table(start, end)? {
            self.fill_leaf_table(table, start, end, &mut content)?;
        } else {
            let tables = self.survey(start, end, &content)?;
            let list = FrameList::take(self.ledger, tables)?;
            return self.fill_from(start, end, &list, content);
        }
        publish_tables();
        Ok(())
    }

    /// Fills a range in which nothing stands, with the tables that it needs at hand.
    #[inline(never)]
    fn fill_from(
        &self,
        start: u64,
        end: u64,
        tables: &FrameList<'a>,
        mut content: Content<'_, F>,
    ) -> Result<()> {
        let filled = self.fill(start, end, tables, &mut content);
        filled.or_else(|failed| self.undo_fill(start, failed))?;
        publish_tables();
        Ok(())
    }

    /// Fills entries of a table that is there.
    fn fill_leaf_table(
        &self,
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
            let stop = gpa.wrapping_add((entries.count as u64).wrapping_shl(shift(1)));
            let span = Span::covering(gpa, stop, 1);
            self.fill_entries(table, span, entries.first, entries.step)?;
            gpa = stop;
        }
        Ok(())
    }

    /// That nothing stands in the range, and how many tables its content needs. Only tables on the edges
    /// are looked at: an entry between them that is not empty has something below.
    #[inline(never)]
    fn survey(&self, start: u64, end: u64, content: &Content<'_, F>) -> Result<u64> {
        let mut tables = 0_u64;
        let mut at = start;
        while at < end {
            let slice = self.root_slice(at, end);
            at = slice.end;
            let mut edges = Edges::new(&slice, self.levels());
            self.find_edges(&mut edges)?;
            for side in [Side::Left, Side::Right, Side::Both] {
                for level in edges.levels(side) {
                    let needed = self.survey_table(&edges.table(side, level), content)?;
                    tables = tables.saturating_add(needed);
                }
            }
        }
        Ok(tables)
    }

    #[inline(never)]
    fn survey_table(&self, edge: &EdgeTable, content: &Content<'_, F>) -> Result<u64> {
        let mut tables = 0_u64;
        if let (Some(span), Some((start, end))) = (edge.whole_span(), edge.whole()) {
            if !self.is_empty(edge.page, span)? {
                return Err(Error::AlreadyExists);
            }
            tables = content.tables(edge.level, start, end);
        }
        for cut in edge.cuts().into_iter().flatten() {
            match self.entry(edge.page, cut.index)?.state(edge.level) {
                State::Empty => {
                    let below = content.tables(edge.level, cut.start, cut.end);
                    tables = tables.saturating_add(below);
                }
                State::Table => {}
                _ => return Err(Error::AlreadyExists),
            }
        }
        Ok(tables)
    }

    /// Fills a range in which nothing stands; on error says how far that went.
    #[inline(never)]
    fn fill(
        &self,
        start: u64,
        end: u64,
        tables: &FrameList<'a>,
        content: &mut Content<'_, F>,
    ) -> core::result::Result<(), (u64, Error)> {
        let mut at = start;
        while at < end {
            let slice = self.root_slice(at, end);
            at = slice.end;
            let ground = Ground { page: slice.page, level: self.levels(), entry: Entry::EMPTY };
            let (reached, outcome) =
                self.fill_below(&ground, slice.start, slice.end, tables, content);
            outcome.map_err(|error| (reached, error))?;
        }
        Ok(())
    }

    /// Empties what a fill that failed has filled.
    #[cold]
    fn undo_fill(&self, start: u64, (reached, error): (u64, Error)) -> Result<()> {
        self.remove(start, reached, &Releases::silent())?;
        Err(error)
    }

    /// Fills a range that one page of a table covers; also says how far that went. New tables are
    /// linked when they are complete, lower ones first.
    #[inline(never)]
    pub(super) fn fill_below(
        &self,
        ground: &Ground<F>,
        start: u64,
        end: u64,
        tables: &FrameList<'a>,
        content: &mut Content<'_, F>,
    ) -> (u64, Result<()>) {
        let mut path = Path {
            pages: PerLevel::new(ground.page),
            entered: PerLevel::new(start),
            fresh: 0,
            written: 0,
        };
        let mut level = ground.level;
        let mut gpa = start;
        while gpa < end {
            match self.fill_step(&path, level, gpa, end, content) {
                Ok(0) => {
                    if let Err(error) = self.go_below(ground, &mut path, level, gpa, end, tables) {
                        let rescued = self.abandon(ground, &mut path, level, gpa);
                        return (gpa, rescued.and(Err(error)));
                    }
                    level = level.wrapping_sub(1);
                    continue;
                }
                Ok(bytes) => {
                    path.written |= bit(level);
                    gpa = gpa.wrapping_add(bytes);
                }
                Err(error) => {
                    let rescued = self.abandon(ground, &mut path, level, gpa);
                    return (gpa, rescued.and(Err(error)));
                }
            }
            let is_done = |level| gpa >= end || gpa & table_size(level).wrapping_sub(1) == 0;
            while level < ground.level && is_done(level) {
                if let Err(error) = self.link(&mut path, level) {
                    return (gpa, Err(error));
                }
                level = level.wrapping_add(1);
            }
        }
        (gpa, Ok(()))
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
        let bytes = (entries.count as u64).wrapping_shl(shift(level));
        let span = Span::covering(gpa, gpa.wrapping_add(bytes), level);
        self.fill_entries(path.pages.get(level), span, entries.first, entries.step)?;
        Ok(bytes)
    }

    /// Adds the table below the entry of an address to the path, a new one if there is none.
    #[inline(never)]
    fn go_below(
        &self,
        ground: &Ground<F>,
        path: &mut Path,
        level: u32,
        gpa: u64,
        end: u64,
        tables: &FrameList<'a>,
    ) -> Result<()> {
        let below = level.wrapping_sub(1);
        let mut existing = None;
        if path.fresh & bit(level) == 0 {
            let entry = self.entry(path.pages.get(level), Index::of(gpa, level))?;
            match entry.way(level) {
                Way::Down(table) => existing = Some(table),
                Way::Ends if ground.is_at(entry) => {}
                Way::Ends | Way::Corrupt => return Err(Error::BadState),
            }
        }
        let page = match existing {
            Some(page) => page,
            None => {
                let frame = tables.pop()?;
                let stop = end.min(end_of(gpa, table_size(below)));
                self.clear_outside(ground, frame.address(), Span::covering(gpa, stop, below))?;
                path.fresh |= bit(below);
                frame.keep()
            }
        };
        path.written &= !bit(below);
        path.pages.set(below, page);
        path.entered.set(below, gpa);
        Ok(())
    }

    /// Gives the entries of a new table outside a span what stood there before.
    fn clear_outside(&self, ground: &Ground<F>, page: HostPhysAddr, span: Span) -> Result<()> {
        const FEW: usize = 128;
        if span.count() < FEW {
            // One stretch is sooner written than the two around it.
            return self.fill_unseen(page, Span::ALL, ground.entry);
        }
        if let Some(last) = span.first.previous() {
            self.fill_unseen(page, Span { first: Index::FIRST, last }, ground.entry)?;
        }
        if let Some(first) = span.last.next() {
            self.fill_unseen(page, Span { first, last: Index::LAST }, ground.entry)?;
        }
        Ok(())
    }

    /// Leaves a table: a new one is linked, or goes back if nothing stands in it.
    #[inline(never)]
    fn link(&self, path: &mut Path, level: u32) -> Result<()> {
        if path.fresh & bit(level) == 0 {
            return Ok(());
        }
        path.fresh &= !bit(level);
        let page = path.pages.get(level);
        if path.written & bit(level) == 0 {
            self.ledger.give_table(page, 0);
            return Ok(());
        }
        let above = level.wrapping_add(1);
        let index = Index::of(path.entered.get(level), above);
        self.set_entry(path.pages.get(above), index, Entry::table(page))?;
        path.written |= bit(above);
        Ok(())
    }

    /// Ends a fill that failed at `gpa` in the table of `level`: what was not reached becomes what stood
    /// there before, what was is linked, so that it can be removed like anything else.
    #[cold]
    fn abandon(&self, ground: &Ground<F>, path: &mut Path, level: u32, gpa: u64) -> Result<()> {
        let mut outcome = self.clear_rest(ground, path, level, gpa);
        for level in level..ground.level {
            let entered = path.entered.get(level);
            let above = level.wrapping_add(1);
            outcome = outcome.and(self.clear_rest(ground, path, above, entered));
            outcome = outcome.and(self.link(path, level));
        }
        outcome
    }

    /// Gives a new table from `gpa` on what stood there before.
    fn clear_rest(&self, ground: &Ground<F>, path: &Path, level: u32, gpa: u64) -> Result<()> {
        if path.fresh & bit(level) != 0 {
            let rest = Span { first: Index::of(gpa, level), last: Index::LAST };
            self.fill_unseen(path.pages.get(level), rest, ground.entry)?;
        }
        Ok(())
    }
}
