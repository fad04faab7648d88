// SPDX-License-Identifier: MIT OR Apache-2.0
//! Operations that change the mappings of a range: arguments checked in the order that the interface
//! promises, then the engine put to work, at once or in slices.

use super::{AddressSpace, with_engine};
use crate::abi::{AXAS_REPLACE, axas_extent_t, axas_flags_t};
use crate::addr::is_page_aligned;
use crate::error::{Error, Result};
use crate::flags::{Attributes, MapFlags, MapOptions, Permissions, parse_permissions};
use crate::npt::arch::{Format, with_format};
use crate::npt::budget::Budget;
use crate::npt::content::Linear;
use crate::npt::entry::Reservation;
use crate::npt::operation::Operation;

const PAGE_SIZES: MapOptions =
    MapOptions::NO_HUGE.union(MapOptions::MAX_2M).union(MapOptions::NO_HUGE_EXEC);

/// Entries between two questions whether to yield.
const POLL_INTERVAL: u64 = 512;

/// How far a call in slices may go, and how far it went.
pub struct Slices {
    /// Entries to visit or write at most.
    pub budget: u64,
    /// Bytes done.
    pub done: u64,
}

impl AddressSpace {
    /// Maps frames of the host.
    pub fn map_linear(&self, gpa: u64, hpa: u64, size: u64, flags: axas_flags_t) -> Result<()> {
        let operation = self.plan_linear(gpa, hpa, size, flags, MapOptions::REPLACE);
        self.change(&operation, gpa, size, None)
    }

    /// Maps frames of the host in slices.
    pub fn map_linear_some(
        &self,
        gpa: u64,
        hpa: u64,
        size: u64,
        flags: axas_flags_t,
        slices: &mut Slices,
    ) -> Result<()> {
        let operation = self.plan_linear(gpa, hpa, size, flags, MapOptions::empty());
        self.change(&operation, gpa, size, Some(slices))
    }

    /// Maps scattered frames of the host side by side.
    pub fn map_extents(
        &self,
        gpa: u64,
        extents: &[axas_extent_t],
        flags: axas_flags_t,
    ) -> Result<()> {
        let size = extents.iter().fold(0, |sum: u64, extent| sum.saturating_add(extent.size));
        let operation = self.plan_extents(gpa, size, extents, flags);
        self.change(&operation, gpa, size, None)
    }

    /// Maps memory that the library takes from the host.
    pub fn map_alloc(&self, gpa: u64, size: u64, flags: axas_flags_t) -> Result<()> {
        let operation = self.plan_alloc(gpa, size, flags, MapOptions::REPLACE);
        self.change(&operation, gpa, size, None)
    }

    /// Maps memory that the library takes from the host in slices.
    pub fn map_alloc_some(
        &self,
        gpa: u64,
        size: u64,
        flags: axas_flags_t,
        slices: &mut Slices,
    ) -> Result<()> {
        let operation = self.plan_alloc(gpa, size, flags, MapOptions::empty());
        self.change(&operation, gpa, size, Some(slices))
    }

    /// Marks an emulated device.
    pub fn map_trap(&self, gpa: u64, size: u64, cookie: u64) -> Result<()> {
        self.map_trap_flags(gpa, size, cookie, 0)
    }

    /// Marks an emulated device, by a call that knows `AXAS_REPLACE`.
    pub fn map_trap_flags(
        &self,
        gpa: u64,
        size: u64,
        cookie: u64,
        flags: axas_flags_t,
    ) -> Result<()> {
        self.change(&self.plan_trap(gpa, size, cookie, flags), gpa, size, None)
    }

    /// Removes whatever stands in a range.
    pub fn unmap(&self, gpa: u64, size: u64) -> Result<()> {
        self.change(&self.plan_unmap(gpa, size), gpa, size, None)
    }

    /// Removes whatever stands in a range in slices.
    pub fn unmap_some(&self, gpa: u64, size: u64, slices: &mut Slices) -> Result<()> {
        self.change(&self.plan_unmap(gpa, size), gpa, size, Some(slices))
    }

    /// Gives what is mapped or reserved in a range new permissions.
    pub fn protect(&self, gpa: u64, size: u64, flags: axas_flags_t) -> Result<()> {
        self.change(&self.plan_protection(gpa, size, flags), gpa, size, None)
    }

    /// Gives what is mapped or reserved in a range new permissions in slices.
    pub fn protect_some(
        &self,
        gpa: u64,
        size: u64,
        flags: axas_flags_t,
        slices: &mut Slices,
    ) -> Result<()> {
        let operation = self.plan_protection(gpa, size, flags);
        self.change(&operation, gpa, size, Some(slices))
    }

