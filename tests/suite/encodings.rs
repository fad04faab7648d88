// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every combination of permissions, memory type, features and level, in every format.

use axaddrspace::abi::*;
use axaddrspace::addr::HostPhysAddr;
use axaddrspace::error::Error;
use axaddrspace::flags::{Attributes, MemoryType, Permissions, Tag};
use axaddrspace::npt::arch::{Features, Format, FormatId};
use axaddrspace::npt::entry::{EncodedPermissions, Entry, Reservation, State, Way};
use memory_addr::PhysAddr;
use page_table_multiarch::{GenericPTE, MappingFlags};

use crate::formats::*;

in_every_format! {
    leaves_say_what_they_were_made_of
    exactly_the_documented_combinations_are_refused
    leaves_obey_the_rules_of_the_hardware
    leaf_addresses_reach_the_whole_width
    permissions_change_alone
    pages_become_clean_and_dirty
    permissions_change_and_pages_stay_clean_or_dirty
    leaves_are_the_same_clean_or_dirty_old_or_young
    reservations_say_what_they_were_made_of
    provided_ones_keep_reservation_and_number
    traps_keep_any_cookie
    notes_keep_any_value
    hidden_pages_keep_what_they_were
    a_page_without_permissions_is_a_leaf_or_held_by_nothing
    pending_entries_keep_frame_and_reservation
    dead_entries_keep_what_they_were
    invalid_entries_are_invisible_and_occupied
    hidden_tables_keep_address_and_occupancy
    pieces_say_what_the_whole_said
    tags_change_alone
    tags_stay_whatever_becomes_of_an_entry
    multiarch_entries_keep_address_and_flags
    multiarch_entries_are_replaced_in_parts
}

/// What the interface promises of each format, written from its documentation.
fn is_expressible(format: FormatId, attributes: Attributes, features: Features) -> bool {
    use MemoryType::*;
    let Attributes { permissions, memory, .. } = attributes;
    let reads = permissions.contains(READ);
    let writes_blindly = permissions.contains(WRITE) && !reads;
    match format {
        FormatId::Ept => {
            let execute_only = features.has(AXAS_FEATURE_EPT_EXECUTE_ONLY);
            !writes_blindly
                && (reads || execute_only)
                && matches!(memory, WriteBack | Device | Uncached | WriteCombine | WriteThrough)
        }
        FormatId::Npt => reads && matches!(memory, WriteBack | Device | Uncached),
        FormatId::ArmStage2 => match memory {
            WriteThrough => !features.has(AXAS_FEATURE_ARM_FWB),
            WriteCombine => false,
            _ => true,
        },
        FormatId::RiscvGstage => {
            !writes_blindly
                && match memory {
                    WriteBack | Device => true,
                    Uncached => features.has(AXAS_FEATURE_RISCV_SVPBMT),
                    _ => false,
                }
        }
    }
}

/// Every leaf that the format can say, without its address.
fn for_each_leaf<F: Format>(mut visit: impl FnMut(Entry<F>, Attributes, Features, u32, bool)) {
    let mut visited = 0;
    for features in all_features(F::FEATURES) {
        for attributes in all_attributes() {
            for level in LEAF_LEVELS {
                for owned in [false, true] {
                    let leaf = Entry::leaf_template(attributes, features, level, owned);
                    if let Ok(leaf) = leaf {
                        visited += 1;
                        visit(leaf, attributes, features, level, owned);
                    }
                }
            }
        }
    }
    assert!(visited > 0);
}

/// Every reservation that fits an entry, whether the format can map it or not.
fn all_reservations() -> impl Iterator<Item = Reservation> {
    all_attributes().flat_map(|attributes| {
        LEAF_LEVELS.into_iter().flat_map(move |largest| {
            let reservation = Reservation::new(attributes, largest);
            [reservation, reservation.with_zero_of(AXAS_SKIP_ZERO)]
        })
    })
}

/// Addresses with each bit that a frame of `level` can have, and all of them.
fn addresses<F: Format>(level: u32) -> Vec<HostPhysAddr> {
    let low = entry_size(level).trailing_zeros();
    let all = (1_u64 << F::MAX_PA_BITS) - entry_size(level);
    (low..F::MAX_PA_BITS).map(|bit| 1 << bit).chain([0, all]).map(hpa).collect()
}

