// SPDX-License-Identifier: MIT OR Apache-2.0
use core::ffi::c_void;
use core::mem::offset_of;

use super::{axas_t, checked, put, refused, space, told, usable};
use crate::abi::*;
use crate::address_space::{AddressSpace, config_regs, tables_needed};
use crate::error::{Error, Result};
use crate::hal::Host;

/// No version of a structure comes near this many bytes.
const MOST_BYTES: usize = 4096;

/// Reads a structure whose first member is its size as the host knows it, at least `least` bytes; members
/// that the host does not know stay as they are in `value`.
///
/// # Safety
/// `source` is null or points to a structure of at least the bytes its first member says.
pub(super) unsafe fn sized<T: Copy>(source: *const T, value: &mut T, least: usize) -> Result<()> {
    if source.is_null() || !source.is_aligned() {
        return Err(Error::InvalidInput);
    }
    // SAFETY: 1. not null, aligned; 2. every version of the structure starts with its `u32` size.
    let given = unsafe { source.cast::<u32>().read() } as usize;
    if !(least..=MOST_BYTES).contains(&given) {
        return Err(Error::InvalidInput);
    }
    let known = size_of::<T>();
    let bytes = source.cast::<u8>();
    for offset in known..given {
        // SAFETY: `offset < given`, the structure's own size.
        if unsafe { bytes.add(offset).read() } != 0 {
            return Err(Error::InvalidInput);
        }
    }
    // SAFETY: 1. the source holds `given` bytes; 2. `value` holds `known`; 3. they are distinct
    // objects; 4. a tail of `T` that stays as it was is a valid value.
    unsafe {
        bytes.copy_to_nonoverlapping((&raw mut *value).cast(), given.min(known));
    }
    Ok(())
}

/// A configuration says at least how large the space is.
const LEAST_CONFIG: usize = offset_of!(axas_config_t, vmid);

/// # Safety
/// `source` is null or as large as it says.
#[inline(never)]
unsafe fn read_config(source: *const axas_config_t, config: &mut axas_config_t) -> Result<()> {
    // SAFETY: the caller's promise is the one asked for.
    unsafe { sized(source, config, LEAST_CONFIG) }
}

/// A HAL has at least frames.
const LEAST_HAL: usize = offset_of!(axas_hal_t, phys_to_virt);

const NO_HAL: axas_hal_t = axas_hal_t {
    struct_size: 0,
    flags: 0,
    ctx: core::ptr::null_mut(),
    alloc_frame: None,
    dealloc_frame: None,
    phys_to_virt: None,
    release_virt: None,
    direct_map_offset: 0,
    tlb_flush: None,
    clean_range: None,
    should_yield: None,
    relax: None,
    released: None,
    arena: core::ptr::null_mut(),
    may_move: None,
    resolve: None,
    evicted: None,
};

/// The host behind a HAL; what `is_for_frames` alone needs no flush.
///
/// # Safety
/// `source` is null or as large as it says.
#[inline(never)]
pub(super) unsafe fn host(source: *const axas_hal_t, is_for_frames: bool) -> Result<Host> {
    let mut hal = NO_HAL;
    // SAFETY: the caller's promise is the one asked for.
    unsafe { sized(source, &mut hal, LEAST_HAL)? };
    if is_for_frames {
        hal.flags = hal.flags & !AXAS_HAL_BUILTIN_LOCAL | AXAS_HAL_BUILTIN_FLUSH;
    }
    Host::new(&hal)
}

/// # Safety
/// As for the functions below.
unsafe fn create(
    call: &'static str,
    storage: Option<(*mut c_void, usize)>,
    config: *const axas_config_t,
    hal: *const axas_hal_t,
    space: *mut *mut axas_t,
) -> axas_status_t {
    let mut read = axas_config_t::default();
    // SAFETY: 1. `space` is null or valid for a write; 2. `config` and `hal` are null or as large as they say;
    // 3. the storage is null or of that many bytes and the space's until it is destroyed.
    let created = unsafe {
        put(space, core::ptr::null_mut()).and_then(|()| read_config(config, &mut read)).and_then(
            |()| {
                let storage = storage.map(|(storage, bytes)| (storage.cast(), bytes));
                AddressSpace::build(storage, &read, || host(hal, false))
            },
        )
    };
    let axas_config_t { format, levels, pa_bits, gpa_bits, vmid, features, options, .. } = read;
    let [format, levels, pa_bits, gpa_bits, vmid, features, options] =
        [format, levels, pa_bits, gpa_bits, vmid, features, options].map(u64::from);
    let arguments =
        [format, levels, pa_bits, gpa_bits, vmid, features, options, read.base, read.size];
    // SAFETY: as above.
    told(
        call,
        arguments,
        created.and_then(|created| unsafe { put(space, created.as_ptr().cast()) }),
    )
}

