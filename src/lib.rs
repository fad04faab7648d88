// SPDX-License-Identifier: MIT OR Apache-2.0
//! Guest-physical address spaces for hypervisors: second-stage page tables of Intel EPT, AMD NPT,
//! AArch64 stage 2 and RISC-V G-stage behind one C interface.
//!
//! # Principles
//!
//! 1. The table is the only record: what a page is stands in its entry.
//! 2. No heap, no globals but the logger: all memory comes from the host's frames.
//! 3. Prepare, then commit: what may fail fails before anything changed.
//! 4. A fault has a verdict, the host never dies: no argument and no guest reaches a panic, an endless
//!    loop or a wild access.
//! 5. The cost is a walk, not a search: range operations move over entries, not from the root to each
//!    page, and a table's entry says how full the table is.
//! 6. Formats are data: all of one format is in one file behind one trait.
//!
//! # The house
//!
//! ```text
//! ffi            the C boundary: the only `extern "C"`
//! tables         tables read from a dump, for tools on a host (feature std)
//!  address_space the calls: arguments checked, lock taken, one act of the engine, verdicts counted
//!   npt          the engine. Exclusive acts: map, unmap, replace, protect, populate, keep, in slices; `page` is
//!                the short way for one page. Beside each other: fault, fill, look. Below them, each
//!                on those behind it: split, reap; content; edges, sweep; stock; table; entry; units
//!    npt::arch   one file for each format
//! hal            what the host gives, made safe: frames, windows, flush requests, arena
//! fault          decoders of guest aborts
//! device         where devices answer: MMIO, ports, system registers
//! abi            the types and constants that cross the boundary
//! addr, flags, error, logging
//! ```
//!
//! Calls go down only; `hal` is reached through what the space holds. `unsafe` is in `ffi` (pointers of
//! the caller), `hal` and `logging` (callbacks, frames, instructions), `npt::table` and `npt::page` (entries),
//! `npt::stock` with `sync` (links in frames that are no tables yet), where a space is placed into its storage
//! (`address_space::create`, `npt::lock`) and where a call that holds it alone takes its work memory
//! (`address_space::map`).

#![no_std]
#![allow(non_camel_case_types)]
#![deny(missing_docs, unsafe_op_in_unsafe_fn, clippy::undocumented_unsafe_blocks)]
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used
    )
)]

#[cfg(not(any(
    feature = "intel-ept",
    feature = "amd-npt",
    feature = "arm-stage2",
    feature = "riscv-gstage"
)))]
compile_error!("choose a format: intel-ept, amd-npt, arm-stage2, riscv-gstage");

#[cfg(any(test, feature = "std"))]
extern crate std;

pub mod abi;
pub mod addr;
pub mod address_space;
pub mod device;
pub mod error;
pub mod fault;
mod ffi;
pub mod flags;
pub mod hal;
mod logging;
#[cfg(all(loom, test))]
mod model;
pub mod npt;
mod sync;
#[cfg(feature = "std")]
pub mod tables;

/// Never reached: the library has no panicking operation. A debug build may keep some.
#[cfg(all(feature = "panic-handler", not(any(test, feature = "std"))))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
