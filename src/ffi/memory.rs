// SPDX-License-Identifier: MIT OR Apache-2.0
use core::ffi::c_void;
use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use super::{axas_t, missed, put, refused, space};
use crate::abi::*;
use crate::address_space::{Access, Chunk, Visit};
use crate::error::{Error, Result};
use crate::flags::Permissions;

const _: () = assert!(size_of::<usize>() == size_of::<u64>());

/// The calls that go over a range.
#[derive(Clone, Copy)]
enum Call {
    Read,
    Write,
    Fill,
    ForEachChunk,
}

const DIRECTIONS: u32 = AXAS_READ | AXAS_WRITE;

impl Call {
    #[cold]
    fn name(self) -> &'static str {
        match self {
            Self::Read => "axas_read",
            Self::Write => "axas_write",
            Self::Fill => "axas_fill",
            Self::ForEachChunk => "axas_for_each_chunk",
        }
    }

    /// What the host is about to do, from the access that it gave.
    fn access(self, access: u32) -> Result<Access> {
        match self {
            Self::Read => Access::new(Permissions::READ, access),
            Self::Write | Self::Fill => Access::filling(access),
            Self::ForEachChunk => {
                let direction = Permissions::from_bits_truncate(access & DIRECTIONS);
                if direction.is_empty() {
                    return Err(Error::InvalidInput);
                }
                Access::new(direction, access & !DIRECTIONS)
            }
        }
    }
}

/// Visits a guest's memory and stores how many bytes were visited, if the host wants to know. There is nothing
/// to visit it with where the host gave no usable pointer. The arguments are as many as there are registers:
/// below here the stack is deepest.
///
/// # Safety
/// The handle is null or live; `done` is null or valid for a write.
#[inline(never)]
unsafe fn visit(
    call: Call,
    handle: *const axas_t,
    gpa: u64,
    len: u64,
    access: u32,
    done: *mut u64,
    visit: Option<&mut Visit<'_>>,
) -> axas_status_t {
    // SAFETY: the caller's promise is the one asked for.
    let checked = unsafe { put_done(done, 0) }.and_then(|()| {
        let visit = visit.ok_or(Error::InvalidInput)?;
        let checked = call.access(access)?;
        // SAFETY: as above.
        Ok((unsafe { space(handle)? }, checked, visit))
    });
    let (space, checked, visit) = match checked {
        Ok(checked) => checked,
        Err(error) => return refused(call.name(), [gpa, len, access.into()], error),
    };
    let mut bytes = 0;
    let outcome = space.for_each_chunk(gpa, len, checked, &mut bytes, visit);
    // SAFETY: as above.
    match unsafe { put_done(done, bytes) }.and(outcome) {
        Ok(()) => AXAS_OK,
        Err(error) => missed(call.name(), [gpa, len, access.into()], error),
    }
}

/// Stores how many bytes were visited, if the host wants to know.
///
/// # Safety
/// `done` is null or valid for a write.
pub(super) unsafe fn put_done(done: *mut u64, bytes: u64) -> Result<()> {
    if done.is_null() {
        return Ok(());
    }
    // SAFETY: the caller's promise is the one asked for.
    unsafe { put(done, bytes) }
}

