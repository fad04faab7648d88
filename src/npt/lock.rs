// SPDX-License-Identifier: MIT OR Apache-2.0
//! The reader-writer lock of a space.
//!
//! Many readers, each in one of at least eight cache lines, chosen by the stack it runs on; one writer, who
//! announces himself first and then waits for each line to drain, so that a stream of readers cannot
//! starve him. A reader that sees a writer goes away again; whether it waits is up to the caller
//! (page faults do not).
//!
//! ```text
//! reader                                   writer
//! writer != 0 ? busy                       writer: 0 -> 1            (compare-exchange)
//! readers += 1                             full barrier
//! full barrier                             each shard: readers == 0 ?
//! writer != 0 ? readers -= 1, busy         ...
//! ... readers -= 1 (release)               writer = 0                (release)
//! ```
//!
//! Either the reader sees the writer or the writer sees the reader. A shard's word holds the readers in
//! its low 16 bits and the faults they resolved above, so that a fault leaves with one operation.

use core::num::NonZeroU16;
use core::ptr::NonNull;
use core::sync::atomic;

use super::units::Level;
use crate::abi::*;
use crate::sync::{
    AtomicU32, AtomicU64, Defect, Ordering, chosen_lane, fence, planted, spin_loop, unless,
};

/// Fewest lines.
pub(crate) const LEAST_SHARDS: usize = if cfg!(loom) { 2 } else { 8 };
/// Most lines that are of use.
const MOST_SHARDS: usize = if cfg!(loom) { 2 } else { 256 };
const READERS: u64 = 0xffff;
const RESOLVED_SHIFT: u32 = 16;

/// Nothing depends on the order in which these change.
type Counter = atomic::AtomicU64;

/// A reader's line: how many readers there are, and what faults did here.
#[repr(C, align(128))]
pub(crate) struct Shard {
    word: AtomicU64,
    counters: [Counter; FaultCounter::COUNT],
}

impl Shard {
    /// Writes a line with nothing in it.
    ///
    /// # Safety
    /// `place` is valid for writes, aligned, and used by no other code.
    #[inline(never)]
    unsafe fn place(place: *mut Self) {
        let counters = [const { Counter::new(0) }; FaultCounter::COUNT];
        // SAFETY: by the caller's promise.
        unsafe { place.write(Self { word: AtomicU64::new(0), counters }) }
    }

    /// Adds to a counter.
    #[inline(always)]
    pub(crate) fn add(&self, counter: FaultCounter, change: u64) {
        if let Some(counter) = self.counters.get(counter as usize) {
            counter.fetch_add(change, Ordering::Relaxed);
        }
    }

