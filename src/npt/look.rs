// SPDX-License-Identifier: MIT OR Apache-2.0
//! Looking at one entry, beside faults and, where tables stay readable, beside exclusive calls.

use super::NestedPageTable;
use super::arch::Format;
use super::entry::{Entry, State, Way};
use super::table::{Table, read_direct};
use super::units::{Gpa, Hpa, Index, Level};
use crate::sync::{Defect, Ordering, fence, planted};

/// An entry and the level of its table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<F> {
    pub(crate) entry: Entry<F>,
    pub(crate) level: Level,
}

impl NestedPageTable {
    /// The entry that covers an address of the space, never one that points to a table.
    pub(crate) fn walk<F: Format>(&self, gpa: Gpa) -> Option<Found<F>> {
        self.walk_to(gpa).map(|(found, _)| found)
    }

    /// As [`NestedPageTable::walk`], with the table that holds the entry. Not inlined, for
    /// `scripts/check-acquire.py`.
    #[inline(never)]
    fn walk_to<F: Format>(&self, gpa: Gpa) -> Option<(Found<F>, Hpa)> {
        let mut page = self.root_page::<F>(gpa);
        let mut level = self.levels;
        loop {
            let entry = Table::<F>::open(self, page)?.load_acquire(gpa.index(level));
            match entry.way(level.get()) {
                Way::Down(below) => {
                    page = below;
                    level = level.down();
                }
                Way::Ends if entry.state(level.get()) != State::Corrupt => {
                    return Some((Found { entry, level }, page));
                }
                Way::Ends | Way::Corrupt => return None,
            }
        }
    }

    /// As [`NestedPageTable::walk`], with the number of bytes from there on that look the same and, in a
    /// leaf, lie side by side in host memory: to the end of the entry, or through its neighbours of 4 KiB
    /// if `most` asks for more.
    pub(crate) fn walk_run<F: Format>(&self, gpa: Gpa, most: u64) -> Option<(Found<F>, u64)> {
        let (found, page) = self.walk_to::<F>(gpa)?;
        let bytes = gpa.end(found.level).minus(gpa);
        if found.level > Level::PAGE || bytes >= most || !found.entry.is_hardware_visible() {
            return Some((found, bytes));
        }
        let index = gpa.index(Level::PAGE);
        let more = self.followers(page, index, found.entry, most.wrapping_sub(bytes))?;
        Some((found, bytes.wrapping_add(more)))
    }

    /// Bytes of the 4 KiB leaves behind an entry of a leaf table that continue it in host memory, up to
    /// the one that completes `most`. Their contents are read through the pointer to the first page, so
    /// each entry is read with acquire: a fault on another CPU zeroes its frame before it installs it.
    /// Not inlined, for `scripts/check-acquire.py`.
    #[inline(never)]
    fn followers<F: Format>(
        &self,
        page: Hpa,
        first: Index,
        entry: Entry<F>,
        most: u64,
    ) -> Option<u64> {
        let size = Level::PAGE.size();
        let table = Table::<F>::open(self, page)?;
        let (mut expected, mut next, mut bytes) = (entry, first.next(), 0_u64);
        while let Some(index) = next
            && bytes < most
        {
            expected = Entry::from_word(expected.word().wrapping_add(expected.step(size)));
            if !table.load_neighbour(index).same_as(expected) {
                break;
            }
            bytes = bytes.wrapping_add(size);
            next = index.next();
        }
        Some(bytes)
    }

    /// As [`NestedPageTable::walk`], beside an exclusive call too; nothing if tables went meanwhile, the
    /// entry is in transition or corrupt, or the host's tables do not stay readable.
    ///
    /// What is read in a table is not followed unless the generation is still that of the start: it changes
    /// after tables are detached and before they go, so that the entry was one of a table that was not
    /// gone then.
    #[inline(never)]
    pub(crate) fn walk_unlocked<F: Format>(&self, gpa: Gpa) -> Option<Found<F>> {
        if !self.reads_unlocked {
            return None;
        }
        let (entry, level) = self.walk_direct(gpa);
        (level != NOTHING).then(|| Found { entry, level: Level::new(level) })
    }

    /// The host-physical address and the level of the leaf that maps an address, as
    /// [`NestedPageTable::walk_unlocked`] finds it; level 0 where it finds no leaf.
    #[inline(always)]
    pub(crate) fn translate_unlocked<F: Format>(&self, gpa: Gpa) -> (u64, u32) {
        if !self.reads_unlocked {
            return (0, NOTHING);
        }
        let (entry, level) = self.walk_direct::<F>(gpa);
        if level == NOTHING || !entry.is_hardware_visible() {
            return (0, NOTHING);
        }
        let offset = gpa.offset(Level::new(level));
        (F::address(entry.word()).wrapping_add(offset), level)
    }

    /// The entry and its level, [`NOTHING`] where nothing can be said.
    #[inline(always)]
    fn walk_direct<F: Format>(&self, gpa: Gpa) -> (Entry<F>, u32) {
        let generation = self.generation.load(Ordering::Acquire);
        let mut page = self.root_page::<F>(gpa);
        // One level after the other with its number known, which a loop would have to compute with.
        macro_rules! step {
            ($level:literal) => {
                let entry = read_direct(self.offset, page, gpa.index(Level::new($level)));
                if !planted(Defect::GenerationBarrier) {
                    fence(Ordering::Acquire);
                }
                let is_same = self.generation.load(Ordering::Relaxed) == generation;
                if !is_same && !planted(Defect::GenerationUnread) {
                    return (entry, NOTHING);
                }
                if $level > 1 && F::is_table(entry.word()) {
                    page = entry.table_address();
                } else if entry.is_settled() && entry.way($level) == Way::Ends {
                    return (entry, $level);
                } else {
                    return (entry, NOTHING);
                }
            };
        }
        let levels = self.levels.get();
        if F::MAX_LEVELS >= 5 && levels >= 5 {
            step!(5);
        }
        if levels >= 4 {
            step!(4);
        }
        step!(3);
        step!(2);
        step!(1);
        let _ = page;
        (Entry::EMPTY, NOTHING)
    }
}

/// In the place of a level: nothing was found.
const NOTHING: u32 = 0;
