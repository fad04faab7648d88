//! Page faults: verdicts, and the counters that cost the fewest operations.

use core::sync::atomic::{AtomicU64, Ordering};

use super::{AddressSpace, Verdict, with_engine};
use crate::abi::axas_flags_t;
use crate::addr::{Bits, GuestPhysAddr};
use crate::flags::Permissions;
use crate::hal::Ledger;
use crate::logging;
use crate::npt::fault::Outcome;
use crate::npt::lock::{FaultCounters, SharedGuard};

impl AddressSpace {
    /// Handles a second-stage fault of a guest.
    pub fn page_fault(&self, gpa: u64, access: axas_flags_t) -> Verdict {
        let verdict = match Permissions::from_bits(access) {
            Some(access) if !access.is_empty() => self.take_page_in(gpa, access),
            _ => {
                logging::warn("rejected", "handle_page_fault", gpa, access.into());
                return self.counted(Verdict::Error);
            }
        };
        match verdict {
            Verdict::Error => logging::error("bad_state", "handle_page_fault", gpa, 0),
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
        let ledger = self.ledger();
        let outcome = with_engine!(self, &ledger, engine => Ok(engine.page_fault(gpa, access)))
            .unwrap_or(Outcome { verdict: Verdict::Error, level: 1 });
        self.leave(guard, &ledger, outcome);
        outcome.verdict
    }

    /// Counts a verdict where no reader entered.
    fn counted(&self, verdict: Verdict) -> Verdict {
        count(&self.lock.shard().counters, verdict);
        verdict
    }

    /// Leaves the shared side. A fault that took one page and nothing else costs no operation but the
    /// one that leaves.
    fn leave(&self, guard: SharedGuard<'_>, ledger: &Ledger<'_>, outcome: Outcome) {
        let counters = &guard.shard().counters;
        let resolved = outcome.verdict == Verdict::Resolved;
        let expected = u64::from(resolved);
        add(&counters.extra_allocated, ledger.allocated.get().wrapping_sub(expected));
        add(&counters.released, ledger.released.get());
        add(&counters.flushes, ledger.flushes.get());
        if !resolved {
            count(counters, outcome.verdict);
            return;
        }
        add(&counters.huge, u64::from(outcome.level > 1));
        guard.leave_resolved();
    }
}

#[inline(always)]
fn add(counter: &AtomicU64, change: u64) {
    if change != 0 {
        counter.fetch_add(change, Ordering::Relaxed);
    }
}

fn count(counters: &FaultCounters, verdict: Verdict) {
    let counter = match verdict {
        Verdict::Resolved => return,
        Verdict::Spurious => &counters.spurious,
        Verdict::Retry => &counters.retry,
        Verdict::Trap => &counters.trap,
        Verdict::Unmapped => &counters.unmapped,
        Verdict::Denied => &counters.denied,
        Verdict::NoMemory => &counters.no_memory,
        Verdict::Error => &counters.error,
    };
    counter.fetch_add(1, Ordering::Relaxed);
}
