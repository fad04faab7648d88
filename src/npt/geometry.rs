// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which entry of which table covers what.

use crate::addr::PAGE_SIZE;

/// Entries of one page of a table.
pub(crate) const ENTRIES: usize = 1 << INDEX_BITS;

const PAGE_SHIFT: u32 = 12;
/// Address bits that one level resolves; a model of the whole state has room for small tables only.
const INDEX_BITS: u32 = if cfg!(loom) { 2 } else { 9 };
const LAST_INDEX: u16 = ENTRIES as u16 - 1;

/// Address bits below the index of `level`.
#[inline(always)]
pub(crate) const fn shift(level: u32) -> u32 {
    level.wrapping_sub(1).wrapping_mul(INDEX_BITS).wrapping_add(PAGE_SHIFT)
}

/// Bytes that an entry of `level` covers.
#[inline(always)]
pub(crate) const fn entry_size(level: u32) -> u64 {
    1_u64.wrapping_shl(shift(level))
}

/// Bytes that a page of a table of `level` covers.
#[inline(always)]
pub(crate) const fn table_size(level: u32) -> u64 {
    entry_size(level.wrapping_add(1))
}

/// The order of a frame that a leaf of `level` maps.
pub(crate) const fn frame_order(level: u32) -> u32 {
    level.wrapping_sub(1).wrapping_mul(INDEX_BITS)
}

/// The level whose leaves map frames of `order`, if there is one.
pub(crate) const fn pages(level: u32) -> u64 {
    entry_size(level) / PAGE_SIZE
}

/// The place of an entry in one page of a table: below [`ENTRIES`] by construction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Index(u16);

impl Index {
    /// The first entry.
    pub(crate) const FIRST: Self = Self(0);
    /// The last entry.
    pub(crate) const LAST: Self = Self(LAST_INDEX);

    /// The entry that covers an address in the page of a table of `level` that covers it. The address
    /// bits above choose that page; nothing above the root's pages is ever asked for (see
    /// `NestedPageTable::root_page`).
    #[inline(always)]
    pub(crate) const fn of(gpa: u64, level: u32) -> Self {
        Self((gpa.wrapping_shr(shift(level)) & LAST_INDEX as u64) as u16)
    }

    #[inline(always)]
    pub(crate) const fn get(self) -> usize {
        self.0 as usize
    }

    /// The next entry, if there is one.
    pub(crate) const fn next(self) -> Option<Self> {
        if self.0 < LAST_INDEX { Some(Self(self.0.wrapping_add(1))) } else { None }
    }

    /// The entry at a place, if there is one.
    pub(crate) const fn at(place: usize) -> Option<Self> {
        if place < ENTRIES { Some(Self(place as u16)) } else { None }
    }

    /// The entry at a distance, if there is one.
    pub(crate) const fn after(self, distance: usize) -> Option<Self> {
        Self::at((self.0 as usize).wrapping_add(distance))
    }

    pub(crate) const fn previous(self) -> Option<Self> {
        if self.0 > 0 { Some(Self(self.0.wrapping_sub(1))) } else { None }
    }
}

/// Neighbouring entries, the last one included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: Index,
    pub(crate) last: Index,
}

impl Span {
    pub(crate) const ALL: Self = Self { first: Index::FIRST, last: Index::LAST };

    /// The entries of a table of `level` that cover `[start, end)`, of which both ends lie in one page
    /// of it.
    #[inline(always)]
    pub(crate) const fn covering(start: u64, end: u64, level: u32) -> Self {
        Self { first: Index::of(start, level), last: Index::of(end.wrapping_sub(1), level) }
    }

    pub(crate) const fn one(index: Index) -> Self {
        Self { first: index, last: index }
    }

    /// The places of the span, in order.
    pub(crate) fn indices(self) -> impl Iterator<Item = Index> {
        let mut next = Some(self.first);
        core::iter::from_fn(move || {
            let index = next.filter(|index| *index <= self.last)?;
            next = index.next();
            Some(index)
        })
    }

    pub(crate) const fn count(self) -> usize {
        (self.last.get().wrapping_add(1)).saturating_sub(self.first.get())
    }
}

/// Tables below entries of `level` that a fresh range takes whose leaves may stand up to level
/// `leaf_level`: for each level, the entries touched less those that need no table.
#[inline(never)]
pub(crate) fn fresh_tables(level: u32, start: u64, end: u64, leaf_level: u32) -> u64 {
    let mut tables = 0_u64;
    for k in 2..=level {
        let size = entry_size(k);
        let touched = end.div_ceil(size).saturating_sub(start.wrapping_shr(shift(k)));
        let full = if k <= leaf_level {
            end.wrapping_shr(shift(k)).saturating_sub(start.div_ceil(size))
        } else {
            0
        };
        tables = tables.wrapping_add(touched.saturating_sub(full));
    }
    tables
}

/// A value for each level, 1 to 5.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PerLevel<T>([T; 5]);

impl<T: Copy> PerLevel<T> {
    #[inline(always)]
    pub(crate) const fn new(value: T) -> Self {
        Self([value; 5])
    }

    /// The value of a level; there is no other level.
    #[inline(always)]
    pub(crate) fn get(&self, level: u32) -> T {
        match self.0.get(level.wrapping_sub(1) as usize) {
            Some(value) => *value,
            None => self.0[0],
        }
    }

    #[inline(always)]
    pub(crate) fn set(&mut self, level: u32, value: T) {
        if let Some(slot) = self.0.get_mut(level.wrapping_sub(1) as usize) {
            *slot = value;
        }
    }
}
