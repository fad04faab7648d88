// SPDX-License-Identifier: MIT OR Apache-2.0
//! What no CPU can reach any more: frames and tables go back to the host, linear pages are reported to it.

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

/// What was taken from a table that stays.
struct Dead<F> {
    entry: Entry<F>,
    level: Level,
    /// The first address that it covered.
    gpa: Gpa,
    /// Leaves: how many there are, side by side.
    count: u64,
}

/// Entries that are read while a window is open and dealt with after it closed.
pub(super) type Batch = [u64; 8];

/// Linear pages that are gone, reported to `released` in merged runs.
pub(super) struct Releases {
    /// Host address less guest address of pages that are mapped again: of those the host is told nothing.
    kept_distance: u64,
    /// A leaf without its address that was reported last, and its flags.
    attributes: u64,
    flags: axas_flags_t,
    pub(super) are_wanted: bool,
    /// Entries are dead that name something.
    pub(super) has_dead: bool,
    /// The run in hand; of size 0: there is none.
    run: ReleasedRun,
}

#[derive(Clone, Copy)]
struct ReleasedRun {
    gpa: u64,
    hpa: u64,
    size: u64,
    flags: axas_flags_t,
    level: u32,
}

/// What no distance is between pages.
const NO_DISTANCE: u64 = 1;

impl Releases {
    /// None wanted.
    pub(super) const fn none() -> Self {
        let run = ReleasedRun { gpa: 0, hpa: 0, size: 0, flags: 0, level: 0 };
        let (are_wanted, has_dead) = (false, false);
        Self { kept_distance: NO_DISTANCE, attributes: 0, flags: 0, are_wanted, has_dead, run }
    }

    /// Begins anew.
    pub(super) fn begin(&mut self, are_wanted: bool, kept_distance: Option<u64>) {
        (self.are_wanted, self.has_dead) = (are_wanted, false);
        self.kept_distance = kept_distance.unwrap_or(NO_DISTANCE);
        self.run.size = 0;
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
        if !self.are_wanted || self.kept_distance == gpa.distance_to(hpa) {
            return;
        }
        let attributes = first.word_without_address();
        if attributes != self.attributes {
            self.attributes = attributes;
            self.flags = flags_of(npt, first);
        }
        let size = count.wrapping_shl(level.shift());
        let run = &mut self.run;
        if run.size != 0
            && run.gpa.wrapping_add(run.size) == gpa.bits()
            && run.hpa.wrapping_add(run.size) == hpa.bits()
            && (run.flags, run.level) == (self.flags, level.get())
        {
            run.size = run.size.wrapping_add(size);
            return;
        }
        self.report(&npt.host);
        let (gpa, hpa) = (gpa.bits(), hpa.bits());
        self.run = ReleasedRun { gpa, hpa, size, flags: self.flags, level: level.get() };
    }

    /// Reports the run in hand. No window is open here.
    #[inline(always)]
    pub(super) fn report(&mut self, host: &Host) {
        if self.run.size != 0 {
            self.report_run(host);
        }
    }

    #[inline(never)]
    fn report_run(&mut self, host: &Host) {
        let ReleasedRun { gpa, hpa, size, flags, level } = self.run;
        self.run.size = 0;
        host.released(&axas_mapping_t {
            gpa,
            size,
            hpa,
            flags,
            state: AXAS_STATE_LINEAR,
            level,
            ..axas_mapping_t::default()
        });
    }
}

