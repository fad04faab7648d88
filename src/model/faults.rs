// SPDX-License-Identifier: MIT OR Apache-2.0
//! Faults beside faults, and beside exclusive calls.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::host::{HUGE, LARGE, LINEAR, PAGE, RW, World};
use super::{explore, on_cpu};
use crate::abi::*;
use crate::address_space::Verdict;
use crate::error::Error;

/// A fault on another CPU.
fn fault_on(
    world: &Arc<World>,
    lane: u64,
    gpa: u64,
    access: u32,
) -> loom::thread::JoinHandle<Verdict> {
    let world = world.clone();
    on_cpu(lane, move || world.fault(gpa, access))
}

/// One of two was resolved, the other found it done.
fn assert_one_of(verdicts: [Verdict; 2]) {
    let resolved = verdicts.iter().filter(|verdict| **verdict == Verdict::Resolved).count();
    let spurious = verdicts.iter().filter(|verdict| **verdict == Verdict::Spurious).count();
    assert_eq!((resolved, spurious), (1, 1), "{verdicts:?}");
}

fn reserved(flags: u32) -> Arc<World> {
    let world = World::watched(0);
    world.map_alloc(0, HUGE, flags).expect("reserved");
    world
}

#[test]
fn two_faults_on_one_page_take_one_frame() {
    explore(|| {
        let world = reserved(RW);
        let other = fault_on(&world, 1, 0, AXAS_WRITE);
        let verdict = world.fault(0, AXAS_READ);
        assert_one_of([verdict, other.join().unwrap()]);
        assert_eq!(world.machine.count(AXAS_FRAME_GUEST), 1, "the loser kept its frame");
        assert_eq!(world.machine.count(AXAS_FRAME_TABLE), 3, "the loser kept its tables");
        world.frame_at(0);
        world.close();
    });
}

#[test]
fn two_faults_on_one_page_without_windows_take_one_frame() {
    explore(|| {
        let world = World::direct();
        // Less than a table holds: the table is there.
        world.map_alloc(0, 2 * PAGE, RW).expect("reserved");
        let other = fault_on(&world, 1, 0, AXAS_WRITE);
        let verdict = world.fault(0, AXAS_READ);
        assert_one_of([verdict, other.join().unwrap()]);
        assert_eq!(world.machine.count(AXAS_FRAME_GUEST), 1, "the loser kept its frame");
        world.close();
    });
}

#[test]
fn a_fault_without_windows_finds_its_way_through_tables_of_another_fault() {
    explore(|| {
        let world = World::direct();
        world.map_alloc(0, HUGE, RW).expect("reserved");
        let other = fault_on(&world, 1, PAGE, AXAS_WRITE);
        let verdict = world.fault(0, AXAS_WRITE);
        assert_eq!([verdict, other.join().unwrap()], [Verdict::Resolved; 2]);
        assert_eq!(world.machine.count(AXAS_FRAME_TABLE), 3, "the loser kept its tables");
        world.close();
    });
}

#[test]
fn three_faults_on_one_page_take_one_frame() {
    explore(|| {
        let world = World::watched(0);
        world.map_alloc(0, LARGE, RW).expect("reserved");
        // A table is there: only the page itself is fought for.
        assert_eq!(world.fault(PAGE, AXAS_READ), Verdict::Resolved);
        let others = [fault_on(&world, 0, 0, AXAS_READ), fault_on(&world, 1, 0, AXAS_READ)];
        let mut verdicts = std::vec![world.fault(0, AXAS_READ)];
        verdicts.extend(others.map(|other| other.join().unwrap()));
        let resolved = verdicts.iter().filter(|verdict| **verdict == Verdict::Resolved).count();
        assert_eq!(resolved, 1, "{verdicts:?}");
        assert_eq!(world.machine.count(AXAS_FRAME_GUEST), 2);
        world.close();
    });
}

