// SPDX-License-Identifier: MIT OR Apache-2.0
//! Accesses beside what ages pages: each is reported once, then or later.

use std::boxed::Box;
use std::sync::Arc;

use loom::sync::Mutex;
use loom::sync::atomic::Ordering;

use super::host::{HUGE, LARGE, LINEAR, PAGE, RW, World};
use super::{explore, on_cpu};
use crate::abi::*;
use crate::address_space::Verdict;
use crate::npt::arch::{AmdNpt, ArmStage2, Format};
use crate::npt::units::Level;

/// How many pages were used; they are old afterwards.
fn age(world: &World, size: u64) -> u64 {
    let mut young = 0;
    world.age(0, size, None, 0, &mut young, None).expect("aged");
    young
}

/// A page of the host's that is old.
fn old_page(world: &World) {
    world.map_linear(0, LINEAR, PAGE, RW).expect("mapped");
    assert_eq!(age(world, PAGE), 1);
}

#[test]
fn two_accesses_to_an_old_page_make_it_young_once() {
    explore(|| {
        let world = World::watched(0);
        old_page(&world);
        let other = on_cpu(1, {
            let world = world.clone();
            move || world.fault(0, AXAS_READ)
        });
        let verdicts = [world.fault(0, AXAS_READ), other.join().unwrap()];
        assert!(verdicts.contains(&Verdict::Resolved), "{verdicts:?}");
        assert!(verdicts.contains(&Verdict::Spurious), "{verdicts:?}");
        assert_eq!(age(&world, PAGE), 1);
        world.close();
    });
}

#[test]
fn a_fault_on_an_old_page_beside_a_look_is_reported_then_or_later() {
    explore(|| {
        let world = World::watched(0);
        old_page(&world);
        let vcpu = on_cpu(1, {
            let world = world.clone();
            move || world.fault(0, AXAS_READ)
        });
        let then = age(&world, PAGE);
        let verdict = vcpu.join().unwrap();
        let later = age(&world, PAGE);
        match verdict {
            Verdict::Resolved => assert_eq!(then + later, 1, "an access is lost"),
            Verdict::Retry => assert_eq!(then + later, 0),
            other => panic!("{other:?}"),
        }
        world.close();
    });
}

/// An access as hardware does it (VTCR_EL2.HA); whether it found a leaf.
fn hardware_uses(slot: &crate::sync::AtomicU64, level: Level) -> bool {
    let word = slot.load(Ordering::Relaxed);
    let used = word | ArmStage2::YOUNG;
    let relaxed = Ordering::Relaxed;
    ArmStage2::is_valid(word)
        && ArmStage2::is_leaf(word, level.get()) == Some(true)
        && slot.compare_exchange(word, used, relaxed, relaxed).is_ok()
}

/// A leaf that is old changes beside hardware that uses it.
fn hardware_beside_a_protect(level: Level, features: u32) {
    let world = World::watched(AXAS_FEATURE_ARM_HAF | features);
    let size = level.size();
    world.map_linear(0, LINEAR, size, RW).expect("mapped");
    assert_eq!(age(&world, size), level.pages());
    let hardware = on_cpu(1, {
        let world = world.clone();
        move || hardware_uses(world.slot::<ArmStage2>(level), level)
    });
    world.protect(0, PAGE, AXAS_READ).expect("protected");
    let used = if hardware.join().unwrap() { level.pages() } else { 0 };
    assert_eq!(age(&world, size), used, "an access is lost");
    world.close();
}

#[test]
fn an_access_by_hardware_beside_a_protect_is_reported() {
    explore(|| hardware_beside_a_protect(Level::PAGE, 0));
}

#[test]
fn an_access_by_hardware_beside_a_split_is_reported() {
    explore(|| hardware_beside_a_protect(Level::LARGE, AXAS_FEATURE_ARM_BBM2));
}

#[test]
fn an_access_by_hardware_beside_a_split_that_breaks_before_it_makes_is_reported() {
    explore(|| hardware_beside_a_protect(Level::LARGE, 0));
}

/// A page that is dirty and old is made clean beside hardware that uses it.
#[test]
fn an_access_by_hardware_beside_a_clear_is_reported() {
    explore(|| {
        let world = World::watched(AXAS_FEATURE_ARM_HAF | AXAS_FEATURE_ARM_HAFDBS);
        old_page(&world);
        let options = AXAS_DIRTY_ALL | AXAS_DIRTY_HARDWARE;
        world.dirty_start(0, PAGE, options, None).expect("logged");
        let hardware = on_cpu(1, {
            let world = world.clone();
            move || hardware_uses(world.slot::<ArmStage2>(Level::PAGE), Level::PAGE)
        });
        let (mut bitmap, mut count) = ([0], 0);
        world.dirty_collect(0, PAGE, &mut bitmap, 0, &mut count, None).expect("collected");
        assert_eq!(count, 1);
        let used = u64::from(hardware.join().unwrap());
        assert_eq!(age(&world, PAGE), used, "an access is lost");
        world.close();
    });
}

/// A walk marks what it reads: the entries that point to tables, then the leaf; by an entry that the CPU holds it begins
/// below. What it holds goes with a flush, which waits for a walk.
struct Walker {
    holds_table: Mutex<bool>,
}

impl Walker {
    /// A CPU that holds the entry of the table of page 0, or not.
    fn of(world: &World, holds_table: bool) -> Arc<Self> {
        let walker = Arc::new(Self { holds_table: Mutex::new(holds_table) });
        let flushed = walker.clone();
        let set = world.machine.on_flush.set(Box::new(move || {
            *flushed.holds_table.lock().unwrap() = false;
        }));
        assert!(set.is_ok());
        walker
    }

    fn use_page(&self, world: &World) {
        let mut holds_table = self.holds_table.lock().unwrap();
        if !*holds_table {
            let slot = world.slot::<AmdNpt>(Level::LARGE);
            slot.fetch_or(AmdNpt::TABLE_YOUNG, Ordering::Relaxed);
        }
        *holds_table = true;
        world.slot::<AmdNpt>(Level::PAGE).fetch_or(AmdNpt::YOUNG, Ordering::Relaxed);
    }
}

#[test]
fn an_access_beside_tables_that_become_cold_is_reported() {
    explore(|| {
        let world = World::nested();
        old_page(&world);
        let walker = Walker::of(&world, true);
        let hardware = on_cpu(1, {
            let (world, walker) = (world.clone(), walker.clone());
            move || walker.use_page(&world)
        });
        let mut reported = age(&world, LARGE) + age(&world, LARGE);
        hardware.join().unwrap();
        reported += age(&world, LARGE);
        assert_eq!(reported, 1, "an access is lost");
        world.close();
    });
}

#[test]
fn an_access_beside_an_edit_of_a_cold_table_is_reported() {
    explore(|| {
        let world = World::nested();
        world.map_linear(0, LINEAR, 3 * PAGE, RW).expect("mapped");
        assert_eq!(age(&world, HUGE), 3);
        assert_eq!(age(&world, HUGE) + age(&world, HUGE), 0);
        let walker = Walker::of(&world, false);
        let hardware = on_cpu(1, {
            let (world, walker) = (world.clone(), walker.clone());
            move || walker.use_page(&world)
        });
        world.unmap(2 * PAGE, PAGE).expect("unmapped");
        hardware.join().unwrap();
        assert_eq!(age(&world, HUGE), 1, "an access is lost");
        world.close();
    });
}
