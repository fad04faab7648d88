// SPDX-License-Identifier: MIT OR Apache-2.0
//! How far a call may go that has a budget of entries. Slices end on the boundaries of entries, so that
//! a range done in slices comes out as if it had been done at once.

use super::NestedPageTable;
use super::arch::Format;
use super::content::Content;
use super::sweep::{Run, Sweep};
use super::table::Broken;
use super::units::{Gpa, GpaRange, Level};
use super::work::Work;
use crate::error::{Error, Result};

/// Entries that may still be visited or written.
pub(crate) struct Budget {
    pub(crate) left: u64,
    /// Where it ends.
    pub(crate) reached: Gpa,
}

impl Budget {
    fn take(&mut self, most: u64) -> u64 {
        let taken = self.left.min(most);
        self.left = self.left.wrapping_sub(taken);
        taken
    }

    /// Visits the entries of a run; where the budget ends, if it does.
    #[inline(always)]
    pub(super) fn visit(&mut self, run: &Run) -> Option<Gpa> {
        let count = run.span.count() as u64;
        match self.take(count) {
            0 => Some(run.gpa),
            visited if visited < count => {
                let bytes = visited.wrapping_shl(run.level.shift());
                Some(run.gpa.base(run.level).plus(bytes))
            }
            _ => None,
        }
    }
}

/// Where the budget ends in a run of a range, if it does; what was visited is taken off.
pub(crate) type Cost = fn(&NestedPageTable, &Run, GpaRange, &mut Budget) -> Option<Option<Gpa>>;

/// Where the budget ends if a range is filled with the largest whole entries up to level `most`.
#[inline(never)]
pub(crate) fn reach_filling(range: GpaRange, most: Level, budget: &mut Budget) -> Gpa {
    let mut at = range.start;
    while at < range.end && budget.left != 0 {
        let mut level = Level::dividing_address(at, most);
        while level > Level::PAGE && range.end.minus(at) < level.size() {
            level = level.down();
        }
        let stop = if level == most { range.end } else { range.end.min(at.end(level.up())) };
        let whole = stop.minus(at).wrapping_shr(level.shift());
        at = at.plus(budget.take(whole).wrapping_shl(level.shift()));
    }
    at
}

impl NestedPageTable {
    /// Where a slice of a map ends that writes entries, or takes frames, up to a level. All of the rest is looked at, so that an overlap stops it before it
    /// begins.
    #[inline(never)]
    pub(crate) fn reach_map<F: Format>(
        &self,
        work: &mut Work,
        content: &Content<'_, F>,
        largest: Level,
        range: GpaRange,
        budget: &mut Budget,
    ) -> Result<()> {
        self.survey(&mut work.edges, content, range)?;
        budget.reached = reach_filling(range, largest, budget);
        Ok(())
    }

    /// Where the budget ends if the entries of a range are visited one by one.
    #[inline(never)]
    pub(crate) fn reach_visiting<F: Format>(
        &self,
        sweep: &mut Sweep,
        range: GpaRange,
        cost: Cost,
        budget: &mut Budget,
    ) -> Option<Gpa> {
        sweep.begin(self, range);
        while sweep.next::<F>(self, &Broken::NONE)? {
            let stop = cost(self, &sweep.run, range, budget)?;
            if stop.is_some() {
                return stop;
            }
        }
        Some(range.end)
    }

    /// Each entry costs one, whatever it is.
    pub(crate) fn cost_of_entries(
        &self,
        run: &Run,
        _: GpaRange,
        budget: &mut Budget,
    ) -> Option<Option<Gpa>> {
        Some(budget.visit(run))
    }

    /// A reservation costs the frames that take its place, everything else one.
    pub(crate) fn cost_of_frames<F: Format>(
        &self,
        run: &Run,
        range: GpaRange,
        budget: &mut Budget,
    ) -> Option<Option<Gpa>> {
        let mut at = run.gpa;
        for index in run.span.indices() {
            if budget.left == 0 {
                return Some(Some(at));
            }
            let part = GpaRange::new(at, at.end(run.level).min(range.end));
            let entry = self.entry::<F>(run.page, index)?;
            if entry.is_reserved() {
                // What a provider brings may be pages of 4 KiB.
                let largest = if entry.is_provided() {
                    Level::PAGE
                } else {
                    Level::new(entry.reservation().largest()).min(run.level)
                };
                let reached = reach_filling(part, largest, budget);
                if reached < part.end {
                    return Some(Some(reached));
                }
            } else {
                budget.take(1);
            }
            at = part.end;
        }
        Some(None)
    }

    /// As [`NestedPageTable::reach_visiting`], for a call that costs as many entries as it visits.
    pub(crate) fn reach<F: Format>(
        &self,
        work: &mut Work,
        range: GpaRange,
        cost: Cost,
        budget: &mut Budget,
    ) -> Result<()> {
        budget.reached = self
            .reach_visiting::<F>(&mut work.sweep, range, cost, budget)
            .ok_or(Error::BadState)?;
        Ok(())
    }
}