#[test]
fn two_faults_on_two_pages_of_one_reservation_are_both_resolved() {
    explore(|| {
        let world = reserved(RW);
        // Both are counted on one line.
        let other = fault_on(&world, 0, PAGE, AXAS_WRITE);
        let verdict = world.fault(0, AXAS_WRITE);
        assert_eq!([verdict, other.join().unwrap()], [Verdict::Resolved; 2]);
        assert_ne!(world.frame_at(0), world.frame_at(PAGE));
        assert_eq!(world.machine.count(AXAS_FRAME_TABLE), 3, "the loser kept its tables");
        assert_eq!(world.stats().expect("counters").faults_resolved, 2);
        world.close();
    });
}

#[test]
fn two_faults_below_two_entries_of_a_table_in_the_making_are_both_resolved() {
    explore(|| {
        let world = reserved(RW);
        let other = fault_on(&world, 1, LARGE, AXAS_WRITE);
        let verdict = world.fault(0, AXAS_WRITE);
        assert_eq!([verdict, other.join().unwrap()], [Verdict::Resolved; 2]);
        assert_ne!(world.frame_at(0), world.frame_at(LARGE));
        assert_eq!(world.machine.count(AXAS_FRAME_TABLE), 4, "the loser kept its tables");
        world.close();
    });
}

#[test]
fn two_faults_on_one_large_page_take_one_large_frame() {
    explore(|| {
        let world = reserved(RW | AXAS_HUGE_FRAMES);
        let other = fault_on(&world, 1, PAGE, AXAS_WRITE);
        let verdict = world.fault(0, AXAS_WRITE);
        assert_one_of([verdict, other.join().unwrap()]);
        assert_eq!(world.frame_at(PAGE), world.frame_at(0) + PAGE);
        assert_eq!(world.machine.count(AXAS_FRAME_GUEST), (LARGE / PAGE) as usize);
        world.close();
    });
}

#[test]
fn a_fault_with_a_large_frame_goes_on_where_a_small_one_won() {
    explore(|| {
        let world = reserved(RW | AXAS_HUGE_FRAMES);
        world.machine.small_lane.store(1, Ordering::Relaxed);
        let small = fault_on(&world, 1, PAGE, AXAS_WRITE);
        let large = world.fault(0, AXAS_WRITE);
        let small = small.join().unwrap();
        assert_eq!(large, Verdict::Resolved);
        let expected = match small {
            Verdict::Resolved => 2,
            Verdict::Spurious => LARGE / PAGE,
            other => panic!("{other:?}"),
        };
        assert_eq!(world.machine.count(AXAS_FRAME_GUEST), expected as usize);
        world.close();
    });
}

#[test]
fn two_faults_that_share_the_last_frames_lose_none() {
    explore(|| {
        let world = reserved(RW);
        // Enough for one of them and a half.
        world.machine.supply.store(4, Ordering::Relaxed);
        let other = fault_on(&world, 1, 0, AXAS_WRITE);
        let verdict = world.fault(0, AXAS_WRITE);
        let verdicts = [verdict, other.join().unwrap()];
        let resolved = verdicts.iter().filter(|verdict| **verdict == Verdict::Resolved).count();
        assert!(resolved <= 1, "{verdicts:?}");
        if verdicts.contains(&Verdict::Spurious) {
            assert_eq!(resolved, 1, "{verdicts:?}");
        }
        world.close();
    });
}

#[test]
fn a_fault_beside_an_unmap_leaves_nothing_behind() {
    explore(|| {
        let world = reserved(RW);
        assert_eq!(world.fault(PAGE, AXAS_READ), Verdict::Resolved);
        let fault = fault_on(&world, 1, 0, AXAS_WRITE);
        world.unmap(0, HUGE).expect("unmapped");
        let verdict = fault.join().unwrap();
        assert!(
            matches!(verdict, Verdict::Resolved | Verdict::Retry | Verdict::Unmapped),
            "{verdict:?}"
        );
        assert_eq!(world.translate(0), Err(Error::NotMapped));
        assert_eq!(world.machine.count(AXAS_FRAME_GUEST), 0, "a frame of what is gone");
        assert_eq!(world.machine.count(AXAS_FRAME_TABLE), 1, "a table of what is gone");
        world.close();
    });
}

