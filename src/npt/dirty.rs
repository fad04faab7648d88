// SPDX-License-Identifier: MIT OR Apache-2.0
//! Logging of writes: which pages were written since they were last made clean.
//!
//! The leaf is the only record. It is made clean by shutting its gate, or by clearing the dirty bit that hardware
//! sets; the write fault that opens a page makes it dirty in the same compare-exchange. While nothing is logged every
//! leaf is dirty, so that a log begins without a walk.

use super::arch::Format;
use super::entry::{Access, Entry, Reservation, Way};
use super::lock::FaultCounter;
use super::stock::Stock;
use super::sweep::{Run, Sweep};
use super::table::{Broken, Table};
use super::units::{Gpa, GpaRange, Hpa, Index, Level, PAGE_SHIFT, Span};
use super::work::Work;
use super::{NestedPageTable, watch};
use crate::abi::{AXAS_FLUSH_CLEAN, AXAS_FLUSH_TIGHTEN, AXAS_SCOPE_ALL};
use crate::addr::{Bits, PAGE_SIZE};
use crate::hal::FlushRequest;
use crate::sync::AtomicU64;
use crate::sync::{Defect, Ordering, fence, planted};
use core::sync::atomic;

/// Huge leaves that one slice splits where each of them is invalid until the flush.
const MOST_BROKEN: u32 = 64;
/// What a slice that ends before its call does is rounded down to: a word of the bitmap.
const STEP: u64 = 64 * PAGE_SIZE;

/// How writes or accesses are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A clean page faults at the first write, an old one at the first access.
    Faults,
    /// Hardware sets a bit.
    Hardware,
}

/// What a space knows of its log; changed by calls that run alone.
pub(crate) struct Log {
    /// How writes and accesses are seen: bits of [`watch`].
    pub(super) watch: atomic::AtomicU32,
    /// From the start of the space to here everything was made dirty since a page was last made clean.
    stopped: atomic::AtomicU64,
    /// Pages made clean, ever.
    pub(crate) cleaned: atomic::AtomicU64,
    /// Leaves split, ever.
    pub(crate) splits: atomic::AtomicU64,
    /// As `stopped`, of pages made young since one was made old.
    #[cfg(feature = "age")]
    pub(super) aged_stopped: atomic::AtomicU64,
}

/// A bit for each page from an address on.
pub(crate) struct Bitmap<'a> {
    words: &'a mut [u64],
    start: Gpa,
    /// Pages that were reported.
    pub(crate) count: u64,
}

impl<'a> Bitmap<'a> {
    /// The bits of pages from an address on.
    pub(crate) fn new(words: &'a mut [u64], start: Gpa) -> Self {
        Self { words, start, count: 0 }
    }

    /// Sets bits of one word, from a place on.
    #[inline(always)]
    pub(super) fn add(&mut self, place: u64, set: u64) {
        if let Some(word) = self.words.get_mut((place >> 6) as usize) {
            *word |= set.wrapping_shl(place as u32 & 63);
        }
        self.count = self.count.wrapping_add(set.count_ones().into());
    }

    /// Sets the bits of a range.
    pub(super) fn report(&mut self, range: GpaRange) {
        for_words(self.start, range, |place, mask| {
            if let Some(word) = self.words.get_mut(place) {
                *word |= mask;
            }
            true
        });
        self.count = self.count.wrapping_add(range.size().wrapping_shr(PAGE_SHIFT));
    }
}

/// Calls `visit` with each word of a bitmap that has bits of a range, and their mask, until it says no.
#[inline(always)]
fn for_words(start: Gpa, range: GpaRange, mut visit: impl FnMut(usize, u64) -> bool) {
    let mut bit = range.start.minus(start).wrapping_shr(PAGE_SHIFT);
    let end = range.end.minus(start).wrapping_shr(PAGE_SHIFT);
    while bit < end {
        let next = (bit | 63).wrapping_add(1).min(end);
        let ones = u64::MAX.wrapping_shr(64_u32.wrapping_sub(next.wrapping_sub(bit) as u32));
        if !visit((bit >> 6) as usize, ones.wrapping_shl(bit as u32 & 63)) {
            return;
        }
        bit = next;
    }
}

/// Bytes of a range that are done when an address is reached, in whole words of its bitmap unless that is all.
pub(super) fn whole_words(range: GpaRange, reached: Gpa) -> u64 {
    let bytes = reached.minus(range.start);
    if reached < range.end { bytes & !(STEP - 1) } else { range.size() }
}

/// What is looked for in leaves.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    /// The bit that says it.
    bit: u64,
    /// How far above it the other bit is that says it, too, or 0.
    fold: u32,
}