/// Copies from a guest's memory.
///
/// @param space The space.
/// @param gpa First guest-physical address, any alignment.
/// @param buf Receives the bytes; null only with len 0.
/// @param len Bytes; 0 does nothing.
/// @param access 0 (AXAS_READ must be allowed), AXAS_ACCESS_EXECUTE, AXAS_ACCESS_HOST.
/// @param done Receives the bytes that were copied, whatever the status; may be null.
/// @return AXAS_OK: all of it;
///   AXAS_ERR_INVALID_INPUT: null, unknown access bits, or bits that do not apply, not all of the range in the
///     space;
///   AXAS_ERR_NOT_MAPPED: a hole, a trap or a note, or resolve returned AXAS_RESOLVE_REFUSE;
///   AXAS_ERR_DENIED: the permissions do not allow it, or the page is hidden (axas_hide); never with
///     AXAS_ACCESS_HOST;
///   AXAS_ERR_NO_MEMORY: no frame for a reserved page, table_quota, or an unusable answer of resolve;
///   AXAS_ERR_UNSUPPORTED: linear DEVICE memory, or linear memory that the host cannot reach;
///   AXAS_ERR_BAD_STATE: corrupt table, or phys_to_virt returned null for a frame of alloc_frame;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT, or resolve returned AXAS_RESOLVE_LATER.
///
/// Crosses pages and mappings; allocates reserved pages as an access of the guest would (they count as resolved
/// faults). What was copied before an error stays in buf. If the guest writes meanwhile, the copy may be any
/// mixture of old and new bytes. Lock class: shared, dropped at least every 64 KiB. Callbacks: as
/// axas_handle_page_fault, and relax.
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
    // Where the byte of guest-physical address 0 would go: one word less on the stack than both addresses.
    let zero = buf.cast::<u8>().wrapping_sub(gpa as usize);
    let mut copy = move |chunk: &Chunk<'_>| {
        // SAFETY: 1. the chunk is readable while it is visited; 2. `buf` has `len` bytes, of which the chunk
        // covers those from `chunk.gpa - gpa` on; 3. `copy_from` allows a buffer that is memory of the guest;
        // 4. the guest may write meanwhile: the bytes are not interpreted here.
        unsafe { zero.wrapping_add(chunk.gpa as usize).copy_from(chunk.host(), chunk.bytes()) };
        Ok(true)
    };
    let given = !buf.is_null() || len == 0;
    let copy = if given { Some(&mut copy as &mut Visit<'_>) } else { None };
    // SAFETY: the handle is null or live, `done` null or valid for a write.
    unsafe { visit(Call::Read, space, gpa, len as u64, access, done.cast(), copy) }
}

/// Copies into a guest's memory.
///
/// @param space The space.
/// @param gpa First guest-physical address, any alignment.
/// @param buf The bytes; null only with len 0.
/// @param len Bytes; 0 does nothing.
/// @param access 0 (AXAS_WRITE must be allowed), AXAS_ACCESS_HOST, AXAS_ACCESS_CLEAN.
/// @param done Receives the bytes that were copied, whatever the status; may be null.
/// @return AXAS_OK: all of it;
///   AXAS_ERR_INVALID_INPUT: null, unknown access bits, or bits that do not apply, not all of the range in the space;
///   AXAS_ERR_NOT_MAPPED: a hole, a trap or a note, or resolve returned AXAS_RESOLVE_REFUSE;
///   AXAS_ERR_DENIED: the permissions do not allow it, or the page is hidden (axas_hide); never with
///     AXAS_ACCESS_HOST;
///   AXAS_ERR_NO_MEMORY: no frame for a reserved page, table_quota, or an unusable answer of resolve;
///   AXAS_ERR_UNSUPPORTED: linear DEVICE memory, or linear memory that the host cannot reach;
///   AXAS_ERR_BAD_STATE: corrupt table, or phys_to_virt returned null for a frame of alloc_frame;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT, or resolve returned AXAS_RESOLVE_LATER.
///
/// What was written before an error stays. Reserved pages are allocated as in axas_read. Lock class: shared,
/// dropped at least every 64 KiB. Callbacks: as axas_read. A reserved page becomes visible to the guest
/// together with what is written to it: its frame, which may be one of 2 MiB, is filled first, without a pause.
/// Pages that are written whole are not zeroed before.
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
    let zero = buf.cast::<u8>().wrapping_sub(gpa as usize);
    let mut copy = move |chunk: &Chunk<'_>| {
        // SAFETY: as in `axas_read`, the other way round.
        unsafe { chunk.host().copy_from(zero.wrapping_add(chunk.gpa as usize), chunk.bytes()) };
        Ok(true)
    };
    let given = !buf.is_null() || len == 0;
    let copy = if given { Some(&mut copy as &mut Visit<'_>) } else { None };
    // SAFETY: the handle is null or live, `done` null or valid for a write.
    unsafe { visit(Call::Write, space, gpa, len as u64, access, done.cast(), copy) }
}

/// Fills a guest's memory with a byte.
///
/// @param space The space.
/// @param gpa First guest-physical address, any alignment.
/// @param byte What to fill with.
/// @param len Bytes; 0 does nothing.
/// @param access 0 (AXAS_WRITE must be allowed), AXAS_ACCESS_HOST, AXAS_ACCESS_CLEAN.
/// @param done Receives the bytes that were filled, whatever the status; may be null.
/// @return AXAS_OK: all of it;
///   AXAS_ERR_INVALID_INPUT: null, unknown access bits, or bits that do not apply, not all of the range in the space;
///   AXAS_ERR_NOT_MAPPED: a hole, a trap or a note, or resolve returned AXAS_RESOLVE_REFUSE;
///   AXAS_ERR_DENIED: the permissions do not allow it, or the page is hidden (axas_hide); never with
///     AXAS_ACCESS_HOST;
///   AXAS_ERR_NO_MEMORY: no frame for a reserved page, table_quota, or an unusable answer of resolve;
///   AXAS_ERR_UNSUPPORTED: linear DEVICE memory, or linear memory that the host cannot reach;
///   AXAS_ERR_BAD_STATE: corrupt table, or phys_to_virt returned null for a frame of alloc_frame;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT, or resolve returned AXAS_RESOLVE_LATER.
///
/// What was filled before an error stays. Reserved pages: as in axas_write. Lock class: shared, dropped at
/// least every 64 KiB. Callbacks: as axas_read.
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
    let mut fill = move |chunk: &Chunk<'_>| {
        // SAFETY: the chunk is writable while it is visited.
        unsafe { chunk.host().write_bytes(byte, chunk.bytes()) };
        Ok(true)
    };
    // SAFETY: the handle is null or live, `done` null or valid for a write.
    unsafe { visit(Call::Fill, space, gpa, len, access, done, Some(&mut fill)) }
}

