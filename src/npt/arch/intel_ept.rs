// SPDX-License-Identifier: MIT OR Apache-2.0
//! Intel EPT.
//!
//! Sources: Intel SDM vol. 3C, "The Extended Page Table Mechanism (EPT)": formats of EPT
//! paging-structure entries, memory typing, "Extended-Page-Table Pointer (EPTP)".
//!
//! Software bits: 52 (owned), 53 (the mapping allows writes; W says that the hardware may write now) and
//! 54 (the mapping is of a device: UC alone does not say), 62, 59, 56 and 55 (the host's tag). Where accessed and dirty flags are off, hardware
//! ignores bits 8 and 9: they are software bits of the same meaning then.
//!
//! Invalid entries (bits 2:0 zero) carry their kind in 5:3 and a payload in 9:6, 11 and 62:52; bit 10 stays
//! 0 for mode-based execute control. Bit 63 (suppress #VE) is 1 in every entry but those that point to
//! tables, so that a host may enable #VE. An address in an invalid entry is inverted, and an entry that
//! has none holds ones there: payload bit 7 is the page-size bit, and on parts with the L1 terminal fault
//! a plausible address behind it could be read speculatively. The empty entry alone has no such bits and
//! needs none.

use super::{
    EXECUTABLE, Features, Format, FormatId, InvalidKind, READABLE, RootState, deposit, extract,
};
use crate::abi::*;
use crate::error::{Error, Result};
use crate::flags::{Attributes, MemoryType, Permissions, Tag};

/// Intel extended page tables.
#[derive(Clone, Copy, Debug)]
pub struct IntelEpt;

const READ: u64 = 1;
const WRITE: u64 = 1 << 1;
const EXECUTE: u64 = 1 << 2;
const RWX: u64 = READ | WRITE | EXECUTE;
const TYPE_SHIFT: u32 = 3;
const TYPE: u64 = 7 << TYPE_SHIFT;
const TYPE_UC: u64 = 0;
const TYPE_WC: u64 = 1 << TYPE_SHIFT;
const TYPE_WT: u64 = 4 << TYPE_SHIFT;
const TYPE_WB: u64 = 6 << TYPE_SHIFT;
/// IPAT: the guest's PAT does not combine with the memory type.
const IGNORE_PAT: u64 = 1 << 6;
const PAGE: u64 = 1 << 7;
const ACCESSED: u64 = 1 << 8;
const DIRTY: u64 = 1 << 9;
const OWNED: u64 = 1 << 52;
const MAY_WRITE: u64 = 1 << 53;
const SOFT_DEVICE: u64 = 1 << 54;
/// Bits 1:0 of a tag are in 56:55, bit 2 in 59, bit 3 in 62: the others have a meaning on some parts.
const TAG_LOW: u32 = 55;
const TAG_BIT_2: u32 = 59;
const TAG_BIT_3: u32 = 62;
/// Of an entry that points to a table; a leaf has a bit of its tag there.
const TABLE_COLD: u64 = if cfg!(feature = "age") { 1 << 59 } else { 0 };
const SUPPRESS_VE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const KIND_SHIFT: u32 = 3;
const KIND: u64 = 7 << KIND_SHIFT;
/// EPTP: write-back paging structures, walk length less one, accessed and dirty flags.
const EPTP_WRITE_BACK: u64 = 6;
const EPTP_LENGTH_SHIFT: u32 = 3;
const EPTP_AD: u64 = 1 << 6;

impl Format for IntelEpt {
    const ID: FormatId = FormatId::Ept;
    const FEATURES: u32 =
        AXAS_FEATURE_1G_PAGES | AXAS_FEATURE_EPT_EXECUTE_ONLY | AXAS_FEATURE_EPT_AD;
    const IGNORES_GUEST_PAT: bool = true;
    const MIN_LEVELS: u32 = 4;
    const MAX_LEVELS: u32 = 5;
    const MAX_PA_BITS: u32 = 52;
    const DEFAULT_PA_BITS: u32 = 48;
    const WIDE_ROOT: bool = false;
    const ALWAYS_1G: bool = false;
    const EMPTY: u64 = SUPPRESS_VE;
    const OCCUPIED: u64 = RWX | KIND;
    const PERMISSIONS: u64 = RWX | MAY_WRITE;
    const OWNED: u64 = OWNED;
    const OCCUPANCY_SHIFT: u32 = 52;
    const OCCUPANCY_MAX: u64 = 31;
    const GATE: u64 = WRITE;
    const DIRTY: u64 = DIRTY;
    const YOUNG: u64 = ACCESSED;
    const PLAIN: u64 = READ;
    const DEVICE: u64 = SOFT_DEVICE;
    const TABLE_YOUNG: u64 = ACCESSED;
    const TABLE_COLD: u64 = TABLE_COLD;
    const OLD_FAULTS: bool = false;
    /// VT-d, second-stage paging entries: bit 62 is TM, transient mapping.
    const IO_TAG_BITS: u32 = if cfg!(feature = "tags") { 3 } else { 0 };
    const TAG: u64 = 3 << TAG_LOW | 1 << TAG_BIT_2 | 1 << TAG_BIT_3;
    const MAY_WRITE: u64 = MAY_WRITE;
    const BUILTIN_FLUSH: bool = true;

    #[inline(always)]
    fn is_valid(word: u64) -> bool {
        word & RWX != 0
    }

