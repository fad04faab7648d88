// SPDX-License-Identifier: MIT OR Apache-2.0
//! Nested page tables: the one record of an address space.
//!
//! The entry that covers a page says what the page is ([`entry::State`]); there is nothing beside the tables to
//! keep in step. Each room calls those above it in this list and none below:
//!
//! - `units`: levels, places, ranges and their arithmetic;
//! - `arch`, `entry`: the words of each format, and what they say;
//! - `table`: one page of a table, reached by this CPU;
//! - `stock`: table frames taken in advance;
//! - `edges`: the tables that a range cuts, at most two for each level, found by one descent;
//!   `sweep`: every entry of a range, table by table;
//! - `content`: what a call puts into a range;
//! - `split`: cutting an entry that covers more than a call is about; `reap`: giving back what no CPU reaches;
//!   `audit` and `exposed`: whether the tables are what the library wrote;
//! - what exclusive calls do to a range: `unmap`, `keep`, `map`, `protect`, `tags`, `hide`, `populate`, `replace`; `slices`: how
//!   far they get with a budget; `page`: the short way for one page whose table is there;
//! - `dirty` and `age`: which pages were written or used; `merge`: tables that become larger entries again;
//! - what runs beside others: `look`, which changes nothing, `fault` and `fill`;
//! - `provider`: pages that the host brings, in a fault or by a call beside others, and takes back.
//!
//! `io` says what all of them owe to an IOMMU that walks the tables (part `io`).
//!
//! `work` is the memory of an exclusive call; `lock` says who runs beside whom.
//!
//! An exclusive call prepares, then commits: whatever can fail happens first, off-line. Then entries are
//! written, or detached, flushed and only then reaped. Hosts have small stacks: a call is a script of steps that
//! do not call each other, and what they remember is in the space.
//!
//! Steps that find a table which cannot be read, or which says what this library never writes, answer `None`:
//! the call ends with [`Error::BadState`].

#[cfg(feature = "age")]
pub(crate) mod age;
pub mod arch;
pub(crate) mod audit;
pub(crate) mod content;
#[cfg(feature = "dirty")]
pub(crate) mod dirty;
mod edges;
pub mod entry;
mod exposed;
pub(crate) mod fault;
pub(crate) mod fill;
pub(crate) mod hide;
pub(crate) mod io;
pub(crate) mod keep;
pub(crate) mod lock;
pub(crate) mod look;
pub(crate) mod map;
#[cfg(feature = "merge")]
pub(crate) mod merge;
pub(crate) mod page;
#[cfg(feature = "multiarch")]
pub mod paging;
pub(crate) mod populate;
pub(crate) mod protect;
#[cfg(feature = "provider")]
pub(crate) mod provider;
mod reap;
pub(crate) mod replace;
pub(crate) mod slices;
mod split;
pub(crate) mod stock;
pub(crate) mod sweep;
pub(crate) mod table;
#[cfg(feature = "tags")]
mod tags;
#[cfg(feature = "transfer")]
pub(crate) mod transfer;
pub(crate) mod units;
pub(crate) mod unmap;
pub(crate) mod work;

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::abi::{axas_hw_regs_t, axas_tlb_request_t};
use crate::addr::{Bits, PAGE_SIZE};
use crate::error::{Error, Result};
use crate::flags::Permissions;
use crate::hal::{FlushRequest, HAS_WINDOWS, Host, Purpose};
use crate::sync::{Defect, planted};
use arch::{Features, Format, FormatId, RootState, Shape, with_format};
use entry::{Entry, Reservation};
use lock::Lock;
use units::{Gpa, GpaRange, Hpa, Level};
use work::Work;

/// Whether `AXAS_REPLACE`, `AXAS_POPULATE` and `AXAS_KEEP_TABLES` are built in.
pub(crate) const REPLACES: bool = cfg!(feature = "replace");
pub(crate) const POPULATES: bool = cfg!(feature = "populate");
pub(crate) const KEEPS_TABLES: bool = cfg!(feature = "keep");

