//! Everything that changes what stands in a range, as data: one way through the lock, the slices and the
//! books for all of it.

use super::Engine;
use super::arch::Format;
use super::budget::{Budget, Cost, reach_filling};
use super::content::congruent_level;
use super::entry::Reservation;
use super::unmap::Flush;
use crate::abi::axas_extent_t;
use crate::addr::PAGE_SIZE;
use crate::error::Result;
use crate::flags::{Attributes, Permissions};

/// What is to be done to a range.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation<'a> {
    /// Map frames of the host.
    MapLinear(Linear),
    /// Map frames of the host in the place of whatever stands there.
    ReplaceLinear(Linear),
    /// Map scattered frames of the host.
    MapExtents { extents: &'a [axas_extent_t], attributes: Attributes, most_level: u32 },
    /// Set memory aside.
    Reserve(Reservation),
    /// Map frames of the library.
    MapPopulated(Reservation),
    /// Mark an emulated device.
    Trap { cookie: u32 },
    /// Remove whatever stands there.
    Unmap(Flush),
    /// As Unmap for the whole space, after a count of the tables.
    Clear,
    /// Give what is mapped or reserved new permissions.
    Protect(Permissions),
    /// Take frames for what is reserved.
    Populate,
    /// Give the frames back, keep the reservations.
    Discard,
}

/// Frames of the host at a fixed distance from the guest's addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Linear {
    /// Host address less guest address, mod 2^64.
    pub(crate) distance: u64,
    pub(crate) attributes: Attributes,
    /// The largest leaf that flags and features allow.
    pub(crate) most_level: u32,
}

impl<F: Format> Engine<'_, F> {
    /// Does it to `[start, end)`, all or nothing.
    pub(crate) fn perform(&self, operation: &Operation<'_>, start: u64, end: u64) -> Result<()> {
        if end.wrapping_sub(start) == PAGE_SIZE {
            let is_done = match operation {
                Operation::MapLinear(linear) => self.map_page(start, linear)?,
                Operation::Unmap(Flush::IfNeeded) => self.unmap_page(start)?,
                _ => false,
            };
            if is_done {
                return Ok(());
            }
        }
        self.perform_on_range(operation, start, end)
    }

    #[inline(never)]
    fn perform_on_range(&self, operation: &Operation<'_>, start: u64, end: u64) -> Result<()> {
        match *operation {
            Operation::MapLinear(Linear { distance, attributes, most_level }) => {
                self.map_linear(start, end, distance, attributes, most_level)
            }
            Operation::ReplaceLinear(Linear { distance, attributes, most_level }) => {
                self.replace_linear(start, end, distance, attributes, most_level)
            }
            Operation::MapExtents { extents, attributes, most_level } => {
                self.map_extents(start, end, extents, attributes, most_level)
            }
            Operation::Reserve(reservation) => self.reserve(start, end, reservation),
            Operation::MapPopulated(reservation) => self.map_populated(start, end, reservation),
            Operation::Trap { cookie } => self.trap(start, end, cookie),
            Operation::Unmap(flush) => self.unmap(start, end, flush),
            Operation::Clear => {
                if self.count_tables()? {
                    self.flush_all(start, end);
                    return Ok(());
                }
                self.unmap(start, end, Flush::Always)
            }
            Operation::Protect(permissions) => self.protect(start, end, permissions),
            Operation::Populate => self.populate(start, end),
            Operation::Discard => self.discard(start, end),
        }
    }

    /// Where a slice of it ends that begins at `start` and has a budget. Maps look at all of the rest first,
    /// so that an overlap stops them before they begin.
    #[inline(never)]
    pub(crate) fn reach(
        &self,
        operation: &Operation<'_>,
        start: u64,
        end: u64,
        budget: &mut Budget,
    ) -> Result<u64> {
        let most_level = match *operation {
            Operation::MapLinear(linear) => congruent_level(linear.distance, linear.most_level),
            Operation::Reserve(_) => self.levels(),
            Operation::MapPopulated(reservation) => reservation.largest,
            Operation::Populate => return self.reach_visiting(start, end, Cost::Frames, budget),
            Operation::Unmap(_) | Operation::Protect(_) | Operation::Discard => {
                return self.reach_visiting(start, end, Cost::Entry, budget);
            }
            Operation::ReplaceLinear(_)
            | Operation::MapExtents { .. }
            | Operation::Trap { .. }
            | Operation::Clear => return Ok(end),
        };
        self.check_empty(start, end)?;
        Ok(reach_filling(start, end, most_level, budget))
    }
}
