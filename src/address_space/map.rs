// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls that change the mappings of a range: arguments checked in the order that the interface promises, then
//! the engine put to work under the lock, at once or in slices.
//!
//! Each call names what it does by a function of its own, so that a host links what it calls and nothing else.

use super::AddressSpace;
use crate::abi::{AXAS_REPLACE, axas_extent_t, axas_flags_t};
use crate::addr::is_page_aligned;
use crate::error::{Error, Result};
use crate::flags::{MapFlags, MapOptions, Permissions, parse_permissions};
use crate::npt::arch::{Format, with_format};
use crate::npt::content::Content;
use crate::npt::entry::{EncodedPermissions, Entry, Reservation};
use crate::npt::slices::{Budget, Cost};
use crate::npt::units::{Gpa, GpaRange, Level};
use crate::npt::work::Work;

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

/// What a call does to a range, under the lock.
type Act<'f> = dyn FnMut(&mut Work, GpaRange) -> Result<()> + 'f;

/// Where a slice of a range ends, under the lock.
type Reach<'f> = dyn FnMut(&mut Work, GpaRange, &mut Budget) -> Result<Gpa> + 'f;

/// A linear map, with its arguments checked.
struct Linear<F> {
    range: GpaRange,
    extent: [axas_extent_t; 1],
    template: Entry<F>,
    most: Level,
    replaces: bool,
}

impl<F: Format> Linear<F> {
    fn content(&self) -> Content<'_, F> {
        Content::frames(self.template, self.range.start, &self.extent, self.most)
    }
}

/// A reservation, with its arguments checked.
struct Lazy {
    range: GpaRange,
    reservation: Reservation,
    options: MapOptions,
}

impl Lazy {
    fn content<F: Format>(&self) -> Content<'static, F> {
        Content::same(Entry::reserved(self.reservation))
    }
}

impl AddressSpace {
    /// Maps frames of the host.
    pub fn map_linear(&self, gpa: u64, hpa: u64, size: u64, flags: axas_flags_t) -> Result<()> {
        with_format!(self.npt.format, F => {
            let linear = self.linear::<F>(gpa, hpa, size, flags, MapOptions::REPLACE)?;
            let content = linear.content();
            if linear.replaces {
                self.alone(linear.range, &mut |work, range| self.npt.replace(work, &content, range))
            } else {
                self.alone(linear.range, &mut |work, range| self.npt.map(work, &content, range))
            }
        })
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
        with_format!(self.npt.format, F => {
            let linear = self.linear::<F>(gpa, hpa, size, flags, MapOptions::empty())?;
            let content = linear.content();
            self.in_slices(
                linear.range,
                slices,
                &mut |work, range, budget| self.npt.reach_map(work, &content, range, budget),
                &mut |work, range| self.npt.map(work, &content, range),
            )
        })
    }

    /// Maps scattered frames of the host side by side.
    pub fn map_extents(
        &self,
        gpa: u64,
        extents: &[axas_extent_t],
        flags: axas_flags_t,
    ) -> Result<()> {
        let size = extents.iter().fold(0, |sum: u64, extent| sum.saturating_add(extent.size));
        with_format!(self.npt.format, F => {
            let flags = MapFlags::parse(flags, PAGE_SIZES)?;
            let template = Entry::<F>::leaf_template(flags.attributes, self.npt.features, 1, false)?;
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
            let most = self.largest_leaf::<F>(flags);
            let content = Content::frames(template, range.start, extents, most);
            self.alone(range, &mut |work, range| self.npt.map(work, &content, range))
        })
    }

    /// Maps memory that the library takes from the host.
    pub fn map_alloc(&self, gpa: u64, size: u64, flags: axas_flags_t) -> Result<()> {
        with_format!(self.npt.format, F => {
            let lazy = self.lazy::<F>(gpa, size, flags, MapOptions::REPLACE)?;
            let content = lazy.content::<F>();
            if lazy.options.contains(MapOptions::REPLACE) {
                self.alone(lazy.range, &mut |work, range| self.npt.replace(work, &content, range))
            } else if lazy.options.contains(MapOptions::POPULATE) {
                self.alone(lazy.range, &mut |work, range| {
                    self.npt.map_populated(work, &content, range)
                })
            } else {
                self.alone(lazy.range, &mut |work, range| self.npt.map(work, &content, range))
            }
        })
    }