    /// Counts a fault that was not resolved.
    #[inline(always)]
    pub(crate) fn count(&self, verdict: axas_fault_result_t) {
        if let Some(counter) = self.counters.get(verdict as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a frame that was taken and went back.
    #[inline(never)]
    pub(crate) fn count_for_nothing(&self, level: Level) {
        self.add(FaultCounter::ExtraAllocated, level.pages());
        self.add(FaultCounter::Released, level.pages());
    }
}

/// Faults by verdict at the verdicts' numbers (the resolved ones are in the shard's word), and what they took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultCounter {
    /// Resolved with a frame of 2 MiB.
    Huge = AXAS_FAULT_RESOLVED as isize,
    Spurious = AXAS_FAULT_SPURIOUS as isize,
    Retry = AXAS_FAULT_RETRY as isize,
    Trap = AXAS_FAULT_TRAP as isize,
    Unmapped = AXAS_FAULT_UNMAPPED as isize,
    Denied = AXAS_FAULT_DENIED as isize,
    NoMemory = AXAS_FAULT_NO_MEMORY as isize,
    Error = AXAS_FAULT_ERROR as isize,
    /// The host brings the page later.
    #[cfg(feature = "provider")]
    Wait = AXAS_FAULT_WAIT as isize,
    /// Frames taken beyond one page for each fault that a page of 4 KiB resolved.
    ExtraAllocated,
    /// Frames given back.
    Released,
    /// Requests to flush.
    Flushes,
    /// Resolved without a frame of alloc_frame: a page was made dirty or shown, or came from a provider.
    #[cfg(any(feature = "dirty", feature = "hide", feature = "provider"))]
    Marked,
    /// The same, with a page of 4 KiB of the host's, which is counted here alone.
    #[cfg(feature = "provider")]
    Supplied,
}

impl FaultCounter {
    const COUNT: usize = Self::Flushes as usize
        + 1
        + cfg!(any(feature = "dirty", feature = "hide", feature = "provider")) as usize
        + cfg!(feature = "provider") as usize;
}

/// The lock; `caller_locked` spaces leave it open. Its lines are behind the space, as many as there is room for.
#[repr(C)]
pub(crate) struct Lock {
    writer: AtomicU32,
    caller_locked: bool,
    /// The number of lines is a power of two; how far a hash of 64 bits is shifted for one of them.
    hash_shift: u8,
    /// The number of lines in [`Group`]s.
    groups: NonZeroU16,
    first: NonNull<Shard>,
}

/// Lines that a writer looks at together.
type Group = [Shard; LEAST_SHARDS];

// SAFETY: 1. the lines are the lock's own for as long as it lives; 2. they are atomics.
unsafe impl Send for Lock {}
// SAFETY: as above.
unsafe impl Sync for Lock {}

/// Full barrier between an own store and a following load. On x86 the locked instruction before it
/// is one; loom takes no account of it.
#[inline(always)]
fn full_barrier(defect: Defect) {
    if (cfg!(loom) || !cfg!(target_arch = "x86_64")) && !planted(defect) {
        fence(Ordering::SeqCst);
    }
}

impl Lock {
    /// An open lock whose lines are in memory with room for so many of them, at least [`LEAST_SHARDS`].
    ///
    /// # Safety
    /// The memory is valid for writes, aligned, and used by no other code for as long as the lock lives.
    pub(crate) unsafe fn over(first: NonNull<Shard>, room: usize, caller_locked: bool) -> Self {
        let most = room.min(MOST_SHARDS) as u64;
        let log = 63_u32.saturating_sub(most.leading_zeros());
        let count = 1_usize.wrapping_shl(log);
        for number in 0..count {
            // SAFETY: by the caller's promise.
            unsafe { Shard::place(first.as_ptr().add(number)) };
        }
        let hash_shift = 64_u32.wrapping_sub(log) as u8;
        let groups = NonZeroU16::new((count / LEAST_SHARDS) as u16).unwrap_or(NonZeroU16::MIN);
        Self { writer: AtomicU32::new(0), caller_locked, hash_shift, groups, first }
    }

    /// An open lock.
    #[cfg(all(loom, test))]
    pub(crate) fn new(caller_locked: bool) -> Self {
        let lines = std::boxed::Box::new(
            [const { core::mem::MaybeUninit::<Shard>::uninit() }; MOST_SHARDS],
        );
        let first = NonNull::from(std::boxed::Box::leak(lines)).cast();
        // SAFETY: leaked, with room for so many.
        unsafe { Self::over(first, MOST_SHARDS, caller_locked) }
    }

    /// Whether the host holds a lock of its own.
    pub(crate) fn is_caller_locked(&self) -> bool {
        self.caller_locked
    }

    /// All lines.
    #[inline(always)]
    fn groups(&self) -> &[Group] {
        let first = self.first.cast::<Group>();
        // SAFETY: as many as `over` wrote; they live as long as the lock.
        unsafe { core::slice::from_raw_parts(first.as_ptr(), self.groups.get().into()) }
    }

    /// All lines, one by one.
    #[inline(always)]
    fn shards(&self) -> &[Shard] {
        self.groups().as_flattened()
    }

