// SPDX-License-Identifier: MIT OR Apache-2.0
//! axaddrspace beside its peers and beside what the memory itself takes. `docs/performance.md` says how it
//! is measured; `make bench` runs it.

mod clock;
mod limits;
mod machine;
mod parts;
mod plots;
pub mod pool;
mod report;
mod scaling;
pub mod series;
pub mod subjects;
mod targets;
mod workloads;

use std::error::Error;
use std::path::PathBuf;

use series::Subject;
use subjects::native::Native;
use subjects::{Calls, Opaque, ours, ptm, x86};
use workloads::{Bench, Effort};

/// What the command line says.
struct Options {
    /// Where CSV, SVG and report go.
    directory: PathBuf,
    effort: Effort,
    /// The rows of the parts alone.
    parts_alone: bool,
}

fn options() -> Result<Options, lexopt::Error> {
    use lexopt::prelude::*;
    let mut directory = None;
    let mut effort = Effort::FULL;
    let mut parts_alone = false;
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("quick") => effort = Effort::QUICK,
            Long("parts") => parts_alone = true,
            Long("rounds") => effort.rounds = parser.value()?.parse()?,
            Value(path) if directory.is_none() => directory = Some(path.into()),
            _ => return Err(argument.unexpected()),
        }
    }
    let directory =
        directory.ok_or("usage: axaddrspace-bench [--quick] [--parts] [--rounds N] DIRECTORY")?;
    Ok(Options { directory, effort, parts_alone })
}

/// Measures everything in rounds: each piece of work with every subject in turn.
fn measure(bench: &mut Bench, peers: &[(Subject, Calls)]) {
    for round in 1..=bench.effort.rounds {
        eprintln!("round {round} of {}", bench.effort.rounds);
        bench.limits();
        macro_rules! each {
            ($work:ident) => {
                bench.$work(Subject::Ours, || Opaque::new(ours::CALLS));
                bench.$work(Subject::OursRust, Native::new);
                for &(peer, calls) in peers {
                    bench.$work(peer, || Opaque::new(calls));
                }
            };
        }
        each!(small_pages);
        each!(large_pages);
        each!(single_pages);
        each!(translate);
        bench.translate(Subject::OursCallerLocked, || Opaque::new(ours::CALLER_LOCKED));
        bench.walk();
        each!(faults);
        bench.faults(Subject::OursCallerLocked, || Opaque::new(ours::CALLER_LOCKED));
        bench.two_threads();
        bench.reserve(Subject::Ours, || Opaque::new(ours::CALLS));
        bench.reserve(Subject::OursRust, Native::new);
        // The others know no reservations.
        for &(peer, calls) in peers.iter().filter(|(peer, _)| *peer == Subject::Upstream) {
            bench.reserve_little(peer, || Opaque::new(calls));
        }
        each!(churn);
        changes_of_pages(bench, peers);
        each!(create);
        bench.copies();
        bench.table_memory();
        measure_parts(bench, peers);
    }
}

/// What is measured of the archive with all parts: its own calls, and those of the core.
fn measure_parts(bench: &mut Bench, peers: &[(Subject, Calls)]) {
    let new = || Opaque::new(subjects::parts::CALLS);
    bench.small_pages(Subject::OursParts, new);
    bench.single_pages(Subject::OursParts, new);
    bench.translate(Subject::OursParts, new);
    bench.faults(Subject::OursParts, new);
    bench.parts();
    for &(peer, calls) in peers {
        bench.parts_of_peer(peer, || Opaque::new(calls));
    }
}

/// Single pages that are replaced, come and go, are reported.
fn changes_of_pages(bench: &mut Bench, peers: &[(Subject, Calls)]) {
    let telling = [(Subject::Ptm, ptm::TELLING), (Subject::X86, x86::TELLING)];
    // The newest crate has no calls for it.
    let peers = || peers.iter().filter(|(peer, _)| *peer != Subject::Upstream);
    macro_rules! each {
        ($work:ident) => {
            bench.$work(Subject::Ours, || Opaque::new(ours::CALLS));
            bench.$work(Subject::OursRust, Native::new);
            for &(peer, calls) in peers() {
                bench.$work(peer, || Opaque::new(calls));
            }
        };
    }
    each!(replace);
    each!(grant);
    // Only tables that stay are there before; those of the peers do in any case.
    if ours::keeps_tables() {
        bench.kept(Subject::Ours, || Opaque::new(ours::KEEPING));
    }
    for &(peer, calls) in peers() {
        bench.kept(peer, || Opaque::new(calls));
    }
    bench.released(Subject::Ours, || Opaque::new(ours::TELLING));
    bench.released(Subject::OursRust, Native::telling);
    for (peer, calls) in telling {
        bench.released(peer, || Opaque::new(calls));
    }
}

/// The program; with one peer more, if there is one.
pub fn run(extra: Option<(Subject, Calls)>) -> Result<(), Box<dyn Error>> {
    let options = options()?;
    let load = machine::load();
    std::fs::create_dir_all(&options.directory)?;
    let mut bench = Bench::new(options.effort);
    let mut peers = vec![(Subject::Ptm, ptm::CALLS), (Subject::X86, x86::CALLS)];
    peers.extend(extra);
    let mut plots = Vec::new();
    if options.parts_alone {
        for _ in 0..bench.effort.rounds {
            measure_parts(&mut bench, &peers);
        }
    } else {
        measure(&mut bench, &peers);
        let mut plotted = vec![(Subject::Ours, ours::CALLS)];
        plotted.extend(peers);
        plots = bench.plots(&plotted);
    }

    let verdicts = targets::verdicts(&bench.series);
    let text = report::markdown(&bench.series, &verdicts, &machine::describe(&load));
    print!("{text}");
    std::fs::write(options.directory.join("report.md"), text)?;
    report::write_series(&options.directory.join("figures.csv"), &bench.series)?;
    report::write_verdicts(&options.directory.join("targets.csv"), &verdicts)?;
    if !plots.is_empty() {
        report::write_plots(&options.directory.join("plots.csv"), &plots)?;
    }
    for plot in &plots {
        plot.write(&options.directory)?;
    }
    // What is counted, not timed, has to be right.
    let wrong = |verdict: &&targets::Verdict| verdict.bound == 0.0 && !verdict.met;
    match verdicts.iter().find(wrong) {
        Some(verdict) => Err(format!("{}: {}", verdict.workload.title, verdict.figure).into()),
        None => Ok(()),
    }
}
