// SPDX-License-Identifier: MIT OR Apache-2.0
//! Frames that a host takes for itself, through the checks that the library's own frames go through.

use super::{Host, Purpose, native_pa_bits};
use crate::abi::*;
use crate::addr::{Bits, HostPhysAddr, PAGE_SIZE};
use crate::error::{Error, Result};

/// The largest frame that a host is asked for: 1 GiB.
const MOST_ORDER: u32 = 18;
/// The widest host-physical address that any format has (RISC-V).
const MOST_PA_BITS: u32 = 56;

/// What holds no frame.
pub(crate) const NO_FRAME: axas_frame_t =
    axas_frame_t { hpa: AXAS_HPA_INVALID, bytes: 0, order: 0, reserved: 0 };

/// Narrows the addresses of a host to what hardware has: no format says less about frames that no table
/// names.
pub(crate) fn narrow(host: &mut Host) {
    host.set_pa_bits(native_pa_bits().unwrap_or(MOST_PA_BITS));
}

/// Takes a frame, and zeroes it if `zero` is 1 and not 0.
pub(crate) fn take(host: &Host, order: u32, zero: u32) -> Result<axas_frame_t> {
    if order > MOST_ORDER || zero > 1 {
        return Err(Error::InvalidInput);
    }
    let address = host.take(order, Purpose::Host)?;
    let bytes = PAGE_SIZE.wrapping_shl(order);
    let frame = axas_frame_t { hpa: address.bits(), bytes, order, ..NO_FRAME };
    if zero == 1 {
        fill(host, &frame, 0).inspect_err(|_| host.give(address, order, Purpose::Host))?;
    }
    Ok(frame)
}

/// Gives a frame back.
pub(crate) fn give(host: &Host, frame: &axas_frame_t) -> Result<()> {
    host.give(address_of(frame)?, frame.order, Purpose::Host);
    Ok(())
}

/// Writes one value to each byte of a frame.
pub(crate) fn fill(host: &Host, frame: &axas_frame_t, byte: u8) -> Result<()> {
    host.for_each_page(address_of(frame)?, frame.order, |page| {
        // SAFETY: a window is open on the page, of a frame that is the host's, who asked for this.
        unsafe { page.as_ptr().write_bytes(byte, PAGE_SIZE as usize) }
    })
}

/// Where a frame is, if this is one that `take` made.
fn address_of(frame: &axas_frame_t) -> Result<HostPhysAddr> {
    let made_by_take = frame.order <= MOST_ORDER
        && frame.bytes == PAGE_SIZE.wrapping_shl(frame.order)
        && frame.hpa & frame.bytes.wrapping_sub(1) == 0
        && frame.reserved == 0;
    if made_by_take { Ok(HostPhysAddr::from_bits(frame.hpa)) } else { Err(Error::InvalidInput) }
}
