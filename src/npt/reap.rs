// SPDX-License-Identifier: MIT OR Apache-2.0
//! Giving back what no CPU can reach any more: frames, tables, and word of linear pages to the host.

use super::arch::Format;
use super::entry::{Entry, State};
use super::sweep::Run;
use super::table::{Broken, Table};
use super::units::{Gpa, GpaRange, Hpa, Index, Level, Span};
use super::work::Work;
use super::{NestedPageTable, add, subtract};
use crate::abi::*;
use crate::addr::Bits;
use crate::hal::Host;
use crate::sync::{AtomicU64, Ordering};

/// What remains of an entry that goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remains {
    Nothing,
    /// What a dead or pending entry carries.
    Reservation,
}

/// Entries that are read while a window is open and dealt with after it closed.
pub(super) type Batch = [u64; 8];

/// Linear pages that are gone, reported to `released` in merged runs.
pub(super) struct Releases {
    are_wanted: bool,
    /// Host address less guest address of pages that are mapped again: of those the host is told nothing.
    kept_distance: Option<u64>,
    /// What the flags below are the flags of.
    attributes: u64,
    /// The run in hand; of size 0: there is none.
    run: axas_mapping_t,
}

impl Releases {
    /// None wanted.
    pub(super) const fn none() -> Self {
        Self { are_wanted: false, kept_distance: None, attributes: 0, run: axas_mapping_t::NOTHING }
    }

    /// Begins anew.
    pub(super) fn begin(&mut self, are_wanted: bool, kept_distance: Option<u64>) {
        (self.are_wanted, self.kept_distance, self.run.size) = (are_wanted, kept_distance, 0);
    }

    /// Reports neighbouring leaves of a level, of which this is the first.
    #[inline(always)]
    fn push<F: Format>(
        &mut self,
        npt: &NestedPageTable,
        first: Entry<F>,
        level: Level,
        gpa: Gpa,
        count: u64,
    ) {
        let hpa = first.address();
        if !self.are_wanted || self.kept_distance == Some(gpa.distance_to(hpa)) {
            return;
        }
        let attributes = first.word_without_address();
        let bytes = count.wrapping_shl(level.shift());
        let run = &mut self.run;
        if attributes == self.attributes && run.size != 0 && run.level == level.get() {
            let (size, next) = (run.size, run.size.wrapping_add(bytes));
            if run.gpa.wrapping_add(size) == gpa.bits() && run.hpa.wrapping_add(size) == hpa.bits()
            {
                run.size = next;
                return;
            }
        }
        self.report(&npt.host);
        let run = &mut self.run;
        if attributes != self.attributes || run.flags == 0 {
            self.attributes = attributes;
            run.flags = first.attributes(npt.features).flags();
        }
        (run.gpa, run.hpa, run.size, run.level) = (gpa.bits(), hpa.bits(), bytes, level.get());
        run.state = AXAS_STATE_LINEAR;
    }

    /// Reports the run in hand. No window is open here.
    #[inline(always)]
    pub(super) fn report(&mut self, host: &Host) {
        if self.run.size != 0 {
            host.released(&self.run);
            self.run.size = 0;
        }
    }
}

impl NestedPageTable {
    /// Takes the entries of a range that are dead (or pending, where reservations remain) and gives back what
    /// they name, in the order of addresses. A table that goes has nothing outside of the range, unless it goes
    /// `whole`.
    #[inline(never)]
    pub(super) fn reap<F: Format>(
        &self,
        work: &mut Work,
        range: GpaRange,
        remains: Remains,
        whole: bool,
    ) -> Option<()> {
        work.sweep.begin(self, range);
        while work.sweep.next::<F>(self, &Broken::NONE)? {
            let run = work.sweep.run;
            let mut rest = Some(run.span);
            while let Some(span) = rest
                && let Some((dead, entry)) =
                    self.take_dead::<F>(run.page, run.level, span, remains)?
            {
                let gpa = run.gpa_of(dead.first);
                let level = run.level;
                if let State::DeadTable | State::PendingTable = entry.state(level.get()) {
                    let all = GpaRange::new(gpa, gpa.end(level));
                    let part = if whole { all } else { range.part(gpa, level) };
                    self.release_below::<F>(work, entry.address(), level.down(), part)?;
                } else {
                    self.release_leaves(work, entry, level, gpa, dead.count() as u64)?;
                }
                rest = span.behind(dead.last);
            }
        }
        Some(())
    }

