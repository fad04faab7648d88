// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is measured. Each function here does one piece of work with one subject and adds its figures.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::ptr;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use axaddrspace::abi::{AXAS_FAULT_RESOLVED, AXAS_MAX_2M, AXAS_NO_HUGE, AXAS_OK, AXAS_REPLACE};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::clock::{computed, in_turn};
use crate::limits;
use crate::pool::{self, FIRST, Pool};
use crate::series::{Series, Subject, Workload};
use crate::subjects::{Opaque, RWX, RX, Tables, WRITE, ours};

pub const MIB: u64 = 1 << 20;
pub const GIB: u64 = 1 << 30;
pub const TIB: u64 = 1 << 40;
pub const PAGE: u64 = pool::FRAME;

/// Where guests' memory begins.
pub const BASE: u64 = 2 * GIB;
/// Host less guest address of linear memory in small pages: aligned to nothing larger.
pub const DISTANCE: u64 = 256 * GIB + PAGE;

pub const fn workload(place: u32, title: &'static str, unit: &'static str) -> Workload {
    Workload { place, title, unit }
}

pub const STORE: Workload = workload(10, "store one entry", "ns/entry");
pub const EXCHANGE: Workload = workload(11, "one compare-exchange, uncontended", "ns");
pub const MAP: Workload = workload(20, "map 1 GiB in 4 KiB pages", "ns/page");
pub const PROTECT: Workload = workload(21, "protect it", "ns/page");
pub const UNMAP: Workload = workload(22, "unmap it", "ns/page");
pub const MAP_2M: Workload = workload(23, "map 64 GiB in 2 MiB pages", "ns/page");
pub const UNMAP_2M: Workload = workload(24, "unmap it (2 MiB pages)", "ns/page");
pub const MAP_1G: Workload = workload(25, "map 64 GiB in 1 GiB pages", "ns/page");
pub const UNMAP_1G: Workload = workload(26, "unmap it (1 GiB pages)", "ns/page");
pub const MAP_EACH: Workload = workload(27, "map, one page per call, in sequence", "ns/call");
pub const UNMAP_EACH: Workload = workload(28, "unmap, one page per call, in sequence", "ns/call");
pub const REPLACE: Workload = workload(29, "replace one page, random", "ns/call");
pub const DEPENDENT: Workload =
    workload(30, "translate, random, each depends on the last", "ns/call");
pub const INDEPENDENT: Workload = workload(31, "translate, random, independent", "ns/call");
pub const SEQUENTIAL: Workload = workload(32, "translate, in sequence", "ns/call");
pub const FAULT: Workload = workload(40, "fault, lazy, in sequence", "ns/fault");
pub const FAULT_RANDOM: Workload = workload(41, "fault, lazy, random", "ns/fault");
pub const UNMAP_LAZY: Workload = workload(42, "unmap 1 GiB that faults populated", "ns/page");
pub const FAULT_PARALLEL: [Workload; 2] = [
    workload(43, "faults, 1 thread", "million/s"),
    workload(44, "faults, 2 threads, disjoint 2 MiB regions", "million/s"),
];
pub const RESERVE: [Workload; 3] = [
    workload(50, "reserve 64 GiB, aligned", "ns/call"),
    workload(52, "reserve 64 GiB, unaligned", "ns/call"),
    workload(54, "reserve 64 TiB, aligned", "ns/call"),
];
pub const UNRESERVE: [Workload; 3] = [
    workload(51, "give it back (64 GiB, aligned)", "ns/call"),
    workload(53, "give it back (64 GiB, unaligned)", "ns/call"),
    workload(55, "give it back (64 TiB, aligned)", "ns/call"),
];
pub const CHURN: [Workload; 3] = [
    workload(60, "map + unmap one page at random in 512 GiB", "ns/pair"),
    workload(61, "the same beside 64 pages", "ns/pair"),
    workload(62, "the same beside 1024 pages", "ns/pair"),
];
pub const NEIGHBOURS: [usize; 3] = [0, 64, 1024];
pub const CHURN_LEFT: Workload = workload(63, "tables that stay behind", "tables");
pub const GRANT: Workload =
    workload(64, "map + unmap one page beside one that stays (a grant)", "ns/pair");