fn leaves_say_what_they_were_made_of<F: Format>() {
    for_each_leaf::<F>(|template, attributes, features, level, owned| {
        let address = hpa(entry_size(level) * 0x25);
        let leaf = template.at(address);
        assert_eq!(leaf.state(level), State::Leaf, "{leaf:?}");
        assert_eq!(leaf.attributes(features), attributes, "{leaf:?} {features:?}");
        assert_eq!(leaf.address(), address, "{leaf:?}");
        assert_eq!(leaf.is_owned(), owned, "{leaf:?}");
        assert!(leaf.is_hardware_visible() && !leaf.is_empty(), "{leaf:?}");
    });
}

fn exactly_the_documented_combinations_are_refused<F: Format>() {
    for features in all_features(F::FEATURES) {
        for attributes in all_attributes() {
            for level in LEAF_LEVELS {
                let leaf = Entry::<F>::leaf_template(attributes, features, level, false);
                let expected = is_expressible(F::ID, attributes, features);
                match leaf {
                    Ok(_) => assert!(expected, "accepted: {attributes:?} {features:?} {level}"),
                    Err(error) => {
                        assert!(!expected, "refused: {attributes:?} {features:?} {level}");
                        assert_eq!(error, Error::Unsupported);
                    }
                }
            }
        }
    }
}

/// Rules from the manuals that a walker answers with a misconfiguration or a fault.
fn leaves_obey_the_rules_of_the_hardware<F: Format>() {
    for_each_leaf::<F>(|leaf, attributes, features, level, _| {
        let word = leaf.word();
        let bit = |bit: u32| word >> bit & 1;
        let field = |low: u32, width: u32| word >> low & ((1 << width) - 1);
        let writes = attributes.permissions.contains(WRITE);
        match F::ID {
            FormatId::Ept => {
                let (r, w, x) = (bit(0), bit(1), bit(2));
                let may_be_execute_only = features.has(AXAS_FEATURE_EPT_EXECUTE_ONLY);
                assert!(r == 1 || w == 0 && x == 1 && may_be_execute_only, "{leaf:?}");
                assert!([0, 1, 4, 5, 6].contains(&field(3, 3)), "memory type: {leaf:?}");
                assert_eq!(bit(7) == 1, level > 1, "page size: {leaf:?}");
                assert_eq!(bit(63), 1, "suppress #VE: {leaf:?}");
                assert_eq!(bit(8) & bit(9), 1, "accessed and dirty: {leaf:?}");
                assert_eq!(bit(53), w, "may write: {leaf:?}");
                assert_eq!(field(55, 8), 0, "software's, none written: {leaf:?}");
            }
            FormatId::Npt => {
                assert_eq!(bit(0) & bit(2), 1, "present and user: {leaf:?}");
                assert_eq!(bit(5) & bit(6), 1, "accessed and dirty: {leaf:?}");
                assert_eq!(bit(7) == 1, level > 1, "page size: {leaf:?}");
                assert_eq!(bit(12), 0, "PAT of large pages: {leaf:?}");
                assert_eq!(bit(53), bit(1), "may write: {leaf:?}");
                assert_eq!(field(55, 8), 0, "software's, none written: {leaf:?}");
            }
            FormatId::ArmStage2 => {
                assert_eq!(field(0, 2), if level == 1 { 3 } else { 1 }, "type: {leaf:?}");
                assert_eq!(bit(10), 1, "access flag: {leaf:?}");
                assert_eq!(bit(51) | bit(52), 0, "DBM and contiguous: {leaf:?}");
                assert_eq!(bit(55), 1, "dirty, where it may not be written: {leaf:?}");
                assert_eq!(bit(57), bit(7), "may write: {leaf:?}");
                assert_eq!(field(58, 6), 0, "software's, none written: {leaf:?}");
                assert_eq!(bit(53), 0, "XN[0] is RES0 without FEAT_XNX: {leaf:?}");
                assert_ne!(field(8, 2), 1, "SH 01 is reserved: {leaf:?}");
                let has_fwb = features.has(AXAS_FEATURE_ARM_FWB);
                assert!(!has_fwb || bit(5) == 0, "MemAttr[3] is RES0 with FWB: {leaf:?}");
            }
            FormatId::RiscvGstage => {
                assert_eq!(bit(0) & bit(4) & bit(6) & bit(7), 1, "V, U, A, D: {leaf:?}");
                assert!(bit(1) == 1 || bit(2) == 0, "W without R: {leaf:?}");
                assert_eq!(bit(5) | bit(63), 0, "G and N: {leaf:?}");
                assert_eq!(field(54, 7), 0, "reserved: {leaf:?}");
                let types = if features.has(AXAS_FEATURE_RISCV_SVPBMT) { 2 } else { 0 };
                assert!(field(61, 2) <= types, "PBMT: {leaf:?}");
            }
        }
        let without_write = attributes.permissions.difference(WRITE);
        if writes && !without_write.is_empty() {
            let attributes = Attributes { permissions: without_write, ..attributes };
            let tightened = Entry::<F>::leaf_template(attributes, features, level, false);
            assert_ne!(tightened.unwrap().word(), word, "write is not encoded: {leaf:?}");
        }
    });
}

