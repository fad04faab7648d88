// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sequences of calls that somebody thought of, on one space of each format.

use axaddrspace::abi::*;
use axaddrspace::address_space::Verdict;
use axaddrspace::error::Error;

use super::machines::*;
use super::space::Machine;
use super::steps::{Call, Step, Twin};
use crate::host::{Reach, Refusal};

const KIB_4: u64 = 1 << 12;
const MIB_2: u64 = 1 << 21;
const GIB: u64 = 1 << 30;
const READ_WRITE: u32 = AXAS_READ | AXAS_WRITE;

fn with(refusal: Refusal, call: Call) -> Step {
    Step { call, refusal }
}

/// A call that must succeed.
fn does(twin: &mut Twin, call: Call) {
    assert!(twin.step(&with(Refusal::Nothing, call.clone())), "{call:?}");
}

fn for_each_format(check: impl Fn(Machine)) {
    ONE_OF_EACH.into_iter().for_each(check);
}

#[test]
fn a_lazy_reservation_costs_the_tables_on_its_edges_only() {
    for_each_format(|machine| {
        const SIZE: u64 = 64 * GIB;
        let machine = Machine { base: 0, size: 100 * GIB, ..machine };
        for at in [0, KIB_4, MIB_2, GIB, GIB - KIB_4, 3 * GIB + 5 * MIB_2 + 7 * KIB_4] {
            let mut twin = Twin::new(machine, Reach::Windows);
            let empty = twin.space().stats().unwrap();
            does(&mut twin, Call::Alloc { at, size: SIZE, flags: READ_WRITE });
            let reserved = twin.space().stats().unwrap();
            let tables = reserved.table_frames - empty.table_frames;
            assert!(tables <= 2 * (u64::from(twin.space().levels()) - 1), "{tables} at {at:#x}");
            assert_eq!(reserved.guest_frames, 0);
            does(&mut twin, Call::Unmap { at, size: SIZE });
            let stats = twin.space().stats().unwrap();
            assert_eq!(stats.table_frames, empty.table_frames);
            twin.finish();
        }
    });
}

#[test]
fn pages_of_4_kib_take_the_leaf_tables_they_fill() {
    for_each_format(|machine| {
        const PAGES: u64 = 262_144;
        let machine = Machine { base: 0, size: 4 * GIB, ..machine };
        let mut twin = Twin::new(machine, Reach::Direct);
        let empty = twin.space().stats().unwrap().table_frames;
        let flags = READ_WRITE | AXAS_NO_HUGE;
        does(&mut twin, Call::Linear { at: GIB, size: PAGES * KIB_4, hpa: 64 * GIB, flags });
        let stats = twin.space().stats().unwrap();
        // One table of level 2, and one more for each level between it and the root.
        let above = u64::from(twin.space().levels()) - 2;
        assert_eq!(stats.table_frames - empty, 512 + above);
        assert_eq!((stats.mapped_4k, stats.mapped_2m, stats.mapped_1g), (PAGES, 0, 0));
        twin.finish();
    });
}

#[test]
fn a_second_fault_keeps_the_frame_of_the_first() {
    for_each_format(|machine| {
        let mut twin = Twin::new(machine, Reach::Callback);
        does(&mut twin, Call::Alloc { at: 0, size: GIB, flags: READ_WRITE });
        let gpa = machine.base + 5 * MIB_2 + 3 * KIB_4;
        assert_eq!(twin.space().page_fault(gpa, AXAS_WRITE), Verdict::Resolved);
        let first = twin.space().translate(gpa).unwrap();
        twin.host().with_page(first.0, |words| words[0] = 42);
        for access in [AXAS_READ, AXAS_WRITE, READ_WRITE] {
            assert_eq!(twin.space().page_fault(gpa, access), Verdict::Spurious);
        }
        assert_eq!(twin.space().translate(gpa), Ok(first));
        assert_eq!(twin.host().with_page(first.0, |words| words[0]), 42);
        assert_eq!(twin.host().live().1, 1);
        twin.finish();
    });
}

