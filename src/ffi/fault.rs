// SPDX-License-Identifier: MIT OR Apache-2.0
use super::{asked, axas_t, made, refused, space};
#[cfg(feature = "tags")]
use super::{put, usable};
use crate::abi::*;
use crate::address_space::Verdict;
use crate::fault;

/// Handles a second-stage fault of a guest: installs a frame where one is reserved.
///
/// @param space The space.
/// @param gpa The guest-physical address of the access; any value, any alignment.
/// @param access What the guest did: AXAS_READ, AXAS_WRITE, AXAS_EXECUTE or several, all of which must
///   be allowed.
/// @return AXAS_FAULT_RESOLVED: a frame was installed, or a clean page made dirty, an old page young, a hidden
///   page visible: the guest resumes;
///   AXAS_FAULT_SPURIOUS: the entry allows the access already: the guest resumes;
///   AXAS_FAULT_RETRY: an exclusive call runs, or another CPU is changing the entry: the guest resumes and
///     faults again; never with AXAS_CALLER_LOCKED;
///   AXAS_FAULT_TRAP: an emulated device: axas_trap_cookie says which;
///   AXAS_FAULT_UNMAPPED: a hole, a note, an address outside the space, or resolve returned
///     AXAS_RESOLVE_REFUSE;
///   AXAS_FAULT_DENIED: the permissions do not allow the access;
///   AXAS_FAULT_NO_MEMORY: no frame, table_quota, or alloc_frame or resolve returned something unusable;
///     nothing changed;
///   AXAS_FAULT_ERROR: null, access 0 or with other bits, corrupt table;
///   AXAS_FAULT_WAIT: resolve returned AXAS_RESOLVE_LATER;
///   AXAS_FAULT_HIDDEN: the page is hidden (axas_hide).
///
/// axas_fault_resumes says whether the guest resumes. Never waits, never replaces a frame; any number of vCPUs
/// may fault on one page: one frame is kept, the others are freed. May be called from interrupt handlers. Lock
/// class: shared. Callbacks: resolve (in regions of axas_map_provider), alloc_frame, dealloc_frame,
/// phys_to_virt, release_virt, clean_range, tlb_flush with AXAS_SCOPE_LOCAL only (AXAS_FLUSH_NEW on RISC-V
/// without Svvptc, AXAS_FLUSH_RELAX for a spurious fault on Arm and RISC-V).
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_handle_page_fault(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    access: axas_flags_t,
) -> axas_fault_result_t {
    // SAFETY: the handle is null or live.
    let verdict = match unsafe { self::space(space) } {
        Ok(space) => space.page_fault(gpa, access),
        Err(error) => {
            refused("axas_handle_page_fault", [gpa, access.into()], error);
            Verdict::Error
        }
    };
    verdict as axas_fault_result_t
}

/// Handles a fault as axas_handle_page_fault, and returns the entry that decided the verdict, as axas_query
/// would, from the same walk: a trap's cookie, or the host's tag. Part `tags`.
///
/// @param space The space.
/// @param gpa The guest-physical address of the access; any value, any alignment.
/// @param access What the guest did: AXAS_READ, AXAS_WRITE, AXAS_EXECUTE or several, all of which must be
///   allowed.
/// @param found Receives the entry, after AXAS_FAULT_RESOLVED that of the page which was installed; may be
///   null. Without an entry (AXAS_FAULT_RETRY, AXAS_FAULT_ERROR, an address outside the space) state is
///   AXAS_STATE_ABSENT and size 0.
/// @return AXAS_FAULT_RESOLVED: a frame was installed, or a clean page made dirty, an old page young, a hidden
///   page visible: the guest resumes;
///   AXAS_FAULT_SPURIOUS: the entry allows the access already: the guest resumes;
///   AXAS_FAULT_RETRY: an exclusive call runs, or another CPU is changing the entry: the guest resumes and
///     faults again; never with AXAS_CALLER_LOCKED;
///   AXAS_FAULT_TRAP: an emulated device: axas_trap_cookie says which;
///   AXAS_FAULT_UNMAPPED: a hole, a note, an address outside the space, or resolve returned
///     AXAS_RESOLVE_REFUSE;
///   AXAS_FAULT_DENIED: the permissions do not allow the access;
///   AXAS_FAULT_NO_MEMORY: no frame, table_quota, or alloc_frame or resolve returned something unusable;
///     nothing changed;
///   AXAS_FAULT_ERROR: null, found not aligned, access 0 or with other bits, corrupt table;
///   AXAS_FAULT_WAIT: resolve returned AXAS_RESOLVE_LATER;
///   AXAS_FAULT_HIDDEN: the page is hidden (axas_hide).
///
/// May be called from interrupt handlers. Lock class: shared. Callbacks: as axas_handle_page_fault.
#[cfg(feature = "tags")]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_handle_page_fault_at(
    space: *mut axas_t,
    gpa: axas_gpa_t,
    access: axas_flags_t,
    found: *mut axas_mapping_t,
) -> axas_fault_result_t {
    const CALL: &str = "axas_handle_page_fault_at";
    // SAFETY: the handle is null or live.
    let usable = unsafe { self::space(space) }
        .and_then(|space| if found.is_null() { Ok(space) } else { usable(found).map(|()| space) });
    let verdict = match usable {
        Ok(space) => {
            let (verdict, mapping) = space.page_fault_at(gpa, access);
            // SAFETY: 1. null, where nothing is stored, or 2. valid for a write by the caller's promise.
            let _ = unsafe { put(found, mapping) };
            verdict
        }
        Err(error) => {
            refused(CALL, [gpa, access.into()], error);
            Verdict::Error
        }
    };
    verdict as axas_fault_result_t
}

