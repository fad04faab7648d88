// SPDX-License-Identifier: MIT OR Apache-2.0
//! The registers that point a CPU to its second-stage tables.
//!
//! Sources: Intel SDM vol. 3, "Extended-Page-Table Pointer (EPTP)"; AMD APM vol. 2, "Nested Paging", nCR3
//! in the VMCB; Arm ARM, VTTBR_EL2 and VTCR_EL2; RISC-V Privileged Architecture, hgatp.

use anyhow::{Result, bail, ensure};

use crate::args::Format;

/// What registers say; 0 where they say nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Root {
    pub root: u64,
    pub levels: u32,
    pub gpa_bits: u32,
    pub pa_bits: u32,
}

/// Bits 51 to 12, the address in EPTP and nCR3.
const X86_ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// Reads the register that points to the root, and the control register that goes with it.
pub fn read(format: Format, register: u64, control: Option<u64>) -> Result<Root> {
    let control = read_control(format, control)?;
    match format {
        Format::Ept => read_eptp(register),
        Format::Npt => Ok(Root { root: register & X86_ADDRESS, ..control }),
        Format::ArmS2 => {
            // VMID in 63:48, CnP in bit 0.
            Ok(Root { root: register & 0x0000_ffff_ffff_fffe, ..control })
        }
        Format::RiscvGstage => read_hgatp(register),
    }
}

/// Reads the control register, if there is one.
pub fn read_control(format: Format, control: Option<u64>) -> Result<Root> {
    match (format, control) {
        (_, None) => Ok(Root::default()),
        (Format::ArmS2, Some(control)) => read_vtcr(control),
        _ => bail!("only arm-s2 has a --control-register"),
    }
}

fn read_eptp(register: u64) -> Result<Root> {
    let levels = (register >> 3 & 7) as u32 + 1;
    ensure!(
        matches!(register & 7, 0 | 6) && matches!(levels, 4 | 5),
        "{register:#x} is no EPTP: memory type {} (must be 0 or 6), {levels} levels (must be 4 or 5)",
        register & 7,
    );
    Ok(Root { root: register & X86_ADDRESS, levels, ..Root::default() })
}

fn read_vtcr(register: u64) -> Result<Root> {
    const T0SZ: u64 = 0x3f;
    const TG0: u64 = 3 << 14;
    const DS: u64 = 1 << 32;
    /// Widths of host-physical addresses by VTCR_EL2.PS.
    const PA_BITS: [u32; 6] = [32, 36, 40, 42, 44, 48];
    ensure!(
        register & TG0 == 0 && register & DS == 0,
        "VTCR_EL2 {register:#x}: only tables with a granule of 4 KiB and without LPA2 are known"
    );
    let size = (register >> 16 & 7) as usize;
    let Some(pa_bits) = PA_BITS.get(size) else {
        bail!("VTCR_EL2 {register:#x}: PS {size} is wider than 48 bits");
    };
    let levels = match register >> 6 & 3 {
        1 => 3,
        2 => 4,
        start => bail!("VTCR_EL2 {register:#x}: SL0 {start} starts neither at level 0 nor 1"),
    };
    Ok(Root { root: 0, levels, gpa_bits: 64 - (register & T0SZ) as u32, pa_bits: *pa_bits })
}

fn read_hgatp(register: u64) -> Result<Root> {
    let levels = match register >> 60 {
        8 => 3,
        9 => 4,
        10 => 5,
        mode => bail!("{register:#x} is no hgatp of Sv39x4, Sv48x4 or Sv57x4: MODE is {mode}"),
    };
    // The page number is in 43:0.
    Ok(Root { root: (register & 0x0fff_ffff_ffff) << 12, levels, ..Root::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_say_what_the_manuals_say() {
        let of = |format, register, control| read(format, register, control).ok();
        let root = |root, levels, gpa_bits, pa_bits| Some(Root { root, levels, gpa_bits, pa_bits });
        assert_eq!(of(Format::Ept, 0x1234_505e, None), root(0x1234_5000, 4, 0, 0));
        assert_eq!(of(Format::Ept, 0x1234_5026, None), root(0x1234_5000, 5, 0, 0));
        assert_eq!(of(Format::Ept, 0x1234_5001, None), None);
        assert_eq!(of(Format::Ept, 0x1234_5016, None), None);
        assert_eq!(of(Format::Npt, 0x1234_5018, None), root(0x1234_5000, 0, 0, 0));
        assert_eq!(of(Format::Npt, 0x1234_5000, Some(0)), None);
        // 40 bits of guest address from level 1, 40 of host address.
        let vtcr = 1 << 31 | 2 << 16 | 1 << 6 | 24;
        let vttbr = 5 << 48 | 0x4000_2000 | 1;
        assert_eq!(of(Format::ArmS2, vttbr, Some(vtcr)), root(0x4000_2000, 3, 40, 40));
        assert_eq!(of(Format::ArmS2, vttbr, None), root(0x4000_2000, 0, 0, 0));
        assert_eq!(of(Format::ArmS2, vttbr, Some(vtcr | 1 << 14)), None);
        let hgatp = |mode: u64| mode << 60 | 5 << 44 | 0x8_0004;
        assert_eq!(of(Format::RiscvGstage, hgatp(8), None), root(0x8000_4000, 3, 0, 0));
        assert_eq!(of(Format::RiscvGstage, hgatp(10), None), root(0x8000_4000, 5, 0, 0));
        assert_eq!(of(Format::RiscvGstage, hgatp(0), None), None);
    }
}
