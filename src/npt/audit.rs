// SPDX-License-Identifier: MIT OR Apache-2.0
//! Looking whether the tables are what this library wrote. Defence in depth: nothing here is needed as
//! long as only the library writes to them.
//!
//! Depth alone does not stop a walk over tables that were made to point to each other: 512 entries on
//! each level are too many to visit. So tables are counted, and more than there are is an error.

use super::arch::Format;
use super::entry::{Entry, HIDES, State};
use super::sweep::{Run, Step, Sweep};
use super::table::{Broken, Table};
use super::units::{Gpa, GpaRange, Hpa, Level, Span};
use super::work::Work;
use super::{AGES, LOGS, NestedPageTable};
use crate::addr::{Bits, PAGE_SIZE};
use crate::sync::Ordering;

/// What the tables have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    /// Frames of tables, the root's included.
    pub(crate) tables: u64,
    /// Leaves of levels 1 to 3.
    pub(crate) leaves: [u64; 3],
    /// Frames that are the library's to free, in pages of 4 KiB.
    pub(crate) guest: u64,
}

impl Census {
    /// Counts a page.
    pub(super) fn add_page(&mut self, level: Level, is_owned: bool) {
        if let Some(leaves) = self.leaves.get_mut(level.down().get() as usize) {
            *leaves = leaves.wrapping_add(1);
        }
        if is_owned {
            self.guest = self.guest.wrapping_add(level.pages());
        }
    }
}

impl NestedPageTable {
    /// That there are as many tables as were counted, each at an address that can be one. Leaf tables are not
    /// looked into.
    #[inline(never)]
    pub(crate) fn check_tables<F: Format>(&self, work: &mut Work) -> Option<()> {
        let Work { sweep, stock, .. } = work;
        let mut tables = self.root_pages();
        sweep.begin_look(self, self.whole());
        loop {
            match sweep.step::<F>(self, &Broken::NONE)? {
                Step::Entries => {}
                Step::Table(table) | Step::Hidden(table) => {
                    tables = tables.wrapping_add(1);
                    self.check_table(tables, table)?;
                    if sweep.run.level > Level::LARGE {
                        sweep.enter(self, sweep.run.gpa, table)?;
                    } else {
                        sweep.skip(self);
                    }
                }
                Step::End => return (tables == self.linked_tables(stock)).then_some(()),
            }
        }
    }

    /// That every entry is one that this library writes and lies in a range, that what entries say of the
    /// occupancy of tables holds, that no table is empty but the root and those that are kept, and that no leaf
    /// covers a table. Fills an empty census.
    pub(crate) fn audit<F: Format>(&self, range: GpaRange, census: &mut Census) -> Option<()> {
        self.take_census::<F>(range, census)?;
        self.check_unexposed::<F>()
    }

    #[inline(never)]
    fn take_census<F: Format>(&self, range: GpaRange, census: &mut Census) -> Option<()> {
        census.tables = self.root_pages();
        let mut root_entries = 0_u64;
        for page in 0..self.root_pages() {
            let page = self.root.page(page);
            let occupied = self.count_occupied::<F>(page, self.levels, Span::ALL)?;
            root_entries = root_entries.wrapping_add(occupied);
        }
        if root_entries != self.root_entries.load(Ordering::Relaxed) {
            return None;
        }
        let mut sweep = Sweep::nowhere();
        sweep.begin_look(self, self.whole());
        loop {
            let step = sweep.step::<F>(self, &Broken::NONE)?;
            if let Step::End = step {
                return Some(());
            }
            self.inspect_run::<F>(range, census, &sweep.run)?;
            if let Step::Table(table) | Step::Hidden(table) = step {
                census.tables = census.tables.wrapping_add(1);
                self.check_table(census.tables, table)?;
                self.check_occupancy::<F>(&sweep.run, table)?;
                sweep.enter(self, sweep.run.gpa, table)?;
            }
        }
    }

    /// That a table is one of as many as there are, at an address that can be one.
    fn check_table(&self, tables: u64, table: Hpa) -> Option<()> {
        let is_one = tables <= self.table_count() && self.host.is_in_width(table.bits(), PAGE_SIZE);
        is_one.then_some(())
    }