impl Mark {
    /// Pages that are dirty.
    #[inline(always)]
    pub(super) fn dirty<F: Format>() -> Self {
        let low = F::DIRTY.trailing_zeros();
        let high = 63_u32.wrapping_sub(F::DIRTY.leading_zeros());
        Self { bit: 1_u64.wrapping_shl(low), fold: high.wrapping_sub(low) }
    }

    /// Pages that are young.
    #[cfg(feature = "age")]
    #[inline(always)]
    pub(super) fn young<F: Format>() -> Self {
        Self { bit: F::YOUNG, fold: 0 }
    }

    /// The bits that say it, each of them.
    #[inline(always)]
    fn bits(self) -> u64 {
        self.bit | self.bit.wrapping_shl(self.fold)
    }

    /// The bit, set if a leaf says it.
    #[inline(always)]
    fn of<F: Format>(self, word: u64) -> u64 {
        let has_two = F::DIRTY.count_ones() > 1;
        let folded = if has_two { word | word.wrapping_shr(self.fold) } else { word };
        folded & self.bit
    }
}

/// What up to 64 neighbouring entries of level 1 say of writes, or of accesses.
pub(super) struct Marks {
    /// Those that are dirty, or young, and are looked at; a bit for each.
    pub(super) set: u64,
    are: Are,
}

/// What neighbouring entries are, all of them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Are {
    Anything,
    /// Leaves of ordinary memory.
    Plain,
    /// The same, and all are young.
    Young,
}

/// The entries of a run of pages, by words of a bitmap: the place of each part in it, in bits.
pub(super) struct Words<'a> {
    slots: &'a [AtomicU64],
    place: u64,
}

impl<'a> Words<'a> {
    /// Entries for pages from an address on, in a bitmap that begins at another one.
    #[inline(always)]
    pub(super) fn of(slots: &'a [AtomicU64], gpa: Gpa, start: Gpa) -> Self {
        Self { slots, place: gpa.minus(start).wrapping_shr(PAGE_SHIFT) }
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = (u64, &'a [AtomicU64]);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let place = self.place;
        let count = 64_u64.wrapping_sub(place & 63).min(self.slots.len() as u64);
        let (part, rest) = self.slots.split_at_checked(count as usize)?;
        (self.slots, self.place) = (rest, place.wrapping_add(count));
        if part.is_empty() { None } else { Some((place, part)) }
    }
}

/// The first and the last of pages, by their bits in a bitmap; none while the first is behind the last.
pub(super) struct Reach {
    first: u64,
    last: u64,
}

impl Reach {
    pub(super) const NOTHING: Self = Self { first: u64::MAX, last: 0 };

    /// Adds pages whose bits are set, from a place on.
    #[inline(always)]
    pub(super) fn add(&mut self, place: u64, set: u64) {
        if set != 0 {
            self.first = self.first.min(place.wrapping_add(set.trailing_zeros().into()));
            self.last = place.wrapping_add(63).wrapping_sub(set.leading_zeros().into());
        }
    }

