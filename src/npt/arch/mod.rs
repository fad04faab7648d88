// SPDX-License-Identifier: MIT OR Apache-2.0
//! What differs between the formats, one file each, behind one trait.
//!
//! The engine knows states ([`super::entry::State`]); the bits that say them, the shape of the root,
//! the register values and the rules of invalidation are here. Nothing outside this module looks at
//! a valid bit.

#[cfg(feature = "amd-npt")]
mod amd_npt;
#[cfg(feature = "arm-stage2")]
mod arm_stage2;
#[cfg(feature = "intel-ept")]
mod intel_ept;
#[cfg(feature = "riscv-gstage")]
mod riscv_gstage;

#[cfg(feature = "amd-npt")]
pub use amd_npt::AmdNpt;
#[cfg(feature = "arm-stage2")]
pub use arm_stage2::ArmStage2;
#[cfg(feature = "intel-ept")]
pub use intel_ept::IntelEpt;
#[cfg(feature = "riscv-gstage")]
pub use riscv_gstage::RiscvGstage;

use core::fmt::Debug;

use crate::abi::{
    AXAS_FEATURE_1G_PAGES, AXAS_IGNORE_GUEST_PAT, AXAS_IO, AXAS_NONCOHERENT_WALK, axas_hw_regs_t,
};
use crate::error::{Error, Result};
use crate::flags::{Attributes, Permissions, Tag};

/// The entry formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum FormatId {
    /// Intel extended page tables.
    Ept = crate::abi::AXAS_FORMAT_EPT,
    /// AMD nested page tables.
    Npt = crate::abi::AXAS_FORMAT_NPT,
    /// AArch64 stage 2.
    ArmStage2 = crate::abi::AXAS_FORMAT_ARM_S2,
    /// RISC-V G-stage.
    RiscvGstage = crate::abi::AXAS_FORMAT_RISCV_GSTAGE,
}

/// Features that the host declared, as in `axas_config_t`, and above them the options that change what a feature would
/// change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features(pub u32);

/// Bits from an option to its place among features.
const OPTION_SHIFT: u32 = 23;
/// The options that are among features.
const FEATURE_OPTIONS: u32 = AXAS_IGNORE_GUEST_PAT
    | AXAS_NONCOHERENT_WALK
    | if super::io::IS_BUILT_IN { AXAS_IO } else { 0 };

impl Features {
    /// cbindgen:ignore
    /// The option `AXAS_IGNORE_GUEST_PAT`.
    pub const IGNORE_GUEST_PAT: u32 = AXAS_IGNORE_GUEST_PAT << OPTION_SHIFT;
    /// cbindgen:ignore
    /// The option `AXAS_NONCOHERENT_WALK`.
    pub const NONCOHERENT_WALK: u32 = AXAS_NONCOHERENT_WALK << OPTION_SHIFT;
    /// cbindgen:ignore
    /// The option `AXAS_IO`, if the part is built in.
    pub const IO: u32 = AXAS_IO << OPTION_SHIFT;

    /// Features and options of `axas_config_t`.
    pub fn new(features: u32, options: u32) -> Self {
        Self(features | (options & FEATURE_OPTIONS) << OPTION_SHIFT)
    }

    /// Whether a feature of `axas_config_t` was declared.
    pub const fn has(self, feature: u32) -> bool {
        self.0 & feature != 0
    }
}

/// What the host asked for; zero where it leaves the choice.
#[derive(Clone, Copy, Debug)]
pub struct ShapeRequest {
    /// Levels of tables.
    pub levels: u32,
    /// Width of guest-physical addresses.
    pub gpa_bits: u32,
    /// Width of host-physical addresses.
    pub pa_bits: u32,
    /// Width that the space needs.
    pub needed_bits: u32,
}

