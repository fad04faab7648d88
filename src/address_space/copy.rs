// SPDX-License-Identifier: MIT OR Apache-2.0
//! Copies from one space to another (part `dirty`): what a migration does with the pages that were written.
//!
//! Both spaces are held shared, the one with the lower address first, for one chunk at a time.

use super::{Access, AddressSpace};
use crate::abi::{AXAS_ACCESS_CLEAN, AXAS_ACCESS_HOST};
use crate::addr::PAGE_SIZE;
use crate::error::{Error, Result};
use crate::flags::Permissions;
use crate::hal::Chunk;
use crate::npt::arch::{FormatId, with_space_format};
use crate::npt::units::Gpa;

const NOTHING: Permissions = Permissions::empty();

/// What there is to copy from an address on.
enum Source {
    Bytes(u64),
    /// A reservation, which reads as zeroes.
    Zeroes(u64),
}

/// How many bytes from a place on have the same bit, and whether it is set.
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
    /// Copies the pages of a range whose bits are set, or all of them, to another space; `done` tells how many bytes of the
    /// range are done, whatever the result.
    #[inline(never)]
    pub fn copy_to(
        &self,
        gpa: u64,
        to: &Self,
        to_gpa: u64,
        size: u64,
        bitmap: Option<&[u64]>,
        done: &mut u64,
    ) -> Result<()> {
        self.checked_range(gpa, size)?;
        to.checked_range(to_gpa, size)?;
        if core::ptr::eq(self, to) {
            return Err(Error::InvalidInput);
        }
        let is_coherent = matches!(to.npt.format, FormatId::Ept | FormatId::Npt)
            && !to.npt.features.cleans_tables();
        let clean = if is_coherent { 0 } else { AXAS_ACCESS_CLEAN };
        let access = Access::filling(AXAS_ACCESS_HOST | clean)?;
        while *done < size {
            let (mut bytes, is_set) = run_of_bits(bitmap, *done, size);
            if is_set {
                let (from_here, to_here) = (gpa.wrapping_add(*done), to_gpa.wrapping_add(*done));
                bytes = self.copy_some(from_here, to, to_here, bytes, access)?;
            }
            *done = done.wrapping_add(bytes);
        }
        Ok(())
    }

    /// Copies what lies side by side in both spaces; how many bytes.
    #[inline(never)]
    fn copy_some(
        &self,
        gpa: u64,
        to: &Self,
        to_gpa: u64,
        most: u64,
        access: Access,
    ) -> Result<u64> {
        let is_first = (&raw const *self).addr() < (&raw const *to).addr();
        let held = self.shared()?;
        let source = self.source(gpa, most)?;
        let held = is_first.then_some(held);
        let bytes = match source {
            Source::Bytes(bytes) => bytes,
            Source::Zeroes(bytes) => match to.reserved_zeroes(to_gpa)? {
                0 => PAGE_SIZE,
                zeroes => return Ok(bytes.min(zeroes)),
            },
        };
        let (mut copied, mut failed) = (0, Ok(()));
        let mut copy = |chunk: &Chunk<'_>| {
            failed =
                self.copy_into(chunk, gpa.wrapping_add(chunk.gpa.wrapping_sub(to_gpa)), is_first);
            failed.map(|()| true)
        };
        let visited = to.visit_one(to_gpa, bytes, access, &mut copied, &mut copy);
        drop(held);
        failed.and(visited).map(|_| copied)
    }

    /// What there is to copy from an address on, the lock held.
    #[inline(never)]
    fn source(&self, gpa: u64, most: u64) -> Result<Source> {
        with_space_format!(self.npt.format, F => {
            let found = self.npt.walk::<F>(Gpa::new(gpa)).ok_or(Error::BadState)?;
            if found.entry.is_reserved() {
                let bytes = Gpa::new(gpa).end(found.level).minus(Gpa::new(gpa));
                return Ok(Source::Zeroes(bytes.min(most)));
            }
            let piece = self.piece::<F>(gpa, self.flat(most), NOTHING)?;
            Ok(piece.map_or(Source::Zeroes(PAGE_SIZE), |piece| Source::Bytes(piece.bytes.min(most))))
        })
    }

    /// Bytes from an address on that are reserved and will come as zeroes; 0 if it is not.
    #[inline(never)]
    fn reserved_zeroes(&self, gpa: u64) -> Result<u64> {
        let _guard = self.shared()?;
        let gpa = Gpa::new(gpa);
        with_space_format!(self.npt.format, F => {
            let found = self.npt.walk::<F>(gpa).ok_or(Error::BadState)?;
            let comes = found.entry.is_reserved() && !found.entry.reservation().skips_zero();
            Ok(if comes { gpa.end(found.level).minus(gpa) } else { 0 })
        })
    }

    /// Copies from an address on into all of a chunk of another space. What is reserved meanwhile reads as zeroes.
    #[inline(never)]
    fn copy_into(&self, chunk: &Chunk<'_>, gpa: u64, is_held: bool) -> Result<()> {
        let _guard = if is_held { None } else { Some(self.shared()?) };
        let mut done = 0;
        while done < chunk.bytes() {
            let left = chunk.bytes().wrapping_sub(done);
            done = done.wrapping_add(self.copy_piece(
                chunk.host().wrapping_add(done),
                gpa.wrapping_add(done as u64),
                left,
            )?);
        }
        Ok(())
    }

    /// Copies what lies side by side from an address on, and is seen at once; how many bytes.
    #[inline(never)]
    fn copy_piece(&self, target: *mut u8, gpa: u64, left: usize) -> Result<usize> {
        let most = self.flat(left as u64);
        let piece = with_space_format!(self.npt.format, F => self.piece::<F>(gpa, most, NOTHING))?;
        let Some(piece) = piece else {
            let bytes = PAGE_SIZE.wrapping_sub(gpa & (PAGE_SIZE - 1)).min(left as u64) as usize;
            // SAFETY: the target is a part of an open chunk with so many bytes.
            unsafe { target.write_bytes(0, bytes) };
            return Ok(bytes);
        };
        let bytes = piece.bytes.min(left as u64);
        let window = self.npt.host.guest_window(piece.address, bytes, piece.owner)?;
        let window = window.ok_or(Error::Unsupported)?;
        // SAFETY: 1. the window is open on so many bytes, and the target is a part of an open chunk with more; 2. the guest
        // may write meanwhile: the bytes are not interpreted here; 3. the copy allows both to be the same memory.
        unsafe { target.copy_from(window.base(), window.bytes()) };
        Ok(window.bytes())
    }
}
