// SPDX-License-Identifier: MIT OR Apache-2.0
//! One page: the ways that are shorter than those for ranges.
//!
//! Where its table is there and tables are in a direct map, a walk and a store. A function that says none has changed
//! nothing: the caller takes another way.
//!
//! Elsewhere one descent finds the table that stays: below it tables come and go with the page
//! ([`NestedPageTable::put_lone_page`], [`NestedPageTable::take_lone_page`]).

use super::arch::{Features, Format};
use super::entry::Entry;
use super::stock::Stock;
use super::table::Broken;
use super::units::{Gpa, GpaRange, Hpa, Index, Level, PerLevel, Span};
use super::work::{Failed, Work};
use super::{NestedPageTable, REPLACES};
use crate::abi::{AXAS_FLUSH_UNMAP, AXAS_SCOPE_ALL, AXAS_STATE_LINEAR, axas_mapping_t};
use crate::addr::Bits;
#[cfg(feature = "provider")]
use crate::addr::PAGE_SIZE;
use crate::error::{Error, Result};
use crate::hal::{FlushRequest, HAS_WINDOWS, publish_tables};
use crate::sync::{AtomicU64, Defect, Ordering, unless};
use core::marker::PhantomData;

/// An entry of a table that can be reached without a window.
#[derive(Clone, Copy)]
pub(crate) struct Slot<'a> {
    word: *const AtomicU64,
    npt: PhantomData<&'a NestedPageTable>,
}

impl<'a> Slot<'a> {
    /// In the place of an entry of level 4 above a root of level 3.
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

