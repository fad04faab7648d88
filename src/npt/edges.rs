//! The tables that a range cuts: those on its two edges, from the root's page down.
//!
//! Everything else in the range lies whole below one of their entries. From the root down to the fork
//! both ends of the range lie in the same table; below it there is at most one on each side for each level.

use super::Engine;
use super::arch::Format;
use super::entry::Way;
use super::geometry::{Index, PerLevel, Span, entry_size, table_size};
use super::walk::end_of;
use crate::addr::HostPhysAddr;
use crate::error::{Error, Result};

/// Which ends of the range a table holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
    Both,
}

/// A table whose part of the range begins or ends within it (or the root's page).
#[derive(Clone, Copy)]
pub(super) struct EdgeTable {
    pub(super) page: HostPhysAddr,
    pub(super) level: u32,
    /// Entries that the range touches.
    pub(super) span: Span,
    /// Whether it covers only a part of the first and of the last of them.
    cuts_first: bool,
    cuts_last: bool,
    /// The side of what lies below if that is one entry.
    side: Side,
}

impl EdgeTable {
    /// The entries of which the range covers a part, and the side that what lies below them is on.
    pub(super) fn cuts(&self) -> [Option<(Index, Side)>; 2] {
        let Span { first, last } = self.span;
        if first == last {
            return [(self.cuts_first || self.cuts_last).then_some((first, self.side)), None];
        }
        [
            self.cuts_first.then_some((first, Side::Left)),
            self.cuts_last.then_some((last, Side::Right)),
        ]
    }

    /// The entries that the range covers whole.
    pub(super) fn whole_span(&self) -> Option<Span> {
        let Span { first, last } = self.span;
        let first = if self.cuts_first { first.next()? } else { first };
        let last = if self.cuts_last { last.previous()? } else { last };
        (first <= last).then_some(Span { first, last })
    }
}

/// The edge tables below one page of the root.
pub(crate) struct Edges {
    start: u64,
    end: u64,
    top: u32,
    /// The lowest level with one table for both ends.
    fork: u32,
    /// Tables with the start (down from the root) and with the end (below the fork).
    left: PerLevel<HostPhysAddr>,
    right: PerLevel<HostPhysAddr>,
    /// The lowest levels on both sides.
    left_low: u32,
    right_low: u32,
}

impl Edges {
    /// To be found.
    pub(super) const fn none() -> Self {
        let pages = PerLevel::new(HostPhysAddr::from_usize(0));
        Self {
            start: 0,
            end: 0,
            top: 0,
            fork: 0,
            left: pages,
            right: pages,
            left_low: 0,
            right_low: 0,
        }
    }

    /// The levels on a side, from the lowest up to the one that is too high.
    pub(crate) fn levels(&self, side: Side) -> core::ops::Range<u32> {
        match side {
            Side::Left => self.left_low..self.fork,
            Side::Right => self.right_low..self.fork,
            Side::Both => self.fork..self.top.wrapping_add(1),
        }
    }

    /// The table of a level on a side.
    pub(super) fn table(&self, side: Side, level: u32) -> EdgeTable {
        let size = table_size(level);
        let (page, start, end) = match side {
            Side::Left => (self.left.get(level), self.start, end_of(self.start, size)),
            Side::Right => {
                let base = self.end.wrapping_sub(1) & !(size.wrapping_sub(1));
                (self.right.get(level), base, self.end)
            }
            Side::Both => (self.left.get(level), self.start, self.end),
        };
        let mask = entry_size(level).wrapping_sub(1);
        let (cuts_first, cuts_last) = (start & mask != 0, end & mask != 0);
        let span = Span::covering(start, end, level);
        EdgeTable { page, level, span, cuts_first, cuts_last, side }
    }
}

impl<F: Format> Engine<'_, F> {
    /// Finds the tables of the first part of `[start, end)` that one page of the root covers; where that
    /// part ends.
    #[inline(never)]
    pub(super) fn find_edges(&self, edges: &mut Edges, start: u64, end: u64) -> Result<u64> {
        let mut level = self.levels();
        let end = end_of(start, table_size(level)).min(end);
        let last = end.wrapping_sub(1);
        (edges.start, edges.end, edges.top) = (start, end, level);
        edges.left.set(level, self.npt.root_page(start));
        while Index::of(start, level) == Index::of(last, level)
            && (start | end) & entry_size(level).wrapping_sub(1) != 0
            && self.descend(&mut edges.left, level, start)?
        {
            level = level.wrapping_sub(1);
        }
        (edges.fork, edges.left_low, edges.right_low) = (level, level, level);
        if Index::of(start, level) != Index::of(last, level) {
            edges.right.set(level, edges.left.get(level));
            while start & entry_size(edges.left_low).wrapping_sub(1) != 0
                && self.descend(&mut edges.left, edges.left_low, start)?
            {
                edges.left_low = edges.left_low.wrapping_sub(1);
            }
            while end & entry_size(edges.right_low).wrapping_sub(1) != 0
                && self.descend(&mut edges.right, edges.right_low, last)?
            {
                edges.right_low = edges.right_low.wrapping_sub(1);
            }
        }
        Ok(end)
    }

    /// Adds the table below the entry that covers an address, if the entry points to one.
    #[inline(never)]
    fn descend(&self, path: &mut PerLevel<HostPhysAddr>, level: u32, gpa: u64) -> Result<bool> {
        match self.entry(path.get(level), Index::of(gpa, level))?.way(level) {
            Way::Down(below) => {
                path.set(level.wrapping_sub(1), below);
                Ok(true)
            }
            Way::Ends => Ok(false),
            Way::Corrupt => Err(Error::BadState),
        }
    }
}
