// SPDX-License-Identifier: MIT OR Apache-2.0
//! Words and register values that were put together by hand, bit by bit, from the manuals.

use axaddrspace::abi::*;
use axaddrspace::flags::{Attributes, MemoryType, Permissions};
use axaddrspace::npt::arch::*;
use axaddrspace::npt::entry::{Entry, Reservation};

use crate::formats::*;

const RWX: Permissions = Permissions::all();

fn leaf<F: Format>(permissions: Permissions, memory: MemoryType, level: u32, address: u64) -> u64 {
    leaf_with::<F>(0, permissions, memory, level, address)
}

fn leaf_with<F: Format>(
    features: u32,
    permissions: Permissions,
    memory: MemoryType,
    level: u32,
    address: u64,
) -> u64 {
    let attributes = Attributes::new(permissions, memory);
    let template = Entry::<F>::leaf_template(attributes, Features(features), level, false);
    template.unwrap().at(hpa(address)).word()
}

#[test]
fn intel_ept_words() {
    use MemoryType::*;
    let leaf = leaf::<IntelEpt>;
    // RWX 7, WB 6 << 3, A 1 << 8, D 1 << 9, may write 1 << 53, suppress #VE 1 << 63.
    assert_eq!(leaf(RWX, WriteBack, 1, 0x1234_5000), 0x8020_0000_1234_5337);
    // RW 3, PS 1 << 7.
    assert_eq!(leaf(READ | WRITE, WriteBack, 2, 0x4000_0000), 0x8020_0000_4000_03b3);
    assert_eq!(leaf(READ, WriteThrough, 3, 0x4000_0000), 0x8000_0000_4000_03a1);
    assert_eq!(leaf(READ | EXECUTE, WriteCombine, 1, 0x1000), 0x8000_0000_0000_130d);
    assert_eq!(leaf(READ | WRITE, Uncached, 1, 0x1000), 0x8020_0000_0000_1303);
    // UC too; what tells it from uncached memory is software bit 54.
    assert_eq!(leaf(READ | WRITE, Device, 1, 0x1000), 0x8060_0000_0000_1303);
    let execute_only = AXAS_FEATURE_EPT_EXECUTE_ONLY;
    let word = leaf_with::<IntelEpt>(execute_only, EXECUTE, WriteBack, 1, 0x1000);
    assert_eq!(word, 0x8000_0000_0000_1334);
    // IPAT 1 << 6 of write-back memory only.
    let ignore_pat =
        |memory| leaf_with::<IntelEpt>(Features::IGNORE_GUEST_PAT, RWX, memory, 1, 0x1000);
    assert_eq!(ignore_pat(WriteBack), 0x8020_0000_0000_1377);
    assert_eq!(ignore_pat(Uncached), 0x8020_0000_0000_1307);
    assert_eq!(Entry::<IntelEpt>::table(hpa(0x6000)).word(), 0x6107);
    assert_eq!(Entry::<IntelEpt>::EMPTY.word(), 1 << 63);
}

#[test]
fn amd_npt_words() {
    use MemoryType::*;
    let leaf = leaf::<AmdNpt>;
    // P 1, W 2, U 4, A 0x20, D 0x40, may write 1 << 53.
    assert_eq!(leaf(RWX, WriteBack, 1, 0x1234_5000), 0x0020_0000_1234_5067);
    // NX 1 << 63.
    assert_eq!(leaf(READ, WriteBack, 1, 0x1234_5000), 0x8000_0000_1234_5065);
    // PS 0x80.
    assert_eq!(leaf(RWX, WriteBack, 2, 0x4000_0000), 0x0020_0000_4000_00e7);
    assert_eq!(leaf(READ | EXECUTE, WriteBack, 3, 0x4000_0000), 0x0000_0000_4000_00e5);
    // PWT 8, PCD 0x10: entry 3 of the PAT, UC after reset.
    assert_eq!(leaf(READ | WRITE, Uncached, 1, 0x1000), 0x8020_0000_0000_107f);
    assert_eq!(leaf(READ | WRITE, Device, 1, 0x1000), 0x8060_0000_0000_107f);
    assert_eq!(Entry::<AmdNpt>::table(hpa(0x6000)).word(), 0x6027);
    assert_eq!(Entry::<AmdNpt>::EMPTY.word(), 0);
}