    /// That an entry says of the table that it points to what holds.
    #[inline(never)]
    fn check_occupancy<F: Format>(&self, place: &Run, page: Hpa) -> Option<()> {
        let below = place.level.down();
        let said = self.entry::<F>(place.page, place.span.first)?.shown_table().occupancy();
        let table = Table::<F>::reach(self, page)?;
        let (mut count, mut runs, mut is_in_run) = (0_u64, 0_u64, false);
        table.for_each(Span::ALL, |entry| {
            let is_occupied = !table.is_absent(entry, below);
            count = count.wrapping_add(u64::from(is_occupied));
            runs = runs.wrapping_add(u64::from(is_occupied && !is_in_run));
            is_in_run = is_occupied;
        });
        let holds = if said == Entry::<F>::KEPT {
            self.keeps_tables() && count == 0
        } else if said == Entry::<F>::RUN {
            runs == 1
        } else {
            count != 0 && (said == Entry::<F>::UNKNOWN || said == count)
        };
        holds.then_some(())
    }

    #[inline(never)]
    fn inspect_run<F: Format>(
        &self,
        range: GpaRange,
        census: &mut Census,
        run: &Run,
    ) -> Option<()> {
        let mut rest = Some(run.span);
        while let Some(span) = rest {
            let table = Table::<F>::reach(self, run.page)?;
            let Some(index) = table.first_not_empty(span) else { break };
            let entry = table.load(index);
            drop(table);
            self.inspect(range, census, entry, run.level, run.gpa_of(index))?;
            rest = span.behind(index);
        }
        Some(())
    }

    /// Whether a leaf differs from a new one in what it says of writes while these are logged, and of accesses while
    /// pages are aged, alone.
    #[inline(never)]
    fn is_clean_or_old<F: Format>(&self, entry: Entry<F>, leaf: Entry<F>) -> bool {
        let is_closed = self.marks_writes() || entry.word() & (F::GATE | F::HARDWARE_OPENS) == 0;
        let may_be_clean = self.is_logged() && (is_closed || entry.is_dirty());
        LOGS && entry.dirtied().used() == leaf
            && (may_be_clean || entry.used() == leaf)
            && (entry.is_young() || self.is_aged())
    }

    #[inline(never)]
    fn inspect<F: Format>(
        &self,
        range: GpaRange,
        census: &mut Census,
        entry: Entry<F>,
        level: Level,
        gpa: Gpa,
    ) -> Option<()> {
        let written = match entry.state(level.get()) {
            State::Empty => return Some(()),
            State::Table => {
                let written = Entry::table(entry.address()).with_occupancy(entry.occupancy());
                let seen = if AGES && self.is_aged() { entry.used_table() } else { entry };
                return (seen == written).then_some(());
            }
            State::HiddenTable if HIDES => {
                let hidden = entry.shown_table().hidden_table();
                // Under a lock of the host's a fault may be about to show it.
                return (entry == hidden || entry == hidden.opening()).then_some(());
            }
            State::Leaf => {
                let attributes = entry.attributes(self.features);
                let (owned, address) = (entry.is_owned(), entry.address());
                let leaf =
                    Entry::leaf_template(attributes, self.features, level.get(), owned).ok()?;
                if address.offset(level) != 0
                    || !self.host.is_in_width(address.bits(), level.size())
                {
                    return None;
                }
                census.add_page(level, owned);
                let leaf = leaf.at(address);
                if entry != leaf && self.is_clean_or_old(entry, leaf) { entry } else { leaf }
            }
            State::Hidden if HIDES => {
                self.inspect_hidden(census, entry, level)?;
                entry
            }
            State::Note if HIDES => Entry::note(entry.cookie()).with_tag(entry.tag()),
            State::Reserved if entry.is_provided() => {
                Entry::provided(entry.reservation(), entry.provider())
            }
            State::Reserved => Entry::reserved(entry.reservation()),
            State::Trap => Entry::trap(entry.cookie()).with_tag(entry.tag()),
            _ => return None,
        };
        if entry.tag().get().wrapping_shr(F::tag_bits(self.features)) != 0 {
            return None;
        }
        (entry == written && range.holds_entry(gpa, level)).then_some(())
    }
}
