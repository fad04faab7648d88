// SPDX-License-Identifier: MIT OR Apache-2.0
//! One page of a table, as this CPU reaches it. All accesses to entries are atomic and happen here.
//!
//! What is done to entries under one window is a function of its own, so that the code that opens and closes
//! it is here once.

use super::arch::Format;
use super::entry::{Entry, Way};
use super::units::{ENTRIES, Gpa, Hpa, Index, Level, PerLevel, Span};
use super::{LOGS, NestedPageTable};
use crate::addr::Bits;
use crate::hal::{DirectMap, HAS_WINDOWS, Purpose};
use crate::sync::{AtomicU64, Defect, Ordering, fence, planted, unless};
use core::marker::PhantomData;
use core::ptr::NonNull;

/// Entries that an end of a range cuts, one for each end at most, and the tables that take their places. While
/// they are between break and make a call finds the tables here.
#[derive(Clone, Copy)]
pub(crate) struct Broken {
    cuts: [CutEntry; 2],
    count: u32,
}

/// An entry that is cut.
#[derive(Clone, Copy)]
pub(super) struct CutEntry {
    /// The table that has the entry.
    pub(super) page: Hpa,
    pub(super) index: Index,
    pub(super) level: Level,
    /// What the entry was.
    pub(super) word: u64,
    /// What takes its place.
    pub(super) table: Hpa,
    /// The end of the range that is in it.
    pub(super) gpa: Gpa,
}

impl Broken {
    const NOWHERE: CutEntry = CutEntry {
        page: Hpa::new(0),
        index: Index::FIRST,
        level: Level::PAGE,
        word: 0,
        table: Hpa::new(0),
        gpa: Gpa::new(0),
    };

    /// None.
    pub(crate) const NONE: Self = Self { cuts: [Self::NOWHERE; 2], count: 0 };

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.count = 0;
    }

    /// Adds one.
    pub(super) fn add(&mut self, cut: CutEntry) {
        if let Some(place) = self.cuts.get_mut(self.count as usize) {
            *place = cut;
            self.count = self.count.wrapping_add(1);
        }
    }

    /// The table that takes the place of an entry, if it is broken.
    #[inline(always)]
    pub(super) fn table_at(&self, page: Hpa, index: Index) -> Option<Hpa> {
        if self.count == 0 { None } else { self.find(page, index) }
    }

    #[cold]
    #[inline(never)]
    fn find(&self, page: Hpa, index: Index) -> Option<Hpa> {
        let is_it = |cut: &&CutEntry| (cut.page, cut.index) == (page, index);
        self.all().find(is_it).map(|cut| cut.table)
    }

    /// All of them.
    #[inline(always)]
    pub(super) fn all(&self) -> impl Iterator<Item = &CutEntry> {
        self.cuts.iter().take(self.count as usize)
    }

    /// Takes the last one.
    pub(super) fn take(&mut self) -> Option<CutEntry> {
        self.count = self.count.checked_sub(1)?;
        self.cuts.get(self.count as usize).copied()
    }
}

/// 512 entries of format `F`, reachable until the value is dropped.
pub(crate) struct Table<'a, F> {
    base: NonNull<AtomicU64>,
    npt: &'a NestedPageTable,
    format: PhantomData<F>,
}

impl<F> Drop for Table<'_, F> {
    #[inline(always)]
    fn drop(&mut self) {
        if HAS_WINDOWS {
            self.npt.close(self.base.cast());
        }
    }
}

impl<'a, F: Format> Table<'a, F> {
    /// Opens the page of a table, which is a frame of ours.
    #[inline(always)]
    pub(crate) fn open(npt: &'a NestedPageTable, page: Hpa) -> Option<Self> {
        let base = if npt.is_direct() {
            DirectMap::new(npt.offset).place(page)
        } else {
            npt.host.open_page(page)
        };
        base.map(|base| Self { base: base.cast(), npt, format: PhantomData })
    }

    /// As [`Table::open`], by a call: for what is not done for a single page.
    #[inline(always)]
    pub(crate) fn reach(npt: &'a NestedPageTable, page: Hpa) -> Option<Self> {
        if !HAS_WINDOWS {
            return Self::open(npt, page);
        }
        npt.open_far(page).map(|base| Self { base: base.cast(), npt, format: PhantomData })
    }

    #[inline(always)]
    pub(crate) fn slot(&self, index: Index) -> &AtomicU64 {
        // SAFETY: 1. the window is open on a page of 512 words, aligned for 64-bit accesses; 2. an
        // `Index` is below 512; 3. every access to the page while it is a table is atomic; 4. the
        // reference does not outlive the window.
        unsafe { self.base.add(index.get()).as_ref() }
    }