    /// Takes the first dead entry of a span, with those behind it that name what follows in host memory; what
    /// it was.
    #[inline(never)]
    fn take_dead<F: Format>(
        &self,
        page: Hpa,
        level: Level,
        span: Span,
        remains: Remains,
    ) -> Option<Option<(Span, Entry<F>)>> {
        let table = Table::<F>::reach(self, page)?;
        let mut rest = Some(span);
        while let Some(span) = rest {
            let Some(index) = table.first_occupied(span, level) else { break };
            let entry = table.load(index);
            let left: Entry<F> = match (entry.state(level.get()), remains) {
                (State::DeadLeaf | State::DeadTable, Remains::Nothing) => Entry::EMPTY,
                (
                    State::DeadLeaf | State::DeadTable | State::Pending | State::PendingTable,
                    Remains::Reservation,
                ) => Entry::reserved(entry.reservation()),
                _ => {
                    rest = span.behind(index);
                    continue;
                }
            };
            let dead = if entry.is_dead_leaf() {
                Span::new(index, followers(&table, span.from(index), level))
            } else {
                Span::one(index)
            };
            for slot in table.slots(dead) {
                slot.store(left.word(), Ordering::Relaxed);
            }
            table.clean(dead);
            return Some(Some((dead, entry)));
        }
        Some(None)
    }

    /// Gives back, or reports, what neighbouring leaves name that no walker sees.
    #[inline(never)]
    pub(super) fn release_leaves<F: Format>(
        &self,
        work: &mut Work,
        first: Entry<F>,
        level: Level,
        gpa: Gpa,
        count: u64,
    ) -> Option<()> {
        if !first.names_frame(level.get()) {
            return None;
        }
        self.discount_leaves(level, count);
        if first.is_owned() {
            subtract(&self.counts.guest, count.wrapping_shl(level.order()));
            for number in 0..count {
                let offset = number.wrapping_shl(level.shift());
                self.give_guest(first.address().plus(offset), level);
            }
        } else {
            work.releases.push(self, first, level, gpa, count);
        }
        Some(())
    }

    /// Gives back a table that no walker sees, with everything below it: what hangs on an entry before
    /// the entry's table. Only entries of `range` are occupied, of which a part lies in the table.
    #[inline(never)]
    pub(super) fn release_below<F: Format>(
        &self,
        work: &mut Work,
        page: Hpa,
        top: Level,
        range: GpaRange,
    ) -> Option<()> {
        work.path.set(top, page);
        let (mut gpa, mut level) = (range.start, top);
        loop {
            let page = work.path.get(level);
            let part = range.from(gpa).part(gpa, level.up());
            let run = Run { page, level, span: part.span(level), gpa };
            match self.next_named::<F>(&run, work.releases.are_wanted)? {
                None => gpa = part.end,
                Some((found, entry)) if level == Level::PAGE && entry.is_owned_page() => {
                    let run = Run {
                        span: run.span.from(found.first),
                        gpa: run.gpa_of(found.first),
                        ..run
                    };
                    gpa = run.gpa.plus(self.release_pages::<F>(&run, &mut work.batch)?);
                }
                Some((found, entry)) => {
                    let base = run.gpa_of(found.first);
                    if let State::Table | State::DeadTable = entry.state(level.get()) {
                        level = level.down();
                        work.path.set(level, entry.address());
                        gpa = base.max(range.start);
                        continue;
                    }
                    let count = found.count() as u64;
                    self.release_leaves(work, entry, level, base, count)?;
                    gpa = base.plus(count.wrapping_shl(level.shift()));
                }
            }
            while gpa >= range.end || gpa.is_aligned(level.up()) {
                // Damaged tables may name one table twice.
                if self.table_count() <= self.root_pages() {
                    return None;
                }
                self.give_table(work.path.get(level));
                if level == top {
                    return Some(());
                }
                level = level.up();
            }
        }
    }

