// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests to invalidate translations.

use super::Host;
use super::callback::callback;
use crate::abi::*;
use crate::addr::Bits;
use crate::npt::units::{Gpa, GpaRange, Level};

/// Translations to invalidate: made before entries change, to be issued after, or dropped knowingly with
/// [`FlushRequest::cancel`].
#[must_use = "stale translations stay usable until the request is issued"]
#[derive(Debug)]
pub(crate) struct FlushRequest {
    start: Gpa,
    end: Gpa,
    /// Levels of leaves that changed: a bit for each.
    levels: u32,
    /// Entries that pointed to tables changed.
    tables: bool,
}

impl FlushRequest {
    /// A request for a range.
    #[inline(always)]
    pub(crate) fn new(range: GpaRange) -> Self {
        Self { start: range.start, end: range.end, levels: 0, tables: false }
    }

    /// A leaf of a level changed that begins at an address.
    #[inline(always)]
    pub(crate) fn cover_leaf(&mut self, gpa: Gpa, level: Level) {
        self.start = self.start.min(gpa.base(level));
        self.end = self.end.max(gpa.end(level));
        self.add_leaf(level);
    }

    /// A leaf of a level changed that lies in the range.
    #[inline(always)]
    pub(crate) fn add_leaf(&mut self, level: Level) {
        self.levels |= level.bit();
    }

    /// An entry that pointed to a table changed.
    #[inline(always)]
    pub(crate) fn add_table(&mut self) {
        self.tables = true;
    }

    /// Whether anything that hardware may hold changed.
    #[inline(always)]
    pub(crate) fn is_needed(&self) -> bool {
        self.tables || self.levels != 0
    }

    /// As the host gets it.
    #[inline(always)]
    pub(crate) fn to_host(&self, vmid: u32, reason: u32, scope: u32) -> axas_tlb_request_t {
        // A table that was written to may have leaves where none can be.
        let is_one = matches!(self.levels, 0b10 | 0b100 | 0b1000) && !self.tables;
        let level = if is_one { self.levels.trailing_zeros() } else { 0 };
        axas_tlb_request_t {
            gpa: self.start.bits(),
            size: self.end.minus(self.start),
            vmid,
            level,
            tables_removed: u32::from(self.tables),
            reason,
            scope,
            reserved: 0,
        }
    }

    /// Nothing changed after all.
    pub(crate) fn cancel(self) {}
}

impl Host {
    /// Has the host invalidate translations, which is done when this returns; false where the library does it.
    #[inline(always)]
    pub(crate) fn flush(&self, request: &axas_tlb_request_t) -> bool {
        let is_local = request.scope == AXAS_SCOPE_LOCAL;
        match self.tlb_flush {
            Some(tlb_flush) if !(is_local && self.flushes_local) => {
                // SAFETY: see `Host`.
                unsafe { callback!(axas_hal_tlb_flush, tlb_flush)(self.ctx, request) };
                true
            }
            _ => false,
        }
    }

    /// Invalidates translations where [`Host::flush`] does not. The register names the space to the instructions.
    pub(crate) fn flush_builtin(&self, request: &axas_tlb_request_t, root_register: u64) {
        builtin::flush(request, root_register);
    }
}

/// AArch64 at EL2 (E2H 0, TGE 0).
///
/// Source: Arm ARM, "TLB maintenance instructions" and "Stage 2 break-before-make": invalidate stage 2
/// by IPA (or all of it), complete, then what was combined with stage 1, complete. The instructions
/// work on the VMID in VTTBR_EL2.
///
/// Errata 1530924 (Cortex-A53), 1530923 (A55), 1319537 (A57), 1319367 (A72) and 1165522 (A76): a speculative
/// AT may fill the TLB from the stage 1 of one VM and the stage 2 of another. While a foreign VTTBR_EL2 is
/// loaded, stage 1 therefore walks nowhere (TCR_EL1.EPD0 and EPD1) and is on (SCTLR_EL1.M; off, it would
/// pass addresses on to stage 2).
#[cfg(all(target_arch = "aarch64", target_os = "none"))]
mod builtin {
    use core::arch::asm;

    use crate::abi::*;

    /// Above this many pages all of the VMID goes.
    const MOST_PAGES: u64 = 64;

    pub(super) fn flush(request: &axas_tlb_request_t, root_register: u64) {
        let interrupts: u64;
        let previous: u64;
        let control: u64;
        let translation: u64;
        // SAFETY: 1. at EL2, as AXAS_HAL_BUILTIN_FLUSH declares; 2. interrupts are masked until all registers
        // are back, so that nothing on this CPU runs with the foreign VMID or without stage 1; 3. no guest
        // runs meanwhile. The DSB ends walks that began before, and makes entries visible to those of others.
        unsafe {
            asm!(
                "mrs {interrupts}, daif",
                "msr daifset, #0xf",
                "dsb ish",
                "mrs {translation}, tcr_el1",
                "orr {scratch}, {translation}, #1 << 7",
                "orr {scratch}, {scratch}, #1 << 23",
                "msr tcr_el1, {scratch}",
                "isb",
                "mrs {control}, sctlr_el1",
                "orr {scratch}, {control}, #1",
                "msr sctlr_el1, {scratch}",
                "isb",
                "mrs {previous}, vttbr_el2",
                "msr vttbr_el2, {root}",
                "isb",
                interrupts = out(reg) interrupts,
                translation = out(reg) translation,
                control = out(reg) control,
                previous = out(reg) previous,
                scratch = out(reg) _,
                root = in(reg) root_register,
                options(nostack),
            );
        }
        if request.scope == AXAS_SCOPE_LOCAL {
            local(request);
        } else {
            broadcast(request);
        }
        // SAFETY: puts back what was there. The last ISB is for an AT of the host's.
        unsafe {
            asm!(
                "msr vttbr_el2, {previous}",
                "isb",
                "msr sctlr_el1, {control}",
                "isb",
                "msr tcr_el1, {translation}",
                "isb",
                "msr daif, {interrupts}",
                previous = in(reg) previous,
                control = in(reg) control,
                translation = in(reg) translation,
                interrupts = in(reg) interrupts,
                options(nostack),
            );
        }
    }

