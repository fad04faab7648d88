// SPDX-License-Identifier: MIT OR Apache-2.0
//! The short way for one page whose table is there and can be reached without a window: a walk and a store.
//!
//! A function that says none has changed nothing: the caller takes the way for ranges.

use super::NestedPageTable;
use super::arch::{Features, Format};
use super::entry::{Entry, Way};
use super::units::{Gpa, GpaRange, Hpa, Index, Level};
use crate::abi::{AXAS_FLUSH_UNMAP, AXAS_SCOPE_ALL};
use crate::addr::Bits;
use crate::error::{Error, Result};
use crate::hal::{FlushRequest, publish_tables};
use crate::sync::{AtomicU64, Defect, Ordering, unless};
use core::marker::PhantomData;

/// The way to a page: its entry, and those that point to its tables.
pub(crate) struct PageWay<'a> {
    /// From that of level 2 up; null above the root.
    above: [*const AtomicU64; 4],
    table: *const AtomicU64,
    index: Index,
    npt: PhantomData<&'a NestedPageTable>,
}

impl PageWay<'_> {
    /// The page's entry.
    #[inline(always)]
    pub(crate) fn slot(&self) -> &AtomicU64 {
        // SAFETY: 1. the page of a table, 512 words aligned for 64-bit accesses, reached without a window that
        // would close; 2. an `Index` is below 512; 3. every access to it is atomic.
        unsafe { &*self.table.add(self.index.get()) }
    }

    /// The entries that point to its tables, from that of level 2 up.
    #[inline(always)]
    fn above(&self) -> impl Iterator<Item = &AtomicU64> {
        // SAFETY: null, or a slot as that of the page.
        self.above.iter().map_while(|slot| unsafe { slot.as_ref() })
    }

    /// How many of the two entries beside the page's are occupied.
    #[inline(always)]
    fn neighbours<F: Format>(&self) -> u32 {
        let is_occupied = |index: Option<Index>| {
            // SAFETY: as for `slot`.
            let load =
                |index: Index| unsafe { &*self.table.add(index.get()) }.load(Ordering::Relaxed);
            u32::from(index.is_some_and(|index| load(index) & F::OCCUPIED != 0))
        };
        is_occupied(self.index.previous()).wrapping_add(is_occupied(self.index.next()))
    }
}

