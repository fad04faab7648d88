// SPDX-License-Identifier: MIT OR Apache-2.0
//! Levels, widths and roots: what a space of so many bits gets, and what it does not.

use axaddrspace::abi::*;
use axaddrspace::error::Error;
use axaddrspace::npt::arch::*;

use crate::engine::space::{Machine, Space};
use crate::formats::in_every_format;
use crate::host::{Host, Reach};

in_every_format! {
    fewest_levels_that_cover_are_chosen
    more_levels_than_needed_are_given_when_asked_for
    fewer_levels_than_needed_are_refused
    widths_of_host_addresses_are_checked
    a_space_uses_the_last_page_that_its_root_resolves
    a_space_past_its_root_is_refused
}

/// Levels and root pages for a width of guest addresses, from the manuals. Arm's fourth level and its
/// concatenated roots follow the width exactly; elsewhere only levels count.
fn expected<F: Format>(bits: u32, pa_bits: u32) -> Option<Shape> {
    let shape =
        |levels, gpa_bits, root_order| Some(Shape { levels, gpa_bits, pa_bits, root_order });
    match (F::ID, bits) {
        (FormatId::Ept | FormatId::Npt, ..=48) => shape(4, 48, 0),
        (FormatId::Ept | FormatId::Npt, 49..=57) => shape(5, 57, 0),
        (FormatId::ArmStage2, _) if bits > pa_bits => None,
        (FormatId::ArmStage2, ..=31) => shape(3, 31, 0),
        (FormatId::ArmStage2, 32..=39) => shape(3, bits, 0),
        (FormatId::ArmStage2, 40..=43) => shape(3, bits, bits - 39),
        (FormatId::ArmStage2, 44..=48) => shape(4, bits, 0),
        (FormatId::RiscvGstage, ..=41) => shape(3, 41, 2),
        (FormatId::RiscvGstage, 42..=50) => shape(4, 50, 2),
        (FormatId::RiscvGstage, 51..=59) => shape(5, 59, 2),
        _ => None,
    }
}

/// The widest host addresses of each format, and the widest guest addresses with them.
const WIDEST: [(FormatId, u32, u32); 4] = [
    (FormatId::Ept, 52, 57),
    (FormatId::Npt, 52, 57),
    (FormatId::ArmStage2, 48, 48),
    (FormatId::RiscvGstage, 56, 59),
];

fn widest<F: Format>() -> (u32, u32) {
    let row = WIDEST.iter().find(|row| row.0 == F::ID).unwrap();
    (row.1, row.2)
}

fn request(needed_bits: u32, pa_bits: u32) -> ShapeRequest {
    ShapeRequest { levels: 0, gpa_bits: 0, pa_bits, needed_bits }
}

fn fewest_levels_that_cover_are_chosen<F: Format>() {
    let (pa_bits, _) = widest::<F>();
    for bits in 1..=64 {
        let shape = F::shape(request(bits, pa_bits));
        assert_eq!(shape, expected::<F>(bits, pa_bits).ok_or(Error::Unsupported), "{bits} bits");
        let fixed = F::shape(ShapeRequest { gpa_bits: bits, ..request(1, pa_bits) });
        assert_eq!(fixed, shape, "{bits} bits, asked for");
    }
}

fn more_levels_than_needed_are_given_when_asked_for<F: Format>() {
    let (pa_bits, _) = widest::<F>();
    for levels in 0..=8 {
        let shape = F::shape(ShapeRequest { levels, ..request(32, pa_bits) });
        let known = match F::ID {
            FormatId::Ept | FormatId::Npt => (4..=5).contains(&levels),
            FormatId::ArmStage2 => (3..=4).contains(&levels),
            FormatId::RiscvGstage => (3..=5).contains(&levels),
        };
        match (levels, known) {
            (0, _) => assert!(shape.is_ok()),
            (_, true) => assert_eq!(shape.unwrap().levels, levels),
            (_, false) => assert_eq!(shape, Err(Error::Unsupported), "{levels} levels"),
        }
    }
}

fn fewer_levels_than_needed_are_refused<F: Format>() {
    let (pa_bits, most_bits) = widest::<F>();
    for bits in 32..=most_bits {
        let needed = expected::<F>(bits, pa_bits).unwrap().levels;
        for levels in F::MIN_LEVELS..needed {
            let shape = F::shape(ShapeRequest { levels, ..request(bits, pa_bits) });
            assert_eq!(shape, Err(Error::Unsupported), "{bits} bits in {levels} levels");
        }
    }
    let narrow = F::shape(ShapeRequest { gpa_bits: 39, ..request(40, pa_bits) });
    assert_eq!(narrow, Err(Error::Unsupported), "fixed width below what the space needs");
}

