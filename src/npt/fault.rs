//! Page faults: one walk, everything built off-line, one compare-exchange.
//!
//! Runs beside other faults and never waits. The loser of a race gives its tables back, keeps its frame
//! and walks on from the entry that won: each round it stands lower, so that there are at most as many
//! rounds as levels.

use super::Engine;
use super::arch::Format;
use super::entry::{Entry, Reservation, State};
use super::geometry::{Index, Span, entry_size};
use super::table::Table;
use crate::abi::*;
use crate::error::Result;
use crate::flags::Permissions;
use crate::hal::{OwnedFrame, publish_tables};

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
    /// Nothing stands there.
    Unmapped = AXAS_FAULT_UNMAPPED,
    /// The mapping does not allow the access.
    Denied = AXAS_FAULT_DENIED,
    /// No frame for a reserved page.
    NoMemory = AXAS_FAULT_NO_MEMORY,
    /// Bad arguments or a corrupt table.
    Error = AXAS_FAULT_ERROR,
}

/// A verdict, and for a resolved fault the level of the leaf that was installed.
#[derive(Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    pub(crate) level: u32,
}

/// Largest level of a leaf that a fault installs: zeroing 1 GiB takes too long for a fault.
const LARGEST_FAULT: u32 = 2;

impl<'a, F: Format> Engine<'a, F> {
    /// Handles a fault at an address of the space.
    pub(crate) fn page_fault(&self, gpa: u64, access: Permissions) -> Outcome {
        let outcome = self.install_at(gpa, access);
        self.repair(gpa, outcome);
        outcome
    }

    fn install_at(&self, gpa: u64, access: Permissions) -> Outcome {
        let mut page = self.root_page(gpa);
        let mut level = self.levels();
        let mut frame = None;
        loop {
            let ended = |verdict| Outcome { verdict, level };
            let Ok(table) = self.open(page) else {
                return ended(Verdict::Error);
            };
            let index = Index::of(gpa, level);
            let entry = table.load_acquire(index);
            match entry.state(level) {
                State::Table => {
                    page = entry.address();
                    level = level.wrapping_sub(1);
                }
                State::Leaf if self.allows(entry, access) => return ended(Verdict::Spurious),
                State::Reserved if self.allows(entry, access) => {
                    let place = Place { table, level, index, entry };
                    match self.install(&place, gpa, &mut frame) {
                        Ok(Some(installed)) => {
                            return Outcome { verdict: Verdict::Resolved, level: installed };
                        }
                        Ok(None) => {}
                        // Somebody else may have brought what is missing here.
                        Err(_) if place.table.load_acquire(index) != entry => {}
                        Err(_) => return ended(Verdict::NoMemory),
                    }
                }
                State::Leaf | State::Reserved => return ended(Verdict::Denied),
                State::Empty => return ended(Verdict::Unmapped),
                State::Trap => return ended(Verdict::Trap),
                State::Busy
                | State::Pending
                | State::PendingTable
                | State::DeadLeaf
                | State::DeadTable => return ended(Verdict::Retry),
                State::Corrupt => return ended(Verdict::Error),
            }
        }
    }

    #[inline(always)]
    fn allows(&self, entry: Entry<F>, access: Permissions) -> bool {
        entry.attributes(self.features()).permissions.contains(access)
    }

    /// Puts a frame in the place of a reservation; the level of its leaf, or none if another was first.
    fn install(
        &self,
        place: &Place<'a, F>,
        gpa: u64,
        frame: &mut Option<OwnedFrame<'a>>,
    ) -> Result<Option<u32>> {
        let reservation = place.entry.reservation();
        let mine = self.frame_for(reservation, place.level, frame.take())?;
        let level = if mine.order() == 0 { 1 } else { LARGEST_FAULT };
        let attributes = reservation.attributes;
        let template = Entry::leaf_template(attributes, self.features(), level, true)?;
        let leaf = template.at(mine.address());

        let mut tables = [const { None }; 4];
        let mut top = leaf;
        let mut below = level;
        for table in &mut tables {
            if below >= place.level {
                break;
            }
            match self.pushed_down(place.entry, below, gpa, top) {
                Ok(page) => {
                    top = Entry::table(page.address());
                    *table = Some(page);
                }
                Err(error) => {
                    *frame = Some(mine);
                    return Err(error);
                }
            }
            below = below.wrapping_add(1);
        }
        if !place.table.replace(place.index, place.entry, top) {
            *frame = Some(mine);
            return Ok(None);
        }
        mine.keep();
        for table in tables.into_iter().flatten() {
            table.keep();
        }
        Ok(Some(level))
    }

    /// The frame of an earlier round if it fits, else a new one: of 2 MiB if the reservation wants it,
    /// the entry covers as much and the host has one.
    fn frame_for(
        &self,
        reservation: Reservation,
        level: u32,
        earlier: Option<OwnedFrame<'a>>,
    ) -> Result<OwnedFrame<'a>> {
        let largest = reservation.largest.min(LARGEST_FAULT).min(level);
        match earlier {
            Some(frame) if frame.order() == 0 || largest == LARGEST_FAULT => return Ok(frame),
            other => drop(other),
        }
        if largest == LARGEST_FAULT
            && let Ok(frame) = self.guest_frame(LARGEST_FAULT, reservation.attributes)
        {
            return Ok(frame);
        }
        self.guest_frame(1, reservation.attributes)
    }

    /// A table in which everything is as the entry above says, but for the entry of an address.
    fn pushed_down(
        &self,
        entry: Entry<F>,
        level: u32,
        gpa: u64,
        at_gpa: Entry<F>,
    ) -> Result<OwnedFrame<'a>> {
        let frame = self.ledger.take_table(0)?;
        let table = self.open(frame.address())?;
        table.fill(Span::ALL, entry, 0);
        table.store(Index::of(gpa, level), at_gpa);
        Ok(frame)
    }

    /// Makes this CPU see what its walker may have missed; other CPUs fault and come here themselves.
    fn repair(&self, gpa: u64, outcome: Outcome) {
        let is_spurious = match outcome.verdict {
            Verdict::Resolved => false,
            Verdict::Spurious => true,
            _ => return,
        };
        publish_tables();
        let reason = if F::caches_invalid(self.features()) {
            AXAS_FLUSH_NEW
        } else if is_spurious && F::caches_denials() {
            AXAS_FLUSH_RELAX
        } else {
            return;
        };
        let size = entry_size(outcome.level);
        let base = gpa & !(size.wrapping_sub(1));
        let mut request = self.flush_request(base, base.wrapping_add(size));
        request.add_leaf(outcome.level);
        self.issue(request, reason, AXAS_SCOPE_LOCAL);
    }
}

/// An entry in its table.
struct Place<'a, F> {
    table: Table<'a, F>,
    level: u32,
    index: Index,
    entry: Entry<F>,
}
