// SPDX-License-Identifier: MIT OR Apache-2.0
//! Making and ending spaces.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, AtomicU64};

use super::map::largest_leaf;
use super::{AddressSpace, Alone, NO_FRAME};
use crate::abi::*;
use crate::addr::{GuestRange, HostPhysAddr, PAGE_SIZE, guest_range, is_page_aligned};
use crate::error::{Error, Result};
use crate::flags::{Attributes, MapFlags, MapOptions, MemoryType, Permissions};
use crate::hal::{DirectMap, Host, Purpose, native_format, native_levels, native_pa_bits};
use crate::logging;
use crate::npt::AGES;
use crate::npt::arch::{
    Features, Format, FormatId, RootState, Shape, ShapeRequest, with_format, with_space_format,
};
use crate::npt::entry::Entry;
use crate::npt::io;
use crate::npt::lock::{Lock, Shard};
use crate::npt::units::{Level, fresh_tables};
use crate::npt::work::Work;
use crate::npt::{KEEPS_TABLES, registers};

const OPTIONS: u32 = AXAS_CALLER_LOCKED
    | AXAS_FRAMES_ARE_ZEROED
    | AXAS_NO_ZERO
    | AXAS_NONCOHERENT_WALK
    | AXAS_NO_WAIT
    | AXAS_IO
    | AXAS_KEEP_TABLES
    | AXAS_SMALL_EXEC
    | AXAS_IGNORE_GUEST_PAT;

/// What a configuration comes to.
struct Plan {
    format: FormatId,
    range: GuestRange,
    shape: Shape,
    features: Features,
    quota: u64,
    builtin_flush: bool,
    /// A page of write-back memory, without address and permissions.
    write_back: u64,
    /// The permissions that a page can have: a bit for each value but none.
    permissions: u8,
}

/// Whether the format can have a VMID.
pub(super) fn check_vmid<F: Format>(vmid: u32, features: Features) -> Result<()> {
    F::check_vmid(vmid, features)
}

impl AddressSpace {
    /// Creates a space whose handle lives in a frame of the host.
    pub fn create(config: &axas_config_t, hal: &axas_hal_t) -> Result<NonNull<Self>> {
        // SAFETY: there is no storage.
        unsafe { Self::build(None, config, || Host::new(hal)) }
    }

    /// Creates a space whose handle lives in storage of the caller.
    ///
    /// # Safety
    /// `storage` is null or valid for `bytes` bytes, which no other code uses until the space is destroyed.
    pub unsafe fn create_in(
        storage: *mut u8,
        bytes: usize,
        config: &axas_config_t,
        hal: &axas_hal_t,
    ) -> Result<NonNull<Self>> {
        // SAFETY: the caller's promise is the one asked for.
        unsafe { Self::build(Some((storage, bytes)), config, || Host::new(hal)) }
    }

    /// Creates a space in storage or, without any, in a frame of the host.
    ///
    /// # Safety
    /// As for [`AddressSpace::create_in`].
    pub(crate) unsafe fn build(
        storage: Option<(*mut u8, usize)>,
        config: &axas_config_t,
        host: impl FnOnce() -> Result<Host>,
    ) -> Result<NonNull<Self>> {
        let storage =
            storage.map(|(storage, bytes)| checked_storage(storage, bytes)).transpose()?;
        check_config(config)?;
        // Host and plan stay where they were made: each move is a copy on the stack.
        let mut host = host();
        let host_here = host.as_mut().map_err(|error| *error)?;
        let plan = plan_for(config, host_here);
        let plan = plan.as_ref().map_err(|error| *error)?;
        let (place, bytes, handle) = match storage {
            Some((place, bytes)) => (place, bytes, None),
            None => {
                let (place, handle) = handle_of(host_here)?;
                (place, PAGE_SIZE as usize, Some(handle))
            }
        };
        // SAFETY: 1. large enough and aligned, checked in both cases; 2. ours, by the caller's promise or as
        // a frame just taken, reachable until it goes back (the host then has no windows that would close);
        // 3. the host is forgotten.
        let space = unsafe {
            Self::place(place, bytes, plan, config, host_here, handle);
            place.as_ref()
        };
        core::mem::forget(host);
        match space.take_root() {
            Ok(root) => {
                // SAFETY: no other code has seen the space; the reference above is not used any more.
                unsafe { (&raw mut (*place.as_ptr()).npt.root).write(root) };
                Ok(place)
            }
            Err(error) => {
                match handle {
                    // SAFETY: no other code has seen the space.
                    Some(handle) => unsafe { give_handle(place, handle) },
                    None => space.npt.host.report(),
                }
                Err(error)
            }
        }
    }