fn leaf_addresses_reach_the_whole_width<F: Format>() {
    let attributes = Attributes::new(READ, MemoryType::Device);
    for level in LEAF_LEVELS {
        let template = Entry::<F>::leaf_template(attributes, Features(0), level, true).unwrap();
        for address in addresses::<F>(level) {
            let leaf = template.at(address);
            assert_eq!(leaf.address(), address);
            assert_eq!(leaf.attributes(Features(0)), attributes);
            assert_eq!(leaf.state(level), State::Leaf);
        }
    }
    for address in addresses::<F>(1) {
        let table = Entry::<F>::table(address);
        assert_eq!(table.address(), address);
        for level in 2..=F::MAX_LEVELS {
            assert_eq!(table.state(level), State::Table, "{table:?} level {level}");
        }
    }
}

fn permissions_change_alone<F: Format>() {
    for_each_leaf::<F>(|leaf, attributes, features, level, owned| {
        for permissions in all_permissions() {
            let Ok(encoded) = EncodedPermissions::new::<F>(permissions, features, false) else {
                let refused = Attributes::new(permissions, MemoryType::WriteBack);
                assert!(!is_expressible(F::ID, refused, features));
                continue;
            };
            let changed = Attributes { permissions, ..attributes };
            let expected = Entry::leaf_template(changed, features, level, owned).unwrap();
            assert_eq!(leaf.with_permissions(encoded), expected);

            let reservation = Reservation::new(attributes, level);
            let expected = Reservation::new(changed, level);
            let reserved = Entry::<F>::reserved(reservation).with_permissions(encoded);
            assert_eq!(reserved, Entry::reserved(expected));
        }
    });
}

/// Bits that are all set in a leaf whose page is dirty; the first is what lets a page that may be written be
/// written.
fn dirty_bits(format: FormatId, writes: bool) -> &'static [u32] {
    match (format, writes) {
        (FormatId::Ept, true) => &[1, 9],
        (FormatId::Ept, false) => &[9],
        (FormatId::Npt, true) => &[1, 6],
        (FormatId::Npt, false) => &[6],
        (FormatId::ArmStage2, true) => &[7],
        (FormatId::ArmStage2, false) => &[55],
        (FormatId::RiscvGstage, _) => &[7],
    }
}

fn mask(bits: &[u32]) -> u64 {
    bits.iter().map(|bit| 1 << bit).sum()
}

/// What a leaf is made clean by, with and without the help of hardware.
fn clean_bits(format: FormatId) -> Vec<u64> {
    let all = mask(dirty_bits(format, true)) | mask(dirty_bits(format, false));
    match format {
        FormatId::Ept | FormatId::Npt => vec![all, mask(dirty_bits(format, false))],
        FormatId::ArmStage2 | FormatId::RiscvGstage => vec![all],
    }
}

/// On Arm hardware sets S2AP[1] where this is set.
const DIRTY_BIT_MODIFIER: u64 = 1 << 51;

/// A leaf made clean, by the bits that the manuals name.
fn clean_word(format: FormatId, leaf: u64, writes: bool, hardware: bool) -> u64 {
    let without = match (format, hardware) {
        (FormatId::Ept, true) => 1 << 9,
        (FormatId::Npt, true) => 1 << 6,
        (FormatId::RiscvGstage, _) => 1 << 7,
        _ => mask(dirty_bits(format, true)) | mask(dirty_bits(format, false)),
    };
    let modified = format == FormatId::ArmStage2 && hardware && writes;
    leaf & !without | if modified { DIRTY_BIT_MODIFIER } else { 0 }
}

