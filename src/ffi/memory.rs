use core::ffi::c_void;
use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use super::{axas_t, put, space, status};
use crate::abi::*;
use crate::address_space::{Access, Chunk};
use crate::error::{Error, Result};
use crate::flags::Permissions;

/// Runs a copy and says how far it came.
///
/// # Safety
/// The handle is null or live.
unsafe fn copy(
    handle: *const axas_t,
    gpa: u64,
    len: u64,
    access: Result<Access>,
    done: &mut u64,
    visit: &mut dyn FnMut(&Chunk<'_>, usize),
) -> Result<()> {
    let access = access?;
    // SAFETY: the caller's promise is the one asked for.
    let space = unsafe { space(handle) }?;
    let mut offset = 0_usize;
    space.for_each_chunk(gpa, len, access, done, &mut |chunk| {
        visit(chunk, offset);
        offset = offset.wrapping_add(chunk.bytes());
        true
    })
}

/// Stores how far a copy came, if the host wants to know.
///
/// # Safety
/// `done` is null or valid for a write.
unsafe fn put_done<T>(done: *mut T, value: T, outcome: Result<()>) -> axas_status_t {
    if done.is_null() {
        return status(outcome);
    }
    // SAFETY: the caller's promise is the one asked for.
    status(unsafe { put(done, value) }.and(outcome))
}

/// Copies from a guest's memory.
///
/// @param space The space.
/// @param gpa First guest-physical address, any alignment.
/// @param buf Takes the bytes; null only with len 0.
/// @param len Bytes; 0 is fine.
/// @param access 0 (AXAS_READ must be allowed), AXAS_ACCESS_EXECUTE, AXAS_ACCESS_HOST.
/// @param done Takes the bytes that were copied, whatever the status; may be null.
/// @return AXAS_OK: all of it;
///   AXAS_ERR_INVALID_INPUT: null, unknown or senseless access bits, not all of the range in the space;
///   AXAS_ERR_NOT_MAPPED: a hole or a trap; AXAS_ERR_DENIED: not allowed; AXAS_ERR_NO_MEMORY: no frame for
///   a reserved page; AXAS_ERR_UNSUPPORTED: linear DEVICE memory, or linear memory that the host cannot
///   reach; AXAS_ERR_BAD_STATE: corrupt table; AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// Goes across pages, frames and areas; takes reserved pages in as an access of the guest would (they count
/// as resolved faults). The guest may write meanwhile: what is copied is then any mixture. Lock class:
/// shared, given up after at most 64 KiB. Callbacks: as axas_handle_page_fault, and relax.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_read(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    buf: *mut c_void,
    len: usize,
    access: u32,
    done: *mut usize,
) -> axas_status_t {
    if buf.is_null() && len != 0 {
        // SAFETY: `done` is null or valid for a write.
        return unsafe { put_done(done, 0, Err(Error::InvalidInput)) };
    }
    let access = Access::new(Permissions::READ, access);
    let mut bytes = 0;
    // SAFETY: the handle is null or live.
    let outcome = unsafe {
        copy(space, gpa, len as u64, access, &mut bytes, &mut |chunk, offset| {
            // SAFETY: 1. the chunk is readable while it is visited; 2. `buf` has `len` bytes, of which the chunk
            // covers `[offset, offset + bytes)`; 3. `copy` allows a buffer that is memory of the guest;
            // 4. the guest may write meanwhile: the bytes are data to nobody here.
            buf.cast::<u8>().add(offset).copy_from(chunk.host(), chunk.bytes());
        })
    };
    // SAFETY: `done` is null or valid for a write.
    unsafe { put_done(done, bytes as usize, outcome) }
}

/// Copies into a guest's memory.
///
/// @param space The space.
/// @param gpa First guest-physical address, any alignment.
/// @param buf The bytes; null only with len 0.
/// @param len Bytes; 0 is fine.
/// @param access 0 (AXAS_WRITE must be allowed), AXAS_ACCESS_HOST, AXAS_ACCESS_CLEAN.
/// @param done Takes the bytes that were copied, whatever the status; may be null.
/// @return As axas_read. Otherwise as axas_read; what was written before an error stays.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_write(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    buf: *const c_void,
    len: usize,
    access: u32,
    done: *mut usize,
) -> axas_status_t {
    if buf.is_null() && len != 0 {
        // SAFETY: `done` is null or valid for a write.
        return unsafe { put_done(done, 0, Err(Error::InvalidInput)) };
    }
    let access = Access::new(Permissions::WRITE, access);
    let mut bytes = 0;
    // SAFETY: the handle is null or live.
    let outcome = unsafe {
        copy(space, gpa, len as u64, access, &mut bytes, &mut |chunk, offset| {
            // SAFETY: as in `axas_read`, the other way round.
            chunk.host().copy_from(buf.cast::<u8>().add(offset), chunk.bytes());
        })
    };
    // SAFETY: `done` is null or valid for a write.
    unsafe { put_done(done, bytes as usize, outcome) }
}

