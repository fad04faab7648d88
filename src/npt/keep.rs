// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tables that became empty and stay (`AXAS_KEEP_TABLES`): giving them back.

use super::NestedPageTable;
use super::arch::Format;
use super::content::Content;
use super::reap::Remains;
use super::sweep::{Run, Step};
use super::table::{Broken, Table};
use super::units::{GpaRange, Hpa, Level, Span};
use super::work::Work;
use crate::abi::AXAS_FLUSH_UNMAP;
use crate::error::{Error, Result};
use crate::hal::FlushRequest;

impl NestedPageTable {
    /// Gives back the tables that are kept for a part of a range.
    #[inline(never)]
    pub(crate) fn collect<F: Format>(&self, work: &mut Work, range: GpaRange) -> Result<()> {
        self.drop_kept::<F>(work, range, None).ok_or(Error::BadState)
    }

    /// Gives back the tables that are kept where a content of a range puts a larger entry.
    #[inline(never)]
    pub(super) fn drop_covered<F: Format>(
        &self,
        work: &mut Work,
        content: &Content<'_, F>,
        range: GpaRange,
    ) -> Option<()> {
        self.drop_kept::<F>(work, range, Some(content))
    }

    /// Gives back tables that are kept for a part of a range, all or those over which a content puts a larger
    /// entry.
    #[inline(never)]
    pub(super) fn drop_kept<F: Format>(
        &self,
        work: &mut Work,
        range: GpaRange,
        over: Option<&Content<'_, F>>,
    ) -> Option<()> {
        let mut request = FlushRequest::new(range);
        let detached = self.detach_kept::<F>(work, range, over, &mut request);
        let is_needed = request.is_needed();
        self.issue_if::<F>(request, AXAS_FLUSH_UNMAP);
        if is_needed {
            self.begin_reaping();
            work.releases.begin(false, None);
            self.reap::<F>(work, range, Remains::Nothing, true)?;
        }
        detached
    }

    /// Detaches kept tables that are to go, lower ones first: one below which a table stays, stays too.
    #[inline(never)]
    fn detach_kept<F: Format>(
        &self,
        work: &mut Work,
        range: GpaRange,
        over: Option<&Content<'_, F>>,
        request: &mut FlushRequest,
    ) -> Option<()> {
        let mut level = Level::LARGE;
        while level <= self.levels {
            let mut pieces = over.map(Content::pieces);
            work.sweep.begin(self, range);
            while let Some(table) = self.next_table_at::<F>(work, level)? {
                let Run { page, span, gpa, .. } = work.sweep.run;
                let entry = self.entry::<F>(page, span.first)?;
                let goes = pieces.as_mut().is_none_or(|pieces| pieces.covers(range, gpa, level));
                if goes && entry.is_kept_table(level.get()) && !self.has_valid::<F>(table)? {
                    request.add_table();
                    self.set(page, span.first, entry.dead_table())?;
                }
                work.sweep.skip(self);
            }
            level = level.up();
        }
        Some(())
    }

    /// The next table in the sweep that an entry of a level points to.
    pub(super) fn next_table_at<F: Format>(
        &self,
        work: &mut Work,
        level: Level,
    ) -> Option<Option<Hpa>> {
        loop {
            match work.sweep.step_in::<F>(self, &Broken::NONE)? {
                Step::End => return Some(None),
                Step::Entries => {}
                Step::Table(table) if work.sweep.run.level == level => return Some(Some(table)),
                Step::Table(table) | Step::Hidden(table) => {
                    work.sweep.enter(self, work.sweep.run.gpa, table)?
                }
            }
        }
    }

    /// Whether a table has an entry that walkers use.
    fn has_valid<F: Format>(&self, page: Hpa) -> Option<bool> {
        let mut has_valid = false;
        Table::<F>::reach(self, page)?
            .for_each(Span::ALL, |entry| has_valid |= entry.is_hardware_visible());
        Some(has_valid)
    }
}
