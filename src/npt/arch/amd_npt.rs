// SPDX-License-Identifier: MIT OR Apache-2.0
//! AMD NPT.
//!
//! Sources: AMD APM vol. 2, "Nested Paging" and "Long-Mode Page Translation". Nested walks are user
//! accesses: U/S is 1 at every level. A page that is present is readable.
//!
//! Software bits: 52 (owned), 53 (the mapping allows writes; W says that the hardware may write now) and
//! 54 (the mapping is of a device: UC alone does not say), 58:55 (the host's tag). Invalid entries (bit 0 zero) carry their kind
//! in 3:1, a payload in 11:4 and 59:52 and an address in 51:12.

use super::{Features, Format, FormatId, InvalidKind, READABLE, RootState, deposit, extract};
use crate::abi::*;
use crate::error::{Error, Result};
use crate::flags::{Attributes, MemoryType, Permissions};

/// AMD nested page tables.
#[derive(Clone, Copy, Debug)]
pub struct AmdNpt;

const PRESENT: u64 = 1;
const WRITE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
/// PWT and PCD together choose entry 3 of the PAT's reset value: UC.
const UNCACHEABLE: u64 = 3 << 3;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
const PAGE: u64 = 1 << 7;
const OWNED: u64 = 1 << 52;
const MAY_WRITE: u64 = 1 << 53;
const SOFT_DEVICE: u64 = 1 << 54;
const TAG: u64 = 15 << 55;
/// Of an entry that points to a table.
const TABLE_COLD: u64 = if cfg!(feature = "age") { 1 << 59 } else { 0 };
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const KIND_SHIFT: u32 = 1;
const KIND: u64 = 7 << KIND_SHIFT;

impl Format for AmdNpt {
    const ID: FormatId = FormatId::Npt;
    const FEATURES: u32 = AXAS_FEATURE_1G_PAGES;
    /// An AMD IOMMU wants bits 58:52 zero, where leaves have software bits and tables their occupancy.
    const SHARES_WITH_IOMMU: bool = false;
    const MIN_LEVELS: u32 = 4;
    const MAX_LEVELS: u32 = 5;
    const MAX_PA_BITS: u32 = 52;
    const DEFAULT_PA_BITS: u32 = 48;
    const WIDE_ROOT: bool = false;
    const ALWAYS_1G: bool = false;
    const EMPTY: u64 = 0;
    const OCCUPIED: u64 = PRESENT | KIND;
    const PERMISSIONS: u64 = WRITE | MAY_WRITE | NO_EXECUTE;
    const OWNED: u64 = OWNED;
    const OCCUPANCY_SHIFT: u32 = 52;
    const OCCUPANCY_MAX: u64 = 127;
    const GATE: u64 = WRITE;
    const DIRTY: u64 = DIRTY;
    const YOUNG: u64 = ACCESSED;
    const PLAIN: u64 = PRESENT;
    const DEVICE: u64 = SOFT_DEVICE;
    const TABLE_YOUNG: u64 = ACCESSED;
    const TABLE_COLD: u64 = TABLE_COLD;
    const TAG: u64 = TAG;
    const MAY_WRITE: u64 = MAY_WRITE;
    const BUILTIN_FLUSH: bool = false;

    #[inline(always)]
    fn is_valid(word: u64) -> bool {
        word & PRESENT != 0
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
        word & (PRESENT | PAGE) == PRESENT
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
        address | PRESENT | WRITE | USER | ACCESSED
    }

    fn leaf(attributes: Attributes, features: Features, level: u32) -> Result<u64> {
        let memory = match attributes.memory {
            MemoryType::WriteBack => 0,
            MemoryType::Device => UNCACHEABLE | SOFT_DEVICE,
            MemoryType::Uncached => UNCACHEABLE,
            MemoryType::WriteCombine
            | MemoryType::WriteThrough
            | MemoryType::DeviceNgnrne
            | MemoryType::DeviceNgre
            | MemoryType::DeviceGre => return Err(Error::Unsupported),
        };
        let page = if level > 1 { PAGE } else { 0 };
        let permissions = Self::permissions(attributes.permissions, features)?;
        Ok(PRESENT | USER | permissions | memory | page | ACCESSED | DIRTY)
    }

    fn attributes(word: u64, _features: Features) -> Attributes {
        let memory = match (word & UNCACHEABLE != 0, word & SOFT_DEVICE != 0) {
            (false, _) => MemoryType::WriteBack,
            (true, true) => MemoryType::Device,
            (true, false) => MemoryType::Uncached,
        };
        Attributes::new(Self::permissions_of(word), memory)
    }

    #[inline(always)]
    fn permissions_of(word: u64) -> Permissions {
        let mut permissions = Permissions::READ;
        permissions.set(Permissions::WRITE, word & MAY_WRITE != 0);
        permissions.set(Permissions::EXECUTE, word & NO_EXECUTE == 0);
        permissions
    }

    #[inline(always)]
    fn possible_permissions(_features: Features) -> u8 {
        READABLE
    }

    #[inline(always)]
    fn permission_bits(permissions: Permissions) -> u64 {
        let write = if permissions.contains(Permissions::WRITE) { WRITE | MAY_WRITE } else { 0 };
        let execute = if permissions.contains(Permissions::EXECUTE) { 0 } else { NO_EXECUTE };
        write | execute
    }

    fn hardware_sets_dirty(_features: Features) -> bool {
        true
    }

    fn hardware_sets_young(_features: Features) -> bool {
        true
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
        (kind as u64) << KIND_SHIFT
            | deposit(payload, 0, 8, 4)
            | deposit(payload, 8, 8, 52)
            | (address & ADDRESS)
    }

    #[inline(always)]
    fn invalid_kind(word: u64) -> InvalidKind {
        InvalidKind::from_bits((word & KIND) >> KIND_SHIFT)
    }

    #[inline(always)]
    fn payload(word: u64) -> u16 {
        extract(word, 4, 8, 0) | extract(word, 52, 8, 8)
    }

    #[inline(always)]
    fn invalid_address(word: u64) -> u64 {
        word & ADDRESS
    }

    fn width(levels: u32) -> u32 {
        if levels == 5 { 57 } else { 48 }
    }

    fn root_register(state: &RootState) -> u64 {
        state.root
    }

    fn registers(_state: RootState) -> axas_hw_regs_t {
        axas_hw_regs_t { required_state: AXAS_NEEDS_EFER_NXE, ..axas_hw_regs_t::default() }
    }
}
