// SPDX-License-Identifier: MIT OR Apache-2.0
//! Replacing what is in a range: one operation for everybody. Entry by entry the new takes the place of the old,
//! so that neither a vCPU nor a reader without the lock finds a hole.
//!
//! Where an entry is to be one of the same level, no frame is taken. Where smaller entries are to take the place of a
//! larger one, their tables are built before the entry changes; where a larger one takes the place of a table,
//! the table goes. What went is remembered until the flush, then given back and reported. Where the
//! architecture asks for break-before-make, entries are busy until the flush.

use super::NestedPageTable;
use super::arch::Format;
use super::content::{Content, Pieces};
use super::entry::{Entry, Way};
use super::split::Cut;
use super::sweep::{Run, Step};
use super::table::{Broken, Table};
use super::units::{Gpa, GpaRange, Hpa, Level, Span};
use super::work::Work;
use crate::abi::AXAS_FLUSH_UNMAP;
use crate::error::{Error, Result};
use crate::hal::{FlushRequest, publish_tables};

/// Entries that were replaced and name something to give back or to report: neighbouring leaves that name what
/// follows in host memory, or a table.
#[derive(Clone, Copy)]
pub(super) struct Old {
    word: u64,
    gpa: Gpa,
    level: Level,
    /// At most as many as a table has entries.
    count: u32,
}

/// As many are remembered until a flush.
const MOST: usize = 6;

/// What was replaced since the last flush.
pub(super) struct Replaced {
    olds: [Old; MOST],
    count: usize,
}

impl Replaced {
    /// Nothing.
    pub(super) const fn nothing() -> Self {
        const NOTHING: Old = Old { word: 0, gpa: Gpa::new(0), level: Level::PAGE, count: 0 };
        Self { olds: [NOTHING; MOST], count: 0 }
    }

    fn push(&mut self, old: Old) {
        if let Some(place) = self.olds.get_mut(self.count) {
            *place = old;
            self.count = self.count.wrapping_add(1);
        }
    }

    fn is_full(&self) -> bool {
        self.count == self.olds.len()
    }
}

/// Entries that are to take the places of others in one table.
struct Exchange<F> {
    page: Hpa,
    level: Level,
    span: Span,
    gpa: Gpa,
    first: Entry<F>,
    step: u64,
}

impl NestedPageTable {
    /// Puts a content in the place of whatever is in a range.
    #[inline(never)]
    pub(crate) fn replace<F: Format>(
        &self,
        work: &mut Work,
        content: &Content<'_, F>,
        range: GpaRange,
    ) -> Result<()> {
        let tables = self.plan_replacement(work, content, range)?;
        work.stock.fill(self, tables)?;
        let mut request = FlushRequest::new(range);
        self.split::<F>(work, range, &Cut::All, &mut request)?;
        let kept_distance = content.distance();
        work.releases.begin(self.host.wants_released(), kept_distance);
        work.replaced.count = 0;
        let outcome = self.exchange_range(work, content, range, &mut request);
        let flushed = self.flush_replaced::<F>(work, request);
        let released = self.release_replaced::<F>(work);
        if content.has_frames() {
            self.announce::<F>(range);
        }
        outcome.and(flushed).and(released).ok_or(Error::BadState)
    }

    /// That no frame of the library in the range is one of those which are to replace it, and how many tables
    /// it takes at most.
    #[inline(never)]
    fn plan_replacement<F: Format>(
        &self,
        work: &mut Work,
        content: &Content<'_, F>,
        range: GpaRange,
    ) -> Result<u64> {
        let mut pieces = content.pieces();
        let mut tables = 0_u64;
        // Up to here a larger entry takes the place of tables.
        let mut covered = range.start;
        work.sweep.begin(self, range);
        loop {
            let step = work.sweep.step::<F>(self, &Broken::NONE).ok_or(Error::BadState)?;
            let run = work.sweep.run;
            match step {
                Step::End => return Ok(tables),
                Step::Table(table) => {
                    let piece = pieces.at(run.gpa);
                    if run.level <= piece.largest && range.holds_entry(run.gpa, run.level) {
                        covered = covered.max(run.gpa.end(run.level));
                    }
                    work.sweep.enter(self, run.gpa, table).ok_or(Error::BadState)?;
                }
                Step::Entries => {
                    if content.has_frames()
                        && self.has_owned_of(&run, content, range).ok_or(Error::BadState)?
                    {
                        return Err(Error::InvalidInput);
                    }
                    let end = work.sweep.gpa().min(range.end);
                    if run.gpa >= covered {
                        let part = GpaRange::new(run.gpa, end);
                        tables = tables.saturating_add(content.tables(run.level, part));
                    }
                }
            }
        }
    }

