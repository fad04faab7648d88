// SPDX-License-Identifier: MIT OR Apache-2.0
//! What crosses the C boundary: constants and `repr(C)` types, layout only, no logic.
//!
//! It stands at the bottom of the house so that every floor may speak of a mapping or a TLB
//! request without knowing of the functions in `crate::ffi`. The comments here are the
//! comments of `include/axaddrspace.h`.

mod constants;
mod types;

pub use constants::*;
pub use types::*;
