// SPDX-License-Identifier: MIT OR Apache-2.0
//! `axas-inspect`: prints and draws a guest's address space from a dump of its second-stage page tables.
//!
//! ```text
//! main       what happens in which order, exit codes
//! args       the command line
//! registers  EPTP, nCR3, VTTBR_EL2 with VTCR_EL2, hgatp
//! memory     the files that hold the tables
//! report     table, JSON, CSV, statistics, what is wrong
//! picture    the SVG
//! heat       the SVG of a dirty log
//! bounds     tests: memory and output for tables that are all damage
//! ```
//!
//! What the entries mean is the library's business: `axaddrspace::tables`.

mod args;
#[cfg(test)]
mod bounds;
mod heat;
mod memory;
mod picture;
mod registers;
mod report;

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use axaddrspace::tables::{Contents, Limits, Tables};
use clap::Parser;

use args::{Args, Command, Other};
use memory::Memory;
use report::Subject;

/// What is kept and printed of tables that anybody may have made; `--all` lifts it.
const FIRST: Limits = Limits { runs: 65536, damage: 1000 };
const ALL: Limits = Limits { runs: usize::MAX, damage: usize::MAX };

const DAMAGED: u8 = 1;
/// Wrong usage, as clap has it, and files that cannot be read or written.
const TROUBLE: u8 = 2;

fn main() -> ExitCode {
    let command = Command::parse();
    let done = match (command.other, command.tables) {
        (Some(Other::Heat(heat)), _) => heat.run().map(|()| 0),
        (None, Some(args)) => run(&args, &mut io::stdout().lock(), &mut io::stderr().lock())
            .map(|contents| contents.defect_count()),
        (None, None) => Err(anyhow!("neither tables nor a log; see --help")),
    };
    match done {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(DAMAGED),
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("axas-inspect: error: {error:#}");
            ExitCode::from(TROUBLE)
        }
    }
}

fn run(args: &Args, out: &mut impl Write, err: &mut impl Write) -> Result<Contents> {
    let description = args.description()?;
    let tables = Tables::attach(&description).map_err(|error| args.explain(error, &description))?;
    let mut memory = Memory::open(&args.memory)?;
    let limits = if args.all { ALL } else { FIRST };
    let contents = tables
        .read(limits, &mut |address| memory.page(address))
        .map_err(|error| anyhow!("{error:?}"))?;
    memory.check()?;

    let subject = Subject { description: &description, tables: &tables, contents: &contents };
    subject.print(args.output, out)?;
    out.flush()?;
    if let Some(path) = &args.svg {
        fs::write(path, picture::draw(&subject))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    subject.warn(args, err)?;
    Ok(contents)
}

/// Whoever read our output has seen enough.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
