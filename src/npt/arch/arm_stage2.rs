// SPDX-License-Identifier: MIT OR Apache-2.0
//! AArch64 stage 2 with a 4 KiB granule.
//!
//! Sources: Arm ARM, "The AArch64 Virtual Memory System Architecture": VMSAv8-64 translation table
//! format descriptors, stage 2 memory attributes, stage 2 access permissions, "Using break-before-make
//! when updating translation table entries", concatenated translation tables; VTCR_EL2, VTTBR_EL2.
//!
//! Software bits: 55 (dirty, where the mapping allows no writes; set in every leaf), 56 (owned) and 57 (the
//! mapping allows writes; S2AP[1] says that the hardware may write now), 62:59 (the host's tag: PBHA, which hardware
//! does not use while HWU59 to HWU62 of VTCR_EL2 are 0, as in [`Format::registers`]). In a Realm bit 55 would be NS.
//! Invalid entries (bit 0 zero) carry their kind in 3:1, a payload in 11:4 and
//! 63:56 and an address in 47:12. The access flag is 1 and DBM 0 while
//! pages are neither aged nor logged: hardware writes no entry.

use super::{
    Features, Format, FormatId, InvalidKind, RootState, Shape, ShapeRequest, deposit, extract,
    pa_bits,
};
use crate::abi::*;
use crate::error::{Error, Result};
use crate::flags::{Attributes, MemoryType, Permissions, Tag};
use crate::npt::AGES;

/// AArch64 stage 2.
#[derive(Clone, Copy, Debug)]
pub struct ArmStage2;

const VALID: u64 = 1;
/// A table above level 1, a page at level 1.
const TABLE_OR_PAGE: u64 = 1 << 1;
const MEMATTR_SHIFT: u32 = 2;
const MEMATTR: u64 = 0xf << MEMATTR_SHIFT;
const S2AP_READ: u64 = 1 << 6;
const S2AP_WRITE: u64 = 1 << 7;
const SH_OUTER: u64 = 2 << 8;
const SH_INNER: u64 = 3 << 8;
const ACCESS_FLAG: u64 = 1 << 10;
/// Dirty bit modifier: hardware sets S2AP[1] at the first write (VTCR_EL2.HD).
const DBM: u64 = 1 << 51;
/// XN[1:0] is 54:53. 00 allows fetches at EL1 and EL0, 10 at neither, with and without FEAT_XNX.
const XN: u64 = 3 << 53;
const XN_NONE: u64 = 2 << 53;
const DIRTY: u64 = 1 << 55;
const OWNED: u64 = 1 << 56;
const MAY_WRITE: u64 = 1 << 57;
const TAG: u64 = 15 << 59;
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;
const KIND_SHIFT: u32 = 1;
const KIND: u64 = 7 << KIND_SHIFT;

const DEVICE_NGNRNE: u64 = 0b0000;
const DEVICE_NGNRE: u64 = 0b0001;
const DEVICE_NGRE: u64 = 0b0010;
const DEVICE_GRE: u64 = 0b0011;
const NORMAL_NC: u64 = 0b0101;
/// With FEAT_S2FWB: write-back whatever stage 1 says.
const FORCED_WB: u64 = 0b0110;
const NORMAL_WT: u64 = 0b1010;
const NORMAL_WB: u64 = 0b1111;

const VTCR_RES1: u64 = 1 << 31;
const VTCR_SL0_SHIFT: u32 = 6;
const VTCR_IRGN0_WB: u64 = 1 << 8;
const VTCR_ORGN0_WB: u64 = 1 << 10;
const VTCR_SH0_OUTER: u64 = 2 << 12;
const VTCR_SH0_INNER: u64 = 3 << 12;
const VTCR_PS_SHIFT: u32 = 16;
const VTCR_VS: u64 = 1 << 19;
const VTCR_HA: u64 = 1 << 21;
const VTCR_HD: u64 = 1 << 22;
const VTTBR_VMID_SHIFT: u32 = 48;