    #[inline(always)]
    pub(crate) fn slots(&self, span: Span) -> &[AtomicU64] {
        let count = span.count().min(ENTRIES.saturating_sub(span.first.get()));
        // SAFETY: 1. `first + count` is at most 512; 2. as for `slot`.
        unsafe {
            let first = self.base.add(span.first.get());
            core::slice::from_raw_parts(first.as_ptr(), count)
        }
    }

    /// An entry, for calls that hold the space exclusively or look again before they act.
    #[inline(always)]
    pub(crate) fn load(&self, index: Index) -> Entry<F> {
        Entry::from_word(self.slot(index).load(Ordering::Relaxed))
    }

    /// An entry, with everything that was written before it was.
    #[inline(always)]
    pub(crate) fn load_acquire(&self, index: Index) -> Entry<F> {
        Entry::from_word(self.slot(index).load(unless(Defect::Acquisition, Ordering::Acquire)))
    }

    /// As [`Table::load_acquire`], for an entry beside the one that was walked to.
    #[inline(always)]
    pub(crate) fn load_neighbour(&self, index: Index) -> Entry<F> {
        let order = unless(Defect::NeighbourAcquisition, Ordering::Acquire);
        Entry::from_word(self.slot(index).load(order))
    }

    /// Writes an entry, after everything that was written before.
    #[inline(always)]
    pub(crate) fn store(&self, index: Index, entry: Entry<F>) {
        self.slot(index).store(entry.word(), Ordering::Release);
        self.clean(Span::one(index));
    }

    /// Writes an entry if it is still `current`, after everything that was written before.
    #[inline(always)]
    pub(crate) fn replace(&self, index: Index, current: Entry<F>, new: Entry<F>) -> bool {
        let done = exchange(self.slot(index), current, new);
        if done {
            self.clean(Span::one(index));
        }
        done
    }

    /// Writes what `change` makes of each entry, after everything that was written before.
    #[inline(always)]
    pub(crate) fn update(&self, span: Span, mut change: impl FnMut(Entry<F>) -> Entry<F>) {
        fence(Ordering::Release);
        for slot in self.slots(span) {
            let entry = Entry::from_word(slot.load(Ordering::Relaxed));
            slot.store(change(entry).word(), Ordering::Relaxed);
        }
        self.clean(span);
    }

    /// As [`Table::update`], beside hardware that writes to leaves: `change` is asked again for one that changed.
    #[inline(always)]
    pub(crate) fn edit(&self, span: Span, mut change: impl FnMut(Entry<F>) -> Entry<F>) {
        if !LOGS || !self.npt.is_live() || planted(Defect::PlainEdit) {
            return self.update(span, change);
        }
        for slot in self.slots(span) {
            let mut word = slot.load(Ordering::Relaxed);
            // Hardware sets each of two bits once.
            for _ in 0..3 {
                let new = change(Entry::from_word(word)).word();
                match slot.compare_exchange(word, new, Ordering::Release, Ordering::Relaxed) {
                    Ok(_) => break,
                    Err(now) => word = now,
                }
            }
        }
        self.clean(span);
    }

    /// Calls `visit` with each entry, in order.
    #[inline(always)]
    pub(crate) fn for_each(&self, span: Span, mut visit: impl FnMut(Entry<F>)) {
        for slot in self.slots(span) {
            visit(Entry::from_word(slot.load(Ordering::Relaxed)));
        }
    }

    /// Whether an entry of a table of `level` is empty, or leads to a kept table only.
    #[inline(always)]
    pub(crate) fn is_absent(&self, entry: Entry<F>, level: Level) -> bool {
        entry.is_empty() || self.npt.keeps_tables() && entry.is_kept_table(level.get())
    }

    /// The first entry of a span that is occupied, in a table of `level`. Most of most tables is empty, so that
    /// entries are looked at eight at a time.
    #[inline(never)]
    pub(crate) fn first_occupied(&self, span: Span, level: Level) -> Option<Index> {
        let mut rest = span;
        loop {
            let index = self.first_not_empty(rest)?;
            if !self.is_absent(self.load(index), level) {
                return Some(index);
            }
            rest = rest.behind(index)?;
        }
    }

