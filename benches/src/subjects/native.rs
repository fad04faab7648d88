// SPDX-License-Identifier: MIT OR Apache-2.0
//! The crate itself: its methods called directly, open to inlining.

use std::ptr::NonNull;

use axaddrspace::address_space::AddressSpace;

use super::Tables;
use crate::subjects::ours;

pub struct Native(NonNull<AddressSpace>);

impl Native {
    pub fn new() -> Self {
        let space = AddressSpace::create(&ours::config(0), &ours::pool_hal());
        Self(space.unwrap_or_else(|error| panic!("no space: {error:?}")))
    }

    /// Its host is told of every run of linear pages that goes.
    pub fn telling() -> Self {
        let space = AddressSpace::create(&ours::config(0), &ours::telling_hal());
        Self(space.unwrap_or_else(|error| panic!("no space: {error:?}")))
    }

    #[inline(always)]
    fn space(&self) -> &AddressSpace {
        // SAFETY: live until `drop`.
        unsafe { self.0.as_ref() }
    }
}

impl Default for Native {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        // SAFETY: live until here, and nobody else has it.
        unsafe { AddressSpace::destroy(self.0) }
    }
}

fn status<E>(outcome: Result<(), E>) -> i32 {
    if outcome.is_ok() { 0 } else { -1 }
}

impl Tables for Native {
    #[inline(always)]
    fn map(&self, gpa: u64, hpa: u64, size: u64, flags: u32) -> i32 {
        status(self.space().map_linear(gpa, hpa, size, flags))
    }

    #[inline(always)]
    fn unmap(&self, gpa: u64, size: u64) -> i32 {
        status(self.space().unmap(gpa, size))
    }

    #[inline(always)]
    fn protect(&self, gpa: u64, size: u64, flags: u32) -> i32 {
        status(self.space().protect(gpa, size, flags))
    }

    #[inline(always)]
    fn translate(&self, gpa: u64, hpa: &mut u64, run: &mut u64) -> i32 {
        status(self.space().translate(gpa).map(|found| (*hpa, *run) = found))
    }

    #[inline(always)]
    fn reserve(&self, gpa: u64, size: u64, flags: u32) -> i32 {
        status(self.space().map_alloc(gpa, size, flags))
    }

    #[inline(always)]
    fn fault(&self, gpa: u64, access: u32) -> u32 {
        self.space().page_fault(gpa, access) as u32
    }
}
