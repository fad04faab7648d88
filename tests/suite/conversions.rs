// SPDX-License-Identifier: MIT OR Apache-2.0
//! Flags and errors, to and from C and page_table_multiarch.

use axaddrspace::abi::*;
use axaddrspace::addr::{GuestPhysAddr, GuestRange};
use axaddrspace::error::Error;
use axaddrspace::flags::{Attributes, MapOptions, MemoryType};
use page_table_multiarch::{MappingFlags, PagingError};

use crate::formats::*;

#[test]
fn the_first_flags_are_those_of_page_table_multiarch() {
    let pairs = [
        (AXAS_READ, MappingFlags::READ),
        (AXAS_WRITE, MappingFlags::WRITE),
        (AXAS_EXECUTE, MappingFlags::EXECUTE),
        (AXAS_USER, MappingFlags::USER),
        (AXAS_DEVICE, MappingFlags::DEVICE),
        (AXAS_UNCACHED, MappingFlags::UNCACHED),
    ];
    for (ours, theirs) in pairs {
        assert_eq!(ours as usize, theirs.bits());
    }
    let known = pairs.iter().fold(MappingFlags::empty(), |sum, (_, flag)| sum | *flag);
    assert_eq!(known, MappingFlags::all(), "a flag that we do not have");
}

#[test]
fn mapping_flags_survive_the_way_there_and_back() {
    for attributes in all_attributes() {
        let expected = match attributes.memory {
            MemoryType::WriteBack | MemoryType::Device | MemoryType::Uncached => attributes.memory,
            memory if memory.is_device() => MemoryType::Device,
            _ => MemoryType::Uncached,
        };
        let flags = MappingFlags::from(attributes);
        assert_eq!(Attributes::from(flags), Attributes { memory: expected, ..attributes });
    }
    for bits in 0..=MappingFlags::all().bits() {
        let flags = MappingFlags::from_bits_truncate(bits);
        let attributes = Attributes::from(flags);
        // No second stage knows a user mode, and a device is never cached.
        let mut expected = flags - MappingFlags::USER;
        if flags.contains(MappingFlags::DEVICE) {
            expected -= MappingFlags::UNCACHED;
        }
        assert_eq!(MappingFlags::from(attributes), expected);
        assert_eq!(attributes.flags() as usize, expected.bits());
    }
}

#[test]
fn a_memory_type_is_one_flag_or_none() {
    for memory in MemoryType::ALL {
        assert!(memory.flag().count_ones() <= 1);
        assert_eq!(MemoryType::from_flag(memory.flag()), Some(memory));
        assert_eq!(MemoryType::ALL[memory as usize], memory);
        for other in MemoryType::ALL {
            let both = memory.flag() | other.flag();
            if memory != other && memory.flag() != 0 && other.flag() != 0 {
                assert_eq!(MemoryType::from_flag(both), None, "{memory:?} and {other:?}");
            }
        }
    }
    assert_eq!(MemoryType::from_flag(AXAS_READ), None);
}

#[test]
fn flags_of_each_kind_keep_to_their_bits() {
    let memory = MemoryType::ALL.iter().fold(0, |sum, memory| sum | memory.flag());
    let options = MapOptions::all().bits();
    assert_eq!(memory & !(0xff00 | AXAS_DEVICE | AXAS_UNCACHED), 0, "memory types");
    assert_eq!(options & !(0xff_0000 | AXAS_SKIP_ZERO), 0, "options");
    assert_eq!(options.count_ones(), 8);
}

#[test]
fn every_error_has_a_status_of_its_own() {
    let pairs = [
        (Error::InvalidInput, -1),
        (Error::AlreadyExists, -2),
        (Error::NoMemory, -3),
        (Error::NotMapped, -4),
        (Error::Denied, -5),
        (Error::Unsupported, -6),
        (Error::BadState, -7),
        (Error::Again, -8),
    ];
    for (error, status) in pairs {
        assert_eq!(error.status(), status);
    }
}

#[test]
fn errors_of_page_table_multiarch_have_a_counterpart() {
    let pairs = [
        (PagingError::NoMemory, Error::NoMemory),
        (PagingError::NotAligned, Error::InvalidInput),
        (PagingError::NotMapped, Error::NotMapped),
        (PagingError::AlreadyMapped, Error::AlreadyExists),
        (PagingError::MappedToHugePage, Error::BadState),
    ];
    for (theirs, ours) in pairs {
        assert_eq!(Error::from(theirs), ours);
    }
}

#[test]
fn guest_ranges_do_not_wrap() {
    let at = GuestPhysAddr::from_usize;
    let range = GuestRange::try_new(at(0x1000), at(0x3000)).unwrap();
    assert!(range.contains(at(0x2fff)) && !range.contains(at(0x3000)));
    assert!(GuestRange::try_new(at(0x3000), at(0x1000)).is_none());
    assert_eq!(format!("{:?}", at(0x1000)), "GPA:0x1000");
}