#[test]
fn arm_stage2_words() {
    use MemoryType::*;
    let leaf = leaf::<ArmStage2>;
    // Page 3, MemAttr 1111 << 2, S2AP 11 << 6, SH 11 << 8, AF 1 << 10, dirty 1 << 55, may write 1 << 57.
    assert_eq!(leaf(RWX, WriteBack, 1, 0x4000_0000), 0x0280_0000_4000_07ff);
    // Block 1.
    assert_eq!(leaf(RWX, WriteBack, 2, 0x4000_0000), 0x0280_0000_4000_07fd);
    assert_eq!(leaf(RWX, WriteBack, 3, 0x4000_0000), 0x0280_0000_4000_07fd);
    // S2AP 01.
    assert_eq!(leaf(READ | EXECUTE, WriteBack, 1, 0x4000_0000), 0x0080_0000_4000_077f);
    // S2AP 10 and 00; XN 10 << 53.
    assert_eq!(leaf(WRITE, WriteBack, 1, 0x4000_0000), 0x02c0_0000_4000_07bf);
    assert_eq!(leaf(EXECUTE, WriteBack, 1, 0x4000_0000), 0x0080_0000_4000_073f);
    // MemAttr 0001 << 2, SH 10 << 8.
    assert_eq!(leaf(READ | WRITE, Device, 1, 0x0900_0000), 0x02c0_0000_0900_06c7);
    assert_eq!(leaf(READ | WRITE, DeviceNgnrne, 1, 0x0900_0000), 0x02c0_0000_0900_06c3);
    assert_eq!(leaf(READ | WRITE, DeviceNgre, 1, 0x0900_0000), 0x02c0_0000_0900_06cb);
    assert_eq!(leaf(READ | WRITE, DeviceGre, 1, 0x0900_0000), 0x02c0_0000_0900_06cf);
    // MemAttr 0101 and 1010.
    assert_eq!(leaf(READ | WRITE, Uncached, 1, 0x0900_0000), 0x02c0_0000_0900_06d7);
    assert_eq!(leaf(READ | WRITE, WriteThrough, 1, 0x0900_0000), 0x02c0_0000_0900_07eb);
    // With S2FWB: 0110 forces write-back, x101 is non-cacheable, 0001 nGnRE.
    let fwb = |memory| leaf_with::<ArmStage2>(AXAS_FEATURE_ARM_FWB, RWX, memory, 1, 0x4000_0000);
    assert_eq!(fwb(WriteBack), 0x0280_0000_4000_07db);
    assert_eq!(fwb(Uncached), 0x0280_0000_4000_06d7);
    assert_eq!(fwb(Device), 0x0280_0000_4000_06c7);
    assert_eq!(Entry::<ArmStage2>::table(hpa(0x6000)).word(), 0x6003);
    assert_eq!(Entry::<ArmStage2>::EMPTY.word(), 0);
}

#[test]
fn riscv_gstage_words() {
    use MemoryType::*;
    let leaf = leaf::<RiscvGstage>;
    // V 1, R 2, W 4, X 8, U 0x10, A 0x40, D 0x80; PPN = address >> 12, at bit 10.
    assert_eq!(leaf(RWX, WriteBack, 1, 0x8000_0000), 0x0000_0000_2000_00df);
    assert_eq!(leaf(RWX, WriteBack, 3, 0x8000_0000), 0x0000_0000_2000_00df);
    assert_eq!(leaf(READ, WriteBack, 2, 0x8000_0000), 0x0000_0000_2000_00d3);
    assert_eq!(leaf(EXECUTE, WriteBack, 1, 0x8000_0000), 0x0000_0000_2000_00d9);
    // RSW bit 9 marks a device.
    assert_eq!(leaf(READ | WRITE, Device, 1, 0x1000_0000), 0x0000_0000_0400_02d7);
    let svpbmt = |memory| {
        leaf_with::<RiscvGstage>(AXAS_FEATURE_RISCV_SVPBMT, READ | WRITE, memory, 1, 0x1000_0000)
    };
    assert_eq!(svpbmt(WriteBack), 0x0000_0000_0400_00d7);
    assert_eq!(svpbmt(Uncached), 0x2000_0000_0400_00d7);
    assert_eq!(svpbmt(Device), 0x4000_0000_0400_02d7);
    assert_eq!(Entry::<RiscvGstage>::table(hpa(0x8000_6000)).word(), 0x0000_0000_2000_1801);
    assert_eq!(Entry::<RiscvGstage>::EMPTY.word(), 0);
}