    /// Maps memory that the library takes from the host in slices.
    pub fn map_alloc_some(
        &self,
        gpa: u64,
        size: u64,
        flags: axas_flags_t,
        slices: &mut Slices,
    ) -> Result<()> {
        with_format!(self.npt.format, F => {
            let lazy = self.lazy::<F>(gpa, size, flags, MapOptions::empty())?;
            let content = lazy.content::<F>();
            let npt = &self.npt;
            if lazy.options.contains(MapOptions::POPULATE) {
                let largest = Level::new(lazy.reservation.largest);
                self.in_slices(
                    lazy.range,
                    slices,
                    &mut |work, range, budget| {
                        npt.reach_populated(work, &content, largest, range, budget)
                    },
                    &mut |work, range| npt.map_populated(work, &content, range),
                )
            } else {
                self.in_slices(
                    lazy.range,
                    slices,
                    &mut |work, range, budget| npt.reach_map(work, &content, range, budget),
                    &mut |work, range| npt.map(work, &content, range),
                )
            }
        })
    }

    /// Marks an emulated device.
    pub fn map_trap(&self, gpa: u64, size: u64, cookie: u64) -> Result<()> {
        with_format!(self.npt.format, F => {
            let content = trap::<F>(cookie)?;
            let range = self.checked_range(gpa, size)?;
            self.alone(range, &mut |work, range| self.npt.map(work, &content, range))
        })
    }

    /// Marks an emulated device, by a call that knows `AXAS_REPLACE`.
    pub fn map_trap_flags(
        &self,
        gpa: u64,
        size: u64,
        cookie: u64,
        flags: axas_flags_t,
    ) -> Result<()> {
        match flags {
            0 => self.map_trap(gpa, size, cookie),
            AXAS_REPLACE => with_format!(self.npt.format, F => {
                let content = trap::<F>(cookie)?;
                let range = self.checked_range(gpa, size)?;
                self.alone(range, &mut |work, range| self.npt.replace(work, &content, range))
            }),
            _ => Err(Error::InvalidInput),
        }
    }

    /// Removes whatever is in a range.
    pub fn unmap(&self, gpa: u64, size: u64) -> Result<()> {
        let Some(range) = self.range_or_nothing(gpa, size)? else { return Ok(()) };
        with_format!(self.npt.format, F => {
            self.alone(range, &mut |work, range| self.npt.unmap::<F>(work, range))
        })
    }

    /// Removes whatever is in a range in slices.
    pub fn unmap_some(&self, gpa: u64, size: u64, slices: &mut Slices) -> Result<()> {
        let Some(range) = self.range_or_nothing(gpa, size)? else { return slices.nothing() };
        with_format!(self.npt.format, F => {
            let npt = &self.npt;
            self.in_slices(
                range,
                slices,
                &mut |work, range, budget| npt.reach::<F>(work, range, Cost::Entry, budget),
                &mut |work, range| npt.unmap::<F>(work, range),
            )
        })
    }

    /// Gives back the empty tables that cover a part of a range.
    pub fn collect(&self, gpa: u64, size: u64) -> Result<()> {
        let Some(range) = self.range_or_nothing(gpa, size)? else { return Ok(()) };
        with_format!(self.npt.format, F => {
            self.alone(range, &mut |work, range| self.npt.collect::<F>(work, range))
        })
    }

    /// Gives back the empty tables that cover a part of a range, in slices.
    pub fn collect_some(&self, gpa: u64, size: u64, slices: &mut Slices) -> Result<()> {
        let Some(range) = self.range_or_nothing(gpa, size)? else { return slices.nothing() };
        with_format!(self.npt.format, F => {
            let npt = &self.npt;
            self.in_slices(
                range,
                slices,
                &mut |work, range, budget| npt.reach::<F>(work, range, Cost::Entry, budget),
                &mut |work, range| npt.collect::<F>(work, range),
            )
        })
    }

