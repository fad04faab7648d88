// SPDX-License-Identifier: MIT OR Apache-2.0
//! Streams of calls of the C interface against a model: streams.c.
#![no_main]

// The functions that the C code calls.
use axaddrspace as _;
use libfuzzer_sys::fuzz_target;

unsafe extern "C" {
    fn fuzz_stream(data: *const u8, bytes: usize);
}

fuzz_target!(|data: &[u8]| {
    // SAFETY: the bytes are readable for the call.
    unsafe { fuzz_stream(data.as_ptr(), data.len()) }
});
