//! One page of a table, as this CPU reaches it. All accesses to entries are atomic and happen here.

use super::arch::Format;
use super::entry::Entry;
use super::geometry::{ENTRIES, Index, Span};
use crate::addr::HostPhysAddr;
use crate::error::Result;
use crate::hal::{Host, Purpose, Window};
use crate::sync::{AtomicU64, Defect, Ordering, fence, planted, unless};
use core::marker::PhantomData;

/// How tables are reached and kept visible.
#[derive(Clone, Copy)]
pub(crate) struct Memory<'h> {
    pub(crate) host: &'h Host,
    /// Page walkers do not snoop the caches.
    pub(crate) noncoherent: bool,
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
        for slot in self.slots(span) {
            slot.store(word, Ordering::Relaxed);
            word = word.wrapping_add(step);
        }
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

    /// Calls `visit` with each entry, in order.
    #[inline(always)]
    pub(crate) fn for_each(&self, span: Span, mut visit: impl FnMut(Entry<F>)) {
        for slot in self.slots(span) {
            visit(Entry::from_word(slot.load(Ordering::Relaxed)));
        }
    }

    /// Whether nothing stands in the span.
    #[inline(always)]
    pub(crate) fn is_empty(&self, span: Span) -> bool {
        const AT_ONCE: usize = 8;
        self.slots(span).chunks(AT_ONCE).all(|chunk| {
            let occupied = chunk.iter().fold(0, |bits, slot| bits | slot.load(Ordering::Relaxed));
            occupied & F::OCCUPIED == 0
        })
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