fn widths_of_host_addresses_are_checked<F: Format>() {
    let (most, _) = widest::<F>();
    // ID_AA64MMFR0_EL1.PARange knows 52 and 56 too; pages of 4 KiB have 48.
    let most = if F::ID == FormatId::ArmStage2 { 56 } else { most };
    for pa_bits in 32..=most {
        let shape = F::shape(request(32, pa_bits)).unwrap();
        let sizes = [48, 44, 42, 40, 36, 32];
        let expected = match F::ID {
            // VTCR_EL2.PS has six values.
            FormatId::ArmStage2 => *sizes.iter().find(|size| **size <= pa_bits).unwrap(),
            _ => pa_bits,
        };
        assert_eq!(shape.pa_bits, expected);
    }
    for pa_bits in [1, 12, 31, most + 1, 64, u32::MAX] {
        assert!(F::shape(request(32, pa_bits)).is_err(), "{pa_bits} bits");
    }
    let default = match F::ID {
        FormatId::Ept | FormatId::Npt => 48,
        FormatId::ArmStage2 => 40,
        FormatId::RiscvGstage => 56,
    };
    assert_eq!(F::shape(request(32, 0)).unwrap().pa_bits, default);
}

fn machine<F: Format>(base: u64, size: u64) -> Machine {
    let (pa_bits, _) = widest::<F>();
    Machine { format: F::ID as u32, pa_bits, base, size, ..Machine::default() }
}

fn a_space_uses_the_last_page_that_its_root_resolves<F: Format>() {
    let (pa_bits, most_bits) = widest::<F>();
    for bits in 32..=most_bits {
        let last = (1 << bits) - 4096;
        let space = Space::new(Host::new(Reach::Callback), &machine::<F>(0, 1 << bits));
        let shape = expected::<F>(bits, pa_bits).unwrap();
        let registers = space.hw_regs();
        assert_eq!(registers.levels, shape.levels);
        assert_eq!(registers.gpa_bits, shape.gpa_bits);
        assert_eq!(registers.pa_bits, pa_bits);
        assert_eq!(registers.root_bytes, 4096 << shape.root_order);
        assert_eq!(registers.root % u64::from(registers.root_bytes), 0, "alignment of the root");
        assert_eq!(space.stats().unwrap().table_frames, 1 << shape.root_order);

        space.map_linear(0, 0x1000, 4096, AXAS_READ).unwrap();
        space.map_linear(last, 0x2000, 4096, AXAS_READ).unwrap();
        assert_eq!(space.translate(0).unwrap().0, 0x1000);
        assert_eq!(space.translate(last + 4095).unwrap(), (0x2fff, 1));
        assert_eq!(space.translate(1 << (bits - 1)), Err(Error::NotMapped), "no alias");
        assert_eq!(space.map_linear(last, 0, 8192, AXAS_READ), Err(Error::InvalidInput));
        space.unmap(last, 4096).unwrap();
        assert_eq!(space.translate(last), Err(Error::NotMapped));
        space.finish();
    }
}

fn a_space_past_its_root_is_refused<F: Format>() {
    let (pa_bits, most_bits) = widest::<F>();
    let fails = |machine: Machine| Space::try_new(Host::new(Reach::Callback), &machine).err();
    let past = machine::<F>(0, (1 << most_bits) + 4096);
    assert_eq!(fails(past), Some(Error::Unsupported));
    let top = machine::<F>(0xffff_ffff_ffff_f000, 4096);
    assert_eq!(fails(top), Some(Error::Unsupported), "no format has 64 bits");
    let wrapped = machine::<F>(0xffff_ffff_ffff_f000, 8192);
    assert_eq!(fails(wrapped), Some(Error::InvalidInput), "past 2^64");
    let levels = F::MIN_LEVELS;
    let bits = F::shape(ShapeRequest { levels, ..request(32, pa_bits) }).unwrap().gpa_bits;
    let fixed = Machine { gpa_bits: bits, ..machine::<F>(1 << bits, 4096) };
    assert_eq!(fails(fixed), Some(Error::Unsupported));
}

/// A part without 44 bits of physical address has no fourth level of stage 2, and no stage 2 takes more
/// than the part's physical address width.
#[test]
fn arm_widths_end_at_the_width_of_the_part() {
    for pa_bits in [32, 36, 40, 42] {
        assert!(ArmStage2::shape(request(pa_bits, pa_bits)).is_ok());
        assert_eq!(ArmStage2::shape(request(pa_bits + 1, pa_bits)), Err(Error::Unsupported));
        let deep = ArmStage2::shape(ShapeRequest { levels: 4, ..request(32, pa_bits) });
        assert_eq!(deep, Err(Error::Unsupported));
    }
    let wide = ArmStage2::shape(ShapeRequest { levels: 4, ..request(32, 44) }).unwrap();
    assert_eq!((wide.levels, wide.gpa_bits, wide.root_order), (4, 40, 0));
}

#[test]
fn vmids_end_where_the_registers_do() {
    let none = Features(0);
    let wide = Features(AXAS_FEATURE_ARM_VMID16);
    assert_eq!(ArmStage2::check_vmid(255, none), Ok(()));
    assert_eq!(ArmStage2::check_vmid(256, none), Err(Error::Unsupported));
    assert_eq!(ArmStage2::check_vmid(65535, wide), Ok(()));
    assert_eq!(ArmStage2::check_vmid(65536, wide), Err(Error::InvalidInput));
    assert_eq!(RiscvGstage::check_vmid(16383, none), Ok(()));
    assert_eq!(RiscvGstage::check_vmid(16384, none), Err(Error::InvalidInput));
    assert_eq!(IntelEpt::check_vmid(u32::MAX, none), Ok(()), "a tag of the host's");
    assert_eq!(AmdNpt::check_vmid(u32::MAX, none), Ok(()), "a tag of the host's");
}
