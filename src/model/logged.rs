// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes beside what logs them: none is lost.

use std::sync::Arc;

use loom::sync::atomic::{AtomicUsize, Ordering};

use super::host::{LARGE, LINEAR, PAGE, RW, World, set_word_of};
use super::{explore, on_cpu};
use crate::abi::*;
use crate::address_space::{Access, Verdict};
use crate::npt::arch::ArmStage2;
use crate::npt::units::{ENTRIES, Level};
use crate::sync;

/// Pages of 4 KiB in a large one.
const PAGES: u64 = ENTRIES as u64;

/// Whether each page from address 0 on is dirty.
fn dirty(world: &World, pages: u64) -> u64 {
    let (mut bitmap, mut count) = ([0], 0);
    world.dirty_get(0, pages * PAGE, &mut bitmap, &mut count).expect("read");
    bitmap[0]
}

/// Whether page 0 was dirty; it is clean afterwards.
fn collect(world: &World) -> bool {
    let (mut bitmap, mut count) = ([0], 0);
    world.dirty_collect(0, PAGE, &mut bitmap, 0, &mut count, None).expect("collected");
    bitmap[0] == 1
}

/// A page of the host's that is clean.
fn clean_page(world: &World) {
    world.map_linear(0, LINEAR, PAGE, RW).expect("mapped");
    world.dirty_start(0, PAGE, 0, None).expect("logged");
}

fn two_writes(world: Arc<World>) {
    clean_page(&world);
    let other = on_cpu(1, {
        let world = world.clone();
        move || world.fault(0, AXAS_WRITE)
    });
    let verdicts = [world.fault(0, AXAS_WRITE), other.join().unwrap()];
    let resolved = verdicts.iter().filter(|verdict| **verdict == Verdict::Resolved).count();
    assert_eq!(resolved, 1, "{verdicts:?}");
    assert!(verdicts.contains(&Verdict::Spurious), "{verdicts:?}");
    assert_eq!(world.stats().expect("counters").faults_marked, 1);
    assert_eq!(dirty(&world, 1), 1);
    world.close();
}

#[test]
fn two_writes_to_a_clean_page_make_it_dirty_once() {
    explore(|| two_writes(World::watched(0)));
}

#[test]
fn two_writes_to_a_clean_page_without_windows_make_it_dirty_once() {
    explore(|| two_writes(World::direct()));
}

#[test]
fn a_write_fault_beside_a_collect_is_reported_then_or_later() {
    explore(|| {
        let world = World::watched(0);
        clean_page(&world);
        let vcpu = on_cpu(1, {
            let world = world.clone();
            move || world.fault(0, AXAS_WRITE)
        });
        let is_reported = collect(&world);
        let verdict = vcpu.join().unwrap();
        let is_dirty = dirty(&world, 1) == 1;
        match verdict {
            Verdict::Resolved => assert_ne!(is_reported, is_dirty, "a write is lost"),
            Verdict::Retry => assert!(!is_reported && !is_dirty),
            other => panic!("{other:?}"),
        }
        world.close();
    });
}

#[test]
fn a_copy_beside_a_collect_is_reported_then_or_later() {
    explore(|| {
        let world = World::direct();
        world.map_alloc(0, 2 * PAGE, RW).expect("reserved");
        assert_eq!(world.fault(0, AXAS_READ), Verdict::Resolved);
        world.dirty_start(0, PAGE, AXAS_DIRTY_ALL, None).expect("logged");
        let collected = Arc::new(AtomicUsize::new(0));
        let copy = on_cpu(1, {
            let (world, collected) = (world.clone(), collected.clone());
            move || {
                let access = Access::filling(0).expect("an access");
                let (mut done, mut is_late) = (0, false);
                world
                    .for_each_chunk(0, PAGE, access, &mut done, &mut |chunk| {
                        is_late = collected.load(Ordering::Acquire) != 0;
                        set_word_of(chunk.host(), 0x77);
                        Ok(true)
                    })
                    .expect("written");
                is_late
            }
        });
        assert!(collect(&world));
        collected.store(1, Ordering::Release);
        if copy.join().unwrap() {
            assert_eq!(dirty(&world, 1), 1, "a write is lost");
        }
        world.close();
    });
}

