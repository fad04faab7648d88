// SPDX-License-Identifier: MIT OR Apache-2.0
//! Page faults: one walk, everything built off-line, one compare-exchange.
//!
//! Runs beside other faults and never waits. The loser of a race gives its tables back, keeps its frame
//! and walks on from the entry that won: each round it stands lower, so that there are at most as many
//! rounds as levels.

use super::Engine;
use super::arch::Format;
use super::entry::{Entry, Reservation, State, Way};
use super::geometry::{Index, Span, entry_size, frame_order};
use super::table::Table;
use crate::abi::*;
use crate::addr::{Bits, HostPhysAddr, PAGE_SIZE};
use crate::error::{Error, Result};
use crate::flags::{Attributes, Permissions};
use crate::hal::{FlushRequest, Frame, OwnedFrame, Purpose, publish_tables};

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

/// A verdict, and for a resolved fault the level of the leaf that was installed.
#[derive(Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    pub(crate) level: u32,
}

/// Largest level of a leaf that a fault installs: zeroing 1 GiB takes too long for a fault.
pub(super) const LARGEST_FAULT: u32 = 2;

/// A frame that was filled for a reservation, or none: one word, so that a fault without one carries
/// nothing.
#[derive(Clone, Copy)]
pub(crate) struct Prepared(u64);

impl Prepared {
    /// No frame.
    pub(crate) const NONE: Self = Self(0);

    /// A frame for a leaf of `level`.
    pub(super) fn new(frame: HostPhysAddr, attributes: Attributes, level: u32) -> Self {
        let payload = Reservation { attributes, largest: level }.payload();
        Self(frame.bits() | u64::from(payload))
    }

    fn reservation(self) -> Reservation {
        Reservation::from_payload((self.0 & (PAGE_SIZE - 1)) as u16)
    }

    /// The frame, if there is one.
    pub(crate) fn frame(self) -> Option<Frame> {
        (self.0 != 0).then(|| Frame {
            address: HostPhysAddr::from_bits(self.0 & !(PAGE_SIZE - 1)),
            order: frame_order(self.reservation().largest),
            purpose: Purpose::Guest,
        })
    }

    /// Whether a frame was filled for a page with these attributes, if one was filled at all.
    fn fits(self, attributes: Attributes) -> bool {
        self.0 == 0 || self.reservation().attributes == attributes
    }
}

impl<'a, F: Format> Engine<'a, F> {
    /// Handles a fault at an address of the space. A prepared frame is installed, or goes back; no other is
    /// installed then.
    #[inline(always)]
    pub(crate) fn page_fault(&self, gpa: u64, access: Permissions, prepared: Prepared) -> Outcome {
        let outcome = self.install_at(gpa, access, prepared);
        self.repair(gpa, outcome);
        outcome
    }

    #[inline(always)]
    fn install_at(&self, gpa: u64, access: Permissions, prepared: Prepared) -> Outcome {
        let mut spare = prepared.frame();
        let outcome = self.install_or_judge(gpa, access, prepared, &mut spare);
        if let Some(frame) = spare {
            drop(self.ledger.adopt(frame));
        }
        outcome
    }

    /// A frame that was taken for nothing is left in `spare`.
    #[inline(always)]
    fn install_or_judge(
        &self,
        gpa: u64,
        access: Permissions,
        prepared: Prepared,
        spare: &mut Option<Frame>,
    ) -> Outcome {
        let mut page = self.npt.root_page(gpa);
        let mut level = self.levels();
        loop {
            let ended = |verdict| Outcome { verdict, level };
            let Ok(table) = self.open(page) else {
                return ended(Verdict::Error);
            };
            let index = Index::of(gpa, level);
            let entry = table.load_acquire(index);
            match entry.way(level) {
                Way::Down(below) => {
                    page = below;
                    level = level.wrapping_sub(1);
                    continue;
                }
                Way::Corrupt => return ended(Verdict::Error),
                Way::Ends => {}
            }
            if !entry.is_reserved() {
                return ended(self.judge(entry, level, access));
            }
            let reservation = entry.reservation();
            if !reservation.attributes.permissions.contains(access) {
                return ended(Verdict::Denied);
            }
            // The frame was filled for what is not there any more.
            if !prepared.fits(reservation.attributes) {
                return ended(Verdict::Spurious);
            }
            match self.install(&table, level, index, gpa, entry, reservation, prepared, spare) {
                Ok(Some(installed)) => {
                    return Outcome { verdict: Verdict::Resolved, level: installed };
                }
                Ok(None) => {}
                // A table came in its place: the frame is too large.
                Err(Error::Again) => return ended(Verdict::Spurious),
                // Somebody else may have brought what is missing here.
                Err(_) if table.load_acquire(index) != entry => {}
                Err(_) => return ended(Verdict::NoMemory),
            }
        }
    }

