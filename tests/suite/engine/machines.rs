// SPDX-License-Identifier: MIT OR Apache-2.0
//! Formats, shapes and places of spaces: each where something happens in the middle of it.

use axaddrspace::abi::*;

use super::space::Machine;

const GIB: u64 = 1 << 30;
/// A few GiB and an odd end.
const SIZE: u64 = 4 * GIB + 0x3000;

/// A space around `1 << bit`, where an entry of a high level or a page of the root begins.
const fn around(bit: u32, format: u32) -> Machine {
    at((1 << bit) - 2 * GIB, format)
}

const fn at(base: u64, format: u32) -> Machine {
    Machine {
        format,
        base,
        size: SIZE,
        levels: 0,
        gpa_bits: 0,
        pa_bits: 0,
        features: 0,
        options: 0,
        table_quota: 0,
        wants_released: false,
    }
}

pub const EPT: Machine = Machine { features: AXAS_FEATURE_1G_PAGES, ..around(39, AXAS_FORMAT_EPT) };
pub const EPT_WITHOUT_1G: Machine = Machine { wants_released: true, ..at(0, AXAS_FORMAT_EPT) };
pub const EPT_OF_5_LEVELS: Machine = Machine {
    features: AXAS_FEATURE_1G_PAGES | AXAS_FEATURE_EPT_AD,
    ..around(48, AXAS_FORMAT_EPT)
};
pub const NPT: Machine = Machine {
    features: AXAS_FEATURE_1G_PAGES,
    wants_released: true,
    ..around(39, AXAS_FORMAT_NPT)
};
pub const NPT_WITHOUT_1G: Machine = at(0, AXAS_FORMAT_NPT);
/// Two concatenated root tables; the space lies in both.
pub const ARM: Machine = around(39, AXAS_FORMAT_ARM_S2);
pub const ARM_WITH_BLOCK_SPLITS: Machine = Machine {
    features: AXAS_FEATURE_ARM_BBM2 | AXAS_FEATURE_ARM_FWB,
    wants_released: true,
    ..at(GIB, AXAS_FORMAT_ARM_S2)
};
pub const ARM_OF_4_LEVELS: Machine =
    Machine { levels: 4, pa_bits: 48, ..around(39, AXAS_FORMAT_ARM_S2) };
/// Four root pages; the space lies in two of them.
pub const RISCV: Machine = Machine { wants_released: true, ..around(39, AXAS_FORMAT_RISCV_GSTAGE) };
pub const RISCV_OF_4_LEVELS: Machine = Machine {
    features: AXAS_FEATURE_RISCV_SVVPTC | AXAS_FEATURE_RISCV_SVPBMT,
    ..around(48, AXAS_FORMAT_RISCV_GSTAGE)
};
pub const RISCV_OF_5_LEVELS: Machine = around(57, AXAS_FORMAT_RISCV_GSTAGE);

/// Tables that became empty stay.
pub const EPT_KEEPING: Machine =
    Machine { options: AXAS_KEEP_TABLES | AXAS_IGNORE_GUEST_PAT, wants_released: true, ..EPT };
pub const NPT_KEEPING: Machine = Machine { options: AXAS_KEEP_TABLES, ..NPT_WITHOUT_1G };
pub const ARM_KEEPING: Machine = Machine { options: AXAS_KEEP_TABLES, ..ARM };
pub const RISCV_KEEPING: Machine = Machine { options: AXAS_KEEP_TABLES, ..RISCV };

/// One machine of each format.
pub const ONE_OF_EACH: [Machine; 4] = [EPT, NPT, ARM, RISCV];
