// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pages that the host brings, beside faults and beside being taken away again.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::host::{HUGE, LINEAR, PAGE, RW, World};
use super::{explore, on_cpu};
use crate::abi::*;
use crate::address_space::Verdict;
use crate::error::{Error, Result};

/// A region whose pages the host gives when it is asked, or later.
fn provided(size: u64, answer: u32) -> Arc<World> {
    provided_in(World::watched(0), size, answer)
}

fn provided_in(world: Arc<World>, size: u64, answer: u32) -> Arc<World> {
    world.map_provider(0, size, RW, 1).expect("reserved");
    world.machine.answer.store(answer as usize, Ordering::Relaxed);
    world
}

/// A call that brings a frame for a page; of one that is refused the host keeps it.
fn give(world: &World, gpa: u64) -> Result<()> {
    let frame = world.machine.bring();
    let outcome = world.supply(gpa, frame, PAGE, RW, AXAS_RESOLVE_GIVEN);
    if outcome.is_err() {
        world.machine.put_back(frame);
    }
    outcome
}

fn give_on(world: &Arc<World>, gpa: u64) -> loom::thread::JoinHandle<Result<()>> {
    let world = world.clone();
    on_cpu(1, move || give(&world, gpa))
}

fn fault_on(world: &Arc<World>, access: u32) -> loom::thread::JoinHandle<Verdict> {
    let world = world.clone();
    on_cpu(0, move || world.fault(0, access))
}

fn a_supply_and_a_fault(world: Arc<World>) {
    let other = give_on(&world, 0);
    let verdict = world.fault(0, AXAS_WRITE);
    match (verdict, other.join().unwrap()) {
        (Verdict::Resolved, Err(Error::AlreadyExists)) | (Verdict::Spurious, Ok(())) => {}
        both => panic!("{both:?}"),
    }
    assert_eq!(world.machine.count(AXAS_FRAME_GUEST), 1, "a frame is lost");
    world.frame_at(0);
    world.close();
}

#[test]
fn of_a_supply_and_a_fault_one_brings_the_page() {
    explore(|| a_supply_and_a_fault(provided(2 * PAGE, AXAS_RESOLVE_GIVEN)));
}

#[test]
fn of_a_supply_and_a_fault_without_windows_one_brings_the_page() {
    explore(|| {
        a_supply_and_a_fault(provided_in(World::direct(), 2 * PAGE, AXAS_RESOLVE_GIVEN));
    });
}

#[test]
fn of_two_supplies_one_brings_the_page() {
    explore(|| {
        let world = provided(2 * PAGE, AXAS_RESOLVE_LATER);
        let other = give_on(&world, 0);
        let outcomes = [give(&world, 0), other.join().unwrap()];
        assert!(outcomes.contains(&Ok(())), "{outcomes:?}");
        assert!(outcomes.contains(&Err(Error::AlreadyExists)), "{outcomes:?}");
        world.frame_at(0);
        world.close();
    });
}

#[test]
fn two_supplies_below_one_entry_are_both_done() {
    explore(|| {
        let world = provided(HUGE, AXAS_RESOLVE_LATER);
        let other = give_on(&world, PAGE);
        assert_eq!([give(&world, 0), other.join().unwrap()], [Ok(()); 2]);
        assert_ne!(world.frame_at(0), world.frame_at(PAGE));
        assert_eq!(world.machine.count(AXAS_FRAME_TABLE), 3, "the loser kept its tables");
        world.close();
    });
}

#[test]
fn a_fault_that_waits_finds_the_page_when_it_is_there() {
    explore(|| {
        let world = provided(HUGE, AXAS_RESOLVE_LATER);
        let other = fault_on(&world, AXAS_READ);
        assert_eq!(give(&world, 0), Ok(()));
        let verdict = other.join().unwrap();
        assert!(matches!(verdict, Verdict::Wait | Verdict::Spurious), "{verdict:?}");
        assert_eq!(world.fault(0, AXAS_READ), Verdict::Spurious);
        world.close();
    });
}

#[test]
fn a_supply_and_a_fault_beside_an_evict_lose_no_frame() {
    explore(|| {
        let world = provided(2 * PAGE, AXAS_RESOLVE_GIVEN);
        let supply = give_on(&world, 0);
        let fault = fault_on(&world, AXAS_WRITE);
        world.evict_pages(0, 2 * PAGE);
        let (supplied, verdict) = (supply.join().unwrap(), fault.join().unwrap());
        let brought = usize::from(supplied.is_ok()) + usize::from(verdict == Verdict::Resolved);
        assert!(matches!(verdict, Verdict::Resolved | Verdict::Spurious | Verdict::Retry));
        assert!(matches!(supplied, Ok(()) | Err(Error::AlreadyExists)), "{supplied:?}");
        let left = world.machine.count(AXAS_FRAME_GUEST);
        let evicted = world.machine.evicted.load(Ordering::Relaxed);
        assert_eq!(brought, left + evicted, "{supplied:?} {verdict:?}");
        assert!(left <= 1);
        world.close();
    });
}

#[test]
fn a_page_is_reported_when_no_cpu_writes_to_it() {
    explore(|| {
        let world = provided(2 * PAGE, AXAS_RESOLVE_GIVEN);
        assert_eq!(world.fault(0, AXAS_WRITE), Verdict::Resolved);
        world.map_linear(HUGE, LINEAR, PAGE, RW).expect("mapped");
        let other = {
            let world = world.clone();
            on_cpu(1, move || world.fault(PAGE, AXAS_WRITE))
        };
        world.evict_pages(0, PAGE);
        world.evict_pages(HUGE, PAGE);
        assert!(matches!(other.join().unwrap(), Verdict::Resolved | Verdict::Retry));
        assert_eq!(world.machine.evicted.load(Ordering::Relaxed), 2);
        assert_eq!(world.translate(0), Err(Error::NotMapped));
        world.close();
    });
}
