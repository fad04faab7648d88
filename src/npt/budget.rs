// SPDX-License-Identifier: MIT OR Apache-2.0
//! How far a call may go that has a budget of entries. Slices end on the boundaries of entries, so that
//! a range done in slices comes out as if it had been done at once.

use super::Engine;
use super::arch::Format;
use super::geometry::entry_size;
use super::walk::{Cursor, end_of};
use crate::error::Result;

/// Entries that may still be visited or written.
pub(crate) struct Budget(pub(crate) u64);

impl Budget {
    /// For all that there is.
    pub(crate) const UNLIMITED: Self = Self(u64::MAX);

    pub(super) fn is_unlimited(&self) -> bool {
        self.0 == u64::MAX
    }

    fn take(&mut self, most: u64) -> u64 {
        let taken = self.0.min(most);
        self.0 = self.0.wrapping_sub(taken);
        taken
    }

    fn is_empty(&self) -> bool {
        self.0 == 0
    }
}

/// Where the budget ends if `[start, end)` is filled with the largest whole entries up to level
/// `most_level`.
pub(crate) fn reach_filling(start: u64, end: u64, most_level: u32, budget: &mut Budget) -> u64 {
    let mut at = start;
    while at < end && !budget.is_empty() {
        let fits = |level: u32| {
            let size = entry_size(level);
            at & size.wrapping_sub(1) == 0 && end.wrapping_sub(at) >= size
        };
        let mut level = most_level;
        while level > 1 && !fits(level) {
            level = level.wrapping_sub(1);
        }
        let next = (at | entry_size(level.wrapping_add(1)).wrapping_sub(1)).wrapping_add(1);
        let stop = if level == most_level { end } else { end.min(next) };
        let size = entry_size(level);
        let whole = stop.wrapping_sub(at).checked_div(size).unwrap_or(0);
        at = at.wrapping_add(budget.take(whole).wrapping_mul(size));
    }
    at
}

/// What a visited entry costs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cost {
    /// One, whatever it is.
    Entry,
    /// A reservation costs the frames that take its place.
    Frames,
}

impl<F: Format> Engine<'_, F> {
    /// Where the budget ends if the entries of `[start, end)` are visited one by one.
    #[inline(never)]
    pub(super) fn reach_visiting(
        &self,
        cursor: &mut Cursor,
        start: u64,
        end: u64,
        cost: Cost,
        budget: &mut Budget,
    ) -> Result<u64> {
        cursor.begin(self, start, end);
        while cursor.next(self)? {
            let run = cursor.run;
            let size = entry_size(run.level);
            let mut at = run.gpa;
            if cost == Cost::Entry {
                let visited = budget.take(run.span.count() as u64);
                if visited < run.span.count() as u64 {
                    let whole = visited.wrapping_mul(size);
                    let part = if visited == 0 { 0 } else { at & size.wrapping_sub(1) };
                    return Ok(at.wrapping_add(whole).wrapping_sub(part));
                }
                continue;
            }
            for index in run.span.indices() {
                if budget.is_empty() {
                    return Ok(at);
                }
                let stop = end_of(at, size).min(end);
                let entry = self.entry(run.page, index)?;
                if entry.is_reserved() {
                    let most = entry.reservation().largest.min(run.level);
                    at = reach_filling(at, stop, most, budget);
                    if at < stop {
                        return Ok(at);
                    }
                } else {
                    budget.take(1);
                    at = stop;
                }
            }
        }
        Ok(end)
    }
}
