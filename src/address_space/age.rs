// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls of ageing: arguments checked, then the lock taken slice by slice.

use super::{AddressSpace, Slices};
use crate::abi::{AXAS_AGE_NO_FLUSH, AXAS_AGE_TEST, AXAS_FEATURE_IO_DIRTY};
use crate::addr::{GuestRange, PAGE_SIZE};
use crate::error::{Error, Result};
use crate::npt::age::{Ageing, Look};
use crate::npt::arch::{Format, with_space_format};
use crate::npt::dirty::{Bitmap, Look as Seen, Mode};
use crate::npt::units::Level;

impl AddressSpace {
    /// Tells which pages of a range were used, and makes them old; how many those were.
    pub fn age(
        &self,
        gpa: u64,
        size: u64,
        bitmap: Option<&mut [u64]>,
        options: u32,
        young: &mut u64,
        slices: Option<&mut Slices>,
    ) -> Result<()> {
        let look = match options {
            0 | AXAS_AGE_TEST => Look::Clear,
            AXAS_AGE_NO_FLUSH => Look::ClearUnflushed,
            _ => return Err(Error::InvalidInput),
        };
        with_space_format!(self.npt.format, F => {
            let mode = self.npt.age_mode::<F>().ok_or(Error::Unsupported)?;
            let features = self.npt.features;
            // Devices take no faults.
            let is_seen = mode == Mode::Hardware && features.has(AXAS_FEATURE_IO_DIRTY);
            if features.has_io() && !is_seen {
                return Err(Error::Unsupported);
            }
            let range = self.checked_range(gpa, size)?;
            if options == AXAS_AGE_TEST {
                return self.test_ages::<F>(range, bitmap, young, slices);
            }
            self.make_old::<F>(range, bitmap, (look, mode), young, slices)
        })
    }

    /// Makes pages old. Not on the stack of what only looks.
    #[inline(never)]
    fn make_old<F: Format>(
        &self,
        range: GuestRange,
        bitmap: Option<&mut [u64]>,
        (look, mode): (Look, Mode),
        young: &mut u64,
        slices: Option<&mut Slices>,
    ) -> Result<()> {
        let mut ageing = Ageing::new(range, bitmap, look);
        let outcome = self.age_in_slices::<F>(&mut ageing, mode, slices);
        *young = ageing.count;
        outcome
    }

    /// Makes pages old, slice after slice. Each slice is flushed once, without the lock where no table is concerned.
    #[inline(never)]
    fn age_in_slices<F: Format>(
        &self,
        ageing: &mut Ageing<'_>,
        mode: Mode,
        slices: Option<&mut Slices>,
    ) -> Result<()> {
        let mut unlimited = Slices::new(u64::MAX);
        let may_stop = slices.is_some();
        let slices = slices.unwrap_or(&mut unlimited);
        let npt = &self.npt;
        loop {
            let most = slices.next(&npt.host, may_stop);
            let mut alone = self.alone().ok_or(Error::Again)?;
            npt.start_ageing::<F>(mode);
            let outcome = npt.age_slice::<F>(&mut alone.work().sweep, ageing, most);
            npt.flush_tables::<F>(ageing);
            alone.leave();
            npt.flush_aged::<F>(ageing);
            outcome.ok_or(Error::BadState)?;
            slices.done = ageing.done();
            if ageing.is_done() {
                return Ok(());
            }
            slices.uses(&npt.host, most.wrapping_sub(ageing.left), slices.done, may_stop)?;
        }
    }

    /// Tells which pages of a range are young, beside others: a GiB at a time, or as many pages as a slice may visit
    /// entries, in whole words of the bitmap.
    #[inline(never)]
    fn test_ages<F: Format>(
        &self,
        range: GuestRange,
        bitmap: Option<&mut [u64]>,
        young: &mut u64,
        slices: Option<&mut Slices>,
    ) -> Result<()> {
        let mut unlimited = Slices::new(u64::MAX);
        let may_stop = slices.is_some();
        let slices = slices.unwrap_or(&mut unlimited);
        let host = &self.npt.host;
        let mut look = Seen::Young(Bitmap::new(bitmap.unwrap_or_default(), range.start));
        let mut rest = range;
        loop {
            let most = slices.next(host, may_stop).min(Level::new(3).pages()).next_multiple_of(64);
            let bytes = most.wrapping_mul(PAGE_SIZE).min(rest.size());
            let part = GuestRange { start: rest.start, end: rest.start.plus(bytes) };
            {
                let _guard = self.shared()?;
                self.npt.look::<F>(part, &mut look).ok_or(Error::BadState)?;
            }
            *young = look.count();
            rest = rest.from(part.end);
            slices.done = part.end.minus(range.start);
            if rest.is_empty() {
                return Ok(());
            }
            slices.uses(host, most, slices.done, may_stop)?;
        }
    }

    /// Makes the pages of a range young; ageing ends where that was the whole space.
    pub fn age_stop(&self, gpa: u64, size: u64, slices: Option<&mut Slices>) -> Result<()> {
        let range = self.checked_range(gpa, size)?;
        with_space_format!(self.npt.format, F => {
            self.stop_in_slices(range, slices, |npt, work, part| {
                npt.stop_ageing::<F>(&mut work.sweep, part)
            })
        })
    }
}
