// SPDX-License-Identifier: MIT OR Apache-2.0
//! Copies from one space to another (part `dirty`): what a migration does with the pages that were written.
//!
//! Both spaces are held shared, for one chunk at a time; while one is held the other one is not waited for.

use super::memory::Piece;
use super::{Access, AddressSpace, Verdict};
use crate::addr::PAGE_SIZE;
use crate::error::{Error, Result};
use crate::flags::Permissions;
use crate::hal::Chunk;
use crate::npt::arch::{FormatId, with_space_format};
use crate::npt::fault::Prepared;
use crate::npt::units::Gpa;

const NOTHING: Permissions = Permissions::empty();

/// What there is to copy from an address on.
enum Source {
    Piece(Piece),
    /// A reservation, which reads as zeroes; so many bytes.
    Zeroes(u64),
}

/// What came of an attempt to copy.
enum Copied {
    /// So many bytes are done.
    Bytes(u64),
    /// A page is to be taken in that has so many of them, or was not to be had.
    Filled(core::result::Result<Prepared, Verdict>, u64),
}

/// How many bytes from a place on have the same bit, and whether it is set.
#[inline(never)] // Its registers would be saved by the copy.
fn run_of_bits(bitmap: Option<&[u64]>, place: u64, size: u64) -> (u64, bool) {
    let left = size.wrapping_sub(place);
    let Some(words) = bitmap else { return (left, true) };
    let page = place / PAGE_SIZE;
    let word = words.get((page / 64) as usize).copied().unwrap_or(0);
    let rest = word.wrapping_shr(page as u32 & 63);
    let is_set = rest & 1 != 0;
    let count = if is_set { rest.trailing_ones() } else { rest.trailing_zeros() };
    let in_word = 64_u32.wrapping_sub(page as u32 & 63);
    (u64::from(count.min(in_word)).wrapping_mul(PAGE_SIZE).min(left), is_set)
}

impl AddressSpace {
    /// Copies the pages of a range whose bits are set, or all of them, to another space; also how many bytes of the range are
    /// done, whatever the result.
    #[inline(always)] // Its frame would be one more.
    pub fn copy_to(
        &self,
        gpa: u64,
        to: &Self,
        to_gpa: u64,
        size: u64,
        bitmap: Option<&[u64]>,
    ) -> (Result<()>, u64) {
        let is_one = self.has_range(gpa, size) && to.has_range(to_gpa, size);
        if !is_one || core::ptr::eq(self, to) {
            return (Err(Error::InvalidInput), 0);
        }
        let is_coherent = matches!(to.npt.format, FormatId::Ept | FormatId::Npt)
            && !to.npt.features.cleans_tables();
        let access = Access::filling_beside(!is_coherent);
        let mut copy = Copy { from: self, to, bitmap, gpa, to_gpa, size, done: 0, access };
        let outcome = copy.run();
        self.npt.host.report();
        (outcome, copy.done)
    }
}

/// A copy in work. What it knows is here and not in registers that each call below has to save.
struct Copy<'a> {
    from: &'a AddressSpace,
    to: &'a AddressSpace,
    bitmap: Option<&'a [u64]>,
    /// Where it begins in both spaces.
    gpa: u64,
    to_gpa: u64,
    size: u64,
    /// Bytes of the range that are done.
    done: u64,
    access: Access,
}