#[test]
fn reservations_look_like_this() {
    let attributes = Attributes::new(RWX, MemoryType::WriteThrough);
    // Payload: permissions 7, memory 4 << 3, largest page 2 << 7.
    let reservation = Reservation::new(attributes, 2);
    // Kind 1 at 5:3; payload 3:0 at 9:6, 4 at 11, 15:5 at 52; the address field all ones.
    assert_eq!(Entry::<IntelEpt>::reserved(reservation).word(), 0x809f_ffff_ffff_f1c8);
    // Kind 1 at 3:1; payload 7:0 at 11:4, 15:8 at 52 (NPT) and 56 (Arm).
    assert_eq!(Entry::<AmdNpt>::reserved(reservation).word(), 0x0010_0000_0000_0272);
    assert_eq!(Entry::<ArmStage2>::reserved(reservation).word(), 0x0100_0000_0000_0272);
    // Payload 5:0 at 9:4, 15:6 at 54.
    assert_eq!(Entry::<RiscvGstage>::reserved(reservation).word(), 0x0100_0000_0000_0272);
}

#[test]
fn traps_look_like_this() {
    // Payload 0x5678, address field 0x1234 << 12 (inverted on EPT).
    let cookie = 0x1234_5678;
    assert_eq!(Entry::<IntelEpt>::trap(cookie).word(), 0xab3f_ffff_fedc_ba10);
    assert_eq!(Entry::<AmdNpt>::trap(cookie).word(), 0x0560_0000_0123_4784);
    assert_eq!(Entry::<ArmStage2>::trap(cookie).word(), 0x5600_0000_0123_4784);
    assert_eq!(Entry::<RiscvGstage>::trap(cookie).word(), 0x5640_0000_0048_d384);
}

#[test]
fn moving_frames_look_like_this() {
    fn words<F: Format>() -> [u64; 3] {
        let attributes = Attributes::new(READ | WRITE, MemoryType::WriteBack);
        let template = Entry::<F>::leaf_template(attributes, Features(0), 1, true).unwrap();
        let leaf = template.at(hpa(0x1234_5000));
        let reservation = Reservation::new(attributes, 2);
        let pending = Entry::<F>::pending(leaf.address(), reservation);
        let unzeroed =
            Entry::<F>::pending(leaf.address(), reservation.with_zero_of(AXAS_SKIP_ZERO));
        [pending.word(), unzeroed.word(), leaf.dead(Features(0)).word()]
    }
    // Kind 4. Payload: permissions 3, largest page 2 << 7 or 1 << 7, not zeroed or (dead) owned 1 << 10, pending
    // 1 << 15.
    let ept = [0xc08f_ffff_edcb_a0e0, 0xc28f_ffff_edcb_a0e0, 0x824f_ffff_edcb_a0e0];
    let npt = [0x0810_0000_1234_5038, 0x0850_0000_1234_5038, 0x0040_0000_1234_5838];
    let arm = [0x8100_0000_1234_5038, 0x8500_0000_1234_5038, 0x0400_0000_1234_5838];
    let riscv = [0x8100_0000_048d_1438, 0x8500_0000_048d_1438, 0x0480_0000_048d_1438];
    assert_eq!(words::<IntelEpt>(), ept);
    assert_eq!(words::<AmdNpt>(), npt);
    assert_eq!(words::<ArmStage2>(), arm);
    assert_eq!(words::<RiscvGstage>(), riscv);
}

#[test]
fn moving_tables_look_like_this() {
    fn words<F: Format>() -> [u64; 3] {
        let attributes = Attributes::new(READ, MemoryType::WriteBack);
        let reservation = Reservation::new(attributes, 1);
        let table = Entry::<F>::table(hpa(0x6000));
        let pending = Entry::<F>::pending_table(table.address(), reservation);
        [pending.word(), table.folded(reservation).word(), table.dead_table().word()]
    }
    // Kind 6. Payload: permissions 1, largest page 1 << 7, pending 1 << 15.
    let ept = [0xc04f_ffff_ffff_9070, 0x804f_ffff_ffff_9070, 0x800f_ffff_ffff_9030];
    let npt = [0x0800_0000_0000_681c, 0x0000_0000_0000_681c, 0x0000_0000_0000_600c];
    let arm = [0x8000_0000_0000_681c, 0x0000_0000_0000_681c, 0x0000_0000_0000_600c];
    let riscv = [0x8080_0000_0000_181c, 0x0080_0000_0000_181c, 0x0000_0000_0000_180c];
    assert_eq!(words::<IntelEpt>(), ept);
    assert_eq!(words::<AmdNpt>(), npt);
    assert_eq!(words::<ArmStage2>(), arm);
    assert_eq!(words::<RiscvGstage>(), riscv);
}

fn registers<F: Format>(
    root: u64,
    vmid: u32,
    request: ShapeRequest,
    features: u32,
) -> axas_hw_regs_t {
    let shape = F::shape(request).unwrap();
    let features = Features(features);
    let state = RootState { root, vmid, shape, features };
    let root_register = F::root_register(&state);
    axas_hw_regs_t { root_register, ..F::registers(state) }
}