    /// Takes frames for everything that is reserved in a range.
    pub fn populate(&self, gpa: u64, size: u64) -> Result<()> {
        let operation = self.plan_for(gpa, size, Operation::Populate);
        self.change(&operation, gpa, size, None)
    }

    /// Takes frames for everything that is reserved in a range in slices.
    pub fn populate_some(&self, gpa: u64, size: u64, slices: &mut Slices) -> Result<()> {
        let operation = self.plan_for(gpa, size, Operation::Populate);
        self.change(&operation, gpa, size, Some(slices))
    }

    /// Gives the frames of a range back; the reservation stays.
    pub fn discard(&self, gpa: u64, size: u64) -> Result<()> {
        let operation = self.plan_for(gpa, size, Operation::Discard);
        self.change(&operation, gpa, size, None)
    }

    /// Gives the frames of a range back in slices; the reservation stays.
    pub fn discard_some(&self, gpa: u64, size: u64, slices: &mut Slices) -> Result<()> {
        let operation = self.plan_for(gpa, size, Operation::Discard);
        self.change(&operation, gpa, size, Some(slices))
    }

    /// Gives back the empty tables that cover a part of a range.
    pub fn collect(&self, gpa: u64, size: u64) -> Result<()> {
        self.change(&self.plan_collect(gpa, size), gpa, size, None)
    }

    /// Gives back the empty tables that cover a part of a range, in slices.
    pub fn collect_some(&self, gpa: u64, size: u64, slices: &mut Slices) -> Result<()> {
        self.change(&self.plan_collect(gpa, size), gpa, size, Some(slices))
    }

    /// Runs an operation until the range is done, the budget is used up or the host wants to do something
    /// else; each slice takes the lock anew.
    #[inline(never)]
    pub(super) fn change(
        &self,
        operation: &Result<Operation<'_>>,
        gpa: u64,
        size: u64,
        mut slices: Option<&mut Slices>,
    ) -> Result<()> {
        if let Some(Slices { budget: 0, .. }) = slices {
            return Err(Error::InvalidInput);
        }
        let operation = operation.as_ref().map_err(|error| *error)?;
        let end = gpa.wrapping_add(size);
        let mut at = gpa;
        while at < end {
            let mut budget = match &slices {
                Some(slices) if self.npt.host.may_yield() => {
                    Budget(slices.budget.min(POLL_INTERVAL))
                }
                Some(slices) => Budget(slices.budget),
                None => Budget::UNLIMITED,
            };
            let given = budget.0;
            {
                let _guard = self.exclusive(!matches!(operation, Operation::Destroy))?;
                // SAFETY: the guard holds the lock exclusively.
                let work = unsafe { &mut *self.work.get() };
                let ledger = self.ledger_alone();
                at = with_engine!(self, &ledger, engine => {
                    engine.perform(work, operation, at, end, &mut budget)
                })?;
            }
            if let Some(slices) = &mut slices {
                slices.done = at.wrapping_sub(gpa);
                slices.budget = slices.budget.wrapping_sub(given.wrapping_sub(budget.0));
                if at < end && (slices.budget == 0 || self.npt.host.should_yield()) {
                    return Err(Error::Again);
                }
            }
        }
        Ok(())
    }