    /// Where they begin, in a bitmap that begins at an address; none if there is no page.
    pub(super) fn ends(&self, start: Gpa) -> impl Iterator<Item = Gpa> {
        let count = if self.first <= self.last { 2 } else { 0 };
        let gpa = move |bit: u64| start.plus(bit.wrapping_shl(PAGE_SHIFT));
        [gpa(self.first & u64::MAX >> PAGE_SHIFT), gpa(self.last)].into_iter().take(count)
    }
}

/// So many ones, from the lowest bit on, up to 64.
#[inline(always)]
fn ones(count: usize) -> u64 {
    u64::MAX.wrapping_shr(64_u32.wrapping_sub(count as u32))
}

impl Marks {
    /// Those of the entries of which hardware may hold something; a bit for each.
    #[inline(always)]
    fn visible<F: Format>(&self, slots: &[AtomicU64]) -> u64 {
        if self.are == Are::Anything { visible::<F>(slots) } else { u64::MAX }
    }
}

#[inline(never)]
fn visible<F: Format>(slots: &[AtomicU64]) -> u64 {
    let is_visible = |slot: &AtomicU64| u64::from(F::is_valid(slot.load(Ordering::Relaxed)));
    slots.iter().rev().fold(0_u64, |set, slot| set.wrapping_shl(1) | is_visible(slot))
}

/// What up to 64 entries of level 1 say, if all of them are leaves of ordinary memory. Most often all say the same.
#[inline(never)]
fn marks_at_once<F: Format>(slots: &[AtomicU64], mark: Mark) -> Marks {
    let (mut all, mut any) = (u64::MAX, 0);
    macro_rules! look {
        ($($slot:ident)*) => {$(
            let word = $slot.load(Ordering::Relaxed);
            all &= word;
            any |= word;
        )*};
    }
    // Not a loop of eight: the compiler unrolls none where it looks for size.
    let (eights, rest) = slots.as_chunks::<8>();
    for [a, b, c, d, e, f, g, h] in eights {
        look!(a b c d e f g h);
    }
    for slot in rest {
        look!(slot);
    }
    let are = match all & F::PLAIN == F::PLAIN && any & F::DEVICE == 0 {
        true if all & F::YOUNG != 0 => Are::Young,
        true => Are::Plain,
        false => return Marks { set: 0, are: Are::Anything },
    };
    let set = if all & mark.bits() != 0 {
        ones(slots.len())
    } else if any & mark.bits() == 0 {
        0
    } else {
        marked::<F>(slots, mark)
    };
    Marks { set, are }
}

/// Which of up to 64 leaves say what is looked for; a bit for each.
#[inline(never)]
fn marked<F: Format>(slots: &[AtomicU64], mark: Mark) -> u64 {
    let mut set = 0_u64;
    for part in slots.chunks(32).rev() {
        // The mark of each, at its place from the lowest place of the mark on.
        let mut sum = 0_u64;
        macro_rules! look {
            ($($slot:ident)*) => {$(
                let bit = mark.of::<F>($slot.load(Ordering::Relaxed));
                sum = sum.wrapping_add(sum).wrapping_add(bit);
            )*};
        }
        // As above.
        let (eights, rest) = part.as_chunks::<8>();
        for slot in rest.iter().rev() {
            look!(slot);
        }
        for [a, b, c, d, e, f, g, h] in eights.iter().rev() {
            look!(h g f e d c b a);
        }
        set = set.wrapping_shl(32) | sum.wrapping_shr(mark.bit.trailing_zeros());
    }
    set
}

/// Calls `visit` with the place of each bit that is set.
#[inline(always)]
pub(super) fn for_ones(set: u64, mut visit: impl FnMut(usize)) {
    let mut rest = set;
    while rest != 0 {
        visit(rest.trailing_zeros() as usize);
        rest &= rest.wrapping_sub(1);
    }
}

/// Which pages are made clean.
pub(crate) enum Which<'a> {
    All,
    /// Those whose bits are set.
    Set(&'a [u64]),
    /// Those that are dirty, which are reported.
    Dirty(Bitmap<'a>),
}

/// What becomes of huge leaves that are made clean.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Splits {
    Never,
    /// One size smaller where all bits are set, else as far as the bits ask for.
    Once,
    /// To 4 KiB.
    Pages,
}

/// A cleaning in work.
pub(crate) struct Cleaning<'a> {
    range: GpaRange,
    pub(crate) which: Which<'a>,
    splits: Splits,
    /// Where the slice began.
    began: Gpa,
    /// Where the next slice begins.
    pub(crate) reached: Gpa,
    /// Entries that the slice may still visit.
    pub(crate) left: u64,
    /// Leaves that it broke.
    broken: u32,
    /// The next leaf would be one too many.
    is_full: bool,
    /// Up to here tables are below an entry that it broke.
    unseen_until: Gpa,
    request: Option<FlushRequest>,
}

impl<'a> Cleaning<'a> {
    pub(crate) fn new(range: GpaRange, which: Which<'a>, splits: Splits) -> Self {
        Self {
            range,
            which,
            splits,
            began: range.start,
            reached: range.start,
            left: 0,
            broken: 0,
            is_full: false,
            unseen_until: Gpa::new(0),
            request: None,
        }
    }

    /// Pages that were reported.
    pub(crate) fn count(&self) -> u64 {
        if let Which::Dirty(bitmap) = &self.which { bitmap.count } else { 0 }
    }

    /// Bytes done, in whole words of the bitmap unless that is all.
    pub(crate) fn done(&self) -> u64 {
        whole_words(self.range, self.reached)
    }

    pub(crate) fn is_done(&self) -> bool {
        self.reached >= self.range.end
    }

    /// Whether the slice ends here.
    fn pauses(&self) -> bool {
        self.left == 0 && self.done() != 0
    }

    /// Which pages of a range are asked for: any, and all.
    fn asks_for(&self, part: GpaRange) -> (bool, bool) {
        let Which::Set(words) = &self.which else { return (true, true) };
        let (mut any, mut all) = (false, true);
        for_words(self.range.start, part, |place, mask| {
            let set = words.get(place).copied().unwrap_or(0) & mask;
            any |= set != 0;
            all &= set == mask;
            all || !any
        });
        (any, all)
    }

    fn report(&mut self, part: GpaRange) {
        if let Which::Dirty(bitmap) = &mut self.which {
            bitmap.report(part);
        }
    }
}

/// A leaf changed that hardware may hold.
#[inline(never)]
pub(super) fn cover(request: &mut Option<FlushRequest>, gpa: Gpa, level: Level) {
    let leaf = GpaRange::new(gpa.base(level), gpa.end(level));
    request.get_or_insert_with(|| FlushRequest::new(leaf)).cover_leaf(gpa, level);
}

