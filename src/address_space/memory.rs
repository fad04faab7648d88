// SPDX-License-Identifier: MIT OR Apache-2.0
//! The host's way into a guest's memory: page run by page run, through `phys_to_virt`, with the shared
//! side of the lock held for each chunk, so that nothing is unmapped and freed under a copy.

use super::{AddressSpace, Verdict};
use crate::abi::{AXAS_ACCESS_CLEAN, AXAS_ACCESS_EXECUTE, AXAS_ACCESS_HOST};
use crate::addr::Bits;
use crate::error::{Error, Result};
use crate::flags::Permissions;
use crate::hal::{Chunk, Owner, Visit};
use crate::npt::arch::{Format, with_space_format};
use crate::npt::entry::{HIDES, PROVIDES, State};
use crate::npt::fault::Prepared;
use crate::npt::fill::Filling;
use crate::npt::look::Found;
use crate::npt::units::{Gpa, Hpa};
#[cfg(feature = "dirty")]
use crate::sync::{Defect, planted};

/// The lock is given up after at most so many bytes.
const MOST_BYTES: u64 = 64 * 1024;

/// What the host is about to do, and on whose behalf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// What the guest must be allowed; empty for the host's own purposes.
    needs: Permissions,
    /// The caches are cleaned afterwards.
    cleans: bool,
    /// The pages are written, whoever must be allowed that.
    writes: bool,
    /// The space is not waited for.
    #[cfg(feature = "dirty")]
    is_beside: bool,
    /// What is done with a chunk depends on nothing but its addresses and writes all of it: it may be done
    /// to a frame before the guest sees it, and once more if another frame was first.
    fills: bool,
}

impl Access {
    /// The access of a call that reads or writes, with its `AXAS_ACCESS_` bits.
    pub fn new(needs: Permissions, bits: u32) -> Result<Self> {
        if bits & !(AXAS_ACCESS_HOST | AXAS_ACCESS_CLEAN | AXAS_ACCESS_EXECUTE) != 0 {
            return Err(Error::InvalidInput);
        }
        let has = |bit| bits & bit != 0;
        // Nothing is written where EXECUTE takes the place of READ, and only what is written is cleaned.
        let writes = needs.contains(Permissions::WRITE);
        if has(if writes { AXAS_ACCESS_EXECUTE } else { AXAS_ACCESS_CLEAN }) {
            return Err(Error::InvalidInput);
        }
        let needs = match (has(AXAS_ACCESS_HOST), has(AXAS_ACCESS_EXECUTE)) {
            (true, _) => Permissions::empty(),
            (false, true) => Permissions::EXECUTE,
            (false, false) => needs,
        };
        Ok(Self {
            needs,
            cleans: has(AXAS_ACCESS_CLEAN),
            writes,
            #[cfg(feature = "dirty")]
            is_beside: false,
            fills: false,
        })
    }

    /// As [`Access::new`], for a call that writes all of each chunk and nothing else.
    pub fn filling(bits: u32) -> Result<Self> {
        Self::new(Permissions::WRITE, bits).map(|access| Self { fills: true, ..access })
    }

    /// The host writes all of each chunk, for its own purposes, while another space is held.
    #[cfg(feature = "dirty")]
    #[inline(always)]
    pub(super) fn filling_beside(cleans: bool) -> Self {
        let needs = Permissions::empty();
        Self { needs, cleans, writes: true, is_beside: true, fills: true }
    }

    /// Whether the space is waited for.
    #[inline(always)]
    fn waits(self) -> bool {
        #[cfg(feature = "dirty")]
        return !self.is_beside;
        #[cfg(not(feature = "dirty"))]
        true
    }
}

/// Memory of the guest that lies side by side.
pub(super) struct Piece {
    /// First host-physical address.
    pub(super) address: u64,
    pub(super) bytes: u64,
    pub(super) owner: Owner,
}

/// What was found at an address.
enum Visited {
    /// A chunk, which was visited.
    Chunk { goes_on: bool },
    /// A page to be taken in, or to be shown, first.
    Reservation,
}

