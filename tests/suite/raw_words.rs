// SPDX-License-Identifier: MIT OR Apache-2.0
//! Entries that nobody wrote: corrupt memory, or a walker's bits. No function may panic on them.

use axaddrspace::flags::Permissions;
use axaddrspace::npt::arch::{Features, Format, FormatId};
use axaddrspace::npt::entry::{EncodedPermissions, Entry, State};
use page_table_multiarch::{GenericPTE, MappingFlags};
use proptest::prelude::*;

use crate::formats::*;

in_every_format! {
    any_word_is_one_thing_in_every_level
    words_of_few_bits_are_one_thing_in_every_level
    leaves_are_written_as_they_are_read
}

/// Words of all shapes: any, valid and invalid ones of each kind, and those with a bit or two.
fn words() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        any::<u64>().prop_map(|word| word & !0b111),
        any::<u64>().prop_map(|word| word & !0b1),
        any::<u64>().prop_map(|word| word & !0b11_1111),
        any::<u64>().prop_map(|word| word & 0xfff0_0000_0000_0fff),
    ]
}

fn check_word<F: Format>(word: u64, features: Features) {
    let entry = Entry::<F>::from_word(word);
    assert_eq!(entry.word(), word);
    let visible = entry.is_hardware_visible();
    for level in LEVELS {
        let state = entry.state(level);
        let expected = match state {
            State::Leaf | State::Table => Some(true),
            State::Corrupt => None,
            _ => Some(false),
        };
        assert!(expected.is_none_or(|expected| expected == visible), "{entry:?} {state:?}");
        assert_eq!(state == State::Empty, entry.is_empty(), "{entry:?} {state:?}");
        if level > 3 {
            assert_ne!(state, State::Leaf, "a leaf above 1 GiB: {entry:?}");
        }
        if level == 1 {
            let is_of_table =
                matches!(state, State::Table | State::DeadTable | State::PendingTable);
            assert!(!is_of_table, "no level 0: {entry:?}");
        }
        // Nothing that follows may panic; that the values make sense is for the states above.
        let piece = entry.first_piece(level);
        assert_eq!(piece.is_hardware_visible(), visible);
        let _ = entry.step(entry_size(level));
    }
    let attributes = entry.attributes(features);
    let _ = (entry.reservation(), entry.cookie(), entry.is_owned(), entry.dead(features));
    let _ = (entry.dead_table(), entry.at(hpa(0x5000)), entry.address());
    let address = entry.address().as_usize() as u64;
    assert_eq!(address & 0xfff, 0, "{entry:?}");
    assert_eq!(address >> F::MAX_PA_BITS, 0, "{entry:?}");
    if let Ok(permissions) = EncodedPermissions::new::<F>(attributes.permissions, features, false) {
        let _ = entry.with_permissions(permissions);
    }
    check_as_multiarch(entry);
}

fn check_as_multiarch<F: Format>(entry: Entry<F>) {
    let mut page = entry;
    let _ = (page.flags(), page.is_huge(), page.paddr(), page.bits());
    assert_eq!(page.is_present(), entry.is_hardware_visible());
    assert_eq!(page.is_unused(), entry.is_empty());
    page.set_paddr(hpa(0x7000).into());
    if entry.is_hardware_visible() {
        assert_eq!(page.paddr(), hpa(0x7000).into());
    }
    page.set_flags(MappingFlags::READ, false);
    assert_eq!(page.flags(), MappingFlags::READ);
    page.clear();
    assert!(page.is_unused());
}

fn any_word_is_one_thing_in_every_level<F: Format>() {
    let config = crate::cases(4096);
    proptest!(config, |(word in words(), features in any::<u32>())| {
        check_word::<F>(word, Features(features & F::FEATURES));
    });
}

fn words_of_few_bits_are_one_thing_in_every_level<F: Format>() {
    for low in 0..64 {
        for high in 0..64 {
            let word = 1 << low | 1 << high;
            check_word::<F>(word, Features(0));
            check_word::<F>(!word, Features(F::FEATURES));
        }
    }
    for low_bits in 0..0x1000 {
        check_word::<F>(low_bits, Features(0));
        check_word::<F>(low_bits | 0xfff0_0000_0000_0000, Features(F::FEATURES));
    }
}

/// What a leaf of any origin says can be said again, or is nothing that a format can say.
fn leaves_are_written_as_they_are_read<F: Format>() {
    let leaves = core::cell::Cell::new(0);
    proptest!(crate::cases(4096), |(word in any::<u64>())| {
        for level in LEAF_LEVELS {
            let entry = Entry::<F>::from_word(word);
            if entry.state(level) == State::Leaf {
                leaves.set(leaves.get() + 1);
                check_leaf(entry, level);
            }
        }
    });
    assert!(leaves.get() > 100, "{leaves:?}");
}

fn check_leaf<F: Format>(leaf: Entry<F>, level: u32) {
    let features = Features(0);
    let read = leaf.attributes(features);
    match Entry::<F>::leaf_template(read, features, level, leaf.is_owned()) {
        Ok(template) => {
            let written = template.at(leaf.address());
            assert_eq!(written.attributes(features), read);
            assert_eq!(written.is_owned(), leaf.is_owned());
            assert_eq!(written.state(level), State::Leaf);
        }
        Err(_) => assert!(is_beyond_features(F::ID, read.permissions, leaf.word()), "{leaf:?}"),
    }
}

/// Whether a word needs a feature that was not declared, or is reserved.
fn is_beyond_features(format: FormatId, permissions: Permissions, word: u64) -> bool {
    let reads = permissions.contains(READ);
    match format {
        FormatId::Ept => !reads,
        FormatId::RiscvGstage => word >> 61 & 3 != 0 || permissions.contains(WRITE) && !reads,
        FormatId::Npt | FormatId::ArmStage2 => false,
    }
}
