// SPDX-License-Identifier: MIT OR Apache-2.0
//! Small pages back to large ones (part `merge`).

use core::sync::atomic::Ordering;

use super::{AddressSpace, Slices};
use crate::abi::{AXAS_MAX_2M, AXAS_MERGE_COPY, AXAS_NO_HUGE_EXEC, axas_flags_t};
use crate::error::{Error, Result};
use crate::npt::NestedPageTable;
use crate::npt::arch::{Format, with_space_format};
use crate::npt::merge::Merge;
use crate::npt::slices::Budget;
use crate::npt::units::{Gpa, GpaRange, Level};

/// Entries of a slice: those of the tables that one flush is for.
const MOST: u64 = 32 * 512;
/// Entries of a slice that copies: those of one table.
const MOST_COPIED: u64 = 512;

impl AddressSpace {
    /// Merges what can be merged in a range; `merged` is how many tables went. The lock is given up after each flush.
    pub fn merge(
        &self,
        gpa: u64,
        size: u64,
        flags: axas_flags_t,
        merged: &mut u64,
        slices: Option<&mut Slices>,
    ) -> Result<()> {
        let has = |flag| flags & flag != 0;
        if flags & !(AXAS_MAX_2M | AXAS_NO_HUGE_EXEC | AXAS_MERGE_COPY) != 0 {
            return Err(Error::InvalidInput);
        }
        let range = self.checked_range(gpa, size)?;
        if self.npt.features.has_io() {
            return Err(Error::Unsupported);
        }
        with_space_format!(self.npt.format, F => {
            let most = F::max_leaf_level(self.npt.features);
            let how = Merge {
                most: Level::new(if has(AXAS_MAX_2M) { most.min(2) } else { most }),
                small_exec: has(AXAS_NO_HUGE_EXEC),
                copies: has(AXAS_MERGE_COPY),
            };
            self.merge_in_slices::<F>(range, how, merged, slices)
        })
    }

    #[inline(never)]
    fn merge_in_slices<F: Format>(
        &self,
        range: GpaRange,
        how: Merge,
        merged: &mut u64,
        slices: Option<&mut Slices>,
    ) -> Result<()> {
        let mut unlimited = Slices::new(u64::MAX);
        let may_stop = slices.is_some();
        let slices = slices.unwrap_or(&mut unlimited);
        let mut rest = range;
        loop {
            let mut alone = self.alone().ok_or(Error::Again)?;
            let npt = alone.npt();
            let most = if how.copies { MOST_COPIED } else { MOST };
            let most = slices.next(&npt.host, may_stop).min(most);
            let mut budget = Budget { left: most, reached: rest.start };
            let before = npt.merges.load(Ordering::Relaxed);
            let outcome = npt
                .reach::<F>(alone.work(), rest, NestedPageTable::cost_of_entries, &mut budget)
                .map(|()| whole_tables(rest, budget.reached))
                .and_then(|part| npt.merge::<F>(alone.work(), range.start, part, how));
            let went = npt.merges.load(Ordering::Relaxed).wrapping_sub(before);
            alone.leave();
            *merged = merged.wrapping_add(went);
            let part = outcome?;
            rest = rest.from(part.end);
            let done = range.size().wrapping_sub(rest.size());
            if rest.is_empty() {
                slices.done = done;
                return Ok(());
            }
            slices.uses(&npt.host, most.wrapping_sub(budget.left), done, may_stop)?;
        }
    }
}

/// The part of a range up to an address, without what would be a part of a table of 4 KiB pages; that table whole if the
/// part has no other.
fn whole_tables(range: GpaRange, reached: Gpa) -> GpaRange {
    if reached >= range.end {
        return range;
    }
    let base = reached.base(Level::LARGE);
    let end = if base > range.start { base } else { reached.end(Level::LARGE).min(range.end) };
    GpaRange::new(range.start, end)
}