/// The tables of one space and what they depend on. What every walk needs comes first.
#[repr(C)]
pub(crate) struct NestedPageTable {
    pub(crate) root: Hpa,
    /// Host-virtual less host-physical addresses of tables, if `is_direct`.
    pub(crate) offset: u64,
    /// The guest-physical addresses of the space.
    pub(crate) range: GpaRange,
    /// Changes between the detaching of tables and their going back, for readers without the lock.
    pub(crate) generation: crate::sync::AtomicU64,
    /// A leaf of level 1 of write-back memory, without address and permissions.
    pub(crate) write_back: u64,
    pub(crate) features: Features,
    pub(crate) levels: Level,
    /// Tables are in a direct map.
    pub(crate) is_direct: bool,
    /// Tables may be read without the lock.
    pub(crate) reads_unlocked: bool,
    /// They may, and the root is of level [`Level::SHORT`] at most.
    pub(crate) has_short_looks: bool,
    /// Faults may take the short way: tables are in a direct map, of levels up to [`Level::SHORT`], walkers snoop the
    /// caches, and guest frames need not be zeroed.
    pub(crate) has_short_faults: bool,
    /// Faults may now.
    #[cfg(feature = "age")]
    pub(crate) short_faults: core::sync::atomic::AtomicBool,
    /// Calls that unmap may, as faults, but for the last condition.
    pub(crate) has_short_unmaps: bool,
    /// Calls that map may, as those that unmap, with these permissions, a bit for each value.
    pub(crate) short_permissions: u8,
    /// Page walkers do not snoop the caches: what is written to tables is cleaned.
    pub(crate) cleans_tables: bool,
    /// No executable leaf is larger than 4 KiB.
    pub(crate) small_exec: bool,
    /// Guest frames are to be zeroed.
    pub(crate) zeroes_frames: bool,
    /// Tables that became empty stay for the next map.
    pub(crate) keeps_tables: bool,
    pub(crate) format: FormatId,
    pub(crate) lock: Lock,
    /// What exclusive calls took and gave; the lines of the lock have what faults did.
    pub(crate) counts: Counts,
    /// Table frames now, the root's included.
    pub(crate) tables: AtomicU64,
    pub(crate) table_quota: u64,
    /// Entries of the root that are occupied.
    pub(crate) root_entries: AtomicU64,
    pub(crate) vmid: AtomicU32,
    /// Table frames that stay in the stock between calls.
    #[cfg(feature = "stock")]
    pub(crate) stocked: AtomicU32,
    /// Not 0: tables may be hidden.
    #[cfg(feature = "hide")]
    pub(crate) hidden_tables: AtomicU32,
    /// Which pages are written.
    #[cfg(feature = "dirty")]
    pub(crate) log: dirty::Log,
    /// Tables merged, ever.
    #[cfg(feature = "merge")]
    pub(crate) merges: AtomicU64,
    /// There may be a provider's pages.
    #[cfg(feature = "provider")]
    pub(crate) has_providers: AtomicU32,
    pub(crate) shape: Shape,
    pub(crate) host: Host,
}

/// Whether writes can be logged.
pub(crate) const LOGS: bool = cfg!(feature = "dirty");
/// Whether pages can be aged.
pub(crate) const AGES: bool = cfg!(feature = "age");

/// How writes and accesses are seen, a bit for each.
pub(crate) mod watch {
    /// A clean page faults at the first write.
    pub(crate) const LOG_BY_FAULTS: u32 = 1;
    /// Hardware sets a dirty bit.
    pub(crate) const LOG_BY_HARDWARE: u32 = 2;
    /// Writes are logged.
    pub(crate) const LOG: u32 = LOG_BY_FAULTS | LOG_BY_HARDWARE;
    /// An old page faults at the first access.
    pub(crate) const AGE_BY_FAULTS: u32 = 4;
    /// Hardware sets an accessed bit.
    pub(crate) const AGE_BY_HARDWARE: u32 = 8;
    /// Pages are aged.
    pub(crate) const AGE: u32 = AGE_BY_FAULTS | AGE_BY_HARDWARE;
    /// What faults may have to say.
    pub(crate) const BY_FAULTS: u32 = LOG | if super::AGES { AGE_BY_FAULTS } else { 0 };
}

/// A table has a page that is young, as the entry says from now on that points to it, beside hardware; whether it said
/// something else.
#[inline(always)]
fn warm<F: Format>(slot: &crate::sync::AtomicU64) -> bool {
    let is_cold = F::TABLE_COLD != 0
        && slot.load(Ordering::Relaxed) & F::TABLE_COLD != 0
        && !planted(Defect::ColdKept);
    if is_cold {
        slot.fetch_and(!F::TABLE_COLD, Ordering::Relaxed);
    }
    is_cold
}

/// What was taken and given, mod 2^64.
#[derive(Default)]
pub(crate) struct Counts {
    /// Frames taken, in pages of 4 KiB.
    pub(crate) allocated: AtomicU64,
    /// Frames given back, in pages of 4 KiB.
    pub(crate) released: AtomicU64,
    /// Requests to flush.
    pub(crate) flushes: AtomicU64,
    /// Guest frames that are mapped, in pages of 4 KiB.
    pub(crate) guest: AtomicU64,
    /// Leaves of levels 1 to 3.
    pub(crate) leaves: [AtomicU64; 3],
}