impl NestedPageTable {
    /// The way to a page in a space that is plain; none where there is no table of level 1.
    #[inline(always)]
    pub(crate) fn page_way<F: Format>(&self, gpa: Gpa) -> Option<PageWay<'_>> {
        if self.is_direct {
            let offset = self.offset;
            return self.walk_way::<F>(gpa, |page| {
                Some(page.bits().wrapping_add(offset) as *const AtomicU64)
            });
        }
        self.mapped_way::<F>(gpa)
    }

    /// As [`NestedPageTable::page_way`], by asking the host for each table.
    #[inline(never)]
    fn mapped_way<F: Format>(&self, gpa: Gpa) -> Option<PageWay<'_>> {
        self.walk_way::<F>(gpa, |page| {
            self.host.open_page(page).map(|base| base.as_ptr().cast_const().cast())
        })
    }

    #[inline(always)]
    #[allow(clippy::indexing_slicing)] // Four places, and levels from 2 to 5.
    fn walk_way<F: Format>(
        &self,
        gpa: Gpa,
        place: impl Fn(Hpa) -> Option<*const AtomicU64>,
    ) -> Option<PageWay<'_>> {
        let mut page = self.root_page::<F>(gpa);
        let levels = self.levels.get();
        let mut above = [core::ptr::null(); 4];
        macro_rules! step {
            ($level:literal) => {{
                let table = place(page)?;
                // SAFETY: as for `PageWay::slot`.
                let slot = unsafe { &*table.add(gpa.index(Level::new($level)).get()) };
                let entry = Entry::<F>::from_word(
                    slot.load(unless(Defect::Acquisition, Ordering::Acquire)),
                );
                if !F::is_table(entry.word()) {
                    return None;
                }
                page = entry.table_address();
                above[$level - 2] = &raw const *slot;
            }};
        }
        if F::MAX_LEVELS >= 5 && levels >= 5 {
            step!(5);
        }
        if levels >= 4 {
            step!(4);
        }
        step!(3);
        step!(2);
        let (table, index) = (place(page)?, gpa.index(Level::PAGE));
        Some(PageWay { above, table, index, npt: PhantomData })
    }

    /// Maps a page; none if that was not done here.
    #[inline(always)]
    pub(crate) fn map_page<F: Format>(&self, gpa: Gpa, leaf: Entry<F>) -> Option<Result<()>> {
        let way = self.page_way::<F>(gpa)?;
        let slot = way.slot();
        if slot.load(Ordering::Relaxed) & F::OCCUPIED != 0 {
            return Some(Err(Error::AlreadyExists));
        }
        self.occupy_page::<F>(&way);
        slot.store(leaf.word(), Ordering::Release);
        self.count_leaves(Level::PAGE, 1);
        publish_tables();
        self.announce::<F>(GpaRange::new(gpa, gpa.plus(Level::PAGE.size())));
        Some(Ok(()))
    }

    /// Counts a page's entry, which becomes occupied, where its table is pointed to.
    #[inline(always)]
    fn occupy_page<F: Format>(&self, way: &PageWay<'_>) {
        for (number, slot) in way.above().enumerate() {
            let entry = Entry::<F>::from_word(slot.load(Ordering::Relaxed));
            let before = entry.occupancy();
            let after = if before == Entry::<F>::KEPT {
                1
            } else if before == Entry::<F>::UNKNOWN
                || before == Entry::<F>::RUN && number == 0 && way.neighbours::<F>() != 0
            {
                return;
            } else if before >= Entry::<F>::MOST {
                Entry::<F>::UNKNOWN
            } else {
                before.wrapping_add(1)
            };
            slot.store(entry.with_occupancy(after).word(), Ordering::Relaxed);
            if before != Entry::<F>::KEPT {
                return;
            }
        }
        super::add(&self.root_entries, 1);
    }

    /// Unmaps a linear page; none if that was not done here.
    #[inline(always)]
    pub(crate) fn unmap_page<F: Format>(&self, gpa: Gpa) -> Option<()> {
        let way = self.page_way::<F>(gpa)?;
        let slot = way.slot();
        let leaf = Entry::<F>::from_word(slot.load(Ordering::Relaxed));
        if !leaf.is_linear_leaf(1) {
            return None;
        }
        self.vacate_page::<F>(&way)?;
        slot.store(F::EMPTY, Ordering::Release);
        self.discount_leaves(Level::PAGE, 1);
        self.flush_page::<F>(gpa);
        Some(())
    }

    /// Counts off a page's entry where its table is pointed to; none if a table would go, or may.
    #[inline(always)]
    fn vacate_page<F: Format>(&self, way: &PageWay<'_>) -> Option<()> {
        let first = way.above().next()?;
        let entry = Entry::<F>::from_word(first.load(Ordering::Relaxed));
        let before = entry.occupancy();
        let after = if before > 1 && before <= Entry::<F>::MOST {
            before.wrapping_sub(1)
        } else if before == 1 {
            return self.empty_tables::<F>(way);
        } else {
            match way.neighbours::<F>() {
                0 => return None,
                1 => before,
                _ => Entry::<F>::UNKNOWN,
            }
        };
        if after != before {
            first.store(entry.with_occupancy(after).word(), Ordering::Relaxed);
        }
        Some(())
    }

    /// Marks the tables kept that become empty with a page's entry; none if they would go, or may stay.
    #[inline(never)]
    fn empty_tables<F: Format>(&self, way: &PageWay<'_>) -> Option<()> {
        if !self.keeps_tables {
            return None;
        }
        let load = |slot: &AtomicU64| Entry::<F>::from_word(slot.load(Ordering::Relaxed));
        let steps = || way.above();
        let stays = steps().map(|slot| load(slot).occupancy()).find(|count| *count != 1);
        if stays.is_some_and(|count| count == 0 || count > Entry::<F>::MOST) {
            return None;
        }
        for slot in steps() {
            let entry = load(slot);
            let count = entry.occupancy();
            let left = if count == 1 { Entry::<F>::KEPT } else { count.wrapping_sub(1) };
            slot.store(entry.with_occupancy(left).word(), Ordering::Relaxed);
            if count != 1 {
                return Some(());
            }
        }
        super::subtract(&self.root_entries, 1);
        Some(())
    }

    /// Puts a page in the place of another; none if that was not done here.
    #[inline(always)]
    pub(crate) fn replace_page<F: Format>(&self, gpa: Gpa, leaf: Entry<F>) -> Option<Result<()>> {
        let way = self.page_way::<F>(gpa)?;
        let slot = way.slot();
        let old = Entry::<F>::from_word(slot.load(Ordering::Relaxed));
        if !old.is_hardware_visible() || old.way(1) != Way::Ends {
            return None;
        }
        let is_owned = old.is_owned();
        if old.address() == leaf.address() {
            if is_owned {
                return Some(Err(Error::InvalidInput));
            }
        } else if !is_owned && self.host.wants_released() {
            return None;
        }
        // Level 2 of FEAT_BBM allows another size of entries, not another address.
        if F::breaks_before_make(Features(0)) {
            slot.store(Entry::<F>::busy().word(), Ordering::Release);
            self.flush_page::<F>(gpa);
            slot.store(leaf.word(), Ordering::Release);
            publish_tables();
        } else {
            slot.store(leaf.word(), Ordering::Release);
            self.flush_page::<F>(gpa);
        }
        if is_owned {
            super::subtract(&self.counts.guest, 1);
            self.give_guest(old.address(), Level::PAGE);
        }
        self.announce::<F>(GpaRange::new(gpa, gpa.plus(Level::PAGE.size())));
        Some(Ok(()))
    }

    #[inline(always)]
    fn flush_page<F: Format>(&self, gpa: Gpa) {
        let mut request = FlushRequest::new(GpaRange::new(gpa, gpa.plus(Level::PAGE.size())));
        request.add_leaf(Level::PAGE);
        self.issue::<F>(request, AXAS_FLUSH_UNMAP, AXAS_SCOPE_ALL);
    }
}
