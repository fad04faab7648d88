//! The tables that a range cuts: those on its two edges, from the root's page down.
//!
//! Everything else in the range lies whole below one of their entries. There are at most two for each
//! level below the one where the edges part.

use super::Engine;
use super::arch::Format;
use super::entry::State;
use super::geometry::{Index, MAX_LEVELS, Span, entry_size};
use crate::addr::HostPhysAddr;
use crate::error::{Error, Result};

/// A table whose part of the range begins or ends within it (or the root's page).
#[derive(Clone, Copy)]
pub(crate) struct EdgeTable {
    pub(crate) page: HostPhysAddr,
    pub(crate) level: u32,
    /// The part of the range that the table covers.
    pub(crate) start: u64,
    pub(crate) end: u64,
    parent: u8,
    /// Below the right one of two cuts.
    pub(crate) is_right: bool,
}

/// An entry of which the range covers a part.
#[derive(Clone, Copy)]
pub(crate) struct Cut {
    pub(crate) index: Index,
    /// The part of the range that the entry covers.
    pub(crate) start: u64,
    pub(crate) end: u64,
    is_right: bool,
}

impl EdgeTable {
    /// Entries that the range touches.
    pub(crate) fn span(&self) -> Span {
        Span::covering(self.start, self.end, self.level)
    }

    /// The entries that the range cuts.
    pub(crate) fn cuts(&self) -> [Option<Cut>; 2] {
        let mask = entry_size(self.level).wrapping_sub(1);
        let span = self.span();
        let (head, tail) = (self.start & mask != 0, self.end & mask != 0);
        let cut = |index, start, end, is_right| Cut { index, start, end, is_right };
        if span.first == span.last {
            let one = cut(span.first, self.start, self.end, self.is_right);
            return [(head || tail).then_some(one), None];
        }
        let after_head = (self.start | mask).wrapping_add(1);
        let before_tail = self.end & !mask;
        [
            head.then_some(cut(span.first, self.start, after_head, self.is_right)),
            tail.then_some(cut(span.last, before_tail, self.end, true)),
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

const MAX_EDGES: usize = 2 * MAX_LEVELS - 1;

/// The edge tables below one page of the root, parents before children.
pub(crate) struct Edges {
    tables: [EdgeTable; MAX_EDGES],
    count: usize,
}

impl Edges {
    fn new(root: EdgeTable) -> Self {
        Self { tables: [root; MAX_EDGES], count: 1 }
    }

    fn push(&mut self, table: EdgeTable) -> Result<()> {
        let slot = self.tables.get_mut(self.count).ok_or(Error::BadState)?;
        *slot = table;
        self.count = self.count.wrapping_add(1);
        Ok(())
    }

    /// The tables, parents before children.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &EdgeTable> + ExactSizeIterator {
        let (tables, _) = self.tables.split_at(self.count.min(MAX_EDGES));
        tables.iter()
    }

    /// The place of the table below a cut of the table at `parent`.
    pub(crate) fn below(&self, parent: usize, cut: &Cut) -> Option<usize> {
        self.iter()
            .position(|table| usize::from(table.parent) == parent && table.start == cut.start)
    }
}

/// Not below any other.
const NO_PARENT: u8 = u8::MAX;

impl<F: Format> Engine<'_, F> {
    /// The tables that `[start, end)` cuts below the page of a root that covers it.
    pub(crate) fn edges(&self, page: HostPhysAddr, start: u64, end: u64) -> Result<Edges> {
        let root = EdgeTable {
            page,
            level: self.levels(),
            start,
            end,
            parent: NO_PARENT,
            is_right: false,
        };
        let mut edges = Edges::new(root);
        let mut place = 0;
        while place < edges.count {
            let Some(table) = edges.tables.get(place).copied() else {
                break;
            };
            for cut in table.cuts().into_iter().flatten() {
                let entry = self.open(table.page)?.load(cut.index);
                match entry.state(table.level) {
                    State::Table => edges.push(EdgeTable {
                        page: entry.address(),
                        level: table.level.wrapping_sub(1),
                        start: cut.start,
                        end: cut.end,
                        parent: place as u8,
                        is_right: cut.is_right,
                    })?,
                    State::Corrupt => return Err(Error::BadState),
                    _ => {}
                }
            }
            place = place.wrapping_add(1);
        }
        Ok(edges)
    }
}