    fn plan_linear(
        &self,
        gpa: u64,
        hpa: u64,
        size: u64,
        flags: axas_flags_t,
        more_options: MapOptions,
    ) -> Result<Operation<'static>> {
        let flags = MapFlags::parse(flags, PAGE_SIZES | more_options)?;
        self.check_expressible(flags.attributes)?;
        hpa.checked_add(size).ok_or(Error::InvalidInput)?;
        gpa.checked_add(size).ok_or(Error::InvalidInput)?;
        if !is_page_aligned(hpa) {
            return Err(Error::InvalidInput);
        }
        self.checked_range(gpa, size)?;
        self.check_width(hpa, size)?;
        let most_level = self.largest_leaf(flags);
        let linear = Linear::new(hpa.wrapping_sub(gpa), flags.attributes, most_level);
        let operation = if flags.options.contains(MapOptions::REPLACE) {
            Operation::ReplaceLinear(linear)
        } else {
            Operation::MapLinear(linear)
        };
        Ok(operation)
    }

    fn plan_extents<'a>(
        &self,
        gpa: u64,
        size: u64,
        extents: &'a [axas_extent_t],
        flags: axas_flags_t,
    ) -> Result<Operation<'a>> {
        let flags = MapFlags::parse(flags, PAGE_SIZES)?;
        let attributes = flags.attributes;
        self.check_expressible(attributes)?;
        for extent in extents {
            extent.hpa.checked_add(extent.size).ok_or(Error::InvalidInput)?;
            if !is_page_aligned(extent.hpa | extent.size) || extent.size == 0 {
                return Err(Error::InvalidInput);
            }
        }
        self.checked_range(gpa, size)?;
        for extent in extents {
            self.check_width(extent.hpa, extent.size)?;
        }
        let most_level = self.largest_leaf(flags);
        Ok(Operation::MapExtents { extents, attributes, most_level })
    }

    fn plan_alloc(
        &self,
        gpa: u64,
        size: u64,
        flags: axas_flags_t,
        more_options: MapOptions,
    ) -> Result<Operation<'static>> {
        let allowed = PAGE_SIZES | MapOptions::POPULATE | MapOptions::HUGE_FRAMES | more_options;
        let flags = MapFlags::parse(flags, allowed)?;
        self.check_expressible(flags.attributes)?;
        let largest = if flags.options.contains(MapOptions::HUGE_FRAMES) {
            self.largest_leaf(flags)
        } else {
            1
        };
        let reservation = Reservation { attributes: flags.attributes, largest };
        if flags.options.contains(MapOptions::REPLACE) {
            return missing();
        }
        let operation = if flags.options.contains(MapOptions::POPULATE) {
            Operation::MapPopulated(reservation)
        } else {
            Operation::Reserve(reservation)
        };
        self.plan_for(gpa, size, operation)
    }

    fn plan_trap(
        &self,
        gpa: u64,
        size: u64,
        cookie: u64,
        flags: axas_flags_t,
    ) -> Result<Operation<'static>> {
        if flags & !AXAS_REPLACE != 0 {
            return Err(Error::InvalidInput);
        }
        let cookie = u32::try_from(cookie).map_err(|_| Error::Unsupported)?;
        if flags & AXAS_REPLACE != 0 {
            return missing();
        }
        self.plan_for(gpa, size, Operation::Trap { cookie })
    }

    fn plan_protection(
        &self,
        gpa: u64,
        size: u64,
        flags: axas_flags_t,
    ) -> Result<Operation<'static>> {
        if flags & !(Permissions::all().bits() | crate::abi::AXAS_USER) != 0 {
            return Err(Error::InvalidInput);
        }
        let permissions = parse_permissions(flags)?;
        with_format!(self.npt.format, F => {
            F::permissions(permissions, self.npt.features).map(|_| ())
        })?;
        self.plan_for(gpa, size, Operation::Protect(permissions))
    }

    fn plan_unmap(&self, gpa: u64, size: u64) -> Result<Operation<'static>> {
        gpa.checked_add(size).ok_or(Error::InvalidInput)?;
        let operation = Operation::Unmap;
        if size == 0 && is_page_aligned(gpa) {
            return Ok(operation);
        }
        self.plan_for(gpa, size, operation)
    }

    fn plan_collect(&self, gpa: u64, size: u64) -> Result<Operation<'static>> {
        let operation = missing()?;
        gpa.checked_add(size).ok_or(Error::InvalidInput)?;
        if size == 0 && is_page_aligned(gpa) {
            return Ok(operation);
        }
        self.plan_for(gpa, size, operation)
    }

    fn plan_for<T>(&self, gpa: u64, size: u64, operation: T) -> Result<T> {
        self.checked_range(gpa, size)?;
        Ok(operation)
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

    /// The largest level of leaf that flags allow in this space.
    #[inline(always)] // A map of one page is short.
    fn largest_leaf(&self, flags: MapFlags) -> u32 {
        let features = self.npt.features;
        let most = with_format!(self.npt.format, F => Ok(F::max_leaf_level(features))).unwrap_or(1);
        largest_leaf(flags, most, self.npt.small_exec)
    }
}

/// What the engine cannot do yet: the operations of AXAS_REPLACE on reservations and traps, and of axas_collect.
fn missing() -> Result<Operation<'static>> {
    Err(Error::Unsupported)
}

/// The largest level of leaf that flags allow of those that a format has, in a space whose executable pages
/// may have to be small.
pub(super) fn largest_leaf(flags: MapFlags, most: u32, small_exec: bool) -> u32 {
    let executable = flags.attributes.permissions.contains(Permissions::EXECUTE);
    let options = flags.options;
    if options.contains(MapOptions::NO_HUGE)
        || (small_exec || options.contains(MapOptions::NO_HUGE_EXEC)) && executable
    {
        1
    } else if options.contains(MapOptions::MAX_2M) {
        most.min(2)
    } else {
        most
    }
}
