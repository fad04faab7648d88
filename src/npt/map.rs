//! Filling a range in which nothing stands.

use super::Engine;
use super::arch::Format;
use super::entry::{Entry, Reservation, State};
use super::geometry::{
    ENTRIES, Index, PerLevel, Span, entry_size, fresh_tables, shift, table_size,
};
use super::unmap::{Flush, Releases};
use crate::abi::{AXAS_FLUSH_NEW, AXAS_SCOPE_LOCAL, axas_extent_t};
use crate::addr::{Bits, HostPhysAddr};
use crate::error::{Error, Result};
use crate::flags::Attributes;
use crate::hal::{FrameList, OwnedFrame, publish_tables};

/// Neighbouring entries to write.
pub(crate) struct Run<F> {
    pub(super) first: Entry<F>,
    /// Distance between their words.
    pub(super) step: u64,
    pub(super) count: usize,
}

/// Says what goes into a range, place by place, in order.
pub(crate) trait Filler<F> {
    /// What to write into the table of `level` from `gpa` on, at most `most` entries of `[gpa, end)`;
    /// nothing if it must go into smaller entries.
    fn next(&mut self, level: u32, gpa: u64, end: u64, most: usize) -> Result<Option<Run<F>>>;
}

/// Whole entries of `level` at the beginning of `[gpa, end)`, at most `most`.
#[inline(always)]
pub(super) fn whole_entries(level: u32, gpa: u64, end: u64, most: usize) -> Option<usize> {
    let size = entry_size(level);
    let fitting = end.saturating_sub(gpa).wrapping_shr(shift(level));
    if gpa & size.wrapping_sub(1) != 0 || fitting == 0 {
        return None;
    }
    Some((fitting as usize).min(most))
}

/// Frames of the host at a fixed distance from the guest's addresses.
pub(crate) struct Linear<'a, F> {
    engine: &'a Engine<'a, F>,
    templates: PerLevel<Entry<F>>,
    /// Host address less guest address, mod 2^64.
    distance: u64,
    leaf_level: u32,
}

impl<F: Format> Filler<F> for Linear<'_, F> {
    #[inline(always)]
    fn next(&mut self, level: u32, gpa: u64, end: u64, most: usize) -> Result<Option<Run<F>>> {
        if level > self.leaf_level {
            return Ok(None);
        }
        Ok(whole_entries(level, gpa, end, most).map(|count| {
            self.engine.ledger.count_leaves(level, count as u64);
            let hpa = HostPhysAddr::from_bits(gpa.wrapping_add(self.distance));
            let first = self.templates.get(level).at(hpa);
            Run { first, step: first.step(entry_size(level)), count }
        }))
    }
}

/// Scattered frames of the host, side by side.
pub(crate) struct Extents<'a, F> {
    linear: Linear<'a, F>,
    most_leaf_level: u32,
    /// The extents not begun yet.
    rest: core::slice::Iter<'a, axas_extent_t>,
    /// Where the extent in work ends.
    extent_end: u64,
}

impl<F: Format> Filler<F> for Extents<'_, F> {
    fn next(&mut self, level: u32, gpa: u64, end: u64, most: usize) -> Result<Option<Run<F>>> {
        while gpa >= self.extent_end {
            let extent = self.rest.next().ok_or(Error::BadState)?;
            self.extent_end = self.extent_end.wrapping_add(extent.size);
            self.linear.distance = extent.hpa.wrapping_sub(gpa);
            self.linear.leaf_level = congruent_level(self.linear.distance, self.most_leaf_level);
        }
        self.linear.next(level, gpa, end.min(self.extent_end), most)
    }
}

/// The same entry everywhere, at any level: reservations and traps.
pub(crate) struct Same<F>(Entry<F>);

impl<F: Format> Filler<F> for Same<F> {
    fn next(&mut self, level: u32, gpa: u64, end: u64, most: usize) -> Result<Option<Run<F>>> {
        let run = |count| Run { first: self.0, step: 0, count };
        Ok(whole_entries(level, gpa, end, most).map(run))
    }
}