/// The shape of a space's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Levels of tables; entries of level 1 map 4 KiB.
    pub levels: u32,
    /// Width of guest-physical addresses that the root translates.
    pub gpa_bits: u32,
    /// Width of host-physical addresses.
    pub pa_bits: u32,
    /// The root has `1 << root_order` pages.
    pub root_order: u32,
}

/// What the register values depend on.
#[derive(Clone, Copy, Debug)]
pub struct RootState {
    /// Host-physical address of the root.
    pub root: u64,
    /// VMID or tag.
    pub vmid: u32,
    /// The shape of the tables.
    pub shape: Shape,
    /// Features that the host declared.
    pub features: Features,
}

/// Kind of an invalid entry: three bits that every format has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum InvalidKind {
    /// Not mapped.
    Empty = 0,
    /// A lazy reservation; the payload is its reservation.
    Reserved = 1,
    /// A word of the host's, the cookie of an emulated device; payload and address hold it.
    Mark = 2,
    /// In transition; waits for the exclusive call that made it so.
    Busy = 3,
    /// A frame between detach and reap, or not published yet; the payload says which.
    MovingLeaf = 4,
    /// A page that no walker is to find; the payload has its attributes and owner.
    Hidden = 5,
    /// A table between detach and reap, or not published yet; the payload says which, and the reservation
    /// whose place it takes or that takes its place.
    MovingTable = 6,
    /// A table that no walker is to find; the payload has its occupancy.
    HiddenTable = 7,
}

impl InvalidKind {
    /// The kind with these three bits.
    pub const fn from_bits(bits: u64) -> Self {
        match bits & 7 {
            0 => Self::Empty,
            1 => Self::Reserved,
            2 => Self::Mark,
            3 => Self::Busy,
            4 => Self::MovingLeaf,
            5 => Self::Hidden,
            6 => Self::MovingTable,
            _ => Self::HiddenTable,
        }
    }
}

