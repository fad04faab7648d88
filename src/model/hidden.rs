// SPDX-License-Identifier: MIT OR Apache-2.0
//! Faults on what was hidden until the next access, and on what gets another tag: each first access is seen once, and nothing
//! that was shown is hidden again.

use std::boxed::Box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::host::{LARGE, LINEAR, PAGE, RW, World};
use super::{explore, on_cpu};
use crate::abi::*;
use crate::address_space::Verdict;
use crate::error::Error;

/// Two pages of the host's in one table, hidden with it.
fn hidden(world: &World) {
    world.map_linear(0, LINEAR, 2 * PAGE, RW).expect("mapped");
    world.hide(0, LARGE, AXAS_HIDE_AUTO).expect("hidden");
}

/// A fault on another CPU, until it is answered.
fn fault_on(world: &Arc<World>, lane: u64, gpa: u64) -> loom::thread::JoinHandle<Verdict> {
    let world = world.clone();
    on_cpu(lane, move || world.fault(gpa, AXAS_WRITE))
}

/// A fault that was told to come again does so, with all others gone.
fn settled(world: &World, verdict: Verdict, gpa: u64) -> Verdict {
    if verdict == Verdict::Retry { world.fault(gpa, AXAS_WRITE) } else { verdict }
}

fn assert_shown(world: &World, gpa: u64) {
    let (hpa, _) = world.translate(gpa).expect("what was shown is hidden again");
    assert_eq!(hpa, LINEAR + gpa);
}

#[test]
fn two_faults_in_a_hidden_table_show_two_pages() {
    explore(|| {
        let world = World::watched(0);
        hidden(&world);
        let other = fault_on(&world, 1, PAGE);
        let verdict = world.fault(0, AXAS_WRITE);
        if verdict == Verdict::Resolved {
            assert_shown(&world, 0);
        }
        let verdicts = [verdict, other.join().unwrap()];
        assert!(verdicts.contains(&Verdict::Resolved), "{verdicts:?}");
        let [here, there] = verdicts;
        let all = [settled(&world, here, 0), settled(&world, there, PAGE)];
        assert_eq!(all, [Verdict::Resolved; 2], "what was shown is hidden again");
        assert_shown(&world, 0);
        assert_shown(&world, PAGE);
        world.close();
    });
}

#[test]
fn two_faults_on_one_page_of_a_hidden_table_show_it_once() {
    explore(|| {
        let world = World::watched(0);
        hidden(&world);
        let other = fault_on(&world, 1, 0);
        let here = world.fault(0, AXAS_WRITE);
        let there = other.join().unwrap();
        let all = [settled(&world, here, 0), settled(&world, there, 0)];
        let resolved = all.iter().filter(|verdict| **verdict == Verdict::Resolved).count();
        assert_eq!(resolved, 1, "{all:?}");
        assert!(all.contains(&Verdict::Spurious), "{all:?}");
        assert_shown(&world, 0);
        assert_eq!(world.query(PAGE).expect("there").state, AXAS_STATE_HIDDEN);
        world.close();
    });
}

/// Who looks finds the page hidden or shown, whatever a fault does meanwhile.
#[test]
fn a_query_beside_a_fault_in_a_hidden_table_finds_the_page() {
    explore(|| {
        let world = World::watched(0);
        hidden(&world);
        let reader = on_cpu(1, {
            let world = world.clone();
            move || [world.query(0).expect("there"), world.query(PAGE).expect("there")]
        });
        assert_eq!(world.fault(0, AXAS_WRITE), Verdict::Resolved);
        let [found, beside] = reader.join().unwrap();
        assert!(matches!(found.state, AXAS_STATE_HIDDEN | AXAS_STATE_LINEAR), "{}", found.state);
        assert_eq!(beside.state, AXAS_STATE_HIDDEN, "a page is shown that was not accessed");
        assert_eq!([found.hpa, beside.hpa], [LINEAR, LINEAR + PAGE]);
        world.close();
    });
}

