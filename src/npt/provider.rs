// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pages that the host provides (part `provider`).
//!
//! A region of them is a reservation with the number of a provider. A fault there closes its window and asks
//! the host; what the host answers, or brings later by a call of its own, is put in place by the compare-exchange of every
//! other fault, against the entry that was judged. Nothing is remembered of a question: it is asked again.
//!
//! To evict is to discard, but that the host is told of each page, when it is flushed and before its frame
//! goes, and that the reservation which remains is a provider's.

use super::arch::Format;
use super::entry::{Entry, Reservation, State};
use super::fault::{Fault, Frame, Prepared, Verdict};
use super::lock::{FaultCounter, Shard};
use super::page::Slot;
use super::reap::{Remains, Runs};
use super::split::Cut;
use super::sweep::{Run, Sweep};
use super::table::{Broken, Table, exchange};
use super::units::{Gpa, GpaRange, Hpa, Index, Level};
use super::work::Work;
use super::{NestedPageTable, add, subtract};
use crate::abi::*;
use crate::addr::{Bits, PAGE_SIZE};
use crate::error::{Error, Result};
use crate::flags::{Attributes, Permissions};
use crate::hal::{FlushRequest, Purpose, publish_tables};
use crate::sync::{Defect, Ordering, planted};

/// Where a fault met a provider's reservation.
#[derive(Clone, Copy)]
pub(super) struct Place {
    page: Hpa,
    index: Index,
    /// The entry.
    word: u64,
}

impl Place {
    pub(super) const NOWHERE: Self = Self { page: Hpa::new(0), index: Index::FIRST, word: 0 };
}

/// What the host brings for a page, in one word: the address, and below it the level, the permissions, and whose it is.
#[derive(Clone, Copy)]
pub(crate) struct Supply(u64);

impl Supply {
    const PERMISSIONS_SHIFT: u32 = 2;
    /// The frame is the library's from now on.
    const GIVEN: u64 = 1 << 5;
    /// There is none: one of alloc_frame is to be taken, no larger than this.
    const ALLOC: u64 = 1 << 6;

    /// A frame of the host's, or one that it gives.
    pub(crate) fn new(hpa: Hpa, level: Level, permissions: Permissions, is_given: bool) -> Self {
        let permissions = u64::from(permissions.bits()) << Self::PERMISSIONS_SHIFT;
        let given = if is_given { Self::GIVEN } else { 0 };
        Self(hpa.bits() | u64::from(level.get()) | permissions | given)
    }

    fn frame(self) -> Frame {
        Frame::new(Hpa::new(self.0 & !(PAGE_SIZE - 1)), self.level())
    }

    pub(crate) fn level(self) -> Level {
        Level::new(self.0 as u32 & 3)
    }

    fn permissions(self) -> Permissions {
        Permissions::from_bits_truncate((self.0 >> Self::PERMISSIONS_SHIFT) as u32)
    }

    fn is_given(self) -> bool {
        self.0 & Self::GIVEN != 0
    }

    fn takes_frame(self) -> bool {
        self.0 & Self::ALLOC != 0
    }
}

/// What the host's answer comes to: the page, or the verdict where it brings none.
type Answer = core::result::Result<Supply, Verdict>;

/// The level of leaves of a size.
pub(crate) fn level_of(size: u64) -> Option<Level> {
    let mut level = Level::PAGE;
    while level.size() < size && level <= Level::LARGE {
        level = level.up();
    }
    (level.size() == size).then_some(level)
}

