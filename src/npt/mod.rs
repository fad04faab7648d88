// SPDX-License-Identifier: MIT OR Apache-2.0
//! Nested page tables: the one record of an address space.
//!
//! What a page is stands in the entry that covers it ([`entry::State`]); there is nothing beside the
//! tables to keep in step. Range operations look at the tables on the two edges of their range (the
//! `edges`) and touch what lies between them whole:
//!
//! - *prepare*: everything that can fail happens first, off-line: the survey for overlap, the frames
//!   for tables, the tables that a cut through a huge page needs (`split`);
//! - *commit*: the entries are written (`map`, `protect`), or detached, flushed and only then
//!   reaped (`unmap`).
//!
//! What is to be done is data: the call (`operation`), what goes into an empty range (`content`), what
//! becomes of the entries of one (`edit`). A cursor (`walk`) goes over entries, `entries` has what is
//! done to those of one table, `page` the short ways for one page. Hosts have small stacks: a call is a
//! script of steps that do not call each other, and what they remember stands in the space (`work`).
//!
//! A page fault (`fault`) runs beside other faults: it builds what is missing off-line and installs
//! it with one compare-exchange, in a frame that a copy may have filled (`fill`). No reachable table but the
//! root is all empty. `audit` looks whether all that holds, and whether a leaf covers a table (`exposed`).

pub mod arch;
pub(crate) mod audit;
pub(crate) mod budget;
pub(crate) mod content;
mod edges;
pub(crate) mod edit;
pub(crate) mod entries;
pub mod entry;
mod exposed;
pub(crate) mod fault;
pub(crate) mod fill;
pub(crate) mod geometry;
pub(crate) mod lock;
mod map;
pub(crate) mod operation;
mod page;
#[cfg(feature = "multiarch")]
pub mod paging;
mod populate;
mod protect;
mod split;
pub(crate) mod table;
pub(crate) mod unmap;
pub(crate) mod walk;
pub(crate) mod work;

use core::marker::PhantomData;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::abi::axas_hw_regs_t;
use crate::addr::{Bits, HostPhysAddr, PAGE_SIZE};
use crate::error::Result;
use crate::flags::Permissions;
use crate::hal::{DirectMap, FlushRequest, Host, Ledger};
use arch::{Features, Format, FormatId, RootState, Shape, with_format};
use entry::Reservation;
use geometry::shift;
use table::{Memory, Table};

/// The tables of one space and what they depend on.
pub(crate) struct NestedPageTable {
    pub(crate) host: Host,
    pub(crate) format: FormatId,
    pub(crate) shape: Shape,
    pub(crate) features: Features,
    pub(crate) root: HostPhysAddr,
    pub(crate) vmid: AtomicU32,
    /// Table frames now.
    pub(crate) tables: AtomicU64,
    /// Changes between the detaching of tables and their going back, for readers without the lock.
    pub(crate) generation: crate::sync::AtomicU64,
    /// Where tables are, if they may be read without the lock.
    pub(crate) direct_reads: Option<DirectMap>,
    pub(crate) table_quota: u64,
    /// Page walkers do not snoop the caches.
    pub(crate) noncoherent_walk: bool,
    /// No executable leaf is larger than 4 KiB.
    pub(crate) small_exec: bool,
    /// Guest frames are to be zeroed.
    pub(crate) zeroes_frames: bool,
}

impl NestedPageTable {
    /// How tables are reached.
    #[inline(always)]
    fn memory(&self) -> Memory<'_> {
        Memory { host: &self.host, noncoherent: self.noncoherent_walk }
    }

    /// The page of the root that covers an address of the space. A root of several pages takes the
    /// address bits above the index; the space ends where the root does.
    #[inline(always)]
    fn root_page(&self, gpa: u64) -> HostPhysAddr {
        let page = gpa.wrapping_shr(shift(self.shape.levels.wrapping_add(1)));
        HostPhysAddr::from_bits(self.root.bits().wrapping_add(page.wrapping_mul(PAGE_SIZE)))
    }

    /// What the register values depend on.
    pub(crate) fn root_state(&self) -> RootState {
        RootState {
            root: self.root.bits(),
            vmid: self.vmid.load(Ordering::Relaxed),
            shape: self.shape,
            features: self.features,
            noncoherent_walk: self.noncoherent_walk,
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
        ..with_format!(format, F => Ok(F::registers(state))).unwrap_or_default()
    }
}

/// One call's work on the tables of format `F`.
pub(crate) struct Engine<'a, F> {
    npt: &'a NestedPageTable,
    ledger: &'a Ledger<'a>,
    format: PhantomData<F>,
}

impl<'a, F: Format> Engine<'a, F> {
    /// Work on `npt`, counted in `ledger`.
    #[inline(always)]
    pub(crate) fn new(npt: &'a NestedPageTable, ledger: &'a Ledger<'a>) -> Self {
        Self { npt, ledger, format: PhantomData }
    }

    #[inline(always)]
    fn levels(&self) -> u32 {
        self.npt.shape.levels
    }

    #[inline(always)]
    pub(crate) fn features(&self) -> Features {
        self.npt.features
    }

    /// The largest level of leaf for a reservation, within a limit.
    #[inline(always)]
    fn largest_frame(&self, reservation: Reservation, most: u32) -> u32 {
        let is_executable = reservation.attributes.permissions.contains(Permissions::EXECUTE);
        if self.npt.small_exec && is_executable { 1 } else { reservation.largest.min(most) }
    }

    #[inline(always)]
    fn open(&self, page: HostPhysAddr) -> Result<Table<'a, F>> {
        Table::open(self.npt.memory(), page)
    }

    /// Has translations of the space invalidated.
    #[inline(always)]
    fn issue(&self, request: FlushRequest, reason: u32, scope: u32) {
        self.issue_now(&request, reason, scope);
    }

    #[inline(never)]
    fn issue_now(&self, request: &FlushRequest, reason: u32, scope: u32) {
        let root = self.npt.root_state();
        let root_register = F::registers(root).root_register;
        request.issue(self.ledger, root.vmid, root_register, reason, scope);
    }
}
