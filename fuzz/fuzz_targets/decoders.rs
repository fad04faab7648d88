// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the library makes of words that hardware or a host hands it: faults, configurations, device ranges, entries.
//!
//! Nothing panics, and what is decoded is of the header's values. The first byte chooses the decoder, words of eight
//! bytes follow.
#![no_main]

use axaddrspace::abi::*;
use axaddrspace::npt::arch::{AmdNpt, ArmStage2, Features, Format, IntelEpt, RiscvGstage};
use axaddrspace::npt::entry::{Entry, State};
use libfuzzer_sys::fuzz_target;

unsafe extern "C" {
    fn axas_fault_from_arm(
        esr: u64,
        far: u64,
        hpfar: u64,
        fault: *mut axas_fault_t,
    ) -> axas_status_t;
    fn axas_fault_from_ept(
        reason: u32,
        what: u64,
        gpa: u64,
        fault: *mut axas_fault_t,
    ) -> axas_status_t;
    fn axas_fault_from_npf(info1: u64, info2: u64, fault: *mut axas_fault_t) -> axas_status_t;
    fn axas_fault_from_riscv(
        scause: u64,
        stval: u64,
        htval: u64,
        htinst: u64,
        fault: *mut axas_fault_t,
    ) -> axas_status_t;
    fn axas_config_regs(config: *const axas_config_t, regs: *mut axas_hw_regs_t) -> axas_status_t;
    fn axas_tables_needed(
        config: *const axas_config_t,
        gpa: u64,
        size: u64,
        flags: u32,
        frames: *mut u64,
    ) -> axas_status_t;
    fn axas_mmio_range(gpa: u64, size: u64, range: *mut axas_mmio_range_t) -> axas_status_t;
    fn axas_mmio_contains(range: *const axas_mmio_range_t, gpa: u64, width: axas_width_t) -> u32;
    fn axas_width_from_bytes(bytes: u64, width: *mut axas_width_t) -> axas_status_t;
}

const UNTOUCHED: axas_fault_t =
    axas_fault_t { gpa: 0, gva: 0, access: 0, kind: 0, valid: 0, level: 0, reserved: [0; 2] };

/// A decoder's result: whole, or untouched after an error.
fn check_fault(status: axas_status_t, fault: &axas_fault_t) {
    let all = AXAS_READ | AXAS_WRITE | AXAS_EXECUTE;
    let valid = AXAS_VALID_GPA | AXAS_VALID_GVA | AXAS_VALID_ACCESS | AXAS_IS_TABLE_WALK;
    if status != AXAS_OK {
        assert_eq!((status, fault.access, fault.kind), (AXAS_ERR_INVALID_INPUT, 0, 0));
        return;
    }
    assert!(fault.access != 0 && fault.access & !all == 0);
    assert!((AXAS_KIND_TRANSLATION..=AXAS_KIND_ATOMIC).contains(&fault.kind));
    assert!(fault.valid & !valid == 0 && fault.level <= 6 && fault.reserved == [0; 2]);
    assert!(fault.valid & AXAS_VALID_GPA != 0 || fault.gpa == 0);
    assert!(fault.valid & AXAS_VALID_GVA != 0 || fault.gva == 0);
}

fn faults(which: u8, [a, b, c, d]: [u64; 4]) {
    let mut fault = UNTOUCHED;
    // SAFETY: the result is valid for a write.
    let status = unsafe {
        match which {
            0 => axas_fault_from_arm(a, b, c, &mut fault),
            // The class that there is most to decode of.
            1 => axas_fault_from_arm(a & 0x3ff_ffff | (0x20 | a >> 61 & 4) << 26, b, c, &mut fault),
            2 => axas_fault_from_ept(a as u32, b, c, &mut fault),
            3 => axas_fault_from_ept(48 + (a as u32 & 1), b, c, &mut fault),
            4 => axas_fault_from_npf(a, b, &mut fault),
            5 => axas_fault_from_riscv(a, b, c, d, &mut fault),
            _ => axas_fault_from_riscv(20 + (a & 3), b, c, d, &mut fault),
        }
    };
    check_fault(status, &fault);
}

