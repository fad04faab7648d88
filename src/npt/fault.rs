// SPDX-License-Identifier: MIT OR Apache-2.0
//! Page faults: one walk, everything built off-line, one compare-exchange.
//!
//! Runs beside other faults and never waits. The loser of a race gives its tables back, keeps its frame
//! and walks on from the entry that won: each round is one level lower at least, so that there are at most as
//! many rounds as levels.

use super::NestedPageTable;
use super::arch::Format;
use super::entry::{Entry, Reservation, State, Way};
use super::lock::{FaultCounter, Shard};
use super::table::{Table, exchange};
use super::units::{Gpa, GpaRange, Hpa, Index, Level};
use crate::abi::*;
use crate::addr::{Bits, PAGE_SIZE};
use crate::error::{Error, Result};
use crate::flags::{Attributes, Permissions};
use crate::hal::{FlushRequest, Purpose, publish_tables};
use crate::sync::{Defect, Ordering, planted, unless};

/// What came of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Verdict {
    /// A frame was installed.
    Resolved = AXAS_FAULT_RESOLVED,
    /// The entry allows the access already.
    Spurious = AXAS_FAULT_SPURIOUS,
    /// An exclusive call runs, or the entry is in transition.
    Retry = AXAS_FAULT_RETRY,
    /// An emulated device.
    Trap = AXAS_FAULT_TRAP,
    /// Not mapped.
    Unmapped = AXAS_FAULT_UNMAPPED,
    /// The mapping does not allow the access.
    Denied = AXAS_FAULT_DENIED,
    /// No frame for a reserved page.
    NoMemory = AXAS_FAULT_NO_MEMORY,
    /// Bad arguments or a corrupt table.
    Error = AXAS_FAULT_ERROR,
}

/// A guest's frame, for a leaf of a level.
#[derive(Clone, Copy)]
pub(super) struct Frame {
    pub(super) address: Hpa,
    pub(super) level: Level,
}

/// A frame that was filled for a reservation, or none: one word, so that a fault without one carries
/// nothing.
#[derive(Clone, Copy)]
pub(crate) struct Prepared(u64);

impl Prepared {
    /// No frame.
    pub(crate) const NONE: Self = Self(0);

    /// A frame with the attributes of its page.
    pub(super) fn new(frame: Frame, attributes: Attributes) -> Self {
        let payload = Reservation { attributes, largest: frame.level.get() }.payload();
        Self(frame.address.bits() | u64::from(payload))
    }

    fn reservation(self) -> Reservation {
        Reservation::from_payload((self.0 & (PAGE_SIZE - 1)) as u16)
    }

    /// The frame, if there is one.
    fn frame(self) -> Option<Frame> {
        (self.0 != 0).then(|| Frame {
            address: Hpa::new(self.0 & !(PAGE_SIZE - 1)),
            level: Level::new(self.reservation().largest),
        })
    }

    /// Whether a frame was filled for a page with these attributes, if one was filled at all.
    fn fits(self, attributes: Attributes) -> bool {
        self.0 == 0 || self.reservation().attributes == attributes
    }
}

/// A fault in work, counted in its reader's line.
pub(crate) struct Fault<'a> {
    pub(super) npt: &'a NestedPageTable,
    shard: &'a Shard,
    gpa: Gpa,
    access: Permissions,
    prepared: Prepared,
    /// A frame that was taken and is not installed yet.
    spare: Option<Frame>,
    /// The level of the entry at which the walk ended, then that of the leaf that was installed.
    level: Level,
}

impl<'a> Fault<'a> {
    /// A fault at an address of the space; an empty access is always allowed. A prepared frame is installed,
    /// or goes back; no other is installed then.
    pub(crate) fn new(
        npt: &'a NestedPageTable,
        shard: &'a Shard,
        gpa: Gpa,
        access: Permissions,
        prepared: Prepared,
    ) -> Self {
        Self { npt, shard, gpa, access, prepared, spare: prepared.frame(), level: npt.levels }
    }

    /// Gives back the frame that was to be installed.
    pub(crate) fn give_back(self) {
        if let Some(frame) = self.spare {
            self.give_guest(frame);
        }
    }

