// SPDX-License-Identifier: MIT OR Apache-2.0
//! Ageing: which pages were used since they were last made old.
//!
//! The record is the accessed bit of the leaf, set by hardware or by the fault that an old page is without it.
//!
//! Where hardware sets a bit in entries that point to tables too ([`Format::TABLE_YOUNG`]), a table of level 1 is not
//! looked at while nothing below it was used. It takes two visits that find all of its pages old: the first clears the
//! bit, and everything that CPUs hold of the table is flushed before the lock is given up; the second, which finds the
//! bit still clear, marks the entry cold ([`Format::TABLE_COLD`]). A CPU that used a page between the first look and the flush,
//! by what it held of the entry, is seen by the second; one that uses a page later sets the bit. Whatever else makes
//! a page young, or changes the entry beside hardware, takes the mark away.

use super::arch::Format;
use super::dirty::{Bitmap, Look as Seeing, Mark, Mode, Reach, Words, cover, for_ones};
use super::entry::{Access, Entry};
use super::sweep::{Run, Step, Sweep};
use super::table::{Broken, Table};
use super::units::{Gpa, GpaRange, Hpa, Level, PAGE_SHIFT, Span};
use super::{NestedPageTable, watch};
use crate::abi::AXAS_FLUSH_CLEAN;
use crate::hal::FlushRequest;
use crate::sync::{AtomicU64, Defect, Ordering, planted};

/// The level of the entries that point to tables of level 1.
const ABOVE: Level = Level::LARGE;

/// What is done with pages that are young.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// They become old.
    Clear,
    /// They become old, and hardware is not told.
    ClearUnflushed,
}

/// A look at the pages of a range.
pub(crate) struct Ageing<'a> {
    range: GpaRange,
    bitmap: Option<Bitmap<'a>>,
    look: Look,
    /// Pages that were young.
    pub(crate) count: u64,
    /// Where the next slice begins.
    pub(crate) reached: Gpa,
    /// Entries that the slice may still visit.
    pub(crate) left: u64,
    /// The bit of an entry that points to a table was cleared.
    is_table_cleared: bool,
    request: Option<FlushRequest>,
}

impl<'a> Ageing<'a> {
    pub(crate) fn new(range: GpaRange, bitmap: Option<&'a mut [u64]>, look: Look) -> Self {
        Self {
            range,
            bitmap: bitmap.map(|words| Bitmap::new(words, range.start)),
            look,
            count: 0,
            reached: range.start,
            left: u64::MAX,
            is_table_cleared: false,
            request: None,
        }
    }

    /// Bytes done, in whole words of the bitmap unless that is all.
    pub(crate) fn done(&self) -> u64 {
        super::dirty::whole_words(self.range, self.reached)
    }

    pub(crate) fn is_done(&self) -> bool {
        self.reached >= self.range.end
    }

    /// Whether the slice ends here.
    fn pauses(&self) -> bool {
        self.left == 0 && self.done() != 0
    }

    /// Pages that are young.
    fn report(&mut self, part: GpaRange) {
        self.count = self.count.wrapping_add(part.size().wrapping_shr(PAGE_SHIFT));
        if let Some(bitmap) = &mut self.bitmap {
            bitmap.report(part);
        }
    }
}

impl NestedPageTable {
    /// How accesses can be seen in a space; not at all where hardware neither sets a bit nor faults.
    pub(crate) fn age_mode<F: Format>(&self) -> Option<Mode> {
        if F::hardware_sets_young(self.features) {
            Some(Mode::Hardware)
        } else if F::OLD_FAULTS {
            Some(Mode::Faults)
        } else {
            None
        }
    }

    /// Begins to age, unless that has begun, with the lock held alone.
    pub(crate) fn start_ageing<F: Format>(&self, mode: Mode) {
        if F::TABLE_COLD != 0 {
            // They do not look at the entries of tables.
            self.short_faults.store(false, Ordering::Relaxed);
        }
        self.log.aged_stopped.store(0, Ordering::Relaxed);
        self.change_watch(
            0,
            match mode {
                Mode::Faults => watch::AGE_BY_FAULTS,
                Mode::Hardware => watch::AGE_BY_HARDWARE,
            },
        );
    }

    /// Makes all of a range young; ageing ends where that was everything.
    pub(crate) fn stop_ageing<F: Format>(&self, sweep: &mut Sweep, range: GpaRange) -> Option<()> {
        if F::TABLE_COLD != 0 {
            self.warm_tables::<F>(sweep, range);
        }
        self.look::<F>(range, &mut Seeing::Stop(Access { writes: false, uses: true }, range))?;
        if self.is_all_stopped(&self.log.aged_stopped, range) {
            self.end_ageing();
        }
        Some(())
    }

    /// Nothing is old any more.
    pub(super) fn end_ageing(&self) {
        self.change_watch(watch::AGE, 0);
        self.short_faults.store(self.has_short_faults, Ordering::Relaxed);
    }