fn for_bits(needed_bits: u32, pa_bits: u32) -> ShapeRequest {
    ShapeRequest { levels: 0, gpa_bits: 0, pa_bits, needed_bits }
}

#[test]
fn intel_eptp() {
    let eptp = |request, features| {
        let registers = registers::<IntelEpt>(0x12_3000, 7, request, features);
        assert_eq!(registers.control_register, 0);
        assert_eq!(registers.required_state, 0);
        registers.root_register
    };
    // Write-back 6, four levels 3 << 3, five 4 << 3, accessed and dirty flags 1 << 6.
    assert_eq!(eptp(for_bits(40, 0), 0), 0x12_301e);
    assert_eq!(eptp(for_bits(49, 0), 0), 0x12_3026);
    assert_eq!(eptp(for_bits(40, 0), AXAS_FEATURE_EPT_AD), 0x12_305e);
}

#[test]
fn amd_ncr3() {
    let registers = registers::<AmdNpt>(0x12_3000, 7, for_bits(40, 0), 0);
    assert_eq!(registers.root_register, 0x12_3000);
    assert_eq!(registers.control_register, 0);
    assert_eq!(registers.required_state, AXAS_NEEDS_EFER_NXE);
}

#[test]
fn arm_vttbr_and_vtcr() {
    let of = |request, features| registers::<ArmStage2>(0x8000_2000, 5, request, features);
    let with = |bits, pa_bits| of(for_bits(bits, pa_bits), 0);
    assert_eq!(with(40, 40).root_register, 0x0005_0000_8000_2000);
    // RES1 1 << 31, PS << 16, SH0 11 << 12, ORGN0 01 << 10, IRGN0 01 << 8, SL0 << 6, T0SZ.
    assert_eq!(with(40, 40).control_register, 0x8002_3558);
    assert_eq!(with(39, 40).control_register, 0x8002_3559);
    assert_eq!(with(32, 32).control_register, 0x8000_3560);
    assert_eq!(with(36, 36).control_register, 0x8001_355c);
    assert_eq!(with(42, 42).control_register, 0x8003_3556);
    assert_eq!(with(43, 44).control_register, 0x8004_3555);
    // Four levels: SL0 10.
    assert_eq!(with(44, 44).control_register, 0x8004_3594);
    assert_eq!(with(48, 48).control_register, 0x8005_3590);
    // VS 1 << 19; HA 1 << 21 and HD 1 << 22.
    let features = AXAS_FEATURE_ARM_VMID16 | AXAS_FEATURE_ARM_HAFDBS | AXAS_FEATURE_ARM_FWB;
    let registers = of(for_bits(40, 40), features);
    assert_eq!(registers.control_register, 0x806a_3558);
    let always = AXAS_NEEDS_NO_PBHA;
    assert_eq!(registers.required_state, always | AXAS_NEEDS_HCR_FWB | AXAS_NEEDS_VTCR_HA_HD);
    assert_eq!(with(40, 40).required_state, always);
}

#[test]
fn arm_walks_past_the_caches_where_walkers_do_not_snoop() {
    let shape = ArmStage2::shape(for_bits(40, 40)).unwrap();
    let features = Features::new(0, AXAS_NONCOHERENT_WALK);
    let state = RootState { root: 0, vmid: 0, shape, features };
    // IRGN0 and ORGN0 non-cacheable, SH0 outer shareable, which such memory is anyway.
    assert_eq!(ArmStage2::registers(state).control_register, 0x8002_2058);
}

#[test]
fn riscv_hgatp() {
    let of = |bits, features| registers::<RiscvGstage>(0x8000_4000, 3, for_bits(bits, 0), features);
    // Mode 8, 9, 10 << 60, VMID << 44, PPN.
    assert_eq!(of(41, 0).root_register, 0x8000_3000_0008_0004);
    assert_eq!(of(42, 0).root_register, 0x9000_3000_0008_0004);
    assert_eq!(of(51, 0).root_register, 0xa000_3000_0008_0004);
    assert_eq!(of(41, 0).required_state, 0);
    let features = AXAS_FEATURE_RISCV_SVPBMT | AXAS_FEATURE_RISCV_SVADU;
    let expected = AXAS_NEEDS_MENVCFG_PBMTE | AXAS_NEEDS_MENVCFG_ADUE;
    assert_eq!(of(41, features).required_state, expected);
    assert_eq!(of(41, features).control_register, 0);
}
