use super::{axas_t, space, status};
use crate::abi::*;
use crate::error::Error;

/// Maps frames of the host: guest address gpa + k is at host address hpa + k.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param hpa First host-physical address, a multiple of 4096; above or below gpa.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param flags Permissions, at most one memory type, and of the options AXAS_NO_HUGE, AXAS_MAX_2M,
///   AXAS_NO_HUGE_EXEC, AXAS_REPLACE (AXAS_ERR_UNSUPPORTED in this version).
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, unknown bits, two memory types, no permission, an option that
///   does not apply, unaligned, size 0, overflow, outside the space, host addresses above pa_bits;
///   AXAS_ERR_UNSUPPORTED: permissions or memory type that the format cannot say;
///   AXAS_ERR_ALREADY_EXISTS: something stands in the range;
///   AXAS_ERR_NO_MEMORY: no frames for tables, or table_quota;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// Uses the largest pages (4 KiB, 2 MiB, 1 GiB) that both addresses, the rest of the range, the
/// features and the options allow. The frames stay the host's and are never freed here. Nothing
/// changes on error. Lock class: exclusive. Callbacks: alloc_frame, dealloc_frame, phys_to_virt,
/// release_virt, clean_range, relax; tlb_flush once, AXAS_FLUSH_NEW, on RISC-V without Svvptc.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_map_linear(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    hpa: axas_hpa_t,
    size: u64,
    flags: axas_flags_t,
) -> axas_status_t {
    // SAFETY: the handle is null or live.
    status(unsafe { self::space(space) }.and_then(|space| space.map_linear(gpa, hpa, size, flags)))
}

/// Maps scattered frames of the host side by side, all or nothing.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param extents What follows what; not changed by anybody during the call.
/// @param count Number of extents, not 0.
/// @param flags As for axas_map_linear, without AXAS_REPLACE.
/// @return As axas_map_linear. Otherwise as axas_map_linear.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_map_extents(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    extents: *const axas_extent_t,
    count: usize,
    flags: axas_flags_t,
) -> axas_status_t {
    if extents.is_null() || !extents.is_aligned() || count > isize::MAX as usize / 16 {
        return Error::InvalidInput.status();
    }
    // SAFETY: 1. not null, aligned, below `isize::MAX` bytes; 2. by the caller's promise there are
    // `count` of them and they do not change during the call.
    let extents = unsafe { core::slice::from_raw_parts(extents, count) };
    // SAFETY: the handle is null or live.
    status(unsafe { self::space(space) }.and_then(|space| space.map_extents(gpa, extents, flags)))
}

/// Maps memory that the library takes from alloc_frame: lazily, or at once with AXAS_POPULATE.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param flags Permissions, at most one memory type, and of the options AXAS_POPULATE, AXAS_NO_HUGE,
///   AXAS_MAX_2M, AXAS_HUGE_FRAMES (not with AXAS_NO_HUGE), AXAS_NO_HUGE_EXEC.
/// @return As axas_map_linear.
///
/// The guest reads zeroes (unless AXAS_NO_ZERO). A lazy reservation takes no guest frames and only
/// the tables on its two edges, at most 2 * (levels - 1) besides the root, whatever its size. Nothing
/// changes on error; with AXAS_POPULATE a failure may have flushed. Lock class: exclusive. Callbacks:
/// as axas_map_linear.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_map_alloc(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
    flags: axas_flags_t,
) -> axas_status_t {
    // SAFETY: the handle is null or live.
    status(unsafe { self::space(space) }.and_then(|space| space.map_alloc(gpa, size, flags)))
}

/// Marks an emulated device: every access faults with AXAS_FAULT_TRAP.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param cookie What axas_trap_cookie and axas_query return for it; up to 2^32 - 1.
/// @return As axas_map_linear; AXAS_ERR_UNSUPPORTED: a larger cookie.
///
/// Takes tables like a lazy reservation. Lock class: exclusive. Callbacks: as axas_map_linear, no
/// tlb_flush.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_map_trap(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
    cookie: u64,
) -> axas_status_t {
    // SAFETY: the handle is null or live.
    status(unsafe { self::space(space) }.and_then(|space| space.map_trap(gpa, size, cookie)))
}

/// Removes whatever stands in a range. Holes are fine.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096; 0 is fine and does nothing.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, unaligned, overflow, outside the space;
///   AXAS_ERR_NO_MEMORY: an edge cuts a huge page, a reservation or a trap, and there are no frames for
///   the tables of the split (at most levels - 1 for each edge); never where both edges lie on the
///   boundaries of entries;
///   AXAS_ERR_BAD_STATE: corrupt table, or alloc_frame returned an unusable address;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// Cuts split areas and huge pages; what stays keeps its attributes. One tlb_flush (AXAS_FLUSH_UNMAP,
/// AXAS_SCOPE_ALL) if a valid entry changed; only then guest frames and empty tables go back and
/// released is called. Nothing changes on error. Lock class: exclusive. Callbacks: tlb_flush,
/// dealloc_frame, released, and where an edge cuts alloc_frame, clean_range; phys_to_virt,
/// release_virt, relax.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_unmap(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
) -> axas_status_t {
    // SAFETY: the handle is null or live.
    status(unsafe { self::space(space) }.and_then(|space| space.unmap(gpa, size)))
}

/// Gives what is mapped or reserved in a range new permissions.
///
/// @param space The space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param flags AXAS_READ, AXAS_WRITE, AXAS_EXECUTE (and AXAS_USER); any other bit is
///   AXAS_ERR_INVALID_INPUT. Memory type and options stay.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: as axas_map_linear;
///   AXAS_ERR_UNSUPPORTED: permissions that the format cannot say;
///   AXAS_ERR_NOT_MAPPED: a hole or a trap in the range;
///   AXAS_ERR_NO_MEMORY, AXAS_ERR_BAD_STATE, AXAS_ERR_AGAIN: as axas_unmap.
///
/// Cuts split. One tlb_flush: AXAS_FLUSH_TIGHTEN, AXAS_SCOPE_ALL if a valid entry lost a permission
/// (AXAS_FLUSH_BREAK if on Arm one was split besides), else AXAS_FLUSH_RELAX, AXAS_SCOPE_LOCAL if one
/// gained a permission on Arm or RISC-V. Nothing changes on error. Lock class: exclusive. Callbacks:
/// tlb_flush, alloc_frame, dealloc_frame, phys_to_virt, release_virt, clean_range, relax.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_protect(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    size: u64,
    flags: axas_flags_t,
) -> axas_status_t {
    // SAFETY: the handle is null or live.
    status(unsafe { self::space(space) }.and_then(|space| space.protect(gpa, size, flags)))
}