fn pages_become_clean_and_dirty<F: Format>() {
    for_each_leaf::<F>(|leaf, attributes, features, level, owned| {
        let writes = attributes.permissions.contains(WRITE);
        assert!(leaf.is_dirty());
        for hardware in [false, true] {
            let clean = leaf.cleaned(hardware);
            assert_eq!(clean.word(), clean_word(F::ID, leaf.word(), writes, hardware));
            assert!(!clean.is_dirty() && clean.same_as(leaf));
            assert_eq!(clean.attributes(features), attributes);
            assert_eq!(clean.dirtied(), leaf, "{clean:?}");
            assert_eq!(leaf.dirtied(), leaf);
            for permissions in all_permissions() {
                let encoded = EncodedPermissions::new::<F>(permissions, features, hardware);
                let Ok(encoded) = encoded else { continue };
                let changed = Attributes { permissions, ..attributes };
                let whole = Entry::<F>::leaf_template(changed, features, level, owned).unwrap();
                assert_eq!(clean.with_permissions(encoded), whole.cleaned(hardware));
            }
        }
    });
    for reservation in all_reservations() {
        let clean = Entry::<F>::reserved(reservation);
        assert!(!clean.is_dirty() && clean.dirtied() == clean && clean.cleaned(true) == clean);
    }
}

fn permissions_change_and_pages_stay_clean_or_dirty<F: Format>() {
    for_each_leaf::<F>(|leaf, attributes, features, level, owned| {
        let was = mask(dirty_bits(F::ID, attributes.permissions.contains(WRITE)));
        for permissions in all_permissions() {
            let Ok(encoded) = EncodedPermissions::new::<F>(permissions, features, false) else {
                continue;
            };
            let writes = permissions.contains(WRITE);
            let is = mask(dirty_bits(F::ID, writes));
            let gate = if writes { 1 << dirty_bits(F::ID, true)[0] } else { 0 };
            let changed = Attributes { permissions, ..attributes };
            let whole = Entry::leaf_template(changed, features, level, owned).unwrap();
            for clean in clean_bits(F::ID) {
                let clean = Entry::<F>::from_word(leaf.word() & !clean);
                let new = clean.with_permissions(encoded);
                assert_eq!(new.attributes(features), changed, "{clean:?} {new:?}");
                assert_eq!(new.word() & gate, 0, "a clean page can be written: {clean:?} {new:?}");
                assert_ne!(new.word() & is, is, "a clean page is dirty: {clean:?} {new:?}");
                assert!(new.same_as(whole), "{clean:?} {new:?}");

                let dirtied = Entry::<F>::from_word(clean.word() | was);
                let new = dirtied.with_permissions(encoded);
                assert_eq!(new.word() & is, is, "a dirty page is clean: {dirtied:?} {new:?}");
                assert_eq!(new, whole, "{dirtied:?}");
            }
        }
    });
}

fn leaves_are_the_same_clean_or_dirty_old_or_young<F: Format>() {
    let young = match F::ID {
        FormatId::Ept => 8,
        FormatId::Npt => 5,
        FormatId::ArmStage2 => 10,
        FormatId::RiscvGstage => 6,
    };
    let modifier = if F::ID == FormatId::ArmStage2 { DIRTY_BIT_MODIFIER } else { 0 };
    let dirty = mask(dirty_bits(F::ID, true)) | mask(dirty_bits(F::ID, false));
    let all = dirty | 1 << young | modifier;
    for_each_leaf::<F>(|leaf, _, _, _, _| {
        let leaf = leaf.at(hpa(0x4000_0000));
        for bit in 0..64 {
            let other = Entry::<F>::from_word(leaf.word() ^ 1 << bit);
            let is_the_same = all >> bit & 1 == 1;
            assert_eq!(leaf.same_as(other), is_the_same, "{leaf:?} {other:?}");
        }
    });
}

fn reservations_say_what_they_were_made_of<F: Format>() {
    for reservation in all_reservations() {
        let entry = Entry::<F>::reserved(reservation);
        for level in LEVELS {
            assert_eq!(entry.state(level), State::Reserved, "{entry:?} level {level}");
        }
        assert_eq!(entry.reservation(), reservation);
        assert_eq!(entry.attributes(Features(0)), reservation.attributes());
        assert!(!entry.is_owned());
    }
}

