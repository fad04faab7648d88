// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls that change the mappings of a range: arguments checked in the order that the interface promises, then
//! the engine put to work under the lock, at once or in slices.
//!
//! Each call names what it does by a function of its own, an [`Act`], so that a host links what it calls and nothing else.

use super::{AddressSpace, Alone, Held};
use crate::abi::*;
use crate::addr::{PAGE_SIZE, is_page_aligned};
use crate::error::{Error, Result};
use crate::flags::{Attributes, MapFlags, MapOptions, MemoryType, Permissions, Tag};
use crate::hal::Host;
use crate::npt::arch::{Format, with_space_format};
use crate::npt::content::Content;
use crate::npt::entry::{Entry, Reservation};
use crate::npt::lock::ExclusiveGuard;
use crate::npt::slices::Budget;
use crate::npt::units::{Gpa, GpaRange, Hpa, Level};
use crate::npt::work::Work;
use crate::npt::{NestedPageTable, POPULATES, REPLACES};

const PAGE_SIZES: MapOptions =
    MapOptions::NO_HUGE.union(MapOptions::MAX_2M).union(MapOptions::NO_HUGE_EXEC);

/// Entries between two questions whether to yield.
const POLL_INTERVAL: u64 = 512;

/// How far a call in slices may go, and how far it went. Its members are here and not in the loop, where they would be kept in
/// registers that each act has to save: that costs stack.
pub struct Slices {
    /// Entries to visit or write at most, at least 1.
    pub budget: u64,
    /// Bytes done.
    pub done: u64,
    /// What is left of the range.
    pub(super) rest: GpaRange,
    /// The part of the budget that the slice in work has.
    pub(super) slice: Budget,
}

impl Slices {
    /// A call that may visit or write so many entries.
    pub fn new(budget: u64) -> Self {
        let start = Gpa::new(0);
        let slice = Budget { left: 0, reached: start };
        Self { budget, done: 0, rest: GpaRange::new(start, start), slice }
    }

    /// The budget of a slice, which is short where the host may want to do something else behind it.
    fn most(&self, host: &Host) -> u64 {
        if host.may_yield() { self.budget.min(POLL_INTERVAL) } else { self.budget }
    }

    /// Begins the next slice.
    #[inline(never)]
    pub(super) fn begin(&mut self, host: &Host) {
        self.slice = Budget { left: self.most(host), reached: self.rest.start };
    }

    /// Entries of the next slice of a call that slices by itself.
    #[cfg(any(feature = "dirty", feature = "merge"))]
    pub(super) fn next(&self, host: &Host, may_stop: bool) -> u64 {
        if may_stop { self.most(host) } else { self.budget }
    }

    /// So many entries of the budget are used, and so many bytes done; whether the call may go on.
    #[cfg(any(feature = "dirty", feature = "merge"))]
    pub(super) fn uses(&mut self, host: &Host, used: u64, done: u64, may_stop: bool) -> Result<()> {
        self.done = done;
        if !may_stop {
            return Ok(());
        }
        self.budget = self.budget.saturating_sub(used);
        if self.budget == 0 || host.should_yield() { Err(Error::Again) } else { Ok(()) }
    }

    /// What was reached of the range.
    pub(super) fn part(&self) -> GpaRange {
        GpaRange::new(self.rest.start, self.slice.reached)
    }

    /// The slice is done; whether another follows.
    #[inline(never)]
    pub(super) fn goes_on(&mut self, host: &Host) -> Result<bool> {
        self.done = self.done.wrapping_add(self.part().size());
        let used = self.most(host).wrapping_sub(self.slice.left);
        self.budget = self.budget.wrapping_sub(used);
        self.rest = self.rest.from(self.slice.reached);
        let goes_on = self.rest.start < self.rest.end;
        if goes_on && (self.budget == 0 || host.should_yield()) {
            return Err(Error::Again);
        }
        Ok(goes_on)
    }
}

