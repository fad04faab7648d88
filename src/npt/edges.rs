//! The tables that a range cuts: those on its two edges, from the root's page down.
//!
//! Everything else in the range lies whole below one of their entries. From the root down to the fork
//! both ends of the range lie in the same table; below it there is at most one on each side for each level.

use super::arch::Format;
use super::entry::Way;
use super::geometry::{Index, PerLevel, Span, entry_size, table_size};
use super::walk::end_of;
use super::{Engine, RootSlice};
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
pub(crate) struct EdgeTable {
    pub(crate) page: HostPhysAddr,
    pub(crate) level: u32,
    /// The part of the range that the table covers.
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// The side of what lies below a cut of the range's end, if that is not below the one of its start.
    side: Side,
}

/// An entry of which the range covers a part.
#[derive(Clone, Copy)]
pub(crate) struct Cut {
    pub(crate) index: Index,
    /// The part of the range that the entry covers.
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// The side of the table below.
    pub(crate) side: Side,
}

impl EdgeTable {
    /// Entries that the range touches.
    pub(crate) fn span(&self) -> Span {
        Span::covering(self.start, self.end, self.level)
    }

    /// The entries that the range cuts.
    #[inline(never)]
    pub(crate) fn cuts(&self) -> [Option<Cut>; 2] {
        let mask = entry_size(self.level).wrapping_sub(1);
        let span = self.span();
        let (head, tail) = (self.start & mask != 0, self.end & mask != 0);
        let cut = |index, start, end, side| Cut { index, start, end, side };
        if span.first == span.last {
            let one = cut(span.first, self.start, self.end, self.side);
            return [(head || tail).then_some(one), None];
        }
        let after_head = end_of(self.start, mask.wrapping_add(1));
        [
            head.then_some(cut(span.first, self.start, after_head, Side::Left)),
            tail.then_some(cut(span.last, self.end & !mask, self.end, Side::Right)),
        ]
    }

    /// The part of the range that whole entries cover.
    pub(crate) fn whole(&self) -> Option<(u64, u64)> {
        let mask = entry_size(self.level).wrapping_sub(1);
        let start = self.start.wrapping_add(mask) & !mask;
        let end = self.end & !mask;
        (start < end).then_some((start, end))
    }

    /// The entries that the range covers whole.
    pub(crate) fn whole_span(&self) -> Option<Span> {
        self.whole().map(|(start, end)| Span::covering(start, end, self.level))
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
    /// The page of a root that covers a range; what lies below it is to be found.
    #[inline(always)]
    pub(super) fn new(slice: &RootSlice, top: u32) -> Self {
        Self {
            start: slice.start,
            end: slice.end,
            top,
            fork: top,
            left: PerLevel::new(slice.page),
            right: PerLevel::new(slice.page),
            left_low: top,
            right_low: top,
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
    pub(crate) fn table(&self, side: Side, level: u32) -> EdgeTable {
        let size = table_size(level);
        let (page, start, end) = match side {
            Side::Left => (self.left.get(level), self.start, end_of(self.start, size)),
            Side::Right => {
                let base = self.end.wrapping_sub(1) & !(size.wrapping_sub(1));
                (self.right.get(level), base, self.end)
            }
            Side::Both => (self.left.get(level), self.start, self.end),
        };
        EdgeTable { page, level, start, end, side }
    }
}

impl<F: Format> Engine<'_, F> {
    /// Finds the tables below the page of the root.
    #[inline(never)]
    pub(super) fn find_edges(&self, edges: &mut Edges) -> Result<()> {
        let (start, end, top) = (edges.start, edges.end, edges.top);
        let last = end.wrapping_sub(1);
        let mut level = top;
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
        Ok(())
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