    /// The line of this CPU: vCPU threads and CPUs have stacks of their own.
    #[inline(always)]
    pub(crate) fn shard(&self) -> &Shard {
        let on_stack = 0_u8;
        let stack = ((&raw const on_stack).addr() as u64) >> 14;
        let hash = stack.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_shr(self.hash_shift.into());
        let number = chosen_lane().unwrap_or(hash);
        // SAFETY: 1. what is left of the hash is less than the number of lines, as is every lane that a model
        // chooses; 2. the lines live as long as the lock.
        unsafe { self.first.add(number as usize).as_ref() }
    }

    /// Enters beside other readers, unless a writer is there.
    #[inline(always)]
    pub(crate) fn try_shared(&self) -> Option<SharedGuard<'_>> {
        let guard = SharedGuard { lock: self, shard: self.shard() };
        if self.caller_locked {
            return Some(guard);
        }
        while self.writer.load(Ordering::Relaxed) != 0 {
            if !planted(Defect::FaultWaits) {
                core::mem::forget(guard);
                return None;
            }
            spin_loop();
        }
        guard.shard.word.fetch_add(1, Ordering::SeqCst);
        full_barrier(Defect::ReaderBarrier);
        if self.writer.load(Ordering::SeqCst) != 0 && !planted(Defect::SecondLook) {
            if planted(Defect::RefusedStaysCounted) {
                core::mem::forget(guard);
            }
            // The guard leaves.
            return None;
        }
        Some(guard)
    }

    /// As [`Lock::try_shared`], by a call: for what is not the usual fault.
    #[inline(never)]
    pub(crate) fn enter_shared(&self) -> Option<SharedGuard<'_>> {
        self.try_shared()
    }

    /// Enters beside other readers, and `relax` runs while a writer is there; none if `no_wait` and one is there.
    #[inline(always)]
    pub(crate) fn shared(&self, no_wait: bool, relax: impl Fn()) -> Option<SharedGuard<'_>> {
        loop {
            let guard = self.enter_shared();
            if guard.is_some() || no_wait {
                return guard;
            }
            relax();
        }
    }

    /// Enters alone if no other call is inside.
    #[inline(always)] // Most calls get no further.
    pub(crate) fn try_exclusive(&self) -> Attempt {
        if self.caller_locked {
            return Attempt::Alone;
        }
        if !self.announce() {
            return Attempt::BesideWriter;
        }
        full_barrier(Defect::WriterBarrier);
        if self.has_readers() && !planted(Defect::ReadersNotAwaited) {
            return Attempt::BesideReaders;
        }
        Attempt::Alone
    }

    /// Enters alone after an attempt: `relax` runs while others are there, unless `no_wait`. Whether it entered.
    #[inline(always)] // Into what knows the host.
    pub(crate) fn exclusive(&self, tried: Attempt, no_wait: bool, relax: impl Fn()) -> bool {
        let is_announced = !matches!(tried, Attempt::BesideWriter);
        if no_wait {
            if is_announced && !planted(Defect::RefusedStaysAnnounced) {
                drop(self.entered());
            }
            return false;
        }
        if !is_announced {
            while !self.announce() {
                relax();
            }
            full_barrier(Defect::WriterBarrier);
        }
        for shard in self.shards() {
            while shard.word.load(Ordering::SeqCst) & READERS != 0 {
                if planted(Defect::ReadersNotAwaited) {
                    break;
                }
                if planted(Defect::AnnouncementWithdrawn) {
                    self.writer.store(0, Ordering::Release);
                }
                relax();
                if planted(Defect::AnnouncementWithdrawn) {
                    self.writer.store(1, Ordering::SeqCst);
                }
            }
        }
        true
    }

    /// The proof, for whoever entered alone.
    #[inline(always)]
    pub(crate) fn entered(&self) -> ExclusiveGuard<'_> {
        ExclusiveGuard { lock: self }
    }

    /// Announces a writer, unless there is one.
    #[inline(always)]
    fn announce(&self) -> bool {
        self.writer.compare_exchange(0, 1, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }

    /// Whether a reader is in one of the lines. The writer is announced: none that is
    /// seen without readers gets one.
    #[inline(always)]
    fn has_readers(&self) -> bool {
        let load = |shard: &Shard| shard.word.load(Ordering::SeqCst);
        let mut words = 0;
        for group in self.groups() {
            // Not a loop: the compiler unrolls none where it looks for size.
            #[cfg(not(loom))]
            let [a, b, c, d, e, f, g, h] = group;
            #[cfg(not(loom))]
            let more =
                load(a) | load(b) | load(c) | load(d) | load(e) | load(f) | load(g) | load(h);
            #[cfg(loom)]
            let more = group.iter().fold(0, |more, shard| more | load(shard));
            words |= more;
        }
        words & READERS != 0
    }

    /// Faults that were resolved ever.
    pub(crate) fn resolved(&self) -> u64 {
        self.shards().iter().fold(0, |sum, shard| {
            sum.wrapping_add(shard.word.load(Ordering::Relaxed) >> RESOLVED_SHIFT)
        })
    }

    /// Adds up the verdicts.
    pub(crate) fn count_verdicts(&self, stats: &mut axas_stats_t) {
        stats.faults_resolved = self.resolved();
        stats.faults_spurious = self.sum(FaultCounter::Spurious);
        stats.faults_retry = self.sum(FaultCounter::Retry);
        stats.faults_trap = self.sum(FaultCounter::Trap);
        stats.faults_unmapped = self.sum(FaultCounter::Unmapped);
        stats.faults_denied = self.sum(FaultCounter::Denied);
        stats.faults_no_memory = self.sum(FaultCounter::NoMemory);
        stats.faults_error = self.sum(FaultCounter::Error);
    }

    /// The sum of one counter over all lines.
    #[inline(never)]
    pub(crate) fn sum(&self, counter: FaultCounter) -> u64 {
        let mut sum = 0_u64;
        for shard in self.shards() {
            if let Some(counter) = shard.counters.get(counter as usize) {
                sum = sum.wrapping_add(counter.load(Ordering::Relaxed));
            }
        }
        sum
    }
}