impl Copy<'_> {
    /// Copies all of it.
    #[inline(always)] // As below.
    fn run(&mut self) -> Result<()> {
        while self.done < self.size {
            let (most, is_set) = run_of_bits(self.bitmap, self.done, self.size);
            let bytes = if is_set { self.copy_some(most)? } else { most };
            self.done = self.done.wrapping_add(bytes);
        }
        Ok(())
    }

    /// Copies what lies side by side in both spaces, or takes a page in; how many bytes are done.
    #[inline(always)] // Its frame would be one more.
    fn copy_some(&self, most: u64) -> Result<u64> {
        match self.copy_chunk(most) {
            Ok(Copied::Bytes(bytes)) => Ok(bytes),
            Ok(Copied::Filled(filled, bytes)) => self.take_in(filled, bytes),
            Err(error) => self.wait_after(error),
        }
    }

    /// Takes a page in that has so many bytes, if it was filled; neither space is held.
    #[inline(never)]
    fn take_in(&self, filled: core::result::Result<Prepared, Verdict>, bytes: u64) -> Result<u64> {
        let verdict = match filled {
            Ok(prepared) => {
                let to_gpa = self.to_gpa.wrapping_add(self.done);
                self.to.take_page_in(to_gpa, NOTHING, prepared)
            }
            Err(verdict) => verdict,
        };
        Ok(if self.to.is_taken_in(verdict)? { bytes } else { 0 })
    }

    /// Lets time pass where one of the spaces was not free, and may be waited for.
    #[cold]
    #[inline(never)]
    fn wait_after(&self, error: Error) -> Result<u64> {
        if error != Error::Again || self.from.no_wait() || self.to.no_wait() {
            return Err(error);
        }
        self.to.npt.host.relax();
        Ok(0)
    }

    /// Copies a chunk, with both spaces held.
    #[inline(never)]
    fn copy_chunk(&self, most: u64) -> Result<Copied> {
        let Self { from, to, access, done, .. } = *self;
        let (gpa, to_gpa) = (self.gpa.wrapping_add(done), self.to_gpa.wrapping_add(done));
        // What the host did wrong is told at the end.
        let _guard = from.enter_beside().ok_or(Error::Again)?;
        let mut window = None;
        let bytes = match from.source(gpa, most)? {
            Source::Piece(piece) => {
                let bytes = piece.bytes.min(most);
                let opened = from.npt.host.guest_window(piece.address, bytes, piece.owner)?;
                window.insert(opened.ok_or(Error::Unsupported)?).bytes() as u64
            }
            Source::Zeroes(bytes) => match to.reserved_zeroes(to_gpa)? {
                0 => PAGE_SIZE,
                zeroes => return Ok(Copied::Bytes(bytes.min(zeroes))),
            },
        };
        // Where the byte of guest-physical address 0 of the other space would be, if there are bytes.
        let zero = window.as_ref().map(|window| window.base().wrapping_sub(to_gpa as usize));
        let mut copy = move |chunk: &Chunk<'_>| {
            // SAFETY: 1. the chunk is open, and the window, if there is one, on as many bytes from `to_gpa` on as are
            // visited; 2. the guests may write meanwhile: the bytes are not interpreted here; 3. a copy allows both to be
            // the same memory.
            unsafe {
                match zero {
                    Some(zero) => {
                        chunk
                            .host()
                            .copy_from(zero.wrapping_add(chunk.gpa as usize), chunk.bytes());
                    }
                    None => chunk.host().write_bytes(0, chunk.bytes()),
                }
            }
            Ok(true)
        };
        let mut done = 0;
        let filled = to.visit_beside(to_gpa, bytes, access, &mut done, &mut copy)?;
        Ok(filled.map_or(Copied::Bytes(done), |filled| Copied::Filled(filled, done)))
    }
}

impl AddressSpace {
    /// What there is to copy from an address on, the lock held.
    #[inline(never)]
    fn source(&self, gpa: u64, most: u64) -> Result<Source> {
        with_space_format!(self.npt.format, F => {
            let start = Gpa::new(gpa);
            let found = self.npt.walk::<F>(start).ok_or(Error::BadState)?;
            if found.entry.is_lazy() {
                return Ok(Source::Zeroes(start.end(found.level).minus(start).min(most)));
            }
            // What it holds is known to the host alone.
            if found.entry.is_provided() {
                return Err(Error::NotMapped);
            }
            let piece = self.piece::<F>(gpa, self.flat(most), NOTHING)?;
            Ok(piece.map_or(Source::Zeroes(PAGE_SIZE), Source::Piece))
        })
    }

    /// Bytes from an address on that are reserved and will come as zeroes; 0 if it is not.
    #[inline(never)]
    fn reserved_zeroes(&self, gpa: u64) -> Result<u64> {
        let _guard = self.shared_at_once()?;
        let gpa = Gpa::new(gpa);
        with_space_format!(self.npt.format, F => {
            let found = self.npt.walk::<F>(gpa).ok_or(Error::BadState)?;
            let comes = found.entry.is_lazy() && !found.entry.reservation().skips_zero();
            Ok(if comes { gpa.end(found.level).minus(gpa) } else { 0 })
        })
    }
}