fn provided_ones_keep_reservation_and_number<F: Format>() {
    let numbers = (0..16).map(|bit| 1_u16 << bit).chain([0, u16::MAX, 0x1234]);
    let numbers: Vec<u16> = numbers.collect();
    for reservation in all_reservations() {
        let lazy = Entry::<F>::reserved(reservation);
        assert!(lazy.is_lazy() && !lazy.is_provided(), "{lazy:?}");
        for number in &numbers {
            let entry = Entry::<F>::provided(reservation, *number);
            assert!(entry.is_provided() && entry.is_reserved() && !entry.is_lazy(), "{entry:?}");
            assert!(entry.is_settled() && entry.is_plain() && !entry.is_hidden(), "{entry:?}");
            assert_eq!((entry.provider(), entry.reservation()), (*number, reservation));
            assert_eq!(entry.reserved_write_back(), None, "it has a short way: {entry:?}");
            assert_eq!(entry.step(4096), 0);
            let clean = entry.cleaned(false);
            assert_eq!((clean.provider(), clean.is_dirty()), (*number, false), "{entry:?}");
            for level in LEVELS {
                assert_eq!(entry.state(level), State::Reserved, "{entry:?} level {level}");
            }
        }
        let entry = Entry::<F>::provided(reservation, 0xfedc);
        for tag in all_tags::<F>() {
            let tagged = entry.with_tag(tag);
            assert_eq!((tagged.tag(), tagged.provider()), (tag, 0xfedc), "{entry:?}");
            assert_eq!(tagged.with_tag(entry.tag()), entry);
        }
        for permissions in all_permissions() {
            if let Ok(encoded) = EncodedPermissions::new::<F>(permissions, Features(0), false) {
                let changed = entry.with_permissions(encoded);
                assert_eq!(changed.attributes(Features(0)).permissions, permissions);
                assert!(changed.is_provided() && changed.provider() == 0xfedc, "{changed:?}");
            }
        }
    }
}

fn traps_keep_any_cookie<F: Format>() {
    let single_bits = (0..32).map(|bit| 1_u32 << bit);
    let patterns = [0, u32::MAX, 0xffff, 0xffff_0000, 0x5555_5555, 0xaaaa_aaaa, 0x1234_5678];
    for cookie in single_bits.clone().chain(single_bits.map(|bit| !bit)).chain(patterns) {
        let entry = Entry::<F>::trap(cookie);
        assert_eq!(entry.cookie(), cookie, "{entry:?}");
        for level in LEVELS {
            assert_eq!(entry.state(level), State::Trap, "{entry:?} level {level}");
        }
    }
}

fn notes_keep_any_value<F: Format>() {
    for value in (0..32).map(|bit| 1_u32 << bit).chain([0, u32::MAX, 0x1234_5678]) {
        let entry = Entry::<F>::note(value);
        assert_eq!(entry.cookie(), value, "{entry:?}");
        assert!(!entry.is_trap() && entry.is_settled() && !entry.is_hidden(), "{entry:?}");
        assert_eq!(entry.step(4096), 0);
        for level in LEVELS {
            assert_eq!(entry.state(level), State::Note, "{entry:?} level {level}");
        }
    }
}

fn hidden_pages_keep_what_they_were<F: Format>() {
    for_each_leaf::<F>(|template, attributes, features, level, owned| {
        for address in addresses::<F>(level) {
            let leaf = template.at(address);
            for auto in [false, true] {
                let hidden = leaf.hidden(features, auto);
                assert_eq!(hidden.state(level), State::Hidden);
                assert!(hidden.is_held() && hidden.is_settled() && !hidden.is_hardware_visible());
                assert_eq!(hidden.shows_itself(), auto);
                assert_eq!(hidden.address(), address);
                assert_eq!(hidden.attributes(features), attributes);
                assert_eq!(hidden.is_owned(), owned);
                assert_eq!(hidden.shown(features, level, false), leaf, "{hidden:?} level {level}");
                // Held stays held.
                assert!(!hidden.hidden(features, false).shows_itself());
                assert!(!hidden.can_hide(true) && hidden.can_hide(false) == auto);
                let dead = hidden.dead(features);
                assert_eq!((dead.address(), dead.is_owned()), (address, owned));
                if level > 1 {
                    let size = entry_size(level - 1);
                    let last = hidden.word().wrapping_add(511_u64.wrapping_mul(hidden.step(size)));
                    let last = Entry::<F>::from_word(last);
                    assert_eq!(
                        last.address(),
                        hpa(address.as_usize() as u64 + 511 * size),
                        "{last:?}"
                    );
                    assert_eq!(last.attributes(features), attributes);
                    assert!(last.is_held() && last.is_owned() == owned);
                }
            }
        }
    });
}

fn a_page_without_permissions_is_a_leaf_or_held_by_nothing<F: Format>() {
    for_each_leaf::<F>(|template, attributes, features, level, owned| {
        let address = hpa(entry_size(level) * 0x2b);
        let none = Attributes { permissions: Permissions::empty(), ..attributes };
        let page = Entry::<F>::page_template(none, features, level, owned).unwrap();
        let page = page.page_at(address);
        assert_eq!(page.attributes(features), none, "{page:?}");
        assert_eq!((page.address(), page.is_owned()), (address, owned));
        assert_eq!(page.is_hardware_visible(), F::ID == FormatId::ArmStage2);
        assert!(page.is_page() && !page.is_held() && !page.shows_itself());
        let hidden = template.at(address).hidden(features, false);
        assert!(!page.is_hidden() || page.state(level) == State::Hidden && page != hidden);
    });
}

