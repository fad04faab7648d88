// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pages that the host provides (part `provider`).

use super::map::{Act, Reach, Slices, map, reach_entries};
use super::page_fault::count;
use super::{AddressSpace, Verdict};
use crate::abi::*;
use crate::error::{Error, Result};
use crate::flags::{Attributes, MemoryType, Permissions};
use crate::npt::NestedPageTable;
use crate::npt::arch::{Format, with_space_format};
use crate::npt::content::Content;
use crate::npt::entry::{Entry, Reservation};
use crate::npt::fault::{Fault, Prepared};
use crate::npt::provider::{Supply, level_of};
use crate::npt::units::{Gpa, GpaRange, Hpa, Level};
use crate::npt::work::Work;

fn evict<F: Format>(
    npt: &NestedPageTable,
    work: &mut Work,
    part: GpaRange,
    content: &Content<'_, F>,
) -> Result<()> {
    npt.evict::<F>(work, part, content.provider())
}

/// The number of a provider.
fn number(provider: u32) -> Result<u16> {
    u16::try_from(provider).map_err(|_| Error::InvalidInput)
}

impl AddressSpace {
    /// Sets a range aside for pages that the host provides.
    pub fn map_provider(
        &self,
        gpa: u64,
        size: u64,
        flags: axas_flags_t,
        provider: u32,
    ) -> Result<()> {
        let provider = number(provider)?;
        with_space_format!(self.npt.format, F => {
            let content = self.provided::<F>(flags, provider)?;
            self.check_no_devices()?;
            let range = self.checked_range(gpa, size)?;
            self.npt.begin_providing();
            self.at_once(range, &content, map)
        })
    }

    /// Devices do not ask for pages.
    fn check_no_devices(&self) -> Result<()> {
        if self.npt.features.has_io() { Err(Error::Unsupported) } else { Ok(()) }
    }

    /// Brings a page of a provider's.
    pub fn supply(
        &self,
        gpa: u64,
        hpa: u64,
        size: u64,
        flags: axas_flags_t,
        how: u32,
    ) -> Result<()> {
        let permissions = Permissions::from_bits(flags & !AXAS_USER).ok_or(Error::InvalidInput)?;
        let is_given = match how {
            AXAS_RESOLVE_NOW => false,
            AXAS_RESOLVE_GIVEN => true,
            _ => return Err(Error::InvalidInput),
        };
        permissions.check_some()?;
        let level = level_of(size).ok_or(Error::InvalidInput)?;
        self.check_no_devices()?;
        let is_aligned = (gpa | hpa) & size.wrapping_sub(1) == 0;
        if !is_aligned || !self.contains_range(gpa, size) || !self.npt.host.is_in_width(hpa, size) {
            return Err(Error::InvalidInput);
        }
        let held = self.shared()?;
        let gpa = Gpa::new(gpa);
        let shard = held.guard.shard();
        let supply = Supply::new(Hpa::new(hpa), level, permissions, is_given);
        with_space_format!(self.npt.format, F => {
            let npt = &self.npt;
            if level == Level::PAGE
                && npt.has_short_unmaps
                && !npt.is_aged()
                && npt.supply_page::<F>(shard, gpa, supply).is_some()
            {
                return Ok(());
            }
            Fault::new(npt, shard, gpa, permissions, Prepared::NONE).supply::<F>(supply)
        })
    }

    /// The provider's number, in a reservation that says nothing else.
    fn to_provider<F: Format>(&self, provider: u32) -> Result<Content<'static, F>> {
        let nothing = Attributes::new(Permissions::empty(), MemoryType::WriteBack);
        let provider = number(provider)?;
        self.check_no_devices()?;
        Ok(Content::same(Entry::provided(Reservation::new(nothing, 1), provider)))
    }

    /// Gives the pages of a range back to a provider.
    pub fn evict(&self, gpa: u64, size: u64, provider: u32) -> Result<()> {
        with_space_format!(self.npt.format, F => {
            let content = self.to_provider::<F>(provider)?;
            self.at_once(self.checked_range(gpa, size)?, &content, evict)
        })
    }

    /// Gives the pages of a range back to a provider in slices.
    pub fn evict_some(
        &self,
        gpa: u64,
        size: u64,
        provider: u32,
        slices: &mut Slices,
    ) -> Result<()> {
        with_space_format!(self.npt.format, F => {
            let content = self.to_provider::<F>(provider)?;
            let range = self.checked_range(gpa, size)?;
            self.in_slices(range, &content, slices, reach_entries, evict)
        })
    }

    /// Takes the provided pages of a range in, as faults would; `done` tells how many bytes have none any more.
    #[inline(always)] // For the stack.
    pub(super) fn take_provided_in(&self, range: GpaRange, done: &mut u64) -> Result<()> {
        let outcome = self.take_provided_in_silently(range, done);
        with_space_format!(self.npt.format, F => {
            self.npt.announce_brought::<F>(range);
            Ok(())
        })?;
        self.npt.host.report();
        outcome
    }

    #[inline(never)]
    fn take_provided_in_silently(&self, range: GpaRange, done: &mut u64) -> Result<()> {
        let mut at = range.start;
        loop {
            let rest = range.from(at);
            let Some(guard) = self.npt.lock.enter_shared() else {
                if self.no_wait() {
                    return Err(Error::Again);
                }
                self.npt.host.relax();
                continue;
            };
            let brought = with_space_format!(self.npt.format, F => {
                self.npt.bring_next::<F>(guard.shard(), rest).ok_or(Error::BadState)
            })?;
            let verdict;
            (at, verdict) = brought;
            *done = at.minus(range.start);
            let Some(verdict) = verdict else { return Ok(()) };
            if verdict == Verdict::Resolved {
                guard.leave_resolved();
                continue;
            }
            count(guard.shard(), verdict);
            match verdict {
                Verdict::Wait => return Err(Error::Again),
                Verdict::Unmapped => return Err(Error::NotMapped),
                Verdict::NoMemory => return Err(Error::NoMemory),
                Verdict::Error => return Err(Error::BadState),
                // Another fault was first.
                _ => {}
            }
        }
    }

    /// As [`AddressSpace::in_slices`], where a slice may have pages of providers.
    #[inline(never)]
    pub(super) fn populate_provided_some<F: Format>(
        &self,
        range: GpaRange,
        slices: &mut Slices,
        reach: Reach<F>,
        act: Act<F>,
    ) -> Result<()> {
        slices.rest = range;
        loop {
            self.do_slice(&Content::NOTHING, slices, reach, act)?;
            let mut done = 0;
            let outcome = self.take_provided_in(slices.part(), &mut done);
            if outcome.is_err() {
                slices.done = slices.done.wrapping_add(done);
                return outcome;
            }
            if !slices.goes_on(&self.npt.host)? {
                return Ok(());
            }
        }
    }
}
