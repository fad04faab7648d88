// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mapping flags: permissions, memory types, options, and their way to and from C.

use bitflags::bitflags;

use crate::abi::*;
use crate::error::{Error, Result};

bitflags! {
    /// What a guest may do.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Permissions: u32 {
        /// Data reads.
        const READ = AXAS_READ;
        /// Data writes.
        const WRITE = AXAS_WRITE;
        /// Instruction fetches.
        const EXECUTE = AXAS_EXECUTE;
    }

    /// How a call goes about its work.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct MapOptions: u32 {
        /// Take all frames now.
        const POPULATE = AXAS_POPULATE;
        /// 4 KiB pages only.
        const NO_HUGE = AXAS_NO_HUGE;
        /// No page larger than 2 MiB.
        const MAX_2M = AXAS_MAX_2M;
        /// Take frames larger than 4 KiB.
        const HUGE_FRAMES = AXAS_HUGE_FRAMES;
        /// No executable page larger than 4 KiB.
        const NO_HUGE_EXEC = AXAS_NO_HUGE_EXEC;
        /// Replace the mappings of the range.
        const REPLACE = AXAS_REPLACE;
        /// Count the tables of a lazy reservation.
        const NEED_LAZY = AXAS_NEED_LAZY;
        /// Do not zero the frames.
        const SKIP_ZERO = AXAS_SKIP_ZERO;
    }
}

/// How memory behaves; the values fit the four bits that a reservation has for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum MemoryType {
    /// Normal cacheable memory.
    WriteBack = 0,
    /// The format's usual type for devices.
    Device = 1,
    /// Normal memory that is not cached.
    Uncached = 2,
    /// Write combining.
    WriteCombine = 3,
    /// Write through.
    WriteThrough = 4,
    /// Device-nGnRnE.
    DeviceNgnrne = 5,
    /// Device-nGRE.
    DeviceNgre = 6,
    /// Device-GRE.
    DeviceGre = 7,
}

impl MemoryType {
    /// Every type, at the place of its value.
    pub const ALL: [Self; 8] = [
        Self::WriteBack,
        Self::Device,
        Self::Uncached,
        Self::WriteCombine,
        Self::WriteThrough,
        Self::DeviceNgnrne,
        Self::DeviceNgre,
        Self::DeviceGre,
    ];

    /// The type's flag in C; write-back has none.
    pub const fn flag(self) -> axas_flags_t {
        match self {
            Self::WriteBack => 0,
            Self::Device => AXAS_DEVICE,
            Self::Uncached => AXAS_UNCACHED,
            Self::WriteCombine => AXAS_WRITE_COMBINE,
            Self::WriteThrough => AXAS_WRITE_THROUGH,
            Self::DeviceNgnrne => AXAS_DEVICE_NGNRNE,
            Self::DeviceNgre => AXAS_DEVICE_NGRE,
            Self::DeviceGre => AXAS_DEVICE_GRE,
        }
    }

    /// The type for exactly these flags; none for two at once.
    pub fn from_flag(flag: axas_flags_t) -> Option<Self> {
        Self::ALL.into_iter().find(|memory| memory.flag() == flag)
    }

    /// The type with this value.
    pub(crate) fn from_value(value: u16) -> Option<Self> {
        // Not by place: the values are themselves.
        match value {
            0 => Some(Self::WriteBack),
            1 => Some(Self::Device),
            2 => Some(Self::Uncached),
            3 => Some(Self::WriteCombine),
            4 => Some(Self::WriteThrough),
            5 => Some(Self::DeviceNgnrne),
            6 => Some(Self::DeviceNgre),
            7 => Some(Self::DeviceGre),
            _ => None,
        }
    }

    /// Memory of devices, whatever its exact type.
    pub const fn is_device(self) -> bool {
        matches!(self, Self::Device | Self::DeviceNgnrne | Self::DeviceNgre | Self::DeviceGre)
    }
}

