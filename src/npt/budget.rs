//! How far a call may go that has a budget of entries. Slices end on the boundaries of entries, so that
//! a range done in slices comes out as if it had been done at once.

use super::Engine;
use super::arch::Format;
use super::entry::State;
use super::geometry::entry_size;
use crate::error::{Error, Result};

/// Entries that may still be visited or written.
pub(crate) struct Budget(pub(crate) u64);

impl Budget {
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
    pub(crate) fn reach_visiting(
        &self,
        start: u64,
        end: u64,
        cost: Cost,
        budget: &mut Budget,
    ) -> Result<u64> {
        let mut reached = start;
        let walked = self.visit(start, end, |table, level, span, gpa| {
            let mask = entry_size(level).wrapping_sub(1);
            let mut at = gpa;
            for index in span.indices() {
                if budget.is_empty() {
                    return Err(Error::Again);
                }
                let stop = (at | mask).wrapping_add(1).min(end);
                let entry = table.load(index);
                reached = if cost == Cost::Frames && entry.state(level) == State::Reserved {
                    reach_filling(at, stop, entry.reservation().largest.min(level), budget)
                } else {
                    budget.take(1);
                    stop
                };
                if reached < stop {
                    return Err(Error::Again);
                }
                at = stop;
            }
            Ok(())
        });
        match walked {
            Ok(()) | Err(Error::Again) => Ok(reached),
            Err(error) => Err(error),
        }
    }
}
