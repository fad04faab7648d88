//! The C boundary: every `extern "C"` function of the library and nothing else.
//!
//! A function here checks its pointers, converts, calls the core and turns the error into a
//! status. What a call means, asks for and leaves behind stands in its comment, which becomes the
//! comment in `include/axaddrspace.h`.

// In the order in which they stand in the header.
mod life_cycle;

mod arena;

mod frame;

mod mapping;

mod fault;

mod device;

mod inspect;

mod memory;

mod logging;

use crate::abi::*;
use crate::address_space::AddressSpace;
use crate::error::{Error, Result};

/// A guest-physical address space. Opaque: pointers to it come from axas_create or axas_create_in.
pub struct axas_t {
    _opaque: [u8; 0],
}

/// The space behind a handle.
///
/// # Safety
/// `handle` is null or came from `axas_create` or `axas_create_in` and was not destroyed since;
/// nobody destroys it while the reference lives.
unsafe fn space<'a>(handle: *const axas_t) -> Result<&'a AddressSpace> {
    let handle = handle.cast::<AddressSpace>();
    if !handle.is_aligned() {
        return Err(Error::InvalidInput);
    }
    // SAFETY: 1. by the caller's promise the handle is null or points to a live `AddressSpace`;
    // 2. aligned; 3. after creation only shared references to it exist.
    unsafe { handle.as_ref() }.ok_or(Error::InvalidInput)
}

/// Stores a result where the host wants it.
///
/// # Safety
/// `place` is null or valid for a write of `T`.
unsafe fn put<T>(place: *mut T, value: T) -> Result<()> {
    if place.is_null() || !place.is_aligned() {
        return Err(Error::InvalidInput);
    }
    // SAFETY: 1. not null, aligned; 2. valid for a write by the caller's promise.
    unsafe { place.write(value) };
    Ok(())
}

fn status(result: Result<()>) -> axas_status_t {
    match result {
        Ok(()) => AXAS_OK,
        Err(error) => error.status(),
    }
}