    /// The page of the table that it is in, in a direct map at an offset.
    #[cfg(feature = "provider")]
    #[inline(always)]
    pub(super) fn table(self, offset: u64) -> Hpa {
        Hpa::new((self.word.addr() as u64).wrapping_sub(offset) & !(PAGE_SIZE - 1))
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
    /// The way to a page in a direct map, from a root of level [`Level::SHORT`] at most; none where there is no table of level 1.
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
            fourth = step!(4);
        }
        let third = step!(3);
        let second = step!(2);
        let page = Slot::new(offset, page, gpa.index(Level::PAGE));
        Some(PageWay { page, second, third, fourth })
    }

    /// Maps a page, or puts it in the place of another if it `replaces`, where its table is there; none if that was not
    /// done here.
    #[inline(always)]
    pub(crate) fn map_page<F: Format>(
        &self,
        gpa: Gpa,
        leaf: Entry<F>,
        replaces: bool,
    ) -> Option<Result<()>> {
        let way = self.page_way::<F>(gpa)?;
        let old = way.entry::<F>();
        if replaces && (!REPLACES || self.features.has_strict_io()) {
            return None;
        }
        if !old.is_empty() {
            let outcome = Some(Err(Error::AlreadyExists));
            return if replaces { self.replace_page(way, gpa, old, leaf) } else { outcome };
        }
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
        self.announce::<F>(GpaRange::page(gpa));
        Some(Ok(()))
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
        for slot in &[second, third, fourth] {
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

    /// Unmaps a linear page; false if that was not done here.
    #[inline(always)]
    pub(crate) fn unmap_page<F: Format>(&self, gpa: Gpa) -> bool {
        let Some(way) = self.page_way::<F>(gpa) else { return false };
        let PageWay { page, second, third, fourth } = way;
        let leaf = page.entry::<F>();
        if !leaf.is_linear_leaf(1) {
            return false;
        }
        let above = second.entry::<F>();
        let before = above.occupancy();
        if before.wrapping_sub(2) < Entry::<F>::MOST.wrapping_sub(1) {
            second.word().store(above.with_one_less().word(), Ordering::Relaxed);
        } else if before == 1 {
            return self.empty_tables::<F>(gpa, page, second, third, fourth);
        } else if page.is_next_occupied::<F>(gpa) {
            // A run that loses its first page is one.
            if before == Entry::<F>::RUN && page.is_previous_occupied::<F>(gpa) {
                let unknown = above.with_occupancy(Entry::<F>::UNKNOWN);
                second.word().store(unknown.word(), Ordering::Relaxed);
            }
        } else if !page.is_previous_occupied::<F>(gpa) {
            return false;
        }
        self.end_page::<F>(gpa, page)
    }

    /// Empties the entry of a linear page, whose tables say so already; true.
    #[inline(always)]
    fn end_page<F: Format>(&self, gpa: Gpa, page: Slot<'_>) -> bool {
        let leaf = page.entry::<F>();
        page.word().store(F::EMPTY, Ordering::Release);
        self.discount_leaves(Level::PAGE, 1);
        if self.host.wants_released() {
            return self.flush_and_report::<F>(gpa, leaf);
        }
        self.flush_page::<F>(gpa)
    }

    /// Has translations of a linear page that went invalidated, and tells the host of it; true.
    #[inline(never)]
    fn flush_and_report<F: Format>(&self, gpa: Gpa, leaf: Entry<F>) -> bool {
        let flushed = self.flush_page::<F>(gpa);
        self.report_page(gpa, leaf);
        flushed
    }

    /// Unmaps a linear page with which its table becomes empty, and marks the tables kept that do; false if they would
    /// go, or may stay. The slots are those of its [`PageWay`], in registers.
    #[inline(never)]
    fn empty_tables<F: Format>(
        &self,
        gpa: Gpa,
        page: Slot<'_>,
        second: Slot<'_>,
        third: Slot<'_>,
        fourth: Slot<'_>,
    ) -> bool {
        if !self.keeps_tables() {
            return false;
        }
        let way = [second, third, fourth];
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
                    return false;
                }
                slot.word().store(entry.with_one_less().word(), Ordering::Relaxed);
            }
            None => super::subtract(&self.root_entries, 1),
        }
        for slot in way.iter().take(emptied) {
            let kept = slot.entry::<F>().with_occupancy(Entry::<F>::KEPT);
            slot.word().store(kept.word(), Ordering::Relaxed);
        }
        self.end_page::<F>(gpa, page)
    }

    /// Puts a page in the place of another, which is at the end of a way; none if that was not done here.
    #[inline(always)]
    fn replace_page<F: Format>(
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
        self.announce::<F>(GpaRange::page(gpa));
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

    /// Puts an entry at a page where nothing is. Tables that are missing are taken before the first is linked.
    #[inline(never)]
    pub(crate) fn put_lone_page<F: Format>(
        &self,
        work: &mut Work,
        gpa: Gpa,
        entry: Entry<F>,
    ) -> Result<()> {
        let range = GpaRange::page(gpa);
        let level = self.descend_to_page::<F>(work, range).ok_or(Error::BadState)?;
        let Work { path, stock, .. } = work;
        if !self.entry_on::<F>(path, gpa, level).ok_or(Error::BadState)?.is_empty() {
            return Err(Error::AlreadyExists);
        }
        stock.fill(self, level.down().get().into())?;
        if self.link_page(path, stock, gpa, level, entry).is_none() {
            if HAS_WINDOWS {
                work.is_counted = true;
                work.edges.end_at(level);
                return work.fails_in::<F>(self, Failed::Map, range, Error::BadState);
            }
            // A table is corrupt.
            return Err(Error::BadState);
        }
        self.publish_entries::<F>(range, entry.is_page());
        Ok(())
    }

    /// Puts the tables into their places down to a page's from a level on, and its entry.
    #[inline(always)] // Called once.
    fn link_page<F: Format>(
        &self,
        path: &mut PerLevel<Hpa>,
        stock: &mut Stock,
        gpa: Gpa,
        top: Level,
        entry: Entry<F>,
    ) -> Option<()> {
        let mut level = top;
        while level > Level::PAGE {
            let table = stock.pop(self)?;
            let link = Entry::<F>::table(table).with_occupancy(1);
            let linked = self
                .fill_unseen(table, Entry::<F>::EMPTY)
                .and_then(|()| self.set_on(path, gpa, level, link));
            if linked.is_none() {
                self.give_table(table);
                return None;
            }
            level = level.down();
            path.set(level, table);
        }
        self.set_on(path, gpa, level, entry)?;
        if entry.is_page() {
            self.count_leaves(level, 1);
        }
        self.occupy::<F>(path, gpa, top, Span::one(gpa.index(top)), 1)
    }

    /// Goes down to the table of a page, as far as there are tables.
    #[inline(never)]
    fn descend_to_page<F: Format>(&self, work: &mut Work, page: GpaRange) -> Option<Level> {
        self.show_ends::<F>(page)?;
        work.path.set(self.levels, self.root_page::<F>(page.start));
        self.descend::<F>(&mut work.path, &Broken::NONE, self.levels, Level::PAGE, page.start)
    }

    /// Removes a linear page, and tables that have nothing else; false if that was not done here, and nothing changed.
    #[inline(never)]
    pub(super) fn take_lone_page<F: Format>(
        &self,
        work: &mut Work,
        range: GpaRange,
    ) -> Option<bool> {
        let gpa = range.start;
        let mut level = self.descend_to_page::<F>(work, range)?;
        let Work { path, stock, .. } = work;
        if level > Level::PAGE || !self.entry_on::<F>(path, gpa, level)?.is_linear_leaf(1) {
            return Some(false);
        }
        // The entry that goes is one of the lowest table that stays.
        let mut link = Entry::EMPTY;
        while level < self.levels {
            link = self.entry_on::<F>(path, gpa, level.up())?;
            let count = link.occupancy();
            if count == 1 && !self.keeps_tables() {
                level = level.up();
            } else if count.wrapping_sub(2) < Entry::<F>::MOST.wrapping_sub(1) {
                break;
            } else {
                return Some(false);
            }
        }
        let went = self.entry_on::<F>(path, gpa, level)?;
        self.set_on(path, gpa, level, Entry::<F>::EMPTY)?;
        if level == self.levels {
            super::subtract(&self.root_entries, 1);
        } else if self.set_on(path, gpa, level.up(), link.with_one_less()).is_none() {
            // What walkers hold of it is as true as before.
            let _ = self.set_on(path, gpa, level, went);
            return None;
        }
        self.discount_leaves(Level::PAGE, 1);
        let mut request = FlushRequest::new(range);
        request.add_leaf(Level::PAGE);
        if level > Level::PAGE {
            request.add_table();
        }
        self.issue::<F>(request, AXAS_FLUSH_UNMAP, AXAS_SCOPE_ALL);
        self.begin_reaping();
        while level > Level::PAGE {
            // Damaged tables may name one table twice.
            if self.linked_tables(stock) <= self.root_pages() {
                return None;
            }
            level = level.down();
            self.give_table(path.get(level));
        }
        Some(true)
    }

    /// Has translations of a page that went invalidated; true.
    #[inline(never)]
    fn flush_page<F: Format>(&self, gpa: Gpa) -> bool {
        let mut request = FlushRequest::new(GpaRange::page(gpa));
        request.add_leaf(Level::PAGE);
        super::add(&self.counts.flushes, 1);
        self.flush_now::<F>(request, AXAS_FLUSH_UNMAP, AXAS_SCOPE_ALL);
        true
    }
}
