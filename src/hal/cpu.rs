// SPDX-License-Identifier: MIT OR Apache-2.0
//! What only the CPU can say or do. Hosted builds know nothing and do nothing.

use crate::npt::arch::FormatId;

/// The native format of the target, by CPUID vendor on x86.
pub(crate) fn native_format() -> Option<FormatId> {
    native::format()
}

/// Width of host-physical addresses, where the CPU reports it.
pub(crate) fn native_pa_bits() -> Option<u32> {
    native::pa_bits()
}

/// Levels of the host's own tables, where they bind the format (NPT).
pub(crate) fn native_levels(format: FormatId) -> Option<u32> {
    native::levels(format)
}

/// Whether [`clean`] does anything.
pub(crate) const CAN_CLEAN: bool = cfg!(all(target_arch = "aarch64", target_os = "none"));

/// Cleans and invalidates data cache lines to the point of coherency and drops instruction cache
/// lines, where the caches do not keep themselves coherent with a guest that runs without them.
pub(crate) fn clean(va: *mut u8, bytes: usize) {
    native::clean(va, bytes);
}

/// Makes new entries visible to page walkers before a vCPU runs.
#[inline(always)]
pub(crate) fn publish_tables() {
    native::publish_tables();
}

#[cfg(all(target_arch = "aarch64", target_os = "none"))]
mod native {
    use core::arch::asm;

    use crate::npt::arch::FormatId;

    pub(super) fn format() -> Option<FormatId> {
        Some(FormatId::ArmStage2)
    }

    /// Source: Arm ARM, ID_AA64MMFR0_EL1.PARange. Sizes above 48 bits need other formats of entries.
    pub(super) fn pa_bits() -> Option<u32> {
        let features: u64;
        // SAFETY: reads an identification register.
        unsafe {
            asm!("mrs {}, id_aa64mmfr0_el1", out(reg) features, options(nomem, nostack));
        }
        Some(match features & 0xf {
            0 => 32,
            1 => 36,
            2 => 40,
            3 => 42,
            4 => 44,
            _ => 48,
        })
    }

    pub(super) fn levels(_format: FormatId) -> Option<u32> {
        None
    }

    /// Source: Arm ARM, CTR_EL0 (line sizes as powers of two of words), DC CIVAC, IC IVAU.
    pub(super) fn clean(va: *mut u8, bytes: usize) {
        let types: u64;
        // SAFETY: reads an identification register.
        unsafe { asm!("mrs {}, ctr_el0", out(reg) types, options(nomem, nostack)) };
        let data_line = 4_u64.wrapping_shl((types >> 16 & 0xf) as u32);
        let code_line = 4_u64.wrapping_shl((types & 0xf) as u32);
        let start = va.addr() as u64;
        let end = start.wrapping_add(bytes as u64);
        let mut line = start & !(data_line.wrapping_sub(1));
        while line < end {
            // SAFETY: cache maintenance by address on mapped memory; it changes no contents.
            unsafe { asm!("dc civac, {}", in(reg) line, options(nostack)) };
            line = line.wrapping_add(data_line);
        }
        // SAFETY: a barrier, for devices too.
        unsafe { asm!("dsb sy", options(nostack)) };
        let mut line = start & !(code_line.wrapping_sub(1));
        while line < end {
            // SAFETY: as for the data cache.
            unsafe { asm!("ic ivau, {}", in(reg) line, options(nostack)) };
            line = line.wrapping_add(code_line);
        }
        // SAFETY: barriers.
        unsafe { asm!("dsb ish", "isb", options(nostack)) };
    }

    #[inline(always)]
    pub(super) fn publish_tables() {
        // SAFETY: a barrier.
        unsafe { core::arch::asm!("dsb ishst", options(nostack)) };
    }
}

#[cfg(all(target_arch = "x86_64", target_os = "none"))]
mod native {
    use core::arch::asm;
    use core::arch::x86_64::__cpuid;

    use crate::npt::arch::FormatId;

    /// Source: the vendor strings of CPUID leaf 0 (EBX, EDX, ECX). Hygon's parts have AMD's SVM; Centaur's
    /// and Zhaoxin's have Intel's VMX, as every other vendor's would.
    pub(super) fn format() -> Option<FormatId> {
        const AMD: u32 = u32::from_le_bytes(*b"Auth");
        const HYGON: u32 = u32::from_le_bytes(*b"Hygo");
        let vendor = __cpuid(0).ebx;
        Some(if vendor == AMD || vendor == HYGON { FormatId::Npt } else { FormatId::Ept })
    }

    /// Source: CPUID leaf 0x8000_0008, EAX bits 7:0.
    pub(super) fn pa_bits() -> Option<u32> {
        const ADDRESS_SIZES: u32 = 0x8000_0008;
        if __cpuid(0x8000_0000).eax < ADDRESS_SIZES {
            return None;
        }
        Some((__cpuid(ADDRESS_SIZES).eax & 0xff).clamp(32, 52))
    }

    /// Source: AMD APM vol. 2, "Nested Paging": nested tables are walked in the host's own paging mode;
    /// CR4.LA57 is bit 12.
    pub(super) fn levels(format: FormatId) -> Option<u32> {
        const LA57: u64 = 1 << 12;
        if format != FormatId::Npt {
            return None;
        }
        let control: u64;
        // SAFETY: reads a control register, at the privilege of a hypervisor.
        unsafe { asm!("mov {}, cr4", out(reg) control, options(nomem, nostack)) };
        Some(if control & LA57 != 0 { 5 } else { 4 })
    }

    pub(super) fn clean(_va: *mut u8, _bytes: usize) {}

    #[inline(always)]
    pub(super) fn publish_tables() {}
}

#[cfg(all(target_arch = "riscv64", target_os = "none"))]
mod native {
    use crate::npt::arch::FormatId;

    pub(super) fn format() -> Option<FormatId> {
        Some(FormatId::RiscvGstage)
    }

    pub(super) fn pa_bits() -> Option<u32> {
        None
    }

    pub(super) fn levels(_format: FormatId) -> Option<u32> {
        None
    }

    pub(super) fn clean(_va: *mut u8, _bytes: usize) {}

    #[inline(always)]
    pub(super) fn publish_tables() {}
}

#[cfg(not(target_os = "none"))]
mod native {
    use crate::npt::arch::FormatId;

    pub(super) fn format() -> Option<FormatId> {
        None
    }

    pub(super) fn pa_bits() -> Option<u32> {
        None
    }

    pub(super) fn levels(_format: FormatId) -> Option<u32> {
        None
    }

    pub(super) fn clean(_va: *mut u8, _bytes: usize) {}

    #[inline(always)]
    pub(super) fn publish_tables() {}
}