    /// Gives what is mapped or reserved in a range new permissions.
    pub fn protect(&self, gpa: u64, size: u64, flags: axas_flags_t) -> Result<()> {
        with_format!(self.npt.format, F => {
            let (to, encoded) = self.permissions::<F>(flags)?;
            let range = self.checked_range(gpa, size)?;
            self.alone(range, &mut |work, range| self.npt.protect::<F>(work, range, to, encoded))
        })
    }

    /// Gives what is mapped or reserved in a range new permissions in slices.
    pub fn protect_some(
        &self,
        gpa: u64,
        size: u64,
        flags: axas_flags_t,
        slices: &mut Slices,
    ) -> Result<()> {
        with_format!(self.npt.format, F => {
            let (to, encoded) = self.permissions::<F>(flags)?;
            let range = self.checked_range(gpa, size)?;
            let npt = &self.npt;
            self.in_slices(
                range,
                slices,
                &mut |work, range, budget| npt.reach::<F>(work, range, Cost::Entry, budget),
                &mut |work, range| npt.protect::<F>(work, range, to, encoded),
            )
        })
    }

    /// Takes frames for everything that is reserved in a range.
    pub fn populate(&self, gpa: u64, size: u64) -> Result<()> {
        let range = self.checked_range(gpa, size)?;
        with_format!(self.npt.format, F => {
            self.alone(range, &mut |work, range| self.npt.populate::<F>(work, range))
        })
    }

    /// Takes frames for everything that is reserved in a range in slices.
    pub fn populate_some(&self, gpa: u64, size: u64, slices: &mut Slices) -> Result<()> {
        let range = self.checked_range(gpa, size)?;
        with_format!(self.npt.format, F => {
            let npt = &self.npt;
            self.in_slices(
                range,
                slices,
                &mut |work, range, budget| npt.reach::<F>(work, range, Cost::Frames, budget),
                &mut |work, range| npt.populate::<F>(work, range),
            )
        })
    }

    /// Gives the frames of a range back; the reservation stays.
    pub fn discard(&self, gpa: u64, size: u64) -> Result<()> {
        let range = self.checked_range(gpa, size)?;
        with_format!(self.npt.format, F => {
            self.alone(range, &mut |work, range| self.npt.discard::<F>(work, range))
        })
    }

    /// Gives the frames of a range back in slices; the reservation stays.
    pub fn discard_some(&self, gpa: u64, size: u64, slices: &mut Slices) -> Result<()> {
        let range = self.checked_range(gpa, size)?;
        with_format!(self.npt.format, F => {
            let npt = &self.npt;
            self.in_slices(
                range,
                slices,
                &mut |work, range, budget| npt.reach::<F>(work, range, Cost::Entry, budget),
                &mut |work, range| npt.discard::<F>(work, range),
            )
        })
    }

    /// Removes everything; the space is as new, counters go on.
    pub fn clear(&self) -> Result<()> {
        self.remove_all(true)
    }

    /// Removes everything, and has hardware told even if nothing was there; with `AXAS_NO_WAIT` that may be
    /// refused, if it `may_be`.
    pub(super) fn remove_all(&self, may_be_refused: bool) -> Result<()> {
        with_format!(self.npt.format, F => {
            let act = &mut |work: &mut Work, range| self.npt.remove_all::<F>(work, range);
            self.hold(may_be_refused, self.npt.range, act)
        })
    }

    /// Does it with the lock held alone.
    fn alone(&self, range: GpaRange, act: &mut Act<'_>) -> Result<()> {
        self.hold(true, range, act)
    }

    #[inline(never)]
    fn hold(&self, may_be_refused: bool, range: GpaRange, act: &mut Act<'_>) -> Result<()> {
        let _guard = self.exclusive(may_be_refused)?;
        // SAFETY: the guard holds the lock exclusively.
        let work = unsafe { &mut *self.work.get() };
        let outcome = act(work, range);
        work.stock.give_back(&self.npt);
        outcome
    }

