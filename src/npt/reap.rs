// SPDX-License-Identifier: MIT OR Apache-2.0
//! What no CPU can reach any more: frames and tables go back to the host, linear pages are reported to it.

use super::arch::Format;
use super::entry::{Entry, Names};
use super::sweep::Run;
use super::table::{Broken, Table};
use super::units::{Gpa, GpaRange, Hpa, Index, Level, Span};
use super::work::Work;
use super::{NestedPageTable, subtract};
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
    /// An entry that waits for what takes its place.
    Busy,
}

impl Remains {
    fn of<F: Format>(self, entry: Entry<F>) -> Entry<F> {
        match self {
            Self::Nothing => Entry::EMPTY,
            Self::Reservation => Entry::reserved(entry.reservation()),
            Self::Busy => Entry::busy(),
        }
    }
}

/// Neighbouring entries that name frames side by side, or one that names a table.
#[derive(Clone, Copy)]
pub(super) struct Found {
    /// The first of them.
    word: u64,
    index: Index,
    /// How many; 0 where nothing more was found.
    count: u16,
    is_table: bool,
}

/// What is found while a window is open and dealt with after it closed.
pub(super) type Batch = [Found; 4];

/// How far entries were given back.
struct Reached {
    /// What comes next: a table that an entry names which begins here, or the next entry.
    gpa: Gpa,
    table: Option<Hpa>,
}

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
    /// Takes the entries of a range that are dead or pending and gives back what they name, in the order of
    /// addresses. A table that goes has nothing outside of the range, unless it goes `whole`.
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
            let mut run = work.sweep.run;
            let (level, stop) = (run.level, work.sweep.gpa());
            while run.gpa < stop {
                let Reached { gpa, table } = self.release_run::<F>(work, &run, Some(remains))?;
                run.gpa = gpa;
                if let Some(page) = table {
                    run.gpa = gpa.end(level);
                    let all = GpaRange::new(gpa, run.gpa);
                    let part = if whole { all } else { range.part(gpa, level) };
                    self.release_below::<F>(work, page, level.down(), part)?;
                }
                if run.gpa < stop {
                    run.span = run.span.from(run.gpa.index(level));
                }
            }
        }
        Some(())
    }

    /// Gives back a table that no walker sees, with everything below it: what hangs on an entry before
    /// the entry's table. Only entries of `range` are occupied, of which a part lies in the table.
    #[inline(never)]
    fn release_below<F: Format>(
        &self,
        work: &mut Work,
        page: Hpa,
        top: Level,
        range: GpaRange,
    ) -> Option<()> {
        work.path.set(top, page);
        let (mut gpa, mut level) = (range.start, top);
        loop {
            let span = range.from(gpa).part(gpa, level.up()).span(level);
            let run = Run { page: work.path.get(level), level, span, gpa };
            let reached = self.release_run::<F>(work, &run, None)?;
            gpa = reached.gpa.max(range.start);
            if let Some(page) = reached.table {
                level = level.down();
                work.path.set(level, page);
                continue;
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

    /// Gives back what entries at the beginning of a run name, up to one that names a table.
    #[inline(never)]
    fn release_run<F: Format>(
        &self,
        work: &mut Work,
        run: &Run,
        remains: Option<Remains>,
    ) -> Option<Reached> {
        let Work { batch, releases, .. } = work;
        let rest = self.read_run::<F>(run, remains, releases.are_wanted, batch)?;
        for found in batch {
            if found.count == 0 {
                break;
            }
            let (entry, gpa) = (Entry::<F>::from_word(found.word), run.gpa_of(found.index));
            if found.is_table {
                return Some(Reached { gpa, table: Some(entry.address()) });
            }
            self.release_leaves(releases, entry, run.level, gpa, found.count.into());
        }
        let gpa = match rest {
            Some(span) => run.gpa_of(span.first),
            None => run.gpa_of(run.span.last).end(run.level),
        };
        Some(Reached { gpa, table: None })
    }

    /// Finds what entries at the beginning of a run name; what is left of the run. In a table that stays, which is
    /// where something `remains`, only entries that are dead or pending name something, and are taken. In one that
    /// no walker sees, linear leaves that are not reported are discounted.
    ///
    /// Most tables hold runs, so that entries are looked at eight at a time: whether they follow from the first of
    /// them.
    #[inline(never)]
    fn read_run<F: Format>(
        &self,
        run: &Run,
        remains: Option<Remains>,
        reports: bool,
        batch: &mut Batch,
    ) -> Option<Option<Span>> {
        let level = run.level;
        let table = Table::<F>::reach(self, run.page)?;
        let (mut rest, mut leaves) = (Some(run.span), 0_u64);
        for found in batch {
            found.count = 0;
            while let Some(span) = rest
                && found.count == 0
            {
                let index = span.first;
                let entry = table.load(index);
                let names = entry.names(level.get());
                let is_table = names == Names::Table;
                let step = if names == Names::Frame { entry.address_step(level.size()) } else { 0 };
                let last = if is_table { index } else { followers(&table, span, step) };
                let count = Span::new(index, last).count() as u16;
                rest = span.behind(last);
                if names == Names::Nothing || remains.is_some() && entry.is_hardware_visible() {
                    continue;
                }
                if names == Names::Corrupt {
                    return None;
                }
                if entry.is_linear_leaf(level.get()) && !reports {
                    leaves = leaves.wrapping_add(count.into());
                    continue;
                }
                if let Some(remains) = remains {
                    let left = remains.of(entry).word();
                    for slot in table.slots(Span::new(index, last)) {
                        slot.store(left, Ordering::Relaxed);
                    }
                    table.clean(Span::new(index, last));
                }
                *found = Found { word: entry.word(), index, count, is_table };
            }
            if found.is_table {
                break;
            }
        }
        drop(table);
        self.discount_leaves(level, leaves);
        Some(rest)
    }

    /// Gives back, or reports, what neighbouring leaves name that no walker sees.
    #[inline(always)]
    fn release_leaves<F: Format>(
        &self,
        releases: &mut Releases,
        first: Entry<F>,
        level: Level,
        gpa: Gpa,
        count: u64,
    ) {
        self.discount_leaves(level, count);
        if first.is_owned() {
            subtract(&self.counts.guest, count.wrapping_shl(level.order()));
            for number in 0..count {
                let offset = number.wrapping_shl(level.shift());
                self.give_guest(first.address().plus(offset), level);
            }
        } else {
            releases.push(self, first, level, gpa, count);
        }
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
pub(super) fn followers<F: Format>(table: &Table<'_, F>, span: Span, step: u64) -> Index {
    let first = table.load(span.first);
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
