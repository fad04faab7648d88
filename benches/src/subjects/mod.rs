// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who is measured: the same operations, in the shape of the C interface, for each.

pub mod native;
pub mod ours;
pub mod parts;
pub mod ptm;
pub mod x86;

use std::ffi::c_void;
use std::hint::black_box;

/// What a subject's `create` returns.
pub type Handle = *mut c_void;

/// The guest may do everything.
pub const RWX: u32 = 7;
/// Read and execute.
pub const RX: u32 = 5;
/// A write access.
pub const WRITE: u32 = 2;

/// Second-stage tables that can do what is measured. All calls return 0 for success.
pub trait Tables {
    fn map(&self, gpa: u64, hpa: u64, size: u64, flags: u32) -> i32;
    fn unmap(&self, gpa: u64, size: u64) -> i32;
    fn protect(&self, gpa: u64, size: u64, flags: u32) -> i32;
    fn translate(&self, gpa: u64, hpa: &mut u64, run: &mut u64) -> i32;
    /// Sets memory aside for [`Tables::fault`].
    fn reserve(&self, gpa: u64, size: u64, flags: u32) -> i32;
    fn fault(&self, gpa: u64, access: u32) -> u32;
}

/// A subject behind C functions: pointers to them that the compiler does not see through.
#[derive(Clone, Copy)]
pub struct Calls {
    pub create: unsafe extern "C" fn() -> Handle,
    pub destroy: unsafe extern "C" fn(Handle),
    pub map: unsafe extern "C" fn(Handle, u64, u64, u64, u32) -> i32,
    pub unmap: unsafe extern "C" fn(Handle, u64, u64) -> i32,
    pub protect: unsafe extern "C" fn(Handle, u64, u64, u32) -> i32,
    pub translate: unsafe extern "C" fn(*const c_void, u64, *mut u64, *mut u64) -> i32,
    pub reserve: unsafe extern "C" fn(Handle, u64, u64, u32) -> i32,
    pub fault: unsafe extern "C" fn(Handle, u64, u32) -> u32,
}

/// Tables behind C functions.
pub struct Opaque {
    pub handle: Handle,
    calls: Calls,
}

impl Opaque {
    pub fn new(calls: Calls) -> Self {
        let calls = black_box(calls);
        // SAFETY: 1. a function of the subject's own; 2. it finds the pool that `main` made.
        let handle = unsafe { (calls.create)() };
        assert!(!handle.is_null(), "no space");
        Self { handle, calls }
    }
}

// SAFETY, for each call below: the handle came from `create` and is destroyed in `drop` only.
impl Tables for Opaque {
    #[inline(always)]
    fn map(&self, gpa: u64, hpa: u64, size: u64, flags: u32) -> i32 {
        unsafe { (self.calls.map)(self.handle, gpa, hpa, size, flags) }
    }

    #[inline(always)]
    fn unmap(&self, gpa: u64, size: u64) -> i32 {
        unsafe { (self.calls.unmap)(self.handle, gpa, size) }
    }

    #[inline(always)]
    fn protect(&self, gpa: u64, size: u64, flags: u32) -> i32 {
        unsafe { (self.calls.protect)(self.handle, gpa, size, flags) }
    }

    #[inline(always)]
    fn translate(&self, gpa: u64, hpa: &mut u64, run: &mut u64) -> i32 {
        unsafe { (self.calls.translate)(self.handle, gpa, hpa, run) }
    }

    #[inline(always)]
    fn reserve(&self, gpa: u64, size: u64, flags: u32) -> i32 {
        unsafe { (self.calls.reserve)(self.handle, gpa, size, flags) }
    }

    #[inline(always)]
    fn fault(&self, gpa: u64, access: u32) -> u32 {
        unsafe { (self.calls.fault)(self.handle, gpa, access) }
    }
}

impl Drop for Opaque {
    fn drop(&mut self) {
        // SAFETY: live until here.
        unsafe { (self.calls.destroy)(self.handle) }
    }
}