impl Fault<'_> {
    /// Notes where a provider's reservation was met, which allows the access. The host is asked when the table is closed.
    #[cold]
    #[inline(never)]
    pub(super) fn meet_provider<F: Format>(
        &mut self,
        page: Hpa,
        index: Index,
        entry: Entry<F>,
    ) -> Verdict {
        // The frame was filled for a reservation that is not there any more.
        if self.has_prepared() {
            return Verdict::Spurious;
        }
        self.met = Place { page, index, word: entry.word() };
        if planted(Defect::AskedInWindow) {
            let _ = self.ask(entry);
        }
        Verdict::Wait
    }

    /// Asks the host until the page is there, or not to be had now. Each round the entry has changed that was met.
    #[inline(never)]
    pub(super) fn ask_on<F: Format>(&mut self) -> Verdict {
        let answer = self.ask(Entry::<F>::from_word(self.met.word));
        self.take_on::<F>(answer)
    }

    /// Takes what the host answered, and asks on.
    #[inline(always)]
    fn take_on<F: Format>(&mut self, mut answer: Answer) -> Verdict {
        loop {
            let supply = match answer {
                Ok(supply) => supply,
                Err(verdict) => return verdict,
            };
            if let Some(verdict) = self.put_answer::<F>(supply) {
                return verdict;
            }
            self.level = self.npt.levels;
            let verdict = self.install_or_judge::<F>();
            if verdict != Verdict::Wait {
                return verdict;
            }
            answer = self.ask(Entry::<F>::from_word(self.met.word));
        }
    }

    /// Asks the host for the page of a reservation that was met.
    #[inline(never)]
    fn ask<F: Format>(&self, entry: Entry<F>) -> Answer {
        let (npt, gpa) = (self.npt, self.gpa.base(Level::PAGE).bits());
        let mut answer = self.question(entry);
        let access = self.access.bits();
        let how = npt.host.resolve(entry.provider(), gpa, access, &mut answer);
        self.judge_answer(entry, how, &answer)
    }

    /// The largest page that may take the place of a reservation that was met.
    fn largest<F: Format>(&self, entry: Entry<F>) -> Level {
        self.npt.largest_frame(entry.reservation(), self.level)
    }

    /// What the host finds in the answer when it is asked for the page of a reservation that was met.
    fn question<F: Format>(&self, entry: Entry<F>) -> axas_supply_t {
        let (reservation, most) = (entry.reservation(), self.largest(entry));
        let flags =
            reservation.attributes().flags() | reservation.of_level(most.get()).size_flags();
        axas_supply_t { hpa: AXAS_HPA_INVALID, size: PAGE_SIZE, flags, reserved: 0 }
    }

    /// What the host's answer for the page of a reservation that was met comes to.
    #[inline(never)]
    fn judge_answer<F: Format>(&self, entry: Entry<F>, how: u32, answer: &axas_supply_t) -> Answer {
        let (npt, most) = (self.npt, self.largest(entry));
        let is_given = how == AXAS_RESOLVE_GIVEN;
        match how {
            AXAS_RESOLVE_LATER => return Err(Verdict::Wait),
            AXAS_RESOLVE_REFUSE => return Err(Verdict::Unmapped),
            _ => {}
        }
        let is_plain = answer.flags & !self.question(entry).flags == 0 && answer.reserved == 0;
        let permissions = Permissions::from_bits_truncate(answer.flags);
        let (hpa, level) = (answer.hpa, level_of(answer.size).filter(|_| is_plain));
        match (how, level) {
            (AXAS_RESOLVE_ALLOC, Some(level)) => {
                let Supply(limit) = Supply::new(Hpa::new(0), level.min(most), permissions, false);
                return Ok(Supply(limit | Supply::ALLOC));
            }
            (AXAS_RESOLVE_NOW | AXAS_RESOLVE_GIVEN, Some(level))
                if level <= most
                    && hpa & level.size().wrapping_sub(1) == 0
                    && npt.host.is_in_width(hpa, level.size()) =>
            {
                return Ok(Supply::new(Hpa::new(hpa), level, permissions, is_given));
            }
            _ => {}
        }
        self.refuse(is_given, answer, self.gpa.base(Level::PAGE).bits());
        Err(Verdict::NoMemory)
    }

    /// Takes an answer for a page of 4 KiB that is not the usual one; none if the entry is another one then, on which this
    /// fault comes to no verdict.
    #[cold]
    #[inline(never)]
    fn take_unusual_answer<F: Format>(
        &mut self,
        how: u32,
        answer: &axas_supply_t,
    ) -> Option<Verdict> {
        let answer = self.judge_answer(Entry::<F>::from_word(self.met.word), how, answer);
        let verdict = self.take_on::<F>(answer);
        let verdict = self.end::<F>(verdict);
        // It is not counted where short faults are.
        (verdict != Verdict::Hidden).then_some(verdict)
    }

    /// An answer that cannot be used. A frame that was given goes back, as one of alloc_frame that cannot be used.
    #[cold]
    #[inline(never)]
    fn refuse(&self, is_given: bool, answer: &axas_supply_t, gpa: u64) {
        self.npt.host.complain_of_answer(gpa, answer.hpa);
        if is_given && answer.hpa != AXAS_HPA_INVALID {
            let level = level_of(answer.size).unwrap_or(Level::PAGE);
            self.shard.count_for_nothing(level);
            self.npt.host.give(Hpa::new(answer.hpa), level.order(), Purpose::Guest);
        }
    }

    /// Puts what the host answered in place; none if the entry that was met has changed. A frame that was given and is not put
    /// in place goes back.
    #[inline(never)]
    fn put_answer<F: Format>(&mut self, supply: Supply) -> Option<Verdict> {
        let Place { page, index, word } = self.met;
        let entry = Entry::<F>::from_word(word);
        let mut verdict = Some(Verdict::Error);
        if let Some(table) = Table::<F>::open(self.npt, page) {
            let put = if supply.takes_frame() {
                let permissions = supply.permissions();
                let attributes = Attributes { permissions, ..entry.reservation().attributes() };
                let limited = Reservation::new(attributes, supply.level().get());
                self.install(&table, index, entry, limited)
            } else {
                self.put_supply(&table, index, entry, supply)
            };
            verdict = match put {
                Some(true) => return Some(Verdict::Resolved),
                Some(false) => None,
                // Another call may have brought what is missing here.
                None if table.load_acquire(index) != entry => None,
                None => Some(Verdict::NoMemory),
            };
        }
        if supply.is_given() {
            self.give_guest(supply.frame());
        }
        verdict
    }

    /// Puts a frame of the host's in the place of a provider's reservation, as [`Fault::install`], and counts it.
    #[inline(never)]
    fn put_supply<F: Format>(
        &mut self,
        table: &Table<'_, F>,
        index: Index,
        entry: Entry<F>,
        supply: Supply,
    ) -> Option<bool> {
        let (level, is_given) = (supply.level(), supply.is_given());
        let permissions = supply.permissions();
        let attributes = Attributes { permissions, ..entry.reservation().attributes() };
        let features = self.npt.features;
        let template = Entry::page_template(attributes, features, level.get(), is_given).ok()?;
        let leaf = template.page_at(supply.frame().address());
        if planted(Defect::SupplyReplaces) && level == self.level {
            table.store(index, leaf);
        } else {
            match self.put(table, index, entry, leaf, level) {
                Some(true) => {}
                other => return other,
            }
        }
        self.took_nothing = true;
        self.npt.count_supplied(level, is_given);
        Some(true)
    }

    /// Puts a frame that a call brings in the place of a provider's reservation.
    #[inline(never)]
    pub(crate) fn supply<F: Format>(&mut self, supply: Supply) -> Result<()> {
        let (level, permissions) = (supply.level(), supply.permissions());
        let npt = self.npt;
        let mut page = npt.root_page::<F>(self.gpa);
        loop {
            let table = Table::<F>::open(npt, page).ok_or(Error::BadState)?;
            let index = self.gpa.index(self.level);
            let entry = table.load_acquire(index);
            if self.level > level && F::is_table(entry.word()) {
                page = entry.table_address();
                self.level = self.level.down();
                continue;
            }
            #[cfg(feature = "hide")]
            if entry.is_hidden_table() {
                match self.open(&table, index, entry) {
                    None => continue,
                    Some(Verdict::Retry) => return Err(Error::Again),
                    Some(_) => return Err(Error::BadState),
                }
            }
            if !entry.is_provided() {
                return Err(match entry.state(self.level.get()) {
                    State::Table if table.is_absent(entry, self.level) => Error::NotMapped,
                    State::Leaf | State::Hidden | State::Table => Error::AlreadyExists,
                    State::Empty | State::Reserved | State::Trap | State::Note => Error::NotMapped,
                    _ => Error::BadState,
                });
            }
            let reservation = entry.reservation();
            if !reservation.attributes().permissions.contains(permissions) {
                return Err(Error::Denied);
            }
            if level > npt.largest_frame(reservation, level) {
                return Err(Error::Unsupported);
            }
            let attributes = Attributes { permissions, ..reservation.attributes() };
            Entry::<F>::page_template(attributes, npt.features, 1, supply.is_given())?;
            match self.put_supply(&table, index, entry, supply) {
                Some(true) => break,
                // Another call was first: what it put there is looked at.
                Some(false) => {}
                None if table.load_acquire(index) != entry => {}
                None => return Err(Error::NoMemory),
            }
        }
        #[cfg(feature = "age")]
        npt.warm_path::<F>(self.gpa);
        npt.repair_after::<F>(self.shard, self.gpa, level, Verdict::Resolved);
        Ok(())
    }
}

