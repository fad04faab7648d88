//! Operations that change what stands in a range: arguments checked in the order that the interface
//! promises, then the engine put to work, at once or in slices.

use super::{AddressSpace, with_engine, with_format};
use crate::abi::{axas_extent_t, axas_flags_t};
use crate::addr::{Bits, GuestRange, is_page_aligned};
use crate::error::{Error, Result};
use crate::flags::{Attributes, MapFlags, MapOptions, Permissions, parse_permissions};
use crate::logging;
use crate::npt::arch::Format;
use crate::npt::budget::Budget;
use crate::npt::content::Linear;
use crate::npt::entry::Reservation;
use crate::npt::operation::Operation;
use crate::npt::unmap::Flush;

const PAGE_SIZES: MapOptions =
    MapOptions::NO_HUGE.union(MapOptions::MAX_2M).union(MapOptions::NO_HUGE_EXEC);

/// Entries between two questions whether to yield.
const POLL_INTERVAL: u64 = 512;

/// A range, a budget of entries for it, and where to say how many bytes were done.
pub struct Sliced<'a> {
    /// First address.
    pub gpa: u64,
    /// Bytes.
    pub size: u64,
    /// Entries to visit or write at most.
    pub budget: u64,
    /// Bytes done.
    pub done: &'a mut u64,
}

/// An operation, checked, and the range it is for; no range where there is nothing to do.
pub(super) struct Plan<'a> {
    pub(super) range: Option<GuestRange>,
    pub(super) operation: Operation<'a>,
}

/// A call that changes the space, for the log, and what it comes to.
pub(super) struct Call<'a> {
    pub(super) target: &'static str,
    pub(super) name: &'static str,
    pub(super) gpa: u64,
    pub(super) size: u64,
    pub(super) plan: Result<Plan<'a>>,
}

impl AddressSpace {
    /// Maps frames of the host.
    pub fn map_linear(&self, gpa: u64, hpa: u64, size: u64, flags: axas_flags_t) -> Result<()> {
        let plan = self.plan_linear(gpa, hpa, size, flags, MapOptions::REPLACE);
        self.run_at_once("map_linear", gpa, size, plan)
    }

    /// Maps frames of the host in slices.
    pub fn map_linear_some(&self, sliced: Sliced<'_>, hpa: u64, flags: axas_flags_t) -> Result<()> {
        let plan = self.plan_linear(sliced.gpa, hpa, sliced.size, flags, MapOptions::empty());
        self.run_in_slices("map_linear_some", sliced, plan)
    }

    /// Maps scattered frames of the host side by side.
    pub fn map_extents(
        &self,
        gpa: u64,
        extents: &[axas_extent_t],
        flags: axas_flags_t,
    ) -> Result<()> {
        let size = extents.iter().fold(0, |sum: u64, extent| sum.saturating_add(extent.size));
        self.run_at_once("map_extents", gpa, size, self.plan_extents(gpa, size, extents, flags))
    }

    /// Maps memory that the library takes from the host.
    pub fn map_alloc(&self, gpa: u64, size: u64, flags: axas_flags_t) -> Result<()> {
        self.run_at_once("map_alloc", gpa, size, self.plan_alloc(gpa, size, flags))
    }

    /// Maps memory that the library takes from the host in slices.
    pub fn map_alloc_some(&self, sliced: Sliced<'_>, flags: axas_flags_t) -> Result<()> {
        let plan = self.plan_alloc(sliced.gpa, sliced.size, flags);
        self.run_in_slices("map_alloc_some", sliced, plan)
    }

    /// Marks an emulated device.
    pub fn map_trap(&self, gpa: u64, size: u64, cookie: u64) -> Result<()> {
        let plan = u32::try_from(cookie)
            .map_err(|_| Error::Unsupported)
            .and_then(|cookie| self.plan_for(gpa, size, Operation::Trap { cookie }));
        self.run_at_once("map_trap", gpa, size, plan)
    }

    /// Removes whatever stands in a range.
    pub fn unmap(&self, gpa: u64, size: u64) -> Result<()> {
        self.run_at_once("unmap", gpa, size, self.plan_unmap(gpa, size))
    }

    /// Removes whatever stands in a range in slices.
    pub fn unmap_some(&self, sliced: Sliced<'_>) -> Result<()> {
        let plan = self.plan_unmap(sliced.gpa, sliced.size);
        self.run_in_slices("unmap_some", sliced, plan)
    }

    /// Gives what is mapped or reserved in a range new permissions.
    pub fn protect(&self, gpa: u64, size: u64, flags: axas_flags_t) -> Result<()> {
        self.run_at_once("protect", gpa, size, self.plan_protection(gpa, size, flags))
    }