    /// The tables of a range are about to have pages that are young, with the lock held alone. Where one cannot be
    /// reached, the call that follows finds that out.
    #[cold]
    #[inline(never)]
    pub(super) fn warm_tables<F: Format>(&self, sweep: &mut Sweep, range: GpaRange) {
        sweep.begin(self, range);
        while let Some(Step::Entries | Step::Table(_)) = self.warm_next::<F>(sweep) {}
    }

    /// The same of the next step of a sweep.
    fn warm_next<F: Format>(&self, sweep: &mut Sweep) -> Option<Step> {
        let step = sweep.step_in::<F>(self, &Broken::NONE)?;
        if let Step::Table(table) = step {
            let run = sweep.run;
            if run.level > ABOVE {
                sweep.enter(self, run.gpa, table)?;
            } else {
                let above = Table::<F>::reach(self, run.page)?;
                let slot = above.slot(run.span.first);
                slot.fetch_or(F::TABLE_YOUNG, Ordering::Relaxed);
                super::warm::<F>(slot);
                above.clean(Span::one(run.span.first));
                drop(above);
                sweep.skip(self);
            }
        }
        match step {
            Step::End => None,
            step => Some(step),
        }
    }

    /// A page became young by a fault: the table that has it is looked at again.
    #[inline(always)]
    pub(super) fn warm_path<F: Format>(&self, gpa: Gpa) {
        if F::TABLE_COLD != 0 && self.is_aged() {
            let access = Access { writes: false, uses: true };
            // The fault reached all of its tables.
            let _ =
                self.mark::<F>(GpaRange::new(gpa.base(Level::PAGE), gpa.end(Level::PAGE)), access);
        }
    }

    /// Looks at the pages of the next slice.
    #[inline(never)]
    pub(crate) fn age_slice<F: Format>(
        &self,
        sweep: &mut Sweep,
        ageing: &mut Ageing<'_>,
        most: u64,
    ) -> Option<()> {
        ageing.left = most;
        ageing.is_table_cleared = false;
        sweep.begin(self, ageing.range.from(ageing.reached));
        while !ageing.pauses() {
            match sweep.step_in::<F>(self, &Broken::NONE)? {
                Step::End => break,
                Step::Table(table) | Step::Hidden(table) => {
                    let cold = self.cold_tables::<F>(sweep, ageing)?;
                    if cold == 0 {
                        let gpa = ageing.reached;
                        sweep.enter(self, gpa, table)?;
                    }
                }
                Step::Entries => self.age_run::<F>(sweep, ageing)?,
            }
        }
        Some(())
    }

    /// Goes past the tables that are cold, from that of the last step on; how many.
    #[inline(always)]
    fn cold_tables<F: Format>(&self, sweep: &mut Sweep, ageing: &mut Ageing<'_>) -> Option<u64> {
        let run = sweep.run;
        if F::TABLE_COLD == 0 || run.level != ABOVE {
            return Some(0);
        }
        let part = ageing.range.from(ageing.reached).part(ageing.reached, ABOVE.up());
        let most = (part.span(ABOVE).count() as u64).min(ageing.left.max(1));
        let table = Table::<F>::reach(self, run.page)?;
        let mut count = 0_u64;
        for slot in table.slots(Span::of(run.span.first, most)) {
            let word = slot.load(Ordering::Relaxed);
            if !F::is_table(word) || word & (F::TABLE_COLD | F::TABLE_YOUNG) != F::TABLE_COLD {
                break;
            }
            count = count.wrapping_add(1);
        }
        drop(table);
        if count != 0 {
            ageing.left = ageing.left.saturating_sub(count);
            let bytes = count.wrapping_shl(ABOVE.shift());
            ageing.reached = run.gpa.base(ABOVE).plus(bytes).min(part.end);
            sweep.go_on_at(self, ageing.reached);
        }
        Some(count)
    }

    /// Looks at a run of leaves.
    #[inline(always)]
    fn age_run<F: Format>(&self, sweep: &mut Sweep, ageing: &mut Ageing<'_>) -> Option<()> {
        let run = sweep.run;
        if run.level > Level::PAGE {
            return self.age_large::<F>(sweep, ageing);
        }
        let above = sweep.path().get(ABOVE);
        let pages = run.of_slice(ageing.range.start, &mut ageing.left);
        let was_young = self.age_pages::<F>(&pages, ageing)?;
        ageing.reached = pages.gpa_of(pages.span.last).end(Level::PAGE);
        if pages.span != run.span {
            sweep.begin(self, ageing.range.from(ageing.reached));
        }
        if F::TABLE_COLD != 0 && ageing.look == Look::Clear && pages.span == Span::ALL && !was_young
        {
            self.age_table::<F>(above, run.gpa, ageing)?;
        }
        Some(())
    }