impl NestedPageTable {
    /// Asks the host for a page of write-back memory, in a space with short faults, and puts it in the place of its
    /// reservation; none if the reservation is another one or does not allow the access.
    #[inline(never)]
    pub(super) fn provide_page<F: Format>(
        &self,
        shard: &Shard,
        gpa: Gpa,
        access: Permissions,
        slot: Slot<'_>,
        entry: Entry<F>,
    ) -> Option<Verdict> {
        let permissions = entry.provided_write_back()?;
        if access.bits() & !permissions != 0 {
            return None;
        }
        let flags = permissions | AXAS_NO_HUGE;
        let mut answer =
            axas_supply_t { hpa: AXAS_HPA_INVALID, size: PAGE_SIZE, flags, reserved: 0 };
        let page = gpa.base(Level::PAGE).bits();
        let how = self.host.resolve(entry.provider(), page, access.bits(), &mut answer);
        if how == AXAS_RESOLVE_LATER {
            return Some(Verdict::Wait);
        }
        let asks_more = answer.flags & !flags != 0 || answer.reserved != 0;
        let is_page = answer.size == PAGE_SIZE && self.host.is_page(answer.hpa);
        if how == AXAS_RESOLVE_NOW
            && is_page
            && !asks_more
            && let Some(leaf) = self.write_back_page::<F>(answer.flags & !AXAS_NO_HUGE)
        {
            // The frame stays the host's if another call was first.
            if !exchange(slot.word(), entry, leaf.at(Hpa::new(answer.hpa))) {
                return None;
            }
            shard.add(FaultCounter::Supplied, 1);
            self.repair_after::<F>(shard, gpa, Level::PAGE, Verdict::Resolved);
            return Some(Verdict::Resolved);
        }
        let met = Place {
            page: slot.table(self.offset),
            index: gpa.index(Level::PAGE),
            word: entry.word(),
        };
        let mut fault = Fault::new(self, shard, gpa, access, Prepared::NONE);
        (fault.level, fault.met) = (Level::PAGE, met);
        fault.take_unusual_answer::<F>(how, &answer)
    }

