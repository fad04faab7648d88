// SPDX-License-Identifier: MIT OR Apache-2.0
//! Looking at a space without changing it.

use core::sync::atomic::Ordering;

use super::AddressSpace;
use super::dump::page_level;
use crate::abi::*;
use crate::addr::{Bits, PAGE_SIZE, guest_range, is_page_aligned};
use crate::error::{Error, Result};
use crate::npt::NestedPageTable;
use crate::npt::arch::{Features, Format, with_space_format};
use crate::npt::audit::Census;
use crate::npt::entry::{Entry, HIDES, State, Way};
use crate::npt::lock::FaultCounter;
use crate::npt::look::Found;
use crate::npt::sweep::{Run, Sweep};
use crate::npt::table::Broken;
use crate::npt::units::{Gpa, GpaRange, Hpa, Level};

impl AddressSpace {
    /// Where an address is in host memory, and how many bytes lie side by side from there.
    pub fn translate(&self, gpa: u64) -> Result<(u64, u64)> {
        self.translate_at_once(gpa).map_or_else(|| self.translate_again(gpa), Ok)
    }

    /// As [`AddressSpace::translate`], by one walk without the lock; none where that does not find a leaf.
    #[inline(always)]
    pub(crate) fn translate_at_once(&self, gpa: u64) -> Option<(u64, u64)> {
        let gpa = self.inside(gpa).ok()?;
        with_space_format!(self.npt.format, F => Ok(self.npt.translate_unlocked::<F>(gpa))).ok()?
    }

    /// As [`AddressSpace::translate`], where that walk found nothing.
    #[inline(always)] // Into what stores the answer.
    pub(crate) fn translate_again(&self, gpa: u64) -> Result<(u64, u64)> {
        let gpa = self.inside(gpa)?;
        with_space_format!(self.npt.format, F => {
            let Found { entry, level } = self.find_again::<F>(gpa)?;
            if !entry.is_hardware_visible() {
                return Err(Error::NotMapped);
            }
            let address = entry.address().plus(gpa.offset(level)).bits();
            Ok((address, gpa.end(level).minus(gpa)))
        })
    }

    /// The entry that covers an address, clipped to the space.
    pub fn query(&self, gpa: u64) -> Result<axas_mapping_t> {
        self.query_and(gpa, |mapping| mapping)
    }

    /// As [`AddressSpace::query`], for what becomes of the answer: a large value in a result is copied twice.
    #[inline(always)]
    pub(crate) fn query_and<T>(
        &self,
        gpa: u64,
        put: impl FnOnce(axas_mapping_t) -> T,
    ) -> Result<T> {
        let gpa = self.inside(gpa)?;
        with_space_format!(self.npt.format, F => {
            let found = self.find::<F>(gpa)?;
            Ok(put(self.describe_at(found, gpa)))
        })
    }

    /// What the entry that covers an address of the space says, clipped to the space.
    #[inline(always)]
    pub(super) fn describe_at<F: Format>(&self, found: Found<F>, gpa: Gpa) -> axas_mapping_t {
        let Found { entry, level } = found;
        let part = self.npt.range.part(gpa, level);
        let mut mapping = describe(entry, level.get(), self.npt.features);
        (mapping.gpa, mapping.size) = (part.start.bits(), part.size());
        mapping
    }

    /// The cookie of the trap at an address.
    pub fn trap_cookie(&self, gpa: u64) -> Result<u64> {
        let gpa = self.inside(gpa)?;
        with_space_format!(self.npt.format, F => {
            let Found { entry, .. } = self.find::<F>(gpa)?;
            if entry.is_trap() { Ok(entry.cookie().into()) } else { Err(Error::NotMapped) }
        })
    }

    /// Counters of the space.
    pub fn stats(&self) -> Result<axas_stats_t> {
        let _guard = self.shared()?;
        let mut stats = axas_stats_t::default();
        self.count(&mut stats);
        Ok(stats)
    }

    /// Adds the counters up, with the lock held.
    #[inline(never)]
    fn count(&self, stats: &mut axas_stats_t) {
        let load = |counter: &core::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        self.npt.lock.count_verdicts(stats);
        let counters = &self.npt.counts;
        let [small, medium, large] = &counters.leaves;
        let huge = self.npt.lock.sum(FaultCounter::Huge);
        let extra = self.npt.lock.sum(FaultCounter::ExtraAllocated);
        let flushes = self.npt.lock.sum(FaultCounter::Flushes);
        let released = self.npt.lock.sum(FaultCounter::Released);
        let resolved = stats.faults_resolved.wrapping_sub(self.count_marked(stats));
        let single = resolved.wrapping_sub(huge);
        let from_faults = single.wrapping_add(huge.wrapping_mul(Level::LARGE.pages()));
        stats.table_frames = load(&self.npt.tables);
        stats.guest_frames = load(&counters.guest).wrapping_add(from_faults);
        stats.mapped_4k = load(small).wrapping_add(single).wrapping_add(stats.mapped_4k);
        stats.mapped_2m = load(medium).wrapping_add(huge);
        stats.mapped_1g = load(large);
        stats.tlb_requests = load(&counters.flushes).wrapping_add(flushes);
        stats.frames_allocated =
            load(&counters.allocated).wrapping_add(resolved).wrapping_add(extra);
        stats.frames_released = load(&counters.released).wrapping_add(released);
    }

