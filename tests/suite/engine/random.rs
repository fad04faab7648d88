// SPDX-License-Identifier: MIT OR Apache-2.0
//! Random sequences of calls, with frames refused now and then.
//!
//! Addresses and sizes are drawn from few values around boundaries of entries, so that calls meet.

use axaddrspace::abi::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::machines;
use super::space::Machine;
use super::steps::{Call, Step, Twin};
use crate::host::{Reach, Refusal};

const KIB_4: u64 = 1 << 12;
const MIB_2: u64 = 1 << 21;
const GIB: u64 = 1 << 30;
/// Host addresses of linear mappings, away from the frames of the host.
const LINEAR: u64 = 64 * GIB;
/// Pages of 4 KiB that one call may make: more takes time and shows nothing.
const MOST_SMALL: u64 = 8 << 20;

fn spot() -> impl Strategy<Value = u64> {
    let medium = select(vec![0_u64, 0, 0, 1, 2, 3, 511]);
    let small = select(vec![0_u64, 0, 0, 1, 2, 511]);
    (select(vec![0_u64, 0, 1, 1, 2, 3, 4]), medium, small)
        .prop_map(|(large, medium, small)| large * GIB + medium * MIB_2 + small * KIB_4)
}

/// A place and a size; now and then past the end of the space.
fn range() -> impl Strategy<Value = (u64, u64)> {
    let sizes = vec![
        KIB_4,
        KIB_4,
        2 * KIB_4,
        MIB_2 - KIB_4,
        MIB_2,
        MIB_2,
        MIB_2 + KIB_4,
        3 * MIB_2,
        GIB - MIB_2,
        GIB,
        GIB,
        GIB + KIB_4,
    ];
    let between = (spot(), spot()).prop_map(|(a, b)| (a.min(b), a.abs_diff(b).max(KIB_4)));
    prop_oneof![3 => (spot(), select(sizes)), 2 => between]
}

fn attributes() -> impl Strategy<Value = u32> {
    let read_write = AXAS_READ | AXAS_WRITE;
    let permissions =
        vec![AXAS_READ, read_write, AXAS_READ | AXAS_EXECUTE, read_write | AXAS_EXECUTE];
    let others = vec![0, 0, 0, AXAS_DEVICE, AXAS_USER];
    (select(permissions), select(others)).prop_map(|(permissions, other)| permissions | other)
}

fn page_sizes() -> impl Strategy<Value = u32> {
    select(vec![0, 0, 0, 0, AXAS_MAX_2M, AXAS_NO_HUGE_EXEC, AXAS_NO_HUGE])
}

fn is_small(flags: u32) -> bool {
    let no_huge_exec = AXAS_NO_HUGE_EXEC | AXAS_EXECUTE;
    flags & AXAS_NO_HUGE != 0 || flags & no_huge_exec == no_huge_exec
}

fn linear() -> impl Strategy<Value = Call> {
    let distances = select(vec![0, 0, GIB, 3 * GIB, MIB_2, GIB - MIB_2, KIB_4, 5 * MIB_2 + KIB_4]);
    (range(), distances, attributes(), page_sizes(), replaces()).prop_map(
        |((at, size), distance, flags, sizes, replaces)| {
            let flags = flags | sizes | replaces;
            let size = if is_small(flags) || !distance.is_multiple_of(MIB_2) {
                size.min(MOST_SMALL)
            } else {
                size
            };
            Call::Linear { at, size, hpa: LINEAR + at + distance, flags }
        },
    )
}

fn extents() -> impl Strategy<Value = Call> {
    let sizes = select(vec![KIB_4, 2 * KIB_4, MIB_2 - KIB_4, MIB_2, MIB_2, 2 * MIB_2]);
    let extent = (select(vec![0, MIB_2, 7 * MIB_2, KIB_4, MIB_2 - KIB_4]), sizes);
    (spot(), vec(extent, 1..5), attributes(), page_sizes()).prop_map(
        |(at, extents, flags, sizes)| {
            let extents = extents.into_iter().map(|(hpa, size)| (LINEAR + hpa, size)).collect();
            Call::Extents { at, extents, flags: flags | sizes }
        },
    )
}

fn reserve() -> impl Strategy<Value = Call> {
    let options = vec![0, 0, AXAS_HUGE_FRAMES, AXAS_HUGE_FRAMES | AXAS_MAX_2M, AXAS_NO_HUGE];
    (range(), attributes(), select(options), replaces()).prop_map(
        |((at, size), flags, options, replaces)| Call::Alloc {
            at,
            size,
            flags: flags | options | replaces,
        },
    )
}

fn replaces() -> impl Strategy<Value = u32> {
    select(vec![0, 0, 0, AXAS_REPLACE])
}