    /// Gives what is mapped or reserved in a range new permissions in slices.
    pub fn protect_some(&self, sliced: Sliced<'_>, flags: axas_flags_t) -> Result<()> {
        let plan = self.plan_protection(sliced.gpa, sliced.size, flags);
        self.run_in_slices("protect_some", sliced, plan)
    }

    /// Takes frames for everything that is reserved in a range.
    pub fn populate(&self, gpa: u64, size: u64) -> Result<()> {
        self.run_at_once("populate", gpa, size, self.plan_for(gpa, size, Operation::Populate))
    }

    /// Takes frames for everything that is reserved in a range in slices.
    pub fn populate_some(&self, sliced: Sliced<'_>) -> Result<()> {
        let plan = self.plan_for(sliced.gpa, sliced.size, Operation::Populate);
        self.run_in_slices("populate_some", sliced, plan)
    }

    /// Gives the frames of a range back; the reservation stays.
    pub fn discard(&self, gpa: u64, size: u64) -> Result<()> {
        self.run_at_once("discard", gpa, size, self.plan_for(gpa, size, Operation::Discard))
    }

    /// Gives the frames of a range back in slices; the reservation stays.
    pub fn discard_some(&self, sliced: Sliced<'_>) -> Result<()> {
        let plan = self.plan_for(sliced.gpa, sliced.size, Operation::Discard);
        self.run_in_slices("discard_some", sliced, plan)
    }

    #[inline(always)]
    fn run_at_once(
        &self,
        name: &'static str,
        gpa: u64,
        size: u64,
        plan: Result<Plan<'_>>,
    ) -> Result<()> {
        self.run(&Call { target: "map", name, gpa, size, plan }, None)
    }

    #[inline(always)]
    fn run_in_slices(
        &self,
        name: &'static str,
        mut sliced: Sliced<'_>,
        plan: Result<Plan<'_>>,
    ) -> Result<()> {
        let plan = if sliced.budget == 0 { Err(Error::InvalidInput) } else { plan };
        let (gpa, size) = (sliced.gpa, sliced.size);
        self.run(&Call { target: "map", name, gpa, size, plan }, Some(&mut sliced))
    }

    /// Does what was planned, at once or in slices, and tells the log.
    #[inline(never)]
    pub(super) fn run(&self, call: &Call<'_>, slices: Option<&mut Sliced<'_>>) -> Result<()> {
        let outcome = match &call.plan {
            Err(error) => Err(*error),
            Ok(Plan { range: None, .. }) => Ok(()),
            Ok(Plan { range: Some(range), operation }) => self.change(operation, range, slices),
        };
        logging::outcome(call.target, call.name, call.gpa, call.size, outcome)
    }

    /// Runs an operation until the range is done, the budget is used up or the host wants to do something
    /// else; each slice takes the lock anew.
    #[inline(always)]
    fn change(
        &self,
        operation: &Operation<'_>,
        range: &GuestRange,
        mut slices: Option<&mut Sliced<'_>>,
    ) -> Result<()> {
        let (start, end) = (range.start.bits(), range.end.bits());
        let most = if self.npt.host.may_yield() { POLL_INTERVAL } else { u64::MAX };
        let mut at = start;
        loop {
            let given = slices.as_ref().map(|slices| slices.budget.min(most));
            let mut rest = given.map(Budget);
            {
                let _guard = self.exclusive()?;
                // SAFETY: the guard: nobody else runs.
                let work = unsafe { &mut *self.work.get() };
                let ledger = self.ledger_alone();
                at = with_engine!(self, &ledger, engine => {
                    engine.perform_slice(work, operation, at, end, rest.as_mut())
                })?;
            }
            let (Some(slices), Some(given), Some(rest)) = (&mut slices, given, rest) else {
                return Ok(());
            };
            *slices.done = at.wrapping_sub(start);
            slices.budget = slices.budget.wrapping_sub(given.wrapping_sub(rest.0));
            if at >= end {
                return Ok(());
            }
            if slices.budget == 0 || self.npt.host.should_yield() {
                return Err(Error::Again);
            }
        }
    }

