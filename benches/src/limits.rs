// SPDX-License-Identifier: MIT OR Apache-2.0
//! The bare memory work: what no table code can be faster than by much.

use std::ffi::c_void;
use std::hint::black_box;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::computed;
use crate::pool::{self, Pool};

const ENTRIES: usize = 512;

/// Frames as tables, back in the pool when dropped.
struct Frames<'p> {
    pool: &'p Pool,
    taken: Vec<u64>,
}

impl<'p> Frames<'p> {
    fn take(pool: &'p Pool, count: u64) -> Self {
        // SAFETY: the pool's context; one thread uses it.
        let taken = (0..count).map(|_| unsafe { pool::alloc_frame(pool.context(), 0, 0) });
        Self { pool, taken: taken.collect() }
    }

    /// Nanoseconds for each entry of all of them, the second time: the first warms the caches.
    fn per_entry(&self, mut work: impl FnMut(*mut u64)) -> f64 {
        let mut all = || self.taken.iter().for_each(|&frame| work(pool::reach(frame)));
        all();
        computed(all) / (self.taken.len() * ENTRIES) as f64
    }
}

impl Drop for Frames<'_> {
    fn drop(&mut self) {
        for &frame in self.taken.iter().rev() {
            // SAFETY: taken above.
            unsafe { pool::dealloc_frame(self.pool.context(), frame, 0, 0) }
        }
    }
}

/// What a leaf table costs that is filled by stores alone.
fn fill(table: *mut u64, value: &mut u64) {
    for entry in 0..ENTRIES {
        // SAFETY: an entry of a frame of ours. Volatile: each store stands on its own.
        unsafe { table.add(entry).write_volatile(*value) };
        *value += pool::FRAME;
    }
}

/// Stores of 8 bytes into as many tables as `pages` pages need; ns for each.
pub fn store(pool: &Pool, pages: u64) -> f64 {
    let mut value = 7;
    Frames::take(pool, pages / ENTRIES as u64).per_entry(|table| fill(table, &mut value))
}

/// The same, each table zeroed first.
pub fn zero_and_store(pool: &Pool, pages: u64) -> f64 {
    let mut value = 7;
    Frames::take(pool, pages / ENTRIES as u64).per_entry(|table| {
        // SAFETY: a frame of ours.
        unsafe { ptr::write_bytes(black_box(table), 0, ENTRIES) };
        fill(table, &mut value);
    })
}

/// Loads each entry.
pub fn load(pool: &Pool, pages: u64) -> f64 {
    Frames::take(pool, pages / ENTRIES as u64).per_entry(|table| {
        // SAFETY: entries of a frame of ours.
        let load = |entry| unsafe { table.add(entry).read_volatile() };
        black_box((0..ENTRIES).fold(0, |all, entry| all & load(entry)));
    })
}

/// Loads and stores each entry.
pub fn load_and_store(pool: &Pool, pages: u64) -> f64 {
    Frames::take(pool, pages / ENTRIES as u64).per_entry(|table| {
        for entry in 0..ENTRIES {
            // SAFETY: an entry of a frame of ours.
            unsafe {
                let entry = table.add(entry);
                entry.write_volatile(entry.read_volatile() & !2);
            }
        }
    })
}

/// Zeroes one frame that the cache has.
pub fn zero_frame(pool: &Pool, count: u64) -> f64 {
    let frames = Frames::take(pool, 1);
    let table = pool::reach::<u64>(frames.taken[0]);
    // SAFETY: a frame of ours.
    computed(|| (0..count).for_each(|_| unsafe { ptr::write_bytes(black_box(table), 0, ENTRIES) }))
        / count as f64
}

/// A compare-exchange on a line that nobody else wants.
pub fn compare_exchange(count: u64) -> f64 {
    let word = AtomicU64::new(0);
    let exchange = |value| {
        let swapped = black_box(&word).compare_exchange(
            value,
            value + 1,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        assert!(swapped.is_ok());
    };
    computed(|| (0..count).for_each(exchange)) / count as f64
}

/// A frame out of the pool and one store.
pub fn frame_and_store(pool: &Pool, count: u64) -> f64 {
    let table = Frames::take(pool, 1);
    let entry = pool::reach::<u64>(table.taken[0]);
    let take = black_box(pool::alloc_frame as unsafe extern "C" fn(*mut c_void, u32, u32) -> u64);
    let one = |at: u64| {
        // SAFETY: the pool's context; an entry of a frame of ours.
        unsafe { entry.add((at % 512) as usize).write_volatile(take(pool.context(), 0, 0)) }
    };
    let time = computed(|| (0..count).for_each(one)) / count as f64;
    drop(table);
    pool.refill();
    time
}

/// The four loads of a walk through tables with entries of EPT, without a check.
#[inline(always)]
pub fn walk(root: u64, gpa: u64) -> u64 {
    let mut table = root;
    for shift in [39, 30, 21, 12] {
        let index = gpa >> shift & 0x1ff;
        // SAFETY: the caller mapped the page: each entry leads to a table of the pool.
        let entry = unsafe { pool::reach::<u64>(table).add(index as usize).read() };
        table = entry & 0xf_ffff_ffff_f000;
    }
    table | gpa & 0xfff
}
