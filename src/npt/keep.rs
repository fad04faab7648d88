// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tables that became empty and stay (`AXAS_KEEP_TABLES`): giving them back.

use super::NestedPageTable;
use super::arch::Format;
use super::reap::Remains;
use super::sweep::Step;
use super::table::Broken;
use super::units::GpaRange;
use super::work::Work;
use crate::abi::AXAS_FLUSH_UNMAP;
use crate::error::{Error, Result};
use crate::hal::{FlushRequest, publish_tables};

impl NestedPageTable {
    /// Gives back the tables that are kept for a part of a range.
    #[inline(never)]
    pub(crate) fn collect<F: Format>(&self, work: &mut Work, range: GpaRange) -> Result<()> {
        self.drop_kept::<F>(work, range, false).ok_or(Error::BadState)
    }

    /// Gives back the tables that are kept for a range: those that lie in it, or also those of which a part
    /// does.
    #[inline(never)]
    pub(super) fn drop_kept<F: Format>(
        &self,
        work: &mut Work,
        range: GpaRange,
        inside_only: bool,
    ) -> Option<()> {
        let mut request = FlushRequest::new(range);
        let detached = self.detach_kept::<F>(work, range, inside_only, &mut request);
        let is_needed = request.is_needed();
        self.issue_if::<F>(request, false, AXAS_FLUSH_UNMAP);
        if is_needed {
            publish_tables();
            self.end_generation();
            work.releases.begin(false, None);
            self.reap::<F>(work, range, Remains::Nothing, true)?;
        }
        detached
    }

    #[inline(never)]
    fn detach_kept<F: Format>(
        &self,
        work: &mut Work,
        range: GpaRange,
        inside_only: bool,
        request: &mut FlushRequest,
    ) -> Option<()> {
        work.sweep.begin(self, range);
        loop {
            match work.sweep.step::<F>(self, &Broken::NONE)? {
                Step::End => return Some(()),
                Step::Entries => {}
                Step::Table(table) => {
                    let run = work.sweep.run;
                    let entry = self.entry::<F>(run.page, run.span.first)?;
                    let goes = entry.is_kept_table(run.level.get())
                        && (!inside_only || range.holds_entry(run.gpa, run.level));
                    if goes {
                        request.add_table();
                        self.set(run.page, run.span.first, entry.dead_table())?;
                        work.sweep.skip(self);
                    } else {
                        work.sweep.enter(self, run.gpa, table)?;
                    }
                }
            }
        }
    }
}