    #[inline(never)]
    pub(super) fn first_not_empty(&self, span: Span) -> Option<Index> {
        let (eights, rest) = self.slots(span).as_chunks::<8>();
        let load = |slot: &AtomicU64| slot.load(Ordering::Relaxed);
        let is_occupied = |slot: &AtomicU64| load(slot) & F::OCCUPIED != 0;
        let mut place = 0_usize;
        for eight in eights {
            let [a, b, c, d, e, f, g, h] = eight;
            let left = load(a) | load(b) | load(c) | load(d);
            let right = load(e) | load(f) | load(g) | load(h);
            if (left | right) & F::OCCUPIED != 0 {
                let first = eight.iter().position(is_occupied).unwrap_or(0);
                return span.first.after(place.wrapping_add(first));
            }
            place = place.wrapping_add(8);
        }
        rest.iter().position(is_occupied).and_then(|at| span.first.after(place.wrapping_add(at)))
    }

    #[inline(always)]
    pub(crate) fn clean(&self, span: Span) {
        if self.npt.cleans_tables {
            self.npt.clean_lines(self.slots(span));
        }
    }
}

/// Writes an entry if it is still `current`, after everything that was written before.
#[inline(always)]
pub(super) fn exchange<F: Format>(slot: &AtomicU64, current: Entry<F>, new: Entry<F>) -> bool {
    let order = unless(Defect::Publication, Ordering::AcqRel);
    if planted(Defect::BlindReplacement) {
        slot.swap(new.word(), order);
        return true;
    }
    slot.compare_exchange(current.word(), new.word(), order, Ordering::Acquire).is_ok()
}

impl NestedPageTable {
    /// Where this CPU reaches the page of a table.
    #[inline(never)]
    fn open_far(&self, page: Hpa) -> Option<NonNull<u8>> {
        if self.is_direct() {
            DirectMap::new(self.offset).place(page)
        } else {
            self.host.open_page(page)
        }
    }

    #[inline(never)]
    fn close(&self, base: NonNull<u8>) {
        if !self.is_direct() {
            self.host.close_page(base);
        }
    }

    #[cold]
    #[inline(never)]
    fn clean_lines(&self, slots: &[AtomicU64]) {
        let va = slots.as_ptr().cast::<u8>().cast_mut();
        self.host.clean(va, size_of_val(slots), Purpose::Table);
    }

    /// An entry, with everything that was written before it was.
    #[inline(never)]
    pub(crate) fn entry<F: Format>(&self, page: Hpa, index: Index) -> Option<Entry<F>> {
        Some(Table::reach(self, page)?.load_acquire(index))
    }

    /// Writes an entry, after everything that was written before.
    #[inline(never)]
    pub(super) fn set<F: Format>(&self, page: Hpa, index: Index, entry: Entry<F>) -> Option<()> {
        let table = Table::<F>::reach(self, page)?;
        // A store and a read-modify-write of hardware's have an order, which loom knows of two of the latter only.
        #[cfg(loom)]
        table.slot(index).swap(entry.word(), Ordering::Release);
        #[cfg(not(loom))]
        table.store(index, entry);
        Some(())
    }

    /// The entry for an address in the table of a level on a path.
    #[inline(never)]
    pub(super) fn entry_on<F: Format>(
        &self,
        path: &PerLevel<Hpa>,
        gpa: Gpa,
        level: Level,
    ) -> Option<Entry<F>> {
        Some(Table::reach(self, path.get(level))?.load_acquire(gpa.index(level)))
    }

    /// Writes the entry for an address in the table of a level on a path, after everything that was written before.
    #[inline(never)]
    pub(super) fn set_on<F: Format>(
        &self,
        path: &PerLevel<Hpa>,
        gpa: Gpa,
        level: Level,
        entry: Entry<F>,
    ) -> Option<()> {
        self.set(path.get(level), gpa.index(level), entry)
    }

    /// Writes entries at a distance of `step` (as a difference of words) from each other, after everything that
    /// was written before.
    #[inline(never)]
    pub(super) fn fill<F: Format>(
        &self,
        page: Hpa,
        span: Span,
        first: Entry<F>,
        step: u64,
    ) -> Option<()> {
        let table = Table::<F>::reach(self, page)?;
        fence(Ordering::Release);
        let mut word = first.word();
        // Not a loop of eight: the compiler unrolls none where it looks for size.
        macro_rules! put {
            ($($slot:ident)*) => {$(
                $slot.store(word, Ordering::Relaxed);
                word = word.wrapping_add(step);
            )*};
        }
        let (eights, rest) = table.slots(span).as_chunks::<8>();
        for [a, b, c, d, e, f, g, h] in eights {
            put!(a b c d e f g h);
        }
        for slot in rest {
            put!(slot);
        }
        table.clean(span);
        Some(())
    }

    /// Writes the same entry everywhere in a page of a table that no walker sees yet.
    #[inline(never)]
    pub(crate) fn fill_unseen<F: Format>(&self, page: Hpa, entry: Entry<F>) -> Option<()> {
        let table = Table::<F>::reach(self, page)?;
        repeat(table.slots(Span::ALL), entry.word());
        table.clean(Span::ALL);
        Some(())
    }

