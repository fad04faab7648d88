//! Looking: one entry, or every entry of a range.

use super::Engine;
use super::arch::Format;
use super::entry::{Entry, State};
use super::geometry::{Index, PerLevel, Span, entry_size, table_size};
use super::table::Table;
use crate::addr::HostPhysAddr;
use crate::error::{Error, Result};
use crate::sync::{Defect, Ordering, fence, planted};

/// An entry and the level of its table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<F> {
    pub(crate) entry: Entry<F>,
    pub(crate) level: u32,
}

impl<F: Format> Found<F> {
    /// First address that the entry covers.
    pub(crate) fn base(&self, gpa: u64) -> u64 {
        gpa & !(entry_size(self.level).wrapping_sub(1))
    }
}

impl<'a, F: Format> Engine<'a, F> {
    /// The entry that covers an address of the space, never one that points to a table.
    #[inline]
    pub(crate) fn walk(&self, gpa: u64) -> Result<Found<F>> {
        let mut page = self.root_page(gpa);
        let mut level = self.levels();
        loop {
            let entry = self.open(page)?.load_acquire(Index::of(gpa, level));
            match entry.state(level) {
                State::Table => {
                    page = entry.address();
                    level = level.wrapping_sub(1);
                }
                State::Corrupt => return Err(Error::BadState),
                _ => return Ok(Found { entry, level }),
            }
        }
    }

    /// As [`Engine::walk`], beside an exclusive call too; nothing if tables went meanwhile or the entry is
    /// in transition.
    ///
    /// Needs tables that stay readable after they went back. What is read there is not followed: the
    /// generation changes after tables are detached and before they go, so that an entry read under the
    /// generation of the start was one of a table that was not gone then.
    #[inline]
    pub(crate) fn walk_unlocked(&self, gpa: u64) -> Option<Found<F>> {
        let generation = self.npt.generation.load(Ordering::Acquire);
        let mut page = self.root_page(gpa);
        let mut level = self.levels();
        loop {
            let entry = self.open(page).ok()?.load(Index::of(gpa, level));
            if !planted(Defect::GenerationBarrier) {
                fence(Ordering::Acquire);
            }
            let is_same = self.npt.generation.load(Ordering::Relaxed) == generation;
            if !is_same && !planted(Defect::GenerationUnread) {
                return None;
            }
            match entry.state(level) {
                State::Table => {
                    page = entry.address();
                    level = level.wrapping_sub(1);
                }
                State::Empty | State::Reserved | State::Trap | State::Leaf => {
                    return Some(Found { entry, level });
                }
                _ => return None,
            }
        }
    }

    /// Calls `visit` with the entries of `[start, end)` that do not point to tables, in order: runs of
    /// neighbours in one table, the table's level, and the first address of the range they cover.
    pub(crate) fn visit(
        &self,
        start: u64,
        end: u64,
        visit: impl FnMut(&Table<'a, F>, u32, Span, u64) -> Result<()>,
    ) -> Result<()> {
        self.visit_entering(start, end, |_, _, _, _| Ok(true), visit)
    }

    /// As [`Engine::visit`]; `enter` is asked before each table below: with the table that points to it, its
    /// level, the place in it and the first address of the range below.
    pub(crate) fn visit_entering(
        &self,
        start: u64,
        end: u64,
        enter: impl FnMut(&Table<'a, F>, u32, Index, u64) -> Result<bool>,
        visit: impl FnMut(&Table<'a, F>, u32, Span, u64) -> Result<()>,
    ) -> Result<()> {
        let mut visitor = Visitor { enter, visit };
        for slice in self.root_slices(start, end) {
            self.visit_below(slice.page, self.levels(), slice.start, slice.end, &mut visitor)?;
        }
        Ok(())
    }

    /// As [`Engine::visit`], for a range that lies in one page of a table of `top`.
    pub(crate) fn visit_page(
        &self,
        page: HostPhysAddr,
        top: u32,
        start: u64,
        end: u64,
        visit: impl FnMut(&Table<'a, F>, u32, Span, u64) -> Result<()>,
    ) -> Result<()> {
        let mut visitor = Visitor { enter: |_: &Table<'a, F>, _, _, _| Ok(true), visit };
        self.visit_below(page, top, start, end, &mut visitor)
    }

    fn visit_below<E, V>(
        &self,
        page: HostPhysAddr,
        top: u32,
        start: u64,
        end: u64,
        visitor: &mut Visitor<E, V>,
    ) -> Result<()>
    where
        E: FnMut(&Table<'a, F>, u32, Index, u64) -> Result<bool>,
        V: FnMut(&Table<'a, F>, u32, Span, u64) -> Result<()>,
    {
        let mut path = PerLevel::new(page);
        let mut level = top;
        let mut gpa = start;
        let mut followed = 0_u64;
        while gpa < end {
            let table = self.open(path.get(level))?;
            let table_end = (gpa | table_size(level).wrapping_sub(1)).wrapping_add(1);
            let stop = end.min(table_end);
            match visitor.visit_table(&table, level, gpa, stop)? {
                Some(child) => {
                    followed = followed.wrapping_add(1);
                    self.check_followed(followed)?;
                    level = level.wrapping_sub(1);
                    path.set(level, child.page);
                    gpa = child.gpa;
                }
                None => {
                    gpa = stop;
                    while level < top && gpa & table_size(level).wrapping_sub(1) == 0 {
                        level = level.wrapping_add(1);
                    }
                }
            }
        }
        Ok(())
    }
}

/// What a visit asks and does.
struct Visitor<E, V> {
    enter: E,
    visit: V,
}

/// A table below, and the address at which the visit goes on in it.
struct Child {
    page: HostPhysAddr,
    gpa: u64,
}

impl<E, V> Visitor<E, V> {
    /// Visits the entries of `[gpa, stop)` in one table up to the first table that is entered.
    #[inline(always)]
    fn visit_table<'a, F: Format>(
        &mut self,
        table: &Table<'a, F>,
        level: u32,
        gpa: u64,
        stop: u64,
    ) -> Result<Option<Child>>
    where
        E: FnMut(&Table<'a, F>, u32, Index, u64) -> Result<bool>,
        V: FnMut(&Table<'a, F>, u32, Span, u64) -> Result<()>,
    {
        let span = Span::covering(gpa, stop, level);
        if level == 1 {
            (self.visit)(table, level, span, gpa)?;
            return Ok(None);
        }
        let size = entry_size(level);
        let mut gpa = gpa;
        let mut run: Option<(Index, u64)> = None;
        for index in span.indices() {
            let entry = table.load(index);
            match entry.state(level) {
                State::Corrupt => return Err(Error::BadState),
                State::Table => {
                    if let (Some((first, start)), Some(last)) = (run.take(), index.previous()) {
                        (self.visit)(table, level, Span { first, last }, start)?;
                    }
                    if (self.enter)(table, level, index, gpa)? {
                        return Ok(Some(Child { page: entry.address(), gpa }));
                    }
                }
                _ => {
                    run.get_or_insert((index, gpa));
                }
            }
            gpa = (gpa & !(size.wrapping_sub(1))).wrapping_add(size);
        }
        if let Some((first, start)) = run {
            (self.visit)(table, level, Span { first, last: span.last }, start)?;
        }
        Ok(None)
    }
}