    /// Whether a run has a frame of the library that is one of those which are to be mapped.
    fn has_owned_of<F: Format>(
        &self,
        run: &Run,
        content: &Content<'_, F>,
        range: GpaRange,
    ) -> Option<bool> {
        let mut is_one = false;
        Table::<F>::open(self, run.page)?.for_each(run.span, |entry| {
            is_one |= entry.is_hardware_visible()
                && entry.is_owned()
                && content.meets(range, entry.address(), run.level);
        });
        Some(is_one)
    }

    #[inline(never)]
    fn exchange_range<F: Format>(
        &self,
        work: &mut Work,
        content: &Content<'_, F>,
        range: GpaRange,
        request: &mut FlushRequest,
    ) -> Option<()> {
        let mut pieces = content.pieces();
        work.sweep.begin(self, range);
        loop {
            let step = work.sweep.step::<F>(self, &work.broken)?;
            let run = work.sweep.run;
            match step {
                Step::End => return Some(()),
                Step::Table(table) => {
                    let piece = pieces.at(run.gpa);
                    let is_whole =
                        run.level <= piece.largest && range.holds_entry(run.gpa, run.level);
                    if !is_whole {
                        work.sweep.enter(self, run.gpa, table)?;
                        continue;
                    }
                    let first = content.entry(&piece, run.gpa, run.level);
                    let Run { page, level, span, gpa } = run;
                    let exchange = Exchange { page, level, span, gpa, first, step: 0 };
                    self.exchange(work, &exchange, range, request)?;
                    work.sweep.skip(self);
                }
                Step::Entries => {
                    let part = GpaRange::new(run.gpa, work.sweep.gpa().min(range.end));
                    self.exchange_run(work, content, &mut pieces, &run, part, range, request)?;
                }
            }
        }
    }

    /// Replaces entries of one table that do not point to tables.
    #[inline(never)]
    #[allow(clippy::too_many_arguments)] // Together they would be a structure in memory.
    fn exchange_run<F: Format>(
        &self,
        work: &mut Work,
        content: &Content<'_, F>,
        pieces: &mut Pieces<'_>,
        run: &Run,
        part: GpaRange,
        range: GpaRange,
        request: &mut FlushRequest,
    ) -> Option<()> {
        let Run { page, level, .. } = *run;
        let mut gpa = part.start;
        while gpa < part.end {
            let piece = pieces.at(gpa);
            let end = part.end.min(piece.end);
            let count = end.minus(gpa).wrapping_shr(level.shift());
            let fits = level <= piece.largest && gpa.is_aligned(level) && count != 0;
            let (first, step, count) = if fits {
                (content.entry(&piece, gpa, level), content.step(level), count)
            } else {
                let child = part.part(gpa, level);
                (self.build(work, content, pieces, level.down(), child)?, 0, 1)
            };
            let span = Span::of(gpa.index(level), count);
            let exchange = Exchange { page, level, span, gpa, first, step };
            self.exchange(work, &exchange, range, request)?;
            gpa = gpa.base(level).plus(count.wrapping_shl(level.shift()));
        }
        Some(())
    }

    /// A table of a level for a part of the range that no walker sees yet; the entry that points to it.
    #[inline(never)]
    fn build<F: Format>(
        &self,
        work: &mut Work,
        content: &Content<'_, F>,
        pieces: &mut Pieces<'_>,
        level: Level,
        part: GpaRange,
    ) -> Option<Entry<F>> {
        let table = work.stock.pop(self)?;
        if self.fill_unseen(table, Entry::<F>::EMPTY).is_none() {
            self.give_table(table);
            return None;
        }
        work.path.set(level, table);
        let Work { path, stock, .. } = work;
        if self.put(path, stock, content, pieces, level, part).is_none() {
            work.releases.begin(false, None);
            self.release_below::<F>(work, table, level, part)?;
            return None;
        }
        let count = part.span(level).count() as u64;
        Some(Entry::table(table).with_occupancy(Entry::<F>::occupancy_of(count)))
    }

    /// Writes new entries in the places of others, as many at a time as can be remembered until the flush.
    #[inline(never)]
    fn exchange<F: Format>(
        &self,
        work: &mut Work,
        exchange: &Exchange<F>,
        range: GpaRange,
        request: &mut FlushRequest,
    ) -> Option<()> {
        let breaks = F::breaks_before_make(self.features);
        let level = exchange.level;
        let mut rest = Some(exchange.span);
        while let Some(span) = rest {
            let skipped = (span.first.get() as u64)
                .wrapping_sub(exchange.span.first.get() as u64);
            let first = Entry::from_word(
                exchange.first.word().wrapping_add(exchange.step.wrapping_mul(skipped)),
            );
            let gpa = exchange.gpa.base(level).plus(skipped.wrapping_shl(level.shift()));
            let now = Exchange { span, first, gpa, ..*exchange };
            let (done, added, is_live) = self.exchange_some(work, &now, breaks, request)?;
            if added != 0 {
                self.occupy::<F>(work.sweep.path(), gpa, level, done, added)?;
            }
            if is_live && breaks {
                self.flush_replaced::<F>(work, core::mem::replace(request, FlushRequest::new(range)))?;
                self.fill(now.page, done, first, exchange.step)?;
                self.release_replaced::<F>(work)?;
            } else if work.replaced.is_full() {
                self.flush_replaced::<F>(work, core::mem::replace(request, FlushRequest::new(range)))?;
                self.release_replaced::<F>(work)?;
            }
            rest = span.behind(done.last);
        }
        Some(())
    }

