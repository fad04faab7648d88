// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pages that change hands between two spaces, beside each other and beside those who use them.

use std::sync::Arc;

use loom::sync::atomic::Ordering;

use super::host::{LINEAR, PAGE, RW, World};
use super::{explore, on_cpu};
use crate::abi::*;
use crate::address_space::{Transfer, Verdict};
use crate::error::{Error, Result};
use crate::npt::arch::ArmStage2;
use crate::npt::entry::{Entry, Way};
use crate::npt::units::Level;
use crate::sync;

/// Lends or gives one page.
fn transfer(action: u32, from: &World, gpa: u64, to: &World, to_gpa: u64) -> Result<()> {
    let asked = axas_transfer_t {
        struct_size: size_of::<axas_transfer_t>() as u32,
        action,
        to_flags: RW,
        ..axas_transfer_t::default()
    };
    from.transfer(gpa, Some(to), to_gpa, PAGE, &mut Transfer::new(&asked).expect("a deal"))
}

/// Two spaces, which have a page each that the other one does not get: all tables are there.
fn two_spaces() -> (Arc<World>, Arc<World>) {
    let spaces = (World::direct(), World::direct());
    for world in [&spaces.0, &spaces.1] {
        world.map_linear(3 * PAGE, LINEAR + 3 * PAGE, PAGE, RW).expect("mapped");
    }
    spaces
}

/// Where a page is, if it is mapped.
fn page_at(world: &World, gpa: u64) -> Option<u64> {
    world.translate(gpa).ok().map(|(hpa, _)| hpa)
}

#[test]
fn two_pages_lent_in_opposite_directions_both_arrive() {
    explore(|| {
        let (a, b) = two_spaces();
        a.map_linear(0, LINEAR, PAGE, RW).expect("mapped");
        b.map_linear(0, LINEAR + PAGE, PAGE, RW).expect("mapped");
        let other = on_cpu(1, {
            let (a, b) = (a.clone(), b.clone());
            move || transfer(AXAS_LEND, &b, 0, &a, PAGE)
        });
        transfer(AXAS_LEND, &a, 0, &b, PAGE).expect("lent");
        other.join().unwrap().expect("lent");
        assert_eq!((page_at(&a, 0), page_at(&b, 0)), (None, None));
        assert_eq!(page_at(&a, PAGE), Some(LINEAR + PAGE));
        assert_eq!(page_at(&b, PAGE), Some(LINEAR));
        a.close();
        b.close();
    });
}

#[test]
fn a_page_given_in_both_directions_has_one_owner() {
    explore(|| {
        let (a, b) = two_spaces();
        a.map_linear(0, LINEAR, PAGE, RW).expect("mapped");
        let back = on_cpu(1, {
            let (a, b) = (a.clone(), b.clone());
            move || transfer(AXAS_GIVE, &b, 0, &a, PAGE)
        });
        transfer(AXAS_GIVE, &a, 0, &b, 0).expect("given");
        let back = back.join().unwrap();
        let owners = [page_at(&a, 0), page_at(&a, PAGE), page_at(&b, 0)];
        match back {
            Ok(()) => assert_eq!(owners, [None, Some(LINEAR), None]),
            Err(Error::NotMapped) => assert_eq!(owners, [None, None, Some(LINEAR)]),
            other => panic!("{other:?}"),
        }
        a.close();
        b.close();
    });
}

#[test]
fn a_fault_in_each_beside_a_lend_says_before_or_after() {
    explore(|| {
        let (a, b) = (World::watched(0), World::watched(0));
        a.map_linear(0, LINEAR, PAGE, RW).expect("mapped");
        let [giver, taker] = [(0, &a), (1, &b)].map(|(lane, world)| {
            let world = world.clone();
            on_cpu(lane, move || world.fault(0, AXAS_WRITE))
        });
        transfer(AXAS_LEND, &a, 0, &b, 0).expect("lent");
        let (giver, taker) = (giver.join().unwrap(), taker.join().unwrap());
        assert!(matches!(giver, Verdict::Spurious | Verdict::Retry | Verdict::Hidden));
        assert!(matches!(taker, Verdict::Unmapped | Verdict::Retry | Verdict::Spurious));
        assert_eq!((page_at(&a, 0), page_at(&b, 0)), (None, Some(LINEAR)));
        a.close();
        b.close();
    });
}

/// The entry of the page at address 0.
fn slot(world: &World) -> &sync::AtomicU64 {
    let mut at = Level::LARGE.up();
    let mut table = world.root();
    loop {
        // SAFETY: the first word of a table.
        let slot = unsafe { &*world.machine.slots(table) };
        if at == Level::PAGE {
            return slot;
        }
        let entry = Entry::<ArmStage2>::from_word(slot.load(Ordering::Relaxed));
        match entry.way(at.get()) {
            Way::Down(below) => table = crate::addr::Bits::bits(below),
            other => panic!("{other:?}"),
        }
        at = at.down();
    }
}

#[test]
fn hardware_beside_a_lend_finds_no_page_in_both() {
    explore(|| {
        let (a, b) = two_spaces();
        a.map_linear(0, LINEAR, PAGE, RW).expect("mapped");
        let walker = on_cpu(1, {
            let (a, b) = (a.clone(), b.clone());
            move || {
                let is_there = slot(&b).load(Ordering::Acquire) & 1 != 0;
                (is_there, slot(&a).load(Ordering::Acquire) & 1 != 0)
            }
        });
        transfer(AXAS_LEND, &a, 0, &b, 0).expect("lent");
        assert_ne!(walker.join().unwrap(), (true, true), "a page has two owners");
        a.close();
        b.close();
    });
}
