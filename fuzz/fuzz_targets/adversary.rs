// SPDX-License-Identifier: MIT OR Apache-2.0
//! A host whose callbacks lie: adversary.c.
#![no_main]

// The functions that the C code calls.
use axaddrspace as _;
use libfuzzer_sys::fuzz_target;

unsafe extern "C" {
    fn fuzz_adversary(data: *const u8, bytes: usize);
}

fuzz_target!(|data: &[u8]| {
    // SAFETY: the bytes are readable for the call.
    unsafe { fuzz_adversary(data.as_ptr(), data.len()) }
});