impl AddressSpace {
    /// Calls `visit` with one chunk after the other of `[gpa, gpa + len)`, until it says no; `done` tells how
    /// many bytes were visited, whatever the result.
    #[inline(never)]
    pub fn for_each_chunk(
        &self,
        gpa: u64,
        len: u64,
        access: Access,
        done: &mut u64,
        visit: &mut Visit<'_>,
    ) -> Result<()> {
        *done = 0;
        if !self.contains_range(gpa, len) {
            return Err(Error::InvalidInput);
        }
        while *done < len {
            let (at, left) = (gpa.wrapping_add(*done), len.wrapping_sub(*done));
            if !self.visit_next(at, left, access, done, visit)? {
                break;
            }
        }
        Ok(())
    }

    /// Visits the chunk at an address, takes it in first if need be; whether to go on. While a fault is
    /// handled nothing of the visit is on the stack. What fills a reserved page does so before the guest
    /// sees it.
    #[inline(always)]
    fn visit_next(
        &self,
        gpa: u64,
        left: u64,
        access: Access,
        done: &mut u64,
        visit: &mut Visit<'_>,
    ) -> Result<bool> {
        loop {
            match self.visit_chunk(gpa, left, access, done, visit)? {
                Visited::Chunk { goes_on } => return Ok(goes_on),
                Visited::Reservation => {
                    let mut filled = 0;
                    let prepared = if access.fills {
                        self.filled_frame(gpa, left, access, visit, &mut filled)
                    } else {
                        Ok(Prepared::NONE)
                    };
                    let verdict = match prepared {
                        Ok(prepared) => self.take_page_in(gpa, access.needs, prepared),
                        Err(verdict) => verdict,
                    };
                    if self.is_taken_in(verdict)? && access.fills {
                        *done = done.wrapping_add(filled);
                        return Ok(true);
                    }
                }
            }
        }
    }

    /// Visits what lies side by side from an address on, and adds its bytes to `done`.
    #[inline(never)]
    fn visit_chunk(
        &self,
        gpa: u64,
        left: u64,
        access: Access,
        done: &mut u64,
        visit: &mut Visit<'_>,
    ) -> Result<Visited> {
        let asked = left.min(MOST_BYTES);
        let _guard = if access.waits() { self.shared()? } else { self.shared_at_once()? };
        let most = self.flat(asked);
        let piece =
            with_space_format!(self.npt.format, F => self.piece::<F>(gpa, most, access.needs))?;
        let Some(Piece { address, bytes, owner }) = piece else {
            return Ok(Visited::Reservation);
        };
        let window = self.npt.host.guest_window(address, asked.min(bytes), owner)?;
        let chunk = Chunk::new(window.ok_or(Error::Unsupported)?, gpa);
        #[cfg(feature = "dirty")]
        let is_seen = access.writes && self.npt.is_logged() && !planted(Defect::WriteUnmarked);
        #[cfg(feature = "dirty")]
        if is_seen || self.npt.is_aged() {
            self.mark_bytes(gpa, chunk.bytes() as u64, access.writes)?;
        }
        let goes_on = visit(&chunk)?;
        if access.cleans {
            chunk.clean();
        }
        *done = done.wrapping_add(chunk.bytes() as u64);
        Ok(Visited::Chunk { goes_on })
    }

    /// How many bytes that lie side by side in host memory are of use, of so many: none beyond a page where each is reached
    /// by a window of its own.
    #[inline(always)]
    pub(super) fn flat(&self, bytes: u64) -> u64 {
        if self.npt.host.is_flat() { bytes.min(MOST_BYTES) } else { 0 }
    }

    /// Visits the chunk at an address, without waiting: the caller holds another space. A page that is reserved is not taken
    /// in, but filled: what came of that.
    #[cfg(feature = "dirty")]
    #[inline(always)]
    pub(super) fn visit_beside(
        &self,
        gpa: u64,
        left: u64,
        access: Access,
        done: &mut u64,
        visit: &mut Visit<'_>,
    ) -> Result<Option<core::result::Result<Prepared, Verdict>>> {
        Ok(match self.visit_chunk(gpa, left, access, done, visit)? {
            Visited::Chunk { .. } => None,
            Visited::Reservation => {
                let (start, end) = (Gpa::new(gpa), Gpa::new(gpa.wrapping_add(left)));
                let mut filling = Filling::new(start, end, access.needs, access.cleans, visit);
                Some(self.prepare_frame(&mut filling, done))
            }
        })
    }

