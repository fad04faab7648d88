// SPDX-License-Identifier: MIT OR Apache-2.0
//! Frames that are filled before the guest sees them.
//!
//! What the host writes to a reserved page comes with the page: no vCPU sees it zeroed, and what is
//! written whole is not zeroed first.

use super::Engine;
use super::arch::Format;
use super::fault::{LARGEST_FAULT, Prepared, Verdict};
use super::geometry::{entry_size, frame_order};
use crate::addr::Bits;
use crate::error::{Error, Result};
use crate::flags::{Attributes, Permissions};
use crate::hal::{Chunk, Owner, Visit};

/// What the host writes to guest-physical addresses, by a function that may be called again for a frame
/// that takes the place of one that was filled.
pub(crate) struct Filling<'f, 'v> {
    start: u64,
    end: u64,
    /// What the guest must be allowed.
    needs: Permissions,
    /// The caches are cleaned afterwards.
    cleans: bool,
    visit: &'f mut Visit<'v>,
}

impl<'f, 'v> Filling<'f, 'v> {
    /// Fills `[start, end)`.
    pub(crate) fn new(
        start: u64,
        end: u64,
        needs: Permissions,
        cleans: bool,
        visit: &'f mut Visit<'v>,
    ) -> Self {
        Self { start, end, needs, cleans, visit }
    }
}

impl<F: Format> Engine<'_, F> {
    /// A frame for the reservation at the start of what is to be written: that is in it, the rest is as
    /// [`Engine::guest_frame`] makes it. Adds the bytes that were written to `done`. Without one, the verdict
    /// of the fault: spurious where no reservation stands any more.
    #[inline(never)]
    pub(crate) fn filled_frame(
        &self,
        filling: &mut Filling<'_, '_>,
        done: &mut u64,
    ) -> core::result::Result<Prepared, Verdict> {
        let gpa = filling.start;
        let Ok(found) = self.npt.walk::<F>(gpa) else {
            return Err(Verdict::Error);
        };
        if !found.entry.is_reserved() {
            return Err(Verdict::Spurious);
        }
        let reservation = found.entry.reservation();
        if !reservation.attributes.permissions.contains(filling.needs) {
            return Err(Verdict::Denied);
        }
        let most = self.largest_frame(reservation, found.level.min(LARGEST_FAULT));
        self.fill_frame(reservation.attributes, most, filling, done).map_err(|_| {
            match self.npt.walk::<F>(gpa) {
                Ok(now) if (now.entry, now.level) == (found.entry, found.level) => {
                    Verdict::NoMemory
                }
                // Somebody else may have brought what is missing here.
                _ => Verdict::Spurious,
            }
        })
    }

    /// A frame for a leaf of `level`, or of 4 KiB, with what is to be written in it.
    #[inline(always)]
    fn fill_frame(
        &self,
        attributes: Attributes,
        level: u32,
        filling: &mut Filling<'_, '_>,
        done: &mut u64,
    ) -> Result<Prepared> {
        let gpa = filling.start;
        let mut level = level;
        let frame = match self.ledger.take_guest(frame_order(level)) {
            Err(_) if level > 1 => {
                level = 1;
                self.ledger.take_guest(frame_order(level))?
            }
            frame => frame?,
        };
        let order = frame_order(level);
        let size = entry_size(level);
        let offset = gpa & size.wrapping_sub(1);
        let bytes = filling.end.wrapping_sub(gpa).min(size.wrapping_sub(offset));
        let zeroes = self.npt.zeroes_frames;
        let cleans_frame = zeroes && F::needs_clean(attributes, self.features());
        if zeroes && bytes < size {
            self.npt.host.zero(frame.address(), order)?;
        }
        let first = frame.address().bits().wrapping_add(offset);
        self.fill_from(first, bytes, filling.cleans && !cleans_frame, filling)?;
        if cleans_frame {
            self.npt.host.clean_frame(frame.address(), order)?;
        }
        *done = done.wrapping_add(bytes);
        Ok(Prepared::new(frame.release().address, attributes, level))
    }

    /// Writes to a frame, from a host-physical address on, by as many windows as the host wants.
    fn fill_from(
        &self,
        first: u64,
        bytes: u64,
        cleans: bool,
        filling: &mut Filling<'_, '_>,
    ) -> Result<()> {
        let mut done = 0_u64;
        while done < bytes {
            let (address, left) = (first.wrapping_add(done), bytes.wrapping_sub(done));
            let window = self.npt.host.guest_window(address, left, Owner::Library)?;
            let window = window.ok_or(Error::BadState)?;
            let chunk = Chunk::new(window, filling.start.wrapping_add(done));
            (filling.visit)(&chunk)?;
            if cleans {
                chunk.clean();
            }
            done = done.wrapping_add(chunk.bytes() as u64);
        }
        Ok(())
    }
}
