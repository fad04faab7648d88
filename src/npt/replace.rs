// SPDX-License-Identifier: MIT OR Apache-2.0
//! Replacing what is in a range: one operation for everybody.
//!
//! Leaves, and tables in whose places larger entries come, become dead entries, are flushed once, and the new
//! entries take their places: a vCPU meanwhile is told to retry, a reader without the lock waits for it. Where
//! an entry is to be one of the same level, no frame is taken. Where smaller entries are to take the place of a
//! larger one, their tables are built before the entry changes. Tables need no break: what is in them changes.

use super::NestedPageTable;
use super::arch::Format;
use super::content::{Content, Pieces};
use super::entry::{Entry, Way};
use super::reap::Remains;
use super::split::Cut;
use super::sweep::{Run, Step};
use super::table::{Broken, Table};
use super::units::{Gpa, GpaRange, Hpa, Level, Span};
use super::unmap::Dying;
use super::work::{Failed, Work};
use crate::abi::AXAS_FLUSH_UNMAP;
use crate::addr::Bits;
use crate::error::{Error, Result};
use crate::hal::{FlushRequest, publish_tables};
use crate::sync::Ordering;

impl NestedPageTable {
    /// Puts a content in the place of whatever is in a range; `spare` tables are taken besides.
    #[inline(always)] // The steps are not on the stack of each other.
    pub(crate) fn replace<F: Format>(
        &self,
        work: &mut Work,
        content: &Content<'_, F>,
        range: GpaRange,
        spare: u64,
    ) -> Result<()> {
        let tables = self.plan_replacement(work, content, range)?;
        work.stock.fill(self, tables.saturating_add(spare))?;
        let broken = self.break_whole_range(work, content, range)?;
        let made = broken.and_then(|()| self.make_range(work, content, range));
        if made.is_none() {
            return work.fails_in(self, Failed::Replacement, range, Error::BadState);
        }
        work.releases.report(&self.host);
        Ok(())
    }

    /// Makes both ends of the range boundaries of entries, makes dead what changes, and flushes it. If the cuts
    /// fail nothing has changed.
    #[inline(never)]
    fn break_whole_range<F: Format>(
        &self,
        work: &mut Work,
        content: &Content<'_, F>,
        range: GpaRange,
    ) -> Result<Option<()>> {
        let mut request = FlushRequest::new(range);
        self.split::<F>(work, range, &Cut::All, &mut request)?;
        work.releases.begin(self.host.wants_released(), content.distance());
        let broken = self.break_range(work, content, range, &mut request);
        self.issue_if::<F>(request, AXAS_FLUSH_UNMAP);
        let mended = self.mend::<F>(&mut work.broken);
        self.begin_reaping();
        Ok(broken.and(mended))
    }

    /// Empties the range in which an act failed. Apart from the act, which is no longer on the stack.
    #[cold]
    #[inline(never)]
    pub(crate) fn undo_failed<F: Format>(&self, work: &mut Work) {
        let range = work.sweep.range();
        let failed = core::mem::replace(&mut work.failed, Failed::Nothing);
        if failed == Failed::Replacement {
            // Where a table cannot be read, what hangs on it stays.
            let _ = self.reap::<F>(work, range, Remains::Nothing, false);
            work.releases.report(&self.host);
        }
        self.undo::<F>(work, range, failed);
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
        let sweep = &mut work.sweep;
        let mut pieces = content.pieces();
        let mut tables = 0_u64;
        // Up to here a larger entry takes the place of tables.
        let mut covered = range.start;
        sweep.begin(self, range);
        loop {
            let step = sweep.step::<F>(self, &Broken::NONE).ok_or(Error::BadState)?;
            let Run { level, gpa, .. } = sweep.run;
            match step {
                Step::End => return Ok(tables),
                Step::Table(table) => {
                    if gpa >= covered && pieces.covers(range, gpa, level) {
                        covered = gpa.end(level);
                    }
                    sweep.enter(self, gpa, table).ok_or(Error::BadState)?;
                }
                Step::Entries => {
                    if content.has_frames() {
                        self.check_owned_of(&sweep.run, content, range)?;
                    }
                    if gpa >= covered {
                        let part = GpaRange::new(gpa, range.end.min(sweep.gpa()));
                        tables = tables.saturating_add(content.tables(level, part));
                    }
                }
            }
        }
    }