#[test]
fn two_faults_beside_an_unmap_leave_nothing_behind() {
    explore(|| {
        let world = reserved(RW);
        let faults = [fault_on(&world, 0, 0, AXAS_WRITE), fault_on(&world, 1, PAGE, AXAS_WRITE)];
        world.unmap(0, HUGE).expect("unmapped");
        for fault in faults {
            let verdict = fault.join().unwrap();
            assert!(
                matches!(verdict, Verdict::Resolved | Verdict::Retry | Verdict::Unmapped),
                "{verdict:?}"
            );
        }
        assert_eq!(world.machine.count(AXAS_FRAME_GUEST), 0, "a frame of what is gone");
        assert_eq!(world.machine.count(AXAS_FRAME_TABLE), 1, "a table of what is gone");
        world.close();
    });
}

#[test]
fn a_fault_beside_a_clear_leaves_nothing_behind() {
    explore(|| {
        let world = reserved(RW);
        let fault = fault_on(&world, 1, 0, AXAS_WRITE);
        world.clear().expect("cleared");
        let verdict = fault.join().unwrap();
        assert!(
            matches!(verdict, Verdict::Resolved | Verdict::Retry | Verdict::Unmapped),
            "{verdict:?}"
        );
        assert_eq!(world.machine.count(AXAS_FRAME_GUEST), 0, "a frame of what is gone");
        assert_eq!(world.machine.count(AXAS_FRAME_TABLE), 1, "a table of what is gone");
        world.close();
    });
}

#[test]
fn a_fault_beside_a_protect_maps_no_more_than_what_it_leaves() {
    explore(|| {
        let world = reserved(RW);
        assert_eq!(world.fault(PAGE, AXAS_READ), Verdict::Resolved);
        let fault = fault_on(&world, 1, 0, AXAS_WRITE);
        world.protect(0, LARGE, AXAS_READ).expect("protected");
        let verdict = fault.join().unwrap();
        assert!(
            matches!(verdict, Verdict::Resolved | Verdict::Retry | Verdict::Denied),
            "{verdict:?}"
        );
        assert_eq!(world.fault(0, AXAS_WRITE), Verdict::Denied);
        let expected =
            if verdict == Verdict::Resolved { AXAS_STATE_OWNED } else { AXAS_STATE_RESERVED };
        let found = world.query(0).expect("in the space");
        assert_eq!((found.state, found.flags), (expected, AXAS_READ));
        world.close();
    });
}

/// A page is taken out of a large one while another page of it is used.
fn split(features: u32) {
    let world = World::watched(features);
    world.map_alloc(0, LARGE, RW | AXAS_HUGE_FRAMES).expect("reserved");
    assert_eq!(world.fault(0, AXAS_READ), Verdict::Resolved);
    let frame = world.frame_at(PAGE);
    let fault = fault_on(&world, 1, PAGE, AXAS_WRITE);
    world.unmap(0, PAGE).expect("unmapped");
    let verdict = fault.join().unwrap();
    assert!(matches!(verdict, Verdict::Spurious | Verdict::Retry), "{verdict:?}");
    assert_eq!(world.frame_at(PAGE), frame, "a page was replaced");
    world.close();
}

#[test]
fn a_fault_beside_a_split_finds_its_page() {
    explore(|| split(AXAS_FEATURE_ARM_BBM2));
}

#[test]
fn a_fault_beside_a_split_that_breaks_before_it_makes_finds_its_page() {
    explore(|| split(0));
}

#[test]
fn a_fault_beside_a_populate_keeps_its_frame() {
    explore(|| {
        let world = World::watched(0);
        world.map_alloc(0, LARGE, RW).expect("reserved");
        let fault = on_cpu(1, {
            let world = world.clone();
            move || {
                let verdict = world.fault(0, AXAS_WRITE);
                // The guest's next access, to what it has just been given.
                let frame = (verdict == Verdict::Resolved).then(|| world.frame_at(0));
                (verdict, frame)
            }
        });
        world.populate(0, LARGE).expect("populated");
        let (verdict, frame) = fault.join().unwrap();
        assert!(
            matches!(verdict, Verdict::Resolved | Verdict::Spurious | Verdict::Retry),
            "{verdict:?}"
        );
        if let Some(frame) = frame {
            assert_eq!(world.frame_at(0), frame, "a page was replaced");
        }
        assert_eq!(world.machine.count(AXAS_FRAME_GUEST), (LARGE / PAGE) as usize);
        world.close();
    });
}