    /// Counts what is known of the log and of merges, and pages that faults brought from providers; how many faults took
    /// no frame.
    fn count_marked(&self, stats: &mut axas_stats_t) -> u64 {
        #[cfg(any(feature = "dirty", feature = "hide", feature = "provider"))]
        {
            stats.faults_marked = self.npt.lock.sum(FaultCounter::Marked);
        }
        #[cfg(feature = "provider")]
        {
            stats.faults_wait = self.npt.lock.sum(FaultCounter::Wait);
            let supplied = self.npt.lock.sum(FaultCounter::Supplied);
            stats.faults_marked = stats.faults_marked.wrapping_add(supplied);
            stats.mapped_4k = supplied;
        }
        #[cfg(feature = "dirty")]
        {
            stats.pages_cleaned = self.npt.log.cleaned.load(Ordering::Relaxed);
            stats.splits = self.npt.log.splits.load(Ordering::Relaxed);
        }
        #[cfg(feature = "merge")]
        {
            stats.merges = self.npt.merges.load(Ordering::Relaxed);
        }
        stats.faults_marked
    }

    /// Whether the tables are what this library wrote and the counters are right.
    pub fn audit(&self) -> Result<()> {
        let _guard = self.exclusive()?;
        let mut census = Census::default();
        with_space_format!(self.npt.format, F => {
            self.npt.audit::<F>(self.npt.range, &mut census).ok_or(Error::BadState)
        })?;
        if self.npt.lock.is_caller_locked() || self.counts_agree(&census) {
            Ok(())
        } else {
            Err(Error::BadState)
        }
    }

    /// Apart from [`AddressSpace::audit`]: the counters are not on the stack while the tables are walked.
    #[inline(never)]
    fn counts_agree(&self, census: &Census) -> bool {
        let mut counted = axas_stats_t::default();
        self.count(&mut counted);
        let [small, medium, large] = census.leaves;
        let tables = census.tables.wrapping_add(self.npt.stocked());
        (tables, census.guest) == (counted.table_frames, counted.guest_frames)
            && (small, medium, large) == (counted.mapped_4k, counted.mapped_2m, counted.mapped_1g)
    }

    /// Calls `report` with each run of pages of equal state in a range, in order, until it says no.
    pub fn for_each(
        &self,
        gpa: u64,
        size: u64,
        report: &mut dyn FnMut(&axas_mapping_t) -> bool,
    ) -> Result<()> {
        let range = guest_range(gpa, size)?;
        if !is_page_aligned(gpa | size) || !self.contains(range) {
            return Err(Error::InvalidInput);
        }
        self.for_each_run(range, false, &mut |run, _| report(run))
    }

    /// As [`AddressSpace::for_each`]; with `by_page` runs are also parted where the size of their pages
    /// differs, and reported with the level of that.
    #[inline(never)]
    pub(super) fn for_each_run(
        &self,
        range: GpaRange,
        by_page: bool,
        report: &mut dyn FnMut(&axas_mapping_t, u32) -> bool,
    ) -> Result<()> {
        let _guard = self.shared()?;
        let mut sweep = Sweep::nowhere();
        sweep.begin_look(&self.npt, range);
        let merge = Merge::default();
        let mut runs = Runs { sweep, gpa: range.start, ended_by: None, by_page, merge };
        while with_space_format!(self.npt.format, F => {
            runs.next::<F>(&self.npt).ok_or(Error::BadState)
        })? && report(&runs.merge.run, runs.merge.class)
        {}
        Ok(())
    }

    /// An address of the space.
    #[inline(always)]
    fn inside(&self, gpa: u64) -> Result<Gpa> {
        let gpa = Gpa::new(gpa);
        if self.npt.range.contains(gpa) { Ok(gpa) } else { Err(Error::NotMapped) }
    }

    /// The entry that covers an address of the space, without the lock where the host's tables allow it.
    #[inline(always)]
    fn find<F: Format>(&self, gpa: Gpa) -> Result<Found<F>> {
        match self.npt.walk_unlocked(gpa) {
            (_, 0) => self.find_again(gpa),
            (entry, level) => Ok(Found { entry, level: Level::new(level) }),
        }
    }

    /// As [`AddressSpace::find`], with the lock if something changes too often or just there.
    #[inline(never)]
    fn find_again<F: Format>(&self, gpa: Gpa) -> Result<Found<F>> {
        let attempts = if self.npt.reads_unlocked { 7 } else { 0 };
        for _ in 0..attempts {
            if let (entry, level @ 1..) = self.npt.walk_unlocked(gpa) {
                return Ok(Found { entry, level: Level::new(level) });
            }
        }
        let _guard = self.shared()?;
        self.npt.walk(gpa).ok_or(Error::BadState)
    }
}

