// SPDX-License-Identifier: MIT OR Apache-2.0
//! Levels, places in tables, ranges: the one place of arithmetic on them. It wraps in a release build; a
//! debug build asserts that it does not.

pub(crate) use crate::addr::{GuestPhysAddr as Gpa, GuestRange as GpaRange, HostPhysAddr as Hpa};

use crate::addr::{Bits, PAGE_SIZE};

/// Entries of one page of a table.
pub(crate) const ENTRIES: usize = 1 << INDEX_BITS;

pub(crate) const PAGE_SHIFT: u32 = 12;
/// Address bits that one level resolves; a model of the whole state has room for small tables only.
const INDEX_BITS: u32 = if cfg!(loom) { 2 } else { 9 };
const LAST_INDEX: u16 = ENTRIES as u16 - 1;

/// A level of tables: entries of level 1 map 4 KiB, those of level 2 2 MiB, those of level 3 1 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(transparent)]
pub(crate) struct Level(u32);

impl Level {
    /// Leaf tables.
    pub(crate) const PAGE: Self = Self(1);
    /// The largest leaf that a fault installs: zeroing 1 GiB takes too long for a fault.
    pub(crate) const LARGE: Self = Self(2);
    /// The highest root that the short ways for one page know: few guests have more memory, and each level is code.
    pub(crate) const SHORT: Self = Self(4);
    /// The highest level of any format.
    pub(crate) const HIGHEST: Self = Self(5);

    /// The level with a number, 1 to 5; 0 is below all of them.
    #[inline(always)]
    pub(crate) const fn new(number: u32) -> Self {
        debug_assert!(number <= Self::HIGHEST.0 + 1);
        Self(number)
    }

    /// Its number.
    #[inline(always)]
    pub(crate) const fn get(self) -> u32 {
        self.0
    }

    /// The level above.
    #[inline(always)]
    pub(crate) const fn up(self) -> Self {
        Self::new(self.0.wrapping_add(1))
    }

    /// The level below.
    #[inline(always)]
    pub(crate) const fn down(self) -> Self {
        debug_assert!(self.0 > 0);
        Self(self.0.wrapping_sub(1))
    }

    /// Address bits below the index.
    #[inline(always)]
    pub(crate) const fn shift(self) -> u32 {
        self.0.wrapping_mul(INDEX_BITS).wrapping_add(PAGE_SHIFT - INDEX_BITS)
    }

    /// Bytes that an entry covers.
    #[inline(always)]
    pub(crate) const fn size(self) -> u64 {
        1_u64.wrapping_shl(self.shift())
    }

    /// Bytes that a page of a table covers.
    #[inline(always)]
    pub(crate) const fn table_size(self) -> u64 {
        self.up().size()
    }

    /// The order of a frame that a leaf maps.
    #[inline(always)]
    pub(crate) const fn order(self) -> u32 {
        self.shift().wrapping_sub(PAGE_SHIFT)
    }

    /// Pages of 4 KiB that a leaf maps.
    #[inline(always)]
    pub(crate) const fn pages(self) -> u64 {
        1_u64.wrapping_shl(self.order())
    }

    /// A set with this level alone.
    #[inline(always)]
    pub(crate) const fn bit(self) -> u32 {
        1_u32.wrapping_shl(self.0)
    }

    const fn mask(self) -> u64 {
        self.size().wrapping_sub(1)
    }

    /// The largest level, up to a limit, at whose boundary of entries an address lies.
    #[inline(always)]
    pub(crate) const fn dividing_address(gpa: Gpa, most: Self) -> Self {
        Self::dividing(gpa.bits_of(), most)
    }

    /// The largest level, up to a limit, whose size divides a number.
    #[inline(always)]
    pub(crate) const fn dividing(bits: u64, most: Self) -> Self {
        let above = bits.trailing_zeros().saturating_sub(PAGE_SHIFT);
        let level = (above / INDEX_BITS).wrapping_add(1);
        if level < most.0 { Self(level) } else { most }
    }

    /// The lowest level at which one page of a table covers both addresses.
    #[inline(always)]
    pub(crate) const fn joining(first: Gpa, last: Gpa) -> Self {
        let bits = u64::BITS.wrapping_sub((first.bits_of() ^ last.bits_of()).leading_zeros());
        let above = bits.saturating_sub(PAGE_SHIFT).div_ceil(INDEX_BITS);
        if above == 0 { Self::PAGE } else { Self(above) }
    }
}

impl Gpa {
    const fn bits_of(self) -> u64 {
        self.as_usize() as u64
    }

    /// The first address of the entry of a level that covers this one.
    #[inline(always)]
    pub(crate) const fn base(self, level: Level) -> Self {
        Self::new(self.bits_of() & !level.mask())
    }

