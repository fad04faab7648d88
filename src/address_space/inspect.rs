// SPDX-License-Identifier: MIT OR Apache-2.0
//! Looking at a space without changing it.

use core::sync::atomic::Ordering;

use super::dump::page_level;
use super::{AddressSpace, with_engine};
use crate::abi::*;
use crate::addr::{Bits, GuestPhysAddr, PAGE_SIZE, guest_range, is_page_aligned};
use crate::error::{Error, Result};
use crate::npt::Engine;
use crate::npt::arch::{Features, Format, with_format};
use crate::npt::audit::Census;
use crate::npt::entry::{Entry, State, Way};
use crate::npt::geometry::{Index, entry_size, pages};
use crate::npt::lock::FaultCounter;
use crate::npt::walk::{Cursor, Found, Run};

impl AddressSpace {
    /// Where an address is in host memory, and how many bytes lie side by side from there.
    #[inline(always)]
    pub fn translate(&self, gpa: u64) -> Result<(u64, u64)> {
        if !self.has(gpa) {
            return Err(Error::NotMapped);
        }
        let unlocked =
            with_format!(self.npt.format, F => Ok(self.npt.translate_unlocked::<F>(gpa)));
        let (hpa, level) = match unlocked {
            Ok((hpa, level)) if level != 0 => (hpa, level),
            _ => self.translate_again(gpa)?,
        };
        let size = entry_size(level);
        Ok((hpa, size.wrapping_sub(gpa & size.wrapping_sub(1))))
    }

    /// The address and the level of the leaf, where a walk without the lock found none.
    #[inline(never)]
    fn translate_again(&self, gpa: u64) -> Result<(u64, u32)> {
        with_format!(self.npt.format, F => {
            let found = self.find::<F>(gpa)?;
            if !found.entry.is_hardware_visible() {
                return Err(Error::NotMapped);
            }
            let offset = gpa.wrapping_sub(found.base(gpa));
            Ok((found.entry.address().bits().wrapping_add(offset), found.level))
        })
    }

    /// The entry that covers an address.
    pub fn query(&self, gpa: u64) -> Result<axas_mapping_t> {
        if !self.has(gpa) {
            return Err(Error::NotMapped);
        }
        self.look(gpa)
    }

    /// The cookie of the trap at an address.
    pub fn trap_cookie(&self, gpa: u64) -> Result<u64> {
        if !self.has(gpa) {
            return Err(Error::NotMapped);
        }
        match self.look(gpa)? {
            found if found.state == AXAS_STATE_TRAP => Ok(found.cookie),
            _ => Err(Error::NotMapped),
        }
    }

    /// Counters of the space.
    pub fn stats(&self) -> Result<axas_stats_t> {
        let _guard = self.shared()?;
        Ok(self.count())
    }

    /// Adds the counters up, with the lock held.
    fn count(&self) -> axas_stats_t {
        let load = |counter: &core::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counts;
        let [small, medium, large] = &counters.leaves;
        let resolved = self.lock.resolved();
        let huge = self.lock.sum(FaultCounter::Huge);
        let single = resolved.wrapping_sub(huge);
        let from_faults = single.wrapping_add(huge.wrapping_mul(pages(2)));
        let extra = self.lock.sum(FaultCounter::ExtraAllocated);
        let mut stats = axas_stats_t {
            table_frames: load(&self.npt.tables),
            guest_frames: load(&counters.guest).wrapping_add(from_faults),
            mapped_4k: load(small).wrapping_add(single),
            mapped_2m: load(medium).wrapping_add(huge),
            mapped_1g: load(large),
            tlb_requests: load(&counters.flushes)
                .wrapping_add(self.lock.sum(FaultCounter::Flushes)),
            frames_allocated: load(&counters.allocated).wrapping_add(resolved).wrapping_add(extra),
            frames_released: load(&counters.released)
                .wrapping_add(self.lock.sum(FaultCounter::Released)),
            ..axas_stats_t::default()
        };
        self.lock.count_verdicts(&mut stats);
        stats
    }

    /// Whether the tables are what this library wrote and the counters are right.
    pub fn audit(&self) -> Result<()> {
        let (start, end) = (self.range.start.bits(), self.range.end.bits());
        let _guard = self.exclusive(true)?;
        let ledger = self.ledger_alone();
        let mut census = Census::default();
        with_engine!(self, &ledger, engine => engine.audit(start, end, &mut census))?;
        if self.lock.is_caller_locked() || self.counts_agree(&census) {
            Ok(())
        } else {
            Err(Error::BadState)
        }
    }

    /// Apart from [`AddressSpace::audit`]: the counters are not on the stack while the tables are walked.
    #[inline(never)]
    fn counts_agree(&self, census: &Census) -> bool {
        let counted = self.count();
        let [small, medium, large] = census.leaves;
        (census.tables, census.guest) == (counted.table_frames, counted.guest_frames)
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
        self.for_each_run(gpa, range.end.bits(), false, &mut |run, _| report(run))
    }