    /// The verdict where nothing is to be installed.
    #[inline(never)]
    fn judge(&self, entry: Entry<F>, level: u32, access: Permissions) -> Verdict {
        match entry.state(level) {
            State::Leaf if entry.attributes(self.features()).permissions.contains(access) => {
                Verdict::Spurious
            }
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

    /// Puts a frame in the place of a reservation, with the tables between the two; the level of its
    /// leaf, or none if another was first.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)] // Together they would be a structure in memory.
    fn install(
        &self,
        table: &Table<'a, F>,
        level: u32,
        index: Index,
        gpa: u64,
        entry: Entry<F>,
        reservation: Reservation,
        prepared: Prepared,
        spare: &mut Option<Frame>,
    ) -> Result<Option<u32>> {
        let attributes = reservation.attributes;
        let (mine, leaf_level) = match spare.take() {
            None if level == 1 => (self.guest_frame(1, attributes)?.release(), 1),
            earlier => {
                let frame = self.frame_for(reservation, level, prepared, earlier)?;
                (frame, if frame.order == 0 { 1 } else { LARGEST_FAULT })
            }
        };
        *spare = Some(mine);
        let template = Entry::leaf_template(attributes, self.features(), leaf_level, true)?;
        let (mut top, mut built) = (template.at(mine.address), leaf_level);
        let outcome = if level > leaf_level {
            self.build(entry, level, gpa, &mut top, &mut built)
        } else {
            Ok(())
        };
        if outcome.is_ok() && table.replace(index, entry, top) {
            *spare = None;
            return Ok(Some(leaf_level));
        }
        self.take_down(top, built, leaf_level, gpa)?;
        outcome.map(|()| None)
    }

    /// Builds tables between the entry `top` of level `built` and a reservation of `level`, as far as there
    /// are frames. The quota has room for all of them, or none is taken.
    #[inline(never)]
    fn build(
        &self,
        reservation: Entry<F>,
        level: u32,
        gpa: u64,
        top: &mut Entry<F>,
        built: &mut u32,
    ) -> Result<()> {
        self.ledger.reserve_tables(u64::from(level.wrapping_sub(*built)))?;
        while *built < level {
            let next = built.wrapping_add(1);
            *top = self.pushed_down(reservation, *built, gpa, *top).inspect_err(|_| {
                self.ledger.discount_tables(u64::from(level.wrapping_sub(next)));
            })?;
            *built = next;
        }
        Ok(())
    }

    /// Gives back the tables that were built for nothing: from the entry that would have pointed to the
    /// uppermost one down to the leaf.
    #[inline(never)]
    fn take_down(&self, top: Entry<F>, built: u32, leaf_level: u32, gpa: u64) -> Result<()> {
        let (mut entry, mut level) = (top, built);
        while level > leaf_level {
            level = level.wrapping_sub(1);
            let page = entry.address();
            entry = self.entry(page, Index::of(gpa, level))?;
            drop(self.ledger.adopt(Frame { address: page, order: 0, purpose: Purpose::Table }));
        }
        Ok(())
    }

    /// The frame of an earlier round if it fits, else a new one: of 2 MiB if the reservation wants it,
    /// the entry covers as much and the host has one.
    #[inline(never)]
    fn frame_for(
        &self,
        reservation: Reservation,
        level: u32,
        prepared: Prepared,
        earlier: Option<Frame>,
    ) -> Result<Frame> {
        let largest = self.largest_frame(reservation, level.min(LARGEST_FAULT));
        if let Some(frame) = earlier {
            if frame.order == 0 || largest == LARGEST_FAULT {
                return Ok(frame);
            }
            drop(self.ledger.adopt(frame));
            if prepared.frame().is_some() {
                return Err(Error::Again);
            }
        }
        if largest == LARGEST_FAULT
            && let Ok(frame) = self.guest_frame(LARGEST_FAULT, reservation.attributes)
        {
            return Ok(frame.release());
        }
        self.guest_frame(1, reservation.attributes).map(OwnedFrame::release)
    }

    /// Points to a table, counted already, in which everything is as the entry above says, but for the entry
    /// of an address.
    fn pushed_down(
        &self,
        entry: Entry<F>,
        level: u32,
        gpa: u64,
        at_gpa: Entry<F>,
    ) -> Result<Entry<F>> {
        let frame = self.ledger.take_reserved_table()?;
        self.fill_unseen(frame.address(), Span::ALL, entry)?;
        self.set_entry(frame.address(), Index::of(gpa, level), at_gpa)?;
        Ok(Entry::table(frame.keep()))
    }

    /// Makes this CPU see what its walker may have missed; other CPUs fault and come here themselves.
    #[inline(always)]
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
        self.repair_entry(gpa, outcome.level, reason);
    }

    #[inline(never)]
    fn repair_entry(&self, gpa: u64, level: u32, reason: u32) {
        let size = entry_size(level);
        let base = gpa & !(size.wrapping_sub(1));
        let mut request = FlushRequest::new(base, base.wrapping_add(size));
        request.add_leaf(level);
        self.issue(request, reason, AXAS_SCOPE_LOCAL);
    }
}