    /// All pages of a table are old: see the module.
    #[inline(never)]
    fn age_table<F: Format>(&self, above: Hpa, gpa: Gpa, ageing: &mut Ageing<'_>) -> Option<()> {
        let table = Table::<F>::reach(self, above)?;
        let slot = table.slot(gpa.index(ABOVE));
        let word = slot.load(Ordering::Relaxed);
        if word & F::TABLE_YOUNG != 0 {
            let change = F::TABLE_YOUNG | F::TABLE_COLD;
            slot.fetch_and(!change, Ordering::Relaxed);
            if planted(Defect::ColdAtOnce) {
                slot.fetch_or(F::TABLE_COLD, Ordering::Relaxed);
            }
            ageing.is_table_cleared = true;
            cover(&mut ageing.request, gpa, ABOVE);
            if let Some(request) = &mut ageing.request {
                request.add_table();
            }
        } else {
            // If hardware sets the bit meanwhile, the table is not cold.
            let relaxed = Ordering::Relaxed;
            let _ = slot.compare_exchange(word, word | F::TABLE_COLD, relaxed, relaxed);
        }
        table.clean(Span::one(gpa.index(ABOVE)));
        Some(())
    }

    /// Looks at pages of 4 KiB; whether one was young.
    #[inline(never)]
    fn age_pages<F: Format>(&self, run: &Run, ageing: &mut Ageing<'_>) -> Option<bool> {
        let table = Table::<F>::reach(self, run.page)?;
        let live = self.is_live();
        let (mut reach, mut count) = (Reach::NOTHING, 0_u32);
        for (place, part) in Words::of(table.slots(run.span), run.gpa, ageing.range.start) {
            let set = self.marks::<F>(part, Mark::young::<F>()).set;
            count = count.wrapping_add(set.count_ones());
            if let Some(bitmap) = &mut ageing.bitmap {
                bitmap.add(place, set);
            }
            for_ones(set, |page| {
                if let Some(slot) = part.get(page) {
                    make_old::<F>(slot, live);
                }
            });
            reach.add(place, set);
        }
        table.clean(run.span);
        drop(table);
        ageing.count = ageing.count.wrapping_add(count.into());
        for gpa in reach.ends(ageing.range.start) {
            cover(&mut ageing.request, gpa, Level::PAGE);
        }
        Some(count != 0)
    }

    /// Looks at a run above level 1. A page that the range cuts stays young.
    #[inline(never)]
    fn age_large<F: Format>(&self, sweep: &mut Sweep, ageing: &mut Ageing<'_>) -> Option<()> {
        let (run, stop) = (sweep.run, sweep.gpa());
        let table = Table::<F>::reach(self, run.page)?;
        for index in run.span.indices() {
            let gpa = ageing.reached;
            ageing.left = ageing.left.saturating_sub(1);
            let slot = table.slot(index);
            let word = slot.load(Ordering::Relaxed);
            let entry = Entry::<F>::from_word(word);
            if run.level > Level::PAGE && F::is_table(word) {
                // A fault put it there since the sweep came by.
                drop(table);
                return sweep.enter(self, gpa, entry.table_address());
            }
            let part = ageing.range.part(gpa, run.level);
            if entry.is_hardware_visible() && word & F::YOUNG != 0 && self.looks_at(entry) {
                ageing.report(part);
                if part.size() == run.level.size() {
                    make_old::<F>(slot, self.is_live());
                    table.clean(Span::one(index));
                    cover(&mut ageing.request, gpa, run.level);
                }
            }
            ageing.reached = gpa.end(run.level).min(stop);
            if ageing.pauses() {
                break;
            }
        }
        Some(())
    }

    /// Has hardware forget what the slice changed of tables, with the lock held.
    pub(crate) fn flush_tables<F: Format>(&self, ageing: &mut Ageing<'_>) {
        if ageing.is_table_cleared {
            self.flush_aged::<F>(ageing);
        }
    }

    /// Has hardware forget what the slice made old.
    pub(crate) fn flush_aged<F: Format>(&self, ageing: &mut Ageing<'_>) {
        let is_forgotten = ageing.is_table_cleared && planted(Defect::ColdUnflushed);
        if ageing.look != Look::ClearUnflushed && !is_forgotten {
            self.flush_beside::<F>(&mut ageing.request, AXAS_FLUSH_CLEAN);
        } else if let Some(request) = ageing.request.take() {
            request.cancel();
        }
    }
}

/// Makes a leaf old that is young.
#[inline(always)]
fn make_old<F: Format>(slot: &AtomicU64, live: bool) {
    if live {
        slot.fetch_and(!F::YOUNG, Ordering::Relaxed);
    } else {
        slot.store(slot.load(Ordering::Relaxed) & !F::YOUNG, Ordering::Relaxed);
    }
}
