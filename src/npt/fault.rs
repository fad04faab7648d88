// SPDX-License-Identifier: MIT OR Apache-2.0
//! Page faults: one walk, everything built off-line, one compare-exchange.
//!
//! Runs beside other faults and never waits. The loser of a race gives its tables back, keeps its frame
//! and walks on from the entry that won: each round is one level lower at least, so that there are at most as
//! many rounds as levels.

use super::arch::Format;
use super::entry::{Access, Entry, HIDES, Reservation, State};
use super::lock::{FaultCounter, Shard};
#[cfg(feature = "tags")]
use super::look::Found;
#[cfg(feature = "provider")]
use super::provider::Place;
use super::table::{Table, exchange};
use super::units::{Gpa, GpaRange, Hpa, Index, Level};
use super::{AGES, NestedPageTable, watch};
use crate::abi::*;
use crate::addr::{Bits, PAGE_SIZE};
use crate::error::Error;
use crate::flags::Permissions;
use crate::hal::{FlushRequest, Purpose, publish_tables};
#[cfg(feature = "dirty")]
use crate::sync::AtomicU64;
use crate::sync::{Defect, Ordering, planted, unless};
use core::num::NonZeroU64;

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
    /// The host brings the page later.
    Wait = AXAS_FAULT_WAIT,
    /// The page is hidden.
    Hidden = AXAS_FAULT_HIDDEN,
    /// No frame for a reserved page.
    NoMemory = AXAS_FAULT_NO_MEMORY,
    /// Bad arguments or a corrupt table.
    Error = AXAS_FAULT_ERROR,
}

/// A guest's frame, for a leaf of a level, in one word: bit 0 is 1, the level is behind it.
#[derive(Clone, Copy)]
pub(super) struct Frame(NonZeroU64);

impl Frame {
    pub(super) fn new(address: Hpa, level: Level) -> Self {
        Self(NonZeroU64::MIN | address.bits() | u64::from(level.get()) << 1)
    }

    pub(super) fn address(self) -> Hpa {
        Hpa::new(self.0.get() & !(PAGE_SIZE - 1))
    }

    pub(super) fn level(self) -> Level {
        Level::new(self.0.get() as u32 >> 1 & 3)
    }
}

/// A frame that was filled for a reservation, or none: one word, so that a fault without one carries
/// nothing.
#[derive(Clone, Copy)]
pub(crate) struct Prepared(u64);

impl Prepared {
    /// No frame.
    pub(crate) const NONE: Self = Self(0);

    /// A frame that was filled for a page of a reservation.
    pub(super) fn new(frame: Frame, reservation: Reservation) -> Self {
        // The tag is that of the reservation in whose place the frame comes.
        let payload = reservation.of_level(frame.level().get()).untagged().payload();
        Self(frame.address().bits() | u64::from(payload))
    }

    fn is_some(self) -> bool {
        self.0 != 0
    }

    fn reservation(self) -> Reservation {
        Reservation::from_payload((self.0 & (PAGE_SIZE - 1)) as u16)
    }

    /// The frame, if there is one.
    fn frame(self) -> Option<Frame> {
        let address = Hpa::new(self.0 & !(PAGE_SIZE - 1));
        self.is_some().then(|| Frame::new(address, Level::new(self.reservation().largest())))
    }

    /// Gives the frame back, if there is one.
    pub(crate) fn give_back(self, npt: &NestedPageTable, shard: &Shard) {
        if let Some(frame) = self.frame() {
            npt.give_unused(shard, frame);
        }
    }

    /// Whether a frame was filled for a page of such a reservation, if one was filled at all.
    fn fits(self, reservation: Reservation) -> bool {
        !self.is_some() || self.reservation().has_attributes_of(reservation)
    }
}

