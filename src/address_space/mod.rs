//! Address spaces: arguments checked, the lock taken, the engine put to work, the outcome counted.

mod create;
pub(crate) mod dump;
pub(crate) mod inspect;
mod map;
mod memory;
mod page_fault;

use core::sync::atomic::{AtomicU64, Ordering};

pub use crate::npt::fault::Verdict;
pub use create::tables_needed;
pub use map::Sliced;
pub use memory::{Access, Chunk};

use crate::abi::{AXAS_NO_WAIT, AXAS_STORAGE_ALIGN, AXAS_STORAGE_SIZE, axas_hw_regs_t};
use crate::addr::{Bits, GuestRange, HostPhysAddr, guest_range, is_page_aligned};
use crate::error::{Error, Result};
use crate::hal::Ledger;
use crate::npt::NestedPageTable;
use crate::npt::budget::Budget;
use crate::npt::lock::{ExclusiveGuard, Lock, SharedGuard};
use crate::npt::operation::Operation;

/// Runs code with the engine of the space's format.
macro_rules! with_engine {
    ($space:expr, $ledger:expr, $engine:ident => $body:expr) => {
        match $space.npt.format {
            #[cfg(feature = "intel-ept")]
            $crate::npt::arch::FormatId::Ept => {
                let $engine =
                    $crate::npt::Engine::<$crate::npt::arch::IntelEpt>::new(&$space.npt, $ledger);
                $body
            }
            #[cfg(feature = "amd-npt")]
            $crate::npt::arch::FormatId::Npt => {
                let $engine =
                    $crate::npt::Engine::<$crate::npt::arch::AmdNpt>::new(&$space.npt, $ledger);
                $body
            }
            #[cfg(feature = "arm-stage2")]
            $crate::npt::arch::FormatId::ArmStage2 => {
                let $engine =
                    $crate::npt::Engine::<$crate::npt::arch::ArmStage2>::new(&$space.npt, $ledger);
                $body
            }
            #[cfg(feature = "riscv-gstage")]
            $crate::npt::arch::FormatId::RiscvGstage => {
                let $engine = $crate::npt::Engine::<$crate::npt::arch::RiscvGstage>::new(
                    &$space.npt,
                    $ledger,
                );
                $body
            }
            #[allow(unreachable_patterns)] // Formats that are not built in: no space has one.
            _ => Err($crate::error::Error::Unsupported),
        }
    };
}
pub(crate) use with_engine;

/// Runs code with the type of a format.
macro_rules! with_format {
    ($format:expr, $name:ident => $body:expr) => {
        match $format {
            #[cfg(feature = "intel-ept")]
            $crate::npt::arch::FormatId::Ept => {
                type $name = $crate::npt::arch::IntelEpt;
                $body
            }
            #[cfg(feature = "amd-npt")]
            $crate::npt::arch::FormatId::Npt => {
                type $name = $crate::npt::arch::AmdNpt;
                $body
            }
            #[cfg(feature = "arm-stage2")]
            $crate::npt::arch::FormatId::ArmStage2 => {
                type $name = $crate::npt::arch::ArmStage2;
                $body
            }
            #[cfg(feature = "riscv-gstage")]
            $crate::npt::arch::FormatId::RiscvGstage => {
                type $name = $crate::npt::arch::RiscvGstage;
                $body
            }
            #[allow(unreachable_patterns)] // Formats that are not built in.
            _ => Err($crate::error::Error::Unsupported),
        }
    };
}
pub(crate) use with_format;

/// Entries between two questions whether to yield.
const POLL_INTERVAL: u64 = 512;

/// A guest-physical address space. Lives where the host wants it; after creation there are only shared
/// references to it, exclusiveness is a guard of its lock.
#[repr(C, align(128))]
pub struct AddressSpace {
    lock: Lock,
    npt: NestedPageTable,
    range: GuestRange,
    /// `AXAS_CALLER_LOCKED` and the values that follow it.
    options: u32,
    /// The frame that the handle lives in, if it is one of the host's.
    handle: Option<HostPhysAddr>,
    counters: Counters,
}

const _: () = assert!(size_of::<AddressSpace>() <= AXAS_STORAGE_SIZE as usize);
const _: () = assert!(align_of::<AddressSpace>() <= AXAS_STORAGE_ALIGN as usize);

/// What exclusive calls added up; the shards of the lock have what faults did.
#[derive(Default)]
struct Counters {
    guest: AtomicU64,
    leaves: [AtomicU64; 3],
    flushes: AtomicU64,
    allocated: AtomicU64,
    released: AtomicU64,
}

impl Counters {
    /// Those of a new space, whose root has so many pages.
    fn starting_with(root_pages: u64) -> Self {
        Self { allocated: AtomicU64::new(root_pages), ..Self::default() }
    }