fn pending_entries_keep_frame_and_reservation<F: Format>() {
    for reservation in all_reservations() {
        for level in LEAF_LEVELS {
            for address in addresses::<F>(level) {
                let entry = Entry::<F>::pending(address, reservation);
                assert_eq!(entry.state(level), State::Pending);
                assert_eq!(entry.address(), address);
                assert_eq!(entry.reservation(), reservation);
                assert!(entry.is_owned(), "the frame is the library's");
            }
        }
    }
}

fn dead_entries_keep_what_they_were<F: Format>() {
    for_each_leaf::<F>(|template, attributes, features, level, owned| {
        let address = hpa(entry_size(level) * 0x2b);
        let dead = template.at(address).dead(features);
        assert_eq!(dead.state(level), State::DeadLeaf);
        assert_eq!(dead.address(), address);
        assert_eq!(dead.attributes(features), attributes);
        assert_eq!(dead.is_owned(), owned);
    });
    for level in 2..=F::MAX_LEVELS {
        for address in addresses::<F>(1) {
            let dead = Entry::<F>::table(address).dead_table();
            assert_eq!(dead.state(level), State::DeadTable);
            assert_eq!(dead.address(), address);
        }
    }
}

fn invalid_entries_are_invisible_and_occupied<F: Format>() {
    let check = |entry: Entry<F>| {
        assert!(!entry.is_hardware_visible(), "{entry:?}");
        assert!(!entry.is_empty(), "{entry:?}");
        if F::ID == FormatId::Ept {
            let word = entry.word();
            assert_eq!(word & 0b111, 0, "{entry:?}");
            assert_eq!(word >> 10 & 1, 0, "execute for user mode: {entry:?}");
            assert_eq!(word >> 63, 1, "suppress #VE: {entry:?}");
        }
    };
    for reservation in all_reservations() {
        check(Entry::reserved(reservation));
        check(Entry::provided(reservation, 0));
        check(Entry::provided(reservation, u16::MAX));
        check(Entry::pending(hpa(0x1234_5000), reservation));
    }
    for bit in 0..32 {
        check(Entry::trap(1 << bit));
    }
    check(Entry::trap(0));
    check(Entry::busy());
    check(Entry::table(hpa(0x5000)).dead_table());
    for_each_leaf::<F>(|leaf, _, features, _, _| check(leaf.at(hpa(1 << 30)).dead(features)));

    for level in LEVELS {
        assert_eq!(Entry::<F>::EMPTY.state(level), State::Empty);
        assert_eq!(Entry::<F>::busy().state(level), State::Busy);
    }
    assert!(Entry::<F>::EMPTY.is_empty());
    assert!(!Entry::<F>::EMPTY.is_hardware_visible());
}

fn hidden_tables_keep_address_and_occupancy<F: Format>() {
    for occupancy in [0, 1, Entry::<F>::MOST, Entry::<F>::RUN] {
        let table = Entry::<F>::table(hpa(0x1234_5000)).with_occupancy(occupancy);
        let hidden = table.hidden_table();
        assert!(hidden.is_hidden_table() && hidden.is_settled() && !hidden.is_empty());
        assert!(!hidden.is_hardware_visible() && !hidden.is_page());
        assert_eq!(hidden.address(), hpa(0x1234_5000));
        assert_eq!(hidden.shown_table(), table, "{hidden:?}");
        assert!(!hidden.is_opening() && hidden.opening().is_opening());
        assert_eq!(hidden.opening().shown_table(), table);
        assert_eq!(hidden.dead_table(), table.dead_table());
        for level in LEVELS {
            let (state, way) = if level == 1 {
                (State::Corrupt, Way::Ends)
            } else {
                (State::HiddenTable, Way::Hidden(hpa(0x1234_5000)))
            };
            assert_eq!((hidden.state(level), hidden.way(level)), (state, way));
        }
    }
}

fn pieces_say_what_the_whole_said<F: Format>() {
    for_each_leaf::<F>(|template, attributes, features, level, owned| {
        if level == 1 {
            return;
        }
        let below = level - 1;
        let base = entry_size(level) * 5;
        let whole = template.at(hpa(base));
        let step = whole.step(entry_size(below));
        for place in [0_u64, 1, 2, 255, 510, 511] {
            let word = whole.first_piece(level).word() + place * step;
            let address = hpa(base + place * entry_size(below));
            let alone = Entry::<F>::leaf_template(attributes, features, below, owned).unwrap();
            assert_eq!(Entry::from_word(word), alone.at(address));
        }
    });
    let everywhere_equal = [
        Entry::<F>::EMPTY,
        Entry::trap(0x8765_4321),
        Entry::reserved(Reservation::new(Attributes::new(READ | WRITE, MemoryType::WriteBack), 2)),
    ];
    for entry in everywhere_equal {
        for level in 2..=F::MAX_LEVELS {
            assert_eq!(entry.first_piece(level), entry);
            assert_eq!(entry.step(entry_size(level - 1)), 0);
        }
    }
}

