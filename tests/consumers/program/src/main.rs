// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the syndrome of a guest's write, and lives through a panic of its own.

use std::panic;

use axaddrspace::abi::{AXAS_READ, AXAS_WRITE};
use axaddrspace::fault;

fn main() {
    // A data write to a page that is not mapped.
    let fault = fault::from_npf(1 << 32 | 2, 0x8000_0123).expect("a fault");
    assert_eq!((fault.gpa, fault.access & (AXAS_READ | AXAS_WRITE)), (0x8000_0123, AXAS_WRITE));
    panic::catch_unwind(|| panic::resume_unwind(Box::new(()))).expect_err("a panic");
}