    /// Whether no entry of a span is occupied.
    #[inline(always)] // For the stack.
    pub(super) fn is_empty<F: Format>(&self, page: Hpa, level: Level, span: Span) -> Option<bool> {
        Some(Table::<F>::reach(self, page)?.first_occupied(span, level).is_none())
    }

    /// Whether no entry outside a span is occupied.
    #[inline(always)] // For the stack.
    pub(super) fn is_empty_outside<F: Format>(
        &self,
        page: Hpa,
        level: Level,
        span: Span,
    ) -> Option<bool> {
        let table = Table::<F>::reach(self, page)?;
        let before = span.first.previous().map(|last| Span::new(Index::FIRST, last));
        let after = span.last.next().map(|first| Span::new(first, Index::LAST));
        let has = |span: Option<Span>| {
            span.is_some_and(|span| table.first_occupied(span, level).is_some())
        };
        Some(!has(after) && !has(before))
    }

    /// How many of the two entries beside a span are occupied.
    #[inline(never)]
    pub(super) fn neighbours<F: Format>(&self, page: Hpa, level: Level, span: Span) -> Option<u32> {
        let table = Table::<F>::reach(self, page)?;
        let is_occupied = |index: Option<Index>| {
            u32::from(index.is_some_and(|index| !table.is_absent(table.load(index), level)))
        };
        Some(is_occupied(span.first.previous()).wrapping_add(is_occupied(span.last.next())))
    }

    /// How many entries of a span are occupied, without those that are dead.
    #[inline(never)]
    pub(super) fn count_occupied<F: Format>(
        &self,
        page: Hpa,
        level: Level,
        span: Span,
    ) -> Option<u64> {
        let table = Table::<F>::reach(self, page)?;
        // Most entries differ in their address only from the one before, or in nothing.
        let (mut like, mut counts, mut count) = (Entry::EMPTY, 0, 0_u64);
        table.for_each(span, |entry| {
            if entry.difference(like) != 0 {
                like = entry;
                counts = u64::from(!table.is_absent(entry, level) && entry.is_settled());
            }
            count = count.wrapping_add(counts);
        });
        Some(count)
    }

    /// The way from the first entry of a span that leads to a table, which `found` is set to; it ends if the span
    /// has no such entry.
    #[inline(never)]
    pub(super) fn first_table<F: Format>(
        &self,
        page: Hpa,
        level: Level,
        span: Span,
        broken: &Broken,
        found: &mut Index,
    ) -> Way {
        let Some(table) = Table::<F>::reach(self, page) else { return Way::Corrupt };
        let mut rest = Some(span);
        while let Some(index) = rest.and_then(|span| table.first_not_empty(span)) {
            let way = match table.load_acquire(index).way(level.get()) {
                Way::Ends => broken.table_at(page, index).map_or(Way::Ends, Way::Down),
                way => way,
            };
            if way != Way::Ends {
                *found = index;
                return way;
            }
            rest = span.behind(index);
        }
        Way::Ends
    }
}

/// An entry of a table in a direct map at an offset.
#[inline(always)]
pub(super) fn read_direct<F: Format>(offset: u64, page: Hpa, index: Index) -> Entry<F> {
    let base = page.bits().wrapping_add(offset) as *const AtomicU64;
    // SAFETY: as for `Table::slot`; a table that went back stays readable, as the host declared where this
    // is called.
    let slot = unsafe { &*base.add(index.get()) };
    Entry::from_word(slot.load(Ordering::Relaxed))
}

/// Writes the same word everywhere; the string instruction moves whole cache lines. Readers without the
/// lock may still look at what was a table here: they see old words or new ones.
#[cfg(all(target_arch = "x86_64", not(loom)))]
#[inline(always)]
fn repeat(slots: &[AtomicU64], word: u64) {
    // SAFETY: 1. writes aligned words inside `slots`, whose interior is mutable; 2. the direction flag is
    // clear, as the ABI says.
    unsafe {
        core::arch::asm!(
            "rep stosq",
            inout("rcx") slots.len() => _,
            inout("rdi") slots.as_ptr() => _,
            in("rax") word,
            options(nostack, preserves_flags),
        );
    }
}

/// Writes the same word everywhere.
#[cfg(any(not(target_arch = "x86_64"), loom))]
#[inline(always)]
fn repeat(slots: &[AtomicU64], word: u64) {
    for slot in slots {
        slot.store(word, Ordering::Relaxed);
    }
}