#[test]
fn a_fault_beside_a_populate_that_fails_keeps_its_frame() {
    explore(|| {
        let world = World::watched(0);
        world.map_alloc(0, LARGE, RW).expect("reserved");
        // A table and two of four pages.
        world.machine.supply.store(3, Ordering::Relaxed);
        let fault = fault_on(&world, 1, 0, AXAS_WRITE);
        assert_eq!(world.populate(0, LARGE), Err(Error::NoMemory));
        let verdict = fault.join().unwrap();
        let kept = match verdict {
            Verdict::Resolved => 1,
            Verdict::Retry | Verdict::NoMemory => 0,
            other => panic!("{other:?}"),
        };
        assert_eq!(world.machine.count(AXAS_FRAME_GUEST), kept);
        world.close();
    });
}

#[test]
fn a_fault_beside_a_discard_finds_a_page_or_makes_one() {
    explore(|| {
        let world = World::watched(0);
        world.map_alloc(0, LARGE, RW).expect("reserved");
        assert_eq!(world.fault(0, AXAS_READ), Verdict::Resolved);
        let fault = fault_on(&world, 1, 0, AXAS_WRITE);
        world.discard(0, LARGE).expect("discarded");
        let verdict = fault.join().unwrap();
        let taken = match verdict {
            Verdict::Resolved => 1,
            Verdict::Spurious | Verdict::Retry => 0,
            other => panic!("{other:?}"),
        };
        assert_eq!(world.machine.count(AXAS_FRAME_GUEST), taken);
        assert_eq!(world.query(PAGE).expect("in the space").state, AXAS_STATE_RESERVED);
        world.close();
    });
}

#[test]
fn a_fault_beside_a_map_in_its_table_loses_neither() {
    explore(|| {
        let world = World::watched(0);
        world.map_alloc(0, LARGE, RW).expect("reserved");
        let fault = fault_on(&world, 1, 0, AXAS_WRITE);
        world.map_linear(LARGE, LINEAR, PAGE, RW).expect("mapped");
        let verdict = fault.join().unwrap();
        assert!(matches!(verdict, Verdict::Resolved | Verdict::Retry), "{verdict:?}");
        assert_eq!(world.translate(LARGE).map(|(hpa, _)| hpa), Ok(LINEAR));
        let resumed = world.fault(0, AXAS_WRITE);
        let expected =
            if verdict == Verdict::Retry { Verdict::Resolved } else { Verdict::Spurious };
        assert_eq!(resumed, expected);
        world.close();
    });
}

#[test]
fn a_fault_does_not_wait_for_a_writer_who_waits_for_its_cpu() {
    explore(|| {
        let world = World::watched(0);
        world.map_linear(0, LINEAR, PAGE, RW).expect("mapped");
        world.map_alloc(LARGE, PAGE, RW).expect("reserved");
        let left = Arc::new(loom::sync::atomic::AtomicBool::new(false));
        // The other CPU answers the shootdown once it left its handler of faults.
        let answered = {
            let left = left.clone();
            move || {
                while !left.load(Ordering::Acquire) {
                    loom::thread::yield_now();
                }
            }
        };
        assert!(world.machine.on_flush.set(std::boxed::Box::new(answered)).is_ok());
        let fault = on_cpu(1, {
            let world = world.clone();
            move || {
                let verdict = world.fault(LARGE, AXAS_WRITE);
                left.store(true, Ordering::Release);
                verdict
            }
        });
        world.unmap(0, PAGE).expect("unmapped");
        let verdict = fault.join().unwrap();
        assert!(matches!(verdict, Verdict::Resolved | Verdict::Retry), "{verdict:?}");
        let refused = world.stats().expect("counters").faults_retry;
        assert_eq!(refused, u64::from(verdict == Verdict::Retry));
        world.close();
    });
}
