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
    /// Entries to visit or write at most, at least 1.
    pub budget: u64,
    /// Bytes done.
    pub done: u64,
}

/// A map of frames of the host, with its arguments checked.
struct Linear<'a, F> {
    range: GpaRange,
    content: Content<'a, F>,
    replaces: bool,
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
            let extents = [axas_extent_t { hpa, size }];
            let linear = self.linear::<F>(gpa, &extents, flags, MapOptions::REPLACE);
            // By reference: a move is a copy on the stack.
            let linear = linear.as_ref().map_err(|error| *error)?;
            let content = &linear.content;
            self.alone(true, |work| {
                if linear.replaces {
                    self.npt.replace(work, content, linear.range, 0)
                } else {
                    self.npt.map(work, content, linear.range)
                }
            })
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
            let extents = [axas_extent_t { hpa, size }];
            let linear = self.linear::<F>(gpa, &extents, flags, MapOptions::empty());
            // By reference: a move is a copy on the stack.
            let linear = linear.as_ref().map_err(|error| *error)?;
            let content = &linear.content;
            let largest = content.largest().min(self.npt.levels);
            self.in_slices(linear.range, slices, |work, rest, budget| self.npt.reach_map(work, content, largest, rest, budget), |work, part| self.npt.map(work, content, part))
        })
    }

    /// Maps scattered frames of the host side by side.
    pub fn map_extents(
        &self,
        gpa: u64,
        extents: &[axas_extent_t],
        flags: axas_flags_t,
    ) -> Result<()> {
        with_space_format!(self.npt.format, F => {
            let linear = self.linear::<F>(gpa, extents, flags, MapOptions::empty());
            // By reference: a move is a copy on the stack.
            let linear = linear.as_ref().map_err(|error| *error)?;
            self.alone(true, |work| self.npt.map(work, &linear.content, linear.range))
        })
    }

    /// Maps memory that the library takes from the host.
    pub fn map_alloc(&self, gpa: u64, size: u64, flags: axas_flags_t) -> Result<()> {
        with_space_format!(self.npt.format, F => {
            let lazy = self.lazy::<F>(gpa, size, flags, MapOptions::REPLACE);
            let lazy = lazy.as_ref().map_err(|error| *error)?;
            let entry = Entry::<F>::reserved(lazy.reservation);
            let content = Content::same(entry);
            let populates = lazy.options.contains(MapOptions::POPULATE);
            if lazy.options.contains(MapOptions::REPLACE) {
                if !populates {
                    return self.replace_same(lazy.range, entry);
                }
                self.alone(true, |work| {
                    let npt = &self.npt;
                    let (reservation, range) = (lazy.reservation, lazy.range);
                    let outcome = npt.replace_populated(work, &content, reservation, range);
                    work.give_pages_back(npt);
                    outcome
                })
            } else if populates {
                self.populate_same(lazy.range, entry)
            } else {
                self.map_same(lazy.range, entry)
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
            let lazy = self.lazy::<F>(gpa, size, flags, MapOptions::empty());
            let lazy = lazy.as_ref().map_err(|error| *error)?;
            let content = lazy.content::<F>();
            let populates = lazy.options.contains(MapOptions::POPULATE);
            let largest =
                if populates { Level::new(lazy.reservation.largest()) } else { self.npt.levels };
            self.in_slices(
                lazy.range,
                slices,
                |work, rest, budget| self.npt.reach_map(work, &content, largest, rest, budget),
                |work, part| self.npt.map_reserved(work, &content, part, populates),
            )
        })
    }

    /// Marks an emulated device.
    pub fn map_trap(&self, gpa: u64, size: u64, cookie: u64) -> Result<()> {
        with_space_format!(self.npt.format, F => {
            let entry = trap::<F>(cookie)?;
            self.map_same(self.checked_range(gpa, size)?, entry)
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
                let entry = trap::<F>(cookie)?;
                self.replace_same(self.checked_range(gpa, size)?, entry)
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
        if self.npt.has_short_unmaps && is_page_aligned(gpa) && self.npt.range.contains(page) {
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
        let Some(range) = self.range_or_nothing(gpa, size)? else { return Ok(()) };
        with_space_format!(self.npt.format, F => {
            let npt = &self.npt;
            self.in_visits::<F>(range, slices, Cost::Entry, |work, part| npt.unmap::<F>(work, part))
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
        let Some(range) = self.range_or_nothing(gpa, size)? else { return Ok(()) };
        with_space_format!(self.npt.format, F => {
            let npt = &self.npt;
            self.in_visits::<F>(range, slices, Cost::Entry, |work, part| npt.collect::<F>(work, part))
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
            self.in_visits::<F>(range, slices, Cost::Entry, |work, part| npt.protect::<F>(work, part, to, encoded))
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
            self.in_visits::<F>(range, slices, Cost::Frames, |work, part| npt.populate::<F>(work, part))
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
            self.in_visits::<F>(range, slices, Cost::Entry, |work, part| npt.discard::<F>(work, part))
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
        let mut held = self.exclusive(may_be_refused)?;
        let outcome = act(self.work(&mut held));
        self.leave_alone(held);
        outcome
    }

    /// What the holder of the lock works with.
    #[inline(always)]
    fn work<'a>(&'a self, _held: &'a mut Held<'_, ExclusiveGuard<'_>>) -> &'a mut Work {
        // SAFETY: the lock is held exclusively, and this borrows the proof of it.
        unsafe { &mut *self.work.get() }
    }

    #[inline(never)]
    fn leave_alone(&self, mut held: Held<'_, ExclusiveGuard<'_>>) {
        self.work(&mut held).stock.give_back(&self.npt);
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
        while let Some(mut held) = slicing.enter() {
            let work = self.work(&mut held);
            let mut outcome = reach(work, slicing.rest, &mut slicing.budget);
            if outcome.is_ok() && slicing.goes_on() {
                outcome = act(work, slicing.part());
            }
            slicing.leave(held, outcome);
        }
        slicing.outcome
    }

    /// As [`AddressSpace::in_slices`], where a slice ends when it has visited as many entries as it may.
    #[inline(always)]
    fn in_visits<F: Format>(
        &self,
        range: GpaRange,
        slices: &mut Slices,
        cost: Cost,
        act: impl Fn(&mut Work, GpaRange) -> Result<()>,
    ) -> Result<()> {
        let mut slicing = Slicing::new(self, range, slices);
        while let Some(mut held) = slicing.enter_visiting::<F>(cost) {
            let outcome = act(self.work(&mut held), slicing.part());
            slicing.leave(held, outcome);
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
        let leaf = self.npt.write_back_page::<F>(flags & !AXAS_REPLACE)?;
        let page = Gpa::new(gpa);
        let are_pages = is_page_aligned(gpa) && self.npt.host.is_page(hpa);
        if !are_pages || !self.npt.range.contains(page) {
            return None;
        }
        let leaf = leaf.at(Hpa::new(hpa));
        let _guard = match self.exclusive(true) {
            Ok(guard) => guard,
            Err(error) => return Some(Err(error)),
        };
        let way = self.npt.page_way::<F>(page)?;
        if flags & AXAS_REPLACE == 0 {
            self.npt.map_page(way, page, leaf)
        } else {
            self.npt.replace_page(way.page, page, leaf)
        }
    }

    /// Fills an empty range with the same entry.
    #[inline(never)]
    fn populate_same<F: Format>(&self, range: GpaRange, entry: Entry<F>) -> Result<()> {
        let content = Content::same(entry);
        self.alone(true, |work| self.npt.map_reserved(work, &content, range, true))
    }

    #[inline(never)]
    fn map_same<F: Format>(&self, range: GpaRange, entry: Entry<F>) -> Result<()> {
        let content = Content::same(entry);
        self.alone(true, |work| self.npt.map(work, &content, range))
    }

    /// Puts the same entry in the place of whatever is in a range.
    #[inline(never)]
    fn replace_same<F: Format>(&self, range: GpaRange, entry: Entry<F>) -> Result<()> {
        let content = Content::same(entry);
        self.alone(true, |work| self.npt.replace(work, &content, range, 0))
    }

    #[inline(never)]
    fn linear<'a, F: Format>(
        &self,
        gpa: u64,
        extents: &'a [axas_extent_t],
        flags: axas_flags_t,
        more_options: MapOptions,
    ) -> Result<Linear<'a, F>> {
        let flags = MapFlags::parse(flags, PAGE_SIZES | more_options)?;
        let template = Entry::leaf_template(flags.attributes, self.npt.features, 1, false)?;
        let mut size = 0_u64;
        for extent in extents {
            let is_aligned = is_page_aligned(extent.hpa | extent.size) && extent.size != 0;
            if !is_aligned || !self.npt.host.is_in_width(extent.hpa, extent.size) {
                return Err(Error::InvalidInput);
            }
            size = size.saturating_add(extent.size);
        }
        let range = self.checked_range(gpa, size)?;
        let most = self.largest_leaf::<F>(flags);
        let content = Content::frames(template, range.start, extents, most);
        Ok(Linear { range, content, replaces: flags.options.contains(MapOptions::REPLACE) })
    }

    #[inline(never)]
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
        Entry::<F>::leaf_template(flags.attributes, self.npt.features, 1, true)?;
        let largest = if options.contains(MapOptions::HUGE_FRAMES) {
            self.largest_leaf::<F>(flags).get()
        } else {
            1
        };
        let reservation = Reservation::new(flags.attributes, largest);
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

    /// The largest level of leaf that flags allow in this space.
    #[inline(always)] // A map of one page is short.
    fn largest_leaf<F: Format>(&self, flags: MapFlags) -> Level {
        let most = F::max_leaf_level(self.npt.features);
        Level::new(largest_leaf(flags, most, self.npt.small_exec))
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
        let budget = Budget { left: 0, reached: range.start };
        Self { space, start: range.start, rest: range, slices, given: 0, budget, outcome: Ok(()) }
    }

    /// Enters the space for the next slice, if there is one.
    #[inline(never)]
    fn enter(&mut self) -> Option<Held<'a, ExclusiveGuard<'a>>> {
        if self.outcome.is_err() || self.rest.start >= self.rest.end {
            return None;
        }
        let most = self.slices.budget;
        let may_yield = self.space.npt.host.may_yield();
        self.given = if may_yield { most.min(POLL_INTERVAL) } else { most };
        self.budget.left = self.given;
        let held = self.space.exclusive(true);
        if held.is_err() {
            self.outcome = Err(Error::Again);
        }
        held.ok()
    }

    /// As [`Slicing::enter`], up to where the slice ends if it visits entries.
    #[inline(never)]
    fn enter_visiting<F: Format>(&mut self, cost: Cost) -> Option<Held<'a, ExclusiveGuard<'a>>> {
        loop {
            let mut held = self.enter()?;
            let (npt, work) = (&self.space.npt, self.space.work(&mut held));
            let outcome = npt.reach::<F>(work, self.rest, cost, &mut self.budget);
            if outcome.is_ok() && self.goes_on() {
                return Some(held);
            }
            self.leave(held, outcome);
        }
    }

    /// Whether the slice has something to do.
    fn goes_on(&self) -> bool {
        self.budget.reached > self.rest.start
    }

    /// The slice.
    fn part(&self) -> GpaRange {
        GpaRange::new(self.rest.start, self.budget.reached)
    }

    /// A slice is done; the next may follow, if there is no error.
    #[inline(never)]
    fn leave(&mut self, held: Held<'_, ExclusiveGuard<'_>>, outcome: Result<()>) {
        self.space.leave_alone(held);
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

fn trap<F: Format>(cookie: u64) -> Result<Entry<F>> {
    let cookie = u32::try_from(cookie).map_err(|_| Error::Unsupported)?;
    Ok(Entry::trap(cookie))
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