    /// Puts a page of write-back memory in the place of a provider's reservation where its table is there, in a space
    /// whose tables are in a direct map; none if that was not done here.
    #[inline(always)]
    pub(crate) fn supply_page<F: Format>(
        &self,
        shard: &Shard,
        gpa: Gpa,
        supply: Supply,
    ) -> Option<()> {
        let slot = self.page_way::<F>(gpa)?.page.word();
        let entry = Entry::<F>::from_word(slot.load(Ordering::Acquire));
        let allowed = entry.provided_write_back()?;
        let permissions = supply.permissions().bits();
        if permissions & !allowed != 0 {
            return None;
        }
        let leaf = self.write_back_page::<F>(permissions)?.at(supply.frame().address());
        let owned = if supply.is_given() { F::OWNED } else { 0 };
        if !exchange(slot, entry, Entry::from_word(leaf.word() | owned)) {
            return None;
        }
        self.count_supplied(Level::PAGE, supply.is_given());
        self.repair_after::<F>(shard, gpa, Level::PAGE, Verdict::Resolved);
        Some(())
    }

    /// Counts a leaf that came beside other faults.
    fn count_supplied(&self, level: Level, is_given: bool) {
        if let Some(leaves) = self.counts.leaves.get(level.down().get() as usize) {
            leaves.fetch_add(1, Ordering::Relaxed);
        }
        if is_given {
            self.counts.guest.fetch_add(level.pages(), Ordering::Relaxed);
            self.counts.allocated.fetch_add(level.pages(), Ordering::Relaxed);
        }
    }

    /// Notes that there may be a provider's pages.
    pub(crate) fn begin_providing(&self) {
        self.has_providers.store(1, Ordering::Relaxed);
    }

    /// Whether there may be.
    pub(crate) fn may_provide(&self) -> bool {
        self.has_providers.load(Ordering::Relaxed) != 0
    }

    /// The first address of a range that a provider's reservation covers, or the range's end; beside faults.
    #[inline(never)]
    pub(crate) fn next_provided<F: Format>(&self, range: GpaRange) -> Option<Gpa> {
        let mut sweep = Sweep::nowhere();
        sweep.begin(self, range);
        while sweep.next::<F>(self, &Broken::NONE)? {
            let Run { page, level, span, gpa, .. } = sweep.run;
            let table = Table::<F>::reach(self, page)?;
            let mut at = gpa;
            let mut found = None;
            for index in span.indices() {
                let entry = table.load_acquire(index);
                if entry.is_provided() {
                    return Some(at);
                }
                // A fault put it in the place of a reservation since the sweep came by.
                if level > Level::PAGE && F::is_table(entry.word()) {
                    found = Some(entry.table_address());
                    break;
                }
                at = at.end(level);
            }
            drop(table);
            if let Some(table) = found {
                sweep.enter(self, at, table)?;
            }
        }
        Some(range.end)
    }