    fn plan_linear(
        &self,
        gpa: u64,
        hpa: u64,
        size: u64,
        flags: axas_flags_t,
        more_options: MapOptions,
    ) -> Result<Plan<'static>> {
        let flags = MapFlags::parse(flags, PAGE_SIZES | more_options)?;
        self.check_expressible(flags.attributes)?;
        hpa.checked_add(size).ok_or(Error::InvalidInput)?;
        gpa.checked_add(size).ok_or(Error::InvalidInput)?;
        if !is_page_aligned(hpa) {
            return Err(Error::InvalidInput);
        }
        let range = self.checked_range(gpa, size)?;
        self.check_width(hpa, size)?;
        let most_level = largest_leaf(flags, self.max_leaf_level());
        let linear = Linear::new(hpa.wrapping_sub(gpa), flags.attributes, most_level);
        let operation = if flags.options.contains(MapOptions::REPLACE) {
            Operation::ReplaceLinear(linear)
        } else {
            Operation::MapLinear(linear)
        };
        Ok(Plan { range: Some(range), operation })
    }

    fn plan_extents<'a>(
        &self,
        gpa: u64,
        size: u64,
        extents: &'a [axas_extent_t],
        flags: axas_flags_t,
    ) -> Result<Plan<'a>> {
        let flags = MapFlags::parse(flags, PAGE_SIZES)?;
        let attributes = flags.attributes;
        self.check_expressible(attributes)?;
        for extent in extents {
            extent.hpa.checked_add(extent.size).ok_or(Error::InvalidInput)?;
            if !is_page_aligned(extent.hpa | extent.size) || extent.size == 0 {
                return Err(Error::InvalidInput);
            }
        }
        let range = self.checked_range(gpa, size)?;
        for extent in extents {
            self.check_width(extent.hpa, extent.size)?;
        }
        let most_level = largest_leaf(flags, self.max_leaf_level());
        let operation = Operation::MapExtents { extents, attributes, most_level };
        Ok(Plan { range: Some(range), operation })
    }

    fn plan_alloc(&self, gpa: u64, size: u64, flags: axas_flags_t) -> Result<Plan<'static>> {
        let allowed = PAGE_SIZES | MapOptions::POPULATE | MapOptions::HUGE_FRAMES;
        let flags = MapFlags::parse(flags, allowed)?;
        self.check_expressible(flags.attributes)?;
        let largest = if flags.options.contains(MapOptions::HUGE_FRAMES) {
            largest_leaf(flags, self.max_leaf_level())
        } else {
            1
        };
        let reservation = Reservation { attributes: flags.attributes, largest };
        let operation = if flags.options.contains(MapOptions::POPULATE) {
            Operation::MapPopulated(reservation)
        } else {
            Operation::Reserve(reservation)
        };
        self.plan_for(gpa, size, operation)
    }

    fn plan_protection(&self, gpa: u64, size: u64, flags: axas_flags_t) -> Result<Plan<'static>> {
        if flags & !(Permissions::all().bits() | crate::abi::AXAS_USER) != 0 {
            return Err(Error::InvalidInput);
        }
        let permissions = parse_permissions(flags)?;
        with_format!(self.npt.format, F => {
            F::permissions(permissions, self.npt.features).map(|_| ())
        })?;
        self.plan_for(gpa, size, Operation::Protect(permissions))
    }

    fn plan_unmap(&self, gpa: u64, size: u64) -> Result<Plan<'static>> {
        gpa.checked_add(size).ok_or(Error::InvalidInput)?;
        let operation = Operation::Unmap(Flush::IfNeeded);
        if size == 0 && is_page_aligned(gpa) {
            return Ok(Plan { range: None, operation });
        }
        self.plan_for(gpa, size, operation)
    }

    fn plan_for<'a>(&self, gpa: u64, size: u64, operation: Operation<'a>) -> Result<Plan<'a>> {
        Ok(Plan { range: Some(self.checked_range(gpa, size)?), operation })
    }

    /// Whether the format can say these attributes.
    fn check_expressible(&self, attributes: Attributes) -> Result<()> {
        with_format!(self.npt.format, F => {
            F::leaf(attributes, self.npt.features, 1).map(|_| ())
        })
    }

    fn check_width(&self, hpa: u64, size: u64) -> Result<()> {
        if self.npt.host.is_in_width(hpa, size) { Ok(()) } else { Err(Error::InvalidInput) }
    }

    fn max_leaf_level(&self) -> u32 {
        let features = self.npt.features;
        with_format!(self.npt.format, F => Ok(F::max_leaf_level(features))).unwrap_or(1)
    }
}

/// The largest level of leaf that flags allow of those that a format has.
pub(super) fn largest_leaf(flags: MapFlags, most: u32) -> u32 {
    let executable = flags.attributes.permissions.contains(Permissions::EXECUTE);
    let options = flags.options;
    if options.contains(MapOptions::NO_HUGE)
        || options.contains(MapOptions::NO_HUGE_EXEC) && executable
    {
        1
    } else if options.contains(MapOptions::MAX_2M) {
        most.min(2)
    } else {
        most
    }
}