/// What becomes of an entry above level 1.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Plan {
    Nothing,
    /// It is reported and stays dirty.
    Report,
    /// It becomes clean as it is.
    Clean,
    /// A table of clean pieces takes its place.
    CleanPieces,
    /// A table of pieces takes its place, which are looked at one by one.
    Enter {
        is_whole: bool,
    },
}

impl Plan {
    /// What remains to be done when a table was to take the place of the entry, and did or did not.
    fn after(self, is_split: bool) -> Self {
        match self {
            Self::Enter { .. } if is_split => Self::Nothing,
            Self::Enter { is_whole: false } => Self::Report,
            Self::CleanPieces if is_split => Self::CleanPieces,
            _ => Self::Clean,
        }
    }
}

/// What is asked of each entry beside others.
pub(crate) enum Look<'a> {
    /// To report it if it is dirty.
    Report(Bitmap<'a>),
    /// To report it if it is young.
    #[cfg(feature = "age")]
    Young(Bitmap<'a>),
    /// To be as if nothing was logged, or aged. A reservation in which pages were freed forgets that if all of it is in
    /// the range.
    Stop(Access, GpaRange),
}

impl<'a> Look<'a> {
    /// What is reported of pages of 4 KiB, and where, if anything is.
    #[inline(always)]
    fn reports<F: Format>(&mut self) -> Option<(&mut Bitmap<'a>, Mark)> {
        match self {
            Self::Report(bitmap) => Some((bitmap, Mark::dirty::<F>())),
            #[cfg(feature = "age")]
            Self::Young(bitmap) => Some((bitmap, Mark::young::<F>())),
            Self::Stop(..) => None,
        }
    }

    /// How many pages were reported.
    pub(crate) fn count(&self) -> u64 {
        match self {
            Self::Report(bitmap) => bitmap.count,
            #[cfg(feature = "age")]
            Self::Young(bitmap) => bitmap.count,
            Self::Stop(..) => 0,
        }
    }
}

impl Run {
    /// What a slice has of a run of pages, with so many entries left: to the end of a word of the bitmap, which begins
    /// at an address, where they end.
    pub(super) fn of_slice(&self, start: Gpa, left: &mut u64) -> Self {
        let bit = self.gpa.minus(start).wrapping_shr(PAGE_SHIFT);
        let least = 64_u64.wrapping_sub(bit & 63);
        let whole = left.saturating_sub(least) & !63;
        let count = least.wrapping_add(whole).min(self.span.count() as u64);
        *left = left.saturating_sub(count);
        Self { span: Span::of(self.span.first, count), ..*self }
    }
}

impl NestedPageTable {
    /// Whether an entry is looked at: one of a linear page of device memory is not.
    #[inline(never)]
    pub(super) fn looks_at<F: Format>(&self, entry: Entry<F>) -> bool {
        !entry.is_page() || entry.is_owned() || !entry.untagged(self.features).memory.is_device()
    }

    /// Begins a log, in which everything is dirty, unless there is one; whether it is in this mode.
    pub(crate) fn start_log(&self, mode: Mode) -> bool {
        let bit = match mode {
            Mode::Faults => watch::LOG_BY_FAULTS,
            Mode::Hardware => watch::LOG_BY_HARDWARE,
        };
        if !self.is_logged() {
            self.change_watch(0, bit);
            self.log.stopped.store(0, Ordering::Relaxed);
        }
        self.watches(bit)
    }

    /// Changes how writes and accesses are seen, with the lock held alone.
    pub(super) fn change_watch(&self, without: u32, with: u32) {
        let watch = self.log.watch.load(Ordering::Relaxed);
        self.log.watch.store(watch & !without | with, Ordering::Relaxed);
    }

    /// Neither writes nor accesses are seen any more: there is nothing that is clean or old.
    pub(super) fn end_watch(&self) {
        self.change_watch(watch::LOG, 0);
        #[cfg(feature = "age")]
        self.end_ageing();
    }

    /// Notes that a range is as new; whether nothing else is left of the space, since a mark began.
    pub(super) fn is_all_stopped(&self, mark: &atomic::AtomicU64, range: GpaRange) -> bool {
        let before = Gpa::new(mark.load(Ordering::Relaxed)).max(self.range.start);
        if range.start > before || range.end <= before {
            return false;
        }
        mark.store(range.end.bits(), Ordering::Relaxed);
        range.end >= self.range.end
    }

    /// Makes all of a range dirty; the log ends where that was everything.
    pub(crate) fn stop_log<F: Format>(&self, range: GpaRange) -> Option<()> {
        let is_next = range.start <= Gpa::new(self.log.stopped.load(Ordering::Relaxed));
        let start = if is_next { self.range.start } else { range.start };
        let stopped = GpaRange::new(start, range.end);
        self.look::<F>(range, &mut Look::Stop(Access { writes: true, uses: false }, stopped))?;
        if self.is_all_stopped(&self.log.stopped, range) {
            self.change_watch(watch::LOG, 0);
        }
        Some(())
    }

    /// Marks the leaves of a range for an access, with the lock held shared, page by page as copies walk.
    #[inline(never)]
    pub(crate) fn mark<F: Format>(&self, range: GpaRange, access: Access) -> Option<()> {
        let mut at = range.start;
        while at < range.end {
            at = self.mark_leaf::<F>(at, access)?;
        }
        Some(())
    }

    /// Marks the page that covers an address, if one does; where its entry ends.
    #[inline(never)]
    fn mark_leaf<F: Format>(&self, gpa: Gpa, access: Access) -> Option<Gpa> {
        let mut page = self.root_page::<F>(gpa);
        let mut level = self.levels;
        loop {
            let table = Table::<F>::reach(self, page)?;
            let index = gpa.index(level);
            let entry = table.load_acquire(index);
            let is_table = F::is_table(entry.word()) || entry.is_hidden_table();
            if level > Level::PAGE && is_table {
                if F::is_table(entry.word()) && super::warm::<F>(table.slot(index)) {
                    table.clean(Span::one(index));
                }
                page = entry.address();
                level = level.down();
                continue;
            }
            if entry.is_leaf(level.get()) || entry.is_hidden() {
                table.mark(index, entry, access);
            }
            return Some(gpa.end(level));
        }
    }

    /// Looks at all entries of a range, with the lock held shared or alone.
    #[inline(never)]
    pub(crate) fn look<F: Format>(&self, range: GpaRange, look: &mut Look<'_>) -> Option<()> {
        let mut sweep = Sweep::nowhere();
        sweep.begin_look(self, range);
        while sweep.next::<F>(self, &Broken::NONE)? {
            let (run, stop) = (sweep.run, sweep.gpa());
            // What is hidden is not young.
            #[cfg(feature = "age")]
            if sweep.is_below_hidden(run.gpa) && matches!(look, Look::Young(_)) {
                continue;
            }
            // A fault may have put a table in the place of a reservation since the sweep came by.
            if let Some((gpa, table)) = self.look_at_run::<F>(&run, stop, look)? {
                sweep.enter(self, gpa, table)?;
            }
        }
        Some(())
    }

    /// Looks at a run that ends at `stop`, or up to a table in it.
    #[inline(never)]
    fn look_at_run<F: Format>(
        &self,
        run: &Run,
        stop: Gpa,
        look: &mut Look<'_>,
    ) -> Option<Option<(Gpa, Hpa)>> {
        let table = Table::<F>::reach(self, run.page)?;
        let mut gpa = run.gpa;
        if run.level == Level::PAGE
            && let Some((bitmap, mark)) = look.reports::<F>()
        {
            self.report_pages::<F>(table.slots(run.span), run.gpa, bitmap, mark);
            return Some(None);
        }
        for index in run.span.indices() {
            let entry = table.load_acquire(index);
            if run.level > Level::PAGE && F::is_table(entry.word()) {
                return Some(Some((gpa, entry.table_address())));
            }
            let end = gpa.end(run.level);
            let is_page = entry.is_page();
            let is_dirty = entry.is_dirty();
            match look {
                Look::Report(bitmap) if is_dirty && self.looks_at(entry) => {
                    bitmap.report(GpaRange::new(gpa, end.min(stop)));
                }
                Look::Report(_) => {}
                #[cfg(feature = "age")]
                Look::Young(bitmap)
                    if entry.is_hardware_visible() && entry.is_young() && self.looks_at(entry) =>
                {
                    bitmap.report(GpaRange::new(gpa, end.min(stop)));
                }
                #[cfg(feature = "age")]
                Look::Young(_) => {}
                Look::Stop(access, _) if is_page => table.mark(index, entry, *access),
                Look::Stop(access, range)
                    if access.writes
                        && is_dirty
                        && gpa.base(run.level) >= range.start
                        && end <= range.end =>
                {
                    table.store(index, entry.cleaned(false));
                }
                Look::Stop(..) => {}
            }
            gpa = end;
        }
        Some(None)
    }

    /// Reports what entries of level 1 say, the first of which is that of an address.
    #[inline(never)]
    fn report_pages<F: Format>(
        &self,
        slots: &[AtomicU64],
        gpa: Gpa,
        bitmap: &mut Bitmap<'_>,
        mark: Mark,
    ) {
        for (place, part) in Words::of(slots, gpa, bitmap.start) {
            let set = self.marks::<F>(part, mark).set;
            if set != 0 {
                bitmap.add(place, set);
            }
        }
    }

    /// Ends a slice that broke leaves: they are flushed while the lock is held, then linked.
    #[inline(never)]
    pub(crate) fn end_slice<F: Format>(
        &self,
        sweep: &mut Sweep,
        cleaning: &mut Cleaning<'_>,
    ) -> Option<()> {
        if cleaning.broken == 0 {
            return Some(());
        }
        if let Some(request) = cleaning.request.take() {
            self.issue::<F>(request, self.clean_reason(), AXAS_SCOPE_ALL);
        }
        // The last one may begin where the next slice does.
        let end = cleaning.range.end.min(cleaning.reached.plus(PAGE_SIZE));
        self.publish::<F>(sweep, GpaRange::new(cleaning.began, end))
    }

    /// Has hardware forget what a slice made clean; the lock is not held any more.
    pub(crate) fn flush_clean<F: Format>(&self, cleaning: &mut Cleaning<'_>) {
        self.flush_beside::<F>(&mut cleaning.request, self.clean_reason());
    }

    /// Issues a request, if there is one, beside other calls.
    #[inline(never)]
    pub(super) fn flush_beside<F: Format>(&self, request: &mut Option<FlushRequest>, reason: u32) {
        if let Some(request) = request.take() {
            self.lock.shard().add(FaultCounter::Flushes, 1);
            self.flush_now::<F>(request, reason, AXAS_SCOPE_ALL);
        }
    }

    fn clean_reason(&self) -> u32 {
        if self.marks_writes() { AXAS_FLUSH_CLEAN } else { AXAS_FLUSH_TIGHTEN }
    }

    /// Makes clean what is to be cleaned of the next slice, with the lock held alone.
    #[inline(never)]
    pub(crate) fn clean_slice<F: Format>(
        &self,
        work: &mut Work,
        cleaning: &mut Cleaning<'_>,
    ) -> Option<()> {
        self.log.stopped.store(0, Ordering::Relaxed);
        (cleaning.broken, cleaning.is_full) = (0, false);
        (cleaning.began, cleaning.unseen_until) = (cleaning.reached, Gpa::new(0));
        work.sweep.begin(self, cleaning.range.from(cleaning.reached));
        while !cleaning.pauses() && work.sweep.next::<F>(self, &Broken::NONE)? {
            let (run, stop) = (work.sweep.run, work.sweep.gpa());
            if run.level == Level::PAGE {
                let pages = run.of_slice(cleaning.range.start, &mut cleaning.left);
                self.clean_pages::<F>(&pages, cleaning)?;
                cleaning.reached = pages.gpa_of(pages.span.last).end(Level::PAGE);
                if pages.span != run.span {
                    work.sweep.begin(self, cleaning.range.from(cleaning.reached));
                }
                continue;
            }
            for index in run.span.indices() {
                let gpa = cleaning.reached;
                cleaning.left = cleaning.left.saturating_sub(1);
                let entry = self.entry::<F>(run.page, index)?;
                let mut plan = self.plan_large(cleaning, entry, run.level);
                if matches!(plan, Plan::Enter { .. } | Plan::CleanPieces) {
                    // Without a frame it is as if nothing was to be split.
                    let _ = work.stock.fill(self, 1);
                    let stock = &mut work.stock;
                    let table = self.split_logged(stock, cleaning, &run, index, entry, plan);
                    if cleaning.is_full {
                        return Some(());
                    }
                    plan = plan.after(table.is_some());
                    if let (Some(table), Plan::Nothing) = (table, plan) {
                        work.sweep.enter(self, gpa, table)?;
                        break;
                    }
                }
                if plan != Plan::Nothing {
                    self.clean_whole(cleaning, &run, index, entry, plan)?;
                }
                cleaning.reached = gpa.end(run.level).min(stop);
                if cleaning.pauses() {
                    break;
                }
            }
        }
        Some(())
    }

    /// Makes pages of 4 KiB clean.
    #[inline(never)]
    fn clean_pages<F: Format>(&self, run: &Run, cleaning: &mut Cleaning<'_>) -> Option<()> {
        let table = Table::<F>::reach(self, run.page)?;
        // Pages that were made clean.
        let (mut reach, mut count) = (Reach::NOTHING, 0_u64);
        fence(Ordering::Release);
        for (place, part) in Words::of(table.slots(run.span), run.gpa, cleaning.range.start) {
            let mut marks = self.marks::<F>(part, Mark::dirty::<F>());
            match &mut cleaning.which {
                Which::All => {}
                Which::Set(words) => {
                    let word = words.get((place >> 6) as usize).copied().unwrap_or(0);
                    marks.set &= word.wrapping_shr(place as u32 & 63);
                }
                Which::Dirty(bitmap) => bitmap.add(place, marks.set),
            }
            self.put_all_clean::<F>(part, &marks);
            let seen = marks.set & marks.visible::<F>(part);
            count = count.wrapping_add(seen.count_ones().into());
            reach.add(place, seen);
        }
        table.clean(run.span);
        drop(table);
        super::add(&self.log.cleaned, count);
        for gpa in reach.ends(cleaning.range.start) {
            cover(&mut cleaning.request, gpa, Level::PAGE);
        }
        Some(())
    }

    /// Makes those of up to 64 entries clean that are marked.
    #[inline(always)]
    fn put_all_clean<F: Format>(&self, slots: &[AtomicU64], marks: &Marks) {
        let hardware = self.marks_writes();
        // Hardware sets two bits of a leaf, and writes nothing to one that has both.
        let is_live = self.is_live() && marks.are != Are::Young && !planted(Defect::PlainEdit);
        let are_plain = marks.are != Are::Anything;
        if are_plain && !is_live && marks.set == ones(slots.len()) {
            return clean_all::<F>(slots, hardware);
        }
        for_ones(marks.set, |place| {
            let Some(slot) = slots.get(place) else { return };
            let word = slot.load(Ordering::Relaxed);
            if are_plain {
                change_dirty(slot, word, F::clean(word, hardware), is_live);
            } else {
                self.put_clean(slot, Entry::<F>::from_word(word));
            }
        });
    }

    /// What up to 64 entries of level 1 say of writes, or of accesses.
    #[inline(always)] // Neither is on the stack of the other.
    pub(super) fn marks<F: Format>(&self, slots: &[AtomicU64], mark: Mark) -> Marks {
        let marks = marks_at_once::<F>(slots, mark);
        if marks.are == Are::Anything { self.marks_one_by_one::<F>(slots, mark) } else { marks }
    }

    /// The same, where not all of them are leaves of ordinary memory.
    #[inline(never)]
    fn marks_one_by_one<F: Format>(&self, slots: &[AtomicU64], mark: Mark) -> Marks {
        let mut set = 0_u64;
        for slot in slots.iter().rev() {
            let entry = Entry::<F>::from_word(slot.load(Ordering::Relaxed));
            let is_marked = if mark.bit == F::YOUNG {
                entry.is_hardware_visible() && entry.is_young()
            } else {
                entry.is_dirty()
            };
            let is_set = is_marked && self.looks_at(entry);
            set = set.wrapping_shl(1) | u64::from(is_set);
        }
        Marks { set, are: Are::Anything }
    }

    /// What an entry above level 1 is to become; nothing changes here.
    #[inline(never)]
    fn plan_large<F: Format>(
        &self,
        cleaning: &Cleaning<'_>,
        entry: Entry<F>,
        level: Level,
    ) -> Plan {
        let is_leaf = entry.is_hardware_visible();
        let goes_down = is_leaf && cleaning.splits == Splits::Pages;
        if !(entry.is_dirty() || goes_down) || !self.looks_at(entry) {
            return Plan::Nothing;
        }
        let part = cleaning.range.part(cleaning.reached, level);
        let (any, all) = cleaning.asks_for(part);
        let is_whole = all && part.size() == level.size();
        match cleaning.splits {
            _ if !any => Plan::Nothing,
            Splits::Never if is_whole => Plan::Clean,
            Splits::Never => Plan::Report,
            Splits::Once if is_whole && is_leaf => Plan::CleanPieces,
            _ if is_whole && !goes_down => Plan::Clean,
            _ => Plan::Enter { is_whole },
        }
    }

    /// Makes an entry above level 1 clean as a whole, or reports it.
    #[inline(never)]
    fn clean_whole<F: Format>(
        &self,
        cleaning: &mut Cleaning<'_>,
        run: &Run,
        index: Index,
        entry: Entry<F>,
        plan: Plan,
    ) -> Option<()> {
        cleaning.report(cleaning.range.part(cleaning.reached, run.level));
        if plan == Plan::Report {
            return Some(());
        }
        if plan == Plan::Clean {
            let table = Table::<F>::reach(self, run.page)?;
            self.put_clean(table.slot(index), entry);
            table.clean(Span::one(index));
        }
        if entry.is_hardware_visible() {
            cover(&mut cleaning.request, cleaning.reached, run.level);
            super::add(&self.log.cleaned, run.level.pages());
        }
        Some(())
    }

    /// Makes an entry clean that is dirty.
    #[inline(never)]
    fn put_clean<F: Format>(&self, slot: &AtomicU64, entry: Entry<F>) {
        let clean = entry.cleaned(self.marks_writes());
        change_dirty(slot, entry.word(), clean.word(), self.is_live());
    }

    /// Puts something in the place of a leaf that hardware may make dirty or young; then the pieces are so that were
    /// built before, in a table of a level and in those below.
    #[inline(never)]
    pub(super) fn put_live<F: Format>(
        &self,
        page: Hpa,
        index: Index,
        leaf: Entry<F>,
        new: Entry<F>,
        pieces: Hpa,
        level: Level,
    ) -> Option<()> {
        let table = Table::<F>::reach(self, page)?;
        let old = Entry::<F>::from_word(table.slot(index).swap(new.word(), Ordering::AcqRel));
        table.clean(Span::one(index));
        drop(table);
        let is_written = old.is_dirty() && !leaf.is_dirty();
        let is_used = old.is_young() && !leaf.is_young();
        if (is_written || is_used) && !planted(Defect::OldPieces) {
            let access = Access { writes: is_written, uses: is_used };
            return self.mark_pieces::<F>(pieces, level, access);
        }
        Some(())
    }

    /// Marks what a cut was built of: each table has at most one entry that points to another.
    #[cold]
    #[inline(never)]
    fn mark_pieces<F: Format>(&self, pieces: Hpa, level: Level, access: Access) -> Option<()> {
        let (mut next, mut level) = (Some(pieces), level);
        while let Some(page) = next.take() {
            let table = Table::<F>::reach(self, page)?;
            for index in Span::ALL.indices() {
                let entry = table.load(index);
                match entry.way(level.get()) {
                    Way::Down(below) => next = Some(below),
                    _ => table.mark(index, entry, access),
                }
            }
            level = level.down();
        }
        Some(())
    }

    /// Puts a table in the place of an entry, with pieces that are clean if these are planned; none if there is no
    /// frame, where the entry changed, and where it would be one broken leaf too many.
    #[inline(never)]
    fn split_logged<F: Format>(
        &self,
        stock: &mut Stock,
        cleaning: &mut Cleaning<'_>,
        run: &Run,
        index: Index,
        entry: Entry<F>,
        plan: Plan,
    ) -> Option<Hpa> {
        let is_leaf = entry.is_hardware_visible();
        let is_seen = is_leaf && cleaning.reached >= cleaning.unseen_until;
        let breaks = is_seen && F::breaks_before_make(self.features);
        cleaning.is_full = breaks && cleaning.broken >= MOST_BROKEN;
        if cleaning.is_full {
            return None;
        }
        let is_clean = plan == Plan::CleanPieces;
        let pieces = if is_clean { entry.cleaned(self.marks_writes()) } else { entry };
        let page = self.pieces(stock, pieces, run.level)?;
        let new = if breaks {
            let attributes = entry.attributes(self.features);
            Entry::pending_table(page, Reservation::new(attributes, 1))
        } else {
            Entry::full_table(page)
        };
        let is_linked =
            Table::<F>::reach(self, run.page).is_some_and(|table| table.replace(index, entry, new));
        if !is_linked {
            self.give_pieces(entry, page, run.level);
            return None;
        }
        if is_leaf {
            if breaks {
                cleaning.broken = cleaning.broken.wrapping_add(1);
                cleaning.unseen_until = cleaning.reached.end(run.level);
            }
            cover(&mut cleaning.request, cleaning.reached, run.level);
            super::add(&self.log.splits, 1);
        }
        Some(page)
    }
}

/// Makes leaves clean that hardware does not write to.
#[inline(always)] // Called once.
fn clean_all<F: Format>(slots: &[AtomicU64], hardware: bool) {
    macro_rules! clean {
        ($($slot:ident)*) => {$(
            let word = $slot.load(Ordering::Relaxed);
            change_dirty($slot, word, F::clean(word, hardware), false);
        )*};
    }
    let (eights, rest) = slots.as_chunks::<8>();
    for [a, b, c, d, e, f, g, h] in eights {
        clean!(a b c d e f g h);
    }
    for slot in rest {
        clean!(slot);
    }
}

/// Changes what an entry that is dirty says of that, beside hardware that writes to leaves: in one that is dirty it changes
/// nothing else than that the page is young.
#[inline(always)]
fn change_dirty(slot: &AtomicU64, word: u64, new: u64, is_live: bool) {
    if is_live {
        slot.fetch_xor(word ^ new, Ordering::Relaxed);
    } else {
        slot.store(new, Ordering::Relaxed);
    }
}

impl<F: Format> Table<'_, F> {
    /// Marks a leaf for an access, beside others that do or hardware that does.
    #[inline(never)]
    fn mark(&self, index: Index, entry: Entry<F>, access: Access) {
        let mut now = entry;
        // A fault may show the page meanwhile, or hide it below a table that it shows.
        while now.is_page() {
            let marked = now.after(access);
            if marked == now || self.replace(index, now, marked) {
                break;
            }
            now = self.load_acquire(index);
        }
    }
}
