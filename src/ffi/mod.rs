// SPDX-License-Identifier: MIT OR Apache-2.0
//! The C boundary: every `extern "C"` function of the library and nothing else.
//!
//! A function here checks its pointers, converts, calls the core, turns the error into a status and tells
//! the log of it, in one line. What a call means, asks for and leaves behind stands in its comment, which becomes the
//! comment in `include/axaddrspace.h`.

// In the order in which they stand in the header.
mod life_cycle;

mod mapping;

#[cfg(feature = "merge")]
mod merge;

#[cfg(feature = "dirty")]
mod dirty;

#[cfg(feature = "age")]
mod age;
#[cfg(feature = "hide")]
mod hide;

#[cfg(feature = "transfer")]
mod transfer;

#[cfg(feature = "provider")]
mod provider;

mod fault;

mod inspect;

mod memory;

mod arena;

mod frame;

mod device;

mod logging;

use core::mem::MaybeUninit;

use log::Level;

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
/// it is not destroyed while the reference lives.
unsafe fn space<'a>(handle: *const axas_t) -> Result<&'a AddressSpace> {
    let handle = handle.cast::<AddressSpace>();
    if !handle.is_aligned() {
        return Err(Error::InvalidInput);
    }
    // SAFETY: 1. by the caller's promise the handle is null or points to a live `AddressSpace`;
    // 2. aligned; 3. after creation only shared references to it exist.
    unsafe { handle.as_ref() }.ok_or(Error::InvalidInput)
}

/// Whether a result can be stored there.
fn usable<T>(place: *mut T) -> Result<()> {
    if place.is_null() || !place.is_aligned() { Err(Error::InvalidInput) } else { Ok(()) }
}

/// Stores a result where the host wants it.
///
/// # Safety
/// `place` is null or valid for a write of `T`.
unsafe fn put<T>(place: *mut T, value: T) -> Result<()> {
    usable(place)?;
    // SAFETY: 1. not null, aligned; 2. valid for a write by the caller's promise.
    unsafe { place.write(value) };
    Ok(())
}

/// The status of a call that creates or changes, told to the log.
#[inline(always)]
fn told<const N: usize>(
    call: &'static str,
    arguments: [u64; N],
    outcome: Result<()>,
) -> axas_status_t {
    match outcome {
        Ok(()) if cfg!(feature = "log") && !crate::logging::is_heard(Level::Debug) => AXAS_OK,
        outcome => crate::logging::outcome(call, &arguments, outcome, Level::Warn),
    }
}

/// The status of a call that is refused because of the host, told to the log.
#[inline(always)]
fn refused<const N: usize>(call: &'static str, arguments: [u64; N], error: Error) -> axas_status_t {
    crate::logging::outcome(call, &arguments, Err(error), Level::Warn)
}

/// The status of a call that is refused because of what a guest may have chosen, told to the log.
#[inline(always)]
fn missed<const N: usize>(call: &'static str, arguments: [u64; N], error: Error) -> axas_status_t {
    crate::logging::outcome(call, &arguments, Err(error), Level::Debug)
}

/// The status of a call that only the host's mistakes can end, told to the log if they do.
#[inline(always)]
fn checked<const N: usize>(
    call: &'static str,
    arguments: [u64; N],
    outcome: Result<()>,
) -> axas_status_t {
    match outcome {
        Ok(()) => AXAS_OK,
        Err(error) => refused(call, arguments, error),
    }
}

/// Stores what is made of values that a guest may have chosen.
///
/// # Safety
/// `place` is null or valid for a write.
#[inline(always)]
unsafe fn made<T, const N: usize>(
    call: &'static str,
    arguments: [u64; N],
    place: *mut T,
    make: impl FnOnce() -> Result<T>,
) -> axas_status_t {
    let write = |place: &mut MaybeUninit<T>| {
        place.write(make()?);
        Ok(())
    };
    // SAFETY: the caller's promise is the one asked for.
    unsafe { written(call, arguments, place, write) }
}

/// As [`made`], where `write` writes itself, unless it errs: a large value in a result is copied twice.
///
/// # Safety
/// `place` is null or valid for a write.
#[inline(always)]
unsafe fn written<T, const N: usize>(
    call: &'static str,
    arguments: [u64; N],
    place: *mut T,
    write: impl FnOnce(&mut MaybeUninit<T>) -> Result<()>,
) -> axas_status_t {
    if let Err(error) = usable(place) {
        return refused(call, arguments, error);
    }
    // SAFETY: 1. not null, aligned; 2. valid for a write by the caller's promise.
    match write(unsafe { &mut *place.cast() }) {
        Ok(()) => AXAS_OK,
        Err(error) => missed(call, arguments, error),
    }
}

/// Stores what a space says of an address that a guest may have chosen.
///
/// # Safety
/// The handle is null or live; `place` is null or valid for a write.
#[inline(always)]
unsafe fn asked<T>(
    call: &'static str,
    handle: *const axas_t,
    gpa: axas_gpa_t,
    place: *mut T,
    ask: impl FnOnce(&AddressSpace) -> Result<T>,
) -> axas_status_t {
    // SAFETY: the handle is null or live.
    match unsafe { space(handle) } {
        // SAFETY: the caller's promise is the one asked for.
        Ok(space) => unsafe { made(call, [gpa], place, || ask(space)) },
        Err(error) => refused(call, [gpa], error),
    }
}
