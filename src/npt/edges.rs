// SPDX-License-Identifier: MIT OR Apache-2.0
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
pub(super) enum Side {
    Left,
    Right,
    Both,
}

/// A table whose part of the range begins or ends within it (or the root's page).
pub(super) struct EdgeTable {
    pub(super) page: HostPhysAddr,
    pub(super) level: u32,
    side: Side,
    /// Entries that the range touches.
    pub(super) span: Span,
    /// Those that it covers whole.
    pub(super) whole: Option<Span>,
    /// Those of which it covers a part, and the side that what lies below them is on.
    pub(super) cuts: [Option<(Index, Side)>; 2],
}

/// The edge tables below one page of the root, and a walk over them from the lowest up.
pub(super) struct Edges {
    start: u64,
    end: u64,
    top: u32,
    /// The lowest level with one table for both ends.
    fork: u32,
    /// Tables with the start (down from the root) and with the end (below the fork).
    left: PerLevel<HostPhysAddr>,
    right: PerLevel<HostPhysAddr>,
    right_low: u32,
    /// Where the walk is.
    side: Side,
    level: u32,
    /// The tables that go whole: a bit for each side and level.
    dying: u32,
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
            right_low: 0,
            side: Side::Left,
            level: 0,
            dying: 0,
        }
    }

    /// The next table; what is below comes before what is above.
    #[inline(never)]
    pub(super) fn next(&mut self) -> Option<EdgeTable> {
        loop {
            let level = self.level;
            match self.side {
                Side::Both if level > self.top => return None,
                Side::Left if level >= self.fork => {
                    (self.side, self.level) = (Side::Right, self.right_low);
                }
                Side::Right if level >= self.fork => {
                    (self.side, self.level) = (Side::Both, self.fork);
                }
                side => {
                    self.level = level.wrapping_add(1);
                    return Some(self.table(side, level));
                }
            }
        }
    }

    /// The table that was the last one goes.
    pub(super) fn mark_dying(&mut self, table: &EdgeTable) {
        self.dying |= bit(table.side, table.level);
    }

    /// Whether the table below a cut of a table goes.
    pub(super) fn is_dying_below(&self, table: &EdgeTable, side: Side) -> bool {
        self.dying & bit(side, table.level.wrapping_sub(1)) != 0
    }

    #[inline(always)]
    fn table(&self, side: Side, level: u32) -> EdgeTable {
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
        let span = Span::covering(start, end, level);
        let Span { first, last } = span;
        let (cuts_first, cuts_last) = (start & mask != 0, end & mask != 0);
        if first == last {
            let is_cut = cuts_first || cuts_last;
            let cut = if is_cut { Some((first, side)) } else { None };
            let whole = if is_cut { None } else { Some(span) };
            return EdgeTable { page, side, level, span, whole, cuts: [cut, None] };
        }
        let cuts = [
            if cuts_first { Some((first, Side::Left)) } else { None },
            if cuts_last { Some((last, Side::Right)) } else { None },
        ];
        let first = if cuts_first { first.next() } else { Some(first) };
        let last = if cuts_last { last.previous() } else { Some(last) };
        let whole = match (first, last) {
            (Some(first), Some(last)) if first <= last => Some(Span { first, last }),
            _ => None,
        };
        EdgeTable { page, side, level, span, whole, cuts }
    }
}

fn bit(side: Side, level: u32) -> u32 {
    1_u32.wrapping_shl((side as u32).wrapping_mul(8).wrapping_add(level))
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
        (edges.fork, edges.right_low) = (level, level);
        let mut left_low = level;
        if Index::of(start, level) != Index::of(last, level) {
            edges.right.set(level, edges.left.get(level));
            while start & entry_size(left_low).wrapping_sub(1) != 0
                && self.descend(&mut edges.left, left_low, start)?
            {
                left_low = left_low.wrapping_sub(1);
            }
            while end & entry_size(edges.right_low).wrapping_sub(1) != 0
                && self.descend(&mut edges.right, edges.right_low, last)?
            {
                edges.right_low = edges.right_low.wrapping_sub(1);
            }
        }
        (edges.side, edges.level, edges.dying) = (Side::Left, left_low, 0);
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
