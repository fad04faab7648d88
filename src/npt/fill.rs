//! Frames that are filled before the guest sees them.
//!
//! What the host writes to a reserved page comes with the page: no vCPU sees it zeroed, and what is
//! written whole is not zeroed first.

use super::Engine;
use super::arch::Format;
use super::fault::{LARGEST_FAULT, Spare};
use super::geometry::{entry_size, frame_order};
use crate::addr::{Bits, HostPhysAddr, PAGE_SIZE};
use crate::error::{Error, Result};
use crate::flags::Permissions;
use crate::hal::{Chunk, Owner, Visit};

/// What the host writes to guest-physical addresses, by a function that may be called again for a frame
/// that takes the place of one that was filled.
pub(crate) struct Filling<'f, 'v> {
    start: u64,
    end: u64,
    /// The caches are cleaned afterwards.
    cleans: bool,
    visit: &'f mut Visit<'v>,
    /// Bytes from the start on that the last frame took.
    bytes: u64,
}

impl<'f, 'v> Filling<'f, 'v> {
    /// Fills `[start, end)`.
    pub(crate) fn new(start: u64, end: u64, cleans: bool, visit: &'f mut Visit<'v>) -> Self {
        Self { start, end, cleans, visit, bytes: 0 }
    }

    /// How many bytes from the start on the frame took that was filled last.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl<'a, F: Format> Engine<'a, F> {
    /// A frame for the reservation at an address: what is to be written is in it, the rest is as
    /// [`Engine::guest_frame`] makes it. None where no reservation allows the access.
    #[inline(never)]
    pub(crate) fn filled_frame(
        &self,
        gpa: u64,
        access: Permissions,
        filling: &mut Filling<'_, '_>,
    ) -> Result<Spare> {
        let found = self.npt.walk::<F>(gpa)?;
        let reservation = found.entry.reservation();
        let attributes = reservation.attributes;
        if !found.entry.is_reserved() || !attributes.permissions.contains(access) {
            return Ok(Spare::NONE);
        }
        let mut level = self.largest_frame(reservation, found.level.min(LARGEST_FAULT));
        let frame = match self.ledger.take_guest(frame_order(level)) {
            Err(_) if level > 1 => {
                level = 1;
                self.ledger.take_guest(frame_order(level))?
            }
            frame => frame?,
        };
        let cleans_page = self.npt.zeroes_frames && F::needs_clean(attributes, self.features());
        let size = entry_size(level);
        let base = gpa & !size.wrapping_sub(1);
        let mut offset = 0;
        while offset < size {
            let page = HostPhysAddr::from_bits(frame.address().bits().wrapping_add(offset));
            self.fill_page(page, base.wrapping_add(offset), filling)?;
            if cleans_page {
                self.npt.host.clean_frame(page, 0)?;
            }
            offset = offset.wrapping_add(PAGE_SIZE);
        }
        filling.bytes = filling.end.min(base.wrapping_add(size)).wrapping_sub(filling.start);
        Ok(Spare { frame: Some(frame.release()), filled_for: Some(attributes) })
    }

    /// Fills the page of a frame that is to be at `gpa`.
    fn fill_page(&self, page: HostPhysAddr, gpa: u64, filling: &mut Filling<'_, '_>) -> Result<()> {
        let start = filling.start.max(gpa);
        let end = filling.end.min(gpa.wrapping_add(PAGE_SIZE));
        let bytes = end.saturating_sub(start);
        if bytes < PAGE_SIZE && self.npt.zeroes_frames {
            self.npt.host.zero(page, 0)?;
        }
        if bytes == 0 {
            return Ok(());
        }
        let address = page.bits().wrapping_add(start.wrapping_sub(gpa));
        let window = self.npt.host.guest_window(address, bytes, Owner::Library)?;
        let chunk = Chunk::new(window.ok_or(Error::BadState)?, start);
        (filling.visit)(&chunk)?;
        if filling.cleans {
            chunk.clean();
        }
        Ok(())
    }
}