    /// Removes everything and gives every frame back.
    ///
    /// # Safety
    /// The space is live, no other code uses it now or later.
    pub unsafe fn destroy(place: NonNull<Self>) {
        // SAFETY: 1. live by the caller's promise; 2. only shared references exist.
        let space = unsafe { place.as_ref() };
        // No other call uses the space: there is no lock to wait for.
        let mut alone = Alone { space };
        space.npt.end_stock(&mut alone.work().stock);
        if space.remove_all(alone).is_err() {
            logging::error(
                c"axaddrspace::space",
                "destroy: corrupt tables, frames are lost",
                space.root(),
                0,
            );
        }
        space.npt.host.give(space.npt.root, space.npt.shape.root_order, Purpose::Root);
        if space.handle != NO_FRAME {
            // SAFETY: the space is not used any more.
            unsafe { give_handle(place, space.handle) };
        }
    }

    /// Takes the root and empties it.
    #[inline(never)]
    fn take_root(&self) -> Result<HostPhysAddr> {
        let order = self.npt.shape.root_order;
        let root = self.npt.take_root()?;
        for page in 0..self.npt.root_pages() {
            let filled = with_space_format!(self.npt.format, F => {
                let page = root.page(page);
                self.npt.fill_unseen(page, Entry::<F>::EMPTY).ok_or(Error::BadState)
            });
            if filled.is_err() {
                self.npt.host.give(root, order, Purpose::Root);
                return filled.map(|()| root);
            }
        }
        Ok(root)
    }

    /// Writes a new space, without a root, where it is to live.
    ///
    /// # Safety
    /// `place` is valid for a write, aligned, and used by no other code; `host` is moved: it is not used or
    /// dropped any more.
    #[inline(never)]
    unsafe fn place(
        place: NonNull<Self>,
        bytes: usize,
        plan: &Plan,
        config: &axas_config_t,
        host: &Host,
        handle: Option<HostPhysAddr>,
    ) {
        let has = |option| config.options & option != 0;
        let direct = host.direct_map();
        let is_direct = direct.is_some();
        let cleans_tables = plan.features.cleans_tables();
        let space = place.as_ptr();
        // SAFETY: the lines of the lock are behind the space in the same storage.
        let lines = unsafe { place.add(1).cast() };
        let room =
            bytes.saturating_sub(size_of::<Self>()).checked_div(size_of::<Shard>()).unwrap_or(0);
        // Member by member: whole, the space would be too large for the stacks of many hosts.
        // SAFETY: 1. by the caller's promise the place is valid for writes of all members, of which none
        // was initialised; 2. numbers, flags and what the work is may be zeroes, everything else is written below; 3. the
        // lock writes all of itself; 4. the host is not used any more.
        unsafe {
            space.write_bytes(0, 1);
            let npt = &raw mut (*space).npt;
            (&raw mut (*npt).lock).write(Lock::over(lines, room, has(AXAS_CALLER_LOCKED)));
            (*npt).offset = direct.map_or(0, DirectMap::offset);
            (*npt).range = plan.range;
            (&raw mut (*npt).generation).write(crate::sync::AtomicU64::new(0));
            (*npt).write_back = plan.write_back;
            (*npt).features = plan.features;
            (*npt).levels = Level::new(plan.shape.levels);
            (*npt).is_direct = is_direct;
            let reads_unlocked = is_direct && host.tables_stay_readable();
            let is_short = (*npt).levels <= Level::SHORT;
            (*npt).reads_unlocked = reads_unlocked;
            (*npt).has_short_looks = reads_unlocked && is_short;
            let is_plain = is_direct && is_short && !cleans_tables;
            if is_plain {
                (*npt).short_permissions = plan.permissions;
            }
            (*npt).has_short_unmaps = is_plain;
            (*npt).cleans_tables = cleans_tables;
            (*npt).small_exec = has(AXAS_SMALL_EXEC);
            let zeroes_frames = !has(AXAS_FRAMES_ARE_ZEROED | AXAS_NO_ZERO);
            (*npt).zeroes_frames = zeroes_frames;
            (*npt).has_short_faults = is_plain && !zeroes_frames;
            #[cfg(feature = "age")]
            (&raw mut (*npt).short_faults).write((is_plain && !zeroes_frames).into());
            (*npt).keeps_tables = has(AXAS_KEEP_TABLES);
            (&raw mut (*npt).format).write(plan.format);
            (*npt).table_quota = plan.quota;
            (*npt).counts.allocated = AtomicU64::new(u64::from(handle.is_some()));
            (*npt).vmid = AtomicU32::new(config.vmid);
            (*npt).shape = plan.shape;
            (&raw mut (*npt).host).copy_from_nonoverlapping(host, 1);
            (*space).options = config.options;
            (&raw mut (*space).handle).write(handle.unwrap_or(NO_FRAME));
            Work::begin((&raw mut (*space).work).cast());
        }
    }
}

