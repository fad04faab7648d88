// SPDX-License-Identifier: MIT OR Apache-2.0
//! What was found, for people and for programs.

use std::io::{self, Write};

use anyhow::Result;
use axaddrspace::abi::*;
use axaddrspace::tables::{Cause, Contents, Damage, Description, Run, Tables, Usage};
use serde::{Serialize, Serializer};

use crate::args::{Args, Output, name};

/// Tables and what stands in them.
pub struct Subject<'a> {
    pub description: &'a Description,
    pub tables: &'a Tables,
    pub contents: &'a Contents,
}

/// Lines on stderr, one for each defect, unless all are asked for.
const MOST_WARNINGS: usize = 50;

impl Subject<'_> {
    pub fn print(&self, output: Output, out: &mut impl Write) -> Result<()> {
        match output {
            Output::Table => Ok(self.print_table(out)?),
            Output::Json => self.print_json(out),
            Output::Csv => self.print_csv(out),
        }
    }

    /// Says what is wrong, a line for each defect, and what was left out.
    pub fn warn(&self, args: &Args, out: &mut impl Write) -> io::Result<()> {
        let Contents { runs, run_count, damage, .. } = self.contents;
        let shown = if args.all { damage.len() } else { MOST_WARNINGS.min(damage.len()) };
        for found in damage.iter().take(shown) {
            writeln!(out, "axas-inspect: {}", sentence(found))?;
        }
        let more = self.contents.defect_count() - shown as u64;
        if more > 0 {
            let causes = Cause::ALL.map(|cause| (cause, self.contents.defects(cause)));
            let causes = causes.iter().filter(|(_, count)| *count > 0);
            let causes = causes.map(|(cause, count)| format!("{} {count}", label(*cause)));
            let causes = causes.collect::<Vec<_>>().join(", ");
            writeln!(out, "axas-inspect: and {more} more; in all: {causes}; --all shows each")?;
        }
        let more = run_count - runs.len() as u64;
        if more > 0 {
            writeln!(
                out,
                "axas-inspect: {more} of {run_count} runs are not shown; --all shows them"
            )?;
        }
        Ok(())
    }

    /// What the tables are, in words.
    pub fn title(&self) -> String {
        let shape = self.tables.shape();
        format!(
            "{}, {} levels, root {:#x}, {} bits of guest address",
            name(self.description.format),
            shape.levels,
            self.description.root,
            shape.gpa_bits,
        )
    }

    /// The end of the space, or of what stands in it where nobody said what the space is.
    pub fn end(&self) -> u64 {
        self.description.range.as_ref().map_or(self.contents.end, |range| range.end)
    }

    fn print_table(&self, out: &mut impl Write) -> io::Result<()> {
        let end = self.end();
        for run in &self.contents.runs {
            writeln!(out, "{}", line(run, end))?;
        }
        writeln!(out, "\n{}", self.title())?;
        for (what, text) in self.statistics() {
            writeln!(out, "{what:<10}{text}")?;
        }
        Ok(())
    }

    /// Figures with their names.
    pub fn statistics(&self) -> Vec<(&'static str, String)> {
        let stats = &self.contents.stats;
        let bytes_of = |state| self.contents.bytes_of(state);
        vec![
            (
                "tables",
                format!("{} frames, {}", stats.table_frames, size(stats.table_frames << 12)),
            ),
            (
                "leaves",
                format!(
                    "{} of 4K, {} of 2M, {} of 1G",
                    stats.mapped_4k, stats.mapped_2m, stats.mapped_1g
                ),
            ),
            ("linear", size(bytes_of(AXAS_STATE_LINEAR))),
            ("owned", size(bytes_of(AXAS_STATE_OWNED))),
            ("reserved", size(bytes_of(AXAS_STATE_RESERVED))),
            ("trapped", size(bytes_of(AXAS_STATE_TRAP))),
        ]
    }

    fn print_csv(&self, out: &mut impl Write) -> Result<()> {
        let mut writer = csv::Writer::from_writer(out);
        for run in &self.contents.runs {
            let row = Row::new(run);
            // A column has a field in each row.
            writer.serialize(Row { usage: row.usage.or(Some("")), ..row })?;
        }
        Ok(writer.flush()?)
    }

    fn print_json(&self, out: &mut impl Write) -> Result<()> {
        let shape = self.tables.shape();
        let stats = &self.contents.stats;
        let document = Document {
            format: name(self.description.format),
            root: hex(self.description.root),
            levels: shape.levels,
            gpa_bits: shape.gpa_bits,
            pa_bits: shape.pa_bits,
            run_count: self.contents.run_count,
            runs: Rows(&self.contents.runs),
            stats: Stats {
                table_frames: stats.table_frames,
                guest_frames: stats.guest_frames,
                mapped_4k: stats.mapped_4k,
                mapped_2m: stats.mapped_2m,
                mapped_1g: stats.mapped_1g,
            },
            damage_count: self.contents.defect_count(),
            damage: Defects(&self.contents.damage),
        };
        serde_json::to_writer_pretty(&mut *out, &document)?;
        Ok(writeln!(out)?)
    }
}

/// The line of a run in a space that ends at `end`: that of axas_dump, and how the pages were used.
pub fn line(run: &Run, end: u64) -> String {
    let line = run.line(end);
    let line = line.strip_suffix('\n').unwrap_or(&line);
    match run.usage {
        Some(usage) => format!("{}  {}", line.trim_end(), usage.name()),
        None => line.into(),
    }
}

/// The first address behind a run.
pub fn end_of(run: &Run) -> u64 {
    run.mapping.gpa + run.mapping.size
}

