//! Decoders of guest aborts: what hardware reports, in the terms of `axas_handle_page_fault`. Pure.
//!
//! Kinds that a page-fault handler cannot mend (misconfiguration, address size, external) are told
//! apart: handled as page faults they would come back for ever.

use crate::abi::*;
use crate::error::{Error, Result};

const PAGE_OFFSET: u64 = 0xfff;

/// Decodes ESR_EL2, FAR_EL2 and HPFAR_EL2.
///
/// Source: Arm ARM, ESR_EL2: ISS encodings for an exception from an Instruction Abort and from a Data
/// Abort; HPFAR_EL2.FIPA.
pub fn from_arm(esr: u64, far_el2: u64, hpfar: u64) -> Result<axas_fault_t> {
    const CLASS_INSTRUCTION_ABORT: u64 = 0x20;
    const CLASS_DATA_ABORT: u64 = 0x24;
    const WRITE: u64 = 1 << 6;
    const STAGE_1_WALK: u64 = 1 << 7;
    const CACHE_MAINTENANCE: u64 = 1 << 8;
    const FAR_NOT_VALID: u64 = 1 << 10;
    const FIPA: u64 = 0x0000_0fff_ffff_fff0;

    let is_fetch = match esr >> 26 & 0x3f {
        CLASS_INSTRUCTION_ABORT => true,
        CLASS_DATA_ABORT => false,
        _ => return Err(Error::InvalidInput),
    };
    let status = esr & 0x3f;
    let arm_level = (status & 3) as u32;
    let (kind, level) = match status {
        0b00_0000..=0b00_0011 => (AXAS_KIND_ADDRESS_SIZE, 4_u32.wrapping_sub(arm_level)),
        0b00_0100..=0b00_0111 => (AXAS_KIND_TRANSLATION, 4_u32.wrapping_sub(arm_level)),
        0b00_1000..=0b00_1011 => (AXAS_KIND_ACCESS_FLAG, 4_u32.wrapping_sub(arm_level)),
        0b00_1100..=0b00_1111 => (AXAS_KIND_PERMISSION, 4_u32.wrapping_sub(arm_level)),
        0b10_1001 => (AXAS_KIND_ADDRESS_SIZE, 5),
        0b10_1011 => (AXAS_KIND_TRANSLATION, 5),
        // External aborts and parity errors, on the access and on walks of each level.
        0b01_0000 | 0b01_1000 => (AXAS_KIND_EXTERNAL, 0),
        0b01_0011 => (AXAS_KIND_EXTERNAL, 5),
        0b01_0100..=0b01_0111 | 0b01_1100..=0b01_1111 => {
            (AXAS_KIND_EXTERNAL, 4_u32.wrapping_sub(arm_level))
        }
        _ => (AXAS_KIND_OTHER, 0),
    };
    let is_walk = esr & STAGE_1_WALK != 0;
    let is_permission = kind == AXAS_KIND_PERMISSION;
    let access = match (is_walk, is_permission) {
        // A walk reads; a permission fault on one may as well be of its update of a descriptor.
        (true, false) => AXAS_READ,
        (true, true) => AXAS_READ | AXAS_WRITE,
        _ if is_fetch => AXAS_EXECUTE,
        // Cache maintenance reports itself as a write, but needs the permission only where it faults
        // for the lack of it.
        (false, false) if esr & CACHE_MAINTENANCE != 0 => AXAS_READ,
        _ if esr & WRITE != 0 => AXAS_WRITE,
        _ => AXAS_READ,
    };
    let has_address = match kind {
        AXAS_KIND_TRANSLATION | AXAS_KIND_ACCESS_FLAG | AXAS_KIND_ADDRESS_SIZE => true,
        AXAS_KIND_PERMISSION => is_walk,
        _ => false,
    };
    let has_virtual = esr & FAR_NOT_VALID == 0;
    let offset = if is_walk { 0 } else { far_el2 & PAGE_OFFSET };
    Ok(axas_fault_t {
        gpa: if has_address { (hpfar & FIPA) << 8 | offset } else { 0 },
        gva: if has_virtual { far_el2 } else { 0 },
        access,
        kind,
        valid: bits(&[
            (has_address, AXAS_VALID_GPA),
            (has_virtual, AXAS_VALID_GVA),
            (!(is_walk && is_permission), AXAS_VALID_ACCESS),
            (is_walk, AXAS_IS_TABLE_WALK),
        ]),
        level,
        ..axas_fault_t::default()
    })
}