pub const KEPT: Workload =
    workload(65, "map + unmap one page at random, its tables there before", "ns/pair");
pub const RELEASED: [Workload; 2] = [
    workload(66, "unmap 1 GiB, every page reported, contiguous frames", "ns/page"),
    workload(67, "unmap 1 GiB, every page reported, scattered frames", "ns/page"),
];
pub const CREATE: Workload = workload(70, "create + destroy", "ns/pair");
pub const COPY: [Workload; 3] = [
    workload(80, "copy 4 KiB from guest memory", "ns/call"),
    workload(81, "copy 64 KiB from guest memory", "ns/call"),
    workload(82, "copy 1 MiB from guest memory", "ns/call"),
];
pub const TABLES: Workload = workload(90, "table frames beside those the entries need", "frames");
const COPY_BYTES: [usize; 3] = [4 << 10, 64 << 10, 1 << 20];

/// How much work is done.
pub struct Effort {
    pub rounds: usize,
    /// Frames of the pool.
    pub frames: u64,
    /// Pages of what is called 1 GiB.
    pub pages: u64,
    /// Pairs of map and unmap at random.
    pub churn: u64,
    /// Calls of what is short.
    pub calls: usize,
    /// Largest space of the scaling plot.
    pub largest: u64,
}

impl Effort {
    pub const FULL: Self = Self {
        rounds: 15,
        frames: 532_480,
        pages: GIB / PAGE,
        churn: 300_000,
        calls: 2000,
        largest: TIB,
    };
    /// Everything runs and is checked; the figures say nothing.
    pub const QUICK: Self = Self {
        rounds: 2,
        frames: 32_768,
        pages: 16 * MIB / PAGE,
        churn: 4000,
        calls: 50,
        largest: GIB,
    };
}

/// A run: what it works with, and what it found.
pub struct Bench {
    pub pool: &'static Pool,
    pub effort: Effort,
    pub series: Series,
    /// The numbers of pages in random order.
    pub order: Vec<u64>,
}

/// Marsaglia's xorshift with 64 bits.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A page of the first 512 GiB.
    fn page(&mut self) -> u64 {
        self.next() & (512 * GIB - 1) & !(PAGE - 1)
    }
}

const SEED: u64 = 0x0139_408d_cbbf_7a44;

impl Bench {
    pub fn new(effort: Effort) -> Self {
        let pool = Pool::new(effort.frames);
        ours::use_pool(pool);
        let mut order: Vec<u64> = (0..effort.pages).collect();
        let mut random = Random(SEED);
        for last in (1..order.len()).rev() {
            order.swap(last, (random.next() % (last as u64 + 1)) as usize);
        }
        Self { pool, effort, series: Series::default(), order }
    }

    pub fn bytes(&self) -> u64 {
        self.effort.pages * PAGE
    }

    pub fn per_page(&mut self, workload: Workload, subject: Subject, time: f64) {
        self.series.add(workload, subject, time / self.effort.pages as f64);
    }

    /// After a subject: everything that ours took must be back; what peers keep is put back for them.
    pub fn settle(&self, subject: Subject) {
        if subject.is_ours() {
            assert_eq!(self.pool.missing(), 0, "{} keeps frames", subject.name());
        }
        self.pool.refill();
    }

    pub fn limits(&mut self) {
        let (pool, pages, count) = (self.pool, self.effort.pages, self.effort.pages);
        let mut add = |workload, figure| self.series.add(workload, Subject::Limit, figure);
        add(STORE, limits::store(pool, pages));
        add(MAP, limits::zero_and_store(pool, pages));
        add(UNMAP, limits::store(pool, pages));
        add(PROTECT, limits::load_and_store(pool, pages));
        add(EXCHANGE, limits::compare_exchange(count));
        add(FAULT, limits::frame_and_store(pool, count));
        add(CREATE, limits::zero_frame(pool, count));
    }

