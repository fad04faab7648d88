// SPDX-License-Identifier: MIT OR Apache-2.0
//! Addresses and checked ranges.

use core::fmt;

use crate::error::{Error, Result};

/// A type for the addresses of one address space.
macro_rules! address {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[repr(transparent)]
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(usize);

        impl $name {
            /// The address with this number.
            pub const fn from_usize(address: usize) -> Self {
                Self(address)
            }

            /// The number of this address.
            pub const fn as_usize(self) -> usize {
                self.0
            }

            /// The address with these bits.
            #[inline(always)]
            pub(crate) const fn new(bits: u64) -> Self {
                Self(bits as usize)
            }

            /// The address so many bytes further.
            #[inline(always)]
            pub(crate) const fn plus(self, bytes: u64) -> Self {
                debug_assert!(self.0.checked_add(bytes as usize).is_some());
                Self(self.0.wrapping_add(bytes as usize))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, ":{:#x}"), self.0)
            }
        }

        impl Bits for $name {
            fn bits(self) -> u64 {
                self.0 as u64
            }

            fn from_bits(bits: u64) -> Self {
                Self(bits as usize)
            }
        }
    };
}

address! {
    /// A guest-physical address.
    GuestPhysAddr, "GPA"
}

address! {
    /// A host-physical address.
    HostPhysAddr, "HPA"
}

/// A range of guest-physical addresses that does not wrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestRange {
    /// The first address.
    pub start: GuestPhysAddr,
    /// The address behind the last one.
    pub end: GuestPhysAddr,
}

impl GuestRange {
    /// `[start, end)`, unless it ends before it starts.
    pub fn try_new(start: GuestPhysAddr, end: GuestPhysAddr) -> Option<Self> {
        (start <= end).then_some(Self { start, end })
    }

    /// Whether the byte at an address is in it.
    pub fn contains(self, address: GuestPhysAddr) -> bool {
        self.start <= address && address < self.end
    }
}

/// Bytes of the smallest page.
pub(crate) const PAGE_SIZE: u64 = 4096;

/// The number behind an address, as the entries and the C interface have it.
///
/// The library is for 64-bit hosts only, so that nothing is lost either way.
pub(crate) trait Bits: Copy {
    fn bits(self) -> u64;
    fn from_bits(bits: u64) -> Self;
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
