// SPDX-License-Identifier: MIT OR Apache-2.0
//! A merge beside faults, readers without the lock, and hardware that marks pages.

use std::boxed::Box;
use std::sync::Arc;

use loom::sync::Mutex;
use loom::sync::atomic::Ordering;

use super::host::{LARGE, LINEAR, PAGE, RW, World};
use super::{explore, on_cpu};
use crate::abi::*;
use crate::address_space::Verdict;
use crate::npt::arch::ArmStage2;
use crate::npt::entry::{Entry, Way};
use crate::npt::units::{ENTRIES, Level};
use crate::sync;

fn merge(world: &World) -> u64 {
    let mut merged = 0;
    world.merge(0, LARGE, 0, &mut merged, None).expect("merged");
    merged
}

/// The leaf of page 1, as a walker finds it.
fn leaf(world: &World) -> Option<&sync::AtomicU64> {
    let mut table = world.root();
    let mut level = Level::LARGE.up();
    loop {
        let place = usize::from(level == Level::PAGE);
        // SAFETY: a word of a table.
        let slot = unsafe { &*world.machine.slots(table).add(place) };
        let entry = Entry::<ArmStage2>::from_word(slot.load(Ordering::Relaxed));
        match entry.way(level.get()) {
            Way::Down(below) => table = crate::addr::Bits::bits(below),
            _ => return entry.is_leaf(level.get()).then_some(slot),
        }
        level = level.down();
    }
}

#[test]
fn a_write_by_hardware_beside_a_merge_is_reported() {
    const S2AP_WRITE: u64 = 1 << 7;
    explore(|| {
        let world = World::watched(AXAS_FEATURE_ARM_HAFDBS);
        world.map_linear(0, LINEAR, LARGE, RW | AXAS_NO_HUGE).expect("mapped");
        world.dirty_start(0, LARGE, AXAS_DIRTY_HARDWARE, None).expect("logged");
        // What was walked before a flush is not written through after it.
        let is_flushed = Arc::new(Mutex::new(false));
        let flush = is_flushed.clone();
        let hook = Box::new(move || *flush.lock().unwrap() = true);
        assert!(world.machine.on_flush.set(hook).is_ok());
        let cpu = on_cpu(1, {
            let world = world.clone();
            move || {
                let is_flushed = is_flushed.lock().unwrap();
                let slot = if *is_flushed { None } else { leaf(&world) };
                slot.is_some_and(|slot| {
                    let word = slot.load(Ordering::Relaxed);
                    let dirty = word | S2AP_WRITE;
                    let order = Ordering::Relaxed;
                    slot.compare_exchange(word, dirty, order, order).is_ok()
                })
            }
        });
        assert_eq!(merge(&world), 1);
        let is_written = cpu.join().unwrap();
        let (mut bitmap, mut count) = ([0], 0);
        world.dirty_get(0, LARGE, &mut bitmap, &mut count).expect("read");
        assert_eq!(count, if is_written { ENTRIES as u64 } else { 0 }, "a write is lost");
        world.close();
    });
}

#[test]
fn a_fault_beside_a_merge_finds_its_page() {
    explore(|| {
        let world = World::watched(0);
        // Four equal reservations in a table.
        world.map_alloc(0, LARGE, RW).expect("reserved");
        world.protect(0, PAGE, AXAS_READ).expect("cut");
        world.protect(0, PAGE, RW).expect("as before");
        let vcpu = on_cpu(1, {
            let world = world.clone();
            move || world.fault(PAGE, AXAS_WRITE)
        });
        let merged = merge(&world);
        match vcpu.join().unwrap() {
            // Before the merge, which found a page, or after it.
            Verdict::Resolved => {
                world.frame_at(PAGE);
            }
            Verdict::Retry => assert_eq!(merged, 1),
            other => panic!("{other:?}"),
        }
        world.close();
    });
}

#[test]
fn translate_without_the_lock_beside_a_merge_finds_the_page() {
    explore(|| {
        let world = World::readable(0);
        world.map_linear(0, LINEAR, LARGE, RW | AXAS_NO_HUGE).expect("mapped");
        let reader = on_cpu(1, {
            let world = world.clone();
            move || world.translate(PAGE).map(|(hpa, _)| hpa)
        });
        assert_eq!(merge(&world), 1);
        assert_eq!(reader.join().unwrap(), Ok(LINEAR + PAGE), "a table was read that went back");
        world.close();
    });
}
