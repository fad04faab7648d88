// SPDX-License-Identifier: MIT OR Apache-2.0
//! Looking at one entry, beside faults and, where tables stay readable, beside exclusive calls.

use super::NestedPageTable;
use super::arch::Format;
use super::entry::{Entry, HIDES, State, Way};
use super::table::{Table, read_direct};
use super::units::{Gpa, Hpa, Index, Level};
use crate::addr::Bits;
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

    /// As [`NestedPageTable::walk`], with the table that holds the entry; what is below a hidden table is found hidden.
    /// Not inlined, for
    /// `scripts/check-acquire.py`.
    #[inline(never)]
    pub(super) fn walk_to<F: Format>(&self, gpa: Gpa) -> Option<(Found<F>, Hpa)> {
        let mut page = self.root_page::<F>(gpa);
        let mut level = self.levels;
        let mut is_hidden = false;
        loop {
            let entry = Table::<F>::open(self, page)?.load_acquire(gpa.index(level));
            if level > Level::PAGE && F::is_table(entry.word()) {
                page = entry.table_address();
                level = level.down();
                continue;
            }
            let entry = match entry.state(level.get()) {
                State::Corrupt | State::Table => return None,
                State::HiddenTable if HIDES => {
                    (page, level, is_hidden) = (entry.address(), level.down(), true);
                    continue;
                }
                _ if HIDES && is_hidden => entry.below_hidden(self.features),
                _ => entry,
            };
            return Some((Found { entry, level }, page));
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
    /// In registers: where nothing is found the level is 0.
    #[inline(never)]
    pub(crate) fn walk_unlocked<F: Format>(&self, gpa: Gpa) -> (Entry<F>, u32) {
        const NOTHING: u32 = 0;
        if !self.reads_unlocked {
            return (Entry::EMPTY, NOTHING);
        }
        let generation = self.generation.load(Ordering::Acquire);
        let mut page = self.root_page::<F>(gpa);
        let mut level = self.levels;
        loop {
            let read = self.read_unlocked::<F>(page, gpa.index(level), generation);
            let Some(entry) = read else { return (Entry::EMPTY, NOTHING) };
            if level > Level::PAGE && F::is_table(entry.word()) {
                page = entry.table_address();
                level = level.down();
                continue;
            }
            let is_end = entry.is_settled() && entry.way(level.get()) == Way::Ends;
            return (entry, if is_end { level.get() } else { NOTHING });
        }
    }

    /// The host-physical address of an address that a leaf maps, and the bytes from there to the end of the leaf, as
    /// [`NestedPageTable::walk_unlocked`] finds them.
    #[inline(always)] // Nothing else is in a translation.
    pub(crate) fn translate_unlocked<F: Format>(&self, gpa: Gpa) -> Option<(u64, u64)> {
        if !self.has_short_looks {
            return None;
        }
        let generation = self.generation.load(Ordering::Acquire);
        let mut page = self.root_page::<F>(gpa);
        let levels = self.levels.get();
        let (leaf, size) = 'leaf: {
            // One level after the other with its number known, which a loop would have to compute with.
            macro_rules! step {
                ($level:literal) => {
                    let level = Level::new($level);
                    let entry = self.read_unlocked::<F>(page, gpa.index(level), generation)?;
                    if $level > 1 && F::is_table(entry.word()) {
                        page = entry.table_address();
                    } else if entry.is_leaf($level) {
                        break 'leaf (entry, level.size());
                    } else {
                        return None;
                    }
                };
            }
            if F::MIN_LEVELS >= 4 || levels >= 4 {
                step!(4);
            }
            step!(3);
            step!(2);
            step!(1);
            let _ = page;
            return None;
        };
        let offset = gpa.bits() & size.wrapping_sub(1);
        let address = leaf.table_address().bits().wrapping_add(offset);
        Some((address, size.wrapping_sub(offset)))
    }

    /// An entry of a table, which may have gone; none if the generation is not what it was.
    ///
    /// What is read in a table is not followed unless the generation is still that of the start: it changes
    /// after tables are detached and before they go, so that the entry was one of a table that was not
    /// gone then.
    #[inline(always)]
    fn read_unlocked<F: Format>(
        &self,
        page: Hpa,
        index: Index,
        generation: u64,
    ) -> Option<Entry<F>> {
        let entry = read_direct(self.offset, page, index);
        if !planted(Defect::GenerationBarrier) {
            fence(Ordering::Acquire);
        }
        let is_same = self.generation.load(Ordering::Relaxed) == generation;
        (is_same || planted(Defect::GenerationUnread)).then_some(entry)
    }
}