/// Creates an address space. Its handle takes one frame (AXAS_FRAME_TABLE); what the handle leaves of it
/// becomes reader lines of the lock, as for axas_create_in.
///
/// @param config Configuration; copied.
/// @param hal The host's callbacks; copied.
/// @param space Receives the handle; null after an error.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, unknown bits or values, feature bits of other formats, a missing callback,
///     both flags of built-in flushes, an arena that is not ready, struct_size too short for the required
///     members, unaligned base or size, size 0, base + size above 2^64, vmid out of range, pa_bits below 32;
///   AXAS_ERR_UNSUPPORTED: a format that is not built in, AXAS_FORMAT_NATIVE on a hosted build, levels, pa_bits
///     or gpa_bits that the format cannot have, AXAS_FEATURE_ARM_XNX, AXAS_FEATURE_RISCV_SVNAPOT,
///     AXAS_IGNORE_GUEST_PAT but on EPT, a vmid that needs AXAS_FEATURE_ARM_VMID16, AXAS_HAL_BUILTIN_FLUSH or
///     AXAS_HAL_BUILTIN_LOCAL on NPT, a HAL with release_virt and no arena, an arena with STATIC_HAL=1, AXAS_IO
///     where its description says so, a HAL without AXAS_HAL_DIRECT_MAP, an option, a feature bit or `released`
///     if the archive does not have that part (axas_parts);
///   AXAS_ERR_NO_MEMORY: no frame for handle or root, or table_quota below the root's frames;
///   AXAS_ERR_BAD_STATE: alloc_frame returned an unaligned or too high address, phys_to_virt null, or
///     direct_map_offset is not a multiple of 8.
///
/// Callbacks: alloc_frame, dealloc_frame (after an error), phys_to_virt, clean_range. Flushes nothing: the VMID
/// must hold no translations. After an error every frame is freed. No lock: no other call has the handle yet.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_create(
    config: *const axas_config_t,
    hal: *const axas_hal_t,
    space: *mut *mut axas_t,
) -> axas_status_t {
    // SAFETY: the caller's promise is the one asked for.
    unsafe { create("axas_create", None, config, hal, space) }
}

/// Creates an address space whose handle lives in storage of the caller.
///
/// @param storage At least AXAS_STORAGE_SIZE bytes aligned to AXAS_STORAGE_ALIGN, in use until axas_destroy;
///   need not be initialised.
/// @param bytes Size of the storage. What is beyond AXAS_STORAGE_SIZE becomes reader lines of the space's
///   lock, 128 bytes each, a power of two and 256 at most: for spaces in which many CPUs fault at once. An
///   exclusive call looks at each line.
/// @param config Configuration; copied.
/// @param hal The host's callbacks; copied. May have release_virt.
/// @param space Receives the handle; null after an error.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, unaligned or short storage, unknown bits or values, feature bits of other
///     formats, a missing callback, both flags of built-in flushes, an arena that is not ready, struct_size too
///     short for the required members, unaligned base or size, size 0, base + size above 2^64, vmid out of
///     range, pa_bits below 32;
///   AXAS_ERR_UNSUPPORTED: a format that is not built in, AXAS_FORMAT_NATIVE on a hosted build, levels, pa_bits
///     or gpa_bits that the format cannot have, AXAS_FEATURE_ARM_XNX, AXAS_FEATURE_RISCV_SVNAPOT,
///     AXAS_IGNORE_GUEST_PAT but on EPT, a vmid that needs AXAS_FEATURE_ARM_VMID16, AXAS_HAL_BUILTIN_FLUSH or
///     AXAS_HAL_BUILTIN_LOCAL on NPT, an arena in hal with STATIC_HAL=1, AXAS_IO where its description says so,
///     a HAL without AXAS_HAL_DIRECT_MAP, an option, a feature bit or `released` if the archive does not have
///     that part (axas_parts);
///   AXAS_ERR_NO_MEMORY: no frame for the root, or table_quota below its frames;
///   AXAS_ERR_BAD_STATE: alloc_frame returned an unaligned or too high address, phys_to_virt null, or
///     direct_map_offset is not a multiple of 8.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_create_in(
    storage: *mut c_void,
    bytes: usize,
    config: *const axas_config_t,
    hal: *const axas_hal_t,
    space: *mut *mut axas_t,
) -> axas_status_t {
    // SAFETY: the caller's promise is the one asked for.
    unsafe { create("axas_create_in", Some((storage, bytes)), config, hal, space) }
}

