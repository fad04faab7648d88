// SPDX-License-Identifier: MIT OR Apache-2.0
//! RISC-V G-stage: Sv39x4, Sv48x4, Sv57x4.
//!
//! Sources: RISC-V Privileged Architecture: "Two-Stage Address Translation", "Guest-Page Faults", hgatp,
//! Sv39 page-table entries, Svpbmt, Svadu, Svvptc. Every leaf has U = 1 (G-stage accesses are user
//! accesses), A and D are preset (without Svadu a clear one faults), a root has 16 KiB.
//!
//! Software bits (RSW): 8 (owned), 9 (the mapping is of a device; without Svpbmt nothing else says so); with
//! Svrsw60t59b 60:59 (the host's tag).
//! W says that the mapping allows writes, D that the page is dirty and the hardware may write now: with D
//! clear a store faults, or with Svadu sets it.
//! Invalid entries (V zero) carry their kind in 3:1, a payload in 9:4 and 63:54 and an address in 53:10.

use super::{
    EXECUTABLE, Features, Format, FormatId, InvalidKind, READABLE, RootState, deposit, extract,
};
use crate::abi::*;
use crate::error::{Error, Result};
use crate::flags::{Attributes, MemoryType, Permissions, Tag};

/// RISC-V G-stage.
#[derive(Clone, Copy, Debug)]
pub struct RiscvGstage;

const VALID: u64 = 1;
const READ: u64 = 1 << 1;
const WRITE: u64 = 1 << 2;
const EXECUTE: u64 = 1 << 3;
const RWX: u64 = READ | WRITE | EXECUTE;
const USER: u64 = 1 << 4;
const ACCESSED: u64 = 1 << 6;
const DIRTY: u64 = 1 << 7;
const OWNED: u64 = 1 << 8;
const SOFT_DEVICE: u64 = 1 << 9;
const TAG_BITS: u32 = if cfg!(feature = "tags") { 2 } else { 0 };
const TAG: u64 = 3 << 59;
const PBMT: u64 = 3 << 61;
const PBMT_NC: u64 = 1 << 61;
const PBMT_IO: u64 = 2 << 61;
/// The page number stands two bits lower than the address.
const PPN: u64 = 0x003f_ffff_ffff_fc00;
const PPN_SHIFT: u32 = 2;
const KIND_SHIFT: u32 = 1;
const KIND: u64 = 7 << KIND_SHIFT;

const HGATP_MODE_SHIFT: u32 = 60;
/// Sv39x4 is mode 8, Sv48x4 mode 9, Sv57x4 mode 10.
const HGATP_MODE_LESS_LEVELS: u32 = 5;
const HGATP_VMID_SHIFT: u32 = 44;
const MAX_VMID: u32 = 0x3fff;
/// The root has four pages: it resolves two bits more.
const ROOT_ORDER: u32 = 2;

impl Format for RiscvGstage {
    const ID: FormatId = FormatId::RiscvGstage;
    const FEATURES: u32 = AXAS_FEATURE_1G_PAGES
        | AXAS_FEATURE_RISCV_SVPBMT
        | AXAS_FEATURE_RISCV_SVNAPOT
        | AXAS_FEATURE_RISCV_SVADU
        | AXAS_FEATURE_RISCV_SVVPTC
        | AXAS_FEATURE_RISCV_SVRSW60T59B;
    const UNSUPPORTED_FEATURES: u32 = AXAS_FEATURE_RISCV_SVNAPOT
        | if Tag::BITS == 0 { AXAS_FEATURE_RISCV_SVRSW60T59B } else { 0 };
    const MIN_LEVELS: u32 = 3;
    const MAX_LEVELS: u32 = 5;
    const MAX_PA_BITS: u32 = 56;
    const DEFAULT_PA_BITS: u32 = 56;
    const WIDE_ROOT: bool = true;
    const ALWAYS_1G: bool = true;
    const EMPTY: u64 = 0;
    const OCCUPIED: u64 = VALID | KIND;
    const PERMISSIONS: u64 = RWX;
    const OWNED: u64 = OWNED;
    const OCCUPANCY_SHIFT: u32 = 8;
    const OCCUPANCY_MAX: u64 = 3;
    const GATE: u64 = DIRTY;
    const DIRTY: u64 = DIRTY;
    const YOUNG: u64 = ACCESSED;
    const PLAIN: u64 = VALID;
    const DEVICE: u64 = SOFT_DEVICE;
    const TAG: u64 = TAG;
    const MAY_WRITE: u64 = WRITE;
    const HARDWARE_BY_CHOICE: bool = false;
    const BUILTIN_FLUSH: bool = true;

    #[inline(always)]
    fn is_valid(word: u64) -> bool {
        word & VALID != 0
    }

    #[inline(always)]
    fn is_leaf(word: u64, level: u32) -> Option<bool> {
        let leaf = word & RWX != 0;
        match level {
            1 if !leaf => None,
            1..=3 => Some(leaf),
            _ if leaf => None,
            _ => Some(false),
        }
    }

