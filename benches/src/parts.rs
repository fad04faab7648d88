// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is measured of the parts: the log of writes, merges, transfers and providers.

use axaddrspace::abi::{
    AXAS_DIRTY_ALL, AXAS_DIRTY_HARDWARE, AXAS_FAULT_RESOLVED, AXAS_FAULT_WAIT, AXAS_GIVE,
    AXAS_LEND, AXAS_NO_HUGE, AXAS_SHARE, AXAS_TAKE_BACK, axas_transfer_t,
};

use crate::clock::computed;
use crate::limits;
use crate::series::{Subject, Workload};
use crate::subjects::parts::{PROVIDED_AT, Space};
use crate::subjects::{RWX, RX, Tables, WRITE};
use crate::workloads::{BASE, Bench, DISTANCE, GIB, MIB, PAGE, workload};

pub const LOAD: Workload = workload(12, "load one entry", "ns/entry");
pub const MERGE: Workload = workload(100, "merge 1 GiB of 4 KiB pages, in 17 flushes", "us");
pub const LOG: Workload = workload(101, "begin to log writes, everything dirty", "ns/call");
pub const DIRTY: Workload = workload(102, "which pages of 1 GiB are dirty: all", "ns/page");
pub const DIRTY_FEW: Workload = workload(103, "the same: one of 64, random", "ns/page");
pub const DIRTY_NONE: Workload = workload(104, "the same: none", "ns/page");
pub const CLEAN: [Workload; 2] = [
    workload(105, "make 1 GiB of dirty 4 KiB pages clean, by write faults", "ns/page"),
    workload(106, "the same, by dirty flags", "ns/page"),
];
pub const WRITE_FAULT: Workload = workload(107, "write fault on a clean page, random", "ns/fault");
pub const LEND: Workload = workload(110, "lend 1 GiB of 4 KiB pages", "ns/page");
pub const TAKE_BACK: Workload = workload(111, "take it back", "ns/page");
pub const SHARE: Workload = workload(112, "share 1 GiB of 4 KiB pages", "ns/page");
pub const GIVE: Workload = workload(113, "give 1 GiB of 4 KiB pages", "ns/page");
pub const LEND_PAGE: Workload = workload(114, "lend one page, tables there", "ns/call");
pub const TAKE_BACK_PAGE: Workload = workload(115, "take it back (one page)", "ns/call");
pub const FAULT_NOW: Workload =
    workload(120, "fault that a provider answers at once, in sequence", "ns/fault");
pub const FAULT_LATER: Workload = workload(121, "fault that it answers later, random", "ns/fault");
pub const SUPPLY: Workload = workload(122, "supply one page, random", "ns/call");
pub const EVICT: Workload = workload(123, "evict 1 GiB of 4 KiB pages", "ns/page");

const SUBJECT: Subject = Subject::OursParts;

fn deal(action: u32) -> axas_transfer_t {
    axas_transfer_t {
        struct_size: size_of::<axas_transfer_t>() as u32,
        action,
        to_flags: if action == AXAS_TAKE_BACK { 0 } else { RWX },
        ..Default::default()
    }
}

impl Bench {
    /// What is measured of the archive with all parts.
    pub fn parts(&mut self) {
        let load = limits::load(self.pool, self.effort.pages);
        self.series.add(LOAD, Subject::Limit, load);
        self.series.add(DIRTY, Subject::Limit, load);
        let pages = (GIB / PAGE) as f64;
        self.series.add(MERGE, Subject::Limit, load * pages / 1e3);
        let load_and_store = limits::load_and_store(self.pool, self.effort.pages);
        self.series.add(CLEAN[0], Subject::Limit, load_and_store);
        self.merge();
        self.log();
        self.transfer();
        self.transfer_one_page();
        self.provide();
    }

    /// The first time warms the caches; the second is measured.
    fn merge(&mut self) {
        let size = self.bytes();
        let mut time = 0.0;
        for _ in 0..2 {
            let space = Space::new();
            space.map(BASE, BASE + GIB, size, RWX | AXAS_NO_HUGE);
            time = computed(|| assert!(space.merge(BASE, size) >= size / (2 * MIB)));
            space.clear();
            drop(space);
            self.settle(SUBJECT);
        }
        self.series.add(MERGE, SUBJECT, time / 1e3 * (GIB / size) as f64);
    }

    fn log(&mut self) {
        let size = self.bytes();
        let mut bitmap = vec![0_u64; self.effort.pages as usize / 64];
        for (clean, options) in CLEAN.into_iter().zip([0, AXAS_DIRTY_HARDWARE]) {
            let space = if options == 0 { Space::new() } else { Space::with_dirty_flags() };
            space.map(BASE, BASE + DISTANCE, size, RWX | AXAS_NO_HUGE);
            let calls = self.effort.calls;
            let start = || {
                (0..calls).for_each(|_| space.dirty_start(BASE, size, options | AXAS_DIRTY_ALL));
            };
            let time = computed(start);
            self.series.add(LOG, SUBJECT, time / calls as f64);
            let count = |bitmap: &mut [u64]| space.dirty_get(BASE, size, bitmap);
            let all = self.effort.pages;
            let time = computed(|| assert_eq!(count(&mut bitmap), all));
            self.per_page(DIRTY, SUBJECT, time);
            let time = computed(|| space.dirty_clear(BASE, size, &bitmap));
            self.per_page(clean, SUBJECT, time);
            if options == 0 {
                bitmap.fill(0);
                let time = computed(|| assert_eq!(count(&mut bitmap), 0));
                self.per_page(DIRTY_NONE, SUBJECT, time);
                let (few, rest) = self.order.split_at(self.order.len() / 64);
                let touch = |page: &u64| {
                    assert_eq!(space.fault(BASE + page * PAGE, WRITE), AXAS_FAULT_RESOLVED);
                };
                let mut fault_time = computed(|| few.iter().for_each(touch));
                let time = computed(|| assert_eq!(count(&mut bitmap), few.len() as u64));
                fault_time += computed(|| rest.iter().for_each(touch));
                self.per_page(DIRTY_FEW, SUBJECT, time);
                self.per_page(WRITE_FAULT, SUBJECT, fault_time);
            }
            drop(space);
            self.settle(SUBJECT);
        }
    }