/// Adds to a counter that only calls change which run alone, mod 2^64.
#[inline(always)]
fn add(count: &AtomicU64, change: u64) {
    count.store(count.load(Ordering::Relaxed).wrapping_add(change), Ordering::Relaxed);
}

/// Takes off such a counter.
#[inline(always)]
fn subtract(count: &AtomicU64, change: u64) {
    count.store(count.load(Ordering::Relaxed).wrapping_sub(change), Ordering::Relaxed);
}

impl NestedPageTable {
    /// The page of the root that covers an address of the space. A root of several pages takes the
    /// address bits above the index; the space ends where the root does.
    #[inline(always)]
    fn root_page<F: Format>(&self, gpa: Gpa) -> Hpa {
        if F::WIDE_ROOT { self.root.page(gpa.number(self.levels.up())) } else { self.root }
    }

    /// Whether tables that became empty stay for the next map.
    #[inline(always)]
    pub(crate) fn keeps_tables(&self) -> bool {
        KEEPS_TABLES && self.keeps_tables
    }

    /// Whether tables are in a direct map.
    #[inline(always)]
    pub(crate) fn is_direct(&self) -> bool {
        !HAS_WINDOWS || self.is_direct
    }

    /// Whether faults may take the short way now.
    #[inline(always)]
    pub(crate) fn takes_short_faults(&self) -> bool {
        #[cfg(feature = "age")]
        return self.short_faults.load(Ordering::Relaxed);
        #[cfg(not(feature = "age"))]
        self.has_short_faults
    }

    /// Whether one of these is so: a bit for each, of [`watch`].
    #[inline(always)]
    fn watches(&self, bits: u32) -> bool {
        let _ = bits;
        #[cfg(feature = "dirty")]
        return self.log.watch.load(Ordering::Relaxed) & bits != 0;
        #[cfg(not(feature = "dirty"))]
        false
    }

    /// Whether leaves may be clean.
    #[inline(always)]
    pub(crate) fn is_logged(&self) -> bool {
        self.watches(watch::LOG)
    }

    /// Whether hardware marks the writes to clean pages.
    #[inline(always)]
    pub(crate) fn marks_writes(&self) -> bool {
        self.watches(watch::LOG_BY_HARDWARE)
    }

    /// Whether leaves may be old.
    #[inline(always)]
    pub(crate) fn is_aged(&self) -> bool {
        AGES && self.watches(watch::AGE)
    }

    /// Whether hardware writes to leaves.
    #[inline(always)]
    pub(crate) fn is_live(&self) -> bool {
        self.watches(watch::LOG_BY_HARDWARE | watch::AGE_BY_HARDWARE)
    }

    /// The tables of a range are about to have pages that are young.
    #[inline(always)]
    pub(crate) fn warm_range<F: Format>(&self, work: &mut Work, range: GpaRange) {
        let _ = (&work, range);
        if F::TABLE_COLD != 0 && self.is_aged() && !planted(Defect::ColdKept) {
            #[cfg(feature = "age")]
            self.warm_tables::<F>(&mut work.sweep, range);
        }
    }

    /// Pages of the root.
    pub(crate) fn root_pages(&self) -> u64 {
        1_u64.wrapping_shl(self.shape.root_order)
    }

    /// Table frames now, the root's included.
    #[inline(always)]
    pub(crate) fn table_count(&self) -> u64 {
        self.tables.load(Ordering::Relaxed)
    }

    /// All that the root translates.
    fn whole(&self) -> GpaRange {
        let bytes = self.root_pages().wrapping_mul(self.levels.table_size());
        GpaRange::new(Gpa::new(0), Gpa::new(bytes))
    }

    /// What the register values depend on.
    pub(crate) fn root_state(&self) -> RootState {
        RootState {
            root: self.root.bits(),
            vmid: self.vmid.load(Ordering::Relaxed),
            shape: self.shape,
            features: self.features,
        }
    }

    /// The largest level of leaf for a reservation, within a limit.
    #[inline(always)]
    fn largest_frame(&self, reservation: Reservation, most: Level) -> Level {
        let is_executable = reservation.permission_bits() & Permissions::EXECUTE.bits() != 0;
        if self.small_exec && is_executable {
            Level::PAGE
        } else {
            most.min(Level::new(reservation.largest()))
        }
    }