    /// The first time warms the caches; the second is measured, on tables as new.
    pub fn small_pages<T: Tables>(&mut self, subject: Subject, new: impl Fn() -> T) {
        let size = self.bytes();
        let mut times = [0.0; 3];
        for _ in 0..2 {
            let tables = new();
            let map = || assert_eq!(tables.map(BASE, BASE + DISTANCE, size, RWX | AXAS_NO_HUGE), 0);
            let protect = || assert_eq!(tables.protect(BASE, size, RX), 0);
            let unmap = || assert_eq!(tables.unmap(BASE, size), 0);
            times = [computed(map), computed(protect), computed(unmap)];
        }
        for (workload, time) in [MAP, PROTECT, UNMAP].into_iter().zip(times) {
            self.per_page(workload, subject, time);
        }
        self.settle(subject);
    }

    pub fn large_pages<T: Tables>(&mut self, subject: Subject, new: impl Fn() -> T) {
        // Congruent modulo 2 MiB, modulo 1 GiB.
        for (map, unmap, distance, flags, page) in [
            (MAP_2M, UNMAP_2M, 2 * MIB, RWX | AXAS_MAX_2M, 2 * MIB),
            (MAP_1G, UNMAP_1G, GIB, RWX, GIB),
        ] {
            let (at, size) = (64 * GIB, 64 * GIB);
            let times = in_turn(
                20,
                &new,
                |tables| assert_eq!(tables.map(at, at + distance, size, flags), 0),
                |tables| assert_eq!(tables.unmap(at, size), 0),
            );
            for (workload, time) in [map, unmap].into_iter().zip(times) {
                self.series.add(workload, subject, time / (size / page) as f64);
            }
            self.settle(subject);
        }
    }

    pub fn single_pages<T: Tables>(&mut self, subject: Subject, new: impl Fn() -> T) {
        let tables = new();
        let pages = self.effort.pages / 16;
        let addresses = || (BASE..).step_by(PAGE as usize).take(pages as usize);
        let map = |gpa| assert_eq!(tables.map(gpa, gpa + DISTANCE, PAGE, RWX), 0);
        let time = computed(|| addresses().for_each(map));
        self.series.add(MAP_EACH, subject, time / pages as f64);
        let unmap = |gpa| assert_eq!(tables.unmap(gpa, PAGE), 0);
        let time = computed(|| addresses().for_each(unmap));
        self.series.add(UNMAP_EACH, subject, time / pages as f64);
        drop(tables);
        self.settle(subject);
    }

    /// Calls `translate` in the three orders.
    fn in_three_orders(&mut self, subject: Subject, translate: impl Fn(u64) -> (u64, u64)) {
        let (pages, mask) = (self.effort.pages, self.bytes() - 1);
        let dependent = || {
            let mut next = 12_345_u64;
            for _ in 0..pages {
                let (hpa, run) = translate(BASE + (next & mask));
                next = hpa.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(run) >> 20;
            }
            black_box(next);
        };
        let time = computed(dependent);
        self.per_page(DEPENDENT, subject, time);
        let sum = |sum: u64, gpa| sum.wrapping_add(translate(gpa).0);
        let random = || self.order.iter().map(|page| BASE + page * PAGE).fold(0, sum);
        let time = computed(|| _ = black_box(random()));
        self.per_page(INDEPENDENT, subject, time);
        let sequence = || (0..pages).map(|page| BASE + page * PAGE).fold(0, sum);
        let time = computed(|| _ = black_box(sequence()));
        self.per_page(SEQUENTIAL, subject, time);
    }

    pub fn translate<T: Tables>(&mut self, subject: Subject, new: impl Fn() -> T) {
        let tables = new();
        assert_eq!(tables.map(BASE, BASE + DISTANCE, self.bytes(), RWX | AXAS_NO_HUGE), 0);
        let mut found = (0, 0);
        assert_eq!(tables.translate(BASE + PAGE, &mut found.0, &mut found.1), 0);
        assert_eq!(found, (BASE + PAGE + DISTANCE, found.1), "{} translates", subject.name());
        self.in_three_orders(subject, |gpa| {
            let (mut hpa, mut run) = (0, 0);
            tables.translate(gpa, &mut hpa, &mut run);
            (hpa, run)
        });
        assert_eq!(tables.unmap(BASE, self.bytes()), 0);
        drop(tables);
        self.settle(subject);
    }