/// The largest level, up to `most`, whose leaves a distance between addresses allows.
fn congruent_level(distance: u64, most: u32) -> u32 {
    let mut level = most;
    while level > 1 && distance & entry_size(level).wrapping_sub(1) != 0 {
        level = level.wrapping_sub(1);
    }
    level
}

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

enum Step {
    /// So many bytes are done in this table.
    Filled(u64),
    /// It goes on in the table below.
    Down,
}

impl<'a, F: Format> Engine<'a, F> {
    /// Maps frames of the host.
    pub(crate) fn map_linear(
        &self,
        start: u64,
        end: u64,
        hpa: u64,
        attributes: Attributes,
        most_leaf_level: u32,
    ) -> Result<()> {
        let distance = hpa.wrapping_sub(start);
        let leaf_level = congruent_level(distance, most_leaf_level);
        let templates = self.templates(attributes, false)?;
        let need = |level, start, end| fresh_tables(level, start, end, leaf_level);
        let filler = Linear { engine: self, templates, distance, leaf_level };
        self.fill_prepared(start, end, need, filler)?;
        self.announce_new(start, end);
        Ok(())
    }

    /// That nothing stands in a range.
    pub(crate) fn check_empty(&self, start: u64, end: u64) -> Result<()> {
        self.survey(start, end, &|_, _, _| 0).map(|_| ())
    }

    /// The largest level, up to `most`, whose leaves a distance between addresses allows.
    pub(crate) fn linear_level(&self, distance: u64, most: u32) -> u32 {
        congruent_level(distance, most)
    }

    /// Maps frames of the host in the place of whatever stands in the range. The tables are taken for an
    /// empty range, before anything changes; between what went and what comes the range is flushed, as
    /// break-before-make asks.
    pub(crate) fn replace_linear(
        &self,
        start: u64,
        end: u64,
        hpa: u64,
        attributes: Attributes,
        most_leaf_level: u32,
    ) -> Result<()> {
        let distance = hpa.wrapping_sub(start);
        let leaf_level = congruent_level(distance, most_leaf_level);
        let templates = self.templates(attributes, false)?;
        let tables = fresh_tables(self.levels(), start, end, leaf_level);
        let list = FrameList::take(self.ledger, tables)?;
        self.unmap(start, end, Flush::IfNeeded)?;
        let filler = Linear { engine: self, templates, distance, leaf_level };
        self.fill(start, end, &|| list.pop(), filler)?;
        publish_tables();
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
        most_leaf_level: u32,
    ) -> Result<()> {
        let templates = self.templates(attributes, false)?;
        let need =
            |level, from, to| tables_for_extents(level, from, to, start, extents, most_leaf_level);
        let linear = Linear { engine: self, templates, distance: 0, leaf_level: 1 };
        let rest = extents.iter();
        let filler = Extents { linear, most_leaf_level, rest, extent_end: start };
        self.fill_prepared(start, end, need, filler)?;
        self.announce_new(start, end);
        Ok(())
    }

    /// Sets memory aside.
    pub(crate) fn reserve(&self, start: u64, end: u64, reservation: Reservation) -> Result<()> {
        // The format must be able to say every leaf that the reservation may bring.
        self.templates(reservation.attributes, true)?;
        self.fill_same(start, end, Entry::reserved(reservation))
    }

    /// Marks an emulated device.
    pub(crate) fn trap(&self, start: u64, end: u64, cookie: u32) -> Result<()> {
        self.fill_same(start, end, Entry::trap(cookie))
    }

    fn fill_same(&self, start: u64, end: u64, entry: Entry<F>) -> Result<()> {
        let levels = self.levels();
        let need = |level, start, end| fresh_tables(level, start, end, levels);
        self.fill_prepared(start, end, need, Same(entry))
    }