/// Removes everything, flushes, frees every frame: guest frames, tables, root, handle.
///
/// @param space Null does nothing. No other call uses the space, no CPU or IOMMU its root; the handle is
///   invalid afterwards.
///
/// Lock class: exclusive (waits even with AXAS_NO_WAIT). Callbacks: as axas_clear.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn axas_destroy(space: *mut axas_t) {
    if let Some(space) = core::ptr::NonNull::new(space) {
        // SAFETY: 1. the handle is live; 2. by the caller's promise it is not used now or later.
        unsafe { AddressSpace::destroy(space.cast()) };
    }
}

/// Removes everything; counters go on. The whole space is flushed, always.
///
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT;
///   AXAS_ERR_BAD_STATE: a corrupt table (frames that it points to are not freed).
///
/// Needs no memory. Lock class: exclusive. Callbacks: tlb_flush, dealloc_frame, phys_to_virt,
/// release_virt, released, relax.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_clear(space: *mut axas_t) -> axas_status_t {
    // SAFETY: the handle is null or live.
    told("axas_clear", [], unsafe { self::space(space) }.and_then(AddressSpace::clear))
}

/// Changes the VMID that root_register and TLB requests carry (axas_config_t.vmid).
///
/// Flushes nothing: no CPU runs the space, the new VMID holds no translations, and the host flushes
/// the old one before another space gets it.
///
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, vmid out of range;
///   AXAS_ERR_UNSUPPORTED: above 255 on Arm without AXAS_FEATURE_ARM_VMID16;
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT.
///
/// Lock class: exclusive. Callbacks: relax.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_set_vmid(space: *mut axas_t, vmid: u32) -> axas_status_t {
    // SAFETY: the handle is null or live.
    let outcome = unsafe { self::space(space) }.and_then(|space| space.set_vmid(vmid));
    told("axas_set_vmid", [vmid.into()], outcome)
}

/// The space behind a handle, or a line in the log.
///
/// # Safety
/// As for [`space`].
#[inline(always)]
unsafe fn known<'a, const N: usize>(
    call: &'static str,
    arguments: [u64; N],
    handle: *const axas_t,
) -> Option<&'a AddressSpace> {
    // SAFETY: the caller's promise is the one asked for.
    match unsafe { space(handle) } {
        Ok(space) => Some(space),
        Err(error) => {
            refused(call, arguments, error);
            None
        }
    }
}

/// First guest-physical address of the space; 0 for null. No lock.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn axas_base(space: *const axas_t) -> axas_gpa_t {
    // SAFETY: the handle is null or live.
    unsafe { known("axas_base", [], space) }.map_or(0, AddressSpace::base)
}

/// Bytes of the space; 0 for null. No lock.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn axas_size(space: *const axas_t) -> u64 {
    // SAFETY: the handle is null or live.
    unsafe { known("axas_size", [], space) }.map_or(0, AddressSpace::size)
}

/// Levels of tables; 0 for null. No lock.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn axas_levels(space: *const axas_t) -> u32 {
    // SAFETY: the handle is null or live.
    unsafe { known("axas_levels", [], space) }.map_or(0, AddressSpace::levels)
}

/// Host-physical address of the root; AXAS_HPA_INVALID for null. No lock.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn axas_root(space: *const axas_t) -> axas_hpa_t {
    // SAFETY: the handle is null or live.
    unsafe { known("axas_root", [], space) }.map_or(AXAS_HPA_INVALID, AddressSpace::root)
}

/// Nonzero when [gpa, gpa + size) lies in the space; size 0 asks for gpa alone, the end of the space
/// included. 0 for null and where gpa + size overflows. No lock.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn axas_contains_range(
    space: *const axas_t,
    gpa: axas_gpa_t,
    size: u64,
) -> u32 {
    // SAFETY: the handle is null or live.
    unsafe { known("axas_contains_range", [gpa, size], space) }
        .map_or(0, |space| u32::from(space.contains_range(gpa, size)))
}

/// What to load into the hardware for this space.
///
/// @param space The space.
/// @param regs Receives the values.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null.
///
/// No lock: call it again after axas_set_vmid. Sources: EPTP: Intel SDM vol. 3C, "Extended-Page-Table Pointer
/// (EPTP)"; VTTBR_EL2 and VTCR_EL2: Arm ARM, register descriptions; hgatp: RISC-V Privileged Architecture,
/// "Hypervisor Guest Address Translation and Protection (hgatp) Register"; nCR3: AMD APM vol. 2, "Nested
/// Paging".
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_hw_regs(
    space: *const axas_t,
    regs: *mut axas_hw_regs_t,
) -> axas_status_t {
    // SAFETY: 1. the handle is null or live; 2. `regs` is null or valid for a write.
    let outcome =
        unsafe { self::space(space) }.and_then(|space| unsafe { put(regs, space.hw_regs()) });
    checked("axas_hw_regs", [], outcome)
}