#[test]
fn faults_on_all_pages_of_a_reservation_bring_one_frame_each() {
    for_each_format(|machine| {
        let mut twin = Twin::new(machine, Reach::Windows);
        let at = 3 * MIB_2 - 2 * KIB_4;
        does(&mut twin, Call::Alloc { at, size: 40 * KIB_4, flags: READ_WRITE });
        for page in (0..40).rev() {
            does(&mut twin, Call::Fault { at: at + page * KIB_4, access: AXAS_WRITE });
        }
        let stats = twin.space().stats().unwrap();
        assert_eq!((stats.guest_frames, stats.faults_resolved), (40, 40));
        does(&mut twin, Call::Unmap { at: at + KIB_4, size: 38 * KIB_4 });
        assert_eq!(twin.space().stats().unwrap().guest_frames, 2);
        twin.finish();
    });
}

#[test]
fn huge_faults_bring_2_mib_and_give_parts_of_it_back() {
    for_each_format(|machine| {
        let mut twin = Twin::new(machine, Reach::Callback);
        let flags = READ_WRITE | AXAS_HUGE_FRAMES;
        does(&mut twin, Call::Alloc { at: KIB_4, size: GIB, flags });
        does(&mut twin, Call::Fault { at: 4 * MIB_2 + 0x1234, access: AXAS_READ });
        assert_eq!(twin.space().stats().unwrap().mapped_2m, 1);
        // Below the first boundary of 2 MiB there is room for small pages only.
        does(&mut twin, Call::Fault { at: KIB_4, access: AXAS_READ });
        assert_eq!(twin.space().stats().unwrap().mapped_4k, 1);
        does(&mut twin, Call::Unmap { at: 4 * MIB_2 + 7 * KIB_4, size: KIB_4 });
        assert_eq!(twin.space().stats().unwrap().guest_frames, 512);
        twin.finish();
    });
}

#[test]
fn a_host_without_huge_frames_gives_small_ones() {
    for_each_format(|machine| {
        let mut twin = Twin::new(machine, Reach::Callback);
        let flags = READ_WRITE | AXAS_HUGE_FRAMES;
        let populate = Call::Alloc { at: 0, size: MIB_2, flags: flags | AXAS_POPULATE };
        assert!(twin.step(&with(Refusal::Huge, populate)));
        assert_eq!(twin.space().stats().unwrap().mapped_4k, 512);
        does(&mut twin, Call::Alloc { at: MIB_2, size: MIB_2, flags });
        let fault = Call::Fault { at: MIB_2, access: AXAS_READ };
        assert!(twin.step(&with(Refusal::Huge, fault)));
        assert_eq!(twin.space().stats().unwrap().mapped_4k, 513);
        twin.finish();
    });
}

/// Calls that take frames, each on what the ones before left.
fn scenario() -> Vec<Call> {
    let populate = READ_WRITE | AXAS_POPULATE;
    let huge = AXAS_HUGE_FRAMES;
    vec![
        Call::Linear { at: KIB_4, size: GIB, hpa: 64 * GIB + KIB_4, flags: READ_WRITE },
        Call::Alloc { at: GIB + MIB_2, size: GIB - KIB_4, flags: READ_WRITE },
        Call::Alloc { at: 2 * GIB + 2 * MIB_2, size: 20 * KIB_4, flags: populate },
        Call::Alloc { at: 3 * GIB - KIB_4, size: MIB_2 + 9 * KIB_4, flags: populate | huge },
        Call::Trap { at: 3 * GIB + 7 * MIB_2, size: KIB_4, cookie: 7, flags: 0 },
        Call::Extents {
            at: 4 * GIB - MIB_2 - KIB_4,
            extents: vec![(64 * GIB, KIB_4), (65 * GIB, MIB_2), (66 * GIB, 2 * KIB_4)],
            flags: AXAS_READ,
        },
        Call::Fault { at: GIB + 9 * MIB_2, access: AXAS_WRITE },
        Call::Fault { at: 2 * GIB - KIB_4, access: AXAS_READ },
        Call::Protect { at: 3 * MIB_2 + KIB_4, size: GIB / 2, permissions: AXAS_READ },
        Call::Populate { at: GIB + 5 * MIB_2 + 3 * KIB_4, size: 4 * KIB_4 },
        Call::Discard { at: GIB + 5 * MIB_2 + 4 * KIB_4, size: 2 * KIB_4 },
        Call::Unmap { at: 5 * MIB_2 + KIB_4, size: KIB_4 },
        Call::Unmap { at: GIB + 3 * MIB_2 + KIB_4, size: 4 * MIB_2 },
        Call::Unmap { at: 3 * GIB + KIB_4, size: KIB_4 },
    ]
}

