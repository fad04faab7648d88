// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tables that a range cuts, found by one descent.
//!
//! From the root down to the fork one table at each level has both ends of the range; below, one at most has
//! the start (the left arm) and one the end (the right arm). Everything else in the range lies whole below an
//! entry of one of these tables.

use super::NestedPageTable;
use super::arch::Format;
use super::entry::Way;
use super::table::Broken;
use super::units::{Gpa, GpaRange, Hpa, Index, Level, PerLevel, Span};

/// The arm on which a table is; those from the fork up are on the left one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arm {
    Left,
    Right,
}

/// The edge tables of the part of a range that one page of the root covers.
#[repr(C)] // What is used most is near.
pub(super) struct Edges {
    pub(super) range: GpaRange,
    /// The lowest level with one table for both ends.
    pub(super) fork: Level,
    /// The lowest level of each arm.
    left_low: Level,
    right_low: Level,
    /// The lowest level of the left arm in the first part of a range that is filled.
    pub(super) first_low: Level,
    left: PerLevel<Hpa>,
    right: PerLevel<Hpa>,
}

impl Edges {
    /// The tables of an arm, those from the fork up included.
    #[inline(always)]
    pub(super) fn pages(&self, arm: Arm) -> &PerLevel<Hpa> {
        if arm == Arm::Right { &self.right } else { &self.left }
    }

    /// The page of an edge table.
    #[inline(always)]
    pub(super) fn page(&self, arm: Arm, level: Level) -> Hpa {
        self.pages(arm).get(level)
    }

    /// An address of the range in each table of an arm.
    #[inline(always)]
    pub(super) fn address(&self, arm: Arm) -> Gpa {
        if arm == Arm::Right { self.range.last() } else { self.range.start }
    }

    /// The entry of an edge table of a level that an end of the range lies in.
    #[inline(always)]
    pub(super) fn cut(&self, arm: Arm, level: Level) -> Index {
        self.address(arm).index(level)
    }

    /// The place of the entry that points to an edge table below the root.
    #[inline(always)]
    pub(super) fn parent(&self, arm: Arm, level: Level) -> (Hpa, Index) {
        let above = level.up();
        (self.page(arm, above), self.cut(arm, above))
    }

    /// The end of the range that is on an arm.
    #[inline(always)]
    pub(super) fn end(&self, arm: Arm) -> Gpa {
        if arm == Arm::Right { self.range.end } else { self.range.start }
    }

    /// Forgets the range: its edges have to be found again.
    pub(super) fn forget(&mut self) {
        self.range = GpaRange::new(Gpa::new(0), Gpa::new(0));
        (self.first_low, self.right_low) = (Level::PAGE, Level::PAGE);
    }

    /// The tables of a range end at a level, on both arms.
    pub(super) fn end_at(&mut self, level: Level) {
        (self.first_low, self.left_low, self.right_low) = (level, level, level);
    }

    /// The lowest level of an arm.
    #[inline(always)]
    pub(super) fn lowest(&self, arm: Arm) -> Level {
        if arm == Arm::Right { self.right_low } else { self.left_low }
    }

    /// The part of the range in the entries of an edge table up to the fork that no lower edge table covers; it
    /// may be empty.
    #[inline(never)]
    pub(super) fn part(&self, arm: Arm, level: Level) -> GpaRange {
        let GpaRange { start, end } = self.range;
        let first = if arm == Arm::Right {
            self.range.last().base(level.up())
        } else if level == self.left_low {
            start
        } else {
            start.end(level)
        };
        let behind = if arm == Arm::Left && level < self.fork {
            start.end(level.up())
        } else if level == self.right_low {
            end
        } else {
            self.range.last().base(level)
        };
        GpaRange::new(first, first.max(behind))
    }

    /// The entries of that part.
    #[inline(always)]
    pub(super) fn span(&self, arm: Arm, level: Level) -> Option<Span> {
        let part = self.part(arm, level);
        if part.is_empty() { None } else { Some(part.span(level)) }
    }

    /// The first edge table in the order of addresses.
    #[inline(always)]
    pub(super) fn first(&self) -> (Arm, Level) {
        (Arm::Left, self.left_low)
    }

    /// The edge table behind one, in the order of addresses: up the left arm to the fork, down the right one.
    #[inline(always)]
    pub(super) fn after(&self, (arm, level): (Arm, Level)) -> Option<(Arm, Level)> {
        if arm == Arm::Left && level < self.fork {
            Some((Arm::Left, level.up()))
        } else if level > self.right_low {
            Some((Arm::Right, level.down()))
        } else {
            None
        }
    }
}

impl NestedPageTable {
    /// Finds the edges of the part of a range that one page of the root covers; where that part ends.
    #[inline(never)]
    pub(super) fn find_edges<F: Format>(
        &self,
        edges: &mut Edges,
        broken: &Broken,
        range: GpaRange,
    ) -> Option<Gpa> {
        let top = self.levels;
        let range = GpaRange::new(range.start, range.end.min(range.start.end(top.up())));
        let (start, last) = (range.start, range.last());
        // A range that is all of a table is one entry of the table above.
        let mut fork = Level::joining(start, last);
        if range.size() == fork.table_size() {
            fork = fork.up();
        }
        fork = fork.min(top);
        edges.range = range;
        edges.left.set(top, self.root_page::<F>(start));
        let reached = self.descend::<F>(&mut edges.left, broken, top, fork, start)?;
        (edges.fork, edges.left_low, edges.right_low) = (reached, reached, reached);
        edges.right = edges.left;
        if reached == fork {
            let left = Level::dividing_address(start, fork);
            let right = Level::dividing_address(range.end, fork);
            edges.left_low = self.descend::<F>(&mut edges.left, broken, fork, left, start)?;
            edges.right_low = self.descend::<F>(&mut edges.right, broken, fork, right, last)?;
        }
        Some(range.end)
    }

    /// Goes down from the table of a level to one of `lowest` at most, along an address; how far there are
    /// tables.
    #[inline(never)]
    pub(super) fn descend<F: Format>(
        &self,
        path: &mut PerLevel<Hpa>,
        broken: &Broken,
        from: Level,
        lowest: Level,
        gpa: Gpa,
    ) -> Option<Level> {
        let mut level = from;
        while level > lowest {
            let below = match self.entry_on::<F>(path, gpa, level)?.way(level.get()) {
                Way::Down(below) => below,
                Way::Ends => match broken.table_at(path.get(level), gpa.index(level)) {
                    Some(below) => below,
                    None => break,
                },
                // Hidden tables on the way are shown before edges are looked for.
                Way::Hidden(_) | Way::Corrupt => return None,
            };
            level = level.down();
            path.set(level, below);
        }
        Some(level)
    }
}