    /// Does it until the range is done, the budget is used up or the host wants to do something else; each
    /// slice takes the lock anew.
    #[inline(never)]
    fn in_slices(
        &self,
        range: GpaRange,
        slices: &mut Slices,
        reach: &mut Reach<'_>,
        act: &mut Act<'_>,
    ) -> Result<()> {
        slices.nothing()?;
        let host = &self.npt.host;
        let mut at = range.start;
        while at < range.end {
            let given = if host.may_yield() {
                slices.budget.min(POLL_INTERVAL)
            } else {
                slices.budget
            };
            let mut budget = Budget(given);
            self.hold(true, range.from(at), &mut |work, rest| {
                let end = reach(work, rest, &mut budget)?;
                if end > rest.start {
                    act(work, GpaRange::new(rest.start, end))?;
                }
                at = end;
                Ok(())
            })?;
            slices.done = at.minus(range.start);
            slices.budget = slices.budget.wrapping_sub(given.wrapping_sub(budget.0));
            if at < range.end && (slices.budget == 0 || host.should_yield()) {
                return Err(Error::Again);
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn linear<F: Format>(
        &self,
        gpa: u64,
        hpa: u64,
        size: u64,
        flags: axas_flags_t,
        more_options: MapOptions,
    ) -> Result<Linear<F>> {
        let flags = MapFlags::parse(flags, PAGE_SIZES | more_options)?;
        let template = Entry::leaf_template(flags.attributes, self.npt.features, 1, false)?;
        if !is_page_aligned(hpa) {
            return Err(Error::InvalidInput);
        }
        let range = self.checked_range(gpa, size)?;
        self.check_width(hpa, size)?;
        Ok(Linear {
            range,
            extent: [axas_extent_t { hpa, size }],
            template,
            most: self.largest_leaf::<F>(flags),
            replaces: flags.options.contains(MapOptions::REPLACE),
        })
    }

    #[inline(always)]
    fn lazy<F: Format>(
        &self,
        gpa: u64,
        size: u64,
        flags: axas_flags_t,
        more_options: MapOptions,
    ) -> Result<Lazy> {
        let allowed = PAGE_SIZES | MapOptions::POPULATE | MapOptions::HUGE_FRAMES | more_options;
        let flags = MapFlags::parse(flags, allowed)?;
        let options = flags.options;
        F::leaf(flags.attributes, self.npt.features, 1)?;
        if options.contains(MapOptions::REPLACE | MapOptions::POPULATE) {
            return Err(Error::InvalidInput);
        }
        let largest = if options.contains(MapOptions::HUGE_FRAMES) {
            self.largest_leaf::<F>(flags).get()
        } else {
            1
        };
        let reservation = Reservation { attributes: flags.attributes, largest };
        Ok(Lazy { range: self.checked_range(gpa, size)?, reservation, options })
    }

    fn permissions<F: Format>(
        &self,
        flags: axas_flags_t,
    ) -> Result<(Permissions, EncodedPermissions)> {
        if flags & !(Permissions::all().bits() | crate::abi::AXAS_USER) != 0 {
            return Err(Error::InvalidInput);
        }
        let to = parse_permissions(flags)?;
        Ok((to, EncodedPermissions::new::<F>(to, self.npt.features)?))
    }

    /// A range of the space, or nothing at all.
    fn range_or_nothing(&self, gpa: u64, size: u64) -> Result<Option<GpaRange>> {
        if size == 0 && is_page_aligned(gpa) {
            return Ok(None);
        }
        self.checked_range(gpa, size).map(Some)
    }

    fn check_width(&self, hpa: u64, size: u64) -> Result<()> {
        if self.npt.host.is_in_width(hpa, size) { Ok(()) } else { Err(Error::InvalidInput) }
    }

    /// The largest level of leaf that flags allow in this space.
    #[inline(always)] // A map of one page is short.
    fn largest_leaf<F: Format>(&self, flags: MapFlags) -> Level {
        let most = F::max_leaf_level(self.npt.features);
        Level::new(largest_leaf(flags, most, self.npt.small_exec))
    }
}

impl Slices {
    /// That there is a budget.
    fn nothing(&self) -> Result<()> {
        if self.budget == 0 { Err(Error::InvalidInput) } else { Ok(()) }
    }
}

fn trap<F: Format>(cookie: u64) -> Result<Content<'static, F>> {
    let cookie = u32::try_from(cookie).map_err(|_| Error::Unsupported)?;
    Ok(Content::same(Entry::trap(cookie)))
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