/// One format of second-stage page tables.
pub trait Format: Copy + Debug + Send + Sync + 'static {
    /// Its number in C.
    const ID: FormatId;
    /// Features of `axas_config_t` that mean something here.
    const FEATURES: u32;
    /// Those of them that would change nothing.
    const UNSUPPORTED_FEATURES: u32 = 0;
    /// An IOMMU can walk tables of this format (`AXAS_IO`).
    const SHARES_WITH_IOMMU: bool = true;
    /// Leaves can overrule the guest's memory type.
    const IGNORES_GUEST_PAT: bool = false;
    /// Fewest levels.
    const MIN_LEVELS: u32;
    /// Most levels.
    const MAX_LEVELS: u32;
    /// Width of the address field.
    const MAX_PA_BITS: u32;
    /// Width of host-physical addresses where neither host nor CPU says.
    const DEFAULT_PA_BITS: u32;
    /// The root may have several pages.
    const WIDE_ROOT: bool;
    /// Pages of 1 GiB exist without [`AXAS_FEATURE_1G_PAGES`].
    const ALWAYS_1G: bool;

    /// The empty entry.
    const EMPTY: u64;
    /// An entry is empty exactly when none of these bits is set.
    const OCCUPIED: u64;
    /// Permission bits of a leaf.
    const PERMISSIONS: u64;
    /// Set in a leaf whose frame is the library's to free.
    const OWNED: u64;
    /// Lowest of the software bits in which an entry that points to a table says how many of the table's
    /// entries are occupied.
    const OCCUPANCY_SHIFT: u32;
    /// The largest value of these bits.
    const OCCUPANCY_MAX: u64;
    /// Lets the hardware write to the page of a leaf now; without it a write faults, also where the mapping
    /// allows it.
    const GATE: u64;
    /// A leaf is dirty, its page written since it was last made clean, if one of these is set.
    const DIRTY: u64;
    /// Set in a leaf whose page was used since it was last made old.
    const YOUNG: u64;
    /// Bits of a leaf in which the host's tag is, of which a space may have fewer.
    const TAG: u64;
    /// Set in a leaf whose mapping allows writes.
    const MAY_WRITE: u64;
    /// Set in a clean leaf that hardware is to open at the first write, where it asks for such a bit.
    const HARDWARE_OPENS: u64 = 0;
    /// Set by hardware in an entry that points to a table when a walk uses it; 0 where there is no such bit.
    const TABLE_YOUNG: u64 = 0;
    /// Set in an entry that points to a table of level 1 all of whose pages were old when no CPU could use one of them
    /// without setting [`Format::TABLE_YOUNG`]; 0 where that bit does not exist or is not looked at.
    const TABLE_COLD: u64 = 0;
    /// A valid entry of level 1 is a leaf of ordinary memory if all of these are set and none of [`Format::DEVICE`];
    /// others may be.
    const PLAIN: u64;
    /// Set in a leaf of device memory, unless [`Format::PLAIN`] says that already.
    const DEVICE: u64 = 0;
    /// An access to an old page faults where hardware does not set [`Format::YOUNG`].
    const OLD_FAULTS: bool = true;

    /// Whether a walker uses the entry.
    fn is_valid(word: u64) -> bool;
    /// Whether a valid entry of `level` is a leaf; none when the level cannot have such an entry.
    fn is_leaf(word: u64, level: u32) -> Option<bool>;
    /// Whether an entry above level 1 points to a table, as the library writes them.
    fn is_table(word: u64) -> bool;
    /// The address in a valid entry.
    fn address(word: u64) -> u64;
    /// An address (or a distance between two) as valid entries hold it.
    fn address_field(address: u64) -> u64;
    /// An entry that points to a table.
    fn table(address: u64) -> u64;
    /// A leaf without its address, young and dirty.
    fn leaf(attributes: Attributes, features: Features, level: u32) -> Result<u64>;
    /// A tag as leaves hold it.
    #[inline(always)]
    fn tag_field(tag: Tag) -> u64 {
        u64::from(tag.get()) << Self::TAG.trailing_zeros()
    }

    /// The tag in a leaf.
    #[inline(always)]
    fn tag(word: u64) -> Tag {
        Tag::new(((word & Self::TAG) >> Self::TAG.trailing_zeros()) as u32)
    }

    /// How many of a tag's bits, from the lowest on, IOMMUs ignore too.
    const IO_TAG_BITS: u32 = Tag::BITS;

    /// How many bits tags have.
    fn tag_bits(features: Features) -> u32 {
        if features.has_io() { Self::IO_TAG_BITS } else { Tag::BITS }
    }

    /// The permissions of a leaf.
    fn permissions_of(word: u64) -> Permissions;
    /// What a leaf says, but for the tag.
    fn attributes(word: u64, features: Features) -> Attributes;
    /// The permissions that a leaf can have: a bit for each value of [`Permissions`].
    fn possible_permissions(features: Features) -> u8;
    /// The permission bits of a leaf that can have them.
    fn permission_bits(permissions: Permissions) -> u64;

    /// The permission bits of a leaf.
    #[inline(always)]
    fn permissions(permissions: Permissions, features: Features) -> Result<u64> {
        let possible = Self::possible_permissions(features).wrapping_shr(permissions.bits());
        if possible & 1 == 0 {
            return Err(Error::Unsupported);
        }
        Ok(Self::permission_bits(permissions))
    }

    /// Whether hardware sets the dirty bits of leaves that are made clean for it.
    fn hardware_sets_dirty(features: Features) -> bool;
    /// Whether hardware sets [`Format::YOUNG`].
    fn hardware_sets_young(features: Features) -> bool;
    /// The host chooses whether hardware sets dirty bits; else it does wherever it can.
    const HARDWARE_BY_CHOICE: bool = true;

    /// A leaf whose page is clean: its next write faults, or is marked by `hardware`.
    #[inline(always)]
    fn clean(word: u64, hardware: bool) -> u64 {
        if !hardware {
            return word & !(Self::DIRTY | Self::GATE | Self::HARDWARE_OPENS);
        }
        let opens = if word & Self::MAY_WRITE != 0 { Self::HARDWARE_OPENS } else { 0 };
        word & !Self::DIRTY | opens
    }

    /// A leaf whose page is dirty, as new ones are.
    #[inline(always)]
    fn dirtied(word: u64) -> u64 {
        // A gate that is no permission is open in every leaf.
        let is_open = word & Self::MAY_WRITE != 0 || Self::GATE & Self::PERMISSIONS == 0;
        let gate = if is_open { Self::GATE } else { 0 };
        word & !Self::HARDWARE_OPENS | Self::DIRTY & !Self::GATE | gate
    }

    /// A leaf of level 1 as one of `level`.
    fn sized(word: u64, level: u32) -> u64;
    /// The leaf of the level below at the same address with the same attributes.
    fn smaller_leaf(word: u64, level: u32) -> u64;

    /// An invalid entry; kinds that carry no address ignore it.
    fn invalid(kind: InvalidKind, payload: u16, address: u64) -> u64;
    /// Kind of an invalid entry.
    fn invalid_kind(word: u64) -> InvalidKind;
    /// Payload of an invalid entry.
    fn payload(word: u64) -> u16;
    /// Address in an invalid entry.
    fn invalid_address(word: u64) -> u64;

    /// Width of guest-physical addresses of a root with so many levels.
    fn width(levels: u32) -> u32;

    /// Pages of the root, as an order.
    fn root_order(levels: u32, gpa_bits: u32) -> u32 {
        let _ = (levels, gpa_bits);
        0
    }

    /// Settles levels and widths.
    #[inline(always)] // Called once.
    fn shape(request: ShapeRequest) -> Result<Shape> {
        common_shape::<Self>(request)
    }

    /// Largest VMID; unsupported where a feature is missing.
    fn check_vmid(vmid: u32, features: Features) -> Result<()> {
        let _ = (vmid, features);
        Ok(())
    }

    /// What to load into the hardware, but for the root's register.
    fn registers(state: RootState) -> axas_hw_regs_t;

    /// The register that names the root.
    fn root_register(state: &RootState) -> u64;

    /// Whether a live leaf must be invalid and flushed before it becomes a table.
    fn breaks_before_make(features: Features) -> bool {
        let _ = features;
        false
    }

    /// Whether walkers may keep invalid entries, so that new ones need a local flush.
    fn caches_invalid(features: Features) -> bool {
        let _ = features;
        false
    }

    /// Whether an entry that gained permissions needs a local flush.
    fn caches_denials() -> bool {
        false
    }

    /// Whether the library can invalidate this format's TLB itself.
    const BUILTIN_FLUSH: bool;

    /// Highest level whose entries may be leaves.
    fn max_leaf_level(features: Features) -> u32 {
        if Self::ALWAYS_1G || features.has(AXAS_FEATURE_1G_PAGES) { 3 } else { 2 }
    }

    /// Whether guest frames that were zeroed through the cache must be cleaned for this mapping.
    fn needs_clean(attributes: Attributes, features: Features) -> bool {
        let _ = features;
        attributes.memory != crate::flags::MemoryType::WriteBack
    }
}