/// A map, with its arguments checked but for the range.
struct Map<'a, F> {
    content: Content<'a, F>,
    options: MapOptions,
}

impl<F> Map<'_, F> {
    fn has(&self, option: MapOptions) -> bool {
        self.options.contains(option)
    }
}

/// What a call does to a part of its range, with the lock held alone. Of a map the content is what goes into the range, of
/// a new protection or a new tag it is a reservation with these permissions or this tag.
pub(super) type Act<F> = fn(&NestedPageTable, &mut Work, GpaRange, &Content<'_, F>) -> Result<()>;

/// Looks how far the next slice of a range goes.
pub(super) type Reach<F> =
    fn(&NestedPageTable, &mut Work, GpaRange, &Content<'_, F>, &mut Budget) -> Result<()>;

pub(super) fn map<F: Format>(
    npt: &NestedPageTable,
    work: &mut Work,
    part: GpaRange,
    content: &Content<'_, F>,
) -> Result<()> {
    npt.map(work, content, part)
}

/// Maps reservations and takes frames for them.
fn map_populated<F: Format>(
    npt: &NestedPageTable,
    work: &mut Work,
    part: GpaRange,
    content: &Content<'_, F>,
) -> Result<()> {
    npt.map_reserved(work, content, part, true)
}

pub(super) fn replace<F: Format>(
    npt: &NestedPageTable,
    work: &mut Work,
    part: GpaRange,
    content: &Content<'_, F>,
) -> Result<()> {
    npt.replace(work, content, part, 0)
}

fn replace_populated<F: Format>(
    npt: &NestedPageTable,
    work: &mut Work,
    part: GpaRange,
    content: &Content<'_, F>,
) -> Result<()> {
    let outcome = npt.replace_populated(work, content, content.reservation(), part);
    work.give_pages_back(npt);
    outcome
}

fn protect<F: Format>(
    npt: &NestedPageTable,
    work: &mut Work,
    part: GpaRange,
    content: &Content<'_, F>,
) -> Result<()> {
    npt.protect::<F>(work, part, content.reservation().attributes().permissions)
}

#[cfg(feature = "tags")]
fn retag<F: Format>(
    npt: &NestedPageTable,
    work: &mut Work,
    part: GpaRange,
    content: &Content<'_, F>,
) -> Result<()> {
    npt.retag::<F>(work, part, content.reservation().attributes().tag)
}

fn unmap<F: Format>(
    npt: &NestedPageTable,
    work: &mut Work,
    part: GpaRange,
    _: &Content<'_, F>,
) -> Result<()> {
    npt.unmap::<F>(work, part)
}

fn collect<F: Format>(
    npt: &NestedPageTable,
    work: &mut Work,
    part: GpaRange,
    _: &Content<'_, F>,
) -> Result<()> {
    npt.collect::<F>(work, part)
}

fn populate<F: Format>(
    npt: &NestedPageTable,
    work: &mut Work,
    part: GpaRange,
    _: &Content<'_, F>,
) -> Result<()> {
    npt.populate::<F>(work, part)
}

fn discard<F: Format>(
    npt: &NestedPageTable,
    work: &mut Work,
    part: GpaRange,
    _: &Content<'_, F>,
) -> Result<()> {
    npt.discard::<F>(work, part)
}

/// A slice writes as many entries as it may. All of the rest is looked at, so that an overlap stops it before it begins.
pub(super) fn reach_map<F: Format>(
    npt: &NestedPageTable,
    work: &mut Work,
    rest: GpaRange,
    content: &Content<'_, F>,
    budget: &mut Budget,
) -> Result<()> {
    npt.reach_map(work, content, content.largest().min(npt.levels), rest, budget)
}

/// As [`reach_map`], for a slice that takes as many frames as it may.
fn reach_map_populated<F: Format>(
    npt: &NestedPageTable,
    work: &mut Work,
    rest: GpaRange,
    content: &Content<'_, F>,
    budget: &mut Budget,
) -> Result<()> {
    let largest = Level::new(content.reservation().largest());
    npt.reach_map(work, content, largest, rest, budget)
}

/// A slice visits as many entries as it may.
pub(super) fn reach_entries<F: Format>(
    npt: &NestedPageTable,
    work: &mut Work,
    rest: GpaRange,
    _: &Content<'_, F>,
    budget: &mut Budget,
) -> Result<()> {
    npt.reach::<F>(work, rest, NestedPageTable::cost_of_entries, budget)
}

/// A slice takes as many frames as it may.
fn reach_frames<F: Format>(
    npt: &NestedPageTable,
    work: &mut Work,
    rest: GpaRange,
    _: &Content<'_, F>,
    budget: &mut Budget,
) -> Result<()> {
    npt.reach::<F>(work, rest, NestedPageTable::cost_of_frames::<F>, budget)
}

impl Alone<'_> {
    /// Does something to a range.
    #[inline(always)]
    fn does<F: Format>(
        mut self,
        range: GpaRange,
        content: &Content<'_, F>,
        act: Act<F>,
    ) -> Result<()> {
        let npt = self.npt();
        npt.warm_range::<F>(self.work(), range);
        act(npt, self.work(), range, content)
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
            let checked = self.linear::<F>(gpa, &extents, flags, MapOptions::REPLACE);
            // By reference: a move is a copy on the stack.
            let checked = checked.as_ref().map_err(|error| *error)?;
            let act = if REPLACES && checked.has(MapOptions::REPLACE) { replace } else { map };
            self.at_once(self.checked_range(gpa, size)?, &checked.content, act)
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
            let checked = self.linear::<F>(gpa, &extents, flags, MapOptions::empty());
            let checked = checked.as_ref().map_err(|error| *error)?;
            self.in_slices(self.checked_range(gpa, size)?, &checked.content, slices, reach_map, map)
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
            let checked = self.linear::<F>(gpa, extents, flags, MapOptions::empty());
            let size = extents.iter().fold(0_u64, |sum, extent| sum.saturating_add(extent.size));
            let checked = checked.as_ref().map_err(|error| *error)?;
            self.at_once(self.checked_range(gpa, size)?, &checked.content, map)
        })
    }

    /// Maps memory that the library takes from the host.
    pub fn map_alloc(&self, gpa: u64, size: u64, flags: axas_flags_t) -> Result<()> {
        with_space_format!(self.npt.format, F => {
            let checked = self.lazy::<F>(flags, MapOptions::REPLACE);
            let checked = checked.as_ref().map_err(|error| *error)?;
            let replaces = REPLACES && checked.has(MapOptions::REPLACE);
            let populates = POPULATES && checked.has(MapOptions::POPULATE);
            let act = match (replaces, populates) {
                (true, true) => replace_populated,
                (true, false) => replace,
                (false, true) => map_populated,
                (false, false) => map,
            };
            self.at_once(self.checked_range(gpa, size)?, &checked.content, act)
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
            let checked = self.lazy::<F>(flags, MapOptions::empty());
            let checked = checked.as_ref().map_err(|error| *error)?;
            let (reach, act): (Reach<F>, Act<F>) = if POPULATES && checked.has(MapOptions::POPULATE) {
                (reach_map_populated, map_populated)
            } else {
                (reach_map, map)
            };
            self.in_slices(self.checked_range(gpa, size)?, &checked.content, slices, reach, act)
        })
    }

    /// Marks an emulated device.
    pub fn map_trap(&self, gpa: u64, size: u64, cookie: u64) -> Result<()> {
        with_space_format!(self.npt.format, F => {
            let content = self.trap::<F>(cookie, 0)?;
            self.at_once(self.checked_range(gpa, size)?, &content, map)
        })
    }

    /// Marks an emulated device, by a call that knows `AXAS_REPLACE` and tags.
    pub fn map_trap_flags(
        &self,
        gpa: u64,
        size: u64,
        cookie: u64,
        flags: axas_flags_t,
    ) -> Result<()> {
        if flags & !(AXAS_REPLACE | AXAS_TAG_MASK) != 0 {
            return Err(Error::InvalidInput);
        }
        if self.npt.refuses(MapOptions::from_bits_truncate(flags), false) {
            return Err(Error::Unsupported);
        }
        with_space_format!(self.npt.format, F => {
            let content = self.trap::<F>(cookie, flags)?;
            let act = if REPLACES && flags & AXAS_REPLACE != 0 { replace } else { map };
            self.at_once(self.checked_range(gpa, size)?, &content, act)
        })
    }

    /// Removes whatever is in a range.
    #[inline(always)]
    pub fn unmap(&self, gpa: u64, size: u64) -> Result<()> {
        if size == PAGE_SIZE { self.unmap_page(gpa) } else { self.unmap_range(gpa, size) }
    }

    #[inline(never)]
    fn unmap_range(&self, gpa: u64, size: u64) -> Result<()> {
        let Some(range) = self.range_or_nothing(gpa, size)? else { return Ok(()) };
        with_space_format!(self.npt.format, F => self.at_once::<F>(range, &Content::NOTHING, unmap))
    }

    /// Removes a page, by the short way if it is linear and its table stays.
    #[inline(never)]
    fn unmap_page(&self, gpa: u64) -> Result<()> {
        let page = Gpa::new(gpa);
        if self.npt.has_short_unmaps && is_page_aligned(gpa) && self.npt.range.contains(page) {
            let guard = self.exclusive()?;
            let done = with_space_format!(self.npt.format, F => Ok(self.npt.unmap_page::<F>(page)));
            return if done == Ok(true) { Ok(()) } else { self.unmap_lone_page(guard, page) };
        }
        self.unmap_range(gpa, PAGE_SIZE)
    }

    /// Removes whatever is at a page, by a call that holds the lock.
    #[inline(never)]
    fn unmap_lone_page(&self, guard: Held<'_, ExclusiveGuard<'_>>, page: Gpa) -> Result<()> {
        let alone = Alone::of(self, guard);
        let range = GpaRange::page(page);
        with_space_format!(self.npt.format, F => alone.does::<F>(range, &Content::NOTHING, unmap))
    }

    /// Removes whatever is in a range in slices.
    pub fn unmap_some(&self, gpa: u64, size: u64, slices: &mut Slices) -> Result<()> {
        let Some(range) = self.range_or_nothing(gpa, size)? else { return Ok(()) };
        with_space_format!(self.npt.format, F => {
            self.in_slices::<F>(range, &Content::NOTHING, slices, reach_entries, unmap)
        })
    }

    /// Gives back the empty tables that cover a part of a range.
    pub fn collect(&self, gpa: u64, size: u64) -> Result<()> {
        let Some(range) = self.range_or_nothing(gpa, size)? else { return Ok(()) };
        with_space_format!(self.npt.format, F => self.at_once::<F>(range, &Content::NOTHING, collect))
    }

    /// Gives back the empty tables that cover a part of a range, in slices.
    pub fn collect_some(&self, gpa: u64, size: u64, slices: &mut Slices) -> Result<()> {
        let Some(range) = self.range_or_nothing(gpa, size)? else { return Ok(()) };
        with_space_format!(self.npt.format, F => {
            self.in_slices::<F>(range, &Content::NOTHING, slices, reach_entries, collect)
        })
    }

    /// Changes the permissions of what is mapped or reserved in a range.
    pub fn protect(&self, gpa: u64, size: u64, flags: axas_flags_t) -> Result<()> {
        with_space_format!(self.npt.format, F => {
            let content = self.protection::<F>(flags)?;
            self.at_once(self.checked_range(gpa, size)?, &content, protect)
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
            let content = self.protection::<F>(flags)?;
            let range = self.checked_range(gpa, size)?;
            self.in_slices(range, &content, slices, reach_entries, protect)
        })
    }

    /// How many bits tags have.
    #[cfg(feature = "tags")]
    pub fn tag_bits(&self) -> u32 {
        with_space_format!(self.npt.format, F => Ok(F::tag_bits(self.npt.features))).unwrap_or(0)
    }

    /// Gives what is in a range another tag.
    #[cfg(feature = "tags")]
    pub fn retag(&self, gpa: u64, size: u64, tag: u32) -> Result<()> {
        with_space_format!(self.npt.format, F => {
            let content = self.tagging::<F>(tag)?;
            self.at_once(self.checked_range(gpa, size)?, &content, retag)
        })
    }

    /// Gives what is in a range another tag in slices.
    #[cfg(feature = "tags")]
    pub fn retag_some(&self, gpa: u64, size: u64, tag: u32, slices: &mut Slices) -> Result<()> {
        with_space_format!(self.npt.format, F => {
            let content = self.tagging::<F>(tag)?;
            let range = self.checked_range(gpa, size)?;
            self.in_slices(range, &content, slices, reach_entries, retag)
        })
    }

    /// Takes frames for everything that is reserved in a range.
    pub fn populate(&self, gpa: u64, size: u64) -> Result<()> {
        let range = self.checked_range(gpa, size)?;
        with_space_format!(self.npt.format, F => self.at_once::<F>(range, &Content::NOTHING, populate))?;
        #[cfg(feature = "provider")]
        if self.npt.may_provide() {
            return self.take_provided_in(range, &mut 0);
        }
        Ok(())
    }

    /// Takes frames for everything that is reserved in a range in slices.
    pub fn populate_some(&self, gpa: u64, size: u64, slices: &mut Slices) -> Result<()> {
        let range = self.checked_range(gpa, size)?;
        with_space_format!(self.npt.format, F => {
            #[cfg(feature = "provider")]
            if self.npt.may_provide() {
                return self.populate_provided_some::<F>(range, slices, reach_frames, populate);
            }
            self.in_slices::<F>(range, &Content::NOTHING, slices, reach_frames, populate)
        })
    }

    /// Gives the frames of a range back; the reservation stays.
    pub fn discard(&self, gpa: u64, size: u64) -> Result<()> {
        let range = self.checked_range(gpa, size)?;
        with_space_format!(self.npt.format, F => self.at_once::<F>(range, &Content::NOTHING, discard))
    }

    /// Gives the frames of a range back in slices; the reservation stays.
    pub fn discard_some(&self, gpa: u64, size: u64, slices: &mut Slices) -> Result<()> {
        let range = self.checked_range(gpa, size)?;
        with_space_format!(self.npt.format, F => {
            self.in_slices::<F>(range, &Content::NOTHING, slices, reach_entries, discard)
        })
    }

    /// Takes or gives back table frames until so many are in stock.
    #[cfg(feature = "stock")]
    pub fn set_stock(&self, frames: u32) -> Result<()> {
        let mut alone = self.alone().ok_or(Error::Again)?;
        self.npt.set_stock(&mut alone.work().stock, frames)
    }

    /// Removes everything; the space is as new, counters go on.
    pub fn clear(&self) -> Result<()> {
        self.remove_all(self.alone().ok_or(Error::Again)?)
    }

    /// Removes everything, and has hardware told even if nothing was there.
    #[inline(never)]
    pub(super) fn remove_all(&self, mut alone: Alone<'_>) -> Result<()> {
        with_space_format!(self.npt.format, F => {
            self.npt.remove_all::<F>(alone.work(), self.npt.range)
        })
    }

    /// Does something to a range with the lock held alone.
    #[inline(always)] // Its frame would be below that of every map.
    pub(super) fn at_once<F: Format>(
        &self,
        range: GpaRange,
        content: &Content<'_, F>,
        act: Act<F>,
    ) -> Result<()> {
        self.alone().ok_or(Error::Again)?.does(range, content, act)
    }

    /// Does a range slice after slice, each with the lock held alone: `reach` says how far one goes, `act` does it.
    #[inline(never)]
    pub(super) fn in_slices<F: Format>(
        &self,
        range: GpaRange,
        content: &Content<'_, F>,
        slices: &mut Slices,
        reach: Reach<F>,
        act: Act<F>,
    ) -> Result<()> {
        slices.rest = range;
        loop {
            self.do_slice(content, slices, reach, act)?;
            if !slices.goes_on(&self.npt.host)? {
                return Ok(());
            }
        }
    }

    /// Does the next slice of a range.
    #[inline(always)]
    pub(super) fn do_slice<F: Format>(
        &self,
        content: &Content<'_, F>,
        slices: &mut Slices,
        reach: Reach<F>,
        act: Act<F>,
    ) -> Result<()> {
        let mut alone = self.alone().ok_or(Error::Again)?;
        let npt = alone.npt();
        slices.begin(&npt.host);
        reach(npt, alone.work(), slices.rest, content, &mut slices.slice)?;
        let part = slices.part();
        if part.start < part.end {
            npt.warm_range::<F>(alone.work(), part);
            act(npt, alone.work(), part, content)?;
        }
        Ok(())
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
        let leaf = match self.npt.write_back_page::<F>(flags & !AXAS_REPLACE) {
            Some(leaf) => leaf,
            None if cfg!(feature = "tags") => self.tagged_page::<F>(flags)?,
            None => return None,
        };
        let page = Gpa::new(gpa);
        let are_pages = is_page_aligned(gpa) && self.npt.host.is_page(hpa);
        if !are_pages || !self.npt.range.contains(page) {
            return None;
        }
        let leaf = leaf.at(Hpa::new(hpa));
        let guard = match self.exclusive() {
            Ok(guard) => guard,
            Err(error) => return Some(Err(error)),
        };
        let replaces = flags & AXAS_REPLACE != 0;
        let done = self.npt.map_page::<F>(page, leaf, replaces);
        if done.is_none() && !replaces {
            return Some(self.map_lone_page(guard, page, leaf));
        }
        done
    }

    /// Maps a page whose table is missing.
    #[inline(never)]
    fn map_lone_page<F: Format>(
        &self,
        guard: Held<'_, ExclusiveGuard<'_>>,
        gpa: Gpa,
        leaf: Entry<F>,
    ) -> Result<()> {
        let mut alone = Alone::of(self, guard);
        alone.npt().warm_range::<F>(alone.work(), GpaRange::page(gpa));
        alone.npt().put_lone_page(alone.work(), gpa, leaf)
    }

    /// A page of write-back memory with a tag, without its address; none if flags ask for something else.
    #[cold]
    #[inline(never)]
    fn tagged_page<F: Format>(&self, flags: axas_flags_t) -> Option<Entry<F>> {
        let tag = Tag::parse(flags, F::tag_bits(self.npt.features)).ok()?;
        let leaf = self.npt.write_back_page::<F>(flags & !(AXAS_REPLACE | AXAS_TAG_MASK))?;
        Some(leaf.with_tag(tag))
    }

    /// A map of frames of the host.
    #[inline(never)]
    fn linear<'a, F: Format>(
        &self,
        gpa: u64,
        extents: &'a [axas_extent_t],
        flags: axas_flags_t,
        more_options: MapOptions,
    ) -> Result<Map<'a, F>> {
        let flags =
            MapFlags::parse(flags, PAGE_SIZES | more_options, F::tag_bits(self.npt.features))?;
        flags.attributes.permissions.check_page()?;
        let template = Entry::page_template(flags.attributes, self.npt.features, 1, false)?;
        if self.npt.refuses(flags.options, false) {
            return Err(Error::Unsupported);
        }
        for extent in extents {
            let is_aligned = is_page_aligned(extent.hpa | extent.size) && extent.size != 0;
            if !is_aligned || !self.npt.host.is_in_width(extent.hpa, extent.size) {
                return Err(Error::InvalidInput);
            }
        }
        let most = self.largest_leaf::<F>(flags);
        let content = Content::frames(template, Gpa::new(gpa), extents, most);
        Ok(Map { content, options: flags.options })
    }

    /// A map of reservations.
    #[inline(never)]
    fn lazy<F: Format>(
        &self,
        flags: axas_flags_t,
        more_options: MapOptions,
    ) -> Result<Map<'static, F>> {
        let own = MapOptions::POPULATE | MapOptions::HUGE_FRAMES | MapOptions::SKIP_ZERO;
        let allowed = PAGE_SIZES | own | more_options;
        let flags = MapFlags::parse(flags, allowed, F::tag_bits(self.npt.features))?;
        let options = flags.options;
        flags.attributes.permissions.check_some()?;
        Entry::<F>::leaf_template(flags.attributes, self.npt.features, 1, true)?;
        if self.npt.refuses(options, !options.contains(MapOptions::POPULATE)) {
            return Err(Error::Unsupported);
        }
        let largest = if options.contains(MapOptions::HUGE_FRAMES) {
            self.largest_leaf::<F>(flags).get()
        } else {
            1
        };
        let reservation = Reservation::new(flags.attributes, largest);
        let entry = Entry::reserved(reservation.with_zero_of(options.bits()));
        Ok(Map { content: Content::same(entry), options })
    }

    /// Reservations of a provider's pages.
    #[cfg(feature = "provider")]
    pub(super) fn provided<F: Format>(
        &self,
        flags: axas_flags_t,
        provider: u16,
    ) -> Result<Content<'static, F>> {
        let flags = MapFlags::parse(flags, PAGE_SIZES, F::tag_bits(self.npt.features))?;
        flags.attributes.permissions.check_some()?;
        Entry::<F>::leaf_template(flags.attributes, self.npt.features, 1, true)?;
        let reservation = Reservation::new(flags.attributes, self.largest_leaf::<F>(flags).get());
        Ok(Content::same(Entry::provided(reservation, provider)))
    }

    /// A reservation with new permissions, to be had by what is mapped or reserved.
    fn protection<F: Format>(&self, flags: axas_flags_t) -> Result<Content<'static, F>> {
        if flags & !(Permissions::all().bits() | AXAS_USER) != 0 {
            return Err(Error::InvalidInput);
        }
        let permissions = Permissions::from_bits_truncate(flags);
        permissions.check_page()?;
        if !permissions.is_empty() {
            F::permissions(permissions, self.npt.features)?;
        }
        let attributes = Attributes::new(permissions, MemoryType::WriteBack);
        Ok(Content::same(Entry::reserved(Reservation::new(attributes, 1))))
    }

    /// A reservation with a tag, to be had by what is in a range.
    #[cfg(feature = "tags")]
    fn tagging<F: Format>(&self, tag: u32) -> Result<Content<'static, F>> {
        if tag > AXAS_TAG_MASK >> AXAS_TAG_SHIFT {
            return Err(Error::InvalidInput);
        }
        let tag = Tag::parse(tag << AXAS_TAG_SHIFT, F::tag_bits(self.npt.features))?;
        let attributes =
            Attributes { tag, ..Attributes::new(Permissions::READ, MemoryType::WriteBack) };
        Ok(Content::same(Entry::reserved(Reservation::new(attributes, 1))))
    }

    /// A trap, with the tag among flags.
    fn trap<F: Format>(&self, cookie: u64, flags: axas_flags_t) -> Result<Content<'static, F>> {
        let cookie = u32::try_from(cookie).map_err(|_| Error::Unsupported)?;
        let tag = Tag::parse(flags, F::tag_bits(self.npt.features))?;
        Ok(Content::same(Entry::trap(cookie).with_tag(tag)))
    }

    /// A range of the space, or nothing at all.
    pub(super) fn range_or_nothing(&self, gpa: u64, size: u64) -> Result<Option<GpaRange>> {
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
