// SPDX-License-Identifier: MIT OR Apache-2.0
//! Merging: a table whose entries all say what one entry of the level above can say goes, and that entry takes
//! its place. The reverse of [`super::split`].
//!
//! The entry that points to the table becomes a dead one, up to 32 of them; they are flushed once; then the
//! larger entries are written and the tables go back. That is break-before-make where the architecture asks for it.
//! Elsewhere it saves a list of tables, and what hardware writes to leaves is final after the flush. Guests that
//! touch the range meanwhile retry.

use super::arch::{Format, FormatId};
use super::entry::{Entry, State};
use super::reap::following;
use super::sweep::{Run, Step};
use super::table::{Broken, Table};
use super::units::{ENTRIES, Gpa, GpaRange, Hpa, Index, Level, Span};
use super::work::Work;
use super::{LOGS, NestedPageTable, add};
use crate::abi::{AXAS_FLUSH_BREAK, AXAS_SCOPE_ALL};
use crate::addr::Bits;
use crate::error::{Error, Result};
use crate::flags::{Attributes, Permissions};
use crate::hal::{FlushRequest, Purpose, publish_tables};
use crate::sync::{Defect, planted};

/// Tables that one flush is for, at most.
const MOST: u32 = 32;

/// What a merge makes.
#[derive(Clone, Copy)]
pub(crate) struct Merge {
    /// The largest leaves.
    pub(crate) most: Level,
    /// Executable leaves stay small.
    pub(crate) small_exec: bool,
    /// Scattered pages of the library are copied into a frame of 2 MiB.
    pub(crate) copies: bool,
}

/// What becomes of a table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Plan {
    Stays,
    /// One entry says the same.
    Goes,
    /// One entry would, if its pages lay side by side.
    Moves,
}

/// Where an entry stands that points to a table.
#[derive(Clone, Copy)]
struct Place {
    page: Hpa,
    index: Index,
    gpa: Gpa,
    table: Hpa,
}

/// Tables that were detached, and where to go on.
struct Detached {
    count: u32,
    /// From the first to the last of them.
    range: GpaRange,
    /// A table whose pages are to be moved before it goes, behind all of them.
    moves: Option<Place>,
    next: Gpa,
}

impl NestedPageTable {
    /// Merges the tables that lie in `[start, part.end)` whole and end in a part of it, smaller ones first. Those that
    /// went are counted in `merges`. Returns the part.
    #[inline(never)]
    pub(crate) fn merge<F: Format>(
        &self,
        work: &mut Work,
        start: Gpa,
        part: GpaRange,
        how: Merge,
    ) -> Result<GpaRange> {
        let mut level = Level::LARGE;
        while level <= self.levels {
            let mut rest = GpaRange::new(part.start.base(level).max(start), part.end);
            while !rest.is_empty() {
                let next = self.merge_some::<F>(work, rest, level, how);
                rest = rest.from(next.ok_or(Error::BadState)?);
            }
            level = level.up();
        }
        Ok(part)
    }

    /// Merges tables that entries of a level point to, as many as one flush is for; where to go on.
    #[inline(never)]
    fn merge_some<F: Format>(
        &self,
        work: &mut Work,
        range: GpaRange,
        level: Level,
        how: Merge,
    ) -> Option<Gpa> {
        let nothing = GpaRange::new(range.start, range.start);
        let mut batch = Detached { count: 0, range: nothing, moves: None, next: range.end };
        let detached = self.detach_tables::<F>(work, range, level, how, &mut batch);
        if batch.count != 0 {
            self.flush_detached::<F>(batch.range);
            // What is dead must not stay so where the host fails to reach a table for once.
            self.make_entries::<F>(work, batch.range, level)
                .or_else(|| self.make_entries::<F>(work, batch.range, level))?;
            publish_tables();
            self.announce::<F>(batch.range);
        }
        detached?;
        if let Some(place) = batch.moves {
            self.move_pages::<F>(&place)?;
        }
        Some(batch.next)
    }

    /// Makes the entries dead that point to tables which go.
    #[inline(never)]
    fn detach_tables<F: Format>(
        &self,
        work: &mut Work,
        range: GpaRange,
        level: Level,
        how: Merge,
        batch: &mut Detached,
    ) -> Option<()> {
        work.sweep.begin(self, range);
        while let Some(table) = self.next_table_at::<F>(work, level)? {
            let Run { page, span, gpa, .. } = work.sweep.run;
            work.sweep.skip(self);
            let index = span.first;
            let is_whole = range.holds_entry(gpa, level);
            let plan =
                if is_whole { self.plan_merge::<F>(table, level, how)? } else { Plan::Stays };
            if plan == Plan::Stays {
                continue;
            }
            if plan == Plan::Moves {
                batch.moves = Some(Place { page, index, gpa, table });
                batch.next = gpa.end(level);
                break;
            }
            self.set(page, index, Entry::<F>::table(table).dead_table())?;
            let first = if batch.count == 0 { gpa } else { batch.range.start };
            batch.range = GpaRange::new(first, gpa.end(level));
            batch.count = batch.count.wrapping_add(1);
            if batch.count == MOST {
                batch.next = gpa.end(level);
                break;
            }
        }
        Some(())
    }

