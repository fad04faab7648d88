// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every entry of a range, table by table: one walk for whatever looks at all of them.

use super::NestedPageTable;
use super::arch::Format;
use super::entry::{HIDES, Way};
use super::table::Broken;
use super::units::{Gpa, GpaRange, Hpa, Index, Level, PerLevel, Span};

/// Neighbouring entries of one table.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    pub(crate) page: Hpa,
    pub(crate) level: Level,
    pub(crate) span: Span,
    /// The first address of the range that they cover.
    pub(crate) gpa: Gpa,
}

impl Run {
    pub(super) const NOWHERE: Self =
        Self { page: Hpa::new(0), level: Level::PAGE, span: Span::ALL, gpa: Gpa::new(0) };

    /// The first address that an entry of it covers.
    #[inline(always)]
    pub(super) fn gpa_of(&self, index: Index) -> Gpa {
        let distance = (index.get() as u64).wrapping_sub(self.span.first.get() as u64);
        self.gpa.base(self.level).plus(distance.wrapping_shl(self.level.shift()))
    }
}

/// What a sweep comes to.
#[derive(Clone, Copy)]
pub(crate) enum Step {
    /// Entries that do not point to tables.
    Entries,
    /// An entry that points to this table, to be entered or skipped before the next step.
    Table(Hpa),
    /// The same of a hidden one.
    Hidden(Hpa),
    End,
}

/// A walk over all entries of a range, in the order of addresses, from table to table and not from the root
/// to each page. No window is open between two steps.
#[repr(C)] // What is used most is near.
pub(crate) struct Sweep {
    gpa: Gpa,
    end: Gpa,
    /// What the last step came to.
    pub(crate) run: Run,
    followed: u64,
    /// Below this address hidden tables are on the way from the root.
    #[cfg(feature = "hide")]
    hidden_until: Gpa,
    level: Level,
    /// The sweep changes nothing: hidden tables are entered as they are.
    #[cfg(feature = "hide")]
    only_looks: bool,
    path: PerLevel<Hpa>,
}

impl Sweep {
    /// To be begun.
    pub(crate) const fn nowhere() -> Self {
        Self {
            path: PerLevel::new(Hpa::new(0)),
            level: Level::PAGE,
            gpa: Gpa::new(0),
            end: Gpa::new(0),
            followed: 0,
            #[cfg(feature = "hide")]
            hidden_until: Gpa::new(0),
            #[cfg(feature = "hide")]
            only_looks: false,
            run: Run::NOWHERE,
        }
    }

    /// Begins anew, over a range of the space.
    pub(crate) fn begin(&mut self, npt: &NestedPageTable, range: GpaRange) {
        (self.level, self.gpa, self.end, self.followed) = (npt.levels, range.start, range.end, 0);
        #[cfg(feature = "hide")]
        {
            (self.hidden_until, self.only_looks) = (Gpa::new(0), false);
        }
    }

    /// As [`Sweep::begin`], for a sweep that runs beside faults, or is to find hidden tables as they are. Any other one has
    /// each shown before it is entered, with what is in it hidden.
    pub(crate) fn begin_look(&mut self, npt: &NestedPageTable, range: GpaRange) {
        self.begin(npt, range);
        #[cfg(feature = "hide")]
        {
            self.only_looks = true;
        }
    }

    /// Whether a hidden table is on the way from the root to the entry of an address, which the sweep has come to.
    #[inline(always)]
    pub(crate) fn is_below_hidden(&self, gpa: Gpa) -> bool {
        #[cfg(feature = "hide")]
        return gpa < self.hidden_until;
        #[cfg(not(feature = "hide"))]
        {
            let _ = gpa;
            false
        }
    }

    /// The tables from the root down to that of the last step, if that is not the root.
    pub(super) fn path(&self) -> &PerLevel<Hpa> {
        &self.path
    }

    /// What is left of the range.
    pub(super) fn range(&self) -> GpaRange {
        GpaRange::new(self.gpa, self.end)
    }

    /// Where the next step begins: behind what the last one came to, unless that was a table.
    pub(crate) fn gpa(&self) -> Gpa {
        self.gpa
    }