/// Whichever frame of whichever call is refused: the call fails, nothing changed, and it works as soon
/// as there is memory.
#[test]
fn any_frame_may_be_refused() {
    for_each_format(|machine| {
        let mut twin = Twin::new(machine, Reach::Windows);
        let mut refused = 0;
        for call in scenario() {
            let mut number = 0;
            while !twin.step(&with(Refusal::From(number), call.clone())) {
                number += 1;
                refused += 1;
            }
        }
        assert!(refused > 40, "only {refused} frames");
        twin.finish();
    });
}

#[test]
fn a_single_refusal_is_enough_to_fail() {
    for_each_format(|machine| {
        let mut twin = Twin::new(machine, Reach::Callback);
        for call in scenario() {
            let mut number = 0;
            while !twin.step(&with(Refusal::Only(number), call.clone())) {
                number += 1;
            }
        }
        twin.finish();
    });
}

#[test]
fn tables_stop_at_the_quota() {
    for_each_format(|machine| {
        let unlimited = Twin::new(machine, Reach::Callback);
        let root_pages = unlimited.space().stats().unwrap().table_frames as u32;
        let below = unlimited.space().levels() - 1;
        unlimited.finish();
        // Room for the tables of one page, but not of two that share nothing below the second level.
        let machine = Machine { table_quota: root_pages + below, ..machine };
        let mut twin = Twin::new(machine, Reach::Callback);
        does(&mut twin, Call::Linear { at: 0, size: KIB_4, hpa: 64 * GIB, flags: AXAS_READ });
        let space = twin.space();
        let beyond = machine.base + GIB;
        let outcome = space.map_linear(beyond, 64 * GIB, KIB_4, AXAS_READ);
        assert_eq!(outcome, Err(Error::NoMemory));
        assert_eq!(space.map_alloc(beyond, GIB, AXAS_READ), Ok(()), "needs no table");
        assert_eq!(space.page_fault(beyond, AXAS_READ), Verdict::NoMemory);
        assert_eq!(space.stats().unwrap().table_frames, u64::from(root_pages + below));
        twin.finish();
    });
}

/// Pages that went come back as they were reserved, and read as zero again.
#[test]
fn discarded_pages_stay_reserved() {
    for_each_format(|machine| {
        let mut twin = Twin::new(machine, Reach::Windows);
        let flags = READ_WRITE | AXAS_HUGE_FRAMES;
        does(&mut twin, Call::Alloc { at: MIB_2, size: 3 * MIB_2, flags });
        does(&mut twin, Call::Populate { at: MIB_2 + KIB_4, size: 2 * MIB_2 });
        does(&mut twin, Call::Discard { at: MIB_2, size: 2 * MIB_2 + 7 * KIB_4 });
        does(&mut twin, Call::Fault { at: 2 * MIB_2 + KIB_4, access: AXAS_WRITE });
        does(&mut twin, Call::Populate { at: MIB_2, size: 3 * MIB_2 });
        assert_eq!(twin.space().stats().unwrap().guest_frames, 3 * 512);
        does(&mut twin, Call::Discard { at: MIB_2, size: 3 * MIB_2 });
        assert_eq!(twin.space().stats().unwrap().guest_frames, 0);
        twin.finish();
    });
}