/// A host-physical address as page_table_multiarch has it.
fn pa(bits: u64) -> PhysAddr {
    hpa(bits).into()
}

/// Flags of page_table_multiarch that every format can say.
fn common_mapping_flags() -> impl Iterator<Item = MappingFlags> {
    let memory = [MappingFlags::empty(), MappingFlags::DEVICE];
    let permissions = [1, 3, 5, 7].map(MappingFlags::from_bits_truncate);
    permissions.into_iter().flat_map(move |flags| memory.map(|memory| flags | memory))
}

fn multiarch_entries_keep_address_and_flags<F: Format>() {
    for flags in common_mapping_flags() {
        for (is_huge, size) in [(false, 1_u64 << 12), (true, 1 << 21), (true, 1 << 30)] {
            let page: Entry<F> = GenericPTE::new_page(pa(size * 3), flags, is_huge);
            assert_eq!(page.paddr(), pa(size * 3));
            assert_eq!(page.flags(), flags);
            assert!(page.is_present() && !page.is_unused());
            // Nobody asks an entry of the last level whether it is huge.
            assert!(page.is_huge() || !is_huge);
            assert_eq!(page.bits() as u64, page.word());
            assert!(!page.is_owned(), "frames of other tables are not ours");
        }
    }
    let table: Entry<F> = GenericPTE::new_table(pa(0x7000));
    assert!(table.is_present() && !table.is_huge() && !table.is_unused());
    assert_eq!(table.paddr(), pa(0x7000));

    // What page_table_multiarch starts with: a page of zeroes.
    let zero = Entry::<F>::from_word(0);
    assert!(zero.is_unused() && !zero.is_present() && !zero.is_huge());
    assert_eq!(zero.paddr(), pa(0));
    assert_eq!(zero.flags(), MappingFlags::empty());
}

fn multiarch_entries_are_replaced_in_parts<F: Format>() {
    for old in common_mapping_flags() {
        for new in common_mapping_flags() {
            for is_huge in [false, true] {
                let mut page: Entry<F> = GenericPTE::new_page(pa(1 << 30), old, is_huge);
                page.set_paddr(pa(3 << 30));
                assert_eq!((page.paddr(), page.flags()), (pa(3 << 30), old));
                page.set_flags(new, is_huge);
                assert_eq!((page.paddr(), page.flags()), (pa(3 << 30), new));
                assert_eq!(page, GenericPTE::new_page(pa(3 << 30), new, is_huge));
                page.clear();
                assert!(page.is_unused() && !page.is_present());
                assert_eq!(page, Entry::EMPTY);
            }
        }
    }
    // What the format cannot say is not mapped at all, rather than mapped as something else.
    let page: Entry<F> = GenericPTE::new_page(pa(0x3000), MappingFlags::WRITE, false);
    assert_eq!(page.is_present(), F::ID == FormatId::ArmStage2);
}

/// A speculative load behind an entry of these must not find memory (L1 terminal fault).
#[test]
fn invalid_ept_entries_hold_no_plausible_address() {
    use axaddrspace::npt::arch::IntelEpt;
    const LAST_BITS: u64 = 0x000f_f800_0000_0000;
    let check = |entry: Entry<IntelEpt>| {
        assert_eq!(entry.word() & LAST_BITS, LAST_BITS, "{entry:?}");
    };
    for reservation in all_reservations() {
        check(Entry::reserved(reservation));
        check(Entry::provided(reservation, u16::MAX));
        check(Entry::pending(hpa(0x12_3456_7000), reservation));
    }
    for cookie in (0..32).map(|bit| 1_u32 << bit).chain([0, u32::MAX]) {
        check(Entry::trap(cookie));
    }
    check(Entry::busy());
    check(Entry::table(hpa(0x12_3456_7000)).dead_table());
}

#[test]
fn every_set_of_permissions_is_tried() {
    let sets: Vec<Permissions> = all_permissions().collect();
    assert_eq!(sets.len(), 7);
    assert!(sets.contains(&EXECUTE) && sets.contains(&(READ | WRITE | EXECUTE)));
    assert_eq!(all_features(0b1010).count(), 4);
    assert_eq!(all_features(0).count(), 1);
}