    /// Handles it.
    #[inline(never)]
    pub(crate) fn handle<F: Format>(&mut self) -> Verdict {
        let verdict = self.install_or_judge::<F>();
        if let Some(frame) = self.spare {
            self.give_guest(frame);
        }
        match verdict {
            Verdict::Resolved => self.count_resolved(),
            Verdict::Spurious => {}
            _ => return verdict,
        }
        self.npt.repair_after::<F>(self.shard, self.gpa, self.level, verdict);
        verdict
    }

    /// A frame that was taken for nothing is left in `spare`.
    fn install_or_judge<F: Format>(&mut self) -> Verdict {
        let mut page = self.npt.root_page::<F>(self.gpa);
        loop {
            let Some(table) = Table::<F>::open(self.npt, page) else { return Verdict::Error };
            let index = self.gpa.index(self.level);
            let entry = table.load_acquire(index);
            match entry.way(self.level.get()) {
                Way::Down(below) => {
                    page = below;
                    self.level = self.level.down();
                    continue;
                }
                Way::Corrupt => return Verdict::Error,
                Way::Ends => {}
            }
            if !entry.is_reserved() {
                return self.judge(entry);
            }
            let attributes = entry.reservation().attributes;
            if !attributes.permissions.contains(self.access) {
                return Verdict::Denied;
            }
            // The frame was filled for what is not there any more.
            if !self.prepared.fits(attributes) {
                return Verdict::Spurious;
            }
            match self.install(&table, index, entry) {
                Ok(true) => return Verdict::Resolved,
                Ok(false) => {}
                // A table came in its place: the frame is too large.
                Err(Error::Again) => return Verdict::Spurious,
                // Another call may have brought what is missing here.
                Err(_) if table.load_acquire(index) != entry => {}
                Err(_) => return Verdict::NoMemory,
            }
        }
    }

    /// The verdict where nothing is to be installed.
    #[inline(never)]
    fn judge<F: Format>(&self, entry: Entry<F>) -> Verdict {
        let permissions = || entry.attributes(self.npt.features).permissions;
        match entry.state(self.level.get()) {
            State::Leaf if permissions().contains(self.access) => Verdict::Spurious,
            State::Leaf => Verdict::Denied,
            State::Empty => Verdict::Unmapped,
            State::Trap => Verdict::Trap,
            State::Corrupt | State::Table | State::Reserved => Verdict::Error,
            State::Busy
            | State::Pending
            | State::PendingTable
            | State::DeadLeaf
            | State::DeadTable => Verdict::Retry,
        }
    }

    /// Puts a frame in the place of a reservation, with the tables between the two; false if another fault was
    /// first.
    #[inline(never)]
    fn install<F: Format>(
        &mut self,
        table: &Table<'_, F>,
        index: Index,
        entry: Entry<F>,
    ) -> Result<bool> {
        let reservation = entry.reservation();
        let frame = self.frame_for::<F>(reservation)?;
        self.spare = Some(frame);
        let attributes = reservation.attributes;
        let leaf = frame.level.get();
        let template = Entry::leaf_template(attributes, self.npt.features, leaf, true)?;
        let mut chain = Chain { top: template.at(frame.address), level: frame.level };
        let built = self.build(&mut chain, entry);
        if built.is_ok() && table.replace(index, entry, chain.top) {
            self.spare = None;
            self.level = frame.level;
            return Ok(true);
        }
        self.take_down(chain, frame.level).ok_or(Error::BadState)?;
        built.map(|()| false)
    }

