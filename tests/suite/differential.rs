// SPDX-License-Identifier: MIT OR Apache-2.0
//! Address spaces against `PageTable64` of page_table_multiarch, with our entries in its tables.
//!
//! It walks, splits nothing, takes no cut through a page and masks its indices: within those limits
//! both must give the same answers, and write the same leaves.

use std::cell::RefCell;
use std::collections::BTreeMap;

use axaddrspace::abi::*;
use axaddrspace::addr::{GuestPhysAddr, HostPhysAddr};
use axaddrspace::npt::arch::*;
use axaddrspace::npt::entry::{Entry, State};
use axaddrspace::npt::paging::MetaData;
use memory_addr::{PhysAddr, VirtAddr};
use page_table_multiarch::{
    MappingFlags, PageSize, PageTable64, PagingError, PagingHandler, PagingResult,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::engine::space::{Machine, Space};
use crate::formats::{entry_size, hpa};
use crate::host::{Host, Reach};

const KIB_4: u64 = 1 << 12;
const MIB_2: u64 = 1 << 21;
const GIB: u64 = 1 << 30;
const SIZE: u64 = 8 * GIB;

thread_local! {
    /// Tables of the page tables of this thread; the address of one is its place in memory.
    static TABLES: RefCell<BTreeMap<usize, Box<Page>>> = const { RefCell::new(BTreeMap::new()) };
}

#[repr(align(4096))]
struct Page([u64; 512]);

struct Handler;

impl PagingHandler for Handler {
    fn alloc_frames(num: usize, align: usize) -> Option<PhysAddr> {
        assert_eq!((num, align), (1, 4096));
        let page = Box::new(Page([0; 512]));
        let address = page.0.as_ptr().expose_provenance();
        TABLES.with_borrow_mut(|tables| tables.insert(address, page));
        Some(PhysAddr::from_usize(address))
    }

    fn dealloc_frames(paddr: PhysAddr, _num: usize) {
        let page = TABLES.with_borrow_mut(|tables| tables.remove(&paddr.as_usize()));
        assert!(page.is_some(), "not a table");
    }

    fn phys_to_virt(paddr: PhysAddr) -> VirtAddr {
        VirtAddr::from_usize(paddr.as_usize())
    }
}

type Theirs<F, const LEVELS: usize> = PageTable64<MetaData<F, LEVELS>, Entry<F>, Handler>;

#[derive(Clone, Debug)]
enum Call {
    /// Place, pages' worth of bytes, distance of the host's addresses, flags, huge pages allowed.
    Map {
        at: u64,
        size: u64,
        distance: u64,
        flags: MappingFlags,
        huge: bool,
    },
    /// Of the mappings that stand, the one with this number (mod how many there are).
    Unmap {
        number: usize,
    },
    Protect {
        number: usize,
        permissions: MappingFlags,
    },
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    use MappingFlags as M;
    let read_write = M::READ | M::WRITE;
    let permissions = vec![M::READ, read_write, M::READ | M::EXECUTE, read_write | M::EXECUTE];
    let flags = (select(permissions.clone()), select(vec![M::empty(), M::DEVICE, M::USER]))
        .prop_map(|(permissions, other)| permissions | other);
    let at = (0_u64..7, select(vec![0_u64, 0, 1, 2, 511]), select(vec![0_u64, 0, 1, 511]))
        .prop_map(|(large, medium, small)| large * GIB + medium * MIB_2 + small * KIB_4);
    let sizes = vec![KIB_4, 3 * KIB_4, MIB_2, MIB_2 + KIB_4, 5 * MIB_2, GIB, GIB + MIB_2];
    let distances = vec![0, 0, GIB, MIB_2, KIB_4];
    let map = (at, select(sizes), select(distances), flags, any::<bool>()).prop_map(
        |(at, size, distance, flags, huge)| {
            let is_small = !huge || distance % MIB_2 != 0;
            let size = if is_small { size.min(2 * MIB_2) } else { size };
            Call::Map { at, size, distance, flags, huge }
        },
    );
    let protect = (any::<usize>(), select(permissions))
        .prop_map(|(number, permissions)| Call::Protect { number, permissions });
    let unmap = any::<usize>().prop_map(|number| Call::Unmap { number });
    vec(prop_oneof![4 => map, 2 => unmap, 2 => protect], 1..24)
}

/// A mapping that stands in both.
#[derive(Clone, Copy)]
struct Mapping {
    size: u64,
    hpa: u64,
    flags: MappingFlags,
    huge: bool,
}

/// Both tables, and the mappings that stand in both.
struct Pair<F: Format, const LEVELS: usize> {
    base: u64,
    ours: Space,
    theirs: Theirs<F, LEVELS>,
    mappings: BTreeMap<u64, Mapping>,
}

impl<F: Format, const LEVELS: usize> Pair<F, LEVELS> {
    fn new(base: u64) -> Self {
        let machine = Machine {
            format: F::ID as u32,
            levels: LEVELS as u32,
            pa_bits: 48,
            base,
            size: SIZE,
            // What page_table_multiarch does without asking.
            features: F::FEATURES & AXAS_FEATURE_1G_PAGES,
            ..Machine::default()
        };
        Self {
            base,
            ours: Space::new(Host::new(Reach::Callback), &machine),
            theirs: Theirs::try_new().unwrap(),
            mappings: BTreeMap::new(),
        }
    }

    /// The mapping that a number stands for.
    fn mapping(&self, number: usize) -> Option<(u64, Mapping)> {
        let count = self.mappings.len().max(1);
        self.mappings.iter().nth(number % count).map(|(gpa, mapping)| (*gpa, *mapping))
    }

    fn map_theirs(&mut self, gpa: u64, mapping: Mapping) -> PagingResult {
        let get = |at: GuestPhysAddr| hpa(mapping.hpa + (at.as_usize() as u64 - gpa)).into();
        let (size, flags) = (mapping.size as usize, mapping.flags);
        self.theirs.cursor().map_region(guest(gpa), get, size, flags, mapping.huge)
    }

    /// Theirs never gives tables back, and then has no place for a huge page where an empty table
    /// hangs: in that case it starts anew.
    fn map_theirs_for_sure(&mut self, gpa: u64, mapping: Mapping) {
        if self.map_theirs(gpa, mapping) == Err(PagingError::AlreadyMapped) {
            self.theirs = Theirs::try_new().unwrap();
            for (gpa, mapping) in self.mappings.clone() {
                self.map_theirs(gpa, mapping).unwrap();
            }
            self.map_theirs(gpa, mapping).unwrap();
        }
    }

    fn call(&mut self, call: &Call) {
        match *call {
            Call::Map { at, size, distance, flags, huge } => {
                let (gpa, hpa) = (self.base + at, 64 * GIB + at + distance);
                // Theirs finds an overlap half-way and leaves what it did: it is never asked.
                let sizes = if huge { 0 } else { AXAS_NO_HUGE };
                if self.ours.map_linear(gpa, hpa, size, flags.bits() as u32 | sizes).is_ok() {
                    let mapping = Mapping { size, hpa, flags, huge };
                    self.map_theirs_for_sure(gpa, mapping);
                    self.mappings.insert(gpa, mapping);
                }
            }
            Call::Unmap { number } => {
                if let Some((gpa, mapping)) = self.mapping(number) {
                    self.ours.unmap(gpa, mapping.size).unwrap();
                    let size = mapping.size as usize;
                    self.theirs.cursor().unmap_region(guest(gpa), size).unwrap();
                    self.mappings.remove(&gpa);
                }
            }
            Call::Protect { number, permissions } => {
                if let Some((gpa, mapping)) = self.mapping(number) {
                    self.ours.protect(gpa, mapping.size, permissions.bits() as u32).unwrap();
                    // Theirs takes all flags anew; ours keeps the memory type.
                    let flags = permissions | mapping.flags & MappingFlags::DEVICE;
                    let size = mapping.size as usize;
                    self.theirs.cursor().protect_region(guest(gpa), size, flags).unwrap();
                    self.mappings.insert(gpa, Mapping { flags, ..mapping });
                }
            }
        }
    }

    fn compare(&self) {
        for (gpa, Mapping { size, .. }) in &self.mappings {
            let spots = [*gpa, gpa + KIB_4, gpa + size / 2, gpa + size - 1, gpa + size];
            spots.into_iter().for_each(|spot| self.compare_at(spot));
        }
        for large in 0..8 {
            self.compare_at(self.base + large * GIB + 0x234);
            self.compare_at(self.base + large * GIB + 511 * MIB_2);
        }
    }

    fn compare_at(&self, gpa: u64) {
        let found = self.ours.translate(gpa);
        let Ok((address, flags, size)) = self.theirs.query(guest(gpa)) else {
            return assert!(found.is_err(), "{gpa:#x}: {found:x?}");
        };
        assert_eq!(found.map(|(hpa, _)| hpa), Ok(address.as_usize() as u64), "{gpa:#x}");
        let mapping = self.ours.query(gpa).unwrap();
        assert_eq!(mapping.flags as usize, flags.bits(), "{gpa:#x}");
        assert_eq!(mapping.size, size as u64, "{gpa:#x}");
        let level = match size {
            PageSize::Size1G => 3,
            PageSize::Size2M => 2,
            _ => 1,
        };
        let ours = walk::<F>(LEVELS as u32, self.ours.root(), gpa, |table, index| {
            self.ours.host().with_page(table, |words| words[index])
        });
        let theirs = walk::<F>(
            LEVELS as u32,
            self.theirs.root_paddr().as_usize() as u64,
            gpa,
            |table, index| TABLES.with_borrow(|tables| tables[&(table as usize)].0[index]),
        );
        assert_eq!(ours, (theirs.0, level), "{gpa:#x}: {:x} and {:x}", ours.0, theirs.0);
    }
}

fn guest(gpa: u64) -> GuestPhysAddr {
    GuestPhysAddr::from_usize(gpa as usize)
}

/// The leaf that maps an address, and its level.
fn walk<F: Format>(
    levels: u32,
    root: u64,
    gpa: u64,
    read: impl Fn(u64, usize) -> u64,
) -> (u64, u32) {
    let (mut table, mut level) = (root, levels);
    loop {
        let index = (gpa / entry_size(level) % 512) as usize;
        let entry = Entry::<F>::from_word(read(table, index));
        match entry.state(level) {
            State::Table => {
                let below: HostPhysAddr = entry.address();
                table = below.as_usize() as u64;
                level -= 1;
            }
            State::Leaf => return (entry.word() & !F::OWNED, level),
            state => panic!("{gpa:#x}: {state:?}"),
        }
    }
}

fn agrees<F: Format, const LEVELS: usize>(base: u64) {
    proptest!(crate::cases(64), |(calls in calls())| {
        let mut pair = Pair::<F, LEVELS>::new(base);
        for call in &calls {
            pair.call(call);
            pair.compare();
        }
        pair.ours.finish();
    });
    assert!(TABLES.with_borrow(BTreeMap::is_empty), "tables of theirs are lost");
}

/// The last addresses that a root of one frame resolves in so many levels.
fn last(levels: u32) -> u64 {
    (1 << (12 + 9 * levels)) - SIZE
}

#[test]
fn ept_agrees() {
    agrees::<IntelEpt, 4>(0);
    agrees::<IntelEpt, 4>(last(4));
}

#[test]
fn npt_agrees() {
    agrees::<AmdNpt, 4>(511 * GIB);
    agrees::<AmdNpt, 4>(last(4));
}

#[test]
fn arm_agrees_in_3_levels() {
    agrees::<ArmStage2, 3>(0);
    agrees::<ArmStage2, 3>(last(3));
}

#[test]
fn arm_agrees_in_4_levels() {
    agrees::<ArmStage2, 4>(508 * GIB);
    agrees::<ArmStage2, 4>(last(4));
}

#[test]
fn riscv_agrees_in_3_levels() {
    agrees::<RiscvGstage, 3>(0);
    agrees::<RiscvGstage, 3>(last(3));
}

#[test]
fn riscv_agrees_in_4_levels() {
    agrees::<RiscvGstage, 4>(508 * GIB);
    agrees::<RiscvGstage, 4>(last(4));
}