    /// Whether the frames of a reservation are zeroed.
    #[inline(always)]
    fn zeroes(&self, reservation: Reservation) -> bool {
        self.zeroes_frames && !reservation.skips_zero()
    }

    /// A leaf of level 1 of write-back memory without its address; none if these are no permissions of
    /// [`NestedPageTable::short_permissions`].
    #[inline(always)]
    pub(crate) fn write_back_page<F: Format>(&self, permissions: u32) -> Option<Entry<F>> {
        let is_one = permissions <= Permissions::all().bits()
            && self.short_permissions.wrapping_shr(permissions) & 1 != 0;
        let bits = F::permission_bits(Permissions::from_bits_truncate(permissions));
        is_one.then_some(Entry::from_word(bits | self.write_back))
    }

    /// Has translations of the space invalidated.
    #[inline(never)]
    fn issue<F: Format>(&self, request: FlushRequest, reason: u32, scope: u32) {
        add(&self.counts.flushes, 1);
        self.flush_now::<F>(request, reason, scope);
    }

    /// As [`NestedPageTable::issue`], for a caller that counts the request.
    #[inline(always)]
    fn flush_now<F: Format>(&self, request: FlushRequest, reason: u32, scope: u32) {
        let request = request.to_host(self.vmid.load(Ordering::Relaxed), reason, scope);
        if !self.host.flush(&request) {
            self.flush_builtin::<F>(&request);
        }
    }

    /// Invalidates without the host.
    #[inline(never)]
    fn flush_builtin<F: Format>(&self, request: &axas_tlb_request_t) {
        self.host.flush_builtin(request, F::root_register(&self.root_state()));
    }

    /// Takes the root of a new space, within the quota.
    pub(crate) fn take_root(&self) -> Result<Hpa> {
        let pages = self.root_pages();
        if pages > self.table_quota {
            return Err(Error::NoMemory);
        }
        let root = self.host.take(self.shape.root_order, Purpose::Root)?;
        add(&self.counts.allocated, pages);
        add(&self.tables, pages);
        Ok(root)
    }

    /// Takes the frame of a table, within the quota.
    #[inline(never)]
    fn take_table(&self) -> Result<Hpa> {
        if self.table_count() >= self.table_quota {
            return Err(Error::NoMemory);
        }
        let page = self.take_frame(Level::PAGE, Purpose::Table)?;
        add(&self.tables, 1);
        Ok(page)
    }

    /// Gives the frame of a table back.
    #[inline(never)]
    fn give_table(&self, page: Hpa) {
        self.host.give(page, 0, Purpose::Table);
        subtract(&self.tables, 1);
        add(&self.counts.released, 1);
    }

    /// Takes a frame.
    #[inline(never)]
    fn take_frame(&self, level: Level, purpose: Purpose) -> Result<Hpa> {
        let frame = self.host.take(level.order(), purpose);
        if frame != Err(Error::NoMemory) {
            add(&self.counts.allocated, level.pages());
            if frame.is_err() {
                // What came was no frame and went back.
                add(&self.counts.released, level.pages());
            }
        }
        frame
    }

    /// Gives the frame of an owned leaf back.
    #[inline(never)]
    fn give_guest(&self, frame: Hpa, level: Level) {
        self.host.give(frame, level.order(), Purpose::Guest);
        add(&self.counts.released, level.pages());
    }

    /// Counts leaves that were written.
    #[inline(always)]
    fn count_leaves(&self, level: Level, count: u64) {
        if let Some(leaves) = self.counts.leaves.get(level.down().get() as usize) {
            add(leaves, count);
        }
    }

    /// Counts leaves that are gone.
    #[inline(always)]
    fn discount_leaves(&self, level: Level, count: u64) {
        if let Some(leaves) = self.counts.leaves.get(level.down().get() as usize) {
            subtract(leaves, count);
        }
    }
}

/// What to load into the hardware.
#[inline(never)]
pub(crate) fn registers(format: FormatId, state: RootState) -> axas_hw_regs_t {
    let RootState { root, shape, .. } = state;
    axas_hw_regs_t {
        format: format as u32,
        levels: shape.levels,
        root,
        gpa_bits: shape.gpa_bits,
        pa_bits: shape.pa_bits,
        root_bytes: (PAGE_SIZE as u32).wrapping_shl(shape.root_order),
        ..with_format!(format, F => {
            let root_register = F::root_register(&state);
            Ok(axas_hw_regs_t { root_register, ..F::registers(state) })
        })
        .unwrap_or_default()
    }
}
