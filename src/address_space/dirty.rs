// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls of the log of writes: arguments checked, then the lock taken slice by slice.

use super::{AddressSpace, Slices};
use crate::abi::{AXAS_DIRTY_ALL, AXAS_DIRTY_HARDWARE, AXAS_DIRTY_SPLIT};
use crate::addr::PAGE_SIZE;
use crate::error::{Error, Result};
use crate::npt::NestedPageTable;
use crate::npt::arch::{Format, with_space_format};
use crate::npt::dirty::{Bitmap, Cleaning, Look, Mode, Splits, Which};
use crate::npt::entry::Access;
use crate::npt::units::{Gpa, GpaRange, Level};
use crate::npt::work::Work;

/// Entries of a slice of a call that is not to be interrupted; the flush in its end is for all of them.
const WHOLE: u64 = u64::MAX;

/// Words of the bitmap for a range, if it has so many bits.
pub(crate) fn bitmap_words(size: u64, bits: usize) -> Result<usize> {
    let pages = size / PAGE_SIZE;
    if (bits as u64) < pages {
        return Err(Error::InvalidInput);
    }
    Ok(pages.div_ceil(64) as usize)
}

impl AddressSpace {
    /// Begins to log writes, and makes a range clean unless everything is to be dirty at first.
    pub fn dirty_start(
        &self,
        gpa: u64,
        size: u64,
        options: u32,
        slices: Option<&mut Slices>,
    ) -> Result<()> {
        if options & !(AXAS_DIRTY_HARDWARE | AXAS_DIRTY_ALL | AXAS_DIRTY_SPLIT) != 0 {
            return Err(Error::InvalidInput);
        }
        with_space_format!(self.npt.format, F => {
            let has_hardware = F::hardware_sets_dirty(self.npt.features);
            let wants_hardware = options & AXAS_DIRTY_HARDWARE != 0;
            // Devices neither take faults nor are known to set dirty bits.
            if wants_hardware && !has_hardware || self.npt.features.has_io() {
                return Err(Error::Unsupported);
            }
            let is_hardware = wants_hardware || has_hardware && !F::HARDWARE_BY_CHOICE;
            let mode = if is_hardware { Mode::Hardware } else { Mode::Faults };
            let range = self.checked_range(gpa, size)?;
            self.begin_log(mode)?;
            if options & AXAS_DIRTY_ALL != 0 {
                if let Some(slices) = slices {
                    slices.done = size;
                }
                return Ok(());
            }
            let splits =
                if options & AXAS_DIRTY_SPLIT == 0 { Splits::Never } else { Splits::Pages };
            self.clean_in_slices::<F>(&mut Cleaning::new(range, Which::All, splits), slices)
        })
    }

    /// Begins a log; one that is there must be of the same mode.
    #[inline(never)]
    fn begin_log(&self, mode: Mode) -> Result<()> {
        let _guard = self.exclusive()?;
        if self.npt.start_log(mode) { Ok(()) } else { Err(Error::AlreadyExists) }
    }

    /// Sets the bits of dirty pages; how many those are.
    pub fn dirty_get(
        &self,
        gpa: u64,
        size: u64,
        bitmap: &mut [u64],
        count: &mut u64,
    ) -> Result<()> {
        let mut rest = self.checked_range(gpa, size)?;
        let mut look = Look::Report(Bitmap::new(bitmap, rest.start));
        while !rest.is_empty() {
            let part = rest.part(rest.start, Level::new(3));
            let _guard = self.shared()?;
            with_space_format!(self.npt.format, F => {
                self.npt.look::<F>(part, &mut look).ok_or(Error::BadState)
            })?;
            rest = rest.from(part.end);
            *count = look.count();
        }
        Ok(())
    }

    /// Makes pages clean whose bits are set, or all of them.
    pub fn dirty_clear(
        &self,
        gpa: u64,
        size: u64,
        bitmap: Option<&[u64]>,
        options: u32,
        slices: Option<&mut Slices>,
    ) -> Result<()> {
        let which = bitmap.map_or(Which::All, Which::Set);
        self.dirty_clean(gpa, size, which, options, &mut 0, slices)
    }

    /// Sets the bits of dirty pages and makes these pages clean; how many were reported.
    pub fn dirty_collect(
        &self,
        gpa: u64,
        size: u64,
        bitmap: &mut [u64],
        options: u32,
        count: &mut u64,
        slices: Option<&mut Slices>,
    ) -> Result<()> {
        let which = Which::Dirty(Bitmap::new(bitmap, Gpa::new(gpa)));
        self.dirty_clean(gpa, size, which, options, count, slices)
    }