    /// That a run has no frame of the library that is one of those which are to be mapped.
    #[inline(never)]
    fn check_owned_of<F: Format>(
        &self,
        run: &Run,
        content: &Content<'_, F>,
        range: GpaRange,
    ) -> Result<()> {
        let (first, size) = (content.first_frame(), run.level.size());
        let mut is_one = false;
        Table::<F>::reach(self, run.page).ok_or(Error::BadState)?.for_each(run.span, |entry| {
            let distance = entry.address().bits().wrapping_sub(first.bits());
            let meets = distance < range.size() || distance.wrapping_neg() < size;
            is_one |= entry.is_hardware_visible() && entry.is_owned() && meets;
        });
        if is_one { Err(Error::InvalidInput) } else { Ok(()) }
    }

    /// Makes dead what hardware may hold, where it changes.
    #[inline(never)]
    fn break_range<F: Format>(
        &self,
        work: &mut Work,
        content: &Content<'_, F>,
        range: GpaRange,
        request: &mut FlushRequest,
    ) -> Option<()> {
        let mut pieces = content.pieces();
        let Work { sweep, broken, .. } = work;
        sweep.begin(self, range);
        loop {
            let step = sweep.step::<F>(self, broken)?;
            let run = sweep.run;
            match step {
                Step::End => return Some(()),
                Step::Table(table) if pieces.covers(range, run.gpa, run.level) => {
                    let Run { page, level, span, gpa } = run;
                    let is_kept = self.entry::<F>(page, span.first)?.is_kept_table(level.get());
                    self.set(page, span.first, Entry::<F>::table(table).dead_table())?;
                    if is_kept {
                        self.occupy::<F>(sweep.path(), gpa, level, span, 1)?;
                    }
                    request.add_table();
                    sweep.skip(self);
                }
                Step::Table(table) => sweep.enter(self, run.gpa, table)?,
                Step::Entries => self.break_run(content, &mut pieces, &run, request)?,
            }
        }
    }

    /// Makes the leaves of a run dead that change.
    #[inline(never)]
    fn break_run<F: Format>(
        &self,
        content: &Content<'_, F>,
        pieces: &mut Pieces<'_>,
        run: &Run,
        request: &mut FlushRequest,
    ) -> Option<()> {
        let level = run.level;
        let mut dying = Dying::new();
        let mut has_leaf = false;
        let mut gpa = run.gpa;
        Table::<F>::reach(self, run.page)?.update(run.span, |entry| {
            let piece = pieces.at(gpa);
            let stays = level <= piece.largest && content.entry(piece, gpa, level) == entry;
            gpa = gpa.end(level);
            if stays || !entry.is_hardware_visible() {
                return entry;
            }
            has_leaf = true;
            dying.dead(entry, self.features)
        });
        if has_leaf {
            request.add_leaf(level);
        }
        Some(())
    }

    /// Puts the new entries in the places of the old, which are flushed.
    #[inline(never)]
    fn make_range<F: Format>(
        &self,
        work: &mut Work,
        content: &Content<'_, F>,
        range: GpaRange,
    ) -> Option<()> {
        let mut pieces = content.pieces();
        work.sweep.begin(self, range);
        while work.sweep.next::<F>(self, &Broken::NONE)? {
            self.make_run(work, content, &mut pieces, range.end)?;
        }
        publish_tables();
        if content.has_frames() {
            self.announce::<F>(range);
        }
        Some(())
    }

