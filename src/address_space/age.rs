// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls of ageing: arguments checked, then the lock taken slice by slice.

use super::{AddressSpace, Slices};
use crate::abi::{AXAS_AGE_NO_FLUSH, AXAS_AGE_TEST, AXAS_FEATURE_IO_DIRTY};
use crate::error::{Error, Result};
use crate::npt::age::{Ageing, Look};
use crate::npt::arch::{Format, with_space_format};
use crate::npt::dirty::Mode;
use crate::npt::sweep::Sweep;
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
            0 => Look::Clear,
            AXAS_AGE_TEST => Look::Only,
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
            let mut ageing = Ageing::new(self.checked_range(gpa, size)?, bitmap, look);
            let outcome = self.age_in_slices::<F>(&mut ageing, mode, slices);
            *young = ageing.count;
            outcome
        })
    }

    /// Looks at pages, slice after slice: beside others a GiB at a time, or alone. Each slice in which pages become old is
    /// flushed once, without the lock where no table is concerned.
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
            let mut most = slices.next(&npt.host, may_stop);
            let outcome = if ageing.clears() {
                let mut alone = self.alone().ok_or(Error::Again)?;
                npt.start_ageing::<F>(mode);
                let outcome = npt.age_slice::<F>(&mut alone.work().sweep, ageing, most);
                npt.flush_tables::<F>(ageing);
                alone.leave();
                npt.flush_aged::<F>(ageing);
                outcome
            } else {
                most = most.min(Level::new(3).pages());
                self.look_at_ages::<F>(ageing, most)?
            };
            outcome.ok_or(Error::BadState)?;
            slices.done = ageing.done();
            if ageing.is_done() {
                return Ok(());
            }
            slices.uses(&npt.host, most.wrapping_sub(ageing.left), slices.done, may_stop)?;
        }
    }

    /// Looks at the pages of a slice beside others.
    #[inline(never)] // What it walks with is on the stack.
    fn look_at_ages<F: Format>(&self, ageing: &mut Ageing<'_>, most: u64) -> Result<Option<()>> {
        let mut sweep = Sweep::nowhere();
        let _guard = self.shared()?;
        Ok(self.npt.age_slice::<F>(&mut sweep, ageing, most))
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
