// SPDX-License-Identifier: MIT OR Apache-2.0
//! Decoders of guest aborts: what hardware reports, in the terms of `axas_handle_page_fault`. Pure.
//!
//! Kinds that a page-fault handler cannot mend are told apart: handled as page faults they would come
//! back for ever. Where the syndrome leaves the access open, the guess is the least that it can have been
//! if an entry was missing (what else it needs faults again), and all that it can have been if an entry
//! forbade it (less could be allowed, and then the same fault comes back for ever).

use crate::abi::*;
use crate::error::{Error, Result};

const PAGE_OFFSET: u64 = 0xfff;
const READ_OR_WRITE: u32 = AXAS_READ | AXAS_WRITE;

/// Decodes ESR_EL2, FAR_EL2 and HPFAR_EL2.
///
/// Source: Arm ARM, ESR_EL2: ISS encodings for an exception from an Instruction Abort and from a Data
/// Abort; FAR_EL2; HPFAR_EL2.
pub fn from_arm(esr: u64, far_el2: u64, hpfar: u64) -> Result<axas_fault_t> {
    const CLASS_INSTRUCTION_ABORT: u64 = 0x20;
    const CLASS_DATA_ABORT: u64 = 0x24;
    const STAGE_1_WALK: u64 = 1 << 7;
    const FAR_NOT_VALID: u64 = 1 << 10;
    // FIPA is bits 43:4, with 128-bit descriptors 47:4; where it is narrower the rest is zero.
    const FIPA: u64 = 0x0000_ffff_ffff_fff0;

    let is_fetch = match esr >> 26 & 0x3f {
        CLASS_INSTRUCTION_ABORT => true,
        CLASS_DATA_ABORT => false,
        _ => return Err(Error::InvalidInput),
    };
    let (kind, level) = arm_cause(esr & 0x3f, is_fetch);
    let is_walk = esr & STAGE_1_WALK != 0;
    let has_virtual = esr & FAR_NOT_VALID == 0;
    let has_address = match kind {
        AXAS_KIND_TRANSLATION | AXAS_KIND_ACCESS_FLAG | AXAS_KIND_ADDRESS_SIZE => {
            is_walk || has_virtual
        }
        AXAS_KIND_PERMISSION => is_walk,
        _ => false,
    };
    let (access, is_known) = arm_access(esr, kind, is_fetch, is_walk);
    // What FAR_EL2 holds is the address whose walk failed, not that of the entry.
    let offset = if is_walk { 0 } else { far_el2 & PAGE_OFFSET };
    Ok(axas_fault_t {
        gpa: if has_address { (hpfar & FIPA) << 8 | offset } else { 0 },
        gva: if has_virtual { far_el2 } else { 0 },
        access,
        kind,
        valid: bit(has_address, AXAS_VALID_GPA)
            | bit(has_virtual, AXAS_VALID_GVA)
            | bit(is_known, AXAS_VALID_ACCESS)
            | bit(is_walk, AXAS_IS_TABLE_WALK),
        level,
        ..axas_fault_t::default()
    })
}