/// Fills a guest's memory with a byte.
///
/// @param space The space.
/// @param gpa First guest-physical address, any alignment.
/// @param byte What to fill with.
/// @param len Bytes; 0 is fine.
/// @param access As for axas_write.
/// @param done Takes the bytes that were filled, whatever the status; may be null.
/// @return As axas_read. Otherwise as axas_write.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_fill(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    byte: u8,
    len: u64,
    access: u32,
    done: *mut u64,
) -> axas_status_t {
    let access = Access::new(Permissions::WRITE, access);
    let mut bytes = 0;
    // SAFETY: the handle is null or live.
    let outcome = unsafe {
        copy(space, gpa, len, access, &mut bytes, &mut |chunk, _| {
            // SAFETY: the chunk is writable while it is visited.
            chunk.host().write_bytes(byte, chunk.bytes());
        })
    };
    // SAFETY: `done` is null or valid for a write.
    unsafe { put_done(done, bytes, outcome) }
}

/// Calls back with the pieces of a guest's memory that lie side by side in the host's, in order.
///
/// @param space The space.
/// @param gpa First guest-physical address, any alignment.
/// @param len Bytes; 0 is fine.
/// @param access AXAS_READ, AXAS_WRITE or both (what must be allowed), and AXAS_ACCESS_ bits as for
///   axas_read or, with AXAS_WRITE, axas_write.
/// @param chunk Called with each piece, of at most 64 KiB; the pointer is good during the call. Returns 0 to
///   stop. With the lock held: may call no axas_ function.
/// @param ctx Passed to chunk.
/// @return AXAS_OK, also when stopped; else as axas_read.
///
/// Lock class and callbacks: as axas_read.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_for_each_chunk(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    len: u64,
    access: u32,
    chunk: axas_chunk_fn,
    ctx: *mut c_void,
) -> axas_status_t {
    let Some(call) = chunk else {
        return Error::InvalidInput.status();
    };
    let direction = Permissions::from_bits_truncate(access & (AXAS_READ | AXAS_WRITE));
    if direction.is_empty() {
        return Error::InvalidInput.status();
    }
    let access = Access::new(direction, access & !(AXAS_READ | AXAS_WRITE));
    let mut bytes = 0;
    // SAFETY: the handle is null or live.
    let outcome =
        access.and_then(|access| unsafe { self::space(space) }.map(|space| (space, access)));
    status(outcome.and_then(|(space, access)| {
        space.for_each_chunk(gpa, len, access, &mut bytes, &mut |chunk| {
            // SAFETY: by the caller's promise the callback takes these arguments and returns.
            unsafe { call(ctx, chunk.gpa, chunk.host().cast(), chunk.bytes()) != 0 }
        })
    }))
}

/// A value that one access moves.
trait Scalar: Copy {
    /// # Safety
    /// `place` is aligned and readable.
    unsafe fn load(place: *mut u8) -> Self;
    /// # Safety
    /// `place` is aligned and writable.
    unsafe fn store(self, place: *mut u8);
}

macro_rules! scalar {
    ($value:ty, $atomic:ty) => {
        impl Scalar for $value {
            unsafe fn load(place: *mut u8) -> Self {
                // SAFETY: 1. the caller's promise; 2. whatever the guest does, the access is atomic.
                unsafe { <$atomic>::from_ptr(place.cast()) }.load(Ordering::Relaxed)
            }

            unsafe fn store(self, place: *mut u8) {
                // SAFETY: as above.
                unsafe { <$atomic>::from_ptr(place.cast()) }.store(self, Ordering::Relaxed);
            }
        }
    };
}

scalar!(u8, AtomicU8);
scalar!(u16, AtomicU16);
scalar!(u32, AtomicU32);
scalar!(u64, AtomicU64);

/// Makes one access of the size of `T`, naturally aligned, so that it lies in one page.
///
/// # Safety
/// The handle is null or live.
unsafe fn single<T: Scalar>(
    handle: *const axas_t,
    gpa: u64,
    access: Result<Access>,
    mut visit: impl FnMut(*mut u8),
) -> Result<()> {
    let access = access?;
    // SAFETY: the caller's promise is the one asked for.
    let space = unsafe { space(handle) }?;
    let mask = (size_of::<T>() as u64).wrapping_sub(1);
    if gpa & mask != 0 {
        return Err(Error::InvalidInput);
    }
    let (mut done, mut outcome) = (0, Ok(()));
    space.for_each_chunk(gpa, size_of::<T>() as u64, access, &mut done, &mut |chunk| {
        // A host whose pointers do not keep the alignment of physical addresses broke its promise.
        if chunk.host().addr() as u64 & mask == 0 {
            visit(chunk.host());
        } else {
            outcome = Err(Error::BadState);
        }
        true
    })?;
    outcome
}

/// # Safety
/// The handle is null or live; `value` is null or valid for a write.
unsafe fn read_scalar<T: Scalar>(
    handle: *const axas_t,
    gpa: u64,
    access: u32,
    value: *mut T,
) -> axas_status_t {
    if value.is_null() || !value.is_aligned() {
        return AXAS_ERR_INVALID_INPUT;
    }
    let access = Access::new(Permissions::READ, access);
    // SAFETY: 1. the handle is null or live; 2. the chunk is readable while it is visited, its alignment
    // checked; 3. `value` is valid for a write.
    status(unsafe { single::<T>(handle, gpa, access, |host| value.write(T::load(host))) })
}