/// Physical address sizes with their VTCR_EL2.PS values.
const PA_SIZES: [(u32, u64); 6] = [(32, 0), (36, 1), (40, 2), (42, 3), (44, 4), (48, 5)];
/// The widest that ID_AA64MMFR0_EL1.PARange can say (FEAT_D128).
const WIDEST_PA_BITS: u32 = 56;
/// At most this many root tables are concatenated, as an order.
const MAX_CONCATENATION: u32 = 4;
/// Narrowest input of a walk that starts with three levels (start level 1 resolves one bit).
const MIN_GPA_BITS: u32 = 31;
/// A walk of four levels (start level 0) takes at least this, on parts with at least that.
const MIN_FOUR_LEVEL_GPA_BITS: u32 = 40;
const MIN_FOUR_LEVEL_PA_BITS: u32 = 44;

impl ArmStage2 {
    fn fwb(features: Features) -> bool {
        features.has(AXAS_FEATURE_ARM_FWB)
    }

    fn memory(memory: MemoryType, features: Features) -> Result<u64> {
        let fwb = Self::fwb(features);
        let (memattr, shareability) = match memory {
            MemoryType::WriteBack if fwb => (FORCED_WB, SH_INNER),
            MemoryType::WriteBack => (NORMAL_WB, SH_INNER),
            MemoryType::WriteThrough if !fwb => (NORMAL_WT, SH_INNER),
            MemoryType::Uncached => (NORMAL_NC, SH_OUTER),
            MemoryType::Device => (DEVICE_NGNRE, SH_OUTER),
            MemoryType::DeviceNgnrne => (DEVICE_NGNRNE, SH_OUTER),
            MemoryType::DeviceNgre => (DEVICE_NGRE, SH_OUTER),
            MemoryType::DeviceGre => (DEVICE_GRE, SH_OUTER),
            MemoryType::WriteThrough | MemoryType::WriteCombine => {
                return Err(Error::Unsupported);
            }
        };
        Ok(memattr << MEMATTR_SHIFT | shareability)
    }
}

impl Format for ArmStage2 {
    const ID: FormatId = FormatId::ArmStage2;
    const FEATURES: u32 = AXAS_FEATURE_1G_PAGES
        | AXAS_FEATURE_ARM_XNX
        | AXAS_FEATURE_ARM_FWB
        | AXAS_FEATURE_ARM_HAF
        | AXAS_FEATURE_ARM_HAFDBS
        | AXAS_FEATURE_ARM_BBM2
        | AXAS_FEATURE_ARM_VMID16;
    const UNSUPPORTED_FEATURES: u32 =
        AXAS_FEATURE_ARM_XNX | if AGES { 0 } else { AXAS_FEATURE_ARM_HAF };
    const MIN_LEVELS: u32 = 3;
    const MAX_LEVELS: u32 = 4;
    const MAX_PA_BITS: u32 = 48;
    const DEFAULT_PA_BITS: u32 = 40;
    const WIDE_ROOT: bool = true;
    const ALWAYS_1G: bool = true;
    const EMPTY: u64 = 0;
    const OCCUPIED: u64 = VALID | KIND;
    const PERMISSIONS: u64 = S2AP_READ | S2AP_WRITE | MAY_WRITE | XN;
    const OWNED: u64 = OWNED;
    const OCCUPANCY_SHIFT: u32 = 51;
    const OCCUPANCY_MAX: u64 = 255;
    const GATE: u64 = S2AP_WRITE;
    const DIRTY: u64 = S2AP_WRITE | DIRTY;
    const YOUNG: u64 = ACCESS_FLAG;
    /// Bit 2 of MemAttr says normal memory; write-through has it 0.
    const PLAIN: u64 = VALID | 1 << 4;
    const TAG: u64 = TAG;
    /// SMMUv3, stage 2 descriptors: bits 63:60 are the SMMU's.
    const IO_TAG_BITS: u32 = if cfg!(feature = "tags") { 1 } else { 0 };
    const MAY_WRITE: u64 = MAY_WRITE;
    const HARDWARE_OPENS: u64 = if cfg!(feature = "dirty") { DBM } else { 0 };
    const BUILTIN_FLUSH: bool = true;

    #[inline(always)]
    fn is_valid(word: u64) -> bool {
        word & VALID != 0
    }

    #[inline(always)]
    fn is_leaf(word: u64, level: u32) -> Option<bool> {
        let block = word & TABLE_OR_PAGE == 0;
        match level {
            1 if block => None,
            1 => Some(true),
            2 | 3 => Some(block),
            _ if block => None,
            _ => Some(false),
        }
    }

