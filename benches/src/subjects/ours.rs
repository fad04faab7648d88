// SPDX-License-Identifier: MIT OR Apache-2.0
//! The archive `libaxaddrspace.a` as it ships for bare metal, through its C functions.
//!
//! They stand under names with a prefix, because the crate defines the plain ones in the same program.

use std::ffi::c_void;
use std::mem::size_of;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use axaddrspace::abi::*;

use super::{Calls, Handle, Opaque};
use crate::pool::{self, Pool};

// The shape of `include/axaddrspace.h`.
unsafe extern "C" {
    #[link_name = "shipped_axas_create"]
    fn axas_create(c: *const axas_config_t, h: *const axas_hal_t, space: *mut Handle) -> i32;
    #[link_name = "shipped_axas_destroy"]
    fn axas_destroy(space: Handle);
    #[link_name = "shipped_axas_map_linear"]
    fn axas_map_linear(space: Handle, gpa: u64, hpa: u64, size: u64, flags: u32) -> i32;
    #[link_name = "shipped_axas_map_alloc"]
    fn axas_map_alloc(space: Handle, gpa: u64, size: u64, flags: u32) -> i32;
    #[link_name = "shipped_axas_unmap"]
    fn axas_unmap(space: Handle, gpa: u64, size: u64) -> i32;
    #[link_name = "shipped_axas_protect"]
    fn axas_protect(space: Handle, gpa: u64, size: u64, flags: u32) -> i32;
    #[link_name = "shipped_axas_translate"]
    fn axas_translate(space: *const c_void, gpa: u64, hpa: *mut u64, run: *mut u64) -> i32;
    #[link_name = "shipped_axas_handle_page_fault"]
    fn axas_handle_page_fault(space: Handle, gpa: u64, access: u32) -> u32;
    #[link_name = "shipped_axas_read"]
    fn axas_read(
        space: Handle,
        gpa: u64,
        buffer: *mut c_void,
        bytes: usize,
        access: u32,
        done: *mut usize,
    ) -> i32;
    #[link_name = "shipped_axas_stats"]
    fn axas_stats(space: *const c_void, stats: *mut axas_stats_t) -> i32;
    #[link_name = "shipped_axas_root"]
    fn axas_root(space: *const c_void) -> u64;
}

/// The whole of what four levels translate.
pub const SIZE: u64 = 1 << 48;

pub fn config(options: u32) -> axas_config_t {
    axas_config_t {
        struct_size: size_of::<axas_config_t>() as u32,
        format: AXAS_FORMAT_EPT,
        levels: 4,
        pa_bits: 48,
        size: SIZE,
        features: AXAS_FEATURE_1G_PAGES,
        options: options | AXAS_NO_ZERO,
        ..Default::default()
    }
}

/// Answers that every TLB was flushed.
unsafe extern "C" fn tlb_flush(_: *mut c_void, request: *const axas_tlb_request_t) {
    std::hint::black_box(request);
}

/// The host: a direct map over the pool, table frames readable for ever.
pub fn hal(
    ctx: *mut c_void,
    alloc_frame: axas_alloc_frame_fn,
    dealloc_frame: axas_dealloc_frame_fn,
) -> axas_hal_t {
    axas_hal_t {
        struct_size: size_of::<axas_hal_t>() as u32,
        flags: AXAS_HAL_DIRECT_MAP | AXAS_HAL_DIRECT_MAP_LINEAR | AXAS_HAL_TABLES_STAY_READABLE,
        ctx,
        alloc_frame,
        dealloc_frame,
        phys_to_virt: None,
        release_virt: None,
        direct_map_offset: pool::OFFSET,
        tlb_flush: Some(tlb_flush),
        clean_range: None,
        should_yield: None,
        relax: None,
        released: None,
        arena: ptr::null_mut(),
        may_move: None,
        resolve: None,
        evicted: None,
    }
}

static POOL: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

/// Says where subjects take their frames from.
pub fn use_pool(pool: &'static Pool) {
    POOL.store(pool.context(), Ordering::Relaxed);
}

/// What subjects pass to the pool's callbacks.
#[inline(always)]
pub fn pool_context() -> *mut c_void {
    POOL.load(Ordering::Relaxed)
}

/// The host that draws on the pool.
pub fn pool_hal() -> axas_hal_t {
    hal(pool_context(), Some(pool::alloc_frame), Some(pool::dealloc_frame))
}