    /// Comes to the next entries that do not point to tables; whether there are more. Tables are entered.
    #[inline(always)] // For the stack.
    pub(crate) fn next<F: Format>(
        &mut self,
        npt: &NestedPageTable,
        broken: &Broken,
    ) -> Option<bool> {
        loop {
            match self.step_in::<F>(npt, broken)? {
                Step::Entries => return Some(true),
                Step::Table(table) | Step::Hidden(table) => self.enter(npt, self.run.gpa, table)?,
                Step::End => return Some(false),
            }
        }
    }

    /// Comes to the next part of the range; a hidden table is shown, with what is in it hidden, unless the sweep changes
    /// nothing.
    #[inline(always)] // For the stack.
    pub(crate) fn step_in<F: Format>(
        &mut self,
        npt: &NestedPageTable,
        broken: &Broken,
    ) -> Option<Step> {
        let step = self.step::<F>(npt, broken)?;
        #[cfg(feature = "hide")]
        if let Step::Hidden(table) = step
            && !self.only_looks
        {
            let Run { page, level, span, .. } = self.run;
            npt.open_hidden::<F>(page, span.first, level)?;
            self.hidden_until = Gpa::new(0);
            return Some(Step::Table(table));
        }
        Some(step)
    }

    /// Hidden tables are on the way to what is below an address.
    #[inline(always)]
    fn hidden_until(&mut self, gpa: Gpa) {
        let _ = gpa;
        #[cfg(feature = "hide")]
        {
            self.hidden_until = self.hidden_until.max(gpa);
        }
    }

    /// Comes to the next part of the range.
    #[inline(never)]
    pub(crate) fn step<F: Format>(
        &mut self,
        npt: &NestedPageTable,
        broken: &Broken,
    ) -> Option<Step> {
        if self.gpa >= self.end {
            return Some(Step::End);
        }
        let (level, gpa) = (self.level, self.gpa);
        let page = if level == npt.levels { npt.root_page::<F>(gpa) } else { self.path.get(level) };
        let part = GpaRange::new(gpa, self.end.min(gpa.end(level.up())));
        let mut span = part.span(level);
        let mut next = part.end;
        if level > Level::PAGE {
            let mut index = span.first;
            match npt.first_table::<F>(page, level, span, broken, &mut index) {
                way @ (Way::Down(table) | Way::Hidden(table)) if index == span.first => {
                    self.run = Run { page, level, span: Span::one(index), gpa };
                    if HIDES && way != Way::Down(table) {
                        self.hidden_until(gpa.end(level));
                        return Some(Step::Hidden(table));
                    }
                    return Some(Step::Table(table));
                }
                Way::Down(_) | Way::Hidden(_) => {
                    span = Span::new(span.first, index.previous()?);
                    let bytes = (span.count() as u64).wrapping_shl(level.shift());
                    next = gpa.base(level).plus(bytes);
                }
                Way::Ends => {}
                Way::Corrupt => return None,
            }
        }
        self.run = Run { page, level, span, gpa };
        self.go_on_at(npt, next);
        Some(Step::Entries)
    }

    /// Goes on in a table that an entry of the last step points to, which covers an address.
    #[inline(never)]
    pub(crate) fn enter(&mut self, npt: &NestedPageTable, gpa: Gpa, table: Hpa) -> Option<()> {
        self.followed = self.followed.wrapping_add(1);
        // More tables than there are: damaged tables that point to each other.
        if self.followed > npt.table_count() {
            return None;
        }
        self.path.set(self.run.level, self.run.page);
        self.level = self.run.level.down();
        self.path.set(self.level, table);
        self.gpa = gpa;
        Some(())
    }

    /// Goes on behind the table that the last step came to.
    pub(crate) fn skip(&mut self, npt: &NestedPageTable) {
        self.go_on_at(npt, self.run.gpa.end(self.run.level));
    }

    /// Goes on at an address where entries of the table in work end.
    #[inline(never)]
    pub(super) fn go_on_at(&mut self, npt: &NestedPageTable, gpa: Gpa) {
        self.gpa = gpa;
        while self.level < npt.levels && gpa.is_aligned(self.level.up()) {
            self.level = self.level.up();
        }
    }
}