    #[inline(always)]
    fn is_table(word: u64) -> bool {
        word & (VALID | TABLE_OR_PAGE) == VALID | TABLE_OR_PAGE
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
        address | TABLE_OR_PAGE | VALID
    }

    fn leaf(attributes: Attributes, features: Features, level: u32) -> Result<u64> {
        let kind = if level == 1 { TABLE_OR_PAGE | VALID } else { VALID };
        let memory = Self::memory(attributes.memory, features)?;
        let permissions = Self::permissions(attributes.permissions, features)?;
        Ok(kind | memory | permissions | ACCESS_FLAG | DIRTY)
    }

    fn attributes(word: u64, features: Features) -> Attributes {
        let memory = match (word & MEMATTR) >> MEMATTR_SHIFT {
            DEVICE_NGNRNE => MemoryType::DeviceNgnrne,
            DEVICE_NGNRE => MemoryType::Device,
            DEVICE_NGRE => MemoryType::DeviceNgre,
            DEVICE_GRE => MemoryType::DeviceGre,
            NORMAL_NC => MemoryType::Uncached,
            NORMAL_WT if !Self::fwb(features) => MemoryType::WriteThrough,
            _ => MemoryType::WriteBack,
        };
        Attributes::new(Self::permissions_of(word), memory)
    }

    #[inline(always)]
    fn permissions_of(word: u64) -> Permissions {
        let mut permissions = Permissions::empty();
        permissions.set(Permissions::READ, word & S2AP_READ != 0);
        permissions.set(Permissions::WRITE, word & MAY_WRITE != 0);
        permissions.set(Permissions::EXECUTE, word & XN == 0);
        permissions
    }

    #[inline(always)]
    fn possible_permissions(_features: Features) -> u8 {
        u8::MAX
    }

    #[inline(always)]
    fn permission_bits(permissions: Permissions) -> u64 {
        let read = if permissions.contains(Permissions::READ) { S2AP_READ } else { 0 };
        let write =
            if permissions.contains(Permissions::WRITE) { S2AP_WRITE | MAY_WRITE } else { 0 };
        let execute = if permissions.contains(Permissions::EXECUTE) { 0 } else { XN_NONE };
        read | write | execute
    }

    fn hardware_sets_dirty(features: Features) -> bool {
        features.has(AXAS_FEATURE_ARM_HAFDBS)
    }

    fn hardware_sets_young(features: Features) -> bool {
        features.has(AXAS_FEATURE_ARM_HAFDBS | AXAS_FEATURE_ARM_HAF)
    }

    #[inline(always)]
    fn sized(word: u64, level: u32) -> u64 {
        if level > 1 { word & !TABLE_OR_PAGE } else { word }
    }

    #[inline(always)]
    fn smaller_leaf(word: u64, level: u32) -> u64 {
        if level == 2 { word | TABLE_OR_PAGE } else { word }
    }

    #[inline(always)]
    fn invalid(kind: InvalidKind, payload: u16, address: u64) -> u64 {
        (kind as u64) << KIND_SHIFT
            | deposit(payload, 0, 8, 4)
            | deposit(payload, 8, 8, 56)
            | (address & ADDRESS)
    }

    #[inline(always)]
    fn invalid_kind(word: u64) -> InvalidKind {
        InvalidKind::from_bits((word & KIND) >> KIND_SHIFT)
    }

    #[inline(always)]
    fn payload(word: u64) -> u16 {
        extract(word, 4, 8, 0) | extract(word, 56, 8, 8)
    }

    #[inline(always)]
    fn invalid_address(word: u64) -> u64 {
        word & ADDRESS
    }

    fn width(levels: u32) -> u32 {
        // What a root of one table resolves; concatenation adds to three levels only, for four
        // levels of one table are as wide as addresses are.
        if levels == 4 { 48 } else { 39_u32.wrapping_add(MAX_CONCATENATION) }
    }

    fn root_order(levels: u32, gpa_bits: u32) -> u32 {
        let one_table = if levels == 4 { 48 } else { 39 };
        gpa_bits.saturating_sub(one_table)
    }