    /// The bytes from there to here.
    #[inline(always)]
    pub(crate) const fn offset(self, level: Level) -> u64 {
        self.bits_of() & level.mask()
    }

    /// Where the entry of a level ends that covers the address.
    #[inline(always)]
    pub(crate) const fn end(self, level: Level) -> Self {
        Self::new(self.bits_of() | level.mask()).plus(1)
    }

    /// Whether an entry of a level begins here.
    #[inline(always)]
    pub(crate) const fn is_aligned(self, level: Level) -> bool {
        self.offset(level) == 0
    }

    /// The bytes from a lower address to this one.
    #[inline(always)]
    pub(crate) const fn minus(self, lower: Self) -> u64 {
        debug_assert!(lower.bits_of() <= self.bits_of());
        self.bits_of().wrapping_sub(lower.bits_of())
    }

    /// The last address before this one.
    #[inline(always)]
    pub(crate) const fn before(self) -> Self {
        debug_assert!(self.bits_of() > 0);
        Self::new(self.bits_of().wrapping_sub(1))
    }

    /// The place of the entry that covers the address in its page of a table of a level. The address bits
    /// above choose that page; nothing above the root's pages is ever asked for.
    #[inline(always)]
    pub(crate) const fn index(self, level: Level) -> Index {
        Index((self.bits_of().wrapping_shr(level.shift()) & LAST_INDEX as u64) as u16)
    }

    /// The number of the entry of a level that covers the address, counted from address 0.
    #[inline(always)]
    pub(crate) const fn number(self, level: Level) -> u64 {
        self.bits_of().wrapping_shr(level.shift())
    }

    /// Host address less guest address, mod 2^64, of a page that is mapped to a host address.
    #[inline(always)]
    pub(crate) const fn distance_to(self, hpa: Hpa) -> u64 {
        (hpa.as_usize() as u64).wrapping_sub(self.bits_of())
    }

    /// The host address at a distance, mod 2^64.
    #[inline(always)]
    pub(crate) const fn at_distance(self, distance: u64) -> Hpa {
        Hpa::new(self.bits_of().wrapping_add(distance))
    }
}

impl Hpa {
    /// The bytes from the boundary of a leaf of a level to here.
    #[inline(always)]
    pub(crate) fn offset(self, level: Level) -> u64 {
        self.bits() & level.mask()
    }

    /// The page at a place behind this one.
    #[inline(always)]
    pub(crate) fn page(self, number: u64) -> Self {
        self.plus(number.wrapping_mul(PAGE_SIZE))
    }
}

impl GpaRange {
    /// `[start, end)`.
    #[inline(always)]
    pub(crate) const fn new(start: Gpa, end: Gpa) -> Self {
        debug_assert!(start.as_usize() <= end.as_usize());
        Self { start, end }
    }

    /// The page of 4 KiB at an address.
    #[inline(always)]
    pub(crate) const fn page(gpa: Gpa) -> Self {
        Self::new(gpa, gpa.plus(Level::PAGE.size()))
    }

    /// Whether it is one page of 4 KiB.
    #[inline(always)]
    pub(crate) const fn is_page(self) -> bool {
        self.size() == Level::PAGE.size()
    }

    /// Whether nothing is in it.
    #[inline(always)]
    pub(crate) fn is_empty(self) -> bool {
        self.start >= self.end
    }

    /// Its bytes.
    #[inline(always)]
    pub(crate) const fn size(self) -> u64 {
        self.end.minus(self.start)
    }

    /// The last address.
    #[inline(always)]
    pub(crate) const fn last(self) -> Gpa {
        self.end.before()
    }

    /// What is left of it from an address on.
    #[inline(always)]
    pub(crate) const fn from(self, start: Gpa) -> Self {
        Self::new(start, self.end)
    }

    /// The part of the entry of a level that covers an address.
    #[inline(always)]
    pub(crate) fn part(self, gpa: Gpa, level: Level) -> Self {
        Self::new(self.start.max(gpa.base(level)), self.end.min(gpa.end(level)))
    }

    /// Whether an entry of a level that begins at an address lies in it whole.
    #[inline(always)]
    pub(crate) const fn holds_entry(self, gpa: Gpa, level: Level) -> bool {
        gpa.is_aligned(level)
            && gpa.as_usize() >= self.start.as_usize()
            && gpa.as_usize() < self.end.as_usize()
            && self.end.minus(gpa) >= level.size()
    }

    /// The entries that cover it in one page of a table of a level.
    #[inline(always)]
    pub(crate) const fn span(self, level: Level) -> Span {
        Span::new(self.start.index(level), self.last().index(level))
    }
}

/// The place of an entry in one page of a table: below [`ENTRIES`] by construction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Index(u16);

impl Index {
    /// The first entry.
    pub(crate) const FIRST: Self = Self(0);
    /// The last entry.
    pub(crate) const LAST: Self = Self(LAST_INDEX);