/// The shape where the levels alone decide the width.
#[inline(always)] // Called once.
fn common_shape<F: Format>(request: ShapeRequest) -> Result<Shape> {
    let pa_bits = pa_bits::<F>(request.pa_bits)?;
    let needed = request.needed_bits.max(request.gpa_bits);
    let mut levels = F::MIN_LEVELS;
    while levels < F::MAX_LEVELS && F::width(levels) < needed {
        levels = levels.wrapping_add(1);
    }
    if request.levels != 0 {
        levels = request.levels;
    }
    if !(F::MIN_LEVELS..=F::MAX_LEVELS).contains(&levels) || F::width(levels) < needed {
        return Err(Error::Unsupported);
    }
    if request.gpa_bits != 0 && request.gpa_bits < request.needed_bits {
        return Err(Error::Unsupported);
    }
    let gpa_bits = F::width(levels);
    Ok(Shape { levels, gpa_bits, pa_bits, root_order: F::root_order(levels, gpa_bits) })
}

/// The width of host-physical addresses; narrower than 32 bits no machine is.
fn pa_bits<F: Format>(requested: u32) -> Result<u32> {
    match requested {
        0 => Ok(F::DEFAULT_PA_BITS),
        1..32 => Err(Error::InvalidInput),
        _ if requested > F::MAX_PA_BITS => Err(Error::Unsupported),
        _ => Ok(requested),
    }
}

