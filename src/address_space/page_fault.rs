// SPDX-License-Identifier: MIT OR Apache-2.0
//! Page faults: verdicts, and the counters that cost the fewest operations.

use log::Level;

use super::{AddressSpace, Verdict};
use crate::abi::axas_flags_t;
use crate::error::Error;
use crate::flags::Permissions;
use crate::logging;
use crate::npt::arch::with_space_format;
use crate::npt::fault::{Fault, Prepared};
use crate::npt::fill::Filling;
use crate::npt::lock::{FaultCounter, Shard};
use crate::npt::units::Gpa;

const CALL: &str = "axas_handle_page_fault";

impl AddressSpace {
    /// Handles a second-stage fault of a guest.
    pub fn page_fault(&self, gpa: u64, access: axas_flags_t) -> Verdict {
        let verdict = match Permissions::from_bits(access) {
            Some(access) if !access.is_empty() => match self.take_usual_page_in(gpa, access) {
                Some(verdict) => verdict,
                None => self.take_page_in(gpa, access, Prepared::NONE),
            },
            _ => {
                let refusal = Err(Error::InvalidInput);
                logging::outcome(CALL, &[gpa, access.into()], refusal, Level::Warn);
                return self.counted(Verdict::Error);
            }
        };
        match verdict {
            Verdict::Error => {
                logging::outcome(CALL, &[gpa], Err(Error::BadState), Level::Warn);
            }
            verdict => {
                logging::debug(c"axaddrspace::fault", "address, verdict:", gpa, verdict as u64)
            }
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
        let gpa = Gpa::new(gpa);
        if !self.npt.range.contains(gpa) {
            return self.counted(Verdict::Unmapped);
        }
        let Some(guard) = self.lock.try_shared() else {
            self.give_back(gpa, prepared);
            return self.counted(Verdict::Retry);
        };
        let mut fault = Fault::new(&self.npt, guard.shard(), gpa, access, prepared);
        let verdict = with_space_format!(self.npt.format, F => Ok(fault.handle::<F>()))
            .unwrap_or(Verdict::Error);
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
    fn take_usual_page_in(&self, gpa: u64, access: Permissions) -> Option<Verdict> {
        let gpa = Gpa::new(gpa);
        let is_usual = self.npt.is_plain && !self.npt.zeroes_frames;
        if !is_usual || !self.npt.range.contains(gpa) {
            return None;
        }
        let guard = self.lock.try_shared()?;
        let resolved = with_space_format!(self.npt.format, F => {
            Ok(self.npt.resolve_page::<F>(guard.shard(), gpa, access))
        });
        match resolved {
            Ok(Some(Verdict::Resolved)) => {
                guard.leave_resolved();
                self.npt.host.report();
                Some(Verdict::Resolved)
            }
            Ok(Some(verdict)) => {
                count(guard.shard(), verdict);
                self.npt.host.report();
                Some(verdict)
            }
            _ => None,
        }
    }

    /// A filled frame for the fault at an address of the space, or the verdict where there is none to be had.
    #[inline(always)]
    pub(super) fn prepare_frame(
        &self,
        filling: &mut Filling<'_, '_>,
        done: &mut u64,
    ) -> core::result::Result<Prepared, Verdict> {
        let Some(guard) = self.lock.try_shared() else {
            return Err(self.counted(Verdict::Retry));
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
            self.counted(verdict)
        })
    }

    /// Gives a frame back that was not installed.
    #[cold]
    #[inline(never)]
    fn give_back(&self, gpa: Gpa, prepared: Prepared) {
        Fault::new(&self.npt, self.lock.shard(), gpa, Permissions::empty(), prepared).give_back();
    }

    fn counted(&self, verdict: Verdict) -> Verdict {
        count(self.lock.shard(), verdict);
        verdict
    }
}

fn count(shard: &Shard, verdict: Verdict) {
    let counter = match verdict {
        Verdict::Resolved => return,
        Verdict::Spurious => FaultCounter::Spurious,
        Verdict::Retry => FaultCounter::Retry,
        Verdict::Trap => FaultCounter::Trap,
        Verdict::Unmapped => FaultCounter::Unmapped,
        Verdict::Denied => FaultCounter::Denied,
        Verdict::NoMemory => FaultCounter::NoMemory,
        Verdict::Error => FaultCounter::Error,
    };
    shard.add(counter, 1);
}
