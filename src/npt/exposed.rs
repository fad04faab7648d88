// SPDX-License-Identifier: MIT OR Apache-2.0
//! Leaves that cover tables of their own space: the guest could write its own translation.
//!
//! A map cannot know: whether a page of the host is a table of the space is not in the page. So audit
//! looks afterwards: it gathers tables, lowest address first, in as many runs as fit, goes over all
//! leaves, and goes on with the tables behind. Where tables stand side by side one round does.

use super::NestedPageTable;
use super::arch::Format;
use super::entry::Way;
use super::sweep::{Run, Step, Sweep};
use super::table::{Broken, Table};
use super::units::Level;
use crate::addr::{Bits, PAGE_SIZE};

/// A call has little stack.
const MOST_RUNS: usize = 16;

/// Host memory `[start, end)` in which tables stand.
#[derive(Clone, Copy)]
struct TableRun {
    start: u64,
    end: u64,
}

/// The tables of one round, in order and apart from each other.
struct Gathered {
    runs: [TableRun; MOST_RUNS],
    count: usize,
    /// Tables below were dealt with in earlier rounds.
    from: u64,
    /// Tables from here on are left to later rounds.
    limit: u64,
}

impl TableRun {
    const NOWHERE: Self = Self { start: 0, end: 0 };
}

impl Gathered {
    /// Nothing yet.
    fn new() -> Self {
        Self { runs: [TableRun::NOWHERE; MOST_RUNS], count: 0, from: 0, limit: u64::MAX }
    }

    /// Begins anew behind the tables that were gathered, if any were left.
    fn goes_on(&mut self) -> bool {
        self.count = 0;
        self.from = core::mem::replace(&mut self.limit, u64::MAX);
        self.from != u64::MAX
    }

    fn runs(&self) -> &[TableRun] {
        self.runs.get(..self.count).unwrap_or(&[])
    }

    /// Adds the page at an address.
    fn add(&mut self, page: u64) {
        if page < self.from || page >= self.limit {
            return;
        }
        let end = page.wrapping_add(PAGE_SIZE);
        let place = self.runs().partition_point(|run| run.end < page);
        match self.runs.get_mut(place).filter(|_| place < self.count) {
            Some(run) if run.start <= end => {
                run.start = run.start.min(page);
                run.end = run.end.max(end);
                self.join(place);
            }
            _ => self.insert(place, TableRun { start: page, end }),
        }
    }

    /// Makes one run of two that touch now.
    fn join(&mut self, place: usize) {
        let behind = self.runs.get_mut(place..self.count).unwrap_or(&mut []);
        let [run, rest @ ..] = behind else { return };
        let Some(next) = rest.first().filter(|next| run.end >= next.start) else { return };
        run.end = next.end;
        let from_behind = rest.iter_mut().rev();
        from_behind.fold(TableRun::NOWHERE, |after, slot| core::mem::replace(slot, after));
        self.count = self.count.wrapping_sub(1);
    }

    /// Puts a run at its place; if there is no room, the last one is left to the next round.
    fn insert(&mut self, place: usize, run: TableRun) {
        if self.count < MOST_RUNS {
            self.count = self.count.wrapping_add(1);
        } else {
            let last = if place < MOST_RUNS { self.runs.last().copied() } else { Some(run) };
            self.limit = last.map_or(self.limit, |last| last.start);
        }
        let behind = self.runs.get_mut(place..self.count).unwrap_or(&mut []);
        behind.iter_mut().fold(run, |before, slot| core::mem::replace(slot, before));
    }

    /// Whether a table stands in `[start, start + bytes)`.
    fn is_in(&self, start: u64, bytes: u64) -> bool {
        let end = start.saturating_add(bytes);
        let runs = self.runs();
        match (runs.first(), runs.last()) {
            // Most leaves lie outside of what one round gathers.
            (Some(first), Some(last)) if first.start < end && start < last.end => {
                let place = runs.partition_point(|run| run.end <= start);
                runs.get(place).is_some_and(|run| run.start < end)
            }
            _ => false,
        }
    }
}

impl NestedPageTable {
    /// That no leaf covers a table of the space.
    #[inline(never)]
    pub(super) fn check_unexposed<F: Format>(&self) -> Option<()> {
        let mut gathered = Gathered::new();
        let mut rounds = 0_u64;
        loop {
            self.gather_tables::<F>(&mut gathered)?;
            self.check_leaves::<F>(&gathered)?;
            if !gathered.goes_on() {
                return Some(());
            }
            // Each round has a table of its own, whatever is written to tables meanwhile.
            rounds = rounds.wrapping_add(1);
            if rounds > self.table_count() {
                return None;
            }
        }
    }

    #[inline(never)]
    fn gather_tables<F: Format>(&self, gathered: &mut Gathered) -> Option<()> {
        for page in 0..self.root_pages() {
            gathered.add(self.root.page(page).bits());
        }
        let mut sweep = Sweep::nowhere();
        sweep.begin_look(self, self.whole());
        loop {
            match sweep.step::<F>(self, &Broken::NONE)? {
                Step::Entries => {}
                Step::Table(table) | Step::Hidden(table) => {
                    gathered.add(table.bits());
                    if sweep.run.level > Level::LARGE {
                        sweep.enter(self, sweep.run.gpa, table)?;
                    } else {
                        sweep.skip(self);
                    }
                }
                Step::End => return Some(()),
            }
        }
    }

    #[inline(never)]
    fn check_leaves<F: Format>(&self, gathered: &Gathered) -> Option<()> {
        let mut sweep = Sweep::nowhere();
        sweep.begin_look(self, self.whole());
        while sweep.next::<F>(self, &Broken::NONE)? {
            if self.exposes::<F>(&sweep.run, gathered)? {
                return None;
            }
        }
        Some(())
    }

    /// Whether a leaf of a run covers a table.
    fn exposes<F: Format>(&self, run: &Run, gathered: &Gathered) -> Option<bool> {
        let mut exposes = false;
        Table::<F>::reach(self, run.page)?.for_each(run.span, |entry| {
            // A fault may have put a table there since the sweep came by.
            let is_leaf = entry.is_page() && entry.way(run.level.get()) == Way::Ends;
            exposes |= is_leaf && gathered.is_in(entry.address().bits(), run.level.size());
        });
        Some(exposes)
    }
}