/// The flags of all types but write-back, which has none.
pub(crate) const MEMORY_TYPES: axas_flags_t = AXAS_DEVICE
    | AXAS_UNCACHED
    | AXAS_WRITE_COMBINE
    | AXAS_WRITE_THROUGH
    | AXAS_DEVICE_NGNRNE
    | AXAS_DEVICE_NGRE
    | AXAS_DEVICE_GRE;

/// A number of the host's that an entry keeps for it. Nothing at all where part `tags` is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tag(#[cfg(feature = "tags")] u8);

impl Tag {
    /// Tag 0, which everything has that was given no other.
    pub const NONE: Self = Self::new(0);
    /// Bits of a tag.
    pub const BITS: u32 = if cfg!(feature = "tags") { 4 } else { 0 };

    /// The tag with a number, of which the low bits count.
    pub const fn new(number: u32) -> Self {
        let _ = number;
        Self(
            #[cfg(feature = "tags")]
            {
                (number & 15) as u8
            },
        )
    }

    /// Its number.
    pub const fn get(self) -> u32 {
        #[cfg(feature = "tags")]
        return self.0 as u32;
        #[cfg(not(feature = "tags"))]
        0
    }

    /// The flags that say the same in C.
    pub const fn flags(self) -> axas_flags_t {
        self.get() << AXAS_TAG_SHIFT
    }

    /// The tag among flags, in a space whose tags have so many bits.
    pub(crate) const fn parse(flags: axas_flags_t, bits: u32) -> Result<Self> {
        let number = (flags & AXAS_TAG_MASK) >> AXAS_TAG_SHIFT;
        if number.wrapping_shr(bits) == 0 { Ok(Self::new(number)) } else { Err(Error::Unsupported) }
    }
}

/// What an entry says of its page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// What the guest may do.
    pub permissions: Permissions,
    /// How the memory behaves.
    pub memory: MemoryType,
    /// The host's tag.
    pub tag: Tag,
}

impl Attributes {
    /// Attributes without a tag.
    pub const fn new(permissions: Permissions, memory: MemoryType) -> Self {
        Self { permissions, memory, tag: Tag::NONE }
    }

    /// The flags that say the same in C.
    pub const fn flags(self) -> axas_flags_t {
        self.untagged_flags() | self.tag.flags()
    }

    /// As [`Attributes::flags`], without the tag.
    pub(crate) const fn untagged_flags(self) -> axas_flags_t {
        self.permissions.bits() | self.memory.flag()
    }
}

/// The flags of a call that maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MapFlags {
    pub(crate) attributes: Attributes,
    pub(crate) options: MapOptions,
}

impl MapFlags {
    /// Reads the flags of a call that knows the options `allowed`, in a space whose tags have `tag_bits` bits.
    pub(crate) fn parse(flags: axas_flags_t, allowed: MapOptions, tag_bits: u32) -> Result<Self> {
        let known =
            Permissions::all().bits() | AXAS_USER | MEMORY_TYPES | AXAS_TAG_MASK | allowed.bits();
        if flags & !known != 0 {
            return Err(Error::InvalidInput);
        }
        let options = MapOptions::from_bits_truncate(flags);
        if options.contains(MapOptions::HUGE_FRAMES | MapOptions::NO_HUGE) {
            return Err(Error::InvalidInput);
        }
        let memory = MemoryType::from_flag(flags & MEMORY_TYPES).ok_or(Error::InvalidInput)?;
        let permissions = Permissions::from_bits_truncate(flags);
        let attributes = Attributes { permissions, memory, tag: Tag::parse(flags, tag_bits)? };
        Ok(Self { attributes, options })
    }
}

impl Permissions {
    /// That there is one. Pages of the host's may have none where the library can hide pages (part `hide`).
    pub(crate) fn check_some(self) -> Result<()> {
        if self.is_empty() { Err(Error::InvalidInput) } else { Ok(()) }
    }

    /// As [`Permissions::check_some`], of a page that is mapped at once.
    pub(crate) fn check_page(self) -> Result<()> {
        if cfg!(feature = "hide") { Ok(()) } else { self.check_some() }
    }
}
