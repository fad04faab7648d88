// SPDX-License-Identifier: MIT OR Apache-2.0
//! Our formats in the terms of `page_table_multiarch`, so that they plug into its tables too.
//!
//! Its `PageTable64` is the oracle of the differential tests. It has limits that the engine here does
//! not have: a root of one 4 KiB frame, 3 or 4 levels, indices that are masked.

use core::fmt::Debug;
use core::marker::PhantomData;

use memory_addr::PhysAddr;
use page_table_multiarch::{GenericPTE, MappingFlags, PagingError, PagingMetaData};

use super::arch::{Features, Format};
use super::entry::Entry;
use crate::addr::{GuestPhysAddr, HostPhysAddr};
use crate::error::Error;
use crate::flags::{Attributes, MemoryType, Permissions};

/// Format `F` with `LEVELS` levels.
#[derive(Clone, Copy, Debug)]
pub struct MetaData<F, const LEVELS: usize>(PhantomData<F>);

impl<F: Format, const LEVELS: usize> PagingMetaData for MetaData<F, LEVELS> {
    const LEVELS: usize = LEVELS;
    const PA_MAX_BITS: usize = F::MAX_PA_BITS as usize;
    /// What a root of one frame resolves.
    const VA_MAX_BITS: usize = 12 + 9 * LEVELS;
    type VirtAddr = GuestPhysAddr;

    fn vaddr_is_valid(vaddr: usize) -> bool {
        vaddr < 1 << Self::VA_MAX_BITS
    }

    /// The tables of `page_table_multiarch` know no VMID: whoever uses them flushes himself.
    fn flush_tlb(_vaddr: Option<GuestPhysAddr>) {}
}

/// The entry in the tables of `page_table_multiarch`: with default features, and without software
/// bits.
impl<F: Format> GenericPTE for Entry<F> {
    fn new_page(paddr: PhysAddr, flags: MappingFlags, is_huge: bool) -> Self {
        let level = if is_huge { 2 } else { 1 };
        F::leaf(flags.into(), Features(0), level)
            .map_or(Self::EMPTY, |word| Self::from_word(word).at(paddr.into()))
    }

    fn new_table(paddr: PhysAddr) -> Self {
        Self::table(paddr.into())
    }

    fn paddr(&self) -> PhysAddr {
        if F::is_valid(self.word()) { self.address().into() } else { PhysAddr::from(0) }
    }

    fn flags(&self) -> MappingFlags {
        if F::is_valid(self.word()) {
            F::attributes(self.word(), Features(0)).into()
        } else {
            MappingFlags::empty()
        }
    }

    fn set_paddr(&mut self, paddr: PhysAddr) {
        let old = F::address_field(F::address(self.word()));
        let new = F::address_field(paddr.as_usize() as u64);
        *self = Self::from_word(self.word() & !old | new);
    }

    fn set_flags(&mut self, flags: MappingFlags, is_huge: bool) {
        *self = Self::new_page(self.paddr(), flags, is_huge);
    }

    fn bits(self) -> usize {
        self.word() as usize
    }

    fn is_unused(&self) -> bool {
        self.is_empty()
    }

    fn is_present(&self) -> bool {
        F::is_valid(self.word())
    }

    fn is_huge(&self) -> bool {
        F::is_valid(self.word()) && F::is_leaf(self.word(), 2) == Some(true)
    }

    fn clear(&mut self) {
        *self = Self::EMPTY;
    }
}

// What makes it one of memory_addr's.
impl From<usize> for GuestPhysAddr {
    fn from(address: usize) -> Self {
        Self::from_usize(address)
    }
}

impl From<GuestPhysAddr> for usize {
    fn from(address: GuestPhysAddr) -> Self {
        address.as_usize()
    }
}

impl From<PhysAddr> for HostPhysAddr {
    fn from(address: PhysAddr) -> Self {
        Self::from_usize(address.as_usize())
    }
}

impl From<HostPhysAddr> for PhysAddr {
    fn from(address: HostPhysAddr) -> Self {
        Self::from_usize(address.as_usize())
    }
}

impl From<MappingFlags> for Attributes {
    fn from(flags: MappingFlags) -> Self {
        let memory = if flags.contains(MappingFlags::DEVICE) {
            MemoryType::Device
        } else if flags.contains(MappingFlags::UNCACHED) {
            MemoryType::Uncached
        } else {
            MemoryType::WriteBack
        };
        Self::new(Permissions::from_bits_truncate(flags.bits() as u32), memory)
    }
}

impl From<Attributes> for MappingFlags {
    fn from(attributes: Attributes) -> Self {
        let memory = if attributes.memory.is_device() {
            Self::DEVICE
        } else if attributes.memory == MemoryType::WriteBack {
            Self::empty()
        } else {
            Self::UNCACHED
        };
        Self::from_bits_truncate(attributes.permissions.bits() as usize) | memory
    }
}

impl From<PagingError> for Error {
    fn from(error: PagingError) -> Self {
        match error {
            PagingError::NoMemory => Self::NoMemory,
            PagingError::NotAligned => Self::InvalidInput,
            PagingError::NotMapped => Self::NotMapped,
            PagingError::AlreadyMapped => Self::AlreadyExists,
            PagingError::MappedToHugePage => Self::BadState,
        }
    }
}