/// Gives the frame back that a handle lives in.
///
/// # Safety
/// The space is live, and not used any more.
#[inline(never)]
unsafe fn give_handle(place: NonNull<AddressSpace>, handle: HostPhysAddr) {
    // SAFETY: 1. by the caller's promise; 2. the host is moved out before its storage goes.
    let host = unsafe { (&raw const (*place.as_ptr()).npt.host).read() };
    host.give(handle, 0, Purpose::Table);
}

/// Where a space may live in storage of the caller.
fn checked_storage(storage: *mut u8, bytes: usize) -> Result<(NonNull<AddressSpace>, usize)> {
    let place = NonNull::new(storage.cast::<AddressSpace>()).ok_or(Error::InvalidInput)?;
    let misaligned = place.addr().get() & (AXAS_STORAGE_ALIGN as usize).wrapping_sub(1) != 0;
    if misaligned || bytes < AXAS_STORAGE_SIZE as usize {
        return Err(Error::InvalidInput);
    }
    Ok((place, bytes))
}

/// Takes a frame for a handle, which [`AddressSpace::place`] counts.
#[inline(never)]
fn handle_of(host: &Host) -> Result<(NonNull<AddressSpace>, HostPhysAddr)> {
    if host.has_windows() {
        return Err(Error::Unsupported);
    }
    let handle = host.take(0, Purpose::Table)?;
    match host.window(handle).map(|window| window.base().cast::<AddressSpace>()) {
        Ok(place) if place.is_aligned() => Ok((place, handle)),
        _ => {
            host.give(handle, 0, Purpose::Table);
            Err(Error::BadState)
        }
    }
}

/// Checks everything else that can be checked before the first frame is taken.
#[inline(never)]
fn plan_for(config: &axas_config_t, host: &mut Host) -> Result<Plan> {
    let plan = plan(config);
    if let Ok(plan) = &plan {
        if host.flushes_builtin() && !plan.builtin_flush {
            return Err(Error::Unsupported);
        }
        io::check_host(plan.features, host)?;
        host.set_pa_bits(plan.shape.pa_bits);
    }
    plan
}

fn format(number: u32) -> Result<FormatId> {
    match number {
        AXAS_FORMAT_NATIVE => native_format().ok_or(Error::Unsupported),
        AXAS_FORMAT_EPT => Ok(FormatId::Ept),
        AXAS_FORMAT_NPT => Ok(FormatId::Npt),
        AXAS_FORMAT_ARM_S2 => Ok(FormatId::ArmStage2),
        AXAS_FORMAT_RISCV_GSTAGE => Ok(FormatId::RiscvGstage),
        _ => Err(Error::InvalidInput),
    }
}

#[inline(never)]
fn plan(config: &axas_config_t) -> Result<Plan> {
    with_format!(format(config.format)?, F => plan_in::<F>(config))
}

