// SPDX-License-Identifier: MIT OR Apache-2.0
use super::{checked, made, put};
use crate::abi::*;
use crate::device;

/// The width of an access of this many bytes. Pure.
///
/// @param bytes 1, 2, 4 or 8.
/// @param width Receives the width, whose value is the number of bytes; untouched after an error.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, or another number.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_width_from_bytes(
    bytes: u64,
    width: *mut axas_width_t,
) -> axas_status_t {
    // SAFETY: `width` is null or valid for a write.
    unsafe { made("axas_width_from_bytes", [bytes], width, || device::width_from_bytes(bytes)) }
}

/// The bits that an access of this width carries: 0xff for AXAS_WIDTH_8; 0 for an unknown width. Pure.
#[unsafe(no_mangle)]
pub extern "C" fn axas_width_mask(width: axas_width_t) -> u64 {
    device::width_mask(width)
}

/// Makes the range of a device's memory-mapped registers. Pure.
///
/// @param gpa First guest-physical address, any alignment.
/// @param size Bytes, not 0. The range may end with the last address, 2^64 - 1.
/// @param range Receives the range; untouched after an error.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, size 0, gpa + size above 2^64.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_mmio_range(
    gpa: axas_gpa_t,
    size: u64,
    range: *mut axas_mmio_range_t,
) -> axas_status_t {
    // SAFETY: `range` is null or valid for a write.
    let outcome = axas_mmio_range_t::new(gpa, size).and_then(|made| unsafe { put(range, made) });
    checked("axas_mmio_range", [gpa, size], outcome)
}

/// Nonzero when every byte of an access lies in the range; 0 for null and for an unknown width. Pure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn axas_mmio_contains(
    range: *const axas_mmio_range_t,
    gpa: axas_gpa_t,
    width: axas_width_t,
) -> u32 {
    // SAFETY: `range` is null or valid for reads.
    unsafe { holds(range, |range| range.contains(gpa, width)) }
}

/// Nonzero when the ranges have a byte in common; 0 for null. Pure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn axas_mmio_overlaps(
    range: *const axas_mmio_range_t,
    other: *const axas_mmio_range_t,
) -> u32 {
    // SAFETY: both are null or valid for reads.
    unsafe { hold(range, other, axas_mmio_range_t::overlaps) }
}

/// Makes a range of I/O ports. Pure.
///
/// @param first First port.
/// @param last Last port, included: 0 to 0xffff are all ports.
/// @param range Receives the range; untouched after an error.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, last below first.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_port_range(
    first: u16,
    last: u16,
    range: *mut axas_port_range_t,
) -> axas_status_t {
    // SAFETY: `range` is null or valid for a write.
    let outcome = axas_port_range_t::new(first, last).and_then(|made| unsafe { put(range, made) });
    checked("axas_port_range", [first.into(), last.into()], outcome)
}

/// Nonzero when every port of an access lies in the range: an access of 32 bits takes four. 0 for null,
/// an unknown width, and AXAS_WIDTH_64, which IN and OUT do not have. Pure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn axas_port_contains(
    range: *const axas_port_range_t,
    port: u16,
    width: axas_width_t,
) -> u32 {
    // SAFETY: `range` is null or valid for reads.
    unsafe { holds(range, |range| range.contains(port, width)) }
}

/// Nonzero when the ranges have a port in common; 0 for null. Pure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn axas_port_overlaps(
    range: *const axas_port_range_t,
    other: *const axas_port_range_t,
) -> u32 {
    // SAFETY: both are null or valid for reads.
    unsafe { hold(range, other, axas_port_range_t::overlaps) }
}

/// Makes a range of system registers. Pure.
///
/// @param first First encoding, in whatever numbering the host traps them: an MSR's index, the fields
///   of an AArch64 MRS syndrome, a CSR's number.
/// @param last Last encoding, included.
/// @param range Receives the range; untouched after an error.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, last below first.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_sysreg_range(
    first: u32,
    last: u32,
    range: *mut axas_sysreg_range_t,
) -> axas_status_t {
    // SAFETY: `range` is null or valid for a write.
    let outcome =
        axas_sysreg_range_t::new(first, last).and_then(|made| unsafe { put(range, made) });
    checked("axas_sysreg_range", [first.into(), last.into()], outcome)
}

/// Nonzero when the register lies in the range; 0 for null. Pure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn axas_sysreg_contains(
    range: *const axas_sysreg_range_t,
    encoding: u32,
) -> u32 {
    // SAFETY: `range` is null or valid for reads.
    unsafe { holds(range, |range| range.contains(encoding)) }
}

/// Nonzero when the ranges have a register in common; 0 for null. Pure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn axas_sysreg_overlaps(
    range: *const axas_sysreg_range_t,
    other: *const axas_sysreg_range_t,
) -> u32 {
    // SAFETY: both are null or valid for reads.
    unsafe { hold(range, other, axas_sysreg_range_t::overlaps) }
}

/// # Safety
/// `range` is null or valid for reads.
unsafe fn holds<T>(range: *const T, question: impl FnOnce(&T) -> bool) -> u32 {
    if !range.is_aligned() {
        return 0;
    }
    // SAFETY: 1. aligned; 2. null or valid for reads by the caller's promise.
    u32::from(unsafe { range.as_ref() }.is_some_and(question))
}

/// # Safety
/// `one` and `other` are null or valid for reads.
unsafe fn hold<T>(one: *const T, other: *const T, question: fn(&T, &T) -> bool) -> u32 {
    // SAFETY: the caller's promise is the one asked for.
    unsafe { holds(one, |one| holds(other, |other| question(one, other)) != 0) }
}