    /// Leaves of each level without their addresses.
    pub(crate) fn templates(
        &self,
        attributes: Attributes,
        owned: bool,
    ) -> Result<PerLevel<Entry<F>>> {
        let mut templates = PerLevel::new(Entry::EMPTY);
        for level in 1..=3 {
            let template = Entry::leaf_template(attributes, self.features(), level, owned)?;
            templates.set(level, template);
        }
        Ok(templates)
    }

    /// Walkers that keep invalid entries hear of new ones.
    pub(super) fn announce_new(&self, start: u64, end: u64) {
        if F::caches_invalid(self.features()) {
            self.issue(self.flush_request(start, end), AXAS_FLUSH_NEW, AXAS_SCOPE_LOCAL);
        }
    }

    /// Surveys the range, takes all tables that it needs, fills it.
    fn fill_prepared(
        &self,
        start: u64,
        end: u64,
        need: impl Fn(u32, u64, u64) -> u64,
        filler: impl Filler<F>,
    ) -> Result<()> {
        let tables = self.survey(start, end, &need)?;
        let list = FrameList::take(self.ledger, tables)?;
        self.fill(start, end, &|| list.pop(), filler)?;
        publish_tables();
        Ok(())
    }

    /// That nothing stands in the range, and how many tables it needs: `need` tells of a part that lies
    /// below empty entries of a level. Only tables on the edges are looked at: an entry between them
    /// that is not empty has something below.
    fn survey(&self, start: u64, end: u64, need: &impl Fn(u32, u64, u64) -> u64) -> Result<u64> {
        let mut tables = 0_u64;
        for slice in self.root_slices(start, end) {
            let edges = self.edges(slice.page, slice.start, slice.end)?;
            for edge in edges.iter() {
                let table = self.open(edge.page)?;
                if let (Some(span), Some((start, end))) = (edge.whole_span(), edge.whole()) {
                    if !table.is_empty(span) {
                        return Err(Error::AlreadyExists);
                    }
                    tables = tables.saturating_add(need(edge.level, start, end));
                }
                for cut in edge.cuts().into_iter().flatten() {
                    match table.load(cut.index).state(edge.level) {
                        State::Empty => {
                            let below = need(edge.level, cut.start, cut.end);
                            tables = tables.saturating_add(below);
                        }
                        State::Table => {}
                        _ => return Err(Error::AlreadyExists),
                    }
                }
            }
        }
        Ok(tables)
    }