fn all_tags<F: Format>() -> impl Iterator<Item = Tag> {
    (0..1 << F::tag_bits(Features(F::FEATURES))).map(Tag::new)
}

/// The bits of a leaf that hold a tag, from the manuals: ignored by hardware in leaves, whatever else is on.
fn tag_bits(format: FormatId) -> &'static [u32] {
    match format {
        FormatId::Ept => &[55, 56, 59, 62],
        FormatId::Npt => &[55, 56, 57, 58],
        FormatId::ArmStage2 => &[59, 60, 61, 62],
        FormatId::RiscvGstage => &[59, 60],
    }
}

fn tags_change_alone<F: Format>() {
    for_each_leaf::<F>(|leaf, attributes, features, level, owned| {
        for tag in all_tags::<F>() {
            let tagged = leaf.with_tag(tag);
            let set = tag_bits(F::ID).iter().enumerate();
            let bits: Vec<_> =
                set.filter(|(n, _)| tag.get() >> n & 1 != 0).map(|(_, bit)| *bit).collect();
            assert_eq!(tagged.word(), leaf.word() | mask(&bits), "{leaf:?} {tag:?}");
            assert_eq!(tagged.attributes(features), Attributes { tag, ..attributes });
            assert_eq!(
                tagged.attributes(features).flags(),
                attributes.flags() | tag.get() << AXAS_TAG_SHIFT
            );
            let made =
                Entry::leaf_template(Attributes { tag, ..attributes }, features, level, owned);
            assert_eq!(made.unwrap(), tagged);
            assert_eq!(tagged.state(level), State::Leaf);
            // Of a table the same bits say how full it is.
            assert!(!tagged.is_kept_table(level), "{tagged:?}");
            assert_eq!(tagged.is_owned(), owned);
            for other in all_tags::<F>() {
                assert_eq!(tagged.with_tag(other), leaf.with_tag(other));
            }
        }
    });
    assert_eq!(F::tag_bits(Features(F::FEATURES)) as usize, tag_bits(F::ID).len());
}

fn tags_stay_whatever_becomes_of_an_entry<F: Format>() {
    for_each_leaf::<F>(|leaf, attributes, features, level, owned| {
        for tag in all_tags::<F>() {
            let attributes = Attributes { tag, ..attributes };
            let leaf = leaf.with_tag(tag);
            let all = [
                (leaf.dead(features), attributes),
                (leaf.discarded(features, level, false), attributes),
                (Entry::pending(leaf.address(), Reservation::new(attributes, level)), attributes),
                (Entry::reserved(Reservation::new(attributes, level)), attributes),
            ];
            for (entry, attributes) in all {
                assert_eq!(entry.attributes(features), attributes, "{entry:?} of {leaf:?}");
                assert_eq!(entry.tag(), tag);
                check_invisible::<F>(entry);
            }
            if level > 1 {
                assert_eq!(leaf.first_piece(level).tag(), tag);
                assert_eq!(leaf.first_piece(level).is_owned(), owned);
            }
            for permissions in all_permissions() {
                if let Ok(encoded) = EncodedPermissions::new::<F>(permissions, features, false) {
                    assert_eq!(leaf.with_permissions(encoded).tag(), tag);
                    let reserved = Entry::<F>::reserved(Reservation::new(attributes, level));
                    assert_eq!(reserved.with_permissions(encoded).tag(), tag);
                }
            }
        }
    });
    for tag in all_tags::<F>() {
        for cookie in [0, 1, 0x8000, 0xffff, 0x1_0000, 0x7654_3210, 0xffff_ffff] {
            let trap = Entry::<F>::trap(cookie).with_tag(tag);
            assert_eq!((trap.cookie(), trap.tag()), (cookie, tag));
            assert_eq!(trap.with_tag(Tag::NONE), Entry::trap(cookie));
            assert!(trap.is_trap());
            check_invisible::<F>(trap);
        }
    }
}

/// Hardware does not see it; on EPT bits 51:36 of what has no address are ones, where no memory is.
fn check_invisible<F: Format>(entry: Entry<F>) {
    assert!(!entry.is_hardware_visible() && !entry.is_empty());
    if F::ID == FormatId::Ept && (entry.is_trap() || entry.is_reserved()) {
        assert_eq!(entry.word() >> 36 & 0xffff, 0xffff, "plausible memory: {entry:?}");
        assert_eq!(entry.word() >> 10 & 1, 0);
    }
}
