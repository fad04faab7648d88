// SPDX-License-Identifier: MIT OR Apache-2.0
//! Replacing what is in a range: one operation for vCPUs and readers.
//!
//! Leaves, and tables in whose places larger entries come, become dead entries, are flushed once, and the new
//! entries take their places: a vCPU meanwhile is told to retry, a reader without the lock waits for it. Where
//! an entry is to be one of the same level, no frame is taken. Where smaller entries are to take the place of a
//! larger one, their tables are built before the entry changes. Tables need no break: what is in them changes.

use super::NestedPageTable;
use super::arch::Format;
use super::content::{Content, Pieces};
use super::entry::{Entry, HIDES, Names};
use super::reap::{Releases, Remains};
use super::split::Cut;
use super::sweep::{Run, Step};
use super::table::{Broken, Table};
use super::units::GpaRange;
use super::unmap::Dying;
use super::work::{Failed, Work};
use crate::abi::AXAS_FLUSH_UNMAP;
use crate::addr::Bits;
use crate::error::{Error, Result};
use crate::hal::FlushRequest;

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
        #[cfg(feature = "dirty")]
        let content = &content.replacing(self.is_logged());
        let tables = self.plan_replacement(work, content, range)?;
        work.stock.fill(self, tables.saturating_add(spare))?;
        let emptied = self.make_busy(work, content, range)?;
        let made = emptied.and_then(|()| self.put_range(work, content, range));
        if made.is_none() {
            return work.fails_in::<F>(self, Failed::Replacement, range, Error::BadState);
        }
        Ok(())
    }

    /// Makes both ends of the range boundaries of entries, takes what changes away, and leaves busy entries in its
    /// place. If the cuts fail nothing has changed. Their tables are among those which the new entries need.
    #[inline(never)]
    fn make_busy<F: Format>(
        &self,
        work: &mut Work,
        content: &Content<'_, F>,
        range: GpaRange,
    ) -> Result<Option<()>> {
        let mut request = FlushRequest::new(range);
        self.split::<F>(work, range, &Cut::All, &mut request)?;
        work.releases.begin(self.host.wants_released(), content.distance());
        let broken = self.break_range(work, content, range, &mut request);
        // What was hidden has no translation.
        let is_needed = request.is_needed() || HIDES && work.releases.has_dead;
        self.issue_if::<F>(request, AXAS_FLUSH_UNMAP);
        let mended = self.mend::<F>(&mut work.broken);
        self.begin_reaping();
        let mut outcome = broken.and(mended);
        if is_needed {
            outcome = outcome.and_then(|()| self.reap::<F>(work, range, Remains::Busy, true));
        }
        work.releases.report(&self.host);
        Ok(outcome)
    }

    /// Puts the new entries into the range, where entries are busy or empty.
    #[inline(never)]
    fn put_range<F: Format>(
        &self,
        work: &mut Work,
        content: &Content<'_, F>,
        range: GpaRange,
    ) -> Option<()> {
        self.put_parts(work, content, range)?;
        self.publish_entries::<F>(range, content.has_frames());
        Some(())
    }

    /// Puts the new entries into the range, without a word to walkers.
    #[inline(always)] // Into what is not inlined.
    pub(super) fn put_parts<F: Format>(
        &self,
        work: &mut Work,
        content: &Content<'_, F>,
        range: GpaRange,
    ) -> Option<()> {
        let Work { path, stock, .. } = work;
        let mut pieces = content.pieces();
        let mut at = range.start;
        while at < range.end {
            let part = range.from(at).part(at, self.levels.up());
            path.set(self.levels, self.root_page::<F>(at));
            self.put(path, stock, content, &mut pieces, self.levels, part)?;
            at = part.end;
        }
        Some(())
    }

    /// Empties the range in which an act failed. Apart from the act, which is no longer on the stack.
    #[cold]
    #[inline(never)]
    pub(super) fn undo_failed<F: Format>(&self, work: &mut Work) {
        let range = work.sweep.range();
        let failed = work.failed;
        if failed == Failed::Replacement {
            // Where a table cannot be read, what hangs on it stays.
            let _ = self.reap::<F>(work, range, Remains::Nothing, true);
            work.releases.report(&self.host);
        }
        self.undo::<F>(work, range, failed);
    }

    /// That no frame of the library in the range is one of those which are to replace it, and how many tables
    /// it takes at most.
    #[inline(never)]
    pub(super) fn plan_replacement<F: Format>(
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
        sweep.begin_look(self, range);
        loop {
            let step = sweep.step::<F>(self, &Broken::NONE).ok_or(Error::BadState)?;
            let Run { level, gpa, .. } = sweep.run;
            match step {
                Step::End => return Ok(tables),
                Step::Table(table) | Step::Hidden(table) => {
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
            is_one |= entry.is_page() && entry.is_owned() && meets;
        });
        if is_one { Err(Error::InvalidInput) } else { Ok(()) }
    }

    /// Makes dead what hardware may hold, and busy whatever else is in the range, where it changes. What will be
    /// occupied is counted.
    #[inline(never)]
    fn break_range<F: Format>(
        &self,
        work: &mut Work,
        content: &Content<'_, F>,
        range: GpaRange,
        request: &mut FlushRequest,
    ) -> Option<()> {
        let mut pieces = content.pieces();
        let Work { sweep, broken, releases, .. } = work;
        sweep.begin(self, range);
        loop {
            let step = sweep.step_in::<F>(self, broken)?;
            let run = sweep.run;
            let Run { page, level, span, gpa } = run;
            let added = match step {
                Step::End => return Some(()),
                Step::Table(table) if pieces.covers(range, gpa, level) => {
                    let is_kept = self.entry::<F>(page, span.first)?.is_kept_table(level.get());
                    self.set(page, span.first, Entry::<F>::table(table).dead_table())?;
                    request.add_table();
                    sweep.skip(self);
                    u64::from(is_kept)
                }
                Step::Table(table) | Step::Hidden(table) => {
                    sweep.enter(self, gpa, table)?;
                    0
                }
                Step::Entries => {
                    self.break_run(content, &mut pieces, &run, range, request, releases)?
                }
            };
            if added != 0 {
                self.occupy::<F>(sweep.path(), gpa, level, span, added)?;
            }
        }
    }

    /// Makes the leaves of a run dead that change, and busy what is no leaf; how many entries were empty. Those that
    /// the range covers a part of, which are empty, stay so until a table takes their places.
    #[inline(never)]
    fn break_run<F: Format>(
        &self,
        content: &Content<'_, F>,
        pieces: &mut Pieces<'_>,
        run: &Run,
        range: GpaRange,
        request: &mut FlushRequest,
        releases: &mut Releases,
    ) -> Option<u64> {
        let level = run.level;
        let mut dying = Dying::new();
        let (mut has_leaf, mut has_dead, mut same, mut added) = (false, false, 0_u64, 0_u64);
        let mut gpa = run.gpa;
        Table::<F>::reach(self, run.page)?.update(run.span, |entry| {
            let piece = pieces.at(gpa);
            let stays = level <= piece.largest && content.entry(piece, gpa, level) == entry;
            let is_whole = range.holds_entry(gpa, level);
            gpa = gpa.end(level);
            added = added.wrapping_add(u64::from(entry.is_empty()));
            if stays {
                same = same.wrapping_add(1);
                entry
            } else if entry.is_page() {
                has_leaf |= entry.is_hardware_visible();
                has_dead = true;
                dying.dead(entry, self.features)
            } else if is_whole && entry.names(level.get()) == Names::Nothing {
                Entry::busy()
            } else {
                entry
            }
        });
        if has_leaf {
            request.add_leaf(level);
        }
        releases.has_dead |= has_dead;
        if content.has_frames() {
            // They are written again.
            self.discount_leaves(level, same);
        }
        Some(added)
    }
}