fn configuration([a, b, c, d]: [u64; 4]) {
    let config = axas_config_t {
        struct_size: size_of::<axas_config_t>() as u32,
        format: (a & 7) as u32,
        levels: (a >> 3 & 7) as u32,
        pa_bits: (a >> 6 & 63) as u32,
        base: b,
        size: c,
        vmid: (a >> 12 & 0xffff) as u32,
        features: (a >> 28 & 0xfff) as u32,
        options: (a >> 40 & 0x1ff) as u32,
        table_quota: (d & 0xff) as u32,
        gpa_bits: (a >> 49 & 63) as u32,
        reserved: (a >> 63) as u32,
    };
    // SAFETY: a struct of numbers.
    let mut regs: axas_hw_regs_t = unsafe { std::mem::zeroed() };
    // SAFETY: both are valid.
    let status = unsafe { axas_config_regs(&config, &mut regs) };
    assert!((AXAS_ERR_AGAIN..=AXAS_OK).contains(&status));
    if status == AXAS_OK {
        assert!(regs.format == config.format && (3..=5).contains(&regs.levels));
        assert!(regs.gpa_bits <= 64 && regs.pa_bits <= 56 && regs.root_bytes.is_power_of_two());
    }
    let mut frames = 0;
    // SAFETY: both are valid.
    let counted = unsafe { axas_tables_needed(&config, b, d & !0xfff, d as u32 & 7, &mut frames) };
    assert!((AXAS_ERR_AGAIN..=AXAS_OK).contains(&counted));
    assert!(counted != AXAS_OK || status == AXAS_OK);
}

fn device([a, b, c, d]: [u64; 4]) {
    let mut range = axas_mmio_range_t { gpa: 0, size: 0 };
    let mut width = 0;
    // SAFETY: both results are valid for a write.
    let statuses =
        unsafe { (axas_mmio_range(a, b, &mut range), axas_width_from_bytes(c, &mut width)) };
    assert_eq!(statuses.0 == AXAS_OK, b != 0 && u128::from(a) + u128::from(b) <= 1 << 64);
    assert_eq!(statuses.1 == AXAS_OK, matches!(c, 1 | 2 | 4 | 8));
    if statuses == (AXAS_OK, AXAS_OK) {
        // SAFETY: the range is valid.
        let contains = unsafe { axas_mmio_contains(&range, d, width) } != 0;
        let end = u128::from(d) + u128::from(c);
        assert_eq!(contains, d >= a && end <= u128::from(a) + u128::from(b));
    }
}

/// An entry is one thing at each level; nothing of it leads out of what the format has.
fn entry<F: Format>([word, features, ..]: [u64; 4]) {
    let features = Features(features as u32 & F::FEATURES);
    let entry = Entry::<F>::from_word(word);
    assert_eq!(entry.word(), word);
    for level in 1..=5 {
        let state = entry.state(level);
        assert!(
            level > 1 || !matches!(state, State::Table | State::DeadTable | State::PendingTable)
        );
        assert!(level <= 3 || state != State::Leaf);
        assert!(entry.first_piece(level).is_hardware_visible() == entry.is_hardware_visible());
    }
    let _ = (entry.attributes(features), entry.reservation(), entry.cookie(), entry.is_owned());
    let _ = (entry.dead(features), entry.dead_table());
    let address = entry.address().as_usize() as u64;
    assert!(address & 0xfff == 0 && address >> F::MAX_PA_BITS == 0);
}

fuzz_target!(|data: &[u8]| {
    let Some((&which, bytes)) = data.split_first() else { return };
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    match which % 16 {
        which @ 0..=6 => faults(which, words),
        7 | 8 => configuration(words),
        9 | 10 => device(words),
        11 => entry::<IntelEpt>(words),
        12 => entry::<AmdNpt>(words),
        13 => entry::<ArmStage2>(words),
        _ => entry::<RiscvGstage>(words),
    }
});