/// Nonzero for the verdicts after which the guest resumes: AXAS_FAULT_RESOLVED, AXAS_FAULT_SPURIOUS,
/// AXAS_FAULT_RETRY. No lock.
#[unsafe(no_mangle)]
pub extern "C" fn axas_fault_resumes(result: axas_fault_result_t) -> u32 {
    u32::from(matches!(result, AXAS_FAULT_RESOLVED | AXAS_FAULT_SPURIOUS | AXAS_FAULT_RETRY))
}

/// The cookie of the trap at an address.
///
/// @param space The space.
/// @param gpa Any guest-physical address.
/// @param cookie Receives the cookie; untouched after an error.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null;
///   AXAS_ERR_NOT_MAPPED: no trap there (after a verdict AXAS_FAULT_TRAP: it was removed since; resume the
///     guest);
///   AXAS_ERR_AGAIN: with AXAS_NO_WAIT;
///   AXAS_ERR_BAD_STATE: corrupt table.
///
/// Lock class: shared. Callbacks: phys_to_virt, release_virt, relax.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_trap_cookie(
    space: *const axas_t,
    gpa: axas_gpa_t,
    cookie: *mut u64,
) -> axas_status_t {
    // SAFETY: 1. the handle is null or live; 2. `cookie` is null or valid for a write.
    unsafe { asked("axas_trap_cookie", space, gpa, cookie, |space| space.trap_cookie(gpa)) }
}

/// Decodes an abort that AArch64 took from a guest to EL2. Pure; no lock, no callback.
///
/// @param esr ESR_EL2: exception class 0x20 (instruction abort) or 0x24 (data abort).
/// @param far_el2 FAR_EL2.
/// @param hpfar HPFAR_EL2.
/// @param fault Receives the result; untouched after an error.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, or an esr of another exception class.
///
/// AXAS_VALID_GPA: HPFAR_EL2 is written for translation, access flag and address size faults, and for
/// permission faults of a table walk; for other permission faults translate gva with AT S1E1R or S1E1W
/// (S1E0R, S1E0W), which may fail if another vCPU changed the guest's tables: resume then. The lowest 12
/// bits of gpa are those of FAR_EL2, exact where the ISS says so (ISV 1): without, bit 15 (FnP) of the
/// ISS and FEAT_MOPS allow any address in the page; in a table walk they are 0. gva may hold a tag.
///
/// AXAS_VALID_ACCESS: not for cache maintenance and address translation, which report writes and are
/// none; not for permission faults of a table walk (the read of a descriptor, or the update of its
/// flags: read and write); not for data aborts of AXAS_KIND_EXTERNAL, AXAS_KIND_ATOMIC and
/// AXAS_KIND_OTHER. Reserved status codes, tag check and alignment faults and TLB conflicts are
/// AXAS_KIND_OTHER. level is this library's: Arm's level 3 is 1, its level -1 is 5. Source: Arm ARM,
/// ESR_EL2 (ISS encodings for exceptions from instruction and data aborts), FAR_EL2, HPFAR_EL2.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_fault_from_arm(
    esr: u64,
    far_el2: u64,
    hpfar: u64,
    fault: *mut axas_fault_t,
) -> axas_status_t {
    // SAFETY: `fault` is null or valid for a write.
    unsafe {
        made("axas_fault_from_arm", [esr, far_el2, hpfar], fault, || {
            fault::from_arm(esr, far_el2, hpfar)
        })
    }
}

