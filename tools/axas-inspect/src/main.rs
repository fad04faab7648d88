//! `axas-inspect`: prints and draws a guest's address space from a dump of its second-stage page tables.
//!
//! ```text
//! main       what happens in which order, exit codes
//! args       the command line
//! registers  EPTP, nCR3, VTTBR_EL2 with VTCR_EL2, hgatp
//! memory     the files that hold the tables
//! report     table, JSON, CSV, statistics, what is wrong
//! picture    the SVG
//! ```
//!
//! What the entries mean is the library's business: `axaddrspace::tables`.

mod args;
mod memory;
mod picture;
mod registers;
mod report;

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use axaddrspace::tables::{Contents, Tables};
use clap::Parser;

use args::Args;
use memory::Memory;
use report::Subject;

const DAMAGED: u8 = 1;
/// Wrong usage, as clap has it, and files that cannot be read or written.
const TROUBLE: u8 = 2;

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(contents) if contents.damage.is_empty() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(DAMAGED),
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("axas-inspect: error: {error:#}");
            ExitCode::from(TROUBLE)
        }
    }
}

fn run(args: &Args) -> Result<Contents> {
    let description = args.description()?;
    let tables = Tables::attach(&description).map_err(|error| args.explain(error, &description))?;
    let mut memory = Memory::open(&args.memory)?;
    let contents =
        tables.read(&mut |address| memory.page(address)).map_err(|error| anyhow!("{error:?}"))?;
    memory.check()?;

    let subject = Subject { description: &description, tables: &tables, contents: &contents };
    let mut out = io::stdout().lock();
    subject.print(args.output, &mut out)?;
    out.flush()?;
    if let Some(path) = &args.svg {
        fs::write(path, picture::draw(&subject))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    subject.warn(&mut io::stderr().lock())?;
    Ok(contents)
}

/// Whoever read our output has seen enough.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