/// Those that include the permission to read, as values of [`Permissions`]: write without read is a reserved
/// or misconfigured entry on all formats but Arm's.
#[cfg(any(feature = "intel-ept", feature = "amd-npt", feature = "riscv-gstage"))]
const READABLE: u8 = 0b1010_1010;
/// Execute alone.
#[cfg(any(feature = "intel-ept", feature = "riscv-gstage"))]
const EXECUTABLE: u8 = 1 << Permissions::EXECUTE.bits();

/// Puts `width` bits of a value at a place of a word: value bits from `from` on, word bits from `to`.
const fn deposit(value: u16, from: u32, width: u32, to: u32) -> u64 {
    let bits = (value as u64).wrapping_shr(from) & mask(width);
    bits.wrapping_shl(to)
}

/// The reverse of [`deposit`].
const fn extract(word: u64, from: u32, width: u32, to: u32) -> u16 {
    let bits = word.wrapping_shr(from) & mask(width);
    bits.wrapping_shl(to) as u16
}

const fn mask(width: u32) -> u64 {
    1_u64.wrapping_shl(width).wrapping_sub(1)
}

/// The format that is built in, if there is one only.
const ONLY: Option<FormatId> = {
    let has = [
        cfg!(feature = "intel-ept"),
        cfg!(feature = "amd-npt"),
        cfg!(feature = "arm-stage2"),
        cfg!(feature = "riscv-gstage"),
    ];
    match has {
        [true, false, false, false] => Some(FormatId::Ept),
        [false, true, false, false] => Some(FormatId::Npt),
        [false, false, true, false] => Some(FormatId::ArmStage2),
        [false, false, false, true] => Some(FormatId::RiscvGstage),
        _ => None,
    }
};

/// The format of a space, known when one is built in only.
#[inline(always)]
pub(crate) const fn format_of_space(format: FormatId) -> FormatId {
    match ONLY {
        Some(only) => only,
        None => format,
    }
}

/// Runs code with the type of a space's format.
macro_rules! with_space_format {
    ($format:expr, $name:ident => $body:expr) => {
        $crate::npt::arch::with_format!($crate::npt::arch::format_of_space($format), $name => $body)
    };
}
pub(crate) use with_space_format;

/// Runs code with the type of a format.
macro_rules! with_format {
    ($format:expr, $name:ident => $body:expr) => {
        match $format {
            #[cfg(feature = "intel-ept")]
            $crate::npt::arch::FormatId::Ept => {
                type $name = $crate::npt::arch::IntelEpt;
                $body
            }
            #[cfg(feature = "amd-npt")]
            $crate::npt::arch::FormatId::Npt => {
                type $name = $crate::npt::arch::AmdNpt;
                $body
            }
            #[cfg(feature = "arm-stage2")]
            $crate::npt::arch::FormatId::ArmStage2 => {
                type $name = $crate::npt::arch::ArmStage2;
                $body
            }
            #[cfg(feature = "riscv-gstage")]
            $crate::npt::arch::FormatId::RiscvGstage => {
                type $name = $crate::npt::arch::RiscvGstage;
                $body
            }
            #[allow(unreachable_patterns)] // Formats that are not built in.
            _ => Err($crate::error::Error::Unsupported),
        }
    };
}
pub(crate) use with_format;