    /// Invalidates in one domain: `$suffix` of the instructions, `$domain` of the barriers.
    macro_rules! invalidate {
        ($name:ident, $suffix:literal, $domain:literal) => {
            fn $name(request: &axas_tlb_request_t) {
                let page = match request.level {
                    2 => 1 << 21,
                    3 => 1 << 30,
                    _ => 4096,
                };
                let pages = request.size.div_ceil(page);
                if request.tables_removed == 0 && pages <= MOST_PAGES {
                    let mut gpa = request.gpa;
                    // One at least, so that no path is without.
                    let mut left = pages.max(1);
                    while left != 0 {
                        let operand = gpa >> 12;
                        // SAFETY: TLB maintenance with the space's VMID in place; it changes no memory. So is
                        // what follows.
                        unsafe {
                            asm!(
                                concat!("tlbi ipas2e1", $suffix, ", {}"),
                                in(reg) operand,
                                options(nostack),
                            );
                        }
                        gpa = gpa.wrapping_add(page);
                        left = left.wrapping_sub(1);
                    }
                } else {
                    // SAFETY: as above.
                    unsafe { asm!(concat!("tlbi vmalls12e1", $suffix), options(nostack)) };
                }
                // SAFETY: as above.
                unsafe {
                    asm!(
                        concat!("dsb ", $domain),
                        concat!("tlbi vmalle1", $suffix),
                        concat!("dsb ", $domain),
                        "isb",
                        options(nostack),
                    );
                }
            }
        };
    }

    invalidate!(local, "", "nsh");
    invalidate!(broadcast, "is", "ish");
}

/// RISC-V in HS-mode: HFENCE.GVMA on this hart.
///
/// Source: RISC-V Privileged Architecture, "Hypervisor Memory-Management Fence Instructions": rs1 holds
/// the guest-physical address shifted right by 2, rs2 the VMID. Written as `.insn`, for assemblers
/// without the H extension.
#[cfg(all(target_arch = "riscv64", target_os = "none"))]
mod builtin {
    use core::arch::asm;

    use crate::abi::*;

    /// Above this many pages all of the VMID goes.
    const MOST_PAGES: u64 = 64;

    pub(super) fn flush(request: &axas_tlb_request_t, _root_register: u64) {
        let vmid = u64::from(request.vmid);
        let pages = request.size / 4096;
        if request.tables_removed != 0 || pages > MOST_PAGES {
            // SAFETY: a fence in HS-mode, as AXAS_HAL_BUILTIN_FLUSH declares; it changes no memory.
            unsafe {
                asm!(".insn r 0x73, 0, 0x31, x0, x0, {}", in(reg) vmid, options(nostack));
            }
            return;
        }
        let mut gpa = request.gpa;
        for _ in 0..pages {
            let operand = gpa >> 2;
            // SAFETY: as above.
            unsafe {
                asm!(
                    ".insn r 0x73, 0, 0x31, x0, {}, {}",
                    in(reg) operand,
                    in(reg) vmid,
                    options(nostack),
                );
            }
            gpa = gpa.wrapping_add(4096);
        }
    }
}

/// Intel in VMX root operation: single-context INVEPT.
///
/// Source: Intel SDM vol. 3C, "INVEPT - Invalidate Translations Derived from EPT": type 1, a descriptor
/// of EPTP and zero.
#[cfg(all(target_arch = "x86_64", target_os = "none"))]
mod builtin {
    use core::arch::asm;

    use crate::abi::*;

    const SINGLE_CONTEXT: u64 = 1;

    pub(super) fn flush(_request: &axas_tlb_request_t, root_register: u64) {
        let descriptor = [root_register, 0];
        // SAFETY: 1. in VMX root operation, as AXAS_HAL_BUILTIN_FLUSH declares; 2. the descriptor has
        // 16 readable bytes.
        unsafe {
            asm!(
                "invept {}, [{}]",
                in(reg) SINGLE_CONTEXT,
                in(reg) &raw const descriptor,
                options(nostack),
            );
        }
    }
}

/// Hosted builds have no second stage.
#[cfg(not(target_os = "none"))]
mod builtin {
    use crate::abi::*;

    pub(super) fn flush(_request: &axas_tlb_request_t, _root_register: u64) {}
}