/// Calls back with each piece of a guest's memory that is contiguous in the host's, in order.
///
/// @param space The space.
/// @param gpa First guest-physical address, any alignment.
/// @param len Bytes; 0 does nothing.
/// @param access What must be allowed: AXAS_READ, AXAS_WRITE or both; and AXAS_ACCESS_HOST,
///   AXAS_ACCESS_EXECUTE without AXAS_WRITE, or AXAS_ACCESS_CLEAN with it.
/// @param chunk Called with each piece, of at most 64 KiB; the pointer is valid during the call. Returns 0 to
///   stop. With the lock held: may call no axas_ function. The guest may see a reserved page as zeroes before
///   chunk has written to it.
/// @param ctx Passed to chunk.
/// @return AXAS_OK: all of it, or stopped;
///   AXAS_ERR_INVALID_INPUT: null, unknown access bits, or bits that do not apply, not all of the range in the space;
///   AXAS_ERR_NOT_MAPPED: a hole, a trap or a note, or resolve returned AXAS_RESOLVE_REFUSE;
///   AXAS_ERR_DENIED: the permissions do not allow it, or the page is hidden (axas_hide); never with
///     AXAS_ACCESS_HOST;
///   AXAS_ERR_NO_MEMORY: no frame for a reserved page, table_quota, or an unusable answer of resolve;
///   AXAS_ERR_UNSUPPORTED: linear DEVICE memory, or linear memory that the host cannot reach;
///   AXAS_ERR_BAD_STATE: corrupt table, or phys_to_virt returned null for a frame of alloc_frame;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT, or resolve returned AXAS_RESOLVE_LATER.
///
/// A reserved page is allocated as in axas_read. Lock class: shared. Callbacks: as axas_read.
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
    let mut report = move |found: &Chunk<'_>| {
        // SAFETY: by the caller's promise the callback takes these arguments and returns.
        Ok(chunk.is_some_and(|chunk| unsafe {
            chunk(ctx, found.gpa, found.host().cast(), found.bytes()) != 0
        }))
    };
    let report = if chunk.is_some() { Some(&mut report as &mut Visit<'_>) } else { None };
    let done = core::ptr::null_mut();
    // SAFETY: the handle is null or live.
    unsafe { visit(Call::ForEachChunk, space, gpa, len, access, done, report) }
}

/// Moves a value of 1, 2, 4 or 8 bytes with one load and one store.
///
/// # Safety
/// `from` is readable, `to` is writable, both are aligned to the size of the value.
unsafe fn transfer(from: *mut u8, to: *mut u8, bytes: usize) {
    macro_rules! transfer {
        ($atomic:ty) => {
            // SAFETY: 1. the caller's promise; 2. whatever the guest does, the accesses are atomic.
            unsafe {
                let value = <$atomic>::from_ptr(from.cast()).load(Ordering::Relaxed);
                <$atomic>::from_ptr(to.cast()).store(value, Ordering::Relaxed);
            }
        };
    }
    match bytes {
        1 => transfer!(AtomicU8),
        2 => transfer!(AtomicU16),
        4 => transfer!(AtomicU32),
        _ => transfer!(AtomicU64),
    }
}

/// Makes one access of the size of a value, naturally aligned, so that it lies in one page.
///
/// # Safety
/// The handle is null or live; `value` is null or has `bytes` bytes and their alignment, and may be written if
/// the guest's memory is read.
#[inline(never)]
unsafe fn single(
    writes: bool,
    handle: *const axas_t,
    gpa: u64,
    access: u32,
    value: *mut u8,
    bytes: usize,
) -> axas_status_t {
    let is_aligned = move |address: u64| address & (bytes as u64).wrapping_sub(1) == 0;
    let given = match is_usable(value, bytes) {
        true if writes => Access::filling(access),
        true => Access::new(Permissions::READ, access),
        false => Err(Error::InvalidInput),
    };
    // SAFETY: the handle is null or live.
    let checked = given.and_then(|access| unsafe { Ok((space(handle)?, access)) });
    let (space, checked_access) = match checked {
        Ok(checked) => checked,
        Err(error) => return refused(name(writes, bytes), [gpa, access.into()], error),
    };
    let outcome = if is_aligned(gpa) {
        space.for_each_chunk(gpa, bytes as u64, checked_access, &mut 0, &mut move |chunk| {
            let host = chunk.host();
            // A host whose pointers do not keep the alignment of physical addresses broke its promise.
            if !is_aligned(host.addr() as u64) {
                return Err(Error::BadState);
            }
            let (from, to) = if writes { (value, host) } else { (host, value) };
            // SAFETY: 1. the chunk may be accessed while it is visited, its alignment is checked; 2. so may the
            // value, by the caller's promise.
            unsafe { transfer(from, to, bytes) };
            Ok(true)
        })
    } else {
        Err(Error::InvalidInput)
    };
    match outcome {
        Ok(()) => AXAS_OK,
        Err(error) => missed(name(writes, bytes), [gpa, access.into()], error),
    }
}

/// Whether a value of so many bytes can be there.
fn is_usable(value: *mut u8, bytes: usize) -> bool {
    !value.is_null() && value.addr() & bytes.wrapping_sub(1) == 0
}

/// The function that makes an access of so many bytes.
#[cold]
fn name(writes: bool, bytes: usize) -> &'static str {
    match (writes, bytes) {
        (false, 1) => "axas_read_u8",
        (false, 2) => "axas_read_u16",
        (false, 4) => "axas_read_u32",
        (false, _) => "axas_read_u64",
        (true, 1) => "axas_write_u8",
        (true, 2) => "axas_write_u16",
        (true, 4) => "axas_write_u32",
        (true, _) => "axas_write_u64",
    }
}