    /// The loads of [`Bench::translate`] alone, through the tables of ours.
    pub fn walk(&mut self) {
        let tables = Opaque::new(ours::CALLS);
        assert_eq!(tables.map(BASE, BASE + DISTANCE, self.bytes(), RWX | AXAS_NO_HUGE), 0);
        let root = tables.root();
        assert_eq!(limits::walk(root, BASE + PAGE + 8), BASE + PAGE + 8 + DISTANCE);
        self.in_three_orders(Subject::Limit, |gpa| (limits::walk(root, gpa), PAGE));
        drop(tables);
        self.settle(Subject::Ours);
    }

    pub fn faults<T: Tables>(&mut self, subject: Subject, new: impl Fn() -> T) {
        let size = self.bytes();
        let touch = |tables: &T, gpa| assert_eq!(tables.fault(gpa, WRITE), AXAS_FAULT_RESOLVED);
        let tables = new();
        assert_eq!(tables.reserve(BASE, size, RWX), 0);
        let sequence =
            || (0..self.effort.pages).for_each(|page| touch(&tables, BASE + page * PAGE));
        let time = computed(sequence);
        self.per_page(FAULT, subject, time);
        self.per_page(UNMAP_LAZY, subject, computed(|| assert_eq!(tables.unmap(BASE, size), 0)));
        drop(tables);
        self.settle(subject);

        let tables = new();
        assert_eq!(tables.reserve(BASE, size, RWX), 0);
        let random = || self.order.iter().for_each(|page| touch(&tables, BASE + page * PAGE));
        let time = computed(random);
        self.per_page(FAULT_RANDOM, subject, time);
        assert_eq!(tables.unmap(BASE, size), 0);
        drop(tables);
        self.settle(subject);
    }