    /// As [`AddressSpace::for_each`]; with `by_page` runs are also parted where the size of their pages
    /// differs, and reported with the level of that.
    #[inline(never)]
    pub(super) fn for_each_run(
        &self,
        start: u64,
        end: u64,
        by_page: bool,
        report: &mut dyn FnMut(&axas_mapping_t, u32) -> bool,
    ) -> Result<()> {
        let _guard = self.shared()?;
        // Who looks takes nothing: these counts stay as they are.
        let ledger = self.ledger(&self.counts);
        let cursor = with_engine!(self, &ledger, engine => Ok(Cursor::over(&engine, start, end)))?;
        let merge = Merge::default();
        let mut runs = Runs { cursor, gpa: start, ended_by: None, by_page, merge };
        while with_engine!(self, &ledger, engine => runs.next(&engine))?
            && report(&runs.merge.run, runs.merge.class)
        {}
        Ok(())
    }

    fn has(&self, gpa: u64) -> bool {
        self.range.contains(GuestPhysAddr::from_bits(gpa))
    }

    /// The entry that covers an address of the space, clipped to the space.
    fn look(&self, gpa: u64) -> Result<axas_mapping_t> {
        with_format!(self.npt.format, F => {
            let found = self.find::<F>(gpa)?;
            let base = found.base(gpa);
            let end = base.wrapping_add(entry_size(found.level)).min(self.range.end.bits());
            let start = base.max(self.range.start.bits());
            let size = end.wrapping_sub(start);
            let mapping = describe(found.entry, found.level, self.npt.features);
            Ok(axas_mapping_t { gpa: start, size, ..mapping })
        })
    }

    /// The entry that covers an address of the space: without the lock where the host's tables allow it,
    /// unless something changes too often or just there.
    #[inline(never)]
    fn find<F: Format>(&self, gpa: u64) -> Result<Found<F>> {
        const ATTEMPTS: usize = 8;
        if self.npt.direct_reads.is_some() {
            for _ in 0..ATTEMPTS {
                if let Some(found) = self.npt.walk_unlocked(gpa) {
                    return Ok(found);
                }
            }
        }
        let _guard = self.shared()?;
        self.npt.walk(gpa)
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
    let nothing = axas_mapping_t { hpa: AXAS_HPA_INVALID, ..axas_mapping_t::default() };
    match entry.state(level) {
        State::Leaf => axas_mapping_t {
            hpa: entry.address().bits(),
            flags: entry.attributes(features).flags(),
            state: if entry.is_owned() { AXAS_STATE_OWNED } else { AXAS_STATE_LINEAR },
            level,
            ..nothing
        },
        State::Reserved | State::Pending | State::PendingTable => {
            let reservation = entry.reservation();
            let options = match reservation.largest {
                1 => 0,
                2 => AXAS_HUGE_FRAMES | AXAS_MAX_2M,
                _ => AXAS_HUGE_FRAMES,
            };
            let flags = reservation.attributes.flags() | options;
            axas_mapping_t { flags, state: AXAS_STATE_RESERVED, ..nothing }
        }
        State::Trap => {
            axas_mapping_t { cookie: u64::from(entry.cookie()), state: AXAS_STATE_TRAP, ..nothing }
        }
        _ => nothing,
    }
}

/// The runs of a range, one after the other, so that what is done with them is not done below the walk.
struct Runs {
    cursor: Cursor,
    /// Where the next entry begins.
    gpa: u64,
    /// That entry, if it was looked at and the run ends with it.
    ended_by: Option<u64>,
    by_page: bool,
    merge: Merge,
}

impl Runs {
    /// Comes to the next run, if there is one.
    #[inline(never)]
    fn next<F: Format>(&mut self, engine: &Engine<'_, F>) -> Result<bool> {
        self.merge = Merge::default();
        while self.gpa < self.cursor.gpa() || self.cursor.next(engine)? {
            let Run { page, level, .. } = self.cursor.run;
            let entry = match self.ended_by.take() {
                Some(word) => Entry::from_word(word),
                None => engine.entry(page, Index::of(self.gpa, level))?,
            };
            if let Way::Down(table) = entry.way(level) {
                // A fault put it in the place of a reservation since the cursor came by.
                self.cursor.enter_at(engine, self.gpa, table)?;
                continue;
            }
            let base = self.gpa & !entry_size(level).wrapping_sub(1);
            let end = base.wrapping_add(entry_size(level)).min(self.cursor.gpa());
            let mut next = describe(entry, level, engine.features());
            if next.hpa != AXAS_HPA_INVALID {
                next.hpa = next.hpa.wrapping_add(self.gpa.wrapping_sub(base));
            }
            (next.gpa, next.size) = (self.gpa, end.wrapping_sub(self.gpa));
            let class = if self.by_page { page_level(&next, level) } else { 0 };
            if !self.merge.adds(&next, class) {
                self.ended_by = Some(entry.word());
                return Ok(true);
            }
            self.gpa = end;
        }
        Ok(self.merge.is_begun())
    }
}

const _: () = assert!(PAGE_SIZE == AXAS_PAGE_SIZE as u64);
