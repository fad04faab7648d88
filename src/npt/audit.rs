//! Looking whether the tables are what this library wrote. Defence in depth: nothing here is needed as
//! long as nobody else writes to them.
//!
//! Depth alone does not stop a walk over tables that were made to point to each other: 512 entries on
//! each level are too many to visit. So tables are counted, and more than there are is an error.

use core::sync::atomic::Ordering;

use super::Engine;
use super::arch::Format;
use super::entry::{Entry, State};
use super::geometry::{Index, PerLevel, Span, entry_size, pages, table_size};
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

impl<F: Format> Engine<'_, F> {
    /// Frames of tables that there are, the root's included.
    fn table_count(&self) -> u64 {
        self.npt.tables.load(Ordering::Relaxed)
    }

    fn root_page_count(&self) -> u64 {
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

    /// That there are as many tables as were counted, each at an address that can be one. Leaf tables
    /// are not looked into.
    pub(crate) fn count_tables(&self) -> Result<()> {
        let counted = self.survey_tables(2, &mut |_, _, _| Ok(()))?;
        if counted == self.table_count() { Ok(()) } else { Err(Error::BadState) }
    }

    /// That every entry is one that this library writes, stands inside `[start, end)`, and that no table
    /// but the root is empty.
    pub(crate) fn audit(&self, start: u64, end: u64) -> Result<Census> {
        let mut census = Census::default();
        let tables = self.survey_tables(1, &mut |entry, level, gpa| {
            let size = entry_size(level);
            let is_inside = gpa >= start && gpa.wrapping_add(size) <= end;
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
                    if let Some(leaves) = census.leaves.get_mut(level.wrapping_sub(1) as usize) {
                        *leaves = leaves.wrapping_add(1);
                    }
                    if owned {
                        census.guest = census.guest.wrapping_add(pages(level));
                    }
                }
                State::Reserved => {
                    self.check_word(entry, Entry::reserved(entry.reservation()))?;
                }
                State::Trap => self.check_word(entry, Entry::trap(entry.cookie()))?,
                _ => return Err(Error::BadState),
            }
            if is_inside { Ok(()) } else { Err(Error::BadState) }
        })?;
        Ok(Census { tables, ..census })
    }

    fn check_word(&self, entry: Entry<F>, expected: Entry<F>) -> Result<()> {
        if entry == expected { Ok(()) } else { Err(Error::BadState) }
    }

    /// Calls `inspect` with each entry of each table of `lowest` level and above, with the first address
    /// that the entry covers; the number of tables, never more than there are.
    fn survey_tables(
        &self,
        lowest: u32,
        inspect: &mut impl FnMut(Entry<F>, u32, u64) -> Result<()>,
    ) -> Result<u64> {
        let mut tables = self.root_page_count();
        for page in 0..self.root_page_count() {
            let offset = page.wrapping_mul(PAGE_SIZE);
            let address = HostPhysAddr::from_bits(self.npt.root.bits().wrapping_add(offset));
            let base = page.wrapping_mul(table_size(self.levels()));
            self.survey_root_page(address, base, lowest, &mut tables, inspect)?;
        }
        Ok(tables)
    }

    fn survey_root_page(
        &self,
        page: HostPhysAddr,
        base: u64,
        lowest: u32,
        tables: &mut u64,
        inspect: &mut impl FnMut(Entry<F>, u32, u64) -> Result<()>,
    ) -> Result<()> {
        let top = self.levels();
        let mut level = top;
        let mut path = PerLevel::new(page);
        let mut next = PerLevel::new(Some(Index::FIRST));
        let mut gpa = base;
        loop {
            let Some(index) = next.get(level) else {
                if level == top {
                    return Ok(());
                }
                level = level.wrapping_add(1);
                continue;
            };
            let table = self.open(path.get(level))?;
            let mut at = Some(index);
            let mut below = None;
            while let (Some(index), None) = (at, below) {
                let entry = table.load(index);
                inspect(entry, level, gpa)?;
                at = index.next();
                if entry.state(level) == State::Table {
                    below = Some(entry);
                } else {
                    gpa = gpa.wrapping_add(entry_size(level));
                }
            }
            drop(table);
            next.set(level, at);
            let Some(entry) = below else { continue };
            *tables = tables.wrapping_add(1);
            self.check_followed(*tables)?;
            if !self.npt.host.is_in_width(entry.address().bits(), PAGE_SIZE) {
                return Err(Error::BadState);
            }
            if level > lowest {
                if lowest == 1 && self.open(entry.address())?.is_empty(Span::ALL) {
                    return Err(Error::BadState);
                }
                level = level.wrapping_sub(1);
                path.set(level, entry.address());
                next.set(level, Some(Index::FIRST));
            } else {
                gpa = gpa.wrapping_add(entry_size(level));
            }
        }
    }
}
