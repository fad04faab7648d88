// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the devices of a guest answer: memory-mapped registers, I/O ports, system registers. Pure.
//!
//! Ranges are plain data that a host may also fill in itself; one that the constructor refuses contains
//! nothing and overlaps nothing.

use core::ops::RangeInclusive;

use crate::abi::*;
use crate::error::{Error, Result};

/// The width that has this many bytes.
pub fn width_from_bytes(bytes: u64) -> Result<axas_width_t> {
    match u32::try_from(bytes) {
        Ok(width) if is_width(width) => Ok(width),
        _ => Err(Error::InvalidInput),
    }
}

/// The bits that an access of this width carries; none for an unknown width.
pub fn width_mask(width: axas_width_t) -> u64 {
    if !is_width(width) {
        return 0;
    }
    u64::MAX.wrapping_shr(u64::BITS.wrapping_sub(width.wrapping_mul(8)))
}

fn is_width(width: axas_width_t) -> bool {
    matches!(width, AXAS_WIDTH_8 | AXAS_WIDTH_16 | AXAS_WIDTH_32 | AXAS_WIDTH_64)
}

impl axas_mmio_range_t {
    /// A range that is not empty and does not wrap; it may end with the last address.
    pub fn new(gpa: axas_gpa_t, size: u64) -> Result<Self> {
        checked(Self { gpa, size }, Self::span)
    }

    /// Whether every byte of an access lies in the range.
    pub fn contains(&self, gpa: axas_gpa_t, width: axas_width_t) -> bool {
        is_width(width) && covers(&self.span(), gpa, width)
    }

    /// Whether the ranges have a byte in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        meet(&self.span(), &other.span())
    }

    fn span(&self) -> RangeInclusive<u64> {
        match self.size.checked_sub(1).and_then(|rest| self.gpa.checked_add(rest)) {
            Some(last) => self.gpa..=last,
            None => RangeInclusive::new(1, 0),
        }
    }
}

impl axas_port_range_t {
    /// A range from its first port to its last, both included.
    pub fn new(first: u16, last: u16) -> Result<Self> {
        checked(Self { first, last }, Self::span)
    }

    /// Whether every byte of an access lies in the range; no access to a port has 64 bits.
    pub fn contains(&self, port: u16, width: axas_width_t) -> bool {
        is_width(width) && width != AXAS_WIDTH_64 && covers(&self.span(), port.into(), width)
    }

    /// Whether the ranges have a port in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        meet(&self.span(), &other.span())
    }

    fn span(&self) -> RangeInclusive<u64> {
        self.first.into()..=self.last.into()
    }
}

impl axas_sysreg_range_t {
    /// A range from its first encoding to its last, both included.
    pub fn new(first: u32, last: u32) -> Result<Self> {
        checked(Self { first, last }, Self::span)
    }

    /// Whether a register lies in the range.
    pub fn contains(&self, encoding: u32) -> bool {
        self.span().contains(&encoding.into())
    }

    /// Whether the ranges have a register in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        meet(&self.span(), &other.span())
    }

    fn span(&self) -> RangeInclusive<u64> {
        self.first.into()..=self.last.into()
    }
}

fn checked<T>(range: T, span: fn(&T) -> RangeInclusive<u64>) -> Result<T> {
    if span(&range).is_empty() { Err(Error::InvalidInput) } else { Ok(range) }
}

fn covers(span: &RangeInclusive<u64>, first: u64, bytes: u32) -> bool {
    let last = first.checked_add(u64::from(bytes).saturating_sub(1));
    span.contains(&first) && last.is_some_and(|last| span.contains(&last))
}

fn meet(one: &RangeInclusive<u64>, other: &RangeInclusive<u64>) -> bool {
    !one.is_empty() && !other.is_empty() && one.start() <= other.end() && other.start() <= one.end()
}
