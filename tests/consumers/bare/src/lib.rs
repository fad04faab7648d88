// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where a guest's fault was, for a host's exit handler.

#![no_std]

use axaddrspace::fault;

/// The guest-physical address; `u64::MAX` where there is none.
#[unsafe(no_mangle)]
pub extern "C" fn bare_fault_address(exitinfo1: u64, exitinfo2: u64) -> u64 {
    fault::from_npf(exitinfo1, exitinfo2).map_or(u64::MAX, |fault| fault.gpa)
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
