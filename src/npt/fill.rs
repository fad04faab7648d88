// SPDX-License-Identifier: MIT OR Apache-2.0
//! Frames that are filled before the guest sees them.
//!
//! What the host writes to a reserved page comes with the page: no vCPU sees it zeroed, and what is
//! written whole is not zeroed first.

use super::NestedPageTable;
use super::arch::Format;
use super::entry::Reservation;
use super::fault::{Fault, Frame, Prepared, Verdict};
use super::units::{Gpa, Hpa, Level};
use crate::addr::Bits;
use crate::error::{Error, Result};
use crate::flags::Permissions;
use crate::hal::{Chunk, Owner, Visit};

/// What the host writes to guest-physical addresses, by a function that may be called again for a frame
/// that takes the place of one that was filled.
pub(crate) struct Filling<'f, 'v> {
    start: Gpa,
    end: Gpa,
    /// What the guest must be allowed.
    needs: Permissions,
    /// The caches are cleaned afterwards.
    cleans: bool,
    visit: &'f mut Visit<'v>,
}

impl<'f, 'v> Filling<'f, 'v> {
    /// Where it starts.
    pub(crate) fn start(&self) -> Gpa {
        self.start
    }

    /// Fills `[start, end)`.
    pub(crate) fn new(
        start: Gpa,
        end: Gpa,
        needs: Permissions,
        cleans: bool,
        visit: &'f mut Visit<'v>,
    ) -> Self {
        Self { start, end, needs, cleans, visit }
    }
}

impl Fault<'_> {
    /// A frame for the reservation at the start of what is to be written: that is in it, the rest is as the
    /// guest is to find it. Adds the bytes that were written to `done`. Without one, the verdict of the fault:
    /// spurious where there is no reservation any more.
    #[inline(never)]
    pub(crate) fn filled_frame<F: Format>(
        &self,
        filling: &mut Filling<'_, '_>,
        done: &mut u64,
    ) -> core::result::Result<Prepared, Verdict> {
        let gpa = filling.start;
        let Some(found) = self.npt.walk::<F>(gpa) else {
            return Err(Verdict::Error);
        };
        if !found.entry.is_lazy() {
            // The fault shows a hidden page, or asks a provider, without a frame.
            let is_shown = found.entry.shows_itself() || found.entry.is_provided();
            return if is_shown { Ok(Prepared::NONE) } else { Err(Verdict::Spurious) };
        }
        let reservation = found.entry.reservation();
        if !reservation.attributes().permissions.contains(filling.needs) {
            return Err(Verdict::Denied);
        }
        let most = self.npt.largest_frame(reservation, found.level.min(Level::LARGE));
        let filled = self.fill_frame::<F>(reservation, most, filling, done);
        filled.ok_or_else(|| match self.npt.walk::<F>(gpa) {
            Some(now) if (now.entry, now.level) == (found.entry, found.level) => Verdict::NoMemory,
            // Another call may have brought what is missing here.
            _ => Verdict::Spurious,
        })
    }

    /// A frame for a leaf of a level, or of 4 KiB, with what is to be written in it.
    fn fill_frame<F: Format>(
        &self,
        reservation: Reservation,
        level: Level,
        filling: &mut Filling<'_, '_>,
        done: &mut u64,
    ) -> Option<Prepared> {
        let mut taken = self.take_guest(level);
        if taken.is_none() && level > Level::PAGE {
            taken = self.take_guest(Level::PAGE);
        }
        let frame = taken?;
        if self.npt.fill_taken::<F>(frame, reservation, filling, done).is_err() {
            self.give_guest(frame);
            return None;
        }
        Some(Prepared::new(frame, reservation))
    }
}

impl NestedPageTable {
    /// Writes to a frame that was taken what is to be written there, and adds its bytes to `done`.
    #[inline(never)]
    fn fill_taken<F: Format>(
        &self,
        frame: Frame,
        reservation: Reservation,
        filling: &mut Filling<'_, '_>,
        done: &mut u64,
    ) -> Result<()> {
        let (gpa, level) = (filling.start, frame.level());
        let bytes = filling.end.min(gpa.end(level)).minus(gpa);
        let zeroes = self.zeroes(reservation);
        let cleans_frame = zeroes && self.features.cleans_guest::<F>(reservation.attributes());
        if zeroes && bytes < level.size() {
            self.host.zero(frame.address(), level.order())?;
        }
        let first = frame.address().plus(gpa.offset(level));
        self.fill_from(first, bytes, filling.cleans && !cleans_frame, filling)?;
        if cleans_frame {
            self.host.clean_frame(frame.address(), level.order())?;
        }
        *done = done.wrapping_add(bytes);
        Ok(())
    }

    /// Writes to a frame, from a host-physical address on, by as many windows as the host wants.
    fn fill_from(
        &self,
        first: Hpa,
        bytes: u64,
        cleans: bool,
        filling: &mut Filling<'_, '_>,
    ) -> Result<()> {
        let mut done = 0_u64;
        while done < bytes {
            let (address, left) = (first.plus(done).bits(), bytes.wrapping_sub(done));
            let window = self.host.guest_window(address, left, Owner::Library)?;
            let window = window.ok_or(Error::BadState)?;
            let chunk = Chunk::new(window, filling.start.plus(done).bits());
            (filling.visit)(&chunk)?;
            if cleans {
                chunk.clean();
            }
            done = done.wrapping_add(chunk.bytes() as u64);
        }
        Ok(())
    }
}