/// Decodes a VM exit of Intel VMX. Pure; no lock, no callback.
///
/// @param exit_reason Exit reason: 48 (EPT violation) or 49 (EPT misconfiguration) in bits 15:0.
/// @param qualification Exit qualification.
/// @param gpa Guest-physical address of the VMCS.
/// @param fault Receives the result; untouched after an error.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, or another exit reason.
///
/// gpa is always valid; bits 11:0 of an access in enclave mode are 0 (bit 27 of the exit reason). gva is not in
/// these arguments: read the guest-linear address of the VMCS where bit 7 of the qualification is set. With
/// accessed and dirty flags on, hardware reports a guest's table walk as a read and a write; a
/// read-modify-write is a write, with or without a read. A qualification without an access leaves
/// AXAS_VALID_ACCESS clear, as a misconfiguration does: AXAS_KIND_MISCONFIG (exit reason 49) is not for
/// axas_handle_page_fault, which would return AXAS_FAULT_SPURIOUS for ever. So is a fetch where the entries
/// allow fetches (bits 2 and 5), which is AXAS_KIND_OTHER: with mode-based execute control, which must be off,
/// each fetch in user mode is one. An exit reason with bit 31 is a failed VM entry. Source: Intel SDM vol. 3C,
/// "Exit Qualification for EPT Violations".
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_fault_from_ept(
    exit_reason: u32,
    qualification: u64,
    gpa: axas_gpa_t,
    fault: *mut axas_fault_t,
) -> axas_status_t {
    // SAFETY: `fault` is null or valid for a write.
    unsafe {
        made("axas_fault_from_ept", [exit_reason.into(), qualification, gpa], fault, || {
            fault::from_ept(exit_reason, qualification, gpa)
        })
    }
}

/// Decodes a #VMEXIT(NPF) of AMD SVM. Pure; no lock, no callback.
///
/// @param exitinfo1 EXITINFO1: the error code.
/// @param exitinfo2 EXITINFO2: the guest-physical address.
/// @param fault Receives the result; untouched after an error.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null.
///
/// gpa and access are always valid, gva never. Hardware reports a guest's table walk as a write, unless the
/// VMCB allows read-only guest page tables. AXAS_KIND_MISCONFIG is a reserved bit in an entry; AXAS_KIND_OTHER
/// a check of the reverse map (bits 31, 35, 36) or of shadow stacks (bit 37): neither is for
/// axas_handle_page_fault, which would return AXAS_FAULT_SPURIOUS for ever. Source: AMD APM vol. 2, "Nested
/// versus Guest Page Faults, Fault Ordering" and the error code of nested page faults with SEV-SNP.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_fault_from_npf(
    exitinfo1: u64,
    exitinfo2: u64,
    fault: *mut axas_fault_t,
) -> axas_status_t {
    // SAFETY: `fault` is null or valid for a write.
    unsafe {
        made("axas_fault_from_npf", [exitinfo1, exitinfo2], fault, || {
            fault::from_npf(exitinfo1, exitinfo2)
        })
    }
}

/// Decodes a guest-page fault of the RISC-V hypervisor extension. Pure; no lock, no callback.
///
/// @param scause 20 (instruction), 21 (load) or 23 (store/AMO guest-page fault).
/// @param stval Guest-virtual address.
/// @param htval Guest-physical address >> 2.
/// @param htinst Transformed instruction, or which access of a guest's table walk it was: 0x3000 a read,
///   0x3020 a write (an update of A and D), 0x2000 and 0x2020 with tables of 32-bit entries.
/// @param fault Receives the result; untouched after an error.
/// @return AXAS_OK;
///   AXAS_ERR_INVALID_INPUT: null, or another cause.
///
/// Hardware does not say whether an entry was missing or forbade the access: kind is always
/// AXAS_KIND_TRANSLATION. gva is always valid. gpa is htval with bits 1:0 of stval, which are 0 for a
/// table walk. AXAS_VALID_GPA is clear where htval is 0: the specification lets a hart without Shtvala
/// write that instead of any address; translate gva through the guest's tables. AXAS_VALID_ACCESS is
/// clear, and access that of the cause, where the fault may be of a table walk that htinst does not tell:
/// htval and htinst are 0, or htinst is a pseudoinstruction of later versions. mcause, mtval, mtval2 and
/// mtinst mean the same. Source: RISC-V Privileged Architecture, hypervisor extension, htval and htinst.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn axas_fault_from_riscv(
    scause: u64,
    stval: u64,
    htval: u64,
    htinst: u64,
    fault: *mut axas_fault_t,
) -> axas_status_t {
    // SAFETY: `fault` is null or valid for a write.
    unsafe {
        made("axas_fault_from_riscv", [scause, stval, htval, htinst], fault, || {
            fault::from_riscv(scause, stval, htval, htinst)
        })
    }
}