    /// Builds tables between a leaf and a reservation, as far as there are frames. The quota has room for all
    /// of them, or none is taken.
    #[inline(never)]
    fn build<F: Format>(&self, chain: &mut Chain<F>, reservation: Entry<F>) -> Result<()> {
        let missing = u64::from(self.level.get().wrapping_sub(chain.level.get()));
        if missing == 0 {
            return Ok(());
        }
        self.npt.reserve_tables(missing)?;
        while chain.level < self.level {
            if let Err(error) = self.push_down(chain, reservation) {
                let left = self.level.get().wrapping_sub(chain.level.get());
                self.npt.tables.fetch_sub(u64::from(left), Ordering::Relaxed);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Puts a table, counted already, above a chain: everything in it is as the reservation says, but for the
    /// entry of the address.
    fn push_down<F: Format>(&self, chain: &mut Chain<F>, reservation: Entry<F>) -> Result<()> {
        let page = self.take(Level::PAGE, Purpose::Table)?;
        self.shard.add(FaultCounter::ExtraAllocated, 1);
        let index = self.gpa.index(chain.level);
        let filled = self
            .npt
            .fill_unseen(page, reservation)
            .and_then(|()| self.npt.set(page, index, chain.top));
        if filled.is_none() {
            self.shard.add(FaultCounter::Released, 1);
            self.npt.host.give(page, 0, Purpose::Table);
            return Err(Error::BadState);
        }
        (chain.top, chain.level) = (Entry::full_table(page), chain.level.up());
        Ok(())
    }

    /// Gives back the tables that were built for nothing.
    #[inline(never)]
    fn take_down<F: Format>(&self, chain: Chain<F>, leaf: Level) -> Option<()> {
        let Chain { top: mut entry, mut level } = chain;
        while level > leaf {
            level = level.down();
            let page = entry.address();
            entry = self.npt.entry(page, self.gpa.index(level))?;
            if planted(Defect::TableKept) {
                continue;
            }
            self.npt.tables.fetch_sub(1, Ordering::Relaxed);
            self.shard.add(FaultCounter::Released, 1);
            self.npt.host.give(page, 0, Purpose::Table);
        }
        Some(())
    }

    /// The frame of an earlier round if it fits, else a new one: of 2 MiB if the reservation wants it,
    /// the entry covers as much and the host has one.
    #[inline(never)]
    fn frame_for<F: Format>(&mut self, reservation: Reservation) -> Result<Frame> {
        let largest = self.npt.largest_frame(reservation, self.level.min(Level::LARGE));
        if let Some(frame) = self.spare.take() {
            if frame.level <= largest {
                return Ok(frame);
            }
            self.give_guest(frame);
            if self.prepared.frame().is_some() {
                return Err(Error::Again);
            }
        }
        let attributes = reservation.attributes;
        if largest == Level::LARGE
            && let Ok(frame) = self.guest_frame::<F>(largest, attributes)
        {
            return Ok(frame);
        }
        self.guest_frame::<F>(Level::PAGE, attributes)
    }

    /// Takes a guest frame.
    pub(super) fn take_guest(&self, level: Level) -> Result<Frame> {
        self.take(level, Purpose::Guest).map(|address| Frame { address, level })
    }

    /// A frame for a leaf of a level, as the guest is to find it.
    fn guest_frame<F: Format>(&self, level: Level, attributes: Attributes) -> Result<Frame> {
        let frame = self.take_guest(level)?;
        match self.npt.prepare_frame::<F>(frame.address, level, attributes) {
            Ok(()) => Ok(frame),
            Err(error) => {
                self.give_guest(frame);
                Err(error)
            }
        }
    }

    /// Takes a frame from the host.
    fn take(&self, level: Level, purpose: Purpose) -> Result<Hpa> {
        self.npt.host.take(level.order(), purpose).inspect_err(|error| {
            if *error == Error::BadState {
                // What came was no frame and went back.
                self.count_for_nothing(level);
            }
        })
    }

    fn count_for_nothing(&self, level: Level) {
        self.shard.add(FaultCounter::ExtraAllocated, level.pages());
        self.shard.add(FaultCounter::Released, level.pages());
    }

    /// Gives back a guest frame that was taken for nothing.
    #[cold]
    #[inline(never)]
    pub(super) fn give_guest(&self, frame: Frame) {
        if planted(Defect::FrameKept) {
            return;
        }
        self.count_for_nothing(frame.level);
        self.npt.host.give(frame.address, frame.level.order(), Purpose::Guest);
    }

    /// The reader's line counts a page for each fault that was resolved.
    fn count_resolved(&self) {
        if self.level > Level::PAGE {
            self.shard.add(FaultCounter::Huge, 1);
            self.shard.add(FaultCounter::ExtraAllocated, self.level.pages().wrapping_sub(1));
        }
    }
}

/// A leaf with the tables that were built above it.
struct Chain<F> {
    /// The entry that names the uppermost.
    top: Entry<F>,
    /// The level of the table that this entry is for.
    level: Level,
}

impl NestedPageTable {
    /// Puts a frame in the place of a reservation of a page of write-back memory, in a space that is plain and
    /// whose frames need not be zeroed; none if that was not done here.
    #[inline(always)]
    pub(crate) fn resolve_page<F: Format>(
        &self,
        shard: &Shard,
        gpa: Gpa,
        access: Permissions,
    ) -> Option<Verdict> {
        let way = self.page_way::<F>(gpa)?;
        let slot = way.page.word();
        let entry =
            Entry::<F>::from_word(slot.load(unless(Defect::Acquisition, Ordering::Acquire)));
        let Some(permissions) = entry.reserved_write_back() else {
            return self.judge_page::<F>(shard, gpa, access, entry);
        };
        if access.bits() & !permissions != 0 {
            return None;
        }
        let leaf = self.write_back_page::<F>(permissions)?;
        let frame = self.host.alloc_frame(0, Purpose::Guest);
        if !self.host.is_page(frame) {
            let is_same = slot.load(Ordering::Acquire) == entry.word();
            return self.no_page(shard, frame, is_same);
        }
        let owned = Entry::from_word(leaf.at(Hpa::new(frame)).word() | F::OWNED);
        if !exchange(slot, entry, owned) {
            Fault::new(self, shard, gpa, access, Prepared::NONE)
                .give_guest(Frame { address: Hpa::new(frame), level: Level::PAGE });
            return None;
        }
        self.repair_after::<F>(shard, gpa, Level::PAGE, Verdict::Resolved);
        Some(Verdict::Resolved)
    }

    /// The verdict on an access that the entry of a page allows; none if it does not, or maps none.
    #[inline(never)]
    fn judge_page<F: Format>(
        &self,
        shard: &Shard,
        gpa: Gpa,
        access: Permissions,
        entry: Entry<F>,
    ) -> Option<Verdict> {
        if !entry.is_leaf(1) || !entry.attributes(self.features).permissions.contains(access) {
            return None;
        }
        self.repair_after::<F>(shard, gpa, Level::PAGE, Verdict::Spurious);
        Some(Verdict::Spurious)
    }

    /// The verdict where there is no frame for a page; none if its entry changed, as another call may have
    /// brought what is missing.
    #[cold]
    #[inline(never)]
    fn no_page(&self, shard: &Shard, answer: u64, is_same: bool) -> Option<Verdict> {
        if self.host.refuse(answer, 0, Purpose::Guest) == Error::BadState {
            // What came was no frame and went back.
            shard.add(FaultCounter::ExtraAllocated, 1);
            shard.add(FaultCounter::Released, 1);
        }
        is_same.then_some(Verdict::NoMemory)
    }

    /// Counts table frames that are about to be taken, beside other faults: all of them, or none where the quota
    /// has no room. The count never passes the quota, so that no fault is refused because of one that is refused.
    #[inline(never)]
    fn reserve_tables(&self, pages: u64) -> Result<()> {
        let mut count = self.table_count();
        loop {
            let sum = count.wrapping_add(pages);
            if sum > self.table_quota {
                return Err(Error::NoMemory);
            }
            let relaxed = Ordering::Relaxed;
            match self.tables.compare_exchange_weak(count, sum, relaxed, relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => count = now,
            }
        }
    }

    /// Makes this CPU see what its walker may have missed of an entry of a level; other CPUs fault and come here
    /// themselves.
    #[inline(always)]
    fn repair_after<F: Format>(&self, shard: &Shard, gpa: Gpa, level: Level, verdict: Verdict) {
        publish_tables();
        if F::caches_invalid(self.features) {
            self.repair::<F>(shard, gpa, level, AXAS_FLUSH_NEW);
        } else if verdict == Verdict::Spurious && F::caches_denials() {
            self.repair::<F>(shard, gpa, level, AXAS_FLUSH_RELAX);
        }
    }

    /// Flushes the entry of an address on this CPU.
    #[inline(never)]
    pub(crate) fn repair<F: Format>(&self, shard: &Shard, gpa: Gpa, level: Level, reason: u32) {
        let base = gpa.base(level);
        let mut request = FlushRequest::new(GpaRange::new(base, gpa.end(level)));
        request.add_leaf(level);
        shard.add(FaultCounter::Flushes, 1);
        self.flush_now::<F>(request, reason, AXAS_SCOPE_LOCAL);
    }
}
