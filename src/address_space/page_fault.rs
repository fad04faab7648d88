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
use crate::npt::fault::Outcome;
use crate::npt::lock::{FaultCounter, Shard, SharedGuard};

const CALL: &str = "axas_handle_page_fault";

impl AddressSpace {
    /// Handles a second-stage fault of a guest.
    pub fn page_fault(&self, gpa: u64, access: axas_flags_t) -> Verdict {
        let verdict = match Permissions::from_bits(access) {
            Some(access) if !access.is_empty() => self.take_page_in(gpa, access),
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
            verdict => logging::debug("fault", "address, verdict:", gpa, verdict as u64),
        }
        verdict
    }

    /// As [`AddressSpace::page_fault`]; an empty access is always allowed.
    pub(super) fn take_page_in(&self, gpa: u64, access: Permissions) -> Verdict {
        if !self.range.contains(GuestPhysAddr::from_bits(gpa)) {
            return self.counted(Verdict::Unmapped);
        }
        let Some(guard) = self.lock.try_shared() else {
            return self.counted(Verdict::Retry);
        };
        let counts = Counts::default();
        let ledger = self.ledger(&counts);
        let outcome = with_engine!(self, &ledger, engine => Ok(engine.page_fault(gpa, access)))
            .unwrap_or(Outcome { verdict: Verdict::Error, level: 1 });
        self.leave(guard, &counts, outcome);
        self.npt.host.report();
        outcome.verdict
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
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let resolved = outcome.verdict == Verdict::Resolved;
        let extra = load(&counts.allocated).wrapping_sub(u64::from(resolved));
        shard.add(FaultCounter::ExtraAllocated, extra);
        shard.add(FaultCounter::Released, load(&counts.released));
        shard.add(FaultCounter::Flushes, load(&counts.flushes));
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
