//! The host's way into a guest's memory: page run by page run, through `phys_to_virt`, with the shared
//! side of the lock held for each chunk, so that nothing is unmapped and freed under a copy.

use super::{AddressSpace, Verdict, with_format};
use crate::abi::{AXAS_ACCESS_CLEAN, AXAS_ACCESS_EXECUTE, AXAS_ACCESS_HOST};
use crate::addr::Bits;
use crate::error::{Error, Result};
use crate::flags::Permissions;
use crate::hal::{GuestWindow, Owner};
use crate::npt::entry::State;
use crate::npt::geometry::entry_size;

/// The lock is given up after at most so many bytes.
const MOST_BYTES: u64 = 64 * 1024;

/// What the host is about to do, and on whose behalf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// What the guest must be allowed; empty for the host's own purposes.
    needs: Permissions,
    /// The caches are cleaned afterwards.
    cleans: bool,
}

impl Access {
    /// The access of a call that reads or writes, with its `AXAS_ACCESS_` bits.
    pub fn new(needs: Permissions, bits: u32) -> Result<Self> {
        if bits & !(AXAS_ACCESS_HOST | AXAS_ACCESS_CLEAN | AXAS_ACCESS_EXECUTE) != 0 {
            return Err(Error::InvalidInput);
        }
        let (host, clean) = (bits & AXAS_ACCESS_HOST != 0, bits & AXAS_ACCESS_CLEAN != 0);
        let execute = bits & AXAS_ACCESS_EXECUTE != 0;
        // Nothing is written where EXECUTE takes the place of READ, and only what is written is cleaned.
        let writes = needs.contains(Permissions::WRITE);
        if writes == execute && execute || clean && !writes {
            return Err(Error::InvalidInput);
        }
        let needs = match (host, execute) {
            (true, _) => Permissions::empty(),
            (false, true) => Permissions::EXECUTE,
            (false, false) => needs,
        };
        Ok(Self { needs, cleans: clean })
    }
}

/// A piece of a guest's memory that the host reaches while it looks at it.
pub struct Chunk<'a> {
    window: GuestWindow<'a>,
    /// First guest-physical address.
    pub gpa: u64,
}

impl Chunk<'_> {
    /// The first byte. The guest may change what is behind it at any time.
    pub fn host(&self) -> *mut u8 {
        self.window.base()
    }

    /// How many bytes there are.
    pub fn bytes(&self) -> usize {
        self.window.bytes()
    }
}

impl AddressSpace {
    /// Calls `visit` with one chunk after the other of `[gpa, gpa + len)`, until it says no; `done` tells how
    /// many bytes were visited, whatever the result.
    pub fn for_each_chunk(
        &self,
        gpa: u64,
        len: u64,
        access: Access,
        done: &mut u64,
        visit: &mut dyn FnMut(&Chunk<'_>) -> bool,
    ) -> Result<()> {
        *done = 0;
        if !self.contains_range(gpa, len) {
            return Err(Error::InvalidInput);
        }
        while *done < len {
            let at = gpa.wrapping_add(*done);
            let most = len.wrapping_sub(*done).min(MOST_BYTES);
            let mut goes_on = true;
            if let Some(bytes) = self.visit_chunk(at, most, access, &mut |chunk| {
                goes_on = visit(chunk);
            })? {
                *done = done.wrapping_add(bytes);
            }
            if !goes_on {
                break;
            }
        }
        Ok(())
    }

    /// Visits what lies side by side from an address on; nothing if a page was taken in first.
    fn visit_chunk(
        &self,
        gpa: u64,
        asked: u64,
        access: Access,
        visit: &mut dyn FnMut(&Chunk<'_>),
    ) -> Result<Option<u64>> {
        let guard = self.shared()?;
        let features = self.npt.features;
        let most = if self.npt.host.is_flat() { asked } else { 0 };
        let seen = with_format!(self.npt.format, F => {
            self.npt.walk_run::<F>(gpa, most).map(|(found, rest)| {
                let entry = found.entry;
                let owner = if entry.is_owned() { Owner::Library } else { Owner::Host };
                let offset = gpa.wrapping_sub(found.base(gpa));
                let is_aligned = entry.address().bits() & entry_size(found.level).wrapping_sub(1) == 0;
                let address = entry.address().bits().wrapping_add(offset);
                let state = entry.state(found.level);
                (state, entry.attributes(features), address, is_aligned, rest, owner)
            })
        });
        let (state, attributes, address, is_aligned, rest, owner) = seen?;
        match state {
            // What a table pointer looks like that somebody made a leaf of.
            State::Leaf if !is_aligned => return Err(Error::BadState),
            State::Leaf => {}
            State::Reserved => {
                drop(guard);
                return self.take_in(gpa, access).map(|()| None);
            }
            _ => return Err(Error::NotMapped),
        }
        if !attributes.permissions.contains(access.needs) {
            return Err(Error::Denied);
        }
        if owner == Owner::Host && attributes.memory.is_device() {
            return Err(Error::Unsupported);
        }
        let window = self.npt.host.guest_window(address, asked.min(rest), owner)?;
        let chunk = Chunk { window: window.ok_or(Error::Unsupported)?, gpa };
        visit(&chunk);
        if access.cleans {
            chunk.window.clean();
        }
        Ok(Some(chunk.bytes() as u64))
    }

    /// Takes a reserved page in as an access of the guest would.
    fn take_in(&self, gpa: u64, access: Access) -> Result<()> {
        match self.take_page_in(gpa, access.needs) {
            Verdict::NoMemory => Err(Error::NoMemory),
            Verdict::Denied => Err(Error::Denied),
            Verdict::Error => Err(Error::BadState),
            Verdict::Retry if self.no_wait() => Err(Error::Again),
            Verdict::Retry => {
                self.npt.host.relax();
                Ok(())
            }
            // Whatever stands there now, the next look will find it.
            Verdict::Resolved | Verdict::Spurious | Verdict::Trap | Verdict::Unmapped => Ok(()),
        }
    }
}