/// # Safety
/// The handle is null or live.
unsafe fn write_scalar<T: Scalar>(
    handle: *const axas_t,
    gpa: u64,
    access: u32,
    value: T,
) -> axas_status_t {
    let access = Access::new(Permissions::WRITE, access);
    // SAFETY: 1. the handle is null or live; 2. the chunk is writable while it is visited, its alignment
    // checked.
    status(unsafe { single::<T>(handle, gpa, access, |host| value.store(host)) })
}

/// Reads 8 bits of a guest's memory in one single access.
///
/// @param space The space.
/// @param gpa Guest-physical address, naturally aligned, else AXAS_ERR_INVALID_INPUT.
/// @param access As for axas_read.
/// @param value Takes the value, in the host's byte order; untouched after an error.
/// @return As axas_read. Otherwise as axas_read.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_read_u8(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    access: u32,
    value: *mut u8,
) -> axas_status_t {
    // SAFETY: the caller's promise is the one asked for.
    unsafe { read_scalar(space, gpa, access, value) }
}

/// Writes 8 bits of a guest's memory in one single access.
///
/// @param space The space.
/// @param gpa Guest-physical address, naturally aligned, else AXAS_ERR_INVALID_INPUT.
/// @param access As for axas_write.
/// @param value The value, in the host's byte order.
/// @return As axas_read. Otherwise as axas_write.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_write_u8(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    access: u32,
    value: u8,
) -> axas_status_t {
    // SAFETY: the caller's promise is the one asked for.
    unsafe { write_scalar(space, gpa, access, value) }
}

/// Reads 16 bits of a guest's memory in one single access.
///
/// @param space The space.
/// @param gpa Guest-physical address, naturally aligned, else AXAS_ERR_INVALID_INPUT.
/// @param access As for axas_read.
/// @param value Takes the value, in the host's byte order; untouched after an error.
/// @return As axas_read. Otherwise as axas_read.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_read_u16(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    access: u32,
    value: *mut u16,
) -> axas_status_t {
    // SAFETY: the caller's promise is the one asked for.
    unsafe { read_scalar(space, gpa, access, value) }
}

/// Writes 16 bits of a guest's memory in one single access.
///
/// @param space The space.
/// @param gpa Guest-physical address, naturally aligned, else AXAS_ERR_INVALID_INPUT.
/// @param access As for axas_write.
/// @param value The value, in the host's byte order.
/// @return As axas_read. Otherwise as axas_write.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_write_u16(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    access: u32,
    value: u16,
) -> axas_status_t {
    // SAFETY: the caller's promise is the one asked for.
    unsafe { write_scalar(space, gpa, access, value) }
}

/// Reads 32 bits of a guest's memory in one single access.
///
/// @param space The space.
/// @param gpa Guest-physical address, naturally aligned, else AXAS_ERR_INVALID_INPUT.
/// @param access As for axas_read.
/// @param value Takes the value, in the host's byte order; untouched after an error.
/// @return As axas_read. Otherwise as axas_read.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_read_u32(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    access: u32,
    value: *mut u32,
) -> axas_status_t {
    // SAFETY: the caller's promise is the one asked for.
    unsafe { read_scalar(space, gpa, access, value) }
}

/// Writes 32 bits of a guest's memory in one single access.
///
/// @param space The space.
/// @param gpa Guest-physical address, naturally aligned, else AXAS_ERR_INVALID_INPUT.
/// @param access As for axas_write.
/// @param value The value, in the host's byte order.
/// @return As axas_read. Otherwise as axas_write.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_write_u32(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    access: u32,
    value: u32,
) -> axas_status_t {
    // SAFETY: the caller's promise is the one asked for.
    unsafe { write_scalar(space, gpa, access, value) }
}

/// Reads 64 bits of a guest's memory in one single access.
///
/// @param space The space.
/// @param gpa Guest-physical address, naturally aligned, else AXAS_ERR_INVALID_INPUT.
/// @param access As for axas_read.
/// @param value Takes the value, in the host's byte order; untouched after an error.
/// @return As axas_read. Otherwise as axas_read.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_read_u64(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    access: u32,
    value: *mut u64,
) -> axas_status_t {
    // SAFETY: the caller's promise is the one asked for.
    unsafe { read_scalar(space, gpa, access, value) }
}

/// Writes 64 bits of a guest's memory in one single access.
///
/// @param space The space.
/// @param gpa Guest-physical address, naturally aligned, else AXAS_ERR_INVALID_INPUT.
/// @param access As for axas_write.
/// @param value The value, in the host's byte order.
/// @return As axas_read. Otherwise as axas_write.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_write_u64(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    access: u32,
    value: u64,
) -> axas_status_t {
    // SAFETY: the caller's promise is the one asked for.
    unsafe { write_scalar(space, gpa, access, value) }
}
