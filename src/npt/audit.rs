// SPDX-License-Identifier: MIT OR Apache-2.0
//! Looking whether the tables are what this library wrote. Defence in depth: nothing here is needed as
//! long as only the library writes to them.
//!
//! Depth alone does not stop a walk over tables that were made to point to each other: 512 entries on
//! each level are too many to visit. So tables are counted, and more than there are is an error.

use core::sync::atomic::Ordering;

use super::Engine;
use super::arch::Format;
use super::entry::{Entry, State};
use super::geometry::{Span, entry_size, pages, table_size};
use super::walk::{Cursor, Run, Step};
use crate::addr::{Bits, HostPhysAddr, PAGE_SIZE};
use crate::error::{Error, Result};

/// What stands in the tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    /// Frames of tables, the root's included.
    pub(crate) tables: u64,
    /// Leaves of levels 1 to 3.
    pub(crate) leaves: [u64; 3],
    /// Frames that are the library's to free, in pages of 4 KiB.
    pub(crate) guest: u64,
}

/// A look at every entry: nothing may stand outside of `[start, end)`.
struct Inspection<'c> {
    start: u64,
    end: u64,
    census: &'c mut Census,
}

impl<F: Format> Engine<'_, F> {
    /// Frames of tables that there are, the root's included.
    pub(super) fn table_count(&self) -> u64 {
        self.npt.tables.load(Ordering::Relaxed)
    }

    pub(super) fn root_page_count(&self) -> u64 {
        1_u64.wrapping_shl(self.npt.shape.root_order)
    }

    /// That a walk has not followed more tables than there are.
    #[inline(always)]
    pub(super) fn check_followed(&self, tables: u64) -> Result<()> {
        if tables > self.table_count() { Err(Error::BadState) } else { Ok(()) }
    }

    /// That a table that is to go back is not one too many.
    pub(super) fn check_releasable(&self) -> Result<()> {
        if self.table_count() > self.root_page_count() { Ok(()) } else { Err(Error::BadState) }
    }

    /// That there are as many tables as were counted, each at an address that can be one; whether nothing
    /// stands in them. Leaf tables are not looked into.
    #[inline(never)]
    pub(crate) fn count_tables(&self, cursor: &mut Cursor) -> Result<bool> {
        let mut tables = self.root_page_count();
        let mut is_empty = true;
        self.begin_at_root(cursor);
        loop {
            match cursor.step(self)? {
                Step::Entries => is_empty &= cursor.run.is_bare,
                Step::Table(table) => {
                    is_empty = false;
                    tables = tables.wrapping_add(1);
                    self.check_table(tables, table)?;
                    if cursor.run.level > 2 { cursor.enter(self, table)? } else { cursor.skip() }
                }
                Step::End if tables == self.table_count() => return Ok(is_empty),
                Step::End => return Err(Error::BadState),
            }
        }
    }

    /// That every entry is one that this library writes, stands inside `[start, end)`, that no table but the
    /// root is empty and no leaf covers a table. Fills an empty census.
    #[inline(always)]
    pub(crate) fn audit(&self, start: u64, end: u64, census: &mut Census) -> Result<()> {
        self.take_census(start, end, census)?;
        self.check_unexposed()
    }

    #[inline(never)]
    fn take_census(&self, start: u64, end: u64, census: &mut Census) -> Result<()> {
        census.tables = self.root_page_count();
        let mut inspection = Inspection { start, end, census };
        let mut cursor = Cursor::nowhere();
        self.begin_at_root(&mut cursor);
        loop {
            let step = cursor.step(self)?;
            if let Step::End = step {
                return Ok(());
            }
            self.inspect_run(&mut inspection, &cursor.run)?;
            if let Step::Table(table) = step {
                let tables = inspection.census.tables.wrapping_add(1);
                inspection.census.tables = tables;
                self.check_table(tables, table)?;
                if self.is_empty(table, Span::ALL)? {
                    return Err(Error::BadState);
                }
                cursor.enter(self, table)?;
            }
        }
    }

    /// Over everything that the pages of the root cover.
    pub(super) fn begin_at_root(&self, cursor: &mut Cursor) {
        let end = self.root_page_count().wrapping_mul(table_size(self.levels()));
        cursor.begin(self, 0, end);
    }

    /// That a table is one of as many as there are, at an address that can be one.
    fn check_table(&self, tables: u64, table: HostPhysAddr) -> Result<()> {
        self.check_followed(tables)?;
        let is_frame = self.npt.host.is_in_width(table.bits(), PAGE_SIZE);
        if is_frame { Ok(()) } else { Err(Error::BadState) }
    }

    fn inspect_run(&self, inspection: &mut Inspection<'_>, run: &Run) -> Result<()> {
        let table = self.open(run.page)?;
        for index in table.occupied(run.span) {
            self.inspect(inspection, table.load(index), run.level, run.gpa_of(index))?;
        }
        Ok(())
    }

    #[inline(never)]
    fn inspect(
        &self,
        inspection: &mut Inspection<'_>,
        entry: Entry<F>,
        level: u32,
        gpa: u64,
    ) -> Result<()> {
        let size = entry_size(level);
        match entry.state(level) {
            State::Empty => return Ok(()),
            State::Table => return self.check_word(entry, Entry::table(entry.address())),
            State::Leaf => {
                let attributes = entry.attributes(self.features());
                let owned = entry.is_owned();
                let leaf = Entry::leaf_template(attributes, self.features(), level, owned)
                    .map_err(|_| Error::BadState)?;
                self.check_word(entry, leaf.at(entry.address()))?;
                let address = entry.address().bits();
                let is_aligned = address & size.wrapping_sub(1) == 0;
                if !is_aligned || !self.npt.host.is_in_width(address, size) {
                    return Err(Error::BadState);
                }
                let census = &mut *inspection.census;
                if let Some(leaves) = census.leaves.get_mut(level.wrapping_sub(1) as usize) {
                    *leaves = leaves.wrapping_add(1);
                }
                if owned {
                    census.guest = census.guest.wrapping_add(pages(level));
                }
            }
            State::Reserved => self.check_word(entry, Entry::reserved(entry.reservation()))?,
            State::Trap => self.check_word(entry, Entry::trap(entry.cookie()))?,
            _ => return Err(Error::BadState),
        }
        let is_inside = gpa >= inspection.start && gpa.wrapping_add(size) <= inspection.end;
        if is_inside { Ok(()) } else { Err(Error::BadState) }
    }

    fn check_word(&self, entry: Entry<F>, expected: Entry<F>) -> Result<()> {
        if entry == expected { Ok(()) } else { Err(Error::BadState) }
    }
}