    fn dirty_clean(
        &self,
        gpa: u64,
        size: u64,
        which: Which<'_>,
        options: u32,
        count: &mut u64,
        slices: Option<&mut Slices>,
    ) -> Result<()> {
        if options & !AXAS_DIRTY_SPLIT != 0 {
            return Err(Error::InvalidInput);
        }
        let range = self.checked_range(gpa, size)?;
        let splits = if options == 0 { Splits::Never } else { Splits::Once };
        let mut cleaning = Cleaning::new(range, which, splits);
        let outcome = with_space_format!(self.npt.format, F => {
            self.clean_in_slices::<F>(&mut cleaning, slices)
        });
        *count = cleaning.count();
        outcome
    }

    /// Makes pages dirty that were written without the space.
    pub fn dirty_mark(&self, gpa: u64, size: u64) -> Result<()> {
        let mut rest = self.checked_range(gpa, size)?;
        while !rest.is_empty() {
            let part = rest.part(rest.start, Level::new(3));
            let _guard = self.shared()?;
            self.mark(part, Access { writes: true, uses: true })?;
            rest = rest.from(part.end);
        }
        Ok(())
    }

    /// Makes a range dirty; logging ends where that was the whole space.
    pub fn dirty_stop(&self, gpa: u64, size: u64, slices: Option<&mut Slices>) -> Result<()> {
        let range = self.checked_range(gpa, size)?;
        with_space_format!(self.npt.format, F => {
            self.stop_in_slices(range, slices, |npt, _, part| npt.stop_log::<F>(part))
        })
    }

    /// Does something to a range, in slices of 64 pages or more.
    #[inline(never)]
    pub(super) fn stop_in_slices(
        &self,
        range: GpaRange,
        slices: Option<&mut Slices>,
        stop: fn(&NestedPageTable, &mut Work, GpaRange) -> Option<()>,
    ) -> Result<()> {
        let mut unlimited = Slices::new(WHOLE);
        let may_stop = slices.is_some();
        let slices = slices.unwrap_or(&mut unlimited);
        let mut rest = range;
        loop {
            let pages = slices.next(&self.npt.host, may_stop);
            let bytes = pages.div_ceil(64).saturating_mul(64 * PAGE_SIZE).min(rest.size());
            let part = GpaRange::new(rest.start, rest.start.plus(bytes));
            let mut alone = self.alone().ok_or(Error::Again)?;
            let outcome = stop(alone.npt(), alone.work(), part);
            alone.leave();
            outcome.ok_or(Error::BadState)?;
            rest = rest.from(part.end);
            let done = range.size().wrapping_sub(rest.size());
            slices.done = done;
            if rest.is_empty() {
                return Ok(());
            }
            slices.uses(&self.npt.host, pages, done, may_stop)?;
        }
    }

    /// Pages that the host is about to read or write, the lock held shared, become young, or dirty too.
    pub(super) fn mark_bytes(&self, gpa: u64, bytes: u64, writes: bool) -> Result<()> {
        let access = Access { writes: writes && self.npt.is_logged(), uses: true };
        let (first, last) = (Gpa::new(gpa), Gpa::new(gpa.wrapping_add(bytes).wrapping_sub(1)));
        self.mark(GpaRange::new(first.base(Level::PAGE), last.end(Level::PAGE)), access)
    }

    fn mark(&self, range: GpaRange, access: Access) -> Result<()> {
        with_space_format!(self.npt.format, F => {
            self.npt.mark::<F>(range, access).ok_or(Error::BadState)
        })
    }

    /// Makes pages clean, slice after slice. Each is flushed once, without the lock where nothing waits for the flush.
    #[inline(never)]
    fn clean_in_slices<F: Format>(
        &self,
        cleaning: &mut Cleaning<'_>,
        slices: Option<&mut Slices>,
    ) -> Result<()> {
        let mut unlimited = Slices::new(WHOLE);
        let may_stop = slices.is_some();
        let slices = slices.unwrap_or(&mut unlimited);
        loop {
            let mut alone = self.alone().ok_or(Error::Again)?;
            let npt = alone.npt();
            if !npt.is_logged() {
                alone.leave();
                return Err(Error::InvalidInput);
            }
            let most = slices.next(&npt.host, may_stop);
            cleaning.left = most;
            let cleaned = npt.clean_slice::<F>(alone.work(), cleaning);
            let ended = npt.end_slice::<F>(&mut alone.work().sweep, cleaning);
            alone.leave();
            npt.flush_clean::<F>(cleaning);
            ended.and(cleaned).ok_or(Error::BadState)?;
            let done = cleaning.done();
            if cleaning.is_done() {
                slices.done = done;
                return Ok(());
            }
            slices.uses(&npt.host, most.wrapping_sub(cleaning.left), done, may_stop)?;
        }
    }
}