/// A fault in work, counted in its reader's line.
pub(crate) struct Fault<'a> {
    pub(super) npt: &'a NestedPageTable,
    pub(super) shard: &'a Shard,
    pub(super) gpa: Gpa,
    pub(super) access: Permissions,
    prepared: Prepared,
    /// A frame that was taken and is not installed yet.
    spare: Option<Frame>,
    /// The level of the entry at which the walk ended, then that of the leaf that was installed.
    pub(super) level: Level,
    /// The page was made dirty or young, and nothing installed.
    is_marked: bool,
    /// The fault took no frame from alloc_frame: a hidden page was shown, or a provider's installed.
    #[cfg(any(feature = "hide", feature = "provider"))]
    pub(super) took_nothing: bool,
    /// The word of that entry.
    #[cfg(feature = "tags")]
    seen: u64,
    /// Where a provider's reservation was met.
    #[cfg(feature = "provider")]
    pub(super) met: Place,
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
        Self {
            npt,
            shard,
            gpa,
            access,
            prepared,
            spare: prepared.frame(),
            level: npt.levels,
            is_marked: false,
            #[cfg(any(feature = "hide", feature = "provider"))]
            took_nothing: false,
            #[cfg(feature = "tags")]
            seen: 0,
            #[cfg(feature = "provider")]
            met: Place::NOWHERE,
        }
    }

    /// The entry that the verdict is about.
    #[cfg(feature = "tags")]
    pub(crate) fn found<F: Format>(&self) -> Found<F> {
        Found { entry: Entry::from_word(self.seen), level: self.level }
    }

    /// Keeps the entry that the verdict is about.
    #[inline(always)]
    fn see<F: Format>(&mut self, entry: Entry<F>) {
        let _ = entry;
        #[cfg(feature = "tags")]
        {
            self.seen = entry.word();
        }
    }

    /// Handles it.
    #[inline(never)]
    pub(crate) fn handle<F: Format>(&mut self) -> Verdict {
        let verdict = self.answer::<F>();
        self.end::<F>(verdict)
    }

    /// Ends it with a verdict.
    #[inline(always)]
    pub(super) fn end<F: Format>(&mut self, verdict: Verdict) -> Verdict {
        if let Some(frame) = self.spare {
            self.give_guest(frame);
        }
        match verdict {
            #[cfg(feature = "dirty")]
            Verdict::Resolved if self.is_marked => {
                self.npt.marked::<F>(self.shard, self.gpa, self.level);
                return verdict;
            }
            Verdict::Resolved => {
                self.count_resolved();
                #[cfg(feature = "age")]
                self.npt.warm_path::<F>(self.gpa);
            }
            Verdict::Spurious => {}
            _ => return verdict,
        }
        self.npt.repair_after::<F>(self.shard, self.gpa, self.level, verdict);
        verdict
    }

    /// Handles it without a word to walkers.
    #[cfg(feature = "provider")]
    #[inline(always)] // For the stack.
    pub(super) fn bring<F: Format>(&mut self) -> Verdict {
        let verdict = self.answer::<F>();
        if let Some(frame) = self.spare {
            self.give_guest(frame);
        }
        if verdict == Verdict::Resolved {
            self.count_resolved();
        }
        verdict
    }

    /// What came of it, with the host asked if need be.
    #[inline(always)]
    fn answer<F: Format>(&mut self) -> Verdict {
        let verdict = self.install_or_judge::<F>();
        #[cfg(feature = "provider")]
        if verdict == Verdict::Wait {
            return self.ask_on::<F>();
        }
        verdict
    }

    /// A frame that was taken for nothing is left in `spare`. The verdict is to wait where a provider's reservation was met,
    /// and the host is not asked yet.
    #[inline(never)]
    pub(super) fn install_or_judge<F: Format>(&mut self) -> Verdict {
        let mut page = self.npt.root_page::<F>(self.gpa);
        loop {
            let Some(table) = Table::<F>::open(self.npt, page) else { return Verdict::Error };
            let index = self.gpa.index(self.level);
            let entry = table.load_acquire(index);
            if self.level > Level::PAGE && F::is_table(entry.word()) {
                page = entry.table_address();
                self.level = self.level.down();
                continue;
            }
            self.see(entry);
            if !entry.is_reserved() {
                #[cfg(feature = "hide")]
                if entry.is_hidden_table() {
                    match self.open(&table, index, entry) {
                        Some(verdict) => return verdict,
                        None => continue,
                    }
                }
                #[cfg(feature = "hide")]
                if entry.shows_itself() {
                    match self.show(&table, index, entry) {
                        Some(verdict) => return verdict,
                        None => continue,
                    }
                }
                return self.mark_or_judge(&table, index, entry);
            }
            let reservation = entry.reservation();
            if self.access.bits() & !reservation.permission_bits() != 0 {
                return Verdict::Denied;
            }
            // The frame was filled for what is not there any more.
            if !self.prepared.fits(reservation) {
                return Verdict::Spurious;
            }
            #[cfg(feature = "provider")]
            if entry.is_provided() {
                return self.meet_provider(page, index, entry);
            }
            match self.install(&table, index, entry, reservation) {
                Some(true) => return Verdict::Resolved,
                Some(false) => {}
                // A table came in its place: the frame that was filled is too large.
                None if self.prepared.is_some() && self.spare.is_none() => {
                    return Verdict::Spurious;
                }
                // Another call may have brought what is missing here.
                None if table.load_acquire(index) != entry => {}
                None => return Verdict::NoMemory,
            }
        }
    }

    /// Makes the page dirty if the access is a write, and young, if its leaf allows it; the verdict where nothing is to be
    /// installed.
    #[inline(always)]
    fn mark_or_judge<F: Format>(
        &mut self,
        table: &Table<'_, F>,
        index: Index,
        entry: Entry<F>,
    ) -> Verdict {
        // A copy that has filled a frame for the page takes a resolved fault for its own page.
        if entry.is_leaf(self.level.get())
            && !self.prepared.is_some()
            && let Some(marks) = self.npt.marks_of_fault(entry, self.access)
        {
            let permissions = entry.attributes(self.npt.features).permissions;
            if permissions.contains(self.access) {
                self.is_marked = table.replace(index, entry, entry.after(marks));
                return if self.is_marked {
                    Verdict::Resolved
                } else {
                    // Another call did it.
                    Verdict::Spurious
                };
            }
        }
        self.judge(entry)
    }

    /// The verdict where nothing is to be installed.
    #[inline(never)]
    fn judge<F: Format>(&self, entry: Entry<F>) -> Verdict {
        let permissions = || entry.untagged(self.npt.features).permissions;
        match entry.state(self.level.get()) {
            State::Leaf if permissions().contains(self.access) => Verdict::Spurious,
            State::Leaf => Verdict::Denied,
            State::Hidden if entry.is_held() => Verdict::Hidden,
            State::Hidden if HIDES => Verdict::Denied,
            State::Empty | State::Note => Verdict::Unmapped,
            State::Trap => Verdict::Trap,
            State::Corrupt
            | State::Table
            | State::Reserved
            | State::Hidden
            | State::HiddenTable => Verdict::Error,
            State::Busy
            | State::Pending
            | State::PendingTable
            | State::DeadLeaf
            | State::DeadTable => Verdict::Retry,
        }
    }

    /// Shows a hidden table, in which everything is hidden before; none if the entry is another then. While one fault does it
    /// the others are told to come again: of two that hide the same page the slower one would hide what was shown.
    #[cfg(feature = "hide")]
    #[cold]
    #[inline(never)]
    pub(super) fn open<F: Format>(
        &self,
        table: &Table<'_, F>,
        index: Index,
        entry: Entry<F>,
    ) -> Option<Verdict> {
        if entry.state(self.level.get()) != State::HiddenTable {
            return Some(Verdict::Error);
        }
        if entry.is_opening() && !planted(Defect::OpenedTwice) {
            return Some(Verdict::Retry);
        }
        if !table.replace(index, entry, entry.opening()) {
            return None;
        }
        if planted(Defect::OpenedFirst) {
            table.store(index, entry.shown_table());
        }
        let pages = self.npt.hide_below::<F>(entry.address(), self.level.down());
        table.store(index, if pages.is_some() { entry.shown_table() } else { entry });
        if pages.is_some() { None } else { Some(Verdict::Error) }
    }

    /// Shows a hidden page, if it allows the access; none if its entry changed.
    #[cfg(feature = "hide")]
    #[cold]
    #[inline(never)]
    fn show<F: Format>(
        &mut self,
        table: &Table<'_, F>,
        index: Index,
        entry: Entry<F>,
    ) -> Option<Verdict> {
        let features = self.npt.features;
        if entry.state(self.level.get()) != State::Hidden {
            return Some(Verdict::Error);
        }
        if !entry.attributes(features).permissions.contains(self.access) {
            return Some(Verdict::Denied);
        }
        // The frame was filled for a reservation that is not there any more.
        if self.prepared.is_some() {
            return Some(Verdict::Spurious);
        }
        let mut shown = entry.shown(features, self.level.get(), self.npt.marks_writes());
        if let Some(marks) = self.npt.marks_of_fault(shown, self.access) {
            shown = shown.after(marks);
        }
        self.took_nothing = table.replace(index, entry, shown);
        if self.took_nothing {
            self.see(shown);
        }
        self.took_nothing.then_some(Verdict::Resolved)
    }

    /// Puts a frame in the place of a reservation, with the tables between the two; false if another fault was
    /// first, none if something is missing.
    #[inline(never)]
    pub(super) fn install<F: Format>(
        &mut self,
        table: &Table<'_, F>,
        index: Index,
        entry: Entry<F>,
        reservation: Reservation,
    ) -> Option<bool> {
        let frame = self.frame_for::<F>(reservation)?;
        self.spare = Some(frame);
        let (attributes, level) = (reservation.attributes(), frame.level());
        let template =
            Entry::page_template(attributes, self.npt.features, level.get(), true).ok()?;
        let leaf = template.page_at(frame.address());
        let installed = self.put(table, index, entry, leaf, level);
        if installed == Some(true) {
            self.spare = None;
        }
        installed
    }

    /// Puts a leaf in the place of a reservation, as [`Fault::install`].
    #[inline(always)]
    pub(super) fn put<F: Format>(
        &mut self,
        table: &Table<'_, F>,
        index: Index,
        entry: Entry<F>,
        leaf: Entry<F>,
        level: Level,
    ) -> Option<bool> {
        let mut chain = Chain { top: leaf, level };
        let is_built = self.build(&mut chain, entry);
        if is_built && table.replace(index, entry, chain.top) {
            self.level = level;
            self.see(leaf);
            return Some(true);
        }
        self.take_down(chain, level)?;
        is_built.then_some(false)
    }

    /// Builds tables between a leaf and a reservation, as far as there are frames. The quota has room for all
    /// of them, or none is taken.
    #[inline(never)]
    fn build<F: Format>(&self, chain: &mut Chain<F>, reservation: Entry<F>) -> bool {
        let missing =
            |chain: &Chain<F>| u64::from(self.level.get().wrapping_sub(chain.level.get()));
        let count = missing(chain);
        if count != 0 && !self.npt.reserve_tables(count) {
            return false;
        }
        while chain.level < self.level {
            if self.push_down(chain, reservation).is_none() {
                self.npt.tables.fetch_sub(missing(chain), Ordering::Relaxed);
                return false;
            }
        }
        true
    }

    /// Puts a table, counted already, above a chain: everything in it is as the reservation says, but for the
    /// entry of the address.
    #[inline(always)] // Called once.
    fn push_down<F: Format>(&self, chain: &mut Chain<F>, reservation: Entry<F>) -> Option<()> {
        let page = self.take(Level::PAGE, Purpose::Table)?;
        self.shard.add(FaultCounter::ExtraAllocated, 1);
        let index = self.gpa.index(chain.level);
        let filled = self
            .npt
            .fill_unseen(page, reservation)
            .and_then(|()| self.npt.set(page, index, chain.top));
        if filled.is_none() {
            self.give_table(page);
            return None;
        }
        (chain.top, chain.level) = (Entry::full_table(page), chain.level.up());
        Some(())
    }

    /// Gives back a table's frame.
    #[inline(never)]
    fn give_table(&self, page: Hpa) {
        self.shard.add(FaultCounter::Released, 1);
        self.npt.host.give(page, 0, Purpose::Table);
    }

    /// Gives back the tables that were built for nothing.
    #[cold]
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
            self.give_table(page);
        }
        Some(())
    }

    /// The frame of an earlier round if it fits, else a new one: of 2 MiB if the reservation wants it,
    /// the entry covers as much and the host has one. None where the frame that was filled does not fit.
    #[inline(never)]
    fn frame_for<F: Format>(&mut self, reservation: Reservation) -> Option<Frame> {
        let largest = self.npt.largest_frame(reservation, self.level.min(Level::LARGE));
        if let Some(frame) = self.spare.take() {
            if frame.level() <= largest {
                return Some(frame);
            }
            self.give_guest(frame);
            if self.prepared.is_some() {
                return None;
            }
        }
        let mut level = largest;
        loop {
            let frame = self.guest_frame::<F>(level, reservation);
            if frame.is_some() || level == Level::PAGE {
                return frame;
            }
            level = Level::PAGE;
        }
    }

    /// Takes a guest frame.
    #[inline(always)]
    pub(super) fn take_guest(&self, level: Level) -> Option<Frame> {
        self.take(level, Purpose::Guest).map(|address| Frame::new(address, level))
    }

    /// A frame for a leaf of a level, as the guest is to find it.
    #[inline(always)] // Called once.
    fn guest_frame<F: Format>(&self, level: Level, reservation: Reservation) -> Option<Frame> {
        let frame = self.take_guest(level)?;
        if self.npt.prepare_frame::<F>(frame.address(), level, reservation).is_err() {
            self.give_guest(frame);
            return None;
        }
        Some(frame)
    }

    /// Takes a frame from the host.
    #[inline(never)]
    fn take(&self, level: Level, purpose: Purpose) -> Option<Hpa> {
        let taken = self.npt.host.take(level.order(), purpose);
        if taken == Err(Error::BadState) {
            // What came was no frame and went back.
            self.shard.count_for_nothing(level);
        }
        taken.ok()
    }

    /// Whether a frame was filled for the page.
    #[cfg(feature = "provider")]
    pub(super) fn has_prepared(&self) -> bool {
        self.prepared.is_some()
    }

    /// Gives back a guest frame that was taken for nothing.
    pub(super) fn give_guest(&self, frame: Frame) {
        self.npt.give_unused(self.shard, frame);
    }

    /// The reader's line counts a page for each fault that was resolved.
    fn count_resolved(&self) {
        #[cfg(any(feature = "hide", feature = "provider"))]
        if self.took_nothing {
            self.shard.add(FaultCounter::Marked, 1);
            return;
        }
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
    /// Gives back a guest frame that a fault took for nothing.
    #[cold]
    #[inline(never)]
    fn give_unused(&self, shard: &Shard, frame: Frame) {
        if planted(Defect::FrameKept) {
            return;
        }
        shard.count_for_nothing(frame.level());
        self.host.give(frame.address(), frame.level().order(), Purpose::Guest);
    }

    /// Puts a frame in the place of a reservation of a page of write-back memory, in a space with short faults; none
    /// if that was not done here.
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
            #[cfg(feature = "provider")]
            if !F::is_valid(entry.word()) {
                return self.provide_page::<F>(shard, gpa, access, way.page, entry);
            }
            #[cfg(feature = "dirty")]
            if entry.word() & F::DIRTY == 0 || !entry.is_young() {
                return self.mark_page::<F>(shard, gpa, access, slot, entry);
            }
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
            self.give_unused(shard, Frame::new(Hpa::new(frame), Level::PAGE));
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
        if !entry.is_leaf(1) || !F::permissions_of(entry.word()).contains(access) {
            return None;
        }
        self.repair_after::<F>(shard, gpa, Level::PAGE, Verdict::Spurious);
        Some(Verdict::Spurious)
    }

    /// Marks a page for an access that its leaf allows; none if that was not done here.
    #[cfg(feature = "dirty")]
    #[cold]
    #[inline(never)]
    fn mark_page<F: Format>(
        &self,
        shard: &Shard,
        gpa: Gpa,
        access: Permissions,
        slot: &AtomicU64,
        entry: Entry<F>,
    ) -> Option<Verdict> {
        if !entry.is_leaf(1) {
            return None;
        }
        let Some(marks) = self.marks_of_fault(entry, access) else {
            return self.judge_page::<F>(shard, gpa, access, entry);
        };
        let permissions = F::permissions_of(entry.word());
        if !permissions.contains(access) || !exchange(slot, entry, entry.after(marks)) {
            return None;
        }
        self.marked::<F>(shard, gpa, Level::PAGE);
        Some(Verdict::Resolved)
    }

    /// The verdict where there is no frame for a page; none if its entry changed, as another call may have
    /// brought what is missing.
    #[cold]
    #[inline(never)]
    fn no_page(&self, shard: &Shard, answer: u64, is_same: bool) -> Option<Verdict> {
        if self.host.refuse(answer, 0, Purpose::Guest) == Error::BadState {
            // What came was no frame and went back.
            shard.count_for_nothing(Level::PAGE);
        }
        is_same.then_some(Verdict::NoMemory)
    }

    /// What a fault has to say of its access in a leaf, if anything: hardware says the rest when the guest goes on.
    #[inline(always)]
    fn marks_of_fault<F: Format>(&self, leaf: Entry<F>, access: Permissions) -> Option<Access> {
        if !self.watches(watch::BY_FAULTS) {
            return None;
        }
        let writes = self.is_logged() && access.contains(Permissions::WRITE) && !leaf.is_dirty();
        let uses = AGES && self.watches(watch::AGE_BY_FAULTS) && !leaf.is_young();
        (writes || uses).then_some(Access { writes, uses })
    }

    /// Counts table frames that are about to be taken, beside other faults: all of them, or none where the quota
    /// has no room. The count never passes the quota, so that no fault is refused because of one that is refused.
    #[inline(never)]
    fn reserve_tables(&self, pages: u64) -> bool {
        let mut count = self.table_count();
        loop {
            let sum = count.wrapping_add(pages);
            if sum > self.table_quota {
                return false;
            }
            let relaxed = Ordering::Relaxed;
            match self.tables.compare_exchange_weak(count, sum, relaxed, relaxed) {
                Ok(_) => return true,
                Err(now) => count = now,
            }
        }
    }

    /// Counts a fault that made the page of a leaf dirty or young, and makes this CPU see that it may write.
    #[cfg(feature = "dirty")]
    #[inline(never)]
    fn marked<F: Format>(&self, shard: &Shard, gpa: Gpa, level: Level) {
        shard.add(FaultCounter::Marked, 1);
        publish_tables();
        if F::caches_denials() {
            self.repair::<F>(shard, gpa, level, AXAS_FLUSH_RELAX);
        }
    }

    /// Makes this CPU see what its walker may have missed of an entry of a level; other CPUs fault and come here
    /// themselves.
    #[inline(always)]
    pub(super) fn repair_after<F: Format>(
        &self,
        shard: &Shard,
        gpa: Gpa,
        level: Level,
        verdict: Verdict,
    ) {
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
