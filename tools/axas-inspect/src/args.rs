// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line.

use std::path::PathBuf;

use anyhow::{Result, anyhow, bail, ensure};
use axaddrspace::error::Error;
use axaddrspace::npt::arch::FormatId;
use axaddrspace::tables::Description;
use clap::{ArgGroup, Parser, Subcommand, ValueEnum};

use crate::heat::Heat;
use crate::memory::Source;
use crate::registers::{self, Root};

const EXAMPLES: &str = "\
Examples:
  The tables of an Intel guest, in 2 GiB of memory dumped from physical address 0:
    axas-inspect --format ept --root-register 0x4003e01e --memory 0:ram.bin

  AArch64, with a picture:
    axas-inspect --format arm-s2 --root-register 0x5000040030000 \\
        --control-register 0x80023559 --memory 0x40000000:ram.bin --svg guest.svg

Exit status:
  0  the tables are whole
  1  tables are damaged or not in the memory given; what can be read was printed
  2  wrong usage, or a file that cannot be read or written";

/// Print and draw a guest's address space from a dump of the memory that holds its second-stage page
/// tables, as axaddrspace writes them.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Command {
    #[command(subcommand)]
    pub other: Option<Other>,
    #[command(flatten)]
    pub tables: Option<Args>,
}

#[derive(Debug, Subcommand)]
pub enum Other {
    Heat(Heat),
}

/// Which tables, and what of them.
#[derive(Debug, Parser)]
#[command(group = ArgGroup::new("where").required(true).args(["root", "root_register"]))]
pub struct Args {
    /// A raw dump of memory and the physical address of its first byte, or a directory of such files,
    /// each named after its address (0x40000000.bin); repeat it for more
    #[arg(short, long, required = true, value_name = "ADDRESS:FILE|DIRECTORY")]
    pub memory: Vec<Source>,

    /// Format of the tables
    #[arg(short, long)]
    pub format: Format,

    /// Physical address of the root table
    #[arg(short, long, value_name = "ADDRESS", value_parser = number)]
    root: Option<u64>,

    /// The register that points to the root: EPTP, nCR3, VTTBR_EL2 or hgatp
    #[arg(short = 'R', long, value_name = "VALUE", value_parser = number)]
    root_register: Option<u64>,

    /// VTCR_EL2, which goes with VTTBR_EL2
    #[arg(short = 'C', long, value_name = "VALUE", value_parser = number)]
    control_register: Option<u64>,

    /// Levels of tables, where no register says: by default the fewest that cover the space
    #[arg(long, value_name = "NUMBER")]
    levels: Option<u32>,

    /// Width of guest-physical addresses, for arm-s2 where no register says
    #[arg(long, value_name = "BITS")]
    gpa_bits: Option<u32>,

    /// Width of host-physical addresses; wider ones in tables are then damage
    #[arg(long, value_name = "BITS")]
    pa_bits: Option<u32>,

    /// First address of the space; entries outside the space are damage
    #[arg(long, value_name = "ADDRESS", value_parser = number, requires = "size")]
    base: Option<u64>,

    /// Bytes of the space; by default all that the root translates
    #[arg(long, value_name = "BYTES", value_parser = number)]
    size: Option<u64>,

    /// Tell dirty pages from clean ones and young from old, of a space whose writes are logged
    #[arg(short, long)]
    usage: bool,

    /// What to print
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,

    /// Print every run and every defect; by default the first 65536 and 1000, and how many more there are
    #[arg(short, long)]
    pub all: bool,

