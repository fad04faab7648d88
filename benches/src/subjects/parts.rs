// SPDX-License-Identifier: MIT OR Apache-2.0
//! The archive for bare metal with all parts, through its C functions: the core's calls, and those of parts.

use std::ffi::c_void;
use std::ptr;

use axaddrspace::abi::*;

use super::ours::{SIZE, config, pool_hal};
use super::{Calls, Handle};

// The shape of `include/axaddrspace.h`.
unsafe extern "C" {
    #[link_name = "parts_axas_create"]
    fn axas_create(c: *const axas_config_t, h: *const axas_hal_t, space: *mut Handle) -> i32;
    #[link_name = "parts_axas_destroy"]
    fn axas_destroy(space: Handle);
    #[link_name = "parts_axas_map_linear"]
    fn axas_map_linear(space: Handle, gpa: u64, hpa: u64, size: u64, flags: u32) -> i32;
    #[link_name = "parts_axas_map_alloc"]
    fn axas_map_alloc(space: Handle, gpa: u64, size: u64, flags: u32) -> i32;
    #[link_name = "parts_axas_unmap"]
    fn axas_unmap(space: Handle, gpa: u64, size: u64) -> i32;
    #[link_name = "parts_axas_protect"]
    fn axas_protect(space: Handle, gpa: u64, size: u64, flags: u32) -> i32;
    #[link_name = "parts_axas_translate"]
    fn axas_translate(space: *const c_void, gpa: u64, hpa: *mut u64, run: *mut u64) -> i32;
    #[link_name = "parts_axas_handle_page_fault"]
    fn axas_handle_page_fault(space: Handle, gpa: u64, access: u32) -> u32;
    #[link_name = "parts_axas_merge"]
    fn axas_merge(space: Handle, gpa: u64, size: u64, flags: u32, merged: *mut u64) -> i32;
    #[link_name = "parts_axas_dirty_start"]
    fn axas_dirty_start(space: Handle, gpa: u64, size: u64, options: u32) -> i32;
    #[link_name = "parts_axas_dirty_get"]
    fn axas_dirty_get(
        space: Handle,
        gpa: u64,
        size: u64,
        bitmap: *mut u64,
        bits: usize,
        count: *mut u64,
    ) -> i32;
    #[link_name = "parts_axas_dirty_clear"]
    fn axas_dirty_clear(
        space: Handle,
        gpa: u64,
        size: u64,
        bitmap: *const u64,
        bits: usize,
        options: u32,
    ) -> i32;
    #[link_name = "parts_axas_transfer"]
    fn axas_transfer(
        from: Handle,
        from_gpa: u64,
        to: Handle,
        to_gpa: u64,
        size: u64,
        how: *const axas_transfer_t,
    ) -> i32;
    #[link_name = "parts_axas_map_provider"]
    fn axas_map_provider(space: Handle, gpa: u64, size: u64, flags: u32, provider: u32) -> i32;
    #[link_name = "parts_axas_supply"]
    fn axas_supply(space: Handle, gpa: u64, hpa: u64, size: u64, flags: u32, how: u32) -> i32;
    #[link_name = "parts_axas_evict"]
    fn axas_evict(space: Handle, gpa: u64, size: u64, provider: u32) -> i32;
}

fn create_with(features: u32, hal: &axas_hal_t) -> Handle {
    let mut config = config(0);
    config.features |= features;
    let mut handle = ptr::null_mut();
    // SAFETY: all three live during the call; the callbacks are for this context.
    let status = unsafe { axas_create(&config, hal, &mut handle) };
    assert_eq!(status, AXAS_OK, "axas_create");
    handle
}

unsafe extern "C" fn create() -> Handle {
    create_with(0, &pool_hal())
}

pub const CALLS: Calls = Calls {
    create,
    destroy: axas_destroy,
    map: axas_map_linear,
    unmap: axas_unmap,
    protect: axas_protect,
    translate: axas_translate,
    reserve: axas_map_alloc,
    fault: axas_handle_page_fault,
};

/// Host less guest address of the pages that [`answer_now`] brings.
pub const PROVIDED_AT: u64 = 256 << 30;

