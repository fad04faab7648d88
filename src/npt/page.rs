// SPDX-License-Identifier: MIT OR Apache-2.0
//! The short way for one page whose table is there, in a direct map: a walk and a store.
//!
//! A function that says none has changed nothing: the caller takes the way for ranges.

use super::NestedPageTable;
use super::arch::{Features, Format};
use super::entry::Entry;
use super::units::{Gpa, GpaRange, Hpa, Index, Level};
use crate::abi::{AXAS_FLUSH_UNMAP, AXAS_SCOPE_ALL, AXAS_STATE_LINEAR, axas_mapping_t};
use crate::addr::Bits;
use crate::error::{Error, Result};
use crate::hal::{FlushRequest, publish_tables};
use crate::sync::{AtomicU64, Defect, Ordering, unless};
use core::marker::PhantomData;

/// An entry of a table that can be reached without a window.
#[derive(Clone, Copy)]
pub(crate) struct Slot<'a> {
    word: *const AtomicU64,
    npt: PhantomData<&'a NestedPageTable>,
}

impl<'a> Slot<'a> {
    /// In the place of an entry above the root.
    const NONE: Self = Self { word: core::ptr::null(), npt: PhantomData };

    /// An entry of a page of a table in a direct map at an offset.
    #[inline(always)]
    fn new(offset: u64, page: Hpa, index: Index) -> Self {
        let table = page.bits().wrapping_add(offset) as *const AtomicU64;
        Self { word: table.wrapping_add(index.get()), npt: PhantomData }
    }

    /// Its word, if it is not [`Slot::NONE`].
    #[inline(always)]
    pub(crate) fn word(self) -> &'a AtomicU64 {
        // SAFETY: 1. not none, whose word is never asked for; 2. one of the 512 words of a table, aligned for 64-bit
        // accesses, in a direct map; 3. every access to it is atomic.
        unsafe { &*self.word }
    }

    #[inline(always)]
    fn entry<F: Format>(self) -> Entry<F> {
        Entry::from_word(self.word().load(Ordering::Relaxed))
    }

    /// The table that the entry points to has a page that is young.
    #[inline(always)]
    fn warm<F: Format>(self) {
        super::warm::<F>(self.word());
    }

    /// Whether the entry behind it is occupied, if it is that of the page at an address.
    #[inline(always)]
    fn is_next_occupied<F: Format>(self, gpa: Gpa) -> bool {
        let next = Self { word: self.word.wrapping_add(1), ..self };
        gpa.index(Level::PAGE) != Index::LAST && !next.entry::<F>().is_empty()
    }

    /// Whether the entry before it is occupied, if it is that of the page at an address.
    #[inline(always)]
    fn is_previous_occupied<F: Format>(self, gpa: Gpa) -> bool {
        let previous = Self { word: self.word.wrapping_sub(1), ..self };
        gpa.index(Level::PAGE) != Index::FIRST && !previous.entry::<F>().is_empty()
    }
}

/// The way to a page: its entry, and those that point to its tables.
#[derive(Clone, Copy)]
pub(crate) struct PageWay<'a> {
    pub(crate) page: Slot<'a>,
    second: Slot<'a>,
    third: Slot<'a>,
    /// None where the root has level 3.
    fourth: Slot<'a>,
}

impl PageWay<'_> {
    /// The page's entry.
    #[inline(always)]
    pub(crate) fn entry<F: Format>(&self) -> Entry<F> {
        self.page.entry()
    }

    /// The page is young.
    #[inline(always)]
    pub(crate) fn warm<F: Format>(&self) {
        self.second.warm::<F>();
    }
}