    /// Takes the next provided page of a range in, as a fault would, but says nothing to walkers: where it is, and the
    /// verdict; none at the end of the range.
    #[inline(never)]
    pub(crate) fn bring_next<F: Format>(
        &self,
        shard: &Shard,
        range: GpaRange,
    ) -> Option<(Gpa, Option<Verdict>)> {
        let at = self.next_provided::<F>(range)?;
        if at >= range.end {
            return Some((at, None));
        }
        let verdict =
            Fault::new(self, shard, at, Permissions::empty(), Prepared::NONE).bring::<F>();
        Some((at, Some(verdict)))
    }

    /// Makes this CPU see what was brought to a range.
    pub(crate) fn announce_brought<F: Format>(&self, range: GpaRange) {
        publish_tables();
        if F::caches_invalid(self.features) {
            self.lock.shard().add(FaultCounter::Flushes, 1);
            self.flush_now::<F>(FlushRequest::new(range), AXAS_FLUSH_NEW, AXAS_SCOPE_LOCAL);
        }
    }

    /// Puts a provider's reservations in the place of the pages of a range.
    #[inline(never)]
    pub(crate) fn evict<F: Format>(
        &self,
        work: &mut Work,
        range: GpaRange,
        provider: u16,
    ) -> Result<()> {
        self.begin_providing();
        let mut request = FlushRequest::new(range);
        self.split::<F>(work, range, &Cut::Evicted, &mut request)?;
        let Work { sweep, broken, .. } = work;
        let detached = self.detach_evicted::<F>(sweep, broken, range, &mut request);
        let remains = Remains::Provided { provider, is_logged: self.is_logged() };
        if planted(Defect::EvictedUnflushed) {
            work.releases.begin(true, None);
            self.reap::<F>(work, range, remains, false).ok_or(Error::BadState)?;
        }
        self.issue_if::<F>(request, AXAS_FLUSH_UNMAP);
        let mended = self.mend::<F>(&mut work.broken);
        self.begin_reaping();
        work.releases.begin(true, None);
        let reaped = self.reap::<F>(work, range, remains, false);
        detached.and(mended).and(reaped).ok_or(Error::BadState)
    }

    /// Makes dead what is to be evicted.
    #[inline(never)]
    fn detach_evicted<F: Format>(
        &self,
        sweep: &mut Sweep,
        broken: &Broken,
        range: GpaRange,
        request: &mut FlushRequest,
    ) -> Option<()> {
        sweep.begin(self, range);
        while sweep.next::<F>(self, broken)? {
            let Run { page, level, span, .. } = sweep.run;
            let mut has_leaf = false;
            Table::<F>::reach(self, page)?.edit(span, |entry| {
                if !entry.can_evict() {
                    return entry;
                }
                has_leaf |= entry.is_hardware_visible();
                entry.evicted(self.features, level.get())
            });
            if has_leaf {
                request.add_leaf(level);
            }
        }
        Some(())
    }

    /// Tells the host of the pages that were read, and gives back the frames that it does not keep.
    #[inline(never)]
    pub(super) fn report_evicted<F: Format>(&self, runs: &mut Runs<'_>) {
        let like = Entry::<F>::from_word(runs.like);
        let state = if like.is_owned() { AXAS_STATE_OWNED } else { AXAS_STATE_LINEAR };
        let flags = like.attributes(self.features).flags();
        while let Some((gpa, hpa, size)) = runs.next::<F>() {
            let (gpa, hpa) = (gpa.bits(), hpa.bits());
            let level = runs.level.get();
            let none = axas_mapping_t::default();
            let run = axas_mapping_t { gpa, size, hpa, flags, state, level, ..none };
            let keeps = self.host.evicted(&run, like.was_dirty());
            if state == AXAS_STATE_LINEAR {
                self.host.released(&run);
                continue;
            }
            if !keeps {
                let mut at = 0;
                while at < size {
                    let frame = Hpa::new(hpa).plus(at);
                    self.host.give(frame, runs.level.order(), Purpose::Guest);
                    at = at.wrapping_add(runs.level.size());
                }
            }
            let pages = size / PAGE_SIZE;
            add(&self.counts.released, pages);
            subtract(&self.counts.guest, pages);
        }
    }
}