    fn shape(request: ShapeRequest) -> Result<Shape> {
        let requested = match request.pa_bits {
            Self::MAX_PA_BITS..=WIDEST_PA_BITS => Self::MAX_PA_BITS,
            bits => pa_bits::<Self>(bits)?,
        };
        let pa_bits = PA_SIZES
            .into_iter()
            .rev()
            .find_map(|(bits, _)| (bits <= requested).then_some(bits))
            .ok_or(Error::InvalidInput)?;
        if request.gpa_bits != 0 && request.gpa_bits < request.needed_bits {
            return Err(Error::Unsupported);
        }
        let mut gpa_bits = request.needed_bits.max(request.gpa_bits).max(MIN_GPA_BITS);
        let levels = match request.levels {
            0 if gpa_bits <= Self::width(3) => 3,
            0 => 4,
            levels => levels,
        };
        if !(Self::MIN_LEVELS..=Self::MAX_LEVELS).contains(&levels) {
            return Err(Error::Unsupported);
        }
        if levels == 4 {
            if request.gpa_bits == 0 {
                gpa_bits = gpa_bits.max(MIN_FOUR_LEVEL_GPA_BITS);
            }
            if pa_bits < MIN_FOUR_LEVEL_PA_BITS || gpa_bits < MIN_FOUR_LEVEL_GPA_BITS {
                return Err(Error::Unsupported);
            }
        }
        if gpa_bits > Self::width(levels) || gpa_bits > pa_bits {
            return Err(Error::Unsupported);
        }
        Ok(Shape { levels, gpa_bits, pa_bits, root_order: Self::root_order(levels, gpa_bits) })
    }

    fn check_vmid(vmid: u32, features: Features) -> Result<()> {
        match vmid {
            0..=0xff => Ok(()),
            0x100..=0xffff if features.has(AXAS_FEATURE_ARM_VMID16) => Ok(()),
            0x100..=0xffff => Err(Error::Unsupported),
            _ => Err(Error::InvalidInput),
        }
    }

    fn root_register(state: &RootState) -> u64 {
        state.root | u64::from(state.vmid) << VTTBR_VMID_SHIFT
    }

    fn registers(state: RootState) -> axas_hw_regs_t {
        let shape = state.shape;
        let has = |feature, bits| if state.features.has(feature) { bits } else { 0 };
        // SL0 of the 4 KiB granule: 1 starts at level 1 (three levels), 2 at level 0.
        let start = u64::from(shape.levels.wrapping_sub(2)) << VTCR_SL0_SHIFT;
        let walks = if state.features.has(Features::NONCOHERENT_WALK) {
            VTCR_SH0_OUTER
        } else {
            VTCR_IRGN0_WB | VTCR_ORGN0_WB | VTCR_SH0_INNER
        };
        let size = PA_SIZES
            .into_iter()
            .find_map(|(bits, value)| (bits == shape.pa_bits).then_some(value))
            .unwrap_or(0);
        let control = VTCR_RES1
            | u64::from(64_u32.wrapping_sub(shape.gpa_bits))
            | start
            | walks
            | size << VTCR_PS_SHIFT
            | has(AXAS_FEATURE_ARM_VMID16, VTCR_VS)
            | has(AXAS_FEATURE_ARM_HAF, VTCR_HA)
            | has(AXAS_FEATURE_ARM_HAFDBS, VTCR_HA | VTCR_HD);
        axas_hw_regs_t {
            control_register: control,
            required_state: has(AXAS_FEATURE_ARM_FWB, u64::from(AXAS_NEEDS_HCR_FWB)) as u32
                | has(AXAS_FEATURE_ARM_HAFDBS, u64::from(AXAS_NEEDS_VTCR_HA_HD)) as u32
                | if Tag::BITS == 0 { 0 } else { AXAS_NEEDS_NO_PBHA },
            ..axas_hw_regs_t::default()
        }
    }

    fn breaks_before_make(features: Features) -> bool {
        !features.has(AXAS_FEATURE_ARM_BBM2)
    }

    fn caches_denials() -> bool {
        true
    }

    /// A guest whose caches are off reads past the cache unless FEAT_S2FWB forces write-back.
    fn needs_clean(attributes: Attributes, features: Features) -> bool {
        attributes.memory != MemoryType::WriteBack || !Self::fwb(features)
    }
}