impl NestedPageTable {
    /// The way to a page in a direct map; none where there is no table of level 1.
    #[inline(always)] // A third of a call for one page.
    pub(crate) fn page_way<F: Format>(&self, gpa: Gpa) -> Option<PageWay<'_>> {
        let offset = self.offset;
        let levels = self.levels.get();
        let mut page = self.root_page::<F>(gpa);
        let mut fourth = Slot::NONE;
        macro_rules! step {
            ($level:literal) => {{
                let slot = Slot::new(offset, page, gpa.index(Level::new($level)));
                let order = unless(Defect::Acquisition, Ordering::Acquire);
                let entry = Entry::<F>::from_word(slot.word().load(order));
                if !F::is_table(entry.word()) {
                    return None;
                }
                page = entry.table_address();
                slot
            }};
        }
        if F::MIN_LEVELS >= 4 || levels >= 4 {
            if F::MAX_LEVELS >= 5 && levels > 4 {
                page = self.below_fifth::<F>(gpa)?;
            }
            fourth = step!(4);
        }
        let third = step!(3);
        let second = step!(2);
        let page = Slot::new(offset, page, gpa.index(Level::PAGE));
        Some(PageWay { page, second, third, fourth })
    }

    /// The entry of level 5 for an address; none above the root.
    #[inline(always)]
    fn fifth<F: Format>(&self, gpa: Gpa) -> Slot<'_> {
        let level = Level::new(5);
        if F::MAX_LEVELS >= 5 && self.levels == level {
            Slot::new(self.offset, self.root_page::<F>(gpa), gpa.index(level))
        } else {
            Slot::NONE
        }
    }

    /// The table of level 4 for an address, below a root of level 5.
    #[cold] // Few guests have so much memory, and each step is code.
    #[inline(never)]
    fn below_fifth<F: Format>(&self, gpa: Gpa) -> Option<Hpa> {
        let order = unless(Defect::Acquisition, Ordering::Acquire);
        let entry = Entry::<F>::from_word(self.fifth::<F>(gpa).word().load(order));
        F::is_table(entry.word()).then_some(entry.table_address())
    }

    /// Maps a page at the end of a way, where nothing is.
    #[inline(always)]
    pub(crate) fn map_page<F: Format>(&self, way: PageWay<'_>, gpa: Gpa, leaf: Entry<F>) {
        let PageWay { page, second, third, fourth } = way;
        let above = second.entry::<F>();
        let before = above.occupancy();
        if before.wrapping_sub(1) < Entry::<F>::MOST.wrapping_sub(1) {
            second.word().store(above.with_one_more().word(), Ordering::Relaxed);
        } else if before != Entry::<F>::UNKNOWN {
            self.occupy_page::<F>(gpa, page, second, third, fourth);
        } else {
            second.warm::<F>();
        }
        page.word().store(leaf.word(), Ordering::Release);
        self.count_leaves(Level::PAGE, 1);
        publish_tables();
        self.announce::<F>(GpaRange::new(gpa, gpa.plus(Level::PAGE.size())));
    }

    /// Counts a page's entry, which becomes occupied, where its table is pointed to. The slots are those of its
    /// [`PageWay`], in registers.
    #[inline(never)]
    fn occupy_page<F: Format>(
        &self,
        gpa: Gpa,
        page: Slot<'_>,
        second: Slot<'_>,
        third: Slot<'_>,
        fourth: Slot<'_>,
    ) {
        let is_run = second.entry::<F>().occupancy() == Entry::<F>::RUN;
        let has_neighbour =
            || page.is_next_occupied::<F>(gpa) || page.is_previous_occupied::<F>(gpa);
        if is_run && has_neighbour() {
            second.warm::<F>();
            return;
        }
        for slot in &[second, third, fourth, self.fifth::<F>(gpa)] {
            if slot.word.is_null() {
                break;
            }
            let entry = slot.entry::<F>();
            let before = entry.occupancy();
            let after = if before == Entry::<F>::KEPT {
                entry.with_occupancy(1)
            } else if before == Entry::<F>::UNKNOWN || before >= Entry::<F>::MOST {
                entry.with_occupancy(Entry::<F>::UNKNOWN)
            } else {
                entry.with_one_more()
            };
            slot.word().store(after.word(), Ordering::Relaxed);
            if before != Entry::<F>::KEPT {
                return;
            }
        }
        super::add(&self.root_entries, 1);
    }

    /// Unmaps a linear page; none if that was not done here.
    #[inline(always)]
    pub(crate) fn unmap_page<F: Format>(&self, gpa: Gpa) -> Option<()> {
        let PageWay { page, second, third, fourth } = self.page_way::<F>(gpa)?;
        let leaf = page.entry::<F>();
        if !leaf.is_linear_leaf(1) {
            return None;
        }
        let above = second.entry::<F>();
        let before = above.occupancy();
        if before.wrapping_sub(2) < Entry::<F>::MOST.wrapping_sub(1) {
            second.word().store(above.with_one_less().word(), Ordering::Relaxed);
        } else if before == 1 {
            self.empty_tables::<F>(gpa, second, third, fourth)?;
        } else if page.is_next_occupied::<F>(gpa) {
            // A run that loses its first page is one.
            if before == Entry::<F>::RUN && page.is_previous_occupied::<F>(gpa) {
                let unknown = above.with_occupancy(Entry::<F>::UNKNOWN);
                second.word().store(unknown.word(), Ordering::Relaxed);
            }
        } else if !page.is_previous_occupied::<F>(gpa) {
            return None;
        }
        page.word().store(F::EMPTY, Ordering::Release);
        self.discount_leaves(Level::PAGE, 1);
        self.flush_page::<F>(gpa);
        if self.host.wants_released() {
            self.report_page(gpa, leaf);
        }
        Some(())
    }

    /// Marks the tables kept that become empty with a page's entry; none if they would go, or may stay. The slots
    /// are those of its [`PageWay`], in registers.
    #[inline(never)]
    fn empty_tables<F: Format>(
        &self,
        gpa: Gpa,
        second: Slot<'_>,
        third: Slot<'_>,
        fourth: Slot<'_>,
    ) -> Option<()> {
        if !self.keeps_tables() {
            return None;
        }
        let way = [second, third, fourth, self.fifth::<F>(gpa)];
        let is_emptied =
            |slot: &&Slot<'_>| !slot.word.is_null() && slot.entry::<F>().occupancy() == 1;
        // Counted before the table above them loses an entry: it may have one left then, as they have.
        let emptied = way.iter().take_while(is_emptied).count();
        let above = way.get(emptied).filter(|slot| !slot.word.is_null());
        match above {
            Some(slot) => {
                let entry = slot.entry::<F>();
                let count = entry.occupancy();
                if count == Entry::<F>::UNKNOWN || count > Entry::<F>::MOST {
                    return None;
                }
                slot.word().store(entry.with_one_less().word(), Ordering::Relaxed);
            }
            None => super::subtract(&self.root_entries, 1),
        }
        for slot in way.iter().take(emptied) {
            let kept = slot.entry::<F>().with_occupancy(Entry::<F>::KEPT);
            slot.word().store(kept.word(), Ordering::Relaxed);
        }
        Some(())
    }

    /// Puts a page in the place of another, which is at the end of a way; none if that was not done here.
    #[inline(always)]
    pub(crate) fn replace_page<F: Format>(
        &self,
        way: PageWay<'_>,
        gpa: Gpa,
        old: Entry<F>,
        leaf: Entry<F>,
    ) -> Option<Result<()>> {
        let slot = way.page.word();
        if !old.is_leaf(1) {
            return None;
        }
        way.warm::<F>();
        let is_owned = old.is_owned();
        if is_owned && F::address(old.word()) == F::address(leaf.word()) {
            return Some(Err(Error::InvalidInput));
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
        } else if self.host.wants_released() {
            self.report_replaced(gpa, old, leaf);
        }
        self.announce::<F>(GpaRange::new(gpa, gpa.plus(Level::PAGE.size())));
        Some(Ok(()))
    }

    /// Tells the host that a linear page is gone, unless its frame is in what came in its place.
    #[inline(never)]
    fn report_replaced<F: Format>(&self, gpa: Gpa, old: Entry<F>, leaf: Entry<F>) {
        if F::address(old.word()) != F::address(leaf.word()) {
            self.report_page(gpa, old);
        }
    }

    /// Tells the host that a linear page is gone.
    #[inline(never)]
    fn report_page<F: Format>(&self, gpa: Gpa, leaf: Entry<F>) {
        self.host.released(&axas_mapping_t {
            gpa: gpa.bits(),
            size: Level::PAGE.size(),
            hpa: leaf.address().bits(),
            cookie: 0,
            flags: leaf.attributes(self.features).flags(),
            state: AXAS_STATE_LINEAR,
            level: Level::PAGE.get(),
            reserved0: 0,
            reserved: [0; 2],
        });
    }

    /// Has translations of a page that went invalidated.
    #[inline(never)]
    fn flush_page<F: Format>(&self, gpa: Gpa) {
        let mut request = FlushRequest::new(GpaRange::new(gpa, gpa.plus(Level::PAGE.size())));
        request.add_leaf(Level::PAGE);
        super::add(&self.counts.flushes, 1);
        self.flush_now::<F>(request, AXAS_FLUSH_UNMAP, AXAS_SCOPE_ALL);
    }
}
