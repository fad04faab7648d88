// SPDX-License-Identifier: MIT OR Apache-2.0
//! Page faults: verdicts, and the counters that cost the fewest operations.

use log::Level;

use super::{AddressSpace, Verdict};
use crate::abi::*;
use crate::error::Error;
use crate::flags::Permissions;
use crate::logging;
use crate::npt::arch::with_space_format;
use crate::npt::fault::{Fault, Prepared};
use crate::npt::fill::Filling;
use crate::npt::lock::Shard;
use crate::npt::units::Gpa;

const CALL: &str = "axas_handle_page_fault";
#[cfg(feature = "tags")]
const CALL_AT: &str = "axas_handle_page_fault_at";

impl AddressSpace {
    /// Handles a second-stage fault of a guest.
    #[inline(always)]
    pub fn page_fault(&self, gpa: u64, access: axas_flags_t) -> Verdict {
        match self.take_usual_page_in(gpa, access) {
            Some(verdict) => {
                log_verdict(gpa, verdict);
                verdict
            }
            None => self.take_unusual_page_in(gpa, access),
        }
    }

    #[inline(never)]
    fn take_unusual_page_in(&self, gpa: u64, access: axas_flags_t) -> Verdict {
        self.check_access(CALL, gpa, access, |permissions| {
            self.take_page_in(gpa, permissions, Prepared::NONE)
        })
    }

    /// Handles a second-stage fault of a guest, and tells what the entry says that the verdict is about; of size 0
    /// where there is none.
    #[cfg(feature = "tags")]
    pub fn page_fault_at(&self, gpa: u64, access: axas_flags_t) -> (Verdict, axas_mapping_t) {
        let mut found = axas_mapping_t { hpa: AXAS_HPA_INVALID, ..axas_mapping_t::default() };
        let verdict = self.check_access(CALL_AT, gpa, access, |permissions| {
            self.take_page_in_and(gpa, permissions, Prepared::NONE, |fault, verdict| {
                if matches!(verdict, Verdict::Retry | Verdict::Error) {
                    return;
                }
                // The format is that of the walk, which came to a verdict.
                let _ = with_space_format!(self.npt.format, F => {
                    found = self.describe_at(fault.found::<F>(), Gpa::new(gpa));
                    Ok(())
                });
            })
        });
        (verdict, found)
    }

    /// Handles a fault whose access makes sense, and tells the log.
    #[inline(always)]
    fn check_access(
        &self,
        call: &'static str,
        gpa: u64,
        access: axas_flags_t,
        handle: impl FnOnce(Permissions) -> Verdict,
    ) -> Verdict {
        let Some(permissions) = Permissions::from_bits(access).filter(|some| !some.is_empty())
        else {
            let refusal = Err(Error::InvalidInput);
            logging::outcome(call, &[gpa, access.into()], refusal, Level::Warn);
            return self.refused(Verdict::Error, Prepared::NONE);
        };
        let verdict = handle(permissions);
        if verdict == Verdict::Error {
            logging::outcome(call, &[gpa], Err(Error::BadState), Level::Warn);
        } else {
            log_verdict(gpa, verdict);
        }
        verdict
    }

    /// As [`AddressSpace::page_fault`]; an empty access is always allowed. A prepared frame is installed,
    /// or goes back.
    #[inline(never)]
    pub(super) fn take_page_in(
        &self,
        gpa: u64,
        access: Permissions,
        prepared: Prepared,
    ) -> Verdict {
        self.take_page_in_and(gpa, access, prepared, |_, _| {})
    }

    /// As [`AddressSpace::take_page_in`]; `tell` is called with a fault that got into the space, and its verdict.
    #[inline(always)]
    fn take_page_in_and(
        &self,
        gpa: u64,
        access: Permissions,
        prepared: Prepared,
        tell: impl FnOnce(&Fault<'_>, Verdict),
    ) -> Verdict {
        let gpa = Gpa::new(gpa);
        if !self.npt.range.contains(gpa) {
            return self.refused(Verdict::Unmapped, prepared);
        }
        let Some(guard) = self.npt.lock.enter_shared() else {
            return self.refused(Verdict::Retry, prepared);
        };
        let mut fault = Fault::new(&self.npt, guard.shard(), gpa, access, prepared);
        let verdict = with_space_format!(self.npt.format, F => Ok(fault.handle::<F>()))
            .unwrap_or(Verdict::Error);
        tell(&fault, verdict);
        if verdict == Verdict::Resolved {
            guard.leave_resolved();
        } else {
            count(guard.shard(), verdict);
        }
        self.npt.host.report();
        verdict
    }

    /// The usual fault: a page of 4 KiB is reserved in a table that is there and can be reached without a window,
    /// and its frame need not be zeroed. None if it is not that.
    #[inline(always)]
    fn take_usual_page_in(&self, gpa: u64, access: axas_flags_t) -> Option<Verdict> {
        let gpa = Gpa::new(gpa);
        let is_access = access.wrapping_sub(1) < Permissions::all().bits();
        if !self.npt.takes_short_faults() || !is_access || !self.npt.range.contains(gpa) {
            return None;
        }
        let access = Permissions::from_bits_truncate(access);
        let guard = self.npt.lock.try_shared()?;
        let resolved = with_space_format!(self.npt.format, F => {
            Ok(self.npt.resolve_page::<F>(guard.shard(), gpa, access))
        });
        let verdict = resolved.unwrap_or(None)?;
        if verdict == Verdict::Resolved {
            guard.leave_resolved();
        } else {
            guard.shard().count(verdict as axas_fault_result_t);
            self.npt.host.report();
        }
        Some(verdict)
    }

    /// A filled frame for the fault at an address of the space, or the verdict where there is none to be had.
    #[inline(always)]
    pub(super) fn prepare_frame(
        &self,
        filling: &mut Filling<'_, '_>,
        done: &mut u64,
    ) -> core::result::Result<Prepared, Verdict> {
        let Some(guard) = self.npt.lock.enter_shared() else {
            return Err(self.refused(Verdict::Retry, Prepared::NONE));
        };
        let nothing = Permissions::empty();
        let start = filling.start();
        let fault = Fault::new(&self.npt, guard.shard(), start, nothing, Prepared::NONE);
        let prepared =
            with_space_format!(self.npt.format, F => Ok(fault.filled_frame::<F>(filling, done)))
                .unwrap_or(Err(Verdict::Error));
        drop(guard);
        prepared.map_err(|verdict| {
            self.npt.host.report();
            self.refused(verdict, Prepared::NONE)
        })
    }

    /// Counts a fault that did not get into the space, and gives the frame back that it was to install.
    #[cold]
    #[inline(never)]
    fn refused(&self, verdict: Verdict, prepared: Prepared) -> Verdict {
        let shard = self.npt.lock.shard();
        shard.count(verdict as axas_fault_result_t);
        prepared.give_back(&self.npt, shard);
        verdict
    }
}

#[inline(always)]
fn log_verdict(gpa: u64, verdict: Verdict) {
    logging::debug(c"axaddrspace::fault", "address, verdict:", gpa, verdict as u64);
}

/// Counts a fault that was not resolved.
#[inline(always)]
pub(super) fn count(shard: &Shard, verdict: Verdict) {
    // There is no counter of faults on hidden pages of their own.
    let is_hidden = cfg!(feature = "hide") && verdict == Verdict::Hidden;
    let counted = if is_hidden { Verdict::Denied } else { verdict };
    shard.count(counted as axas_fault_result_t);
}