/// Decodes an EPT violation or misconfiguration.
///
/// Source: Intel SDM vol. 3C, "Exit Qualification for EPT Violations".
pub fn from_ept(exit_reason: u32, qualification: u64, gpa: u64) -> Result<axas_fault_t> {
    const BASIC_REASON: u32 = 0xffff;
    const VIOLATION: u32 = 48;
    const MISCONFIGURATION: u32 = 49;
    const ACCESS: u64 = 7;
    const ENTRY_ALLOWS: u64 = 7 << 3;
    const LINEAR_VALID: u64 = 1 << 7;
    const FINAL_ACCESS: u64 = 1 << 8;

    match exit_reason & BASIC_REASON {
        VIOLATION => {}
        MISCONFIGURATION => {
            return Ok(axas_fault_t {
                gpa,
                access: AXAS_READ,
                kind: AXAS_KIND_MISCONFIG,
                valid: AXAS_VALID_GPA,
                ..axas_fault_t::default()
            });
        }
        _ => return Err(Error::InvalidInput),
    }
    let access = (qualification & ACCESS) as u32;
    let is_absent = qualification & ENTRY_ALLOWS == 0;
    let is_walk = qualification & (LINEAR_VALID | FINAL_ACCESS) == LINEAR_VALID;
    Ok(axas_fault_t {
        gpa,
        access: if access == 0 { AXAS_READ } else { access },
        kind: if is_absent { AXAS_KIND_TRANSLATION } else { AXAS_KIND_PERMISSION },
        valid: bits(&[
            (true, AXAS_VALID_GPA),
            (access != 0, AXAS_VALID_ACCESS),
            (is_walk, AXAS_IS_TABLE_WALK),
        ]),
        ..axas_fault_t::default()
    })
}

/// Decodes EXITINFO1 and EXITINFO2 of a nested page fault.
///
/// Source: AMD APM vol. 2, "Nested versus Guest Page Faults, Fault Ordering".
pub fn from_npf(exitinfo1: u64, exitinfo2: u64) -> Result<axas_fault_t> {
    const PRESENT: u64 = 1;
    const WRITE: u64 = 1 << 1;
    const RESERVED: u64 = 1 << 3;
    const FETCH: u64 = 1 << 4;
    const TABLE_WALK: u64 = 1 << 33;

    let is_walk = exitinfo1 & TABLE_WALK != 0;
    let access = if exitinfo1 & WRITE != 0 {
        AXAS_WRITE
    } else if exitinfo1 & FETCH != 0 && !is_walk {
        AXAS_EXECUTE
    } else {
        AXAS_READ
    };
    let kind = if exitinfo1 & RESERVED != 0 {
        AXAS_KIND_MISCONFIG
    } else if exitinfo1 & PRESENT != 0 {
        AXAS_KIND_PERMISSION
    } else {
        AXAS_KIND_TRANSLATION
    };
    Ok(axas_fault_t {
        gpa: exitinfo2,
        access,
        kind,
        valid: bits(&[(true, AXAS_VALID_GPA | AXAS_VALID_ACCESS), (is_walk, AXAS_IS_TABLE_WALK)]),
        ..axas_fault_t::default()
    })
}

/// Decodes a guest-page fault of the hypervisor extension.
///
/// Source: RISC-V Privileged Architecture: htval, htinst, "Transformed Instruction or Pseudoinstruction
/// for mtinst or htinst" (0x3000 and 0x3020: a 64-bit read and write of a VS-stage walk, 0x2000 and
/// 0x2020: 32-bit ones).
pub fn from_riscv(scause: u64, stval: u64, htval: u64, htinst: u64) -> Result<axas_fault_t> {
    let by_cause = match scause {
        20 => AXAS_EXECUTE,
        21 => AXAS_READ,
        23 => AXAS_WRITE,
        _ => return Err(Error::InvalidInput),
    };
    let by_walk = match htinst {
        0x3000 | 0x2000 => Some(AXAS_READ),
        0x3020 | 0x2020 => Some(AXAS_WRITE),
        _ => None,
    };
    let is_walk = by_walk.is_some();
    let has_address = htval != 0 || (stval <= PAGE_OFFSET && !is_walk);
    let offset = if is_walk { 0 } else { stval & 3 };
    Ok(axas_fault_t {
        gpa: if has_address { htval << 2 | offset } else { 0 },
        gva: stval,
        access: by_walk.unwrap_or(by_cause),
        kind: AXAS_KIND_TRANSLATION,
        valid: bits(&[
            (true, AXAS_VALID_GVA | AXAS_VALID_ACCESS),
            (has_address, AXAS_VALID_GPA),
            (is_walk, AXAS_IS_TABLE_WALK),
        ]),
        ..axas_fault_t::default()
    })
}

fn bits(conditions: &[(bool, u32)]) -> u32 {
    conditions.iter().fold(0, |sum, &(holds, bit)| if holds { sum | bit } else { sum })
}