/// Kind and level of a fault status code, IFSC or DFSC. Arm's level 3 is ours 1, and its highest, -2,
/// ours 6.
#[inline(never)] // Inlined, what follows would be there once for each kind.
fn arm_cause(status: u64, is_fetch: bool) -> (u32, u32) {
    let level = 4_u32.wrapping_sub((status & 3) as u32);
    match status {
        0x00..=0x03 => (AXAS_KIND_ADDRESS_SIZE, level),
        0x04..=0x07 => (AXAS_KIND_TRANSLATION, level),
        0x08..=0x0b => (AXAS_KIND_ACCESS_FLAG, level),
        0x0c..=0x0f => (AXAS_KIND_PERMISSION, level),
        // External aborts, parity errors and granule protection faults: on the access, ...
        0x10 | 0x18 | 0x28 => (AXAS_KIND_EXTERNAL, 0),
        // ... and on a walk, at level -2, -1 and from 0 on.
        0x12 | 0x22 => (AXAS_KIND_EXTERNAL, 6),
        0x13 | 0x1b | 0x23 => (AXAS_KIND_EXTERNAL, 5),
        0x14..=0x17 | 0x1c..=0x1f | 0x24..=0x27 => (AXAS_KIND_EXTERNAL, level),
        0x29 => (AXAS_KIND_ADDRESS_SIZE, 5),
        0x2a => (AXAS_KIND_TRANSLATION, 6),
        0x2b => (AXAS_KIND_TRANSLATION, 5),
        0x2c => (AXAS_KIND_ADDRESS_SIZE, 6),
        0x31 => (AXAS_KIND_ATOMIC, 0),
        0x35 if !is_fetch => (AXAS_KIND_ATOMIC, 0),
        // Tag check, alignment, TLB conflict, lockdown, and what is reserved.
        _ => (AXAS_KIND_OTHER, 0),
    }
}

/// The access, and whether it is certain.
#[inline(never)]
fn arm_access(esr: u64, kind: u32, is_fetch: bool, is_walk: bool) -> (u32, bool) {
    const WRITE: u64 = 1 << 6;
    const CACHE_MAINTENANCE: u64 = 1 << 8;

    let is_missing =
        matches!(kind, AXAS_KIND_TRANSLATION | AXAS_KIND_ACCESS_FLAG | AXAS_KIND_ADDRESS_SIZE);
    if is_walk && is_missing {
        (AXAS_READ, true)
    } else if is_walk {
        // The read of a descriptor, or the update of its flags.
        (READ_OR_WRITE, false)
    } else if is_fetch {
        (AXAS_EXECUTE, true)
    } else if esr & CACHE_MAINTENANCE != 0 {
        // Cache maintenance and address translation report writes and are none.
        (if is_missing { AXAS_READ } else { READ_OR_WRITE }, false)
    } else if !is_missing && kind != AXAS_KIND_PERMISSION {
        // WnR is unknown for external aborts of atomic accesses.
        (READ_OR_WRITE, false)
    } else {
        (if esr & WRITE != 0 { AXAS_WRITE } else { AXAS_READ }, true)
    }
}