/// The flags of a leaf.
#[cold]
#[inline(never)]
fn flags_of<F: Format>(npt: &NestedPageTable, leaf: Entry<F>) -> axas_flags_t {
    leaf.attributes(npt.features).flags()
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
        work.rest = None;
        while let Some(dead) = self.next_dead::<F>(work, remains)? {
            let Dead { entry, level, gpa, count } = dead;
            if let State::DeadTable | State::PendingTable = entry.state(level.get()) {
                let all = GpaRange::new(gpa, gpa.end(level));
                let part = if whole { all } else { range.part(gpa, level) };
                self.release_below::<F>(work, entry.address(), level.down(), part)?;
            } else {
                self.release_leaves(work, entry, level, gpa, count)?;
            }
        }
        Some(())
    }

    /// Takes what is dead next in a sweep; the work says what is left of the sweep's run.
    #[inline(always)] // For the stack.
    fn next_dead<F: Format>(&self, work: &mut Work, remains: Remains) -> Option<Option<Dead<F>>> {
        loop {
            let Some(span) = work.rest else {
                if !work.sweep.next::<F>(self, &Broken::NONE)? {
                    return Some(None);
                }
                work.rest = Some(work.sweep.run.span);
                continue;
            };
            let run = &work.sweep.run;
            let taken = self.take_dead::<F>(run.page, run.level, span, remains)?;
            let Some((dead, entry)) = taken else {
                work.rest = None;
                continue;
            };
            work.rest = span.behind(dead.last);
            let (level, gpa, count) = (run.level, run.gpa_of(dead.first), dead.count() as u64);
            return Some(Some(Dead { entry, level, gpa, count }));
        }
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
                Some((index, entry)) if level == Level::PAGE && entry.is_leaf(1) => {
                    let run = Run { span: run.span.from(index), gpa: run.gpa_of(index), ..run };
                    let bytes = if entry.is_owned() {
                        self.release_pages::<F>(&run, &mut work.batch)?
                    } else {
                        let pages = self.read_pages::<F>(&run, &mut work.batch)?;
                        self.report_pages::<F>(work, run.gpa);
                        pages.wrapping_mul(Level::PAGE.size())
                    };
                    if bytes == 0 {
                        // It was changed since it was read.
                        return None;
                    }
                    gpa = run.gpa.plus(bytes);
                }
                Some((index, entry)) => {
                    let base = run.gpa_of(index);
                    if let State::Table | State::DeadTable = entry.state(level.get()) {
                        level = level.down();
                        work.path.set(level, entry.address());
                        gpa = base.max(range.start);
                        continue;
                    }
                    self.release_leaves(work, entry, level, base, 1)?;
                    gpa = base.end(level);
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

    /// Reads linear pages at the beginning of a run of level 1, in runs of their own: the first entry of each, and
    /// how many there are. As many runs as there is room for, then 0; how many pages that is.
    #[inline(never)]
    fn read_pages<F: Format>(&self, run: &Run, batch: &mut Batch) -> Option<u64> {
        let step = F::address_field(Level::PAGE.size());
        let mut pages = 0_u64;
        let table = Table::<F>::reach(self, run.page)?;
        let mut slots = table.slots(run.span);
        let (pairs, _) = batch.as_chunks_mut::<2>();
        for [first, count] in pairs {
            *count = 0;
            let [slot, behind @ ..] = slots else { break };
            let entry = Entry::<F>::from_word(slot.load(Ordering::Relaxed));
            if !entry.is_linear_leaf(1) {
                break;
            }
            let followers = following(behind, entry.word().wrapping_add(step), step);
            (*first, *count) = (entry.word(), (followers as u64).wrapping_add(1));
            pages = pages.wrapping_add(*count);
            slots = behind.get(followers..).unwrap_or(&[]);
        }
        drop(table);
        self.discount_leaves(Level::PAGE, pages);
        Some(pages)
    }

    /// Reports the pages that were read, from an address on.
    #[inline(never)]
    fn report_pages<F: Format>(&self, work: &mut Work, gpa: Gpa) {
        let Work { batch, releases, .. } = work;
        let mut gpa = gpa;
        let (pairs, _) = batch.as_chunks::<2>();
        for [first, count] in pairs {
            if *count == 0 {
                break;
            }
            releases.push(self, Entry::<F>::from_word(*first), Level::PAGE, gpa, *count);
            gpa = gpa.plus(count.wrapping_mul(Level::PAGE.size()));
        }
    }

    /// Goes over the entries of a run that no walker sees to the first that names a table or something to
    /// give back, or any leaf if linear ones are to be reported. Linear leaves that are not reported are
    /// discounted.
    ///
    /// Most tables hold runs, so that entries are looked at eight at a time: whether they go on as the eight
    /// before them, or follow from the first of them.
    #[inline(never)]
    fn next_named<F: Format>(&self, run: &Run, reports: bool) -> Option<Option<(Index, Entry<F>)>> {
        let level = run.level;
        let table = Table::<F>::reach(self, run.page)?;
        let leaf_step = F::address_field(level.size());
        let counts = |entry: Entry<F>| !reports && entry.is_linear_leaf(level.get());
        let mut leaves = 0_u64;
        let mut found = None;
        let (mut expected, mut step, mut leaves_of_eight) = (F::EMPTY, 0, 0_u64);
        let mut slots = table.slots(run.span);
        while let Some((part, behind)) = first_eight(slots) {
            if let Ok(eight) = <&[AtomicU64; 8]>::try_from(part)
                && let Some(next) = follows(eight, expected, step)
            {
                expected = next;
                leaves = leaves.wrapping_add(leaves_of_eight);
                slots = behind;
                continue;
            }
            for (number, slot) in part.iter().enumerate() {
                let entry = Entry::<F>::from_word(slot.load(Ordering::Relaxed));
                let is_counted = counts(entry);
                if !is_counted && !entry.is_plain() {
                    let behind = slots.len().wrapping_sub(number).wrapping_sub(1);
                    found = Some((run.span.last.before(behind), entry));
                    break;
                }
                leaves = leaves.wrapping_add(u64::from(is_counted));
                step = if is_counted { leaf_step } else { 0 };
                leaves_of_eight = if is_counted { 8 } else { 0 };
                expected = entry.word().wrapping_add(step);
            }
            if found.is_some() {
                break;
            }
            slots = behind;
        }
        self.discount_leaves(level, leaves);
        Some(found)
    }
}

/// The first eight slots, or all where there are fewer, and those behind.
#[inline(always)]
fn first_eight(slots: &[AtomicU64]) -> Option<(&[AtomicU64], &[AtomicU64])> {
    match slots.split_first_chunk::<8>() {
        Some((eight, behind)) => Some((eight, behind)),
        None if slots.is_empty() => None,
        None => Some((slots, &[])),
    }
}

/// How many slots go on with `first`, each at a distance of `step` from the one before.
#[inline(always)]
fn following(slots: &[AtomicU64], first: u64, step: u64) -> usize {
    let (mut rest, mut expected, mut count) = (slots, first, 0_usize);
    while let [slot, behind @ ..] = rest {
        if slot.load(Ordering::Relaxed) != expected {
            break;
        }
        if let Some((eight, behind)) = rest.split_first_chunk::<8>()
            && let Some(next) = follows(eight, expected, step)
        {
            (rest, expected, count) = (behind, next, count.wrapping_add(8));
        } else {
            (rest, expected) = (behind, expected.wrapping_add(step));
            count = count.wrapping_add(1);
        }
    }
    count
}

/// The last of the neighbouring leaves, from the first of a span on, that name what follows in host memory with
/// the same attributes.
#[inline(never)]
pub(super) fn followers<F: Format>(table: &Table<'_, F>, span: Span, level: Level) -> Index {
    let first = table.load(span.first);
    let step = first.address_step(level.size());
    let Some(behind) = span.behind(span.first) else { return span.first };
    let count = following(table.slots(behind), first.word().wrapping_add(step), step);
    span.first.after(count).unwrap_or(span.last)
}

/// What comes after eight words at a distance of `step` from each other, if they are that, beginning with
/// `first`.
#[inline(always)]
fn follows(eight: &[AtomicU64; 8], first: u64, step: u64) -> Option<u64> {
    let mut expected = first;
    let mut differs = |slot: &AtomicU64| {
        let difference = slot.load(Ordering::Relaxed) ^ expected;
        expected = expected.wrapping_add(step);
        difference
    };
    let [a, b, c, d, e, f, g, h] = eight;
    let difference = differs(a)
        | differs(b)
        | differs(c)
        | differs(d)
        | differs(e)
        | differs(f)
        | differs(g)
        | differs(h);
    (difference == 0).then_some(expected)
}