    /// Has hardware forget tables that were detached.
    #[inline(never)]
    fn flush_detached<F: Format>(&self, range: GpaRange) {
        let mut request = FlushRequest::new(range);
        request.add_table();
        self.issue::<F>(request, AXAS_FLUSH_BREAK, AXAS_SCOPE_ALL);
        self.begin_reaping();
    }

    /// Puts larger entries in the places of dead ones, and gives back the tables that these name.
    #[inline(never)]
    fn make_entries<F: Format>(
        &self,
        work: &mut Work,
        range: GpaRange,
        level: Level,
    ) -> Option<()> {
        work.sweep.begin(self, range);
        loop {
            let step = work.sweep.step::<F>(self, &Broken::NONE)?;
            let run = work.sweep.run;
            match step {
                Step::End => return Some(()),
                Step::Entries if run.level == level => self.make_run::<F>(&run)?,
                Step::Entries => {}
                Step::Table(table) | Step::Hidden(table) if run.level > level => {
                    work.sweep.enter(self, run.gpa, table)?;
                }
                Step::Table(_) | Step::Hidden(_) => work.sweep.skip(self),
            }
        }
    }

    #[inline(never)]
    fn make_run<F: Format>(&self, run: &Run) -> Option<()> {
        for index in run.span.indices() {
            let entry = self.entry::<F>(run.page, index)?;
            if entry.state(run.level.get()) == State::DeadTable {
                let table = entry.address();
                let made = self.merged::<F>(table, run.level)?;
                self.set(run.page, index, made)?;
                if made.is_page() {
                    self.discount_leaves(run.level.down(), ENTRIES as u64);
                    self.count_leaves(run.level, 1);
                }
                self.give_table(table);
                add(&self.merges, 1);
            }
        }
        Some(())
    }

    /// The entry of a level that says what a table says. While writes are logged one leaf that is dirty makes all of it
    /// dirty; while pages age one that is young makes all of it young.
    #[inline(never)]
    fn merged<F: Format>(&self, page: Hpa, level: Level) -> Option<Entry<F>> {
        let table = Table::<F>::reach(self, page)?;
        let first = table.load(Index::FIRST);
        let mut merged = first.merged(level.get());
        if (self.is_logged() || self.is_aged()) && first.is_hardware_visible() {
            let (mut young, mut is_dirty) = (0, false);
            let span =
                if planted(Defect::MergedDirt) { Span::one(Index::FIRST) } else { Span::ALL };
            table.for_each(span, |entry| {
                young |= entry.word() & F::YOUNG;
                is_dirty |= entry.is_dirty();
            });
            merged = Entry::from_word(merged.word() | young);
            if is_dirty {
                merged = merged.dirtied();
            }
        }
        Some(merged)
    }

    /// What becomes of a table that an entry of a level points to.
    #[inline(never)]
    fn plan_merge<F: Format>(&self, page: Hpa, level: Level, how: Merge) -> Option<Plan> {
        let below = level.down();
        let table = Table::<F>::reach(self, page)?;
        let first = table.load(Index::FIRST);
        let most = match first.state(below.get()) {
            State::Trap | State::Note => Level::HIGHEST,
            State::Reserved => {
                let reservation = first.reservation();
                // A fault takes as large a page as the reservation allows.
                let is_allowed =
                    how.largest(reservation.attributes()).get() >= reservation.largest();
                if is_allowed { Level::HIGHEST } else { Level::PAGE }
            }
            State::Leaf | State::Hidden => {
                let attributes = first.attributes(self.features);
                let is_executable = attributes.permissions.contains(Permissions::EXECUTE);
                if self.small_exec && is_executable { Level::PAGE } else { how.largest(attributes) }
            }
            _ => Level::PAGE,
        };
        if level > most {
            return Some(Plan::Stays);
        }
        let is_aligned = !first.is_page() || first.address().offset(level) == 0;
        let step = first.step(below.size());
        let alike = following(table.slots(Span::ALL), first.word(), step);
        if is_aligned && (alike == ENTRIES || table.is_alike_but_for_use(first, step)) {
            return Some(Plan::Goes);
        }
        let moves = how.copies
            && level == Level::LARGE
            && first.is_hardware_visible()
            && first.is_owned()
            && table.has_attributes_of(first);
        Some(if moves { Plan::Moves } else { Plan::Stays })
    }

