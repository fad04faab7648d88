//! Addresses and checked ranges.

use memory_addr::{AddrRange, def_usize_addr, def_usize_addr_formatter};

use crate::error::{Error, Result};

/// A host-physical address.
pub use memory_addr::PhysAddr as HostPhysAddr;

def_usize_addr! {
    /// A guest-physical address.
    pub type GuestPhysAddr;
}

def_usize_addr_formatter! {
    GuestPhysAddr = "GPA:{}";
}

/// A range of guest-physical addresses that does not wrap.
pub type GuestRange = AddrRange<GuestPhysAddr>;

/// Bytes of the smallest page.
pub(crate) const PAGE_SIZE: u64 = 4096;

/// The number behind an address, as the entries and the C interface have it.
///
/// The library is for 64-bit hosts only, so that nothing is lost either way.
pub(crate) trait Bits: Copy {
    fn bits(self) -> u64;
    fn from_bits(bits: u64) -> Self;
}

impl Bits for GuestPhysAddr {
    fn bits(self) -> u64 {
        self.as_usize() as u64
    }

    fn from_bits(bits: u64) -> Self {
        Self::from_usize(bits as usize)
    }
}

impl Bits for HostPhysAddr {
    fn bits(self) -> u64 {
        self.as_usize() as u64
    }

    fn from_bits(bits: u64) -> Self {
        Self::from_usize(bits as usize)
    }
}

const _: () = assert!(usize::BITS == 64, "64-bit hosts only");

/// Whether an address or a size is a multiple of the smallest page.
pub(crate) const fn is_page_aligned(bits: u64) -> bool {
    bits & (PAGE_SIZE - 1) == 0
}

/// `[start, start + size)`, if it does not overflow.
pub(crate) fn guest_range(start: u64, size: u64) -> Result<GuestRange> {
    let end = start.checked_add(size).ok_or(Error::InvalidInput)?;
    GuestRange::try_new(GuestPhysAddr::from_bits(start), GuestPhysAddr::from_bits(end))
        .ok_or(Error::InvalidInput)
}