    /// Pages go to another space, whose tables come and go, and come back.
    fn transfer(&mut self) {
        let size = self.bytes();
        let (from, to) = (Space::new(), Space::new());
        from.map(BASE, BASE + DISTANCE, size, RWX | AXAS_NO_HUGE);
        let mut times = [0.0; 4];
        // The first time warms the caches.
        for _ in 0..2 {
            times = [AXAS_LEND, AXAS_TAKE_BACK, AXAS_SHARE, AXAS_GIVE].map(|action| {
                let deal = deal(action);
                let time = computed(|| from.transfer(&to, BASE, size, &deal));
                if action == AXAS_SHARE {
                    to.clear();
                }
                if action == AXAS_GIVE {
                    // What one side gave the other side gives.
                    to.transfer(&from, BASE, size, &deal);
                }
                time
            });
        }
        for (workload, time) in [LEND, TAKE_BACK, SHARE, GIVE].into_iter().zip(times) {
            self.per_page(workload, SUBJECT, time);
        }
        drop((from, to));
        self.settle(SUBJECT);
    }

    fn transfer_one_page(&mut self) {
        let (from, to) = (Space::new(), Space::new());
        from.map(BASE, BASE + DISTANCE, self.bytes(), RWX | AXAS_NO_HUGE);
        from.transfer(&to, BASE, PAGE, &deal(AXAS_SHARE));
        let calls = self.effort.calls as u64;
        for (action, workload) in [(AXAS_LEND, LEND_PAGE), (AXAS_TAKE_BACK, TAKE_BACK_PAGE)] {
            let deal = deal(action);
            let one = |call| from.transfer(&to, BASE + (1 + call % 511) * PAGE, PAGE, &deal);
            let time = computed(|| (0..calls.min(511)).for_each(one));
            self.series.add(workload, SUBJECT, time / calls.min(511) as f64);
        }
        drop((from, to));
        self.settle(SUBJECT);
    }

    fn provide(&mut self) {
        let (size, pages) = (self.bytes(), self.effort.pages);
        let space = Space::provided_now();
        space.map_provider(BASE, size, RWX);
        let touch = |gpa| assert_eq!(space.fault(gpa, WRITE), AXAS_FAULT_RESOLVED);
        let time = computed(|| (0..pages).for_each(|page| touch(BASE + page * PAGE)));
        self.per_page(FAULT_NOW, SUBJECT, time);
        let time = computed(|| space.evict(BASE, size));
        self.per_page(EVICT, SUBJECT, time);
        drop(space);
        self.settle(SUBJECT);

        // Half of the pages are there, so that all tables are.
        let space = Space::provided_later();
        space.map_provider(BASE, size, RWX);
        let supply = |page: u64| {
            let gpa = BASE + page * PAGE;
            space.supply(gpa, gpa + PROVIDED_AT, PAGE, RWX);
        };
        (0..pages).step_by(2).for_each(supply);
        let odd: Vec<u64> = self.order.iter().copied().filter(|page| page % 2 != 0).collect();
        let wait = |page: &u64| assert_eq!(space.fault(BASE + page * PAGE, WRITE), AXAS_FAULT_WAIT);
        let time = computed(|| odd.iter().for_each(wait));
        self.series.add(FAULT_LATER, SUBJECT, time / odd.len() as f64);
        let time = computed(|| odd.iter().copied().for_each(supply));
        self.series.add(SUPPLY, SUBJECT, time / odd.len() as f64);
        drop(space);
        self.settle(SUBJECT);
    }

    /// What a host does with a peer in the place of a log: [`Tables::protect`] of all to read only, then of a page at a
    /// time back; in the place of a transfer: unmap in one, map in the other.
    pub fn parts_of_peer<T: Tables>(&mut self, subject: Subject, new: impl Fn() -> T) {
        let (size, tables, other) = (self.bytes(), new(), new());
        let map = |tables: &T, flags| {
            assert_eq!(tables.map(BASE, BASE + DISTANCE, size, flags | AXAS_NO_HUGE), 0);
        };
        let unmap = |tables: &T| assert_eq!(tables.unmap(BASE, size), 0);
        map(&tables, RWX);
        let time = computed(|| assert_eq!(tables.protect(BASE, size, RX), 0));
        self.per_page(CLEAN[0], subject, time);
        let open = |page: &u64| assert_eq!(tables.protect(BASE + page * PAGE, PAGE, RWX), 0);
        let time = computed(|| self.order.iter().for_each(open));
        self.per_page(WRITE_FAULT, subject, time);
        let time = computed(|| {
            unmap(&tables);
            map(&other, RWX);
        });
        self.per_page(LEND, subject, time);
        let time = computed(|| {
            unmap(&other);
            map(&tables, RWX);
        });
        self.per_page(TAKE_BACK, subject, time);
        unmap(&tables);
        let supply = |page: &u64| {
            let gpa = BASE + page * PAGE;
            assert_eq!(tables.map(gpa, gpa + DISTANCE, PAGE, RWX), 0);
        };
        let time = computed(|| self.order.iter().for_each(supply));
        self.per_page(SUPPLY, subject, time);
        unmap(&tables);
        drop((tables, other));
        self.settle(subject);
    }
}
