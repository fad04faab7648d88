// SPDX-License-Identifier: MIT OR Apache-2.0
//! What exclusive calls work with. It is in the space and not on the stack, for the stacks of many hosts are
//! small; it belongs to the call that holds the lock alone.

use super::edges::Edges;
use super::reap::{Batch, Releases};
use super::stock::Stock;
use super::sweep::Sweep;
use super::table::Broken;
use super::units::{Hpa, PerLevel};

/// The memory of one exclusive call. An earlier call may have left anything in it but frames in the stock and
/// broken entries.
pub(crate) struct Work {
    pub(super) edges: Edges,
    pub(super) sweep: Sweep,
    pub(super) path: PerLevel<Hpa>,
    pub(super) broken: Broken,
    pub(crate) stock: Stock,
    pub(super) releases: Releases,
    pub(super) batch: Batch,
}

impl Work {
    /// Nothing yet.
    pub(crate) const fn new() -> Self {
        Self {
            edges: Edges::none(),
            sweep: Sweep::nowhere(),
            path: PerLevel::new(Hpa::new(0)),
            broken: Broken::NONE,
            stock: Stock::empty(),
            releases: Releases::none(),
            batch: [0; 8],
        }
    }
}