    /// Draw the address space into this file
    #[arg(short, long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Intel EPT
    Ept,
    /// AMD NPT
    Npt,
    /// AArch64 stage 2, 4 KiB granule
    ArmS2,
    /// RISC-V Sv39x4, Sv48x4, Sv57x4
    RiscvGstage,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Output {
    /// The lines of axas_dump, then statistics
    Table,
    /// Runs, statistics and what is wrong
    Json,
    /// The runs alone
    Csv,
}

impl From<Format> for FormatId {
    fn from(format: Format) -> Self {
        match format {
            Format::Ept => Self::Ept,
            Format::Npt => Self::Npt,
            Format::ArmS2 => Self::ArmStage2,
            Format::RiscvGstage => Self::RiscvGstage,
        }
    }
}

impl Args {
    /// What the arguments say of the tables.
    pub fn description(&self) -> Result<Description> {
        let read = match (self.root_register, self.root) {
            (Some(register), _) => registers::read(self.format, register, self.control_register)?,
            (None, Some(root)) => {
                Root { root, ..registers::read_control(self.format, self.control_register)? }
            }
            (None, None) => bail!("neither --root nor --root-register"),
        };
        let range = match self.size {
            Some(size) => {
                let base = self.base.unwrap_or(0);
                let end = base.checked_add(size);
                Some(base..end.ok_or_else(|| anyhow!("--base and --size overflow"))?)
            }
            None => None,
        };
        let gpa_bits = settle("--gpa-bits", self.gpa_bits, read.gpa_bits)?;
        ensure!(
            self.format != Format::ArmS2 || gpa_bits != 0 || range.is_some(),
            "how many tables an arm-s2 root has depends on the width of guest addresses: \
             --control-register, --gpa-bits or --size must say it"
        );
        Ok(Description {
            format: self.format.into(),
            root: read.root,
            levels: settle("--levels", self.levels, read.levels)?,
            gpa_bits,
            pa_bits: settle("--pa-bits", self.pa_bits, read.pa_bits)?,
            range,
            usage: self.usage,
        })
    }

    /// Why the library does not take a description.
    pub fn explain(&self, error: Error, description: &Description) -> anyhow::Error {
        let Description { root, levels, gpa_bits, pa_bits, range, .. } = description;
        match error {
            Error::InvalidInput
                if range.as_ref().is_some_and(|range| {
                    range.is_empty() || (range.start | range.end) & 0xfff != 0
                }) =>
            {
                anyhow!("--base and --size must be multiples of 4096, and --size not 0")
            }
            Error::InvalidInput => {
                anyhow!("{root:#x} cannot be the root: not aligned, or beyond --pa-bits {pa_bits}")
            }
            _ => {
                let said = |what: &str, value: &u32| match value {
                    0 => String::new(),
                    value => format!(", {what} {value}"),
                };
                anyhow!(
                    "there are no {} tables with {}: see --help",
                    name(description.format),
                    [
                        said("levels", levels),
                        said("guest address bits", gpa_bits),
                        said("host address bits", pa_bits),
                        range.as_ref().map_or(String::new(), |range| {
                            format!(", addresses up to {:#x}", range.end)
                        }),
                    ]
                    .concat()
                    .trim_start_matches(", ")
                )
            }
        }
    }
}

/// The name that people know a format by.
pub fn name(format: FormatId) -> &'static str {
    match format {
        FormatId::Ept => "Intel EPT",
        FormatId::Npt => "AMD NPT",
        FormatId::ArmStage2 => "AArch64 stage 2",
        FormatId::RiscvGstage => "RISC-V G-stage",
    }
}

/// A value from an option and from a register, 0 where neither says.
fn settle(option: &str, said: Option<u32>, read: u32) -> Result<u32> {
    match said {
        Some(0) => bail!("{option} cannot be 0"),
        Some(said) if read != 0 && said != read => {
            bail!("{option} {said}, but the registers say {read}")
        }
        Some(said) => Ok(said),
        None => Ok(read),
    }
}

/// A number: hexadecimal with 0x, or decimal, then with K, M, G or T if wanted.
pub fn number(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no number (0x80000000, 4096, 64K, 512M, 4G)");
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        let is_number = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        return u64::from_str_radix(digits, 16).ok().filter(|_| is_number).ok_or_else(wrong);
    }
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" => 0,
        "K" | "k" => 10,
        "M" | "m" => 20,
        "G" | "g" => 30,
        "T" | "t" => 40,
        _ => return Err(wrong()),
    };
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(wrong());
    }
    let value = digits.parse::<u64>().map_err(|_| wrong())?;
    value.checked_mul(1 << shift).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Command::command().debug_assert();
    }

    #[test]
    fn numbers_are_hexadecimal_or_decimal_with_a_unit() {
        assert_eq!(number("0x8000_0000").ok(), None);
        assert_eq!(number("0x80000000"), Ok(0x8000_0000));
        assert_eq!(number("4096"), Ok(4096));
        assert_eq!(number("64K"), Ok(65536));
        assert_eq!(number("4g"), Ok(4 << 30));
        assert_eq!(number("0xffffffffffffffff"), Ok(u64::MAX));
        for wrong in ["", "0x", "0x+1", "+1", "-1", "K", "4P", "4KK", "16777216T", "1.5G", "0x1G"] {
            assert!(number(wrong).is_err(), "{wrong}");
        }
    }
}