    /// Adds what an exclusive call did; nobody else adds meanwhile.
    fn add(&self, ledger: &Ledger<'_>) {
        let add = |counter: &AtomicU64, change: u64| {
            if change != 0 {
                let sum = counter.load(Ordering::Relaxed).wrapping_add(change);
                counter.store(sum, Ordering::Relaxed);
            }
        };
        add(&self.guest, ledger.guest.get());
        for (counter, change) in self.leaves.iter().zip(&ledger.leaves) {
            add(counter, change.get());
        }
        add(&self.flushes, ledger.flushes.get());
        add(&self.allocated, ledger.allocated.get());
        add(&self.released, ledger.released.get());
    }
}

impl AddressSpace {
    /// The guest-physical addresses of the space.
    pub fn range(&self) -> GuestRange {
        self.range
    }

    /// First address of the space.
    pub fn base(&self) -> u64 {
        self.range.start.bits()
    }

    /// Bytes of the space.
    pub fn size(&self) -> u64 {
        self.range.end.bits().wrapping_sub(self.range.start.bits())
    }

    /// Levels of tables.
    pub fn levels(&self) -> u32 {
        self.npt.shape.levels
    }

    /// Host-physical address of the root.
    pub fn root(&self) -> u64 {
        self.npt.root.bits()
    }

    /// Whether `[gpa, gpa + size)` lies in the space.
    pub fn contains_range(&self, gpa: u64, size: u64) -> bool {
        guest_range(gpa, size).is_ok_and(|range| self.contains(range))
    }

    /// What to load into the hardware.
    pub fn hw_regs(&self) -> axas_hw_regs_t {
        with_format!(self.npt.format, F => Ok(self.npt.registers::<F>())).unwrap_or_default()
    }

    /// Changes the VMID; flushes nothing.
    pub fn set_vmid(&self, vmid: u32) -> Result<()> {
        with_format!(self.npt.format, F => create::check_vmid::<F>(vmid, self.npt.features))?;
        let _guard = self.exclusive()?;
        self.npt.vmid.store(vmid, Ordering::Relaxed);
        Ok(())
    }

    /// Removes everything; the space is as new, counters go on.
    pub fn clear(&self) -> Result<()> {
        let (start, end) = (self.range.start.bits(), self.range.end.bits());
        self.change(&Operation::Clear, start, end, None).map(|_| ())
    }

    fn contains(&self, range: GuestRange) -> bool {
        range.start >= self.range.start && range.end <= self.range.end
    }

    /// A range of the space, in the order of checks that the interface promises.
    fn checked_range(&self, gpa: u64, size: u64) -> Result<GuestRange> {
        let range = guest_range(gpa, size)?;
        if !is_page_aligned(gpa | size) || size == 0 || !self.contains(range) {
            return Err(Error::InvalidInput);
        }
        Ok(range)
    }

    fn no_wait(&self) -> bool {
        self.options & AXAS_NO_WAIT != 0
    }

    fn exclusive(&self) -> Result<ExclusiveGuard<'_>> {
        self.lock.exclusive(self.no_wait(), || self.npt.host.relax())
    }

    fn shared(&self) -> Result<SharedGuard<'_>> {
        self.lock.shared(self.no_wait(), || self.npt.host.relax())
    }

    fn ledger(&self) -> Ledger<'_> {
        Ledger::new(&self.npt.host, &self.npt.tables, self.npt.table_quota)
    }

    /// Runs an operation in slices until the range is done, the budget is used up or the host wants to do
    /// something else; each slice takes the lock anew.
    fn change_in_slices(
        &self,
        operation: &Operation<'_>,
        range: GuestRange,
        slices: Slices<'_>,
    ) -> Result<()> {
        let (start, end) = (range.start.bits(), range.end.bits());
        let most = if self.npt.host.may_yield() { POLL_INTERVAL } else { u64::MAX };
        let mut at = start;
        let mut left = slices.budget;
        while at < end {
            let given = left.min(most);
            let mut rest = Budget(given);
            at = self.change(operation, at, end, Some(&mut rest))?;
            *slices.done = at.wrapping_sub(start);
            left = left.wrapping_sub(given.wrapping_sub(rest.0));
            if at < end && (left == 0 || self.npt.host.should_yield()) {
                return Err(Error::Again);
            }
        }
        Ok(())
    }

    /// Runs an operation with the lock held and counts what it did: on all of `[start, end)`, or on as
    /// much as a budget allows. Says where it ended.
    #[inline(never)]
    fn change(
        &self,
        operation: &Operation<'_>,
        start: u64,
        end: u64,
        budget: Option<&mut Budget>,
    ) -> Result<u64> {
        let _guard = self.exclusive()?;
        let ledger = Ledger::alone(&self.npt.host, &self.npt.tables, self.npt.table_quota);
        let outcome = with_engine!(self, &ledger, engine => {
            let stop = match budget {
                Some(budget) => engine.reach(operation, start, end, budget),
                None => Ok(end),
            };
            stop.and_then(|stop| engine.perform(operation, start, stop).map(|()| stop))
        });
        self.counters.add(&ledger);
        outcome
    }
}

/// How a call in slices goes about it.
struct Slices<'a> {
    /// Entries to visit or write at most.
    budget: u64,
    /// Bytes done.
    done: &'a mut u64,
}
