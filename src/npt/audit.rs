//! Looking whether the tables are what this library wrote. Defence in depth: nothing here is needed as
//! long as nobody else writes to them.
//!
//! Depth alone does not stop a walk over tables that were made to point to each other: 512 entries on
//! each level are too many to visit. So tables are counted, and more than there are is an error.

use core::sync::atomic::Ordering;

use super::Engine;
use super::arch::Format;
use super::entry::{Entry, State, Way};
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

/// What a walk over all tables came to.
struct Survey {
    tables: u64,
    /// No entry was occupied.
    is_empty: bool,
}

/// A look at every entry.
struct Inspection<'a> {
    /// Nothing may stand outside.
    start: u64,
    end: u64,
    census: &'a mut Census,
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

    /// That there are as many tables as were counted, each at an address that can be one; whether nothing
    /// stands in them. Leaf tables are not looked into.
    pub(crate) fn count_tables(&self) -> Result<bool> {
        let survey = self.survey_tables(None)?;
        if survey.tables == self.table_count() { Ok(survey.is_empty) } else { Err(Error::BadState) }
    }

    /// That every entry is one that this library writes, stands inside `[start, end)`, and that no table
    /// but the root is empty.
    pub(crate) fn audit(&self, start: u64, end: u64) -> Result<Census> {
        let mut census = Census::default();
        let inspection = &mut Inspection { start, end, census: &mut census };
        let tables = self.survey_tables(Some(inspection))?.tables;
        Ok(Census { tables, ..census })
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

    /// Counts tables, never more than there are; with an inspection of every entry, else leaf tables are
    /// not looked into.
    fn survey_tables(&self, mut inspection: Option<&mut Inspection<'_>>) -> Result<Survey> {
        let mut survey = Survey { tables: self.root_page_count(), is_empty: true };
        for page in 0..self.root_page_count() {
            let offset = page.wrapping_mul(PAGE_SIZE);
            let address = HostPhysAddr::from_bits(self.npt.root.bits().wrapping_add(offset));
            let base = page.wrapping_mul(table_size(self.levels()));
            self.survey_root_page(address, base, &mut survey, inspection.as_deref_mut())?;
        }
        Ok(survey)
    }

    fn survey_root_page(
        &self,
        page: HostPhysAddr,
        base: u64,
        survey: &mut Survey,
        mut inspection: Option<&mut Inspection<'_>>,
    ) -> Result<()> {
        let top = self.levels();
        let lowest = if inspection.is_some() { 1 } else { 2 };
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
            let base = gpa & !(table_size(level).wrapping_sub(1));
            let mut below = None;
            for index in table.occupied(Span { first: index, last: Index::LAST }) {
                let entry = table.load(index);
                gpa = base.wrapping_add((index.get() as u64).wrapping_mul(entry_size(level)));
                if let Some(inspection) = inspection.as_deref_mut() {
                    self.inspect(inspection, entry, level, gpa)?;
                }
                survey.is_empty = false;
                match entry.way(level) {
                    Way::Down(page) => {
                        below = Some((page, index));
                        break;
                    }
                    Way::Ends => {}
                    Way::Corrupt => return Err(Error::BadState),
                }
            }
            drop(table);
            let Some((page, index)) = below else {
                next.set(level, None);
                gpa = base.wrapping_add(table_size(level));
                continue;
            };
            next.set(level, index.next());
            survey.tables = survey.tables.wrapping_add(1);
            self.check_followed(survey.tables)?;
            if !self.npt.host.is_in_width(page.bits(), PAGE_SIZE) {
                return Err(Error::BadState);
            }
            if level > lowest {
                if inspection.is_some() && self.is_empty(page, Span::ALL)? {
                    return Err(Error::BadState);
                }
                level = level.wrapping_sub(1);
                path.set(level, page);
                next.set(level, Some(Index::FIRST));
            } else {
                gpa = gpa.wrapping_add(entry_size(level));
            }
        }
    }
}