/// A write as hardware does it (VTCR_EL2.HD): S2AP[1] is set in a leaf that has DBM; whether it went through.
fn hardware_writes(slot: &sync::AtomicU64, level: Level) -> bool {
    const S2AP_WRITE: u64 = 1 << 7;
    const DBM: u64 = 1 << 51;
    let word = slot.load(Ordering::Relaxed);
    let is_leaf = word & 3 == if level == Level::PAGE { 3 } else { 1 };
    is_leaf
        && word & DBM != 0
        && slot
            .compare_exchange(word, word | S2AP_WRITE, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
}

/// A leaf that is clean changes beside hardware that writes to it.
fn hardware_beside(level: Level, features: u32, change: fn(&World)) {
    let world = World::watched(AXAS_FEATURE_ARM_HAFDBS | features);
    let (size, pages) = if level == Level::PAGE { (PAGE, 1) } else { (LARGE, PAGES) };
    world.map_linear(0, LINEAR, size, RW).expect("mapped");
    world.dirty_start(0, size, AXAS_DIRTY_HARDWARE, None).expect("logged");
    let hardware = on_cpu(1, {
        let world = world.clone();
        move || hardware_writes(world.slot::<ArmStage2>(level), level)
    });
    change(&world);
    let written = if hardware.join().unwrap() { (1 << pages) - 1 } else { 0 };
    assert_eq!(dirty(&world, pages), written, "a write is lost");
    world.close();
}

fn hardware_beside_a_protect(level: Level, features: u32) {
    hardware_beside(level, features, |world| {
        world.protect(0, PAGE, AXAS_READ).expect("protected");
    });
}

#[test]
fn a_write_by_hardware_beside_a_retag_is_reported() {
    explore(|| {
        hardware_beside(Level::PAGE, 0, |world| world.retag(0, PAGE, 5).expect("another tag"));
    });
}

#[test]
fn a_write_by_hardware_beside_a_hide_is_reported() {
    explore(|| {
        hardware_beside(Level::PAGE, 0, |world| world.hide(0, PAGE, 0).expect("hidden"));
    });
}

#[test]
fn a_write_by_hardware_beside_a_protect_is_reported() {
    explore(|| hardware_beside_a_protect(Level::PAGE, 0));
}

#[test]
fn a_write_by_hardware_beside_a_split_is_reported() {
    explore(|| hardware_beside_a_protect(Level::LARGE, AXAS_FEATURE_ARM_BBM2));
}

#[test]
fn a_write_by_hardware_beside_a_split_that_breaks_before_it_makes_is_reported() {
    explore(|| hardware_beside_a_protect(Level::LARGE, 0));
}

/// Page 0 of a large frame that is clean goes beside hardware that writes to it: to the guest it is zero, which the log
/// says; of the rest it says what hardware did.
fn hardware_beside_a_discard(features: u32) {
    let world = World::watched(AXAS_FEATURE_ARM_HAFDBS | features);
    let flags = RW | AXAS_HUGE_FRAMES | AXAS_POPULATE;
    world.map_alloc(0, LARGE, flags).expect("mapped");
    world.dirty_start(0, LARGE, AXAS_DIRTY_HARDWARE, None).expect("logged");
    let hardware = on_cpu(1, {
        let world = world.clone();
        move || hardware_writes(world.slot::<ArmStage2>(Level::LARGE), Level::LARGE)
    });
    world.discard(0, PAGE).expect("discarded");
    let written = if hardware.join().unwrap() { (1 << PAGES) - 1 } else { 1 };
    assert_eq!(dirty(&world, PAGES), written, "a write is lost");
    world.close();
}

#[test]
fn a_write_by_hardware_beside_a_discard_is_reported() {
    explore(|| hardware_beside_a_discard(AXAS_FEATURE_ARM_BBM2));
}

#[test]
fn a_write_by_hardware_beside_a_discard_that_breaks_before_it_makes_is_reported() {
    explore(|| hardware_beside_a_discard(0));
}
