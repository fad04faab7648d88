// SPDX-License-Identifier: MIT OR Apache-2.0
//! What no CPU can reach any more: frames and tables go back to the host, linear pages are reported to it.

use super::arch::Format;
use super::entry::{Entry, Names};
use super::sweep::Run;
use super::table::{Broken, Table};
use super::units::{Gpa, GpaRange, Hpa, Level};
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

/// Entries that are read while a window is open and dealt with after it closed.
pub(super) type Batch = [u64; BATCH];
const BATCH: usize = 8;

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
    /// addresses. A table that goes has nothing outside of the range, unless it goes `whole`; what hangs on an entry
    /// goes before the entry's table.
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
            let (top, stop) = (run.level, work.sweep.gpa());
            // What a table that goes has of the range.
            let mut part = range;
            loop {
                let remains = (run.level == top).then_some(remains);
                let (mut gpa, table) = self.release_run::<F>(work, &run, remains)?;
                if let Some(page) = table {
                    if run.level == top {
                        let all = GpaRange::new(gpa, gpa.end(top));
                        part = if whole { all } else { range.part(gpa, top) };
                    }
                    run.level = run.level.down();
                    work.path.set(run.level, page);
                    gpa = gpa.max(part.start);
                } else {
                    while run.level < top && (gpa >= part.end || gpa.is_aligned(run.level.up())) {
                        // Damaged tables may name one table twice.
                        if self.linked_tables() <= self.root_pages() {
                            return None;
                        }
                        self.give_table(work.path.get(run.level));
                        run.level = run.level.up();
                    }
                }
                if run.level < top {
                    run.page = work.path.get(run.level);
                    run.span = part.from(gpa).part(gpa, run.level.up()).span(run.level);
                } else if gpa < stop {
                    let Run { page, span, .. } = work.sweep.run;
                    (run.page, run.span) = (page, span.from(gpa.index(top)));
                } else {
                    break;
                }
                run.gpa = gpa;
            }
        }
        Some(())
    }

    /// Gives back what entries at the beginning of a run name, up to one that names a table: where the next entry
    /// begins, and the table that it names, if it was come to. In a table that stays, which is where something
    /// `remains`, only entries that are dead or pending name something.
    #[inline(never)]
    fn release_run<F: Format>(
        &self,
        work: &mut Work,
        run: &Run,
        remains: Option<Remains>,
    ) -> Option<(Gpa, Option<Hpa>)> {
        let Work { batch, releases, .. } = work;
        let level = run.level;
        let count = self.read_run::<F>(run, remains, batch)?;
        // More than there is room for are a run, of which the first was read.
        let (read, each) = if count > BATCH { (1, count as u64) } else { (count, 1) };
        let (mut leaves, mut owned) = (0_u64, 0_u64);
        let (mut gpa, mut table) = (run.gpa.base(level), None);
        for word in batch.iter().take(read) {
            let entry = Entry::<F>::from_word(*word);
            if remains.is_none() || !entry.is_hardware_visible() {
                match entry.names(level.get()) {
                    Names::Nothing => {}
                    Names::Corrupt => return None,
                    Names::Table => {
                        table = Some(entry.address());
                        break;
                    }
                    Names::Frame if entry.is_owned() => {
                        owned = owned.wrapping_add(each);
                        self.give_frames(entry.address(), level, each);
                    }
                    Names::Frame => {
                        leaves = leaves.wrapping_add(each);
                        releases.push(self, entry, level, gpa, each);
                    }
                }
            }
            gpa = gpa.plus(each.wrapping_shl(level.shift()));
        }
        self.discount_leaves(level, leaves.wrapping_add(owned));
        subtract(&self.counts.guest, owned.wrapping_shl(level.order()));
        Some((gpa, table))
    }

    /// Gives back the frames of owned leaves that are neighbours.
    #[inline(always)]
    fn give_frames(&self, first: Hpa, level: Level, count: u64) {
        for number in 0..count {
            self.give_guest(first.plus(number.wrapping_shl(level.shift())), level);
        }
    }

    /// Reads entries at the beginning of a run; how many. If they are more than there is room for, they are a run of
    /// their own and only the first was read. What is dead or pending is taken in a table that stays, up to the
    /// first that names a table.
    #[inline(never)]
    fn read_run<F: Format>(
        &self,
        run: &Run,
        remains: Option<Remains>,
        batch: &mut Batch,
    ) -> Option<usize> {
        let level = run.level;
        let table = Table::<F>::reach(self, run.page)?;
        let slots = table.slots(run.span);
        let entry = table.load(run.span.first);
        let names = entry.names(level.get());
        let step = if names == Names::Frame { entry.address_step(level.size()) } else { 0 };
        if names != Names::Table {
            let alike = following(slots, entry.word(), step);
            if alike > BATCH {
                *batch.first_mut()? = entry.word();
                if let Some(remains) = remains
                    && entry.is_moving()
                {
                    table.overwrite(slots.get(..alike)?, remains.of(entry));
                }
                return Some(alike);
            }
        }
        let mut count = 0_usize;
        for (word, slot) in batch.iter_mut().zip(slots) {
            let entry = Entry::<F>::from_word(slot.load(Ordering::Relaxed));
            *word = entry.word();
            count = count.wrapping_add(1);
            if let Some(remains) = remains
                && entry.is_moving()
            {
                table.overwrite(core::slice::from_ref(slot), remains.of(entry));
                if entry.names(level.get()) == Names::Table {
                    break;
                }
            }
        }
        Some(count)
    }
}

/// How many slots follow from each other, each at a distance of `step` from the one before; the first has the
/// word `first`. Most tables hold runs, so that they are looked at eight at a time.
#[inline(never)]
fn following(slots: &[AtomicU64], first: u64, step: u64) -> usize {
    let (eights, _) = slots.as_chunks::<8>();
    let (mut expected, mut alike) = (first, 0_usize);
    let is = |slot: &AtomicU64, word: u64| slot.load(Ordering::Relaxed) == word;
    let after = |word: u64, steps: u64| word.wrapping_add(step.wrapping_mul(steps));
    for [a, b, c, d, e, f, g, h] in eights {
        let are_alike = is(a, expected)
            && is(b, after(expected, 1))
            && is(c, after(expected, 2))
            && is(d, after(expected, 3))
            && is(e, after(expected, 4))
            && is(f, after(expected, 5))
            && is(g, after(expected, 6))
            && is(h, after(expected, 7));
        if !are_alike {
            break;
        }
        (expected, alike) = (after(expected, 8), alike.wrapping_add(8));
    }
    for slot in slots.get(alike..).unwrap_or(&[]) {
        if slot.load(Ordering::Relaxed) != expected {
            break;
        }
        (expected, alike) = (expected.wrapping_add(step), alike.wrapping_add(1));
    }
    alike
}