/// What axas_hw_regs returns for a space with this configuration, before it is created: VTCR_EL2 for CPUs that
/// boot, the size and alignment of roots to reserve.
///
/// @param config Configuration of the space.
/// @param regs Receives the values, as axas_hw_regs but for two: root is 0, and so is the address field of
///   root_register, whose other fields are valid (EPTP: memory type, walk length, accessed and dirty flags;
///   nCR3: none; VTTBR_EL2: VMID; hgatp: mode, VMID). Untouched after an error.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null; in config unknown bits or values, feature bits of other formats, struct_size
///     too short, unaligned base or size, size 0, base + size above 2^64, vmid out of range, pa_bits below 32;
///   AXAS_ERR_UNSUPPORTED: a format that is not built in, AXAS_FORMAT_NATIVE on a hosted build, levels, pa_bits
///     or gpa_bits that the format cannot have, AXAS_FEATURE_ARM_XNX, AXAS_FEATURE_RISCV_SVNAPOT,
///     AXAS_IGNORE_GUEST_PAT but on EPT, AXAS_IO on NPT, a vmid that needs AXAS_FEATURE_ARM_VMID16, an option
///     or a feature bit if the archive does not have that part (axas_parts);
///   AXAS_ERR_NO_MEMORY: table_quota below the root's frames.
///
/// Pure: no HAL, no lock, no callback. On bare metal AXAS_FORMAT_NATIVE, pa_bits 0 and levels 0 on NPT are read
/// from the CPU that makes the call. On Arm the values hold for all CPUs of a space: where they differ, pa_bits
/// is the narrowest of theirs.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_config_regs(
    config: *const axas_config_t,
    regs: *mut axas_hw_regs_t,
) -> axas_status_t {
    // SAFETY: 1. `config` is null or as large as it says; 2. `regs` is null or valid for a write.
    let outcome = unsafe {
        let mut read = axas_config_t::default();
        usable(regs)
            .and_then(|()| read_config(config, &mut read))
            .and_then(|()| config_regs(&read))
            .and_then(|made| put(regs, made))
    };
    checked("axas_config_regs", [], outcome)
}

/// Table frames that a mapping takes: exact in an otherwise empty space, else an upper bound. The root with all
/// its frames is included, the handle is not; table_quota and axas_stats count in the same way.
///
/// @param config Configuration of the space.
/// @param gpa First guest-physical address, a multiple of 4096.
/// @param size Bytes, a multiple of 4096, not 0.
/// @param flags Flags of the mapping: with AXAS_NEED_LAZY a lazy reservation (or a trap), with AXAS_POPULATE
///   memory in frames of 4 KiB, else linear memory whose host address is congruent to gpa modulo 1 GiB (with
///   AXAS_NO_HUGE the count is a bound for any host address).
/// @param frames Receives the number; untouched after an error.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null; in config unknown bits or values, feature bits of other formats, unaligned
///     base or size, size 0, base + size above 2^64, vmid out of range, pa_bits below 32; of the mapping
///     unknown bits, two memory types, no permission (linear memory: without part `hide`), AXAS_REPLACE,
///     AXAS_NEED_LAZY with AXAS_POPULATE, unaligned, size 0, overflow, outside the space;
///   AXAS_ERR_UNSUPPORTED: a format that is not built in, AXAS_FORMAT_NATIVE on a hosted build, levels, pa_bits
///     or gpa_bits that the format cannot have, AXAS_FEATURE_ARM_XNX, AXAS_FEATURE_RISCV_SVNAPOT,
///     AXAS_IGNORE_GUEST_PAT but on EPT, AXAS_IO on NPT, a vmid that needs AXAS_FEATURE_ARM_VMID16, an option
///     or a feature bit if the archive does not have that part (axas_parts), permissions or memory type that
///     the format cannot express, a tag above axas_tag_bits;
///   AXAS_ERR_NO_MEMORY: table_quota below the root's frames.
///
/// Pure: no lock, no callback. Later splits of huge pages take tables of their own.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_tables_needed(
    config: *const axas_config_t,
    gpa: axas_gpa_t,
    size: u64,
    flags: axas_flags_t,
    frames: *mut u64,
) -> axas_status_t {
    // SAFETY: 1. `config` is null or as large as it says; 2. `frames` is null or valid for a write.
    let outcome = unsafe {
        let mut read = axas_config_t::default();
        usable(frames)
            .and_then(|()| read_config(config, &mut read))
            .and_then(|()| tables_needed(&read, gpa, size, flags))
            .and_then(|needed| put(frames, needed))
    };
    checked("axas_tables_needed", [gpa, size, flags.into()], outcome)
}