    /// Replaces the entries that the sweep came to, in a range that ends at `end`.
    #[inline(always)] // As `replace`.
    fn make_run<F: Format>(
        &self,
        work: &mut Work,
        content: &Content<'_, F>,
        pieces: &mut Pieces<'_>,
        end: Gpa,
    ) -> Option<()> {
        let Run { page, level, mut gpa, .. } = work.sweep.run;
        let end = end.min(work.sweep.gpa());
        while gpa < end {
            let piece = pieces.at(gpa);
            let most = end.min(piece.end).minus(gpa).wrapping_shr(level.shift());
            let fits = level <= piece.largest && gpa.is_aligned(level) && most != 0;
            let mut is_built = true;
            let span = Span::of(gpa.index(level), if fits { most } else { 1 });
            let (span, old) = self.next_old::<F>(page, level, span)?;
            let first = if fits {
                let first = content.entry(piece, gpa, level);
                self.fill(page, span, first, content.step(level))?;
                first
            } else {
                let child = GpaRange::new(gpa, end.min(gpa.end(level)));
                let table =
                    self.build(work, content, pieces, level.down(), child, &mut is_built)?;
                // What was built is lost where it cannot be linked, so that the host is asked again.
                let link = || self.set(page, span.first, table);
                link().or_else(link)?;
                table
            };
            let count = span.count() as u64;
            if first.is_hardware_visible() && first.way(level.get()) == Way::Ends {
                self.count_leaves(level, count);
            }
            self.let_go(work, old, level, span, gpa)?;
            if !is_built {
                return None;
            }
            gpa = gpa.base(level).plus(count.wrapping_shl(level.shift()));
        }
        Some(())
    }

    /// Neighbouring entries at the beginning of a span that go in one step, and the first of them.
    #[inline(never)]
    fn next_old<F: Format>(&self, page: Hpa, level: Level, span: Span) -> Option<(Span, Entry<F>)> {
        let table = Table::<F>::reach(self, page)?;
        let first = table.load(span.first);
        if first.is_dead_leaf() {
            let last = super::reap::followers(&table, span, level);
            return Some((Span::new(span.first, last), first));
        }
        if !first.is_settled() {
            return Some((Span::one(span.first), first));
        }
        let kind = first.kind();
        let mut alike = 0_u64;
        for slot in table.slots(span) {
            if Entry::<F>::from_word(slot.load(Ordering::Relaxed)).kind() != kind {
                break;
            }
            alike = alike.wrapping_add(1);
        }
        Some((Span::of(span.first, alike), first))
    }

    /// Gives back what replaced entries named, or counts them where they are new.
    #[inline(never)]
    fn let_go<F: Format>(
        &self,
        work: &mut Work,
        old: Entry<F>,
        level: Level,
        span: Span,
        gpa: Gpa,
    ) -> Option<()> {
        let count = span.count() as u64;
        if old.is_empty() {
            return self.occupy::<F>(work.sweep.path(), gpa, level, span, count);
        }
        if old.is_hardware_visible() {
            // The same leaves again.
            self.discount_leaves(level, count);
            return Some(());
        }
        if old.is_settled() {
            return Some(());
        }
        if old.is_dead_leaf() {
            return self.release_leaves(work, old, level, gpa.base(level), count);
        }
        let all = GpaRange::new(gpa.base(level), gpa.end(level));
        self.release_below::<F>(work, old.address(), level.down(), all)
    }

    /// A table of a level for a part of the range that no walker sees yet; the entry that points to it. What could
    /// not be built in it is empty.
    #[inline(always)] // As `replace`.
    fn build<F: Format>(
        &self,
        work: &mut Work,
        content: &Content<'_, F>,
        pieces: &mut Pieces<'_>,
        level: Level,
        part: GpaRange,
        is_built: &mut bool,
    ) -> Option<Entry<F>> {
        let table = work.stock.pop(self)?;
        let Work { path, stock, .. } = work;
        path.set(level, table);
        if self.fill_unseen(table, Entry::<F>::EMPTY).is_none() {
            self.give_table(table);
            return None;
        }
        *is_built = self.put(path, stock, content, pieces, level, part).is_some();
        let count = part.span(level).count() as u64;
        Some(Entry::table(table).with_occupancy(Entry::<F>::occupancy_of(count)))
    }
}
