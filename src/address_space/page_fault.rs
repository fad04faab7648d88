// SPDX-License-Identifier: MIT OR Apache-2.0
//! Page faults: verdicts, and the counters that cost the fewest operations.

use core::sync::atomic::{AtomicU64, Ordering};

use log::Level;

use super::{AddressSpace, Verdict, with_engine};
use crate::abi::axas_flags_t;
use crate::addr::{Bits, GuestPhysAddr};
use crate::error::Error;
use crate::flags::Permissions;
use crate::hal::Counts;
use crate::logging;
use crate::npt::fault::{Outcome, Prepared};
use crate::npt::fill::Filling;
use crate::npt::lock::{FaultCounter, Shard, SharedGuard};

const CALL: &str = "axas_handle_page_fault";

impl AddressSpace {
    /// Handles a second-stage fault of a guest.
    pub fn page_fault(&self, gpa: u64, access: axas_flags_t) -> Verdict {
        let verdict = match Permissions::from_bits(access) {
            Some(access) if !access.is_empty() => self.take_page_in(gpa, access, Prepared::NONE),
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
    pub(super) fn take_page_in(
        &self,
        gpa: u64,
        access: Permissions,
        prepared: Prepared,
    ) -> Verdict {
        if !self.range.contains(GuestPhysAddr::from_bits(gpa)) {
            return self.counted(Verdict::Unmapped);
        }
        let Some(guard) = self.lock.try_shared() else {
            self.give_back(prepared);
            return self.counted(Verdict::Retry);
        };
        let counts = Counts::default();
        let ledger = self.ledger(&counts);
        let outcome =
            with_engine!(self, &ledger, engine => Ok(engine.page_fault(gpa, access, prepared)))
                .unwrap_or(Outcome { verdict: Verdict::Error, level: 1 });
        self.leave(guard, &counts, outcome);
        self.npt.host.report();
        outcome.verdict
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
        let counts = Counts::default();
        let ledger = self.ledger(&counts);
        let prepared =
            with_engine!(self, &ledger, engine => Ok(engine.filled_frame(filling, done)))
                .unwrap_or(Err(Verdict::Error));
        self.count_frames(guard.shard(), &counts, 0);
        drop(guard);
        prepared.map_err(|verdict| {
            self.npt.host.report();
            self.counted(verdict)
        })
    }

    /// Gives a frame back that was not installed.
    #[cold]
    #[inline(never)]
    fn give_back(&self, prepared: Prepared) {
        if let Some(frame) = prepared.frame() {
            let counts = Counts::default();
            drop(self.ledger(&counts).adopt(frame));
            self.count_frames(self.lock.shard(), &counts, 0);
        }
    }

    /// Adds up what faults took and gave; a resolved one is counted with one page elsewhere.
    #[inline(always)]
    fn count_frames(&self, shard: &Shard, counts: &Counts, resolved: u64) {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        shard.add(FaultCounter::ExtraAllocated, load(&counts.allocated).wrapping_sub(resolved));
        shard.add(FaultCounter::Released, load(&counts.released));
        shard.add(FaultCounter::Flushes, load(&counts.flushes));
    }

    /// Counts a verdict where no reader entered.
    #[inline(never)]
    fn counted(&self, verdict: Verdict) -> Verdict {
        count(self.lock.shard(), verdict);
        verdict
    }

    /// Leaves the shared side. A fault that took one page and nothing else costs no operation but the
    /// one that leaves.
    #[inline(always)]
    fn leave(&self, guard: SharedGuard<'_>, counts: &Counts, outcome: Outcome) {
        let shard = guard.shard();
        let resolved = outcome.verdict == Verdict::Resolved;
        self.count_frames(shard, counts, resolved.into());
        if !resolved {
            count(shard, outcome.verdict);
            return;
        }
        shard.add(FaultCounter::Huge, u64::from(outcome.level > 1));
        guard.leave_resolved();
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