    /// Writes new entries in the places of others until too many are to be remembered; which, how many of
    /// them were empty, and whether hardware may hold one of the others.
    #[inline(never)]
    fn exchange_some<F: Format>(
        &self,
        work: &mut Work,
        exchange: &Exchange<F>,
        breaks: bool,
        request: &mut FlushRequest,
    ) -> Option<(Span, u64, bool)> {
        let Exchange { page, level, span, gpa, first, step } = *exchange;
        let reports = self.host.wants_released();
        let table = Table::<F>::open(self, page)?;
        let (mut added, mut linear, mut written, mut is_live) = (0_u64, 0_u64, 0_u64, false);
        let mut done = Span::one(span.first);
        let mut new = first;
        let mut at = gpa;
        for index in span.indices() {
            let old = table.load(index);
            done.last = index;
            if old != new {
                if table.is_absent(old, level) {
                    added = added.wrapping_add(1);
                }
                let mut now = new;
                if old.is_hardware_visible() {
                    let is_table = matches!(old.way(level.get()), Way::Down(_));
                    is_live = true;
                    if is_table { request.add_table() } else { request.add_leaf(level) }
                    if is_table || old.is_owned() || reports {
                        work.replaced.add(old, at, level);
                    } else {
                        linear = linear.wrapping_add(1);
                    }
                    if breaks {
                        now = Entry::busy();
                    }
                }
                written = written.wrapping_add(1);
                table.store(index, now);
            } else if old.is_linear_leaf(level.get()) {
                // The same leaf again: it goes and comes.
                (linear, written) = (linear.wrapping_add(1), written.wrapping_add(1));
            }
            if work.replaced.is_full() {
                break;
            }
            new = Entry::from_word(new.word().wrapping_add(step));
            at = at.end(level);
        }
        drop(table);
        self.discount_leaves(level, linear);
        if first.is_hardware_visible() && first.way(level.get()) == Way::Ends {
            self.count_leaves(level, written);
        }
        Some((done, added, is_live))
    }

    /// Flushes what was replaced, and makes what was broken.
    #[inline(never)]
    fn flush_replaced<F: Format>(&self, work: &mut Work, request: FlushRequest) -> Option<()> {
        self.issue_if::<F>(request, false, AXAS_FLUSH_UNMAP);
        self.mend::<F>(&mut work.broken)
    }

    /// Gives back what was replaced and flushed.
    #[inline(never)]
    fn release_replaced<F: Format>(&self, work: &mut Work) -> Option<()> {
        publish_tables();
        if work.replaced.count == 0 {
            return Some(());
        }
        self.end_generation();
        let mut outcome = Some(());
        for number in 0..work.replaced.count {
            let Some(old) = work.replaced.olds.get(number).copied() else { break };
            let entry = Entry::<F>::from_word(old.word);
            let released = match entry.way(old.level.get()) {
                Way::Down(table) => {
                    let all = GpaRange::new(old.gpa, old.gpa.end(old.level));
                    self.release_below::<F>(work, table, old.level.down(), all)
                }
                _ => self.release_leaves(work, entry, old.level, old.gpa, old.count.into()),
            };
            outcome = outcome.and(released);
        }
        work.replaced.count = 0;
        work.releases.report(&self.host);
        outcome
    }
}

impl Replaced {
    /// Remembers an entry that covers an address on, with the one before if it goes on from there.
    #[inline(always)]
    fn add<F: Format>(&mut self, entry: Entry<F>, gpa: Gpa, level: Level) {
        if let Some(last) = self.count.checked_sub(1).and_then(|last| self.olds.get_mut(last))
            && entry.way(level.get()) == Way::Ends
            && last.level == level
        {
            let count = u64::from(last.count);
            let bytes = count.wrapping_shl(level.shift());
            let step = entry.address_step(level.size()).wrapping_mul(count);
            if last.gpa.plus(bytes) == gpa && last.word.wrapping_add(step) == entry.word() {
                last.count = last.count.wrapping_add(1);
                return;
            }
        }
        self.push(Old { word: entry.word(), gpa, level, count: 1 });
    }
}