/// Proof that no writer runs; leaves when dropped.
pub(crate) struct SharedGuard<'a> {
    lock: &'a Lock,
    shard: &'a Shard,
}

impl<'a> SharedGuard<'a> {
    /// The reader's line.
    pub(crate) fn shard(&self) -> &'a Shard {
        self.shard
    }

    /// Leaves and counts a resolved fault, in one operation.
    #[inline(always)]
    pub(crate) fn leave_resolved(self) {
        let counted = u64::from(!self.lock.caller_locked);
        let change = (1_u64 << RESOLVED_SHIFT).wrapping_sub(counted);
        let word = &self.shard.word;
        if planted(Defect::CountedInTwo) {
            let sum = word.load(Ordering::Relaxed).wrapping_add(change);
            word.store(sum, Ordering::Release);
        } else {
            word.fetch_add(change, unless(Defect::ReaderLeave, Ordering::Release));
        }
        core::mem::forget(self);
    }
}

impl Drop for SharedGuard<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if !self.lock.caller_locked {
            self.shard.word.fetch_sub(1, unless(Defect::ReaderLeave, Ordering::Release));
        }
    }
}

/// What came of a writer's attempt.
#[derive(Clone, Copy)]
pub(crate) enum Attempt {
    /// The writer is alone.
    Alone,
    /// The writer is announced, and readers are there.
    BesideReaders,
    /// Another writer is there.
    BesideWriter,
}

/// Proof that the lock is held exclusively; releases it when dropped.
pub(crate) struct ExclusiveGuard<'a> {
    lock: &'a Lock,
}

impl Drop for ExclusiveGuard<'_> {
    /// Where the host holds a lock of its own, no writer is announced.
    #[inline(always)]
    fn drop(&mut self) {
        self.lock.writer.store(0, unless(Defect::WriterLeave, Ordering::Release));
    }
}
