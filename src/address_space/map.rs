// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls that change the mappings of a range: arguments checked in the order that the interface promises, then
//! the engine put to work under the lock, at once or in slices.
//!
//! Each call names what it does by a function of its own, so that a host links what it calls and nothing else.

use super::{AddressSpace, Held};
use crate::abi::{AXAS_REPLACE, axas_extent_t, axas_flags_t};
use crate::addr::{PAGE_SIZE, is_page_aligned};
use crate::error::{Error, Result};
use crate::flags::{MapFlags, MapOptions, Permissions, parse_permissions};
use crate::npt::arch::{Format, with_space_format};
use crate::npt::content::Content;
use crate::npt::entry::{EncodedPermissions, Entry, Reservation};
use crate::npt::lock::ExclusiveGuard;
use crate::npt::slices::{Budget, Cost};
use crate::npt::units::{Gpa, GpaRange, Hpa, Level};
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
    #[inline(always)]
    pub fn map_linear(&self, gpa: u64, hpa: u64, size: u64, flags: axas_flags_t) -> Result<()> {
        if size == PAGE_SIZE {
            self.map_linear_page(gpa, hpa, flags)
        } else {
            self.map_linear_range(gpa, hpa, size, flags)
        }
    }

    #[inline(never)]
    fn map_linear_range(&self, gpa: u64, hpa: u64, size: u64, flags: axas_flags_t) -> Result<()> {
        with_space_format!(self.npt.format, F => {
            let linear = self.linear::<F>(gpa, hpa, size, flags, MapOptions::REPLACE)?;
            let content = linear.content();
            if linear.replaces {
                self.alone(true, |work| self.npt.replace(work, &content, linear.range, 0))
            } else {
                self.alone(true, |work| self.npt.map(work, &content, linear.range))
            }
        })
    }

    /// Maps a page, by the short way if it is write-back memory and its table is there.
    #[inline(never)]
    fn map_linear_page(&self, gpa: u64, hpa: u64, flags: axas_flags_t) -> Result<()> {
        let done = with_space_format!(self.npt.format, F => {
            Ok(self.write_back_page::<F>(gpa, hpa, flags))
        });
        match done {
            Ok(Some(outcome)) => outcome,
            _ => self.map_linear_range(gpa, hpa, PAGE_SIZE, flags),
        }
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
        with_space_format!(self.npt.format, F => {
            let linear = self.linear::<F>(gpa, hpa, size, flags, MapOptions::empty())?;
            let content = linear.content();
            self.in_slices(linear.range, slices, |work, rest, budget| self.npt.reach_map(work, &content, rest, budget), |work, part| self.npt.map(work, &content, part))
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
        with_space_format!(self.npt.format, F => {
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
            self.alone(true, |work| self.npt.map(work, &content, range))
        })
    }

    /// Maps memory that the library takes from the host.
    pub fn map_alloc(&self, gpa: u64, size: u64, flags: axas_flags_t) -> Result<()> {
        with_space_format!(self.npt.format, F => {
            let lazy = self.lazy::<F>(gpa, size, flags, MapOptions::REPLACE)?;
            let content = lazy.content::<F>();
            let populates = lazy.options.contains(MapOptions::POPULATE);
            if lazy.options.contains(MapOptions::REPLACE) {
                if populates {
                    self.alone(true, |work| {
                        let outcome = self.npt.replace_populated(
                            work,
                            &content,
                            lazy.reservation,
                            lazy.range,
                        );
                        work.give_pages_back(&self.npt);
                        outcome
                    })
                } else {
                    self.alone(true, |work| self.npt.replace(work, &content, lazy.range, 0))
                }
            } else if populates {
                self.alone(true, |work| self.npt.map_populated(work, &content, lazy.range))
            } else {
                self.alone(true, |work| self.npt.map(work, &content, lazy.range))
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
        with_space_format!(self.npt.format, F => {
            let lazy = self.lazy::<F>(gpa, size, flags, MapOptions::empty())?;
            let content = lazy.content::<F>();
            let npt = &self.npt;
            if lazy.options.contains(MapOptions::POPULATE) {
                let largest = Level::new(lazy.reservation.largest);
                self.in_slices(lazy.range, slices, |work, rest, budget| npt.reach_populated(work, &content, largest, rest, budget), |work, part| npt.map_populated(work, &content, part))
            } else {
                self.in_slices(lazy.range, slices, |work, rest, budget| npt.reach_map(work, &content, rest, budget), |work, part| npt.map(work, &content, part))
            }
        })
    }

    /// Marks an emulated device.
    pub fn map_trap(&self, gpa: u64, size: u64, cookie: u64) -> Result<()> {
        with_space_format!(self.npt.format, F => {
            let content = trap::<F>(cookie)?;
            let range = self.checked_range(gpa, size)?;
            self.alone(true, |work| self.npt.map(work, &content, range))
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
            AXAS_REPLACE => with_space_format!(self.npt.format, F => {
                let content = trap::<F>(cookie)?;
                let range = self.checked_range(gpa, size)?;
                self.alone(true, |work| self.npt.replace(work, &content, range, 0))
            }),
            _ => Err(Error::InvalidInput),
        }
    }

    /// Removes whatever is in a range.
    #[inline(always)]
    pub fn unmap(&self, gpa: u64, size: u64) -> Result<()> {
        if size == PAGE_SIZE { self.unmap_page(gpa) } else { self.unmap_range(gpa, size) }
    }

    #[inline(never)]
    fn unmap_range(&self, gpa: u64, size: u64) -> Result<()> {
        let Some(range) = self.range_or_nothing(gpa, size)? else { return Ok(()) };
        with_space_format!(self.npt.format, F => {
            self.alone(true, |work| self.npt.unmap::<F>(work, range))
        })
    }

    /// Removes a page, by the short way if it is linear, not to be reported and its table stays.
    #[inline(never)]
    fn unmap_page(&self, gpa: u64) -> Result<()> {
        let page = Gpa::new(gpa);
        let is_plain = self.npt.is_plain && !self.npt.host.wants_released();
        if is_plain && is_page_aligned(gpa) && self.npt.range.contains(page) {
            let guard = self.exclusive(true)?;
            let done = with_space_format!(self.npt.format, F => Ok(self.npt.unmap_page::<F>(page)));
            drop(guard);
            if let Ok(Some(())) = done {
                return Ok(());
            }
        }
        self.unmap_range(gpa, PAGE_SIZE)
    }

    /// Removes whatever is in a range in slices.
    pub fn unmap_some(&self, gpa: u64, size: u64, slices: &mut Slices) -> Result<()> {
        let Some(range) = self.range_or_nothing(gpa, size)? else { return slices.check() };
        with_space_format!(self.npt.format, F => {
            let npt = &self.npt;
            self.in_slices(range, slices, |work, rest, budget| npt.reach::<F>(work, rest, Cost::Entry, budget), |work, part| npt.unmap::<F>(work, part))
        })
    }

    /// Gives back the empty tables that cover a part of a range.
    pub fn collect(&self, gpa: u64, size: u64) -> Result<()> {
        let Some(range) = self.range_or_nothing(gpa, size)? else { return Ok(()) };
        with_space_format!(self.npt.format, F => {
            self.alone(true, |work| self.npt.collect::<F>(work, range))
        })
    }

    /// Gives back the empty tables that cover a part of a range, in slices.
    pub fn collect_some(&self, gpa: u64, size: u64, slices: &mut Slices) -> Result<()> {
        let Some(range) = self.range_or_nothing(gpa, size)? else { return slices.check() };
        with_space_format!(self.npt.format, F => {
            let npt = &self.npt;
            self.in_slices(range, slices, |work, rest, budget| npt.reach::<F>(work, rest, Cost::Entry, budget), |work, part| npt.collect::<F>(work, part))
        })
    }

    /// Gives what is mapped or reserved in a range new permissions.
    pub fn protect(&self, gpa: u64, size: u64, flags: axas_flags_t) -> Result<()> {
        with_space_format!(self.npt.format, F => {
            let (to, encoded) = self.permissions::<F>(flags)?;
            let range = self.checked_range(gpa, size)?;
            self.alone(true, |work| self.npt.protect::<F>(work, range, to, encoded))
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
        with_space_format!(self.npt.format, F => {
            let (to, encoded) = self.permissions::<F>(flags)?;
            let range = self.checked_range(gpa, size)?;
            let npt = &self.npt;
            self.in_slices(range, slices, |work, rest, budget| npt.reach::<F>(work, rest, Cost::Entry, budget), |work, part| npt.protect::<F>(work, part, to, encoded))
        })
    }

    /// Takes frames for everything that is reserved in a range.
    pub fn populate(&self, gpa: u64, size: u64) -> Result<()> {
        let range = self.checked_range(gpa, size)?;
        with_space_format!(self.npt.format, F => {
            self.alone(true, |work| self.npt.populate::<F>(work, range))
        })
    }

    /// Takes frames for everything that is reserved in a range in slices.
    pub fn populate_some(&self, gpa: u64, size: u64, slices: &mut Slices) -> Result<()> {
        let range = self.checked_range(gpa, size)?;
        with_space_format!(self.npt.format, F => {
            let npt = &self.npt;
            self.in_slices(range, slices, |work, rest, budget| npt.reach::<F>(work, rest, Cost::Frames, budget), |work, part| npt.populate::<F>(work, part))
        })
    }

    /// Gives the frames of a range back; the reservation stays.
    pub fn discard(&self, gpa: u64, size: u64) -> Result<()> {
        let range = self.checked_range(gpa, size)?;
        with_space_format!(self.npt.format, F => {
            self.alone(true, |work| self.npt.discard::<F>(work, range))
        })
    }

    /// Gives the frames of a range back in slices; the reservation stays.
    pub fn discard_some(&self, gpa: u64, size: u64, slices: &mut Slices) -> Result<()> {
        let range = self.checked_range(gpa, size)?;
        with_space_format!(self.npt.format, F => {
            let npt = &self.npt;
            self.in_slices(range, slices, |work, rest, budget| npt.reach::<F>(work, rest, Cost::Entry, budget), |work, part| npt.discard::<F>(work, part))
        })
    }

    /// Removes everything; the space is as new, counters go on.
    pub fn clear(&self) -> Result<()> {
        self.remove_all(true)
    }

    /// Removes everything, and has hardware told even if nothing was there; with `AXAS_NO_WAIT` that may be
    /// refused, if it `may_be`.
    pub(super) fn remove_all(&self, may_be_refused: bool) -> Result<()> {
        with_space_format!(self.npt.format, F => {
            self.alone(may_be_refused, |work| self.npt.remove_all::<F>(work, self.npt.range))
        })
    }

    /// Does something with the lock held alone; tables that were taken for nothing go back at the end.
    #[inline(always)]
    fn alone(&self, may_be_refused: bool, act: impl FnOnce(&mut Work) -> Result<()>) -> Result<()> {
        let held = self.exclusive(may_be_refused)?;
        // SAFETY: the guard holds the lock exclusively, and this is the one place where it gives the memory.
        let outcome = act(unsafe { &mut *self.work.get() });
        self.leave_alone(held);
        outcome
    }

    #[inline(never)]
    fn leave_alone(&self, _held: Held<'_, ExclusiveGuard<'_>>) {
        // SAFETY: the lock is held exclusively; what had the memory before is done.
        unsafe { &mut *self.work.get() }.stock.give_back(&self.npt);
    }

    /// Does a range slice after slice, each with the lock held alone: `reach` says how far one goes, `act` does it.
    #[inline(always)]
    fn in_slices(
        &self,
        range: GpaRange,
        slices: &mut Slices,
        reach: impl Fn(&mut Work, GpaRange, &mut Budget) -> Result<()>,
        act: impl Fn(&mut Work, GpaRange) -> Result<()>,
    ) -> Result<()> {
        let mut slicing = Slicing::new(self, range, slices);
        while slicing.begin() {
            let outcome = self.alone(true, |work| {
                reach(work, slicing.rest, &mut slicing.budget)?;
                let part = GpaRange::new(slicing.rest.start, slicing.budget.reached);
                if part.start < part.end { act(work, part) } else { Ok(()) }
            });
            slicing.finish(outcome);
        }
        slicing.outcome
    }

    /// Maps a page of write-back memory, or puts it in the place of another, where its table is there; none if
    /// that was not done here.
    #[inline(always)]
    fn write_back_page<F: Format>(
        &self,
        gpa: u64,
        hpa: u64,
        flags: axas_flags_t,
    ) -> Option<Result<()>> {
        let permissions = Permissions::from_bits(flags & !AXAS_REPLACE)?;
        let is_plain = self.npt.is_plain && !permissions.is_empty() && is_page_aligned(gpa | hpa);
        let (gpa, hpa) = (Gpa::new(gpa), Hpa::new(hpa));
        if !is_plain || !self.npt.range.contains(gpa) || !self.npt.host.is_page(hpa) {
            return None;
        }
        let leaf = self.npt.write_back_page::<F>(permissions, false)?.at(hpa);
        let _guard = match self.exclusive(true) {
            Ok(guard) => guard,
            Err(error) => return Some(Err(error)),
        };
        if flags & AXAS_REPLACE == 0 {
            self.npt.map_page(gpa, leaf)
        } else {
            self.npt.replace_page(gpa, leaf)
        }
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
    fn check(&self) -> Result<()> {
        if self.budget == 0 { Err(Error::InvalidInput) } else { Ok(()) }
    }
}

/// A range that is done in slices.
struct Slicing<'a> {
    space: &'a AddressSpace,
    start: Gpa,
    /// What is left of the range.
    rest: GpaRange,
    slices: &'a mut Slices,
    given: u64,
    budget: Budget,
    outcome: Result<()>,
}

impl<'a> Slicing<'a> {
    fn new(space: &'a AddressSpace, range: GpaRange, slices: &'a mut Slices) -> Self {
        let outcome = slices.check();
        let budget = Budget { left: 0, reached: range.start };
        Self { space, start: range.start, rest: range, slices, given: 0, budget, outcome }
    }

    /// Whether there is another slice, and how far it may go.
    #[inline(never)]
    fn begin(&mut self) -> bool {
        let most = self.slices.budget;
        let may_yield = self.space.npt.host.may_yield();
        self.given = if may_yield { most.min(POLL_INTERVAL) } else { most };
        self.budget.left = self.given;
        self.outcome.is_ok() && self.rest.start < self.rest.end
    }

    /// A slice is done; the next may follow, if there is no error.
    #[inline(never)]
    fn finish(&mut self, outcome: Result<()>) {
        self.outcome = outcome;
        if outcome.is_err() {
            return;
        }
        let end = self.budget.reached;
        self.rest = self.rest.from(end);
        let used = self.given.wrapping_sub(self.budget.left);
        self.slices.done = end.minus(self.start);
        self.slices.budget = self.slices.budget.wrapping_sub(used);
        let goes_on = end < self.rest.end;
        if goes_on && (self.slices.budget == 0 || self.space.npt.host.should_yield()) {
            self.outcome = Err(Error::Again);
        }
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