/// # Safety
/// The handle is null or live; `value` is null or valid for a write.
unsafe fn read_scalar<T>(
    handle: *const axas_t,
    gpa: u64,
    access: u32,
    value: *mut T,
) -> axas_status_t {
    // SAFETY: 1. the handle is null or live; 2. `value` is null or valid for a write.
    unsafe { single(false, handle, gpa, access, value.cast(), size_of::<T>()) }
}

/// # Safety
/// The handle is null or live.
unsafe fn write_scalar<T>(
    handle: *const axas_t,
    gpa: u64,
    access: u32,
    mut value: T,
) -> axas_status_t {
    let place = (&raw mut value).cast();
    // SAFETY: 1. the handle is null or live; 2. the place is aligned and readable.
    unsafe { single(true, handle, gpa, access, place, size_of::<T>()) }
}

/// Reads 8 bits of a guest's memory in one single access.
///
/// @param space The space.
/// @param gpa Guest-physical address, naturally aligned, else AXAS_ERR_INVALID_INPUT.
/// @param access 0 (AXAS_READ must be allowed), AXAS_ACCESS_EXECUTE, AXAS_ACCESS_HOST.
/// @param value Receives the value, in the host's byte order; untouched after an error.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, unaligned, unknown access bits, or bits that do not apply, outside the space;
///   AXAS_ERR_NOT_MAPPED: a hole, a trap or a note, or resolve returned AXAS_RESOLVE_REFUSE;
///   AXAS_ERR_DENIED: the permissions do not allow it, or the page is hidden (axas_hide); never with
///     AXAS_ACCESS_HOST;
///   AXAS_ERR_NO_MEMORY: no frame for a reserved page, table_quota, or an unusable answer of resolve;
///   AXAS_ERR_UNSUPPORTED: linear DEVICE memory, or linear memory that the host cannot reach;
///   AXAS_ERR_BAD_STATE: corrupt table, or phys_to_virt returned null for a frame of alloc_frame, or a pointer
///     that is not aligned as its address is;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT, or resolve returned AXAS_RESOLVE_LATER.
///
/// A reserved page is allocated as in axas_read. Lock class: shared. Callbacks: as axas_read.
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
/// @param access 0 (AXAS_WRITE must be allowed), AXAS_ACCESS_HOST, AXAS_ACCESS_CLEAN.
/// @param value The value, in the host's byte order.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, unaligned, unknown access bits, or bits that do not apply, outside the space;
///   AXAS_ERR_NOT_MAPPED: a hole, a trap or a note, or resolve returned AXAS_RESOLVE_REFUSE;
///   AXAS_ERR_DENIED: the permissions do not allow it, or the page is hidden (axas_hide); never with
///     AXAS_ACCESS_HOST;
///   AXAS_ERR_NO_MEMORY: no frame for a reserved page, table_quota, or an unusable answer of resolve;
///   AXAS_ERR_UNSUPPORTED: linear DEVICE memory, or linear memory that the host cannot reach;
///   AXAS_ERR_BAD_STATE: corrupt table, or phys_to_virt returned null for a frame of alloc_frame, or a pointer
///     that is not aligned as its address is;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT, or resolve returned AXAS_RESOLVE_LATER.
///
/// A reserved page is allocated as in axas_read. Lock class: shared. Callbacks: as axas_read.
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
/// @param access 0 (AXAS_READ must be allowed), AXAS_ACCESS_EXECUTE, AXAS_ACCESS_HOST.
/// @param value Receives the value, in the host's byte order; untouched after an error.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, unaligned, unknown access bits, or bits that do not apply, outside the space;
///   AXAS_ERR_NOT_MAPPED: a hole, a trap or a note, or resolve returned AXAS_RESOLVE_REFUSE;
///   AXAS_ERR_DENIED: the permissions do not allow it, or the page is hidden (axas_hide); never with
///     AXAS_ACCESS_HOST;
///   AXAS_ERR_NO_MEMORY: no frame for a reserved page, table_quota, or an unusable answer of resolve;
///   AXAS_ERR_UNSUPPORTED: linear DEVICE memory, or linear memory that the host cannot reach;
///   AXAS_ERR_BAD_STATE: corrupt table, or phys_to_virt returned null for a frame of alloc_frame, or a pointer
///     that is not aligned as its address is;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT, or resolve returned AXAS_RESOLVE_LATER.
///
/// A reserved page is allocated as in axas_read. Lock class: shared. Callbacks: as axas_read.
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
/// @param access 0 (AXAS_WRITE must be allowed), AXAS_ACCESS_HOST, AXAS_ACCESS_CLEAN.
/// @param value The value, in the host's byte order.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, unaligned, unknown access bits, or bits that do not apply, outside the space;
///   AXAS_ERR_NOT_MAPPED: a hole, a trap or a note, or resolve returned AXAS_RESOLVE_REFUSE;
///   AXAS_ERR_DENIED: the permissions do not allow it, or the page is hidden (axas_hide); never with
///     AXAS_ACCESS_HOST;
///   AXAS_ERR_NO_MEMORY: no frame for a reserved page, table_quota, or an unusable answer of resolve;
///   AXAS_ERR_UNSUPPORTED: linear DEVICE memory, or linear memory that the host cannot reach;
///   AXAS_ERR_BAD_STATE: corrupt table, or phys_to_virt returned null for a frame of alloc_frame, or a pointer
///     that is not aligned as its address is;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT, or resolve returned AXAS_RESOLVE_LATER.
///
/// A reserved page is allocated as in axas_read. Lock class: shared. Callbacks: as axas_read.
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
/// @param access 0 (AXAS_READ must be allowed), AXAS_ACCESS_EXECUTE, AXAS_ACCESS_HOST.
/// @param value Receives the value, in the host's byte order; untouched after an error.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, unaligned, unknown access bits, or bits that do not apply, outside the space;
///   AXAS_ERR_NOT_MAPPED: a hole, a trap or a note, or resolve returned AXAS_RESOLVE_REFUSE;
///   AXAS_ERR_DENIED: the permissions do not allow it, or the page is hidden (axas_hide); never with
///     AXAS_ACCESS_HOST;
///   AXAS_ERR_NO_MEMORY: no frame for a reserved page, table_quota, or an unusable answer of resolve;
///   AXAS_ERR_UNSUPPORTED: linear DEVICE memory, or linear memory that the host cannot reach;
///   AXAS_ERR_BAD_STATE: corrupt table, or phys_to_virt returned null for a frame of alloc_frame, or a pointer
///     that is not aligned as its address is;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT, or resolve returned AXAS_RESOLVE_LATER.
///
/// A reserved page is allocated as in axas_read. Lock class: shared. Callbacks: as axas_read.
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
/// @param access 0 (AXAS_WRITE must be allowed), AXAS_ACCESS_HOST, AXAS_ACCESS_CLEAN.
/// @param value The value, in the host's byte order.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, unaligned, unknown access bits, or bits that do not apply, outside the space;
///   AXAS_ERR_NOT_MAPPED: a hole, a trap or a note, or resolve returned AXAS_RESOLVE_REFUSE;
///   AXAS_ERR_DENIED: the permissions do not allow it, or the page is hidden (axas_hide); never with
///     AXAS_ACCESS_HOST;
///   AXAS_ERR_NO_MEMORY: no frame for a reserved page, table_quota, or an unusable answer of resolve;
///   AXAS_ERR_UNSUPPORTED: linear DEVICE memory, or linear memory that the host cannot reach;
///   AXAS_ERR_BAD_STATE: corrupt table, or phys_to_virt returned null for a frame of alloc_frame, or a pointer
///     that is not aligned as its address is;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT, or resolve returned AXAS_RESOLVE_LATER.
///
/// A reserved page is allocated as in axas_read. Lock class: shared. Callbacks: as axas_read.
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
/// @param access 0 (AXAS_READ must be allowed), AXAS_ACCESS_EXECUTE, AXAS_ACCESS_HOST.
/// @param value Receives the value, in the host's byte order; untouched after an error.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, unaligned, unknown access bits, or bits that do not apply, outside the space;
///   AXAS_ERR_NOT_MAPPED: a hole, a trap or a note, or resolve returned AXAS_RESOLVE_REFUSE;
///   AXAS_ERR_DENIED: the permissions do not allow it, or the page is hidden (axas_hide); never with
///     AXAS_ACCESS_HOST;
///   AXAS_ERR_NO_MEMORY: no frame for a reserved page, table_quota, or an unusable answer of resolve;
///   AXAS_ERR_UNSUPPORTED: linear DEVICE memory, or linear memory that the host cannot reach;
///   AXAS_ERR_BAD_STATE: corrupt table, or phys_to_virt returned null for a frame of alloc_frame, or a pointer
///     that is not aligned as its address is;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT, or resolve returned AXAS_RESOLVE_LATER.
///
/// A reserved page is allocated as in axas_read. Lock class: shared. Callbacks: as axas_read.
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
/// @param access 0 (AXAS_WRITE must be allowed), AXAS_ACCESS_HOST, AXAS_ACCESS_CLEAN.
/// @param value The value, in the host's byte order.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, unaligned, unknown access bits, or bits that do not apply, outside the space;
///   AXAS_ERR_NOT_MAPPED: a hole, a trap or a note, or resolve returned AXAS_RESOLVE_REFUSE;
///   AXAS_ERR_DENIED: the permissions do not allow it, or the page is hidden (axas_hide); never with
///     AXAS_ACCESS_HOST;
///   AXAS_ERR_NO_MEMORY: no frame for a reserved page, table_quota, or an unusable answer of resolve;
///   AXAS_ERR_UNSUPPORTED: linear DEVICE memory, or linear memory that the host cannot reach;
///   AXAS_ERR_BAD_STATE: corrupt table, or phys_to_virt returned null for a frame of alloc_frame, or a pointer
///     that is not aligned as its address is;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT, or resolve returned AXAS_RESOLVE_LATER.
///
/// A reserved page is allocated as in axas_read. Lock class: shared. Callbacks: as axas_read.
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
