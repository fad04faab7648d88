// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a callback of the host is called: by the pointer it gave, or, with the feature `static-hal`, by
//! the name that the linker knows, so that no indirect branch is taken. The pointer then says only
//! whether the callback is there.

/// The function to call for a callback whose pointer is there.
#[cfg(not(feature = "static-hal"))]
macro_rules! callback {
    ($name:ident, $pointer:expr) => {
        $pointer
    };
}

/// The function to call for a callback whose pointer is there.
#[cfg(feature = "static-hal")]
macro_rules! callback {
    ($name:ident, $pointer:expr) => {{
        let _ = $pointer;
        $crate::hal::callback::$name
    }};
}

pub(super) use callback;

#[cfg(feature = "static-hal")]
use core::ffi::c_void;

#[cfg(feature = "static-hal")]
use crate::abi::*;

#[cfg(feature = "static-hal")]
unsafe extern "C" {
    /// The host's alloc_frame for archives built with STATIC_HAL=1, which call this function and the ones below
    /// where other archives call the members of axas_hal_t. There a null member still means "not supplied", and
    /// any other value means the function. All of them must be defined; one whose member is always null may be
    /// empty.
    pub fn axas_hal_alloc_frame(ctx: *mut c_void, order: u32, purpose: u32) -> axas_hpa_t;
    /// dealloc_frame, see axas_hal_alloc_frame.
    pub fn axas_hal_dealloc_frame(ctx: *mut c_void, frame: axas_hpa_t, order: u32, purpose: u32);
    /// phys_to_virt, see axas_hal_alloc_frame.
    pub fn axas_hal_phys_to_virt(ctx: *mut c_void, pa: axas_hpa_t, size: usize) -> *mut c_void;
    /// release_virt, see axas_hal_alloc_frame.
    pub fn axas_hal_release_virt(ctx: *mut c_void, va: *mut c_void, size: usize);
    /// tlb_flush, see axas_hal_alloc_frame.
    pub fn axas_hal_tlb_flush(ctx: *mut c_void, request: *const axas_tlb_request_t);
    /// clean_range, see axas_hal_alloc_frame.
    pub fn axas_hal_clean_range(ctx: *mut c_void, va: *mut c_void, size: usize, purpose: u32);
    /// should_yield, see axas_hal_alloc_frame.
    pub fn axas_hal_should_yield(ctx: *mut c_void) -> u32;
    /// relax, see axas_hal_alloc_frame.
    pub fn axas_hal_relax(ctx: *mut c_void);
    /// released, see axas_hal_alloc_frame.
    pub fn axas_hal_released(ctx: *mut c_void, run: *const axas_mapping_t);
    /// may_move, see axas_hal_alloc_frame; for archives with part `merge` only.
    pub fn axas_hal_may_move(ctx: *mut c_void, gpa: axas_gpa_t, hpa: axas_hpa_t) -> u32;
    /// resolve, see axas_hal_alloc_frame; for archives with part `provider` only.
    pub fn axas_hal_resolve(
        ctx: *mut c_void,
        provider: u32,
        gpa: axas_gpa_t,
        access: u32,
        answer: *mut axas_supply_t,
    ) -> u32;
    /// evicted, see axas_hal_alloc_frame; for archives with part `provider` only.
    pub fn axas_hal_evicted(ctx: *mut c_void, run: *const axas_mapping_t, dirty: u32) -> u32;
}