/// Decodes an EPT violation or misconfiguration.
///
/// Source: Intel SDM vol. 3C, "Exit Qualification for EPT Violations", "Basic VM-Exit Information".
pub fn from_ept(exit_reason: u32, qualification: u64, gpa: u64) -> Result<axas_fault_t> {
    const BASIC_REASON: u32 = 0xffff;
    const ENTRY_FAILED: u32 = 1 << 31;
    const VIOLATION: u32 = 48;
    const MISCONFIGURATION: u32 = 49;
    const ACCESS: u64 = 7;
    const ENTRY_ALLOWS: u64 = 7 << 3;
    /// A fetch, and the entry is executable (in supervisor mode, where modes differ).
    const FETCH_ALLOWED: u64 = 1 << 2 | 1 << 5;
    const LINEAR_VALID: u64 = 1 << 7;
    const FINAL_ACCESS: u64 = 1 << 8;

    match exit_reason & (BASIC_REASON | ENTRY_FAILED) {
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
    let is_missing = qualification & ENTRY_ALLOWS == 0;
    // Something else than the bits R, W and X forbids it: mode-based execute control, which must be off.
    let is_allowed = qualification & FETCH_ALLOWED == FETCH_ALLOWED;
    let is_walk = qualification & (LINEAR_VALID | FINAL_ACCESS) == LINEAR_VALID;
    // AXAS_READ, AXAS_WRITE and AXAS_EXECUTE are the bits of the qualification.
    let reported = (qualification & ACCESS) as u32;
    let access = match reported {
        0 if is_missing => AXAS_READ,
        0 => READ_OR_WRITE | AXAS_EXECUTE,
        _ => reported,
    };
    Ok(axas_fault_t {
        gpa,
        access,
        kind: match (is_allowed, is_missing) {
            (true, _) => AXAS_KIND_OTHER,
            (_, true) => AXAS_KIND_TRANSLATION,
            _ => AXAS_KIND_PERMISSION,
        },
        valid: AXAS_VALID_GPA
            | bit(reported != 0, AXAS_VALID_ACCESS)
            | bit(is_walk, AXAS_IS_TABLE_WALK),
        ..axas_fault_t::default()
    })
}

/// Decodes EXITINFO1 and EXITINFO2 of a nested page fault.
///
/// Source: AMD APM vol. 2, "Nested versus Guest Page Faults, Fault Ordering", and for bits 31 to 36 the
/// nested page fault error code of SEV-SNP; bit 37 (supervisor shadow stack check) from memory.
pub fn from_npf(exitinfo1: u64, exitinfo2: u64) -> Result<axas_fault_t> {
    const PRESENT: u64 = 1;
    const WRITE: u64 = 1 << 1;
    const RESERVED: u64 = 1 << 3;
    const FETCH: u64 = 1 << 4;
    const TABLE_WALK: u64 = 1 << 33;
    /// What nested tables do not decide: the reverse map (RMP, SIZEM, VMPL), shadow stacks (SSS).
    const OTHER_CHECKS: u64 = 1 << 31 | 1 << 35 | 1 << 36 | 1 << 37;

    let has = |bit: u64| exitinfo1 & bit != 0;
    let is_walk = has(TABLE_WALK);
    // On a walk FETCH is of the access that needed it.
    let access = bit(has(WRITE), AXAS_WRITE) | bit(has(FETCH) && !is_walk, AXAS_EXECUTE);
    let kind = if has(OTHER_CHECKS) {
        AXAS_KIND_OTHER
    } else if has(RESERVED) {
        AXAS_KIND_MISCONFIG
    } else if has(PRESENT) {
        AXAS_KIND_PERMISSION
    } else {
        AXAS_KIND_TRANSLATION
    };
    Ok(axas_fault_t {
        gpa: exitinfo2,
        access: if access == 0 { AXAS_READ } else { access },
        kind,
        valid: AXAS_VALID_GPA | AXAS_VALID_ACCESS | bit(is_walk, AXAS_IS_TABLE_WALK),
        ..axas_fault_t::default()
    })
}

/// Decodes a guest-page fault of the hypervisor extension.
///
/// Source: RISC-V Privileged Architecture, hypervisor extension: htval, htinst, "Transformed Instruction
/// or Pseudoinstruction for mtinst or htinst" (0x3000 and 0x3020: a 64-bit read and write of a VS-stage
/// walk, 0x2000 and 0x2020: 32-bit ones; bit 0 is set in all that describes an instruction).
pub fn from_riscv(scause: u64, stval: u64, htval: u64, htinst: u64) -> Result<axas_fault_t> {
    const IN_WORD: u64 = 3;

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
    // With the address of a table in htval, hardware may not leave htinst zero.
    let is_instruction = htinst & 1 != 0 || htinst == 0 && htval != 0;
    // Zero is no address, and what would lose its upper bits is none either.
    let has_address = htval != 0 && htval >> 62 == 0;
    let offset = if is_instruction { stval & IN_WORD } else { 0 };
    Ok(axas_fault_t {
        gpa: if has_address { htval << 2 | offset } else { 0 },
        gva: stval,
        access: by_walk.unwrap_or(by_cause),
        kind: AXAS_KIND_TRANSLATION,
        valid: AXAS_VALID_GVA
            | bit(is_walk || is_instruction, AXAS_VALID_ACCESS)
            | bit(has_address, AXAS_VALID_GPA)
            | bit(is_walk, AXAS_IS_TABLE_WALK),
        ..axas_fault_t::default()
    })
}

fn bit(holds: bool, bit: u32) -> u32 {
    if holds { bit } else { 0 }
}