    #[inline(always)]
    fn is_leaf(word: u64, level: u32) -> Option<bool> {
        match level {
            1 => Some(true),
            2 | 3 => Some(word & PAGE != 0),
            _ if word & PAGE != 0 => None,
            _ => Some(false),
        }
    }

    #[inline(always)]
    fn is_table(word: u64) -> bool {
        word & (RWX | PAGE) == RWX
    }

    #[inline(always)]
    fn address(word: u64) -> u64 {
        word & ADDRESS
    }

    #[inline(always)]
    fn address_field(address: u64) -> u64 {
        address
    }

    #[inline(always)]
    fn table(address: u64) -> u64 {
        address | RWX | ACCESSED
    }

    fn leaf(attributes: Attributes, features: Features, level: u32) -> Result<u64> {
        let memory = match attributes.memory {
            MemoryType::WriteBack if features.has(Features::IGNORE_GUEST_PAT) => {
                TYPE_WB | IGNORE_PAT
            }
            MemoryType::WriteBack => TYPE_WB,
            MemoryType::Device => TYPE_UC | SOFT_DEVICE,
            MemoryType::Uncached => TYPE_UC,
            MemoryType::WriteCombine => TYPE_WC,
            MemoryType::WriteThrough => TYPE_WT,
            MemoryType::DeviceNgnrne | MemoryType::DeviceNgre | MemoryType::DeviceGre => {
                return Err(Error::Unsupported);
            }
        };
        let page = if level > 1 { PAGE } else { 0 };
        let permissions = Self::permissions(attributes.permissions, features)?;
        Ok(permissions | memory | page | ACCESSED | DIRTY | SUPPRESS_VE)
    }

    #[inline(always)]
    fn tag_field(tag: Tag) -> u64 {
        let tag = u64::from(tag.get());
        (tag & 3) << TAG_LOW | (tag >> 2 & 1) << TAG_BIT_2 | (tag >> 3) << TAG_BIT_3
    }

    #[inline(always)]
    fn tag(word: u64) -> Tag {
        let high = (word >> TAG_BIT_2 & 1) << 2 | (word >> TAG_BIT_3 & 1) << 3;
        Tag::new((word >> TAG_LOW & 3 | high) as u32)
    }

    fn attributes(word: u64, _features: Features) -> Attributes {
        let memory = match word & TYPE {
            TYPE_WB => MemoryType::WriteBack,
            TYPE_WC => MemoryType::WriteCombine,
            TYPE_WT => MemoryType::WriteThrough,
            _ if word & SOFT_DEVICE != 0 => MemoryType::Device,
            _ => MemoryType::Uncached,
        };
        Attributes::new(Self::permissions_of(word), memory)
    }

    #[inline(always)]
    fn permissions_of(word: u64) -> Permissions {
        let mut permissions = Permissions::from_bits_truncate((word & RWX) as u32);
        permissions.set(Permissions::WRITE, word & MAY_WRITE != 0);
        permissions
    }

    #[inline(always)]
    fn possible_permissions(features: Features) -> u8 {
        let has_more = features.has(AXAS_FEATURE_EPT_EXECUTE_ONLY);
        if has_more { READABLE | EXECUTABLE } else { READABLE }
    }

    #[inline(always)]
    fn permission_bits(permissions: Permissions) -> u64 {
        let may_write = if permissions.contains(Permissions::WRITE) { MAY_WRITE } else { 0 };
        u64::from(permissions.bits()) | may_write
    }

    fn hardware_sets_dirty(features: Features) -> bool {
        features.has(AXAS_FEATURE_EPT_AD)
    }

    fn hardware_sets_young(features: Features) -> bool {
        features.has(AXAS_FEATURE_EPT_AD)
    }

    #[inline(always)]
    fn sized(word: u64, level: u32) -> u64 {
        if level > 1 { word | PAGE } else { word }
    }

    #[inline(always)]
    fn smaller_leaf(word: u64, level: u32) -> u64 {
        if level == 2 { word & !PAGE } else { word }
    }

    #[inline(always)]
    fn invalid(kind: InvalidKind, payload: u16, address: u64) -> u64 {
        if kind == InvalidKind::Empty {
            return Self::EMPTY;
        }
        SUPPRESS_VE
            | (kind as u64) << KIND_SHIFT
            | deposit(payload, 0, 4, 6)
            | deposit(payload, 4, 1, 11)
            | deposit(payload, 5, 11, 52)
            | (!address & ADDRESS)
    }

    #[inline(always)]
    fn invalid_kind(word: u64) -> InvalidKind {
        InvalidKind::from_bits((word & KIND) >> KIND_SHIFT)
    }

    #[inline(always)]
    fn payload(word: u64) -> u16 {
        extract(word, 6, 4, 0) | extract(word, 11, 1, 4) | extract(word, 52, 11, 5)
    }

    #[inline(always)]
    fn invalid_address(word: u64) -> u64 {
        !word & ADDRESS
    }

    fn width(levels: u32) -> u32 {
        if levels == 5 { 57 } else { 48 }
    }

    fn root_register(state: &RootState) -> u64 {
        let length = u64::from(state.shape.levels.wrapping_sub(1)) << EPTP_LENGTH_SHIFT;
        let flags = if state.features.has(AXAS_FEATURE_EPT_AD) { EPTP_AD } else { 0 };
        state.root | EPTP_WRITE_BACK | length | flags
    }

    fn registers(_state: RootState) -> axas_hw_regs_t {
        axas_hw_regs_t::default()
    }
}