#[test]
fn what_is_replaced_goes_back_after_the_flush() {
    for_each_format(|machine| {
        let mut twin = Twin::new(machine, Reach::Callback);
        scenario().into_iter().for_each(|call| does(&mut twin, call));
        let flags = AXAS_READ | AXAS_REPLACE;
        let (at, hpa) = (GIB + KIB_4, 65 * GIB + KIB_4);
        does(&mut twin, Call::Linear { at, size: 2 * GIB + MIB_2, hpa, flags });
        assert!(twin.space().stats().unwrap().guest_frames > 0, "those outside the range stay");
        does(&mut twin, Call::Linear { at: 0, size: 4 * GIB, hpa: 64 * GIB, flags });
        assert_eq!(twin.space().stats().unwrap().guest_frames, 0);
        twin.finish();
    });
}

#[test]
fn mapping_and_unmapping_leaves_nothing_behind() {
    for_each_format(|machine| {
        let mut twin = Twin::new(machine, Reach::Callback);
        let empty = twin.host().live();
        for round in 0..8 {
            let at = round * (GIB / 2 + 3 * MIB_2 + KIB_4);
            let (size, hpa) = (GIB / 4 + KIB_4, 64 * GIB + at);
            does(&mut twin, Call::Linear { at, size, hpa, flags: AXAS_READ });
            does(&mut twin, Call::Unmap { at: at + MIB_2, size: KIB_4 });
            does(&mut twin, Call::Unmap { at, size });
            assert_eq!(twin.host().live(), empty);
        }
        twin.finish();
    });
}

#[test]
fn a_cleared_space_is_as_new() {
    for_each_format(|machine| {
        let mut twin = Twin::new(machine, Reach::Windows);
        let empty = twin.host().live();
        for _ in 0..2 {
            for call in scenario() {
                twin.step(&with(Refusal::Nothing, call));
            }
            does(&mut twin, Call::Clear);
            assert_eq!(twin.host().live(), empty);
        }
        twin.finish();
    });
}

/// The last page of the space, and what lies outside of it.
#[test]
fn spaces_end_where_they_end() {
    for_each_format(|machine| {
        let mut twin = Twin::new(machine, Reach::Callback);
        let last = machine.size - KIB_4;
        does(&mut twin, Call::Alloc { at: last, size: KIB_4, flags: READ_WRITE });
        does(&mut twin, Call::Fault { at: last + 0xfff, access: AXAS_WRITE });
        let space = twin.space();
        let end = machine.base + machine.size;
        for outside in [end, end + KIB_4, machine.base.wrapping_sub(1), u64::MAX] {
            if (machine.base..end).contains(&outside) {
                continue;
            }
            assert_eq!(space.page_fault(outside, AXAS_READ), Verdict::Unmapped);
            assert_eq!(space.translate(outside), Err(Error::NotMapped));
            assert_eq!(space.trap_cookie(outside), Err(Error::NotMapped));
        }
        let sizes = [2 * KIB_4, u64::MAX - KIB_4 + 1, 0_u64.wrapping_sub(end - KIB_4)];
        for size in sizes {
            let (gpa, flags) = (end - KIB_4, AXAS_READ);
            assert_eq!(space.map_linear(gpa, 0, size, flags), Err(Error::InvalidInput));
            assert_eq!(space.map_alloc(gpa, size, flags), Err(Error::InvalidInput));
            assert_eq!(space.map_trap(gpa, size, 0), Err(Error::InvalidInput));
            assert_eq!(space.unmap(gpa, size), Err(Error::InvalidInput));
            assert_eq!(space.protect(gpa, size, flags), Err(Error::InvalidInput));
            assert!(!space.contains_range(gpa, size));
        }
        twin.finish();
    });
}

#[test]
fn accesses_that_are_none_are_errors() {
    for_each_format(|machine| {
        let twin = Twin::new(machine, Reach::Callback);
        for access in [0, 8, AXAS_READ | AXAS_DEVICE, 1 << 31] {
            assert_eq!(twin.space().page_fault(machine.base, access), Verdict::Error);
        }
        assert_eq!(twin.space().stats().unwrap().faults_error, 4);
        twin.finish();
    });
}