/// The run that the next entries are part of; holes are part of none.
#[derive(Default)]
pub(crate) struct Merge {
    pub(crate) run: axas_mapping_t,
    pub(crate) class: u32,
}

impl Merge {
    /// Whether there is a run.
    pub(crate) fn is_begun(&self) -> bool {
        self.run.state != AXAS_STATE_ABSENT
    }

    /// Adds the entry that follows, unless the run ends with it.
    pub(crate) fn adds(&mut self, next: &axas_mapping_t, class: u32) -> bool {
        if !self.is_begun() {
            (self.run, self.class) = (*next, class);
        } else if self.class == class && continues(&self.run, next) {
            self.run.size = self.run.size.wrapping_add(next.size);
            if self.run.level != next.level {
                self.run.level = 0;
            }
        } else {
            return false;
        }
        true
    }
}

/// Whether `next` says of what follows a run what the run says.
fn continues(run: &axas_mapping_t, next: &axas_mapping_t) -> bool {
    let hpa =
        if run.hpa == AXAS_HPA_INVALID { AXAS_HPA_INVALID } else { run.hpa.wrapping_add(run.size) };
    run.state == next.state
        && run.flags == next.flags
        && run.cookie == next.cookie
        && hpa == next.hpa
}

/// What an entry says, without its place.
pub(crate) fn describe<F: Format>(
    entry: Entry<F>,
    level: u32,
    features: Features,
) -> axas_mapping_t {
    let mut mapping = axas_mapping_t { hpa: AXAS_HPA_INVALID, ..axas_mapping_t::default() };
    match entry.state(level) {
        State::Leaf | State::Hidden => {
            mapping.hpa = entry.address().bits();
            mapping.flags = if entry.is_hidden() {
                entry.attributes(features).flags()
            } else {
                entry.leaf_flags(features)
            };
            mapping.state = if entry.is_held() {
                AXAS_STATE_HIDDEN
            } else if entry.is_owned() {
                AXAS_STATE_OWNED
            } else {
                AXAS_STATE_LINEAR
            };
            mapping.level = level;
        }
        State::Note if HIDES => {
            mapping.cookie = u64::from(entry.cookie());
            mapping.flags = entry.tag().flags();
            mapping.state = AXAS_STATE_NOTE;
        }
        State::Reserved if entry.is_provided() => {
            let reservation = entry.reservation();
            mapping.cookie = u64::from(entry.provider());
            mapping.flags = reservation.attributes().flags() | reservation.size_flags();
            mapping.state = AXAS_STATE_PROVIDED;
        }
        State::Reserved | State::Pending | State::PendingTable => {
            let reservation = entry.reservation();
            let options = match reservation.largest() {
                1 => 0,
                2 => AXAS_HUGE_FRAMES | AXAS_MAX_2M,
                _ => AXAS_HUGE_FRAMES,
            };
            mapping.flags = reservation.attributes().flags() | options | reservation.zero_flag();
            mapping.state = AXAS_STATE_RESERVED;
        }
        State::Trap => {
            mapping.cookie = u64::from(entry.cookie());
            mapping.flags = entry.tag().flags();
            mapping.state = AXAS_STATE_TRAP;
        }
        _ => {}
    }
    mapping
}

/// The runs of a range, one after the other, so that what is done with them is not done below the walk.
struct Runs {
    sweep: Sweep,
    /// Where the next entry begins.
    gpa: Gpa,
    /// That entry, if it was looked at and the run ends with it.
    ended_by: Option<u64>,
    by_page: bool,
    merge: Merge,
}

impl Runs {
    /// Comes to the next run, if there is one.
    #[inline(never)]
    fn next<F: Format>(&mut self, npt: &NestedPageTable) -> Option<bool> {
        self.merge = Merge::default();
        while self.gpa < self.sweep.gpa() || self.sweep.next::<F>(npt, &Broken::NONE)? {
            let Run { page, level, .. } = self.sweep.run;
            let entry = match self.ended_by.take() {
                Some(word) => Entry::from_word(word),
                None => npt.entry::<F>(page, self.gpa.index(level))?,
            };
            if let Way::Down(table) = entry.way(level.get()) {
                // A fault put it in the place of a reservation since the sweep came by.
                self.sweep.enter(npt, self.gpa, table)?;
                continue;
            }
            let entry = if self.sweep.is_below_hidden(self.gpa) {
                entry.below_hidden(npt.features)
            } else {
                entry
            };
            let end = self.gpa.end(level).min(self.sweep.gpa());
            let mut next = describe(entry, level.get(), npt.features);
            if next.hpa != AXAS_HPA_INVALID {
                next.hpa = Hpa::new(next.hpa).plus(self.gpa.offset(level)).bits();
            }
            (next.gpa, next.size) = (self.gpa.bits(), end.minus(self.gpa));
            let class = if self.by_page { page_level(&next, level.get()) } else { 0 };
            if !self.merge.adds(&next, class) {
                self.ended_by = Some(entry.word());
                return Some(true);
            }
            self.gpa = end;
        }
        Some(self.merge.is_begun())
    }
}

const _: () = assert!(PAGE_SIZE == AXAS_PAGE_SIZE as u64);