    /// Fills a range in which nothing stands. On error it is as before.
    fn fill(
        &self,
        start: u64,
        end: u64,
        new_table: &impl Fn() -> Result<OwnedFrame<'a>>,
        mut filler: impl Filler<F>,
    ) -> Result<()> {
        for slice in self.root_slices(start, end) {
            let ground = Ground { page: slice.page, level: self.levels(), entry: Entry::EMPTY };
            let (reached, outcome) =
                self.fill_below(&ground, slice.start, slice.end, new_table, &mut filler);
            if let Err(error) = outcome {
                self.remove(start, reached, Releases::silent())?;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Fills a range that one page of a table covers; also says how far that went. New tables are
    /// linked when they are complete, lower ones first.
    pub(super) fn fill_below(
        &self,
        ground: &Ground<F>,
        start: u64,
        end: u64,
        new_table: &impl Fn() -> Result<OwnedFrame<'a>>,
        filler: &mut impl Filler<F>,
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
            match self.fill_step(ground, &mut path, level, gpa, end, new_table, filler) {
                Ok(Step::Filled(bytes)) => {
                    path.written |= bit(level);
                    gpa = gpa.wrapping_add(bytes);
                }
                Ok(Step::Down) => {
                    level = level.wrapping_sub(1);
                    continue;
                }
                Err(error) => {
                    let rescued = self.abandon(ground, &mut path, level, gpa);
                    return (gpa, rescued.and(Err(error)));
                }
            }
            let is_done = |level, gpa| gpa >= end || gpa & table_size(level).wrapping_sub(1) == 0;
            while level < ground.level && is_done(level, gpa) {
                if let Err(error) = self.link(&mut path, level) {
                    return (gpa, Err(error));
                }
                level = level.wrapping_add(1);
            }
        }
        (gpa, Ok(()))
    }

    #[inline(always)]
    #[allow(clippy::too_many_arguments)] // One step of the loop above, with the loop's variables.
    fn fill_step(
        &self,
        ground: &Ground<F>,
        path: &mut Path,
        level: u32,
        gpa: u64,
        end: u64,
        new_table: &impl Fn() -> Result<OwnedFrame<'a>>,
        filler: &mut impl Filler<F>,
    ) -> Result<Step> {
        let first = Index::of(gpa, level);
        let most = ENTRIES.saturating_sub(first.get());
        if let Some(run) = filler.next(level, gpa, end, most)? {
            let bytes = (run.count as u64).wrapping_shl(shift(level));
            let last = Index::of(gpa.wrapping_add(bytes).wrapping_sub(1), level);
            self.open(path.pages.get(level))?.fill(Span { first, last }, run.first, run.step);
            return Ok(Step::Filled(bytes));
        }
        let below = level.wrapping_sub(1);
        let existing = if path.fresh & bit(level) != 0 {
            None
        } else {
            let entry = self.open(path.pages.get(level))?.load(first);
            match entry.state(level) {
                State::Table => Some(entry.address()),
                _ if ground.is_at(entry) => None,
                _ => return Err(Error::BadState),
            }
        };
        let page = match existing {
            Some(page) => page,
            None => {
                let frame = new_table()?;
                let table_end = (gpa | table_size(below).wrapping_sub(1)).wrapping_add(1);
                self.clear_outside(ground, frame.address(), below, gpa, end.min(table_end))?;
                path.fresh |= bit(below);
                frame.keep()
            }
        };
        path.written &= !bit(below);
        path.pages.set(below, page);
        path.entered.set(below, gpa);
        Ok(Step::Down)
    }

    /// Gives the entries of a new table that `[start, end)` does not touch what stood there before.
    fn clear_outside(
        &self,
        ground: &Ground<F>,
        page: HostPhysAddr,
        level: u32,
        start: u64,
        end: u64,
    ) -> Result<()> {
        let table = self.open(page)?;
        let span = Span::covering(start, end, level);
        if let Some(last) = span.first.previous() {
            table.fill(Span { first: Index::FIRST, last }, ground.entry, 0);
        }
        if let Some(first) = span.last.next() {
            table.fill(Span { first, last: Index::LAST }, ground.entry, 0);
        }
        Ok(())
    }

    /// Leaves a table: a new one is linked, or goes back if nothing stands in it.
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
        self.open(path.pages.get(above))?.store(index, Entry::table(page));
        path.written |= bit(above);
        Ok(())
    }

    /// Ends a fill that failed at `gpa` in the table of `level`: what was not reached becomes what stood
    /// there before, what was is linked, so that it can be removed like anything else.
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
            self.open(path.pages.get(level))?.fill(rest, ground.entry, 0);
        }
        Ok(())
    }
}

/// Tables for extents that lie below empty entries of `level` in `[from, to)`: the sum of what each
/// extent needs, less the tables that two neighbours share.
fn tables_for_extents(
    level: u32,
    from: u64,
    to: u64,
    start: u64,
    extents: &[axas_extent_t],
    most_leaf_level: u32,
) -> u64 {
    let mut tables = 0_u64;
    let mut begin = start;
    for extent in extents {
        let end = begin.wrapping_add(extent.size);
        let (first, last) = (begin.max(from), end.min(to));
        if first < last {
            let leaf_level = congruent_level(extent.hpa.wrapping_sub(begin), most_leaf_level);
            tables = tables.wrapping_add(fresh_tables(level, first, last, leaf_level));
            if first > from {
                let shared = (2..=level).filter(|&k| first & entry_size(k).wrapping_sub(1) != 0);
                tables = tables.wrapping_sub(shared.count() as u64);
            }
        }
        begin = end;
    }
    tables
}
