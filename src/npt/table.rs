// SPDX-License-Identifier: MIT OR Apache-2.0
//! One page of a table, as this CPU reaches it. All accesses to entries are atomic and happen here.

use super::arch::Format;
use super::entry::Entry;
use super::geometry::{ENTRIES, Index, Span, entry_size};
use crate::addr::HostPhysAddr;
use crate::error::Result;
use crate::hal::{DirectMap, Host, Purpose, Window};
use crate::sync::{AtomicU64, Defect, Ordering, fence, planted, unless};
use core::marker::PhantomData;

/// How tables are reached and kept visible.
#[derive(Clone, Copy)]
pub(crate) struct Memory<'h> {
    pub(crate) host: &'h Host,
    /// Page walkers do not snoop the caches.
    pub(crate) noncoherent: bool,
}

/// What a scan came upon.
pub(crate) struct Scan<F> {
    /// Linear leaves before that.
    pub(crate) leaves: u64,
    /// The first entry that names something, and its place.
    pub(crate) named: Option<(Index, Entry<F>)>,
}

/// 512 entries of format `F`, reachable until the value is dropped.
pub(crate) struct Table<'h, F> {
    window: Window<'h>,
    noncoherent: bool,
    format: PhantomData<F>,
}

impl<'h, F: Format> Table<'h, F> {
    /// Opens the page of a table at `address`, which is a frame of ours.
    #[inline(always)]
    pub(crate) fn open(memory: Memory<'h>, address: HostPhysAddr) -> Result<Self> {
        let window = memory.host.window(address)?;
        Ok(Self { window, noncoherent: memory.noncoherent, format: PhantomData })
    }

    #[inline(always)]
    fn slot(&self, index: Index) -> &AtomicU64 {
        // SAFETY: 1. the window is open on a page of 512 words, aligned for 64-bit accesses; 2. an
        // `Index` is below 512; 3. every access to the page while it is a table is atomic; 4. the
        // reference does not outlive the window.
        unsafe { self.window.base().cast::<AtomicU64>().add(index.get()).as_ref() }
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
        let slot = self.slot(index);
        let order = unless(Defect::Publication, Ordering::AcqRel);
        let done = if planted(Defect::BlindReplacement) {
            slot.swap(new.word(), order);
            true
        } else {
            slot.compare_exchange(current.word(), new.word(), order, Ordering::Acquire).is_ok()
        };
        if done {
            self.clean(Span::one(index));
        }
        done
    }

    /// Writes entries at a distance of `step` (as a difference of words) from each other.
    #[inline(always)]
    pub(crate) fn fill(&self, span: Span, first: Entry<F>, step: u64) {
        fence(Ordering::Release);
        let mut word = first.word();
        let mut put = |slot: &AtomicU64| {
            slot.store(word, Ordering::Relaxed);
            word = word.wrapping_add(step);
        };
        let (eights, rest) = self.slots(span).as_chunks::<8>();
        for [a, b, c, d, e, f, g, h] in eights {
            put(a);
            put(b);
            put(c);
            put(d);
            put(e);
            put(f);
            put(g);
            put(h);
        }
        rest.iter().for_each(put);
        self.clean(span);
    }

    /// Writes the same word into all entries of a span that no walker sees yet.
    #[inline(always)]
    pub(crate) fn fill_unseen(&self, span: Span, entry: Entry<F>) {
        repeat(self.slots(span), entry.word());
        self.clean(span);
    }

    /// Writes what `change` makes of each entry.
    #[inline(always)]
    pub(crate) fn update(&self, span: Span, mut change: impl FnMut(Entry<F>) -> Entry<F>) {
        for slot in self.slots(span) {
            let entry = Entry::from_word(slot.load(Ordering::Relaxed));
            slot.store(change(entry).word(), Ordering::Relaxed);
        }
        self.clean(span);
    }