fn populate() -> impl Strategy<Value = Call> {
    let options = vec![0, AXAS_HUGE_FRAMES, AXAS_HUGE_FRAMES, AXAS_HUGE_FRAMES | AXAS_NO_HUGE_EXEC];
    (range(), attributes(), select(options), replaces()).prop_map(
        |((at, size), flags, options, replaces)| {
            let is_huge = options & AXAS_HUGE_FRAMES != 0 && !is_small(flags | options);
            let size = size.min(if is_huge { 2 * MIB_2 + KIB_4 } else { 24 * KIB_4 });
            Call::Alloc { at, size, flags: flags | options | replaces | AXAS_POPULATE }
        },
    )
}

/// A few pages, for which the host has frames.
fn some_pages() -> impl Strategy<Value = (u64, u64)> {
    let sizes = select(vec![KIB_4, KIB_4, 5 * KIB_4, MIB_2, MIB_2 + KIB_4]);
    (spot(), sizes)
}

fn trap() -> impl Strategy<Value = Call> {
    let cookies = select(vec![0_u64, 1, 0xffff_ffff, 0x8000_1234]);
    (range(), cookies, replaces()).prop_map(|((at, size), cookie, flags)| Call::Trap {
        at,
        size,
        cookie,
        flags,
    })
}

fn protect() -> impl Strategy<Value = Call> {
    let permissions = select(vec![AXAS_READ, AXAS_READ | AXAS_WRITE, AXAS_READ | AXAS_EXECUTE]);
    (range(), permissions).prop_map(|((at, size), permissions)| Call::Protect {
        at,
        size,
        permissions,
    })
}

fn fault() -> impl Strategy<Value = Call> {
    let accesses = select(vec![AXAS_READ, AXAS_READ, AXAS_WRITE, AXAS_EXECUTE, 3, 5, 7]);
    (spot(), 0..KIB_4, accesses)
        .prop_map(|(spot, offset, access)| Call::Fault { at: spot + offset, access })
}

fn step() -> impl Strategy<Value = Step> {
    let call = prop_oneof![
        6 => linear(),
        2 => extents(),
        5 => reserve(),
        2 => populate(),
        3 => some_pages().prop_map(|(at, size)| Call::Populate { at, size }),
        3 => range().prop_map(|(at, size)| Call::Discard { at, size }),
        2 => trap(),
        2 => range().prop_map(|(at, size)| Call::Collect { at, size }),
        8 => range().prop_map(|(at, size)| Call::Unmap { at, size }),
        5 => protect(),
        10 => fault(),
        1 => Just(Call::Clear),
    ];
    let refusal = prop_oneof![
        6 => Just(Refusal::Nothing),
        1 => (0_u32..6).prop_map(Refusal::Only),
        1 => (0_u32..6).prop_map(Refusal::From),
        1 => Just(Refusal::Huge),
    ];
    (call, refusal).prop_map(|(call, refusal)| Step { call, refusal })
}

fn follows_the_model(machine: Machine) {
    const CASES: u32 = 96;
    const MOST_STEPS: usize = 40;
    let reach = select(vec![Reach::Direct, Reach::Readable, Reach::Callback, Reach::Windows]);
    proptest!(
        crate::cases(CASES),
        |(reach in reach, steps in vec(step(), 1..MOST_STEPS))| {
            let mut twin = Twin::new(machine, reach);
            for step in &steps {
                twin.step(step);
            }
            twin.finish();
        }
    );
}

macro_rules! follow_the_model {
    ($($name:ident $machine:ident)*) => {$(
        #[test]
        fn $name() {
            follows_the_model(machines::$machine);
        }
    )*};
}

follow_the_model! {
    ept_follows_the_model EPT
    ept_without_1g_pages_follows_the_model EPT_WITHOUT_1G
    ept_of_5_levels_follows_the_model EPT_OF_5_LEVELS
    npt_follows_the_model NPT
    npt_without_1g_pages_follows_the_model NPT_WITHOUT_1G
    arm_with_two_roots_follows_the_model ARM
    arm_with_block_splits_follows_the_model ARM_WITH_BLOCK_SPLITS
    arm_of_4_levels_follows_the_model ARM_OF_4_LEVELS
    riscv_follows_the_model RISCV
    riscv_of_4_levels_follows_the_model RISCV_OF_4_LEVELS
    riscv_of_5_levels_follows_the_model RISCV_OF_5_LEVELS
    ept_keeping_tables_follows_the_model EPT_KEEPING
    npt_keeping_tables_follows_the_model NPT_KEEPING
    arm_keeping_tables_follows_the_model ARM_KEEPING
    riscv_keeping_tables_follows_the_model RISCV_KEEPING
}
