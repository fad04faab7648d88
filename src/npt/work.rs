// SPDX-License-Identifier: MIT OR Apache-2.0
//! What exclusive calls work with. It lives in the space and not on the stack, for the stacks of many
//! hosts are small; whoever holds the lock alone has it.

use super::edges::Edges;
use super::edit::Edit;
use super::map::Path;
use super::split::Splits;
use super::unmap::{Batch, Releases};
use super::walk::{Cursor, Run};
use crate::hal::FrameList;

/// The memory of one exclusive call; what an earlier one left in it means nothing.
pub(crate) struct Work {
    pub(super) edit: Edit,
    pub(super) cursor: Cursor,
    pub(super) edges: Edges,
    pub(super) path: Path,
    pub(super) splits: Splits,
    pub(super) releases: Releases,
    /// The entries in work of a table that goes.
    pub(super) below: Run,
    /// Some of them, read while a window is open and dealt with after it closed.
    pub(super) batch: Batch,
    /// For tables; what is left at the end of a call goes back.
    pub(super) tables: FrameList,
    /// Where what a call put into an empty range ends, for the case that it fails.
    pub(super) filled: u64,
}

impl Work {
    pub(crate) const fn new() -> Self {
        Self {
            edit: Edit::Publish,
            cursor: Cursor::nowhere(),
            edges: Edges::none(),
            path: Path::new(),
            splits: Splits::none(),
            releases: Releases::none(),
            below: Run::NOWHERE,
            batch: [0; 8],
            tables: FrameList::empty(),
            filled: 0,
        }
    }
}