/// A run; addresses as text, for JSON's numbers end at 2^53 in many readers.
#[derive(Serialize)]
struct Row {
    gpa: String,
    size: u64,
    state: &'static str,
    access: String,
    memory: Option<&'static str>,
    page: Option<&'static str>,
    hpa: Option<String>,
    cookie: Option<String>,
    /// The host's tag, if it is not 0.
    tag: Option<u32>,
    /// With --usage, of mapped pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<&'static str>,
}

impl Row {
    fn new(run: &Run) -> Self {
        let mapping = &run.mapping;
        let some = |name: &'static str| Some(name).filter(|name| *name != "-");
        Self {
            gpa: hex(mapping.gpa),
            size: mapping.size,
            state: run.state(),
            access: run.access(),
            memory: some(run.memory()),
            page: some(run.page()),
            hpa: (mapping.hpa != AXAS_HPA_INVALID).then(|| hex(mapping.hpa)),
            cookie: matches!(mapping.state, AXAS_STATE_TRAP | AXAS_STATE_PROVIDED)
                .then(|| hex(mapping.cookie)),
            tag: Some((mapping.flags & AXAS_TAG_MASK) >> AXAS_TAG_SHIFT).filter(|tag| *tag != 0),
            usage: run.usage.map(Usage::name),
        }
    }
}

/// Made one by one while they are written.
struct Rows<'a>(&'a [Run]);

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Row::new))
    }
}

struct Defects<'a>(&'a [Damage]);

impl Serialize for Defects<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Wrong::new))
    }
}

#[derive(Serialize)]
struct Document<'a> {
    format: &'static str,
    root: String,
    levels: u32,
    gpa_bits: u32,
    pa_bits: u32,
    /// With those that are not in `runs`.
    run_count: u64,
    runs: Rows<'a>,
    stats: Stats,
    /// With those that are not in `damage`.
    damage_count: u64,
    damage: Defects<'a>,
}

/// Named as in `axas_stats_t`.
#[derive(Serialize)]
struct Stats {
    table_frames: u64,
    guest_frames: u64,
    mapped_4k: u64,
    mapped_2m: u64,
    mapped_1g: u64,
}

#[derive(Serialize)]
struct Wrong {
    gpa: String,
    size: u64,
    level: u32,
    address: String,
    word: String,
    what: String,
}

impl Wrong {
    fn new(damage: &Damage) -> Self {
        Self {
            gpa: hex(damage.gpa),
            size: damage.size,
            level: damage.level,
            address: hex(damage.address),
            word: hex(damage.word),
            what: explain(damage),
        }
    }
}

fn hex(value: u64) -> String {
    format!("{value:#x}")
}

/// Where something is wrong, and what.
fn sentence(damage: &Damage) -> String {
    let end = damage.gpa.saturating_add(damage.size);
    format!("{:#014x}-{end:#014x}: {}", damage.gpa, explain(damage))
}

pub fn explain(damage: &Damage) -> String {
    let Damage { level, address, word, .. } = *damage;
    let table = format!("the table of level {level} at {address:#x}");
    let entry = format!("the entry {word:#x} of level {level} at {address:#x}");
    match damage.cause {
        Cause::TableMissing => format!("{table} is not in the memory given"),
        Cause::TableTwice => {
            format!("the table at {address:#x}, here of level {level}, was reached before")
        }
        Cause::TableEmpty => format!("{table} is empty"),
        Cause::TableCount => {
            format!("{table} has another number of entries in use than the entry above it says")
        }
        Cause::TableExposed => format!("the guest can reach the table at {address:#x}"),
        Cause::EntryCorrupt => format!("{entry} means nothing"),
        Cause::EntryForeign => format!("{entry} has bits that this library does not write"),
        Cause::EntryInTransition => {
            format!("{entry} is in transition: dumped while a call changed the space")
        }
        Cause::AddressUnusable => format!("{entry} has an address that is too wide or not aligned"),
        Cause::OutsideSpace => format!("{entry} stands outside the space"),
        Cause::FrameTwice => format!("the library's frame at {address:#x} is mapped a second time"),
    }
}

/// What is wrong, in two words.
pub fn label(cause: Cause) -> &'static str {
    match cause {
        Cause::TableMissing => "table missing",
        Cause::TableTwice => "table reached twice",
        Cause::TableEmpty => "empty table",
        Cause::TableCount => "wrong count",
        Cause::TableExposed => "table exposed",
        Cause::EntryCorrupt => "corrupt entry",
        Cause::EntryForeign => "foreign entry",
        Cause::EntryInTransition => "in transition",
        Cause::AddressUnusable => "unusable address",
        Cause::OutsideSpace => "outside the space",
        Cause::FrameTwice => "frame mapped twice",
    }
}

/// A number of bytes, in the largest unit in which it is not below one.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let unit = UNITS.iter().zip(1_u32..).take_while(|(_, n)| bytes >> (10 * n) > 0).last();
    let Some((name, n)) = unit else { return format!("{bytes} bytes") };
    let shift = 10 * n;
    if bytes & ((1 << shift) - 1) == 0 {
        return format!("{} {name}", bytes >> shift);
    }
    let hundredths = (u128::from(bytes) * 100) >> shift;
    format!("{}.{:02} {name}", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_exact_or_cut_to_hundredths() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (4096, "4 KiB"),
            (2 << 20, "2 MiB"),
            ((1 << 30) - 4096, "1023.99 MiB"),
            (3 << 29, "1.50 GiB"),
            (1 << 59, "512 PiB"),
            (u64::MAX, "15.99 EiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