/// What a fault showed before it was hidden again is flushed.
#[test]
fn two_faults_beside_a_hide_leave_nothing_unflushed() {
    explore(|| {
        let world = World::watched(0);
        world.map_linear(0, LINEAR, 2 * PAGE, RW).expect("mapped");
        world.hide(0, 2 * PAGE, AXAS_HIDE_AUTO).expect("hidden");
        let flushes = Arc::new(AtomicUsize::new(0));
        let counted = flushes.clone();
        let count = move || drop(counted.fetch_add(1, Ordering::Relaxed));
        assert!(world.machine.on_flush.set(Box::new(count)).is_ok());
        let faults = [fault_on(&world, 1, 0), fault_on(&world, 0, PAGE)];
        world.hide(0, 2 * PAGE, AXAS_HIDE_AUTO).expect("hidden");
        for (gpa, fault) in [0, PAGE].into_iter().zip(faults) {
            let verdict = fault.join().unwrap();
            let is_known = matches!(verdict, Verdict::Resolved | Verdict::Retry);
            assert!(is_known, "{verdict:?}");
            let is_hidden = world.query(gpa).expect("there").state == AXAS_STATE_HIDDEN;
            assert!(is_hidden || verdict == Verdict::Resolved);
            let is_flushed = flushes.load(Ordering::Relaxed) != 0;
            let was_shown = is_hidden && verdict == Verdict::Resolved;
            assert!(!was_shown || is_flushed, "what was shown is hidden and not flushed");
        }
        world.close();
    });
}

#[test]
fn a_fault_in_a_hidden_table_beside_an_unmap_leaves_nothing_behind() {
    explore(|| {
        let world = World::watched(0);
        hidden(&world);
        let other = fault_on(&world, 1, 0);
        world.unmap(0, LARGE).expect("unmapped");
        let verdict = other.join().unwrap();
        let expected = [Verdict::Resolved, Verdict::Retry, Verdict::Unmapped];
        assert!(expected.contains(&verdict), "{verdict:?}");
        assert_eq!(world.translate(0), Err(Error::NotMapped));
        assert_eq!(world.machine.count(AXAS_FRAME_TABLE), 1, "a table is left");
        world.close();
    });
}

/// Hidden pages go without a flush; one that a fault has just shown does not.
#[test]
fn a_fault_on_a_hidden_page_beside_an_unmap_leaves_nothing_unflushed() {
    explore(|| {
        let world = World::watched(0);
        world.map_linear(0, LINEAR, 2 * PAGE, RW).expect("mapped");
        world.hide(0, PAGE, AXAS_HIDE_AUTO).expect("hidden");
        let flushes = Arc::new(AtomicUsize::new(0));
        let counted = flushes.clone();
        let count = move || drop(counted.fetch_add(1, Ordering::Relaxed));
        assert!(world.machine.on_flush.set(Box::new(count)).is_ok());
        let other = fault_on(&world, 1, 0);
        world.unmap(0, PAGE).expect("unmapped");
        let verdict = other.join().unwrap();
        let expected = [Verdict::Resolved, Verdict::Retry, Verdict::Unmapped];
        assert!(expected.contains(&verdict), "{verdict:?}");
        let is_flushed = flushes.load(Ordering::Relaxed) != 0;
        assert_eq!(verdict == Verdict::Resolved, is_flushed, "shown, unmapped and not flushed");
        assert_eq!(world.translate(0), Err(Error::NotMapped));
        assert_shown(&world, PAGE);
        world.close();
    });
}

#[test]
fn a_fault_beside_a_retag_has_the_tag_of_before_or_after() {
    explore(|| {
        let world = World::watched(0);
        world.map_alloc(0, 2 * PAGE, RW).expect("reserved");
        let other = fault_on(&world, 1, 0);
        world.retag(0, PAGE, 5).expect("another tag");
        let verdict = other.join().unwrap();
        assert!(matches!(verdict, Verdict::Resolved | Verdict::Retry), "{verdict:?}");
        let found = world.query(0).expect("there");
        assert_eq!(found.flags & AXAS_TAG_MASK, 5 << AXAS_TAG_SHIFT, "a tag is lost");
        let is_owned = found.state == AXAS_STATE_OWNED;
        assert_eq!(is_owned, verdict == Verdict::Resolved, "a frame is lost");
        world.close();
    });
}