    /// What lies side by side from an address on, as far as one look goes; none where a fault is to come first.
    #[inline(never)]
    pub(super) fn piece<F: Format>(
        &self,
        gpa: u64,
        most: u64,
        needs: Permissions,
    ) -> Result<Option<Piece>> {
        let gpa = Gpa::new(gpa);
        let (found, bytes) = self.npt.walk_run::<F>(gpa, most).ok_or(Error::BadState)?;
        match found.entry.state(found.level.get()) {
            State::Leaf => {
                let address = Hpa::new(F::address(found.entry.word()));
                self.page_piece(gpa, found, address, bytes, needs)
            }
            State::Reserved => Ok(None),
            State::Hidden if HIDES => self.hidden_piece(gpa, found, bytes, needs),
            _ => Err(Error::NotMapped),
        }
    }

    /// What lies side by side from an address of a page on.
    #[inline(always)]
    fn page_piece<F: Format>(
        &self,
        gpa: Gpa,
        found: Found<F>,
        address: Hpa,
        bytes: u64,
        needs: Permissions,
    ) -> Result<Option<Piece>> {
        let Found { entry, level } = found;
        // What a table pointer looks like that was made a leaf.
        if address.offset(level) != 0 {
            return Err(Error::BadState);
        }
        let attributes = entry.untagged(self.npt.features);
        if !attributes.permissions.contains(needs) {
            return Err(Error::Denied);
        }
        let owner = if entry.is_owned() { Owner::Library } else { Owner::Host };
        if owner == Owner::Host && attributes.memory.is_device() {
            return Err(Error::Unsupported);
        }
        let address = address.plus(gpa.offset(level)).bits();
        Ok(Some(Piece { address, bytes, owner }))
    }

    /// The same of a hidden page, which is the host's alone; on behalf of the guest a fault shows it, or it is denied.
    #[cold]
    #[inline(never)]
    fn hidden_piece<F: Format>(
        &self,
        gpa: Gpa,
        found: Found<F>,
        bytes: u64,
        needs: Permissions,
    ) -> Result<Option<Piece>> {
        let entry = found.entry;
        if needs.is_empty() {
            return self.page_piece(gpa, found, entry.address(), bytes, needs);
        }
        let permissions = entry.attributes(self.npt.features).permissions;
        let is_shown = entry.shows_itself() && permissions.contains(needs);
        if is_shown { Ok(None) } else { Err(Error::Denied) }
    }

    /// A frame for the reservation at an address, filled with what goes there (`filled` bytes), or the verdict
    /// of a fault that gets none. Apart from the fault, so that neither is on the stack of the other.
    #[inline(never)]
    fn filled_frame(
        &self,
        gpa: u64,
        left: u64,
        access: Access,
        visit: &mut Visit<'_>,
        filled: &mut u64,
    ) -> core::result::Result<Prepared, Verdict> {
        let start = Gpa::new(gpa);
        let mut filling = Filling::new(start, start.plus(left), access.needs, access.cleans, visit);
        self.prepare_frame(&mut filling, filled)
    }

    /// Whether the fault of a copy brought the page's frame, or the reason why there is none.
    #[inline(never)]
    pub(super) fn is_taken_in(&self, verdict: Verdict) -> Result<bool> {
        match verdict {
            Verdict::NoMemory => Err(Error::NoMemory),
            Verdict::Denied | Verdict::Hidden => Err(Error::Denied),
            Verdict::Error => Err(Error::BadState),
            Verdict::Wait => Err(Error::Again),
            // A provider may have refused.
            Verdict::Unmapped if PROVIDES => Err(Error::NotMapped),
            Verdict::Retry if self.no_wait() => Err(Error::Again),
            Verdict::Retry => {
                self.npt.host.relax();
                Ok(false)
            }
            Verdict::Resolved => Ok(true),
            // The entry has changed; the next walk reads it again.
            Verdict::Spurious | Verdict::Trap | Verdict::Unmapped => Ok(false),
        }
    }
}