/// A provider that has each page.
unsafe extern "C" fn answer_now(
    _: *mut c_void,
    _: u32,
    gpa: u64,
    _: u32,
    answer: *mut axas_supply_t,
) -> u32 {
    // SAFETY: the library's answer, to be filled.
    unsafe { (*answer).hpa = gpa + PROVIDED_AT };
    AXAS_RESOLVE_NOW
}

/// A provider that has no page yet.
unsafe extern "C" fn answer_later(
    _: *mut c_void,
    _: u32,
    _: u64,
    _: u32,
    _: *mut axas_supply_t,
) -> u32 {
    AXAS_RESOLVE_LATER
}

/// A space, for calls of parts. All of them must succeed.
pub struct Space(Handle);

// SAFETY, for each call below: the handle came from `create_with` and is destroyed in `drop` only; arrays are as long
// as the call is told.
impl Space {
    pub fn new() -> Self {
        Self(create_with(0, &pool_hal()))
    }

    /// Its hardware sets accessed and dirty flags.
    pub fn with_dirty_flags() -> Self {
        Self(create_with(AXAS_FEATURE_EPT_AD, &pool_hal()))
    }

    /// Its provider has each page at once.
    pub fn provided_now() -> Self {
        Self(create_with(0, &axas_hal_t { resolve: Some(answer_now), ..pool_hal() }))
    }

    /// Its provider has no page yet.
    pub fn provided_later() -> Self {
        Self(create_with(0, &axas_hal_t { resolve: Some(answer_later), ..pool_hal() }))
    }

    pub fn map(&self, gpa: u64, hpa: u64, size: u64, flags: u32) {
        assert_eq!(unsafe { axas_map_linear(self.0, gpa, hpa, size, flags) }, AXAS_OK);
    }

    pub fn clear(&self) {
        assert_eq!(unsafe { axas_unmap(self.0, 0, SIZE) }, AXAS_OK);
    }

    #[inline(always)]
    pub fn fault(&self, gpa: u64, access: u32) -> u32 {
        unsafe { axas_handle_page_fault(self.0, gpa, access) }
    }

    /// How many tables went.
    pub fn merge(&self, gpa: u64, size: u64) -> u64 {
        let mut merged = 0;
        assert_eq!(unsafe { axas_merge(self.0, gpa, size, 0, &mut merged) }, AXAS_OK);
        merged
    }

    #[inline(always)]
    pub fn dirty_start(&self, gpa: u64, size: u64, options: u32) {
        assert_eq!(unsafe { axas_dirty_start(self.0, gpa, size, options) }, AXAS_OK);
    }

    /// How many pages are dirty.
    pub fn dirty_get(&self, gpa: u64, size: u64, bitmap: &mut [u64]) -> u64 {
        let (words, bits, mut count) = (bitmap.as_mut_ptr(), bitmap.len() * 64, 0);
        let status = unsafe { axas_dirty_get(self.0, gpa, size, words, bits, &mut count) };
        assert_eq!(status, AXAS_OK);
        count
    }

    pub fn dirty_clear(&self, gpa: u64, size: u64, bitmap: &[u64]) {
        let (words, bits) = (bitmap.as_ptr(), bitmap.len() * 64);
        assert_eq!(unsafe { axas_dirty_clear(self.0, gpa, size, words, bits, 0) }, AXAS_OK);
    }

    #[inline(always)]
    pub fn transfer(&self, to: &Self, gpa: u64, size: u64, how: &axas_transfer_t) {
        assert_eq!(unsafe { axas_transfer(self.0, gpa, to.0, gpa, size, how) }, AXAS_OK);
    }

    pub fn map_provider(&self, gpa: u64, size: u64, flags: u32) {
        assert_eq!(unsafe { axas_map_provider(self.0, gpa, size, flags, 1) }, AXAS_OK);
    }

    #[inline(always)]
    pub fn supply(&self, gpa: u64, hpa: u64, size: u64, flags: u32) {
        let status = unsafe { axas_supply(self.0, gpa, hpa, size, flags, AXAS_RESOLVE_NOW) };
        assert_eq!(status, AXAS_OK);
    }

    pub fn evict(&self, gpa: u64, size: u64) {
        assert_eq!(unsafe { axas_evict(self.0, gpa, size, 1) }, AXAS_OK);
    }
}

impl Default for Space {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // SAFETY: live until here.
        unsafe { axas_destroy(self.0) }
    }
}
