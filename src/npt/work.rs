// SPDX-License-Identifier: MIT OR Apache-2.0
//! What exclusive calls work with. It is in the space and not on the stack, for the stacks of many hosts are
//! small; whoever holds the lock alone has it.

use super::edges::Edges;
use super::reap::{Batch, Releases};
use super::split::Cuts;
use super::stock::Stock;
use super::sweep::Sweep;
use super::table::Broken;
use super::units::{Hpa, PerLevel};

/// The memory of one exclusive call; what an earlier one left in it means nothing, but for the stock and
/// broken entries: there are none between calls.
#[repr(C)] // What is used most is near.
pub(crate) struct Work {
    pub(crate) stock: Stock,
    pub(super) sweep: Sweep,
    pub(super) edges: Edges,
    pub(super) broken: Broken,
    pub(super) cuts: Cuts,
    pub(super) releases: Releases,
    pub(super) path: PerLevel<Hpa>,
    pub(super) batch: Batch,
}

impl Work {
    /// Makes zeroes one in which there is nothing yet.
    ///
    /// # Safety
    /// The place is valid for a write, zeroed and aligned.
    pub(crate) unsafe fn begin(place: *mut Self) {
        // SAFETY: by the caller's promise; what is not written here may be zeroes.
        unsafe {
            (&raw mut (*place).stock).write(Stock::empty());
            (&raw mut (*place).releases).write(Releases::none());
        }
    }
}