    /// Its number.
    #[inline(always)]
    pub(crate) const fn get(self) -> usize {
        self.0 as usize
    }

    /// The next entry, if there is one.
    #[inline(always)]
    pub(crate) const fn next(self) -> Option<Self> {
        if self.0 < LAST_INDEX { Some(Self(self.0.wrapping_add(1))) } else { None }
    }

    /// The entry before, if there is one.
    #[inline(always)]
    pub(crate) const fn previous(self) -> Option<Self> {
        if self.0 > 0 { Some(Self(self.0.wrapping_sub(1))) } else { None }
    }

    /// The entry at a place, if there is one.
    #[inline(always)]
    pub(crate) const fn at(place: usize) -> Option<Self> {
        if place < ENTRIES { Some(Self(place as u16)) } else { None }
    }

    /// The entry at a distance, if there is one.
    #[inline(always)]
    pub(crate) const fn after(self, distance: usize) -> Option<Self> {
        Self::at((self.0 as usize).wrapping_add(distance))
    }

    /// Entries from here to the end of the page.
    #[inline(always)]
    pub(crate) const fn rest(self) -> u64 {
        ENTRIES.wrapping_sub(self.0 as usize) as u64
    }
}

/// Neighbouring entries, the last one included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: Index,
    pub(crate) last: Index,
}

impl Span {
    /// All entries of a page.
    pub(crate) const ALL: Self = Self { first: Index::FIRST, last: Index::LAST };

    /// The entries from `first` to `last`.
    #[inline(always)]
    pub(crate) const fn new(first: Index, last: Index) -> Self {
        debug_assert!(first.0 <= last.0);
        Self { first, last }
    }

    /// So many entries, at least one, which are there.
    #[inline(always)]
    pub(crate) const fn of(first: Index, count: u64) -> Self {
        debug_assert!(count > 0 && count <= first.rest());
        let last = (first.0 as u64).wrapping_add(count).wrapping_sub(1) as u16 & LAST_INDEX;
        Self { first, last: Index(last) }
    }

    /// One entry.
    #[inline(always)]
    pub(crate) const fn one(index: Index) -> Self {
        Self { first: index, last: index }
    }

    /// How many entries.
    #[inline(always)]
    pub(crate) const fn count(self) -> usize {
        (self.last.0.wrapping_sub(self.first.0) as usize).wrapping_add(1)
    }

    /// What is left behind an entry of it, if anything.
    #[inline(always)]
    pub(crate) const fn behind(self, index: Index) -> Option<Self> {
        match index.next() {
            Some(first) if first.0 <= self.last.0 => Some(Self { first, last: self.last }),
            _ => None,
        }
    }

    /// What is left from an entry of it on.
    #[inline(always)]
    pub(crate) const fn from(self, first: Index) -> Self {
        Self::new(first, self.last)
    }

    /// The places, in order.
    pub(crate) fn indices(self) -> impl Iterator<Item = Index> {
        (self.first.0..=self.last.0).map(Index)
    }
}

/// Tables below empty entries of `level` that a range takes whose leaves may stand up to level `largest`:
/// for each level, the entries touched less those that need no table.
#[inline(never)]
pub(crate) fn fresh_tables(level: Level, range: GpaRange, largest: Level) -> u64 {
    let mut tables = 0_u64;
    let mut above = level;
    while above > Level::PAGE {
        let (first, last) = (range.start.number(above), range.last().number(above));
        let mut needed = last.wrapping_sub(first).wrapping_add(1);
        if above <= largest {
            let begin = first.wrapping_add(u64::from(!range.start.is_aligned(above)));
            needed = needed.wrapping_sub(range.end.number(above).saturating_sub(begin));
        }
        tables = tables.wrapping_add(needed);
        above = above.down();
    }
    tables
}

/// A value for each level, 1 to 5, at its number; a mask in the place of a check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PerLevel<T>([T; 8]);

impl<T: Copy> PerLevel<T> {
    /// The same value for each.
    #[inline(always)]
    pub(crate) const fn new(value: T) -> Self {
        Self([value; 8])
    }

    /// The value of a level.
    #[inline(always)]
    #[allow(clippy::indexing_slicing)] // Three bits of eight places.
    pub(crate) fn get(&self, level: Level) -> T {
        debug_assert!(level >= Level::PAGE && level <= Level::HIGHEST);
        match self.0.get(level.0 as usize & 7) {
            Some(value) => *value,
            None => self.0[0],
        }
    }

    /// Sets it.
    #[inline(always)]
    #[allow(clippy::indexing_slicing)] // As above.
    pub(crate) fn set(&mut self, level: Level, value: T) {
        debug_assert!(level >= Level::PAGE && level <= Level::HIGHEST);
        if let Some(slot) = self.0.get_mut(level.0 as usize & 7) {
            *slot = value;
        }
    }
}