    /// Writes what `change` makes of each entry that is occupied, after everything that was written before.
    #[inline(always)]
    pub(crate) fn update_occupied(&self, span: Span, mut change: impl FnMut(Entry<F>) -> Entry<F>) {
        const AT_ONCE: usize = 8;
        fence(Ordering::Release);
        for chunk in self.slots(span).chunks(AT_ONCE) {
            let occupied = chunk.iter().fold(0, |bits, slot| bits | slot.load(Ordering::Relaxed));
            if occupied & F::OCCUPIED == 0 {
                continue;
            }
            for slot in chunk {
                let entry = Entry::from_word(slot.load(Ordering::Relaxed));
                let new = change(entry);
                if new != entry {
                    slot.store(new.word(), Ordering::Relaxed);
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

    /// Copies words from the beginning of a span; how many.
    #[inline(always)]
    pub(crate) fn read(&self, span: Span, words: &mut [u64]) -> usize {
        words.iter_mut().zip(self.slots(span)).fold(0, |count: usize, (word, slot)| {
            *word = slot.load(Ordering::Relaxed);
            count.wrapping_add(1)
        })
    }

    /// Whether nothing stands in the span.
    pub(crate) fn is_empty(&self, span: Span) -> bool {
        self.first_occupied(span).is_none()
    }

    /// Whether something stands right beside a span.
    #[inline(always)]
    pub(crate) fn stands_beside(&self, span: Span) -> bool {
        let stands = |index: Option<Index>| index.is_some_and(|at| !self.load(at).is_empty());
        stands(span.last.next()) || stands(span.first.previous())
    }

    /// The first place of a span at which something stands. Most of most tables is empty, so that entries
    /// are looked at eight at a time.
    #[inline(never)]
    pub(crate) fn first_occupied(&self, span: Span) -> Option<Index> {
        let (eights, rest) = self.slots(span).as_chunks::<8>();
        let load = |slot: &AtomicU64| slot.load(Ordering::Relaxed);
        let is_occupied = |slot: &AtomicU64| load(slot) & F::OCCUPIED != 0;
        let mut place = span.first.get();
        for eight in eights {
            let [a, b, c, d, e, f, g, h] = eight;
            let left = load(a) | load(b) | load(c) | load(d);
            let right = load(e) | load(f) | load(g) | load(h);
            if (left | right) & F::OCCUPIED != 0 {
                let first = eight.iter().position(is_occupied).unwrap_or(0);
                return Index::at(place.wrapping_add(first));
            }
            place = place.wrapping_add(8);
        }
        rest.iter().position(is_occupied).and_then(|first| Index::at(place.wrapping_add(first)))
    }

    /// The places of a span at which something stands, in order.
    pub(crate) fn occupied(&self, span: Span) -> impl Iterator<Item = Index> {
        let mut rest = Some(span);
        core::iter::from_fn(move || {
            let span = rest?;
            let index = if self.load(span.first).is_empty() {
                self.first_occupied(span)?
            } else {
                span.first
            };
            let next = index.next().filter(|next| *next <= span.last);
            rest = next.map(|first| Span { first, last: span.last });
            Some(index)
        })
    }

    /// Goes over the entries of a span to the first that names a table or a frame of the library, or
    /// any leaf if linear ones are to be reported. Most tables hold runs, so that entries are looked at
    /// eight at a time: whether they go on as the eight before them, or follow from the first of them.
    #[inline(always)]
    pub(crate) fn scan(&self, level: u32, span: Span, reports: bool) -> Scan<F> {
        let leaf_step = F::address_field(entry_size(level));
        let counts = |entry: Entry<F>| entry.is_linear_leaf(level) && !reports;
        let mut leaves = 0_u64;
        let mut place = span.first.get();
        let (mut expected, mut step, mut leaves_of_eight) = (F::EMPTY, 0, 0_u64);
        let (eights, rest) = self.slots(span).as_chunks::<8>();
        let one_by_one = |slots: &[AtomicU64], place: usize, leaves: &mut u64| {
            slots.iter().enumerate().find_map(|(offset, slot)| {
                let entry = Entry::from_word(slot.load(Ordering::Relaxed));
                if counts(entry) {
                    *leaves = leaves.wrapping_add(1);
                } else if !entry.is_plain() {
                    return Index::at(place.wrapping_add(offset)).map(|index| (index, entry));
                }
                None
            })
        };
        for eight in eights {
            if let Some(next) = follows(eight, expected, step) {
                expected = next;
                leaves = leaves.wrapping_add(leaves_of_eight);
                place = place.wrapping_add(eight.len());
                continue;
            }
            let [first, ..] = eight;
            let first = Entry::<F>::from_word(first.load(Ordering::Relaxed));
            step = if first.is_hardware_visible() { leaf_step } else { 0 };
            leaves_of_eight = if counts(first) { 8 } else { 0 };
            match follows(eight, first.word(), step) {
                Some(next) if counts(first) || first.is_plain() => {
                    expected = next;
                    leaves = leaves.wrapping_add(leaves_of_eight);
                }
                _ => {
                    // Nothing follows from these.
                    (expected, step, leaves_of_eight) = (F::EMPTY, 0, 0);
                    if let Some(named) = one_by_one(eight, place, &mut leaves) {
                        return Scan { leaves, named: Some(named) };
                    }
                }
            }
            place = place.wrapping_add(eight.len());
        }
        let named = one_by_one(rest, place, &mut leaves);
        Scan { leaves, named }
    }

    #[inline(always)]
    fn slots(&self, span: Span) -> &[AtomicU64] {
        let count = span.count().min(ENTRIES.saturating_sub(span.first.get()));
        // SAFETY: 1. `first + count` is at most 512; 2. as for `slot`.
        unsafe {
            let first = self.window.base().cast::<AtomicU64>().add(span.first.get());
            core::slice::from_raw_parts(first.as_ptr(), count)
        }
    }

    #[inline(always)]
    fn clean(&self, span: Span) {
        if self.noncoherent {
            self.clean_lines(span);
        }
    }

    #[cold]
    fn clean_lines(&self, span: Span) {
        let slots = self.slots(span);
        let va = slots.as_ptr().cast::<u8>().cast_mut();
        self.window.host().clean(va, size_of_val(slots), Purpose::Table);
    }
}

/// What comes after eight words at a distance of `step` from each other, if they are that, beginning with
/// `first`.
#[inline(always)]
fn follows(eight: &[AtomicU64; 8], first: u64, step: u64) -> Option<u64> {
    let mut expected = first;
    let mut difference = 0;
    for slot in eight {
        difference |= slot.load(Ordering::Relaxed) ^ expected;
        expected = expected.wrapping_add(step);
    }
    (difference == 0).then_some(expected)
}

/// An entry of a table in the host's direct map.
#[inline(always)]
pub(crate) fn read_direct<F: Format>(
    direct: DirectMap,
    page: HostPhysAddr,
    index: Index,
) -> Entry<F> {
    let base = direct.place(page).cast::<AtomicU64>();
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