    #[inline(always)]
    fn is_table(word: u64) -> bool {
        word & (VALID | RWX) == VALID
    }

    #[inline(always)]
    fn address(word: u64) -> u64 {
        (word & PPN) << PPN_SHIFT
    }

    #[inline(always)]
    fn address_field(address: u64) -> u64 {
        address >> PPN_SHIFT
    }

    #[inline(always)]
    fn table(address: u64) -> u64 {
        Self::address_field(address) | VALID
    }

    fn leaf(attributes: Attributes, features: Features, _level: u32) -> Result<u64> {
        let svpbmt = features.has(AXAS_FEATURE_RISCV_SVPBMT);
        let memory = match attributes.memory {
            MemoryType::WriteBack => 0,
            MemoryType::Device if svpbmt => PBMT_IO | SOFT_DEVICE,
            MemoryType::Device => SOFT_DEVICE,
            MemoryType::Uncached if svpbmt => PBMT_NC,
            _ => return Err(Error::Unsupported),
        };
        let permissions = Self::permissions(attributes.permissions, features)?;
        Ok(VALID | permissions | USER | ACCESSED | DIRTY | memory)
    }

    #[inline(always)]
    fn tag_field(tag: Tag) -> u64 {
        u64::from(tag.get()) << TAG.trailing_zeros() & TAG
    }

    fn tag_bits(features: Features) -> u32 {
        if features.has(AXAS_FEATURE_RISCV_SVRSW60T59B) { TAG_BITS } else { 0 }
    }

    fn attributes(word: u64, _features: Features) -> Attributes {
        let memory = if word & SOFT_DEVICE != 0 {
            MemoryType::Device
        } else if word & PBMT == 0 {
            MemoryType::WriteBack
        } else {
            MemoryType::Uncached
        };
        Attributes::new(Self::permissions_of(word), memory)
    }

    #[inline(always)]
    fn permissions_of(word: u64) -> Permissions {
        Permissions::from_bits_truncate((word >> 1) as u32)
    }

    /// Without permissions a leaf is none, but says so.
    #[inline(always)]
    fn possible_permissions(_features: Features) -> u8 {
        READABLE | EXECUTABLE
    }

    #[inline(always)]
    fn permission_bits(permissions: Permissions) -> u64 {
        u64::from(permissions.bits()) << 1
    }

    fn hardware_sets_dirty(features: Features) -> bool {
        features.has(AXAS_FEATURE_RISCV_SVADU)
    }

    fn hardware_sets_young(features: Features) -> bool {
        features.has(AXAS_FEATURE_RISCV_SVADU)
    }

    #[inline(always)]
    fn sized(word: u64, _level: u32) -> u64 {
        word
    }

    #[inline(always)]
    fn smaller_leaf(word: u64, _level: u32) -> u64 {
        word
    }

    #[inline(always)]
    fn invalid(kind: InvalidKind, payload: u16, address: u64) -> u64 {
        (kind as u64) << KIND_SHIFT
            | deposit(payload, 0, 6, 4)
            | deposit(payload, 6, 10, 54)
            | (Self::address_field(address) & PPN)
    }

    #[inline(always)]
    fn invalid_kind(word: u64) -> InvalidKind {
        InvalidKind::from_bits((word & KIND) >> KIND_SHIFT)
    }

    #[inline(always)]
    fn payload(word: u64) -> u16 {
        extract(word, 4, 6, 0) | extract(word, 54, 10, 6)
    }

    #[inline(always)]
    fn invalid_address(word: u64) -> u64 {
        Self::address(word)
    }

    fn width(levels: u32) -> u32 {
        match levels {
            5 => 59,
            4 => 50,
            _ => 41,
        }
    }

    fn root_order(_levels: u32, _gpa_bits: u32) -> u32 {
        ROOT_ORDER
    }

    fn check_vmid(vmid: u32, _features: Features) -> Result<()> {
        if vmid > MAX_VMID { Err(Error::InvalidInput) } else { Ok(()) }
    }

    fn root_register(state: &RootState) -> u64 {
        let mode = u64::from(state.shape.levels.wrapping_add(HGATP_MODE_LESS_LEVELS));
        let page_number = state.root >> 12;
        mode << HGATP_MODE_SHIFT | u64::from(state.vmid) << HGATP_VMID_SHIFT | page_number
    }

    fn registers(state: RootState) -> axas_hw_regs_t {
        let has = |feature, bit| if state.features.has(feature) { bit } else { 0 };
        axas_hw_regs_t {
            required_state: has(AXAS_FEATURE_RISCV_SVPBMT, AXAS_NEEDS_MENVCFG_PBMTE)
                | has(AXAS_FEATURE_RISCV_SVADU, AXAS_NEEDS_MENVCFG_ADUE),
            ..axas_hw_regs_t::default()
        }
    }

    fn caches_invalid(features: Features) -> bool {
        !features.has(AXAS_FEATURE_RISCV_SVVPTC)
    }

    fn caches_denials() -> bool {
        true
    }
}