    /// Gives back the library's pages at the beginning of a run of level 1; how many bytes that is.
    #[inline(never)]
    fn release_pages<F: Format>(&self, run: &Run, batch: &mut Batch) -> Option<u64> {
        let mut pages = 0_u64;
        let mut rest = Some(run.span);
        while let Some(span) = rest {
            let table = Table::<F>::reach(self, run.page)?;
            let mut read = 0_usize;
            for (word, slot) in batch.iter_mut().zip(table.slots(span)) {
                *word = slot.load(Ordering::Relaxed);
                read = read.wrapping_add(1);
            }
            drop(table);
            let next = span.first.after(read).filter(|next| *next <= span.last);
            rest = next.map(|first| span.from(first));
            for word in batch.iter().take(read) {
                let entry = Entry::<F>::from_word(*word);
                if !entry.is_owned_page() {
                    rest = None;
                    break;
                }
                self.host.give(entry.address(), 0, crate::hal::Purpose::Guest);
                pages = pages.wrapping_add(1);
            }
        }
        self.discount_leaves(Level::PAGE, pages);
        subtract(&self.counts.guest, pages);
        add(&self.counts.released, pages);
        Some(pages.wrapping_mul(Level::PAGE.size()))
    }

    /// Goes over the entries of a run that no walker sees to the first that names a table or something to
    /// give back, or any leaf if linear ones are to be reported; with the leaves behind it that name what
    /// follows in host memory. Linear leaves that are not reported are discounted.
    ///
    /// Most tables hold runs, so that entries are looked at eight at a time: whether they go on as the entry
    /// before them did.
    #[inline(never)]
    fn next_named<F: Format>(&self, run: &Run, reports: bool) -> Option<Option<(Span, Entry<F>)>> {
        let level = run.level;
        let table = Table::<F>::reach(self, run.page)?;
        let leaf_step = F::address_field(level.size());
        let mut leaves = 0_u64;
        let mut found = None;
        let mut slots = table.slots(run.span);
        let (mut expected, mut step, mut leaves_of_eight) = (F::EMPTY, 0, 0_u64);
        while let [slot, behind @ ..] = slots {
            if let Some((eight, rest)) = slots.split_first_chunk::<8>()
                && let Some(next) = follows(eight, expected, step)
            {
                expected = next;
                leaves = leaves.wrapping_add(leaves_of_eight);
                slots = rest;
                continue;
            }
            let entry = Entry::<F>::from_word(slot.load(Ordering::Relaxed));
            let is_counted = !reports && entry.is_linear_leaf(level.get());
            if !is_counted && !entry.is_plain() {
                let index = run.span.last.before(behind.len());
                let last = if entry.is_linear_leaf(level.get()) {
                    followers(&table, run.span.from(index), level)
                } else {
                    index
                };
                found = Some((Span::new(index, last), entry));
                break;
            }
            leaves = leaves.wrapping_add(u64::from(is_counted));
            step = if is_counted { leaf_step } else { 0 };
            leaves_of_eight = if is_counted { 8 } else { 0 };
            expected = entry.word().wrapping_add(step);
            slots = behind;
        }
        self.discount_leaves(level, leaves);
        Some(found)
    }
}

/// The last of the neighbouring leaves, from the first of a span on, that name what follows in host memory with
/// the same attributes.
#[inline(never)]
pub(super) fn followers<F: Format>(table: &Table<'_, F>, span: Span, level: Level) -> Index {
    let first = table.load(span.first);
    let step = first.address_step(level.size());
    let mut expected = first.word();
    let mut last = span.first;
    for index in span.behind(span.first).into_iter().flat_map(Span::indices) {
        expected = expected.wrapping_add(step);
        if table.load(index).word() != expected {
            break;
        }
        last = index;
    }
    last
}

/// What comes after eight words at a distance of `step` from each other, if they are that, beginning with
/// `first`.
#[inline(always)]
fn follows(eight: &[AtomicU64; 8], first: u64, step: u64) -> Option<u64> {
    let mut expected = first;
    let mut difference = 0;
    // Not a loop: the compiler unrolls none where it looks for size.
    macro_rules! look_at {
        ($($slot:ident)*) => {$(
            difference |= $slot.load(Ordering::Relaxed) ^ expected;
            expected = expected.wrapping_add(step);
        )*};
    }
    let [a, b, c, d, e, f, g, h] = eight;
    look_at!(a b c d e f g h);
    (difference == 0).then_some(expected)
}
