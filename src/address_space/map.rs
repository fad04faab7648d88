//! Operations that change what stands in a range: arguments checked in the order that the interface
//! promises, then the engine put to work, at once or in slices.

use super::{AddressSpace, Slices, with_format};
use crate::abi::{axas_extent_t, axas_flags_t};
use crate::addr::{Bits, GuestRange, is_page_aligned};
use crate::error::{Error, Result};
use crate::flags::{Attributes, MapFlags, MapOptions, Permissions, parse_permissions};
use crate::logging;
use crate::npt::arch::Format;
use crate::npt::entry::Reservation;
use crate::npt::operation::{Linear, Operation};
use crate::npt::unmap::Flush;

const PAGE_SIZES: MapOptions =
    MapOptions::NO_HUGE.union(MapOptions::MAX_2M).union(MapOptions::NO_HUGE_EXEC);

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
type Plan<'a> = (Option<GuestRange>, Operation<'a>);

impl AddressSpace {
    /// Maps frames of the host.
    pub fn map_linear(&self, gpa: u64, hpa: u64, size: u64, flags: axas_flags_t) -> Result<()> {
        let plan = self.plan_linear(gpa, hpa, size, flags, MapOptions::REPLACE);
        self.perform("map_linear", gpa, size, plan, None)
    }

    /// Maps frames of the host in slices.
    pub fn map_linear_some(&self, sliced: Sliced<'_>, hpa: u64, flags: axas_flags_t) -> Result<()> {
        let plan = self.plan_linear(sliced.gpa, hpa, sliced.size, flags, MapOptions::empty());
        self.perform_some("map_linear_some", sliced, plan)
    }

    /// Maps scattered frames of the host side by side.
    pub fn map_extents(
        &self,
        gpa: u64,
        extents: &[axas_extent_t],
        flags: axas_flags_t,
    ) -> Result<()> {
        let size = extents.iter().fold(0, |sum: u64, extent| sum.saturating_add(extent.size));
        let plan = self.plan_extents(gpa, size, extents, flags);
        self.perform("map_extents", gpa, size, plan, None)
    }

    /// Maps memory that the library takes from the host.
    pub fn map_alloc(&self, gpa: u64, size: u64, flags: axas_flags_t) -> Result<()> {
        self.perform("map_alloc", gpa, size, self.plan_alloc(gpa, size, flags), None)
    }

    /// Maps memory that the library takes from the host in slices.
    pub fn map_alloc_some(&self, sliced: Sliced<'_>, flags: axas_flags_t) -> Result<()> {
        let plan = self.plan_alloc(sliced.gpa, sliced.size, flags);
        self.perform_some("map_alloc_some", sliced, plan)
    }

    /// Marks an emulated device.
    pub fn map_trap(&self, gpa: u64, size: u64, cookie: u64) -> Result<()> {
        let plan = u32::try_from(cookie)
            .map_err(|_| Error::Unsupported)
            .and_then(|cookie| self.plan_for(gpa, size, Operation::Trap { cookie }));
        self.perform("map_trap", gpa, size, plan, None)
    }

    /// Removes whatever stands in a range.
    pub fn unmap(&self, gpa: u64, size: u64) -> Result<()> {
        self.perform("unmap", gpa, size, self.plan_unmap(gpa, size), None)
    }

    /// Removes whatever stands in a range in slices.
    pub fn unmap_some(&self, sliced: Sliced<'_>) -> Result<()> {
        let plan = self.plan_unmap(sliced.gpa, sliced.size);
        self.perform_some("unmap_some", sliced, plan)
    }

    /// Gives what is mapped or reserved in a range new permissions.
    pub fn protect(&self, gpa: u64, size: u64, flags: axas_flags_t) -> Result<()> {
        self.perform("protect", gpa, size, self.plan_protection(gpa, size, flags), None)
    }

    /// Gives what is mapped or reserved in a range new permissions in slices.
    pub fn protect_some(&self, sliced: Sliced<'_>, flags: axas_flags_t) -> Result<()> {
        let plan = self.plan_protection(sliced.gpa, sliced.size, flags);
        self.perform_some("protect_some", sliced, plan)
    }

    /// Takes frames for everything that is reserved in a range.
    pub fn populate(&self, gpa: u64, size: u64) -> Result<()> {
        let plan = self.plan_for(gpa, size, Operation::Populate);
        self.perform("populate", gpa, size, plan, None)
    }

    /// Takes frames for everything that is reserved in a range in slices.
    pub fn populate_some(&self, sliced: Sliced<'_>) -> Result<()> {
        let plan = self.plan_for(sliced.gpa, sliced.size, Operation::Populate);
        self.perform_some("populate_some", sliced, plan)
    }

    /// Gives the frames of a range back; the reservation stays.
    pub fn discard(&self, gpa: u64, size: u64) -> Result<()> {
        let plan = self.plan_for(gpa, size, Operation::Discard);
        self.perform("discard", gpa, size, plan, None)
    }

    /// Gives the frames of a range back in slices; the reservation stays.
    pub fn discard_some(&self, sliced: Sliced<'_>) -> Result<()> {
        let plan = self.plan_for(sliced.gpa, sliced.size, Operation::Discard);
        self.perform_some("discard_some", sliced, plan)
    }

    fn perform_some(
        &self,
        call: &'static str,
        sliced: Sliced<'_>,
        plan: Result<Plan<'_>>,
    ) -> Result<()> {
        let plan = if sliced.budget == 0 { Err(Error::InvalidInput) } else { plan };
        let slices = Slices { budget: sliced.budget, done: sliced.done };
        self.perform(call, sliced.gpa, sliced.size, plan, Some(slices))
    }

    /// Does what was planned, at once or in slices, and tells the log.
    fn perform(
        &self,
        call: &'static str,
        gpa: u64,
        size: u64,
        plan: Result<Plan<'_>>,
        slices: Option<Slices<'_>>,
    ) -> Result<()> {
        let outcome = match (plan, slices) {
            (Err(error), _) => Err(error),
            (Ok((None, _)), _) => Ok(()),
            (Ok((Some(range), operation)), None) => {
                self.change(&operation, range.start.bits(), range.end.bits(), None).map(|_| ())
            }
            (Ok((Some(range), operation)), Some(slices)) => {
                self.change_in_slices(&operation, range, slices)
            }
        };
        logging::outcome("map", call, gpa, size, outcome)
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
        let linear = Linear {
            distance: hpa.wrapping_sub(gpa),
            attributes: flags.attributes,
            most_level: largest_leaf(flags, self.max_leaf_level()),
        };
        let operation = if flags.options.contains(MapOptions::REPLACE) {
            Operation::ReplaceLinear(linear)
        } else {
            Operation::MapLinear(linear)
        };
        Ok((Some(range), operation))
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
        Ok((Some(range), Operation::MapExtents { extents, attributes, most_level }))
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
            return Ok((None, operation));
        }
        self.plan_for(gpa, size, operation)
    }

    fn plan_for<'a>(&self, gpa: u64, size: u64, operation: Operation<'a>) -> Result<Plan<'a>> {
        Ok((Some(self.checked_range(gpa, size)?), operation))
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