    /// Faults of `threads` threads, each with frames of its own and every so many-th region of 2 MiB. Returns
    /// millions of faults a second by the wall's clock.
    pub fn parallel_faults(&self, threads: usize) -> f64 {
        let size = self.bytes();
        let regions = size / (2 * MIB);
        // Each has a page for each of its guest's pages, and tables to spare.
        let share = self.effort.pages as usize / threads + 2048;
        pool::own(self.pool.split_off(64));
        let space = Opaque::new(ours::OF_THREADS);
        assert_eq!(space.reserve(BASE, size, RWX), 0);
        let (handle, fault) = (space.handle.expose_provenance(), ours::OF_THREADS.fault);
        let start = Barrier::new(threads);
        let work = |thread: usize, frames| {
            let handle = ptr::with_exposed_provenance_mut(handle);
            let mut cpu = CpuSet::new();
            cpu.set(thread);
            // Where it is refused, the system places the threads.
            let _ = sched_setaffinity(None, &cpu);
            pool::own(frames);
            start.wait();
            let began = Instant::now();
            for region in (thread as u64..regions).step_by(threads) {
                for page in 0..512 {
                    let gpa = BASE + region * 2 * MIB + page * PAGE;
                    // SAFETY: the space lives until all threads are done; faults may run at once.
                    assert_eq!(unsafe { fault(handle, gpa, WRITE) }, AXAS_FAULT_RESOLVED);
                }
            }
            (began, Instant::now())
        };
        let times: Vec<(Instant, Instant)> = thread::scope(|scope| {
            let start = |thread| {
                let (work, frames) = (&work, self.pool.split_off(share));
                scope.spawn(move || work(thread, frames))
            };
            let threads: Vec<_> = (0..threads).map(start).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let first = times.iter().map(|(began, _)| began).min();
        let last = times.iter().map(|(_, ended)| ended).max();
        let time = last.zip(first).map_or(0.0, |(last, first)| (*last - *first).as_nanos() as f64);
        drop(space);
        pool::own(Vec::new());
        self.pool.refill();
        self.effort.pages as f64 / time * 1e3
    }

    pub fn two_threads(&mut self) {
        for (threads, workload) in (1..).zip(FAULT_PARALLEL) {
            let rate = self.parallel_faults(threads);
            self.series.add(workload, Subject::Ours, rate);
        }
    }

    pub fn reserve<T: Tables>(&mut self, subject: Subject, new: impl Fn() -> T) {
        self.reserve_ranges(subject, new, 3, self.effort.calls);
    }

    /// The same for one whose calls take as long as the reservation is large: 64 GiB are enough.
    pub fn reserve_little<T: Tables>(&mut self, subject: Subject, new: impl Fn() -> T) {
        self.reserve_ranges(subject, new, 2, 3);
    }

    fn reserve_ranges<T: Tables>(
        &mut self,
        subject: Subject,
        new: impl Fn() -> T,
        ranges: usize,
        calls: usize,
    ) {
        let tables = new();
        let all = [(64 * GIB, 64 * GIB), (64 * GIB + 0x12_3000, 64 * GIB), (64 * TIB, 64 * TIB)];
        for (number, (gpa, size)) in all.into_iter().take(ranges).enumerate() {
            let [reserve, give_back] = in_turn(
                calls,
                || (),
                |()| assert_eq!(tables.reserve(gpa, size, RWX), 0),
                |()| assert_eq!(tables.unmap(gpa, size), 0),
            );
            self.series.add(RESERVE[number], subject, reserve);
            self.series.add(UNRESERVE[number], subject, give_back);
        }
        drop(tables);
        self.settle(subject);
    }

    pub fn churn<T: Tables>(&mut self, subject: Subject, new: impl Fn() -> T) {
        let mut left = 0;
        for (workload, neighbours) in CHURN.into_iter().zip(NEIGHBOURS) {
            let mut random = Random(SEED);
            let tables = new();
            let mut kept = Vec::new();
            while kept.len() < neighbours {
                let gpa = random.page();
                if tables.map(gpa, gpa + DISTANCE, PAGE, RWX) == 0 {
                    kept.push(gpa);
                }
            }
            let before = self.pool.missing();
            let pairs = || {
                for _ in 0..self.effort.churn {
                    let gpa = random.page();
                    // A neighbour may stand there.
                    if tables.map(gpa, gpa + DISTANCE, PAGE, RWX) == 0 {
                        assert_eq!(tables.unmap(gpa, PAGE), 0);
                    }
                }
            };
            let time = computed(pairs);
            self.series.add(workload, subject, time / self.effort.churn as f64);
            left = left.max(self.pool.missing() - before);
            kept.iter().for_each(|&gpa| assert_eq!(tables.unmap(gpa, PAGE), 0));
            drop(tables);
            self.settle(subject);
        }
        self.series.add(CHURN_LEFT, subject, left as f64);
    }

    /// Linear pages, each replaced by another one, among pages that stay.
    pub fn replace<T: Tables>(&mut self, subject: Subject, new: impl Fn() -> T) {
        let tables = new();
        assert_eq!(tables.map(BASE, BASE + DISTANCE, self.bytes(), RWX | AXAS_NO_HUGE), 0);
        let calls = self.order.len() / 16;
        let replace = |page: &u64| {
            let gpa = BASE + page * PAGE;
            let status = tables.map(gpa, gpa + 2 * DISTANCE, PAGE, RWX | AXAS_REPLACE);
            assert_eq!(status, 0);
        };
        let time = computed(|| self.order[..calls].iter().for_each(replace));
        self.series.add(REPLACE, subject, time / calls as f64);
        let (mut hpa, mut run) = (0, 0);
        let gpa = BASE + self.order[0] * PAGE;
        assert_eq!(tables.translate(gpa, &mut hpa, &mut run), 0);
        assert_eq!(hpa, gpa + 2 * DISTANCE, "{} replaces", subject.name());
        assert_eq!(tables.unmap(BASE, self.bytes()), 0);
        drop(tables);
        self.settle(subject);
    }

    /// Pages of another guest's that come and go one at a time, in 2 MiB whose first page stays.
    pub fn grant<T: Tables>(&mut self, subject: Subject, new: impl Fn() -> T) {
        let tables = new();
        assert_eq!(tables.map(BASE, BASE + DISTANCE, PAGE, RWX), 0);
        let pairs = || {
            for &page in &self.order[..self.order.len() / 16] {
                let gpa = BASE + (1 + page % 511) * PAGE;
                assert_eq!(tables.map(gpa, BASE + DISTANCE + page * PAGE, PAGE, RWX), 0);
                assert_eq!(tables.unmap(gpa, PAGE), 0);
            }
        };
        let time = computed(pairs);
        self.series.add(GRANT, subject, time / (self.order.len() / 16) as f64);
        assert_eq!(tables.unmap(BASE, PAGE), 0);
        drop(tables);
        self.settle(subject);
    }

    /// As [`Bench::churn`] with tables that stay: the second time at the same addresses, in 64 GiB.
    pub fn kept<T: Tables>(&mut self, subject: Subject, new: impl Fn() -> T) {
        let tables = new();
        let pairs = || {
            let mut random = Random(SEED);
            for _ in 0..self.effort.churn {
                let gpa = random.page() % (64 * GIB);
                assert_eq!(tables.map(gpa, gpa + DISTANCE, PAGE, RWX), 0);
                assert_eq!(tables.unmap(gpa, PAGE), 0);
            }
        };
        pairs();
        let time = computed(pairs);
        self.series.add(KEPT, subject, time / self.effort.churn as f64);
        drop(tables);
        self.settle(subject);
    }

    /// Unmaps where the host wants to know each frame that is no longer mapped.
    pub fn released<T: Tables>(&mut self, subject: Subject, new: impl Fn() -> T) {
        for (workload, scattered) in RELEASED.into_iter().zip([false, true]) {
            let tables = new();
            if scattered {
                for (page, place) in (0..).zip(&self.order) {
                    let (gpa, hpa) = (BASE + page * PAGE, BASE + DISTANCE + place * PAGE);
                    assert_eq!(tables.map(gpa, hpa, PAGE, RWX), 0);
                }
            } else {
                let (size, flags) = (self.bytes(), RWX | AXAS_NO_HUGE);
                assert_eq!(tables.map(BASE, BASE + DISTANCE, size, flags), 0);
            }
            let time = computed(|| assert_eq!(tables.unmap(BASE, self.bytes()), 0));
            self.per_page(workload, subject, time);
            assert_eq!(ours::take_released(), self.bytes(), "{} reports", subject.name());
            drop(tables);
            self.settle(subject);
        }
    }

    pub fn create<T: Tables>(&mut self, subject: Subject, new: impl Fn() -> T) {
        let calls = self.effort.calls;
        let time = computed(|| (0..calls).for_each(|_| drop(black_box(new()))));
        self.series.add(CREATE, subject, time / calls as f64);
        self.settle(subject);
    }

    /// Copies from guest memory whose frames lie side by side, and memcpy of the same frames.
    pub fn copies(&mut self) {
        let tables = Opaque::new(ours::CALLS);
        let middle = FIRST + self.effort.frames / 2 * PAGE;
        assert_eq!(tables.map(BASE, middle, 4 * MIB, RWX | AXAS_NO_HUGE), 0);
        let mut buffer = vec![0_u8; MIB as usize];
        for (workload, bytes) in COPY.into_iter().zip(COPY_BYTES) {
            let times = (self.effort.calls * 4 * COPY_BYTES[0] / bytes).max(1);
            let buffer = &mut buffer[..bytes];
            // SAFETY: frames of the pool, and as many bytes of ours.
            let copy = |buffer: &mut [u8]| unsafe {
                let frames = black_box(pool::reach::<u8>(middle));
                frames.copy_to_nonoverlapping(black_box(buffer.as_mut_ptr()), bytes);
            };
            copy(buffer);
            let time = computed(|| (0..times).for_each(|_| copy(buffer)));
            self.series.add(workload, Subject::Limit, time / times as f64);
            let read = || (0..times).for_each(|_| assert_eq!(tables.read(BASE, buffer), AXAS_OK));
            let time = computed(read);
            self.series.add(workload, Subject::Ours, time / times as f64);
        }
        drop(tables);
        self.settle(Subject::Ours);
    }

    /// Table frames of ours against a count of its own, after maps and after unmaps; the sum of differences.
    pub fn table_memory(&mut self) {
        let tables = Opaque::new(ours::CALLS);
        let mut entries = Entries::default();
        let mut difference = 0;
        let mut compare = |entries: &Entries| {
            difference += tables.table_frames().abs_diff(entries.tables());
        };
        for (gpa, size, largest, flags) in [
            (BASE, self.bytes(), 1, RWX | AXAS_NO_HUGE),
            (64 * GIB, 64 * GIB, 2, RWX | AXAS_MAX_2M),
            (TIB, 64 * GIB, 3, RWX),
            (3 * TIB - PAGE, 3 * PAGE, 1, RWX),
            (100 * TIB, PAGE, 1, RWX),
        ] {
            // Congruent modulo 1 GiB, and within 48 bits.
            let hpa = gpa % GIB + GIB;
            assert_eq!(tables.map(gpa, hpa, size, flags), 0);
            entries.add(gpa, size, largest);
            compare(&entries);
        }
        for (gpa, size) in [(10 * TIB, 64 * GIB), (20 * TIB + 0x12_3456_7000, 5 * TIB + 7 * PAGE)] {
            assert_eq!(tables.reserve(gpa, size, RWX), 0);
            entries.add(gpa, size, 4);
            compare(&entries);
        }
        for (gpa, size, largest) in [
            (BASE + 5 * PAGE, self.bytes() / 2, 1),
            (64 * GIB, GIB, 2),
            (3 * TIB, PAGE, 1),
            (100 * TIB, PAGE, 1),
            (10 * TIB, 64 * GIB, 4),
        ] {
            assert_eq!(tables.unmap(gpa, size), 0);
            entries.remove(gpa, size, largest);
            compare(&entries);
        }
        assert_eq!(tables.unmap(0, ours::SIZE), 0);
        compare(&Entries::default());
        self.series.add(TABLES, Subject::Ours, difference as f64);
        drop(tables);
        self.settle(Subject::Ours);
    }
}

/// Entries that stand, by level and address: level 1 for 4 KiB.
#[derive(Default)]
struct Entries(BTreeSet<(u32, u64)>);

impl Entries {
    /// Cuts a range into entries, the largest that fit.
    fn cut(gpa: u64, size: u64, largest: u32) -> impl Iterator<Item = (u32, u64)> {
        let mut at = gpa;
        std::iter::from_fn(move || {
            let fits = |level: &u32| {
                let bytes = PAGE << (9 * (level - 1));
                at.is_multiple_of(bytes) && at + bytes <= gpa + size
            };
            let level = (1..=largest).rev().find(fits)?;
            let entry = (level, at);
            at += PAGE << (9 * (level - 1));
            Some(entry)
        })
    }

    fn add(&mut self, gpa: u64, size: u64, largest: u32) {
        self.0.extend(Self::cut(gpa, size, largest));
    }

    fn remove(&mut self, gpa: u64, size: u64, largest: u32) {
        for entry in Self::cut(gpa, size, largest) {
            assert!(self.0.remove(&entry), "no such entry");
        }
    }

    /// The root, and each table that one of the entries stands in or below.
    fn tables(&self) -> u64 {
        let above = |&(level, gpa): &(u32, u64)| {
            (level..4).map(move |table| (table, gpa >> (12 + 9 * table)))
        };
        1 + self.0.iter().flat_map(above).collect::<BTreeSet<_>>().len() as u64
    }
}