    /// Copies the pages of a table of 4 KiB pages into one frame of 2 MiB, which takes their place; nothing happens where
    /// the host has no such frame, or does not let a page go.
    #[inline(never)]
    fn move_pages<F: Format>(&self, place: &Place) -> Option<()> {
        let level = Level::LARGE;
        let Ok(frame) = self.take_frame(level, Purpose::Guest) else { return Some(()) };
        let may_move = self.may_move::<F>(place);
        if may_move != Some(true) {
            self.give_guest(frame, level);
            return may_move.map(|_| ());
        }
        let range = GpaRange::new(place.gpa, place.gpa.end(level));
        let dead = Entry::<F>::table(place.table).dead_table();
        let copied = self.set(place.page, place.index, dead).and_then(|()| {
            self.flush_detached::<F>(range);
            self.copy_pages::<F>(place.table, frame)
        });
        let moved = copied.and_then(|()| self.exchange_pages::<F>(place, frame));
        if moved.is_none() {
            // The pages are where they were.
            let table = Entry::<F>::full_table(place.table);
            let back = self.set(place.page, place.index, table);
            back.or_else(|| self.set(place.page, place.index, table));
            self.give_guest(frame, level);
        }
        publish_tables();
        self.announce::<F>(range);
        moved
    }

    /// Puts a frame with what was copied in the place of a table, and gives back the table and its pages.
    #[inline(never)]
    fn exchange_pages<F: Format>(&self, place: &Place, frame: Hpa) -> Option<()> {
        let level = Level::LARGE;
        let merged = self.merged::<F>(place.table, level)?;
        // From the store on nothing may fail.
        let table = Table::<F>::reach(self, place.table)?;
        let leaf = Entry::<F>::from_word(merged.word_without_address()).at(frame);
        self.set(place.page, place.index, leaf)?;
        table.for_each(Span::ALL, |page| self.give_guest(page.address(), level.down()));
        drop(table);
        self.discount_leaves(level.down(), ENTRIES as u64);
        self.count_leaves(level, 1);
        self.give_table(place.table);
        add(&self.merges, 1);
        Some(())
    }

    /// Whether the host lets each page of a table go.
    #[inline(never)]
    fn may_move<F: Format>(&self, place: &Place) -> Option<bool> {
        let mut gpa = place.gpa;
        for index in Span::ALL.indices() {
            let hpa = self.entry::<F>(place.table, index)?.address();
            if !self.host.may_move(gpa, hpa) {
                return Some(false);
            }
            gpa = gpa.end(Level::PAGE);
        }
        Some(true)
    }

    /// Copies the pages of a table, which no CPU reaches, side by side.
    #[inline(never)]
    fn copy_pages<F: Format>(&self, table: Hpa, frame: Hpa) -> Option<()> {
        let attributes = self.entry::<F>(table, Index::FIRST)?.attributes(self.features);
        let is_past_caches = self.features.cleans_guest::<F>(attributes);
        let is_coherent = matches!(F::ID, FormatId::Ept | FormatId::Npt);
        let is_code = attributes.permissions.contains(Permissions::EXECUTE) && !is_coherent;
        let mut to = frame;
        for index in Span::ALL.indices() {
            let from = self.entry::<F>(table, index)?.address();
            if is_past_caches {
                // What the caches have of it may be older than what the guest wrote.
                self.host.clean_frame(from, 0).ok()?;
            }
            self.host.copy_page(from, to).ok()?;
            to = to.page(1);
        }
        if is_past_caches || is_code {
            self.host.clean_frame(frame, Level::LARGE.order()).ok()?;
        }
        Some(())
    }
}

impl Merge {
    /// The largest level of leaves with such attributes.
    fn largest(self, attributes: Attributes) -> Level {
        let is_executable = attributes.permissions.contains(Permissions::EXECUTE);
        if is_executable && self.small_exec { Level::PAGE } else { self.most }
    }
}

impl<F: Format> Table<'_, F> {
    /// Whether all entries map what follows in host memory in the same way; all are clean or all dirty, and they may be
    /// old or young.
    #[inline(never)]
    fn is_alike_but_for_use(&self, first: Entry<F>, step: u64) -> bool {
        let (mut expected, mut is_alike) = (first, LOGS && first.is_hardware_visible());
        self.for_each(Span::ALL, |entry| {
            is_alike &= entry.same_as(expected) && entry.is_dirty() == first.is_dirty();
            expected = Entry::from_word(expected.word().wrapping_add(step));
        });
        is_alike
    }

    /// Whether all entries are pages that differ from the first in their addresses, and in how they were used, as above.
    #[inline(never)]
    fn has_attributes_of(&self, first: Entry<F>) -> bool {
        let mut has = true;
        self.for_each(Span::ALL, |entry| {
            let same = entry.word() & !F::address_field(F::address(entry.word()))
                | F::address_field(first.address().bits());
            has &=
                Entry::<F>::from_word(same).same_as(first) && entry.is_dirty() == first.is_dirty();
        });
        has
    }
}