fn create(options: u32, hal: &axas_hal_t) -> Handle {
    let mut handle = ptr::null_mut();
    // SAFETY: all three live during the call; the callbacks are for this context.
    let status = unsafe { axas_create(&config(options), hal, &mut handle) };
    assert_eq!(status, AXAS_OK, "axas_create");
    handle
}

unsafe extern "C" fn create_locking() -> Handle {
    create(0, &pool_hal())
}

unsafe extern "C" fn create_caller_locked() -> Handle {
    create(AXAS_CALLER_LOCKED, &pool_hal())
}

/// Of the header, once it is there: empty tables stay for the next map.
const AXAS_KEEP_TABLES: u32 = 64;

/// Whether the library has [`AXAS_KEEP_TABLES`].
pub fn keeps_tables() -> bool {
    let mut handle = ptr::null_mut();
    // SAFETY: as in `create`.
    match unsafe { axas_create(&config(AXAS_KEEP_TABLES), &pool_hal(), &mut handle) } {
        // SAFETY: live until here.
        AXAS_OK => unsafe { axas_destroy(handle) },
        AXAS_ERR_INVALID_INPUT => return false,
        status => panic!("axas_create: {status}"),
    }
    true
}

unsafe extern "C" fn create_keeping() -> Handle {
    create(AXAS_KEEP_TABLES, &pool_hal())
}

/// Bytes of which [`note_released`] was told.
static RELEASED: AtomicU64 = AtomicU64::new(0);

/// Bytes released since the last call.
pub fn take_released() -> u64 {
    RELEASED.swap(0, Ordering::Relaxed)
}

/// The `released` of every subject.
///
/// # Safety
/// `run` points to a mapping.
#[inline(never)]
pub unsafe extern "C" fn note_released(_: *mut c_void, run: *const axas_mapping_t) {
    // SAFETY: by the caller's promise.
    let size = unsafe { (*run).size };
    // One thread calls: a load and a store do.
    RELEASED.store(RELEASED.load(Ordering::Relaxed) + size, Ordering::Relaxed);
}

/// What a peer does with a page that is no longer mapped.
#[inline(always)]
pub fn tell(gpa: u64, hpa: u64) {
    let run = axas_mapping_t { gpa, hpa, size: pool::FRAME, ..Default::default() };
    // SAFETY: a mapping.
    unsafe { note_released(ptr::null_mut(), &run) }
}

/// The host that is told of every run of linear pages that goes.
pub fn telling_hal() -> axas_hal_t {
    axas_hal_t { released: Some(note_released), ..pool_hal() }
}

unsafe extern "C" fn create_telling() -> Handle {
    create(0, &telling_hal())
}

unsafe extern "C" fn create_of_threads() -> Handle {
    create(0, &hal(ptr::null_mut(), Some(pool::alloc_own), Some(pool::dealloc_own)))
}

pub const CALLS: Calls = Calls {
    create: create_locking,
    destroy: axas_destroy,
    map: axas_map_linear,
    unmap: axas_unmap,
    protect: axas_protect,
    translate: axas_translate,
    reserve: axas_map_alloc,
    fault: axas_handle_page_fault,
};

pub const CALLER_LOCKED: Calls = Calls { create: create_caller_locked, ..CALLS };

/// Empty tables stay.
pub const KEEPING: Calls = Calls { create: create_keeping, ..CALLS };

/// Runs that go are reported.
pub const TELLING: Calls = Calls { create: create_telling, ..CALLS };

/// Frames come from the thread that calls.
pub const OF_THREADS: Calls = Calls { create: create_of_threads, ..CALLS };

/// What only ours can.
impl Opaque {
    /// Table frames, the root among them.
    pub fn table_frames(&self) -> u64 {
        let mut stats = axas_stats_t::default();
        // SAFETY: a space of ours.
        assert_eq!(unsafe { axas_stats(self.handle, &mut stats) }, AXAS_OK);
        stats.table_frames
    }

    /// Host-physical address of the root.
    pub fn root(&self) -> u64 {
        // SAFETY: a space of ours.
        unsafe { axas_root(self.handle) }
    }

    /// Copies from the guest's memory.
    pub fn read(&self, gpa: u64, into: &mut [u8]) -> i32 {
        // SAFETY: a space of ours; the buffer has that many bytes.
        unsafe {
            axas_read(self.handle, gpa, into.as_mut_ptr().cast(), into.len(), 0, ptr::null_mut())
        }
    }
}