fn plan_in<F: Format>(config: &axas_config_t) -> Result<Plan> {
    let has = |option| config.options & option != 0;
    let known = if has(AXAS_IO) { F::FEATURES | io::FEATURES } else { F::FEATURES };
    if config.features & !known != 0 {
        return Err(Error::InvalidInput);
    }
    let is_unsupported = has(AXAS_IGNORE_GUEST_PAT) && !F::IGNORES_GUEST_PAT
        || has(AXAS_KEEP_TABLES) && !KEEPS_TABLES
        || has(AXAS_IO) && !(io::IS_BUILT_IN && F::SHARES_WITH_IOMMU);
    let unsupported = F::UNSUPPORTED_FEATURES | if AGES { 0 } else { AXAS_FEATURE_IO_DIRTY };
    if config.features & unsupported != 0 || is_unsupported {
        return Err(Error::Unsupported);
    }
    let features = Features::new(config.features, config.options);
    F::check_vmid(config.vmid, features)?;
    if !is_page_aligned(config.base | config.size) || config.size == 0 {
        return Err(Error::InvalidInput);
    }
    // A space may end at 2^64 as far as arithmetic goes; then no format is wide enough.
    let last = config.base.checked_add(config.size.wrapping_sub(1)).ok_or(Error::InvalidInput)?;
    // CPUID is slow where it is emulated, so that the CPU is asked for nothing that the host said.
    let levels = match config.levels {
        0 => native_levels(F::ID).unwrap_or(0),
        levels => levels,
    };
    let pa_bits = match config.pa_bits {
        0 => native_pa_bits().map_or(0, |bits| bits.min(F::MAX_PA_BITS)),
        pa_bits => pa_bits,
    };
    let shape = F::shape(ShapeRequest {
        levels,
        gpa_bits: config.gpa_bits,
        pa_bits,
        needed_bits: u64::BITS.wrapping_sub(last.leading_zeros()),
    })?;
    let range = guest_range(config.base, config.size)?;
    let quota = match u64::from(config.table_quota) {
        0 => u64::MAX,
        quota if quota < 1_u64.wrapping_shl(shape.root_order) => return Err(Error::NoMemory),
        quota => quota,
    };
    let builtin_flush = F::BUILTIN_FLUSH;
    let attributes = Attributes::new(Permissions::READ, MemoryType::WriteBack);
    let write_back = F::leaf(attributes, features, 1)? & !F::PERMISSIONS;
    let permissions = F::possible_permissions(features) & !1;
    Ok(Plan {
        format: F::ID,
        range,
        shape,
        features,
        quota,
        builtin_flush,
        write_back,
        permissions,
    })
}

/// What to load into the hardware for a space that does not exist yet: its root is at 0.
pub fn config_regs(config: &axas_config_t) -> Result<axas_hw_regs_t> {
    check_config(config)?;
    let plan = plan(config);
    let Plan { format, shape, features, .. } = plan.as_ref().map_err(|error| *error)?;
    let (shape, features) = (*shape, *features);
    let state = RootState { root: 0, vmid: config.vmid, shape, features };
    Ok(registers(*format, state))
}

/// Table frames that a mapping needs in a space of its own, the root's included; never fewer than it
/// needs beside others.
pub fn tables_needed(
    config: &axas_config_t,
    gpa: u64,
    size: u64,
    flags: axas_flags_t,
) -> Result<u64> {
    check_config(config)?;
    let plan = plan(config);
    let plan = plan.as_ref().map_err(|error| *error)?;
    let small_exec = config.options & AXAS_SMALL_EXEC != 0;
    let leaf_level =
        with_format!(plan.format, F => leaf_level_of::<F>(flags, plan.features, small_exec))?;
    let leaf_level = if leaf_level == 0 { plan.shape.levels } else { leaf_level };
    let range = guest_range(gpa, size)?;
    let is_inside = range.start >= plan.range.start && range.end <= plan.range.end;
    if !is_page_aligned(gpa | size) || size == 0 || !is_inside {
        return Err(Error::InvalidInput);
    }
    let below = fresh_tables(Level::new(plan.shape.levels), range, Level::new(leaf_level));
    Ok(below.saturating_add(1_u64.wrapping_shl(plan.shape.root_order)))
}

/// The largest level of leaf for the count of tables; 0 where entries of any level will do.
fn leaf_level_of<F: Format>(
    flags: axas_flags_t,
    features: Features,
    small_exec: bool,
) -> Result<u32> {
    let options = MapOptions::all().difference(MapOptions::REPLACE);
    let flags = MapFlags::parse(flags, options, F::tag_bits(features))?;
    if flags.options.intersects(MapOptions::NEED_LAZY | MapOptions::POPULATE) {
        flags.attributes.permissions.check_some()?;
    } else {
        flags.attributes.permissions.check_page()?;
    }
    Entry::<F>::page_template(flags.attributes, features, 1, false)?;
    match (
        flags.options.contains(MapOptions::NEED_LAZY),
        flags.options.contains(MapOptions::POPULATE),
    ) {
        (true, true) => Err(Error::InvalidInput),
        (true, false) => Ok(0),
        (false, true) => Ok(1),
        (false, false) => Ok(largest_leaf(flags, F::max_leaf_level(features), small_exec)),
    }
}

fn check_config(config: &axas_config_t) -> Result<()> {
    if config.options & !OPTIONS != 0 || config.reserved != 0 {
        return Err(Error::InvalidInput);
    }
    Ok(())
}
