// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every call that changes the mappings of a range, as data: one way through the lock, the slices and the
//! books for all of it.

use super::Engine;
use super::arch::Format;
use super::budget::{Budget, Cost, reach_filling};
use super::content::Linear;
use super::entry::Reservation;
use super::geometry::{entry_size, fresh_tables};
use super::unmap::Flush;
use super::walk::{Cursor, Run};
use super::work::Work;
use crate::abi::axas_extent_t;
use crate::addr::{Bits, PAGE_SIZE};
use crate::error::{Error, Result};
use crate::flags::{Attributes, Permissions};

/// What is to be done to a range.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation<'a> {
    /// Map frames of the host.
    MapLinear(Linear),
    /// Map frames of the host, replacing the mappings of the range.
    ReplaceLinear(Linear),
    /// Map scattered frames of the host.
    MapExtents { extents: &'a [axas_extent_t], attributes: Attributes, most_level: u32 },
    /// Set memory aside.
    Reserve(Reservation),
    /// Map frames of the library.
    MapPopulated(Reservation),
    /// Mark an emulated device.
    Trap { cookie: u32 },
    /// Remove all mappings of the range.
    Unmap,
    /// As Unmap for the whole space, after a count of the tables.
    Clear,
    /// As Clear, and never refused.
    Destroy,
    /// Give what is mapped or reserved new permissions.
    Protect(Permissions),
    /// Take frames for what is reserved.
    Populate,
    /// Give the frames back, keep the reservations.
    Discard,
}

impl Operation<'_> {
    fn removes(&self) -> bool {
        matches!(self, Self::ReplaceLinear(_) | Self::Unmap | Self::Clear | Self::Destroy)
    }

    fn maps(&self) -> bool {
        matches!(
            self,
            Self::MapLinear(_)
                | Self::ReplaceLinear(_)
                | Self::MapExtents { .. }
                | Self::Reserve(_)
                | Self::MapPopulated(_)
                | Self::Trap { .. }
        )
    }

    fn populates(&self) -> bool {
        matches!(self, Self::MapPopulated(_) | Self::Populate)
    }

    fn flush(&self) -> Flush {
        if matches!(self, Self::Clear | Self::Destroy) { Flush::Always } else { Flush::IfNeeded }
    }
}

impl<F: Format> Engine<'_, F> {
    /// Does it to `[start, end)`, or to as much as a budget allows, all or nothing; where that ended.
    #[inline(always)]
    pub(crate) fn perform(
        &self,
        work: &mut Work,
        operation: &Operation<'_>,
        start: u64,
        end: u64,
        budget: &mut Budget,
    ) -> Result<u64> {
        let end = if budget.is_unlimited() {
            end
        } else {
            self.reach(work, operation, start, end, budget)?
        };
        if end.wrapping_sub(start) == PAGE_SIZE {
            let is_done = match operation {
                Operation::MapLinear(linear) => self.map_page(start, linear)?,
                Operation::Unmap => self.unmap_page(start)?,
                _ => false,
            };
            if is_done {
                return Ok(end);
            }
        }
        work.filled = start;
        let outcome = self.perform_on_range(work, operation, start, end);
        work.tables.give_back(self.ledger);
        if outcome.is_err() && work.filled > start {
            self.undo(work, start, work.filled)?;
        }
        outcome.map(|()| end)
    }

    /// The old mappings are removed first, then the new ones are made. Each step is called from here, so that
    /// no two of them stand on the stack together.
    #[inline(always)]
    fn perform_on_range(
        &self,
        work: &mut Work,
        operation: &Operation<'_>,
        start: u64,
        end: u64,
    ) -> Result<()> {
        match operation {
            Operation::Protect(permissions) => return self.protect(work, start, end, *permissions),
            Operation::Discard => return self.discard(work, start, end),
            // The tables are taken for an empty range, before anything changes. Between what goes and
            // what comes the range is flushed, as break-before-make asks.
            Operation::ReplaceLinear(linear) => {
                self.check_not_owned(&mut work.cursor, linear, start, end)?;
                let tables = fresh_tables(self.levels(), start, end, linear.leaf_level);
                work.tables.fill(self.ledger, tables)?;
            }
            Operation::Clear | Operation::Destroy if self.count_tables(&mut work.cursor)? => {
                self.flush_all(start, end);
                return Ok(());
            }
            _ => {}
        }
        if operation.removes() {
            self.unmap(work, start, end, operation.flush())?;
        }
        if operation.maps() {
            self.map(work, operation, start, end)?;
            work.filled = end;
        }
        if operation.populates() {
            self.populate(work, start, end)?;
        }
        Ok(())
    }

    /// That no frame of the library that stands in a range is one of those which are to replace it.
    #[inline(never)]
    fn check_not_owned(
        &self,
        cursor: &mut Cursor,
        linear: &Linear,
        start: u64,
        end: u64,
    ) -> Result<()> {
        let first = start.wrapping_add(linear.distance);
        let bytes = end.wrapping_sub(start);
        cursor.begin(self, start, end);
        while cursor.next(self)? {
            let Run { page, level, span, is_bare, .. } = cursor.run;
            let mut is_one = false;
            if !is_bare {
                self.open(page)?.for_each(span, |entry| {
                    let frame = entry.address().bits();
                    let meets = frame.wrapping_sub(first) < bytes
                        || first.wrapping_sub(frame) < entry_size(level);
                    is_one |= entry.is_hardware_visible() && entry.is_owned() && meets;
                });
            }
            if is_one {
                return Err(Error::InvalidInput);
            }
        }
        Ok(())
    }

    /// Where a slice of it ends that begins at `start` and has a budget. Maps look at all of the rest first,
    /// so that an overlap stops them before they begin.
    #[inline(never)]
    fn reach(
        &self,
        work: &mut Work,
        operation: &Operation<'_>,
        start: u64,
        end: u64,
        budget: &mut Budget,
    ) -> Result<u64> {
        let most_level = match operation {
            Operation::MapLinear(linear) => linear.leaf_level,
            Operation::Reserve(_) => self.levels(),
            Operation::MapPopulated(reservation) => reservation.largest,
            Operation::Populate => {
                return self.reach_visiting(&mut work.cursor, start, end, Cost::Frames, budget);
            }
            Operation::Unmap | Operation::Protect(_) | Operation::Discard => {
                return self.reach_visiting(&mut work.cursor, start, end, Cost::Entry, budget);
            }
            Operation::ReplaceLinear(_)
            | Operation::MapExtents { .. }
            | Operation::Trap { .. }
            | Operation::Clear
            | Operation::Destroy => return Ok(end),
        };
        self.survey(&mut work.cursor, operation, start, end)?;
        Ok(reach_filling(start, end, most_level, budget))
    }
}
